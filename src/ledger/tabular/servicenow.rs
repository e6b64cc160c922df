//! ServiceNow's `sys_audit`: one row per changed field, in UTC to the second; empty is null.
//!
//! `record_checkpoint` counts the saves of a record: it puts the fields of one save
//! together and orders the saves of one second. Journal fields (comments, work notes)
//! hold entries, not values of a column, and are recorded as changed without a value.

use super::fields::{Cell, Columns, Entry, FieldOptions, Layout, Means, System, Times, Value};
use super::raw::Raw;
use crate::error::Result;
use crate::plan::Ledger;

const JOURNALS: [&str; 3] = ["comments", "work_notes", "comments_and_work_notes"];

/// Whether a table with these columns is one.
pub(super) fn is_one(names: &[String]) -> bool {
    ["documentkey", "fieldname", "oldvalue", "newvalue"]
        .iter()
        .all(|name| names.iter().any(|n| n.eq_ignore_ascii_case(name)))
}

/// Which of its columns mean what.
pub(super) fn layout(raw: &Raw, ledger: &Ledger) -> Result<Layout> {
    let declared = &ledger.columns;
    let times = ["sys_created_on"];
    Ok(Layout {
        record: raw.require(declared.record.as_ref(), &["documentkey"], "document keys", "record")?,
        table: raw.find(declared.table.as_ref(), &["tablename"])?,
        field: raw.require(None, &["fieldname"], "the column fieldname", "record")?,
        label: None,
        old: raw.require(declared.before.as_ref(), &["oldvalue"], "old values", "before")?,
        new: raw.require(declared.after.as_ref(), &["newvalue"], "new values", "after")?,
        labels: None,
        time: Times::One(raw.require(declared.committed_at.as_ref(), &times, "times", "committed_at")?),
        actor: raw.find(declared.actor.as_ref(), &["user", "sys_created_by"])?,
        kind: None,
        flag: None,
        change: raw.find(declared.position.as_ref(), &["record_checkpoint"])?,
        transaction: None,
        identity: raw.column("sys_id").into_iter().collect(),
        number: None,
        options: FieldOptions::of(ledger, None),
        system: &ServiceNow,
    })
}

#[derive(Debug)]
struct ServiceNow;

impl System for ServiceNow {
    fn means(&self, entry: &Entry<'_>) -> Means {
        if entry.field.eq_ignore_ascii_case("deleted") { Means::Deleted } else { Means::Change }
    }

    fn cells<'a>(&self, entry: &Entry<'a>, columns: &Columns<'_>, cells: &mut Vec<Cell<'a>>) {
        let Some(column) = columns.find(entry.field) else { return };
        match JOURNALS.contains(&entry.field) {
            true => cells.push(Cell { column, old: Value::Lost, new: Value::Lost }),
            false => cells.push(Cell { column, old: entry.old, new: entry.new }),
        }
    }
}
