//! Filters: under construction.

/// A filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// The text of it.
    pub text: String,
}
