//! [`Amount`]: an exact decimal number, for totals and differences of measures.

use std::fmt;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, i256};

/// An unscaled integer and a scale; arithmetic is exact or says that it overflowed.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    unscaled: i256,
    scale: u32,
}

impl Amount {
    /// Nothing, with no decimals.
    pub const ZERO: Self = Self { unscaled: i256::ZERO, scale: 0 };

    /// An unscaled integer with so many decimals.
    pub fn new(unscaled: i128, scale: u32) -> Self {
        Self { unscaled: i256::from_i128(unscaled), scale }
    }

    /// Reads plain decimal text, such as `-12.50`. Scientific notation is none.
    ///
    /// ```
    /// use asof::model::Amount;
    /// assert_eq!(Amount::parse("-12.50").map(|a| a.to_string()), Some("-12.50".to_owned()));
    /// assert!(Amount::parse("1e3").is_none());
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() && fraction.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let unscaled = i256::from_string(&format!("{sign}{whole}{fraction}"))?;
        Some(Self { unscaled, scale: u32::try_from(fraction.len()).ok()? })
    }

    /// The amount in a cell of an integer or decimal column, or of a text column that
    /// holds a plain decimal, each as such or as entries of a dictionary; `None` for null
    /// and everything else.
    pub fn of_cell(array: &dyn Array, row: usize) -> Option<Self> {
        if array.is_null(row) {
            return None;
        }
        let decimal = |unscaled: i256, scale: i8| match u32::try_from(scale) {
            Ok(scale) => Some(Self { unscaled, scale }),
            Err(_) => {
                let factor = i256::from_i128(10).checked_pow(u32::from(scale.unsigned_abs()))?;
                Some(Self { unscaled: unscaled.checked_mul(factor)?, scale: 0 })
            }
        };
        match array.data_type() {
            DataType::Decimal32(_, s) => {
                decimal(i256::from_i128(array.as_primitive::<Decimal32Type>().value(row).into()), *s)
            }
            DataType::Decimal64(_, s) => {
                decimal(i256::from_i128(array.as_primitive::<Decimal64Type>().value(row).into()), *s)
            }
            DataType::Decimal128(_, s) => {
                decimal(i256::from_i128(array.as_primitive::<Decimal128Type>().value(row)), *s)
            }
            DataType::Decimal256(_, s) => decimal(array.as_primitive::<Decimal256Type>().value(row), *s),
            data_type if data_type.is_integer() => Self::parse(&super::canon::cell_text(array, row)?),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Self::parse(&super::canon::cell_text(array, row)?)
            }
            DataType::Dictionary(..) => {
                let dictionary = array.as_any_dictionary_opt()?;
                Self::of_cell(dictionary.values().as_ref(), super::canon::dictionary_key(dictionary, row))
            }
            _ => None,
        }
    }

    /// The sum, with the larger scale; `None` on overflow of 256 bits.
    pub fn plus(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let unscaled = self.rescaled(scale)?.checked_add(other.rescaled(scale)?)?;
        Some(Self { unscaled, scale })
    }

    /// The difference, with the larger scale; `None` on overflow of 256 bits.
    pub fn minus(self, other: Self) -> Option<Self> {
        self.plus(Self { unscaled: other.unscaled.checked_neg()?, scale: other.scale })
    }

    /// So many times the amount; `None` on overflow of 256 bits.
    pub fn times(self, count: i64) -> Option<Self> {
        let unscaled = self.unscaled.checked_mul(i256::from_i128(i128::from(count)))?;
        Some(Self { unscaled, scale: self.scale })
    }

    /// The same amount, written with at least the decimals of the other.
    #[must_use]
    pub fn as_fine_as(self, other: Self) -> Self {
        self.plus(Self { unscaled: i256::ZERO, scale: other.scale }).unwrap_or(self)
    }

    /// The amount with its sign turned; `None` on overflow of 256 bits.
    pub fn negated(self) -> Option<Self> {
        Some(Self { unscaled: self.unscaled.checked_neg()?, scale: self.scale })
    }

    /// The unscaled number at a scale, if it can be written with it exactly and in 128 bits.
    ///
    /// ```
    /// use asof::model::Amount;
    /// assert_eq!(Amount::parse("-12.5").and_then(|a| a.unscaled(2)), Some(-1250));
    /// assert_eq!(Amount::parse("0.125").and_then(|a| a.unscaled(2)), None);
    /// ```
    pub fn unscaled(self, scale: u32) -> Option<i128> {
        let at = if self.scale <= scale {
            self.rescaled(scale)?
        } else {
            let factor = i256::from_i128(10).checked_pow(self.scale - scale)?;
            (self.unscaled.checked_rem(factor)? == i256::ZERO)
                .then(|| self.unscaled.checked_div(factor))??
        };
        at.to_i128()
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.unscaled == i256::ZERO
    }

    /// The amount without its sign; `None` on overflow of 256 bits.
    pub fn magnitude(self) -> Option<Self> {
        if self.unscaled < i256::ZERO { self.nothing().minus(self) } else { Some(self) }
    }

    /// Nothing, with as many decimals.
    pub fn nothing(self) -> Self {
        Self { unscaled: i256::ZERO, scale: self.scale }
    }

    fn rescaled(self, scale: u32) -> Option<i256> {
        self.unscaled.checked_mul(i256::from_i128(10).checked_pow(scale - self.scale)?)
    }
}

impl From<i64> for Amount {
    fn from(whole: i64) -> Self {
        Self { unscaled: i256::from_i128(whole.into()), scale: 0 }
    }
}

impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        self.minus(*other).is_some_and(Self::is_zero)
    }
}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.minus(*other).map(|difference| difference.unscaled.cmp(&i256::ZERO))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.unscaled.to_string();
        let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |d| ("-", d));
        let scale = self.scale as usize;
        let digits = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        if scale == 0 { write!(f, "{sign}{whole}") } else { write!(f, "{sign}{whole}.{fraction}") }
    }
}
