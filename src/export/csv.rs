//! A table as delimited text, exact.
//!
//! Null and empty stay apart as far as the style lets them: null is the null
//! marker without quotes, and a text that looks like the marker is quoted. A
//! source that writes both as nothing is followed in that, as it was read so.
//! Text that starts a formula is only escaped on demand, as that changes it.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::model::canon;
use crate::snapshot::GroupSource;

/// How delimited text is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvStyle {
    /// The byte between fields.
    pub delimiter: u8,
    /// What stands for null, unquoted.
    pub null: String,
    /// Whether an empty text is written as nothing although nothing also stands for null.
    pub empty_unquoted: bool,
    /// Whether text that a spreadsheet would take for a formula is preceded by `'`.
    pub safe: bool,
}

impl Default for CsvStyle {
    fn default() -> Self {
        Self { delimiter: b',', null: String::new(), empty_unquoted: false, safe: false }
    }
}

pub(super) fn write(
    source: &dyn GroupSource,
    style: &CsvStyle,
    file: File,
    path: &Path,
    done: &(dyn Fn(u64) + Sync),
) -> Result<()> {
    let failed = || Error::io(path, "write");
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let names: Vec<String> = source.schema().fields().iter().map(|f| f.name().clone()).collect();
    let mut line = String::new();
    join(&mut line, names.iter().map(|n| Some(Cow::Borrowed(n.as_str()))), style);
    out.write_all(line.as_bytes()).map_err(failed())?;
    for group in 0..source.groups() {
        let columns = (0..names.len()).map(|c| source.column(group, c)).collect::<Result<Vec<_>>>()?;
        for row in 0..source.rows(group) {
            line.clear();
            join(&mut line, columns.iter().map(|c| canon::cell_text(c.as_ref(), row).map(Cow::Owned)), style);
            out.write_all(line.as_bytes()).map_err(failed())?;
        }
        done(source.rows(group) as u64);
    }
    out.flush().map_err(failed())
}

/// Appends one record with its line end.
pub(crate) fn join<'a>(
    line: &mut String,
    fields: impl Iterator<Item = Option<Cow<'a, str>>>,
    style: &CsvStyle,
) {
    for (number, field) in fields.enumerate() {
        if number > 0 {
            line.push(char::from(style.delimiter));
        }
        match field {
            None => line.push_str(&style.null),
            Some(text) => push_field(line, &text, style),
        }
    }
    line.push('\n');
}

fn push_field(line: &mut String, text: &str, style: &CsvStyle) {
    let formula = style.safe && is_formula(text);
    let special = |b: u8| matches!(b, b'"' | b'\n' | b'\r') || b == style.delimiter;
    let like_null = text == style.null && !(text.is_empty() && style.empty_unquoted);
    if !formula && !like_null && !text.bytes().any(special) && text.trim() == text {
        line.push_str(text);
        return;
    }
    line.push('"');
    if formula {
        line.push('\'');
    }
    line.push_str(&text.replace('"', "\"\""));
    line.push('"');
}

/// Whether a spreadsheet would take a text for a formula; where text is written safely, it is preceded by `'`.
pub(crate) fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) && !is_number(text)
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok()
}
