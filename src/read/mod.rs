//! Files → typed tables and JSON records.

pub mod cell;
pub mod json_text;
