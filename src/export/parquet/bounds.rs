//! Smallest and largest values of pages and chunks, for statistics and page indexes.

use parquet::data_type::ByteArray;
use parquet::file::statistics::{Statistics, ValueStatistics};

/// Longer text is cut in statistics, as a bound need not be a value.
const BYTES_MAX: usize = 64;

/// The bounds of some cells in Parquet's plain encoding, or none if no cell can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bounds {
    /// At most the smallest value.
    pub min: Vec<u8>,
    /// At least the largest value.
    pub max: Vec<u8>,
}

/// A number that Parquet orders by value.
pub(super) trait Number: Copy + PartialOrd {
    /// Its little-endian bytes.
    fn bytes(self) -> Vec<u8>;
    /// Its bits, for equality.
    fn bits(self) -> u64;
    /// Whether some values have no place in the order.
    const HAS_NAN: bool = false;
    /// Whether it has a place in the order.
    fn is_ordered(self) -> bool {
        true
    }
    /// As a lower bound: zero of a float covers both zeros.
    fn as_min(self) -> Self {
        self
    }
    /// As an upper bound.
    fn as_max(self) -> Self {
        self
    }
}

macro_rules! integers {
    ($($t:ty),+) => { $(impl Number for $t {
        fn bytes(self) -> Vec<u8> {
            self.to_le_bytes().to_vec()
        }
        fn bits(self) -> u64 {
            self as u64
        }
    })+ };
}
integers!(i32, i64, u32, u64);

macro_rules! floats {
    ($($t:ty),+) => { $(impl Number for $t {
        fn bytes(self) -> Vec<u8> {
            self.to_le_bytes().to_vec()
        }
        fn bits(self) -> u64 {
            u64::from(self.to_bits())
        }
        const HAS_NAN: bool = true;
        fn is_ordered(self) -> bool {
            !self.is_nan()
        }
        fn as_min(self) -> Self {
            if self == 0.0 { -0.0 } else { self }
        }
        fn as_max(self) -> Self {
            if self == 0.0 { 0.0 } else { self }
        }
    })+ };
}
floats!(f32, f64);

/// The smallest and largest of some numbers.
pub(super) fn extremes<T: Number>(values: impl Iterator<Item = T>) -> Option<(T, T)> {
    let mut values = values.filter(|v| v.is_ordered());
    let first = values.next()?;
    let wider = |(min, max): (T, T), v: T| (if v < min { v } else { min }, if v > max { v } else { max });
    Some(values.fold((first, first), wider))
}

/// Both pairs of extremes as one.
pub(super) fn wider<T: PartialOrd>(a: Option<(T, T)>, b: Option<(T, T)>) -> Option<(T, T)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((if b.0 < a.0 { b.0 } else { a.0 }, if b.1 > a.1 { b.1 } else { a.1 })),
        (a, b) => a.or(b),
    }
}

impl Bounds {
    /// Of numbers.
    pub(super) fn of_numbers<T: Number>((min, max): (T, T)) -> Self {
        Self { min: min.as_min().bytes(), max: max.as_max().bytes() }
    }

    /// Of bytes or text; `None` if no short upper bound exists.
    pub(super) fn of_bytes((min, max): (&[u8], &[u8]), is_text: bool) -> Option<Self> {
        Some(Self { min: cut(min, is_text).to_vec(), max: upper(max, is_text)? })
    }
}

/// A prefix of at most [`BYTES_MAX`] bytes that does not split a character.
fn cut(bytes: &[u8], is_text: bool) -> &[u8] {
    if bytes.len() <= BYTES_MAX {
        return bytes;
    }
    let begins = |at: &usize| !is_text || bytes[*at] & 0b1100_0000 != 0b1000_0000;
    &bytes[..(0..=BYTES_MAX).rev().find(begins).unwrap_or(0)]
}

fn upper(max: &[u8], is_text: bool) -> Option<Vec<u8>> {
    let prefix = cut(max, is_text);
    if prefix.len() == max.len() {
        return Some(max.to_vec());
    }
    let mut upper = prefix.to_vec();
    if is_text {
        // Only characters of one byte are counted up; others are dropped until one comes.
        while upper.last().is_some_and(|&last| last >= 0x7e) {
            upper.pop();
        }
    } else {
        while upper.last() == Some(&0xff) {
            upper.pop();
        }
    }
    *upper.last_mut()? += 1;
    Some(upper)
}

/// The statistics of a chunk of this physical type.
pub(super) fn statistics(
    physical: parquet::basic::Type,
    bounds: Option<&Bounds>,
    longest: usize,
    nulls: u64,
) -> Option<Statistics> {
    use parquet::basic::Type as T;
    let side = |pick: fn(&Bounds) -> &Vec<u8>| bounds.map(|b| pick(b).as_slice());
    let (min, max) = (side(|b| &b.min), side(|b| &b.max));
    macro_rules! fixed {
        ($variant:ident, $t:ty) => {{
            let read = |bytes: Option<&[u8]>| bytes.and_then(|b| b.try_into().ok()).map(<$t>::from_le_bytes);
            Statistics::$variant(ValueStatistics::new(read(min), read(max), None, Some(nulls), false))
        }};
    }
    Some(match physical {
        T::INT32 => fixed!(Int32, i32),
        T::INT64 => fixed!(Int64, i64),
        T::FLOAT => fixed!(Float, f32),
        T::DOUBLE => fixed!(Double, f64),
        T::BOOLEAN => {
            let read = |bytes: Option<&[u8]>| bytes.and_then(|b| b.first()).map(|&b| b != 0);
            Statistics::Boolean(ValueStatistics::new(read(min), read(max), None, Some(nulls), false))
        }
        T::BYTE_ARRAY => {
            let read = |bytes: Option<&[u8]>| bytes.map(|b| ByteArray::from(b.to_vec()));
            let exact = longest <= BYTES_MAX;
            let statistics = ValueStatistics::new(read(min), read(max), None, Some(nulls), false);
            Statistics::ByteArray(statistics.with_max_is_exact(exact).with_min_is_exact(exact))
        }
        T::INT96 | T::FIXED_LEN_BYTE_ARRAY => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_long_text_enclose_it_and_are_text() {
        for (pad, tail) in [("a", "zz"), ("ä", "ö"), ("\u{7e}", "b"), ("€", "c"), ("x", "\u{10ffff}")] {
            for count in [10, 31, 32, 33, 63, 64, 65, 200] {
                let text = pad.repeat(count) + tail;
                let bounds = Bounds::of_bytes((text.as_bytes(), text.as_bytes()), true);
                let Some(bounds) = bounds else { continue };
                assert!(bounds.min.as_slice() <= text.as_bytes(), "{text}");
                assert!(bounds.max.as_slice() >= text.as_bytes(), "{text}");
                assert!(std::str::from_utf8(&bounds.min).is_ok() && std::str::from_utf8(&bounds.max).is_ok());
            }
        }
        assert_eq!(Bounds::of_bytes((&[0xff; 70], &[0xff; 70]), false), None);
    }

    #[test]
    fn nan_has_no_place_and_zero_covers_both_zeros() {
        let found = extremes([f64::NAN, 0.0, -1.0, f64::NAN].into_iter());
        assert_eq!(found, Some((-1.0, 0.0)));
        let bounds = Bounds::of_numbers((0.0_f64, -0.0_f64));
        assert_eq!(bounds, Bounds { min: (-0.0_f64).bytes(), max: 0.0_f64.bytes() });
        assert_eq!(extremes([f64::NAN].into_iter()), None);
    }
}
