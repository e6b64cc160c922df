//! Which columns are measures: by their types and names; and what a table of balances is to a ledger of postings.
//!
//! A measure is a number whose total matters. Names say it of some columns (a balance, an amount, a quantity);
//! of other decimals (rates, prices) nobody can tell from the files, so they are asked about or merely listed.

use super::files::TableFile;
use super::keys::Key;
use crate::ledger::{Format, posting_keys};
use crate::pipeline::inspect::InspectedColumn;

/// Words in the name of a column whose total matters.
const TOTALLED: [&str; 20] = [
    "balance",
    "balances",
    "amount",
    "amounts",
    "saldo",
    "solde",
    "betrag",
    "montant",
    "importe",
    "bedrag",
    "qty",
    "quantity",
    "quantities",
    "quantite",
    "menge",
    "stock",
    "debit",
    "credit",
    "turnover",
    "umsatz",
];
/// Words in the name of a number that counts or sums nothing.
const NAMING: [&str; 9] = ["id", "no", "nr", "num", "code", "type", "key", "year", "rate"];
/// Names of a column of accounts, without case and marks.
const ACCOUNTS: [&str; 12] = [
    "account",
    "accountid",
    "accountno",
    "accountnumber",
    "accountcode",
    "accountnum",
    "compte",
    "comptenum",
    "konto",
    "kontonr",
    "kontonummer",
    "glaccount",
];

/// The measures of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Measures {
    /// Those whose names say it.
    pub(super) found: Vec<String>,
    /// Other decimals.
    pub(super) others: Vec<String>,
}

impl Measures {
    /// Finds them among the columns that are not the key.
    pub(super) fn of(table: &TableFile, key: &[String]) -> Self {
        let mut measures = Self::default();
        let values = table.inspected.columns.iter().filter(|c| !key.contains(&c.name) && is_exact(c));
        for column in values {
            let words = words(&column.name);
            let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
            if has(&TOTALLED) && !has(&NAMING) {
                measures.found.push(column.name.clone());
            } else if !column.data_type.contains("Int") {
                measures.others.push(column.name.clone());
            }
        }
        measures
    }

    /// The one that postings move, where only one can be meant.
    pub(super) fn moved(&self) -> Option<&String> {
        match (self.found.as_slice(), self.others.as_slice()) {
            ([one], _) | ([], [one]) => Some(one),
            _ => None,
        }
    }
}

/// Whether a column holds exact numbers, or would if it were read as a measure.
fn is_exact(column: &InspectedColumn) -> bool {
    let decimals_differ =
        column.reason.as_ref().is_some_and(|why| why.contains("numbers of decimals differ"));
    decimals_differ || column.data_type.starts_with("Decimal") || column.data_type.contains("Int")
}

/// The words of a name, in lower case: `unitBalance_eur` is unit, balance, eur.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower_before = false;
    for c in name.chars() {
        let begins = c.is_uppercase() && lower_before;
        if begins || !c.is_alphanumeric() {
            words.push(String::new());
        }
        if let Some(last) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            last.extend(c.to_lowercase());
        }
        lower_before = c.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What identifies a row of a table whose balances a ledger of this format moves; `None` if nothing does.
pub(super) fn key_of_postings(table: &TableFile, format: Format) -> Option<Key> {
    let named = |name: &str| table.columns.iter().find(|c| c.trim().eq_ignore_ascii_case(name));
    let keys = posting_keys(format);
    let own: Vec<String> = keys.iter().filter_map(|key| named(key)).cloned().collect();
    // A balance per customer has no account beside it.
    let (key, why) = match (own.split_first(), format) {
        (Some((first, _)), Format::Fec) => (vec![first.clone()], "the ledger's column of the same name"),
        (Some(_), _) => (own, "the ledger's columns of the same names"),
        (None, _) => {
            let plain = |name: &str| name.to_lowercase().replace(|c: char| !c.is_alphanumeric(), "");
            let account = table.columns.iter().find(|c| ACCOUNTS.contains(&plain(c).as_str()))?;
            (vec![account.clone()], "named like an account")
        }
    };
    let measures = Measures::of(table, &key);
    let moves = !measures.found.is_empty() || !measures.others.is_empty();
    moves.then(|| Key::Found(key, why.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fall_into_words() {
        assert_eq!(words("unitBalance_eur"), ["unit", "balance", "eur"]);
        assert_eq!(words("QTY"), ["qty"]);
        assert_eq!(words("Solde fin"), ["solde", "fin"]);
    }
}
