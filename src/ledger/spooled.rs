//! Change batches as record batches, and back: how parsed text ledgers are kept
//! so that they can be read again in any order, any column alone.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, Int64Array, RecordBatch, UInt8Array,
    UInt32Array, UInt64Array, new_null_array,
};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt8Type, UInt32Type, UInt64Type};

use super::want::Want;
use crate::model::{ChangeBatch, Images, TableSchema};

const OP: usize = 0;
const TIME: usize = 1;
const TRANSACTION: usize = 2;
const COMMIT: usize = 3;
const POSITION: usize = 4;
const RECORD: usize = 5;
const FILE: usize = 6;
const STREAM: usize = 7;
const ACTOR: usize = 8;
const BEFORE_PRESENT: usize = 9;
const AFTER_PRESENT: usize = 10;
const IMAGES: usize = 11;

/// The schema under which changes of a table are spooled.
pub(super) fn schema(table: &TableSchema) -> SchemaRef {
    let mut fields = vec![
        Field::new("op", DataType::UInt8, false),
        Field::new("committed_at", DataType::Int64, false),
        Field::new("transaction", DataType::Utf8, true),
        Field::new("commit_position", DataType::FixedSizeBinary(16), true),
        Field::new("position", DataType::FixedSizeBinary(16), true),
        Field::new("record", DataType::UInt64, false),
        Field::new("file", DataType::UInt32, false),
        Field::new("stream", DataType::UInt64, false),
        Field::new("actor", DataType::Utf8, true),
        Field::new("before", DataType::Boolean, false),
        Field::new("after", DataType::Boolean, false),
    ];
    for column in 0..table.len() {
        for side in ["before", "after"] {
            fields.push(Field::new(format!("{side}.{column}"), table.data_type(column).clone(), true));
            fields.push(Field::new(format!("{side}.{column}.state"), DataType::UInt8, true));
        }
    }
    Arc::new(Schema::new(fields))
}

/// Which spooled columns a read needs.
pub(super) fn columns(table: &TableSchema, want: Want) -> Vec<usize> {
    let mut columns = vec![OP];
    if want.order {
        columns.extend([TIME, TRANSACTION, COMMIT, POSITION, STREAM]);
    }
    if want.provenance {
        columns.extend([TIME, TRANSACTION, COMMIT, POSITION, RECORD, FILE, STREAM, ACTOR]);
    }
    for (side, present, wanted) in [(0, BEFORE_PRESENT, want.before), (2, AFTER_PRESENT, want.after)] {
        columns.push(present);
        for column in (0..table.len()).filter(|&c| wanted.includes(table, c)) {
            columns.extend([IMAGES + 4 * column + side, IMAGES + 4 * column + side + 1]);
        }
        columns.extend((0..table.len()).filter(|_| want.states).map(|c| IMAGES + 4 * c + side + 1));
    }
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// The record batch of a change batch, or what Arrow says against it.
pub(super) fn pack(batch: &ChangeBatch, schema: &SchemaRef) -> Result<RecordBatch, arrow::error::ArrowError> {
    let rows = batch.len();
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(UInt8Array::from(batch.ops.clone())),
        Arc::new(Int64Array::from(batch.committed_at.clone())),
        text(batch.transaction.as_ref(), rows)?,
        positions(batch.commit_position.as_deref(), rows)?,
        positions(batch.position.as_deref(), rows)?,
        Arc::new(UInt64Array::from(batch.record.clone())),
        Arc::new(UInt32Array::from(vec![batch.file; rows])),
        Arc::new(UInt64Array::from(batch.stream.clone())),
        text(batch.actor.as_ref(), rows)?,
        present(&batch.before, rows),
        present(&batch.after, rows),
    ];
    let columns = (schema.fields().len() - IMAGES) / 4;
    for column in 0..columns {
        for (side, images) in [&batch.before, &batch.after].into_iter().enumerate() {
            let data_type = schema.field(IMAGES + 4 * column + 2 * side).data_type();
            let values = images.column(column).cloned().unwrap_or_else(|| new_null_array(data_type, rows));
            arrays.push(values);
            arrays.push(states(images, column, rows));
        }
    }
    RecordBatch::try_new(Arc::clone(schema), arrays)
}

fn text(array: Option<&ArrayRef>, rows: usize) -> Result<ArrayRef, arrow::error::ArrowError> {
    match array {
        Some(array) => arrow::compute::cast(array, &DataType::Utf8),
        None => Ok(new_null_array(&DataType::Utf8, rows)),
    }
}

fn positions(positions: Option<&[u128]>, rows: usize) -> Result<ArrayRef, arrow::error::ArrowError> {
    let Some(positions) = positions else {
        return Ok(new_null_array(&DataType::FixedSizeBinary(16), rows));
    };
    let bytes = positions.iter().map(|p| p.to_be_bytes());
    if rows == 0 {
        return Ok(new_null_array(&DataType::FixedSizeBinary(16), 0));
    }
    Ok(Arc::new(FixedSizeBinaryArray::try_from_iter(bytes)?))
}

fn present(images: &Images, rows: usize) -> ArrayRef {
    match &images.present {
        Some(present) => Arc::new(BooleanArray::new(present.clone(), None)),
        None => Arc::new(BooleanArray::from(vec![true; rows])),
    }
}

fn states(images: &Images, column: usize, rows: usize) -> ArrayRef {
    match images.states.get(column).and_then(Option::as_ref) {
        Some(states) => Arc::new(UInt8Array::new(states.clone(), None)),
        None => new_null_array(&DataType::UInt8, rows),
    }
}

/// The change batch of a record batch that holds the spooled columns `columns`.
pub(super) fn unpack(record: &RecordBatch, columns: &[usize], table: &TableSchema) -> ChangeBatch {
    let find = |column: usize| columns.binary_search(&column).ok().map(|at| record.column(at));
    let rows = record.num_rows();
    let numbers = |column| {
        find(column).map_or_else(|| vec![0; rows], |a| a.as_primitive::<UInt64Type>().values().to_vec())
    };
    let texts = |column| find(column).filter(|a| a.null_count() < rows).cloned();
    let marks = |column| find(column).filter(|a| a.null_count() == 0 && rows > 0).map(read_positions);
    ChangeBatch {
        ops: find(OP).map(|a| a.as_primitive::<UInt8Type>().values().to_vec()).unwrap_or_default(),
        before: images(record, columns, table, 0, BEFORE_PRESENT),
        after: images(record, columns, table, 2, AFTER_PRESENT),
        committed_at: find(TIME).map_or_else(
            || vec![crate::model::NO_TIME; rows],
            |a| a.as_primitive::<Int64Type>().values().to_vec(),
        ),
        transaction: texts(TRANSACTION),
        commit_position: marks(COMMIT),
        position: marks(POSITION),
        record: numbers(RECORD),
        file: find(FILE).filter(|_| rows > 0).map_or(0, |a| a.as_primitive::<UInt32Type>().value(0)),
        stream: numbers(STREAM),
        actor: texts(ACTOR),
    }
}

fn read_positions(array: &ArrayRef) -> Vec<u128> {
    let bytes = array.as_fixed_size_binary();
    let read = |row| {
        let mut position = [0; 16];
        position.copy_from_slice(bytes.value(row));
        u128::from_be_bytes(position)
    };
    (0..array.len()).map(read).collect()
}

fn images(record: &RecordBatch, columns: &[usize], table: &TableSchema, side: usize, flag: usize) -> Images {
    let find = |column: usize| columns.binary_search(&column).ok().map(|at| record.column(at));
    let mut images = Images {
        columns: vec![None; table.len()],
        present: find(flag).map(|a| a.as_boolean().values().clone()).filter(|p| p.count_set_bits() < p.len()),
        states: vec![None; table.len()],
    };
    for column in 0..table.len() {
        images.columns[column] = find(IMAGES + 4 * column + side).map(Arc::clone);
        images.states[column] = find(IMAGES + 4 * column + side + 1)
            .filter(|s| s.null_count() == 0)
            .map(|s| ScalarBuffer::clone(s.as_primitive::<UInt8Type>().values()));
    }
    images
}
