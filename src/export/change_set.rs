//! A change set: rows as they stand and as they shall stand, as plain data for exporters.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, StringArray, StructArray, UInt64Array};
use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::parquet::{GroupFile, ParquetStyle};
use crate::error::{Error, Result};
use crate::model::canon;
use crate::read::unpacked;
use crate::snapshot::Verdict;

/// What one row of a change set does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChangeKind {
    /// The row has to go.
    Delete,
    /// The row has to come back.
    Insert,
    /// The row stays, with other values.
    Update,
}

impl ChangeKind {
    /// The word for it, as ledgers write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Insert => "insert",
            Self::Update => "update",
        }
    }
}

/// Some rows of one kind, row by row in the same order on both sides.
#[derive(Debug, Clone)]
pub struct ChangePart {
    /// What they do.
    pub kind: ChangeKind,
    /// The rows as they stand; `None` for inserts.
    pub now: Option<RecordBatch>,
    /// The rows as they shall stand; `None` for deletes.
    pub then: Option<RecordBatch>,
    /// How sure each row as it shall stand is.
    pub verdicts: Vec<Verdict>,
}

impl ChangePart {
    /// How many rows.
    pub fn rows(&self) -> usize {
        self.verdicts.len()
    }

    /// The side that names the row.
    pub fn named_by(&self) -> Option<&RecordBatch> {
        self.now.as_ref().or(self.then.as_ref())
    }

    /// Whether a column has another value after the change.
    pub fn differs(&self, column: usize, row: usize) -> bool {
        match (&self.now, &self.then) {
            (Some(now), Some(then)) => {
                !canon::cells_equal(now.column(column).as_ref(), row, then.column(column).as_ref(), row)
            }
            _ => true,
        }
    }
}

/// All changes of one table.
#[derive(Debug, Clone)]
pub struct ChangeSet {
    /// The dataset.
    pub dataset: String,
    /// The columns of the table.
    pub schema: SchemaRef,
    /// Those that identify a row.
    pub key: Vec<usize>,
    /// The changes.
    pub parts: Vec<ChangePart>,
}

impl ChangeSet {
    /// How many rows are changed in a way.
    pub fn count(&self, kind: ChangeKind) -> u64 {
        self.parts.iter().filter(|p| p.kind == kind).map(|p| p.rows() as u64).sum()
    }

    /// `column=value` pairs of the key of a row.
    pub fn key_text(&self, part: &ChangePart, row: usize) -> String {
        let Some(named) = part.named_by() else { return String::new() };
        let names: Vec<&str> = self.key.iter().map(|&c| self.schema.field(c).name().as_str()).collect();
        let columns: Vec<&ArrayRef> = self.key.iter().map(|&c| named.column(c)).collect();
        canon::key_text(&names, &columns, row)
    }

    /// Writes the changes as Parquet: `seq`, `op`, the row `before` and `after` the change, and the verdict
    /// on the row after it. A change ledger in its own right.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_parquet(&self, path: &Path) -> Result<()> {
        let mut file = GroupFile::create(path, self.table_schema(), &ParquetStyle::default())?;
        let encoder = file.encoder();
        let mut seq = 0;
        for part in self.parts.iter().filter(|part| part.rows() > 0) {
            let columns = self.columns(part, seq).map_err(Error::arrow(path))?;
            file.append(encoder.group(&columns)?)?;
            seq += part.rows() as u64;
        }
        file.finish().map(drop)
    }

    fn image_fields(&self) -> Fields {
        self.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect()
    }

    fn table_schema(&self) -> SchemaRef {
        let image = DataType::Struct(self.image_fields());
        Arc::new(Schema::new(vec![
            Field::new("seq", DataType::UInt64, false),
            Field::new("op", DataType::Utf8, false),
            Field::new("before", image.clone(), true),
            Field::new("after", image, true),
            Field::new("verdict", DataType::Utf8, false),
        ]))
    }

    fn columns(&self, part: &ChangePart, from: u64) -> Result<Vec<ArrayRef>, ArrowError> {
        let rows = part.rows();
        let fields = self.image_fields();
        let image = |side: &Option<RecordBatch>| -> Result<ArrayRef, ArrowError> {
            let Some(batch) = side else {
                return Ok(new_null_array(&DataType::Struct(fields.clone()), rows));
            };
            let columns = batch.columns().iter().zip(fields.iter());
            let columns = columns.map(|(a, f)| unpacked(a, f.data_type())).collect::<Result<Vec<_>, _>>()?;
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None)?))
        };
        let words = |keys: Vec<i32>, words: Vec<&str>| -> Result<ArrayRef, ArrowError> {
            let of = DictionaryArray::try_new(Int32Array::from(keys), Arc::new(StringArray::from(words)))?;
            Ok(Arc::new(of))
        };
        Ok(vec![
            Arc::new((from + 1..=from + rows as u64).collect::<UInt64Array>()),
            words(vec![0; rows], vec![part.kind.name()])?,
            image(&part.now)?,
            image(&part.then)?,
            words(
                part.verdicts.iter().map(|v| *v as i32).collect(),
                Verdict::ALL.iter().map(|v| v.name()).collect(),
            )?,
        ])
    }
}
