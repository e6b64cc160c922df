use arrow::datatypes::DataType;

use super::super::testing::{decode_all, show, target};
use super::super::{DecodeOptions, Decoded, Format, PositionKind, Stream, TableTarget};
use crate::model::DiscrepancyKind;

fn items() -> TableTarget {
    let columns = [
        ("id!", DataType::Int64),
        ("name", DataType::Utf8),
        ("price", DataType::Decimal128(10, 2)),
        ("note", DataType::Utf8),
    ];
    target("item", &columns)
}

fn decode(chunks: &[&str], target: TableTarget) -> (Vec<Decoded>, Stream, Vec<String>) {
    let targets = [target];
    let options = DecodeOptions::default();
    let (decoded, carry) = decode_all(Format::Wal2Json, chunks, &targets, &options);
    let shown = decoded.iter().flat_map(|d| show(&d.changes[0], &targets[0].schema)).collect();
    (decoded, carry.finish(&options), shown)
}

fn positions(decoded: &[Decoded]) -> Vec<(u128, u128)> {
    let place = |d: &Decoded| {
        let batch = &d.changes[0];
        let commits = batch.commit_position.clone().unwrap_or_default();
        commits.into_iter().zip(batch.position.clone().unwrap_or_default()).collect::<Vec<_>>()
    };
    decoded.iter().flat_map(place).collect()
}

const VERSION_1: &str = r#"{"xid":88123,"nextlsn":"16/B374D8A0","timestamp":"2024-03-31 22:15:04.123456+00","change":[{"kind":"update","schema":"public","table":"item","columnnames":["id","name","price"],"columntypes":["integer","text","numeric(10,2)"],"columnvalues":[7,"bolt M8",19.99],"oldkeys":{"keynames":["id","name","price"],"keytypes":["integer","text","numeric(10,2)"],"keyvalues":[7,"bolt",10.84]}},{"kind":"message","transactional":true,"prefix":"p","content":"c"},{"kind":"delete","schema":"public","table":"item","oldkeys":{"keynames":["id"],"keytypes":["integer"],"keyvalues":[9]}}]}"#;

#[test]
fn version_1() {
    let insert = r#"{"nextlsn":"16/B374D8B0","change":[{"kind":"insert","table":"item","columnnames":["id","note"],"columntypes":["integer","text"],"columnvalues":[1,null]},{"kind":"truncate","table":"item"}]}"#;
    let (decoded, stream, shown) = decode(&[&[VERSION_1, r#"{"change":[]}"#, insert].join("\n")], items());
    let expected = [
        // An old row with more than the key is whole: what it leaves out is null.
        "update id:7 name:bolt price:10.84 note:null -> id:7 name:bolt M8 price:19.99 note:=",
        "delete id:9 name:? price:? note:? -> none",
        "insert none -> id:1 name:? price:? note:null",
        "truncate none -> none",
    ];
    assert_eq!(shown, expected);
    let (a, b) = (97_500_059_808, 97_500_059_824);
    assert_eq!(positions(&decoded), [(a, 0), (a, 1), (b, 0), (b, 1)]);
    assert_eq!(decoded[0].changes[0].committed_at[0], 1_711_923_304_123_456_000);
    assert_eq!(stream.positions, Some(PositionKind::Lsn));
    assert_eq!(decoded[0].notes, []);
}

fn b(lsn: &str) -> String {
    format!(r#"{{"action":"B","xid":7,"timestamp":"2024-03-31 22:15:04+00","lsn":"{lsn}"}}"#)
}

const C: &str = r#"{"action":"C","xid":7,"timestamp":"2024-03-31 22:15:04+00","lsn":"0/30"}"#;

fn update(id: u32, columns: &str, identity: &str) -> String {
    format!(
        r#"{{"action":"U","xid":7,"timestamp":"2024-03-31 22:15:04+00","lsn":"0/{id}","schema":"public","table":"item","columns":[{{"name":"id","type":"integer","value":{id}}}{columns}],"identity":[{{"name":"id","type":"integer","value":{id}}}{identity}]}}"#
    )
}

#[test]
fn version_2_keeps_null_absent_and_unchanged_apart() {
    let name = r#",{"name":"name","type":"text","value":null}"#;
    let whole = r#",{"name":"name","type":"text","value":"x"},{"name":"price","type":"numeric(10,2)","value":null},{"name":"note","type":"text","value":"long"}"#;
    let lines = [b("0/30"), update(1, name, ""), update(2, name, whole), C.to_owned()].join("\n");
    let insert = r#"{"action":"I","table":"item","columns":[{"name":"id","value":3},{"name":"name","value":"n"},{"name":"price","value":1.50},{"name":"note","value":"n"}]}"#;
    let (_, _, shown) = decode(&[&format!("{lines}\n{insert}")], items());
    assert_eq!(
        shown,
        [
            // A large value that the new row leaves out is unchanged on both sides; a number is never that large.
            "update id:1 name:? price:? note:= -> id:1 name:null price:? note:=",
            "update id:2 name:x price:null note:long -> id:2 name:null price:? note:=",
            "insert none -> id:3 name:n price:1.50 note:n",
        ]
    );
}

#[test]
fn a_transaction_goes_on_over_chunks() {
    let first = [b("0/30"), update(1, "", "")].join("\n");
    let second = [update(2, "", ""), update(3, "", "")].join("\n");
    let third = [update(4, "", ""), C.to_owned(), b("0/40"), update(5, "", "")].join("\n");
    let fourth = [update(6, "", ""), C.to_owned()].join("\n");
    let (decoded, stream, _) = decode(&[&first, &second, &third, &fourth], items());
    let expected = [(0x30, 0), (0x30, 1), (0x30, 2), (0x30, 3), (0x40, 0), (0x40, 1)];
    assert_eq!(positions(&decoded), expected);
    assert_eq!(stream.positions, Some(PositionKind::Lsn));
    let streams: Vec<u64> = decoded.iter().flat_map(|d| d.changes[0].stream.clone()).collect();
    assert_eq!(streams, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_lone_end_marker_closes_the_transaction() {
    let first = [b("0/30"), update(1, "", "")].join("\n");
    let (decoded, ..) = decode(&[&first, C, &update(2, "", "")], items());
    assert_eq!(positions(&decoded), [(0x30, 0), (1, 0)]);
}

fn bare(id: u32, lsn: u32, time: &str) -> String {
    format!(
        r#"{{"action":"I","timestamp":"2024-03-31 22:15:{time}+00","lsn":"0/{lsn}","table":"item","columns":[{{"name":"id","value":{id}}}]}}"#
    )
}

#[test]
fn without_markers_equal_times_are_one_transaction() {
    // The second transaction wrote its first change before the first one's last.
    let first = [bare(1, 10, "01"), bare(2, 40, "01")].join("\n");
    let second = [bare(3, 50, "01"), bare(4, 20, "02"), bare(5, 60, "02")].join("\n");
    let again = [bare(4, 20, "02"), bare(5, 60, "02"), bare(6, 70, "03")].join("\n");
    let (decoded, stream, _) = decode(&[&first, &second, &again], items());
    let expected = [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 0), (2, 1), (3, 0)];
    assert_eq!(positions(&decoded), expected);
    assert_eq!(stream.positions, Some(PositionKind::Ordinal));
}

#[test]
fn without_anything_each_change_is_its_own_transaction() {
    let line = r#"{"action":"I","table":"item","columns":[{"name":"id","value":1}]}"#;
    let (decoded, ..) = decode(&[&[line, line].join("\n"), line], items());
    assert_eq!(positions(&decoded), [(1, 0), (2, 0), (3, 0)]);
}

#[test]
fn nulls_that_can_be_nan() {
    let columns = [
        ("id!", DataType::Int64),
        ("score", DataType::Float64),
        ("rate", DataType::Utf8),
        ("note", DataType::Utf8),
        ("price", DataType::Decimal128(9, 2)),
    ];
    let line = |score: &str, rate: &str| {
        format!(
            r#"{{"action":"I","lsn":"0/1","table":"item","columns":[{{"name":"id","type":"bigint","value":1}},{{"name":"score","type":"double precision","value":{score}}},{{"name":"rate","type":"numeric","value":{rate}}},{{"name":"note","type":"text","value":null}},{{"name":"price","type":"numeric(9,2)","value":null}}]}}"#
        )
    };
    let shown = |lines: &str| decode(&[lines], target("item", &columns)).2;
    assert_eq!(
        shown(&line("null", "null")),
        ["insert none -> id:1 score:null? rate:null? note:null price:null"]
    );
    // Numbers written as texts: NaN is a text then, and a null is a null.
    let quoted = shown(&[line("\"NaN\"", "\"1.50\""), line("null", "null")].join("\n"));
    assert_eq!(
        quoted,
        [
            "insert none -> id:1 score:NaN rate:1.50 note:null price:null",
            "insert none -> id:1 score:null rate:null note:null price:null"
        ]
    );
    let options = DecodeOptions { non_finite: Some(false), ..DecodeOptions::default() };
    let targets = [target("item", &columns)];
    let (decoded, _) = decode_all(Format::Wal2Json, &[&line("null", "null")], &targets, &options);
    assert!(show(&decoded[0].changes[0], &targets[0].schema)[0].contains("score:null rate:null"));
    // Without types, a number in a text column tells.
    let untyped =
        r#"{"action":"I","table":"item","columns":[{"name":"id","value":1},{"name":"rate","value":null}]}"#;
    let number =
        r#"{"action":"I","table":"item","columns":[{"name":"id","value":2},{"name":"rate","value":1.50}]}"#;
    assert!(shown(&[untyped, number].join("\n"))[0].contains("rate:null?"));
}

#[test]
fn an_index_as_identity_is_not_a_whole_old_row() {
    // The index covers id and name; price and note are never in the old row although they are not null.
    let line = |id: u32| {
        format!(
            r#"{{"nextlsn":"0/{id}","change":[{{"kind":"update","table":"item","columnnames":["id","name","price","note"],"columntypes":["integer","text","numeric(10,2)","text"],"columnvalues":[{id},"n",1.00,"x"],"oldkeys":{{"keynames":["id","name"],"keytypes":["integer","text"],"keyvalues":[{id},"n"]}}}}]}}"#
        )
    };
    let lines = [line(1), line(2), line(3)].join("\n");
    let (_, _, shown) = decode(&[&lines], items());
    assert_eq!(shown[0], "update id:1 name:n price:? note:? -> id:1 name:n price:1.00 note:x");
}

#[test]
fn postgresql_texts() {
    let columns = [
        ("id!", DataType::Int64),
        ("code", DataType::Utf8),
        ("photo", DataType::Binary),
        ("tags", DataType::new_list(DataType::Utf8, true)),
        ("at", DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()))),
        ("big", DataType::Decimal128(38, 0)),
    ];
    let line = r#"{"action":"I","table":"item","columns":[{"name":"id","value":9007199254740993},{"name":"code","value":"XX "},{"name":"photo","value":"1bc4"},{"name":"tags","value":"{a,\"b c\",NULL}"},{"name":"at","value":"10000-01-01 05:29:59+05:30"},{"name":"big","value":12345678901234567890123456789012345678}]}"#;
    let (decoded, _, shown) = decode(&[line], target("item", &columns));
    assert_eq!(decoded[0].notes, []);
    assert!(shown[0].contains("id:9007199254740993 code:XX  photo:1bc4 tags:[a, b c, "), "{}", shown[0]);
    assert!(shown[0].contains("big:12345678901234567890123456789012345678"));
}

#[test]
fn what_cannot_be_understood_is_set_aside() {
    let lines = [
        r#"{"action":"X","table":"item"}"#,
        r#"{"foo":1}"#,
        r#"{"change":[{"kind":"merge"}]}"#,
        r#"{"action":"D","table":"item","identity":[{"name":"name","value":"x"}]}"#,
        r#"{"action":"I","table":"item"}"#,
        r#"{"change":[{"kind":"insert","table":"item","columnnames":["id","name"],"columnvalues":[1]}]}"#,
        "{",
    ];
    let (decoded, ..) = decode(&[&lines.join("\n")], items());
    let kinds: Vec<_> = decoded[0].notes.iter().map(|n| (n.kind, n.record)).collect();
    let expected: Vec<_> = (1..=7).map(|n| (DiscrepancyKind::UnparsableRecord, n)).collect();
    assert_eq!(kinds, expected);
}
