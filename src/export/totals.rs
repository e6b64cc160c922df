//! The table of control totals, as Parquet and CSV: one row per figure and group.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::csv::CsvStyle;
use super::tables;
use crate::error::{Error, Result};
use crate::model::{GroupTotal, MeasureTotal, RowTotal};

/// Columns of the totals table, in order. All but the last are text: amounts are exact
/// decimals of any scale.
const COLUMNS: [&str; 10] = [
    "dataset",
    "figure",
    "measure",
    "group",
    "current",
    "inserts",
    "deletes",
    "updates",
    "snapshot",
    "unknown_cells",
];

/// The control totals of one dataset.
#[derive(Debug, Clone, Copy)]
pub struct DatasetTotals<'a> {
    /// Its name.
    pub dataset: &'a str,
    /// Its rows.
    pub rows: RowTotal,
    /// Its measures.
    pub measures: &'a [MeasureTotal],
    /// Its groups.
    pub groups: &'a [GroupTotal],
}

/// One row of the table.
type Line = ([Option<String>; 9], u64);

/// The columns of the totals table.
pub fn totals_schema() -> SchemaRef {
    let field = |name: &&str| {
        let data_type = if *name == "unknown_cells" { DataType::UInt64 } else { DataType::Utf8 };
        Field::new(*name, data_type, matches!(*name, "measure" | "group"))
    };
    Arc::new(Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>()))
}

/// Control totals as rows of the table. `figure` is `rows` or `measure`; `group` is null for the
/// whole dataset; current − inserts + deletes + updates = snapshot.
///
/// # Errors
/// None that data can cause: the columns are those of [`totals_schema`].
pub fn totals_batch(totals: &[DatasetTotals<'_>]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let lines: Vec<Line> = totals.iter().flat_map(lines).collect();
    let mut columns: Vec<ArrayRef> = (0..COLUMNS.len() - 1)
        .map(|c| -> ArrayRef { Arc::new(lines.iter().map(|l| l.0[c].as_deref()).collect::<StringArray>()) })
        .collect();
    columns.push(Arc::new(lines.iter().map(|l| l.1).collect::<UInt64Array>()));
    RecordBatch::try_new(totals_schema(), columns)
}

/// Writes `totals.parquet` and `totals.csv` into a folder.
///
/// # Errors
/// A file cannot be written.
pub fn write_totals(totals: &[DatasetTotals<'_>], folder: &Path) -> Result<()> {
    let path = folder.join("totals.parquet");
    let batch = totals_batch(totals).map_err(Error::arrow(&path))?;
    let mut writer = tables::parquet_writer(&path, &totals_schema())?;
    writer.write(&batch).map_err(Error::parquet(&path))?;
    writer.close().map_err(Error::parquet(&path))?;
    let path = folder.join("totals.csv");
    let mut text = String::new();
    let style = CsvStyle { safe: true, ..CsvStyle::default() };
    super::csv::join(&mut text, COLUMNS.iter().map(|n| Some(Cow::Borrowed(*n))), &style);
    for (texts, unknown) in totals.iter().flat_map(lines) {
        let cells = texts.into_iter().chain([Some(unknown.to_string())]);
        super::csv::join(&mut text, cells.map(|cell| cell.map(Cow::Owned)), &style);
    }
    std::fs::write(&path, text).map_err(Error::io(&path, "write"))
}

fn lines(totals: &DatasetTotals<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut add = |group: Option<String>, rows: &RowTotal, measures: &[MeasureTotal]| {
        lines.push(of_rows(totals.dataset, group.clone(), rows));
        lines.extend(measures.iter().map(|m| of_measure(totals.dataset, group.clone(), m)));
    };
    add(None, &totals.rows, totals.measures);
    totals.groups.iter().for_each(|group| add(Some(group.label()), &group.rows, &group.measures));
    lines
}

fn of_rows(dataset: &str, group: Option<String>, rows: &RowTotal) -> Line {
    let counts = [rows.current, rows.inserts, rows.deletes].map(|count| Some(count.to_string()));
    let [current, inserts, deletes] = counts;
    let (updates, snapshot) = (Some(rows.updates.to_string()), Some(rows.snapshot.to_string()));
    let head = [Some(dataset.to_owned()), Some("rows".to_owned()), None, group];
    let [dataset, figure, measure, group] = head;
    ([dataset, figure, measure, group, current, inserts, deletes, updates, snapshot], 0)
}

fn of_measure(dataset: &str, group: Option<String>, m: &MeasureTotal) -> Line {
    let head = [Some(dataset.to_owned()), Some("measure".to_owned()), Some(m.name.clone()), group];
    let [dataset, figure, measure, group] = head;
    let amounts = [&m.current, &m.inserts, &m.deletes, &m.updates, &m.snapshot].map(|a| Some(a.clone()));
    let [current, inserts, deletes, updates, snapshot] = amounts;
    ([dataset, figure, measure, group, current, inserts, deletes, updates, snapshot], m.unknown)
}
