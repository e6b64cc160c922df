//! What ledgers of postings need of a run beyond the changes that are derived from them:
//! two clocks with a window on each, proofs that the derived images cannot give, and what
//! is late at a moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::findings::Found;
use super::inputs::{DatasetInput, SourceInput};
use super::scan::Histories;
use crate::error::{Error, Result};
use crate::ledger::{Derived, Equation, PostingLedger, Shape};
use crate::model::Discrepancy;
use crate::model::rank::Ranks;
use crate::plan::{Bound, Dataset, LedgerClock, Postings, RowsExist};

/// The postings of one dataset, beside its derived changes.
pub(super) struct ReadPostings {
    pub ledger: Arc<PostingLedger>,
    /// The dataset's number among those of the ledger.
    pub target: usize,
    pub rows: RowsExist,
    /// Findings that touch only moments before a change, with its index.
    pub ranked: Vec<(Discrepancy, u32)>,
    /// Changes of keys that do not come to what is stated.
    pub contradicted: Vec<u32>,
    /// Changes up to which what was on their keys is not what is stated after them.
    pub broken: Vec<u32>,
    /// Opening + movement = closing.
    pub equations: Vec<Equation>,
    pub assumptions: Vec<String>,
}

/// From where on the ledger is declared complete, by each clock.
pub(super) struct Starts<'a> {
    pub effective: Option<&'a Bound>,
    pub committed: Option<&'a Bound>,
}

/// What the plan declares: `complete_from` is on the clock that the ledger has without a second moment.
pub(super) fn starts<'a>(plan: &'a Dataset, ledger: &PostingLedger) -> Starts<'a> {
    let (own, postings) = (plan.ledger.complete_from.as_ref(), &plan.ledger.postings);
    let is_effective = ledger.own_clock() == LedgerClock::Effective;
    Starts {
        effective: postings.effective_from.as_ref().or(own.filter(|_| is_effective)),
        committed: postings.committed_from.as_ref().or(own.filter(|_| !is_effective)),
    }
}

/// The declared start of a dataset's ledger, on the clock of moments.
pub(super) fn complete_from<'a>(plan: &'a Dataset, input: &DatasetInput) -> Option<&'a Bound> {
    let Some(postings) = &input.postings else { return plan.ledger.complete_from.as_ref() };
    let starts = starts(plan, &postings.ledger);
    match postings.ledger.clock() {
        LedgerClock::Effective => starts.effective,
        _ => starts.committed,
    }
}

/// A dataset of images has one clock.
pub(super) fn refuse_second_clock(plans: &[&Dataset], shape: Shape) -> Result<()> {
    if matches!(shape, Shape::Tabular(format) if format.is_postings()) {
        return Ok(());
    }
    let asks = |plan: &&&Dataset| {
        plan.ledger.postings.known_at.is_some() || plan.ledger.clock == LedgerClock::Effective
    };
    if let Some(plan) = plans.iter().find(|plan| declares(&plan.ledger.postings)) {
        return Err(Error::Refused {
            dataset: plan.name.clone(),
            reason: "its ledger carries images of rows, and ledger.postings says how postings move it: a dataset has one \
                     ledger"
                .to_owned(),
            hint: Some(
                "leave ledger.postings out; for postings beside images declare two datasets with the same current, each \
                 with its ledger"
                    .to_owned(),
            ),
        });
    }
    let Some(plan) = plans.iter().find(asks) else { return Ok(()) };
    Err(Error::Refused {
        dataset: plan.name.clone(),
        reason: "its ledger carries images of rows, which have no date at which they count: --known-at and clock = \
                 \"effective\" are for postings"
            .to_owned(),
        hint: Some("leave it out, or name a format of postings".to_owned()),
    })
}

/// Whether a plan says anything of postings beyond its two clocks.
fn declares(postings: &Postings) -> bool {
    let clocks = Postings {
        clock: postings.clock,
        known_at: postings.known_at.clone(),
        days: postings.days,
        ..Postings::default()
    };
    *postings != clocks
}

impl ReadPostings {
    /// What the dataset's outputs name.
    pub(super) fn assumptions_of(
        plan: &Dataset,
        (ledger, target): (&PostingLedger, usize),
        rows: RowsExist,
        derived: &Derived,
    ) -> Vec<String> {
        let name = &plan.name;
        let mut said = Vec::new();
        if let Some(moment) = &plan.ledger.postings.known_at {
            said.push(format!(
                "{name}: as known at {}: postings that were entered later are undone, whenever they count",
                moment.resolved
            ));
        }
        if ledger.clock() == LedgerClock::Effective {
            said.push(format!("{name}: moments are asked by the posting date, not by the time of entry"));
        }
        if plan.ledger.postings.rows.is_none() && rows == RowsExist::Always {
            said.push(format!(
                "{name}: rows were there before their first posting (declare ledger.postings.rows)"
            ));
        }
        let second = ledger.has_both_clocks() && plan.ledger.postings.known_at.is_some();
        if second && !plan.ledger.from_birth {
            let starts = starts(plan, ledger);
            let undeclared = [(starts.effective, "posting date"), (starts.committed, "time of entry")];
            for (_, clock) in undeclared.iter().filter(|(start, _)| start.is_none()) {
                said.push(format!("{name}: the ledger is complete by {clock} from its first record on"));
            }
        }
        said.extend(ledger.running_order(target).map(|words| format!("{name}: {words}")));
        if derived.behind_extract > 0 {
            said.push(format!(
                "{name}: {} postings were made after the extract moment and are left out",
                derived.behind_extract
            ));
        }
        said
    }
}

/// Lets the kernel know a ledger from birth only where rows come into being with their postings.
pub(super) fn settle(input: &mut DatasetInput) {
    let always = input.postings.as_ref().is_some_and(|p| p.rows == RowsExist::Always);
    input.plan.ledger.from_birth &= !always;
}

/// Whether a column is one that postings do not move: unchanged by them, it may have been changed all the same.
pub(super) fn says_nothing_of(input: &DatasetInput, column: usize) -> bool {
    input.postings.is_some() && !input.schema.is_key(column) && !input.lanes.is_covered(column)
}

/// Findings about single postings.
pub(super) fn findings(input: &DatasetInput, ranks: &Ranks) -> Vec<Found> {
    let Some(postings) = &input.postings else { return Vec::new() };
    let last = input.store.len().saturating_sub(1);
    let found = |(discrepancy, index): &(Discrepancy, u32)| Found {
        discrepancy: discrepancy.clone(),
        rank: Some(if input.store.is_empty() { u32::MAX } else { ranks.of((*index).min(last)) }),
    };
    postings.ranked.iter().map(found).collect()
}

/// The slots of keys that do not come to what is stated, each with the highest rank at which that shows.
pub(super) fn contradicted(input: &DatasetInput, histories: &Histories, ranks: &Ranks) -> BTreeMap<u32, u32> {
    let is_any = |p: &&ReadPostings| !p.contradicted.is_empty() || !p.broken.is_empty();
    let Some(postings) = input.postings.as_ref().filter(is_any) else { return BTreeMap::new() };
    let always = postings.contradicted.iter().map(|&index| (index, u32::MAX));
    let mut marks: Vec<(u32, u32)> =
        always.chain(postings.broken.iter().map(|&index| (index, ranks.of(index)))).collect();
    marks.sort_unstable();
    let rank = |index: u32| {
        let end = marks.partition_point(|&(marked, _)| marked <= index);
        end.checked_sub(1).map(|last| marks[last]).filter(|mark| mark.0 == index).map(|mark| mark.1)
    };
    let mut slots = BTreeMap::new();
    for (shard, &base) in histories.shards.iter().zip(&histories.bases) {
        for key in 0..shard.keys() {
            let facts = shard.history(key);
            let highest = facts.filter_map(|fact| rank(shard.facts.index[fact])).max();
            slots.extend(highest.map(|rank| (base + key as u32, rank)));
        }
    }
    slots
}

/// Postings that count by a moment and were entered behind it.
pub(super) fn late(input: &DatasetInput, source: &SourceInput, bound: &Bound) -> Option<Discrepancy> {
    let postings = input.postings.as_ref().filter(|_| source.clock == LedgerClock::Effective)?;
    if input.plan.ledger.postings.known_at.is_some() {
        return None;
    }
    let mut discrepancy = postings.ledger.late(postings.target, bound)?.discrepancy;
    discrepancy.dataset.clone_from(&input.plan.name);
    Some(discrepancy)
}

/// The equations of a dataset in words: opening + movement = closing.
pub(super) fn equations(input: &DatasetInput) -> Vec<String> {
    let Some(postings) = &input.postings else { return Vec::new() };
    let one = |e: &Equation| {
        let basis = match e.is_proven {
            true => "",
            false => " (the opening follows from the other two: nothing else states it)",
        };
        format!(
            "{}.{}: opening {} + movement {} = closing {}{basis}",
            input.plan.name, e.measure, e.opening, e.movement, e.closing
        )
    };
    postings.equations.iter().map(one).collect()
}
