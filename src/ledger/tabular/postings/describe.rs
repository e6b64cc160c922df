//! What a ledger of postings is, from its files alone.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};

use super::images::exact_text;
use super::layout::Amounts;
use super::{PostingLedger, PostingTarget, preset};
use crate::error::Result;
use crate::ledger::Format;
use crate::model::{DiscrepancyKind as Kind, NO_TIME, TableSchema, time};
use crate::plan::OneDataset;
use crate::read::Spool;

/// What inspecting a ledger of postings found.
#[derive(Debug, Clone, Default)]
pub struct PostingSummary {
    /// How many postings.
    pub postings: u64,
    /// The columns of its keys and amounts.
    pub columns: Vec<String>,
    /// First and last posting date.
    pub effective: (Option<i64>, Option<i64>),
    /// What there is to say, in words.
    pub remarks: Vec<String>,
}

impl PostingLedger {
    /// Describes a file of a format whose columns are known.
    ///
    /// # Errors
    /// It cannot be read, or is not of this format after all.
    pub fn describe(path: &std::path::Path, format: Format, spool: &Spool) -> Result<PostingSummary> {
        let key: Vec<String> = preset(format).keys.iter().take(1).map(|&k| k.to_owned()).collect();
        let utc = Some(chrono_tz::Tz::UTC);
        let plan = OneDataset {
            current: path.to_owned(),
            ledger: vec![path.to_owned()],
            key: key.clone(),
            // Times without offset are shown as if UTC.
            time_zone: utc,
            ..OneDataset::default()
        };
        let mut plan = plan.into_plan();
        let Some(dataset) = plan.datasets.first_mut() else { return Ok(PostingSummary::default()) };
        // Every unit has a key of its own, so that amounts of several are no error.
        dataset.ledger.postings.amounts.clear();
        let mut fields: Vec<Field> = key.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
        let units = preset(format).currency.first();
        fields.extend(units.map(|name| Field::new(*name, DataType::Utf8, true)));
        let keys = (0..fields.len()).collect();
        fields.push(Field::new("amount of a posting", DataType::Decimal128(38, 0), true));
        let schema = TableSchema::new(Arc::new(Schema::new(fields)), keys);
        let comparable = |_: usize, array: &arrow::array::ArrayRef| Arc::clone(array);
        let target = PostingTarget { plan: dataset, schema: &schema, comparable: &comparable };
        Ok(Self::open(format, &[target], spool)?.summary())
    }

    fn summary(&self) -> PostingSummary {
        let times = |time: fn(&super::Line) -> i64| {
            let all = || self.lines.iter().map(time).filter(|&t| t != NO_TIME);
            (all().min(), all().max())
        };
        let committed = times(|line| line.committed);
        let mut remarks = vec![format!("amounts: {}", self.amounts_in_words())];
        if let (Some(first), Some(last)) = committed {
            let (first, last) = (time::format_instant(first), time::format_instant(last));
            remarks.push(format!("entered: {first} to {last}"));
        }
        let transactions = self.transactions.texts.len();
        let unbalanced =
            self.findings(0).filter(|f| f.discrepancy.kind == Kind::UnbalancedTransaction).count();
        if transactions > 0 {
            remarks.push(format!("transactions: {transactions}, {unbalanced} of them unbalanced"));
        }
        remarks.push(format!("keys: {}", self.entries.first().map_or(0, super::Entries::slots)));
        for finding in self.findings(0).filter(|f| f.discrepancy.kind == Kind::UnparsableRecord).take(10) {
            let record = finding.discrepancy.ledger.as_ref().map_or(0, |place| place.record);
            remarks.push(format!("record {record}: {}", finding.discrepancy.message));
        }
        PostingSummary {
            postings: self.raw.len(),
            columns: self.columns_in_use(),
            effective: times(|line| line.effective),
            remarks,
        }
    }

    fn columns_in_use(&self) -> Vec<String> {
        let Some(target) = self.layout.targets.first() else { return Vec::new() };
        let amounts = target.amounts.iter().flat_map(|(_, a)| a.numbers());
        target.keys.iter().copied().chain(amounts).map(|column| self.raw.names()[column].clone()).collect()
    }

    fn amounts_in_words(&self) -> String {
        let Some(((_, amounts), entries)) =
            self.layout.targets.first().and_then(|t| t.amounts.first()).zip(self.entries.first())
        else {
            return "none".to_owned();
        };
        let name = |column: &usize| self.raw.names()[*column].clone();
        let sum =
            self.lines.iter().try_fold(0_i128, |sum, line| sum.checked_add(entries.amount(0, line.row)));
        let sum = sum.map_or_else(|| "too long".to_owned(), |sum| exact_text(sum, entries.scales[0]));
        match amounts {
            Amounts::Signed(amount) => format!("{}, signed; their sum is {sum}", name(amount)),
            Amounts::Sides { debit, credit } => {
                format!("{} less {}; their sum is {sum}", name(debit), name(credit))
            }
            Amounts::Flagged { amount, flag, .. } => {
                format!("{}, by the direction in {}; their sum is {sum}", name(amount), name(flag))
            }
        }
    }
}
