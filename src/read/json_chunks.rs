//! [`JsonChunks`]: a text of JSON records → chunks of whole records, with the
//! number and line of each.
//!
//! How the records follow each other is decided once, from the first one: one per
//! line (with or without a `key<TAB>` before it), one after the other over any
//! number of lines, or in one array. Nothing is validated beyond what finding
//! the ends takes: a record that is no JSON is still yielded as its text, so
//! that whoever decodes it can say what is wrong with it.

use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::input::{InputFile, read_error};
use super::record_rows::RecordRows;
use super::text;
use crate::error::{At, Error, Result};

/// How much text a chunk has, unless one record has more. It should stay in a core's cache from reading to decoding.
const CHUNK: usize = 1 << 20;
/// No record may be longer.
const RECORD_MAX: usize = 1 << 30;

/// One JSON value of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonRecord {
    /// Where its text begins in the chunk.
    pub start: usize,
    /// Where its text ends in the chunk.
    pub end: usize,
    /// Its number in the file, from 1.
    pub number: u64,
    /// The line on which it begins, from 1.
    pub line: u64,
    /// Where the text of its key is in the chunk, in files of `key<TAB>value` lines.
    pub key: Option<Range<usize>>,
}

/// Whole records and their text.
#[derive(Debug, Clone, Default)]
pub struct JsonChunk {
    /// The text of all records, as in the file (without byte order mark).
    pub text: Vec<u8>,
    /// Where the records are in it, in order.
    pub records: Vec<JsonRecord>,
    /// Where the text begins in the file, if it stands there as it is.
    pub offset: Option<u64>,
    /// What stands in the place of JSON records where a change stream was written as tables.
    pub rows: Option<ChangeRows>,
}

/// Rows that are records of a change stream.
#[derive(Debug, Clone)]
pub struct ChangeRows {
    /// The cells.
    pub rows: RecordRows,
    /// The names of the columns, if the file or what lies beside it says.
    pub names: Option<Arc<[String]>>,
    /// The column that says what happened, if one does and it has no fixed place.
    pub op: Option<usize>,
    /// The row before the first one, and the one behind the last one, where they are other chunks'.
    pub around: [Option<Vec<Option<String>>>; 2],
}

impl JsonChunk {
    /// How many records.
    pub fn count(&self) -> usize {
        self.rows.as_ref().map_or(self.records.len(), |of| of.rows.len())
    }

    /// How many bytes of text.
    pub fn size(&self) -> usize {
        self.rows.as_ref().map_or(self.text.len(), |of| of.rows.size())
    }

    /// The bytes of a record; not necessarily UTF-8, let alone JSON.
    pub fn bytes(&self, record: &JsonRecord) -> &[u8] {
        &self.text[record.start..record.end]
    }
}

/// Cuts a text into chunks of whole JSON records.
pub struct JsonChunks {
    reader: Box<dyn Read + Send>,
    path: PathBuf,
    chunk: usize,
    /// Text read but not yet yielded.
    rest: Vec<u8>,
    at_end: bool,
    failed: bool,
    splitter: Option<Splitter>,
    /// Where the rest begins in the file.
    offset: Option<u64>,
}

impl JsonChunks {
    /// The records of a file, plain or compressed.
    ///
    /// # Errors
    /// The file cannot be opened, or is in an encoding that is not supported.
    pub fn open(file: &InputFile) -> Result<Self> {
        // Says what it is where it is nothing that can be read.
        let content = file.content()?;
        if file.is_plain_text()? {
            // Large pieces are read, which another buffer would only copy.
            return Ok(Self { offset: Some(0), ..Self::new(Box::new(file.handle()?), &file.path)? });
        }
        Self::new(content, &file.path)
    }

    /// The records of a text; `path` is for messages.
    ///
    /// # Errors
    /// The text cannot be read, or is in an encoding that is not supported.
    ///
    /// ```
    /// use asof::read::JsonChunks;
    /// let text = b"{\"id\": 1}\n{\"id\": 2}\n".as_slice();
    /// let mut chunks = JsonChunks::new(Box::new(text), "changes.ndjson".as_ref()).unwrap();
    /// let chunk = chunks.next().unwrap().unwrap();
    /// assert_eq!(chunk.bytes(&chunk.records[1]), b"{\"id\": 2}");
    /// assert_eq!((chunk.records[1].number, chunk.records[1].line), (2, 2));
    /// ```
    pub fn new(reader: Box<dyn Read + Send>, path: &Path) -> Result<Self> {
        Ok(Self {
            reader: text::utf8(reader, path)?,
            path: path.to_owned(),
            chunk: CHUNK,
            rest: Vec::new(),
            at_end: false,
            failed: false,
            splitter: None,
            offset: None,
        })
    }

    /// The same with chunks of about so many bytes.
    pub fn with_chunk_size(mut self, bytes: usize) -> Self {
        self.chunk = bytes.max(1);
        self
    }

    fn read_to(&mut self, length: usize) -> Result<()> {
        let missing = length.saturating_sub(self.rest.len());
        // At most twice what there is already, beyond the first chunk.
        self.rest.reserve_exact(missing);
        let read = self.reader.by_ref().take(missing as u64).read_to_end(&mut self.rest);
        let read = read.map_err(|e| read_error(&self.path, self.place(), e))?;
        self.at_end = read < missing;
        Ok(())
    }

    /// Where the next record is.
    fn place(&self) -> At {
        let next = self.splitter.as_ref().map_or((1, 1), |s| (s.number, s.line));
        At { record: Some(next.0), line: Some(next.1), column: None }
    }

    fn advance(&mut self) -> Result<Option<JsonChunk>> {
        let mut length = self.chunk;
        loop {
            self.read_to(length)?;
            if let Some(chunk) = self.cut() {
                return Ok(Some(chunk));
            }
            if self.at_end {
                return Ok(None);
            }
            if length >= RECORD_MAX {
                return Err(Error::Limit {
                    what: "length of one JSON record in bytes",
                    found: self.rest.len() as u64,
                    limit: RECORD_MAX as u64,
                });
            }
            length = (self.rest.len() * 2).clamp(self.chunk, RECORD_MAX);
        }
    }

    /// All whole records of what has been read, if there are any.
    fn cut(&mut self) -> Option<JsonChunk> {
        if self.splitter.is_none() {
            self.splitter = Layout::of(&self.rest, self.at_end).map(Splitter::new);
        }
        let (records, end) = self.splitter.as_mut()?.split(&self.rest, self.at_end);
        let offset = self.offset;
        self.offset = offset.map(|offset| offset + end as u64);
        if records.is_empty() {
            // Blanks alone need not be kept.
            self.rest.drain(..end);
            return None;
        }
        let rest = self.rest[end..].to_vec();
        let mut text = std::mem::replace(&mut self.rest, rest);
        text.truncate(end);
        Some(JsonChunk { text, records, offset, rows: None })
    }
}

impl Iterator for JsonChunks {
    type Item = Result<JsonChunk>;

    fn next(&mut self) -> Option<Result<JsonChunk>> {
        if self.failed {
            return None;
        }
        let chunk = self.advance();
        self.failed = chunk.is_err();
        chunk.transpose()
    }
}

/// How records follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// One on each line.
    Lines,
    /// On each line a key, a tab, and one.
    KeyedLines,
    /// One after the other, over any number of lines.
    Values,
    /// In an array.
    Array,
}

impl Layout {
    /// The layout that the first record shows; `None` if there is not enough of it.
    fn of(text: &[u8], at_end: bool) -> Option<Self> {
        let start = text.iter().position(|b| !b.is_ascii_whitespace())?;
        if text[start] == b'[' {
            return Some(Self::Array);
        }
        let line = find(text, start, b'\n').unwrap_or(text.len());
        if text[start] != b'{' {
            let whole = line < text.len() || at_end;
            let keyed = text[start..line].contains(&b'\t');
            return whole.then_some(if keyed { Self::KeyedLines } else { Self::Lines });
        }
        match value_end(text, start) {
            Ends::At(end) if end <= line => Self::after(&text[end..line], line < text.len(), at_end),
            Ends::At(_) => Some(Self::Values),
            Ends::Broken(_) => Some(Self::Lines),
            Ends::Beyond if !at_end => None,
            // The first record is cut off: another one on the next line tells lines from values.
            Ends::Beyond => {
                let next = text[line..].iter().position(|b| !b.is_ascii_whitespace()).map(|i| text[line + i]);
                Some(if next == Some(b'{') { Self::Lines } else { Self::Values })
            }
        }
    }

    /// By what follows the first value on its line.
    fn after(rest: &[u8], is_whole_line: bool, at_end: bool) -> Option<Self> {
        match rest.iter().position(|b| !b.is_ascii_whitespace()) {
            None if is_whole_line => Some(Self::Lines),
            None => at_end.then_some(Self::Values),
            Some(at) if rest[..at].contains(&b'\t') => Some(Self::KeyedLines),
            Some(_) => Some(Self::Values),
        }
    }
}

/// Finds records, and counts them and their lines.
#[derive(Debug)]
struct Splitter {
    layout: Layout,
    /// Number of the next record.
    number: u64,
    /// Line of the next byte.
    line: u64,
    /// Whether the array has begun and not ended.
    is_open: bool,
}

impl Splitter {
    fn new(layout: Layout) -> Self {
        Self { layout, number: 1, line: 1, is_open: false }
    }

    /// The whole records of the text, and where the unfinished one begins.
    fn split(&mut self, text: &[u8], at_end: bool) -> (Vec<JsonRecord>, usize) {
        match self.layout {
            Layout::Lines | Layout::KeyedLines => self.lines(text, at_end),
            Layout::Values | Layout::Array => self.values(text, at_end),
        }
    }

    fn lines(&mut self, text: &[u8], at_end: bool) -> (Vec<JsonRecord>, usize) {
        let (mut records, mut at) = (Vec::new(), 0);
        while at < text.len() {
            let end = match find(text, at, b'\n') {
                Some(end) => end,
                None if at_end => text.len(),
                None => break,
            };
            let key = if self.layout == Layout::KeyedLines { key_end(text, at, end) } else { None };
            let value = key.map_or(at, |k| k + 1);
            let (start, stop) = trimmed(text, value, end);
            if start < stop || key.is_some() {
                let key = key.map(|k| at..k);
                self.push(&mut records, start..stop, key);
            }
            self.line += 1;
            at = (end + 1).min(text.len());
        }
        (records, at)
    }

    fn push(&mut self, records: &mut Vec<JsonRecord>, at: Range<usize>, key: Option<Range<usize>>) {
        records.push(JsonRecord { start: at.start, end: at.end, number: self.number, line: self.line, key });
        self.number += 1;
    }

    fn values(&mut self, text: &[u8], at_end: bool) -> (Vec<JsonRecord>, usize) {
        let (mut records, mut at) = (Vec::new(), 0);
        while let Some(&byte) = text.get(at) {
            let is_array = self.layout == Layout::Array;
            match byte {
                b'\n' => self.line += 1,
                b' ' | b'\t' | b'\r' => {}
                b'[' if is_array && !self.is_open => self.is_open = true,
                b']' if is_array && self.is_open => self.is_open = false,
                b',' if is_array && self.is_open => {}
                _ => {
                    let end = match value_end(text, at) {
                        Ends::At(end) | Ends::Broken(end) => end,
                        Ends::Beyond if at_end => text.len(),
                        Ends::Beyond => break,
                    };
                    let (start, stop) = trimmed(text, at, end);
                    self.push(&mut records, start..stop, None);
                    self.line += text[at..end].iter().filter(|b| **b == b'\n').count() as u64;
                    at = end;
                    continue;
                }
            }
            at += 1;
        }
        (records, at)
    }
}

/// The range without blanks at both ends.
fn trimmed(text: &[u8], start: usize, end: usize) -> (usize, usize) {
    let slice = &text[start..end];
    let left = slice.len() - slice.trim_ascii_start().len();
    (start + left, start + left + slice.trim_ascii().len())
}

/// Where the tab behind the key of a line is.
fn key_end(text: &[u8], start: usize, end: usize) -> Option<usize> {
    let line = &text[..end];
    let from = match text.get(start) {
        Some(b'{' | b'[' | b'"') => match value_end(line, start) {
            Ends::At(end) => end,
            Ends::Broken(_) | Ends::Beyond => start,
        },
        _ => start,
    };
    find(line, from, b'\t')
}

/// Where a value ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// Before this byte.
    At(usize),
    /// It is no JSON; the next one may begin at this byte.
    Broken(usize),
    /// Not within the text.
    Beyond,
}

/// Where the value that begins at `start` ends.
fn value_end(text: &[u8], start: usize) -> Ends {
    match text[start] {
        b'{' | b'[' => nested_end(text, start),
        b'"' => string_end(text, start),
        // A literal, or what should be one: up to the next separator, but at least one byte.
        _ => {
            let separator =
                |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b',' | b']' | b'}' | b'{' | b'[');
            text[start + 1..].iter().position(separator).map_or(Ends::Beyond, |i| Ends::At(start + 1 + i))
        }
    }
}

fn nested_end(text: &[u8], start: usize) -> Ends {
    let (mut at, mut depth) = (start, 0_usize);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Ends::At(at + 1);
                }
            }
            b'"' => match string_end(text, at) {
                Ends::At(end) => {
                    at = end;
                    continue;
                }
                other => return other,
            },
            _ => {}
        }
        at += 1;
    }
    Ends::Beyond
}

/// Where a string that begins at `start` ends. A raw line feed in it is no JSON.
fn string_end(text: &[u8], start: usize) -> Ends {
    let mut at = start + 1;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => return Ends::At(at + 1),
            b'\\' => at += 1,
            b'\n' => return Ends::Broken(at),
            _ => {}
        }
        at += 1;
    }
    Ends::Beyond
}

/// The first place of a byte at or behind `from`.
pub(crate) fn find(text: &[u8], from: usize, byte: u8) -> Option<usize> {
    memchr::memchr(byte, &text[from..]).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str, chunk: usize) -> Vec<String> {
        let reader = Box::new(std::io::Cursor::new(text.as_bytes().to_vec()));
        let chunks = JsonChunks::new(reader, Path::new("f")).unwrap().with_chunk_size(chunk);
        let mut shown = Vec::new();
        for chunk in chunks {
            let chunk = chunk.unwrap();
            for r in &chunk.records {
                let text = String::from_utf8_lossy(chunk.bytes(r)).into_owned();
                let key = r.key.clone().map(|k| String::from_utf8_lossy(&chunk.text[k]).into_owned() + "→");
                shown.push(format!("{}@{} {}{text}", r.number, r.line, key.unwrap_or_default()));
            }
        }
        shown
    }

    /// The same for any size of chunks.
    fn check(text: &str, expected: &[&str]) {
        for chunk in [1, 2, 3, 7, 64, 1 << 20] {
            assert_eq!(records(text, chunk), expected, "chunks of {chunk}");
        }
    }

    #[test]
    fn one_record_per_line() {
        check(
            "{\"a\":1}\n\n{\"a\": \"}\\\"\"}\r\n null\n{\"b\"",
            &["1@1 {\"a\":1}", "2@3 {\"a\": \"}\\\"\"}", "3@4 null", "4@5 {\"b\""],
        );
        check("\u{FEFF}{\"a\":1}\n", &["1@1 {\"a\":1}"]);
        check("", &[]);
        check("\n \n", &[]);
    }

    #[test]
    fn a_broken_line_does_not_swallow_the_next() {
        check("{\"a\":1}\n{\"a\": \"x\n{\"a\":3}\n", &["1@1 {\"a\":1}", "2@2 {\"a\": \"x", "3@3 {\"a\":3}"]);
        check("{\"a\": \"x\n{\"a\":3}\n", &["1@1 {\"a\": \"x", "2@2 {\"a\":3}"]);
        check("{\"a\": [1\n{\"a\":3}\n", &["1@1 {\"a\": [1", "2@2 {\"a\":3}"]);
    }

    #[test]
    fn keyed_lines() {
        check(
            "{\"id\":\"a\\tb\"}\t{\"x\":1}\n\"k\"\tnull\n7\t\n",
            &["1@1 {\"id\":\"a\\tb\"}→{\"x\":1}", "2@2 \"k\"→null", "3@3 7→"],
        );
        check("Struct{id=1}\t{\"x\":1}\n", &["1@1 Struct{id=1}→{\"x\":1}"]);
    }

    #[test]
    fn values_over_several_lines_and_without_any() {
        check(
            "{\n \"a\": {\n}\n}\n{\"b\":1}{\"c\":[\n]} ",
            &["1@1 {\n \"a\": {\n}\n}", "2@5 {\"b\":1}", "3@5 {\"c\":[\n]}"],
        );
        check("{\"a\":1} {\"b\":2}", &["1@1 {\"a\":1}", "2@1 {\"b\":2}"]);
    }

    #[test]
    fn elements_of_an_array() {
        check(
            "[\n{\"a\":[1,2]},\n{\"b\":\"],\"} , 5\n]\n",
            &["1@2 {\"a\":[1,2]}", "2@3 {\"b\":\"],\"}", "3@3 5"],
        );
        check("[]", &[]);
        check("[{\"a\":1},{\"b", &["1@1 {\"a\":1}", "2@1 {\"b"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_yielded_too() {
        let bytes: &[u8] = b"{\"a\":1}\n{\"a\":\"\xFF\"}\n";
        let mut chunks = JsonChunks::new(Box::new(bytes), Path::new("f")).unwrap();
        let chunk = chunks.next().unwrap().unwrap();
        assert_eq!(chunk.bytes(&chunk.records[1]), b"{\"a\":\"\xFF\"}");
    }

    #[test]
    fn a_long_line_is_one_record() {
        let long = format!("{{\"a\":\"{}\"}}\n{{\"b\":1}}\n", "x".repeat(9_000_000));
        let found = records(&long, CHUNK);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].len(), 4 + long.find('\n').unwrap());
    }

    #[test]
    fn find_sees_every_place() {
        for at in 0..100 {
            let mut text = vec![0_u8; 100];
            text[at] = 7;
            assert_eq!(find(&text, 0, 7), Some(at));
            assert_eq!(find(&text, at, 7), Some(at));
            assert_eq!(find(&text, at + 1, 7), None);
        }
    }
}
