//! Columns of images read alone, one behind the other.
//!
//! Where each cell of an image is a value of a plain column as it stands, what is
//! made of one column does not depend on another. Then few buffers serve all of
//! them, and what they hold stays in the cache.

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;

use super::MappedTable;
use crate::error::Result;
use crate::ledger::columns::Cell;
use crate::ledger::mapped::same_values;

impl MappedTable {
    /// Whether [`Self::read_image_column`] can be asked for columns of a segment: every column outside the key
    /// is whole on both sides, and columns of the key stand beside the images.
    pub fn has_columns_alone(&self, segment: usize) -> bool {
        let cells = |cells: &[Option<Cell>]| (0..cells.len()).all(|c| self.is_alone(segment, c, cells[c]));
        let is_plain = self.map.rows.is_none() && self.missing.is_none() && !self.empties_by_type;
        is_plain && self.selected[segment].is_none() && cells(&self.map.before) && cells(&self.map.after)
    }

    fn is_alone(&self, segment: usize, column: usize, cell: Option<Cell>) -> bool {
        if self.schema.is_key(column) {
            return matches!(cell, Some(Cell::Root(_)));
        }
        let ((table, group), wanted) = (self.segments[segment], self.schema.data_type(column));
        let table = &self.tables[table];
        cell.is_some_and(|cell| {
            let own = cell.data_type(table.schema());
            own.is_some_and(|own| own == *wanted || same_values(&own, wanted))
                && table.has_leaf(group, leaf(cell))
        })
    }

    /// Reads a column of the images before or after the changes of a segment, packed and in parts of so many
    /// rows; `false` if it cannot be read alone after all. `take` is told where images are there, if the file
    /// says so and they are not there everywhere.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read_image_column(
        &self,
        segment: usize,
        (column, after): (usize, bool),
        rows: usize,
        take: &mut dyn FnMut(&ArrayRef, Option<&NullBuffer>),
    ) -> Result<bool> {
        let cells = if after { &self.map.after } else { &self.map.before };
        let Some(cell) = cells[column] else { return Ok(false) };
        let (table, group) = self.segments[segment];
        self.tables[table].read_leaf_parts(group, leaf(cell), rows, take)
    }
}

/// The column of a file, and the field of it.
fn leaf(cell: Cell) -> (usize, Option<usize>) {
    match cell {
        Cell::Root(root) => (root, None),
        Cell::Field(root, field) => (root, Some(field)),
    }
}
