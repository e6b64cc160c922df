//! What a run holds in memory, estimated before it is held, and what a limit leaves room for.
//!
//! A limit changes in how many steps the work is done, never what comes out: the
//! keys go through in passes by ranges of their hash, and images are read for
//! some output groups at a time. The estimates are those of the worst step, from
//! counts that are known before it; they are measured, not derived, as what an
//! allocator keeps cannot be derived.
//!
//! ```text
//! base       program, buffers of every thread, transactions of the order
//! touched    per touched key: where it stands, its patch, its choices, its place in the layout
//! facts      those of one pass, with the tables that find keys among them
//! images     those of one band of output groups
//! ```

use super::inputs::{DatasetInput, Inputs};
use super::scan::Ordered;
use crate::error::Error;

/// The program itself, its inputs opened.
const PROGRAM: u64 = 16 << 20;
/// Buffers and tables that every thread keeps for reading and writing.
const THREAD: u64 = 5 << 20;
/// How many times its decoded size a column is held while a thread makes it.
const MAKING: u64 = 3;
/// Decoded size of a column of a group, where no footer tells it.
const COLUMN: u64 = 2 << 20;
/// A transaction of the order and its first rank.
const TRANSACTION: u64 = 56;
/// A fact on its way into its shard, with its share of the tables over it.
const FACT: u64 = 90;
/// What each lane but one adds to a fact where images are hashed.
const HASHED_LANE: u64 = 24;
/// A touched key, beside its choices: where it stands, patch, place among the present, layout.
const TOUCHED: u64 = 64;
/// A choice.
const CHOICE: u64 = 12;
/// How many times their size images take: what is read beside them, and what an allocator keeps of those of
/// the band before.
const IMAGES: u64 = 2;
/// The share of what is left that one pass may take, as its inverse.
const PASS: u64 = 4;
/// The share of a series' room that its moments keep for each other, as its inverse.
const SHARED: u64 = 4;

/// A limit, and what of it is taken in any case.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    limit: u64,
    base: u64,
    datasets: u64,
    /// Whether moments keep something for each other.
    is_series: bool,
}

impl Memory {
    /// What a limit leaves to a run.
    pub(super) fn new(limit: u64, inputs: &Inputs, ordered: &[Ordered], moments: usize) -> Self {
        let widest = inputs.datasets.iter().map(widest_column).max().unwrap_or(0);
        let transactions: usize = ordered.iter().map(|o| o.order.transactions.len()).sum();
        let threads = rayon::current_num_threads() as u64;
        let base = PROGRAM + threads * (THREAD + MAKING * widest) + transactions as u64 * TRANSACTION;
        let datasets = inputs.datasets.len().max(1) as u64;
        Self { limit, base, datasets, is_series: moments > 1 }
    }

    /// Bytes that one dataset may take.
    fn room(&self) -> u64 {
        let room = self.limit.saturating_sub(self.base) / self.datasets;
        room - if self.is_series { room / SHARED } else { 0 }
    }

    /// Bytes that the moments of a series may keep of one dataset.
    pub(super) fn shared(&self) -> u64 {
        self.limit.saturating_sub(self.base) / self.datasets / SHARED
    }

    /// Into how many passes so many facts are cut, of at most so many.
    pub(super) fn passes(&self, facts: u64, most: usize) -> usize {
        if self.is_whole(facts, self.room()) {
            return 1;
        }
        let passes = (facts * FACT).div_ceil((self.room() / PASS).max(1));
        usize::try_from(passes).unwrap_or(most).clamp(2, most.max(2))
    }

    /// Whether facts are held at once: only if that leaves as much for what is made of them.
    fn is_whole(&self, facts: u64, room: u64) -> bool {
        facts * FACT * 2 <= room
    }

    /// What is left for images.
    pub(super) fn room_for_images(&self, held: Held) -> u64 {
        self.room().saturating_sub(held.bytes()) / IMAGES
    }

    /// Says what the least limit is that would do for what is held and these images, if this one does not.
    pub(super) fn check(&self, input: &DatasetInput, held: Held, images: u64) -> Result<(), Error> {
        let mut needed = held.bytes() + images * IMAGES;
        if held.passed > 0 {
            needed = needed.max(held.bytes() * PASS / (PASS - 1));
        }
        if needed <= self.room() {
            return Ok(());
        }
        // With so much, facts would be held that are not now.
        if held.passed > 0 && self.is_whole(held.passed, needed) {
            needed += held.passed * FACT;
        }
        let of_series = if self.is_series { needed / (SHARED - 1) } else { 0 };
        let least = (self.base + (needed + of_series + 1) * self.datasets).div_ceil(1_000_000) + 1;
        Err(Error::Plan {
            place: "--memory-limit".to_owned(),
            message: format!("{}: the limit is less than this run needs", input.plan.name),
            hint: Some(format!("--memory-limit {least}MB is about the least that would do")),
        })
    }
}

/// What is held of one dataset.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    /// How many facts are held throughout.
    pub facts: u64,
    /// How many facts are held in passes instead.
    pub passed: u64,
    /// Lanes whose hashes facts have.
    pub hashed: u64,
    /// Keys that have facts.
    pub touched: u64,
    /// Choices of those that have a row.
    pub choices: u64,
}

impl Held {
    fn bytes(self) -> u64 {
        let fact = FACT + self.hashed.saturating_sub(1) * HASHED_LANE;
        self.facts * fact + self.touched * TOUCHED + self.choices * CHOICE
    }
}

/// The largest decoded size of a column of a group of the current state.
fn widest_column(input: &DatasetInput) -> u64 {
    let group = |group: usize| {
        let parquet = input.table.parquet(group)?;
        let chunks = parquet.metadata.row_group(parquet.row_group).columns();
        chunks.iter().map(|chunk| u64::try_from(chunk.uncompressed_size()).unwrap_or(0)).max()
    };
    (0..input.table.groups()).map(|number| group(number).unwrap_or(COLUMN)).max().unwrap_or(COLUMN)
}
