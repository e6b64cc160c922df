//! Names and values as each SQL dialect writes them, exactly or not at all.
//!
//! Names are always quoted. Plain text is written as it is; text with control
//! characters, backslashes or anything else that a client program could take for
//! its own is written in a form that has none of them. What a dialect cannot hold
//! (NaN, a nanosecond, a NUL) has no literal, and the caller refuses the row.

use std::fmt::Write;

use arrow::array::types::{Float32Type, Float64Type};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, TimeUnit};

use super::moments;
use crate::model::canon;
use crate::read::unpacked;

/// A dialect of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// MySQL.
    MySql,
    /// MariaDB.
    MariaDb,
    /// Microsoft SQL Server.
    SqlServer,
    /// SQLite.
    Sqlite,
}

impl Dialect {
    /// All dialects, in the order in which they are listed to people.
    pub const ALL: [Self; 5] = [Self::Postgres, Self::MySql, Self::MariaDb, Self::SqlServer, Self::Sqlite];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
            Self::MariaDb => "mariadb",
            Self::SqlServer => "sqlserver",
            Self::Sqlite => "sqlite",
        }
    }

    /// Whether it is MySQL's or MariaDB's.
    pub(super) fn is_mysql(self) -> bool {
        matches!(self, Self::MySql | Self::MariaDb)
    }

    /// A name, quoted.
    ///
    /// # Errors
    /// The name holds a character that no name may hold; which one, in words.
    pub fn name_of(self, name: &str) -> Result<String, String> {
        if name.is_empty() || name.contains('\0') || name.contains(super::TAG) {
            return Err(format!("{name:?} cannot be a name"));
        }
        let (open, close) = match self {
            Self::Postgres | Self::Sqlite => ('"', '"'),
            Self::MySql | Self::MariaDb => ('`', '`'),
            Self::SqlServer => ('[', ']'),
        };
        let mut quoted = String::from(open);
        for c in name.chars() {
            quoted.extend(std::iter::repeat_n(c, 1 + usize::from(c == close)));
        }
        quoted.push(close);
        Ok(quoted)
    }

    /// The literal of a cell; null as `NULL`.
    ///
    /// # Errors
    /// The dialect cannot hold the value, or has no literal of its type; why, in words.
    pub fn literal(self, array: &dyn Array, row: usize) -> Result<String, String> {
        if array.is_null(row) || array.data_type() == &DataType::Null {
            return Ok("NULL".to_owned());
        }
        let plain = || canon::cell_text(array, row).unwrap_or_default();
        match array.data_type() {
            DataType::Boolean => Ok(self.boolean(array.as_boolean().value(row)).to_owned()),
            t if t.is_integer() => self.integer(plain()),
            t if t.is_decimal() => self.decimal(plain()),
            DataType::Float16 => {
                let value = array.as_primitive::<arrow::datatypes::Float16Type>().value(row);
                self.float(f64::from(value), f32::from(value).to_string())
            }
            DataType::Float32 => {
                let value = array.as_primitive::<Float32Type>().value(row);
                self.float(f64::from(value), format!("{value:e}"))
            }
            DataType::Float64 => {
                let value = array.as_primitive::<Float64Type>().value(row);
                self.float(value, format!("{value:e}"))
            }
            t if t.is_string() => self.text(&plain()),
            DataType::Date32
            | DataType::Date64
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Timestamp(..) => moments::literal(self, array, row),
            t => match bytes(array, row) {
                Some(bytes) => Ok(self.bytes(bytes)),
                None => {
                    self.of_wrapped(array, row).unwrap_or_else(|| Err(format!("type {t} has no literal")))
                }
            },
        }
    }

    /// The literal of a value behind a dictionary.
    fn of_wrapped(self, array: &dyn Array, row: usize) -> Option<Result<String, String>> {
        let DataType::Dictionary(_, value) = array.data_type() else { return None };
        let one: ArrayRef = array.slice(row, 1);
        Some(unpacked(&one, value).map_err(|e| e.to_string()).and_then(|a| self.literal(a.as_ref(), 0)))
    }

    /// A condition that holds for exactly this value of a column.
    ///
    /// # Errors
    /// As [`Self::literal`].
    pub fn equals(self, column: &str, array: &dyn Array, row: usize) -> Result<String, String> {
        if array.is_null(row) || array.data_type() == &DataType::Null {
            return Ok(format!("{column} IS NULL"));
        }
        let literal = self.literal(array, row)?;
        let text = is_text(array.data_type());
        Ok(match self {
            // A column's own collation or type may take different texts for equal. What the literal is in
            // the column's type is compared, as blanks that fill up a character(n) are no text.
            Self::Postgres if text => {
                format!("{column}::text COLLATE \"C\" = coalesce({literal}, {column})::text")
            }
            Self::MySql | Self::MariaDb if is_digits(array.data_type()) => {
                let texts = printed(&canon::cell_text(array, row).unwrap_or_default());
                // Beside a number a text counts as one, and many texts are the same number.
                format!(
                    "IF(CHARSET({column}) = 'binary', {column} = {literal}, CAST(CONVERT({column} USING utf8mb4) AS \
                     BINARY) IN ({texts}))"
                )
            }
            // Collations may take different texts for equal; bytes are compared.
            Self::MySql | Self::MariaDb if text => format!(
                "CAST(CONVERT({column} USING utf8mb4) AS BINARY) = CAST(CONVERT({literal} USING utf8mb4) AS BINARY)"
            ),
            // Bytes of different length may count as equal where zeros fill them up.
            Self::SqlServer if text => format!(
                "CAST(CAST({column} AS nvarchar(max)) AS varbinary(max)) = CAST(CAST({literal} AS nvarchar(max)) AS \
                 varbinary(max)) AND DATALENGTH(CAST({column} AS nvarchar(max))) = DATALENGTH(CAST({literal} AS nvarchar(max)))"
            ),
            Self::SqlServer if bytes(array, row).is_some() => {
                format!("{column} = {literal} AND DATALENGTH({column}) = DATALENGTH({literal})")
            }
            Self::Sqlite if text => format!("{column} = {literal} COLLATE BINARY"),
            _ => format!("{column} = {literal}"),
        })
    }

    fn boolean(self, value: bool) -> &'static str {
        match (self, value) {
            (Self::Postgres | Self::MySql | Self::MariaDb, true) => "TRUE",
            (Self::Postgres | Self::MySql | Self::MariaDb, false) => "FALSE",
            (Self::SqlServer | Self::Sqlite, true) => "1",
            (Self::SqlServer | Self::Sqlite, false) => "0",
        }
    }

    fn integer(self, text: String) -> Result<String, String> {
        let beyond = self == Self::Sqlite && text.parse::<i64>().is_err();
        if beyond { Err(format!("{text} is beyond SQLite's integers")) } else { Ok(text) }
    }

    fn decimal(self, text: String) -> Result<String, String> {
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        let limit = match self {
            Self::MySql | Self::MariaDb => 65,
            Self::SqlServer => 38,
            Self::Postgres | Self::Sqlite => usize::MAX,
        };
        if digits > limit {
            return Err(format!("{text} has more than {limit} digits"));
        }
        // SQLite has no decimals: text takes whichever form the column's affinity gives it.
        Ok(if self == Self::Sqlite { format!("'{text}'") } else { text })
    }

    /// `own` is the shortest text that reads back as the value in its own width.
    fn float(self, value: f64, own: String) -> Result<String, String> {
        let special = match value {
            v if v.is_nan() => Some("NaN"),
            v if v == f64::INFINITY => Some("Infinity"),
            v if v == f64::NEG_INFINITY => Some("-Infinity"),
            _ => None,
        };
        let zero = value == 0.0 && value.is_sign_negative();
        match (self, special) {
            (Self::Postgres, Some(word)) => Ok(format!("'{word}'")),
            (Self::Postgres, None) => Ok(format!("'{own}'")),
            (Self::Sqlite, Some("Infinity")) => Ok("9e999".to_owned()),
            (Self::Sqlite, Some("-Infinity")) => Ok("-9e999".to_owned()),
            (_, Some(word)) => Err(format!("{} has no {word}", self.title())),
            (Self::Sqlite | Self::SqlServer, None) if zero => {
                Err(format!("{} does not keep the sign of −0.0", self.title()))
            }
            // Doubles, also for narrower columns: those compare as what they are when widened.
            (_, None) => Ok(format!("{value:e}")),
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::MySql => "MySQL",
            Self::MariaDb => "MariaDB",
            Self::SqlServer => "SQL Server",
            Self::Sqlite => "SQLite",
        }
    }

    /// A text.
    ///
    /// # Errors
    /// The text has a character that the dialect cannot hold.
    pub fn text(self, text: &str) -> Result<String, String> {
        let doubled = || text.replace('\'', "''");
        // Besides control characters: what clients take for escapes or variables, and line ends of Unicode.
        let odd = |c: char| c.is_control() || matches!(c, '\\' | '$' | '\u{2028}' | '\u{2029}');
        match self {
            Self::Postgres if text.contains('\0') => {
                Err("PostgreSQL has no text with a NUL in it".to_owned())
            }
            _ if !text.contains(odd) => {
                Ok(format!("{}'{}'", if self == Self::SqlServer { "N" } else { "" }, doubled()))
            }
            Self::Postgres => Ok(escaped(text)),
            Self::MySql | Self::MariaDb => Ok(format!("CONVERT(X'{}' USING utf8mb4)", hex(text.as_bytes()))),
            Self::Sqlite => Ok(format!("CAST(X'{}' AS TEXT)", hex(text.as_bytes()))),
            Self::SqlServer => {
                let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
                Ok(format!("CAST(0x{} AS nvarchar(max))", hex(&units)))
            }
        }
    }

    fn bytes(self, bytes: &[u8]) -> String {
        match self {
            Self::Postgres => format!("decode('{}', 'hex')", hex(bytes)),
            Self::SqlServer => format!("0x{}", hex(bytes)),
            Self::MySql | Self::MariaDb | Self::Sqlite => format!("X'{}'", hex(bytes)),
        }
    }

    /// The smallest step of this dialect's times, in nanoseconds.
    pub(super) fn resolution(self) -> u32 {
        match self {
            Self::Postgres | Self::MySql | Self::MariaDb => 1_000,
            Self::SqlServer => 100,
            Self::Sqlite => 1,
        }
    }
}

fn is_digits(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_digits(value),
        t => t.is_integer() || t.is_decimal(),
    }
}

/// The texts that a number can have been read from without loss, as a list: `1.50` is `1.5` too.
fn printed(number: &str) -> String {
    let mut texts = vec![number];
    if number.contains('.') {
        while let Some(shorter) = texts.last().and_then(|t| t.strip_suffix('0')) {
            texts.push(shorter);
        }
        texts.extend(texts.last().and_then(|t| t.strip_suffix('.')));
        texts.retain(|t| !t.ends_with('.'));
    }
    texts.iter().map(|t| format!("_binary'{t}'")).collect::<Vec<_>>().join(", ")
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => value.is_string(),
        t => t.is_string(),
    }
}

/// A text with escapes, as PostgreSQL's `E''` takes it whatever its settings are.
fn escaped(text: &str) -> String {
    let mut literal = String::from("E'");
    for c in text.chars() {
        match c {
            '\'' => literal.push_str("''"),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            // A plain $ could end the block that the literal stands in.
            c if c.is_control() || matches!(c, '$' | '\u{2028}' | '\u{2029}') => {
                let _ = write!(literal, "\\u{:04x}", u32::from(c));
            }
            c => literal.push(c),
        }
    }
    literal.push('\'');
    literal
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes(array: &dyn Array, row: usize) -> Option<&[u8]> {
    match array.data_type() {
        DataType::Binary => Some(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Some(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => Some(array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => Some(array.as_fixed_size_binary().value(row)),
        _ => None,
    }
}

/// Nanoseconds in one of a unit.
pub(super) fn nanoseconds(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
        TimestampMicrosecondArray,
    };

    use super::*;

    fn guard(dialect: Dialect, array: impl Array + 'static) -> Result<String, String> {
        let array: ArrayRef = Arc::new(array);
        dialect.equals("c", array.as_ref(), 0)
    }

    /// Nothing here was ever run on SQL Server: the text is what its reference says that it takes.
    #[test]
    fn guards_of_sql_server_compare_numbers_as_numbers_and_text_by_its_bytes() {
        let guard = |array: ArrayRef| Dialect::SqlServer.equals("[c]", array.as_ref(), 0).unwrap();
        let text = |text: &str| guard(Arc::new(StringArray::from(vec![text])));
        let bytes_of = |literal: &str| {
            format!(
                "CAST(CAST([c] AS nvarchar(max)) AS varbinary(max)) = CAST(CAST({literal} AS nvarchar(max)) AS \
                 varbinary(max)) AND DATALENGTH(CAST([c] AS nvarchar(max))) = DATALENGTH(CAST({literal} AS nvarchar(max)))"
            )
        };
        // Neither collation nor blanks at the end make two texts equal.
        assert_eq!(text("Müller "), bytes_of("N'Müller '"));
        assert_eq!(text("O'Brien"), bytes_of("N'O''Brien'"));
        assert_eq!(text("a\n"), bytes_of("CAST(0x61000a00 AS nvarchar(max))"));
        let decimal = Decimal128Array::from(vec![-1_050]).with_precision_and_scale(12, 2).unwrap();
        assert_eq!(guard(Arc::new(decimal)), "[c] = -10.50", "an exact literal, no float");
        assert_eq!(guard(Arc::new(Int64Array::from(vec![i64::MIN]))), "[c] = -9223372036854775808");
        assert_eq!(guard(Arc::new(Float64Array::from(vec![0.1]))), "[c] = 1e-1");
        assert_eq!(guard(Arc::new(BooleanArray::from(vec![true]))), "[c] = 1");
        assert_eq!(guard(Arc::new(Int64Array::from(vec![None]))), "[c] IS NULL");
        let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..]]));
        assert_eq!(guard(bytes), "[c] = 0x00ff AND DATALENGTH([c]) = DATALENGTH(0x00ff)");
        // Without a type, some languages read the day of a datetime first.
        assert_eq!(guard(Arc::new(Date32Array::from(vec![20_454]))), "[c] = CAST('2026-01-01' AS date)");
        let instant = TimestampMicrosecondArray::from(vec![1_767_225_600_000_001]);
        let expected = "[c] = CAST('2026-01-01T00:00:00.000001' AS datetime2(7))";
        assert_eq!(guard(Arc::new(instant.clone())), expected);
        let zoned = guard(Arc::new(instant.with_timezone("UTC")));
        assert_eq!(zoned, "[c] = CAST('2026-01-01T00:00:00.000001+00:00' AS datetimeoffset(7))");
    }

    /// MySQL's are MariaDB's, which the integration tests run.
    #[test]
    fn guards_of_mysql_are_those_of_mariadb() {
        let text = || StringArray::from(vec!["Straße "]);
        let expected =
            "CAST(CONVERT(c USING utf8mb4) AS BINARY) = CAST(CONVERT('Straße ' USING utf8mb4) AS BINARY)";
        assert_eq!(guard(Dialect::MySql, text()).unwrap(), expected);
        assert_eq!(guard(Dialect::MySql, text()), guard(Dialect::MariaDb, text()));
        let number = || Int64Array::from(vec![7]);
        let expected =
            "IF(CHARSET(c) = 'binary', c = 7, CAST(CONVERT(c USING utf8mb4) AS BINARY) IN (_binary'7'))";
        assert_eq!(guard(Dialect::MySql, number()).unwrap(), expected);
        assert_eq!(guard(Dialect::MySql, number()), guard(Dialect::MariaDb, number()));
    }

    #[test]
    fn what_a_dialect_cannot_hold_has_no_literal() {
        let float = |value: f64| Float64Array::from(vec![value]);
        assert!(guard(Dialect::SqlServer, float(f64::NAN)).unwrap_err().contains("SQL Server has no NaN"));
        assert!(guard(Dialect::SqlServer, float(-0.0)).unwrap_err().contains("sign of −0.0"));
        assert!(guard(Dialect::MySql, float(f64::INFINITY)).unwrap_err().contains("MySQL has no Infinity"));
    }

    #[test]
    fn a_number_has_the_texts_that_it_can_be_read_from() {
        assert_eq!(printed("120"), "_binary'120'");
        assert_eq!(printed("-1.50"), "_binary'-1.50', _binary'-1.5'");
        assert_eq!(printed("10.00"), "_binary'10.00', _binary'10.0', _binary'10'");
        assert_eq!(printed("0.07"), "_binary'0.07'");
    }
}
