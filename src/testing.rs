//! Seeded histories for tests and benches: under construction.
