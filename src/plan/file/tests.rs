use std::path::{Path, PathBuf};

use arrow::datatypes::DataType;

use super::super::*;
use crate::model::Op;

const WHOLE: &str = r#"
name = "Year-end 2025"
time_zone = "Europe/Berlin"
fiscal_year_start = "04-01"

[datasets.customers]
key = "customer_id"
current = "extract/customers.csv"
ledger = "ledger/customers.csv"

[datasets.accounts]
key = ["account_id"]
current = { path = "/extract/accounts.csv", at = 2026-01-10T08:00:00Z, where = "company = 'DE01'", delimiter = ";", null = "NULL" }
types = { balance = "decimal(18,2)" }
measures = ["balance"]
group_by = ["currency"]
references = [{ columns = ["customer_id"], to = "customers" }]
expected = { rows = 48210, balance = "1204500.17" }
reported = [
    { as_of = "2025-12-31", balance = 1204500.10, source = "trial balance" },
    { as_of = "2025-Q3", group = { currency = "EUR" }, rows = 7 },
]
normalise = { account_id = ["trim", "leading-zeros"] }
[datasets.accounts.ledger]
path = ["ledger/old.csv", "ledger/accounts-*.csv"]
columns = { position = "seq", op = "kind", before = "old_*", after = "new_*", actor = "by" }
ops = { N = "insert", X = "delete" }
clock = "statement"
complete_from = "2025-01-01"
complete_to = "2025-12"
from_birth = false
time_zone = "Asia/Kolkata"
missing = "unchanged"
non_finite = false
placeholder = "__n/a__"
decimals = "base64"
timestamps = "milliseconds"
full_images = true
table = "fin.accounts"
[datasets.accounts.opening]
path = "evidence/accounts.parquet"
as_of = "2024-12-31"

[[accepted]]
fingerprint = "3f2a"
reason = "migration"
approver = "R. Roe"
expires = 2026-06-30
"#;

#[test]
fn every_key_is_read() {
    let plan = Plan::parse(WHOLE, Path::new("plans")).unwrap();
    assert_eq!(plan.name.as_deref(), Some("Year-end 2025"));
    assert_eq!(plan.calendar.fiscal_year_start, Some((4, 1)));
    assert_eq!(plan.datasets.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["customers", "accounts"]);
    assert_eq!(plan.datasets[0].key, ["customer_id"]);
    assert_eq!(plan.datasets[0].ledger.paths, [PathBuf::from("plans/ledger/customers.csv")]);
    let accounts = plan.dataset("accounts").unwrap();
    let source = &accounts.current.source;
    assert_eq!(source.pattern, Path::new("/extract/accounts.csv"));
    assert_eq!((source.csv.delimiter, source.csv.null.as_deref()), (Some(b';'), Some("NULL")));
    assert_eq!(source.types, [("balance".to_owned(), DataType::Decimal128(18, 2))]);
    assert_eq!(source.numeric, ["balance"]);
    assert_eq!(accounts.current.at, Some(Bound::parse("2026-01-10T08:00:00Z", &Calendar::UTC).unwrap()));
    assert_eq!(accounts.current.filter.as_ref().unwrap().text(), "company = 'DE01'");
    assert_eq!(accounts.normalise[0].1, [Normalisation::Trim, Normalisation::LeadingZeros]);
    assert_eq!(accounts.references[0].to, "customers");
    let sum = |text: &str| vec![("balance".to_owned(), text.to_owned())];
    assert_eq!(accounts.expected, Some(Figures { rows: Some(48210), sums: sum("1204500.17") }));
    assert_eq!(accounts.reported[0].figures.sums, sum("1204500.10"));
    assert_eq!(accounts.reported[1].group, [("currency".to_owned(), "EUR".to_owned())]);
    assert_eq!(accounts.opening.as_ref().unwrap().as_of.label, "2024-12-31");
    assert_eq!(plan.accepted[0].expires.unwrap().to_string(), "2026-06-30");
}

#[test]
fn every_key_of_a_ledger_is_read() {
    let plan = Plan::parse(WHOLE, Path::new("plans")).unwrap();
    let ledger = &plan.dataset("accounts").unwrap().ledger;
    assert_eq!(ledger.paths.len(), 2);
    assert_eq!(ledger.columns.op.as_deref(), Some("kind"));
    assert_eq!(ledger.columns.before.as_deref(), Some("old_*"));
    assert_eq!(ledger.ops, [("N".to_owned(), Op::Insert), ("X".to_owned(), Op::Delete)]);
    assert_eq!(ledger.clock, LedgerClock::Statement);
    // A window that is complete from a day begins with it, to a month ends with it.
    let from = ledger.complete_from.as_ref().unwrap();
    assert_eq!(from.to_string(), "up to and including 2024-12-31T23:00:00Z");
    assert_eq!(ledger.complete_to.as_ref().unwrap().to_string(), "before 2025-12-31T23:00:00Z");
    assert_eq!(ledger.table.time_zone, Some(chrono_tz::Asia::Kolkata));
    assert_eq!(ledger.missing, Some(MissingCells::Unchanged));
    assert_eq!(ledger.non_finite, Some(false));
    assert_eq!(ledger.placeholder.as_deref(), Some("__n/a__"));
    assert_eq!((ledger.decimals, ledger.full_images), (Some(ValueCoding::Base64), Some(true)));
    assert_eq!(ledger.timestamps, Some(arrow::datatypes::TimeUnit::Millisecond));
    assert_eq!(ledger.names, ["fin.accounts"]);
}

/// The error of a plan of one dataset to which `extra` lines are added at the end,
/// after the six lines of the dataset itself.
fn complaint(extra: &str) -> String {
    let head = "[datasets.t]\nkey = ['id']\ncurrent = 't.csv'\nmeasures = ['amount']\ngroup_by = ['kind']\n";
    let text = format!("{head}ledger = {{ path = 'l.csv' }}\n{extra}");
    match Plan::parse(&text, Path::new("")) {
        Ok(_) => "none".to_owned(),
        Err(error) => format!("{error} | {}", error.hint().unwrap_or_default()),
    }
}

#[test]
fn mistakes_have_a_place_and_a_remedy() {
    let table = [
        ("", "none"),
        ("mesures = []", "plan:7:1: unknown key \"mesures\" in datasets.t | did you mean measures?"),
        (
            "complete_from = '2025'",
            "plan:7:1: unknown key \"complete_from\" in datasets.t \
             | complete_from belongs in [datasets.<name>.ledger]",
        ),
        (
            "expected = { rows = 1, amout = '1' }",
            "plan:7:32: \"amout\" is neither `rows` nor a measure | did you mean amount?",
        ),
        (
            "expected = { amount = '1,000.00' }",
            "plan:7:23: datasets.t.expected.amount: expected a plain decimal number, found \"1,000.00\" \
             | write for instance \"1204500.17\", without separators",
        ),
        (
            "types = { amount = 'decimel(18,2)' }",
            "plan:7:20: datasets.t.types.amount: \"decimel(18,2)\" is not a type | did you mean decimal(18,2)?",
        ),
        (
            "references = [{ columns = ['a'], to = 'tt' }]",
            "plan:1:1: t refers to \"tt\", which is no dataset | did you mean t?",
        ),
        ("normalise = { idd = ['trim'] }", "plan:7:21: \"idd\" is not a key column | did you mean id?"),
        (
            "normalise = { id = ['trimm'] }",
            "plan:7:21: datasets.t.normalise.id: \"trimm\" is not known | did you mean trim?",
        ),
        (
            "reported = [{ as_of = '2025-13', rows = 1 }]",
            "plan:7:23: datasets.t.reported.as_of: \"2025-13\" is not a moment: expected a month from 01 to 12, \
             found 13",
        ),
        (
            "[[accepted]]\nfingerprint = 'x'",
            "plan:7:1: reason is missing in accepted | write for instance reason = \"migration of 2025-03-01\"",
        ),
        (
            "[datasets.T]\nkey=[]\ncurrent='x'\nledger='y'",
            "plan:7:1: two datasets are called \"T\" but for upper and lower case | rename one of them",
        ),
        (
            "opening = { path = 'o.csv' }",
            "plan:7:11: as_of is missing in datasets.t.opening | write for instance as_of = \"2024-12-31\"",
        ),
    ];
    for (extra, expected) in table {
        let found = complaint(extra);
        assert!(found.starts_with(expected), "{extra}\nexpected {expected}\n   found {found}");
    }
}

#[test]
fn mistakes_outside_of_datasets_have_a_place_too() {
    let error = |text: &str| Plan::parse(text, Path::new("")).unwrap_err().to_string();
    assert_eq!(error(""), "plan:1:1: datasets is missing in the plan");
    assert_eq!(error("time_zone = 'Europe/Berln'"), "plan:1:13: \"Europe/Berln\" is not a time zone");
    assert_eq!(error("fiscal_year_start = '02-29'"), "plan:1:21: \"02-29\" is not a day that every year has");
    assert_eq!(error("[datasets.a]\n\nkey = 3"), "plan:3:7: datasets.a.key: expected text, found a number");
    assert!(error("[datasets.'../x']").contains("cannot be a file name"));
    assert!(error("[datasets.manifest]").contains("another output file"));
    assert!(error("x = = 1").starts_with("plan:1:5: "), "{}", error("x = = 1"));
    let filtered = "[datasets.a]\nkey = []\ncurrent = { path = 'a', where = 'x == 1' }\nledger = 'b'";
    assert_eq!(error(filtered), "plan:3:36: datasets.a.current.where: at character 3: expected =, found ==");
    let columns = "[datasets.a]\nkey=[]\ncurrent='a'\nledger={path='l', format='debezium', columns={op='o'}}";
    assert!(error(columns).contains("describes a mapped ledger"), "{}", error(columns));
    let at = "[datasets.a]\nkey=[]\ncurrent={path='a', at='2025-12-31'}\nledger='l'";
    assert!(error(at).contains("not a whole day"), "{}", error(at));
}

#[test]
fn flags_and_the_plan_they_stand_for_say_the_same() {
    let one = OneDataset {
        current: "extract/accounts.parquet".into(),
        ledger: vec!["a 'b'.ndjson".into(), "c.ndjson".into()],
        key: vec!["id".to_owned(), "line \"no\"".to_owned()],
        format: Some(LedgerFormat::Debezium),
        table: Some("fin.accounts".to_owned()),
        time_zone: Some(chrono_tz::Europe::Berlin),
        at: Some(Bound::parse("2026-01-10T08:00:00Z", &Calendar::UTC).unwrap()),
    };
    let plan = one.into_plan();
    let read = Plan::parse(&plan.text, Path::new("")).unwrap();
    assert_eq!(read, plan);
}

#[test]
fn a_list_of_ledgers_is_refused_with_what_to_do() {
    let text = "[datasets.t]\nkey = \"id\"\ncurrent = \"t.csv\"\n[[datasets.t.ledger]]\npath = \"a.csv\"\n\
                [[datasets.t.ledger]]\npath = \"b.csv\"\n";
    let error = Plan::parse(text, Path::new("plan.toml")).unwrap_err();
    assert!(error.to_string().contains("a dataset has one ledger"), "{error}");
    assert!(error.hint().unwrap_or_default().contains("two datasets with the same current"), "{error:?}");
}
