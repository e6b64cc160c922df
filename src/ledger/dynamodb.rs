//! DynamoDB stream records: typed attribute values, old and new images as the stream's view type has them.
//!
//! Order is by sequence number, which rises per item; across shards it says
//! nothing, and neither do transactions, which the stream does not show. Times are
//! those at which a record was made, to the second.
//!
//! An image has every attribute of its item, so a column that it leaves out is
//! null; the key alone (`KEYS_ONLY`) is no image. Attributes that hold maps or lists go into text columns as plain JSON.

use std::borrow::Cow;

use arrow::datatypes::DataType;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::decode::Clock;
use super::feed::{Change, Feed, Place, Producer, any_layer};
use super::image::{Rows, Staged, Stated};
use super::json::{self, Raw, raw_text};
use super::position::PositionKind;
use super::unwrap::Message;
use crate::model::Op;
use crate::read::cell::{CellBuilder, Misfit};

/// The decoder; it needs no state.
#[derive(Debug, Default)]
pub(super) struct DynamoDb;

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow)]
    event_name: Raw<'a>,
    #[serde(borrow, rename = "eventSourceARN")]
    event_source_arn: Raw<'a>,
    #[serde(borrow)]
    table_name: Raw<'a>,
    #[serde(borrow)]
    dynamodb: Raw<'a>,
    #[serde(borrow)]
    user_identity: Raw<'a>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Body<'a> {
    #[serde(borrow)]
    approximate_creation_date_time: Raw<'a>,
    #[serde(borrow)]
    keys: Raw<'a>,
    #[serde(borrow)]
    new_image: Raw<'a>,
    #[serde(borrow)]
    old_image: Raw<'a>,
    #[serde(borrow)]
    sequence_number: Raw<'a>,
}

/// Whether a record can only come from a DynamoDB stream.
pub(super) fn is_dynamodb(text: &str) -> bool {
    any_layer(text, &|message| {
        let Ok(record) = serde_json::from_str::<Record<'_>>(message.text) else { return false };
        record.dynamodb.is_some() && record.event_name.is_some()
    })
}

impl Producer for DynamoDb {
    const NAME: &'static str = "DynamoDB";

    fn message(&mut self, message: &Message<'_>, feed: &mut Feed<'_>) -> bool {
        let Ok(record) = serde_json::from_str::<Record<'_>>(message.text) else { return false };
        let (Some(word), Some(body)) = (json::scalar(record.event_name), record.dynamodb) else {
            return false;
        };
        let op = match word.as_ref() {
            "INSERT" => Op::Insert,
            "MODIFY" => Op::Update,
            "REMOVE" => Op::Delete,
            other => {
                feed.unparsable(
                    None,
                    format!("expected an eventName of INSERT, MODIFY or REMOVE, found {other:?}"),
                );
                return true;
            }
        };
        let body: Body<'_> = match serde_json::from_str(body.get()) {
            Ok(body) => body,
            Err(error) => {
                feed.unparsable(None, format!("expected an object as dynamodb: {error}"));
                return true;
            }
        };
        let mut change = Change {
            op: Some(op),
            committed_at: json::scalar(body.approximate_creation_date_time).and_then(|t| seconds(&t)),
            actor: actor(&record),
            ..Change::default()
        };
        feed.clock(Clock::Statement);
        feed.decoded.edge.whole_seconds = true;
        if let Some(own) = json::scalar(body.sequence_number).and_then(|n| n.parse().ok()) {
            change.place = Place::At { commit: None, own };
            feed.kind(PositionKind::Sequence);
        }
        let arn = json::scalar(record.event_source_arn);
        let table = json::scalar(record.table_name).or_else(|| arn.as_deref().and_then(table_of));
        let Some(target) = feed.begin([None, None, table], &change) else { return true };
        match stage(feed.rows(target), &body, op) {
            Some(staged) => feed.push(target, &change, &staged, &mut value),
            None => feed.unparsable(Some(target), "expected objects as images and keys"),
        }
        true
    }
}

fn stage<'r>(rows: &mut Rows<'_>, body: &Body<'r>, op: Op) -> Option<Staged<'r>> {
    let mut image = |object: Option<&'r str>| match object {
        // A whole item: what it does not have is null.
        Some(object) => rows.image(object, Stated::Null).map(Some),
        None => Some(None),
    };
    let old = image(raw_text(body.old_image))?;
    let new = image(raw_text(body.new_image))?;
    let keys = match raw_text(body.keys) {
        Some(keys) => rows.image(keys, Stated::Absent)?,
        None => rows.blank(Stated::Absent),
    };
    let or_keys = |image: Option<Vec<Stated<'r>>>| image.unwrap_or_else(|| keys.clone());
    let mut staged = Staged {
        before: (op != Op::Insert).then(|| or_keys(old)),
        after: (op != Op::Delete).then(|| or_keys(new)),
    };
    for image in [&mut staged.before, &mut staged.after].into_iter().flatten() {
        for (cell, key) in image.iter_mut().zip(&keys).filter(|(_, key)| key.is_stated()) {
            *cell = *key;
        }
        for cell in image.iter_mut().filter(|cell| is_null(cell)) {
            *cell = Stated::Null;
        }
    }
    Some(staged)
}

fn is_null(cell: &Stated<'_>) -> bool {
    matches!(cell, Stated::Json(raw) if matches!(typed(raw), Some(("NULL", _))))
}

/// `1711923304.0` or `1711923304123` as nanoseconds.
fn seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.contains(['e', 'E']) || fraction.contains(['e', 'E']) {
        // 1.711923304E9, as some tools print it.
        let (mantissa, exponent) = text.split_once(['e', 'E'])?;
        let (head, tail) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let places: usize = exponent.trim_start_matches('+').parse().ok().filter(|n| *n < 19)?;
        let digits = format!("{head}{tail:0<places$}");
        return seconds(&format!("{}.{}", &digits[..head.len() + places], &digits[head.len() + places..]));
    }
    let count: i64 = whole.parse().ok()?;
    let unit = match count.unsigned_abs() {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        _ => 1_000,
    };
    let part: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let part: i64 = part.parse().ok()?;
    count
        .checked_mul(unit)?
        .checked_add(if unit == 1_000_000_000 { part } else { 0 })
        .filter(|n| *n != i64::MIN)
}

/// `arn:aws:dynamodb:eu-central-1:1:table/item/stream/2024-…`.
fn table_of<'a>(arn: &str) -> Option<Cow<'a, str>> {
    let (_, rest) = arn.split_once(":table/")?;
    rest.split('/').next().map(|name| Cow::Owned(name.to_owned()))
}

/// Deletes by the time to live are the service's own.
fn actor<'a>(record: &Record<'a>) -> Option<Cow<'a, str>> {
    let mut actor = None;
    json::checked_members(record.user_identity?.get(), |name, raw| {
        if name == "principalId" {
            actor = json::text(raw);
        }
    });
    actor
}

/// The type and the raw value of `{"N": "19.99"}`.
fn typed(raw: &str) -> Option<(&'static str, &str)> {
    const KINDS: [&str; 10] = ["S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"];
    let (mut found, mut members) = (None, 0);
    json::checked_members(raw, |name, value| {
        members += 1;
        found = KINDS.iter().find(|kind| **kind == name).map(|kind| (*kind, value));
    });
    found.filter(|_| members == 1)
}

fn value(cells: &mut CellBuilder, data_type: &DataType, _: usize, raw: &str) -> Result<(), Misfit> {
    let (kind, inner) = typed(raw).ok_or_else(|| Misfit::new("a typed attribute value", raw))?;
    match kind {
        "B" => {
            let text = json::text(inner).unwrap_or_default();
            let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| Misfit::new("bytes as base64", raw))?;
            cells.push_bytes(&bytes)
        }
        "S" | "N" | "BOOL" => cells.push_json(inner),
        _ if data_type.is_nested()
            || matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) =>
        {
            let plain = untyped(raw).ok_or_else(|| Misfit::new("a typed attribute value", raw))?;
            cells.push_json(&plain)
        }
        _ => Err(Misfit::new("a single value", raw)),
    }
}

/// A typed value as plain JSON; numbers keep their text.
fn untyped(raw: &str) -> Option<String> {
    let (kind, inner) = typed(raw)?;
    let list = |item: &dyn Fn(&str) -> Option<String>| {
        let (mut items, mut whole) = (Vec::new(), true);
        json::elements(inner, |raw| match item(raw) {
            Some(text) => items.push(text),
            None => whole = false,
        })
        .ok()?;
        whole.then(|| format!("[{}]", items.join(",")))
    };
    Some(match kind {
        "NULL" => "null".to_owned(),
        "N" => json::text(inner)?.into_owned(),
        "M" => {
            let (mut members, mut whole) = (Vec::new(), true);
            json::checked_members(inner, |name, raw| match untyped(raw) {
                Some(text) => members.push(format!("{}:{text}", serde_json::Value::from(name))),
                None => whole = false,
            });
            return whole.then(|| format!("{{{}}}", members.join(",")));
        }
        "L" => list(&untyped)?,
        "NS" => list(&|raw| json::text(raw).map(Cow::into_owned))?,
        "SS" | "BS" => list(&|raw| Some(raw.to_owned()))?,
        _ => inner.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::{decode_all, show, target};
    use crate::ledger::{DecodeOptions, Format};

    fn decode(lines: &[&str]) -> (Vec<String>, Vec<u128>, Vec<i64>, usize) {
        let columns = [
            ("id!", DataType::Int64),
            ("price", DataType::Decimal128(38, 2)),
            ("tags", DataType::Utf8),
            ("photo", DataType::Binary),
            ("on", DataType::Boolean),
        ];
        let targets = [target("item", &columns)];
        let (decoded, _) =
            decode_all(Format::DynamoDb, &[&lines.join("\n")], &targets, &DecodeOptions::default());
        let batch = &decoded[0].changes[0];
        let positions = batch.position.clone().unwrap_or_default();
        (show(batch, &targets[0].schema), positions, batch.committed_at.clone(), decoded[0].notes.len())
    }

    #[test]
    fn typed_values_and_whole_images() {
        let lines = [
            r#"{"eventID":"a","eventName":"MODIFY","eventSourceARN":"arn:aws:dynamodb:eu:1:table/item/stream/x","dynamodb":{"ApproximateCreationDateTime":1711923304.5,"Keys":{"id":{"N":"7"}},"OldImage":{"id":{"N":"7"},"price":{"N":"12345678901234567890123456789012345.67"},"on":{"NULL":true}},"NewImage":{"id":{"N":"7"},"price":{"N":"19.99"},"tags":{"M":{"a":{"L":[{"S":"x"},{"N":"1.50"},{"NULL":true}]}}},"photo":{"B":"G8Q="},"on":{"BOOL":true}},"SequenceNumber":"21258800000000008186106757","StreamViewType":"NEW_AND_OLD_IMAGES"}}"#,
            r#"{"eventName":"REMOVE","eventSourceARN":"arn:aws:dynamodb:eu:1:table/item/stream/x","dynamodb":{"ApproximateCreationDateTime":1.711923304E9,"Keys":{"id":{"N":"7"}},"SequenceNumber":"21258800000000008186106758","StreamViewType":"KEYS_ONLY"},"userIdentity":{"type":"Service","principalId":"dynamodb.amazonaws.com"}}"#,
            r#"{"eventName":"TOUCH","dynamodb":{"Keys":{"id":{"N":"7"}}}}"#,
        ];
        let (shown, positions, times, notes) = decode(&lines);
        assert_eq!(
            shown,
            [
                r#"update id:7 price:12345678901234567890123456789012345.67 tags:null photo:null on:null -> id:7 price:19.99 tags:{"a":["x",1.50,null]} photo:1bc4 on:true"#,
                "delete id:7 price:? tags:? photo:? on:? -> none",
            ]
        );
        assert_eq!(positions, [21_258_800_000_000_008_186_106_757, 21_258_800_000_000_008_186_106_758]);
        assert_eq!(times, [1_711_923_304_500_000_000, 1_711_923_304_000_000_000]);
        assert_eq!(notes, 1);
    }
}
