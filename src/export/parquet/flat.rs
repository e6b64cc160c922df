//! One flat column chunk, from an array to pages.
//!
//! The general writer takes every value through an interner and a level
//! builder. A column that is not nested needs neither: cells are already one
//! buffer, nulls are already the bits of the definition levels, and a column
//! that comes as dictionary keys leaves as dictionary keys. Entries are numbered
//! by first use, so that no entry of a row that has gone stays behind. Integers
//! are written as bit-packed differences where that takes less room.
//!
//! Limits: flat booleans, numbers of 32 and 64 bits, decimals stored in them,
//! text and bytes; Zstandard, Snappy or no compression. Everything else goes
//! through the general writer.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBufferBuilder, DictionaryArray, GenericByteArray, PrimitiveArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{self as t, ArrowNativeType, ByteArrayType, DataType, TimeUnit};
use parquet::basic::{Compression, Encoding, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::schema::types::ColumnDescPtr;

use super::bounds::{Bounds, Number, extremes, wider};
use super::dictionary::Indexed;
use super::pages::{EncodedChunk, Page, Pages};
use super::{delta, text};
use crate::snapshot::{Gathering, Pieces};

/// Rows per page at most.
pub(super) const PAGE_ROWS: usize = 1 << 15;

/// Entries of a dictionary beyond this are written as values: one page has to hold them all.
const DICTIONARY_MEMORY_MAX: usize = 64 << 20;

/// How a chunk is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChunkStyle {
    pub compression: Compression,
    /// Whether the cells are written as indices of a dictionary if that stays small.
    pub dictionary: bool,
}

/// Encodes a column; `None` if it needs the general writer.
pub(super) fn encode(
    array: &ArrayRef,
    leaf: &ColumnDescPtr,
    style: ChunkStyle,
) -> Option<Result<EncodedChunk, ParquetError>> {
    if leaf.max_rep_level() > 0 || leaf.max_def_level() > 1 || !Pages::can_compress(style.compression) {
        return None;
    }
    if leaf.max_def_level() == 0 && array.logical_null_count() > 0 {
        return None;
    }
    let pages = match Pages::new(leaf, style.compression, array.len()) {
        Ok(pages) => pages,
        Err(error) => return Some(Err(error)),
    };
    match (array.data_type(), leaf.physical_type()) {
        (DataType::Boolean, PhysicalType::BOOLEAN) => {
            let values = array.as_boolean();
            Some(booleans(pages, values.values(), values.nulls()))
        }
        (DataType::Utf8, PhysicalType::BYTE_ARRAY) => {
            Some(texts(pages, array.as_string::<i32>(), style, true))
        }
        (DataType::LargeUtf8, PhysicalType::BYTE_ARRAY) => {
            Some(texts(pages, array.as_string::<i64>(), style, true))
        }
        (DataType::Binary, PhysicalType::BYTE_ARRAY) => {
            Some(texts(pages, array.as_binary::<i32>(), style, false))
        }
        (DataType::LargeBinary, PhysicalType::BYTE_ARRAY) => {
            Some(texts(pages, array.as_binary::<i64>(), style, false))
        }
        (DataType::Dictionary(_, values), PhysicalType::BYTE_ARRAY) => {
            let array = array.as_any().downcast_ref::<DictionaryArray<t::Int32Type>>()?;
            if array.values().null_count() > 0 {
                return None;
            }
            if array.values().get_array_memory_size() > DICTIONARY_MEMORY_MAX {
                let plain = arrow::compute::cast(array, values).ok()?;
                return encode(&plain, leaf, ChunkStyle { dictionary: false, ..style });
            }
            match values.as_ref() {
                DataType::Utf8 => Some(keys(pages, array.keys(), array.values().as_string::<i32>(), true)),
                DataType::Binary => Some(keys(pages, array.keys(), array.values().as_binary::<i32>(), false)),
                _ => None,
            }
        }
        (fixed, physical) => numbers(array, fixed, physical, style, pages),
    }
}

/// Columns whose cells are 32 or 64 bits in the file.
fn numbers(
    array: &ArrayRef,
    data_type: &DataType,
    physical: PhysicalType,
    style: ChunkStyle,
    pages: Pages,
) -> Option<Result<EncodedChunk, ParquetError>> {
    use DataType as D;
    let nulls = array.nulls();
    macro_rules! of {
        ($t:ty) => {
            Some(fixed(pages, array.as_primitive::<$t>().values(), nulls, style))
        };
    }
    match (data_type, physical) {
        (D::Int32, PhysicalType::INT32) => of!(t::Int32Type),
        (D::Date32, PhysicalType::INT32) => of!(t::Date32Type),
        (D::UInt32, PhysicalType::INT32) => of!(t::UInt32Type),
        (D::Time32(TimeUnit::Millisecond), PhysicalType::INT32) => of!(t::Time32MillisecondType),
        (D::Int64, PhysicalType::INT64) => of!(t::Int64Type),
        (D::UInt64, PhysicalType::INT64) => of!(t::UInt64Type),
        (D::Time64(TimeUnit::Microsecond), PhysicalType::INT64) => of!(t::Time64MicrosecondType),
        (D::Time64(TimeUnit::Nanosecond), PhysicalType::INT64) => of!(t::Time64NanosecondType),
        (D::Timestamp(TimeUnit::Millisecond, _), PhysicalType::INT64) => of!(t::TimestampMillisecondType),
        (D::Timestamp(TimeUnit::Microsecond, _), PhysicalType::INT64) => of!(t::TimestampMicrosecondType),
        (D::Timestamp(TimeUnit::Nanosecond, _), PhysicalType::INT64) => of!(t::TimestampNanosecondType),
        (D::Float32, PhysicalType::FLOAT) => of!(t::Float32Type),
        (D::Float64, PhysicalType::DOUBLE) => of!(t::Float64Type),
        (D::Decimal64(_, _), PhysicalType::INT64) => of!(t::Decimal64Type),
        (D::Decimal32(_, _), PhysicalType::INT32) => of!(t::Decimal32Type),
        (D::Decimal128(_, _), PhysicalType::INT64) => {
            // What stands under a null is no value and may be anything.
            let narrow = |(row, &v): (usize, &i128)| {
                i64::try_from(v).ok().or_else(|| nulls.is_some_and(|n| n.is_null(row)).then_some(0))
            };
            let wide = array.as_primitive::<t::Decimal128Type>().values();
            let narrow: Vec<i64> = wide.iter().enumerate().map(narrow).collect::<Option<_>>()?;
            Some(fixed(pages, &ScalarBuffer::from(narrow), nulls, style))
        }
        (D::Decimal128(_, _), PhysicalType::INT32) => {
            let narrow = |(row, &v): (usize, &i128)| {
                i32::try_from(v).ok().or_else(|| nulls.is_some_and(|n| n.is_null(row)).then_some(0))
            };
            let wide = array.as_primitive::<t::Decimal128Type>().values();
            let narrow: Vec<i32> = wide.iter().enumerate().map(narrow).collect::<Option<_>>()?;
            Some(fixed(pages, &ScalarBuffer::from(narrow), nulls, style))
        }
        _ => None,
    }
}

/// Text or bytes: as a dictionary if that stays small, else as they are.
fn texts<T: ByteArrayType>(
    pages: Pages,
    values: &GenericByteArray<T>,
    style: ChunkStyle,
    is_text: bool,
) -> Result<EncodedChunk, ParquetError> {
    let nulls = values.nulls();
    if style.dictionary
        && let Some(indexed) = Indexed::of_texts(values)
    {
        return entries(pages, &indexed, values, nulls, is_text);
    }
    text::without_dictionary(pages, &[Some(values)], &Pieces::whole(values.len()), nulls, is_text)
}

/// Encodes a column of text or bytes without a dictionary from its parts; `None` if it is no such column.
pub(super) fn encode_parts(
    parts: &Gathering<'_>,
    leaf: &ColumnDescPtr,
    style: ChunkStyle,
) -> Option<Result<EncodedChunk, ParquetError>> {
    let flat = leaf.max_rep_level() == 0 && leaf.max_def_level() <= 1;
    if style.dictionary || !flat || leaf.physical_type() != PhysicalType::BYTE_ARRAY {
        return None;
    }
    let text = match parts.data_type() {
        DataType::Utf8 => text::of_parts::<t::Utf8Type>,
        DataType::LargeUtf8 => text::of_parts::<t::LargeUtf8Type>,
        DataType::Binary => text::of_parts::<t::BinaryType>,
        DataType::LargeBinary => text::of_parts::<t::LargeBinaryType>,
        _ => return None,
    };
    let nulls = parts.nulls();
    if !Pages::can_compress(style.compression) || (leaf.max_def_level() == 0 && nulls.is_some()) {
        return None;
    }
    let is_text = matches!(parts.data_type(), DataType::Utf8 | DataType::LargeUtf8);
    let pages = Pages::new(leaf, style.compression, parts.rows());
    Some(pages.and_then(|pages| text(pages, parts, nulls.as_ref(), is_text)))
}

/// The rows of a page that have a value, as runs.
fn runs(nulls: Option<&NullBuffer>, from: usize, upto: usize) -> Vec<(usize, usize)> {
    match nulls {
        None => vec![(from, upto)],
        Some(nulls) => {
            let page = nulls.slice(from, upto - from);
            page.valid_slices().map(|(start, end)| (from + start, from + end)).collect()
        }
    }
}

fn fixed<T: Number + ArrowNativeType>(
    mut pages: Pages,
    values: &ScalarBuffer<T>,
    nulls: Option<&NullBuffer>,
    style: ChunkStyle,
) -> Result<EncodedChunk, ParquetError> {
    let indexed = if style.dictionary { Indexed::of_numbers(values, nulls) } else { None };
    let indexed = indexed.filter(|indexed| !indexed.entries.is_empty());
    if let Some(indexed) = &indexed {
        let plain: Vec<u8> = indexed.entries.iter().flat_map(|&row| values[row as usize].bytes()).collect();
        pages.dictionary(&plain, indexed.entries.len())?;
    }
    let (width, bytes) = (size_of::<T>(), values.inner().as_slice());
    let packed = indexed.is_none() && pays_to_pack(&pages, values, nulls)?;
    let mut all = None;
    for from in (0..values.len()).step_by(PAGE_ROWS) {
        let upto = (from + PAGE_ROWS).min(values.len());
        let runs = runs(nulls, from, upto);
        let cells = || runs.iter().flat_map(|&(from, upto)| values[from..upto].iter().copied());
        let found = if let [(from, upto)] = runs.as_slice() {
            extremes(values[*from..*upto].iter().copied())
        } else {
            extremes(cells())
        };
        let mut body = pages.begin(from, upto, nulls);
        let encoding = match &indexed {
            Some(indexed) => {
                indexed.write(&runs, &mut body);
                Encoding::RLE_DICTIONARY
            }
            // A page without values is the same in both, but not every reader takes an empty packed one.
            None if packed && !runs.is_empty() => {
                pack(values, &runs, &mut body);
                Encoding::DELTA_BINARY_PACKED
            }
            None => {
                runs.iter().for_each(|r| body.extend_from_slice(&bytes[r.0 * width..r.1 * width]));
                Encoding::PLAIN
            }
        };
        let nans = if T::HAS_NAN { cells().filter(|v| !v.is_ordered()).count() } else { 0 };
        let bounds = found.map(Bounds::of_numbers);
        pages.end(&body, Page { from, upto, present: present(&runs), nans, bounds, encoding })?;
        all = wider(all, found);
    }
    pages.finish(all.map(Bounds::of_numbers).as_ref(), width)
}

/// Values by which a chunk's encoding is chosen.
const SAMPLE: usize = 1 << 12;

/// Whether bit-packed differences of the first values take less room than the values, both compressed.
fn pays_to_pack<T: Number + ArrowNativeType>(
    pages: &Pages,
    values: &ScalarBuffer<T>,
    nulls: Option<&NullBuffer>,
) -> Result<bool, ParquetError> {
    if T::HAS_NAN {
        return Ok(false);
    }
    let runs = runs(nulls, 0, values.len().min(SAMPLE));
    let (mut packed, mut plain) = (Vec::new(), Vec::new());
    pack(values, &runs, &mut packed);
    let width = size_of::<T>();
    let bytes = values.inner().as_slice();
    runs.iter().for_each(|r| plain.extend_from_slice(&bytes[r.0 * width..r.1 * width]));
    Ok(packed.len() < plain.len() && pages.compressed_size(&packed)? <= pages.compressed_size(&plain)?)
}

fn pack<T: Number + ArrowNativeType>(values: &ScalarBuffer<T>, runs: &[(usize, usize)], out: &mut Vec<u8>) {
    match runs {
        [(from, upto)] => delta::encode(values[*from..*upto].iter().copied(), out),
        runs => {
            let cells: Vec<T> = runs.iter().flat_map(|&(from, upto)| &values[from..upto]).copied().collect();
            delta::encode(cells.into_iter(), out);
        }
    }
}

fn present(runs: &[(usize, usize)]) -> usize {
    runs.iter().map(|(from, upto)| upto - from).sum()
}

/// A dictionary's keys and entries.
fn keys<T: ByteArrayType>(
    pages: Pages,
    keys: &PrimitiveArray<t::Int32Type>,
    values: &GenericByteArray<T>,
    is_text: bool,
) -> Result<EncodedChunk, ParquetError> {
    entries(pages, &Indexed::of_keys(keys, values), values, keys.nulls(), is_text)
}

/// Text or bytes as indices of the entries that occur.
fn entries<T: ByteArrayType>(
    mut pages: Pages,
    indexed: &Indexed,
    values: &GenericByteArray<T>,
    nulls: Option<&NullBuffer>,
    is_text: bool,
) -> Result<EncodedChunk, ParquetError> {
    if indexed.entries.is_empty() {
        // Nothing but nulls; a dictionary without entries is more than some readers expect.
        return nulls_alone(pages, indexed.ids.len(), nulls);
    }
    let value = |entry: u32| -> &[u8] { values.value(indexed.entries[entry as usize] as usize).as_ref() };
    let count = indexed.entries.len() as u32;
    let mut plain = Vec::new();
    for entry in (0..count).map(value) {
        plain.extend_from_slice(&(entry.len() as u32).to_le_bytes());
        plain.extend_from_slice(entry);
    }
    pages.dictionary(&plain, count as usize)?;
    let longest = (0..count).map(|e| value(e).len()).max().unwrap_or(0);
    let mut order: Vec<u32> = (0..count).collect();
    order.sort_unstable_by_key(|&entry| value(entry));
    let mut ranks = vec![0_u32; count as usize];
    order.iter().zip(0..).for_each(|(&entry, rank)| ranks[entry as usize] = rank);
    let between = |(low, high): (u32, u32)| {
        Bounds::of_bytes((value(order[low as usize]), value(order[high as usize])), is_text)
    };
    for from in (0..indexed.ids.len()).step_by(PAGE_ROWS) {
        let upto = (from + PAGE_ROWS).min(indexed.ids.len());
        let runs = runs(nulls, from, upto);
        let ids = runs.iter().flat_map(|&(from, upto)| &indexed.ids[from..upto]);
        let bounds = extremes(ids.map(|&id| ranks[id as usize])).and_then(between);
        let mut body = pages.begin(from, upto, nulls);
        indexed.write(&runs, &mut body);
        let page =
            Page { from, upto, present: present(&runs), nans: 0, bounds, encoding: Encoding::RLE_DICTIONARY };
        pages.end(&body, page)?;
    }
    let all = count.checked_sub(1).and_then(|last| between((0, last)));
    pages.finish(all.as_ref(), longest)
}

fn nulls_alone(
    mut pages: Pages,
    rows: usize,
    nulls: Option<&NullBuffer>,
) -> Result<EncodedChunk, ParquetError> {
    for from in (0..rows).step_by(PAGE_ROWS) {
        let upto = (from + PAGE_ROWS).min(rows);
        let body = pages.begin(from, upto, nulls);
        let page = Page { from, upto, present: 0, nans: 0, bounds: None, encoding: Encoding::PLAIN };
        pages.end(&body, page)?;
    }
    pages.finish(None, 0)
}

fn booleans(
    mut pages: Pages,
    values: &BooleanBuffer,
    nulls: Option<&NullBuffer>,
) -> Result<EncodedChunk, ParquetError> {
    let mut all = None;
    for from in (0..values.len()).step_by(PAGE_ROWS) {
        let upto = (from + PAGE_ROWS).min(values.len());
        let runs = runs(nulls, from, upto);
        let mut cells = BooleanBufferBuilder::new(upto - from);
        runs.iter().for_each(|&(from, upto)| cells.append_buffer(&values.slice(from, upto - from)));
        let cells = cells.finish();
        let trues = cells.count_set_bits();
        let found = (!cells.is_empty()).then_some((trues == cells.len(), trues > 0));
        let mut body = pages.begin(from, upto, nulls);
        body.extend_from_slice(&cells.inner().as_slice()[..cells.len().div_ceil(8)]);
        let bounds = found.map(of_booleans);
        let page = Page { from, upto, present: cells.len(), nans: 0, bounds, encoding: Encoding::PLAIN };
        pages.end(&body, page)?;
        all = wider(all, found);
    }
    pages.finish(all.map(of_booleans).as_ref(), 1)
}

fn of_booleans((min, max): (bool, bool)) -> Bounds {
    Bounds { min: vec![u8::from(min)], max: vec![u8::from(max)] }
}
