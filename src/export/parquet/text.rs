//! Text and bytes without a dictionary, straight from the parts of a column into pages.
//!
//! Each value stands behind its length (`PLAIN`), or the lengths of a page stand
//! together in front of its values (`DELTA_LENGTH_BYTE_ARRAY`), where the first
//! values of the chunk show that this takes less room once it is compressed.

use arrow::array::GenericByteArray;
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ArrowNativeType, ByteArrayType};
use parquet::basic::Encoding;
use parquet::errors::ParquetError;

use super::bounds::{Bounds, wider};
use super::delta;
use super::flat::PAGE_ROWS;
use super::pages::{EncodedChunk, Page, Pages};
use crate::snapshot::{Gathering, Pieces, Supplied};

/// Bytes of cells per page aimed at.
const PAGE_BYTES: usize = 1 << 20;

/// Most values are no longer.
const SHORT: usize = 32;

/// A column that is still in parts.
pub(super) fn of_parts<T: ByteArrayType>(
    pages: Pages,
    parts: &Gathering<'_>,
    nulls: Option<&NullBuffer>,
    is_text: bool,
) -> Result<EncodedChunk, ParquetError> {
    without_dictionary(pages, &parts.bytes::<T>(), parts.pieces(), nulls, is_text)
}

/// The cells that `pieces` name in `arrays`.
pub(super) fn without_dictionary<T: ByteArrayType>(
    pages: Pages,
    arrays: &[Option<&GenericByteArray<T>>],
    pieces: &Pieces,
    nulls: Option<&NullBuffer>,
    is_text: bool,
) -> Result<EncodedChunk, ParquetError> {
    let rows = pieces.in_order();
    let rows = rows.flat_map(|run| (run.from..run.from + run.len).map(move |row| (run.array, row)));
    let valid = rows.enumerate().filter(|&(at, _)| nulls.is_none_or(|nulls| nulls.is_valid(at)));
    let first = valid.filter_map(|(_, (array, row))| -> Option<&[u8]> {
        arrays[array as usize].map(|array| array.value(row as usize).as_ref())
    });
    if pieces.rows() >= ASKED_MIN && pays_to_part(&pages, first)? {
        filled::<T, true>(pages, arrays, pieces, nulls, is_text)
    } else {
        filled::<T, false>(pages, arrays, pieces, nulls, is_text)
    }
}

/// Chunks of fewer rows are written plain: to try both ways would take longer than it spares.
const ASKED_MIN: usize = 1 << 10;

/// Values by which it is chosen, and their bytes, at most.
const SAMPLE: usize = 1 << 12;
const SAMPLE_BYTES: usize = 1 << 17;

/// Whether a chunk's first values take less room where their lengths stand apart, both compressed.
fn pays_to_part<'a>(pages: &Pages, first: impl Iterator<Item = &'a [u8]>) -> Result<bool, ParquetError> {
    let (mut plain, mut values, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    for value in first.take(SAMPLE) {
        if plain.len() + value.len() > SAMPLE_BYTES {
            break;
        }
        lengths.push(value.len() as u32);
        plain.extend_from_slice(&(value.len() as u32).to_le_bytes());
        plain.extend_from_slice(value);
        values.extend_from_slice(value);
    }
    // Behind long values their lengths do not count.
    if lengths.len() * SHORT < values.len() / 2 {
        return Ok(false);
    }
    let mut apart = Vec::new();
    delta::encode(lengths.into_iter(), &mut apart);
    apart.append(&mut values);
    Ok(pages.compressed_size(&apart)? < pages.compressed_size(&plain)?)
}

/// The pages of a chunk; whether lengths stand apart is known to the loop over its rows when it is compiled.
fn filled<T: ByteArrayType, const APART: bool>(
    mut pages: Pages,
    arrays: &[Option<&GenericByteArray<T>>],
    pieces: &Pieces,
    nulls: Option<&NullBuffer>,
    is_text: bool,
) -> Result<EncodedChunk, ParquetError> {
    let supplied = SuppliedTexts::find(arrays, pieces.supplied());
    let mut next = 0;
    let mut page = Filling::<APART>::new(is_text, pieces.rows());
    for run in pieces.in_order() {
        if run.array > 0 {
            page.add(&mut pages, nulls, supplied.value(next))?;
            next += 1;
            continue;
        }
        let Some(array) = arrays.first().copied().flatten() else { continue };
        let (offsets, data) = (array.value_offsets(), array.value_data());
        for pair in offsets[run.from as usize..=(run.from + run.len) as usize].windows(2) {
            page.add(&mut pages, nulls, (data, pair[0].as_usize(), pair[1].as_usize()))?;
        }
    }
    if page.upto > page.from {
        page.write(&mut pages, nulls)?;
    }
    let all = page.all.and_then(|((_, min), (_, max))| Bounds::of_bytes((min, max), is_text));
    pages.finish(all.as_ref(), page.longest)
}

/// A value as a part of a buffer.
type Part<'a> = (&'a [u8], usize, usize);

/// Supplied values, brought together before they are needed.
///
/// They lie all over memory. Loops of nothing else have many of them under way at
/// a time, where a loop that also fills pages would wait for each.
struct SuppliedTexts<'a> {
    places: Vec<Part<'a>>,
    /// The values one behind the other, unless they are too long for that to pay.
    copied: Option<Vec<u8>>,
    ends: Vec<usize>,
}

/// Bytes of supplied values that are copied at most.
const COPIED_MAX: usize = 16 << 20;

impl<'a> SuppliedTexts<'a> {
    fn find<T: ByteArrayType>(arrays: &[Option<&'a GenericByteArray<T>>], cells: &[Supplied]) -> Self {
        let raw: Vec<(&[T::Offset], &[u8])> = arrays
            .iter()
            .map(|a| a.map_or((&[][..], &[][..]), |a| (a.value_offsets(), a.value_data())))
            .collect();
        let place = |cell: &Supplied| {
            let (offsets, data) = raw[cell.array as usize];
            let row = cell.row as usize;
            (data, offsets[row].as_usize(), offsets[row + 1].as_usize())
        };
        let places: Vec<Part<'a>> = cells.iter().map(place).collect();
        let bytes: usize = places.iter().map(|(_, start, end)| end - start).sum();
        if bytes > COPIED_MAX {
            return Self { places, copied: None, ends: Vec::new() };
        }
        let mut copied = Vec::with_capacity(bytes + SHORT);
        let mut ends = Vec::with_capacity(cells.len());
        for &(data, start, end) in &places {
            copy(data, start, end, &mut copied);
            ends.push(copied.len());
        }
        Self { places, copied: Some(copied), ends }
    }

    fn value(&self, number: usize) -> Part<'_> {
        match &self.copied {
            Some(copied) => (copied, if number > 0 { self.ends[number - 1] } else { 0 }, self.ends[number]),
            None => self.places[number],
        }
    }
}

/// Appends a value. A copy of known length costs a few instructions, one of any length a call.
fn copy(data: &[u8], start: usize, end: usize, out: &mut Vec<u8>) {
    match data[start..].first_chunk::<SHORT>() {
        Some(more) if end - start <= SHORT => {
            let full = out.len() + (end - start);
            out.extend_from_slice(more);
            out.truncate(full);
        }
        _ => out.extend_from_slice(&data[start..end]),
    }
}

/// A value behind its first bytes, by which most are told apart.
type Prefixed<'a> = (u128, &'a [u8]);

/// Space in front of a page's values for the definition levels and lengths of all its rows.
const FRONT: usize = Pages::levels_max(PAGE_ROWS) + delta::bytes_max(PAGE_ROWS, size_of::<u32>());

/// A page that is being filled, with the lengths of its values apart or before each, and what is known of those
/// before it.
struct Filling<'a, const APART: bool> {
    is_text: bool,
    from: usize,
    upto: usize,
    present: usize,
    /// Lengths of the values, where they stand apart.
    lengths: Vec<u32>,
    /// Space for what stands in front, then values, behind their lengths unless these stand apart, then space.
    body: Vec<u8>,
    /// Where the values end.
    end: usize,
    /// The prefixes of the extremes: what lies between them is none.
    between: (u128, u128),
    extremes: Option<(Prefixed<'a>, Prefixed<'a>)>,
    /// Of all pages.
    all: Option<(Prefixed<'a>, Prefixed<'a>)>,
    longest: usize,
}

impl<'a, const APART: bool> Filling<'a, APART> {
    /// Bytes in front of each value.
    const PREFIX: usize = if APART { 0 } else { size_of::<u32>() };

    /// An empty page of a chunk of so many rows.
    fn new(is_text: bool, rows: usize) -> Self {
        Self {
            is_text,
            from: 0,
            upto: 0,
            present: 0,
            lengths: Vec::new(),
            body: vec![0; FRONT + (4 + SHORT) * (1 + rows.min(PAGE_ROWS))],
            end: FRONT,
            between: NOTHING_BETWEEN,
            extremes: None,
            all: None,
            longest: 0,
        }
    }

    /// Adds the value of the next row, or its null.
    #[inline]
    fn add(
        &mut self,
        pages: &mut Pages,
        nulls: Option<&NullBuffer>,
        (data, start, end): Part<'a>,
    ) -> Result<(), ParquetError> {
        let (rows, bytes) = (self.upto - self.from, self.end - FRONT - Self::PREFIX * self.present);
        if rows == PAGE_ROWS || (rows > 0 && bytes + (end - start) > PAGE_BYTES) {
            self.write(pages, nulls)?;
        }
        self.upto += 1;
        if nulls.is_none_or(|nulls| nulls.is_valid(self.upto - 1)) {
            self.present += 1;
            self.longest = self.longest.max(end - start);
            self.put(data, start, end);
        }
        Ok(())
    }

    /// Writes a value and its length, and notes how it compares.
    #[inline]
    fn put(&mut self, data: &'a [u8], start: usize, end: usize) {
        let length = end - start;
        let room = self.body[self.end..].first_chunk_mut::<{ 4 + SHORT }>();
        let prefix = match (room, data[start..].first_chunk::<SHORT>()) {
            (Some(room), Some(more)) if length <= SHORT => {
                if !APART {
                    room[..4].copy_from_slice(&(length as u32).to_le_bytes());
                }
                room[Self::PREFIX..][..SHORT].copy_from_slice(more);
                prefix_of(more, length)
            }
            _ => self.put_any(&data[start..end]),
        };
        if APART {
            self.lengths.push(length as u32);
        }
        self.end += Self::PREFIX + length;
        if prefix <= self.between.0 || prefix >= self.between.1 {
            self.note(prefix, &data[start..end]);
        }
    }

    /// Writes a value of any length, and gives its prefix.
    fn put_any(&mut self, value: &[u8]) -> u128 {
        let from = self.end + Self::PREFIX;
        let upto = from + value.len();
        if upto > self.body.len() {
            self.body.resize(upto + self.body.len() / 2, 0);
        }
        if !APART {
            self.body[self.end..from].copy_from_slice(&(value.len() as u32).to_le_bytes());
        }
        self.body[from..upto].copy_from_slice(value);
        let mut first = [0; SHORT];
        let length = value.len().min(SHORT);
        first[..length].copy_from_slice(&value[..length]);
        prefix_of(&first, length)
    }

    #[cold]
    fn note(&mut self, prefix: u128, value: &'a [u8]) {
        let value = (prefix, value);
        let (min, max) = self.extremes.get_or_insert((value, value));
        if value < *min {
            *min = value;
        } else if value > *max {
            *max = value;
        }
        self.between = (min.0, max.0);
    }

    /// Writes the page and begins the next one.
    #[cold]
    fn write(&mut self, pages: &mut Pages, nulls: Option<&NullBuffer>) -> Result<(), ParquetError> {
        let mut front = pages.begin(self.from, self.upto, nulls);
        // A page without values is the same in both, but not every reader takes empty packed lengths.
        let mut encoding = Encoding::PLAIN;
        if APART && self.present > 0 {
            delta::encode(self.lengths.drain(..), &mut front);
            encoding = Encoding::DELTA_LENGTH_BYTE_ARRAY;
        }
        let begin = FRONT - front.len();
        self.body[begin..FRONT].copy_from_slice(&front);
        let found = self.extremes.take();
        let bounds = found.and_then(|((_, min), (_, max))| Bounds::of_bytes((min, max), self.is_text));
        let (from, upto, present) = (self.from, self.upto, self.present);
        let page = Page { from, upto, present, nans: 0, bounds, encoding };
        pages.end(&self.body[begin..self.end], page)?;
        self.all = wider(self.all, found);
        (self.end, self.between) = (FRONT, NOTHING_BETWEEN);
        (self.from, self.present) = (self.upto, 0);
        Ok(())
    }
}

/// Between these no prefix lies.
const NOTHING_BETWEEN: (u128, u128) = (u128::MAX, 0);

/// The first sixteen bytes of a value of this length as a number in their order; zeros stand for those that it
/// lacks, whatever comes behind it.
#[inline]
fn prefix_of(first: &[u8; SHORT], length: usize) -> u128 {
    let number = u128::from_be_bytes(std::array::from_fn(|at| first[at]));
    match 16_u32.saturating_sub(length as u32) * 8 {
        0 => number,
        u128::BITS => 0,
        lacking => number >> lacking << lacking,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_order_as_their_values_do() {
        let texts: [&[u8]; 9] =
            [b"", b"\0", b"a", b"a\0", b"aa", b"abcdefghijklmnop", b"abcdefghijklmnopq", b"b", b"\xff"];
        // What stands behind a value in its buffer is none of it.
        let prefix = |text: &[u8]| {
            let mut first = [7; SHORT];
            first[..text.len()].copy_from_slice(text);
            prefix_of(&first, text.len())
        };
        for pair in texts.windows(2) {
            assert!(prefix(pair[0]) <= prefix(pair[1]), "{pair:?}");
        }
        assert!(prefix(b"a") < prefix(b"aa") && prefix(b"a") == prefix(b"a\0"));
    }
}
