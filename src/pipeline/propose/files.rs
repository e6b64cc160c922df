//! What the files are, and which of them are parts of one ledger.

use std::path::{Path, PathBuf};

use super::ProposeRequest;
use crate::error::Result;
use crate::ledger::{Format, is_table_folder, sink_of};
use crate::pipeline::inspect::{Inspected, InspectedTable, inspect};
use crate::pipeline::progress::Progress;
use crate::pipeline::request::InspectRequest;
use crate::read::{InputFile, Spool, TableSource, paths};

/// Folders deeper than this are not looked into.
const DEPTH_MAX: usize = 16;
/// How data files end, before `.gz` and `.zst`.
const ENDINGS: [&str; 12] =
    ["parquet", "csv", "tsv", "txt", "json", "ndjson", "jsonl", "arrow", "ipc", "feather", "log", "xml"];

/// A table as it stands in one file.
#[derive(Debug, Clone)]
pub(super) struct TableFile {
    pub(super) path: PathBuf,
    pub(super) inspected: Inspected,
    pub(super) columns: Vec<String>,
}

/// Files that are one ledger.
#[derive(Debug, Clone)]
pub(super) struct LedgerFiles {
    pub(super) paths: Vec<PathBuf>,
    pub(super) format: Format,
    /// Its tables, over all files.
    pub(super) tables: Vec<InspectedTable>,
    /// The columns or members of its records.
    pub(super) columns: Vec<String>,
}

/// All files.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) tables: Vec<TableFile>,
    pub(super) ledgers: Vec<LedgerFiles>,
    /// Files that are neither, and why.
    pub(super) left_out: Vec<(PathBuf, String)>,
}

impl Looked {
    /// In a few words.
    pub(super) fn summary(&self) -> String {
        let names = |paths: Vec<&PathBuf>| match paths.as_slice() {
            [] => "none".to_owned(),
            some => some.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "),
        };
        let ledgers = self.ledgers.iter().flat_map(|l| &l.paths).collect();
        format!(
            "tables: {}; ledgers: {}",
            names(self.tables.iter().map(|t| &t.path).collect()),
            names(ledgers)
        )
    }
}

/// Looks at every file that is named or lies in a named folder.
pub(super) fn look(request: &ProposeRequest, progress: &dyn Progress) -> Result<Looked> {
    let mut looked = Looked::default();
    for named in &request.files {
        let (mut files, folder) = (Vec::new(), named.is_dir() && !is_table_folder(named));
        if folder {
            walk(named, 0, &mut files);
        } else if is_table_folder(named) {
            files.push(named.clone());
        } else {
            files.extend(paths::find(named)?.into_iter().map(|found| found.path));
        }
        for path in files {
            match one(&path, request, progress) {
                Ok(found) => looked.add(path, found),
                Err(error) if folder => looked.left_out.push((path, error.to_string())),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(looked)
}

/// The data files of a folder, by name; links are not followed.
fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort_unstable_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    for path in entries {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with(['.', '_']) || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            match is_table_folder(&path) {
                true => files.push(path),
                false if depth < DEPTH_MAX => walk(&path, depth + 1, files),
                false => {}
            }
        } else if is_data(&name) {
            files.push(path);
        }
    }
}

fn is_data(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    let known = plain.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending));
    known && !matches!(plain, "manifest.json" | "package.json")
}

fn one(path: &Path, request: &ProposeRequest, progress: &dyn Progress) -> Result<(Inspected, Vec<String>)> {
    let inspect_request = InspectRequest { files: vec![path.to_owned()], options: request.options.clone() };
    let inspected = inspect(&inspect_request, progress)?;
    let columns = match path.is_dir() {
        true => Vec::new(),
        false => {
            let file = InputFile::open(path, &Spool::new(request.options.spool.as_deref()))?;
            // What is no table has no columns.
            crate::read::columns_of(&file, &TableSource::at(path))
                .map(|schema| schema.fields().iter().map(|f| f.name().clone()).collect())
                .unwrap_or_default()
        }
    };
    inspected
        .into_iter()
        .next()
        .map(|found| (found, columns))
        .ok_or_else(|| crate::Error::NoInput { path: path.to_owned() })
}

impl Looked {
    fn add(&mut self, path: PathBuf, (inspected, columns): (Inspected, Vec<String>)) {
        let Some(ledger) = inspected.ledger.clone() else {
            self.tables.push(TableFile { path, inspected, columns });
            return;
        };
        let part = |known: &&mut LedgerFiles| {
            // Definitions beside messages are of no format of their own.
            let is_definition = sink_of(&path).is_some_and(|(_, is_definition)| is_definition);
            (known.format == ledger.format || is_definition)
                && known.paths.iter().all(|other| are_parts(other, &path))
        };
        let Some(known) = self.ledgers.iter_mut().find(part) else {
            let (format, tables) = (ledger.format, ledger.tables);
            self.ledgers.push(LedgerFiles { paths: vec![path], format, tables, columns });
            return;
        };
        known.paths.push(path);
        for table in ledger.tables {
            match known.tables.iter_mut().find(|t| t.name == table.name) {
                Some(all) => join(all, table),
                None => known.tables.push(table),
            }
        }
    }
}

/// Whether names differ in numbers alone, in one folder, or are of one table in a storage sink.
pub(super) fn are_parts(a: &Path, b: &Path) -> bool {
    let sinks = sink_of(a).zip(sink_of(b));
    if sinks.is_some_and(|((a, _), (b, _))| a == b) {
        return true;
    }
    let masked = |path: &Path| -> String {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let mut masked = String::new();
        for c in name.chars() {
            match c.is_ascii_digit() {
                true if masked.ends_with('#') => {}
                true => masked.push('#'),
                false => masked.push(c),
            }
        }
        masked
    };
    a.parent() == b.parent() && masked(a) == masked(b) && masked(a).contains('#')
}

fn join(all: &mut InspectedTable, more: InspectedTable) {
    for column in more.columns {
        if !all.columns.contains(&column) {
            all.columns.push(column);
        }
    }
    all.changes += more.changes;
    for (op, count) in more.ops {
        match all.ops.iter_mut().find(|(known, _)| *known == op) {
            Some((_, sum)) => *sum += count,
            None => all.ops.push((op, count)),
        }
    }
    // Instants in UTC compare as texts as far as whole seconds go, which is enough to show them.
    let first = |a: &mut Option<String>, b: Option<String>, earlier: bool| {
        if let Some(b) = b
            && a.as_ref().is_none_or(|a| (b < *a) == earlier)
        {
            *a = Some(b);
        }
    };
    first(&mut all.window.0, more.window.0, true);
    first(&mut all.window.1, more.window.1, false);
    for (side, more) in [(&mut all.before, more.before), (&mut all.after, more.after)] {
        // A column is never stated only if no file states it.
        if side.images == 0 {
            side.never.clone_from(&more.never);
        } else if more.images > 0 {
            side.never.retain(|column| more.never.contains(column));
        }
        side.images += more.images;
        side.whole += more.whole;
    }
}

/// The paths of one ledger as few patterns: one wildcard where it names these files and no other.
pub(super) fn patterns(all: &[PathBuf]) -> Vec<PathBuf> {
    let name =
        |path: &PathBuf| path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let [first, rest @ ..] = all else { return Vec::new() };
    if let Some((folder, _)) = sink_of(first) {
        return vec![folder];
    }
    if rest.is_empty() {
        return all.to_vec();
    }
    let names: Vec<Vec<char>> = all.iter().map(|p| name(p).chars().collect()).collect();
    let shortest = names.iter().map(Vec::len).min().unwrap_or(0);
    let same = |at: &dyn Fn(&[char]) -> char| names.iter().all(|n| at(n) == at(&names[0]));
    let head = (0..shortest).take_while(|&i| same(&|n: &[char]| n[i])).count();
    let tail = (0..shortest - head).take_while(|&i| same(&|n: &[char]| n[n.len() - 1 - i])).count();
    let begin: String = names[0][..head].iter().collect();
    let end: String = names[0][names[0].len() - tail..].iter().collect();
    let pattern = first.with_file_name(format!("{begin}*{end}"));
    // In one folder, so that names tell files.
    let mut named: Vec<String> =
        paths::find(&pattern).map(|f| f.iter().map(|f| name(&f.path)).collect()).unwrap_or_default();
    let mut wanted: Vec<String> = all.iter().map(name).collect();
    named.sort();
    wanted.sort();
    if named == wanted { vec![pattern] } else { all.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_differ_in_numbers_alone() {
        let parts = |a: &str, b: &str| are_parts(Path::new(a), Path::new(b));
        assert!(parts("l/core-2025-h1.gz", "l/core-2025-h2.gz"));
        assert!(!parts("l/core-2025-h1.gz", "m/core-2025-h2.gz"));
        assert!(!parts("l/history_accounts.csv", "l/history_customers.csv"));
        assert!(!parts("l/accounts.csv", "l/accounts.parquet"));
    }

    #[test]
    fn a_wildcard_names_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = ["a-1.csv", "a-2.csv", "b.csv"].map(|n| folder.path().join(n)).to_vec();
        paths.iter().for_each(|p| std::fs::write(p, "x").unwrap());
        assert_eq!(patterns(&paths[..2]), [folder.path().join("a-*.csv")]);
        std::fs::write(folder.path().join("a-other.csv"), "x").unwrap();
        assert_eq!(patterns(&paths[..2]), paths[..2].to_vec());
    }
}
