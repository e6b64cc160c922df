//! Digests of rows at one cut, and the identity of the undone changes.
//!
//! Nothing of the replay goes into the sums: current rows are read from their files,
//! images of undone changes from the ledger in whatever order they lie, and rows of the
//! snapshot as they are written. Only which changes lie behind the cut is shared. A change
//! one of whose images is missing or partial is in no sum of whole rows, and counted.

use std::ops::Range;

use arrow::array::ArrayRef;
use rayon::prelude::*;

use super::rebuild::Rebuilt;
use super::request::DigestDepth;
use super::run::Run;
use super::verdicts::VerdictCounts;
use crate::error::Result;
use crate::ledger::want::Want;
use crate::model::{CellState, ChangeBatch, DigestTotal, Images, Op, RowDigests};
use crate::snapshot::GroupSource;

/// Sums over undone changes.
struct Undone {
    after: RowDigests,
    before: RowDigests,
    /// Whole changes in the sums of rows; then per column.
    included: Vec<u64>,
    excluded: Vec<u64>,
}

impl Undone {
    fn none(columns: usize) -> Self {
        Self {
            after: RowDigests::none(columns),
            before: RowDigests::none(columns),
            included: vec![0; 1 + columns],
            excluded: vec![0; 1 + columns],
        }
    }

    fn plus(mut self, other: &Self) -> Self {
        self.included.iter_mut().zip(&other.included).for_each(|(a, b)| *a += b);
        self.excluded.iter_mut().zip(&other.excluded).for_each(|(a, b)| *a += b);
        Self { after: self.after.plus(&other.after), before: self.before.plus(&other.before), ..self }
    }
}

/// The identities of a dataset: of whole rows, then of each column if asked for.
pub(super) fn digests(
    run: &Run,
    number: usize,
    (rebuilt, cut): (&Rebuilt<'_>, u32),
    (depth, verdicts): (DigestDepth, &VerdictCounts),
) -> Result<Vec<DigestTotal>> {
    let input = rebuilt.input;
    let width = input.schema.len();
    let columns = if depth == DigestDepth::Columns { width } else { 0 };
    let all: Vec<usize> = (0..width).collect();
    let current = sum(0..input.table.groups(), columns, |group| {
        Ok(input.read_current(group, &all)?.columns().to_vec())
    })?;
    let mut snapshot = RowDigests::none(columns);
    for band in rebuilt.bands() {
        rebuilt.enter(&band)?;
        let read = |group| all.iter().map(|&column| rebuilt.column(group, column)).collect();
        snapshot = snapshot.plus(&sum(band, columns, read)?);
    }
    let undone = undone(run, number, cut, columns)?;
    let name = |lane: usize| (lane > 0).then(|| input.schema.name(lane - 1).to_owned());
    let total = |lane: usize| {
        let of = |digests: &RowDigests| match lane {
            0 => digests.rows.clone(),
            _ => digests.columns[lane - 1].clone(),
        };
        let mut total = DigestTotal {
            column: name(lane),
            current: of(&current),
            after: of(&undone.after),
            before: of(&undone.before),
            snapshot: of(&snapshot),
            included: undone.included[lane],
            excluded: undone.excluded[lane],
            residual: None,
        };
        total.residual = match (total.holds(), total.excluded) {
            (true, 0) => None,
            (true, _) => Some(unproven(total.excluded)),
            (false, _) => Some(residual(&total, verdicts)),
        };
        total
    };
    Ok((0..=columns).map(total).collect())
}

/// What an identity that holds leaves open.
fn unproven(excluded: u64) -> String {
    format!(
        "undone changes that are in none of these digests, as an image is missing or partial or as they are truncates: \
         {excluded}; it holds without them and proves nothing of them"
    )
}

/// Why an identity does not hold, as far as it is known.
fn residual(total: &DigestTotal, verdicts: &VerdictCounts) -> String {
    let counted = [
        (total.excluded, "undone changes could not be included, as an image is missing or partial"),
        (verdicts.contradicted, "keys are contradicted: their images and rows do not agree"),
        (verdicts.inferred_cells + verdicts.ambiguous_cells, "cells are inferred or ambiguous"),
        (verdicts.unrecoverable_cells, "cells are stated by nothing"),
    ];
    let known: Vec<String> = counted
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    match known.as_slice() {
        [] => "unexplained: images of undone changes, current rows and snapshot do not agree".to_owned(),
        known => known.join("; "),
    }
}

/// The digests of all rows of some groups.
fn sum(
    groups: Range<usize>,
    columns: usize,
    read: impl Fn(usize) -> Result<Vec<ArrayRef>> + Sync,
) -> Result<RowDigests> {
    let one = |group: usize| {
        let arrays = read(group)?;
        let mut digests = RowDigests::none(columns);
        let rows = arrays.first().map_or(0, |array| array.len());
        digests.add_rows(&arrays, 0..rows);
        arrays.iter().enumerate().for_each(|(column, array)| digests.add_cells(column, array, 0..rows));
        Ok(digests)
    };
    let groups = groups.into_par_iter().with_max_len(1).map(one);
    groups.try_reduce(|| RowDigests::none(columns), |a, b| Ok(a.plus(&b)))
}

fn undone(run: &Run, number: usize, cut: u32, columns: usize) -> Result<Undone> {
    let input = &run.inputs.datasets[number];
    let order = &run.order(number).order;
    let end = run.analysed[number].end;
    let one = |segment: usize| {
        let first = input.store.first(segment);
        let next = input.store.first(segment + 1);
        let is_undone = |row: &usize| {
            let rank = order.rank(input.member, first + *row as u32);
            rank >= cut && rank < end
        };
        let rows: Vec<usize> = (0..(next - first) as usize).filter(is_undone).collect();
        let mut sums = Undone::none(columns);
        if !rows.is_empty() {
            let want = Want { states: true, ..Want::IMAGES };
            let batch = input.read_changes(segment, want, None)?;
            add_changes(&mut sums, &batch, &rows, input.schema.len());
        }
        Ok(sums)
    };
    let segments = (0..input.store.segments()).into_par_iter().with_max_len(1).map(one);
    segments.try_reduce(|| Undone::none(columns), |a, b| Ok(a.plus(&b)))
}

/// Which images of a change an identity needs; `None`: no images say what it did.
fn needed(batch: &ChangeBatch, row: usize) -> Option<(bool, bool)> {
    match Op::ALL.into_iter().find(|op| *op as u8 == batch.ops[row])? {
        Op::Insert => Some((false, true)),
        Op::Update => Some((true, true)),
        Op::Delete => Some((true, false)),
        // Without a before image it is not known whether a row stood.
        Op::Upsert => batch.before.is_present(row).then_some((true, true)),
        Op::Truncate | Op::Read => None,
    }
}

fn is_known(images: &Images, column: usize, row: usize) -> bool {
    images.state(column, row) == CellState::Known
}

fn add_changes(sums: &mut Undone, batch: &ChangeBatch, rows: &[usize], width: usize) {
    let is_change = |row: &&usize| batch.ops[**row] != Op::Read as u8;
    let rows: Vec<usize> = rows.iter().filter(is_change).copied().collect();
    let is_whole = |row: usize| {
        let known = |images: &Images| (0..width).all(|column| is_known(images, column, row));
        needed(batch, row).is_some_and(|(b, a)| (!b || known(&batch.before)) && (!a || known(&batch.after)))
    };
    let whole: Vec<usize> = rows.iter().copied().filter(|&row| is_whole(row)).collect();
    sums.included[0] += whole.len() as u64;
    sums.excluded[0] += (rows.len() - whole.len()) as u64;
    let sides = |row: usize| needed(batch, row).unwrap_or_default();
    if let Some(arrays) = arrays(&batch.before, width) {
        sums.before.add_rows(&arrays, whole.iter().copied().filter(|&row| sides(row).0));
    }
    if let Some(arrays) = arrays(&batch.after, width) {
        sums.after.add_rows(&arrays, whole.iter().copied().filter(|&row| sides(row).1));
    }
    for column in 0..sums.before.columns.len() {
        add_column(sums, batch, &rows, column);
    }
}

/// One column of all changes. A cell that a change did not touch is on neither side.
fn add_column(sums: &mut Undone, batch: &ChangeBatch, rows: &[usize], column: usize) {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for &row in rows {
        let untouched = |images: &Images| images.state(column, row) == CellState::Unchanged;
        let known = |(b, a): (bool, bool)| {
            (!b || is_known(&batch.before, column, row)) && (!a || is_known(&batch.after, column, row))
        };
        match needed(batch, row) {
            Some((true, true)) if untouched(&batch.before) || untouched(&batch.after) => {}
            Some(sides) if known(sides) => {
                before.extend(sides.0.then_some(row));
                after.extend(sides.1.then_some(row));
            }
            _ => {
                sums.excluded[1 + column] += 1;
                continue;
            }
        }
        sums.included[1 + column] += 1;
    }
    if let Some(array) = batch.before.column(column) {
        sums.before.add_cells(column, array, before.into_iter());
    }
    if let Some(array) = batch.after.column(column) {
        sums.after.add_cells(column, array, after.into_iter());
    }
}

fn arrays(images: &Images, width: usize) -> Option<Vec<ArrayRef>> {
    (0..width).map(|column| images.column(column).cloned()).collect()
}
