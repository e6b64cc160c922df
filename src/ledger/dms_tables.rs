//! Files that DMS writes to S3, CSV or Parquet, as rows for the decoder of its messages.
//!
//! ```text
//!  Op,commit_ts,id,name,BI_name            {"data": {"commit_ts": …, "id": "7", "name": "bolt M8", "BI_name": "bolt"},
//!  U,2024-03-31 22:15:04,7,bolt M8,bolt ─►  "metadata": {"record-type": "data", "operation": "update"}}
//! ```
//!
//! A file without `Op`, or whose name begins with `LOAD`, is a full load. A CSV
//! file without header (`header = false`) has its values in the table's order. What a row says is
//! what the message beside it would say; none is made.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::read::{
    ChangeRows, InputFile, JsonChunk, RecordRows, RowReader, Spool, Table, TableFormat, TableSource,
    table_format,
};

/// Rows of a table that are taken at a time.
const ROWS: usize = 65_536;

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

/// The rows of one file.
pub(super) struct DmsTables {
    body: Body,
    names: Option<Arc<[String]>>,
    /// The column that says what happened.
    op: Option<usize>,
    failed: bool,
}

enum Body {
    Text(RowReader),
    Table { file: InputFile, table: Table, group: usize, rest: Option<(RecordBatch, u64)> },
}

impl DmsTables {
    /// The file of a ledger declared as `declared`.
    pub(super) fn open(file: &InputFile, declared: &TableSource) -> Result<Self> {
        let mut source = TableSource { pattern: file.path.clone(), ..declared.clone() };
        // What DMS writes for null unless it is told otherwise.
        source.csv.null.get_or_insert_with(|| "NULL".to_owned());
        let format = match source.format {
            Some(format) => format,
            None => table_format(file)?,
        };
        let (body, names): (Body, Vec<String>) = match format {
            TableFormat::Csv | TableFormat::Tsv => {
                let reader = RowReader::open(file, &source, format)?;
                let names = reader.names().to_vec();
                (Body::Text(reader), names)
            }
            _ => {
                let table = Table::open(&source, &Spool::new(None))?;
                let names = table.schema().fields().iter().map(|field| field.name().clone()).collect();
                (Body::Table { file: file.clone(), table, group: 0, rest: None }, names)
            }
        };
        let header = source.csv.header || format == TableFormat::Parquet;
        let name = file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let op = match header {
            true => names.iter().position(|name| name == "Op"),
            false => (!name.starts_with("LOAD")).then_some(0),
        };
        Ok(Self { body, names: header.then(|| names.into()), op, failed: false })
    }

    fn rows(&mut self) -> Result<Option<RecordRows>> {
        let (file, table, group, rest) = match &mut self.body {
            Body::Text(reader) => return reader.next(),
            Body::Table { file, table, group, rest } => (file, table, group, rest),
        };
        while rest.is_none() && *group < table.groups() {
            let columns: Vec<usize> = (0..table.schema().fields().len()).collect();
            let batch = table.read(*group, &columns, None)?;
            *rest = (batch.num_rows() > 0).then(|| (batch, table.record(*group, 0)));
            *group += 1;
        }
        let Some((batch, first)) = rest.take() else { return Ok(None) };
        let count = batch.num_rows().min(ROWS);
        if count < batch.num_rows() {
            *rest = Some((batch.slice(count, batch.num_rows() - count), first + count as u64));
        }
        RecordRows::of_batch(&batch.slice(0, count), first, file).map(Some)
    }
}

impl Iterator for DmsTables {
    type Item = Result<JsonChunk>;

    fn next(&mut self) -> Option<Result<JsonChunk>> {
        if self.failed {
            return None;
        }
        let rows = self.rows().transpose()?;
        self.failed = rows.is_err();
        let (names, op) = (self.names.clone(), self.op);
        let of = |rows| ChangeRows { rows, names, op, around: [None, None] };
        Some(rows.map(|rows| JsonChunk { rows: Some(of(rows)), ..JsonChunk::default() }))
    }
}
