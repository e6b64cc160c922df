//! A naive second implementation: undoes one change after the other over rows of text.
//!
//! It shares nothing with the program but the idea. It holds everything in
//! memory, is slow on purpose, and knows full ledgers only: positions and commit
//! positions are there, commit times rise, nothing is missing. Given that, its
//! values, gaps and inferences are what the program must return.
//!
//! First the ledger is played *forward*, to know what had been recorded of every
//! row just before each change. Then the current rows are taken and every change
//! behind the cut is undone, the newest first. In between several rows may share
//! a key (a swap whose constraint is deferred), so a key holds a queue of rows:
//! the one that came first is the one that is meant.

use std::collections::BTreeMap;

use asof::model::{CellState, Op};
use asof::testing::{Delivery, Image, Record, TableDef, rows_batch};

use crate::table::{Cell, texts};

/// What an image says of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Value(Cell),
    Unchanged,
    Absent,
}

/// What is known of a cell of a rebuilt row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// Stated by the current state or a before image.
    Exact(Cell),
    /// Stated by an earlier after image only.
    Inferred(Cell),
    /// Stated by nothing.
    Nothing,
}

/// A row under way.
pub(crate) type TwinRow = Vec<Known>;

/// One side of a change.
type Side = Option<Vec<Said>>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    order: (u64, u64),
    op: Op,
    before: Side,
    after: Side,
    committed_at: i64,
}

/// Rows by the text of their key, in the order in which they came to it.
#[derive(Debug, Clone, Default)]
struct Rows(BTreeMap<Vec<Cell>, Vec<TwinRow>>);

impl Rows {
    fn put(&mut self, key: Vec<Cell>, row: TwinRow) {
        self.0.entry(key).or_default().push(row);
    }

    /// Takes the first row under a key that an image fits, else the first.
    fn take(&mut self, key: &[Cell], image: &[Said]) -> Option<TwinRow> {
        let queue = self.0.get_mut(key)?;
        let fits = |row: &TwinRow| row.iter().zip(image).all(|(known, said)| agree(known, said));
        let place = queue.iter().position(fits).unwrap_or(0);
        let row = queue.remove(place);
        if queue.is_empty() {
            self.0.remove(key);
        }
        Some(row)
    }
}

/// Whether a row may be the one that an image shows.
fn agree(known: &Known, said: &Said) -> bool {
    match (known, said) {
        (Known::Exact(known) | Known::Inferred(known), Said::Value(said)) => known == said,
        _ => true,
    }
}

/// The table of a delivery, to be rebuilt at any instant.
pub(crate) struct Twin {
    key: Vec<usize>,
    current: Vec<Vec<Cell>>,
    changes: Vec<Change>,
    /// Per change, what had been recorded of the rows it ends or moves, just before it.
    recorded: Vec<Vec<(Vec<Cell>, TwinRow)>>,
}

impl Twin {
    pub(crate) fn new(delivery: &Delivery, table: usize) -> Self {
        let def = &delivery.tables[table];
        let current = texts(&delivery.current_batch(table).unwrap());
        let mut changes: Vec<Change> = delivery.of(table).map(|(_, r)| change(def, r)).collect();
        // A redelivery repeats position, op and images; initial reads of one moment differ in theirs.
        changes.sort_by_key(|a| a.order);
        let mut seen: Vec<Change> = Vec::new();
        for change in changes {
            let repeats = seen.iter().rev().take_while(|s| s.order == change.order).any(|s| *s == change);
            if !repeats {
                seen.push(change);
            }
        }
        let key = if def.key.is_empty() { (0..def.columns.len()).collect() } else { def.key.clone() };
        let recorded = vec![Vec::new(); seen.len()];
        let mut twin = Self { key, current, changes: seen, recorded };
        twin.recorded = twin.play_forward(twin.unnamed_rows());
        twin
    }

    /// The rows at an instant, by key text.
    pub(crate) fn rows(&self, as_of: i64) -> Vec<TwinRow> {
        let mut rows = Rows::default();
        for row in &self.current {
            rows.put(self.key_of_cells(row), row.iter().cloned().map(Known::Exact).collect());
        }
        let behind = self.changes.partition_point(|c| c.committed_at <= as_of);
        for number in (behind..self.changes.len()).rev() {
            self.undo(number, &mut rows);
        }
        rows.0.into_values().flatten().collect()
    }

    /// The rows that stood before the first change, of which nothing is on record yet. They hold
    /// their keys: a row that moves to one of them is not the one that then leaves it. A ledger
    /// with a truncate is from birth here, so nothing stood.
    fn unnamed_rows(&self) -> Rows {
        let mut rows = Rows::default();
        if self.changes.iter().all(|c| c.op != Op::Truncate) {
            for row in self.rows(i64::MIN) {
                let key = self.key.iter().map(|&c| match &row[c] {
                    Known::Exact(value) => value.clone(),
                    other => panic!("the twin knows every key, found {other:?}"),
                });
                rows.put(key.collect(), vec![Known::Nothing; row.len()]);
            }
        }
        rows
    }

    fn undo(&self, number: usize, rows: &mut Rows) {
        let change = &self.changes[number];
        if change.op == Op::Read {
            return;
        }
        if change.op == Op::Truncate {
            for (key, row) in &self.recorded[number] {
                rows.put(key.clone(), row.iter().map(infer).collect());
            }
            return;
        }
        let after_key = change.after.as_ref().map(|side| self.key_of(side));
        let standing = change.after.as_ref().and_then(|side| rows.take(&self.key_of(side), side));
        if change.op == Op::Insert {
            return;
        }
        // Without a before image the key did not change.
        let key = change.before.as_ref().map(|side| self.key_of(side)).or(after_key).unwrap();
        let recorded = self.recorded[number].first().map(|(_, row)| row);
        let cell = |column: usize| match change.before.as_ref().map(|side| &side[column]) {
            Some(Said::Value(value)) => Known::Exact(value.clone()),
            Some(Said::Unchanged) => standing.as_ref().map_or(Known::Nothing, |row| row[column].clone()),
            _ if self.key.contains(&column) => Known::Exact(self.key_cell(&key, column)),
            _ => recorded.map_or(Known::Nothing, |row| infer(&row[column])),
        };
        let width = change.before.as_ref().or(change.after.as_ref()).map_or(0, Vec::len);
        let row = (0..width).map(cell).collect();
        rows.put(key, row);
    }

    /// Plays the ledger forward, holding per row what has been recorded of it so far.
    fn play_forward(&self, mut rows: Rows) -> Vec<Vec<(Vec<Cell>, TwinRow)>> {
        let mut recorded = Vec::new();
        for change in &self.changes {
            if change.op == Op::Truncate {
                let ended = std::mem::take(&mut rows).0;
                let pairs =
                    ended.into_iter().flat_map(|(key, rows)| rows.into_iter().map(move |r| (key.clone(), r)));
                recorded.push(pairs.collect());
                continue;
            }
            let key = change.before.as_ref().or(change.after.as_ref()).map(|side| self.key_of(side)).unwrap();
            let fresh = change.op == Op::Insert;
            let shown = change.before.as_deref().unwrap_or_default();
            let known = if fresh { None } else { rows.take(&key, shown) };
            recorded.push(known.iter().map(|row| (key.clone(), row.clone())).collect());
            if let Some(after) = &change.after {
                let row = (0..after.len()).map(|c| self.learn(change, known.as_ref(), c)).collect();
                rows.put(self.key_of(after), row);
            }
        }
        recorded
    }

    /// What is on record of a cell after a change.
    fn learn(&self, change: &Change, known: Option<&TwinRow>, column: usize) -> Known {
        let side = |side: &Side| side.as_ref().map(|s| s[column].clone());
        match (side(&change.after), side(&change.before)) {
            (Some(Said::Value(value)), _) => Known::Exact(value),
            (Some(Said::Unchanged), Some(Said::Value(value))) => Known::Exact(value),
            (Some(Said::Unchanged), _) => known.map_or(Known::Nothing, |row| row[column].clone()),
            _ => Known::Nothing,
        }
    }

    fn key_of(&self, side: &[Said]) -> Vec<Cell> {
        let cell = |&column: &usize| match &side[column] {
            Said::Value(value) => value.clone(),
            other => panic!("the twin needs the key in every image, found {other:?}"),
        };
        self.key.iter().map(cell).collect()
    }

    fn key_of_cells(&self, row: &[Cell]) -> Vec<Cell> {
        self.key.iter().map(|&c| row[c].clone()).collect()
    }

    fn key_cell(&self, key: &[Cell], column: usize) -> Cell {
        let place = self.key.iter().position(|&c| c == column).unwrap();
        key[place].clone()
    }
}

fn infer(known: &Known) -> Known {
    match known {
        Known::Exact(value) | Known::Inferred(value) => Known::Inferred(value.clone()),
        Known::Nothing => Known::Nothing,
    }
}

fn change(def: &TableDef, record: &Record) -> Change {
    Change {
        order: (record.commit_position, record.position),
        op: record.op,
        before: side(def, record.before.as_ref()),
        after: side(def, record.after.as_ref()),
        committed_at: record.committed_at,
    }
}

fn side(def: &TableDef, image: Option<&Image>) -> Side {
    let image = image?;
    let row = texts(&rows_batch(def, std::iter::once(&image.row)).unwrap()).remove(0);
    let said = |(column, cell)| match image.state(column) {
        CellState::Known => Said::Value(cell),
        CellState::Unchanged => Said::Unchanged,
        CellState::Absent | CellState::AmbiguousNull => Said::Absent,
    };
    Some(row.into_iter().enumerate().map(said).collect())
}
