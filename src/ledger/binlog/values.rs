//! Values of a decoded binary log in their columns' types.
//!
//! The type in the comment decides what a value is; the column decides where it
//! goes. A number that is negative is printed as both readings, `-1 (255)`: the
//! unsigned one goes into unsigned columns, and where a column is wider than
//! the value's own type, nothing but the declared type tells which it is.

use std::borrow::Cow;

use arrow::datatypes::{DataType, TimeUnit};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::described::DescribedColumn;
use super::lines::{Escapes, split_comment};
use super::text::unescape;
use crate::ledger::image::Writer;
use crate::read::cell::{CellBuilder, Misfit};

/// What is known of a table's columns beside their types.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    /// Per column: it is a text column in which nothing but UUIDs stand.
    pub(super) uuids: Vec<bool>,
    /// Per column, the words of an enum or a set, as declared.
    pub(super) labels: Vec<Vec<String>>,
}

/// Writes the values of one change.
pub(super) struct Values<'a> {
    pub(super) types: &'a [DataType],
    pub(super) columns: &'a Columns,
    /// What the log says of each column.
    pub(super) described: Option<&'a [Option<&'a DescribedColumn>]>,
    pub(super) escapes: Escapes,
    pub(super) zone: Option<Tz>,
    /// Any value is good.
    pub(super) as_text: bool,
}

impl Writer for Values<'_> {
    fn write(&mut self, cells: &mut CellBuilder, column: usize, raw: &str) -> Result<(), Misfit> {
        let (value, kind) = split_comment(raw);
        if self.as_text {
            return cells.push_text(value);
        }
        let kind = kind.unwrap_or("");
        let name = kind.split(['(', ' ']).next().unwrap_or("");
        let quoted = value.strip_prefix('\'').and_then(|v| v.strip_suffix('\''));
        match (name, quoted) {
            ("DATE", Some(text)) => cells.push_text(&text.replace(':', "-")),
            ("TIME" | "DATETIME", Some(text)) => cells.push_text(text),
            ("TIMESTAMP", _) => self.timestamp(cells, column, quoted.unwrap_or(value)),
            ("ENUM" | "SET", _) => self.label(cells, column, value),
            ("FLOAT", _) => {
                Err(Misfit::new("a number with all of its digits (FLOAT is printed with six)", value))
            }
            ("DOUBLE", _) => double(cells, &self.types[column], value),
            _ if value.starts_with("x'") => self.bytes(cells, column, &hex(value)?, kind),
            (_, Some(text)) => {
                let bytes = unescape(text.as_bytes(), self.escapes == Escapes::All);
                self.bytes(cells, column, &bytes, kind)
            }
            _ if value.starts_with("b'") => bits(cells, value),
            _ => self.number(cells, column, value, name),
        }
    }
}

impl Values<'_> {
    fn bytes(&self, cells: &mut CellBuilder, column: usize, bytes: &[u8], kind: &str) -> Result<(), Misfit> {
        let data_type = &self.types[column];
        if is_binary(data_type) {
            return cells.push_bytes(bytes);
        }
        if self.columns.uuids.get(column) == Some(&true) && kind.starts_with("STRING(16)") {
            return cells.push_text(&uuid(bytes)?);
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => cells.push_text(text),
            Err(_) => Err(Misfit::new("a text in UTF-8", format_args!("{} other bytes", bytes.len()))),
        }
    }

    /// Seconds since the epoch, with the fraction that the column has.
    fn timestamp(&self, cells: &mut CellBuilder, column: usize, value: &str) -> Result<(), Misfit> {
        let misfit = || Misfit::new("seconds since 1970", value);
        let (seconds, fraction) = value.split_once('.').unwrap_or((value, ""));
        let seconds: i64 = seconds.parse().map_err(|_| misfit())?;
        if seconds == 0 {
            return Err(Misfit::new("a time", "the zero time 0000-00-00 00:00:00"));
        }
        if fraction.len() > 6 {
            return Err(misfit());
        }
        let part: i64 = format!("{fraction:0<6}").parse().map_err(|_| misfit())?;
        let micros = seconds.checked_mul(1_000_000).and_then(|s| s.checked_add(part)).ok_or_else(misfit)?;
        match &self.types[column] {
            DataType::Timestamp(_, Some(_)) => cells.push_epoch(micros, TimeUnit::Microsecond),
            _ => {
                let zone = self.zone.ok_or_else(|| {
                    Misfit::new("a time whose zone is known (declare the ledger's `time_zone`)", value)
                })?;
                let moment: DateTime<Utc> = DateTime::from_timestamp_micros(micros).ok_or_else(misfit)?;
                let local = moment.with_timezone(&zone).naive_local();
                let width = fraction.len();
                let digits = if width == 0 { String::new() } else { format!(".{fraction}") };
                cells.push_text(&format!("{}{digits}", local.format("%Y-%m-%d %H:%M:%S")))
            }
        }
    }

    /// The words that a number or bits stand for.
    fn label(&self, cells: &mut CellBuilder, column: usize, value: &str) -> Result<(), Misfit> {
        if !matches!(self.types[column], DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
            return bits(cells, value).or_else(|_| cells.push_text(value));
        }
        let described = self.described.and_then(|d| d.get(column).copied().flatten());
        let described = described.map(|d| d.labels.as_slice()).filter(|labels| !labels.is_empty());
        let declared = self.columns.labels.get(column).map(Vec::as_slice).filter(|l| !l.is_empty());
        let labels = described.or(declared).ok_or_else(|| {
            Misfit::new("the words of this enum or set (declare them under ledger.labels)", value)
        })?;
        let unknown = || Misfit::new(format_args!("one of {} words", labels.len()).to_string(), value);
        if let Some(digits) = value.strip_prefix("b'").and_then(|v| v.strip_suffix('\'')) {
            let set = u64::from_str_radix(digits, 2).map_err(|_| unknown())?;
            if labels.len() < 64 && set >> labels.len() != 0 {
                return Err(unknown());
            }
            let words = labels.iter().enumerate().filter(|(bit, _)| set >> bit & 1 == 1);
            return cells.push_text(&words.map(|(_, word)| word.as_str()).collect::<Vec<_>>().join(","));
        }
        let index: usize = value.parse().map_err(|_| unknown())?;
        if index == 0 {
            // What MySQL stores for a value that is none of the words.
            return cells.push_text("");
        }
        cells.push_text(labels.get(index - 1).ok_or_else(unknown)?)
    }

    /// A whole or a decimal number.
    fn number(&self, cells: &mut CellBuilder, column: usize, value: &str, name: &str) -> Result<(), Misfit> {
        let Some((signed, unsigned)) = value.strip_suffix(')').and_then(|v| v.split_once(" (")) else {
            return cells.push_text(value);
        };
        use DataType as D;
        let described = self.described.and_then(|d| d.get(column).copied().flatten());
        let is_unsigned = match (described, &self.types[column], name) {
            (Some(column), ..) => column.unsigned,
            (None, D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64, _) => true,
            (None, D::Int8, "TINYINT")
            | (None, D::Int16, "SHORTINT")
            | (None, D::Int32, "INT" | "MEDIUMINT")
            | (None, D::Int64, "LONGINT") => false,
            _ => {
                let expected = "a number whose sign is known (declare the column's type as narrow as it is)";
                return Err(Misfit::new(expected, value));
            }
        };
        cells.push_text(if is_unsigned { unsigned } else { signed })
    }
}

fn is_binary(data_type: &DataType) -> bool {
    use DataType as D;
    matches!(data_type, D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_))
}

/// A double is printed with all of its digits, but not in the server's own notation.
fn double(cells: &mut CellBuilder, data_type: &DataType, value: &str) -> Result<(), Misfit> {
    if data_type.is_floating() {
        return cells.push_text(value);
    }
    Err(Misfit::new("a column of type float64 for a double", value))
}

fn hex(value: &str) -> Result<Vec<u8>, Misfit> {
    let misfit = || Misfit::new("bytes", value);
    let digits = value.strip_prefix("x'").and_then(|v| v.strip_suffix('\'')).ok_or_else(misfit)?;
    let pair = |pair: &[u8]| {
        let digits = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(digits, 16).ok()
    };
    digits.as_bytes().chunks(2).map(pair).collect::<Option<_>>().ok_or_else(misfit)
}

/// `b'0101'`: as bytes, as a number or as a truth value.
fn bits(cells: &mut CellBuilder, value: &str) -> Result<(), Misfit> {
    let misfit = || Misfit::new("bits", value);
    let digits = value.strip_prefix("b'").and_then(|v| v.strip_suffix('\'')).ok_or_else(misfit)?;
    let number = u64::from_str_radix(digits, 2).map_err(|_| misfit())?;
    let bytes = &number.to_be_bytes()[8 - digits.len().div_ceil(8).clamp(1, 8)..];
    if cells.push_bytes(bytes).is_ok() {
        return Ok(());
    }
    let single = digits.len() == 1;
    if single && cells.push_bool(number == 1).is_ok() { Ok(()) } else { cells.push_text(&number.to_string()) }
}

/// Sixteen bytes as the text of a UUID. Zeros at the end are not stored.
fn uuid(bytes: &[u8]) -> Result<Cow<'static, str>, Misfit> {
    let mut whole = [0_u8; 16];
    // Two bytes short is likelier a text than a UUID that ends in zeros.
    if bytes.len() > 16 || bytes.len() < 15 {
        return Err(Misfit::new("the 16 bytes of a UUID", format_args!("{} bytes", bytes.len())));
    }
    whole[..bytes.len()].copy_from_slice(bytes);
    let digits: String = whole.iter().map(|b| format!("{b:02x}")).collect();
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Ok(Cow::Owned(parts.join("-")))
}
