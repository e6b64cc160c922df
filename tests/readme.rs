//! The README says what is so: its tour is run, its plan is read.

use std::path::Path;

use asof::plan::Plan;

use crate::harness::{Folder, Output};

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The fenced blocks of a text that open with this line.
fn blocks<'a>(text: &'a str, opening: &str) -> Vec<&'a str> {
    let fenced = text.split("\n```").skip(1).step_by(2);
    fenced
        .filter_map(|block| block.split_once('\n').filter(|(word, _)| *word == opening))
        .map(|b| b.1)
        .collect()
}

/// Each part of what is printed between lines of `…` must stand in the output, in this order.
fn assert_shows(command: &str, printed: &str, output: &Output) {
    let whole = format!("{}{}", output.stdout, output.stderr);
    let mut rest = whole.as_str();
    for part in printed.split('…').map(str::trim_end).map(|part| part.trim_start_matches('\n')) {
        let at = rest.find(part).unwrap_or_else(|| {
            panic!(
                "README.md shows for `{command}`:\n{part}\nwhich is not in, or not in this order:\n{whole}"
            )
        });
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn the_tour_prints_what_it_says() {
    let folder = Folder::new();
    let sample = folder.run(&["demo", "data"]);
    assert_eq!(sample.status, 0, "{}", sample.stderr);
    let readme = readme();
    let mut ran = 0;
    for block in blocks(&readme, "").into_iter().filter(|block| block.starts_with("$ ")) {
        let mut status = 0;
        for step in block.strip_prefix("$ ").unwrap().replace("\\\n", "").split("\n$ ") {
            let (command, printed) = step.split_once('\n').unwrap();
            if command == "echo $?" {
                assert_eq!(printed.trim(), status.to_string(), "{command} in\n{block}");
                continue;
            }
            let words: Vec<&str> = command.split_whitespace().collect();
            assert_eq!(words[0], "asof", "{command}");
            let output = folder.run(&words[1..]);
            assert_shows(command, printed, &output);
            status = output.status;
            ran += 1;
        }
    }
    assert!(ran >= 7, "only {ran} commands found in the tour");
}

#[test]
fn the_plan_is_valid() {
    let readme = readme();
    let plans = blocks(&readme, "toml");
    assert_eq!(plans.len(), 1, "one plan is shown");
    let plan = Plan::parse(plans[0], Path::new("")).unwrap();
    assert_eq!(plan.datasets.len(), 2);
}
