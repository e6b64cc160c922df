use arrow::array::{Array, AsArray};
use arrow::datatypes::{Field, Fields};
use arrow::util::display::array_value_to_string;

use super::*;

/// Pushes each text into a fresh column of the type and shows what came of it.
fn texts(data_type: &DataType, texts: &[&str]) -> Vec<String> {
    let push = |cells: &mut CellBuilder, t: &str| cells.push_text(t);
    shown(data_type, texts, push)
}

fn jsons(data_type: &DataType, raws: &[&str]) -> Vec<String> {
    shown(data_type, raws, |cells, t| cells.push_json(t))
}

fn shown(
    data_type: &DataType,
    inputs: &[&str],
    push: impl Fn(&mut CellBuilder, &str) -> Result<(), Misfit>,
) -> Vec<String> {
    let mut cells = CellBuilder::new(data_type).unwrap();
    let results: Vec<bool> = inputs.iter().map(|t| push(&mut cells, t).is_ok()).collect();
    assert_eq!(cells.len(), results.iter().filter(|r| **r).count(), "an error pushes nothing");
    let array = cells.finish();
    assert_eq!(array.data_type(), data_type);
    let mut row = 0;
    let mut show = |ok: &bool| {
        if !*ok {
            return "misfit".to_owned();
        }
        row += 1;
        if array.is_null(row - 1) {
            "null".to_owned()
        } else {
            array_value_to_string(&array, row - 1).unwrap()
        }
    };
    results.iter().map(&mut show).collect()
}

#[test]
fn integers_take_exactly_what_they_hold() {
    assert_eq!(
        texts(
            &DataType::Int8,
            &["127", "-128", "128", "-129", "12.0", "1.2e1", "1.5", "", "x", "007", "1e400"]
        ),
        ["127", "-128", "misfit", "misfit", "12", "12", "misfit", "misfit", "misfit", "7", "misfit"]
    );
    assert_eq!(
        texts(&DataType::UInt64, &["18446744073709551615", "18446744073709551616", "-1"]),
        ["18446744073709551615", "misfit", "misfit"]
    );
    assert_eq!(
        jsons(&DataType::Int64, &["9223372036854775807", "-9223372036854775808", "\"5\"", "null", "[1]"]),
        ["9223372036854775807", "-9223372036854775808", "5", "null", "misfit"]
    );
}

#[test]
fn decimals_are_never_rounded() {
    assert_eq!(
        texts(
            &DataType::Decimal128(5, 2),
            &["1.5", "1.500", "1.505", "999.99", "1000", "-0.00", "1e-2", "NaN"]
        ),
        ["1.50", "1.50", "misfit", "999.99", "misfit", "0.00", "0.01", "misfit"]
    );
    let long = "99999999999999999999999999999999999999";
    assert_eq!(
        texts(&DataType::Decimal128(38, 0), &[long, "100000000000000000000000000000000000000"]),
        [long, "misfit"]
    );
    assert_eq!(
        texts(&DataType::Decimal256(76, 10), &["12345678901234567890123456789012345678901234.0123456789"]),
        ["12345678901234567890123456789012345678901234.0123456789"]
    );
    assert_eq!(texts(&DataType::Decimal128(5, -2), &["12300", "12345"]), ["12300", "misfit"]);
    assert_eq!(
        texts(&DataType::Decimal128(10, 2), &["0e999999", "1e-999999", "1e999999999999"]),
        ["0.00", "misfit", "misfit"]
    );
}

#[test]
fn unscaled_bytes_become_decimals_integers_and_text() {
    let mut cells = CellBuilder::new(&DataType::Decimal128(18, 2)).unwrap();
    cells.push_decimal(&[0x04, 0xE2], 2).unwrap();
    cells.push_decimal(&[0xFF], 2).unwrap();
    cells.push_decimal(&[0x04, 0xE2], 1).unwrap();
    cells.push_decimal(&[], 2).unwrap();
    assert!(cells.push_decimal(&[0x01], 3).is_err());
    assert!(cells.push_decimal(&[0x7F; 40], 2).is_err());
    let array = cells.finish();
    let shown: Vec<_> = (0..array.len()).map(|i| array_value_to_string(&array, i).unwrap()).collect();
    assert_eq!(shown, ["12.50", "-0.01", "125.00", "0.00"]);

    assert_eq!(number::plain_text(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0], 0), "-2361183241434822606848");
    assert_eq!(number::plain_text(&[0x05], 3), "0.005");
    assert_eq!(number::plain_text(&[0xFB], -2), "-500");
    assert_eq!(number::plain_text(&[0x3B, 0x9A, 0xCA, 0x00], 0), "1000000000");
}

#[test]
fn floats_take_faithful_prints_only() {
    let shown = texts(
        &DataType::Float64,
        &[
            "0.1",
            "9.007199254740992e+15",
            "9007199254740993",
            "1e400",
            "1e-400",
            "0.30000000000000004",
            "1e23",
        ],
    );
    assert_eq!(
        shown,
        ["0.1", "9007199254740992.0", "misfit", "misfit", "misfit", "0.30000000000000004", "1e23"]
    );
    assert_eq!(
        texts(&DataType::Float64, &["NaN", "-Infinity", "inf", "5e-324"]),
        ["NaN", "-inf", "inf", "5e-324"]
    );
    assert_eq!(
        texts(&DataType::Float32, &["0.1", "0.10000000149011612", "0.123456789"]),
        ["0.1", "0.1", "misfit"]
    );
    let mut cells = CellBuilder::new(&DataType::Float64).unwrap();
    cells.push_json("-0.0").unwrap();
    let array = cells.finish();
    assert!(array.as_primitive::<types::Float64Type>().value(0).is_sign_negative());
}

#[test]
fn every_shortest_print_of_a_float_is_faithful() {
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..20_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = seed ^ (seed >> 29);
        let value = f64::from_bits(bits);
        if value.is_finite() {
            for text in [format!("{value}"), format!("{value:e}"), format!("{value:?}")] {
                let back = number::faithful::<f64>(&text).unwrap_or_else(|| panic!("{text} of {bits:x}"));
                assert_eq!(back.to_bits(), bits);
            }
        }
        let value = f32::from_bits(bits as u32);
        if value.is_finite() {
            let text = format!("{value:e}");
            assert_eq!(number::faithful::<f32>(&text).map(f32::to_bits), Some(value.to_bits()), "{text}");
        }
    }
}

#[test]
fn moments_need_the_offset_that_their_column_has() {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(
        texts(&utc, &["1970-01-01 05:30:00.5+05:30", "1970-01-01T00:00:00Z", "1970-01-01 00:00:00"]),
        ["1970-01-01T00:00:00.500Z", "1970-01-01T00:00:00Z", "misfit"]
    );
    assert_eq!(
        texts(&utc, &["1970-01-01 00:00:00.0000001Z", "9999-12-31 23:59:59.999999+00"]),
        ["misfit", "9999-12-31T23:59:59.999999Z"]
    );
    let local = DataType::Timestamp(TimeUnit::Second, None);
    assert_eq!(
        texts(
            &local,
            &["2024-02-29 12:00:00", "2024-02-29T12:00", "2023-02-29 12:00:00", "2024-01-01 00:00:00Z"]
        ),
        ["2024-02-29T12:00:00", "2024-02-29T12:00:00", "misfit", "misfit"]
    );
    assert_eq!(texts(&local, &["infinity", "2024-01-01 24:00:00", "2024-01-01 00:00:60"]), ["misfit"; 3]);
    let options = CellOptions { zone: Some(chrono_tz::Europe::Berlin), ..CellOptions::default() };
    let mut cells = CellBuilder::with_options(&utc, &options).unwrap();
    cells.push_text("2024-07-01 02:00:00").unwrap();
    assert!(cells.push_text("2024-03-31 02:30:00").is_err(), "skipped");
    assert!(cells.push_text("2024-10-27 02:30:00").is_err(), "twice");
    assert_eq!(array_value_to_string(&cells.finish(), 0).unwrap(), "2024-07-01T00:00:00Z");
}

#[test]
fn dates_and_times_of_day() {
    assert_eq!(
        texts(
            &DataType::Date32,
            &["2024-02-29", "0001-01-01", "0044-03-15 BC", "2024-1-1", "2024-01-01 00:00:00"]
        ),
        ["2024-02-29", "0001-01-01", "-0043-03-15", "misfit", "2024-01-01"]
    );
    assert_eq!(texts(&DataType::Date32, &["2024-01-01 00:00:01", "", "20240101"]), ["misfit"; 3]);
    assert_eq!(
        texts(
            &DataType::Time64(TimeUnit::Microsecond),
            &["12:34:56.789012", "23:59:59Z", "24:00:00", "12:00:00+01"]
        ),
        ["12:34:56.789012", "23:59:59", "misfit", "misfit"]
    );
    let mut cells = CellBuilder::new(&DataType::Date32).unwrap();
    cells.push_epoch(86_400_000, TimeUnit::Millisecond).unwrap();
    cells.push_days(-1).unwrap();
    assert!(cells.push_epoch(1, TimeUnit::Second).is_err());
    assert_eq!(cells.finish().as_primitive::<types::Date32Type>().values().to_vec(), [1, -1]);
    for days in [-719_528, -1, 0, 59, 19_782, 2_932_896] {
        assert_eq!(parse_days(&format_days(days)), Some(days));
    }
}

#[test]
fn texts_keep_every_byte() {
    for data_type in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
        assert_eq!(
            jsons(
                &data_type,
                &[r#""a\n\u00e9""#, "1.10", "true", r#"{ "b" : [1, "x y"] }"#, r#""\ud800""#, "null"]
            ),
            ["a\né", "1.10", "true", r#"{"b":[1,"x y"]}"#, "misfit", "null"]
        );
    }
}

#[test]
fn binary_values_from_hex() {
    for data_type in [DataType::Binary, DataType::LargeBinary, DataType::BinaryView] {
        assert_eq!(
            texts(&data_type, &["\\x00ff", "00FF", "0f0", "zz", ""]),
            ["00ff", "00ff", "misfit", "misfit", ""]
        );
    }
    let uuid = DataType::FixedSizeBinary(16);
    assert_eq!(
        jsons(&uuid, &["\"d9ff9abc-6af7-4f89-ba10-43c05f8df878\"", "null", "\"00\""]),
        ["d9ff9abc6af74f89ba1043c05f8df878", "null", "misfit"]
    );
}

#[test]
fn lists_come_from_postgres_literals_and_json() {
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    assert_eq!(
        texts(&list, &[r#"{a,"b c",NULL,"NULL","q\"\\x"}"#, "{}", "{a,}", "{a", r#"["x", null, 1.0]"#, "a"]),
        [r#"[a, b c, , NULL, q"\x]"#, "[]", "misfit", "misfit", "[x, , 1.0]", "misfit"]
    );
    let dates = DataType::LargeList(Arc::new(Field::new_list_field(DataType::Date32, true)));
    assert_eq!(
        jsons(&dates, &["[\"2024-01-01\", \"x\"]", "\"{2024-01-01}\"", "[]"]),
        ["misfit", "[2024-01-01]", "[]"]
    );
    let nested = DataType::List(Arc::new(Field::new_list_field(list, true)));
    assert_eq!(texts(&nested, &["{{a,b},{c}}"]), ["[[a, b], [c]]"]);
}

#[test]
fn structs_and_maps_come_from_objects() {
    let fields =
        Fields::from(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8, false)]);
    let data_type = DataType::Struct(fields);
    assert_eq!(
        jsons(
            &data_type,
            &[r#"{"b":"x","a":1}"#, r#"{"a":1}"#, r#"{"b":"x","c":1}"#, r#"{"b":"x","b":"y"}"#, "null"]
        ),
        ["{a: 1, b: x}", "misfit", "misfit", "misfit", "null"]
    );
    let entries = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Int32, true),
    ]);
    let map = DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false);
    assert_eq!(jsons(&map, &[r#"{"a":1,"b":null}"#, r#"{"a":"x"}"#, "{}"]), ["{a: 1, b: }", "misfit", "{}"]);
}

#[test]
fn other_types() {
    assert_eq!(texts(&DataType::Boolean, &["t", "FALSE", "1", "yes"]), ["true", "false", "true", "misfit"]);
    let codes = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    assert_eq!(texts(&codes, &["a", "b", "a"]), ["a", "b", "a"]);
    assert!(CellBuilder::new(&DataType::Interval(types::IntervalUnit::DayTime)).is_none());
    assert_eq!(jsons(&DataType::Null, &["null", "1"]), ["", "misfit"]);
}
