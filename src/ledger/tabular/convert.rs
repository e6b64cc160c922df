//! Columns of a ledger's table into exactly the types of the dataset's.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::datatypes::DataType;

use crate::model::canon;
use crate::read::cell::{CellBuilder, CellOptions, Misfit};

/// A column in the wanted type, and per row that does not fit why.
pub(super) struct Converted {
    pub(super) array: ArrayRef,
    pub(super) misfits: Vec<(usize, Misfit)>,
}

/// Converts a column. An empty text is null in a column that is no text; in one that is, null
/// becomes the empty text where the dataset's own files know no other (`empty_texts`).
pub(super) fn convert(
    array: &ArrayRef,
    data_type: &DataType,
    options: &CellOptions,
    empty_texts: bool,
) -> Converted {
    let is_text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let fill = empty_texts && is_text(data_type) && array.null_count() > 0;
    if array.data_type() == data_type && !fill {
        return Converted { array: Arc::clone(array), misfits: Vec::new() };
    }
    let Some(mut cells) = CellBuilder::with_options(data_type, options) else {
        let misfit = || Misfit::new(data_type.to_string(), "a type without a text form");
        return Converted {
            array: new_null_array(data_type, array.len()),
            misfits: (0..array.len()).filter(|&r| array.is_valid(r)).map(|r| (r, misfit())).collect(),
        };
    };
    let mut misfits = Vec::new();
    for row in 0..array.len() {
        let text = canon::cell_text(array.as_ref(), row);
        let pushed = match text.as_deref() {
            None if fill => cells.push_text(""),
            Some(text) if !text.is_empty() || is_text(data_type) => cells.push_text(text),
            _ => {
                cells.push_null();
                Ok(())
            }
        };
        if let Err(misfit) = pushed {
            cells.push_null();
            misfits.push((row, misfit));
        }
    }
    Converted { array: cells.finish(), misfits }
}
