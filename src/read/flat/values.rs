//! Values as they stand in a page, to values of an array.

use std::sync::Arc;

use arrow::array::{
    ArrayData, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, DictionaryArray, Int32Array,
    StringArray, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, Int32Type};
use parquet::errors::ParquetError;

use super::header::damaged;
use super::levels::Bits;

/// The place of a row that has no value.
pub(super) const NULL: u32 = u32::MAX;

/// Which of the next values are appended, and for which rows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Chosen<'a> {
    /// Every row has one, and all are.
    All,
    /// All are, for the rows that have one.
    Valid(&'a Bits),
    /// Per row the number of its value, rising, or [`NULL`].
    Places(&'a [u32]),
}

/// Texts up to this length are copied as so many bytes, whatever their length.
const SHORT: usize = 32;

/// Values on their way into an array. Floating-point numbers are their bits.
#[derive(Debug)]
pub(super) enum Values {
    Long(Vec<i64>),
    Short(Vec<i32>),
    Truth(Vec<bool>),
    Bytes {
        ends: Vec<i32>,
        bytes: Vec<u8>,
    },
    /// Keys of a dictionary that the array keeps.
    Keys(Vec<i32>),
}

/// The entries of a chunk's dictionary.
#[derive(Debug)]
pub(super) struct Dictionary {
    entries: Values,
    /// The same, if arrays keep the dictionary.
    array: Option<ArrayRef>,
}

impl Dictionary {
    /// So many entries, as they stand in a dictionary page.
    pub(super) fn decode(bytes: &[u8], count: usize, data_type: &DataType) -> Result<Self, ParquetError> {
        let kept = match data_type {
            DataType::Dictionary(_, value) => Some(value.as_ref()),
            _ => None,
        };
        // An entry has a byte at least, whatever the header says.
        let mut entries = Values::new(kept.unwrap_or(data_type), count.min(bytes.len()))?;
        entries.plain(bytes, &mut 0, count, Chosen::All)?;
        let Some(value) = kept else { return Ok(Self { entries, array: None }) };
        let array = entries.finish(value, None, None)?;
        Ok(Self { entries: Values::Keys(Vec::new()), array: Some(array) })
    }
}

impl Values {
    /// None yet, with room for so many.
    pub(super) fn new(data_type: &DataType, room: usize) -> Result<Self, ParquetError> {
        use DataType as D;
        Ok(match data_type {
            D::Int64 | D::Float64 | D::Timestamp(..) | D::Decimal64(..) | D::Decimal128(..) => {
                Self::Long(Vec::with_capacity(room))
            }
            D::Int32 | D::Float32 | D::Date32 => Self::Short(Vec::with_capacity(room)),
            D::Boolean => Self::Truth(Vec::with_capacity(room)),
            D::Utf8 | D::Binary => Self::Bytes { ends: Vec::with_capacity(room + 1), bytes: Vec::new() },
            D::Dictionary(..) => Self::Keys(Vec::with_capacity(room)),
            other => return Err(damaged(format!("a column of type {other}, which is not read here"))),
        })
    }

    /// Goes past the next `present` values from `at` on, and appends those that are chosen.
    pub(super) fn plain(
        &mut self,
        page: &[u8],
        at: &mut usize,
        present: usize,
        chosen: Chosen<'_>,
    ) -> Result<(), ParquetError> {
        match self {
            Self::Long(values) => {
                append(values, numbers(page, at, present)?, chosen, |b| i64::from_le_bytes(*b))
            }
            Self::Short(values) => {
                append(values, numbers(page, at, present)?, chosen, |b| i32::from_le_bytes(*b))
            }
            Self::Truth(values) => truths(values, page, at, present, chosen)?,
            Self::Bytes { ends, bytes } => texts(ends, bytes, (page, at), present, chosen)?,
            Self::Keys(_) => return Err(damaged("values among indices, which the footer does not name")),
        }
        Ok(())
    }

    /// Appends those entries of a dictionary whose indices are chosen.
    pub(super) fn indices(
        &mut self,
        indices: &[u32],
        chosen: Chosen<'_>,
        dictionary: &Dictionary,
    ) -> Result<(), ParquetError> {
        match (self, &dictionary.entries) {
            // Whether they are in the dictionary is checked once the array is made.
            (Self::Keys(keys), _) => append(keys, indices, chosen, |i| *i as i32),
            (Self::Long(values), Self::Long(entries)) => {
                within(indices, entries.len())?;
                append(values, indices, chosen, |i| entries[*i as usize]);
            }
            (Self::Short(values), Self::Short(entries)) => {
                within(indices, entries.len())?;
                append(values, indices, chosen, |i| entries[*i as usize]);
            }
            (Self::Bytes { ends, bytes }, Self::Bytes { ends: entries, bytes: texts }) => {
                within(indices, entries.len())?;
                let mut chosen_indices = Vec::with_capacity(indices.len());
                append(&mut chosen_indices, indices, chosen, |i| i + 1);
                for index in chosen_indices {
                    // 0: no value.
                    if let Some(index) = index.checked_sub(1) {
                        let start = index.checked_sub(1).map_or(0, |i| entries[i as usize]);
                        bytes.extend_from_slice(&texts[start as usize..entries[index as usize] as usize]);
                    }
                    ends.push(length(bytes)?);
                }
            }
            _ => return Err(damaged("indices of a column that has no dictionary")),
        }
        Ok(())
    }

    /// The values as an array; null where `valid` says so.
    pub(super) fn finish(
        self,
        data_type: &DataType,
        valid: Option<NullBuffer>,
        dictionary: Option<&Dictionary>,
    ) -> Result<ArrayRef, ParquetError> {
        Ok(match self {
            Self::Long(values) => match data_type {
                DataType::Decimal128(precision, scale) => {
                    let wide: Vec<i128> = values.into_iter().map(i128::from).collect();
                    let array = Decimal128Array::try_new(wide.into(), valid)?;
                    Arc::new(array.with_precision_and_scale(*precision, *scale)?)
                }
                _ => of_numbers(values, data_type, valid)?,
            },
            Self::Short(values) => of_numbers(values, data_type, valid)?,
            Self::Truth(values) => Arc::new(BooleanArray::new(BooleanBuffer::from(values), valid)),
            Self::Bytes { mut ends, bytes } => {
                ends.insert(0, 0);
                let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
                match data_type {
                    DataType::Utf8 => Arc::new(StringArray::try_new(offsets, bytes.into(), valid)?),
                    _ => Arc::new(BinaryArray::try_new(offsets, bytes.into(), valid)?),
                }
            }
            Self::Keys(keys) => {
                let entries = dictionary.and_then(|d| d.array.clone());
                let entries = entries.ok_or_else(|| damaged("indices without a dictionary"))?;
                let keys = Int32Array::try_new(keys.into(), valid)?;
                Arc::new(DictionaryArray::<Int32Type>::try_new(keys, entries)?)
            }
        })
    }
}

fn of_numbers<T: ArrowNativeType>(
    values: Vec<T>,
    data_type: &DataType,
    valid: Option<NullBuffer>,
) -> Result<ArrayRef, ParquetError> {
    let builder = ArrayData::builder(data_type.clone()).len(values.len()).nulls(valid);
    Ok(make_array(builder.add_buffer(Buffer::from_vec(values)).build()?))
}

/// The next `present` numbers of `N` bytes.
fn numbers<'a, const N: usize>(
    page: &'a [u8],
    at: &mut usize,
    present: usize,
) -> Result<&'a [[u8; N]], ParquetError> {
    let end = present.checked_mul(N).and_then(|l| l.checked_add(*at));
    let bytes = end.and_then(|end| page.get(*at..end)).ok_or_else(cut_off)?;
    *at += bytes.len();
    Ok(bytes.as_chunks().0)
}

/// Appends what the chosen of the stored values are, and for rows without one the default.
fn append<T: Default, S>(values: &mut Vec<T>, stored: &[S], chosen: Chosen<'_>, value: impl Fn(&S) -> T) {
    match chosen {
        Chosen::All => values.extend(stored.iter().map(value)),
        Chosen::Valid(valid) => {
            let (mut rest, mut left) = (stored.iter(), valid.len);
            for &word in &valid.words {
                let rows = left.min(64);
                left -= rows;
                if word == u64::MAX {
                    values.extend(rest.by_ref().take(64).map(&value));
                    continue;
                }
                values.extend((0..rows).map(|i| {
                    let here = if word >> i & 1 == 1 { rest.next() } else { None };
                    here.map_or_else(T::default, &value)
                }));
            }
        }
        Chosen::Places(places) => {
            values.extend(places.iter().map(|p| stored.get(*p as usize).map_or_else(T::default, &value)));
        }
    }
}

fn within(indices: &[u32], entries: usize) -> Result<(), ParquetError> {
    let largest = indices.iter().copied().max();
    if largest.is_some_and(|i| i as usize >= entries) {
        Err(damaged("an index beyond the dictionary"))
    } else {
        Ok(())
    }
}

fn truths(
    values: &mut Vec<bool>,
    page: &[u8],
    at: &mut usize,
    present: usize,
    chosen: Chosen<'_>,
) -> Result<(), ParquetError> {
    if at.checked_add(present).is_none_or(|end| end > page.len() * 8) {
        return Err(cut_off());
    }
    let from = *at;
    let stored: Vec<bool> = (from..from + present).map(|at| page[at / 8] >> (at % 8) & 1 == 1).collect();
    append(values, &stored, chosen, |b| *b);
    *at += present;
    Ok(())
}

/// Texts stand behind their lengths, so the way to one leads past all before it.
fn texts(
    ends: &mut Vec<i32>,
    bytes: &mut Vec<u8>,
    (page, at): (&[u8], &mut usize),
    present: usize,
    chosen: Chosen<'_>,
) -> Result<(), ParquetError> {
    let mut next = |bytes: &mut Vec<u8>| {
        let (from, end) = text(page, *at)?;
        copy(page, from, end, bytes);
        *at = end;
        Ok::<_, ParquetError>(())
    };
    match chosen {
        Chosen::All => {
            for _ in 0..present {
                next(bytes)?;
                ends.push(length(bytes)?);
            }
        }
        Chosen::Valid(valid) => {
            for row in 0..valid.len {
                if valid.get(row) {
                    next(bytes)?;
                }
                ends.push(length(bytes)?);
            }
        }
        Chosen::Places(places) => return chosen_texts(ends, bytes, (page, at), present, places),
    }
    Ok(())
}

fn chosen_texts(
    ends: &mut Vec<i32>,
    bytes: &mut Vec<u8>,
    (page, at): (&[u8], &mut usize),
    present: usize,
    places: &[u32],
) -> Result<(), ParquetError> {
    let mut next = 0;
    for &place in places {
        if place != NULL {
            for _ in next..place {
                *at = text(page, *at)?.1;
            }
            let (from, end) = text(page, *at)?;
            copy(page, from, end, bytes);
            *at = end;
            next = place + 1;
        }
        ends.push(length(bytes)?);
    }
    for _ in next as usize..present {
        *at = text(page, *at)?.1;
    }
    Ok(())
}

/// Where the text whose length stands here begins and ends.
#[inline]
fn text(page: &[u8], at: usize) -> Result<(usize, usize), ParquetError> {
    let length = page.get(at..).and_then(<[u8]>::first_chunk).ok_or_else(cut_off)?;
    let from = at + 4;
    match from.checked_add(u32::from_le_bytes(*length) as usize) {
        Some(end) if end <= page.len() => Ok((from, end)),
        _ => Err(cut_off()),
    }
}

#[inline]
fn copy(page: &[u8], from: usize, end: usize, bytes: &mut Vec<u8>) {
    match page.get(from..from + SHORT) {
        // A copy of fixed length is no call; what is too much goes again.
        Some(short) if end - from <= SHORT => {
            let length = bytes.len() + (end - from);
            bytes.extend_from_slice(short);
            bytes.truncate(length);
        }
        _ => bytes.extend_from_slice(&page[from..end]),
    }
}

#[inline]
fn length(bytes: &[u8]) -> Result<i32, ParquetError> {
    i32::try_from(bytes.len()).map_err(|_| damaged("more than 2 GiB of text in a row group"))
}

fn cut_off() -> ParquetError {
    damaged("fewer values in a page than its header says")
}
