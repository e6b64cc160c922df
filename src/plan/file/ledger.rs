//! The `ledger` of a dataset.

use arrow::datatypes::TimeUnit;

use super::document::{Section, Value};
use super::postings::postings;
use super::{CSV_KEYS, csv, table_format, types, zone};
use crate::error::Result;
use crate::model::Op;
use crate::plan::{
    Bound, Calendar, HashChain, Ledger, LedgerClock, LedgerColumns, LedgerFormat, MissingCells, Postings,
    TableSource, ValueCoding,
};

/// Keys of a ledger, beside those of delimited text.
pub(super) const KEYS: [&str; 31] = [
    "path",
    "format",
    "file_format",
    "table",
    "types",
    "columns",
    "ops",
    "clock",
    "complete_from",
    "complete_to",
    "from_birth",
    "time_zone",
    "non_finite",
    "placeholder",
    "missing",
    "decimals",
    "binary",
    "full_images",
    "timestamps",
    "times",
    "where",
    "delimiter",
    "null",
    "header",
    "escape",
    "labels",
    "fields",
    "key_widths",
    "value_limit",
    "postings",
    "hash_chain",
];

const COLUMNS: [&str; 17] = [
    "position",
    "commit_position",
    "op",
    "transaction",
    "committed_at",
    "actor",
    "before",
    "after",
    "image",
    "table",
    "valid_from",
    "valid_to",
    "deleted",
    "record",
    "id",
    "effective_at",
    "currency",
];

const TIME_UNITS: [(&str, TimeUnit); 4] = [
    ("seconds", TimeUnit::Second),
    ("milliseconds", TimeUnit::Millisecond),
    ("microseconds", TimeUnit::Microsecond),
    ("nanoseconds", TimeUnit::Nanosecond),
];

/// How postings and images of one table are both used.
const BESIDE: &str = "name files of one shape as path = [\"a\", \"b\"]; for ledgers of two shapes (postings beside \
                      images) declare two datasets with the same current, each with its ledger";

/// Reads it.
pub(super) fn ledger(value: &Value<'_>, calendar: &Calendar) -> Result<Ledger> {
    debug_assert!(CSV_KEYS.iter().all(|key| KEYS.contains(key)), "a ledger may be delimited text");
    if value.list().is_ok_and(|items| items.iter().any(Value::is_table)) {
        return Err(
            value.error(format!("{}: a dataset has one ledger, found a list of them", value.name), BESIDE)
        );
    }
    // A path alone, or several, is a ledger of which nothing else is declared.
    if !value.is_table() {
        let paths = paths(value)?;
        let table = TableSource { pattern: paths[0].clone(), ..TableSource::default() };
        return Ok(Ledger { paths, table, ..Ledger::default() });
    }
    let section = value.table(&KEYS)?;
    let paths = paths(&section.require("path", "path = \"ledger/*.ndjson.gz\"")?)?;
    let time_zone = section.get("time_zone").map(|v| zone(&v)).transpose()?;
    let table = TableSource {
        pattern: paths[0].clone(),
        format: section.get("file_format").map(|v| table_format(&v)).transpose()?,
        csv: csv(&section)?,
        types: section.get("types").map(|v| column_types(&v)).transpose()?.unwrap_or_default(),
        numeric: Vec::new(),
        as_text: false,
        time_zone,
        batches: None,
    };
    let mut ledger = Ledger { paths, table, ..Ledger::default() };
    recording(&section, &mut ledger)?;
    ledger.postings = match section.get("postings") {
        Some(value) if ledger.format.is_some_and(|format| !format.is_postings()) => {
            let format = ledger.format.map_or("", LedgerFormat::name);
            let message = format!("{} describes a ledger of postings, the format is {format}", value.name);
            return Err(value.error(message, BESIDE));
        }
        Some(value) => postings(&value, calendar)?,
        None => Postings { days: calendar.zone, ..Postings::default() },
    };
    window(&section, calendar, &mut ledger)?;
    values(&section, &mut ledger)?;
    Ok(ledger)
}

fn paths(value: &Value<'_>) -> Result<Vec<std::path::PathBuf>> {
    let texts = value.one_or_more()?;
    if texts.is_empty() || texts.iter().any(String::is_empty) {
        return Err(value.error(format!("{}: a path is missing", value.name), "name at least one file"));
    }
    Ok(texts.iter().map(|text| value.document.folder.join(text)).collect())
}

/// Types by column.
pub(super) fn column_types(value: &Value<'_>) -> Result<Vec<(String, arrow::datatypes::DataType)>> {
    let mut declared = Vec::new();
    for (column, name) in value.open_table()?.entries() {
        let data_type = types::data_type(name.text()?).map_err(|hint| {
            name.error(format!("{}: {:?} is not a type", name.name, name.text().unwrap_or("")), hint)
        })?;
        declared.push((column.to_owned(), data_type));
    }
    Ok(declared)
}

/// Who wrote it and how records are to be understood.
fn recording(section: &Section<'_>, ledger: &mut Ledger) -> Result<()> {
    if let Some(value) = section.get("format") {
        ledger.format = Some(value.word(LedgerFormat::ALL, LedgerFormat::name)?);
    }
    if let Some(value) = section.get("table") {
        ledger.names = value.one_or_more()?;
    }
    for key in ["columns", "ops"] {
        if let (Some(value), Some(format)) = (section.get(key), ledger.format)
            && !format.has_columns()
        {
            let message =
                format!("{} describes a mapped ledger, the format is {}", value.name, format.name());
            return Err(value.error(message, "leave one of them out, or write format = \"mapped\""));
        }
    }
    if let Some(value) = section.get("columns") {
        ledger.columns = columns(&value)?;
    }
    if let Some(value) = section.get("ops") {
        for (word, op) in value.open_table()?.entries() {
            ledger.ops.push((word.to_owned(), op.word(&Op::ALL, Op::name)?));
        }
    }
    if let Some(value) = section.get("labels") {
        for (column, words) in value.open_table()?.entries() {
            ledger.labels.push((column.to_owned(), words.one_or_more()?));
        }
    }
    fields(section, ledger)?;
    ledger.hash_chain = section.get("hash_chain").map(|v| hash_chain(&v)).transpose()?;
    if let Some(value) = section.get("times") {
        ledger.times = Some(value.path()?);
    }
    if let Some(value) = section.get("where") {
        ledger.filter = Some(value.filter()?);
    }
    Ok(())
}

fn hash_chain(value: &Value<'_>) -> Result<HashChain> {
    let section = value.table(&["hash", "previous", "per"])?;
    let example = "hash_chain = { hash = \"hash\", previous = \"previous_hash\" }";
    Ok(HashChain {
        hash: section.require("hash", example)?.text()?.to_owned(),
        previous: section.require("previous", example)?.text()?.to_owned(),
        per: section.get("per").map(|v| v.one_or_more()).transpose()?.unwrap_or_default(),
    })
}

/// What histories of fields need.
fn fields(section: &Section<'_>, ledger: &mut Ledger) -> Result<()> {
    if let Some(value) = section.get("fields") {
        for (field, column) in value.open_table()?.entries() {
            ledger.fields.push((field.to_owned(), column.text()?.to_owned()));
        }
    }
    if let Some(value) = section.get("key_widths") {
        for width in value.list()? {
            ledger.key_widths.push(characters(&width)?);
        }
    }
    if let Some(value) = section.get("value_limit") {
        ledger.value_limit = Some(characters(&value)?);
    }
    Ok(())
}

/// A number of characters, at least one.
fn characters(value: &Value<'_>) -> Result<usize> {
    let count = usize::try_from(value.count()?).ok().filter(|count| *count > 0);
    count.ok_or_else(|| {
        value.error(
            format!("{}: expected a number of characters above 0", value.name),
            "write for instance 10",
        )
    })
}

fn columns(value: &Value<'_>) -> Result<LedgerColumns> {
    let section = value.table(&COLUMNS)?;
    let name = |key| section.get(key).map(|v| v.text().map(str::to_owned)).transpose();
    let image = |key: &str| -> Result<Option<String>> {
        let Some(value) = section.get(key) else { return Ok(None) };
        let pattern = value.text()?;
        if pattern.matches('*').count() > 1 {
            let hint = "write for instance \"old_*\", or the name of a column that holds the whole image";
            return Err(value.error(format!("{}: more than one *", value.name), hint));
        }
        Ok(Some(pattern.to_owned()))
    };
    Ok(LedgerColumns {
        position: name("position")?,
        commit_position: name("commit_position")?,
        op: name("op")?,
        transaction: name("transaction")?,
        committed_at: name("committed_at")?,
        actor: name("actor")?,
        before: image("before")?,
        after: image("after")?,
        image: name("image")?,
        table: name("table")?,
        valid_from: name("valid_from")?,
        valid_to: name("valid_to")?,
        deleted: name("deleted")?,
        record: name("record")?,
        id: section.get("id").map(|v| v.one_or_more()).transpose()?.unwrap_or_default(),
        effective_at: name("effective_at")?,
        currency: name("currency")?,
    })
}

/// For which span it is complete, and on which clock.
fn window(section: &Section<'_>, calendar: &Calendar, ledger: &mut Ledger) -> Result<()> {
    if let Some(value) = section.get("clock") {
        ledger.clock = value.word(LedgerClock::ALL, LedgerClock::name)?;
        ledger.postings.clock = Some(ledger.clock);
    }
    if let Some(value) = section.get("complete_from") {
        ledger.complete_from = Some(value.placed(Bound::parse_start(&value.when()?, calendar))?);
    }
    if let Some(value) = section.get("complete_to") {
        ledger.complete_to = Some(value.placed(Bound::parse(&value.when()?, calendar))?);
    }
    if let Some(value) = section.get("from_birth") {
        ledger.from_birth = value.boolean()?;
    }
    let bounds = ledger.complete_from.as_ref().zip(ledger.complete_to.as_ref());
    let times = bounds.and_then(|(from, to)| from.last_nanosecond().zip(to.last_nanosecond()));
    if times.is_some_and(|(from, to)| to < from) {
        return Err(section.error("complete_to lies before complete_from", "exchange them"));
    }
    Ok(())
}

/// What values and missing values mean.
fn values(section: &Section<'_>, ledger: &mut Ledger) -> Result<()> {
    if let Some(value) = section.get("non_finite") {
        ledger.non_finite = Some(value.boolean()?);
    }
    if let Some(value) = section.get("placeholder") {
        ledger.placeholder = Some(value.text()?.to_owned());
    }
    if let Some(value) = section.get("missing") {
        ledger.missing = Some(value.word(MissingCells::ALL, MissingCells::name)?);
    }
    if let Some(value) = section.get("decimals") {
        ledger.decimals = Some(value.word(ValueCoding::ALL, ValueCoding::name)?);
    }
    if let Some(value) = section.get("binary") {
        ledger.binary = Some(value.word(ValueCoding::ALL, ValueCoding::name)?);
    }
    if let Some(value) = section.get("timestamps") {
        ledger.timestamps = Some(value.word(&TIME_UNITS, |(name, _)| name)?.1);
    }
    if let Some(value) = section.get("full_images") {
        ledger.full_images = Some(value.boolean()?);
    }
    Ok(())
}
