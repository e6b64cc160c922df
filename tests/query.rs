//! SQL over results (feature `query`): exactness, parameters, and every shipped query with planted data.

use std::path::{Path, PathBuf};

#[cfg(feature = "query")]
mod asked;

fn queries() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("queries")
}

#[cfg(not(feature = "query"))]
#[test]
fn without_the_feature_the_command_says_how_to_build_it() {
    let folder = crate::harness::Folder::new();
    let output = folder.run(&["query", "plan.toml", "--as-of", "2025-12-31", "q.sql"]);
    assert_eq!(output.status, 2, "{output:?}");
    assert!(output.stderr.contains("cargo build --release --features query"), "{output:?}");
}

#[test]
fn every_shipped_query_says_what_it_answers_and_is_tested() {
    let tests =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/query/asked.rs")).unwrap();
    let guide = std::fs::read_to_string(queries().join("README.md")).unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(queries()).unwrap() {
        let path = entry.unwrap().path();
        let Some(name) = path.file_name().and_then(|n| n.to_str()).filter(|n| n.ends_with(".sql")) else {
            continue;
        };
        let text = std::fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap();
        assert!(first.starts_with("-- ") && first.ends_with('?'), "{name} begins with its question");
        assert!(tests.contains(&format!("\"{name}\"")), "{name} has no test");
        assert!(guide.contains(name), "queries/README.md does not name {name}");
        count += 1;
    }
    assert!(count >= 8, "{count} queries");
}
