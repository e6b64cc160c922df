//! What `reperform.sql` needs to know of a run, and which datasets plain SQL cannot express.

mod stream;

use std::path::Path;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};

use super::run::Run;
use crate::error::{Error, Result};
use crate::ledger::order::Identity;
use crate::ledger::{Format, ImageColumns, ImageSide, Mapping, MappingHints, PositionKind, usual_op};
use crate::model::Op;
use crate::plan::{Bound, LedgerClock, Moment};
use crate::read::{InputFile, TableFormat, TableSource, columns_of, table_format};
use crate::report::reperform::{
    SqlBound, SqlColumn, SqlDataset, SqlImage, SqlLedger, SqlSource, SqlTable, script,
};

/// Words of op columns that scripts know, beside those that the plan declares.
const WORDS: &[&str] = &[
    "i", "ins", "insert", "inserted", "c", "create", "created", "add", "added", "+i", "u", "upd", "update",
    "updated", "modify", "modified", "change", "changed", "d", "del", "delete", "deleted", "remove",
    "removed", "-d",
];

/// Writes the script of one package. `snapshots` are the files of the datasets in it, `None` if left out;
/// `added` are columns that stand in each of them behind the table's own.
pub(super) fn write(
    run: &Run,
    moment: &Moment,
    (snapshots, added): (&[Option<String>], &[&str]),
    folder: &Path,
) -> Result<()> {
    let datasets: Vec<(String, Result<SqlDataset, String>)> = snapshots
        .iter()
        .enumerate()
        .map(|(number, snapshot)| {
            let dataset = match snapshot {
                Some(snapshot) => dataset(run, number, (snapshot, added)),
                None => Err("it was refused, or is no Parquet file".to_owned()),
            };
            (run.inputs.datasets[number].plan.name.clone(), dataset)
        })
        .collect();
    let (streams, datasets) = stream::number(run, datasets);
    let path = folder.join("reperform.sql");
    std::fs::write(&path, script(&moment.resolved, micros(&moment.bound), &streams, &datasets))
        .map_err(Error::io(&path, "write"))
}

/// DuckDB's times are whole microseconds.
fn micros(bound: &Bound) -> Option<SqlBound> {
    let (at, inclusive) = match bound {
        Bound::Before(at) => (*at, false),
        Bound::At(at) => (*at, true),
        Bound::Position(_) | Bound::Transaction(_) => return None,
    };
    (at % 1_000 == 0).then_some((at / 1_000, inclusive))
}

fn dataset(run: &Run, number: usize, (snapshot, added): (&str, &[&str])) -> Result<SqlDataset, String> {
    let input = &run.inputs.datasets[number];
    expressible(run, number)?;
    let extract = match &input.plan.current.at {
        None => None,
        Some(bound) => Some(micros(bound).ok_or("the extract moment is no time of whole microseconds")?),
    };
    let is_stream = run.source(number).format != Format::Mapped;
    let (left_out, ledger) = match is_stream {
        true => (stream::left_out(input)?, stream::ledger(run, number)?),
        false => {
            whole(run, number)?;
            (Vec::new(), SqlLedger::Table(Box::new(ledger(run, number)?)))
        }
    };
    let current = (names(input.table.files()), source(input.table.format(), &input.plan.current.source)?);
    let from_parquet = current.1 == SqlSource::Parquet;
    let columns = input.schema.arrow().fields().iter().map(|f| {
        let column = sql_column(f.name(), f.data_type())?;
        // Text has no one way to write these.
        let is_nested = matches!(column.sql_type, "VARCHAR[]" | "BLOB");
        match is_nested && !(is_stream && from_parquet) {
            true => Err(not_compared(f.name(), f.data_type())),
            false => Ok(column),
        }
    });
    let is_truncated = !run.analysed[number].histories.truncates.is_empty();
    let ambiguous = (0..input.schema.len()).filter(|&c| input.lanes.is_ambiguous(c));
    let ambiguous = ambiguous.map(|c| input.schema.name(c).to_owned());
    Ok(SqlDataset {
        name: input.plan.name.clone(),
        snapshot: snapshot.to_owned(),
        columns: columns.collect::<Result<_, String>>()?,
        added: added.iter().map(|column| (*column).to_owned()).collect(),
        ambiguous: ambiguous.filter(|name| left_out.iter().all(|(column, _)| column != name)).collect(),
        left_out,
        key: input.plan.key.clone(),
        current,
        extract,
        truncated: is_truncated.then_some(input.plan.ledger.from_birth),
        ledger,
    })
}

/// Why a dataset cannot be expressed, as far as the run knows.
fn expressible(run: &Run, number: usize) -> Result<(), String> {
    let input = &run.inputs.datasets[number];
    let (analysed, source) = (&run.analysed[number], run.source(number));
    let is_truncated = !analysed.histories.truncates.is_empty();
    let reasons = [
        (
            !matches!(source.format, Format::Mapped | Format::Debezium | Format::Wal2Json),
            "its ledger is neither a table with columns for op, time and whole images nor Debezium or wal2json",
        ),
        (
            input.plan.current.source.batches.is_some() || input.plan.ledger.table.batches.is_some(),
            "it was given in memory, not as files",
        ),
        (analysed.histories.lacks_before, "some images are not whole"),
        (is_truncated && (source.format == Format::Mapped || input.schema.is_keyless()), "it was truncated"),
        (
            is_truncated && (0..input.schema.len()).any(|c| input.lanes.is_ambiguous(c)),
            "it was truncated, and its ledger cannot express some values",
        ),
        (analysed.opening.is_some(), "it uses an opening"),
        (input.scope.is_some() || input.recorded.is_some(), "a filter applies to it"),
        (input.normalise.iter().any(|how| !how.is_empty()), "its keys are normalised"),
        (source.clock != LedgerClock::Commit, "its ledger's clock is not that of the commit"),
        (
            !input.twice.is_empty() || input.plan.ledger.table.time_zone.is_some(),
            "its ledger's times are local",
        ),
        (!analysed.histories.null_keys.is_empty(), "some changes have no key"),
        (
            !analysed.standing.null_keys.is_empty() || !analysed.standing.duplicate_keys.is_empty(),
            "some current rows have no key of their own",
        ),
    ];
    first_of(&reasons)
}

/// Why a ledger that is a table cannot be expressed.
fn whole(run: &Run, number: usize) -> Result<(), String> {
    let input = &run.inputs.datasets[number];
    let (source, order) = (run.source(number), run.order(number));
    first_of(&[
        (input.schema.is_keyless(), "it has no key"),
        (input.lanes.is_partial(), "some images are not whole"),
        (source.datasets.len() > 1, "its ledger holds several tables"),
        (!input.discrepancies.is_empty(), "some of its records are set aside or doubtful"),
        (
            source.rules.identity != Identity::Position && order.repeats.iter().any(|r| !r.is_empty()),
            "its ledger repeats positions",
        ),
        (
            source.positions.as_ref().is_some_and(|kind| *kind != PositionKind::Number),
            "its positions are no plain numbers",
        ),
    ])
}

fn first_of(reasons: &[(bool, &str)]) -> Result<(), String> {
    match reasons.iter().find(|(holds, _)| *holds) {
        Some((_, reason)) => Err((*reason).to_owned()),
        None => Ok(()),
    }
}

fn names(files: &[InputFile]) -> Vec<String> {
    files.iter().map(|f| f.path.display().to_string()).collect()
}

fn source(format: TableFormat, declared: &TableSource) -> Result<SqlSource, String> {
    match format {
        TableFormat::Parquet => Ok(SqlSource::Parquet),
        TableFormat::Csv | TableFormat::Tsv if declared.csv.header && declared.csv.escape.is_none() => {
            Ok(SqlSource::Csv(declared.csv.delimiter.map(char::from), declared.csv.null.clone()))
        }
        TableFormat::Ndjson => Ok(SqlSource::Json),
        _ => Err("one of its files is in a format that DuckDB does not read alike".to_owned()),
    }
}

fn ledger(run: &Run, number: usize) -> Result<SqlTable, String> {
    let input = &run.inputs.datasets[number];
    let source_input = run.source(number);
    let file = source_input.files.first().ok_or("its ledger has no file")?;
    let table = &input.plan.ledger.table;
    let format = table_format(file).map_err(|e| e.to_string())?;
    let columns = columns_of(file, table).map_err(|e| e.to_string())?;
    let found: Vec<&str> = columns.fields().iter().map(|f| f.name().as_str()).collect();
    let own: Vec<&str> = input.schema.names().collect();
    let hints =
        MappingHints { columns: input.plan.ledger.columns.clone(), ops: input.plan.ledger.ops.clone() };
    let mapping = Mapping::resolve(&hints, &found, &own)?;
    let ImageColumns::Sides { before: Some(before), after: Some(after) } = &mapping.images else {
        return Err("its ledger does not have both images of a change in one row".to_owned());
    };
    if mapping.table.is_some() {
        return Err("its ledger names tables".to_owned());
    }
    let mut words: Vec<(String, &'static str)> = Vec::new();
    let declared = mapping.ops.iter().map(|(word, op)| (word.to_lowercase(), *op));
    let usual = WORDS.iter().filter_map(|word| Some(((*word).to_owned(), usual_op(word)?)));
    for (word, op) in declared.chain(usual) {
        let known = words.iter().any(|(known, _)| *known == word);
        if matches!(op, Op::Insert | Op::Update | Op::Delete) && !known {
            words.push((word, op.name()));
        }
    }
    Ok(SqlTable {
        files: names(&source_input.files),
        source: source(format, table)?,
        order: [mapping.position, mapping.commit_position, mapping.transaction],
        op: mapping.op.ok_or("its ledger has no op column")?,
        words,
        committed_at: mapping.committed_at.ok_or("its ledger has no commit times")?,
        positions_identify: source_input.rules.identity == Identity::Position,
        images: [image(before, &columns), image(after, &columns)],
    })
}

fn image(side: &ImageSide, columns: &SchemaRef) -> SqlImage {
    match side {
        ImageSide::Pattern { prefix, suffix } => SqlImage::Pattern(prefix.clone(), suffix.clone()),
        ImageSide::Struct(name) => {
            let field = columns.field_with_name(name).map(|f| f.data_type());
            SqlImage::Struct(name.clone(), !matches!(field, Ok(DataType::Struct(_))))
        }
    }
}

fn sql_column(name: &str, data_type: &DataType) -> Result<SqlColumn, String> {
    let plain = |sql_type| Ok(SqlColumn { name: name.to_owned(), sql_type, decimal: None });
    match data_type {
        DataType::Boolean => plain("BOOLEAN"),
        DataType::Int8 => plain("TINYINT"),
        DataType::Int16 => plain("SMALLINT"),
        DataType::Int32 => plain("INTEGER"),
        DataType::Int64 => plain("BIGINT"),
        DataType::UInt8 => plain("UTINYINT"),
        DataType::UInt16 => plain("USMALLINT"),
        DataType::UInt32 => plain("UINTEGER"),
        DataType::UInt64 => plain("UBIGINT"),
        DataType::Float32 => plain("FLOAT"),
        DataType::Float64 => plain("DOUBLE"),
        DataType::Date32 => plain("DATE"),
        DataType::Timestamp(TimeUnit::Second, None) => plain("TIMESTAMP_S"),
        DataType::Timestamp(TimeUnit::Millisecond, None) => plain("TIMESTAMP_MS"),
        DataType::Timestamp(TimeUnit::Microsecond, None) => plain("TIMESTAMP"),
        DataType::Timestamp(TimeUnit::Nanosecond, None) => plain("TIMESTAMP_NS"),
        DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Microsecond | TimeUnit::Second, Some(_)) => {
            plain("TIMESTAMPTZ")
        }
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            Ok(SqlColumn { name: name.to_owned(), sql_type: "DECIMAL", decimal: Some((*precision, *scale)) })
        }
        DataType::Dictionary(_, value) if value.is_string() => plain("VARCHAR"),
        t if t.is_string() => plain("VARCHAR"),
        DataType::Binary | DataType::LargeBinary => plain("BLOB"),
        DataType::List(item) if item.data_type().is_string() => plain("VARCHAR[]"),
        other => Err(not_compared(name, other)),
    }
}

fn not_compared(name: &str, data_type: &DataType) -> String {
    format!("column {name:?} is of type {data_type}, which the script does not compare exactly")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_finer_than_duckdb_have_none() {
        assert_eq!(micros(&Bound::Before(2_000)), Some((2, false)));
        assert_eq!(micros(&Bound::At(2_000)), Some((2, true)));
        assert_eq!(micros(&Bound::At(2_001)), None);
        assert_eq!(micros(&Bound::Position("1".to_owned())), None);
    }

    #[test]
    fn every_word_is_a_usual_one() {
        assert!(WORDS.iter().all(|word| usual_op(word).is_some()));
    }
}
