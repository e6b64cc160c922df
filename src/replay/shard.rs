//! [`Shard`]: all facts of some keys, sorted by key and rank, with a way to find a key.
//!
//! The slice of facts of one key is its *history*. A shard finds it by an open
//! hash table over the leading entries; nothing ever iterates that table.

use super::facts::Facts;
use crate::model::rank::{DROPPED, Ranks};

/// All facts of the keys of one shard.
#[derive(Debug, Default)]
pub struct Shard {
    /// Sorted by (key, rank).
    pub facts: Facts,
    /// Rank of each fact.
    pub rank: Vec<u32>,
    /// Where the history of each key starts, and one past the last.
    pub starts: Vec<u32>,
    table: Vec<u32>,
}

const EMPTY: u32 = u32::MAX;

impl Shard {
    /// Sorts facts into histories. Facts of dropped changes are left out.
    pub fn new(facts: &Facts, ranks: &Ranks) -> Self {
        let mut order: Vec<(u128, u32, u32)> = (0..facts.len())
            .map(|f| (facts.key[f], ranks.of(facts.index[f]), f as u32))
            .filter(|&(_, rank, _)| rank != DROPPED)
            .collect();
        order.sort_unstable();
        let rank = order.iter().map(|&(_, rank, _)| rank).collect();
        let order: Vec<u32> = order.into_iter().map(|(_, _, fact)| fact).collect();
        let facts = facts.reorder(&order);
        let starts = starts(&facts.key);
        let table = table(&facts.key, &starts);
        Self { facts, rank, starts, table }
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
            let number = self.table[place];
            if number == EMPTY {
                return None;
            }
            if self.facts.key[self.starts[number as usize] as usize] == key {
                return Some(number as usize);
            }
            place = (place + 1) & mask;
        }
    }
}

// The leading bits choose the shard, so the table uses the bits below them.
fn slot(key: u128) -> usize {
    (key >> 72) as usize ^ key as usize
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

fn table(keys: &[u128], starts: &[u32]) -> Vec<u32> {
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
        table[place] = number as u32;
    }
    table
}
