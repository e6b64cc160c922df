//! What the columns of a ledger of postings mean: declared, usual, or written by the format.

use arrow::datatypes::DataType;

use super::super::raw::Raw;
use super::PostingTarget;
use crate::error::{At, Error, Result, nearest};
use crate::plan::{AmountColumns, Ledger, LedgerClock};

/// How a format of postings names its columns.
#[derive(Debug)]
pub(super) struct Preset {
    /// What identifies a transaction together: for each part, the names it may have.
    pub(super) transaction: &'static [&'static [&'static str]],
    pub(super) id: &'static [&'static str],
    pub(super) effective: &'static [&'static str],
    pub(super) committed: &'static [&'static str],
    pub(super) actor: &'static [&'static str],
    pub(super) currency: &'static [&'static str],
    /// Columns that a key means whose own names are not there, in the order of the key.
    pub(super) keys: &'static [&'static str],
    pub(super) amounts: &'static [Usual],
    /// The column and the word that tell rows which restate a balance, where the format has them.
    pub(super) opening: Option<(&'static str, &'static str)>,
    /// Whether transactions balance.
    pub(super) balanced: bool,
    /// Whether a moment is one of posting dates, whatever else is recorded.
    pub(super) by_posting_date: bool,
}

/// Columns that amounts usually have.
#[derive(Debug)]
pub(super) enum Usual {
    Signed(&'static str),
    Sides(&'static str, &'static str),
    Flagged(&'static str, &'static str),
}

/// Names in any table of postings.
pub(super) const ANY: Preset = Preset {
    transaction: &[&[
        "transaction",
        "transaction_id",
        "txid",
        "journal_entry",
        "entry_no",
        "document_no",
        "document",
        "voucher",
    ]],
    id: &["posting_id", "line_id"],
    effective: &["effective_at", "posting_date", "effective_date", "date"],
    committed: &["committed_at", "entry_date", "entered_at", "created_at", "create_date"],
    actor: &["actor", "user", "created_by", "entered_by"],
    currency: &[],
    keys: &[],
    amounts: &[
        Usual::Sides("debit", "credit"),
        Usual::Sides("debit_amount", "credit_amount"),
        Usual::Flagged("amount", "dc"),
        Usual::Flagged("amount", "debit_credit"),
        Usual::Flagged("amount", "direction"),
        Usual::Signed("amount"),
        Usual::Signed("quantity"),
        Usual::Signed("qty"),
    ],
    opening: None,
    balanced: false,
    by_posting_date: false,
};

/// What a table with usual names of dates and amounts may be, in words; `None` without them.
pub(super) fn usual(names: &[String]) -> Option<String> {
    let find = |usual: &&str| names.iter().find(|name| name.eq_ignore_ascii_case(usual));
    let date = ANY.effective.iter().chain(ANY.committed).find_map(find)?;
    let amounts = ANY.amounts.iter().find_map(|usual| {
        Some(match usual {
            Usual::Sides(debit, credit) => format!("{} less {}", find(debit)?, find(credit)?),
            Usual::Flagged(amount, flag) => format!("{}, by the direction in {}", find(amount)?, find(flag)?),
            Usual::Signed(amount) => find(amount)?.clone(),
        })
    })?;
    Some(format!("{amounts}, counting at {date}"))
}

/// Which raw columns say what.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) id: Vec<usize>,
    pub(super) transaction: Vec<usize>,
    pub(super) effective: Option<usize>,
    pub(super) committed: Option<usize>,
    pub(super) actor: Option<usize>,
    pub(super) currency: Option<usize>,
    /// A column and its words that tell postings which restate a balance.
    pub(super) opening: Option<(usize, Vec<String>)>,
    /// The clock of a moment: of the commit or of the posting date.
    pub(super) clock: LedgerClock,
    /// The same without a second moment.
    pub(super) own_clock: LedgerClock,
    pub(super) balanced: bool,
    pub(super) targets: Vec<TargetLayout>,
}

/// Which raw columns a dataset's rows are moved by.
#[derive(Debug)]
pub(super) struct TargetLayout {
    /// Per key column.
    pub(super) keys: Vec<usize>,
    /// Table columns and what moves them.
    pub(super) amounts: Vec<(usize, Amounts)>,
    /// For each of them, the column that states what is on the key after a posting.
    pub(super) running: Vec<Option<usize>>,
}

/// By how much a posting moves a measure.
#[derive(Debug)]
pub(super) enum Amounts {
    Signed(usize),
    Sides { debit: usize, credit: usize },
    Flagged { amount: usize, flag: usize, plus: Vec<String>, minus: Vec<String> },
}

/// Words for what adds to an account or a stock, and for what takes away.
const PLUS: [&str; 11] = ["d", "dr", "debit", "débit", "s", "soll", "in", "receipt", "+", "1", "plus"];
const MINUS: [&str; 11] = ["c", "cr", "credit", "crédit", "h", "haben", "out", "issue", "-", "-1", "minus"];

impl Amounts {
    /// The raw columns with numbers in them.
    pub(super) fn numbers(&self) -> Vec<usize> {
        match self {
            Self::Signed(amount) | Self::Flagged { amount, .. } => vec![*amount],
            Self::Sides { debit, credit } => vec![*debit, *credit],
        }
    }

    fn has_sides(&self) -> bool {
        !matches!(self, Self::Signed(_))
    }
}

impl Layout {
    /// Finds the columns.
    pub(super) fn find(
        raw: &Raw,
        ledger: &Ledger,
        preset: &Preset,
        targets: &[PostingTarget<'_>],
    ) -> Result<Self> {
        let columns = &ledger.columns;
        let require = |name: &String| raw.require(Some(name), &[], "a column of the plan", "id");
        let id = match columns.id.is_empty() {
            true => preset.id.iter().find_map(|name| raw.column(name)).into_iter().collect(),
            false => columns.id.iter().map(require).collect::<Result<_>>()?,
        };
        let transaction = match &columns.transaction {
            Some(_) => raw.find(columns.transaction.as_ref(), &[])?.into_iter().collect(),
            None => {
                let part = |names: &&[&str]| names.iter().find_map(|name| raw.column(name));
                preset.transaction.iter().filter_map(part).collect()
            }
        };
        let effective = raw.find(columns.effective_at.as_ref(), preset.effective)?;
        let committed = raw.find(columns.committed_at.as_ref(), preset.committed)?;
        let opening = match &ledger.postings.opening_entries {
            Some(entries) => Some((require(&entries.column)?, entries.words.clone())),
            None => preset.opening.and_then(|(name, word)| Some((raw.column(name)?, vec![word.to_owned()]))),
        };
        let targets = targets
            .iter()
            .map(|target| TargetLayout::find(raw, target, preset))
            .collect::<Result<Vec<_>>>()?;
        let sides = |target: &TargetLayout| target.amounts.iter().any(|(_, a)| a.has_sides());
        let balanced = ledger.postings.balanced.unwrap_or(preset.balanced || targets.iter().any(sides));
        Ok(Self {
            balanced: balanced && !Vec::is_empty(&transaction),
            id,
            transaction,
            actor: raw.find(columns.actor.as_ref(), preset.actor)?,
            currency: raw.find(columns.currency.as_ref(), preset.currency)?,
            clock: clock(raw, ledger, preset, (effective, committed))?,
            own_clock: ledger.postings.clock.unwrap_or_else(|| usual_clock(preset, committed)),
            effective,
            committed,
            opening,
            targets,
        })
    }

    /// All raw columns with numbers in them.
    pub(super) fn numbers(&self) -> Vec<usize> {
        let amounts = self.targets.iter().flat_map(|t| t.amounts.iter().flat_map(|(_, a)| a.numbers()));
        let running = self.targets.iter().flat_map(|t| t.running.iter().copied().flatten());
        let mut all: Vec<usize> = amounts.chain(running).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// The clock that moments are asked on: the declared one, else the format's, else the one recorded.
fn clock(
    raw: &Raw,
    ledger: &Ledger,
    preset: &Preset,
    (effective, committed): (Option<usize>, Option<usize>),
) -> Result<LedgerClock> {
    // A moment with a second one, as known at which, is one of posting dates.
    let asked = ledger.postings.known_at.is_some().then_some(LedgerClock::Effective);
    let clock = asked.or(ledger.postings.clock).unwrap_or_else(|| usual_clock(preset, committed));
    match clock {
        LedgerClock::Effective if effective.is_none() => {
            Err(raw.missing("a column with the date at which postings count", "effective_at"))
        }
        _ if committed.is_none() && (clock != LedgerClock::Effective || asked.is_some()) => {
            Err(raw.missing("a column with the time at which postings were entered", "committed_at"))
        }
        _ => Ok(clock),
    }
}

fn usual_clock(preset: &Preset, committed: Option<usize>) -> LedgerClock {
    let by_posting_date = preset.by_posting_date || committed.is_none();
    if by_posting_date { LedgerClock::Effective } else { LedgerClock::Commit }
}

impl TargetLayout {
    fn find(raw: &Raw, target: &PostingTarget<'_>, preset: &Preset) -> Result<Self> {
        let postings = &target.plan.ledger.postings;
        let mut keys = Vec::new();
        for (number, &column) in target.schema.key().iter().enumerate() {
            let name = target.schema.name(column).to_owned();
            let declared = postings.keys.iter().find(|(key, _)| *key == name).map(|(_, c)| c);
            let usual: Vec<&str> =
                [name.as_str()].into_iter().chain(preset.keys.get(number).copied()).collect();
            keys.push(
                raw.require(declared, &usual, &format!("a column for the key {name:?}"), "…")
                    .map_err(|error| key_hint(error, &name))?,
            );
        }
        if let Some((unknown, _)) =
            postings.keys.iter().find(|(name, _)| !target.plan.key.iter().any(|key| key == name))
        {
            return Err(Error::UnknownColumn {
                dataset: target.plan.name.clone(),
                column: unknown.clone(),
                path: target.plan.current.source.pattern.clone(),
                hint: Some(format!("the key is {}", target.plan.key.join(", "))),
            });
        }
        let amounts = amounts(raw, target, preset)?;
        Ok(Self { keys, running: running(raw, target, &amounts)?, amounts })
    }
}

/// The columns that state balances, per amount.
fn running(
    raw: &Raw,
    target: &PostingTarget<'_>,
    amounts: &[(usize, Amounts)],
) -> Result<Vec<Option<usize>>> {
    let mut running = vec![None; amounts.len()];
    for (measure, name) in &target.plan.ledger.postings.running_balances {
        let column = measure_column(target, measure)?;
        let Some(at) = amounts.iter().position(|(moved, _)| *moved == column) else {
            return Err(Error::Refused {
                dataset: target.plan.name.clone(),
                reason: format!("a running balance of {measure:?} is declared, and no amount moves it"),
                hint: Some("declare under ledger.postings.amounts what moves it".to_owned()),
            });
        };
        running[at] = Some(raw.require(Some(name), &[], "a balance after each posting", "…")?);
    }
    Ok(running)
}

fn key_hint(error: Error, name: &str) -> Error {
    match error {
        Error::Malformed { path, at, expected, found, .. } => {
            let hint = format!("name it in the plan: ledger.postings.keys = {{ {name} = \"…\" }}");
            Error::Malformed { path, at, expected, found, hint: Some(hint) }
        }
        other => other,
    }
}

fn amounts(raw: &Raw, target: &PostingTarget<'_>, preset: &Preset) -> Result<Vec<(usize, Amounts)>> {
    let declared = &target.plan.ledger.postings.amounts;
    let mut amounts = Vec::new();
    for (measure, columns) in declared {
        amounts.push((measure_column(target, measure)?, of_declared(raw, columns)?));
    }
    if declared.is_empty() {
        amounts.push((only_measure(raw, target)?, of_usual(raw, preset)?));
    }
    Ok(amounts)
}

fn of_declared(raw: &Raw, columns: &AmountColumns) -> Result<Amounts> {
    let column = |name: &String| raw.require(Some(name), &[], "an amount", "…");
    let words = |declared: &[String], usual: &[&str]| match declared.is_empty() {
        true => usual.iter().map(|&w| w.to_owned()).collect(),
        false => declared.iter().map(|w| w.to_lowercase()).collect(),
    };
    Ok(match columns {
        AmountColumns::Signed(amount) => Amounts::Signed(column(amount)?),
        AmountColumns::Sides { debit, credit } => {
            Amounts::Sides { debit: column(debit)?, credit: column(credit)? }
        }
        AmountColumns::Flagged { amount, flag, plus, minus } => Amounts::Flagged {
            amount: column(amount)?,
            flag: column(flag)?,
            plus: words(plus, &PLUS),
            minus: words(minus, &MINUS),
        },
    })
}

fn of_usual(raw: &Raw, preset: &Preset) -> Result<Amounts> {
    let words = |usual: &[&str]| usual.iter().map(|&w| w.to_owned()).collect();
    let found = preset.amounts.iter().find_map(|usual| match usual {
        Usual::Signed(amount) => raw.column(amount).map(Amounts::Signed),
        Usual::Sides(debit, credit) => {
            Some(Amounts::Sides { debit: raw.column(debit)?, credit: raw.column(credit)? })
        }
        Usual::Flagged(amount, flag) => Some(Amounts::Flagged {
            amount: raw.column(amount)?,
            flag: raw.column(flag)?,
            plus: words(&PLUS),
            minus: words(&MINUS),
        }),
    });
    found.ok_or_else(|| Error::Malformed {
        path: raw.path().to_owned(),
        at: At::default(),
        expected: "columns with amounts".to_owned(),
        found: format!("columns {}", raw.names().join(", ")),
        hint: Some(
            "name them in the plan: ledger.postings.amounts = { balance = \"amount\" }, or { balance = { debit = \
             \"…\", credit = \"…\" } }"
                .to_owned(),
        ),
    })
}

/// The table column of a measure, of a type that amounts can be subtracted from without loss.
fn measure_column(target: &PostingTarget<'_>, measure: &str) -> Result<usize> {
    let schema = target.schema;
    let column =
        schema.column(measure).filter(|&c| !schema.is_key(c)).ok_or_else(|| Error::UnknownColumn {
            dataset: target.plan.name.clone(),
            column: measure.to_owned(),
            path: target.plan.current.source.pattern.clone(),
            hint: nearest(measure, schema.names()).map(|near| format!("did you mean {near:?}?")),
        })?;
    if is_exact(schema.data_type(column)) {
        return Ok(column);
    }
    Err(Error::Refused {
        dataset: target.plan.name.clone(),
        reason: format!(
            "{measure:?} is a column of {}, from which nothing can be subtracted exactly",
            schema.data_type(column)
        ),
        hint: Some("deliver it as decimals or whole numbers".to_owned()),
    })
}

fn is_exact(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_decimal()
}

/// The measure of a table that declares none for its postings.
fn only_measure(raw: &Raw, target: &PostingTarget<'_>) -> Result<usize> {
    let schema = target.schema;
    let stated: Vec<usize> = target.plan.measures.iter().filter_map(|name| schema.column(name)).collect();
    let numbers = (0..schema.len()).filter(|&c| !schema.is_key(c) && is_exact(schema.data_type(c)));
    let candidates = if stated.is_empty() { numbers.collect() } else { stated };
    match candidates.as_slice() {
        [one] => measure_column(target, schema.name(*one)),
        _ => Err(Error::Refused {
            dataset: target.plan.name.clone(),
            reason: format!(
                "which of its columns the postings of {} move is not known",
                raw.path().display()
            ),
            hint: Some("declare ledger.postings.amounts = { balance = \"amount\" } in the plan".to_owned()),
        }),
    }
}
