//! [`Sum`]: an exact total of many cells; [`Amounts`]: a column of cells, ready to be added.

use arrow::array::{Array, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal32Type, Decimal64Type, Decimal128Type, Int8Type, Int16Type,
    Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::{Amount, canon};

/// The amounts of a column.
#[derive(Debug)]
pub struct Amounts {
    cells: Cells,
    nulls: Option<NullBuffer>,
}

#[derive(Debug)]
enum Cells {
    /// Unscaled integers of one scale.
    Fixed(Vec<i128>, u32),
    /// `None`: no exact decimal.
    Any(Vec<Option<Amount>>),
}

impl Amounts {
    /// Those of an array. Integers and decimals, and texts that are plain decimals, have one, as such
    /// or as entries of a dictionary; every other cell makes the sum it is added to impossible, but for
    /// null, which adds nothing.
    pub fn of(array: &dyn Array) -> Self {
        fn integers<T: ArrowPrimitiveType>(array: &dyn Array) -> Vec<i128>
        where
            T::Native: Into<i128>,
        {
            let values: &PrimitiveArray<T> = array.as_primitive::<T>();
            values.values().iter().map(|&value| value.into()).collect()
        }
        let scaled = |scale: i8| u32::try_from(scale).ok();
        let fixed = match array.data_type() {
            DataType::Int8 => Some((integers::<Int8Type>(array), 0)),
            DataType::Int16 => Some((integers::<Int16Type>(array), 0)),
            DataType::Int32 => Some((integers::<Int32Type>(array), 0)),
            DataType::Int64 => Some((integers::<Int64Type>(array), 0)),
            DataType::UInt8 => Some((integers::<UInt8Type>(array), 0)),
            DataType::UInt16 => Some((integers::<UInt16Type>(array), 0)),
            DataType::UInt32 => Some((integers::<UInt32Type>(array), 0)),
            DataType::UInt64 => Some((integers::<UInt64Type>(array), 0)),
            DataType::Decimal32(_, s) => scaled(*s).map(|s| (integers::<Decimal32Type>(array), s)),
            DataType::Decimal64(_, s) => scaled(*s).map(|s| (integers::<Decimal64Type>(array), s)),
            DataType::Decimal128(_, s) => scaled(*s).map(|s| (integers::<Decimal128Type>(array), s)),
            _ => None,
        };
        let cells = match fixed {
            Some((values, scale)) => Cells::Fixed(values, scale),
            None => Cells::Any(each(array)),
        };
        Self { cells, nulls: array.logical_nulls() }
    }

    /// Whether a cell is null.
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }
}

/// The amount of every cell; entries of a dictionary are read once each.
fn each(array: &dyn Array) -> Vec<Option<Amount>> {
    let Some(dictionary) = array.as_any_dictionary_opt() else {
        return (0..array.len()).map(|row| Amount::of_cell(array, row)).collect();
    };
    let entries = each(dictionary.values().as_ref());
    let entry = |row| entries.get(canon::dictionary_key(dictionary, row)).copied().flatten();
    (0..array.len()).map(|row| if array.is_null(row) { None } else { entry(row) }).collect()
}

/// An exact sum. Impossible once it overflowed 256 bits or a cell was no exact decimal.
#[derive(Debug, Clone, Copy)]
pub struct Sum {
    /// What fitted into 128 bits at this scale, on top of `rest`.
    fixed: i128,
    scale: u32,
    rest: Result<Amount, NoSum>,
}

/// Why there is no sum, the more telling reason last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum NoSum {
    Overflow,
    Inexact,
}

/// Two amounts made one, if there are both and the result fits.
fn joined(
    a: Result<Amount, NoSum>,
    b: Result<Amount, NoSum>,
    join: impl FnOnce(Amount, Amount) -> Option<Amount>,
) -> Result<Amount, NoSum> {
    match (a, b) {
        (Ok(a), Ok(b)) => join(a, b).ok_or(NoSum::Overflow),
        (Err(a), Err(b)) => Err(a.max(b)),
        (Err(none), Ok(_)) | (Ok(_), Err(none)) => Err(none),
    }
}

impl Sum {
    /// Of nothing.
    pub const ZERO: Self = Self { fixed: 0, scale: 0, rest: Ok(Amount::ZERO) };

    /// The sum, if it is possible.
    pub fn amount(self) -> Option<Amount> {
        self.exact().ok()
    }

    fn exact(self) -> Result<Amount, NoSum> {
        joined(self.rest, Ok(Amount::new(self.fixed, self.scale)), Amount::plus)
    }

    /// Adds a cell. Null adds nothing.
    pub fn add(&mut self, amounts: &Amounts, row: usize) {
        match &amounts.cells {
            _ if amounts.is_null(row) => {}
            Cells::Fixed(values, scale) => self.add_fixed(values[row], *scale),
            Cells::Any(values) => {
                self.rest = joined(self.rest, values[row].ok_or(NoSum::Inexact), Amount::plus);
            }
        }
    }

    /// Takes a cell away. Null takes nothing.
    pub fn subtract(&mut self, amounts: &Amounts, row: usize) {
        match &amounts.cells {
            _ if amounts.is_null(row) => {}
            Cells::Fixed(values, scale) if values[row] != i128::MIN => self.add_fixed(-values[row], *scale),
            Cells::Fixed(values, scale) => {
                let cell = Amount::new(values[row], *scale);
                self.rest = joined(self.rest, Ok(cell), Amount::minus);
            }
            Cells::Any(values) => {
                self.rest = joined(self.rest, values[row].ok_or(NoSum::Inexact), Amount::minus);
            }
        }
    }

    fn add_fixed(&mut self, value: i128, scale: u32) {
        let sum = if scale == self.scale { self.fixed.checked_add(value) } else { None };
        match sum {
            Some(sum) => self.fixed = sum,
            None => {
                self.rest = self.exact();
                (self.fixed, self.scale) = (value, scale);
            }
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let rest = joined(self.exact(), other.exact(), Amount::plus);
        Self { rest, ..Self::ZERO }
    }

    /// Without the other.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        let rest = joined(self.exact(), other.exact(), Amount::minus);
        Self { rest, ..Self::ZERO }
    }

    /// Exact decimal text, or why there is none.
    pub fn text(self) -> String {
        match self.exact() {
            Ok(amount) => amount.to_string(),
            Err(NoSum::Inexact) => "not summed: not an exact decimal".to_owned(),
            Err(NoSum::Overflow) => "not summed: more than 256 bits".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, DictionaryArray, Float64Array, StringArray};

    use super::*;

    fn sum(arrays: &[ArrayRef]) -> Sum {
        let mut sum = Sum::ZERO;
        for array in arrays {
            let amounts = Amounts::of(array.as_ref());
            (0..array.len()).for_each(|row| sum.add(&amounts, row));
        }
        sum
    }

    #[test]
    fn sums_are_exact_beyond_128_bits_and_across_scales() {
        let large = Decimal128Array::from(vec![Some(i128::MAX), Some(i128::MAX), None]);
        let large: ArrayRef = Arc::new(large.with_precision_and_scale(38, 2).unwrap());
        let text: ArrayRef = Arc::new(StringArray::from(vec!["0.005"]));
        assert_eq!(sum(&[large.clone(), text]).text(), "3402823669209384634633746074317682114.545");
        assert_eq!(sum(std::slice::from_ref(&large)).minus(sum(std::slice::from_ref(&large))).text(), "0.00");
        let mut sum = Sum::ZERO;
        let small: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![7, -3]));
        sum.subtract(&Amounts::of(small.as_ref()), 0);
        sum.add(&Amounts::of(small.as_ref()), 1);
        assert_eq!(sum.text(), "-10");
    }

    #[test]
    fn what_is_no_exact_decimal_is_not_summed() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.5), None]));
        assert_eq!(sum(&[floats]).text(), "not summed: not an exact decimal");
        let nulls: ArrayRef = Arc::new(Float64Array::from(vec![None::<f64>]));
        assert_eq!(sum(&[nulls]).text(), "0");
    }

    #[test]
    fn what_is_too_large_says_so() {
        let digits = "9".repeat(76);
        let large: ArrayRef = Arc::new(StringArray::from(vec![digits.as_str(); 10]));
        assert_eq!(sum(std::slice::from_ref(&large)).text(), "not summed: more than 256 bits");
        let word: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        assert_eq!(sum(&[large, word]).text(), "not summed: not an exact decimal");
    }

    #[test]
    fn entries_of_a_dictionary_are_summed_as_the_cells_that_they_stand_for() {
        let cells = [Some("1.00"), None, Some("2.50"), Some("1.00")];
        let dictionary: ArrayRef = Arc::new(cells.into_iter().collect::<DictionaryArray<Int32Type>>());
        assert_eq!(sum(std::slice::from_ref(&dictionary)).text(), "4.50");
        let mut less = Sum::ZERO;
        less.subtract(&Amounts::of(dictionary.as_ref()), 2);
        assert_eq!(less.text(), "-2.50");
        assert_eq!(Amount::of_cell(dictionary.as_ref(), 2), Amount::parse("2.5"));
        assert_eq!(Amount::of_cell(dictionary.as_ref(), 1), None);
        let words: ArrayRef = Arc::new([Some("x")].into_iter().collect::<DictionaryArray<Int32Type>>());
        assert_eq!(sum(&[words]).text(), "not summed: not an exact decimal");
    }
}
