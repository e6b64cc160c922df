//! `report.html`: one file that a person reads first. Nothing in it is loaded from elsewhere,
//! nothing has to run, and it prints.

mod datasets;
mod findings;
mod page;

use page::Page;

use super::view::Report;
use super::words::{self, Outcome, counted, is_zero};

const STYLE: &str = concat!("<style>\n", include_str!("style.css"), "</style>\n");

/// The whole page.
pub fn page(report: &Report) -> String {
    let mut page = Page::default();
    head(report, &mut page);
    verdict(report, &mut page);
    totals(report, &mut page);
    differences(report, &mut page);
    findings::section(report, &mut page);
    page.raw("<div id=\"datasets\"></div>\n");
    report.datasets.iter().for_each(|dataset| datasets::section(dataset, &mut page));
    limits(report, &mut page);
    provenance(report, &mut page);
    page.raw("<footer>Made by asof ").text(env!("CARGO_PKG_VERSION"));
    page.raw(
        ". manifest.json beside this file has the digests of everything in the folder, this file included.",
    );
    page.raw("</footer>\n</body>\n</html>\n");
    page.finish()
}

fn title(report: &Report) -> String {
    report.title.clone().unwrap_or_else(|| {
        let names: Vec<&str> = report.datasets.iter().map(|d| d.name.as_str()).collect();
        names.join(", ")
    })
}

fn head(report: &Report, page: &mut Page) {
    page.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
    page.text(&title(report)).raw(" as at ").text(&report.asked).raw("</title>\n").raw(STYLE);
    page.raw("</head>\n<body>\n<header>\n<h1>").text(&title(report)).raw(" as at ").text(&report.asked);
    page.raw("</h1>\n<div class=\"soft\">As-of: ").text(&report.resolved).raw("</div>\n");
    page.raw("<nav><a href=\"#totals\">Totals</a><a href=\"#differences\">Differences</a>");
    page.raw("<a href=\"#findings\">Findings</a><a href=\"#datasets\">Datasets</a>");
    page.raw("<a href=\"#limits\">Not proven</a><a href=\"#provenance\">Provenance</a><a href=\"#plan\">Plan</a></nav>\n");
    page.raw("</header>\n");
}

fn verdict(report: &Report, page: &mut Page) {
    let open = match words::outcome(report) {
        Outcome::Ties => "<div class=\"verdict good\"><b>",
        Outcome::TiesWithRemarks | Outcome::NotVerified => "<div class=\"verdict remark\"><b>",
        Outcome::DoesNotTie => "<div class=\"verdict bad\"><b>",
    };
    page.element(open, &words::headline(report), "</b>\n");
    page.list(&words::summary(report)).raw("</div>\n");
    page.raw(
        "<table class=\"sign\"><tbody><tr><td class=\"soft\">Prepared by</td><td class=\"soft\">Date</td>",
    );
    page.raw("<td class=\"soft\">Reviewed by</td><td class=\"soft\">Date</td></tr></tbody></table>\n");
}

/// current − inserts + deletes ± updates = snapshot, of every dataset and measure.
fn totals(report: &Report, page: &mut Page) {
    page.raw("<h2 id=\"totals\">Control totals</h2>\n<p class=\"soft\">What stands now, less the rows that were inserted ");
    page.raw("since, plus those deleted since, and what updates since then changed, is what stood at the as-of.</p>\n");
    page.head(&["", "current>", "− inserted>", "+ deleted>", "± updated>", "= snapshot>", "foots"]);
    for dataset in &report.datasets {
        let rows = &dataset.rows;
        page.raw("<tr class=\"sum\">").cell(&format!("{}, rows", dataset.name));
        let updates = if rows.updates == 0 { String::new() } else { rows.updates.to_string() };
        for count in [rows.current, rows.inserts, rows.deletes] {
            page.number(&count.to_string());
        }
        page.number(&updates).number(&rows.snapshot.to_string());
        foots(rows.holds(), page).raw("</tr>\n");
        for total in &dataset.measures {
            page.raw("<tr class=\"sub\">").cell(&total.name);
            for amount in [&total.current, &total.inserts, &total.deletes, &total.updates] {
                page.number(amount);
            }
            match total.unknown {
                0 => page.number(&total.snapshot),
                n => page.number(&format!("{} + {n} unknown", words::grouped(&total.snapshot))),
            };
            match total.is_summed {
                true => foots(total.holds, page),
                false => page.cell("not summed"),
            };
            page.raw("</tr>\n");
        }
    }
    page.end_table();
}

fn foots(holds: bool, page: &mut Page) -> &mut Page {
    match holds {
        true => page.raw("<td><span class=\"ok\">yes</span></td>"),
        false => page.raw("<td><span class=\"no\">no</span></td>"),
    }
}

/// Per measure, what the ledger knew last against what stands now.
fn differences(report: &Report, page: &mut Page) {
    page.raw("<h2 id=\"differences\">Differences between ledger and current state</h2>\n");
    if report.differences.is_empty() {
        let why = match report.verified {
            true => "The plan names no measure whose totals could be compared.",
            false => "Nothing was verified, so nothing was compared.",
        };
        page.element("<p>", why, "</p>\n");
        return;
    }
    page.raw("<p class=\"soft\">The total of the last value that the ledger knows of each row, against the total of the ");
    page.raw("current state. Amounts by cause and what is unexplained add up to the difference.</p>\n");
    let (same, differing): (Vec<_>, Vec<_>) =
        report.differences.iter().partition(|d| d.causes.is_empty() && is_zero(&d.unexplained));
    if !differing.is_empty() {
        page.head(&["", "by the ledger>", "current>", "difference>", "findings"]);
        for d in &differing {
            let total = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
            page.raw("<tr class=\"sum\">").cell(&format!("{}, {}", d.dataset, d.measure));
            page.number(&total(&d.ledger)).number(&total(&d.current)).number(&d.difference);
            let materiality = d.materiality.as_ref().map(|m| format!("materiality {}", words::grouped(m)));
            page.element("<td class=\"note\">", &materiality.unwrap_or_default(), "</td>").raw("</tr>\n");
            for share in &d.causes {
                page.raw("<tr class=\"sub\"><td>").text(share.cause.words());
                page.raw("</td><td></td><td></td>").number(&share.amount);
                let mut note = counted(share.findings, "finding");
                if share.material > 0 {
                    note += &format!(", {} material", share.material);
                }
                if share.unknown > 0 {
                    note += &format!(", {} of unknown amount", counted(share.unknown, "row"));
                }
                page.element("<td class=\"note\">", &note, "</td>").raw("</tr>\n");
            }
            page.raw("<tr class=\"sub\"><td>unexplained</td><td></td><td></td>").number(&d.unexplained);
            page.raw("<td></td></tr>\n");
        }
        page.end_table();
    }
    if !same.is_empty() {
        let names: Vec<String> = same.iter().map(|d| format!("{} ({})", d.measure, d.dataset)).collect();
        page.raw("<p>No difference in ").text(&names.join(", ")).raw(".</p>\n");
    }
}

fn limits(report: &Report, page: &mut Page) {
    page.raw("<h2 id=\"limits\">What was not proven</h2>\n").list(&words::not_proven(report));
    page.raw("<h3>Assumptions</h3>\n");
    match report.assumptions.is_empty() {
        true => page.raw("<p>None: window and extract moment of every dataset are declared.</p>\n"),
        false => page.list(&report.assumptions),
    };
    if report.trust == "ledger" {
        page.raw("<p>Where ledger and current state disagree, the ledger's values were taken.</p>\n");
    }
    if !report.types.is_empty() {
        page.raw("<h3>Types of text columns</h3>\n").list(&report.types);
    }
}

fn provenance(report: &Report, page: &mut Page) {
    page.raw("<h2 id=\"provenance\">Provenance</h2>\n");
    page.head(&["dataset", "as", "file", "bytes>", "SHA-256"]);
    for input in &report.inputs {
        page.raw("<tr>").cell(&input.dataset).cell(input.role);
        page.element("<td class=\"any\">", &input.path.display().to_string(), "</td>");
        page.number(&input.bytes.to_string());
        page.element("<td class=\"hash\">", &input.sha256, "</td>").raw("</tr>\n");
    }
    page.end_table();
    page.raw("<h2 id=\"plan\">The plan</h2>\n");
    if let Some(path) = &report.plan_path {
        page.element("<p class=\"soft\">", &path.display().to_string(), "</p>\n");
    }
    match report.plan_text.trim() {
        "" => page.raw("<p>There is no plan file: the inputs were named by the caller.</p>\n"),
        text => page.element("<pre>", text, "</pre>\n"),
    };
}
