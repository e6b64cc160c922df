//! What lies before a cut by statistics alone.
//!
//! A rebuild without verification needs nothing of changes that stay in force,
//! if images are whole. Row groups of a Parquet ledger whose footer shows that
//! they end before the earliest cut are not even ordered. That holds only where
//! positions and times rise from group to group, and where no transaction that
//! begins in a skipped group can reach as far as the cut. Each group skipped is
//! then two stand-ins in the list of transactions, for its first and last change.

use super::inputs::DatasetInput;
use crate::ledger::order::Transaction;
use crate::ledger::store::ChangeStore;
use crate::ledger::want::SegmentRange;
use crate::plan::Bound;

/// The segments that need not be ordered, and what stands for them.
#[derive(Debug, Clone, Default)]
pub(super) struct Prefix {
    /// How many segments.
    pub segments: usize,
    /// Their stand-ins.
    pub transactions: Vec<Transaction>,
}

impl Prefix {
    /// The longest that is certain; empty where the footers do not say enough.
    pub(super) fn find(input: &DatasetInput, bounds: &[&Bound]) -> Self {
        let (store, ledger) = (&input.store, &input.plan.ledger);
        let declared = [&ledger.complete_from, &ledger.complete_to, &input.plan.current.at];
        // A position or transaction is looked up among all of them.
        let by_time = declared.into_iter().flatten().all(|bound| bound.last_nanosecond().is_some());
        if !by_time || input.plan.opening.is_some() || input.lanes.is_partial() || input.schema.is_keyless() {
            return Self::default();
        }
        let earliest = bounds.iter().map(|bound| bound.last_nanosecond()).collect::<Option<Vec<_>>>();
        let Some(earliest) = earliest.and_then(|bounds| bounds.into_iter().min()) else {
            return Self::default();
        };
        if store.has_reads() || store.segments() < 2 {
            return Self::default();
        }
        let ranges = (0..store.segments()).map(|segment| store.range(segment)).collect::<Option<Vec<_>>>();
        let Some(ranges) = ranges.filter(|ranges| ranges.windows(2).all(|pair| rises(&pair[0], &pair[1])))
        else {
            return Self::default();
        };
        let before = ranges.partition_point(|range| range.time.1 <= earliest);
        // The cut needs a transaction on either side.
        let certain = |&segments: &usize| ids_rise(&ranges[segments - 1], &ranges[segments]);
        let Some(segments) = (1..before).rev().find(certain) else { return Self::default() };
        let transactions =
            (0..segments).flat_map(|segment| stand_ins(store, segment, &ranges[segment])).collect();
        Self { segments, transactions }
    }
}

fn rises(a: &SegmentRange, b: &SegmentRange) -> bool {
    a.position.1 < b.position.0 && a.time.1 <= b.time.0
}

/// Whether at most one transaction is in both: it ends in the second, which lies before the cut too.
fn ids_rise(a: &SegmentRange, b: &SegmentRange) -> bool {
    match (a.transaction, b.transaction) {
        (Some(a), Some(b)) => a.1 <= b.0,
        (None, None) => true,
        _ => false,
    }
}

fn stand_ins(store: &ChangeStore, segment: usize, range: &SegmentRange) -> [Transaction; 2] {
    let of = |first, time, position| Transaction { first, time, earliest: time, id: 0, position };
    [
        of(store.first(segment), range.time.0, range.position.0),
        of(store.first(segment + 1) - 1, range.time.1, range.position.1),
    ]
}
