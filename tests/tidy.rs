//! The rules of layout that no compiler holds: who may import whom, how long
//! things may get, and words that must not stand in the project.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Which modules a module may import, beside itself, `error` and `model`.
///
/// It is the flow of the data: read → ledger → replay → verify → snapshot →
/// report → export. Only `pipeline` knows the whole order; `plan` says what to
/// read; `replay` works on facts alone and knows no file and no format.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("model", &[]),
    ("read", &[]),
    ("plan", &["read"]),
    ("ledger", &["read", "plan"]),
    ("replay", &[]),
    ("verify", &["read", "ledger", "replay"]),
    ("snapshot", &["read", "ledger", "replay", "verify"]),
    ("report", &["replay", "verify", "snapshot"]),
    ("export", &["read", "replay", "verify", "snapshot", "report"]),
    ("query", &["snapshot", "report"]),
    (
        "pipeline",
        &["read", "plan", "ledger", "replay", "verify", "snapshot", "report", "query", "export", "check"],
    ),
    ("check", &["read", "snapshot", "export"]),
    ("testing", &[]),
    ("cli", &[]),
];

/// What `replay` must not even name: it does no I/O, reads no clock, prints nothing.
const NOT_IN_REPLAY: &[&str] = &[
    "std::fs",
    "std::io",
    "std::env",
    "SystemTime",
    "Instant::now",
    "Utc::now",
    "println!",
    "parquet::",
    "serde_json",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files with this extension below a folder, sorted, relative to the project.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let start = root().join(folder);
    let (mut open, mut found) = (if start.is_dir() { vec![start] } else { Vec::new() }, Vec::new());
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The lines of a source file down to its inline tests.
fn without_tests(path: &Path) -> Vec<String> {
    let lines: Vec<String> = text(path).lines().map(str::to_owned).collect();
    let tests =
        |pair: &[String]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{');
    let end = lines.windows(2).position(tests).unwrap_or(lines.len());
    lines[..end].to_vec()
}

/// The lines of a source file without its inline tests and without comments.
fn code(path: &Path) -> Vec<String> {
    without_tests(path).iter().map(|l| l.split("//").next().unwrap_or_default().to_owned()).collect()
}

/// The module of the library that a source file belongs to.
fn module(path: &Path) -> String {
    let inside = path.strip_prefix("src").unwrap();
    inside.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// Files below `src` that are compiled for tests alone, by their declarations.
fn test_files() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for path in files("src", "rs") {
        let text = text(&path);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let folder = match path.file_stem().unwrap().to_str().unwrap() {
            "mod" | "lib" | "main" => path.parent().unwrap().to_owned(),
            _ => path.with_extension(""),
        };
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]") {
            let name = pair[1].split_once("mod ").and_then(|(_, n)| n.strip_suffix(';'));
            found.extend(name.map(|name| folder.join(name).with_extension("rs")));
        }
    }
    found
}

fn is_test(path: &Path, tests: &BTreeSet<PathBuf>) -> bool {
    tests.iter().any(|test| path == test || path.starts_with(test.with_extension("")))
}

fn production() -> Vec<PathBuf> {
    let tests = test_files();
    files("src", "rs").into_iter().filter(|p| !is_test(p, &tests)).collect()
}

/// Module names that follow `crate::` in a line, braces included.
fn imports(line: &str) -> Vec<String> {
    let names = |text: &str| -> Vec<String> {
        let word = |t: &str| t.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        match text.strip_prefix('{') {
            Some(list) => list.split([',', '}']).map(|t| word(t.trim())).filter(|w| !w.is_empty()).collect(),
            None => vec![word(text)],
        }
    };
    line.match_indices("crate::").flat_map(|(at, found)| names(&line[at + found.len()..])).collect()
}

#[test]
fn modules_import_only_what_lies_before_them() {
    let mut wrong = Vec::new();
    for path in production() {
        let module = module(&path);
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{}: module {module} is not in the table of imports", path.display()));
            continue;
        };
        let base = if module == "model" { &["error"][..] } else { &["error", "model"] };
        for (number, line) in code(&path).iter().enumerate() {
            for name in imports(line) {
                let known = MAY_IMPORT.iter().any(|(m, _)| *m == name);
                if known
                    && name != module
                    && !base.contains(&name.as_str())
                    && !allowed.contains(&name.as_str())
                {
                    wrong.push(format!("{}:{}: {module} imports {name}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn replay_does_no_io_and_reads_no_clock() {
    let mut wrong = Vec::new();
    for path in production().iter().filter(|p| module(p) == "replay") {
        for (number, line) in code(path).iter().enumerate() {
            for word in NOT_IN_REPLAY.iter().filter(|w| line.contains(**w)) {
                wrong.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_library_neither_prints_nor_reads_the_environment() {
    let banned = ["println!", "eprintln!", "print!(", "eprint!(", "std::env", "process::exit"];
    let mut wrong = Vec::new();
    for path in production().iter().filter(|p| !matches!(module(p).as_str(), "cli" | "main")) {
        for (number, line) in code(path).iter().enumerate() {
            // Where temporary files go is the system's business, and only the system knows it.
            let line = line.replace("std::env::temp_dir", "");
            for word in banned.iter().filter(|w| line.contains(**w)) {
                wrong.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The modules of this binary, without the folders of submodules below them.
fn own_tests() -> Vec<PathBuf> {
    files("tests", "rs").into_iter().filter(|p| p.components().count() == 2).collect()
}

#[test]
fn files_and_functions_stay_short() {
    let mut wrong = Vec::new();
    for path in files("src", "rs").into_iter().chain(own_tests()) {
        let lines = without_tests(&path);
        if lines.len() > 700 {
            wrong.push(format!("{}: {} lines", path.display(), lines.len()));
        }
        for (start, length) in functions(&lines) {
            if length > 70 {
                wrong.push(format!("{}:{}: a function of {length} lines", path.display(), start + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// First line and length of every function, by the indentation that rustfmt gives it.
fn functions(lines: &[String]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words: Vec<&str> = line.split_whitespace().take(5).collect();
        let declares =
            words.contains(&"fn") && !line.trim_start().starts_with("//") && !line.trim_end().ends_with(';');
        if declares && !line.trim_end().ends_with('}') {
            let end = format!("{}}}", " ".repeat(indent));
            let length = lines[start..].iter().position(|l| *l == end).map_or(0, |at| at + 1);
            found.push((start, length));
        }
    }
    found
}

#[test]
fn no_module_is_a_junk_drawer() {
    let banned = ["util", "utils", "helper", "helpers", "common", "misc"];
    let wrong: Vec<PathBuf> = files("src", "rs")
        .into_iter()
        .filter(|p| p.iter().any(|part| banned.contains(&part.to_string_lossy().trim_end_matches(".rs"))))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn lib_is_documentation_and_re_exports() {
    let lines = code(Path::new("src/lib.rs"));
    let count = lines.iter().filter(|l| !l.trim().is_empty()).count();
    assert!(count <= 120, "lib.rs has {count} lines of code");
    assert!(!lines.iter().any(|l| l.contains("fn ")), "lib.rs defines nothing");
}

#[test]
fn every_module_is_on_the_map() {
    let map = text(Path::new("ARCHITECTURE.md"));
    let words: BTreeSet<&str> = map.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let missing: Vec<String> = production()
        .iter()
        .filter(|p| p.components().count() <= 3)
        .filter_map(|p| {
            let inside = p.strip_prefix("src").unwrap().with_extension("");
            let name = inside.iter().next_back().unwrap().to_string_lossy().into_owned();
            let name = if name == "mod" { module(p) } else { name };
            (!words.contains(name.as_str())).then(|| format!("{}: {name}", p.display()))
        })
        .collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md does not name {missing:#?}");
}

#[test]
fn nothing_is_left_to_do_and_nothing_names_this_machine() {
    let banned = [
        concat!("FIX", "ME"),
        concat!("TO", "DO"),
        concat!("XX", "X:"),
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("fa", "rm-"),
        concat!("under ", "construction"),
    ];
    let everywhere =
        [("src", "rs"), ("tests", "rs"), ("tests", "case"), ("benches", "rs"), ("queries", "sql")];
    let mut wrong = Vec::new();
    let mut paths: Vec<PathBuf> =
        everywhere.iter().flat_map(|(folder, extension)| files(folder, extension)).collect();
    let documents = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "Cargo.toml"].map(PathBuf::from);
    paths.extend(documents.into_iter().filter(|p| root().join(p).is_file()));
    for path in paths {
        for (number, line) in text(&path).lines().enumerate() {
            for word in banned.iter().filter(|w| line.contains(**w)) {
                wrong.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_test_file_is_listed() {
    let listed: BTreeSet<String> = text(Path::new("tests/tests.rs"))
        .lines()
        .filter_map(|l| l.strip_prefix("mod ")?.strip_suffix(';').map(str::to_owned))
        .collect();
    let present: BTreeSet<String> = own_tests()
        .iter()
        .map(|p| p.file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|name| name != "tests")
        .collect();
    assert_eq!(listed, present, "modules in tests.rs and files beside it");
}

#[test]
fn every_case_is_where_its_name_says() {
    for path in crate::cases::files() {
        assert!(path.extension().is_some_and(|e| e == "case"), "{}: not a case", path.display());
        let depth = path.strip_prefix(crate::cases::folder()).unwrap().components().count();
        let expected = 2 + usize::from(path.starts_with(crate::cases::folder().join("formats")));
        assert_eq!(depth, expected, "{}: cases lie in the folder of their topic", path.display());
    }
}
