//! The rehearsal: packages made earlier are rebuilt from today's inputs and compared cell by cell.
//!
//! A package is only trusted if its files have the digests that its manifest states, and the manifest its own:
//! what does not hold is named, and nothing is compared with it.
//!
//! A package is read in the format that it has; text is compared as it is written. A package counts as reproduced only if every dataset in it was compared.
//!
//! A cell that differs is a *restatement*: since the package was made, a record was added,
//! removed or altered, or the current row was edited. Which one supplies today's value is
//! looked up in the history of the row; where no record does, that is said. The self-test
//! plants known faults in a copy of the inputs and counts how many a verification finds.

mod compare;
mod faults;

use std::path::{Path, PathBuf};

use serde_json::Value;

pub use faults::{FaultRate, PlantedFault};

use super::history::{HistoryStep, history};
use super::outcome::SnapshotOutcome;
use super::progress::Progress;
use super::request::{
    HistoryRequest, Output, OutputFormat, Policy, RunOptions, SchemaAt, SnapshotRequest, Trust,
};
use super::snapshot::snapshot;
use super::{manifest, provenance};
use crate::check::{Fault, check_digests};
use crate::error::{At, Error, Result};
use crate::export::package::digest;
use crate::model::time;
use crate::plan::{Dataset, Moment, Plan};
use crate::read::{CsvEscape, CsvOptions, TableFormat, TableSource};
use compare::Difference;

/// Rows whose history is looked up, per package.
const LOOKED_UP: usize = 50;

/// A request to rehearse.
#[derive(Debug, Clone)]
pub struct DrillRequest {
    /// The folder that `snapshot` wrote.
    pub package: PathBuf,
    /// How to run.
    pub options: RunOptions,
}

/// One package, rebuilt.
#[derive(Debug, Clone)]
pub struct DrilledPackage {
    /// Where it is.
    pub path: PathBuf,
    /// The title of its plan, or the plan's file.
    pub plan: String,
    /// The moment as it was asked for, and as it was resolved.
    pub as_of: (String, String),
    /// Its inputs: file, digest then, digest now (`None`: no longer there).
    pub inputs: Vec<(String, String, Option<String>)>,
    /// What does not hold of its own digests. If anything, nothing was compared.
    pub faults: Vec<Fault>,
    /// The datasets that the manifest names.
    pub datasets: Vec<DrilledDataset>,
    /// What moved since.
    pub restatements: Vec<Restatement>,
}

impl DrilledPackage {
    /// Whether everything in the package was compared, and nothing moved.
    pub fn is_reproduced(&self) -> bool {
        let is_compared = |d: &DrilledDataset| matches!(d.extent, Extent::Cells { .. });
        let is_the_same = |d: &DrilledDataset| is_compared(d) || matches!(d.extent, Extent::Refused(_));
        self.faults.is_empty()
            && self.restatements.is_empty()
            && self.datasets.iter().all(is_the_same)
            && self.datasets.iter().any(is_compared)
    }
}

/// One dataset of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrilledDataset {
    /// Its name.
    pub name: String,
    /// How far it was compared.
    pub extent: Extent,
}

/// How far a dataset was compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// Cell by cell.
    Cells {
        /// Rows in the package.
        rows: u64,
        /// Cells in the package.
        cells: u64,
    },
    /// It was refused when the package was made and is refused now; why.
    Refused(String),
    /// Not at all; why.
    Nothing(String),
}

/// A row or figure that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restatement {
    /// The dataset.
    pub dataset: String,
    /// The key, as `column=value` pairs; empty if a whole column is new or gone.
    pub key: String,
    /// The column; `None` if the row is new or gone.
    pub column: Option<String>,
    /// What stood in the package; `None` is null, or no row.
    pub was: Option<String>,
    /// What stands now; `None` is null, or no row.
    pub is: Option<String>,
    /// For numbers, what stands now less what stood.
    pub amount: Option<String>,
    /// The record that supplies what stands now; `None` if none does, as where the current row was edited.
    pub entry: Option<HistoryStep>,
    /// Whether the record was looked for.
    pub looked_up: bool,
}

/// Rebuilds a package from today's inputs and compares.
///
/// # Errors
/// The package or an input cannot be read, or the package cannot be rebuilt at all.
pub fn drill(request: &DrillRequest, progress: &dyn Progress) -> Result<DrilledPackage> {
    let faults = check_digests(&request.package)?;
    let package = Package::open(&request.package)?;
    if faults.is_empty() {
        package.rebuild(&request.options, progress)
    } else {
        Ok(package.untrusted(faults))
    }
}

/// Plants so many faults of every kind, one at a time, in a copy of the inputs of a package, and verifies each copy.
///
/// # Errors
/// The package or an input cannot be read.
pub fn self_test(request: &DrillRequest, planted: u32, progress: &dyn Progress) -> Result<Vec<FaultRate>> {
    faults::self_test(&Package::open(&request.package)?.plan, planted, &request.options, progress)
}

/// What a package says of how it was made.
struct Package {
    path: PathBuf,
    manifest: Value,
    plan: Plan,
    moment: Moment,
}

impl Package {
    fn open(path: &Path) -> Result<Self> {
        let file = path.join("manifest.json");
        let bytes = std::fs::read(&file).map_err(Error::io(&file, "read"))?;
        let malformed = |found: String| Error::Malformed {
            path: file.clone(),
            at: At::default(),
            expected: "a manifest that `asof snapshot` wrote".to_owned(),
            found,
            hint: Some("name the folder of a package".to_owned()),
        };
        let manifest: Value = serde_json::from_slice(&bytes).map_err(|e| malformed(e.to_string()))?;
        let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let missing = |pointer: &str| malformed(format!("nothing at {pointer}"));
        let plan_text = text("/plan/text").ok_or_else(|| missing("/plan/text"))?;
        let plan_path = text("/plan/path").map(PathBuf::from);
        let folder = plan_path.as_deref().and_then(Path::parent).map_or_else(PathBuf::new, Path::to_owned);
        let mut plan = Plan::parse(&plan_text, &folder)?;
        plan.path = plan_path;
        let stated = |value: Option<&Value>| value.filter(|v| !v.is_null()).map(manifest::stated_moment);
        let moment = stated(manifest.get("as_of")).flatten().ok_or_else(|| no_bound(&file, &manifest))?;
        for dataset in &mut plan.datasets {
            let known_at = stated(stated_dataset(&manifest, &dataset.name).pointer("/ledger/known_at"));
            let known_at = known_at.map(|at| at.ok_or_else(|| missing("/datasets/…/ledger/known_at/bound")));
            dataset.ledger.postings.known_at = known_at.transpose()?;
        }
        Ok(Self { path: path.to_owned(), manifest, plan, moment })
    }

    fn word(&self, name: &str) -> &str {
        self.manifest.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn says(&self, name: &str) -> bool {
        self.manifest.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Whether its text escapes what a spreadsheet would take for a formula.
    fn is_csv_safe(&self) -> bool {
        let stated = |d: &Dataset| stated_dataset(&self.manifest, &d.name).get("csv_safe")?.as_bool();
        self.plan.datasets.iter().any(|dataset| stated(dataset) == Some(true))
    }

    /// The file of a dataset in the package; `None` if it was refused.
    fn file(&self, dataset: &str) -> Option<&str> {
        stated_dataset(&self.manifest, dataset).get("file").and_then(Value::as_str)
    }

    /// The format of the package's files.
    fn format(&self) -> OutputFormat {
        let file = self.plan.datasets.iter().find_map(|dataset| self.file(&dataset.name));
        let extension = file.and_then(|file| Path::new(file).extension()?.to_str());
        let format = |f: &OutputFormat| Some(f.extension()) == extension;
        OutputFormat::ALL.into_iter().find(format).unwrap_or_default()
    }

    /// What is said of a package that does not hold by itself.
    fn untrusted(&self, faults: Vec<Fault>) -> DrilledPackage {
        let nothing = |dataset: &Dataset| DrilledDataset {
            name: dataset.name.clone(),
            extent: Extent::Nothing("the package's own digests do not hold".to_owned()),
        };
        self.drilled(faults, self.plan.datasets.iter().map(nothing).collect(), Vec::new())
    }

    fn drilled(
        &self,
        faults: Vec<Fault>,
        datasets: Vec<DrilledDataset>,
        restatements: Vec<Restatement>,
    ) -> DrilledPackage {
        let plan = self.plan.path.as_ref().map_or_else(|| "flags".to_owned(), |p| p.display().to_string());
        DrilledPackage {
            path: self.path.clone(),
            plan: self.plan.name.clone().unwrap_or(plan),
            as_of: (self.moment.text.clone(), self.moment.resolved.clone()),
            inputs: self.inputs(),
            faults,
            datasets,
            restatements,
        }
    }

    fn rebuild(&self, options: &RunOptions, progress: &dyn Progress) -> Result<DrilledPackage> {
        let folder = tempfile::tempdir().map_err(Error::io(Path::new("temporary folder"), "write"))?;
        let out = folder.path().join("rebuilt");
        let rebuilt = snapshot(&self.request(&out, options), progress)?;
        let (mut datasets, mut restatements) = (Vec::new(), Vec::new());
        for dataset in &self.plan.datasets {
            let (extent, differences) = self.compared(dataset, &out, &rebuilt)?;
            datasets.push(DrilledDataset { name: dataset.name.clone(), extent });
            for (number, difference) in differences.into_iter().enumerate() {
                let look = number < LOOKED_UP && !dataset.key.is_empty() && self.names_a_row(&difference);
                let entry =
                    if look { self.entry(&dataset.name, &difference, options, progress)? } else { None };
                restatements.push(restatement(&dataset.name, difference, entry, look));
            }
        }
        Ok(self.drilled(Vec::new(), datasets, restatements))
    }

    /// The request that made the package, for today's inputs.
    fn request(&self, out: &Path, options: &RunOptions) -> SnapshotRequest {
        let trust = if self.word("trust") == Trust::Ledger.name() { Trust::Ledger } else { Trust::Current };
        let at_date = self.word("schema") == SchemaAt::AtDate.name();
        let allow_uncovered = self.says("allow_uncovered");
        SnapshotRequest {
            plan: self.plan.clone(),
            moments: vec![self.moment.clone()],
            output: Output::Folder { path: out.to_owned(), format: self.format() },
            replace: false,
            verify: self.manifest.get("verified").and_then(Value::as_bool).unwrap_or(true),
            provenance: self.says("provenance"),
            csv_safe: self.is_csv_safe(),
            schema: if at_date { SchemaAt::AtDate } else { SchemaAt::Current },
            policy: Policy { trust, partial: true, allow_uncovered, ..Policy::default() },
            options: options.clone(),
        }
    }

    /// How far a dataset can be compared with the rebuilt one, and what differs.
    fn compared(
        &self,
        dataset: &Dataset,
        out: &Path,
        rebuilt: &SnapshotOutcome,
    ) -> Result<(Extent, Vec<Difference>)> {
        let nothing = |reason: String| Ok((Extent::Nothing(reason), Vec::new()));
        let refused = rebuilt.refused.iter().find(|(name, _)| *name == dataset.name).map(|(_, why)| why);
        let file = match (self.file(&dataset.name), refused) {
            (None, Some(why)) => return Ok((Extent::Refused(why.clone()), Vec::new())),
            (None, None) => {
                return nothing(
                    "it is not in the package, but can be rebuilt from today's inputs".to_owned(),
                );
            }
            (Some(_), Some(why)) => return nothing(format!("it cannot be rebuilt any more: {why}")),
            (Some(file), None) => file,
        };
        let (then, now) = (self.path.join(file), out.join(self.format().file_name(&dataset.name)));
        // What a package says of its own rows is no part of the table.
        let ignored: &[&str] = if self.says("provenance") { &provenance::COLUMNS } else { &[] };
        let (then, now) = (self.source(then, &dataset.name), self.source(now, &dataset.name));
        let compared = compare::compare(&then, &now, &dataset.key, ignored)?;
        Ok((Extent::Cells { rows: compared.rows, cells: compared.cells }, compared.differences))
    }

    /// How a file of the package, or its like, is read: text as it is written.
    fn source(&self, path: PathBuf, dataset: &str) -> TableSource {
        let is_text = self.format() == OutputFormat::Csv;
        let null = stated_dataset(&self.manifest, dataset).get("null").and_then(Value::as_str);
        let csv = CsvOptions {
            delimiter: Some(b','),
            null: null.map(str::to_owned),
            header: true,
            escape: Some(CsvEscape::Quotes),
        };
        let format = match self.format() {
            OutputFormat::Csv => TableFormat::Csv,
            OutputFormat::ArrowIpc => TableFormat::ArrowIpc,
            OutputFormat::Parquet | OutputFormat::Xlsx => TableFormat::Parquet,
        };
        let csv = if is_text { csv } else { CsvOptions::default() };
        TableSource { format: Some(format), csv, as_text: is_text, ..TableSource::at(path) }
    }

    /// Whether the key of a difference is that of a row, as the ledger writes it.
    fn names_a_row(&self, difference: &Difference) -> bool {
        let is_escaped = |value: &String| self.is_csv_safe() && value.starts_with('\'');
        !difference.key_values.is_empty() && !difference.key_values.iter().any(is_escaped)
    }

    /// The inputs that the manifest names, with their digests then and now.
    fn inputs(&self) -> Vec<(String, String, Option<String>)> {
        let mut inputs: Vec<(String, String, Option<String>)> = Vec::new();
        let datasets = self.manifest.get("datasets").and_then(Value::as_array);
        for dataset in datasets.into_iter().flatten() {
            for pointer in ["/current", "/ledger/files", "/opening/files"] {
                let files = dataset.pointer(pointer).and_then(Value::as_array);
                for file in files.into_iter().flatten() {
                    let text =
                        |name: &str| file.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                    let (path, then) = (text("path"), text("sha256"));
                    if inputs.iter().all(|(known, ..)| *known != path) {
                        // A file that cannot be read any more is one that is not there.
                        let now = digest(Path::new(&path)).ok().map(|(digest, _)| digest);
                        inputs.push((path, then, now));
                    }
                }
            }
        }
        inputs
    }

    /// The record that supplies what stands now.
    fn entry(
        &self,
        dataset: &str,
        difference: &Difference,
        options: &RunOptions,
        progress: &dyn Progress,
    ) -> Result<Option<HistoryStep>> {
        let request = HistoryRequest {
            plan: self.plan.clone(),
            dataset: dataset.to_owned(),
            key: difference.key_values.clone(),
            options: options.clone(),
        };
        let found = history(&request, progress)?;
        let in_force = |step: &HistoryStep| {
            let at = step.committed_at.as_ref().and_then(|at| time::parse_instant(at, None).ok());
            at.and_then(|at| self.moment.bound.includes(at))
        };
        let supplies = |step: &&HistoryStep| {
            let inside = in_force(step) == Some(true);
            match &difference.column {
                // A row is there by what began it before the moment, or by what ended it after.
                None => {
                    let begins = matches!(step.op, crate::model::Op::Insert | crate::model::Op::Upsert);
                    begins == (inside == difference.is_there) && step.op != crate::model::Op::Update
                }
                Some(column) => step.cells.iter().filter(|cell| cell.column == *column).any(|cell| {
                    let side = if inside { &cell.after } else { &cell.before };
                    side.as_ref() == Some(&difference.is)
                }),
            }
        };
        let mut steps = found.steps;
        let last = steps.iter().rposition(|s| in_force(s) == Some(true) && supplies(&s));
        let place = last.or_else(|| steps.iter().position(|s| in_force(s) != Some(true) && supplies(&s)));
        Ok(place.map(|place| steps.swap_remove(place)))
    }
}

/// Packages of versions before this one do not state exactly which moment they are of.
fn no_bound(file: &Path, manifest: &Value) -> Error {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
    let resolved = text("/as_of/resolved").map_or_else(String::new, |r| format!(", which meant {r}"));
    let hint = match text("/as_of/asked") {
        Some(asked) => format!(
            "an earlier version made it; keep it, make one of the same moment with `asof snapshot {} --as-of {asked} --out DIR` \
             (it was asked for as {asked}{resolved}), compare the two by their files, and drill the new one from then on",
            text("/plan/path").unwrap_or("PLAN")
        ),
        None => "name the folder of a package".to_owned(),
    };
    Error::Malformed {
        path: file.to_owned(),
        at: At::default(),
        expected: "the exact bound of the package's moment (`as_of.bound`)".to_owned(),
        found: "none".to_owned(),
        hint: Some(hint),
    }
}

/// What a manifest says of a dataset; null if it does not name it.
fn stated_dataset<'a>(manifest: &'a Value, name: &str) -> &'a Value {
    let all = manifest.get("datasets").and_then(Value::as_array).into_iter().flatten();
    all.into_iter().find(|d| d.get("name").and_then(Value::as_str) == Some(name)).unwrap_or(&Value::Null)
}

fn restatement(dataset: &str, d: Difference, entry: Option<HistoryStep>, looked_up: bool) -> Restatement {
    Restatement {
        dataset: dataset.to_owned(),
        key: d.key,
        column: d.column,
        was: d.was,
        is: d.is,
        amount: d.amount,
        entry,
        looked_up,
    }
}
