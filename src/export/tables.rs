//! The table of discrepancies, as Parquet and CSV.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::csv::{self, CsvStyle};
use crate::error::{Error, Result};
use crate::model::{CellDifference, Discrepancy, canon};

/// Rows after which a row group is written out, as evidence can be as long as a table.
const ROW_GROUP: usize = 1 << 16;
/// How many columns the discrepancies table has.
const WIDTH: usize = 25;
/// Columns of the discrepancies table, in order.
const DISCREPANCY_COLUMNS: [&str; WIDTH] = [
    "code",
    "severity",
    "dataset",
    "key",
    "columns",
    "file",
    "record",
    "position",
    "transaction",
    "committed_at",
    "actor",
    "current_file",
    "current_row",
    "expected",
    "found",
    "message",
    "count",
    "touches_snapshot",
    "amounts",
    "effects",
    "cause",
    "material",
    "fingerprint",
    "accepted",
    "not_accepted",
];

/// A file of the discrepancies table on its way.
pub enum DiscrepancyFile {
    /// Parquet.
    Parquet {
        /// Takes the batches.
        writer: Box<ArrowWriter<BufWriter<File>>>,
        /// Where to.
        path: PathBuf,
    },
    /// CSV whose texts a spreadsheet does not take for formulas.
    Csv {
        /// Takes the lines.
        out: BufWriter<File>,
        /// Where to.
        path: PathBuf,
    },
}

impl DiscrepancyFile {
    /// A new Parquet file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn parquet(path: &Path) -> Result<Self> {
        let writer = Box::new(parquet_writer(path, &discrepancy_schema())?);
        Ok(Self::Parquet { writer, path: path.to_owned() })
    }

    /// A new CSV file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn csv(path: &Path) -> Result<Self> {
        let mut out = BufWriter::new(File::create(path).map_err(Error::io(path, "write"))?);
        let mut line = String::new();
        let names = DISCREPANCY_COLUMNS.iter().map(|n| Some(Cow::Borrowed(*n)));
        csv::join(&mut line, names, &CsvStyle::default());
        out.write_all(line.as_bytes()).map_err(Error::io(path, "write"))?;
        Ok(Self::Csv { out, path: path.to_owned() })
    }

    /// Adds rows of [`discrepancy_schema`].
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Self::Parquet { writer, path } => writer.write(batch).map_err(Error::parquet(path)),
            Self::Csv { out, path } => {
                let style = CsvStyle { safe: true, ..CsvStyle::default() };
                let mut line = String::new();
                for row in 0..batch.num_rows() {
                    line.clear();
                    let cells = batch.columns().iter().map(|c| canon::cell_text(c.as_ref(), row));
                    csv::join(&mut line, cells.map(|c| c.map(Cow::Owned)), &style);
                    out.write_all(line.as_bytes()).map_err(Error::io(path.as_path(), "write"))?;
                }
                Ok(())
            }
        }
    }

    /// Completes the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(self) -> Result<()> {
        match self {
            Self::Parquet { writer, path } => writer.close().map(|_| ()).map_err(Error::parquet(&path)),
            Self::Csv { mut out, path } => out.flush().map_err(Error::io(&path, "write")),
        }
    }
}

pub(super) fn parquet_writer(path: &Path, schema: &SchemaRef) -> Result<ArrowWriter<BufWriter<File>>> {
    let file = File::create(path).map_err(Error::io(path, "write"))?;
    let properties = WriterProperties::builder()
        .set_created_by(format!("asof {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .build();
    ArrowWriter::try_new(BufWriter::new(file), Arc::clone(schema), Some(properties))
        .map_err(Error::parquet(path))
}

/// The columns of the discrepancies table.
pub fn discrepancy_schema() -> SchemaRef {
    let required = ["code", "severity", "dataset", "key", "message", "columns", "cause", "fingerprint"];
    let field = |name: &&str| {
        let data_type = match *name {
            "record" | "current_row" | "count" => DataType::UInt64,
            "touches_snapshot" | "material" => DataType::Boolean,
            _ => DataType::Utf8,
        };
        Field::new(*name, data_type, !required.contains(name))
    };
    Arc::new(Schema::new(DISCREPANCY_COLUMNS.iter().map(field).collect::<Vec<_>>()))
}

/// Discrepancies as rows of the table.
///
/// # Errors
/// None that data can cause: the columns are those of [`discrepancy_schema`].
pub fn discrepancy_batch(discrepancies: &[Discrepancy]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let schema = discrepancy_schema();
    let rows: Vec<[Option<String>; WIDTH]> = discrepancies.iter().map(texts).collect();
    let column = |(number, field): (usize, &Arc<Field>)| -> ArrayRef {
        let cells = rows.iter().map(|row| row[number].as_deref());
        match field.data_type() {
            DataType::UInt64 => {
                Arc::new(cells.map(|c| c.and_then(|t| t.parse().ok())).collect::<UInt64Array>())
            }
            DataType::Boolean => Arc::new(cells.map(|c| c.map(|t| t == "true")).collect::<BooleanArray>()),
            _ => Arc::new(cells.collect::<StringArray>()),
        }
    };
    RecordBatch::try_new(Arc::clone(&schema), schema.fields().iter().enumerate().map(column).collect())
}

fn texts(d: &Discrepancy) -> [Option<String>; WIDTH] {
    let ledger = d.ledger.as_ref();
    let current = d.current.as_ref();
    [
        Some(d.kind.code().to_owned()),
        Some(d.severity().name().to_owned()),
        Some(d.dataset.clone()),
        Some(d.key.clone()),
        Some(d.cells.iter().map(|c| c.column.as_str()).collect::<Vec<_>>().join(", ")),
        ledger.map(|l| l.file.clone()),
        ledger.map(|l| l.record.to_string()),
        ledger.and_then(|l| l.position.clone()),
        ledger.and_then(|l| l.transaction.clone()),
        ledger.and_then(|l| l.committed_at.clone()),
        ledger.and_then(|l| l.actor.clone()),
        current.map(|c| c.file.clone()),
        current.map(|c| c.row.to_string()),
        side(&d.cells, |c| c.expected.as_ref()),
        side(&d.cells, |c| c.found.as_ref()),
        Some(d.message.clone()),
        Some(d.count.to_string()),
        Some(d.touches_snapshot.to_string()),
        amounts(&d.amounts),
        amounts(&d.effects),
        Some(d.cause.code().to_owned()),
        d.material.map(|m| m.to_string()),
        Some(d.fingerprint()),
        d.accepted.clone(),
        d.not_accepted.clone(),
    ]
}

/// `measure=amount` pairs, if there are any.
fn amounts(amounts: &[(String, String)]) -> Option<String> {
    let pair = |(measure, amount): &(String, String)| format!("{measure}={amount}");
    (!amounts.is_empty()).then(|| amounts.iter().map(pair).collect::<Vec<_>>().join(", "))
}

/// `column=value` pairs of one side; nothing where neither side states a value.
fn side(cells: &[CellDifference], of: impl Fn(&CellDifference) -> Option<&String>) -> Option<String> {
    let stated: Vec<&CellDifference> =
        cells.iter().filter(|c| c.expected.is_some() || c.found.is_some()).collect();
    let pair = |c: &&CellDifference| format!("{}={}", c.column, of(c).map_or("null", String::as_str));
    (!stated.is_empty()).then(|| stated.iter().map(pair).collect::<Vec<_>>().join(", "))
}
