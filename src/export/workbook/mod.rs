//! `workbook.xlsx`: the evidence for those who work in a spreadsheet, with formulas that
//! recompute its totals. And a snapshot as a spreadsheet of its own.
//!
//! Sheets of rows go to disk as they come. The same data gives the same bytes: the file bears a
//! fixed time of creation.

mod cells;
mod sheets;
mod table;

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use rust_xlsxwriter::{DocProperties, ExcelDateTime, Workbook as Xlsx, XlsxError};

use crate::error::{Error, Result};
use crate::report::Report;
use crate::snapshot::GroupSource;
use cells::Formats;
pub use table::ROWS_MAX;
use table::TableSheet;

/// A workbook on its way: snapshots are added as they are made, the rest at the end.
pub struct Workbook {
    xlsx: Xlsx,
    formats: Formats,
    path: PathBuf,
    /// Names in use, in lower case.
    names: Vec<String>,
    tables: Vec<TableSheet>,
}

impl Workbook {
    /// A new one, to be written here.
    ///
    /// # Errors
    /// None that data can cause.
    pub fn new(path: &Path) -> Result<Self> {
        let mut xlsx = Xlsx::new();
        properties(&mut xlsx).map_err(failed(path))?;
        for name in sheets::NAMES {
            xlsx.add_worksheet().set_name(name).map_err(failed(path))?;
        }
        // Spreadsheets keep this one for themselves.
        let names = sheets::NAMES.iter().chain(&["History"]).map(|name| name.to_lowercase()).collect();
        Ok(Self { xlsx, formats: Formats::new(), path: path.to_owned(), names, tables: Vec::new() })
    }

    /// Adds the sheet of a dataset's snapshot: all of its rows, or, if there are more than `limit`,
    /// a note that names the file. `measures` are set as money.
    ///
    /// # Errors
    /// An input cannot be read.
    pub fn add_table(
        &mut self,
        (name, file): (&str, &str),
        source: &dyn GroupSource,
        measures: &[String],
        limit: u32,
    ) -> Result<()> {
        let sheet_name = self.sheet_name(name);
        let path = self.path.clone();
        let sheet = self.xlsx.add_worksheet_with_constant_memory().map_err(failed(&path))?;
        sheet.set_name(&sheet_name).map_err(failed(&path))?;
        let mut table = TableSheet::new(name, &sheet_name, source);
        if table.rows > u64::from(limit.min(ROWS_MAX)) {
            table.note_only(sheet, (file, limit), &self.formats).map_err(failed(&path))?;
        } else {
            table.write(sheet, source, (measures, &self.formats), &path)?;
        }
        self.tables.push(table);
        Ok(())
    }

    /// Fills the other sheets and writes the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(mut self, report: &Report) -> Result<()> {
        sheets::write(&mut self.xlsx, report, &self.tables, &self.formats).map_err(failed(&self.path))?;
        let file = File::create(&self.path).map_err(Error::io(&self.path, "write"))?;
        save(&mut self.xlsx, file, &self.path)
    }

    /// A name that a sheet may have and no other has.
    fn sheet_name(&mut self, dataset: &str) -> String {
        let safe = |c: char| if "[]:*?/\\'".contains(c) || c.is_control() { '_' } else { c };
        let clean: String = dataset.chars().map(safe).take(28).collect();
        let mut name = clean.clone();
        let mut number = 2;
        while self.names.contains(&name.to_lowercase()) || name.is_empty() {
            name = format!("{} {number}", clean.chars().take(25).collect::<String>());
            number += 1;
        }
        self.names.push(name.to_lowercase());
        name
    }
}

/// A table as a spreadsheet.
pub(super) fn write(
    source: &dyn GroupSource,
    file: File,
    path: &Path,
    done: &(dyn Fn(u64) + Sync),
) -> Result<()> {
    let mut xlsx = Xlsx::new();
    properties(&mut xlsx).map_err(failed(path))?;
    let formats = Formats::new();
    let mut table = TableSheet::new("snapshot", "snapshot", source);
    if table.rows > u64::from(ROWS_MAX) {
        return Err(Error::Limit {
            what: "rows of a spreadsheet",
            found: table.rows,
            limit: u64::from(ROWS_MAX),
        });
    }
    let sheet = xlsx.add_worksheet_with_constant_memory().map_err(failed(path))?;
    sheet.set_name("snapshot").map_err(failed(path))?;
    table.write(sheet, source, (&[], &formats), path)?;
    done(table.rows);
    save(&mut xlsx, file, path)
}

fn properties(xlsx: &mut Xlsx) -> Result<(), XlsxError> {
    let created = ExcelDateTime::from_ymd(2000, 1, 1)?;
    let made_by = format!("asof {}", env!("CARGO_PKG_VERSION"));
    xlsx.set_properties(&DocProperties::new().set_author(made_by).set_creation_datetime(&created));
    Ok(())
}

fn save(xlsx: &mut Xlsx, file: File, path: &Path) -> Result<()> {
    let mut out = BufWriter::new(file);
    xlsx.save_to_writer(&mut out).map_err(failed(path))?;
    std::io::Write::flush(&mut out).map_err(Error::io(path, "write"))
}

fn failed(path: &Path) -> impl Fn(XlsxError) -> Error {
    let path = path.to_owned();
    move |error| Error::Io {
        path: path.clone(),
        action: "write",
        source: match error {
            XlsxError::IoError(error) => error,
            other => std::io::Error::other(other),
        },
    }
}
