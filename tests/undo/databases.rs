//! The databases that scripts are run on: SQLite through python3, PostgreSQL and MariaDB as
//! servers of their own in a temporary folder, where the distribution's packages are installed.
//!
//! Tables are filled and compared by statements of these tests' own, in which every text is
//! written as hexadecimal, so that nothing of the program under test is trusted.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::harness::Folder;

/// One database, of one kind.
pub(crate) trait Database {
    /// The word for `--dialect`.
    fn dialect(&self) -> &'static str;
    /// Runs a script as its client program does; the message if it fails.
    fn run(&self, script: &str) -> Result<String, String>;
    /// Runs a script with a client that goes on after errors.
    fn run_on(&self, script: &str);
    /// A name, quoted.
    fn quoted(&self, name: &str) -> String;
    /// The type of a column.
    fn column_type(&self, data_type: &DataType) -> String;
    /// A literal, other than null, that shares nothing with the program's.
    fn literal(&self, array: &dyn Array, row: usize) -> String;
    /// An expression that is exact where comparing columns is not.
    fn exact(&self, column: &str, data_type: &DataType) -> String;
}

/// The table filled with rows; constraints are further lines of its declaration.
pub(crate) fn create(db: &dyn Database, name: &str, rows: &RecordBatch, constraints: &[&str]) {
    let columns = rows.schema();
    let mut lines: Vec<String> = columns
        .fields()
        .iter()
        .map(|f| format!("{} {}", db.quoted(f.name()), db.column_type(f.data_type())))
        .collect();
    lines.extend(constraints.iter().map(|c| (*c).to_owned()));
    let engine = if db.dialect() == "mariadb" { " CHARACTER SET utf8mb4" } else { "" };
    let mut script = format!("CREATE TABLE {} (\n{}\n){engine};\n", db.quoted(name), lines.join(",\n"));
    for row in 0..rows.num_rows() {
        let cells: Vec<String> = rows
            .columns()
            .iter()
            .map(|c| if c.is_null(row) { "NULL".to_owned() } else { db.literal(c.as_ref(), row) })
            .collect();
        script += &format!("INSERT INTO {} VALUES ({});\n", db.quoted(name), cells.join(", "));
    }
    let script = format!("BEGIN;\n{script}COMMIT;\n");
    db.run(&script).unwrap_or_else(|error| panic!("{} is filled: {error}\n{script}", db.dialect()));
}

/// How many rows one table has that another has not, both ways; repeats count.
pub(crate) fn differences(db: &dyn Database, one: &str, other: &str, rows: &RecordBatch) -> usize {
    let columns: Vec<String> =
        rows.schema().fields().iter().map(|f| db.exact(&db.quoted(f.name()), f.data_type())).collect();
    let of = |table: &str| format!("SELECT {} FROM {}", columns.join(", "), db.quoted(table));
    let side = |a: &str, b: &str| format!("SELECT count(*) FROM ({} EXCEPT {}) asof_d", of(a), of(b));
    let total = |table: &str| format!("SELECT count(*) FROM {}", db.quoted(table));
    let answer = |query: &str| -> i64 {
        let text = db.run(&format!("{query};")).unwrap();
        text.trim().parse().unwrap_or_else(|_| panic!("{query}: {text:?}"))
    };
    let counted = answer(&total(one)).abs_diff(answer(&total(other)));
    counted as usize + answer(&side(one, other)) as usize + answer(&side(other, one)) as usize
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn text_of(array: &dyn Array, row: usize) -> String {
    let options = FormatOptions::new();
    ArrayFormatter::try_new(array, &options).unwrap().value(row).to_string()
}

fn is_numeric(t: &DataType) -> bool {
    t.is_numeric() && !t.is_floating()
}

fn said(output: Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn found(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/usr/local/bin", "/usr/bin"].map(PathBuf::from));
    // Debian keeps PostgreSQL's server programs out of the path, by version.
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    folders.extend(versions.map(|v| v.path().join("bin")));
    names.iter().flat_map(|n| folders.iter().map(move |f| f.join(n))).find(|p| p.is_file())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0\n"))
}

/// A command run as a user of the server's own if these tests run as root, as servers refuse root.
fn as_user(user: &str, program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", user, "--"]).arg(program);
    command
}

fn give(user: &str, folder: &Path) {
    if is_root() {
        let given = Command::new("chown").arg("-R").arg(user).arg(folder).status();
        assert!(given.is_ok_and(|s| s.success()), "{} is given to {user}", folder.display());
    }
}

/// Says that a database was not tested, and why.
fn absent(title: &str, missing: &str) {
    println!(
        "\n!!!! NOT TESTED: {title} is not installed ({missing} is missing), so no script was run on it !!!!\n"
    );
}

// ---- SQLite ----

pub(crate) struct Sqlite {
    folder: Folder,
}

const RUN_SQLITE: &str = r"
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute('PRAGMA foreign_keys = ON')
db.execute('PRAGMA synchronous = OFF')
script = open(sys.argv[2], encoding='utf-8', newline='').read()
if sys.argv[3] == 'one':
    if script.startswith('SELECT'):
        print(db.execute(script).fetchone()[0])
    else:
        db.executescript(script)
else:
    statement = ''
    for line in script.splitlines(True):
        statement += line
        if sqlite3.complete_statement(statement):
            try:
                db.execute(statement)
            except sqlite3.Error:
                pass
            statement = ''
";

impl Sqlite {
    pub(crate) fn start() -> Option<Self> {
        let works = Command::new("python3").args(["-c", "import sqlite3"]).output();
        if !works.is_ok_and(|o| o.status.success()) {
            absent("SQLite", "python3 with sqlite3");
            return None;
        }
        Some(Self { folder: Folder::new() })
    }

    fn client(&self, script: &str, how: &str) -> Result<String, String> {
        self.folder.write("script.sql", script);
        let arguments = ["-c", RUN_SQLITE, "test.db", "script.sql", how];
        said(Command::new("python3").args(arguments).current_dir(self.folder.path()).output().unwrap())
    }
}

impl Database for Sqlite {
    fn dialect(&self) -> &'static str {
        "sqlite"
    }

    fn run(&self, script: &str) -> Result<String, String> {
        self.client(script, "one")
    }

    fn run_on(&self, script: &str) {
        let _ = self.client(script, "on");
    }

    fn quoted(&self, name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    fn column_type(&self, data_type: &DataType) -> String {
        match data_type {
            DataType::Boolean => "INTEGER",
            t if t.is_integer() => "INTEGER",
            t if t.is_decimal() => "NUMERIC",
            t if t.is_floating() => "REAL",
            DataType::Binary => "BLOB",
            _ => "TEXT",
        }
        .to_owned()
    }

    fn literal(&self, array: &dyn Array, row: usize) -> String {
        match array.data_type() {
            DataType::Boolean => u8::from(array.as_boolean().value(row)).to_string(),
            DataType::Utf8 => {
                format!("CAST(X'{}' AS TEXT)", hex(array.as_string::<i32>().value(row).as_bytes()))
            }
            DataType::Binary => format!("X'{}'", hex(array.as_binary::<i32>().value(row))),
            DataType::Float64 => float(array, row, "9e999"),
            DataType::Timestamp(_, zone) => format!("'{}'", stamp(array, row, zone.is_some(), "+00:00")),
            t if is_numeric(t) => text_of(array, row),
            _ => format!("'{}'", text_of(array, row)),
        }
    }

    fn exact(&self, column: &str, _: &DataType) -> String {
        format!("typeof({column}), hex(CAST({column} AS BLOB))")
    }
}

fn float(array: &dyn Array, row: usize, infinity: &str) -> String {
    let value = array.as_primitive::<Float64Type>().value(row);
    match value {
        v if v == f64::INFINITY => infinity.to_owned(),
        v if v == f64::NEG_INFINITY => format!("-{infinity}"),
        v => format!("{v:e}"),
    }
}

/// `2025-01-01 00:00:00`, with the digits that it needs.
fn stamp(array: &dyn Array, row: usize, zoned: bool, offset: &str) -> String {
    let text = text_of(array, row).replace('T', " ");
    let text = text.trim_end_matches('Z');
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    if zoned { format!("{text}{offset}") } else { text.to_owned() }
}

// ---- PostgreSQL ----

pub(crate) struct Postgres {
    folder: Folder,
    psql: PathBuf,
    ctl: PathBuf,
}

impl Postgres {
    pub(crate) fn start() -> Option<Self> {
        let (Some(initdb), Some(ctl), Some(psql)) =
            (found(&["initdb"]), found(&["pg_ctl"]), found(&["psql"]))
        else {
            absent("PostgreSQL", "initdb, pg_ctl or psql");
            return None;
        };
        let db = Self { folder: Folder::new(), psql, ctl };
        give("postgres", db.folder.path());
        let made = as_user("postgres", &initdb)
            .current_dir(db.folder.path())
            .args(["-D", "data", "-U", "asof", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let options = format!("-c listen_addresses= -c fsync=off -k {}", db.folder.path().display());
        let started = as_user("postgres", &db.ctl)
            .current_dir(db.folder.path())
            .args(["-D", "data", "-w", "-t", "60", "-l", "log", "-o", &options, "start"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        let log = std::fs::read_to_string(db.folder.join("log")).unwrap_or_default();
        assert!(started.success(), "PostgreSQL starts: {log}");
        Some(db)
    }

    fn client(&self, script: &str, stop: bool) -> Result<String, String> {
        self.folder.write("script.sql", script);
        let stop = if stop { "ON_ERROR_STOP=1" } else { "ON_ERROR_STOP=0" };
        let output = Command::new(&self.psql)
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-U",
                "asof",
                "-d",
                "postgres",
                "-v",
                stop,
                "-f",
                "script.sql",
                "-h",
            ])
            .arg(self.folder.path())
            .env("PGCLIENTENCODING", "UTF8")
            .current_dir(self.folder.path())
            .output();
        said(output.unwrap())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = as_user("postgres", &self.ctl)
            .current_dir(self.folder.path())
            .args(["-D", "data", "-m", "immediate", "stop"])
            .output();
    }
}

impl Database for Postgres {
    fn dialect(&self) -> &'static str {
        "postgres"
    }

    fn run(&self, script: &str) -> Result<String, String> {
        self.client(script, true)
    }

    fn run_on(&self, script: &str) {
        let _ = self.client(script, false);
    }

    fn quoted(&self, name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    fn column_type(&self, data_type: &DataType) -> String {
        match data_type {
            DataType::Boolean => "boolean".to_owned(),
            DataType::Int16 => "smallint".to_owned(),
            DataType::Int32 => "integer".to_owned(),
            t if t.is_integer() => "bigint".to_owned(),
            DataType::Decimal128(p, s) => format!("numeric({p},{s})"),
            DataType::Float64 => "double precision".to_owned(),
            DataType::Binary => "bytea".to_owned(),
            DataType::Date32 => "date".to_owned(),
            DataType::Timestamp(_, Some(_)) => "timestamptz".to_owned(),
            DataType::Timestamp(_, None) => "timestamp".to_owned(),
            DataType::Utf8 => "text".to_owned(),
            other => panic!("no column of {other}"),
        }
    }

    fn literal(&self, array: &dyn Array, row: usize) -> String {
        match array.data_type() {
            DataType::Boolean => array.as_boolean().value(row).to_string(),
            DataType::Utf8 => {
                let bytes = array.as_string::<i32>().value(row).as_bytes();
                format!("convert_from(decode('{}', 'hex'), 'UTF8')", hex(bytes))
            }
            DataType::Binary => format!("decode('{}', 'hex')", hex(array.as_binary::<i32>().value(row))),
            DataType::Float64 => format!("'{}'", array.as_primitive::<Float64Type>().value(row)),
            DataType::Timestamp(_, zone) => format!("'{}'", stamp(array, row, zone.is_some(), "+00")),
            t if is_numeric(t) => text_of(array, row),
            _ => format!("'{}'", text_of(array, row)),
        }
    }

    fn exact(&self, column: &str, _: &DataType) -> String {
        // As text −0 is not 0, and 1.0 is not 1.00.
        format!("{column}::text")
    }
}

// ---- MariaDB ----

pub(crate) struct MariaDb {
    folder: Folder,
    client: PathBuf,
    server: Child,
}

impl MariaDb {
    pub(crate) fn start() -> Option<Self> {
        let (install, server) =
            (found(&["mariadb-install-db", "mysql_install_db"]), found(&["mariadbd", "mysqld"]));
        let (Some(install), Some(server), Some(client)) = (install, server, found(&["mariadb", "mysql"]))
        else {
            absent("MariaDB", "mariadb-install-db, mariadbd or mariadb");
            return None;
        };
        let folder = Folder::new();
        let data = folder.join("data");
        std::fs::create_dir(&data).unwrap();
        give("mysql", folder.path());
        let made = as_user("mysql", &install)
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={}", data.display()))
            .output()
            .unwrap();
        assert!(made.status.success(), "mariadb-install-db: {}", String::from_utf8_lossy(&made.stderr));
        let socket = folder.join("socket");
        let server = as_user("mysql", &server)
            .args(["--no-defaults", "--skip-networking", "--innodb-flush-log-at-trx-commit=0"])
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", socket.display()))
            .arg(format!("--pid-file={}", folder.join("pid").display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let db = Self { folder, client, server };
        let patience = Instant::now() + Duration::from_secs(60);
        while db.command(false, "mysql").arg("-e").arg("SELECT 1").output().is_ok_and(|o| !o.status.success())
        {
            assert!(Instant::now() < patience, "MariaDB starts within a minute");
            std::thread::sleep(Duration::from_millis(100));
        }
        let made =
            db.command(false, "mysql").arg("-e").arg("CREATE DATABASE asof CHARACTER SET utf8mb4").output();
        assert!(made.unwrap().status.success());
        Some(db)
    }

    fn command(&self, on: bool, database: &str) -> Command {
        let mut command = Command::new(&self.client);
        command.args([
            "--no-defaults",
            "--user=root",
            "--batch",
            "--skip-column-names",
            "--default-character-set=utf8mb4",
        ]);
        command.args(on.then_some("--force"));
        command.arg(format!("--socket={}", self.folder.join("socket").display()));
        command.arg(format!("--database={database}"));
        command
    }

    fn client(&self, script: &str, on: bool) -> Result<String, String> {
        self.folder.write("script.sql", script);
        let script = std::fs::File::open(self.folder.join("script.sql")).unwrap();
        said(self.command(on, "asof").stdin(script).output().unwrap())
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        let _ = self.command(false, "mysql").arg("-e").arg("SHUTDOWN").output();
        let _ = self.server.wait();
    }
}

impl Database for MariaDb {
    fn dialect(&self) -> &'static str {
        "mariadb"
    }

    fn run(&self, script: &str) -> Result<String, String> {
        self.client(script, false)
    }

    fn run_on(&self, script: &str) {
        let _ = self.client(script, true);
    }

    fn quoted(&self, name: &str) -> String {
        format!("`{}`", name.replace('`', "``"))
    }

    fn column_type(&self, data_type: &DataType) -> String {
        match data_type {
            DataType::Boolean => "boolean".to_owned(),
            DataType::Int16 => "smallint".to_owned(),
            DataType::Int32 => "int".to_owned(),
            t if t.is_integer() => "bigint".to_owned(),
            DataType::Decimal128(p, s) => format!("decimal({p},{s})"),
            DataType::Float64 => "double".to_owned(),
            DataType::Binary => "varbinary(200)".to_owned(),
            DataType::Date32 => "date".to_owned(),
            DataType::Timestamp(_, Some(_)) => "timestamp(6) NULL".to_owned(),
            DataType::Timestamp(_, None) => "datetime(6)".to_owned(),
            DataType::Utf8 => "varchar(200)".to_owned(),
            other => panic!("no column of {other}"),
        }
    }

    fn literal(&self, array: &dyn Array, row: usize) -> String {
        match array.data_type() {
            DataType::Boolean => array.as_boolean().value(row).to_string(),
            DataType::Utf8 => {
                format!("CONVERT(X'{}' USING utf8mb4)", hex(array.as_string::<i32>().value(row).as_bytes()))
            }
            DataType::Binary => format!("X'{}'", hex(array.as_binary::<i32>().value(row))),
            DataType::Float64 => float(array, row, "no infinity"),
            DataType::Timestamp(_, Some(_)) => {
                format!("CONVERT_TZ('{}', '+00:00', @@session.time_zone)", stamp(array, row, false, ""))
            }
            DataType::Timestamp(_, None) => format!("'{}'", stamp(array, row, false, "")),
            t if is_numeric(t) => text_of(array, row),
            _ => format!("'{}'", text_of(array, row)),
        }
    }

    fn exact(&self, column: &str, _: &DataType) -> String {
        format!("HEX(CONVERT({column} USING utf8mb4))")
    }
}
