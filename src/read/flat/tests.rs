//! Every kind of column beside the general reader, in any steps and for any choice of rows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int32Array, Int64Array, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field, Fields};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion,
};
use parquet::schema::types::ColumnPath;

use super::*;
use crate::testing::Prng;

const ROWS: usize = 20_000;
/// Two pages of each column.
const FEW: usize = 4_000;

/// One column of each kind that is read here, with as many nulls as `nulls` of ten cells.
fn columns(rows: usize, nulls: u64, seed: u64) -> Vec<(&'static str, ArrayRef)> {
    let mut random = Prng::new(seed);
    let mut numbers = |range: u64| -> Vec<Option<i64>> {
        (0..rows).map(|_| (random.below(10) >= nulls).then(|| random.below(range) as i64 - 5)).collect()
    };
    let (wide, narrow, few) = (numbers(1 << 40), numbers(100_000), numbers(7));
    let text = |v: &Option<i64>| {
        v.map(|v| if v % 5 == 0 { String::new() } else { "ä".repeat(v.rem_euclid(40) as usize) })
    };
    let decimal = Decimal128Array::from(wide.iter().map(|v| v.map(i128::from)).collect::<Vec<_>>());
    let flat: Vec<(&str, ArrayRef)> = vec![
        ("long", Arc::new(Int64Array::from(wide.clone()))),
        ("few", Arc::new(Int64Array::from(few.clone()))),
        ("int", Arc::new(narrow.iter().map(|v| v.map(|v| v as i32)).collect::<Int32Array>())),
        ("day", Arc::new(narrow.iter().map(|v| v.map(|v| v as i32)).collect::<Date32Array>())),
        ("moment", Arc::new(TimestampMicrosecondArray::from(wide.clone()).with_timezone("UTC"))),
        ("double", Arc::new(wide.iter().map(|v| v.map(|v| v as f64 / 3.0)).collect::<Float64Array>())),
        ("float", Arc::new(few.iter().map(|v| v.map(|v| v as f32 / 3.0)).collect::<Float32Array>())),
        ("truth", Arc::new(wide.iter().map(|v| v.map(|v| v % 2 == 0)).collect::<BooleanArray>())),
        ("amount", Arc::new(decimal.with_precision_and_scale(18, 2).unwrap())),
        ("text", Arc::new(wide.iter().map(text).collect::<StringArray>())),
        ("word", Arc::new(few.iter().map(text).collect::<StringArray>())),
        (
            "bytes",
            Arc::new(narrow.iter().map(text).map(|t| t.map(String::into_bytes)).collect::<BinaryArray>()),
        ),
    ];
    let fields: Fields =
        flat.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let arrays: Vec<ArrayRef> = flat.iter().map(|(_, array)| Arc::clone(array)).collect();
    let around = (nulls > 0).then(|| NullBuffer::from((0..rows).map(|i| i % 3 > 0).collect::<Vec<_>>()));
    let image: ArrayRef = Arc::new(StructArray::new(fields, arrays, around));
    flat.into_iter().chain([("image", image)]).collect()
}

fn written(columns: Vec<(&str, ArrayRef)>, properties: WriterProperties) -> tempfile::NamedTempFile {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

fn variants() -> Vec<WriterProperties> {
    let base = || WriterProperties::builder().set_data_page_row_count_limit(3_000).set_write_batch_size(500);
    let zstd = || Compression::ZSTD(ZstdLevel::try_new(1).unwrap());
    vec![
        base().set_compression(zstd()).build(),
        base().set_compression(Compression::SNAPPY).set_dictionary_enabled(false).build(),
        base()
            .set_compression(zstd())
            .set_writer_version(WriterVersion::PARQUET_2_0)
            .set_statistics_enabled(EnabledStatistics::None)
            .build(),
        // The dictionary overflows: indices, then values.
        base().set_dictionary_page_size_limit(2_000).build(),
        WriterProperties::builder().build(),
        differences(base().set_compression(zstd()).set_dictionary_enabled(false)),
        differences(base().set_dictionary_page_size_limit(2_000)),
        differences(base().set_writer_version(WriterVersion::PARQUET_2_0).set_dictionary_enabled(false)),
    ]
}

/// Numbers as differences, and texts behind their lengths, where they are no dictionary.
fn differences(mut builder: WriterPropertiesBuilder) -> WriterProperties {
    for (names, encoding) in [
        (&["long", "few", "int", "day", "moment", "amount"][..], Encoding::DELTA_BINARY_PACKED),
        (&["text", "word", "bytes"][..], Encoding::DELTA_LENGTH_BYTE_ARRAY),
    ] {
        for name in names {
            let inner = ColumnPath::new(vec!["image".to_owned(), (*name).to_owned()]);
            builder = builder.set_column_encoding(ColumnPath::from(*name), encoding);
            builder = builder.set_column_encoding(inner, encoding);
        }
    }
    builder.build()
}

/// The column as the general reader has it.
fn general(file: &tempfile::NamedTempFile, column: usize) -> ArrayRef {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.reopen().unwrap()).unwrap().build().unwrap();
    let parts: Vec<ArrayRef> = reader.map(|b| Arc::clone(b.unwrap().column(column))).collect();
    concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>()).unwrap()
}

#[test]
fn every_kind_of_column_is_read_as_by_the_general_reader() {
    let mut read = 0;
    for nulls in [0, 3, 10] {
        for (number, properties) in variants().into_iter().enumerate() {
            let file = written(columns(ROWS, nulls, 7 + nulls), properties);
            let metadata = ParquetRecordBatchReaderBuilder::try_new(file.reopen().unwrap()).unwrap();
            let (schema, metadata) = (Arc::clone(metadata.schema()), Arc::clone(metadata.metadata()));
            for (column, field) in schema.fields().iter().enumerate() {
                let open = || {
                    let mut handle = file.reopen().unwrap();
                    FlatColumn::open(&mut handle, &metadata, (0, column), field.data_type()).unwrap()
                };
                if open().is_none() {
                    continue;
                }
                read += 1;
                let what = format!("{} in variant {number}, {nulls} nulls of 10", field.name());
                let whole = general(&file, column);
                assert_eq!(&open().unwrap().take(ROWS, None).unwrap(), &whole, "{what}");
                let mut parts = Vec::new();
                let mut reader = open().unwrap();
                for from in (0..ROWS).step_by(1_234) {
                    parts.push(reader.take(1_234.min(ROWS - from), None).unwrap());
                }
                let parts = concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>()).unwrap();
                assert_eq!(&parts, &whole, "{what}, in parts");
                let every = |n: u32| (0..ROWS as u32).filter(|r| (r + 3) % n == 0).collect::<Vec<u32>>();
                let few = [vec![0], vec![10, 11], vec![2_000, 3_001, 9_500]];
                for rows in [1, 2, 17, 5_000, ROWS as u32].map(every).into_iter().chain(few) {
                    let found = open().unwrap().take(ROWS, Some(&rows)).unwrap();
                    let expected = take(&whole, &arrow::array::UInt32Array::from(rows), None).unwrap();
                    assert_eq!(&found, &expected, "{what}, {} rows", expected.len());
                }
            }
        }
    }
    // All kinds in all variants, but for truth values as runs in pages of the second version.
    assert!(read >= 3 * 8 * 13 - 3 * 2 * 2, "{read}");
}

#[test]
fn text_that_is_dictionary_indices_is_read_as_a_dictionary() {
    let file = written(columns(ROWS, 3, 1), WriterProperties::builder().build());
    let metadata = ParquetRecordBatchReaderBuilder::try_new(file.reopen().unwrap()).unwrap();
    let column = metadata.schema().index_of("word").unwrap();
    let packed = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let mut handle = file.reopen().unwrap();
    let mut reader =
        FlatColumn::open(&mut handle, metadata.metadata(), (0, column), &packed).unwrap().unwrap();
    let found = reader.take(ROWS, None).unwrap();
    assert_eq!(found.data_type(), &packed);
    assert_eq!(&arrow::compute::cast(&found, &DataType::Utf8).unwrap(), &general(&file, column));
}

#[test]
fn rows_that_lie_farther_behind_than_expected_are_found() {
    let mut random = Prng::new(9);
    let long = |random: &mut Prng| (0..200).map(|_| format!("{:x}", random.next())).collect::<String>();
    let texts: Vec<String> =
        (0..ROWS).map(|i| if i < 300 { long(&mut random) } else { String::new() }).collect();
    let array: ArrayRef = Arc::new(StringArray::from(texts));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap()))
        .set_dictionary_enabled(false)
        .build();
    let file = written(vec![("text", Arc::clone(&array))], properties);
    let metadata = ParquetRecordBatchReaderBuilder::try_new(file.reopen().unwrap()).unwrap();
    for rows in [vec![3_u32], vec![250], vec![299, 400], vec![12_000]] {
        let mut handle = file.reopen().unwrap();
        let column = FlatColumn::open(&mut handle, metadata.metadata(), (0, 0), &DataType::Utf8).unwrap();
        let found = column.unwrap().take(ROWS, Some(&rows)).unwrap();
        let expected = take(&array, &arrow::array::UInt32Array::from(rows), None).unwrap();
        assert_eq!(&found, &expected);
    }
}

#[test]
fn any_changed_byte_is_read_otherwise_or_an_error_and_never_a_panic() {
    let mut random = Prng::new(3);
    for properties in variants() {
        let file = written(columns(FEW, 3, 5), properties);
        let metadata = ParquetRecordBatchReaderBuilder::try_new(file.reopen().unwrap()).unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        for _ in 0..60 {
            let mut damaged = bytes.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len() as u64) as usize;
                damaged[at] ^= 1 << random.below(8);
            }
            let copy = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(copy.path(), &damaged).unwrap();
            for (column, field) in metadata.schema().fields().iter().enumerate() {
                let mut handle = copy.reopen().unwrap();
                let wanted: Option<&[u32]> = if random.below(2) == 0 { None } else { Some(&[3, 700]) };
                let read = FlatColumn::open(&mut handle, metadata.metadata(), (0, column), field.data_type())
                    .and_then(|c| c.map(|mut c| c.take(FEW, wanted)).transpose());
                if let Ok(Some(array)) = read {
                    assert_eq!(array.len(), wanted.map_or(FEW, <[u32]>::len));
                }
            }
        }
    }
}
