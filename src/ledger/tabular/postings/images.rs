//! Postings to changes: the images that they would have had, from the current balances backwards.
//!
//! | rows | before the first posting | when all measures come to zero |
//! |---|---|---|
//! | always | there, an update | there, an update |
//! | first-posting | not there, an insert | there, an update |
//! | non-zero | not there if nothing was on it, an insert | gone, a delete, unless the current state has it |
//!
//! A row that the current state lacks counts as one with nothing on it. Cells that no posting
//! moves are unchanged by it; what else changed them, postings do not say.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, UInt32Array, new_null_array};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};

use super::super::super::image::{ABSENT, KNOWN, UNCHANGED};
use super::findings::{PostingFinding, place};
use super::number::{self, Exact};
use super::read::{Entries, too_long};
use super::{Line, NONE, PostingLedger, PostingTarget, proofs};
use crate::error::{Error, Result};
use crate::model::{
    CellDifference, ChangeBatch, Discrepancy, DiscrepancyKind as Kind, Images, Op, TableSchema,
};
use crate::plan::{LedgerClock, RowsExist};
use crate::read::cell::CellBuilder;

/// Changes that are handed over at a time.
const BATCH: usize = 1 << 14;

/// What the current state says of the keys that are posted to.
#[derive(Debug, Default)]
pub struct Base {
    /// Per slot, whether the row is there.
    pub stands: Vec<bool>,
    /// Per slot, whether the row was there before its first posting.
    pub existed: Vec<bool>,
    /// Per measure and slot: the value, `None` if it is null. Rows that are not there have nothing on them.
    pub balances: Vec<Vec<Option<Exact>>>,
    /// Sums of the rows that no posting moves, per measure.
    pub unposted: Vec<Exact>,
}

/// What deriving the changes of a dataset found.
#[derive(Debug, Default)]
pub struct Derived {
    /// Changes whose keys do not come to what is stated.
    pub contradicted: Vec<u32>,
    /// Changes up to which what was on their keys is not what is stated after them.
    pub broken: Vec<u32>,
    /// What does not tie.
    pub findings: Vec<PostingFinding>,
    /// Per raw row that a finding of the ledger names: its change, or the next one behind it.
    pub indices: Vec<(u32, u32)>,
    /// Postings that came to be known only behind the extract moment, and are left out.
    pub behind_extract: u64,
    /// Whether the ledger begins with entries that restate balances, so that a key without one had nothing on it.
    pub begins_restated: bool,
    /// Opening + movement = closing, per measure.
    pub equations: Vec<Equation>,
}

/// What a measure came to before the first posting, by how much postings moved it, and what it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Equation {
    /// The measure.
    pub measure: String,
    /// Exact text: what was there before the first posting, by the current state and all postings.
    pub opening: String,
    /// Exact text: the sum of all postings.
    pub movement: String,
    /// Exact text: the sum of the current state.
    pub closing: String,
    /// Whether something other than the current state says what was there before, for every key.
    pub is_proven: bool,
}

/// The postings of one dataset with what is on their keys.
pub(super) struct Walk<'a> {
    pub(super) ledger: &'a PostingLedger,
    pub(super) target: &'a PostingTarget<'a>,
    pub(super) entries: &'a Entries,
    pub(super) base: &'a Base,
    /// Places in `ledger.lines` of what moves or restates rows of the dataset, in order.
    pub(super) own: Vec<u32>,
    /// Per measure and place in `own`: what is on the key after it.
    pub(super) after: Vec<Vec<i128>>,
    /// Per measure and slot: what is on it now, and what was before its first posting.
    pub(super) closing: Vec<Vec<i128>>,
    pub(super) opening: Vec<Vec<i128>>,
    /// By slot and measure, what postings behind the extract moment moved, which are left out.
    pub(super) behind: HashMap<usize, Vec<i128>>,
}

/// Which change each place in [`Walk::own`] is.
pub(super) struct Changes {
    /// Its number, or that of the next one.
    pub(super) numbers: Vec<u32>,
    /// Whether it is one.
    pub(super) own: Vec<bool>,
}

impl Walk<'_> {
    pub(super) fn raw(&self) -> &super::Raw {
        &self.ledger.raw
    }

    pub(super) fn transaction(&self, line: &Line) -> Option<&str> {
        self.ledger.transactions.text(line.transaction)
    }

    /// The number of this dataset among those of the ledger.
    pub(super) fn number(&self) -> usize {
        self.ledger.entries.iter().position(|e| std::ptr::eq(e, self.entries)).unwrap_or(0)
    }

    fn leave_out(&mut self, line: &Line) {
        let Some(slot) = self.entries.slot(line.row).filter(|_| !line.opening) else { return };
        let measures = self.entries.scales.len();
        let behind = self.behind.entry(slot).or_insert_with(|| vec![0; measures]);
        for (measure, sum) in behind.iter_mut().enumerate() {
            *sum = sum.saturating_add(self.entries.amount(measure, line.row));
        }
    }

    pub(super) fn line(&self, at: usize) -> &Line {
        &self.ledger.lines[self.own[at] as usize]
    }

    pub(super) fn slot(&self, at: usize) -> usize {
        self.entries.slot(self.line(at).row).unwrap_or_default()
    }

    pub(super) fn measures(&self) -> usize {
        self.closing.len()
    }

    /// What a posting moves: nothing, if it restates.
    pub(super) fn amount(&self, measure: usize, at: usize) -> i128 {
        let line = self.line(at);
        if line.opening { 0 } else { self.entries.amount(measure, line.row) }
    }

    fn before(&self, measure: usize, at: usize) -> i128 {
        self.after[measure][at] - self.amount(measure, at)
    }

    pub(super) fn key_text(&self, slot: usize) -> String {
        let schema = self.target.schema;
        let names: Vec<&str> = schema.key().iter().map(|&c| schema.name(c)).collect();
        let keys: Vec<&ArrayRef> = self.entries.keys.iter().collect();
        crate::model::canon::key_text(&names, &keys, slot)
    }

    pub(super) fn measure_name(&self, measure: usize) -> &str {
        self.target.schema.name(self.column(measure))
    }

    fn column(&self, measure: usize) -> usize {
        self.ledger.layout.targets[self.number()].amounts[measure].0
    }

    pub(super) fn text(&self, measure: usize, whole: i128) -> String {
        exact_text(whole, self.entries.scales[measure])
    }

    fn is_nothing(&self, slot: usize, value: impl Fn(usize) -> i128) -> bool {
        (0..self.measures()).all(|m| self.base.balances[m][slot].is_some() && value(m) == 0)
    }
}

/// A whole number of a scale as plain decimal text.
pub(super) fn exact_text(whole: i128, scale: u32) -> String {
    let (sign, digits) = (if whole < 0 { "-" } else { "" }, whole.unsigned_abs().to_string());
    let scale = scale as usize;
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (units, decimals) = digits.split_at(digits.len() - scale);
    if scale == 0 { format!("{sign}{units}") } else { format!("{sign}{units}.{decimals}") }
}

impl PostingLedger {
    /// Walks back from the current balances of a dataset and hands over the changes that its
    /// postings are, oldest first, with the number of their file.
    ///
    /// # Errors
    /// A sum has more digits than are added up exactly, or `take` fails.
    pub fn derive(
        &self,
        number: usize,
        target: &PostingTarget<'_>,
        base: &Base,
        take: &mut dyn FnMut(ChangeBatch, u32) -> Result<()>,
    ) -> Result<Derived> {
        let entries = &self.entries[number];
        let extract = target.plan.current.at.as_ref();
        let mut derived = Derived::default();
        let (mut own, mut behind) = (Vec::new(), Vec::new());
        for (at, line) in self.lines.iter().enumerate() {
            if entries.slot(line.row).is_none() {
                continue;
            }
            match self.is_behind(line, extract) {
                true => behind.push(line),
                false => own.push(at as u32),
            }
        }
        derived.behind_extract = behind.len() as u64;
        let mut walk = walk_back(self, target, (entries, base), own)?;
        behind.into_iter().for_each(|line| walk.leave_out(line));
        let changes = emit(&walk, take, &mut derived)?;
        proofs::openings(&walk, &changes, &mut derived)?;
        self.place_findings(number, &walk, &changes.numbers, &mut derived);
        Ok(derived)
    }

    /// Which change stands for the rows that findings name.
    fn place_findings(&self, number: usize, walk: &Walk<'_>, changes: &[u32], derived: &mut Derived) {
        let named = self.findings(number).chain(&derived.findings).filter_map(|f| f.row);
        let rows: std::collections::HashSet<u32> = named.collect();
        if rows.is_empty() {
            return;
        }
        for (at, line) in self.lines.iter().enumerate().filter(|(_, line)| rows.contains(&line.row)) {
            let next = walk.own.partition_point(|&own| (own as usize) < at);
            derived.indices.push((line.row, changes.get(next).copied().unwrap_or(NONE)));
        }
        derived.indices.sort_unstable();
    }
}

fn walk_back<'a>(
    ledger: &'a PostingLedger,
    target: &'a PostingTarget<'a>,
    (entries, base): (&'a Entries, &'a Base),
    own: Vec<u32>,
) -> Result<Walk<'a>> {
    let mut walk = Walk {
        ledger,
        target,
        entries,
        base,
        own,
        after: Vec::new(),
        closing: Vec::new(),
        opening: Vec::new(),
        behind: HashMap::new(),
    };
    for (measure, &scale) in entries.scales.iter().enumerate() {
        let closing: Option<Vec<i128>> =
            base.balances[measure].iter().map(|b| number::rescaled(b.unwrap_or((0, 0)), scale)).collect();
        let closing = closing.ok_or(too_long(scale))?;
        let mut balances = closing.clone();
        let mut after = vec![0; walk.own.len()];
        for at in (0..walk.own.len()).rev() {
            let slot = walk.slot(at);
            after[at] = balances[slot];
            let before = balances[slot].checked_sub(walk.amount(measure, at));
            balances[slot] = before.ok_or(too_long(scale))?;
        }
        walk.after.push(after);
        walk.closing.push(closing);
        walk.opening.push(balances);
    }
    Ok(walk)
}

/// One change to be: a place in `own`, and what it does.
struct Derivation {
    at: u32,
    op: Op,
}

/// Hands over all changes; returns which one each place in `own` is.
fn emit(
    walk: &Walk<'_>,
    take: &mut dyn FnMut(ChangeBatch, u32) -> Result<()>,
    derived: &mut Derived,
) -> Result<Changes> {
    let rows = walk.target.plan.ledger.postings.rows;
    let mut exists: Vec<bool> = walk.base.existed.clone();
    let mut last = vec![0_u32; exists.len()];
    (0..walk.own.len()).for_each(|at| last[walk.slot(at)] = at as u32);
    if rows == Some(RowsExist::NonZero) {
        for (slot, exists) in exists.iter_mut().enumerate() {
            *exists = !walk.is_nothing(slot, |m| walk.opening[m][slot]);
        }
    }
    let mut changes =
        Changes { numbers: Vec::with_capacity(walk.own.len()), own: vec![false; walk.own.len()] };
    let (mut count, mut lossy) = (0_u32, vec![(0_u64, NONE); walk.measures()]);
    let mut batch: Vec<Derivation> = Vec::new();
    let mut open = NONE;
    for at in 0..walk.own.len() {
        changes.numbers.push(count);
        let slot = walk.slot(at);
        if walk.line(at).opening {
            // What restates a balance says that the row was there.
            exists[slot] = rows != Some(RowsExist::NonZero) || exists[slot];
            continue;
        }
        let is_last = last[slot] == at as u32 && walk.base.stands[slot];
        let stays =
            rows != Some(RowsExist::NonZero) || is_last || !walk.is_nothing(slot, |m| walk.after[m][at]);
        let op = match (exists[slot], stays) {
            (false, true) => Op::Insert,
            (true, true) => Op::Update,
            (true, false) => Op::Delete,
            // Nothing came of it.
            (false, false) => continue,
        };
        exists[slot] = stays;
        changes.own[at] = true;
        let file = file_of(walk, at);
        if file != open || batch.len() >= BATCH {
            hand_over(walk, &mut batch, open, take, &mut lossy)?;
            open = file;
        }
        batch.push(Derivation { at: at as u32, op });
        count += 1;
    }
    hand_over(walk, &mut batch, open, take, &mut lossy)?;
    derived.findings.extend(lossy_findings(walk, &lossy));
    Ok(changes)
}

fn file_of(walk: &Walk<'_>, at: usize) -> u32 {
    let (segment, _) = walk.ledger.raw.locate(u64::from(walk.line(at).row));
    walk.ledger.raw.file(segment).0
}

fn hand_over(
    walk: &Walk<'_>,
    batch: &mut Vec<Derivation>,
    file: u32,
    take: &mut dyn FnMut(ChangeBatch, u32) -> Result<()>,
    lossy: &mut [(u64, u32)],
) -> Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let changes = changes(walk, batch, file, lossy)?;
    batch.clear();
    take(changes, file)
}

fn changes(
    walk: &Walk<'_>,
    batch: &[Derivation],
    file: u32,
    lossy: &mut [(u64, u32)],
) -> Result<ChangeBatch> {
    let ledger = walk.ledger;
    let lines: Vec<&Line> = batch.iter().map(|d| walk.line(d.at as usize)).collect();
    let words = |words: &super::Words, number: fn(&Line) -> u32| -> ArrayRef {
        Arc::new(lines.iter().map(|line| words.text(number(line))).collect::<StringArray>())
    };
    let record = |line: &&Line| {
        let (segment, row) = ledger.raw.locate(u64::from(line.row));
        ledger.raw.record(segment, row as usize)
    };
    let changes = ChangeBatch {
        ops: batch.iter().map(|d| d.op as u8).collect(),
        before: images(walk, batch, false, lossy)?,
        after: images(walk, batch, true, lossy)?,
        committed_at: lines.iter().map(|line| line.time).collect(),
        transaction: (!ledger.layout.transaction.is_empty())
            .then(|| words(&ledger.transactions, |line| line.transaction)),
        commit_position: None,
        position: None,
        record: lines.iter().map(record).collect(),
        file,
        stream: batch.iter().map(|d| u64::from(walk.own[d.at as usize])).collect(),
        actor: ledger.layout.actor.map(|_| words(&ledger.actors, |line| line.actor)),
    };
    debug_assert!(changes.is_consistent(), "every part has one entry per change");
    debug_assert!(ledger.layout.clock != LedgerClock::Start, "postings have two clocks");
    Ok(changes)
}

/// The images of one side.
fn images(walk: &Walk<'_>, batch: &[Derivation], after: bool, lossy: &mut [(u64, u32)]) -> Result<Images> {
    let schema: &TableSchema = walk.target.schema;
    let lacks = if after { Op::Delete } else { Op::Insert };
    let present: BooleanBuffer = batch.iter().map(|d| d.op != lacks).collect();
    let slots: UInt32Array =
        (0..batch.len()).map(|i| present.value(i).then(|| walk.slot(batch[i].at as usize) as u32)).collect();
    let failed = || Error::arrow(walk.ledger.raw.path());
    let mut columns: Vec<Option<ArrayRef>> = vec![None; schema.len()];
    let mut states: Vec<Option<ScalarBuffer<u8>>> = vec![None; schema.len()];
    for (&column, keys) in schema.key().iter().zip(&walk.entries.keys) {
        columns[column] = Some(arrow::compute::take(keys.as_ref(), &slots, None).map_err(failed())?);
    }
    for measure in 0..walk.measures() {
        let column = walk.column(measure);
        let (array, known) = balances(walk, batch, (measure, after), &present, lossy);
        (columns[column], states[column]) = (Some(array), known);
    }
    for column in (0..schema.len()).filter(|&c| columns[c].is_none()).collect::<Vec<_>>() {
        columns[column] = Some(new_null_array(schema.data_type(column), batch.len()));
        let state = |d: &Derivation| if after && d.op == Op::Insert { ABSENT } else { UNCHANGED };
        states[column] = Some(batch.iter().map(state).collect());
    }
    Ok(Images { columns, present: Some(present), states })
}

/// What is on the keys of a batch before or after its postings. What does not fit the column is absent.
fn balances(
    walk: &Walk<'_>,
    batch: &[Derivation],
    (measure, after): (usize, bool),
    present: &BooleanBuffer,
    lossy: &mut [(u64, u32)],
) -> (ArrayRef, Option<ScalarBuffer<u8>>) {
    let data_type = walk.target.schema.data_type(walk.column(measure));
    let scale = walk.entries.scales[measure] as i32;
    let mut states = vec![KNOWN; batch.len()];
    let Some(mut cells) = CellBuilder::new(data_type) else {
        return (new_null_array(data_type, batch.len()), Some(vec![ABSENT; batch.len()].into()));
    };
    for (row, derivation) in batch.iter().enumerate() {
        let at = derivation.at as usize;
        let is_known = walk.base.balances[measure][walk.slot(at)].is_some();
        if !present.value(row) || !is_known {
            states[row] = if present.value(row) { ABSENT } else { KNOWN };
            cells.push_null();
            continue;
        }
        let whole = if after { walk.after[measure][at] } else { walk.before(measure, at) };
        if cells.push_decimal(&whole.to_be_bytes(), scale).is_err() {
            states[row] = ABSENT;
            cells.push_null();
            lossy[measure].0 += 1;
            lossy[measure].1 = lossy[measure].1.min(walk.own[at]);
        }
    }
    let is_whole = states.iter().all(|&s| s == KNOWN);
    (cells.finish(), (!is_whole).then(|| states.into()))
}

fn lossy_findings(walk: &Walk<'_>, lossy: &[(u64, u32)]) -> Vec<PostingFinding> {
    let mut found = Vec::new();
    for (measure, &(count, first)) in lossy.iter().enumerate().filter(|(_, l)| l.0 > 0) {
        let name = walk.measure_name(measure);
        let data_type = walk.target.schema.data_type(walk.column(measure));
        let message = format!(
            "{count} balances before or after postings are no {data_type} exactly: they are not used"
        );
        let mut discrepancy = Discrepancy::new(Kind::LossyValue, "", message);
        discrepancy.count = count;
        discrepancy.touches_snapshot = true;
        discrepancy.cells.push(CellDifference { column: name.to_owned(), expected: None, found: None });
        discrepancy.ledger = Some(place(&walk.ledger.raw, walk.ledger.lines[first as usize].row));
        found.push(PostingFinding { discrepancy, target: 0, row: None });
    }
    found
}
