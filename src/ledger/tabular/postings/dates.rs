//! Dates and times of postings.
//!
//! A date alone is a day of the plan's calendar: it begins where the plan's days begin. A
//! time of day without an offset is one of the ledger's own zone, as in every ledger.

use chrono::NaiveDate;

use super::super::clock::epoch;
use crate::model::NO_TIME;
use crate::model::time::{NotAnInstant, parse_instant};
use crate::plan::{Calendar, DateOrder};
use chrono_tz::Tz;

/// Reads one column of dates; neighbours mostly bear the same.
#[derive(Debug)]
pub(super) struct Dates {
    calendar: Calendar,
    order: Option<DateOrder>,
    /// Of times of day without an offset.
    zone: Option<Tz>,
    last: (String, Result<i64, NotADate>),
}

/// Why a text is no date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotADate {
    /// A time of day without an offset, and no zone is declared.
    NoZone,
    /// The zone shows it twice; the first time.
    Twice(i64),
    /// In words.
    Wrong(String),
}

impl Dates {
    pub(super) fn new(calendar: Calendar, order: Option<DateOrder>, zone: Option<Tz>) -> Self {
        Self { calendar, order, zone, last: (String::new(), Ok(NO_TIME)) }
    }

    /// The instant of a text.
    pub(super) fn read(&mut self, text: &str) -> Result<i64, NotADate> {
        if self.last.0 != text {
            self.last = (text.to_owned(), self.parse(text));
        }
        self.last.1.clone()
    }

    fn parse(&self, text: &str) -> Result<i64, NotADate> {
        let day = day(text, self.order).and_then(|day| self.calendar.start_of(day));
        // Fewer digits are a date gone wrong rather than seconds since 1970.
        let since_epoch = || text.parse().ok().filter(|_| text.len() >= 10).and_then(epoch);
        if let Some(start) = day.or_else(since_epoch) {
            return Ok(start);
        }
        let wrong = |why: &str| NotADate::Wrong(format!("{text:?} is no date: {why}"));
        parse_instant(text, self.zone).map_err(|error| match error {
            NotAnInstant::NoZone => NotADate::NoZone,
            NotAnInstant::Twice(first, _) => NotADate::Twice(first),
            NotAnInstant::Skipped => wrong("its zone skips it"),
            NotAnInstant::OutOfRange => wrong("it lies outside the years 1677 to 2262"),
            NotAnInstant::Malformed => {
                wrong("expected 2025-12-31, 20251231, or the order that ledger.postings.dates declares")
            }
        })
    }
}

/// A date alone: `2025-12-31`, `20251231`, `2025/12/31`, or in the declared order. A date with
/// points has its day first everywhere.
fn day(text: &str, order: Option<DateOrder>) -> Option<NaiveDate> {
    let parts: Vec<&str> = text.split(['-', '/', '.']).collect();
    let number = |t: &str| t.bytes().all(|b| b.is_ascii_digit()).then(|| t.parse::<u32>().ok()).flatten();
    match parts.as_slice() {
        [whole] if whole.len() == 8 => {
            let (year, month, day) = (whole.get(..4)?, whole.get(4..6)?, whole.get(6..)?);
            NaiveDate::from_ymd_opt(number(year)? as i32, number(month)?, number(day)?)
        }
        [year, month, day] if year.len() == 4 => {
            NaiveDate::from_ymd_opt(number(year)? as i32, number(month)?, number(day)?)
        }
        [a, b, year] if year.len() == 4 => {
            let order = order.or(text.contains('.').then_some(DateOrder::DayFirst))?;
            let (day, month) = if order == DateOrder::DayFirst { (a, b) } else { (b, a) };
            NaiveDate::from_ymd_opt(number(year)? as i32, number(month)?, number(day)?)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_their_orders() {
        let of = |y, m, d| NaiveDate::from_ymd_opt(y, m, d);
        assert_eq!(day("20251231", None), of(2025, 12, 31));
        assert_eq!(day("2025-12-31", None), of(2025, 12, 31));
        assert_eq!(day("2025/12/31", None), of(2025, 12, 31));
        assert_eq!(day("31.12.2025", None), of(2025, 12, 31));
        assert_eq!(day("03/04/2025", None), None, "either");
        assert_eq!(day("03/04/2025", Some(DateOrder::DayFirst)), of(2025, 4, 3));
        assert_eq!(day("03/04/2025", Some(DateOrder::MonthFirst)), of(2025, 3, 4));
        assert_eq!(day("20251301", None), None);
        assert_eq!(day("2025-12-31 10:00:00", None), None);
    }
}
