//! A dataset's own page of a report.

use super::page::Page;
use crate::report::chart;
use crate::report::view::DatasetView;
use crate::report::words::{counted, grouped};

/// Groups shown; the file has all.
const GROUPS: usize = 40;

pub(super) fn section(dataset: &DatasetView, page: &mut Page) {
    page.raw("<section class=\"dataset\">\n<h2>").text(&dataset.name).raw("</h2>\n<p>");
    page.text(&counted(dataset.rows.snapshot, "row"));
    page.raw(" in <code>").text(&dataset.file).raw("</code>");
    match dataset.key.is_empty() {
        true => page.raw(", a table without a key."),
        false => page.raw(", identified by ").text(&dataset.key.join(", ")).raw("."),
    };
    page.raw(" Ledger: ").text(&dataset.format).raw(", ").text(&counted(dataset.changes, "change"));
    page.raw(", clock: ").text(&dataset.clock).raw(". ").text(&dataset.window).raw("</p>\n");
    if !dataset.left_out.is_empty() {
        page.raw("<p>Left out, as not there yet: ").text(&dataset.left_out.join(", ")).raw(".</p>\n");
    }
    if !dataset.returned.is_empty() {
        page.raw("<p>With columns that were dropped since: ")
            .text(&dataset.returned.join(", "))
            .raw(".</p>\n");
    }
    picture(dataset, page);
    verdicts(dataset, page);
    groups(dataset, page);
    page.raw("</section>\n");
}

fn picture(dataset: &DatasetView, page: &mut Page) {
    let Some(svg) = chart::timeline(&dataset.timeline) else {
        page.raw("<p class=\"soft\">No change of this ledger has a time, so there is no timeline.</p>\n");
        return;
    };
    page.raw("<figure>\n").picture(&svg).raw("<figcaption>");
    let undone: u64 = dataset.undone.iter().map(|(_, count)| count).sum();
    let ops: Vec<String> = dataset.undone.iter().map(|(op, count)| counted(*count, op.name())).collect();
    let mut caption = match undone {
        0 => "Nothing was undone.".to_owned(),
        n => format!("{} undone: {}.", counted(n, "change"), ops.join(", ")),
    };
    let holes = dataset.timeline.gaps.len() as u64;
    if holes > 0 {
        let transactions = counted(holes, "transaction");
        caption += &format!(" Records of {transactions} are missing: marked in the cover (sequence-gap).");
    }
    if dataset.timeline.gaps_untimed > 0 {
        let gaps = counted(dataset.timeline.gaps_untimed, "gap");
        caption += &format!(" {gaps} of which nothing says when, not shown (sequence-gap).");
    }
    if dataset.timeline.undone_only {
        caption += " Without verification, changes before the as-of are not shown.";
    }
    if dataset.timeline.reads > 0 {
        let reads = counted(dataset.timeline.reads, "initial read");
        caption += &format!(" {reads}: evidence, no changes, and not shown.");
    }
    if dataset.timeline.untimed > 0 {
        caption += &format!(" {} without a time, not shown.", counted(dataset.timeline.untimed, "change"));
    }
    page.text(&caption).raw("</figcaption>\n</figure>\n");
}

fn verdicts(dataset: &DatasetView, page: &mut Page) {
    let judged: Vec<_> = dataset.verdicts.iter().filter(|(_, count)| *count > 0).collect();
    if judged.is_empty() {
        page.raw("<p>No row was judged.</p>\n");
        return;
    }
    page.head(&["verdict", "rows>", "meaning"]);
    for (verdict, count) in judged {
        let meaning = match *verdict {
            "unchanged" => "nothing was undone, the ledger agrees, and covers it",
            "restored" => "undone along an intact chain of records, or gone at the as-of for the same reason",
            "inferred" => "a cell is filled from an earlier record of the same life",
            "not-covered" => "the ledger does not cover it",
            "unrecoverable" => "nothing states some cell: null in the file, out of totals",
            _ => "ledger and current state, or two records, contradict each other",
        };
        page.raw("<tr>").cell(verdict).number(&count.to_string()).cell(meaning).raw("</tr>\n");
    }
    page.end_table();
    let cells: Vec<String> = dataset
        .cells
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| format!("{} {what}", counted(*count, "cell")))
        .collect();
    if !cells.is_empty() {
        page.raw("<p class=\"soft\">").text(&cells.join(", ")).raw("; verdicts.parquet lists them.</p>\n");
    }
}

fn groups(dataset: &DatasetView, page: &mut Page) {
    let Some(first) = dataset.groups.first() else { return };
    let by: Vec<&str> = first.group.iter().map(|(column, _)| column.as_str()).collect();
    page.raw("<h3>By ").text(&by.join(", ")).raw("</h3>\n");
    page.head(&["group", "measure", "current>", "− inserted>", "+ deleted>", "± updated>", "= snapshot>"]);
    for group in dataset.groups.iter().take(GROUPS) {
        let values: Vec<String> = group.group.iter().map(|(_, value)| value.to_string()).collect();
        let rows = &group.rows;
        page.raw("<tr class=\"sum\">").cell(&values.join(", ")).cell("rows");
        for count in [rows.current, rows.inserts, rows.deletes] {
            page.number(&count.to_string());
        }
        page.number(&rows.updates.to_string()).number(&rows.snapshot.to_string()).raw("</tr>\n");
        for total in &group.measures {
            page.raw("<tr><td></td>").cell(&total.name);
            for amount in [&total.current, &total.inserts, &total.deletes, &total.updates] {
                page.number(amount);
            }
            match total.unknown {
                0 => page.number(&total.snapshot),
                n => page.number(&format!("{} + {n} unknown", grouped(&total.snapshot))),
            };
            page.raw("</tr>\n");
        }
    }
    page.end_table();
    if dataset.groups.len() > GROUPS {
        page.raw("<p class=\"soft\">").text(&format!(
            "The first {GROUPS} of {} groups; totals.csv has all.",
            grouped(&dataset.groups.len().to_string())
        ));
        page.raw("</p>\n");
    }
}
