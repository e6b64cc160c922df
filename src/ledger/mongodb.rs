//! MongoDB change events, as `watch()` returns them and mongo tools print them (Extended JSON).
//!
//! The document before a change is there where the collection records pre-images.
//! `fullDocument` of an update can be a later document (`updateLookup`), so the
//! row after an update is made of `updateDescription` alone: fields that it
//! sets or removes; all others did not change. A field that a path reaches into (`a.b`) changed in a way that no column can take from it.
//!
//! A whole document has every field, so a column that it leaves out is null. Order is that of delivery; changes of one
//! transaction have one session and number.
//!
//! Limits: `rename` and `dropDatabase` change no row here. Decimals, dates, ids and bytes are
//! exact; other extended types go into text columns as they stand.

use std::borrow::Cow;

use arrow::datatypes::{DataType, TimeUnit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::decode::Clock;
use super::feed::{Change, Feed, Producer, any_layer, nanoseconds};
use super::image::{Rows, Staged, Stated};
use super::json::{self, Raw, raw_text};
use super::unwrap::Message;
use crate::model::Op;
use crate::read::cell::{CellBuilder, Misfit};

/// The decoder; it needs no state.
#[derive(Debug, Default)]
pub(super) struct MongoDb;

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow)]
    operation_type: Raw<'a>,
    #[serde(borrow)]
    cluster_time: Raw<'a>,
    #[serde(borrow)]
    wall_time: Raw<'a>,
    #[serde(borrow)]
    ns: Raw<'a>,
    #[serde(borrow)]
    document_key: Raw<'a>,
    #[serde(borrow)]
    full_document: Raw<'a>,
    #[serde(borrow)]
    full_document_before_change: Raw<'a>,
    #[serde(borrow)]
    update_description: Raw<'a>,
    #[serde(borrow)]
    lsid: Raw<'a>,
    #[serde(borrow)]
    txn_number: Raw<'a>,
}

/// Whether a record can only be a change event.
pub(super) fn is_mongodb(text: &str) -> bool {
    any_layer(text, &|message| {
        let Ok(record) = serde_json::from_str::<Record<'_>>(message.text) else { return false };
        record.operation_type.is_some() && (record.ns.is_some() || record.cluster_time.is_some())
    })
}

impl Producer for MongoDb {
    const NAME: &'static str = "MongoDB";

    fn message(&mut self, message: &Message<'_>, feed: &mut Feed<'_>) -> bool {
        let Ok(record) = serde_json::from_str::<Record<'_>>(message.text) else { return false };
        let Some(word) = json::scalar(record.operation_type) else { return false };
        let op = match word.as_ref() {
            "insert" => Op::Insert,
            "update" | "replace" => Op::Update,
            "delete" => Op::Delete,
            "drop" => Op::Truncate,
            "rename"
            | "dropDatabase"
            | "invalidate"
            | "create"
            | "modify"
            | "createIndexes"
            | "dropIndexes"
            | "shardCollection"
            | "refineCollectionShardKey"
            | "reshardCollection" => return true,
            other => {
                feed.unparsable(
                    None,
                    format!(
                        "expected an operationType of insert, update, replace or delete, found {other:?}"
                    ),
                );
                return true;
            }
        };
        let (cluster, wall) = (cluster_time(&record), wall_time(&record));
        let change = Change {
            op: Some(op),
            committed_at: wall.or(nanoseconds(cluster.map(|(t, _)| i64::from(t)), 1_000_000_000)),
            transaction: transaction(&record, cluster),
            ..Change::default()
        };
        feed.clock(Clock::Commit);
        feed.decoded.edge.whole_seconds |= wall.is_none();
        let Some(target) = feed.begin(namespace(&record), &change) else { return true };
        match stage(feed.rows(target), &record, op, word == "replace") {
            Some(staged) => feed.push(target, &change, &staged, &mut value),
            None => feed.unparsable(Some(target), "expected objects as documents"),
        }
        true
    }
}

fn stage<'r>(rows: &mut Rows<'_>, record: &Record<'r>, op: Op, replaced: bool) -> Option<Staged<'r>> {
    let mut staged = Staged::default();
    if op == Op::Truncate {
        return Some(staged);
    }
    let key = match raw_text(record.document_key) {
        Some(key) => rows.image(key, Stated::Absent)?,
        None => rows.blank(Stated::Absent),
    };
    let mut document = |raw: Raw<'r>| match raw_text(raw) {
        Some(text) => rows.image(text, Stated::Null).map(Some),
        None => Some(None),
    };
    let before = document(record.full_document_before_change)?;
    let after = document(record.full_document)?;
    if op != Op::Insert {
        staged.before = Some(before.unwrap_or_else(|| key.clone()));
    }
    staged.after = match op {
        Op::Delete => None,
        Op::Update if !replaced => Some(updated(rows, record, &key)?),
        _ => Some(after?),
    };
    if let (Some(old), Some(new)) = (&mut staged.before, &staged.after) {
        for (old, new) in old.iter_mut().zip(new) {
            if *old == Stated::Absent && *new == Stated::Unchanged {
                *old = Stated::Unchanged;
            }
        }
    }
    for image in [&mut staged.before, &mut staged.after].into_iter().flatten() {
        for (cell, key) in image.iter_mut().zip(&key).filter(|(_, key)| key.is_stated()) {
            *cell = *key;
        }
    }
    Some(staged)
}

/// The row after an update, as far as the update says.
fn updated<'r>(rows: &mut Rows<'_>, record: &Record<'r>, key: &[Stated<'r>]) -> Option<Vec<Stated<'r>>> {
    let Some(description) = raw_text(record.update_description) else {
        return Some(key.to_vec());
    };
    let mut cells = rows.blank(Stated::Unchanged);
    let mut set = |rows: &mut Rows<'_>, path: &str, cell: Stated<'r>| {
        let (field, inside) = path.split_once('.').map_or((path, false), |(field, _)| (field, true));
        if let Some(column) = rows.names.find(field, 0) {
            cells[column] = if inside { Stated::Absent } else { cell };
        }
    };
    let (mut fields, mut removed, mut truncated) = (None, None, None);
    json::checked_members(description, |name, raw| match name {
        "updatedFields" => fields = Some(raw),
        "removedFields" => removed = Some(raw),
        "truncatedArrays" => truncated = Some(raw),
        _ => {}
    });
    for raw in removed.into_iter().filter(|raw| *raw != "null") {
        json::elements(raw, |path| set(rows, &json::text(path).unwrap_or_default(), Stated::Null)).ok()?;
    }
    for raw in truncated.into_iter().filter(|raw| *raw != "null") {
        json::elements(raw, |array| {
            json::checked_members(array, |name, path| {
                if name == "field" {
                    set(rows, &json::text(path).unwrap_or_default(), Stated::Absent);
                }
            });
        })
        .ok()?;
    }
    if let Some(fields) = fields {
        json::checked_members(fields, |path, raw| set(rows, path, Stated::raw(raw)));
    }
    Some(cells)
}

fn namespace<'a>(record: &Record<'a>) -> [Option<Cow<'a, str>>; 3] {
    let (mut database, mut collection) = (None, None);
    if let Some(ns) = record.ns {
        json::checked_members(ns.get(), |name, raw| match name {
            "db" => database = json::text(raw),
            "coll" => collection = json::text(raw),
            _ => {}
        });
    }
    [None, database, collection]
}

/// `{"$timestamp": {"t": 1711923304, "i": 3}}`.
fn cluster_time(record: &Record<'_>) -> Option<(u32, u32)> {
    let (mut seconds, mut count) = (None, None);
    json::checked_members(member(record.cluster_time?.get(), "$timestamp")?, |name, raw| match name {
        "t" => seconds = raw.parse().ok(),
        "i" => count = raw.parse().ok(),
        _ => {}
    });
    Some((seconds?, count.unwrap_or(0)))
}

fn wall_time(record: &Record<'_>) -> Option<i64> {
    date(member(record.wall_time?.get(), "$date")?)
}

/// A date as nanoseconds: an ISO text, or milliseconds.
fn date(raw: &str) -> Option<i64> {
    if raw.starts_with('"') {
        return crate::model::time::parse_instant(&json::text(raw)?, None).ok();
    }
    let millis =
        if raw.starts_with('{') { json::text(member(raw, "$numberLong")?)? } else { Cow::Borrowed(raw) };
    nanoseconds(millis.parse().ok(), 1_000_000)
}

fn member<'a>(object: &'a str, wanted: &str) -> Option<&'a str> {
    let mut found = None;
    json::checked_members(object, |name, raw| {
        if name == wanted {
            found = Some(raw);
        }
    });
    found
}

/// Session and number of a transaction; a change outside of one has its cluster time for itself.
fn transaction<'a>(record: &Record<'a>, cluster: Option<(u32, u32)>) -> Option<Cow<'a, str>> {
    let number = raw_text(record.txn_number);
    if let (Some(number), Some(session)) = (number, raw_text(record.lsid)) {
        let dense = |text: &str| text.split_ascii_whitespace().collect::<String>();
        return Some(Cow::Owned(format!("{} {}", dense(session), dense(number))));
    }
    cluster.map(|(seconds, count)| Cow::Owned(format!("{seconds}:{count}")))
}

/// An extended value in the column's type.
fn value(cells: &mut CellBuilder, data_type: &DataType, _: usize, raw: &str) -> Result<(), Misfit> {
    let mut only = None;
    let mut members = 0;
    if raw.starts_with('{') {
        json::checked_members(raw, |name, inner| {
            members += 1;
            only = Some((name.to_owned(), inner));
        });
    }
    let Some((name, inner)) = only.filter(|_| members == 1) else { return cells.push_json(raw) };
    match name.as_str() {
        "$oid" | "$numberInt" | "$numberLong" | "$numberDouble" | "$numberDecimal" | "$symbol" | "$uuid" => {
            cells.push_json(inner)
        }
        "$date" => {
            let misfit = || Misfit::new("a date", raw);
            let nanos = date(inner).ok_or_else(misfit)?;
            if inner.starts_with('"') && cells.push_json(inner).is_ok() {
                return Ok(());
            }
            if matches!(data_type, DataType::Date32 | DataType::Date64)
                && nanos.rem_euclid(86_400_000_000_000) == 0
            {
                let days = nanos.div_euclid(86_400_000_000_000);
                return cells.push_days(i32::try_from(days).map_err(|_| misfit())?);
            }
            cells.push_epoch(nanos.div_euclid(1_000_000), TimeUnit::Millisecond)
        }
        "$binary" => {
            let text = json::text(member(inner, "base64").unwrap_or(inner)).unwrap_or_default();
            let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| Misfit::new("bytes as base64", raw))?;
            cells.push_bytes(&bytes)
        }
        _ => cells.push_json(raw),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::{decode_all, show, target};
    use crate::ledger::{DecodeOptions, Format};

    fn decode(lines: &[&str]) -> (Vec<String>, Vec<i64>, usize) {
        let columns = [
            ("_id!", DataType::Int64),
            ("name", DataType::Utf8),
            ("price", DataType::Decimal128(10, 2)),
            ("tags", DataType::new_list(DataType::Utf8, true)),
            ("seen", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
        ];
        let targets = [target("item", &columns)];
        let (decoded, _) =
            decode_all(Format::MongoDb, &[&lines.join("\n")], &targets, &DecodeOptions::default());
        let batch = &decoded[0].changes[0];
        (show(batch, &targets[0].schema), batch.committed_at.clone(), decoded[0].notes.len())
    }

    #[test]
    fn events() {
        let around = r#""clusterTime":{"$timestamp":{"t":1711923304,"i":3}},"wallTime":{"$date":"2024-03-31T22:15:04.123Z"},"ns":{"db":"fin","coll":"item"},"documentKey":{"_id":{"$numberLong":"7"}}"#;
        let lines = [
            format!(
                r#"{{"_id":{{"_data":"82"}},"operationType":"update",{around},"updateDescription":{{"updatedFields":{{"name":"bolt M8","tags.0":"x"}},"removedFields":["price"],"truncatedArrays":[]}},"fullDocumentBeforeChange":{{"_id":7,"name":"bolt","price":{{"$numberDecimal":"10.84"}},"tags":["a"],"seen":{{"$date":{{"$numberLong":"1711923304123"}}}}}},"fullDocument":{{"_id":7,"name":"later"}}}}"#
            ),
            format!(
                r#"{{"operationType":"update",{around},"updateDescription":{{"updatedFields":{{"name":"y"}},"removedFields":[]}}}}"#
            ),
            format!(r#"{{"operationType":"delete",{around}}}"#),
            format!(r#"{{"operationType":"insert",{around},"fullDocument":{{"_id":7,"name":"new"}}}}"#),
            r#"{"operationType":"invalidate","clusterTime":{"$timestamp":{"t":1,"i":1}}}"#.to_owned(),
            format!(r#"{{"operationType":"upsert",{around}}}"#),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (shown, times, notes) = decode(&lines);
        assert_eq!(
            shown,
            [
                "update _id:7 name:bolt price:10.84 tags:[a] seen:2024-03-31T22:15:04.123Z -> _id:7 name:bolt M8 price:null tags:? seen:=",
                "update _id:7 name:? price:= tags:= seen:= -> _id:7 name:y price:= tags:= seen:=",
                "delete _id:7 name:? price:? tags:? seen:? -> none",
                "insert none -> _id:7 name:new price:null tags:null seen:null",
            ]
        );
        assert_eq!(times[0], 1_711_923_304_123_000_000);
        assert_eq!(notes, 1);
    }
}
