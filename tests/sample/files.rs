//! The files of `data/`, byte for byte.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use asof::testing::{Delivery, History, Row, Value, decimal_text, parquet};

use super::company::{ACCOUNTS, CUSTOMERS, INVOICES, LINES, PAYMENTS, at, play};
use super::planted::{Finding, Handover, hand_over};

/// The last nanosecond of the third quarter of 2025 in Hamburg: 2025-09-30T22:00:00Z is already the next.
pub(crate) const QUARTER_END: i64 = (20_361 * 86_400 + 22 * 3_600) * 1_000_000_000 - 1;
/// The same for the year.
const YEAR_END: i64 = (20_453 * 86_400 + 23 * 3_600) * 1_000_000_000 - 1;
/// Where the first core ledger file ends: 2025-06-30T22:00:00Z.
const HALF_YEAR: i64 = (20_269 * 86_400 + 22 * 3_600) * 1_000_000_000;

/// What `data/` holds.
pub(crate) struct Sample {
    /// Path within `data/` and content, before compression where the name ends in `.gz`.
    pub(crate) files: BTreeMap<&'static str, Vec<u8>>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) history: History,
}

pub(crate) fn sample() -> Sample {
    let history = play();
    let handover = hand_over(&history);
    let plan = plan(&history, &handover);
    let Handover { mut core, payments, invoices, lines, findings } = handover;
    let current = |delivery: &Delivery, table| {
        let batch = delivery.current_batch(table).expect("the sample fits its own types");
        parquet(&batch, 100).expect("Parquet has all types of the sample")
    };
    let mut files = BTreeMap::from([
        ("plan.toml", plan.into_bytes()),
        ("extract/customers.parquet", current(&core, CUSTOMERS)),
        ("extract/accounts.parquet", current(&core, ACCOUNTS)),
        ("extract/payments.csv", payments.csv(PAYMENTS).into_bytes()),
        ("extract/invoices.parquet", current(&invoices, INVOICES)),
        ("extract/journal_lines.parquet", current(&lines, LINES)),
        ("ledger/payments.ndjson", payments.mapped_ndjson(PAYMENTS).into_bytes()),
        ("ledger/invoices.ndjson.gz", invoices.wal2json().into_bytes()),
        (
            "ledger/journal_lines.parquet",
            parquet(&lines.mapped_batch(LINES).expect("the sample fits its own types"), 500)
                .expect("Parquet has all types of the sample"),
        ),
    ]);
    // One text, cut at a line: the position of a record does not depend on its file.
    let text = core.debezium();
    let first_half = core.records.partition_point(|r| r.committed_at < HALF_YEAR);
    let cut = text.split_inclusive('\n').take(first_half).map(str::len).sum();
    files.insert("ledger/core-2025-h1.ndjson.gz", text.as_bytes()[..cut].to_vec());
    files.insert("ledger/core-2025-h2.ndjson.gz", text.as_bytes()[cut..].to_vec());
    core.records.clear();
    Sample { files, findings, history }
}

/// The content as it lies on the disk.
pub(crate) fn packed(path: &str, content: &[u8]) -> Vec<u8> {
    if !path.ends_with(".gz") {
        return content.to_vec();
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(content).and_then(|()| gzip.finish()).expect("memory takes every byte")
}

/// The true rows of a table at an instant, inclusive.
pub(crate) fn truth(history: &History, table: usize, instant: i64) -> Vec<Arc<Row>> {
    let commits = history.transactions.partition_point(|t| t.committed_at <= instant);
    history.state(commits).swap_remove(table).into_values().collect()
}

fn sum<'a>(rows: impl Iterator<Item = &'a Arc<Row>>, column: usize) -> i128 {
    rows.map(|row| if let Value::Decimal(v) = row[column] { v } else { 0 }).sum()
}

fn plan(history: &History, handover: &Handover) -> String {
    let figures = |delivery: &Delivery, table: usize, column: usize| {
        let rows = &delivery.current[table];
        (rows.len(), decimal_text(sum(rows.iter(), column), 2))
    };
    let reported = |instant: i64, currency: &str| {
        let rows = truth(history, ACCOUNTS, instant);
        let group: Vec<&Arc<Row>> = rows.iter().filter(|r| r[2] == Value::text(currency)).collect();
        (group.len(), sum(group.iter().copied(), 3))
    };
    let (accounts, balance) = figures(&handover.core, ACCOUNTS, 3);
    let (payments, paid) = figures(&handover.payments, PAYMENTS, 2);
    let (lines, posted) = figures(&handover.lines, LINES, 3);
    let (usd_rows, usd) = reported(QUARTER_END, "USD");
    let (gbp_rows, gbp) = reported(QUARTER_END, "GBP");
    let (_, gbp_year) = reported(YEAR_END, "GBP");
    PLAN.replace("@customers", &handover.core.current[CUSTOMERS].len().to_string())
        .replace("@accounts", &accounts.to_string())
        .replace("@balance", &balance)
        .replace("@payments", &payments.to_string())
        .replace("@paid", &paid)
        .replace("@lines", &lines.to_string())
        .replace("@posted", &posted)
        .replace("@usd_rows", &usd_rows.to_string())
        .replace("@usd", &decimal_text(usd - 25_000, 2))
        .replace("@gbp_rows", &gbp_rows.to_string())
        .replace("@gbp_year", &decimal_text(gbp_year, 2))
        .replace("@gbp", &decimal_text(gbp, 2))
}

const PLAN: &str = include_str!("plan.toml");

#[test]
fn bounds_are_midnight_in_hamburg() {
    assert_eq!(QUARTER_END + 1, at(20_361, 22 * 3600));
    let text = asof::model::time::format_instant;
    assert_eq!(text(QUARTER_END + 1), "2025-09-30T22:00:00Z");
    assert_eq!(text(YEAR_END + 1), "2025-12-31T23:00:00Z");
    assert_eq!(text(HALF_YEAR), "2025-06-30T22:00:00Z");
}

#[test]
fn clock_never_steps_back() {
    let times: Vec<i64> = play().transactions.iter().map(|t| t.committed_at).collect();
    assert!(times.is_sorted());
    assert!(times.last().is_some_and(|&last| last < at(20_463, 8 * 3600)), "the extract is taken later");
}
