//! Plan files: TOML to a validated [`Plan`].
//!
//! Every message has the place in the file, and a remedy as its hint.

mod dataset;
mod document;
mod ledger;
mod postings;
#[cfg(test)]
mod tests;
mod types;

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use chrono_tz::Tz;
use toml::de::DeTable;

use super::{Accepted, Calendar, CsvEscape, CsvOptions, Dataset, Plan, TableFormat, UpTo, parse_zone};
use crate::error::{At, Error, Result};
use document::{Document, Section, Value};

const KEYS: [&str; 5] = ["name", "time_zone", "fiscal_year_start", "datasets", "accepted"];
const CSV_KEYS: [&str; 4] = ["delimiter", "null", "header", "escape"];
const ACCEPTED_KEYS: [&str; 5] = ["fingerprint", "reason", "approver", "expires", "up_to"];

impl Plan {
    /// Reads and validates a plan file. Its relative paths are relative to its folder.
    ///
    /// # Errors
    /// The file cannot be read, or is no valid plan: [`Error::Plan`] with line and column.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = match std::fs::read(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NoInput { path: path.to_owned() });
            }
            read => read.map_err(Error::io(path, "read"))?,
        };
        let text = String::from_utf8(bytes).map_err(|error| Error::Malformed {
            path: path.to_owned(),
            at: At::default(),
            expected: "a plan in UTF-8".to_owned(),
            found: format!("other bytes at offset {}", error.utf8_error().valid_up_to()),
            hint: Some("save the plan as UTF-8".to_owned()),
        })?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let mut plan = Self::parse_named(&text, &path.display().to_string(), folder)?;
        plan.path = Some(path.to_owned());
        Ok(plan)
    }

    /// Reads and validates the text of a plan whose relative paths are relative to `folder`.
    ///
    /// # Errors
    /// [`Error::Plan`] with line and column.
    ///
    /// ```
    /// let text = "
    ///     [datasets.accounts]
    ///     key = ['id']
    ///     current = 'accounts.csv'
    ///     ledgr = 'changes.ndjson'
    /// ";
    /// let error = asof::plan::Plan::parse(text, "extracts".as_ref()).unwrap_err();
    /// assert_eq!(error.to_string(), "plan:5:5: unknown key \"ledgr\" in datasets.accounts");
    /// assert_eq!(error.hint().unwrap(), "did you mean ledger?");
    /// ```
    pub fn parse(text: &str, folder: &Path) -> Result<Self> {
        Self::parse_named(text, "plan", folder.to_owned())
    }

    fn parse_named(text: &str, name: &str, folder: PathBuf) -> Result<Self> {
        let document = Document { name: name.to_owned(), text, folder };
        let table = DeTable::parse(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            let hint = "a plan is written in TOML: key = value, text in quotes, sections in [brackets]";
            document.error(offset, one_line(error.message()), Some(hint.to_owned()))
        })?;
        let section = Section::root(&document, table.get_ref(), &KEYS)?;
        let calendar = calendar(&section)?;
        let datasets = section.require("datasets", "[datasets.accounts]")?;
        let datasets = all_datasets(&datasets, &calendar)?;
        let accepted = section.get("accepted").map(|v| accepted(&v)).transpose()?;
        Ok(Self {
            name: section.get("name").map(|v| v.text().map(str::to_owned)).transpose()?,
            path: None,
            text: text.to_owned(),
            calendar,
            datasets,
            accepted: accepted.unwrap_or_default(),
            folder: document.folder,
        })
    }
}

/// Where a key is valid, for one that stands in the wrong section.
fn section_of(key: &str) -> Option<&'static str> {
    let sections: [(&[&str], &str); 6] = [
        (&KEYS, "the head of the plan"),
        (&dataset::KEYS, "[datasets.<name>]"),
        (&ledger::KEYS, "[datasets.<name>.ledger]"),
        (&postings::KEYS, "[datasets.<name>.ledger.postings]"),
        (&dataset::CURRENT_KEYS, "current = { path = …, … }"),
        (&dataset::OPENING_KEYS, "[datasets.<name>.opening]"),
    ];
    sections.into_iter().find(|(keys, _)| keys.contains(&key)).map(|(_, section)| section)
}

fn one_line(message: &str) -> String {
    message.trim().replace('\n', "; ")
}

fn calendar(section: &Section<'_>) -> Result<Calendar> {
    let zone = section.get("time_zone").map(|v| zone(&v)).transpose()?;
    let fiscal_year_start = section.get("fiscal_year_start").map(|v| fiscal_year_start(&v)).transpose()?;
    Ok(Calendar { zone, fiscal_year_start })
}

fn zone(value: &Value<'_>) -> Result<Tz> {
    let name = value.text()?;
    parse_zone(name).map_err(|hint| value.error(format!("{name:?} is not a time zone"), hint))
}

fn fiscal_year_start(value: &Value<'_>) -> Result<(u32, u32)> {
    let text = value.text()?;
    let parts = text.split_once('-').filter(|(m, d)| m.len() == 2 && d.len() == 2);
    let numbers = parts.and_then(|(m, d)| Some((m.parse().ok()?, d.parse().ok()?)));
    // A year that has no 29 February shows whether every year has the day.
    let valid = numbers.filter(|(m, d)| NaiveDate::from_ymd_opt(2025, *m, *d).is_some());
    valid.ok_or_else(|| {
        let message = format!("{text:?} is not a day that every year has");
        value.error(message, "write month and day, for instance \"04-01\"")
    })
}

fn all_datasets(value: &Value<'_>, calendar: &Calendar) -> Result<Vec<Dataset>> {
    let mut datasets: Vec<(Dataset, Value<'_>)> = Vec::new();
    for (name, value) in value.open_table()?.entries() {
        // File systems that ignore case would write both into one file.
        if datasets.iter().any(|(d, _)| d.name.to_lowercase() == name.to_lowercase()) {
            let message = format!("two datasets are called {name:?} but for upper and lower case");
            return Err(value.error(message, "rename one of them"));
        }
        datasets.push((dataset::dataset(name, &value, calendar)?, value));
    }
    if datasets.is_empty() {
        return Err(value.error("the plan has no dataset", "write for instance [datasets.accounts]"));
    }
    dataset::check_references(&datasets)?;
    Ok(datasets.into_iter().map(|(dataset, _)| dataset).collect())
}

fn accepted(value: &Value<'_>) -> Result<Vec<Accepted>> {
    let one = |value: &Value<'_>| {
        let section = value.table(&ACCEPTED_KEYS)?;
        let text = |key| section.get(key).map(|v| v.text().map(str::to_owned)).transpose();
        let expires = section.get("expires").map(|v| day(&v)).transpose()?;
        Ok(Accepted {
            fingerprint: section.require("fingerprint", "fingerprint = \"…\"")?.text()?.to_owned(),
            reason: section.require("reason", "reason = \"migration of 2025-03-01\"")?.text()?.to_owned(),
            approver: text("approver")?,
            expires,
            up_to: section.get("up_to").map(|v| up_to(&v)).transpose()?,
        })
    };
    value.list()?.iter().map(one).collect()
}

/// The largest amount of an accepted finding: a number, or `any`.
fn up_to(value: &Value<'_>) -> Result<UpTo> {
    if value.text().is_ok_and(|text| text == "any") {
        return Ok(UpTo::Any);
    }
    let text = value.decimal()?;
    match text.strip_prefix('-') {
        Some(_) => {
            Err(value.error("an amount up to which a finding is accepted has no sign", "leave out the sign"))
        }
        None => Ok(UpTo::Amount(text)),
    }
}

fn day(value: &Value<'_>) -> Result<NaiveDate> {
    let text = value.when()?;
    NaiveDate::parse_from_str(&text, "%Y-%m-%d")
        .map_err(|_| value.error(format!("{text:?} is not a day"), "write for instance \"2026-06-30\""))
}

/// The file format of a table.
fn table_format(value: &Value<'_>) -> Result<TableFormat> {
    use TableFormat::{ArrowIpc, Csv, Ndjson, Parquet, Tsv};
    value.word(&[Parquet, Csv, Tsv, Ndjson, ArrowIpc], TableFormat::name)
}

/// How delimited text is read.
fn csv(section: &Section<'_>) -> Result<CsvOptions> {
    let mut options = CsvOptions::default();
    if let Some(value) = section.get("delimiter") {
        let text = value.text()?;
        let [delimiter] = text.as_bytes() else {
            return Err(
                value.error(format!("{text:?} is not one byte"), "write for instance \";\" or \"\\t\"")
            );
        };
        options.delimiter = Some(*delimiter);
    }
    if let Some(value) = section.get("null") {
        options.null = Some(value.text()?.to_owned());
    }
    if let Some(value) = section.get("header") {
        options.header = value.boolean()?;
    }
    if let Some(value) = section.get("escape") {
        options.escape = Some(value.word(CsvEscape::ALL, CsvEscape::name)?);
    }
    Ok(options)
}
