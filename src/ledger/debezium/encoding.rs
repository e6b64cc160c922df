//! How values are written: from the schema in the record, or found out from the chunk's values.

use super::super::chunk;
use super::super::decode::{TableTarget, TextEncoding};
use super::super::json;
use super::envelope::{Event, Opened, Wrapping, open};
use super::values::{Encoding, Field, binary_mode, decimal_mode};
use crate::read::JsonChunk;

/// What a record's schema says about the columns of a target.
#[derive(Debug, Clone)]
pub(super) struct Described {
    pub(super) encodings: Vec<Encoding>,
    /// Per column, whether it holds numbers of variable scale.
    pub(super) variable: Vec<bool>,
    /// Per column that may be null and has a default, the default's raw text.
    pub(super) defaults: Vec<Option<String>>,
    /// Per column, its type as the schema says.
    pub(super) kinds: Vec<Option<String>>,
    /// A hash of those.
    pub(super) kinds_hash: u64,
}

/// Schemas already read. Every record repeats its schema, so they are told apart by their text.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    known: Vec<(usize, String, Described)>,
}

/// How many schemas are remembered; a table rarely has more than a few.
const REMEMBERED: usize = 1_000;

impl Schemas {
    /// What this schema says about a target's columns.
    pub(super) fn describe(&mut self, schema: &str, target: usize, table: &TableTarget) -> &Described {
        let at = self.known.iter().position(|(t, s, _)| *t == target && s == schema).unwrap_or_else(|| {
            if self.known.len() >= REMEMBERED {
                self.known.clear();
            }
            self.known.push((target, schema.to_owned(), described(schema, table)));
            self.known.len() - 1
        });
        &self.known[at].2
    }
}

fn described(schema: &str, table: &TableTarget) -> Described {
    let fields = table.schema.arrow().fields();
    let mut encodings: Vec<Encoding> =
        fields.iter().map(|f| Encoding::of_type(f.data_type(), None)).collect();
    let mut variable = vec![false; encodings.len()];
    let mut defaults = vec![None; encodings.len()];
    let mut kinds: Vec<Option<String>> = vec![None; encodings.len()];
    let mut read = |field: &Field<'_>| {
        let name = json::scalar(field.field);
        let Some(column) = name.as_deref().and_then(|n| column(table, n)) else { return };
        encodings[column] = Encoding::of_field(field, table.schema.data_type(column));
        kinds[column] = field.described_kind();
        let optional = field.optional.is_none_or(|o| o.get() == "true");
        defaults[column] = json::raw_text(field.default).filter(|_| optional).map(str::to_owned);
        variable[column] |=
            json::scalar(field.name).as_deref() == Some("io.debezium.data.VariableScaleDecimal");
    };
    each_field(schema, &mut |image| {
        if matches!(json::scalar(image.field).as_deref(), Some("before" | "after"))
            && let Some(fields) = image.fields
        {
            each_element(fields.get(), &mut read);
        }
    });
    let kinds_hash = xxhash_rust::xxh3::xxh3_64(format!("{kinds:?}").as_bytes());
    Described { encodings, variable, defaults, kinds, kinds_hash }
}

/// The column of this name, else the one that differs in case alone.
pub(super) fn column(table: &TableTarget, name: &str) -> Option<usize> {
    table.schema.column(name).or_else(|| table.schema.names().position(|n| n.eq_ignore_ascii_case(name)))
}

fn each_field(schema: &str, read: &mut dyn FnMut(&Field<'_>)) {
    if let Ok(Field { fields: Some(fields), .. }) = serde_json::from_str::<Field<'_>>(schema) {
        each_element(fields.get(), read);
    }
}

fn each_element(fields: &str, read: &mut dyn FnMut(&Field<'_>)) {
    let _ = json::elements(fields, |raw| {
        if let Ok(field) = serde_json::from_str::<Field<'_>>(raw) {
            read(&field);
        }
    });
}

/// Which of the two questions are open: how decimals, and how bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Modes<T> {
    pub(super) decimals: T,
    pub(super) binary: T,
}

/// Hands every cell of an event's images to a visitor, with the way in which its column is written.
pub(super) type Cells<'a> = dyn FnMut(&Event<'_>, &mut dyn FnMut(&str, Encoding)) + 'a;

/// Looks through a chunk from a record on for values that prove the answers. A producer has one mode for all
/// its tables, so any column of any table will do.
pub(super) fn search(
    chunk: &JsonChunk,
    from: usize,
    needed: Modes<bool>,
    cells: &mut Cells<'_>,
) -> Modes<Option<TextEncoding>> {
    let mut found: Modes<Option<TextEncoding>> = Modes::default();
    for record in &chunk.records[from..] {
        let open_questions =
            (needed.decimals && found.decimals.is_none(), needed.binary && found.binary.is_none());
        if open_questions == (false, false) {
            break;
        }
        let Ok(text) = chunk::value(chunk, record) else { continue };
        open(text, Wrapping::default(), &mut |opened| {
            let Opened::Event(event) = opened else { return };
            cells(event, &mut |raw, encoding| {
                let Some(text) = raw.starts_with('"').then(|| json::text(raw)).flatten() else { return };
                match encoding {
                    Encoding::DecimalByMode(_) => found.decimals = found.decimals.or(decimal_mode(&text)),
                    Encoding::BytesByMode => found.binary = found.binary.or(binary_mode(&text)),
                    _ => {}
                }
            });
        });
    }
    found
}
