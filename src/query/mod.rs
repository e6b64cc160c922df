//! SQL over results: tables in, one table out. Only with the feature `query`.
//!
//! ```text
//!  record batches ─► exchange ─► Polars ─► exchange ─► record batches
//!    SQL text ─► parameters ─────┘
//! ```
//!
//! Polars parses, plans and runs the SQL. It is a view of results that are proven already and
//! serves nothing else, so three things hold here that hold nowhere else in the program: it has a
//! thread pool of its own; averages, quotients and other functions of it are floats; and the order of
//! rows is the one that the SQL asks for, so that a query without `ORDER BY` may give its rows in
//! another order with another number of threads. Sums of decimals are exact; a sum that needs more
//! than 38 digits is an error.
//!
//! SQL can read no file and write none: it knows the tables that it is handed.

mod exchange;
mod parameters;

pub use parameters::{Parameter, Query};

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::RecordBatch;
use polars::prelude::IntoLazy;
use polars::sql::SQLContext;

use crate::error::{Error, Result};

/// The tables that SQL can name.
pub struct Tables {
    context: SQLContext,
    names: Vec<String>,
    notes: Vec<String>,
}

impl Tables {
    /// None yet.
    pub fn new() -> Self {
        Self { context: SQLContext::new(), names: Vec::new(), notes: Vec::new() }
    }

    /// Adds a table; columns of types that Polars lacks are converted, without loss.
    ///
    /// # Errors
    /// A column cannot be converted.
    pub fn add(
        &mut self,
        name: &str,
        schema: &arrow::datatypes::SchemaRef,
        batches: &[RecordBatch],
    ) -> Result<()> {
        let (frame, notes) = exchange::frame(name, schema, batches)?;
        self.context.register(name, frame.lazy());
        self.names.push(name.to_owned());
        self.notes.extend(notes);
        Ok(())
    }

    /// What had to be converted, in words.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// Polars does not understand it, or it fails.
    pub fn run(mut self, sql: &str) -> Result<RecordBatch> {
        let names = std::mem::take(&mut self.names);
        let failed = |error: polars::prelude::PolarsError| Error::Plan {
            place: "SQL".to_owned(),
            message: error.to_string(),
            hint: Some(format!("the tables are {}", names.join(", "))),
        };
        // What the run has made until then is dropped with the tables.
        let run =
            AssertUnwindSafe(|| self.context.execute(sql).and_then(polars::prelude::LazyFrame::collect));
        let frame = catch_unwind(run).map_err(|panic| {
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            failed(polars::prelude::PolarsError::ComputeError(
                format!("Polars broke down on it: {text}").into(),
            ))
        })?;
        exchange::batch(frame.map_err(failed)?)
    }
}

impl Default for Tables {
    fn default() -> Self {
        Self::new()
    }
}
