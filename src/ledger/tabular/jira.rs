//! Jira's changelog: issues with their histories as JSON, or its items as a table.
//!
//! ```text
//!  {"key": "TT-1", "fields": {"created": …}, "changelog": {"histories": [{"id", "created", "author", "items": […]}]}}
//!       ─► one row per item:  TT-1  347806  2024-03-31T22:15:04.123+0000  status  1/Open → 3/In Progress
//! ```
//!
//! One history is one change of its issue, ordered by time and id; an issue's birth is
//! its field `created`. An item states ids (`from`, `to`) and what people see
//! (`fromString`, `toString`): columns of text take what people see, others take the ids,
//! and a column `status_id` beside `status` takes the ids. Items of fields with several
//! elements add or remove one, so the whole value is not recorded.
//!
//! An issue is listed under the key that it has now; before it was moved it had another
//! one, which its item `Key` says.

use serde_json::Value as Json;

use arrow::datatypes::DataType;

use super::fields::{Cell, Columns, Entry, FieldOptions, Layout, Means, System, Times, Value};
use super::raw::Raw;
use crate::error::Result;
use crate::ledger::TableTarget;
use crate::ledger::open::input_files;
use crate::plan::Ledger;
use crate::read::{InputFile, JsonChunks, Spool, TextRows};

/// The columns of rows that are taken out of nested records.
const TAKEN: [&str; 13] = [
    "number",
    "key",
    "id",
    "history_id",
    "created",
    "author",
    "fieldId",
    "field",
    "from",
    "fromString",
    "to",
    "toString",
    "kind",
];
/// Fields whose items add or remove one element.
const ELEMENTS: [&str; 12] = [
    "fixVersions",
    "Fix Version",
    "versions",
    "Version",
    "components",
    "Component",
    "issuelinks",
    "Link",
    "attachment",
    "Attachment",
    "comment",
    "Comment",
];

/// Whether a table with these columns is one, or a record with these members.
pub(super) fn is_one(names: &[String]) -> bool {
    let has = |name: &str| names.iter().any(|n| n.eq_ignore_ascii_case(name));
    let flat = has("field") && (has("fromString") && has("toString") || has("oldstring") && has("newstring"));
    flat || is_nested(names)
}

fn is_nested(names: &[String]) -> bool {
    let has = |name: &str| names.iter().any(|n| n == name);
    has("changelog") && (has("key") || has("id"))
        || has("issueChangeLogs")
        || has("issues") && ["startAt", "isLast", "nextPageToken", "maxResults"].into_iter().any(has)
        || has("values") && has("self") && has("startAt")
}

/// The rows of a ledger: of tables, or taken out of nested records.
pub(super) fn raw(ledger: &Ledger, spool: &Spool) -> Result<Raw> {
    let files = input_files(&ledger.paths, spool)?;
    let nested = match files.first() {
        Some(first) => {
            let columns = crate::read::columns_of(first, &ledger.table)?;
            is_nested(&columns.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>())
        }
        None => false,
    };
    if !nested {
        return Raw::open(ledger, spool);
    }
    let path = files[0].path.clone();
    let table = TextRows::table(&TAKEN, files, spool, take)?;
    Ok(Raw::of_table(table, &path))
}

/// Which of its columns mean what.
pub(super) fn layout(raw: &Raw, ledger: &Ledger, targets: &[TableTarget]) -> Result<Layout> {
    let declared = &ledger.columns;
    let keys = ["key", "issue_key", "issuekey"];
    let ids = ["id", "issue_id", "issueid"];
    let by_id = targets.first().is_some_and(|target| {
        let key = target.schema.key().first();
        key.is_some_and(|&k| {
            let name = target.schema.name(k);
            target.schema.data_type(k).is_numeric() || ids.iter().any(|id| name.eq_ignore_ascii_case(id))
        })
    });
    let taken = raw.names() == TAKEN;
    // `id` of a table of items is that of the item.
    let ids = if taken { &ids[..1] } else { &ids[1..] };
    let usual: Vec<&str> = if by_id { [ids, &keys].concat() } else { [&keys[..], ids].concat() };
    let by_field_id = raw.column("fieldId").or_else(|| raw.column("field_id"));
    let label = raw.column("field");
    let (from, to) = (["from", "oldvalue"], ["to", "newvalue"]);
    let seen = raw.find(None, &["fromString", "oldstring"])?.zip(raw.find(None, &["toString", "newstring"])?);
    let history = raw.find(declared.position.as_ref(), &["history_id", "groupid", "id"])?;
    let value = |declared: Option<&String>, usual: &[&str], seen: Option<usize>, key| match raw
        .find(declared, usual)?
        .or(seen)
    {
        Some(column) => Ok(column),
        None => Err(raw.missing("the values of a change", key)),
    };
    let times = ["created", "history_created", "changed_at"];
    let mut identity: Vec<usize> = if taken { (1..TAKEN.len()).collect() } else { Vec::new() };
    identity.retain(|&column| !matches!(TAKEN[column], "number" | "created" | "author"));
    Ok(Layout {
        record: raw.require(declared.record.as_ref(), &usual, "the key of an issue", "record")?,
        table: None,
        field: by_field_id.or(label).ok_or_else(|| raw.missing("the field of a change", "record"))?,
        label,
        old: value(declared.before.as_ref(), &from, seen.map(|s| s.0), "before")?,
        new: value(declared.after.as_ref(), &to, seen.map(|s| s.1), "after")?,
        labels: seen.filter(|_| declared.before.is_none() && declared.after.is_none()),
        time: Times::One(raw.require(declared.committed_at.as_ref(), &times, "times", "committed_at")?),
        actor: raw.find(declared.actor.as_ref(), &["author", "author_account_id", "author_name"])?,
        kind: raw.column("kind").filter(|_| taken),
        flag: None,
        change: history,
        transaction: None,
        identity,
        number: taken.then_some(0),
        options: FieldOptions::of(ledger, None),
        system: &Jira,
    })
}

#[derive(Debug)]
struct Jira;

impl System for Jira {
    fn means(&self, entry: &Entry<'_>) -> Means {
        if entry.kind == Some("created") { Means::Created } else { Means::Change }
    }

    fn cells<'a>(&self, entry: &Entry<'a>, columns: &Columns<'_>, cells: &mut Vec<Cell<'a>>) {
        let names: Vec<&str> = [Some(entry.field), entry.label].into_iter().flatten().collect();
        if entry.field.is_empty() {
            return;
        }
        let before = cells.len();
        let whole = !names.iter().any(|name| ELEMENTS.contains(name));
        let (ids, seen) = ((entry.old, entry.new), entry.labels);
        let none = (Value::Empty, Value::Empty);
        let moved = || ["issue_key", "issuekey"].iter().find_map(|name| columns.named(name));
        let found = names.iter().find_map(|name| columns.find(name));
        if let Some(column) = found.or_else(|| if names.contains(&"Key") { moved() } else { None }) {
            let data_type = columns.schema.data_type(column);
            let is_text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
            let (first, other) = if is_text { (seen, ids) } else { (ids, seen) };
            let (old, new) = if first == none { other } else { first };
            cells.push(Cell { column, old, new });
        }
        let suffixes = ["_id", "Id", ".id", "_account_id", ".accountId"];
        let of_ids = names
            .iter()
            .find_map(|name| suffixes.iter().find_map(|suffix| columns.named(&format!("{name}{suffix}"))));
        if let Some(column) = of_ids {
            // A value that people see and that has no id here has one that is not recorded.
            let id = |id: Value<'a>, seen: Value<'a>| match (id, seen) {
                (Value::Empty, Value::Text(_)) => Value::Lost,
                (id, _) => id,
            };
            cells.push(Cell { column, old: id(ids.0, seen.0), new: id(ids.1, seen.1) });
        }
        if !whole {
            cells[before..].iter_mut().for_each(|cell| (cell.old, cell.new) = (Value::Lost, Value::Lost));
        }
    }
}

/// Takes the items out of one file.
fn take(file: &InputFile, rows: &mut TextRows) -> Result<()> {
    for chunk in JsonChunks::open(file)? {
        let chunk = chunk?;
        for record in &chunk.records {
            match serde_json::from_slice::<Json>(chunk.bytes(record)) {
                Ok(value) if issues(&value, &mut |issue| push(file, rows, record.number, issue))? => {}
                Ok(_) => {
                    rows.set_aside(file, record.number, "expected an issue with its changelog, found none")
                }
                Err(error) => rows.set_aside(file, record.number, &format!("expected JSON: {error}")),
            }
        }
    }
    Ok(())
}

/// One issue.
struct Issue<'a> {
    key: Option<&'a str>,
    id: Option<&'a str>,
    fields: Option<&'a Json>,
    histories: Vec<&'a Json>,
}

/// Calls back for every issue of a record; whether it is a record of issues.
fn issues<'a>(record: &'a Json, each: &mut dyn FnMut(Issue<'a>) -> Result<()>) -> Result<bool> {
    let text = |of: &'a Json, name: &str| of.get(name).and_then(Json::as_str);
    let list = |of: Option<&'a Json>| of.and_then(Json::as_array).map(|l| l.iter().collect::<Vec<_>>());
    if let Some(all) = list(record.get("issues")) {
        let mut whole = true;
        for issue in all {
            whole &= issues(issue, each)?;
        }
        return Ok(whole);
    }
    if let Some(all) = list(record.get("issueChangeLogs")) {
        let mut whole = true;
        for log in all {
            match list(log.get("changeHistories")) {
                Some(histories) => {
                    each(Issue { key: None, id: text(log, "issueId"), fields: None, histories })?;
                }
                None => whole = false,
            }
        }
        return Ok(whole);
    }
    if let Some(histories) = list(record.get("values")) {
        // A page of the changelog names its issue in its own address alone.
        let name = text(record, "self")
            .and_then(|url| url.split_once("/issue/"))
            .and_then(|(_, rest)| rest.split(['/', '?']).next())
            .filter(|name| !name.is_empty());
        let Some(name) = name else { return Ok(false) };
        let is_id = name.bytes().all(|b| b.is_ascii_digit());
        let (key, id) = if is_id { (None, Some(name)) } else { (Some(name), None) };
        each(Issue { key, id, fields: None, histories })?;
        return Ok(true);
    }
    let Some(log) = record.get("changelog") else { return Ok(false) };
    let Some(histories) = list(log.get("histories").or_else(|| log.get("values"))) else { return Ok(false) };
    each(Issue {
        key: text(record, "key"),
        id: text(record, "id"),
        fields: record.get("fields"),
        histories,
    })?;
    Ok(true)
}

/// A scalar as text.
fn scalar(value: Option<&Json>) -> Option<String> {
    match value? {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn person(value: Option<&Json>) -> Option<String> {
    ["accountId", "name", "key", "displayName"].iter().find_map(|name| scalar(value?.get(name)))
}

/// The rows of one issue.
fn push(file: &InputFile, rows: &mut TextRows, record: u64, issue: Issue<'_>) -> Result<()> {
    let number = record.to_string();
    let mut histories = issue.histories;
    // From the last one on, so that each is under the key that the issue had then.
    let order = |history: &&Json| {
        let created = scalar(history.get("created")).unwrap_or_default();
        let instant = crate::model::time::parse_instant(&created, Some(chrono_tz::Tz::UTC)).ok();
        let id = scalar(history.get("id")).and_then(|id| id.parse::<u64>().ok());
        std::cmp::Reverse((instant, id))
    };
    histories.sort_by_key(order);
    let mut key = issue.key.map(str::to_owned);
    for history in histories {
        let [id, created] = ["id", "created"].map(|name| scalar(history.get(name)));
        let author = person(history.get("author"));
        let Some(items) = history.get("items").and_then(Json::as_array) else {
            rows.set_aside(file, record, "expected the items of a change in a changelog, found none");
            continue;
        };
        let moved = items.iter().find(|item| item.get("field").and_then(Json::as_str) == Some("Key"));
        if let Some(before) = moved.and_then(|item| scalar(item.get("fromString"))).filter(|_| key.is_some())
        {
            key = Some(before);
        }
        for item in items {
            let of = |name: &str| scalar(item.get(name));
            let cells = [
                Some(number.clone()),
                key.clone(),
                issue.id.map(str::to_owned),
                id.clone(),
                created.clone(),
                author.clone(),
                of("fieldId"),
                of("field"),
                of("from"),
                of("fromString"),
                of("to"),
                of("toString"),
                None,
            ];
            rows.push(file, &cells.each_ref().map(Option::as_deref))?;
        }
    }
    let Some(fields) = issue.fields else { return Ok(()) };
    let Some(created) = scalar(fields.get("created")) else { return Ok(()) };
    let creator = person(fields.get("creator")).or_else(|| person(fields.get("reporter")));
    let mut cells: [Option<&str>; 13] = [None; 13];
    (cells[0], cells[1], cells[2]) = (Some(number.as_str()), key.as_deref(), issue.id);
    (cells[4], cells[5], cells[12]) = (Some(created.as_str()), creator.as_deref(), Some("created"));
    rows.push(file, &cells)
}
