//! Known faults planted in a copy of the inputs: does a verification find them?
//!
//! Current states and ledgers that are tables (Parquet, delimited text, Arrow) are copied into memory, ledgers of
//! JSON lines into a temporary folder. A ledger whose copy is not found to say what the files say (one of another format
//! than mapped columns, for instance) gets no fault: only its current state does. A fault counts as found if the
//! verification of the copy has a finding that the verification of the inputs has not, or stops.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray, UInt32Array};
use arrow::datatypes::FieldRef;

use crate::error::{Error, Result};
use crate::ledger::input_files;
use crate::model::canon;
use crate::pipeline::progress::Progress;
use crate::pipeline::request::{RunOptions, VerifyRequest};
use crate::pipeline::verify::verify;
use crate::plan::{Dataset, Plan};
use crate::read::paths::find;
use crate::read::{Batches, InputFile, Spool, Table, TableFormat, TableSource, open_bytes, table_format};

/// What records with images have in them.
const IMAGES: [&str; 5] = ["\"before\":", "\"after\":", "\"columns\":", "\"columnvalues\":", "\"data\":"];

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlantedFault {
    /// A record of a ledger is missing.
    RemovedRecord,
    /// A record of a ledger is there twice.
    RepeatedRecord,
    /// A figure in an image of a ledger is another.
    AlteredImage,
    /// A cell of the current state was edited past the ledger.
    EditedCurrent,
    /// A row of the current state was removed past the ledger.
    RemovedCurrent,
    /// Two rows of the current state have each other's values of a column.
    SwappedCurrent,
}

impl PlantedFault {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::RemovedRecord,
        Self::RepeatedRecord,
        Self::AlteredImage,
        Self::EditedCurrent,
        Self::RemovedCurrent,
        Self::SwappedCurrent,
    ];

    /// The kind in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::RemovedRecord => "removed record",
            Self::RepeatedRecord => "repeated record",
            Self::AlteredImage => "altered image",
            Self::EditedCurrent => "edited current row",
            Self::RemovedCurrent => "removed current row",
            Self::SwappedCurrent => "swapped pair of current rows",
        }
    }
}

/// How many faults of a kind were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRate {
    /// The kind.
    pub fault: PlantedFault,
    /// How many were planted; fewer than asked for where the inputs have no place for more.
    pub planted: u32,
    /// How many of them were found.
    pub found: u32,
    /// Where those were planted that were not found.
    pub missed: Vec<String>,
}

/// Plants faults of every kind, one at a time.
pub(super) fn self_test(
    plan: &Plan,
    planted: u32,
    options: &RunOptions,
    progress: &dyn Progress,
) -> Result<Vec<FaultRate>> {
    let findings = |plan: &Plan| -> Result<BTreeSet<(String, u64)>> {
        let request = VerifyRequest {
            plan: plan.clone(),
            discrepancies: None,
            replace: false,
            options: options.clone(),
        };
        let found = verify(&request, progress)?.discrepancies;
        Ok(found.listed.iter().map(|d| (d.fingerprint(), d.count)).collect())
    };
    let known = findings(plan)?;
    let tables = (0..plan.datasets.len())
        .map(|number| {
            let Some(copy) = copied(plan, number)? else { return Ok(None) };
            let same = findings(&with_ledger(plan, number, copy.clone())?).is_ok_and(|found| found == known);
            Ok(same.then_some(copy))
        })
        .collect::<Result<Vec<_>>>()?;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut rates = Vec::new();
    for fault in PlantedFault::ALL {
        let mut rate = FaultRate { fault, planted: 0, found: 0, missed: Vec::new() };
        for _ in 0..planted {
            let folder = tempfile::tempdir().map_err(Error::io(Path::new("temporary folder"), "write"))?;
            let Some((faulty, place)) = plant((plan, &tables), fault, folder.path(), &mut random)? else {
                continue;
            };
            rate.planted += 1;
            // A run that stops has seen the fault too.
            if findings(&faulty).map_or(true, |found| found.difference(&known).next().is_some()) {
                rate.found += 1;
            } else {
                rate.missed.push(place);
            }
        }
        rates.push(rate);
    }
    Ok(rates)
}

/// The plan with one fault in a copy of its inputs, and where. `None` if no place was found.
fn plant(
    (plan, tables): (&Plan, &[Option<Vec<RecordBatch>>]),
    fault: PlantedFault,
    folder: &Path,
    random: &mut Random,
) -> Result<Option<(Plan, String)>> {
    for _ in 0..20 {
        let number = random.below(plan.datasets.len());
        let mut faulty = plan.clone();
        let place = match fault {
            PlantedFault::RemovedRecord | PlantedFault::RepeatedRecord | PlantedFault::AlteredImage => {
                match &tables[number] {
                    Some(table) => in_table(&mut faulty, number, (table, fault), random)?,
                    None => in_lines(&mut faulty, number, fault, folder, random)?,
                }
            }
            _ => in_current(&mut faulty.datasets[number], fault, random)?,
        };
        if let Some(place) = place {
            return Ok(Some((faulty, place)));
        }
    }
    Ok(None)
}

/// The ledger of a dataset as a table in memory, if its files are tables.
fn copied(plan: &Plan, number: usize) -> Result<Option<Vec<RecordBatch>>> {
    let ledger = &plan.datasets[number].ledger;
    let ([path], None) = (ledger.paths.as_slice(), &ledger.table.batches) else { return Ok(None) };
    let spool = Spool::new(None);
    let Ok(files) = input_files(std::slice::from_ref(path), &spool) else { return Ok(None) };
    let is_table = |file: &InputFile| {
        let format = table_format(file);
        matches!(
            format,
            Ok(TableFormat::Parquet | TableFormat::Csv | TableFormat::Tsv | TableFormat::ArrowIpc)
        )
    };
    if files.is_empty() || !files.iter().all(is_table) {
        return Ok(None);
    }
    let source = TableSource { pattern: path.clone(), ..ledger.table.clone() };
    let Ok(table) = Table::open(&source, &spool) else { return Ok(None) };
    let all: Vec<usize> = (0..table.schema().fields().len()).collect();
    (0..table.groups()).map(|group| table.read(group, &all, None)).collect::<Result<_>>().map(Some)
}

/// The plan with another ledger in place of a dataset's, for all that share it.
fn with_ledger(plan: &Plan, number: usize, batches: Vec<RecordBatch>) -> Result<Plan> {
    let (mut plan, batches) = (plan.clone(), Batches::new(batches)?);
    let paths = plan.datasets[number].ledger.paths.clone();
    for dataset in plan.datasets.iter_mut().filter(|d| d.ledger.paths == paths) {
        dataset.ledger.table.batches = Some(batches.clone());
    }
    Ok(plan)
}

/// Puts a fault into a ledger that is a table.
fn in_table(
    plan: &mut Plan,
    number: usize,
    (table, fault): (&[RecordBatch], PlantedFault),
    random: &mut Random,
) -> Result<Option<String>> {
    let filled: Vec<usize> = (0..table.len()).filter(|&group| table[group].num_rows() > 0).collect();
    let Some(&group) = filled.get(random.below(filled.len())) else { return Ok(None) };
    let (batch, row) = (&table[group], random.below(table[group].num_rows()));
    let mut places: Vec<u32> = (0..batch.num_rows() as u32).collect();
    let changed = match fault {
        PlantedFault::RemovedRecord => {
            places.remove(row);
            arrow::compute::take_record_batch(batch, &UInt32Array::from(places))
        }
        PlantedFault::RepeatedRecord => {
            places.insert(row, row as u32);
            arrow::compute::take_record_batch(batch, &UInt32Array::from(places))
        }
        _ => {
            let measures = &plan.datasets[number].measures;
            let other = |at: usize| {
                let schema = batch.schema();
                Some((at, with_other_figure(schema.field(at).name(), batch.column(at), row, measures)?))
            };
            let mut found: Vec<(usize, ArrayRef)> = (0..batch.num_columns()).filter_map(other).collect();
            if found.is_empty() {
                return Ok(None);
            }
            let (at, column) = found.swap_remove(random.below(found.len()));
            let mut columns = batch.columns().to_vec();
            columns[at] = column;
            RecordBatch::try_new(batch.schema(), columns)
        }
    };
    let before: usize = table[..group].iter().map(RecordBatch::num_rows).sum();
    let mut batches = table.to_vec();
    let pattern = &plan.datasets[number].ledger.table.pattern;
    let place = format!("{} row {}", pattern.display(), before + row + 1);
    batches[group] = changed.map_err(Error::arrow(pattern))?;
    *plan = with_ledger(plan, number, batches)?;
    Ok(Some(place))
}

/// A column that holds a measure of an image, alone or in a struct, with the figure of another row in this one;
/// `None` if it holds none, or no other.
fn with_other_figure(name: &str, column: &ArrayRef, row: usize, measures: &[String]) -> Option<ArrayRef> {
    if column.is_null(row) {
        return None;
    }
    if let Some(parts) = column.as_struct_opt() {
        let (fields, mut children, nulls) = parts.clone().into_parts();
        let own = |(at, field): (usize, &FieldRef)| {
            let measure = measures.iter().any(|m| m == field.name()).then_some(field.name())?;
            Some((at, with_other_figure(measure, &children[at], row, measures)?))
        };
        let (at, child) = fields.iter().enumerate().find_map(own)?;
        children[at] = child;
        return StructArray::try_new(fields, children, nulls).ok().map(|parts| Arc::new(parts) as ArrayRef);
    }
    let is_own =
        |m: &String| name == m || name.ends_with(&format!("_{m}")) || name.starts_with(&format!("{m}_"));
    if !measures.iter().any(is_own) {
        return None;
    }
    let differs = |&other: &usize| {
        column.is_valid(other) && !canon::cells_equal(column.as_ref(), row, column.as_ref(), other)
    };
    let other = (0..column.len()).find(differs)?;
    let places = (0..column.len()).map(|at| if at == row { other as u32 } else { at as u32 });
    arrow::compute::take(column, &UInt32Array::from_iter_values(places), None).ok()
}

fn in_current(dataset: &mut Dataset, fault: PlantedFault, random: &mut Random) -> Result<Option<String>> {
    let spool = Spool::new(None);
    let table = Table::open(&dataset.current.source, &spool)?;
    let all: Vec<usize> = (0..table.schema().fields().len()).collect();
    let mut batches = (0..table.groups()).map(|g| table.read(g, &all, None)).collect::<Result<Vec<_>>>()?;
    let rows: Vec<usize> = batches.iter().map(RecordBatch::num_rows).collect();
    let Some(group) = rows.iter().position(|&rows| rows > 1) else { return Ok(None) };
    let (batch, row) = (&batches[group], random.below(rows[group]));
    let free: Vec<usize> =
        all.iter().copied().filter(|&c| !dataset.key.contains(table.schema().field(c).name())).collect();
    let picked = dataset.measures.first().and_then(|name| table.schema().index_of(name).ok());
    let Some(column) = picked.or(free.first().copied()) else { return Ok(None) };
    let other = (0..rows[group]).find(|&other| {
        let cells = batch.column(column);
        cells.is_valid(other) && !canon::cells_equal(cells.as_ref(), row, cells.as_ref(), other)
    });
    let Some(other) = other else { return Ok(None) };
    let name = table.schema().field(column).name();
    let identity = |len: usize| -> Vec<u32> { (0..len as u32).collect() };
    let mut places = identity(rows[group]);
    let changed = match fault {
        PlantedFault::RemovedCurrent => {
            places.remove(row);
            arrow::compute::take_record_batch(batch, &UInt32Array::from(places))
        }
        _ => {
            places[row] = other as u32;
            if fault == PlantedFault::SwappedCurrent {
                places[other] = row as u32;
            }
            let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
            arrow::compute::take(&columns[column], &UInt32Array::from(places), None).and_then(|taken| {
                columns[column] = taken;
                RecordBatch::try_new(batch.schema(), columns)
            })
        }
    };
    batches[group] = changed.map_err(Error::arrow(&dataset.current.source.pattern))?;
    let place = format!("{}: {name} of row {}", dataset.name, row + 1);
    dataset.current.source = TableSource::in_memory(&dataset.current.source.pattern, Batches::new(batches)?);
    Ok(Some(place))
}

/// Copies the files of a ledger with a fault in one of their lines, for all datasets that share them.
fn in_lines(
    plan: &mut Plan,
    number: usize,
    fault: PlantedFault,
    folder: &Path,
    random: &mut Random,
) -> Result<Option<String>> {
    let dataset = &plan.datasets[number];
    let (paths, measures) = (dataset.ledger.paths.clone(), dataset.measures.clone());
    let mut copies: Vec<(PathBuf, Vec<String>)> = Vec::new();
    let mut files = Vec::new();
    for pattern in &paths {
        files.extend(find(pattern)?.into_iter().map(|found| found.path));
    }
    for file in files {
        let mut text = String::new();
        let read = open_bytes(&file)?.read_to_string(&mut text);
        // What is no text, or no lines of JSON, gets no fault.
        if read.is_err() || !text.trim_start().starts_with('{') {
            return Ok(None);
        }
        copies.push((file, text.lines().map(str::to_owned).collect()));
    }
    let wanted = |line: &&String| match fault {
        PlantedFault::AlteredImage => altered(line, &measures).is_some(),
        // A record without an image, as of a begin or commit, changes no row.
        _ => IMAGES.iter().any(|word| line.contains(word)),
    };
    let at = random.below(copies.len().max(1));
    let Some((file, lines)) = copies.get_mut(at) else { return Ok(None) };
    let from = random.below(lines.len().max(1));
    let Some(line) = (from..lines.len()).find(|&n| wanted(&&lines[n])) else { return Ok(None) };
    let place = format!("{} record {}", file.display(), line + 1);
    match fault {
        PlantedFault::RemovedRecord => drop(lines.remove(line)),
        PlantedFault::RepeatedRecord => lines.insert(line, lines[line].clone()),
        _ => {
            if let Some(other) = altered(&lines[line], &measures) {
                lines[line] = other;
            }
        }
    }
    let mut written = Vec::new();
    for (number, (_, lines)) in copies.iter().enumerate() {
        let path = folder.join(format!("{number:06}.ndjson"));
        fs::write(&path, lines.join("\n") + "\n").map_err(Error::io(&path, "write"))?;
        written.push(path);
    }
    for dataset in plan.datasets.iter_mut().filter(|d| d.ledger.paths == paths) {
        dataset.ledger.table.pattern = written[0].clone();
        dataset.ledger.paths = written.clone();
    }
    Ok(Some(place))
}

/// The record with another last digit in the figure of a measure; `None` if it has none.
fn altered(line: &str, measures: &[String]) -> Option<String> {
    for measure in measures {
        let Some(at) = line.find(&format!("\"{measure}\":")) else { continue };
        let from = at + measure.len() + 3;
        let figure: String = line[from..].chars().take_while(|c| !matches!(c, ',' | '}')).collect();
        let is_figure =
            figure.trim_matches('"').chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-'));
        if let (true, Some(last)) = (is_figure, figure.rfind(|c: char| c.is_ascii_digit())) {
            let digit = if figure[last..].starts_with('7') { "3" } else { "7" };
            let place = from + last;
            return Some(format!("{}{digit}{}", &line[..place], &line[place + 1..]));
        }
    }
    None
}

/// The same faults in every self-test: steps of a generator with a fixed start.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_changes_in_its_last_digit() {
        let measures = ["amount".to_owned()];
        let line = r#"{"x":1,"after":{"amount":12.50,"b":2}}"#;
        assert_eq!(altered(line, &measures).unwrap(), line.replace("12.50", "12.57"));
        let text = r#"{"amount":"-7"}"#;
        assert_eq!(altered(text, &measures).unwrap(), text.replace("-7", "-3"));
        assert_eq!(altered(r#"{"amount":"AbC1"}"#, &measures), None, "not a figure");
        assert_eq!(altered(r#"{"amount":null}"#, &measures), None);
    }
}
