use arrow::datatypes::DataType;

use super::super::testing::{decode_all, show, target};
use super::super::{
    DecodeOptions, Decoded, Format, MappingHints, Missing, PositionKind, TableTarget, detect_mapping,
};
use crate::model::DiscrepancyKind;

fn items() -> TableTarget {
    target("item", &[("id!", DataType::Int64), ("name", DataType::Utf8), ("qty", DataType::Int32)])
}

fn decode_with(lines: &[&str], options: &DecodeOptions) -> (Decoded, Vec<String>) {
    let targets = [TableTarget { names: vec![], ..items() }];
    let (mut decoded, _) = decode_all(Format::Mapped, &[&lines.join("\n")], &targets, options);
    let shown = show(&decoded[0].changes[0], &targets[0].schema);
    (decoded.remove(0), shown)
}

fn shown(lines: &[&str]) -> Vec<String> {
    let (decoded, shown) = decode_with(lines, &DecodeOptions::default());
    assert_eq!(decoded.notes, []);
    shown
}

#[test]
fn images_as_objects() {
    let lines = [
        r#"{"seq":1,"txid":"a","committed_at":"2021-11-02T20:00:30Z","op":"I","before":null,"after":{"id":"1","name":"","qty":""}}"#,
        r#"{"seq":2,"txid":"a","committed_at":"2021-11-02T20:00:30Z","op":"U","before":{"id":1,"name":"","qty":null},"after":{"id":1,"name":"x","qty":5}}"#,
        r#"{"seq":3,"txid":"b","committed_at":1635883230,"op":"D","before":{"id":1,"name":"x","qty":5},"after":null}"#,
    ];
    let expected = [
        "insert none -> id:1 name: qty:null",
        "update id:1 name: qty:null -> id:1 name:x qty:5",
        "delete id:1 name:x qty:5 -> none",
    ];
    assert_eq!(shown(&lines), expected);
    let (decoded, _) = decode_with(&lines, &DecodeOptions::default());
    let batch = &decoded.changes[0];
    assert_eq!(batch.position, Some(vec![1, 2, 3]));
    assert_eq!(batch.commit_position, None);
    assert_eq!(batch.committed_at, [1_635_883_230_000_000_000; 3]);
    assert_eq!(batch.transaction.as_ref().unwrap().len(), 3);
}

#[test]
fn images_as_texts_of_json() {
    let lines = [
        r#"{"op":"u","old":"{\"id\":1,\"name\":\"a\\\"b\",\"qty\":1}","new":"{\"id\":1,\"name\":null,\"qty\":2}"}"#,
        r#"{"op":"i","old":"null","new":"{\"id\":2,\"name\":\"\",\"qty\":2}"}"#,
    ];
    let expected = ["update id:1 name:a\"b qty:1 -> id:1 name:null qty:2", "insert none -> id:2 name: qty:2"];
    assert_eq!(shown(&lines), expected);
    let (decoded, _) = decode_with(&[r#"{"op":"i","old":null,"new":"{\"id\":"}"#], &DecodeOptions::default());
    assert_eq!(decoded.notes[0].kind, DiscrepancyKind::UnparsableRecord);
}

#[test]
fn images_as_members_by_pattern() {
    let lines = [
        r#"{"op":"insert","old_id":null,"old_name":null,"old_qty":null,"new_id":1,"new_name":"a","new_qty":null}"#,
        r#"{"op":"update","old_id":1,"old_name":"a","old_qty":null,"new_id":2,"new_name":"a","new_qty":7}"#,
        r#"{"op":"delete","old_id":2,"old_name":"a","old_qty":7,"new_id":null,"new_name":null,"new_qty":null}"#,
    ];
    let expected = [
        "insert none -> id:1 name:a qty:null",
        "update id:1 name:a qty:null -> id:2 name:a qty:7",
        "delete id:2 name:a qty:7 -> none",
    ];
    assert_eq!(shown(&lines), expected);
}

#[test]
fn one_object_per_image() {
    let lines = [
        r#"{"id":1,"name":"a","qty":1,"_change_type":"insert","_commit_version":1}"#,
        r#"{"id":1,"name":"a","qty":1,"_change_type":"update_preimage","_commit_version":2}"#,
        r#"{"id":1,"name":"b","qty":1,"_change_type":"update_postimage","_commit_version":2}"#,
        r#"{"id":1,"name":"b","qty":1,"_change_type":"delete","_commit_version":3}"#,
        r#"{"id":2,"name":"c","qty":1,"_change_type":"update_preimage","_commit_version":4}"#,
    ];
    let expected = [
        "insert none -> id:1 name:a qty:1",
        "update id:1 name:a qty:1 -> id:1 name:b qty:1",
        "delete id:1 name:b qty:1 -> none",
        "delete id:2 name:c qty:1 -> none",
    ];
    assert_eq!(shown(&lines), expected);
}

#[test]
fn an_image_column_tells_the_halves_apart() {
    let lines = [
        r#"{"seq":1,"op":"U","image":"before","id":1,"name":"a","qty":1}"#,
        r#"{"seq":1,"op":"U","image":"after","id":2,"name":"a","qty":1}"#,
        r#"{"seq":2,"op":"I","image":"after","id":3,"name":"a","qty":1}"#,
    ];
    assert_eq!(
        shown(&lines),
        ["update id:1 name:a qty:1 -> id:2 name:a qty:1", "insert none -> id:3 name:a qty:1"]
    );
}

#[test]
fn without_an_op_the_images_say_it() {
    let lines = [
        r#"{"seq":1,"before":null,"after":{"id":1,"name":"a","qty":1}}"#,
        r#"{"seq":2,"before":{"id":1},"after":{"id":1,"qty":2}}"#,
        r#"{"seq":3,"before":{"id":1,"name":"a","qty":2},"after":null}"#,
    ];
    let expected = [
        "insert none -> id:1 name:a qty:1",
        "update id:1 name:? qty:? -> id:1 name:? qty:2",
        "delete id:1 name:a qty:2 -> none",
    ];
    assert_eq!(shown(&lines), expected);
}

#[test]
fn what_is_left_out_is_what_the_plan_says() {
    let lines = [r#"{"seq":2,"op":"u","before":{"id":1,"qty":1},"after":{"id":1,"qty":2}}"#];
    let with = |missing| decode_with(&lines, &DecodeOptions { missing, ..DecodeOptions::default() }).1;
    assert_eq!(with(Missing::Absent), ["update id:1 name:? qty:1 -> id:1 name:? qty:2"]);
    assert_eq!(with(Missing::Unchanged), ["update id:1 name:= qty:1 -> id:1 name:= qty:2"]);
    assert_eq!(with(Missing::Null), ["update id:1 name:null qty:1 -> id:1 name:null qty:2"]);
}

#[test]
fn times_without_zone_need_one() {
    let lines = [
        r#"{"committed_at":"2021-10-31T02:30:00","op":"I","before":null,"after":{"id":1,"name":"a","qty":1}}"#,
    ];
    let (decoded, _) = decode_with(&lines, &DecodeOptions::default());
    assert_eq!(decoded.lacks_zone, Some(1));
    let berlin = DecodeOptions { time_zone: Some(chrono_tz::Europe::Berlin), ..DecodeOptions::default() };
    let (decoded, _) = decode_with(&lines, &berlin);
    assert_eq!(decoded.lacks_zone, None);
    assert_eq!(decoded.notes[0].kind, DiscrepancyKind::AmbiguousCut);
    assert_eq!(decoded.changes[0].committed_at, [1_635_640_200_000_000_000]);
}

#[test]
fn records_that_say_too_little_are_set_aside() {
    let lines = [
        r#"{"seq":1,"op":"?","before":null,"after":{"id":1,"name":"a","qty":1}}"#,
        r#"{"seq":2,"op":"I","before":null,"after":null}"#,
        r#"{"seq":3,"op":"D","before":{"name":"a"},"after":null}"#,
        r#"{"seq":4,"op":"I","before":null,"after":[1]}"#,
        r#"{"seq":5,"op":"D","id":7,"before":null,"after":null}"#,
        "{",
    ];
    let (decoded, shown) = decode_with(&lines, &DecodeOptions::default());
    let records: Vec<u64> = decoded.notes.iter().map(|n| n.record).collect();
    assert_eq!(records, [1, 2, 3, 4, 6]);
    assert_eq!(shown, ["delete id:7 name:? qty:? -> none"]);
}

#[test]
fn several_tables_in_one_stream() {
    let targets = [items(), target("other", &[("k!", DataType::Utf8)])];
    let lines = [
        r#"{"seq":1,"table":"other","op":"I","before":null,"after":{"k":"x"}}"#,
        r#"{"seq":2,"table":"item","op":"I","before":null,"after":{"id":1,"name":"a","qty":1}}"#,
        r#"{"seq":3,"table":"third","op":"I","before":null,"after":{"z":1}}"#,
    ];
    let options = DecodeOptions::default();
    let (decoded, carry) = decode_all(Format::Mapped, &[&lines.join("\n")], &targets, &options);
    assert_eq!(decoded[0].changes.iter().map(|b| b.stream.clone()).collect::<Vec<_>>(), [vec![1], vec![0]]);
    let stream = carry.finish(&options);
    assert_eq!(stream.tables["third"], (None, 1));
    assert_eq!(stream.positions, Some(PositionKind::Number));
}

#[test]
fn a_mapping_is_found_by_names() {
    let record = r#"{"seq":1,"who":"x","op":"I","old":null,"new":{}}"#;
    let mapping = detect_mapping([record], &[items()], &MappingHints::default()).unwrap();
    assert_eq!(mapping.actor.as_deref(), Some("who"));
    let message = detect_mapping([r#"{"a":1,"b":2}"#], &[items()], &MappingHints::default()).unwrap_err();
    assert!(message.contains("no before and after images"), "{message}");
}
