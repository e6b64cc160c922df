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
use super::hybrid::word;
use super::levels::Bits;
use super::texts::Texts;

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

/// Values on their way into an array. Floating-point numbers are their bits.
#[derive(Debug)]
pub(super) enum Values {
    Long(Vec<i64>),
    Short(Vec<i32>),
    Truth(Bits),
    Bytes(Texts),
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
            D::Boolean => Self::Truth(Bits::default()),
            D::Utf8 | D::Binary => Self::Bytes(Texts::with_room(room)),
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
            Self::Bytes(texts) => texts.plain((page, at), present, chosen)?,
            Self::Keys(_) => return Err(damaged("values among indices, which the footer does not name")),
        }
        Ok(())
    }

    /// Appends those of these numbers that are chosen.
    pub(super) fn numbers(&mut self, numbers: &[i64], chosen: Chosen<'_>) -> Result<(), ParquetError> {
        match self {
            Self::Long(values) => append(values, numbers, chosen, |number| *number),
            Self::Short(values) => append(values, numbers, chosen, |number| *number as i32),
            _ => return Err(damaged("differences in a column that has no integers")),
        }
        Ok(())
    }

    /// Goes past the next texts from `at` on, which have these lengths, and appends those that are chosen.
    pub(super) fn behind_lengths(
        &mut self,
        (page, at): (&[u8], &mut usize),
        lengths: &[i64],
        chosen: Chosen<'_>,
    ) -> Result<(), ParquetError> {
        let Self::Bytes(texts) = self else { return Err(damaged("lengths in a column that has no texts")) };
        let add = |all: usize, length: &i64| all.checked_add(usize::try_from(*length).ok()?);
        let end = lengths.iter().try_fold(*at, add).ok_or_else(cut_off)?;
        texts.behind_lengths(page.get(*at..end).ok_or_else(cut_off)?, lengths, chosen)?;
        *at = end;
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
            (Self::Bytes(texts), Self::Bytes(entries)) => {
                within(indices, entries.count())?;
                let mut chosen_indices = Vec::with_capacity(indices.len());
                append(&mut chosen_indices, indices, chosen, |i| i + 1);
                // 0: no value.
                chosen_indices.iter().try_for_each(|index| texts.entry(entries, index.checked_sub(1)))?;
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
            Self::Truth(bits) => {
                let bits = BooleanBuffer::new(Buffer::from_vec(bits.words), 0, bits.len);
                Arc::new(BooleanArray::new(bits, valid))
            }
            Self::Bytes(texts) => {
                let (offsets, bytes) = texts.finish();
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
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

/// The `count` (at most 64) bits from one on; zeros behind the end.
fn bits(page: &[u8], at: usize, count: usize) -> u64 {
    const SURE: usize = 56;
    let first = word(page, at / 8) >> (at % 8);
    if count <= SURE {
        return first;
    }
    let (rest, at) = (u64::MAX << SURE, at + SURE);
    first & !rest | (word(page, at / 8) >> (at % 8)) << SURE
}

/// Truth values are bits from `at` on, which counts bits.
fn truths(
    values: &mut Bits,
    page: &[u8],
    at: &mut usize,
    present: usize,
    chosen: Chosen<'_>,
) -> Result<(), ParquetError> {
    let from = *at;
    let end = from.checked_add(present).filter(|end| *end <= page.len() * 8).ok_or_else(cut_off)?;
    *at = end;
    match chosen {
        Chosen::All => {
            for at in (from..end).step_by(64) {
                let count = (end - at).min(64);
                values.push(bits(page, at, count), count);
            }
        }
        Chosen::Valid(valid) => {
            let (mut at, mut left) = (from, valid.len);
            for &mask in &valid.words {
                let (rows, count) = (left.min(64), mask.count_ones() as usize);
                values.push(spread(bits(page, at, count), mask), rows);
                (at, left) = (at + count, left - rows);
            }
        }
        Chosen::Places(places) => {
            let value = |place: u32| place != NULL && bits(page, from + place as usize, 1) & 1 == 1;
            for places in places.chunks(64) {
                let word = places.iter().rev().fold(0, |word, place| word << 1 | u64::from(value(*place)));
                values.push(word, places.len());
            }
        }
    }
    Ok(())
}

/// The lowest bits, each moved to the place of the next bit of the mask.
fn spread(mut bits: u64, mut mask: u64) -> u64 {
    if mask == u64::MAX {
        return bits;
    }
    let mut spread = 0;
    while mask != 0 {
        let lowest = mask & mask.wrapping_neg();
        spread |= lowest & (bits & 1).wrapping_neg();
        (bits, mask) = (bits >> 1, mask ^ lowest);
    }
    spread
}

pub(super) fn cut_off() -> ParquetError {
    damaged("fewer values in a page than its header says")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Prng;

    #[test]
    fn lengths_that_cannot_be_are_errors() {
        let page = b"alphabeta";
        for (lengths, is_right) in
            [([5, 4], true), ([9, 0], true), ([9, 1], false), ([-1, 5], false), ([i64::MAX, i64::MAX], false)]
        {
            for chosen in [Chosen::All, Chosen::Places(&[0, NULL, 1])] {
                let mut values = Values::new(&DataType::Utf8, 2).unwrap();
                let taken = values.behind_lengths((page, &mut 0), &lengths, chosen);
                assert_eq!(taken.is_ok(), is_right, "{lengths:?}");
            }
        }
    }

    #[test]
    fn truth_values_are_the_bits_of_their_rows() {
        let mut random = Prng::new(29);
        for _ in 0..200 {
            let page: Vec<u8> = (0..random.index(60)).map(|_| random.next() as u8).collect();
            let value = |at: usize| page[at / 8] >> (at % 8) & 1 == 1;
            let from = random.index(page.len() * 8 + 1);
            let present = random.index(page.len() * 8 - from + 1);
            let mut valid = Bits::default();
            let mut expected = Vec::new();
            let mut next = 0;
            while next < present {
                let here = random.below(4) > 0;
                valid.push(u64::from(here), 1);
                expected.push(here && value(from + next));
                next += usize::from(here);
            }
            let mut places: Vec<u32> = (0..present as u32).collect();
            places.retain(|_| random.below(2) == 0);
            places.iter_mut().filter(|_| random.below(5) == 0).for_each(|place| *place = NULL);
            let of_places =
                places.iter().map(|&place| place != NULL && value(from + place as usize)).collect();
            let all = (0..present).map(|place| value(from + place)).collect();
            for (chosen, expected) in
                [(Chosen::All, all), (Chosen::Valid(&valid), expected), (Chosen::Places(&places), of_places)]
            {
                // Behind others, which need not fill whole words.
                let (mut found, before) = (Bits::default(), random.index(70));
                found.run(true, before);
                let mut at = from;
                truths(&mut found, &page, &mut at, present, chosen).unwrap();
                let found: Vec<bool> = (before..found.len).map(|row| found.get(row)).collect();
                assert_eq!((found, at), (expected, from + present), "{chosen:?}");
            }
            assert!(truths(&mut Bits::default(), &page, &mut (page.len() * 8), 1, Chosen::All).is_err());
        }
    }
}
