//! The changes of a bridge as a file: one row per change, measure and line that it moves.
//!
//! The amounts of a measure, line and group add up to the figure that the bridge shows.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::entries::Told;
use super::figures::{BridgeLine, GroupCell};
use super::money::{Money, amounts};
use crate::error::{Error, Result};
use crate::export::RowsFile;
use crate::model::{Amount, Op};

/// Rows that are written at a time.
const ROWS: usize = 1 << 14;

/// One line of a change.
pub(super) struct Listed<'a> {
    pub(super) line: BridgeLine,
    pub(super) group: &'a [GroupCell],
    /// Its number, rows being 0.
    pub(super) measure: usize,
    pub(super) op: Option<Op>,
    pub(super) told: &'a Told,
    pub(super) before: Option<Amount>,
    pub(super) after: Option<Amount>,
    pub(super) amount: Amount,
}

/// A list of changes on its way into a file.
pub(super) struct ChangeList {
    file: RowsFile,
    schema: SchemaRef,
    money: Money,
    dataset: String,
    /// Names of the group's columns.
    by: Vec<String>,
    measures: Vec<String>,
    texts: [Vec<Option<String>>; TEXTS.len()],
    records: Vec<Option<u64>>,
    amounts: [Vec<Option<Amount>>; AMOUNTS.len()],
}

const TEXTS: [&str; 11] = [
    "dataset",
    "measure",
    "line",
    "group",
    "op",
    "key",
    "transaction",
    "position",
    "committed_at",
    "actor",
    "file",
];
const AMOUNTS: [&str; 3] = ["before", "after", "amount"];

impl ChangeList {
    /// A new file, Parquet, CSV or Arrow by its name.
    pub(super) fn create(path: &Path, money: Money) -> Result<Self> {
        let mut fields: Vec<Field> =
            TEXTS.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
        fields.push(Field::new("record", DataType::UInt64, true));
        fields.extend(AMOUNTS.iter().map(|name| Field::new(*name, money.data_type(), true)));
        let schema = Arc::new(Schema::new(fields));
        Ok(Self {
            file: RowsFile::create(path, Arc::clone(&schema))?,
            schema,
            money,
            dataset: String::new(),
            by: Vec::new(),
            measures: Vec::new(),
            texts: Default::default(),
            records: Vec::new(),
            amounts: Default::default(),
        })
    }

    /// What follows is of this dataset.
    pub(super) fn begin(&mut self, dataset: &str, by: &[String], measures: &[String]) {
        dataset.clone_into(&mut self.dataset);
        self.by = by.to_vec();
        self.measures = measures.to_vec();
    }

    pub(super) fn push(&mut self, listed: Listed<'_>) -> Result<()> {
        let told = listed.told;
        let some = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
        let measure = listed.measure.checked_sub(1).map_or("rows", |m| self.measures[m].as_str());
        let texts = [
            some(&self.dataset),
            some(measure),
            some(listed.line.name()),
            some(&group_text(&self.by, listed.group)),
            listed.op.map(|op| op.name().to_owned()),
            some(&told.key),
            told.transaction.clone(),
            told.position.clone(),
            told.committed_at.clone(),
            told.actor.clone(),
            some(&told.file),
        ];
        self.texts.iter_mut().zip(texts).for_each(|(column, text)| column.push(text));
        self.records.push(Some(told.record).filter(|_| !told.file.is_empty()));
        let amounts = [listed.before, listed.after, Some(listed.amount)];
        self.amounts.iter_mut().zip(amounts).for_each(|(column, amount)| column.push(amount));
        if self.records.len() >= ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        if self.records.is_empty() {
            return Ok(());
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for texts in &mut self.texts {
            columns.push(Arc::new(StringArray::from(std::mem::take(texts))));
        }
        columns.push(Arc::new(UInt64Array::from(std::mem::take(&mut self.records))));
        for column in &mut self.amounts {
            columns.push(amounts(self.money, &std::mem::take(column))?);
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(Error::arrow(self.file.path()))?;
        self.file.write(&batch)
    }

    /// Completes the file.
    pub(super) fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.file.finish()
    }
}

/// A group in words: `currency=EUR, status=open`; nothing if there are no groups.
pub(super) fn group_text(by: &[String], cells: &[GroupCell]) -> String {
    let pair = |(name, cell): (&String, &GroupCell)| {
        let value = match cell {
            None => "?",
            Some(None) => "null",
            Some(Some(text)) => text,
        };
        format!("{name}={value}")
    };
    by.iter().zip(cells).map(pair).collect::<Vec<_>>().join(", ")
}
