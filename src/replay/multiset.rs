//! Tables without a key: rows have no identity but their values.
//!
//! For each distinct, bit-equal row the count at the cut is that of the current
//! state, minus the inserts and plus the deletes undone. A key in such a table's
//! facts is the identity of a whole row, so an update is one row less and
//! another one more. A negative count is a conflict.

use super::facts::{Facts, HAS_AFTER, HAS_BEFORE};
use super::shard::Shard;

/// What the cut does to one distinct row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recount {
    /// The distinct row.
    pub slot: u32,
    /// Copies at the cut minus copies now.
    pub change: i64,
    /// Index of a change whose before image holds the row's values; `u32::MAX` if none does.
    pub before: u32,
    /// Index of a change whose after image holds them; `u32::MAX` if none does.
    pub after: u32,
    /// How many copies more were undone than exist.
    pub missing: i64,
}

/// Recounts the distinct rows of one shard that have undone changes, also where these cancel out. `copies` holds the current number of copies per slot.
pub fn recount(shard: &Shard, base: u32, cut: u32, end: u32, copies: &[u32]) -> Vec<Recount> {
    let mut recounts = Vec::new();
    for key in 0..shard.keys() {
        let slot = base + key as u32;
        let mut recount = Recount { slot, change: 0, before: u32::MAX, after: u32::MAX, missing: 0 };
        let mut undone = 0;
        for fact in shard.history(key).filter(|&f| (cut..end).contains(&shard.rank(f))) {
            undo(&shard.facts, fact, &mut recount);
            undone += 1;
        }
        let left = i64::from(copies[slot as usize]) + recount.change;
        recount.missing = (-left).max(0);
        if undone > 0 {
            recounts.push(recount);
        }
    }
    recounts
}

fn undo(facts: &Facts, fact: usize, recount: &mut Recount) {
    if facts.has(fact, HAS_BEFORE) {
        recount.change += 1;
        recount.before = facts.index[fact];
    }
    if facts.has(fact, HAS_AFTER) && facts.op(fact) != crate::model::Op::Read {
        recount.change -= 1;
        recount.after = facts.index[fact];
    }
}
