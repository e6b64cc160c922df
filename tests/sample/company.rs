//! The sample company, played forward for a year: a small payments house in
//! Hamburg that holds client accounts, takes payments, writes invoices and
//! keeps a journal.
//!
//! Every number comes from one seed. What happens is plausible, not real: no
//! name, account number or amount belongs to anybody.

use std::collections::BTreeMap;

use asof::testing::{Database, History, Prng, Row, Value};

use super::rows::{SEGMENTS, tables};

pub(crate) const SEED: u64 = 2025;
pub(crate) const CUSTOMERS: usize = 0;
pub(crate) const ACCOUNTS: usize = 1;
pub(crate) const PAYMENTS: usize = 2;
pub(crate) const INVOICES: usize = 3;
pub(crate) const LINES: usize = 4;

/// 2025-01-01 as days since 1970.
pub(crate) const NEW_YEAR: i64 = 20_089;
/// 2025-09-29, when the late transaction begins, and 2025-10-02, when it commits.
const LATE: (i64, i64) = (NEW_YEAR + 271, NEW_YEAR + 274);
/// 2026-01-09: the last working day before the extract.
const LAST_DAY: i64 = NEW_YEAR + 373;

const CLERKS: [&str; 5] = ["a.lund", "b.meyer", "c.okafor", "d.silva", "e.novak"];

/// Nanoseconds since the epoch of a second of a day, UTC.
pub(crate) fn at(day: i64, second: i64) -> i64 {
    (day * 86_400 + second) * 1_000_000_000
}

pub(crate) fn money(cents: i64) -> Value {
    Value::Decimal(i128::from(cents))
}

fn cents(row: &Row, column: usize) -> i128 {
    match row[column] {
        Value::Decimal(cents) => cents,
        _ => 0,
    }
}

/// Plays the year.
pub(crate) fn play() -> History {
    let mut company = Company {
        db: Database::new(tables()),
        prng: Prng::new(SEED),
        serial: BTreeMap::new(),
        withdrawn: Vec::new(),
        day: NEW_YEAR - 1,
        second: 0,
    };
    company.found();
    company.year_end_batch();
    let mut late = None;
    for day in NEW_YEAR..=LAST_DAY {
        company.day = day;
        company.second = 6 * 3600;
        if day == LATE.0 {
            late = Some(company.begin_number_swap());
        }
        if day == LATE.1 {
            late.take().into_iter().for_each(|transaction| company.commit(transaction));
        }
        if (day + 3) % 7 < 5 {
            company.working_day();
        }
    }
    company.db.finish()
}

pub(crate) struct Company {
    pub(crate) db: Database,
    pub(crate) prng: Prng,
    pub(crate) serial: BTreeMap<usize, i64>,
    /// Payments that were withdrawn and may be handed in again under their old number.
    withdrawn: Vec<Row>,
    pub(crate) day: i64,
    second: i64,
}

impl Company {
    fn found(&mut self) {
        for _ in 0..180 {
            let row = self.new_customer();
            self.db.seed(CUSTOMERS, row);
        }
        for _ in 0..240 {
            let row = self.new_account(None);
            self.db.seed(ACCOUNTS, row);
        }
        for _ in 0..60 {
            let row = self.new_invoice();
            self.db.seed(INVOICES, row);
        }
        for _ in 0..40 {
            let row = self.new_payment("booked");
            self.db.seed(PAYMENTS, row);
        }
        for _ in 0..60 {
            let amount = self.prng.between(1_000, 900_000);
            for row in self.new_entry(amount, "opening") {
                self.db.seed(LINES, row);
            }
        }
    }

    /// Half an hour before the new year begins in Hamburg: the first commits of the ledger.
    fn year_end_batch(&mut self) {
        self.second = 22 * 3600 + 1800;
        for row in self.any(CUSTOMERS, 3) {
            let limit = money(self.prng.between(10, 500) * 10_000);
            self.single("batch", |db, t| db.set(t, CUSTOMERS, row, "credit_limit", limit));
        }
    }

    fn working_day(&mut self) {
        for _ in 0..self.prng.below(3) {
            let row = self.new_payment("pending");
            self.clerk(|db, t| db.insert(t, PAYMENTS, row));
        }
        if self.prng.percent(18) {
            self.edit_customer();
        }
        if self.prng.percent(6) {
            self.admit_customer();
        }
        if self.prng.percent(25) {
            let row = self.new_invoice();
            self.clerk(|db, t| db.insert(t, INVOICES, row));
        }
        if self.prng.percent(22) {
            self.settle_invoice();
        }
        if self.prng.percent(15) {
            self.correct_payment();
        }
        if self.prng.percent(6) {
            self.withdraw_payment();
        }
        if self.prng.percent(7) {
            self.split_line();
        }
        if self.prng.percent(14) {
            self.reclassify_line();
        }
        self.stories();
        self.book_payments();
    }

    /// What happens once, because the sample is to show it.
    fn stories(&mut self) {
        match self.day - NEW_YEAR {
            // 2025-04-15: an account for a customer who does not exist.
            104 => {
                let row = self.new_account(Some(999_001));
                self.clerk(|db, t| db.insert(t, ACCOUNTS, row));
            }
            // 2025-08-20: an invoice issued in error is deleted.
            231 => {
                for row in self.where_is(INVOICES, "status", "open").into_iter().rev().take(1) {
                    self.clerk(|db, t| db.delete(t, INVOICES, row));
                }
            }
            // 2025-09-30: on either side of midnight in Hamburg, which is 22:00 UTC.
            272 => {
                for second in [21 * 3600 + 3598, 22 * 3600 + 3] {
                    let row = self.new_payment("pending");
                    let transaction = self.db.begin("batch");
                    self.db.insert(transaction, PAYMENTS, row);
                    self.second = self.second.max(second);
                    self.db.commit(transaction, at(self.day, second));
                }
            }
            _ => {}
        }
    }

    /// Two invoices take each other's number, in a transaction that stays open over the quarter's end.
    fn begin_number_swap(&mut self) -> u64 {
        let transaction = self.db.begin("d.silva");
        let rows = self.where_is(INVOICES, "status", "paid");
        let (a, b) = (rows[2], rows[5]);
        let number = |db: &Database, row| db.row(INVOICES, row).map_or(Value::Null, |r| r[0].clone());
        let (first, second) = (number(&self.db, a), number(&self.db, b));
        self.db.set(transaction, INVOICES, a, "invoice_no", second);
        self.db.set(transaction, INVOICES, b, "invoice_no", first);
        self.db.set(transaction, INVOICES, b, "memo", Value::text("numbers were mixed up"));
        transaction
    }

    fn edit_customer(&mut self) {
        for row in self.any(CUSTOMERS, 1) {
            let (column, value) = match self.prng.below(4) {
                0 => ("segment", Value::text(SEGMENTS[self.prng.index(4)])),
                1 => ("email", Value::Null),
                2 => ("is_active", Value::Bool(self.prng.percent(70))),
                _ => ("credit_limit", money(self.prng.between(10, 500) * 10_000)),
            };
            self.clerk(|db, t| db.set(t, CUSTOMERS, row, column, value));
        }
    }

    /// A customer and an account, in one transaction.
    fn admit_customer(&mut self) {
        let customer = self.new_customer();
        let id = match customer[0] {
            Value::Int(id) => Some(id),
            _ => None,
        };
        let account = self.new_account(id);
        self.clerk(|db, t| {
            db.insert(t, CUSTOMERS, customer);
            db.insert(t, ACCOUNTS, account);
        });
    }

    fn settle_invoice(&mut self) {
        let open = self.where_is(INVOICES, "status", "open");
        for row in self.some_of(&open, 1) {
            self.clerk(|db, t| {
                db.update(t, INVOICES, row, |r| {
                    r[5] = r[4].clone();
                    r[6] = Value::text("paid");
                });
            });
        }
    }

    fn correct_payment(&mut self) {
        let pending = self.where_is(PAYMENTS, "status", "pending");
        let by = self.prng.between(-50_000, 80_000) / 100 * 100;
        for row in self.some_of(&pending, 1) {
            self.clerk(|db, t| {
                db.update(t, PAYMENTS, row, |r| r[2] = Value::Decimal(cents(r, 2) + i128::from(by)))
            });
        }
    }

    /// Deletes a pending payment, or hands one in again under its old number.
    fn withdraw_payment(&mut self) {
        if let Some(mut row) = self.withdrawn.pop() {
            row[4] = Value::Int(self.day);
            return self.clerk(|db, t| db.insert(t, PAYMENTS, row));
        }
        let pending = self.where_is(PAYMENTS, "status", "pending");
        for row in self.some_of(&pending, 1) {
            self.withdrawn.extend(self.db.row(PAYMENTS, row).map(|r| r.as_ref().clone()));
            self.clerk(|db, t| db.delete(t, PAYMENTS, row));
        }
    }

    /// Splits the first line of an entry in two: the lines behind it move up by one number.
    fn split_line(&mut self) {
        let first = self.where_is_value(LINES, 1, &Value::Int(1));
        for row in self.some_of(&first, 1) {
            let Some(line) = self.db.row(LINES, row).cloned() else { continue };
            let followers: Vec<u64> =
                self.where_is_value(LINES, 0, &line[0]).into_iter().filter(|&r| r != row).collect();
            self.clerk(|db, t| {
                for follower in followers {
                    db.update(t, LINES, follower, |r| {
                        if let Value::Int(number) = &mut r[1] {
                            *number += 1;
                        }
                    });
                }
                let part = cents(&line, 3) / 3;
                db.update(t, LINES, row, |r| r[3] = Value::Decimal(cents(r, 3) - part));
                let mut second = line.as_ref().clone();
                (second[1], second[3]) = (Value::Int(2), Value::Decimal(part));
                db.insert(t, LINES, second);
            });
        }
    }

    fn reclassify_line(&mut self) {
        for row in self.any(LINES, 1) {
            let account = Value::text(["4400", "4200", "6300"][self.prng.index(3)]);
            self.clerk(|db, t| {
                db.update(t, LINES, row, |r| {
                    r[2] = account;
                    r[5] = Value::text("reclassified");
                });
            });
        }
    }

    /// The evening batch: payments that are due move balances and are posted to the journal.
    fn book_payments(&mut self) {
        self.second = self.second.max(16 * 3600 + 1800);
        for row in self.where_is(PAYMENTS, "status", "pending") {
            let Some(payment) = self.db.row(PAYMENTS, row).cloned() else { continue };
            if payment[4] > Value::Int(self.day) || self.day % 7 == 2 {
                continue;
            }
            let accounts = self.where_is_value(ACCOUNTS, 0, &payment[1]);
            let amount = cents(&payment, 2);
            let entry = self.new_entry(amount as i64, "payment");
            let now = Value::Int(at(self.day, self.second) / 1000);
            self.single("batch", |db, t| {
                db.set(t, PAYMENTS, row, "status", Value::text("booked"));
                for account in accounts {
                    db.update(t, ACCOUNTS, account, |r| {
                        r[3] = Value::Decimal(cents(r, 3) + amount);
                        r[7] = now.clone();
                    });
                }
                for line in entry {
                    db.insert(t, LINES, line);
                }
            });
        }
    }

    pub(crate) fn next(&mut self, table: usize) -> i64 {
        let serial = self.serial.entry(table).or_default();
        *serial += 1;
        *serial
    }

    /// A transaction of its own, by a clerk, some minutes later.
    fn clerk<R>(&mut self, work: impl FnOnce(&mut Database, u64) -> R) {
        let clerk = CLERKS[self.prng.index(CLERKS.len())];
        self.single(clerk, work);
    }

    fn single<R>(&mut self, actor: &str, work: impl FnOnce(&mut Database, u64) -> R) {
        let transaction = self.db.begin(actor);
        work(&mut self.db, transaction);
        // A batch goes from one payment to the next; a clerk drinks coffee in between.
        self.second += if actor == "batch" { self.prng.between(1, 60) } else { self.prng.between(60, 3_600) };
        self.commit(transaction);
    }

    fn commit(&mut self, transaction: u64) {
        self.second += 1;
        let micros = self.prng.between(0, 1_000_000);
        self.db.commit(transaction, at(self.day, self.second) + micros * 1_000);
    }

    pub(crate) fn any(&mut self, table: usize, count: usize) -> Vec<u64> {
        let rows = self.db.touchable(0, table);
        self.some_of(&rows, count)
    }

    pub(crate) fn some_of(&mut self, rows: &[u64], count: usize) -> Vec<u64> {
        if rows.is_empty() {
            Vec::new()
        } else {
            (0..count).map(|_| rows[self.prng.index(rows.len())]).collect()
        }
    }

    fn where_is(&self, table: usize, column: &str, text: &str) -> Vec<u64> {
        let column = self.db.tables()[table].column(column).expect("a column of the sample");
        self.where_is_value(table, column, &Value::text(text))
    }

    fn where_is_value(&self, table: usize, column: usize, value: &Value) -> Vec<u64> {
        let equal = |row: &u64| self.db.row(table, *row).is_some_and(|r| r[column] == *value);
        self.db.touchable(0, table).into_iter().filter(equal).collect()
    }
}
