//! [`Facts`]: what the kernel knows of each change. No values, only identities.
//!
//! ```text
//! change 17  update  account 4000 → 4001        two facts:
//!   key 4000  index 17  update|LEAVES  before hash         (the row leaves its key)
//!   key 4001  index 17  update|ARRIVES              after hash   (and goes on under another)
//! ```
//!
//! A fact is a key identity, the change's index in the dataset's ledger, its op
//! and, when the run verifies, one hash per lane and side. Facts are cut into
//! shards by key and sorted by (key, rank), so that all that happened to a key
//! is one slice.

use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::ArrayRef;

use crate::model::canon::{self, Seed};
use crate::model::lanes::{LaneStates, Lanes};
use crate::model::{CellState, ChangeBatch, Images, Op, TableSchema};

/// Low three bits of [`Facts::kind`]: the [`Op`] code.
const OP: u8 = 0b0000_0111;
/// The change has a before image under this key.
pub const HAS_BEFORE: u8 = 0b0000_1000;
/// The change has an after image under this key.
pub const HAS_AFTER: u8 = 0b0001_0000;
/// The row goes on under another key: for this key, an end of life.
pub const LEAVES: u8 = 0b0010_0000;
/// The row came from another key: for this key, a begin of life.
pub const ARRIVES: u8 = 0b0100_0000;

/// Facts of many changes as columns. States hold `lanes` entries per fact.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Lanes per fact.
    pub lanes: usize,
    /// Key identity.
    pub key: Vec<u128>,
    /// Index of the change in its dataset's ledger.
    pub index: Vec<u32>,
    /// Op code and flags.
    pub kind: Vec<u8>,
    /// Hashes of the lanes that states call known, or of all: per fact those before, then those after. Empty
    /// unless verifying.
    hashes: Vec<u64>,
    /// Where the hashes of each fact begin; empty if images are whole, or there are none.
    starts: Vec<u64>,
    /// State of each lane, before in the low and after in the high half; empty if images are whole.
    pub states: Vec<u8>,
}

impl Facts {
    /// No facts yet, with this many lanes.
    pub fn new(lanes: usize) -> Self {
        Self { lanes, ..Self::default() }
    }

    fn with_room(facts: usize, options: ScanOptions<'_>) -> Self {
        let lanes = options.lanes.count();
        let is_partial = options.lanes.is_partial();
        let room = |of: usize, is_needed: bool| if is_needed { of } else { 0 };
        Self {
            lanes,
            key: Vec::with_capacity(facts),
            index: Vec::with_capacity(facts),
            kind: Vec::with_capacity(facts),
            // Of images with gaps, how much is known is known when it is there.
            hashes: Vec::with_capacity(room(2 * facts * lanes, options.verify && !is_partial)),
            starts: Vec::with_capacity(room(facts, options.verify && is_partial)),
            states: Vec::with_capacity(room(facts * lanes, is_partial)),
        }
    }

    /// How many facts.
    pub fn len(&self) -> usize {
        self.key.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.key.is_empty()
    }

    /// The op of a fact.
    pub fn op(&self, fact: usize) -> Op {
        Op::from_code(self.kind[fact] & OP).unwrap_or(Op::Update)
    }

    /// Whether a fact has these flags.
    pub fn has(&self, fact: usize, flags: u8) -> bool {
        self.kind[fact] & flags == flags
    }

    /// Whether this fact begins a life of its key.
    pub fn begins(&self, fact: usize) -> bool {
        self.op(fact) == Op::Insert || self.has(fact, ARRIVES)
    }

    /// Whether this fact ends a life of its key.
    pub fn ends(&self, fact: usize) -> bool {
        matches!(self.op(fact), Op::Delete | Op::Truncate) || self.has(fact, LEAVES)
    }

    /// What is known of a lane before this change: a [`CellState`] code.
    pub fn state_before(&self, fact: usize, lane: usize) -> u8 {
        if !self.has(fact, HAS_BEFORE) {
            return CellState::Absent as u8;
        }
        self.states.get(fact * self.lanes + lane).map_or(0, |s| s & 0x0f)
    }

    /// What is known of a lane after this change: a [`CellState`] code.
    pub fn state_after(&self, fact: usize, lane: usize) -> u8 {
        if !self.has(fact, HAS_AFTER) {
            return CellState::Absent as u8;
        }
        self.states.get(fact * self.lanes + lane).map_or(0, |s| s >> 4)
    }

    /// Whether the record says that this change did not touch the lane.
    ///
    /// The state of the side that is not known decides; the other may be stated all the same.
    pub fn leaves_untouched(&self, fact: usize, lane: usize) -> bool {
        let unchanged = CellState::Unchanged as u8;
        let states = self.states.get(fact * self.lanes + lane).copied().unwrap_or(0);
        states & 0x0f == unchanged || states >> 4 == unchanged
    }

    /// Whether there are hashes.
    pub fn has_hashes(&self) -> bool {
        !self.hashes.is_empty()
    }

    /// How many hashes there are.
    pub fn hash_count(&self) -> usize {
        self.hashes.len()
    }

    /// The hash of a lane before this change, if it is known.
    pub fn hash_before(&self, fact: usize, lane: usize) -> Option<u64> {
        if self.states.is_empty() {
            return self.hashes.get(fact * 2 * self.lanes + lane).copied();
        }
        let states = &self.states[fact * self.lanes..(fact + 1) * self.lanes];
        is_known_before(states[lane]).then(|| {
            let place = states[..lane].iter().filter(|&&s| is_known_before(s)).count();
            self.hashes[self.starts[fact] as usize + place]
        })
    }

    /// The hash of a lane after this change, if it is known.
    pub fn hash_after(&self, fact: usize, lane: usize) -> Option<u64> {
        if self.states.is_empty() {
            return self.hashes.get((fact * 2 + 1) * self.lanes + lane).copied();
        }
        let states = &self.states[fact * self.lanes..(fact + 1) * self.lanes];
        is_known_after(states[lane]).then(|| {
            let before = states.iter().filter(|&&s| is_known_before(s)).count();
            let place = states[..lane].iter().filter(|&&s| is_known_after(s)).count();
            self.hashes[self.starts[fact] as usize + before + place]
        })
    }

    fn hashes_of(&self, fact: usize) -> &[u64] {
        if self.starts.is_empty() {
            return &self.hashes[fact * 2 * self.lanes..(fact + 1) * 2 * self.lanes];
        }
        let end = self.starts.get(fact + 1).map_or(self.hashes.len(), |&start| start as usize);
        &self.hashes[self.starts[fact] as usize..end]
    }

    fn push_from(&mut self, other: &Self, fact: usize) {
        self.key.push(other.key[fact]);
        self.index.push(other.index[fact]);
        self.kind.push(other.kind[fact]);
        if !other.starts.is_empty() {
            self.starts.push(self.hashes.len() as u64);
        }
        if !other.hashes.is_empty() {
            self.hashes.extend_from_slice(other.hashes_of(fact));
        }
        if !other.states.is_empty() {
            self.states.extend_from_slice(&other.states[fact * other.lanes..(fact + 1) * other.lanes]);
        }
    }

    /// Appends all of `other`.
    pub fn append(&mut self, mut other: Self) {
        let from = self.hashes.len() as u64;
        self.key.append(&mut other.key);
        self.index.append(&mut other.index);
        self.kind.append(&mut other.kind);
        self.starts.extend(other.starts.iter().map(|start| from + start));
        self.hashes.append(&mut other.hashes);
        self.states.append(&mut other.states);
    }

    /// All facts of some parts, one behind the other.
    pub fn joined(lanes: usize, parts: Vec<Self>) -> Self {
        let room = |of: fn(&Self) -> usize| parts.iter().map(of).sum();
        let mut all = Self {
            lanes,
            key: Vec::with_capacity(room(|p| p.key.len())),
            index: Vec::with_capacity(room(|p| p.index.len())),
            kind: Vec::with_capacity(room(|p| p.kind.len())),
            hashes: Vec::with_capacity(room(|p| p.hashes.len())),
            starts: Vec::with_capacity(room(|p| p.starts.len())),
            states: Vec::with_capacity(room(|p| p.states.len())),
        };
        parts.into_iter().for_each(|part| all.append(part));
        all
    }

    /// The same facts in the order of `order`.
    pub fn reorder(&self, order: &[u32]) -> Self {
        let mut sorted = Self::new(self.lanes);
        sorted.key.reserve_exact(self.len());
        sorted.index.reserve_exact(self.len());
        sorted.kind.reserve_exact(self.len());
        sorted.hashes.reserve_exact(self.hashes.len());
        sorted.starts.reserve_exact(self.starts.len());
        sorted.states.reserve_exact(self.states.len());
        for &fact in order {
            sorted.push_from(self, fact as usize);
        }
        sorted
    }
}

/// What a scan needs to know about a dataset.
#[derive(Debug, Clone, Copy)]
pub struct ScanOptions<'a> {
    /// The table.
    pub schema: &'a TableSchema,
    /// How its columns fall into lanes.
    pub lanes: &'a Lanes,
    /// The key of all hashes.
    pub seed: Seed,
    /// Whether images are hashed.
    pub verify: bool,
}

/// The facts of one batch, and what does not become one.
#[derive(Debug, Default)]
pub struct Scanned {
    /// One fact per change, two per key change, cut by shard.
    pub shards: Vec<Facts>,
    /// Indices of truncates.
    pub truncates: Vec<u32>,
    /// Indices of changes whose key is null.
    pub null_keys: Vec<u32>,
    /// Key changes: index, identity left, identity arrived at.
    pub moves: Vec<(u32, u128, u128)>,
    /// Whether some update, upsert or delete has no before image.
    pub lacks_before: bool,
    /// The shards whose facts are kept; those of others are gone past.
    pub kept: Range<usize>,
}

/// The shard of a key.
pub fn shard_of(key: u128, shards: usize) -> usize {
    debug_assert!(shards.is_power_of_two(), "shards are cut by leading bits");
    if shards == 1 { 0 } else { (key >> (128 - shards.trailing_zeros())) as usize }
}

/// Turns a batch whose first change has index `first` into facts.
///
/// The batch must carry the key columns of both sides and, when verifying, all
/// value columns. `keep` says which indices become facts at all.
pub fn scan(
    batch: &ChangeBatch,
    first: u32,
    shards: usize,
    options: ScanOptions<'_>,
    keep: impl Fn(u32) -> bool,
) -> Scanned {
    let mut scanned = Scanned::with_room(batch.len(), shards, 0..shards, options);
    scan_into(&mut scanned, (batch, None), first, options, keep);
    scanned
}

/// Hashes of the images of a batch with one lane, made beforehand.
#[derive(Debug, Clone, Copy)]
pub struct Hashed<'a> {
    /// Per row, that of the image before.
    pub before: &'a [u64],
    /// Per row, that of the image after.
    pub after: &'a [u64],
}

/// As [`scan`], added to what earlier batches gave. Where images are hashed already, the batch needs no more
/// than the key columns.
pub fn scan_into(
    scanned: &mut Scanned,
    (batch, hashed): (&ChangeBatch, Option<Hashed<'_>>),
    first: u32,
    options: ScanOptions<'_>,
    keep: impl Fn(u32) -> bool,
) {
    let (before, after) = (hashed.map(|h| h.before), hashed.map(|h| h.after));
    let before = Side::new((&batch.before, before), batch.len(), options, None);
    let after = Side::new((&batch.after, after), batch.len(), options, Some(&before));
    for row in 0..batch.len() {
        let index = first + row as u32;
        if !keep(index) {
            continue;
        }
        if batch.ops[row] == Op::Truncate as u8 {
            scanned.truncates.push(index);
            continue;
        }
        if before.null_key(row) || after.null_key(row) {
            scanned.null_keys.push(index);
            continue;
        }
        let changes_row = matches!(Op::from_code(batch.ops[row]), Some(Op::Update | Op::Delete | Op::Upsert));
        scanned.lacks_before |= changes_row && !batch.before.is_present(row);
        push_change(scanned, batch.ops[row], index, (&before, &after), row);
    }
}

impl Scanned {
    /// Adds what became no fact in another part of the changes.
    pub fn note(&mut self, other: Self) {
        self.truncates.extend(other.truncates);
        self.null_keys.extend(other.null_keys);
        self.moves.extend(other.moves);
        self.lacks_before |= other.lacks_before;
    }

    /// Nothing yet, with room for the facts of so many changes in the shards that are kept.
    pub fn with_room(changes: usize, shards: usize, kept: Range<usize>, options: ScanOptions<'_>) -> Self {
        // Keys fall evenly into shards but for chance; a hot key makes its shard grow.
        let mean = changes / shards;
        let room = |shard| if kept.contains(&shard) { mean + 4 * mean.isqrt() + 8 } else { 0 };
        let shards = (0..shards).map(|shard| Facts::with_room(room(shard), options)).collect();
        Self { shards, kept, ..Self::default() }
    }
}

fn push_change(scanned: &mut Scanned, op: u8, index: u32, sides: (&Side<'_>, &Side<'_>), row: usize) {
    let (before, after) = sides;
    match (before.key(row), after.key(row)) {
        (Some(old), Some(new)) if old != new => {
            scanned.moves.push((index, old, new));
            push_fact(scanned, old, index, op | HAS_BEFORE | LEAVES, sides, row);
            push_fact(scanned, new, index, op | HAS_AFTER | ARRIVES, sides, row);
        }
        (old, new) => {
            let flags =
                if old.is_some() { HAS_BEFORE } else { 0 } | if new.is_some() { HAS_AFTER } else { 0 };
            if let Some(key) = old.or(new) {
                push_fact(scanned, key, index, op | flags, sides, row);
            }
        }
    }
}

fn push_fact(
    scanned: &mut Scanned,
    key: u128,
    index: u32,
    kind: u8,
    (before, after): (&Side<'_>, &Side<'_>),
    row: usize,
) {
    let shard = shard_of(key, scanned.shards.len());
    if !scanned.kept.contains(&shard) {
        return;
    }
    let facts = &mut scanned.shards[shard];
    facts.key.push(key);
    facts.index.push(index);
    facts.kind.push(kind);
    if before.is_bare {
        return;
    }
    if !before.options.lanes.is_partial() {
        facts.hashes.extend(before.hashes.iter().chain(&after.hashes).map(|lane| lane[row]));
        return;
    }
    let from = facts.states.len();
    facts.states.extend(before.states.of(row).zip(after.states.of(row)).map(|(b, a)| b | a << 4));
    if !before.hashes.is_empty() {
        facts.starts.push(facts.hashes.len() as u64);
        let states = &facts.states[from..];
        let known = before.hashes.iter().zip(states).filter(|(_, s)| is_known_before(**s));
        facts.hashes.extend(known.map(|(lane, _)| lane[row]));
        let known = after.hashes.iter().zip(states).filter(|(_, s)| is_known_after(**s));
        facts.hashes.extend(known.map(|(lane, _)| lane[row]));
    }
}

/// Whether a lane is known before a change, by the byte of its states.
fn is_known_before(states: u8) -> bool {
    states & 0x0f == CellState::Known as u8
}

/// Whether a lane is known after a change, by the byte of its states.
fn is_known_after(states: u8) -> bool {
    states >> 4 == CellState::Known as u8
}

/// One side of a batch: key identities and lane hashes.
struct Side<'a> {
    images: &'a Images,
    options: ScanOptions<'a>,
    keys: Rc<Vec<u128>>,
    null_keys: Vec<bool>,
    hashes: Vec<Cow<'a, [u64]>>,
    /// Whether facts are told nothing of lanes.
    is_bare: bool,
    states: LaneStates<'a>,
}

impl<'a> Side<'a> {
    /// `hashed`: the hashes of its images, if they are made already. `other` is the other side, whose identities
    /// are taken where one key column serves both.
    fn new(
        (images, hashed): (&'a Images, Option<&'a [u64]>),
        rows: usize,
        options: ScanOptions<'a>,
        other: Option<&Self>,
    ) -> Self {
        let key_columns: Vec<&ArrayRef> =
            options.schema.key().iter().filter_map(|&c| images.column(c)).collect();
        let same = |side: &&Self| {
            let shared = |&c: &usize| match (images.column(c), side.images.column(c)) {
                (Some(own), Some(other)) => Arc::ptr_eq(own, other),
                _ => false,
            };
            !options.schema.is_keyless() && options.schema.key().iter().all(shared)
        };
        let keys = match other.filter(same) {
            Some(side) => Rc::clone(&side.keys),
            None if options.schema.is_keyless() => Rc::new(row_ids(images, rows, options)),
            None if key_columns.is_empty() => Rc::new(vec![0; rows]),
            None => Rc::new(canon::key_ids(&key_columns, options.seed)),
        };
        let mut null_keys = vec![false; rows];
        for row in canon::null_keys(&key_columns) {
            null_keys[row] = images.is_present(row);
        }
        let hashes = match hashed {
            Some(hashed) => vec![Cow::Borrowed(hashed)],
            None if options.verify => {
                lane_hashes(images, rows, options).into_iter().map(Cow::Owned).collect()
            }
            None => Vec::new(),
        };
        let (is_bare, states) =
            (hashes.is_empty() && !options.lanes.is_partial(), options.lanes.states(images));
        Self { images, options, keys, null_keys, hashes, is_bare, states }
    }

    fn key(&self, row: usize) -> Option<u128> {
        self.images.is_present(row).then(|| self.keys[row])
    }

    fn null_key(&self, row: usize) -> bool {
        self.null_keys[row]
    }
}

/// Identities of whole rows, for tables without a key.
fn row_ids(images: &Images, rows: usize, options: ScanOptions<'_>) -> Vec<u128> {
    let columns: Vec<Option<&ArrayRef>> = (0..options.schema.len()).map(|c| images.column(c)).collect();
    whole_row_ids(&columns, rows, options)
}

/// Identities of rows by all their cells: equal exactly if every cell is, but for
/// cells of columns in which null may stand for a value that the ledger cannot express.
pub fn whole_row_ids(columns: &[Option<&ArrayRef>], rows: usize, options: ScanOptions<'_>) -> Vec<u128> {
    let (mut low, mut high) = (vec![0; rows], vec![0; rows]);
    let second = ScanOptions { seed: options.seed.second(), ..options };
    for (column, array) in columns.iter().enumerate() {
        if let Some(array) = array {
            add_column(array, column, options, &mut low);
            add_column(array, column, second, &mut high);
        }
    }
    low.into_iter().zip(high).map(|(low, high)| (u128::from(high) << 64) | u128::from(low)).collect()
}

fn lane_hashes(images: &Images, rows: usize, options: ScanOptions<'_>) -> Vec<Vec<u64>> {
    let mut hashes = vec![vec![0; rows]; options.lanes.count()];
    for column in 0..options.schema.len() {
        let (Some(lane), Some(array)) = (options.lanes.of_column(column), images.column(column)) else {
            continue;
        };
        add_column(array, column, options, &mut hashes[lane]);
    }
    hashes
}

/// Adds the cells of one column to the hashes of its lane.
pub fn add_column(array: &ArrayRef, column: usize, options: ScanOptions<'_>, sums: &mut [u64]) {
    let seed = options.seed.column(column);
    if options.lanes.is_number(column) {
        return canon::add_number_hashes(array.as_ref(), seed, options.lanes.is_ambiguous(column), sums);
    }
    if options.lanes.is_ambiguous(column) {
        canon::add_cell_hashes_non_finite_as_null(array.as_ref(), seed, sums);
    } else {
        canon::add_cell_hashes(array.as_ref(), seed, sums);
    }
}
