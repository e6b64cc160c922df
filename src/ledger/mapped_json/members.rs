//! The members of a mapped record, told apart by the mapping.

use std::borrow::Cow;

use super::super::image::{Rows, Stated};
use super::super::json;
use super::super::mapping::{ImageColumns, ImageSide, Mapping};

/// The members of a record that are no cells.
#[derive(Debug, Default)]
pub(super) struct Members<'r> {
    pub(super) position: Option<&'r str>,
    pub(super) commit_position: Option<&'r str>,
    pub(super) op: Option<&'r str>,
    pub(super) transaction: Option<&'r str>,
    pub(super) committed_at: Option<&'r str>,
    pub(super) actor: Option<&'r str>,
    pub(super) table: Option<&'r str>,
    pub(super) image: Option<&'r str>,
    pub(super) before: Option<&'r str>,
    pub(super) after: Option<&'r str>,
    pub(super) cells: Vec<(Cow<'r, str>, &'r str)>,
}

/// The members of a record.
pub(super) fn members<'r>(text: &'r str, mapping: &Mapping) -> Result<Members<'r>, serde_json::Error> {
    let mut found = Members::default();
    let is = |column: &Option<String>, name: &str| column.as_deref() == Some(name);
    let (before, after, image) = match &mapping.images {
        ImageColumns::Sides { before, after } => (before.as_ref(), after.as_ref(), None),
        ImageColumns::Rows { image, .. } => (None, None, image.as_deref()),
    };
    let holds =
        |side: Option<&ImageSide>, name: &str| matches!(side, Some(ImageSide::Struct(n)) if n == name);
    json::members(text, |name, raw| {
        let slot = if is(&mapping.position, name) {
            &mut found.position
        } else if is(&mapping.op, name) {
            &mut found.op
        } else if holds(before, name) {
            &mut found.before
        } else if holds(after, name) {
            &mut found.after
        } else if is(&mapping.transaction, name) {
            &mut found.transaction
        } else if is(&mapping.committed_at, name) {
            &mut found.committed_at
        } else if is(&mapping.commit_position, name) {
            &mut found.commit_position
        } else if is(&mapping.actor, name) {
            &mut found.actor
        } else if is(&mapping.table, name) {
            &mut found.table
        } else if image == Some(name) {
            &mut found.image
        } else {
            found.cells.push((Cow::Owned(name.to_owned()), raw));
            return;
        };
        *slot = Some(raw).filter(|r| *r != "null");
    })?;
    Ok(found)
}

/// An image whose cells are members of the record itself.
pub(super) fn flat<'r>(
    rows: &mut Rows<'_>,
    members: &Members<'r>,
    side: &ImageSide,
    missing: Stated<'r>,
) -> Vec<Stated<'r>> {
    let mut cells = rows.blank(missing);
    let mut expected = 0;
    for (name, raw) in &members.cells {
        let Some(name) = side.table_column(name) else { continue };
        if let Some(column) = rows.names.find(name, expected) {
            cells[column] = Stated::raw(raw);
            expected = column + 1;
        }
    }
    cells
}

/// Takes key cells that an image leaves out from members of the record that are named like them.
pub(super) fn key_beside<'r>(rows: &Rows<'_>, image: &mut [Stated<'r>], members: &Members<'r>) {
    for &column in rows.target.schema.key() {
        if !image[column].is_stated() {
            let name = rows.target.schema.name(column);
            if let Some((_, raw)) = members.cells.iter().find(|(n, _)| n == name) {
                image[column] = Stated::raw(raw);
            }
        }
    }
}

/// Nanoseconds since the epoch from a number whose size tells its unit.
pub(super) fn epoch(number: i64) -> Option<i64> {
    let factor = match number.unsigned_abs() {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    number.checked_mul(factor).filter(|&n| n != i64::MIN)
}
