//! Mapped tables whose images are JSON texts in two columns, as hand-made triggers and ORM audit
//! tables write them: `op, old_values, new_values, changed_at, changed_by`.
//!
//! What a left-out column means is declared (`missing`); undeclared it is not recorded.

use arrow::datatypes::{DataType, SchemaRef};

use super::super::decode::Clock;
use super::super::mapping::{ImageColumns, ImageSide, Mapping, MappingHints, has_image_columns, usual_op};
use super::images::{Layout, Shape, Word};
use super::raw::Raw;
use crate::error::{At, Error, Result};

/// Whether a table has its images as texts.
pub(super) fn is_one(columns: &SchemaRef, hints: &MappingHints) -> bool {
    let names: Vec<&str> = columns.fields().iter().map(|f| f.name().as_str()).collect();
    let text = |name: &String| {
        let field = columns.fields().iter().find(|f| f.name().eq_ignore_ascii_case(name));
        field.is_some_and(|f| {
            matches!(f.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        })
    };
    has_image_columns(hints, &names).is_some_and(|(before, after)| before.iter().chain(&after).all(text))
}

/// Which of its columns mean what.
pub(super) fn layout(raw: &Raw, hints: &MappingHints, table: &[&str]) -> Result<Layout> {
    let names: Vec<&str> = raw.names().iter().map(String::as_str).collect();
    let wrong = |found: String| Error::Malformed {
        path: raw.path().to_owned(),
        at: At::default(),
        expected: "columns with an op and images".to_owned(),
        found,
        hint: Some("name the columns in the plan under ledger.columns".to_owned()),
    };
    let mapping = Mapping::resolve(hints, &names, table).map_err(wrong)?;
    let column = |name: &Option<String>| name.as_deref().and_then(|n| raw.column(n));
    let side = |side: &Option<ImageSide>| match side {
        Some(ImageSide::Struct(name)) => raw.column(name),
        _ => None,
    };
    let ImageColumns::Sides { before, after } = &mapping.images else {
        return Err(wrong("one row per image".to_owned()));
    };
    Ok(Layout {
        op: column(&mapping.op),
        schema: raw.find(None, &["schema_name", "table_schema"])?,
        table: column(&mapping.table),
        position: column(&mapping.position).or_else(|| column(&mapping.commit_position)),
        transaction: column(&mapping.transaction),
        committed_at: column(&mapping.committed_at),
        actor: column(&mapping.actor),
        statement_only: None,
        first: side(before),
        second: side(after),
        beside: None,
        shape: Shape::Sides,
        jsonb: false,
        clock: Clock::Declared,
        ops: mapping.ops.clone(),
        word,
    })
}

fn word(word: &str) -> Word {
    usual_op(word).map_or(Word::Unknown, Word::Op)
}
