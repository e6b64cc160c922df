//! [`Reader`]: lines of a decoded binary log → transactions of row texts.

use std::borrow::Cow;
use std::collections::HashMap;

use super::chunks::following;
use super::described::{Described, described_line};
use super::sizes::{Sizes, frame, value_size};
use super::text::unescape;
use crate::model::Op;

/// A transaction, or what a chunk has of it.
#[derive(Debug, Default)]
pub(super) struct Transaction<'c> {
    pub(super) id: Option<String>,
    /// When it committed, in microseconds, where the server records that.
    pub(super) committed_us: Option<i64>,
    /// The time of its last event that bears one, as the tool printed it.
    pub(super) time: Option<(&'c str, u64)>,
    pub(super) changes: Vec<Change<'c>>,
}

/// One change, as text.
#[derive(Debug)]
pub(super) struct Change<'c> {
    pub(super) op: Op,
    pub(super) database: Cow<'c, str>,
    pub(super) table: Cow<'c, str>,
    pub(super) line: u64,
    pub(super) file: Option<usize>,
    pub(super) offset: u64,
    pub(super) row: u32,
    pub(super) time: Option<(&'c str, u64)>,
    pub(super) before: Vec<Cell<'c>>,
    pub(super) after: Vec<Cell<'c>>,
    pub(super) escapes: Escapes,
}

/// What a backslash in a text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    /// A control character or itself; the sizes of the events prove which.
    Controls,
    /// A control character or itself; nothing tells.
    Unproven,
    /// It is always part of an escape.
    All,
}

/// A value with its comment: `'bolt' /* VARSTRING(40) meta=40 nullable=1 is_null=0 */`. Bytes that are no UTF-8
/// stand as `x'…'`.
#[derive(Debug)]
pub(super) struct Cell<'c> {
    pub(super) ordinal: usize,
    pub(super) text: Cow<'c, str>,
    pub(super) escaped: bool,
}

/// What lines turn out to say.
#[derive(Debug)]
pub(super) enum Said<'c> {
    Committed(Transaction<'c>),
    /// Changes that were rolled back, or whose end the text does not have.
    Abandoned(Transaction<'c>),
    /// A statement that is no row event: its text, the default database, and where.
    Statement {
        sql: String,
        database: String,
        transaction: Transaction<'c>,
        offset: u64,
        file: Option<usize>,
        line: u64,
    },
}

/// Reads lines one by one.
#[derive(Debug, Default)]
pub(super) struct Reader<'c> {
    pub(super) line: u64,
    /// Names of the log files seen, the current one last.
    pub(super) files: Vec<String>,
    pub(super) described: HashMap<(String, String), Described>,
    next_file: Option<String>,
    begun: bool,
    database: String,
    transaction: Transaction<'c>,
    group: Group<'c>,
    describing: Option<(String, String)>,
    query: Option<String>,
    escaping: Escaping,
    said: Vec<Said<'c>>,
}

/// Who writes backslashes how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Escaping {
    /// They may stand as they are.
    #[default]
    ControlsAlone,
    /// They are escaped themselves.
    All,
}

/// The events whose rows stand together.
#[derive(Debug, Default)]
struct Group<'c> {
    starts: std::collections::VecDeque<u64>,
    first: Option<u64>,
    time: Option<(&'c str, u64)>,
    rows: u32,
    /// Its rows began in another chunk.
    continued: bool,
    first_change: usize,
    sizes: Sizes,
    events: Vec<(u64, bool)>,
    tables: HashMap<u64, (String, String)>,
    columns: HashMap<(String, String), u64>,
    escaped: bool,
    open: bool,
    side: Side,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Side {
    #[default]
    Before,
    After,
}

impl<'c> Reader<'c> {
    /// Reads the next line and returns what is complete with it.
    pub(super) fn read(&mut self, line: &'c [u8]) -> Vec<Said<'c>> {
        if let Some(row) = line.strip_prefix(b"### ") {
            self.row_line(row);
            return Vec::new();
        }
        self.group.open = false;
        if self.query.is_some() {
            self.statement_line(line);
        } else if let Some(offset) = line.strip_prefix(b"# at ") {
            self.at(offset);
        } else if line.starts_with(b"#") {
            self.comment(line);
        } else {
            self.plain(line);
        }
        std::mem::take(&mut self.said)
    }

    /// What is left open at the end.
    pub(super) fn finish(&mut self) -> Option<Said<'c>> {
        self.settle_group();
        let transaction = std::mem::take(&mut self.transaction);
        (!transaction.changes.is_empty()).then_some(Said::Committed(transaction))
    }

    fn at(&mut self, offset: &[u8]) {
        if self.group.first_change < self.transaction.changes.len() {
            self.settle_group();
        }
        self.group.starts.extend(number(offset));
    }

    fn plain(&mut self, line: &'c [u8]) {
        if line.starts_with(b"COMMIT/*!*/;") {
            self.end(true);
        } else if line.starts_with(b"ROLLBACK") {
            self.end(false);
        } else if let Some(name) = line.strip_prefix(b"use ") {
            self.database = quoted_name(name).map(|(name, _)| name.into_owned()).unwrap_or_default();
        } else if let Some(id) = between(line, b"SET @@SESSION.GTID_NEXT= '", b"'")
            && id != b"ANONYMOUS"
        {
            self.transaction.id = Some(lossy(id));
        }
    }

    fn comment(&mut self, line: &'c [u8]) {
        if let Some(own) = line.strip_prefix(b"#asof ") {
            return self.repeated(own);
        }
        if let Some(time) = line.strip_prefix(b"# immediate_commit_timestamp=") {
            self.transaction.committed_us = number(time).and_then(|n| i64::try_from(n).ok());
            self.escaping = Escaping::All;
        } else if let Some(table) = &self.describing
            && (line.starts_with(b"# Columns(") || line.starts_with(b"#         "))
        {
            let described = self.described.entry(table.clone()).or_default();
            if line.starts_with(b"# Columns(") {
                *described = Described::default();
            }
            described_line(&lossy(line.get(10..).unwrap_or_default()), described);
        } else if let Some((time, event)) = header(line) {
            self.event(time, event, line);
        }
    }

    /// What the chunk repeats of the text before it.
    fn repeated(&mut self, own: &[u8]) {
        if let Some(name) = own.strip_prefix(b"file ") {
            self.files.push(lossy(name));
            self.begun = true;
        } else if let Some(rows) = own.strip_prefix(b"rows ") {
            self.group.rows = number(rows).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
            self.group.continued = self.group.rows > 0;
        }
    }

    fn event(&mut self, time: &'c str, event: &'c [u8], line: &[u8]) {
        let start = self.group.starts.pop_front();
        let time = (time, self.line);
        if let Some(rest) = event.strip_prefix(b"GTID ") {
            self.begin(time);
            self.transaction.id = Some(lossy(rest.split(|b| *b == b' ').next().unwrap_or_default()));
            return;
        }
        if event.starts_with(b"GTID") || event.starts_with(b"Anonymous_GTID") {
            return self.begin(time);
        }
        if event.starts_with(b"Xid = ") {
            self.transaction.time = Some(time);
            let xid = lossy(&event[6..]);
            self.transaction.id.get_or_insert_with(|| xid.trim().to_owned());
        } else if let Some(name) = event.strip_prefix(b"Table_map: ") {
            self.table_map(name);
        } else if let Some(update) = rows_event(event) {
            self.rows_event(event, (start, end_of(line)), line, update);
            self.group.time.get_or_insert(time);
        } else if event.starts_with(b"Query") {
            self.transaction.time = Some(time);
            self.group.first = start;
            self.query = Some(String::new());
        } else if let Some(name) = event.strip_prefix(b"Rotate to ") {
            self.next_file = Some(lossy(name.split(|b| *b == b' ').next().unwrap_or_default()));
        } else if event.starts_with(b"Start: binlog") {
            self.begin_file();
        }
    }

    fn rows_event(
        &mut self,
        event: &[u8],
        (start, end): (Option<u64>, Option<u64>),
        line: &[u8],
        update: bool,
    ) {
        if self.group.first.is_none() {
            self.group.first = start;
        }
        let id = between(event, b"table id ", b" ").and_then(number);
        let checksum = line.windows(6).any(|w| w == b" CRC32");
        if let (Some(start), Some(end), Some(id)) = (start, end, id) {
            self.group.sizes.event(start, end, checksum);
            self.group.events.push((id, update));
        }
    }

    fn table_map(&mut self, name: &[u8]) {
        let Some((database, rest)) = quoted_name(name) else { return };
        let Some((table, rest)) = rest.strip_prefix(b".").and_then(quoted_name) else { return };
        let table = (database.into_owned(), table.into_owned());
        if let Some(id) =
            between(rest, b"mapped to number ", b" ").or(rest.strip_prefix(b" mapped to number "))
            && let Some(id) = number(id)
        {
            self.group.tables.insert(id, table.clone());
        }
        self.describing = Some(table);
    }

    fn begin_file(&mut self) {
        let begun = std::mem::replace(&mut self.begun, true);
        match (self.next_file.take(), self.files.last()) {
            (Some(name), last) if last != Some(&name) => self.files.push(name),
            (None, Some(file)) if begun && self.line > 8 => {
                let next = following(file);
                self.files.extend(next);
            }
            _ => {}
        }
    }

    fn begin(&mut self, time: (&'c str, u64)) {
        self.end(true);
        self.transaction.time = Some(time);
        self.escaping = Escaping::ControlsAlone;
    }

    fn end(&mut self, commit: bool) {
        self.settle_group();
        let transaction = std::mem::take(&mut self.transaction);
        self.group = Group::default();
        if !transaction.changes.is_empty() {
            self.said.push(if commit { Said::Committed(transaction) } else { Said::Abandoned(transaction) });
        }
    }

    fn statement_line(&mut self, line: &'c [u8]) {
        let session = [&b"SET TIMESTAMP"[..], b"SET @@", b"/*!\\C"].iter().any(|head| line.starts_with(head));
        if line == b"/*!*/;" {
            return self.statement_end();
        }
        if let Some(name) = line.strip_prefix(b"use ") {
            self.database = quoted_name(name).map(|(name, _)| name.into_owned()).unwrap_or_default();
        } else if let Some(sql) = self.query.as_mut().filter(|_| !session) {
            if !sql.is_empty() {
                sql.push('\n');
            }
            sql.push_str(&String::from_utf8_lossy(line));
        }
    }

    fn statement_end(&mut self) {
        let sql = self.query.take().unwrap_or_default();
        let word = sql.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or("").to_ascii_uppercase();
        match word.as_str() {
            "BEGIN" | "SAVEPOINT" | "" => self.group.first = None,
            "COMMIT" => self.end(true),
            "ROLLBACK" if sql.to_ascii_uppercase().contains(" TO ") => self.group.first = None,
            "ROLLBACK" => self.end(false),
            _ => {
                let offset = self.group.first.unwrap_or(0);
                self.settle_group();
                let transaction = std::mem::take(&mut self.transaction);
                self.group = Group::default();
                let (database, file, line) =
                    (self.database.clone(), self.files.len().checked_sub(1), self.line);
                self.said.push(Said::Statement { sql, database, transaction, offset, file, line });
            }
        }
    }

    /// A line of a row, without `### `.
    fn row_line(&mut self, row: &'c [u8]) {
        let heads =
            [(&b"INSERT INTO "[..], Op::Insert), (b"UPDATE ", Op::Update), (b"DELETE FROM ", Op::Delete)];
        match row {
            b"SET" => self.group.side = Side::After,
            b"WHERE" => self.group.side = Side::Before,
            _ if row.starts_with(b"  @") => self.cell(&row[3..]),
            _ => {
                for (head, op) in heads {
                    if let Some(name) = row.strip_prefix(head) {
                        return self.row(op, name);
                    }
                }
            }
        }
    }

    fn row(&mut self, op: Op, name: &'c [u8]) {
        self.group.side = Side::Before;
        let Some((database, rest)) = quoted_name(name) else { return };
        let Some((table, _)) = rest.strip_prefix(b".").and_then(quoted_name) else { return };
        if !self.group.open && self.group.rows == 0 {
            self.group.first_change = self.transaction.changes.len();
        }
        self.group.open = true;
        self.transaction.changes.push(Change {
            op,
            database,
            table,
            line: self.line,
            file: self.files.len().checked_sub(1),
            offset: self.group.first.unwrap_or(0),
            row: self.group.rows,
            time: self.group.time,
            before: Vec::new(),
            after: Vec::new(),
            escapes: Escapes::Unproven,
        });
        self.group.rows = self.group.rows.saturating_add(1);
    }

    fn cell(&mut self, cell: &'c [u8]) {
        let Some(at) = cell.iter().position(|b| *b == b'=').filter(|_| self.group.open) else { return };
        let (Some(ordinal), value) = (number(&cell[..at]), &cell[at + 1..]) else { return };
        let escaped = value.contains(&b'\\') && has_escape(value);
        self.group.escaped |= escaped;
        let text = match std::str::from_utf8(value) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(bytes_cell(value, self.escaping == Escaping::All)),
        };
        let Some(change) = self.transaction.changes.last_mut() else { return };
        let side = if self.group.side == Side::Before { &mut change.before } else { &mut change.after };
        side.push(Cell { ordinal: ordinal as usize, text, escaped });
    }

    /// Decides whether the escapes in a group's texts are proven.
    fn settle_group(&mut self) {
        let first = self.group.first_change.min(self.transaction.changes.len());
        let escaping = self.escaping;
        let group = &mut self.group;
        let changes = &mut self.transaction.changes[first..];
        let escapes = match escaping {
            Escaping::All => Escapes::All,
            Escaping::ControlsAlone if !group.escaped || !group.continued && weigh(group, changes) => {
                Escapes::Controls
            }
            Escaping::ControlsAlone => Escapes::Unproven,
        };
        changes.iter_mut().for_each(|change| change.escapes = escapes);
        let first_change = self.transaction.changes.len();
        self.group = Group {
            tables: std::mem::take(&mut self.group.tables),
            starts: std::mem::take(&mut self.group.starts),
            first_change,
            ..Group::default()
        };
    }
}

/// Whether the rows of a group, as they are read, fill its events exactly.
fn weigh(group: &mut Group<'_>, changes: &[Change<'_>]) -> bool {
    for change in changes {
        for image in [&change.before, &change.after].into_iter().filter(|image| !image.is_empty()) {
            let columns = image.len() as u64;
            let table = (change.database.clone().into_owned(), change.table.clone().into_owned());
            if *group.columns.entry(table).or_insert(columns) != columns {
                return false;
            }
            let sizes = image.iter().map(|cell| cell_size(&cell.text));
            group.sizes.image(columns, sizes.sum());
        }
    }
    let frames = group.events.iter().map(|(id, update)| {
        let columns = group.tables.get(id).and_then(|table| group.columns.get(table))?;
        Some(frame(*columns, if *update { 2 } else { 1 }))
    });
    let frames: Option<u64> = frames.sum();
    frames.is_some_and(|frames| group.sizes.agree(frames))
}

/// How many bytes a value takes in its event.
fn cell_size(text: &str) -> Option<u64> {
    let (value, kind) = split_comment(text);
    if value == "NULL" {
        return Some(0);
    }
    let length = match (value.strip_prefix("x'"), value.strip_prefix('\'')) {
        (Some(digits), _) => (digits.len() as u64 - 1) / 2,
        (None, Some(quoted)) => unescape(quoted.strip_suffix('\'')?.as_bytes(), false).len() as u64,
        _ => 0,
    };
    value_size(kind?, length)
}

/// A value and the type that the comment behind it names.
pub(super) fn split_comment(text: &str) -> (&str, Option<&str>) {
    match text.rfind(" /* ") {
        Some(at) if text.ends_with("*/") && text[at..].contains("meta=") => {
            (&text[..at], Some(&text[at + 4..]))
        }
        _ => (text, None),
    }
}

/// A cell whose text is no UTF-8, with its bytes as digits.
fn bytes_cell(value: &[u8], all: bool) -> String {
    let at = value.windows(4).rposition(|w| w == b" /* ").unwrap_or(value.len());
    let (value, comment) = value.split_at(at);
    let inner = value.strip_prefix(b"'").and_then(|v| v.strip_suffix(b"'")).unwrap_or(value);
    let mut text = String::from("x'");
    for byte in unescape(inner, all).iter() {
        text.push_str(&format!("{byte:02x}"));
    }
    text.push('\'');
    text + &lossy(comment)
}

fn has_escape(value: &[u8]) -> bool {
    value.windows(4).any(|w| w.starts_with(b"\\x") && matches!(w[2], b'0' | b'1') && w[3].is_ascii_hexdigit())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The number at the beginning of a text.
fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

/// The text between a head, wherever it stands, and the next tail or the end.
fn between<'a>(text: &'a [u8], head: &[u8], tail: &[u8]) -> Option<&'a [u8]> {
    let at = text.windows(head.len()).position(|w| w == head)? + head.len();
    let rest = &text[at..];
    let end = rest.windows(tail.len()).position(|w| w == tail).unwrap_or(rest.len());
    Some(&rest[..end])
}

fn end_of(line: &[u8]) -> Option<u64> {
    between(line, b"end_log_pos ", b" ").and_then(number)
}

/// The time and the event of `#261122  6:34:32 server id 1  end_log_pos 256 CRC32 0x6b84 <tab>Xid = 7`.
fn header(line: &[u8]) -> Option<(&str, &[u8])> {
    let server = line.windows(11).take(32).position(|w| w == b" server id ")?;
    let time = std::str::from_utf8(&line[1..server]).ok()?;
    let tab = line.iter().position(|b| *b == b'\t')?;
    Some((time, line[tab + 1..].trim_ascii_start()))
}

/// Whether an event has rows, and whether these have two images.
fn rows_event(event: &[u8]) -> Option<bool> {
    let word = event.split(|b| matches!(b, b':' | b' ')).next()?;
    match word {
        b"Write_rows" | b"Write_rows_v1" | b"Delete_rows" | b"Delete_rows_v1" => Some(false),
        b"Update_rows" | b"Update_rows_v1" => Some(true),
        _ if word.windows(5).any(|w| w == b"_rows") => Some(word.starts_with(b"Update")),
        _ => None,
    }
}

/// A name in backticks, and what follows it.
pub(super) fn quoted_name(text: &[u8]) -> Option<(Cow<'_, str>, &[u8])> {
    let inner = text.strip_prefix(b"`")?;
    let mut at = 0;
    loop {
        match (inner.get(at)?, inner.get(at + 1)) {
            (b'`', Some(b'`')) => at += 2,
            (b'`', _) => break,
            _ => at += 1,
        }
    }
    let name = String::from_utf8_lossy(&inner[..at]);
    let name = if name.contains("``") { Cow::Owned(name.replace("``", "`")) } else { name };
    Some((name, &inner[at + 1..]))
}
