//! Digests of rows: the identity holds or is said not to, and the snapshot's is recomputed from its rows.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use serde_json::Value;

use super::figures::open;
use super::manifest::{Dataset, Manifest};
use super::{Faults, MANIFEST};
use crate::error::Result;
use crate::export::digests::DIGESTS;
use crate::model::{LtHash, RowDigests, canon};
use crate::read::{Table, TableFormat};

/// Dataset, column (empty: whole rows) and part.
type Place = (String, String, String);

/// Checks all datasets that have digests. Returns what was recomputed, in words.
pub(super) fn check(manifest: &Manifest, faults: &mut Faults) -> Vec<String> {
    let datasets = manifest.datasets();
    if datasets.iter().all(|dataset| dataset.digests().is_none()) {
        return Vec::new();
    }
    let Some(states) = faults.take(DIGESTS, states(manifest)) else { return Vec::new() };
    let mut said = Vec::new();
    for dataset in datasets {
        let Some(digests) = dataset.digests() else { continue };
        for identity in digests["identities"].as_array().into_iter().flatten() {
            one(&dataset, identity, &states, faults);
        }
        said.extend(recompute(manifest, &dataset, digests, faults));
    }
    said
}

fn states(manifest: &Manifest) -> Result<BTreeMap<Place, LtHash>> {
    let table = open(manifest, DIGESTS)?;
    let mut states = BTreeMap::new();
    for group in 0..table.groups() {
        let batch = table.read(group, &[0, 1, 2, 3], None)?;
        let text = |column: usize, row: usize| {
            canon::cell_text(batch.column(column).as_ref(), row).unwrap_or_default()
        };
        let Some(bytes) = batch.column(3).as_binary_opt::<i32>() else { continue };
        for row in (0..batch.num_rows()).filter(|&row| bytes.is_valid(row)) {
            if let Some(state) = LtHash::from_bytes(bytes.value(row)) {
                states.insert((text(0, row), text(1, row), text(2, row)), state);
            }
        }
    }
    Ok(states)
}

/// The states of one identity have the fingerprints that the manifest states, and add up as it says.
fn one(dataset: &Dataset<'_>, identity: &Value, states: &BTreeMap<Place, LtHash>, faults: &mut Faults) {
    let column = identity["column"].as_str().unwrap_or_default();
    let of = if column.is_empty() { "rows" } else { column };
    let mut parts = Vec::new();
    for part in ["current", "after", "before", "snapshot"] {
        let place = (dataset.name.to_owned(), column.to_owned(), part.to_owned());
        let Some(state) = states.get(&place) else {
            faults.say(DIGESTS, format!("{}.{of}: no state of {part}", dataset.name));
            return;
        };
        if identity[part].as_str() != Some(&state.fingerprint()) {
            faults.say(DIGESTS, format!("{}.{of}: {part} is not what the manifest states", dataset.name));
        }
        parts.push(state.clone());
    }
    let [current, after, before, snapshot] = parts.as_slice() else { return };
    let holds = current.clone().minus(after).plus(before) == *snapshot;
    if identity["holds"].as_bool() != Some(holds) {
        let what = if holds { "holds" } else { "does not hold" };
        faults.say(
            MANIFEST,
            format!("{}.{of}: the identity of digests {what}, and it says otherwise", dataset.name),
        );
    }
}

/// The snapshot's digests from its rows. Delimited text has lost the types that they are made of.
fn recompute(
    manifest: &Manifest,
    dataset: &Dataset<'_>,
    digests: &Value,
    faults: &mut Faults,
) -> Option<String> {
    let file = dataset.file()?;
    let table = faults.take(file, open(manifest, file))?;
    if !matches!(table.format(), TableFormat::Parquet | TableFormat::ArrowIpc) {
        return Some(format!("{}: digests of rows are not recomputed from text", dataset.name));
    }
    let names: Vec<&str> = digests["columns"].as_array()?.iter().filter_map(Value::as_str).collect();
    let identities = digests["identities"].as_array()?;
    let columns = if identities.len() > 1 { names.len() } else { 0 };
    let found = faults.take(file, digests_of(&table, &names, columns))?;
    for identity in identities {
        let column = identity["column"].as_str();
        let hash = match column.and_then(|name| names.iter().position(|n| *n == name)) {
            None => &found.rows,
            Some(number) => &found.columns[number],
        };
        if identity["snapshot"].as_str() != Some(&hash.fingerprint()) {
            let of = column.unwrap_or("rows");
            faults.say(file, format!("the digest of {of} is not what the manifest states of the snapshot"));
        }
    }
    Some(format!("{}: {} digests of its rows", dataset.name, identities.len()))
}

fn digests_of(table: &Table, names: &[&str], columns: usize) -> Result<RowDigests> {
    let mut found = RowDigests::none(columns);
    for group in 0..table.groups() {
        let rows = table.rows(group);
        let column = |name: &&str| match table.schema().index_of(name) {
            Ok(column) => Ok(ArrayRef::clone(table.read(group, &[column], None)?.column(0))),
            // Left out, as it did not exist yet.
            Err(_) => Ok(new_null_array(&arrow::datatypes::DataType::Utf8, rows)),
        };
        let arrays = names.iter().map(column).collect::<Result<Vec<_>>>()?;
        found.add_rows(&arrays, 0..rows);
        arrays.iter().enumerate().for_each(|(number, array)| found.add_cells(number, array, 0..rows));
    }
    Ok(found)
}
