//! Canal's flat messages, and TiCDC's `canal-json` and `simple`, which are of the same shape: an op, rows as they
//! are after the change (before a delete), and of the rows before it the values that changed.
//!
//! Every value is a text. Order is that of delivery; TiCDC states where a
//! transaction committed (`commitTs`, with its extension), and then that is the order
//! and a message delivered again is known. Times of Canal are whole seconds of the event.
//!
//! Limits: what a stream can say of before images is what [`maxwell`](super::maxwell) says. Canal prints TIMESTAMP
//! in the time zone of its server: declare the ledger's `time_zone` where the column holds instants.

use std::borrow::Cow;

use arrow::datatypes::DataType;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::decode::Clock;
use super::feed::{Change, Feed, Place, Producer, any_layer, nanoseconds, overlay};
use super::image::{Staged, Stated};
use super::json::{self, Raw, raw_text};
use super::position::PositionKind;
use super::unwrap::Message;
use super::{ticdc_csv, ticdc_open};
use crate::model::Op;
use crate::read::ChangeRows;
use crate::read::cell::{CellBuilder, Misfit};

/// The decoder of Canal and of TiCDC's `canal-json`; it needs no state.
#[derive(Debug, Default)]
pub(super) struct Canal;

/// The decoder of TiCDC's `simple`, open and CSV protocols.
#[derive(Debug, Default)]
pub(super) struct Simple;

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Record<'a> {
    #[serde(borrow)]
    database: Raw<'a>,
    #[serde(borrow)]
    table: Raw<'a>,
    #[serde(borrow, rename = "type")]
    kind: Raw<'a>,
    #[serde(borrow)]
    es: Raw<'a>,
    #[serde(borrow)]
    gtid: Raw<'a>,
    #[serde(borrow)]
    sql: Raw<'a>,
    #[serde(borrow)]
    data: Raw<'a>,
    #[serde(borrow)]
    old: Raw<'a>,
    #[serde(borrow, rename = "isDdl")]
    is_ddl: Raw<'a>,
    #[serde(borrow, rename = "mysqlType")]
    mysql_type: Raw<'a>,
    #[serde(borrow, rename = "_tidb")]
    tidb: Raw<'a>,
    #[serde(borrow, rename = "commitTs")]
    commit_ts: Raw<'a>,
    #[serde(borrow, rename = "schemaVersion")]
    schema_version: Raw<'a>,
}

/// Whether a record can only be Canal's, or of its shape.
pub(super) fn is_canal(text: &str) -> bool {
    any_layer(text, &|message| {
        let Ok(record) = serde_json::from_str::<Record<'_>>(message.text) else { return false };
        let upper =
            json::scalar(record.kind).is_some_and(|k| k.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
        upper
            && record.database.is_some()
            && (record.is_ddl.is_some() || record.mysql_type.is_some() || record.tidb.is_some())
    })
}

/// Whether a record can only be TiCDC's `simple`.
pub(super) fn is_simple(text: &str) -> bool {
    ticdc_open::is_open(text)
        || ticdc_csv::is_schema_file(text)
        || any_layer(text, &|message| {
            let Ok(record) = serde_json::from_str::<Record<'_>>(message.text) else { return false };
            record.kind.is_some()
                && record.commit_ts.is_some()
                && (record.schema_version.is_some() || is_control(&record))
        })
}

fn is_control(record: &Record<'_>) -> bool {
    matches!(json::scalar(record.kind).as_deref(), Some("WATERMARK" | "BOOTSTRAP"))
}

impl Producer for Canal {
    const NAME: &'static str = "Canal";

    fn message(&mut self, message: &Message<'_>, feed: &mut Feed<'_>) -> bool {
        let Ok(record) = serde_json::from_str::<Record<'_>>(message.text) else { return false };
        let (Some(word), Some(_)) = (json::scalar(record.kind), record.database) else {
            // A storage sink writes definitions into files of their own.
            return ticdc_csv::message(message, feed);
        };
        let op = match word.as_ref() {
            "INSERT" => Op::Insert,
            "UPDATE" => Op::Update,
            "DELETE" => Op::Delete,
            "TRUNCATE" | "ERASE" => Op::Truncate,
            other => {
                other_kind(other, &record, feed);
                return true;
            }
        };
        let change = canal_change(&record, op, feed);
        let table = || [None, json::scalar(record.database), json::scalar(record.table)];
        if op == Op::Truncate {
            push(table(), &change, None, feed, latin_1);
            return true;
        }
        let (mut rows, mut old) = (Vec::new(), Vec::new());
        let read = record.data.map(|data| json::elements(data.get(), |row| rows.push(row)));
        if !matches!(read, Some(Ok(()))) {
            feed.unparsable(None, "expected a list of rows as data");
            return true;
        }
        // A cell that `old` leaves out did not change, so an `old` that cannot be read must not pass for an empty one.
        if let Some(list) = record.old.map(|list| list.get()).filter(|list| *list != "null")
            && (json::elements(list, |row| old.push(row)).is_err() || old.len() != rows.len())
        {
            feed.unparsable(None, "expected a list of as many rows as old as there are as data");
            return true;
        }
        for (at, row) in rows.into_iter().enumerate() {
            let old = old.get(at).copied().filter(|old| *old != "null");
            push(table(), &change, Some((row, old)), feed, latin_1);
        }
        true
    }
}

/// What is neither a change of rows nor an empty table.
fn other_kind(word: &str, record: &Record<'_>, feed: &mut Feed<'_>) {
    let table = [None, json::scalar(record.database), json::scalar(record.table)];
    match word {
        "ALTER" | "RENAME" => feed.drift(table, json::scalar(record.sql).as_deref().unwrap_or(word)),
        "CREATE" | "QUERY" | "CINDEX" | "DINDEX" | "GTID" | "XACOMMIT" | "XAROLLBACK" | "MHEARTBEAT"
        | "TIDB_WATERMARK" | "WATERMARK" | "BOOTSTRAP" => {}
        // Every definition is marked as one.
        _ if json::scalar(record.is_ddl).as_deref() == Some("true") => {}
        _ => feed.unparsable(
            None,
            format!("expected a type of INSERT, UPDATE, DELETE, TRUNCATE or of a definition, found {word:?}"),
        ),
    }
}

fn canal_change<'a>(record: &Record<'a>, op: Op, feed: &mut Feed<'_>) -> Change<'a> {
    let mut commit = None;
    if let Some(tidb) = record.tidb {
        json::checked_members(tidb.get(), |name, raw| {
            if name == "commitTs" {
                commit = raw.trim_matches('"').parse::<u64>().ok();
            }
        });
    }
    if let Some(commit) = commit {
        return tidb_change(commit, op, feed);
    }
    feed.clock(Clock::Statement);
    feed.decoded.edge.whole_seconds = true;
    // A message has the rows of one event at least.
    let transaction = json::scalar(record.gtid)
        .filter(|gtid| !gtid.is_empty())
        .unwrap_or_else(|| Cow::Owned(format!("message {}", feed.record)));
    Change {
        op: Some(op),
        committed_at: nanoseconds(json::integer(record.es), 1_000_000),
        transaction: Some(transaction),
        weak: op == Op::Update,
        ..Change::default()
    }
}

/// A change of a TiDB transaction; `commit` holds milliseconds above 18 bits of a counter.
pub(super) fn tidb_change<'a>(commit: u64, op: Op, feed: &mut Feed<'_>) -> Change<'a> {
    feed.clock(Clock::Commit);
    feed.kind(PositionKind::Tso);
    Change {
        op: Some(op),
        committed_at: nanoseconds(i64::try_from(commit >> 18).ok(), 1_000_000),
        transaction: Some(Cow::Owned(commit.to_string())),
        place: Place::At { commit: Some(u128::from(commit)), own: 0 },
        weak: op == Op::Update,
        ..Change::default()
    }
}

impl Producer for Simple {
    const NAME: &'static str = "TiCDC";

    fn rows(&mut self, rows: &ChangeRows, feed: &mut Feed<'_>) {
        ticdc_csv::take(rows, feed);
    }

    fn table_of<'f>(&self, fields: &'f [String]) -> Option<[Option<Cow<'f, str>>; 3]> {
        let [_, table, schema, ..] = fields else { return None };
        Some([None, Some(Cow::Borrowed(schema)), Some(Cow::Borrowed(table))])
    }

    fn message(&mut self, message: &Message<'_>, feed: &mut Feed<'_>) -> bool {
        if ticdc_open::message(message, feed) || ticdc_csv::message(message, feed) {
            return true;
        }
        let Ok(record) = serde_json::from_str::<Record<'_>>(message.text) else { return false };
        let (Some(word), Some(commit)) = (json::scalar(record.kind), json::integer::<u64>(record.commit_ts))
        else {
            return false;
        };
        let table = [None, json::scalar(record.database), json::scalar(record.table)];
        let (op, row, old) = match word.as_ref() {
            "INSERT" => (Op::Insert, raw_text(record.data), None),
            "UPDATE" => (Op::Update, raw_text(record.data), raw_text(record.old)),
            "DELETE" => (Op::Delete, raw_text(record.old), None),
            "TRUNCATE" | "ERASE" => (Op::Truncate, None, None),
            other => {
                other_kind(other, &record, feed);
                return true;
            }
        };
        let change = tidb_change(commit, op, feed);
        push(table, &change, row.map(|row| (row, old)), feed, base64_bytes);
        true
    }
}

/// How bytes are written in a text.
type Bytes = fn(&str) -> Option<Vec<u8>>;

/// Each character is a byte.
fn latin_1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.as_bytes()).ok()
}

fn push(
    table: [Option<Cow<'_, str>>; 3],
    change: &Change<'_>,
    row: Option<(&str, Option<&str>)>,
    feed: &mut Feed<'_>,
    bytes: Bytes,
) {
    let Some(target) = feed.begin(table, change) else { return };
    let options = feed.options;
    let rows = feed.rows(target);
    let staged = match (change.op, row) {
        (Some(Op::Truncate), _) => Some(Staged::default()),
        (_, None) => None,
        (Some(Op::Update), Some((data, old))) => overlay(rows, data, old, options),
        (Some(Op::Delete), Some((data, _))) => {
            rows.image(data, Stated::Absent).map(|image| Staged { before: Some(image), after: None })
        }
        (_, Some((data, _))) => {
            rows.image(data, Stated::Absent).map(|image| Staged { before: None, after: Some(image) })
        }
    };
    let Some(staged) = staged else {
        return feed.unparsable(Some(target), "expected an object as row");
    };
    feed.push(target, change, &staged, &mut |cells, data_type, _, raw| value(cells, data_type, raw, bytes));
}

fn value(cells: &mut CellBuilder, data_type: &DataType, raw: &str, bytes: Bytes) -> Result<(), Misfit> {
    use DataType as D;
    let binary = matches!(data_type, D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_));
    if binary && raw.starts_with('"') {
        let text = json::text(raw).unwrap_or_default();
        return cells.push_bytes(&bytes(&text).ok_or_else(|| Misfit::new("bytes", raw))?);
    }
    cells.push_json(raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::{decode_all, show, target};
    use crate::ledger::{DecodeOptions, Format, Stream};
    use crate::model::DiscrepancyKind;

    fn decode(format: Format, lines: &[&str]) -> (Vec<String>, Vec<DiscrepancyKind>, Stream) {
        let columns = [
            ("id!", DataType::Int64),
            ("name", DataType::Utf8),
            ("price", DataType::Decimal128(10, 2)),
            ("photo", DataType::Binary),
        ];
        let targets = [target("item", &columns)];
        let options = DecodeOptions::default();
        let (decoded, carry) = decode_all(format, &[&lines.join("\n")], &targets, &options);
        let notes = decoded[0].notes.iter().map(|n| n.kind).collect();
        (show(&decoded[0].changes[0], &targets[0].schema), notes, carry.finish(&options))
    }

    #[test]
    fn rows_of_a_message_and_their_old_values() {
        let lines = [
            r#"{"data":[{"id":"7","name":"bolt M8","price":"19.99","photo":"\u001bÄ"},{"id":"8","name":null,"price":"1.00","photo":null}],"database":"fin","es":1711923304000,"id":92,"isDdl":false,"mysqlType":{"id":"int"},"old":[{"name":"bolt","price":"10.84"},{"name":"nut"}],"table":"item","ts":1711923304728,"type":"UPDATE"}"#,
            r#"{"data":null,"database":"fin","es":1711923305000,"isDdl":true,"sql":"ALTER TABLE item ADD x int","table":"item","type":"ALTER"}"#,
            r#"{"data":null,"database":"fin","es":1711923305000,"isDdl":true,"sql":"TRUNCATE item","table":"item","type":"TRUNCATE"}"#,
            r#"{"data":[],"database":"fin","es":1711923305000,"isDdl":false,"table":"item","type":"UPSERT"}"#,
        ];
        let (shown, notes, stream) = decode(Format::Canal, &lines);
        assert_eq!(
            shown,
            [
                "update id:7 name:bolt price:10.84 photo:1bc4 -> id:7 name:bolt M8 price:19.99 photo:1bc4",
                "update id:8 name:nut price:1.00 photo:null -> id:8 name:null price:1.00 photo:null",
                "truncate none -> none",
            ]
        );
        assert_eq!(notes, [DiscrepancyKind::SchemaDrift, DiscrepancyKind::UnparsableRecord]);
        assert!(stream.whole_seconds);
    }

    #[test]
    fn ticdc_orders_by_commit() {
        let lines = [
            r#"{"id":0,"database":"fin","table":"item","pkNames":["id"],"isDdl":false,"type":"UPDATE","es":1640007049196,"ts":1640007050284,"sql":"","sqlType":{},"mysqlType":{},"data":[{"id":"7","name":"b","price":"2.00","photo":null}],"old":[{"id":"7","name":"a","price":"1.00","photo":null}],"_tidb":{"commitTs":429918007904436226}}"#,
            r#"{"id":0,"database":"","table":"","isDdl":false,"type":"TIDB_WATERMARK","es":1640007049196,"_tidb":{"watermarkTs":429918007904436226}}"#,
        ];
        let (shown, notes, stream) = decode(Format::Canal, &lines);
        assert_eq!(shown, ["update id:7 name:a price:1.00 photo:null -> id:7 name:b price:2.00 photo:null"]);
        assert_eq!(notes, []);
        assert_eq!(stream.positions, Some(PositionKind::Tso));
        assert!(!stream.whole_seconds);
    }

    #[test]
    fn ticdc_simple() {
        let lines = [
            r#"{"version":1,"type":"WATERMARK","commitTs":447984124732375041,"buildTs":1708923662848}"#,
            r#"{"version":1,"database":"fin","table":"item","tableID":148,"type":"UPDATE","commitTs":447984099186180098,"buildTs":1,"schemaVersion":447984099186180097,"data":{"id":"7","name":"b","price":"2.00","photo":"G8Q="},"old":{"id":"7","name":"a","price":"1.00","photo":null}}"#,
            r#"{"version":1,"database":"fin","table":"item","type":"DELETE","commitTs":447984114259722243,"buildTs":1,"schemaVersion":447984099186180097,"old":{"id":"7","name":"b","price":"2.00","photo":"G8Q="}}"#,
        ];
        let (shown, notes, _) = decode(Format::TiCdc, &lines);
        assert_eq!(
            shown,
            [
                "update id:7 name:a price:1.00 photo:null -> id:7 name:b price:2.00 photo:1bc4",
                "delete id:7 name:b price:2.00 photo:1bc4 -> none",
            ]
        );
        assert_eq!(notes, []);
    }
}
