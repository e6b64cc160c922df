//! Values of a ledger's columns in exactly the types of the table's.
//!
//! Delimited text without a null marker has one way to write null and the empty text: an empty field.
//! Which of them it is follows from the column's type, and that is the table's: what a ledger's own few
//! texts look like (none at all, or numbers alone) decides nothing.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, new_null_array};
use arrow::datatypes::DataType;

use crate::model::canon;
use crate::read::cell::CellBuilder;
use crate::read::{plain_type, unpacked};

/// An array in exactly the column's type, and the rows whose value does not fit it.
pub(in crate::ledger) fn exact(array: &ArrayRef, data_type: &DataType) -> (ArrayRef, Vec<usize>) {
    let array = &loosened(array);
    if array.data_type() == data_type {
        return (Arc::clone(array), Vec::new());
    }
    if same_values(array.data_type(), data_type)
        && let Ok(cast) = arrow::compute::cast(array, data_type)
    {
        return (cast, Vec::new());
    }
    let nulls = array.logical_nulls();
    let Some(mut builder) = CellBuilder::new(data_type) else {
        return (new_null_array(data_type, array.len()), (0..array.len()).collect());
    };
    let mut misfits = Vec::new();
    for row in 0..array.len() {
        let pushed = match canon::cell_text(array.as_ref(), row) {
            None => {
                // A value that has no text is not converted, which is not the same as null.
                misfits.extend(nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)).then_some(row));
                false
            }
            Some(text) => {
                let fits = builder.push_text(&text).is_ok();
                if !fits {
                    misfits.push(row);
                }
                fits
            }
        };
        if !pushed {
            builder.push_null();
        }
    }
    (builder.finish(), misfits)
}

/// A nested array whose inner arrays lie in the layout of a file's pages, in their plain types.
fn loosened(array: &ArrayRef) -> ArrayRef {
    if !array.data_type().is_nested() {
        return Arc::clone(array);
    }
    unpacked(array, &plain_type(array.data_type())).unwrap_or_else(|_| Arc::clone(array))
}

/// Empty fields of delimited text without a null marker as the table's column has them: null, unless the
/// column is text. Other arrays stay as they are.
pub(in crate::ledger) fn empty_by_type(array: ArrayRef, data_type: &DataType) -> ArrayRef {
    match (is_text(array.data_type()), is_text(data_type)) {
        (true, false) => {
            let texts = (0..array.len()).map(|row| canon::cell_text(array.as_ref(), row));
            Arc::new(texts.map(|text| text.filter(|t| !t.is_empty())).collect::<StringArray>())
        }
        (false, true) if array.null_count() > 0 => {
            let texts = (0..array.len()).map(|row| canon::cell_text(array.as_ref(), row));
            Arc::new(texts.map(|text| Some(text.unwrap_or_default())).collect::<StringArray>())
        }
        _ => array,
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Whether two types hold the same values in other layouts, so that a cast loses nothing.
pub(in crate::ledger) fn same_values(from: &DataType, to: &DataType) -> bool {
    let bytes = |t: &DataType| matches!(t, DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
    match (from, to) {
        (DataType::Dictionary(_, values), to) => values.as_ref() == to || same_values(values, to),
        (from, to) if is_text(from) && is_text(to) || bytes(from) && bytes(to) => true,
        (DataType::Decimal128(p, s) | DataType::Decimal64(p, s), DataType::Decimal128(q, t)) => {
            s == t && p <= q
        }
        (DataType::Int8 | DataType::Int16 | DataType::Int32, DataType::Int64)
        | (DataType::Int8 | DataType::Int16, DataType::Int32)
        | (DataType::Int8, DataType::Int16) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal64Array, Decimal128Array, DictionaryArray, Int64Array, StructArray};
    use arrow::datatypes::{Field, Fields, Int32Type};

    use super::*;

    fn of(fields: [ArrayRef; 3]) -> ArrayRef {
        let field = |(name, a): (&str, &ArrayRef)| Arc::new(Field::new(name, a.data_type().clone(), true));
        let named: Fields = ["text", "amount", "number"].into_iter().zip(&fields).map(field).collect();
        Arc::new(StructArray::new(named, fields.to_vec(), None))
    }

    #[test]
    fn nested_values_in_the_layout_of_pages_are_the_values() {
        let number: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let texts: DictionaryArray<Int32Type> = ["old", "new"].into_iter().collect();
        let narrow = Decimal64Array::from(vec![150, -7]).with_precision_and_scale(12, 2).unwrap();
        let packed = of([Arc::new(texts), Arc::new(narrow), Arc::clone(&number)]);
        let wide = Decimal128Array::from(vec![150, -7]).with_precision_and_scale(12, 2).unwrap();
        let plain = of([Arc::new(StringArray::from(vec!["old", "new"])), Arc::new(wide), number]);
        let (array, misfits) = exact(&packed, plain.data_type());
        assert_eq!((&array, misfits), (&plain, Vec::new()));
    }

    #[test]
    fn a_value_that_cannot_be_converted_is_not_null_without_a_word() {
        let number: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        let nested = of([texts, Arc::clone(&number), number]);
        let (array, misfits) = exact(&nested, &DataType::Int64);
        assert_eq!((array.null_count(), misfits), (2, vec![0, 1]));
    }
}
