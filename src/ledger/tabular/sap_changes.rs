//! SAP change documents: `CDPOS`, joined with its headers `CDHDR` or with those in a file of its own (`times`).
//!
//! | `CHNGIND` | `FNAME` | what it is |
//! |---|---|---|
//! | `U` | a field | the field changed |
//! | `I`, `D` | `KEY` | the row came, went, without values |
//! | `J`, `E` | a field | the same, with the values it got or had |
//!
//! Changes are ordered by `CHANGENR`; times are local times of the system. `TABKEY` is
//! the key as one text of fixed widths: a key of several columns, or one behind the
//! client, needs `key_widths`. Values are texts of at most 254 characters, so one of
//! that length may be cut off; `TEXT_CASE` `X` is a long text, whose values are not kept.

use std::collections::HashMap;

use arrow::array::Array;
use arrow::datatypes::DataType;

use super::fields::{Cell, Columns, Entry, FieldOptions, Layout, Means, System, Times, Value, joined};
use super::raw::{Raw, texts};
use crate::error::Result;
use crate::plan::Ledger;
use crate::read::Spool;
use crate::read::cell::{CellBuilder, Misfit};

/// How long a value can be.
const LIMIT: usize = 254;

/// Whether a table with these columns is one.
pub(super) fn is_one(names: &[String]) -> bool {
    ["FNAME", "CHNGIND", "VALUE_OLD", "VALUE_NEW", "CHANGENR"]
        .iter()
        .all(|name| names.iter().any(|n| n.eq_ignore_ascii_case(name)))
}

/// Which of its columns mean what.
pub(super) fn layout(raw: &Raw, ledger: &Ledger, spool: &Spool) -> Result<Layout> {
    let declared = &ledger.columns;
    let number = raw.require(declared.position.as_ref(), &["CHANGENR"], "change numbers", "position")?;
    let time = match (&ledger.times, &declared.committed_at) {
        (Some(path), _) => Times::Joined(number, headers(path, ledger, spool)?),
        (None, Some(column)) => Times::One(raw.require(Some(column), &[], "times", "committed_at")?),
        (None, None) => Times::Two(
            raw.require(None, &["UDATE"], "dates (or the file of CDHDR as `times`)", "committed_at")?,
            raw.require(None, &["UTIME"], "times of day", "committed_at")?,
        ),
    };
    let identity = ["OBJECTCLAS", "OBJECTID", "CHANGENR", "TABNAME", "TABKEY", "FNAME", "CHNGIND"];
    Ok(Layout {
        record: raw.require(declared.record.as_ref(), &["TABKEY"], "the row's key", "record")?,
        table: raw.find(declared.table.as_ref(), &["TABNAME"])?,
        field: raw.require(None, &["FNAME"], "the column FNAME", "record")?,
        label: None,
        old: raw.require(declared.before.as_ref(), &["VALUE_OLD"], "old values", "before")?,
        new: raw.require(declared.after.as_ref(), &["VALUE_NEW"], "new values", "after")?,
        labels: None,
        time,
        actor: raw.find(declared.actor.as_ref(), &["USERNAME"])?,
        kind: raw.find(declared.op.as_ref(), &["CHNGIND"])?,
        flag: raw.find(None, &["TEXT_CASE"])?,
        change: Some(number),
        transaction: Some(number),
        identity: identity.iter().filter_map(|name| raw.column(name)).collect(),
        number: None,
        options: FieldOptions::of(ledger, Some(LIMIT)),
        system: &Sap,
    })
}

/// `CDHDR`: time and user of each change number.
fn headers(
    path: &std::path::Path,
    ledger: &Ledger,
    spool: &Spool,
) -> Result<HashMap<String, (String, Option<String>)>> {
    let raw = Raw::of_files(&[path.to_owned()], &ledger.table, spool)?;
    let number = raw.require(None, &["CHANGENR"], "the column CHANGENR", "position")?;
    let date = raw.require(None, &["UDATE"], "the column UDATE", "committed_at")?;
    let time = raw.require(None, &["UTIME"], "the column UTIME", "committed_at")?;
    let user = raw.find(None, &["USERNAME"])?;
    let mut found = HashMap::new();
    for segment in 0..raw.segments() {
        let read = |column: usize| {
            Ok::<_, crate::error::Error>(texts(raw.read(segment, &[column], None)?.column(0)))
        };
        let (numbers, dates, times) = (read(number)?, read(date)?, read(time)?);
        let users = user.map(read).transpose()?;
        let whole = |&row: &usize| numbers.is_valid(row) && dates.is_valid(row) && times.is_valid(row);
        for row in (0..numbers.len()).filter(whole) {
            let user = users.as_ref().filter(|u| u.is_valid(row)).map(|u| u.value(row).to_owned());
            let when = joined(dates.value(row), times.value(row));
            found.insert(numbers.value(row).trim().to_owned(), (when, user));
        }
    }
    Ok(found)
}

#[derive(Debug)]
struct Sap;

impl System for Sap {
    fn is_numbered(&self) -> bool {
        true
    }

    fn means(&self, entry: &Entry<'_>) -> Means {
        match (entry.kind, entry.field.eq_ignore_ascii_case("key")) {
            (Some("I"), true) | (Some("J"), _) => Means::Created,
            (Some("D"), true) | (Some("E"), _) => Means::Deleted,
            (Some("U"), false) => Means::Change,
            _ => Means::Unknown,
        }
    }

    fn cells<'a>(&self, entry: &Entry<'a>, columns: &Columns<'_>, cells: &mut Vec<Cell<'a>>) {
        let Some(column) = columns.find(entry.field).filter(|_| !entry.field.eq_ignore_ascii_case("key"))
        else {
            return;
        };
        let nothing = entry.old == Value::Empty && entry.new == Value::Empty;
        match entry.flag == Some("X") || nothing {
            true => cells.push(Cell { column, old: Value::Lost, new: Value::Lost }),
            false => cells.push(Cell { column, old: entry.old, new: entry.new }),
        }
    }

    fn write(&self, cells: &mut CellBuilder, data_type: &DataType, text: &str) -> Result<(), Misfit> {
        if matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
            // Fields of fixed width are filled up with blanks.
            return cells.push_text(text.trim_end());
        }
        let text = text.trim();
        let digits = text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit());
        if matches!(data_type, DataType::Date32 | DataType::Date64) && digits {
            if text == "00000000" {
                cells.push_null();
                return Ok(());
            }
            return cells.push_text(&format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]));
        }
        match text.strip_suffix('-').filter(|number| !number.is_empty() && !number.starts_with('-')) {
            Some(number) => cells.push_text(&format!("-{}", number.trim())),
            None => cells.push_text(text),
        }
    }

    /// No value is a field's initial one, which in numbers is a zero of whatever scale: not recorded.
    fn empty_is_null(&self, data_type: &DataType) -> bool {
        !data_type.is_numeric()
    }
}
