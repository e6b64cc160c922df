//! Commit times: instants as nanoseconds since the epoch, read from and written as text.
//!
//! The range is that of `i64` nanoseconds, from the year 1677 to 2262. A
//! ledger's commit clock outside it is an unparsable record, never wrapped.

use chrono::{DateTime, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

/// RFC 3339 text of an instant in UTC, with as many fraction digits as it needs (0, 3, 6 or 9).
///
/// ```
/// assert_eq!(asof::model::time::format_instant(1_711_923_304_123_456_000), "2024-03-31T22:15:04.123456Z");
/// ```
pub fn format_instant(nanoseconds: i64) -> String {
    let moment: DateTime<Utc> = Utc.timestamp_nanos(nanoseconds);
    moment.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// Why a text is not an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAnInstant {
    /// It is not a date and time.
    Malformed,
    /// It has no offset and no zone was declared.
    NoZone,
    /// The declared zone skips this local time.
    Skipped,
    /// The declared zone has this local time twice; the two instants are given.
    Twice(i64, i64),
    /// It lies outside the years 1677 to 2262.
    OutOfRange,
}

/// The instant that a text denotes: RFC 3339, or the same with a blank for `T`,
/// with offsets down to the second (`+05:53:28`) and hours alone (`+00`), or
/// without any offset if `zone` is declared.
///
/// # Errors
/// Says why the text is none; a local time that occurs twice returns both instants.
///
/// ```
/// use asof::model::time::{parse_instant, NotAnInstant};
/// assert_eq!(parse_instant("1970-01-01 00:00:01.5+00", None), Ok(1_500_000_000));
/// assert_eq!(parse_instant("1970-01-01T05:30:00+05:30", None), Ok(0));
/// assert_eq!(parse_instant("1970-01-01T00:00:00", None), Err(NotAnInstant::NoZone));
/// ```
pub fn parse_instant(text: &str, zone: Option<Tz>) -> Result<i64, NotAnInstant> {
    let text = text.trim();
    let (local, offset) = split_offset(text).ok_or(NotAnInstant::Malformed)?;
    let local = parse_local(local).ok_or(NotAnInstant::Malformed)?;
    match offset {
        Some(seconds) => nanoseconds(local, seconds),
        None => in_zone(local, zone.ok_or(NotAnInstant::NoZone)?),
    }
}

fn nanoseconds(local: NaiveDateTime, offset_seconds: i64) -> Result<i64, NotAnInstant> {
    let utc = local.and_utc();
    let seconds = i128::from(utc.timestamp()) - i128::from(offset_seconds);
    i64::try_from(seconds * 1_000_000_000 + i128::from(utc.timestamp_subsec_nanos()))
        .ok()
        .filter(|&n| n != i64::MIN)
        .ok_or(NotAnInstant::OutOfRange)
}

/// The instant at which a zone's clocks show this local time.
///
/// # Errors
/// The zone skips it or has it twice, or it is out of range.
pub fn in_zone(local: NaiveDateTime, zone: Tz) -> Result<i64, NotAnInstant> {
    let exact = |d: DateTime<Tz>| d.timestamp_nanos_opt().ok_or(NotAnInstant::OutOfRange);
    match zone.from_local_datetime(&local) {
        chrono::LocalResult::Single(d) => exact(d),
        chrono::LocalResult::Ambiguous(a, b) => Err(NotAnInstant::Twice(exact(a)?, exact(b)?)),
        chrono::LocalResult::None => Err(NotAnInstant::Skipped),
    }
}

/// A date and time without offset: `2024-03-31 22:15:04.123456789`, `T` or blank between,
/// seconds optional, or a date alone (midnight).
pub fn parse_local(text: &str) -> Option<NaiveDateTime> {
    const FORMS: [&str; 4] =
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    FORMS.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok()).or_else(|| {
        chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|d| d.and_hms_opt(0, 0, 0))
    })
}

/// Splits a trailing `Z`, `+05`, `+0530`, `+05:30` or `+05:53:28` off, as seconds east of UTC.
pub fn split_offset(text: &str) -> Option<(&str, Option<i64>)> {
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        return Some((local.trim_end(), Some(0)));
    }
    // The sign of an offset stands after the time of day; before it, '-' separates the date.
    let Some(time) = text.find(':') else { return Some((text, None)) };
    let Some(sign) = text[time..].find(['+', '-']).map(|i| time + i) else {
        return Some((text, None));
    };
    let digits: Vec<&str> = match text[sign + 1..].split(':').collect::<Vec<_>>().as_slice() {
        [d] if d.len() == 4 && d.is_ascii() => vec![&d[..2], &d[2..]],
        parts => parts.to_vec(),
    };
    let mut seconds = 0;
    for (part, unit) in digits.iter().zip([3600, 60, 1]) {
        if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        seconds += part.parse::<i64>().ok()? * unit;
    }
    if digits.len() > 3 {
        return None;
    }
    let signed = if text.as_bytes()[sign] == b'-' { -seconds } else { seconds };
    Some((text[..sign].trim_end(), Some(signed)))
}
