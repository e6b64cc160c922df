//! Columns that were in force at a moment and were dropped since: their values, as far as the ledger has them.
//!
//! The current state lacks such a column, so replay, which selects among the columns of the current state, never
//! sees it. Under `--schema at-date` the ledger is read a second time, into the table's columns and the dropped
//! ones; its changes have the same numbers as in the first reading, so that the histories serve both. Per row then:
//!
//! ```text
//!      inferred ◄── after │ before ──► exact        the earliest undone change of the row's life that states
//!   ───●──────────●───────┼──●─────────●──          the column before it, else the last one in force that
//!                        cut                        states it after it; `unchanged` is passed, `absent` is not
//! ```
//!
//! There is no current value to fall back to: where neither is there, the cell is unrecoverable.
//!
//! The rows of an opening that still has the column state it too. Key changes inside one transaction are taken in the
//! order in which replay undoes them.
//!
//! A row that goes on under another key, or came from one, is followed there.
//!
//! Limits: a column is in force up to the change that shows it gone, or to the ledger's end. Types that the plan does not declare for the ledger are
//! text, as the ledger writes the value. Tables without a key are left out.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array, new_empty_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::inputs::{self, DatasetInput, OpenedTable, Scan};
use super::layout::{Row, row_at};
use super::progress::Progress;
use super::rebuild::Rebuilt;
use super::run::Run;
use super::scan::Histories;
use super::standing::locator;
use crate::error::{Error, Result};
use crate::ledger::TableReads;
use crate::ledger::store::ChangeStore;
use crate::ledger::want::{Columns, Want};
use crate::model::rank::{DROPPED, Ranks};
use crate::model::{CellState, DiscrepancyKind as Kind, Op, TableSchema};
use crate::plan::{Dataset, Plan};
use crate::read::Spool;
use crate::replay::facts::{ARRIVES, LEAVES, shard_of};
use crate::replay::history::{self, Step, Timeline};
use crate::replay::select::NO_ROW;
use crate::replay::shard::Shard;
use crate::snapshot::{CanCopy, Cells, GroupSource, Verdict};

/// The columns of one dataset that the current state lacks, and the ledger with them.
pub(super) struct Dropped {
    store: ChangeStore,
    columns: Vec<Column>,
}

/// A column that the current state lacks.
struct Column {
    name: String,
    /// Its number in the store.
    number: usize,
    data_type: DataType,
    /// Per change, what is known of it before and after: [`CellState`] codes.
    states: [Vec<u8>; 2],
    /// It is not in force at cuts up to this rank.
    unborn: Option<u32>,
    /// It is not in force at cuts behind this rank.
    gone: u32,
}

/// Reads the ledgers of datasets whose changes carry columns that the current state lacks. One entry per dataset.
pub(super) fn read(
    run: &Run,
    plan: &Plan,
    spool: &Spool,
    progress: &dyn Progress,
) -> Result<Vec<Option<Dropped>>> {
    let mut found: Vec<Option<Dropped>> = run.inputs.datasets.iter().map(|_| None).collect();
    for source in &run.inputs.sources {
        let missing: Vec<Vec<String>> =
            source.datasets.iter().map(|&d| missing(&run.inputs.datasets[d])).collect();
        if missing.iter().all(Vec::is_empty) {
            continue;
        }
        let plans: Vec<&Dataset> = source.datasets.iter().map(|&d| &plan.datasets[d]).collect();
        let tables = plans
            .iter()
            .zip(&missing)
            .map(|(plan, names)| Ok(extended(inputs::open_current(plan, spool)?, plan, names)))
            .collect::<Result<Vec<OpenedTable>>>()?;
        let (_, reads) =
            inputs::open_source(&plans, &tables, &source.datasets, Scan::Images, (spool, progress))?;
        for (((&dataset, names), mut read), table) in
            source.datasets.iter().zip(missing).zip(reads).zip(&tables)
        {
            let input = &run.inputs.datasets[dataset];
            if !names.is_empty() {
                if let Some(opening) = input.plan.opening.as_ref().filter(|_| input.store.opening().is_some())
                {
                    read.store.attach(TableReads::open(
                        &opening.source,
                        &input.plan.name,
                        &table.schema,
                        spool,
                    )?)?;
                }
                let ranks = run.order(dataset).order.ranks(input.member);
                found[dataset] = Some(Dropped::of(input, read.store, &names, &ranks)?);
            }
        }
    }
    Ok(found)
}

/// Columns of the ledger of which reading it said that the table lacks them.
fn missing(input: &DatasetInput) -> Vec<String> {
    if input.schema.is_keyless() {
        return Vec::new();
    }
    let told =
        input.discrepancies.iter().filter(|d| matches!(d.kind, Kind::UnknownColumn | Kind::SchemaDrift));
    let mut names: Vec<String> = told
        .filter_map(|d| d.cells.first())
        .map(|cell| cell.column.clone())
        .filter(|name| input.schema.column(name).is_none())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A table with more columns, which its files do not have.
fn extended(mut table: OpenedTable, plan: &Dataset, names: &[String]) -> OpenedTable {
    let types = &plan.ledger.table.types;
    let field = |name: &String| {
        let declared = types.iter().find(|(n, _)| n == name).map(|(_, t)| t.clone());
        Arc::new(Field::new(name, declared.unwrap_or(DataType::Utf8), true))
    };
    let fields: Vec<Arc<Field>> =
        table.schema.arrow().fields().iter().cloned().chain(names.iter().map(field)).collect();
    let key = table.schema.key().to_vec();
    table.schema = TableSchema::new(Arc::new(Schema::new(fields)), key);
    table
}

impl Dropped {
    fn of(input: &DatasetInput, store: ChangeStore, names: &[String], ranks: &Ranks) -> Result<Self> {
        let first = store.schema().len() - names.len();
        let count = store.first(store.opening_segments().end) as usize;
        let mut columns: Vec<Column> = names
            .iter()
            .zip(first..)
            .map(|(name, number)| Column {
                name: name.clone(),
                number,
                data_type: store.schema().data_type(number).clone(),
                states: [vec![CellState::Absent as u8; count], vec![CellState::Absent as u8; count]],
                unborn: None,
                gone: u32::MAX,
            })
            .collect();
        // Both readings take the same records; if they did not, nothing could be said of any cell.
        if store.len() == input.store.len() {
            let want = Want { states: true, ..Want::IMAGES };
            for segment in (0..store.segments()).chain(store.opening_segments()) {
                let batch = store.read(segment, want, None)?;
                let base = store.first(segment) as usize;
                for column in &mut columns {
                    for (side, images) in [&batch.before, &batch.after].into_iter().enumerate() {
                        for row in 0..batch.len() {
                            column.states[side][base + row] = images.state(column.number, row) as u8;
                        }
                    }
                }
            }
        }
        for column in &mut columns {
            column.settle(input, &store, ranks)?;
        }
        Ok(Self { store, columns })
    }

    /// The columns in force at a cut, with their values.
    pub(super) fn at(
        &self,
        rebuilt: &Rebuilt<'_>,
        timeline: Timeline<'_>,
        cut: u32,
    ) -> Result<Option<Returned>> {
        let in_force: Vec<&Column> = self.columns.iter().filter(|column| column.is_in_force(cut)).collect();
        if in_force.is_empty() {
            return Ok(None);
        }
        let paths = Paths { histories: rebuilt.histories, standing: &rebuilt.standing.rows, timeline };
        let columns = in_force
            .into_iter()
            .map(|column| {
                let chosen = column.choose(&paths, cut);
                self.fetch(column, chosen)
            })
            .collect::<Result<_>>()?;
        let rows = rebuilt.standing.rows.iter().zip(0..);
        let slots = rows.filter(|(row, _)| **row != NO_ROW).map(|(&row, slot)| (row, slot)).collect();
        Ok(Some(Returned { columns, slots }))
    }

    /// Reads the chosen cells of a column.
    fn fetch(&self, column: &Column, chosen: BTreeMap<u32, Choice>) -> Result<ReturnedColumn> {
        let mut by_segment: BTreeMap<usize, Vec<(u32, u32, bool, bool)>> = BTreeMap::new();
        for (slot, choice) in chosen {
            let (segment, row) = self.store.locate(choice.index);
            by_segment.entry(segment).or_default().push((row, slot, choice.before, choice.inferred));
        }
        let failed = || Error::arrow(std::path::Path::new("ledger images"));
        let (mut cells, mut parts, mut known) = (HashMap::new(), Vec::new(), 0_u32);
        for (segment, mut wanted) in by_segment {
            wanted.sort_unstable();
            let mut rows: Vec<u32> = wanted.iter().map(|w| w.0).collect();
            rows.dedup();
            let want = Want { before: Columns::All, after: Columns::All, ..Want::default() };
            let batch = self.store.read(segment, want, Some(&rows))?;
            for (images, before) in [(&batch.before, true), (&batch.after, false)] {
                let Some(array) = images.column(column.number) else { continue };
                let own: Vec<_> = wanted.iter().filter(|w| w.2 == before).collect();
                let places: UInt32Array =
                    own.iter().map(|w| rows.binary_search(&w.0).ok().map(|at| at as u32)).collect();
                let taken = arrow::compute::take(array.as_ref(), &places, None).map_err(failed())?;
                parts.push(taken);
                for (_, slot, _, inferred) in own {
                    cells.insert(*slot, (known, *inferred));
                    known += 1;
                }
            }
        }
        parts.push(new_empty_array(&column.data_type));
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        let values = arrow::compute::concat(&parts).map_err(failed())?;
        Ok(ReturnedColumn { name: column.name.clone(), values, cells })
    }
}

/// Which image of which change states a cell.
#[derive(Debug, Clone, Copy)]
struct Choice {
    index: u32,
    before: bool,
    inferred: bool,
}

const KNOWN: u8 = CellState::Known as u8;
const UNCHANGED: u8 = CellState::Unchanged as u8;

impl Column {
    /// Finds out between which ranks it is in force.
    fn settle(&mut self, input: &DatasetInput, store: &ChangeStore, ranks: &Ranks) -> Result<()> {
        // Rows of an opening, numbered behind the changes, are none.
        let ranked = || {
            (0..store.len()).zip(self.states[0].iter().zip(&self.states[1])).map(|(i, s)| (ranks.of(i), s))
        };
        let known = |&(rank, (before, after)): &(u32, (&u8, &u8))| {
            rank != DROPPED && (*before == KNOWN || *after == KNOWN)
        };
        let last = ranked().filter(known).map(|(rank, _)| rank).max();
        let ended = input.discrepancies.iter().any(|d| {
            d.kind == Kind::SchemaDrift && d.cells.first().is_some_and(|cell| cell.column == self.name)
        });
        self.gone = match last {
            // Nothing states it anywhere.
            None => 0,
            Some(last) if ended => {
                ranked().map(|(rank, _)| rank).filter(|&rank| rank > last).min().unwrap_or(u32::MAX)
            }
            Some(_) => u32::MAX,
        };
        for begin in store.begins().iter().filter(|begin| begin.column == self.number) {
            let index = store.index_upto(begin.without.stream)?;
            self.unborn = index.map(|index| ranks.of(index)).filter(|&rank| rank != DROPPED);
        }
        if last.is_none() {
            self.unborn = Some(u32::MAX);
        }
        Ok(())
    }

    fn is_in_force(&self, cut: u32) -> bool {
        cut <= self.gone && self.unborn.is_none_or(|rank| rank < cut)
    }

    fn state(&self, before: bool, index: u32) -> u8 {
        let side = usize::from(!before);
        self.states[side].get(index as usize).copied().unwrap_or(CellState::Absent as u8)
    }

    /// Per slot, what states the cell of its row at a cut.
    fn choose(&self, paths: &Paths<'_>, cut: u32) -> BTreeMap<u32, Choice> {
        let mut chosen = BTreeMap::new();
        for (number, (shard, &base)) in paths.histories.shards.iter().zip(&paths.histories.bases).enumerate()
        {
            for key in 0..shard.keys() {
                let path = paths.of(number, key);
                // The rows of an opening have the rank of the last change that it knows of.
                let undone = |&step: &Step| match paths.timeline.opening {
                    Some(opening) if paths.timeline.is_opening(&shard.facts, step) => cut < opening.rank,
                    _ => step.rank >= cut,
                };
                let at = path.steps.iter().position(undone).unwrap_or(path.steps.len());
                let later = || self.stated_before(paths, &path, at, MOVES_MAX);
                let earlier = || self.stated_after(paths, &path, at, MOVES_MAX);
                if let Some(choice) = later().or_else(earlier) {
                    chosen.insert(base + key as u32, choice);
                }
            }
        }
        chosen
    }

    /// The first change from a place on that states the cell before it.
    fn stated_before(&self, paths: &Paths<'_>, path: &Path<'_>, at: usize, moves: usize) -> Option<Choice> {
        let facts = &path.shard.facts;
        for &step in &path.steps[at..] {
            // A truncate ends the life, and states nothing.
            let fact = step.fact? as usize;
            let index = facts.index[fact];
            match (facts.op(fact), self.state(true, index)) {
                // A read is no change: what it states stood before it.
                (Op::Read, _) if self.state(false, index) == KNOWN => {
                    return Some(Choice { index, before: false, inferred: false });
                }
                (Op::Read, _) => {}
                _ if facts.begins(fact) => return None,
                (_, KNOWN) => return Some(Choice { index, before: true, inferred: false }),
                (_, UNCHANGED) if facts.has(fact, LEAVES) && moves > 0 => {
                    if self.state(false, index) == KNOWN {
                        return Some(Choice { index, before: false, inferred: false });
                    }
                    let (other, place) = paths.across(index, |&(_, _, to)| to)?;
                    return self.stated_before(paths, &other, place + 1, moves - 1);
                }
                (_, UNCHANGED) if !facts.ends(fact) => {}
                _ => return None,
            }
        }
        None
    }

    /// The last change before a place that states the cell after it.
    fn stated_after(&self, paths: &Paths<'_>, path: &Path<'_>, at: usize, moves: usize) -> Option<Choice> {
        let facts = &path.shard.facts;
        for &step in path.steps[..at].iter().rev() {
            let fact = step.fact.filter(|&fact| !facts.ends(fact as usize))? as usize;
            let index = facts.index[fact];
            match (self.state(false, index), self.state(true, index)) {
                (KNOWN, _) => return Some(Choice { index, before: false, inferred: true }),
                (UNCHANGED, KNOWN) => return Some(Choice { index, before: true, inferred: true }),
                (UNCHANGED, _) if facts.has(fact, ARRIVES) && moves > 0 => {
                    let (other, place) = paths.across(index, |&(_, from, _)| from)?;
                    return self.stated_after(paths, &other, place, moves - 1);
                }
                (UNCHANGED, _) if !facts.begins(fact) => {}
                _ if facts.op(fact) == Op::Read => {}
                _ => return None,
            }
        }
        None
    }
}

/// How many keys a row is followed through.
const MOVES_MAX: usize = 64;

/// The histories of a dataset, to be followed from key to key.
struct Paths<'a> {
    histories: &'a Histories,
    standing: &'a [u64],
    timeline: Timeline<'a>,
}

/// The history of one key.
struct Path<'a> {
    shard: &'a Shard,
    steps: Vec<Step>,
}

impl<'a> Paths<'a> {
    fn of(&self, shard: usize, key: usize) -> Path<'a> {
        let slot = self.histories.bases[shard] as usize + key;
        let stands = self.standing.get(slot).is_some_and(|&row| row != NO_ROW);
        let (shard, mut steps) = (&self.histories.shards[shard], Vec::new());
        history::steps(shard, key, stands, self.timeline, &mut steps);
        Path { shard, steps }
    }

    /// The history of the other key of a change of key, and the place of that change in it.
    fn across(&self, index: u32, side: fn(&(u32, u128, u128)) -> u128) -> Option<(Path<'a>, usize)> {
        let moves = &self.histories.moves;
        let at = moves.binary_search_by_key(&index, |moved| moved.0).ok()?;
        let key = side(&moves[at]);
        let shard = shard_of(key, self.histories.shards.len());
        let path = self.of(shard, self.histories.shards[shard].find(key)?);
        let is = |step: &Step| step.fact.is_some_and(|fact| path.shard.facts.index[fact as usize] == index);
        let place = path.steps.iter().position(is)?;
        Some((path, place))
    }
}

/// The columns in force at one cut that were dropped since.
pub(super) struct Returned {
    columns: Vec<ReturnedColumn>,
    /// The slot of each current row that has one.
    slots: HashMap<u64, u32>,
}

struct ReturnedColumn {
    name: String,
    values: ArrayRef,
    /// Per slot whose cell is known: its place among the values, and whether it is inferred.
    cells: HashMap<u32, (u32, bool)>,
}

impl Returned {
    /// Their names, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// What is known of the cells of a row, in the order of the columns.
    pub(super) fn verdicts(
        &self,
        rebuilt: &Rebuilt<'_>,
        group: usize,
        row: Row,
    ) -> impl Iterator<Item = Verdict> {
        let slot = self.slot(rebuilt, group, row);
        self.columns.iter().map(move |column| match slot.and_then(|slot| column.cells.get(&slot)) {
            None => Verdict::Unrecoverable,
            Some((_, true)) => Verdict::Inferred,
            Some((_, false)) => Verdict::Restored,
        })
    }

    fn slot(&self, rebuilt: &Rebuilt<'_>, group: usize, row: Row) -> Option<u32> {
        let layout = &rebuilt.layouts[group];
        match row {
            Row::Patch(number) => Some(rebuilt.patches[rebuilt.present[number as usize] as usize].slot),
            Row::Keep(kept) => {
                let group = layout.group?;
                self.slots.get(&locator(group, kept as usize)).copied()
            }
        }
    }
}

/// A snapshot with the columns that were dropped since behind its own.
pub(super) struct WithReturned<'a> {
    rebuilt: &'a Rebuilt<'a>,
    returned: &'a Returned,
    schema: SchemaRef,
}

impl<'a> WithReturned<'a> {
    pub(super) fn new(rebuilt: &'a Rebuilt<'a>, returned: &'a Returned) -> Self {
        let own = rebuilt.schema();
        let more = returned
            .columns
            .iter()
            .map(|c| Arc::new(Field::new(&c.name, c.values.data_type().clone(), true)));
        let fields: Vec<Arc<Field>> = own.fields().iter().cloned().chain(more).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, own.metadata().clone()));
        Self { rebuilt, returned, schema }
    }

    fn own(&self) -> usize {
        self.rebuilt.schema().fields().len()
    }
}

impl GroupSource for WithReturned<'_> {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn groups(&self) -> usize {
        self.rebuilt.groups()
    }

    fn rows(&self, group: usize) -> usize {
        self.rebuilt.rows(group)
    }

    fn bands(&self) -> Vec<Range<usize>> {
        self.rebuilt.bands()
    }

    fn enter(&self, band: &Range<usize>) -> Result<()> {
        self.rebuilt.enter(band)
    }

    fn column(&self, group: usize, column: usize) -> Result<ArrayRef> {
        let Some(more) = column.checked_sub(self.own()) else { return self.rebuilt.column(group, column) };
        let returned = &self.returned.columns[more];
        let rows = self.rebuilt.layouts[group].rows();
        let place = |at: usize| {
            let slot = self.returned.slot(self.rebuilt, group, row_at(rows.as_ref(), at))?;
            returned.cells.get(&slot).map(|&(place, _)| place)
        };
        let places: UInt32Array = (0..self.rows(group)).map(place).collect();
        let taken = arrow::compute::take(returned.values.as_ref(), &places, None);
        taken.map_err(Error::arrow(std::path::Path::new("ledger images")))
    }

    fn cells(&self, group: usize, column: usize, can_copy: &CanCopy<'_>) -> Result<Cells<'_>> {
        if column < self.own() {
            return self.rebuilt.cells(group, column, can_copy);
        }
        Ok(Cells::Array(self.column(group, column)?))
    }
}
