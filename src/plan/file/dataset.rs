//! One dataset of a plan.

use super::document::{Section, Value};
use super::ledger::{column_types, ledger};
use super::{csv, table_format, zone};
use crate::error::{Error, Result, nearest};
use crate::plan::{
    Bound, Calendar, Current, Dataset, Figures, Moment, Normalisation, Opening, Reference, Reported,
    TableSource,
};

pub(super) const KEYS: [&str; 12] = [
    "key",
    "current",
    "ledger",
    "opening",
    "types",
    "measures",
    "materiality",
    "group_by",
    "references",
    "expected",
    "reported",
    "normalise",
];

pub(super) const CURRENT_KEYS: [&str; 8] =
    ["path", "at", "where", "format", "delimiter", "null", "header", "time_zone"];

pub(super) const OPENING_KEYS: [&str; 7] =
    ["path", "as_of", "format", "delimiter", "null", "header", "time_zone"];

/// Names of files that stand beside the snapshots of a folder.
const RESERVED: [&str; 7] =
    ["verdicts", "discrepancies", "totals", "digests", "manifest", "report", "workbook"];

/// Reads it.
pub(super) fn dataset(name: &str, value: &Value<'_>, calendar: &Calendar) -> Result<Dataset> {
    check_name(name, value)?;
    let section = value.table(&KEYS)?;
    let texts = |key| section.get(key).map(|v| v.texts()).transpose().map(Option::unwrap_or_default);
    let key = section.require("key", "key = [\"id\"], or key = [] for a table without one")?.one_or_more()?;
    let (mut measures, group_by) = (texts("measures")?, texts("group_by")?);
    let types = section.get("types").map(|v| column_types(&v)).transpose()?.unwrap_or_default();
    let changes = section.require("ledger", "ledger = { path = \"ledger/*.ndjson.gz\" }")?;
    let ledger = ledger(&changes, calendar)?;
    // What postings move is a measure, whether it is listed or not.
    for (measure, _) in &ledger.postings.amounts {
        if !measures.contains(measure) {
            measures.push(measure.clone());
        }
    }
    let declared = TableSource { types, numeric: measures.clone(), ..TableSource::default() };
    let current = section.require("current", "current = \"extract/accounts.parquet\"")?;
    let figures = FigureNames { measures: &measures, group_by: &group_by };
    Ok(Dataset {
        name: name.to_owned(),
        normalise: section.get("normalise").map(|v| normalise(&v, &key)).transpose()?.unwrap_or_default(),
        current: self::current(&current, calendar, &declared)?,
        ledger,
        opening: section.get("opening").map(|v| opening(&v, calendar, &declared)).transpose()?,
        references: section.get("references").map(|v| references(&v)).transpose()?.unwrap_or_default(),
        expected: section.get("expected").map(|v| expected(&v, &figures)).transpose()?,
        reported: section
            .get("reported")
            .map(|v| reported(&v, calendar, &figures))
            .transpose()?
            .unwrap_or_default(),
        materiality: section
            .get("materiality")
            .map(|v| materiality(&v, &figures))
            .transpose()?
            .unwrap_or_default(),
        key,
        measures,
        group_by,
    })
}

/// The name becomes a file name.
fn check_name(name: &str, value: &Value<'_>) -> Result<()> {
    let safe = |c: char| c.is_alphanumeric() || "-_. ".contains(c);
    let hint = "use letters, digits, - and _";
    if name.is_empty()
        || name.starts_with(['.', ' '])
        || name.ends_with(['.', ' '])
        || !name.chars().all(safe)
    {
        return Err(
            value.error(format!("{name:?} cannot be a file name, so not the name of a dataset"), hint)
        );
    }
    if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
        return Err(
            value.error(format!("{name:?} is the name of another output file"), "choose another name")
        );
    }
    Ok(())
}

fn normalise(value: &Value<'_>, key: &[String]) -> Result<Vec<(String, Vec<Normalisation>)>> {
    let mut columns = Vec::new();
    for (column, words) in value.open_table()?.entries() {
        if !key.iter().any(|k| k == column) {
            return Err(words.error(format!("{column:?} is not a key column"), near(column, key)));
        }
        let words = words.list()?;
        let each = words.iter().map(|word| word.word(Normalisation::ALL, Normalisation::name));
        columns.push((column.to_owned(), each.collect::<Result<_>>()?));
    }
    Ok(columns)
}

/// Files of a table, from a section that may have the keys of [`CURRENT_KEYS`].
fn source(section: &Section<'_>, declared: &TableSource) -> Result<TableSource> {
    Ok(TableSource {
        pattern: section.require("path", "path = \"extract/accounts.parquet\"")?.path()?,
        format: section.get("format").map(|v| table_format(&v)).transpose()?,
        csv: csv(section)?,
        time_zone: section.get("time_zone").map(|v| zone(&v)).transpose()?,
        ..declared.clone()
    })
}

fn current(value: &Value<'_>, calendar: &Calendar, declared: &TableSource) -> Result<Current> {
    if !value.is_table() {
        let source = TableSource { pattern: value.path()?, ..declared.clone() };
        return Ok(Current { source, at: None, filter: None });
    }
    let section = value.table(&CURRENT_KEYS)?;
    let at = section.get("at").map(|v| v.placed(Bound::parse_point(&v.when()?, calendar))).transpose()?;
    let filter = section.get("where").map(|v| v.filter()).transpose()?;
    Ok(Current { source: source(&section, declared)?, at, filter })
}

fn opening(value: &Value<'_>, calendar: &Calendar, declared: &TableSource) -> Result<Opening> {
    let section = value.table(&OPENING_KEYS)?;
    let as_of = section.require("as_of", "as_of = \"2024-12-31\"")?;
    let as_of = as_of.placed(Moment::parse_one(&as_of.when()?, calendar))?;
    Ok(Opening { source: source(&section, declared)?, as_of })
}

fn references(value: &Value<'_>) -> Result<Vec<Reference>> {
    let one = |value: &Value<'_>| {
        let section = value.table(&["columns", "to"])?;
        let example = "{ columns = [\"customer_id\"], to = \"customers\" }";
        let columns = section.require("columns", example)?.one_or_more()?;
        Ok(Reference { columns, to: section.require("to", example)?.text()?.to_owned() })
    };
    value.list()?.iter().map(one).collect()
}

/// What references can only be checked against once all datasets are known.
pub(super) fn check_references(datasets: &[(Dataset, Value<'_>)]) -> Result<()> {
    for (dataset, value) in datasets {
        for reference in &dataset.references {
            let Some((to, _)) = datasets.iter().find(|(other, _)| other.name == reference.to) else {
                let names: Vec<String> = datasets.iter().map(|(d, _)| d.name.clone()).collect();
                let message = format!("{} refers to {:?}, which is no dataset", dataset.name, reference.to);
                return Err(value.error(message, near(&reference.to, &names)));
            };
            if to.key.len() != reference.columns.len() {
                let message = format!(
                    "{} refers to {} by {} column(s), its key has {}",
                    dataset.name,
                    to.name,
                    reference.columns.len(),
                    to.key.len()
                );
                let hint = format!("the key of {} is {}", to.name, to.key.join(", "));
                return Err(value.error(message, hint));
            }
        }
    }
    Ok(())
}

/// The names under which figures can be stated.
struct FigureNames<'a> {
    measures: &'a [String],
    group_by: &'a [String],
}

impl FigureNames<'_> {
    fn unknown(&self, name: &str, value: &Value<'_>, own: &[&str]) -> Error {
        let names = own.iter().copied().chain(self.measures.iter().map(String::as_str));
        let hint = match nearest(name, names) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("declare it with measures = [{name:?}]"),
        };
        value.error(format!("{name:?} is neither `rows` nor a measure"), hint)
    }

    /// Adds `rows` or a measure; `false` if the name is neither.
    fn add(&self, name: &str, value: &Value<'_>, figures: &mut Figures) -> Result<bool> {
        if self.measures.iter().any(|measure| measure == name) {
            figures.sums.push((name.to_owned(), value.decimal()?));
        } else if name == "rows" {
            figures.rows = Some(value.count()?);
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

fn expected(value: &Value<'_>, names: &FigureNames<'_>) -> Result<Figures> {
    let mut figures = Figures::default();
    for (name, value) in value.open_table()?.entries() {
        if !names.add(name, &value, &mut figures)? {
            return Err(names.unknown(name, &value, &["rows"]));
        }
    }
    Ok(figures)
}

/// One amount for all measures, or one for each that is named.
fn materiality(value: &Value<'_>, names: &FigureNames<'_>) -> Result<Vec<(String, String)>> {
    let amount = |value: &Value<'_>| {
        let text = value.decimal()?;
        match text.strip_prefix('-') {
            Some(_) => Err(value.error("a materiality cannot be negative".to_owned(), "leave out the sign")),
            None => Ok(text),
        }
    };
    if !value.is_table() {
        let text = amount(value)?;
        if names.measures.is_empty() {
            return Err(
                value.error("there is no measure that could be material", "declare measures = [\"amount\"]")
            );
        }
        return Ok(names.measures.iter().map(|measure| (measure.clone(), text.clone())).collect());
    }
    let mut limits = Vec::new();
    for (name, value) in value.open_table()?.entries() {
        if !names.measures.iter().any(|measure| measure == name) {
            return Err(value.error(format!("{name:?} is not a measure"), near(name, names.measures)));
        }
        limits.push((name.to_owned(), amount(&value)?));
    }
    Ok(limits)
}

fn reported(value: &Value<'_>, calendar: &Calendar, names: &FigureNames<'_>) -> Result<Vec<Reported>> {
    value.list()?.iter().map(|item| reported_at(item, calendar, names)).collect()
}

fn reported_at(value: &Value<'_>, calendar: &Calendar, names: &FigureNames<'_>) -> Result<Reported> {
    let section = value.open_table()?;
    let as_of = section.require("as_of", "{ as_of = \"2025-12-31\", balance = \"1204500.17\" }")?;
    let as_of = as_of.placed(Moment::parse_one(&as_of.when()?, calendar))?;
    let mut reported = Reported { as_of, source: None, group: Vec::new(), figures: Figures::default() };
    for (name, value) in section.entries() {
        match name {
            "as_of" => {}
            "source" => reported.source = Some(value.text()?.to_owned()),
            "group" => reported.group = group(&value, names)?,
            _ if names.add(name, &value, &mut reported.figures)? => {}
            _ => return Err(names.unknown(name, &value, &["as_of", "source", "group", "rows"])),
        }
    }
    if reported.figures == Figures::default() {
        return Err(
            value.error("nothing is reported", "give rows or a measure, for instance balance = \"0.00\"")
        );
    }
    Ok(reported)
}

fn group(value: &Value<'_>, names: &FigureNames<'_>) -> Result<Vec<(String, String)>> {
    let mut group = Vec::new();
    for (column, value) in value.open_table()?.entries() {
        if !names.group_by.iter().any(|name| name == column) {
            return Err(value.error(format!("{column:?} is not in group_by"), near(column, names.group_by)));
        }
        group.push((column.to_owned(), value.text()?.to_owned()));
    }
    Ok(group)
}

fn near(word: &str, names: &[String]) -> String {
    match nearest(word, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None if names.is_empty() => "there are none".to_owned(),
        None => format!("choose one of {}", names.join(", ")),
    }
}
