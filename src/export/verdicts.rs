//! The table of verdicts: one row per touched key, one per cell that is not exact.
//!
//! It can be as long as the snapshot, so it is made as columns from the start:
//! keys and sources are printed into one buffer each, and row groups are encoded
//! by whoever made them, in parallel.

use std::fmt::{self, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, DictionaryArray, PrimitiveArray, PrimitiveBuilder, RecordBatch, StringArray,
    StringBuilder,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::parquet::{EncodedGroup, GroupEncoder, GroupFile, ParquetStyle};
use crate::error::{Error, Result};
use crate::read::unpacked;
use crate::snapshot::Verdict;

/// The columns of the verdicts table.
pub fn verdict_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("dataset", DataType::Utf8, false),
        Field::new("key", DataType::Utf8, false),
        Field::new("column", DataType::Utf8, true),
        Field::new("verdict", DataType::Utf8, false),
        Field::new("present", DataType::Boolean, true),
        Field::new("source", DataType::Utf8, true),
    ]))
}

/// Verdicts as columns under way.
#[derive(Debug, Default)]
pub struct VerdictRows {
    key: StringBuilder,
    column: PrimitiveBuilder<Int32Type>,
    verdict: Vec<i32>,
    present: BooleanBuilder,
    source: StringBuilder,
}

impl VerdictRows {
    /// Adds a verdict on a row, or on one of its columns. `present`: whether the snapshot has the row.
    ///
    /// `key` prints the key as `column=value` pairs, `source` the record that supplies the row or cell.
    ///
    /// # Errors
    /// A printer fails.
    pub fn push(
        &mut self,
        (column, verdict, present): (Option<usize>, Verdict, Option<bool>),
        key: impl FnOnce(&mut dyn Write) -> fmt::Result,
        source: Option<impl FnOnce(&mut dyn Write) -> fmt::Result>,
    ) -> fmt::Result {
        key(&mut self.key)?;
        self.key.append_value("");
        match source {
            Some(source) => {
                source(&mut self.source)?;
                self.source.append_value("");
            }
            None => self.source.append_null(),
        }
        self.column.append_option(column.map(|c| c as i32));
        self.verdict.push(verdict as i32);
        self.present.append_option(present);
        Ok(())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.verdict.is_empty()
    }

    /// The columns, words as dictionaries.
    fn columns(mut self, dataset: &str, columns: &[&str]) -> Result<Vec<ArrayRef>, ArrowError> {
        let words = |keys: PrimitiveArray<Int32Type>, words: Vec<&str>| -> Result<ArrayRef, ArrowError> {
            Ok(Arc::new(DictionaryArray::try_new(keys, Arc::new(StringArray::from(words)))?))
        };
        let rows = self.verdict.len();
        Ok(vec![
            words(vec![0; rows].into(), vec![dataset])?,
            Arc::new(self.key.finish()),
            words(self.column.finish(), columns.to_vec())?,
            words(self.verdict.into(), Verdict::ALL.iter().map(|v| v.name()).collect())?,
            Arc::new(self.present.finish()),
            Arc::new(self.source.finish()),
        ])
    }
}

/// Takes verdicts as they come.
pub enum VerdictWriter {
    /// Into a file.
    File(Box<GroupFile>),
    /// Into memory.
    Memory(Vec<RecordBatch>),
}

/// Makes of verdicts what a [`VerdictWriter`] takes.
#[derive(Clone)]
pub enum VerdictMaker {
    /// Row groups.
    Encoder(Arc<GroupEncoder>),
    /// Batches.
    Memory,
}

/// Verdicts on their way into a [`VerdictWriter`].
pub enum MadeVerdicts {
    /// A row group.
    Group(EncodedGroup),
    /// A batch.
    Batch(RecordBatch),
}

impl VerdictMaker {
    /// Some verdicts of one dataset, which has these columns.
    ///
    /// # Errors
    /// The columns do not fit a batch.
    pub fn make(&self, dataset: &str, columns: &[&str], rows: VerdictRows) -> Result<MadeVerdicts> {
        let failed = Error::arrow(Path::new("verdicts"));
        let made = match rows.columns(dataset, columns) {
            Ok(made) => made,
            Err(error) => return Err(failed(error)),
        };
        match self {
            Self::Encoder(encoder) => Ok(MadeVerdicts::Group(encoder.group(&made)?)),
            Self::Memory => {
                let schema = verdict_schema();
                let plain = made.iter().zip(schema.fields()).map(|(a, f)| unpacked(a, f.data_type()));
                let batch = plain
                    .collect::<Result<Vec<_>, _>>()
                    .and_then(|plain| RecordBatch::try_new(Arc::clone(&schema), plain));
                batch.map(MadeVerdicts::Batch).map_err(failed)
            }
        }
    }
}

impl VerdictWriter {
    /// A new verdicts file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        // Keys and sources are all different; words come as dictionaries.
        let style = ParquetStyle { plain: true, ..ParquetStyle::default() };
        Ok(Self::File(Box::new(GroupFile::create(path, verdict_schema(), &style)?)))
    }

    /// Verdicts that stay in memory.
    pub fn in_memory() -> Self {
        Self::Memory(Vec::new())
    }

    /// What makes verdicts for this writer, from any thread.
    pub fn maker(&self) -> VerdictMaker {
        match self {
            Self::File(file) => VerdictMaker::Encoder(file.encoder()),
            Self::Memory(_) => VerdictMaker::Memory,
        }
    }

    /// Adds verdicts that this writer's maker made.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, made: MadeVerdicts) -> Result<()> {
        match (self, made) {
            (Self::File(file), MadeVerdicts::Group(group)) => file.append(group),
            (Self::Memory(kept), MadeVerdicts::Batch(batch)) => {
                kept.push(batch);
                Ok(())
            }
            _ => {
                debug_assert!(false, "each writer has its maker");
                Ok(())
            }
        }
    }

    /// Completes the file, or hands over what was kept.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(self) -> Result<Vec<RecordBatch>> {
        match self {
            Self::File(file) => file.finish().map(|_| Vec::new()),
            Self::Memory(kept) => Ok(kept),
        }
    }
}
