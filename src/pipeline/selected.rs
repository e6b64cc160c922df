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
    /// Whether each present patch has one choice, that of all its lanes: its key is that of the row which
    /// stands, or else chosen as they are. Otherwise it has one for its key and one per lane.
    pub(super) keys_by_row: bool,
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
        parts.add(selections, input, standing);
        if is_disowned {
            parts.never_mentioned = never_mentioned(input, standing)?;
        }
        Ok(parts)
    }

    /// Adds selections behind those that are here. Where one choice per patch tells all, no more is kept.
    pub(super) fn add(
        &mut self,
        selections: Vec<select::Selection>,
        input: &DatasetInput,
        standing: &Standing,
    ) {
        let stride = 1 + input.lanes.count();
        let is_one = |of: &select::Selection| is_one_beside_keys(of, standing, stride);
        let is_narrow = !input.schema.is_keyless() && selections.iter().all(is_one);
        if self.patches.is_empty() {
            self.keys_by_row = is_narrow;
        } else if self.keys_by_row && !is_narrow {
            self.widen(standing, stride);
        }
        let (skip, step) = if self.keys_by_row { (1, stride) } else { (0, 1) };
        self.patches.reserve_exact(selections.iter().map(|s| s.patches.len()).sum());
        self.choices.reserve_exact(selections.iter().map(|s| s.choices.len() / step).sum());
        for selection in selections {
            self.patches.extend(selection.patches);
            self.choices.extend(selection.choices.iter().skip(skip).step_by(step));
        }
    }

    /// Gives each patch its choices for key and lanes again.
    fn widen(&mut self, standing: &Standing, stride: usize) {
        let present = self.patches.iter().filter(|patch| patch.fate == Fate::Present);
        let of_patch = |(patch, &lane): (&Patch, &Choice)| {
            let key = key_beside(lane, patch.slot, standing);
            std::iter::once(key).chain(std::iter::repeat_n(lane, stride - 1))
        };
        self.choices = present.zip(&self.choices).flat_map(of_patch).collect();
        self.keys_by_row = false;
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
    ) -> Vec<impl Iterator<Item = Placed> + Clone + Send + 'a> {
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

/// Whether all lanes of each patch are chosen alike, and its key as them or from the row that stands.
fn is_one_beside_keys(selection: &select::Selection, standing: &Standing, stride: usize) -> bool {
    let present = selection.patches.iter().filter(|patch| patch.fate == Fate::Present);
    stride > 1
        && present.zip(selection.choices.chunks_exact(stride)).all(|(patch, choices)| {
            let (key, lanes) = (choices[0], &choices[1..]);
            let is_alike = |&lane: &Choice| lane == lanes[0] && lane.source != Source::Nothing;
            lanes.iter().all(is_alike) && key == key_beside(lanes[0], patch.slot, standing)
        })
}

/// The choice of a key whose lanes are all chosen like this, if it is that of the row where one stands.
fn key_beside(lane: Choice, slot: u32, standing: &Standing) -> Choice {
    match standing.rows[slot as usize] {
        NO_ROW => lane,
        _ => Choice { source: Source::Current(slot), inferred: false },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_left_out_come_back_as_they_were() {
        let standing = Standing { rows: vec![7, NO_ROW, 9], ..Standing::default() };
        let patch = |slot, fate| Patch { slot, fate, first: 0, contradicted: false, refilled: false };
        let of = |source| Choice { source, inferred: false };
        let (own, before) = (of(Source::Current(0)), of(Source::Before(4)));
        let patches = vec![patch(0, Fate::Present), patch(1, Fate::Present), patch(2, Fate::Absent)];
        let choices = vec![own, before, before, before, before, before];
        let selection = select::Selection { patches, choices };
        assert!(is_one_beside_keys(&selection, &standing, 3));
        let kept = selection.choices.iter().skip(1).step_by(3).copied().collect();
        let patches = selection.patches.clone();
        let mut parts = Selected { patches, choices: kept, keys_by_row: true, ..Selected::default() };
        parts.widen(&standing, 3);
        assert_eq!((parts.choices, parts.keys_by_row), (selection.choices.clone(), false));
        for other in [of(Source::Nothing), of(Source::Before(5))] {
            let mut selection =
                select::Selection { patches: selection.patches.clone(), choices: selection.choices.clone() };
            selection.choices[2] = other;
            assert!(!is_one_beside_keys(&selection, &standing, 3));
        }
    }
}
