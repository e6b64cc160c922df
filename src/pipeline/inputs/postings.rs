//! Opening ledgers of postings: the current balances first, from which their images are derived.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::ArrayRef;

use super::{Intake, OpenedTable, ReadLedger, SourceInput, normalise};
use crate::error::{Error, Result};
use crate::ledger::order::{Identity, OrderRules};
use crate::ledger::{Base, Derived, Format, PostingLedger, PostingTarget, exact_number};
use crate::model::canon::{self, Seed};
use crate::model::{CellDifference, CurrentPlace, Discrepancy, DiscrepancyKind as Kind, time};
use crate::pipeline::postings::{ReadPostings, starts};
use crate::pipeline::progress::Progress;
use crate::plan::{Bound, Dataset, RowsExist};
use crate::read::{InputFile, Spool, Table, TableSource};

/// Opens a source whose ledger holds postings.
pub(super) fn open(
    plans: &[&Dataset],
    tables: &[OpenedTable],
    members: &[usize],
    (files, format): (Vec<InputFile>, Format),
    (spool, progress): (&Spool, &dyn Progress),
) -> Result<(SourceInput, Vec<ReadLedger>)> {
    let comparable: Vec<_> = plans.iter().zip(tables).map(|(plan, table)| comparable(plan, table)).collect();
    let targets: Vec<PostingTarget<'_>> = plans
        .iter()
        .zip(tables)
        .zip(&comparable)
        .map(|((plan, table), comparable)| PostingTarget { plan, schema: &table.schema, comparable })
        .collect();
    for target in &targets {
        refuse_unfit(target)?;
    }
    let ledger = Arc::new(PostingLedger::open(format, &targets, spool)?);
    let mut read = Vec::new();
    for (number, (target, table)) in targets.iter().zip(tables).enumerate() {
        refuse_unknown_then(target.plan, &ledger)?;
        read.push(read_one((&ledger, number), target, table, spool)?);
        progress.advance(1);
    }
    let source = SourceInput {
        datasets: members.to_vec(),
        files,
        format,
        rules: OrderRules { commit_clock: true, identity: Identity::None },
        positions: None,
        clock: ledger.clock(),
        whole_seconds: false,
        streamed: None,
    };
    Ok((source, read))
}

impl OpenedTable {
    /// Columns (rising) of a group, of the rows in scope.
    fn read(&self, group: usize, columns: &[usize]) -> Result<arrow::array::RecordBatch> {
        let batch = self.table.read(group, columns, None)?;
        let Some(scope) = &self.scope else { return Ok(batch) };
        let mask = scope.filter.evaluate(&self.table.read(group, &scope.columns, None)?);
        let failed = Error::arrow(self.table.files().first().map_or(std::path::Path::new(""), |f| &f.path));
        arrow::compute::filter_record_batch(&batch, &mask).map_err(failed)
    }
}

/// How the keys of a dataset are compared.
fn comparable<'a>(
    plan: &'a Dataset,
    table: &'a OpenedTable,
) -> impl Fn(usize, &ArrayRef) -> ArrayRef + Sync + 'a {
    |number, array| {
        let name = table.schema.name(table.schema.key()[number]);
        match plan.normalise.iter().find(|(column, _)| column == name) {
            Some((_, how)) => normalise(array, how),
            None => Arc::clone(array),
        }
    }
}

fn refuse_unfit(target: &PostingTarget<'_>) -> Result<()> {
    let refused = |reason: &str, hint: &str| {
        Err(Error::Refused {
            dataset: target.plan.name.clone(),
            reason: reason.to_owned(),
            hint: Some(hint.to_owned()),
        })
    };
    if target.schema.is_keyless() {
        return refused("postings move rows that are found by their key, and it has none", "declare its key");
    }
    match &target.plan.current.at {
        Some(Bound::Position(_) | Bound::Transaction(_)) => refused(
            "the extract moment of a table of balances is a time",
            "write current.at as an instant or a day",
        ),
        _ => Ok(()),
    }
}

/// A second moment outside of what is known to be complete, or behind the extract.
fn refuse_unknown_then(plan: &Dataset, ledger: &PostingLedger) -> Result<()> {
    let Some(known_at) = &plan.ledger.postings.known_at else { return Ok(()) };
    let Some(asked) = known_at.bound.last_nanosecond() else {
        return Err(Error::When {
            text: known_at.text.clone(),
            reason: "what was known when is asked by a time".to_owned(),
            hint: Some("write for instance --known-at 2026-01-15".to_owned()),
        });
    };
    let refuse = |reason: String, nearest: Option<String>| Error::Uncovered {
        dataset: plan.name.clone(),
        as_of: format!("known at {}", known_at.resolved),
        reason,
        nearest,
    };
    if let Some(at) = plan.current.at.as_ref().filter(|at| at.includes(asked) == Some(false)) {
        return Err(refuse("the current state was read before it".to_owned(), Some(at.to_when())));
    }
    let declared = starts(plan, ledger).committed.and_then(|bound| bound.last_nanosecond());
    let (why, from) = match (declared, ledger.first_committed()) {
        _ if plan.ledger.from_birth => return Ok(()),
        (Some(from), _) => ("the ledger is declared complete by entry from", from),
        (None, Some(from)) => {
            ("the first entry that the ledger records (observed, not declared) was made at", from)
        }
        (None, None) => return Ok(()),
    };
    if asked.saturating_add(1) < from {
        let from = time::format_instant(from);
        return Err(refuse(format!("{why} {from}"), Some(from)));
    }
    Ok(())
}

/// Derives the changes of one dataset.
fn read_one(
    (ledger, number): (&Arc<PostingLedger>, usize),
    target: &PostingTarget<'_>,
    table: &OpenedTable,
    spool: &Spool,
) -> Result<ReadLedger> {
    let plan = target.plan;
    let mut intake = Intake::new(target.schema, spool)?;
    let (mut base, unposted) = balances((ledger, number), target, table)?;
    let rows = rows_exist(plan);
    base.existed = existed((ledger, number), target, rows, spool)?;
    let mut take = |batch, file| intake.take(batch, file, plan);
    let mut derived = ledger.derive(number, target, &base, &mut take)?;
    let mut discrepancies = if number == 0 { ledger.discrepancies() } else { Vec::new() };
    discrepancies.extend(unposted_findings(plan, (rows, &derived), unposted));
    let mut ranked = Vec::new();
    let own = std::mem::take(&mut derived.findings);
    for finding in ledger.findings(number).chain(&own) {
        let index = finding.row.and_then(|row| {
            let at = derived.indices.binary_search_by_key(&row, |&(row, _)| row).ok()?;
            Some(derived.indices[at].1)
        });
        match finding.row {
            Some(_) => ranked.push((named(finding.discrepancy.clone(), plan), index.unwrap_or(u32::MAX))),
            None => discrepancies.push(finding.discrepancy.clone()),
        }
    }
    let mut read = intake.finish(false)?;
    read.discrepancies = discrepancies.into_iter().map(|d| named(d, plan)).collect();
    read.postings = Some(ReadPostings {
        assumptions: ReadPostings::assumptions_of(plan, (ledger, number), rows, &derived),
        ledger: Arc::clone(ledger),
        target: number,
        rows,
        ranked,
        contradicted: derived.contradicted,
        broken: derived.broken,
        equations: derived.equations,
    });
    Ok(read)
}

fn named(mut discrepancy: Discrepancy, plan: &Dataset) -> Discrepancy {
    discrepancy.dataset.clone_from(&plan.name);
    discrepancy
}

/// When rows are there: as declared; else from their first posting on where something says what was
/// there before (birth, an opening), and always where nothing does.
fn rows_exist(plan: &Dataset) -> RowsExist {
    let known = plan.ledger.from_birth || plan.opening.is_some();
    let usual = if known { RowsExist::FirstPosting } else { RowsExist::Always };
    plan.ledger.postings.rows.unwrap_or(usual)
}

/// Whether the row of each slot was there before its first posting.
fn existed(
    (ledger, number): (&PostingLedger, usize),
    target: &PostingTarget<'_>,
    rows: RowsExist,
    spool: &Spool,
) -> Result<Vec<bool>> {
    let firsts = ledger.first_times(number);
    if rows != RowsExist::FirstPosting {
        return Ok(vec![true; firsts.len()]);
    }
    let Some(opening) = target.plan.opening.as_ref() else { return Ok(vec![false; firsts.len()]) };
    let opened = keys_of(&opening.source, target, spool)?;
    let keys = compared(ledger.keys(number), target);
    // Of what is posted to before the opening, the opening says nothing.
    let before = |slot: usize| opening.as_of.bound.includes(firsts[slot]) == Some(true);
    Ok((0..firsts.len()).map(|slot| before(slot) || opened.contains(&identity(&keys, slot))).collect())
}

fn compared(keys: &[ArrayRef], target: &PostingTarget<'_>) -> Vec<ArrayRef> {
    keys.iter().enumerate().map(|(number, key)| (target.comparable)(number, key)).collect()
}

fn identity(keys: &[ArrayRef], row: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    keys.iter().for_each(|key| canon::canonical_bytes(key.as_ref(), row, &mut bytes));
    bytes
}

/// The keys of a table; none if it lacks a key column, which whoever uses the table says.
fn keys_of(source: &TableSource, target: &PostingTarget<'_>, spool: &Spool) -> Result<HashSet<Vec<u8>>> {
    let table = Table::open(source, spool)?;
    let names = target.schema.key().iter().map(|&c| target.schema.name(c));
    let columns: Option<Vec<usize>> =
        names.map(|name| table.schema().fields().iter().position(|f| f.name() == name)).collect();
    let mut keys = HashSet::new();
    for group in (0..table.groups()).filter(|_| columns.is_some()) {
        let columns = columns.clone().unwrap_or_default();
        let arrays = columns.iter().map(|&c| Ok(Arc::clone(table.read(group, &[c], None)?.column(0))));
        let arrays = compared(&arrays.collect::<Result<Vec<_>>>()?, target);
        keys.extend((0..table.rows(group)).map(|row| identity(&arrays, row)));
    }
    Ok(keys)
}

/// A current row with something on it that no posting moves.
struct Unposted {
    key: String,
    place: CurrentPlace,
    cells: Vec<(String, String)>,
}

/// How many of them are told one by one.
const TOLD: usize = 1000;

/// What the current state says of the keys that are posted to, and rows with something on them that are not.
fn balances(
    (ledger, number): (&PostingLedger, usize),
    target: &PostingTarget<'_>,
    table: &OpenedTable,
) -> Result<(Base, Vec<Unposted>)> {
    let seed = Seed::random();
    let keys = compared(ledger.keys(number), target);
    let ids = canon::key_ids(&keys.iter().collect::<Vec<_>>(), seed);
    let slots: HashMap<u128, usize> = ids.into_iter().enumerate().map(|(slot, id)| (id, slot)).collect();
    let measures = ledger.measures(number);
    let mut base = Base {
        stands: vec![false; slots.len()],
        existed: Vec::new(),
        balances: vec![vec![Some((0, 0)); slots.len()]; measures.len()],
        unposted: vec![(0, 0); measures.len()],
    };
    let mut unposted = Vec::new();
    for group in 0..table.table.groups() {
        let columns: Vec<usize> =
            (0..target.schema.len()).filter(|c| target.schema.is_key(*c) || measures.contains(c)).collect();
        let batch = table.read(group, &columns)?;
        let column = |c: usize| batch.column(columns.partition_point(|&other| other < c));
        let raw: Vec<ArrayRef> = target.schema.key().iter().map(|&c| Arc::clone(column(c))).collect();
        let keys = compared(&raw, target);
        let ids = canon::key_ids(&keys.iter().collect::<Vec<_>>(), seed);
        let nulls: HashSet<usize> = canon::null_keys(&keys.iter().collect::<Vec<_>>()).into_iter().collect();
        for (row, id) in ids.iter().enumerate().take(batch.num_rows()) {
            let values = measures.iter().map(|&c| value(column(c), row)).collect::<Vec<_>>();
            match slots.get(id).filter(|_| !nulls.contains(&row)) {
                // The first of several rows with one key; the kernel says that there are several.
                Some(&slot) if !base.stands[slot] => {
                    base.stands[slot] = true;
                    base.balances.iter_mut().zip(values).for_each(|(balances, value)| balances[slot] = value);
                }
                _ => {
                    add(&mut base.unposted, &values)?;
                    let is_something = values.iter().flatten().any(|value| value.0 != 0);
                    if is_something && unposted.len() < TOLD && !slots.contains_key(id) {
                        let names =
                            target.schema.key().iter().map(|&c| target.schema.name(c)).collect::<Vec<_>>();
                        let (file, first) = table.table.place(group);
                        let file = table
                            .table
                            .files()
                            .get(file)
                            .map_or_else(String::new, |f| f.path.display().to_string());
                        let text = |&c: &usize| {
                            (
                                target.schema.name(c).to_owned(),
                                canon::cell_text(column(c).as_ref(), row).unwrap_or_default(),
                            )
                        };
                        unposted.push(Unposted {
                            key: canon::key_text(&names, &raw.iter().collect::<Vec<_>>(), row),
                            place: CurrentPlace { file, row: first + row as u64 },
                            cells: measures.iter().map(text).collect(),
                        });
                    }
                }
            }
        }
    }
    Ok((base, unposted))
}

/// The exact value of a cell; `None` if it is null.
fn value(array: &ArrayRef, row: usize) -> Option<(i128, u32)> {
    canon::cell_text(array.as_ref(), row).and_then(|text| exact_number(&text))
}

fn add(sums: &mut [(i128, u32)], values: &[Option<(i128, u32)>]) -> Result<()> {
    for (sum, value) in sums.iter_mut().zip(values) {
        let Some((value, scale)) = *value else { continue };
        let to = sum.1.max(scale);
        let rescaled = |(whole, scale): (i128, u32)| whole.checked_mul(10_i128.checked_pow(to - scale)?);
        let added = rescaled(*sum).zip(rescaled((value, scale))).and_then(|(a, b)| a.checked_add(b));
        let limit = Error::Limit { what: "digits of a sum of balances", found: 39, limit: 38 };
        *sum = (added.ok_or(limit)?, to);
    }
    Ok(())
}

/// Rows with something on them and no posting, where all that ever was there was posted or restated.
fn unposted_findings(
    plan: &Dataset,
    (rows, derived): (RowsExist, &Derived),
    unposted: Vec<Unposted>,
) -> Vec<Discrepancy> {
    // Where rows come with their first posting, the kernel finds those without any.
    let (kind, message) = match (plan.ledger.from_birth, rows) {
        (true, RowsExist::Always) => {
            (Kind::CurrentDiffers, "the ledger is complete from birth and holds no posting of this balance")
        }
        (false, _) if derived.begins_restated => (
            Kind::OpeningDiffers,
            "the ledger begins with opening entries, and holds neither one of this balance nor a posting",
        ),
        _ => return Vec::new(),
    };
    let one = |row: Unposted| {
        let mut discrepancy = Discrepancy::new(kind, plan.name.clone(), message);
        discrepancy.key = row.key;
        discrepancy.current = Some(row.place);
        discrepancy.touches_snapshot = true;
        for (column, found) in row.cells {
            discrepancy.amounts.push((column.clone(), found.clone()));
            discrepancy.cells.push(CellDifference {
                column,
                expected: Some("0".to_owned()),
                found: Some(found),
            });
        }
        discrepancy
    };
    unposted.into_iter().map(one).collect()
}
