//! Tables of JSON objects: one per line, in an array, or one after the other.
//!
//! Columns are all member names in the order in which they first occur. A member
//! that an object leaves out is null.

use std::collections::HashMap;

use super::block::{Block, Value};
use super::input::InputFile;
use super::json_chunks::{JsonChunk, JsonChunks};
use super::json_text;
use super::typed::TextReader;
use crate::error::{Error, Result};

/// More member names than this are keys that should have been values.
const COLUMNS_MAX: usize = 10_000;

/// Reads the objects of one file, block by block.
pub(crate) struct JsonReader {
    chunks: JsonChunks,
    /// The chunk at work, and its next record.
    chunk: Option<(JsonChunk, usize)>,
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl JsonReader {
    /// A reader that already knows the columns of files before this one.
    pub(crate) fn open(file: &InputFile, names: &[String]) -> Result<Self> {
        let places = names.iter().enumerate().map(|(i, n)| (n.clone(), i)).collect();
        Ok(Self { chunks: JsonChunks::open(file)?, chunk: None, names: names.to_vec(), places })
    }

    /// Whether there is a record to take.
    fn advance(&mut self) -> Result<bool> {
        while self.chunk.as_ref().is_none_or(|(chunk, next)| *next == chunk.records.len()) {
            match self.chunks.next().transpose()? {
                Some(chunk) => self.chunk = Some((chunk, 0)),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Takes the members of one object into the block.
    fn object(&mut self, text: &str, block: &mut Block) -> Result<(), String> {
        let (row, base) = (block.rows as u32, block.text.len());
        let mut guess = 0;
        json_text::members(
            text,
            |name, raw| {
                // Objects mostly have the same members in the same order.
                let known = self.names.get(guess).filter(|n| **n == name).map(|_| guess);
                let column = known.or_else(|| self.places.get(name.as_ref()).copied()).unwrap_or_else(|| {
                    self.names.push(name.clone().into_owned());
                    self.places.insert(name.clone().into_owned(), self.names.len() - 1);
                    self.names.len() - 1
                });
                guess = column + 1;
                if block.columns.len() <= column {
                    block.columns.resize(column + 1, Vec::new());
                }
                if block.columns[column].last().is_some_and(|v| v.row == row) {
                    return Err(format!("the member {name:?} twice"));
                }
                // `raw` is a part of `text`, so its address tells its place.
                let start = base + (raw.as_ptr() as usize - text.as_ptr() as usize);
                let value =
                    Value { row, start: start as u32, end: (start + raw.len()) as u32, quoted: false };
                block.columns[column].push(value);
                Ok(())
            },
            |error| format!("expected a JSON object: {error}"),
        )
    }

    /// Takes the record at hand into the block, as a row or set aside.
    fn take(&mut self, block: &mut Block) {
        let Some((chunk, next)) = self.chunk.take() else { return };
        let record = &chunk.records[next];
        let taken = match std::str::from_utf8(chunk.bytes(record)) {
            Ok(text) => self.object(text, block).map(|()| text),
            Err(error) => {
                Err(format!("expected text in UTF-8, found another byte at {}", error.valid_up_to()))
            }
        };
        match taken {
            Ok(text) => {
                block.text.push_str(text);
                block.end_row(record.number);
            }
            Err(message) => {
                let row = block.rows as u32;
                for column in &mut block.columns {
                    column.pop_if(|v| v.row == row);
                }
                block.set_aside(record.number, record.line, message);
            }
        }
        self.chunk = Some((chunk, next + 1));
    }
}

/// The member names of the first object of a file; none if it holds none.
pub(crate) fn first_names(file: &InputFile) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let Some(chunk) = JsonChunks::open(file)?.next().transpose()? else { return Ok(names) };
    let texts = chunk.records.iter().filter_map(|r| std::str::from_utf8(chunk.bytes(r)).ok());
    if let Some(text) = texts.into_iter().find(|t| t.trim_ascii_start().starts_with('{')) {
        let name = |name: std::borrow::Cow<'_, str>, _: &str| {
            names.push(name.into_owned());
            Ok(())
        };
        json_text::members(text, name, |error| error.to_string()).unwrap_or_default();
    }
    Ok(names)
}

impl TextReader for JsonReader {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn next_block(&mut self) -> Result<Option<Block>> {
        let mut block = Block::new(self.names.len());
        while !block.is_full() && self.advance()? {
            self.take(&mut block);
            if self.names.len() > COLUMNS_MAX {
                return Err(Error::Limit {
                    what: "number of different member names in a JSON table",
                    found: self.names.len() as u64,
                    limit: COLUMNS_MAX as u64,
                });
            }
        }
        Ok((block.rows > 0 || !block.set_aside.is_empty()).then_some(block))
    }
}
