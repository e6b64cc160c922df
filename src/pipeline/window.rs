//! For which span the inputs can prove anything, and where a moment cuts a source.

use rayon::prelude::*;

use super::inputs::{Inputs, SourceInput};
use super::postings;
use super::scan::{Ordered, integer_transaction, transaction_seed};
use crate::error::{Error, Result};
use crate::ledger::order::{self, Order};
use crate::model::{NEVER, NO_TIME, canon, time};
use crate::plan::{Bound, Plan};

/// The span for which a dataset's ledger is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// The first rank at which an as-of is provable; 0 from birth.
    pub from: Option<i64>,
    /// The nearest provable moment, where it is not the start itself.
    pub nearest: Option<i64>,
    /// Whether the start was declared or follows from the declaration of birth.
    pub declared: bool,
    /// The last commit time in the ledger.
    pub last: Option<i64>,
    /// The declared end of completeness.
    pub to: Option<i64>,
    /// What every output names.
    pub assumptions: Vec<String>,
}

/// The windows of all datasets.
pub(super) fn windows(plan: &Plan, inputs: &Inputs, ordered: &[Ordered]) -> Result<Vec<Window>> {
    plan.datasets
        .iter()
        .zip(&inputs.datasets)
        .map(|(dataset, input)| {
            let order = &ordered[input.source].order;
            let times =
                || order.transactions.par_iter().map(|t| t.time).filter(|&t| t != NO_TIME && t != NEVER);
            let source = &inputs.sources[input.source];
            let reads_end = inputs.reads_end(input.source)?;
            // Reads overlap each other, so only what comes after the last of them is proven.
            let observed = times().min().max(reads_end.map(|reads| reads.saturating_add(1)));
            let declared = match postings::complete_from(dataset, input) {
                Some(bound) => Some(moment_of(bound, source, order, &dataset.name)?),
                None => None,
            };
            let to = match &dataset.ledger.complete_to {
                Some(bound) => Some(moment_of(bound, source, order, &dataset.name)?),
                None => None,
            };
            let mut assumptions = Vec::new();
            let is_declared = declared.is_some() || dataset.ledger.from_birth;
            if !is_declared {
                assumptions.push(format!(
                    "{}: the ledger is complete from its first record on ({})",
                    dataset.name,
                    observed.map_or_else(|| "no time recorded".to_owned(), time::format_instant)
                ));
            }
            if dataset.current.at.is_none() {
                assumptions.push(format!(
                    "{}: the current state was read at the ledger's end or later, with nothing in between",
                    dataset.name
                ));
            }
            if dataset.ledger.hash_chain.is_some() {
                assumptions.push(format!(
                    "{}: the hash chain is followed by its links; how its hashes are computed is not known, so that they \
                     are not computed anew",
                    dataset.name
                ));
            }
            assumptions.extend(input.postings.iter().flat_map(|p| p.assumptions.clone()));
            Ok(Window {
                nearest: reads_end.filter(|reads| !is_declared && observed == reads.checked_add(1)),
                from: if dataset.ledger.from_birth { None } else { declared.or(observed) },
                declared: is_declared,
                last: times().max(),
                to,
                assumptions,
            })
        })
        .collect()
}

fn moment_of(bound: &Bound, source: &SourceInput, order: &Order, dataset: &str) -> Result<i64> {
    match bound {
        Bound::At(at) | Bound::Before(at) => Ok(*at),
        Bound::Position(_) | Bound::Transaction(_) => {
            let cut = cut(source, order, bound, dataset)?;
            Ok(order.transactions.get(cut.transaction).or(order.transactions.last()).map_or(0, |t| t.time))
        }
    }
}

impl Window {
    /// Moves an observed start back to the moment of an opening.
    pub(super) fn begin_at(&mut self, at: i64, dataset: &str) {
        (self.from, self.nearest) = (Some(at), None);
        let prefix = format!("{dataset}: the ledger is complete");
        self.assumptions.retain(|a| !a.starts_with(&prefix));
        self.assumptions.push(format!("{prefix} from the opening on ({})", time::format_instant(at)));
    }

    /// Why a moment lies outside, and the nearest provable instant; `None` if it lies inside.
    pub(super) fn refusal(&self, bound: &Bound) -> Option<(String, Option<i64>)> {
        let from = self.from?;
        // Complete from an instant on, the ledger proves the state just before it too.
        let end = bound.last_nanosecond()?.saturating_add(1);
        (end < from).then(|| {
            let why = if self.declared {
                "the ledger is declared complete from"
            } else {
                "the ledger's first provable moment (observed, not declared) is"
            };
            let nearest = self.nearest.unwrap_or(from);
            (format!("{why} {}", time::format_instant(nearest)), Some(nearest))
        })
    }

    /// Whether a moment lies behind everything that the ledger records or was declared for.
    pub(super) fn is_after_end(&self, bound: &Bound) -> bool {
        let limit = match (self.to, self.last) {
            (Some(to), _) => to,
            (None, Some(last)) => last,
            (None, None) => return false,
        };
        bound.last_nanosecond().is_some_and(|last| last > limit)
    }
}

/// Where a bound cuts a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceCut {
    /// The first undone rank.
    pub rank: u32,
    /// Number of the first undone transaction.
    pub transaction: usize,
    /// Transactions on both sides of the clock.
    pub ambiguous: Vec<usize>,
}

/// The cut of a source at a bound.
pub(super) fn cut(source: &SourceInput, order: &Order, bound: &Bound, dataset: &str) -> Result<SourceCut> {
    let found = match bound {
        Bound::At(at) => by_time(source, order, dataset, |t| t <= *at)?,
        Bound::Before(at) => by_time(source, order, dataset, |t| t < *at)?,
        Bound::Position(text) => by_position(source, order, text, dataset)?,
        Bound::Transaction(text) => by_transaction(order, text, dataset)?,
    };
    Ok(SourceCut { rank: order.first_rank(found.transaction), ..found })
}

fn by_time(
    source: &SourceInput,
    order: &Order,
    dataset: &str,
    in_force: impl Fn(i64) -> bool + Sync,
) -> Result<SourceCut> {
    if !order.transactions.is_empty() && order.transactions.iter().all(|t| t.time == NO_TIME) {
        return Err(Error::Refused {
            dataset: dataset.to_owned(),
            reason: "its ledger records no commit times".to_owned(),
            hint: Some(
                "times without an offset need the ledger's `time_zone`; else name the time column in the plan, or give \
                 a position (--as-of position:…)"
                    .to_owned(),
            ),
        });
    }
    let mut cut = order::cut(&order.transactions, &in_force);
    if source.whole_seconds {
        // A commit within the moment's own second may have come before or after it.
        let spans = |t: &order::Transaction| {
            t.time != NO_TIME && in_force(t.time) && !in_force(t.time.saturating_add(999_999_999))
        };
        cut.ambiguous.extend((0..).zip(&order.transactions).filter(|(_, t)| spans(t)).map(|(n, _)| n));
        cut.ambiguous.sort_unstable();
        cut.ambiguous.dedup();
    }
    debug_assert!(source.datasets.len() < usize::from(u16::MAX), "datasets of a source are 16-bit");
    Ok(SourceCut { rank: 0, transaction: cut.transaction, ambiguous: cut.ambiguous })
}

/// Positions and transactions belong to one source each, while all have times.
const ONE_SOURCE: &str = "a position or transaction belongs to one ledger; for datasets with ledgers of their own \
                          give a time, or a plan with that ledger's datasets alone";

fn by_position(source: &SourceInput, order: &Order, text: &str, dataset: &str) -> Result<SourceCut> {
    let wrong = |reason: &str| {
        let kind = source.positions.as_ref().map(|kind| format!("its positions are of kind {kind:?}; "));
        Error::When {
            text: format!("position:{text}"),
            reason: format!("{dataset}: {reason}"),
            hint: Some(kind.unwrap_or_default() + ONE_SOURCE),
        }
    };
    let kind = source.positions.as_ref().ok_or_else(|| wrong("its ledger records no positions"))?;
    let (commit, own) =
        kind.parse(text).ok_or_else(|| wrong("its ledger's positions are written differently"))?;
    let limit = commit.or(own).ok_or_else(|| wrong("it names no position"))?;
    let transaction = order.transactions.partition_point(|t| t.position <= limit);
    Ok(SourceCut { rank: 0, transaction, ambiguous: Vec::new() })
}

/// What a transaction of this name may be known as in an order: ids are texts or whole numbers.
pub(super) fn transaction_ids(text: &str) -> [u64; 2] {
    [
        canonical_id(&arrow::array::StringArray::from(vec![text])),
        text.parse::<i128>().map_or(0, integer_transaction),
    ]
}

fn by_transaction(order: &Order, text: &str, dataset: &str) -> Result<SourceCut> {
    let ids = transaction_ids(text);
    let last = order.transactions.iter().rposition(|t| ids.contains(&t.id) && t.id != 0);
    let none = || Error::When {
        text: format!("txn:{text}"),
        reason: format!("{dataset}: its ledger has no such transaction"),
        hint: Some(ONE_SOURCE.to_owned()),
    };
    let number = last.ok_or_else(none)?;
    Ok(SourceCut { rank: 0, transaction: number + 1, ambiguous: Vec::new() })
}

fn canonical_id(id: &dyn arrow::array::Array) -> u64 {
    let mut hash = [0];
    canon::add_cell_hashes(id, transaction_seed(), &mut hash);
    hash[0]
}
