//! The reversing change set: what turns the current state into the table as of a moment, or takes
//! back a selection of changes.
//!
//! Nothing is reversed one change at a time. The net difference per key between the
//! current state and the snapshot is what has to be done, so a row that went through
//! ten changes is one statement. A selection is the same with a cut of its own per
//! key: from its first selected change on everything must be selected, else later
//! changes depend on what would be taken away, and the run is refused with their list.
//! Rows whose past is not certain are refused too, and named; tables without a key and
//! ledgers without images of rows cannot be undone row by row.

mod net;
mod references;
mod selection;
mod write;

use std::path::PathBuf;

pub use selection::Only;

use super::history::HistoryStep;
use super::progress::Progress;
use super::rebuild::Rebuilt;
use super::request::RunOptions;
use super::run::{Run, RunPlan};
use super::series::Shared;
use super::verdicts::Judge;
use super::window;
use super::{contested, coverage, drift};
use crate::error::{Error, Result};
use crate::export::change_set::{ChangeKind, ChangeSet};
use crate::export::package::Staged;
use crate::export::sql::Dialect;
use crate::plan::{Moment, Plan};
use crate::read::Spool;
use crate::replay::select::Cuts;
use net::Net;
use selection::Selection;

/// Rows and changes that a message names.
const NAMED: usize = 20;

/// A request for a reversing change set.
#[derive(Debug, Clone)]
pub struct UndoRequest {
    /// Whose tables.
    pub plan: Plan,
    /// The moment to go back to; for a selection, changes before it stay.
    pub moment: Moment,
    /// The changes to take back: those that any of these names. Empty: all after the moment.
    pub only: Vec<Only>,
    /// Whether later changes that depend on selected ones are taken back with them.
    pub with_dependents: bool,
    /// Whether rows are taken on which ledger and current state disagree.
    pub allow_contradicted: bool,
    /// Whether rows are taken with values that were inferred.
    pub allow_inferred: bool,
    /// What comes out.
    pub format: UndoFormat,
    /// Where to: a file, or for Parquet of several datasets a folder.
    pub path: PathBuf,
    /// Whether an output that is already there is replaced.
    pub replace: bool,
    /// How to run.
    pub options: RunOptions,
}

/// The form of a reversing change set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UndoFormat {
    /// A Parquet file per dataset, a change ledger in its own right.
    Parquet,
    /// One guarded script.
    Sql {
        /// Whose SQL.
        dialect: Dialect,
        /// Names of tables in the database, in parts, where they are not those of the datasets.
        targets: Vec<(String, Vec<String>)>,
        /// Columns, by dataset, whose values the database keeps unique beside the key.
        unique: Vec<(String, String)>,
    },
}

/// A reversing change set that was written.
#[derive(Debug, Clone)]
pub struct UndoOutcome {
    /// The moment as asked for.
    pub text: String,
    /// The resolved bound, in words.
    pub resolved: String,
    /// Where it was written.
    pub path: PathBuf,
    /// Per dataset.
    pub datasets: Vec<UndoneDataset>,
    /// Changes that were taken in because they depend on selected ones.
    pub dependents: Vec<Dependent>,
    /// Statements of the script; `None` for Parquet.
    pub statements: Option<usize>,
    /// What the run assumed, in words.
    pub assumptions: Vec<String>,
}

/// What a reversing change set does to one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoneDataset {
    /// Its name.
    pub name: String,
    /// Rows deleted.
    pub deletes: u64,
    /// Rows inserted.
    pub inserts: u64,
    /// Rows updated.
    pub updates: u64,
    /// Changes selected, dependents included; `None` if all after the moment are undone.
    pub selected: Option<u64>,
    /// Rows with inferred values among them.
    pub inferred: u64,
    /// Contradicted rows among them.
    pub contradicted: u64,
}

/// A later change that depends on a selected one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependent {
    /// The dataset.
    pub dataset: String,
    /// The key, as `column=value` pairs.
    pub key: String,
    /// The change.
    pub step: HistoryStep,
}

/// Finds and writes what has to be done.
///
/// # Errors
/// An input cannot be read, a rule refuses a dataset or rows, later changes depend on the selection,
/// or the output cannot be written; then nothing is left behind.
pub fn undo(request: &UndoRequest, progress: &dyn Progress) -> Result<UndoOutcome> {
    super::in_pool(&request.options, || run(request, progress))
}

fn run(request: &UndoRequest, progress: &dyn Progress) -> Result<UndoOutcome> {
    let staged = Staged::folder(&request.path, request.replace)?;
    let spool = Spool::new(request.options.spool.as_deref());
    let bounds = [&request.moment.bound];
    let plan = RunPlan {
        plan: &request.plan,
        verify: true,
        now: request.options.now,
        moments: &bounds,
        memory_limit: None,
        digests: false,
    };
    let run = Run::new(plan, &spool, progress)?;
    let selection = match request.only.as_slice() {
        [] => None,
        only => Some(Selection::of(&run, request, only)?),
    };
    let shared = Shared::of_series(&run, &bounds, request.options.memory_limit, progress)?;
    let (mut sets, mut refused) = (Vec::new(), Vec::new());
    for (number, shared) in shared.iter().enumerate() {
        let found = one(request, (&run, shared), number, selection.as_ref(), progress)?;
        refused.extend(found.refused.iter().map(|row| format!("{}: {row}", found.set.dataset)));
        sets.push(found.set);
    }
    refuse(request, &refused)?;
    if selection.is_some() {
        references::check(&run, &sets)?;
    }
    let statements = write::write(request, &run, &sets, &staged)?;
    run.inputs.check_unchanged()?;
    write::publish(request, staged)?;
    Ok(UndoOutcome {
        text: request.moment.text.clone(),
        resolved: request.moment.resolved.clone(),
        path: request.path.clone(),
        datasets: sets.iter().enumerate().map(|(n, set)| counts(set, n, selection.as_ref())).collect(),
        dependents: selection.map(|s| s.dependents).unwrap_or_default(),
        statements,
        assumptions: run.windows.iter().flat_map(|w| w.assumptions.clone()).collect(),
    })
}

/// The net changes of one dataset.
fn one(
    request: &UndoRequest,
    (run, shared): (&Run, &Shared),
    number: usize,
    selection: Option<&Selection>,
    progress: &dyn Progress,
) -> Result<Net> {
    let input = &run.inputs.datasets[number];
    let refuse = |reason: &str, hint: &str| Error::Refused {
        dataset: input.plan.name.clone(),
        reason: reason.to_owned(),
        hint: Some(hint.to_owned()),
    };
    if input.schema.is_keyless() {
        let hint = "declare a key, or leave the dataset out of the plan";
        return Err(refuse("it has no key, so no statement could name one of its rows", hint));
    }
    let analysed = &run.analysed[number];
    let order = &run.order(number).order;
    let cut = window::cut(run.source(number), order, &request.moment.bound, &input.plan.name)?;
    coverage::is_uncovered(run, number, (&request.moment, &cut), false)?;
    coverage::truncates(run, number, &cut)?;
    let cuts = match selection {
        None => Cuts::One(cut.rank.min(analysed.end)),
        Some(selection) => Cuts::PerKey(&selection.cuts[number]),
    };
    progress.stage(&format!("compare {}", input.plan.name), None);
    let timeline = run.timeline_of(number, analysed);
    let mut rebuilt = Rebuilt::new(
        input,
        &analysed.histories,
        &analysed.standing,
        (timeline, cuts),
        None,
        (shared, progress),
    )?;
    if selection.is_none() {
        rebuilt.set_unborn(drift::unborn(input, order, cut.rank)?);
    }
    let judge = Judge {
        analysed,
        rebuilt: &rebuilt,
        cut: cut.rank,
        mark: contested::mark(run.source(number), &request.moment.bound),
        uncovered: false,
        refill_proven: coverage::refill_proven(run, number, &cut),
        returned: None,
    };
    Net::of(&rebuilt, &judge, request)
}

/// Rows whose past is not certain enough to be written into a database.
fn refuse(request: &UndoRequest, refused: &[String]) -> Result<()> {
    let Some(first) = refused.first() else { return Ok(()) };
    let dataset = first.split(": ").next().unwrap_or_default().to_owned();
    let more = refused.len().saturating_sub(NAMED);
    let mut reason = format!("{} rows are not certain enough to be undone", refused.len());
    for row in refused.iter().take(NAMED) {
        reason += &format!("\n  {row}");
    }
    if more > 0 {
        reason += &format!("\n  and {more} more");
    }
    let hint = match (request.allow_contradicted, request.allow_inferred) {
        (true, true) => "restore what is missing from another source",
        _ => {
            "`asof history` shows a row's changes; --allow-contradicted takes rows on which ledger and current state \
              disagree, --allow-inferred those with inferred values"
        }
    };
    Err(Error::Refused { dataset, reason, hint: Some(hint.to_owned()) })
}

fn counts(set: &ChangeSet, number: usize, selection: Option<&Selection>) -> UndoneDataset {
    let verdicts = |wanted| {
        let all = set.parts.iter().flat_map(|part| &part.verdicts);
        all.filter(|&&verdict| verdict == wanted).count() as u64
    };
    UndoneDataset {
        name: set.dataset.clone(),
        deletes: set.count(ChangeKind::Delete),
        inserts: set.count(ChangeKind::Insert),
        updates: set.count(ChangeKind::Update),
        selected: selection.map(|s| s.selected[number].len() as u64),
        inferred: verdicts(crate::snapshot::Verdict::Inferred),
        contradicted: verdicts(crate::snapshot::Verdict::Contradicted),
    }
}
