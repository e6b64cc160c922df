//! Tables and columns of change streams, from the first records.

use serde_json::Value;

use super::discover::{Tables, add};
use crate::ledger::Format;

/// Adds what a record of a stream names, whatever it is wrapped in.
pub(super) fn stream(format: Format, value: &Value, tables: &mut Tables) {
    if let Some((name, columns)) = named(format, value) {
        add(tables, name, columns.iter().map(String::as_str));
        return;
    }
    for wrapper in ["payload", "value", "data"] {
        match value.get(wrapper) {
            Some(Value::String(text)) => {
                if let Ok(inner) = serde_json::from_str(text) {
                    return stream(format, &inner, tables);
                }
            }
            Some(inner @ Value::Object(_)) => return stream(format, inner, tables),
            _ => {}
        }
    }
}

/// The table that a record names, and the columns of its images; `None` if it is none of the format.
fn named(format: Format, value: &Value) -> Option<(String, Vec<String>)> {
    let text = |value: &Value, name: &str| value.get(name)?.as_str().map(str::to_owned);
    let two = |first: Option<String>, second: String| match first.filter(|first| !first.is_empty()) {
        Some(first) => format!("{first}.{second}"),
        None => second,
    };
    match format {
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
        Format::Dms => {
            let metadata = value.get("metadata")?;
            let table = text(metadata, "table-name").filter(|table| !table.is_empty())?;
            let columns = value.get("data").map(keys).unwrap_or_default();
            let columns = columns.into_iter().filter(|name| !name.starts_with("BI_")).collect();
            Some((two(text(metadata, "schema-name"), table), columns))
        }
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

/// The members of an object, or of the objects in a list.
fn keys(value: &Value) -> Vec<String> {
    match value {
        Value::Object(object) => object.keys().cloned().collect(),
        Value::Array(list) => list.iter().flat_map(keys).collect(),
        _ => Vec::new(),
    }
}
