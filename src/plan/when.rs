//! [`Moment`]: the instant asked about, read from a `WHEN`.
//!
//! A day or period means everything before the start of the next one in the
//! plan's time zone, exactly, whatever the resolution of a ledger's clock: its
//! bound is exclusive. An instant is inclusive.
//!
//! | WHEN | up to |
//! |---|---|
//! | `2025-12-31`, `2025-12`, `2025-Q4`, `2025` | the end of the day, month, calendar quarter, year |
//! | `FY2025`, `FY2025-Q3` | the end of the fiscal year that ends in 2025, of its third quarter |
//! | `last-month-end` | the end of the last month that is over |
//! | `2025-12-31T18:00:00Z` | that instant, inclusive |
//! | `position:…`, `txn:…` | that position or transaction of the ledger, inclusive |
//! | `2025-06-30,2025-12-31` | each of these |
//! | `2025-01..2025-12`, `2025-01-31..2025-12-31/month` | each from the first to the last, by step |

use std::fmt;

use super::Calendar;
use super::period::{Period, Step};
use crate::error::{Error, Result};
use crate::model::time::{NotAnInstant, format_instant, parse_instant};

/// More moments than this are a typing error.
const MOMENTS_MAX: usize = 10_000;

const EXAMPLES: &str = "write for instance 2025-12-31, 2025-12, 2025-Q4, 2025, FY2025, FY2025-Q3, last-month-end, \
                        2025-12-31T18:00:00Z, position:…, txn:…, a list a,b or a range 2025-01..2025-12";

/// Where a moment lies, exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// Everything committed before this instant, in nanoseconds since the epoch; exclusive.
    Before(i64),
    /// Everything committed at or before this instant, in nanoseconds since the epoch; inclusive.
    At(i64),
    /// Everything up to this position, in the source's own notation; inclusive.
    Position(String),
    /// Everything up to this transaction, in the ledger's own notation; inclusive.
    Transaction(String),
}

impl Bound {
    /// Whether a commit time lies within. `None` if the bound is no time.
    pub fn includes(&self, committed_at: i64) -> Option<bool> {
        match self {
            Self::Before(end) => Some(committed_at < *end),
            Self::At(last) => Some(committed_at <= *last),
            Self::Position(_) | Self::Transaction(_) => None,
        }
    }

    /// The last nanosecond within; `None` if the bound is no time.
    pub fn last_nanosecond(&self) -> Option<i64> {
        match self {
            Self::Before(end) => Some(end.saturating_sub(1)),
            Self::At(last) => Some(*last),
            Self::Position(_) | Self::Transaction(_) => None,
        }
    }

    /// A `WHEN` that names the bound; for an exclusive one the last nanosecond within.
    pub fn to_when(&self) -> String {
        match self {
            Self::Before(end) => format_instant(end.saturating_sub(1)),
            Self::At(last) => format_instant(*last),
            Self::Position(position) => format!("position:{position}"),
            Self::Transaction(transaction) => format!("txn:{transaction}"),
        }
    }

    /// The end of what a text names: any single `WHEN` except `last-month-end`.
    ///
    /// # Errors
    /// [`Error::When`], with examples.
    pub fn parse(text: &str, calendar: &Calendar) -> Result<Self> {
        one(text.trim(), calendar, None).map(|moment| moment.bound)
    }

    /// The beginning of what a text names: for a day or period its first instant.
    ///
    /// # Errors
    /// [`Error::When`], with examples.
    ///
    /// ```
    /// use asof::plan::{Bound, Calendar};
    /// assert_eq!(Bound::parse_start("1970", &Calendar::UTC).unwrap(), Bound::At(0));
    /// ```
    pub fn parse_start(text: &str, calendar: &Calendar) -> Result<Self> {
        let text = text.trim();
        // Refuses what is wrong or needs a fiscal year that is not declared.
        let end = Self::parse(text, calendar)?;
        let Some(Ok(period)) = Period::parse(text) else { return Ok(end) };
        let start = period.start(calendar).and_then(|day| calendar.start_of(day));
        start.map(Self::At).ok_or_else(|| out_of_range(text))
    }

    /// A point: an instant, a position or a transaction, but no day or period.
    ///
    /// # Errors
    /// [`Error::When`], with examples.
    pub fn parse_point(text: &str, calendar: &Calendar) -> Result<Self> {
        match Self::parse(text, calendar)? {
            Self::Before(_) => Err(Error::When {
                text: text.trim().to_owned(),
                reason: "a moment of extraction is an instant, not a whole day or period".to_owned(),
                hint: Some("write for instance 2026-01-10T08:00:00Z, position:… or txn:…".to_owned()),
            }),
            point => Ok(point),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before(end) => write!(f, "before {}", format_instant(*end)),
            Self::At(last) => write!(f, "up to and including {}", format_instant(*last)),
            Self::Position(position) => write!(f, "up to and including position {position}"),
            Self::Transaction(transaction) => write!(f, "up to and including transaction {transaction}"),
        }
    }
}

/// A moment asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The text as given; for an element of a range, the element.
    pub text: String,
    /// A name for folders: letters, digits, `-`, `_` and `.` only.
    pub label: String,
    /// Where it lies.
    pub bound: Bound,
    /// The bound in words, on the clocks of the plan's zone and in UTC.
    pub resolved: String,
}

impl Moment {
    /// All moments that a `WHEN` names, in its order, without repetitions.
    ///
    /// `now` (nanoseconds since the epoch) decides `last-month-end`.
    ///
    /// # Errors
    /// [`Error::When`] with the part that is no moment, and examples.
    ///
    /// ```
    /// use asof::plan::{Bound, Calendar, Moment};
    /// let moments = Moment::parse("2025-11..2026-01", &Calendar::UTC, 0).unwrap();
    /// assert_eq!(moments.len(), 3);
    /// assert_eq!(moments[1].label, "2025-12");
    /// assert_eq!(moments[1].resolved, "before 2026-01-01T00:00:00Z");
    /// ```
    pub fn parse(text: &str, calendar: &Calendar, now: i64) -> Result<Vec<Self>> {
        let mut moments: Vec<Self> = Vec::new();
        for element in elements(text) {
            for moment in element_moments(element.trim(), calendar, now)? {
                add(&mut moments, moment, text)?;
            }
        }
        Ok(moments)
    }

    /// The moment that a `WHEN` names, which must be a single one without `last-month-end`.
    ///
    /// # Errors
    /// [`Error::When`], with examples.
    pub fn parse_one(text: &str, calendar: &Calendar) -> Result<Self> {
        one(text.trim(), calendar, None)
    }

    fn of_period(text: &str, period: Period, calendar: &Calendar) -> Result<Self> {
        let next = period.day_after(calendar).ok_or_else(|| out_of_range(text))?;
        let end = calendar.start_of(next).ok_or_else(|| out_of_range(text))?;
        let resolved = format!("before {}", in_words(end, calendar));
        let label = period.to_string();
        Ok(Self { text: text.to_owned(), label, bound: Bound::Before(end), resolved })
    }

    fn of_instant(text: &str, instant: i64, calendar: &Calendar) -> Self {
        let resolved = format!("up to and including {}", in_words(instant, calendar));
        let label = format_instant(instant).replace(':', "");
        Self { text: text.to_owned(), label, bound: Bound::At(instant), resolved }
    }

    fn of_mark(text: &str, bound: Bound) -> Self {
        let resolved = bound.to_string();
        let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        let label = text.chars().map(safe).collect();
        Self { text: text.to_owned(), label, bound, resolved }
    }
}

/// The elements of a list. Positions may contain commas, so after one only another
/// `position:` or `txn:` begins the next element.
fn elements(text: &str) -> Vec<&str> {
    let mut elements = Vec::new();
    let mut start = 0;
    for (comma, _) in text.match_indices(',') {
        let element = text[start..comma].trim_start();
        if !is_mark(element) || is_mark(text[comma + 1..].trim_start()) {
            elements.push(&text[start..comma]);
            start = comma + 1;
        }
    }
    elements.push(&text[start..]);
    elements
}

fn is_mark(text: &str) -> bool {
    text.starts_with("position:") || text.starts_with("txn:")
}

fn add(moments: &mut Vec<Moment>, moment: Moment, text: &str) -> Result<()> {
    let clash = moments.iter().find(|m| m.label == moment.label);
    match clash {
        Some(known) if known.bound == moment.bound => return Ok(()),
        Some(known) => {
            let reason =
                format!("{:?} and {:?} would both be named {:?}", known.text, moment.text, moment.label);
            let hint = Some("ask for them in separate runs".to_owned());
            return Err(Error::When { text: text.to_owned(), reason, hint });
        }
        None => moments.push(moment),
    }
    if moments.len() > MOMENTS_MAX { Err(too_many(text)) } else { Ok(()) }
}

fn element_moments(text: &str, calendar: &Calendar, now: i64) -> Result<Vec<Moment>> {
    match text.split_once("..") {
        Some((first, rest)) if !is_mark(text) => range(text, first, rest, calendar),
        _ => one(text, calendar, Some(now)).map(|moment| vec![moment]),
    }
}

fn range(text: &str, first: &str, rest: &str, calendar: &Calendar) -> Result<Vec<Moment>> {
    let (last, step) = match rest.split_once('/') {
        Some((last, step)) => (last, Some(step.trim())),
        None => (rest, None),
    };
    let (first, last) = (range_end(text, first.trim())?, range_end(text, last.trim())?);
    let no = |reason: String| Error::When {
        text: text.to_owned(),
        reason,
        hint: Some("write for instance 2025-01..2025-12 or 2025-01-31..2025-12-31/month".to_owned()),
    };
    if first.unit != last.unit {
        return Err(no(format!("a range goes from one {} to another, found a {}", first.unit, last.unit)));
    }
    if last.number < first.number {
        return Err(no("the range ends before it begins".to_owned()));
    }
    let step = match step {
        None => Step::ONE,
        Some(word) => Step::parse(word, first.unit)
            .ok_or_else(|| no(format!("{word:?} is not a step for a range of {}s", first.unit)))?,
    };
    let periods = first.until(last, step, MOMENTS_MAX).ok_or_else(|| too_many(text))?;
    periods.into_iter().map(|p| Moment::of_period(&p.to_string(), p, calendar)).collect()
}

fn range_end(text: &str, end: &str) -> Result<Period> {
    match Period::parse(end) {
        Some(Ok(period)) => Ok(period),
        Some(Err(reason)) => {
            Err(Error::When { text: text.to_owned(), reason, hint: Some(EXAMPLES.to_owned()) })
        }
        None => {
            let reason = format!("the ends of a range are days or periods, found {end:?}");
            Err(Error::When { text: text.to_owned(), reason, hint: Some(EXAMPLES.to_owned()) })
        }
    }
}

fn one(text: &str, calendar: &Calendar, now: Option<i64>) -> Result<Moment> {
    let no = |reason: &str| not_a_moment(text, reason);
    if let Some(position) = text.strip_prefix("position:") {
        let position = position.trim();
        return if position.is_empty() {
            Err(no("the position is missing"))
        } else {
            Ok(Moment::of_mark(text, Bound::Position(position.to_owned())))
        };
    }
    if let Some(transaction) = text.strip_prefix("txn:") {
        let transaction = transaction.trim();
        return if transaction.is_empty() {
            Err(no("the transaction is missing"))
        } else {
            Ok(Moment::of_mark(text, Bound::Transaction(transaction.to_owned())))
        };
    }
    if text.eq_ignore_ascii_case("last-month-end") {
        let now = now.ok_or_else(|| no("a plan says the same every day, so it names no moving date"))?;
        let period = Period::last_month_end(now, calendar).ok_or_else(|| out_of_range(text))?;
        return Moment::of_period(text, period, calendar);
    }
    match Period::parse(text) {
        Some(Ok(period)) if period.unit.is_fiscal() && calendar.fiscal_year_start.is_none() => {
            Err(Error::When {
                text: text.to_owned(),
                reason: "the plan does not say when a fiscal year begins".to_owned(),
                hint: Some("declare for instance fiscal_year_start = \"04-01\" in the plan".to_owned()),
            })
        }
        Some(Ok(period)) => Moment::of_period(text, period, calendar),
        Some(Err(reason)) => Err(no(&reason)),
        None => instant(text, calendar),
    }
}

fn instant(text: &str, calendar: &Calendar) -> Result<Moment> {
    let shown = |n: i64| calendar.local(n).to_rfc3339();
    let (reason, hint) = match parse_instant(text, calendar.zone) {
        Ok(instant) => return Ok(Moment::of_instant(text, instant, calendar)),
        Err(NotAnInstant::Malformed) => {
            ("expected a day, a period or an instant".to_owned(), EXAMPLES.to_owned())
        }
        Err(NotAnInstant::NoZone) => (
            "an instant needs an offset from UTC".to_owned(),
            format!("write {text}Z for UTC, {text}+01:00, or declare time_zone in the plan"),
        ),
        Err(NotAnInstant::Skipped) => (
            "the clocks of the plan's time zone skip it".to_owned(),
            "give the instant with its offset".to_owned(),
        ),
        Err(NotAnInstant::Twice(first, second)) => (
            "the clocks of the plan's time zone show it twice".to_owned(),
            format!("write {} or {}", shown(first), shown(second)),
        ),
        Err(NotAnInstant::OutOfRange) => return Err(out_of_range(text)),
    };
    Err(Error::When { text: text.to_owned(), reason, hint: Some(hint) })
}

fn in_words(instant: i64, calendar: &Calendar) -> String {
    let utc = format_instant(instant);
    match calendar.zone {
        None | Some(chrono_tz::Tz::UTC) => utc,
        Some(_) => {
            let local = calendar.local(instant).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
            format!("{local} ({utc})")
        }
    }
}

fn not_a_moment(text: &str, reason: &str) -> Error {
    Error::When { text: text.to_owned(), reason: reason.to_owned(), hint: Some(EXAMPLES.to_owned()) }
}

fn out_of_range(text: &str) -> Error {
    Error::When {
        text: text.to_owned(),
        reason: "it is outside the years 1677 to 2262".to_owned(),
        hint: Some(EXAMPLES.to_owned()),
    }
}

fn too_many(text: &str) -> Error {
    Error::When {
        text: text.to_owned(),
        reason: format!("it names more than {MOMENTS_MAX} moments"),
        hint: Some("choose a larger step, for instance 2015-01-31..2025-12-31/month".to_owned()),
    }
}

#[cfg(test)]
mod tests;
