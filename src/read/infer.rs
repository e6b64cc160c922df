//! Lossless inference: a column of texts gets a type only if printing the typed
//! value gives every text back.
//!
//! So `007` stays text, a column with one non-number stays text, `1.50` and `2.25`
//! are decimals with two places, and nothing ever becomes a float. One pass counts
//! what kinds of texts there are; the type and the reason for it follow from the
//! counts.

use arrow::datatypes::DataType;

use super::cell::{format_days, parse_days, shortened};
use super::json_text;

/// Why a column of a text table has its type.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeDecision {
    /// The column.
    pub column: String,
    /// Its type.
    pub data_type: DataType,
    /// Whether the plan declares it.
    pub declared: bool,
    /// The reason, in words.
    pub reason: String,
}

/// What a text could be, by its form alone. The order is that of reasons for text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Text that no other kind describes.
    Other,
    /// An object or array of JSON.
    Nested,
    /// A number whose form no type prints: leading zeros, plus sign, exponent, negative zero.
    OddNumber,
    /// An integer that fits 64 bits.
    Integer,
    /// A longer integer.
    LongInteger,
    /// Digits, point, digits.
    Decimal,
    /// `true` or `false`.
    Bool,
    /// `YYYY-MM-DD`.
    Date,
}

const KINDS: usize = 8;
const DIGITS_MAX: usize = 38;

/// What has been seen of one column.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    counts: [u64; KINDS],
    /// The first text of each kind, and its record.
    firsts: [Option<(u64, String)>; KINDS],
    /// Digits behind the point, least and most.
    places: Option<(usize, usize)>,
    /// Most digits before the point.
    digits: usize,
}

impl Evidence {
    /// Takes note of a cell's text.
    pub(crate) fn see(&mut self, text: &str, record: impl Fn() -> u64) {
        let kind = self.kind(text);
        self.count(kind, text, record);
    }

    /// Takes note of a raw JSON value.
    pub(crate) fn see_json(&mut self, raw: &str, record: impl Fn() -> u64) {
        let kind = match raw.as_bytes().first() {
            Some(b'n') | None => return,
            Some(b'{' | b'[') => Kind::Nested,
            Some(b'"') => match json_text::unescape(raw) {
                Some(text) if is_date(&text) => Kind::Date,
                _ => Kind::Other,
            },
            _ => self.kind(raw),
        };
        self.count(kind, raw, record);
    }

    fn count(&mut self, kind: Kind, text: &str, record: impl Fn() -> u64) {
        self.counts[kind as usize] += 1;
        self.firsts[kind as usize].get_or_insert_with(|| (record(), shortened(text)));
    }

    fn kind(&mut self, text: &str) -> Kind {
        match text.as_bytes() {
            b"true" | b"false" => Kind::Bool,
            [b'0'..=b'9' | b'-' | b'+' | b'.', ..] => self.number(text),
            _ => Kind::Other,
        }
    }

    fn number(&mut self, text: &str) -> Kind {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').map_or((unsigned, None), |(w, f)| (w, Some(f)));
        let is_digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        if !is_digits(whole) || fraction.is_some_and(|f| !is_digits(f)) {
            return self.other_number(text);
        }
        self.widen(whole.len(), fraction.map_or(0, str::len));
        let is_negative_zero = text.starts_with('-') && text.bytes().all(|b| matches!(b, b'-' | b'0' | b'.'));
        if is_negative_zero || (whole.len() > 1 && whole.starts_with('0')) {
            return Kind::OddNumber;
        }
        match fraction {
            Some(_) => Kind::Decimal,
            None if whole.len() < 19 || text.parse::<i64>().is_ok() => Kind::Integer,
            None => Kind::LongInteger,
        }
    }

    fn other_number(&mut self, text: &str) -> Kind {
        if is_date(text) {
            return Kind::Date;
        }
        let Some(written) = super::cell::Written::parse(text) else { return Kind::Other };
        let places = usize::try_from(written.scale().max(0)).unwrap_or(usize::MAX);
        self.widen(text.len(), places);
        Kind::OddNumber
    }

    fn widen(&mut self, digits: usize, places: usize) {
        self.digits = self.digits.max(digits);
        let (least, most) = self.places.unwrap_or((places, places));
        self.places = Some((least.min(places), most.max(places)));
    }

    /// What another part of the column has seen, behind this one.
    pub(crate) fn merge(&mut self, later: Self) {
        for kind in 0..KINDS {
            self.counts[kind] += later.counts[kind];
        }
        for (own, other) in self.firsts.iter_mut().zip(later.firsts) {
            *own = own.take().or(other);
        }
        if let Some((least, most)) = later.places {
            self.widen(later.digits, least);
            self.widen(later.digits, most);
        }
    }

    fn has_only(&self, kinds: &[Kind]) -> bool {
        let rest: u64 = self.counts.iter().sum();
        rest > 0 && kinds.iter().map(|k| self.counts[*k as usize]).sum::<u64>() == rest
    }

    /// The type that gives every text back, and why. A `numeric` column is a
    /// number in any case: with as many places as the longest value has.
    pub(crate) fn decide(&self, numeric: bool) -> (DataType, String) {
        use Kind::{Bool, Date, Decimal, Integer, LongInteger, OddNumber};
        let (least, most) = self.places.unwrap_or((0, 0));
        let fits = self.digits.saturating_add(most) <= DIGITS_MAX;
        let decimal = |places: usize| DataType::Decimal128(DIGITS_MAX as u8, places as i8);
        if self.has_only(&[Integer]) {
            (DataType::Int64, "every value is an integer".to_owned())
        } else if self.has_only(&[Integer, LongInteger]) && fits {
            (decimal(0), "every value is an integer, some beyond 64 bits".to_owned())
        } else if self.has_only(&[Decimal]) && least == most && fits {
            (decimal(most), format!("every value has {most} decimals"))
        } else if numeric && fits && self.places.is_some() && most <= DIGITS_MAX {
            (decimal(most), format!("declared to be a number; {least} to {most} decimals occur"))
        } else if self.has_only(&[Bool]) {
            (DataType::Boolean, "every value is true or false".to_owned())
        } else if self.has_only(&[Date]) {
            (DataType::Date32, "every value is a date".to_owned())
        } else if self.has_only(&[Integer, LongInteger, Decimal, OddNumber]) {
            (DataType::Utf8, self.why_no_number(least, most, fits))
        } else {
            (DataType::Utf8, self.why_text())
        }
    }

    fn why_no_number(&self, least: usize, most: usize, fits: bool) -> String {
        let odd = self.counts[Kind::OddNumber as usize];
        match &self.firsts[Kind::OddNumber as usize] {
            Some((record, text)) => format!(
                "text: {odd} {} written with leading zeros, a plus sign, an exponent or as negative zero, \
                 the first {text:?} in record {record}",
                if odd == 1 { "number is" } else { "numbers are" }
            ),
            None if fits => format!("text: numbers of decimals differ, {least} to {most}"),
            None => "text: more digits than a decimal holds".to_owned(),
        }
    }

    fn why_text(&self) -> String {
        let total: u64 = self.counts.iter().sum();
        let (mut first, mut rest) = (None, 0);
        for kind in [Kind::Other, Kind::Nested, Kind::Bool, Kind::Date] {
            rest += self.counts[kind as usize];
            let earliest = |seen: &&(u64, String)| first.is_none_or(|f: &(u64, String)| seen.0 < f.0);
            first = self.firsts[kind as usize].as_ref().filter(earliest).or(first);
        }
        match first {
            None => "text: no values".to_owned(),
            Some(_) if rest == total => "text".to_owned(),
            Some((record, text)) => {
                format!(
                    "text: {rest} of {total} values are no numbers, the first {text:?} in record {record}"
                )
            }
        }
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && parse_days(text).is_some_and(|d| format_days(d) == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts, separated by blanks, and the type and reason that must come of them.
    #[test]
    fn types_give_every_text_back() {
        let table = [
            ("1 -20 0", "Int64", "every value is an integer"),
            (
                "9223372036854775807 9223372036854775808",
                "Decimal128(38, 0)",
                "every value is an integer, some beyond 64 bits",
            ),
            ("1.50 -0.25", "Decimal128(38, 2)", "every value has 2 decimals"),
            ("1.5 1.25 3", "Utf8", "text: numbers of decimals differ, 0 to 2"),
            ("true false", "Boolean", "every value is true or false"),
            ("2024-02-29 0001-01-01", "Date32", "every value is a date"),
            ("2024-02-29 2023-02-29", "Utf8", "text"),
            ("", "Utf8", "text: no values"),
            ("a b", "Utf8", "text"),
            ("1 2 x", "Utf8", "text: 1 of 3 values are no numbers, the first \"x\" in record 3"),
            ("1 true", "Utf8", "text: 1 of 2 values are no numbers, the first \"true\" in record 2"),
        ];
        for (texts, data_type, reason) in table {
            let (found, why) = seen(texts).decide(false);
            assert_eq!((format!("{found:?}").as_str(), why.as_str()), (data_type, reason), "{texts}");
        }
        for texts in ["007", "1 +2", "1e5", "-0", "-0.00", "1. 2.", ".5"] {
            let (found, why) = seen(texts).decide(false);
            assert_eq!(found, DataType::Utf8, "{texts}");
            assert!(why.contains("leading zeros"), "{why}");
        }
        for texts in ["1 NaN", "0x10", "1,5", "1 2024-01-01", "-", "T", "1-1-1"] {
            assert_eq!(seen(texts).decide(false).0, DataType::Utf8, "{texts}");
        }
    }

    #[test]
    fn columns_that_must_be_numbers_get_the_places_of_the_longest() {
        assert_eq!(seen("1.5 1.25 3").decide(true).0, DataType::Decimal128(38, 2));
        assert_eq!(seen("007 1e2 x").decide(true).0, DataType::Decimal128(38, 0));
        assert_eq!(seen("1e-99").decide(true).0, DataType::Utf8);
        assert_eq!(seen("x").decide(true).0, DataType::Utf8);
    }

    #[test]
    fn merged_evidence_is_that_of_the_whole() {
        let (mut a, b) = (seen("1.5 2.5"), seen("1.25 x"));
        a.merge(b);
        let (found, why) = a.decide(false);
        assert_eq!(found, DataType::Utf8);
        assert_eq!(why, "text: 1 of 4 values are no numbers, the first \"x\" in record 2");
    }

    fn seen(texts: &str) -> Evidence {
        let mut evidence = Evidence::default();
        for (i, text) in texts.split_whitespace().enumerate() {
            evidence.see(text, || i as u64 + 1);
        }
        evidence
    }
}
