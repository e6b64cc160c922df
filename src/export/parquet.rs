//! A table as Parquet: (row group, column) tasks in parallel and one ordered writer.
//!
//! A column that the source says is a chunk of an input file, cell for cell, is
//! copied as bytes. Flat columns are encoded here, page by page; nested and rare
//! ones go through the general writer. Codec and dictionary use follow the
//! source's own chunks, so that nothing builds a dictionary for a column of
//! unique values. Each output group is encoded from arrays made for exactly that
//! group, so pages do not depend on threads or batch sizes.

mod bounds;
mod copy;
mod dictionary;
mod flat;
mod hybrid;
mod pages;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, SchemaDescriptor};
use rayon::prelude::*;

use self::flat::ChunkStyle;
use self::pages::EncodedChunk;
use crate::error::{Error, Result};
use crate::read::{leaf_count, unpacked};
use crate::snapshot::{Cells, ChunkOfInput, GroupSource};

/// How a Parquet file is written.
#[derive(Debug, Clone, Default)]
pub struct ParquetStyle {
    /// The file whose columns' codecs and encodings are followed.
    pub like: Option<Arc<ParquetMetaData>>,
    /// Key-value metadata of the footer, in this order.
    pub metadata: Vec<(String, String)>,
}

/// One leaf of one group, ready to be written.
enum Chunk {
    Flat(EncodedChunk),
    General(ArrowColumnChunk),
    Copied(copy::CopiedChunk),
}

/// What all tasks share.
struct Encoding<'a> {
    source: &'a dyn GroupSource,
    schema: SchemaRef,
    leaves: Arc<SchemaDescriptor>,
    /// First leaf of each column, and one past the last.
    first_leaf: Vec<usize>,
    properties: Arc<WriterProperties>,
    factory: ArrowRowGroupWriterFactory,
    path: &'a Path,
}

pub(super) fn write(
    source: &dyn GroupSource,
    style: &ParquetStyle,
    file: File,
    path: &Path,
    done: &(dyn Fn(u64) + Sync),
) -> Result<()> {
    let failed = |e: ParquetError| Error::parquet(path)(e);
    let mut properties = properties(style);
    add_encoded_arrow_schema_to_metadata(source.schema(), &mut properties);
    let properties = Arc::new(properties);
    let leaves = Arc::new(ArrowSchemaConverter::new().convert(source.schema()).map_err(failed)?);
    let file = BufWriter::with_capacity(1 << 20, file);
    let mut writer =
        SerializedFileWriter::new(file, leaves.root_schema_ptr(), Arc::clone(&properties)).map_err(failed)?;
    let encoding = Encoding {
        source,
        schema: Arc::clone(source.schema()),
        first_leaf: first_leaves(source.schema()),
        leaves,
        properties,
        factory: ArrowRowGroupWriterFactory::new(&writer, Arc::clone(source.schema())),
        path,
    };
    let groups: Vec<usize> = (0..source.groups()).collect();
    // A window of groups is encoded while the one before it is written.
    let mut finished: Vec<(usize, Vec<Chunk>)> = Vec::new();
    for window in groups.chunks(2 * rayon::current_num_threads().max(1)) {
        let (written, encoded) = rayon::join(
            || {
                finished
                    .drain(..)
                    .try_for_each(|(group, chunks)| append(&mut writer, chunks, source.rows(group), done))
            },
            || encoding.groups(window),
        );
        written.map_err(failed)?;
        finished = encoded?;
    }
    finished
        .into_iter()
        .try_for_each(|(group, chunks)| append(&mut writer, chunks, source.rows(group), done))
        .map_err(failed)?;
    writer.close().map_err(failed)?;
    Ok(())
}

fn append(
    writer: &mut SerializedFileWriter<BufWriter<File>>,
    chunks: Vec<Chunk>,
    rows: usize,
    done: &(dyn Fn(u64) + Sync),
) -> Result<(), ParquetError> {
    let mut group = writer.next_row_group()?;
    for chunk in chunks {
        match chunk {
            Chunk::Flat(chunk) => group.append_column(&chunk.bytes, chunk.close)?,
            Chunk::General(chunk) => chunk.append_to_row_group(&mut group)?,
            Chunk::Copied(chunk) => group.append_column(&chunk.file, chunk.close)?,
        }
    }
    group.close()?;
    done(rows as u64);
    Ok(())
}

impl Encoding<'_> {
    /// Encodes some groups: per group, the chunks of all leaves in order.
    fn groups(&self, window: &[usize]) -> Result<Vec<(usize, Vec<Chunk>)>> {
        let columns = self.schema.fields().len();
        let tasks: Vec<(usize, usize)> =
            window.iter().flat_map(|&group| (0..columns).map(move |column| (group, column))).collect();
        let encoded: Vec<Result<Vec<Chunk>>> =
            tasks.par_iter().with_max_len(1).map(|&(group, column)| self.column(group, column)).collect();
        let mut encoded = encoded.into_iter();
        window
            .iter()
            .map(|&group| {
                let chunks = encoded.by_ref().take(columns).collect::<Result<Vec<_>>>()?;
                Ok((group, chunks.into_iter().flatten().collect()))
            })
            .collect()
    }

    fn column(&self, group: usize, column: usize) -> Result<Vec<Chunk>> {
        let leaves = self.first_leaf[column]..self.first_leaf[column + 1];
        let failed = |e: ParquetError| Error::parquet(self.path)(e);
        let target = &self.leaves.columns()[leaves.clone()];
        let can_copy = |chunk: &ChunkOfInput<'_>| copy::is_copyable(chunk, target);
        match self.source.cells(group, column, &can_copy)? {
            Cells::Chunk(chunk) => {
                let copied = copy::chunks(&chunk, target)?;
                Ok(copied.map_err(failed)?.into_iter().map(Chunk::Copied).collect())
            }
            Cells::Array(array) => {
                if leaves.len() == 1 {
                    let leaf = &target[0];
                    let style = ChunkStyle {
                        compression: self.properties.compression(leaf.path()),
                        dictionary: self.properties.dictionary_enabled(leaf.path()),
                    };
                    if let Some(chunk) = flat::encode(&array, leaf, style) {
                        return Ok(vec![Chunk::Flat(chunk.map_err(failed)?)]);
                    }
                }
                self.general(group, column, &array)
            }
        }
    }

    /// Encodes a column through the general writer.
    fn general(&self, group: usize, column: usize, array: &ArrayRef) -> Result<Vec<Chunk>> {
        let failed = |e: ParquetError| Error::parquet(self.path)(e);
        let field = self.schema.field(column);
        let array = unpacked(array, field.data_type()).map_err(Error::arrow(self.path))?;
        let leaves = self.first_leaf[column]..self.first_leaf[column + 1];
        let writers = self.factory.create_column_writers(group).map_err(failed)?;
        let writers = writers.into_iter().skip(leaves.start).take(leaves.len());
        let arrays = compute_leaves(field, &array).map_err(failed)?;
        writers
            .zip(&arrays)
            .map(|(mut writer, leaf)| {
                writer.write(leaf).map_err(failed)?;
                Ok(Chunk::General(writer.close().map_err(failed)?))
            })
            .collect()
    }
}

fn first_leaves(schema: &SchemaRef) -> Vec<usize> {
    let mut first = vec![0];
    for field in schema.fields() {
        first.push(first[first.len() - 1] + leaf_count(field.data_type()));
    }
    first
}

fn properties(style: &ParquetStyle) -> WriterProperties {
    let metadata = style.metadata.iter().map(|(k, v)| KeyValue::new(k.clone(), v.clone())).collect();
    let mut builder = WriterProperties::builder()
        .set_created_by(format!("asof {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(metadata))
        .set_compression(Compression::ZSTD(ZstdLevel::default()));
    let first = style.like.as_ref().and_then(|like| like.row_groups().first());
    for chunk in first.into_iter().flat_map(|group| group.columns()) {
        builder = follow(builder, chunk.column_path().clone(), chunk);
    }
    builder.build()
}

fn follow(
    builder: WriterPropertiesBuilder,
    path: ColumnPath,
    chunk: &parquet::file::metadata::ColumnChunkMetaData,
) -> WriterPropertiesBuilder {
    // The Hadoop framing of LZ4 is read but no longer written.
    let codec = match chunk.compression() {
        Compression::LZ4 => Compression::LZ4_RAW,
        Compression::LZO => Compression::ZSTD(ZstdLevel::default()),
        codec => codec,
    };
    builder
        .set_column_compression(path.clone(), codec)
        .set_column_dictionary_enabled(path, chunk.dictionary_page_offset().is_some())
}
