//! [`Events`]: changes whose images are rows of the raw table, found before any value is copied.
//!
//! ```text
//!  row  id  x   from  to        event at row 1: update, before = row 0, after = row 1
//!   0    7  a   01    03        event at row 1: delete, before = row 1
//!   1    7  b   03    05
//! ```
//!
//! Formats that pair rows (versions of one key, the two halves of an update) look at
//! keys and marks alone and say here which rows belong together; the values are then
//! gathered segment by segment.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array, new_null_array};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::super::decode::{Clock, DecodeOptions, Decoded, TableTarget};
use super::super::image::{ABSENT, KNOWN, UNCHANGED};
use super::super::notes::Notes;
use super::super::position::PositionKind;
use super::convert::{Converted, convert};
use super::raw::{Raw, texts};
use super::sqlserver_cdc::bytes;
use crate::error::{Error, Result};
use crate::model::{ChangeBatch, DiscrepancyKind, Images, Op};
use crate::read::cell::CellOptions;

/// No row.
pub(super) const NONE: u32 = u32::MAX;

/// One change: rows of the raw table, and its place in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event {
    /// The row that stands for the record.
    pub(super) row: u32,
    pub(super) op: Op,
    /// The row of the before image, or [`NONE`].
    pub(super) before: u32,
    /// The row of the after image, or [`NONE`].
    pub(super) after: u32,
    /// Of the before image only the key is recorded.
    pub(super) key_only: bool,
    pub(super) time: i64,
    pub(super) commit: u128,
    pub(super) position: u128,
}

/// All changes of a raw table, and what its columns are.
#[derive(Debug)]
pub(super) struct Events {
    /// By rising row.
    pub(super) events: Vec<Event>,
    /// Per table column, its column in the raw table.
    pub(super) cells: Vec<Option<usize>>,
    /// Per table column, what its nulls mean where they are no data.
    pub(super) unlogged: Vec<Option<Unlogged>>,
    /// Where records say which columns they changed.
    pub(super) mask: Option<Mask>,
    pub(super) transaction: Option<usize>,
    pub(super) actor: Option<usize>,
    pub(super) kind: Option<PositionKind>,
    pub(super) clock: Clock,
    /// Null texts of the raw table are empty ones in the dataset's own files.
    pub(super) empty_texts: bool,
}

/// What the nulls of a column that its source does not always log mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unlogged {
    /// The column is never logged.
    Always,
    /// Nulls of before images say nothing.
    Before,
    /// A null before an update is left out where the mask says that the change did not touch it.
    ByMask,
    /// The same without a mask: a null before a value may be either.
    Doubtful,
}

/// Which bit of a mask of bytes stands for which column; the first bit is the lowest of the last byte.
#[derive(Debug, Clone)]
pub(super) struct Mask {
    pub(super) column: usize,
    /// Per table column.
    pub(super) bits: Vec<Option<usize>>,
}

impl Mask {
    fn is_set(&self, bytes: &[u8], column: usize) -> bool {
        let Some(bit) = self.bits[column] else { return false };
        let byte = bytes.len().checked_sub(1 + bit / 8).and_then(|at| bytes.get(at));
        byte.is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }
}

/// Finds the raw column of every table column; notes those of the raw table that are nobody's.
pub(super) fn cells_of(raw: &Raw, target: &TableTarget, own: &[usize]) -> (Vec<Option<usize>>, Vec<String>) {
    let free = |name: &str| raw.column(name).filter(|c| !own.contains(c));
    let cells: Vec<Option<usize>> = target.schema.names().map(free).collect();
    let taken = |column: &usize| own.contains(column) || cells.contains(&Some(*column));
    let unknown = (0..raw.names().len()).filter(|c| !taken(c)).map(|c| raw.names()[c].clone()).collect();
    (cells, unknown)
}

impl Events {
    /// Decodes the changes whose records stand in one segment.
    pub(super) fn decode(
        &self,
        raw: &Raw,
        segment: usize,
        targets: &[TableTarget],
        options: &DecodeOptions,
    ) -> Result<Decoded> {
        let Some(target) = targets.first() else { return Ok(Decoded::default()) };
        let (first, next) = (raw.first(segment), raw.first(segment + 1));
        let start = self.events.partition_point(|e| u64::from(e.row) < first);
        let end = self.events.partition_point(|e| u64::from(e.row) < next);
        let events = &self.events[start..end];
        let mut notes = Notes::default();
        let batch = self.batch(raw, segment, events, (target, options), &mut notes)?;
        let mut decoded = Decoded::default();
        decoded.edge.places = events.len() as u64;
        decoded.edge.kind.clone_from(&self.kind);
        decoded.edge.unplaced = self.kind.is_none() && !events.is_empty();
        decoded.edge.clock = Some(self.clock);
        decoded.changes.push(batch);
        decoded.facts.targets.push(options.facts.target(0));
        decoded.edge.used.push(super::super::decode::Used::default());
        decoded.notes = notes.finish();
        Ok(decoded)
    }

    fn batch(
        &self,
        raw: &Raw,
        segment: usize,
        events: &[Event],
        (target, options): (&TableTarget, &DecodeOptions),
        notes: &mut Notes,
    ) -> Result<ChangeBatch> {
        let schema = &target.schema;
        let cell_options = CellOptions { zone: options.time_zone, ..CellOptions::default() };
        let pool = Pool::new(raw, events, self, (target, &cell_options))?;
        let places = |row: fn(&Event) -> u32| events.iter().map(|e| pool.place(row(e))).collect();
        let places: [Vec<Option<u32>>; 2] = [places(|e| e.before), places(|e| e.after)];
        let mut sides = places.each_ref().map(|p| blank(p, schema.len()));
        for column in 0..schema.len() {
            let Some(cells) = pool.columns[column].as_ref() else {
                for side in &mut sides {
                    side.columns[column] = Some(new_null_array(schema.data_type(column), events.len()));
                    side.states[column] = Some(ScalarBuffer::from(vec![ABSENT; events.len()]));
                }
                continue;
            };
            for (at, misfit) in &cells.misfits {
                let (own, row) = raw.locate(u64::from(pool.rows[*at]));
                // Each raw row is told where its own record is decoded.
                if own == segment {
                    let record = raw.record(own, row as usize);
                    let message = format!("{misfit}; the cell counts as not recorded");
                    let name = Some(schema.name(column));
                    notes.add(DiscrepancyKind::LossyValue, Some(0), record, name, message);
                }
            }
            let [before, after] = [0, 1].map(|side| cells.take(&places[side]));
            let before = before.map_err(Error::arrow(raw.path()))?;
            let after = after.map_err(Error::arrow(raw.path()))?;
            let mut states = places.each_ref().map(|p| cells.states(p));
            if !schema.is_key(column) {
                for (row, event) in events.iter().enumerate() {
                    let nulls = (before.is_null(row), after.is_null(row));
                    let (old, new) = self.doubt(column, event, nulls, pool.mask(places[1][row]));
                    states[0][row] = old.unwrap_or(states[0][row]);
                    states[1][row] = new.unwrap_or(states[1][row]);
                }
            } else {
                // A key without a value is a null key, and told as that.
                states.iter_mut().for_each(|s| s.fill(KNOWN));
            }
            for ((side, array), states) in sides.iter_mut().zip([before, after]).zip(states) {
                side.columns[column] = Some(only_known(&array, &states).map_err(Error::arrow(raw.path()))?);
                side.states[column] = states.iter().any(|&s| s != KNOWN).then(|| ScalarBuffer::from(states));
            }
        }
        let [before, after] = sides;
        self.marks(raw, segment, events, before, after)
    }

    /// What a cell is where its source does not say all: before and after.
    fn doubt(
        &self,
        column: usize,
        event: &Event,
        (old_null, new_null): (bool, bool),
        mask: Option<&[u8]>,
    ) -> (Option<u8>, Option<u8>) {
        let has = |row: u32, state: u8| (row != NONE).then_some(state);
        if event.key_only {
            return (Some(ABSENT), None);
        }
        let old = has(event.before, ABSENT).filter(|_| old_null);
        match self.unlogged.get(column).copied().flatten() {
            None => (None, None),
            Some(Unlogged::Always) => (has(event.before, ABSENT), has(event.after, ABSENT)),
            Some(Unlogged::Before) => (old, None),
            Some(Unlogged::ByMask) if event.op == Op::Update && old_null && !new_null => {
                let touched = mask.zip(self.mask.as_ref()).map(|(bytes, m)| m.is_set(bytes, column));
                match touched {
                    Some(true) => (None, None),
                    Some(false) => (Some(UNCHANGED), None),
                    None => (old, None),
                }
            }
            Some(Unlogged::Doubtful) if event.op == Op::Update && !new_null => (old, None),
            Some(Unlogged::ByMask | Unlogged::Doubtful) => (None, None),
        }
    }

    /// Everything beside the images.
    fn marks(
        &self,
        raw: &Raw,
        segment: usize,
        events: &[Event],
        before: Images,
        after: Images,
    ) -> Result<ChangeBatch> {
        let local: Vec<u32> = events.iter().map(|e| (u64::from(e.row) - raw.first(segment)) as u32).collect();
        let beside = |column: Option<usize>| -> Result<Option<ArrayRef>> {
            let Some(column) = column else { return Ok(None) };
            let batch = raw.read(segment, &[column], None)?;
            let texts: ArrayRef = Arc::new(texts(batch.column(0)));
            let taken = arrow::compute::take(texts.as_ref(), &UInt32Array::from(local.clone()), None);
            Ok(Some(taken.map_err(Error::arrow(raw.path()))?))
        };
        let positioned = self.kind.is_some();
        let batch = ChangeBatch {
            ops: events.iter().map(|e| e.op as u8).collect(),
            before,
            after,
            committed_at: events.iter().map(|e| e.time).collect(),
            transaction: beside(self.transaction)?,
            commit_position: positioned.then(|| events.iter().map(|e| e.commit).collect()),
            position: positioned.then(|| events.iter().map(|e| e.position).collect()),
            record: local.iter().map(|&row| raw.record(segment, row as usize)).collect(),
            file: raw.file(segment).0,
            stream: (0..events.len() as u64).collect(),
            actor: beside(self.actor)?,
        };
        debug_assert!(batch.is_consistent(), "every part has one entry per change");
        Ok(batch)
    }
}

fn blank(places: &[Option<u32>], columns: usize) -> Images {
    let present = places.iter().map(Option::is_some).collect();
    Images { columns: vec![None; columns], present: Some(present), states: vec![None; columns] }
}

/// The array without values where cells are not known.
fn only_known(array: &ArrayRef, states: &[u8]) -> Result<ArrayRef, ArrowError> {
    if states.iter().all(|&s| s == KNOWN) {
        return Ok(Arc::clone(array));
    }
    let known: UInt32Array =
        states.iter().enumerate().map(|(row, &s)| (s == KNOWN).then_some(row as u32)).collect();
    arrow::compute::take(array.as_ref(), &known, None)
}

/// The raw rows that some events need, each once.
struct Pool {
    /// Their numbers, rising.
    rows: Vec<u32>,
    /// Per table column their cells, if the raw table has the column.
    columns: Vec<Option<Converted>>,
    masks: Vec<Option<Vec<u8>>>,
}

impl Pool {
    fn new(
        raw: &Raw,
        events: &[Event],
        of: &Events,
        (target, options): (&TableTarget, &CellOptions),
    ) -> Result<Self> {
        let mut rows: Vec<u32> =
            events.iter().flat_map(|e| [e.before, e.after]).filter(|&r| r != NONE).collect();
        rows.sort_unstable();
        rows.dedup();
        let mask = of.mask.as_ref().map(|m| m.column);
        let mut wanted: Vec<usize> = of.cells.iter().copied().flatten().chain(mask).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut parts: Vec<Vec<Converted>> = of.cells.iter().map(|_| Vec::new()).collect();
        let mut masks = Vec::new();
        let mut rest = rows.as_slice();
        while let Some(&first) = rest.first() {
            let (segment, _) = raw.locate(u64::from(first));
            let (start, next) = (raw.first(segment), raw.first(segment + 1));
            let (here, behind) = rest.split_at(rest.partition_point(|&r| u64::from(r) < next));
            let local: Vec<u32> = here.iter().map(|&r| (u64::from(r) - start) as u32).collect();
            let whole = local.len() as u64 == next - start;
            let batch = raw.read(segment, &wanted, (!whole).then_some(local.as_slice()))?;
            for (column, cell) in of.cells.iter().enumerate() {
                let Some(at) = cell.and_then(|c| wanted.binary_search(&c).ok()) else { continue };
                let data_type = target.schema.data_type(column);
                parts[column].push(convert(batch.column(at), data_type, options, of.empty_texts));
            }
            if let Some(at) = mask.and_then(|m| wanted.binary_search(&m).ok()) {
                masks.extend(texts(batch.column(at)).iter().map(|t| t.and_then(bytes)));
            }
            rest = behind;
        }
        let join = |(column, parts): (usize, Vec<Converted>)| {
            of.cells[column].map(|_| Converted::join(parts, target.schema.data_type(column))).transpose()
        };
        let columns = parts.into_iter().enumerate().map(join).collect::<Result<_, _>>();
        Ok(Self { columns: columns.map_err(Error::arrow(raw.path()))?, masks, rows })
    }

    fn place(&self, row: u32) -> Option<u32> {
        self.rows.binary_search(&row).ok().map(|at| at as u32)
    }

    fn mask(&self, place: Option<u32>) -> Option<&[u8]> {
        self.masks.get(place? as usize)?.as_deref()
    }
}

impl Converted {
    /// Converted parts of one column as one.
    fn join(parts: Vec<Self>, data_type: &DataType) -> Result<Self, ArrowError> {
        if parts.is_empty() {
            return Ok(Self { array: new_null_array(data_type, 0), misfits: Vec::new() });
        }
        let arrays: Vec<&dyn Array> = parts.iter().map(|p| p.array.as_ref()).collect();
        let array = arrow::compute::concat(&arrays)?;
        let (mut misfits, mut first) = (Vec::new(), 0);
        for part in parts {
            misfits.extend(part.misfits.into_iter().map(|(row, misfit)| (first + row, misfit)));
            first += part.array.len();
        }
        Ok(Self { array, misfits })
    }

    fn take(&self, places: &[Option<u32>]) -> Result<ArrayRef, ArrowError> {
        let indices: UInt32Array = places.iter().copied().collect();
        arrow::compute::take(self.array.as_ref(), &indices, None)
    }

    /// Known, but for what did not fit.
    fn states(&self, places: &[Option<u32>]) -> Vec<u8> {
        let mut lost = vec![false; if self.misfits.is_empty() { 0 } else { self.array.len() }];
        self.misfits.iter().for_each(|(row, _)| lost[*row] = true);
        let is_lost = |place: &Option<u32>| place.is_some_and(|p| lost.get(p as usize) == Some(&true));
        places.iter().map(|p| if is_lost(p) { ABSENT } else { KNOWN }).collect()
    }
}
