//! The changes of a bridge, one after the other, over the rows that stood at its opening.
//!
//! A change says what stood before it and what stands after. What it says stood, and does not, or
//! the other way round, is a jump that no change explains; the rest is movement. So per row
//! opening + jumps + movements = what stands in the end, and a last jump leads to the closing.
//!
//! Cells that an image does not state are those of the row as known so far. In one transaction
//! rows may take each other's keys: until its end two rows can have one.

use std::collections::{HashMap, HashSet};

use super::entries::{Entry, Said, Side, Told};
use super::figures::{BridgeLine, GroupCell, Groups, Row};
use super::list::{ChangeList, Listed};
use crate::error::Result;
use crate::model::{Amount, Op};

/// Where the parts of a passage from one row to another are counted.
#[derive(Clone, Copy)]
struct Lines {
    come: BridgeLine,
    gone: BridgeLine,
    out: BridgeLine,
    into: BridgeLine,
    changed: BridgeLine,
}

const MOVEMENT: Lines = Lines {
    come: BridgeLine::Additions,
    gone: BridgeLine::Disposals,
    out: BridgeLine::ReclassOut,
    into: BridgeLine::ReclassIn,
    changed: BridgeLine::Updates,
};

const JUMP: Lines = Lines {
    come: BridgeLine::Unexplained,
    gone: BridgeLine::Unexplained,
    out: BridgeLine::Unexplained,
    into: BridgeLine::Unexplained,
    changed: BridgeLine::Unexplained,
};

/// What did it: a change, or nothing that the ledger knows.
#[derive(Clone, Copy)]
struct By<'a> {
    op: Option<Op>,
    told: Option<&'a Told>,
}

/// All that a fold looks at beside the changes.
pub(super) struct Fold<'a> {
    groups: &'a mut Groups,
    /// First rank of each transaction.
    transactions: &'a [u32],
    /// The rows of touched keys as known so far.
    rows: HashMap<u128, Row>,
    /// Rows that came to a key that another still has.
    crowd: Vec<(u128, Row)>,
    closing: &'a HashMap<u128, Row>,
    keyless: bool,
    list: Option<&'a mut ChangeList>,
    /// Touched keys in the order in which they are first named, and what they are called.
    named: Vec<(u128, String)>,
    seen: HashSet<u128>,
    transaction: usize,
    changes: u64,
}

impl<'a> Fold<'a> {
    /// From the rows of touched keys at the opening to those at the closing.
    pub(super) fn new(
        (groups, keyless): (&'a mut Groups, bool),
        transactions: &'a [u32],
        opening: HashMap<u128, Row>,
        closing: &'a HashMap<u128, Row>,
        list: Option<&'a mut ChangeList>,
    ) -> Self {
        Self {
            groups,
            transactions,
            rows: opening,
            crowd: Vec::new(),
            closing,
            keyless,
            list,
            named: Vec::new(),
            seen: HashSet::new(),
            transaction: usize::MAX,
            changes: 0,
        }
    }

    /// The next change of an image ledger.
    pub(super) fn change(&mut self, entry: &Entry) -> Result<()> {
        self.begin(entry)?;
        let by = By { op: Some(entry.op), told: entry.told.as_deref() };
        if entry.op == Op::Truncate {
            return self.truncate(by);
        }
        let [before, after] = entry.keys;
        let from = before.or(after).filter(|_| entry.op != Op::Insert);
        let to = after.or(from);
        let stood = from.and_then(|key| self.leave(key));
        let known = to.or(from).and_then(|key| self.closing.get(&key)).cloned();
        let known = known.as_ref();
        let stated = match (&entry.before, &entry.after) {
            _ if entry.op == Op::Insert => None,
            (Some(side), after) => {
                // An update of nothing says at least what it left as it was.
                let base = stood.clone().or_else(|| after.as_ref().map(|a| self.row(a, None, known, false)));
                Some(self.row(side, base.as_ref(), known, true))
            }
            (None, _) if stood.is_some() => stood.clone(),
            (None, Some(side)) if entry.op == Op::Update => Some(self.row(side, None, known, false)),
            (None, _) => None,
        };
        if !self.keyless {
            self.pass(JUMP, stood.as_ref(), stated.as_ref(), by)?;
        }
        let left = match &entry.after {
            _ if entry.op == Op::Delete => None,
            Some(side) => Some(self.row(side, stated.as_ref(), known, false)),
            None => stated.clone(),
        };
        self.pass(MOVEMENT, stated.as_ref(), left.as_ref(), by)?;
        if let (Some(row), Some(key), false) = (left, to, self.keyless) {
            self.arrive(key, row);
        }
        Ok(())
    }

    /// The next posting: it moves what is on its key, whatever else was posted before it.
    pub(super) fn posting(&mut self, entry: &Entry) -> Result<()> {
        self.begin(entry)?;
        let by = By { op: Some(entry.op), told: entry.told.as_deref() };
        let Some(key) = entry.keys[1].or(entry.keys[0]) else { return Ok(()) };
        let stood = self.leave(key);
        let known = self.closing.get(&key).cloned();
        let Some(side) = entry.after.as_ref().or(entry.before.as_ref()) else { return Ok(()) };
        let mut left = self.row(side, stood.as_ref(), known.as_ref(), false);
        if let Some(of) = stood.as_ref().or(known.as_ref()) {
            left.group = of.group;
        }
        for (measure, cell) in left.cells.iter_mut().enumerate() {
            let on = stood.as_ref().map_or(Some(Amount::ZERO), |row| row.cells[measure]);
            *cell = on.zip(moved(entry, measure)).and_then(|(on, moved)| on.plus(moved));
        }
        self.pass(MOVEMENT, stood.as_ref(), Some(&left), by)?;
        self.rows.insert(key, left);
        Ok(())
    }

    /// Leads what is left to the closing, and returns how many changes there were.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.settle()?;
        for (key, name) in std::mem::take(&mut self.named) {
            let told = Told { key: name, ..Told::default() };
            let by = By { op: None, told: Some(&told) };
            let (stands, closing) = (self.rows.remove(&key), self.closing.get(&key));
            // A row with nothing on it that is gone as no posting counts any more.
            let lines = match (&stands, closing) {
                (Some(row), None) if is_nothing(row) => MOVEMENT,
                _ => JUMP,
            };
            self.pass(lines, stands.as_ref(), closing, by)?;
        }
        self.residuals()?;
        Ok(self.changes)
    }

    /// What no single key explains, by group: whole tables that are no sets of keys, and rows that
    /// are copied as they stand.
    fn residuals(&mut self) -> Result<()> {
        let told = Told::default();
        for group in 0..self.groups.len() {
            for measure in 0..self.groups.measures() {
                let figures = self.groups.at(group, measure);
                let (closing, running) = (figures.closing.known, figures.running().known);
                let rest = closing.zip(running).and_then(|(a, b)| a.minus(b));
                if let Some(rest) = rest.filter(|rest| !rest.is_zero()) {
                    let by = By { op: None, told: Some(&told) };
                    self.post(BridgeLine::Unexplained, (group, measure), (None, Some(rest)), by)?;
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, entry: &Entry) -> Result<()> {
        self.changes += u64::from(entry.op != Op::Read);
        let transaction = self.transactions.partition_point(|&first| first <= entry.rank);
        if transaction != self.transaction {
            self.settle()?;
            self.transaction = transaction;
        }
        for key in entry.keys.into_iter().flatten() {
            if self.seen.insert(key) {
                let name = entry.told.as_ref().map(|told| told.key.clone());
                self.named.push((key, name.unwrap_or_default()));
            }
        }
        Ok(())
    }

    fn leave(&mut self, key: u128) -> Option<Row> {
        let row = self.rows.remove(&key);
        if let Some(at) = self.crowd.iter().position(|(other, _)| *other == key) {
            let (_, next) = self.crowd.remove(at);
            self.rows.insert(key, next);
        }
        row
    }

    fn arrive(&mut self, key: u128, row: Row) {
        match self.rows.contains_key(&key) {
            true => self.crowd.push((key, row)),
            false => drop(self.rows.insert(key, row)),
        }
    }

    /// At the end of a transaction each key has one row: the last that came to it.
    fn settle(&mut self) -> Result<()> {
        for (key, row) in std::mem::take(&mut self.crowd) {
            let told = Told { key: self.name(key), ..Told::default() };
            let by = By { op: None, told: Some(&told) };
            if let Some(replaced) = self.rows.insert(key, row) {
                self.pass(JUMP, Some(&replaced), None, by)?;
            }
        }
        Ok(())
    }

    fn name(&self, key: u128) -> String {
        let named = self.named.iter().rev().find(|(other, _)| *other == key);
        named.map(|(_, name)| name.clone()).unwrap_or_default()
    }

    /// Everything that stands ceases to be.
    fn truncate(&mut self, by: By<'_>) -> Result<()> {
        self.settle()?;
        self.rows.clear();
        for group in 0..self.groups.len() {
            for measure in 0..self.groups.measures() {
                let stands = self.groups.of(group, measure).running().known;
                if let Some(stands) = stands.filter(|s| !s.is_zero()) {
                    self.post(BridgeLine::Disposals, (group, measure), (Some(stands), None), by)?;
                }
            }
        }
        Ok(())
    }

    /// The row of an image, its gaps filled from the row as known before it; what stood in its group
    /// columns is taken from the closing where nothing else says it.
    fn row(&mut self, side: &Side, base: Option<&Row>, known: Option<&Row>, keeps: bool) -> Row {
        let cells = side.cells.iter().enumerate().map(|(measure, said)| match said {
            Said::Value(amount) => *amount,
            Said::Nothing if !keeps => None,
            Said::Unchanged | Said::Nothing => base.and_then(|row| row.cells[measure]),
        });
        let cells = cells.collect();
        let group: Vec<GroupCell> = side
            .group
            .iter()
            .enumerate()
            .map(|(column, said)| match said {
                Said::Value(value) => value.clone(),
                Said::Unchanged | Said::Nothing => [base, known]
                    .into_iter()
                    .flatten()
                    .find_map(|row| self.groups.name(row.group)[column].clone()),
            })
            .collect();
        Row { group: self.groups.number(&group), cells }
    }

    fn pass(&mut self, lines: Lines, from: Option<&Row>, to: Option<&Row>, by: By<'_>) -> Result<()> {
        match (from, to) {
            (None, None) => Ok(()),
            (None, Some(to)) => self.whole(lines.come, to.group, to, true, by),
            (Some(from), None) => self.whole(lines.gone, from.group, from, false, by),
            (Some(from), Some(to)) => {
                if from.group != to.group {
                    self.whole(lines.out, from.group, from, false, by)?;
                    self.whole(lines.into, to.group, from, true, by)?;
                }
                for (measure, (a, b)) in from.cells.iter().zip(&to.cells).enumerate() {
                    let line = match (a, b) {
                        (Some(a), Some(b)) if a == b => continue,
                        (None, None) => continue,
                        (Some(_), Some(_)) => lines.changed,
                        _ => BridgeLine::OneSided,
                    };
                    self.post(line, (to.group, 1 + measure), (*a, *b), by)?;
                }
                Ok(())
            }
        }
    }

    /// A whole row that comes to a group or goes from it.
    fn whole(&mut self, line: BridgeLine, group: u32, row: &Row, comes: bool, by: By<'_>) -> Result<()> {
        let sides = |amount| if comes { (None, Some(amount)) } else { (Some(amount), None) };
        self.post(line, (group, 0), sides(Amount::from(1)), by)?;
        for (measure, cell) in row.cells.iter().enumerate() {
            match cell {
                Some(amount) => self.post(line, (group, 1 + measure), sides(*amount), by)?,
                None => self.groups.at(group, 1 + measure).lines[line as usize].unknown += 1,
            }
        }
        Ok(())
    }

    fn post(
        &mut self,
        line: BridgeLine,
        (group, measure): (u32, usize),
        (before, after): (Option<Amount>, Option<Amount>),
        by: By<'_>,
    ) -> Result<()> {
        let sum = &mut self.groups.at(group, measure).lines[line as usize];
        if let Some(after) = after {
            sum.add(after);
        }
        if let Some(before) = before {
            sum.take(before);
        }
        sum.unknown += u64::from(line == BridgeLine::OneSided);
        let amount = after.unwrap_or(Amount::ZERO).minus(before.unwrap_or(Amount::ZERO));
        let (Some(list), Some(told), Some(amount)) = (&mut self.list, by.told, amount) else { return Ok(()) };
        if amount.is_zero() {
            return Ok(());
        }
        let group = self.groups.name(group);
        list.push(Listed { line, group, measure, op: by.op, told, before, after, amount })
    }
}

/// By how much a posting moves a measure.
fn moved(entry: &Entry, measure: usize) -> Option<Amount> {
    let on = |side: &Option<Side>| match side.as_ref().map(|s| &s.cells[measure]) {
        None => Some(Amount::ZERO),
        Some(Said::Value(amount)) => *amount,
        Some(_) => None,
    };
    on(&entry.after)?.minus(on(&entry.before)?)
}

fn is_nothing(row: &Row) -> bool {
    row.cells.iter().all(|cell| cell.is_some_and(Amount::is_zero))
}
