//! [`Shard`]: all facts of some keys, together by key and in order of rank, with a way to find a key.
//!
//! The slice of facts of one key is its *history*. A shard finds it by an open
//! hash table over the leading entries; nothing ever iterates that table.

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::facts::Facts;
use super::history::Opening;
use crate::model::rank::{DROPPED, Ranks};

/// All facts of the keys of one shard.
#[derive(Debug, Default)]
pub struct Shard {
    /// Those of one key follow each other, in order of rank.
    pub facts: Facts,
    /// Rank of each fact; none: that of its index.
    ranks: Option<Vec<u32>>,
    /// Where the history of each key starts, and one past the last.
    pub starts: Vec<u32>,
    /// Fingerprint of a key in the high half, its number in the low half.
    table: Vec<u64>,
}

/// A set of keys that is small enough for the cache and sometimes says yes to a key it does not hold.
///
/// Most rows of the current state have no history, and each question to a shard costs a cache miss.
#[derive(Debug, Default)]
pub struct Sieve {
    bits: Vec<u64>,
}

/// Bits per key: so many let one key in a dozen or so through that is not held.
const BITS_PER_KEY: usize = 12;

impl Sieve {
    /// Of all keys of these shards.
    pub fn new(shards: &[Shard]) -> Self {
        Self::of(shards, shards.iter().map(Shard::keys).sum(), |_, _| true)
    }

    /// Of so many keys of these shards: those for which `holds` says so, by shard and number in it.
    pub fn of(shards: &[Shard], keys: usize, holds: impl Fn(usize, usize) -> bool + Sync) -> Self {
        let words = (keys * BITS_PER_KEY / 64 + 1).next_power_of_two();
        let bits: Vec<AtomicU64> = (0..words).map(|_| AtomicU64::new(0)).collect();
        shards.par_iter().enumerate().for_each(|(number, shard)| {
            for key in (0..shard.keys()).filter(|&key| holds(number, key)) {
                let (word, bit) = place(shard.facts.key[shard.starts[key] as usize], words - 1);
                bits[word].fetch_or(bit, Ordering::Relaxed);
            }
        });
        Self { bits: bits.into_iter().map(AtomicU64::into_inner).collect() }
    }

    /// Whether a key may be held; no is certain.
    pub fn may_hold(&self, key: u128) -> bool {
        let (word, bit) = place(key, self.bits.len().saturating_sub(1));
        self.bits.get(word).is_some_and(|bits| bits & bit != 0)
    }
}

fn place(key: u128, mask: usize) -> (usize, u64) {
    let bits = (key >> 64) as u64 ^ key as u64;
    ((bits >> 6) as usize & mask, 1 << (bits & 63))
}

const EMPTY: u64 = u64::MAX;

impl Shard {
    /// Brings facts together as histories. Facts of dropped changes are left out.
    pub fn new(facts: &Facts, ranks: &Ranks) -> Self {
        let mut ranked: Vec<(u32, u32)> = (0..facts.len())
            .map(|f| (ranks.of(facts.index[f]), f as u32))
            .filter(|&(rank, _)| rank != DROPPED)
            .collect();
        if !ranked.is_sorted() {
            ranked.sort_unstable();
        }
        let ranked = by_key(&facts.key, &ranked);
        let table = matches!(ranks, Ranks::Table(_));
        let ranks = table.then(|| ranked.iter().map(|&(rank, _)| rank).collect());
        Self::sorted(facts, ranked.into_iter().map(|(_, fact)| fact).collect(), ranks)
    }

    /// This shard with rows of an opening sorted in. The rows must be of its keys, once each, or new ones.
    pub fn with_opening(&self, rows: &Facts, opening: Opening) -> Self {
        let mut facts = self.facts.clone();
        facts.append(rows.clone());
        // A row stands between the last rank that the opening knows of and the next.
        let own = self.facts.len();
        let place = |f: usize| match f < own {
            true => 2 * u64::from(self.rank(f)) + 1,
            false => 2 * u64::from(opening.rank),
        };
        let mut order: Vec<(u128, u64, u32)> =
            (0..facts.len()).map(|f| (facts.key[f], place(f), f as u32)).collect();
        order.sort_unstable();
        let order: Vec<u32> = order.into_iter().map(|(_, _, fact)| fact).collect();
        let rank_of = |&f: &u32| match (f as usize) < own {
            true => self.rank(f as usize),
            false => opening.rank_of_rows(),
        };
        let ranks = order.iter().map(rank_of).collect();
        Self::sorted(&facts, order, Some(ranks))
    }

    fn sorted(facts: &Facts, order: Vec<u32>, ranks: Option<Vec<u32>>) -> Self {
        let facts = facts.reorder(&order);
        let starts = starts(&facts.key);
        let table = table(&facts.key, &starts);
        Self { facts, ranks, starts, table }
    }

    /// Where a fact's change stands in its source's order.
    pub fn rank(&self, fact: usize) -> u32 {
        match &self.ranks {
            Some(ranks) => ranks[fact],
            None => self.facts.index[fact],
        }
    }

    /// How many keys have a history here.
    pub fn keys(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// The facts of a key, by its number in this shard.
    pub fn history(&self, key: usize) -> std::ops::Range<usize> {
        self.starts[key] as usize..self.starts[key + 1] as usize
    }

    /// The number of a key in this shard.
    pub fn find(&self, key: u128) -> Option<usize> {
        if self.table.is_empty() {
            return None;
        }
        let mask = self.table.len() - 1;
        let mut place = slot(key) & mask;
        loop {
            let entry = self.table[place];
            if entry == EMPTY {
                return None;
            }
            // Most keys looked for are not here: the fingerprint spares them two more cache misses.
            let number = (entry & u64::from(u32::MAX)) as usize;
            if entry >> 32 == fingerprint(key) && self.facts.key[self.starts[number] as usize] == key {
                return Some(number);
            }
            place = (place + 1) & mask;
        }
    }
}

// The leading bits choose the shard, so the table uses the bits below them.
fn slot(key: u128) -> usize {
    (key >> 72) as usize ^ key as usize
}

/// Bits of a key that neither choose its shard nor its place in the table.
fn fingerprint(key: u128) -> u64 {
    (key >> 88) as u64 & u64::from(u32::MAX)
}

/// Brings facts, given in order of rank, together by key; keys come in the order of their first fact.
fn by_key(keys: &[u128], ranked: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut table = vec![EMPTY; (ranked.len() * 2).next_power_of_two()];
    let mask = table.len() - 1;
    let (mut firsts, mut counts, mut numbers) =
        (Vec::new(), Vec::<u32>::new(), Vec::with_capacity(ranked.len()));
    for &(_, fact) in ranked {
        let key = keys[fact as usize];
        let mut place = slot(key) & mask;
        let number = loop {
            let entry = table[place];
            let known = (entry & u64::from(u32::MAX)) as usize;
            if entry == EMPTY {
                table[place] = fingerprint(key) << 32 | firsts.len() as u64;
                firsts.push(key);
                counts.push(0);
                break firsts.len() - 1;
            }
            if entry >> 32 == fingerprint(key) && firsts[known] == key {
                break known;
            }
            place = (place + 1) & mask;
        };
        counts[number] += 1;
        numbers.push(number as u32);
    }
    let mut next = 0;
    // From here on the place of the key's next fact.
    counts.iter_mut().for_each(|count| next += std::mem::replace(count, next));
    let mut together = vec![(0, 0); ranked.len()];
    for (&fact, &number) in ranked.iter().zip(&numbers) {
        let place = &mut counts[number as usize];
        together[*place as usize] = fact;
        *place += 1;
    }
    together
}

fn starts(keys: &[u128]) -> Vec<u32> {
    let mut starts = Vec::new();
    for fact in 0..keys.len() {
        if fact == 0 || keys[fact - 1] != keys[fact] {
            starts.push(fact as u32);
        }
    }
    starts.push(keys.len() as u32);
    starts
}

fn table(keys: &[u128], starts: &[u32]) -> Vec<u64> {
    let count = starts.len() - 1;
    if count == 0 {
        return Vec::new();
    }
    let mut table = vec![EMPTY; (count * 2).next_power_of_two()];
    let mask = table.len() - 1;
    for (number, &start) in starts[..count].iter().enumerate() {
        let mut place = slot(keys[start as usize]) & mask;
        while table[place] != EMPTY {
            place = (place + 1) & mask;
        }
        table[place] = fingerprint(keys[start as usize]) << 32 | number as u64;
    }
    table
}
