//! Bools, integers, decimals and floats from their exact texts.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, BooleanArray, NullBufferBuilder, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{ArrowNativeTypeOp, DecimalType};

use super::{Cells, Misfit};
use crate::read::json_text;

/// A decimal number as written: sign, digits without the point, and the power
/// of ten that the last digit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written<'a> {
    pub(crate) negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i32,
}

impl<'a> Written<'a> {
    /// Reads `-12`, `+1.50`, `.5`, `5.`, `1.2E-7`; `None` for anything else.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (negative, bytes) = match bytes {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (whole, rest) = digits(bytes);
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => digits(rest),
            rest => (&rest[..0], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => exponent(rest)?,
            _ => return None,
        };
        Some(Self { negative, whole, fraction, exponent })
    }

    /// Digits after the point in plain notation, as written.
    pub(crate) fn scale(&self) -> i64 {
        self.fraction.len() as i64 - i64::from(self.exponent)
    }

    fn digits(&self) -> impl Iterator<Item = u8> + '_ {
        self.whole.iter().chain(self.fraction).map(|d| d - b'0')
    }

    /// Digits from the first to the last that is not zero, as text.
    fn significant(&self) -> Vec<u8> {
        let all: Vec<u8> = self.whole.iter().chain(self.fraction).copied().collect();
        let start = all.iter().position(|&d| d != b'0').unwrap_or(all.len());
        let end = all.iter().rposition(|&d| d != b'0').map_or(start, |last| last + 1);
        all[start..end].to_vec()
    }

    /// The number times `10^scale`, if that is a whole number that `N` holds.
    pub(crate) fn scaled<N: ArrowNativeTypeOp>(&self, scale: i64) -> Option<N> {
        let shift = scale - self.scale();
        let count = self.whole.len() + self.fraction.len();
        if count <= 18 && (0..=18 - count as i64).contains(&shift) {
            let append =
                |value: i64, digits: &[u8]| digits.iter().fold(value, |v, d| v * 10 + i64::from(d - b'0'));
            let mut value = append(append(0, self.whole), self.fraction);
            for _ in 0..shift {
                value *= 10;
            }
            return narrow(if self.negative { -value } else { value });
        }
        self.scaled_slowly(shift)
    }

    /// Any number of digits: those below the scale must be zeros.
    fn scaled_slowly<N: ArrowNativeTypeOp>(&self, shift: i64) -> Option<N> {
        let count = (self.whole.len() + self.fraction.len()) as i64;
        let kept = count.saturating_add(shift.min(0)).max(0);
        if self.digits().skip(usize::try_from(kept).ok()?).any(|d| d != 0) {
            return None;
        }
        let ten: N = narrow(10)?;
        let mut value = N::ZERO;
        for digit in self.digits().take(usize::try_from(kept).ok()?) {
            if !value.is_zero() {
                value = value.mul_checked(ten).ok()?;
            }
            let digit: N = narrow(i64::from(digit))?;
            value = if self.negative { value.sub_checked(digit) } else { value.add_checked(digit) }.ok()?;
        }
        if value.is_zero() {
            return Some(value);
        }
        for _ in 0..shift.max(0) {
            // Ends by overflow after at most 77 rounds, as the value is not zero.
            value = value.mul_checked(ten).ok()?;
        }
        Some(value)
    }
}

/// The number that a literal without exponent denotes, times `10^scale`, if it has few digits and no more than that
/// behind the point: what most numbers look like.
fn short(literal: &str, scale: usize) -> Option<i64> {
    let (negative, bytes) = match literal.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if bytes.len() > 18 || scale > 18 {
        return None;
    }
    let (mut value, mut digits, mut fraction) = (0_i64, 0, None);
    for byte in bytes {
        match byte {
            b'0'..=b'9' => {
                value = value * 10 + i64::from(byte - b'0');
                digits += 1;
            }
            b'.' if fraction.is_none() => fraction = Some(digits),
            _ => return None,
        }
    }
    let shift = scale.checked_sub(fraction.map_or(0, |whole| digits - whole))?;
    if digits == 0 || digits + shift > 18 {
        return None;
    }
    let value = value * 10_i64.pow(shift as u32);
    Some(if negative { -value } else { value })
}

fn digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(|b| !b.is_ascii_digit()).unwrap_or(bytes.len()))
}

fn exponent(bytes: &[u8]) -> Option<i32> {
    let text = std::str::from_utf8(bytes).ok()?;
    // Far beyond what any type holds; keeps every later addition in range.
    text.parse::<i32>().ok().filter(|e| e.abs() <= 1_000_000)
}

/// The value in a type that may be narrower, if it holds it.
fn narrow<N: ArrowNativeTypeOp>(value: i64) -> Option<N> {
    let magnitude = N::from_usize(usize::try_from(value.unsigned_abs()).ok()?);
    match magnitude {
        Some(m) if value < 0 => N::ZERO.sub_checked(m).ok(),
        Some(m) => Some(m),
        // The least value of a two's-complement type has no positive twin.
        None if value < 0 => {
            let almost = N::from_usize(usize::try_from(value.unsigned_abs() - 1).ok()?)?;
            N::ZERO.sub_checked(almost).ok()?.sub_checked(N::ONE).ok()
        }
        None => None,
    }
}

/// The plain text of a big-endian two's-complement integer divided by `10^scale`.
pub(crate) fn plain_text(unscaled: &[u8], scale: i32) -> String {
    let negative = unscaled.first().is_some_and(|b| b & 0x80 != 0);
    let mut digits = magnitude_digits(unscaled, negative);
    // A hostile scale may not blow the text up.
    let scale = scale.clamp(-10_000, 10_000);
    if scale < 0 && digits != "0" {
        digits.extend(std::iter::repeat_n('0', scale.unsigned_abs() as usize));
    }
    let places = usize::try_from(scale).unwrap_or(0);
    if places > 0 {
        if digits.len() <= places {
            digits.insert_str(0, &"0".repeat(places + 1 - digits.len()));
        }
        digits.insert(digits.len() - places, '.');
    }
    if negative {
        digits.insert(0, '-');
    }
    digits
}

/// Decimal digits of the magnitude, by repeated division by 10^9.
fn magnitude_digits(unscaled: &[u8], negative: bool) -> String {
    let mut bytes = unscaled.to_vec();
    if negative {
        let mut carry = true;
        for b in bytes.iter_mut().rev() {
            (*b, carry) = (!*b).overflowing_add(u8::from(carry));
        }
    }
    let mut groups: Vec<u32> = Vec::new();
    let mut start = bytes.iter().position(|&b| b != 0).unwrap_or(bytes.len());
    while start < bytes.len() {
        let mut rest = 0_u64;
        for b in &mut bytes[start..] {
            let part = rest << 8 | u64::from(*b);
            // Quotients stay below 256 because the rest stays below the divisor.
            *b = (part / 1_000_000_000) as u8;
            rest = part % 1_000_000_000;
        }
        groups.push(rest as u32);
        start += bytes[start..].iter().position(|&b| b != 0).unwrap_or(bytes.len() - start);
    }
    let mut text = groups.pop().unwrap_or(0).to_string();
    for group in groups.iter().rev() {
        text.push_str(&format!("{group:09}"));
    }
    text
}

/// Values of a primitive type with their validity.
pub(super) struct Values<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
}

impl<T: ArrowPrimitiveType> Values<T> {
    pub(super) fn new() -> Self {
        Self { values: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }

    pub(super) fn null(&mut self) {
        self.values.push(T::Native::default());
        self.nulls.append_null();
    }

    pub(super) fn push(&mut self, value: T::Native) {
        self.values.push(value);
        self.nulls.append_non_null();
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.nulls.truncate(len);
    }

    pub(super) fn finish(&mut self) -> PrimitiveArray<T> {
        let nulls: Option<NullBuffer> = self.nulls.finish();
        PrimitiveArray::new(std::mem::take(&mut self.values).into(), nulls)
    }
}

/// A JSON scalar: its unescaped text if it is a string, its literal if it is a number.
pub(super) fn scalar<'a>(
    raw: &'a str,
    expected: impl Fn() -> String,
) -> Result<json_text::Scalar<'a>, Misfit> {
    json_text::scalar(raw).ok_or_else(|| Misfit::new(expected(), raw))
}

#[derive(Default)]
pub(super) struct Bools {
    values: Vec<bool>,
    valid: Vec<bool>,
}

impl Cells for Bools {
    fn null(&mut self) {
        self.values.push(false);
        self.valid.push(false);
    }
    fn text(&mut self, text: &str) -> Result<(), Misfit> {
        let word = text.trim();
        let is = |words: [&str; 3]| words.iter().any(|w| w.eq_ignore_ascii_case(word));
        if is(["true", "t", "1"]) {
            self.bool(true)
        } else if is(["false", "f", "0"]) {
            self.bool(false)
        } else {
            Err(Misfit::text(self.expected(), text))
        }
    }
    fn json(&mut self, raw: &str) -> Result<(), Misfit> {
        match raw {
            "true" | "1" => self.bool(true),
            "false" | "0" => self.bool(false),
            _ if raw.starts_with('"') => self.text(&scalar(raw, || self.expected())?.text()),
            _ => Err(Misfit::new(self.expected(), raw)),
        }
    }
    fn bool(&mut self, value: bool) -> Result<(), Misfit> {
        self.values.push(value);
        self.valid.push(true);
        Ok(())
    }
    fn expected(&self) -> String {
        "true or false".to_owned()
    }
    fn len(&self) -> usize {
        self.values.len()
    }
    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.valid.truncate(len);
    }
    fn finish(&mut self) -> ArrayRef {
        let valid = std::mem::take(&mut self.valid);
        let nulls = valid.contains(&false).then(|| NullBuffer::from(valid));
        Arc::new(BooleanArray::new(BooleanBuffer::from(std::mem::take(&mut self.values)), nulls))
    }
}

/// Integers of any width and sign.
pub(super) struct Integers<T: ArrowPrimitiveType>(Values<T>);

impl<T: ArrowPrimitiveType> Integers<T>
where
    T::Native: ArrowNativeTypeOp,
{
    pub(super) fn new() -> Self {
        Self(Values::new())
    }

    fn literal(&mut self, text: &str) -> Option<()> {
        self.0.push(Written::parse(text.trim())?.scaled(0)?);
        Some(())
    }
}

impl<T: ArrowPrimitiveType> Cells for Integers<T>
where
    T::Native: ArrowNativeTypeOp,
{
    fn null(&mut self) {
        self.0.null();
    }
    fn text(&mut self, text: &str) -> Result<(), Misfit> {
        self.literal(text).ok_or_else(|| Misfit::text(self.expected(), text))
    }
    fn json(&mut self, raw: &str) -> Result<(), Misfit> {
        if let Some(value) = short(raw, 0).and_then(narrow) {
            self.0.push(value);
            return Ok(());
        }
        match scalar(raw, || self.expected())? {
            json_text::Scalar::Bool(b) => self.bool(b),
            s => self.literal(&s.text()).ok_or_else(|| Misfit::new(self.expected(), raw)),
        }
    }
    fn bool(&mut self, value: bool) -> Result<(), Misfit> {
        self.0.push(if value { T::Native::ONE } else { T::Native::ZERO });
        Ok(())
    }
    fn decimal(&mut self, unscaled: &[u8], scale: i32) -> Result<(), Misfit> {
        let text = plain_text(unscaled, scale);
        self.literal(&text).ok_or_else(|| Misfit::new(self.expected(), text))
    }
    fn expected(&self) -> String {
        T::DATA_TYPE.to_string().to_lowercase()
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }
    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

/// Decimals of one precision and scale.
pub(super) struct Decimals<T: DecimalType> {
    values: Values<T>,
    precision: u8,
    scale: i8,
}

impl<T: DecimalType> Decimals<T>
where
    T::Native: ArrowNativeTypeOp,
{
    pub(super) fn new(precision: u8, scale: i8) -> Self {
        Self { values: Values::new(), precision, scale }
    }

    fn literal(&mut self, text: &str) -> Option<()> {
        let value: T::Native = Written::parse(text.trim())?.scaled(i64::from(self.scale))?;
        self.checked(value)
    }

    fn checked(&mut self, value: T::Native) -> Option<()> {
        T::is_valid_decimal_precision(value, self.precision).then(|| self.values.push(value))
    }
}

impl<T: DecimalType> Cells for Decimals<T>
where
    T::Native: ArrowNativeTypeOp,
{
    fn null(&mut self) {
        self.values.null();
    }
    fn text(&mut self, text: &str) -> Result<(), Misfit> {
        self.literal(text).ok_or_else(|| Misfit::text(self.expected(), text))
    }
    fn json(&mut self, raw: &str) -> Result<(), Misfit> {
        let scale = usize::try_from(self.scale).ok();
        let value = scale.and_then(|scale| short(raw, scale)).and_then(narrow);
        if value.and_then(|value| self.checked(value)).is_some() {
            return Ok(());
        }
        let literal = match scalar(raw, || self.expected())? {
            json_text::Scalar::Bool(_) => None,
            s => self.literal(&s.text()),
        };
        literal.ok_or_else(|| Misfit::new(self.expected(), raw))
    }
    fn decimal(&mut self, unscaled: &[u8], scale: i32) -> Result<(), Misfit> {
        let is_small = scale == i32::from(self.scale) && unscaled.len() <= 8;
        if is_small && narrow(small(unscaled)).and_then(|v| self.checked(v)).is_some() {
            return Ok(());
        }
        let text = plain_text(unscaled, scale);
        self.literal(&text).ok_or_else(|| Misfit::new(self.expected(), text))
    }
    fn expected(&self) -> String {
        format!("decimal({}, {})", self.precision, self.scale)
    }
    fn len(&self) -> usize {
        self.values.len()
    }
    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
    }
    fn finish(&mut self) -> ArrayRef {
        let array = self.values.finish();
        Arc::new(array.with_data_type(T::TYPE_CONSTRUCTOR(self.precision, self.scale)))
    }
}

/// At most eight bytes of big-endian two's complement.
fn small(unscaled: &[u8]) -> i64 {
    let sign = if unscaled.first().is_some_and(|b| b & 0x80 != 0) { -1 } else { 0 };
    unscaled.iter().fold(sign, |v: i64, b| v << 8 | i64::from(*b))
}

/// What a float type adds to [`ArrowPrimitiveType`] for exact texts.
pub(super) trait Float: Copy + std::str::FromStr + std::fmt::LowerExp {
    /// Any decimal number of so many digits survives the way through the type.
    const DIGITS: usize;
    fn is_finite(self) -> bool;
    fn is_zero(self) -> bool;
}

impl Float for f32 {
    const DIGITS: usize = 6;
    fn is_finite(self) -> bool {
        Self::is_finite(self)
    }
    fn is_zero(self) -> bool {
        self == 0.0
    }
}

impl Float for f64 {
    const DIGITS: usize = 15;
    fn is_finite(self) -> bool {
        Self::is_finite(self)
    }
    fn is_zero(self) -> bool {
        self == 0.0
    }
}

/// The float that this text is a faithful print of.
///
/// Up to [`Float::DIGITS`] digits any text is one. A longer one must be what a
/// correct printer writes for the float at that many digits: so every
/// shortest-round-trip text passes, and a decimal number that a float cannot
/// hold does not.
pub(crate) fn faithful<F: Float>(text: &str) -> Option<F> {
    let value: F = text.parse().ok()?;
    let Some(written) = Written::parse(text) else { return (!value.is_finite()).then_some(value) };
    // Few digits and a moderate exponent: neither rounding nor underflow can have happened.
    if written.whole.len() + written.fraction.len() <= F::DIGITS && written.exponent.abs() <= 9 {
        return Some(value);
    }
    let digits = written.significant();
    if !value.is_finite() || value.is_zero() != digits.is_empty() {
        return None;
    }
    if digits.len() <= F::DIGITS {
        return Some(value);
    }
    let is = |printed: String| {
        let mantissa = printed.split('e').next().unwrap_or_default();
        mantissa.bytes().filter(u8::is_ascii_digit).eq(digits.iter().copied())
    };
    // The shortest print may break a tie the other way than the correctly rounded one.
    (is(format!("{value:e}")) || is(format!("{:.*e}", digits.len() - 1, value))).then_some(value)
}

/// Floats of 32 or 64 bits.
pub(super) struct Floats<T: ArrowPrimitiveType>(Values<T>);

impl<T: ArrowPrimitiveType> Floats<T>
where
    T::Native: Float,
{
    pub(super) fn new() -> Self {
        Self(Values::new())
    }

    fn literal(&mut self, text: &str) -> Option<()> {
        self.0.push(faithful(text.trim())?);
        Some(())
    }
}

impl<T: ArrowPrimitiveType> Cells for Floats<T>
where
    T::Native: Float,
{
    fn null(&mut self) {
        self.0.null();
    }
    fn text(&mut self, text: &str) -> Result<(), Misfit> {
        self.literal(text).ok_or_else(|| Misfit::text(self.expected(), text))
    }
    fn json(&mut self, raw: &str) -> Result<(), Misfit> {
        let literal = match scalar(raw, || self.expected())? {
            json_text::Scalar::Bool(_) => None,
            s => self.literal(&s.text()),
        };
        literal.ok_or_else(|| Misfit::new(self.expected(), raw))
    }
    fn decimal(&mut self, unscaled: &[u8], scale: i32) -> Result<(), Misfit> {
        let text = plain_text(unscaled, scale);
        self.literal(&text).ok_or_else(|| Misfit::new(self.expected(), text))
    }
    fn expected(&self) -> String {
        format!("{}, exactly", T::DATA_TYPE.to_string().to_lowercase())
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }
    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}
