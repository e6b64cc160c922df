//! Rows that would refer to nothing once a selection is taken back.

use std::collections::BTreeSet;

use super::NAMED;
use crate::error::{Error, Result};
use crate::export::change_set::{ChangeKind, ChangeSet};
use crate::model::canon;
use crate::pipeline::run::Run;
use arrow::array::RecordBatch;

type Key = Vec<Option<String>>;

/// Refuses a selection that leaves rows referring to what it takes away, and names them.
pub(super) fn check(run: &Run, sets: &[ChangeSet]) -> Result<()> {
    for (number, input) in run.inputs.datasets.iter().enumerate() {
        for reference in &input.plan.references {
            let Some(parent) = sets.iter().find(|set| set.dataset == reference.to) else { continue };
            let gone = keys(parent, ChangeKind::Delete, false, &parent.key);
            let columns: Vec<usize> =
                reference.columns.iter().filter_map(|c| input.schema.column(c)).collect();
            if gone.is_empty() || columns.is_empty() {
                continue;
            }
            let left = left_behind(run, number, &sets[number], &columns, &gone)?;
            if left.is_empty() {
                continue;
            }
            let listed: String = left.iter().take(NAMED).map(|row| format!("\n  {row}")).collect();
            return Err(Error::Refused {
                dataset: input.plan.name.clone(),
                reason: format!(
                    "{} rows still refer to rows of {} that the selection takes away{listed}",
                    left.len(),
                    reference.to
                ),
                hint: Some("add their changes with --only, for instance --only key=DATASET:KEY".to_owned()),
            });
        }
    }
    Ok(())
}

/// Rows of a dataset that stand afterwards and refer to a key that does not, as text.
fn left_behind(
    run: &Run,
    number: usize,
    set: &ChangeSet,
    columns: &[usize],
    gone: &BTreeSet<Key>,
) -> Result<Vec<String>> {
    let input = &run.inputs.datasets[number];
    let mut changed = keys(set, ChangeKind::Delete, false, &set.key);
    changed.extend(keys(set, ChangeKind::Update, false, &set.key));
    let mut left = Vec::new();
    let all: Vec<usize> = (0..input.schema.len()).collect();
    for group in 0..input.table.groups() {
        let batch = input.read_current(group, &all)?;
        for row in 0..batch.num_rows() {
            let stays = !changed.contains(&values(&batch, &set.key, row));
            if stays && gone.contains(&values(&batch, columns, row)) {
                left.push(name(run, number, &batch, row));
            }
        }
    }
    for part in &set.parts {
        let Some(then) = &part.then else { continue };
        let dangling = (0..part.rows()).filter(|&row| gone.contains(&values(then, columns, row)));
        left.extend(dangling.map(|row| name(run, number, then, row)));
    }
    Ok(left)
}

fn name(run: &Run, number: usize, batch: &RecordBatch, row: usize) -> String {
    let input = &run.inputs.datasets[number];
    let keys: Vec<_> = input.schema.key().iter().map(|&c| batch.column(c)).collect();
    input.key_text(&keys, row)
}

/// The values of some columns in all rows that are changed in a way.
fn keys(set: &ChangeSet, kind: ChangeKind, then: bool, columns: &[usize]) -> BTreeSet<Key> {
    let mut found = BTreeSet::new();
    for part in set.parts.iter().filter(|part| part.kind == kind) {
        let Some(side) = (if then { &part.then } else { &part.now }) else { continue };
        found.extend((0..part.rows()).map(|row| values(side, columns, row)));
    }
    found
}

fn values(of: &RecordBatch, columns: &[usize], row: usize) -> Key {
    columns.iter().map(|&column| canon::cell_text(of.column(column).as_ref(), row)).collect()
}
