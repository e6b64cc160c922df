//! [`RecordRows`]: rows of delimited text as untyped cells, on their way to changes.
//!
//! A ledger whose decoder takes row by row needs no table: blocks of text pass through, and nothing is kept.

use std::fmt::Write as _;

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::block::{Block, SetAside, Value};
use super::csv::{CsvReader, delimiter_of};
use super::input::InputFile;
use super::source::{TableFormat, TableSource};
use crate::error::{Error, Result};

/// Consecutive rows of one file: their cells as texts, or null.
#[derive(Debug, Clone)]
pub struct RecordRows {
    block: Block,
    /// What stands for null without quotes.
    null: Option<String>,
}

/// A cell that begins behind its end: null, whatever the text.
const NULL: (u32, u32) = (1, 0);

impl RecordRows {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.block.rows
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.block.rows == 0
    }

    /// How many cells each row has.
    pub fn columns(&self) -> usize {
        self.block.columns.len()
    }

    /// A cell; `None` is null, and what is not there.
    #[inline]
    pub fn text(&self, row: usize, column: usize) -> Option<&str> {
        let value = self.block.columns.get(column)?.get(row)?;
        let text = self.block.text.get(value.start as usize..value.end as usize)?;
        (value.quoted || self.null.as_deref() != Some(text)).then_some(text)
    }

    /// All cells of a row.
    pub(crate) fn row(&self, row: usize) -> Vec<Option<String>> {
        (0..self.columns()).map(|column| self.text(row, column).map(str::to_owned)).collect()
    }

    /// Number of a row's record in its file, from 1.
    pub fn record(&self, row: usize) -> u64 {
        self.block.record(row)
    }

    /// Records that are no rows.
    pub(crate) fn set_aside(&self) -> &[SetAside] {
        &self.block.set_aside
    }

    /// How many bytes of text.
    pub(crate) fn size(&self) -> usize {
        self.block.text.len()
    }

    /// The rows of a batch whose first one comes from this record, its values as texts.
    pub(crate) fn of_batch(batch: &RecordBatch, first: u64, file: &InputFile) -> Result<Self> {
        let options = FormatOptions::default();
        let mut block = Block::new(batch.num_columns());
        for (array, cells) in batch.columns().iter().zip(&mut block.columns) {
            let formatter =
                ArrayFormatter::try_new(array.as_ref(), &options).map_err(Error::arrow(&file.path))?;
            for row in 0..array.len() {
                let start = block.text.len();
                // A text takes whatever is written into it.
                let _ = write!(block.text, "{}", formatter.value(row));
                let (start, end) = match array.is_null(row) {
                    true => NULL,
                    false => (start as u32, block.text.len() as u32),
                };
                cells.push(Value { row: row as u32, start, end, quoted: true });
            }
        }
        if let found @ 0x1_0000_0000.. = block.text.len() as u64 {
            let limit = u64::from(u32::MAX);
            return Err(Error::Limit { what: "bytes of text in the rows of one table", found, limit });
        }
        (block.rows, block.first) = (batch.num_rows(), first);
        Ok(Self { block, null: None })
    }
}

/// Reads the rows of one delimited file, block by block.
pub(crate) struct RowReader {
    reader: CsvReader,
    null: Option<String>,
}

impl RowReader {
    /// The file of a table declared as `source`, which says what stands for null.
    pub(crate) fn open(file: &InputFile, source: &TableSource, format: TableFormat) -> Result<Self> {
        let delimiter = match format {
            TableFormat::Tsv => Some(b'\t'),
            _ => delimiter_of(&file.path),
        };
        Ok(Self { reader: CsvReader::open(file, &source.csv, delimiter)?, null: source.csv.null.clone() })
    }

    /// Names of the columns: the header's, or `column1`, `column2`, ….
    pub(crate) fn names(&self) -> &[String] {
        self.reader.names()
    }

    /// The next rows; `None` at the end of the file. There is none only where records at its end are set aside.
    pub(crate) fn next(&mut self) -> Result<Option<RecordRows>> {
        let mut aside: Vec<SetAside> = Vec::new();
        while let Some(mut block) = self.reader.next_block()? {
            if block.rows == 0 {
                aside.append(&mut block.set_aside);
                continue;
            }
            aside.append(&mut block.set_aside);
            block.set_aside = aside;
            return Ok(Some(RecordRows { block, null: self.null.clone() }));
        }
        let mut block = Block::new(self.reader.names().len());
        block.set_aside = aside;
        Ok((!block.set_aside.is_empty()).then(|| RecordRows { block, null: self.null.clone() }))
    }
}
