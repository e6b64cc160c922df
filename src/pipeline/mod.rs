//! pipeline: under construction.
