//! Exact sums of a bridge: by group, by measure, by line.

use std::collections::HashMap;

use crate::model::Amount;

/// What moved an amount from the opening to the closing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BridgeLine {
    /// Rows that came into being.
    Additions,
    /// Rows that ceased to be.
    Disposals,
    /// Rows that went on with another value.
    Updates,
    /// Rows that left the group for another, with what was on them.
    ReclassOut,
    /// Rows that came from another group, with what was on them.
    ReclassIn,
    /// Values that a change states on one side only: nothing says by how much it moved them.
    OneSided,
    /// What the ledger's changes do not explain.
    Unexplained,
}

impl BridgeLine {
    /// All lines, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Additions,
        Self::Disposals,
        Self::Updates,
        Self::ReclassOut,
        Self::ReclassIn,
        Self::OneSided,
        Self::Unexplained,
    ];

    /// The word for it, as columns of outputs are called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Additions => "additions",
            Self::Disposals => "disposals",
            Self::Updates => "updates",
            Self::ReclassOut => "reclass_out",
            Self::ReclassIn => "reclass_in",
            Self::OneSided => "one_sided",
            Self::Unexplained => "unexplained",
        }
    }
}

/// A value of a group's column: `None` where nothing states it, then null or its text.
pub(super) type GroupCell = Option<Option<String>>;

/// The row of a key, as far as a bridge looks at it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// Number of its group.
    pub(super) group: u32,
    /// Per measure: the amount, `None` where nothing states it. Null is nothing.
    pub(super) cells: Box<[Option<Amount>]>,
}

/// A sum, and how many values are not in it as nothing states them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    /// `None` once it overflowed or met a value that is no exact decimal.
    pub(super) known: Option<Amount>,
    pub(super) unknown: u64,
}

impl Sum {
    pub(super) const ZERO: Self = Self { known: Some(Amount::ZERO), unknown: 0 };

    pub(super) fn add(&mut self, amount: Amount) {
        self.known = self.known.and_then(|sum| sum.plus(amount));
    }

    pub(super) fn take(&mut self, amount: Amount) {
        self.known = self.known.and_then(|sum| sum.minus(amount));
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.known = self.known.zip(other.known).and_then(|(a, b)| a.plus(b));
        self.unknown += other.unknown;
    }

    pub(super) fn is_zero(self) -> bool {
        self.known.is_some_and(Amount::is_zero) && self.unknown == 0
    }
}

/// The equation of one measure in one group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    pub(super) opening: Sum,
    pub(super) lines: [Sum; BridgeLine::ALL.len()],
    pub(super) closing: Sum,
}

impl Figures {
    pub(super) const ZERO: Self =
        Self { opening: Sum::ZERO, lines: [Sum::ZERO; BridgeLine::ALL.len()], closing: Sum::ZERO };

    /// What the opening and all movements so far come to.
    pub(super) fn running(&self) -> Sum {
        let mut sum = Sum { unknown: 0, ..self.opening };
        self.lines.iter().for_each(|line| sum.merge(Sum { unknown: 0, ..*line }));
        sum
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.opening.merge(other.opening);
        self.closing.merge(other.closing);
        self.lines.iter_mut().zip(other.lines).for_each(|(line, other)| line.merge(other));
    }
}

/// All groups of a dataset, numbered as they occur, with the equation of each measure.
///
/// The first measure is the number of rows.
#[derive(Debug)]
pub(super) struct Groups {
    numbers: HashMap<Vec<GroupCell>, u32>,
    names: Vec<Vec<GroupCell>>,
    figures: Vec<Figures>,
    measures: usize,
}

impl Groups {
    /// Of a dataset with so many measures beside its rows.
    pub(super) fn new(measures: usize) -> Self {
        Self { numbers: HashMap::new(), names: Vec::new(), figures: Vec::new(), measures: 1 + measures }
    }

    pub(super) fn number(&mut self, name: &[GroupCell]) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.names.len() as u32;
        self.numbers.insert(name.to_vec(), number);
        self.names.push(name.to_vec());
        self.figures.resize(self.names.len() * self.measures, Figures::ZERO);
        number
    }

    pub(super) fn name(&self, number: u32) -> &[GroupCell] {
        &self.names[number as usize]
    }

    /// How many groups.
    pub(super) fn len(&self) -> u32 {
        self.names.len() as u32
    }

    /// How many measures, rows among them.
    pub(super) fn measures(&self) -> usize {
        self.measures
    }

    /// The equation of a group and measure; measure 0 is rows.
    pub(super) fn at(&mut self, group: u32, measure: usize) -> &mut Figures {
        &mut self.figures[group as usize * self.measures + measure]
    }

    /// The same, to be read.
    pub(super) fn of(&self, group: u32, measure: usize) -> &Figures {
        &self.figures[group as usize * self.measures + measure]
    }

    /// The groups in the order of their values, null first, unstated last.
    pub(super) fn in_order(&self) -> Vec<u32> {
        let key = |group: &u32| {
            let cells = self.name(*group).iter();
            cells.map(|cell| (cell.is_none(), cell.clone())).collect::<Vec<_>>()
        };
        let mut order: Vec<u32> = (0..self.len()).collect();
        order.sort_by_cached_key(key);
        order
    }
}
