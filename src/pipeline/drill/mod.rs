//! The rehearsal: packages made earlier are rebuilt from today's inputs and compared cell by cell.
//!
//! A cell that differs is a *restatement*: since the package was made, a record was added,
//! removed or altered, or the current row was edited. Which one supplies today's value is
//! looked up in the history of the row; where no record does, that is said. The self-test
//! plants known faults in a copy of the inputs and counts how many a verification finds.

mod compare;
mod faults;

use std::path::{Path, PathBuf};

use serde_json::Value;

pub use faults::{Fault, FaultRate};

use super::history::{HistoryStep, history};
use super::progress::Progress;
use super::request::{
    HistoryRequest, Output, OutputFormat, Policy, RunOptions, SchemaAt, SnapshotRequest, Trust,
};
use super::snapshot::snapshot;
use crate::error::{At, Error, Result};
use crate::model::time;
use crate::plan::{Moment, Plan};
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
    /// Per dataset: name, rows compared, cells compared.
    pub datasets: Vec<(String, u64, u64)>,
    /// What moved since.
    pub restatements: Vec<Restatement>,
}

/// A row or figure that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restatement {
    /// The dataset.
    pub dataset: String,
    /// The key, as `column=value` pairs.
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
    Package::open(&request.package)?.rebuild(&request.options, progress)
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
        let asked = text("/as_of/asked").ok_or_else(|| missing("/as_of/asked"))?;
        let plan_path = text("/plan/path").map(PathBuf::from);
        let folder = plan_path.as_deref().and_then(Path::parent).map_or_else(PathBuf::new, Path::to_owned);
        let mut plan = Plan::parse(&plan_text, &folder)?;
        plan.path = plan_path;
        let moment = Moment::parse_one(&asked, &plan.calendar)?;
        Ok(Self { path: path.to_owned(), manifest, plan, moment })
    }

    fn rebuild(&self, options: &RunOptions, progress: &dyn Progress) -> Result<DrilledPackage> {
        let folder = tempfile::tempdir().map_err(Error::io(Path::new("temporary folder"), "write"))?;
        let out = folder.path().join("rebuilt");
        let word = |name: &str| self.manifest.get(name).and_then(Value::as_str).unwrap_or_default();
        let trust = if word("trust") == Trust::Ledger.name() { Trust::Ledger } else { Trust::Current };
        let at_date = word("schema") == SchemaAt::AtDate.name();
        snapshot(
            &SnapshotRequest {
                plan: self.plan.clone(),
                moments: vec![self.moment.clone()],
                output: Output::Folder { path: out.clone(), format: OutputFormat::Parquet },
                replace: false,
                verify: self.manifest.get("verified").and_then(Value::as_bool).unwrap_or(true),
                provenance: false,
                csv_safe: false,
                schema: if at_date { SchemaAt::AtDate } else { SchemaAt::Current },
                policy: Policy { trust, partial: true, ..Policy::default() },
                options: options.clone(),
            },
            progress,
        )?;
        let (mut datasets, mut restatements) = (Vec::new(), Vec::new());
        for dataset in &self.plan.datasets {
            let file = format!("{}.parquet", dataset.name);
            if !self.path.join(&file).is_file() {
                continue;
            }
            let (then, now) = (self.path.join(&file), out.join(&file));
            let compared = compare::compare(&then, &now, &dataset.key)?;
            datasets.push((dataset.name.clone(), compared.rows, compared.cells));
            for (number, difference) in compared.differences.into_iter().enumerate() {
                let look = number < LOOKED_UP && !dataset.key.is_empty();
                let entry =
                    if look { self.entry(&dataset.name, &difference, options, progress)? } else { None };
                restatements.push(restatement(&dataset.name, difference, entry, look));
            }
        }
        let plan = self.plan.path.as_ref().map_or_else(|| "flags".to_owned(), |p| p.display().to_string());
        Ok(DrilledPackage {
            path: self.path.clone(),
            plan: self.plan.name.clone().unwrap_or(plan),
            as_of: (self.moment.text.clone(), self.moment.resolved.clone()),
            inputs: self.inputs(),
            datasets,
            restatements,
        })
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
                        let now =
                            crate::export::package::digest(Path::new(&path)).ok().map(|(digest, _)| digest);
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
