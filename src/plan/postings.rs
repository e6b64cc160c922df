//! What a plan says about a ledger of postings, as plain data.

use chrono_tz::Tz;

use super::{Bound, LedgerClock, Moment};

/// How the records of a ledger move the measures of a dataset.
///
/// All of it is optional: what is not declared is found by the usual names, or left to
/// the format.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Postings {
    /// Per measure, what of a posting moves it. Empty: as the format writes it.
    pub amounts: Vec<(String, AmountColumns)>,
    /// Per measure, the column with what is on the key after each posting.
    pub running_balances: Vec<(String, String)>,
    /// Key columns of the dataset that the ledger calls otherwise: theirs, then the ledger's.
    pub keys: Vec<(String, String)>,
    /// The sign before decimals in texts; `None`: detected.
    pub decimal_sign: Option<DecimalSign>,
    /// How dates are written that are not `2025-12-31` or `20251231`.
    pub dates: Option<DateOrder>,
    /// When a row is there; `None`: from its first posting on if the ledger is complete from
    /// birth or an opening lacks the row, else always.
    pub rows: Option<RowsExist>,
    /// Postings that restate a balance instead of moving it.
    pub opening_entries: Option<OpeningEntries>,
    /// Whether the amounts of a transaction add up to nothing; `None`: if they are debits and credits.
    pub balanced: Option<bool>,
    /// Whether postings without any key value are of another table, and left out.
    pub skip_empty_keys: bool,
    /// The clock that a moment is asked on; `None`: that of the format.
    pub clock: Option<LedgerClock>,
    /// Every posting that counts from here on is in the ledger.
    pub effective_from: Option<Bound>,
    /// Every posting that became known from here on is in the ledger.
    pub committed_from: Option<Bound>,
    /// Undo also what became known only behind this moment.
    pub known_at: Option<Moment>,
    /// Periods and when each was closed; what counts in one and was entered later is late.
    pub closings: Vec<Closing>,
    /// The zone in which dates begin; `None`: UTC.
    pub days: Option<Tz>,
}

/// A period that was closed.
#[derive(Debug, Clone, PartialEq)]
pub struct Closing {
    /// The period, by its end: all that counts up to it, and in no earlier closing, belongs to it.
    pub period: Moment,
    /// When it was closed.
    pub at: Moment,
}

/// Which columns of a posting say by how much a measure moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AmountColumns {
    /// One column with a signed amount.
    Signed(String),
    /// Two columns: what is debited less what is credited. A negative debit is one (red storno).
    Sides {
        /// The column that adds.
        debit: String,
        /// The column that takes away.
        credit: String,
    },
    /// One column with the amount, another with a word that says its direction.
    Flagged {
        /// The amount.
        amount: String,
        /// The direction.
        flag: String,
        /// Words under which the amount adds. Empty: the usual ones.
        plus: Vec<String>,
        /// Words under which it takes away. Empty: the usual ones.
        minus: Vec<String>,
    },
}

/// Postings that restate a balance instead of moving it, as journals carry forward a new year's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpeningEntries {
    /// The column that tells them.
    pub column: String,
    /// Its words for them.
    pub words: Vec<String>,
}

/// The sign before the decimals of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalSign {
    /// `1,234.50`
    Point,
    /// `1.234,50`
    Comma,
}

impl DecimalSign {
    /// Both.
    pub const ALL: &'static [Self] = &[Self::Point, Self::Comma];

    /// The word for it in a plan.
    pub fn name(self) -> &'static str {
        match self {
            Self::Point => ".",
            Self::Comma => ",",
        }
    }
}

/// How dates are written whose order cannot be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateOrder {
    /// `31.12.2025`, `31/12/2025`, `31-12-2025`
    DayFirst,
    /// `12/31/2025`
    MonthFirst,
}

impl DateOrder {
    /// Both.
    pub const ALL: &'static [Self] = &[Self::DayFirst, Self::MonthFirst];

    /// The word for it in a plan.
    pub fn name(self) -> &'static str {
        match self {
            Self::DayFirst => "day-first",
            Self::MonthFirst => "month-first",
        }
    }
}

/// When a row of a table of balances is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsExist {
    /// At all times, with nothing on it before its first posting.
    Always,
    /// From its first posting on.
    FirstPosting,
    /// While some measure is not zero, as trial balances and stock lists have it.
    NonZero,
}

impl RowsExist {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Always, Self::FirstPosting, Self::NonZero];

    /// The word for it in a plan.
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::FirstPosting => "first-posting",
            Self::NonZero => "non-zero",
        }
    }
}
