use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::datatypes::Int8Type;

use super::*;
use crate::model::Images;

fn table() -> RecordBatch {
    let decimal = Decimal128Array::from(vec![Some(1), Some(100), None, Some(-250)]);
    let wide = Decimal256Array::from(vec![
        Some(arrow::datatypes::i256::MAX.wrapping_div(arrow::datatypes::i256::from_i128(10))),
        Some(arrow::datatypes::i256::ZERO),
        None,
        None,
    ]);
    let company: DictionaryArray<Int8Type> =
        vec![Some("DE01"), Some("FR01"), None, Some("DE01")].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![9_007_199_254_740_993, 2, 3, 4]))),
        ("code", Arc::new(StringArray::from(vec![Some("01"), Some("1"), None, Some("o'b")]))),
        ("company", Arc::new(company)),
        ("balance", Arc::new(decimal.with_precision_and_scale(18, 2).unwrap())),
        ("wide", Arc::new(wide.with_precision_and_scale(76, 0).unwrap())),
        ("rate", Arc::new(Float64Array::from(vec![0.1, f64::NAN, -0.0, 2.0]))),
        ("open", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]))),
        ("day", Arc::new(Date32Array::from(vec![20_453, 20_454, 0, -1]))),
        (
            "at",
            Arc::new(
                TimestampMicrosecondArray::from(vec![253_402_214_400_000_000, 0, 1, -1]).with_timezone("UTC"),
            ),
        ),
        ("local", Arc::new(TimestampSecondArray::from(vec![0, 1, 2, 3]))),
        ("other", Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(5)]))),
        ("Odd name", Arc::new(BinaryArray::from_vec(vec![b"\xbe\xef", b"", b"a", b"b"]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap()
}

/// `+` true, `-` false, `?` unknown, by row.
fn marks(array: &BooleanArray) -> String {
    array.iter().map(|v| v.map_or('?', |v| if v { '+' } else { '-' })).collect()
}

fn rows(condition: &str) -> String {
    let batch = table();
    let filter = Filter::parse(condition).unwrap_or_else(|e| panic!("{condition}: {e}"));
    let bound = filter.bind(&batch.schema(), "t", Path::new("t.parquet"));
    marks(&bound.unwrap_or_else(|e| panic!("{condition}: {e}")).evaluate(&batch))
}

#[test]
fn comparisons_are_exact() {
    let table = [
        ("id = 9007199254740993", "+---"),
        ("id = 9007199254740992", "----"),
        ("id = 2.0", "-+--"),
        ("id < 2.5", "-+--"),
        ("id >= 2.5", "+-++"),
        ("id > -1e30", "++++"),
        ("id < 1e300", "++++"),
        ("balance = 0.01", "+-?-"),
        ("balance = 1", "-+?-"),
        ("balance < 0.005", "--?+"),
        ("balance > -2.501", "++?+"),
        ("balance > -2.5", "++?-"),
        ("balance >= '-2.50'", "++?+"),
        ("balance <> 1.00", "+-?+"),
        ("wide > 1e75", "+-??"),
        ("rate = 0.1", "+---"),
        ("rate = 0", "--+-"),
        ("rate > 1e308", "-+--"),
        ("code = '01'", "+-?-"),
        ("code = 'o''b'", "--?+"),
        ("code < '1'", "+-?-"),
        ("'1' > code", "+-?-"),
        ("company = 'DE01'", "+-?+"),
        ("open = true", "+-?+"),
        ("\"Odd name\" = '\\xbeef'", "+---"),
        ("id = other", "-+?-"),
        ("id < other", "--?+"),
    ];
    for (condition, expected) in table {
        assert_eq!(rows(condition), expected, "{condition}");
    }
}

#[test]
fn times_are_compared_in_the_unit_of_their_column() {
    let table = [
        ("day = '2025-12-31'", "+---"),
        ("day > date '2025-12-31'", "-+--"),
        ("at = '9999-12-31T00:00:00Z'", "+---"),
        ("at <= '1970-01-01T01:00:00+01:00'", "-+-+"),
        ("at < '1970-01-01T00:00:00.0000005Z'", "-+-+"),
        ("local >= timestamp '1970-01-01 00:00:01.5'", "--++"),
    ];
    for (condition, expected) in table {
        assert_eq!(rows(condition), expected, "{condition}");
    }
}

#[test]
fn logic_has_three_values() {
    let table = [
        ("code is null", "--+-"),
        ("company is not null", "++-+"),
        ("not code = '01'", "-+?+"),
        ("code in ('01', '1')", "++?-"),
        ("id not in (2, 3)", "+--+"),
        ("id in (1,2,3,4,5)", "-+++"),
        // Unknown or true is true, unknown and false is false.
        ("code = '01' or id = 3", "+-+-"),
        ("code = '01' and id = 3", "--?-"),
        ("code = '01' and id = 2", "----"),
        // `and` binds closer than `or`, `not` closest.
        ("id = 2 or id = 3 and open = false", "-+?-"),
        ("(id = 2 or id = 3) and open = false", "-+?-"),
        ("(id = 2 or id = 4) and open = true", "---+"),
        ("not id = 2 and not id = 3", "+--+"),
        ("NOT (id = 2 OR id = 3)", "+--+"),
    ];
    for (condition, expected) in table {
        assert_eq!(rows(condition), expected, "{condition}");
    }
}

#[test]
fn a_cell_that_is_not_known_makes_its_conditions_unknown() {
    let batch = table();
    let mut images = Images {
        columns: batch.columns().iter().cloned().map(Some).collect(),
        present: Some(BooleanBuffer::from(vec![true, true, true, false])),
        states: vec![None; batch.num_columns()],
    };
    images.states[1] = Some(ScalarBuffer::from(vec![0u8, 1, 0, 0]));
    let filter = Filter::parse("code is null").unwrap();
    let bound = filter.bind(&batch.schema(), "t", Path::new("t")).unwrap();
    assert_eq!(bound.columns(), [1]);
    assert_eq!(marks(&bound.evaluate_images(&images, 4)), "-?+?");
}

#[test]
fn what_is_no_condition_says_where_and_why() {
    let table = [
        ("", "at character 1: expected a column or a value, found the end"),
        ("id", "at character 3: expected an operator such as =, <>, <, in or is null, found the end"),
        ("id = ", "at character 6: expected a column or a value, found the end"),
        ("id == 1", "at character 4: expected =, found =="),
        ("id = null", "at character 6: expected a column or a value, found null"),
        ("id = 1 id = 2", "at character 8: expected and, or, or the end, found id"),
        ("(id = 1", "at character 8: expected ), found the end"),
        ("id in (1, other)", "at character 11: expected text in single quotes or a number, found other"),
        ("id in ()", "at character 8: expected a column or a value, found )"),
        ("code = 'x", "at character 8: no ' ends this"),
        ("1 = 1", "at character 1: a comparison names at least one column"),
        ("id = 1x", "at character 6: 1x is not a number"),
        ("id is 1", "at character 7: expected null, found 1"),
        ("id ; 1", "at character 4: unexpected ';'"),
    ];
    for (condition, expected) in table {
        assert_eq!(Filter::parse(condition).unwrap_err().to_string(), expected, "{condition}");
    }
    assert!(Filter::parse(&format!("{}id = 1{}", "(".repeat(5000), ")".repeat(5000))).is_err());
}

#[test]
fn binding_names_the_nearest_column_and_what_a_type_expects() {
    let batch = table();
    let bind = |condition: &str| {
        let filter = Filter::parse(condition).unwrap();
        let error = filter.bind(&batch.schema(), "t", Path::new("t.csv")).unwrap_err();
        format!("{error} | {}", error.hint().unwrap_or_default())
    };
    assert_eq!(bind("balanse > 0"), "t: no column \"balanse\" in t.csv | did you mean balance?");
    assert_eq!(
        bind("code = 1"),
        "t: where code = 1: column \"code\" (Utf8) expects text in single quotes, found 1 \
         | compare code with text in single quotes"
    );
    assert!(bind("at > '2025-12-31'").contains("with its offset"));
    assert!(bind("local > '2025-12-31T00:00:00Z'").contains("without offset"));
    assert!(bind("id = balance").contains("cannot be compared"));
}
