//! A table as Parquet: (row group, column) tasks in parallel and one ordered writer.
//!
//! Codec and dictionary use of each column follow the source's own chunks, so
//! that nothing builds a dictionary for a column of unique values. Each output
//! group is encoded from arrays made for exactly that group, so page cuts do not
//! depend on threads or batch sizes.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::snapshot::GroupSource;

/// How a Parquet file is written.
#[derive(Debug, Clone, Default)]
pub struct ParquetStyle {
    /// The file whose columns' codecs and encodings are followed.
    pub like: Option<Arc<ParquetMetaData>>,
    /// Key-value metadata of the footer, in this order.
    pub metadata: Vec<(String, String)>,
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
    let schema = ArrowSchemaConverter::new().convert(source.schema()).map_err(failed)?;
    let file = BufWriter::with_capacity(1 << 20, file);
    let mut writer =
        SerializedFileWriter::new(file, schema.root_schema_ptr(), Arc::new(properties)).map_err(failed)?;
    let factory = ArrowRowGroupWriterFactory::new(&writer, Arc::clone(source.schema()));
    let groups: Vec<usize> = (0..source.groups()).collect();
    // A window of groups is in memory at a time, encoded; (group, column) tasks fill the cores.
    for (number, window) in groups.chunks(rayon::current_num_threads().max(1)).enumerate() {
        let first = number * rayon::current_num_threads().max(1);
        let encoded = encode_window(source, &factory, window, first, path)?;
        for (chunks, &group) in encoded.into_iter().zip(window) {
            let mut row_group = writer.next_row_group().map_err(failed)?;
            for chunk in chunks {
                chunk.append_to_row_group(&mut row_group).map_err(failed)?;
            }
            row_group.close().map_err(failed)?;
            done(source.rows(group) as u64);
        }
    }
    writer.close().map_err(failed)?;
    Ok(())
}

/// Encodes some groups: per group, the chunks of all leaves in order.
fn encode_window(
    source: &dyn GroupSource,
    factory: &ArrowRowGroupWriterFactory,
    window: &[usize],
    first: usize,
    path: &Path,
) -> Result<Vec<Vec<ArrowColumnChunk>>> {
    let columns = source.schema().fields().len();
    let mut tasks = Vec::with_capacity(window.len() * columns);
    for (at, &group) in window.iter().enumerate() {
        let writers = factory.create_column_writers(first + at).map_err(Error::parquet(path))?;
        let mut writers = writers.into_iter();
        for (column, field) in source.schema().fields().iter().enumerate() {
            let leaves: Vec<_> = writers.by_ref().take(leaf_count(field.data_type())).collect();
            tasks.push((at, group, column, leaves));
        }
    }
    let encoded: Vec<Result<(usize, Vec<ArrowColumnChunk>)>> = tasks
        .into_par_iter()
        .map(|(at, group, column, mut writers)| {
            let array = source.column(group, column)?;
            let failed = |e: ParquetError| Error::parquet(path)(e);
            let leaves = compute_leaves(source.schema().field(column), &array).map_err(failed)?;
            for (leaf, writer) in leaves.iter().zip(&mut writers) {
                writer.write(leaf).map_err(failed)?;
            }
            let chunks = writers.into_iter().map(|w| w.close()).collect::<Result<Vec<_>, _>>();
            Ok((at, chunks.map_err(failed)?))
        })
        .collect();
    let mut groups: Vec<Vec<ArrowColumnChunk>> = window.iter().map(|_| Vec::new()).collect();
    for result in encoded {
        let (at, chunks) = result?;
        groups[at].extend(chunks);
    }
    Ok(groups)
}

fn leaf_count(data_type: &arrow::datatypes::DataType) -> usize {
    use arrow::datatypes::DataType as T;
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
