//! Dates, times of day and timestamps from their exact texts and epoch counts.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{self as types, ArrowPrimitiveType, DataType, TimeUnit};
use chrono::{NaiveDate, NaiveTime, TimeZone};
use chrono_tz::Tz;

use super::number::{Values, scalar};
use super::{CellOptions, Cells, Misfit};
use crate::model::time::split_offset;
use crate::read::json_text;

const DAY: i64 = 86_400;
const EPOCH_FROM_CE: i32 = 719_163;

/// Units of this kind in one second.
fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

pub(super) fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "µs",
        TimeUnit::Nanosecond => "ns",
    }
}

/// Days since 1970-01-01 of `YYYY-MM-DD`, in the proleptic Gregorian calendar;
/// more year digits, a sign and a trailing ` BC` are understood.
///
/// ```
/// use asof::read::cell::{format_days, parse_days};
/// assert_eq!(parse_days("1970-02-01"), Some(31));
/// assert_eq!(format_days(-1), "1969-12-31");
/// assert_eq!(parse_days("2023-02-29"), None);
/// ```
pub fn parse_days(text: &str) -> Option<i32> {
    let (date, bc) = match text.strip_suffix(" BC") {
        Some(date) => (date, true),
        None => (text, false),
    };
    let bytes = date.as_bytes();
    let dashes = bytes.len().checked_sub(6)?;
    if bytes[dashes] != b'-' || bytes[dashes + 3] != b'-' {
        return None;
    }
    let (negative, years) = match &bytes[..dashes] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if !(4..=6).contains(&years.len()) || (negative && bc) {
        return None;
    }
    let year = i32::try_from(number(years)?).ok()?;
    let year = if bc {
        1 - year
    } else if negative {
        -year
    } else {
        year
    };
    let (month, day) = (number(&bytes[dashes + 1..dashes + 3])?, number(&bytes[dashes + 4..])?);
    let date = NaiveDate::from_ymd_opt(year, month as u32, day as u32)?;
    Some(chrono::Datelike::num_days_from_ce(&date) - EPOCH_FROM_CE)
}

/// `YYYY-MM-DD` of days since 1970-01-01.
pub fn format_days(days: i32) -> String {
    days.checked_add(EPOCH_FROM_CE)
        .and_then(NaiveDate::from_num_days_from_ce_opt)
        .map_or_else(|| format!("day {days}"), |d| d.to_string())
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0_i64, |v, b| b.is_ascii_digit().then(|| v * 10 + i64::from(b - b'0')))
}

/// Nanoseconds since midnight of `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fffffffff`.
fn parse_time(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let two = |at: usize| number(bytes.get(at..at + 2)?);
    let (hour, minute) = (two(0)?, two(3)?);
    let (second, fraction) = match bytes.len() {
        5 => (0, 0),
        8 => (two(6)?, 0),
        10.. if bytes[8] == b'.' || bytes[8] == b',' => (two(6)?, nanoseconds(&bytes[9..])?),
        _ => return None,
    };
    let colons = bytes[2] == b':' && (bytes.len() == 5 || bytes[5] == b':');
    (colons && hour < 24 && minute < 60 && second < 60)
        .then(|| ((hour * 60 + minute) * 60 + second) * 1_000_000_000 + fraction)
}

/// Nanoseconds of the digits after the point; digits beyond the ninth must be zeros.
fn nanoseconds(digits: &[u8]) -> Option<i64> {
    let (kept, beyond) = digits.split_at(digits.len().min(9));
    let value = number(kept)? * 10_i64.pow(9 - kept.len() as u32);
    beyond.iter().all(|&b| b == b'0').then_some(value)
}

/// A date and time: days and nanoseconds since midnight.
fn parse_local(text: &str) -> Option<(i32, i64)> {
    let (text, bc) = match text.strip_suffix(" BC") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    // The date ends at the first blank or T; a date alone is its midnight.
    let end = text.bytes().position(|b| matches!(b, b' ' | b'T' | b't')).unwrap_or(text.len());
    let days = if bc { parse_days(&format!("{} BC", &text[..end]))? } else { parse_days(&text[..end])? };
    let time = if end == text.len() { 0 } else { parse_time(&text[end + 1..])? };
    Some((days, time))
}

/// Seconds since the epoch at which the zone's clocks show this local time.
fn zoned_seconds(days: i32, nanoseconds: i64, zone: Tz) -> Result<i64, &'static str> {
    let date = days.checked_add(EPOCH_FROM_CE).and_then(NaiveDate::from_num_days_from_ce_opt);
    let time = NaiveTime::from_num_seconds_from_midnight_opt((nanoseconds / 1_000_000_000) as u32, 0);
    let local = date.zip(time).map(|(d, t)| d.and_time(t)).ok_or("a time within range")?;
    match zone.from_local_datetime(&local) {
        chrono::LocalResult::Single(moment) => Ok(moment.timestamp()),
        chrono::LocalResult::Ambiguous(..) => {
            Err("a time with offset, as the zone has this local time twice")
        }
        chrono::LocalResult::None => Err("a time that the zone does not skip"),
    }
}

/// The count in another unit, if it is whole there.
fn convert(value: i64, from: TimeUnit, to: TimeUnit) -> Option<i64> {
    let (from, to) = (per_second(from), per_second(to));
    if to >= from {
        value.checked_mul(to / from)
    } else {
        (value % (from / to) == 0).then(|| value / (from / to))
    }
}

pub(super) fn cells(data_type: &DataType, options: &CellOptions) -> Option<Box<dyn Cells>> {
    use TimeUnit as U;
    Some(match data_type {
        DataType::Date32 => Box::new(Dates::<types::Date32Type>(Values::new())),
        DataType::Date64 => Box::new(Dates::<types::Date64Type>(Values::new())),
        DataType::Time32(U::Second) => Times::<types::Time32SecondType>::boxed(U::Second),
        DataType::Time32(U::Millisecond) => Times::<types::Time32MillisecondType>::boxed(U::Millisecond),
        DataType::Time64(U::Microsecond) => Times::<types::Time64MicrosecondType>::boxed(U::Microsecond),
        DataType::Time64(U::Nanosecond) => Times::<types::Time64NanosecondType>::boxed(U::Nanosecond),
        DataType::Timestamp(unit, zone) => {
            let stamp = Stamp { unit: *unit, label: zone.clone(), zone: options.zone };
            match unit {
                U::Second => Timestamps::<types::TimestampSecondType>::boxed(stamp),
                U::Millisecond => Timestamps::<types::TimestampMillisecondType>::boxed(stamp),
                U::Microsecond => Timestamps::<types::TimestampMicrosecondType>::boxed(stamp),
                U::Nanosecond => Timestamps::<types::TimestampNanosecondType>::boxed(stamp),
            }
        }
        _ => return None,
    })
}

/// A JSON string goes the way of a text; no other JSON value is a moment.
fn json<C: Cells>(cells: &mut C, raw: &str) -> Result<(), Misfit> {
    match scalar(raw, || cells.expected())? {
        json_text::Scalar::Text(text) => cells.text(&text),
        _ => Err(Misfit::new(cells.expected(), raw)),
    }
}

/// A type whose native value is a count of something since the epoch or midnight.
trait Counted: ArrowPrimitiveType {
    fn native(count: i64) -> Option<Self::Native>;
}

macro_rules! counted {
    ($($type:ident)+) => {$(
        impl Counted for types::$type {
            fn native(count: i64) -> Option<Self::Native> {
                Self::Native::try_from(count).ok()
            }
        }
    )+};
}

counted!(Time32SecondType Time32MillisecondType Time64MicrosecondType Time64NanosecondType);
counted!(TimestampSecondType TimestampMillisecondType TimestampMicrosecondType TimestampNanosecondType);

impl Counted for types::Date32Type {
    fn native(days: i64) -> Option<i32> {
        i32::try_from(days).ok()
    }
}

impl Counted for types::Date64Type {
    fn native(days: i64) -> Option<i64> {
        days.checked_mul(DAY * 1_000)
    }
}

/// Dates, counted in days.
struct Dates<T: Counted>(Values<T>);

impl<T: Counted> Dates<T> {
    fn push(&mut self, days: i64) -> Option<()> {
        self.0.push(T::native(days)?);
        Some(())
    }
}

impl<T: Counted> Cells for Dates<T> {
    fn null(&mut self) {
        self.0.null();
    }
    fn text(&mut self, text: &str) -> Result<(), Misfit> {
        let midnight = |(days, time): (i32, i64)| (time == 0).then_some(days);
        let days = parse_local(text.trim()).and_then(midnight);
        days.and_then(|d| self.push(i64::from(d))).ok_or_else(|| Misfit::text(self.expected(), text))
    }
    fn json(&mut self, raw: &str) -> Result<(), Misfit> {
        // What most dates look like, told by its length.
        let date =
            raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).filter(|date| date.len() == 10);
        if date.and_then(parse_days).and_then(|days| self.push(i64::from(days))).is_some() {
            return Ok(());
        }
        json(self, raw)
    }
    fn epoch(&mut self, value: i64, unit: TimeUnit) -> Result<(), Misfit> {
        let day = DAY * per_second(unit);
        let whole = (value % day == 0).then_some(value / day);
        whole
            .and_then(|d| self.push(d))
            .ok_or_else(|| Misfit::new(self.expected(), format_args!("the time {value} {}", unit_name(unit))))
    }
    fn days(&mut self, days: i32) -> Result<(), Misfit> {
        self.push(i64::from(days)).ok_or_else(|| Misfit::new(self.expected(), format_days(days)))
    }
    fn expected(&self) -> String {
        "a date as YYYY-MM-DD".to_owned()
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }
    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

/// Times of day.
struct Times<T: Counted> {
    values: Values<T>,
    unit: TimeUnit,
}

impl<T: Counted> Times<T> {
    fn boxed(unit: TimeUnit) -> Box<dyn Cells> {
        Box::new(Self { values: Values::new(), unit })
    }

    fn push(&mut self, value: i64, unit: TimeUnit) -> Option<()> {
        let count = convert(value, unit, self.unit)?;
        let in_day = (0..DAY * per_second(self.unit)).contains(&count);
        in_day.then(|| T::native(count)).flatten().map(|v| self.values.push(v))
    }
}

impl<T: Counted> Cells for Times<T> {
    fn null(&mut self) {
        self.values.null();
    }
    fn text(&mut self, text: &str) -> Result<(), Misfit> {
        let local = match split_offset(text.trim()) {
            Some((local, None | Some(0))) => Some(local),
            _ => None,
        };
        let pushed = local.and_then(parse_time).and_then(|ns| self.push(ns, TimeUnit::Nanosecond));
        pushed.ok_or_else(|| Misfit::text(self.expected(), text))
    }
    fn json(&mut self, raw: &str) -> Result<(), Misfit> {
        json(self, raw)
    }
    fn epoch(&mut self, value: i64, unit: TimeUnit) -> Result<(), Misfit> {
        self.push(value, unit)
            .ok_or_else(|| Misfit::new(self.expected(), format_args!("{value} {}", unit_name(unit))))
    }
    fn expected(&self) -> String {
        format!("a time of day in whole {}", unit_name(self.unit))
    }
    fn len(&self) -> usize {
        self.values.len()
    }
    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
    }
    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.values.finish())
    }
}

/// What a timestamp column is made of.
struct Stamp {
    unit: TimeUnit,
    /// The zone label of the column. None: local times without zone.
    label: Option<Arc<str>>,
    /// The zone of texts without offset, for columns of instants.
    zone: Option<Tz>,
}

impl Stamp {
    fn expected(&self) -> String {
        let kind = match (&self.label, self.zone) {
            (None, _) => "a local date and time without offset",
            (Some(_), None) => "a date and time with offset (or declare time_zone)",
            (Some(_), Some(_)) => "a date and time",
        };
        format!("{kind}, in whole {}", unit_name(self.unit))
    }

    /// The count of units that a text denotes.
    fn parse(&self, text: &str) -> Result<i64, String> {
        let malformed = || self.expected();
        let text = text.trim();
        // PostgreSQL writes the era behind the offset.
        let (text, era) = match text.strip_suffix(" BC") {
            Some(rest) => (rest, " BC"),
            None => (text, ""),
        };
        let (local, offset) = split_offset(text).ok_or_else(malformed)?;
        let parsed = if era.is_empty() { parse_local(local) } else { parse_local(&format!("{local}{era}")) };
        let (days, nanoseconds) = parsed.ok_or_else(malformed)?;
        let seconds = i64::from(days) * DAY + nanoseconds / 1_000_000_000;
        let seconds = match (&self.label, offset, self.zone) {
            (None, None, _) => seconds,
            (Some(_), Some(offset), _) => seconds - offset,
            (Some(_), None, Some(zone)) => zoned_seconds(days, nanoseconds, zone)?,
            (None, Some(_), _) | (Some(_), None, None) => return Err(self.expected()),
        };
        self.count(seconds, nanoseconds % 1_000_000_000).ok_or_else(malformed)
    }

    fn count(&self, seconds: i64, nanoseconds: i64) -> Option<i64> {
        let fraction = convert(nanoseconds, TimeUnit::Nanosecond, self.unit)?;
        let whole = i128::from(seconds) * i128::from(per_second(self.unit)) + i128::from(fraction);
        i64::try_from(whole).ok()
    }
}

/// Timestamps of any unit, with or without zone.
struct Timestamps<T: Counted> {
    values: Values<T>,
    stamp: Stamp,
}

impl<T: Counted + types::ArrowTimestampType> Timestamps<T> {
    fn boxed(stamp: Stamp) -> Box<dyn Cells> {
        Box::new(Self { values: Values::new(), stamp })
    }

    fn push(&mut self, count: i64) -> Option<()> {
        self.values.push(T::native(count)?);
        Some(())
    }
}

impl<T: Counted + types::ArrowTimestampType> Cells for Timestamps<T> {
    fn null(&mut self) {
        self.values.null();
    }
    fn text(&mut self, text: &str) -> Result<(), Misfit> {
        let count = self.stamp.parse(text).map_err(|expected| Misfit::text(expected, text))?;
        self.push(count).ok_or_else(|| Misfit::text(self.expected(), text))
    }
    fn json(&mut self, raw: &str) -> Result<(), Misfit> {
        json(self, raw)
    }
    fn epoch(&mut self, value: i64, unit: TimeUnit) -> Result<(), Misfit> {
        convert(value, unit, self.stamp.unit)
            .and_then(|c| self.push(c))
            .ok_or_else(|| Misfit::new(self.expected(), format_args!("the time {value} {}", unit_name(unit))))
    }
    fn days(&mut self, days: i32) -> Result<(), Misfit> {
        if self.stamp.label.is_some() {
            return Err(Misfit::new(self.expected(), format_args!("the date {}", format_days(days))));
        }
        self.epoch(i64::from(days) * DAY, TimeUnit::Second)
    }
    fn expected(&self) -> String {
        self.stamp.expected()
    }
    fn len(&self) -> usize {
        self.values.len()
    }
    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
    }
    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.values.finish().with_timezone_opt(self.stamp.label.clone()))
    }
}
