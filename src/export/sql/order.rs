//! In which order rows are changed, so that no reference is broken on the way.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{ArrayRef, RecordBatch};

use super::ScriptTable;
use crate::export::change_set::{ChangeKind, ChangePart};
use crate::model::canon;

/// Keys as texts.
type Keys = BTreeSet<Vec<Option<String>>>;

/// One row to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub table: usize,
    pub part: usize,
    pub row: usize,
    pub kind: ChangeKind,
    /// Whether the row only lets go of others, to be deleted later.
    pub lets_go: bool,
}

/// Which columns of rows that are deleted are made null before, by table, part and row.
pub(super) type LetGo = BTreeMap<(usize, usize, usize), Vec<usize>>;

/// The columns by which a deleted row refers to itself or to a row that is deleted before it, as in a
/// circle: where references are checked row by row, neither could go.
pub(super) fn let_go(tables: &[ScriptTable<'_>], steps: &[Step]) -> LetGo {
    let deletes = || steps.iter().enumerate().filter(|(_, step)| step.kind == ChangeKind::Delete);
    let now = |step: &Step| tables[step.table].changes.parts[step.part].now.as_ref();
    let key = |step: &Step| {
        let of = now(step).map(|row| values(row, &tables[step.table].changes.key, step.row));
        (step.table, of.unwrap_or_default())
    };
    let places: BTreeMap<_, usize> = deletes().map(|(place, step)| (key(step), place)).collect();
    let mut columns = LetGo::new();
    for (place, step) in deletes() {
        let Some(row) = now(step) else { continue };
        for (of, to) in &tables[step.table].references {
            let target = places.get(&(*to, values(row, of, step.row)));
            if target.is_some_and(|&target| target <= place) {
                let known = columns.entry((step.table, step.part, step.row)).or_default();
                let nullable = of.iter().filter(|c| !tables[step.table].changes.key.contains(c));
                known.extend(nullable);
            }
        }
    }
    columns.retain(|_, columns| !columns.is_empty());
    columns
}

/// All rows in order.
pub(super) fn steps(tables: &[ScriptTable<'_>]) -> Vec<Step> {
    let order = parents_first(tables);
    let (mut first, mut inserts, mut updates, mut last) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut held: Vec<Keys> = (0..tables.len()).map(|parent| still_referred_to(tables, parent)).collect();
    for &table in order.iter().rev() {
        let deletes = children_first(&tables[table], of_kind(tables, table, ChangeKind::Delete));
        // Children come first, so a row that waits for another is met before what it refers to in turn.
        for step in deletes {
            let Some(row) = tables[table].changes.parts[step.part].now.as_ref() else { continue };
            if held[table].contains(&values(row, &tables[table].changes.key, step.row)) {
                for (columns, to) in &tables[table].references {
                    held[*to].insert(values(row, columns, step.row));
                }
                last.push(step);
            } else {
                first.push(step);
            }
        }
    }
    for &table in &order {
        let mut own = children_first(&tables[table], of_kind(tables, table, ChangeKind::Insert));
        own.reverse();
        inserts.extend(own);
        updates.extend(of_kind(tables, table, ChangeKind::Update));
    }
    [first, inserts, updates, last].concat()
}

/// The rows that are changed in a way; one that changes in a unique column is deleted and inserted.
fn of_kind(tables: &[ScriptTable<'_>], table: usize, kind: ChangeKind) -> Vec<Step> {
    let mut steps = Vec::new();
    for (number, part) in tables[table].changes.parts.iter().enumerate() {
        for row in 0..part.rows() {
            let anew = part.kind == ChangeKind::Update
                && tables[table].unique.iter().any(|&column| part.differs(column, row));
            if part.kind == kind && !anew || anew && kind != ChangeKind::Update {
                steps.push(Step { table, part: number, row, kind, lets_go: false });
            }
        }
    }
    steps
}

/// Tables in an order in which each comes after those it refers to; as given where that cannot be.
fn parents_first(tables: &[ScriptTable<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    while order.len() < tables.len() {
        let left = (0..tables.len()).filter(|t| !order.contains(t));
        let free = |&t: &usize| tables[t].references.iter().all(|(_, to)| *to == t || order.contains(to));
        let next = left.clone().find(free).or_else(|| left.clone().next());
        order.extend(next);
    }
    order
}

/// Keys of a table to which rows refer that are updated to refer to others: they are let go of last.
fn still_referred_to(tables: &[ScriptTable<'_>], parent: usize) -> Keys {
    let mut held = BTreeSet::new();
    for child in tables {
        let updated = child.changes.parts.iter().filter(|part| part.kind == ChangeKind::Update);
        for part in updated {
            let Some(now) = &part.now else { continue };
            for (columns, _) in child.references.iter().filter(|(_, to)| *to == parent) {
                let moved = (0..part.rows()).filter(|&row| columns.iter().any(|&c| part.differs(c, row)));
                held.extend(moved.map(|row| values(now, columns, row)));
            }
        }
    }
    held
}

fn values(of: &RecordBatch, columns: &[usize], row: usize) -> Vec<Option<String>> {
    let text = |&column: &usize| {
        let array: &ArrayRef = of.column(column);
        canon::cell_text(array.as_ref(), row)
    };
    columns.iter().map(text).collect()
}

/// Rows of one table so that each comes before the row of the same table that it refers to.
fn children_first(table: &ScriptTable<'_>, steps: Vec<Step>) -> Vec<Step> {
    let own: Vec<&Vec<usize>> = table
        .references
        .iter()
        .filter(|(_, to)| steps.first().is_some_and(|s| s.table == *to))
        .map(|(c, _)| c)
        .collect();
    if own.is_empty() {
        return steps;
    }
    let side = |step: &Step| -> Option<&RecordBatch> {
        let part: &ChangePart = &table.changes.parts[step.part];
        if step.kind == ChangeKind::Insert { part.then.as_ref() } else { part.now.as_ref() }
    };
    let of =
        |step: &Step, columns: &[usize]| side(step).map(|b| values(b, columns, step.row)).unwrap_or_default();
    let by_key: BTreeMap<Vec<Option<String>>, usize> =
        steps.iter().enumerate().map(|(n, step)| (of(step, &table.changes.key), n)).collect();
    let parents = |n: usize| {
        own.iter().filter_map(|columns| by_key.get(&of(&steps[n], columns)).copied()).collect::<Vec<_>>()
    };
    // Depth below the rows that refer to none of the others; a circle ends the count.
    let depth = |n: usize| {
        let (mut depth, mut level, mut seen) = (0, parents(n), BTreeSet::from([n]));
        while !level.is_empty() && depth < steps.len() {
            depth += 1;
            level = level.into_iter().filter(|&p| seen.insert(p)).flat_map(parents).collect();
        }
        depth
    };
    let mut sorted: Vec<(usize, usize)> = (0..steps.len()).map(|n| (depth(n), n)).collect();
    sorted.sort_by_key(|&(depth, n)| (std::cmp::Reverse(depth), n));
    sorted.into_iter().map(|(_, n)| steps[n]).collect()
}
