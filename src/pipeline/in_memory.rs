//! A snapshot as record batches in memory, in the types in which the current state came.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use rayon::prelude::*;

use super::progress::Progress;
use crate::error::{Error, Result};
use crate::read::of_types;
use crate::snapshot::GroupSource;

/// Groups put together at a time, per thread.
const GROUPS: usize = 4;

/// All rows of a snapshot, one batch per output row group that has any. Columns that
/// `given` has too get its types: dictionaries are replayed as their values.
pub(super) fn batches(
    source: &dyn GroupSource,
    given: Option<&Schema>,
    progress: &dyn Progress,
) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let schema = as_given(source.schema(), given);
    let groups: Vec<usize> = (0..source.groups()).filter(|&group| source.rows(group) > 0).collect();
    let mut batches = Vec::with_capacity(groups.len());
    for some in groups.chunks(GROUPS * rayon::current_num_threads().max(1)) {
        let made: Vec<Result<RecordBatch>> = some.par_iter().map(|&g| batch(source, g, &schema)).collect();
        for batch in made {
            let batch = batch?;
            progress.advance(batch.num_rows() as u64);
            batches.push(batch);
        }
    }
    Ok((schema, batches))
}

fn batch(source: &dyn GroupSource, group: usize, schema: &SchemaRef) -> Result<RecordBatch> {
    let count = source.schema().fields().len();
    let columns = (0..count).map(|column| source.column(group, column)).collect::<Result<Vec<_>>>()?;
    let fields: Vec<Field> =
        source.schema().fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(source.rows(group)));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .and_then(|plain| of_types(&plain, schema))
        .map_err(Error::arrow(Path::new("snapshot")))
}

fn as_given(schema: &SchemaRef, given: Option<&Schema>) -> SchemaRef {
    let field = |field: &Arc<Field>| {
        let of_caller = given.and_then(|given| given.field_with_name(field.name()).ok());
        of_caller.unwrap_or(field).clone().with_nullable(true)
    };
    let fields: Vec<Field> = schema.fields().iter().map(field).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}
