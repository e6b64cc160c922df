//! Random histories: the program against what really happened (the oracle), against
//! a naive second implementation (the twin), and against itself under other options.
//!
//! Everything is drawn from a seed that a failure names. `SEED=n` runs that one, `SEEDS=n` so many of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use asof::model::Severity;
use asof::model::time::format_instant;
use asof::testing::{
    Delivery, Fault, History, ImageMode, InitialReads, KeyShape, Kind, Options, Prng, RecordOrder, Row,
    Shape, TableDef, Value, generate, rows_batch,
};

use crate::harness::Folder;
use crate::table::{self, Cell};
use crate::twin::{Known, Twin};

/// A generated delivery on disk, with the plan for it.
struct Files {
    folder: Folder,
    delivery: Delivery,
}

/// The ledger formats that a delivery is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Mapped,
    Debezium,
    Wal2json,
}

impl Files {
    fn write(delivery: Delivery, format: Format, shape: &Shape, from_birth: bool) -> Self {
        let folder = Folder::new();
        let mut plan = String::from("name = \"a generated history\"\n");
        for (table, def) in delivery.tables.iter().enumerate() {
            let name = &def.name;
            table::write_parquet(
                &folder.join(format!("{name}.parquet")),
                &delivery.current_batch(table).unwrap(),
            );
            if format == Format::Mapped {
                folder.write(&format!("{name}.ndjson"), delivery.mapped_ndjson(table));
            }
            plan += &plan_of(def, format, shape, from_birth);
        }
        match format {
            Format::Mapped => {}
            Format::Debezium => folder.write("all.ndjson", delivery.debezium()),
            Format::Wal2json => folder.write("all.ndjson", delivery.wal2json()),
        }
        folder.write("plan.toml", plan);
        Self { folder, delivery }
    }

    /// Runs `snapshot` and returns its folder.
    fn snapshot(&self, as_of: i64, out: &str, flags: &[&str]) -> PathBuf {
        let when = format_instant(as_of);
        let mut arguments = vec!["snapshot", "plan.toml", "--as-of", &when, "--out", out, "--replace"];
        arguments.extend(flags);
        let output = self.folder.run(&arguments);
        assert!(matches!(output.status, 0 | 1), "exit status {}\n{}", output.status, output.stderr);
        let out = self.folder.join(out);
        // Every equation of every group holds, and what the manifest says is what is there.
        if out.is_dir() {
            let checked =
                asof::check::check(&asof::check::CheckRequest { folder: out.clone(), ..Default::default() })
                    .unwrap();
            assert!(checked.is_sound(), "{arguments:?} {checked:?}");
        }
        out
    }
}

fn plan_of(def: &TableDef, format: Format, shape: &Shape, from_birth: bool) -> String {
    let key: Vec<&str> = def.key.iter().map(|&c| def.columns[c].name.as_str()).collect();
    let name = &def.name;
    let of_kinds = |wanted: fn(&Kind) -> bool| -> Vec<&str> {
        let columns = def.columns.iter().enumerate();
        let named = columns.filter(|(c, column)| !def.key.contains(c) && wanted(&column.kind));
        named.map(|(_, column)| column.name.as_str()).collect()
    };
    let measures = of_kinds(|kind| matches!(kind, Kind::Small | Kind::Int | Kind::Decimal(..)));
    let mut group_by = of_kinds(|kind| matches!(kind, Kind::Bool | Kind::Date | Kind::Text));
    group_by.truncate(2);
    let ledger = if format == Format::Mapped { name } else { "all" };
    let mut plan = format!(
        "\n[datasets.{name}]\nkey = {key:?}\nmeasures = {measures:?}\ngroup_by = {group_by:?}\n[datasets.{name}.current]\npath = \"{name}.parquet\"\n\
         at = \"2030-01-01T00:00:00Z\"\n[datasets.{name}.ledger]\npath = \"{ledger}.ndjson\"\n\
         complete_from = \"2024-12-01T00:00:00Z\"\ncomplete_to = \"2030-01-01T00:00:00Z\"\nfrom_birth = {from_birth}\n"
    );
    match format {
        Format::Mapped => {
            let missing = if shape.images == ImageMode::ChangedOnly { "unchanged" } else { "absent" };
            plan += &format!("format = \"mapped\"\nmissing = \"{missing}\"\n");
            plan += "columns = { position = \"seq\", commit_position = \"commit_seq\", transaction = \"txid\" }\n";
        }
        Format::Debezium => plan += "format = \"debezium\"\n",
        Format::Wal2json => plan += "format = \"wal2json\"\nnon_finite = false\n",
    }
    plan
}

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=std::env::var("SEEDS").map_or(count, |n| n.parse().unwrap())).collect(),
    }
}

/// Instants just at, and just before, a few commits, and before and after all of them.
fn moments(history: &History, prng: &mut Prng, count: usize) -> Vec<(i64, usize)> {
    let boundaries = history.boundaries();
    let mut moments = vec![(asof::testing::START - 1, 0), *boundaries.last().unwrap()];
    for _ in 0..count {
        let place = prng.index(boundaries.len());
        moments.push(boundaries[place]);
        let earlier = if place == 0 { 0 } else { boundaries[place - 1].1 };
        moments.push((boundaries[place].0 - 1, earlier));
    }
    moments
}

/// Fails with only the lines that differ.
fn assert_lines(found: &[String], expected: &[String], context: &str) {
    let only = |a: &[String], b: &[String]| a.iter().filter(|l| !b.contains(l)).cloned().collect::<Vec<_>>();
    let (extra, missing) = (only(found, expected), only(expected, found));
    assert!(found == expected, "{context}\nfound only {extra:#?}\nexpected only {missing:#?}");
}

/// Rows as lines, sorted: compared without regard to their order.
fn sorted_lines(rows: Vec<Vec<Cell>>) -> Vec<String> {
    let mut lines: Vec<String> = rows.iter().map(|row| table::show_row(row)).collect();
    lines.sort();
    lines
}

fn found_rows(out: &Path, def: &TableDef) -> Vec<Vec<Cell>> {
    table::texts(&table::read_parquet(&out.join(format!("{}.parquet", def.name))))
}

fn true_rows(history: &History, commits: usize, number: usize) -> Vec<Vec<Cell>> {
    let state = history.state(commits);
    table::texts(&rows_batch(&history.tables[number], state[number].values()).unwrap())
}

/// Codes and places of severity error in a run's output.
fn errors(out: &Path) -> Vec<String> {
    let batch = table::read_parquet(&out.join("discrepancies.parquet"));
    let columns = ["severity", "code", "key", "record", "message"].map(|name| table::column(&batch, name));
    let cell = |column: usize, row: usize| columns[column][row].clone().unwrap_or_default();
    (0..batch.num_rows())
        .filter(|&row| cell(0, row) == Severity::Error.name())
        .map(|row| (1..5).map(|column| cell(column, row)).collect::<Vec<_>>().join(" | "))
        .collect()
}

#[test]
fn full_images_return_every_true_state() {
    for seed in seeds(12) {
        let mut prng = Prng::new(seed);
        let key = KeyShape::ALL[seed as usize % KeyShape::ALL.len()];
        let history = generate(&Options::new(seed, key));
        let order = if prng.percent(50) { RecordOrder::ByCommit } else { RecordOrder::ByStatement };
        let redeliveries = if key == KeyShape::Keyless { 0 } else { prng.index(3) };
        let shape = Shape { order, redeliveries, seed, ..Shape::default() };
        let files = Files::write(history.deliver(&shape), Format::Mapped, &shape, false);
        for (as_of, commits) in moments(&history, &mut prng, 3) {
            let out = files.snapshot(as_of, "out", &[]);
            let found = sorted_lines(found_rows(&out, &history.tables[0]));
            let expected = sorted_lines(true_rows(&history, commits, 0));
            assert_lines(
                &found,
                &expected,
                &format!("seed {seed}, {key:?}, as-of {}", format_instant(as_of)),
            );
            assert!(
                errors(&out).is_empty(),
                "seed {seed}, {key:?}, {shape:?}: {:?} in a true ledger",
                errors(&out)
            );
        }
    }
}

#[test]
fn every_format_says_the_same() {
    for seed in seeds(4) {
        let mut prng = Prng::new(seed);
        let options =
            Options { tables: vec![KeyShape::Int, KeyShape::Text], ..Options::new(seed, KeyShape::Int) };
        let history = generate(&options);
        let shape = Shape::default();
        for format in [Format::Mapped, Format::Debezium, Format::Wal2json] {
            let files = Files::write(history.deliver(&shape), format, &shape, false);
            for (as_of, commits) in moments(&history, &mut prng, 1) {
                let out = files.snapshot(as_of, "out", &[]);
                for (number, def) in history.tables.iter().enumerate() {
                    let found = sorted_lines(found_rows(&out, def));
                    let expected = sorted_lines(true_rows(&history, commits, number));
                    // wal2json writes NaN and infinity as null; those cells are compared by the real cases.
                    if format != Format::Wal2json {
                        assert_eq!(
                            found,
                            expected,
                            "seed {seed}, {format:?}, as-of {}",
                            format_instant(as_of)
                        );
                    }
                    assert_eq!(found.len(), expected.len(), "seed {seed}, {format:?}");
                }
            }
        }
    }
}

#[test]
fn partial_images_agree_with_the_twin() {
    for seed in seeds(16) {
        let mut prng = Prng::new(seed);
        let images = ImageMode::ALL[seed as usize % ImageMode::ALL.len()];
        let key = KeyShape::ALL[prng.index(4)];
        let history = generate(&Options { rows: 12, ..Options::new(seed, key) });
        let reads = match prng.index(3) {
            0 => InitialReads::None,
            1 => InitialReads::AtStart,
            _ => InitialReads::After(prng.index(40)),
        };
        let shape = Shape { images, reads, ..Shape::default() };
        let files = Files::write(history.deliver(&shape), Format::Mapped, &shape, false);
        let twin = Twin::new(&files.delivery, 0);
        for (as_of, commits) in moments(&history, &mut prng, 2) {
            let context =
                format!("seed {seed}, {key:?}, {images:?}, {reads:?}, as-of {}", format_instant(as_of));
            check_against_twin(&files, &twin, as_of, &context);
            check_twin_against_truth(
                &twin,
                as_of,
                &true_rows(&history, commits, 0),
                &history.tables[0],
                &context,
            );
        }
    }
}

/// A rebuild alone does not scan all of the past; with verification all of it is scanned. Whatever is wrong with
/// the data, both must return the same.
#[test]
fn gaps_ask_of_the_past_what_they_depend_on() {
    let faults = || Fault::ALL.into_iter().map(Some).chain([None]);
    for (number, fault) in faults().enumerate() {
        for seed in seeds(2) {
            let mut prng = Prng::new(seed * 100 + number as u64);
            let images = ImageMode::ALL[1 + (number + seed as usize) % 3];
            let truncates = prng.index(4) == 0;
            let options = Options { key_changes: false, truncates, ..Options::new(seed, KeyShape::Int) };
            let history = generate(&options);
            let shape = Shape { images, ..Shape::default() };
            let mut delivery = history.deliver(&shape);
            let planted = fault.map(|fault| fault.plant(&mut delivery, 0, &mut prng));
            if planted.is_some_and(|planted| planted.is_none()) {
                continue;
            }
            let files = Files::write(delivery, Format::Mapped, &shape, truncates);
            let rows = format!("{}.parquet", files.delivery.tables[0].name);
            for (as_of, _) in moments(&history, &mut prng, 3) {
                let [whole, narrow] =
                    [("whole", &[][..]), ("narrow", &["--no-verify"])].map(|(out, flags)| {
                        let out = files.snapshot(as_of, out, flags);
                        (std::fs::read(out.join(&rows)).unwrap(), cell_verdicts(&out))
                    });
                let context = format!("seed {seed}, {fault:?}, {images:?}, as-of {}", format_instant(as_of));
                assert_lines(&narrow.1, &whole.1, &format!("{context}: verdicts of cells"));
                assert!(narrow.0 == whole.0, "{context}: rows differ");
            }
        }
    }
}

#[test]
fn the_twin_claims_only_what_is_true() {
    for seed in seeds(60) {
        let mut prng = Prng::new(seed);
        let key = KeyShape::ALL[prng.index(4)];
        let from_birth = prng.percent(30);
        let rows = if from_birth { 0 } else { 12 };
        let history = generate(&Options { rows, truncates: from_birth, ..Options::new(seed, key) });
        let images = ImageMode::ALL[seed as usize % ImageMode::ALL.len()];
        let redeliveries = prng.index(4);
        let shape = Shape { images, redeliveries, seed, ..Shape::default() };
        let twin = Twin::new(&history.deliver(&shape), 0);
        for (as_of, commits) in moments(&history, &mut prng, 3) {
            let context = format!("seed {seed}, {key:?}, {images:?}, as-of {}", format_instant(as_of));
            check_twin_against_truth(
                &twin,
                as_of,
                &true_rows(&history, commits, 0),
                &history.tables[0],
                &context,
            );
        }
    }
}

#[test]
fn truncated_tables_agree_with_the_twin_from_birth() {
    for seed in seeds(6) {
        let mut prng = Prng::new(seed);
        let options = Options { rows: 0, truncates: true, ..Options::new(seed, KeyShape::Int) };
        let history = generate(&options);
        let shape = Shape::default();
        let files = Files::write(history.deliver(&shape), Format::Mapped, &shape, true);
        for (as_of, commits) in moments(&history, &mut prng, 3) {
            let out = files.snapshot(as_of, "out", &[]);
            let found = sorted_lines(found_rows(&out, &history.tables[0]));
            let expected = sorted_lines(true_rows(&history, commits, 0));
            assert_lines(&found, &expected, &format!("seed {seed}, as-of {}", format_instant(as_of)));
        }
    }
}

/// Where old rows are not recorded, an opening of the start knows every cell that no earlier record does.
#[test]
fn an_opening_supplies_what_no_record_states() {
    let mut supplied = 0;
    for seed in seeds(6) {
        let mut prng = Prng::new(seed);
        let images = [ImageMode::KeyOnlyBefore, ImageMode::AfterOnly][seed as usize % 2];
        let key = KeyShape::ALL[prng.index(4)];
        let history = generate(&Options { rows: 12, ..Options::new(seed, key) });
        let shape = Shape { images, ..Shape::default() };
        let files = Files::write(history.deliver(&shape), Format::Mapped, &shape, false);
        let plan = std::fs::read_to_string(files.folder.join("plan.toml")).unwrap();
        let opening = write_opening(&files, &history, (asof::testing::START - 1, 0));
        for (as_of, commits) in moments(&history, &mut prng, 1) {
            let context = format!("seed {seed}, {key:?}, {images:?}, as-of {}", format_instant(as_of));
            files.folder.write("plan.toml", &plan);
            let unknown = unknown_cells(&files.snapshot(as_of, "out", &[]));
            files.folder.write("plan.toml", format!("{plan}{opening}"));
            let out = files.snapshot(as_of, "out", &[]);
            let truth = sorted_lines(true_rows(&history, commits, 0));
            assert_lines(&sorted_lines(found_rows(&out, &history.tables[0])), &truth, &context);
            let marks = cell_verdicts(&out);
            for cell in &unknown {
                assert!(marks.contains(&format!("{cell} | inferred")), "{context}: {cell} in {marks:#?}");
            }
            assert!(errors(&out).is_empty(), "{context}: {:?}", errors(&out));
            supplied += unknown.len();
        }
    }
    assert!(supplied > 0, "no cell was unknown without the opening");
}

/// Nothing that is not marked unknown may be wrong, and nothing that meets may be said to differ.
#[test]
fn openings_inside_the_ledger_say_only_what_is_true() {
    for seed in seeds(10) {
        let mut prng = Prng::new(seed);
        let images = [ImageMode::KeyOnlyBefore, ImageMode::AfterOnly, ImageMode::Full][seed as usize % 3];
        let key = KeyShape::ALL[prng.index(4)];
        let truncates = prng.percent(30);
        let history = generate(&Options { rows: 12, truncates, ..Options::new(seed, key) });
        let shape = Shape { images, ..Shape::default() };
        let files = Files::write(history.deliver(&shape), Format::Mapped, &shape, false);
        let def = &history.tables[0];
        let boundaries = history.boundaries();
        let opened = boundaries[prng.index(boundaries.len() / 2)];
        let plan = std::fs::read_to_string(files.folder.join("plan.toml")).unwrap();
        let opening = write_opening(&files, &history, opened);
        files.folder.write("plan.toml", format!("{plan}{opening}"));
        for (as_of, commits) in moments(&history, &mut prng, 2).into_iter().filter(|m| m.0 >= opened.0) {
            let context =
                format!("seed {seed}, {key:?}, {images:?}, as-of {}{opening}", format_instant(as_of));
            let out = files.snapshot(as_of, "out", &[]);
            let truth = true_rows(&history, commits, 0);
            check_known_cells(found_rows(&out, def), &truth, (def, &unknown_cells(&out)), &context);
            let differs =
                |line: &&String| ["opening-differs", "truncated-table"].iter().any(|c| line.contains(c));
            let found = errors(&out);
            assert!(!found.iter().any(|line| differs(&line)), "{context}: {found:?}");
        }
    }
}

/// Writes the true rows of a moment as an opening of the only table, and returns the words of the plan for it.
fn write_opening(files: &Files, history: &History, (at, commits): (i64, usize)) -> String {
    let def = &history.tables[0];
    let rows = rows_batch(def, history.state(commits)[0].values()).unwrap();
    table::write_parquet(&files.folder.join("opening.parquet"), &rows);
    let at = format_instant(at);
    format!("[datasets.{}.opening]\npath = \"opening.parquet\"\nas_of = \"{at}\"\n", def.name)
}

/// Key and column of each cell that is marked as unknown.
fn unknown_cells(out: &Path) -> Vec<String> {
    let lines = cell_verdicts(out).into_iter();
    lines.filter_map(|l| l.strip_suffix(" | unrecoverable").map(str::to_owned)).collect()
}

/// Rows must be the true ones, and so must all of their cells that are not marked as unknown.
fn check_known_cells(
    found: Vec<Vec<Cell>>,
    truth: &[Vec<Cell>],
    (def, unknown): (&TableDef, &[String]),
    context: &str,
) {
    assert_eq!(found.len(), truth.len(), "{context}: rows");
    for row in found {
        let same_key = |t: &&Vec<Cell>| def.key.iter().all(|&c| t[c] == row[c]);
        let real = truth.iter().find(same_key).unwrap_or_else(|| panic!("{context}: no true row is {row:?}"));
        let pair = |&c: &usize| format!("{}={}", def.columns[c].name, row[c].clone().unwrap_or_default());
        let key = def.key.iter().map(pair).collect::<Vec<_>>().join(", ");
        for (column, (cell, real)) in def.columns.iter().zip(row.iter().zip(real)) {
            let is_unknown = unknown.contains(&format!("{key} | {}", column.name));
            assert!(is_unknown || cell == real, "{context}: {key}, {}: {cell:?}, not {real:?}", column.name);
        }
    }
}

/// Values, and which of them are inferred or unknown, must be the twin's.
fn check_against_twin(files: &Files, twin: &Twin, as_of: i64, context: &str) {
    for flags in [&[][..], &["--no-verify"]] {
        check_out_against_twin(files, twin, as_of, (flags, &format!("{context}, {flags:?}")));
    }
}

fn check_out_against_twin(files: &Files, twin: &Twin, as_of: i64, (flags, context): (&[&str], &str)) {
    let def = &files.delivery.tables[0];
    let out = files.snapshot(as_of, "out", flags);
    let found = sorted_lines(found_rows(&out, def));
    let rows = twin.rows(as_of);
    let value = |known: &Known| match known {
        Known::Exact(value) | Known::Inferred(value) => value.clone(),
        Known::Nothing => None,
    };
    let expected = sorted_lines(rows.iter().map(|row| row.iter().map(value).collect()).collect());
    assert_lines(&found, &expected, &format!("{context}: values"));
    let mut marks = Vec::new();
    for row in &rows {
        let key: Vec<String> = def
            .key
            .iter()
            .map(|&c| format!("{}={}", def.columns[c].name, value(&row[c]).unwrap_or_default()))
            .collect();
        for (column, cell) in def.columns.iter().zip(row) {
            let word = match cell {
                Known::Exact(_) => continue,
                Known::Inferred(_) => "inferred",
                Known::Nothing => "unrecoverable",
            };
            marks.push(format!("{} | {} | {word}", key.join(", "), column.name));
        }
    }
    marks.sort();
    assert_lines(&cell_verdicts(&out), &marks, &format!("{context}: verdicts of cells"));
}

fn cell_verdicts(out: &Path) -> Vec<String> {
    let batch = table::read_parquet(&out.join("verdicts.parquet"));
    let columns = ["key", "column", "verdict"].map(|name| table::column(&batch, name));
    let mut lines: Vec<String> = (0..batch.num_rows())
        .filter(|&row| columns[1][row].is_some())
        .map(|row| columns.iter().map(|c| c[row].clone().unwrap_or_default()).collect::<Vec<_>>().join(" | "))
        .collect();
    lines.sort();
    lines
}

/// The twin itself must not be wrong: what it claims to know is true.
fn check_twin_against_truth(twin: &Twin, as_of: i64, truth: &[Vec<Cell>], def: &TableDef, context: &str) {
    let key = |cells: &[Cell]| def.key.iter().map(|&c| cells[c].clone()).collect::<Vec<_>>();
    let rows = twin.rows(as_of);
    assert_eq!(rows.len(), truth.len(), "{context}: rows of the twin");
    for row in rows {
        let claimed: Vec<Option<Cell>> = row
            .iter()
            .map(|cell| match cell {
                Known::Exact(value) | Known::Inferred(value) => Some(value.clone()),
                Known::Nothing => None,
            })
            .collect();
        let cells: Vec<Cell> = claimed.iter().map(|c| c.clone().flatten()).collect();
        let real =
            truth.iter().find(|t| key(t) == key(&cells)).unwrap_or_else(|| panic!("{context}: {cells:?}"));
        for (claim, real) in claimed.iter().zip(real) {
            assert!(
                claim.as_ref().is_none_or(|c| c == real),
                "{context}: twin claims {claim:?}, true is {real:?}"
            );
        }
    }
}

#[test]
fn a_planted_fault_is_found_and_nothing_else() {
    for fault in Fault::ALL {
        for seed in seeds(3) {
            let options = Options { key_changes: false, ..Options::new(seed, KeyShape::Int) };
            let history = generate(&options);
            let shape = Shape::default();
            let mut delivery = history.deliver(&shape);
            let Some(planted) = fault.plant(&mut delivery, 0, &mut Prng::new(seed)) else { continue };
            let files = Files::write(delivery, Format::Mapped, &shape, false);
            let out = files.snapshot(asof::testing::START, "out", &[]);
            let batch = table::read_parquet(&out.join("discrepancies.parquet"));
            let columns =
                ["code", "key", "record", "severity", "cause"].map(|name| table::column(&batch, name));
            let lines: Vec<String> = (0..batch.num_rows())
                .filter(|&r| {
                    columns[3][r].as_deref() == Some("error")
                        || columns[0][r].as_deref() == Some(planted.kind.code())
                })
                .map(|r| {
                    format!(
                        "{} {}",
                        columns[0][r].clone().unwrap_or_default(),
                        columns[1][r].clone().unwrap_or_default()
                    )
                })
                .collect();
            let expected = format!("{} {}", planted.kind.code(), planted.key);
            assert_eq!(lines, [expected], "seed {seed}, {planted:?}");
            let causes: Vec<_> = (0..batch.num_rows())
                .filter(|&r| columns[0][r].as_deref() == Some(planted.kind.code()))
                .map(|r| columns[4][r].clone().unwrap_or_default())
                .collect();
            assert_eq!(causes, [planted.cause.code()], "seed {seed}, {planted:?}: cause");
            check_differences(&files, &out, &format!("seed {seed}, {planted:?}"));
            if let Some(record) = planted.record {
                let place = columns[2].iter().flatten().next().cloned();
                assert_eq!(place, Some((record + 1).to_string()), "seed {seed}, {planted:?}: place");
            }
        }
    }
}

/// The totals of every measure by the ledger and now, and what is between them, told by reading the
/// delivery one record after the other.
fn check_differences(files: &Files, out: &Path, context: &str) {
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("manifest.json")).unwrap()).unwrap();
    let equations = manifest["differences"].as_array().unwrap();
    let def = &files.delivery.tables[0];
    let measures = measures(def);
    assert_eq!(equations.len(), measures.len(), "{context}");
    let findings = table::read_parquet(&out.join("discrepancies.parquet"));
    let (effects, causes) = (table::column(&findings, "effects"), table::column(&findings, "cause"));
    for (&(column, decimals), equation) in measures.iter().zip(equations) {
        let (ledger, current) = naive_totals(&files.delivery, column);
        let cents = |value: &serde_json::Value| unscaled(value.as_str().unwrap(), decimals);
        assert_eq!(cents(&equation["current"]), current, "{context}: current of {equation}");
        assert_eq!(cents(&equation["ledger"]), ledger, "{context}: ledger of {equation}");
        assert_eq!(cents(&equation["difference"]), current - ledger, "{context}: {equation}");
        let shares = equation["causes"].as_array().unwrap();
        let explained: i128 = shares.iter().map(|share| cents(&share["amount"])).sum();
        assert_eq!(explained + cents(&equation["unexplained"]), current - ledger, "{context}: {equation}");
        assert_eq!(cents(&equation["unexplained"]), 0, "{context}: {equation}");
        // What the file states per finding adds up to the same, cause by cause.
        let name = format!("{}=", def.columns[column].name);
        for share in shares {
            let of_cause = |row: &usize| causes[*row].as_deref() == share["cause"].as_str();
            let texts = (0..findings.num_rows()).filter(of_cause).filter_map(|row| effects[row].as_deref());
            let parts = texts.flat_map(|text| text.split(", ")).filter_map(|part| part.strip_prefix(&name));
            let sum: i128 = parts.map(|text| unscaled(text, decimals)).sum();
            assert_eq!(sum, cents(&share["amount"]), "{context}: {share}");
        }
    }
}

/// The columns that plans of generated histories declare as measures, each with its decimals.
fn measures(def: &TableDef) -> Vec<(usize, usize)> {
    let decimals = |c: usize| match def.columns[c].kind {
        Kind::Small | Kind::Int => Some(0),
        Kind::Decimal(_, scale) => usize::try_from(scale).ok(),
        _ => None,
    };
    let outside = (0..def.columns.len()).filter(|c| !def.key.contains(c));
    outside.filter_map(|c| Some((c, decimals(c)?))).collect()
}

/// A plain decimal number without its point, with this many decimals.
fn unscaled(text: &str, decimals: usize) -> i128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    assert!(fraction.len() <= decimals, "{text} has more than {decimals} decimals");
    let digits = format!("{whole}{fraction:0<decimals$}");
    digits.parse().unwrap_or_else(|_| panic!("{text} is no amount"))
}

/// The sums of the last known values, and of the current ones. Rows that the ledger never mentions
/// count as they stand; of several rows with one key, the first stands for all in the ledger's sum.
fn naive_totals(delivery: &Delivery, column: usize) -> (i128, i128) {
    let def = &delivery.tables[0];
    let value = |row: &Row| match &row[column] {
        Value::Decimal(unscaled) => *unscaled,
        Value::Int(whole) => i128::from(*whole),
        _ => 0,
    };
    let mut last: BTreeMap<Row, i128> = BTreeMap::new();
    let mut positions = BTreeSet::new();
    for (_, record) in delivery.of(0) {
        if !positions.insert(record.position) {
            continue;
        }
        match (&record.before, &record.after) {
            (_, Some(after)) => drop(last.insert(def.key_of(&after.row), value(&after.row))),
            (Some(before), None) => drop(last.insert(def.key_of(&before.row), 0)),
            (None, None) => {}
        }
    }
    let mut seen = BTreeMap::new();
    delivery.current[0].iter().for_each(|row| {
        seen.entry(def.key_of(row)).or_insert_with(|| value(row));
    });
    let unmentioned: i128 = seen.iter().filter(|(key, _)| !last.contains_key(*key)).map(|(_, v)| v).sum();
    let current = delivery.current[0].iter().map(|row| value(row)).sum();
    (last.values().sum::<i128>() + unmentioned, current)
}

#[test]
fn same_bytes_for_any_number_of_threads() {
    for seed in seeds(2) {
        let options = Options { rows: 300, transactions: 200, ..Options::new(seed, KeyShape::Composite) };
        let history = generate(&options);
        let shape = Shape { images: ImageMode::KeyOnlyBefore, redeliveries: 3, seed, ..Shape::default() };
        let files = Files::write(history.deliver(&shape), Format::Mapped, &shape, false);
        let as_of = history.boundaries()[history.boundaries().len() / 2].0;
        let mut first: Option<Vec<(String, Vec<u8>)>> = None;
        for flags in [
            &["--threads", "1"][..],
            &["--threads", "2"],
            &["--threads", "7"],
            &["--threads", "2", "--memory-limit", "64MiB"],
        ] {
            let found = contents(&files.snapshot(as_of, "out", flags));
            let expected = first.get_or_insert_with(|| found.clone());
            for ((name, bytes), (_, want)) in found.iter().zip(expected.iter()) {
                assert!(bytes == want, "seed {seed}: {name} differs under {flags:?}");
            }
            assert_eq!(found.len(), expected.len());
        }
    }
}

/// All files of an output but the manifest, whose volatile fields differ between runs, and its digest.
fn contents(out: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(out)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_stem().is_some_and(|n| n != "manifest"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}
