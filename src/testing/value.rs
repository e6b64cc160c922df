//! Cells and columns of generated tables, and how each is written as an Arrow
//! array, as JSON and as CSV.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int16Array, Int64Array,
    ListBuilder, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use chrono::{DateTime, NaiveDate, TimeDelta};

use crate::model::TableSchema;

/// The type of a generated column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Bool,
    /// 16-bit integer.
    Small,
    /// 64-bit integer.
    Int,
    /// Decimal of this precision (at most 38) and scale.
    Decimal(u8, i8),
    /// 64-bit float, with NaN, infinities and −0.0.
    Float,
    /// Text of any characters.
    Text,
    /// A UUID, as text.
    Uuid,
    /// Days since 1970.
    Date,
    /// Microseconds since the epoch, UTC.
    Timestamp,
    /// Microseconds since the epoch of a wall clock without zone.
    LocalTimestamp,
    /// Bytes.
    Binary,
    /// A list of texts and nulls.
    TextList,
}

impl Kind {
    /// The Arrow type of the column.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Small => DataType::Int16,
            Self::Int => DataType::Int64,
            Self::Decimal(precision, scale) => DataType::Decimal128(precision, scale),
            Self::Float => DataType::Float64,
            Self::Text | Self::Uuid => DataType::Utf8,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::LocalTimestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Binary => DataType::Binary,
            Self::TextList => DataType::new_list(DataType::Utf8, true),
        }
    }
}

/// One cell. Floats are kept as their bits, so that equality is identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// No value, in a column of any kind.
    Null,
    /// For [`Kind::Bool`].
    Bool(bool),
    /// For [`Kind::Small`], [`Kind::Int`], [`Kind::Date`] and both timestamps, in the column's unit.
    Int(i64),
    /// For [`Kind::Decimal`]: the unscaled number.
    Decimal(i128),
    /// For [`Kind::Float`]: the bits.
    Float(u64),
    /// For [`Kind::Text`] and [`Kind::Uuid`].
    Text(String),
    /// For [`Kind::Binary`].
    Binary(Vec<u8>),
    /// For [`Kind::TextList`].
    List(Vec<Option<String>>),
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        *self == Self::Null
    }
}

/// The cells of a row, in table order.
pub type Row = Vec<Value>;

/// A column of a generated table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// Whether cells can be null.
    pub nullable: bool,
}

/// A generated table: name, columns, and positions of the key columns (none for a multiset).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDef {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Positions of its key columns, in key order.
    pub key: Vec<usize>,
}

impl TableDef {
    /// A table with these columns, of which the first `keys` are the key. A name that ends in `?` is nullable.
    pub fn new(name: &str, keys: usize, columns: &[(&str, Kind)]) -> Self {
        let columns = columns
            .iter()
            .map(|(name, kind)| Column {
                name: name.trim_end_matches('?').to_owned(),
                kind: *kind,
                nullable: name.ends_with('?'),
            })
            .collect();
        Self { name: name.to_owned(), columns, key: (0..keys).collect() }
    }

    /// The columns and the key as the rest of the crate speaks of them.
    pub fn schema(&self) -> TableSchema {
        let fields: Vec<Field> =
            self.columns.iter().map(|c| Field::new(&c.name, c.kind.data_type(), c.nullable)).collect();
        TableSchema::new(Arc::new(Schema::new(fields)), self.key.clone())
    }

    /// The position of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// The key cells of a row.
    pub fn key_of(&self, row: &Row) -> Row {
        self.key.iter().map(|&c| row[c].clone()).collect()
    }
}

/// An array of this kind; a cell of another kind becomes null, which the generator never produces.
pub fn array<'a>(kind: Kind, cells: impl Iterator<Item = Option<&'a Value>>) -> ArrayRef {
    let int = |cell: Option<&Value>| match cell {
        Some(Value::Int(v)) => Some(*v),
        _ => None,
    };
    match kind {
        Kind::Bool => Arc::new(BooleanArray::from_iter(cells.map(|c| match c {
            Some(Value::Bool(v)) => Some(*v),
            _ => None,
        }))),
        Kind::Small => {
            Arc::new(cells.map(|c| int(c).and_then(|v| i16::try_from(v).ok())).collect::<Int16Array>())
        }
        Kind::Int => Arc::new(cells.map(int).collect::<Int64Array>()),
        Kind::Decimal(..) => decimals(kind, cells),
        Kind::Float => Arc::new(Float64Array::from_iter(cells.map(|c| match c {
            Some(Value::Float(bits)) => Some(f64::from_bits(*bits)),
            _ => None,
        }))),
        Kind::Text | Kind::Uuid => Arc::new(StringArray::from_iter(cells.map(|c| match c {
            Some(Value::Text(text)) => Some(text.as_str()),
            _ => None,
        }))),
        Kind::Date => {
            Arc::new(cells.map(|c| int(c).and_then(|v| i32::try_from(v).ok())).collect::<Date32Array>())
        }
        Kind::Timestamp => {
            Arc::new(cells.map(int).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        }
        Kind::LocalTimestamp => Arc::new(cells.map(int).collect::<TimestampMicrosecondArray>()),
        Kind::Binary => Arc::new(BinaryArray::from_iter(cells.map(|c| match c {
            Some(Value::Binary(bytes)) => Some(bytes.as_slice()),
            _ => None,
        }))),
        Kind::TextList => lists(cells),
    }
}

fn decimals<'a>(kind: Kind, cells: impl Iterator<Item = Option<&'a Value>>) -> ArrayRef {
    let numbers = cells.map(|c| match c {
        Some(Value::Decimal(v)) => Some(*v),
        _ => None,
    });
    Arc::new(Decimal128Array::from_iter(numbers).with_data_type(kind.data_type()))
}

fn lists<'a>(cells: impl Iterator<Item = Option<&'a Value>>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for cell in cells {
        let items = match cell {
            Some(Value::List(items)) => Some(items),
            _ => None,
        };
        items.into_iter().flatten().for_each(|item| builder.values().append_option(item.as_deref()));
        builder.append(items.is_some());
    }
    Arc::new(builder.finish())
}

/// How a JSON ledger writes the types that JSON lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonDialect {
    /// Decimals as number literals with their zeros, dates and timestamps as ISO text, bytes as `\x` hex,
    /// NaN and infinities as text.
    Mapped,
    /// Debezium with `decimal.handling.mode=string`: dates as days, local timestamps as microseconds, bytes as
    /// base64, NaN and infinities as text.
    Debezium,
    /// wal2json: as mapped, but bytes as bare hex, NaN and infinities as null, lists as text literals.
    Wal2json,
}

impl Kind {
    /// The JSON text of a cell.
    pub fn json(self, value: &Value, dialect: JsonDialect) -> String {
        let debezium = dialect == JsonDialect::Debezium;
        match (self, value) {
            (_, Value::Null) => "null".to_owned(),
            (Self::Float, Value::Float(bits)) => json_float(f64::from_bits(*bits), dialect),
            (Self::Bool | Self::Small | Self::Int, _) => self.plain(value),
            (Self::Decimal(..), _) if !debezium => self.plain(value),
            (Self::Date, Value::Int(days)) if debezium => days.to_string(),
            (Self::LocalTimestamp, Value::Int(micros)) if debezium => micros.to_string(),
            (Self::Timestamp, _) if debezium => {
                quoted(&self.plain(value).replace(' ', "T").replace("+00", "Z"))
            }
            (Self::Binary, Value::Binary(bytes)) if debezium => quoted(&base64(bytes)),
            (Self::Binary, _) if dialect == JsonDialect::Wal2json => {
                quoted(self.plain(value).trim_start_matches("\\x"))
            }
            (Self::TextList, Value::List(items)) if dialect != JsonDialect::Wal2json => {
                let items: Vec<String> =
                    items.iter().map(|i| i.as_deref().map_or_else(|| "null".to_owned(), quoted)).collect();
                format!("[{}]", items.join(","))
            }
            _ => quoted(&self.plain(value)),
        }
    }

    /// The exact text of a cell, as Postgres would print it; empty for null.
    pub fn plain(self, value: &Value) -> String {
        match (self, value) {
            (_, Value::Null) => String::new(),
            (_, Value::Bool(v)) => v.to_string(),
            (Self::Date, Value::Int(days)) => date_text(*days),
            (Self::Timestamp, Value::Int(micros)) => timestamp_text(*micros) + "+00",
            (Self::LocalTimestamp, Value::Int(micros)) => timestamp_text(*micros),
            (_, Value::Int(v)) => v.to_string(),
            (Self::Decimal(_, scale), Value::Decimal(v)) => decimal_text(*v, scale),
            (_, Value::Decimal(v)) => v.to_string(),
            (_, Value::Float(bits)) => float_text(f64::from_bits(*bits)),
            (_, Value::Text(text)) => text.clone(),
            (_, Value::Binary(bytes)) => bytes.iter().fold("\\x".to_owned(), |mut text, b| {
                let _ = write!(text, "{b:02x}");
                text
            }),
            (_, Value::List(items)) => list_text(items),
        }
    }

    /// The CSV field of a cell: null is the unquoted empty field, text is always quoted.
    pub fn csv(self, value: &Value) -> String {
        match self {
            _ if value.is_null() => String::new(),
            Self::Text | Self::Uuid | Self::TextList => {
                format!("\"{}\"", self.plain(value).replace('"', "\"\""))
            }
            _ => self.plain(value),
        }
    }
}

/// JSON text of a string.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn json_float(value: f64, dialect: JsonDialect) -> String {
    match (value.is_finite(), dialect) {
        (true, _) => format!("{value:?}"),
        (false, JsonDialect::Wal2json) => "null".to_owned(),
        (false, _) => quoted(&float_text(value)),
    }
}

fn float_text(value: f64) -> String {
    match (value.is_nan(), value.is_infinite(), value > 0.0) {
        (true, ..) => "NaN".to_owned(),
        (_, true, true) => "Infinity".to_owned(),
        (_, true, false) => "-Infinity".to_owned(),
        _ => format!("{value:?}"),
    }
}

/// Plain text of a decimal with all its decimals.
pub fn decimal_text(unscaled: i128, scale: i8) -> String {
    let scale = usize::from(scale.unsigned_abs());
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn date_text(days: i64) -> String {
    let date = TimeDelta::try_days(days).and_then(|d| NaiveDate::default().checked_add_signed(d));
    date.map(|d| d.format("%Y-%m-%d").to_string()).unwrap_or_default()
}

fn timestamp_text(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros)
        .map(|t| t.format("%Y-%m-%d %H:%M:%S%.6f").to_string())
        .unwrap_or_default()
}

fn list_text(items: &[Option<String>]) -> String {
    let item = |item: &Option<String>| match item {
        None => "NULL".to_owned(),
        Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    };
    format!("{{{}}}", items.iter().map(item).collect::<Vec<_>>().join(","))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_exact() {
        assert_eq!(decimal_text(-5, 2), "-0.05");
        assert_eq!(decimal_text(1_234_500, 2), "12345.00");
        assert_eq!(decimal_text(7, 0), "7");
        assert_eq!(Kind::Date.plain(&Value::Int(20_454)), "2026-01-01");
        assert_eq!(Kind::Timestamp.plain(&Value::Int(1_500_000)), "1970-01-01 00:00:01.500000+00");
        assert_eq!(
            Kind::Timestamp.json(&Value::Int(1_500_000), JsonDialect::Debezium),
            "\"1970-01-01T00:00:01.500000Z\""
        );
        assert_eq!(Kind::Float.json(&Value::Float((-0.0f64).to_bits()), JsonDialect::Mapped), "-0.0");
        assert_eq!(Kind::Text.csv(&Value::text("a\"b")), "\"a\"\"b\"");
    }
}
