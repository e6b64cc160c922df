//! Names of column types, as a plan declares them.

use arrow::datatypes::{DataType, TimeUnit};

use crate::error::nearest;
use crate::plan::parse_zone;

const NAMES: [&str; 23] = [
    "text",
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "decimal(18,2)",
    "date",
    "time",
    "timestamp",
    "timestamp(us)",
    "timestamp(us, UTC)",
    "binary",
    "uuid",
    "json",
    "list<text>",
    "list<int64>",
];

/// The type of this name, or a hint.
///
/// `decimal(precision, scale)`; `timestamp(unit, zone)` with unit `s`, `ms`, `us` or
/// `ns` (default `us`) and no zone for local times; `time(unit)`; `list<type>`.
pub(super) fn data_type(name: &str) -> Result<DataType, String> {
    let hint = || match nearest(name, NAMES) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("choose one of {}", NAMES.join(", ")),
    };
    parse(name.trim()).ok_or_else(hint)
}

fn parse(name: &str) -> Option<DataType> {
    let lower = name.to_ascii_lowercase();
    if let Some(inner) = lower.strip_prefix("list<").and_then(|rest| rest.strip_suffix('>')) {
        return Some(DataType::new_list(parse(inner)?, true));
    }
    let (base, arguments) = match name.split_once('(') {
        Some((base, rest)) => (base.trim(), rest.strip_suffix(')')?.split(',').map(str::trim).collect()),
        None => (name, Vec::new()),
    };
    match (base.to_ascii_lowercase().as_str(), arguments.as_slice()) {
        ("decimal" | "numeric", [precision]) => decimal(precision, "0"),
        ("decimal" | "numeric", [precision, scale]) => decimal(precision, scale),
        ("timestamp", []) => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("timestamp", [unit]) => Some(DataType::Timestamp(time_unit(unit)?, None)),
        ("timestamp", [unit, zone]) => {
            Some(DataType::Timestamp(time_unit(unit)?, Some(zone_name(zone)?.into())))
        }
        ("time", []) => Some(DataType::Time64(TimeUnit::Microsecond)),
        ("time", [unit]) => match time_unit(unit)? {
            unit @ (TimeUnit::Second | TimeUnit::Millisecond) => Some(DataType::Time32(unit)),
            unit @ (TimeUnit::Microsecond | TimeUnit::Nanosecond) => Some(DataType::Time64(unit)),
        },
        (plain, []) => plain_type(plain),
        _ => None,
    }
}

fn plain_type(name: &str) -> Option<DataType> {
    Some(match name {
        "text" | "string" | "utf8" | "json" | "uuid" | "varchar" => DataType::Utf8,
        "bool" | "boolean" => DataType::Boolean,
        "int8" => DataType::Int8,
        "int16" | "smallint" => DataType::Int16,
        "int32" | "int" | "integer" => DataType::Int32,
        "int64" | "bigint" => DataType::Int64,
        "uint8" => DataType::UInt8,
        "uint16" => DataType::UInt16,
        "uint32" => DataType::UInt32,
        "uint64" => DataType::UInt64,
        "float32" | "real" => DataType::Float32,
        "float64" | "double" => DataType::Float64,
        "date" | "date32" => DataType::Date32,
        "binary" | "bytes" => DataType::Binary,
        _ => return None,
    })
}

fn decimal(precision: &str, scale: &str) -> Option<DataType> {
    let (precision, scale): (u8, i8) = (precision.parse().ok()?, scale.parse().ok()?);
    let fits = scale >= 0 && scale.unsigned_abs() <= precision;
    match precision {
        1..=38 if fits => Some(DataType::Decimal128(precision, scale)),
        39..=76 if fits => Some(DataType::Decimal256(precision, scale)),
        _ => None,
    }
}

fn time_unit(name: &str) -> Option<TimeUnit> {
    Some(match name.to_ascii_lowercase().as_str() {
        "s" => TimeUnit::Second,
        "ms" => TimeUnit::Millisecond,
        "us" => TimeUnit::Microsecond,
        "ns" => TimeUnit::Nanosecond,
        _ => return None,
    })
}

fn zone_name(name: &str) -> Option<String> {
    let offset = name.len() == 6 && name.starts_with(['+', '-']) && name.as_bytes()[3] == b':';
    if offset { Some(name.to_owned()) } else { parse_zone(name).ok().map(|zone| zone.name().to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_names() {
        let micro = TimeUnit::Microsecond;
        let table = [
            ("text", DataType::Utf8),
            ("decimal(18, 2)", DataType::Decimal128(18, 2)),
            ("Decimal(40,0)", DataType::Decimal256(40, 0)),
            ("timestamp", DataType::Timestamp(micro, None)),
            ("timestamp(us, UTC)", DataType::Timestamp(micro, Some("UTC".into()))),
            ("timestamp(ns, +05:30)", DataType::Timestamp(TimeUnit::Nanosecond, Some("+05:30".into()))),
            ("time(ms)", DataType::Time32(TimeUnit::Millisecond)),
            ("list<int64>", DataType::new_list(DataType::Int64, true)),
        ];
        for (name, expected) in table {
            assert_eq!(data_type(name), Ok(expected), "{name}");
        }
        assert_eq!(data_type("in64").unwrap_err(), "did you mean int64?");
        for wrong in ["", "decimal(2,3)", "decimal(77,0)", "timestamp(h)", "decimal", "list<>", "text(3)"] {
            assert!(data_type(wrong).is_err(), "{wrong}");
        }
    }
}
