//! What a rebuild needs of changes before the earliest cut where images have gaps.
//!
//! From a cut on, the walk to a cell's value goes forward: a change that left a column
//! alone says nothing of it, and the next one that did not states it before, or the
//! current row does. Only where a change may have touched a column unrecorded, or a
//! life begins over which another may stand, the answer lies before the cut. Such keys
//! are few. So changes before the cut are gone through by their keys, and become facts
//! if they are of one of those. What comes out is what all facts would give.
//!
//! Limits: a ledger in order, of one key per row for life, without truncates, initial
//! reads, filters or an opening; any other is scanned as a whole.

use rayon::prelude::*;

use super::inputs::DatasetInput;
use super::progress::Progress;
use super::run::{Run, RunPlan};
use super::scan::{self, FactOptions, Histories, shards_of};
use super::standing::Standing;
use crate::error::Result;
use crate::ledger::want::Want;
use crate::model::lanes::Lanes;
use crate::model::rank::Ranks;
use crate::replay::facts::{self, Facts, ScanOptions, Scanned};
use crate::replay::select::{NO_ROW, needs_past};
use crate::replay::shard::{Shard, Sieve};

/// Keys whose selection may ask for changes before the cut.
struct OpenKeys<'a> {
    histories: &'a Histories,
    /// By slot.
    open: Vec<bool>,
    sieve: Sieve,
}

impl<'a> OpenKeys<'a> {
    fn of(histories: &'a Histories) -> Self {
        let open = |shard: &'a Shard| (0..shard.keys()).into_par_iter().map(|key| needs_past(shard, key));
        let open: Vec<bool> = histories.shards.par_iter().flat_map(open).collect();
        let keys = open.iter().filter(|open| **open).count();
        let is_open = |shard: usize, key: usize| open[histories.bases[shard] as usize + key];
        let sieve = Sieve::of(&histories.shards, keys, is_open);
        Self { histories, open, sieve }
    }

    fn has(&self, key: u128) -> bool {
        self.sieve.may_hold(key) && self.histories.find(key).is_some_and(|slot| self.open[slot as usize])
    }
}

impl Run {
    /// The histories of changes behind the earliest cut, with those before it that they depend on; `None` if
    /// that cannot be told.
    pub(super) fn narrow_with_gaps(
        &self,
        dataset: usize,
        (options, facts): (RunPlan<'_>, FactOptions),
        progress: &dyn Progress,
    ) -> Result<Option<Histories>> {
        let input = &self.inputs.datasets[dataset];
        let ranks = self.order(dataset).order.ranks(input.member);
        let is_plain = input.plan.opening.is_none()
            && input.postings.is_none()
            && input.filters().next().is_none()
            && !input.store.has_reads()
            && !input.schema.is_keyless();
        if !is_plain || ranks != Ranks::AsRead || options.memory_limit.is_some() || facts.from_rank == 0 {
            return Ok(None);
        }
        let mut histories = scan::histories(input, &ranks, facts, progress)?;
        if !histories.has_rows_alone() {
            return Ok(None);
        }
        let open = OpenKeys::of(&histories);
        let upto = input.store.len().min(facts.from_rank);
        let last = upto.checked_sub(1).map_or(0, |index| input.store.locate(index).0 + 1);
        let past = (0..last).into_par_iter().with_max_len(1);
        let past: Vec<Result<Scanned>> = past.map(|segment| past_of(input, segment, &open, facts)).collect();
        scan::release_buffers();
        histories.add(past, input.lanes.count())?;
        Ok(histories.has_rows_alone().then_some(histories))
    }
}

/// The facts of open keys from the changes of a segment before the cut, and what none of them becomes one of.
fn past_of(
    input: &DatasetInput,
    segment: usize,
    open: &OpenKeys<'_>,
    options: FactOptions,
) -> Result<Scanned> {
    let (first, whole) = (input.store.first(segment), Lanes::whole(&input.schema));
    let scan = ScanOptions { schema: &input.schema, lanes: &input.lanes, seed: options.seed, verify: false };
    let keys = ScanOptions { lanes: &whole, ..scan };
    let (mut all, mut rows) = (Scanned::default(), Vec::new());
    input.scan_keys(segment, &mut |from, batch| {
        let mut part = Scanned::with_room(batch.len(), 1, 0..1, keys);
        let before_cut = |index| index < options.from_rank;
        facts::scan_into(&mut part, (&batch, None), first + from as u32, keys, before_cut);
        for facts in std::mem::take(&mut part.shards) {
            let open = facts.key.iter().zip(&facts.index).filter(|(key, _)| open.has(**key));
            rows.extend(open.map(|(_, index)| index - first));
        }
        all.note(part);
    })?;
    let shards = shards_of(input);
    all.shards = (0..shards).map(|_| Facts::new(input.lanes.count())).collect();
    all.kept = 0..shards;
    if rows.is_empty() || !all.moves.is_empty() {
        return Ok(all);
    }
    let want = Want { states: true, packed: true, ..Want::KEYS };
    let mut batch = input.store.read(segment, want, Some(&rows))?;
    input.normalise_keys(&mut batch);
    facts::scan_into(&mut all, (&batch, None), 0, scan, |_| true);
    let indices = all.shards.iter_mut().flat_map(|facts| &mut facts.index);
    indices.for_each(|index| *index = first + rows[*index as usize]);
    Ok(all)
}

/// Whether the current state lacks the row of a key that goes on in the ledger: what its last change left alone
/// is then looked for in the past of a key that nothing else made an open one.
pub(super) fn lacks_rows(histories: &Histories, standing: &Standing, end: u32) -> bool {
    let of_shard = |(shard, &base): (&Shard, &u32)| {
        (0..shard.keys()).any(|key| {
            let slot = base + key as u32;
            let last = shard.history(key).rev().find(|&fact| shard.rank(fact) < end);
            let goes_on = last.is_some_and(|fact| !shard.facts.ends(fact));
            goes_on
                && standing.rows[slot as usize] == NO_ROW
                && standing.duplicate_slots.binary_search(&slot).is_err()
        })
    };
    histories.shards.par_iter().zip(&histories.bases).any(of_shard)
}
