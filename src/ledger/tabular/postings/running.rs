//! Balances that a ledger states after each posting, as bank statements and stock ledgers do: checkpoints.
//!
//! ```text
//!  amount   stated after   expected
//!    100           100
//!     50           150     100 + 50
//!    -30           110     150 - 30 = 120    a posting is missing here, or this one was altered
//!     10           120     110 + 10          from the stated one on again
//! ```
//!
//! Which line comes before which is not in the records: files are written newest first as well as oldest
//! first, and follow the posting date or the entry. So every such order is tried, and the one in which the most
//! balances follow from each other is taken and named. Neighbouring lines that do not fit and whose
//! differences add up to nothing are one finding: one repair would remove them all.
//!
//! Limits: what is stated of several keys together is no balance of one. Balances that were recomputed after a
//! posting was taken out prove nothing, but for the last one, which must be the current one.

use std::collections::HashMap;

use super::Line;
use super::findings::{Findings, PostingFinding, instant, place};
use super::images::{Derived, Walk};
use super::layout::Layout;
use super::read::{Entries, Read};
use crate::model::{CellDifference, Discrepancy, DiscrepancyKind as Kind, NO_TIME};
use crate::plan::{LedgerClock, RowsExist};

/// What the stated balances of a dataset say.
#[derive(Debug)]
pub(super) struct Running {
    order: Order,
    /// How many balances are stated, and how many of them do not follow from the one before.
    stated: u64,
    broken: u64,
    /// How many lines have an earlier date than the line before.
    falling: u64,
    /// By slot.
    chains: HashMap<usize, Chain>,
}

/// The stated balances of one key.
#[derive(Debug, Clone)]
struct Chain {
    /// Per measure: the balance after the last posting.
    end: Vec<Option<i128>>,
    /// The last row that states one, and how many do.
    last: u32,
    stated: usize,
    steps: Vec<Step>,
}

/// A balance that does not follow from the one before.
#[derive(Debug, Clone)]
struct Step {
    /// `None` for the current balance.
    line: Option<Line>,
    /// Its number among the lines of its key that state a balance.
    number: usize,
    /// Per measure: what follows from the balance before, and what is stated; equal where that is unknown.
    expected: Vec<i128>,
    found: Vec<i128>,
    /// It is an opening entry that does not restate the balance before it.
    restates: bool,
}

impl Step {
    fn difference(&self, measure: usize) -> i128 {
        self.found[measure].saturating_sub(self.expected[measure])
    }
}

/// An order that lines may have been written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Order {
    by: By,
    newest_first: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    PostingDate,
    Entry,
    Files,
}

impl Order {
    /// All that these clocks allow, the likeliest first.
    fn all(layout: &Layout) -> Vec<Self> {
        let (own, other) = match layout.own_clock {
            LedgerClock::Effective => (By::PostingDate, By::Entry),
            _ => (By::Entry, By::PostingDate),
        };
        let is_there = |by: &By| match by {
            By::PostingDate => layout.effective.is_some(),
            By::Entry => layout.committed.is_some(),
            By::Files => true,
        };
        let orders = [own, other, By::Files].into_iter().filter(is_there);
        orders.flat_map(|by| [false, true].map(|newest_first| Self { by, newest_first })).collect()
    }

    fn time(self, line: &Line) -> i64 {
        match self.by {
            By::PostingDate => line.effective,
            By::Entry => line.committed,
            By::Files => 0,
        }
    }

    fn in_words(self) -> &'static str {
        match (self.by, self.newest_first) {
            (By::PostingDate, false) => "by posting date, those of one date as they stand in the files",
            (By::PostingDate, true) => "by posting date, those of one date from the last record to the first",
            (By::Entry, false) => "by the time of entry, equal ones as they stand in the files",
            (By::Entry, true) => "by the time of entry, equal ones from the last record to the first",
            (By::Files, false) => "as they stand in the files",
            (By::Files, true) => "from the last record to the first",
        }
    }
}

/// Follows the stated balances of a dataset, if it declares any.
pub(super) fn follow(layout: &Layout, read: &Read, number: usize) -> Option<Running> {
    if layout.targets[number].running.iter().all(Option::is_none) {
        return None;
    }
    let entries = &read.entries[number];
    let mut best: Option<Running> = None;
    for order in Order::all(layout) {
        let tried = in_order(entries, &read.lines, order);
        if best.as_ref().is_none_or(|best| tried.broken < best.broken) {
            best = Some(tried);
        }
        if best.as_ref().is_some_and(|best| best.broken == 0) {
            break;
        }
    }
    best
}

fn in_order(entries: &Entries, lines: &[Line], order: Order) -> Running {
    let mut sorted: Vec<(usize, &Line)> =
        lines.iter().filter_map(|line| Some((entries.any_slot(line.row)?, line))).collect();
    let at = |row: u32| if order.newest_first { u32::MAX - row } else { row };
    let by_files = order.by == By::Files;
    sorted.sort_by_key(|(slot, line)| (*slot, order.time(line), !line.opening && !by_files, at(line.row)));
    let mut running = Running { order, stated: 0, broken: 0, falling: 0, chains: HashMap::new() };
    for lines in sorted.chunk_by(|a, b| a.0 == b.0) {
        let mut chain = Follower::new(entries);
        let own: Vec<&Line> = lines.iter().map(|(_, line)| *line).collect();
        for together in own.chunk_by(|a, b| a.opening && b.opening) {
            match together[0].opening && entries.slot(together[0].row).is_some() {
                true => chain.restate(together),
                false => together.iter().for_each(|line| chain.line(line)),
            }
        }
        running.stated += chain.chain.stated as u64;
        running.broken += chain.chain.steps.len() as u64;
        running.falling += own.windows(2).filter(|pair| pair[1].time < pair[0].time).count() as u64;
        running.chains.insert(lines[0].0, chain.chain);
    }
    running
}

/// Goes from line to line of one key.
struct Follower<'a> {
    entries: &'a Entries,
    known: Vec<Option<i128>>,
    chain: Chain,
}

impl<'a> Follower<'a> {
    fn new(entries: &'a Entries) -> Self {
        let known = vec![None; entries.scales.len()];
        Self { entries, chain: Chain { end: known.clone(), last: 0, stated: 0, steps: Vec::new() }, known }
    }

    fn stated(&self, line: &Line) -> Vec<Option<i128>> {
        (0..self.known.len()).map(|measure| self.entries.stated(measure, line.row)).collect()
    }

    fn line(&mut self, line: &Line) {
        let is_read = self.entries.slot(line.row).is_some();
        for (measure, known) in self.known.iter_mut().enumerate() {
            // By how much a line moved that could not be read is unknown, and told already.
            *known = known.filter(|_| is_read).and_then(|k| {
                let amount = if line.opening { 0 } else { self.entries.amount(measure, line.row) };
                k.checked_add(amount)
            });
        }
        self.compare(line, &self.stated(line), false);
        self.chain.end.clone_from(&self.known);
    }

    /// Opening entries restate the balance before them, and it goes on from theirs.
    fn restate(&mut self, lines: &[&Line]) {
        let sum = |measure: usize| {
            let amounts = lines.iter().map(|line| self.entries.amount(measure, line.row));
            amounts.into_iter().try_fold(0_i128, i128::checked_add)
        };
        let has = |measure: &usize| !self.entries.stated[*measure].is_empty();
        let restated: Vec<Option<i128>> =
            (0..self.known.len()).map(|measure| Some(measure).filter(has).and_then(sum)).collect();
        self.compare(lines[0], &restated, true);
        if let Some(last) = lines.last() {
            self.compare(last, &self.stated(last), false);
        }
        self.chain.end.clone_from(&self.known);
    }

    /// Compares what is known with what is stated, which is known from then on.
    fn compare(&mut self, line: &Line, stated: &[Option<i128>], restates: bool) {
        if stated.iter().all(Option::is_none) {
            return;
        }
        self.chain.stated += 1;
        self.chain.last = line.row;
        let both = |measure: usize| stated[measure].or(self.known[measure]).unwrap_or_default();
        let found: Vec<i128> = (0..stated.len()).map(both).collect();
        let expected: Vec<i128> =
            self.known.iter().zip(&found).map(|(known, found)| known.unwrap_or(*found)).collect();
        for (known, stated) in self.known.iter_mut().zip(stated) {
            *known = stated.or(*known);
        }
        if expected != found {
            self.chain.steps.push(Step {
                line: Some(*line),
                number: self.chain.stated,
                expected,
                found,
                restates,
            });
        }
    }
}

/// Steps in findings: neighbours whose differences add up to nothing belong together.
fn folded(steps: &[Step]) -> Vec<&[Step]> {
    let (mut all, mut start) = (Vec::new(), 0);
    while start < steps.len() {
        let mut sums = vec![0_i128; steps[start].found.len()];
        let mut end = start + 1;
        for (at, step) in steps.iter().enumerate().skip(start) {
            if at > start && step.number != steps[at - 1].number + 1 {
                break;
            }
            sums.iter_mut().enumerate().for_each(|(m, sum)| *sum = sum.saturating_add(step.difference(m)));
            if sums.iter().all(|&sum| sum == 0) {
                end = at + 1;
                break;
            }
        }
        all.push(&steps[start..end]);
        start = end;
    }
    all
}

/// What is said of steps that are one finding.
fn words(steps: &[Step]) -> (Kind, String) {
    let (first, is_current) = (&steps[0], steps.last().is_some_and(|step| step.line.is_none()));
    let message = match (first.restates, steps.len(), is_current) {
        (_, 1, true) => {
            return (
                Kind::CurrentDiffers,
                "the balance stated after the last posting is not the current one: the balance was changed without a \
                 posting, or postings are missing at the end"
                    .to_owned(),
            );
        }
        (true, ..) => {
            "the opening entry is not the balance that is stated before it: a posting between them is missing or was \
             altered, or the entry was"
        }
        (false, 1, _) => {
            "the balance stated after this posting is not the one stated before it and its amount: a posting between \
             them is missing or was added, or one of the two balances or the amount was altered"
        }
        (false, 2, false) => {
            "the balance stated after this posting fits neither the one before nor the one after it, and those two fit \
             each other: it was altered"
        }
        (false, 2, true) => {
            "the balance stated after this posting fits neither the one before nor the current one, and those two fit \
             each other: it was altered"
        }
        (false, lines, _) => {
            let stated = lines - usize::from(is_current);
            return (
                Kind::ChainBreak,
                format!(
                    "the balances stated after {stated} postings, of which this is the first, do not follow from each \
                     other, and the one before them fits the one after: they stand in another order than they were \
                     posted in, or were altered"
                ),
            );
        }
    };
    (Kind::ChainBreak, message.to_owned())
}

impl Running {
    /// In which order the balances follow each other, and how many do.
    pub(super) fn in_words(&self) -> String {
        let (stated, order) = (self.stated, self.order.in_words());
        let follow = stated - self.broken;
        let falling = match (self.order.by, self.falling) {
            (By::Files, falling) if falling > 0 => format!(", though {falling} dates go back on the way"),
            _ => String::new(),
        };
        format!(
            "{follow} of {stated} balances stated after postings follow from those before, {order}{falling}"
        )
    }

    /// By how much the stated balances from a moment on, and the current one, leave what follows from them.
    pub(super) fn explains(&self, walk: &Walk<'_>, slot: usize, from: i64) -> Vec<Option<i128>> {
        let Some(chain) = self.chains.get(&slot) else { return vec![None; walk.measures()] };
        let counts = |step: &&Step| {
            step.line.is_none_or(|line| line.time > from || line.time == from && !step.restates)
        };
        let of = |measure: usize| {
            let steps = chain.steps.iter().filter(counts).map(|step| step.difference(measure));
            steps.chain([ending(chain, walk, slot, measure)?]).try_fold(0_i128, i128::checked_add)
        };
        (0..walk.measures()).map(of).collect()
    }

    /// Whether a measure's balances are stated for every key that is posted to.
    pub(super) fn states_all(&self, walk: &Walk<'_>, measure: usize) -> bool {
        let is_stated = |slot| self.chains.get(&slot).is_some_and(|chain| chain.end[measure].is_some());
        walk.base.unposted[measure].0 == 0 && (0..walk.entries.slots()).all(is_stated)
    }

    /// Tells what does not follow, and where the last stated balance is not the current one; the keys of the latter.
    pub(super) fn tell(&self, walk: &Walk<'_>, derived: &mut Derived) -> Vec<usize> {
        let (mut findings, mut differing) = (Findings::default(), Vec::new());
        for slot in 0..walk.entries.slots() {
            let Some(chain) = self.chains.get(&slot) else { continue };
            let mut steps = chain.steps.clone();
            steps.extend(current(chain, walk, slot));
            for steps in folded(&steps) {
                let touches = steps.last().is_some_and(|step| step.line.is_none());
                if touches {
                    differing.push(slot);
                }
                let row = steps.last().and_then(|step| step.line).map(|line| line.row);
                findings.push(PostingFinding { discrepancy: told(walk, slot, chain, steps), target: 0, row });
            }
        }
        derived.findings.extend(findings.finish());
        differing
    }

    /// The rows after which a balance is stated that does not follow, in no order.
    pub(super) fn broken(&self) -> impl Iterator<Item = u32> {
        self.chains.values().flat_map(|chain| chain.steps.iter().filter_map(|step| Some(step.line?.row)))
    }
}

/// The current balance less the last stated one; of postings behind the extract moment only the latter knows.
fn ending(chain: &Chain, walk: &Walk<'_>, slot: usize, measure: usize) -> Option<i128> {
    walk.base.balances[measure][slot]?;
    let behind = walk.behind.get(&slot).map_or(0, |amounts| amounts[measure]);
    walk.closing[measure][slot].checked_add(behind)?.checked_sub(chain.end[measure]?)
}

/// The current balance as a step, where it is not the last stated one.
fn current(chain: &Chain, walk: &Walk<'_>, slot: usize) -> Option<Step> {
    // A row that is missing is told as that by the ledger's last image, where it has one.
    if !walk.base.stands[slot] && walk.target.plan.ledger.postings.rows != Some(RowsExist::NonZero) {
        return None;
    }
    let found: Vec<i128> = (0..walk.measures()).map(|m| walk.closing[m][slot]).collect();
    let difference = |m: usize| ending(chain, walk, slot, m).unwrap_or_default();
    let expected = found.iter().enumerate().map(|(m, found)| found.saturating_sub(difference(m))).collect();
    let step = Step { line: None, number: chain.stated + 1, expected, found, restates: false };
    (step.expected != step.found).then_some(step)
}

fn told(walk: &Walk<'_>, slot: usize, chain: &Chain, steps: &[Step]) -> Discrepancy {
    let (kind, message) = words(steps);
    let mut discrepancy = Discrepancy::new(kind, "", message);
    if kind == Kind::CurrentDiffers && !walk.base.stands[slot] {
        let message = "a balance is stated after the last posting, and the current state does not have this key: the \
                       row was left out of the extract, or postings are missing at the end";
        discrepancy = Discrepancy::new(Kind::CurrentMissing, "", message);
    }
    discrepancy.key = walk.key_text(slot);
    let first = &steps[0];
    let mut at = place(walk.raw(), first.line.map_or(chain.last, |line| line.row));
    if let Some(line) = first.line {
        at.transaction = walk.transaction(&line).map(str::to_owned);
        at.committed_at = instant(if line.committed == NO_TIME { line.effective } else { line.committed });
    }
    discrepancy.ledger = Some(at);
    discrepancy.touches_snapshot = steps.last().is_some_and(|step| step.line.is_none());
    for measure in (0..walk.measures()).filter(|&m| first.difference(m) != 0) {
        let name = walk.measure_name(measure).to_owned();
        discrepancy.amounts.push((name.clone(), walk.text(measure, first.difference(measure))));
        discrepancy.cells.push(CellDifference {
            column: name,
            expected: Some(walk.text(measure, first.expected[measure])),
            found: Some(walk.text(measure, first.found[measure])),
        });
    }
    discrepancy
}
