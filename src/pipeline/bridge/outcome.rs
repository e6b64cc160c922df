//! What a bridge returns, and the table of its figures.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};

use super::figures::{BridgeLine, Figures, Groups, Sum};
use super::list::group_text;
use super::money::{Money, amounts};
use crate::error::{Error, Result};
use crate::export::RowsFile;
use crate::model::Amount;
use crate::pipeline::request::{BridgeRequest, BridgeSpan};
use crate::pipeline::run::Run;

/// Opening + movements = closing, of all datasets.
#[derive(Debug, Clone, PartialEq)]
pub struct BridgeOutcome {
    /// The opening, in words.
    pub from: String,
    /// The closing, in words.
    pub to: String,
    /// Per dataset, in the order of the plan.
    pub datasets: Vec<BridgedDataset>,
    /// What the run assumed, in words.
    pub assumptions: Vec<String>,
}

impl BridgeOutcome {
    /// Whether the ledger's changes explain every amount.
    pub fn is_explained(&self) -> bool {
        let measures = self.datasets.iter().flat_map(|dataset| &dataset.measures);
        let groups = measures.flat_map(|measure| &measure.groups);
        groups.into_iter().all(|g| g.figures.line(BridgeLine::Unexplained).is_some_and(Amount::is_zero))
    }
}

/// The bridge of one dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct BridgedDataset {
    /// Its name.
    pub name: String,
    /// The columns whose values are the groups.
    pub by: Vec<String>,
    /// Changes that moved it.
    pub changes: u64,
    /// First the number of rows, then the measures in the order of the plan.
    pub measures: Vec<BridgedMeasure>,
}

/// The bridge of one measure.
#[derive(Debug, Clone, PartialEq)]
pub struct BridgedMeasure {
    /// The column, or `rows` for the number of rows.
    pub name: String,
    /// Per group that occurs at an end or in between, in the order of their values.
    pub groups: Vec<BridgeGroup>,
    /// All groups together.
    pub total: BridgeFigures,
}

/// The bridge of one measure in one group.
#[derive(Debug, Clone, PartialEq)]
pub struct BridgeGroup {
    /// Per column its value: `None` where nothing states it, then null or its exact text.
    pub values: Vec<Option<Option<String>>>,
    /// The figures.
    pub figures: BridgeFigures,
}

/// The figures of one equation. An amount is `None` where it was not summed: the column is no exact decimal.
#[derive(Debug, Clone, PartialEq)]
pub struct BridgeFigures {
    /// What stood at the opening.
    pub opening: Option<Amount>,
    /// Values of the opening that nothing states; they are in no amount.
    pub opening_unknown: u64,
    /// What moved it, in the order of [`BridgeLine::ALL`].
    pub lines: Vec<Option<Amount>>,
    /// What stands at the closing.
    pub closing: Option<Amount>,
    /// Values of the closing that nothing states.
    pub closing_unknown: u64,
    /// Values that changes came with or took away, and that nothing states.
    pub moved_unknown: u64,
}

impl BridgeFigures {
    fn of(figures: &Figures) -> Self {
        Self {
            opening: figures.opening.known,
            opening_unknown: figures.opening.unknown,
            lines: figures.lines.iter().map(|line| line.known).collect(),
            closing: figures.closing.known,
            closing_unknown: figures.closing.unknown,
            moved_unknown: figures.lines.iter().map(|line| line.unknown).sum(),
        }
    }

    /// One line of it.
    pub fn line(&self, line: BridgeLine) -> Option<Amount> {
        self.lines[line as usize]
    }

    /// Opening and all lines together, which is the closing; `None` if it was not summed.
    pub fn foot(&self) -> Option<Amount> {
        self.lines.iter().try_fold(self.opening?, |sum, line| sum.plus((*line)?))
    }
}

pub(super) fn begin(request: &BridgeRequest, runs: &[Run]) -> BridgeOutcome {
    let (from, to) = match &request.span {
        BridgeSpan::Moments { from, to } => (from.resolved.clone(), to.resolved.clone()),
        BridgeSpan::Known { as_of, from, to } => {
            let at = |known: &str| format!("{}, as known {known}", as_of.resolved);
            (at(&from.resolved), at(&to.resolved))
        }
    };
    let mut assumptions = Vec::new();
    for said in runs.iter().flat_map(|run| &run.windows).flat_map(|window| &window.assumptions) {
        if !assumptions.contains(said) {
            assumptions.push(said.clone());
        }
    }
    BridgeOutcome { from, to, datasets: Vec::new(), assumptions }
}

pub(super) fn dataset(
    name: &str,
    by: &[String],
    measures: &[String],
    groups: &Groups,
    changes: u64,
) -> BridgedDataset {
    let order = groups.in_order();
    let measure = |number: usize| {
        let mut total = Figures::ZERO;
        let mut shown = Vec::new();
        for &group in &order {
            let figures = groups.of(group, number);
            total.merge(figures);
            // A group that only jumps came through has nothing to show.
            if !figures.is_nothing() {
                let figures = BridgeFigures::of(figures);
                shown.push(BridgeGroup { values: groups.name(group).to_vec(), figures });
            }
        }
        let name = number.checked_sub(1).map_or_else(|| "rows".to_owned(), |m| measures[m].clone());
        let mut measure = BridgedMeasure { name, groups: shown, total: BridgeFigures::of(&total) };
        measure.set_scale();
        measure
    };
    BridgedDataset {
        name: name.to_owned(),
        by: by.to_vec(),
        changes,
        measures: (0..groups.measures()).map(measure).collect(),
    }
}

impl BridgedMeasure {
    /// Gives all amounts the same number of decimals.
    fn set_scale(&mut self) {
        let figures = || self.groups.iter().map(|g| &g.figures).chain([&self.total]);
        let amounts =
            figures().flat_map(|f| [f.opening, f.closing].into_iter().chain(f.lines.iter().copied()));
        let finest = amounts.flatten().fold(Amount::ZERO, Amount::as_fine_as);
        for figures in self.groups.iter_mut().map(|g| &mut g.figures).chain([&mut self.total]) {
            let ends = [&mut figures.opening, &mut figures.closing];
            let amounts = ends.into_iter().chain(&mut figures.lines).flatten();
            amounts.for_each(|amount| *amount = amount.as_fine_as(finest));
        }
    }
}

impl Figures {
    fn is_nothing(&self) -> bool {
        [self.opening, self.closing].iter().chain(&self.lines).all(|sum: &Sum| sum.is_zero())
    }
}

/// Writes all figures as a table: a row per dataset, measure and group, and one for all groups together.
pub(super) fn write(outcome: &BridgeOutcome, money: Money, path: &Path) -> Result<()> {
    let mut rows: Vec<([&str; 3], String, &BridgeFigures)> = Vec::new();
    for dataset in &outcome.datasets {
        for measure in &dataset.measures {
            for group in measure.groups.iter().filter(|_| !dataset.by.is_empty()) {
                let text = group_text(&dataset.by, &group.values);
                rows.push(([&dataset.name, &measure.name, "group"], text, &group.figures));
            }
            rows.push(([&dataset.name, &measure.name, "total"], String::new(), &measure.total));
        }
    }
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for (number, name) in ["dataset", "measure", "level"].into_iter().enumerate() {
        let texts: StringArray = rows.iter().map(|row| Some(row.0[number])).collect();
        columns.push((name.to_owned(), Arc::new(texts)));
    }
    let texts: StringArray = rows.iter().map(|row| Some(row.1.as_str()).filter(|t| !t.is_empty())).collect();
    columns.push(("group".to_owned(), Arc::new(texts)));
    let mut amount = |name: &str, of: &dyn Fn(&BridgeFigures) -> Option<Amount>| -> Result<()> {
        let cells: Vec<Option<Amount>> = rows.iter().map(|row| of(row.2)).collect();
        columns.push((name.to_owned(), amounts(money, &cells)?));
        Ok(())
    };
    amount("opening", &|figures| figures.opening)?;
    for line in BridgeLine::ALL {
        amount(line.name(), &|figures| figures.line(line))?;
    }
    amount("closing", &|figures| figures.closing)?;
    let mut count = |name: &str, of: &dyn Fn(&BridgeFigures) -> u64| {
        let cells: UInt64Array = rows.iter().map(|row| Some(of(row.2))).collect();
        columns.push((name.to_owned(), Arc::new(cells)));
    };
    count("opening_unknown", &|figures| figures.opening_unknown);
    count("moved_unknown", &|figures| figures.moved_unknown);
    count("closing_unknown", &|figures| figures.closing_unknown);
    let fields: Vec<Field> =
        columns.iter().map(|(name, a)| Field::new(name, a.data_type().clone(), true)).collect();
    debug_assert!(fields.iter().all(|f| *f.data_type() != DataType::Null), "every column has a type");
    let schema = Arc::new(Schema::new(fields));
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).map_err(Error::arrow(path))?;
    let mut file = RowsFile::create(path, schema)?;
    file.write(&batch)?;
    file.finish()
}
