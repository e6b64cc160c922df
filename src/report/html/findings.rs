//! The discrepancies of a report: counts by cause, then the most important in full.

use super::page::Page;
use crate::model::{Discrepancy, LedgerPlace};
use crate::report::view::Report;
use crate::report::words::{counted, grouped};

/// Discrepancies that the page shows in full.
const SHOWN: usize = 200;

pub(super) fn section(report: &Report, page: &mut Page) {
    page.raw("<h2 id=\"findings\">Discrepancies</h2>\n");
    if report.total() == 0 {
        page.raw("<p>None.</p>\n");
        return;
    }
    by_cause(report, page);
    by_kind(report, page);
    let total = report.total();
    page.raw("<h3>In full</h3>\n<p class=\"soft\">");
    let shown = report.listed.len().min(SHOWN);
    match total == shown as u64 {
        true => page
            .raw("All of them, the gravest and largest first; discrepancies.csv and .parquet have the same."),
        false => page.text(&format!(
            "The {} gravest and largest of {}; discrepancies.csv and .parquet have all.",
            grouped(&shown.to_string()),
            grouped(&total.to_string())
        )),
    };
    page.raw("</p>\n");
    report.listed.iter().take(shown).for_each(|found| one(found, page));
}

fn by_cause(report: &Report, page: &mut Page) {
    page.head(&["cause", "open>", "accepted>", "in words"]);
    for (cause, open, accepted) in &report.causes {
        page.raw("<tr>").cell(cause.code()).number(&open.to_string()).number(&accepted.to_string());
        page.cell(cause.words()).raw("</tr>\n");
    }
    page.end_table();
}

fn by_kind(report: &Report, page: &mut Page) {
    page.head(&["kind", "severity", "open>", "accepted>"]);
    for (kind, open, accepted) in &report.kinds {
        page.raw("<tr>").cell(kind.code()).cell(kind.severity().name());
        page.number(&open.to_string()).number(&accepted.to_string()).raw("</tr>\n");
    }
    page.end_table();
}

fn one(found: &Discrepancy, page: &mut Page) {
    page.raw(match found.severity().name() {
        "error" => "<div class=\"finding error\">",
        "warning" => "<div class=\"finding warning\">",
        _ => "<div class=\"finding\">",
    });
    page.raw("<p class=\"what\"><b>").text(found.kind.code()).raw("</b> ");
    let place: Vec<&str> =
        [found.dataset.as_str(), found.key.as_str()].into_iter().filter(|p| !p.is_empty()).collect();
    page.text(&place.join(" · "));
    if found.material == Some(true) {
        page.raw("<span class=\"tag material\">material</span>");
    }
    if found.accepted.is_some() {
        page.raw("<span class=\"tag\">accepted</span>");
    }
    page.raw("</p>\n").element("<p>", &found.message, "</p>\n");
    cells(found, page);
    for (measure, amount) in &found.amounts {
        let amount = if amount == "unknown" { "an unknown amount" } else { amount };
        page.raw("<p>").text(measure).raw(" differs by <b>").text(&grouped(amount)).raw("</b></p>\n");
    }
    page.raw("<p class=\"soft\">");
    let mut places = Vec::new();
    places.push(format!("cause: {}", found.cause));
    places.extend(found.ledger.as_ref().map(|p| format!("ledger: {}", ledger_place(p))));
    places.extend(found.current.as_ref().map(|p| format!("current: {} row {}", p.file, p.row)));
    if found.count > 1 {
        places.push(format!("stands for {}", counted(found.count, "occurrence")));
    }
    places.extend(found.accepted.as_ref().map(|reason| format!("accepted: {reason}")));
    places.extend(found.not_accepted.as_ref().map(|limit| format!("not accepted: {limit}")));
    places.push(format!("fingerprint {}", found.fingerprint()));
    page.text(&places.join(" · ")).raw("</p>\n</div>\n");
}

fn cells(found: &Discrepancy, page: &mut Page) {
    let stated: Vec<_> = found.cells.iter().filter(|c| c.expected.is_some() || c.found.is_some()).collect();
    for cell in stated {
        let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
        page.raw("<p>").text(&cell.column).raw(": expected <b>").text(&side(&cell.expected));
        page.raw("</b>, found <b>").text(&side(&cell.found)).raw("</b></p>\n");
    }
}

fn ledger_place(place: &LedgerPlace) -> String {
    let mut text = format!("{} record {}", place.file, place.record);
    let parts = [
        ("at", &place.committed_at),
        ("by", &place.actor),
        ("transaction", &place.transaction),
        ("position", &place.position),
    ];
    for (word, value) in parts {
        if let Some(value) = value {
            text += &format!(", {word} {value}");
        }
    }
    text
}
