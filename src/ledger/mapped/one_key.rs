//! What one key needs of a segment: where it is named, and how the segment's marks rise.
//!
//! Both come from few columns, read as they are. What cannot be told this way
//! (keys inside structs, marks that are no plain integers) is not told.

use arrow::array::{Array, ArrayRef, AsArray, Scalar};
use arrow::compute::kernels::cmp::eq;
use arrow::datatypes::{DataType, Int64Type};

use super::MappedTable;
use crate::error::{Error, Result};
use crate::ledger::columns::Cell;

/// The marks of a segment that is in order in itself: positions rise, ids of transactions do not fall.
#[derive(Debug, Clone)]
pub struct RisingMarks {
    /// The first and the last position.
    pub positions: (i64, i64),
    /// The transaction of each change; `None` if the ledger names none.
    pub transactions: Option<Vec<i64>>,
}

impl MappedTable {
    /// Rows of a segment that may name a key, given as arrays of one cell; `None` if that is not told so cheaply.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn rows_naming(&self, segment: usize, key: &[ArrayRef]) -> Result<Option<Vec<u32>>> {
        let (table, group) = self.segments[segment];
        let fields = self.tables[table].schema();
        let (&[column], [wanted]) = (self.schema.key(), key) else { return Ok(None) };
        let mut columns = Vec::new();
        for cell in [self.map.before[column], self.map.after[column]].into_iter().flatten() {
            match cell {
                Cell::Root(column) if fields.field(column).data_type() == wanted.data_type() => {
                    columns.push(column);
                }
                _ => return Ok(None),
            }
        }
        columns.sort_unstable();
        columns.dedup();
        if self.selected[segment].is_some()
            || columns.is_empty()
            || !is_compared_as_it_stands(wanted.data_type())
        {
            return Ok(None);
        }
        let batch = self.tables[table].read(group, &columns, None)?;
        let mut rows: Vec<u32> = Vec::new();
        for array in batch.columns() {
            let equal = eq(array, &Scalar::new(wanted)).map_err(Error::arrow(self.path().as_ref()))?;
            rows.extend(
                equal.values().set_indices().filter(|&row| equal.is_valid(row)).map(|row| row as u32),
            );
        }
        rows.sort_unstable();
        rows.dedup();
        Ok(Some(rows))
    }

    /// The marks of a segment, if they are plain integers and in order.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn rising_marks(&self, segment: usize) -> Result<Option<RisingMarks>> {
        let (table, group) = self.segments[segment];
        let fields = self.tables[table].schema();
        let whole = |column: usize| *fields.field(column).data_type() == DataType::Int64;
        let Some(position) = self.map.position.filter(|&p| whole(p)) else { return Ok(None) };
        // What the footer says of times covers what reading them could find wrong.
        if self.range(segment).is_none() || self.map.transaction.is_some_and(|id| !whole(id)) {
            return Ok(None);
        }
        let mut columns = vec![position];
        columns.extend(self.map.transaction);
        let batch = self.tables[table].read(group, &columns, None)?;
        if batch.num_rows() == 0 || batch.columns().iter().any(|array| array.null_count() > 0) {
            return Ok(None);
        }
        let values = |column: usize| batch.column(column).as_primitive::<Int64Type>().values().clone();
        let positions = values(0);
        let transactions = self.map.transaction.map(|_| values(1).to_vec());
        let rising = positions.windows(2).fold(true, |rising, pair| rising & (pair[0] < pair[1]));
        let falls = |ids: &Vec<i64>| ids.windows(2).fold(false, |falls, pair| falls | (pair[0] > pair[1]));
        if !rising || positions[0] < 0 || transactions.as_ref().is_some_and(falls) {
            return Ok(None);
        }
        let positions = (positions[0], positions[positions.len() - 1]);
        Ok(Some(RisingMarks { positions, transactions }))
    }
}

/// Whether cells of this type are equal where their stored values are.
fn is_compared_as_it_stands(data_type: &DataType) -> bool {
    data_type.is_integer()
        || matches!(
            data_type,
            DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Date32
                | DataType::Decimal128(..)
                | DataType::Boolean
        )
}
