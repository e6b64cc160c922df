//! What a user is handed of a history: current rows, and ledger records whose
//! images may say less than happened, in a delivery order of some producer.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::database::{Change, History, Transaction};
use super::prng::Prng;
use super::value::{Row, TableDef, Value};
use crate::model::{CellState, Op};

/// How much of a row the ledger's images say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageMode {
    /// All columns on both sides.
    Full,
    /// Key and changed columns on both sides of an update; the rest is unchanged.
    ChangedOnly,
    /// Before images of key columns alone, after images of all: a log without full row identity.
    KeyOnlyBefore,
    /// As `KeyOnlyBefore`, but a record has a before image only if its key changed or its row ended.
    AfterOnly,
}

impl ImageMode {
    /// All modes.
    pub const ALL: [Self; 4] = [Self::Full, Self::ChangedOnly, Self::KeyOnlyBefore, Self::AfterOnly];
}

/// In which order records are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordOrder {
    /// Whole transactions in the order of their commits, as logical decoding does.
    ByCommit,
    /// As the statements ran, transactions interleaved, as audit triggers do.
    ByStatement,
}

/// When the source read all rows into the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitialReads {
    /// Never.
    None,
    /// Before the first transaction.
    AtStart,
    /// After this many commits.
    After(usize),
}

/// How a history is delivered.
#[derive(Debug, Clone)]
pub struct Shape {
    /// What images say.
    pub images: ImageMode,
    /// Order of records.
    pub order: RecordOrder,
    /// Initial reads.
    pub reads: InitialReads,
    /// How many runs of records are delivered a second time, some records later.
    pub redeliveries: usize,
    /// Determines which.
    pub seed: u64,
    /// Only records of these tables; `None`: of all.
    pub tables: Option<Vec<usize>>,
    /// Number records 1, 2, 3 … as delivered, instead of by their statements' positions.
    pub renumber: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            images: ImageMode::Full,
            order: RecordOrder::ByCommit,
            reads: InitialReads::None,
            redeliveries: 0,
            seed: 0,
            tables: None,
            renumber: false,
        }
    }
}

/// One side of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The values. Cells that are not known stay here for the record but are never written.
    pub row: Arc<Row>,
    /// What the image says of each column; `None`: all are known.
    pub states: Option<Vec<CellState>>,
}

impl Image {
    /// An image of all columns.
    pub fn full(row: &Arc<Row>) -> Self {
        Self { row: Arc::clone(row), states: None }
    }

    /// What it says of a column.
    pub fn state(&self, column: usize) -> CellState {
        self.states.as_ref().map_or(CellState::Known, |s| s[column])
    }

    /// The value of a column, if the image states it.
    pub fn known(&self, column: usize) -> Option<&Value> {
        (self.state(column) == CellState::Known).then(|| &self.row[column])
    }

    /// Replaces a value.
    pub fn set(&mut self, column: usize, value: Value) {
        Arc::make_mut(&mut self.row)[column] = value;
    }

    fn partial(row: &Arc<Row>, state: impl Fn(usize) -> CellState) -> Self {
        Self { row: Arc::clone(row), states: Some((0..row.len()).map(state).collect()) }
    }
}

/// One record of a delivered ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Index of the table.
    pub table: usize,
    /// What the record says happened.
    pub op: Op,
    /// The image before.
    pub before: Option<Image>,
    /// The image after.
    pub after: Option<Image>,
    /// The record's own position: its statement's.
    pub position: u64,
    /// Position of the commit.
    pub commit_position: u64,
    /// Transaction id; 0 for initial reads.
    pub transaction: u64,
    /// Commit time in nanoseconds since the epoch.
    pub committed_at: i64,
    /// Who did it; empty for initial reads.
    pub actor: String,
}

/// Current rows and ledger records, as handed over.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The tables.
    pub tables: Vec<TableDef>,
    /// The current rows of each table, in order of their inserts.
    pub current: Vec<Vec<Arc<Row>>>,
    /// The ledger of all tables.
    pub records: Vec<Record>,
}

impl Delivery {
    /// The records of one table, with their number in the whole ledger, from 0.
    pub fn of(&self, table: usize) -> impl Iterator<Item = (usize, &Record)> {
        self.records.iter().enumerate().filter(move |(_, r)| r.table == table)
    }
}

impl History {
    /// The history as a producer of this shape would hand it over.
    pub fn deliver(&self, shape: &Shape) -> Delivery {
        let mut records: Vec<Record> = Vec::with_capacity(self.changes());
        let reads_after = match shape.reads {
            InitialReads::None => None,
            InitialReads::AtStart => Some(0),
            InitialReads::After(commits) => Some(commits.min(self.transactions.len())),
        };
        for commits in 0..=self.transactions.len() {
            if reads_after == Some(commits) {
                self.read_all(commits, &mut records);
            }
            let Some(transaction) = self.transactions.get(commits) else { break };
            records.extend(transaction.changes.iter().map(|c| self.record(transaction, c, shape.images)));
        }
        if shape.order == RecordOrder::ByStatement {
            records.sort_by_key(|r| r.position);
        }
        if let Some(tables) = &shape.tables {
            records.retain(|r| tables.contains(&r.table));
        }
        if shape.renumber {
            renumber(&mut records);
        }
        redeliver(&mut records, shape);
        let current = self.current().into_iter().map(|rows| rows.into_values().collect()).collect();
        Delivery { tables: self.tables.clone(), current, records }
    }

    fn record(&self, transaction: &Transaction, change: &Change, images: ImageMode) -> Record {
        let table = &self.tables[change.table];
        Record {
            table: change.table,
            op: change.op,
            before: before_image(table, change, images),
            after: after_image(table, change, images),
            position: change.position,
            commit_position: transaction.commit_position,
            transaction: transaction.id,
            committed_at: transaction.committed_at,
            actor: transaction.actor.clone(),
        }
    }

    /// Appends an initial read of every row that stood after so many commits, positioned just behind them.
    fn read_all(&self, commits: usize, records: &mut Vec<Record>) {
        let last = commits.checked_sub(1).and_then(|i| self.transactions.get(i));
        let position = last.map_or(1, |t| t.commit_position + 1);
        let first = self.transactions.first().map_or(0, |t| t.committed_at - 1_000_000_000);
        let committed_at = last.map_or(first, |t| t.committed_at);
        for (table, rows) in self.state(commits).into_iter().enumerate() {
            records.extend(rows.values().map(|row| Record {
                table,
                op: Op::Read,
                before: None,
                after: Some(Image::full(row)),
                position,
                commit_position: position,
                transaction: 0,
                committed_at,
                actor: String::new(),
            }));
        }
    }
}

fn before_image(table: &TableDef, change: &Change, images: ImageMode) -> Option<Image> {
    let before = change.before.as_ref()?;
    let key_only = |column: usize| match table.key.contains(&column) {
        true => CellState::Known,
        false => CellState::Absent,
    };
    let key_changed = change.after.as_ref().is_none_or(|after| table.key_of(before) != table.key_of(after));
    match (images, &change.after) {
        (ImageMode::ChangedOnly, Some(after)) => {
            Some(Image::partial(before, |c| changed(table, c, before, after)))
        }
        (ImageMode::Full | ImageMode::ChangedOnly, _) => Some(Image::full(before)),
        (ImageMode::KeyOnlyBefore, _) => Some(Image::partial(before, key_only)),
        (ImageMode::AfterOnly, _) => key_changed.then(|| Image::partial(before, key_only)),
    }
}

fn after_image(table: &TableDef, change: &Change, images: ImageMode) -> Option<Image> {
    let after = change.after.as_ref()?;
    match (&change.before, images) {
        (Some(before), ImageMode::ChangedOnly) => {
            Some(Image::partial(after, |c| changed(table, c, before, after)))
        }
        _ => Some(Image::full(after)),
    }
}

/// Keys are always written: they say which row it is.
fn changed(table: &TableDef, column: usize, before: &Row, after: &Row) -> CellState {
    if table.key.contains(&column) || before[column] != after[column] {
        CellState::Known
    } else {
        CellState::Unchanged
    }
}

/// Gives every record its number as position, and its transaction's last one as position of the commit.
fn renumber(records: &mut [Record]) {
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for (number, record) in (1..).zip(records.iter_mut()) {
        record.position = number;
        last.insert(record.commit_position, number);
    }
    for record in records {
        record.commit_position = last.get(&record.commit_position).copied().unwrap_or(record.position);
    }
}

/// Delivers runs of records again, each after a later record, as a producer does that lost its place.
fn redeliver(records: &mut Vec<Record>, shape: &Shape) {
    let mut prng = Prng::new(shape.seed);
    let mut again: BTreeMap<usize, Vec<Record>> = BTreeMap::new();
    for _ in 0..shape.redeliveries {
        let from = prng.index(records.len());
        let run: Vec<Record> = records.iter().skip(from).take(1 + prng.index(4)).cloned().collect();
        let behind = from + run.len() + prng.index(5);
        again.entry(behind.min(records.len())).or_default().extend(run);
    }
    for (place, run) in again.into_iter().rev() {
        records.splice(place..place, run);
    }
}
