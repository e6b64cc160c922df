//! Constants of a condition, brought into the terms of a column without loss.

use arrow::datatypes::{DataType, TimeUnit, i256};
use chrono::{Datelike, NaiveDate, NaiveTime, Timelike};

use super::exact::{ExactNumber, Threshold};
use super::syntax::Literal;
use crate::model::time::{parse_local, split_offset};

/// A constant in the terms of a column's type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Comparand {
    Integer(Threshold),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Boolean(bool),
}

/// The constant in the terms of this type, or what the type expects.
pub(super) fn comparand(literal: &Literal, data_type: &DataType) -> Result<Comparand, &'static str> {
    let integer =
        |number: Option<ExactNumber>, scale: i32| number.map(|n| Comparand::Integer(n.among(scale)));
    let text = match literal {
        Literal::Text(text) => Some(text.as_str()),
        Literal::Number(_) | Literal::Boolean(_) => None,
    };
    match data_type {
        DataType::Dictionary(_, values) => comparand(literal, values),
        t if t.is_integer() => integer(number(literal), 0).ok_or("a number"),
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => integer(number(literal), i32::from(*scale)).ok_or("a number"),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            float(literal, data_type).map(Comparand::Float).ok_or("a number")
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            text.map(|t| Comparand::Text(t.to_owned())).ok_or("text in single quotes")
        }
        DataType::Boolean => boolean(literal).map(Comparand::Boolean).ok_or("true or false"),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            text.and_then(hex).map(Comparand::Bytes).ok_or("bytes as hexadecimal text, such as '\\xbeef'")
        }
        DataType::Date32 => integer(text.and_then(days), 0).ok_or("a date such as '2025-12-31'"),
        DataType::Date64 => {
            integer(text.and_then(days).map(|d| d.times(86_400_000)), 0).ok_or("a date such as '2025-12-31'")
        }
        DataType::Time32(unit) | DataType::Time64(unit) => {
            integer(text.and_then(time_of_day), digits(*unit)).ok_or("a time such as '18:30:00'")
        }
        DataType::Timestamp(unit, None) => integer(text.and_then(|t| timestamp(t, false)), digits(*unit))
            .ok_or("a date and time without offset, such as '2025-12-31 18:30:00'"),
        DataType::Timestamp(unit, Some(_)) => integer(text.and_then(|t| timestamp(t, true)), digits(*unit))
            .ok_or("a date and time with its offset, such as '2025-12-31T18:30:00Z'"),
        _ => Err("nothing but `is null` and `is not null`, as its type has no order"),
    }
}

fn number(literal: &Literal) -> Option<ExactNumber> {
    match literal {
        Literal::Number(text) | Literal::Text(text) => ExactNumber::parse(text.trim()),
        Literal::Boolean(_) => None,
    }
}

/// The value nearest to the constant that the column's own float type has.
fn float(literal: &Literal, data_type: &DataType) -> Option<f64> {
    let (Literal::Number(text) | Literal::Text(text)) = literal else { return None };
    match data_type {
        DataType::Float32 => text.trim().parse::<f32>().ok().map(f64::from),
        _ => text.trim().parse().ok(),
    }
}

fn boolean(literal: &Literal) -> Option<bool> {
    match literal {
        Literal::Boolean(value) => Some(*value),
        Literal::Text(text) => text.parse().ok(),
        Literal::Number(_) => None,
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x").unwrap_or(text).as_bytes();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(|p| if p.len() == 2 { pair(p) } else { None }).collect()
}

fn days(text: &str) -> Option<ExactNumber> {
    const EPOCH_FROM_CE: i32 = 719_163;
    let date = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").ok()?;
    let days = date.num_days_from_ce().checked_sub(EPOCH_FROM_CE)?;
    Some(ExactNumber::new(i256::from_i128(i128::from(days)), 0))
}

fn time_of_day(text: &str) -> Option<ExactNumber> {
    let forms = ["%H:%M:%S%.f", "%H:%M"];
    let time = forms.iter().find_map(|form| NaiveTime::parse_from_str(text.trim(), form).ok())?;
    let seconds = i128::from(time.num_seconds_from_midnight());
    Some(nanoseconds(seconds, time.nanosecond()))
}

/// Years far beyond those of commit times are fine here: `9999-12-31` is a common end of validity.
fn timestamp(text: &str, zoned: bool) -> Option<ExactNumber> {
    let (local, offset) = split_offset(text.trim())?;
    if offset.is_some() != zoned {
        return None;
    }
    let local = parse_local(local)?.and_utc();
    let seconds = i128::from(local.timestamp()) - i128::from(offset.unwrap_or(0));
    Some(nanoseconds(seconds, local.timestamp_subsec_nanos()))
}

fn nanoseconds(seconds: i128, nanoseconds: u32) -> ExactNumber {
    ExactNumber::new(i256::from_i128(seconds * 1_000_000_000 + i128::from(nanoseconds)), 9)
}

/// Decimal digits of a second that a unit counts.
fn digits(unit: TimeUnit) -> i32 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}
