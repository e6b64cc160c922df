//! Columns of amounts in files: decimals of one scale where all amounts fit, else their exact text.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, StringArray};
use arrow::datatypes::DataType;

use crate::error::{Error, Result};
use crate::model::Amount;

/// Digits of a decimal column.
const DIGITS: u8 = 38;

/// How a file writes amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Money {
    /// As decimals with so many digits behind the point.
    Decimal(u8),
    /// As text.
    Text,
}

impl Money {
    /// For amounts of columns of these types: text, unless sums of them surely fit.
    pub(super) fn of<'a>(types: impl Iterator<Item = &'a DataType>) -> Self {
        let (mut whole, mut scale) = (19_i16, 0_i16);
        for data_type in types {
            match data_type {
                DataType::Decimal32(p, s)
                | DataType::Decimal64(p, s)
                | DataType::Decimal128(p, s)
                | DataType::Decimal256(p, s) => {
                    whole = whole.max(i16::from(*p) - i16::from(*s));
                    scale = scale.max(i16::from(*s));
                }
                other if other.is_integer() => {}
                _ => return Self::Text,
            }
        }
        // Sums of many rows have more digits than each of them.
        match u8::try_from(scale) {
            Ok(scale) if whole + i16::from(scale) + 6 <= i16::from(DIGITS) => Self::Decimal(scale),
            _ => Self::Text,
        }
    }

    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Decimal(scale) => DataType::Decimal128(DIGITS, scale as i8),
            Self::Text => DataType::Utf8,
        }
    }
}

/// A column of amounts.
pub(super) fn amounts(money: Money, cells: &[Option<Amount>]) -> Result<ArrayRef> {
    let Money::Decimal(scale) = money else {
        return Ok(Arc::new(cells.iter().map(|c| c.map(|a| a.to_string())).collect::<StringArray>()));
    };
    let limit =
        Error::Limit { what: "digits of an amount", found: u64::from(DIGITS) + 1, limit: u64::from(DIGITS) };
    let mut values = Vec::with_capacity(cells.len());
    for cell in cells {
        let value = cell.map(|amount| amount.unscaled(u32::from(scale)));
        if value == Some(None) {
            return Err(limit);
        }
        values.push(value.flatten());
    }
    let array = Decimal128Array::from(values).with_precision_and_scale(DIGITS, scale as i8);
    Ok(Arc::new(array.map_err(|_| limit)?))
}
