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
        let Some(segments) = ended(&ranges, before) else { return Self::default() };
        let transactions =
            (0..segments).flat_map(|segment| stand_ins(store, segment, &ranges[segment])).collect();
        Self { segments, transactions }
    }
}

fn rises(a: &SegmentRange, b: &SegmentRange) -> bool {
    a.position.1 < b.position.0 && a.time.1 <= b.time.0
}

/// The most segments, fewer than `before`, none of whose transactions can reach as far as the cut. At most one of
/// these goes on in the segment that follows, and ends there, before the cut: one that fills that segment may go on
/// beyond it.
fn ended(ranges: &[SegmentRange], before: usize) -> Option<usize> {
    if ranges.iter().all(|range| range.transaction.is_none()) {
        return (1..before).next_back();
    }
    let ids: Vec<(i64, i64)> = ranges.iter().map(|range| range.transaction).collect::<Option<_>>()?;
    let highest_upto: Vec<i64> = ids
        .iter()
        .scan(i64::MIN, |highest, ids| {
            *highest = ids.1.max(*highest);
            Some(*highest)
        })
        .collect();
    let mut lowest_from: Vec<i64> = vec![i64::MAX; ids.len() + 1];
    for (segment, ids) in ids.iter().enumerate().rev() {
        lowest_from[segment] = ids.0.min(lowest_from[segment + 1]);
    }
    let has_ended = |&segments: &usize| {
        let (highest, next) = (highest_upto[segments - 1], ids[segments]);
        let goes_on = highest == next.0 && next.0 < next.1;
        (highest < next.0 || goes_on) && highest < lowest_from[segments + 1]
    };
    (1..before).rev().find(has_ended)
}

fn stand_ins(store: &ChangeStore, segment: usize, range: &SegmentRange) -> [Transaction; 2] {
    let of = |first, time, position| Transaction { first, time, earliest: time, id: 0, position };
    [
        of(store.first(segment), range.time.0, range.position.0),
        of(store.first(segment + 1) - 1, range.time.1, range.position.1),
    ]
}
