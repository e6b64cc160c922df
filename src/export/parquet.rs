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
mod delta;
mod dictionary;
mod flat;
mod hybrid;
mod pages;
mod stored;
#[cfg(test)]
mod tests;
mod text;

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
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
use parquet::schema::types::{ColumnDescPtr, ColumnPath, SchemaDescriptor};

use self::flat::ChunkStyle;
use self::pages::EncodedChunk;
use super::in_order::in_order;
use super::package::{DigestWriter, FileDigest};
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
    /// Whether only columns that come as dictionaries are written as such.
    pub plain: bool,
    /// Whether the digest of the file is taken while it is written.
    pub digest: bool,
}

/// One leaf of one group, ready to be written.
enum Chunk {
    Flat(EncodedChunk),
    General(ArrowColumnChunk),
    Copied(copy::CopiedChunk),
}

/// What encodes columns of one schema.
pub struct GroupEncoder {
    schema: SchemaRef,
    leaves: Arc<SchemaDescriptor>,
    /// First leaf of each column, and one past the last.
    first_leaf: Vec<usize>,
    properties: Arc<WriterProperties>,
    factory: ArrowRowGroupWriterFactory,
    path: PathBuf,
}

/// A row group ready to be written.
pub struct EncodedGroup(Vec<Chunk>);

/// A file that takes row groups one after the other.
pub struct GroupFile {
    writer: SerializedFileWriter<BufWriter<DigestWriter>>,
    encoder: Arc<GroupEncoder>,
}

impl GroupFile {
    /// A new file at `path`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path, schema: SchemaRef, style: &ParquetStyle) -> Result<Self> {
        let file = File::create(path).map_err(Error::io(path, "write"))?;
        Self::new(file, path, schema, style)
    }

    fn new(file: File, path: &Path, schema: SchemaRef, style: &ParquetStyle) -> Result<Self> {
        let failed = |e: ParquetError| Error::parquet(path)(e);
        let mut properties = properties(style);
        add_encoded_arrow_schema_to_metadata(&schema, &mut properties);
        let properties = Arc::new(properties);
        let leaves = Arc::new(ArrowSchemaConverter::new().convert(&schema).map_err(failed)?);
        let file = BufWriter::with_capacity(1 << 20, DigestWriter::new(file, style.digest));
        let writer = SerializedFileWriter::new(file, leaves.root_schema_ptr(), Arc::clone(&properties))
            .map_err(failed)?;
        let encoder = GroupEncoder {
            first_leaf: first_leaves(&schema),
            leaves,
            properties,
            factory: ArrowRowGroupWriterFactory::new(&writer, Arc::clone(&schema)),
            schema,
            path: path.to_owned(),
        };
        Ok(Self { writer, encoder: Arc::new(encoder) })
    }

    /// What encodes groups for this file, from any thread.
    pub fn encoder(&self) -> Arc<GroupEncoder> {
        Arc::clone(&self.encoder)
    }

    /// Writes a group.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append(&mut self, group: EncodedGroup) -> Result<()> {
        let written = || -> Result<(), ParquetError> {
            let mut writer = self.writer.next_row_group()?;
            for chunk in group.0 {
                match chunk {
                    Chunk::Flat(chunk) => writer.append_column(&chunk.bytes, chunk.close)?,
                    Chunk::General(chunk) => chunk.append_to_row_group(&mut writer)?,
                    Chunk::Copied(chunk) => writer.append_column(&chunk.bytes, chunk.close)?,
                }
            }
            writer.close().map(|_| ())
        };
        written().map_err(Error::parquet(&self.encoder.path))
    }

    /// Completes the file; returns its digest where the style asks for it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(self) -> Result<Option<FileDigest>> {
        let file = self.writer.into_inner().map_err(Error::parquet(&self.encoder.path))?;
        let file = file.into_inner().map_err(|e| Error::io(&self.encoder.path, "write")(e.into_error()))?;
        Ok(file.finish())
    }
}

pub(super) fn write(
    source: &dyn GroupSource,
    style: &ParquetStyle,
    file: File,
    path: &Path,
    done: &(dyn Fn(u64) + Sync),
) -> Result<Option<FileDigest>> {
    let mut file = GroupFile::new(file, path, Arc::clone(source.schema()), style)?;
    let (encoder, columns) = (file.encoder(), source.schema().fields().len());
    if columns > 0 {
        let mut writing = Writing { file: &mut file, columns, source, done, group: 0, chunks: Vec::new() };
        for band in source.bands() {
            source.enter(&band)?;
            let group = |number: usize| band.start + number / columns;
            let task = |number: usize| encoder.column_of(source, group(number), number % columns);
            in_order(band.len() * columns, task, |chunks| writing.take(chunks))?;
        }
    }
    file.finish()
}

/// The file under way: chunks come column by column, group by group.
struct Writing<'a> {
    file: &'a mut GroupFile,
    columns: usize,
    source: &'a dyn GroupSource,
    done: &'a (dyn Fn(u64) + Sync),
    group: usize,
    /// Those of the group's columns that are here.
    chunks: Vec<Vec<Chunk>>,
}

impl Writing<'_> {
    fn take(&mut self, chunks: Vec<Chunk>) -> Result<()> {
        self.chunks.push(chunks);
        if self.chunks.len() < self.columns {
            return Ok(());
        }
        self.file.append(EncodedGroup(self.chunks.drain(..).flatten().collect()))?;
        (self.done)(self.source.rows(self.group) as u64);
        self.group += 1;
        Ok(())
    }
}

impl GroupEncoder {
    /// Encodes a row group. Text and bytes may come as dictionaries.
    ///
    /// # Errors
    /// A column is not of its type.
    pub fn group(&self, columns: &[ArrayRef]) -> Result<EncodedGroup> {
        let mut chunks = Vec::with_capacity(columns.len());
        for (column, array) in columns.iter().enumerate() {
            chunks.extend(self.array(column, array)?);
        }
        Ok(EncodedGroup(chunks))
    }

    fn column_of(&self, source: &dyn GroupSource, group: usize, column: usize) -> Result<Vec<Chunk>> {
        let leaves = self.first_leaf[column]..self.first_leaf[column + 1];
        let failed = |e: ParquetError| Error::parquet(&self.path)(e);
        let target = &self.leaves.columns()[leaves.clone()];
        let can_copy = |chunk: &ChunkOfInput<'_>| copy::is_copyable(chunk, target);
        match source.cells(group, column, &can_copy)? {
            Cells::Chunk(chunk) => {
                let copied = copy::chunks(&chunk, target)?;
                Ok(copied.map_err(failed)?.into_iter().map(Chunk::Copied).collect())
            }
            Cells::Array(array) => self.array(column, &array),
            Cells::Parts(parts) => {
                let parts = parts.gathering().map_err(Error::arrow(&self.path))?;
                if let [leaf] = target
                    && let Some(chunk) = flat::encode_parts(&parts, leaf, self.style(leaf))
                {
                    return Ok(vec![Chunk::Flat(chunk.map_err(failed)?)]);
                }
                self.array(column, &parts.array().map_err(Error::arrow(&self.path))?)
            }
        }
    }

    fn style(&self, leaf: &ColumnDescPtr) -> ChunkStyle {
        ChunkStyle {
            compression: self.properties.compression(leaf.path()),
            dictionary: self.properties.dictionary_enabled(leaf.path()),
        }
    }

    fn array(&self, column: usize, array: &ArrayRef) -> Result<Vec<Chunk>> {
        if let [leaf] = &self.leaves.columns()[self.first_leaf[column]..self.first_leaf[column + 1]]
            && let Some(chunk) = flat::encode(array, leaf, self.style(leaf))
        {
            return Ok(vec![Chunk::Flat(chunk.map_err(Error::parquet(&self.path))?)]);
        }
        self.general(column, array)
    }

    /// Encodes a column through the general writer.
    fn general(&self, column: usize, array: &ArrayRef) -> Result<Vec<Chunk>> {
        let failed = |e: ParquetError| Error::parquet(&self.path)(e);
        let field = self.schema.field(column);
        let array = unpacked(array, field.data_type()).map_err(Error::arrow(&self.path))?;
        let leaves = self.first_leaf[column]..self.first_leaf[column + 1];
        let writers = self.factory.create_column_writers(0).map_err(failed)?;
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
        .set_dictionary_enabled(!style.plain)
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
