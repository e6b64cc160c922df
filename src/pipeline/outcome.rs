//! What runs return: plain data for front ends to print.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::VerdictCounts;
use crate::model::{
    Cause, DigestTotal, Discrepancy, DiscrepancyKind, GroupTotal, MeasureDifference, MeasureTotal, Op,
    RowTotal, Severity,
};

/// How many discrepancies there are of a kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KindCount {
    /// Those that count.
    pub open: u64,
    /// Those that the plan's `accepted` list names.
    pub accepted: u64,
}

/// What a run found: everything counted, the first of each kind and dataset in full.
///
/// A run that goes wrong on a million rows finds a million discrepancies. All of them
/// are in the files; here at most 1,000 of each kind and dataset are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discrepancies {
    /// How many there are, by kind. A discrepancy counts once, however many
    /// occurrences it stands for.
    pub counts: BTreeMap<DiscrepancyKind, KindCount>,
    /// The same by cause.
    pub causes: BTreeMap<Cause, KindCount>,
    /// How many of them reach the plan's materiality.
    pub material: u64,
    /// Per measure, the difference between ledger and current state, explained. Empty where
    /// nothing was verified.
    pub differences: Vec<MeasureDifference>,
    /// Worst first, then by kind, dataset and place.
    pub listed: Vec<Discrepancy>,
}

impl Discrepancies {
    /// How many there are, listed or not, accepted or not.
    pub fn total(&self) -> u64 {
        self.counts.values().map(|c| c.open + c.accepted).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.total() == 0
    }

    /// Whether all of them are listed.
    pub fn is_complete(&self) -> bool {
        self.listed.len() as u64 == self.total()
    }

    /// The worst severity among those that are not accepted.
    pub fn worst(&self) -> Option<Severity> {
        self.counts.iter().filter(|(_, c)| c.open > 0).map(|(kind, _)| kind.severity()).max()
    }
}

/// What a snapshot run did.
#[derive(Debug, Clone)]
pub struct SnapshotOutcome {
    /// One per moment, in the order asked for.
    pub moments: Vec<MomentOutcome>,
    /// What the run assumed, in words.
    pub assumptions: Vec<String>,
    /// What the plan asks for and the run did not do, in words: figures of other moments.
    pub notes: Vec<String>,
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
    /// Where it was written; empty if it was not.
    pub path: PathBuf,
    /// Per dataset.
    pub datasets: Vec<DatasetOutcome>,
    /// What does not tie.
    pub discrepancies: Discrepancies,
    /// The tables themselves, if the request asks for them in memory.
    pub batches: Option<SnapshotBatches>,
}

/// Everything that an evidence folder holds as tables, in memory.
#[derive(Debug, Clone, Default)]
pub struct SnapshotBatches {
    /// The snapshot of each dataset, in the order of the plan; refused ones are left out.
    pub tables: Vec<TableBatches>,
    /// The verdict on every touched key and every cell that is not exact.
    pub verdicts: Vec<RecordBatch>,
    /// Every discrepancy, worst first.
    pub discrepancies: Vec<RecordBatch>,
    /// The control totals of all datasets.
    pub totals: Vec<RecordBatch>,
}

/// One table in memory.
#[derive(Debug, Clone)]
pub struct TableBatches {
    /// The name of its dataset.
    pub name: String,
    /// Its columns, in the types of the current state. All may be null, as a value may be unknown.
    pub schema: SchemaRef,
    /// Its rows, in order. None if the table has none.
    pub batches: Vec<RecordBatch>,
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
    /// Columns that did not exist yet and are left out (`--schema at-date`).
    pub left_out: Vec<String>,
    /// Columns that were dropped since and come back (`--schema at-date`).
    pub returned: Vec<String>,
    /// Rows of the snapshot.
    pub rows: u64,
    /// Changes in the ledger.
    pub changes: u64,
    /// Of these, how many were undone, by op; ops that do not occur are left out.
    pub undone: Vec<(Op, u64)>,
    /// Verdicts; all zero where nothing was judged.
    pub verdicts: VerdictCounts,
    /// The control total of each measure.
    pub measures: Vec<MeasureTotal>,
    /// The control totals of each group of the plan's `group_by`, in the order of their values.
    pub groups: Vec<GroupTotal>,
    /// The identities of the digests of rows; empty unless asked for.
    pub digests: Vec<DigestTotal>,
}

impl DatasetOutcome {
    /// The control total of rows.
    pub fn row_total(&self) -> RowTotal {
        RowTotal {
            current: self.current_rows,
            inserts: self.inserts_undone,
            deletes: self.deletes_undone,
            updates: 0,
            snapshot: self.rows,
        }
    }
}

/// What a verification found.
#[derive(Debug, Clone)]
pub struct VerifyOutcome {
    /// Per dataset.
    pub datasets: Vec<VerifiedDataset>,
    /// What does not tie.
    pub discrepancies: Discrepancies,
    /// Of ledgers of postings, opening + movement = closing by measure, in words.
    pub equations: Vec<String>,
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
