//! TiCDC's open protocol, as text: a key that says where, and a value that says what.
//!
//! ```text
//!  key    {"ts": 415508878783938562, "scm": "fin", "tbl": "item", "t": 1}
//!  value  {"u": {"id": {"t": 3, "h": true, "f": 11, "v": 7}, …}, "p": {…}}
//! ```
//!
//! `u` alone is an insert, with `p` (the row before) an update, `d` a delete, which in older versions
//! has the key alone. `t` in a key is 1 for a row, 2 for a definition, 3 for a watermark.
//! A column states its MySQL type, and large texts and bytes are base64.
//!
//! Limits: files with the binary frames of Kafka messages are refused, as what separates one message from the next in
//! a dump is up to the tool that made it. Lines of key, tab and value, or `{"key": …, "value": …}` are read. With old values switched off in
//! the changefeed an update looks like an insert, and is told as `insert-over-existing`.

use std::borrow::Cow;

use arrow::datatypes::DataType;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::canal::tidb_change;
use super::feed::{Feed, any_layer};
use super::image::{Rows, Staged, Stated};
use super::json::{self, Raw, raw_text};
use super::unwrap::Message;
use crate::model::Op;
use crate::read::cell::{CellBuilder, Misfit};

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Key<'a> {
    #[serde(borrow)]
    ts: Raw<'a>,
    #[serde(borrow)]
    scm: Raw<'a>,
    #[serde(borrow)]
    tbl: Raw<'a>,
    #[serde(borrow)]
    t: Raw<'a>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Row<'a> {
    /// The row after.
    #[serde(borrow)]
    u: Raw<'a>,
    /// The row before an update.
    #[serde(borrow)]
    p: Raw<'a>,
    /// The row before a delete.
    #[serde(borrow)]
    d: Raw<'a>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Cell<'a> {
    /// The MySQL type.
    #[serde(borrow)]
    t: Raw<'a>,
    #[serde(borrow)]
    v: Raw<'a>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Definition<'a> {
    /// The statement.
    #[serde(borrow)]
    q: Raw<'a>,
}

/// Whether a record can only be a row of the open protocol.
pub(super) fn is_open(text: &str) -> bool {
    any_layer(text, &|message| {
        let Ok(row) = serde_json::from_str::<Row<'_>>(message.text) else { return false };
        let Some(image) = row.u.or(row.d) else { return false };
        let (mut cells, mut typed) = (0, 0);
        json::checked_members(image.get(), |_, raw| {
            cells += 1;
            typed += usize::from(raw.starts_with('{') && raw.contains("\"t\"") && raw.contains("\"v\""));
        });
        cells > 0 && cells == typed
    })
}

/// Whether bytes begin with the frame of a message: its version or a length in eight bytes, and then JSON.
pub(super) fn is_framed(head: &[u8]) -> bool {
    let number = |at: usize| {
        let bytes = head.get(at..at + 8)?;
        Some(u64::from_be_bytes(bytes.try_into().ok()?)).filter(|&n| n < 1 << 32)
    };
    let is_json = |at: usize| head.get(at..at + 2) == Some(b"{\"");
    number(0).is_some_and(|first| is_json(8) || first == 1 && number(8).is_some() && is_json(16))
}

/// Takes in a message of the open protocol; `false` if it is none.
pub(super) fn message(message: &Message<'_>, feed: &mut Feed<'_>) -> bool {
    // A text that holds the value is still to be taken off.
    if message.text.starts_with('"') {
        return false;
    }
    let key = message.key.and_then(|key| serde_json::from_str::<Key<'_>>(key).ok());
    let Some((key, commit)) =
        key.and_then(|key| Some((json::integer::<u64>(key.ts)?, key)).map(|(c, k)| (k, c)))
    else {
        return false;
    };
    let table = || [None, json::scalar(key.scm), json::scalar(key.tbl)];
    match json::scalar(key.t).as_deref() {
        Some("3") => return true,
        Some("2") => {
            definition(message, commit, table(), feed);
            return true;
        }
        Some("1") => {}
        _ => return false,
    }
    let row = serde_json::from_str::<Row<'_>>(message.text).unwrap_or_default();
    let (op, images) = match (raw_text(row.u), raw_text(row.p), raw_text(row.d)) {
        (Some(after), None, None) => (Op::Insert, [None, Some(after)]),
        (Some(after), Some(before), None) => (Op::Update, [Some(before), Some(after)]),
        (None, None, Some(before)) => (Op::Delete, [Some(before), None]),
        _ => {
            feed.unparsable(None, "expected the row after a change (u) or before a delete (d)");
            return true;
        }
    };
    let mut change = tidb_change(commit, op, feed);
    change.weak = false;
    let Some(target) = feed.begin(table(), &change) else { return true };
    let rows = feed.rows(target);
    let [before, after] = images.map(|object| object.map(|object| image(rows, object)));
    let whole = before.as_ref().is_none_or(Option::is_some) && after.as_ref().is_none_or(Option::is_some);
    if !whole {
        feed.unparsable(Some(target), "expected an object of columns as row");
        return true;
    }
    let staged = Staged { before: before.flatten(), after: after.flatten() };
    feed.push(target, &change, &staged, &mut value);
    true
}

/// A statement that changes a definition, or empties a table.
fn definition(message: &Message<'_>, commit: u64, table: [Option<Cow<'_, str>>; 3], feed: &mut Feed<'_>) {
    let statement = serde_json::from_str::<Definition<'_>>(message.text).ok();
    let Some(text) = statement.and_then(|statement| json::scalar(statement.q)) else {
        // It may have emptied the table.
        feed.unparsable(None, "expected the statement (q) of a definition");
        return;
    };
    let word = text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    match word.as_str() {
        "TRUNCATE" => {
            let change = tidb_change(commit, Op::Truncate, feed);
            if let Some(target) = feed.begin(table, &change) {
                feed.push(target, &change, &Staged::default(), &mut value);
            }
        }
        "ALTER" | "RENAME" => feed.drift(table, &text),
        _ => {}
    }
}

/// The cells of a row: each an object, kept whole for its type.
fn image<'a>(rows: &mut Rows<'_>, object: &'a str) -> Option<Vec<Stated<'a>>> {
    let mut cells = rows.blank(Stated::Absent);
    let mut expected = 0;
    let found = json::checked_members(object, |name, raw| {
        let Some(column) = rows.names.find(name, expected) else { return };
        expected = column + 1;
        let mut stated = None;
        json::checked_members(raw, |member, value| {
            if member == "v" {
                stated = Some(value);
            }
        });
        cells[column] = match stated {
            Some("null") => Stated::Null,
            Some(_) => Stated::Json(raw),
            // A column without a value states nothing, and so does what is no object.
            None => Stated::Absent,
        };
    });
    found.then_some(cells)
}

/// A value in the column's type.
fn value(cells: &mut CellBuilder, data_type: &DataType, _: usize, raw: &str) -> Result<(), Misfit> {
    let cell = serde_json::from_str::<Cell<'_>>(raw).unwrap_or_default();
    let Some(value) = cell.v.map(|v| v.get()) else {
        return Err(Misfit::new("a column with its type and value", raw));
    };
    let large = matches!(json::integer::<u64>(cell.t), Some(249..=252));
    let is_binary = matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
    if large && let Some(text) = json::text(value) {
        let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| Misfit::new("base64", text.as_ref()))?;
        if is_binary {
            return cells.push_bytes(&bytes);
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| Misfit::new("text in UTF-8", text.as_ref()))?;
        return cells.push_text(text);
    }
    if is_binary && let Some(text) = json::text(value) {
        let bytes = unquoted(&text).ok_or_else(|| Misfit::new("bytes with escapes", text.as_ref()))?;
        return cells.push_bytes(&bytes);
    }
    cells.push_json(value)
}

/// Bytes of a short binary column, which are printed with escapes: `\x89PNG`.
fn unquoted(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'x' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'v' => 11,
            other @ (b'\\' | b'"' | b'\'') => other,
            _ => return None,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::{decode_all, show, target};
    use crate::ledger::{DecodeOptions, Format};

    #[test]
    fn frames_are_told_by_their_numbers() {
        let number = |n: u64| n.to_be_bytes().to_vec();
        let json = b"{\"ts\":1}".to_vec();
        assert!(is_framed(&[number(1), number(8), json.clone()].concat()), "a key");
        assert!(is_framed(&[number(8), json.clone()].concat()), "a value");
        assert!(!is_framed(&json));
        assert!(!is_framed(b"\0\0\0\0"));
        assert!(!is_framed(b"id,name,{\"a\":1}"), "no number of this size");
    }

    #[test]
    fn rows_definitions_and_watermarks() {
        let columns = [
            ("id!", DataType::Int64),
            ("name", DataType::Utf8),
            ("note", DataType::Utf8),
            ("raw", DataType::Binary),
            ("price", DataType::Decimal128(10, 2)),
        ];
        let targets = [target("fin.item", &columns)];
        let key = |ts: u64, kind: u8| format!(r#"{{"ts":{ts},"scm":"fin","tbl":"item","t":{kind}}}"#);
        let row = |note: &str, price: &str| {
            format!(
                r#"{{"id":{{"t":3,"h":true,"f":11,"v":7}},"name":{{"t":15,"f":64,"v":"bolt"}},"note":{{"t":252,"f":64,"v":{note}}},"raw":{{"t":254,"f":65,"v":"\\x89P"}},"price":{{"t":246,"f":64,"v":"{price}"}}}}"#
            )
        };
        let (old, new) = (row("\"bcOkc3NpZw==\"", "10.84"), row("null", "19.99"));
        let ts = 429_918_007_904_436_226;
        let lines = [
            format!("{}\t{{\"u\":{new},\"p\":{old}}}", key(ts, 1)),
            format!(
                "{}\t{{\"d\":{{\"id\":{{\"t\":3,\"h\":true,\"f\":11,\"v\":8}},\"name\":{{\"t\":15}},\"note\":{{\"t\":15,\"v\":null}}}}}}",
                key(ts, 1)
            ),
            format!("{{\"key\":{},\"value\":{{\"u\":{old}}}}}", key(ts + 1, 1)),
            format!("{}\t{{\"q\":\"ALTER TABLE item ADD x INT\",\"t\":5}}", key(ts + 2, 2)),
            format!("{}\t", key(ts + 3, 3)),
        ];
        assert!(is_open(&format!("{{\"u\":{new}}}")) && is_open(&lines[2]));
        assert!(!is_open(r#"{"u":{"id":7}}"#) && !is_open(r#"{"id":{"t":1,"v":2}}"#));
        let texts = [lines[..2].join("\n"), lines[2].clone(), lines[3..].join("\n")];
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let (decoded, _) = decode_all(Format::TiCdc, &texts, &targets, &DecodeOptions::default());
        let shown: Vec<String> =
            decoded.iter().flat_map(|d| show(&d.changes[0], &targets[0].schema)).collect();
        assert_eq!(
            shown,
            [
                "update id:7 name:bolt note:mässig raw:8950 price:10.84 -> id:7 name:bolt note:null raw:8950 price:19.99",
                "delete id:8 name:? note:null raw:? price:? -> none",
                "insert none -> id:7 name:bolt note:mässig raw:8950 price:10.84",
            ]
        );
        assert_eq!(decoded[0].changes[0].committed_at[0], 1_640_007_049_196_000_000);
        assert_eq!(decoded[0].changes[0].commit_position, Some(vec![u128::from(ts); 2]));
        assert_eq!(decoded[2].notes[0].kind, crate::model::DiscrepancyKind::SchemaDrift);
        assert_eq!(decoded.iter().map(|d| d.notes.len()).sum::<usize>(), 1);
    }
}
