//! Columns to Polars and back through the Arrow C data interface: pointers change hands, values are not copied.
//!
//! An IPC stream in memory would need no unsafe code, and would copy every value twice.

#![expect(
    unsafe_code,
    reason = "the C data interface hands over pointers; both sides implement the same published layout"
)]

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, make_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use polars::prelude::{Column, CompatLevel, DataFrame, PlSmallStr, PolarsError, Series};
use polars_arrow::ffi;

use crate::error::{Error, Result};

/// A table as a frame, and what had to be converted.
pub(super) fn frame(
    name: &str,
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<(DataFrame, Vec<String>)> {
    let mut notes = Vec::new();
    let mut columns: Vec<Column> = Vec::with_capacity(schema.fields().len());
    for (number, field) in schema.fields().iter().enumerate() {
        let to = known_to_polars(field.data_type());
        if matches!((field.data_type(), &to), (DataType::Decimal256(..), DataType::Utf8)) {
            notes.push(format!(
                "{name}.{}: decimals of more than 38 digits are text here, and not summed",
                field.name()
            ));
        }
        let empty = arrow::array::new_empty_array(field.data_type());
        let arrays =
            batches.iter().map(|batch| batch.column(number)).chain(batches.is_empty().then_some(&empty));
        let mut chunks = Vec::new();
        for array in arrays {
            let array = converted(array, &to).map_err(Error::arrow(Path::new(name)))?;
            chunks.push(to_polars(&array, field.name())?);
        }
        let series =
            Series::try_from((PlSmallStr::from_str(field.name()), chunks)).map_err(|e| failed(&e))?;
        columns.push(series.into());
    }
    let height = batches.iter().map(RecordBatch::num_rows).sum();
    Ok((DataFrame::new(height, columns).map_err(|e| failed(&e))?, notes))
}

/// A frame as a batch.
pub(super) fn batch(mut frame: DataFrame) -> Result<RecordBatch> {
    frame.rechunk_mut();
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for column in frame.columns() {
        let series = column.as_materialized_series();
        let array = to_arrow(series)?;
        // Views of texts are a layout of Polars that not every reader of files knows.
        let array = match array.data_type() {
            DataType::Utf8View => {
                converted(&array, &DataType::Utf8).map_err(Error::arrow(Path::new("SQL")))?
            }
            DataType::BinaryView => {
                converted(&array, &DataType::Binary).map_err(Error::arrow(Path::new("SQL")))?
            }
            _ => array,
        };
        fields.push(Field::new(series.name().as_str(), array.data_type().clone(), true));
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(frame.height()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
        .map_err(Error::arrow(Path::new("SQL")))
}

fn failed(error: &PolarsError) -> Error {
    Error::Plan { place: "SQL".to_owned(), message: error.to_string(), hint: None }
}

/// The type in which Polars takes the values of a type, exactly.
fn known_to_polars(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) if *s >= 0 => {
            DataType::Decimal128(*p, *s)
        }
        DataType::Decimal256(p, s) if *p <= 38 && *s >= 0 => DataType::Decimal128(*p, *s),
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => DataType::Utf8,
        DataType::Dictionary(_, values) => known_to_polars(values),
        DataType::Timestamp(unit, zone) => {
            // Polars knows no seconds, and of zones no offsets: the instant is the same in UTC.
            let unit = if *unit == TimeUnit::Second { TimeUnit::Millisecond } else { *unit };
            DataType::Timestamp(unit, zone.as_ref().map(|_| "UTC".into()))
        }
        DataType::Date64 => DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Time32(_) => DataType::Time64(TimeUnit::Nanosecond),
        DataType::Time64(_) => DataType::Time64(TimeUnit::Nanosecond),
        DataType::Float16 => DataType::Float32,
        DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Null | DataType::Interval(_) | DataType::Map(..) => DataType::Utf8,
        other => other.clone(),
    }
}

fn converted(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, arrow::error::ArrowError> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    if matches!((array.data_type(), to), (DataType::Map(..) | DataType::Null, DataType::Utf8)) {
        let text = |row| crate::model::canon::cell_text(array.as_ref(), row);
        return Ok(Arc::new((0..array.len()).map(text).collect::<arrow::array::StringArray>()));
    }
    cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })
}

// Both crates declare the two structs of the C data interface with `repr(C)` and the published fields in the
// published order, and both release what they own when they are dropped. So a value of one is a value of
// the other, and passing it on by value passes its ownership on.
const _: () = assert!(size_of::<FFI_ArrowArray>() == size_of::<ffi::ArrowArray>());
const _: () = assert!(size_of::<FFI_ArrowSchema>() == size_of::<ffi::ArrowSchema>());
const _: () = assert!(align_of::<FFI_ArrowArray>() == align_of::<ffi::ArrowArray>());
const _: () = assert!(align_of::<FFI_ArrowSchema>() == align_of::<ffi::ArrowSchema>());

fn to_polars(array: &ArrayRef, name: &str) -> Result<Box<dyn polars_arrow::array::Array>> {
    let exported = arrow::ffi::to_ffi(&array.to_data()).map_err(Error::arrow(Path::new(name)))?;
    // SAFETY: as said above; each value is moved, so that exactly one owner releases it.
    let (array, schema) = unsafe {
        (
            std::mem::transmute::<FFI_ArrowArray, ffi::ArrowArray>(exported.0),
            std::mem::transmute::<FFI_ArrowSchema, ffi::ArrowSchema>(exported.1),
        )
    };
    // SAFETY: both were exported from one valid array just now, so the schema describes the array.
    let imported = unsafe {
        ffi::import_field_from_c(&schema).and_then(|field| ffi::import_array_from_c(array, field.dtype))
    };
    imported.map_err(|e| failed(&e))
}

fn to_arrow(series: &Series) -> Result<ArrayRef> {
    let array = series.to_arrow(0, CompatLevel::newest());
    let field = polars_arrow::datatypes::Field::new(series.name().clone(), array.dtype().clone(), true);
    // SAFETY: as said above; each value is moved, so that exactly one owner releases it.
    let (array, schema) = unsafe {
        (
            std::mem::transmute::<ffi::ArrowArray, FFI_ArrowArray>(ffi::export_array_to_c(array)),
            std::mem::transmute::<ffi::ArrowSchema, FFI_ArrowSchema>(ffi::export_field_to_c(&field)),
        )
    };
    // SAFETY: both were exported from one valid array just now, so the schema describes the array.
    let data = unsafe { arrow::ffi::from_ffi(array, &schema) };
    data.map(make_array).map_err(Error::arrow(Path::new("SQL")))
}
