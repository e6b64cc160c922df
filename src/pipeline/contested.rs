//! Rows that the ledger itself states in two ways for a while: versions that overlap, or cannot be.
//!
//! Which of two versions stands is decided by their neighbours, for replay must go on; the row is
//! `contradicted` at the moments that both claim, whichever was taken. Such spans lie between order
//! marks and not between ranks, as a version that is set aside leaves no change behind.

use std::collections::BTreeMap;

use super::inputs::{DatasetInput, SourceInput};
use super::scan::Histories;
use crate::error::Result;
use crate::ledger::PositionKind;
use crate::ledger::want::Want;
use crate::plan::Bound;

/// Per slot, the spans in which it is contested: order marks, half-open.
pub(super) type Spans = BTreeMap<u32, Vec<(u128, u128)>>;

/// Finds the slots of contested spans.
pub(super) fn slots(input: &DatasetInput, histories: &Histories) -> Result<Spans> {
    let mut spans = Spans::new();
    if input.contested.is_empty() {
        return Ok(spans);
    }
    let mut by_record: BTreeMap<(u32, u64), Vec<(u128, u128)>> = BTreeMap::new();
    for one in &input.contested {
        by_record.entry((one.file, one.record)).or_default().push((one.from, one.to));
    }
    let mut by_index: BTreeMap<u32, &Vec<(u128, u128)>> = BTreeMap::new();
    let want = Want { provenance: true, ..Want::default() };
    for segment in 0..input.store.segments() {
        let batch = input.store.read(segment, want, None)?;
        let first = input.store.first(segment);
        for (index, &record) in (first..).zip(&batch.record) {
            if let Some(own) = by_record.get(&(batch.file, record)) {
                by_index.insert(index, own);
            }
        }
    }
    for (shard, &base) in histories.shards.iter().zip(&histories.bases) {
        for key in 0..shard.keys() {
            for own in shard.history(key).filter_map(|fact| by_index.get(&shard.facts.index[fact])) {
                let known = spans.entry(base + key as u32).or_default();
                known.extend(own.iter().filter(|span| !known.contains(span)).copied().collect::<Vec<_>>());
            }
        }
    }
    Ok(spans)
}

/// The order mark of the last change that a bound takes in; `None` if it names none.
pub(super) fn mark(source: &SourceInput, bound: &Bound) -> Option<u128> {
    let kind = source.positions.as_ref()?;
    match bound {
        Bound::At(_) | Bound::Before(_) => match kind {
            PositionKind::Instant => bound.last_nanosecond().map(PositionKind::of_instant),
            _ => None,
        },
        Bound::Position(text) => kind.parse(text).and_then(|(commit, own)| commit.or(own)),
        Bound::Transaction(_) => None,
    }
}
