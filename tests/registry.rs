//! Every kind of discrepancy has a minimal case that triggers it and a clean twin that does not.

use std::collections::BTreeSet;

use asof::model::DiscrepancyKind;

use crate::cases::{Case, folder};

#[test]
fn every_kind_has_a_case_and_a_clean_twin() {
    let mut missing = Vec::new();
    for kind in DiscrepancyKind::ALL {
        let code = kind.code();
        for name in [format!("{code}.case"), format!("{code}.clean.case")] {
            if !folder().join("discrepancies").join(&name).is_file() {
                missing.push(name);
            }
        }
    }
    assert!(missing.is_empty(), "tests/cases/discrepancies lacks {missing:#?}");
}

#[test]
fn the_case_of_a_kind_triggers_that_kind_alone_and_its_twin_nothing() {
    for code in DiscrepancyKind::ALL.iter().map(|k| k.code()) {
        let codes = |name: String| {
            let case = Case::read(&folder().join("discrepancies").join(name));
            let stated = case.runs.iter().all(|run| run.iter().any(|s| s.title[0] == "discrepancies"));
            assert!(stated, "{code}: every run states its discrepancies");
            case.expected_codes().into_iter().collect::<BTreeSet<_>>()
        };
        assert_eq!(codes(format!("{code}.case")), BTreeSet::from([code.to_owned()]));
        assert_eq!(codes(format!("{code}.clean.case")), BTreeSet::new(), "the twin of {code}");
    }
}
