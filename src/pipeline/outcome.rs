//! What runs return: plain data for front ends to print.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::VerdictCounts;
use crate::model::{Discrepancy, DiscrepancyKind, Severity};

/// A count of discrepancies by kind.
pub type KindCounts = BTreeMap<DiscrepancyKind, u64>;

/// What a snapshot run did.
#[derive(Debug, Clone)]
pub struct SnapshotOutcome {
    /// One per moment, in the order asked for.
    pub moments: Vec<MomentOutcome>,
    /// What the run assumed, in words.
    pub assumptions: Vec<String>,
    /// How text columns got their types, in words.
    pub types: Vec<String>,
    /// Whether the whole ledger was verified.
    pub verified: bool,
    /// Datasets that were refused and left out, with the reason.
    pub refused: Vec<(String, String)>,
}

/// One snapshot.
#[derive(Debug, Clone)]
pub struct MomentOutcome {
    /// The moment as asked for.
    pub text: String,
    /// The resolved bound, in words.
    pub resolved: String,
    /// Where it was written.
    pub path: PathBuf,
    /// Per dataset.
    pub datasets: Vec<DatasetOutcome>,
    /// All discrepancies.
    pub discrepancies: Vec<Discrepancy>,
}

/// What became of one dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetOutcome {
    /// Its name.
    pub name: String,
    /// Rows of the current state.
    pub current_rows: u64,
    /// Rows that the cut took away: inserts undone.
    pub inserts_undone: u64,
    /// Rows that the cut gave back: deletes undone.
    pub deletes_undone: u64,
    /// Rows that stand on both sides and have undone changes.
    pub rows_changed: u64,
    /// Rows of the snapshot.
    pub rows: u64,
    /// Changes in the ledger.
    pub changes: u64,
    /// Verdicts; all zero where nothing was judged.
    pub verdicts: VerdictCounts,
    /// Totals of measures: name, current, snapshot, cells of unknown value. Exact decimal text.
    pub measures: Vec<MeasureTotal>,
}

/// The totals of one measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasureTotal {
    /// The column.
    pub name: String,
    /// Its sum over the current state.
    pub current: String,
    /// Its sum over the known cells of the snapshot.
    pub snapshot: String,
    /// Snapshot minus current.
    pub change: String,
    /// How many cells of the snapshot are not known.
    pub unknown: u64,
}

/// What a verification found.
#[derive(Debug, Clone)]
pub struct VerifyOutcome {
    /// Per dataset.
    pub datasets: Vec<VerifiedDataset>,
    /// All discrepancies.
    pub discrepancies: Vec<Discrepancy>,
    /// What the run assumed, in words.
    pub assumptions: Vec<String>,
    /// How text columns got their types, in words.
    pub types: Vec<String>,
}

/// How much of one dataset was compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedDataset {
    /// Its name.
    pub name: String,
    /// Changes in the ledger.
    pub changes: u64,
    /// Keys that the ledger mentions.
    pub keys: u64,
    /// Of these, how many agree with the current state.
    pub agreeing: u64,
    /// Rows of the current state.
    pub current_rows: u64,
    /// First and last commit time, RFC 3339.
    pub window: (Option<String>, Option<String>),
}

/// Counts discrepancies by kind, each for as many as it stands for. Accepted ones do not count.
pub fn count_by_kind(discrepancies: &[Discrepancy]) -> KindCounts {
    let mut counts = KindCounts::new();
    for discrepancy in discrepancies.iter().filter(|d| d.accepted.is_none()) {
        *counts.entry(discrepancy.kind).or_default() += 1;
    }
    counts
}

/// The worst severity among discrepancies that are not accepted.
pub fn worst(discrepancies: &[Discrepancy]) -> Option<Severity> {
    discrepancies.iter().filter(|d| d.accepted.is_none()).map(Discrepancy::severity).max()
}
