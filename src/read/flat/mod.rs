//! Columns without nesting, or one struct around them, straight from their pages.
//!
//! The general reader of the Parquet library makes arrays of whole pages, then picks
//! rows, and sets up a decompressor for each chunk. Most columns of most ledgers are
//! plain numbers, texts or dictionary indices. These are decoded here in steps that
//! stay in the cache, chosen rows alone where not all are asked for, from pages in
//! buffers that are used again. Which columns those are `shape` says, from the
//! footer; any other is left to the general reader. A page that does not keep to its
//! footer is an error, never read as something else.

mod delta;
mod header;
mod hybrid;
mod leaf;
mod levels;
mod page;
mod shape;
#[cfg(test)]
mod tests;
mod texts;
mod values;

use std::fs::File;
use std::sync::Arc;

use arrow::array::{ArrayRef, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, FieldRef, Fields};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use rayon::prelude::*;

use leaf::{Leaf, Rows};
pub(crate) use page::release_buffers;
use shape::Shape;

/// From so many rows on, the leaves of a struct are worth a task each: a row group of a
/// ledger is a large task for one thread, and the last ones would leave the others idle.
const MANY: usize = 1 << 16;

/// A column of a row group that can be read straight from its pages.
#[derive(Debug)]
pub(super) struct Flat {
    name: String,
    /// Where its values are, and the types that they become.
    leaves: Vec<(usize, DataType)>,
    /// The fields of the struct that the leaves are, if they are one.
    fields: Option<Fields>,
    /// Whether the struct itself may be null.
    is_nullable: bool,
}

impl Flat {
    /// A column to be read as this type; `None` if it needs the general reader.
    pub(super) fn of(
        metadata: &ParquetMetaData,
        (group, root): (usize, usize),
        data_type: &DataType,
    ) -> Option<Self> {
        let schema = metadata.file_metadata().schema_descr();
        let shape = Shape::of(schema, metadata.row_group(group), root, data_type)?;
        let around = schema.get_column_root(shape.first());
        let (name, is_nullable) = (around.name().to_owned(), around.is_optional());
        let (leaves, fields) = match shape {
            Shape::Leaf { leaf, data_type } => (vec![(leaf, data_type)], None),
            Shape::Struct { first, fields } => {
                let leaf = |(number, field): (usize, &FieldRef)| (number, field.data_type().clone());
                ((first..).zip(&fields).map(leaf).collect(), Some(fields))
            }
        };
        Some(Self { name, leaves, fields, is_nullable })
    }

    /// Whether it is a struct, each of whose fields is a leaf.
    pub(super) fn is_struct(&self) -> bool {
        self.fields.is_some()
    }

    /// How many columns of values it is made of.
    pub(super) fn leaves(&self) -> usize {
        self.leaves.len()
    }

    /// All rows of one of its leaves, or those with the rising numbers `wanted`. Nothing is kept behind it.
    ///
    /// # Errors
    /// As [`FlatColumn::take`].
    pub(super) fn leaf(
        &self,
        number: usize,
        (file, group): (&mut File, &RowGroupMetaData),
        wanted: Option<&[u32]>,
    ) -> Result<Rows, ParquetError> {
        let (leaf, data_type) = &self.leaves[number];
        let rows = group.num_rows() as usize;
        let taken = Leaf::open(file, group.column(*leaf), data_type).and_then(|mut l| l.take(rows, wanted));
        taken.map_err(|error| self.named(error))
    }

    /// What the rows of its leaves are together.
    pub(super) fn array(&self, mut rows: Vec<Rows>) -> Result<ArrayRef, ParquetError> {
        let Some(fields) = &self.fields else {
            return rows.pop().map(|r| r.array).ok_or_else(|| header::damaged("a column without leaves"));
        };
        let around = rows.first().and_then(|r| r.around.clone()).filter(|_| self.is_nullable);
        let arrays = rows.into_iter().map(|r| r.array).collect();
        Ok(Arc::new(StructArray::try_new(fields.clone(), arrays, around)?))
    }

    fn named(&self, error: ParquetError) -> ParquetError {
        match error {
            ParquetError::General(what) => ParquetError::General(format!("column {:?}: {what}", self.name)),
            other => other,
        }
    }
}

/// A column of a row group, read from its beginning to its end.
#[derive(Debug)]
pub(super) struct FlatColumn {
    flat: Flat,
    leaves: Vec<Leaf>,
}

impl FlatColumn {
    /// A column to be read as this type; `None` if it needs the general reader.
    ///
    /// # Errors
    /// Its first page cannot be read.
    pub(super) fn open(
        file: &mut File,
        metadata: &ParquetMetaData,
        (group, root): (usize, usize),
        data_type: &DataType,
    ) -> Result<Option<Self>, ParquetError> {
        let Some(flat) = Flat::of(metadata, (group, root), data_type) else { return Ok(None) };
        let group = metadata.row_group(group);
        let leaves = flat.leaves.iter().map(|(leaf, of)| Leaf::open(file, group.column(*leaf), of));
        let leaves = leaves.collect::<Result<_, _>>()?;
        Ok(Some(Self { flat, leaves }))
    }

    /// The next `count` rows, or of these the ones with the rising numbers `wanted`,
    /// counted from the first of them.
    ///
    /// # Errors
    /// The pages do not hold what the footer says, or cannot be read.
    pub(super) fn take(&mut self, count: usize, wanted: Option<&[u32]>) -> Result<ArrayRef, ParquetError> {
        self.rows(count, wanted).map_err(|error| self.flat.named(error))
    }

    fn rows(&mut self, count: usize, wanted: Option<&[u32]>) -> Result<ArrayRef, ParquetError> {
        let rows = if count < MANY || self.leaves.len() == 1 {
            self.leaves.iter_mut().map(|leaf| leaf.take(count, wanted)).collect::<Result<Vec<_>, _>>()?
        } else {
            let taken = self.leaves.par_iter_mut().with_max_len(1).map(|leaf| leaf.take(count, wanted));
            taken.collect::<Result<Vec<_>, _>>()?
        };
        self.flat.array(rows)
    }
}

/// One leaf of a column of a row group, read from its beginning to its end.
#[derive(Debug)]
pub(super) struct FlatLeaf {
    flat: Flat,
    leaf: Leaf,
}

impl FlatLeaf {
    /// The leaf with this number.
    ///
    /// # Errors
    /// Its first page cannot be read.
    pub(super) fn open(
        flat: Flat,
        number: usize,
        (file, group): (&mut File, &RowGroupMetaData),
    ) -> Result<Self, ParquetError> {
        let (leaf, data_type) = &flat.leaves[number];
        let leaf = Leaf::open(file, group.column(*leaf), data_type).map_err(|error| flat.named(error))?;
        Ok(Self { flat, leaf })
    }

    /// The next `count` rows, and where the struct around them is there, if it is not there everywhere.
    ///
    /// # Errors
    /// As [`FlatColumn::take`].
    pub(super) fn take(&mut self, count: usize) -> Result<(ArrayRef, Option<NullBuffer>), ParquetError> {
        let rows = self.leaf.take(count, None).map_err(|error| self.flat.named(error))?;
        Ok((rows.array, rows.around.filter(|_| self.flat.is_nullable && self.flat.fields.is_some())))
    }
}

impl Shape {
    fn first(&self) -> usize {
        match self {
            Self::Leaf { leaf: first, .. } | Self::Struct { first, .. } => *first,
        }
    }
}
