//! What is written is read back, cell for cell, with and without the page index.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal64Array, Decimal128Array,
    DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array, LargeStringArray, ListArray,
    RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::basic::{Compression, Encoding, PageType, ZstdLevel};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::statistics::Statistics;

use super::*;
use crate::read::{Spool, Table, TableSource};
use crate::testing::Prng;

struct Groups {
    schema: SchemaRef,
    groups: Vec<Vec<ArrayRef>>,
}

impl GroupSource for Groups {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }
    fn groups(&self) -> usize {
        self.groups.len()
    }
    fn rows(&self, group: usize) -> usize {
        self.groups[group][0].len()
    }
    fn column(&self, group: usize, column: usize) -> Result<ArrayRef> {
        Ok(Arc::clone(&self.groups[group][column]))
    }
}

/// Columns of every kind, `rows` long; `nulls` in a hundred cells are null.
fn columns(random: &mut Prng, rows: usize, nulls: u64) -> Vec<(&'static str, ArrayRef)> {
    macro_rules! cells {
        ($array:ty, $make:expr) => {{
            let make = $make;
            let cell = |_| if random.below(100) < nulls { None } else { Some(make(&mut *random)) };
            (0..rows).map(cell).collect::<$array>()
        }};
    }
    let word = |random: &mut Prng| format!("branch {}", random.below(40));
    let long = |random: &mut Prng| {
        let length = if random.below(50) == 0 { 30_000 } else { random.below(90) as usize };
        "ä€x".repeat(length / 3 + 1)
    };
    let few = cells!(StringArray, word);
    let few = cast(&few, &DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))).unwrap();
    let floats = |random: &mut Prng| match random.below(6) {
        0 => f64::NAN,
        1 => -0.0,
        2 => f64::NEG_INFINITY,
        other => other as f64 / 7.0,
    };
    let decimals = cells!(Decimal128Array, |r: &mut Prng| i128::from(r.next() as i64 >> 4));
    let narrow = cells!(Decimal64Array, |r: &mut Prng| r.next() as i64 >> 8);
    let wide = cells!(Decimal128Array, |r: &mut Prng| i128::from(r.next()) << 40);
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(
        (0..rows).map(|row| (row % 3 > 0).then(|| (0..row % 4).map(|v| Some(v as i32)).collect::<Vec<_>>())),
    );
    vec![
        ("flag", Arc::new(cells!(BooleanArray, |r: &mut Prng| r.below(2) == 0)) as ArrayRef),
        ("small", Arc::new(cells!(Int32Array, |r: &mut Prng| r.below(9) as i32 - 4))),
        ("id", Arc::new(cells!(Int64Array, |r: &mut Prng| r.next() as i64))),
        ("unsigned", Arc::new(cells!(UInt64Array, |r: &mut Prng| r.next()))),
        ("count", Arc::new(cells!(UInt32Array, |r: &mut Prng| r.next() as u32))),
        ("day", Arc::new(cells!(Date32Array, |r: &mut Prng| r.below(900) as i32))),
        (
            "at",
            Arc::new(
                cells!(TimestampMicrosecondArray, |r: &mut Prng| r.next() as i64 >> 12).with_timezone("UTC"),
            ),
        ),
        ("ratio", Arc::new(cells!(Float64Array, floats))),
        ("single", Arc::new(cells!(Float32Array, |r: &mut Prng| r.below(99) as f32))),
        ("amount", Arc::new(decimals.with_precision_and_scale(18, 2).unwrap())),
        ("narrow", Arc::new(narrow.with_precision_and_scale(18, 4).unwrap())),
        ("wide", Arc::new(wide.with_precision_and_scale(38, 9).unwrap())),
        ("branch", few),
        ("note", Arc::new(cells!(StringArray, long))),
        ("large", Arc::new(cells!(LargeStringArray, word))),
        ("bytes", Arc::new(cells!(BinaryArray, |r: &mut Prng| r.next().to_le_bytes().to_vec()))),
        ("list", Arc::new(lists)),
        ("nothing", Arc::new(StringArray::new_null(rows))),
    ]
}

/// The columns in groups of these sizes.
fn table(seed: u64, sizes: &[usize], nulls: u64) -> Groups {
    let mut random = Prng::new(seed);
    let groups: Vec<Vec<(&str, ArrayRef)>> =
        sizes.iter().map(|&rows| columns(&mut random, rows, nulls)).collect();
    let field = |(name, array): &(&str, ArrayRef)| {
        // The schema has the plain type; cells may come packed.
        let data_type = match array.data_type() {
            DataType::Dictionary(_, values) => values.as_ref().clone(),
            DataType::Decimal64(precision, scale) => DataType::Decimal128(*precision, *scale),
            other => other.clone(),
        };
        Field::new(*name, data_type, nulls > 0 || matches!(*name, "list" | "nothing"))
    };
    let schema = Arc::new(Schema::new(groups[0].iter().map(field).collect::<Vec<_>>()));
    let groups = groups.into_iter().map(|g| g.into_iter().map(|(_, array)| array).collect()).collect();
    Groups { schema, groups }
}

/// Writes a table; `compression` and dictionaries for every column as given.
fn written(table: &Groups, compression: Compression, dictionary: bool) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".parquet").tempfile().unwrap();
    let properties =
        WriterProperties::builder().set_compression(compression).set_dictionary_enabled(dictionary).build();
    let like = like(&table.schema, properties);
    let style = ParquetStyle { like: Some(like), metadata: Vec::new(), plain: false, digest: false };
    write(table, &style, file.reopen().unwrap(), file.path(), &|_| ()).unwrap();
    file
}

/// The footer of a file of one row with these properties.
fn like(schema: &SchemaRef, properties: WriterProperties) -> Arc<ParquetMetaData> {
    let arrays = schema.fields().iter().map(|f| arrow::array::new_null_array(f.data_type(), 1)).collect();
    let nullable: Vec<Field> =
        schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(nullable)), arrays).unwrap();
    let mut bytes = Vec::new();
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
    Arc::clone(reader.metadata())
}

fn expected(table: &Groups) -> RecordBatch {
    let batch = |group: &Vec<ArrayRef>| {
        let plain = group.iter().zip(table.schema.fields());
        let plain = plain.map(|(array, field)| cast(array, field.data_type()).unwrap()).collect();
        RecordBatch::try_new(Arc::clone(&table.schema), plain).unwrap()
    };
    let batches: Vec<RecordBatch> = table.groups.iter().map(batch).collect();
    concat_batches(&table.schema, &batches).unwrap()
}

fn same(found: &RecordBatch, expected: &RecordBatch) {
    assert_eq!(found.num_rows(), expected.num_rows());
    for (column, field) in expected.schema().fields().iter().enumerate() {
        let (found, expected) = (found.column(column), expected.column(column));
        assert_eq!(found.to_data(), expected.to_data(), "column {}", field.name());
    }
}

#[test]
fn every_kind_of_column_is_read_back_with_any_codec() {
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4_RAW,
    ];
    for (seed, nulls) in [(1, 0), (2, 20), (3, 97)] {
        let table = table(seed, &[70_001, 1, 9], nulls);
        let expected = expected(&table);
        for codec in codecs {
            for dictionary in [false, true] {
                let file = written(&table, codec, dictionary);
                let reader = ParquetRecordBatchReaderBuilder::try_new(file.reopen().unwrap()).unwrap();
                assert_eq!(reader.schema().fields(), table.schema.fields());
                let batches: Vec<_> =
                    reader.with_batch_size(10_000).build().unwrap().map(Result::unwrap).collect();
                same(&concat_batches(&table.schema, &batches).unwrap(), &expected);
            }
        }
    }
}

#[test]
fn rows_are_found_through_the_page_index() {
    let table = table(4, &[100_000], 20);
    let file = written(&table, Compression::ZSTD(ZstdLevel::default()), true);
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let reader =
        ParquetRecordBatchReaderBuilder::try_new_with_options(file.reopen().unwrap(), options).unwrap();
    let chosen = RowSelection::from(vec![
        RowSelector::skip(32_760),
        RowSelector::select(20),
        RowSelector::skip(60_000),
        RowSelector::select(5),
    ]);
    let batches: Vec<_> = reader.with_row_selection(chosen).build().unwrap().map(Result::unwrap).collect();
    let expected = expected(&table);
    let expected =
        concat_batches(&table.schema, &[expected.slice(32_760, 20), expected.slice(92_780, 5)]).unwrap();
    same(&concat_batches(&table.schema, &batches).unwrap(), &expected);
}

#[test]
fn the_footer_counts_pages_by_which_text_is_read_as_a_dictionary() {
    let table = table(6, &[70_000], 20);
    for dictionary in [true, false] {
        let file = written(&table, Compression::ZSTD(ZstdLevel::default()), dictionary);
        let options = ArrowReaderOptions::new().with_encoding_stats_as_mask(false);
        let reader =
            ParquetRecordBatchReaderBuilder::try_new_with_options(file.reopen().unwrap(), options).unwrap();
        let read = Table::open(&TableSource::at(file.path()), &Spool::new(None)).unwrap();
        for name in ["branch", "large"] {
            let column = table.schema.index_of(name).unwrap();
            let is_packed = matches!(read.packed_type(column), DataType::Dictionary(..));
            assert_eq!(is_packed, name == "branch", "{name}, which is wide text otherwise");
        }
        let pages = |name: &str| -> Vec<(PageType, Encoding, i32)> {
            let chunk = reader.metadata().row_group(0).column(table.schema.index_of(name).unwrap());
            let counted = chunk.page_encoding_stats().unwrap();
            counted.iter().map(|of| (of.page_type, of.encoding, of.count)).collect()
        };
        let indices = [
            (PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1),
            (PageType::DATA_PAGE, Encoding::RLE_DICTIONARY, 3),
        ];
        assert_eq!(pages("branch"), indices, "cells that come as a dictionary leave as one");
        if dictionary {
            assert_eq!(pages("large"), indices);
        } else {
            // Lengths among words that repeat cost nothing; among bytes that do not, each costs its own.
            assert_eq!(pages("large"), [(PageType::DATA_PAGE, Encoding::PLAIN, 3)]);
            assert_eq!(pages("bytes"), [(PageType::DATA_PAGE, Encoding::DELTA_LENGTH_BYTE_ARRAY, 3)]);
        }
    }
}

#[test]
fn statistics_are_the_smallest_and_largest_values() {
    let table = table(5, &[50_000], 10);
    let file = written(&table, Compression::SNAPPY, true);
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.reopen().unwrap()).unwrap();
    let group = reader.metadata().row_group(0);
    for (column, name) in [(1, "small"), (2, "id")] {
        let array = cast(&table.groups[0][column], &DataType::Int64).unwrap();
        let values = array.as_primitive::<arrow::datatypes::Int64Type>();
        let (min, max) = (values.iter().flatten().min(), values.iter().flatten().max());
        let statistics = group.column(column).statistics().unwrap();
        assert_eq!(statistics.null_count_opt(), Some(values.null_count() as u64), "{name}");
        match statistics {
            Statistics::Int32(s) => assert_eq!(
                (s.min_opt().map(|&v| i64::from(v)), s.max_opt().map(|&v| i64::from(v))),
                (min, max)
            ),
            Statistics::Int64(s) => assert_eq!((s.min_opt().copied(), s.max_opt().copied()), (min, max)),
            other => panic!("{name}: {other:?}"),
        }
    }
    let texts = table.groups[0][13].as_string::<i32>();
    let Some(Statistics::ByteArray(bounds)) = group.column(13).statistics() else {
        panic!("no bounds of text")
    };
    let (low, high) = (bounds.min_opt().unwrap().data(), bounds.max_opt().unwrap().data());
    assert!(texts.iter().flatten().all(|text| low <= text.as_bytes() && text.as_bytes() <= high));
    assert!(low.len() <= 64 && high.len() <= 64, "long text is cut in statistics");
    assert!(!bounds.max_is_exact());
}

#[test]
fn a_dictionary_holds_only_entries_that_occur() {
    let keys = arrow::array::Int32Array::from(vec![Some(3), None, Some(1), Some(3)]);
    let entries = StringArray::from(vec!["gone", "kept", "gone too", "first"]);
    let array: ArrayRef = Arc::new(DictionaryArray::try_new(keys, Arc::new(entries)).unwrap());
    let schema = Arc::new(Schema::new(vec![Field::new("word", DataType::Utf8, true)]));
    let table = Groups { schema, groups: vec![vec![array]] };
    let file = written(&table, Compression::UNCOMPRESSED, true);
    let bytes = std::fs::read(file.path()).unwrap();
    let has = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    assert!(has(b"first") && has(b"kept") && !has(b"gone"), "what rows have gone left nothing behind");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.reopen().unwrap()).unwrap().build().unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    assert_eq!(
        batches[0].column(0).as_string::<i32>().iter().collect::<Vec<_>>(),
        [Some("first"), None, Some("kept"), Some("first")]
    );
}
