//! The opening: a trusted earlier snapshot, as evidence of state at its moment.
//!
//! Its rows are numbered behind the changes and become reads in the histories of
//! their keys, so the kernel infers from them and compares them as it does with
//! every other image. Rows that the ledger never mentions need no history: they
//! must be the current ones. Of those only sums of hashes by bucket are kept, on
//! both sides, and rows are looked at one by one where two sums differ. After a
//! truncate every row of the opening gets a history, as any may have been ended.
//!
//! An opening is evidence only if the ledger goes on where it stops. Where it
//! does not by declaration, the opening is not used, and a finding says so; where
//! nothing is declared, that it does is an assumption that every output names.

use std::collections::BTreeMap;
use std::fmt;

use arrow::array::{Array, BooleanArray, RecordBatch};
use rayon::prelude::*;

use super::effects;
use super::evidence::{self, Evidence};
use super::findings::{Findings, Found};
use super::inputs::{DatasetInput, SourceInput};
use super::scan::Histories;
use super::scope;
use super::standing::locator;
use super::window::{self, Window};
use crate::error::Result;
use crate::ledger::TableReads;
use crate::ledger::order::Order;
use crate::ledger::want::Want;
use crate::model::{
    Amount, CellDifference, CellState, ChangeBatch, Discrepancy, DiscrepancyKind as Kind, NO_TIME, canon,
    time,
};
use crate::read::Spool;
use crate::replay::facts::{self, Facts, ScanOptions};
use crate::replay::history::Opening;
use crate::replay::select::Source;

/// Opens the opening of a dataset, if the plan names one, and numbers its rows behind the changes.
pub(super) fn open(input: &mut DatasetInput, ledger_files: usize, spool: &Spool) -> Result<()> {
    let Some(opening) = input.plan.opening.as_ref().filter(|_| !input.schema.is_keyless()) else {
        return Ok(());
    };
    let mut reads = TableReads::open(&opening.source, &input.plan.name, &input.schema, spool)?;
    reads.place(opening.as_of.bound.last_nanosecond().unwrap_or(NO_TIME), ledger_files);
    let values = |c: &usize| !input.schema.is_key(*c);
    let uncovered: Vec<usize> =
        (0..input.schema.len()).filter(values).filter(|&c| !input.lanes.is_covered(c)).collect();
    if uncovered.len() < (0..input.schema.len()).filter(values).count() {
        // The ledger follows other columns and not these: they may change without a record, so their
        // past says nothing of them.
        reads.hide(uncovered.into_iter());
    } else {
        // It states no values at all, but which rows changed. Of all others the opening says the rest.
        uncovered.into_iter().filter(|&c| reads.states(c)).for_each(|c| input.lanes.cover(c));
    }
    input.lanes.split(&reads.missing());
    reads.misfits().iter().for_each(|&column| input.lanes.split(&[column]));
    input.discrepancies.extend(reads.discrepancies().iter().cloned());
    input.store.attach(reads)
}

/// Names of records, where rows of an opening are among them.
impl DatasetInput {
    /// A short name of the record with this index, as verdicts give it.
    pub(super) fn record_name(&self, index: u32) -> RecordName {
        match index.checked_sub(self.store.len()) {
            Some(row) => RecordName("opening row", u64::from(row) + 1),
            None => RecordName("change", u64::from(index) + 1),
        }
    }

    /// The image or row that supplies a cell, by a short name; `None` if nothing does.
    pub(super) fn source_name(&self, source: Source) -> Option<String> {
        match source {
            Source::Before(index) => Some(format!("{} before", self.record_name(index))),
            Source::After(index) if index >= self.store.len() => Some(self.record_name(index).to_string()),
            Source::After(index) => Some(format!("{} after", self.record_name(index))),
            Source::Current(_) => Some("current".to_owned()),
            Source::Nothing => None,
        }
    }

    /// The file with this number among those of the ledger and, behind them, of the opening.
    pub(super) fn ledger_file(&self, source: &SourceInput, number: u32) -> String {
        let opening = self.store.opening().map_or(&[][..], |o| o.files());
        let file = source.files.iter().chain(opening).nth(number as usize);
        file.map_or_else(String::new, |f| f.path.display().to_string())
    }
}

/// What a record is called in evidence: its kind and its number, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordName(&'static str, u64);

impl RecordName {
    /// Prints it; there are as many of them as touched keys.
    pub(super) fn write(self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str(self.0)?;
        out.write_str(" ")?;
        out.write_str(itoa::Buffer::new().format(self.1))
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(out)
    }
}

/// Where an opening lies in its source's order, and whether it can be used.
#[derive(Debug, Clone, Default)]
pub(super) struct Placed {
    /// The opening, if it is used.
    pub opening: Option<Opening>,
    /// Why not, or on what assumption.
    pub remark: Option<String>,
    pub found: Vec<Discrepancy>,
}

/// Finds where the opening of a dataset lies. What using it assumes goes to the window, which then
/// begins at the opening.
pub(super) fn place(
    input: &DatasetInput,
    source: &SourceInput,
    order: &Order,
    window: &mut Window,
) -> Result<Placed> {
    let Some(plan) = &input.plan.opening else { return Ok(Placed::default()) };
    let cut = window::cut(source, order, &plan.as_of.bound, &input.plan.name)?;
    let mut placed = Placed::default();
    let mut note = |kind, message: String| {
        placed.found.push(input.discrepancy(kind, message.clone()));
        placed.remark = Some(message);
    };
    if let Some(reason) = unusable(input, window, (source, order))? {
        let message = format!("the opening of {} is not used: {reason}", plan.as_of.resolved);
        window.assumptions.push(format!("{}: {message}", input.plan.name));
        note(Kind::CoverageAssumed, message);
        return Ok(placed);
    }
    if let (Some(at), Some(first), false) = (plan.as_of.bound.last_nanosecond(), window.from, window.declared)
        && at < first
    {
        let message = format!(
            "assumed that nothing changed between the opening of {} and the ledger's first provable moment ({}): \
             declare `ledger.complete_from`",
            plan.as_of.resolved,
            time::format_instant(first)
        );
        window.begin_at(at, &input.plan.name);
        note(Kind::CoverageAssumed, message);
    }
    if !cut.ambiguous.is_empty() {
        let message = format!(
            "the opening's moment ({}) has {} transactions on both sides of the {} clock: rows that they changed may \
             differ from it",
            plan.as_of.resolved,
            cut.ambiguous.len(),
            source.clock.name()
        );
        note(Kind::AmbiguousCut, message);
    }
    placed.opening = Some(Opening { first: input.store.len(), rank: cut.rank });
    Ok(placed)
}

/// Why an opening is no evidence, if it is none.
fn unusable(
    input: &DatasetInput,
    window: &Window,
    (source, order): (&SourceInput, &Order),
) -> Result<Option<String>> {
    let Some(plan) = &input.plan.opening else { return Ok(None) };
    if input.schema.is_keyless() {
        return Ok(Some("rows of a dataset without a key cannot be matched with it".to_owned()));
    }
    let bound = &plan.as_of.bound;
    let before_reads = window.nearest.filter(|_| !window.declared);
    let behind_reads = |reads: i64| bound.last_nanosecond().is_none_or(|at| at >= reads);
    if let Some(reads) = before_reads.filter(|&reads| !behind_reads(reads)) {
        let reads = time::format_instant(reads);
        return Ok(Some(format!("the ledger begins later, with initial reads up to {reads}")));
    }
    if let (Some((why, _)), true) = (window.refusal(bound), window.declared) {
        return Ok(Some(format!("{why}, and changes in between are not known")));
    }
    let Some(at) = &input.plan.current.at else { return Ok(None) };
    let later = match (bound.last_nanosecond(), at.last_nanosecond()) {
        (Some(opening), Some(extract)) => opening > extract,
        _ => {
            let rank = |bound| window::cut(source, order, bound, &input.plan.name).map(|c| c.rank);
            rank(bound)? > rank(at)?
        }
    };
    Ok(later.then(|| format!("the current state was read before it, at {}", at.to_when())))
}

/// What the opening added to the histories, and what it says of keys without one.
#[derive(Debug, Default)]
pub(super) struct Added {
    /// Rows with a null in the key, by index.
    pub null_keys: Vec<u32>,
    /// Per key that several rows of the opening have: the second of them.
    pub repeated: Vec<u32>,
    /// Of rows without a history: sums of their hashes by bucket; empty unless verifying.
    sums: Sums,
}

/// Sums of hashes of rows, by bucket of keys. Equal sets of rows have equal sums.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sums(Vec<u64>);

const BUCKETS: usize = 1 << 12;

impl Sums {
    pub(super) fn new() -> Self {
        Self(vec![0; BUCKETS])
    }

    /// Adds a row by its key identity and the hash of its cells.
    pub(super) fn add(&mut self, key: u128, row: u64) {
        let sum = &mut self.0[bucket(key)];
        *sum = sum.wrapping_add(mixed(mixed_key(key) ^ row));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.0.resize(BUCKETS, 0);
        self.0.iter_mut().zip(&other.0).for_each(|(sum, more)| *sum = sum.wrapping_add(*more));
    }

    fn differ(&self, other: &Self, key: u128) -> bool {
        let at = |sums: &Self| sums.0.get(bucket(key)).copied().unwrap_or(0);
        at(self) != at(other)
    }
}

fn bucket(key: u128) -> usize {
    mixed_key(key) as usize % BUCKETS
}

fn mixed_key(key: u128) -> u64 {
    mixed(key as u64 ^ mixed((key >> 64) as u64))
}

/// Sums of the results are as good as the mixing: no row may cancel out another.
fn mixed(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// Lanes that the opening states in every row.
pub(super) fn stated_lanes(input: &DatasetInput) -> Vec<usize> {
    let Some(reads) = input.store.opening() else { return Vec::new() };
    let unstated: Vec<usize> = reads.missing().into_iter().chain(reads.misfits().iter().copied()).collect();
    let stated = |lane: &usize| !input.lanes.columns(*lane).any(|column| unstated.contains(&column));
    (0..input.lanes.count()).filter(stated).collect()
}

/// The hash of a lane that is stated in every row.
fn stated(rows: &Facts, row: usize, lane: usize) -> u64 {
    let hash = rows.hash_after(row, lane);
    debug_assert!(hash.is_some(), "stated lanes are known in every row");
    hash.unwrap_or_default()
}

/// Facts of the opening's rows in a group, within the dataset's scope.
fn scan_group(
    input: &DatasetInput,
    segment: usize,
    shards: usize,
    scan: ScanOptions<'_>,
) -> Result<facts::Scanned> {
    let mut batch = input.read_for_scan(segment, scan.verify)?;
    for filter in input.filters() {
        let whole = input.store.read(segment, Want::IMAGES, None)?;
        let inside = scope::inside(&whole.after, filter, &input.schema, whole.len())?;
        batch.after.present = Some(match &batch.after.present {
            Some(present) => present & &inside,
            None => inside,
        });
    }
    Ok(facts::scan(&batch, input.store.first(segment), shards, scan, |_| true))
}

/// Facts by shard, rows without a key, and sums of one segment of an opening.
type Part = (Vec<Facts>, Vec<u32>, Sums);

/// Adds the opening's rows to the histories of their keys.
pub(super) fn add(
    input: &DatasetInput,
    histories: &mut Histories,
    opening: Opening,
    scan: ScanOptions<'_>,
) -> Result<Added> {
    let shards = histories.shards.len();
    let lanes = stated_lanes(input);
    // A truncate names no key, so any row that stood may be one of those it ended.
    let all = histories.truncates.iter().any(|&rank| rank >= opening.rank);
    let parts: Vec<Result<Part>> = input
        .store
        .opening_segments()
        .into_par_iter()
        .map(|segment| {
            let scanned = scan_group(input, segment, shards, scan)?;
            let mut sums = if scan.verify { Sums::new() } else { Sums::default() };
            let mut kept = Vec::with_capacity(shards);
            for (shard, facts) in scanned.shards.iter().enumerate() {
                let mut order = Vec::new();
                for fact in 0..facts.len() {
                    if all || histories.shards[shard].find(facts.key[fact]).is_some() {
                        order.push(fact as u32);
                    } else if scan.verify {
                        sums.add(facts.key[fact], row_hash(&lanes, |lane| stated(facts, fact, lane)));
                    }
                }
                kept.push(facts.reorder(&order));
            }
            Ok((kept, scanned.null_keys, sums))
        })
        .collect();
    let mut added = Added::default();
    let mut rows: Vec<Facts> = (0..shards).map(|_| Facts::new(input.lanes.count())).collect();
    for part in parts {
        let (kept, null_keys, sums) = part?;
        rows.iter_mut().zip(kept).for_each(|(all, part)| all.append(part));
        added.null_keys.extend(null_keys);
        added.sums.merge(&sums);
    }
    for (shard, rows) in histories.shards.iter_mut().zip(rows).filter(|(_, rows)| !rows.is_empty()) {
        let rows = once_each(rows, &mut added.repeated);
        *shard = shard.with_opening(&rows, opening);
    }
    added.repeated.sort_unstable();
    histories.number_slots()?;
    Ok(added)
}

/// Whether the ledger was recorded of a row of the current state.
pub(super) fn is_recorded(recorded: Option<&BooleanArray>, row: usize) -> bool {
    recorded.is_none_or(|r| r.is_valid(row) && r.value(row))
}

/// The hash of a row's cells in some lanes, from those of the lanes.
pub(super) fn row_hash(lanes: &[usize], hash: impl Fn(usize) -> u64) -> u64 {
    lanes.iter().map(|&lane| hash(lane)).fold(0, u64::wrapping_add)
}

/// The first row of each key; the next one of the same key is noted.
fn once_each(rows: Facts, repeated: &mut Vec<u32>) -> Facts {
    let mut order: Vec<u32> = (0..rows.len() as u32).collect();
    order.sort_unstable_by_key(|&f| (rows.key[f as usize], rows.index[f as usize]));
    let same = |a: &u32, b: &u32| rows.key[*a as usize] == rows.key[*b as usize];
    let firsts: Vec<u32> = order
        .chunk_by(same)
        .map(|rows_of_key| {
            repeated.extend(rows_of_key.get(1).map(|&f| rows.index[f as usize]));
            rows_of_key[0]
        })
        .collect();
    rows.reorder(&firsts)
}

/// A row that only one side has, or that both have with other cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    current: Option<u64>,
    opening: Option<u32>,
}

/// Compares rows without a history, of which `current` holds the sums on the other side. Returns the
/// current rows that differ, sorted.
pub(super) fn compare(
    evidence: &Evidence<'_>,
    added: &Added,
    (current, scan): (&Sums, ScanOptions<'_>),
    findings: &mut Findings,
) -> Result<Vec<u64>> {
    if added.sums == *current {
        return Ok(Vec::new());
    }
    let suspect = |key: u128| added.sums.differ(current, key);
    let pairs = pair(opening_rows(evidence, scan, suspect)?, current_rows(evidence, scan, suspect)?);
    let mut rows: Vec<u64> = pairs.iter().filter_map(|pair| pair.current).collect();
    rows.sort_unstable();
    for chunk in pairs.chunks(evidence::CHUNK) {
        let mut found = describe(evidence, chunk)?;
        found.iter_mut().for_each(|d| d.touches_snapshot = true);
        found.iter().for_each(|d| findings.add_whole(&d.dataset, &d.effects));
        findings.push(found.into_iter().map(Found::always))?;
    }
    Ok(rows)
}

/// Key identity, hash of the stated lanes, and index or place of some rows.
type Identified<P> = Vec<(u128, u64, P)>;

fn opening_rows(
    evidence: &Evidence<'_>,
    scan: ScanOptions<'_>,
    suspect: impl Fn(u128) -> bool + Sync,
) -> Result<Identified<u32>> {
    let input = evidence.input;
    let lanes = stated_lanes(input);
    let groups: Vec<Result<Identified<u32>>> = input
        .store
        .opening_segments()
        .into_par_iter()
        .map(|segment| {
            let scanned = scan_group(input, segment, 1, scan)?;
            let facts = &scanned.shards[0];
            let hash = |fact| row_hash(&lanes, |lane| stated(facts, fact, lane));
            let ours = |&fact: &usize| {
                suspect(facts.key[fact]) && evidence.histories.find(facts.key[fact]).is_none()
            };
            Ok((0..facts.len()).filter(ours).map(|f| (facts.key[f], hash(f), facts.index[f])).collect())
        })
        .collect();
    joined(groups)
}

fn current_rows(
    evidence: &Evidence<'_>,
    scan: ScanOptions<'_>,
    suspect: impl Fn(u128) -> bool + Sync,
) -> Result<Identified<u64>> {
    let input = evidence.input;
    let lanes = stated_lanes(input);
    let all: Vec<usize> = (0..input.schema.len()).collect();
    let groups: Vec<Result<Identified<u64>>> = (0..input.table.groups())
        .into_par_iter()
        .map(|group| {
            let batch = input.read_current(group, &all)?;
            let keys = input.schema.key().iter().map(|&c| batch.column(c)).collect::<Vec<_>>();
            let keys = input.normalised_keys(&keys)?;
            let keys: Vec<_> = keys.iter().collect();
            let nulls = canon::null_keys(&keys);
            let mut sums = vec![vec![0; batch.num_rows()]; scan.lanes.count()];
            for (column, array) in batch.columns().iter().enumerate() {
                if let Some(lane) = scan.lanes.of_column(column) {
                    facts::add_column(array, column, scan, &mut sums[lane]);
                }
            }
            let ids = canon::key_ids(&keys, scan.seed).into_iter().enumerate();
            let recorded = input.recorded_of(group)?;
            let ours = |&(row, id): &(usize, u128)| {
                suspect(id)
                    && is_recorded(recorded.as_ref(), row)
                    && nulls.binary_search(&row).is_err()
                    && evidence.histories.find(id).is_none()
            };
            let row = |(row, id): (usize, u128)| {
                (id, row_hash(&lanes, |lane| sums[lane][row]), locator(group, row))
            };
            Ok(ids.filter(ours).map(row).collect())
        })
        .collect();
    joined(groups)
}

fn joined<P: Ord + Copy>(groups: Vec<Result<Identified<P>>>) -> Result<Identified<P>> {
    let mut all = Vec::new();
    for group in groups {
        all.extend(group?);
    }
    all.sort_unstable_by_key(|&(id, _, place)| (id, place));
    Ok(all)
}

/// Hash and place of a key's rows in the opening, and in the current state.
type Sides = (Vec<(u64, u32)>, Vec<(u64, u64)>);

/// Matches rows of both sides by key. Keys that several current rows have are reported as such.
fn pair(opening: Identified<u32>, current: Identified<u64>) -> Vec<Pair> {
    let mut by_key: BTreeMap<u128, Sides> = BTreeMap::new();
    opening.into_iter().for_each(|(id, hash, at)| by_key.entry(id).or_default().0.push((hash, at)));
    current.into_iter().for_each(|(id, hash, at)| by_key.entry(id).or_default().1.push((hash, at)));
    let pairs = by_key.into_values().filter_map(|(opening, current)| {
        let (then, now) = (opening.first(), current.first());
        let same = then.zip(now).is_some_and(|(then, now)| then.0 == now.0);
        let pair = Pair { current: now.map(|n| n.1), opening: then.map(|t| t.1) };
        (!same && current.len() < 2).then_some(pair)
    });
    // The identities are seeded at random: nothing may depend on their order.
    let mut pairs: Vec<Pair> = pairs.collect();
    pairs.sort_unstable();
    pairs
}

fn describe(evidence: &Evidence<'_>, pairs: &[Pair]) -> Result<Vec<Discrepancy>> {
    let input = evidence.input;
    let records = evidence.records(pairs.iter().filter_map(|p| p.opening))?;
    let rows = evidence.rows(pairs.iter().filter_map(|p| p.current))?;
    let mut found = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let then = pair.opening.and_then(|index| records.find(evidence, index));
        let now = pair.current.and_then(|locator| rows.find(locator));
        let what = match (then.is_some(), now.is_some()) {
            (true, true) => "the current row is not the opening's",
            (true, false) => "the opening has this row, the current state does not",
            _ => "the current state has this row, the opening does not",
        };
        let message = format!(
            "{what}, and no change of it is on record: it was changed without one, or the opening was taken at \
             another moment than declared"
        );
        let mut discrepancy = input.discrepancy(Kind::OpeningDiffers, message);
        if let Some(locator) = pair.current {
            let (group, row) = super::standing::place(locator);
            discrepancy.current = Some(input.current_place(group, row));
        }
        let key = input.schema.key().iter();
        if let Some((batch, row)) = now {
            discrepancy.key = input.key_text(&key.map(|&c| batch.column(c)).collect::<Vec<_>>(), row);
        } else if let Some((batch, row)) = then {
            discrepancy.ledger = Some(evidence.place_of(batch, row));
            let keys: Vec<_> = key.filter_map(|&c| batch.after.column(c)).collect();
            discrepancy.key = input.key_text(&keys, row);
        }
        discrepancy.effects = differences(evidence, then, now);
        discrepancy.amounts.clone_from(&discrepancy.effects);
        if let (Some((batch, row)), Some((current, at))) = (then, now) {
            let columns = (0..input.schema.len()).filter(|&c| !input.schema.is_key(c));
            for column in columns.filter(|&c| batch.after.state(c, row) == CellState::Known) {
                let Some(opening) = batch.after.column(column) else { continue };
                let current = current.column(column);
                if !canon::cells_equal(opening.as_ref(), row, current.as_ref(), at) {
                    discrepancy.cells.push(CellDifference {
                        column: input.schema.name(column).to_owned(),
                        expected: canon::cell_text(opening.as_ref(), row),
                        found: canon::cell_text(current.as_ref(), at),
                    });
                }
            }
        }
        found.push(discrepancy);
    }
    Ok(found)
}

/// Per measure, the current row minus the opening's; a row that is not there has nothing.
fn differences(
    evidence: &Evidence<'_>,
    then: Option<(&ChangeBatch, usize)>,
    now: Option<(&RecordBatch, usize)>,
) -> Vec<(String, String)> {
    let measures = &evidence.input.plan.measures;
    let now = now.map_or_else(|| vec![Some(Amount::ZERO); measures.len()], |row| evidence.measures(row));
    let opened = |name: &String| {
        let Some((batch, row)) = then else { return Some(Amount::ZERO) };
        let column = evidence.input.schema.column(name)?;
        let array =
            batch.after.column(column).filter(|_| batch.after.state(column, row) == CellState::Known)?;
        effects::measured(array, row)
    };
    let differences = measures.iter().zip(now).map(|(name, now)| now?.minus(opened(name)?));
    evidence.named(differences.collect())
}
