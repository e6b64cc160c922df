//! First pass: the ledgers become an order, and facts sorted into shards.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use rayon::prelude::*;

use super::image_hashes::ImageHashes;
use super::in_order;
use super::inputs::{DatasetInput, SourceInput};
use super::passes::Passes;
use super::prefix::Prefix;
use super::progress::Progress;
use crate::error::{Error, Result};
use crate::ledger::order::{NotInOrder, Order, OrderBuilder, OrderRules};
use crate::ledger::store::ChangeStore;
use crate::ledger::want::Want;
use crate::model::canon::{self, Seed};
use crate::model::rank::Ranks;
use crate::model::{ChangeBatch, DiscrepancyKind};
use crate::plan::Bound;
use crate::read;
use crate::replay::facts::{self, Facts, ScanOptions, shard_of};
use crate::replay::shard::{Shard, Sieve};

/// Facts per shard aimed at: a shard's sort should stay in the cache.
const FACTS_PER_SHARD: usize = 1 << 16;
const SHARDS_MAX: usize = 256;
/// Changes whose marks are read at a time: they should stay in the cache.
const ORDER_ROWS: usize = 1 << 14;

/// A position seen twice, after the values were compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Repeated {
    /// Index of the change that stands.
    pub first: u32,
    /// Index of the dropped one.
    pub again: u32,
    /// Redelivery or conflict.
    pub kind: DiscrepancyKind,
}

/// The order of a source, with what had to be dropped per dataset.
pub(super) struct Ordered {
    pub order: Order,
    pub repeats: Vec<Vec<Repeated>>,
    /// Whether changes that stay in force at every moment asked for were gone past unordered.
    pub abridged: bool,
}

/// Finds the order of a source and drops repeated changes from it.
///
/// Changes that stay in force at all of `bounds` are gone past where nothing else depends on them;
/// no bounds: all are ordered.
pub(super) fn order(source: &SourceInput, datasets: &[DatasetInput], bounds: &[&Bound]) -> Result<Ordered> {
    let members: Vec<&DatasetInput> = source.datasets.iter().map(|&d| &datasets[d]).collect();
    let prefix = if let [one] = members.as_slice() { Prefix::find(one, bounds) } else { Prefix::default() };
    let mut abridged = prefix.segments > 0;
    let mut order = match members.as_slice() {
        [one] => match as_read(source, &one.store, prefix)? {
            Some(order) => order,
            None => {
                abridged = false;
                sorted(source, &members)?
            }
        },
        _ => sorted(source, &members)?,
    };
    let mut repeats = vec![Vec::new(); members.len()];
    for repeat in std::mem::take(&mut order.repeats) {
        let number = usize::from(repeat.dataset);
        if let Some(kind) = compare_repeat(source, members[number], repeat.first, repeat.again)? {
            order.drop_change(repeat.dataset, repeat.again);
            repeats[number].push(Repeated { first: repeat.first, again: repeat.again, kind });
        }
    }
    Ok(Ordered { order, repeats, abridged })
}

fn as_read(source: &SourceInput, store: &ChangeStore, prefix: Prefix) -> Result<Option<Order>> {
    let mut builder = OrderBuilder::in_order(source.rules);
    if prefix.segments > 0 {
        builder.skip(store.first(prefix.segments), prefix.transactions);
    }
    let is_in_order = AtomicBool::new(true);
    let goes_on = || is_in_order.load(Ordering::Relaxed);
    in_order::in_order(
        (prefix.segments..store.segments()).take_while(|_| goes_on()).map(Ok),
        |&segment| order_of_segment(source.rules, store, segment),
        |_, part| {
            if goes_on() && part?.and_then(|part| builder.join(part)).is_err() {
                is_in_order.store(false, Ordering::Relaxed);
            }
            Ok(())
        },
    )?;
    Ok(goes_on().then(|| builder.finish()))
}

/// The order of one segment alone, unless it needs sorting.
fn order_of_segment(
    rules: OrderRules,
    store: &ChangeStore,
    segment: usize,
) -> Result<Result<OrderBuilder, NotInOrder>> {
    let mut part = Ok(OrderBuilder::in_order(rules));
    store.read_parts(segment, Want::ORDER, ORDER_ROWS, &mut |_, batch| {
        if let Ok(builder) = &mut part
            && let Err(unsorted) = builder.push(0, &batch, transaction_ids(&batch).as_deref())
        {
            part = Err(unsorted);
        }
        Ok(())
    })?;
    Ok(part)
}

fn sorted(source: &SourceInput, members: &[&DatasetInput]) -> Result<Order> {
    let mut builder = OrderBuilder::sorting(source.rules, members.len());
    for (number, member) in members.iter().enumerate() {
        for segment in 0..member.store.segments() {
            let batch = member.store.read(segment, Want::ORDER, None)?;
            let ids = transaction_ids(&batch);
            if builder.push(number, &batch, ids.as_deref()).is_err() {
                debug_assert!(false, "a sorting builder takes every batch");
            }
        }
    }
    Ok(builder.finish())
}

/// Transaction ids as numbers: integers as they are, others hashed with a fixed seed, as ids only
/// meet ids of the same source.
fn transaction_ids(batch: &ChangeBatch) -> Option<Vec<u64>> {
    let ids = batch.transaction.as_ref()?;
    if ids.data_type().is_integer() {
        if let (Some(values), 0) = (ids.as_primitive_opt::<Int64Type>(), ids.null_count()) {
            return Some(values.values().iter().map(|&id| integer_transaction(i128::from(id))).collect());
        }
        let wide = arrow::compute::cast(ids, &DataType::Decimal128(20, 0)).ok()?;
        let values = wide.as_primitive::<Decimal128Type>();
        let number = |row| if ids.is_null(row) { 0 } else { integer_transaction(values.value(row)) };
        return Some((0..ids.len()).map(number).collect());
    }
    let mut hashes = vec![0; ids.len()];
    canon::add_cell_hashes(ids.as_ref(), transaction_seed(), &mut hashes);
    (0..hashes.len()).filter(|&row| ids.is_null(row)).for_each(|row| hashes[row] = 0);
    Some(hashes)
}

/// An integer transaction id as a number other than 0, which is kept for records without an id.
pub(super) fn integer_transaction(id: i128) -> u64 {
    match (id as u64).wrapping_add(1) {
        // Of −1; the place of the largest signed id, which no source gives out.
        0 => 1 << 63,
        number => number,
    }
}

/// The seed of transaction ids, for those who look one up.
pub(super) fn transaction_seed() -> u64 {
    Seed::fixed(0).column(0)
}

/// What a repeat is, by its values; `None` if it is another change of the same source record.
fn compare_repeat(
    source: &SourceInput,
    member: &DatasetInput,
    first: u32,
    again: u32,
) -> Result<Option<DiscrepancyKind>> {
    use crate::ledger::order::Identity;
    // Such a position identifies a change only together with the key that the table does not have.
    if source.rules.identity == Identity::PositionOpKey && member.schema.is_keyless() {
        return Ok(None);
    }
    let read = |index| {
        let (segment, row) = member.store.locate(index);
        member.store.read(segment, Want::IMAGES, Some(&[row]))
    };
    let (a, b) = (read(first)?, read(again)?);
    let key_equal = || {
        let key = member.schema.key().iter();
        key.copied().all(|c| cell_equal(&a, &b, c, Side::Before) && cell_equal(&a, &b, c, Side::After))
    };
    if source.rules.identity == Identity::PositionOpKey && (a.ops != b.ops || !key_equal()) {
        return Ok(None);
    }
    let whole = (0..member.schema.len())
        .all(|c| cell_equal(&a, &b, c, Side::Before) && cell_equal(&a, &b, c, Side::After));
    let same = a.ops == b.ops && whole;
    Ok(Some(if same { DiscrepancyKind::DuplicateChange } else { DiscrepancyKind::ConflictingDuplicate }))
}

#[derive(Clone, Copy)]
enum Side {
    Before,
    After,
}

/// Whether two single-row batches agree in one cell: presence, state and value.
fn cell_equal(a: &ChangeBatch, b: &ChangeBatch, column: usize, side: Side) -> bool {
    let (a, b) = match side {
        Side::Before => (&a.before, &b.before),
        Side::After => (&a.after, &b.after),
    };
    if a.is_present(0) != b.is_present(0) || a.state(column, 0) != b.state(column, 0) {
        return false;
    }
    match (a.column(column), b.column(column)) {
        (Some(x), Some(y)) if a.is_present(0) => canon::cells_equal(x.as_ref(), 0, y.as_ref(), 0),
        _ => true,
    }
}

/// The facts of one dataset, sharded.
#[derive(Debug, Default)]
pub(super) struct Histories {
    pub shards: Vec<Shard>,
    /// Which keys have a history at all.
    pub sieve: Sieve,
    /// First slot of each shard, and one past the last slot.
    pub bases: Vec<u32>,
    /// Ranks of truncates, rising.
    pub truncates: Vec<u32>,
    /// Indices of the truncates.
    pub truncate_indices: Vec<u32>,
    /// Key changes by index.
    pub moves: Vec<(u32, u128, u128)>,
    /// Indices of changes whose key is null.
    pub null_keys: Vec<u32>,
    /// Whether some update, upsert or delete has no before image.
    pub lacks_before: bool,
    /// Per lane of one column whose nulls may stand for other values: the hash of such a null.
    pub null_lanes: Vec<Option<u64>>,
    /// The lanes in which rows without a history are summed up, for comparison with an opening.
    pub summed_lanes: Option<Vec<usize>>,
    /// The shards that are held; others are empty.
    pub held: Range<usize>,
    /// Where memory is limited: how all shards are gone through, some at a time. None is held otherwise.
    pub passes: Option<Passes>,
}

impl Histories {
    /// How many keys have a history.
    pub(super) fn slots(&self) -> usize {
        self.bases.last().copied().unwrap_or(0) as usize
    }

    /// The slot of a key that has a history.
    pub(super) fn find(&self, key: u128) -> Option<u32> {
        let shard = shard_of(key, self.shards.len());
        self.shards[shard].find(key).map(|number| self.bases[shard] + number as u32)
    }

    /// Numbers the keys of all shards.
    pub(super) fn number_slots(&mut self) -> Result<()> {
        self.sieve = Sieve::new(&self.shards);
        self.bases.clear();
        let mut base: u64 = 0;
        for shard in &self.shards {
            self.bases.push(base as u32);
            base += shard.keys() as u64;
        }
        let limit = u64::from(u32::MAX) - 1;
        if base > limit {
            return Err(Error::Limit { what: "changed keys of one dataset", found: base, limit });
        }
        self.bases.push(base as u32);
        Ok(())
    }

    /// Whether no change concerns rows of more than one key.
    pub(super) fn has_rows_alone(&self) -> bool {
        self.truncate_indices.is_empty() && self.moves.is_empty()
    }

    /// Takes in what became no fact; facts go to those of their shards.
    fn take_in(&mut self, scanned: facts::Scanned, parts: &mut [Vec<Facts>]) {
        self.moves.extend(scanned.moves);
        self.null_keys.extend(scanned.null_keys);
        self.lacks_before |= scanned.lacks_before;
        self.truncate_indices.extend(scanned.truncates);
        for (part, facts) in parts.iter_mut().zip(scanned.shards).filter(|(_, facts)| !facts.is_empty()) {
            part.push(facts);
        }
    }

    /// Adds facts of keys that have a history, from changes before those of it, and what became no fact.
    pub(super) fn add(&mut self, scanned: Vec<Result<facts::Scanned>>, lanes: usize) -> Result<()> {
        let mut parts: Vec<Vec<Facts>> = self.shards.iter().map(|_| Vec::new()).collect();
        for part in scanned {
            self.take_in(part?, &mut parts);
        }
        let joined = |(shard, mut parts): (&mut Shard, Vec<Facts>)| {
            if !parts.is_empty() {
                parts.push(std::mem::take(&mut shard.facts));
                *shard = Shard::new(&Facts::joined(lanes, parts), &Ranks::AsRead);
            }
        };
        self.shards.par_iter_mut().zip(parts).with_max_len(1).for_each(joined);
        self.number_slots()
    }

    /// Whether every cell of a snapshot can be selected from these changes alone: each
    /// has its before image, and no truncate asks for what stood before.
    pub(super) fn is_enough_without_the_past(&self) -> bool {
        self.truncate_indices.is_empty() && !self.lacks_before
    }

    /// Lets go of all shards, whose numbers of keys are these.
    pub(super) fn release(&mut self, keys: &[usize]) {
        (self.sieve, self.held) = (Sieve::default(), 0..0);
        self.shards = keys.iter().map(|_| Shard::default()).collect();
        self.bases.clear();
        let mut base = 0;
        for keys in keys {
            self.bases.push(base);
            base += *keys as u32;
        }
        self.bases.push(base);
    }

    /// The shard and the number in it of a slot.
    pub(super) fn of_slot(&self, slot: u32) -> (usize, usize) {
        let shard = self.bases.partition_point(|&base| base <= slot) - 1;
        (shard, (slot - self.bases[shard]) as usize)
    }
}

/// What a scan of facts looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct FactOptions {
    pub seed: Seed,
    pub verify: bool,
    /// Only changes of this rank and above become facts.
    pub from_rank: u32,
}

/// Scans a dataset's ledger into sorted histories.
pub(super) fn histories(
    input: &DatasetInput,
    ranks: &Ranks,
    options: FactOptions,
    progress: &dyn Progress,
) -> Result<Histories> {
    histories_of(input, (ranks, 0..shards_of(input)), options, progress)
}

/// Into how many shards the facts of a dataset fall.
pub(super) fn shards_of(input: &DatasetInput) -> usize {
    shard_count(input.store.len() as usize)
}

/// Scans a dataset's ledger into the histories of some shards.
pub(super) fn histories_of(
    input: &DatasetInput,
    (ranks, kept): (&Ranks, Range<usize>),
    options: FactOptions,
    progress: &dyn Progress,
) -> Result<Histories> {
    let scan = ScanOptions {
        schema: &input.schema,
        lanes: &input.lanes,
        seed: options.seed,
        verify: options.verify && !input.schema.is_keyless(),
    };
    let store = &input.store;
    let shards = shards_of(input);
    let keep = |index| ranks.of(index) >= options.from_rank;
    let scanned: Vec<Result<facts::Scanned>> = (0..store.segments())
        .into_par_iter()
        .with_max_len(1)
        .map(|segment| {
            let (first, next) = (store.first(segment), store.first(segment + 1));
            if matches!(ranks, Ranks::AsRead) && next <= options.from_rank {
                return Ok(facts::Scanned::default());
            }
            let mut scanned = facts::Scanned::with_room((next - first) as usize, shards, kept.clone(), scan);
            let hashes = if scan.verify { ImageHashes::of(input, segment, scan)? } else { None };
            input.scan_parts(segment, scan.verify && hashes.is_none(), &mut |from, mut batch| {
                let hashed = hashes.as_ref().map(|hashes| {
                    hashes.mark(&mut batch, from);
                    hashes.rows(from..from + batch.len())
                });
                facts::scan_into(&mut scanned, (&batch, hashed), first + from as u32, scan, keep);
            })?;
            progress.advance(u64::from(next - first));
            Ok(scanned)
        })
        .collect();
    release_buffers();
    let mut histories = collect(scanned, shards, input.lanes.count(), ranks)?;
    histories.held = kept;
    let null = |lane| input.lanes.ambiguous_alone(lane).map(|c| canon::hash_null(options.seed.column(c)));
    histories.null_lanes = (0..input.lanes.count()).map(null).collect();
    Ok(histories)
}

/// Gives back what all threads keep for reading, before memory is wanted for something else.
pub(super) fn release_buffers() {
    rayon::broadcast(|_| read::release_buffers());
}

fn shard_count(facts: usize) -> usize {
    (facts / FACTS_PER_SHARD).next_power_of_two().clamp(1, SHARDS_MAX)
}

pub(super) fn collect(
    scanned: Vec<Result<facts::Scanned>>,
    shards: usize,
    lanes: usize,
    ranks: &Ranks,
) -> Result<Histories> {
    let mut histories = Histories { held: 0..shards, ..Histories::default() };
    let mut parts: Vec<Vec<Facts>> = (0..shards).map(|_| Vec::new()).collect();
    for part in scanned {
        histories.take_in(part?, &mut parts);
    }
    histories.truncates = histories.truncate_indices.iter().map(|&i| ranks.of(i)).collect();
    histories.truncates.retain(|&rank| rank != crate::model::rank::DROPPED);
    histories.truncates.sort_unstable();
    histories.moves.sort_unstable();
    histories.shards = parts
        .into_par_iter()
        .with_max_len(1)
        .map(|parts| Shard::new(&Facts::joined(lanes, parts), ranks))
        .collect();
    histories.number_slots()?;
    Ok(histories)
}
