//! Keys whose first undone change says all that is to be known.
//!
//! Where images are whole, most keys need no walk: the first undone change states
//! the row before it, or begins a key of which nothing was said before. Everything
//! else is left to [`select`](super::select): a life that begins and ends in one
//! history (whose steps may stand in another order), changes without an image
//! before, and whatever concerns more than one key.

use super::facts::HAS_BEFORE;
use super::select::{Choice, Fate, Patch, Selection, Source, World};
use super::shard::Shard;
use crate::model::Op;

/// Whether histories of this shard may be gone through straight.
pub(super) fn may_be(world: World<'_>, shard: &Shard) -> bool {
    let timeline = world.timeline;
    shard.facts.states.is_empty()
        && timeline.truncates.is_empty()
        && timeline.opening.is_none()
        && world.null_lanes.iter().all(Option::is_none)
}

/// Selects for a key whose history is straight; `false` if it needs a walk.
pub(super) fn select(
    world: World<'_>,
    shard: &Shard,
    (key, slot): (usize, u32),
    cut: u32,
    selection: &mut Selection,
) -> bool {
    let (facts, history) = (&shard.facts, shard.history(key));
    if history.clone().any(|fact| facts.begins(fact)) && history.clone().any(|fact| facts.ends(fact)) {
        return false;
    }
    let is_undone = |fact: &usize| shard.rank(*fact) >= cut && facts.op(*fact) != Op::Read;
    let undone = history.clone().find(is_undone).filter(|&fact| shard.rank(fact) < world.timeline.end);
    let Some(fact) = undone else { return true };
    let first = facts.index[fact];
    let patch = |fate| Patch { slot, fate, first, contradicted: false, refilled: false };
    if facts.begins(fact) {
        // Behind other changes of the key, it may begin a life over another one.
        let is_first = fact == history.start;
        selection.patches.extend(is_first.then(|| patch(Fate::Absent)));
        return is_first;
    }
    if !facts.has(fact, HAS_BEFORE) {
        return false;
    }
    let before = Choice::exact(Source::Before(first));
    let key = if world.stands(slot) { Choice::exact(Source::Current(slot)) } else { before };
    selection.choices.push(key);
    selection.choices.extend(std::iter::repeat_n(before, world.lanes));
    selection.patches.push(patch(Fate::Present));
    true
}

#[cfg(test)]
mod tests {
    use super::super::facts::{ARRIVES, Facts, HAS_AFTER, LEAVES};
    use super::super::history::Timeline;
    use super::super::select::{self, NO_ROW};
    use super::*;
    use crate::model::rank::Ranks;
    use crate::testing::Prng;

    /// A shard of a few keys with changes of all kinds, many of which cannot be.
    fn random_shard(random: &mut Prng) -> Shard {
        let mut facts = Facts::new(1);
        for index in 0..1 + random.index(12) as u32 {
            let op = Op::ALL[random.index(Op::ALL.len())];
            if op == Op::Truncate {
                continue;
            }
            let flags = match random.below(8) {
                0 => HAS_AFTER,
                1 => HAS_BEFORE | LEAVES,
                2 => HAS_AFTER | ARRIVES,
                3 => HAS_BEFORE,
                _ => HAS_BEFORE | HAS_AFTER,
            };
            facts.key.push(1 + u128::from(random.below(4)));
            facts.index.push(index);
            facts.kind.push(op as u8 | flags);
        }
        Shard::new(&facts, &Ranks::AsRead)
    }

    #[test]
    fn straight_histories_give_what_walks_give() {
        let mut random = Prng::new(17);
        let (mut straight, mut walked) = (0, 0);
        for _ in 0..20_000 {
            let shards = [random_shard(&mut random)];
            let keys = shards[0].keys();
            let standing: Vec<u64> =
                (0..keys).map(|_| if random.below(3) == 0 { NO_ROW } else { 1 }).collect();
            let starts = [0, 2, 5, 9];
            let timeline = Timeline {
                truncates: &[],
                transactions: &starts,
                from_birth: random.below(2) == 0,
                end: 4 + random.index(9) as u32,
                opening: None,
            };
            let world = World {
                shards: &shards,
                bases: &[0],
                standing: &standing,
                moves: &[],
                timeline,
                lanes: 1,
                duplicates: &[],
                null_lanes: &[None],
                distrusted: &[],
            };
            assert!(may_be(world, &shards[0]));
            let cut = random.index(12) as u32;
            for slot in 0..keys as u32 {
                let mut own = Selection::default();
                if !super::select(world, &shards[0], (slot as usize, slot), cut, &mut own) {
                    assert!(own.patches.is_empty(), "a key that needs a walk is left alone");
                    walked += 1;
                    continue;
                }
                let mut other = Selection::default();
                let of = (slot as usize, slot);
                select::walked((world, &shards[0]), of, (cut, false), &mut other, &mut Vec::new());
                assert_eq!((own.patches, own.choices), (other.patches, other.choices));
                straight += 1;
            }
        }
        assert!(straight > 5000 && walked > 5000, "{straight} straight, {walked} walked");
    }
}
