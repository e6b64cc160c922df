//! Which table is whose current state: by names, and by the columns that both have.

use std::path::PathBuf;

use super::files::{LedgerFiles, Looked, TableFile, are_parts};
use super::mapping::{self, Guess};
use super::measures;
use crate::error::Result;
use crate::ledger::Format;
use crate::pipeline::inspect::InspectedTable;
use crate::read::Spool;

/// A table of a ledger that a dataset may have.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) paths: Vec<PathBuf>,
    pub(super) format: Format,
    pub(super) table: InspectedTable,
    /// Which columns of a mapped ledger mean what.
    pub(super) mapping: Option<Guess>,
    /// How many tables the ledger names.
    pub(super) tables: usize,
}

/// A table and the ledgers that could be its own.
#[derive(Debug, Clone)]
pub(super) struct Matched {
    pub(super) name: String,
    pub(super) current: TableFile,
    /// Files that hold the same table.
    pub(super) copies: Vec<PathBuf>,
    /// Files that could be its current state too.
    pub(super) rivals: Vec<PathBuf>,
    /// More than one: nothing tells which.
    pub(super) sources: Vec<Source>,
    /// Other files that hold the chosen ledger's changes.
    pub(super) same_changes: Vec<PathBuf>,
}

/// All datasets, and what fits nothing.
#[derive(Debug, Default)]
pub(super) struct All {
    pub(super) datasets: Vec<Matched>,
    /// Tables without a ledger.
    pub(super) alone: Vec<PathBuf>,
    /// Tables of ledgers without a current state: name and file.
    pub(super) without_current: Vec<(String, PathBuf)>,
}

/// A name without folder, endings and case.
pub(super) fn stem(path: &std::path::Path) -> String {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let end = name.find('.').filter(|&at| at > 0).unwrap_or(name.len());
    name[..end].to_owned()
}

/// How well two names fit: 3 the same, 2 one among the words of the other, 0 not at all.
fn names_fit(table: &str, ledger: &str) -> u8 {
    let ledger = ledger.rsplit('.').next().unwrap_or(ledger);
    let plain = |name: &str| name.to_lowercase().replace(['-', ' '], "_");
    let (table, ledger) = (plain(table), plain(ledger));
    if table == ledger {
        return 3;
    }
    let word = |long: &str, short: &str| {
        let inside = format!("_{long}_").contains(&format!("_{short}_"));
        inside && short.len() > 2
    };
    if word(&table, &ledger) || word(&ledger, &table) { 2 } else { 0 }
}

/// How many of the ledger's columns the table has, in hundred.
fn columns_fit(table: &[String], ledger: &[String]) -> usize {
    if ledger.is_empty() {
        return 0;
    }
    let has = |column: &&String| table.iter().any(|t| t.eq_ignore_ascii_case(column));
    100 * ledger.iter().filter(has).count() / ledger.len()
}

/// How well a ledger's table fits; `None`: not at all.
fn fit(table: &TableFile, ledger: &LedgerFiles, of: &InspectedTable) -> Option<(u8, usize)> {
    if ledger.format.is_postings() {
        // Names say less here than for images: a balance is rarely called as its journal is.
        return measures::key_of_postings(table, ledger.format).map(|_| (1, 100));
    }
    let history = ledger.format.is_field_history();
    // A history of fields calls its record by another name, and only names fields that changed.
    let columns = columns_fit(&table.columns, if history { of.columns.get(1..)? } else { &of.columns });
    let name = match of.name.is_empty() {
        false => names_fit(&stem(&table.path), &of.name),
        // A file's name says as much as a table's, with words around it.
        true => match ledger.paths.iter().map(|p| names_fit(&stem(&table.path), &stem(p))).max()? {
            2 => 3,
            other => other,
        },
    };
    // Images that name their columns by number (binary logs) have only their table's name.
    let numbered = of.columns.iter().all(|c| c.starts_with('@'));
    let enough = match name {
        3 => columns >= 50 || numbered,
        2 => columns >= 70,
        _ => columns >= 90 && (of.name.is_empty() || history),
    };
    enough.then_some((name, columns))
}

/// Tables that only make sense as the ledger of another one, taken out of the tables.
fn guessed(tables: &mut Vec<TableFile>, spool: &Spool) -> Vec<(LedgerFiles, Guess)> {
    let all = tables.clone();
    let mut guesses: Vec<(LedgerFiles, Guess)> = Vec::new();
    tables.retain(|candidate| {
        let others = all.iter().filter(|t| t.path != candidate.path);
        let guess =
            others.filter_map(|table| mapping::guess(candidate, table, spool)).max_by_key(Guess::weight);
        let Some(guess) = guess else { return true };
        let files = LedgerFiles {
            paths: vec![candidate.path.clone()],
            format: Format::Mapped,
            tables: vec![guess.table(candidate)],
            columns: candidate.columns.clone(),
        };
        guesses.push((files, guess));
        false
    });
    guesses
}

/// How well a table of a ledger fits, and which it is.
type Fit = ((u8, usize), usize, usize);

/// The tables of ledgers that fit best.
fn best(current: &TableFile, ledgers: &[LedgerFiles]) -> Vec<Fit> {
    let mut found: Vec<Fit> = Vec::new();
    for (l, ledger) in ledgers.iter().enumerate() {
        let tables = ledger.tables.iter().enumerate();
        found.extend(tables.filter_map(|(t, of)| Some((fit(current, ledger, of)?, l, t))));
    }
    let best = found.iter().map(|f| f.0.0).max();
    found.retain(|f| Some(f.0.0) == best);
    if best == Some(0) {
        let most = found.iter().map(|f| f.0.1).max();
        found.retain(|f| Some(f.0.1) == most);
    }
    found
}

/// Matches all tables with all ledgers.
pub(super) fn matched(looked: &Looked, spool: &Spool) -> Result<All> {
    let mut all = All::default();
    let (mut ledgers, mut tables) = (looked.ledgers.clone(), looked.tables.clone());
    let guesses = guessed(&mut tables, spool);
    ledgers.extend(guesses.iter().map(|(files, _)| files.clone()));
    let mut used: Vec<(usize, usize)> = Vec::new();
    for (current, copies, rivals) in currents(&tables) {
        let found = best(&current, &ledgers);
        if found.is_empty() {
            all.alone.push(current.path);
            continue;
        }
        used.extend(found.iter().map(|f| (f.1, f.2)));
        let source = |&(_, l, t): &Fit| {
            let ledger = &ledgers[l];
            let guess = guesses.iter().find(|(f, _)| f.paths == ledger.paths).map(|(_, g)| g.clone());
            Source {
                paths: ledger.paths.clone(),
                format: ledger.format,
                table: ledger.tables[t].clone(),
                mapping: guess.or_else(|| mapping::named(ledger, &current.columns)),
                tables: ledger.tables.len(),
            }
        };
        let (sources, same_changes) = distinct(found.iter().map(source).collect());
        let name = match sources.as_slice() {
            [one] if !one.table.name.is_empty() => {
                one.table.name.rsplit('.').next().unwrap_or_default().to_owned()
            }
            _ => stem(&current.path),
        };
        all.datasets.push(Matched { name, current, copies, rivals, sources, same_changes });
    }
    for (l, ledger) in ledgers.iter().enumerate() {
        for (_, table) in ledger.tables.iter().enumerate().filter(|(t, _)| !used.contains(&(l, *t))) {
            all.without_current.push((table.name.clone(), ledger.paths[0].clone()));
        }
    }
    Ok(all)
}

/// The tables, each with its copies in other formats and with files that differ in numbers alone.
fn currents(tables: &[TableFile]) -> Vec<(TableFile, Vec<PathBuf>, Vec<PathBuf>)> {
    let mut found: Vec<(TableFile, Vec<PathBuf>, Vec<PathBuf>)> = Vec::new();
    for table in tables {
        let copy = |known: &TableFile| {
            stem(&known.path) == stem(&table.path)
                && known.path.parent() == table.path.parent()
                && known.columns == table.columns
                && known.inspected.rows == table.inspected.rows
        };
        let typed = |t: &TableFile| t.inspected.columns.iter().all(|c| c.reason.is_none());
        if let Some((known, copies, _)) = found.iter_mut().find(|(known, _, _)| copy(known)) {
            if typed(table) && !typed(known) {
                copies.push(std::mem::replace(known, table.clone()).path);
            } else {
                copies.push(table.path.clone());
            }
            continue;
        }
        let rival = |known: &TableFile| {
            let same = stem(&known.path) == stem(&table.path) || are_parts(&known.path, &table.path);
            same && known.columns == table.columns
        };
        match found.iter_mut().find(|(known, _, _)| rival(known)) {
            Some((_, _, rivals)) => rivals.push(table.path.clone()),
            None => found.push((table.clone(), Vec::new(), Vec::new())),
        }
    }
    found
}

/// The ledgers without those that say the same again.
fn distinct(sources: Vec<Source>) -> (Vec<Source>, Vec<PathBuf>) {
    let mut kept: Vec<Source> = Vec::new();
    let mut same = Vec::new();
    for source in sources {
        let again = kept.iter().any(|known| {
            known.format == source.format
                && known.table.changes == source.table.changes
                && known.table.ops == source.table.ops
                && known.table.window == source.table.window
                && known.table.columns == source.table.columns
                && (known.table.before.whole, known.table.after.whole)
                    == (source.table.before.whole, source.table.after.whole)
        });
        match again {
            true => same.extend(source.paths),
            false => kept.push(source),
        }
    }
    (kept, same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_as_wholes_or_as_words() {
        assert_eq!(names_fit("accounts", "public.Accounts"), 3);
        assert_eq!(names_fit("accounts", "history_accounts"), 2);
        assert_eq!(names_fit("accounts", "subaccounts"), 0);
    }

    #[test]
    fn columns_fit_as_far_as_the_table_has_them() {
        let names = |all: &[&str]| all.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(columns_fit(&names(&["id", "X", "y"]), &names(&["id", "x"])), 100);
        assert_eq!(columns_fit(&names(&["id"]), &names(&["id", "x"])), 50);
    }
}
