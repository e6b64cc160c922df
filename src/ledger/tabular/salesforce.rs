//! Salesforce field history: `AccountHistory`, `<Custom>__History`.
//!
//! A row `created` is the record's birth. A change of a lookup is told twice, with ids
//! and with names: ids go to the lookup's column (`OwnerId`), names to a column of
//! names (`Owner`, `Owner.Name`), if the table has one. Long texts, multi-select
//! picklists and encrypted fields have rows without values. Times are whole seconds,
//! and the order inside one is not kept.

use super::fields::{Cell, Columns, Entry, FieldOptions, Layout, Means, Part, System, Times, Value};
use super::raw::Raw;
use crate::error::Result;
use crate::plan::Ledger;

/// Whether a table with these columns is one.
pub(super) fn is_one(names: &[String]) -> bool {
    ["Field", "OldValue", "NewValue", "CreatedDate"]
        .iter()
        .all(|name| names.iter().any(|n| n.eq_ignore_ascii_case(name)))
}

/// Which of its columns mean what.
pub(super) fn layout(raw: &Raw, ledger: &Ledger) -> Result<Layout> {
    let declared = &ledger.columns;
    let own = ["id", "createdbyid"];
    let other = raw.names().iter().find(|n| {
        let name = n.to_ascii_lowercase();
        name.ends_with("id") && !own.contains(&name.as_str())
    });
    let usual: Vec<&str> = ["ParentId"].into_iter().chain(other.map(String::as_str)).collect();
    Ok(Layout {
        record: raw.require(declared.record.as_ref(), &usual, "the id of the changed record", "record")?,
        table: None,
        field: raw.require(None, &["Field"], "the column Field", "record")?,
        label: None,
        old: raw.require(declared.before.as_ref(), &["OldValue"], "old values", "before")?,
        new: raw.require(declared.after.as_ref(), &["NewValue"], "new values", "after")?,
        labels: None,
        time: Times::One(raw.require(
            declared.committed_at.as_ref(),
            &["CreatedDate"],
            "times",
            "committed_at",
        )?),
        actor: raw.find(declared.actor.as_ref(), &["CreatedById"])?,
        kind: raw.find(declared.op.as_ref(), &["DataType"])?,
        flag: None,
        change: None,
        transaction: None,
        identity: raw.column("Id").into_iter().collect(),
        number: None,
        options: FieldOptions::of(ledger, None),
        system: &Salesforce,
    })
}

#[derive(Debug)]
struct Salesforce;

/// Whether a value could be the id of a record.
fn is_id(value: Value<'_>) -> bool {
    match value {
        Value::Empty => true,
        Value::Text(t) => matches!(t.len(), 15 | 18) && t.bytes().all(|b| b.is_ascii_alphanumeric()),
        Value::Lost => false,
    }
}

impl System for Salesforce {
    fn means(&self, entry: &Entry<'_>) -> Means {
        if entry.field.eq_ignore_ascii_case("created") { Means::Created } else { Means::Change }
    }

    fn cells<'a>(&self, entry: &Entry<'a>, columns: &Columns<'_>, cells: &mut Vec<Cell<'a>>) {
        // A row without values says that the field changed, not what it was.
        let nothing = entry.old == Value::Empty && entry.new == Value::Empty;
        let (old, new) = if nothing { (Value::Lost, Value::Lost) } else { (entry.old, entry.new) };
        let field = entry.field;
        let ids = columns.find(field).filter(|_| entry.part != Part::Names);
        let reference = columns.named(&format!("{field}Id"));
        let names = || {
            let relation = field.strip_suffix("__c").map(|name| format!("{name}__r.Name"));
            let stem = field.strip_suffix("Id").unwrap_or(field);
            let usual = [format!("{stem}.Name"), format!("{stem}Name")];
            relation.iter().chain(&usual).find_map(|name| columns.named(name))
        };
        let column = match entry.part {
            Part::Names => names().or_else(|| reference.and(columns.find(field))),
            // `Owner` is the name of the one whose id is in `OwnerId`.
            Part::Ids => reference.or(ids),
            Part::Whole => ids.or(reference),
        };
        let Some(column) = column else { return };
        let is_reference = Some(column) == reference && Some(column) != ids;
        if is_reference && !nothing && !(is_id(old) && is_id(new)) {
            cells.push(Cell { column, old: Value::Lost, new: Value::Lost });
        } else {
            cells.push(Cell { column, old, new });
        }
    }

    fn is_of_ids(&self, entry: &Entry<'_>) -> Option<bool> {
        if entry.old == Value::Empty && entry.new == Value::Empty {
            return None;
        }
        Some(is_id(entry.old) && is_id(entry.new))
    }
}
