//! AWS DMS messages for Kafka and Kinesis: `{"data", "metadata"}`, one per row.
//!
//! Messages have the row after the change (before a delete). The row before an
//! update is there where the task writes it: as columns with a prefix (`BI_…`) or as
//! an object beside `data`. What the source did not log DMS writes as null or leaves out, so that a null of
//! an update or a delete says less than it seems: it counts as ambiguous, and a delete with nothing but nulls
//! beside the key holds the key alone. Declare `full_images = true` where the source logs whole rows, and
//! `missing = "null"` where `IncludeNullAndEmpty` is off and no column holds empty texts.
//!
//! The rows of files for S3 say the same in columns (see `dms_rows`).
//!
//! Limits: without `IncludeTransactionDetails` there is no commit time; the time
//! at which a message was built stands in, and that is said. Whole numbers that DMS wrote in scientific notation are
//! taken only while they are exact.

use arrow::datatypes::DataType;

use super::Missing;
use super::decode::Clock;
use super::dms_rows;
use super::feed::{Change, Feed, Producer, any_layer, image_of, missing};
use super::image::{Rows, Staged, Stated};
use super::json::{self, Raw, raw_text};
use super::unwrap::Message;
use crate::model::{DiscrepancyKind, Op};
use crate::read::ChangeRows;
use crate::read::cell::{CellBuilder, Misfit};

/// The decoder; it needs no state.
#[derive(Debug, Default)]
pub(super) struct Dms;

/// What stands before the names of columns that hold the row before.
pub(super) const BEFORE: &str = "BI_";

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Record<'a> {
    #[serde(borrow)]
    data: Raw<'a>,
    #[serde(borrow)]
    metadata: Raw<'a>,
    #[serde(borrow)]
    control: Raw<'a>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Metadata<'a> {
    #[serde(borrow)]
    timestamp: Raw<'a>,
    #[serde(borrow)]
    record_type: Raw<'a>,
    #[serde(borrow)]
    operation: Raw<'a>,
    #[serde(borrow)]
    schema_name: Raw<'a>,
    #[serde(borrow)]
    table_name: Raw<'a>,
    #[serde(borrow)]
    transaction_id: Raw<'a>,
    #[serde(borrow)]
    commit_timestamp: Raw<'a>,
}

fn metadata<'a>(record: &Record<'a>) -> Option<Metadata<'a>> {
    let metadata: Metadata<'a> = serde_json::from_str(record.metadata?.get()).ok()?;
    metadata.operation.is_some().then_some(metadata)
}

/// Whether a record can only come from DMS.
pub(super) fn is_dms(text: &str) -> bool {
    any_layer(text, &|message| {
        let Ok(record) = serde_json::from_str::<Record<'_>>(message.text) else { return false };
        (record.data.is_some() || record.control.is_some())
            && metadata(&record).is_some_and(|m| m.record_type.is_some())
    })
}

impl Producer for Dms {
    const NAME: &'static str = "AWS DMS";

    fn message(&mut self, message: &Message<'_>, feed: &mut Feed<'_>) -> bool {
        let Ok(record) = serde_json::from_str::<Record<'_>>(message.text) else { return false };
        let Some(metadata) = metadata(&record) else { return false };
        let word = json::scalar(metadata.operation).unwrap_or_default();
        let table = [None, json::scalar(metadata.schema_name), json::scalar(metadata.table_name)];
        let op = match said(&word) {
            Said::Change(op) => op,
            Said::Definition => {
                feed.drift(table, &word);
                return true;
            }
            Said::Nothing => return true,
            Said::Unknown if json::scalar(metadata.record_type).as_deref() == Some("control") => return true,
            Said::Unknown => {
                unknown(&word, feed);
                return true;
            }
        };
        let transaction = json::scalar(metadata.transaction_id);
        let mut change = Change { op: Some(op), transaction, ..Change::default() };
        let Some(target) = feed.begin(table, &change) else { return true };
        let stated = json::scalar(metadata.commit_timestamp);
        let commits = stated.is_some() || metadata.timestamp.is_none();
        if let Some(time) = stated.or_else(|| json::scalar(metadata.timestamp)) {
            change.committed_at = feed.instant(&time);
            feed.clock(if commits { Clock::Commit } else { Clock::Statement });
        }
        if !commits {
            let message =
                "the ledger records no commit times; the times at which its messages were built stand in";
            feed.once(DiscrepancyKind::CoverageAssumed, target, "", message);
        }
        let reading = Reading {
            op,
            full: feed.options.full_identity == Some(true),
            left_out: feed.options.missing,
            declared: missing(feed.options),
        };
        let staged = match (op, raw_text(record.data)) {
            (Op::Truncate, _) => Some(Staged::default()),
            (_, Some(data)) => stage(feed.rows(target), data, before_object(message.text), &reading),
            (_, None) => None,
        };
        match staged {
            Some(staged) => feed.push(target, &change, &staged, &mut value),
            None => feed.unparsable(Some(target), "expected an object as data"),
        }
        true
    }

    fn rows(&mut self, rows: &ChangeRows, feed: &mut Feed<'_>) {
        dms_rows::take(rows, feed);
    }
}

/// What an operation says.
pub(super) enum Said {
    Change(Op),
    Definition,
    Nothing,
    Unknown,
}

/// What the word for an operation says, in messages or, as one letter, in files.
pub(super) fn said(word: &str) -> Said {
    Said::Change(match word {
        "load" => Op::Read,
        "insert" | "I" => Op::Insert,
        "update" | "U" => Op::Update,
        "delete" | "D" => Op::Delete,
        "truncate-table" | "drop-table" => Op::Truncate,
        "add-column" | "drop-column" | "rename-column" | "column-type-change" | "change-columns"
        | "rename-table" => return Said::Definition,
        "create-table" => return Said::Nothing,
        _ => return Said::Unknown,
    })
}

pub(super) fn unknown(word: &str, feed: &mut Feed<'_>) {
    feed.unparsable(None, format!("expected an operation of load, insert, update or delete, found {word:?}"));
}

/// How a message is to be understood.
struct Reading {
    op: Op,
    full: bool,
    left_out: Missing,
    declared: Stated<'static>,
}

/// The row before an update, as an object under whatever name the task gives it.
fn before_object(text: &str) -> Option<&str> {
    let mut found = None;
    json::checked_members(text, |name, raw| {
        if !matches!(name, "data" | "metadata" | "control") && raw.starts_with('{') {
            found = Some(raw);
        }
    });
    found
}

fn stage<'r>(
    rows: &mut Rows<'_>,
    data: &'r str,
    before: Option<&'r str>,
    reading: &Reading,
) -> Option<Staged<'r>> {
    let op = reading.op;
    // Nothing is said of a column that an insert or a delete leaves out, unless it is null.
    let absent = if reading.left_out == Missing::Null { Stated::Null } else { Stated::Absent };
    let row = image_of(rows, data, if op == Op::Update { reading.declared } else { absent }, |name| {
        (!name.starts_with(BEFORE)).then_some(name)
    })?;
    let mut staged = Staged::default();
    match op {
        Op::Update => {
            let mut old = image_of(rows, data, Stated::Absent, |name| name.strip_prefix(BEFORE))?;
            if let Some(object) = before.and_then(|object| rows.image(object, Stated::Absent)) {
                for (cell, stated) in old.iter_mut().zip(object).filter(|(_, stated)| stated.is_stated()) {
                    *cell = stated;
                }
            }
            (staged.before, staged.after) = (Some(old), Some(row));
            rows.share_key(&mut staged);
        }
        Op::Delete => staged.before = Some(row),
        _ => staged.after = Some(row),
    }
    if !reading.full && matches!(op, Op::Update | Op::Delete) {
        doubt_nulls(rows, &mut staged);
    }
    Some(staged)
}

/// Nulls of updates and deletes may stand for what the source did not log.
pub(super) fn doubt_nulls(rows: &Rows<'_>, staged: &mut Staged<'_>) {
    let schema = &rows.target.schema;
    for (is_before, image) in [(true, &mut staged.before), (false, &mut staged.after)] {
        let Some(image) = image else { continue };
        let others = || (0..schema.len()).filter(|&column| !schema.is_key(column));
        let key_alone = is_before && others().all(|column| !matches!(image[column], Stated::Json(_)));
        for column in others() {
            if image[column] == Stated::Null {
                image[column] = if key_alone { Stated::Absent } else { Stated::DoubtfulNull };
            }
        }
    }
}

fn value(cells: &mut CellBuilder, data_type: &DataType, _: usize, raw: &str) -> Result<(), Misfit> {
    let (mantissa, exponent) = raw.split_once(['e', 'E']).unwrap_or((raw, ""));
    let number = raw.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    if number && !exponent.is_empty() && !data_type.is_floating() && digits > 15 {
        return Err(Misfit::new("a number that was never a float", raw));
    }
    cells.push_json(raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::{decode_all, show, target};
    use crate::ledger::{DecodeOptions, Format};

    fn decode(lines: &[&str], options: &DecodeOptions) -> (Vec<String>, Vec<DiscrepancyKind>) {
        let columns =
            [("id!", DataType::Int64), ("name", DataType::Utf8), ("price", DataType::Decimal128(10, 2))];
        let targets = [target("item", &columns)];
        let (decoded, _) = decode_all(Format::Dms, &[&lines.join("\n")], &targets, options);
        let notes = decoded[0].notes.iter().map(|n| n.kind).collect();
        (show(&decoded[0].changes[0], &targets[0].schema), notes)
    }

    fn line(operation: &str, data: &str) -> String {
        format!(
            r#"{{"data":{data},"metadata":{{"timestamp":"2024-03-31T22:15:05.870000Z","record-type":"data","operation":"{operation}","partition-key-type":"schema-table","schema-name":"fin","table-name":"item","transaction-id":670014899490,"commit-timestamp":"2024-03-31T22:15:04.000000Z"}}}}"#
        )
    }

    #[test]
    fn nulls_of_updates_and_deletes_say_less() {
        let update = line("update", r#"{"id":7,"name":null,"price":19.99,"BI_id":7,"BI_name":"bolt"}"#);
        let lines = [
            line("load", r#"{"id":6,"name":null}"#),
            line("insert", r#"{"id":7,"name":null,"price":1}"#),
            update.clone(),
            line("delete", r#"{"id":7,"name":"x","price":null}"#),
            line("delete", r#"{"id":8,"name":null,"price":null}"#),
            line("insert", r#"{"id":1.2345678901234568e+17,"name":"y"}"#),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (shown, notes) = decode(&lines, &DecodeOptions::default());
        assert_eq!(
            shown,
            [
                "read none -> id:6 name:null price:?",
                "insert none -> id:7 name:null price:1.00",
                "update id:7 name:bolt price:? -> id:7 name:null? price:19.99",
                "delete id:7 name:x price:null? -> none",
                "delete id:8 name:? price:? -> none",
            ]
        );
        assert_eq!(notes, [DiscrepancyKind::LossyValue]);
        let full = DecodeOptions { full_identity: Some(true), ..DecodeOptions::default() };
        assert_eq!(
            decode(&[&update], &full).0,
            ["update id:7 name:bolt price:? -> id:7 name:null price:19.99"]
        );
    }

    #[test]
    fn control_records_and_rows_before_as_objects() {
        let lines = [
            r#"{"control":{"table-def":{"columns":{"id":{"type":"INT32","nullable":false}},"primary-key":["id"]}},"metadata":{"timestamp":"2024-03-31T22:15:05Z","record-type":"control","operation":"create-table","schema-name":"fin","table-name":"item"}}"#,
            r#"{"data":{"id":7,"name":"b","price":2},"before-image":{"id":7,"name":"a","price":1},"metadata":{"timestamp":"2024-03-31T22:15:05Z","record-type":"data","operation":"update","schema-name":"fin","table-name":"item"}}"#,
            r#"{"data":{"id":7},"metadata":{"timestamp":"2024-03-31T22:15:05Z","record-type":"data","operation":"merge","schema-name":"fin","table-name":"item"}}"#,
        ];
        let (shown, notes) = decode(&lines, &DecodeOptions::default());
        assert_eq!(shown, ["update id:7 name:a price:1.00 -> id:7 name:b price:2.00"]);
        assert_eq!(notes, [DiscrepancyKind::CoverageAssumed, DiscrepancyKind::UnparsableRecord]);
    }
}
