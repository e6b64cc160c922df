//! Values as cells of a spreadsheet: typed, and only where a spreadsheet holds them exactly.
//!
//! A spreadsheet computes in 64-bit floating point. Numbers of more than 15 digits, and moments
//! finer than a millisecond, would not survive that, so they are written as text. Text is
//! always written as text: whatever it begins with, it cannot run.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, TimeUnit};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Timelike};
use rust_xlsxwriter::{ColNum, Format, RowNum, Worksheet, XlsxError};

use crate::model::canon;

/// Significant digits that survive 64-bit floating point.
const DIGITS: usize = 15;
/// Characters that a cell can hold.
const TEXT_MAX: usize = 32_767;

/// The formats that sheets share.
#[derive(Debug, Clone)]
pub(super) struct Formats {
    pub head: Format,
    pub head_right: Format,
    pub title: Format,
    pub label: Format,
    pub wrapped: Format,
    pub soft: Format,
    pub date: Format,
    pub moment: Format,
    pub whole: Format,
    pub plain: Format,
    pub right: Format,
    pub good: Format,
    pub line: Format,
}

impl Formats {
    pub(super) fn new() -> Self {
        use rust_xlsxwriter::{Color, FormatAlign, FormatBorder};
        let head = Format::new()
            .set_bold()
            .set_background_color(Color::RGB(0x00E8_EDF3))
            .set_border_bottom(FormatBorder::Thin)
            .set_align(FormatAlign::Bottom)
            .set_text_wrap();
        Self {
            head_right: head.clone().set_align(FormatAlign::Right),
            head,
            title: Format::new().set_bold().set_font_size(18),
            label: Format::new().set_bold().set_align(FormatAlign::Top),
            wrapped: Format::new().set_text_wrap().set_align(FormatAlign::Top),
            soft: Format::new()
                .set_font_color(Color::RGB(0x005C_6675))
                .set_text_wrap()
                .set_align(FormatAlign::Top),
            date: Format::new().set_num_format("yyyy-mm-dd"),
            moment: Format::new().set_num_format("yyyy-mm-dd hh:mm:ss.000"),
            whole: Format::new().set_num_format("#,##0"),
            plain: Format::new().set_num_format("0"),
            right: Format::new().set_align(FormatAlign::Right),
            good: Format::new().set_bold().set_font_color(Color::RGB(0x0022_693D)),
            line: Format::new().set_border_bottom(FormatBorder::Thin),
        }
    }

    /// Money with this many decimals.
    pub(super) fn money(&self, decimals: usize) -> Format {
        match decimals {
            0 => self.whole.clone(),
            n => Format::new().set_num_format(format!("#,##0.{}", "0".repeat(n))),
        }
    }
}

/// A plain decimal number that survives floating point, and how many decimals it has.
pub(super) fn exact_number(text: &str) -> Option<(f64, usize)> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    let significant = whole.trim_start_matches('0').len() + fraction.len();
    if whole.is_empty() || !digits(whole) || !digits(fraction) || significant > DIGITS {
        return None;
    }
    Some((text.parse().ok()?, fraction.len()))
}

/// How many decimals some amounts have, if all are numbers whose sum, with any signs and in any order, a
/// spreadsheet finds to the last decimal.
///
/// The numbers as they are held, and each step of adding them, are wrong by up to 2⁻⁵³ of all of them
/// together. Below 10¹⁴ of the last decimal forty steps stay below half of one.
pub(super) fn adds_exactly(amounts: &[String]) -> Option<usize> {
    const UNITS: f64 = 1e14;
    let numbers = amounts.iter().map(|text| exact_number(text)).collect::<Option<Vec<_>>>()?;
    let decimals = numbers.iter().map(|(_, decimals)| *decimals).max().unwrap_or(0);
    let all: f64 = numbers.iter().map(|(number, _)| number.abs()).sum();
    (all * 10f64.powi(i32::try_from(decimals).ok()?) < UNITS).then_some(decimals)
}

/// Writes an amount as a number if it stays exact, else as text.
pub(super) fn write_amount(
    sheet: &mut Worksheet,
    (row, column): (RowNum, ColNum),
    text: &str,
    formats: &Formats,
) -> Result<(), XlsxError> {
    match exact_number(text) {
        Some((number, decimals)) => {
            sheet.write_number_with_format(row, column, number, &formats.money(decimals))?;
        }
        None => {
            sheet.write_string_with_format(row, column, fitting(text), &formats.right)?;
        }
    }
    Ok(())
}

/// As much of a text as a cell can hold; what is cut off is said to be.
pub(super) fn fitting(text: &str) -> Cow<'_, str> {
    if text.encode_utf16().count() <= TEXT_MAX {
        return Cow::Borrowed(text);
    }
    // A character takes two units at most.
    let head: String = text.chars().take(TEXT_MAX / 2 - 100).collect();
    Cow::Owned(format!("{head}… (cut: {} characters)", text.chars().count()))
}

/// Writes a text, or says that it is too long for a cell.
pub(super) fn write_text(
    sheet: &mut Worksheet,
    (row, column): (RowNum, ColNum),
    text: &str,
) -> Result<(), XlsxError> {
    let length = text.encode_utf16().count();
    if length > TEXT_MAX {
        let note = format!("(a text of {length} characters, more than a cell can hold)");
        sheet.write_string(row, column, note)?;
    } else {
        sheet.write_string(row, column, text)?;
    }
    Ok(())
}

/// Writes one cell of a table. Null is an empty cell. Returns how many of its column's last decimal it is,
/// whatever its sign, if it is nothing or an exact number.
pub(super) fn write_cell(
    sheet: &mut Worksheet,
    place: (RowNum, ColNum),
    (array, at): (&ArrayRef, usize),
    style: &ColumnStyle,
) -> Result<Option<u64>, XlsxError> {
    if array.is_null(at) {
        return Ok(Some(0));
    }
    if let (DataType::Boolean, Some(values)) = (array.data_type(), array.as_boolean_opt()) {
        sheet.write_boolean(place.0, place.1, values.value(at))?;
        return Ok(None);
    }
    let Some(text) = canon::cell_text(array.as_ref(), at) else { return Ok(Some(0)) };
    let number = match style.kind {
        ColumnKind::Number => exact_number(&text).map(|(number, _)| number),
        ColumnKind::Float => text.parse().ok().filter(|n: &f64| n.is_finite()),
        ColumnKind::Date => serial_of_date(&text),
        ColumnKind::Moment => serial_of_moment(&text),
        ColumnKind::Text => None,
    };
    match number {
        Some(number) => {
            sheet.write_number_with_format(place.0, place.1, number, &style.format)?;
            Ok(if style.kind == ColumnKind::Number { units(&text) } else { None })
        }
        None => write_text(sheet, place, &text).map(|()| None),
    }
}

/// An exact number without its sign and point.
fn units(text: &str) -> Option<u64> {
    text.bytes()
        .filter(u8::is_ascii_digit)
        .try_fold(0_u64, |all, digit| all.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ColumnKind {
    Number,
    Float,
    Date,
    Moment,
    Text,
}

/// How the cells of one column are written.
#[derive(Debug, Clone)]
pub(super) struct ColumnStyle {
    kind: ColumnKind,
    format: Format,
    /// How many decimals each number has.
    pub decimals: u32,
    /// How wide it is, in characters.
    pub width: f64,
    /// What is said beside its name.
    pub remark: &'static str,
}

impl ColumnStyle {
    /// That of a column of this type. Money is set in groups of three digits.
    pub(super) fn of(data_type: &DataType, is_measure: bool, formats: &Formats) -> Self {
        let style = |kind, format: &Format, width| Self {
            kind,
            format: format.clone(),
            decimals: 0,
            width,
            remark: "",
        };
        match data_type {
            DataType::Decimal32(_, s)
            | DataType::Decimal64(_, s)
            | DataType::Decimal128(_, s)
            | DataType::Decimal256(_, s) => {
                let decimals = u8::try_from(*s).unwrap_or(0);
                let style = style(ColumnKind::Number, &formats.money(usize::from(decimals)), 18.0);
                Self { decimals: u32::from(decimals), ..style }
            }
            t if t.is_integer() && is_measure => style(ColumnKind::Number, &formats.whole, 16.0),
            t if t.is_integer() => style(ColumnKind::Number, &formats.plain, 14.0),
            t if t.is_floating() => style(ColumnKind::Float, &Format::new(), 16.0),
            DataType::Date32 | DataType::Date64 => style(ColumnKind::Date, &formats.date, 12.0),
            DataType::Timestamp(unit, zone) if *unit != TimeUnit::Nanosecond || zone.is_some() => {
                let remark = if zone.is_some() { " (UTC)" } else { "" };
                Self { remark, ..style(ColumnKind::Moment, &formats.moment, 24.0) }
            }
            DataType::Timestamp(..) => style(ColumnKind::Moment, &formats.moment, 24.0),
            DataType::Boolean => style(ColumnKind::Text, &Format::new(), 10.0),
            _ => style(ColumnKind::Text, &Format::new(), 24.0),
        }
    }

    /// Whether its cells are numbers, set right.
    pub(super) fn is_right(&self) -> bool {
        self.kind != ColumnKind::Text
    }
}

/// Days since the spreadsheet's epoch; nothing before March 1900, where its calendar is wrong.
fn serial_of_date(text: &str) -> Option<f64> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    let first = NaiveDate::from_ymd_opt(1900, 3, 1)?;
    let last = NaiveDate::from_ymd_opt(9999, 12, 31)?;
    let epoch = NaiveDate::from_ymd_opt(1899, 12, 30)?;
    (day >= first && day <= last).then(|| day.signed_duration_since(epoch).num_days() as f64)
}

/// The same with the time of day, if it is a whole number of milliseconds.
fn serial_of_moment(text: &str) -> Option<f64> {
    let utc = DateTime::parse_from_rfc3339(text).ok().map(|t| t.naive_utc());
    let moment = utc.or_else(|| {
        let shapes = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
        shapes.iter().find_map(|shape| NaiveDateTime::parse_from_str(text, shape).ok())
    })?;
    let nanos = moment.nanosecond();
    if nanos % 1_000_000 != 0 || nanos >= 1_000_000_000 {
        return None;
    }
    let day = serial_of_date(&moment.date().to_string())?;
    let millis = u64::from(moment.num_seconds_from_midnight()) * 1000 + u64::from(nanos / 1_000_000);
    Some(day + millis as f64 / 86_400_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_floating_point_holds_is_a_number() {
        assert_eq!(exact_number("-1204500.17"), Some((-1_204_500.17, 2)));
        assert_eq!(exact_number("9007199254740993"), None, "16 digits");
        assert_eq!(exact_number("0000000000000000001.5"), Some((1.5, 1)));
        assert_eq!(exact_number("1234567890123456.78"), None);
        assert_eq!(exact_number("not summed"), None);
        assert_eq!(exact_number("1e3"), None);
        assert_eq!(exact_number(""), None);
    }

    #[test]
    fn amounts_add_up_where_floating_point_is_fine_enough() {
        let of = |texts: &[&str]| adds_exactly(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["1.5", "-20"]), Some(1));
        assert_eq!(of(&["1.5", "not summed"]), None);
        assert_eq!(of(&["999999999999.99"]), Some(2));
        assert_eq!(of(&["999999999999.99", "-0.01"]), None);
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(fitting("short"), "short");
        let long = "\u{1f600}".repeat(20_000);
        let cut = fitting(&long);
        assert!(cut.encode_utf16().count() <= TEXT_MAX && cut.ends_with("… (cut: 20000 characters)"));
    }

    #[test]
    fn days_and_moments_are_serial_numbers() {
        assert_eq!(serial_of_date("2025-12-31"), Some(46022.0));
        assert_eq!(serial_of_date("1899-12-31"), None);
        assert_eq!(serial_of_moment("2025-12-31T12:00:00Z"), Some(46022.5));
        assert_eq!(serial_of_moment("2025-12-31T12:00:00.000001Z"), None);
    }
}
