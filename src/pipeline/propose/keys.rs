//! Which columns are the key: told apart by uniqueness, by the ledger, and by names.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef};

use super::files::TableFile;
use super::matching::{Source, stem};
use crate::error::Result;
use crate::ledger::Format;
use crate::model::canon::{self, Seed};
use crate::read::{Spool, Table, TableSource};

/// Rows that decide about uniqueness; the trial run sees all.
const ROWS_LOOKED_AT: u64 = 2_000_000;
/// Columns that are put together to keys of several.
const COLUMNS_COMBINED: usize = 8;

/// What is known of a table's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// It is this, and why.
    Found(Vec<String>, String),
    /// It may be one of these, the likeliest first.
    Ask(Vec<Vec<String>>, String),
}

/// Finds the key of a table.
pub(super) fn key(table: &TableFile, source: Option<&Source>, spool: &Spool) -> Result<Key> {
    let rows = Rows::read(table, spool)?;
    let in_ledger =
        |name: &str| source.is_none_or(|s| s.format.is_field_history() || has(&s.table.columns, name));
    let candidates: Vec<usize> =
        (0..table.columns.len()).filter(|&c| in_ledger(&table.columns[c]) && !rows.is_float(c)).collect();
    let names = |columns: &[usize]| columns.iter().map(|&c| table.columns[c].clone()).collect::<Vec<_>>();
    if let Some(stated) = source.and_then(stated_by_images) {
        let columns: Option<Vec<usize>> = stated.iter().map(|name| position(&table.columns, name)).collect();
        if let Some(columns) = columns.filter(|c| rows.is_unique(c)) {
            return Ok(Key::Found(
                names(&columns),
                "the old images of the ledger hold it and nothing else".to_owned(),
            ));
        }
    }
    let own = stem(&table.path);
    let score = |c: usize| likeness(&table.columns[c], &own);
    // An amount or a time that happens to be unique identifies nothing.
    let may_be_alone = |c: &usize| score(*c) >= 2 || rows.is_name_or_number(*c);
    let alone: Vec<usize> = candidates.iter().copied().filter(may_be_alone).collect();
    let mut single: Vec<usize> = alone.into_iter().filter(|&c| rows.is_unique(&[c])).collect();
    single.sort_by_key(|&c| (std::cmp::Reverse(score(c)), c));
    let few = rows.count < 2;
    if let Some(&best) = single.first()
        && score(best) >= if few { 4 } else { 3 }
        && single.get(1).is_none_or(|&next| score(next) < score(best))
    {
        let others: Vec<&str> = single[1..].iter().map(|&c| table.columns[c].as_str()).collect();
        let also =
            if others.is_empty() || few { String::new() } else { format!("; so is {}", others.join(", ")) };
        let why = format!("unique in {} rows and named like a key{also}", rows.count);
        return Ok(Key::Found(names(&[best]), if few { "named like a key".to_owned() } else { why }));
    }
    let combined = combinations(&candidates, &rows, &single);
    let named: Vec<&Vec<usize>> = combined.iter().filter(|c| c.iter().all(|&c| score(c) >= 2)).collect();
    if let ([only], true, false) = (named.as_slice(), single.is_empty(), few) {
        return Ok(Key::Found(
            names(only),
            format!("together unique in {} rows and named like keys", rows.count),
        ));
    }
    if !rows.is_unique(&(0..table.columns.len()).collect::<Vec<_>>()) && rows.count > 0 {
        return Ok(Key::Found(
            Vec::new(),
            "whole rows occur more than once, so nothing identifies one".to_owned(),
        ));
    }
    let mut open: Vec<Vec<String>> = single.iter().map(|&c| names(&[c])).collect();
    open.extend(named.into_iter().chain(&combined).map(|c| names(c)));
    open.dedup();
    open.truncate(4);
    open.push(Vec::new());
    Ok(Key::Ask(open, "what identifies a row? [] if nothing does".to_owned()))
}

fn has(columns: &[String], name: &str) -> bool {
    position(columns, name).is_some() || columns.iter().all(|c| c.starts_with('@'))
}

fn position(columns: &[String], name: &str) -> Option<usize> {
    columns.iter().position(|c| c.eq_ignore_ascii_case(name))
}

/// The columns that old images hold, where these are the key alone.
fn stated_by_images(source: &Source) -> Option<Vec<String>> {
    let by_key = matches!(source.format, Format::Debezium | Format::Wal2Json);
    let before = &source.table.before;
    let stated: Vec<String> =
        source.table.columns.iter().filter(|c| !before.never.contains(c)).cloned().collect();
    let only = by_key && before.images > 0 && before.whole == 0;
    (only && !stated.is_empty() && stated.len() <= 4 && stated.len() < source.table.columns.len())
        .then_some(stated)
}

/// How much a column's name looks like a key of its table.
fn likeness(column: &str, table: &str) -> u8 {
    let (column, table) = (column.to_lowercase(), table.to_lowercase());
    let singular = table.strip_suffix("ies").map(|t| format!("{t}y"));
    let singular = singular.or_else(|| table.strip_suffix('s').map(str::to_owned)).unwrap_or(table.clone());
    let own = [table.as_str(), singular.as_str()];
    let of_own =
        own.iter().any(|t| [format!("{t}_id"), format!("{t}id"), format!("{t}_no")].contains(&column));
    match column.as_str() {
        "id" => 5,
        _ if of_own => 6,
        "uuid" | "guid" | "key" | "pk" | "sys_id" | "rowid" | "row_id" => 4,
        _ if ["_id", "_no", "_nr", "_number", "_key", "_uuid", "ident"]
            .iter()
            .any(|e| column.ends_with(e)) =>
        {
            3
        }
        _ if ["code", "seq", "line", "number", "iban"].iter().any(|w| column.ends_with(w)) => 2,
        _ if column.ends_with("id") => 2,
        _ => 0,
    }
}

/// Pairs of columns that are unique together, then triples.
fn combinations(candidates: &[usize], rows: &Rows, single: &[usize]) -> Vec<Vec<usize>> {
    let few: Vec<usize> =
        candidates.iter().copied().filter(|c| !single.contains(c)).take(COLUMNS_COMBINED).collect();
    let mut found: Vec<Vec<usize>> = Vec::new();
    for (at, &a) in few.iter().enumerate() {
        found.extend(few[at + 1..].iter().map(|&b| vec![a, b]).filter(|pair| rows.is_unique(pair)));
    }
    if found.is_empty() {
        for (at, &a) in few.iter().enumerate() {
            for (next, &b) in few.iter().enumerate().skip(at + 1) {
                found.extend(few[next + 1..].iter().map(|&c| vec![a, b, c]).filter(|t| rows.is_unique(t)));
            }
        }
    }
    found
}

/// The rows of a table, as far as uniqueness is decided by them.
struct Rows {
    groups: Vec<Vec<ArrayRef>>,
    count: u64,
}

impl Rows {
    fn read(table: &TableFile, spool: &Spool) -> Result<Self> {
        let opened = Table::open(&TableSource::at(&table.path), spool)?;
        let all: Vec<usize> = (0..opened.schema().fields().len()).collect();
        let (mut groups, mut count) = (Vec::new(), 0);
        for group in 0..opened.groups() {
            if count >= ROWS_LOOKED_AT {
                break;
            }
            groups.push(opened.read(group, &all, None)?.columns().to_vec());
            count += opened.rows(group) as u64;
        }
        Ok(Self { groups, count })
    }

    fn is_float(&self, column: usize) -> bool {
        self.groups.first().is_some_and(|g| g.get(column).is_none_or(|a| a.data_type().is_floating()))
    }

    fn is_name_or_number(&self, column: usize) -> bool {
        use arrow::datatypes::DataType::{Decimal128, LargeUtf8, Utf8, Utf8View};
        self.groups.first().and_then(|g| g.get(column)).is_some_and(|a| match a.data_type() {
            Utf8 | LargeUtf8 | Utf8View | Decimal128(_, 0) => true,
            other => other.is_integer(),
        })
    }

    /// Whether no two rows have the same values there, and none lacks one.
    fn is_unique(&self, columns: &[usize]) -> bool {
        let seed = Seed::random();
        let mut seen: HashSet<u128> = HashSet::new();
        for group in &self.groups {
            let arrays: Option<Vec<&ArrayRef>> = columns.iter().map(|&c| group.get(c)).collect();
            let Some(arrays) = arrays else { return false };
            let whole = columns.len() == group.len();
            if !whole && arrays.iter().any(|a| a.null_count() > 0) {
                return false;
            }
            if !canon::key_ids(&arrays, seed).into_iter().all(|id| seen.insert(id)) {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_keys_of_their_own_table_first() {
        assert!(likeness("account_id", "accounts") > likeness("id", "accounts"));
        assert!(likeness("id", "accounts") > likeness("customer_id", "accounts"));
        assert!(likeness("customer_id", "accounts") > likeness("name", "accounts"));
        assert_eq!(likeness("city_id", "cities"), likeness("id", "x") + 1);
    }
}
