//! Rows and control totals: recomputed from the tables, compared with the manifest and `totals.parquet`.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use arrow::datatypes::{DataType, UInt64Type};
use serde_json::Value;

use super::manifest::{Dataset, Manifest};
use super::{Faults, MANIFEST};
use crate::error::Result;
use crate::model::{Amount, Amounts, Sum, canon};
use crate::read::{CsvEscape, CsvOptions, Spool, Table, TableSource};

const TOTALS: &str = "totals.parquet";

/// The parts of an equation, as the manifest names them.
const PARTS: [&str; 5] = ["current", "inserts_undone", "deletes_undone", "updates_undone", "snapshot"];

/// Checks all datasets. Returns what was recomputed, in words.
pub(super) fn check(manifest: &Manifest, faults: &mut Faults) -> Vec<String> {
    let mut recomputed = Vec::new();
    for dataset in manifest.datasets() {
        equations(&dataset, faults);
        let Some(file) = dataset.file() else {
            faults.say(MANIFEST, format!("it names no file for {}", dataset.name));
            continue;
        };
        let table = || open_text(manifest, file, dataset.null());
        if let Some(found) = faults.take(file, table().and_then(|table| sum_up(&table, &dataset))) {
            compare(&dataset, &found, file, faults);
            let groups =
                if found.groups.len() == 1 { "1 group" } else { &format!("{} groups", found.groups.len()) };
            let by = if groups_of(&dataset).is_empty() { String::new() } else { format!(", {groups}") };
            recomputed.push(format!(
                "{}: {} rows, {} measures{by}",
                dataset.name, found.whole.rows, found.measures
            ));
        }
    }
    totals_table(manifest, faults);
    recomputed
}

/// Opens a table of the package. Text stays text, as every number in it is exact.
pub(super) fn open(manifest: &Manifest, file: &str) -> Result<Table> {
    open_text(manifest, file, None)
}

fn open_text(manifest: &Manifest, file: &str, null: Option<&str>) -> Result<Table> {
    let csv = CsvOptions {
        delimiter: Some(b','),
        null: null.filter(|marker| !marker.is_empty()).map(str::to_owned),
        escape: Some(CsvEscape::Quotes),
        ..CsvOptions::default()
    };
    let source = TableSource { as_text: true, csv, ..TableSource::at(manifest.folder.join(file)) };
    Table::open(&source, &Spool::new(None))
}

fn measures_of<'a>(figures: &'a Value) -> impl Iterator<Item = &'a Value> + use<'a> {
    figures["measures"].as_array().into_iter().flatten()
}

fn groups_of<'a>(dataset: &Dataset<'a>) -> &'a [Value] {
    dataset.totals()["groups"].as_array().map_or(&[], Vec::as_slice)
}

fn name_of(value: &Value) -> &str {
    value["name"].as_str().unwrap_or_default()
}

/// The amounts of an equation; `None` where one is none.
fn amounts(value: &Value) -> [Option<Amount>; 5] {
    PARTS.map(|part| match &value[part] {
        Value::String(text) => Amount::parse(text),
        Value::Number(number) => Amount::parse(&number.to_string()),
        _ => None,
    })
}

/// Every equation holds, and the groups add up to the whole.
fn equations(dataset: &Dataset<'_>, faults: &mut Faults) {
    let whole = dataset.totals();
    let holds = |value: &Value| {
        let [current, inserts, deletes, updates, snapshot] = amounts(value);
        let left = || current?.minus(inserts?)?.plus(deletes?)?.plus(updates?);
        left().zip(snapshot).map(|(left, right)| left == right)
    };
    for figures in groups_of(dataset).iter().chain([whole]) {
        let of = figures["group"].as_str().map_or_else(String::new, |group| format!(" ({group})"));
        let rows = [("rows", &figures["rows"])];
        for (name, value) in rows.into_iter().chain(measures_of(figures).map(|m| (name_of(m), m))) {
            let is_summed = name == "rows" || amounts(value).iter().all(Option::is_some);
            if is_summed && holds(value) != Some(true) {
                let equation = value["equation"].as_str().unwrap_or_default();
                faults.say(
                    MANIFEST,
                    format!("{}.{name}{of}: the equation does not hold: {equation}", dataset.name),
                );
            }
        }
    }
    if groups_of(dataset).is_empty() {
        return;
    }
    for (number, measure) in measures_of(whole).enumerate() {
        let of_groups = groups_of(dataset).iter().map(|group| &group["measures"][number]);
        let (sums, stated) = (add_up(of_groups), amounts(measure));
        if stated.iter().all(Option::is_some) && sums != stated {
            let what =
                format!("{}.{}: the groups do not add up to the whole", dataset.name, name_of(measure));
            faults.say(MANIFEST, what);
        }
    }
    if add_up(groups_of(dataset).iter().map(|group| &group["rows"])) != amounts(&whole["rows"]) {
        faults.say(MANIFEST, format!("{}: the rows of the groups do not add up to the whole", dataset.name));
    }
}

fn add_up<'a>(values: impl Iterator<Item = &'a Value>) -> [Option<Amount>; 5] {
    values.map(amounts).fold([Some(Amount::ZERO); 5], |mut all, more| {
        all.iter_mut().zip(more).for_each(|(all, more)| *all = all.zip(more).and_then(|(a, b)| a.plus(b)));
        all
    })
}

/// Rows, and the sums of measures, as the manifest states them.
type Stated = (u64, Vec<Option<Amount>>);

/// What a table holds.
struct Found {
    measures: usize,
    whole: Figures,
    groups: BTreeMap<Vec<Option<String>>, Figures>,
}

#[derive(Clone)]
struct Figures {
    rows: u64,
    sums: Vec<Sum>,
}

fn sum_up(table: &Table, dataset: &Dataset<'_>) -> Result<Found> {
    let measures: Vec<String> =
        measures_of(dataset.totals()).map(|measure| dataset.as_written(name_of(measure))).collect();
    let by: Vec<String> = groups_of(dataset)
        .first()
        .and_then(|group| group["values"].as_object())
        .map_or_else(Vec::new, |values| values.keys().map(|name| dataset.as_written(name)).collect());
    let is_told_from_null = |text: &String| dataset.null().is_none() || !text.is_empty();
    let none = Figures { rows: 0, sums: vec![Sum::ZERO; measures.len()] };
    let mut found = Found { measures: measures.len(), whole: none.clone(), groups: BTreeMap::new() };
    for group in 0..table.groups() {
        let column = |name: &str| column(table, group, name);
        let keys = by.iter().map(|name| column(name)).collect::<Result<Vec<_>>>()?;
        let values = measures.iter().map(|name| column(name)).collect::<Result<Vec<_>>>()?;
        let values: Vec<Amounts> = values.iter().map(|array| Amounts::of(array.as_ref())).collect();
        for row in 0..table.rows(group) {
            add(&mut found.whole, &values, row);
            if !by.is_empty() {
                let text = |key: &ArrayRef| canon::cell_text(key.as_ref(), row).filter(is_told_from_null);
                let key = keys.iter().map(text).collect();
                add(found.groups.entry(key).or_insert_with(|| none.clone()), &values, row);
            }
        }
    }
    Ok(found)
}

fn add(figures: &mut Figures, values: &[Amounts], row: usize) {
    figures.rows += 1;
    figures.sums.iter_mut().zip(values).for_each(|(sum, amounts)| sum.add(amounts, row));
}

/// A column of a table; null throughout if it was left out.
fn column(table: &Table, group: usize, name: &str) -> Result<ArrayRef> {
    match table.schema().index_of(name) {
        Ok(column) => Ok(ArrayRef::clone(table.read(group, &[column], None)?.column(0))),
        Err(_) => Ok(new_null_array(&DataType::Utf8, table.rows(group))),
    }
}

/// What was recomputed against what the manifest states. What nothing states is null in a table, so it
/// counts with the rows whose value is null.
fn compare(dataset: &Dataset<'_>, found: &Found, file: &str, faults: &mut Faults) {
    // Delimited text may write empty text as it writes null.
    let is_told_from_null = |text: &String| dataset.null().is_none() || !text.is_empty();
    let mut stated: BTreeMap<Vec<Option<String>>, Stated> = BTreeMap::new();
    for group in groups_of(dataset) {
        let values = group["values"].as_object().into_iter().flatten();
        let text = |value: &Value| value.as_str().map(|text| dataset.as_written(text));
        let key = values.map(|(_, value)| text(value).filter(is_told_from_null)).collect();
        let (rows, sums) = figures_of(group);
        let entry = stated.entry(key).or_insert_with(|| (0, vec![Some(Amount::ZERO); sums.len()]));
        entry.0 += rows;
        entry.1.iter_mut().zip(sums).for_each(|(all, sum)| *all = all.zip(sum).and_then(|(a, b)| a.plus(b)));
    }
    let names: Vec<&str> = measures_of(dataset.totals()).map(name_of).collect();
    let mut one = |label: &str, stated: &Stated, found: Option<&Figures>| {
        let rows = found.map_or(0, |f| f.rows);
        if rows != stated.0 {
            faults.say(file, format!("{rows} rows{label}, the manifest states {}", stated.0));
        }
        for (number, name) in names.iter().enumerate() {
            let sum = found.map_or(Some(Amount::ZERO), |f| f.sums[number].amount());
            if sum != stated.1.get(number).copied().flatten() {
                let text =
                    |amount: Option<Amount>| amount.map_or_else(|| "no sum".to_owned(), |a| a.to_string());
                let stated = text(stated.1.get(number).copied().flatten());
                faults.say(
                    file,
                    format!("sum of {name}{label} is {}, the manifest states {stated}", text(sum)),
                );
            }
        }
    };
    one("", &figures_of(dataset.totals()), Some(&found.whole));
    for (key, figures) in &stated {
        one(&label(key), figures, found.groups.get(key));
    }
    if !stated.is_empty() {
        for (key, figures) in found.groups.iter().filter(|(key, _)| !stated.contains_key(*key)) {
            faults.say(
                file,
                format!("{} rows{}, a group that the manifest does not state", figures.rows, label(key)),
            );
        }
    }
}

fn label(key: &[Option<String>]) -> String {
    let values: Vec<&str> = key.iter().map(|value| value.as_deref().unwrap_or("null")).collect();
    format!(" of group {}", values.join(", "))
}

fn figures_of(figures: &Value) -> Stated {
    let snapshot = |measure: &Value| amounts(measure)[4];
    (figures["rows"]["snapshot"].as_u64().unwrap_or(0), measures_of(figures).map(snapshot).collect())
}

/// The rows of `totals.parquet` say what the manifest says.
fn totals_table(manifest: &Manifest, faults: &mut Faults) {
    let mut stated: Vec<Vec<String>> = Vec::new();
    for dataset in manifest.datasets() {
        for figures in std::iter::once(dataset.totals()).chain(groups_of(&dataset)) {
            let group = figures["group"].as_str().unwrap_or_default();
            let rows = [("rows", "", &figures["rows"])].into_iter();
            for (figure, measure, value) in
                rows.chain(measures_of(figures).map(|m| ("measure", name_of(m), m)))
            {
                let mut line = [dataset.name, figure, measure, group].map(str::to_owned).to_vec();
                line.extend(PARTS.map(|part| match &value[part] {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                }));
                line.push(value["unknown_cells"].as_u64().unwrap_or(0).to_string());
                stated.push(line);
            }
        }
    }
    let read = open(manifest, TOTALS).and_then(|table| lines(&table));
    let Some(found) = faults.take(TOTALS, read) else { return };
    if found.len() != stated.len() {
        faults.say(TOTALS, format!("{} rows, the manifest states {}", found.len(), stated.len()));
    }
    for (number, (found, stated)) in found.iter().zip(&stated).enumerate().filter(|(_, (a, b))| a != b) {
        let what =
            format!("row {}: {}, the manifest states {}", number + 1, found.join(" "), stated.join(" "));
        faults.say(TOTALS, what);
    }
}

fn lines(table: &Table) -> Result<Vec<Vec<String>>> {
    let columns: Vec<usize> = (0..table.schema().fields().len()).collect();
    let mut lines = Vec::new();
    for group in 0..table.groups() {
        let batch = table.read(group, &columns, None)?;
        let cell = |array: &ArrayRef, row: usize| match array.data_type() {
            DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).to_string(),
            _ => canon::cell_text(array.as_ref(), row).unwrap_or_default(),
        };
        lines.extend((0..batch.num_rows()).map(|row| batch.columns().iter().map(|a| cell(a, row)).collect()));
    }
    Ok(lines)
}
