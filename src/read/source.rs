//! [`TableSource`]: what the user said about a table's files.

use std::path::PathBuf;

use arrow::datatypes::DataType;
use chrono_tz::Tz;

use super::Batches;

/// What the user said about a table's files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableSource {
    /// File, folder or wildcard.
    pub pattern: PathBuf,
    /// The file format; `None`: detected from the content.
    pub format: Option<TableFormat>,
    /// How delimited text is read.
    pub csv: CsvOptions,
    /// Declared types of columns, for text formats.
    pub types: Vec<(String, DataType)>,
    /// Columns that must be numbers, for text formats: decimals with as many
    /// places as the longest value needs.
    pub numeric: Vec<String>,
    /// The zone of times without an offset, in columns declared as instants.
    pub time_zone: Option<Tz>,
    /// The table itself, if it is in memory; `pattern` is then only what messages call it.
    pub batches: Option<Batches>,
    /// Every column is text exactly as written: for readers that know types the file does
    /// not say. Unquoted empty fields are null, and JSON objects and arrays keep their blanks.
    pub as_text: bool,
}

impl TableSource {
    /// A source about which only the path is known.
    pub fn at(pattern: impl Into<PathBuf>) -> Self {
        Self { pattern: pattern.into(), ..Self::default() }
    }

    /// A table in memory, and what messages call it.
    pub fn in_memory(name: impl Into<PathBuf>, batches: Batches) -> Self {
        Self { pattern: name.into(), batches: Some(batches), ..Self::default() }
    }
}

/// The file formats that hold tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated text (or whatever the delimiter is).
    Csv,
    /// Tab-separated text.
    Tsv,
    /// JSON objects: one per line, in an array, or one after the other.
    Ndjson,
    /// Arrow IPC file or stream.
    ArrowIpc,
}

impl TableFormat {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Ndjson => "ndjson",
            Self::ArrowIpc => "arrow",
        }
    }
}

/// How delimited text is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// The byte between fields; `None`: comma, semicolon, tab or bar, whichever fits.
    pub delimiter: Option<u8>,
    /// The unquoted text that stands for null. `None`: an empty field is null,
    /// but in text columns it is the empty text.
    pub null: Option<String>,
    /// Whether the first record names the columns.
    pub header: bool,
    /// How characters are written that mean something else. `None`: by quotes, unless
    /// the text can only have been written with backslashes.
    pub escape: Option<CsvEscape>,
}

/// How delimited text writes characters that mean something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CsvEscape {
    /// In quotes; a quote is doubled there.
    Quotes,
    /// Behind a backslash, and null as `\N`, as PostgreSQL's COPY text and MySQL's OUTFILE do.
    Backslash,
}

impl CsvEscape {
    /// Both, in the order in which they are listed to people.
    pub const ALL: &'static [Self] = &[Self::Quotes, Self::Backslash];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quotes => "quotes",
            Self::Backslash => "backslash",
        }
    }
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { delimiter: None, null: None, header: true, escape: None }
    }
}
