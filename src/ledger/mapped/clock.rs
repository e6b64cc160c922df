//! Commit times and positions of columnar ledgers as numbers. What is none, or lies
//! outside what can be held, is an error of its row: it would put a change in a
//! wrong place.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, UInt64Type};
use chrono_tz::Tz;

use super::super::position::parse_position;
use crate::model::time::{self, NotAnInstant};
use crate::model::{NO_TIME, canon};

const ZONE_HINT: &str = "declare the ledger's `time_zone` in the plan";
const COLUMN_HINT: &str = "name another column under ledger.columns.committed_at, or repair the record";
const OUT_OF_RANGE: &str = "outside the years 1677 to 2262";

/// A cell that is no commit time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoTime {
    pub row: usize,
    pub found: String,
    pub hint: &'static str,
}

/// A local time that its zone has twice: the row, and both instants.
pub(super) type Twice = (usize, i64, i64);

/// Commit times in nanoseconds since the epoch. A local time that occurs twice is taken as the
/// earlier instant and listed.
pub(super) fn times(array: &ArrayRef, zone: Option<Tz>) -> Result<(Vec<i64>, Vec<Twice>), NoTime> {
    if let Some(times) = instants(array) {
        return Ok((times, Vec::new()));
    }
    let mut twice = Vec::new();
    let times = (0..array.len()).map(reader(array, zone)?);
    let times = times
        .enumerate()
        .map(|(row, read)| match read {
            Ok(None) => Ok(NO_TIME),
            Ok(Some(Ok(nanoseconds))) if nanoseconds != NO_TIME => Ok(nanoseconds),
            Ok(Some(Err(NotAnInstant::Twice(earlier, later)))) => {
                twice.push((row, earlier, later));
                Ok(earlier)
            }
            Ok(Some(Ok(_))) => Err(no_time(array, row, NotAnInstant::OutOfRange)),
            Ok(Some(Err(why))) | Err(why) => Err(no_time(array, row, why)),
        })
        .collect::<Result<_, _>>()?;
    Ok((times, twice))
}

/// The times of a column that holds nothing but instants.
fn instants(array: &ArrayRef) -> Option<Vec<i64>> {
    let DataType::Timestamp(unit, Some(_)) = array.data_type() else { return None };
    let whole = arrow::compute::cast(array, &DataType::Int64).ok().filter(|_| array.null_count() == 0)?;
    let nanoseconds = |&value: &i64| value.checked_mul(scale(unit)).filter(|&time| time != NO_TIME);
    whole.as_primitive::<Int64Type>().values().iter().map(nanoseconds).collect()
}

/// Whether some times of this column depend on the declared zone.
pub(super) fn is_local(data_type: &DataType) -> bool {
    !data_type.is_integer() && !matches!(data_type, DataType::Timestamp(_, Some(_)))
}

type Read = Result<Option<Result<i64, NotAnInstant>>, NotAnInstant>;

/// Reads the cell of a row: nothing, an instant, or why it is none.
fn reader(array: &ArrayRef, zone: Option<Tz>) -> Result<Box<dyn Fn(usize) -> Read + '_>, NoTime> {
    let whole = |data_type: &DataType| {
        arrow::compute::cast(array, data_type).map_err(|e| NoTime {
            row: 0,
            found: e.to_string(),
            hint: COLUMN_HINT,
        })
    };
    let null = |row: usize| array.is_null(row);
    Ok(match array.data_type() {
        DataType::Timestamp(unit, own) => {
            let local = own.is_none();
            let values = whole(&DataType::Int64)?.as_primitive::<Int64Type>().clone();
            let scale = scale(unit);
            Box::new(move |row| {
                if null(row) {
                    return Ok(None);
                }
                let nanoseconds = values.value(row).checked_mul(scale).ok_or(NotAnInstant::OutOfRange)?;
                if !local {
                    return Ok(Some(Ok(nanoseconds)));
                }
                let zone = zone.ok_or(NotAnInstant::NoZone)?;
                let local = chrono::DateTime::from_timestamp_nanos(nanoseconds).naive_utc();
                Ok(Some(time::in_zone(local, zone)))
            })
        }
        data_type if data_type.is_integer() => {
            // An unsigned number beyond the range of signed ones becomes null.
            let values = whole(&DataType::Int64)?.as_primitive::<Int64Type>().clone();
            Box::new(move |row| match (null(row), values.is_null(row)) {
                (true, _) => Ok(None),
                (false, true) => Err(NotAnInstant::OutOfRange),
                (false, false) => {
                    epoch(values.value(row)).map(|n| Some(Ok(n))).ok_or(NotAnInstant::OutOfRange)
                }
            })
        }
        _ => Box::new(move |row| {
            let Some(text) = canon::cell_text(array.as_ref(), row) else { return Ok(None) };
            Ok(Some(match text.trim().parse() {
                Ok(number) => epoch(number).ok_or(NotAnInstant::OutOfRange),
                Err(_) => time::parse_instant(&text, zone),
            }))
        }),
    })
}

fn no_time(array: &ArrayRef, row: usize, why: NotAnInstant) -> NoTime {
    let text = canon::cell_text(array.as_ref(), row).unwrap_or_else(|| "null".to_owned());
    let (reason, hint) = match why {
        NotAnInstant::NoZone => ("no offset and no declared zone", ZONE_HINT),
        NotAnInstant::Skipped => ("a local time that its zone skips", ZONE_HINT),
        NotAnInstant::OutOfRange => (OUT_OF_RANGE, COLUMN_HINT),
        NotAnInstant::Malformed | NotAnInstant::Twice(..) => ("not a date and time", COLUMN_HINT),
    };
    NoTime { row, found: format!("{text} ({reason})"), hint }
}

pub(super) fn scale(unit: &TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// Commit clocks tick in this era, so the magnitude of an epoch number tells its unit.
/// `None` if it lies outside the years 1677 to 2262.
pub(in super::super) fn epoch(value: i64) -> Option<i64> {
    let scale = match value.unsigned_abs() {
        0..=99_999_999_999 => 1_000_000_000,
        100_000_000_000..=99_999_999_999_999 => 1_000_000,
        100_000_000_000_000..=99_999_999_999_999_999 => 1_000,
        _ => 1,
    };
    value.checked_mul(scale).filter(|&nanoseconds| nanoseconds != NO_TIME)
}

/// Positions as numbers, or the row of the first that is none.
pub(super) fn positions(array: &ArrayRef) -> Result<Vec<u128>, usize> {
    if let (DataType::Int64, 0) = (array.data_type(), array.null_count()) {
        let values = array.as_primitive::<Int64Type>().values();
        return match values.iter().position(|&v| v < 0) {
            Some(row) => Err(row),
            None => Ok(values.iter().map(|&v| v as u128).collect()),
        };
    }
    if let (DataType::UInt64, 0) = (array.data_type(), array.null_count()) {
        return Ok(array.as_primitive::<UInt64Type>().values().iter().map(|&v| u128::from(v)).collect());
    }
    let read = |row| canon::cell_text(array.as_ref(), row).and_then(|t| parse_position(&t));
    (0..array.len()).map(|row| read(row).ok_or(row)).collect()
}
