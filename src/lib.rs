//! Rebuilds a table exactly as it stood at any past moment, from its current
//! state and its change ledger, and proves it.

mod error;
pub mod export;
pub mod ledger;
pub mod model;
pub mod pipeline;
pub mod plan;
pub mod read;
pub mod replay;
pub mod report;
pub mod snapshot;
#[doc(hidden)]
pub mod testing;
pub mod verify;

pub use error::{At, Error, Result, nearest};
