//! [`TextRows`]: a table of texts that somebody takes out of files which are no tables themselves.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::block::ROWS;
use super::group::Group;
use super::input::InputFile;
use super::source::TableFormat;
use super::spool::{Spool, SpoolWriter};
use super::table::Table;
use super::typed::TypedTable;
use crate::error::{Error, Result};
use crate::model::{CurrentPlace, Discrepancy, DiscrepancyKind};

/// Rows on their way into the spool.
pub(crate) struct TextRows {
    schema: SchemaRef,
    builders: Vec<StringBuilder>,
    rows: usize,
    writer: SpoolWriter,
    groups: Vec<Group>,
    file: usize,
    /// Number of the next row in its file, from 1.
    next: u64,
    discrepancies: Vec<Discrepancy>,
}

impl TextRows {
    /// Takes rows of these columns out of files, one file after the other.
    pub(crate) fn table(
        names: &[&str],
        files: Vec<InputFile>,
        spool: &Spool,
        mut take: impl FnMut(&InputFile, &mut Self) -> Result<()>,
    ) -> Result<Table> {
        let fields: Vec<Field> = names.iter().map(|n| Field::new(*n, DataType::Utf8, true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let mut rows = Self {
            builders: names.iter().map(|_| StringBuilder::new()).collect(),
            rows: 0,
            writer: spool.create(Arc::clone(&schema))?,
            groups: Vec::new(),
            file: 0,
            next: 1,
            discrepancies: Vec::new(),
            schema,
        };
        for (number, file) in files.iter().enumerate() {
            (rows.file, rows.next) = (number, 1);
            take(file, &mut rows)?;
            rows.flush(file)?;
        }
        let typed = TypedTable {
            schema: rows.schema,
            spooled: rows.writer.finish()?,
            groups: rows.groups,
            decisions: Vec::new(),
            discrepancies: rows.discrepancies,
        };
        Ok(Table::of_spooled(TableFormat::Ndjson, files, typed))
    }

    /// Adds a row: one cell per column.
    pub(crate) fn push(&mut self, file: &InputFile, cells: &[Option<&str>]) -> Result<()> {
        debug_assert_eq!(cells.len(), self.builders.len(), "one cell per column");
        self.builders.iter_mut().zip(cells).for_each(|(builder, cell)| builder.append_option(*cell));
        self.rows += 1;
        if self.rows == ROWS { self.flush(file) } else { Ok(()) }
    }

    /// Something that rows cannot be taken from.
    pub(crate) fn set_aside(&mut self, file: &InputFile, record: u64, message: &str) {
        let message = format!("record {record}: {message}; the record is set aside");
        let mut found = Discrepancy::new(DiscrepancyKind::UnparsableRecord, "", message);
        found.current = Some(CurrentPlace { file: file.path.display().to_string(), row: record });
        self.discrepancies.push(found);
    }

    fn flush(&mut self, file: &InputFile) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let arrays: Vec<ArrayRef> =
            self.builders.iter_mut().map(|b| Arc::new(b.finish()) as ArrayRef).collect();
        let batch =
            RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(Error::arrow(&file.path))?;
        self.writer.push(&batch)?;
        let (rows, index) = (self.rows, self.groups.len());
        self.groups.push(Group { file: self.file, first: self.next, gaps: Vec::new(), rows, index });
        self.next += rows as u64;
        self.rows = 0;
        Ok(())
    }
}
