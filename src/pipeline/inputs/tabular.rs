//! Opening ledgers that are tables: decoded segment by segment into the spool.

use arrow::array::Array;
use rayon::prelude::*;

use super::{
    InputFile, Intake, OpenedTable, Parsed, ReadLedger, SourceInput, lacks_zone, refuse_no_table,
    refuse_two_tables, source_of, take_notes, target,
};
use crate::error::{Error, Result};
use crate::ledger::{
    self, Carry, DecodeOptions, Decoded, Format, TableTarget, TabularContext, TabularLedger,
};
use crate::pipeline::progress::Progress;
use crate::plan::{Bound, Dataset};
use crate::read::{Spool, TableFormat};

/// Opens a source whose ledger is of a table-shaped format.
pub(super) fn open(
    plans: &[&Dataset],
    tables: &[OpenedTable],
    members: &[usize],
    (files, format): (Vec<InputFile>, Format),
    spool: &Spool,
    progress: &dyn Progress,
) -> Result<(SourceInput, Vec<ReadLedger>)> {
    let alone = plans.len() == 1;
    let targets: Vec<TableTarget> =
        plans.iter().zip(tables).zip(members).map(|of| target(of, alone)).collect();
    ledger::refuse_meanings_of_columns(&plans[0].ledger)?;
    let mut options = ledger::decode_options(&plans[0].ledger);
    let context = context(plans[0], &tables[0], format)?;
    let opened = TabularLedger::open(format, &plans[0].ledger, &targets, &context, spool)?;
    refuse_closed_history(plans[0], &tables[0], &opened)?;
    let run = |targets: &[TableTarget], options: &mut DecodeOptions| -> Result<Parsed> {
        let parsed = parse(plans, targets, &opened, options, (spool, progress))?;
        // A column that turns out to hold JSON documents holds them in every row.
        if !parsed.stream.read_again && parsed.stream.facts.doubts_as(&options.facts) {
            return Ok(parsed);
        }
        options.facts = parsed.stream.facts.clone();
        parse(plans, targets, &opened, options, (spool, progress))
    };
    let mut parsed = run(&targets, &mut options)?;
    if let [only] = plans
        && only.ledger.names.is_empty()
        && parsed.stream.tables.len() > 1
    {
        let mut named = targets;
        named[0].names = vec![only.name.clone()];
        options.facts = ledger::Facts::default();
        parsed = run(&named, &mut options)?;
    }
    refuse_no_table(plans, &parsed.stream)?;
    refuse_two_tables(plans, &parsed.stream)?;
    let mut ledgers = parsed.ledgers;
    if let Some(first) = ledgers.first_mut() {
        let mut found = opened.discrepancies().to_vec();
        found.iter_mut().for_each(|d| d.dataset.clone_from(&plans[0].name));
        first.discrepancies.extend(found);
        first.contested = opened.contested().to_vec();
        first.covers_current = opened.covers_current() == Some(true);
    }
    // The log of a table's folder says which of its files are read.
    let files = opened.files().map_or(files, <[InputFile]>::to_vec);
    let source = source_of(members, files, format, &parsed.stream, plans[0].ledger.clock);
    Ok((source, ledgers))
}

/// What the ledger's reader must know of the dataset.
fn context(plan: &Dataset, table: &OpenedTable, format: Format) -> Result<TabularContext> {
    let delimited = matches!(table.table.format(), TableFormat::Csv | TableFormat::Tsv);
    let mut has_values = Vec::new();
    // A column that is null throughout the change table may be one that is never logged.
    for column in (0..table.table.schema().fields().len()).filter(|_| format == Format::SqlServerCdc) {
        let mut some = false;
        for group in 0..table.table.groups() {
            let batch = table.table.read(group, &[column], None)?;
            some |= batch.column(0).null_count() < batch.num_rows();
        }
        has_values.push(some);
    }
    Ok(TabularContext {
        extract: plan.current.at.as_ref().and_then(Bound::last_nanosecond),
        empty_texts: delimited && table.table.null_marker().is_none(),
        zone: plan.ledger.table.time_zone,
        has_values,
    })
}

/// A history of closed versions alone does not say which of its rows went on.
fn refuse_closed_history(plan: &Dataset, table: &OpenedTable, opened: &TabularLedger) -> Result<()> {
    if opened.covers_current() != Some(false) || table.table.total_rows() == 0 {
        return Ok(());
    }
    Err(Error::Refused {
        dataset: plan.name.clone(),
        reason: "its history holds closed versions alone: which rows went on, and since when the current ones stand, \
                 it does not say"
            .to_owned(),
        hint: Some(
            "add the current table with its period columns to ledger.path, or export the history FOR SYSTEM_TIME ALL"
                .to_owned(),
        ),
    })
}

/// Decodes all segments, in parallel by windows, and stitches them in order.
fn parse(
    plans: &[&Dataset],
    targets: &[TableTarget],
    opened: &TabularLedger,
    options: &DecodeOptions,
    (spool, progress): (&Spool, &dyn Progress),
) -> Result<Parsed> {
    let mut carry = Carry::new();
    let mut intakes = targets.iter().map(|t| Intake::new(&t.schema, spool)).collect::<Result<Vec<_>>>()?;
    let segments: Vec<usize> = (0..opened.segments()).collect();
    for window in segments.chunks(rayon::current_num_threads().max(1) * 2) {
        let decoded: Vec<Result<Decoded>> =
            window.par_iter().map(|&segment| opened.decode(segment, targets, options)).collect();
        for (&segment, decoded) in window.iter().zip(decoded) {
            let mut decoded = decoded?;
            let (number, path) = opened.file(segment);
            if let Some(record) = decoded.lacks_zone {
                return Err(lacks_zone(&path, record));
            }
            carry.stitch(&mut decoded);
            progress.advance(1);
            take_notes(&mut intakes, plans, &decoded.notes, &path);
            for ((intake, batch), plan) in intakes.iter_mut().zip(decoded.changes).zip(plans) {
                intake.take(batch, number, plan)?;
            }
        }
    }
    let stream = carry.finish(options);
    let path = opened.segments().checked_sub(1).map_or_else(Default::default, |_| opened.file(0).1);
    take_notes(&mut intakes, plans, &stream.notes, &path);
    let positions = stream.positions.is_some();
    let mut ledgers = Vec::new();
    for (number, intake) in intakes.into_iter().enumerate() {
        let mut read = intake.finish(positions)?;
        (0..targets[number].schema.len())
            .filter(|&column| stream.facts.scale_lost(number, column))
            .for_each(|column| read.lanes.compare_as_number(column));
        ledgers.push(read);
    }
    Ok(Parsed { ledgers, stream })
}
