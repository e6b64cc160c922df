//! What is not as it should be with postings, with repetitions folded.

use std::collections::HashMap;

use super::super::raw::Raw;
use crate::model::{Discrepancy, DiscrepancyKind, LedgerPlace, NO_TIME, time};

/// One finding.
#[derive(Debug, Clone)]
pub struct PostingFinding {
    /// What it is, without the name of the dataset.
    pub discrepancy: Discrepancy,
    /// The dataset, by its number among those that share the ledger.
    pub target: usize,
    /// The row that it shows at, if it touches only moments before that posting.
    pub row: Option<u32>,
}

/// Findings of one kind and dataset that are told one by one.
const KEPT: u64 = 1000;

/// Collects findings; beyond a limit the last of its kind counts the rest.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: Vec<PostingFinding>,
    counts: HashMap<(DiscrepancyKind, usize), (u64, usize)>,
}

impl Findings {
    pub(super) fn push(&mut self, finding: PostingFinding) {
        let entry = self.counts.entry((finding.discrepancy.kind, finding.target)).or_insert((0, 0));
        entry.0 += 1;
        if entry.0 > KEPT {
            self.found[entry.1].discrepancy.count += finding.discrepancy.count;
            return;
        }
        entry.1 = self.found.len();
        self.found.push(finding);
    }

    /// Something about one row.
    pub(super) fn row(
        &mut self,
        raw: &Raw,
        (kind, row): (DiscrepancyKind, u32),
        target: usize,
        message: impl Into<String>,
    ) {
        let mut discrepancy = Discrepancy::new(kind, "", message);
        discrepancy.ledger = Some(place(raw, row));
        self.push(PostingFinding { discrepancy, target, row: None });
    }

    pub(super) fn finish(self) -> Vec<PostingFinding> {
        self.found
    }
}

/// Where a row stands.
pub(super) fn place(raw: &Raw, row: u32) -> LedgerPlace {
    let (segment, row) = raw.locate(u64::from(row));
    LedgerPlace {
        file: raw.file(segment).1.display().to_string(),
        record: raw.record(segment, row as usize),
        ..LedgerPlace::default()
    }
}

/// An instant as text, if there is one.
pub(super) fn instant(at: i64) -> Option<String> {
    (at != NO_TIME).then(|| time::format_instant(at))
}
