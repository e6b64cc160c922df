//! What proves a ledger of postings, and what speaks against it.
//!
//! Balances are derived from the current state, so they agree with it whatever is missing.
//! Independent witnesses are: that nothing was on a key at birth, what opening entries
//! restate, that the postings of a transaction balance, balances stated after postings
//! (`running`), and that a posting has one content.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::super::raw::Raw;
use super::findings::{Findings, PostingFinding, instant, place};
use super::images::{Changes, Derived, Equation, Walk, exact_text};
use super::layout::{Amounts, Layout};
use super::number;
use super::read::{Read, too_long};
use super::running::Running;
use super::{Line, NONE, PostingLedger, PostingTarget};
use crate::error::{Error, Result};
use crate::model::{CellDifference, Discrepancy, DiscrepancyKind as Kind, NO_TIME};
use crate::plan::{Bound, RowsExist};

/// Amounts of two currencies on one key add up to nothing that means anything.
pub(super) fn refuse_mixed_units(read: &Read, targets: &[PostingTarget<'_>]) -> Result<()> {
    for (entries, target) in read.entries.iter().zip(targets) {
        let mut units = vec![NONE; entries.slots()];
        for line in read.lines.iter().filter(|line| line.currency != NONE) {
            let Some(slot) = entries.slot(line.row) else { continue };
            if units[slot] == NONE {
                units[slot] = line.currency;
            }
            if units[slot] != line.currency {
                let text = |number| read.currencies.text(number).unwrap_or_default();
                let (a, b) = (text(units[slot]), text(line.currency));
                return Err(Error::Refused {
                    dataset: target.plan.name.clone(),
                    reason: format!(
                        "postings of one key are in {a:?} and in {b:?}, which cannot be added up"
                    ),
                    hint: Some(
                        "make the currency a part of the key, or post amounts of one currency".to_owned(),
                    ),
                });
            }
        }
    }
    Ok(())
}

/// Drops postings that were delivered before. Those without an identity are told, never dropped.
pub(super) fn drop_repeats(raw: &Raw, read: &mut Read, findings: &mut Findings) {
    let mut known: HashMap<u128, Line> = HashMap::new();
    let mut dropped: HashSet<u32> = HashSet::new();
    for line in read.lines.iter().filter(|_| !read.ids.is_empty()) {
        let Some(id) = read.ids[line.row as usize] else { continue };
        let Some(first) = known.get(&id) else {
            known.insert(id, *line);
            continue;
        };
        dropped.insert(line.row);
        let at = place(raw, first.row).record;
        let (kind, message) = match is_same(read, first, line) {
            true => (Kind::DuplicateChange, format!("the posting of record {at} again: it counts once")),
            false => (
                Kind::ConflictingDuplicate,
                format!("the posting of record {at} with another content: the first one counts"),
            ),
        };
        let mut discrepancy = Discrepancy::new(kind, "", message);
        discrepancy.ledger = Some(place(raw, line.row));
        let row = (kind == Kind::ConflictingDuplicate).then_some(first.row);
        findings.push(PostingFinding { discrepancy, target: 0, row });
    }
    if read.ids.is_empty() {
        note_equals(raw, read, findings);
    }
    read.lines.retain(|line| !dropped.contains(&line.row));
}

/// Whether two postings say the same.
fn is_same(read: &Read, a: &Line, b: &Line) -> bool {
    let moves = |line: &Line| {
        let of = |e: &super::Entries| {
            let amounts = (0..e.scales.len()).map(|m| e.amount(m, line.row)).collect::<Vec<_>>();
            (e.slot(line.row), amounts)
        };
        read.entries.iter().map(of).collect::<Vec<_>>()
    };
    let marks = |l: &Line| (l.transaction, l.currency, l.effective, l.committed, l.opening);
    marks(a) == marks(b) && moves(a) == moves(b)
}

/// Postings that equal another one of their transaction in everything that is read.
fn note_equals(raw: &Raw, read: &Read, findings: &mut Findings) {
    let mut by_marks: HashMap<(u32, i64, i64), Vec<&Line>> = HashMap::new();
    let (mut count, mut first) = (0, None);
    for line in read.lines.iter().filter(|line| line.transaction != NONE) {
        let others = by_marks.entry((line.transaction, line.effective, line.committed)).or_default();
        if others.iter().any(|other| is_same(read, other, line)) {
            count += 1;
            first.get_or_insert(line.row);
        }
        others.push(line);
    }
    let Some(first) = first else { return };
    let message = format!(
        "{count} postings equal another one of their transaction, this is the first: without an identity of postings \
         (ledger.columns.id) all of them count"
    );
    let mut discrepancy = Discrepancy::new(Kind::DuplicateChange, "", message);
    discrepancy.count = count;
    discrepancy.ledger = Some(place(raw, first));
    findings.push(PostingFinding { discrepancy, target: 0, row: None });
}

/// Under a second clock, postings without the time of their entry count as not known yet.
pub(super) fn note_unknown_entry(raw: &Raw, read: &Read, known_at: Option<&Bound>, findings: &mut Findings) {
    let mut unknown =
        read.lines.iter().filter(|line| known_at.is_some() && !line.opening && line.committed == NO_TIME);
    let Some(first) = unknown.next() else { return };
    let count = 1 + unknown.count() as u64;
    let message = format!(
        "{count} postings do not say when they were entered, this is the first: they count as not known yet"
    );
    let mut discrepancy = Discrepancy::new(Kind::AmbiguousCut, "", message);
    discrepancy.count = count;
    discrepancy.touches_snapshot = true;
    discrepancy.ledger = Some(place(raw, first.row));
    findings.push(PostingFinding { discrepancy, target: 0, row: None });
}

/// The postings of one transaction.
struct Group {
    first: Line,
    count: u64,
    sums: Vec<Option<i128>>,
    /// Their currency; `None` if there are several.
    currency: Option<u32>,
}

/// Transactions whose debits are not their credits. One in several currencies balances at rates
/// that its postings do not say, and one of which a posting was set aside is told already.
pub(super) fn unbalanced(
    raw: &Raw,
    layout: &Layout,
    read: &Read,
    targets: &[PostingTarget<'_>],
    findings: &mut Findings,
) {
    let declared = targets[0].plan.ledger.postings.balanced == Some(true);
    let amounts = &layout.targets[0].amounts;
    let any_sides = amounts.iter().any(|(_, a)| !matches!(a, Amounts::Signed(_)));
    // Beside debits and credits there may be amounts that need not balance, such as quantities.
    let balances = |a: &Amounts| declared || !any_sides || !matches!(a, Amounts::Signed(_));
    let measures: Vec<usize> = (0..amounts.len()).filter(|&m| balances(&amounts[m].1)).collect();
    let entries = &read.entries[0];
    let mut groups: HashMap<(u32, i64), Group> = HashMap::new();
    for line in read.lines.iter().filter(|l| l.transaction != NONE && !read.spoiled.contains(&l.transaction))
    {
        let at = if layout.committed.is_some() { line.committed } else { line.effective };
        let group = groups.entry((line.transaction, at)).or_insert_with(|| Group {
            first: *line,
            count: 0,
            sums: vec![Some(0); measures.len()],
            currency: Some(line.currency),
        });
        group.count += 1;
        group.currency = group.currency.filter(|&c| c == line.currency);
        for (sum, &measure) in group.sums.iter_mut().zip(&measures) {
            *sum = sum.and_then(|sum| sum.checked_add(entries.amount(measure, line.row)));
        }
    }
    let mut wrong: Vec<Group> = groups
        .into_values()
        .filter(|g| g.currency.is_some() && g.sums.iter().any(|&sum| sum != Some(0)))
        .collect();
    wrong.sort_by_key(|g| g.first.row);
    for group in wrong {
        let mut discrepancy = Discrepancy::new(Kind::UnbalancedTransaction, "", String::new());
        for (sum, &measure) in group.sums.iter().zip(&measures).filter(|(sum, _)| **sum != Some(0)) {
            let text = sum.map_or_else(|| "overflow".to_owned(), |s| exact_text(s, entries.scales[measure]));
            let name = targets[0].schema.name(amounts[measure].0);
            discrepancy.amounts.push((name.to_owned(), text));
        }
        let transaction = read.transactions.text(group.first.transaction).unwrap_or_default();
        let difference: Vec<&str> = discrepancy.amounts.iter().map(|(_, text)| text.as_str()).collect();
        discrepancy.message = format!(
            "the {} postings of transaction {transaction:?} leave {}: one is missing or was altered, or the \
             transaction goes on in another ledger",
            group.count,
            difference.join(", ")
        );
        let mut at = place(raw, group.first.row);
        at.transaction = Some(transaction.to_owned());
        at.committed_at = instant(group.first.time);
        discrepancy.ledger = Some(at);
        findings.push(PostingFinding { discrepancy, target: 0, row: Some(group.first.row) });
    }
}

/// What postings restate on one key at one time.
struct Restated {
    slot: usize,
    time: i64,
    row: u32,
    sums: Vec<i128>,
    /// What the current state and all later postings leave there.
    found: Vec<i128>,
}

/// Compares what was on each key before its postings with what is stated of it.
pub(super) fn openings(walk: &Walk<'_>, changes: &Changes, derived: &mut Derived) -> Result<()> {
    let restated = restated(walk)?;
    let running = walk.ledger.running[walk.number()].as_ref();
    let mut differing: BTreeSet<usize> = BTreeSet::new();
    if let Some(running) = running {
        differing.extend(running.tell(walk, derived));
        derived.broken = broken(walk, changes, running);
    }
    // What the stated balances show more closely is told there.
    let is_explained = |slot: usize, from: i64, difference: &dyn Fn(usize) -> i128| {
        let explained = running.map(|running| running.explains(walk, slot, from));
        let is = |m: usize, e: &Option<i128>| difference(m) == 0 || *e == Some(difference(m));
        explained.is_some_and(|all| all.iter().enumerate().all(|(m, e)| is(m, e)))
    };
    for one in restated.iter().filter(|r| r.sums != r.found) {
        if is_explained(one.slot, one.time, &|m| one.found[m].saturating_sub(one.sums[m])) {
            continue;
        }
        differing.insert(one.slot);
        let finding =
            difference(walk, one.slot, Kind::OpeningDiffers, (&one.sums, &one.found), Some(one.row));
        derived.findings.push(finding);
    }
    let begins = begins_restated(walk, &restated);
    derived.begins_restated = begins;
    let from_birth = walk.target.plan.ledger.from_birth;
    let stated: HashSet<usize> = restated.iter().map(|r| r.slot).collect();
    for slot in (0..walk.entries.slots()).filter(|slot| from_birth || begins && !stated.contains(slot)) {
        let implied: Vec<i128> = walk.opening.iter().map(|o| o[slot]).collect();
        let is_known = walk.base.balances.iter().all(|b| b[slot].is_some());
        let is_zero = implied.iter().all(|&i| i == 0);
        // A row that is missing is told as that by the ledger's last image, where it has one.
        let told =
            !walk.base.stands[slot] && walk.target.plan.ledger.postings.rows != Some(RowsExist::NonZero);
        if is_zero || !is_known || told || from_birth && stated.contains(&slot) {
            continue;
        }
        if is_explained(slot, i64::MIN, &|m| implied[m]) {
            continue;
        }
        differing.insert(slot);
        let closing: Vec<i128> = walk.closing.iter().map(|c| c[slot]).collect();
        let summed: Vec<i128> = closing.iter().zip(&implied).map(|(c, i)| c - i).collect();
        derived.findings.push(match (from_birth, walk.base.stands[slot]) {
            (true, true) => difference(walk, slot, Kind::CurrentDiffers, (&summed, &closing), None),
            (true, false) => difference(walk, slot, Kind::CurrentMissing, (&summed, &closing), None),
            (false, _) => {
                let nothing = vec![0; implied.len()];
                difference(walk, slot, Kind::OpeningDiffers, (&nothing, &implied), None)
            }
        });
    }
    let contradicted = |at: &usize| changes.own[*at] && differing.contains(&walk.slot(*at));
    derived.contradicted = (0..walk.own.len()).filter(contradicted).map(|at| changes.numbers[at]).collect();
    equations(walk, from_birth || begins || walk.target.plan.opening.is_some(), derived)
}

/// The changes after which a balance is stated that does not follow. Of a row that is none, the next one of its key,
/// as moments between two changes are not told apart.
fn broken(walk: &Walk<'_>, changes: &Changes, running: &Running) -> Vec<u32> {
    let rows: HashSet<u32> = running.broken().collect();
    let mut next: HashMap<usize, u32> = HashMap::new();
    let mut broken = Vec::new();
    for at in (0..walk.own.len()).rev() {
        if changes.own[at] {
            next.insert(walk.slot(at), changes.numbers[at]);
        }
        if rows.contains(&walk.line(at).row) {
            broken.extend(next.get(&walk.slot(at)));
        }
    }
    broken
}

/// What opening entries restate, in order.
fn restated(walk: &Walk<'_>) -> Result<Vec<Restated>> {
    let mut all: Vec<Restated> = Vec::new();
    // What is restated includes what was not known yet then.
    if walk.target.plan.ledger.postings.known_at.is_some() {
        return Ok(all);
    }
    let mut known: HashMap<(usize, i64), usize> = HashMap::new();
    for at in (0..walk.own.len()).filter(|&at| walk.line(at).opening) {
        let (line, slot) = (walk.line(at), walk.slot(at));
        let number = *known.entry((slot, line.time)).or_insert_with(|| {
            let found = walk.after.iter().map(|after| after[at]).collect();
            all.push(Restated {
                slot,
                time: line.time,
                row: line.row,
                sums: vec![0; walk.measures()],
                found,
            });
            all.len() - 1
        });
        for (measure, sum) in all[number].sums.iter_mut().enumerate() {
            let amount = walk.entries.amount(measure, line.row);
            *sum = sum.checked_add(amount).ok_or(too_long(walk.entries.scales[measure]))?;
        }
    }
    Ok(all)
}

/// Whether the ledger begins with opening entries, so that a key without one had nothing on it.
fn begins_restated(walk: &Walk<'_>, restated: &[Restated]) -> bool {
    let first = (0..walk.own.len()).find(|&at| !walk.line(at).opening).map(|at| walk.line(at).time);
    restated.first().is_some_and(|r| first.is_none_or(|movement| r.time <= movement))
}

fn difference(
    walk: &Walk<'_>,
    slot: usize,
    kind: Kind,
    (expected, found): (&[i128], &[i128]),
    row: Option<u32>,
) -> PostingFinding {
    let message = match (kind, row) {
        (Kind::CurrentDiffers, _) => {
            "all postings since birth do not come to the current balance: one is missing, was altered or counts \
             twice, or the balance was changed without one"
        }
        (Kind::CurrentMissing, _) => {
            "all postings since birth leave something on this key, and the current state does not have it: a posting \
             is missing or was altered, or the row was left out of the extract"
        }
        (_, Some(_)) => {
            "the opening entry is not what the current balance less all later postings leaves: a posting is missing, \
             was altered or counts twice, or one of the two balances was changed without one"
        }
        (_, None) => {
            "the ledger begins with opening entries and has none for this key, though the current balance less all \
             postings leaves something on it: an entry or a posting is missing or was altered"
        }
    };
    let mut discrepancy = Discrepancy::new(kind, "", message);
    discrepancy.key = walk.key_text(slot);
    discrepancy.touches_snapshot = true;
    discrepancy.ledger = row.map(|row| place(&walk.ledger.raw, row));
    for (measure, (&expected, &found)) in expected.iter().zip(found).enumerate().filter(|(_, (e, f))| e != f)
    {
        let name = walk.measure_name(measure).to_owned();
        discrepancy.cells.push(CellDifference {
            column: name.clone(),
            expected: Some(walk.text(measure, expected)),
            found: Some(walk.text(measure, found)),
        });
        discrepancy.amounts.push((name, walk.text(measure, found - expected)));
    }
    PostingFinding { discrepancy, target: 0, row: None }
}

/// Opening + movement = closing, by measure.
fn equations(walk: &Walk<'_>, is_proven: bool, derived: &mut Derived) -> Result<()> {
    let running = walk.ledger.running[walk.number()].as_ref();
    for measure in 0..walk.measures() {
        let scale = walk.entries.scales[measure];
        let unposted = walk.base.unposted[measure];
        let scale_of_all = scale.max(unposted.1);
        let sum = |values: &[i128]| -> Option<i128> {
            let posted = values.iter().try_fold(0_i128, |sum, &value| sum.checked_add(value))?;
            let unposted = number::rescaled(unposted, scale_of_all)?;
            number::rescaled((posted, scale), scale_of_all)?.checked_add(unposted)
        };
        let (opening, closing) = (sum(&walk.opening[measure]), sum(&walk.closing[measure]));
        let (opening, closing) = opening.zip(closing).ok_or(too_long(scale))?;
        let movement = closing.checked_sub(opening).ok_or(too_long(scale))?;
        derived.equations.push(Equation {
            measure: walk.measure_name(measure).to_owned(),
            opening: exact_text(opening, scale_of_all),
            movement: exact_text(movement, scale_of_all),
            closing: exact_text(closing, scale_of_all),
            is_proven: is_proven || running.is_some_and(|running| running.states_all(walk, measure)),
        });
    }
    Ok(())
}

/// Postings that count at a moment and were entered behind it, as one finding.
pub(super) fn late(ledger: &PostingLedger, target: usize, bound: &Bound) -> Option<PostingFinding> {
    let entries = &ledger.entries[target];
    let is_late = |line: &&Line| {
        line.committed != NO_TIME
            && !line.opening
            && bound.includes(line.effective) == Some(true)
            && bound.includes(line.committed) == Some(false)
            && entries.slot(line.row).is_some()
    };
    let late: Vec<&Line> = ledger.lines.iter().filter(is_late).collect();
    let first = late.first()?;
    let mut discrepancy = Discrepancy::new(
        Kind::LatePosting,
        "",
        format!(
            "{} postings count by the as-of and were entered behind it, this is the first: --known-at shows the \
             figures without them",
            late.len()
        ),
    );
    discrepancy.count = late.len() as u64;
    discrepancy.touches_snapshot = true;
    let mut at = place(&ledger.raw, first.row);
    at.transaction = ledger.transactions.text(first.transaction).map(str::to_owned);
    at.committed_at = instant(first.committed);
    discrepancy.ledger = Some(at);
    Some(PostingFinding { discrepancy, target, row: None })
}
