//! The steps of one key's history, in the order in which they must be undone.
//!
//! Two things keep a slice of facts from being that order as it stands. A
//! truncate names no key, so it becomes a step of every history whose row then
//! stands. And key changes inside one transaction (swaps, shifts along a range)
//! are recorded one row at a time although they happened together:
//!
//! ```text
//! UPDATE t SET id = 3 - id        history of key 2 as recorded    as undone
//!   change 8:  1 → 2              8 arrives (over a standing row!) 9 leaves
//!   change 9:  2 → 1              9 leaves                         8 arrives
//! ```
//!
//! A key exists before a transaction if it does after, less its begins, plus its
//! ends there. Where that makes a row begin while another stands under its key,
//! the next end is put first.
//!
//! The rows of a trusted earlier snapshot, the opening, are reads between two
//! transactions. As it is whole, a key of which nothing was recorded before it and
//! which it does not have did not exist then.

use std::cmp::Ordering;
use std::ops::Range;

use super::facts::Facts;
use super::shard::Shard;
use crate::model::Op;

/// One step of a history: a fact, or a truncate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Number of the fact in its shard; `None` for a truncate.
    pub fact: Option<u32>,
    /// Rank of the change.
    pub rank: u32,
}

/// What is known of a row's existence at some point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// The ledger has said nothing of this key yet.
    Unknown,
    /// A row stands.
    Alive,
    /// No row stands.
    Dead,
}

/// A trusted earlier snapshot, whose rows stand among the facts as reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Index of its first row; no change has this index or a higher one.
    pub first: u32,
    /// The first rank that it does not know of.
    pub rank: u32,
}

impl Opening {
    /// Whether a fact with this index is a row of the opening.
    pub fn has(self, index: u32) -> bool {
        index >= self.first
    }

    /// The rank of its rows: that of the last change it knows of, after which they are sorted.
    pub fn rank_of_rows(self) -> u32 {
        self.rank.saturating_sub(1)
    }
}

/// What all histories of a dataset share.
#[derive(Debug, Clone, Copy)]
pub struct Timeline<'a> {
    /// Ranks of truncates, rising.
    pub truncates: &'a [u32],
    /// First rank of each transaction, rising.
    pub transactions: &'a [u32],
    /// Whether the ledger reaches back to the empty table.
    pub from_birth: bool,
    /// Ranks from here on lie after the extract moment.
    pub end: u32,
    /// The opening, if there is one to be trusted.
    pub opening: Option<Opening>,
}

impl Timeline<'_> {
    fn transaction(&self, rank: u32) -> usize {
        self.transactions.partition_point(|&first| first <= rank)
    }

    /// Whether a truncate lies between two ranks.
    fn is_truncated(&self, from: u32, to: u32) -> bool {
        let place = self.truncates.partition_point(|&rank| rank < from);
        self.truncates.get(place).is_some_and(|&rank| rank < to)
    }

    /// The life of a key of which nothing has been said.
    pub fn at_start(&self) -> Life {
        if self.from_birth { Life::Dead } else { Life::Unknown }
    }

    /// Whether a step is the opening's row.
    pub fn is_opening(&self, facts: &Facts, step: Step) -> bool {
        self.opening.is_some_and(|o| step.fact.is_some_and(|f| o.has(facts.index[f as usize])))
    }
}

/// The ops of a step, with truncates as ends.
pub fn ends(facts: &Facts, step: Step) -> bool {
    step.fact.is_none_or(|f| facts.ends(f as usize))
}

/// Whether a step begins a life.
pub fn begins(facts: &Facts, step: Step) -> bool {
    step.fact.is_some_and(|f| facts.begins(f as usize))
}

/// Fills `steps` with the history of a key. `standing` says whether the current state has it.
pub fn steps(shard: &Shard, key: usize, standing: bool, timeline: Timeline<'_>, steps: &mut Vec<Step>) {
    steps.clear();
    steps.extend(shard.history(key).map(|f| Step { fact: Some(f as u32), rank: shard.rank(f) }));
    let read = steps.iter().position(|&s| timeline.is_opening(&shard.facts, s)).map(|at| steps.remove(at));
    if has_begin_then_end(&shard.facts, steps, timeline) {
        put_ends_first(&shard.facts, steps, standing, timeline);
    }
    if let (Some(read), Some(opening)) = (read, timeline.opening) {
        steps.insert(steps.partition_point(|s| s.rank < opening.rank), read);
    }
    if !timeline.truncates.is_empty() {
        add_truncates(&shard.facts, steps, timeline);
    }
}

fn has_begin_then_end(facts: &Facts, steps: &[Step], timeline: Timeline<'_>) -> bool {
    steps.windows(2).any(|pair| {
        !ends(facts, pair[0])
            && ends(facts, pair[1])
            && steps.iter().any(|&s| begins(facts, s))
            && timeline.transaction(pair[0].rank) == timeline.transaction(pair[1].rank)
    })
}

/// Goes through the transactions of a history from the last to the first, carrying
/// whether the row exists after each.
fn put_ends_first(facts: &Facts, steps: &mut [Step], standing: bool, timeline: Timeline<'_>) {
    let mut exists = standing;
    let mut next = timeline.end;
    for part in parts(steps, timeline).into_iter().rev() {
        if steps[part.start].rank >= timeline.end {
            // After the extract moment: the current state says nothing about it.
            continue;
        }
        if timeline.is_truncated(steps[part.end - 1].rank, next) {
            exists = stands_behind(facts, &steps[..part.end], timeline);
        }
        next = steps[part.start].rank;
        exists = existed_before(facts, &steps[part.clone()], exists);
        alternate(facts, &mut steps[part], exists);
    }
}

/// Steps of one transaction with no truncate between them.
fn parts(steps: &[Step], timeline: Timeline<'_>) -> Vec<Range<usize>> {
    let together = |a: &Step, b: &Step| {
        timeline.transaction(a.rank) == timeline.transaction(b.rank) && !timeline.is_truncated(a.rank, b.rank)
    };
    let mut start = 0;
    let range = |part: &[Step]| {
        start += part.len();
        start - part.len()..start
    };
    steps.chunk_by(together).map(range).collect()
}

/// Moves ends forward so that no row begins over another that stands.
fn alternate(facts: &Facts, part: &mut [Step], mut alive: bool) {
    for place in 0..part.len() {
        if alive
            && begins(facts, part[place])
            && let Some(end) = part[place..].iter().position(|&s| ends(facts, s))
        {
            part[place..=place + end].rotate_right(1);
        }
        alive = begins(facts, part[place]) || alive && !ends(facts, part[place]);
    }
}

/// Whether the row stands behind these steps, from the steps alone: what stood
/// before a truncate cannot be counted back from the current state.
fn stands_behind(facts: &Facts, steps: &[Step], timeline: Timeline<'_>) -> bool {
    let mut stands = false;
    let mut last = None;
    for part in parts(steps, timeline) {
        let (first, part) = (steps[part.start], &steps[part]);
        if last.is_some_and(|last| timeline.is_truncated(last, first.rank)) {
            stands = false;
        } else if last.is_none() && !timeline.from_birth {
            let structural = part.iter().find(|&&s| begins(facts, s) || ends(facts, s));
            stands = structural.is_some_and(|&s| ends(facts, s));
        }
        last = part.last().map(|s| s.rank);
        let begun = part.iter().filter(|&&s| begins(facts, s)).count();
        let ended = part.iter().filter(|&&s| ends(facts, s)).count();
        stands = match begun.cmp(&ended) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => stands || begun == 0,
        };
    }
    stands
}

fn existed_before(facts: &Facts, part: &[Step], exists_after: bool) -> bool {
    let begun = part.iter().filter(|&&s| begins(facts, s)).count();
    let ended = part.iter().filter(|&&s| ends(facts, s)).count();
    match (begun, ended) {
        (0, 0) => {
            part.iter().any(|s| s.fact.is_some_and(|f| facts.op(f as usize) == Op::Update)) || exists_after
        }
        _ => usize::from(exists_after) + ended > begun,
    }
}

fn add_truncates(facts: &Facts, steps: &mut Vec<Step>, timeline: Timeline<'_>) {
    for &rank in timeline.truncates {
        let known = timeline.opening.is_some_and(|o| o.rank <= rank);
        let before = |s: &Step| s.rank < rank || known && timeline.is_opening(facts, *s);
        let place = steps.partition_point(before);
        if life_before(facts, steps, place, timeline) == Life::Alive {
            steps.insert(place, Step { fact: None, rank });
        }
    }
}

/// What the steps before `place` say of the row's existence.
pub fn life_before(facts: &Facts, steps: &[Step], place: usize, timeline: Timeline<'_>) -> Life {
    match steps[..place].last() {
        None if is_behind_opening(facts, steps.get(place), timeline) => Life::Dead,
        None => timeline.at_start(),
        Some(&step) if ends(facts, step) => Life::Dead,
        Some(_) => Life::Alive,
    }
}

/// Whether a place before which nothing stands lies behind an opening that lacks the row.
fn is_behind_opening(facts: &Facts, next: Option<&Step>, timeline: Timeline<'_>) -> bool {
    let Some(opening) = timeline.opening else { return false };
    next.is_none_or(|&s| s.rank >= opening.rank && !timeline.is_opening(facts, s))
}
