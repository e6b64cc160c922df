//! Oracle GoldenGate's JSON: one object per operation, with `before` and `after` ("operation modeled"), or with the
//! columns beside the op ("row modeled").
//!
//! A column that an image leaves out, or whose `…_isMissing` says so, is not
//! recorded. That is so under compressed updates, whose images have the key and
//! the changed columns alone; where supplemental logging is known to work that way, `missing = "unchanged"` says
//! that what an update leaves out did not change.
//!
//! `op_ts` has no zone; the ledger's `time_zone` must be declared.

use std::borrow::Cow;

use arrow::datatypes::DataType;

use super::decode::Clock;
use super::feed::{Change, Feed, Place, Producer, any_layer, image_of, missing};
use super::image::{Rows, Staged, Stated};
use super::json::{self, Raw, raw_text};
use super::position::PositionKind;
use super::unwrap::Message;
use crate::model::Op;
use crate::read::cell::{CellBuilder, Misfit};

/// The decoder; it needs no state.
#[derive(Debug, Default)]
pub(super) struct GoldenGate;

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Record<'a> {
    #[serde(borrow)]
    table: Raw<'a>,
    #[serde(borrow)]
    op_type: Raw<'a>,
    #[serde(borrow)]
    op_ts: Raw<'a>,
    #[serde(borrow)]
    pos: Raw<'a>,
    #[serde(borrow)]
    xid: Raw<'a>,
    #[serde(borrow)]
    before: Raw<'a>,
    #[serde(borrow)]
    after: Raw<'a>,
}

/// Members of row-modeled records that are no columns.
const META: [&str; 17] = [
    "table",
    "op_type",
    "op_ts",
    "current_ts",
    "pos",
    "primary_keys",
    "tokens",
    "xid",
    "csn",
    "txind",
    "before",
    "after",
    "operation_type",
    "position",
    "catalog",
    "schema",
    "uniqueid",
];

/// Whether a record can only come from GoldenGate.
pub(super) fn is_goldengate(text: &str) -> bool {
    any_layer(text, &|message| {
        let Ok(record) = serde_json::from_str::<Record<'_>>(message.text) else { return false };
        record.table.is_some() && record.op_type.is_some() && (record.op_ts.is_some() || record.pos.is_some())
    })
}

fn op(word: &str) -> Option<Op> {
    Some(match word.to_ascii_uppercase().as_str() {
        "I" | "INSERT" => Op::Insert,
        "U" | "UPDATE" | "PK UPDATE" | "GGSPKUPDATE" | "SQL COMPUPDATE" => Op::Update,
        "D" | "DELETE" => Op::Delete,
        "T" | "TRUNCATE" => Op::Truncate,
        _ => return None,
    })
}

impl Producer for GoldenGate {
    const NAME: &'static str = "GoldenGate";

    fn message(&mut self, message: &Message<'_>, feed: &mut Feed<'_>) -> bool {
        let Ok(record) = serde_json::from_str::<Record<'_>>(message.text) else { return false };
        let (Some(table), Some(word)) = (json::scalar(record.table), json::scalar(record.op_type)) else {
            return false;
        };
        let Some(op) = op(&word) else {
            feed.unparsable(None, format!("expected an op_type of I, U, D or T, found {word:?}"));
            return true;
        };
        let mut change = Change { op: Some(op), transaction: json::scalar(record.xid), ..Change::default() };
        if let Some(time) = json::scalar(record.op_ts) {
            change.committed_at = feed.instant(&with_blank(&time));
            feed.clock(Clock::Commit);
        }
        let own = json::scalar(record.pos).and_then(|pos| pos.parse::<u128>().ok());
        if let Some(own) = own {
            change.place = Place::At { commit: None, own };
            feed.kind(PositionKind::Number);
        }
        let Some(target) = feed.begin(table_parts(&table), &change) else { return true };
        let left_out = if op == Op::Update { missing(feed.options) } else { Stated::Absent };
        let staged = stage(&record, message.text, op, left_out, feed.rows(target));
        feed.push(target, &change, &staged, &mut value);
        true
    }
}

fn stage<'r>(
    record: &Record<'r>,
    text: &'r str,
    op: Op,
    left_out: Stated<'static>,
    rows: &mut Rows<'_>,
) -> Staged<'r> {
    let mut staged = Staged::default();
    if op == Op::Truncate {
        return staged;
    }
    if record.before.is_none() && record.after.is_none() {
        // Row modeled: the columns stand beside the op.
        let row = image(rows, text, left_out);
        match op {
            Op::Delete => staged.before = row,
            _ => staged.after = row,
        }
    } else {
        if op != Op::Insert {
            staged.before = raw_text(record.before).and_then(|object| image(rows, object, left_out));
        }
        if op != Op::Delete {
            staged.after = raw_text(record.after).and_then(|object| image(rows, object, left_out));
        }
    }
    if op == Op::Update && !rows.target.schema.is_keyless() {
        staged.before.get_or_insert_with(|| rows.blank(Stated::Absent));
        rows.share_key(&mut staged);
    }
    if let (Some(before), Some(after)) = (&mut staged.before, &mut staged.after) {
        for (old, new) in before.iter_mut().zip(after) {
            // What one side states, and the other leaves out as unchanged, is the same on both.
            match (*old, *new) {
                (Stated::Unchanged, new) if new.is_stated() => *old = Stated::Absent,
                (old, Stated::Unchanged) if old.is_stated() => *new = old,
                _ => {}
            }
        }
    }
    staged
}

/// An image without the twins that say which columns are missing.
fn image<'r>(rows: &mut Rows<'_>, object: &'r str, left_out: Stated<'static>) -> Option<Vec<Stated<'r>>> {
    let mut gone: Vec<String> = Vec::new();
    let mut cells = image_of(rows, object, left_out, |name| {
        let meta = META.contains(&name) || name.ends_with("_isMissing");
        (!meta).then_some(name)
    })?;
    json::checked_members(object, |name, raw| {
        if raw == "true"
            && let Some(column) = name.strip_suffix("_isMissing")
        {
            gone.push(column.to_owned());
        }
    });
    for name in gone {
        if let Some(column) = rows.names.find(&name, 0) {
            cells[column] = left_out;
        }
    }
    Some(cells)
}

fn table_parts(name: &str) -> [Option<Cow<'_, str>>; 3] {
    let mut parts = name.rsplitn(3, '.').map(Cow::Borrowed);
    let (table, schema, catalog) = (parts.next(), parts.next(), parts.next());
    [catalog, schema, table]
}

/// Older versions write a colon between date and time.
fn with_blank(text: &str) -> Cow<'_, str> {
    match text.as_bytes().get(10) {
        Some(b':') => Cow::Owned(format!("{} {}", &text[..10], &text[11..])),
        _ => Cow::Borrowed(text),
    }
}

fn value(cells: &mut CellBuilder, data_type: &DataType, _: usize, raw: &str) -> Result<(), Misfit> {
    if data_type.is_temporal() && raw.starts_with('"') {
        let text = json::text(raw).unwrap_or_default();
        let text = with_blank(&text);
        // DATE of Oracle has a time of day, which is midnight where the column holds dates.
        let midnight = text
            .strip_suffix(" 00:00:00")
            .filter(|_| matches!(data_type, DataType::Date32 | DataType::Date64));
        return cells.push_text(midnight.unwrap_or(&text));
    }
    cells.push_json(raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::{decode_all, show, target};
    use crate::ledger::{DecodeOptions, Format, Missing};
    use crate::model::DiscrepancyKind;

    fn decode(lines: &[&str], missing: Missing) -> (Vec<String>, Vec<DiscrepancyKind>, Vec<u128>) {
        let columns = [
            ("ID!", DataType::Int64),
            ("NAME", DataType::Utf8),
            ("PRICE", DataType::Decimal128(10, 2)),
            ("SINCE", DataType::Date32),
        ];
        let targets = [target("FIN.ITEM", &columns)];
        let options = DecodeOptions { time_zone: Some(chrono_tz::UTC), missing, ..DecodeOptions::default() };
        let (decoded, _) = decode_all(Format::GoldenGate, &[&lines.join("\n")], &targets, &options);
        let batch = &decoded[0].changes[0];
        let notes = decoded[0].notes.iter().map(|n| n.kind).collect();
        (show(batch, &targets[0].schema), notes, batch.position.clone().unwrap_or_default())
    }

    const UPDATE: &str = r#"{"table":"FIN.ITEM","op_type":"U","op_ts":"2024-03-31 22:15:04.123456","pos":"00000000000000000147","primary_keys":["ID"],"before":{"ID":7,"NAME":"bolt"},"after":{"ID":7,"NAME":null,"SINCE":"1993-11-03:00:00:00"}}"#;

    #[test]
    fn operations() {
        let lines = [
            UPDATE,
            r#"{"table":"FIN.ITEM","op_type":"D","op_ts":"2024-04-01 08:00:00.000000","pos":"00000000000000000152","before":{"ID":9,"ID_isMissing":false,"NAME":null,"NAME_isMissing":true,"PRICE":null,"PRICE_isMissing":false},"after":null}"#,
            r#"{"table":"FIN.ITEM","op_type":"T","op_ts":"2024-04-01 08:00:00.000000","pos":"00000000000000000153"}"#,
            r#"{"table":"FIN.ITEM","op_type":"I","op_ts":"2024-04-01 08:00:00.000000","pos":"00000000000000000154","ID":3,"NAME":"row modeled","PRICE":1.50}"#,
            r#"{"table":"FIN.ITEM","op_type":"X","op_ts":"2024-04-01 08:00:00.000000","pos":"00000000000000000155"}"#,
        ];
        let (shown, notes, positions) = decode(&lines, Missing::Absent);
        assert_eq!(
            shown,
            [
                "update ID:7 NAME:bolt PRICE:? SINCE:? -> ID:7 NAME:null PRICE:? SINCE:1993-11-03",
                "delete ID:9 NAME:? PRICE:null SINCE:? -> none",
                "truncate none -> none",
                "insert none -> ID:3 NAME:row modeled PRICE:1.50 SINCE:?",
            ]
        );
        assert_eq!(notes, [DiscrepancyKind::UnparsableRecord]);
        assert_eq!(positions, [147, 152, 153, 154]);
    }

    #[test]
    fn compressed_updates_where_they_are_declared() {
        let (shown, ..) = decode(&[UPDATE], Missing::Unchanged);
        assert_eq!(
            shown,
            ["update ID:7 NAME:bolt PRICE:= SINCE:? -> ID:7 NAME:null PRICE:= SINCE:1993-11-03"]
        );
    }
}
