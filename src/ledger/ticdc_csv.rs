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
use std::sync::Arc;

use arrow::datatypes::DataType;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::canal::tidb_change;
use super::decode::TextEncoding;
use super::feed::{Change, Feed};
use super::image::{Rows, Staged, Stated};
use super::json::{self, Raw};
use super::unwrap::Message;
use crate::error::{At, Error, Result};
use crate::model::Op;
use crate::read::cell::{CellBuilder, Misfit};
use crate::read::{
    ChangeRows, CsvEscape, InputFile, JsonChunk, RecordRows, RowReader, TableFormat, TableSource, read_error,
};

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

/// The rows of one file.
pub(super) struct TicdcTables {
    reader: RowReader,
    columns: Option<Arc<[String]>>,
    /// The rows that come next.
    waiting: Option<RecordRows>,
    /// The last row before them.
    previous: Option<Vec<Option<String>>>,
    failed: bool,
}

impl TicdcTables {
    /// The file of a ledger declared as `declared`.
    pub(super) fn open(file: &InputFile, declared: &TableSource) -> Result<Self> {
        let head = head(file)?;
        let mut source = TableSource { pattern: file.path.clone(), ..declared.clone() };
        source.csv.header = head.trim_start_matches('"').starts_with(HEADER);
        source.csv.null.get_or_insert_with(|| NULL.to_owned());
        // Without quotes, characters that mean something else stand behind a backslash.
        let escape = if head.starts_with('"') { CsvEscape::Quotes } else { CsvEscape::Backslash };
        source.csv.escape.get_or_insert(escape);
        let mut reader = RowReader::open(file, &source, TableFormat::Csv)?;
        let columns = match source.csv.header {
            true => {
                Some(reader.names().iter().filter(|name| !name.starts_with("ticdc-meta$")).cloned().collect())
            }
            false => columns_of(&file.path)?.map(Arc::from),
        };
        let waiting = reader.next()?;
        let opened = Self { reader, columns, waiting, previous: None, failed: false };
        opened.refuse_unplaced(&file.path)?;
        Ok(opened)
    }

    /// Without a commit time stamp nothing says when a row changed.
    fn refuse_unplaced(&self, path: &Path) -> Result<()> {
        let Some(rows) = self.waiting.as_ref().filter(|rows| !rows.is_empty()) else { return Ok(()) };
        match rows.text(0, MARKS - 1) {
            Some(text) if is_commit(text) => Ok(()),
            found => Err(Error::Malformed {
                path: path.to_owned(),
                at: At::record(rows.record(0)),
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

    /// The rows at hand, with those around them: the two rows of an update stand beside each other.
    fn chunk(&mut self, rows: RecordRows) -> Result<JsonChunk> {
        self.waiting = self.reader.next()?;
        let behind = self.waiting.as_ref().filter(|rows| !rows.is_empty()).map(|rows| rows.row(0));
        let last = rows.len().checked_sub(1).map(|last| rows.row(last));
        let before = std::mem::replace(&mut self.previous, last);
        let rows = ChangeRows { rows, names: self.columns.clone(), op: None, around: [before, behind] };
        Ok(JsonChunk { rows: Some(rows), ..JsonChunk::default() })
    }
}

impl Iterator for TicdcTables {
    type Item = Result<JsonChunk>;

    fn next(&mut self) -> Option<Result<JsonChunk>> {
        let rows = self.waiting.take().filter(|_| !self.failed)?;
        let chunk = self.chunk(rows);
        self.failed = chunk.is_err();
        Some(chunk)
    }
}

// ---- schema files ----

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

/// Takes in a schema file; `false` if it is none.
pub(super) fn message(message: &Message<'_>, feed: &mut Feed<'_>) -> bool {
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

// ---- rows ----

/// The cells of a row of a chunk, or of one beside it.
#[derive(Clone, Copy)]
enum Cells<'r> {
    Own(&'r RecordRows, usize),
    Beside(&'r [Option<String>]),
}

impl<'r> Cells<'r> {
    /// The row before the one with this number, or the one behind it.
    fn beside(of: &'r ChangeRows, row: usize, behind: bool) -> Option<Self> {
        let number = if behind { Some(row + 1) } else { row.checked_sub(1) };
        match number.filter(|number| *number < of.rows.len()) {
            Some(number) => Some(Self::Own(&of.rows, number)),
            None => of.around[usize::from(behind)].as_deref().map(Self::Beside),
        }
    }

    fn text(self, column: usize) -> Option<&'r str> {
        match self {
            Self::Own(rows, row) => rows.text(row, column),
            Self::Beside(cells) => cells.get(column)?.as_deref(),
        }
    }
}

/// A row taken apart.
struct Row<'r> {
    cells: Cells<'r>,
    op: &'r str,
    /// Schema and table.
    table: [Option<&'r str>; 2],
    commit: u64,
    is_update: bool,
    /// Where the values of the columns begin.
    first: usize,
}

impl<'r> Row<'r> {
    /// A row of so many fields, of a table with so many columns; in words what does not fit.
    fn read(cells: Cells<'r>, fields: usize, columns: usize) -> Result<Self, String> {
        let commit = cells.text(3).and_then(|text| text.parse().ok());
        let commit = commit.ok_or("expected a commit-ts as the fourth field")?;
        let flag = cells.text(MARKS).filter(|_| fields == MARKS + 1 + columns);
        let (is_update, first) = match flag {
            Some("true") => (true, MARKS + 1),
            Some("false") => (false, MARKS + 1),
            _ if fields == MARKS + columns => (false, MARKS),
            _ => {
                return Err(format!(
                    "expected 4 or 5 fields and {columns} columns, found {fields} fields: deliver the schema files \
                     (meta/schema_*.json) where the table has had other columns"
                ));
            }
        };
        let table = [cells.text(2), cells.text(1)];
        Ok(Self { cells, op: cells.text(0).unwrap_or_default(), table, commit, is_update, first })
    }

    /// Whether two rows are the two sides of one update.
    fn joins(&self, other: &Self) -> bool {
        self.is_update && other.is_update && self.commit == other.commit && self.table == other.table
    }

    /// The row as an image: `columns` are the table's in the order of the values.
    fn image(&self, columns: &[Option<usize>], mut image: Vec<Stated<'r>>, len: usize) -> Vec<Stated<'r>> {
        image.clear();
        image.resize(len, Stated::Absent);
        for (column, value) in columns.iter().zip(self.first..) {
            if let Some(column) = column {
                image[*column] = self.cells.text(value).map_or(Stated::Null, Stated::Json);
            }
        }
        image
    }
}

/// The columns of a table in the order in which the rows of a file have their values.
struct Layout<'r> {
    table: [Option<&'r str>; 2],
    /// `None`: the rows are another table's.
    target: Option<usize>,
    columns: Vec<Option<usize>>,
}

impl<'r> Layout<'r> {
    fn new(of: &ChangeRows, table: [Option<&'r str>; 2], feed: &mut Feed<'_>) -> Self {
        let target = feed.target(named(table));
        let columns = target.map(|target| {
            let rows = feed.rows(target);
            match &of.names {
                Some(names) => names.iter().zip(0..).map(|(name, at)| rows.names.find(name, at)).collect(),
                None => (0..rows.target.schema.len()).map(Some).collect(),
            }
        });
        Self { table, target, columns: columns.unwrap_or_default() }
    }
}

fn named([schema, table]: [Option<&str>; 2]) -> [Option<Cow<'_, str>>; 3] {
    [None, schema.map(Cow::Borrowed), table.map(Cow::Borrowed)]
}

/// Takes in all rows of a chunk.
pub(super) fn take(of: &ChangeRows, feed: &mut Feed<'_>) {
    let hex = feed.options.binary == Some(TextEncoding::Hex);
    let (mut layout, mut room): (Option<Layout<'_>>, [Vec<Stated<'_>>; 2]) = (None, Default::default());
    for number in 0..of.rows.len() {
        feed.record = of.rows.record(number);
        let cells = Cells::Own(&of.rows, number);
        let table = [cells.text(2), cells.text(1)];
        let layout = match &mut layout {
            Some(known) if known.table == table => known,
            other => other.insert(Layout::new(of, table, feed)),
        };
        let Some(target) = layout.target else {
            // It counts as a record of another table.
            feed.begin(named(table), &Change::default());
            continue;
        };
        let fields = of.rows.columns();
        let row = match Row::read(cells, fields, layout.columns.len()) {
            Ok(row) => row,
            Err(reason) => {
                feed.unparsable(Some(target), reason);
                continue;
            }
        };
        let other = other_side(of, number, &row).and_then(|cells| {
            Row::read(cells, fields, layout.columns.len()).ok().filter(|other| row.joins(other))
        });
        let op = match (row.op, &other) {
            ("I", Some(_)) => continue,
            ("D", Some(_)) | ("U", _) => Op::Update,
            ("I", None) => Op::Insert,
            ("D", None) => Op::Delete,
            (word, _) => {
                feed.unparsable(Some(target), format!("expected an op of I, U or D, found {word:?}"));
                continue;
            }
        };
        let mut change = tidb_change(row.commit, op, feed);
        change.weak = op == Op::Update && other.is_none();
        feed.begin(named(table), &change);
        let staged = stage((&row, other.as_ref()), op, &layout.columns, feed.rows(target), &mut room);
        feed.push_texts(target, &change, &staged, &mut |cells, data_type, _, text| {
            value(cells, data_type, text, hex)
        });
        // The room of one row serves the next.
        room = [staged.before.unwrap_or_default(), staged.after.unwrap_or_default()];
    }
}

/// The row beside this one that may be the other side of its update.
fn other_side<'r>(of: &'r ChangeRows, number: usize, row: &Row<'_>) -> Option<Cells<'r>> {
    let (behind, op) = match row.op {
        "D" => (true, "I"),
        "I" => (false, "D"),
        _ => return None,
    };
    Cells::beside(of, number, behind).filter(|cells| cells.text(0) == Some(op))
}

fn stage<'r>(
    (row, other): (&Row<'r>, Option<&Row<'r>>),
    op: Op,
    columns: &[Option<usize>],
    rows: &Rows<'_>,
    room: &mut [Vec<Stated<'r>>; 2],
) -> Staged<'r> {
    let (len, [first, second]) = (rows.target.schema.len(), std::mem::take(room));
    let mut staged = Staged::default();
    match (op, other) {
        (Op::Update, Some(other)) => {
            staged.before = Some(row.image(columns, first, len));
            staged.after = Some(other.image(columns, second, len));
        }
        (Op::Update, None) => {
            (staged.before, staged.after) =
                (Some(rows.blank(Stated::Absent)), Some(row.image(columns, second, len)));
            rows.share_key(&mut staged);
        }
        (Op::Delete, _) => staged.before = Some(row.image(columns, first, len)),
        _ => staged.after = Some(row.image(columns, second, len)),
    }
    staged
}

fn value(cells: &mut CellBuilder, data_type: &DataType, text: &str, hex: bool) -> Result<(), Misfit> {
    use DataType as D;
    if !matches!(data_type, D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_)) {
        return cells.push_text(text);
    }
    let bytes = match hex {
        true => {
            let digit = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
            text.len().is_multiple_of(2).then(|| (0..text.len()).step_by(2).map(digit).collect()).flatten()
        }
        false => STANDARD.decode(text.as_bytes()).ok(),
    };
    cells.push_bytes(&bytes.ok_or_else(|| Misfit::new("bytes", format_args!("{text:?}")))?)
}
