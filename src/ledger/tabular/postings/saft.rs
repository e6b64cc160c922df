//! SAF-T: the standard audit file for tax, as XML. Its general ledger entries as rows.
//!
//! ```text
//!  GeneralLedgerAccounts/Account   Opening…Balance ─► a row that restates, at the period's start
//!                                  Closing…Balance ─► one at the day after its end
//!  Journal/Transaction/Line        Debit-, CreditAmount ─► a row that moves AccountID
//! ```
//!
//! Read as a stream of tags, by local names, so the national versions (Norway, Portugal and
//! others of the OECD's families 1 and 2) are one: amounts stand in `DebitAmount` itself or in
//! its `Amount`, lines are called `Line`, `DebitLine`, `CreditLine` or `TransactionLine`. The
//! posting date is `GLPostingDate`, else `TransactionDate`; amounts are those in the
//! company's currency. `NumberOfEntries`, `TotalDebit` and `TotalCredit` are checked.
//!
//! Limits: encodings are UTF-8, UTF-16 with a byte order mark and those of Western Europe, as the
//! XML declaration names them; the rows are held in memory; a document type definition declares nothing
//! that is used.

use std::io::{BufReader, Read as _};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use chrono::{Days, NaiveDate};
use quick_xml::Reader;
use quick_xml::events::Event;

use super::super::raw::Raw;
use super::images::exact_text;
use super::layout::{Preset, Usual};
use super::number::{self, Exact};
use crate::error::{At, Error, Result};
use crate::ledger::open::input_files;
use crate::model::{CellDifference, Discrepancy, DiscrepancyKind, LedgerPlace};
use crate::plan::{DecimalSign, Ledger};
use crate::read::{Batches, InputFile, Spool, Table, TableSource, is_plain_text, xml_text};

/// The columns of its rows.
const NAMES: [&str; 12] = [
    "RecordType",
    "JournalID",
    "TransactionID",
    "RecordID",
    "PostingDate",
    "SystemEntryDate",
    "SourceID",
    "AccountID",
    "CustomerID",
    "SupplierID",
    "DebitAmount",
    "CreditAmount",
];

/// What `RecordType` says of a row that restates a balance.
const RESTATED: &str = "balance";

pub(super) const PRESET: Preset = Preset {
    transaction: &[&["JournalID"], &["TransactionID"]],
    id: &[],
    effective: &["PostingDate"],
    committed: &["SystemEntryDate"],
    actor: &["SourceID"],
    currency: &[],
    keys: &["AccountID"],
    amounts: &[Usual::Sides("DebitAmount", "CreditAmount")],
    opening: Some(("RecordType", RESTATED)),
    balanced: true,
    by_posting_date: true,
};

/// Deeper than any tag of it stands.
const DEPTH: usize = 64;
/// Longer than any text that is read.
const TEXT: usize = 1 << 16;

/// Whether a file is one.
///
/// # Errors
/// It cannot be read.
pub fn is_saft(file: &InputFile) -> Result<bool> {
    let mut head = Vec::new();
    file.content()?.take(4096).read_to_end(&mut head).map_err(Error::io(&file.path, "read"))?;
    // With a byte order mark it may be UTF-16; all other encodings have the tags' letters where ASCII has them.
    if !is_plain_text(&head) {
        let Ok(text) = xml_text(file.content()?, &file.path) else { return Ok(false) };
        head.clear();
        if text.take(4096).read_to_end(&mut head).is_err() {
            return Ok(false);
        }
    }
    let head = head.trim_ascii_start();
    Ok(head.starts_with(b"<") && head.windows(9).any(|word| word == b"AuditFile"))
}

/// The entries of a ledger's files as rows, and control totals that they do not meet.
pub(super) fn raw(ledger: &Ledger, spool: &Spool) -> Result<(Raw, Vec<Discrepancy>)> {
    let (mut tables, mut found) = (Vec::new(), Vec::new());
    for file in input_files(&ledger.paths, spool)? {
        let audit = AuditFile::read(&file)?;
        found.extend(audit.mismatches(&file));
        let batch = audit.rows(&file)?;
        let source = TableSource::in_memory(&file.path, Batches::new(vec![batch])?);
        tables.push(Table::open(&source, spool)?);
    }
    let path = ledger.paths.first().cloned().unwrap_or_default();
    Ok((Raw::of_alike(tables, &path), found))
}

/// Texts of one row, in the order of [`NAMES`].
type Row = [Option<String>; NAMES.len()];

/// What is taken from a file.
#[derive(Debug, Default)]
struct AuditFile {
    start: Option<NaiveDate>,
    end: Option<NaiveDate>,
    /// Month and year of the first and of the last period.
    periods: [Option<u32>; 4],
    accounts: Vec<Account>,
    lines: Vec<Row>,
    transactions: u64,
    stated: [Option<String>; 3],
    journal: Option<String>,
    /// A date or period of the header that could not be read.
    unreadable: Option<String>,
    head: Head,
    line: Row,
    /// Lines of the transaction that is open.
    open: Vec<Row>,
    account: Account,
}

/// An account of the master files with its balances: opening debit and credit, closing debit and credit.
#[derive(Debug, Default)]
struct Account {
    id: Option<String>,
    balances: [Option<String>; 4],
}

/// What a transaction says for all of its lines.
#[derive(Debug, Default)]
struct Head {
    id: Option<String>,
    date: Option<String>,
    posted: Option<String>,
    entered: Option<String>,
    source: Option<String>,
}

impl AuditFile {
    fn read(file: &InputFile) -> Result<Self> {
        let mut reader = Reader::from_reader(BufReader::new(xml_text(file.content()?, &file.path)?));
        let mut audit = Self::default();
        let (mut path, mut text, mut buffer) = (Vec::new(), String::new(), Vec::new());
        loop {
            buffer.clear();
            let event = reader.read_event_into(&mut buffer).map_err(|e| malformed(file, &e.to_string()));
            match event.map_err(|e| at_byte(e, reader.error_position()))? {
                Event::Start(tag) => {
                    text.clear();
                    path.push(tag.local_name().into_inner().to_owned());
                }
                Event::Text(part) => text.push_str(&part.xml10_content()),
                Event::CData(part) => text.push_str(&part.xml10_content()),
                Event::GeneralRef(entity) => match character(&entity) {
                    Some(character) => text.push_str(&character),
                    None => return Err(malformed(file, "an entity that XML does not define")),
                },
                Event::End(_) => {
                    audit.close(&path, text.trim());
                    text.clear();
                    path.pop();
                }
                Event::Eof => break,
                _ => {}
            }
            if path.len() > DEPTH || text.len() > TEXT {
                return Err(malformed(file, "a tag deeper or a text longer than any of SAF-T"));
            }
        }
        // The balances of the master files would be placed at the wrong day.
        if let Some(text) = &audit.unreadable {
            return Err(malformed(file, &format!("{text:?} as a date or period of the header")));
        }
        match path.is_empty() {
            true => Ok(audit),
            false => Err(malformed(file, "the end of the file inside a tag")),
        }
    }

    /// Takes what a tag holds, as it closes.
    fn close(&mut self, path: &[String], text: &str) {
        let names: Vec<&str> = path.iter().rev().map(String::as_str).collect();
        let value = || (!text.is_empty()).then(|| text.to_owned());
        let within = |name: &str| names.contains(&name);
        match names.as_slice() {
            ["SelectionStartDate" | "StartDate", "SelectionCriteria" | "Header", ..] => {
                self.start = self.stated(text, date(text));
            }
            ["SelectionEndDate" | "EndDate", "SelectionCriteria" | "Header", ..] => {
                self.end = self.stated(text, date(text));
            }
            [name, "SelectionCriteria", ..] => self.period(name, text),
            ["Account", "GeneralLedgerAccounts", ..] => self.accounts.push(std::mem::take(&mut self.account)),
            [name, "Account", "GeneralLedgerAccounts", ..] => self.account.take(name, value()),
            ["NumberOfEntries", "GeneralLedgerEntries", ..] => self.stated[0] = value(),
            ["TotalDebit", "GeneralLedgerEntries", ..] => self.stated[1] = value(),
            ["TotalCredit", "GeneralLedgerEntries", ..] => self.stated[2] = value(),
            ["JournalID", "Journal", ..] => self.journal = value(),
            ["Transaction", "Journal", ..] => self.close_transaction(),
            ["Line" | "DebitLine" | "CreditLine" | "TransactionLine", ..]
                if within("GeneralLedgerEntries") =>
            {
                self.open.push(std::mem::take(&mut self.line));
            }
            [name, "Transaction", "Journal", ..] => self.head.take(name, value()),
            _ if within("GeneralLedgerEntries") => self.take_cell(&names, value()),
            _ => {}
        }
    }

    /// A cell of a line: amounts stand in their tag or one deeper.
    fn take_cell(&mut self, names: &[&str], value: Option<String>) {
        let name = match names {
            ["Amount", name @ ("DebitAmount" | "CreditAmount"), ..] => name,
            [name, ..] => name,
            [] => return,
        };
        let column = NAMES[2..].iter().position(|n| n == name).map(|at| at + 2);
        if let (Some(column), true) = (column, value.is_some()) {
            self.line[column] = value;
        }
    }

    fn period(&mut self, name: &str, text: &str) {
        let names = ["PeriodStart", "PeriodStartYear", "PeriodEnd", "PeriodEndYear"];
        if let Some(at) = names.iter().position(|n| *n == name) {
            self.periods[at] = self.stated(text, text.parse().ok());
        }
    }

    /// What a text of the header was read as; a text that is nothing is kept for the message.
    fn stated<T>(&mut self, text: &str, read: Option<T>) -> Option<T> {
        if read.is_none() && !text.is_empty() {
            self.unreadable.get_or_insert_with(|| text.to_owned());
        }
        read
    }

    fn close_transaction(&mut self) {
        let head = std::mem::take(&mut self.head);
        self.transactions += 1;
        for mut row in self.open.drain(..) {
            row[1].clone_from(&self.journal);
            row[2].clone_from(&head.id);
            row[4] = head.posted.clone().or_else(|| head.date.clone());
            // Some write it for each line.
            row[5] = row[5].take().or_else(|| head.entered.clone());
            row[6].clone_from(&head.source);
            self.lines.push(row);
        }
    }

    /// First day, and the day after the last, of the period that the balances are of.
    fn days(&self) -> (Option<NaiveDate>, Option<NaiveDate>) {
        let [start, start_year, end, end_year] = self.periods;
        let month = |year: Option<u32>, month: Option<u32>| {
            NaiveDate::from_ymd_opt(i32::try_from(year?).ok()?, month?, 1)
        };
        let posted = || self.lines.iter().filter_map(|row| date(row[4].as_deref()?));
        let first = self.start.or_else(|| month(start_year, start)).or_else(|| posted().min());
        let next = |day: NaiveDate| day.checked_add_days(Days::new(1));
        let after_month =
            || month(end_year, end).and_then(|first| first.checked_add_months(chrono::Months::new(1)));
        let after = self.end.and_then(next).or_else(after_month).or_else(|| posted().max().and_then(next));
        (first, after)
    }

    /// All rows: the lines in the order of the file, then the balances.
    fn rows(&self, file: &InputFile) -> Result<RecordBatch> {
        let (first, after) = self.days();
        let mut rows: Vec<Row> = self.lines.clone();
        for account in &self.accounts {
            let [open_debit, open_credit, close_debit, close_credit] = &account.balances;
            for (day, debit, credit) in [(first, open_debit, open_credit), (after, close_debit, close_credit)]
            {
                let Some(day) = day.filter(|_| debit.is_some() || credit.is_some()) else { continue };
                let mut row = Row::default();
                row[0] = Some(RESTATED.to_owned());
                row[4] = Some(day.to_string());
                row[7].clone_from(&account.id);
                (row[10], row[11]) = (debit.clone(), credit.clone());
                rows.push(row);
            }
        }
        let column = |at: usize| -> ArrayRef {
            Arc::new(rows.iter().map(|row| row[at].as_deref()).collect::<StringArray>())
        };
        let fields: Vec<Field> = NAMES.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
        let columns = (0..NAMES.len()).map(column).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(Error::arrow(&file.path))
    }

    /// Control totals that the entries do not meet.
    fn mismatches(&self, file: &InputFile) -> Vec<Discrepancy> {
        let sum = |column: usize| {
            let mut exact = self
                .lines
                .iter()
                .filter_map(|row| number::parse(row[column].as_deref()?, DecimalSign::Point));
            exact.try_fold((0, 0), |sum: Exact, amount| {
                let scale = sum.1.max(amount.1);
                let added = number::rescaled(sum, scale)?.checked_add(number::rescaled(amount, scale)?)?;
                Some((added, scale))
            })
        };
        let count = i128::from(self.transactions);
        let found = [Some((count, 0)), sum(10), sum(11)];
        let names = ["NumberOfEntries", "TotalDebit", "TotalCredit"];
        let pairs = names.iter().zip(&self.stated).zip(found);
        pairs.filter_map(|((name, stated), found)| mismatch(file, name, stated.as_deref()?, found)).collect()
    }
}

/// A control total against what the entries come to.
fn mismatch(file: &InputFile, name: &str, stated: &str, found: Option<Exact>) -> Option<Discrepancy> {
    let (expected, found) = (number::parse(stated, DecimalSign::Point), found?);
    let difference = expected.and_then(|expected| {
        let scale = expected.1.max(found.1);
        let whole = number::rescaled(found, scale)?.checked_sub(number::rescaled(expected, scale)?)?;
        Some((whole, scale))
    });
    if difference.is_some_and(|(whole, _)| whole == 0) {
        return None;
    }
    let text = exact_text(found.0, found.1);
    let residual = difference.map_or_else(|| "unknown".to_owned(), |(whole, scale)| exact_text(whole, scale));
    let message = format!("{name} of the file: found {text} − stated {stated} = {residual}");
    let mut discrepancy = Discrepancy::new(DiscrepancyKind::TotalMismatch, "", message);
    discrepancy.ledger =
        Some(LedgerPlace { file: file.path.display().to_string(), ..LedgerPlace::default() });
    discrepancy.cells.push(CellDifference {
        column: name.to_owned(),
        expected: Some(stated.to_owned()),
        found: Some(text),
    });
    discrepancy.touches_snapshot = true;
    Some(discrepancy)
}

impl Account {
    fn take(&mut self, name: &str, value: Option<String>) {
        const BALANCES: [&str; 4] =
            ["OpeningDebitBalance", "OpeningCreditBalance", "ClosingDebitBalance", "ClosingCreditBalance"];
        if name == "AccountID" {
            self.id = value;
        } else if let Some(at) = BALANCES.iter().position(|n| *n == name) {
            self.balances[at] = value;
        }
    }
}

impl Head {
    fn take(&mut self, name: &str, value: Option<String>) {
        match name {
            "TransactionID" => self.id = value,
            "TransactionDate" => self.date = value,
            "GLPostingDate" => self.posted = value,
            "SystemEntryDate" => self.entered = value,
            "SourceID" => self.source = value,
            _ => {}
        }
    }
}

fn date(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text.get(..10)?, "%Y-%m-%d").ok()
}

/// The character that a reference stands for; only those that XML itself defines.
fn character(entity: &quick_xml::events::BytesRef<'_>) -> Option<String> {
    if let Some(character) = entity.resolve_char_ref().ok()? {
        return Some(character.to_string());
    }
    quick_xml::escape::resolve_xml_entity(&entity.xml10_content()).map(str::to_owned)
}

fn malformed(file: &InputFile, found: &str) -> Error {
    Error::Malformed {
        path: file.path.clone(),
        at: At::default(),
        expected: "a SAF-T file: well-formed XML".to_owned(),
        found: found.to_owned(),
        hint: Some(
            "export it again; a file whose encoding is another than its XML declaration names has to be converted to UTF-8 first".to_owned(),
        ),
    }
}

fn at_byte(error: Error, byte: u64) -> Error {
    match error {
        Error::Malformed { path, at, expected, found, hint } => {
            Error::Malformed { path, at, expected, found: format!("{found} (at byte {byte})"), hint }
        }
        other => other,
    }
}
