//! Postings that count in a closed period and were entered after it was closed.
//!
//! A posting belongs to the first declared period that has not ended before its posting date; all postings of one
//! period that came too late are one finding, with the sum by which they moved each measure. Limit: where the
//! ledger records no time of entry nothing is checked, and that is said.

use super::super::raw::Raw;
use super::findings::{Findings, PostingFinding, instant, place};
use super::images::exact_text;
use super::layout::Layout;
use super::read::Read;
use super::{Line, PostingTarget};
use crate::model::{Discrepancy, DiscrepancyKind as Kind, NO_TIME};
use crate::plan::Closing;

/// Notes late postings of every dataset that declares closings.
pub(super) fn note(
    raw: &Raw,
    layout: &Layout,
    read: &Read,
    targets: &[PostingTarget<'_>],
    findings: &mut Findings,
) {
    for (number, target) in targets.iter().enumerate() {
        let closings = &target.plan.ledger.postings.closings;
        if !closings.is_empty() && (layout.committed.is_none() || layout.effective.is_none()) {
            let message = "periods are declared as closed, but the ledger records no posting date or no time of entry: \
                           which postings came after a closing is not known";
            let discrepancy = Discrepancy::new(Kind::CoverageAssumed, "", message);
            findings.push(PostingFinding { discrepancy, target: number, row: None });
            continue;
        }
        for (at, closing) in closings.iter().enumerate() {
            let late = late(read, number, (closing, &closings[..at]));
            if let Some(first) = late.first() {
                let mut discrepancy = one(layout, read, (number, target), (closing, &late));
                discrepancy.ledger = Some(place(raw, first.row));
                if let Some(place) = &mut discrepancy.ledger {
                    place.transaction = read.transactions.text(first.transaction).map(str::to_owned);
                    place.committed_at = instant(first.committed);
                }
                findings.push(PostingFinding { discrepancy, target: number, row: None });
            }
        }
    }
}

/// The postings of a period that were entered after its closing, in the order in which they count.
fn late<'r>(read: &'r Read, target: usize, (closing, earlier): (&Closing, &[Closing])) -> Vec<&'r Line> {
    let ends_before = |line: &Line| {
        earlier.iter().all(|closing| closing.period.bound.includes(line.effective) == Some(false))
    };
    let is_late = |line: &&Line| {
        line.effective != NO_TIME
            && line.committed != NO_TIME
            && !line.opening
            && closing.period.bound.includes(line.effective) == Some(true)
            && ends_before(line)
            && closing.at.bound.includes(line.committed) == Some(false)
            && read.entries[target].slot(line.row).is_some()
    };
    read.lines.iter().filter(is_late).collect()
}

fn one(
    layout: &Layout,
    read: &Read,
    (number, target): (usize, &PostingTarget<'_>),
    (closing, late): (&Closing, &[&Line]),
) -> Discrepancy {
    let message = format!(
        "{} postings count in {} and were entered after it was closed ({}), this is the first: --known-at shows the \
         figures without them",
        late.len(),
        closing.period.text,
        closing.at.resolved
    );
    let mut discrepancy = Discrepancy::new(Kind::LatePosting, "", message);
    discrepancy.count = late.len() as u64;
    discrepancy.touches_snapshot = true;
    let entries = &read.entries[number];
    for (measure, (column, _)) in layout.targets[number].amounts.iter().enumerate() {
        let sum =
            late.iter().try_fold(0_i128, |sum, line| sum.checked_add(entries.amount(measure, line.row)));
        let text = sum.map(|sum| exact_text(sum, entries.scales[measure]));
        discrepancy.amounts.extend(text.map(|text| (target.schema.name(*column).to_owned(), text)));
    }
    discrepancy
}
