//! Debezium's words for numbers that are none: `NAN`, `POSITIVE_INFINITY`, `NEGATIVE_INFINITY`.
//!
//! With `decimal.handling.mode=string` an unconstrained numeric arrives as text, and
//! PostgreSQL's NaN and infinities as these words, which the table itself writes
//! as `NaN`, `Infinity` and `-Infinity`. Without a schema nothing in the record
//! tells such a column from any other text, so it counts as one only where
//! every value of the current state is a number in PostgreSQL's notation.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;

use crate::error::Result;
use crate::model::{Amount, ChangeBatch, Images, TableSchema, canon};
use crate::read::Table;

/// The text columns of a table that hold nothing but numbers.
///
/// # Errors
/// The table cannot be read.
pub fn numeric_texts(table: &Table, schema: &TableSchema) -> Result<Vec<usize>> {
    texts_of(table, schema, |values, row| {
        Amount::of_cell(values, row).is_some() || canon::is_non_finite(values, row)
    })
}

/// The text columns of a table that hold nothing but UUIDs, of which the producer may have stored the bytes.
///
/// # Errors
/// The table cannot be read.
pub fn uuid_texts(table: &Table, schema: &TableSchema) -> Result<Vec<bool>> {
    let found = texts_of(table, schema, |values, row| is_uuid(values.as_string::<i32>().value(row)))?;
    Ok((0..schema.len()).map(|column| found.contains(&column)).collect())
}

fn is_uuid(text: &str) -> bool {
    let place = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
    };
    text.len() == 36 && text.bytes().enumerate().all(place)
}

/// So many rows of a column mostly show that it holds other texts too.
const HEAD: usize = 1_000;

/// The text columns all of whose values, at least one, pass a test.
fn texts_of(
    table: &Table,
    schema: &TableSchema,
    test: impl Fn(&dyn Array, usize) -> bool,
) -> Result<Vec<usize>> {
    let width = table.schema().fields().len();
    let text = |c: &usize| *c < width && matches!(schema.data_type(*c), DataType::Utf8);
    let mut found = Vec::new();
    for column in (0..schema.len()).filter(text) {
        let (mut passed, mut others) = (false, false);
        let head: Vec<u32> =
            (0..if table.groups() > 0 { table.rows(0).min(HEAD) } else { 0 } as u32).collect();
        let parts = (table.groups() > 0).then_some((0, Some(head.as_slice())));
        for (group, rows) in parts.into_iter().chain((0..table.groups()).map(|group| (group, None))) {
            let batch = table.read(group, &[column], rows)?;
            let values = batch.column(0);
            others = (0..values.len()).any(|row| values.is_valid(row) && !test(values.as_ref(), row));
            if others {
                break;
            }
            passed |= values.null_count() < values.len();
        }
        if passed && !others {
            found.push(column);
        }
    }
    Ok(found)
}

/// Writes the words in these columns as the table does.
pub fn settle_words(batch: &mut ChangeBatch, columns: &[usize]) {
    for &column in columns {
        settle_side(&mut batch.before, column);
        settle_side(&mut batch.after, column);
    }
}

fn settle_side(images: &mut Images, column: usize) {
    let Some(Some(array)) = images.columns.get_mut(column) else { return };
    let texts = array.as_string::<i32>();
    if texts.iter().flatten().any(|text| number_word(text) != text) {
        let settled: StringArray = texts.iter().map(|text| text.map(number_word)).collect();
        *array = Arc::new(settled) as ArrayRef;
    }
}

fn number_word(text: &str) -> &str {
    match text {
        "NAN" => "NaN",
        "POSITIVE_INFINITY" => "Infinity",
        "NEGATIVE_INFINITY" => "-Infinity",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_the_notation_of_the_table_and_numbers_stay() {
        let texts = StringArray::from(vec![Some("NAN"), Some("1.50"), None, Some("NEGATIVE_INFINITY")]);
        let mut images = Images { columns: vec![Some(Arc::new(texts))], ..Images::default() };
        settle_side(&mut images, 0);
        let settled = images.columns[0].clone().unwrap();
        let settled: Vec<_> = settled.as_string::<i32>().iter().map(|t| t.map(str::to_owned)).collect();
        let expected = [Some("NaN"), Some("1.50"), None, Some("-Infinity")];
        assert_eq!(settled, expected.map(|t| t.map(str::to_owned)));
    }
}
