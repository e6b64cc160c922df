//! Opening + movements = closing, by measure and group.
//!
//! ```text
//!  snapshot at A ── sums by group ──────────────────────────────┐
//!        └─ rows of touched keys ─► fold over the changes ─► lines ─► opening + lines = closing
//!  snapshot at B ── rows of touched keys ─┘   between A and B   │
//!        └─ sums by group ──────────────────────────────────────┘
//! ```
//!
//! Both ends are rebuilt as any snapshot is; the lines come from the ledger's changes alone. So the
//! equation proves something: where they do not meet, the difference is a line of its own. All
//! sums are exact decimals. A measure that is no exact decimal is not summed, and says so.
//!
//! Limits: one entry per touched key is kept, and, where the ledger was not delivered in order, one per change.

mod entries;
mod figures;
mod fold;
mod list;
mod money;
mod outcome;
mod standing;

use std::path::{Path, PathBuf};

pub use self::figures::BridgeLine;
pub use self::outcome::{BridgeFigures, BridgeGroup, BridgeOutcome, BridgedDataset, BridgedMeasure};

use self::entries::Between;
use self::figures::Groups;
use self::fold::Fold;
use self::list::ChangeList;
use self::money::Money;
use super::coverage;
use super::inputs::DatasetInput;
use super::progress::Progress;
use super::rebuild::Rebuilt;
use super::request::{BridgeRequest, BridgeSpan, Trust};
use super::run::{Run, RunPlan};
use super::series::Shared;
use super::snapshot::refuse_disowned_copies;
use super::window;
use crate::error::{Error, Result, nearest};
use crate::export::RowsFile;
use crate::export::package::Staged;
use crate::plan::{Bound, Moment, Plan};
use crate::read::Spool;

/// Bridges every dataset of a plan from one moment to another.
///
/// # Errors
/// An input cannot be read, a moment cannot be proven, a column does not exist, or an output cannot be
/// written; then nothing is left behind.
pub fn bridge(request: &BridgeRequest, progress: &dyn Progress) -> Result<BridgeOutcome> {
    super::in_pool(&request.options, || run(request, progress))
}

/// The columns that a bridge looks at.
struct Columns {
    by: Vec<usize>,
    measures: Vec<usize>,
}

/// A moment in a run: the snapshot that one side of the equation is of.
struct End<'a> {
    run: &'a Run,
    shared: &'a [Shared],
    moment: &'a Moment,
    trust: Trust,
}

fn run(request: &BridgeRequest, progress: &dyn Progress) -> Result<BridgeOutcome> {
    apart(request)?;
    let output =
        request.output.as_deref().map(|path| OutputFile::stage(path, request.replace)).transpose()?;
    let changes =
        request.changes.as_deref().map(|path| OutputFile::stage(path, request.replace)).transpose()?;
    let spool = Spool::new(request.options.spool.as_deref());
    let (plans, moments): (Vec<Plan>, Vec<&Moment>) = match &request.span {
        BridgeSpan::Moments { from, to } => (vec![request.plan.clone()], vec![from, to]),
        BridgeSpan::Known { as_of, from, to } => {
            (vec![known_at(&request.plan, from), known_at(&request.plan, to)], vec![as_of])
        }
    };
    let bounds: Vec<&Bound> = moments.iter().map(|m| &m.bound).collect();
    let mut runs = Vec::new();
    for plan in &plans {
        // Without moments the whole ledger is looked at: what a change rests on may lie before both ends.
        let options = RunPlan {
            plan,
            verify: request.trust == Trust::Ledger,
            now: request.options.now,
            moments: &[],
            memory_limit: None,
            digests: false,
        };
        runs.push(Run::new(options, &spool, progress)?);
    }
    let shared =
        runs.iter().map(|run| Shared::of_series(run, &bounds, request.options.memory_limit, progress));
    let shared = shared.collect::<Result<Vec<_>>>()?;
    let ends = [0, 1].map(|end: usize| {
        let run = end.min(runs.len() - 1);
        let moment = moments[end.min(moments.len() - 1)];
        End { run: &runs[run], shared: &shared[run], moment, trust: request.trust }
    });
    let money = money(&runs[0].inputs.datasets);
    let mut list = changes.as_ref().map(|file| ChangeList::create(&file.inside(), money)).transpose()?;
    let mut outcome = outcome::begin(request, &runs);
    for number in 0..request.plan.datasets.len() {
        outcome.datasets.push(dataset(request, &ends, number, list.as_mut(), progress)?);
    }
    for run in &runs {
        run.inputs.check_unchanged()?;
    }
    list.map(ChangeList::finish).transpose()?;
    if let Some(file) = &output {
        outcome::write(&outcome, money, &file.inside())?;
    }
    [output, changes].into_iter().flatten().try_for_each(OutputFile::publish)?;
    Ok(outcome)
}

/// Figures and changes go into two files.
fn apart(request: &BridgeRequest) -> Result<()> {
    let (Some(output), Some(changes)) = (&request.output, &request.changes) else { return Ok(()) };
    // A folder that is not there yet is told by how it is written.
    let place = |path: &PathBuf| {
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let parent = whole.parent().and_then(|parent| parent.canonicalize().ok());
        parent.zip(whole.file_name()).map_or_else(|| whole.clone(), |(parent, name)| parent.join(name))
    };
    if place(output) != place(changes) {
        return Ok(());
    }
    Err(Error::Plan {
        place: "--changes".to_owned(),
        message: format!("{} is also where --out writes the figures", changes.display()),
        hint: Some("name another file".to_owned()),
    })
}

fn known_at(plan: &Plan, moment: &Moment) -> Plan {
    let mut plan = plan.clone();
    plan.ask_as_known_at(moment);
    plan
}

fn money(datasets: &[DatasetInput]) -> Money {
    let types = datasets.iter().flat_map(|input| {
        let columns = input.plan.measures.iter().filter_map(|name| input.schema.column(name));
        columns.map(|column| input.schema.data_type(column))
    });
    // A measure that is not summed has no amounts.
    Money::of(types.filter(|data_type| !data_type.is_floating()))
}

fn dataset(
    request: &BridgeRequest,
    [from, to]: &[End<'_>; 2],
    number: usize,
    mut list: Option<&mut ChangeList>,
    progress: &dyn Progress,
) -> Result<BridgedDataset> {
    let input = &to.run.inputs.datasets[number];
    let by = request.by.as_ref().unwrap_or(&input.plan.group_by);
    let columns = Columns { by: found(input, by)?, measures: found(input, &input.plan.measures)? };
    if let Some(list) = &mut list {
        list.begin(&input.plan.name, by, &input.plan.measures);
    }
    let cuts = [from.cut(number, request)?, to.cut(number, request)?];
    let mut groups = Groups::new(columns.measures.len());
    let known = match &request.span {
        BridgeSpan::Known { from, to, .. } => Some((from, to)),
        BridgeSpan::Moments { .. } => None,
    };
    let entered = known.map(|(from, to)| entered_between(input, from, to)).transpose()?;
    let ranks = match known {
        None if cuts[0] > cuts[1] => return Err(turned_round(from.moment, to.moment)),
        None => cuts[0]..cuts[1],
        Some(_) => 0..cuts[1],
    };
    let only = entered.as_deref();
    let between = Between { run: to.run, number, columns: &columns, ranks, told: list.is_some(), only };
    let mut ends = Vec::new();
    for (end, cut, is_closing) in [(from, cuts[0], false), (to, cuts[1], true)] {
        // Keys are known under the seed of a run.
        let touched = between.touched(end.run)?;
        let rebuilt = end.rebuild(number, cut, progress)?;
        ends.push(standing::add(&rebuilt, (&columns, end.run.seed), &touched, &mut groups, is_closing)?);
    }
    let (closing, mut opening) = (ends.pop().unwrap_or_default(), ends.pop().unwrap_or_default());
    if !std::ptr::eq(from.run, to.run) {
        opening = between.reseeded(from.run, opening)?;
    }
    let transactions = &to.run.firsts[input.source];
    let keyless = input.schema.is_keyless();
    let mut fold = Fold::new((&mut groups, keyless), transactions, opening, &closing, list);
    progress.stage(&format!("bridge {}", input.plan.name), None);
    between.each(&mut |entry| match known {
        Some(_) => fold.posting(&entry),
        None => fold.change(&entry),
    })?;
    let changes = fold.finish()?;
    Ok(outcome::dataset(&input.plan.name, by, &input.plan.measures, &groups, changes))
}

/// Columns by their names.
fn found(input: &DatasetInput, names: &[String]) -> Result<Vec<usize>> {
    let column = |name: &String| {
        input.schema.column(name).ok_or_else(|| Error::UnknownColumn {
            dataset: input.plan.name.clone(),
            column: name.clone(),
            path: input.current_path().to_owned(),
            hint: nearest(name, input.schema.names()).map(|near| format!("did you mean {near:?}?")),
        })
    };
    names.iter().map(column).collect()
}

fn turned_round(from: &Moment, to: &Moment) -> Error {
    Error::When {
        text: to.text.clone(),
        reason: format!("it lies before {:?}, where the bridge begins", from.text),
        hint: Some("give the earlier moment as --from and the later one as --to".to_owned()),
    }
}

/// Whether a posting, by its place, was entered behind one moment and by another.
fn entered_between<'a>(
    input: &'a DatasetInput,
    from: &'a Moment,
    to: &'a Moment,
) -> Result<Box<dyn Fn(u64) -> bool + 'a>> {
    let last = |moment: &Moment| moment.bound.last_nanosecond();
    if last(from) > last(to) {
        return Err(Error::When {
            text: to.text.clone(),
            reason: format!("it lies before {:?}, as known at which the bridge begins", from.text),
            hint: Some("give the earlier moment as --as-known and the later one as --to-known".to_owned()),
        });
    }
    // A ledger of images has no second clock, and its run was refused.
    let Some(postings) = &input.postings else { return Ok(Box::new(|_| false)) };
    Ok(Box::new(move |place| {
        let entered = postings.ledger.entered(place);
        from.bound.includes(entered) == Some(false) && to.bound.includes(entered) == Some(true)
    }))
}

impl End<'_> {
    /// The first rank that is undone.
    fn cut(&self, number: usize, request: &BridgeRequest) -> Result<u32> {
        let run = self.run;
        let input = &run.inputs.datasets[number];
        let cut =
            window::cut(run.source(number), &run.order(number).order, &self.moment.bound, &input.plan.name)?;
        coverage::is_uncovered(run, number, (self.moment, &cut), request.allow_uncovered)?;
        coverage::truncates(run, number, &cut)?;
        Ok(cut.rank.min(run.analysed[number].end))
    }

    fn rebuild(&self, number: usize, cut: u32, progress: &dyn Progress) -> Result<Rebuilt<'_>> {
        let run = self.run;
        let (input, analysed) = (&run.inputs.datasets[number], &run.analysed[number]);
        progress.stage(&format!("rebuild {}", input.plan.name), None);
        let timeline = run.timeline_of(number, analysed);
        let distrusted = (self.trust == Trust::Ledger).then_some(analysed.distrusted.as_slice());
        refuse_disowned_copies(input, analysed, distrusted.is_some())?;
        let mut rebuilt = Rebuilt::new(
            input,
            &analysed.histories,
            &analysed.standing,
            (timeline, cut),
            distrusted,
            (&self.shared[number], progress),
        )?;
        rebuilt.set_unborn(super::drift::unborn(input, &run.order(number).order, cut)?);
        Ok(rebuilt)
    }
}

/// A file that is complete or not there at all.
struct OutputFile {
    staged: Staged,
    name: String,
}

impl OutputFile {
    fn stage(path: &Path, replace: bool) -> Result<Self> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        RowsFile::check_name(path)?;
        Ok(Self { staged: Staged::folder(path, replace)?, name })
    }

    fn inside(&self) -> std::path::PathBuf {
        self.staged.path().join(&self.name)
    }

    fn publish(self) -> Result<()> {
        self.staged.publish_file(&self.name)
    }
}
