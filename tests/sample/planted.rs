//! What is wrong with the sample on purpose, beside the orphan account that
//! the history itself holds and the tie-out that the plan holds.

use std::sync::Arc;

use asof::model::Op;
use asof::testing::{Delivery, History, Image, Record, Shape, Value};

use super::company::{ACCOUNTS, CUSTOMERS, INVOICES, LINES, PAYMENTS, at};
use super::files::QUARTER_END;

/// One planted thing and the discrepancy that must name it.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) code: &'static str,
    pub(crate) dataset: &'static str,
    /// The key as outputs write it; empty where no single key is meant.
    pub(crate) key: String,
}

/// The sources as handed over.
pub(crate) struct Handover {
    pub(crate) core: Delivery,
    pub(crate) payments: Delivery,
    pub(crate) invoices: Delivery,
    pub(crate) lines: Delivery,
    pub(crate) findings: Vec<Finding>,
}

/// Delivers the sources and corrupts one thing in each of a few places.
pub(crate) fn hand_over(history: &History) -> Handover {
    use asof::testing::InitialReads::{AtStart, None as NoReads};
    let deliver = |tables: &[usize], reads, renumber| {
        history.deliver(&Shape { tables: Some(tables.to_vec()), reads, renumber, ..Shape::default() })
    };
    let mut handover = Handover {
        core: deliver(&[CUSTOMERS, ACCOUNTS], AtStart, false),
        payments: deliver(&[PAYMENTS], NoReads, true),
        invoices: deliver(&[INVOICES], NoReads, false),
        lines: deliver(&[LINES], NoReads, true),
        findings: Vec::new(),
    };
    let findings = vec![
        edit_balance(&mut handover.core),
        remove_customer(&mut handover.core),
        redeliver(&mut handover.core),
        remove_correction(&mut handover.payments),
        edit_before(&mut handover.lines),
        revive_invoice(&mut handover.invoices),
        finding("orphan-reference", "accounts", String::new()),
        finding("total-mismatch", "accounts", String::new()),
    ];
    handover.findings = findings;
    handover
}

fn finding(code: &'static str, dataset: &'static str, key: String) -> Finding {
    Finding { code, dataset, key }
}

fn cell(image: &Option<Image>, column: usize) -> Option<&Value> {
    image.as_ref().map(|image| &image.row[column])
}

fn int(value: &Value) -> i64 {
    match value {
        Value::Int(v) => *v,
        _ => panic!("a number of the sample, found {value:?}"),
    }
}

fn add(value: &mut Value, cents: i128) {
    match value {
        Value::Decimal(v) => *v += cents,
        _ => panic!("an amount of the sample, found {value:?}"),
    }
}

/// Records that touch the row whose first key column has this value.
fn of_key<'a>(delivery: &'a Delivery, table: usize, key: &Value) -> Vec<&'a Record> {
    let touches = |r: &Record| cell(&r.before, 0) == Some(key) || cell(&r.after, 0) == Some(key);
    delivery.of(table).map(|(_, r)| r).filter(|r| touches(r)).collect()
}

/// Somebody writes 1,000.00 more on a EUR account, past the log; its last logged change was in summer.
fn edit_balance(core: &mut Delivery) -> Finding {
    let fits = |row: &Vec<Value>| {
        let last = of_key(core, ACCOUNTS, &row[0]).last().map_or(0, |r| r.committed_at);
        row[2] == Value::text("EUR") && (at(20_089 + 150, 0)..at(20_089 + 230, 0)).contains(&last)
    };
    let place = core.current[ACCOUNTS].iter().position(|row| fits(row)).expect("such an account");
    let row = Arc::make_mut(&mut core.current[ACCOUNTS][place]);
    add(&mut row[3], 100_000);
    finding("current-differs", "accounts", format!("account_id={}", int(&row[0])))
}

/// A customer without accounts and invoices is deleted past the log.
fn remove_customer(core: &mut Delivery) -> Finding {
    let fits = |row: &Vec<Value>| {
        int(&row[0]) % 11 == 0 && of_key(core, CUSTOMERS, &row[0]).iter().all(|r| r.op == Op::Read)
    };
    let place = core.current[CUSTOMERS].iter().position(|row| fits(row)).expect("such a customer");
    let row = core.current[CUSTOMERS].remove(place);
    finding("current-missing", "customers", format!("customer_id={}", int(&row[0])))
}

/// The connector restarts in August and delivers five records again.
fn redeliver(core: &mut Delivery) -> Finding {
    let from = core.records.partition_point(|r| r.committed_at < at(20_089 + 225, 0));
    let again: Vec<Record> = core.records[from..from + 5].to_vec();
    core.records.splice(from + 7..from + 7, again);
    finding("duplicate-change", "accounts", String::new())
}

/// The record of a corrected amount is missing from the payments ledger.
fn remove_correction(payments: &mut Delivery) -> Finding {
    let correction = |r: &Record| r.op == Op::Update && cell(&r.before, 2) != cell(&r.after, 2);
    let place = payments
        .records
        .iter()
        .position(|r| correction(r) && r.committed_at > at(20_089 + 60, 0) && is_booked_later(payments, r))
        .expect("such a correction");
    let record = payments.records.remove(place);
    let Some(Value::Text(id)) = cell(&record.after, 0) else { panic!("payments have text keys") };
    finding("chain-break", "payments", format!("payment_id={id}"))
}

fn is_booked_later(payments: &Delivery, record: &Record) -> bool {
    cell(&record.after, 0).is_some_and(|key| {
        of_key(payments, PAYMENTS, key).last().is_some_and(|l| l.position > record.position)
    })
}

/// The before image of a journal line's first change after the quarter's end is altered by 90.00.
fn edit_before(lines: &mut Delivery) -> Finding {
    let key = |image: &Option<Image>| Some((cell(image, 0)?.clone(), cell(image, 1)?.clone()));
    let known = |at: usize, r: &Record| {
        lines.records[..at]
            .iter()
            .rev()
            .find(|p| key(&p.before) == key(&r.before) || key(&p.after) == key(&r.before))
            .is_some_and(|p| p.committed_at <= QUARTER_END && key(&p.after) == key(&r.before))
    };
    let (place, _) = lines
        .records
        .iter()
        .enumerate()
        .find(|(i, r)| {
            r.op == Op::Update
                && r.committed_at > QUARTER_END
                && key(&r.before) == key(&r.after)
                && known(*i, r)
        })
        .expect("such a line");
    let before = lines.records[place].before.as_mut().expect("updates have a before image");
    let row = Arc::make_mut(&mut before.row);
    add(&mut row[3], 9_000);
    finding("chain-break", "journal_lines", format!("entry_no={}, line_no={}", int(&row[0]), int(&row[1])))
}

/// An invoice that the log has deleted is back in the extract.
fn revive_invoice(invoices: &mut Delivery) -> Finding {
    let deleted = invoices.records.iter().find(|r| r.op == Op::Delete).and_then(|r| r.before.clone());
    let row = deleted.expect("an invoice is deleted in August").row;
    let Value::Text(number) = &row[0] else { panic!("invoices have text keys") };
    let key = format!("invoice_no={number}");
    invoices.current[INVOICES].push(row);
    finding("current-unexpected", "invoices", key)
}
