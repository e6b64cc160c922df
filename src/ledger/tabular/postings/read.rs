//! Rows of a ledger to postings: dates as instants, amounts as whole numbers, keys as slots.
//!
//! A posting that cannot be understood is set aside and told: one without a date, with an
//! amount that is no number or with a direction of no known word, or without a key.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, ArrayRef, StringArray, UInt32Array, new_empty_array};
use arrow::datatypes::DataType;

use super::super::convert::convert;
use super::super::raw::{Raw, texts};
use super::super::{lacks_zone, no_floats};
use super::dates::{Dates, NotADate};
use super::findings::Findings;
use super::layout::{Amounts, Layout};
use super::number::{self, Exact, SignFinder};
use super::{Line, NONE, PostingTarget, no_time};
use crate::error::{At, Error, Result};
use crate::model::canon::{self, Seed};
use crate::model::{DiscrepancyKind as Kind, NO_TIME};
use crate::plan::{Calendar, DecimalSign, LedgerClock};
use crate::read::cell::CellOptions;

/// Distinct texts, by number.
#[derive(Debug, Default)]
pub(super) struct Words {
    numbers: HashMap<String, u32>,
    pub(super) texts: Vec<String>,
}

impl Words {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.texts.len() as u32;
        self.numbers.insert(text.to_owned(), number);
        self.texts.push(text.to_owned());
        number
    }

    /// The text with this number.
    pub(super) fn text(&self, number: u32) -> Option<&str> {
        self.texts.get(number as usize).map(String::as_str)
    }
}

/// What all rows say of one dataset.
#[derive(Debug)]
pub(super) struct Entries {
    /// Per row its key's number, or [`NONE`].
    slots: Vec<u32>,
    /// The distinct keys, one array per key column.
    pub(super) keys: Vec<ArrayRef>,
    /// Per measure and row: whole numbers of the measure's scale.
    amounts: Vec<Vec<i128>>,
    /// Per measure: how many digits are decimals.
    pub(super) scales: Vec<u32>,
    /// Per measure and row what is stated to be on the key after it; empty where no column states it.
    pub(super) stated: Vec<Vec<Option<i128>>>,
    /// Rows whose amounts could not be read, with the number of their key.
    pub(super) set_aside: HashMap<u32, u32>,
}

impl Entries {
    /// The number of a row's key, if the row moves a row of the dataset.
    pub(super) fn slot(&self, row: u32) -> Option<usize> {
        Some(self.slots[row as usize]).filter(|&slot| slot != NONE).map(|slot| slot as usize)
    }

    /// How many distinct keys.
    pub(super) fn slots(&self) -> usize {
        self.keys.first().map_or(0, |k| k.len())
    }

    /// The same, and the key of a row whose amounts could not be read.
    pub(super) fn any_slot(&self, row: u32) -> Option<usize> {
        self.slot(row).or_else(|| self.set_aside.get(&row).map(|&slot| slot as usize))
    }

    /// What is stated to be on the key of a row after it.
    pub(super) fn stated(&self, measure: usize, row: u32) -> Option<i128> {
        self.stated[measure].get(row as usize).copied().flatten()
    }

    /// By how much a row moves a measure.
    pub(super) fn amount(&self, measure: usize, row: u32) -> i128 {
        self.amounts[measure][row as usize]
    }
}

/// All postings, by row.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) lines: Vec<Line>,
    pub(super) entries: Vec<Entries>,
    pub(super) transactions: Words,
    pub(super) actors: Words,
    pub(super) currencies: Words,
    /// Per row the identity of its posting, where postings have one.
    pub(super) ids: Vec<Option<u128>>,
    /// Transactions of which a posting was set aside.
    pub(super) spoiled: HashSet<u32>,
}

/// Reads all rows.
pub(super) fn read(
    raw: &Raw,
    layout: &Layout,
    targets: &[PostingTarget<'_>],
    findings: &mut Findings,
) -> Result<Read> {
    let mut reader = Reader::new(raw, layout, targets)?;
    for segment in 0..raw.segments() {
        reader.segment(segment, findings)?;
    }
    reader.finish()
}

struct Reader<'a> {
    raw: &'a Raw,
    layout: &'a Layout,
    targets: &'a [PostingTarget<'a>],
    sign: DecimalSign,
    dates: [Dates; 2],
    read: Read,
    building: Vec<Building>,
    seed: Seed,
}

/// The entries of one dataset while they are read.
#[derive(Default)]
struct Building {
    slots: Vec<u32>,
    known: HashMap<u128, u32>,
    /// Per segment, the keys that are new in it.
    keys: Vec<Vec<ArrayRef>>,
    amounts: Vec<Vec<Exact>>,
    stated: Vec<Vec<Option<Exact>>>,
    set_aside: HashMap<u32, u32>,
}

/// The texts of some raw columns of one segment.
struct Cells {
    columns: HashMap<usize, StringArray>,
    arrays: HashMap<usize, ArrayRef>,
}

impl Cells {
    fn text(&self, column: usize, row: usize) -> Option<&str> {
        let texts = self.columns.get(&column)?;
        texts.is_valid(row).then(|| texts.value(row).trim()).filter(|t| !t.is_empty())
    }

    /// Several columns as one text; `None` if all are empty.
    fn joined(&self, columns: &[usize], row: usize) -> Option<String> {
        let parts: Vec<&str> = columns.iter().filter_map(|&c| self.text(c, row)).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

impl<'a> Reader<'a> {
    fn new(raw: &'a Raw, layout: &'a Layout, targets: &'a [PostingTarget<'a>]) -> Result<Self> {
        let ledger = &targets[0].plan.ledger;
        let calendar = Calendar { zone: ledger.postings.days, ..Calendar::UTC };
        let dates = || Dates::new(calendar, ledger.postings.dates, ledger.table.time_zone);
        let measures = |t: usize| vec![Vec::new(); layout.targets[t].amounts.len()];
        let stated = |t: usize| vec![Vec::new(); layout.targets[t].running.len()];
        Ok(Self {
            raw,
            layout,
            targets,
            sign: decimal_sign(raw, layout, ledger.postings.decimal_sign)?,
            dates: [dates(), dates()],
            read: Read {
                lines: Vec::new(),
                entries: Vec::new(),
                transactions: Words::default(),
                actors: Words::default(),
                currencies: Words::default(),
                ids: Vec::new(),
                spoiled: HashSet::new(),
            },
            building: (0..targets.len())
                .map(|t| Building { amounts: measures(t), stated: stated(t), ..Building::default() })
                .collect(),
            seed: Seed::random(),
        })
    }

    fn segment(&mut self, segment: usize, findings: &mut Findings) -> Result<()> {
        let cells = self.cells(segment)?;
        let first = self.raw.first(segment) as u32;
        let rows = (self.raw.first(segment + 1) - self.raw.first(segment)) as usize;
        self.ids(&cells, rows);
        for target in 0..self.targets.len() {
            self.keys(target, &cells, (first, rows), findings)?;
        }
        for row in 0..rows {
            self.row(&cells, (first, row), findings)?;
        }
        Ok(())
    }

    fn cells(&self, segment: usize) -> Result<Cells> {
        let layout = self.layout;
        let single = [layout.effective, layout.committed, layout.actor, layout.currency];
        let flags = layout.targets.iter().flat_map(|t| &t.amounts).filter_map(|(_, a)| match a {
            Amounts::Flagged { flag, .. } => Some(*flag),
            _ => None,
        });
        let mut as_text: Vec<usize> = single.into_iter().flatten().chain(flags).collect();
        as_text.extend(layout.opening.as_ref().map(|(column, _)| *column));
        as_text.extend(layout.id.iter().chain(&layout.transaction));
        as_text.extend(layout.numbers());
        let keys = layout.targets.iter().flat_map(|t| t.keys.iter().copied());
        let mut wanted: Vec<usize> = as_text.iter().copied().chain(keys).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let columns = self.raw.read(segment, &wanted, None)?;
        let arrays: HashMap<usize, ArrayRef> =
            wanted.iter().enumerate().map(|(at, &c)| (c, columns.column(at).clone())).collect();
        let columns = as_text.iter().map(|c| (*c, texts(&arrays[c]))).collect();
        Ok(Cells { columns, arrays })
    }

    fn ids(&mut self, cells: &Cells, rows: usize) {
        if self.layout.id.is_empty() {
            return;
        }
        let columns: Vec<ArrayRef> = (self.layout.id.iter())
            .map(|c| std::sync::Arc::new(cells.columns[c].clone()) as ArrayRef)
            .collect();
        let ids = canon::key_ids(&columns.iter().collect::<Vec<_>>(), self.seed);
        let whole = |row: usize| columns.iter().all(|c| c.is_valid(row));
        self.read.ids.extend((0..rows).map(|row| whole(row).then(|| ids[row])));
    }

    /// Numbers the keys of a segment.
    fn keys(
        &mut self,
        target: usize,
        cells: &Cells,
        (first, rows): (u32, usize),
        findings: &mut Findings,
    ) -> Result<()> {
        let PostingTarget { plan, schema, comparable } = &self.targets[target];
        let options = CellOptions { zone: plan.ledger.table.time_zone, ..CellOptions::default() };
        let mut wrong: HashSet<usize> = HashSet::new();
        let mut arrays = Vec::new();
        for (number, (&column, raw)) in schema.key().iter().zip(&self.layout.targets[target].keys).enumerate()
        {
            let converted = convert(&cells.arrays[raw], schema.data_type(column), &options, false);
            for (row, misfit) in converted.misfits {
                let message = format!("{misfit} in {:?}: the posting is set aside", schema.name(column));
                findings.row(self.raw, (Kind::UnparsableRecord, first + row as u32), target, message);
                wrong.insert(row);
            }
            arrays.push((converted.array.clone(), comparable(number, &converted.array)));
        }
        let compared: Vec<&ArrayRef> = arrays.iter().map(|(_, c)| c).collect();
        let nulls: HashSet<usize> = canon::null_keys(&compared).into_iter().collect();
        let ids = canon::key_ids(&compared, self.seed);
        let building = &mut self.building[target];
        let mut new: Vec<u32> = Vec::new();
        for (row, id) in ids.iter().enumerate().take(rows) {
            let is_empty = || compared.iter().all(|c| c.is_null(row));
            if wrong.contains(&row) || nulls.contains(&row) {
                building.slots.push(NONE);
                let silent = wrong.contains(&row) || plan.ledger.postings.skip_empty_keys && is_empty();
                if !silent {
                    let message = "a posting without a key: it is set aside";
                    findings.row(self.raw, (Kind::NullKey, first + row as u32), target, message);
                }
                continue;
            }
            let next = building.known.len() as u32;
            let slot = *building.known.entry(*id).or_insert_with(|| {
                new.push(row as u32);
                next
            });
            building.slots.push(slot);
        }
        let rows = UInt32Array::from(new);
        let take = |(array, _): &(ArrayRef, ArrayRef)| arrow::compute::take(array.as_ref(), &rows, None);
        let keys =
            arrays.iter().map(take).collect::<Result<Vec<_>, _>>().map_err(Error::arrow(self.raw.path()))?;
        building.keys.push(keys);
        Ok(())
    }

    /// The instant in a column of a row; what is none is told.
    fn date(
        &mut self,
        (which, column): (usize, Option<usize>),
        cells: &Cells,
        (row, number): (usize, u32),
        findings: &mut Findings,
    ) -> Result<i64> {
        let Some(text) = column.and_then(|c| cells.text(c, row)) else { return Ok(NO_TIME) };
        match self.dates[which].read(text) {
            Ok(at) => Ok(at),
            Err(NotADate::NoZone) => Err(lacks_zone(self.raw)),
            Err(NotADate::Twice(first)) => {
                let message = format!("the time {text:?} occurs twice in its zone; the first one is taken");
                findings.row(self.raw, (Kind::AmbiguousCut, number), 0, message);
                Ok(first)
            }
            Err(NotADate::Wrong(message)) => {
                findings.row(self.raw, (Kind::UnparsableRecord, number), 0, message);
                Ok(NO_TIME)
            }
        }
    }

    fn row(&mut self, cells: &Cells, (first, row): (u32, usize), findings: &mut Findings) -> Result<()> {
        let layout = self.layout;
        let number = first + row as u32;
        let effective = self.date((0, layout.effective), cells, (row, number), findings)?;
        let committed = self.date((1, layout.committed), cells, (row, number), findings)?;
        let transaction =
            cells.joined(&layout.transaction, row).map_or(NONE, |text| self.read.transactions.number(&text));
        let word = |words: &mut Words, column: Option<usize>| {
            column.and_then(|c| cells.text(c, row)).map_or(NONE, |text| words.number(text))
        };
        let opening = layout.opening.as_ref().is_some_and(|(column, words)| {
            cells.text(*column, row).is_some_and(|text| words.iter().any(|w| w == text))
        });
        let line = Line {
            row: number,
            transaction,
            actor: word(&mut self.read.actors, layout.actor),
            currency: word(&mut self.read.currencies, layout.currency),
            time: NO_TIME,
            effective,
            committed,
            opening,
        };
        let is_understood = self.amounts(cells, (row, number), findings);
        let is_effective = layout.clock == LedgerClock::Effective;
        let (asked, column) =
            if is_effective { (effective, layout.effective) } else { (committed, layout.committed) };
        if asked == NO_TIME && column.is_none_or(|c| cells.text(c, row).is_none()) {
            let (kind, message) = no_time(layout.clock);
            findings.row(self.raw, (kind, number), 0, message);
        }
        if asked == NO_TIME || !is_understood {
            self.read.spoiled.insert(transaction);
        }
        if asked != NO_TIME {
            self.read.lines.push(line);
        }
        Ok(())
    }

    /// The amounts of a row for all datasets; whether all of them could be read.
    fn amounts(&mut self, cells: &Cells, (row, number): (usize, u32), findings: &mut Findings) -> bool {
        let mut is_understood = true;
        for (target, building) in self.building.iter_mut().enumerate() {
            let layout = &self.layout.targets[target];
            let read: Vec<Result<Option<Exact>, String>> =
                layout.amounts.iter().map(|(_, amounts)| amount(amounts, cells, row, self.sign)).collect();
            let wrong = read.iter().find_map(|r| r.as_ref().err().cloned());
            let nothing = read.iter().all(|r| matches!(r, Ok(None)));
            let reason = wrong.or(nothing.then(|| "it states no amount".to_owned()));
            if let Some(reason) = reason {
                is_understood = false;
                let slot = std::mem::replace(&mut building.slots[number as usize], NONE);
                if slot != NONE {
                    building.set_aside.insert(number, slot);
                }
                let message = format!("{reason}: the posting is set aside");
                findings.row(self.raw, (Kind::UnparsableRecord, number), target, message);
            }
            for (amounts, read) in building.amounts.iter_mut().zip(read) {
                amounts.push(read.ok().flatten().unwrap_or((0, 0)));
            }
            for (stated, column) in building.stated.iter_mut().zip(&layout.running) {
                let Some(column) = *column else { continue };
                let read = number_in(column, cells, row, self.sign);
                if let Err(reason) = &read {
                    let message = format!("{reason}: the balance after the posting is not read");
                    findings.row(self.raw, (Kind::UnparsableRecord, number), target, message);
                }
                stated.push(read.ok().flatten());
            }
        }
        is_understood
    }

    fn finish(self) -> Result<Read> {
        let mut read = self.read;
        for (target, building) in self.building.into_iter().enumerate() {
            let schema = self.targets[target].schema;
            let measures = self.layout.targets[target].amounts.iter().map(|(column, _)| *column);
            let least: Vec<u32> = measures.map(|column| decimals(schema.data_type(column))).collect();
            let types: Vec<&DataType> = schema.key().iter().map(|&c| schema.data_type(c)).collect();
            read.entries.push(building.finish(&least, &types, self.raw)?);
        }
        Ok(read)
    }
}

/// How many decimals values of a type have.
fn decimals(data_type: &DataType) -> u32 {
    use DataType::{Decimal32, Decimal64, Decimal128, Decimal256};
    match data_type {
        Decimal32(_, s) | Decimal64(_, s) | Decimal128(_, s) | Decimal256(_, s) => {
            u32::try_from(*s).unwrap_or(0)
        }
        _ => 0,
    }
}

impl Building {
    /// Brings all amounts of a measure to one scale.
    fn finish(self, least: &[u32], types: &[&DataType], raw: &Raw) -> Result<Entries> {
        let mut keys: Vec<ArrayRef> = Vec::new();
        for (number, data_type) in types.iter().enumerate() {
            let parts: Vec<&dyn Array> = self.keys.iter().map(|k| k[number].as_ref()).collect();
            keys.push(match parts.is_empty() {
                true => new_empty_array(data_type),
                false => arrow::compute::concat(&parts).map_err(Error::arrow(raw.path()))?,
            });
        }
        let (mut amounts, mut scales, mut all_stated) = (Vec::new(), Vec::new(), Vec::new());
        for ((exact, stated), &least) in self.amounts.into_iter().zip(self.stated).zip(least) {
            let all = exact.iter().chain(stated.iter().flatten());
            let scale = all.map(|&(_, scale)| scale).max().unwrap_or(0).max(least);
            let whole: Option<Vec<i128>> =
                exact.into_iter().map(|amount| number::rescaled(amount, scale)).collect();
            amounts.push(whole.ok_or(too_long(scale))?);
            let whole = |stated: Option<Exact>| match stated {
                Some(stated) => number::rescaled(stated, scale).map(Some),
                None => Some(None),
            };
            let stated: Option<Vec<Option<i128>>> = stated.into_iter().map(whole).collect();
            all_stated.push(stated.ok_or(too_long(scale))?);
            scales.push(scale);
        }
        let (slots, set_aside) = (self.slots, self.set_aside);
        Ok(Entries { slots, keys, amounts, scales, stated: all_stated, set_aside })
    }
}

/// What is said where sums outgrow what is added up exactly.
pub(super) fn too_long(scale: u32) -> Error {
    Error::Limit { what: "digits of a sum of postings", found: u64::from(scale).max(39), limit: 38 }
}

/// The decimal sign of all amounts: the declared one, else what all of them together tell.
fn decimal_sign(raw: &Raw, layout: &Layout, declared: Option<DecimalSign>) -> Result<DecimalSign> {
    let numbers = layout.numbers();
    let mut finder = SignFinder::default();
    for segment in 0..raw.segments() {
        let columns = raw.read(segment, &numbers, None)?;
        for (array, &column) in columns.columns().iter().zip(&numbers) {
            no_floats(raw, array, column)?;
            if declared.is_none() && array.data_type().is_string() {
                texts(array).iter().flatten().for_each(|text| finder.look(text));
            }
        }
        if declared.is_some() {
            break;
        }
    }
    if let Some(sign) = declared {
        return Ok(sign);
    }
    finder.finish().map_err(|found| Error::Malformed {
        path: raw.path().to_owned(),
        at: At::default(),
        expected: "amounts with one decimal sign".to_owned(),
        found,
        hint: Some("declare ledger.postings.decimal_sign = \",\" or \".\" in the plan".to_owned()),
    })
}

/// The number in a cell; `None` if it is empty, in words what cannot be read.
fn number_in(
    column: usize,
    cells: &Cells,
    row: usize,
    sign: DecimalSign,
) -> std::result::Result<Option<Exact>, String> {
    let Some(text) = cells.text(column, row) else { return Ok(None) };
    // A column with numbers of its own writes them with a point.
    let sign = if cells.arrays[&column].data_type().is_string() { sign } else { DecimalSign::Point };
    number::parse(text, sign).map(Some).ok_or_else(|| format!("{text:?} is no amount"))
}

/// By how much a row moves a measure; `None` if it does not say, in words what cannot be read.
fn amount(
    amounts: &Amounts,
    cells: &Cells,
    row: usize,
    sign: DecimalSign,
) -> std::result::Result<Option<Exact>, String> {
    let number = |column: usize| number_in(column, cells, row, sign);
    match amounts {
        Amounts::Signed(column) => number(*column),
        Amounts::Sides { debit, credit } => {
            let (debit, credit) = (number(*debit)?, number(*credit)?);
            if debit.is_none() && credit.is_none() {
                return Ok(None);
            }
            let (debit, credit) = (debit.unwrap_or((0, 0)), credit.unwrap_or((0, 0)));
            let scale = debit.1.max(credit.1);
            let whole = number::rescaled(debit, scale).zip(number::rescaled(credit, scale));
            let difference = whole.and_then(|(debit, credit)| debit.checked_sub(credit));
            difference.map(|d| Some((d, scale))).ok_or_else(|| "its amount has too many digits".to_owned())
        }
        Amounts::Flagged { amount, flag, plus, minus } => {
            let Some((value, scale)) = number(*amount)? else { return Ok(None) };
            let word = cells.text(*flag, row).unwrap_or("").to_lowercase();
            if plus.contains(&word) {
                return Ok(Some((value, scale)));
            }
            if minus.contains(&word) {
                return Ok(Some((-value, scale)));
            }
            Err(format!(
                "{word:?} names no direction (known are {} and {})",
                plus.join(", "),
                minus.join(", ")
            ))
        }
    }
}
