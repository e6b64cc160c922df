//! Opening ledgers that are tables: read where they lie, or once into the spool
//! where a change is more than a projection of a row.

use super::inputs::{DatasetInput, Intake, OpenedTable, ReadLedger, SourceInput, no_table, two_tables};
use crate::error::{Error, Result};
use crate::ledger::order::{Identity, OrderRules};
use crate::ledger::store::ChangeStore;
use crate::ledger::want::Want;
use crate::ledger::{Format, Halves, MappedTable, PositionKind};
use crate::model::{
    CellDifference, CellState, ChangeBatch, Discrepancy, DiscrepancyKind, Images, LedgerPlace, TableSchema,
    time,
};
use crate::plan::{Bound, Dataset, LedgerClock};
use crate::read::{InputFile, Spool};

/// Opens the ledgers of the datasets of one source.
pub(super) fn open(
    plans: &[&Dataset],
    tables: &[OpenedTable],
    members: &[usize],
    (files, spool): (Vec<InputFile>, &Spool),
) -> Result<(SourceInput, Vec<ReadLedger>)> {
    let ledger = &plans[0].ledger;
    let mut stores = Vec::new();
    let mut has_position = false;
    let mut opened = Vec::new();
    for (plan, table) in plans.iter().zip(tables) {
        opened.push(MappedTable::open(plan, &table.schema, plans.len() > 1, spool)?);
    }
    refuse_names(plans, &opened)?;
    for (member, ((plan, table), mapped)) in plans.iter().zip(tables).zip(opened).enumerate() {
        has_position = mapped.has_position();
        let mut discrepancies = mapped.discrepancies().to_vec();
        // What concerns no dataset in particular is told of the first.
        if member == 0 {
            discrepancies.extend(mapped.set_aside().cloned().map(|d| of_ledger(d, plan)));
        }
        let twice = mapped.twice().to_vec();
        let filtered = plan.current.filter.is_some() || plan.ledger.filter.is_some();
        let is_projection = !filtered && !mapped.converts() && !mapped.has_halves();
        let mut read = if is_projection {
            let lanes = mapped.lanes();
            let store = ChangeStore::mapped(table.schema.clone(), mapped)?;
            ReadLedger {
                store,
                lanes,
                discrepancies,
                twice: Vec::new(),
                entered: Vec::new(),
                covers_current: false,
                contested: Vec::new(),
                postings: None,
            }
        } else {
            spool_changes(plan, &table.schema, &mapped, discrepancies, spool)?
        };
        read.twice = twice;
        stores.push(read);
    }
    let source = SourceInput {
        datasets: members.to_vec(),
        files,
        format: Format::Mapped,
        rules: OrderRules {
            commit_clock: ledger.clock == LedgerClock::Commit,
            identity: if has_position { Identity::Position } else { Identity::None },
        },
        positions: has_position.then_some(PositionKind::Number),
        clock: ledger.clock,
        whole_seconds: false,
        streamed: None,
    };
    Ok((source, stores))
}

/// A ledger that names tables, none of them or several of them a dataset's, is no ledger of it.
fn refuse_names(plans: &[&Dataset], opened: &[MappedTable]) -> Result<()> {
    let named: Vec<Vec<(String, bool)>> =
        plans.iter().zip(opened).map(|(plan, mapped)| mapped.named(plan)).collect();
    let ours = |names: &[(String, bool)]| -> Vec<String> {
        names.iter().filter(|(_, taken)| *taken).map(|(name, _)| name.clone()).collect()
    };
    for (plan, names) in plans.iter().zip(&named) {
        let ours = ours(names);
        if ours.len() > 1 && plan.ledger.names.len() < 2 {
            return Err(two_tables(plan, &ours));
        }
    }
    let nobodys = named.iter().all(|names| !names.is_empty() && ours(names).is_empty());
    match (nobodys, named.first()) {
        (true, Some(names)) => Err(no_table(plans[0], &mut names.iter().map(|(name, _)| name.as_str()))),
        _ => Ok(()),
    }
}

/// A record of a ledger's file that is no row, as found by whoever read the table.
fn of_ledger(mut discrepancy: Discrepancy, plan: &Dataset) -> Discrepancy {
    discrepancy.dataset.clone_from(&plan.name);
    if let Some(place) = discrepancy.current.take() {
        discrepancy.ledger =
            Some(LedgerPlace { file: place.file, record: place.row, ..LedgerPlace::default() });
    }
    discrepancy
}

/// Changes that need more than a projection (a scope applied, values converted, two rows joined)
/// are read once into the spool. A value that does not fit its column is absent from then on, and
/// said so.
fn spool_changes(
    plan: &Dataset,
    schema: &TableSchema,
    mapped: &MappedTable,
    discrepancies: Vec<Discrepancy>,
    spool: &Spool,
) -> Result<ReadLedger> {
    let mut intake = Intake::new(schema, spool)?;
    intake.discrepancies = discrepancies;
    let mut halves = mapped.has_halves().then(|| Halves::new(schema));
    let failed = || Error::arrow(std::path::Path::new("ledger images"));
    let mut lossy: Vec<(u64, u64)> = vec![(0, 0); schema.len()];
    for segment in 0..mapped.segments() {
        let batch = mapped.read(segment, Want::EVIDENCE, None)?;
        count_lossy(&batch, mapped, &mut lossy);
        let batches = match &mut halves {
            Some(halves) => halves.push(batch).map_err(failed())?,
            None => vec![batch],
        };
        for batch in batches {
            let file = batch.file;
            intake.take(batch, file, plan)?;
        }
    }
    if let Some(batch) = halves.and_then(|mut halves| halves.finish().transpose()) {
        let batch = batch.map_err(failed())?;
        let file = batch.file;
        intake.take(batch, file, plan)?;
    }
    intake.discrepancies.extend(lossy_values(plan, schema, mapped, &lossy));
    // Whether the ledger has positions shows in its batches.
    intake.finish(true)
}

/// Per column, how many values did not fit and the record of the first.
fn count_lossy(batch: &ChangeBatch, mapped: &MappedTable, lossy: &mut [(u64, u64)]) {
    for (column, lossy) in lossy.iter_mut().enumerate().filter(|(c, _)| mapped.is_stated(*c)) {
        let absent =
            |images: &Images, row| images.is_present(row) && images.state(column, row) == CellState::Absent;
        // A row of an update that does not say which image it is says nothing of the one before.
        let states_before = |row| !mapped.has_halves() || !batch.after.is_present(row);
        let lost =
            |row: &usize| states_before(*row) && absent(&batch.before, *row) || absent(&batch.after, *row);
        for row in (0..batch.len()).filter(lost) {
            *lossy = (lossy.0 + 1, if lossy.0 == 0 { batch.record[row] } else { lossy.1 });
        }
    }
}

fn lossy_values<'a>(
    plan: &'a Dataset,
    schema: &'a TableSchema,
    mapped: &'a MappedTable,
    lossy: &'a [(u64, u64)],
) -> impl Iterator<Item = Discrepancy> + 'a {
    lossy.iter().enumerate().filter(|(_, l)| l.0 > 0).map(|(column, &(count, record))| {
        let (name, data_type) = (schema.name(column), schema.data_type(column));
        let message = format!(
            "{count} changes hold a value of {name:?} that is no {data_type} exactly: it is not used"
        );
        let mut discrepancy = Discrepancy::new(DiscrepancyKind::LossyValue, plan.name.clone(), message);
        discrepancy.count = count;
        discrepancy.cells.push(CellDifference { column: name.to_owned(), expected: None, found: None });
        discrepancy.touches_snapshot = true;
        discrepancy.ledger = Some(LedgerPlace { file: mapped.path(), record, ..LedgerPlace::default() });
        discrepancy
    })
}

/// Changes that are findings at a moment are listed up to this many; the last stands for the rest.
const LISTED: usize = 100;

/// Changes whose commit time may be one of two instants, one of them in force at a moment and the
/// other not.
pub(super) fn ambiguous(input: &DatasetInput, bound: &Bound) -> Vec<Discrepancy> {
    let in_force = |at: i64| match bound {
        Bound::At(moment) => at <= *moment,
        Bound::Before(moment) => at < *moment,
        // Where an order mark cuts, no clock does.
        Bound::Position(_) | Bound::Transaction(_) => true,
    };
    let split: Vec<_> = input.twice.iter().filter(|t| in_force(t.earlier) && !in_force(t.later)).collect();
    let mut found: Vec<Discrepancy> = split
        .iter()
        .take(LISTED)
        .map(|twice| {
            let message = format!(
                "the local commit time of this change occurs twice, at {} and {}: taken as the earlier, it is \
                 in force, else it would be undone",
                time::format_instant(twice.earlier),
                time::format_instant(twice.later)
            );
            let mut discrepancy = input.discrepancy(DiscrepancyKind::AmbiguousCut, message);
            discrepancy.touches_snapshot = true;
            discrepancy.ledger = Some(LedgerPlace {
                file: twice.file.clone(),
                record: twice.record,
                ..LedgerPlace::default()
            });
            discrepancy
        })
        .collect();
    let more = split.len().saturating_sub(LISTED) as u64;
    if let Some(last) = found.last_mut().filter(|_| more > 0) {
        last.count += more;
        last.message += &format!(" (and {more} more like it)");
    }
    found
}
