//! Pages of a flat chunk: levels, compression, headers, and the indexes over them.

use std::cell::RefCell;

use arrow::buffer::NullBuffer;
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType, Type as PhysicalType};
use parquet::column::page::{CompressedPage, Page as RawPage, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats,
};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::zstd_safe::CParameter;

use super::bounds::{Bounds, statistics};
use super::{hybrid, stored};

/// A chunk's bytes and what the footer says of them.
pub(super) struct EncodedChunk {
    /// The dictionary page, if there is one, and the data pages.
    pub bytes: Bytes,
    /// Offsets count from the start of `bytes`.
    pub close: ColumnCloseResult,
}

/// What is known of a page beside its bytes.
pub(super) struct Page {
    /// Its first row.
    pub from: usize,
    /// One past its last row.
    pub upto: usize,
    /// How many rows have a value.
    pub present: usize,
    /// How many values are NaN.
    pub nans: usize,
    /// Smallest and largest value.
    pub bounds: Option<Bounds>,
    /// How the values are written.
    pub encoding: Encoding,
}

/// The pages of a chunk under way.
pub(super) struct Pages {
    leaf: ColumnDescPtr,
    compression: Compression,
    compressor: Compressor,
    sink: TrackedWrite<Vec<u8>>,
    rows: usize,
    nulls: u64,
    uncompressed: usize,
    dictionary: bool,
    encodings: Vec<Encoding>,
    /// How many pages of each kind, by which readers tell that all values are indices.
    counts: Vec<PageEncodingStats>,
    first_data: Option<u64>,
    columns: ColumnIndexBuilder,
    offsets: OffsetIndexBuilder,
}

/// Of the fastest level's table of places: one that stays in the nearest cache finds as much in a page.
const HASH_LOG: u32 = 12;

/// Bytes of a page that are compressed to see whether all should be.
const PIECE: usize = 1 << 12;

#[derive(Debug, Clone, Copy)]
enum Compressor {
    None,
    Snappy,
    Zstd(i32),
}

/// Tables of a compressor are dear to set up and need no clearing between pages.
type Zstd = zstd::bulk::Compressor<'static>;

thread_local! {
    /// The compressor that this thread used last, by level.
    static ZSTD: RefCell<Option<(i32, Zstd)>> = const { RefCell::new(None) };
}

/// A compressor whose tables are no larger than data pages need; dictionaries of many megabytes might use more.
fn compressor(level: i32) -> std::io::Result<Zstd> {
    let mut compressor = Zstd::new(level)?;
    if level == 1 {
        compressor.set_parameter(CParameter::HashLog(HASH_LOG))?;
    }
    Ok(compressor)
}

impl Pages {
    /// Whether chunks with this codec are written here.
    pub(super) fn can_compress(compression: Compression) -> bool {
        matches!(compression, Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_))
    }

    /// No pages yet.
    pub(super) fn new(
        leaf: &ColumnDescPtr,
        compression: Compression,
        rows: usize,
    ) -> Result<Self, ParquetError> {
        let compressor = match compression {
            Compression::ZSTD(level) => Compressor::Zstd(level.compression_level()),
            Compression::SNAPPY => Compressor::Snappy,
            _ => Compressor::None,
        };
        Ok(Self {
            leaf: leaf.clone(),
            compression,
            compressor,
            sink: TrackedWrite::new(Vec::new()),
            rows,
            nulls: 0,
            uncompressed: 0,
            dictionary: false,
            encodings: vec![Encoding::RLE],
            counts: Vec::new(),
            first_data: None,
            columns: ColumnIndexBuilder::new(leaf.physical_type()),
            offsets: OffsetIndexBuilder::new(),
        })
    }

    /// Writes the dictionary page, before any other; one without entries is left out.
    pub(super) fn dictionary(&mut self, plain: &[u8], entries: usize) -> Result<(), ParquetError> {
        let compressed = self.compress(plain)?;
        let page = RawPage::DictionaryPage {
            buf: compressed.into(),
            num_values: entries as u32,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        self.dictionary = true;
        self.count(PageType::DICTIONARY_PAGE, Encoding::PLAIN);
        self.write(page, plain.len())?;
        Ok(())
    }

    /// Bytes that the definition levels of so many rows take at most.
    pub(super) const fn levels_max(rows: usize) -> usize {
        4 + hybrid::LENGTH_MAX + rows.div_ceil(8)
    }

    /// The body of a page of these rows, begun with its definition levels.
    pub(super) fn begin(&self, from: usize, upto: usize, nulls: Option<&NullBuffer>) -> Vec<u8> {
        let rows = upto - from;
        let mut body = Vec::new();
        if self.leaf.max_def_level() == 0 {
            return body;
        }
        body.extend_from_slice(&[0; 4]);
        match nulls.map(|n| n.slice(from, rows)).filter(|n| n.null_count() > 0) {
            None => hybrid::all_present(rows, &mut body),
            Some(nulls) => {
                let bits = nulls.inner().sliced();
                hybrid::present(rows, bits.as_slice(), &mut body);
            }
        }
        let length = body.len() as u32 - 4;
        body[..4].copy_from_slice(&length.to_le_bytes());
        body
    }

    /// Writes a page.
    pub(super) fn end(&mut self, body: &[u8], page: Page) -> Result<(), ParquetError> {
        let rows = page.upto - page.from;
        let nulls = (rows - page.present) as u64;
        self.count(PageType::DATA_PAGE, page.encoding);
        let length = body.len();
        let is_packed = matches!(page.encoding, Encoding::DELTA_BINARY_PACKED | Encoding::RLE_DICTIONARY);
        let compressed = if is_packed { self.compress_packed(body)? } else { self.compress(body)? };
        let raw = RawPage::DataPage {
            buf: compressed.into(),
            num_values: rows as u32,
            encoding: page.encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let (offset, written) = self.write(raw, length)?;
        self.first_data.get_or_insert(offset);
        self.offsets.append_row_count(rows as i64);
        self.offsets.append_offset_and_size(offset as i64, written as i32);
        self.nulls += nulls;
        let floats = matches!(self.leaf.physical_type(), PhysicalType::FLOAT | PhysicalType::DOUBLE);
        let nans = floats.then_some(page.nans as i64);
        match page.bounds {
            Some(bounds) => self.columns.append(false, bounds.min, bounds.max, nulls as i64, nans),
            None if page.present == 0 => {
                self.columns.append(true, Vec::new(), Vec::new(), nulls as i64, nans)
            }
            // Values without an order have no place in an index by order.
            None => self.columns.to_invalid(),
        }
        Ok(())
    }

    fn count(&mut self, page_type: PageType, encoding: Encoding) {
        if !self.encodings.contains(&encoding) {
            self.encodings.push(encoding);
        }
        match self.counts.iter_mut().find(|pages| pages.page_type == page_type && pages.encoding == encoding)
        {
            Some(pages) => pages.count += 1,
            None => self.counts.push(PageEncodingStats { page_type, encoding, count: 1 }),
        }
    }

    /// The chunk, with the bounds of all its values and the length of the longest.
    pub(super) fn finish(
        mut self,
        bounds: Option<&Bounds>,
        longest: usize,
    ) -> Result<EncodedChunk, ParquetError> {
        if self.first_data.is_none() {
            // A chunk without rows still has a page.
            let body = self.begin(0, 0, None);
            self.end(
                &body,
                Page { from: 0, upto: 0, present: 0, nans: 0, bounds: None, encoding: Encoding::PLAIN },
            )?;
        }
        let Self { leaf, sink, rows, .. } = self;
        let bytes = Bytes::from(sink.into_inner()?);
        let mut builder = ColumnChunkMetaData::builder(leaf.clone())
            .set_encodings(self.encodings)
            .set_page_encoding_stats(self.counts)
            .set_compression(self.compression)
            .set_num_values(rows as i64)
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .set_data_page_offset(self.first_data.unwrap_or(0) as i64)
            .set_dictionary_page_offset(self.dictionary.then_some(0));
        if let Some(statistics) = statistics(leaf.physical_type(), bounds, longest, self.nulls) {
            builder = builder.set_statistics(statistics);
        }
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: rows as u64,
            metadata: builder.build()?,
            bloom_filter: None,
            column_index: if self.columns.valid() { Some(self.columns.build()?) } else { None },
            offset_index: Some(self.offsets.build()),
        };
        Ok(EncodedChunk { bytes, close })
    }

    /// How many bytes this would be in the file.
    pub(super) fn compressed_size(&self, plain: &[u8]) -> Result<usize, ParquetError> {
        Ok(self.compress(plain)?.len())
    }

    fn compress(&self, plain: &[u8]) -> Result<Vec<u8>, ParquetError> {
        Ok(match self.compressor {
            Compressor::None => plain.to_vec(),
            Compressor::Snappy => {
                snap::raw::Encoder::new().compress_vec(plain).map_err(|e| ParquetError::External(e.into()))?
            }
            Compressor::Zstd(level) => ZSTD.with_borrow_mut(|last| -> std::io::Result<Vec<u8>> {
                let (_, compressor) = match last.take_if(|(l, _)| *l == level) {
                    Some(known) => last.insert(known),
                    None => last.insert((level, compressor(level)?)),
                };
                compressor.compress(plain)
            })?,
        })
    }

    /// Bit-packed values rarely get smaller, so a piece tells whether it is worth trying. What repeats at longer
    /// distances than that is not found.
    fn compress_packed(&self, plain: &[u8]) -> Result<Vec<u8>, ParquetError> {
        let middle = plain.len() / 2;
        match plain.get(middle..middle + PIECE) {
            Some(piece) if matches!(self.compressor, Compressor::Zstd(_)) => {
                let is_smaller = self.compressed_size(piece)? < PIECE - PIECE / 32;
                if is_smaller { self.compress(plain) } else { Ok(stored::frame(plain)) }
            }
            _ => self.compress(plain),
        }
    }

    /// Writes header and body; the page's offset and length in the chunk.
    fn write(&mut self, page: RawPage, uncompressed: usize) -> Result<(u64, u64), ParquetError> {
        let mut writer = SerializedPageWriter::new(&mut self.sink);
        let spec = writer.write_page(CompressedPage::new(page, uncompressed))?;
        self.uncompressed += spec.uncompressed_size;
        Ok((spec.offset, spec.bytes_written))
    }
}
