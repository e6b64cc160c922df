//! Tables without a key: rows have no identity but their values.
//!
//! For each distinct, bit-equal row the count at the cut is that of the current
//! state, minus the inserts and plus the deletes undone. A key in such a table's
//! facts is the identity of a whole row, so an update is one row less and
//! another one more.
//!
//! A truncate cannot be undone that way: it names no row. Behind one the table is
//! empty, so the count before it is what the ledger's records since the last
//! certain moment (an earlier truncate, or birth) add up to. Where there is no such
//! moment, it is the least that these records need: a deleted row was there.
//!
//! ```text
//! rank            1      2      T      5      now
//! row (7, x)      +1     +1            +1     1 copy
//! copies      0      1      2      0      1     a cut between 2 and T finds 2
//! ```
//!
//! What this cannot see: a copy of a row exchanged for an equal one.

use std::ops::Range;

use super::facts::{HAS_AFTER, HAS_BEFORE};
use super::history::Timeline;
use super::select::Source;
use super::shard::Shard;
use crate::model::Op;

/// What the cut does to one distinct row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recount {
    /// The distinct row.
    pub slot: u32,
    /// Copies at the cut minus copies now.
    pub change: i64,
    /// An image that holds the row's values: that of the last change which is undone, where it can be.
    pub holder: Source,
    /// Index of an undone change whose after image holds them; `u32::MAX` if none does.
    pub after: u32,
    /// How many copies more were undone than exist.
    pub missing: i64,
    /// Whether a truncate was undone: the count is what the records before it add up to.
    pub refilled: bool,
}

/// Where a table without a key and its ledger disagree on one distinct row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Miscount {
    /// The distinct row.
    pub slot: u32,
    /// The last change that mentions it.
    pub last: u32,
    /// Copies now minus copies by the ledger. Where the ledger does not know how many there were at
    /// first, never above zero.
    pub surplus: i64,
    /// Deletes of copies that, by the ledger, were not there; with the first of them.
    pub absent: Option<(u64, u32)>,
}

/// Recounts the distinct rows of one shard that have undone changes, also where these cancel out.
/// `copies` holds the current number of copies per slot.
pub fn recount(shard: &Shard, base: u32, cut: u32, timeline: Timeline<'_>, copies: &[u32]) -> Vec<Recount> {
    let truncates = timeline.truncates;
    let undone = truncates.iter().copied().find(|&rank| rank >= cut && rank < timeline.end);
    let mut recounts = Vec::new();
    for key in 0..shard.keys() {
        let slot = base + key as u32;
        let now = i64::from(copies[slot as usize]);
        let recount = match undone {
            None => undo(shard, key, cut..timeline.end, now),
            Some(truncate) => Some(refill(shard, key, (cut, truncate), timeline, now)),
        };
        recounts.extend(recount.map(|recount| Recount { slot, ..recount }));
    }
    recounts
}

/// Current copies, minus inserts, plus deletes.
fn undo(shard: &Shard, key: usize, ranks: Range<u32>, now: i64) -> Option<Recount> {
    let mut recount = Recount::NONE;
    let mut undone = 0;
    for fact in shard.history(key).filter(|&f| ranks.contains(&shard.rank(f))) {
        if shard.facts.has(fact, HAS_BEFORE) {
            recount.change += 1;
            recount.holder = Source::Before(shard.facts.index[fact]);
        }
        if adds(shard, fact) {
            recount.change -= 1;
            recount.after = shard.facts.index[fact];
        }
        undone += 1;
    }
    recount.missing = (-(now + recount.change)).max(0);
    (undone > 0).then_some(recount)
}

/// The copies that stood before an undone truncate, by the records before it.
fn refill(
    shard: &Shard,
    key: usize,
    (cut, truncate): (u32, u32),
    timeline: Timeline<'_>,
    now: i64,
) -> Recount {
    let earlier = timeline.truncates.iter().copied().rfind(|&rank| rank < cut);
    let mut recount = Recount { refilled: true, ..Recount::NONE };
    let (mut at_cut, mut at_truncate) = (Count::default(), Count::default());
    for fact in shard.history(key).filter(|&f| shard.rank(f) < timeline.end) {
        let (rank, index) = (shard.rank(fact), shard.facts.index[fact]);
        if rank >= cut && adds(shard, fact) {
            recount.after = index;
        }
        if rank > truncate || earlier.is_some_and(|earlier| rank < earlier) {
            continue;
        }
        at_truncate.take(shard, fact);
        if rank < cut {
            at_cut.take(shard, fact);
        }
        let has_before = shard.facts.has(fact, HAS_BEFORE);
        recount.holder = if has_before { Source::Before(index) } else { Source::After(index) };
    }
    // Copies that a later record needs were there at the cut, unless nothing can have been there at first.
    let is_certain = timeline.from_birth || earlier.is_some();
    let at_first = if is_certain { at_cut.at_first } else { at_truncate.at_first };
    recount.change = at_first + at_cut.moved - now;
    recount
}

/// Compares the current copies of each distinct row of one shard with what its whole history adds up to.
pub fn verify(shard: &Shard, base: u32, timeline: Timeline<'_>, copies: &[u32]) -> Vec<Miscount> {
    let miscount = |key: usize| {
        let slot = base + key as u32;
        let mut truncates = timeline.truncates.iter().copied().filter(|&t| t < timeline.end).peekable();
        let mut is_certain = timeline.from_birth;
        let mut count = Count::default();
        let mut absent = None;
        let mut last = shard.facts.index[shard.history(key).start];
        for fact in shard.history(key).filter(|&f| shard.rank(f) < timeline.end) {
            while truncates.next_if(|&rank| rank < shard.rank(fact)).is_some() {
                (count, is_certain) = (Count::default(), true);
            }
            let lacking = count.take(shard, fact);
            last = shard.facts.index[fact];
            if lacking && is_certain {
                absent.get_or_insert((0, last)).0 += 1;
            }
        }
        if truncates.next().is_some() {
            (count, is_certain) = (Count::default(), true);
        }
        let surplus = i64::from(copies[slot as usize]) - (count.at_first + count.moved);
        let surplus = if is_certain { surplus } else { surplus.min(0) };
        (surplus != 0 || absent.is_some()).then_some(Miscount { slot, last, surplus, absent })
    };
    (0..shard.keys()).filter_map(miscount).collect()
}

/// How many copies of a row the records of a while make, and how many they need at first.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    /// Inserts minus deletes.
    moved: i64,
    /// Copies that must have been there before the first record.
    at_first: i64,
    /// Copies read so far.
    reads: i64,
}

impl Count {
    /// Takes in a change; `true`: it deletes a copy that was not there.
    fn take(&mut self, shard: &Shard, fact: usize) -> bool {
        let mut lacking = false;
        if shard.facts.has(fact, HAS_BEFORE) {
            self.moved -= 1;
            lacking = self.at_first + self.moved < 0;
            self.at_first = self.at_first.max(-self.moved);
        }
        if adds(shard, fact) {
            self.moved += 1;
        } else if shard.facts.has(fact, HAS_AFTER) {
            // A read states that a copy is there and makes none.
            self.reads += 1;
            self.at_first = self.at_first.max(self.reads - self.moved);
        }
        lacking
    }
}

impl Recount {
    const NONE: Self =
        Self { slot: 0, change: 0, holder: Source::Nothing, after: u32::MAX, missing: 0, refilled: false };
}

fn adds(shard: &Shard, fact: usize) -> bool {
    shard.facts.has(fact, HAS_AFTER) && shard.facts.op(fact) != Op::Read
}
