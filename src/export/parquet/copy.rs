//! Column chunks of an input file copied as bytes.
//!
//! Copied bytes are only as good as what the new footer says of them. A chunk is
//! copied if the output column is the same to a reader (physical type, length,
//! levels) and the chunk lies in the file as its footer says, page after page. Its statistics come
//! along only where the source's footer states the order they were made in; page
//! indexes and bloom filters stay behind.

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};

use bytes::Bytes;
use parquet::basic::{ColumnOrder, Type as PhysicalType};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor};

use crate::error::{Error, Result};
use crate::snapshot::ChunkOfInput;

/// Chunks of up to so many bytes are read before it is their turn to be written, by whoever has time. As many wait as
/// results do, so larger ones stay where they are.
const READ_BEFORE: u64 = 2 << 20;

/// A chunk of an input file, and what the new footer says of it.
pub(super) struct CopiedChunk {
    pub bytes: ChunkBytes,
    /// Offsets are those in the input file.
    pub close: ColumnCloseResult,
}

/// Where the bytes of a chunk are. Places are those in the input file.
pub(super) enum ChunkBytes {
    Read { from: u64, bytes: Bytes },
    InFile(File),
}

impl ChunkBytes {
    fn of(mut file: File, chunk: &ColumnChunkMetaData) -> std::io::Result<Self> {
        let (from, length) = chunk.byte_range();
        if length > READ_BEFORE {
            return Ok(Self::InFile(file));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.seek(SeekFrom::Start(from))?;
        file.take(length).read_to_end(&mut bytes)?;
        Ok(Self::Read { from, bytes: bytes.into() })
    }
}

impl Length for ChunkBytes {
    fn len(&self) -> u64 {
        match self {
            Self::Read { from, bytes } => from + bytes.len() as u64,
            Self::InFile(file) => Length::len(file),
        }
    }
}

impl ChunkReader for ChunkBytes {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(match self {
            Self::Read { from, bytes } => Box::new(bytes.get_read(start.saturating_sub(*from))?),
            Self::InFile(file) => Box::new(file.get_read(start)?),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        match self {
            Self::Read { from, bytes } => bytes.get_bytes(start.saturating_sub(*from), length),
            Self::InFile(file) => file.get_bytes(start, length),
        }
    }
}

/// Whether the chunk's bytes can stand for the output's leaves of this column.
pub(super) fn is_copyable(chunk: &ChunkOfInput<'_>, target: &[ColumnDescPtr]) -> bool {
    let leaves = leaves(chunk);
    leaves.len() == target.len()
        && leaves.iter().zip(target).all(|(&leaf, target)| {
            let source = chunk.group.metadata.row_group(chunk.group.row_group).column(leaf);
            same_to_a_reader(source.column_descr(), target) && lies_in_order(source)
        })
}

/// The leaves of the column in its file.
fn leaves(chunk: &ChunkOfInput<'_>) -> Vec<usize> {
    let schema = chunk.group.metadata.file_metadata().schema_descr();
    (0..schema.num_columns()).filter(|&leaf| schema.get_column_root_idx(leaf) == chunk.column).collect()
}

/// The values have the same Arrow type, as the output's columns are those of the input; what is
/// compared here is how their bytes are laid out.
fn same_to_a_reader(source: &ColumnDescriptor, target: &ColumnDescriptor) -> bool {
    source.physical_type() == target.physical_type()
        && source.physical_type() != PhysicalType::INT96
        && source.type_length() == target.type_length()
        && source.max_def_level() == target.max_def_level()
        && source.max_rep_level() == target.max_rep_level()
        && source.path() == target.path()
}

/// Whether the dictionary page, if there is one, lies before the data.
fn lies_in_order(chunk: &ColumnChunkMetaData) -> bool {
    chunk.dictionary_page_offset().is_none_or(|d| 0 < d && d < chunk.data_page_offset())
        && chunk.data_page_offset() > 0
}

/// The chunks of all leaves of the column, to be copied.
pub(super) fn chunks(
    chunk: &ChunkOfInput<'_>,
    target: &[ColumnDescPtr],
) -> Result<Result<Vec<CopiedChunk>, ParquetError>> {
    let mut copied = Vec::with_capacity(target.len());
    for (leaf, target) in leaves(chunk).into_iter().zip(target) {
        chunk.group.walk_pages(leaf)?;
        let file = &chunk.group.file;
        let of_leaf = chunk.group.metadata.row_group(chunk.group.row_group).column(leaf);
        let bytes = ChunkBytes::of(file.handle()?, of_leaf).map_err(Error::io(&file.path, "read"))?;
        match close_result(chunk, leaf, target) {
            Ok(close) => copied.push(CopiedChunk { bytes, close }),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(copied))
}

fn close_result(
    chunk: &ChunkOfInput<'_>,
    leaf: usize,
    target: &ColumnDescPtr,
) -> Result<ColumnCloseResult, ParquetError> {
    let metadata = chunk.group.metadata;
    let group = metadata.row_group(chunk.group.row_group);
    let source = group.column(leaf);
    let mut builder = ColumnChunkMetaData::builder(target.clone())
        .set_encodings_mask(*source.encodings_mask())
        .set_compression_codec(source.compression_codec())
        .set_num_values(source.num_values())
        .set_total_compressed_size(source.compressed_size())
        .set_total_uncompressed_size(source.uncompressed_size())
        .set_data_page_offset(source.data_page_offset())
        .set_dictionary_page_offset(source.dictionary_page_offset());
    if let Some(pages) = source.page_encoding_stats() {
        builder = builder.set_page_encoding_stats(pages.clone());
    }
    let is_ordered = matches!(
        metadata.file_metadata().column_orders().and_then(|orders| orders.get(leaf)),
        Some(ColumnOrder::TYPE_DEFINED_ORDER(_))
    );
    if let Some(statistics) = source.statistics().filter(|s| is_ordered && !s.is_min_max_deprecated()) {
        builder = builder.set_statistics(statistics.clone());
    }
    Ok(ColumnCloseResult {
        bytes_written: source.compressed_size() as u64,
        rows_written: group.num_rows() as u64,
        metadata: builder.build()?,
        bloom_filter: None,
        column_index: None,
        offset_index: None,
    })
}
