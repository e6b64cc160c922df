//! The one total order of a source's changes, over all its datasets.
//!
//! Order is over transactions, by commit position (else by their last
//! position, else by where their last change stands in the stream), then by
//! position inside. A [rank](crate::model::rank::Ranks) is a change's place
//! in it. Most ledgers are delivered in order; then ranks are indices and
//! nothing is sorted or kept.
//!
//! A transaction id names one transaction per epoch, not for ever: under a
//! commit clock, an id that comes back with another commit time is another
//! transaction. Under other clocks times inside a transaction differ, so there
//! an id is one transaction.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use rayon::prelude::*;

use crate::model::rank::{DROPPED, Ranks};
use crate::model::{ChangeBatch, NO_TIME, Op};

/// One transaction in commit order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transaction {
    /// Rank of its first change.
    pub first: u32,
    /// Its commit time in nanoseconds: that of its last change, or [`NO_TIME`].
    pub time: i64,
    /// The earliest time any of its changes bears.
    pub earliest: i64,
    /// Hash of its id; 0 if the ledger records none.
    pub id: u64,
    /// Its commit position, else its last position; 0 if there is neither.
    pub position: u128,
}

/// How a ledger's own marks are to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderRules {
    /// Whether the recorded time is that of the commit, so that it is one per transaction.
    pub commit_clock: bool,
    /// What a repeated position means.
    pub identity: Identity,
}

/// What makes a change the same change when it is delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The position alone: the source never gives it to two changes.
    Position,
    /// The position with op and key: one record of the source can be several changes.
    PositionOpKey,
    /// Nothing: repeats are reported, never dropped.
    None,
}

/// A change whose position was seen before: a redelivery, or a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat {
    /// The dataset's number within the source.
    pub dataset: u16,
    /// Index of the change that stands.
    pub first: u32,
    /// Index of the one that repeats its position.
    pub again: u32,
}

/// The order of one source.
#[derive(Debug, Clone, Default)]
pub struct Order {
    /// Per dataset, the rank of each change.
    pub ranks: Vec<Option<Vec<u32>>>,
    /// All transactions, in order.
    pub transactions: Vec<Transaction>,
    /// Positions that occur more than once; not yet dropped.
    pub repeats: Vec<Repeat>,
    /// One past the last rank.
    pub len: u32,
}

impl Order {
    /// The ranks of one dataset.
    pub fn ranks(&self, dataset: usize) -> Ranks {
        self.ranks.get(dataset).cloned().flatten().map_or(Ranks::AsRead, Ranks::Table)
    }

    /// The rank of one change of a dataset.
    pub fn rank(&self, dataset: usize, index: u32) -> u32 {
        match self.ranks.get(dataset) {
            Some(Some(table)) => table[index as usize],
            _ => index,
        }
    }

    /// The lowest index of a dataset's change at or behind a rank, if the order says so.
    pub fn first_index_from(&self, dataset: usize, rank: u32) -> Option<u32> {
        match self.ranks.get(dataset) {
            Some(Some(table)) => table.iter().position(|&r| r >= rank && r != DROPPED).map(|i| i as u32),
            _ => Some(rank),
        }
    }

    /// Takes a redelivered change out of the order.
    pub fn drop_change(&mut self, dataset: u16, index: u32) {
        if let Some(Some(ranks)) = self.ranks.get_mut(usize::from(dataset)) {
            ranks[index as usize] = DROPPED;
        }
    }

    /// The transaction that a rank belongs to.
    pub fn transaction_of(&self, rank: u32) -> Option<&Transaction> {
        self.transactions.partition_point(|t| t.first <= rank).checked_sub(1).map(|t| &self.transactions[t])
    }

    /// The rank at which the transaction with this number starts; past the last, the end.
    pub fn first_rank(&self, transaction: usize) -> u32 {
        self.transactions.get(transaction).map_or(self.len, |t| t.first)
    }

    /// The rank of each transaction's first change.
    pub fn firsts(&self) -> Vec<u32> {
        self.transactions.par_iter().map(|t| t.first).collect()
    }

    /// How often the commit time goes backwards, and the number of the first transaction at which it does.
    pub fn regressions(&self) -> (u64, Option<usize>) {
        let parts = || self.transactions.par_chunks(PART);
        let latest_of = |part: &[Transaction]| part.iter().map(|t| t.time).fold(NO_TIME, i64::max);
        let latest: Vec<i64> = parts().map(latest_of).collect();
        let before = latest.iter().scan(NO_TIME, |all, &own| Some(std::mem::replace(all, own.max(*all))));
        let before: Vec<i64> = before.collect();
        let found: Vec<(u64, Option<usize>)> =
            parts().zip(before).map(|(part, before)| regressions_of(part, before)).collect();
        let first = (0..).zip(&found).find_map(|(number, of)| Some(number * PART + of.1?));
        (found.iter().map(|of| of.0).sum(), first)
    }
}

/// Transactions that are gone through by one thread.
const PART: usize = 1 << 14;

/// Regressions of some transactions, the latest time before which is this; the first by its place among them.
fn regressions_of(transactions: &[Transaction], mut latest: i64) -> (u64, Option<usize>) {
    let (mut count, mut first) = (0, None);
    for (number, transaction) in transactions.iter().enumerate() {
        if transaction.time != NO_TIME && transaction.time < latest {
            count += 1;
            first = first.or(Some(number));
        }
        latest = latest.max(transaction.time);
    }
    (count, first)
}

/// What the order of one change depends on.
#[derive(Debug, Clone, Copy)]
struct Mark {
    stream: u64,
    dataset: u16,
    is_read: bool,
    index: u32,
    transaction: u64,
    time: i64,
    commit: u128,
    position: u128,
}

/// Takes the changes of a source in stream order and finds their [`Order`].
#[derive(Debug)]
pub struct OrderBuilder {
    rules: OrderRules,
    datasets: usize,
    counts: Vec<u32>,
    has_transactions: bool,
    has_commits: bool,
    has_positions: bool,
    /// Every mark, once the source is known to need sorting (or has several datasets).
    marks: Option<Vec<Mark>>,
    first: Option<Mark>,
    last: Option<Mark>,
    /// Whether every transaction id so far is greater than the one before.
    ids_rise: bool,
    highest: u64,
    seen: HashMap<u64, (), BuildHasherDefault<Identical>>,
    transactions: Vec<Transaction>,
}

/// Spreads integer ids over the table.
fn mixed(id: u64) -> u64 {
    id.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
}

/// The ids are mixed already.
#[derive(Debug, Default)]
struct Identical(u64);

impl Hasher for Identical {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        debug_assert!(false, "only u64 keys are hashed here");
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// The source is not delivered in order: build again with [`OrderBuilder::sorting`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotInOrder;

impl OrderBuilder {
    /// A builder that keeps no marks and gives up when the source is out of order.
    pub fn in_order(rules: OrderRules) -> Self {
        Self::new(rules, 1, None)
    }

    /// Goes past changes that are known to be in order: `transactions` stands for them.
    pub fn skip(&mut self, changes: u32, transactions: Vec<Transaction>) {
        debug_assert!(
            self.transactions.is_empty() && self.marks.is_none(),
            "only the first changes are skipped"
        );
        self.counts[0] += changes;
        self.transactions = transactions;
    }

    /// A builder that sorts.
    pub fn sorting(rules: OrderRules, datasets: usize) -> Self {
        Self::new(rules, datasets, Some(Vec::new()))
    }

    fn new(rules: OrderRules, datasets: usize, marks: Option<Vec<Mark>>) -> Self {
        Self {
            rules,
            datasets,
            counts: vec![0; datasets],
            has_transactions: false,
            has_commits: false,
            has_positions: false,
            marks,
            first: None,
            last: None,
            ids_rise: true,
            highest: 0,
            seen: HashMap::default(),
            transactions: Vec::new(),
        }
    }

    /// Adds the next batch of a dataset. `transactions` holds hashes of the ids.
    ///
    /// # Errors
    /// [`NotInOrder`] if this builder does not sort and the batch needs it.
    pub fn push(
        &mut self,
        dataset: usize,
        batch: &ChangeBatch,
        transactions: Option<&[u64]>,
    ) -> Result<(), NotInOrder> {
        self.has_transactions |= transactions.is_some();
        self.has_commits |= batch.commit_position.is_some();
        self.has_positions |= batch.position.is_some();
        for row in 0..batch.len() {
            let mark = Mark {
                stream: batch.stream[row],
                dataset: dataset as u16,
                is_read: batch.ops[row] == Op::Read as u8,
                index: self.counts[dataset],
                transaction: transactions.map_or(0, |t| t[row]),
                time: batch.committed_at[row],
                commit: batch.commit_position.as_ref().map_or(0, |p| p[row]),
                position: batch.position.as_ref().map_or(0, |p| p[row]),
            };
            self.counts[dataset] += 1;
            match &mut self.marks {
                Some(marks) => marks.push(mark),
                None => self.follow(mark)?,
            }
        }
        Ok(())
    }

    fn follow(&mut self, mark: Mark) -> Result<(), NotInOrder> {
        let Some(last) = self.last.replace(mark) else {
            self.first = Some(mark);
            self.highest = mark.transaction;
            self.open(opened(&mark, mark.index));
            return Ok(());
        };
        if !self.may_follow(&last, &mark) {
            return Err(NotInOrder);
        }
        if self.same_transaction(&last, &mark) {
            if let Some(open) = self.transactions.last_mut() {
                extend(open, &mark);
            }
            return Ok(());
        }
        if self.was_seen(mark.transaction) {
            return Err(NotInOrder);
        }
        self.open(opened(&mark, mark.index));
        Ok(())
    }

    /// Adds the changes that another builder in order has taken, all of which stand behind those taken here.
    ///
    /// # Errors
    /// [`NotInOrder`] if they do not go on in order.
    pub fn join(&mut self, next: Self) -> Result<(), NotInOrder> {
        debug_assert!(self.marks.is_none() && next.marks.is_none(), "builders that sort take every batch");
        let (Some(first), Some(last)) = (next.first, next.last) else { return Ok(()) };
        self.has_transactions |= next.has_transactions;
        self.has_commits |= next.has_commits;
        self.has_positions |= next.has_positions;
        let shift = self.counts[0];
        self.counts[0] += next.counts[0];
        let moved = |t: &Transaction| Transaction { first: t.first + shift, ..*t };
        let Some(before) = self.last.replace(last) else {
            self.transactions.extend(next.transactions.iter().map(moved));
            (self.first, self.highest) = (next.first, next.highest);
            (self.ids_rise, self.seen) = (next.ids_rise, next.seen);
            return Ok(());
        };
        if !self.may_follow(&before, &first) {
            return Err(NotInOrder);
        }
        let goes_on = self.same_transaction(&before, &first);
        if let (true, Some(open)) = (goes_on, self.transactions.last_mut()) {
            widen(open, &next.transactions[0], first.commit == 0);
        }
        let new = &next.transactions[usize::from(goes_on)..];
        let ids_rise = self.ids_rise && next.ids_rise && new.first().is_none_or(|t| t.id > self.highest);
        if ids_rise {
            self.highest = self.highest.max(next.highest);
            self.transactions.extend(new.iter().map(moved));
            return Ok(());
        }
        for transaction in new {
            if self.was_seen(transaction.id) {
                return Err(NotInOrder);
            }
            self.open(moved(transaction));
        }
        Ok(())
    }

    /// Whether a change may stand behind another by their positions.
    fn may_follow(&self, last: &Mark, mark: &Mark) -> bool {
        if !self.has_positions && !self.has_commits {
            return true;
        }
        let rising = (last.commit, last.position) < (mark.commit, mark.position);
        let unplaced = !self.has_positions && last.commit <= mark.commit;
        rising || unplaced
    }

    /// Whether a transaction id comes back. Ids that only ever rise need not be remembered.
    fn was_seen(&mut self, id: u64) -> bool {
        if !self.has_transactions || self.has_commits || id == 0 {
            return false;
        }
        let rises = self.highest < id;
        self.highest = self.highest.max(id);
        if self.ids_rise && rises {
            return false;
        }
        if self.ids_rise {
            self.ids_rise = false;
            self.seen = self.transactions.iter().map(|t| (mixed(t.id), ())).collect();
        }
        self.seen.contains_key(&mixed(id))
    }

    fn open(&mut self, transaction: Transaction) {
        if self.has_transactions && !self.has_commits && !self.ids_rise {
            self.seen.insert(mixed(transaction.id), ());
        }
        self.transactions.push(transaction);
    }

    fn same_transaction(&self, last: &Mark, mark: &Mark) -> bool {
        if self.has_transactions {
            // 0: the record names no transaction, so it is one of its own.
            mark.transaction != 0 && last.transaction == mark.transaction
        } else {
            self.has_commits && last.commit == mark.commit
        }
    }

    /// The order of all changes.
    pub fn finish(mut self) -> Order {
        match self.marks.take() {
            None => {
                let len = self.counts[0];
                Order { ranks: vec![None], transactions: self.transactions, repeats: Vec::new(), len }
            }
            Some(marks) => self.sort(marks),
        }
    }

    fn sort(&self, mut marks: Vec<Mark>) -> Order {
        marks.sort_by_key(|m| m.stream);
        let (groups, keys) = self.groups(&marks);
        let mut order: Vec<u32> = (0..marks.len() as u32).collect();
        order.sort_by_key(|&i| {
            let (mark, group) = (&marks[i as usize], groups[i as usize]);
            (keys[group as usize], group, mark.position, mark.stream)
        });
        let mut ranks: Vec<Option<Vec<u32>>> =
            self.counts.iter().map(|&count| Some(vec![DROPPED; count as usize])).collect();
        let (mut transactions, mut repeats) = (Vec::<Transaction>::new(), Vec::new());
        for (rank, &at) in order.iter().enumerate() {
            let mark = &marks[at as usize];
            if let Some(Some(table)) = ranks.get_mut(usize::from(mark.dataset)) {
                table[mark.index as usize] = rank as u32;
            }
            let previous = rank.checked_sub(1).map(|r| order[r] as usize);
            match (previous, transactions.last_mut()) {
                (Some(last), Some(open)) if groups[last] == groups[at as usize] => extend(open, mark),
                _ => transactions.push(opened(mark, rank as u32)),
            }
            self.note_repeats(&marks, &order[..rank], mark, &mut repeats);
        }
        Order { ranks, transactions, repeats, len: marks.len() as u32 }
    }

    /// Compares a mark with those of equal position just before it in the order. All initial reads
    /// of one moment may share a position: it says when they are true, and identifies none of them.
    fn note_repeats(&self, marks: &[Mark], earlier: &[u32], mark: &Mark, repeats: &mut Vec<Repeat>) {
        if self.rules.identity == Identity::None || !self.has_positions || mark.is_read {
            return;
        }
        let equal = |m: &&Mark| (m.commit, m.position) == (mark.commit, mark.position);
        for other in earlier.iter().rev().map(|&i| &marks[i as usize]).take_while(equal) {
            if other.dataset == mark.dataset && !other.is_read {
                repeats.push(Repeat { dataset: mark.dataset, first: other.index, again: mark.index });
            }
        }
    }

    /// The transaction of each mark, and by what each transaction is ordered.
    fn groups(&self, marks: &[Mark]) -> (Vec<u32>, Vec<(u128, u64)>) {
        let mut open: HashMap<(u64, u128), u32> = HashMap::new();
        let mut times: Vec<i64> = Vec::new();
        let mut keys: Vec<(u128, u64)> = Vec::new();
        let mut groups: Vec<u32> = Vec::with_capacity(marks.len());
        for mark in marks {
            let id = (mark.transaction, if self.has_transactions { 0 } else { mark.commit });
            let named = if self.has_transactions { mark.transaction != 0 } else { self.has_commits };
            let known = open.get(&id).copied().filter(|&group| {
                let contiguous = groups.last() == Some(&group);
                let same_time = times[group as usize] == mark.time;
                named && (contiguous || same_time || !self.rules.commit_clock)
            });
            let group = known.unwrap_or_else(|| {
                keys.push((0, 0));
                times.push(mark.time);
                (keys.len() - 1) as u32
            });
            open.insert(id, group);
            let place = if self.has_commits { mark.commit } else { mark.position };
            let key = &mut keys[group as usize];
            *key = (key.0.max(place), key.1.max(mark.stream));
            groups.push(group);
        }
        (groups, keys)
    }

    /// How many datasets the source has.
    pub fn datasets(&self) -> usize {
        self.datasets
    }
}

fn opened(mark: &Mark, rank: u32) -> Transaction {
    Transaction {
        first: rank,
        time: mark.time,
        earliest: mark.time,
        id: mark.transaction,
        position: if mark.commit > 0 { mark.commit } else { mark.position },
    }
}

fn extend(open: &mut Transaction, mark: &Mark) {
    if mark.time != NO_TIME {
        open.earliest = if open.earliest == NO_TIME { mark.time } else { open.earliest.min(mark.time) };
        open.time = open.time.max(mark.time);
    }
    if mark.commit == 0 {
        open.position = open.position.max(mark.position);
    }
}

/// Adds to a transaction the rest of it, which stands behind.
fn widen(open: &mut Transaction, rest: &Transaction, is_placed_by_changes: bool) {
    if rest.earliest != NO_TIME {
        let both = open.earliest != NO_TIME;
        open.earliest = if both { open.earliest.min(rest.earliest) } else { rest.earliest };
    }
    open.time = open.time.max(rest.time);
    if is_placed_by_changes {
        open.position = open.position.max(rest.position);
    }
}

/// Where a cut by time falls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cut {
    /// Number of the first transaction that is undone.
    pub transaction: usize,
    /// Transactions on the wrong side of the clock.
    pub ambiguous: Vec<usize>,
}

/// The cut at a moment: transactions for which `in_force` holds come before it.
///
/// Where times rise along the order it is the place behind the last transaction
/// in force; where they do not, the place with the fewest transactions on the
/// wrong side, the earliest of equals. A transaction without a time counts as
/// its predecessor; where that is the last one in force, it is ambiguous.
pub fn cut(transactions: &[Transaction], in_force: impl Fn(i64) -> bool + Sync) -> Cut {
    // Whether a transaction lies wholly on one side, and says so.
    let is_wholly = |t: &Transaction, side: bool| {
        t.time != NO_TIME
            && in_force(t.time) == side
            && (t.earliest == NO_TIME || in_force(t.earliest) == side)
    };
    let from = transactions.par_iter().position_first(|t| !is_wholly(t, true)).unwrap_or(transactions.len());
    let rest = &transactions[from..];
    let upto = rest.par_iter().position_last(|t| !is_wholly(t, false)).map_or(0, |last| last + 1);
    let between = least_wrong_cut(&rest[..upto], in_force);
    let ambiguous = between.ambiguous.into_iter().map(|number| from + number).collect();
    Cut { transaction: from + between.transaction, ambiguous }
}

/// The cut of transactions before which all are in force, and behind which none is.
fn least_wrong_cut(transactions: &[Transaction], in_force: impl Fn(i64) -> bool) -> Cut {
    let mut sides = Vec::with_capacity(transactions.len());
    let mut last = true;
    for transaction in transactions {
        last = if transaction.time == NO_TIME { last } else { in_force(transaction.time) };
        sides.push(last);
    }
    let mut wrong = sides.iter().filter(|&&side| side).count();
    let (mut best, mut at) = (wrong, 0);
    for (number, &side) in sides.iter().enumerate() {
        wrong = if side { wrong - 1 } else { wrong + 1 };
        if wrong < best {
            (best, at) = (wrong, number + 1);
        }
    }
    let behind = |number: &usize| sides[*number] != (*number < at);
    let mut ambiguous: Vec<usize> = (0..sides.len()).filter(behind).collect();
    // Nothing says on which side of the moment those without a time lie that stand just before the cut.
    ambiguous.extend((0..at).rev().take_while(|&number| transactions[number].time == NO_TIME));
    for (number, transaction) in transactions.iter().enumerate() {
        let spans =
            transaction.earliest != NO_TIME && in_force(transaction.earliest) != in_force(transaction.time);
        if spans {
            ambiguous.push(number);
        }
    }
    ambiguous.sort_unstable();
    ambiguous.dedup();
    Cut { transaction: at, ambiguous }
}

#[cfg(test)]
mod tests;
