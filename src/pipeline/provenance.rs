//! A snapshot with two more columns: the verdict on each row and the record that supplies it.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::layout::Row;
use super::rebuild::Rebuilt;
use crate::error::Result;
use crate::replay::select::{Choice, Fate, Source};
use crate::snapshot::{CanCopy, Cells, GroupSource};

/// Adds `asof_verdict` and `asof_source`.
pub(super) struct WithProvenance<'a> {
    rebuilt: &'a Rebuilt<'a>,
    schema: SchemaRef,
}

impl<'a> WithProvenance<'a> {
    pub(super) fn new(rebuilt: &'a Rebuilt<'a>) -> Self {
        let mut fields: Vec<Field> = rebuilt.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
        fields.push(Field::new("asof_verdict", DataType::Utf8, false));
        fields.push(Field::new("asof_source", DataType::Utf8, false));
        let schema = Arc::new(Schema::new_with_metadata(fields, rebuilt.schema().metadata().clone()));
        Self { rebuilt, schema }
    }

    fn describe(&self, row: Row) -> (&'static str, String) {
        let Row::Patch(number) = row else { return ("unchanged", "current".to_owned()) };
        let patch = self.rebuilt.patches[self.rebuilt.present[number as usize] as usize];
        debug_assert!(patch.fate == Fate::Present, "rows of the output are present");
        let stride = self.rebuilt.stride();
        let choices = &self.rebuilt.choices[number as usize * stride..(number as usize + 1) * stride];
        let existed = |(lane, _): &(usize, &Choice)| !self.rebuilt.is_unborn(*lane);
        let lanes: Vec<&Choice> = choices[1..].iter().enumerate().filter(existed).map(|(_, c)| c).collect();
        let verdict = if patch.contradicted {
            "contradicted"
        } else if lanes.iter().any(|c| c.source == Source::Nothing) {
            "unrecoverable"
        } else if patch.refilled || lanes.iter().any(|c| c.inferred) {
            "inferred"
        } else {
            "restored"
        };
        let source = lanes.first().and_then(|c| self.rebuilt.input.source_name(c.source));
        let source = source.unwrap_or_else(|| "nothing".to_owned());
        (verdict, source)
    }
}

impl GroupSource for WithProvenance<'_> {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn groups(&self) -> usize {
        self.rebuilt.groups()
    }

    fn rows(&self, group: usize) -> usize {
        self.rebuilt.rows(group)
    }

    fn cells(&self, group: usize, column: usize, can_copy: &CanCopy<'_>) -> Result<Cells<'_>> {
        if column < self.rebuilt.schema().fields().len() {
            return self.rebuilt.cells(group, column, can_copy);
        }
        Ok(Cells::Array(self.column(group, column)?))
    }

    fn column(&self, group: usize, column: usize) -> Result<ArrayRef> {
        let own = self.rebuilt.schema().fields().len();
        if column < own {
            return self.rebuilt.column(group, column);
        }
        let layout = &self.rebuilt.layouts[group];
        let rows = (0..self.rows(group)).map(|row| {
            let row = layout.rows.as_ref().map_or(Row::Keep(row as u32), |rows| rows[row]);
            let (verdict, source) = self.describe(row);
            if column == own { verdict.to_owned() } else { source }
        });
        Ok(Arc::new(rows.collect::<Vec<_>>().into_iter().map(Some).collect::<StringArray>()))
    }
}
