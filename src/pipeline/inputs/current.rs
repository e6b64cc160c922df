//! The current state of a dataset, within its scope.
//!
//! Several passes want the key columns: the one that looks up which keys stand, those that
//! put rows in order, judge them and write them. Where memory is not limited, the first keeps
//! them for the others, up to a bound; what does not fit is read again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::Schema;
use arrow::error::ArrowError;

use super::{DatasetInput, SCAN_ROWS};
use crate::error::{Error, Result};
use crate::pipeline::scope::ScopeFilter;
use crate::read::{Packing, unpacked};

/// Bytes of key columns kept for all datasets of a run.
const BUDGET: u64 = 128 << 20;

/// The key columns of groups of the current state, as they were read first. Keeps none until it is given room.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct KeptKeys {
    room: AtomicU64,
    groups: Mutex<HashMap<usize, RecordBatch>>,
}

impl KeptKeys {
    /// Gives it its share of the room that so many datasets have.
    pub(in crate::pipeline) fn allow(&self, datasets: usize) {
        self.room.store(BUDGET / datasets.max(1) as u64, Ordering::Relaxed);
    }

    /// Keeps the packed key columns of a group, if there is room for them.
    fn keep(&self, group: usize, batch: &RecordBatch) {
        let bytes = batch.get_array_memory_size() as u64;
        let taken = self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |r| r.checked_sub(bytes));
        if taken.is_ok() {
            let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
            groups.insert(group, batch.clone());
        }
    }

    /// The key columns of a group.
    fn of(&self, group: usize) -> Option<RecordBatch> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).get(&group).cloned()
    }
}

impl DatasetInput {
    /// Columns of a group of the current state, within the dataset's scope.
    pub(in crate::pipeline) fn read_current(&self, group: usize, columns: &[usize]) -> Result<RecordBatch> {
        self.read_current_as(group, columns, Packing::Plain)
    }

    /// As [`Self::read_current`], in a layout.
    pub(in crate::pipeline) fn read_current_as(
        &self,
        group: usize,
        columns: &[usize],
        packing: Packing,
    ) -> Result<RecordBatch> {
        if let Some(kept) = self.kept_columns(group, columns, packing)? {
            return Ok(kept);
        }
        let batch = self.read_file_as(group, columns, packing)?;
        if columns == self.schema.key() && packing == Packing::Packed {
            self.kept.keep(group, &batch);
        }
        Ok(batch)
    }

    /// Columns of a group, if they are all of the key and kept.
    fn kept_columns(&self, group: usize, columns: &[usize], packing: Packing) -> Result<Option<RecordBatch>> {
        let place = |column: &usize| self.schema.key().iter().position(|key| key == column);
        let Some(places) = columns.iter().map(place).collect::<Option<Vec<usize>>>() else { return Ok(None) };
        if places.is_empty() {
            return Ok(None);
        }
        let Some(kept) = self.kept.of(group) else { return Ok(None) };
        let failed = Error::arrow(self.current_path());
        let kept = kept.project(&places).and_then(|batch| match packing {
            Packing::Packed => Ok(batch),
            Packing::Plain => self.plain(columns, &batch),
        });
        kept.map(Some).map_err(failed)
    }

    /// Packed columns in their plain types.
    fn plain(&self, columns: &[usize], batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let plain = |(&column, array): (&usize, &ArrayRef)| unpacked(array, self.schema.data_type(column));
        let arrays = columns.iter().zip(batch.columns()).map(plain).collect::<Result<Vec<_>, _>>()?;
        let own = batch.schema();
        let fields = own.fields().iter().zip(&arrays);
        let fields: Vec<_> =
            fields.map(|(f, a)| f.as_ref().clone().with_data_type(a.data_type().clone())).collect();
        let schema = Schema::new_with_metadata(fields, own.metadata().clone());
        RecordBatch::try_new(Arc::new(schema), arrays)
    }

    fn read_file_as(&self, group: usize, columns: &[usize], packing: Packing) -> Result<RecordBatch> {
        let Some(filter) = &self.scope else {
            return self.table.read_as(group, columns, None, packing);
        };
        let mask = self.mask(group, filter)?;
        let batch = self.table.read_as(group, columns, None, packing)?;
        arrow::compute::filter_record_batch(&batch, &mask).map_err(Error::arrow(self.current_path()))
    }

    /// A column of the rows with these rising numbers, as [`Self::read_current`] numbers them.
    pub(in crate::pipeline) fn read_current_cells(
        &self,
        (group, rows): (usize, &[u32]),
        column: usize,
        packing: Packing,
    ) -> Result<ArrayRef> {
        if self.scope.is_none() {
            let batch = self.table.read_as(group, &[column], Some(rows), packing)?;
            return Ok(ArrayRef::clone(batch.column(0)));
        }
        let batch = self.read_current_as(group, &[column], packing)?;
        let rows = arrow::array::UInt32Array::from(rows.to_vec());
        let cells = arrow::compute::take(batch.column(0), &rows, None);
        cells.map_err(Error::arrow(self.current_path()))
    }

    /// Columns of a group of the current state, packed, one behind the other and in parts that stay in the
    /// cache; `take` is told the column and the first row.
    pub(in crate::pipeline) fn current_parts(
        &self,
        group: usize,
        columns: &[usize],
        take: &mut dyn FnMut(usize, usize, &ArrayRef),
    ) -> Result<()> {
        if self.scope.is_some() {
            let batch = self.read_current_as(group, columns, Packing::Packed)?;
            columns.iter().zip(batch.columns()).for_each(|(&column, array)| take(column, 0, array));
            return Ok(());
        }
        for &column in columns {
            let mut from = 0;
            self.table.read_parts(group, &[column], (Packing::Packed, SCAN_ROWS), &mut |batch| {
                take(column, from, batch.column(0));
                from += batch.num_rows();
                Ok(())
            })?;
        }
        Ok(())
    }

    /// All columns of the rows with these rising numbers, as [`Self::read_current`] numbers them.
    pub(in crate::pipeline) fn read_current_rows(&self, group: usize, rows: &[u32]) -> Result<RecordBatch> {
        let all: Vec<usize> = (0..self.schema.len()).collect();
        if self.scope.is_none() {
            return self.table.read(group, &all, Some(rows));
        }
        let batch = self.read_current(group, &all)?;
        let rows = arrow::array::UInt32Array::from(rows.to_vec());
        arrow::compute::take_record_batch(&batch, &rows).map_err(Error::arrow(self.current_path()))
    }

    fn mask(&self, group: usize, scope: &ScopeFilter) -> Result<arrow::array::BooleanArray> {
        let batch = self.table.read(group, &scope.columns, None)?;
        Ok(scope.filter.evaluate(&batch))
    }

    /// Which rows of a group, of those in scope, the ledger was recorded of; `None`: all.
    pub(in crate::pipeline) fn recorded_of(
        &self,
        group: usize,
    ) -> Result<Option<arrow::array::BooleanArray>> {
        let Some(filter) = &self.recorded else { return Ok(None) };
        let batch = self.read_current(group, &filter.columns)?;
        Ok(Some(filter.filter.evaluate(&batch)))
    }

    /// How many rows of a group are in scope.
    pub(in crate::pipeline) fn rows_of_current(&self, group: usize) -> Result<usize> {
        match &self.scope {
            None => Ok(self.table.rows(group)),
            Some(filter) => Ok(self.mask(group, filter)?.true_count()),
        }
    }
}
