//! A change set as one guarded SQL script.
//!
//! Every statement names the whole row that it expects, so it finds the row as it
//! stood when the script was made or finds none; and the script commits only if every
//! statement changed exactly one row. How a script comes to that depends on the
//! dialect, as plain SQL has no word for it:
//!
//! | dialect | one row, or nothing at all |
//! |---|---|
//! | PostgreSQL | blocks that raise an exception, in one transaction |
//! | SQL Server | `THROW` under `XACT_ABORT`, in one batch |
//! | MySQL, MariaDB | a counter in the session that every statement asks for, and a `COMMIT` that is prepared only if it went through |
//! | SQLite | the same counter in a temporary table, whose check rolls back |
//!
//! So a client that goes on after an error does no harm either. Order: deletes
//! (children first), inserts (parents first), updates; a row that is still referred
//! to by a row on its way elsewhere goes last. Where references are checked row by row
//! (MySQL, MariaDB), a row that refers to itself lets go of it before it is deleted.
//!
//! MySQL's and MariaDB's tables that know no transactions are refused by the script itself.

mod dialect;
mod moments;
mod order;

pub use dialect::Dialect;

use std::io::{self, Write};

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use chrono_tz::Tz;

use super::change_set::{ChangeKind, ChangePart, ChangeSet};
use crate::model::canon;
use crate::model::time::parse_instant;
use order::{LetGo, Step};

/// Statements in a block of a PostgreSQL script.
const BLOCK: usize = 100;
/// Characters of a key in a message.
const KEY_TEXT: usize = 60;

/// One table of a script.
#[derive(Debug)]
pub struct ScriptTable<'a> {
    /// Its name in the database: schema and table, or whatever its parts are.
    pub target: Vec<String>,
    /// What becomes of it.
    pub changes: &'a ChangeSet,
    /// Columns that hold keys of other tables of the script, by their number.
    pub references: Vec<(Vec<usize>, usize)>,
    /// Columns whose values the database keeps unique beside the key: rows that change in them are
    /// deleted and inserted anew, so that values can change places.
    pub unique: Vec<usize>,
}

/// Why there is no script.
#[derive(Debug)]
pub enum Unwritten {
    /// A value that the dialect cannot hold.
    Row {
        /// The dataset.
        dataset: String,
        /// The row, and in what column, and why.
        reason: String,
    },
    /// The file cannot be written.
    Io(io::Error),
}

impl From<io::Error> for Unwritten {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Writes the script. `remarks` are comments at its top. Returns how many statements it has.
///
/// # Errors
/// A value that the dialect cannot hold, or the file cannot be written.
pub fn write(
    dialect: Dialect,
    tables: &[ScriptTable<'_>],
    remarks: &[String],
    out: &mut dyn Write,
) -> Result<usize, Unwritten> {
    let mut steps = order::steps(tables);
    let mut let_go = LetGo::new();
    if dialect.is_mysql() {
        let_go = order::let_go(tables, &steps);
        let first = let_go.keys().map(|&(table, part, row)| Step {
            table,
            part,
            row,
            kind: ChangeKind::Update,
            lets_go: true,
        });
        steps = first.chain(steps).collect();
    }
    let times = tables.iter().map(|table| columns_of_times(dialect, table)).collect();
    let mut script = Script { dialect, tables, total: steps.len(), let_go, times, out };
    remarks.iter().try_for_each(|remark| script.comment(remark))?;
    script.begin()?;
    for (number, step) in steps.iter().enumerate() {
        script.step(number + 1, *step)?;
    }
    script.end()?;
    Ok(steps.len())
}

struct Script<'a> {
    dialect: Dialect,
    tables: &'a [ScriptTable<'a>],
    total: usize,
    /// Columns of rows that are made null before the row is deleted.
    let_go: LetGo,
    /// Per table, the columns that the database may set by itself when a row is updated.
    times: Vec<Vec<usize>>,
    out: &'a mut dyn Write,
}

/// MySQL's `ON UPDATE CURRENT_TIMESTAMP` leaves alone what a statement sets, and only that.
fn columns_of_times(dialect: Dialect, table: &ScriptTable<'_>) -> Vec<usize> {
    let is_time = |text: &str| text.contains(':') && parse_instant(text, Some(Tz::UTC)).is_ok();
    let holds_times = |&column: &usize| match table.changes.schema.field(column).data_type() {
        DataType::Timestamp(..) => true,
        t if t.is_string() => {
            let sides = table.changes.parts.iter().filter_map(|part| part.now.as_ref());
            let mut cells =
                sides.flat_map(|side| (0..side.num_rows()).map(move |row| side.column(column).slice(row, 1)));
            cells.find_map(|cell| canon::cell_text(cell.as_ref(), 0)).is_some_and(|text| is_time(&text))
        }
        _ => false,
    };
    let columns = 0..table.changes.schema.fields().len();
    columns.filter(|c| dialect.is_mysql() && !table.changes.key.contains(c)).filter(holds_times).collect()
}

impl Script<'_> {
    fn comment(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "-- {}", one_line(text))
    }

    fn begin(&mut self) -> io::Result<()> {
        let total = self.total;
        self.comment(&format!("{total} statements for {}, one row each", self.dialect.title()))?;
        let text = match self.dialect {
            Dialect::Postgres => {
                "BEGIN;\nSET LOCAL client_encoding = 'UTF8';\nSET LOCAL datestyle = 'ISO, YMD';\n\
                 SET LOCAL timezone = 'UTC';\nSET CONSTRAINTS ALL DEFERRED;\n"
            }
            Dialect::MySql | Dialect::MariaDb => {
                "SET NAMES utf8mb4;\nSET SESSION sql_mode = \
                 'STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION';\n\
                 SET SESSION time_zone = '+00:00';\n"
            }
            Dialect::SqlServer => {
                "SET NOCOUNT ON;\nSET XACT_ABORT ON;\nSET QUOTED_IDENTIFIER ON;\nSET DATEFORMAT ymd;\n\
                 BEGIN TRANSACTION;\n"
            }
            Dialect::Sqlite => {
                "DROP TABLE IF EXISTS temp.asof_undo;\nCREATE TEMP TABLE asof_undo (step INTEGER PRIMARY KEY, \
                 changed INTEGER NOT NULL\n  CONSTRAINT \"a row has moved on; everything is rolled back\" CHECK \
                 (changed = 1));\nBEGIN IMMEDIATE;\nPRAGMA defer_foreign_keys = ON;\n"
            }
        };
        self.out.write_all(text.as_bytes())?;
        if self.dialect.is_mysql() { self.begin_on_engines() } else { Ok(()) }
    }

    /// A table whose engine rolls nothing back would be left half undone: then no statement takes its turn.
    fn begin_on_engines(&mut self) -> io::Result<()> {
        let literal = |name: &String| self.dialect.text(name).unwrap_or_else(|_| "''".to_owned());
        let named = |table: &ScriptTable<'_>| {
            let [.., schema, name] = table.target.as_slice() else {
                let name = table.target.iter().map(literal).collect::<String>();
                return format!("t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME = {name}");
            };
            format!("t.TABLE_SCHEMA = {} AND t.TABLE_NAME = {}", literal(schema), literal(name))
        };
        let tables: Vec<String> = self.tables.iter().map(named).collect();
        writeln!(
            self.out,
            "SET @asof_engine = (SELECT CONCAT(LEFT(t.TABLE_NAME, 40), ' is kept by ', t.ENGINE)\n  \
             FROM information_schema.TABLES t LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE\n  \
             WHERE t.ENGINE IS NOT NULL AND COALESCE(e.TRANSACTIONS, 'NO') <> 'YES' AND (\n  {}) LIMIT 1);\n\
             SET @asof_message = CONCAT('asof: ', @asof_engine, ', which cannot roll back; nothing is changed');\n\
             SET @asof_end = IF(@asof_engine IS NULL, 'DO 0', 'SIGNAL SQLSTATE ''45000'' SET MESSAGE_TEXT = \
             @asof_message');\n\
             PREPARE asof_end FROM @asof_end;\nEXECUTE asof_end;\n\
             SET @asof_step = IF(@asof_engine IS NULL, 0, -1);\nSTART TRANSACTION;",
            tables.join("\n  OR ")
        )
    }

    fn end(&mut self) -> io::Result<()> {
        let total = self.total;
        match self.dialect {
            Dialect::Postgres => writeln!(self.out, "COMMIT;"),
            Dialect::SqlServer => writeln!(self.out, "COMMIT TRANSACTION;"),
            Dialect::Sqlite => writeln!(self.out, "COMMIT;\nDROP TABLE temp.asof_undo;"),
            Dialect::MySql | Dialect::MariaDb => writeln!(
                self.out,
                "SET @asof_message = IF(@asof_engine IS NULL, CONCAT('asof: statement ', ABS(@asof_step), ' found its row \
                 changed; everything is rolled back'), @asof_message);\n\
                 SET @asof_end = IF(@asof_step = {total}, 'COMMIT', 'DO 0');\n\
                 PREPARE asof_end FROM @asof_end;\nEXECUTE asof_end;\nROLLBACK;\n\
                 SET @asof_end = IF(@asof_step = {total}, 'DO 0', 'SIGNAL SQLSTATE ''45000'' SET MESSAGE_TEXT = \
                 @asof_message');\n\
                 PREPARE asof_end FROM @asof_end;\nEXECUTE asof_end;\nDEALLOCATE PREPARE asof_end;"
            ),
        }
    }

    fn step(&mut self, number: usize, step: Step) -> Result<(), Unwritten> {
        let table = &self.tables[step.table];
        let part = &table.changes.parts[step.part];
        let unwritable = |reason: String| Unwritten::Row {
            dataset: table.changes.dataset.clone(),
            reason: format!(
                "{} cannot be written for {}: {reason}",
                key(table, part, step.row),
                self.dialect.title()
            ),
        };
        let let_go = self.let_go.get(&(step.table, step.part, step.row)).map_or(&[][..], Vec::as_slice);
        let times = &self.times[step.table];
        let statement =
            Statement { dialect: self.dialect, table, part, row: step.row, number, let_go, times };
        let text = match step.kind {
            _ if step.lets_go => statement.let_go(),
            ChangeKind::Delete => statement.delete(),
            ChangeKind::Insert => statement.insert(),
            ChangeKind::Update => statement.update(),
        };
        let text = text.map_err(unwritable)?;
        let what = format!("{} {} {}", step.kind.name(), table.changes.dataset, key(table, part, step.row));
        self.guarded(number, &text, &one_line(&what)).map_err(Unwritten::Io)
    }

    /// A statement, and what makes sure that it changed one row.
    fn guarded(&mut self, number: usize, statement: &str, what: &str) -> io::Result<()> {
        let total = self.total;
        let message = format!(
            "asof: statement {number} of {total} ({what}) found its row changed; everything is rolled back"
        );
        // The text has no control characters left, so every dialect has a literal for it.
        let literal = self.dialect.text(&message).unwrap_or_else(|_| "'asof: a row has moved on'".to_owned());
        let out = &mut self.out;
        match self.dialect {
            Dialect::Postgres => {
                if (number - 1).is_multiple_of(BLOCK) {
                    let head = "DECLARE asof_rows bigint;\nBEGIN";
                    writeln!(out, "DO {TAG}\n#variable_conflict use_column\n{head}")?;
                }
                writeln!(
                    out,
                    "{statement};\nGET DIAGNOSTICS asof_rows = ROW_COUNT;\nIF asof_rows <> 1 THEN RAISE EXCEPTION USING \
                     MESSAGE = {literal}; END IF;"
                )?;
                if number.is_multiple_of(BLOCK) || number == total {
                    writeln!(out, "END {TAG};")
                } else {
                    Ok(())
                }
            }
            Dialect::SqlServer => {
                writeln!(out, "{statement};\nIF @@ROWCOUNT <> 1 BEGIN; THROW 50000, {literal}, 1; END;")
            }
            Dialect::MySql | Dialect::MariaDb => writeln!(
                out,
                "-- {number}: {what}\n{statement};\nSET @asof_step = IF(@asof_step = {}, IF(ROW_COUNT() = 1, {number}, \
                 -{number}), @asof_step);",
                number - 1
            ),
            Dialect::Sqlite => writeln!(
                out,
                "-- {number}: {what}\n{statement};\nINSERT OR ROLLBACK INTO temp.asof_undo VALUES ({number}, changes());"
            ),
        }
    }
}

/// What encloses a block: no literal can hold it, as a `$` is never written plain.
const TAG: &str = "$asof$";

fn key(table: &ScriptTable<'_>, part: &ChangePart, row: usize) -> String {
    let text = table.changes.key_text(part, row);
    match text.char_indices().nth(KEY_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A text that ends no line and no comment.
fn one_line(text: &str) -> String {
    let odd = |c: char| c.is_control() || matches!(c, '$' | '\\' | '\u{2028}' | '\u{2029}');
    text.chars().map(|c| if odd(c) { '\u{fffd}' } else { c }).collect()
}

/// One statement in the making.
struct Statement<'a> {
    dialect: Dialect,
    table: &'a ScriptTable<'a>,
    part: &'a ChangePart,
    row: usize,
    number: usize,
    let_go: &'a [usize],
    times: &'a [usize],
}

impl Statement<'_> {
    fn target(&self) -> Result<String, String> {
        let parts = self.table.target.iter().map(|part| self.dialect.name_of(part));
        Ok(parts.collect::<Result<Vec<_>, _>>()?.join("."))
    }

    fn column(&self, column: usize) -> Result<String, String> {
        self.dialect.name_of(self.table.changes.schema.field(column).name())
    }

    fn columns(&self) -> std::ops::Range<usize> {
        0..self.table.changes.schema.fields().len()
    }

    fn of_column(&self, column: usize) -> impl Fn(String) -> String + use<'_> {
        move |reason| format!("{}: {reason}", self.table.changes.schema.field(column).name())
    }

    /// What holds for this row only, and only as it stands.
    fn guard(&self, now: &RecordBatch, let_go: &[usize]) -> Result<String, String> {
        let mut terms = Vec::new();
        for column in self.table.changes.key.iter().copied() {
            // A plain comparison first, which an index serves; the exact one follows.
            terms.push(self.plain(column, now)?);
        }
        for column in self.columns() {
            let (name, of) = (self.column(column)?, now.column(column).as_ref());
            let exact = match let_go.contains(&column) {
                true => format!("{name} IS NULL"),
                false => self.dialect.equals(&name, of, self.row).map_err(self.of_column(column))?,
            };
            if !terms.contains(&exact) {
                terms.push(exact);
            }
        }
        terms.extend(self.in_turn());
        Ok(terms.join(" AND "))
    }

    fn plain(&self, column: usize, of: &RecordBatch) -> Result<String, String> {
        let (name, array) = (self.column(column)?, of.column(column).as_ref());
        let literal = self.dialect.literal(array, self.row).map_err(self.of_column(column))?;
        Ok(if literal == "NULL" { format!("{name} IS NULL") } else { format!("{name} = {literal}") })
    }

    /// The condition that all statements before went through, where nothing else stops a script.
    fn in_turn(&self) -> Option<String> {
        let before = self.number - 1;
        match self.dialect {
            Dialect::MySql | Dialect::MariaDb => Some(format!("@asof_step = {before}")),
            Dialect::Sqlite => {
                Some(format!("(SELECT coalesce(max(step), 0) FROM temp.asof_undo) = {before}"))
            }
            Dialect::Postgres | Dialect::SqlServer => None,
        }
    }

    fn delete(&self) -> Result<String, String> {
        let now = self.part.now.as_ref().ok_or("the row as it stands is not known")?;
        Ok(format!("DELETE FROM {} WHERE {}", self.target()?, self.guard(now, self.let_go)?))
    }

    /// The row without what it refers to.
    fn let_go(&self) -> Result<String, String> {
        let now = self.part.now.as_ref().ok_or("the row as it stands is not known")?;
        let mut sets = Vec::new();
        for &column in self.let_go {
            sets.push(format!("{} = NULL", self.column(column)?));
        }
        for &column in self.times.iter().filter(|c| !self.let_go.contains(c)) {
            sets.push(self.set(column, now)?);
        }
        Ok(format!("UPDATE {} SET {} WHERE {}", self.target()?, sets.join(", "), self.guard(now, &[])?))
    }

    fn set(&self, column: usize, of: &RecordBatch) -> Result<String, String> {
        let literal = self.dialect.literal(of.column(column).as_ref(), self.row);
        Ok(format!("{} = {}", self.column(column)?, literal.map_err(self.of_column(column))?))
    }

    fn update(&self) -> Result<String, String> {
        let now = self.part.now.as_ref().ok_or("the row as it stands is not known")?;
        let then = self.part.then.as_ref().ok_or("the row as it shall stand is not known")?;
        let mut sets = Vec::new();
        let is_set = |column: &usize| self.part.differs(*column, self.row) || self.times.contains(column);
        for column in self.columns().filter(is_set) {
            sets.push(self.set(column, then)?);
        }
        Ok(format!("UPDATE {} SET {} WHERE {}", self.target()?, sets.join(", "), self.guard(now, &[])?))
    }

    fn insert(&self) -> Result<String, String> {
        let then = self.part.then.as_ref().ok_or("the row as it shall stand is not known")?;
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for column in self.columns() {
            names.push(self.column(column)?);
            let literal = self.dialect.literal(then.column(column).as_ref(), self.row);
            values.push(literal.map_err(self.of_column(column))?);
        }
        let target = self.target()?;
        let key = self.table.changes.key.iter().map(|&c| self.plain(c, then));
        let key = key.collect::<Result<Vec<_>, _>>()?.join(" AND ");
        let free = format!("NOT EXISTS (SELECT 1 FROM {target} WHERE {key})");
        let condition: Vec<String> = [free].into_iter().chain(self.in_turn()).collect();
        let own_values = if self.dialect == Dialect::Postgres { " OVERRIDING SYSTEM VALUE" } else { "" };
        let from = if self.dialect.is_mysql() { " FROM DUAL" } else { "" };
        Ok(format!(
            "INSERT INTO {target} ({}){own_values} SELECT {}{from} WHERE {}",
            names.join(", "),
            values.join(", "),
            condition.join(" AND ")
        ))
    }
}
