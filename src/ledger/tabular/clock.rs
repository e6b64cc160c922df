//! Commit times as texts or numbers to instants, with what is wrong with them told once each.

use chrono_tz::Tz;

use super::super::notes::Notes;
use crate::model::DiscrepancyKind;
use crate::model::time::{NotAnInstant, parse_instant};

/// Reads the times of one chunk; neighbours mostly bear the same.
#[derive(Debug)]
pub(super) struct Instants {
    zone: Option<Tz>,
    last: (String, Option<i64>),
    /// A record whose time has no offset while no zone is declared.
    pub(super) lacks_zone: Option<u64>,
}

impl Instants {
    pub(super) fn new(zone: Option<Tz>) -> Self {
        Self { zone, last: (String::new(), None), lacks_zone: None }
    }

    /// The instant that a text denotes; `None` for one that is none, which is then told.
    pub(super) fn read(
        &mut self,
        text: &str,
        target: Option<usize>,
        record: u64,
        notes: &mut Notes,
    ) -> Option<i64> {
        if self.last.0 != text {
            self.last = (text.to_owned(), self.parse(text, target, record, notes));
        }
        self.last.1
    }

    fn parse(&mut self, text: &str, target: Option<usize>, record: u64, notes: &mut Notes) -> Option<i64> {
        if let Ok(number) = text.parse::<i64>() {
            return epoch(number);
        }
        let reason = match parse_instant(text, self.zone) {
            Ok(instant) => return Some(instant),
            Err(NotAnInstant::Twice(first, _)) => {
                let message = format!("the time {text:?} occurs twice in its zone; the first one is taken");
                notes.add(DiscrepancyKind::AmbiguousCut, target, record, None, message);
                return Some(first);
            }
            Err(NotAnInstant::NoZone) => {
                self.lacks_zone.get_or_insert(record);
                return None;
            }
            Err(NotAnInstant::Skipped) => "its zone skips it",
            Err(NotAnInstant::OutOfRange) => "it lies outside the years 1677 to 2262",
            Err(NotAnInstant::Malformed) => "it is no date and time",
        };
        notes.unparsable(target, record, format!("expected a commit time, found {text:?}: {reason}"));
        None
    }
}

/// Nanoseconds since the epoch from a number whose size tells its unit, unambiguous from 1973 on.
pub(super) fn epoch(number: i64) -> Option<i64> {
    let factor = match number.unsigned_abs() {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    number.checked_mul(factor).filter(|&n| n != i64::MIN)
}
