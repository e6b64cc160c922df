//! [`RowsFile`]: record batches into one file, whose name says its format.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::FileWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::csv::{self, CsvStyle};
use crate::error::{Error, Result};
use crate::model::canon;

/// A file that takes record batches of one schema, one after the other.
///
/// Text that starts a formula is escaped in CSV, as people open these files with a spreadsheet.
pub struct RowsFile {
    path: PathBuf,
    writer: Writer,
}

enum Writer {
    Parquet(Box<ArrowWriter<BufWriter<File>>>),
    Csv(BufWriter<File>),
    Arrow(Box<FileWriter<BufWriter<File>>>),
}

/// Extensions of the formats that a [`RowsFile`] writes.
const EXTENSIONS: [&str; 3] = ["parquet", "csv", "arrow"];

impl RowsFile {
    /// Checks that the name of a file says a format that can be written.
    ///
    /// # Errors
    /// It does not.
    pub fn check_name(path: &Path) -> Result<()> {
        extension(path).map(|_| ()).ok_or_else(|| unknown(path))
    }

    /// A new file.
    ///
    /// # Errors
    /// Its name says no format that is written, or it cannot be written.
    pub fn create(path: &Path, schema: SchemaRef) -> Result<Self> {
        let extension = extension(path).ok_or_else(|| unknown(path))?;
        let mut out = BufWriter::new(File::create(path).map_err(Error::io(path, "write"))?);
        let writer = match extension {
            "parquet" => {
                let properties = WriterProperties::builder()
                    .set_created_by(format!("asof {}", env!("CARGO_PKG_VERSION")))
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .build();
                let writer = ArrowWriter::try_new(out, schema, Some(properties));
                Writer::Parquet(Box::new(writer.map_err(Error::parquet(path))?))
            }
            "csv" => {
                let mut line = String::new();
                let names = schema.fields().iter().map(|f| Some(Cow::Borrowed(f.name().as_str())));
                csv::join(&mut line, names, &CsvStyle::default());
                out.write_all(line.as_bytes()).map_err(Error::io(path, "write"))?;
                Writer::Csv(out)
            }
            _ => Writer::Arrow(Box::new(FileWriter::try_new(out, &schema).map_err(Error::arrow(path))?)),
        };
        Ok(Self { path: path.to_owned(), writer })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds rows.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match &mut self.writer {
            Writer::Parquet(writer) => writer.write(batch).map_err(Error::parquet(&self.path)),
            Writer::Arrow(writer) => writer.write(batch).map_err(Error::arrow(&self.path)),
            Writer::Csv(out) => {
                let style = CsvStyle { safe: true, ..CsvStyle::default() };
                let mut line = String::new();
                for row in 0..batch.num_rows() {
                    line.clear();
                    let cells = batch.columns().iter().map(|c| canon::cell_text(c.as_ref(), row));
                    csv::join(&mut line, cells.map(|c| c.map(Cow::Owned)), &style);
                    out.write_all(line.as_bytes()).map_err(Error::io(&self.path, "write"))?;
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
        let path = &self.path;
        match self.writer {
            Writer::Parquet(writer) => writer.close().map(|_| ()).map_err(Error::parquet(path)),
            Writer::Arrow(mut writer) => writer.finish().map_err(Error::arrow(path)),
            Writer::Csv(mut out) => out.flush().map_err(Error::io(path, "write")),
        }
    }
}

fn unknown(path: &Path) -> Error {
    Error::Unsupported {
        path: path.to_owned(),
        feature: "this extension".to_owned(),
        hint: Some("name a file that ends in .parquet, .csv or .arrow".to_owned()),
    }
}

fn extension(path: &Path) -> Option<&'static str> {
    let found = path.extension()?.to_str()?;
    EXTENSIONS.into_iter().find(|known| found.eq_ignore_ascii_case(known))
}
