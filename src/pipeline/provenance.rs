//! A snapshot with two more columns: the verdict on each row and the record that supplies it.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::inputs::DatasetInput;
use super::layout::Row;
use super::verdicts::Judge;
use crate::error::{Error, Result};
use crate::snapshot::{CanCopy, Cells, GroupSource};

/// The names of the two columns.
pub(super) const COLUMNS: [&str; 2] = ["asof_verdict", "asof_source"];

/// Refuses tables that have a column of such a name, which a file would then hold twice.
pub(super) fn check(inputs: &[DatasetInput]) -> Result<()> {
    for input in inputs {
        if let Some(name) = COLUMNS.into_iter().find(|name| input.schema.column(name).is_some()) {
            return Err(Error::Plan {
                place: "--provenance".to_owned(),
                message: format!("{} has a column {name:?} of its own", input.plan.name),
                hint: Some(
                    "leave out --provenance (verdicts.parquet has the verdicts), or rename the column"
                        .to_owned(),
                ),
            });
        }
    }
    Ok(())
}

/// Adds `asof_verdict` and `asof_source`.
pub(super) struct WithProvenance<'a> {
    inner: &'a dyn GroupSource,
    judge: &'a Judge<'a>,
    schema: SchemaRef,
}

impl<'a> WithProvenance<'a> {
    /// `inner` has the rows that are judged.
    pub(super) fn new(inner: &'a dyn GroupSource, judge: &'a Judge<'a>) -> Self {
        let mut fields: Vec<Field> = inner.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
        fields.extend(COLUMNS.map(|name| Field::new(name, DataType::Utf8, false)));
        let schema = Arc::new(Schema::new_with_metadata(fields, inner.schema().metadata().clone()));
        Self { inner, judge, schema }
    }

    /// The record or row that supplies a row.
    fn source(&self, row: Row) -> String {
        let Row::Patch(number) = row else { return "current".to_owned() };
        let rebuilt = self.judge.rebuilt;
        let existed = (0..rebuilt.input.lanes.count()).find(|&lane| !rebuilt.is_unborn(lane));
        let first = existed.map(|lane| rebuilt.choice_of_lane(number, 1 + lane).source);
        let source = first.and_then(|source| rebuilt.input.source_name(source));
        source.unwrap_or_else(|| "nothing".to_owned())
    }
}

impl GroupSource for WithProvenance<'_> {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn groups(&self) -> usize {
        self.inner.groups()
    }

    fn rows(&self, group: usize) -> usize {
        self.inner.rows(group)
    }

    fn bands(&self) -> Vec<Range<usize>> {
        self.inner.bands()
    }

    fn enter(&self, band: &Range<usize>) -> Result<()> {
        self.inner.enter(band)
    }

    fn cells(&self, group: usize, column: usize, can_copy: &CanCopy<'_>) -> Result<Cells<'_>> {
        if column < self.inner.schema().fields().len() {
            return self.inner.cells(group, column, can_copy);
        }
        Ok(Cells::Array(self.column(group, column)?))
    }

    fn column(&self, group: usize, column: usize) -> Result<ArrayRef> {
        let own = self.inner.schema().fields().len();
        if column < own {
            return self.inner.column(group, column);
        }
        let texts: StringArray = if column == own {
            self.judge.row_verdicts(group)?.into_iter().map(|verdict| Some(verdict.name())).collect()
        } else {
            let rows = self.judge.rebuilt.layouts[group].rows();
            let row = |row: usize| rows.as_ref().map_or(Row::Keep(row as u32), |rows| rows[row]);
            (0..self.rows(group)).map(|at| Some(self.source(row(at)))).collect()
        };
        Ok(Arc::new(texts))
    }
}
