//! The workload of all benches: an accounts table of eleven columns and the
//! ledger of a year, from the same generator as the tests.
//!
//! `ASOF_BENCH_KEYS` sets the number of rows; the default is small enough for
//! continuous integration, where every bench runs once (`cargo bench -- --test`).

#![allow(dead_code, reason = "each bench uses a part of the workload")]

use std::path::Path;
use std::sync::Arc;

use asof::testing::{Database, Delivery, History, Kind, Prng, Row, START, Shape, TableDef, Value, parquet};

/// Rows of the current table, about.
pub(crate) fn keys() -> usize {
    std::env::var("ASOF_BENCH_KEYS").ok().and_then(|keys| keys.parse().ok()).unwrap_or(20_000)
}

/// Where births, deaths and updates fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    /// Anywhere: every row group changes its membership.
    Scattered,
    /// Births are appended, nothing dies, updates fall on the newest rows.
    Recent,
}

impl Spread {
    pub(crate) const ALL: [Self; 2] = [Self::Scattered, Self::Recent];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scattered => "scattered",
            Self::Recent => "recent",
        }
    }
}

fn table() -> TableDef {
    let money = Kind::Decimal(18, 2);
    TableDef::new(
        "accounts",
        1,
        &[
            ("account_id", Kind::Int),
            ("customer_id", Kind::Int),
            ("branch", Kind::Text),
            ("currency", Kind::Text),
            ("status", Kind::Text),
            ("balance", money),
            ("credit_limit", money),
            ("opened_on", Kind::Date),
            ("notes?", Kind::Text),
            ("holder", Kind::Text),
            ("is_active", Kind::Bool),
        ],
    )
}

fn row(prng: &mut Prng, id: i64) -> Row {
    let currencies = ["EUR", "USD", "GBP", "JPY", "CHF", "SEK", "NOK", "PLN"];
    vec![
        Value::Int(id),
        Value::Int(id * 7 % 1_500_000),
        Value::text(format!("BR{:04}", prng.below(480))),
        Value::text(currencies[prng.index(currencies.len())]),
        Value::text("open"),
        Value::Decimal(i128::from(prng.between(0, 1_000_000_000))),
        Value::Decimal(i128::from(prng.between(0, 5_000_000)) * 100),
        Value::Int(prng.between(10_957, 19_957)),
        if prng.percent(33) {
            Value::Null
        } else {
            Value::text(format!("note {} reviewed", prng.below(100_000)))
        },
        Value::text(format!("Holder {}", id * 31 % 9_999_991)),
        Value::Bool(prng.percent(50)),
    ]
}

/// Plays a year in which about a third of the keys change, some of them often.
pub(crate) fn history(keys: usize, spread: Spread) -> History {
    let mut prng = Prng::new(7);
    let mut db = Database::new(vec![table()]);
    let mut rows: Vec<u64> = (0..keys as i64).map(|id| db.seed(0, row(&mut prng, id))).collect();
    let changes = keys * 5 / 4;
    let year = 365 * 86_400 * 1_000_000_000;
    for change in 0..changes {
        let transaction = db.begin("user");
        let newest = rows.len() - rows.len() / 7;
        let place = match spread {
            // Squaring makes low places hot.
            Spread::Scattered => prng.index(1 + prng.clone().index(rows.len())),
            Spread::Recent => newest + prng.index(rows.len() - newest),
        };
        match prng.below(100) {
            0..=4 => {
                let new = row(&mut prng, (keys + change) as i64);
                rows.push(db.insert(transaction, 0, new));
            }
            5..=7 if spread == Spread::Scattered => db.delete(transaction, 0, rows.swap_remove(place)),
            draw => db.update(transaction, 0, rows[place], |row| {
                row[5] = Value::Decimal(i128::from(prng.between(0, 1_000_000_000)));
                if draw < 30 {
                    row[8] = Value::text(format!("note {} reviewed", draw));
                    row[10] = Value::Bool(draw % 2 == 0);
                }
            }),
        }
        db.commit(transaction, START + (year / changes as i64) * change as i64);
    }
    db.finish()
}

/// The workload as handed over, in ledger order and numbered.
pub(crate) fn delivery(keys: usize, spread: Spread) -> Delivery {
    history(keys, spread).deliver(&Shape { renumber: true, ..Shape::default() })
}

/// 2025-10-01, as benches cut: a quarter of the changes lies behind it.
pub(crate) const AS_OF: &str = "2025-09-30";

/// Writes the workload's files: `current.parquet`, `current.csv`, `ledger.parquet`, `ledger.ndjson`.
pub(crate) fn write(delivery: &Delivery, folder: &Path) {
    let rows_per_group = (delivery.current[0].len() / 16).max(1_000);
    let current = delivery.current_batch(0).expect("the workload fits its own types");
    let ledger = delivery.mapped_batch(0).expect("the workload fits its own types");
    let save =
        |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).expect("a writable folder");
    save("current.parquet", &parquet(&current, rows_per_group).expect("Parquet has all types"));
    save("ledger.parquet", &parquet(&ledger, rows_per_group).expect("Parquet has all types"));
    save("current.csv", delivery.csv(0).as_bytes());
    save("ledger.ndjson", delivery.debezium().as_bytes());
}

/// A folder with the workload's files.
pub(crate) fn files(delivery: &Delivery) -> Arc<tempfile::TempDir> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(delivery, folder.path());
    Arc::new(folder)
}
