//! Tables and columns of a ledger of JSON records, from the records alone.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::ledger::{Format, ImageColumns, ImageSide, Mapping, MappingHints};

/// How many records show the tables and their columns.
pub(super) const RECORDS_LOOKED_AT: usize = 10_000;

/// Pairs of what stands before column names in ledgers with a column per cell.
const PREFIXES: [(&str, &str); 4] =
    [("old_", "new_"), ("before_", "after_"), ("old.", "new."), ("before.", "after.")];

/// A table's columns, in the order in which they first occur, by table name.
pub(super) type Tables = BTreeMap<String, Vec<String>>;

/// The tables that records of this format name. Each record comes with its key, if its line has one.
pub(super) fn tables<'a>(
    format: Format,
    records: impl Iterator<Item = (&'a str, Option<&'a str>)>,
) -> Tables {
    let mut tables = Tables::new();
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
    let (values, keys): (Vec<Value>, Vec<Option<Value>>) = records
        .take(RECORDS_LOOKED_AT)
        .filter_map(|(record, key)| Some((parsed(record)?, key.and_then(parsed))))
        .unzip();
    match format {
        Format::Debezium => values.iter().for_each(|value| debezium(value, &mut tables)),
        Format::Wal2Json => values.iter().for_each(|value| wal2json(value, &mut tables)),
        // Not JSON: its tables are found from its text.
        Format::Binlog => {}
        table if table == Format::Mapped || table.is_tabular() => mapped(&values, &mut tables),
        stream => {
            for (value, key) in values.iter().zip(&keys) {
                super::streams::stream(stream, (value, key.as_ref()), &mut tables);
            }
        }
    }
    tables
}

pub(super) fn add<'a>(tables: &mut Tables, name: String, columns: impl Iterator<Item = &'a str>) {
    let known = tables.entry(name).or_default();
    for column in columns {
        if !known.iter().any(|c| c == column) {
            known.push(column.to_owned());
        }
    }
}

fn named(schema: Option<&Value>, table: Option<&Value>) -> Option<String> {
    let table = table?.as_str()?;
    Some(match schema.and_then(Value::as_str) {
        Some(schema) => format!("{schema}.{table}"),
        None => table.to_owned(),
    })
}

/// Goes through the wrappers that a record may stand in.
fn debezium(value: &Value, tables: &mut Tables) {
    for wrapper in ["value", "payload"] {
        match value.get(wrapper) {
            Some(Value::String(text)) => {
                if let Ok(inner) = serde_json::from_str(text) {
                    return debezium(&inner, tables);
                }
            }
            Some(inner @ Value::Object(_)) => return debezium(inner, tables),
            _ => {}
        }
    }
    let Some(source) = value.get("source") else { return };
    let table = source.get("table").or_else(|| source.get("collection"));
    let Some(name) = named(source.get("schema"), table) else { return };
    let sides = ["after", "before"].iter().filter_map(|side| value.get(side)?.as_object());
    add(tables, name, sides.flat_map(|image| image.keys().map(String::as_str)));
}

fn wal2json(value: &Value, tables: &mut Tables) {
    let changes = value.get("change").and_then(Value::as_array);
    for change in changes.into_iter().flatten().chain([value]) {
        let Some(name) = named(change.get("schema"), change.get("table")) else { continue };
        let lists = ["columns", "identity"].iter().filter_map(|list| change.get(list)?.as_array());
        add(tables, name.clone(), lists.flatten().filter_map(|column| column.get("name")?.as_str()));
        let names = [change.get("columnnames"), change.get("oldkeys").and_then(|old| old.get("keynames"))];
        let names = names.into_iter().flatten().filter_map(Value::as_array).flatten();
        add(tables, name, names.filter_map(Value::as_str));
    }
}

/// A mapped ledger's columns are those of its images; without images it is a table and no ledger.
fn mapped(values: &[Value], tables: &mut Tables) {
    let mut members: Vec<String> = Vec::new();
    for object in values.iter().filter_map(Value::as_object) {
        for name in object.keys() {
            if !members.contains(name) {
                members.push(name.clone());
            }
        }
    }
    let image = |member: &str| {
        let objects = values.iter().filter_map(|value| value.get(member)?.as_object());
        objects.flat_map(|object| object.keys().cloned()).collect::<Vec<_>>()
    };
    let Some((mapping, columns)) = shape(&members, image) else { return };
    let named = mapping.table.as_deref();
    for value in values {
        let name = named.and_then(|member| value.get(member)?.as_str()).unwrap_or_default();
        add(tables, name.to_owned(), columns.iter().map(String::as_str));
    }
}

/// What the columns of a mapped ledger mean and the columns of its table. `image` lists
/// the columns inside a column that holds whole images.
pub(super) fn shape(names: &[String], image: impl Fn(&str) -> Vec<String>) -> Option<(Mapping, Vec<String>)> {
    let hints = MappingHints::default();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    if let Ok(mapping) = Mapping::resolve(&hints, &all, &[])
        && let ImageColumns::Sides { before, after } = &mapping.images
    {
        let mut columns: Vec<String> = Vec::new();
        for side in [after, before].into_iter().flatten() {
            let ImageSide::Struct(column) = side else { continue };
            for name in image(column) {
                if !columns.contains(&name) {
                    columns.push(name);
                }
            }
        }
        if !columns.is_empty() {
            return Some((mapping, columns));
        }
    }
    for (before, after) in PREFIXES {
        let stripped = |prefix| all.iter().filter_map(move |name| name.strip_prefix(prefix));
        let columns: Vec<String> = stripped(after).map(str::to_owned).collect();
        if columns.is_empty() || stripped(before).next().is_none() {
            continue;
        }
        let table: Vec<&str> = columns.iter().map(String::as_str).collect();
        if let Ok(mapping) = Mapping::resolve(&hints, &all, &table) {
            return Some((mapping, columns));
        }
    }
    None
}
