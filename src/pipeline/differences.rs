//! Differences between what the ledger last knew and the current state, explained: per
//! measure, one equation whose terms are causes.
//!
//! ```text
//!   current total − ledger's last known total = Σ effects by cause + unexplained
//! ```
//!
//! The whole difference is added up row by row, over every row whose hash disagrees and before
//! findings are formed; the causes are added up from the findings, as they are written into the
//! file. What no finding carries is unexplained, and rows whose effect is not known are counted.

use std::collections::BTreeMap;

use super::findings::Found;
use super::outcome::DatasetOutcome;
use crate::model::{Amount, Cause, CauseShare, Discrepancy, MeasureDifference};
use crate::plan::Plan;

/// Findings of one measure that are kept, the largest amounts first.
const LARGEST: usize = 50;

/// Amounts from which on findings are marked, by dataset and measure.
#[derive(Debug, Clone, Default)]
pub(super) struct Materiality(BTreeMap<(String, String), Amount>);

impl Materiality {
    pub(super) fn new(plan: &Plan) -> Self {
        let declared = plan.datasets.iter().flat_map(|d| {
            let named = d.materiality.iter();
            named.map(|(measure, text)| ((d.name.clone(), measure.clone()), text))
        });
        Self(declared.filter_map(|(place, text)| Some((place, Amount::parse(text)?))).collect())
    }

    /// Whether an amount of a finding reaches its measure's; `None` if there is nothing to compare.
    pub(super) fn judge(&self, found: &Discrepancy) -> Option<bool> {
        let reaches = |(measure, text): &(String, String)| {
            let limit = self.0.get(&(found.dataset.clone(), measure.clone()))?;
            // What overflows or is not known may be any amount.
            let Some(amount) = Amount::parse(text).and_then(Amount::magnitude) else { return Some(true) };
            Some(amount >= *limit)
        };
        let judged: Vec<bool> = found.amounts.iter().chain(&found.effects).filter_map(reaches).collect();
        (!judged.is_empty()).then(|| judged.contains(&true))
    }
}

/// What the findings of one measure add up to.
#[derive(Debug, Clone, Default)]
struct Measure {
    causes: BTreeMap<Cause, Share>,
    largest: Vec<Ranked>,
}

#[derive(Debug, Clone, Copy)]
struct Share {
    /// `None` once it overflowed.
    amount: Option<Amount>,
    findings: u64,
    material: u64,
    unknown: u64,
}

impl Share {
    const NONE: Self = Self { amount: Some(Amount::ZERO), findings: 0, material: 0, unknown: 0 };

    fn plus(self, other: Self) -> Self {
        Self {
            amount: self.amount.zip(other.amount).and_then(|(a, b)| a.plus(b)),
            findings: self.findings + other.findings,
            material: self.material + other.material,
            unknown: self.unknown + other.unknown,
        }
    }
}

#[derive(Debug, Clone)]
struct Ranked {
    amount: Amount,
    found: Found,
}

/// Adds up findings by dataset, measure and cause.
#[derive(Debug, Clone, Default)]
pub(super) struct Explained {
    measures: BTreeMap<(String, String), Measure>,
    /// Per dataset and measure, the difference of all rows; `None` once it overflowed.
    whole: BTreeMap<(String, String), Option<Amount>>,
}

impl Explained {
    /// Adds a finding.
    pub(super) fn add(&mut self, found: &Found) {
        let discrepancy = &found.discrepancy;
        for (measure, text) in &discrepancy.effects {
            let amount = Amount::parse(text);
            let share = Share {
                amount: Some(amount.unwrap_or(Amount::ZERO)),
                findings: 1,
                material: u64::from(discrepancy.material == Some(true)),
                unknown: if amount.is_none() { discrepancy.count } else { 0 },
            };
            let entry = self.of(discrepancy, measure).causes.entry(discrepancy.cause).or_insert(Share::NONE);
            *entry = entry.plus(share);
        }
        for (measure, text) in &discrepancy.amounts {
            if let Some(amount) = Amount::parse(text).and_then(Amount::magnitude) {
                self.of(discrepancy, measure).rank(amount, found);
            }
        }
    }

    /// Adds the effect of rows to the whole difference of a dataset.
    pub(super) fn add_whole(&mut self, dataset: &str, effects: &[(String, String)]) {
        for (measure, text) in effects {
            let place = (dataset.to_owned(), measure.clone());
            let whole = self.whole.entry(place).or_insert(Some(Amount::ZERO));
            // What is not known is counted with its finding.
            *whole = whole.and_then(|sum| sum.plus(Amount::parse(text).unwrap_or(Amount::ZERO)));
        }
    }

    fn of(&mut self, found: &Discrepancy, measure: &str) -> &mut Measure {
        self.measures.entry((found.dataset.clone(), measure.to_owned())).or_default()
    }

    /// Takes in what others found.
    pub(super) fn merge(&mut self, other: &Self) {
        for (place, measure) in &other.measures {
            let entry = self.measures.entry(place.clone()).or_default();
            for (cause, share) in &measure.causes {
                let sum = entry.causes.entry(*cause).or_insert(Share::NONE);
                *sum = sum.plus(*share);
            }
            measure.largest.iter().for_each(|ranked| entry.rank(ranked.amount, &ranked.found));
        }
        for (place, amount) in &other.whole {
            let whole = self.whole.entry(place.clone()).or_insert(Some(Amount::ZERO));
            *whole = whole.zip(*amount).and_then(|(a, b)| a.plus(b));
        }
    }

    /// The equation of each measure. `written` has the current totals, where they are known.
    pub(super) fn equations(&self, plan: &Plan, written: &[DatasetOutcome]) -> Vec<MeasureDifference> {
        let mut equations = Vec::new();
        for dataset in &plan.datasets {
            for measure in &dataset.measures {
                let outcome = written.iter().find(|d| d.name == dataset.name);
                let total = outcome.and_then(|d| d.measures.iter().find(|m| m.name == *measure));
                let current = total.and_then(|t| Amount::parse(&t.current));
                let stated = dataset.materiality.iter().find(|(name, _)| name == measure);
                let materiality = stated.map(|(_, text)| text.clone());
                let place = (dataset.name.clone(), measure.clone());
                equations.push(self.equation(place, current, materiality));
            }
        }
        equations
    }

    fn equation(
        &self,
        place: (String, String),
        current: Option<Amount>,
        materiality: Option<String>,
    ) -> MeasureDifference {
        let none = Measure::default();
        let measure = self.measures.get(&place).unwrap_or(&none);
        let scale = current.map_or(Amount::ZERO, Amount::nothing);
        let whole = self.whole.get(&place).copied().unwrap_or(Some(Amount::ZERO)).and_then(|w| w.plus(scale));
        let all = measure.causes.values().fold(Share::NONE, |sum, share| sum.plus(*share));
        let mut causes: Vec<(Cause, Share)> = measure.causes.iter().map(|(c, s)| (*c, *s)).collect();
        let size = |share: &Share| share.amount.and_then(Amount::magnitude);
        causes.sort_by(|a, b| size(&b.1).partial_cmp(&size(&a.1)).unwrap_or(std::cmp::Ordering::Equal));
        let text = |amount: Option<Amount>| amount.map_or_else(|| "overflow".to_owned(), |a| a.to_string());
        let (dataset, name) = place;
        MeasureDifference {
            dataset,
            measure: name,
            ledger: current.zip(whole).and_then(|(c, d)| c.minus(d)).map(|a| a.to_string()),
            current: current.map(|c| c.to_string()),
            difference: text(whole),
            causes: causes
                .into_iter()
                .map(|(cause, share)| CauseShare {
                    cause,
                    amount: text(share.amount.and_then(|a| a.plus(scale))),
                    findings: share.findings,
                    material: share.material,
                    unknown: share.unknown,
                })
                .collect(),
            unexplained: text(whole.zip(all.amount).and_then(|(w, a)| w.minus(a))),
            unknown: all.unknown,
            materiality,
            largest: measure.largest.iter().map(|ranked| ranked.found.discrepancy.clone()).collect(),
        }
    }
}

impl Measure {
    /// Keeps a finding if its amount is among the largest; of equals, the earlier.
    fn rank(&mut self, amount: Amount, found: &Found) {
        let place = self.largest.partition_point(|r| r.amount >= amount);
        if place < LARGEST {
            self.largest.insert(place, Ranked { amount, found: found.clone() });
            self.largest.truncate(LARGEST);
        }
    }
}
