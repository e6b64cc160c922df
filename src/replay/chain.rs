//! Does the ledger agree with itself and with the current state?
//!
//! A fold over each history that holds the hash of every lane as last known.
//! Only positions come out of it: what disagrees is looked at again, value by
//! value, by `verify`. Breaks at neighbouring steps of one history are one
//! conflict with echoes, as one repair removes them: an altered image breaks
//! the link on both its sides, a swapped pair breaks three.
//!
//! An opening is folded in where it lies. What the ledger had recorded by then
//! counts more than its rows, so these fill only what is not known; where the
//! next record then disagrees with a lane that the opening alone had stated, the
//! two directions do not meet (`opening-differs`). A row of the opening that the
//! ledger contradicts on both sides is one, too; where only one side does, the
//! break is the ledger's own and is reported where it shows.
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
    /// How the current row disagrees with the last known one, if it does, and the index of the change
    /// that was known last; `u32::MAX` if there is none.
    pub closing: Option<(Closing, u32)>,
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

/// How a current row disagrees with what the ledger last knew of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Both have the row, with other cells.
    Differs,
    /// Only the ledger has it.
    Missing,
    /// Only the current state has it.
    Unexpected,
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
    /// Whether the opening alone says that the row exists, or does not.
    opened: bool,
    /// Lanes that the opening alone states; empty before it.
    opened_lanes: Vec<bool>,
}

impl Held {
    fn new(world: World<'_>) -> Self {
        let life = world.timeline.at_start();
        Self { life, lanes: vec![None; world.lanes], opened: false, opened_lanes: Vec::new() }
    }

    fn is_opened(&self, lane: usize) -> bool {
        self.opened_lanes.get(lane).is_some_and(|&o| o)
    }

    fn set(&mut self, lane: usize, hash: Option<u64>) {
        self.lanes[lane] = hash;
        if let Some(opened) = self.opened_lanes.get_mut(lane) {
            *opened = false;
        }
    }
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
        Self { world, facts: &shard.facts, slot, steps, held: Held::new(world), open: None }
    }

    fn run(&mut self, current: CurrentHashes<'_>, chained: &mut Chained) {
        let mut compared = false;
        let mut opening = self.world.timeline.opening;
        for place in 0..self.steps.len() {
            if self.world.timeline.is_opening(self.facts, self.steps[place]) {
                opening = None;
                self.meet_opening_row(place, current, chained);
                continue;
            }
            if opening.take_if(|o| self.steps[place].rank >= o.rank).is_some() {
                self.meet_absence(place, chained);
            }
            if !compared && self.steps[place].rank >= self.world.timeline.end {
                self.compare_current(place, current, chained);
                compared = true;
            }
            let broken = self.check(place);
            self.note(place, broken, chained);
            self.count_no_op(place, chained);
            self.advance(place);
        }
        if opening.is_some() {
            self.meet_absence(self.steps.len(), chained);
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
        let existence = |kind| Some(if self.held.opened { Kind::OpeningDiffers } else { kind });
        match (self.held.life, self.facts.op(fact)) {
            (Life::Alive, _) if self.facts.begins(fact) => return existence(Kind::InsertOverExisting),
            (Life::Dead, Op::Update) if !self.facts.has(fact, ARRIVES) => {
                return existence(Kind::UpdateOfAbsent);
            }
            (Life::Dead, Op::Delete) => return existence(Kind::DeleteOfAbsent),
            (Life::Alive, Op::Read) => return self.misfit(|lane| self.known_after(fact, lane)),
            (Life::Dead, Op::Read) => return existence(Kind::ChainBreak),
            (Life::Alive, _) => {}
            _ => return None,
        }
        self.misfit(|lane| self.known_before(fact, lane))
    }

    fn known_before(&self, fact: usize, lane: usize) -> Option<u64> {
        let known = self.facts.state_before(fact, lane) == CellState::Known as u8;
        self.facts.hash_before(fact, lane).filter(|_| known)
    }

    fn known_after(&self, fact: usize, lane: usize) -> Option<u64> {
        let known = self.facts.state_after(fact, lane) == CellState::Known as u8;
        self.facts.hash_after(fact, lane).filter(|_| known)
    }

    /// What it is if a row does not fit the held one: the opening's doing if it alone stated all that differs.
    fn misfit(&self, stated: impl Fn(usize) -> Option<u64>) -> Option<DiscrepancyKind> {
        use DiscrepancyKind as Kind;
        let mut found = None;
        for lane in 0..self.world.lanes {
            let differs =
                self.held.lanes[lane].is_some_and(|held| stated(lane).is_some_and(|hash| hash != held));
            if differs && !self.held.is_opened(lane) {
                return Some(Kind::ChainBreak);
            }
            if differs {
                found = Some(Kind::OpeningDiffers);
            }
        }
        found
    }

    /// A row of the opening fills what is not known yet. Where it contradicts what is known, and
    /// what comes next does not side with it, it is the one that differs.
    fn meet_opening_row(&mut self, place: usize, current: CurrentHashes<'_>, chained: &mut Chained) {
        let Some(fact) = self.fact(place) else { return };
        let next = self.fact(place + 1);
        let differs = match self.held.life {
            Life::Unknown => false,
            Life::Dead => match next {
                Some(next) => self.facts.begins(next),
                None => !self.world.stands(self.slot),
            },
            Life::Alive => (0..self.world.lanes).any(|lane| {
                let Some(row) = self.known_after(fact, lane) else { return false };
                let held = self.held.lanes[lane].filter(|&held| held != row);
                let later = match next {
                    Some(next) => self.known_before(next, lane),
                    None => self.world.stands(self.slot).then(|| self.row(current)[lane]),
                };
                held.is_some() && later != Some(row)
            }),
        };
        if differs {
            self.differ(place, chained);
        }
        if self.held.life == Life::Dead {
            return;
        }
        self.held.opened |= self.held.life == Life::Unknown;
        self.held.life = Life::Alive;
        self.held.opened_lanes.resize(self.world.lanes, false);
        for lane in 0..self.world.lanes {
            if let (None, Some(row)) = (self.held.lanes[lane], self.known_after(fact, lane)) {
                self.held.lanes[lane] = Some(row);
                self.held.opened_lanes[lane] = true;
            }
        }
    }

    /// The opening lacks the row: before the step at `place` it did not exist.
    fn meet_absence(&mut self, place: usize, chained: &mut Chained) {
        match self.held.life {
            Life::Dead => {}
            Life::Unknown => {
                self.held.life = Life::Dead;
                self.held.opened = true;
            }
            Life::Alive => {
                let existed = match self.fact(place) {
                    Some(next) => !self.facts.begins(next),
                    None => self.world.stands(self.slot),
                };
                if existed {
                    self.differ(place, chained);
                }
            }
        }
    }

    /// The opening is contradicted from both sides: the step at `place` is its row, or the first behind it.
    fn differ(&mut self, place: usize, chained: &mut Chained) {
        chained.conflicts.extend(self.open.take().map(|(_, conflict)| conflict));
        // What it says of the row holds until the row changes.
        let row = self.steps.get(place).is_some_and(|&s| self.world.timeline.is_opening(self.facts, s));
        let next = place + usize::from(row);
        chained.conflicts.push(Conflict {
            kind: DiscrepancyKind::OpeningDiffers,
            slot: self.slot,
            index: self.index(place),
            previous: place.checked_sub(1).map_or(u32::MAX, |p| self.index(p)),
            rank: self.steps.get(next).map_or(u32::MAX, |s| s.rank),
            echoes: 0,
            cause: Cause::Altered,
            closing: None,
            skew: None,
        });
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
            closing: None,
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
                self.held.lanes[lane].is_none_or(|h| Some(h) == self.facts.hash_before(next, lane))
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
            self.held.opened = false;
            (0..self.world.lanes).for_each(|lane| self.held.set(lane, None));
            return;
        };
        let fresh = self.facts.begins(fact);
        for lane in 0..self.world.lanes {
            let read = self.facts.op(fact) == Op::Read;
            let untouched = self.facts.leaves_untouched(fact, lane);
            let known = self.known_after(fact, lane);
            let known = known.or_else(|| self.known_before(fact, lane).filter(|_| untouched && !read));
            // Else the lane stays as it is held, if it cannot have changed.
            if known.is_some() || fresh || !read && !untouched {
                self.held.set(lane, known);
            }
        }
        self.held.life = Life::Alive;
        self.held.opened = false;
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
        let misfit = || self.misfit(|lane| Some(row[lane]));
        let kind = match (self.held.life, stands) {
            (Life::Alive, false) | (Life::Dead, true) if self.held.opened => Kind::OpeningDiffers,
            (Life::Alive, false) => Kind::CurrentMissing,
            (Life::Dead, true) => Kind::CurrentUnexpected,
            (Life::Alive, true) if misfit() == Some(Kind::OpeningDiffers) => Kind::OpeningDiffers,
            (Life::Alive, true) if misfit().is_some() => Kind::CurrentDiffers,
            _ => {
                chained.agreeing += 1;
                if let Some((_, conflict)) = self.open.take() {
                    chained.conflicts.push(conflict);
                }
                return;
            }
        };
        let how = match (self.held.life, stands) {
            (Life::Alive, false) => Closing::Missing,
            (Life::Dead, _) => Closing::Unexpected,
            _ => Closing::Differs,
        };
        let previous = place.checked_sub(1).map_or(u32::MAX, |p| self.index(p));
        let closing = Some((how, previous));
        if let Some((_, conflict)) = self.open.as_mut().filter(|(last, _)| last + 1 == place) {
            conflict.echoes += 1;
            conflict.closing = closing;
            return;
        }
        let skew = self.skew(place, current).filter(|_| kind != Kind::OpeningDiffers);
        self.open = Some((
            place,
            Conflict {
                kind,
                slot: self.slot,
                index: u32::MAX,
                previous,
                rank: u32::MAX,
                echoes: 0,
                cause: Cause::Unrecorded,
                closing,
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
            self.held.lanes[lane] = self.facts.hash_before(fact, lane).filter(|_| known);
        }
    }

    /// The latest earlier stretch of the history at whose end the row was as it is in the current state.
    fn skew(&self, place: usize, current: CurrentHashes<'_>) -> Option<(u32, u32)> {
        let stands = self.world.stands(self.slot);
        let row = self.row(current);
        let mut replayed = Self { held: Held::new(self.world), open: None, ..*self };
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
