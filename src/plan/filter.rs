//! [`Filter`]: a `where` of a plan, over the columns of a table.
//!
//! ```text
//! company = 'DE01' and (closed_on is null or closed_on > '2025-12-31') and not balance in (0, 0.01)
//! ```
//!
//! Columns stand bare or in double quotes, text in single quotes, numbers and
//! `true`/`false` bare. Operators: `=`, `<>`, `<`, `<=`, `>`, `>=`, `in`, `not in`,
//! `is null`, `is not null`, `and`, `or`, `not`, parentheses. Logic is three-valued
//! as in SQL: a comparison with null is neither true nor false.
//!
//! Comparisons are exact. A number is compared with integer and decimal columns
//! digit for digit, and becomes a float only for a column that is one; NaN is
//! greater than every number there. Text is compared byte by byte. Dates, times
//! and timestamps are written as text; a timestamp needs an offset exactly if
//! its column has a zone.

mod evaluate;
mod exact;
mod literal;
mod syntax;
#[cfg(test)]
mod tests;
mod values;

use std::path::Path;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::datatypes::Schema;

pub use evaluate::BoundFilter;
pub use syntax::FilterError;

use crate::error::{Error, Result, nearest};
use evaluate::Reason;
use syntax::Expression;

/// A condition on rows, read but not yet tied to the columns of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    text: String,
    expression: Expression,
}

impl Filter {
    /// Reads a condition.
    ///
    /// # Errors
    /// Where and why the text is none, and what to write instead.
    ///
    /// ```
    /// use asof::plan::Filter;
    /// let filter = Filter::parse("company = 'DE01' and balance >= 0.01").unwrap();
    /// assert_eq!(filter.columns(), ["company", "balance"]);
    /// assert_eq!(Filter::parse("company == 'DE01'").unwrap_err().offset, 8);
    /// ```
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Ok(Self { text: text.to_owned(), expression: syntax::parse(text)? })
    }

    /// The condition as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The columns that it names, each once, in order of appearance.
    pub fn columns(&self) -> Vec<&str> {
        let mut columns = Vec::new();
        self.expression.columns(&mut columns);
        columns
    }

    /// Ties the condition to the columns of a table. `dataset` and `path` go into messages.
    ///
    /// # Errors
    /// [`Error::UnknownColumn`], or [`Error::Plan`] where a column cannot be compared
    /// with what stands beside it.
    pub fn bind(&self, schema: &Schema, dataset: &str, path: &Path) -> Result<BoundFilter> {
        evaluate::bind(&self.expression, schema).map_err(|reason| match reason {
            Reason::NoColumn(column) => {
                let names = schema.fields().iter().map(|f| f.name().as_str());
                let hint = nearest(&column, names).map(|near| format!("did you mean {near}?"));
                Error::UnknownColumn { dataset: dataset.to_owned(), column, path: path.to_owned(), hint }
            }
            Reason::Mismatch { message, hint } => {
                let place = format!("{dataset}: where {}", self.text);
                Error::Plan { place, message, hint: Some(hint) }
            }
        })
    }

    /// Ties the condition to the columns of one batch, by name, and says for each row
    /// whether it holds; null where that is unknown.
    ///
    /// # Errors
    /// As [`Filter::bind`].
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        Ok(self.bind(&batch.schema(), "where", Path::new(&self.text))?.evaluate(batch))
    }
}
