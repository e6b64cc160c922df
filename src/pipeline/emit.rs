//! Fourth pass: the columns of output groups, put together on demand.
//!
//! A column of a group that no change touched is a chunk of the current state
//! and never decoded. One whose rows stand where they stood is decoded, and is
//! still the same chunk if every cell that a record supplies equals the current
//! one. Only what is left is put together and encoded anew.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::SchemaRef;

use super::fetch::{FOREIGN, NOTHING};
use super::layout::Row;
use super::rebuild::Rebuilt;
use crate::error::{Error, Result};
use crate::model::canon;
use crate::read::{Packing, unpacked};
use crate::snapshot::{Assembly, CanCopy, Cells, ChunkOfInput, Gathering, GroupSource, Pieces};

/// Groups under way at a time need no more than this.
const RECENT_MAX: usize = 16;

/// Pieces of output groups and lanes, made once for all columns of a lane.
#[derive(Debug, Default)]
pub(super) struct RecentPieces(Mutex<VecDeque<OfLane>>);

/// Group, lane, and their pieces.
type OfLane = ((usize, usize), Arc<GroupPieces>);

/// Where the cells of some rows come from.
#[derive(Debug, Default)]
struct GroupPieces {
    /// Array 0 is the group's own; the others are those of `named`, in order, from 1.
    pieces: Arc<Pieces>,
    /// The numbers, among all arrays, of those that a piece names. A ledger of many row groups has many
    /// more arrays than a group of the output takes cells from.
    named: Vec<u32>,
}

impl RecentPieces {
    /// The pieces of a group and lane, made if they are not known.
    fn of(&self, key: (usize, usize), make: impl FnOnce() -> GroupPieces) -> Arc<GroupPieces> {
        let lock = || self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, known)) = lock().iter().find(|(k, _)| *k == key) {
            return Arc::clone(known);
        }
        let made = Arc::new(make());
        let mut recent = lock();
        if recent.len() >= RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back((key, Arc::clone(&made)));
        made
    }
}

impl Rebuilt<'_> {
    fn lane(&self, column: usize) -> usize {
        if self.is_whole {
            return 0;
        }
        self.input.lanes.of_column(column).map_or(0, |lane| 1 + lane)
    }

    /// The array and row of a patch's cell in a lane. Arrays: the group's own, images, foreign rows, a null.
    fn cell(&self, patch: u32, lane: usize) -> (u32, u32) {
        let images = self.fetched.array_count() as u32;
        match self.references[patch as usize * self.stride() + lane] {
            NOTHING => (2 + images, 0),
            (FOREIGN, row) => (1 + images, row),
            place => place,
        }
    }

    fn pieces(&self, rows: &[Row], lane: usize) -> GroupPieces {
        // References lie all over memory: a loop of nothing else has many of them under way at a time.
        let patches = rows.iter().filter_map(|row| match row {
            Row::Patch(number) => Some(*number),
            Row::Keep(_) => None,
        });
        let cells: Vec<(u32, u32)> = patches.map(|number| self.cell(number, lane)).collect();
        let mut named: Vec<u32> = cells.iter().map(|cell| cell.0).filter(|&array| array != 0).collect();
        named.sort_unstable();
        named.dedup();
        let mut next = 0;
        let mut pieces = Pieces::default();
        for row in rows {
            match row {
                Row::Keep(row) => pieces.keep(*row),
                Row::Patch(_) => {
                    let (array, row) = cells[next];
                    next += 1;
                    let place = if array == 0 { 0 } else { 1 + named.partition_point(|&n| n < array) as u32 };
                    pieces.supply(place, row);
                }
            }
        }
        GroupPieces { pieces: Arc::new(pieces), named }
    }

    /// The arrays that the cells of a column come from: the group's own, those named, and a null that
    /// only tells their type where there are no others.
    fn arrays<'a>(
        &'a self,
        column: usize,
        own: Option<&'a ArrayRef>,
        (named, null): (&[u32], &'a ArrayRef),
    ) -> Vec<Option<&'a ArrayRef>> {
        let images = self.fetched.array_count() as u32;
        let array = |&number: &u32| match number.checked_sub(1 + images) {
            None => self.fetched.array(number - 1, column),
            Some(0) => self.foreign.as_ref().map(|batch| batch.column(column)),
            Some(_) => Some(null),
        };
        std::iter::once(own).chain(named.iter().map(array)).chain([Some(null)]).collect()
    }

    /// The key columns of present patches; all columns where there is no key.
    pub(super) fn keys(&self, numbers: &[u32]) -> Result<Vec<ArrayRef>> {
        let rows: Vec<Row> = numbers.iter().map(|&n| Row::Patch(n)).collect();
        let columns: Vec<usize> = if self.input.schema.is_keyless() {
            (0..self.input.schema.len()).collect()
        } else {
            self.input.schema.key().to_vec()
        };
        columns
            .into_iter()
            .map(|column| {
                let (of, null) =
                    (self.pieces(&rows, self.lane(column)), new_null_array(&self.types[column], 1));
                let cells = Gathering::new(self.arrays(column, None, (&of.named, &null)), &of.pieces)
                    .and_then(|cells| cells.array())
                    .map_err(Error::arrow(self.input.current_path()))?;
                self.plain(column, &cells)
            })
            .collect()
    }

    fn plain(&self, column: usize, array: &ArrayRef) -> Result<ArrayRef> {
        unpacked(array, self.input.schema.data_type(column)).map_err(Error::arrow(self.input.current_path()))
    }

    /// A column of the group of the current state that an output group comes from.
    fn own(&self, group: usize, column: usize) -> Result<Option<ArrayRef>> {
        self.layouts[group].group.map(|group| self.own_column(group, column)).transpose()
    }

    /// A column of a group of the current state, in the type in which cells are put together.
    pub(super) fn own_column(&self, group: usize, column: usize) -> Result<ArrayRef> {
        let read = || {
            let batch = self.input.read_current_as(group, &[column], Packing::Packed)?;
            Ok(ArrayRef::clone(batch.column(0)))
        };
        let own = unpacked(&self.shared.column((group, column), read)?, &self.types[column]);
        own.map_err(Error::arrow(self.input.current_path()))
    }

    /// A column of an output group, in the type in which cells are put together; `own` is that of the
    /// current state.
    pub(super) fn column_from(
        &self,
        group: usize,
        column: usize,
        own: Option<&ArrayRef>,
    ) -> Result<ArrayRef> {
        if self.unborn[column] {
            return Ok(new_null_array(&self.types[column], self.rows(group)));
        }
        match self.assembly(group, column, own) {
            Some(parts) => parts
                .gathering()
                .and_then(|cells| cells.array())
                .map_err(Error::arrow(self.input.current_path())),
            None => Ok(own.map_or_else(|| new_null_array(&self.types[column], 0), ArrayRef::clone)),
        }
    }

    /// A column of an output group in parts; `own` is that of the current state. `None`: it is `own`.
    fn assembly(&self, group: usize, column: usize, own: Option<&ArrayRef>) -> Option<Assembly> {
        let rows = self.layouts[group].rows.as_ref()?;
        let lane = self.lane(column);
        let of = self.recent.of((group, lane), || self.pieces(rows, lane));
        let null = new_null_array(&self.types[column], 1);
        let arrays = self.arrays(column, own, (&of.named, &null));
        let arrays = arrays.into_iter().map(|array| array.cloned()).collect();
        Some(Assembly { arrays, pieces: Arc::clone(&of.pieces) })
    }

    /// Whether rows that stand where they stood have the same cell by being the same row.
    fn is_identity(&self, column: usize) -> bool {
        let schema = &self.input.schema;
        let is_plain = self.input.normalise.iter().all(|how| how.is_empty());
        schema.key() == [column] && is_plain && canon::is_ordered_id(schema.data_type(column))
    }

    /// The chunk of the current state that a column of an output group may be.
    fn chunk(&self, group: usize, column: usize, can_copy: &CanCopy<'_>) -> Option<ChunkOfInput<'_>> {
        let layout = &self.layouts[group];
        let from = layout.group.filter(|_| layout.in_place && self.input.scope.is_none())?;
        // Columns that folders state are no columns of the file.
        let group = self.input.table.parquet(from)?;
        let chunk = ChunkOfInput { group, column };
        let in_file = column < group.metadata.file_metadata().schema_descr().root_schema().get_fields().len();
        (in_file && can_copy(&chunk)).then_some(chunk)
    }
}

impl GroupSource for Rebuilt<'_> {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn groups(&self) -> usize {
        self.layouts.len()
    }

    fn rows(&self, group: usize) -> usize {
        let layout = &self.layouts[group];
        match (&layout.rows, layout.group) {
            (Some(rows), _) => rows.len(),
            (None, Some(group)) => self.input.rows_of_current(group).unwrap_or(0),
            (None, None) => 0,
        }
    }

    fn column(&self, group: usize, column: usize) -> Result<ArrayRef> {
        if self.unborn[column] {
            return Ok(new_null_array(self.input.schema.data_type(column), self.rows(group)));
        }
        let own = self.own(group, column)?;
        self.plain(column, &self.column_from(group, column, own.as_ref())?)
    }

    fn cells(&self, group: usize, column: usize, can_copy: &CanCopy<'_>) -> Result<Cells<'_>> {
        if self.unborn[column] {
            return Ok(Cells::Array(self.column(group, column)?));
        }
        let chunk = self.chunk(group, column, can_copy);
        if let (None, Some(chunk)) = (&self.layouts[group].rows, chunk) {
            return Ok(Cells::Chunk(chunk));
        }
        if let Some(chunk) = chunk.filter(|_| self.is_identity(column)) {
            return Ok(Cells::Chunk(chunk));
        }
        let own = self.own(group, column)?;
        let Some(parts) = self.assembly(group, column, own.as_ref()) else {
            return Ok(Cells::Array(own.unwrap_or_else(|| new_null_array(&self.types[column], 0))));
        };
        let is_own = || parts.gathering()?.is_array_0();
        match chunk {
            Some(chunk) if is_own().map_err(Error::arrow(self.input.current_path()))? => {
                Ok(Cells::Chunk(chunk))
            }
            _ => Ok(Cells::Parts(parts)),
        }
    }
}
