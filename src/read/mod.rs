//! read: under construction.
