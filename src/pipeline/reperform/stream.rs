//! Which change streams plain SQL can express, and which columns of them.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};

use arrow::datatypes::{DataType, TimeUnit};
use serde_json::Value;

use super::super::inputs::{DatasetInput, SourceInput, Streamed};
use super::super::run::Run;
use super::names;
use crate::ledger::{Format, PositionKind, TextEncoding, decode_options};
use crate::model::rank::DROPPED;
use crate::model::{Discrepancy, DiscrepancyKind as Kind, NO_TIME};
use crate::read::InputFile;
use crate::report::reperform::{SqlDataset, SqlLedger, SqlStream, SqlStreamKind};

/// A dataset with its name, or why it cannot be expressed.
type Expressed = (String, Result<SqlDataset, String>);

/// Columns whose cells are not recomputed, and why; an error if that leaves nothing to recompute.
pub(super) fn left_out(input: &DatasetInput) -> Result<Vec<(String, String)>, String> {
    let mut left_out: Vec<(String, String)> = Vec::new();
    for discrepancy in &input.discrepancies {
        doubtful(input, discrepancy, &mut left_out)?;
    }
    for column in (0..input.schema.len()).filter(|&c| input.lanes.is_unstated(c)) {
        let name = input.schema.name(column);
        if left_out.iter().all(|(known, _)| known != name) {
            left_out.push((name.to_owned(), "not every record states it".to_owned()));
        }
    }
    let is_left_out = |&c: &usize| left_out.iter().any(|(name, _)| name == input.schema.name(c));
    let values: Vec<usize> = (0..input.schema.len()).filter(|&c| !input.schema.is_key(c)).collect();
    let nothing_left = !values.is_empty() && values.iter().all(is_left_out);
    if nothing_left
        || input.schema.key().iter().any(is_left_out)
        || !left_out.is_empty() && input.schema.is_keyless()
    {
        return Err("some images are not whole".to_owned());
    }
    Ok(left_out)
}

/// What something that reading found means for the script.
fn doubtful(
    input: &DatasetInput,
    discrepancy: &Discrepancy,
    left_out: &mut Vec<(String, String)>,
) -> Result<(), String> {
    let columns: Vec<&str> = discrepancy.cells.iter().map(|cell| cell.column.as_str()).collect();
    let is_own = |name: &str| (0..input.schema.len()).any(|c| input.schema.name(c) == name);
    match discrepancy.kind {
        // They say nothing of the changes that are there.
        Kind::CoverageAssumed | Kind::SequenceGap | Kind::TimeRegression | Kind::AmbiguousNull => Ok(()),
        Kind::UnknownColumn => Ok(()),
        Kind::LossyValue | Kind::ColumnNotCovered | Kind::SchemaDrift
            if !columns.is_empty() && columns.iter().all(|name| is_own(name)) =>
        {
            for column in columns {
                if left_out.iter().all(|(known, _)| known != column) {
                    left_out.push((
                        column.to_owned(),
                        format!("{}: {}", discrepancy.kind.code(), discrepancy.message),
                    ));
                }
            }
            Ok(())
        }
        _ => Err("some of its records are set aside or doubtful".to_owned()),
    }
}

/// The ledger of one dataset; its stream gets its number among all later.
pub(super) fn ledger(run: &Run, number: usize) -> Result<SqlLedger, String> {
    let input = &run.inputs.datasets[number];
    let (source, ordered) = (run.source(number), run.order(number));
    let streamed = source.streamed.as_ref().ok_or("its ledger is no stream of records")?;
    if ordered.repeats.iter().flatten().any(|repeat| repeat.kind != Kind::DuplicateChange) {
        return Err("its ledger repeats positions with other content".to_owned());
    }
    let again: BTreeSet<u32> = ordered.repeats[input.member].iter().map(|repeat| repeat.again).collect();
    if source.positions != Some(PositionKind::DebeziumLsn) && ordered.repeats.iter().any(|r| !r.is_empty()) {
        return Err("its ledger repeats positions".to_owned());
    }
    if ordered.order.transactions.iter().any(|t| t.time == NO_TIME) {
        return Err("some of its changes have no commit time".to_owned());
    }
    let is_nanoseconds = |t: &DataType| matches!(t, DataType::Timestamp(TimeUnit::Nanosecond, _));
    let fields = input.schema.arrow().fields();
    if input.plan.ledger.timestamps == Some(TimeUnit::Nanosecond)
        || source.format == Format::Debezium && fields.iter().any(|f| is_nanoseconds(f.data_type()))
    {
        return Err("its times are nanoseconds".to_owned());
    }
    if let Some(Some(ranks)) = ordered.order.ranks.get(input.member)
        && !ranks.iter().filter(|&&rank| rank != DROPPED).is_sorted()
    {
        return Err("its records are not in the order of their transactions".to_owned());
    }
    for file in &source.files {
        if !is_plain(file, source.format) {
            return Err("its records are not one JSON object per line, or wrapped in a way that the script does not take apart".to_owned());
        }
    }
    let read = u64::from(input.store.len()) - again.len() as u64;
    Ok(SqlLedger::Stream(input.source, tables(streamed, input.member), read))
}

fn tables(streamed: &Streamed, member: usize) -> Vec<String> {
    streamed.tables.iter().filter(|(_, to)| *to == member).map(|(name, _)| name.clone()).collect()
}

/// How much of a file is looked at to find its first record.
const HEAD: u64 = 1 << 24;

/// Whether the first record of a file is wrapped in no way, or in one that the script takes apart.
fn is_plain(file: &InputFile, format: Format) -> bool {
    let Ok(content) = file.content() else { return false };
    for line in BufReader::new(content.take(HEAD)).lines() {
        let Ok(line) = line else { return false };
        let Ok(record) = serde_json::from_str::<Value>(&line) else { return false };
        if record.is_null() {
            continue;
        }
        let Value::Object(record) = record else { return false };
        let nested = |of: &Value, name: &str| of.get(name).is_some_and(Value::is_object);
        return match format {
            Format::Wal2Json => record.contains_key("change") || record.contains_key("action"),
            _ if record.contains_key("specversion") => false,
            _ => {
                let is_control = record.contains_key("status");
                let value = record.get("value").is_some_and(|v| v.is_object() || v.is_null());
                record.contains_key("op") || is_control || value || nested(&Value::Object(record), "payload")
            }
        };
    }
    false
}

/// The streams that expressed datasets need, which then name them by their place among these.
pub(super) fn number(run: &Run, datasets: Vec<Expressed>) -> (Vec<SqlStream>, Vec<Expressed>) {
    let mut sources: Vec<usize> = Vec::new();
    let datasets = datasets
        .into_iter()
        .map(|(name, dataset)| {
            let dataset = dataset.map(|mut dataset| {
                if let SqlLedger::Stream(source, ..) = &mut dataset.ledger {
                    let known = sources.iter().position(|s| s == source);
                    let place = known.unwrap_or(sources.len());
                    if known.is_none() {
                        sources.push(*source);
                    }
                    *source = place;
                }
                dataset
            });
            (name, dataset)
        })
        .collect();
    let streams = sources.into_iter().map(|source| stream(run, &run.inputs.sources[source])).collect();
    (streams, datasets)
}

fn stream(run: &Run, source: &SourceInput) -> SqlStream {
    let plan = source.datasets.first().map(|&dataset| &run.inputs.datasets[dataset].plan.ledger);
    let options = plan.map(decode_options).unwrap_or_default();
    let streamed = source.streamed.as_ref();
    let decimals = streamed.and_then(|s| s.decimals).or(options.decimals);
    let binary = streamed.and_then(|s| s.binary).or(options.binary);
    let kind = match source.format {
        Format::Debezium => SqlStreamKind::Debezium {
            decimals: decimals.map(|how| how == TextEncoding::Base64),
            hex: binary == Some(TextEncoding::Hex),
            tick: options.epoch.map(|unit| match unit {
                TimeUnit::Second => 1_000_000,
                TimeUnit::Millisecond => 1_000,
                // Finer ones than microseconds have no whole number of them.
                TimeUnit::Microsecond | TimeUnit::Nanosecond => 1,
            }),
            placeholder: options.placeholder,
            once: once(run, source),
        },
        _ => SqlStreamKind::Wal2Json,
    };
    let tables =
        streamed.map(|s| s.tables.iter().map(|(name, _)| name.clone()).collect()).unwrap_or_default();
    SqlStream { files: names(&source.files), kind, tables }
}

/// The tables of a stream in which a position, with op and key, tells a redelivered record from a new one.
fn once(run: &Run, source: &SourceInput) -> Vec<String> {
    let Some(streamed) = &source.streamed else { return Vec::new() };
    if source.positions != Some(PositionKind::DebeziumLsn) {
        return Vec::new();
    }
    let has_key = |member: usize| !run.inputs.datasets[source.datasets[member]].schema.is_keyless();
    let keyed = streamed.tables.iter().filter(|(_, member)| has_key(*member));
    keyed.map(|(name, _)| name.clone()).collect()
}
