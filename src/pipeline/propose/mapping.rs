//! Which columns of a ledger without a format of its own mean what: by their names, else by
//! what is in them.

use std::collections::BTreeMap;

use arrow::array::{Array, StringArray};
use chrono_tz::Tz;

use super::files::{LedgerFiles, TableFile};
use crate::ledger::{Format, ImageColumns, ImageSide, Mapping, MappingHints};
use crate::model::canon;
use crate::model::time::parse_instant;
use crate::pipeline::inspect::{Coverage, InspectedTable};
use crate::plan::LedgerColumns;
use crate::read::{Spool, Table, TableSource};

/// Rows that show what is in a column.
const ROWS_LOOKED_AT: usize = 5_000;

/// What columns mean, and how that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guess {
    pub(super) columns: LedgerColumns,
    /// Words in the op column that say nothing by themselves.
    pub(super) unknown_ops: Vec<String>,
    /// Roles that were found by content, and roles that were not found.
    pub(super) by_content: Vec<&'static str>,
    pub(super) missing: Vec<&'static str>,
    /// How many columns of the table have images.
    weight: usize,
    rows: u64,
}

impl Guess {
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// The ledger as `inspect` would describe it.
    pub(super) fn table(&self, of: &TableFile) -> InspectedTable {
        let side = |pattern: &Option<String>| match pattern.as_deref().map(ImageSide::parse) {
            Some(ImageSide::Pattern { prefix, suffix }) => {
                let inner = |n: &String| Some(n.strip_prefix(&prefix)?.strip_suffix(&suffix)?.to_owned());
                of.columns.iter().filter_map(inner).filter(|n| !n.is_empty()).collect::<Vec<_>>()
            }
            _ => Vec::new(),
        };
        let mut columns = side(&self.columns.after);
        columns.extend(
            side(&self.columns.before).into_iter().filter(|c| !columns.contains(c)).collect::<Vec<_>>(),
        );
        if columns.is_empty() {
            columns.clone_from(&of.columns);
        }
        InspectedTable {
            name: String::new(),
            columns,
            changes: self.rows,
            ops: Vec::new(),
            window: (None, None),
            before: Coverage::default(),
            after: Coverage::default(),
        }
    }
}

/// The columns of a recognised mapped ledger, by their names.
pub(super) fn named(ledger: &LedgerFiles, table: &[String]) -> Option<Guess> {
    if ledger.format != Format::Mapped {
        return None;
    }
    let names: Vec<&str> = ledger.columns.iter().map(String::as_str).collect();
    let table: Vec<&str> = table.iter().map(String::as_str).collect();
    let mapping = Mapping::resolve(&MappingHints::default(), &names, &table).ok()?;
    Some(of_mapping(mapping))
}

fn side_text(side: &ImageSide) -> String {
    match side {
        ImageSide::Struct(name) => name.clone(),
        ImageSide::Pattern { prefix, suffix } => format!("{prefix}*{suffix}"),
    }
}

fn of_mapping(mapping: Mapping) -> Guess {
    let (before, after, image) = match &mapping.images {
        ImageColumns::Sides { before, after } => {
            (before.as_ref().map(side_text), after.as_ref().map(side_text), None)
        }
        // The table's own columns need no name.
        ImageColumns::Rows { image, .. } => (None, None, image.clone()),
    };
    let columns = LedgerColumns {
        position: mapping.position,
        commit_position: mapping.commit_position,
        op: mapping.op,
        transaction: mapping.transaction,
        committed_at: mapping.committed_at,
        actor: mapping.actor,
        table: mapping.table,
        before,
        after,
        image,
        ..LedgerColumns::default()
    };
    let mut missing = Vec::new();
    if columns.committed_at.is_none() {
        missing.push("committed_at");
    }
    Guess { columns, unknown_ops: Vec::new(), by_content: Vec::new(), missing, weight: 0, rows: 0 }
}

/// What a table is as the ledger of another one; `None` if it is none.
pub(super) fn guess(candidate: &TableFile, table: &TableFile, spool: &Spool) -> Option<Guess> {
    let names: Vec<&str> = candidate.columns.iter().map(String::as_str).collect();
    let own: Vec<&str> = table.columns.iter().map(String::as_str).collect();
    if own.len() < 2 || names.len() <= 2 {
        return None;
    }
    let beside = names.iter().filter(|n| !own.iter().any(|o| o.eq_ignore_ascii_case(n))).count();
    let found = affixes(&names, &own);
    let rows_of_images = own.iter().all(|o| names.iter().any(|n| n.eq_ignore_ascii_case(o)));
    if found.is_empty() && !(rows_of_images && beside >= 2) {
        return None;
    }
    let samples = Samples::read(candidate, spool)?;
    let mut hints = MappingHints::default();
    let mut by_content = Vec::new();
    let mut missing = Vec::new();
    let is_image = |name: &str| {
        found.iter().any(|(p, s)| own.iter().any(|o| format!("{p}{o}{s}").eq_ignore_ascii_case(name)))
            || found.is_empty() && own.iter().any(|o| o.eq_ignore_ascii_case(name))
    };
    let free: Vec<usize> = (0..names.len()).filter(|&c| !is_image(names[c])).collect();
    let plain = Mapping::resolve(&hints, &names, &own).ok();
    let usual = |pick: fn(&Mapping) -> Option<&String>| {
        plain.as_ref().and_then(pick).filter(|name| !is_image(name)).cloned()
    };
    hints.columns.op = usual(|m| m.op.as_ref()).filter(|name| samples.words_of(&names, name).is_some());
    let op = match &hints.columns.op {
        Some(name) => names.iter().position(|n| n == name),
        None => free.iter().copied().find(|&c| samples.is_op(c)).inspect(|_| by_content.push("op")),
    };
    hints.columns.op = op.map(|c| names[c].to_owned());
    hints.columns.committed_at = usual(|m| m.committed_at.as_ref()).or_else(|| {
        let time = free.iter().copied().find(|&c| samples.is_time(c))?;
        by_content.push("committed_at");
        Some(names[time].to_owned())
    });
    hints.columns.position = usual(|m| m.position.as_ref()).or_else(|| {
        let order = free.iter().copied().find(|&c| samples.rises(c))?;
        by_content.push("position");
        Some(names[order].to_owned())
    });
    if op.is_none() || hints.columns.committed_at.is_none() && hints.columns.position.is_none() {
        return None;
    }
    sides(&mut hints.columns, &found, (&names, &own), (&samples, op), (&mut by_content, &mut missing));
    if hints.columns.committed_at.is_none() {
        missing.push("committed_at");
    }
    hints.columns.transaction = usual(|m| m.transaction.as_ref());
    hints.columns.actor = usual(|m| m.actor.as_ref());
    Mapping::resolve(&hints, &names, &own).ok()?;
    let unknown_ops = op.map(|c| samples.unknown_ops(c)).unwrap_or_default();
    let (weight, rows) = (own.len() * 2 - beside.min(own.len()), candidate.inspected.rows);
    Some(Guess { columns: hints.columns, unknown_ops, by_content, missing, weight, rows })
}

/// What stands before and after the names of most of the table's columns, at most two of these.
fn affixes(names: &[&str], own: &[&str]) -> Vec<(String, String)> {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for name in names {
        for column in own.iter().filter(|c| c.len() < name.len()) {
            if let Some(prefix) = name.strip_suffix(column) {
                *counts.entry((prefix.to_owned(), String::new())).or_default() += 1;
            } else if let Some(suffix) = name.strip_prefix(column) {
                *counts.entry((String::new(), suffix.to_owned())).or_default() += 1;
            }
        }
    }
    let mut found: Vec<((String, String), usize)> =
        counts.into_iter().filter(|(_, count)| *count >= 2 && count * 10 >= own.len() * 7).collect();
    found.sort_by_key(|(affix, count)| (std::cmp::Reverse(*count), affix.clone()));
    found.truncate(2);
    found.into_iter().map(|(affix, _)| affix).collect()
}

/// Which of two patterns is the image before: the one that is empty where a row came into being.
fn sides(
    columns: &mut LedgerColumns,
    found: &[(String, String)],
    (names, own): (&[&str], &[&str]),
    (samples, op): (&Samples, Option<usize>),
    (by_content, missing): (&mut Vec<&'static str>, &mut Vec<&'static str>),
) {
    let pattern = |(prefix, suffix): &(String, String)| format!("{prefix}*{suffix}");
    let filled = |affix: &(String, String), word: crate::model::Op| {
        let column =
            own.iter().find_map(|o| names.iter().position(|n| *n == format!("{}{o}{}", affix.0, affix.1)))?;
        samples.filled_where(op?, column, word)
    };
    match found {
        [a, b] => {
            use crate::model::Op::{Delete, Insert};
            let is_before = |x| filled(x, Insert) == Some(false) || filled(x, Delete) == Some(true);
            let (before, after) = match (is_before(a), is_before(b)) {
                (true, false) => (a, b),
                (false, true) => (b, a),
                _ => {
                    missing.push("before");
                    (a, b)
                }
            };
            by_content.push("before");
            (columns.before, columns.after) = (Some(pattern(before)), Some(pattern(after)));
        }
        [one] => {
            columns.after = Some(pattern(one));
            by_content.push("after");
        }
        _ => {}
    }
}

/// The first rows of a table, as texts.
struct Samples {
    columns: Vec<StringArray>,
}

impl Samples {
    fn read(table: &TableFile, spool: &Spool) -> Option<Self> {
        // A table that cannot be read as texts is no ledger that could be guessed.
        let opened = Table::open(&TableSource::at(&table.path), spool).ok()?;
        let all: Vec<usize> = (0..opened.schema().fields().len()).collect();
        if opened.groups() == 0 {
            return None;
        }
        let rows: Vec<u32> = (0..opened.rows(0).min(ROWS_LOOKED_AT) as u32).collect();
        let batch = opened.read(0, &all, Some(&rows)).ok()?;
        let texts = |array: &arrow::array::ArrayRef| {
            (0..array.len())
                .map(|row| canon::cell_text(array.as_ref(), row).filter(|t| !t.is_empty()))
                .collect()
        };
        Some(Self { columns: batch.columns().iter().map(texts).collect() })
    }

    fn values(&self, column: usize) -> impl Iterator<Item = &str> {
        self.columns[column].iter().flatten()
    }

    /// The different words of a column, if they are few.
    fn words(&self, column: usize) -> Option<Vec<&str>> {
        let mut words: Vec<&str> = Vec::new();
        for value in self.values(column) {
            if !words.contains(&value) {
                words.push(value);
            }
            if words.len() > 12 {
                return None;
            }
        }
        (!words.is_empty()).then_some(words)
    }

    fn words_of(&self, names: &[&str], name: &str) -> Option<Vec<&str>> {
        self.words(names.iter().position(|n| *n == name)?)
    }

    fn is_op(&self, column: usize) -> bool {
        let Some(words) = self.words(column) else { return false };
        let known = words.iter().filter(|w| crate::ledger::usual_op(w).is_some()).count();
        words.len() >= 2 && known * 2 >= words.len() && words.iter().any(|w| w.parse::<f64>().is_err())
    }

    fn unknown_ops(&self, column: usize) -> Vec<String> {
        let words = self.words(column).unwrap_or_default();
        words.into_iter().filter(|w| crate::ledger::usual_op(w).is_none()).map(str::to_owned).collect()
    }

    fn is_time(&self, column: usize) -> bool {
        let is = |text: &str| text.contains(':') && parse_instant(text, Some(Tz::UTC)).is_ok();
        self.columns[column].null_count() == 0
            && self.values(column).next().is_some()
            && self.values(column).all(is)
    }

    /// Whether it holds whole numbers that rise from row to row.
    fn rises(&self, column: usize) -> bool {
        let numbers: Option<Vec<i128>> = self.values(column).map(|v| v.parse().ok()).collect();
        let whole = self.columns[column].null_count() == 0;
        numbers.is_some_and(|n| whole && n.len() > 1 && n.is_sorted_by(|a, b| a < b))
    }

    /// Whether a column has values in all rows with this op (or in none); `None` if there is no such row or both occur.
    fn filled_where(&self, op: usize, column: usize, wanted: crate::model::Op) -> Option<bool> {
        let (ops, cells) = (&self.columns[op], &self.columns[column]);
        let of = |row: &usize| ops.is_valid(*row) && crate::ledger::usual_op(ops.value(*row)) == Some(wanted);
        let rows: Vec<usize> = (0..ops.len()).filter(of).collect();
        let filled = rows.iter().filter(|&&row| cells.is_valid(row)).count();
        match (rows.len(), filled) {
            (0, _) => None,
            (_, 0) => Some(false),
            (all, some) if all == some => Some(true),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_around_the_columns_of_the_table() {
        let names = ["n", "was_id", "was_qty", "is_id", "is_qty", "who"];
        let found = affixes(&names, &["id", "qty"]);
        let pair = |prefix: &str| (prefix.to_owned(), String::new());
        assert_eq!(found, [pair("is_"), pair("was_")]);
        assert!(affixes(&["id", "qty", "note"], &["id", "qty"]).is_empty());
    }
}
