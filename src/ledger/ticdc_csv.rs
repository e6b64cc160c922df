//! TiCDC's CSV protocol: the files of a storage sink.
//!
//! ```text
//!  hr/employee/441349361156227074/2025-01-02/CDC000001.csv       rows
//!     "I","employee","hr",433305438660591626,101,"Smith",\N         op, table, schema, commit-ts, columns …
//!     "D","employee","hr",433305438660591627,true,101,"Smith",\N    … with old values: an update is its old
//!     "I","employee","hr",433305438660591627,true,101,"Smyth",\N        row and its new one, marked `true`
//!  hr/employee/meta/schema_441349361156227074_3131721815.json    the columns of a table version, and the
//!                                                                statement that made it
//! ```
//!
//! Rows carry no names of columns. Those come from the header if there is one, else from the schema file of the
//! folder that the file lies in, else they are the table's columns in their order, as many as there are. A
//! schema file is a record of the ledger too: an emptied table leaves no other trace.
//!
//! Limits: files without `commit-ts` are refused, as nothing else in them says when a row changed. An update without
//! old values states the row after it and the key. Deletes may hold the key alone, which then does not fit the
//! columns and is set aside. A delimiter has one byte.

use std::borrow::Cow;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::DataType;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::canal::tidb_change;
use super::decode::TextEncoding;
use super::feed::{Change, Feed};
use super::image::{Staged, Stated};
use super::json::{self, Raw};
use super::unwrap::Message;
use crate::error::{At, Error, Result};
use crate::model::{Op, TableSchema};
use crate::read::cell::{CellBuilder, Misfit};
use crate::read::{
    CsvEscape, InputFile, JsonChunk, JsonRecord, Spool, Table, TableFormat, TableSource, read_error,
};

/// The member that holds the fields of a row.
pub(crate) const ROW: &str = "ticdc-csv";
/// The first field of a header.
const HEADER: &str = "ticdc-meta$operation";
/// Fields before the columns: op, table, schema and `commit-ts`; `is-update` may follow.
const MARKS: usize = 4;
/// What TiCDC writes for null unless it is told otherwise.
const NULL: &str = "\\N";

// ---- files ----

/// Whether a file holds rows of this protocol, by its first record.
pub(super) fn is_ticdc_csv(file: &InputFile) -> Result<bool> {
    let head = head(file)?;
    let line = head.lines().next().unwrap_or_default();
    let bare = line.trim_start_matches('"');
    if bare.starts_with(HEADER) {
        return Ok(true);
    }
    let is_op = bare.starts_with(['I', 'U', 'D']);
    let delimiter = bare.chars().skip(1).find(|c| *c != '"');
    let Some(delimiter) = delimiter.filter(|d| is_op && !d.is_ascii_alphanumeric()) else { return Ok(false) };
    let fields: Vec<&str> = line.split(delimiter).map(|field| field.trim_matches('"')).collect();
    Ok(fields.len() > MARKS && fields[0].len() == 1 && (is_commit(fields[3]) || is_data_file(&file.path)))
}

fn head(file: &InputFile) -> Result<String> {
    let mut head = Vec::new();
    let read = file.content()?.take(4096).read_to_end(&mut head);
    read.map_err(|e| read_error(&file.path, At::default(), e))?;
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Milliseconds since 1970 above 18 bits: from 2015 to 2100.
fn is_commit(text: &str) -> bool {
    let milliseconds = text.parse::<u64>().map(|commit| commit >> 18);
    milliseconds.is_ok_and(|ms| (1_420_070_400_000..4_102_444_800_000).contains(&ms))
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Whether a file is called as a storage sink calls its data files.
pub(super) fn is_data_file(path: &Path) -> bool {
    let number = name(path).strip_prefix("CDC").and_then(|rest| rest.split('.').next());
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether a file of a storage sink holds no records: the number of the last file, the progress of the sink.
pub(super) fn is_bookkeeping(path: &Path) -> bool {
    matches!(name(path), "CDC.index" | "metadata")
}

fn is_schema_name(path: &Path) -> bool {
    name(path).starts_with("schema_") && path.parent().is_some_and(|folder| name(folder) == "meta")
}

/// The folder of a table in a storage sink, by a data file or a schema file in it; and whether it is the latter.
pub fn sink_of(path: &Path) -> Option<(PathBuf, bool)> {
    if is_schema_name(path) {
        return Some((path.parent()?.parent()?.to_owned(), true));
    }
    let has_schemas = |folder: &&Path| {
        let listed = std::fs::read_dir(folder.join("meta")).into_iter().flatten().flatten();
        listed.into_iter().any(|entry| is_schema_name(&entry.path()))
    };
    let folder = path.ancestors().skip(1).take(5).filter(|_| is_data_file(path)).find(has_schemas)?;
    Some((folder.to_owned(), false))
}

/// The names of a file's columns by the schema file of its table version; `None` if there is none.
///
/// A schema file that is there and cannot be used is an error: in the table's own order, values could pass for
/// those of other columns.
fn columns_of(path: &Path) -> Result<Option<Vec<String>>> {
    for version in path.ancestors().skip(1).take(4) {
        let Some(meta) = version.parent().map(|folder| folder.join("meta")).filter(|meta| meta.is_dir())
        else {
            continue;
        };
        let own = format!("schema_{}_", name(version));
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&meta).map_err(Error::io(&meta, "read"))? {
            let file = entry.map_err(Error::io(&meta, "read"))?.path();
            found.extend(name(&file).starts_with(&own).then_some(file));
        }
        found.sort();
        let Some((first, others)) = found.split_first() else { continue };
        let columns = columns_in(first, &meta)?;
        for other in others {
            if columns_in(other, &meta)? != columns {
                return Err(unusable(other, format!("other columns than {}", name(first))));
            }
        }
        return Ok(Some(columns));
    }
    Ok(None)
}

/// The columns that a schema file names.
fn columns_in(schema: &Path, meta: &Path) -> Result<Vec<String>> {
    let (inside, folder) = (schema.canonicalize(), meta.canonicalize());
    let (inside, folder) =
        (inside.map_err(Error::io(schema, "open"))?, folder.map_err(Error::io(meta, "open"))?);
    if !inside.starts_with(folder) {
        return Err(unusable(schema, "a link that leads out of its folder".to_owned()));
    }
    let text = std::fs::read_to_string(schema).map_err(Error::io(schema, "read"))?;
    let file: Value = serde_json::from_str(&text).map_err(|error| unusable(schema, error.to_string()))?;
    let name = |column: &Value| Some(column.get("ColumnName")?.as_str()?.to_owned());
    let columns = file.get("TableColumns").and_then(Value::as_array);
    let names = columns.and_then(|columns| columns.iter().map(name).collect());
    names.ok_or_else(|| unusable(schema, "no names of columns under TableColumns".to_owned()))
}

fn unusable(schema: &Path, found: String) -> Error {
    Error::Malformed {
        path: schema.to_owned(),
        at: At::default(),
        expected: "the schema file of a table version".to_owned(),
        found,
        hint: Some(
            "deliver the file as the sink wrote it: its order of columns is that of the rows".to_owned(),
        ),
    }
}

/// The rows of one file, as messages.
pub(super) struct TicdcTables {
    table: Table,
    group: usize,
    columns: Option<Vec<String>>,
    /// The last row of the group before.
    previous: Option<Value>,
    failed: bool,
}

impl TicdcTables {
    /// The file of a ledger declared as `declared`.
    pub(super) fn open(file: &InputFile, declared: &TableSource) -> Result<Self> {
        let spool = Spool::new(None);
        let head = head(file)?;
        let mut source = TableSource { pattern: file.path.clone(), ..declared.clone() };
        source.format = Some(TableFormat::Csv);
        source.csv.header = head.trim_start_matches('"').starts_with(HEADER);
        source.csv.null.get_or_insert_with(|| NULL.to_owned());
        // Without quotes, characters that mean something else stand behind a backslash.
        let escape = if head.starts_with('"') { CsvEscape::Quotes } else { CsvEscape::Backslash };
        source.csv.escape.get_or_insert(escape);
        let names: Vec<String> = crate::read::columns_of(file, &source)?
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        let columns = match source.csv.header {
            true => Some(names.iter().filter(|name| !name.starts_with("ticdc-meta$")).cloned().collect()),
            false => columns_of(&file.path)?,
        };
        // The text as it stands: the current table knows the types.
        source.types = names.into_iter().map(|name| (name, DataType::Utf8)).collect();
        let table = Table::open(&source, &spool)?;
        let opened = Self { table, group: 0, columns, previous: None, failed: false };
        opened.refuse_unplaced(&file.path)?;
        Ok(opened)
    }

    /// Without a commit time stamp nothing says when a row changed.
    fn refuse_unplaced(&self, path: &Path) -> Result<()> {
        if self.table.groups() == 0 || self.table.rows(0) == 0 {
            return Ok(());
        }
        let first = self.rows(0, Some(&[0]))?;
        let fourth = first.first().and_then(|row| row.get(MARKS - 1)?.as_str().map(str::to_owned));
        match fourth {
            Some(text) if is_commit(&text) => Ok(()),
            found => Err(Error::Malformed {
                path: path.to_owned(),
                at: At::record(self.table.record(0, 0)),
                expected: "op, table, schema, commit-ts and the columns of a TiCDC row".to_owned(),
                found: format!("{} as commit-ts", found.map_or("nothing".to_owned(), |text| format!("{text:?}"))),
                hint: Some(
                    "write the files with include-commit-ts = true under [sink.csv]: without it they do not say when \
                     a row changed"
                        .to_owned(),
                ),
            }),
        }
    }

    /// Rows of a group, each as the list of its fields.
    fn rows(&self, group: usize, rows: Option<&[u32]>) -> Result<Vec<Value>> {
        let columns: Vec<usize> = (0..self.table.schema().fields().len()).collect();
        let batch = self.table.read(group, &columns, rows)?;
        let texts: Vec<&StringArray> =
            batch.columns().iter().filter_map(|c| c.as_string_opt::<i32>()).collect();
        let field = |column: &&StringArray, row| match column.is_null(row) {
            true => Value::Null,
            false => Value::String(column.value(row).to_owned()),
        };
        Ok((0..batch.num_rows()).map(|row| texts.iter().map(|column| field(column, row)).collect()).collect())
    }

    fn chunk(&mut self, group: usize) -> Result<JsonChunk> {
        let rows = self.rows(group, None)?;
        let behind = match group + 1 < self.table.groups() {
            true => self.rows(group + 1, Some(&[0]))?.into_iter().next(),
            false => None,
        };
        let is = |row: Option<&Value>, op: &str| {
            row.is_some_and(|row| row.get(0).and_then(Value::as_str) == Some(op))
        };
        let mut chunk = JsonChunk::default();
        for (at, row) in rows.iter().enumerate() {
            let before = if at == 0 { self.previous.as_ref() } else { rows.get(at - 1) };
            let after = rows.get(at + 1).or(behind.as_ref());
            let mut message = serde_json::json!({ ROW: row });
            if let Some(columns) = &self.columns {
                message["columns"] = columns.clone().into();
            }
            // The two rows of an update stand beside each other.
            if is(Some(row), "D") && is(after, "I") {
                message["next"] = after.cloned().unwrap_or_default();
            } else if is(Some(row), "I") && is(before, "D") {
                message["previous"] = before.cloned().unwrap_or_default();
            }
            let number = self.table.record(group, at);
            let start = chunk.text.len();
            chunk.text.extend_from_slice(message.to_string().as_bytes());
            chunk.records.push(JsonRecord { start, end: chunk.text.len(), number, line: number, key: None });
            chunk.text.push(b'\n');
        }
        self.previous = rows.into_iter().next_back();
        Ok(chunk)
    }
}

impl Iterator for TicdcTables {
    type Item = Result<JsonChunk>;

    fn next(&mut self) -> Option<Result<JsonChunk>> {
        if self.failed || self.group >= self.table.groups() {
            return None;
        }
        let chunk = self.chunk(self.group);
        self.group += 1;
        self.failed = chunk.is_err();
        Some(chunk)
    }
}

// ---- messages ----

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Record<'a> {
    #[serde(borrow, rename = "ticdc-csv")]
    row: Raw<'a>,
    #[serde(borrow)]
    columns: Raw<'a>,
    #[serde(borrow)]
    next: Raw<'a>,
    #[serde(borrow)]
    previous: Raw<'a>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct SchemaFile<'a> {
    #[serde(borrow)]
    table: Raw<'a>,
    #[serde(borrow)]
    schema: Raw<'a>,
    #[serde(borrow)]
    table_version: Raw<'a>,
    #[serde(borrow)]
    query: Raw<'a>,
    #[serde(borrow, rename = "Type")]
    kind: Raw<'a>,
    #[serde(borrow)]
    table_columns: Raw<'a>,
}

/// Whether a record can only be a schema file.
pub(super) fn is_schema_file(text: &str) -> bool {
    serde_json::from_str::<SchemaFile<'_>>(text)
        .is_ok_and(|s| s.table_version.is_some() && s.table_columns.is_some())
}

/// Takes in a row or a schema file; `false` if it is neither.
pub(super) fn message(message: &Message<'_>, feed: &mut Feed<'_>) -> bool {
    if let Ok(record @ Record { row: Some(row), .. }) = serde_json::from_str::<Record<'_>>(message.text) {
        take(&record, &list(row.get()), feed);
        return true;
    }
    if !is_schema_file(message.text) {
        return false;
    }
    definition(&serde_json::from_str(message.text).unwrap_or_default(), feed);
    true
}

/// Statements after which the rows of a table are gone: DROP TABLE and TRUNCATE TABLE.
const EMPTYING: [&str; 2] = ["4", "11"];
/// Those after which its columns or its rows are others: columns added, dropped, modified; a table renamed;
/// partitions dropped or emptied.
const CHANGING: [&str; 6] = ["5", "6", "12", "14", "20", "23"];

fn definition(file: &SchemaFile<'_>, feed: &mut Feed<'_>) {
    let kind = json::scalar(file.kind).unwrap_or_default();
    let table = || [None, json::scalar(file.schema), json::scalar(file.table)];
    let Some(version) = json::integer::<u64>(file.table_version) else {
        return feed.unparsable(None, "expected the version of a table, found none");
    };
    if EMPTYING.contains(&kind.as_ref()) {
        let change = tidb_change(version, Op::Truncate, feed);
        if let Some(target) = feed.begin(table(), &change) {
            feed.push(target, &change, &Staged::default(), &mut |cells, _, _, raw| cells.push_json(raw));
        }
    } else if CHANGING.contains(&kind.as_ref()) {
        feed.drift(table(), json::scalar(file.query).as_deref().unwrap_or("a definition"));
    }
}

fn list(text: &str) -> Vec<&str> {
    let mut elements = Vec::new();
    match json::elements(text, |raw| elements.push(raw)) {
        Ok(()) => elements,
        Err(_) => Vec::new(),
    }
}

/// A row taken apart.
struct Row<'a> {
    op: Cow<'a, str>,
    table: [Option<Cow<'a, str>>; 3],
    commit: u64,
    is_update: bool,
    values: &'a [&'a str],
}

impl<'a> Row<'a> {
    /// A row of a table with so many columns; in words what does not fit.
    fn read(fields: &'a [&'a str], columns: usize) -> Result<Self, String> {
        let text = |at: usize| fields.get(at).and_then(|raw| json::text(raw));
        let commit = text(3).and_then(|text| text.parse().ok());
        let commit = commit.ok_or("expected a commit-ts as the fourth field")?;
        let flag = text(MARKS).filter(|_| fields.len() == MARKS + 1 + columns);
        let (is_update, values) = match flag.as_deref() {
            Some("true") => (true, &fields[MARKS + 1..]),
            Some("false") => (false, &fields[MARKS + 1..]),
            _ if fields.len() == MARKS + columns => (false, &fields[MARKS..]),
            _ => {
                return Err(format!(
                    "expected 4 or 5 fields and {columns} columns, found {} fields: deliver the schema files \
                     (meta/schema_*.json) where the table has had other columns",
                    fields.len()
                ));
            }
        };
        Ok(Self {
            op: text(0).unwrap_or_default(),
            table: [None, text(2), text(1)],
            commit,
            is_update,
            values,
        })
    }

    /// Whether two rows are the two sides of one update.
    fn joins(&self, other: &Self) -> bool {
        self.is_update && other.is_update && self.commit == other.commit && self.table == other.table
    }
}

fn take(record: &Record<'_>, fields: &[&str], feed: &mut Feed<'_>) {
    let columns = record.columns.map(|raw| list(raw.get()));
    let text = |at: usize| fields.get(at).and_then(|raw| json::text(raw));
    let width = |target: usize, feed: &mut Feed<'_>| {
        columns.as_ref().map_or_else(|| feed.rows(target).target.schema.len(), Vec::len)
    };
    let Some(target) = feed.target([None, text(2), text(1)]) else {
        // It counts as a record of another table.
        feed.begin([None, text(2), text(1)], &Change::default());
        return;
    };
    let width = width(target, feed);
    let row = match Row::read(fields, width) {
        Ok(row) => row,
        Err(reason) => return feed.unparsable(Some(target), reason),
    };
    let other = record.next.or(record.previous).map(|raw| list(raw.get())).unwrap_or_default();
    let other = Row::read(&other, width).ok().filter(|other| row.joins(other));
    let op = match (row.op.as_ref(), &other) {
        ("I", Some(_)) => return,
        ("D", Some(_)) | ("U", _) => Op::Update,
        ("I", None) => Op::Insert,
        ("D", None) => Op::Delete,
        (word, _) => {
            return feed.unparsable(Some(target), format!("expected an op of I, U or D, found {word:?}"));
        }
    };
    let mut change = tidb_change(row.commit, op, feed);
    change.weak = op == Op::Update && other.is_none();
    feed.begin(row.table.clone(), &change);
    let schema = &feed.rows(target).target.schema;
    let own = object(schema, columns.as_deref(), row.values);
    let new = other.as_ref().map(|other| object(schema, columns.as_deref(), other.values));
    let rows = feed.rows(target);
    let Some(image) = rows.image(&own, Stated::Absent) else { return };
    let mut staged = Staged::default();
    match op {
        Op::Update => match new.as_deref().and_then(|new| rows.image(new, Stated::Absent)) {
            Some(after) => (staged.before, staged.after) = (Some(image), Some(after)),
            None => {
                (staged.before, staged.after) = (Some(rows.blank(Stated::Absent)), Some(image));
                rows.share_key(&mut staged);
            }
        },
        Op::Delete => staged.before = Some(image),
        _ => staged.after = Some(image),
    }
    let hex = feed.options.binary == Some(TextEncoding::Hex);
    feed.push(target, &change, &staged, &mut |cells, data_type, _, raw| value(cells, data_type, raw, hex));
}

/// Values under the names of their columns.
fn object(schema: &TableSchema, columns: Option<&[&str]>, values: &[&str]) -> String {
    let names: Vec<Cow<'_, str>> = match columns {
        Some(columns) => columns.iter().map(|raw| Cow::Borrowed(*raw)).collect(),
        None => schema.names().map(|name| Cow::Owned(Value::from(name).to_string())).collect(),
    };
    let members: Vec<String> = names.iter().zip(values).map(|(name, raw)| format!("{name}:{raw}")).collect();
    format!("{{{}}}", members.join(","))
}

fn value(cells: &mut CellBuilder, data_type: &DataType, raw: &str, hex: bool) -> Result<(), Misfit> {
    use DataType as D;
    if !matches!(data_type, D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_)) {
        return cells.push_json(raw);
    }
    let text = json::text(raw).unwrap_or_default();
    let bytes = match hex {
        true => {
            let digit = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
            text.len().is_multiple_of(2).then(|| (0..text.len()).step_by(2).map(digit).collect()).flatten()
        }
        false => STANDARD.decode(text.as_bytes()).ok(),
    };
    cells.push_bytes(&bytes.ok_or_else(|| Misfit::new("bytes", raw))?)
}
