//! [`Progress`]: how a running pipeline tells a front end how far it is.
//!
//! The library calls it from many threads and never prints. A front end that
//! wants a bar implements the two methods with an atomic counter; everyone else
//! passes [`Silent`].

/// Receives the progress of a run.
///
/// Calls come from any thread, often, and must be cheap: an implementation
/// counts and draws seldom. Stages follow one another; a new stage ends the one
/// before it.
pub trait Progress: Sync {
    /// A stage begins: its name as a person reads it (`scan accounts ledger`)
    /// and how many units it has, if that is known. What a unit is (bytes, rows,
    /// row groups) is the stage's own business; only the share matters.
    fn stage(&self, name: &str, total: Option<u64>);

    /// So many more units of the present stage are done.
    fn advance(&self, units: u64);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _name: &str, _total: Option<u64>) {}

    fn advance(&self, _units: u64) {}
}
