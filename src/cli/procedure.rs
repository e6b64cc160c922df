//! The documented procedure of a rollback, as Markdown: to be filed with the plan and signed.

use std::fmt::Write;

use asof::pipeline::{DatasetExplanation, Explanation, MomentExplanation};

/// Records per second that the expected duration assumes; rows and changes count alike.
const RATE: u64 = 1_000_000;
/// Transactions and actors that are listed; the rest is summed up.
const LISTED: usize = 10;

/// The whole document.
pub(crate) fn markdown(e: &Explanation) -> String {
    let plan = e.plan.as_ref().map_or_else(|| "flags".to_owned(), |p| p.display().to_string());
    let mut text = format!(
        "# Rollback procedure: {}\n\nPlan: {}. Made by asof {}.\n",
        cell(e.name.as_deref().unwrap_or(&plan)),
        cell(&plan),
        env!("CARGO_PKG_VERSION")
    );
    text += &target(e);
    text += &inputs(e);
    text += &undone(e);
    text += &dependencies(e);
    text += &preconditions(e);
    text + &checks(e) + &duration(e) + ROLES
}

const ROLES: &str = "\n## Roles\n\n| role | name | date | signature |\n|---|---|---|---|\n| prepared by | | | |\n\
                     | reviewed by | | | |\n| run by | | | |\n| released by | | | |\n";

fn target(e: &Explanation) -> String {
    let mut text = "\n## Target\n\n| as of | resolved |\n|---|---|\n".to_owned();
    for moment in e.datasets.first().into_iter().flat_map(|d| &d.moments) {
        let _ = writeln!(text, "| {} | {} |", cell(&moment.text), cell(&moment.resolved));
    }
    text += "\n| dataset | rows now | changes in the ledger | ledger | images | order |\n|---|---:|---:|---|---|---|\n";
    for d in &e.datasets {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            cell(&d.name),
            d.current_rows,
            d.changes,
            cell(&d.format),
            cell(&d.images),
            cell(&d.order)
        );
    }
    text
}

fn inputs(e: &Explanation) -> String {
    let mut text =
        "\n## Inputs\n\n| dataset | what | file | bytes | SHA-256 |\n|---|---|---|---:|---|\n".to_owned();
    for d in &e.datasets {
        for input in &d.inputs {
            let (path, digest) = (cell(&input.path), &input.sha256);
            let _ = writeln!(
                text,
                "| {} | {} | {path} | {} | `{digest}` |",
                cell(&d.name),
                input.role,
                input.bytes
            );
        }
    }
    text
}

fn undone(e: &Explanation) -> String {
    let mut text = "\n## What will be undone\n".to_owned();
    for d in &e.datasets {
        for m in &d.moments {
            text += &of_moment(d, m);
        }
    }
    text
}

fn of_moment(d: &DatasetExplanation, m: &MomentExplanation) -> String {
    let mut text = format!("\n### {} as of {}\n\n", cell(&d.name), cell(&m.text));
    if let Some(reason) = &m.refused {
        let _ = writeln!(text, "**Would be refused:** {}\n", cell(reason));
    }
    let total: u64 = m.undone.iter().map(|(_, count)| count).sum();
    let (kept, undone) = m.transactions;
    let _ = writeln!(text, "{total} changes in {undone} transactions; {kept} transactions stay in force.\n");
    if m.ambiguous > 0 {
        let _ = writeln!(text, "{} transactions lie on both sides of the clock.\n", m.ambiguous);
    }
    let ops: Vec<(String, u64)> = m.undone.iter().map(|(op, count)| (op.name().to_owned(), *count)).collect();
    text += &table("op", &ops, usize::MAX);
    text += &table("actor", &m.by.actor, LISTED);
    text += &table("transaction", &m.by.transaction, LISTED);
    text + &table("day (UTC)", &m.by.day, usize::MAX)
}

fn table(what: &str, counts: &[(String, u64)], listed: usize) -> String {
    if counts.is_empty() {
        return String::new();
    }
    let mut text = format!("| {what} | changes |\n|---|---:|\n");
    for (name, count) in counts.iter().take(listed) {
        let _ = writeln!(text, "| {} | {count} |", cell(name));
    }
    let rest = counts.get(listed..).unwrap_or_default();
    if !rest.is_empty() {
        let sum: u64 = rest.iter().map(|(_, count)| count).sum();
        let _ = writeln!(text, "| {} others | {sum} |", rest.len());
    }
    text + "\n"
}

fn dependencies(e: &Explanation) -> String {
    let all = e.datasets.iter().flat_map(|d| d.references.iter().map(move |r| (&d.name, r)));
    let lines: String = all
        .map(|(name, (columns, to))| format!("- {}: {} refers to {}\n", cell(name), cell(columns), cell(to)))
        .collect();
    let lines = if lines.is_empty() { "None is declared in the plan.\n".to_owned() } else { lines };
    format!("\n## Dependencies between datasets\n\n{lines}")
}

fn preconditions(e: &Explanation) -> String {
    let mut text = "\n## Preconditions\n\n- Nothing writes to the inputs while the run lasts. Size and time of every file \
                    are checked again at its end, and a file that changed meanwhile fails the run; so they were for \
                    this document.\n- The digests above are those of the files that are to be used.\n"
        .to_owned();
    for d in &e.datasets {
        let (from, to) =
            (d.window.0.as_deref().unwrap_or("birth"), d.window.1.as_deref().unwrap_or("no change"));
        let _ = writeln!(
            text,
            "- {}: the ledger is provable from {from}, its last change is of {to}.",
            cell(&d.name)
        );
    }
    for assumption in &e.assumptions {
        let _ = writeln!(text, "- Assumed: {}", cell(assumption));
    }
    text
}

fn checks(e: &Explanation) -> String {
    let references = e.datasets.iter().any(|d| !d.references.is_empty());
    let mut text = "\n## Checks\n\n- Rows: current − inserts undone + deletes undone = snapshot; measures likewise.\n\
                    - Every before image against the last known image of its row, and the last one against the current \
                    row.\n- What the plan expects of the extract and what was reported, with residuals.\n"
        .to_owned();
    if references {
        text += "- References between the datasets, inside the snapshot.\n";
    }
    text + "- Digests of every output in the manifest; the package is complete or not there at all.\n"
}

fn duration(e: &Explanation) -> String {
    let records: u64 = e.datasets.iter().map(|d| d.current_rows + d.changes).sum();
    let seconds = records.div_ceil(RATE).max(1);
    format!(
        "\n## Expected duration\n\nAn estimate: about {seconds} s per moment, for {records} rows and changes at {RATE} per \
         second. Text ledgers, slow disks and few cores take longer.\n"
    )
}

/// A text that ends neither a cell nor a line, and starts no markup.
fn cell(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            c if c.is_control() => safe.push(' '),
            '|' | '\\' | '`' | '*' | '<' | '>' | '[' | ']' | '#' => safe.extend(['\\', c]),
            c => safe.push(c),
        }
    }
    safe
}
