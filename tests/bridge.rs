//! Bridges against the true movements of forward histories, and with planted breaks.
//!
//! Everything is drawn from a seed that a failure names. `SEED=n` runs that one.

use std::collections::BTreeMap;

use asof::model::{Amount, Op};
use asof::pipeline::progress::Silent;
use asof::pipeline::request::{BridgeRequest, BridgeSpan};
use asof::pipeline::{BridgeLine, BridgeOutcome};
use asof::testing::{
    History, ImageMode, KeyShape, Options, Prng, RecordOrder, START, Shape, TableDef, Value, generate,
};
use asof::{Moment, Plan, RunOptions};

use crate::harness::Folder;
use crate::table;

/// Group, measure and figure to amount; what is nothing is left out.
type Truth = BTreeMap<(Option<String>, String, &'static str), Amount>;

const MEASURES: [&str; 3] = ["amount", "count", "wide"];

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=std::env::var("SEEDS").map_or(count, |n| n.parse().unwrap())).collect(),
    }
}

fn folder(history: &History, shape: &Shape, by: &str, from_birth: bool) -> Folder {
    let folder = Folder::new();
    let delivery = history.deliver(shape);
    let def = &history.tables[0];
    let key: Vec<&str> = def.key.iter().map(|&c| def.columns[c].name.as_str()).collect();
    table::write_parquet(&folder.join("t.parquet"), &delivery.current_batch(0).unwrap());
    folder.write("t.ndjson", delivery.mapped_ndjson(0));
    let missing = if shape.images == ImageMode::ChangedOnly { "unchanged" } else { "absent" };
    folder.write(
        "plan.toml",
        format!(
            "[datasets.t]\nkey = {key:?}\nmeasures = {MEASURES:?}\ngroup_by = [\"{by}\"]\n\
             current = {{ path = \"t.parquet\", at = \"2030-01-01T00:00:00Z\" }}\n\
             [datasets.t.ledger]\npath = \"t.ndjson\"\nformat = \"mapped\"\nmissing = \"{missing}\"\n\
             complete_from = \"2024-12-01T00:00:00Z\"\ncomplete_to = \"2030-01-01T00:00:00Z\"\n\
             from_birth = {from_birth}\n\
             columns = {{ position = \"seq\", commit_position = \"commit_seq\", transaction = \"txid\" }}\n"
        ),
    );
    folder
}

fn instant(nanoseconds: i64) -> Moment {
    let text = asof::model::time::format_instant(nanoseconds);
    Moment::parse_one(&text, &asof::plan::Calendar::UTC).unwrap()
}

fn bridged(folder: &Folder, from: i64, to: i64) -> BridgeOutcome {
    let request = BridgeRequest {
        plan: Plan::open(&folder.join("plan.toml")).unwrap(),
        span: BridgeSpan::Moments { from: instant(from), to: instant(to) },
        by: None,
        output: None,
        changes: None,
        replace: false,
        allow_uncovered: false,
        trust: asof::pipeline::request::Trust::Current,
        options: RunOptions::at(0),
    };
    asof::pipeline::bridge(&request, &Silent).unwrap()
}

/// What really happened between two numbers of commits.
struct Oracle<'a> {
    def: &'a TableDef,
    by: usize,
    truth: Truth,
}

impl Oracle<'_> {
    fn of(history: &History, by: &str, from: usize, to: usize) -> Truth {
        let def = &history.tables[0];
        let mut oracle = Oracle { def, by: def.column(by).unwrap(), truth: Truth::new() };
        let mut rows = history.state(from)[0].clone();
        rows.values().for_each(|row| oracle.whole("opening", row, row, 1));
        for change in history.transactions[from..to].iter().flat_map(|t| &t.changes) {
            match (&change.before, &change.after) {
                _ if change.op == Op::Truncate => {
                    rows.values().for_each(|row| oracle.whole("disposals", row, row, -1));
                    rows.clear();
                    continue;
                }
                (None, Some(after)) => oracle.whole("additions", after, after, 1),
                (Some(before), None) => oracle.whole("disposals", before, before, -1),
                (Some(before), Some(after)) => {
                    if before[oracle.by] != after[oracle.by] {
                        oracle.whole("reclass_out", before, before, -1);
                        oracle.whole("reclass_in", after, before, 1);
                    }
                    oracle.measures("updates", after, before, -1);
                    oracle.measures("updates", after, after, 1);
                }
                (None, None) => unreachable!("a change has an image"),
            }
            match &change.after {
                Some(after) => drop(rows.insert(change.row, after.clone())),
                None => drop(rows.remove(&change.row)),
            }
        }
        rows.values().for_each(|row| oracle.whole("closing", row, row, 1));
        oracle.truth.retain(|_, amount| !amount.is_zero());
        oracle.truth
    }

    fn add(&mut self, figure: &'static str, group: &[Value], measure: &str, amount: Amount) {
        let cell = &group[self.by];
        let text = (!cell.is_null()).then(|| self.def.columns[self.by].kind.plain(cell));
        let sum = self.truth.entry((text, measure.to_owned(), figure)).or_insert(Amount::ZERO);
        *sum = sum.plus(amount).unwrap();
    }

    fn whole(&mut self, figure: &'static str, group: &[Value], row: &[Value], sign: i64) {
        self.add(figure, group, "rows", Amount::from(sign));
        self.measures(figure, group, row, sign);
    }

    fn measures(&mut self, figure: &'static str, group: &[Value], row: &[Value], sign: i64) {
        for measure in MEASURES {
            let column = self.def.column(measure).unwrap();
            if row[column].is_null() {
                continue;
            }
            let amount = Amount::parse(&self.def.columns[column].kind.plain(&row[column])).unwrap();
            let signed = if sign < 0 { amount.negated().unwrap() } else { amount };
            self.add(figure, group, measure, signed);
        }
    }
}

/// The figures of a bridge in the form of the truth; every equation is checked to foot on the way.
fn found(outcome: &BridgeOutcome, context: &str) -> Truth {
    let mut found = Truth::new();
    for measure in &outcome.datasets[0].measures {
        for group in &measure.groups {
            let figures = &group.figures;
            assert_eq!(figures.foot(), figures.closing, "{context}: {} {:?}", measure.name, group.values);
            let group = group.values[0].clone().expect("every group is stated");
            let ends = [("opening", figures.opening), ("closing", figures.closing)];
            let lines = BridgeLine::ALL.map(|line| (line.name(), figures.line(line)));
            for (name, amount) in ends.into_iter().chain(lines) {
                found.insert((group.clone(), measure.name.clone(), name), amount.unwrap());
            }
        }
        assert_eq!(measure.total.foot(), measure.total.closing, "{context}: {}", measure.name);
    }
    found.retain(|_, amount| !amount.is_zero());
    found
}

fn assert_same(found: &Truth, truth: &Truth, context: &str) {
    let only = |a: &Truth, b: &Truth| {
        let differs = |(key, amount): &(&_, &Amount)| b.get(*key) != Some(*amount);
        a.iter().filter(differs).map(|(k, v)| format!("{k:?} = {v}")).collect::<Vec<_>>()
    };
    let (more, less) = (only(found, truth), only(truth, found));
    assert!(more.is_empty() && less.is_empty(), "{context}\nfound {more:#?}\nexpected {less:#?}");
}

/// Two moments of a history, the earlier first, with the numbers of commits by then.
fn span(history: &History, prng: &mut Prng) -> [(i64, usize); 2] {
    let boundaries = history.boundaries();
    let mut pick = || match prng.index(boundaries.len() + 1) {
        0 => (START - 1, 0),
        place => boundaries[place - 1],
    };
    let (a, b) = (pick(), pick());
    if a.0 <= b.0 { [a, b] } else { [b, a] }
}

#[test]
fn the_bridge_between_any_two_moments_is_what_really_happened() {
    for seed in seeds(15) {
        let mut prng = Prng::new(seed);
        let key = KeyShape::ALL[seed as usize % KeyShape::ALL.len()];
        let history = generate(&Options { truncates: prng.percent(40), ..Options::new(seed, key) });
        let order = if prng.percent(50) { RecordOrder::ByCommit } else { RecordOrder::ByStatement };
        let redeliveries = if key == KeyShape::Keyless { 0 } else { prng.index(3) };
        let shape = Shape { order, redeliveries, seed, ..Shape::default() };
        let by = if prng.percent(50) { "flag" } else { "label" };
        let folder = folder(&history, &shape, by, false);
        for _ in 0..3 {
            let [from, to] = span(&history, &mut prng);
            // What a truncate took that the ledger never mentions again is not known at all.
            let truncated =
                history.transactions[from.1..].iter().any(|t| t.changes.iter().any(|c| c.op == Op::Truncate));
            if truncated {
                continue;
            }
            let context = format!("seed {seed}, {key:?}, {order:?}, by {by}, commits {} to {}", from.1, to.1);
            let found = found(&bridged(&folder, from.0, to.0), &context);
            assert_same(&found, &Oracle::of(&history, by, from.1, to.1), &context);
        }
    }
}

#[test]
fn images_that_say_less_and_truncates_bridge_the_same_where_the_ledger_is_complete() {
    let mut truncates = 0;
    for seed in seeds(16) {
        let mut prng = Prng::new(seed);
        let images = ImageMode::ALL[seed as usize % ImageMode::ALL.len()];
        let options = Options { rows: 0, truncates: true, ..Options::new(seed, KeyShape::Int) };
        let history = generate(&options);
        let shape = Shape { images, seed, ..Shape::default() };
        let folder = folder(&history, &shape, "flag", true);
        for _ in 0..3 {
            let [from, to] = span(&history, &mut prng);
            let between = &history.transactions[from.1..to.1];
            truncates += usize::from(between.iter().any(|t| t.changes.iter().any(|c| c.op == Op::Truncate)));
            let context = format!("seed {seed}, {images:?}, commits {} to {}", from.1, to.1);
            let found = found(&bridged(&folder, from.0, to.0), &context);
            assert_same(&found, &Oracle::of(&history, "flag", from.1, to.1), &context);
        }
    }
    assert!(truncates > 0 || std::env::var("SEED").is_ok(), "no span with a truncate was drawn");
}

/// Three accounts; what stands in `current` for the second decides whether everything ties.
fn accounts(current: &str, second_record: bool) -> Folder {
    let folder = Folder::new();
    folder.write("t.csv", format!("id,currency,balance\n1,EUR,15.00\n2,{current}\n3,EUR,7.00\n"));
    let mut ledger = String::from(
        "seq,committed_at,op,actor,old_id,old_currency,old_balance,new_id,new_currency,new_balance\n",
    );
    ledger += "1,2025-01-02T00:00:00Z,U,kim,1,EUR,10.00,1,EUR,12.50\n";
    if second_record {
        ledger += "2,2025-01-03T00:00:00Z,U,kim,1,EUR,12.50,1,EUR,15.00\n";
    } else {
        ledger += "2,2025-01-03T00:00:00Z,U,kim,1,EUR,13.00,1,EUR,15.00\n";
    }
    ledger += "3,2025-01-04T00:00:00Z,U,lee,2,EUR,100.00,2,USD,108.00\n";
    ledger += "4,2025-01-05T00:00:00Z,I,lee,,,,3,EUR,7.00\n";
    ledger += "5,2025-01-06T00:00:00Z,D,lee,4,EUR,2.25,,,\n";
    folder.write("ledger.csv", ledger);
    folder.write(
        "plan.toml",
        "[datasets.t]\nkey = [\"id\"]\nmeasures = [\"balance\"]\ngroup_by = [\"currency\"]\n\
         current = { path = \"t.csv\", at = \"2025-02-01T00:00:00Z\" }\n\
         [datasets.t.ledger]\npath = \"ledger.csv\"\ncomplete_from = \"2025-01-01T00:00:00Z\"\n",
    );
    folder
}

/// The line of a group in the second table, as its cells.
fn line<'a>(text: &'a str, measure: &str, group: &str) -> Vec<&'a str> {
    let mut lines = text.lines().skip_while(|l| l.split_whitespace().next() != Some(measure));
    let line = lines.find(|l| l.split_whitespace().next() == Some(group));
    line.unwrap_or_else(|| panic!("no {measure} of {group} in\n{text}")).split_whitespace().skip(1).collect()
}

#[test]
fn a_row_that_changes_its_group_leaves_one_and_enters_the_other() {
    let folder = accounts("USD,108.00", true);
    let output = folder.run(&["bridge", "plan.toml", "--from", "2025-01-01", "--to", "2025-01-31"]);
    assert_eq!(output.status, 0, "{}{}", output.stdout, output.stderr);
    let eur = line(&output.stdout, "balance", "EUR");
    assert_eq!(eur, ["112.25", "7.00", "2.25", "5.00", "100.00", "0.00", "22.00"], "{}", output.stdout);
    let usd = line(&output.stdout, "balance", "USD");
    assert_eq!(usd, ["0.00", "0.00", "0.00", "8.00", "0.00", "100.00", "108.00"], "{}", output.stdout);
}

#[test]
fn a_moment_is_the_same_whatever_the_other_one_is() {
    let folder = Folder::new();
    folder.write("t.csv", "id,a\n1,5\n2,9\n");
    // The second record inserts a row that the first, before both moments, leaves alive.
    let ledger = "seq,committed_at,op,old_id,old_a,new_id,new_a\n\
                  1,2025-01-02T00:00:00Z,U,1,1,1,3\n2,2025-01-06T00:00:00Z,I,,,1,5\n";
    folder.write("ledger.csv", ledger);
    let flags = ["--current", "t.csv", "--ledger", "ledger.csv", "--key", "id", "--measures", "a"];
    let bridge = |from: &str| {
        let moments = ["--from", from, "--to", "2025-01-07", "--json", "--allow-uncovered"];
        let output = folder.run(&[&["bridge"][..], &flags, &moments].concat());
        let document: serde_json::Value = serde_json::from_str(&output.stdout).expect(&output.stderr);
        document["datasets"][0]["figures"]
            .as_array()
            .or(document["datasets"][0]["measures"].as_array())
            .expect("figures of rows and measures")[1]["total"]
            .clone()
    };
    let figures = bridge("2025-01-03");
    assert_eq!((&figures["opening"], &figures["closing"]), (&"12".into(), &"14".into()), "{figures}");
}

#[test]
fn what_the_ledger_does_not_explain_is_a_line_of_its_own() {
    for (current, whole, amount, key) in
        [("USD,109.50", true, "1.50", "id=2"), ("USD,108.00", false, "0.50", "id=1")]
    {
        let folder = accounts(current, whole);
        let flags = ["bridge", "plan.toml", "--from", "2025-01-01", "--to", "2025-01-31"];
        let output = folder.run(&[&flags[..], &["--changes", "changes.csv", "--out", "bridge.csv"]].concat());
        assert_eq!(output.status, 1, "{}{}", output.stdout, output.stderr);
        assert!(output.stdout.contains("NOT EXPLAINED"), "{}", output.stdout);
        let total = line(&output.stdout, "balance", "total");
        assert_eq!(total[total.len() - 2], amount, "{}", output.stdout);
        let changes = std::fs::read_to_string(folder.join("changes.csv")).unwrap();
        let unexplained: Vec<&str> = changes.lines().filter(|l| l.contains(",unexplained,")).collect();
        assert_eq!(unexplained.len(), 1, "{changes}");
        assert!(unexplained[0].contains(key) && unexplained[0].ends_with(amount), "{changes}");
        let table = std::fs::read_to_string(folder.join("bridge.csv")).unwrap();
        assert!(table.lines().any(|l| l.starts_with("t,balance,total,")), "{table}");
    }
}

#[test]
fn the_changes_add_up_to_the_figures() {
    let folder = accounts("USD,108.00", true);
    let flags = ["bridge", "plan.toml", "--from", "2025-01-01", "--to", "2025-01-31"];
    let output =
        folder.run(&[&flags[..], &["--changes", "changes.parquet", "--out", "bridge.parquet"]].concat());
    assert_eq!(output.status, 0, "{}{}", output.stdout, output.stderr);
    let changes = table::read_parquet(&folder.join("changes.parquet"));
    let [measure, line, group, amount, actor] =
        ["measure", "line", "group", "amount", "actor"].map(|name| table::column(&changes, name));
    let mut sums: BTreeMap<(String, String, String), Amount> = BTreeMap::new();
    for row in 0..changes.num_rows() {
        let key = [&group, &measure, &line].map(|column| column[row].clone().unwrap());
        let sum = sums.entry(key.into()).or_insert(Amount::ZERO);
        *sum = sum.plus(Amount::parse(amount[row].as_ref().unwrap()).unwrap()).unwrap();
        assert!(actor[row].is_some(), "every change says who");
    }
    let figures = table::read_parquet(&folder.join("bridge.parquet"));
    let [group, measure] = ["group", "measure"].map(|name| table::column(&figures, name));
    let mut seen = 0;
    for line in BridgeLine::ALL {
        let amounts = table::column(&figures, line.name());
        for row in (0..figures.num_rows()).filter(|&row| group[row].is_some()) {
            let key = (group[row].clone().unwrap(), measure[row].clone().unwrap(), line.name().to_owned());
            let listed = sums.remove(&key).unwrap_or(Amount::ZERO);
            assert_eq!(Amount::parse(amounts[row].as_ref().unwrap()), Some(listed), "{key:?}");
            seen += usize::from(!listed.is_zero());
        }
    }
    assert!(sums.is_empty() && seen > 6, "{sums:?}");
}

/// Journal lines with a posting date and a time of entry.
fn journal() -> Folder {
    let folder = Folder::new();
    folder.write("t.csv", "account,balance\n1000,70.00\n2000,-45.50\n3000,-24.50\n");
    let lines = [
        "1,a,1000,2025-12-10,2025-12-10,50.00",
        "2,a,2000,2025-12-10,2025-12-10,-50.00",
        // Entered in January, counts in December.
        "3,b,1000,2025-12-30,2026-01-08,20.00",
        "4,b,3000,2025-12-30,2026-01-08,-20.00",
        "5,c,2000,2025-12-31,2026-01-20,4.50",
        "6,c,3000,2025-12-31,2026-01-20,-4.50",
    ];
    folder.write(
        "journal.csv",
        format!("line,entry,account,posting_date,entry_date,amount\n{}\n", lines.join("\n")),
    );
    folder.write(
        "plan.toml",
        "[datasets.t]\nkey = [\"account\"]\nmeasures = [\"balance\"]\n\
         current = { path = \"t.csv\", at = \"2026-02-01T00:00:00Z\" }\n\
         [datasets.t.ledger]\npath = \"journal.csv\"\nformat = \"postings\"\nfrom_birth = true\n\
         columns = { id = \"line\", transaction = \"entry\" }\n\
         [datasets.t.ledger.postings]\namounts = { balance = \"amount\" }\nbalanced = true\n",
    );
    folder
}

#[test]
fn as_reported_then_against_as_known_now() {
    let folder = journal();
    for (known, expected) in [
        (
            "2026-01-10",
            [["1000", "50.00", "0.00", "20.00", "70.00"], ["3000", "0.00", "-20.00", "0.00", "-20.00"]],
        ),
        (
            "2026-01-31",
            [["1000", "50.00", "0.00", "20.00", "70.00"], ["2000", "-50.00", "0.00", "4.50", "-45.50"]],
        ),
    ] {
        let output = folder.run(&[
            "bridge",
            "plan.toml",
            "--as-of",
            "2025-12-31",
            "--as-known",
            "2026-01-05",
            "--to-known",
            known,
            "--by",
            "account",
            "--changes",
            "late.csv",
            "--replace",
        ]);
        assert_eq!(output.status, 0, "{}{}", output.stdout, output.stderr);
        for [account, opening, additions, updates, closing] in expected {
            let found = line(&output.stdout, "balance", account);
            assert_eq!(found, [opening, additions, "0.00", updates, closing], "{known}\n{}", output.stdout);
        }
        let late = std::fs::read_to_string(folder.join("late.csv")).unwrap();
        let amounts = late.lines().filter(|l| l.starts_with("t,balance,")).count();
        assert_eq!(amounts, if known == "2026-01-10" { 2 } else { 4 }, "{late}");
    }
    // The table sums of a moment known at two times differ by what was entered in between, and no more.
    let output = folder.run(&[
        "bridge",
        "plan.toml",
        "--as-of",
        "2025-12-15",
        "--as-known",
        "2026-01-05",
        "--to-known",
        "2026-01-31",
    ]);
    assert_eq!(output.status, 0, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("t: 0 changes"), "{}", output.stdout);
}

#[test]
fn moments_the_wrong_way_round_and_columns_that_are_not_there_are_told() {
    let folder = accounts("USD,108.00", true);
    let flags = |more: &[&'static str]| [&["bridge", "plan.toml"][..], more].concat();
    for (more, said) in [
        (&["--from", "2025-01-31", "--to", "2025-01-01"][..], "lies before"),
        (&["--from", "2025-01-01", "--to", "2025-01-31", "--by", "curency"], "did you mean \"currency\""),
        (
            &["--as-of", "2025-01-31", "--as-known", "2025-01-02", "--to-known", "2025-01-03"],
            "images of rows",
        ),
        (&["--from", "2025-01-01", "--to", "2025-01-31", "--out", "x.pdf"], ".parquet, .csv or .arrow"),
        (&["--from", "2024-01-01", "--to", "2025-01-31"], "outside the provable window"),
    ] {
        let output = folder.run(&flags(more));
        assert_eq!(output.status, 2, "{more:?}: {}", output.stdout);
        assert!(output.stderr.contains(said), "{more:?}: {}", output.stderr);
    }
    assert_eq!(folder.names(), ["ledger.csv", "plan.toml", "t.csv"], "nothing is left behind");
}

#[test]
fn figures_and_changes_need_a_file_each() {
    let folder = Folder::new();
    folder.write("c.csv", "id,amt\n1,10.00\n");
    let record = r#"{"seq":1,"op":"u","committed_at":"2025-02-05T00:00:00Z","before":{"id":1,"amt":"9.00"},"after":{"id":1,"amt":"10.00"}}"#;
    folder.write("l.ndjson", record);
    folder.write(
        "plan.toml",
        "[datasets.t]\nkey = [\"id\"]\nmeasures = [\"amt\"]\ncurrent = \"c.csv\"\n[datasets.t.ledger]\n\
         path = \"l.ndjson\"\ncomplete_from = \"2025-01-01T00:00:00Z\"\n",
    );
    let bridge = |changes: &str| {
        let span = ["bridge", "plan.toml", "--from", "2025-02-01", "--to", "2025-02-05", "--replace"];
        folder.run(&[&span[..], &["--out", "x.csv", "--changes", changes]].concat())
    };
    let whole = folder.join("x.csv");
    for changes in ["x.csv", "./x.csv", whole.to_str().unwrap()] {
        let output = bridge(changes);
        assert_eq!(output.status, 2, "{output:?}");
        assert!(output.stderr.contains("is also where --out writes the figures"), "{}", output.stderr);
        assert!(!whole.exists());
    }
    assert_eq!(bridge("y.csv").status, 0);
    assert!(whole.exists());
}

/// A row that was edited past the ledger: with the current state trusted nothing explains it at the closing;
/// with the ledger trusted both ends rest on what it last knew.
#[test]
fn a_direct_edit_is_unexplained_unless_the_ledger_is_trusted() {
    let folder = Folder::new();
    folder.write("c.csv", "id,amt\n1,12.00\n2,5.00\n");
    let record = r#"{"seq":1,"op":"u","committed_at":"2025-02-05T00:00:00Z","before":{"id":1,"amt":"9.00"},"after":{"id":1,"amt":"10.00"}}"#;
    folder.write("l.ndjson", record);
    folder.write(
        "plan.toml",
        "[datasets.t]\nkey = [\"id\"]\nmeasures = [\"amt\"]\ncurrent = \"c.csv\"\n[datasets.t.ledger]\n\
         path = \"l.ndjson\"\ncomplete_from = \"2025-01-01T00:00:00Z\"\n",
    );
    let bridge = |trust: &[&str]| {
        let span = ["bridge", "plan.toml", "--from", "2025-02-01", "--to", "2025-02-10", "--json"];
        let output = folder.run(&[&span[..], trust].concat());
        let found: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        (output.status, found.to_string())
    };
    let (status, found) = bridge(&[]);
    assert_eq!((status, found.contains("\"17.00\"")), (1, true), "{found}");
    assert_eq!(bridge(&["--trust", "current"]), (status, found));
    let (status, found) = bridge(&["--trust", "ledger"]);
    assert_eq!(
        (status, found.contains("\"15.00\""), found.contains("\"17.00\"")),
        (0, true, false),
        "{found}"
    );
}

/// Which of several equal rows the ledger disowns nobody can tell, as in a snapshot.
#[test]
fn trusting_the_ledger_of_a_table_without_key_is_refused_where_they_disagree() {
    let folder = Folder::new();
    folder.write("c.csv", "name,amt\na,1.00\n");
    let record = r#"{"seq":1,"op":"i","committed_at":"2025-02-05T00:00:00Z","before":null,"after":{"name":"b","amt":"2.00"}}"#;
    folder.write("l.ndjson", record);
    folder.write(
        "plan.toml",
        "[datasets.t]\nkey = []\nmeasures = [\"amt\"]\ncurrent = \"c.csv\"\n[datasets.t.ledger]\n\
         path = \"l.ndjson\"\ncomplete_from = \"2025-01-01T00:00:00Z\"\n",
    );
    let bridge = ["bridge", "plan.toml", "--from", "2025-02-01", "--to", "2025-02-10", "--trust", "ledger"];
    let output = folder.run(&bridge);
    assert_eq!(output.status, 2, "{output:?}");
    assert!(output.stderr.contains("it has no key"), "{}", output.stderr);
}
