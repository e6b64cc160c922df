//! The snapshot: under construction.
