//! Views of results that a person reads. Reserved: `report.html` will be the first of them.
