//! The columns of a table: whether parts of it have the same, and their types without dictionaries.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;

use crate::error::{At, Error, Result};

/// Checks that two files of a table have the same column names.
///
/// # Errors
/// Names the first column that differs.
pub(crate) fn same_columns(path: &Path, own: &Schema, first_path: &Path, first: &Schema) -> Result<()> {
    let names = |s: &Schema| s.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    if names(own) == names(first) { Ok(()) } else { Err(first_difference(path, own, first_path, first)) }
}

/// The message about the first column in which two files of a table differ.
pub(crate) fn first_difference(path: &Path, own: &Schema, first_path: &Path, first: &Schema) -> Error {
    let show = |f: Option<&Arc<Field>>| {
        f.map_or_else(
            || "no further column".to_owned(),
            |f| format!("{:?} of type {}", f.name(), f.data_type()),
        )
    };
    let (own, first) = (own.fields(), first.fields());
    let same = |i: &usize| match (own.get(*i), first.get(*i)) {
        (Some(a), Some(b)) => a.name() == b.name() && a.data_type() == b.data_type(),
        _ => false,
    };
    let at = (0..own.len().min(first.len())).find(|i| !same(i)).unwrap_or(own.len().min(first.len()));
    let column = first.get(at).or(own.get(at)).map(|f| f.name().clone());
    Error::Malformed {
        path: path.to_owned(),
        at: At { column, ..At::default() },
        expected: format!("as column {}, as in {}, {}", at + 1, first_path.display(), show(first.get(at))),
        found: show(own.get(at)),
        hint: Some(
            "all files of a table need the same columns; name fewer files, or rewrite this one".to_owned(),
        ),
    }
}

/// All columns nullable, as files of one table may differ in that, and no dictionaries.
pub(super) fn plain_schema(schema: &Schema) -> Schema {
    let field = |f: &Arc<Field>| {
        Field::new(f.name(), plain_type(f.data_type()), true).with_metadata(f.metadata().clone())
    };
    Schema::new_with_metadata(
        schema.fields().iter().map(field).collect::<Vec<_>>(),
        schema.metadata().clone(),
    )
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        other => other.clone(),
    }
}

/// The rows of a batch in the types of another schema that names the same columns.
pub(crate) fn of_types(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let typed = |(array, field): (&ArrayRef, &Arc<Field>)| match array.data_type() == field.data_type() {
        true => Ok(Arc::clone(array)),
        false => cast(array, field.data_type()),
    };
    let columns = batch.columns().iter().zip(schema.fields()).map(typed).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}
