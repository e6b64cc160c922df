//! A plan of one dataset, from what stands on a command line.

use std::path::{Path, PathBuf};

use chrono_tz::Tz;

use super::{Bound, Calendar, Current, Dataset, Ledger, LedgerFormat, Plan, Postings, TableSource};

/// What is needed at least to rebuild one table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OneDataset {
    /// The current state: file, folder or wildcard.
    pub current: PathBuf,
    /// The ledger: files, folders or wildcards, in the order in which they were written.
    pub ledger: Vec<PathBuf>,
    /// The key columns; empty declares a multiset.
    pub key: Vec<String>,
    /// Who wrote the ledger; `None`: detected.
    pub format: Option<LedgerFormat>,
    /// The table's name in a ledger of several tables, and the dataset's name.
    /// `None`: the name of the current file.
    pub table: Option<String>,
    /// The zone of days, periods and times without an offset.
    pub time_zone: Option<Tz>,
    /// The extract moment, if known.
    pub at: Option<Bound>,
}

impl OneDataset {
    /// The plan that these choices stand for. Relative paths stay relative to the
    /// working folder.
    ///
    /// ```
    /// use asof::plan::OneDataset;
    /// let plan = OneDataset {
    ///     current: "extract/accounts.parquet".into(),
    ///     ledger: vec!["ledger.ndjson.gz".into()],
    ///     key: vec!["id".to_owned()],
    ///     ..OneDataset::default()
    /// }
    /// .into_plan();
    /// assert_eq!(plan.datasets[0].name, "accounts");
    /// ```
    pub fn into_plan(self) -> Plan {
        let text = self.to_toml();
        let name = self.table.clone().unwrap_or_else(|| stem(&self.current));
        let source =
            |pattern: PathBuf| TableSource { pattern, time_zone: self.time_zone, ..TableSource::default() };
        let ledger = Ledger {
            table: source(self.ledger.first().cloned().unwrap_or_default()),
            paths: self.ledger,
            format: self.format,
            names: self.table.into_iter().collect(),
            postings: Postings { days: self.time_zone, ..Postings::default() },
            ..Ledger::default()
        };
        let current = Current { source: source(self.current), at: self.at, filter: None };
        let dataset = Dataset {
            name: name.rsplit('.').next().unwrap_or(&name).to_owned(),
            key: self.key,
            normalise: Vec::new(),
            current,
            ledger,
            opening: None,
            measures: Vec::new(),
            materiality: Vec::new(),
            group_by: Vec::new(),
            references: Vec::new(),
            expected: None,
            reported: Vec::new(),
        };
        Plan {
            name: None,
            path: None,
            folder: PathBuf::new(),
            text,
            calendar: Calendar { zone: self.time_zone, fiscal_year_start: None },
            datasets: vec![dataset],
            accepted: Vec::new(),
        }
    }

    /// The plan file that says the same, for the manifest.
    fn to_toml(&self) -> String {
        let name = self.table.clone().unwrap_or_else(|| stem(&self.current));
        let name = name.rsplit('.').next().unwrap_or(&name);
        let list = |texts: Vec<String>| texts.iter().map(|t| quoted(t)).collect::<Vec<_>>().join(", ");
        let path = |p: &PathBuf| p.display().to_string();
        let mut text = String::new();
        if let Some(zone) = self.time_zone {
            text += &format!("time_zone = {}\n\n", quoted(zone.name()));
        }
        text += &format!("[datasets.{}]\nkey = [{}]\n", quoted(name), list(self.key.clone()));
        let zone = self.time_zone.map(|zone| format!(", time_zone = {}", quoted(zone.name())));
        let at = self.at.as_ref().map(|at| format!(", at = {}", quoted(&at.to_when())));
        let declared = zone.into_iter().chain(at).collect::<String>();
        text += &format!("current = {{ path = {}{declared} }}\n", quoted(&path(&self.current)));
        text += &format!("[datasets.{}.ledger]\n", quoted(name));
        text += &format!("path = [{}]\n", list(self.ledger.iter().map(path).collect()));
        if let Some(zone) = self.time_zone {
            text += &format!("time_zone = {}\n", quoted(zone.name()));
        }
        if let Some(format) = self.format {
            text += &format!("format = {}\n", quoted(format.name()));
        }
        if let Some(table) = &self.table {
            text += &format!("table = {}\n", quoted(table));
        }
        text
    }
}

/// The name of a file without its folder and extensions: what a dataset is called by default.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let stem = name.split('.').next().unwrap_or_default();
    let word: String = stem.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
    if word.is_empty() { "table".to_owned() } else { word }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
