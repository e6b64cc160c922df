//! Dates and times as each dialect writes them.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use chrono::{DateTime, Datelike, NaiveDateTime};

use super::dialect::{Dialect, nanoseconds};

const DAY: i128 = 86_400_000_000_000;

/// The literal of a date, a time of day or a timestamp.
///
/// # Errors
/// The dialect's types are not fine or wide enough; why, in words.
pub(super) fn literal(dialect: Dialect, array: &dyn Array, row: usize) -> Result<String, String> {
    match array.data_type() {
        DataType::Date32 => {
            let days = i128::from(array.as_primitive::<Date32Type>().value(row));
            date(dialect, days * DAY)
        }
        DataType::Date64 => {
            let ms = i128::from(array.as_primitive::<Date64Type>().value(row));
            date(dialect, ms * 1_000_000)
        }
        DataType::Time32(unit) | DataType::Time64(unit) => {
            let of_day = i128::from(time_of_day(array, row, *unit)) * nanoseconds(*unit);
            Ok(format!("'{}'", of_clock(dialect, at(of_day)?, "%H:%M:%S")?))
        }
        DataType::Timestamp(unit, zone) => {
            let instant = at(i128::from(timestamp(array, row, *unit)) * nanoseconds(*unit))?;
            stamp(dialect, instant, zone.is_some())
        }
        other => Err(format!("type {other} has no literal")),
    }
}

fn date(dialect: Dialect, nanoseconds: i128) -> Result<String, String> {
    let text = at(nanoseconds)?.format("%Y-%m-%d").to_string();
    Ok(match dialect {
        // Beside an old datetime, a text is read in the order of the session's language.
        Dialect::SqlServer => format!("CAST('{text}' AS date)"),
        _ => format!("'{text}'"),
    })
}

fn stamp(dialect: Dialect, instant: NaiveDateTime, zoned: bool) -> Result<String, String> {
    let t = if dialect == Dialect::SqlServer { "%Y-%m-%dT%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    let text = of_clock(dialect, instant, t)?;
    Ok(match (dialect, zoned) {
        // The script sets the session's zone to UTC, and MySQL's types carry none.
        (Dialect::MySql | Dialect::MariaDb, _) => format!("'{text}'"),
        (Dialect::SqlServer, true) => format!("CAST('{text}+00:00' AS datetimeoffset(7))"),
        (Dialect::SqlServer, false) => format!("CAST('{text}' AS datetime2(7))"),
        (Dialect::Postgres | Dialect::Sqlite, true) => format!("'{text}+00:00'"),
        (Dialect::Postgres | Dialect::Sqlite, false) => format!("'{text}'"),
    })
}

/// With as many digits of the second as it needs.
fn of_clock(dialect: Dialect, at: NaiveDateTime, format: &str) -> Result<String, String> {
    let nanos = at.and_utc().timestamp_subsec_nanos();
    let mut text = at.format(format).to_string();
    if !nanos.is_multiple_of(dialect.resolution()) {
        return Err(format!("{text}.{nanos:09} is finer than {}'s times", dialect.title()));
    }
    if nanos > 0 {
        text += format!(".{nanos:09}").trim_end_matches('0');
    }
    Ok(text)
}

fn at(nanoseconds: i128) -> Result<NaiveDateTime, String> {
    let (seconds, nanos) = (nanoseconds.div_euclid(1_000_000_000), nanoseconds.rem_euclid(1_000_000_000));
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, nanos as u32))
        .map(|at| at.naive_utc())
        .filter(|at| (1..=9999).contains(&at.year()))
        .ok_or_else(|| "a time outside the years 1 to 9999 has no literal".to_owned())
}

fn time_of_day(array: &dyn Array, row: usize, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => i64::from(array.as_primitive::<Time32SecondType>().value(row)),
        TimeUnit::Millisecond => i64::from(array.as_primitive::<Time32MillisecondType>().value(row)),
        TimeUnit::Microsecond => array.as_primitive::<Time64MicrosecondType>().value(row),
        TimeUnit::Nanosecond => array.as_primitive::<Time64NanosecondType>().value(row),
    }
}

fn timestamp(array: &dyn Array, row: usize, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(row),
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(row),
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
        TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value(row),
    }
}
