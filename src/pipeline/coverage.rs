//! Whether a moment can be proven at all: its place in the window, and truncates behind it.

use super::run::Run;
use super::window::SourceCut;
use crate::error::{Error, Result};
use crate::model::{Discrepancy, DiscrepancyKind as Kind, LedgerPlace, time};
use crate::plan::{Bound, Moment};

/// Refuses a moment that nothing can prove; if that is allowed, says that it is one.
pub(super) fn is_uncovered(
    run: &Run,
    number: usize,
    (moment, cut): (&Moment, &SourceCut),
    allowed: bool,
) -> Result<bool> {
    let input = &run.inputs.datasets[number];
    let end = run.analysed[number].end;
    let refuse = |reason: String, nearest: Option<String>| Error::Uncovered {
        dataset: input.plan.name.clone(),
        as_of: moment.resolved.clone(),
        reason,
        nearest,
    };
    let behind_extract = match (&input.plan.current.at, moment.bound.last_nanosecond()) {
        (Some(at), Some(asked)) => at.last_nanosecond().is_some_and(|extract| asked > extract),
        (Some(_), None) => cut.rank > end,
        (None, _) => false,
    };
    if behind_extract {
        let at = input.plan.current.at.as_ref().map(Bound::to_when);
        return Err(refuse("the current state was read before it".to_owned(), at));
    }
    let Some((reason, nearest)) = run.windows[number].refusal(&moment.bound) else {
        return Ok(false);
    };
    if allowed {
        return Ok(true);
    }
    Err(refuse(reason, nearest.map(time::format_instant)))
}

/// Says of a moment outside the window, which was allowed, how far the evidence reaches.
pub(super) fn uncovered(run: &Run, number: usize, moment: &Moment) -> Discrepancy {
    let reason = run.windows[number].refusal(&moment.bound).map(|(reason, _)| reason);
    let message = format!(
        "the moment lies outside what the ledger covers ({}): what changed between is not on record, and rows \
         are as the nearest records have them",
        reason.unwrap_or_else(|| "outside its window".to_owned())
    );
    let mut discrepancy = run.inputs.datasets[number].discrepancy(Kind::CoverageAssumed, message);
    discrepancy.touches_snapshot = true;
    discrepancy
}

/// Rows ended by an undone truncate are refilled from the ledger; exact only where all of them are known.
pub(super) fn truncates(run: &Run, number: usize, cut: &SourceCut) -> Result<Option<Discrepancy>> {
    let input = &run.inputs.datasets[number];
    let analysed = &run.analysed[number];
    let truncates = &analysed.histories.truncates;
    let undone = truncates.iter().find(|&&rank| rank >= cut.rank && rank < analysed.end);
    let Some(&undone) = undone else { return Ok(None) };
    if refill_proven(run, number, cut) {
        return Ok(None);
    }
    let known = analysed
        .histories
        .shards
        .iter()
        .any(|shard| (0..shard.facts.len()).any(|fact| shard.rank(fact) < undone));
    if !known {
        return Err(Error::Refused {
            dataset: input.plan.name.clone(),
            reason: "it was truncated after the as-of, and the ledger says nothing of the rows before"
                .to_owned(),
            hint: Some("--partial goes on with the other datasets".to_owned()),
        });
    }
    let message = "truncated after the as-of: the rows that stood are refilled from the ledger; rows that it \
                   never mentioned before are missing (declare `from_birth` if there were none)";
    let mut discrepancy = input.discrepancy(Kind::TruncatedTable, message);
    discrepancy.touches_snapshot = true;
    discrepancy.ledger = truncate_place(run, number, undone)?;
    Ok(Some(discrepancy))
}

/// Whether every row is known that stood at the first undone truncate: from birth, since an earlier
/// truncate, or since the opening.
pub(super) fn refill_proven(run: &Run, number: usize, cut: &SourceCut) -> bool {
    let analysed = &run.analysed[number];
    let truncates = &analysed.histories.truncates;
    let undone = truncates.iter().find(|&&rank| rank >= cut.rank);
    let opened = analysed.opening.zip(undone).is_some_and(|(opening, &undone)| opening.rank <= undone);
    run.inputs.datasets[number].plan.ledger.from_birth
        || opened
        || truncates.iter().any(|&rank| rank < cut.rank)
}

fn truncate_place(run: &Run, number: usize, rank: u32) -> Result<Option<LedgerPlace>> {
    let analysed = &run.analysed[number];
    let ranks = run.order(number).order.ranks(run.inputs.datasets[number].member);
    let index = analysed.histories.truncate_indices.iter().find(|&&i| ranks.of(i) == rank);
    let evidence = run.evidence(number, &analysed.histories, &analysed.standing);
    let placed = evidence.changes(Kind::TruncatedTable, index.copied().as_slice(), |_| String::new())?;
    Ok(placed.into_iter().next().and_then(|d| d.ledger))
}
