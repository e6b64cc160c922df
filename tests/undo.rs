//! `asof undo` on real databases: the table after the script is the table as of the moment, and
//! nothing at all changes where a row has moved on.
//!
//! SQLite is always there (python3); PostgreSQL and MariaDB are started in a temporary
//! folder where their packages are installed, and the tests say so where they are not.

mod databases;
mod guards;

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::harness::{Folder, Output, run_in};
use crate::table;
use databases::{Database, MariaDb, Postgres, Sqlite, create, differences};

/// A table as it was and as it became; each state is one transaction of its own day.
struct Story {
    name: &'static str,
    header: &'static str,
    states: Vec<Vec<&'static str>>,
    /// More of the plan.
    plan: &'static str,
    /// More of the table's declaration in the database.
    constraints: Vec<&'static str>,
}

impl Story {
    fn schema(&self) -> (SchemaRef, Vec<String>) {
        table::parse_header(self.header)
    }

    fn rows(&self, state: usize) -> RecordBatch {
        let lines: Vec<String> = self.states[state].iter().map(|l| (*l).to_owned()).collect();
        table::parse_rows(&self.schema().0, &lines)
    }

    fn now(&self) -> RecordBatch {
        self.rows(self.states.len() - 1)
    }

    /// Writes the current state, a ledger of whole images, and this dataset's part of a plan.
    fn write(&self, folder: &Folder) -> String {
        let file = format!("{}.parquet", hex_name(self.name));
        table::write_parquet(&folder.join(&file), &self.now());
        table::write_parquet(&folder.join(format!("log-{file}")), &self.ledger());
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        let keys: Vec<String> = self.schema().1.iter().map(|k| quoted(k)).collect();
        let name = quoted(self.name);
        format!(
            "[datasets.{name}]\nkey = [{}]\ncurrent = {{ path = \"{file}\", at = \"2025-03-01T00:00:00Z\" }}\n{}\n\
             [datasets.{name}.ledger]\npath = \"log-{file}\"\ncomplete_from = \"2025-01-01T00:00:00Z\"\n\
             complete_to = \"2025-03-01T00:00:00Z\"\n",
            keys.join(", "),
            self.plan
        )
    }

    fn ledger(&self) -> RecordBatch {
        let (schema, key) = self.schema();
        let blank = vec!["null"; schema.fields().len()].join(" | ");
        let (mut ops, mut sides) = (Vec::new(), [Vec::new(), Vec::new()]);
        let mut change = |state: usize, op: &str, before: Option<&str>, after: Option<&str>| {
            ops.push((state, op.to_owned()));
            sides[0].push(before.map(str::to_owned));
            sides[1].push(after.map(str::to_owned));
        };
        let key_of = |line: &str| {
            let cells = table::split_bars(line);
            let at = |name: &String| schema.index_of(name).unwrap();
            key.iter().map(|k| cells[at(k)].clone()).collect::<Vec<_>>()
        };
        for state in 1..self.states.len() {
            let (from, to) = (&self.states[state - 1], &self.states[state]);
            for before in from {
                match to.iter().find(|after| key_of(after) == key_of(before)) {
                    None => change(state, "delete", Some(before), None),
                    Some(after) if after != before => change(state, "update", Some(before), Some(after)),
                    Some(_) => {}
                }
            }
            for after in to.iter().filter(|a| from.iter().all(|b| key_of(b) != key_of(a))) {
                change(state, "insert", None, Some(after));
            }
        }
        let image = |lines: &[Option<String>]| -> ArrayRef {
            let present = NullBuffer::from(lines.iter().map(Option::is_some).collect::<Vec<_>>());
            let lines: Vec<String> =
                lines.iter().map(|l| l.clone().unwrap_or_else(|| blank.clone())).collect();
            let rows = table::parse_rows(&schema, &lines);
            Arc::new(StructArray::new(schema.fields().clone(), rows.columns().to_vec(), Some(present)))
        };
        let images = DataType::Struct(schema.fields().clone());
        let text = |of: &dyn Fn(&(usize, String)) -> String| -> ArrayRef {
            Arc::new(ops.iter().map(|op| Some(of(op))).collect::<StringArray>())
        };
        let columns = vec![
            ("seq", DataType::Int64, Arc::new((1..=ops.len() as i64).collect::<Int64Array>()) as ArrayRef),
            ("op", DataType::Utf8, text(&|(_, op)| op.clone())),
            ("txid", DataType::Utf8, text(&|(state, _)| format!("t{state}"))),
            (
                "actor",
                DataType::Utf8,
                text(&|(state, _)| if state % 2 == 0 { "even" } else { "odd" }.to_owned()),
            ),
            ("committed_at", DataType::Utf8, text(&|(state, _)| format!("2025-02-{state:02}T12:00:00Z"))),
            ("before", images.clone(), image(&sides[0])),
            ("after", images, image(&sides[1])),
        ];
        let fields: Vec<Field> = columns.iter().map(|(n, t, _)| Field::new(*n, t.clone(), true)).collect();
        let arrays = columns.into_iter().map(|(.., array)| array).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }
}

fn hex_name(name: &str) -> String {
    databases::hex(name.as_bytes())
}

/// A folder with the plan of some stories.
fn folder(stories: &[&Story]) -> Folder {
    let folder = Folder::new();
    let plan: String = stories.iter().map(|s| s.write(&folder)).collect();
    folder.write("plan.toml", plan);
    folder
}

fn undo(folder: &Folder, db: &dyn Database, more: &[&str]) -> Output {
    let mut arguments =
        vec!["undo", "plan.toml", "--dialect", db.dialect(), "--out", "undo.sql", "--replace"];
    arguments.extend(more);
    if !more.contains(&"--as-of") {
        arguments.extend(["--as-of", "2025-01-31"]);
    }
    folder.run(&arguments)
}

fn script(folder: &Folder, db: &dyn Database, more: &[&str]) -> String {
    let output = undo(folder, db, more);
    assert_eq!(output.status, 0, "{}: {output:?}", db.dialect());
    std::fs::read_to_string(folder.join("undo.sql")).unwrap()
}

/// Fills the table, and one more that the script shall make it equal to.
fn fill(db: &dyn Database, story: &Story, goal: &RecordBatch) {
    create(db, story.name, &story.now(), &story.constraints);
    create(db, &format!("{} then", story.name), goal, &[]);
}

fn assert_is(db: &dyn Database, story: &Story, other: &str) {
    let differ = differences(db, story.name, &format!("{} {other}", story.name), &story.now());
    assert_eq!(differ, 0, "{}: {} is {other}", db.dialect(), story.name);
}

fn on(db: &dyn Database) {
    everything_comes_back(db);
    a_row_that_moved_on_stops_everything(db);
    values_change_places(db);
    references_hold_on_the_way(db);
    a_selection_comes_back(db);
    the_sample_comes_back(db);
}

#[test]
fn on_sqlite() {
    if let Some(db) = Sqlite::start() {
        on(&db);
    }
}

#[test]
fn on_postgres() {
    if let Some(db) = Postgres::start() {
        on(&db);
        special_numbers_of_postgres(&db);
        guards::collations_hide_no_change(&db);
    }
}

#[test]
fn on_mariadb() {
    if let Some(db) = MariaDb::start() {
        on(&db);
        guards::numbers_kept_as_text_are_compared_as_text(&db);
        guards::columns_that_the_database_sets_are_set_back(&db);
        guards::tables_without_transactions_are_refused(&db);
        guards::rows_that_hold_each_other_go(&db);
    }
}

/// Names and texts that would end a literal, a comment, a name or a script, if they could.
fn hostile() -> Story {
    Story {
        name: "odd",
        header: "*id int64 | w\"e\"`i]rd text | amount decimal(20,4) | seen timestamptz | local timestamp | day date | \
                 flag bool | raw binary | ratio float64",
        states: vec![
            vec![
                r#"1 | "it's; DROP TABLE x; --" | 12.5000 | 2025-01-01T00:00:00.123456Z | 1999-12-31T23:59:59.5 | 2024-02-29 | true | 00ff27 | 0.1"#,
                r#"2 | "\\'; back\\slash\\" | -0.0001 | null | 2025-01-01T00:00:00 | 1970-01-01 | false | null | 1e300"#,
                r#"3 | "line\nGO\nline\r\n.quit\n\\! ls\tx" | null | 2025-06-01T12:00:00Z | null | null | null | 5c27 | -2.5"#,
                r#"4 | "" | 9999999999999999.9999 | 2000-02-29T00:00:00.000001Z | 2025-01-01T00:00:00.000001 | 2025-12-31 | true | 27 | null"#,
                r#"5 | "$asof$ $(x) :name :'q' %s ${y} $1 @a" | 0.0000 | null | null | null | null | null | null"#,
                r#"6 | "ünïcödé 😀 \u2028 \u0001 日本" | 1.0000 | null | null | null | null | null | 3"#,
                r#"9 | "stays" | 1.0000 | null | null | null | null | null | 3"#,
            ],
            vec![
                r#"1 | "IT'S; DROP TABLE x; --" | 12.5000 | 2025-01-01T00:00:00.123456Z | 1999-12-31T23:59:59.5 | 2024-02-29 | false | 00ff27 | 0.2"#,
                r#"3 | "*/ /* -- #" | 7.0000 | null | 2025-01-01T00:00:00.000002 | 2025-01-01 | true | null | 2.5"#,
                r#"4 | " " | -9999999999999999.9999 | null | null | null | false | 00 | 0"#,
                r#"6 | "ünïcödé 😀 \u2028 \u0001 日本 " | 1.0001 | 2025-01-01T00:00:00Z | null | null | null | null | 3"#,
                r#"8 | "new; $asof$" | 5.0000 | 2025-01-01T00:00:00Z | 2025-01-01T00:00:00 | 2025-01-01 | true | 2d2d | 1"#,
                r#"9 | "stays" | 1.0000 | null | null | null | null | null | 3"#,
            ],
        ],
        plan: "",
        constraints: vec![],
    }
}

fn everything_comes_back(db: &dyn Database) {
    let mut story = hostile();
    let folder = folder(&[&story]);
    story.name = "od\"d `ta]ble'; --";
    fill(db, &story, &story.rows(0));
    let before = differences(db, story.name, &format!("{} then", story.name), &story.now());
    assert!(before > 0, "the states differ, or nothing is tested");
    let script = script(&folder, db, &["--target", &format!("odd={}", story.name)]);
    db.run(&script).unwrap_or_else(|e| panic!("{}: {e}\n{script}", db.dialect()));
    assert_is(db, &story, "then");
}

/// A row that changed since stops the script before, at and after it, whatever the client does.
fn a_row_that_moved_on_stops_everything(db: &dyn Database) {
    for (name, sql) in [
        ("updated", "UPDATE {} SET qty = 100 WHERE id = 2"),
        ("gone", "DELETE FROM {} WHERE id = 3"),
        ("there again", "INSERT INTO {} VALUES (1, 5, 'x')"),
        ("case", "UPDATE {} SET note = 'B' WHERE id = 2"),
        ("null", "UPDATE {} SET note = NULL WHERE id = 3"),
    ] {
        let story = Story {
            name,
            header: "*id int64 | qty int64 | note text",
            states: vec![
                vec!["1 | 5 | gone", "2 | 6 | b", "4 | 1 | a"],
                vec!["2 | 7 | b", "3 | 8 | new", "4 | 2 | a"],
            ],
            plan: "",
            constraints: vec!["PRIMARY KEY (id)"],
        };
        let folder = folder(&[&story]);
        fill(db, &story, &story.rows(0));
        let script = script(&folder, db, &[]);
        db.run(&format!("{};", sql.replace("{}", &db.quoted(name)))).unwrap();
        let copy = format!("{name} moved");
        db.run(&format!("CREATE TABLE {} AS SELECT * FROM {};", db.quoted(&copy), db.quoted(name))).unwrap();
        let refused = db.run(&script).expect_err("a row has moved on");
        assert!(
            refused.contains("everything is rolled back")
                || refused.contains("nique")
                || refused.contains("Duplicate"),
            "{}, {name}: {refused}",
            db.dialect()
        );
        assert_is(db, &story, "moved");
        db.run_on(&script);
        assert_is(db, &story, "moved");
    }
}

/// Rows that exchange values of a unique column, and a key that moved with one.
fn values_change_places(db: &dyn Database) {
    let story = Story {
        name: "seats",
        header: "*seat int64 | guest text | price decimal(9,2)",
        states: vec![
            vec!["1 | ann | 1.00", "2 | bob | 2.00", "3 | cem | 3.00"],
            vec!["1 | bob | 1.00", "2 | ann | 2.50", "4 | cem | 3.00"],
        ],
        plan: "",
        constraints: vec!["PRIMARY KEY (seat)", "UNIQUE (guest)"],
    };
    let folder = folder(&[&story]);
    fill(db, &story, &story.rows(0));
    let script = script(&folder, db, &["--unique", "seats.guest"]);
    db.run(&script).unwrap_or_else(|e| panic!("{}: {e}\n{script}", db.dialect()));
    assert_is(db, &story, "then");
}

fn family() -> [Story; 2] {
    let parents = Story {
        name: "parents",
        header: "*id int64 | above int64",
        states: vec![
            vec!["1 | null", "2 | 1", "3 | 2", "9 | null"],
            vec!["9 | null", "20 | 30", "30 | 40", "40 | null"],
        ],
        plan: "references = [{ columns = [\"above\"], to = \"parents\" }]",
        constraints: vec!["PRIMARY KEY (id)", "FOREIGN KEY (above) REFERENCES parents (id)"],
    };
    let children = Story {
        // Before its parents in the plan, so that the order is not the plan's.
        name: "a_children",
        header: "*id int64 | parent int64",
        states: vec![vec!["1 | 3", "2 | 9", "3 | 1", "4 | 9"], vec!["1 | 20", "2 | 40", "4 | 9", "5 | 30"]],
        plan: "references = [{ columns = [\"parent\"], to = \"parents\" }]",
        constraints: vec!["PRIMARY KEY (id)", "FOREIGN KEY (parent) REFERENCES parents (id)"],
    };
    [children, parents]
}

fn references_hold_on_the_way(db: &dyn Database) {
    let [children, mut parents] = family();
    let folder = folder(&[&children, &parents]);
    // Filled in an order that the references allow.
    parents.states[1].reverse();
    fill(db, &parents, &parents.rows(0));
    fill(db, &children, &children.rows(0));
    let script = script(&folder, db, &[]);
    db.run(&script).unwrap_or_else(|e| panic!("{}: {e}\n{script}", db.dialect()));
    assert_is(db, &parents, "then");
    assert_is(db, &children, "then");
}

fn ledgered() -> Story {
    Story {
        name: "ledgered",
        header: "*id int64 | qty int64 | note text",
        states: vec![
            vec!["1 | 10 | a", "2 | 20 | b", "3 | 30 | c"],
            vec!["1 | 11 | a", "2 | 20 | b", "4 | 40 | d"],
            vec!["1 | 11 | a", "2 | 22 | b", "4 | 40 | d"],
            vec!["1 | 12 | a", "2 | 22 | b", "4 | 40 | d", "5 | 50 | e"],
        ],
        plan: "",
        constraints: vec!["PRIMARY KEY (id)"],
    }
}

fn a_selection_comes_back(db: &dyn Database) {
    let mut story = ledgered();
    let folder = folder(&[&story]);
    for (name, only, goal) in [
        ("by txn", vec!["txn=t2"], ["1 | 12 | a", "2 | 20 | b", "4 | 40 | d", "5 | 50 | e"].to_vec()),
        (
            "by key",
            vec!["key=ledgered:4", "key=3"],
            vec!["1 | 12 | a", "2 | 22 | b", "3 | 30 | c", "5 | 50 | e"],
        ),
        ("by actor", vec!["actor=odd"], vec!["1 | 10 | a", "2 | 22 | b", "3 | 30 | c"]),
        ("by some", vec!["txn=t3", "txn=t2"], vec!["1 | 11 | a", "2 | 20 | b", "4 | 40 | d"]),
        ("with more", vec!["txn=t1", "with"], vec!["1 | 10 | a", "2 | 22 | b", "3 | 30 | c", "5 | 50 | e"]),
    ] {
        let mut more: Vec<&str> = Vec::new();
        for one in &only {
            more.extend(if *one == "with" { vec!["--with-dependents"] } else { vec!["--only", *one] });
        }
        let target = format!("ledgered={name}");
        more.extend(["--target", target.as_str()]);
        let script = script(&folder, db, &more);
        story.name = name;
        let lines: Vec<String> = goal.iter().map(|l| (*l).to_owned()).collect();
        fill(db, &story, &table::parse_rows(&story.schema().0, &lines));
        db.run(&script).unwrap_or_else(|e| panic!("{}: {e}\n{script}", db.dialect()));
        assert_is(db, &story, "then");
    }
}

/// The shipped sample at two moments; its snapshots are proven against its truth elsewhere.
fn the_sample_comes_back(db: &dyn Database) {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let folder = Folder::new();
    for moment in ["2025-09-30", "2025-06-30"] {
        let plan = sample.join("plan.toml");
        let out = folder.join(moment);
        let arguments =
            ["snapshot", plan.to_str().unwrap(), "--as-of", moment, "--out", out.to_str().unwrap()];
        assert!(run_in(&sample, &arguments).status < 2);
        let names = ["customers", "accounts", "payments", "invoices", "journal_lines"];
        let targets: Vec<String> = names.iter().map(|n| format!("{n}={n} {moment}")).collect();
        let sql = folder.join("undo.sql");
        let mut arguments =
            vec!["undo", plan.to_str().unwrap(), "--as-of", moment, "--dialect", db.dialect()];
        arguments.extend(["--out", sql.to_str().unwrap(), "--replace", "--allow-contradicted"]);
        targets.iter().for_each(|t| arguments.extend(["--target", t.as_str()]));
        let output = run_in(&sample, &arguments);
        assert_eq!(output.status, 0, "{output:?}");
        for name in names {
            let then = table::read_parquet(&out.join(format!("{name}.parquet")));
            // The types of the CSV extract are those of the snapshot; the moment after all changes is today.
            let now = if name == "payments" {
                let late = folder.join(format!("now-{moment}.parquet"));
                let flags = ["snapshot", plan.to_str().unwrap(), "--as-of", "2026-01-10T08:00:00Z", "--out"];
                let dir = late.with_extension("");
                let output = run_in(&sample, &[&flags[..], &[dir.to_str().unwrap()]].concat());
                assert!(output.status < 2, "{output:?}");
                table::read_parquet(&dir.join("payments.parquet"))
            } else {
                table::read_parquet(&sample.join(format!("extract/{name}.parquet")))
            };
            create(db, &format!("{name} {moment}"), &now, &[]);
            create(db, &format!("{name} {moment} then"), &then, &[]);
        }
        let script = std::fs::read_to_string(&sql).unwrap();
        db.run(&script).unwrap_or_else(|e| panic!("{}: {e}", db.dialect()));
        for name in names {
            let then = table::read_parquet(&out.join(format!("{name}.parquet")));
            let (one, other) = (format!("{name} {moment}"), format!("{name} {moment} then"));
            assert_eq!(differences(db, &one, &other, &then), 0, "{}: {name} at {moment}", db.dialect());
        }
    }
}

fn special() -> Story {
    Story {
        name: "special",
        header: "*id int64 | x float64",
        states: vec![
            vec!["1 | NaN", "2 | -0.0", "3 | inf", "4 | -inf", "5 | 1"],
            vec!["1 | 1", "2 | 0", "3 | 1", "4 | NaN"],
        ],
        plan: "",
        constraints: vec![],
    }
}

fn special_numbers_of_postgres(db: &dyn Database) {
    let story = special();
    let folder = folder(&[&story]);
    fill(db, &story, &story.rows(0));
    db.run(&script(&folder, db, &[])).unwrap();
    assert_is(db, &story, "then");
}

#[test]
fn a_value_that_the_dialect_cannot_hold_is_refused_with_its_row() {
    let story = special();
    let floats = folder(&[&story]);
    for dialect in ["mysql", "mariadb", "sqlserver", "sqlite"] {
        let output = floats.run(&[
            "undo",
            "plan.toml",
            "--as-of",
            "2025-01-31",
            "--dialect",
            dialect,
            "--out",
            "u.sql",
        ]);
        assert_eq!(output.status, 2);
        assert!(output.stderr.contains("special: refused: id="), "{dialect}: {}", output.stderr);
        assert!(!floats.join("u.sql").exists());
    }
    let nul = Story {
        name: "nul",
        header: "*id int64 | t text",
        states: vec![vec![r#"7 | "a\u0000b""#], vec!["7 | b"]],
        plan: "",
        constraints: vec![],
    };
    let nul = folder(&[&nul]);
    let output =
        nul.run(&["undo", "plan.toml", "--as-of", "2025-01-31", "--dialect", "postgres", "--out", "u.sql"]);
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("id=7") && output.stderr.contains("NUL"), "{}", output.stderr);
    // SQLite takes it, and gives it back.
    if let Some(db) = Sqlite::start() {
        db.run("CREATE TABLE nul (id INTEGER, t TEXT); INSERT INTO nul VALUES (7, 'b');").unwrap();
        db.run(&script(&nul, &db, &[])).unwrap();
        assert_eq!(db.run("SELECT hex(t) FROM nul;").unwrap().trim(), "610062");
    }
}

#[test]
fn later_changes_of_selected_rows_are_listed_and_refused() {
    let story = ledgered();
    let folder = folder(&[&story]);
    let arguments = ["undo", "plan.toml", "--as-of", "2025-01-31", "--only", "txn=t1", "--out", "undo"];
    let output = folder.run(&arguments);
    assert_eq!(output.status, 2);
    let listed = "1 later changes depend on the selection\n  update of ledgered id=1 at 2025-02-03T12:00:00Z in \
                  transaction t3 by odd\n";
    assert!(output.stderr.contains(listed), "{}", output.stderr);
    assert!(!folder.join("undo").exists());
    let nothing =
        folder.run(&["undo", "plan.toml", "--as-of", "2025-02-02", "--only", "txn=t1", "--out", "undo"]);
    assert_eq!(nothing.status, 2, "what lies before the moment is not undone: {nothing:?}");
}

#[test]
fn a_selection_that_leaves_rows_without_what_they_refer_to_is_refused() {
    let [children, parents] = family();
    let folder = folder(&[&children, &parents]);
    let arguments =
        ["undo", "plan.toml", "--as-of", "2025-01-31", "--only", "key=parents:30", "--out", "undo"];
    let output = folder.run(&arguments);
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("still refer to rows of parents"), "{}", output.stderr);
    assert!(output.stderr.contains("\n  id=5"), "{}", output.stderr);
}

#[test]
fn contradicted_rows_are_refused_and_named() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let folder = Folder::new();
    let out = folder.join("undo");
    let arguments = ["undo", "plan.toml", "--as-of", "2025-09-30", "--out", out.to_str().unwrap()];
    let output = run_in(&sample, &arguments);
    assert_eq!(output.status, 2, "{output:?}");
    assert!(
        output.stderr.contains("journal_lines: entry_no=150, line_no=2 (update, contradicted"),
        "{}",
        output.stderr
    );
    assert!(!out.exists());
}

/// The change set is a ledger: undoing it from the table as of the moment gives today's.
#[test]
fn the_change_set_as_parquet_is_a_ledger() {
    for story in [hostile(), special(), ledgered()] {
        let folder = folder(&[&story]);
        let output = folder.run(&["undo", "plan.toml", "--as-of", "2025-01-31", "--out", "undo.parquet"]);
        assert_eq!(output.status, 0, "{output:?}");
        table::write_parquet(&folder.join("then.parquet"), &story.rows(0));
        let back = folder.run(&[
            "snapshot",
            "--current",
            "then.parquet",
            "--ledger",
            "undo.parquet",
            "--key",
            "id",
            "--as-of",
            "position:0",
            "--out",
            "back.parquet",
            "--allow-uncovered",
        ]);
        assert!(back.status < 2, "{back:?}");
        let sorted = |batch: &RecordBatch| {
            let mut rows = table::texts(batch);
            rows.sort();
            rows
        };
        let back = table::read_parquet(&folder.join("back.parquet"));
        assert_eq!(sorted(&back), sorted(&story.now()), "{}", story.name);
    }
}

#[test]
fn several_datasets_go_into_a_folder_that_can_be_replaced() {
    let [children, parents] = family();
    let folder = folder(&[&children, &parents]);
    for replace in [&[][..], &["--replace"]] {
        let arguments = ["undo", "plan.toml", "--as-of", "2025-01-31", "--out", "undo"];
        let output = folder.run(&[&arguments[..], replace].concat());
        assert_eq!(output.status, 0, "{output:?}");
        for file in ["a_children.parquet", "parents.parquet", "manifest.json"] {
            assert!(folder.join("undo").join(file).is_file());
        }
    }
    let again = folder.run(&["undo", "plan.toml", "--as-of", "2025-01-31", "--out", "undo"]);
    assert_eq!(again.status, 2, "an output that is there stays");
}
