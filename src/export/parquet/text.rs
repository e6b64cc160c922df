//! Text and bytes as they are, straight from the parts of a column into pages.

use arrow::array::GenericByteArray;
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ArrowNativeType, ByteArrayType};
use parquet::basic::Encoding;
use parquet::errors::ParquetError;

use super::bounds::{Bounds, prefix, wider};
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
    plain(pages, &parts.bytes::<T>(), parts.pieces(), nulls, is_text)
}

/// The cells that `pieces` name in `arrays`.
pub(super) fn plain<T: ByteArrayType>(
    mut pages: Pages,
    arrays: &[Option<&GenericByteArray<T>>],
    pieces: &Pieces,
    nulls: Option<&NullBuffer>,
    is_text: bool,
) -> Result<EncodedChunk, ParquetError> {
    let supplied = SuppliedTexts::find(arrays, pieces.supplied());
    let mut next = 0;
    let mut page = Filling { is_text, ..Filling::default() };
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

/// A value behind its first eight bytes, by which most are told apart.
type Prefixed<'a> = (u64, &'a [u8]);

/// A page that is being filled, and what is known of those before it.
#[derive(Default)]
struct Filling<'a> {
    is_text: bool,
    from: usize,
    upto: usize,
    present: usize,
    values: Vec<u8>,
    extremes: Option<(Prefixed<'a>, Prefixed<'a>)>,
    /// Of all pages.
    all: Option<(Prefixed<'a>, Prefixed<'a>)>,
    longest: usize,
}

impl<'a> Filling<'a> {
    /// Adds the value of the next row, or its null.
    fn add(
        &mut self,
        pages: &mut Pages,
        nulls: Option<&NullBuffer>,
        (data, start, end): Part<'a>,
    ) -> Result<(), ParquetError> {
        let (rows, bytes) = (self.upto - self.from, self.values.len() - 4 * self.present);
        if rows == PAGE_ROWS || (rows > 0 && bytes + (end - start) > PAGE_BYTES) {
            self.write(pages, nulls)?;
        }
        self.upto += 1;
        if nulls.is_none_or(|nulls| nulls.is_valid(self.upto - 1)) {
            self.present += 1;
            self.values.extend_from_slice(&((end - start) as u32).to_le_bytes());
            copy(data, start, end, &mut self.values);
            self.note(&data[start..end]);
        }
        Ok(())
    }

    fn note(&mut self, value: &'a [u8]) {
        self.longest = self.longest.max(value.len());
        let value = (prefix(value), value);
        match &mut self.extremes {
            Some((min, max)) => {
                if value < *min {
                    *min = value;
                } else if value > *max {
                    *max = value;
                }
            }
            none => *none = Some((value, value)),
        }
    }

    /// Writes the page and begins the next one.
    fn write(&mut self, pages: &mut Pages, nulls: Option<&NullBuffer>) -> Result<(), ParquetError> {
        let mut body = pages.begin(self.from, self.upto, nulls);
        body.extend_from_slice(&self.values);
        let found = self.extremes.take();
        let bounds = found.and_then(|((_, min), (_, max))| Bounds::of_bytes((min, max), self.is_text));
        let (from, upto, present) = (self.from, self.upto, self.present);
        pages.end(body, Page { from, upto, present, nans: 0, bounds, encoding: Encoding::PLAIN })?;
        self.all = wider(self.all, found);
        self.values.clear();
        (self.from, self.present) = (self.upto, 0);
        Ok(())
    }
}
