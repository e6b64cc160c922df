//! Files that DMS writes to S3, CSV or Parquet, as the messages that it would have sent.
//!
//! ```text
//!  Op,commit_ts,id,name,BI_name            {"data": {"commit_ts": …, "id": "7", "name": "bolt M8", "BI_name": "bolt"},
//!  U,2024-03-31 22:15:04,7,bolt M8,bolt ─►  "metadata": {"record-type": "data", "operation": "update"}}
//! ```
//!
//! A file without `Op`, or whose name begins with `LOAD`, is a full load. A CSV
//! file without header (`header = false`) has its values in the table's order; they go as a list, for names are the
//! decoder's business.

use arrow::array::Array;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::read::{
    InputFile, JsonChunk, JsonRecord, Spool, Table, TableFormat, TableSource, columns_of, table_format,
};

/// Whether columns can only be those of a file of changes: `Op` is the first, and no other column says what a change is,
/// as images beside each other or a position do.
pub(super) fn is_one(columns: &SchemaRef) -> bool {
    let mut names = columns.fields().iter().map(|field| field.name().as_str());
    const OTHERS: [&str; 8] = ["old_", "new_", "old.", "new.", "before_", "after_", "before.", "after."];
    let is_other = |name: &str| {
        matches!(name, "before" | "after" | "old" | "new" | "position" | "seq")
            || OTHERS.iter().any(|prefix| name.starts_with(prefix))
    };
    names.next() == Some("Op") && names.len() > 0 && !names.any(is_other)
}

/// The rows of one file, as messages.
pub(super) struct DmsTables {
    table: Table,
    group: usize,
    /// The column that says what happened.
    op: Option<usize>,
    header: bool,
    failed: bool,
}

impl DmsTables {
    /// The file of a ledger declared as `declared`.
    pub(super) fn open(file: &InputFile, declared: &TableSource) -> Result<Self> {
        let (path, spool) = (&file.path, Spool::new(None));
        let mut source = TableSource { pattern: path.to_owned(), ..declared.clone() };
        // What DMS writes for null unless it is told otherwise.
        source.csv.null.get_or_insert_with(|| "NULL".to_owned());
        if matches!(table_format(file)?, TableFormat::Csv | TableFormat::Tsv) {
            // The text as it stands: the current table knows the types.
            let columns = columns_of(file, &source)?;
            source.types = columns.fields().iter().map(|f| (f.name().clone(), DataType::Utf8)).collect();
        }
        let table = Table::open(&source, &spool)?;
        let header = source.csv.header || table.format() == TableFormat::Parquet;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let op = match header {
            true => table.schema().fields().iter().position(|field| field.name() == "Op"),
            false => (!name.starts_with("LOAD")).then_some(0),
        };
        Ok(Self { table, group: 0, op, header, failed: false })
    }

    fn chunk(&self, group: usize) -> Result<JsonChunk> {
        let columns: Vec<usize> = (0..self.table.schema().fields().len()).collect();
        let batch = self.table.read(group, &columns, None)?;
        let options = FormatOptions::default();
        let path = self.table.files().first().map_or_else(Default::default, |file| file.path.clone());
        let formatters = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<Vec<_>, _>>()
            .map_err(Error::arrow(&path))?;
        let schema = batch.schema();
        let mut chunk = JsonChunk::default();
        for row in 0..batch.num_rows() {
            let text = |column: usize| match batch.column(column).is_null(row) {
                true => Value::Null,
                false => Value::String(formatters[column].value(row).to_string()),
            };
            let data: Vec<(&str, Value)> = columns
                .iter()
                .filter(|&&column| Some(column) != self.op)
                .map(|&column| (schema.field(column).name().as_str(), text(column)))
                .collect();
            let op = self.op.map(&text);
            let number = self.table.record(group, row);
            let start = chunk.text.len();
            chunk.text.extend_from_slice(self.message(op, data).to_string().as_bytes());
            chunk.records.push(JsonRecord { start, end: chunk.text.len(), number, line: number, key: None });
            chunk.text.push(b'\n');
        }
        Ok(chunk)
    }

    fn message(&self, op: Option<Value>, data: Vec<(&str, Value)>) -> Value {
        let operation = match op {
            // Rows of a full load beside changes have no op either.
            None | Some(Value::Null) => "load".into(),
            Some(Value::String(word)) => match word.as_str() {
                "I" => "insert".into(),
                "U" => "update".into(),
                "D" => "delete".into(),
                _ => Value::String(word),
            },
            Some(other) => other,
        };
        let data: Value = match self.header {
            true => Value::Object(data.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
            false => Value::Array(data.into_iter().map(|(_, value)| value).collect()),
        };
        serde_json::json!({ "data": data, "metadata": { "record-type": "data", "operation": operation } })
    }
}

impl Iterator for DmsTables {
    type Item = Result<JsonChunk>;

    fn next(&mut self) -> Option<Result<JsonChunk>> {
        if self.failed || self.group >= self.table.groups() {
            return None;
        }
        let chunk = self.chunk(self.group);
        self.group += 1;
        self.failed = chunk.is_err();
        Some(chunk)
    }
}
