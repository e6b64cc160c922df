//! Ledgers of postings against a forward history of balances that remembers every state.
//!
//! Everything is drawn from a seed that a failure names. `SEED=n` runs that one.

use std::collections::BTreeMap;

use asof::testing::Prng;

use crate::harness::Folder;

/// One posting: what counts from which day on, and when it was entered.
#[derive(Debug, Clone)]
struct Posting {
    id: usize,
    transaction: usize,
    account: usize,
    cents: i64,
    effective: i64,
    entered: i64,
}

const DAYS: i64 = 28;

/// Balanced transactions over a month, some entered days after they count.
fn history(prng: &mut Prng) -> Vec<Posting> {
    let mut postings = Vec::new();
    let accounts = 3 + prng.index(6);
    for transaction in 0..10 + prng.index(30) {
        let effective = prng.between(1, DAYS);
        let entered = (effective + if prng.percent(30) { prng.between(1, 9) } else { 0 }).min(DAYS);
        let parts = 1 + prng.index(3);
        let mut rest = 0;
        for part in 0..=parts {
            let cents = if part == parts { -rest } else { prng.between(-500_000, 500_000) };
            rest += cents;
            let (id, account) = (postings.len(), prng.index(accounts));
            postings.push(Posting { id, transaction, account, cents, effective, entered });
        }
    }
    postings
}

/// What really stood: balances of the accounts that had been posted to, by posting date and entry.
fn state(postings: &[Posting], effective: i64, entered: i64) -> BTreeMap<String, i64> {
    let mut balances = BTreeMap::new();
    for posting in postings.iter().filter(|p| p.effective <= effective && p.entered <= entered) {
        *balances.entry(format!("A{}", posting.account)).or_insert(0) += posting.cents;
    }
    balances
}

fn decimal(cents: i64, point: char) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}{point}{:02}", cents.abs() / 100, cents.abs() % 100)
}

/// How amounts are written: signed, minus behind, both sides (some in red), or with a flag.
#[derive(Debug, Clone, Copy)]
enum Style {
    Signed,
    MinusBehind,
    Sides,
    Flagged,
}

const STYLES: [Style; 4] = [Style::Signed, Style::MinusBehind, Style::Sides, Style::Flagged];

fn ledger(postings: &[Posting], style: Style, point: char, prng: &mut Prng) -> String {
    let heads = match style {
        Style::Signed | Style::MinusBehind => "amount",
        Style::Sides => "debit;credit",
        Style::Flagged => "amount;dc",
    };
    let mut text = format!("line;entry;account;posting_date;entry_date;{heads}\n");
    let mut shuffled: Vec<&Posting> = postings.iter().collect();
    for at in (1..shuffled.len()).rev() {
        shuffled.swap(at, prng.index(at + 1));
    }
    for p in shuffled {
        let amount = match style {
            Style::Signed => decimal(p.cents, point),
            Style::MinusBehind if p.cents < 0 => decimal(-p.cents, point) + "-",
            Style::MinusBehind => decimal(p.cents, point),
            // Red storno: what belongs on one side stands negative on the other.
            Style::Sides if (p.cents >= 0) == prng.percent(80) => decimal(p.cents, point) + ";",
            Style::Sides => format!(";{}", decimal(-p.cents, point)),
            Style::Flagged if p.cents < 0 => decimal(-p.cents, point) + ";H",
            Style::Flagged => decimal(p.cents, point) + ";S",
        };
        let day = |day: i64| format!("2025-01-{day:02}");
        let (effective, entered) = (day(p.effective), day(p.entered));
        text += &format!("L{};T{};A{};{effective};{entered};{amount}\n", p.id, p.transaction, p.account);
    }
    text
}

fn plan(style: Style) -> String {
    let amounts = match style {
        Style::Signed | Style::MinusBehind => "\"amount\"",
        Style::Sides => "{ debit = \"debit\", credit = \"credit\" }",
        Style::Flagged => "{ amount = \"amount\", flag = \"dc\" }",
    };
    format!(
        "[datasets.t]\nkey = [\"account\"]\n[datasets.t.current]\npath = \"t.csv\"\nat = \"2025-02-01T00:00:00Z\"\n\
         [datasets.t.ledger]\npath = \"journal.csv\"\nformat = \"postings\"\nfrom_birth = true\n\
         columns = {{ id = \"line\", transaction = \"entry\" }}\n\
         [datasets.t.ledger.postings]\namounts = {{ balance = {amounts} }}\nbalanced = true\n"
    )
}

fn current(postings: &[Posting]) -> String {
    let rows = state(postings, DAYS, DAYS);
    rows.iter().fold("account,balance\n".to_owned(), |text, (account, cents)| {
        text + &format!("{account},{}\n", decimal(*cents, '.'))
    })
}

fn rows(text: &str) -> BTreeMap<String, i64> {
    let row = |line: &str| {
        let (account, balance) = line.split_once(',').unwrap();
        (account.to_owned(), balance.replace('.', "").parse().unwrap())
    };
    text.lines().skip(1).map(row).collect()
}

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=count).collect(),
    }
}

fn write(postings: &[Posting], delivered: &[Posting], prng: &mut Prng) -> Folder {
    let folder = Folder::new();
    let style = STYLES[prng.index(STYLES.len())];
    let point = if prng.percent(50) { ',' } else { '.' };
    folder.write("t.csv", current(postings));
    folder.write("journal.csv", ledger(delivered, style, point, prng));
    folder.write("plan.toml", plan(style));
    folder
}

#[test]
fn every_state_comes_back_on_either_clock_and_on_both() {
    for seed in seeds(12) {
        let mut prng = Prng::new(seed);
        let postings = history(&mut prng);
        let folder = write(&postings, &postings, &mut prng);
        for _ in 0..4 {
            let (day, known) = (prng.between(1, DAYS), prng.between(1, DAYS));
            let date = |day: i64| format!("2025-01-{day:02}");
            let (when, then) = (date(day), date(known));
            let mut arguments =
                vec!["snapshot", "plan.toml", "--replace", "--out", "out.csv", "--as-of", &when];
            let expected = match prng.percent(60) {
                true => {
                    arguments.extend(["--known-at", &then]);
                    state(&postings, day, known)
                }
                // Without a second moment it is asked by the entry.
                false => state(&postings, DAYS, day),
            };
            let output = folder.run(&arguments);
            assert_eq!(output.status, 0, "seed {seed} {arguments:?}\n{}", output.stderr);
            let found = rows(&std::fs::read_to_string(folder.join("out.csv")).unwrap());
            assert_eq!(found, expected, "seed {seed} {arguments:?}");
        }
    }
}

#[test]
fn a_posting_that_is_missing_altered_or_delivered_twice_is_found() {
    for seed in seeds(6) {
        let mut prng = Prng::new(seed);
        let postings = history(&mut prng);
        let at = prng.index(postings.len());
        let mut delivered = postings.clone();
        let expected = match seed % 3 {
            0 => {
                delivered.remove(at);
                ["unbalanced-transaction", "current-"]
            }
            1 => {
                delivered[at].cents += 1;
                ["unbalanced-transaction", "current-"]
            }
            _ => {
                delivered.push(postings[at].clone());
                ["duplicate-change", "duplicate-change"]
            }
        };
        if postings[at].cents == 0 {
            continue;
        }
        let folder = write(&postings, &delivered, &mut prng);
        let output = folder.run(&["verify", "plan.toml"]);
        assert_eq!(output.status, i32::from(seed % 3 < 2), "seed {seed}\n{}{}", output.stdout, output.stderr);
        for code in expected {
            assert!(output.stdout.contains(code), "seed {seed}: no {code}\n{}", output.stdout);
        }
    }
}

/// What is wrong in a ledger that states balances.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    Removed,
    Amount,
    Stated,
    Current,
}

const FAULTS: [Fault; 5] = [Fault::None, Fault::Removed, Fault::Amount, Fault::Stated, Fault::Current];

/// A ledger in the order in which its balances follow each other, with one fault; the account that it is in.
fn stating(postings: &[Posting], fault: Fault, prng: &mut Prng) -> (String, usize) {
    let mut ordered: Vec<&Posting> = postings.iter().collect();
    match prng.index(3) {
        0 => ordered.sort_by_key(|p| (p.entered, p.id)),
        1 => ordered.sort_by_key(|p| (p.effective, p.id)),
        _ => {}
    }
    let at = prng.index(ordered.len());
    let mut balances: BTreeMap<usize, i64> = BTreeMap::new();
    let mut lines = Vec::new();
    for (number, p) in ordered.iter().enumerate() {
        let balance = balances.entry(p.account).or_default();
        *balance += p.cents;
        let is = |this: Fault| number == at && fault == this;
        let cents = p.cents + i64::from(is(Fault::Amount));
        let stated = *balance + i64::from(is(Fault::Stated));
        if !is(Fault::Removed) {
            let (amount, stated) = (decimal(cents, '.'), decimal(stated, '.'));
            let (effective, entered) = (p.effective, p.entered);
            lines.push(format!(
                "{},{},2025-01-{effective:02},2025-01-{entered:02},{amount},{stated}",
                p.id, p.account
            ));
        }
    }
    if prng.percent(50) {
        lines.reverse();
    }
    (
        "line,account,posting_date,entry_date,amount,after\n".to_owned() + &lines.join("\n") + "\n",
        ordered[at].account,
    )
}

#[test]
fn stated_balances_show_one_fault_once_and_in_its_account() {
    for seed in seeds(20) {
        let mut prng = Prng::new(seed);
        let mut postings = history(&mut prng);
        postings.retain(|p| p.cents != 0);
        let fault = FAULTS[seed as usize % FAULTS.len()];
        let (ledger, account) = stating(&postings, fault, &mut prng);
        let mut now = state(&postings, DAYS, DAYS);
        let key = format!("A{account}");
        if fault == Fault::Current {
            *now.get_mut(&key).unwrap() += 1;
        }
        let rows = now.iter().fold("account,balance\n".to_owned(), |text, (account, cents)| {
            text + &format!("{},{}\n", &account[1..], decimal(*cents, '.'))
        });
        let folder = Folder::new();
        folder.write("t.csv", rows);
        folder.write("journal.csv", ledger);
        folder.write(
            "plan.toml",
            "[datasets.t]\nkey = [\"account\"]\n[datasets.t.current]\npath = \"t.csv\"\nat = \"2025-02-01T00:00:00Z\"\n\
             [datasets.t.ledger]\npath = \"journal.csv\"\nformat = \"postings\"\nfrom_birth = true\n\
             [datasets.t.ledger.postings]\nrunning_balances = { balance = \"after\" }\n",
        );
        let output = folder.run(&["verify", "plan.toml", "--json"]);
        let told: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        let found: Vec<&serde_json::Value> =
            told["discrepancies"]["listed"].as_array().unwrap().iter().collect();
        let keys: Vec<&str> = found.iter().filter_map(|f| f["key"].as_str()).collect();
        let expected = if fault == Fault::None { vec![] } else { vec![format!("account={account}")] };
        assert_eq!(keys, expected, "seed {seed} {fault:?}\n{}{}", output.stdout, output.stderr);
    }
}
