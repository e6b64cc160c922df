//! Packed layouts: columns of a Parquet file in the layout that its pages have.
//!
//! Text whose pages are all dictionary indices is read as a dictionary, so that
//! no text is copied per row and each entry is looked at once; decimals stored
//! in 64 bits stay there. Values are the same, and [`canon`](crate::model::canon)
//! sees no difference. A column is packed only where all row groups of all files
//! of a table are written so, as else one reader would build dictionaries.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use parquet::basic::{Encoding, PageType, Type as PhysicalType};
use parquet::file::metadata::{ColumnChunkMetaData, PageEncodingStats, ParquetMetaData};

/// The columns of a file, packed where its pages allow.
pub(super) fn packed_schema(metadata: &ParquetMetaData, schema: &SchemaRef) -> SchemaRef {
    let mut leaves = 0..metadata.file_metadata().schema_descr().num_columns();
    let fields: Fields = schema.fields().iter().map(|f| packed_field(metadata, f, &mut leaves)).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The columns that are packed alike in both; others as in `plain`.
pub(super) fn common(plain: &SchemaRef, a: &SchemaRef, b: &SchemaRef) -> SchemaRef {
    let fields: Fields = (0..plain.fields().len())
        .map(|c| {
            let same = a.field(c).data_type() == b.field(c).data_type();
            Arc::clone(&if same { a } else { plain }.fields()[c])
        })
        .collect();
    Arc::new(Schema::new_with_metadata(fields, plain.metadata().clone()))
}

/// Leaves are numbered as they are met, so every branch takes as many as it has.
fn packed_field(
    metadata: &ParquetMetaData,
    field: &FieldRef,
    leaves: &mut std::ops::Range<usize>,
) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|f| packed_field(metadata, f, leaves)).collect())
        }
        nested if nested.is_nested() => {
            let count = leaf_count(nested);
            leaves.by_ref().take(count).for_each(drop);
            nested.clone()
        }
        leaf => match leaves.next() {
            Some(number) => packed_leaf(metadata, leaf, number),
            None => leaf.clone(),
        },
    };
    if data_type == *field.data_type() {
        return Arc::clone(field);
    }
    let packed = Field::new(field.name(), data_type, field.is_nullable());
    Arc::new(packed.with_metadata(field.metadata().clone()))
}

fn packed_leaf(metadata: &ParquetMetaData, plain: &DataType, leaf: usize) -> DataType {
    let mut chunks = metadata.row_groups().iter().map(|group| group.column(leaf));
    match plain {
        DataType::Utf8 | DataType::Binary if metadata.num_row_groups() > 0 && chunks.all(is_indices) => {
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(plain.clone()))
        }
        DataType::Decimal128(precision, scale) => {
            match metadata.file_metadata().schema_descr().column(leaf).physical_type() {
                PhysicalType::INT64 => DataType::Decimal64(*precision, *scale),
                _ => plain.clone(),
            }
        }
        _ => plain.clone(),
    }
}

/// Whether all data pages of a chunk are dictionary indices.
pub(crate) fn is_indices(chunk: &ColumnChunkMetaData) -> bool {
    if chunk.dictionary_page_offset().is_none() {
        return false;
    }
    if let Some(pages) = chunk.page_encoding_stats() {
        let of_data = |p: &&PageEncodingStats| p.page_type != PageType::DICTIONARY_PAGE && p.count > 0;
        let mut data = pages.iter().filter(of_data).map(|pages| pages.encoding).peekable();
        // A list without data pages says nothing of them.
        return data.peek().is_some()
            && data.all(|e| matches!(e, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY));
    }
    if let Some(data) = chunk.page_encoding_stats_mask() {
        return data.is_only(Encoding::RLE_DICTIONARY) || data.is_only(Encoding::PLAIN_DICTIONARY);
    }
    // Without counts per page, PLAIN may be that of the dictionary page or of data pages.
    let mut encodings = chunk.encodings();
    #[expect(deprecated, reason = "files of old writers name it for levels")]
    encodings.all(|e| {
        matches!(
            e,
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY | Encoding::RLE | Encoding::BIT_PACKED
        )
    })
}

/// A packed array in its plain type; any other as it is.
///
/// # Errors
/// The type is none that the array's values have.
pub fn unpacked(array: &ArrayRef, plain: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == plain { Ok(Arc::clone(array)) } else { arrow::compute::cast(array, plain) }
}

/// The type of the values of a column that is packed, or holds packed ones inside.
pub fn plain_type(packed: &DataType) -> DataType {
    match packed {
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::Decimal64(precision, scale) => DataType::Decimal128(*precision, *scale),
        DataType::Struct(fields) => {
            let plain =
                |field: &FieldRef| field.as_ref().clone().with_data_type(plain_type(field.data_type()));
            DataType::Struct(fields.iter().map(plain).collect())
        }
        other => other.clone(),
    }
}

/// How many leaves a column of this type has in Parquet.
pub fn leaf_count(data_type: &DataType) -> usize {
    use DataType as T;
    match data_type {
        T::Struct(fields) => fields.iter().map(|f| leaf_count(f.data_type())).sum(),
        T::List(field) | T::LargeList(field) | T::ListView(field) | T::LargeListView(field) => {
            leaf_count(field.data_type())
        }
        T::FixedSizeList(field, _) | T::Map(field, _) => leaf_count(field.data_type()),
        T::Dictionary(_, values) => leaf_count(values),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use parquet::schema::types::{ColumnDescriptor, ColumnPath, Type};

    use super::*;

    #[test]
    fn only_counted_data_pages_tell_that_all_are_indices() {
        let text = Type::primitive_type_builder("word", PhysicalType::BYTE_ARRAY).build().unwrap();
        let leaf = ColumnDescriptor::new(Arc::new(text), 0, 0, ColumnPath::from("word"));
        let leaf = Arc::new(leaf);
        let is_indices = |pages: &[(PageType, Encoding, i32)]| {
            let counted = pages.iter().map(|&(page_type, encoding, count)| PageEncodingStats {
                page_type,
                encoding,
                count,
            });
            let chunk = ColumnChunkMetaData::builder(Arc::clone(&leaf)).set_dictionary_page_offset(Some(4));
            is_indices(&chunk.set_page_encoding_stats(counted.collect()).build().unwrap())
        };
        let dictionary = (PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1);
        let indices = (PageType::DATA_PAGE_V2, Encoding::RLE_DICTIONARY, 3);
        assert!(is_indices(&[dictionary, indices]));
        assert!(is_indices(&[dictionary, indices, (PageType::DATA_PAGE, Encoding::PLAIN, 0)]));
        assert!(!is_indices(&[dictionary, indices, (PageType::DATA_PAGE, Encoding::PLAIN, 1)]));
        assert!(!is_indices(&[dictionary]) && !is_indices(&[]), "nothing is said of data pages");
    }
}
