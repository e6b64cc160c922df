//! MariaDB's system-versioned tables in a log: rows of history stand among the changes.
//!
//! Their rows have two hidden columns at the end, when a version began and when it ended; the version in
//! force has the greatest possible end. An update of such a table is logged as
//! an update and an insert of the old version, a delete as an update that sets the end.

use std::collections::HashSet;

use super::lines::{Cell, Change, Transaction, split_comment};
use crate::model::Op;

/// The tables that proved to be versioned.
#[derive(Debug, Default)]
pub(super) struct Versioned(HashSet<(String, String)>);

impl Versioned {
    /// A row that ends with a period that has no end proves it. Rows of history alone prove nothing: a table can
    /// end with two times of its own.
    pub(super) fn learn(&mut self, transaction: &Transaction<'_>) {
        for change in transaction.changes.iter().filter(|change| has_period(change)) {
            let open = |image: &[Cell<'_>]| image.last().is_some_and(is_open);
            if open(&change.before) || open(&change.after) {
                self.0.insert((change.database.clone().into_owned(), change.table.clone().into_owned()));
            }
        }
    }

    pub(super) fn has(&self, change: &Change<'_>) -> bool {
        let is =
            |(database, table): &(String, String)| *table == change.table && *database == change.database;
        has_period(change) && self.0.iter().any(is)
    }
}

/// Whether a row ends with two columns that are not null, both times or both numbers.
fn has_period(change: &Change<'_>) -> bool {
    let image = if change.after.is_empty() { &change.before } else { &change.after };
    let [.., start, end] = image.as_slice() else { return false };
    let is = |cell: &Cell<'_>, kind: &str| {
        split_comment(&cell.text).1.is_some_and(|k| k.starts_with(kind) && k.contains("nullable=0"))
    };
    ["TIMESTAMP(6)", "LONGINT"].iter().any(|kind| is(start, kind) && is(end, kind))
}

/// Whether an end is the greatest that there is.
fn is_open(cell: &Cell<'_>) -> bool {
    let value = split_comment(&cell.text).0;
    matches!(value, "2147483647.999999" | "4294967295.999999" | "18446744073709551615")
        || value == "-1 (18446744073709551615)"
}

/// What a change of a versioned table does to the row in force; `None` if it concerns history alone.
/// `end` is the number of the column in which the end stands; without it the change is what it says.
pub(super) fn versioned_op(change: &Change<'_>, end: Option<usize>) -> Option<Op> {
    let Some(end) = end else { return Some(change.op) };
    let in_force = |image: &[Cell<'_>]| image.iter().find(|c| c.ordinal == end).is_none_or(is_open);
    match change.op {
        Op::Insert => in_force(&change.after).then_some(Op::Insert),
        Op::Delete => in_force(&change.before).then_some(Op::Delete),
        op => match (in_force(&change.before), in_force(&change.after)) {
            (true, true) => Some(op),
            (true, false) => Some(Op::Delete),
            (false, true) => Some(Op::Insert),
            (false, false) => None,
        },
    }
}
