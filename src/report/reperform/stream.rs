//! Change streams as JSON in DuckDB's SQL: Debezium and wal2json to one table of changes.
//!
//! Every record becomes rows of `(n, op, tab, txid, t, before, after)`, both images as maps
//! from column to text; a column that an image does not state is no key of its map. Numbers
//! are put in quotes before the JSON is read, because DuckDB keeps them as floats.

use std::fmt::Write;

use super::{SqlColumn, name, text};

/// A change stream that plain SQL can express.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlStream {
    /// Its files: one JSON object per line.
    pub files: Vec<String>,
    /// What the objects are.
    pub kind: SqlStreamKind,
    /// The tables of all datasets that share it, as its records name them.
    pub tables: Vec<String>,
}

/// What the records of a stream are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlStreamKind {
    /// wal2json, format version 1 or 2.
    Wal2Json,
    /// Debezium, bare, with schema, or as topic, key and value.
    Debezium {
        /// How decimals are written, if not as each record's schema says: as base64, or as plain text.
        decimals: Option<bool>,
        /// Whether bytes are written as hexadecimal digits, not as base64.
        hex: bool,
        /// Microseconds per unit of timestamps without zone, if declared.
        tick: Option<i64>,
        /// The text that stands for a value that did not change.
        placeholder: String,
        /// The tables in which a record that repeats a position, op and images is the same one again.
        once: Vec<String>,
    },
}

/// What the cells of all streams need, once per script.
pub(super) const MACROS: &str = r#"
-- JSON with its numbers in quotes: DuckDB would keep them as floats.
CREATE OR REPLACE TEMP MACRO quoted(j) AS CAST(replace(replace(regexp_replace(CAST(j AS VARCHAR),
  '("(?:[^"\\]|\\.)*")|(-?[0-9][0-9.eE+-]*)', '\1' || chr(1) || '\2' || chr(1), 'g'), chr(1) || chr(1), ''), chr(1), '"') AS JSON);
-- The big-endian two's complement in some base64.
CREATE OR REPLACE TEMP MACRO unscaled(x) AS CAST('0x' || hex(from_base64(x)) AS HUGEINT)
  - CASE WHEN hex(from_base64(x))[1] >= '8' THEN CAST(1 AS HUGEINT) << (8 * octet_length(from_base64(x))) ELSE 0 END;
CREATE OR REPLACE TEMP MACRO digits(x, scale) AS lpad(CAST(abs(unscaled(x)) AS VARCHAR),
  CAST(greatest(scale + 1, length(CAST(abs(unscaled(x)) AS VARCHAR))) AS INTEGER), '0');
CREATE OR REPLACE TEMP MACRO decimal_text(x, scale) AS CASE WHEN unscaled(x) < 0 THEN '-' ELSE '' END
  || left(digits(x, scale), length(digits(x, scale)) - scale) || '.' || right(digits(x, scale), scale);
-- The items of an array as PostgreSQL writes it.
CREATE OR REPLACE TEMP MACRO array_items(x) AS list_transform(regexp_extract_all(x[2:-2], '"(?:[^"\\]|\\.)*"|[^,]+'),
  lambda e: CASE WHEN e[1] = '"' THEN regexp_replace(e[2:-2], '\\(.)', '\1', 'gs') WHEN upper(e) = 'NULL' THEN NULL ELSE e END);
"#;

/// The tables `{s}_changes` and `{s}_transactions` of a stream.
pub(super) fn source(stream: &SqlStream, s: &str) -> String {
    let files: Vec<String> =
        stream.files.iter().map(|file| format!("getvariable('inputs') || {}", text(file))).collect();
    let tables: Vec<String> = stream.tables.iter().map(|table| text(table)).collect();
    let (changes, tables) = match &stream.kind {
        SqlStreamKind::Wal2Json => (WAL2JSON.to_owned(), tables.join(", ")),
        SqlStreamKind::Debezium { once, .. } => {
            (format!("{DEBEZIUM}{};\n", dropped(once)), tables.join(", "))
        }
    };
    let mut sql = format!(
        "\n-- A change stream: one row per change, in the order of the files.\n\
         CREATE OR REPLACE TEMP TABLE {s}_lines AS SELECT row_number() OVER () AS line, quoted(json) AS j\n  \
         FROM read_json_objects([{}], format = 'newline_delimited');\n",
        files.join(", ")
    );
    if let SqlStreamKind::Debezium { .. } = stream.kind {
        sql += &DEBEZIUM_WAYS.replace("{s}", s);
    }
    sql += &changes.replace("{s}", s).replace("{tables}", &tables);
    sql + &super::transactions(s).replace("max(cpos), max(pos), ", "")
}

/// Leaves the first of records that are delivered again in these tables. Initial reads share positions.
fn dropped(once: &[String]) -> String {
    if once.is_empty() {
        return String::new();
    }
    let tables: Vec<String> = once.iter().map(|table| text(table)).collect();
    format!(
        "\n  QUALIFY is_read OR mark IS NULL OR tab NOT IN ({})\n    \
         OR row_number() OVER (PARTITION BY tab, mark, kind, CAST(old AS VARCHAR), CAST(new AS VARCHAR) ORDER BY line) = 1",
        tables.join(", ")
    )
}

/// How the schemas of records say that values are written.
const DEBEZIUM_WAYS: &str = "\
-- How the records' schemas, if they have any, say that decimals and times are written.
SET VARIABLE {s}_base64 = (SELECT count(*) > 0 FROM {s}_lines WHERE contains(CAST(j AS VARCHAR), 'kafka.connect.data.Decimal'));
SET VARIABLE {s}_tick = (SELECT CASE WHEN count(*) FILTER (WHERE contains(x, '.Timestamp\"')) = 0 THEN NULL
  WHEN count(*) FILTER (WHERE contains(x, '.MicroTimestamp\"') OR contains(x, '.NanoTimestamp\"')) > 0
  THEN error('times are written in more than one unit') ELSE 1000 END FROM (SELECT CAST(j AS VARCHAR) AS x FROM {s}_lines));
";

const WAL2JSON: &str = "\
CREATE OR REPLACE TEMP TABLE {s}_changes AS WITH parts AS (
  SELECT line, i, 'line ' || line AS mark, j ->> '$.timestamp' AS stamp, c, c ->> '$.kind' AS kind FROM (
    SELECT line, j, unnest(json_extract(j, '$.change[*]')) AS c, generate_subscripts(json_extract(j, '$.change[*]'), 1) AS i
    FROM {s}_lines WHERE json_type(j, '$.change') = 'ARRAY')
  UNION ALL SELECT line, 0, concat_ws(' ', j ->> '$.xid', j ->> '$.timestamp'), j ->> '$.timestamp', j, j ->> '$.action'
  FROM {s}_lines WHERE json_type(j, '$.action') = 'VARCHAR'), runs AS (
  SELECT *, kind = 'B' OR mark IS DISTINCT FROM lag(mark) OVER (ORDER BY line, i) AS begins FROM parts
  WHERE kind NOT IN ('M', 'message')), placed AS (
  SELECT *, count(*) FILTER (WHERE begins) OVER (ORDER BY line, i) AS run FROM runs)
  SELECT row_number() OVER (ORDER BY line, i) AS n, CASE kind WHEN 'I' THEN 'insert' WHEN 'U' THEN 'update' WHEN 'D' THEN 'delete'
      WHEN 'T' THEN 'truncate' ELSE kind END AS op,
    concat_ws('.', nullif(c ->> '$.schema', ''), c ->> '$.table') AS tab, CAST(run AS VARCHAR) AS txid,
    epoch_us(CAST(stamp AS TIMESTAMPTZ)) AS t,
    CASE WHEN json_type(c, '$.identity') = 'ARRAY' THEN map_from_entries(list_transform(json_extract(c, '$.identity[*]'),
        lambda e: {'k': e ->> '$.name', 'v': e ->> '$.value'}))
      WHEN json_type(c, '$.oldkeys') = 'OBJECT' THEN map(json_extract_string(c, '$.oldkeys.keynames[*]'),
        json_extract_string(c, '$.oldkeys.keyvalues[*]')) END AS before,
    CASE WHEN json_type(c, '$.columns') = 'ARRAY' THEN map_from_entries(list_transform(json_extract(c, '$.columns[*]'),
        lambda e: {'k': e ->> '$.name', 'v': e ->> '$.value'}))
      WHEN json_type(c, '$.columnnames') = 'ARRAY' THEN map(json_extract_string(c, '$.columnnames[*]'),
        json_extract_string(c, '$.columnvalues[*]')) END AS after
  FROM placed WHERE kind NOT IN ('B', 'C') AND tab IN ({tables});
";

/// An initial read is an update that changes nothing: what it says holds before and after.
const DEBEZIUM: &str = "\
CREATE OR REPLACE TEMP TABLE {s}_changes AS WITH events AS (
  SELECT line, CASE WHEN json_exists(j, '$.op') THEN j WHEN json_type(j, '$.payload') = 'OBJECT' THEN j -> '$.payload'
    WHEN json_type(j, '$.value.payload') = 'OBJECT' THEN j -> '$.value.payload' ELSE j -> '$.value' END AS v FROM {s}_lines), parts AS (
  SELECT line, v ->> '$.op' AS kind, v -> '$.source' AS s, v ->> '$.transaction.id' AS block,
    CASE WHEN (v ->> '$.source.sequence') NOT LIKE '[null%' THEN concat_ws(' ', v ->> '$.source.sequence', v ->> '$.source.lsn') END AS mark,
    CASE WHEN json_type(v, '$.before') = 'OBJECT' THEN CAST(v -> '$.before' AS MAP(VARCHAR, VARCHAR)) END AS old,
    CASE WHEN json_type(v, '$.after') = 'OBJECT' THEN CAST(v -> '$.after' AS MAP(VARCHAR, VARCHAR)) END AS new
  FROM events WHERE (v ->> '$.op') IN ('c', 'r', 'u', 'd', 't')), placed AS (
  SELECT *, kind = 'r' OR kind = 'c' AND coalesce(s ->> '$.snapshot', 'false') <> 'false' AS is_read FROM parts)
  SELECT row_number() OVER (ORDER BY line) AS n,
    CASE WHEN is_read THEN 'update' ELSE CASE kind WHEN 'c' THEN 'insert' WHEN 'u' THEN 'update' WHEN 'd' THEN 'delete' ELSE 'truncate' END END AS op,
    concat_ws('.', nullif(s ->> '$.db', ''), nullif(s ->> '$.schema', ''), s ->> '$.table') AS tab,
    coalesce(s ->> '$.txId', split_part(block, ':', 1)) AS txid,
    coalesce(CAST(s ->> '$.ts_ns' AS BIGINT) // 1000, CAST(s ->> '$.ts_us' AS BIGINT), CAST(s ->> '$.ts_ms' AS BIGINT) * 1000) AS t,
    CASE WHEN is_read THEN new ELSE old END AS before, new AS after
  FROM placed WHERE tab IN ({tables})";

/// The ledger's records of one dataset, with both images as structs of the table's types.
pub(super) fn read(stream: (&SqlStream, &str), tables: &[String], columns: &[&SqlColumn], p: &str) -> String {
    let (kind, s) = (&stream.0.kind, stream.1);
    let tables: Vec<String> = tables.iter().map(|table| text(table)).collect();
    let mut texts = String::new();
    for (number, c) in columns.iter().enumerate() {
        let of = text(&c.name);
        // A cell that the row after an update does not state did not change.
        let _ = write!(
            texts,
            ",\n    before[{of}] AS b{number}, CASE WHEN op = 'update' AND {} THEN before[{of}] ELSE after[{of}] END AS a{number}",
            unchanged(kind, &of)
        );
    }
    let image = |of: &str, side: char| {
        let cells = columns.iter().enumerate().map(|(number, c)| {
            let value = typed(kind, (s, p), c, &format!("{side}{number}"));
            format!("{} := CAST({value} AS {})", name(&c.name), c.type_text())
        });
        let cells: Vec<String> = cells.collect();
        format!("CASE WHEN {of} IS NOT NULL THEN struct_pack({}) END", cells.join(",\n    "))
    };
    format!(
        "CREATE OR REPLACE TEMP TABLE {p}_read AS SELECT n,\n  \
         CASE WHEN op IN ('insert', 'update', 'delete', 'truncate') THEN op ELSE error('an op that the script does not know') END AS op,\n  \
         CAST(NULL AS HUGEINT) AS pos, CAST(NULL AS HUGEINT) AS cpos, txid, t,\n  {} AS before,\n  {} AS after\n  \
         FROM (SELECT *{texts}\n    FROM {s}_changes WHERE tab IN ({}));\n",
        image("before", 'b'),
        image("after", 'a'),
        tables.join(", "),
    )
}

/// Whether the row after an update leaves a cell out because it did not change.
fn unchanged(kind: &SqlStreamKind, column: &str) -> String {
    match kind {
        SqlStreamKind::Wal2Json => format!("NOT map_contains(after, {column})"),
        SqlStreamKind::Debezium { placeholder, .. } => {
            let list = text(&format!("[{}]", serde_json::Value::from(placeholder.as_str())));
            let plain = text(placeholder);
            format!("after[{column}] IN ({plain}, to_base64(encode({plain})), {list})")
        }
    }
}

/// The text of a cell as a value that casts to the column's type.
fn typed(kind: &SqlStreamKind, (s, p): (&str, &str), column: &SqlColumn, x: &str) -> String {
    match (kind, column.sql_type) {
        (SqlStreamKind::Wal2Json, "VARCHAR[]") => format!("array_items({x})"),
        (SqlStreamKind::Wal2Json, "BLOB") => format!("unhex({x})"),
        (SqlStreamKind::Wal2Json, _) => x.to_owned(),
        (_, "VARCHAR[]") => format!("CAST({x} AS JSON)"),
        (SqlStreamKind::Debezium { hex: true, .. }, "BLOB") => format!("unhex({x})"),
        (_, "BLOB") => format!("from_base64({x})"),
        (SqlStreamKind::Debezium { decimals, .. }, "DECIMAL") => {
            let base64 =
                decimals.map_or_else(|| format!("getvariable('{s}_base64')"), |base64| base64.to_string());
            let scale = column.decimal.map_or(0, |(_, scale)| scale);
            format!(
                "CASE WHEN {base64} AND NOT contains({x}, '.') THEN decimal_text({x}, {scale}) ELSE {x} END"
            )
        }
        (_, "DATE") => format!(
            "CASE WHEN regexp_full_match({x}, '-?[0-9]+') THEN DATE '1970-01-01' + CAST({x} AS INTEGER) ELSE CAST({x} AS DATE) END"
        ),
        (
            SqlStreamKind::Debezium { tick, .. },
            "TIMESTAMP" | "TIMESTAMP_MS" | "TIMESTAMP_S" | "TIMESTAMPTZ",
        ) => {
            let own = match column.sql_type {
                "TIMESTAMP_MS" => 1_000,
                "TIMESTAMP_S" => 1_000_000,
                _ => 1,
            };
            let (tick, whole) = (tick.unwrap_or(own), column.sql_type);
            let whole = if whole == "TIMESTAMPTZ" { whole } else { "TIMESTAMP" };
            let made = if whole == "TIMESTAMPTZ" { "make_timestamptz" } else { "make_timestamp" };
            format!(
                "CASE WHEN regexp_full_match({x}, '-?[0-9]+') THEN {made}(CAST({x} AS BIGINT) * coalesce(getvariable('{s}_tick'), {tick}))\n      \
                 ELSE CAST({x} AS {whole}) END"
            )
        }
        // Debezium's words for what PostgreSQL writes otherwise, in columns of numbers.
        (_, "VARCHAR") => format!(
            "CASE WHEN {x} IN ('NAN', 'POSITIVE_INFINITY', 'NEGATIVE_INFINITY') AND getvariable('{p}_numbers')[{}]\n      \
             THEN CASE {x} WHEN 'NAN' THEN 'NaN' WHEN 'POSITIVE_INFINITY' THEN 'Infinity' ELSE '-Infinity' END ELSE {x} END",
            text(&column.name)
        ),
        _ => x.to_owned(),
    }
}

/// Which text columns of the current state hold nothing but numbers, as a variable.
pub(super) fn numbers(kind: &SqlStreamKind, columns: &[&SqlColumn], p: &str) -> String {
    let texts: Vec<&&SqlColumn> = columns.iter().filter(|c| c.sql_type == "VARCHAR").collect();
    if *kind == SqlStreamKind::Wal2Json || texts.is_empty() {
        return String::new();
    }
    let is_number = |c: &&&SqlColumn| {
        let cell = format!("r.{}", name(&c.name));
        format!(
            "count({cell}) > 0 AND count(*) FILTER (WHERE NOT regexp_full_match({cell}, '-?[0-9]+([.][0-9]+)?|NaN|-?Infinity')) = 0"
        )
    };
    let names: Vec<String> = texts.iter().map(|c| text(&c.name)).collect();
    let counts: Vec<String> = texts.iter().map(is_number).collect();
    format!(
        "SET VARIABLE {p}_numbers = (SELECT map([{}], [{}]) FROM {p}_current);\n",
        names.join(", "),
        counts.join(",\n  ")
    )
}
