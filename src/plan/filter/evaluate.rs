//! Conditions tied to columns, and their truth row by row.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::Schema;

use super::literal::{Comparand, comparand};
use super::syntax::{Comparison, Expression, Literal, Operand};
use super::values::{Values, is_comparable};
use crate::model::{CellState, Images};

/// A condition over the columns of a certain table.
#[derive(Debug, Clone)]
pub struct BoundFilter {
    root: Node,
}

impl BoundFilter {
    /// The columns that it reads, rising, each once.
    pub fn columns(&self) -> Vec<usize> {
        let mut columns = Vec::new();
        self.root.columns(&mut columns);
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// For each row whether the condition holds; null where that is unknown.
    ///
    /// The batch has the columns of the schema that the filter was bound to.
    pub fn evaluate(&self, batch: &RecordBatch) -> BooleanArray {
        let column = |index: usize| batch.columns().get(index).map(|array| (array, None));
        self.root.truth(batch.num_rows(), &column).into_array()
    }

    /// The same for row images: a cell that is not known makes its conditions unknown,
    /// `is null` among them. Rows without an image are unknown.
    pub fn evaluate_images(&self, images: &Images, rows: usize) -> BooleanArray {
        let mut known: Vec<Option<BooleanBuffer>> = Vec::new();
        for column in self.columns() {
            if known.len() <= column {
                known.resize(column + 1, None);
            }
            let of_row = |row| images.state(column, row) == CellState::Known;
            known[column] = Some(BooleanBuffer::collect_bool(rows, of_row));
        }
        let column = |index: usize| images.column(index).map(|array| (array, known[index].as_ref()));
        self.root.truth(rows, &column).into_array()
    }
}

/// A column's array, and which of its cells are known if not all are.
type Column<'a> = (&'a ArrayRef, Option<&'a BooleanBuffer>);

/// Truth of each row in three values: a row in neither buffer is unknown.
struct Truth {
    yes: BooleanBuffer,
    no: BooleanBuffer,
}

impl Truth {
    fn unknown(rows: usize) -> Self {
        Self { yes: BooleanBuffer::new_unset(rows), no: BooleanBuffer::new_unset(rows) }
    }

    fn not(self) -> Self {
        Self { yes: self.no, no: self.yes }
    }

    fn and(&self, other: &Self) -> Self {
        Self { yes: &self.yes & &other.yes, no: &self.no | &other.no }
    }

    fn or(&self, other: &Self) -> Self {
        Self { yes: &self.yes | &other.yes, no: &self.no & &other.no }
    }

    fn into_array(self) -> BooleanArray {
        let valid = &self.yes | &self.no;
        BooleanArray::new(self.yes, Some(NullBuffer::new(valid)))
    }

    /// From a test of the rows whose cells are all known and not null.
    fn test(rows: usize, known: &BooleanBuffer, test: impl Fn(usize) -> bool) -> Self {
        let yes = BooleanBuffer::collect_bool(rows, |row| known.value(row) && test(row));
        let no = known & &!&yes;
        Self { yes, no }
    }
}

#[derive(Debug, Clone)]
enum Node {
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    IsNull(usize),
    Constant(usize, Comparison, Comparand),
    Columns(usize, Comparison, usize),
}

impl Node {
    fn columns(&self, into: &mut Vec<usize>) {
        match self {
            Self::And(a, b) | Self::Or(a, b) => {
                a.columns(into);
                b.columns(into);
            }
            Self::Not(a) => a.columns(into),
            Self::IsNull(column) | Self::Constant(column, _, _) => into.push(*column),
            Self::Columns(a, _, b) => into.extend([*a, *b]),
        }
    }

    fn truth<'a>(&self, rows: usize, column: &dyn Fn(usize) -> Option<Column<'a>>) -> Truth {
        match self {
            Self::And(a, b) => a.truth(rows, column).and(&b.truth(rows, column)),
            Self::Or(a, b) => a.truth(rows, column).or(&b.truth(rows, column)),
            Self::Not(a) => a.truth(rows, column).not(),
            Self::IsNull(index) => {
                let Some((array, known)) = column(*index) else { return Truth::unknown(rows) };
                let known = known.cloned().unwrap_or_else(|| BooleanBuffer::new_set(rows));
                let nulls = array.logical_nulls();
                Truth::test(rows, &known, |row| nulls.as_ref().is_some_and(|n| n.is_null(row)))
            }
            Self::Constant(index, comparison, constant) => {
                let Some(cells) = column(*index) else { return Truth::unknown(rows) };
                let order = Values::of(cells.0.as_ref()).and_then(|values| values.against(constant));
                ordered(rows, &[cells], *comparison, order)
            }
            Self::Columns(left, comparison, right) => {
                let (Some(a), Some(b)) = (column(*left), column(*right)) else { return Truth::unknown(rows) };
                let values = Values::of(a.0.as_ref()).zip(Values::of(b.0.as_ref()));
                let order = values.and_then(|(a, b)| a.against_column(b));
                ordered(rows, &[a, b], *comparison, order)
            }
        }
    }
}

/// Truth of a comparison. Binding has checked the types; arrays of other types than
/// those of the schema leave it unknown.
fn ordered(
    rows: usize,
    columns: &[Column<'_>],
    comparison: Comparison,
    order: Option<Box<dyn Fn(usize) -> Ordering + '_>>,
) -> Truth {
    let Some(order) = order else { return Truth::unknown(rows) };
    let mut valid = BooleanBuffer::new_set(rows);
    for (array, known) in columns {
        if let Some(nulls) = array.logical_nulls() {
            valid = &valid & nulls.inner();
        }
        if let Some(known) = known {
            valid = &valid & *known;
        }
    }
    Truth::test(rows, &valid, |row| comparison.holds(order(row)))
}

/// Why a condition cannot be tied to a table.
pub(super) enum Reason {
    NoColumn(String),
    Mismatch { message: String, hint: String },
}

/// Ties a condition to the columns of a schema.
pub(super) fn bind(expression: &Expression, schema: &Schema) -> Result<BoundFilter, Reason> {
    Ok(BoundFilter { root: node(expression, schema)? })
}

fn node(expression: &Expression, schema: &Schema) -> Result<Node, Reason> {
    let boxed = |e: &Expression| node(e, schema).map(Box::new);
    Ok(match expression {
        Expression::And(a, b) => Node::And(boxed(a)?, boxed(b)?),
        Expression::Or(a, b) => Node::Or(boxed(a)?, boxed(b)?),
        Expression::Not(a) => Node::Not(boxed(a)?),
        Expression::IsNull(column) => Node::IsNull(index(column, schema)?),
        Expression::Compare(column, comparison, Operand::Literal(literal)) => {
            constant(column, *comparison, literal, schema)?
        }
        Expression::Compare(left, comparison, Operand::Column(right)) => {
            columns(left, *comparison, right, schema)?
        }
        Expression::In(column, literals) => list(column, literals, schema)?,
    })
}

fn index(column: &str, schema: &Schema) -> Result<usize, Reason> {
    schema.index_of(column).map_err(|_| Reason::NoColumn(column.to_owned()))
}

fn constant(
    column: &str,
    comparison: Comparison,
    literal: &Literal,
    schema: &Schema,
) -> Result<Node, Reason> {
    let index = index(column, schema)?;
    let data_type = schema.field(index).data_type();
    let constant = comparand(literal, data_type).map_err(|expected| Reason::Mismatch {
        message: format!("column {column:?} ({data_type}) expects {expected}, found {}", shown(literal)),
        hint: format!("compare {column} with {expected}"),
    })?;
    Ok(Node::Constant(index, comparison, constant))
}

fn list(column: &str, literals: &[Literal], schema: &Schema) -> Result<Node, Reason> {
    let mut nodes = Vec::with_capacity(literals.len());
    for literal in literals {
        nodes.push(constant(column, Comparison::Equal, literal, schema)?);
    }
    // A list has at least one element: the parser asks for it. Halving keeps the tree flat.
    while nodes.len() > 1 {
        let mut halves = Vec::with_capacity(nodes.len().div_ceil(2));
        let mut pairs = nodes.into_iter();
        while let Some(a) = pairs.next() {
            halves.push(match pairs.next() {
                Some(b) => Node::Or(Box::new(a), Box::new(b)),
                None => a,
            });
        }
        nodes = halves;
    }
    nodes.pop().ok_or_else(|| Reason::NoColumn(column.to_owned()))
}

fn columns(left: &str, comparison: Comparison, right: &str, schema: &Schema) -> Result<Node, Reason> {
    let (a, b) = (index(left, schema)?, index(right, schema)?);
    let (a_type, b_type) = (schema.field(a).data_type(), schema.field(b).data_type());
    if a_type != b_type || !is_comparable(a_type) {
        return Err(Reason::Mismatch {
            message: format!("columns {left:?} ({a_type}) and {right:?} ({b_type}) cannot be compared"),
            hint: "compare columns of one type, that has an order; put text in single quotes".to_owned(),
        });
    }
    Ok(Node::Columns(a, comparison, b))
}

fn shown(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => format!("'{text}'"),
        Literal::Number(number) => number.clone(),
        Literal::Boolean(value) => value.to_string(),
    }
}
