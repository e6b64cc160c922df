//! [`TableSchema`]: the columns of a table and which of them identify a row.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

/// The columns of one dataset, in the order of the current state, and its key.
///
/// Column types are those of the current state. Every ledger value is decoded
/// into them exactly or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSchema {
    schema: SchemaRef,
    key: Vec<usize>,
}

impl TableSchema {
    /// A table with these columns, identified by the columns at `key`.
    ///
    /// An empty `key` declares a multiset: rows have no identity but their values.
    /// Positions in `key` must be valid; [`TableSchema::column`] finds them.
    pub fn new(schema: SchemaRef, key: Vec<usize>) -> Self {
        debug_assert!(key.iter().all(|&c| c < schema.fields().len()), "key columns are columns");
        Self { schema, key }
    }

    /// The Arrow schema.
    pub fn arrow(&self) -> &SchemaRef {
        &self.schema
    }

    /// Positions of the key columns, in key order. Empty for a multiset.
    pub fn key(&self) -> &[usize] {
        &self.key
    }

    /// Whether the dataset is a multiset without a key.
    pub fn is_keyless(&self) -> bool {
        self.key.is_empty()
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        self.schema.fields().len()
    }

    /// Whether there are no columns.
    pub fn is_empty(&self) -> bool {
        self.schema.fields().is_empty()
    }

    /// The name of a column.
    pub fn name(&self, column: usize) -> &str {
        self.schema.field(column).name()
    }

    /// The type of a column.
    pub fn data_type(&self, column: usize) -> &DataType {
        self.schema.field(column).data_type()
    }

    /// The position of the column with exactly this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.schema.fields().iter().position(|f| f.name() == name)
    }

    /// Whether a column is part of the key.
    pub fn is_key(&self, column: usize) -> bool {
        self.key.contains(&column)
    }

    /// Names of all columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.schema.fields().iter().map(|f| f.name().as_str())
    }

    /// The same columns, all nullable: what a snapshot can contain, as a cell may be unrecoverable.
    pub fn all_nullable(&self) -> SchemaRef {
        let fields: Vec<Field> =
            self.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        Arc::new(Schema::new_with_metadata(fields, self.schema.metadata().clone()))
    }
}
