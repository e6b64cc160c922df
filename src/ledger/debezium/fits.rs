//! Whether a value goes into its column as it stands, told without converting it: of a value alone,
//! or of all values of a record while their ends are looked for.
//!
//! A yes is sure. A no says nothing: whoever needs to know has to convert the value.

use std::ops::Range;

use arrow::datatypes::DataType;

use super::values::Encoding;
use crate::read::json_bytes::{digits_end, plain_end, value_end, whole_end};

/// What a value of a column looks like that surely goes into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    /// Nothing does.
    Unknown,
    /// A string without escapes.
    Text,
    /// A literal of an integer of no more digits than so many.
    Whole(usize),
    /// A literal without exponent, with no more digits on either side of the point than these.
    Decimal { whole: usize, fraction: usize },
    /// `true` or `false`.
    Bool,
    /// `"YYYY-MM-DD"`, a day that its month has in every year.
    Date,
}

impl Plain {
    /// What it is in a column whose values are written like this.
    pub(super) fn of(encoding: Encoding, data_type: &DataType) -> Self {
        use DataType as D;
        match (encoding, data_type) {
            (Encoding::Text, D::Utf8 | D::LargeUtf8 | D::Utf8View) => Self::Text,
            (
                Encoding::Decimal(_) | Encoding::DecimalByMode(_),
                D::Decimal128(precision, scale) | D::Decimal64(precision, scale),
            ) => match usize::try_from(*scale) {
                Ok(fraction) => {
                    Self::Decimal { whole: usize::from(*precision).saturating_sub(fraction), fraction }
                }
                Err(_) => Self::Unknown,
            },
            (Encoding::Json, D::Int64) => Self::Whole(18),
            (Encoding::Json, D::Int32) => Self::Whole(9),
            (Encoding::Json, D::Int16) => Self::Whole(4),
            (Encoding::Json, D::Boolean) => Self::Bool,
            (Encoding::Days, D::Date32) => Self::Date,
            _ => Self::Unknown,
        }
    }

    /// The place behind such a value that begins at a place of a JSON text; `None` says nothing. What
    /// follows has still to be looked at.
    #[inline]
    pub(super) fn end(self, text: &[u8], at: usize) -> Option<usize> {
        match self {
            Self::Unknown => None,
            Self::Text => {
                let end = plain_end(text, at + 1);
                (text.get(at) == Some(&b'"') && text.get(end) == Some(&b'"')).then_some(end + 1)
            }
            Self::Whole(most) => number_end(text, at, most, 0),
            Self::Decimal { whole, fraction } => number_end(text, at, whole, fraction),
            Self::Bool => {
                let rest = text.get(at..)?;
                let is = |word: &[u8]| rest.starts_with(word).then_some(at + word.len());
                is(b"true").or_else(|| is(b"false"))
            }
            Self::Date => {
                let end = at + DATE;
                text.get(at..end).is_some_and(is_date).then_some(end)
            }
        }
    }
}

/// Whether the column surely holds a raw value that is not null.
#[inline]
pub(super) fn fits(encoding: Encoding, data_type: &DataType, raw: &str) -> bool {
    Plain::of(encoding, data_type).end(raw.as_bytes(), 0) == Some(raw.len())
}

/// The place behind a literal without exponent that has no more digits than these.
#[inline]
fn number_end(text: &[u8], at: usize, whole: usize, fraction: usize) -> Option<usize> {
    let (mut end, count) = whole_end(text, at + usize::from(text.get(at) == Some(&b'-')))?;
    if count > whole {
        return None;
    }
    if fraction > 0 && text.get(end) == Some(&b'.') {
        let digits = digits_end(text, end + 1) - end - 1;
        if !(1..=fraction).contains(&digits) {
            return None;
        }
        end += 1 + digits;
    }
    (!matches!(text.get(end), Some(b'.' | b'e' | b'E'))).then_some(end)
}

/// How many bytes a date has.
const DATE: usize = 12;

/// `"YYYY-MM-DD"`, a day that its month has in every year.
fn is_date(bytes: &[u8]) -> bool {
    let &[b'"', y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'"'] = bytes else { return false };
    if ![y1, y2, y3, y4, m1, m2, d1, d2].iter().all(u8::is_ascii_digit) {
        return false;
    }
    let two = |a: u8, b: u8| (a - b'0') * 10 + (b - b'0');
    let days = match two(m1, m2) {
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&two(d1, d2))
}

/// What the values of both images of a layout have to be, so that images can be left in the text at sight.
#[derive(Debug)]
pub(super) struct Checks {
    /// The target that they are checked for.
    pub(super) target: usize,
    /// Per side and member.
    pub(super) members: [Vec<Check>; 2],
    /// Strings that stand for values that were not recorded.
    placeholders: Vec<String>,
    /// A bit for each of their lengths, modulo 64.
    lengths: u64,
}

/// What a member of an image has to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Check {
    /// The column that it is of; any value will do for one that the table does not have.
    pub(super) column: Option<usize>,
    pub(super) is_key: bool,
    pub(super) plain: Plain,
}

/// What looking at a record's values has found.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// Every value surely goes into its column, or is null outside the key.
    pub(super) plain: bool,
    /// The columns that are null in some image.
    pub(super) nulls: Vec<usize>,
}

impl Checks {
    pub(super) fn new(target: usize, members: [Vec<Check>; 2], placeholders: &[String]) -> Self {
        let lengths = placeholders.iter().fold(0, |lengths, text| lengths | 1 << (text.len() % 64));
        Self { target, members, placeholders: placeholders.to_vec(), lengths }
    }

    /// Passes the value of a member of one side.
    #[inline]
    pub(super) fn value(
        &self,
        (side, number): (usize, usize),
        text: &[u8],
        at: usize,
        sight: &mut Sight,
    ) -> Option<usize> {
        let check = self.members[side].get(number)?;
        if let Some(end) = check.plain.end(text, at) {
            sight.plain &= !self.is_placeholder(text, at..end);
            return Some(end);
        }
        let end = value_end(text, at)?;
        match check.column {
            Some(column) if text.get(at) == Some(&b'n') && !check.is_key => sight.nulls.push(column),
            Some(_) => sight.plain = false,
            None => {}
        }
        Some(end)
    }

    #[inline]
    fn is_placeholder(&self, text: &[u8], value: Range<usize>) -> bool {
        self.lengths & 1 << (value.len() % 64) != 0
            && self.placeholders.iter().any(|known| text.get(value.clone()) == Some(known.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::debezium::values::Values;
    use crate::ledger::image::Writer as _;
    use crate::read::cell::CellBuilder;

    const TYPES: [DataType; 7] = [
        DataType::Utf8,
        DataType::Decimal128(5, 2),
        DataType::Decimal128(2, 2),
        DataType::Int64,
        DataType::Int16,
        DataType::Boolean,
        DataType::Date32,
    ];

    /// Whether the value is converted without loss.
    fn is_written(data_type: &DataType, raw: &str) -> bool {
        let encodings = [Encoding::of_type(data_type, None)];
        let mut values = Values {
            encodings: &encodings,
            decimals: None,
            binary: None,
            variable: &mut [false],
            assumed: &mut [None],
            assuming: false,
        };
        let mut cells = CellBuilder::new(data_type).unwrap();
        values.write(&mut cells, 0, raw).is_ok()
    }

    #[test]
    fn days_of_every_month_are_dates() {
        let mut fitting = 0;
        for day in 0..=32 {
            for month in 0..=13 {
                let raw = format!("\"2023-{month:02}-{day:02}\"");
                let fits = fits(Encoding::Days, &DataType::Date32, &raw);
                assert_eq!(fits, is_written(&DataType::Date32, &raw), "{raw}");
                fitting += usize::from(fits);
            }
        }
        assert_eq!(fitting, 365);
    }

    #[test]
    fn what_fits_is_written() {
        let raws = [
            "1",
            "-1",
            "0",
            "-0",
            "0.5",
            "0.50",
            "0.505",
            "123.45",
            "1234.5",
            "999",
            "1000",
            "99999",
            "1e2",
            "1.5e1",
            "123456789012345678",
            "1234567890123456789",
            "12345678901234567890",
            "true",
            "false",
            "\"\"",
            "\"a\"",
            "\"a\\u00e4\"",
            "\"\\ud800\"",
            "\"12\"",
            "\"2024-02-28\"",
            "\"2024-02-29\"",
            "\"2024-02-30\"",
            "\"2024-06-31\"",
            "\"2024-13-01\"",
            "\"2024-00-01\"",
            "\"0000-01-01\"",
            "\"20240228\"",
            "\"2024-02-28T00:00:00Z\"",
            "19000",
            "[1]",
            "{\"scale\":2,\"value\":\"AQ==\"}",
        ];
        let mut fitting = 0;
        for data_type in &TYPES {
            for raw in raws.iter().filter(|raw| fits(Encoding::of_type(data_type, None), data_type, raw)) {
                assert!(is_written(data_type, raw), "{data_type} {raw}");
                fitting += 1;
            }
        }
        assert!(fitting > 30, "most of what is plain is found to fit, not {fitting}");
    }
}
