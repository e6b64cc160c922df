//! The part of a table that a dataset holds, or that its ledger was recorded of, applied to changes.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::buffer::BooleanBuffer;

use crate::error::{Error, Result};
use crate::ledger;
use crate::model::{ChangeBatch, Images, Op, TableSchema};
use crate::plan::{BoundFilter, Dataset, Filter};

/// A filter bound to the few columns that it looks at.
pub(super) struct ScopeFilter {
    pub columns: Vec<usize>,
    pub filter: BoundFilter,
    schema: arrow::datatypes::SchemaRef,
}

impl ScopeFilter {
    pub(super) fn bind(filter: &Filter, plan: &Dataset, schema: &TableSchema) -> Result<Self> {
        let path = &plan.current.source.pattern;
        // Binding to the whole table first names the nearest column of all.
        filter.bind(schema.arrow(), &plan.name, path)?;
        let columns: Vec<usize> = filter.columns().iter().filter_map(|name| schema.column(name)).collect();
        let projected = schema.all_nullable().project(&columns).map_err(Error::arrow(path))?;
        let filter = filter.bind(&projected, &plan.name, path)?;
        Ok(Self { columns, filter, schema: Arc::new(projected) })
    }
}

/// Whose scope a filter is, which decides what an image that does not state the filter's columns is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScopeOf {
    /// The dataset's: such an image is inside if the other one is.
    Dataset,
    /// The ledger's: one of the two images was inside, or there would be no record.
    Ledger,
}

/// Applies a scope to both images: crossing it is an insert or a delete. Returns the rows, in what
/// is left of the batch, of updates that brought a row into the scope.
pub(super) fn scope(
    batch: &mut ChangeBatch,
    (filter, of): (&ScopeFilter, ScopeOf),
    schema: &TableSchema,
) -> Result<Vec<u32>> {
    let before = in_scope(&batch.before, filter, schema, batch.len())?;
    let after = in_scope(&batch.after, filter, schema, batch.len())?;
    let mut keep = Vec::with_capacity(batch.len());
    let (mut entered, mut kept) = (Vec::new(), 0);
    for row in 0..batch.len() {
        let truncate = batch.ops[row] == Op::Truncate as u8;
        let (b, a) = match (before[row], after[row], of) {
            (Scope::Unknown, Scope::Out, ScopeOf::Dataset)
            | (Scope::Out, Scope::Unknown, ScopeOf::Dataset) => (false, false),
            (b, a, _) => (b.counts(), a.counts()),
        };
        if before[row] == Scope::Out && a {
            entered.push(kept);
        }
        if b != batch.before.is_present(row) && a && batch.ops[row] == Op::Update as u8 {
            batch.ops[row] = Op::Insert as u8;
        }
        if a != batch.after.is_present(row) && b && batch.ops[row] == Op::Update as u8 {
            batch.ops[row] = Op::Delete as u8;
        }
        kept += u32::from(b || a || truncate);
        keep.push((b || a || truncate, b, a));
    }
    batch.before.present = Some(keep.iter().map(|k| k.1).collect());
    batch.after.present = Some(keep.iter().map(|k| k.2).collect());
    let rows: Vec<u32> = (0..batch.len() as u32).filter(|&r| keep[r as usize].0).collect();
    if rows.len() < batch.len() {
        *batch = ledger::take_changes(batch, &rows).map_err(Error::arrow(Path::new("ledger images")))?;
    }
    Ok(entered)
}

/// Which images lie in scope; one whose filter columns are unknown counts as inside.
pub(super) fn inside(
    images: &Images,
    filter: &ScopeFilter,
    schema: &TableSchema,
    rows: usize,
) -> Result<BooleanBuffer> {
    Ok(in_scope(images, filter, schema, rows)?.into_iter().map(Scope::counts).collect())
}

#[derive(Clone, Copy, PartialEq)]
enum Scope {
    Absent,
    In,
    Out,
    Unknown,
}

impl Scope {
    fn counts(self) -> bool {
        matches!(self, Self::In | Self::Unknown)
    }
}

fn in_scope(images: &Images, filter: &ScopeFilter, schema: &TableSchema, rows: usize) -> Result<Vec<Scope>> {
    let columns: Vec<ArrayRef> = filter
        .columns
        .iter()
        .map(|&c| {
            images
                .column(c)
                .cloned()
                .unwrap_or_else(|| arrow::array::new_null_array(schema.data_type(c), rows))
        })
        .collect();
    let batch = RecordBatch::try_new(Arc::clone(&filter.schema), columns)
        .map_err(Error::arrow(Path::new("ledger images")))?;
    let inside = filter.filter.evaluate(&batch);
    Ok((0..rows)
        .map(|row| {
            if !images.is_present(row) {
                Scope::Absent
            } else if filter.columns.iter().any(|&c| images.state(c, row) != crate::model::CellState::Known) {
                Scope::Unknown
            } else if inside.is_valid(row) && inside.value(row) {
                Scope::In
            } else {
                Scope::Out
            }
        })
        .collect())
}
