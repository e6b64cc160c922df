//! ledger: under construction.
