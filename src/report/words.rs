//! The sentences of a report: the verdict, and what was not proven.

use super::view::Report;
use crate::model::{MeasureTotal, Severity};

/// How a snapshot came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything ties.
    Ties,
    /// Everything ties but for what the plan accepts and what the ledger does not cover, or on assumptions.
    TiesWithRemarks,
    /// Something contradicts.
    DoesNotTie,
    /// Nothing was checked.
    NotVerified,
}

/// The verdict on the whole snapshot.
pub fn outcome(report: &Report) -> Outcome {
    match (report.open(Severity::Error), report.open(Severity::Warning)) {
        (0, _) if !report.verified => Outcome::NotVerified,
        (0, 0) if report.refused.is_empty() && report.assumptions.is_empty() && is_whole(report) => {
            Outcome::Ties
        }
        (0, _) if report.refused.is_empty() => Outcome::TiesWithRemarks,
        _ => Outcome::DoesNotTie,
    }
}

/// Whether the ledger covers every row, and nothing is taken as tying because the plan accepts it.
fn is_whole(report: &Report) -> bool {
    report.accepted_from(Severity::Warning) == 0 && report.rows_of("not-covered") == 0
}

/// The verdict in one line.
pub fn headline(report: &Report) -> String {
    match outcome(report) {
        Outcome::Ties => "Everything ties.".to_owned(),
        Outcome::TiesWithRemarks => with_remarks(report),
        Outcome::NotVerified => "Rebuilt, not verified.".to_owned(),
        Outcome::DoesNotTie => match report.open(Severity::Error) {
            0 => "A dataset could not be rebuilt.".to_owned(),
            1 => "One thing does not tie.".to_owned(),
            many => format!("{} things do not tie.", grouped(&many.to_string())),
        },
    }
}

/// Everything ties, but.
fn with_remarks(report: &Report) -> String {
    let (accepted, outside) = (report.accepted_from(Severity::Warning), report.rows_of("not-covered"));
    let mut line = if outside == 0 { "Everything ties" } else { "What the ledger covers ties" }.to_owned();
    match accepted {
        0 => {}
        1 => line += " but for 1 accepted discrepancy",
        many => line += &format!(" but for {} accepted discrepancies", grouped(&many.to_string())),
    }
    if report.open(Severity::Warning) > 0 || !report.assumptions.is_empty() {
        line += ", on the assumptions below";
    }
    if outside > 0 {
        line += &format!("; {} outside of it", be(outside, "row"));
    }
    line + "."
}

/// What stands behind the headline, a sentence each.
pub fn summary(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let rows: u64 = report.datasets.iter().map(|d| d.rows.snapshot).sum();
    let tables = counted(report.datasets.len() as u64, "table");
    lines.push(format!("{tables} with {} as they stood at the as-of.", counted(rows, "row")));
    let of = |names: &[&str]| -> u64 { names.iter().map(|name| report.rows_of(name)).sum() };
    if report.verified {
        let parts = [
            (
                of(&["unchanged", "restored"]),
                "proven (unchanged, or restored along an intact chain of records)",
            ),
            (of(&["inferred"]), "resting on an inference"),
            (of(&["not-covered"]), "outside of what the ledger covers"),
            (of(&["unrecoverable"]), "with a value that nothing states"),
            (of(&["contradicted"]), "contradicted"),
        ];
        let said = parts.iter().filter(|(count, _)| *count > 0);
        let said: Vec<String> = said.map(|(n, what)| format!("{} {what}", grouped(&n.to_string()))).collect();
        lines.push(format!(
            "Of the rows judged: {}.",
            if said.is_empty() { "none".to_owned() } else { said.join(", ") }
        ));
    } else {
        lines.push("The ledger was not checked against itself or the current state.".to_owned());
    }
    lines.extend(footing(report));
    let unexplained = report.differences.iter().filter(|d| !is_zero(&d.unexplained) || d.unknown > 0).count();
    let differing = report.differences.iter().filter(|d| !is_zero(&d.difference) || d.unknown > 0).count();
    match (differing, unexplained) {
        (0, 0) if report.verified && !report.differences.is_empty() => {
            lines.push("Ledger and current state have the same total in every measure.".to_owned());
        }
        (0, _) => {}
        (n, 0) => lines.push(format!(
            "Ledger and current state differ in {}; findings account for the whole difference, to the last digit.",
            counted(n as u64, "measure")
        )),
        (n, rest) => lines.push(format!(
            "Ledger and current state differ in {}; in {rest} of them a part is unexplained or unknown.",
            counted(n as u64, "measure")
        )),
    }
    if report.material > 0 {
        lines.push(format!("{} at or above the plan's materiality.", be(report.material, "finding")));
    }
    if report.accepted() > 0 {
        lines.push(format!("{} accepted by the plan, and still listed.", be(report.accepted(), "finding")));
    }
    lines
}

/// Whether the control totals of measures foot. What is no sum can neither foot nor fail to.
fn footing(report: &Report) -> Vec<String> {
    let measures = report.datasets.iter().flat_map(|d| &d.measures);
    let (summed, rest): (Vec<&MeasureTotal>, Vec<_>) = measures.partition(|m| m.is_summed);
    let broken = summed.iter().filter(|m| !m.holds).count();
    let mut lines = Vec::new();
    match broken {
        0 if summed.is_empty() => {}
        0 => lines.push(format!("All control totals foot ({}).", counted(summed.len() as u64, "measure"))),
        1 => lines.push("1 equation of control totals does not foot.".to_owned()),
        many => lines.push(format!("{} of control totals do not foot.", counted(many as u64, "equation"))),
    }
    if !rest.is_empty() {
        let names: Vec<&str> = rest.iter().map(|m| m.name.as_str()).collect();
        lines.push(format!(
            "{} not summed, as not every value is an exact decimal of a size that can be added: {}.",
            be(rest.len() as u64, "measure"),
            names.join(", ")
        ));
    }
    lines
}

/// What this snapshot does not prove, a sentence each.
pub fn not_proven(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if !report.verified {
        lines.push(
            "Nothing was verified: the rows are what the ledger's records make of the current ones."
                .to_owned(),
        );
    }
    lines.extend(report.notes.iter().map(|note| format!("{note}.")));
    lines.extend(report.refused.iter().map(|(name, reason)| format!("{name} was left out: {reason}.")));
    for dataset in &report.datasets {
        let name = &dataset.name;
        for (what, count) in &dataset.verdicts {
            let why = match *what {
                "not-covered" => "outside what the ledger covers: as they stand now",
                "inferred" => {
                    "with cells filled from an earlier record, as no record states the value before"
                }
                "unrecoverable" => "with cells that nothing states: null in the file, and in no total",
                "contradicted" => "stated differently by ledger and current state, or by two records",
                _ => continue,
            };
            if *count > 0 {
                lines.push(format!("{name}: {} {why}.", counted(*count, "row")));
            }
        }
    }
    let open: u64 = report.causes.iter().filter(|(c, ..)| !c.is_decided()).map(|(_, n, _)| n).sum();
    if open > 0 {
        lines.push(format!(
            "Of {} the data cannot decide the cause; the source's own log would.",
            counted(open, "finding")
        ));
    }
    if report.verified {
        lines.push(
            "A change that is missing together with every trace of it in the records around it cannot be seen; nor \
             can two alterations that cancel out."
                .to_owned(),
        );
    }
    lines.push(
        "That the ledger and the extract are what the source held is outside of what they can prove."
            .to_owned(),
    );
    lines
}

/// A count with its noun and its verb: `1 finding is`, `2 findings are`.
fn be(count: u64, noun: &str) -> String {
    format!("{} {}", counted(count, noun), if count == 1 { "is" } else { "are" })
}

/// A count with its noun, in groups of three digits: `1 row`, `12,004 rows`.
pub fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{} {noun}s", grouped(&count.to_string())) }
}

/// Whether an amount's text is nothing.
pub fn is_zero(amount: &str) -> bool {
    !amount.is_empty() && amount.bytes().all(|b| matches!(b, b'0' | b'.' | b'-'))
}

/// A plain decimal number with its digits in groups of three; any other text as it is.
///
/// ```
/// use asof::report::words::grouped;
/// assert_eq!(grouped("-1204500.17"), "-1,204,500.17");
/// assert_eq!(grouped("not summed"), "not summed");
/// ```
pub fn grouped(number: &str) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(w, f)| (w, Some(f)));
    let plain = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if !plain(whole) || !fraction.is_none_or(plain) {
        return number.to_owned();
    }
    let mut text = String::from(sign);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(fraction) = fraction {
        text.push('.');
        text.push_str(fraction);
    }
    text
}
