//! The cells of a column as one of five comparable kinds.

use std::cmp::Ordering;

use arrow::array::{Array, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type, i256,
};

use super::literal::Comparand;

type Cell<'a, T> = Box<dyn Fn(usize) -> T + 'a>;

/// Access to the values of an array by row. What stands under a null is arbitrary.
pub(super) enum Values<'a> {
    /// Counts of the column's own unit: integers, unscaled decimals, days, ticks.
    Integers(Cell<'a, i256>),
    Floats(Cell<'a, f64>),
    Texts(Cell<'a, &'a str>),
    Bytes(Cell<'a, &'a [u8]>),
    Booleans(Cell<'a, bool>),
}

/// Whether [`Values::of`] knows the type.
pub(super) fn is_comparable(data_type: &DataType) -> bool {
    Values::of(arrow::array::new_empty_array(data_type).as_ref()).is_some()
}

impl<'a> Values<'a> {
    /// The values of an array, or `None` if its type has no order here.
    pub(super) fn of(array: &'a dyn Array) -> Option<Self> {
        let values = match array.data_type() {
            DataType::Dictionary(_, _) => return Self::of_dictionary(array),
            DataType::Float16 => float::<Float16Type>(array, f64::from),
            DataType::Float32 => float::<Float32Type>(array, f64::from),
            DataType::Float64 => float::<Float64Type>(array, |v| v),
            DataType::Utf8 => Self::Texts(Box::new(|row| array.as_string::<i32>().value(row))),
            DataType::LargeUtf8 => Self::Texts(Box::new(|row| array.as_string::<i64>().value(row))),
            DataType::Utf8View => Self::Texts(Box::new(|row| array.as_string_view().value(row))),
            DataType::Binary => Self::Bytes(Box::new(|row| array.as_binary::<i32>().value(row))),
            DataType::LargeBinary => Self::Bytes(Box::new(|row| array.as_binary::<i64>().value(row))),
            DataType::BinaryView => Self::Bytes(Box::new(|row| array.as_binary_view().value(row))),
            DataType::FixedSizeBinary(_) => {
                Self::Bytes(Box::new(|row| array.as_fixed_size_binary().value(row)))
            }
            DataType::Boolean => Self::Booleans(Box::new(|row| array.as_boolean().value(row))),
            _ => Self::Integers(integers(array)?),
        };
        Some(values)
    }

    fn of_dictionary(array: &'a dyn Array) -> Option<Self> {
        let dictionary = array.as_any_dictionary_opt()?;
        let values = Self::of(dictionary.values().as_ref())?;
        // A dictionary without values has null keys only, and no cell of it is read.
        let keys = if dictionary.values().is_empty() { Vec::new() } else { dictionary.normalized_keys() };
        Some(match values {
            Self::Integers(cell) => Self::Integers(Box::new(move |row| cell(keys[row]))),
            Self::Floats(cell) => Self::Floats(Box::new(move |row| cell(keys[row]))),
            Self::Texts(cell) => Self::Texts(Box::new(move |row| cell(keys[row]))),
            Self::Bytes(cell) => Self::Bytes(Box::new(move |row| cell(keys[row]))),
            Self::Booleans(cell) => Self::Booleans(Box::new(move |row| cell(keys[row]))),
        })
    }

    /// How each cell is ordered against a constant. `None` if the kinds differ.
    pub(super) fn against(self, constant: &'a Comparand) -> Option<Cell<'a, Ordering>> {
        Some(match (self, constant) {
            (Self::Integers(cell), Comparand::Integer(threshold)) => {
                Box::new(move |row| threshold.order(cell(row)))
            }
            (Self::Floats(cell), Comparand::Float(float)) => Box::new(move |row| order(cell(row), *float)),
            (Self::Texts(cell), Comparand::Text(text)) => Box::new(move |row| cell(row).cmp(text)),
            (Self::Bytes(cell), Comparand::Bytes(bytes)) => Box::new(move |row| cell(row).cmp(bytes)),
            (Self::Booleans(cell), Comparand::Boolean(value)) => Box::new(move |row| cell(row).cmp(value)),
            _ => return None,
        })
    }

    /// How each cell is ordered against the cell of another column of the same type.
    pub(super) fn against_column(self, other: Self) -> Option<Cell<'a, Ordering>> {
        Some(match (self, other) {
            (Self::Integers(a), Self::Integers(b)) => Box::new(move |row| a(row).cmp(&b(row))),
            (Self::Floats(a), Self::Floats(b)) => Box::new(move |row| order(a(row), b(row))),
            (Self::Texts(a), Self::Texts(b)) => Box::new(move |row| a(row).cmp(b(row))),
            (Self::Bytes(a), Self::Bytes(b)) => Box::new(move |row| a(row).cmp(b(row))),
            (Self::Booleans(a), Self::Booleans(b)) => Box::new(move |row| a(row).cmp(&b(row))),
            _ => return None,
        })
    }
}

/// Numbers by value, so that both zeros are equal; every NaN above all of them.
fn order(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

fn float<'a, T: ArrowPrimitiveType>(array: &'a dyn Array, widen: fn(T::Native) -> f64) -> Values<'a> {
    let array: &PrimitiveArray<T> = array.as_primitive();
    Values::Floats(Box::new(move |row| widen(array.value(row))))
}

fn integers<'a>(array: &'a dyn Array) -> Option<Cell<'a, i256>> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    Some(match array.data_type() {
        DataType::Int8 => integer::<Int8Type>(array),
        DataType::Int16 => integer::<Int16Type>(array),
        DataType::Int32 => integer::<Int32Type>(array),
        DataType::Int64 => integer::<Int64Type>(array),
        DataType::UInt8 => integer::<UInt8Type>(array),
        DataType::UInt16 => integer::<UInt16Type>(array),
        DataType::UInt32 => integer::<UInt32Type>(array),
        DataType::UInt64 => integer::<UInt64Type>(array),
        DataType::Decimal32(_, _) => integer::<Decimal32Type>(array),
        DataType::Decimal64(_, _) => integer::<Decimal64Type>(array),
        DataType::Decimal128(_, _) => integer::<Decimal128Type>(array),
        DataType::Decimal256(_, _) => {
            let array: &PrimitiveArray<Decimal256Type> = array.as_primitive();
            Box::new(move |row| array.value(row))
        }
        DataType::Date32 => integer::<Date32Type>(array),
        DataType::Date64 => integer::<Date64Type>(array),
        DataType::Time32(Second) => integer::<Time32SecondType>(array),
        DataType::Time32(Millisecond) => integer::<Time32MillisecondType>(array),
        DataType::Time64(Microsecond) => integer::<Time64MicrosecondType>(array),
        DataType::Time64(Nanosecond) => integer::<Time64NanosecondType>(array),
        DataType::Timestamp(Second, _) => integer::<TimestampSecondType>(array),
        DataType::Timestamp(Millisecond, _) => integer::<TimestampMillisecondType>(array),
        DataType::Timestamp(Microsecond, _) => integer::<TimestampMicrosecondType>(array),
        DataType::Timestamp(Nanosecond, _) => integer::<TimestampNanosecondType>(array),
        _ => return None,
    })
}

fn integer<'a, T: ArrowPrimitiveType<Native: Into<i128>>>(array: &'a dyn Array) -> Cell<'a, i256> {
    let array: &PrimitiveArray<T> = array.as_primitive();
    Box::new(move |row| i256::from_i128(array.value(row).into()))
}
