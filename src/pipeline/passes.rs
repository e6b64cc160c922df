//! Facts in passes, where memory has no room for those of all keys at once.
//!
//! Shards are cut by the leading bits of key identities, so some shards are all
//! changes of some keys. A pass scans the ledger for the facts of its shards,
//! does what is to be done with them, and lets them go. Slots are numbered as if
//! all shards were held, so that what comes out is the same. Limits: only a scan of
//! keys behind a cut, in a ledger delivered in order, in which no row changes its
//! key, is cut into passes.

use std::ops::Range;

use rayon::prelude::*;

use super::inputs::DatasetInput;
use super::memory::{Held, Memory};
use super::progress::{Progress, Silent};
use super::run::{Run, RunPlan};
use super::scan::{self, FactOptions, Histories, histories_of};
use super::standing::{self, Standing};
use crate::error::Result;
use crate::model::Op;
use crate::model::rank::Ranks;
use crate::replay::facts::{LEAVES, ScanOptions};
use crate::replay::shard::Shard;

/// Shards that are scanned anew whenever they are needed, some at a time: an order that is that of the ledger.
#[derive(Debug, Clone)]
pub(super) struct Passes {
    /// The shards of each pass, in order.
    pub ranges: Vec<Range<usize>>,
    pub options: FactOptions,
}

impl Passes {
    /// The facts of one pass.
    pub(super) fn load(&self, input: &DatasetInput, range: &Range<usize>) -> Result<Histories> {
        histories_of(input, (&Ranks::AsRead, range.clone()), self.options, &Silent)
    }
}

impl Run {
    /// The histories of changes behind the earliest cut, if they are enough.
    pub(super) fn narrow(
        &self,
        dataset: usize,
        options: RunPlan<'_>,
        progress: &dyn Progress,
    ) -> Result<Option<Histories>> {
        let Some(from_rank) = self.earliest_cut(dataset, options)? else { return Ok(None) };
        let input = &self.inputs.datasets[dataset];
        let ranks = self.order(dataset).order.ranks(input.member);
        let facts = FactOptions { seed: self.seed, verify: false, from_rank };
        if input.lanes.is_partial() {
            return self.narrow_with_gaps(dataset, (options, facts), progress);
        }
        let passes = self.passes(dataset, options, facts);
        let Some(first) = passes.as_ref().and_then(|passes| passes.ranges.first()) else {
            let histories = scan::histories(input, &ranks, facts, progress)?;
            return Ok(histories.is_enough_without_the_past().then_some(histories));
        };
        let mut histories = scan::histories_of(input, (&ranks, first.clone()), facts, progress)?;
        if !histories.is_enough_without_the_past() {
            return Ok(None);
        }
        if histories.moves.is_empty() {
            histories.passes = passes;
        } else {
            // Rows are followed from key to key, so that all keys are needed at a time.
            drop(std::mem::take(&mut histories.shards));
            histories = scan::histories(input, &ranks, facts, &Silent)?;
        }
        Ok(Some(histories))
    }

    /// The histories of all changes, which are held at once: a limit without room for them is refused.
    pub(super) fn all_histories(
        &self,
        dataset: usize,
        options: RunPlan<'_>,
        facts: FactOptions,
        progress: &dyn Progress,
    ) -> Result<Histories> {
        let input = &self.inputs.datasets[dataset];
        if let Some(limit) = options.memory_limit {
            let memory = Memory::new(limit, &self.inputs, &self.ordered, options.moments.len());
            let hashed = if facts.verify { input.lanes.count() as u64 } else { 0 };
            let held = Held { facts: u64::from(input.store.len()), hashed, ..Held::default() };
            memory.check(input, held, 0)?;
        }
        scan::histories(input, &self.order(dataset).order.ranks(input.member), facts, progress)
    }

    /// The passes in which the facts fit into the memory that there is; `None`: they all do at once, or
    /// cannot be cut into passes.
    fn passes(&self, dataset: usize, options: RunPlan<'_>, facts: FactOptions) -> Option<Passes> {
        let input = &self.inputs.datasets[dataset];
        let limit = options.memory_limit?;
        let is_as_read = matches!(self.order(dataset).order.ranks(input.member), Ranks::AsRead);
        let is_plain = input.postings.is_none() && input.recorded.is_none() && !input.schema.is_keyless();
        if !is_as_read || !is_plain {
            return None;
        }
        let memory = Memory::new(limit, &self.inputs, &self.ordered, options.moments.len());
        let shards = scan::shards_of(input);
        let count = u64::from(input.store.len().saturating_sub(facts.from_rank));
        let passes = memory.passes(count, shards).min(shards);
        let cut = |pass: usize| pass * shards / passes;
        let ranges = (0..passes).map(|pass| cut(pass)..cut(pass + 1)).collect();
        (passes > 1).then_some(Passes { ranges, options: facts })
    }
}

/// Reads the current state against the shards of all passes but the first, and lets them go.
pub(super) fn later_passes(
    input: &DatasetInput,
    passes: &Passes,
    (histories, standing): (&mut Histories, &mut Standing),
    scan: ScanOptions<'_>,
) -> Result<()> {
    let mut keys: Vec<usize> = histories.shards.iter().map(Shard::keys).collect();
    histories.release(&keys);
    for range in &passes.ranges[1..] {
        let part = passes.load(input, range)?;
        standing.append(standing::read(input, &part, (scan, false), &Silent)?);
        range.clone().for_each(|shard| keys[shard] = part.shards[shard].keys());
    }
    histories.release(&keys);
    Ok(())
}

/// How many changes of these ranks are facts of some shards, by op; `changes` is how many the ledger has.
pub(super) fn undone_by_op(shards: &[Shard], ranks: Range<u32>, changes: u64) -> Vec<u64> {
    let none = || vec![0; Op::ALL.len()];
    let of_shard = |mut counts: Vec<u64>, shard: &Shard| {
        for fact in 0..shard.facts.len() {
            // A key change is two facts and one change.
            let of_opening = u64::from(shard.facts.index[fact]) >= changes;
            if ranks.contains(&shard.rank(fact)) && !shard.facts.has(fact, LEAVES) && !of_opening {
                counts[shard.facts.op(fact) as usize] += 1;
            }
        }
        counts
    };
    let added = |a: Vec<u64>, b: Vec<u64>| a.iter().zip(b).map(|(a, b)| a + b).collect();
    shards.par_iter().fold(none, of_shard).reduce(none, added)
}
