//! What the footer of a Parquet file says of values that are not decoded.
//!
//! Bounds of a column chunk show that a value is not among its own; they never show
//! that it is. They are used for types whose order all writers agree on: integers,
//! dates, and text under the newer of the two fields.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Date32Type, Int32Type, Int64Type};
use parquet::file::statistics::Statistics;

use super::parquet::ParquetGroup;

impl ParquetGroup<'_> {
    /// Whether a column without nesting may hold a value, given as an array of one cell of the column's type.
    pub(crate) fn may_hold(&self, column: usize, value: &ArrayRef) -> bool {
        let schema = self.metadata.file_metadata().schema_descr();
        let leaf = (0..schema.num_columns()).find(|&leaf| schema.get_column_root_idx(leaf) == column);
        let group = self.metadata.row_group(self.row_group);
        let Some(statistics) = leaf.and_then(|leaf| group.column(leaf).statistics()) else { return true };
        if value.len() != 1 || value.is_null(0) {
            return true;
        }
        match (value.data_type(), statistics) {
            (DataType::Int64, Statistics::Int64(range)) => {
                is_within((range.min_opt(), range.max_opt()), &value.as_primitive::<Int64Type>().value(0))
            }
            (DataType::Int32, Statistics::Int32(range)) => {
                is_within((range.min_opt(), range.max_opt()), &value.as_primitive::<Int32Type>().value(0))
            }
            (DataType::Date32, Statistics::Int32(range)) => {
                is_within((range.min_opt(), range.max_opt()), &value.as_primitive::<Date32Type>().value(0))
            }
            (DataType::Utf8, range @ Statistics::ByteArray(_)) if !range.is_min_max_deprecated() => {
                let text = value.as_string::<i32>().value(0).as_bytes();
                match (range.min_bytes_opt(), range.max_bytes_opt()) {
                    // An upper bound may be cut off.
                    (Some(min), Some(max)) => min <= text && (text <= max || text.starts_with(max)),
                    _ => true,
                }
            }
            _ => true,
        }
    }
}

fn is_within<T: PartialOrd>(range: (Option<&T>, Option<&T>), value: &T) -> bool {
    match range {
        (Some(min), Some(max)) => min <= value && value <= max,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Int32Array, Int64Array, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;

    use super::*;
    use crate::read::{Spool, Table, TableSource};

    #[test]
    fn what_lies_outside_the_bounds_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        let long = "z".repeat(200);
        let arrays: Vec<(&str, ArrayRef)> = vec![
            ("long", Arc::new(Int64Array::from(vec![Some(-3), None, Some(9)]))),
            ("int", Arc::new(Int32Array::from(vec![1, 5, 3]))),
            ("day", Arc::new(Date32Array::from(vec![10, 20, 15]))),
            ("text", Arc::new(StringArray::from(vec!["b", "ä", "c"]))),
            ("cut", Arc::new(StringArray::from(vec!["a", &long, "c"]))),
            ("none", Arc::new(Int64Array::from(vec![None, None, None]))),
        ];
        let batch = RecordBatch::try_from_iter(arrays).unwrap();
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let table = Table::open(&TableSource::at(path), &Spool::new(None)).unwrap();
        let group = table.parquet(0).unwrap();
        let may = |column, value: ArrayRef| group.may_hold(column, &value);
        let long64 = |v: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![v])) };
        let int = |v: i32| -> ArrayRef { Arc::new(Int32Array::from(vec![v])) };
        let day = |v: i32| -> ArrayRef { Arc::new(Date32Array::from(vec![v])) };
        let text = |v: &str| -> ArrayRef { Arc::new(StringArray::from(vec![v])) };
        assert_eq!([-4, -3, 0, 9, 10].map(|v| may(0, long64(v))), [false, true, true, true, false]);
        assert_eq!([0, 1, 5, 6].map(|v| may(1, int(v))), [false, true, true, false]);
        assert_eq!([9, 10, 20, 21].map(|v| may(2, day(v))), [false, true, true, false]);
        assert_eq!(["a", "b", "z", "ä", "ö"].map(|v| may(3, text(v))), [false, true, true, true, false]);
        assert!(may(4, text(&long)), "bounds of long texts are cut off");
        assert!(may(5, long64(1)) && may(0, int(1)), "nothing is said of it");
    }
}
