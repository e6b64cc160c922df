//! verify: under construction.
