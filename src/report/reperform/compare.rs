//! What the script compares with the package: columns, rows, contradicted keys, inexact cells.

use super::{SqlColumn, SqlDataset, key, key_text, name, text};

/// The package's columns must be these, in this order and of these types: nothing of it is cast.
pub(super) fn columns(dataset: &SqlDataset, p: &str) -> String {
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
pub(super) fn rows(dataset: &SqlDataset, p: &str) -> String {
    let cell = |c: &SqlColumn| match c.sql_type {
        "FLOAT" | "DOUBLE" => format!("CAST({0} AS BIT) AS {0}", name(&c.name)),
        _ => name(&c.name),
    };
    let cells = dataset.compared().into_iter().map(cell).collect::<Vec<_>>().join(", ");
    let masked = dataset.compared().into_iter().filter(|c| dataset.is_ambiguous(c)).map(|c| {
        let (of, cell) = (text(&c.name), name(&c.name));
        format!("CASE WHEN {k} NOT IN (SELECT k FROM {p}_doubtful WHERE \"column\" = {of}) THEN {cell} END AS {cell}", k = key(dataset, "x"))
    });
    let masked: Vec<String> = masked.collect();
    // A column that the package lacks is null there, and already found to be missing.
    let package = format!("FROM {p}_package UNION ALL BY NAME SELECT * FROM (FROM {p}_snapshot LIMIT 0)");
    let package = match masked.as_slice() {
        [] => format!("SELECT {cells} FROM ({package})"),
        masked => {
            let masked = masked.join(",\n    ");
            format!("SELECT {cells} FROM (SELECT * REPLACE ({masked})\n    FROM ({package}) AS x)")
        }
    };
    compare(&dataset.name, Check::Rows, [&format!("SELECT {cells} FROM {p}_snapshot"), &package], " ALL")
}

/// What is compared.
#[derive(Debug, Clone, Copy)]
pub(super) enum Check {
    Columns,
    Rows,
    Contradicted,
    Inexact,
    Changes,
}

impl Check {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Columns => "columns of the snapshot",
            Self::Rows => "rows of the snapshot",
            Self::Contradicted => "keys that are contradicted",
            Self::Inexact => "cells that are not exact",
            Self::Changes => "changes of the ledger",
        }
    }
}

/// How many rows each of two queries has that the other has not.
pub(super) fn compare(dataset: &str, check: Check, [here, package]: [&str; 2], all: &str) -> String {
    format!(
        "INSERT INTO compare SELECT {}, {},\n  \
         (SELECT count(*) FROM (({here}) EXCEPT{all} ({package}))),\n  \
         (SELECT count(*) FROM (({package}) EXCEPT{all} ({here})));\n",
        text(dataset),
        text(check.name()),
    )
}

/// Keys on which the ledger contradicts itself or the current state.
pub(super) fn discrepancies(dataset: &SqlDataset, p: &str) -> String {
    let key_text = key_text(dataset, "k");
    let not_here: Vec<String> = dataset.left_out.iter().map(|(column, _)| text(column)).collect();
    // A finding about nothing but columns that are left out is not looked for.
    let told = match not_here.as_slice() {
        [] => String::new(),
        some => format!(
            "\n  AND (coalesce(columns, '') = '' OR len(list_filter(string_split(columns, ', '), lambda c: c NOT IN ({}))) > 0)",
            some.join(", ")
        ),
    };
    format!(
        "CREATE OR REPLACE TEMP TABLE {p}_found AS SELECT DISTINCT {key_text} AS key FROM {p}_breaks;\n\
         CREATE OR REPLACE TEMP TABLE {p}_listed AS SELECT DISTINCT key FROM read_parquet(getvariable('package') || '/discrepancies.parquet')\n  \
         WHERE dataset = {dataset} AND key IS NOT NULL AND code IN ('current-differs', 'current-missing', 'current-unexpected', 'chain-break',\n    \
         'insert-over-existing', 'update-of-absent', 'delete-of-absent'){told};\n{compared}",
        dataset = text(&dataset.name),
        compared = compare(
            &dataset.name,
            Check::Contradicted,
            [&format!("FROM {p}_found"), &format!("FROM {p}_listed")],
            ""
        ),
    )
}

/// Cells that the package says are not exact must be those that the ledger leaves in doubt.
pub(super) fn inexact(dataset: &SqlDataset, p: &str) -> String {
    let of_life: Vec<String> =
        dataset.compared().iter().filter(|c| !dataset.key.contains(&c.name)).map(|c| text(&c.name)).collect();
    // Rows that a truncate ended are as exact as it is known which of them stood.
    let refilled = match dataset.truncated {
        Some(false) => format!(
            "\n    UNION ALL SELECT {}, unnest(CAST([{}] AS VARCHAR[])) FROM {p}_undone WHERE stood AND refilled\n    \
             AND NOT EXISTS (SELECT * FROM {p}_truncates WHERE tx <= (SELECT cut FROM {p}_cut))",
            key_text(dataset, "k"),
            of_life.join(", "),
        ),
        Some(true) | None => String::new(),
    };
    // What a life was last known to be is inferred, cell by cell.
    let here = format!(
        "SELECT {key} AS key, \"column\" FROM {p}_doubtful\n    \
         UNION ALL SELECT {key}, unnest(CAST([{}] AS VARCHAR[])) FROM {p}_restored{refilled}",
        of_life.join(", "),
        key = key_text(dataset, "k"),
    );
    let left_out = dataset.left_out.iter().map(|(column, _)| format!(" AND \"column\" <> {}", text(column)));
    let there = format!(
        "SELECT key, \"column\" FROM read_parquet(getvariable('package') || '/verdicts.parquet')\n    \
         WHERE dataset = {} AND \"column\" IS NOT NULL{}",
        text(&dataset.name),
        left_out.collect::<String>()
    );
    compare(&dataset.name, Check::Inexact, [&here, &there], "")
}
