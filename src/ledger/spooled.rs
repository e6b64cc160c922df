//! Change batches as record batches, and back: how parsed text ledgers are kept
//! so that they can be read again in any order, any column alone.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, Int64Array, RecordBatch, UInt8Array,
    UInt32Array, UInt64Array, new_null_array,
};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt8Type, UInt32Type, UInt64Type};
use arrow::error::ArrowError;

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

/// Which parts of changes are spooled: everything, or all but the cells outside the key.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    table: TableSchema,
    /// The columns of the table whose cells are kept.
    kept: Vec<usize>,
    schema: SchemaRef,
}

impl Shelf {
    /// A shelf for whole changes.
    pub(super) fn whole(table: &TableSchema) -> Self {
        Self::new(table, (0..table.len()).collect(), false)
    }

    /// A shelf for keys, and for the places where the texts of the records are.
    pub(super) fn keys(table: &TableSchema) -> Self {
        let mut kept = table.key().to_vec();
        kept.sort_unstable();
        Self::new(table, kept, true)
    }

    fn new(table: &TableSchema, kept: Vec<usize>, texts: bool) -> Self {
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
        for &column in &kept {
            for side in ["before", "after"] {
                fields.push(Field::new(format!("{side}.{column}"), table.data_type(column).clone(), true));
                fields.push(Field::new(format!("{side}.{column}.state"), DataType::UInt8, true));
            }
        }
        if texts {
            fields.push(Field::new("text.start", DataType::UInt32, false));
            fields.push(Field::new("text.end", DataType::UInt32, false));
        }
        Self { table: table.clone(), kept, schema: Arc::new(Schema::new(fields)) }
    }

    /// The schema of what is spooled.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The first of the two columns that say where a text is, where they are kept.
    fn text_column(&self) -> usize {
        IMAGES + 4 * self.kept.len()
    }

    /// Which spooled columns a read needs; `texts`: also the places of the texts.
    pub(super) fn columns(&self, want: Want, texts: bool) -> Vec<usize> {
        let mut columns = vec![OP];
        if want.order {
            columns.extend([TIME, TRANSACTION, COMMIT, POSITION, STREAM]);
        }
        if want.provenance {
            columns.extend([TIME, TRANSACTION, COMMIT, POSITION, RECORD, FILE, STREAM, ACTOR]);
        }
        let kept = || self.kept.iter().enumerate();
        for (side, present, wanted) in [(0, BEFORE_PRESENT, want.before), (2, AFTER_PRESENT, want.after)] {
            columns.push(present);
            for (place, _) in kept().filter(|(_, c)| wanted.includes(&self.table, **c)) {
                columns.extend([IMAGES + 4 * place + side, IMAGES + 4 * place + side + 1]);
            }
            columns.extend(kept().filter(|_| want.states).map(|(place, _)| IMAGES + 4 * place + side + 1));
        }
        if texts {
            columns.extend([self.text_column(), self.text_column() + 1]);
        }
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// The record batch of a change batch, or what Arrow says against it. `places` are those of the texts,
    /// where they are kept.
    pub(super) fn pack(&self, batch: &ChangeBatch, places: &[[u32; 2]]) -> Result<RecordBatch, ArrowError> {
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
        for &column in &self.kept {
            for images in [&batch.before, &batch.after] {
                let data_type = self.table.data_type(column);
                let values =
                    images.column(column).cloned().unwrap_or_else(|| new_null_array(data_type, rows));
                arrays.push(values);
                arrays.push(states(images, column, rows));
            }
        }
        if self.schema.fields().len() > arrays.len() {
            for end in 0..2 {
                arrays.push(Arc::new(places.iter().map(|place| place[end]).collect::<UInt32Array>()));
            }
        }
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }

    /// Where the texts of the records are, of a record batch that holds the spooled columns `columns`.
    pub(super) fn places(&self, record: &RecordBatch, columns: &[usize]) -> Vec<[u32; 2]> {
        let ends = |column: usize| {
            let at = columns.binary_search(&column).ok();
            at.map(|at| record.column(at).as_primitive::<UInt32Type>().values().to_vec()).unwrap_or_default()
        };
        let (starts, ends) = (ends(self.text_column()), ends(self.text_column() + 1));
        starts.into_iter().zip(ends).map(|(start, end)| [start, end]).collect()
    }

    /// The change batch of a record batch that holds the spooled columns `columns`.
    pub(super) fn unpack(&self, record: &RecordBatch, columns: &[usize]) -> ChangeBatch {
        let find = |column: usize| columns.binary_search(&column).ok().map(|at| record.column(at));
        let rows = record.num_rows();
        let numbers = |column| {
            find(column).map_or_else(|| vec![0; rows], |a| a.as_primitive::<UInt64Type>().values().to_vec())
        };
        let texts = |column| find(column).filter(|a| a.null_count() < rows).cloned();
        let marks = |column| find(column).filter(|a| a.null_count() == 0 && rows > 0).map(read_positions);
        ChangeBatch {
            ops: find(OP).map(|a| a.as_primitive::<UInt8Type>().values().to_vec()).unwrap_or_default(),
            before: self.images(record, columns, (0, BEFORE_PRESENT)),
            after: self.images(record, columns, (2, AFTER_PRESENT)),
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

    fn images(&self, record: &RecordBatch, columns: &[usize], (side, flag): (usize, usize)) -> Images {
        let find = |column: usize| columns.binary_search(&column).ok().map(|at| record.column(at));
        let present = find(flag).map(|a| a.as_boolean().values().clone());
        let mut images = Images {
            columns: vec![None; self.table.len()],
            present: present.filter(|p| p.count_set_bits() < p.len()),
            states: vec![None; self.table.len()],
        };
        for (place, &column) in self.kept.iter().enumerate() {
            images.columns[column] = find(IMAGES + 4 * place + side).map(Arc::clone);
            images.states[column] = find(IMAGES + 4 * place + side + 1)
                .filter(|s| s.null_count() == 0)
                .map(|s| ScalarBuffer::clone(s.as_primitive::<UInt8Type>().values()));
        }
        images
    }
}

fn text(array: Option<&ArrayRef>, rows: usize) -> Result<ArrayRef, ArrowError> {
    match array {
        Some(array) => arrow::compute::cast(array, &DataType::Utf8),
        None => Ok(new_null_array(&DataType::Utf8, rows)),
    }
}

fn positions(positions: Option<&[u128]>, rows: usize) -> Result<ArrayRef, ArrowError> {
    let Some(positions) = positions else {
        return Ok(new_null_array(&DataType::FixedSizeBinary(16), rows));
    };
    let mut bytes = vec![0; 16 * positions.len()];
    bytes.chunks_exact_mut(16).zip(positions).for_each(|(to, p)| to.copy_from_slice(&p.to_be_bytes()));
    Ok(Arc::new(FixedSizeBinaryArray::try_new(16, bytes.into(), None)?))
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

fn read_positions(array: &ArrayRef) -> Vec<u128> {
    let bytes = array.as_fixed_size_binary();
    let read = |row| {
        let mut position = [0; 16];
        position.copy_from_slice(bytes.value(row));
        u128::from_be_bytes(position)
    };
    (0..array.len()).map(read).collect()
}
