//! File, folder or wildcard → the files it names, in the order of their path bytes.
//!
//! In folders and under wildcards, names that begin with `.` or `_` are left out
//! (`_SUCCESS`, `_delta_log`, checksums), and so is everything that a link leads
//! to outside. `key=value` folders below the pattern's fixed part are Hive
//! partitions.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Folders deeper than this are a loop or not a table.
const DEPTH_MAX: usize = 32;

/// One file of a table, and what its folders say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// The path, as the pattern leads to it.
    pub path: PathBuf,
    /// Hive partitions on the way, outermost first: name and decoded value
    /// (`None` for the Hive default partition).
    pub partitions: Vec<(String, Option<String>)>,
}

/// All files that a pattern names, by path bytes; at least one.
///
/// # Errors
/// Nothing is there, or a folder cannot be listed.
pub fn find(pattern: &Path) -> Result<Vec<FoundFile>> {
    if pattern.is_dir() {
        let mut files = Vec::new();
        walk(pattern, &root_of(pattern)?, 0, &mut files)?;
        return found(pattern, pattern, files);
    }
    // A path that exists is taken literally, whatever characters it has.
    if pattern.exists() {
        return Ok(vec![FoundFile { path: pattern.to_owned(), partitions: partitions(pattern, pattern) }]);
    }
    let text = pattern.to_string_lossy();
    if !text.contains(['*', '?', '[']) {
        return Err(Error::NoInput { path: pattern.to_owned() });
    }
    found(pattern, &fixed_part(pattern), expand(pattern, &text)?)
}

fn found(pattern: &Path, base: &Path, mut files: Vec<PathBuf>) -> Result<Vec<FoundFile>> {
    files.sort_unstable_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    files.dedup();
    if files.is_empty() {
        return Err(Error::NoInput { path: pattern.to_owned() });
    }
    Ok(files.into_iter().map(|path| FoundFile { partitions: partitions(&path, base), path }).collect())
}

fn expand(pattern: &Path, text: &str) -> Result<Vec<PathBuf>> {
    let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
    let paths = glob::glob_with(text, options).map_err(|e| Error::Malformed {
        path: pattern.to_owned(),
        at: crate::At::default(),
        expected: "a wildcard pattern".to_owned(),
        found: e.msg.to_owned(),
        hint: Some("* and ? match within a name, ** any folders, [ab] one character".to_owned()),
    })?;
    let root = root_of(&fixed_part(pattern))?;
    let mut files = Vec::new();
    for path in paths {
        let path = path.map_err(|e| {
            let path = e.path().to_owned();
            Error::io(&path, "list")(e.into())
        })?;
        if path.is_dir() {
            walk(&path, &root, 0, &mut files)?;
        } else if !is_hidden(&path) && is_inside(&path, &root) {
            files.push(path);
        }
    }
    Ok(files)
}

/// The leading folders of a pattern that have no wildcard.
fn fixed_part(pattern: &Path) -> PathBuf {
    let wild = |c: &std::path::Component<'_>| c.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let fixed: PathBuf = pattern.components().take_while(|c| !wild(c)).collect();
    if fixed.as_os_str().is_empty() { PathBuf::from(".") } else { fixed }
}

fn root_of(folder: &Path) -> Result<PathBuf> {
    folder.canonicalize().map_err(Error::io(folder, "open"))
}

fn is_inside(path: &Path, root: &Path) -> bool {
    path.canonicalize().is_ok_and(|p| p.starts_with(root))
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|n| matches!(n.as_encoded_bytes().first(), Some(b'.' | b'_')))
}

fn walk(folder: &Path, root: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(Error::Limit { what: "depth of folders", found: depth as u64, limit: DEPTH_MAX as u64 });
    }
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder, "list"))? {
        let path = entry.map_err(Error::io(folder, "list"))?.path();
        if is_hidden(&path) || !is_inside(&path, root) {
            continue;
        }
        if path.is_dir() {
            walk(&path, root, depth + 1, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// The `key=value` folders between the base and the file.
fn partitions(path: &Path, base: &Path) -> Vec<(String, Option<String>)> {
    let folders = path.parent().unwrap_or(Path::new(""));
    let below = folders.strip_prefix(base).unwrap_or(Path::new(""));
    below
        .components()
        .filter_map(|c| {
            let name = c.as_os_str().to_str()?;
            let (key, value) = name.split_once('=')?;
            let value = (value != "__HIVE_DEFAULT_PARTITION__").then(|| percent_decoded(value));
            (!key.is_empty()).then(|| (percent_decoded(key), value))
        })
        .collect()
}

/// Hive escapes special characters in folder names as `%XX`.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match code.and_then(|c| u8::from_str_radix(c, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(folder: &Path, names: &[&str]) {
        for name in names {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
    }

    #[test]
    fn files_come_in_the_order_of_their_path_bytes() {
        let dir = tempfile::tempdir().unwrap();
        touch(dir.path(), &["b.csv", "a-10.csv", "a-9.csv", "Z.csv", "_SUCCESS", ".b.csv.crc", "x/é.csv"]);
        let names = |pattern: &Path| -> Vec<String> {
            let files = find(pattern).unwrap();
            files.iter().map(|f| f.path.strip_prefix(dir.path()).unwrap().display().to_string()).collect()
        };
        assert_eq!(names(dir.path()), ["Z.csv", "a-10.csv", "a-9.csv", "b.csv", "x/é.csv"]);
        assert_eq!(names(&dir.path().join("a-*.csv")), ["a-10.csv", "a-9.csv"]);
        assert_eq!(names(&dir.path().join("_SUCCESS")), ["_SUCCESS"], "a file named outright is read");
        assert!(matches!(find(&dir.path().join("none.csv")), Err(Error::NoInput { .. })));
        assert!(matches!(find(&dir.path().join("none*")), Err(Error::NoInput { .. })));
    }

    #[test]
    fn hive_folders_become_partitions() {
        let dir = tempfile::tempdir().unwrap();
        touch(dir.path(), &["year=2024/city=a%2Fb/f.csv", "year=2025/city=__HIVE_DEFAULT_PARTITION__/f.csv"]);
        let files = find(dir.path()).unwrap();
        let some = |t: &str| Some(t.to_owned());
        assert_eq!(
            files[0].partitions,
            [("year".to_owned(), some("2024")), ("city".to_owned(), some("a/b"))]
        );
        assert_eq!(files[1].partitions[1], ("city".to_owned(), None));
        let globbed = find(&dir.path().join("year=*/*/f.csv")).unwrap();
        assert_eq!(globbed[0].partitions[0], ("year".to_owned(), some("2024")));
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_lead_out_of_the_folder() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        touch(outside.path(), &["secret.csv"]);
        touch(dir.path(), &["a.csv"]);
        std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
        // The loop stays inside, so it is cut by depth alone.
        assert!(find(dir.path()).is_err());
        std::fs::remove_file(dir.path().join("loop")).unwrap();
        assert_eq!(find(dir.path()).unwrap().len(), 1);
    }
}
