//! Verdicts and discrepancies: as many in their tables as the manifest counts.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;

use super::figures::open;
use super::manifest::{Dataset, Manifest};
use super::{Faults, MANIFEST};
use crate::error::Result;
use crate::model::canon;
use crate::snapshot::Verdict;

const VERDICTS: &str = "verdicts.parquet";
const DISCREPANCIES: &str = "discrepancies.parquet";

pub(super) fn check(manifest: &Manifest, faults: &mut Faults) {
    if let Some(found) = faults.take(VERDICTS, verdicts(manifest)) {
        for dataset in manifest.datasets() {
            let none = Listed::default();
            compare(&dataset, found.get(dataset.name).unwrap_or(&none), faults);
        }
    }
    if let Some(mut found) = faults.take(DISCREPANCIES, discrepancies(manifest)) {
        for (code, open, accepted) in manifest.discrepancies() {
            let listed = found.remove(code).unwrap_or((0, 0));
            if listed != (open, accepted) {
                let what = format!(
                    "{code}: {} open and {} accepted, the manifest states {open} and {accepted}",
                    listed.0, listed.1
                );
                faults.say(DISCREPANCIES, what);
            }
        }
        for (code, (open, accepted)) in found {
            faults
                .say(DISCREPANCIES, format!("{code}: {} that the manifest does not state", open + accepted));
        }
    }
}

/// What the table of verdicts lists of a dataset.
#[derive(Default)]
struct Listed {
    /// Keys by verdict.
    keys: BTreeMap<String, u64>,
    /// Cells by verdict.
    cells: BTreeMap<String, u64>,
    /// Keys that the snapshot has.
    present: u64,
}

fn verdicts(manifest: &Manifest) -> Result<BTreeMap<String, Listed>> {
    let mut found: BTreeMap<String, Listed> = BTreeMap::new();
    each_row(
        manifest,
        VERDICTS,
        ["dataset", "column", "verdict", "present"],
        |[dataset, column, verdict, present]| {
            let listed = found.entry(dataset.unwrap_or_default()).or_default();
            let of = if column.is_some() { &mut listed.cells } else { &mut listed.keys };
            *of.entry(verdict.unwrap_or_default()).or_default() += 1;
            listed.present += u64::from(column.is_none() && present.as_deref() == Some("true"));
        },
    )?;
    Ok(found)
}

fn discrepancies(manifest: &Manifest) -> Result<BTreeMap<String, (u64, u64)>> {
    let mut found: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    each_row(manifest, DISCREPANCIES, ["code", "accepted"], |[code, accepted]| {
        let counts = found.entry(code.unwrap_or_default()).or_default();
        if accepted.is_some() { counts.1 += 1 } else { counts.0 += 1 }
    })?;
    Ok(found)
}

fn each_row<const N: usize>(
    manifest: &Manifest,
    file: &str,
    names: [&str; N],
    mut visit: impl FnMut([Option<String>; N]),
) -> Result<()> {
    let table = open(manifest, file)?;
    let columns: Vec<Option<usize>> = names.iter().map(|name| table.schema().index_of(name).ok()).collect();
    for group in 0..table.groups() {
        let read = |column: &Option<usize>| column.map(|c| table.read(group, &[c], None)).transpose();
        let batches = columns.iter().map(read).collect::<Result<Vec<_>>>()?;
        let arrays: Vec<Option<&ArrayRef>> =
            batches.iter().map(|b| b.as_ref().map(|b| b.column(0))).collect();
        for row in 0..table.rows(group) {
            visit(std::array::from_fn(|at| arrays[at].and_then(|array| text(array, row))));
        }
    }
    Ok(())
}

fn text(array: &ArrayRef, row: usize) -> Option<String> {
    match array.data_type() {
        DataType::Boolean if array.is_valid(row) => Some(array.as_boolean().value(row).to_string()),
        _ => canon::cell_text(array.as_ref(), row),
    }
}

fn compare(dataset: &Dataset<'_>, listed: &Listed, faults: &mut Faults) {
    let totals = dataset.totals();
    let count = |section: &str, name: &str| totals[section][name.replace('-', "_")].as_u64().unwrap_or(0);
    let mut say = |what: String| faults.say(VERDICTS, format!("{}: {what}", dataset.name));
    for verdict in Verdict::ALL.into_iter().filter(|&v| v != Verdict::Unchanged).map(Verdict::name) {
        let (found, stated) = (listed.keys.get(verdict).copied().unwrap_or(0), count("verdicts", verdict));
        // Without a key, rows that are gone have no name to be listed by.
        if found > stated || found < stated && dataset.has_key() {
            say(format!("{found} rows are {verdict}, the manifest states {stated}"));
        }
    }
    let rows = totals["rows"]["snapshot"].as_u64().unwrap_or(0);
    let unchanged = count("verdicts", "unchanged");
    if unchanged + listed.present != rows {
        say(format!(
            "{} rows of the snapshot are listed, the manifest states {rows} rows, {unchanged} of \
                     them unchanged",
            listed.present
        ));
    }
    let cells = |name: &str| listed.cells.get(name).copied().unwrap_or(0);
    let inferred = count("cells", "inferred") + count("cells", "ambiguous");
    for (name, stated) in [("inferred", inferred), ("unrecoverable", count("cells", "unrecoverable"))] {
        if cells(name) != stated {
            say(format!("{} cells are {name}, the manifest states {stated}", cells(name)));
        }
    }
    if totals["verdicts"].is_null() {
        faults.say(MANIFEST, format!("{}: it states no verdicts", dataset.name));
    }
}
