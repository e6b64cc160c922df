//! Checks of whole snapshots: cells that are not exact, tie-outs, references.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{Array, ArrayRef};
use rayon::prelude::*;

use super::evidence::{self, Evidence};
use super::findings::{Findings, Found};
use super::inputs::DatasetInput;
use super::rebuild::Rebuilt;
use super::totals::{Part, Totals};
use super::verdicts::ColumnCounts;
use crate::error::Result;
use crate::model::{
    Amount, Amounts, CellDifference, Discrepancy, DiscrepancyKind as Kind, GroupTotal, Sum, canon,
};
use crate::plan::{Bound, Figures, Moment, Plan};
use crate::snapshot::GroupSource;

/// One discrepancy per column with inferred, ambiguous or unrecoverable cells.
/// `more`: columns that the snapshot has beyond those of the current state.
pub(super) fn cells(input: &DatasetInput, more: &[String], columns: &ColumnCounts) -> Vec<Discrepancy> {
    let mut found = Vec::new();
    let names = input.schema.names().chain(more.iter().map(String::as_str));
    for (name, counts) in names.zip(columns) {
        let kinds = [
            (Kind::InferredValue, "filled from the nearest earlier after value of the same life"),
            (
                Kind::AmbiguousNull,
                "null in a record whose producer writes null for values it cannot express too",
            ),
            (Kind::UnrecoverableValue, "stated by nothing: null in the snapshot, out of totals"),
        ];
        for ((kind, what), &count) in kinds.into_iter().zip(counts).filter(|(_, count)| **count > 0) {
            let mut discrepancy = input.discrepancy(
                kind,
                format!("{count} cells of {name:?} are {what}; verdicts.parquet lists them"),
            );
            discrepancy.count = count;
            discrepancy.touches_snapshot = true;
            discrepancy.cells.push(CellDifference { column: name.to_owned(), expected: None, found: None });
            found.push(discrepancy);
        }
    }
    found
}

/// Rows of a table without key that were inserted more often than they exist.
pub(super) fn overdrawn(
    evidence: &Evidence<'_>,
    rebuilt: &Rebuilt<'_>,
    findings: &mut Findings,
) -> Result<()> {
    let mut recounts = rebuilt.overdrawn.clone();
    recounts.retain(|r| r.after != u32::MAX);
    recounts.sort_by_key(|r| r.after);
    for chunk in recounts.chunks(evidence::CHUNK) {
        let indices: Vec<u32> = chunk.iter().map(|r| r.after).collect();
        let mut found = evidence.changes(Kind::CurrentMissing, &indices, |_| {
            "the ledger records more copies of this row than the current state and the changes after leave: copies \
             were removed without a record, or values were altered"
                .to_owned()
        })?;
        for (discrepancy, recount) in found.iter_mut().zip(chunk) {
            discrepancy.count = recount.missing.unsigned_abs();
            discrepancy.touches_snapshot = true;
        }
        findings.push(found.into_iter().map(Found::always))?;
    }
    Ok(())
}

/// Compares what others state with what is there, and the parts of every equation with its result.
pub(super) fn tie_outs(input: &DatasetInput, moment: &Moment, totals: &Totals) -> Vec<Discrepancy> {
    let mut found = unequal(input, totals);
    if let Some(expected) = &input.plan.expected {
        let current = (totals.whole().rows.current, totals.sums(totals.whole(), Part::Current));
        compare(input, "the extract", expected, current, &mut found);
    }
    for reported in input.plan.reported.iter().filter(|r| is_same(&r.as_of.bound, &moment.bound)) {
        let what =
            reported.source.clone().unwrap_or_else(|| format!("reported as of {}", reported.as_of.text));
        if reported.group.is_empty() {
            let snapshot = (totals.whole().rows.snapshot, totals.sums(totals.whole(), Part::Snapshot));
            compare(input, &what, &reported.figures, snapshot, &mut found);
            continue;
        }
        let group = totals.of_groups(&reported.group);
        let names: Vec<String> = reported.group.iter().map(|(c, v)| format!("{c}={v}")).collect();
        let what = format!("{what} ({})", names.join(", "));
        let snapshot = (group.rows.snapshot, totals.sums(&group, Part::Snapshot));
        compare(input, &what, &reported.figures, snapshot, &mut found);
    }
    found
}

/// Compares what the plan expects of the extract, which has so many rows, with what is in it.
pub(super) fn of_extract(input: &DatasetInput, rows: u64) -> Result<Vec<Discrepancy>> {
    let Some(expected) = &input.plan.expected else { return Ok(Vec::new()) };
    let measures: Vec<(&str, usize)> = input
        .plan
        .measures
        .iter()
        .filter(|name| expected.sums.iter().any(|(stated, _)| stated == *name))
        .filter_map(|name| Some((name.as_str(), input.schema.column(name)?)))
        .collect();
    let columns: Vec<usize> = measures.iter().map(|(_, column)| *column).collect();
    let none = || vec![Sum::ZERO; columns.len()];
    let of_group = |group: usize| -> Result<Vec<Sum>> {
        let batch = input.read_current(group, &columns)?;
        let of_column = |array: &ArrayRef| {
            let (amounts, mut sum) = (Amounts::of(array.as_ref()), Sum::ZERO);
            (0..array.len()).for_each(|row| sum.add(&amounts, row));
            sum
        };
        Ok(batch.columns().iter().map(of_column).collect())
    };
    let plus = |a: Vec<Sum>, b: Vec<Sum>| Ok(a.into_iter().zip(b).map(|(a, b)| a.plus(b)).collect());
    let groups = if columns.is_empty() { 0 } else { input.table.groups() };
    let groups = (0..groups).into_par_iter().with_max_len(1).map(of_group);
    let sums = groups.try_reduce(none, plus)?;
    let sums = measures.iter().zip(sums).map(|((name, _), sum)| (*name, sum, 0)).collect();
    let mut found = Vec::new();
    compare(input, "the extract", expected, (rows, sums), &mut found);
    Ok(found)
}

/// Whether two bounds cut at the same place, however they are written.
fn is_same(a: &Bound, b: &Bound) -> bool {
    a == b || a.last_nanosecond().is_some() && a.last_nanosecond() == b.last_nanosecond()
}

/// Which figures that others state are of none of these moments, and so compared with nothing; in words.
pub(super) fn not_compared(plan: &Plan, moments: &[Moment]) -> Vec<String> {
    let mut notes = Vec::new();
    for dataset in &plan.datasets {
        let is_met = |bound: &Bound| moments.iter().any(|moment| is_same(&moment.bound, bound));
        let unmet = dataset.reported.iter().filter(|reported| !is_met(&reported.as_of.bound));
        let mut texts: Vec<String> =
            unmet.map(|r| format!("{} ({})", r.as_of.text, r.as_of.resolved)).collect();
        texts.dedup();
        if !texts.is_empty() {
            notes.push(format!(
                "{}: figures reported as of {} are compared with nothing, as no snapshot of this run is of that moment",
                dataset.name,
                texts.join(", ")
            ));
        }
    }
    notes
}

/// Control totals whose two sides differ, which only a fault of this program can cause.
fn unequal(input: &DatasetInput, totals: &Totals) -> Vec<Discrepancy> {
    let mut found = Vec::new();
    let mut say = |figure: &str, group: &str, equation: String| {
        let of = if group.is_empty() { String::new() } else { format!(" of {group}") };
        let message = format!("control total of {figure}{of} does not hold: {equation}");
        let mut discrepancy = input.discrepancy(Kind::TotalMismatch, message);
        discrepancy.touches_snapshot = true;
        found.push(discrepancy);
    };
    let whole = GroupTotal {
        group: Vec::new(),
        rows: totals.whole().rows,
        measures: totals.measures(totals.whole()),
    };
    for group in totals.groups().iter().chain([&whole]) {
        let label = group.label();
        if !group.rows.holds() {
            say("rows", &label, group.rows.equation());
        }
        for measure in group.measures.iter().filter(|m| m.is_summed && !m.holds) {
            say(&measure.name, &label, measure.equation());
        }
    }
    found
}

fn compare(
    input: &DatasetInput,
    what: &str,
    stated: &Figures,
    (rows, sums): (u64, Vec<(&str, Sum, u64)>),
    found: &mut Vec<Discrepancy>,
) {
    if let Some(expected) = stated.rows.filter(|&expected| expected != rows) {
        let residual = i128::from(rows) - i128::from(expected);
        let message = format!("rows of {what}: found {rows} − stated {expected} = {residual}");
        let mut discrepancy = input.discrepancy(Kind::TotalMismatch, message);
        discrepancy.touches_snapshot = true;
        found.push(discrepancy);
    }
    for (name, text) in &stated.sums {
        let Some(&(_, sum, unknown)) = sums.iter().find(|(n, ..)| n == name) else {
            let message = format!("{name} of {what}: stated {text}, but {name:?} is not among the measures");
            found.push(input.discrepancy(Kind::TotalMismatch, message));
            continue;
        };
        let (Some(expected), Some(actual)) = (Amount::parse(text), sum.amount()) else {
            let message = format!("{name} of {what}: {} cannot be compared with {text}", sum.text());
            found.push(input.discrepancy(Kind::TotalMismatch, message));
            continue;
        };
        if expected == actual && unknown == 0 {
            continue;
        }
        let residual = actual.minus(expected).map_or_else(|| "overflow".to_owned(), |a| a.to_string());
        let unknown = if unknown > 0 { format!(" + {unknown} unknown") } else { String::new() };
        let message = format!("{name} of {what}: found {actual}{unknown} − stated {expected} = {residual}");
        let mut discrepancy = input.discrepancy(Kind::TotalMismatch, message);
        discrepancy.touches_snapshot = true;
        discrepancy.amounts.push((name.clone(), residual));
        discrepancy.cells.push(CellDifference {
            column: name.clone(),
            expected: Some(expected.to_string()),
            found: Some(actual.to_string()),
        });
        found.push(discrepancy);
    }
}

/// Key identities of snapshots, for references between them.
#[derive(Debug, Default)]
pub(super) struct Keys {
    keys: BTreeMap<String, HashSet<Vec<u8>>>,
    referring: Vec<Referring>,
}

/// The distinct values of a reference, each with the key of a row that has it.
#[derive(Debug)]
struct Referring {
    dataset: String,
    to: String,
    columns: Vec<String>,
    values: BTreeMap<Vec<u8>, Reference>,
}

/// One value of a reference.
#[derive(Debug)]
struct Reference {
    /// Exact text, one per column.
    texts: Vec<Option<String>>,
    /// The key of the first row that has it.
    key: String,
    /// How many rows have it.
    count: u64,
}

impl Keys {
    /// Collects the keys of a dataset that others refer to, and what it refers to itself.
    pub(super) fn collect(&mut self, plan: &Plan, number: usize, rebuilt: &Rebuilt<'_>) -> Result<()> {
        let dataset = &plan.datasets[number];
        let schema = &rebuilt.input.schema;
        let referred = plan.datasets.iter().flat_map(|d| &d.references).any(|r| r.to == dataset.name);
        if referred {
            let keys = self.keys.entry(dataset.name.clone()).or_default();
            each_row(rebuilt, schema.key(), |values, row| {
                keys.insert(identity(values, row));
            })?;
        }
        for reference in &dataset.references {
            let columns: Vec<usize> =
                reference.columns.iter().filter_map(|name| schema.column(name)).collect();
            let mut values: BTreeMap<Vec<u8>, Reference> = BTreeMap::new();
            let all: Vec<usize> = columns.iter().chain(schema.key()).copied().collect();
            each_row(rebuilt, &all, |arrays, row| {
                let (refers, key) = arrays.split_at(columns.len());
                if refers.iter().any(|a| a.is_null(row)) {
                    return;
                }
                let entry = values.entry(identity(refers, row)).or_insert_with(|| {
                    let keys: Vec<&ArrayRef> = key.iter().collect();
                    Reference {
                        texts: refers.iter().map(|a| canon::cell_text(a.as_ref(), row)).collect(),
                        key: rebuilt.input.key_text(&keys, row),
                        count: 0,
                    }
                });
                entry.count += 1;
            })?;
            self.referring.push(Referring {
                dataset: dataset.name.clone(),
                to: reference.to.clone(),
                columns: reference.columns.clone(),
                values,
            });
        }
        Ok(())
    }
}

fn each_row(
    rebuilt: &Rebuilt<'_>,
    columns: &[usize],
    mut visit: impl FnMut(&[ArrayRef], usize),
) -> Result<()> {
    for group in 0..rebuilt.groups() {
        let arrays = columns.iter().map(|&c| rebuilt.column(group, c)).collect::<Result<Vec<_>>>()?;
        (0..rebuilt.rows(group)).for_each(|row| visit(&arrays, row));
    }
    Ok(())
}

/// Canonical bytes of some cells, so that a 32-bit and a 64-bit key are one.
fn identity(arrays: &[ArrayRef], row: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    arrays.iter().for_each(|array| canon::canonical_bytes(array.as_ref(), row, &mut bytes));
    bytes
}

/// References to rows that are not in the snapshot. Null refers to nothing and is no orphan.
pub(super) fn references(plan: &Plan, keys: &Keys) -> Vec<Discrepancy> {
    let mut found = Vec::new();
    for referring in &keys.referring {
        let Some(known) = keys.keys.get(&referring.to).filter(|_| plan.dataset(&referring.to).is_some())
        else {
            continue;
        };
        for (_, reference) in referring.values.iter().filter(|(v, _)| !known.contains(*v)) {
            let names: Vec<&str> = referring.columns.iter().map(String::as_str).collect();
            let message = format!(
                "{} refers to a row of {:?} that is not in the snapshot",
                pairs(&names, &reference.texts),
                referring.to
            );
            let mut discrepancy = Discrepancy::new(Kind::OrphanReference, referring.dataset.clone(), message);
            discrepancy.key.clone_from(&reference.key);
            discrepancy.count = reference.count;
            discrepancy.touches_snapshot = true;
            let cell = |(column, found): (&String, &Option<String>)| CellDifference {
                column: column.clone(),
                expected: Some(format!("a key of {}", referring.to)),
                found: found.clone(),
            };
            discrepancy.cells = referring.columns.iter().zip(&reference.texts).map(cell).collect();
            found.push(discrepancy);
        }
    }
    found
}

fn pairs(names: &[&str], texts: &[Option<String>]) -> String {
    let pair =
        |(name, text): (&&str, &Option<String>)| format!("{name}={}", text.as_deref().unwrap_or("null"));
    names.iter().zip(texts).map(pair).collect::<Vec<_>>().join(", ")
}
