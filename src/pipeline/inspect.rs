//! What files are: format, window, ops, image coverage, columns.

use super::progress::Progress;
use super::request::InspectRequest;
use crate::error::Result;

/// What one file is.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// The path.
    pub path: String,
}

/// Looks at files.
///
/// # Errors
/// A file cannot be read.
pub fn inspect(_request: &InspectRequest, _progress: &dyn Progress) -> Result<Vec<Inspected>> {
    Ok(Vec::new())
}
