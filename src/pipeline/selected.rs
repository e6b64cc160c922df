//! What selecting leaves behind: patches and choices of all keys, put together.
//!
//! Selections come shard by shard, in passes where memory is limited, or as recounts
//! of equal rows where a table has no key. What is asked of facts later is taken from
//! them here, before they go.

use std::collections::HashSet;

use rayon::prelude::*;

use super::inputs::DatasetInput;
use super::layout::Placed;
use super::passes::undone_by_op;
use super::scan::Histories;
use super::standing::{Standing, locator};
use crate::error::Result;
use crate::replay::facts::HAS_BEFORE;
use crate::replay::multiset;
use crate::replay::select::{self, Choice, Cuts, Fate, NO_ROW, Patch, Source, World};
use crate::replay::shard::Shard;

/// Patches of a part at least, and parts at most.
const PART_MIN: usize = 1 << 14;
const PARTS_MAX: usize = 16;

/// What a rebuild is put together from.
#[derive(Default)]
pub(super) struct Selected {
    pub(super) patches: Vec<Patch>,
    pub(super) choices: Vec<Choice>,
    /// Without a key: where the row of each patch is. Else that of its slot.
    pub(super) rows: Option<Vec<u64>>,
    /// Rows that go as a trusted ledger never mentions them.
    pub(super) never_mentioned: Vec<u64>,
    /// Copies that stay of rows with undone changes.
    pub(super) left: Vec<u64>,
    /// As in [`Rebuilt`], of passes.
    pub(super) undone: Option<Vec<u64>>,
    pub(super) firsts: Vec<FirstFact>,
}

impl Selected {
    /// The selections of all shards, one behind the other.
    pub(super) fn of(
        selections: Vec<select::Selection>,
        input: &DatasetInput,
        standing: &Standing,
        is_disowned: bool,
    ) -> Result<Self> {
        let mut parts = Self::default();
        parts.add(selections);
        if is_disowned {
            parts.never_mentioned = never_mentioned(input, standing)?;
        }
        Ok(parts)
    }

    pub(super) fn add(&mut self, selections: Vec<select::Selection>) {
        self.patches.reserve_exact(selections.iter().map(|s| s.patches.len()).sum());
        self.choices.reserve_exact(selections.iter().map(|s| s.choices.len()).sum());
        for selection in selections {
            self.patches.extend(selection.patches);
            self.choices.extend(selection.choices);
        }
    }

    /// Keeps what is asked of facts later, from those of a pass whose patches begin at `from`.
    pub(super) fn note_pass(&mut self, part: &Histories, (world, cuts): (World<'_>, Cuts<'_>), from: usize) {
        if let Cuts::One(cut) = cuts {
            // No opening is among the facts of a pass.
            let own = undone_by_op(&part.shards, cut..world.timeline.end, u64::MAX);
            let all = self.undone.get_or_insert_default();
            all.resize(own.len(), 0);
            all.iter_mut().zip(own).for_each(|(all, own)| *all += own);
        }
        for patch in &self.patches[from..] {
            if patch.fate != Fate::Present && !world.stands(patch.slot) {
                let shard = world.bases.partition_point(|&base| base <= patch.slot) - 1;
                let key = (patch.slot - world.bases[shard]) as usize;
                let (index, before) = FirstFact::of(&part.shards[shard], key);
                self.firsts.push(FirstFact { slot: patch.slot, index, before });
            }
        }
    }

    /// Where the row of each patch stands and what becomes of it; then rows that go without a patch. There are
    /// `stride` choices for each present patch, that of the key first; the next one is told. In parts, one behind
    /// the other.
    pub(super) fn placed<'a>(
        &'a self,
        standing: &'a Standing,
        stride: usize,
    ) -> Vec<impl Iterator<Item = Placed> + Send + 'a> {
        let size = PART_MIN.max(self.patches.len().div_ceil(PARTS_MAX));
        let present = |part: &[Patch]| part.iter().filter(|patch| patch.fate == Fate::Present).count();
        let present: Vec<usize> = self.patches.par_chunks(size).map(present).collect();
        let before = present.into_iter().scan(0, |all, own| Some(std::mem::replace(all, *all + own)));
        let last = self.patches.len().div_ceil(size).saturating_sub(1);
        let lane = usize::from(stride > 1);
        let of_part = move |(number, before): (usize, usize)| {
            let from = number * size;
            let upto = (from + size).min(self.patches.len());
            let mut chosen = self.choices[before * stride..].iter().skip(lane).step_by(stride);
            let patches = self.patches[from..upto].iter().zip(from..).map(move |(patch, at)| {
                let choice = if patch.fate == Fate::Present { chosen.next() } else { None };
                let source = choice.map_or(Source::Nothing, |choice| choice.source);
                Placed { row: self.row(standing, patch, at), fate: patch.fate, source }
            });
            let gone = if number == last { self.never_mentioned.as_slice() } else { &[] };
            let gone = gone.iter().map(|&row| Placed { row, fate: Fate::Absent, source: Source::Nothing });
            patches.chain(gone)
        };
        // Rows may go without any patch.
        let before: Vec<usize> = before.chain((self.patches.is_empty()).then_some(0)).collect();
        before.into_iter().enumerate().map(of_part).collect()
    }

    /// Where the row of the patch at a place stands.
    fn row(&self, standing: &Standing, patch: &Patch, at: usize) -> u64 {
        match &self.rows {
            Some(rows) => rows[at],
            None => standing.rows[patch.slot as usize],
        }
    }

    /// Turns a recount of a distinct row into rows that go (the last copies) or come back.
    pub(super) fn recount(&mut self, recount: multiset::Recount, copies: &[(u32, u64)], stride: usize) {
        let from = copies.partition_point(|c| c.0 < recount.slot);
        let upto = copies.partition_point(|c| c.0 <= recount.slot);
        let gone = (-recount.change).max(0).min((upto - from) as i64) as usize;
        self.left.extend(copies[from..upto - gone].iter().map(|&(_, row)| row));
        for &(_, row) in &copies[upto - gone..upto] {
            self.push(&recount, (row, Fate::Absent), recount.after);
        }
        for _ in 0..recount.change.max(0) {
            let first = match recount.holder {
                Source::Before(index) | Source::After(index) => index,
                Source::Current(_) | Source::Nothing => u32::MAX,
            };
            self.push(&recount, (NO_ROW, Fate::Present), first);
            // Images of a table without key are whole: every lane comes from the same one.
            let choice = Choice { source: recount.holder, inferred: false };
            self.choices.extend(std::iter::repeat_n(choice, stride));
        }
    }

    fn push(&mut self, recount: &multiset::Recount, (row, fate): (u64, Fate), first: u32) {
        let &multiset::Recount { slot, refilled, .. } = recount;
        self.patches.push(Patch { slot, fate, first, contradicted: false, refilled });
        self.rows.get_or_insert_default().push(row);
    }
}

/// Where the key of a slot without a row is recorded first.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstFact {
    pub(super) slot: u32,
    /// Index of the change.
    pub(super) index: u32,
    /// Whether its before image has the key.
    pub(super) before: bool,
}

impl FirstFact {
    pub(super) fn of(shard: &Shard, key: usize) -> (u32, bool) {
        let fact = shard.history(key).start;
        (shard.facts.index[fact], shard.facts.has(fact, HAS_BEFORE))
    }
}

/// Rows that a ledger complete from birth never mentions: by its word they never were.
fn never_mentioned(input: &DatasetInput, standing: &Standing) -> Result<Vec<u64>> {
    let mentioned: HashSet<u64> = standing.rows.iter().copied().collect();
    let mut never = Vec::new();
    for group in 0..input.table.groups() {
        for row in 0..input.rows_of_current(group)? {
            let row = locator(group, row);
            let stays = mentioned.contains(&row)
                || standing.duplicates.binary_search(&row).is_ok()
                || standing.null_keys.contains(&row);
            if !stays {
                never.push(row);
            }
        }
    }
    Ok(never)
}
