//! Fourth pass: the columns of output groups, put together on demand.
//!
//! A column of a group that no change touched is a chunk of the current state
//! and never decoded. One whose rows stand where they stood is decoded, and is
//! still the same chunk if every cell that a record supplies equals the current
//! one. Only what is left is put together and encoded anew.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::datatypes::SchemaRef;

use super::fetch::{FOREIGN, NOTHING};
use super::gather::{GroupPieces, Pieces, gather};
use super::layout::Row;
use super::rebuild::Rebuilt;
use crate::error::{Error, Result};
use crate::read::{Packing, unpacked};
use crate::snapshot::{CanCopy, Cells, ChunkOfInput, GroupSource};

impl Rebuilt<'_> {
    fn lane(&self, column: usize) -> usize {
        self.input.lanes.of_column(column).map_or(0, |lane| 1 + lane)
    }

    /// The array and row of a row's cell in a lane. Arrays: the group's own, images, foreign rows, a null.
    fn cell(&self, row: Row, lane: usize) -> (u32, u32) {
        let images = self.fetched.array_count() as u32;
        match row {
            Row::Keep(row) => (0, row),
            Row::Patch(number) => match self.references[number as usize * self.stride() + lane] {
                NOTHING => (2 + images, 0),
                (FOREIGN, row) => (1 + images, row),
                (array, row) => (array, row),
            },
        }
    }

    fn pieces(&self, rows: &[Row], lane: usize, in_place: bool) -> GroupPieces {
        let mut pieces = GroupPieces::default();
        for (at, &row) in rows.iter().enumerate() {
            let (array, from) = self.cell(row, lane);
            pieces.all.push(array, from);
            if in_place && array != 0 {
                pieces.supplied.push(array, from);
                pieces.replaced.push(0, at as u32);
            }
        }
        pieces
    }

    /// As [`Rebuilt::pieces`] of an output group, shared by the columns of a lane.
    fn group_pieces(&self, group: usize, rows: &[Row], lane: usize) -> Arc<GroupPieces> {
        self.recent.of((group, lane), || self.pieces(rows, lane, self.layouts[group].in_place))
    }

    fn gather(&self, column: usize, own: Option<&ArrayRef>, pieces: &Pieces) -> Result<ArrayRef> {
        let null = new_null_array(&self.types[column], 1);
        let foreign = self.foreign.as_ref().map(|batch| batch.column(column));
        let mut arrays = vec![own];
        arrays.extend(self.fetched.arrays(column));
        arrays.extend([foreign, Some(&null)]);
        gather(&arrays, pieces).map_err(Error::arrow(self.input.current_path()))
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
                let cells = self.gather(column, None, &self.pieces(&rows, self.lane(column), false).all)?;
                self.plain(column, &cells)
            })
            .collect()
    }

    fn plain(&self, column: usize, array: &ArrayRef) -> Result<ArrayRef> {
        unpacked(array, self.input.schema.data_type(column)).map_err(Error::arrow(self.input.current_path()))
    }

    /// A column of the group of the current state that an output group comes from.
    fn own(&self, group: usize, column: usize) -> Result<Option<ArrayRef>> {
        let Some(group) = self.layouts[group].group else { return Ok(None) };
        let batch = self.input.read_current_as(group, &[column], Packing::Packed)?;
        let own = unpacked(batch.column(0), &self.types[column]);
        own.map(Some).map_err(Error::arrow(self.input.current_path()))
    }

    /// A column of an output group; `own` is that of the current state.
    fn array(&self, group: usize, column: usize, own: Option<ArrayRef>) -> Result<ArrayRef> {
        match &self.layouts[group].rows {
            None => Ok(own.unwrap_or_else(|| new_null_array(&self.types[column], 0))),
            Some(rows) => {
                let pieces = self.group_pieces(group, rows, self.lane(column));
                self.gather(column, own.as_ref(), &pieces.all)
            }
        }
    }

    /// Whether every cell that a record supplies equals the one that stands there.
    fn is_unchanged(&self, group: usize, column: usize, own: Option<&ArrayRef>) -> Result<bool> {
        let Some(rows) = &self.layouts[group].rows else { return Ok(true) };
        let pieces = self.group_pieces(group, rows, self.lane(column));
        let supplied = self.gather(column, own, &pieces.supplied)?;
        let replaced = self.gather(column, own, &pieces.replaced)?;
        Ok(supplied.to_data() == replaced.to_data())
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
        self.plain(column, &self.array(group, column, own)?)
    }

    fn cells(&self, group: usize, column: usize, can_copy: &CanCopy<'_>) -> Result<Cells<'_>> {
        if self.unborn[column] {
            return Ok(Cells::Array(self.column(group, column)?));
        }
        let chunk = self.chunk(group, column, can_copy);
        if let (None, Some(chunk)) = (&self.layouts[group].rows, chunk) {
            return Ok(Cells::Chunk(chunk));
        }
        let own = self.own(group, column)?;
        match chunk {
            Some(chunk) if self.is_unchanged(group, column, own.as_ref())? => Ok(Cells::Chunk(chunk)),
            _ => Ok(Cells::Array(self.array(group, column, own)?)),
        }
    }
}
