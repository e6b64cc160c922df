//! Deliveries as Arrow: current rows, changes for the kernel, and mapped ledgers.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Int64Array, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
    UInt64Array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::super::delivery::{Delivery, Image, Record};
use super::super::value::{Row, TableDef, array};
use crate::model::{ChangeBatch, Images};

/// Rows of a table as one batch.
///
/// # Errors
/// A null stands in a column that was declared without.
pub fn rows_batch<'a>(
    table: &TableDef,
    rows: impl Iterator<Item = &'a Arc<Row>> + Clone,
) -> Result<RecordBatch, ArrowError> {
    let column =
        |(i, c): (usize, &super::super::value::Column)| array(c.kind, rows.clone().map(|r| Some(&r[i])));
    let arrays: Vec<ArrayRef> = table.columns.iter().enumerate().map(column).collect();
    RecordBatch::try_new(Arc::clone(table.schema().arrow()), arrays)
}

/// A Parquet file of one batch.
///
/// # Errors
/// The batch has a type that Parquet lacks.
pub fn parquet(batch: &RecordBatch, rows_per_group: usize) -> Result<Vec<u8>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(Default::default()))
        .set_max_row_group_row_count(Some(rows_per_group))
        .set_created_by("asof sample generator".to_owned())
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.into_inner()
}

impl Delivery {
    /// The current rows of a table.
    ///
    /// # Errors
    /// A null stands in a column that was declared without.
    pub fn current_batch(&self, table: usize) -> Result<RecordBatch, ArrowError> {
        rows_batch(&self.tables[table], self.current[table].iter())
    }

    /// The changes of a table as the kernel takes them, in batches of at most this many.
    pub fn changes(&self, table: usize, batch_rows: usize) -> Vec<ChangeBatch> {
        let records: Vec<(usize, &Record)> = self.of(table).collect();
        records.chunks(batch_rows.max(1)).map(|chunk| change_batch(&self.tables[table], chunk)).collect()
    }

    /// The ledger of a table as one batch: `seq, commit_seq, txid, committed_at, op, actor, before, after`, the
    /// images as structs of all columns but nullable. Cells that are not known are null, so only full images and
    /// missing ones keep their meaning.
    ///
    /// # Errors
    /// Never for generated tables.
    pub fn mapped_batch(&self, table: usize) -> Result<RecordBatch, ArrowError> {
        let records: Vec<&Record> = self.of(table).map(|(_, r)| r).collect();
        let def = &self.tables[table];
        let before = images_struct(def, records.iter().map(|r| r.before.as_ref()));
        let after = images_struct(def, records.iter().map(|r| r.after.as_ref()));
        let number = |of: fn(&Record) -> u64| -> ArrayRef {
            Arc::new(records.iter().map(|r| i64::try_from(of(r)).ok()).collect::<Int64Array>())
        };
        let times =
            records.iter().map(|r| Some(r.committed_at / 1000)).collect::<TimestampMicrosecondArray>();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("seq", number(|r| r.position)),
            ("commit_seq", number(|r| r.commit_position)),
            ("txid", number(|r| r.transaction)),
            ("committed_at", Arc::new(times.with_timezone("UTC"))),
            ("op", Arc::new(StringArray::from_iter_values(records.iter().map(|r| r.op.name())))),
            ("actor", Arc::new(StringArray::from_iter_values(records.iter().map(|r| r.actor.as_str())))),
            ("before", before?),
            ("after", after?),
        ];
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, array)| Field::new(*name, array.data_type().clone(), array.null_count() > 0))
            .collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, a)| a).collect())
    }
}

fn images_struct<'a>(
    table: &TableDef,
    images: impl Iterator<Item = Option<&'a Image>> + Clone,
) -> Result<ArrayRef, ArrowError> {
    let schema = table.schema().all_nullable();
    let cells = |i: usize| images.clone().map(move |image| image.and_then(|image| image.known(i)));
    let arrays = table.columns.iter().enumerate().map(|(i, c)| array(c.kind, cells(i))).collect();
    let present = NullBuffer::from_iter(images.clone().map(|i| i.is_some()));
    Ok(Arc::new(StructArray::try_new(schema.fields().clone(), arrays, Some(present))?))
}

fn change_batch(table: &TableDef, records: &[(usize, &Record)]) -> ChangeBatch {
    let stream = || records.iter().map(|(i, _)| *i as u64);
    ChangeBatch {
        ops: records.iter().map(|(_, r)| r.op as u8).collect(),
        before: images(table, records.iter().map(|(_, r)| r.before.as_ref())),
        after: images(table, records.iter().map(|(_, r)| r.after.as_ref())),
        committed_at: records.iter().map(|(_, r)| r.committed_at).collect(),
        transaction: Some(Arc::new(UInt64Array::from_iter_values(
            records.iter().map(|(_, r)| r.transaction),
        ))),
        commit_position: Some(records.iter().map(|(_, r)| u128::from(r.commit_position)).collect()),
        position: Some(records.iter().map(|(_, r)| u128::from(r.position)).collect()),
        record: stream().map(|i| i + 1).collect(),
        file: 0,
        stream: stream().collect(),
        actor: Some(Arc::new(StringArray::from_iter_values(records.iter().map(|(_, r)| r.actor.as_str())))),
    }
}

fn images<'a>(table: &TableDef, images: impl Iterator<Item = Option<&'a Image>> + Clone) -> Images {
    let cells = |i: usize| images.clone().map(move |image| image.and_then(|image| image.known(i)));
    let partial = images.clone().flatten().any(|image| image.states.is_some());
    let states = |i: usize| {
        let codes = images.clone().map(move |image| image.map_or(0, |image| image.state(i) as u8));
        partial.then(|| codes.collect::<ScalarBuffer<u8>>())
    };
    Images {
        columns: table.columns.iter().enumerate().map(|(i, c)| Some(array(c.kind, cells(i)))).collect(),
        present: Some(images.clone().map(|i| i.is_some()).collect::<BooleanBuffer>()),
        states: (0..table.columns.len()).map(states).collect(),
    }
}
