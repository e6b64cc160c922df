//! Does the ledger agree with itself and with the current state?
//!
//! A fold over each history that holds the hash of every lane as last known.
//! Only positions come out of it: what disagrees is looked at again, value by
//! value, by `verify`. Breaks at neighbouring steps of one history are one
//! conflict with echoes, as one repair removes them: an altered image breaks
//! the link on both its sides, a swapped pair breaks three.
//!
//! What this cannot see: a change that is missing together with its trace in
//! both neighbours, or two alterations that cancel out.

use super::facts::{ARRIVES, Facts};
use super::history::{self, Life, Step};
use super::select::World;
use super::shard::Shard;
use crate::model::{CellState, DiscrepancyKind, Op};

/// One place where ledger and held row disagree. Positions only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// What kind of disagreement.
    pub kind: DiscrepancyKind,
    /// The key.
    pub slot: u32,
    /// Index of the change at which it shows; `u32::MAX` for the current state or a truncate.
    pub index: u32,
    /// Index of the change before it in the history; `u32::MAX` if there is none.
    pub previous: u32,
    /// Rank of the change at which it shows; `u32::MAX` for the current state.
    pub rank: u32,
    /// How many more breaks the same repair removes.
    pub echoes: u32,
    /// What the neighbourhood says of the cause.
    pub cause: Cause,
    /// For a disagreement with the current state: the ranks between which an
    /// earlier extract moment would explain it, if any would.
    pub skew: Option<(u32, u32)>,
}

/// The likeliest cause of a conflict, as far as the neighbouring hashes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A record is missing, or an image was altered: the data cannot decide.
    MissingOrAltered,
    /// This change and the next one stand in the wrong order.
    Swapped,
    /// This record's images were altered: its neighbours fit each other.
    Altered,
    /// The same change was recorded twice.
    Repeated,
    /// The current row was changed without a record, or the last record is missing or altered.
    Unrecorded,
}

/// What the verification of one shard found.
#[derive(Debug, Default)]
pub struct Chained {
    /// In order of slots, then of steps.
    pub conflicts: Vec<Conflict>,
    /// Changes whose before equals their after.
    pub no_ops: u64,
    /// Indices of the first few of them.
    pub no_op_sample: Vec<u32>,
    /// Keys whose last known image is the current row.
    pub agreeing: u64,
    /// Keys that the ledger says exist.
    pub alive: u64,
    /// Of these, how many the current state has.
    pub alive_and_standing: u64,
}

/// Hashes of current rows: `lanes` entries per slot.
pub type CurrentHashes<'a> = &'a [u64];

/// Verifies all histories of one shard.
pub fn verify(world: World<'_>, shard: usize, current: CurrentHashes<'_>) -> Chained {
    let mut chained = Chained::default();
    let mut steps = Vec::new();
    let this = &world.shards[shard];
    for key in 0..this.keys() {
        let slot = world.bases[shard] + key as u32;
        history::steps(this, key, world.stands(slot), world.timeline, &mut steps);
        let mut fold = Fold::new(world, this, slot, &steps);
        fold.run(current, &mut chained);
    }
    chained
}

/// The row held while a history is folded: existence and one hash per lane, if known.
#[derive(Clone)]
struct Held {
    life: Life,
    lanes: Vec<Option<u64>>,
}

struct Fold<'a> {
    world: World<'a>,
    facts: &'a Facts,
    slot: u32,
    steps: &'a [Step],
    held: Held,
    /// Place of the last step that broke, and its conflict.
    open: Option<(usize, Conflict)>,
}

impl<'a> Fold<'a> {
    fn new(world: World<'a>, shard: &'a Shard, slot: u32, steps: &'a [Step]) -> Self {
        let held = Held { life: world.timeline.at_start(), lanes: vec![None; world.lanes] };
        Self { world, facts: &shard.facts, slot, steps, held, open: None }
    }

    fn run(&mut self, current: CurrentHashes<'_>, chained: &mut Chained) {
        let mut compared = false;
        for place in 0..self.steps.len() {
            if !compared && self.steps[place].rank >= self.world.timeline.end {
                self.compare_current(place, current, chained);
                compared = true;
            }
            let broken = self.check(place);
            self.note(place, broken, chained);
            self.count_no_op(place, chained);
            self.advance(place);
        }
        if !compared {
            self.compare_current(self.steps.len(), current, chained);
        }
        chained.conflicts.extend(self.open.take().map(|(_, conflict)| conflict));
    }

    fn fact(&self, place: usize) -> Option<usize> {
        self.steps.get(place).and_then(|s| s.fact).map(|f| f as usize)
    }

    fn index(&self, place: usize) -> u32 {
        self.fact(place).map_or(u32::MAX, |f| self.facts.index[f])
    }

    /// Whether a step contradicts the held row.
    fn check(&self, place: usize) -> Option<DiscrepancyKind> {
        use DiscrepancyKind as Kind;
        let fact = self.fact(place)?;
        match (self.held.life, self.facts.op(fact)) {
            (Life::Alive, _) if self.facts.begins(fact) => return Some(Kind::InsertOverExisting),
            (Life::Dead, Op::Update) if !self.facts.has(fact, ARRIVES) => return Some(Kind::UpdateOfAbsent),
            (Life::Dead, Op::Delete) => return Some(Kind::DeleteOfAbsent),
            (Life::Alive, Op::Read) => return (!self.after_fits(fact)).then_some(Kind::ChainBreak),
            (Life::Dead, Op::Read) => return Some(Kind::ChainBreak),
            _ => {}
        }
        (self.held.life == Life::Alive && !self.before_fits(fact)).then_some(Kind::ChainBreak)
    }

    fn before_fits(&self, fact: usize) -> bool {
        (0..self.world.lanes).all(|lane| {
            self.facts.state_before(fact, lane) != CellState::Known as u8
                || self.held.lanes[lane].is_none_or(|h| h == self.facts.hash_before(fact, lane))
        })
    }

    fn after_fits(&self, fact: usize) -> bool {
        (0..self.world.lanes).all(|lane| {
            self.facts.state_after(fact, lane) != CellState::Known as u8
                || self.held.lanes[lane].is_none_or(|h| h == self.facts.hash_after(fact, lane))
        })
    }

    /// Opens a conflict, or adds an echo to the one that the step before left open.
    fn note(&mut self, place: usize, broken: Option<DiscrepancyKind>, chained: &mut Chained) {
        let Some(kind) = broken else {
            // A conflict takes echoes from the very next step only.
            chained.conflicts.extend(self.open.take().map(|(_, conflict)| conflict));
            return;
        };
        if let Some((last, conflict)) = &mut self.open {
            conflict.echoes += 1;
            if conflict.cause == Cause::MissingOrAltered {
                conflict.cause = Cause::Altered;
            }
            *last = place;
            return;
        }
        let conflict = Conflict {
            kind,
            slot: self.slot,
            index: self.index(place),
            previous: place.checked_sub(1).map_or(u32::MAX, |p| self.index(p)),
            rank: self.steps[place].rank,
            echoes: 0,
            cause: self.cause(place),
            skew: None,
        };
        self.open = Some((place, conflict));
    }

    fn cause(&self, place: usize) -> Cause {
        let (Some(this), Some(next)) = (self.fact(place), self.fact(place + 1)) else {
            return self.repeated(place);
        };
        let whole = |fact| {
            (0..self.world.lanes).all(|lane| {
                self.facts.state_before(fact, lane) == 0 && self.facts.state_after(fact, lane) == 0
            })
        };
        if whole(this) && whole(next) {
            let lanes = 0..self.world.lanes;
            let swapped = lanes.clone().all(|lane| {
                self.held.lanes[lane].is_none_or(|h| h == self.facts.hash_before(next, lane))
                    && self.facts.hash_after(next, lane) == self.facts.hash_before(this, lane)
            });
            if swapped {
                return Cause::Swapped;
            }
        }
        self.repeated(place)
    }

    fn repeated(&self, place: usize) -> Cause {
        let (Some(this), Some(last)) = (self.fact(place), place.checked_sub(1).and_then(|p| self.fact(p)))
        else {
            return Cause::MissingOrAltered;
        };
        let lane_equal = |lane| {
            self.facts.state_before(this, lane) == self.facts.state_before(last, lane)
                && self.facts.state_after(this, lane) == self.facts.state_after(last, lane)
                && self.facts.hash_before(this, lane) == self.facts.hash_before(last, lane)
                && self.facts.hash_after(this, lane) == self.facts.hash_after(last, lane)
        };
        let same = self.facts.kind[this] == self.facts.kind[last] && (0..self.world.lanes).all(lane_equal);
        if same { Cause::Repeated } else { Cause::MissingOrAltered }
    }

    fn count_no_op(&self, place: usize, chained: &mut Chained) {
        let Some(fact) = self.fact(place) else { return };
        let same = |lane| {
            self.facts.state_before(fact, lane) == 0
                && self.facts.state_after(fact, lane) == 0
                && self.facts.hash_before(fact, lane) == self.facts.hash_after(fact, lane)
        };
        let update = self.facts.op(fact) == Op::Update && !self.facts.begins(fact) && !self.facts.ends(fact);
        if update && (0..self.world.lanes).all(same) {
            chained.no_ops += 1;
            if chained.no_op_sample.len() < 16 {
                chained.no_op_sample.push(self.facts.index[fact]);
            }
        }
    }

    fn advance(&mut self, place: usize) {
        let Some(fact) = self.fact(place).filter(|&f| !self.facts.ends(f)) else {
            self.held.life = Life::Dead;
            self.held.lanes.fill(None);
            return;
        };
        let fresh = self.facts.begins(fact);
        for lane in 0..self.world.lanes {
            let held = self.held.lanes[lane].filter(|_| !fresh);
            self.held.lanes[lane] = if self.facts.state_after(fact, lane) == CellState::Known as u8 {
                Some(self.facts.hash_after(fact, lane))
            } else if self.facts.op(fact) == Op::Read {
                held
            } else if self.facts.leaves_untouched(fact, lane) {
                let before = self.facts.state_before(fact, lane) == CellState::Known as u8;
                if before { Some(self.facts.hash_before(fact, lane)) } else { held }
            } else {
                None
            };
        }
        self.held.life = Life::Alive;
    }

    fn compare_current(&mut self, place: usize, current: CurrentHashes<'_>, chained: &mut Chained) {
        use DiscrepancyKind as Kind;
        if self.world.duplicates.binary_search(&self.slot).is_ok() {
            return;
        }
        let stands = self.world.stands(self.slot);
        chained.alive += u64::from(self.held.life == Life::Alive);
        chained.alive_and_standing += u64::from(self.held.life == Life::Alive && stands);
        let row = self.row(current);
        let kind = match (self.held.life, stands) {
            (Life::Alive, false) => Kind::CurrentMissing,
            (Life::Dead, true) => Kind::CurrentUnexpected,
            (Life::Alive, true) if !fits(&self.held.lanes, row) => Kind::CurrentDiffers,
            _ => {
                chained.agreeing += 1;
                if let Some((_, conflict)) = self.open.take() {
                    chained.conflicts.push(conflict);
                }
                return;
            }
        };
        if let Some((_, conflict)) = self.open.as_mut().filter(|(last, _)| last + 1 == place) {
            conflict.echoes += 1;
            return;
        }
        let skew = self.skew(place, current);
        self.open = Some((
            place,
            Conflict {
                kind,
                slot: self.slot,
                index: u32::MAX,
                previous: place.checked_sub(1).map_or(u32::MAX, |p| self.index(p)),
                rank: u32::MAX,
                echoes: 0,
                cause: Cause::Unrecorded,
                skew,
            },
        ));
        chained.conflicts.extend(self.open.take().map(|(_, c)| c));
    }

    fn row<'h>(&self, current: &'h [u64]) -> &'h [u64] {
        let start = self.slot as usize * self.world.lanes;
        &current[start..start + self.world.lanes]
    }

    /// Before the first change of a key, its before image says what stood; a begin, that nothing did.
    fn learn_from_before(&mut self, place: usize) {
        let Some(fact) = self.fact(place) else { return };
        if self.facts.begins(fact) {
            self.held.life = Life::Dead;
            return;
        }
        self.held.life = Life::Alive;
        for lane in 0..self.world.lanes {
            let known = self.facts.state_before(fact, lane) == CellState::Known as u8;
            self.held.lanes[lane] = known.then(|| self.facts.hash_before(fact, lane));
        }
    }

    /// The latest earlier stretch of the history at whose end the row was as it is in the current state.
    fn skew(&self, place: usize, current: CurrentHashes<'_>) -> Option<(u32, u32)> {
        let stands = self.world.stands(self.slot);
        let row = self.row(current);
        let mut replayed = Self {
            held: Held { life: self.world.timeline.at_start(), lanes: vec![None; self.world.lanes] },
            open: None,
            ..*self
        };
        let mut found = None;
        for earlier in 0..place {
            if replayed.held.life == Life::Unknown {
                replayed.learn_from_before(earlier);
            }
            let alive = replayed.held.life == Life::Alive;
            if alive == stands && (!stands || fits(&replayed.held.lanes, row)) {
                let from = earlier.checked_sub(1).map_or(0, |e| self.steps[e].rank + 1);
                found = Some((from, self.steps[earlier].rank));
            }
            replayed.advance(earlier);
        }
        found
    }
}

fn fits(held: &[Option<u64>], row: &[u64]) -> bool {
    held.iter().zip(row).all(|(held, row)| held.is_none_or(|h| h == *row))
}
