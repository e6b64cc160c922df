//! `reperform.sql`: a script for DuckDB that recomputes a snapshot from the same inputs.
//!
//! It shares no code and no method with the program. The program walks each key's
//! history from its first undone change; the script *counts*: a key existed at the cut
//! if it exists now, less its undone inserts, plus its undone deletes, and then its row is
//! the earliest undone before image. Only where the ledger contradicts itself or the current
//! state does the earliest undone step decide, as the program's rules have it. A truncate ends every key that the
//! records before it leave standing. What it cannot express in plain SQL (partial images, filters, other formats) it
//! names and leaves out.

mod compare;
mod stream;

use std::fmt::Write;

use self::compare::{Check, columns, compare, discrepancies, inexact, rows};
pub use self::stream::{SqlStream, SqlStreamKind};

/// A column: its name, and its type as DuckDB calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlColumn {
    /// The name.
    pub name: String,
    /// The type.
    pub sql_type: &'static str,
    /// Precision and scale, of decimals.
    pub decimal: Option<(u8, i8)>,
}

impl SqlColumn {
    fn type_text(&self) -> String {
        match self.decimal {
            Some((precision, scale)) => format!("DECIMAL({precision}, {scale})"),
            None => self.sql_type.to_owned(),
        }
    }

    /// The type that a Parquet file with this column has, in DuckDB's spelling.
    fn type_in_parquet(&self) -> String {
        match (self.decimal, self.sql_type) {
            (Some((precision, scale)), _) => format!("DECIMAL({precision},{scale})"),
            (None, "TIMESTAMP_S" | "TIMESTAMP_MS") => "TIMESTAMP".to_owned(),
            (None, "TIMESTAMPTZ") => "TIMESTAMP WITH TIME ZONE".to_owned(),
            (None, own) => own.to_owned(),
        }
    }
}

/// How a file of the inputs is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlSource {
    /// Parquet.
    Parquet,
    /// Delimited text: the delimiter, and the text that stands for null, if there is one.
    Csv(Option<char>, Option<String>),
    /// JSON objects, one per line.
    Json,
}

/// Where the cells of an image are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlImage {
    /// In a column of structs, or (`true`) of JSON objects or their text.
    Struct(String, bool),
    /// In a column per cell, with this before and after its name.
    Pattern(String, String),
}

/// A ledger that plain SQL can express.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlLedger {
    /// A table with columns for op, time and both images.
    Table(Box<SqlTable>),
    /// Some tables of a stream: its number among the script's streams, how its records name the
    /// tables, and how many changes of them the program read.
    Stream(usize, Vec<String>, u64),
}

/// A ledger with columns for op, time and both images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlTable {
    /// Its files.
    pub files: Vec<String>,
    /// How they are read.
    pub source: SqlSource,
    /// The columns of position, commit position and transaction.
    pub order: [Option<String>; 3],
    /// The column of the op.
    pub op: String,
    /// Words of the op column, and what they mean: `insert`, `update` or `delete`.
    pub words: Vec<(String, &'static str)>,
    /// The column of the commit time.
    pub committed_at: String,
    /// Whether a repeated position is the same change again.
    pub positions_identify: bool,
    /// The images before and after.
    pub images: [SqlImage; 2],
}

/// A bound in microseconds since the epoch, and whether it is itself in force.
pub type SqlBound = (i64, bool);

/// One dataset, or why it cannot be expressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlDataset {
    /// The name.
    pub name: String,
    /// The file of the snapshot in the package.
    pub snapshot: String,
    /// The columns.
    pub columns: Vec<SqlColumn>,
    /// Columns of text behind them that the program added to the file.
    pub added: Vec<String>,
    /// Those whose cells the script does not recompute, and why.
    pub left_out: Vec<(String, String)>,
    /// Those in which a null of the ledger may stand for NaN or infinity.
    pub ambiguous: Vec<String>,
    /// Those that identify a row.
    pub key: Vec<String>,
    /// Files of the current state, and how they are read.
    pub current: (Vec<String>, SqlSource),
    /// When the current state was read.
    pub extract: Option<SqlBound>,
    /// If it was truncated: whether the ledger holds it from birth.
    pub truncated: Option<bool>,
    /// The ledger.
    pub ledger: SqlLedger,
}

impl SqlDataset {
    /// The columns whose cells are recomputed.
    fn compared(&self) -> Vec<&SqlColumn> {
        self.columns.iter().filter(|c| self.left_out.iter().all(|(name, _)| *name != c.name)).collect()
    }

    fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    fn is_ambiguous(&self, column: &SqlColumn) -> bool {
        self.ambiguous.contains(&column.name)
    }

    /// What of it is compared with the package.
    fn checks(&self) -> Vec<Check> {
        let mut checks = vec![Check::Columns, Check::Rows];
        checks.extend(self.has_key().then_some(Check::Contradicted));
        if let SqlLedger::Stream(..) = self.ledger {
            checks.extend(self.has_key().then_some(Check::Inexact));
            checks.push(Check::Changes);
        }
        checks
    }
}

/// The script for one package; `streams` are what its datasets share.
pub fn script(
    as_of: &str,
    bound: Option<SqlBound>,
    streams: &[SqlStream],
    datasets: &[(String, Result<SqlDataset, String>)],
) -> String {
    let mut sql = String::new();
    let _ = write!(
        sql,
        "-- Recomputes this snapshot with DuckDB from the same inputs, by another method, and compares.\n\
         -- As of {as_of}.\n\
         -- Run it in the folder that it lies in:  duckdb < reperform.sql\n\
         -- or set these two variables before it: where the package is, and what stands before the paths of inputs.\n\
         SET TimeZone = 'UTC';\n\
         SET VARIABLE package = coalesce(getvariable('package'), '.');\n\
         SET VARIABLE inputs = coalesce(getvariable('inputs'), '');\n\
         CREATE OR REPLACE TEMP TABLE compare (dataset VARCHAR, what VARCHAR, only_here BIGINT, only_in_package BIGINT);\n\
         CREATE OR REPLACE TEMP TABLE checks (dataset VARCHAR, what VARCHAR);\n\
         CREATE OR REPLACE TEMP TABLE not_expressed (dataset VARCHAR, reason VARCHAR);{}",
        stream::MACROS
    );
    if bound.is_some() {
        for (number, stream) in streams.iter().enumerate() {
            sql += &stream::source(stream, &format!("s{number}"));
        }
    }
    for (number, (name, dataset)) in datasets.iter().enumerate() {
        let bound = bound.ok_or("the as-of is no time of whole microseconds".to_owned());
        match (dataset, &bound) {
            (Ok(dataset), Ok(bound)) => {
                for (column, reason) in &dataset.left_out {
                    sql += &not_expressed(&format!("{name}.{column}"), reason);
                }
                sql += &one(dataset, (number, streams), *bound);
            }
            (Err(reason), _) | (_, Err(reason)) => sql += &not_expressed(name, reason),
        }
    }
    sql + "\n-- Every number must be 0: rows that only one side has. One that is missing: a statement above failed.\n\
           SELECT * FROM not_expressed;\nSELECT * FROM checks NATURAL LEFT JOIN compare;\n"
}

fn not_expressed(what: &str, reason: &str) -> String {
    format!(
        "\n-- {}: not expressed here: {}\nINSERT INTO not_expressed VALUES ({}, {});\n",
        line(what),
        line(reason),
        text(what),
        text(reason)
    )
}

fn one(dataset: &SqlDataset, (number, streams): (usize, &[SqlStream]), bound: SqlBound) -> String {
    let p = format!("d{number}");
    let checks = dataset.checks().into_iter();
    let checks: Vec<String> =
        checks.map(|check| format!("({}, {})", text(&dataset.name), text(check.name()))).collect();
    let checks = format!("INSERT INTO checks VALUES {};\n", checks.join(", "));
    let mut sql = format!("\n-- {}\n{checks}", line(&dataset.name));
    sql += &current(dataset, &p);
    // Transactions of a stream are those of all its tables.
    let transactions = match &dataset.ledger {
        SqlLedger::Table(table) => {
            sql += &read(dataset, table, &p);
            sql += &transactions(&p);
            p.clone()
        }
        SqlLedger::Stream(at, tables, read) => {
            let s = format!("s{at}");
            let columns = dataset.compared();
            sql += &stream::numbers(&streams[*at].kind, &columns, &p);
            sql += &stream::read((&streams[*at], &s), tables, &columns, &p);
            sql += &changes(&p, "");
            sql += &counted(dataset, &p, *read);
            s
        }
    };
    sql += &order(dataset, (&p, &transactions), bound);
    if !dataset.has_key() {
        return sql + &multiset(dataset, &p);
    }
    sql += &breaks(&p);
    sql += &snapshot(dataset, &p);
    sql += &discrepancies(dataset, &p);
    if let SqlLedger::Stream(..) = dataset.ledger {
        sql += &inexact(dataset, &p);
    }
    sql
}

/// The current rows, as they stand (`r`) and as far as the ledger can express them (`l`).
fn current(dataset: &SqlDataset, p: &str) -> String {
    let (files, source) = &dataset.current;
    let columns = dataset.compared();
    let cells = columns.iter().map(|c| {
        let cell = match source {
            SqlSource::Json => format!("({} ->> '$')", name(&c.name)),
            SqlSource::Csv(_, None) if c.sql_type == "VARCHAR" => format!("coalesce({}, '')", name(&c.name)),
            _ => name(&c.name),
        };
        format!("{} := CAST({cell} AS {})", name(&c.name), c.type_text())
    });
    let loose = columns.iter().map(|c| format!("{} := {}", name(&c.name), loose(dataset, c, "r.")));
    let loose = match dataset.ambiguous.is_empty() {
        true => "r".to_owned(),
        false => format!("struct_pack({})", loose.collect::<Vec<_>>().join(", ")),
    };
    format!(
        "CREATE OR REPLACE TEMP TABLE {p}_current AS SELECT {key} AS k, r, {loose} AS l FROM (\n  SELECT struct_pack({cells}) AS r FROM {from});\n",
        key = key(dataset, "r"),
        cells = cells.collect::<Vec<_>>().join(", "),
        from = reader(files, source, columns.iter().map(|c| c.name.as_str())),
    )
}

/// A cell, null where the ledger would have to write it as null: NaN and infinity.
fn loose(dataset: &SqlDataset, column: &SqlColumn, of: &str) -> String {
    let cell = format!("{of}{}", name(&column.name));
    match column.sql_type {
        _ if !dataset.is_ambiguous(column) => cell,
        "FLOAT" | "DOUBLE" => format!("CASE WHEN isfinite({cell}) THEN {cell} END"),
        _ => format!("CASE WHEN {cell} NOT IN ('NaN', 'Infinity', '-Infinity') THEN {cell} END"),
    }
}

/// The ledger's records with both images as structs of the table's types.
fn read(dataset: &SqlDataset, ledger: &SqlTable, p: &str) -> String {
    let scalar = |column: &str| match ledger.source {
        SqlSource::Json => format!("({} ->> '$')", name(column)),
        _ => name(column),
    };
    let mut op = format!("CASE lower(trim(CAST({} AS VARCHAR)))", scalar(&ledger.op));
    for (word, meaning) in &ledger.words {
        let _ = write!(op, " WHEN {} THEN '{meaning}'", text(word));
    }
    op += " ELSE error('an op that the script does not know') END";
    let mark = |column: &Option<String>, sql_type: &str| match column {
        Some(column) => format!("CAST({} AS {sql_type})", scalar(column)),
        None => "NULL".to_owned(),
    };
    let [position, commit, transaction] = &ledger.order;
    let [before, after] = &ledger.images;
    let mut columns: Vec<&str> = vec![&ledger.op, &ledger.committed_at];
    columns.extend(ledger.order.iter().flatten().map(String::as_str));
    for image in &ledger.images {
        if let SqlImage::Struct(column, _) = image {
            columns.push(column);
        }
    }
    let cells: Vec<String> = ledger.images.iter().flat_map(|side| pattern_columns(dataset, side)).collect();
    columns.extend(cells.iter().map(String::as_str));
    let again = if ledger.positions_identify {
        "\n  QUALIFY row_number() OVER (PARTITION BY pos ORDER BY n) = 1"
    } else {
        ""
    };
    format!(
        "CREATE OR REPLACE TEMP TABLE {p}_read AS SELECT row_number() OVER () AS n, {op} AS op,\n  \
         {} AS pos, {} AS cpos, {} AS txid,\n  epoch_us(CAST({} AS TIMESTAMPTZ)) AS t,\n  {} AS before,\n  {} AS after\n  \
         FROM {};\n{}",
        mark(position, "HUGEINT"),
        mark(commit, "HUGEINT"),
        mark(transaction, "VARCHAR"),
        scalar(&ledger.committed_at),
        image(dataset, ledger, before),
        image(dataset, ledger, after),
        reader(&ledger.files, &ledger.source, columns.into_iter()),
        changes(p, again),
    )
}

fn changes(p: &str, again: &str) -> String {
    format!(
        "CREATE OR REPLACE TEMP TABLE {p}_changes AS SELECT n, op, pos, cpos, coalesce(txid, '#' || n) AS txid, t,\n  \
         CASE WHEN op = 'insert' THEN NULL ELSE before END AS before,\n  \
         CASE WHEN op = 'delete' THEN NULL ELSE after END AS after\n  FROM {p}_read{again};\n"
    )
}

/// The script must have read as many changes as the program.
fn counted(dataset: &SqlDataset, p: &str, read: u64) -> String {
    format!(
        "INSERT INTO compare SELECT {}, {}, greatest(count(*) - {read}, 0), greatest({read} - count(*), 0) FROM {p}_changes;\n",
        text(&dataset.name),
        text(Check::Changes.name()),
    )
}

fn pattern_columns(dataset: &SqlDataset, image: &SqlImage) -> Vec<String> {
    match image {
        SqlImage::Struct(..) => Vec::new(),
        SqlImage::Pattern(prefix, suffix) => {
            dataset.columns.iter().map(|c| format!("{prefix}{}{suffix}", c.name)).collect()
        }
    }
}

fn image(dataset: &SqlDataset, ledger: &SqlTable, image: &SqlImage) -> String {
    let source = &ledger.source;
    let cell = |column: &SqlColumn| match image {
        SqlImage::Struct(of, true) => {
            format!("(CAST({} AS JSON) ->> {})", name(of), text(&format!("$.\"{}\"", column.name)))
        }
        SqlImage::Struct(of, false) => format!("{}.{}", name(of), name(&column.name)),
        SqlImage::Pattern(prefix, suffix) => {
            let own = name(&format!("{prefix}{}{suffix}", column.name));
            match source {
                SqlSource::Json => format!("({own} ->> '$')"),
                SqlSource::Csv(_, None) if column.sql_type == "VARCHAR" => format!("coalesce({own}, '')"),
                _ => own,
            }
        }
    };
    let cells = dataset
        .columns
        .iter()
        .map(|c| format!("{} := CAST({} AS {})", name(&c.name), cell(c), c.type_text()));
    let packed = format!("struct_pack({})", cells.collect::<Vec<_>>().join(", "));
    match image {
        SqlImage::Struct(of, true) => {
            format!("CASE WHEN json_type(CAST({} AS JSON)) = 'OBJECT' THEN {packed} END", name(of))
        }
        SqlImage::Struct(of, false) => format!("CASE WHEN {} IS NOT NULL THEN {packed} END", name(of)),
        SqlImage::Pattern(..) => packed,
    }
}

/// Transactions in order, the cut between them, and the events of each key.
fn order(dataset: &SqlDataset, (p, of): (&str, &str), bound: SqlBound) -> String {
    let cut = |(micros, inclusive): SqlBound| {
        let sign = if inclusive { "<=" } else { "<" };
        format!(
            "(WITH s AS (SELECT tx, t {sign} {micros} AS inside FROM {of}_transactions), places AS (\n  \
             SELECT 0 AS place, count(*) FILTER (WHERE inside) AS wrong FROM s UNION ALL\n  \
             SELECT tx, count(*) FILTER (WHERE NOT inside) OVER (ORDER BY tx)\n    + count(*) FILTER (WHERE inside) OVER () \
             - count(*) FILTER (WHERE inside) OVER (ORDER BY tx) FROM s)\n  \
             SELECT place FROM places ORDER BY wrong, place LIMIT 1)"
        )
    };
    let end = match dataset.extract {
        Some(extract) => cut(extract),
        None => format!("(SELECT coalesce(max(tx), 0) FROM {of}_transactions)"),
    };
    let (before, after) = (key(dataset, "before"), key(dataset, "after"));
    let mut sql = format!(
        "-- The place with the fewest transactions on the wrong side of the clock, the earliest of equals.\n\
         CREATE OR REPLACE TEMP TABLE {p}_cut AS SELECT {} AS cut, {end} AS upto;\n\
         CREATE OR REPLACE TEMP TABLE {p}_ranked AS SELECT x.tx, row_number() OVER (ORDER BY x.tx, c.pos, c.n) AS rank, c.*\n  \
         FROM {p}_changes c JOIN {of}_transactions x ON c.txid = x.txid AND c.t = x.time;\n",
        cut(bound),
    );
    if dataset.has_key() {
        let _ = write!(
            sql,
            "-- A change of the key is an end under the old key and a beginning under the new one.\n\
         CREATE OR REPLACE TEMP TABLE {p}_events AS SELECT * FROM (\n  \
         SELECT {before} AS k, tx, rank, 0 AS begins, CASE WHEN {after} IS NOT DISTINCT FROM {before} THEN 0 ELSE 1 END AS ends,\n    \
         false AS refills, before, CASE WHEN {after} IS NOT DISTINCT FROM {before} THEN after END AS after FROM {p}_ranked WHERE before IS NOT NULL\n  \
         UNION ALL SELECT {after}, tx, rank, 1, 0, false, NULL, after FROM {p}_ranked\n    \
         WHERE after IS NOT NULL AND (before IS NULL OR {after} IS DISTINCT FROM {before}))\n  \
         WHERE tx <= (SELECT upto FROM {p}_cut);\n"
        );
        sql += &truncates(dataset, p);
    }
    sql
}

/// A truncate is an end of every key that the records before it leave standing; what ends is what they left.
fn truncates(dataset: &SqlDataset, p: &str) -> String {
    if dataset.truncated.is_none() {
        return String::new();
    }
    format!(
        "CREATE OR REPLACE TEMP TABLE {p}_truncates AS SELECT tx, rank, lag(rank, 1, 0) OVER (ORDER BY rank) AS since FROM {p}_ranked\n  \
         WHERE op = 'truncate' AND tx <= (SELECT upto FROM {p}_cut);\n\
         INSERT INTO {p}_events SELECT k, tx, rank, 0, 1, true, after, NULL FROM (\n  \
         SELECT e.k, t.tx, t.rank, e.after, e.ends FROM {p}_events e JOIN {p}_truncates t ON e.rank > t.since AND e.rank < t.rank\n    \
         QUALIFY row_number() OVER (PARTITION BY e.k, t.rank ORDER BY e.rank DESC) = 1) WHERE ends = 0;\n"
    )
}

/// Transactions in order; their changes are those of `{p}_changes`.
fn transactions(p: &str) -> String {
    format!(
        "CREATE OR REPLACE TEMP TABLE {p}_transactions AS SELECT row_number() OVER (ORDER BY sorts_by, last_n) AS tx, * FROM (\n  \
         SELECT txid, t AS time, coalesce(max(cpos), max(pos), max(n)) AS sorts_by, max(n) AS last_n, t FROM {p}_changes GROUP BY txid, t);\n"
    )
}

/// Existence by counting, rows by the earliest undone before image; then compared.
fn snapshot(dataset: &SqlDataset, p: &str) -> String {
    let cells = dataset.compared().into_iter().map(|c| format!("r.{} AS {}", name(&c.name), name(&c.name)));
    format!(
        "-- A life that the ledger had not ended when it began the key anew is restored as it was last known.\n\
         CREATE OR REPLACE TEMP TABLE {p}_restored AS SELECT k, was AS r FROM {p}_breaks, {p}_cut\n  \
         WHERE code = 'insert-over-existing' AND tx > cut AND earlier_tx <= cut;\n\
         -- Of a key that is contradicted nothing can be counted: its earliest undone step says whether it stood.\n\
         CREATE OR REPLACE TEMP TABLE {p}_undone AS SELECT u.k, e.before AS r, e.refills AS refilled, CASE\n    \
         WHEN u.k IN (SELECT k FROM {p}_restored) THEN false WHEN u.k IN (SELECT k FROM {p}_breaks) THEN first_begins = 0\n    \
         ELSE CASE WHEN c.k IS NULL THEN 0 ELSE 1 END - begun + ended > 0 END AS stood FROM (\n  \
         SELECT k, sum(begins) AS begun, sum(ends) AS ended, arg_min(begins, place) AS first_begins,\n    \
         min(rank) FILTER (WHERE before IS NOT NULL) AS earliest\n  \
         FROM {p}_steps WHERE tx > (SELECT cut FROM {p}_cut) GROUP BY k) u LEFT JOIN {p}_current c ON c.k = u.k\n  \
         LEFT JOIN {p}_steps e ON e.k = u.k AND e.rank = u.earliest AND e.before IS NOT NULL;\n\
         CREATE OR REPLACE TEMP TABLE {p}_snapshot AS SELECT {cells} FROM (\n  \
         SELECT c.r FROM {p}_current c ANTI JOIN {p}_undone u ON c.k = u.k UNION ALL\n  \
         SELECT r FROM {p}_undone WHERE stood UNION ALL SELECT r FROM {p}_restored);\n{doubtful}{package}",
        cells = cells.collect::<Vec<_>>().join(", "),
        doubtful = doubtful(dataset, p),
        package = package(dataset, p),
    ) + &columns(dataset, p)
        + &rows(dataset, p)
}

/// Rows as often as they stand, less those that came, plus those that went.
fn multiset(dataset: &SqlDataset, p: &str) -> String {
    let cells = |of: &str, loosely: bool| {
        let cell = |c: &&SqlColumn| {
            let value = if loosely { loose(dataset, c, of) } else { format!("{of}{}", name(&c.name)) };
            let value = match c.sql_type {
                "FLOAT" | "DOUBLE" => format!("CAST({value} AS BIT)"),
                _ => value,
            };
            format!("{value} AS {}", name(&c.name))
        };
        dataset.compared().iter().map(cell).collect::<Vec<_>>().join(", ")
    };
    let undone =
        format!("FROM {p}_ranked WHERE tx > (SELECT cut FROM {p}_cut) AND tx <= (SELECT upto FROM {p}_cut)");
    let here = format!(
        "SELECT {}, sum(times) AS times FROM (\n  SELECT l AS r, 1 AS times FROM {p}_current\n  \
         UNION ALL SELECT after, -1 {undone} AND after IS NOT NULL\n  \
         UNION ALL SELECT before, 1 {undone} AND before IS NOT NULL) GROUP BY ALL HAVING sum(times) > 0",
        cells("r.", false)
    );
    let there = format!("SELECT {}, count(*) AS times FROM {p}_package GROUP BY ALL", cells("", true));
    package(dataset, p) + &columns(dataset, p) + &compare(&dataset.name, Check::Rows, [&here, &there], "")
}

fn package(dataset: &SqlDataset, p: &str) -> String {
    let file = text(&dataset.snapshot);
    format!(
        "CREATE OR REPLACE TEMP TABLE {p}_package AS SELECT * FROM read_parquet(getvariable('package') || '/' || {file});\n"
    )
}

/// Cells whose earliest undone before image is a null that may stand for something else.
fn doubtful(dataset: &SqlDataset, p: &str) -> String {
    let none = format!("SELECT k, '' AS \"column\" FROM {p}_undone WHERE false");
    let cells = dataset.ambiguous.iter().map(|column| {
        format!(
            "\n  UNION ALL SELECT k, {} FROM {p}_undone WHERE stood AND r.{} IS NULL",
            text(column),
            name(column)
        )
    });
    format!("CREATE OR REPLACE TEMP TABLE {p}_doubtful AS {none}{};\n", cells.collect::<String>())
}

/// Events at which the ledger contradicts itself or the current state.
fn breaks(p: &str) -> String {
    format!(
        "-- Inside a transaction a key's end comes first where a row stood before it and the record begins with another.\n\
         CREATE OR REPLACE TEMP TABLE {p}_steps AS WITH counted AS (\n  \
         SELECT e.*, CASE WHEN c.k IS NULL THEN 0 ELSE 1 END - sum(begins - ends) OVER (PARTITION BY e.k ORDER BY tx DESC) AS stood,\n    \
         first_value(begins) OVER (PARTITION BY e.k, tx ORDER BY rank) AS begins_first\n  \
         FROM {p}_events e LEFT JOIN {p}_current c ON c.k = e.k)\n  \
         SELECT *, row_number() OVER w AS place, lag(ends) OVER w AS was_ended, lag(after) OVER w AS was, lag(tx) OVER w AS earlier_tx,\n    \
         lead(rank) OVER w AS later FROM counted WINDOW w AS (PARTITION BY k\n    \
         ORDER BY tx, CASE WHEN stood > 0 AND begins_first = 1 THEN 1 - ends ELSE 0 END, rank);\n\
         CREATE OR REPLACE TEMP TABLE {p}_breaks AS\n  \
         SELECT k, 'insert-over-existing' AS code, tx, earlier_tx, was FROM {p}_steps WHERE begins = 1 AND was_ended = 0\n  \
         UNION ALL SELECT k, 'change-of-absent', tx, earlier_tx, was FROM {p}_steps WHERE begins = 0 AND was_ended = 1\n  \
         UNION ALL SELECT k, 'chain-break', tx, earlier_tx, was FROM {p}_steps WHERE begins = 0 AND was_ended = 0 AND was IS DISTINCT FROM before\n  \
         UNION ALL SELECT e.k, 'against-current', tx, earlier_tx, was FROM {p}_steps e LEFT JOIN {p}_current c ON c.k = e.k\n    \
         WHERE later IS NULL AND (CASE WHEN ends = 1 THEN NULL ELSE after END) IS DISTINCT FROM c.l;\n"
    )
}

/// A key as the package's tables name it.
fn key_text(dataset: &SqlDataset, of: &str) -> String {
    let part =
        |k: &String| format!("{} || '=' || coalesce(CAST({of}.{} AS VARCHAR), 'null')", text(k), name(k));
    dataset.key.iter().map(part).collect::<Vec<_>>().join(" || ', ' || ")
}

fn key(dataset: &SqlDataset, of: &str) -> String {
    let parts = dataset.key.iter().map(|k| format!("{} := {of}.{}", name(k), name(k)));
    format!("struct_pack({})", parts.collect::<Vec<_>>().join(", "))
}

fn reader<'a>(files: &[String], source: &SqlSource, columns: impl Iterator<Item = &'a str>) -> String {
    let files: Vec<String> =
        files.iter().map(|file| format!("getvariable('inputs') || {}", text(file))).collect();
    let files = format!("[{}]", files.join(", "));
    match source {
        SqlSource::Parquet => format!("read_parquet({files})"),
        SqlSource::Csv(delimiter, null) => {
            let delimiter =
                delimiter.map(|d| format!(", delim = {}", text(&d.to_string()))).unwrap_or_default();
            let null = text(null.as_deref().unwrap_or_default());
            format!(
                "read_csv({files}, all_varchar = true, header = true, nullstr = {null}, allow_quoted_nulls = false{delimiter})"
            )
        }
        SqlSource::Json => {
            let mut columns: Vec<&str> = columns.collect();
            columns.sort_unstable();
            columns.dedup();
            let columns = columns
                .iter()
                .map(|c| format!("json_extract(j, {}) AS {}", text(&format!("$.\"{c}\"")), name(c)));
            let columns = columns.collect::<Vec<_>>().join(", ");
            format!(
                "(SELECT {columns} FROM (\n    SELECT quoted(json) AS j FROM read_json_objects({files}, format = 'newline_delimited')))"
            )
        }
    }
}

fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A text that ends no comment.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
