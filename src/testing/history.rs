//! Seeded random histories: everything that may happen to a row, in any order.

use super::database::{Database, History};
use super::prng::Prng;
use super::value::{Kind, Row, TableDef, Value};

/// What identifies the rows of a random table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyShape {
    /// One integer.
    Int,
    /// One text, with leading zeros and characters of several bytes.
    Text,
    /// One UUID.
    Uuid,
    /// An integer and a text.
    Composite,
    /// Nothing: equal rows may stand side by side.
    Keyless,
}

impl KeyShape {
    /// All shapes.
    pub const ALL: [Self; 5] = [Self::Int, Self::Text, Self::Uuid, Self::Composite, Self::Keyless];
}

/// What a random history is made of. The same options give the same history for ever.
#[derive(Debug, Clone)]
pub struct Options {
    /// Determines everything that is drawn.
    pub seed: u64,
    /// One table per key shape.
    pub tables: Vec<KeyShape>,
    /// Rows per table that stood before the first transaction; 0 for a ledger from birth.
    pub rows: usize,
    /// How many transactions.
    pub transactions: usize,
    /// The most changes of a transaction.
    pub changes_max: usize,
    /// The most transactions open at the same time; 1 for none that interleave.
    pub open_max: usize,
    /// Whether updates may change keys: alone, as swaps, and as shifts along a range.
    pub key_changes: bool,
    /// Whether a table may be truncated.
    pub truncates: bool,
    /// In so many of a hundred commits the clock stands still.
    pub equal_times: u64,
    /// In so many of a hundred commits the clock steps back.
    pub steps_back: u64,
    /// Columns of all types, or only integers, text and money.
    pub all_types: bool,
}

impl Options {
    /// A history of one table with some of everything but truncates and clocks that step back.
    pub fn new(seed: u64, key: KeyShape) -> Self {
        Self {
            seed,
            tables: vec![key],
            rows: 40,
            transactions: 60,
            changes_max: 6,
            open_max: 3,
            key_changes: key != KeyShape::Keyless,
            truncates: false,
            equal_times: 15,
            steps_back: 0,
            all_types: true,
        }
    }
}

/// Midnight of 2025-01-01 UTC in nanoseconds since the epoch: when random histories begin.
pub const START: i64 = 1_735_689_600_000_000_000;

/// Plays a random history.
pub fn generate(options: &Options) -> History {
    let tables =
        options.tables.iter().enumerate().map(|(i, &key)| table(i, key, options.all_types)).collect();
    let mut play = Play {
        database: Database::new(tables),
        prng: Prng::new(options.seed),
        gone: Vec::new(),
        clock: START,
        serial: 0,
        options,
    };
    play.run();
    play.database.finish()
}

/// The columns of a random table: the key, a measure, and cells of every type or of a few.
fn table(index: usize, key: KeyShape, all_types: bool) -> TableDef {
    let (keys, mut columns): (usize, Vec<(&str, Kind)>) = match key {
        KeyShape::Int => (1, vec![("id", Kind::Int)]),
        KeyShape::Text => (1, vec![("code", Kind::Text)]),
        KeyShape::Uuid => (1, vec![("uid", Kind::Uuid)]),
        KeyShape::Composite => (2, vec![("entry", Kind::Int), ("line", Kind::Text)]),
        KeyShape::Keyless => (0, vec![]),
    };
    columns.extend([("amount", Kind::Decimal(18, 2)), ("label?", Kind::Text), ("count?", Kind::Int)]);
    if all_types {
        columns.extend([
            ("flag?", Kind::Bool),
            ("small?", Kind::Small),
            ("wide?", Kind::Decimal(38, 10)),
            ("rate?", Kind::Float),
            ("day?", Kind::Date),
            ("seen?", Kind::Timestamp),
            ("local?", Kind::LocalTimestamp),
            ("bytes?", Kind::Binary),
            ("tags?", Kind::TextList),
        ]);
    }
    TableDef::new(&format!("t{index}"), keys, &columns)
}

struct Play<'a> {
    database: Database,
    prng: Prng,
    /// Keys of deleted rows, to be inserted again.
    gone: Vec<(usize, Row)>,
    clock: i64,
    serial: u64,
    options: &'a Options,
}

impl Play<'_> {
    fn run(&mut self) {
        for table in 0..self.options.tables.len() {
            for _ in 0..self.options.rows {
                let row = self.fresh_row(table);
                self.database.seed(table, row);
            }
        }
        let mut open: Vec<(u64, usize)> = Vec::new();
        let mut begun = 0;
        while begun < self.options.transactions || !open.is_empty() {
            let may_begin = begun < self.options.transactions && open.len() < self.options.open_max.max(1);
            if may_begin && (open.is_empty() || self.prng.percent(40)) {
                let actor = format!("user{}", self.prng.below(7));
                let changes = 1 + self.prng.index(self.options.changes_max);
                open.push((self.database.begin(&actor), changes));
                begun += 1;
            }
            let turn = self.prng.index(open.len());
            let (transaction, left) = open[turn];
            if left == 0 {
                open.swap_remove(turn);
                self.tick();
                self.database.commit(transaction, self.clock);
            } else {
                open[turn].1 -= 1;
                self.step(transaction);
            }
        }
    }

    fn tick(&mut self) {
        if self.prng.percent(self.options.steps_back) {
            self.clock -= self.prng.between(1, 400_000) * 1_000_000;
        } else if !self.prng.percent(self.options.equal_times) {
            self.clock += self.prng.between(1, 900_000_000) * 1_000;
        }
    }

    /// One or a few changes of one transaction.
    fn step(&mut self, transaction: u64) {
        let table = self.prng.index(self.options.tables.len());
        if self.database.is_locked(transaction, table) {
            return;
        }
        let touchable = self.database.touchable(transaction, table);
        let Some(&row) = self.prng.pick(&touchable) else { return self.insert(transaction, table) };
        match self.prng.below(100) {
            0..=19 => self.insert(transaction, table),
            20..=31 => self.delete(transaction, table, row),
            32..=36 => self.database.update(transaction, table, row, |_| ()),
            37..=42 if self.options.key_changes => self.rekey(transaction, table, row),
            43..=48 if self.options.key_changes => self.swap(transaction, table, &touchable),
            49..=52 if self.options.key_changes => self.shift(transaction, table, &touchable),
            53 if self.options.truncates => self.truncate(transaction, table),
            54..=57 => {
                self.delete(transaction, table, row);
                self.insert(transaction, table);
            }
            _ => self.change(transaction, table, row),
        }
    }

    fn insert(&mut self, transaction: u64, table: usize) {
        let mut row = self.fresh_row(table);
        if !self.gone.is_empty() && self.prng.percent(50) {
            let again = self.prng.index(self.gone.len());
            let (of, key) = self.gone[again].clone();
            if of == table && self.database.is_free(transaction, table, &key) {
                row.splice(..key.len(), key);
                self.gone.swap_remove(again);
            }
        }
        self.database.insert(transaction, table, row);
    }

    fn delete(&mut self, transaction: u64, table: usize, row: u64) {
        if let Some(key) = self.key(table, row).filter(|key| !key.is_empty()) {
            self.gone.push((table, key));
        }
        self.database.delete(transaction, table, row);
    }

    /// Truncates, but leaves the next rows to be inserted so that the table does not stay empty.
    fn truncate(&mut self, transaction: u64, table: usize) {
        self.database.truncate(transaction, table);
        for _ in 0..3 {
            self.insert(transaction, table);
        }
    }

    /// An update of one to three columns outside the key.
    fn change(&mut self, transaction: u64, table: usize, row: u64) {
        let def = self.database.tables()[table].clone();
        let free: Vec<usize> = (0..def.columns.len()).filter(|c| !def.key.contains(c)).collect();
        let prng = &mut self.prng;
        let edits: Vec<(usize, Value)> = (0..=prng.index(3))
            .map(|_| free[prng.index(free.len())])
            .map(|c| (c, def.columns[c].kind, def.columns[c].nullable))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|(c, kind, nullable)| (c, cell(prng, kind, nullable)))
            .collect();
        self.database.update(transaction, table, row, |row| edits.into_iter().for_each(|(c, v)| row[c] = v));
    }

    fn rekey(&mut self, transaction: u64, table: usize, row: u64) {
        let key = self.fresh_key(table);
        self.database.update(transaction, table, row, |row| drop(row.splice(..key.len(), key)));
    }

    fn swap(&mut self, transaction: u64, table: usize, rows: &[u64]) {
        let (a, b) = (rows[self.prng.index(rows.len())], rows[self.prng.index(rows.len())]);
        let (Some(key_a), Some(key_b)) = (self.key(table, a), self.key(table, b)) else { return };
        if a != b {
            self.database.update(transaction, table, a, |row| drop(row.splice(..key_b.len(), key_b)));
            self.database.update(transaction, table, b, |row| drop(row.splice(..key_a.len(), key_a)));
        }
    }

    /// Every row of a run takes the key of the next; the last one takes a new key.
    fn shift(&mut self, transaction: u64, table: usize, rows: &[u64]) {
        let from = self.prng.index(rows.len());
        let run: Vec<u64> = rows.iter().copied().skip(from).take(3).collect();
        let mut keys: Vec<Row> = run.iter().filter_map(|&r| self.key(table, r)).skip(1).collect();
        keys.push(self.fresh_key(table));
        for (&row, key) in run.iter().zip(keys) {
            self.database.update(transaction, table, row, |row| drop(row.splice(..key.len(), key)));
        }
    }

    fn key(&self, table: usize, row: u64) -> Option<Row> {
        self.database.row(table, row).map(|row| self.database.tables()[table].key_of(row))
    }

    fn fresh_key(&mut self, table: usize) -> Row {
        self.serial += 1;
        let n = self.serial;
        match self.options.tables[table] {
            KeyShape::Int => vec![Value::Int(n as i64 * 3)],
            KeyShape::Text => {
                vec![Value::text(format!("{n:04}{}", ["", "ä", " x", "'", "ß"][n as usize % 5]))]
            }
            KeyShape::Uuid => vec![Value::text(uuid(&mut self.prng))],
            KeyShape::Composite => vec![Value::Int(n as i64 / 4), Value::text(format!("{:02}", n % 4))],
            KeyShape::Keyless => Vec::new(),
        }
    }

    fn fresh_row(&mut self, table: usize) -> Row {
        let mut row = self.fresh_key(table);
        let columns = self.database.tables()[table].columns.clone();
        row.extend(columns[row.len()..].iter().map(|c| cell(&mut self.prng, c.kind, c.nullable)));
        row
    }
}

/// The text of a random UUID of version 4.
pub fn uuid(prng: &mut Prng) -> String {
    let (a, b) = (prng.next(), prng.next());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        0x8000 | ((b >> 48) & 0x3fff),
        b & 0xffff_ffff_ffff
    )
}

const TEXTS: [&str; 14] = [
    "",
    "plain",
    "007",
    "Zürich – Größe",
    "line one\nline two",
    "\r\n",
    "a \"quoted\" word, and a comma",
    "tab\there",
    " blanks around ",
    "日本語🙂",
    "=1+1",
    "null",
    "\\N",
    "O'Brien; {a,\"b\"}",
];

const FLOATS: [f64; 8] = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1, 5e-324, -1.797e308];

/// A random cell; small ranges on purpose, so that values repeat.
pub fn cell(prng: &mut Prng, kind: Kind, nullable: bool) -> Value {
    if nullable && prng.percent(15) {
        return Value::Null;
    }
    match kind {
        Kind::Bool => Value::Bool(prng.percent(50)),
        Kind::Small => Value::Int(prng.between(-300, 300)),
        Kind::Int => Value::Int(if prng.percent(5) { i64::MAX - 1 } else { prng.between(-5, 50) }),
        Kind::Decimal(precision, _) if precision > 18 => Value::Decimal(wide(prng)),
        Kind::Decimal(..) => Value::Decimal(i128::from(prng.between(-1_000_000, 10_000_000))),
        Kind::Float if prng.percent(50) => Value::Float(FLOATS[prng.index(FLOATS.len())].to_bits()),
        Kind::Float => Value::Float((prng.between(-1000, 1000) as f64 / 7.0).to_bits()),
        Kind::Text => Value::text(TEXTS[prng.index(TEXTS.len())]),
        Kind::Uuid => Value::text(uuid(prng)),
        Kind::Date => Value::Int(prng.between(-700, 21_000)),
        Kind::Timestamp | Kind::LocalTimestamp => Value::Int(prng.between(-1_000_000, 1_800_000_000_000_000)),
        Kind::Binary => Value::Binary((0..prng.below(6)).map(|_| prng.below(256) as u8).collect()),
        Kind::TextList => Value::List((0..prng.below(4)).map(|_| list_item(prng)).collect()),
    }
}

fn list_item(prng: &mut Prng) -> Option<String> {
    (!prng.percent(20)).then(|| TEXTS[prng.index(TEXTS.len())].to_owned())
}

/// Up to 38 digits.
fn wide(prng: &mut Prng) -> i128 {
    const LIMIT: i128 = 10i128.pow(38);
    let bits = (i128::from(prng.next()) << 64) | i128::from(prng.next());
    let digits = prng.below(38) as u32 + 1;
    (bits % LIMIT) % 10i128.pow(digits)
}
