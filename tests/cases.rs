//! Text cases: current state, ledger and plan in; snapshot, verdicts and discrepancies out.
//!
//! A case is a file `tests/cases/<topic>/<name>.case` (those of a format lie in `formats/<format>`). It opens with a comment
//! that says which rule it pins and which naive reading it catches. Then come
//! sections, each headed `== name …`:
//!
//! | section | content |
//! |---|---|
//! | `current t` | the current state of dataset `t` as a text table (see `table`) |
//! | `changes t` | its ledger as a table; the header names the fields of a mapped NDJSON ledger |
//! | `ledger t` | its ledger as raw lines |
//! | `records t FORMAT…` | its ledger as a typed text table; the case is run with it as each of `parquet`, `arrow`, `csv` |
//! | `opening t DD` | a trusted earlier snapshot |
//! | `file NAME` | any other file; `file NAME latin-1`: with a byte per character |
//! | `plan`, `plan t`, `plan t.ledger`, `plan t.current` | TOML lines put into that table of the plan |
//! | `undeclared` | leave out the coverage that every case otherwise declares: all of January 2025 |
//! | `as-of WHEN [flags]` | opens a run; what follows belongs to it |
//! | `snapshot t` | the expected rows, in order; types are those of the current state, or those that follow `t` as in a header |
//! | `verdicts` | all rows of the verdict file: `dataset, key, column, verdict, present` |
//! | `discrepancies` | all discrepancies: `code, dataset, key, columns, touches, count`; a line `> …` below is the message |
//! | `refused` | the run must not proceed, and say each of these lines |
//!
//! Moments are written `05` or `05T10:30`, in January 2025; in raw lines `@(05)`
//! is such a moment as text and `@ms(05)` the same in milliseconds. In `changes`
//! an image is written `id=1 name="x y"`, a field left out is not recorded, an
//! empty cell is null.
//!
//! `CASE=text` runs only the cases whose path contains it. `UPDATE=1` writes the
//! messages found into the case; nothing else is ever blessed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{Folder, Output};
use crate::table;

/// One section of a case.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    /// The words of its heading.
    pub(crate) title: Vec<String>,
    /// Its lines, without blank ones and comments.
    pub(crate) lines: Vec<String>,
}

/// One case file.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) path: PathBuf,
    pub(crate) comment: Vec<String>,
    /// The sections before the first `as-of`.
    pub(crate) inputs: Vec<Section>,
    /// Per run: the `as-of` section and those that state what to expect.
    pub(crate) runs: Vec<Vec<Section>>,
}

/// One line of a `discrepancies` section.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    code: String,
    dataset: String,
    key: String,
    columns: Vec<String>,
    touches: bool,
    /// Compared only where the case states it.
    count: Option<String>,
    message: Option<String>,
}

/// The folder that holds all cases.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

/// All case files, sorted.
pub(crate) fn files() -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![folder()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

impl Case {
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let mut case =
            Self { path: path.to_owned(), comment: Vec::new(), inputs: Vec::new(), runs: Vec::new() };
        for line in text.lines().filter(|l| !l.trim().is_empty()) {
            if let Some(title) = line.strip_prefix("== ") {
                case.open(title.split_whitespace().map(str::to_owned).collect());
            } else if let Some(section) = case.last() {
                // A file is taken as it is.
                if !line.starts_with('#') || section.title[0] == "file" {
                    section.lines.push(line.to_owned());
                }
            } else {
                case.comment.push(line.to_owned());
            }
        }
        case
    }

    fn open(&mut self, title: Vec<String>) {
        let section = Section { title, lines: Vec::new() };
        if section.title[0] == "as-of" {
            self.runs.push(vec![section]);
        } else if let Some(run) = self.runs.last_mut() {
            run.push(section);
        } else {
            self.inputs.push(section);
        }
    }

    fn last(&mut self) -> Option<&mut Section> {
        self.runs.last_mut().map_or_else(|| self.inputs.last_mut(), |run| run.last_mut())
    }

    fn input(&self, title: &[&str]) -> Option<&Section> {
        self.inputs
            .iter()
            .find(|s| s.title.iter().zip(title).all(|(a, b)| a == b) && s.title.len() >= title.len())
    }

    /// The datasets, in the order in which their current states stand.
    fn datasets(&self) -> Vec<&Section> {
        self.inputs.iter().filter(|s| s.title[0] == "current").collect()
    }

    /// Codes of all discrepancies that any run of this case expects.
    pub(crate) fn expected_codes(&self) -> Vec<String> {
        let sections = self.runs.iter().flatten().filter(|s| s.title[0] == "discrepancies");
        sections.flat_map(findings_of).map(|f| f.code).collect()
    }
}

// ---- writing the inputs ----

/// A moment in the short form of the cases as RFC 3339, or the text itself if it is none.
fn moment(text: &str) -> String {
    let digits = text.len() >= 2 && text.bytes().take(2).all(|b| b.is_ascii_digit());
    match text.get(2..) {
        Some("") if digits => format!("2025-01-{text}T00:00:00Z"),
        Some(rest) if digits && rest.starts_with('T') => {
            let seconds = if rest.len() == 6 { ":00" } else { "" };
            format!("2025-01-{text}{seconds}Z")
        }
        _ => text.to_owned(),
    }
}

/// Replaces `@(05)` and `@ms(05)` in a raw line.
fn expand(line: &str) -> String {
    let (mut done, mut rest) = (String::new(), line);
    while let Some(at) = rest.find('@') {
        let (head, tail) = rest.split_at(at);
        done.push_str(head);
        let number = tail.starts_with("@ms(");
        let open = if number { 4 } else { 2 };
        match tail.find(')').filter(|_| number || tail.starts_with("@(")) {
            None => {
                done.push('@');
                rest = &tail[1..];
            }
            Some(close) => {
                let text = moment(&tail[open..close]);
                let nanoseconds = asof::model::time::parse_instant(&text, None).unwrap();
                done.push_str(&if number { (nanoseconds / 1_000_000).to_string() } else { text });
                rest = &tail[close + 1..];
            }
        }
    }
    done + rest
}

/// A table of changes as the lines of a mapped NDJSON ledger.
fn mapped_lines(section: &Section) -> Vec<String> {
    let names = table::split_bars(&section.lines[0]);
    let line = |line: &String| {
        let cells = table::split_bars(line);
        assert_eq!(cells.len(), names.len(), "number of cells in {line:?}");
        let fields: Vec<String> = names
            .iter()
            .zip(&cells)
            .map(|(name, cell)| format!("{name:?}: {}", mapped_field(name, cell)))
            .collect();
        format!("{{{}}}", fields.join(", "))
    };
    section.lines[1..].iter().map(line).collect()
}

fn mapped_field(name: &str, cell: &str) -> String {
    match name {
        _ if cell.is_empty() => "null".to_owned(),
        "before" | "after" => format!("{{{}}}", image(cell).join(", ")),
        "committed_at" => format!("{:?}", moment(cell)),
        _ => json(cell),
    }
}

/// `id=1 name="x y"` as members of a JSON object.
fn image(cell: &str) -> Vec<String> {
    let (mut members, mut rest) = (Vec::new(), cell.trim());
    while let Some((name, tail)) = rest.split_once('=') {
        let (mut end, mut quoted, mut escaped, mut depth) = (tail.len(), false, false, 0);
        for (i, c) in tail.char_indices() {
            match c {
                ' ' if !quoted && depth == 0 => {
                    end = i;
                    break;
                }
                '[' | '{' if !quoted => depth += 1,
                ']' | '}' if !quoted => depth -= 1,
                '"' if !escaped => quoted = !quoted,
                _ => {}
            }
            escaped = c == '\\' && !escaped;
        }
        members.push(format!("{name:?}: {}", json(&tail[..end])));
        rest = tail[end..].trim_start();
    }
    members
}

/// The text itself where it is JSON, else as a JSON string.
fn json(text: &str) -> String {
    match serde_json::from_str::<&serde_json::value::RawValue>(text) {
        Ok(raw) => raw.get().to_owned(),
        Err(_) => serde_json::to_string(text).unwrap(),
    }
}

/// The extensions of ledgers with which a case is run: those of its `records`, else the one of its own.
fn formats(case: &Case) -> Vec<String> {
    let stated = case.input(&["records"]).map_or(&[][..], |records| &records.title[2..]);
    if stated.is_empty() {
        return vec!["ndjson".to_owned()];
    }
    stated.iter().map(|format| format!("ledger.{format}")).collect()
}

/// A ledger as a typed table: moments may be in the short form of the cases.
fn write_records(section: &Section, folder: &Folder, format: &str) {
    let (schema, _) = table::parse_header(&section.lines[0]);
    let lines: Vec<String> = section.lines[1..].iter().map(|l| expand(l)).collect();
    let batch = table::parse_rows(&schema, &lines);
    let path = folder.join(format!("{}.{format}", section.title[1]));
    match format {
        "ledger.parquet" => table::write_parquet(&path, &batch),
        "ledger.arrow" => table::write_ipc(&path, &batch),
        "ledger.csv" => table::write_csv(&path, &batch),
        other => panic!("no format {other:?} of records"),
    }
}

fn write_inputs(case: &Case, folder: &Folder, format: &str) {
    for section in &case.inputs {
        let lines = || section.lines.iter().map(|l| expand(l) + "\n").collect::<String>();
        let name = section.title.get(1).map_or("", String::as_str);
        match section.title[0].as_str() {
            "current" | "opening" => {
                let suffix = if section.title[0] == "opening" { ".opening" } else { "" };
                let (schema, _) = table::parse_header(&section.lines[0]);
                let batch = table::parse_rows(&schema, &section.lines[1..]);
                table::write_parquet(&folder.join(format!("{name}{suffix}.parquet")), &batch);
            }
            "changes" => folder.write(&format!("{name}.ndjson"), mapped_lines(section).join("\n") + "\n"),
            "ledger" => folder.write(&format!("{name}.ndjson"), lines()),
            "records" => write_records(section, folder, format),
            "file" if section.title.get(2).is_some_and(|e| e == "latin-1") => {
                let bytes: Vec<u8> = lines().chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
                folder.write(name, bytes);
            }
            "file" => folder.write(name, lines()),
            "plan" | "undeclared" => {}
            other => panic!("no section {other:?} in cases"),
        }
    }
    folder.write("plan.toml", plan(case, format));
}

fn plan(case: &Case, format: &str) -> String {
    let mut text = String::from("name = \"a test case\"\n");
    text += &plan_lines(case, &["plan"], &[]);
    let declared = case.input(&["undeclared"]).is_none();
    for section in case.datasets() {
        let name = &section.title[1];
        let (_, key) = table::parse_header(&section.lines[0]);
        let current: &[(&str, String)] =
            &[("path", format!("{name}.parquet")), ("at", "2025-02-01T00:00:00Z".to_owned())];
        let ledger: &[(&str, String)] = &[
            ("path", format!("{name}.{format}")),
            ("complete_from", "2025-01-01T00:00:00Z".to_owned()),
            ("complete_to", "2025-02-01T00:00:00Z".to_owned()),
        ];
        let known = if declared { 3 } else { 1 };
        let lines = plan_lines(case, &["plan", name], &[]);
        let is_stated = lines.lines().any(|line| line.starts_with("key ="));
        let marked = if is_stated { String::new() } else { format!("key = {key:?}\n") };
        text += &format!("\n[datasets.{name}]\n{marked}{lines}");
        text += &format!("[datasets.{name}.current]\n");
        text += &plan_lines(case, &["plan", &format!("{name}.current")], &current[..known.min(2)]);
        text += &format!("[datasets.{name}.ledger]\n");
        text += &plan_lines(case, &["plan", &format!("{name}.ledger")], &ledger[..known]);
        if let Some(opening) = case.input(&["opening", name]) {
            let at = moment(&opening.title[2]);
            text +=
                &format!("[datasets.{name}.opening]\npath = \"{name}.opening.parquet\"\nas_of = {at:?}\n");
        }
    }
    text + &plan_lines(case, &["plan", "end"], &[])
}

/// The lines of a plan section, before them the defaults that it does not set itself.
fn plan_lines(case: &Case, title: &[&str], defaults: &[(&str, String)]) -> String {
    let section = case.inputs.iter().find(|s| s.title == title);
    let lines: &[String] = section.map_or(&[], |s| &s.lines);
    let sets = |name: &str| lines.iter().any(|l| l.split('=').next().is_some_and(|n| n.trim() == name));
    let mut text = String::new();
    for (name, value) in defaults.iter().filter(|(name, _)| !sets(name)) {
        text += &format!("{name} = {value:?}\n");
    }
    for line in lines {
        text += &format!("{}\n", expand(line));
    }
    text
}

// ---- running and comparing ----

fn check(path: &Path) -> Result<(), String> {
    let case = Case::read(path);
    assert!(
        case.comment.iter().all(|l| l.starts_with('#')) && !case.comment.is_empty(),
        "a case opens with a comment"
    );
    assert!(!case.runs.is_empty(), "a case has a run");
    let formats = formats(&case);
    formats
        .iter()
        .try_for_each(|format| check_with(&case, format).map_err(|e| format!("  as {format}:\n{e}")))
}

fn check_with(case: &Case, format: &str) -> Result<(), String> {
    let folder = Folder::new();
    write_inputs(case, &folder, format);
    let mut wrong = String::new();
    let mut messages = Vec::new();
    for (number, run) in case.runs.iter().enumerate() {
        let out = format!("out{number}");
        let mut arguments = vec!["snapshot", "plan.toml", "--out", &out, "--as-of"];
        let when = moment(&run[0].title[1]);
        arguments.push(&when);
        arguments.extend(run[0].title[2..].iter().map(String::as_str));
        let output = folder.run(&arguments);
        let mut found = check_run(case, run, &folder.join(&out), &output, &mut messages);
        if !found.is_empty() {
            found.push_str(&format!("stderr:\n{}", indent(&output.stderr)));
            wrong += &format!("as-of {}:\n{found}", run[0].title[1..].join(" "));
        }
    }
    if !wrong.is_empty() {
        return Err(wrong + &format!("plan:\n{}", indent(&plan(case, format))));
    }
    settle_messages(case, messages)
}

fn check_run(
    case: &Case,
    run: &[Section],
    out: &Path,
    output: &Output,
    messages: &mut Vec<Vec<Finding>>,
) -> String {
    let section = |name: &'static str| run.iter().filter(move |s| s.title[0] == name);
    let mut wrong = String::new();
    if let Some(refused) = section("refused").next() {
        if output.status != 2 || out.exists() {
            wrong += &format!("  expected a refusal, found exit status {}\n", output.status);
        }
        for line in refused.lines.iter().filter(|l| !output.stderr.contains(l.as_str())) {
            wrong += &format!("  the refusal does not say {line:?}\n");
        }
        return wrong;
    }
    if !matches!(output.status, 0 | 1) || !out.is_dir() {
        return format!("  expected a snapshot, found exit status {}\n", output.status);
    }
    let request = asof::check::CheckRequest { folder: out.to_owned(), ..Default::default() };
    match asof::check::check(&request) {
        Ok(checked) if checked.is_sound() => {}
        checked => wrong += &format!("  the package does not hold: {checked:?}\n"),
    }
    for expected in section("snapshot") {
        wrong += &compare_snapshot(case, expected, out);
    }
    for expected in section("verdicts") {
        wrong += &difference("verdicts", &canonical_verdicts(&expected.lines), &read_verdicts(out));
    }
    let (found, severe) = read_findings(out);
    for expected in section("discrepancies") {
        wrong += &compare_findings(&findings_of(expected), &found);
        messages.push(found.clone());
    }
    if output.status != i32::from(severe) {
        wrong += &format!("  exit status {} does not fit the severities\n", output.status);
    }
    wrong
}

fn compare_snapshot(case: &Case, expected: &Section, out: &Path) -> String {
    let name = &expected.title[1];
    let current = case.input(&["current", name]).unwrap();
    let own = expected.title[2..].join(" ");
    let (schema, _) = table::parse_header(if own.is_empty() { &current.lines[0] } else { &own });
    let batch = table::read_parquet(&out.join(format!("{name}.parquet")));
    let types = |s: &arrow::datatypes::Schema| {
        s.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect::<Vec<_>>()
    };
    if types(&schema) != types(&batch.schema()) {
        return difference("columns", &types(&schema), &types(&batch.schema()));
    }
    let show = |batch| table::texts(batch).iter().map(|row| table::show_row(row)).collect::<Vec<_>>();
    difference(
        &format!("snapshot {name}"),
        &show(&table::parse_rows(&schema, &expected.lines)),
        &show(&batch),
    )
}

fn canonical_verdicts(lines: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = lines.iter().map(|l| table::split_bars(l).join(" | ")).collect();
    lines.sort();
    lines
}

fn read_verdicts(out: &Path) -> Vec<String> {
    let batch = table::read_parquet(&out.join("verdicts.parquet"));
    let columns = ["dataset", "key", "column", "verdict", "present"].map(|name| table::column(&batch, name));
    let mut lines: Vec<String> = (0..batch.num_rows())
        .map(|row| {
            let cell = |column: usize| columns[column][row].clone().unwrap_or_default();
            let present = if cell(4) == "true" { "present" } else { "gone" };
            format!("{} | {} | {} | {} | {present}", cell(0), cell(1), cell(2), cell(3))
        })
        .collect();
    lines.sort();
    lines
}

fn findings_of(section: &Section) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for line in &section.lines {
        if let Some(message) = line.trim_start().strip_prefix("> ") {
            findings.last_mut().unwrap().message = Some(message.to_owned());
            continue;
        }
        let cells = table::split_bars(line);
        let cell = |i: usize| cells.get(i).cloned().unwrap_or_default();
        findings.push(Finding {
            code: cell(0),
            dataset: cell(1),
            key: cell(2),
            columns: names(&cell(3)),
            touches: cell(4) == "touches",
            count: cells.get(5).cloned(),
            message: None,
        });
    }
    findings
}

fn names(text: &str) -> Vec<String> {
    let mut names: Vec<String> = text
        .split(',')
        .map(|n| n.trim_matches(['[', ']', '"', ' ']).to_owned())
        .filter(|n| !n.is_empty())
        .collect();
    names.sort();
    names
}

/// All discrepancies of a run, and whether one of them is an error that nobody accepted.
fn read_findings(out: &Path) -> (Vec<Finding>, bool) {
    let batch = table::read_parquet(&out.join("discrepancies.parquet"));
    let columns =
        ["code", "dataset", "key", "columns", "touches_snapshot", "count", "message", "severity", "accepted"]
            .map(|name| table::column(&batch, name));
    let cell = |column: usize, row: usize| columns[column][row].clone().unwrap_or_default();
    let rows = 0..batch.num_rows();
    let severe = rows.clone().any(|row| cell(7, row) == "error" && cell(8, row).is_empty());
    let finding = |row| Finding {
        code: cell(0, row),
        dataset: cell(1, row),
        key: cell(2, row),
        columns: names(&cell(3, row)),
        touches: cell(4, row) == "true",
        count: Some(cell(5, row)),
        message: Some(cell(6, row)),
    };
    (rows.map(finding).collect(), severe)
}

fn compare_findings(expected: &[Finding], found: &[Finding]) -> String {
    let line = |f: &Finding, count: bool| {
        let count = f.count.as_ref().filter(|_| count).map(|c| format!(" | {c}")).unwrap_or_default();
        let touches = if f.touches { "touches" } else { "" };
        format!("{} | {} | {} | {} | {touches}{count}", f.code, f.dataset, f.key, f.columns.join(","))
    };
    let counted = expected.iter().any(|f| f.count.is_some());
    let lines = |findings: &[Finding]| {
        let mut lines: Vec<String> = findings.iter().map(|f| line(f, counted)).collect();
        lines.sort();
        lines
    };
    difference("discrepancies", &lines(expected), &lines(found))
}

fn difference(what: &str, expected: &[String], found: &[String]) -> String {
    if expected == found {
        return String::new();
    }
    let list = |lines: &[String]| lines.iter().map(|l| format!("    {l}\n")).collect::<String>();
    format!("  {what}: expected\n{}  found\n{}", list(expected), list(found))
}

fn indent(text: &str) -> String {
    text.lines().map(|l| format!("    {l}\n")).collect()
}

/// Compares the messages, or with `UPDATE=1` writes those found into the case.
fn settle_messages(case: &Case, found: Vec<Vec<Finding>>) -> Result<(), String> {
    let mut found = found.into_iter();
    let mut wrong = String::new();
    let mut blessed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for section in case.runs.iter().flatten().filter(|s| s.title[0] == "discrepancies") {
        let mut rest = found.next().unwrap_or_default();
        for expected in findings_of(section) {
            let same = |f: &Finding| {
                (&f.code, &f.dataset, &f.key, &f.columns)
                    == (&expected.code, &expected.dataset, &expected.key, &expected.columns)
            };
            let Some(at) = rest.iter().position(same) else { continue };
            let message = rest.remove(at).message.unwrap_or_default().replace('\n', " ");
            if expected.message.as_ref().is_some_and(|m| *m != message) {
                wrong += &format!(
                    "  message of {}: expected\n    {}\n  found\n    {message}\n",
                    expected.code,
                    expected.message.clone().unwrap_or_default()
                );
            }
            blessed.entry(expected.code.clone()).or_default().push(message);
        }
    }
    if std::env::var_os("UPDATE").is_some() {
        bless(case, blessed);
        return Ok(());
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// Rewrites the message lines of a case; every other byte of it stays.
fn bless(case: &Case, mut messages: BTreeMap<String, Vec<String>>) {
    let text = std::fs::read_to_string(&case.path).unwrap();
    let (mut lines, mut inside) = (Vec::new(), false);
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("== ") {
            inside = title.starts_with("discrepancies");
        }
        if inside && line.trim_start().starts_with("> ") {
            continue;
        }
        lines.push(line.to_owned());
        let code = table::split_bars(line)[0].clone();
        if let Some(list) = messages.get_mut(&code).filter(|list| inside && !list.is_empty()) {
            lines.push(format!("  > {}", list.remove(0)));
        }
    }
    std::fs::write(&case.path, lines.join("\n") + "\n").unwrap();
}

/// The message of a panic, as text.
fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without text").to_owned()
}

#[test]
fn text_cases() {
    let filter = std::env::var("CASE").unwrap_or_default();
    let files: Vec<PathBuf> = files().into_iter().filter(|f| f.to_string_lossy().contains(&filter)).collect();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let worker = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = catch_unwind(AssertUnwindSafe(|| check(file)))
                .unwrap_or_else(|payload| Err(format!("  panicked: {}\n", panic_text(payload.as_ref()))));
            if let Err(wrong) = result {
                let name = file.strip_prefix(folder()).unwrap().display().to_string();
                failures.lock().unwrap().insert(name, wrong);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(worker);
        }
    });
    let failures = failures.into_inner().unwrap();
    for (name, wrong) in &failures {
        println!("──── {name}\n{wrong}");
    }
    let names: Vec<&str> = failures.keys().map(String::as_str).collect();
    assert!(names.is_empty(), "{} of {} cases failed: {names:#?}", names.len(), files.len());
}
