//! Proposed plans: right or asking, loadable once the questions are answered, never over a file.

use std::collections::BTreeMap;
use std::path::Path;

use asof::pipeline::QUESTION;
use asof::plan::Plan;
use serde_json::Value;

use crate::harness::Folder;
use crate::real;

/// What was proposed of one dataset: key and ledger, each `None` where it is a question.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    key: Option<Vec<String>>,
    ledger: Option<String>,
    format: Option<String>,
}

/// Proposes a plan for these files, and checks that it loads with all questions answered.
fn init(folder: &Folder, files: &[&str]) -> (BTreeMap<String, Found>, String) {
    let mut arguments = vec!["init", "--json", "--quiet"];
    arguments.extend(files);
    let output = folder.run(&arguments);
    assert_eq!(output.status, 0, "{output:?}");
    let said: Value = serde_json::from_str(&output.stdout).unwrap();
    let texts = |value: &Value| -> Option<Vec<String>> {
        value.as_array().map(|all| all.iter().map(|t| t.as_str().unwrap().to_owned()).collect())
    };
    let found = said["datasets"].as_array().unwrap().iter().map(|d| {
        let ledger = texts(&d["ledger"]).unwrap();
        let found = Found {
            key: texts(&d["key"]),
            ledger: (!ledger.is_empty()).then(|| ledger.join(", ")),
            format: d["format"].as_str().map(str::to_owned),
        };
        (d["name"].as_str().unwrap().to_owned(), found)
    });
    let text = std::fs::read_to_string(folder.join("plan.toml")).unwrap();
    if let Err(error) = Plan::parse(&text.replace(QUESTION, ""), folder.path()) {
        panic!("{error}: {:?}\n{text}", error.hint());
    }
    let open = said["questions"].as_array().unwrap();
    if open.is_empty() {
        assert!(Plan::parse(&text, folder.path()).is_ok(), "{text}");
    }
    (found.collect(), text)
}

fn key(columns: &[&str]) -> Option<Vec<String>> {
    Some(columns.iter().map(|c| (*c).to_owned()).collect())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => _ = std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap(),
        }
    }
}

#[test]
fn the_sample_is_understood() {
    let folder = Folder::new();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data"), folder.path());
    std::fs::remove_file(folder.join("plan.toml")).unwrap();
    let (found, text) = init(&folder, &[]);
    let expected = [
        ("accounts", &["account_id"][..], "ledger/core-2025-h*.ndjson.gz", "debezium"),
        ("customers", &["customer_id"], "ledger/core-2025-h*.ndjson.gz", "debezium"),
        ("invoices", &["invoice_no"], "ledger/invoices.ndjson.gz", "wal2json"),
        ("journal_lines", &["entry_no", "line_no"], "ledger/journal_lines.parquet", "mapped"),
        ("payments", &["payment_id"], "ledger/payments.ndjson", "mapped"),
    ];
    let expected: BTreeMap<String, Found> = expected
        .into_iter()
        .map(|(name, columns, ledger, format)| {
            let (ledger, format) = (Some(ledger.to_owned()), Some(format.to_owned()));
            (name.to_owned(), Found { key: key(columns), ledger, format })
        })
        .collect();
    assert_eq!(found, expected, "{text}");
    // Without any answer it runs, and finds what was planted.
    let output = folder.run(&["verify", "plan.toml", "--quiet"]);
    assert_eq!(output.status, 1, "{output:?}");
}

#[test]
fn a_file_is_never_written_over() {
    let folder = Folder::new();
    folder.write("t.csv", "id,x\n1,a\n");
    folder.write("plan.toml", "mine");
    let output = folder.run(&["init"]);
    assert_eq!(output.status, 2, "{output:?}");
    assert!(output.stderr.contains("plan.toml"), "{}", output.stderr);
    assert_eq!(std::fs::read_to_string(folder.join("plan.toml")).unwrap(), "mine");
    // Nothing is written either where there is nothing to propose.
    let output = folder.run(&["init", "t.csv", "--out", "other.toml"]);
    assert_eq!(output.status, 2, "{output:?}");
    assert_eq!(folder.names(), ["plan.toml", "t.csv"]);
}

/// No column has a usual name: what is in them says what they mean.
#[test]
fn columns_are_found_by_what_is_in_them() {
    let folder = Folder::new();
    folder.write("stock.csv", "item_no,qty,place\n1,9,a\n2,7,b\n");
    folder.write(
        "protocol.csv",
        "nr,what,when_done,is_item_no,is_qty,is_place,was_item_no,was_qty,was_place\n\
         1,insert,2025-01-03T00:00:00Z,2,7,b,,,\n\
         2,update,2025-01-05T00:00:00Z,1,9,a,1,5,a\n\
         3,delete,2025-01-06T00:00:00Z,,,,3,1,c\n",
    );
    let (found, text) = init(&folder, &[]);
    assert_eq!(found.len(), 1, "{text}");
    assert_eq!(found["stock"].key, key(&["item_no"]), "{text}");
    let plan = Plan::parse(&text, folder.path()).unwrap();
    let columns = &plan.datasets[0].ledger.columns;
    let named = [&columns.op, &columns.committed_at, &columns.position, &columns.before, &columns.after];
    let named: Vec<Option<&str>> = named.into_iter().map(Option::as_deref).collect();
    assert_eq!(named, [Some("what"), Some("when_done"), Some("nr"), Some("was_*"), Some("is_*")], "{text}");
    assert_eq!(folder.run(&["verify", "plan.toml"]).status, 0);
}

#[test]
fn what_the_files_leave_open_is_asked() {
    let folder = Folder::new();
    // Two columns could be the key, two files could be the table, and times have no offset.
    folder.write(
        "rates-2024.csv",
        "ccy,day,rate\nEUR,2025-01-01,1.1\nUSD,2025-01-01,1.2\nEUR,2025-01-02,1.3\n",
    );
    folder.write("rates-2025.csv", "ccy,day,rate\nEUR,2025-01-01,1.1\nEUR,2025-01-02,1.4\n");
    folder.write(
        "rates_log.csv",
        "seq,op,committed_at,old_ccy,old_day,old_rate,new_ccy,new_day,new_rate\n\
         1,I,2025-01-03 10:00:00,,,,EUR,2025-01-02,1.3\n",
    );
    let (found, text) = init(&folder, &[]);
    let rates = &found["rates-2024"];
    assert_eq!(rates.key, None, "{text}");
    assert_eq!(rates.ledger.as_deref(), Some("rates_log.csv"), "{text}");
    assert!(
        text.contains("# ? key = [\"ccy\", \"day\"]") && text.contains("or: path = \"rates-2025.csv\""),
        "{text}"
    );
    let folder = Folder::new();
    folder.write("t.csv", "id,x\n1,b\n");
    folder.write(
        "t_log.csv",
        "seq,op,committed_at,old_id,old_x,new_id,new_x\n1,U,2025-01-03 10:00:00,1,a,1,b\n",
    );
    let (_, text) = init(&folder, &[]);
    assert!(text.contains("# ? time_zone = \"UTC\"    # its times have no offset"), "{text}");
}

/// What is proposed for real captures is what their makers say, or a question.
#[test]
fn real_captures_are_right_or_ask() {
    let Some(cases) = real::cases() else { return };
    let mut answered = 0;
    for entry in std::fs::read_dir(cases.join("captured")).unwrap() {
        let case = entry.unwrap().path();
        let manifest: Value =
            serde_json::from_slice(&std::fs::read(case.join("MANIFEST.json")).unwrap()).unwrap();
        let folder = Folder::new();
        let [current, ledger] = ["current", "ledger"].map(|part| case.join(part).display().to_string());
        let (found, text) = init(&folder, &[&current, &ledger]);
        assert!(!found.is_empty(), "{}: {text}", case.display());
        for (name, found) in &found {
            let declared = &manifest["tables"][name]["key"];
            let declared: Vec<String> =
                declared.as_array().unwrap().iter().map(|k| k.as_str().unwrap().to_owned()).collect();
            if let Some(key) = &found.key {
                answered += 1;
                assert_eq!(*key, declared, "{} {name}\n{text}", case.display());
            }
        }
    }
    assert!(answered >= 20, "{answered} keys were found");
}

/// Postings of formats with columns of their own move the balances of a table that calls its accounts alike.
#[test]
fn postings_are_proposed_with_what_they_move() {
    let folder = Folder::new();
    folder.write("balance.csv", "CompteNum,Libelle,Solde\n411000,Clients,120.50\n701000,Ventes,-120.50\n");
    let head = "JournalCode\tJournalLib\tEcritureNum\tEcritureDate\tCompteNum\tCompteLib\tCompAuxNum\tCompAuxLib\t\
                PieceRef\tPieceDate\tEcritureLib\tDebit\tCredit\tEcritureLet\tDateLet\tValidDate\tMontantdevise\tIdevise\n";
    let line = |account: &str, sides: &str| {
        format!("VE\tVentes\t1\t20250105\t{account}\tx\t\t\tF1\t20250105\tx\t{sides}\t\t\t20250110\t\t\n")
    };
    let fec = head.to_owned() + &line("411000", "120,50\t0,00") + &line("701000", "0,00\t120,50");
    folder.write("123456789FEC20251231.txt", fec);
    let (found, text) = init(&folder, &["balance.csv", "123456789FEC20251231.txt"]);
    let expected = Found {
        key: key(&["CompteNum"]),
        ledger: Some("123456789FEC20251231.txt".to_owned()),
        format: Some("fec".to_owned()),
    };
    assert_eq!(found, BTreeMap::from([("balance".to_owned(), expected)]));
    assert!(text.contains("\nmeasures = [\"Solde\"]    # the column that the postings move\n"), "{text}");
    assert!(text.contains("? postings = { opening_entries"), "{text}");

    let folder = Folder::new();
    folder.write(
        "balances.csv",
        "account,commodity,balance,budget\nassets:bank,EUR,10.00,9.00\nincome,EUR,-10.00,0.00\n",
    );
    folder.write(
        "journal.csv",
        "txnidx,date,date2,status,code,description,comment,account,amount,commodity,credit,debit,posting-status,posting-comment\n\
         1,2025-01-05,,,,a,,assets:bank,10.00,EUR,,10.00,,\n1,2025-01-05,,,,a,,income,-10.00,EUR,10.00,,,\n",
    );
    let (found, text) = init(&folder, &["."]);
    assert_eq!(found["balances"].key, key(&["account", "commodity"]));
    assert_eq!(found["balances"].format.as_deref(), Some("hledger"));
    assert!(text.contains("\nmeasures = [\"balance\"]"), "{text}");

    // Two columns that postings could move are a question.
    let folder = Folder::new();
    folder.write("konten.csv", "konto,opening_balance,balance\n1000,0.00,5.00\n2000,0.00,-5.00\n");
    folder.write(
        "p.csv",
        "id,date,account,number,currency\na,2025-01-05,1000,5.00,EUR\na,2025-01-05,2000,-5.00,EUR\n",
    );
    let (_, text) = init(&folder, &["konten.csv", "p.csv"]);
    assert!(
        text.contains(
            "# ? measures = [\"opening_balance\"]    # which column do the postings move? or balance"
        ),
        "{text}"
    );
}

/// Names say of some numbers that their totals matter; of other decimals nobody can tell.
#[test]
fn measures_are_proposed_by_name_and_asked_about_otherwise() {
    let folder = Folder::new();
    folder.write("accounts.csv", "id,balance,qty,rate,zip\n1,10.50,3,0.5,01234\n2,20.00,4,0.7,99999\n");
    folder.write("prices.csv", "id,price\n1,10.50\n2,20.00\n");
    let ledger = |column: &str, values: &str| {
        format!(
            "seq,committed_at,op,old_id,new_id,old_{column},new_{column}\n1,2025-01-05T00:00:00Z,U,1,1,{values}\n"
        )
    };
    folder.write("accounts_log.csv", ledger("balance", "9.50,10.50"));
    folder.write("prices_log.csv", ledger("price", "9.50,10.50"));
    let (_, text) = init(&folder, &["."]);
    let sure = "measures = [\"balance\", \"qty\"]    # by their names; do totals of these matter too: rate?";
    assert!(text.contains(&format!("\n{sure}\n")), "{text}");
    assert!(text.contains("\n# ? measures = [\"price\"]    # do their totals matter?\n"), "{text}");
}

#[test]
fn the_folder_of_a_table_in_a_storage_sink_is_one_ledger() {
    let folder = Folder::new();
    folder.write("t.csv", "id,name\n101,b\n102,x\n");
    let schema = |version: u64| {
        format!(
            r#"{{"Table":"t","Schema":"hr","TableVersion":{version},"Query":"","Type":0,"TableColumns":[{{"ColumnName":"id"}},{{"ColumnName":"name"}}]}}"#
        )
    };
    for (version, rows) in [
        (
            455000614502400000,
            "\"I\",\"t\",\"hr\",455045912985600000,false,101,\"a\"\n\"I\",\"t\",\"hr\",455045912985600000,false,102,\"x\"\n",
        ),
        (
            455159159193600000,
            "\"D\",\"t\",\"hr\",455204457676800000,true,101,\"a\"\n\"I\",\"t\",\"hr\",455204457676800000,true,101,\"b\"\n",
        ),
    ] {
        folder.write(&format!("sink/hr/t/{version}/CDC000001.csv"), rows);
        folder.write(&format!("sink/hr/t/{version}/meta/CDC.index"), "CDC000001.csv\n");
        folder.write(&format!("sink/hr/t/meta/schema_{version}_1.json"), schema(version));
    }
    let (found, text) = init(&folder, &["t.csv", "sink"]);
    assert_eq!(found["t"].ledger.as_deref(), Some("sink/hr/t"), "{text}");
    assert_eq!(found["t"].format.as_deref(), Some("ticdc"), "{text}");
}
