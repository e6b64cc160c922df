//! A toy database that logs what happens to it: tables, transactions that
//! may be open at the same time, row locks, and a commit order of its own.
//!
//! Rows have an identity apart from their key, so that the forward history
//! never has to guess which row a change meant, however keys are swapped.
//! A row or key touched by an open transaction is locked for all others, as in
//! a real database; so the order of commits alone decides every state.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::value::{Row, TableDef, Value};
use crate::model::Op;

/// The standing rows of every table, by row identity, which rises with the time of insert.
pub type State = Vec<BTreeMap<u64, Arc<Row>>>;

/// One change as it happened.
#[derive(Debug, Clone)]
pub struct Change {
    /// Index of the table.
    pub table: usize,
    /// What happened; never an upsert or an initial read.
    pub op: Op,
    /// Identity of the row; 0 for a truncate.
    pub row: u64,
    /// The row before, unless it did not exist.
    pub before: Option<Arc<Row>>,
    /// The row after, unless it ceased to exist.
    pub after: Option<Arc<Row>>,
    /// Place in the order of execution over all transactions.
    pub position: u64,
}

/// A committed transaction.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// Its id, given when it began.
    pub id: u64,
    /// Who did it.
    pub actor: String,
    /// When it was committed, in nanoseconds since the epoch.
    pub committed_at: i64,
    /// Place of the commit in the order of execution.
    pub commit_position: u64,
    /// What it did, in order.
    pub changes: Vec<Change>,
}

/// What happened, from the first commit to the last, and what stood before.
#[derive(Debug, Clone)]
pub struct History {
    /// The tables.
    pub tables: Vec<TableDef>,
    /// The rows that stood before the first transaction.
    pub start: State,
    /// The transactions in the order of their commits.
    pub transactions: Vec<Transaction>,
}

impl History {
    /// The true state after the first `commits` transactions.
    pub fn state(&self, commits: usize) -> State {
        let mut state = self.start.clone();
        self.transactions.iter().take(commits).for_each(|t| apply(&mut state, t));
        state
    }

    /// The true state at the start and after every transaction: one more than there are transactions.
    pub fn states(&self) -> impl Iterator<Item = State> + '_ {
        let mut state = self.start.clone();
        std::iter::once(self.start.clone()).chain(self.transactions.iter().map(move |t| {
            apply(&mut state, t);
            state.clone()
        }))
    }

    /// The true state now.
    pub fn current(&self) -> State {
        self.state(self.transactions.len())
    }

    /// Every instant at which the table stood still after some commit, with the number of commits by then.
    /// Only meaningful where commit times never step back.
    pub fn boundaries(&self) -> Vec<(i64, usize)> {
        let times: Vec<i64> = self.transactions.iter().map(|t| t.committed_at).collect();
        let last_of_its_time = |&i: &usize| times.get(i + 1) != Some(&times[i]);
        (0..times.len()).filter(last_of_its_time).map(|i| (times[i], i + 1)).collect()
    }

    /// How many changes.
    pub fn changes(&self) -> usize {
        self.transactions.iter().map(|t| t.changes.len()).sum()
    }
}

fn apply(state: &mut State, transaction: &Transaction) {
    for change in &transaction.changes {
        let table = &mut state[change.table];
        match &change.after {
            _ if change.op == Op::Truncate => table.clear(),
            Some(after) => drop(table.insert(change.row, Arc::clone(after))),
            None => drop(table.remove(&change.row)),
        }
    }
}

/// A transaction under way.
#[derive(Debug)]
struct Open {
    actor: String,
    changes: Vec<Change>,
}

/// The toy database.
#[derive(Debug)]
pub struct Database {
    tables: Vec<TableDef>,
    start: State,
    /// What every transaction sees of its own changes and of committed ones; locks keep it to that.
    live: State,
    open: BTreeMap<u64, Open>,
    row_locks: BTreeMap<(usize, u64), u64>,
    key_locks: BTreeMap<(usize, Row), u64>,
    /// Tables truncated by a transaction that is still open.
    table_locks: BTreeMap<usize, u64>,
    keys: Vec<BTreeMap<Row, u32>>,
    transactions: Vec<Transaction>,
    position: u64,
    next_row: u64,
    next_id: u64,
}

impl Database {
    /// An empty database.
    pub fn new(tables: Vec<TableDef>) -> Self {
        let empty: State = vec![BTreeMap::new(); tables.len()];
        Self {
            keys: vec![BTreeMap::new(); tables.len()],
            tables,
            start: empty.clone(),
            live: empty,
            open: BTreeMap::new(),
            row_locks: BTreeMap::new(),
            key_locks: BTreeMap::new(),
            table_locks: BTreeMap::new(),
            transactions: Vec::new(),
            position: 0,
            next_row: 1,
            next_id: 501,
        }
    }

    /// Puts a row there that stood before the ledger began, and returns its identity.
    pub fn seed(&mut self, table: usize, row: Row) -> u64 {
        let id = self.new_row();
        let row = Arc::new(row);
        self.occupy(table, &row);
        self.start[table].insert(id, Arc::clone(&row));
        self.live[table].insert(id, row);
        id
    }

    /// The tables.
    pub fn tables(&self) -> &[TableDef] {
        &self.tables
    }

    /// The row of this identity, as the transactions under way have left it.
    pub fn row(&self, table: usize, id: u64) -> Option<&Arc<Row>> {
        self.live[table].get(&id)
    }

    /// Identities of all rows that this transaction may touch.
    pub fn touchable(&self, transaction: u64, table: usize) -> Vec<u64> {
        let free = |id: &&u64| self.row_locks.get(&(table, **id)).is_none_or(|t| *t == transaction);
        self.live[table].keys().filter(free).copied().collect()
    }

    /// Whether another transaction has truncated the table and is still open.
    pub fn is_locked(&self, transaction: u64, table: usize) -> bool {
        self.table_locks.get(&table).is_some_and(|owner| *owner != transaction)
    }

    /// Whether no row has this key and no other transaction touched it.
    pub fn is_free(&self, transaction: u64, table: usize, key: &Row) -> bool {
        !self.keys[table].contains_key(key)
            && self.key_locks.get(&(table, key.clone())).is_none_or(|t| *t == transaction)
    }

    /// Opens a transaction and returns its id.
    pub fn begin(&mut self, actor: &str) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.open.insert(id, Open { actor: actor.to_owned(), changes: Vec::new() });
        id
    }

    /// How many transactions are open.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Inserts a row and returns its identity.
    pub fn insert(&mut self, transaction: u64, table: usize, row: Row) -> u64 {
        let id = self.new_row();
        let row = Arc::new(row);
        self.occupy(table, &row);
        self.live[table].insert(id, Arc::clone(&row));
        self.record(transaction, table, Op::Insert, id, (None, Some(row)));
        id
    }

    /// Replaces a row, its key included, by what `edit` makes of it. Keys may clash until the commit.
    pub fn update(&mut self, transaction: u64, table: usize, id: u64, edit: impl FnOnce(&mut Row)) {
        let Some(before) = self.live[table].get(&id).cloned() else { return };
        let mut after = before.as_ref().clone();
        edit(&mut after);
        let after = Arc::new(after);
        self.vacate(table, &before);
        self.occupy(table, &after);
        self.live[table].insert(id, Arc::clone(&after));
        self.record(transaction, table, Op::Update, id, (Some(before), Some(after)));
    }

    /// Sets one column of a row.
    pub fn set(&mut self, transaction: u64, table: usize, id: u64, column: &str, value: Value) {
        if let Some(column) = self.tables[table].column(column) {
            self.update(transaction, table, id, |row| row[column] = value);
        }
    }

    /// Deletes a row.
    pub fn delete(&mut self, transaction: u64, table: usize, id: u64) {
        let Some(before) = self.live[table].remove(&id) else { return };
        self.vacate(table, &before);
        self.record(transaction, table, Op::Delete, id, (Some(before), None));
    }

    /// Deletes all rows at once. Does nothing while another transaction is open.
    pub fn truncate(&mut self, transaction: u64, table: usize) {
        if self.open.len() == 1 {
            self.live[table].clear();
            self.keys[table].clear();
            self.table_locks.insert(table, transaction);
            self.record(transaction, table, Op::Truncate, 0, (None, None));
        }
    }

    /// Commits a transaction and releases its locks. An empty one leaves no trace.
    pub fn commit(&mut self, transaction: u64, committed_at: i64) {
        let Some(open) = self.open.remove(&transaction) else { return };
        self.row_locks.retain(|_, owner| *owner != transaction);
        self.key_locks.retain(|_, owner| *owner != transaction);
        self.table_locks.retain(|_, owner| *owner != transaction);
        if !open.changes.is_empty() {
            let commit_position = self.advance();
            let Open { actor, changes } = open;
            self.transactions.push(Transaction {
                id: transaction,
                actor,
                committed_at,
                commit_position,
                changes,
            });
        }
    }

    /// The history so far; transactions still open never happened.
    pub fn finish(self) -> History {
        History { tables: self.tables, start: self.start, transactions: self.transactions }
    }

    fn record(
        &mut self,
        transaction: u64,
        table: usize,
        op: Op,
        row: u64,
        (before, after): (Option<Arc<Row>>, Option<Arc<Row>>),
    ) {
        let position = self.advance();
        self.row_locks.insert((table, row), transaction);
        for image in [&before, &after].into_iter().flatten() {
            self.key_locks.insert((table, self.tables[table].key_of(image)), transaction);
        }
        if let Some(open) = self.open.get_mut(&transaction) {
            open.changes.push(Change { table, op, row, before, after, position });
        }
    }

    fn occupy(&mut self, table: usize, row: &Row) {
        *self.keys[table].entry(self.tables[table].key_of(row)).or_default() += 1;
    }

    fn vacate(&mut self, table: usize, row: &Row) {
        let key = self.tables[table].key_of(row);
        if let Some(count) = self.keys[table].get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.keys[table].remove(&key);
            }
        }
    }

    fn new_row(&mut self) -> u64 {
        self.next_row += 1;
        self.next_row - 1
    }

    fn advance(&mut self) -> u64 {
        self.position += 8;
        self.position
    }
}
