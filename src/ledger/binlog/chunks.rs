//! [`BinlogChunks`]: the text of `mysqlbinlog` → chunks that end between transactions.
//!
//! Every chunk begins with what it needs of the text before it, as the same
//! kind of lines: which log file it is in, the default database and, where a
//! transaction is too long for one chunk, the lines that opened the transaction
//! and the group of events.
//!
//! ```text
//!  #asof file binlog.000002      ┐
//!  use `finance`/*!*/;           ┘ repeated; the record begins behind it
//!  # at 379
//!  #261122  6:34:33 server id 1  end_log_pos 421 … GTID 0-1-1142 trans
//!  …
//!  COMMIT/*!*/;
//! ```

use std::io::Read;
use std::path::{Path, PathBuf};

use super::super::position::binlog_file;
use crate::error::{At, Error, Result};
use crate::read::{InputFile, JsonChunk, JsonRecord, find_byte, read_error, utf8_text};

/// How much text a chunk has, unless a transaction has more.
const CHUNK: usize = 4 << 20;
/// From here on a chunk may end inside a transaction.
const TRANSACTION_MAX: usize = 64 << 20;
/// No line may be longer.
const LINE_MAX: usize = 1 << 30;

/// Cuts a decoded binary log into chunks. Each has one record, whose number is that of its first line.
pub(in super::super) struct BinlogChunks {
    reader: Box<dyn Read + Send>,
    path: PathBuf,
    chunk: usize,
    transaction_max: usize,
    rest: Vec<u8>,
    at_end: bool,
    failed: bool,
    context: Context,
}

/// What lines before a place say about those behind it.
#[derive(Debug, Clone, Default)]
struct Context {
    /// Number of the next line, from 1.
    line: u64,
    /// The name of the log file, if anything tells.
    file: Option<String>,
    /// The name that a rotation announces for the next one.
    next_file: Option<String>,
    /// A log file has begun in this text.
    begun: bool,
    database: Vec<u8>,
    /// In a transaction: the lines that opened it.
    opening: Vec<u8>,
    inside: bool,
    opens: bool,
    /// The lines since the last rows.
    group: Vec<u8>,
    rows: u64,
    /// In the text of a statement.
    query: bool,
    begin: bool,
    last: Last,
}

/// What the last line was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Last {
    #[default]
    Other,
    At,
    Row,
}

impl BinlogChunks {
    pub(in super::super) fn open(file: &InputFile) -> Result<Self> {
        Self::new(file.content()?, &file.path)
    }

    pub(in super::super) fn new(reader: Box<dyn Read + Send>, path: &Path) -> Result<Self> {
        let file = path.file_name().and_then(|name| log_name(&name.to_string_lossy()));
        Ok(Self {
            reader: utf8_text(reader, path)?,
            path: path.to_owned(),
            chunk: CHUNK,
            transaction_max: TRANSACTION_MAX,
            rest: Vec::new(),
            at_end: false,
            failed: false,
            context: Context { line: 1, file, ..Context::default() },
        })
    }

    /// The same with chunks of about so many bytes, and transactions of at most so many in one.
    #[cfg(test)]
    pub(super) fn with_sizes(mut self, chunk: usize, transaction_max: usize) -> Self {
        (self.chunk, self.transaction_max) = (chunk, transaction_max);
        self
    }

    fn advance(&mut self) -> Result<Option<JsonChunk>> {
        let mut length = self.chunk;
        loop {
            let missing = length.saturating_sub(self.rest.len());
            let read = self.reader.by_ref().take(missing as u64).read_to_end(&mut self.rest);
            let at = || At { record: None, line: Some(self.context.line), column: None };
            let read = read.map_err(|e| read_error(&self.path, at(), e))?;
            self.at_end = read < missing;
            if self.rest.is_empty() {
                return Ok(None);
            }
            if let Some(chunk) = self.cut() {
                return Ok(Some(chunk));
            }
            if length >= LINE_MAX {
                return Err(Error::Limit {
                    what: "length of one line of a binary log in bytes",
                    found: self.rest.len() as u64,
                    limit: LINE_MAX as u64,
                });
            }
            length = (self.rest.len() * 2).max(self.chunk);
        }
    }

    /// Everything up to the last place where a chunk may end.
    fn cut(&mut self) -> Option<JsonChunk> {
        let mut context = self.context.clone();
        let mut end: Option<(usize, Context)> = None;
        let long = self.rest.len() >= self.transaction_max;
        let mut at = 0;
        while at < self.rest.len() {
            let stop = match find_byte(&self.rest, at, b'\n') {
                Some(stop) => stop + 1,
                None if self.at_end => self.rest.len(),
                None => break,
            };
            let line = self.rest[at..stop].trim_ascii_end();
            if at > 0 && (context.may_end(line) || long && context.may_break(line)) {
                end = Some((at, context.clone()));
            }
            context.read(line);
            at = stop;
        }
        if self.at_end {
            end = Some((at, context));
        }
        let (end, context) = end?;
        let mut text = self.context.text();
        let start = text.len();
        text.extend_from_slice(&self.rest[..end]);
        self.rest.drain(..end);
        let line = self.context.line;
        self.context = context;
        let record = JsonRecord { start, end: text.len(), number: line, line, key: None };
        Some(JsonChunk { text, records: vec![record], ..JsonChunk::default() })
    }
}

impl Iterator for BinlogChunks {
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

impl Context {
    /// Whether a chunk may end before this line: outside of transactions and statements.
    fn may_end(&self, line: &[u8]) -> bool {
        !self.inside && !self.query && self.last != Last::At && line.starts_with(b"# at ")
    }

    /// Whether, if need be, a chunk may end before this line: between two rows.
    fn may_break(&self, line: &[u8]) -> bool {
        self.last == Last::Row && is_row(line)
    }

    fn read(&mut self, line: &[u8]) {
        self.line += 1;
        let row = line.starts_with(b"### ");
        let at = line.starts_with(b"# at ") && !self.query;
        if row {
            if is_row(line) {
                self.rows += 1;
            }
            self.opens = false;
            self.last = Last::Row;
            return;
        }
        if self.inside && self.opens {
            self.opening.extend_from_slice(line);
            self.opening.push(b'\n');
        } else if self.inside {
            if at && self.last != Last::At {
                self.group.clear();
                self.rows = 0;
            }
            self.group.extend_from_slice(line);
            self.group.push(b'\n');
        }
        self.last = if at { Last::At } else { Last::Other };
        if self.query {
            return self.statement(line);
        }
        match line {
            b"START TRANSACTION" => self.inside = true,
            b"COMMIT/*!*/;" | b"ROLLBACK/*!*/;" => self.close(),
            _ if line.starts_with(b"use ") => self.database = line.to_vec(),
            _ if line.starts_with(b"#") => self.header(line),
            _ => {}
        }
    }

    fn close(&mut self) {
        (self.inside, self.opens, self.rows) = (false, false, 0);
        self.opening.clear();
        self.group.clear();
    }

    fn header(&mut self, line: &[u8]) {
        let Some(event) = line.iter().position(|b| *b == b'\t').map(|tab| &line[tab + 1..]) else { return };
        if event.starts_with(b"GTID") || event.starts_with(b"Anonymous_GTID") {
            self.close();
            (self.inside, self.opens) = (true, true);
            self.opening.extend_from_slice(line);
            self.opening.push(b'\n');
        } else if event.starts_with(b"Query") {
            (self.query, self.begin) = (true, false);
        } else if let Some(name) = event.strip_prefix(b"Rotate to ") {
            let name = name.split(|b| *b == b' ').next().unwrap_or_default();
            let name = String::from_utf8_lossy(name).into_owned();
            // The first one names the file that follows it at once.
            self.next_file = Some(name);
        } else if event.starts_with(b"Start: binlog") {
            self.close();
            self.begin_file();
        } else if event.starts_with(b"Table_map") {
            self.opens = false;
        }
    }

    fn begin_file(&mut self) {
        let begun = std::mem::replace(&mut self.begun, true);
        match (self.next_file.take(), &self.file) {
            (Some(name), _) => self.file = Some(name),
            (None, Some(file)) if begun => self.file = following(file),
            _ => {}
        }
    }

    /// A line of a statement's text.
    fn statement(&mut self, line: &[u8]) {
        match line {
            b"BEGIN" => {
                self.begin = true;
                self.inside = true;
            }
            b"/*!*/;" => {
                self.query = false;
                if !self.begin {
                    self.close();
                }
            }
            _ if line.starts_with(b"use ") => self.database = line.to_vec(),
            _ if line.starts_with(b"SAVEPOINT") || line.starts_with(b"ROLLBACK TO") => self.begin = true,
            _ => {}
        }
    }

    /// The lines from which a decoder knows the same.
    fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Some(file) = &self.file {
            text.extend_from_slice(format!("#asof file {file}\n").as_bytes());
        }
        if !self.database.is_empty() {
            text.extend_from_slice(&self.database);
            text.push(b'\n');
        }
        if self.inside {
            text.extend_from_slice(&self.opening);
            text.extend_from_slice(&self.group);
            text.extend_from_slice(format!("#asof rows {}\n", self.rows).as_bytes());
        }
        text
    }
}

/// Whether a line begins a row.
fn is_row(line: &[u8]) -> bool {
    [&b"### INSERT INTO "[..], b"### UPDATE ", b"### DELETE FROM "].iter().any(|head| line.starts_with(head))
}

/// The name of a log file at the beginning of a file's name: `binlog.000002` of `binlog.000002.txt.gz`.
fn log_name(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let number = |part: &&str| part.len() >= 6 && part.bytes().all(|b| b.is_ascii_digit());
    let at = parts.iter().skip(1).position(number)? + 1;
    Some(parts[..=at].join("."))
}

/// The name of the log file after this one.
pub(super) fn following(file: &str) -> Option<String> {
    let (stem, number) = binlog_file(file)?;
    let width = file.len() - stem.len();
    Some(format!("{stem}{:0width$}", number.checked_add(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "DELIMITER /*!*/;\n# at 4\n#261122  6:34:32 server id 1  end_log_pos 256 CRC32 0x6b84 \tStart: binlog v 4, server v 10\n# at 256\n#261122  6:34:33 server id 1  end_log_pos 300 CRC32 0x1 \tGTID 0-1-7 trans\nSTART TRANSACTION\n/*!*/;\n# at 300\n# at 350\n#261122  6:34:33 server id 1  end_log_pos 350 CRC32 0x1 \tTable_map: `d`.`t` mapped to number 18\n#261122  6:34:33 server id 1  end_log_pos 400 CRC32 0x1 \tWrite_rows: table id 18 flags: STMT_END_F\n### INSERT INTO `d`.`t`\n### SET\n###   @1=1\n### INSERT INTO `d`.`t`\n### SET\n###   @1=2\n# Number of rows: 2\n# at 400\n#261122  6:34:33 server id 1  end_log_pos 431 CRC32 0x1 \tXid = 9\nCOMMIT/*!*/;\n# at 431\n#261122  6:34:34 server id 1  end_log_pos 500 CRC32 0x1 \tQuery\tthread_id=5\nuse `d`/*!*/;\nTRUNCATE TABLE t\n/*!*/;\n# at 500\n";

    fn chunks(size: usize, max: usize) -> Vec<String> {
        let reader = Box::new(std::io::Cursor::new(TEXT.as_bytes().to_vec()));
        let chunks = BinlogChunks::new(reader, Path::new("log.000007.txt")).unwrap().with_sizes(size, max);
        chunks.map(|c| String::from_utf8(c.unwrap().text).unwrap()).collect()
    }

    #[test]
    fn chunks_end_between_transactions() {
        let whole = chunks(1 << 20, 1 << 20);
        assert_eq!(whole, [format!("#asof file log.000007\n{TEXT}")]);
        let small = chunks(1, 1 << 20);
        assert!(small.len() > 2, "{small:#?}");
        let bodies: String = small.iter().map(|c| c.split_once('\n').unwrap().1).collect();
        assert_eq!(bodies.replace("use `d`/*!*/;\n# at 500", "# at 500"), TEXT);
        assert!(small.iter().all(|c| c.matches("### INSERT").count() % 2 == 0));
    }

    #[test]
    fn a_long_transaction_is_broken_between_rows() {
        let mut broken = 0;
        for size in (1..TEXT.len()).step_by(13) {
            let small = chunks(size, 1);
            for chunk in small.iter().filter(|c| c.contains("@1=")) {
                assert!(chunk.contains("GTID 0-1-7"), "{chunk}");
                if chunk.contains("@1=2") && !chunk.contains("@1=1") {
                    broken += 1;
                    assert!(chunk.contains("#asof rows 1\n### INSERT"), "{chunk}");
                }
            }
        }
        assert!(broken > 0, "some size breaks it");
    }

    #[test]
    fn names_of_log_files() {
        assert_eq!(log_name("binlog.000002.decoded.txt.gz").as_deref(), Some("binlog.000002"));
        assert_eq!(log_name("a.b.1000000").as_deref(), Some("a.b.1000000"));
        assert_eq!(log_name("000002.txt"), None);
        assert_eq!(following("binlog.000009").as_deref(), Some("binlog.000010"));
        assert_eq!(following("binlog.999999").as_deref(), Some("binlog.1000000"));
    }
}
