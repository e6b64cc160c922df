//! A snapshot with the columns in force at its moment alone (`--schema at-date`).
//!
//! Columns that the ledger shows to have begun later are left out; without the option
//! they are there, and null. Key columns always stay. Those that were dropped since come from
//! [`super::dropped`].

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Schema, SchemaRef};

use crate::error::Result;
use crate::snapshot::{CanCopy, Cells, GroupSource};

/// Some columns of a table.
pub(super) struct InForce<'a> {
    source: &'a dyn GroupSource,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl<'a> InForce<'a> {
    /// The table without these columns of it, which are given by name.
    pub(super) fn without(source: &'a dyn GroupSource, left_out: &[String]) -> Self {
        let fields = source.schema().fields();
        let columns: Vec<usize> =
            (0..fields.len()).filter(|&c| !left_out.contains(fields[c].name())).collect();
        let kept: Vec<_> = columns.iter().map(|&c| Arc::clone(&fields[c])).collect();
        let schema = Arc::new(Schema::new_with_metadata(kept, source.schema().metadata().clone()));
        Self { source, columns, schema }
    }
}

impl GroupSource for InForce<'_> {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn groups(&self) -> usize {
        self.source.groups()
    }

    fn rows(&self, group: usize) -> usize {
        self.source.rows(group)
    }

    fn bands(&self) -> Vec<Range<usize>> {
        self.source.bands()
    }

    fn enter(&self, band: &Range<usize>) -> Result<()> {
        self.source.enter(band)
    }

    fn column(&self, group: usize, column: usize) -> Result<ArrayRef> {
        self.source.column(group, self.columns[column])
    }

    fn cells(&self, group: usize, column: usize, can_copy: &CanCopy<'_>) -> Result<Cells<'_>> {
        self.source.cells(group, self.columns[column], can_copy)
    }
}
