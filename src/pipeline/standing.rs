//! The current state as the kernel sees it: which keys stand, where, and with what hash.

use std::cell::LazyCell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::Int64Type;
use arrow_row::{OwnedRow, RowConverter, SortField};
use rayon::prelude::*;

use super::inputs::DatasetInput;
use super::opening::{self, Sums};
use super::progress::Progress;
use super::scan::{Histories, release_buffers};
use crate::error::{Error, Result};
use crate::model::canon;
use crate::read::{Packing, unpacked};
use crate::replay::facts::{self, ScanOptions, shard_of};
use crate::replay::select::NO_ROW;
use crate::replay::shard::Shard;

/// A row of the current state: group in the high half, row in the low half.
pub(super) fn locator(group: usize, row: usize) -> u64 {
    (group as u64) << 32 | row as u64
}

/// The group and row of a locator.
pub(super) fn place(locator: u64) -> (usize, usize) {
    ((locator >> 32) as usize, (locator & u64::from(u32::MAX)) as usize)
}

/// What the current state says of the keys that the ledger mentions.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Per slot: where the row is, or [`NO_ROW`]. Rows with duplicate keys count as none.
    pub rows: Vec<u64>,
    /// Per slot and lane: the hash; empty unless verifying.
    pub hashes: Vec<u64>,
    /// Rows whose key occurs more than once.
    pub duplicates: Vec<u64>,
    /// Keys that occur more than once, by their first row.
    pub duplicate_keys: Vec<DuplicateKey>,
    /// First row of such a key, and each further one. Sorted.
    pub duplicate_rows: Vec<(u64, u64)>,
    /// Slots of such keys, where the ledger mentions them. Sorted.
    pub duplicate_slots: Vec<u32>,
    /// Slots whose row lies outside what the ledger was recorded of. Sorted.
    pub outside: Vec<u32>,
    /// Rows with a null in the key.
    pub null_keys: Vec<u64>,
    /// Rows that the ledger never mentions, where it claims to know all, and is verified. Sorted.
    pub unmentioned: Vec<u64>,
    /// How many rows the ledger never mentions.
    pub unmentioned_count: u64,
    /// Whether rows are sorted by key (typed comparison, nulls first), without duplicates.
    pub sorted: bool,
    /// First key of each group that has rows.
    pub first_keys: Vec<Option<OwnedRow>>,
    /// Per slot of a keyless table: how many copies stand.
    pub copies: Vec<u32>,
    /// Per slot of a keyless table: where they stand; empty unless keyless.
    pub copy_rows: Vec<(u32, u64)>,
    /// How many rows there are.
    pub count: u64,
    /// Sums of the rows without a history, if they are compared with an opening.
    pub sums: Sums,
}

/// A key that several rows have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DuplicateKey {
    /// Its first row.
    pub first: u64,
    /// How many rows have it.
    pub count: u64,
    /// Its slot, where the ledger mentions it.
    pub slot: Option<u32>,
}

/// How keys of a dataset are compared for order.
pub(super) fn key_order(input: &DatasetInput) -> Result<RowConverter> {
    let columns: Vec<usize> = if input.schema.is_keyless() {
        (0..input.schema.len()).collect()
    } else {
        input.schema.key().to_vec()
    };
    let fields = columns.iter().map(|&c| SortField::new(input.schema.data_type(c).clone())).collect();
    RowConverter::new(fields).map_err(Error::arrow(input.current_path()))
}

/// What one group of the current state contributes.
struct Group {
    /// Slot, row, and hashes per lane.
    found: Vec<(u32, u32)>,
    hashes: Vec<u64>,
    outside: Vec<u32>,
    null_keys: Vec<u64>,
    unmentioned: Vec<u64>,
    unmentioned_count: u64,
    sorted: bool,
    first: Option<OwnedRow>,
    last: Option<OwnedRow>,
    rows: usize,
    sums: Sums,
}

/// Reads the current state against the histories; `knows_all`: rows that these never mention are kept
/// apart, as the ledger claims to know all rows.
pub(super) fn read(
    input: &DatasetInput,
    histories: &Histories,
    (scan, knows_all): (ScanOptions<'_>, bool),
    progress: &dyn Progress,
) -> Result<Standing> {
    let table = &input.table;
    let sorted = SortedKeys::new(input, histories);
    let found = FoundRows::none(histories.slots(), scan);
    let groups: Vec<Result<Group>> = (0..table.groups())
        .into_par_iter()
        .with_max_len(1)
        .map(|group| {
            let mut read = read_group(input, (histories, sorted.as_ref()), (scan, knows_all), group)?;
            if !input.schema.is_keyless() {
                found.set(group, &mut read);
            }
            progress.advance(table.rows(group) as u64);
            Ok(read)
        })
        .collect();
    release_buffers();
    let slots = histories.slots();
    let (rows, hashes) = found.finish();
    let mut standing = Standing {
        rows,
        hashes,
        sorted: !input.schema.is_keyless(),
        copies: if input.schema.is_keyless() { vec![0; slots] } else { Vec::new() },
        ..Standing::default()
    };
    let mut previous: Option<OwnedRow> = None;
    for (number, group) in groups.into_iter().enumerate() {
        let group = group?;
        let rising = match (&previous, &group.first) {
            (Some(last), Some(first)) => last < first,
            _ => true,
        };
        standing.sorted &= group.sorted && rising;
        previous = group.last.clone().or(previous);
        standing.count += group.rows as u64;
        standing.outside.extend(&group.outside);
        standing.sums.merge(&group.sums);
        standing.null_keys.extend(&group.null_keys);
        standing.unmentioned.extend(&group.unmentioned);
        standing.unmentioned_count += group.unmentioned_count;
        standing.first_keys.push(group.first.clone());
        for (slot, row) in group.found {
            standing.copies[slot as usize] += 1;
            standing.copy_rows.push((slot, locator(number, row as usize)));
        }
    }
    standing.outside.sort_unstable();
    if !standing.sorted && !input.schema.is_keyless() {
        find_duplicates(&mut standing, histories, all_ids(input, histories, scan)?);
    }
    Ok(standing)
}

/// Where the row of each slot is and what its hashes are, set by many threads at a time: each row
/// has its own slot. Keys that several rows have are seen to afterwards.
struct FoundRows {
    rows: Vec<AtomicU64>,
    hashes: Vec<AtomicU64>,
    lanes: usize,
}

impl FoundRows {
    fn none(slots: usize, scan: ScanOptions<'_>) -> Self {
        let lanes = scan.lanes.count();
        let of = |count: usize, value| (0..count).into_par_iter().map(|_| AtomicU64::new(value)).collect();
        Self { rows: of(slots, NO_ROW), hashes: of(if scan.verify { slots * lanes } else { 0 }, 0), lanes }
    }

    /// Moves what a group found to the slots.
    fn set(&self, number: usize, group: &mut Group) {
        let hashes = std::mem::take(&mut group.hashes);
        for (at, (slot, row)) in std::mem::take(&mut group.found).into_iter().enumerate() {
            self.rows[slot as usize].store(locator(number, row as usize), Ordering::Relaxed);
            if !hashes.is_empty() {
                let to = &self.hashes[slot as usize * self.lanes..][..self.lanes];
                let from = &hashes[at * self.lanes..][..self.lanes];
                to.iter().zip(from).for_each(|(to, from)| to.store(*from, Ordering::Relaxed));
            }
        }
    }

    fn finish(self) -> (Vec<u64>, Vec<u64>) {
        let plain = |of: Vec<AtomicU64>| of.into_iter().map(AtomicU64::into_inner).collect();
        (plain(self.rows), plain(self.hashes))
    }
}

impl Standing {
    /// Adds what was found of the keys of the shards that follow those seen so far.
    pub(super) fn append(&mut self, later: Self) {
        let base = self.rows.len() as u32;
        self.rows.extend(later.rows);
        self.duplicates.extend(later.duplicates);
        let renumbered = |key: DuplicateKey| DuplicateKey { slot: key.slot.map(|slot| base + slot), ..key };
        self.duplicate_keys.extend(later.duplicate_keys.into_iter().map(renumbered));
        self.duplicate_rows.extend(later.duplicate_rows);
        self.duplicate_slots.extend(later.duplicate_slots.iter().map(|slot| base + slot));
        self.duplicates.sort_unstable();
        self.duplicate_keys.sort_unstable();
        self.duplicate_rows.sort_unstable();
        // A row that neither mentions was counted twice, one that either mentions once.
        let keyed = self.count - self.null_keys.len() as u64;
        self.unmentioned_count = (self.unmentioned_count + later.unmentioned_count).saturating_sub(keyed);
        debug_assert!(self.hashes.is_empty() && self.outside.is_empty(), "nothing is verified in passes");
    }
}

/// The key identity of every row that may have a history held here. Rows sorted by key need none of this.
fn all_ids(input: &DatasetInput, histories: &Histories, scan: ScanOptions<'_>) -> Result<Vec<(u128, u64)>> {
    let is_here = |id: u128| histories.held.contains(&shard_of(id, histories.shards.len()));
    let groups: Vec<Result<Vec<(u128, u64)>>> = (0..input.table.groups())
        .into_par_iter()
        .with_max_len(1)
        .map(|group| {
            let batch = input.read_current(group, input.schema.key())?;
            let keys: Vec<&ArrayRef> = batch.columns().iter().collect();
            let keys = input.normalised_keys(&keys)?;
            let ids = canon::key_ids(&keys.iter().collect::<Vec<_>>(), scan.seed);
            let here = ids.into_iter().enumerate().filter(|(_, id)| is_here(*id));
            Ok(here.map(|(row, id)| (id, locator(group, row))).collect())
        })
        .collect();
    let mut ids = Vec::new();
    for group in groups {
        ids.extend(group?);
    }
    Ok(ids)
}

/// Keys that more than one row has stand nowhere: none of these rows is patched.
fn find_duplicates(standing: &mut Standing, histories: &Histories, mut ids: Vec<(u128, u64)>) {
    ids.par_sort_unstable();
    let null_keys = std::mem::take(&mut standing.null_keys);
    for same in ids.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > 1) {
        let rows: Vec<u64> =
            same.iter().map(|&(_, row)| row).filter(|r| null_keys.binary_search(r).is_err()).collect();
        if rows.len() < 2 {
            continue;
        }
        let (first, count) = (rows[0], rows.len() as u64);
        standing.duplicate_rows.extend(rows[1..].iter().map(|&row| (rows[0], row)));
        standing.duplicates.extend(rows);
        let shard = shard_of(same[0].0, histories.shards.len());
        let key = histories.shards[shard].find(same[0].0);
        let slot = key.map(|key| histories.bases[shard] + key as u32);
        standing.duplicate_keys.push(DuplicateKey { first, count, slot });
        if let Some(slot) = slot {
            standing.rows[slot as usize] = NO_ROW;
            let lanes = standing.hashes.len() / standing.rows.len();
            standing.hashes[slot as usize * lanes..][..lanes].fill(0);
            standing.duplicate_slots.push(slot);
        }
    }
    standing.duplicates.sort_unstable();
    standing.duplicate_keys.sort_unstable();
    standing.duplicate_rows.sort_unstable();
    standing.duplicate_slots.sort_unstable();
    standing.null_keys = null_keys;
}

fn read_group(
    input: &DatasetInput,
    (histories, sorted): (&Histories, Option<&SortedKeys>),
    (scan, knows_all): (ScanOptions<'_>, bool),
    group: usize,
) -> Result<Group> {
    let all: Vec<usize> = (0..input.schema.len()).collect();
    let keyless = input.schema.is_keyless();
    let columns: Vec<usize> = if keyless { all } else { input.schema.key().to_vec() };
    let batch = input.read_current_as(group, &columns, Packing::Packed)?;
    let column = |c: usize| columns.iter().position(|&own| own == c).map(|at| batch.column(at));
    let arrays: Vec<Option<&ArrayRef>> = (0..input.schema.len()).map(column).collect();
    // Identities of keys depend on their type.
    let plain = |&c: &usize| column(c).map(|array| unpacked(array, input.schema.data_type(c)));
    let keys: Vec<ArrayRef> = input
        .schema
        .key()
        .iter()
        .filter_map(plain)
        .collect::<Result<_, _>>()
        .map_err(Error::arrow(input.current_path()))?;
    let keys: Vec<&ArrayRef> = keys.iter().collect();
    let normalised = input.normalised_keys(&keys)?;
    let key_refs: Vec<&ArrayRef> = normalised.iter().collect();
    let ids = LazyCell::new(|| {
        if keyless {
            facts::whole_row_ids(&arrays, batch.num_rows(), scan)
        } else {
            canon::key_ids(&key_refs, scan.seed)
        }
    });
    let nulls = canon::null_keys(&key_refs);
    let mut found = Group::new(batch.num_rows());
    found.null_keys = nulls.iter().map(|&row| locator(group, row)).collect();
    // Identities of such keys are dearer than looking them up.
    let is_plain = sorted.is_some() && rises(&key_refs) == Some(true);
    let rising = if is_plain { integers(&key_refs) } else { None };
    match (sorted, rising) {
        (Some(sorted), Some(keys)) => {
            sorted.look_up(&mut found, group, keys.iter().copied(), knows_all);
        }
        (Some(sorted), None) if nulls.is_empty() && rises_by_id(&ids) => {
            sorted.look_up(&mut found, group, ids.iter().map(|&id| id as i64), knows_all);
        }
        _ => look_up(&mut found, histories, group, &ids, &nulls, knows_all),
    }
    let recorded = input.recorded_of(group)?;
    if let Some(recorded) = &recorded {
        found.set_outside(group, recorded);
    }
    if scan.verify {
        let hashes = found.hash(input, group, scan)?;
        if let Some(lanes) = &histories.summed_lanes {
            let known =
                |row| nulls.binary_search(&row).is_err() && opening::is_recorded(recorded.as_ref(), row);
            found.sum_unmentioned(&ids, known, lanes, &hashes);
        }
    }
    if !keyless {
        found.order(input, &keys)?;
    }
    Ok(found)
}

/// The keys that have a history, in their own order: rows sorted by key meet them one after
/// the other, without a cache miss each.
enum SortedKeys {
    /// Of keys that lie close together: the slot of each from the first on, or [`NO_SLOT`].
    Close(i64, Vec<AtomicU32>),
    /// Key and slot.
    Apart(Vec<(i64, u32)>),
}

/// No slot has this number.
const NO_SLOT: u32 = u32::MAX;
/// A key is close to the others if there is one in so many numbers.
const CLOSE: u128 = 8;

impl SortedKeys {
    /// `None` if identities of this table's keys have no order.
    fn new(input: &DatasetInput, histories: &Histories) -> Option<Self> {
        let [column] = input.schema.key() else { return None };
        let is_ordered = canon::is_ordered_id(input.schema.data_type(*column));
        if !is_ordered || input.normalise.iter().any(|how| !how.is_empty()) {
            return None;
        }
        let shards = || histories.shards.par_iter().zip(&histories.bases);
        let bounds = |of| numbered(of).fold(None, |range, (key, _)| wider(range, Some((key, key))));
        let (least, most) = shards().map(bounds).reduce(|| None, wider)?;
        let numbers = (i128::from(most) - i128::from(least)) as u128 + 1;
        // Where keys are gone through in passes, few of all slots have theirs here.
        let held: usize = histories.shards.iter().map(Shard::keys).sum();
        if numbers > CLOSE * held as u128 {
            let mut keys: Vec<(i64, u32)> = shards().flat_map_iter(numbered).collect();
            keys.par_sort_unstable();
            return Some(Self::Apart(keys));
        }
        let slots: Vec<AtomicU32> =
            (0..numbers as usize).into_par_iter().map(|_| AtomicU32::new(NO_SLOT)).collect();
        shards().flat_map_iter(numbered).for_each(|(key, slot)| {
            slots[key.wrapping_sub(least) as usize].store(slot, Ordering::Relaxed);
        });
        Some(Self::Close(least, slots))
    }

    /// As [`look_up`], for rising keys without nulls.
    fn look_up(
        &self,
        found: &mut Group,
        group: usize,
        keys: impl Iterator<Item = i64> + Clone,
        keep_unmentioned: bool,
    ) {
        match self {
            Self::Close(least, slots) => {
                let slot = |key: i64| {
                    let place = usize::try_from(key.checked_sub(*least)?).ok()?;
                    slots.get(place).map(|slot| slot.load(Ordering::Relaxed)).filter(|&slot| slot != NO_SLOT)
                };
                found.set_slots(group, keys.map(slot), keep_unmentioned);
            }
            Self::Apart(known) => {
                let first = keys.clone().next().unwrap_or(i64::MIN);
                let mut known = known[known.partition_point(|&(key, _)| key < first)..].iter().peekable();
                let slot = |key: i64| {
                    while known.next_if(|(known, _)| *known < key).is_some() {}
                    known.peek().filter(|(known, _)| *known == key).map(|&&(_, slot)| slot)
                };
                found.set_slots(group, keys.map(slot), keep_unmentioned);
            }
        }
    }
}

/// The keys of a shard, with their slots from this one on.
fn numbered((shard, &base): (&Shard, &u32)) -> impl Iterator<Item = (i64, u32)> {
    let starts = &shard.starts[..shard.keys()];
    starts.iter().map(|&start| shard.facts.key[start as usize] as i64).zip(base..)
}

/// The smallest and largest of both.
fn wider(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

/// Whether the keys in the low halves of identities rise from row to row.
fn rises_by_id(ids: &[u128]) -> bool {
    ids.windows(2).all(|pair| (pair[0] as i64) < pair[1] as i64)
}

fn look_up(
    found: &mut Group,
    histories: &Histories,
    group: usize,
    ids: &[u128],
    nulls: &[usize],
    keep_unmentioned: bool,
) {
    let mut nulls = nulls.iter().peekable();
    for (row, &id) in ids.iter().enumerate() {
        if nulls.next_if(|&&null| null == row).is_some() {
            continue;
        }
        let shard = shard_of(id, histories.shards.len());
        let found_key = if histories.sieve.may_hold(id) { histories.shards[shard].find(id) } else { None };
        match found_key {
            Some(key) => found.found.push((histories.bases[shard] + key as u32, row as u32)),
            None => {
                found.unmentioned_count += 1;
                if keep_unmentioned {
                    found.unmentioned.push(locator(group, row));
                }
            }
        }
    }
}

impl Group {
    fn new(rows: usize) -> Self {
        Self {
            found: Vec::new(),
            hashes: Vec::new(),
            outside: Vec::new(),
            null_keys: Vec::new(),
            unmentioned: Vec::new(),
            unmentioned_count: 0,
            sorted: true,
            first: None,
            last: None,
            rows,
            sums: Sums::default(),
        }
    }

    /// Takes in the slot of each row, where its key has one.
    fn set_slots(&mut self, group: usize, slots: impl Iterator<Item = Option<u32>>, keep_unmentioned: bool) {
        for (row, slot) in slots.enumerate() {
            match slot {
                Some(slot) => self.found.push((slot, row as u32)),
                None => {
                    self.unmentioned_count += 1;
                    if keep_unmentioned {
                        self.unmentioned.push(locator(group, row));
                    }
                }
            }
        }
    }

    /// Sums up the rows without a history, by their hashes per lane.
    fn sum_unmentioned(
        &mut self,
        ids: &[u128],
        known: impl Fn(usize) -> bool,
        lanes: &[usize],
        hashes: &[Vec<u64>],
    ) {
        self.sums = Sums::new();
        let mut found = self.found.iter().map(|f| f.1 as usize).peekable();
        for (row, &id) in ids.iter().enumerate() {
            let mentioned = found.next_if_eq(&row).is_some();
            if !mentioned && known(row) {
                self.sums.add(id, opening::row_hash(lanes, |lane| hashes[lane][row]));
            }
        }
    }

    fn hash(&mut self, input: &DatasetInput, group: usize, scan: ScanOptions<'_>) -> Result<Vec<Vec<u64>>> {
        let lanes = scan.lanes.count();
        let mut sums = vec![vec![0; self.rows]; lanes];
        let hashed = |&column: &usize| scan.lanes.of_column(column).is_some();
        let columns: Vec<usize> = (0..input.schema.len()).filter(hashed).collect();
        input.current_parts(group, &columns, &mut |column, from, array| {
            if let Some(lane) = scan.lanes.of_column(column) {
                facts::add_column(array, column, scan, &mut sums[lane][from..from + array.len()]);
            }
        })?;
        self.hashes.reserve_exact(self.found.len() * lanes);
        for &(_, row) in &self.found {
            self.hashes.extend(sums.iter().map(|sums| sums[row as usize]));
        }
        Ok(sums)
    }

    /// Keeps apart the rows that the ledger was not recorded of: it says nothing of them.
    fn set_outside(&mut self, group: usize, recorded: &BooleanArray) {
        let inside = |row: usize| recorded.is_valid(row) && recorded.value(row);
        let outside = self.found.iter().filter(|(_, row)| !inside(*row as usize));
        self.outside = outside.map(|&(slot, _)| slot).collect();
        debug_assert!(self.unmentioned.iter().all(|&row| place(row).0 == group), "rows of this group");
        self.unmentioned.retain(|&row| inside(place(row).1));
        let mentioned: Vec<usize> = self.found.iter().map(|&(_, row)| row as usize).collect();
        let all_inside = (0..self.rows).filter(|&row| inside(row)).count();
        let mentioned_inside = mentioned.into_iter().filter(|&row| inside(row)).count();
        let nulls = self.null_keys.iter().filter(|&&row| inside(place(row).1)).count();
        self.unmentioned_count = (all_inside - mentioned_inside - nulls) as u64;
    }

    /// Whether the group is sorted by key, and its first and last keys.
    fn order(&mut self, input: &DatasetInput, keys: &[&ArrayRef]) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let converter = key_order(input)?;
        let convert = |from: usize, count: usize| {
            let columns: Vec<ArrayRef> = keys.iter().map(|k| k.slice(from, count)).collect();
            converter.convert_columns(&columns).map_err(Error::arrow(input.current_path()))
        };
        self.sorted = match rises(keys) {
            Some(rises) => rises,
            None => {
                let rows = convert(0, self.rows)?;
                (1..rows.num_rows()).all(|row| rows.row(row - 1) < rows.row(row))
            }
        };
        self.first = Some(convert(0, 1)?.row(0).owned());
        self.last = Some(convert(self.rows - 1, 1)?.row(0).owned());
        Ok(())
    }
}

/// Whether a key of one 64-bit integer column rises from row to row; `None` for any other key.
fn rises(keys: &[&ArrayRef]) -> Option<bool> {
    integers(keys).map(|values| values.windows(2).all(|pair| pair[0] < pair[1]))
}

/// The values of a key of one 64-bit integer column without nulls.
pub(super) fn integers<'a>(keys: &[&'a ArrayRef]) -> Option<&'a [i64]> {
    let [key] = keys else { return None };
    let key = key.as_primitive_opt::<Int64Type>().filter(|key| key.null_count() == 0)?;
    Some(key.values())
}
