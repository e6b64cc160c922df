//! The documentation that code depends on: one page for each kind of discrepancy.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use asof::model::DiscrepancyKind;

fn pages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/discrepancies")
}

const SECTIONS: [&str; 5] =
    ["## Example", "## Likely causes", "## What decides between them", "## What to do", "Severity: "];

#[test]
fn each_kind_has_its_page() {
    for kind in DiscrepancyKind::ALL {
        let path = pages().join(format!("{kind}.md"));
        let page = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let head = format!("# {kind}\n\nSeverity: {}\n", kind.severity().name());
        assert!(page.starts_with(&head), "{} must start with {head:?}", path.display());
        for section in SECTIONS {
            assert!(page.contains(section), "{} has no {section:?}", path.display());
        }
    }
}

#[test]
fn each_page_has_its_kind_and_stands_in_the_list() {
    let list = std::fs::read_to_string(pages().join("README.md")).expect("the list of pages");
    let listed: Vec<&str> = list.split("](").skip(1).filter_map(|rest| rest.split(".md)").next()).collect();
    let codes: Vec<&str> = DiscrepancyKind::ALL.iter().map(|kind| kind.code()).collect();
    assert_eq!(
        listed, codes,
        "docs/discrepancies/README.md lists all kinds in the order of their declaration"
    );
    let files: BTreeSet<String> = std::fs::read_dir(pages())
        .expect("docs/discrepancies")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name != "README.md")
        .collect();
    let expected: BTreeSet<String> = codes.iter().map(|code| format!("{code}.md")).collect();
    assert_eq!(files, expected, "pages in docs/discrepancies");
}
