//! [`Mapping`]: which column of a mapped ledger means what.
//!
//! A mapped ledger is any table, or any JSON objects, with columns for the op,
//! the time, the order and the images. Images come in three shapes:
//!
//! ```text
//!  structs      seq op  before        after          one column per image: a struct, JSON or JSON text
//!  patterns     seq op  old_id old_x  new_id new_x   one column per cell, named by a pattern
//!  rows         seq op  image id x                   one row per image; `image` or the op says which
//! ```
//!
//! What the plan does not name is found by name, never by content. In the shapes
//! where the table's own columns stand beside the others, a column of the
//! table is never taken for anything else.

use crate::model::Op;
use crate::nearest;
use crate::plan::LedgerColumns;

/// What the plan says about a mapped ledger's columns; all else is found by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MappingHints {
    /// The columns that it names.
    pub columns: LedgerColumns,
    /// Words of the op column beside the usual ones.
    pub ops: Vec<(String, Op)>,
}

/// Which column of a mapped ledger means what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The source's own order mark of a change.
    pub position: Option<String>,
    /// The position of the commit.
    pub commit_position: Option<String>,
    /// What the change did. `None`: the images that are there say it.
    pub op: Option<String>,
    /// The transaction.
    pub transaction: Option<String>,
    /// When it was committed.
    pub committed_at: Option<String>,
    /// Who did it.
    pub actor: Option<String>,
    /// The table.
    pub table: Option<String>,
    /// Where the images are.
    pub images: ImageColumns,
    /// Words of the op column beside the usual ones.
    pub ops: Vec<(String, Op)>,
}

/// Where the images of a mapped ledger are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageColumns {
    /// Both images of a change in one row.
    Sides {
        /// The before image.
        before: Option<ImageSide>,
        /// The after image.
        after: Option<ImageSide>,
    },
    /// One row per image.
    Rows {
        /// The column that says which image it is. `None`: the op does.
        image: Option<String>,
        /// Its cells.
        cells: ImageSide,
    },
}

/// Where the cells of an image are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSide {
    /// In a column of structs, JSON objects or JSON texts.
    Struct(String),
    /// In columns named after the table's, with something before and after the name. Both empty: the same names.
    Pattern {
        /// What stands before the name.
        prefix: String,
        /// What stands after it.
        suffix: String,
    },
}

impl ImageSide {
    /// A column's name, or a pattern with one `*`.
    pub fn parse(text: &str) -> Self {
        match text.split_once('*') {
            Some((prefix, suffix)) => Self::Pattern { prefix: prefix.to_owned(), suffix: suffix.to_owned() },
            None => Self::Struct(text.to_owned()),
        }
    }

    /// The name of the ledger's column that holds this column of the table, if cells have columns of their own.
    pub fn column_for(&self, table_column: &str) -> Option<String> {
        match self {
            Self::Struct(_) => None,
            Self::Pattern { prefix, suffix } => Some(format!("{prefix}{table_column}{suffix}")),
        }
    }

    /// The table's column that a column of the ledger holds.
    pub(super) fn table_column<'a>(&self, name: &'a str) -> Option<&'a str> {
        match self {
            Self::Struct(_) => None,
            Self::Pattern { prefix, suffix } => {
                name.strip_prefix(prefix.as_str())?.strip_suffix(suffix.as_str()).filter(|n| !n.is_empty())
            }
        }
    }
}

/// What a word in an op column says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpWord {
    /// The op.
    pub op: Op,
    /// Which image the row holds, if the word says so: `Some(true)` is the before image.
    pub before: Option<bool>,
}

/// Columns by what they mean, most telling name first. Compared without case and leading underscores.
const POSITIONS: &[&str] = &[
    "position",
    "seq",
    "sequence",
    "seq_no",
    "sequence_number",
    "lsn",
    "scn",
    "pos",
    "change_seq",
    "change_id",
    "event_seq",
    "event_id",
    "log_id",
    "audit_id",
    "$seqval",
    "offset",
];
const COMMIT_POSITIONS: &[&str] =
    &["commit_position", "commit_lsn", "commit_scn", "commit_seq", "commit_version", "$start_lsn"];
const OPS: &[&str] = &[
    "op",
    "operation",
    "change_type",
    "action",
    "op_type",
    "operation_type",
    "change_op",
    "dml",
    "dml_type",
    "$operation",
    "tg_op",
    "event_type",
    "kind",
    "type",
];
const TRANSACTIONS: &[&str] =
    &["transaction", "transaction_id", "txid", "tx_id", "txn", "txn_id", "xid", "commit_id", "tx"];
const TIMES: &[&str] = &[
    "committed_at",
    "commit_time",
    "commit_timestamp",
    "commit_ts",
    "commit_at",
    "changed_at",
    "change_time",
    "changed_on",
    "change_timestamp",
    "timestamp",
    "ts",
    "event_time",
    "occurred_at",
    "action_tstamp_tx",
    "time",
    "at",
    "ts_ms",
];
const ACTORS: &[&str] = &[
    "actor",
    "changed_by",
    "user",
    "username",
    "user_name",
    "user_id",
    "modified_by",
    "performed_by",
    "session_user_name",
    "db_user",
    "app_user",
    "who",
];
const TABLES: &[&str] = &["table", "table_name", "relation", "relname", "entity"];
const IMAGES: &[&str] = &["image", "image_type", "row_image", "before_or_after", "version"];
const STRUCTS: &[(&str, &str)] = &[
    ("before", "after"),
    ("old", "new"),
    ("old_values", "new_values"),
    ("old_data", "new_data"),
    ("old_row", "new_row"),
    ("before_image", "after_image"),
    ("row_before", "row_after"),
    ("old_record", "record"),
    ("old_record", "new_record"),
    ("previous", "current"),
    ("pre", "post"),
];
const PATTERNS: &[(&str, &str)] = &[
    ("old_*", "new_*"),
    ("before_*", "after_*"),
    ("prev_*", "curr_*"),
    ("pre_*", "post_*"),
    ("old.*", "new.*"),
    ("before.*", "after.*"),
    ("*_old", "*_new"),
    ("*_before", "*_after"),
    ("previous_*", "current_*"),
    ("previous_*", "new_*"),
    ("OLD_*", "NEW_*"),
    ("BEFORE_*", "AFTER_*"),
];

impl Mapping {
    /// Finds what the columns of a ledger mean.
    ///
    /// `columns` are the ledger's columns, `table` those of the table.
    ///
    /// # Errors
    /// In words, what is not there or cannot be found, and what to declare.
    ///
    /// ```
    /// use asof::ledger::{ImageColumns, ImageSide, Mapping, MappingHints};
    ///
    /// let columns = ["seq", "op", "committed_at", "old_id", "old_qty", "new_id", "new_qty"];
    /// let mapping = Mapping::resolve(&MappingHints::default(), &columns, &["id", "qty"]).unwrap();
    /// assert_eq!(mapping.position.as_deref(), Some("seq"));
    /// assert_eq!(
    ///     mapping.images,
    ///     ImageColumns::Sides {
    ///         before: Some(ImageSide::parse("old_*")),
    ///         after: Some(ImageSide::parse("new_*")),
    ///     }
    /// );
    /// ```
    pub fn resolve(hints: &MappingHints, columns: &[&str], table: &[&str]) -> Result<Self, String> {
        let images = images(hints, columns, table)?;
        let taken = |name: &str| match &images {
            ImageColumns::Sides { before, after } => {
                [before, after].into_iter().flatten().any(|side| holds(side, name, table))
            }
            ImageColumns::Rows { cells, image } => {
                holds(cells, name, table) || image.as_deref() == Some(name)
            }
        };
        let find = |hint: &Option<String>, candidates: &[&str]| match hint {
            Some(name) => declared(name, columns).map(Some),
            None => Ok(by_name(candidates, columns, &taken)),
        };
        Ok(Self {
            position: find(&hints.columns.position, POSITIONS)?,
            commit_position: find(&hints.columns.commit_position, COMMIT_POSITIONS)?,
            op: find(&hints.columns.op, OPS)?,
            transaction: find(&hints.columns.transaction, TRANSACTIONS)?,
            committed_at: find(&hints.columns.committed_at, TIMES)?,
            actor: find(&hints.columns.actor, ACTORS)?,
            table: find(&hints.columns.table, TABLES)?,
            images,
            ops: hints.ops.clone(),
        })
    }

    /// What a word in the op column says, without regard to case.
    ///
    /// ```
    /// use asof::ledger::{Mapping, MappingHints};
    /// use asof::model::Op;
    ///
    /// let mapping = Mapping::resolve(&MappingHints::default(), &["op", "before", "after"], &["id"]).unwrap();
    /// assert_eq!(mapping.op_word("D").map(|w| w.op), Some(Op::Delete));
    /// assert_eq!(mapping.op_word("update_preimage").and_then(|w| w.before), Some(true));
    /// assert_eq!(mapping.op_word("?"), None);
    /// ```
    pub fn op_word(&self, word: &str) -> Option<OpWord> {
        let word = word.trim();
        let declared = self.ops.iter().find(|(w, _)| w.eq_ignore_ascii_case(word));
        if let Some((_, op)) = declared {
            return Some(OpWord { op: *op, before: None });
        }
        let sql_server = self.op.as_deref().is_some_and(|c| c.ends_with("$operation"));
        usual_word(&word.to_ascii_lowercase(), sql_server)
    }
}

/// The op that a usual word for one names, in any case.
pub(crate) fn usual_op(word: &str) -> Option<Op> {
    usual_word(&word.trim().to_ascii_lowercase(), false).filter(|w| w.before.is_none()).map(|w| w.op)
}

/// Whether these columns hold whole images, each in one column.
pub(super) fn has_image_columns(
    hints: &MappingHints,
    columns: &[&str],
) -> Option<(Option<String>, Option<String>)> {
    let whole = |hint: &Option<String>| hint.clone().filter(|h| !h.contains('*'));
    if hints.columns.image.is_some() {
        return None;
    }
    if hints.columns.before.is_some() || hints.columns.after.is_some() {
        let sides = (whole(&hints.columns.before), whole(&hints.columns.after));
        return (sides.0.is_some() || sides.1.is_some()).then_some(sides);
    }
    STRUCTS.iter().find_map(|(before, after)| {
        let [before, after] = [before, after].map(|name| by_name(&[name], columns, &|_| false));
        (before.is_some() && after.is_some()).then_some((before, after))
    })
}

/// What a word in lower case says in any op column.
pub(super) fn usual_word(word: &str, sql_server: bool) -> Option<OpWord> {
    let plain = |op| Some(OpWord { op, before: None });
    let half = |before| Some(OpWord { op: Op::Update, before: Some(before) });
    match word {
        "1" if sql_server => plain(Op::Delete),
        "2" if sql_server => plain(Op::Insert),
        "3" if sql_server => half(true),
        "4" if sql_server => half(false),
        "i" | "ins" | "insert" | "inserted" | "c" | "create" | "created" | "add" | "added" | "+i" => {
            plain(Op::Insert)
        }
        "u" | "upd" | "update" | "updated" | "modify" | "modified" | "change" | "changed" => {
            plain(Op::Update)
        }
        "d" | "del" | "delete" | "deleted" | "remove" | "removed" | "-d" => plain(Op::Delete),
        "upsert" | "merge" | "replace" => plain(Op::Upsert),
        "t" | "trunc" | "truncate" | "truncated" => plain(Op::Truncate),
        "r" | "read" | "snapshot" | "load" | "initial" => plain(Op::Read),
        "update_preimage" | "update_before" | "-u" | "ub" => half(true),
        "update_postimage" | "update_after" | "+u" | "ua" => half(false),
        _ => None,
    }
}

/// Whether a word in an image column means the before image; `None` if it means neither.
///
/// ```
/// assert_eq!(asof::ledger::image_word("Before"), Some(true));
/// assert_eq!(asof::ledger::image_word("7"), None);
/// ```
pub fn image_word(word: &str) -> Option<bool> {
    match word.trim().to_ascii_lowercase().as_str() {
        "before" | "b" | "old" | "o" | "pre" | "preimage" | "before_image" | "-" | "deleted" => Some(true),
        "after" | "a" | "new" | "n" | "post" | "postimage" | "after_image" | "+" | "inserted" => Some(false),
        _ => None,
    }
}

/// A column that the plan names.
fn declared(name: &str, columns: &[&str]) -> Result<String, String> {
    let exact = columns.iter().find(|c| **c == name);
    let found = exact.or_else(|| columns.iter().find(|c| c.eq_ignore_ascii_case(name)));
    found.map(|c| (*c).to_owned()).ok_or_else(|| {
        let near = nearest(name, columns.iter().copied())
            .map_or_else(String::new, |n| format!(" (did you mean {n:?}?)"));
        format!("no column {name:?} in the ledger{near}")
    })
}

fn by_name(candidates: &[&str], columns: &[&str], taken: &impl Fn(&str) -> bool) -> Option<String> {
    let bare = |name: &str| name.trim_start_matches('_').to_ascii_lowercase();
    let found = |candidate: &&str| columns.iter().find(|c| bare(c) == **candidate && !taken(c));
    candidates.iter().find_map(found).map(|c| (*c).to_owned())
}

/// Whether a column of the ledger holds cells of an image.
fn holds(side: &ImageSide, name: &str, table: &[&str]) -> bool {
    match side {
        ImageSide::Struct(column) => column == name,
        ImageSide::Pattern { .. } => side.table_column(name).is_some_and(|n| table.contains(&n)),
    }
}

fn images(hints: &MappingHints, columns: &[&str], table: &[&str]) -> Result<ImageColumns, String> {
    let nothing = |_: &str| false;
    if let Some(image) = &hints.columns.image {
        let cells = hints.columns.after.as_deref().map_or_else(|| ImageSide::parse("*"), ImageSide::parse);
        return Ok(ImageColumns::Rows { image: Some(declared(image, columns)?), cells });
    }
    if hints.columns.before.is_some() || hints.columns.after.is_some() {
        let side = |hint: &Option<String>| match hint {
            Some(text) => checked(ImageSide::parse(text), columns, table).map(Some),
            None => Ok(None),
        };
        return Ok(ImageColumns::Sides {
            before: side(&hints.columns.before)?,
            after: side(&hints.columns.after)?,
        });
    }
    for (before, after) in STRUCTS {
        let sides = [before, after].map(|name| by_name(&[name], columns, &nothing).map(ImageSide::Struct));
        let [before, after] = sides;
        // One of the two alone can be any word; `after` alone is an after-only ledger.
        if after.is_some() && (before.is_some() || columns.contains(&"after")) {
            return Ok(ImageColumns::Sides { before, after });
        }
    }
    for (before, after) in PATTERNS {
        let (before, after) = (ImageSide::parse(before), ImageSide::parse(after));
        let count = |side: &ImageSide| columns.iter().filter(|c| holds(side, c, table)).count();
        if count(&before) * 2 >= table.len() && count(&after) * 2 >= table.len() && !table.is_empty() {
            return Ok(ImageColumns::Sides { before: Some(before), after: Some(after) });
        }
    }
    let plain = ImageSide::parse("*");
    let found = columns.iter().filter(|c| holds(&plain, c, table)).count();
    if found * 2 >= table.len() && found > 0 {
        let image = by_name(IMAGES, columns, &|name| table.contains(&name));
        return Ok(ImageColumns::Rows { image, cells: plain });
    }
    Err(format!(
        "no before and after images found among the columns {}; declare them, for instance \
         columns = {{ before = \"old_*\", after = \"new_*\" }}",
        columns.join(", ")
    ))
}

fn checked(side: ImageSide, columns: &[&str], table: &[&str]) -> Result<ImageSide, String> {
    match &side {
        ImageSide::Struct(name) => Ok(ImageSide::Struct(declared(name, columns)?)),
        ImageSide::Pattern { prefix, suffix } => match columns.iter().any(|c| holds(&side, c, table)) {
            true => Ok(side),
            false => Err(format!(
                "no column of the ledger is a column of the table in the pattern \"{prefix}*{suffix}\""
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(columns: &[&str], table: &[&str]) -> Mapping {
        Mapping::resolve(&MappingHints::default(), columns, table).unwrap()
    }

    #[test]
    fn structs_with_the_usual_names() {
        let mapping = resolve(&["seq", "txid", "committed_at", "op", "before", "after"], &["id", "op"]);
        assert_eq!(mapping.position.as_deref(), Some("seq"));
        assert_eq!(mapping.transaction.as_deref(), Some("txid"));
        assert_eq!(mapping.committed_at.as_deref(), Some("committed_at"));
        assert_eq!(mapping.op.as_deref(), Some("op"));
        let side = |n: &str| Some(ImageSide::Struct(n.to_owned()));
        assert_eq!(mapping.images, ImageColumns::Sides { before: side("before"), after: side("after") });
    }

    #[test]
    fn a_column_of_the_table_is_never_taken_for_something_else() {
        let mapping = resolve(&["id", "op", "ts", "user", "action", "seq"], &["id", "op", "user"]);
        assert_eq!(mapping.op.as_deref(), Some("action"));
        assert_eq!(mapping.actor, None);
        assert_eq!(mapping.images, ImageColumns::Rows { image: None, cells: ImageSide::parse("*") });
    }

    #[test]
    fn declared_names_win_and_wrong_ones_are_refused() {
        let hints = MappingHints {
            columns: LedgerColumns { position: Some("lsn".into()), ..LedgerColumns::default() },
            ..MappingHints::default()
        };
        let columns = ["seq", "lsn", "op", "old", "new"];
        assert_eq!(Mapping::resolve(&hints, &columns, &["id"]).unwrap().position.as_deref(), Some("lsn"));
        let hints = MappingHints {
            columns: LedgerColumns { position: Some("sq".into()), ..LedgerColumns::default() },
            ..MappingHints::default()
        };
        assert!(Mapping::resolve(&hints, &columns, &["id"]).unwrap_err().contains("did you mean \"seq\""));
        let hints = MappingHints {
            columns: LedgerColumns { before: Some("was_*".into()), ..LedgerColumns::default() },
            ..MappingHints::default()
        };
        assert!(Mapping::resolve(&hints, &columns, &["id"]).is_err());
    }

    #[test]
    fn delta_change_data_is_one_row_per_image() {
        let mapping =
            resolve(&["id", "x", "_change_type", "_commit_version", "_commit_timestamp"], &["id", "x"]);
        assert_eq!(mapping.op.as_deref(), Some("_change_type"));
        assert_eq!(mapping.commit_position.as_deref(), Some("_commit_version"));
        assert_eq!(mapping.committed_at.as_deref(), Some("_commit_timestamp"));
        assert_eq!(mapping.position, None);
    }

    #[test]
    fn numbers_are_ops_only_in_change_tables() {
        let columns = ["__$start_lsn", "__$seqval", "__$operation", "id", "x"];
        let mapping = resolve(&columns, &["id", "x"]);
        assert_eq!(mapping.op_word("3").and_then(|w| w.before), Some(true));
        assert_eq!(resolve(&["op", "before", "after"], &["id"]).op_word("3"), None);
    }
}
