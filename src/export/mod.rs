//! Results become files, complete or not there at all.
//!
//! To add a format: one file here with a function that takes a [`GroupSource`], one arm
//! in [`write_table`], one word in [`OutputFormat`](crate::pipeline::request::OutputFormat),
//! and tests that read the file back.

pub mod change_set;
pub(crate) mod csv;
pub mod digests;
pub(crate) mod in_order;
mod ipc;
pub mod package;
mod parquet;
mod rows;
pub mod sql;
pub mod tables;
pub mod totals;
pub mod verdicts;
mod workbook;

pub use csv::CsvStyle;
pub(crate) use csv::join as csv_record;
pub use parquet::{EncodedGroup, GroupEncoder, GroupFile, ParquetStyle};
pub use rows::RowsFile;
pub use workbook::{ROWS_MAX, Workbook};

use std::fs::File;
use std::path::Path;

use self::package::FileDigest;
use crate::error::Result;
use crate::snapshot::GroupSource;

/// How a table is written.
#[derive(Debug, Clone)]
pub enum TableStyle {
    /// Apache Parquet.
    Parquet(ParquetStyle),
    /// Delimited text.
    Csv(CsvStyle),
    /// Arrow IPC file.
    ArrowIpc,
    /// A spreadsheet.
    Xlsx,
}

/// Writes all groups of a table to a file. `done` is called with the rows of each finished group.
///
/// Returns the file's digest where the style asks for it.
///
/// # Errors
/// An input cannot be read, or the file cannot be written.
pub fn write_table(
    source: &dyn GroupSource,
    style: &TableStyle,
    file: File,
    path: &Path,
    done: &(dyn Fn(u64) + Sync),
) -> Result<Option<FileDigest>> {
    match style {
        TableStyle::Parquet(style) => return parquet::write(source, style, file, path, done),
        TableStyle::Csv(style) => csv::write(source, style, file, path, done)?,
        TableStyle::ArrowIpc => ipc::write(source, file, path, done)?,
        TableStyle::Xlsx => workbook::write(source, file, path, done)?,
    }
    Ok(None)
}
