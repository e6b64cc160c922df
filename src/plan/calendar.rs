//! [`Calendar`]: when days, months, quarters and years begin.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

/// The time zone in which days begin, and the day on which fiscal years begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calendar {
    /// The zone as declared; `None`: UTC, and local times in data have no meaning.
    pub zone: Option<Tz>,
    /// Month and day on which a fiscal year begins, if declared.
    pub fiscal_year_start: Option<(u32, u32)>,
}

impl Default for Calendar {
    fn default() -> Self {
        Self::UTC
    }
}

impl Calendar {
    /// Days of UTC, and no fiscal year.
    pub const UTC: Self = Self { zone: None, fiscal_year_start: None };

    /// The zone in which days begin: the declared one, else UTC.
    pub fn zone_or_utc(&self) -> Tz {
        self.zone.unwrap_or(Tz::UTC)
    }

    /// The first instant of a day, in nanoseconds since the epoch; `None` outside the
    /// years 1677 to 2262.
    ///
    /// Where the zone's clocks skip midnight, that is the first instant that they show
    /// after it; where they show it twice, the first time.
    ///
    /// ```
    /// use asof::plan::Calendar;
    /// let lebanon = Calendar { zone: Some(chrono_tz::Asia::Beirut), ..Calendar::UTC };
    /// let day = chrono::NaiveDate::from_ymd_opt(2022, 3, 27).unwrap(); // 00:00 is skipped
    /// let start = lebanon.start_of(day).unwrap();
    /// assert_eq!(asof::model::time::format_instant(start), "2022-03-26T22:00:00Z");
    /// ```
    pub fn start_of(&self, day: NaiveDate) -> Option<i64> {
        let midnight = day.and_hms_opt(0, 0, 0)?;
        let zone = self.zone_or_utc();
        let start = match zone.from_local_datetime(&midnight).earliest() {
            Some(start) => start,
            None => after_gap(midnight, zone)?,
        };
        start.timestamp_nanos_opt()
    }

    /// The day that the zone's clocks show at an instant.
    pub fn day_of(&self, nanoseconds: i64) -> NaiveDate {
        self.local(nanoseconds).date_naive()
    }

    /// An instant on the zone's clocks.
    pub fn local(&self, nanoseconds: i64) -> DateTime<Tz> {
        self.zone_or_utc().timestamp_nanos(nanoseconds)
    }

    /// The first day of the fiscal year that ends in `year`. `None` if none is
    /// declared or the year is out of range.
    pub fn fiscal_year(&self, year: i32) -> Option<NaiveDate> {
        let (month, day) = self.fiscal_year_start?;
        // A year that begins on 1 January also ends in the year in which it begins.
        let begins = if (month, day) == (1, 1) { year } else { year.checked_sub(1)? };
        NaiveDate::from_ymd_opt(begins, month, day)
    }
}

/// The first instant after the clocks of a zone jumped over `midnight`.
fn after_gap(midnight: NaiveDateTime, zone: Tz) -> Option<DateTime<Tz>> {
    let reaches = |second: i64| {
        let moment = DateTime::<Utc>::from_timestamp(second, 0)?;
        Some(moment.with_timezone(&zone).naive_local() >= midnight)
    };
    // No zone is farther than a day from UTC, so the jump lies between these two.
    let utc = midnight.and_utc().timestamp();
    let (mut before, mut after) = (utc - 2 * 86_400, utc + 2 * 86_400);
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        if reaches(middle)? {
            after = middle;
        } else {
            before = middle;
        }
    }
    Some(DateTime::<Utc>::from_timestamp(after, 0)?.with_timezone(&zone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::format_instant;

    fn start(zone: Tz, y: i32, m: u32, d: u32) -> String {
        let calendar = Calendar { zone: Some(zone), ..Calendar::UTC };
        format_instant(calendar.start_of(NaiveDate::from_ymd_opt(y, m, d).unwrap()).unwrap())
    }

    #[test]
    fn days_begin_on_local_clocks() {
        use chrono_tz::{America, Asia, Europe, Pacific};
        assert_eq!(start(Tz::UTC, 2026, 1, 1), "2026-01-01T00:00:00Z");
        assert_eq!(start(Europe::Berlin, 2026, 1, 1), "2025-12-31T23:00:00Z");
        // The day after clocks went forward and back.
        assert_eq!(start(Europe::Berlin, 2025, 3, 31), "2025-03-30T22:00:00Z");
        assert_eq!(start(Europe::Berlin, 2025, 10, 26), "2025-10-25T22:00:00Z");
        assert_eq!(start(Europe::Berlin, 2025, 10, 27), "2025-10-26T23:00:00Z");
        // Midnight skipped, midnight twice, a whole day skipped.
        assert_eq!(start(America::Sao_Paulo, 2018, 11, 4), "2018-11-04T03:00:00Z");
        assert_eq!(start(America::Havana, 2023, 11, 5), "2023-11-05T04:00:00Z");
        assert_eq!(start(Pacific::Apia, 2011, 12, 30), start(Pacific::Apia, 2011, 12, 31));
        assert_eq!(start(Asia::Kolkata, 2025, 4, 1), "2025-03-31T18:30:00Z");
    }

    #[test]
    fn a_fiscal_year_is_named_by_the_year_in_which_it_ends() {
        let april = Calendar { zone: None, fiscal_year_start: Some((4, 1)) };
        assert_eq!(april.fiscal_year(2025), NaiveDate::from_ymd_opt(2024, 4, 1));
        let january = Calendar { zone: None, fiscal_year_start: Some((1, 1)) };
        assert_eq!(january.fiscal_year(2025), NaiveDate::from_ymd_opt(2025, 1, 1));
        assert_eq!(Calendar::UTC.fiscal_year(2025), None);
    }
}
