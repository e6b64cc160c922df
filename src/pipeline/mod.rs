//! pipeline: under construction.

pub mod progress;
pub mod request;
