//! The sheet of one table.

use std::path::Path;

use arrow::array::ArrayRef;
use rust_xlsxwriter::{ColNum, Worksheet, XlsxError};

use super::cells::{ColumnStyle, Formats, fitting, write_cell};
use super::failed;
use crate::error::Result;
use crate::snapshot::GroupSource;

/// Rows that a sheet can hold below its head.
pub const ROWS_MAX: u32 = 1_048_575;
/// Columns that a sheet can hold.
const COLUMNS_MAX: usize = 16_384;

/// What other sheets know of the sheet of a table.
#[derive(Debug, Clone)]
pub(super) struct TableSheet {
    /// The dataset.
    pub dataset: String,
    /// The sheet.
    pub name: String,
    /// Rows of the table.
    pub rows: u64,
    /// Whether all of them are on the sheet.
    pub is_whole: bool,
    columns: Vec<String>,
    /// Per column, how many decimals its numbers have and how many of the last decimal all of them are,
    /// whatever their signs; `None` where a cell is no exact number.
    units: Vec<Option<(u32, u64)>>,
}

/// Whole numbers up to here are exact in 64-bit floating point.
const EXACT: u64 = 1 << 53;

impl TableSheet {
    pub(super) fn new(dataset: &str, name: &str, source: &dyn GroupSource) -> Self {
        Self {
            dataset: dataset.to_owned(),
            name: name.to_owned(),
            rows: (0..source.groups()).map(|group| source.rows(group) as u64).sum(),
            is_whole: false,
            units: Vec::new(),
            columns: source.schema().fields().iter().map(|f| f.name().clone()).collect(),
        }
    }

    /// The sum of a column on this sheet as a formula; `None` if it is not there, or if a spreadsheet might not
    /// find it to the last decimal: then any deviation would be the spreadsheet's.
    pub(super) fn sum(&self, column: &str) -> Option<String> {
        let at = self.columns.iter().position(|name| name == column).filter(|_| self.is_whole)?;
        let (decimals, _) = self.units.get(at).copied().flatten().filter(|(_, all)| *all < EXACT)?;
        let letters = letters(at);
        let range = format!("'{}'!{letters}2:{letters}{}", self.name, self.rows.max(1) + 1);
        // Whole numbers of the last decimal add up exactly; tenths and hundredths would drift.
        match 10_u64.checked_pow(decimals)? {
            1 => Some(format!("SUM({range})")),
            units => Some(format!("SUMPRODUCT(ROUND({range}*{units},0))/{units}")),
        }
    }

    /// Says where the rows are that are too many for the sheet.
    pub(super) fn note_only(
        &mut self,
        sheet: &mut Worksheet,
        (file, limit): (&str, u32),
        formats: &Formats,
    ) -> Result<(), XlsxError> {
        sheet.set_column_width(0, 100)?;
        let text = format!(
            "{} has {} rows, more than the {limit} that this workbook shows of a dataset. None is shown, so that no part \
             is taken for the whole: {file} beside this workbook has all of them. --workbook-rows raises the limit, up \
             to {ROWS_MAX}.",
            self.dataset, self.rows
        );
        sheet.write_string_with_format(0, 0, text, &formats.wrapped)?;
        Ok(())
    }

    /// Writes all rows.
    pub(super) fn write(
        &mut self,
        sheet: &mut Worksheet,
        source: &dyn GroupSource,
        (measures, formats): (&[String], &Formats),
        path: &Path,
    ) -> Result<()> {
        let fields = source.schema().fields();
        let shown = fields.len().min(COLUMNS_MAX);
        let styles: Vec<ColumnStyle> = fields[..shown]
            .iter()
            .map(|f| ColumnStyle::of(f.data_type(), measures.contains(f.name()), formats))
            .collect();
        self.columns.truncate(shown);
        self.units = styles.iter().map(|style| Some((style.decimals, 0))).collect();
        self.head(sheet, &styles, formats).map_err(failed(path))?;
        let mut row = 1;
        for group in 0..source.groups() {
            let columns = (0..shown).map(|c| source.column(group, c)).collect::<Result<Vec<ArrayRef>>>()?;
            for at in 0..source.rows(group) {
                for (number, (array, style)) in columns.iter().zip(&styles).enumerate() {
                    let units = write_cell(sheet, (row, number as ColNum), (array, at), style);
                    let units = units.map_err(failed(path))?;
                    self.units[number] = self.units[number]
                        .zip(units)
                        .and_then(|((decimals, all), more)| Some((decimals, all.checked_add(more)?)));
                }
                row += 1;
            }
        }
        self.is_whole = true;
        Ok(())
    }

    fn head(
        &self,
        sheet: &mut Worksheet,
        styles: &[ColumnStyle],
        formats: &Formats,
    ) -> Result<(), XlsxError> {
        for (number, (name, style)) in self.columns.iter().zip(styles).enumerate() {
            let column = number as ColNum;
            let head = format!("{name}{}", style.remark);
            let head = fitting(&head);
            sheet.set_column_width(column, style.width.max(head.chars().count().min(40) as f64 + 4.0))?;
            let format = if style.is_right() { &formats.head_right } else { &formats.head };
            sheet.write_string_with_format(0, column, head, format)?;
        }
        sheet.set_freeze_panes(1, 0)?.set_repeat_rows(0, 0)?;
        if let Some(last) = self.columns.len().checked_sub(1) {
            sheet.autofilter(0, 0, (self.rows as u32).max(1), last as ColNum)?;
        }
        sheet.set_landscape().set_paper_size(9).set_print_fit_to_pages(1, 0);
        sheet
            .set_header(format!(
                "&L{}",
                self.dataset.replace('&', "&&").chars().take(200).collect::<String>()
            ))
            .set_footer("&RPage &P of &N");
        Ok(())
    }
}

/// The name of a column: A to Z, then AA.
pub(super) fn letters(mut column: usize) -> String {
    let mut name = Vec::new();
    loop {
        name.insert(0, char::from(b'A' + (column % 26) as u8));
        match (column / 26).checked_sub(1) {
            Some(next) => column = next,
            None => return name.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_named_as_spreadsheets_do() {
        let names = [0, 25, 26, 51, 52, 701, 702, 16_383].map(super::letters);
        assert_eq!(names, ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA", "XFD"]);
    }
}
