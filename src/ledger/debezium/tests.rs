use arrow::datatypes::{DataType, TimeUnit};

use super::super::decode::TextEncoding;
use super::super::testing::{decode_all, show, target};
use super::super::{Carry, DecodeOptions, Decoded, Format, PositionKind, TableTarget};
use super::values::{binary_mode, decimal_mode};
use crate::model::DiscrepancyKind;

const TS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

fn items() -> TableTarget {
    target("item", &[("id!", DataType::Int64), ("name", DataType::Utf8), ("qty", DataType::Int32)])
}

/// A PostgreSQL event of table `item`.
fn event(op: &str, before: &str, after: &str, sequence: &str, transaction: u32) -> String {
    format!(
        r#"{{"before":{before},"after":{after},"source":{{"connector":"postgresql","ts_us":1711923304123456,"snapshot":"false","db":"fin","sequence":{sequence},"schema":"public","table":"item","txId":{transaction},"lsn":1}},"op":"{op}"}}"#
    )
}

fn decode(lines: &[String], target: TableTarget) -> (Decoded, Carry, TableTarget) {
    decode_with(lines, target, &DecodeOptions::default())
}

fn decode_with(
    lines: &[String],
    target: TableTarget,
    options: &DecodeOptions,
) -> (Decoded, Carry, TableTarget) {
    let targets = [target];
    let (mut decoded, carry) = decode_all(Format::Debezium, &[&lines.join("\n")], &targets, options);
    let [target] = targets;
    (decoded.remove(0), carry, target)
}

fn shown(lines: &[String]) -> Vec<String> {
    let (decoded, _, target) = decode(lines, items());
    assert_eq!(decoded.notes, [], "no notes expected");
    show(&decoded.changes[0], &target.schema)
}

const ROW: &str = r#"{"id":7,"name":"a","qty":1}"#;

#[test]
fn every_op_has_its_images() {
    let lines = [
        event("c", "null", ROW, r#""[null,\"10\"]""#, 1),
        event("r", "null", ROW, r#""[\"20\",\"30\"]""#, 2),
        event("u", ROW, r#"{"id":7,"name":null,"qty":2}"#, r#""[\"20\",\"31\"]""#, 2),
        event("d", r#"{"id":7,"name":null,"qty":2}"#, "null", r#""[\"20\",\"32\"]""#, 2),
        event("t", "null", "null", r#""[\"20\",\"33\"]""#, 2),
        event("m", "null", "null", r#""[\"20\",\"34\"]""#, 2),
    ];
    let expected = [
        "insert none -> id:7 name:a qty:1",
        "read none -> id:7 name:a qty:1",
        "update id:7 name:a qty:1 -> id:7 name:null qty:2",
        "delete id:7 name:null qty:2 -> none",
        "truncate none -> none",
    ];
    assert_eq!(shown(&lines), expected);
}

#[test]
fn an_unknown_op_is_reported_never_ignored() {
    let (decoded, ..) = decode(&[event("x", "null", ROW, "null", 1)], items());
    assert_eq!(decoded.notes[0].kind, DiscrepancyKind::UnparsableRecord);
    assert!(decoded.changes[0].is_empty());
}

#[test]
fn inserts_with_a_snapshot_mark_are_initial_reads() {
    for (mark, op) in [
        (r#""true""#, "read"),
        (r#""last""#, "read"),
        ("true", "read"),
        ("null", "insert"),
        ("false", "insert"),
    ] {
        let line = event("c", "null", ROW, "null", 1)
            .replace(r#""snapshot":"false""#, &format!(r#""snapshot":{mark}"#));
        assert!(shown(&[line])[0].starts_with(op), "{mark}");
    }
}

#[test]
fn made_up_zeros_are_not_data() {
    // Identity DEFAULT: updates have no before image, so the delete holds its key alone.
    let lines = [
        event("u", "null", r#"{"id":8,"name":"b","qty":3}"#, "null", 1),
        event("d", r#"{"id":7,"name":"","qty":0}"#, "null", "null", 1),
    ];
    let expected = ["update id:8 name:? qty:? -> id:8 name:b qty:3", "delete id:7 name:? qty:? -> none"];
    assert_eq!(shown(&lines), expected);
}

#[test]
fn a_lone_delete_of_postgresql_is_only_believed_by_its_key() {
    let line = event("d", r#"{"id":7,"name":"","qty":0}"#, "null", "null", 1);
    assert_eq!(shown(std::slice::from_ref(&line)), ["delete id:7 name:? qty:? -> none"]);
    let mysql = line.replace("postgresql", "mysql");
    assert_eq!(shown(&[mysql]), ["delete id:7 name: qty:0 -> none"]);
    let full = DecodeOptions { full_identity: Some(true), ..DecodeOptions::default() };
    let (decoded, _, target) = decode_with(&[line], items(), &full);
    assert_eq!(show(&decoded.changes[0], &target.schema), ["delete id:7 name: qty:0 -> none"]);
}

#[test]
fn deletes_that_vary_are_whole() {
    let delete = |id: u32, name: &str| {
        event("d", &format!(r#"{{"id":{id},"name":"{name}","qty":0}}"#), "null", "null", 1)
    };
    let (decoded, carry, target) = decode(&[delete(1, "a"), delete(2, "b"), delete(3, "c")], items());
    assert_eq!(show(&decoded.changes[0], &target.schema)[1], "delete id:2 name:b qty:0 -> none");
    assert!(!carry.finish(&DecodeOptions::default()).read_again);
}

#[test]
fn what_a_later_chunk_tells_asks_for_reading_again() {
    let targets = [items()];
    let first = event("d", r#"{"id":1,"name":"a","qty":5}"#, "null", "null", 1);
    let second = event("u", ROW, ROW, "null", 2);
    let mut options = DecodeOptions::default();
    let (_, carry) = decode_all(Format::Debezium, &[&first, &second], &targets, &options);
    let stream = carry.finish(&options);
    assert!(stream.read_again);
    options.facts = stream.facts;
    let (decoded, carry) = decode_all(Format::Debezium, &[&first, &second], &targets, &options);
    assert!(!carry.finish(&options).read_again);
    assert_eq!(show(&decoded[0].changes[0], &targets[0].schema), ["delete id:1 name:a qty:5 -> none"]);
}

#[test]
fn unavailable_values_are_unchanged_on_both_sides() {
    let after = r#"{"id":7,"name":"__debezium_unavailable_value","qty":2}"#;
    let lines = [event("u", "null", after, "null", 1), event("u", ROW, after, "null", 1)];
    // The first update tells that identity is not FULL, so neither is the second's before image.
    let expected =
        ["update id:7 name:= qty:? -> id:7 name:= qty:2", "update id:7 name:? qty:? -> id:7 name:= qty:2"];
    assert_eq!(shown(&lines), expected);
    let whole = shown(&[event("u", ROW, after, "null", 1)]);
    assert_eq!(whole, ["update id:7 name:a qty:1 -> id:7 name:= qty:2"]);
    let insert = shown(&[event("c", "null", after, "null", 1)]);
    assert_eq!(insert, ["insert none -> id:7 name:__debezium_unavailable_value qty:2"]);
    let sql_server =
        event("u", after, r#"{"id":7,"name":"new","qty":2}"#, "null", 1).replace("postgresql", "sqlserver");
    assert_eq!(shown(&[sql_server]), ["update id:7 name:? qty:2 -> id:7 name:new qty:2"]);
}

#[test]
fn keys_come_from_the_message_where_images_are_stripped() {
    let value = event("d", "null", "null", "null", 1);
    let wrapped = format!(r#"{{"topic":"erp.public.item","key":{{"id":7}},"value":{value}}}"#);
    assert_eq!(shown(&[wrapped]), ["delete id:7 name:? qty:? -> none"]);
    let with_schema = format!(
        r#"{{"topic":"t","key":{{"schema":{{"type":"struct"}},"payload":{{"id":7}}}},"value":{value}}}"#
    );
    assert_eq!(shown(&[with_schema]), ["delete id:7 name:? qty:? -> none"]);
    let tabbed = format!("{{\"id\":7}}\t{value}");
    assert_eq!(shown(&[tabbed]), ["delete id:7 name:? qty:? -> none"]);
    let (decoded, ..) = decode(&[value], items());
    assert_eq!(decoded.notes[0].kind, DiscrepancyKind::UnparsableRecord);
}

#[test]
fn payloads_can_be_texts() {
    let text = serde_json::Value::from(event("c", "null", ROW, "null", 1)).to_string();
    let kcat = format!(
        r#"{{"topic":"erp.public.item","partition":0,"offset":1,"key":"{{\"id\":7}}","payload":{text}}}"#
    );
    assert_eq!(shown(&[kcat]), ["insert none -> id:7 name:a qty:1"]);
}

#[test]
fn control_records_change_nothing() {
    let lines = [
        "null",
        r#"{"topic":"erp.public.item","key":{"id":7},"value":null}"#,
        r#"{"ts_ms":1711923305870}"#,
        r#"{"topic":"__debezium-heartbeat.erp","key":{"serverName":"erp"},"value":{"ts_ms":1}}"#,
        r#"{"status":"BEGIN","id":"763:27222440","event_count":null,"data_collections":null,"ts_ms":1}"#,
        r#"{"source":{"connector":"mysql","db":"fin"},"ts_ms":1,"databaseName":"fin","ddl":"ALTER TABLE item","tableChanges":[]}"#,
        r#"{"schema":{"type":"struct"},"payload":null}"#,
    ];
    let (decoded, ..) = decode(&lines.map(str::to_owned), items());
    assert_eq!(decoded.notes, []);
    assert!(decoded.changes[0].is_empty());
}

#[test]
fn ends_of_transactions_are_held_against_their_records() {
    let in_transaction = |number: u32, lsn: u32| {
        event(
            "c",
            "null",
            &format!(r#"{{"id":{number},"name":"a","qty":1}}"#),
            &format!(r#""[\"5\",\"{lsn}\"]""#),
            763,
        )
        .replace(
            r#""op""#,
            &format!(r#""transaction":{{"id":"763:{lsn}","data_collection_order":{number}}},"op""#),
        )
    };
    let end = |count: u32| {
        format!(
            r#"{{"status":"END","id":"763:99","event_count":{count},"data_collections":[{{"data_collection":"public.item","event_count":{count}}},{{"data_collection":"public.other","event_count":3}}],"ts_ms":1}}"#
        )
    };
    let notes = |lines: &[String]| decode(lines, items()).1.finish(&DecodeOptions::default()).notes;
    assert_eq!(notes(&[in_transaction(1, 10), in_transaction(2, 11), end(2)]), []);
    let missing = notes(&[in_transaction(1, 10), end(2)]);
    assert_eq!(missing[0].kind, DiscrepancyKind::SequenceGap);
    assert!(missing[0].message.contains("has 1 changes of public.item"), "{}", missing[0].message);
    assert_eq!((missing[0].file, missing[0].record), (0, 2), "the end that declares the number");
    let redelivered = [in_transaction(1, 10), in_transaction(2, 11), end(2), in_transaction(2, 11), end(2)];
    assert_eq!(notes(&redelivered), []);
}

#[test]
fn postgresql_orders_by_last_commit_and_lsn() {
    let lines = [
        event("r", "null", ROW, r#""[null,\"50\"]""#, 1)
            .replace(r#""snapshot":"false""#, r#""snapshot":"true""#),
        event("u", ROW, ROW, r#""[null,\"40\"]""#, 2),
        event("u", ROW, ROW, r#""[null,\"60\"]""#, 2),
        event("u", ROW, ROW, r#""[\"70\",\"30\"]""#, 3),
    ];
    let (decoded, carry, _) = decode(&lines, items());
    let batch = &decoded.changes[0];
    // The first transaction began before the snapshot and still comes after it.
    assert_eq!(batch.commit_position, Some(vec![100, 101, 101, 141]));
    assert_eq!(batch.position, Some(vec![50, 40, 60, 30]));
    assert_eq!(carry.finish(&DecodeOptions::default()).positions, Some(PositionKind::DebeziumLsn));
    assert_eq!(batch.committed_at[0], 1_711_923_304_123_456_000);
}

#[test]
fn a_connector_that_starts_anew_goes_on_where_the_stream_is() {
    let targets = [items()];
    let first = event("u", ROW, ROW, r#""[\"70\",\"80\"]""#, 3);
    let read = event("r", "null", ROW, r#""[null,\"90\"]""#, 4);
    let update = event("u", ROW, ROW, r#""[null,\"85\"]""#, 5);
    let chunks: [&str; 3] = [&first, &read, &update];
    let (decoded, _) = decode_all(Format::Debezium, &chunks, &targets, &DecodeOptions::default());
    let commits: Vec<u128> =
        decoded.iter().map(|d| d.changes[0].commit_position.as_ref().unwrap()[0]).collect();
    assert_eq!(commits, [141, 180, 181]);
}

#[test]
fn without_a_sequence_the_stream_stands() {
    let (decoded, carry, _) = decode(&[event("u", ROW, ROW, "null", 3)], items());
    assert_eq!(decoded.changes[0].position, None);
    assert_eq!(carry.finish(&DecodeOptions::default()).positions, None);
}

#[test]
fn damaged_numbers_do_not_matter_where_the_sequence_is_whole() {
    let line = event("u", ROW, ROW, r#""[null,\"-9223372036854775808\"]""#, 3)
        .replace(r#""lsn":1"#, r#""lsn":-9223372036854776000"#);
    let (decoded, ..) = decode(&[line], items());
    assert_eq!(decoded.changes[0].position, Some(vec![1 << 63]));
}

fn binlog(file: &str, server: u32) -> String {
    format!(
        r#"{{"before":null,"after":{ROW},"source":{{"connector":"mysql","ts_ms":1711923304000,"db":"fin","table":"item","server_id":{server},"gtid":"u-1:5","file":"{file}","pos":1442,"row":1}},"op":"c"}}"#
    )
}

#[test]
fn binlog_files_compare_by_number() {
    let (decoded, carry, _) =
        decode(&[binlog("mysql-bin.999999", 1), binlog("mysql-bin.1000000", 1)], items());
    let positions = decoded.changes[0].position.as_ref().unwrap();
    assert!(positions[0] < positions[1]);
    assert_eq!(
        carry.finish(&DecodeOptions::default()).positions,
        Some(PositionKind::Binlog("mysql-bin.".into()))
    );
    for other in [binlog("other-bin.000001", 1), binlog("mysql-bin.1000001", 2)] {
        let (_, carry, _) = decode(&[binlog("mysql-bin.999999", 1), other], items());
        assert_eq!(carry.finish(&DecodeOptions::default()).positions, None);
    }
}

#[test]
fn sql_server_and_oracle_positions() {
    let source = |source: &str| format!(r#"{{"before":null,"after":{ROW},"source":{source},"op":"c"}}"#);
    let place = |line: String| {
        let (decoded, ..) = decode(&[line], items());
        let batch = &decoded.changes[0];
        (batch.commit_position.as_ref().map(|p| p[0]), batch.position.as_ref().map(|p| p[0]))
    };
    let sql_server = r#"{"connector":"sqlserver","table":"item","commit_lsn":"0000002a:000001c8:0003","change_lsn":"0000002a:000001c8:0002","event_serial_no":"2"}"#;
    let lsn = 0x0000_002A_0000_01C8_0003_u128;
    assert_eq!(place(source(sql_server)), (Some(lsn), Some((lsn - 1) << 48 | 2)));
    let oracle = |version: &str, commit: u32| {
        source(&format!(
            r#"{{"version":"{version}","connector":"oracle","table":"item","scn":"100","commit_scn":"{commit}","txId":"0a001b00","txSeq":3}}"#
        ))
    };
    assert_eq!(place(oracle("2.4.0.Final", 120)), (Some(120 << 64 | 0x0a00_1b00), Some(3)));
    assert_eq!(place(oracle("1.5.4.Final", 120)), (None, None));
    assert_eq!(place(oracle("2.4.0.Final", 90)), (None, None));
}

/// Decodes one insert with a single value column; `value` and `field` are raw JSON.
fn one(data_type: DataType, value: &str, field: Option<&str>) -> (String, Vec<DiscrepancyKind>) {
    let table = target("t", &[("id!", DataType::Int64), ("v", data_type)]);
    let payload = format!(
        r#"{{"before":null,"after":{{"id":1,"v":{value}}},"source":{{"connector":"mysql","table":"t","ts_ms":1,"file":"b.1","pos":1}},"op":"c"}}"#
    );
    let line = match field {
        None => payload,
        Some(field) => format!(
            r#"{{"schema":{{"type":"struct","fields":[{{"type":"struct","field":"after","fields":[{{"type":"int64","field":"id"}},{{"field":"v",{field}}}]}}]}},"payload":{payload}}}"#
        ),
    };
    let (decoded, _, table) = decode(&[line], table);
    let text = show(&decoded.changes[0], &table.schema)[0].replace("insert none -> id:1 v:", "");
    (text, decoded.notes.iter().map(|n| n.kind).collect())
}

#[test]
fn decimals_as_base64() {
    let decimal = |scale: i8| DataType::Decimal128(38, scale);
    let field = |scale: i8| {
        format!(
            r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{{"scale":"{scale}"}}"#
        )
    };
    for (base64, scale, expected) in [
        ("B88=", 2, "19.99"),
        ("BDw=", 2, "10.84"),
        ("+DE=", 2, "-19.99"),
        ("7Hg=", 2, "-50.00"),
        ("AA==", 0, "0"),
        ("AIA=", 0, "128"),
        ("/4A=", 0, "-128"),
        ("SZYC0g==", 0, "1234567890"),
        ("BWvHXi1jEAAA", 0, "100000000000000000000"),
    ] {
        let raw = format!("\"{base64}\"");
        assert_eq!(one(decimal(scale), &raw, Some(&field(scale))), (expected.to_owned(), vec![]), "{base64}");
    }
    // Without schema the column's scale counts, where the text can be nothing but base64.
    assert_eq!(one(decimal(2), r#""+DE=""#, None), ("-19.99".to_owned(), vec![]));
    assert_eq!(one(decimal(2), r#""-19.99""#, None), ("-19.99".to_owned(), vec![]));
    assert_eq!(one(decimal(2), r#"{"scale":1,"value":"B88="}"#, None), ("199.90".to_owned(), vec![]));
    assert_eq!(one(decimal(3), "12345.11", Some(&field(3))), ("12345.110".to_owned(), vec![]));
    assert_eq!(
        one(decimal(1), r#"{"scale":2,"value":"B88="}"#, None),
        ("?".to_owned(), vec![DiscrepancyKind::LossyValue])
    );
    assert_eq!(one(decimal(2), "1.2345678901234568E15", None).1, [DiscrepancyKind::LossyValue]);
}

#[test]
fn decimals_that_read_both_ways_are_not_guessed() {
    let ambiguous = one(DataType::Decimal128(18, 0), r#""1234""#, None);
    assert_eq!(ambiguous, ("?".to_owned(), vec![DiscrepancyKind::LossyValue]));
    assert_eq!(decimal_mode("1234"), None);
    assert_eq!(decimal_mode("12345"), Some(TextEncoding::Plain));
    assert_eq!(decimal_mode("12.3"), Some(TextEncoding::Plain));
    assert_eq!(decimal_mode("NaN"), Some(TextEncoding::Plain));
    assert_eq!(decimal_mode("B88="), Some(TextEncoding::Base64));
    // A later record proves it for the whole chunk.
    let table = target("t", &[("id!", DataType::Int64), ("v", DataType::Decimal128(18, 0))]);
    let line = |value: &str| {
        format!(
            r#"{{"before":null,"after":{{"id":1,"v":"{value}"}},"source":{{"connector":"mysql","table":"t"}},"op":"c"}}"#
        )
    };
    let (decoded, _, table) = decode(&[line("1234"), line("12345")], table);
    assert_eq!(show(&decoded.changes[0], &table.schema)[0], "insert none -> id:1 v:1234");
}

#[test]
fn numbers_of_variable_scale_in_text_columns() {
    let table = target("t", &[("id!", DataType::Int64), ("v", DataType::Utf8)]);
    let line = |value: &str| {
        format!(
            r#"{{"before":null,"after":{{"id":1,"v":{value}}},"source":{{"connector":"postgresql","table":"t"}},"op":"c"}}"#
        )
    };
    let (decoded, carry, table) = decode(&[line("null"), line(r#"{"scale":2,"value":"B88="}"#)], table);
    // NaN is written as null, so the null may be one.
    assert_eq!(
        show(&decoded.changes[0], &table.schema),
        ["insert none -> id:1 v:null?", "insert none -> id:1 v:19.99"]
    );
    assert_eq!(decoded.notes[0].kind, DiscrepancyKind::LossyValue);
    assert!(carry.finish(&DecodeOptions::default()).facts.scale_lost(0, 1));
}

#[test]
fn dates_and_times() {
    let name = |name: &str| format!(r#""type":"int64","name":"{name}""#);
    let date = one(DataType::Date32, "19813", Some(&name("io.debezium.time.Date")));
    assert_eq!(date, ("2024-03-31".to_owned(), vec![]));
    assert_eq!(one(DataType::Date32, "19813", None).0, "2024-03-31");
    assert_eq!(one(DataType::Date32, r#""2024-03-31Z""#, None).0, "2024-03-31");
    assert_eq!(one(TS, "1711923304123456", None), ("2024-03-31T22:15:04.123456".to_owned(), vec![]));
    let milliseconds = one(TS, "1711923304123", Some(&name("io.debezium.time.Timestamp")));
    assert_eq!(milliseconds, ("2024-03-31T22:15:04.123".to_owned(), vec![]));
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(one(zoned, r#""2024-03-31T22:15:04.5Z""#, None).0, "2024-03-31T22:15:04.500Z");
    let iso = one(
        TS,
        r#""2024-03-31T22:15:04.5Z""#,
        Some(r#""type":"string","name":"io.debezium.time.IsoTimestamp""#),
    );
    assert_eq!(iso.0, "2024-03-31T22:15:04.500");
    let time = DataType::Time64(TimeUnit::Microsecond);
    assert_eq!(one(time, "45296123456", None).0, "12:34:56.123456");
    assert_eq!(
        one(DataType::Date32, "1711843200000", Some(&name("io.debezium.time.Timestamp"))).0,
        "2024-03-31"
    );
}

#[test]
fn infinity_is_no_date() {
    let infinite = one(TS, "9223372036825200000", None);
    assert_eq!(infinite, ("?".to_owned(), vec![DiscrepancyKind::LossyValue]));
}

#[test]
fn a_unit_that_makes_no_sense_is_refused() {
    // Milliseconds in a column of microseconds would all be in January 1970.
    assert_eq!(one(TS, "1711923304123", None), ("?".to_owned(), vec![DiscrepancyKind::LossyValue]));
    assert_eq!(one(TS, "0", None), ("1970-01-01T00:00:00".to_owned(), vec![]));
    let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
    assert_eq!(one(millis, "1711923304123456", None).1, [DiscrepancyKind::LossyValue]);
}

#[test]
fn bytes_bits_and_unsigned_numbers() {
    assert_eq!(one(DataType::Binary, r#""RSs=""#, None).0, "452b");
    assert_eq!(one(DataType::Binary, r#""452b""#, Some(r#""type":"bytes""#)).0, "e39d9b");
    assert_eq!(one(DataType::Binary, r#""452b""#, None).1, [DiscrepancyKind::LossyValue]);
    assert_eq!(binary_mode("452b45"), Some(TextEncoding::Hex));
    assert_eq!(binary_mode("RSs="), Some(TextEncoding::Base64));
    assert_eq!(binary_mode("452b"), None);
    let bits = Some(r#""type":"bytes","name":"io.debezium.data.Bits","parameters":{"length":"10"}"#);
    assert_eq!(one(DataType::UInt64, r#""AQI=""#, bits).0, "513");
    assert_eq!(one(DataType::Utf8, r#""AQI=""#, bits).0, "1000000001");
    assert_eq!(one(DataType::UInt64, "-1", None).0, "18446744073709551615");
    assert_eq!(one(DataType::Int64, "9007199254740993", None).0, "9007199254740993");
    assert_eq!(one(DataType::Boolean, "1", None).0, "true");
    assert_eq!(one(DataType::Int16, "true", None).0, "1");
    assert_eq!(one(DataType::Float64, r#""NaN""#, None).0, "NaN");
    let geometry = Some(r#""type":"struct","name":"io.debezium.data.geometry.Point""#);
    assert_eq!(one(DataType::Binary, r#"{"x":1.0,"y":2.0,"wkb":"AQE=","srid":null}"#, geometry).0, "0101");
}

#[test]
fn a_default_may_stand_for_null() {
    let field = r#""type":"int32","optional":true,"default":1234"#;
    assert_eq!(
        one(DataType::Int32, "1234", Some(field)),
        ("1234".to_owned(), vec![DiscrepancyKind::AmbiguousNull])
    );
    assert_eq!(one(DataType::Int32, "7", Some(field)).1, []);
}

#[test]
fn unknown_columns_are_said_once() {
    let wide = r#"{"id":7,"name":"a","qty":1,"extra":2}"#;
    let line = event("c", "null", wide, "null", 1);
    let (mut decoded, _) =
        decode_all(Format::Debezium, &[&line, &line], &[items()], &DecodeOptions::default());
    let last = decoded.pop().unwrap();
    assert_eq!(decoded[0].notes[0].kind, DiscrepancyKind::UnknownColumn);
    assert_eq!(decoded[0].notes[0].column.as_deref(), Some("extra"));
    assert_eq!(last.notes, []);
}

#[test]
fn a_key_that_does_not_fit_sets_the_record_aside() {
    let lines = [
        event("c", "null", r#"{"id":"x","name":"a","qty":1}"#, "null", 1),
        event("c", "null", ROW, "null", 1),
    ];
    let (decoded, _, target) = decode(&lines, items());
    assert_eq!(decoded.notes[0].kind, DiscrepancyKind::LossyValue);
    assert_eq!(show(&decoded.changes[0], &target.schema), ["insert none -> id:7 name:a qty:1"]);
    assert_eq!(decoded.changes[0].record, [2]);
}

#[test]
fn damaged_records_are_set_aside_with_their_number() {
    let lines = [
        event("c", "null", ROW, "null", 1),
        r#"{"before":null,"after":"#.to_owned(),
        "[1]".to_owned(),
        "7".to_owned(),
    ];
    let (decoded, ..) = decode(&lines, items());
    assert_eq!(decoded.changes[0].len(), 1);
    let numbers: Vec<u64> = decoded.notes.iter().map(|n| n.record).collect();
    assert_eq!(numbers, [2, 3, 4]);
}

#[test]
fn keyless_tables_are_whole() {
    let ticks =
        target("item", &[("id", DataType::Int64), ("name", DataType::Utf8), ("qty", DataType::Int32)]);
    let (decoded, _, ticks) =
        decode(&[event("d", ROW, "null", "null", 1), event("u", "null", ROW, "null", 1)], ticks);
    assert_eq!(show(&decoded.changes[0], &ticks.schema), ["delete id:7 name:a qty:1 -> none"]);
    assert_eq!(decoded.notes[0].kind, DiscrepancyKind::UnparsableRecord);
}
