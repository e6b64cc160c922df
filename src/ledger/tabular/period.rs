//! When a version is valid: bounds as texts, ranges or numbers, open ends by any of their names.
//!
//! Open ends are null, `infinity`, any year from 2263 on (most write 9999), and the
//! largest TIMESTAMP of MariaDB, 2038-01-19 03:14:07 or from 11.5 on 2106-02-07
//! 06:28:15, UTC.

use arrow::array::{Array, StringArray};
use chrono::Datelike;
use chrono_tz::Tz;

use super::clock::epoch;
use crate::model::time::{NotAnInstant, parse_instant, parse_local, split_offset};

/// Before anything recorded.
pub(super) const EVER: i64 = i64::MIN;
/// Not ended.
pub(super) const OPEN: i64 = i64::MAX;

const NANOSECONDS: i64 = 1_000_000_000;
/// The last second of MariaDB's TIMESTAMP, before and from version 11.5 on.
const MARIADB_MAXIMA: [i64; 2] = [i32::MAX as i64, u32::MAX as i64];
/// The same for versions by transaction ids.
const TRANSACTION_MAX: &str = "18446744073709551615";

/// Which column or columns hold the period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeriodColumns {
    Pair(usize, usize),
    Range(usize),
}

/// What the bounds of a table are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Habits {
    /// An open end is one of MariaDB's maxima.
    pub(super) mariadb: bool,
    /// An open end is the last 100 nanoseconds of the year 9999.
    pub(super) sql_server: bool,
    /// Bounds are numbers that are no times.
    pub(super) sequence: bool,
}

/// The period of one row; `Err` says what is no bound.
pub(super) type Period = Result<(i64, i64), String>;

/// Reads the periods of a segment.
pub(super) struct Periods<'a> {
    pub(super) zone: Option<Tz>,
    pub(super) habits: &'a mut Habits,
    /// Set if a bound has no offset while no zone is declared.
    pub(super) lacks_zone: &'a mut bool,
}

impl Periods<'_> {
    pub(super) fn pairs(&mut self, from: &StringArray, to: &StringArray) -> Vec<Period> {
        let text = |a: &StringArray, row| a.is_valid(row).then(|| a.value(row).to_owned());
        (0..from.len())
            .map(|row| {
                let start = text(from, row).map_or(Ok(EVER), |t| self.bound(&t))?;
                let end = text(to, row).map_or(Ok(OPEN), |t| self.bound(&t))?;
                Ok((start, end))
            })
            .collect()
    }

    /// Periods as PostgreSQL writes ranges: `["2024-03-31 22:15:04.12+00",)`.
    pub(super) fn ranges(&mut self, ranges: &StringArray) -> Vec<Period> {
        let read = |row: usize| {
            let text = if ranges.is_valid(row) { ranges.value(row) } else { "" };
            let inner = text.trim().strip_prefix(['[', '(']).and_then(|t| t.strip_suffix([')', ']']));
            let (from, to) = inner.and_then(|t| t.split_once(',')).ok_or_else(|| {
                format!("expected a range such as [\"2024-03-31 22:15:04+00\",), found {text:?}")
            })?;
            let clean = |t: &str| t.trim().trim_matches('"').to_owned();
            let (from, to) = (clean(from), clean(to));
            let start = if from.is_empty() { EVER } else { self.bound(&from)? };
            let end = if to.is_empty() { OPEN } else { self.bound(&to)? };
            Ok((start, end))
        };
        (0..ranges.len()).map(read).collect()
    }

    fn bound(&mut self, text: &str) -> Result<i64, String> {
        let text = text.trim();
        match text {
            "infinity" | "+infinity" => return Ok(OPEN),
            "-infinity" => return Ok(EVER),
            TRANSACTION_MAX => {
                self.habits.sequence = true;
                return Ok(OPEN);
            }
            _ => {}
        }
        if let Ok(number) = text.parse::<i64>() {
            return self.number(number).ok_or_else(|| format!("expected a time, found {text}"));
        }
        match parse_instant(text, self.zone) {
            Ok(instant) => Ok(self.known(instant)),
            Err(NotAnInstant::Twice(first, _)) => Ok(first),
            Err(NotAnInstant::OutOfRange) => Ok(self.far(text)),
            Err(NotAnInstant::NoZone) => {
                if let Some(far) = far_year(text).filter(|y| !(1678..2262).contains(y)) {
                    self.habits.sql_server |= text.ends_with("23:59:59.9999999");
                    return Ok(if far < 1900 { EVER } else { OPEN });
                }
                // Seven digits are SQL Server's datetime2 alone.
                let digits = text.rsplit_once('.').map_or(0, |(_, fraction)| fraction.len());
                self.habits.sql_server |= digits == 7;
                *self.lacks_zone = true;
                Ok(EVER)
            }
            Err(NotAnInstant::Skipped) => Err(format!("{text:?} is a time that its zone skips")),
            Err(NotAnInstant::Malformed) => Err(format!("expected a date and time, found {text:?}")),
        }
    }

    fn known(&mut self, instant: i64) -> i64 {
        let seconds = instant.div_euclid(NANOSECONDS);
        if MARIADB_MAXIMA.contains(&seconds) {
            self.habits.mariadb = true;
            return OPEN;
        }
        instant
    }

    fn far(&mut self, text: &str) -> i64 {
        self.habits.sql_server |= text.contains("23:59:59.9999999");
        if far_year(text).is_some_and(|year| year < 1900) { EVER } else { OPEN }
    }

    /// A number is a time if its size is that of one in this century, else a place in a sequence.
    fn number(&mut self, number: i64) -> Option<i64> {
        if number.unsigned_abs() < 500_000_000 || self.habits.sequence {
            self.habits.sequence = true;
            return Some(number);
        }
        epoch(number).map(|instant| self.known(instant))
    }
}

/// The year of a date, with or without a time and an offset.
fn far_year(text: &str) -> Option<i32> {
    let (local, _) = split_offset(text)?;
    parse_local(local).map(|local| local.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(text: &str) -> Result<i64, String> {
        let (mut habits, mut lacks) = (Habits::default(), false);
        Periods { zone: Some(Tz::UTC), habits: &mut habits, lacks_zone: &mut lacks }.bound(text)
    }

    #[test]
    fn open_ends_have_many_names() {
        for text in [
            "9999-12-31 23:59:59.9999999",
            "9999-12-31",
            "9999-12-31T23:59:59Z",
            "infinity",
            "2038-01-19 03:14:07.999999",
            "2106-02-07 06:28:15.999999",
            TRANSACTION_MAX,
        ] {
            assert_eq!(bound(text), Ok(OPEN), "{text}");
        }
        assert_eq!(bound("0001-01-01 00:00:00"), Ok(EVER));
        assert_eq!(bound("-infinity"), Ok(EVER));
        assert_eq!(bound("1970-01-01 00:00:01"), Ok(NANOSECONDS));
        assert!(bound("soon").is_err());
    }

    #[test]
    fn ranges_are_taken_apart() {
        let (mut habits, mut lacks) = (Habits::default(), false);
        let mut periods = Periods { zone: None, habits: &mut habits, lacks_zone: &mut lacks };
        let ranges = StringArray::from(vec![
            "[\"1970-01-01 00:00:01+00\",)",
            "[\"1970-01-01 00:00:01+00\",\"1970-01-01 00:00:02+00\")",
            "(,infinity)",
            "empty",
        ]);
        let found = periods.ranges(&ranges);
        assert_eq!(found[0], Ok((NANOSECONDS, OPEN)));
        assert_eq!(found[1], Ok((NANOSECONDS, 2 * NANOSECONDS)));
        assert_eq!(found[2], Ok((EVER, OPEN)));
        assert!(found[3].is_err());
        assert!(!lacks);
    }
}
