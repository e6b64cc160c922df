//! The tables of the sample company, and rows as they are drawn for them.

use asof::testing::{Kind, Row, TableDef, Value};

use super::company::{ACCOUNTS, CUSTOMERS, Company, INVOICES, LINES, NEW_YEAR, PAYMENTS, money};

const CURRENCIES: [&str; 6] = ["EUR", "EUR", "EUR", "USD", "GBP", "SEK"];
const COUNTRIES: [&str; 6] = ["DE", "DE", "AT", "DK", "SE", "NL"];
pub(crate) const SEGMENTS: [&str; 4] = ["retail", "craft", "shipping", "public"];
const FIRST: [&str; 12] =
    ["Alster", "Birke", "Deich", "Elbe", "Föhr", "Heide", "Jade", "Kogge", "Lotse", "Möwe", "Norden", "Ufer"];
const SECOND: [&str; 10] =
    ["Bau", "Druck", "Fracht", "Garten", "Handel", "Kontor", "Licht", "Optik", "Werft", "Zimmerei"];
const LEGAL: [&str; 4] = ["GmbH", "AG", "& Söhne", "eG"];

const MONEY: Kind = Kind::Decimal(18, 2);

pub(crate) fn tables() -> Vec<TableDef> {
    vec![customers(), accounts(), payments(), invoices(), journal_lines()]
}

fn customers() -> TableDef {
    TableDef::new(
        "customers",
        1,
        &[
            ("customer_id", Kind::Int),
            ("name", Kind::Text),
            ("country", Kind::Text),
            ("segment", Kind::Text),
            ("email?", Kind::Text),
            ("credit_limit?", MONEY),
            ("since", Kind::Date),
            ("is_active", Kind::Bool),
        ],
    )
}

fn accounts() -> TableDef {
    TableDef::new(
        "accounts",
        1,
        &[
            ("account_id", Kind::Int),
            ("customer_id", Kind::Int),
            ("currency", Kind::Text),
            ("balance", MONEY),
            ("status", Kind::Text),
            ("opened_on", Kind::Date),
            ("closed_on?", Kind::Date),
            ("updated_at?", Kind::Timestamp),
        ],
    )
}

fn payments() -> TableDef {
    TableDef::new(
        "payments",
        1,
        &[
            ("payment_id", Kind::Text),
            ("account_id", Kind::Int),
            ("amount", MONEY),
            ("currency", Kind::Text),
            ("value_date", Kind::Date),
            ("status", Kind::Text),
            ("reference", Kind::Text),
        ],
    )
}

fn invoices() -> TableDef {
    TableDef::new(
        "invoices",
        1,
        &[
            ("invoice_no", Kind::Text),
            ("customer_id", Kind::Int),
            ("issued_on", Kind::Date),
            ("due_on", Kind::Date),
            ("amount", MONEY),
            ("paid?", MONEY),
            ("status", Kind::Text),
            ("memo?", Kind::Text),
        ],
    )
}

fn journal_lines() -> TableDef {
    TableDef::new(
        "journal_lines",
        2,
        &[
            ("entry_no", Kind::Int),
            ("line_no", Kind::Small),
            ("ledger_account", Kind::Text),
            ("amount", MONEY),
            ("posted_on", Kind::Date),
            ("memo?", Kind::Text),
        ],
    )
}

impl Company {
    pub(crate) fn new_customer(&mut self) -> Row {
        let p = &mut self.prng;
        let name = format!(
            "{} {} {}",
            FIRST[p.index(FIRST.len())],
            SECOND[p.index(SECOND.len())],
            LEGAL[p.index(LEGAL.len())]
        );
        let email = format!("office{}@example.com", p.below(900));
        let row = vec![
            Value::text(name),
            Value::text(COUNTRIES[p.index(COUNTRIES.len())]),
            Value::text(SEGMENTS[p.index(SEGMENTS.len())]),
            if p.percent(80) { Value::text(email) } else { Value::Null },
            if p.percent(70) { money(p.between(10, 500) * 10_000) } else { Value::Null },
            Value::Int((NEW_YEAR - p.between(30, 4_000)).min(self.day)),
            Value::Bool(true),
        ];
        let id = self.next(CUSTOMERS);
        std::iter::once(Value::Int(1_000 + id)).chain(row).collect()
    }

    /// The number of some customer that does not divide by eleven: those have no accounts and no invoices.
    fn some_customer(&mut self) -> i64 {
        let known = self.serial.get(&CUSTOMERS).copied().unwrap_or(1);
        let drawn = 1_002 + self.prng.below(known as u64 - 1) as i64;
        if drawn % 11 == 0 { drawn - 1 } else { drawn }
    }

    /// An account, of some customer unless one is given.
    pub(crate) fn new_account(&mut self, customer: Option<i64>) -> Row {
        let customer = customer.unwrap_or_else(|| self.some_customer());
        let currency = CURRENCIES[self.prng.index(CURRENCIES.len())];
        let balance = if self.day < NEW_YEAR { self.prng.between(0, 5_000_000) } else { 0 };
        vec![
            Value::Int(70_000 + self.next(ACCOUNTS)),
            Value::Int(customer),
            Value::text(currency),
            money(balance),
            Value::text("open"),
            Value::Int(self.day),
            Value::Null,
            Value::Null,
        ]
    }

    pub(crate) fn new_payment(&mut self, status: &str) -> Row {
        let accounts = self.any(ACCOUNTS, 1);
        let account = accounts.first().and_then(|&r| self.db.row(ACCOUNTS, r)).cloned().unwrap_or_default();
        let number = self.next(PAYMENTS);
        let sign = if self.prng.percent(55) { 1 } else { -1 };
        vec![
            Value::text(format!("{:07}", number)),
            account[0].clone(),
            money(sign * self.prng.between(500, 400_000)),
            account[2].clone(),
            Value::Int(self.day + self.prng.between(0, 4)),
            Value::text(status),
            Value::text(format!("order {}", self.prng.between(100, 999))),
        ]
    }

    pub(crate) fn new_invoice(&mut self) -> Row {
        let customer = self.some_customer();
        let number = self.next(INVOICES);
        vec![
            Value::text(format!("R-{:05}", number)),
            Value::Int(customer),
            Value::Int(self.day),
            Value::Int(self.day + 30),
            money(self.prng.between(5_000, 2_000_000)),
            Value::Null,
            Value::text("open"),
            if self.prng.percent(30) { Value::text("second reminder") } else { Value::Null },
        ]
    }

    /// Two lines that balance.
    pub(crate) fn new_entry(&mut self, amount: i64, memo: &str) -> Vec<Row> {
        let number = self.next(LINES);
        let line = |no: i64, account: &str, amount: i64| {
            vec![
                Value::Int(number),
                Value::Int(no),
                Value::text(account),
                money(amount),
                Value::Int(self.day),
                Value::text(memo),
            ]
        };
        vec![line(1, "1200", amount), line(2, "1400", -amount)]
    }
}
