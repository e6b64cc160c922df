//! Builders for the tests of this module.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::{Carry, DecodeOptions, Decoded, Format, TableTarget, decode};
use crate::model::{CellState, ChangeBatch, Images, Op, TableSchema};
use crate::read::{JsonChunk, JsonChunks};

/// A target named `name`; columns marked with `!` are its key.
pub(super) fn target(name: &str, columns: &[(&str, DataType)]) -> TableTarget {
    let bare = |n: &str| n.trim_end_matches('!').to_owned();
    let fields: Vec<Field> = columns.iter().map(|(n, t)| Field::new(bare(n), t.clone(), true)).collect();
    let key = columns.iter().enumerate().filter(|(_, (n, _))| n.ends_with('!')).map(|(i, _)| i).collect();
    let schema = TableSchema::new(Arc::new(Schema::new(fields)), key);
    TableTarget { dataset: 0, names: vec![name.to_owned()], schema }
}

/// All records of a text as one chunk.
pub(super) fn chunk(text: &str) -> JsonChunk {
    let reader = Box::new(std::io::Cursor::new(text.as_bytes().to_vec()));
    let chunks = JsonChunks::new(reader, Path::new("test")).unwrap().with_chunk_size(1 << 30);
    chunks.map(Result::unwrap).next().unwrap_or_default()
}

/// Decodes and stitches one chunk per text.
pub(super) fn decode_all(
    format: Format,
    chunks: &[&str],
    targets: &[TableTarget],
    options: &DecodeOptions,
) -> (Vec<Decoded>, Carry) {
    let mut carry = Carry::new();
    let decoded = chunks.iter().map(|lines| {
        let mut decoded = decode(format, &chunk(lines), targets, options);
        carry.stitch(&mut decoded);
        decoded
    });
    let decoded = decoded.collect();
    (decoded, carry)
}

/// Every change of a batch on a line: `op commit/position txn {before} -> {after}`.
pub(super) fn show(batch: &ChangeBatch, schema: &TableSchema) -> Vec<String> {
    assert!(batch.is_consistent());
    let row = |row: usize| {
        let op = Op::from_code(batch.ops[row]).unwrap().name();
        format!("{op} {} -> {}", image(&batch.before, schema, row), image(&batch.after, schema, row))
    };
    (0..batch.len()).map(row).collect()
}

fn image(images: &Images, schema: &TableSchema, row: usize) -> String {
    if !images.is_present(row) {
        return "none".to_owned();
    }
    let cells: Vec<String> = (0..schema.len())
        .map(|column| {
            let array = images.column(column).unwrap();
            let value = match images.state(column, row) {
                CellState::Known => text(array, row),
                other => {
                    assert!(array.is_null(row), "a cell that is not known is null in the array");
                    match other {
                        CellState::Unchanged => "=".to_owned(),
                        CellState::Absent => "?".to_owned(),
                        _ => "null?".to_owned(),
                    }
                }
            };
            format!("{}:{value}", schema.name(column))
        })
        .collect();
    cells.join(" ")
}

fn text(array: &ArrayRef, row: usize) -> String {
    let options = FormatOptions::default().with_null("null");
    ArrayFormatter::try_new(array.as_ref(), &options).unwrap().value(row).to_string()
}
