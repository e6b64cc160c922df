//! The one definition of equal cells.
