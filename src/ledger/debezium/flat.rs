//! Flattened records (`ExtractNewRecordState`): the row after each change, with members like `__op` beside its columns
//! where the transform is told to add them.
//!
//! There are no before images. What a row held before an update is what an
//! earlier record says of it, and without one it is not known. Deletes come as
//! rows with `__deleted`, or as tombstones: a key without a value, which says
//! nothing where records have `__deleted`. A row with `__deleted` may hold made-up zeros beside its key (see
//! the module above), so it counts as a key unless images are declared to be whole.
//!
//! Limits: without `__op` an insert cannot be told from an update; without `__source_ts_ms` there is no commit time.

use std::borrow::Cow;

use arrow::datatypes::DataType;

use super::encoding;
use super::values::{Encoding, Field, Values, decimal_mode, plausible};
use crate::ledger::decode::{Clock, TextEncoding};
use crate::ledger::feed::{Change, Feed, Producer, any_layer, image_of, nanoseconds};
use crate::ledger::image::{Rows, Staged, Stated, Writer as _};
use crate::ledger::json::{self, Raw};
use crate::ledger::placeholder::Placeholder;
use crate::ledger::unwrap::Message;
use crate::model::{DiscrepancyKind, Op};
use crate::read::cell::{CellBuilder, Misfit};

/// The decoder: what its chunk shows, and the schemas it has read.
#[derive(Debug, Default)]
pub(in super::super) struct Flat {
    /// Deletes are marked, so that tombstones repeat them.
    marked: bool,
    schemas: Vec<(usize, String, Vec<Encoding>)>,
    /// Per target met so far, how values are written by the types of its columns.
    by_type: Vec<(usize, Vec<Encoding>)>,
    placeholder: Option<Placeholder>,
    /// Room for what no single record needs: see [`Values`].
    variable: Vec<bool>,
    assumed: Vec<Option<(i64, i64)>>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Record<'a> {
    #[serde(borrow, rename = "__op")]
    op: Raw<'a>,
    #[serde(borrow, rename = "__deleted")]
    deleted: Raw<'a>,
    #[serde(borrow, rename = "__table", alias = "__source_table")]
    table: Raw<'a>,
    #[serde(borrow, rename = "__schema", alias = "__source_schema")]
    schema: Raw<'a>,
    #[serde(borrow, rename = "__db", alias = "__source_db")]
    database: Raw<'a>,
    #[serde(borrow, rename = "__source_ts_ms")]
    source_ts_ms: Raw<'a>,
    #[serde(borrow, rename = "__source_ts_us")]
    source_ts_us: Raw<'a>,
    #[serde(borrow, rename = "__source_ts_ns")]
    source_ts_ns: Raw<'a>,
    #[serde(borrow, rename = "__ts_ms")]
    ts_ms: Raw<'a>,
    #[serde(borrow, rename = "__txId", alias = "__source_txId")]
    transaction: Raw<'a>,
}

/// Whether a record can only be a flattened one.
pub(in super::super) fn is_flat(text: &str) -> bool {
    any_layer(text, &|message| {
        let Ok(record) = serde_json::from_str::<Record<'_>>(message.text) else { return false };
        record.op.is_some() || record.deleted.is_some() || record.source_ts_ms.is_some()
    })
}

impl Producer for Flat {
    const NAME: &'static str = "flattened Debezium";

    fn prepare(&mut self, text: &[u8]) {
        const SEEN: usize = 1 << 16;
        let edges = [&text[..text.len().min(SEEN)], &text[text.len().saturating_sub(SEEN)..]];
        self.marked = edges.iter().any(|edge| edge.windows(11).any(|w| w == b"\"__deleted\""));
    }

    fn message(&mut self, message: &Message<'_>, feed: &mut Feed<'_>) -> bool {
        if message.is_tombstone() {
            self.tombstone(message, feed);
            return true;
        }
        let wrapped =
            ["\"payload\"", "\"value\"", "\"specversion\""].iter().any(|name| message.text.contains(name));
        let Ok(record) = serde_json::from_str::<Record<'_>>(message.text) else { return false };
        if wrapped && record.op.is_none() && record.deleted.is_none() {
            return false;
        }
        let deleted = json::scalar(record.deleted).as_deref() == Some("true");
        let op = match json::scalar(record.op).as_deref() {
            _ if deleted => Op::Delete,
            Some("c") => Op::Insert,
            Some("u") => Op::Update,
            Some("d") => Op::Delete,
            Some("r") => Op::Read,
            Some("t") => Op::Truncate,
            None => Op::Upsert,
            Some(other) => {
                feed.unparsable(None, format!("expected an __op of c, u, d, r or t, found {other:?}"));
                return true;
            }
        };
        let change = change(&record, op, feed);
        let Some(target) = feed.begin(table(&record, message.topic), &change) else { return true };
        if record.ts_ms.is_some() && source_time(&record).is_none() {
            let message =
                "the ledger records no commit times; the times at which the connector worked stand in";
            feed.once(DiscrepancyKind::CoverageAssumed, target, "", message);
        }
        let full = feed.options.full_identity == Some(true);
        let text = &feed.options.placeholder;
        let placeholder = self.placeholder.get_or_insert_with(|| Placeholder::new(text));
        let Some(staged) = stage(feed.rows(target), message.text, op, full, placeholder) else {
            feed.unparsable(Some(target), "expected an object");
            return true;
        };
        self.push(target, &change, &staged, message.schema, feed);
        true
    }
}

impl Flat {
    /// A key without a value.
    fn tombstone(&self, message: &Message<'_>, feed: &mut Feed<'_>) {
        if self.marked {
            return;
        }
        let Some(key) = message.key.filter(|key| key.starts_with('{')) else {
            return feed.unparsable(
                None,
                "a tombstone without a key: a row was deleted, and nothing says which (dump keys along with values)",
            );
        };
        let mut payload = None;
        json::checked_members(key, |name, raw| {
            if name == "payload" && raw.starts_with('{') {
                payload = Some(raw);
            }
        });
        let change = Change { op: Some(Op::Delete), ..Change::default() };
        let Some(target) = feed.begin(table(&Record::default(), message.topic), &change) else { return };
        let image = feed.rows(target).image(payload.unwrap_or(key), Stated::Absent);
        let staged = Staged { before: image, after: None };
        feed.push(target, &change, &staged, &mut crate::ledger::feed::plain);
    }

    fn push(
        &mut self,
        target: usize,
        change: &Change<'_>,
        staged: &Staged<'_>,
        schema: Option<&str>,
        feed: &mut Feed<'_>,
    ) {
        let table = feed.rows(target).target;
        let described = schema.map(|schema| {
            let known = self.schemas.iter().position(|(t, s, _)| *t == target && s == schema);
            known.unwrap_or_else(|| {
                self.schemas.push((target, schema.to_owned(), encodings(schema, table)));
                self.schemas.len() - 1
            })
        });
        let epoch = feed.options.epoch;
        let known = self.by_type.iter().position(|(of, _)| *of == target);
        let by_type = known.unwrap_or_else(|| {
            let fields = table.schema.arrow().fields();
            let own = fields.iter().map(|f| Encoding::of_type(f.data_type(), epoch)).collect();
            self.by_type.push((target, own));
            self.by_type.len() - 1
        });
        let encodings = match described {
            Some(at) => self.schemas[at].2.as_slice(),
            None => self.by_type[by_type].1.as_slice(),
        };
        let assuming = described.is_none() && epoch.is_none();
        let options = feed.options;
        let (variable, assumed) = (&mut self.variable, &mut self.assumed);
        variable.clear();
        variable.resize(table.schema.len(), false);
        assumed.clear();
        assumed.resize(table.schema.len(), None);
        feed.push(target, change, staged, &mut |cells, data_type, column, raw| {
            unit_is_plausible(data_type, raw, assuming)?;
            let mut values = Values {
                encodings,
                decimals: options.decimals.or_else(|| mode(raw)),
                binary: options.binary.or(Some(TextEncoding::Base64)),
                variable: &mut *variable,
                assumed: &mut *assumed,
                assuming: false,
            };
            write(&mut values, cells, column, raw)
        });
    }
}

fn write(values: &mut Values<'_>, cells: &mut CellBuilder, column: usize, raw: &str) -> Result<(), Misfit> {
    values.write(cells, column, raw)
}

/// How a decimal proves to be written.
fn mode(raw: &str) -> Option<TextEncoding> {
    decimal_mode(&raw.starts_with('"').then(|| json::text(raw)).flatten()?)
}

/// A number that makes no sense in the column's own unit is one of another.
fn unit_is_plausible(data_type: &DataType, raw: &str, assuming: bool) -> Result<(), Misfit> {
    let (DataType::Timestamp(unit, _), true, Ok(number)) = (data_type, assuming, raw.parse::<i64>()) else {
        return Ok(());
    };
    if number == 0 || plausible(number, number, *unit) {
        return Ok(());
    }
    Err(Misfit::new("a count of the column's own time units (declare `timestamps`)", raw))
}

fn change<'a>(record: &Record<'a>, op: Op, feed: &mut Feed<'_>) -> Change<'a> {
    let source = source_time(record);
    if let Some((_, clock)) = source {
        feed.clock(clock);
    } else if record.ts_ms.is_some() {
        feed.clock(Clock::Statement);
    }
    let time = source.map(|(time, _)| time).or_else(|| nanoseconds(json::integer(record.ts_ms), 1_000_000));
    Change {
        op: Some(op),
        committed_at: time,
        transaction: json::scalar(record.transaction),
        ..Change::default()
    }
}

fn source_time(record: &Record<'_>) -> Option<(i64, Clock)> {
    let clocks = [(record.source_ts_ns, 1), (record.source_ts_us, 1_000), (record.source_ts_ms, 1_000_000)];
    let time = clocks.into_iter().find_map(|(raw, unit)| nanoseconds(json::integer(raw), unit))?;
    Some((time, Clock::Commit))
}

fn table<'a>(record: &Record<'a>, topic: Option<&'a str>) -> [Option<Cow<'a, str>>; 3] {
    if let Some(table) = json::scalar(record.table) {
        return [json::scalar(record.database), json::scalar(record.schema), Some(table)];
    }
    // The topic ends in schema and table.
    let topic = topic.and_then(json::text).unwrap_or_default().into_owned();
    let mut parts = topic.rsplit('.').map(|part| Cow::<str>::Owned(part.to_owned()));
    let (table, schema) = (parts.next().filter(|t| !t.is_empty()), parts.next());
    [None, schema, table]
}

fn stage<'r>(
    rows: &mut Rows<'_>,
    text: &'r str,
    op: Op,
    full: bool,
    placeholder: &Placeholder,
) -> Option<Staged<'r>> {
    let mut staged = Staged::default();
    if op == Op::Truncate {
        return Some(staged);
    }
    let mut row =
        Some(image_of(rows, text, Stated::Absent, |name| (!name.starts_with("__")).then_some(name))?);
    let unknown = if op == Op::Update { Stated::Unchanged } else { Stated::Absent };
    placeholder.blank(&mut row, unknown);
    if op == Op::Delete {
        if let Some(row) = row.as_mut().filter(|_| !full) {
            let key = |column: usize| rows.target.schema.is_key(column);
            (0..row.len()).filter(|&c| !key(c)).for_each(|c| row[c] = Stated::Absent);
        }
        staged.before = row;
        return Some(staged);
    }
    staged.after = row;
    if op == Op::Update && !rows.target.schema.is_keyless() {
        staged.before = Some(rows.blank(Stated::Absent));
        rows.share_key(&mut staged);
        if let (Some(before), Some(after)) = (&mut staged.before, &staged.after) {
            let pairs = before.iter_mut().zip(after);
            pairs.filter(|(_, new)| **new == Stated::Unchanged).for_each(|(old, _)| *old = Stated::Unchanged);
        }
    }
    Some(staged)
}

/// How a record's schema says its columns are written.
fn encodings(schema: &str, table: &crate::ledger::TableTarget) -> Vec<Encoding> {
    let fields = table.schema.arrow().fields();
    let mut found: Vec<Encoding> = fields.iter().map(|f| Encoding::of_type(f.data_type(), None)).collect();
    if let Ok(Field { fields: Some(list), .. }) = serde_json::from_str::<Field<'_>>(schema) {
        let _ = json::elements(list.get(), |raw| {
            let Ok(field) = serde_json::from_str::<Field<'_>>(raw) else { return };
            let name = json::scalar(field.field);
            if let Some(column) = name.as_deref().and_then(|name| encoding::column(table, name)) {
                found[column] = Encoding::of_field(&field, table.schema.data_type(column));
            }
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;
    use crate::ledger::testing::{decode_all, show, target};
    use crate::ledger::{DecodeOptions, Format};

    fn decode(lines: &[&str]) -> (Vec<String>, Vec<DiscrepancyKind>) {
        let columns = [
            ("id!", DataType::Int64),
            ("name", DataType::Utf8),
            ("price", DataType::Decimal128(10, 2)),
            ("at", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ];
        let targets = [target("item", &columns)];
        let options = DecodeOptions::default();
        let (decoded, _) = decode_all(Format::DebeziumFlat, &[&lines.join("\n")], &targets, &options);
        let notes = decoded[0].notes.iter().map(|n| n.kind).collect();
        (show(&decoded[0].changes[0], &targets[0].schema), notes)
    }

    #[test]
    fn marked_deletes_and_their_tombstones() {
        let lines = [
            r#"{"id":7,"name":"a","price":"19.99","at":1711923304123456,"__op":"c","__table":"item","__source_ts_ms":1711923304123,"__deleted":"false"}"#,
            r#"{"id":7,"name":"__debezium_unavailable_value","price":"B88=","at":1711923304,"__op":"u","__table":"item","__source_ts_ms":1711923304123,"__deleted":"false"}"#,
            r#"{"topic":"x.fin.item","key":{"id":7},"value":{"id":7,"name":"","price":null,"at":0,"__op":"d","__table":"item","__source_ts_ms":1711923304123,"__deleted":"true"}}"#,
            r#"{"topic":"x.fin.item","key":{"id":7},"value":null}"#,
        ];
        let (shown, notes) = decode(&lines);
        assert_eq!(
            shown,
            [
                "insert none -> id:7 name:a price:19.99 at:2024-03-31T22:15:04.123456",
                "update id:7 name:= price:? at:? -> id:7 name:= price:19.99 at:?",
                "delete id:7 name:? price:? at:? -> none",
            ]
        );
        assert_eq!(notes, [DiscrepancyKind::LossyValue]);
    }

    #[test]
    fn tombstones_are_the_deletes_where_nothing_else_marks_them() {
        let lines = [
            r#"{"topic":"x.fin.item","key":{"id":7},"value":{"id":7,"name":"a","price":null,"at":null}}"#,
            r#"{"topic":"x.fin.item","key":{"schema":{},"payload":{"id":7}},"value":null}"#,
            "null",
        ];
        let (shown, notes) = decode(&lines);
        assert_eq!(
            shown,
            ["upsert none -> id:7 name:a price:null at:null", "delete id:7 name:? price:? at:? -> none"]
        );
        assert_eq!(notes, [DiscrepancyKind::UnparsableRecord]);
    }

    #[test]
    fn the_schema_says_how_values_are_written() {
        let line = r#"{"schema":{"type":"struct","fields":[{"type":"int64","field":"id"},{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"},"field":"price"},{"type":"int64","name":"io.debezium.time.Timestamp","field":"at"}]},"payload":{"id":7,"price":"B88=","at":1711923304123,"__op":"r","__table":"item","__source_ts_ms":1711923304123}}"#;
        assert_eq!(decode(&[line]).0, ["read none -> id:7 name:? price:19.99 at:2024-03-31T22:15:04.123"]);
    }
}
