//! Ledgers of postings: records that move measures by signed amounts, and carry no image.
//!
//! ```text
//!  Raw ─► layout ─► read ─► lines in the order in which they count ─► images ─► ChangeBatch
//!         which      amounts, dates, keys      │                        ▲
//!         column     as numbers                └─► proofs               │
//!         is what                              balances per key of the current state
//! ```
//!
//! What was on a key before a posting is what is on it now less that posting and all later
//! ones. So [`PostingLedger::derive`] walks back from the current balances and gives every
//! posting the images that an image ledger would have had; from then on it is a change like
//! any other. All arithmetic is on whole numbers of one scale per measure.
//!
//! Images that are derived from the current state agree with it whatever the ledger lacks.
//! So what proves the ledger is looked for here: from birth, or from opening entries, what
//! was on a key before its first posting must be what is stated; transactions must balance;
//! balances that the ledger states after its postings must follow from each other.
//!
//! Postings count in the order of one clock. A moment with a second one, *as known at* which,
//! asks for what counts by the posting date and had been entered by then: what had not is put
//! behind everything that can be asked about.
//!
//! Limits: one line is kept per posting (some 80 bytes and 16 per measure) while a run lasts.

mod beancount;
mod closings;
mod dates;
mod describe;
mod fec;
mod findings;
mod hledger;
mod images;
mod layout;
mod number;
mod proofs;
mod read;
mod running;
pub(super) mod saft;

use arrow::array::ArrayRef;

pub use self::describe::PostingSummary;
use self::findings::Findings;
pub use self::findings::PostingFinding;
pub use self::images::{Base, Derived, Equation};
use self::layout::Layout;
use self::read::{Entries, Words};
use self::running::Running;
use super::raw::Raw;
use crate::error::{Error, Result};
use crate::ledger::Format;
use crate::model::{DiscrepancyKind as Kind, NEVER, NO_TIME, TableSchema};
use crate::plan::{Bound, Dataset, LedgerClock};
use crate::read::Spool;

/// The exact value of a plain decimal text: a whole number, and how many of its digits are decimals.
pub fn exact_number(text: &str) -> Option<(i128, u32)> {
    number::parse(text, crate::plan::DecimalSign::Point)
}

/// A key column (by its number among them) as keys are compared.
pub type Comparable<'a> = dyn Fn(usize, &ArrayRef) -> ArrayRef + Sync + 'a;

/// A dataset whose measures postings move.
pub struct PostingTarget<'a> {
    /// What the plan says of it.
    pub plan: &'a Dataset,
    /// Its columns.
    pub schema: &'a TableSchema,
    /// How its keys are compared.
    pub comparable: &'a Comparable<'a>,
}

/// No transaction, actor, currency or key.
const NONE: u32 = u32::MAX;

/// One posting.
#[derive(Debug, Clone, Copy)]
struct Line {
    /// Its row among all of the ledger.
    row: u32,
    /// Numbers of its transaction, actor and currency.
    transaction: u32,
    actor: u32,
    currency: u32,
    /// When it counts on the clock of moments; [`NEVER`] if it was not known then.
    time: i64,
    effective: i64,
    committed: i64,
    /// It restates a balance and moves nothing.
    opening: bool,
}

/// The postings of a source, in the order in which they count.
#[derive(Debug)]
pub struct PostingLedger {
    raw: Raw,
    layout: Layout,
    lines: Vec<Line>,
    entries: Vec<Entries>,
    transactions: Words,
    actors: Words,
    findings: Vec<PostingFinding>,
    /// Per dataset, what the balances say that are stated after its postings.
    running: Vec<Option<Running>>,
}

/// The format of postings with these columns, if it is one that can be told by them.
pub(super) fn detect(names: &[String]) -> Option<Format> {
    if fec::is_one(names) {
        return Some(Format::Fec);
    }
    if hledger::is_one(names) {
        return Some(Format::Hledger);
    }
    beancount::is_one(names).then_some(Format::Beancount)
}

/// By how much and when the rows of a table with these columns may move measures, in words; `None` if their names are
/// not those of postings.
pub fn usual_postings(names: &[String]) -> Option<String> {
    layout::usual(names)
}

/// The columns that usually identify what postings of a format move, in order; none for one without columns of its own.
pub fn posting_keys(format: Format) -> &'static [&'static str] {
    preset(format).keys
}

fn preset(format: Format) -> &'static layout::Preset {
    match format {
        Format::Fec => &fec::PRESET,
        Format::Hledger => &hledger::PRESET,
        Format::Beancount => &beancount::PRESET,
        Format::SafT => &saft::PRESET,
        _ => &layout::ANY,
    }
}

impl PostingLedger {
    /// Reads a ledger's files for these datasets, which share it.
    ///
    /// # Errors
    /// A file cannot be read, a column is missing, or amounts cannot be added up.
    pub fn open(format: Format, targets: &[PostingTarget<'_>], spool: &Spool) -> Result<Self> {
        let ledger = &targets[0].plan.ledger;
        let (raw, totals) = match format {
            Format::SafT => saft::raw(ledger, spool)?,
            _ => (Raw::open(ledger, spool)?, Vec::new()),
        };
        let limit = u64::from(NONE) - 1;
        if raw.len() > limit {
            return Err(Error::Limit { what: "postings of one ledger", found: raw.len(), limit });
        }
        let layout = Layout::find(&raw, ledger, preset(format), targets)?;
        let mut findings = Findings::default();
        for discrepancy in totals {
            findings.push(PostingFinding { discrepancy, target: 0, row: None });
        }
        let mut read = read::read(&raw, &layout, targets, &mut findings)?;
        proofs::refuse_mixed_units(&read, targets)?;
        proofs::drop_repeats(&raw, &mut read, &mut findings);
        let known_at = ledger.postings.known_at.as_ref().map(|moment| &moment.bound);
        for line in &mut read.lines {
            line.time = time(line, layout.clock, known_at);
        }
        order(&mut read.lines);
        proofs::note_unknown_entry(&raw, &read, known_at, &mut findings);
        if layout.balanced {
            proofs::unbalanced(&raw, &layout, &read, targets, &mut findings);
        }
        closings::note(&raw, &layout, &read, targets, &mut findings);
        let running = (0..targets.len()).map(|number| running::follow(&layout, &read, number)).collect();
        Ok(Self {
            running,
            raw,
            layout,
            lines: read.lines,
            entries: read.entries,
            transactions: read.transactions,
            actors: read.actors,
            findings: findings.finish(),
        })
    }

    /// The clock that moments are asked on: of the commit, or of the posting date.
    pub fn clock(&self) -> LedgerClock {
        self.layout.clock
    }

    /// The clock that moments without a second one are asked on.
    pub fn own_clock(&self) -> LedgerClock {
        self.layout.own_clock
    }

    /// Whether both clocks are recorded.
    pub fn has_both_clocks(&self) -> bool {
        self.layout.effective.is_some() && self.layout.committed.is_some()
    }

    /// The distinct keys of a dataset: one array per key column; a key's number is its slot.
    pub fn keys(&self, target: usize) -> &[ArrayRef] {
        &self.entries[target].keys
    }

    /// The columns of a dataset that postings move.
    pub fn measures(&self, target: usize) -> Vec<usize> {
        self.layout.targets[target].amounts.iter().map(|(column, _)| *column).collect()
    }

    /// What reading the postings found; those of no dataset in particular are told of the first.
    pub fn findings(&self, target: usize) -> impl Iterator<Item = &PostingFinding> {
        self.findings.iter().filter(move |f| f.target == target)
    }

    /// In which order the balances stated after postings of a dataset follow each other, in words.
    pub fn running_order(&self, target: usize) -> Option<String> {
        self.running[target].as_ref().map(Running::in_words)
    }

    /// What reading the files as tables found.
    pub fn discrepancies(&self) -> Vec<crate::model::Discrepancy> {
        self.raw.discrepancies().into_iter().map(super::of_ledger).collect()
    }

    /// When postings first became known, of those that say so.
    pub fn first_committed(&self) -> Option<i64> {
        self.lines.iter().map(|l| l.committed).filter(|&t| t != NO_TIME).min()
    }

    /// When a key of a dataset is first posted to, per slot.
    pub fn first_times(&self, target: usize) -> Vec<i64> {
        let entries = &self.entries[target];
        let mut times = vec![NEVER; entries.slots()];
        for line in &self.lines {
            if let Some(slot) = entries.slot(line.row) {
                times[slot] = times[slot].min(line.time);
            }
        }
        times
    }

    /// When the posting at a place of the stream of derived changes was entered (nanoseconds, or
    /// [`NO_TIME`] if it does not say so).
    pub fn entered(&self, place: u64) -> i64 {
        self.lines.get(place as usize).map_or(NO_TIME, |line| line.committed)
    }

    /// When that posting counts, by its posting date.
    pub fn effective(&self, place: u64) -> i64 {
        self.lines.get(place as usize).map_or(NO_TIME, |line| line.effective)
    }

    /// Postings that count at a moment of posting dates and were entered behind it: how many, by how
    /// much they move the measures of a dataset, and the first of them.
    pub fn late(&self, target: usize, bound: &Bound) -> Option<PostingFinding> {
        proofs::late(self, target, bound)
    }

    /// Whether a posting came to be known only behind the extract moment.
    fn is_behind(&self, line: &Line, extract: Option<&Bound>) -> bool {
        let at = if self.layout.committed.is_some() { line.committed } else { line.effective };
        at != NO_TIME && extract.and_then(|bound| bound.includes(at)) == Some(false)
    }
}

/// When a posting counts.
fn time(line: &Line, clock: LedgerClock, known_at: Option<&Bound>) -> i64 {
    if clock != LedgerClock::Effective {
        return line.committed;
    }
    let known = |bound: &Bound| line.committed != NO_TIME && bound.includes(line.committed) != Some(false);
    if known_at.is_none_or(known) { line.effective } else { NEVER }
}

/// By time; then what restates a balance, as it is one at the beginning of its day; then lines of one
/// transaction together, in the order in which they stand.
fn order(lines: &mut [Line]) {
    let mut first = std::collections::HashMap::new();
    for line in lines.iter() {
        let row = first.entry(line.transaction).or_insert(line.row);
        *row = line.row.min(*row);
    }
    let head = |line: &Line| match line.transaction {
        NONE => line.row,
        transaction => first.get(&transaction).copied().unwrap_or(line.row),
    };
    lines.sort_by_cached_key(|line| (line.time, !line.opening, head(line), line.row));
}

/// What is said of a posting whose date on the clock of moments is missing.
fn no_time(clock: LedgerClock) -> (Kind, &'static str) {
    let message = match clock {
        LedgerClock::Effective => "a posting without a posting date: it is set aside, and never undone",
        _ => "a posting without the time of its entry: it is set aside, and never undone",
    };
    (Kind::UnparsableRecord, message)
}
