//! The `postings` of a ledger.

use super::document::{Section, Value};
use crate::error::Result;
use crate::plan::{
    AmountColumns, Bound, Calendar, Closing, DateOrder, DecimalSign, Moment, OpeningEntries, Postings,
    RowsExist,
};

/// Its keys.
pub(super) const KEYS: [&str; 13] = [
    "amounts",
    "running_balances",
    "keys",
    "decimal_sign",
    "dates",
    "rows",
    "opening_entries",
    "balanced",
    "skip_empty_keys",
    "effective_from",
    "committed_from",
    "known_at",
    "closings",
];

const AMOUNT: &str =
    "amounts = { balance = \"amount\" }, or { balance = { debit = \"debit\", credit = \"credit\" } }";

/// Reads it.
pub(super) fn postings(value: &Value<'_>, calendar: &Calendar) -> Result<Postings> {
    let section = value.table(&KEYS)?;
    let mut postings = Postings { days: calendar.zone, ..Postings::default() };
    if let Some(value) = section.get("amounts") {
        for (measure, columns) in value.open_table()?.entries() {
            postings.amounts.push((measure.to_owned(), amount(&columns)?));
        }
    }
    if let Some(value) = section.get("keys") {
        for (key, column) in value.open_table()?.entries() {
            postings.keys.push((key.to_owned(), column.text()?.to_owned()));
        }
    }
    if let Some(value) = section.get("running_balances") {
        for (measure, column) in value.open_table()?.entries() {
            postings.running_balances.push((measure.to_owned(), column.text()?.to_owned()));
        }
    }
    let word = |key| section.get(key);
    postings.decimal_sign =
        word("decimal_sign").map(|v| v.word(DecimalSign::ALL, DecimalSign::name)).transpose()?;
    postings.dates = word("dates").map(|v| v.word(DateOrder::ALL, DateOrder::name)).transpose()?;
    postings.rows = word("rows").map(|v| v.word(RowsExist::ALL, RowsExist::name)).transpose()?;
    postings.balanced = word("balanced").map(|v| v.boolean()).transpose()?;
    postings.skip_empty_keys = word("skip_empty_keys").map(|v| v.boolean()).transpose()?.unwrap_or_default();
    postings.opening_entries = word("opening_entries").map(|v| opening_entries(&v)).transpose()?;
    let start = |v: Value<'_>| v.placed(Bound::parse_start(&v.when()?, calendar));
    postings.effective_from = word("effective_from").map(start).transpose()?;
    postings.committed_from = word("committed_from").map(start).transpose()?;
    let moment = |v: Value<'_>| v.placed(Moment::parse_one(&v.when()?, calendar));
    postings.known_at = word("known_at").map(moment).transpose()?;
    if let Some(value) = section.get("closings") {
        postings.closings = closings(&value, calendar)?;
    }
    Ok(postings)
}

fn amount(value: &Value<'_>) -> Result<AmountColumns> {
    if !value.is_table() {
        return Ok(AmountColumns::Signed(value.text()?.to_owned()));
    }
    let section = value.table(&["debit", "credit", "amount", "flag", "plus", "minus"])?;
    let text = |key: &str| -> Result<String> { Ok(section.require(key, AMOUNT)?.text()?.to_owned()) };
    let words =
        |key: &str| section.get(key).map(|v| v.one_or_more()).transpose().map(Option::unwrap_or_default);
    let is_flagged = ["amount", "flag", "plus", "minus"].iter().any(|key| section.get(key).is_some());
    let is_sides = ["debit", "credit"].iter().any(|key| section.get(key).is_some());
    match (is_sides, is_flagged) {
        (true, false) => Ok(AmountColumns::Sides { debit: text("debit")?, credit: text("credit")? }),
        (false, true) => Ok(AmountColumns::Flagged {
            amount: text("amount")?,
            flag: text("flag")?,
            plus: words("plus")?,
            minus: words("minus")?,
        }),
        _ => Err(value.error(
            format!("{} names neither debit and credit, nor amount and flag", value.name),
            format!("write for instance {AMOUNT}"),
        )),
    }
}

/// Periods with the moments at which they were closed, or a list of periods that were closed as they ended.
fn closings(value: &Value<'_>, calendar: &Calendar) -> Result<Vec<Closing>> {
    let mut closings = Vec::new();
    if value.is_table() {
        for (period, at) in value.open_table()?.entries() {
            let period = value.placed(Moment::parse_one(period, calendar))?;
            let at = at.placed(Moment::parse_one(&at.when()?, calendar))?;
            closings.push(Closing { period, at });
        }
    } else {
        for item in value.list()? {
            let period = item.placed(Moment::parse_one(&item.when()?, calendar))?;
            closings.push(Closing { at: period.clone(), period });
        }
    }
    let times = |c: &Closing| Some((c.period.bound.last_nanosecond()?, c.at.bound.last_nanosecond()?));
    if let Some(none) = closings.iter().find(|c| times(c).is_none()) {
        let what = format!("{} is closed by a time, not by a position", none.period.text);
        let hint = "write closings = { \"2025-09\" = \"2025-10-14\" }".to_owned();
        return Err(value.error(what, hint));
    }
    closings.sort_by_key(times);
    Ok(closings)
}

fn opening_entries(value: &Value<'_>) -> Result<OpeningEntries> {
    let section: Section<'_> = value.table(&["column", "words"])?;
    let example = "opening_entries = { column = \"journal\", words = [\"AN\"] }";
    Ok(OpeningEntries {
        column: section.require("column", example)?.text()?.to_owned(),
        words: section.require("words", example)?.one_or_more()?,
    })
}
