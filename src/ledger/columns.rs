//! [`ColumnMap`]: which column of a columnar ledger means what.
//!
//! What the plan names is taken; what it does not name is looked for under the
//! usual names. An op and at least one image must be found.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, SchemaRef};

use super::want::{Columns, Want};
use crate::error::{At, Error, Result, nearest};
use crate::model::TableSchema;
use crate::plan::LedgerColumns;

const POSITION: &[&str] = &["position", "seq", "sequence", "lsn", "offset", "change_id", "event_id", "scn"];
const COMMIT_POSITION: &[&str] =
    &["commit_position", "commit_lsn", "commit_scn", "commit_version", "_commit_version"];
const OP: &[&str] = &["op", "operation", "action", "change_type", "_change_type", "kind", "type"];
const TRANSACTION: &[&str] = &["transaction", "txid", "tx_id", "txn", "txn_id", "xid", "transaction_id"];
const COMMITTED_AT: &[&str] = &[
    "committed_at",
    "commit_time",
    "commit_ts",
    "commit_timestamp",
    "_commit_timestamp",
    "changed_at",
    "ts",
    "timestamp",
    "time",
];
const ACTOR: &[&str] = &["actor", "user", "username", "user_name", "changed_by", "modified_by"];
const TABLE: &[&str] = &["table", "table_name", "dataset"];
const IMAGE: &[&str] = &["image", "image_type", "row_image", "before_or_after"];
const BEFORE: &[&str] = &["before", "old", "old_row", "before_image", "pre"];
const AFTER: &[&str] = &["after", "new", "new_row", "after_image", "post"];

/// Where a cell of an image stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    /// In a column of its own.
    Root(usize),
    /// In a field of a struct column.
    Field(usize, usize),
}

impl Cell {
    fn root(self) -> usize {
        match self {
            Self::Root(column) | Self::Field(column, _) => column,
        }
    }

    /// The type of the cells in the ledger.
    pub(super) fn data_type(self, ledger: &SchemaRef) -> Option<DataType> {
        match self {
            Self::Root(column) => Some(ledger.field(column).data_type().clone()),
            Self::Field(column, field) => match ledger.field(column).data_type() {
                DataType::Struct(fields) => fields.get(field).map(|f| f.data_type().clone()),
                _ => None,
            },
        }
    }

    /// The cells as an array, with the struct's nulls applied.
    pub(super) fn array<'a>(self, root: &impl Fn(usize) -> Option<&'a ArrayRef>) -> Option<ArrayRef> {
        match self {
            Self::Root(column) => root(column).cloned(),
            Self::Field(column, field) => {
                let parent = root(column)?.as_struct();
                Some(Arc::clone(parent.column(field)))
            }
        }
    }
}

/// Which columns of a ledger mean what. Numbers are positions in the ledger's schema.
#[derive(Debug, Clone)]
pub(super) struct ColumnMap {
    pub op: usize,
    pub position: Option<usize>,
    pub commit_position: Option<usize>,
    pub transaction: Option<usize>,
    pub committed_at: Option<usize>,
    pub committed_at_name: String,
    pub actor: Option<usize>,
    pub table: Option<usize>,
    /// Per table column, where its before cells stand.
    pub before: Vec<Option<Cell>>,
    /// Per table column, where its after cells stand.
    pub after: Vec<Option<Cell>>,
    /// The struct whose null says that there is no before image.
    pub before_struct: Option<usize>,
    /// The struct whose null says that there is no after image.
    pub after_struct: Option<usize>,
    /// Set if each row holds one image: both sides then are the same columns.
    pub rows: Option<ImageRows>,
}

/// One row per image.
#[derive(Debug, Clone, Copy)]
pub(super) struct ImageRows {
    /// The column that says which image a row holds. `None`: the op does.
    pub image: Option<usize>,
}

impl ColumnMap {
    /// Finds the columns.
    ///
    /// # Errors
    /// A declared column does not exist, or no op or image column can be found.
    pub(super) fn find(
        declared: &LedgerColumns,
        ledger: &SchemaRef,
        table: &TableSchema,
        path: &Path,
    ) -> Result<Self> {
        let mut finder = Finder { ledger, path, taken: Vec::new() };
        let images = finder.images(declared, table)?;
        if images.rows.is_some() {
            finder.taken = images.after.iter().flatten().map(|cell| cell.root()).collect();
        }
        let optional = |name: &Option<String>, usual| finder.optional(name.as_deref(), usual);
        let op = optional(&declared.op, OP)?.ok_or_else(|| finder.missing("an op column", "columns.op"))?;
        let committed_at = optional(&declared.committed_at, COMMITTED_AT)?;
        let mut map = Self {
            op,
            position: optional(&declared.position, POSITION)?,
            commit_position: optional(&declared.commit_position, COMMIT_POSITION)?,
            transaction: optional(&declared.transaction, TRANSACTION)?,
            committed_at_name: committed_at.map_or_else(String::new, |c| ledger.field(c).name().clone()),
            committed_at,
            actor: optional(&declared.actor, ACTOR)?,
            table: optional(&declared.table, TABLE)?,
            before: images.before,
            after: images.after,
            before_struct: images.structs[0],
            after_struct: images.structs[1],
            rows: images.rows,
        };
        map.share_keys(ledger, table, path)?;
        Ok(map)
    }

    /// Key columns that no image carries stand beside them, once for both.
    fn share_keys(&mut self, ledger: &SchemaRef, table: &TableSchema, path: &Path) -> Result<()> {
        for &column in table.key() {
            let beside = ledger.fields().iter().position(|f| f.name() == table.name(column)).map(Cell::Root);
            for side in [&mut self.before, &mut self.after] {
                if side[column].is_none() {
                    side[column] = beside;
                }
            }
            if self.before[column].is_none() && self.after[column].is_none() {
                return Err(Error::Malformed {
                    path: path.to_owned(),
                    at: At::default().column(table.name(column)),
                    expected: "the key column in the images or beside them".to_owned(),
                    found: "neither".to_owned(),
                    hint: Some("check the key, or name the image columns in the plan".to_owned()),
                });
            }
        }
        Ok(())
    }

    /// Columns that images carry and the table does not have, by name, sorted.
    pub(super) fn unknown(&self, ledger: &SchemaRef, table: &TableSchema) -> Vec<String> {
        if self.rows.is_some() {
            return Vec::new();
        }
        let roles = [self.position, self.commit_position, self.transaction, self.committed_at, self.actor];
        let taken: Vec<usize> = roles.into_iter().chain([Some(self.op), self.table]).flatten().collect();
        let mut unknown = Vec::new();
        for cells in [&self.before, &self.after] {
            let Some((column, cell)) =
                (0..table.len()).filter(|&c| !table.is_key(c)).find_map(|c| Some((c, cells[c]?)))
            else {
                continue;
            };
            let mut names: Vec<String> = match cell {
                Cell::Field(root, _) => match ledger.field(root).data_type() {
                    DataType::Struct(fields) => fields.iter().map(|f| f.name().clone()).collect(),
                    _ => Vec::new(),
                },
                Cell::Root(root) => {
                    let free = (0..ledger.fields().len()).filter(|c| !taken.contains(c));
                    let around = around(ledger.field(root).name(), table.name(column));
                    free.filter_map(|c| between(ledger.field(c).name(), around?)).collect()
                }
            };
            names.retain(|name| table.column(name).is_none());
            unknown.extend(names);
        }
        unknown.sort_unstable();
        unknown.dedup();
        unknown
    }

    /// The ledger columns that a read needs, rising.
    pub(super) fn roots(&self, want: Want, table: &TableSchema, op: bool) -> Vec<usize> {
        let mut roots: Vec<usize> = op.then_some(self.op).into_iter().collect();
        roots.extend(self.rows.and_then(|rows| rows.image));
        if want.order || want.provenance {
            roots.extend(
                [self.position, self.commit_position, self.transaction, self.committed_at].iter().flatten(),
            );
        }
        if want.provenance {
            roots.extend(self.actor);
        }
        let sides =
            [(&self.before, want.before, self.before_struct), (&self.after, want.after, self.after_struct)];
        for (cells, wanted, whole) in sides {
            let cells = cells.iter().enumerate().filter(|(c, _)| wanted.includes(table, *c));
            roots.extend(cells.filter_map(|(_, cell)| cell.map(Cell::root)));
            if wanted == Columns::All {
                roots.extend(whole);
            }
        }
        if roots.is_empty() {
            roots.push(self.op);
        }
        roots.sort_unstable();
        roots.dedup();
        roots
    }
}

/// What stands before and behind a table's column in the name of an image's; `None` if nothing does.
fn around<'n>(name: &'n str, column: &str) -> Option<(&'n str, &'n str)> {
    let at = name.rfind(column)?;
    let around = (&name[..at], &name[at + column.len()..]);
    (around != ("", "")).then_some(around)
}

/// The part of a name between those two.
fn between(name: &str, (prefix, suffix): (&str, &str)) -> Option<String> {
    let inner = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
    (!inner.is_empty()).then(|| inner.to_owned())
}

struct Finder<'a> {
    ledger: &'a SchemaRef,
    path: &'a Path,
    /// Columns of the table itself, which are found to be nothing else unless declared.
    taken: Vec<usize>,
}

/// Where the images are.
struct FoundImages {
    before: Vec<Option<Cell>>,
    after: Vec<Option<Cell>>,
    structs: [Option<usize>; 2],
    rows: Option<ImageRows>,
}

impl Finder<'_> {
    fn named(&self, name: &str) -> Option<usize> {
        self.ledger.fields().iter().position(|f| f.name() == name)
    }

    fn names(&self) -> Vec<&str> {
        self.ledger.fields().iter().map(|f| f.name().as_str()).collect()
    }

    fn optional(&self, declared: Option<&str>, usual: &[&str]) -> Result<Option<usize>> {
        match declared {
            Some(name) => self.named(name).map(Some).ok_or_else(|| self.unknown(name)),
            None => Ok(usual.iter().find_map(|name| {
                let is_it = |&column: &usize| {
                    self.ledger.field(column).name().eq_ignore_ascii_case(name)
                        && !self.taken.contains(&column)
                };
                (0..self.ledger.fields().len()).find(is_it)
            })),
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let names = self.names();
        let near = nearest(name, names.iter().copied());
        Error::Malformed {
            path: self.path.to_owned(),
            at: At::default(),
            expected: format!("a column {name:?}"),
            found: format!("columns {}", names.join(", ")),
            hint: near.map(|n| format!("did you mean {n:?}?")),
        }
    }

    fn missing(&self, what: &str, key: &str) -> Error {
        Error::Malformed {
            path: self.path.to_owned(),
            at: At::default(),
            expected: what.to_owned(),
            found: format!("columns {}", self.names().join(", ")),
            hint: Some(format!("name it in the plan under ledger.{key}")),
        }
    }

    /// Both sides of a change in one row, or else one image per row.
    fn images(&self, declared: &LedgerColumns, table: &TableSchema) -> Result<FoundImages> {
        if declared.image.is_none() {
            let (before, old) = self.side(declared.before.as_deref(), BEFORE, table)?;
            let (after, new) = self.side(declared.after.as_deref(), AFTER, table)?;
            if before.iter().chain(&after).any(Option::is_some) {
                return Ok(FoundImages { before, after, structs: [old, new], rows: None });
            }
        }
        let (prefix, suffix) = declared.after.as_deref().and_then(|d| d.split_once('*')).unwrap_or_default();
        let cells = self.pattern(prefix, suffix, table);
        let found = cells.iter().flatten().count();
        if found == 0 || declared.image.is_none() && found * 2 < table.len() {
            return Err(self.missing("before or after images", "columns.before and columns.after"));
        }
        let taken = cells.iter().flatten().map(|cell| cell.root()).collect();
        let finder = Finder { ledger: self.ledger, path: self.path, taken };
        let image = finder.optional(declared.image.as_deref(), IMAGE)?;
        let rows = Some(ImageRows { image });
        Ok(FoundImages { before: cells.clone(), after: cells, structs: [None, None], rows })
    }

    /// One side's cells: fields of a struct, or columns that a pattern with one `*` names.
    fn side(
        &self,
        declared: Option<&str>,
        usual: &[&str],
        table: &TableSchema,
    ) -> Result<(Vec<Option<Cell>>, Option<usize>)> {
        if let Some((prefix, suffix)) = declared.and_then(|d| d.split_once('*')) {
            return Ok((self.pattern(prefix, suffix, table), None));
        }
        if let Some(column) = self.optional(declared, usual)?
            && let DataType::Struct(fields) = self.ledger.field(column).data_type()
        {
            let cell = |name: &str| {
                fields.iter().position(|f| f.name() == name).map(|field| Cell::Field(column, field))
            };
            return Ok((table.names().map(cell).collect(), Some(column)));
        }
        let found =
            usual.iter().flat_map(|word| [format!("{word}_"), format!("{word}.")]).find_map(|prefix| {
                let cells = self.pattern(&prefix, "", table);
                cells.iter().any(Option::is_some).then_some(cells)
            });
        Ok((found.unwrap_or_else(|| vec![None; table.len()]), None))
    }

    fn pattern(&self, prefix: &str, suffix: &str, table: &TableSchema) -> Vec<Option<Cell>> {
        table.names().map(|name| self.named(&format!("{prefix}{name}{suffix}")).map(Cell::Root)).collect()
    }
}
