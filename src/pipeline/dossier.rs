//! What a run found, as the plain data that reports and workbooks show.

use super::checks;
use super::inputs::DatasetInput;
use super::outcome::{DatasetOutcome, Discrepancies, MomentOutcome};
use super::request::SnapshotRequest;
use super::run::Run;
use crate::error::Result;
use crate::model::{Amount, Discrepancy, RowTotal, time};
use crate::plan::Moment;
use crate::read::InputFile;
use crate::report::{DatasetView, InputView, Report, Timeline};

/// One written dataset: its number in the plan, the file of its snapshot, and its changes through time.
pub(super) struct WrittenDataset {
    pub number: usize,
    pub file: String,
    pub timeline: Timeline,
}

/// Everything that is told of one snapshot.
pub(super) fn report(
    request: &SnapshotRequest,
    run: &Run,
    moment: &Moment,
    outcome: &MomentOutcome,
    (written, refused): (&[WrittenDataset], &[(String, String)]),
) -> Result<Report> {
    let found = &outcome.discrepancies;
    let datasets = written.iter().zip(&outcome.datasets);
    Ok(Report {
        title: request.plan.name.clone(),
        asked: moment.text.clone(),
        resolved: moment.resolved.clone(),
        verified: request.verify,
        trust: request.policy.trust.name(),
        datasets: datasets.map(|(written, outcome)| dataset(run, written, outcome)).collect(),
        refused: refused.to_vec(),
        kinds: found.counts.iter().map(|(kind, c)| (*kind, c.open, c.accepted)).collect(),
        causes: found.causes.iter().map(|(cause, c)| (*cause, c.open, c.accepted)).collect(),
        material: found.material,
        listed: gravest(found),
        differences: found.differences.clone(),
        assumptions: run.windows.iter().flat_map(|w| w.assumptions.clone()).collect(),
        notes: checks::not_compared(&request.plan, &request.moments),
        types: super::type_decisions(&run.inputs),
        plan_path: request.plan.path.clone(),
        plan_text: request.plan.text.clone(),
        inputs: inputs(run)?,
    })
}

/// The gravest first; of equal ones the material, then the largest amounts, then as listed.
fn gravest(found: &Discrepancies) -> Vec<Discrepancy> {
    let largest = |d: &Discrepancy| {
        let amounts = d.amounts.iter().chain(&d.effects);
        let amounts = amounts.filter_map(|(_, text)| Amount::parse(text).and_then(Amount::magnitude));
        amounts.fold(Amount::ZERO, |most, amount| if amount > most { amount } else { most })
    };
    // Of very many of a kind the first are listed, which need not be the largest.
    let largest_of_all = found.differences.iter().flat_map(|d| &d.largest);
    let mut seen = std::collections::BTreeSet::new();
    let mut ranked: Vec<(&Discrepancy, Amount)> = Vec::new();
    for one in largest_of_all.chain(&found.listed) {
        let place = one.ledger.as_ref().map(|l| (l.file.clone(), l.record));
        if seen.insert((one.fingerprint(), place)) {
            ranked.push((one, largest(one)));
        }
    }
    let class =
        |d: &Discrepancy| (d.accepted.is_some(), std::cmp::Reverse((d.severity(), d.material == Some(true))));
    ranked.sort_by(|(a, x), (b, y)| {
        let by_money = y.partial_cmp(x).unwrap_or(std::cmp::Ordering::Equal);
        class(a).cmp(&class(b)).then(by_money).then(a.kind.cmp(&b.kind))
    });
    ranked.into_iter().map(|(found, _)| found.clone()).collect()
}

fn dataset(run: &Run, written: &WrittenDataset, outcome: &DatasetOutcome) -> DatasetView {
    let input = &run.inputs.datasets[written.number];
    let source = run.source(written.number);
    let v = &outcome.verdicts;
    DatasetView {
        name: outcome.name.clone(),
        file: written.file.clone(),
        key: input.plan.key.clone(),
        rows: row_total(outcome),
        rows_changed: outcome.rows_changed,
        measures: outcome.measures.clone(),
        groups: outcome.groups.clone(),
        changes: outcome.changes,
        undone: outcome.undone.clone(),
        verdicts: vec![
            ("unchanged", v.unchanged),
            ("restored", v.restored),
            ("inferred", v.inferred),
            ("not-covered", v.not_covered),
            ("unrecoverable", v.unrecoverable),
            ("contradicted", v.contradicted),
        ],
        cells: vec![
            ("inferred", v.inferred_cells),
            ("ambiguous", v.ambiguous_cells),
            ("unrecoverable", v.unrecoverable_cells),
        ],
        left_out: outcome.left_out.clone(),
        returned: outcome.returned.clone(),
        format: source.format.name().to_owned(),
        clock: source.clock.name().to_owned(),
        window: window(run, written.number),
        timeline: written.timeline.clone(),
    }
}

fn row_total(outcome: &DatasetOutcome) -> RowTotal {
    outcome.row_total()
}

/// For which span the ledger is complete, as a sentence.
fn window(run: &Run, number: usize) -> String {
    let window = &run.windows[number];
    let how = if window.declared { "declared" } else { "assumed" };
    let from =
        window.from.map_or_else(|| "from birth".to_owned(), |t| format!("from {}", time::format_instant(t)));
    let to = match (window.to, window.last) {
        (Some(to), _) => format!("to {}, as declared", time::format_instant(to)),
        (None, Some(last)) => format!("to its last change at {}", time::format_instant(last)),
        (None, None) => "and holds no change with a time".to_owned(),
    };
    format!("It covers the table {from} ({how}) {to}.")
}

fn inputs(run: &Run) -> Result<Vec<InputView>> {
    let mut all = Vec::new();
    for (number, input) in run.inputs.datasets.iter().enumerate() {
        add(input, "current state", input.table.files(), &mut all)?;
        add(input, "ledger", &run.source(number).files, &mut all)?;
        add(input, "opening", input.store.opening().map_or(&[], |o| o.files()), &mut all)?;
    }
    Ok(all)
}

fn add(
    input: &DatasetInput,
    role: &'static str,
    files: &[InputFile],
    all: &mut Vec<InputView>,
) -> Result<()> {
    for file in files {
        all.push(InputView {
            dataset: input.plan.name.clone(),
            role,
            path: file.path.clone(),
            bytes: file.size,
            sha256: file.digest()?.to_owned(),
        });
    }
    Ok(())
}
