//! Tables and columns of change streams, from the first records.

use serde_json::Value;

use super::discover::{RECORDS_LOOKED_AT, Tables, add};
use crate::ledger::Format;
use crate::model::time::parse_local;
use crate::read::ChangeRows;

/// What a key of TiCDC's open protocol says of a row.
const ROW: u64 = 1;

/// Adds what a record of a stream names, whatever it is wrapped in. Its key says where it belongs
/// in TiCDC's open protocol alone.
pub(super) fn stream(format: Format, (value, key): (&Value, Option<&Value>), tables: &mut Tables) {
    let found =
        named(format, value).or_else(|| key.filter(|_| format == Format::TiCdc).and_then(|k| open(k, value)));
    if let Some((name, columns)) = found {
        add(tables, name, columns.iter().map(String::as_str));
        return;
    }
    // A key may be a text that holds JSON.
    let inner = value.get("key").and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok());
    let key = inner.as_ref().or(value.get("key")).or(key);
    for wrapper in ["payload", "value", "data"] {
        match value.get(wrapper) {
            Some(Value::String(text)) => {
                if let Ok(inner) = serde_json::from_str(text) {
                    return stream(format, (&inner, key), tables);
                }
            }
            Some(inner @ Value::Object(_)) => return stream(format, (inner, key), tables),
            _ => {}
        }
    }
}

/// The table that a key of TiCDC's open protocol names, and the columns of its message's images.
fn open(key: &Value, value: &Value) -> Option<(String, Vec<String>)> {
    if key.get("t")?.as_u64()? != ROW {
        return None;
    }
    let name = format!("{}.{}", key.get("scm")?.as_str()?, key.get("tbl")?.as_str()?);
    let columns: Vec<String> =
        ["u", "p", "d"].iter().filter_map(|side| value.get(side)).flat_map(keys).collect();
    (!columns.is_empty()).then_some((name, columns))
}

/// The table that a record names, and the columns of its images; `None` if it is none of the format.
fn named(format: Format, value: &Value) -> Option<(String, Vec<String>)> {
    let text = |value: &Value, name: &str| value.get(name)?.as_str().map(str::to_owned);
    let two = |first: Option<String>, second: String| match first.filter(|first| !first.is_empty()) {
        Some(first) => format!("{first}.{second}"),
        None => second,
    };
    match format {
        Format::TiCdc if value.get("TableVersion").is_some() => schema_file(value),
        Format::Maxwell | Format::Canal | Format::TiCdc => {
            let table = text(value, "table").filter(|table| !table.is_empty())?;
            let images = ["data", "old"].iter().filter_map(|side| value.get(side));
            Some((two(text(value, "database"), table), images.flat_map(keys).collect()))
        }
        Format::GoldenGate => {
            value.get("op_type")?;
            let images = ["before", "after"].iter().filter_map(|side| value.get(side));
            let columns = images.flat_map(keys).filter(|name| !name.ends_with("_isMissing")).collect();
            Some((text(value, "table")?, columns))
        }
        Format::Dms => dms(value),
        Format::MongoDb => {
            value.get("operationType")?;
            let collection = text(value.get("ns")?, "coll")?;
            let documents = ["documentKey", "fullDocument", "fullDocumentBeforeChange"];
            let columns = documents.iter().filter_map(|name| value.get(name)).flat_map(keys).collect();
            Some((two(text(value.get("ns")?, "db"), collection), columns))
        }
        Format::DynamoDb => {
            let body = value.get("dynamodb")?;
            let arn = text(value, "eventSourceARN").unwrap_or_default();
            let of_arn =
                arn.split_once(":table/").and_then(|(_, rest)| rest.split('/').next()).map(str::to_owned);
            let images = ["Keys", "NewImage", "OldImage"].iter().filter_map(|name| body.get(name));
            Some((text(value, "tableName").or(of_arn).unwrap_or_default(), images.flat_map(keys).collect()))
        }
        Format::DebeziumFlat => {
            let marked = ["__op", "__deleted", "__source_ts_ms"].iter().any(|name| value.get(name).is_some());
            marked.then_some(())?;
            let schema = text(value, "__schema").or_else(|| text(value, "__db"));
            let columns = keys(value).into_iter().filter(|name| !name.starts_with("__")).collect();
            Some((two(schema, text(value, "__table").unwrap_or_default()), columns))
        }
        _ => None,
    }
}

/// The same of a message of DMS.
fn dms(value: &Value) -> Option<(String, Vec<String>)> {
    let metadata = value.get("metadata")?;
    let text = |name: &str| metadata.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let name = match (text("schema-name"), text("table-name")?) {
        (Some(schema), table) => format!("{schema}.{table}"),
        (None, table) => table.to_owned(),
    };
    let columns = value.get("data").map(keys).unwrap_or_default().into_iter();
    Some((name, columns.filter(|name| !name.starts_with("BI_")).collect()))
}

/// The same of a schema file of TiCDC's CSV protocol.
fn schema_file(value: &Value) -> Option<(String, Vec<String>)> {
    let name = format!("{}.{}", value.get("Schema")?.as_str()?, value.get("Table")?.as_str()?);
    let columns = value.get("TableColumns").and_then(Value::as_array);
    let named = |column: &Value| Some(column.get("ColumnName")?.as_str()?.to_owned());
    Some((name, columns.into_iter().flatten().filter_map(named).collect()))
}

/// Adds what the first rows of a table name whose rows are changes of this format.
pub(super) fn rows(format: Format, of: &ChangeRows, tables: &mut Tables) {
    let looked_at = of.rows.len().min(RECORDS_LOOKED_AT);
    if format == Format::Dms {
        // Files name no table, and have the time of a change among its columns, next to the op.
        let time = |column: usize| {
            let text = (0..looked_at).find_map(|row| of.rows.text(row, column)).unwrap_or_default();
            text.len() > 10 && parse_local(&text.replace('T', " ")).is_some()
        };
        let columns: Vec<usize> = (0..of.rows.columns()).filter(|column| Some(*column) != of.op).collect();
        let names = of.names.iter().flat_map(|names| {
            let own = columns.iter().enumerate().filter(|(at, column)| *at > 0 || !time(**column));
            own.map(|(_, &column)| names[column].as_str()).filter(|name| !name.starts_with("BI_"))
        });
        return add(tables, String::new(), names);
    }
    for row in 0..looked_at {
        let field = |column: usize| of.rows.text(row, column);
        let (Some(table), Some(schema)) = (field(1), field(2)) else { continue };
        let name = format!("{schema}.{table}");
        match &of.names {
            Some(names) => add(tables, name, names.iter().map(String::as_str)),
            None => {
                // Rows name no columns, and may say whether they are a side of an update.
                let flag = usize::from(matches!(field(4), Some("true" | "false")));
                let count = of.rows.columns().saturating_sub(4 + flag);
                let numbered: Vec<String> = (1..=count).map(|n| format!("column {n}")).collect();
                add(tables, name, numbered.iter().map(String::as_str));
            }
        }
    }
}

/// The members of an object, or of the objects in a list.
fn keys(value: &Value) -> Vec<String> {
    match value {
        Value::Object(object) => object.keys().cloned().collect(),
        Value::Array(list) => list.iter().flat_map(keys).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use crate::ledger::Format;
    use crate::pipeline::inspect::tests::inspected;

    #[test]
    fn the_open_protocol_is_described_with_its_keys_beside_or_around_its_values() {
        let key = r#"{"ts":455023263744000000,"scm":"fin","tbl":"item","t":1}"#;
        let cell = |value: &str| {
            format!(r#"{{"id":{{"t":3,"h":true,"f":11,"v":7}},"name":{{"t":15,"f":64,"v":"{value}"}}}}"#)
        };
        let messages = [
            format!(r#"{{"u":{}}}"#, cell("a")),
            format!(r#"{{"u":{},"p":{}}}"#, cell("b"), cell("a")),
            format!(r#"{{"d":{}}}"#, cell("b")),
        ];
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        let shapes = [
            messages.each_ref().map(|value| format!("{key}\t{value}\n")),
            messages.each_ref().map(|value| format!("{{\"key\":{key},\"value\":{value}}}\n")),
            messages.each_ref().map(|value| {
                format!(
                    "{{\"topic\":\"t\",\"offset\":1,\"key\":{},\"payload\":{}}}\n",
                    quoted(key),
                    quoted(value)
                )
            }),
        ];
        for lines in shapes {
            let ledger = inspected("open.txt", &lines.concat()).ledger.unwrap();
            assert_eq!(ledger.format, Format::TiCdc, "{lines:?}");
            let table = &ledger.tables[0];
            assert_eq!((table.name.as_str(), table.changes), ("fin.item", 3), "{lines:?}");
            assert_eq!(table.columns, ["id", "name"]);
            assert_eq!((table.before.whole, table.after.whole), (2, 2), "{lines:?}");
        }
    }
}
