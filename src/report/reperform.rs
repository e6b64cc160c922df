//! `reperform.sql`: a script for DuckDB that recomputes a snapshot from the same inputs.
//!
//! It shares no code and no method with the program. The program walks each key's
//! history from its first undone change; the script *counts*: a key existed at the cut
//! if it exists now, less its undone inserts, plus its undone deletes, and then its row is
//! the earliest undone before image. What it cannot express in plain SQL (partial images,
//! truncates, filters, formats that are no tables) it names and leaves out.

use std::fmt::Write;

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
pub struct SqlLedger {
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
    /// Those that identify a row.
    pub key: Vec<String>,
    /// Files of the current state, and how they are read.
    pub current: (Vec<String>, SqlSource),
    /// When the current state was read.
    pub extract: Option<SqlBound>,
    /// The ledger.
    pub ledger: SqlLedger,
}

/// The script for one package.
pub fn script(
    as_of: &str,
    bound: Option<SqlBound>,
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
         CREATE OR REPLACE TEMP TABLE not_expressed (dataset VARCHAR, reason VARCHAR);\n"
    );
    for (number, (name, dataset)) in datasets.iter().enumerate() {
        let bound = bound.ok_or("the as-of is no time of whole microseconds".to_owned());
        match (dataset, &bound) {
            (Ok(dataset), Ok(bound)) => sql += &one(dataset, number, *bound),
            (Err(reason), _) | (_, Err(reason)) => {
                let _ = write!(
                    sql,
                    "\n-- {}: not expressed here: {}\nINSERT INTO not_expressed VALUES ({}, {});\n",
                    line(name),
                    line(reason),
                    text(name),
                    text(reason)
                );
            }
        }
    }
    sql + "\n-- Every number must be 0: rows that only one side has. One that is missing: a statement above failed.\n\
           SELECT * FROM not_expressed;\nSELECT * FROM checks NATURAL LEFT JOIN compare;\n"
}

fn one(dataset: &SqlDataset, number: usize, bound: SqlBound) -> String {
    let p = format!("d{number}");
    let checks = Check::ALL.map(|check| format!("({}, {})", text(&dataset.name), text(check.name())));
    let checks = format!("INSERT INTO checks VALUES {};\n", checks.join(", "));
    let mut sql = format!("\n-- {}\n{checks}", line(&dataset.name));
    sql += &current(dataset, &p);
    sql += &changes(dataset, &p);
    sql += &order(dataset, &p, bound);
    sql += &snapshot(dataset, &p);
    sql += &discrepancies(dataset, &p);
    sql
}

fn current(dataset: &SqlDataset, p: &str) -> String {
    let (files, source) = &dataset.current;
    let cells = dataset.columns.iter().map(|c| {
        let cell = match source {
            SqlSource::Json => format!("({} ->> '$')", name(&c.name)),
            SqlSource::Csv(_, None) if c.sql_type == "VARCHAR" => format!("coalesce({}, '')", name(&c.name)),
            _ => name(&c.name),
        };
        format!("{} := CAST({cell} AS {})", name(&c.name), c.type_text())
    });
    format!(
        "CREATE OR REPLACE TEMP TABLE {p}_current AS SELECT {key} AS k, r FROM (\n  SELECT struct_pack({cells}) AS r FROM {from});\n",
        key = key(dataset, "r"),
        cells = cells.collect::<Vec<_>>().join(", "),
        from = reader(files, source, dataset.columns.iter().map(|c| c.name.as_str())),
    )
}

/// The ledger's records with both images as structs of the table's types.
fn changes(dataset: &SqlDataset, p: &str) -> String {
    let ledger = &dataset.ledger;
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
    let cells: Vec<String> = ledger.images.iter().flat_map(|image| pattern_columns(dataset, image)).collect();
    columns.extend(cells.iter().map(String::as_str));
    let again = if ledger.positions_identify {
        "\n  QUALIFY row_number() OVER (PARTITION BY pos ORDER BY n) = 1"
    } else {
        ""
    };
    format!(
        "CREATE OR REPLACE TEMP TABLE {p}_read AS SELECT row_number() OVER () AS n, {op} AS op,\n  \
         {} AS pos, {} AS cpos, {} AS txid,\n  epoch_us(CAST({} AS TIMESTAMPTZ)) AS t,\n  {} AS before,\n  {} AS after\n  \
         FROM {};\n\
         CREATE OR REPLACE TEMP TABLE {p}_changes AS SELECT n, op, pos, cpos, coalesce(txid, '#' || n) AS txid, t,\n  \
         CASE WHEN op = 'insert' THEN NULL ELSE before END AS before,\n  \
         CASE WHEN op = 'delete' THEN NULL ELSE after END AS after\n  FROM {p}_read{again};\n",
        mark(position, "HUGEINT"),
        mark(commit, "HUGEINT"),
        mark(transaction, "VARCHAR"),
        scalar(&ledger.committed_at),
        image(dataset, before),
        image(dataset, after),
        reader(&ledger.files, &ledger.source, columns.into_iter()),
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

fn image(dataset: &SqlDataset, image: &SqlImage) -> String {
    let source = &dataset.ledger.source;
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
fn order(dataset: &SqlDataset, p: &str, bound: SqlBound) -> String {
    let cut = |(micros, inclusive): SqlBound| {
        let sign = if inclusive { "<=" } else { "<" };
        format!(
            "(WITH s AS (SELECT tx, t {sign} {micros} AS inside FROM {p}_transactions), places AS (\n  \
             SELECT 0 AS place, count(*) FILTER (WHERE inside) AS wrong FROM s UNION ALL\n  \
             SELECT tx, count(*) FILTER (WHERE NOT inside) OVER (ORDER BY tx)\n    + count(*) FILTER (WHERE inside) OVER () \
             - count(*) FILTER (WHERE inside) OVER (ORDER BY tx) FROM s)\n  \
             SELECT place FROM places ORDER BY wrong, place LIMIT 1)"
        )
    };
    let end = match dataset.extract {
        Some(extract) => cut(extract),
        None => format!("(SELECT coalesce(max(tx), 0) FROM {p}_transactions)"),
    };
    let (before, after) = (key(dataset, "before"), key(dataset, "after"));
    format!(
        "CREATE OR REPLACE TEMP TABLE {p}_transactions AS SELECT row_number() OVER (ORDER BY sorts_by, last_n) AS tx, * FROM (\n  \
         SELECT txid, t AS time, coalesce(max(cpos), max(pos), max(n)) AS sorts_by, max(n) AS last_n, t FROM {p}_changes GROUP BY txid, t);\n\
         -- The place with the fewest transactions on the wrong side of the clock, the earliest of equals.\n\
         CREATE OR REPLACE TEMP TABLE {p}_cut AS SELECT {} AS cut, {end} AS upto;\n\
         CREATE OR REPLACE TEMP TABLE {p}_ranked AS SELECT x.tx, row_number() OVER (ORDER BY x.tx, c.pos, c.n) AS rank, c.*\n  \
         FROM {p}_changes c JOIN {p}_transactions x ON c.txid = x.txid AND c.t = x.time;\n\
         -- A change of the key is an end under the old key and a beginning under the new one.\n\
         CREATE OR REPLACE TEMP TABLE {p}_events AS SELECT * FROM (\n  \
         SELECT {before} AS k, tx, rank, 0 AS begins, CASE WHEN {after} IS NOT DISTINCT FROM {before} THEN 0 ELSE 1 END AS ends,\n    \
         before, CASE WHEN {after} IS NOT DISTINCT FROM {before} THEN after END AS after FROM {p}_ranked WHERE before IS NOT NULL\n  \
         UNION ALL SELECT {after}, tx, rank, 1, 0, NULL, after FROM {p}_ranked\n    \
         WHERE after IS NOT NULL AND (before IS NULL OR {after} IS DISTINCT FROM {before}))\n  \
         WHERE tx <= (SELECT upto FROM {p}_cut);\n",
        cut(bound),
    )
}

/// Existence by counting, rows by the earliest undone before image; then compared.
fn snapshot(dataset: &SqlDataset, p: &str) -> String {
    let cells = dataset.columns.iter().map(|c| format!("r.{} AS {}", name(&c.name), name(&c.name)));
    format!(
        "CREATE OR REPLACE TEMP TABLE {p}_undone AS SELECT k, sum(begins) AS begun, sum(ends) AS ended,\n  \
         arg_min(before, rank) FILTER (WHERE before IS NOT NULL) AS r\n  \
         FROM {p}_events WHERE tx > (SELECT cut FROM {p}_cut) GROUP BY k;\n\
         CREATE OR REPLACE TEMP TABLE {p}_snapshot AS SELECT {cells} FROM (\n  \
         SELECT c.r FROM {p}_current c ANTI JOIN {p}_undone u ON c.k = u.k UNION ALL\n  \
         SELECT u.r FROM {p}_undone u LEFT JOIN {p}_current c ON c.k = u.k\n    \
         WHERE CASE WHEN c.k IS NULL THEN 0 ELSE 1 END - begun + ended > 0);\n\
         CREATE OR REPLACE TEMP TABLE {p}_package AS SELECT * FROM read_parquet(getvariable('package') || '/' || {file});\n",
        cells = cells.collect::<Vec<_>>().join(", "),
        file = text(&dataset.snapshot),
    ) + &columns(dataset, p)
        + &rows(dataset, p)
}

/// The package's columns must be these, in this order and of these types: nothing of it is cast.
fn columns(dataset: &SqlDataset, p: &str) -> String {
    let own = dataset.columns.iter().map(|c| (c.name.as_str(), c.type_in_parquet()));
    let added = dataset.added.iter().map(|c| (c.as_str(), "VARCHAR".to_owned()));
    let expected = own.chain(added).enumerate();
    let expected = expected.map(|(n, (c, t))| format!("({}, {}, {})", n + 1, text(c), text(&t)));
    format!(
        "CREATE OR REPLACE TEMP TABLE {p}_columns AS FROM (VALUES {}) AS c (place, name, type);\n\
         CREATE OR REPLACE TEMP TABLE {p}_package_columns AS\n  \
         SELECT CAST(row_number() OVER () AS INTEGER) AS place, column_name AS name, column_type AS type FROM (DESCRIBE {p}_package);\n{}",
        expected.collect::<Vec<_>>().join(", "),
        compare(
            &dataset.name,
            Check::Columns,
            [&format!("FROM {p}_columns"), &format!("FROM {p}_package_columns")],
            " ALL"
        ),
    )
}

/// Rows with all of their bits: `-0.0` is not `0.0`.
fn rows(dataset: &SqlDataset, p: &str) -> String {
    let cell = |c: &SqlColumn| match c.sql_type {
        "FLOAT" | "DOUBLE" => format!("CAST({0} AS BIT) AS {0}", name(&c.name)),
        _ => name(&c.name),
    };
    let cells = dataset.columns.iter().map(cell).collect::<Vec<_>>().join(", ");
    // A column that the package lacks is null there, and already found to be missing.
    let package = format!(
        "SELECT {cells} FROM (FROM {p}_package UNION ALL BY NAME SELECT * FROM (FROM {p}_snapshot LIMIT 0))"
    );
    compare(&dataset.name, Check::Rows, [&format!("SELECT {cells} FROM {p}_snapshot"), &package], " ALL")
}

/// What is compared.
#[derive(Debug, Clone, Copy)]
enum Check {
    Columns,
    Rows,
    Contradicted,
}

impl Check {
    const ALL: [Self; 3] = [Self::Columns, Self::Rows, Self::Contradicted];

    fn name(self) -> &'static str {
        match self {
            Self::Columns => "columns of the snapshot",
            Self::Rows => "rows of the snapshot",
            Self::Contradicted => "keys that are contradicted",
        }
    }
}

/// How many rows each of two queries has that the other has not.
fn compare(dataset: &str, check: Check, [here, package]: [&str; 2], all: &str) -> String {
    format!(
        "INSERT INTO compare SELECT {}, {},\n  \
         (SELECT count(*) FROM (({here}) EXCEPT{all} ({package}))),\n  \
         (SELECT count(*) FROM (({package}) EXCEPT{all} ({here})));\n",
        text(dataset),
        text(check.name()),
    )
}

/// Keys on which the ledger contradicts itself or the current state.
fn discrepancies(dataset: &SqlDataset, p: &str) -> String {
    let parts = dataset
        .key
        .iter()
        .map(|k| format!("{} || '=' || coalesce(CAST(k.{} AS VARCHAR), 'null')", text(k), name(k)));
    let key_text = parts.collect::<Vec<_>>().join(" || ', ' || ");
    format!(
        "-- Inside a transaction a key's end comes first where a row stood before it and the record begins with another.\n\
         CREATE OR REPLACE TEMP TABLE {p}_breaks AS WITH counted AS (\n  \
         SELECT e.*, CASE WHEN c.k IS NULL THEN 0 ELSE 1 END - sum(begins - ends) OVER (PARTITION BY e.k ORDER BY tx DESC) AS stood,\n    \
         first_value(begins) OVER (PARTITION BY e.k, tx ORDER BY rank) AS begins_first\n  \
         FROM {p}_events e LEFT JOIN {p}_current c ON c.k = e.k), e AS (\n  \
         SELECT *, lag(rank) OVER w AS earlier, lag(ends) OVER w AS was_ended, lag(after) OVER w AS was,\n    \
         lead(rank) OVER w AS later FROM counted WINDOW w AS (PARTITION BY k\n    \
         ORDER BY tx, CASE WHEN stood > 0 AND begins_first = 1 THEN 1 - ends ELSE 0 END, rank))\n  \
         SELECT k, 'insert-over-existing' AS code FROM e WHERE begins = 1 AND earlier IS NOT NULL AND was_ended = 0\n  \
         UNION ALL SELECT k, 'change-of-absent' FROM e WHERE begins = 0 AND was_ended = 1\n  \
         UNION ALL SELECT k, 'chain-break' FROM e WHERE begins = 0 AND was_ended = 0 AND was IS DISTINCT FROM before\n  \
         UNION ALL SELECT e.k, 'against-current' FROM e LEFT JOIN {p}_current c ON c.k = e.k\n    \
         WHERE later IS NULL AND (CASE WHEN ends = 1 THEN NULL ELSE after END) IS DISTINCT FROM c.r;\n\
         CREATE OR REPLACE TEMP TABLE {p}_found AS SELECT DISTINCT {key_text} AS key FROM {p}_breaks;\n\
         CREATE OR REPLACE TEMP TABLE {p}_listed AS SELECT DISTINCT key FROM read_parquet(getvariable('package') || '/discrepancies.parquet')\n  \
         WHERE dataset = {dataset} AND key IS NOT NULL AND code IN ('current-differs', 'current-missing', 'current-unexpected', 'chain-break',\n    \
         'insert-over-existing', 'update-of-absent', 'delete-of-absent');\n{compared}",
        dataset = text(&dataset.name),
        compared = compare(
            &dataset.name,
            Check::Contradicted,
            [&format!("FROM {p}_found"), &format!("FROM {p}_listed")],
            ""
        ),
    )
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
            let columns: Vec<String> = columns.iter().map(|c| format!("{}: 'JSON'", name(c))).collect();
            format!("read_json({files}, format = 'newline_delimited', columns = {{{}}})", columns.join(", "))
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
