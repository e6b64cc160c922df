//! What the user says about the files of a table.

use std::path::PathBuf;

use arrow::datatypes::DataType;
use chrono_tz::Tz;

/// What the user said about a table's files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableSource {
    /// File, folder or wildcard.
    pub pattern: PathBuf,
    /// The file format; `None`: detected.
    pub format: Option<TableFormat>,
    /// How delimited text is read.
    pub csv: CsvOptions,
    /// Declared types of columns, for text formats.
    pub types: Vec<(String, DataType)>,
    /// Columns that must be numbers.
    pub numeric: Vec<String>,
    /// The zone of times without an offset.
    pub time_zone: Option<Tz>,
}

/// The file formats that hold tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated text.
    Csv,
    /// Tab-separated text.
    Tsv,
    /// One JSON object per line.
    Ndjson,
    /// Arrow IPC file or stream.
    ArrowIpc,
}

/// How delimited text is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// The byte between fields; `None`: detected.
    pub delimiter: Option<u8>,
    /// The unquoted text that stands for null.
    pub null: Option<String>,
    /// Whether the first record names the columns.
    pub header: bool,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { delimiter: None, null: None, header: true }
    }
}
