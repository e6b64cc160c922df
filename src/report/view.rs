//! [`Report`]: everything that a reader of one snapshot is told, as plain data. The pages and the
//! workbook are views of it and know nothing else.

use std::path::PathBuf;

use crate::model::{
    Cause, Discrepancy, DiscrepancyKind, GroupTotal, MeasureDifference, MeasureTotal, Op, RowTotal,
};

/// One snapshot, told to people. Nothing in it differs between two runs over the same inputs.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The name of the plan, if it has one.
    pub title: Option<String>,
    /// The moment as asked for.
    pub asked: String,
    /// The resolved bound, in words.
    pub resolved: String,
    /// Whether the whole ledger was verified.
    pub verified: bool,
    /// Which side supplies values where ledger and current state disagree.
    pub trust: &'static str,
    /// The datasets, in the order of the plan; refused ones are left out.
    pub datasets: Vec<DatasetView>,
    /// Datasets that were refused, with the reason.
    pub refused: Vec<(String, String)>,
    /// How many discrepancies there are, by kind: open and accepted ones.
    pub kinds: Vec<(DiscrepancyKind, u64, u64)>,
    /// The same by cause.
    pub causes: Vec<(Cause, u64, u64)>,
    /// How many reach the plan's materiality.
    pub material: u64,
    /// The first and the largest of them, in the order of their importance.
    pub listed: Vec<Discrepancy>,
    /// Per measure, what makes ledger and current state differ.
    pub differences: Vec<MeasureDifference>,
    /// What the run assumed.
    pub assumptions: Vec<String>,
    /// What the plan asks for and the run did not do.
    pub notes: Vec<String>,
    /// How text columns got their types.
    pub types: Vec<String>,
    /// The plan file, if there is one.
    pub plan_path: Option<PathBuf>,
    /// The plan as TOML.
    pub plan_text: String,
    /// Everything that was read.
    pub inputs: Vec<InputView>,
}

/// One dataset.
#[derive(Debug, Clone, Default)]
pub struct DatasetView {
    /// Its name.
    pub name: String,
    /// The file of its snapshot.
    pub file: String,
    /// Its key columns.
    pub key: Vec<String>,
    /// How the number of rows came about.
    pub rows: RowTotal,
    /// Rows that stand on both sides and were undone.
    pub rows_changed: u64,
    /// How the total of each measure came about.
    pub measures: Vec<MeasureTotal>,
    /// The same by group.
    pub groups: Vec<GroupTotal>,
    /// Changes in the ledger.
    pub changes: u64,
    /// How many of them were undone, by op.
    pub undone: Vec<(Op, u64)>,
    /// Rows by verdict, the weakest first.
    pub verdicts: Vec<(&'static str, u64)>,
    /// Cells by what is said of them: `inferred`, `ambiguous`, `unrecoverable`.
    pub cells: Vec<(&'static str, u64)>,
    /// Columns that did not exist yet and are left out.
    pub left_out: Vec<String>,
    /// Columns that were dropped since and come back.
    pub returned: Vec<String>,
    /// The format of its ledger.
    pub format: String,
    /// The clock of its ledger.
    pub clock: String,
    /// For which span the ledger is complete, in words.
    pub window: String,
    /// Its changes through time.
    pub timeline: Timeline,
}

/// A file that was read.
#[derive(Debug, Clone)]
pub struct InputView {
    /// Of which dataset.
    pub dataset: String,
    /// As what: current state, ledger or opening.
    pub role: &'static str,
    /// Where it lay.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its digest, lower-case hex.
    pub sha256: String,
}

/// Changes by time, with the span for which the ledger is complete. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeline {
    /// What one bar stands for: `day`, `week`, `month`, `quarter` or `year`.
    pub unit: &'static str,
    /// The bars, without holes between them.
    pub bars: Vec<Bar>,
    /// Where the last bar ends.
    pub end: i64,
    /// The as-of, if it is a time.
    pub as_of: Option<i64>,
    /// Where completeness begins; `None`: from birth.
    pub complete_from: Option<i64>,
    /// Up to where completeness is declared.
    pub complete_to: Option<i64>,
    /// Whether the start of completeness was declared.
    pub declared: bool,
    /// When transactions were committed of which records are known to be missing. Sorted.
    pub gaps: Vec<i64>,
    /// Gaps of which nothing says when they were.
    pub gaps_untimed: u64,
    /// Changes without a time.
    pub untimed: u64,
    /// Initial reads, which are no changes and in no bar.
    pub reads: u64,
    /// Whether changes before the as-of were not looked at.
    pub undone_only: bool,
}

/// The changes of one span of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bar {
    /// Where it begins.
    pub start: i64,
    /// The day on which it begins, in the plan's time zone.
    pub label: String,
    /// Changes in force at the as-of.
    pub in_force: u64,
    /// Changes that were undone.
    pub undone: u64,
}

impl Report {
    /// How many discrepancies there are, accepted ones included.
    pub fn total(&self) -> u64 {
        self.kinds.iter().map(|(_, open, accepted)| open + accepted).sum()
    }

    /// How many open ones have this severity.
    pub fn open(&self, severity: crate::model::Severity) -> u64 {
        self.kinds.iter().filter(|(kind, ..)| kind.severity() == severity).map(|(_, open, _)| open).sum()
    }

    /// How many of the accepted ones have at least this severity.
    pub fn accepted_from(&self, severity: crate::model::Severity) -> u64 {
        self.kinds
            .iter()
            .filter(|(kind, ..)| kind.severity() >= severity)
            .map(|(.., accepted)| accepted)
            .sum()
    }

    /// How many rows of all datasets have this verdict.
    pub fn rows_of(&self, verdict: &str) -> u64 {
        let all = self.datasets.iter().flat_map(|dataset| &dataset.verdicts);
        all.filter(|(name, _)| *name == verdict).map(|(_, count)| count).sum()
    }

    /// How many are accepted by the plan.
    pub fn accepted(&self) -> u64 {
        self.kinds.iter().map(|(.., accepted)| accepted).sum()
    }
}
