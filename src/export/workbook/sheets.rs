//! The sheets beside the tables: cover, totals, movements, differences, discrepancies.
//!
//! Every sum that can be a number is one, and every equation has a formula beside it, so that a
//! reviewer recomputes it by opening the file.

use rust_xlsxwriter::{Formula, RowNum, Workbook as Xlsx, Worksheet, XlsxError};

use super::cells::{Formats, adds_exactly, exact_number, fitting, write_amount, write_text};
use super::table::TableSheet;
use crate::model::{Discrepancy, MeasureTotal, RowTotal};
use crate::report::{Report, words};

/// The sheets in their order; those of the snapshots follow.
pub(super) const NAMES: [&str; 5] = ["Cover", "Totals", "Movements", "Differences", "Discrepancies"];

/// Discrepancies that the sheet lists; the file of discrepancies has all.
const LISTED: usize = 20_000;

/// Fills all of them.
pub(super) fn write(
    xlsx: &mut Xlsx,
    report: &Report,
    tables: &[TableSheet],
    formats: &Formats,
) -> Result<(), XlsxError> {
    let last = totals(xlsx.worksheet_from_index(1)?, report, tables, formats)?;
    movements(xlsx.worksheet_from_index(2)?, report, formats)?;
    differences(xlsx.worksheet_from_index(3)?, report, formats)?;
    discrepancies(xlsx.worksheet_from_index(4)?, report, formats)?;
    cover(xlsx.worksheet_from_index(0)?, report, last, formats)
}

/// Column names, with widths; a name that ends in `>` is set right.
fn head(
    sheet: &mut Worksheet,
    row: RowNum,
    columns: &[(&str, f64)],
    formats: &Formats,
) -> Result<(), XlsxError> {
    for (number, (name, width)) in columns.iter().enumerate() {
        let column = number as u16;
        sheet.set_column_width(column, *width)?;
        match name.strip_suffix('>') {
            Some(name) => sheet.write_string_with_format(row, column, name, &formats.head_right)?,
            None => sheet.write_string_with_format(row, column, *name, &formats.head)?,
        };
    }
    sheet.set_row_height(row, 32)?;
    sheet.set_freeze_panes(row + 1, 0)?.set_repeat_rows(row, row)?;
    sheet.set_landscape().set_paper_size(9).set_print_fit_to_pages(1, 0).set_footer("&L&A&RPage &P of &N");
    Ok(())
}

fn filter(sheet: &mut Worksheet, last: RowNum, columns: usize) -> Result<(), XlsxError> {
    sheet.autofilter(0, 0, last.max(1), columns as u16 - 1)?;
    Ok(())
}

fn cover(
    sheet: &mut Worksheet,
    report: &Report,
    totals_end: RowNum,
    formats: &Formats,
) -> Result<(), XlsxError> {
    sheet.set_column_width(0, 22)?.set_column_width(1, 92)?.set_screen_gridlines(false);
    sheet.set_paper_size(9).set_print_fit_to_pages(1, 0).set_landscape();
    let title = report.title.clone().unwrap_or_else(|| "Snapshot".to_owned());
    sheet.set_row_height(0, 28)?;
    let title = format!("{title} as at {}", report.asked);
    sheet.write_string_with_format(0, 0, fitting(&title), &formats.title)?;
    let mut row = 2;
    let mut line = |label: &str, text: &str, row: &mut RowNum| -> Result<(), XlsxError> {
        sheet.write_string_with_format(*row, 0, label, &formats.label)?;
        sheet.write_string_with_format(*row, 1, fitting(text), &formats.wrapped)?;
        sheet.set_row_height(*row, height(text))?;
        *row += 1;
        Ok(())
    };
    line("As-of", &report.resolved, &mut row)?;
    line("Verdict", &words::headline(report), &mut row)?;
    for text in words::summary(report) {
        line("", &text, &mut row)?;
    }
    sheet.write_string_with_format(row, 0, "Control totals", &formats.label)?;
    let check = Formula::new(format!(
        "=IF(SUMPRODUCT(ABS(Totals!I2:J{totals_end}))=0,\"All recomputed totals foot\",\"Some totals do not foot: see Totals\")"
    ));
    let foot =
        report.datasets.iter().all(|d| d.rows.holds() && d.measures.iter().all(|m| m.holds || !m.is_summed));
    let now = if foot { "All recomputed totals foot" } else { "Some totals do not foot: see Totals" };
    sheet.write_formula_with_format(row, 1, check.set_result(now), &formats.good)?;
    row += 2;
    for label in ["Prepared by", "Date", "Reviewed by", "Date"] {
        sheet.write_string_with_format(row, 0, label, &formats.label)?;
        sheet.write_blank(row, 1, &formats.line)?;
        sheet.set_row_height(row, 24)?;
        row += 1;
    }
    row += 1;
    sheet.write_string_with_format(row, 0, "Not proven", &formats.label)?;
    for text in words::not_proven(report).iter().chain(&report.assumptions) {
        sheet.write_string_with_format(row, 1, fitting(text), &formats.soft)?;
        sheet.set_row_height(row, height(text))?;
        row += 1;
    }
    row += 1;
    let note = "Numbers of more than 15 digits stand as text, as a spreadsheet would change them; formulas leave them \
                out. manifest.json has inputs, assumptions and digests; the Parquet files have every value exactly.";
    sheet.write_string_with_format(row, 0, "About this file", &formats.label)?;
    sheet.write_string_with_format(row, 1, note, &formats.soft)?;
    sheet.set_row_height(row, height(note))?;
    Ok(())
}

/// How tall a row is that holds this text on the cover: programs do not all work it out themselves.
fn height(text: &str) -> f64 {
    let lines = text.chars().count().div_ceil(104).max(1);
    // Spreadsheets know no taller rows.
    (16.0 * lines as f64).min(400.0)
}

const TOTALS: [(&str, f64); 11] = [
    ("dataset", 22.0),
    ("figure", 20.0),
    ("current>", 18.0),
    ("− inserted>", 18.0),
    ("+ deleted>", 18.0),
    ("± updated>", 18.0),
    ("= snapshot>", 18.0),
    ("recomputed>", 18.0),
    ("recomputed − snapshot>", 14.0),
    ("sheet − snapshot>", 14.0),
    ("remark", 34.0),
];

/// The control totals; returns the number of the last row as a formula writes it.
fn totals(
    sheet: &mut Worksheet,
    report: &Report,
    tables: &[TableSheet],
    formats: &Formats,
) -> Result<RowNum, XlsxError> {
    head(sheet, 0, &TOTALS, formats)?;
    let mut row = 1;
    for dataset in &report.datasets {
        let table = tables.iter().find(|t| t.dataset == dataset.name);
        let counts = row_texts(&dataset.rows);
        let on_sheet = table.filter(|t| t.is_whole && t.rows > 0);
        let counted = on_sheet.map(|t| format!("ROWS('{}'!A2:A{})", t.name, t.rows + 1));
        equation(sheet, row, (&dataset.name, "rows"), &counts, (counted, 0), formats)?;
        row += 1;
        for total in &dataset.measures {
            let summed = on_sheet.and_then(|t| t.sum(&total.name));
            let terms = measure_texts(total);
            equation(sheet, row, (&dataset.name, &total.name), &terms, (summed, total.unknown), formats)?;
            row += 1;
        }
    }
    filter(sheet, row - 1, TOTALS.len())?;
    Ok(row.max(2))
}

/// One equation: its terms, what a formula makes of them, and what the sheet of the table adds up to.
fn equation(
    sheet: &mut Worksheet,
    row: RowNum,
    (dataset, figure): (&str, &str),
    terms: &[String; 5],
    (sum, unknown): (Option<String>, u64),
    formats: &Formats,
) -> Result<(), XlsxError> {
    sheet.write_string(row, 0, dataset)?.write_string(row, 1, fitting(figure))?;
    for (number, term) in terms.iter().enumerate() {
        write_amount(sheet, (row, 2 + number as u16), term, formats)?;
    }
    let mut remark = Vec::new();
    if unknown > 0 {
        remark.push(format!("{unknown} cells of unknown value are in no total"));
    }
    if let Some(decimals) = adds_exactly(terms) {
        let line = row + 1;
        let money = formats.money(decimals);
        let value = |text: &str| exact_number(text).map_or(0.0, |(number, _)| number);
        let [current, inserts, deletes, updates, snapshot] = terms.each_ref().map(|t| value(t));
        let recomputed = current - inserts + deletes + updates;
        let rounded = |number: f64| format!("{:.decimals$}", number + 0.0);
        let recompute = Formula::new(format!("=ROUND(C{line}-D{line}+E{line}+F{line},{decimals})"));
        sheet.write_formula_with_format(row, 7, recompute.set_result(rounded(recomputed)), &money)?;
        let check = Formula::new(format!("=ROUND(H{line}-G{line},{decimals})"));
        sheet.write_formula_with_format(row, 8, check.set_result(rounded(recomputed - snapshot)), &money)?;
        match sum {
            Some(sum) => {
                let check = Formula::new(format!("=ROUND({sum}-G{line},{decimals})"));
                sheet.write_formula_with_format(row, 9, check.set_result(rounded(0.0)), &money)?;
            }
            None => {
                remark.push("the sheet of the table has not every value as a number: not added up".to_owned())
            }
        }
    } else {
        remark.push("not recomputed: more digits than a spreadsheet adds exactly, or not summed".to_owned());
    }
    if !remark.is_empty() {
        sheet.write_string_with_format(row, 10, remark.join("; "), &formats.wrapped)?;
    }
    Ok(())
}

fn row_texts(rows: &RowTotal) -> [String; 5] {
    [
        rows.current.to_string(),
        rows.inserts.to_string(),
        rows.deletes.to_string(),
        rows.updates.to_string(),
        rows.snapshot.to_string(),
    ]
}

fn measure_texts(total: &MeasureTotal) -> [String; 5] {
    [&total.current, &total.inserts, &total.deletes, &total.updates, &total.snapshot].map(Clone::clone)
}

const MOVEMENTS: [(&str, f64); 9] = [
    ("dataset", 22.0),
    ("group", 34.0),
    ("figure", 20.0),
    ("at the as-of>", 18.0),
    ("+ inserted since>", 18.0),
    ("− deleted since>", 18.0),
    ("± updated since>", 18.0),
    ("= current>", 18.0),
    ("must be 0>", 12.0),
];

/// From the as-of to now: the totals the other way round, whole and by group.
fn movements(sheet: &mut Worksheet, report: &Report, formats: &Formats) -> Result<(), XlsxError> {
    head(sheet, 0, &MOVEMENTS, formats)?;
    let mut row = 1;
    for dataset in &report.datasets {
        let whole = std::iter::once((String::new(), &dataset.rows, &dataset.measures));
        let groups = dataset.groups.iter().map(|g| (g.label(), &g.rows, &g.measures));
        for (label, rows, measures) in whole.chain(groups).take(LISTED) {
            movement(sheet, row, (&dataset.name, &label, "rows"), &row_texts(rows), formats)?;
            row += 1;
            for total in measures {
                movement(sheet, row, (&dataset.name, &label, &total.name), &measure_texts(total), formats)?;
                row += 1;
            }
        }
    }
    filter(sheet, row - 1, MOVEMENTS.len())
}

fn movement(
    sheet: &mut Worksheet,
    row: RowNum,
    (dataset, group, figure): (&str, &str, &str),
    terms: &[String; 5],
    formats: &Formats,
) -> Result<(), XlsxError> {
    let [current, inserts, deletes, updates, snapshot] = terms;
    let since = match updates.strip_prefix('-') {
        Some(less) => less.to_owned(),
        None if words::is_zero(updates) => updates.clone(),
        None => format!("-{updates}"),
    };
    sheet.write_string(row, 0, dataset)?;
    write_text(sheet, (row, 1), if group.is_empty() { "all" } else { group })?;
    sheet.write_string(row, 2, fitting(figure))?;
    for (number, term) in [snapshot, inserts, deletes, &since, current].into_iter().enumerate() {
        write_amount(sheet, (row, 3 + number as u16), term, formats)?;
    }
    if let Some(decimals) = adds_exactly(terms) {
        let value = |text: &str| exact_number(text).map_or(0.0, |(number, _)| number);
        let rest = value(snapshot) + value(inserts) - value(deletes) + value(&since) - value(current);
        let line = row + 1;
        let check = Formula::new(format!("=ROUND(D{line}+E{line}-F{line}+G{line}-H{line},{decimals})"));
        let shown = format!("{:.decimals$}", rest + 0.0);
        sheet.write_formula_with_format(row, 8, check.set_result(shown), &formats.money(decimals))?;
    }
    Ok(())
}

const DIFFERENCES: [(&str, f64); 8] = [
    ("dataset", 22.0),
    ("measure", 20.0),
    ("line", 96.0),
    ("amount>", 18.0),
    ("findings>", 11.0),
    ("material>", 11.0),
    ("must be 0>", 12.0),
    ("remark", 34.0),
];

/// Per measure: by the ledger, by cause, unexplained, current.
fn differences(sheet: &mut Worksheet, report: &Report, formats: &Formats) -> Result<(), XlsxError> {
    head(sheet, 0, &DIFFERENCES, formats)?;
    let mut row = 1;
    for d in &report.differences {
        let (Some(ledger), Some(current)) = (&d.ledger, &d.current) else { continue };
        let start = row + 1;
        let mut lines = vec![("total by the ledger".to_owned(), ledger.clone(), None)];
        for share in &d.causes {
            lines.push((share.cause.words().to_owned(), share.amount.clone(), Some(share)));
        }
        lines.push(("unexplained".to_owned(), d.unexplained.clone(), None));
        lines.push(("current total".to_owned(), current.clone(), None));
        let end = row + lines.len() as u32;
        for (words, amount, share) in &lines {
            sheet.write_string(row, 0, &d.dataset)?.write_string(row, 1, fitting(&d.measure))?;
            sheet.write_string(row, 2, words)?;
            write_amount(sheet, (row, 3), amount, formats)?;
            if let Some(share) = share {
                sheet.write_number(row, 4, share.findings as f64)?.write_number(
                    row,
                    5,
                    share.material as f64,
                )?;
                if share.unknown > 0 {
                    let text = format!("and {} of unknown amount", words::counted(share.unknown, "row"));
                    sheet.write_string(row, 7, text)?;
                }
            }
            row += 1;
        }
        let amounts: Vec<String> = lines.into_iter().map(|(_, amount, _)| amount).collect();
        if let Some(decimals) = adds_exactly(&amounts) {
            let check = Formula::new(format!("=ROUND(SUM(D{start}:D{})-D{end},{decimals})", end - 1));
            let money = formats.money(decimals);
            sheet.write_formula_with_format(row - 1, 6, check.set_result("0"), &money)?;
        }
    }
    filter(sheet, row - 1, DIFFERENCES.len())
}

const DISCREPANCIES: [(&str, f64); 14] = [
    ("severity", 10.0),
    ("kind", 22.0),
    ("cause", 34.0),
    ("material", 10.0),
    ("dataset", 18.0),
    ("key", 26.0),
    ("columns", 18.0),
    ("expected", 24.0),
    ("found", 24.0),
    ("amounts", 24.0),
    ("in the ledger", 44.0),
    ("in the current state", 36.0),
    ("what", 70.0),
    ("fingerprint", 20.0),
];

fn discrepancies(sheet: &mut Worksheet, report: &Report, formats: &Formats) -> Result<(), XlsxError> {
    head(sheet, 0, &DISCREPANCIES, formats)?;
    let mut row = 1;
    for found in report.listed.iter().take(LISTED) {
        for (number, text) in texts(found).iter().enumerate() {
            write_text(sheet, (row, number as u16), text)?;
        }
        row += 1;
    }
    let rest = report.total().saturating_sub(u64::from(row) - 1);
    filter(sheet, row - 1, DISCREPANCIES.len())?;
    if rest > 0 {
        let text = format!(
            "and {} more: discrepancies.parquet and discrepancies.csv have all",
            words::counted(rest, "row")
        );
        sheet.write_string_with_format(row + 1, 1, text, &formats.label)?;
    } else if row == 1 {
        sheet.write_string_with_format(1, 1, "none", &formats.label)?;
    }
    Ok(())
}

fn texts(found: &Discrepancy) -> [String; 14] {
    let side = |of: fn(&crate::model::CellDifference) -> &Option<String>| {
        let stated = found.cells.iter().filter(|c| c.expected.is_some() || c.found.is_some());
        let text = stated.map(|c| of(c).clone().unwrap_or_else(|| "null".to_owned()));
        text.collect::<Vec<_>>().join(", ")
    };
    let amounts: Vec<String> =
        found.amounts.iter().map(|(m, a)| format!("{m} {}", words::grouped(a))).collect();
    let ledger = found.ledger.as_ref().map(|p| {
        let when = p.committed_at.as_ref().map_or_else(String::new, |at| format!(" at {at}"));
        let who = p.actor.as_ref().map_or_else(String::new, |who| format!(" by {who}"));
        format!("{} record {}{when}{who}", p.file, p.record)
    });
    let current = found.current.as_ref().map(|p| format!("{} row {}", p.file, p.row));
    let accepted =
        found.accepted.as_ref().map_or_else(String::new, |reason| format!(" (accepted: {reason})"));
    let not_accepted =
        found.not_accepted.as_ref().map_or_else(String::new, |limit| format!(" (not accepted: {limit})"));
    [
        found.severity().name().to_owned(),
        found.kind.code().to_owned(),
        found.cause.code().to_owned(),
        if found.material == Some(true) { "yes" } else { "" }.to_owned(),
        found.dataset.clone(),
        found.key.clone(),
        found.cells.iter().map(|c| c.column.as_str()).collect::<Vec<_>>().join(", "),
        side(|c| &c.expected),
        side(|c| &c.found),
        amounts.join(", "),
        ledger.unwrap_or_default(),
        current.unwrap_or_default(),
        format!("{}{accepted}{not_accepted}", found.message),
        found.fingerprint(),
    ]
}
