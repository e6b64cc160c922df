//! The documented plan of a run: what would be read, undone and assumed. Nothing is written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::array::ArrayRef;

use super::progress::Progress;
use super::request::ExplainRequest;
use super::run::{Run, RunPlan};
use super::window;
use crate::error::Result;
use crate::ledger::want::Want;
use crate::model::rank::DROPPED;
use crate::model::{NO_TIME, Op, canon, time};
use crate::read::Spool;

/// What a run would do.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The title of the procedure, if the plan has one.
    pub name: Option<String>,
    /// The plan file; `None` if the plan was built from flags.
    pub plan: Option<PathBuf>,
    /// Per dataset.
    pub datasets: Vec<DatasetExplanation>,
    /// What it would assume, in words.
    pub assumptions: Vec<String>,
    /// How text columns got their types, in words.
    pub types: Vec<String>,
}

/// What a run would do with one dataset.
#[derive(Debug, Clone)]
pub struct DatasetExplanation {
    /// Its name.
    pub name: String,
    /// Files of the current state.
    pub current: Vec<String>,
    /// Files of the ledger.
    pub ledger: Vec<String>,
    /// The opening's moment, files and use, in words; `None` if the plan names no opening.
    pub opening: Option<String>,
    /// Who wrote the ledger.
    pub format: String,
    /// Rows of the current state.
    pub current_rows: u64,
    /// Changes in the ledger.
    pub changes: u64,
    /// First provable and last recorded moment, RFC 3339.
    pub window: (Option<String>, Option<String>),
    /// Whether images are whole, and if not how many lanes of coverage they have.
    pub images: String,
    /// How the changes are ordered, and why a scan cannot be narrowed where it cannot.
    pub order: String,
    /// Per moment.
    pub moments: Vec<MomentExplanation>,
    /// Every file that is read; empty unless the procedure is asked for.
    pub inputs: Vec<ExplainedInput>,
    /// What it refers to: columns and dataset.
    pub references: Vec<(String, String)>,
}

/// A file of the inputs, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedInput {
    /// What it is: `current state`, `ledger`.
    pub role: &'static str,
    /// Where it is.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its digest.
    pub sha256: String,
}

/// How many of the changes to be undone have something in common. Largest first, then by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UndoneBy {
    /// By transaction, as the ledger writes it.
    pub transaction: Vec<(String, u64)>,
    /// By actor.
    pub actor: Vec<(String, u64)>,
    /// By day in UTC, earliest first.
    pub day: Vec<(String, u64)>,
}

/// What a run would undo for one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MomentExplanation {
    /// The moment as asked for.
    pub text: String,
    /// The resolved bound.
    pub resolved: String,
    /// Why it would be refused, if it would.
    pub refused: Option<String>,
    /// Transactions in force and undone.
    pub transactions: (u64, u64),
    /// Undone changes by op.
    pub undone: Vec<(Op, u64)>,
    /// Transactions on both sides of the clock.
    pub ambiguous: u64,
    /// Who and what and when; empty unless the procedure is asked for.
    pub by: UndoneBy,
}

/// Says what a run would do.
///
/// # Errors
/// An input cannot be read.
pub fn explain(request: &ExplainRequest, progress: &dyn Progress) -> Result<Explanation> {
    super::in_pool(&request.options, || run(request, progress))
}

fn run(request: &ExplainRequest, progress: &dyn Progress) -> Result<Explanation> {
    let spool = Spool::new(request.options.spool.as_deref());
    // Without moments every transaction is counted, those that stay in force too.
    let plan = RunPlan {
        plan: &request.plan,
        verify: false,
        now: request.options.now,
        moments: &[],
        memory_limit: None,
        digests: false,
    };
    let run = Run::new(plan, &spool, progress)?;
    let datasets =
        (0..run.inputs.datasets.len()).map(|n| dataset(request, &run, n)).collect::<Result<_>>()?;
    run.inputs.check_unchanged()?;
    Ok(Explanation {
        name: request.plan.name.clone(),
        plan: request.plan.path.clone(),
        datasets,
        assumptions: run.windows.iter().flat_map(|w| w.assumptions.clone()).collect(),
        types: super::type_decisions(&run.inputs),
    })
}

fn dataset(request: &ExplainRequest, run: &Run, number: usize) -> Result<DatasetExplanation> {
    let input = &run.inputs.datasets[number];
    let source = run.source(number);
    let order = &run.order(number).order;
    let instant = |t: Option<i64>| t.map(time::format_instant);
    let path = |f: &crate::read::InputFile| f.path.display().to_string();
    let images = match (input.lanes.is_partial(), run.analysed[number].histories.lacks_before) {
        (true, _) => format!("some cells unknown, in {} lanes of equal coverage", input.lanes.count()),
        (false, true) => "some changes without before image".to_owned(),
        (false, false) => "whole".to_owned(),
    };
    let as_read = order.ranks.first().is_none_or(Option::is_none);
    let sorted = if as_read { "as delivered" } else { "sorted by transaction and position" };
    Ok(DatasetExplanation {
        name: input.plan.name.clone(),
        current: input.table.files().iter().map(path).collect(),
        ledger: source.files.iter().map(path).collect(),
        opening: opening(run, number),
        format: source.format.name().to_owned(),
        current_rows: run.analysed[number].standing.count,
        changes: u64::from(input.store.len()),
        window: (instant(run.windows[number].from), instant(run.windows[number].last)),
        images,
        order: format!("{sorted}; cut by {} time", source.clock.name()),
        moments: request.moments.iter().map(|m| moment(request, run, number, m)).collect::<Result<_>>()?,
        inputs: if request.procedure { inputs(run, number)? } else { Vec::new() },
        references: input.plan.references.iter().map(|r| (r.columns.join(", "), r.to.clone())).collect(),
    })
}

fn inputs(run: &Run, number: usize) -> Result<Vec<ExplainedInput>> {
    let of = |role: &'static str, file: &crate::read::InputFile| {
        let (path, sha256) = (file.path.display().to_string(), file.digest()?.to_owned());
        Ok(ExplainedInput { role, path, bytes: file.size, sha256 })
    };
    let current = run.inputs.datasets[number].table.files().iter().map(|f| of("current state", f));
    current.chain(run.source(number).files.iter().map(|f| of("ledger", f))).collect()
}

/// Counts what would be undone by what the records say of it.
fn undone_by(run: &Run, number: usize, cut: u32) -> Result<UndoneBy> {
    let input = &run.inputs.datasets[number];
    let ranks = run.order(number).order.ranks(input.member);
    let end = run.analysed[number].end;
    let mut counts: [BTreeMap<String, u64>; 3] = Default::default();
    let want = Want { order: true, provenance: true, ..Want::default() };
    for segment in 0..input.store.segments() {
        let batch = input.store.read(segment, want, None)?;
        for row in 0..batch.len() {
            let rank = ranks.of(input.store.first(segment) + row as u32);
            if rank < cut || rank >= end || rank == DROPPED {
                continue;
            }
            let text =
                |array: &Option<ArrayRef>| array.as_ref().and_then(|a| canon::cell_text(a.as_ref(), row));
            let at = batch.committed_at[row];
            let day = (at != NO_TIME).then(|| time::format_instant(at).chars().take(10).collect::<String>());
            for (count, name) in counts.iter_mut().zip([text(&batch.transaction), text(&batch.actor), day]) {
                *count.entry(name.unwrap_or_else(|| "not recorded".to_owned())).or_default() += 1;
            }
        }
    }
    let [transaction, actor, day] = counts.map(|count| count.into_iter().collect::<Vec<_>>());
    let largest = |mut all: Vec<(String, u64)>| {
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all
    };
    Ok(UndoneBy { transaction: largest(transaction), actor: largest(actor), day })
}

fn opening(run: &Run, number: usize) -> Option<String> {
    let input = &run.inputs.datasets[number];
    let plan = input.plan.opening.as_ref()?;
    let reads = input.store.opening();
    let files: Vec<String> =
        reads.map_or(&[][..], |o| o.files()).iter().map(|f| f.path.display().to_string()).collect();
    let rows: usize = reads.map_or(0, |o| (0..o.segments()).map(|s| o.rows(s)).sum());
    let placed = &run.openings[number];
    let used = match (placed.opening, run.analysed[number].opening) {
        (None, _) => "not used",
        (Some(_), None) => "not needed: every undone change has its whole before image",
        (Some(_), Some(_)) => "evidence of state at its moment",
    };
    let rows = if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
    Some(format!("{} ({rows}) as of {}: {used}", files.join(", "), plan.as_of.text))
}

fn moment(
    request: &ExplainRequest,
    run: &Run,
    number: usize,
    moment: &crate::plan::Moment,
) -> Result<MomentExplanation> {
    let input = &run.inputs.datasets[number];
    let order = &run.order(number).order;
    let cut = window::cut(run.source(number), order, &moment.bound, &input.plan.name)?;
    Ok(MomentExplanation {
        text: moment.text.clone(),
        resolved: moment.resolved.clone(),
        refused: run.windows[number].refusal(&moment.bound).map(|(reason, _)| reason),
        transactions: (cut.transaction as u64, (order.transactions.len() - cut.transaction) as u64),
        undone: run.analysed[number].undone(cut.rank, None),
        ambiguous: cut.ambiguous.len() as u64,
        by: if request.procedure { undone_by(run, number, cut.rank)? } else { UndoneBy::default() },
    })
}
