//! Which record supplies each cell of the snapshot: replay as a selection.
//!
//! For a key and a cut, let `e` be its first undone change (rank at or behind
//! the cut, not an initial read).
//!
//! | `e` | at the cut |
//! |---|---|
//! | none | as in the current state |
//! | update, delete, truncate, key left | present |
//! | upsert | present if `e` has a before image or the ledger says a row stood; absent if it says none did; else unknown |
//! | insert, key arrived at | absent; present (and contradicted) if the ledger had not ended the life before |
//!
//! For a present key each lane is walked from `e` forward: a known before is
//! the answer; an untouched lane goes on to the next change, across key changes
//! too; past the last change stands the current row. Where the walk meets a
//! lane that may have changed without record, or the life ends without an
//! image, the nearest earlier after value of the same life is *inferred*, and
//! the search for it stops at the first change that may have touched the lane
//! unrecorded. An opening is such an earlier value too; the walk forward passes it
//! by, as what the ledger states counts more. Nothing is copied here; [`Source`]s are.

use super::facts::{ARRIVES, Facts, HAS_AFTER, HAS_BEFORE, LEAVES, shard_of};
use super::history::{self, Life, Step, Timeline};
use super::shard::Shard;
use super::straight;
use crate::model::{CellState, Op};

/// Which record supplies a lane (or the key columns) of one row of the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The current row of the key with this slot.
    Current(u32),
    /// The before image of the change with this index.
    Before(u32),
    /// The after image of the change with this index.
    After(u32),
    /// Nothing in the inputs states it.
    Nothing,
}

/// A selected source and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The record.
    pub source: Source,
    /// Whether it was inferred from an earlier after image.
    pub inferred: bool,
}

impl Choice {
    const NOTHING: Self = Self { source: Source::Nothing, inferred: false };

    pub(super) fn exact(source: Source) -> Self {
        Self { source, inferred: false }
    }

    fn inferred(source: Source) -> Self {
        Self { source, inferred: true }
    }
}

/// What becomes of a key at a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// No row.
    Absent,
    /// A row made of the choices of this key.
    Present,
    /// Whether there was a row cannot be known.
    Unknown,
}

/// What the cut does to one key that has undone changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patch {
    /// The key.
    pub slot: u32,
    /// Whether it has a row.
    pub fate: Fate,
    /// Index of the first undone change, for provenance; `u32::MAX` for none or a truncate.
    pub first: u32,
    /// Whether an insert was undone over a life that the ledger had not ended.
    pub contradicted: bool,
    /// Whether the row was ended by a truncate and refilled.
    pub refilled: bool,
}

/// All patches of some keys; `choices` holds, per present patch, one for the key columns and one per lane.
#[derive(Debug, Default)]
pub struct Selection {
    /// In order of slots.
    pub patches: Vec<Patch>,
    /// `1 + lanes` entries per present patch, in the same order.
    pub choices: Vec<Choice>,
}

/// All shards of a dataset with what is needed to follow a row from key to key.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// The shards.
    pub shards: &'a [Shard],
    /// First slot of each shard.
    pub bases: &'a [u32],
    /// Whether the current state has a row for a slot.
    pub standing: &'a [u64],
    /// Key changes by index: identity left, identity arrived at. Sorted.
    pub moves: &'a [(u32, u128, u128)],
    /// What all histories share.
    pub timeline: Timeline<'a>,
    /// Lanes per fact.
    pub lanes: usize,
    /// Keys that several current rows have: they are copied as they stand. Sorted slots.
    pub duplicates: &'a [u32],
    /// Per lane of one column whose nulls may stand for other values: the hash of such a null.
    pub null_lanes: &'a [Option<u64>],
    /// Keys for which the ledger's word counts more than the current state's. Sorted slots.
    pub distrusted: &'a [u32],
}

/// No current row.
pub const NO_ROW: u64 = u64::MAX;

impl World<'_> {
    /// Whether the current state has a row for this slot.
    pub fn stands(&self, slot: u32) -> bool {
        self.standing[slot as usize] != NO_ROW
    }

    fn find(&self, key: u128) -> Option<(usize, usize)> {
        let shard = shard_of(key, self.shards.len());
        self.shards[shard].find(key).map(|number| (shard, number))
    }
}

/// From which rank on changes are undone.
#[derive(Debug, Clone, Copy)]
pub enum Cuts<'a> {
    /// The same for all keys.
    One(u32),
    /// Per slot; `u32::MAX` where nothing is undone. Each must be the first rank of a transaction.
    PerKey(&'a [u32]),
}

impl From<u32> for Cuts<'_> {
    fn from(cut: u32) -> Self {
        Self::One(cut)
    }
}

impl Cuts<'_> {
    fn of(self, slot: u32) -> u32 {
        match self {
            Self::One(cut) => cut,
            Self::PerKey(cuts) => cuts[slot as usize],
        }
    }
}

/// Where a walk is: a key's steps and a place among them.
struct Walk<'a> {
    world: World<'a>,
    shard: &'a Shard,
    slot: u32,
    steps: Vec<Step>,
    place: usize,
}

/// Selects for all keys of one shard at one cut, or at one of its own for each key.
pub fn select<'a>(world: World<'_>, shard: usize, cuts: impl Into<Cuts<'a>>) -> Selection {
    let cuts = cuts.into();
    let mut selection = Selection::default();
    let mut steps = Vec::new();
    let this = &world.shards[shard];
    let is_straight = straight::may_be(world, this);
    for key in 0..this.keys() {
        let slot = world.bases[shard] + key as u32;
        let cut = cuts.of(slot);
        let last_rank = this.rank(this.history(key).end - 1);
        let distrusted = world.distrusted.binary_search(&slot).is_ok();
        if world.duplicates.binary_search(&slot).is_ok() {
            continue;
        }
        if cut == u32::MAX && !distrusted
            || last_rank < cut && world.timeline.truncates.is_empty() && !distrusted
        {
            continue;
        }
        let of = (key, slot);
        if !(is_straight && !distrusted && straight::select(world, this, of, cut, &mut selection)) {
            walked((world, this), of, (cut, distrusted), &mut selection, &mut steps);
        }
    }
    selection
}

/// Whether selecting for a key may ask what lay before its first fact, at whatever cut from there on.
///
/// It does not where no life begins, and each change states every lane before it or leaves it untouched in a row
/// that goes on: then the walk forward finds a before value, or ends at the current row, if there is one.
pub fn needs_past(shard: &Shard, key: usize) -> bool {
    let facts = &shard.facts;
    let is_stated = |fact: usize, lane: usize| {
        facts.state_before(fact, lane) == CellState::Known as u8
            || facts.leaves_untouched(fact, lane) && !facts.ends(fact)
    };
    shard.history(key).any(|fact| {
        let is_unsure = match facts.op(fact) {
            Op::Read => true,
            Op::Upsert => !facts.has(fact, HAS_BEFORE),
            _ => facts.begins(fact),
        };
        is_unsure || (0..facts.lanes).any(|lane| !is_stated(fact, lane))
    })
}

/// Selects for one key by a walk through its history.
pub(super) fn walked(
    (world, shard): (World<'_>, &Shard),
    (key, slot): (usize, u32),
    (cut, distrusted): (u32, bool),
    selection: &mut Selection,
    steps: &mut Vec<Step>,
) {
    history::steps(shard, key, world.stands(slot), world.timeline, steps);
    steps.retain(|s| s.rank < world.timeline.end);
    let mut walk = Walk { world, shard, slot, steps: std::mem::take(steps), place: 0 };
    walk.place = walk.steps.partition_point(|s| s.rank < cut);
    while walk.steps.get(walk.place).is_some_and(|&s| walk.is_read(s)) {
        walk.place += 1;
    }
    if walk.place < walk.steps.len() || distrusted {
        let patch = walk.patch();
        if patch.fate == Fate::Present {
            selection.choices.push(walk.key_choice());
            for lane in 0..walk.world.lanes {
                let choice = walk.lane_choice(lane, distrusted);
                selection.choices.push(choice);
            }
        }
        selection.patches.push(patch);
    }
    *steps = std::mem::take(&mut walk.steps);
}

impl Walk<'_> {
    fn facts(&self) -> &Facts {
        &self.shard.facts
    }

    fn is_read(&self, step: Step) -> bool {
        step.fact.is_some_and(|f| self.facts().op(f as usize) == Op::Read)
    }

    fn patch(&self) -> Patch {
        let life = history::life_before(self.facts(), &self.steps, self.place, self.world.timeline);
        let mut patch = Patch {
            slot: self.slot,
            fate: Fate::Present,
            first: u32::MAX,
            contradicted: false,
            refilled: false,
        };
        let Some(&step) = self.steps.get(self.place) else {
            // No undone change: the key is here because the ledger is trusted over the current state.
            patch.fate = if life == Life::Alive { Fate::Present } else { Fate::Absent };
            patch.contradicted = true;
            return patch;
        };
        let Some(fact) = step.fact.map(|f| f as usize) else {
            patch.refilled = true;
            return patch;
        };
        patch.first = self.facts().index[fact];
        if self.facts().begins(fact) {
            patch.contradicted = life == Life::Alive;
            patch.fate = if patch.contradicted { Fate::Present } else { Fate::Absent };
        } else if self.facts().op(fact) == Op::Upsert && !self.facts().has(fact, HAS_BEFORE) {
            patch.fate = match life {
                Life::Alive => Fate::Present,
                Life::Dead => Fate::Absent,
                Life::Unknown => Fate::Unknown,
            };
        }
        patch
    }

    /// Key columns: as the current row writes them, else from the first image under this key,
    /// looking forward, then back.
    fn key_choice(&self) -> Choice {
        if self.world.stands(self.slot) {
            return Choice::exact(Source::Current(self.slot));
        }
        let image = |step: &Step| {
            let fact = step.fact? as usize;
            let index = self.facts().index[fact];
            if self.facts().has(fact, HAS_BEFORE) {
                Some(Choice::exact(Source::Before(index)))
            } else if self.facts().has(fact, HAS_AFTER) {
                Some(Choice::exact(Source::After(index)))
            } else {
                None
            }
        };
        self.steps[self.place..]
            .iter()
            .find_map(image)
            .or_else(|| self.steps[..self.place].iter().rev().find_map(image))
            .unwrap_or(Choice::exact(Source::Current(self.slot)))
    }

    fn lane_choice(&self, lane: usize, distrusted: bool) -> Choice {
        match self.walk_forward(lane, distrusted) {
            Forward::Found(_) if !distrusted && self.is_null_throughout(lane) => {
                Choice::inferred(Source::Current(self.slot))
            }
            Forward::Found(choice) => choice,
            Forward::Blocked { place } => self.search_back(place, lane),
            Forward::Moved(walk) => walk.lane_choice(lane, distrusted),
        }
    }

    /// Whether the lane is one ambiguous null in every image from here to the current row: what
    /// it stands for is then the current value, as far as the ledger can tell.
    fn is_null_throughout(&self, lane: usize) -> bool {
        let facts = self.facts();
        let Some(Some(null)) = self.world.null_lanes.get(lane) else { return false };
        if !facts.has_hashes() || !self.world.stands(self.slot) {
            return false;
        }
        self.steps[self.place..].iter().all(|step| {
            if self.world.timeline.is_opening(facts, *step) {
                return true;
            }
            step.fact.map(|f| f as usize).is_some_and(|fact| {
                let known = facts.state_before(fact, lane) == 0 && facts.state_after(fact, lane) == 0;
                let null_twice =
                    || [facts.hash_before(fact, lane), facts.hash_after(fact, lane)] == [Some(*null); 2];
                known && !facts.begins(fact) && !facts.ends(fact) && null_twice()
            })
        })
    }

    fn walk_forward(&self, lane: usize, distrusted: bool) -> Forward<'_> {
        let facts = self.facts();
        for (place, step) in self.steps.iter().enumerate().skip(self.place) {
            let Some(fact) = step.fact.map(|f| f as usize) else {
                return Forward::Blocked { place };
            };
            if self.world.timeline.is_opening(facts, *step) {
                continue;
            }
            let index = facts.index[fact];
            if facts.begins(fact) {
                return Forward::Blocked { place };
            }
            if facts.state_before(fact, lane) == CellState::Known as u8 {
                return Forward::Found(Choice::exact(Source::Before(index)));
            }
            if facts.op(fact) == Op::Read {
                if facts.state_after(fact, lane) == CellState::Known as u8 {
                    return Forward::Found(Choice::exact(Source::After(index)));
                }
                continue;
            }
            if !facts.leaves_untouched(fact, lane) {
                return Forward::Blocked { place };
            }
            if facts.state_after(fact, lane) == CellState::Known as u8 {
                return Forward::Found(Choice::exact(Source::After(index)));
            }
            if facts.has(fact, LEAVES) {
                let moved = self.follow_forward(index).map(|walk| Forward::Moved(Box::new(walk)));
                return moved.unwrap_or(Forward::Blocked { place });
            }
            if facts.ends(fact) {
                return Forward::Blocked { place };
            }
        }
        if self.world.stands(self.slot) && !distrusted {
            Forward::Found(Choice::exact(Source::Current(self.slot)))
        } else {
            Forward::Blocked { place: self.steps.len() }
        }
    }

    /// The nearest earlier after value of the life that stands at `place`.
    fn search_back(&self, place: usize, lane: usize) -> Choice {
        let facts = self.facts();
        let known = CellState::Known as u8;
        for step in self.steps[..place].iter().rev() {
            let Some(fact) = step.fact.map(|f| f as usize) else { return Choice::NOTHING };
            let index = facts.index[fact];
            if facts.ends(fact) {
                return Choice::NOTHING;
            }
            if facts.state_after(fact, lane) == known {
                return Choice::inferred(Source::After(index));
            }
            let untouched = facts.leaves_untouched(fact, lane);
            if untouched && facts.state_before(fact, lane) == known {
                return Choice::inferred(Source::Before(index));
            }
            if facts.has(fact, ARRIVES) && untouched {
                return self.follow_back(index).map_or(Choice::NOTHING, |w| w.found_at_leaving(lane));
            }
            if facts.begins(fact) || !untouched && facts.op(fact) != Op::Read {
                return Choice::NOTHING;
            }
        }
        Choice::NOTHING
    }

    /// The lane as it was when the row left this walk's key, at `place`.
    fn found_at_leaving(&self, lane: usize) -> Choice {
        let leaving = self.steps.get(self.place).and_then(|s| s.fact).map(|f| f as usize);
        match leaving {
            Some(fact) if self.facts().state_before(fact, lane) == CellState::Known as u8 => {
                Choice::inferred(Source::Before(self.facts().index[fact]))
            }
            _ => self.search_back(self.place, lane),
        }
    }

    /// The walk just behind the arrival at the other key.
    fn follow_forward(&self, index: u32) -> Option<Walk<'_>> {
        let (_, _, to) = self.moved(index)?;
        let mut walk = self.other(to)?;
        walk.place = walk.step_of(index)? + 1;
        Some(walk)
    }

    /// The walk at the departure from the other key.
    fn follow_back(&self, index: u32) -> Option<Walk<'_>> {
        let (_, from, _) = self.moved(index)?;
        let mut walk = self.other(from)?;
        walk.place = walk.step_of(index)?;
        Some(walk)
    }

    fn moved(&self, index: u32) -> Option<(u32, u128, u128)> {
        let place = self.world.moves.binary_search_by_key(&index, |m| m.0).ok()?;
        Some(self.world.moves[place])
    }

    fn step_of(&self, index: u32) -> Option<usize> {
        self.steps.iter().position(|s| s.fact.is_some_and(|f| self.facts().index[f as usize] == index))
    }

    fn other(&self, key: u128) -> Option<Walk<'_>> {
        let (shard, number) = self.world.find(key)?;
        let slot = self.world.bases[shard] + number as u32;
        let shard = &self.world.shards[shard];
        let mut steps = Vec::new();
        history::steps(shard, number, self.world.stands(slot), self.world.timeline, &mut steps);
        steps.retain(|s| s.rank < self.world.timeline.end);
        Some(Walk { world: self.world, shard, slot, steps, place: 0 })
    }
}

enum Forward<'a> {
    Found(Choice),
    Blocked { place: usize },
    Moved(Box<Walk<'a>>),
}
