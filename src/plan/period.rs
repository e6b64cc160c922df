//! [`Period`]: days, months, quarters and years that can be counted.

use std::fmt;

use chrono::{Datelike, Days, Months, NaiveDate};

use super::Calendar;

/// What a period is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Day,
    Month,
    Quarter,
    Year,
    FiscalQuarter,
    FiscalYear,
}

impl Unit {
    pub(super) fn is_fiscal(self) -> bool {
        matches!(self, Self::FiscalQuarter | Self::FiscalYear)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
            Self::FiscalQuarter => "fiscal quarter",
            Self::FiscalYear => "fiscal year",
        })
    }
}

/// One day, month, quarter or year: a unit and its running number (days from
/// year 1, months, quarters or years from year 0), so that neighbours differ by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) unit: Unit,
    pub(super) number: i32,
}

/// From one element of a range to the next: a number of its own units, or of months for days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Units(i32),
    MonthsOfDays(u32),
}

impl Step {
    pub(super) const ONE: Self = Self::Units(1);

    /// A step as written: a number of units, or the name of a unit that holds whole ones.
    pub(super) fn parse(word: &str, unit: Unit) -> Option<Self> {
        if let Ok(units) = word.parse::<i32>() {
            return (units > 0).then_some(Self::Units(units));
        }
        let word = word.to_ascii_lowercase();
        match (unit, word.as_str()) {
            (Unit::Day, "day")
            | (Unit::Month, "month")
            | (Unit::Quarter, "quarter")
            | (Unit::Year, "year") => Some(Self::ONE),
            (Unit::Day, "week") => Some(Self::Units(7)),
            (Unit::Day, "month") => Some(Self::MonthsOfDays(1)),
            (Unit::Day, "quarter") => Some(Self::MonthsOfDays(3)),
            (Unit::Day, "year") => Some(Self::MonthsOfDays(12)),
            (Unit::Month, "quarter") => Some(Self::Units(3)),
            (Unit::Month, "year") => Some(Self::Units(12)),
            (Unit::Quarter | Unit::FiscalQuarter, "year") => Some(Self::Units(4)),
            _ => None,
        }
    }
}

impl Period {
    /// The period that a text names. `None` if it has no such form; `Some(Err)` says
    /// why a text of the right form names none.
    pub(super) fn parse(text: &str) -> Option<Result<Self, String>> {
        let upper = text.to_ascii_uppercase();
        let (fiscal, rest) = match upper.strip_prefix("FY") {
            Some(rest) => (true, rest),
            None => (false, upper.as_str()),
        };
        let mut parts = rest.split('-');
        let year = digits(parts.next()?, 4)?;
        let (second, third) = (parts.next(), parts.next());
        if parts.next().is_some() {
            return None;
        }
        match (second, third) {
            (None, None) if fiscal => Some(Ok(Self { unit: Unit::FiscalYear, number: year })),
            (None, None) => Some(Ok(Self { unit: Unit::Year, number: year })),
            (Some(quarter), None) if quarter.starts_with('Q') => {
                Some(Self::quarter(year, &quarter[1..], fiscal))
            }
            (Some(month), None) if !fiscal => Some(Self::month(year, digits(month, 2)?)),
            (Some(month), Some(day)) if !fiscal => Some(Self::day(year, digits(month, 2)?, digits(day, 2)?)),
            _ => None,
        }
    }

    fn quarter(year: i32, quarter: &str, fiscal: bool) -> Result<Self, String> {
        let unit = if fiscal { Unit::FiscalQuarter } else { Unit::Quarter };
        match quarter {
            "1" | "2" | "3" | "4" => {
                Ok(Self { unit, number: year * 4 + i32::from(quarter.as_bytes()[0] - b'1') })
            }
            _ => Err(format!("expected a quarter from Q1 to Q4, found Q{quarter}")),
        }
    }

    fn month(year: i32, month: i32) -> Result<Self, String> {
        if (1..=12).contains(&month) {
            Ok(Self { unit: Unit::Month, number: year * 12 + month - 1 })
        } else {
            Err(format!("expected a month from 01 to 12, found {month:02}"))
        }
    }

    fn day(year: i32, month: i32, day: i32) -> Result<Self, String> {
        Self::month(year, month)?;
        NaiveDate::from_ymd_opt(year, month.unsigned_abs(), day.unsigned_abs())
            .map(Self::of_day)
            .ok_or_else(|| format!("{year:04}-{month:02} has no day {day:02}"))
    }

    fn of_day(day: NaiveDate) -> Self {
        Self { unit: Unit::Day, number: day.num_days_from_ce() }
    }

    /// The last day of the last month that is over at `now`.
    pub(super) fn last_month_end(now: i64, calendar: &Calendar) -> Option<Self> {
        calendar.day_of(now).with_day(1)?.pred_opt().map(Self::of_day)
    }

    /// The first day after the period. `None` if it cannot be expressed.
    pub(super) fn day_after(self, calendar: &Calendar) -> Option<NaiveDate> {
        Self { number: self.number.checked_add(1)?, ..self }.start(calendar)
    }

    /// The first day of the period. `None` if it cannot be expressed.
    pub(super) fn start(self, calendar: &Calendar) -> Option<NaiveDate> {
        let january = |year: i32| NaiveDate::from_ymd_opt(year, 1, 1);
        let months =
            |start: NaiveDate, count: i32| start.checked_add_months(Months::new(count.unsigned_abs()));
        let n = self.number;
        match self.unit {
            Unit::Day => self.first_day(),
            Unit::Month => months(january(n.div_euclid(12))?, n.rem_euclid(12)),
            Unit::Quarter => months(january(n.div_euclid(4))?, n.rem_euclid(4) * 3),
            Unit::Year => january(n),
            Unit::FiscalYear => calendar.fiscal_year(n),
            Unit::FiscalQuarter => months(calendar.fiscal_year(n.div_euclid(4))?, n.rem_euclid(4) * 3),
        }
    }

    fn first_day(self) -> Option<NaiveDate> {
        NaiveDate::from_num_days_from_ce_opt(self.number)
    }

    /// Every period from this one to `last`, by `step`; `None` if they are more than `limit`.
    pub(super) fn until(self, last: Self, step: Step, limit: usize) -> Option<Vec<Self>> {
        let mut periods = Vec::new();
        let mut next = Some(self);
        while let Some(period) = next.filter(|p| p.number <= last.number) {
            if periods.len() == limit {
                return None;
            }
            periods.push(period);
            next = self.after_steps(step, periods.len());
        }
        Some(periods)
    }

    /// Steps are counted from the first element, so that a 31st clipped in February
    /// is a 31st again in March. The last day of a month stays the last day.
    fn after_steps(self, step: Step, count: usize) -> Option<Self> {
        let count = i32::try_from(count).ok()?;
        match step {
            Step::Units(units) => {
                Some(Self { number: self.number.checked_add(units.checked_mul(count)?)?, ..self })
            }
            Step::MonthsOfDays(months) => {
                let day = self.first_day()?;
                let ends_month = day.succ_opt()?.day() == 1;
                let months = Months::new(months.checked_mul(count.unsigned_abs())?);
                let later = if ends_month {
                    day.succ_opt()?.checked_add_months(months)?.checked_sub_days(Days::new(1))?
                } else {
                    day.checked_add_months(months)?
                };
                Some(Self::of_day(later))
            }
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.number;
        match self.unit {
            Unit::Day => match self.first_day() {
                Some(day) => write!(f, "{day}"),
                None => write!(f, "day {n}"),
            },
            Unit::Month => write!(f, "{:04}-{:02}", n.div_euclid(12), n.rem_euclid(12) + 1),
            Unit::Quarter => write!(f, "{:04}-Q{}", n.div_euclid(4), n.rem_euclid(4) + 1),
            Unit::Year => write!(f, "{n:04}"),
            Unit::FiscalYear => write!(f, "FY{n:04}"),
            Unit::FiscalQuarter => write!(f, "FY{:04}-Q{}", n.div_euclid(4), n.rem_euclid(4) + 1),
        }
    }
}

fn digits(text: &str, count: usize) -> Option<i32> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}
