//! Which columns can be read straight from their pages, and how.

use arrow::datatypes::{DataType, Fields, TimeUnit};
use parquet::basic::{ConvertedType, Encoding, LogicalType, TimeUnit as ParquetUnit, Type as PhysicalType};
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use super::page;
use crate::read::packed::is_indices;

/// A column that can be read straight from its pages.
#[derive(Debug)]
pub(super) enum Shape {
    /// A column with values.
    Leaf { leaf: usize, data_type: DataType },
    /// A struct of such columns.
    Struct { first: usize, fields: Fields },
}

impl Shape {
    /// How a column is read as this type; `None` if it needs the general reader.
    pub(super) fn of(
        schema: &SchemaDescriptor,
        group: &RowGroupMetaData,
        root: usize,
        data_type: &DataType,
    ) -> Option<Self> {
        let leaves = schema.num_columns();
        // Leaves are in the order of their roots.
        let first = (0..leaves).find(|leaf| schema.get_column_root_idx(*leaf) == root)?;
        match data_type {
            DataType::Struct(fields) => {
                let last = first + fields.len();
                let is_flat = !fields.is_empty()
                    && last <= leaves
                    && (last == leaves || schema.get_column_root_idx(last) != root)
                    && (first..last).all(|leaf| schema.column(leaf).path().parts().len() == 2)
                    && fields.iter().zip(first..).all(|(f, leaf)| is_read(group.column(leaf), f.data_type()));
                is_flat.then(|| Self::Struct { first, fields: fields.clone() })
            }
            leaf_type => {
                let is_flat = schema.column(first).path().parts().len() == 1;
                let is_flat = is_flat && is_read(group.column(first), leaf_type);
                is_flat.then(|| Self::Leaf { leaf: first, data_type: leaf_type.clone() })
            }
        }
    }
}

/// Whether a chunk's pages are of the kinds that are read here, as values of this type.
fn is_read(chunk: &ColumnChunkMetaData, data_type: &DataType) -> bool {
    let column = chunk.column_descr();
    let (has_dictionary, has_levels) = (chunk.dictionary_page_offset().is_some(), column.max_def_level() > 0);
    #[expect(deprecated, reason = "files of old writers name it for levels")]
    let is_known = |e| match e {
        Encoding::PLAIN | Encoding::RLE => true,
        Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => has_dictionary,
        Encoding::BIT_PACKED => !has_levels,
        Encoding::DELTA_BINARY_PACKED => {
            matches!(column.physical_type(), PhysicalType::INT32 | PhysicalType::INT64)
        }
        Encoding::DELTA_LENGTH_BYTE_ARRAY => column.physical_type() == PhysicalType::BYTE_ARRAY,
        _ => false,
    };
    column.max_rep_level() == 0
        && column.max_def_level() <= 2
        && chunk.file_path().is_none()
        && page::is_known(chunk.compression())
        && chunk.encodings().all(is_known)
        && is_native(column, data_type)
        && (!matches!(data_type, DataType::Dictionary(..)) || is_indices(chunk))
        // Truth values may be written as runs, which only the pages say.
        && (*data_type != DataType::Boolean || (!has_dictionary && !is_run_length(chunk)))
}

/// Whether RLE may stand for values and not for levels alone.
fn is_run_length(chunk: &ColumnChunkMetaData) -> bool {
    !chunk.encodings().any(|e| e == Encoding::PLAIN)
}

/// Whether values of a column stand in its pages as they do in arrays of this type.
fn is_native(column: &ColumnDescriptor, data_type: &DataType) -> bool {
    use DataType as D;
    let (physical, logical) = (column.physical_type(), column.logical_type_ref());
    let converted = column.converted_type();
    match (physical, data_type) {
        (PhysicalType::BYTE_ARRAY, D::Utf8 | D::Binary) => true,
        (PhysicalType::BYTE_ARRAY, D::Dictionary(key, value)) => {
            **key == D::Int32 && matches!(**value, D::Utf8 | D::Binary)
        }
        (PhysicalType::BOOLEAN, D::Boolean)
        | (PhysicalType::DOUBLE, D::Float64)
        | (PhysicalType::FLOAT, D::Float32) => logical.is_none() && converted == ConvertedType::NONE,
        (PhysicalType::INT64, D::Int64) => is_signed(logical, converted, 64),
        (PhysicalType::INT32, D::Int32) => is_signed(logical, converted, 32),
        (PhysicalType::INT32, D::Date32) => {
            matches!(logical, Some(LogicalType::Date))
                || (logical.is_none() && converted == ConvertedType::DATE)
        }
        (PhysicalType::INT64, D::Decimal64(precision, scale) | D::Decimal128(precision, scale)) => {
            let is_decimal = matches!(logical, Some(LogicalType::Decimal(_)))
                || (logical.is_none() && converted == ConvertedType::DECIMAL);
            is_decimal
                && column.type_precision() == i32::from(*precision)
                && column.type_scale() == i32::from(*scale)
        }
        (PhysicalType::INT64, D::Timestamp(unit, _)) => is_unit(logical, converted, *unit),
        _ => false,
    }
}

fn is_signed(logical: Option<&LogicalType>, converted: ConvertedType, bits: i8) -> bool {
    let of_bits = if bits == 64 { ConvertedType::INT_64 } else { ConvertedType::INT_32 };
    match logical {
        Some(LogicalType::Integer(integer)) => integer.bit_width == bits && integer.is_signed,
        Some(_) => false,
        None => converted == ConvertedType::NONE || converted == of_bits,
    }
}

fn is_unit(logical: Option<&LogicalType>, converted: ConvertedType, unit: TimeUnit) -> bool {
    match logical {
        Some(LogicalType::Timestamp(timestamp)) => matches!(
            (timestamp.unit, unit),
            (ParquetUnit::MILLIS, TimeUnit::Millisecond)
                | (ParquetUnit::MICROS, TimeUnit::Microsecond)
                | (ParquetUnit::NANOS, TimeUnit::Nanosecond)
        ),
        Some(_) => false,
        None => matches!(
            (converted, unit),
            (ConvertedType::TIMESTAMP_MILLIS, TimeUnit::Millisecond)
                | (ConvertedType::TIMESTAMP_MICROS, TimeUnit::Microsecond)
        ),
    }
}
