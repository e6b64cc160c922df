//! Views of results that a person reads: plain data in, text out.

mod chart;
mod html;
mod view;
pub mod words;

pub use html::page;
pub use view::{Bar, DatasetView, InputView, Report, Timeline};
pub mod reperform;
