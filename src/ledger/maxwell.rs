//! Maxwell's daemon: one JSON object per row, `data` as it is after the change (before a delete), `old` with the
//! values of changed columns before it.
//!
//! The before image of an update is `data` overlaid with `old`. That holds for
//! whole row images only: under `binlog_row_image=MINIMAL` a changed column may be
//! missing from `old`. So a stream in which updates leave columns out has before images of keys alone. With
//! `output_nulls=false` columns that are null are left out (declare `missing = "null"`).
//!
//! Order is by `position` and `xoffset` where the stream has them, else as
//! delivered. Times are whole seconds of the event; TIMESTAMP values are in UTC.
//!
//! Limits: truncates are not in the stream. JSON values are written in MySQL's own notation. Arrays of texts
//! are sets where `labels` are declared, else they are not read: they could be JSON as well.

use std::borrow::Cow;

use arrow::datatypes::DataType;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::decode::Clock;
use super::feed::{Change, Feed, Place, Producer, any_layer, nanoseconds, overlay};
use super::image::{Staged, Stated};
use super::json::{self, Raw, raw_text};
use super::position::{PositionKind, binlog_file, binlog_position};
use super::unwrap::Message;
use crate::model::Op;
use crate::read::cell::{CellBuilder, Misfit};

/// The decoder; it needs no state.
#[derive(Debug, Default)]
pub(super) struct Maxwell;

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
    ts: Raw<'a>,
    #[serde(borrow)]
    xid: Raw<'a>,
    #[serde(borrow)]
    xoffset: Raw<'a>,
    #[serde(borrow)]
    position: Raw<'a>,
    #[serde(borrow)]
    gtid: Raw<'a>,
    #[serde(borrow)]
    data: Raw<'a>,
    #[serde(borrow)]
    old: Raw<'a>,
    #[serde(borrow)]
    sql: Raw<'a>,
    #[serde(borrow, rename = "isDdl")]
    is_ddl: Raw<'a>,
}

/// What a `type` says.
enum Kind {
    Row(Op),
    Empties,
    Defines,
    Nothing,
}

fn kind(word: &str) -> Option<Kind> {
    Some(match word {
        "insert" => Kind::Row(Op::Insert),
        "update" => Kind::Row(Op::Update),
        "delete" => Kind::Row(Op::Delete),
        "bootstrap-insert" => Kind::Row(Op::Read),
        "table-drop" => Kind::Empties,
        "table-alter" => Kind::Defines,
        "bootstrap-start" | "bootstrap-complete" | "table-create" | "heartbeat" => Kind::Nothing,
        _ if word.starts_with("database-") => Kind::Nothing,
        _ => return None,
    })
}

/// Whether a record can only come from Maxwell.
pub(super) fn is_maxwell(text: &str) -> bool {
    any_layer(text, &|message| {
        let Ok(record) = serde_json::from_str::<Record<'_>>(message.text) else { return false };
        let known = json::scalar(record.kind).is_some_and(|word| kind(&word).is_some());
        known && record.database.is_some() && record.ts.is_some() && record.is_ddl.is_none()
    })
}

impl Producer for Maxwell {
    const NAME: &'static str = "Maxwell";

    fn message(&mut self, message: &Message<'_>, feed: &mut Feed<'_>) -> bool {
        let Ok(record) = serde_json::from_str::<Record<'_>>(message.text) else { return false };
        let (Some(word), Some(_)) = (json::scalar(record.kind), record.database) else { return false };
        let table = [None, json::scalar(record.database), json::scalar(record.table)];
        match kind(&word) {
            Some(Kind::Row(op)) => row(&record, op, table, feed),
            Some(Kind::Empties) => row(&record, Op::Truncate, table, feed),
            Some(Kind::Defines) => {
                feed.drift(table, json::scalar(record.sql).as_deref().unwrap_or("table-alter"))
            }
            Some(Kind::Nothing) => {}
            None => feed.unparsable(
                None,
                format!("expected a type of insert, update, delete or bootstrap-insert, found {word:?}"),
            ),
        }
        true
    }
}

fn row(record: &Record<'_>, op: Op, table: [Option<Cow<'_, str>>; 3], feed: &mut Feed<'_>) {
    let ts: Option<i64> = json::integer(record.ts);
    // Definitions bear milliseconds, rows seconds.
    let millis = ts.is_some_and(|ts| ts.unsigned_abs() > 100_000_000_000);
    let position = json::scalar(record.position);
    let place = position.as_deref().and_then(|text| place(text, json::integer(record.xoffset)));
    let mut change = Change {
        op: Some(op),
        committed_at: nanoseconds(ts, if millis { 1_000_000 } else { 1_000_000_000 }),
        transaction: transaction(record, place.as_ref().map(|(file, _)| *file)),
        weak: op == Op::Update,
        ..Change::default()
    };
    feed.decoded.edge.whole_seconds |= !millis;
    feed.clock(Clock::Statement);
    if let Some((file, own)) = place {
        let stem = binlog_file(file).map_or("", |(stem, _)| stem);
        feed.kind(PositionKind::Binlog(stem.to_owned()));
        change.place = Place::At { commit: None, own };
    }
    let Some(target) = feed.begin(table, &change) else { return };
    let options = feed.options;
    let rows = feed.rows(target);
    let data = raw_text(record.data);
    let staged = match op {
        Op::Truncate => Some(Staged::default()),
        Op::Update => data.and_then(|data| overlay(rows, data, raw_text(record.old), options)),
        Op::Delete => data
            .and_then(|data| rows.image(data, before_missing(options)))
            .map(|image| Staged { before: Some(image), after: None }),
        _ => data
            .and_then(|data| rows.image(data, before_missing(options)))
            .map(|image| Staged { before: None, after: Some(image) }),
    };
    let Some(staged) = staged else {
        return feed.unparsable(Some(target), "expected an object as data");
    };
    let labels = feed.options.labels.get(target).cloned().unwrap_or_default();
    let names: Vec<String> = feed.rows(target).target.schema.names().map(str::to_owned).collect();
    feed.push(target, &change, &staged, &mut |cells, data_type, column, raw| {
        value(cells, data_type, raw, labels.iter().any(|(name, _)| *name == names[column]))
    });
}

/// What an image of one side leaves out is null where nulls are left out, else it is not recorded.
fn before_missing(options: &super::DecodeOptions) -> Stated<'static> {
    if options.missing == super::Missing::Null { Stated::Null } else { Stated::Absent }
}

/// Transaction ids begin anew with every start of the server, and so does a log file.
fn transaction<'a>(record: &Record<'a>, file: Option<&str>) -> Option<Cow<'a, str>> {
    let gtid = json::scalar(record.gtid).filter(|gtid| !gtid.is_empty());
    gtid.or_else(|| {
        let xid = json::scalar(record.xid)?;
        Some(match file {
            Some(file) => Cow::Owned(format!("{file}/{xid}")),
            None => xid,
        })
    })
}

/// `mysql-bin.000003:1442`, and the row in the transaction. The last row of a transaction has no number.
fn place(text: &str, row: Option<u32>) -> Option<(&str, u128)> {
    let (file, offset) = text.rsplit_once(':')?;
    let (_, number) = binlog_file(file)?;
    Some((file, binlog_position(number, offset.parse().ok()?, row.unwrap_or(u32::MAX))))
}

fn value(cells: &mut CellBuilder, data_type: &DataType, raw: &str, is_set: bool) -> Result<(), Misfit> {
    use DataType as D;
    match (data_type, raw.as_bytes().first()) {
        (D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_), Some(b'"')) => {
            let text = json::text(raw).unwrap_or_default();
            let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| Misfit::new("bytes as base64", raw))?;
            cells.push_bytes(&bytes)
        }
        // Without an offset in the text, but always in UTC.
        (D::Timestamp(_, Some(_)), Some(b'"')) => {
            let text = json::text(raw).unwrap_or_default();
            cells.push_text(&format!("{}Z", text.trim_end_matches('Z')))
        }
        (D::Utf8 | D::LargeUtf8 | D::Utf8View, Some(b'['))
            if texts_alone(raw) && raw != "[]" || raw == "[]" && is_set =>
        {
            if !is_set {
                return Err(Misfit::new(
                    "a value that is surely a set or surely JSON (declare `labels`)",
                    raw,
                ));
            }
            let mut words = Vec::new();
            json::elements(raw, |word| words.extend(json::text(word)))
                .map_err(|_| Misfit::new("a list of words", raw))?;
            cells.push_text(&words.join(","))
        }
        (D::Utf8 | D::LargeUtf8 | D::Utf8View, Some(b'[' | b'{')) => cells.push_text(&mysql_json(raw)),
        _ => cells.push_json(raw),
    }
}

fn texts_alone(raw: &str) -> bool {
    let mut others = false;
    json::elements(raw, |word| others |= !word.starts_with('"')).is_ok() && !others
}

/// JSON with a blank behind each comma and colon, as MySQL prints it.
fn mysql_json(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len() + raw.len() / 8);
    let (mut inside, mut escaped) = (false, false);
    for c in raw.chars() {
        if inside {
            text.push(c);
            inside = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            '"' => inside = true,
            c if c.is_ascii_whitespace() => continue,
            _ => {}
        }
        text.push(c);
        if matches!(c, ',' | ':') {
            text.push(' ');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::{decode_all, show, target};
    use crate::ledger::{DecodeOptions, Format, Missing};
    use crate::model::DiscrepancyKind;

    fn decode(lines: &[&str], options: &DecodeOptions) -> (Vec<String>, Vec<DiscrepancyKind>, bool) {
        let columns = [
            ("id!", DataType::Int64),
            ("name", DataType::Utf8),
            ("price", DataType::Decimal128(10, 2)),
            ("doc", DataType::Utf8),
            ("photo", DataType::Binary),
        ];
        let targets = [target("item", &columns)];
        let (decoded, carry) = decode_all(Format::Maxwell, &[&lines.join("\n")], &targets, options);
        let notes = decoded[0].notes.iter().map(|n| n.kind).collect();
        (show(&decoded[0].changes[0], &targets[0].schema), notes, carry.finish(options).positions.is_some())
    }

    #[test]
    fn an_update_is_its_data_overlaid_with_what_changed() {
        let lines = [
            r#"{"database":"d","table":"item","type":"insert","ts":1,"xid":1,"data":{"id":7,"name":"bolt","price":10.84,"doc":{"k":[1,"a, b"]},"photo":"G8Q="}}"#,
            r#"{"database":"d","table":"item","type":"update","ts":1,"xid":1,"commit":true,"data":{"id":7,"name":"bolt M8","price":19.99,"doc":null,"photo":null},"old":{"name":null,"price":10.84}}"#,
            r#"{"database":"d","table":"item","type":"update","ts":2,"xid":2,"commit":true,"data":{"id":8,"name":"x","price":1.00,"doc":null,"photo":null}}"#,
            r#"{"database":"d","table":"item","type":"bootstrap-start","ts":2,"data":{}}"#,
            r#"{"database":"d","table":"item","type":"bootstrap-insert","ts":2,"data":{"id":9,"name":null,"price":null,"doc":null,"photo":null}}"#,
            r#"{"database":"d","table":"item","type":"table-alter","ts":1711923304000,"sql":"alter table item add x int"}"#,
            r#"{"database":"d","table":"item","type":"purge","ts":2}"#,
        ];
        let (shown, notes, placed) = decode(&lines, &DecodeOptions::default());
        assert_eq!(
            shown,
            [
                r#"insert none -> id:7 name:bolt price:10.84 doc:{"k": [1, "a, b"]} photo:1bc4"#,
                "update id:7 name:null price:10.84 doc:null photo:null -> id:7 name:bolt M8 price:19.99 doc:null photo:null",
                // Without old values nothing shows that they would be there.
                "update id:8 name:? price:? doc:? photo:? -> id:8 name:x price:1.00 doc:null photo:null",
                "read none -> id:9 name:null price:null doc:null photo:null",
            ]
        );
        assert_eq!(notes, [DiscrepancyKind::SchemaDrift, DiscrepancyKind::UnparsableRecord]);
        assert!(placed);
    }

    #[test]
    fn minimal_images_make_no_before_images() {
        let lines = [
            r#"{"database":"d","table":"item","type":"insert","ts":1,"data":{"id":7,"name":"a","price":1.00,"doc":null,"photo":null}}"#,
            r#"{"database":"d","table":"item","type":"update","ts":2,"data":{"id":7,"name":"b"},"old":{"name":"a"}}"#,
        ];
        let (shown, ..) = decode(&lines, &DecodeOptions::default());
        assert_eq!(shown[1], "update id:7 name:? price:? doc:? photo:? -> id:7 name:b price:? doc:? photo:?");
        let nulls = DecodeOptions { missing: Missing::Null, ..DecodeOptions::default() };
        let (shown, ..) = decode(&lines, &nulls);
        // Nulls are left out: what is there now may have been null, what is not there now was null unless it is in old.
        assert_eq!(
            shown[1],
            "update id:7 name:a price:null doc:null photo:null -> id:7 name:b price:null doc:null photo:null"
        );
    }

    #[test]
    fn positions_of_events_and_rows() {
        let (file, own) = place("mysql-bin.000003:1442", Some(2)).unwrap();
        assert_eq!((file, own), ("mysql-bin.000003", binlog_position(3, 1442, 2)));
        assert!(own < place("mysql-bin.000003:1442", None).unwrap().1);
        assert_eq!(place("x", None), None);
        assert_eq!(mysql_json(r#"{"a":"x:\",y","b":[1,2]}"#), r#"{"a": "x:\",y", "b": [1, 2]}"#);
    }
}
