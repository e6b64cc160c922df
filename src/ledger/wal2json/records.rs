//! The records of both versions, as slices of their text.

use std::borrow::Cow;

use super::super::json::{self, Name, Raw};
use crate::model::Op;

/// A record of either version, raw.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    pub(super) change: Raw<'a>,
    #[serde(borrow)]
    pub(super) action: Raw<'a>,
    #[serde(borrow)]
    pub(super) xid: Raw<'a>,
    #[serde(borrow)]
    pub(super) timestamp: Raw<'a>,
    #[serde(borrow)]
    pub(super) lsn: Raw<'a>,
    #[serde(borrow)]
    pub(super) nextlsn: Raw<'a>,
    #[serde(borrow)]
    schema: Raw<'a>,
    #[serde(borrow)]
    table: Raw<'a>,
    #[serde(borrow)]
    columns: Option<Vec<Column<'a>>>,
    #[serde(borrow)]
    identity: Option<Vec<Column<'a>>>,
}

/// Name, type and raw value (`None` is null) of every stated column.
pub(super) type RowImage<'a> = Vec<(Cow<'a, str>, Option<Cow<'a, str>>, Option<&'a str>)>;

/// The old row, or the part of it that identifies it.
#[derive(Debug)]
pub(super) struct Old<'a> {
    pub(super) cells: RowImage<'a>,
    /// Version 1 writes no nulls here.
    pub(super) leaves_out_nulls: bool,
}

/// One change of one row, or of a whole table.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) op: Op,
    pub(super) schema: Option<Cow<'a, str>>,
    pub(super) table: Option<Cow<'a, str>>,
    pub(super) new: Option<RowImage<'a>>,
    pub(super) old: Option<Old<'a>>,
}

/// A column of version 2.
#[derive(Debug, serde::Deserialize)]
struct Column<'a> {
    #[serde(borrow)]
    name: Name<'a>,
    #[serde(borrow, default, rename = "type")]
    kind: Raw<'a>,
    #[serde(borrow, default)]
    value: Raw<'a>,
}

/// A change of version 1.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Change1<'a> {
    #[serde(borrow)]
    kind: Raw<'a>,
    #[serde(borrow)]
    schema: Raw<'a>,
    #[serde(borrow)]
    table: Raw<'a>,
    #[serde(borrow)]
    columnnames: Option<Vec<Name<'a>>>,
    #[serde(borrow)]
    columntypes: Option<Vec<Name<'a>>>,
    #[serde(borrow)]
    columnvalues: Option<Vec<Raw<'a>>>,
    #[serde(borrow)]
    oldkeys: Option<OldKeys1<'a>>,
}

/// The old row of version 1.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct OldKeys1<'a> {
    #[serde(borrow)]
    keynames: Option<Vec<Name<'a>>>,
    #[serde(borrow)]
    keytypes: Option<Vec<Name<'a>>>,
    #[serde(borrow)]
    keyvalues: Option<Vec<Raw<'a>>>,
}

impl<'a> Change<'a> {
    /// A change of version 2.
    pub(super) fn of_version_2(record: Record<'a>) -> Result<Self, String> {
        let op = match json::scalar(record.action).as_deref() {
            Some("I") => Op::Insert,
            Some("U") => Op::Update,
            Some("D") => Op::Delete,
            Some("T") => Op::Truncate,
            other => {
                return Err(format!(
                    "expected an action of B, C, I, U, D, T or M, found {:?}",
                    other.unwrap_or("none")
                ));
            }
        };
        let cell = |c: Column<'a>| (c.name.0, json::scalar(c.kind), json::raw_text(c.value));
        let row = |columns: Vec<Column<'a>>| columns.into_iter().map(cell).collect();
        let old = record.identity.filter(|_| matches!(op, Op::Update | Op::Delete));
        Ok(Self {
            op,
            schema: json::scalar(record.schema),
            table: json::scalar(record.table),
            new: record.columns.filter(|_| matches!(op, Op::Insert | Op::Update)).map(row),
            old: old.map(|columns| Old { cells: row(columns), leaves_out_nulls: false }),
        })
    }

    /// A change of version 1; `None` for messages.
    pub(super) fn of_version_1(raw: &'a str) -> Result<Option<Self>, String> {
        let change: Change1<'a> = serde_json::from_str(raw).map_err(|e| format!("expected a change: {e}"))?;
        let op = match json::scalar(change.kind).as_deref() {
            Some("insert") => Op::Insert,
            Some("update") => Op::Update,
            Some("delete") => Op::Delete,
            Some("truncate") => Op::Truncate,
            Some("message") => return Ok(None),
            other => {
                let found = other.unwrap_or("none");
                return Err(format!(
                    "expected a kind of insert, update, delete, truncate or message, found {found:?}"
                ));
            }
        };
        let new = parallel(change.columnnames, change.columntypes, change.columnvalues)?;
        let old =
            change.oldkeys.map(|o| parallel(o.keynames, o.keytypes, o.keyvalues)).transpose()?.flatten();
        Ok(Some(Self {
            op,
            schema: json::scalar(change.schema),
            table: json::scalar(change.table),
            new: new.filter(|_| matches!(op, Op::Insert | Op::Update)),
            old: old
                .filter(|_| matches!(op, Op::Update | Op::Delete))
                .map(|cells| Old { cells, leaves_out_nulls: true }),
        }))
    }
}

/// Names, types and values side by side.
fn parallel<'a>(
    names: Option<Vec<Name<'a>>>,
    kinds: Option<Vec<Name<'a>>>,
    values: Option<Vec<Raw<'a>>>,
) -> Result<Option<RowImage<'a>>, String> {
    let (Some(names), Some(values)) = (names, values) else { return Ok(None) };
    if names.len() != values.len() {
        return Err(format!("expected a value for each of {} columns, found {}", names.len(), values.len()));
    }
    let kinds = kinds.into_iter().flatten().map(|k| Some(k.0)).chain(std::iter::repeat(None));
    let cells = names.into_iter().zip(kinds).zip(values);
    Ok(Some(cells.map(|((name, kind), value)| (name.0, kind, json::raw_text(value))).collect()))
}

/// Whether a JSON value can only come from wal2json.
pub(in super::super) fn is_wal2json(text: &str) -> bool {
    let Ok(record) = serde_json::from_str::<Record<'_>>(text) else { return false };
    if let Some(changes) = record.change {
        let mut foreign = false;
        let list = json::elements(changes.get(), |raw| foreign |= Change::of_version_1(raw).is_err());
        return list.is_ok() && !foreign;
    }
    match json::scalar(record.action).as_deref() {
        Some("B" | "C" | "M") => true,
        Some("I" | "U" | "D" | "T") => {
            record.table.is_some()
                && (record.columns.is_some() || record.identity.is_some() || record.lsn.is_some())
        }
        _ => false,
    }
}
