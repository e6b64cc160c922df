//! replay: under construction.
