//! Delimited text: its own tokenizer, because a quoted empty field is not an
//! unquoted one, and because every message must say record and line.
//!
//! Fields are separated by one byte, records by LF, CR LF or CR. A field that
//! begins with a double quote ends at the next lone one and may hold anything.
//! A record with another number of fields, with text behind a closing quote or
//! that is not UTF-8 never becomes a row: the first two are set aside, the last is
//! an error, as all text of the file is then in doubt.
//!
//! With backslash escapes (PostgreSQL's COPY text, MySQL's OUTFILE), `\N` alone is
//! null, `\t`, `\n`, `\\` and their like stand for characters, and quotes mean
//! something only where fields are not separated by tabs. Tab-separated text in
//! which a whole field is `\N` can be nothing else, so there it is detected.

mod token;

use std::io::Read;
use std::path::{Path, PathBuf};

use self::token::{Dialect, NOT_CLOSED, Record, Token, record};
use super::block::{Block, Value};
use super::input::{InputFile, read_error};
use super::source::{CsvEscape, CsvOptions};
use super::text;
use crate::error::{At, Error, Result};

/// How much is read at a time.
const READ: usize = 1 << 20;
/// No record may be longer.
const RECORD_MAX: usize = 1 << 30;
/// A longer first line names no columns.
const HEADER_MAX: usize = 1 << 20;
/// How many fields of a record that is set aside are kept.
const FIELDS_KEPT: usize = 3;
/// From how much text the delimiter is detected.
const SAMPLE: usize = 1 << 16;
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The delimiter that cuts the sample into the most even records.
fn detect(sample: &[u8], at_end: bool) -> u8 {
    let mut fields = Record::default();
    let mut best = (0, b',');
    for delimiter in DELIMITERS {
        let (mut at, mut counts) = (0, Vec::new());
        while counts.len() < 100 && at < sample.len() {
            match record(&sample[at..], Dialect { delimiter, backslash: false }, at_end, &mut fields) {
                Token::Record(length) => at += length.max(1),
                Token::Partial => break,
            }
            if !fields.is_blank() && fields.flaw.is_none() {
                counts.push(fields.ends.len());
            }
        }
        let width = counts.first().copied().unwrap_or(1);
        let even = counts.iter().filter(|c| **c == width).count();
        // Evenness counts before width: a comma in prose is no delimiter.
        let score = if width > 1 { even * 1000 / counts.len().max(1) * 1000 + width } else { 0 };
        if score > best.0 {
            best = (score, delimiter);
        }
    }
    best.1
}

/// Reads the records of one file, block by block.
pub(crate) struct CsvReader {
    reader: Box<dyn Read + Send>,
    path: PathBuf,
    dialect: Dialect,
    names: Vec<String>,
    buffer: Vec<u8>,
    at: usize,
    at_end: bool,
    fields: Record,
    /// Number of the next record; the header is none.
    number: u64,
    /// Line of the next record.
    line: u64,
    /// Line of the record in `fields`.
    record_line: u64,
}

impl CsvReader {
    pub(crate) fn open(file: &InputFile, options: &CsvOptions, delimiter: Option<u8>) -> Result<Self> {
        let mut reader = Self {
            reader: text::utf8(file.content()?, &file.path)?,
            path: file.path.clone(),
            dialect: Dialect { delimiter: b',', backslash: options.escape == Some(CsvEscape::Backslash) },
            names: Vec::new(),
            buffer: Vec::new(),
            at: 0,
            at_end: false,
            fields: Record::default(),
            number: 0,
            line: 1,
            record_line: 1,
        };
        while reader.buffer.len() < SAMPLE && !reader.at_end {
            reader.fill()?;
        }
        let detected = || detect(&reader.buffer[..reader.buffer.len().min(SAMPLE * 4)], reader.at_end);
        reader.dialect.delimiter = options.delimiter.or(delimiter).unwrap_or_else(detected);
        if matches!(reader.dialect.delimiter, b'"' | b'\r' | b'\n' | 0x80..) {
            let found = format!("byte 0x{:02X}", reader.dialect.delimiter);
            return Err(reader.malformed("a delimiter that is one ASCII character", &found, None));
        }
        reader.header(options.header)?;
        Ok(reader)
    }

    /// Whether the file's text, as far as a sample shows, can only be written with backslash escapes.
    pub(crate) fn shows_backslashes(&self) -> bool {
        self.dialect.delimiter == b'\t'
            && token::is_copy_text(&self.buffer[..self.buffer.len().min(SAMPLE * 4)])
    }

    /// Names of the columns: the header's, or `column1`, `column2`, ….
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    fn header(&mut self, has_header: bool) -> Result<()> {
        if !has_header {
            self.number = 1;
            let (line, at) = (self.line, self.at);
            if self.advance()? {
                self.names = (1..=self.fields.ends.len()).map(|n| format!("column{n}")).collect();
            }
            (self.number, self.line, self.at) = (1, line, at);
            return Ok(());
        }
        if !self.advance()? {
            return Err(self.malformed("a header line", "an empty file", None));
        }
        let text = self.checked_text()?.to_owned();
        if text.len() > HEADER_MAX {
            let found = format!("a first line of {} bytes", text.len());
            let hint = "check that the file is a table and that its first line names the columns";
            return Err(self.malformed("a header line", &found, Some(hint)));
        }
        let starts = std::iter::once(0).chain(self.fields.ends.iter().copied());
        self.names = starts.zip(&self.fields.ends).map(|(start, &end)| text[start..end].to_owned()).collect();
        let mut sorted: Vec<&String> = self.names.iter().collect();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|w| w[0] == w[1]) {
            let found = format!("{:?} twice", twice[0]);
            let hint = "rename one of them, or read the file without header";
            return Err(self.malformed("column names that differ", &found, Some(hint)));
        }
        self.number = 1;
        Ok(())
    }

    /// The next block of the file; `None` at its end.
    pub(crate) fn next_block(&mut self) -> Result<Option<Block>> {
        let mut block = Block::new(self.names.len());
        while !block.is_full() && self.advance()? {
            self.take_into(&mut block)?;
        }
        Ok((block.rows > 0 || !block.set_aside.is_empty()).then_some(block))
    }

    fn take_into(&mut self, block: &mut Block) -> Result<()> {
        let text = self.checked_text()?;
        let (fields, number, line) = (&self.fields, self.number - 1, self.record_line);
        let flaw = match fields.flaw {
            Some(flaw) => Some(flaw.to_owned()),
            None if fields.ends.len() == self.names.len() => None,
            None => {
                let s = if fields.ends.len() == 1 { "" } else { "s" };
                Some(format!("expected {} fields, found {} field{s}", self.names.len(), fields.ends.len()))
            }
        };
        if let Some(message) = flaw {
            block.set_aside(number, line, message);
            if let (None, Some(aside)) = (fields.flaw, block.set_aside.last_mut()) {
                let starts = std::iter::once(0).chain(fields.ends.iter().copied());
                let shown = starts.zip(&fields.ends).take(FIELDS_KEPT);
                aside.fields = shown.map(|(start, &end)| text[start..end].to_owned()).collect();
            }
            return Ok(());
        }
        let (row, base) = (block.rows as u32, block.text.len());
        let mut start = 0;
        for (column, (&end, &quoted)) in fields.ends.iter().zip(&fields.quoted).enumerate() {
            // A block's text stays far below 4 GiB: it ends behind 64 MiB and a record has at most 1 GiB.
            let (from, to) = ((base + start) as u32, (base + end) as u32);
            block.columns[column].push(Value { row, start: from, end: to, quoted });
            start = end;
        }
        block.text.push_str(text);
        block.end_row(number);
        Ok(())
    }

    /// Reads the next record that is not a blank line into `fields`.
    fn advance(&mut self) -> Result<bool> {
        loop {
            if self.at == self.buffer.len() && !self.at_end {
                self.fill()?;
            }
            if self.at == self.buffer.len() && self.at_end {
                return Ok(false);
            }
            match record(&self.buffer[self.at..], self.dialect, self.at_end, &mut self.fields) {
                Token::Partial => self.fill()?,
                Token::Record(length) => {
                    let taken = &self.buffer[self.at..self.at + length];
                    self.record_line = self.line;
                    self.line += line_ends(taken);
                    // A last record without line end still ends its line.
                    self.line += u64::from(!matches!(taken.last(), Some(b'\n' | b'\r')));
                    self.at += length;
                    if self.dialect.backslash && self.fields.is_end_of_copy() {
                        continue;
                    }
                    // With one column, a blank line is a row with an empty field.
                    if self.fields.is_blank() && self.names.len() != 1 {
                        continue;
                    }
                    self.number += 1;
                    return Ok(true);
                }
            }
        }
    }

    /// Reads more, and more each time that one record needs it.
    fn fill(&mut self) -> Result<()> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let wanted = READ.max(self.buffer.len());
        if self.buffer.len() > RECORD_MAX {
            let what = "length of one record in bytes (is a quote never closed?)";
            return Err(Error::Limit { what, found: self.buffer.len() as u64, limit: RECORD_MAX as u64 });
        }
        let read = self.reader.by_ref().take(wanted as u64).read_to_end(&mut self.buffer);
        let read = read.map_err(|e| read_error(&self.path, self.place(), e))?;
        self.at_end = read < wanted;
        Ok(())
    }

    fn place(&self) -> At {
        At { record: (self.number > 0).then_some(self.number), line: Some(self.line), column: None }
    }

    /// The text of the record in `fields`.
    fn checked_text(&self) -> Result<&str> {
        if let Some(NOT_CLOSED) = self.fields.flaw {
            return Err(Error::Malformed {
                path: self.path.clone(),
                at: At {
                    record: self.number.checked_sub(1).filter(|n| *n > 0),
                    line: Some(self.record_line),
                    column: None,
                },
                expected: "a closing quote".to_owned(),
                found: "the end of the file".to_owned(),
                hint: Some("the file is cut off, or a quote in it is not doubled".to_owned()),
            });
        }
        match std::str::from_utf8(&self.fields.text) {
            Ok(text) if self.fields.fields().all(is_whole) => Ok(text),
            _ => Err(self.not_utf8()),
        }
    }

    fn not_utf8(&self) -> Error {
        let column = self.fields.fields().position(|f| std::str::from_utf8(f).is_err());
        let field = column.and_then(|c| self.fields.fields().nth(c)).unwrap_or_default();
        let error = std::str::from_utf8(field).err();
        let byte = error.and_then(|e| field.get(e.valid_up_to())).copied().unwrap_or(0);
        Error::Malformed {
            path: self.path.clone(),
            at: At {
                record: (self.number > 1).then(|| self.number - 1),
                line: Some(self.record_line),
                column: column.and_then(|c| self.names.get(c).cloned()),
            },
            expected: "text in UTF-8".to_owned(),
            found: format!(
                "byte 0x{byte:02X} in {:?}",
                super::cell::shortened(&String::from_utf8_lossy(field))
            ),
            hint: Some(text::ENCODING_HINT.to_owned()),
        }
    }

    fn malformed(&self, expected: &str, found: &str, hint: Option<&str>) -> Error {
        Error::Malformed {
            path: self.path.clone(),
            at: At { line: Some(1), ..At::default() },
            expected: expected.to_owned(),
            found: found.to_owned(),
            hint: hint.map(str::to_owned),
        }
    }
}

/// Whether a field is text by itself: a character cannot reach over a delimiter.
fn is_whole(field: &[u8]) -> bool {
    field.first().is_none_or(|b| b & 0xC0 != 0x80)
}

/// How many lines end in these bytes: LF, CR LF and CR count once each.
fn line_ends(bytes: &[u8]) -> u64 {
    let mut count = 0;
    for (i, b) in bytes.iter().enumerate() {
        count += u64::from(*b == b'\n' || (*b == b'\r' && bytes.get(i + 1) != Some(&b'\n')));
    }
    count
}

/// The first file's delimiter, by its extension alone.
pub(crate) fn delimiter_of(path: &Path) -> Option<u8> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    name.ends_with(".tsv").then_some(b'\t')
}

impl super::typed::TextReader for CsvReader {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn next_block(&mut self) -> Result<Option<Block>> {
        Self::next_block(self)
    }
}
