//! Decimal numbers of a condition, and where they lie among the integers of a column.

use std::cmp::Ordering;

use arrow::datatypes::i256;

/// A decimal number: an integer divided by a power of ten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ExactNumber {
    unscaled: i256,
    scale: i32,
}

impl ExactNumber {
    pub(super) fn new(unscaled: i256, scale: i32) -> Self {
        Self { unscaled, scale }
    }

    /// Plain or scientific notation, up to 76 significant digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(e) => (&text[..e], text[e + 1..].parse::<i32>().ok().filter(|e| e.abs() <= 10_000)?),
            None => (text, 0),
        };
        let negative = mantissa.starts_with('-');
        let (whole, fraction) = mantissa
            .trim_start_matches(['+', '-'])
            .split_once('.')
            .unwrap_or((mantissa.trim_start_matches(['+', '-']), ""));
        let signs = mantissa.bytes().filter(|b| matches!(b, b'+' | b'-')).count();
        let digits = format!("{whole}{fraction}");
        if signs > 1 || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let significant = digits.trim_start_matches('0');
        let magnitude = match significant.len() {
            0 => i256::ZERO,
            1..=76 => i256::from_string(significant)?,
            _ => return None,
        };
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        Some(Self { unscaled: if negative { magnitude.wrapping_neg() } else { magnitude }, scale })
    }

    /// So many times the number.
    pub(super) fn times(self, factor: i128) -> Self {
        Self { unscaled: self.unscaled.wrapping_mul(i256::from_i128(factor)), ..self }
    }

    /// Where the number lies among integers that count units of 10^-`scale`.
    pub(super) fn among(self, scale: i32) -> Threshold {
        let shift = scale - self.scale;
        let power = power_of_ten(shift.unsigned_abs());
        let beyond = if self.unscaled.is_negative() { i256::MIN } else { i256::MAX };
        match (shift >= 0, power) {
            _ if self.unscaled == i256::ZERO => Threshold { floor: i256::ZERO, exact: true },
            (true, Some(power)) => match self.unscaled.checked_mul(power) {
                Some(floor) => Threshold { floor, exact: true },
                None => Threshold { floor: beyond, exact: false },
            },
            (true, None) => Threshold { floor: beyond, exact: false },
            (false, Some(power)) => divided(self.unscaled, power),
            (false, None) => divided(self.unscaled, i256::MAX),
        }
    }
}

fn power_of_ten(exponent: u32) -> Option<i256> {
    i256::from_i128(10).checked_pow(exponent)
}

fn divided(number: i256, power: i256) -> Threshold {
    let quotient = number.wrapping_div(power);
    let exact = number.wrapping_rem(power) == i256::ZERO;
    let below = number.is_negative() && !exact;
    Threshold { floor: if below { quotient.wrapping_sub(i256::ONE) } else { quotient }, exact }
}

/// A place among integers: at `floor`, or between it and the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Threshold {
    floor: i256,
    exact: bool,
}

impl Threshold {
    /// How an integer is ordered against the place.
    pub(super) fn order(self, integer: i256) -> Ordering {
        match integer.cmp(&self.floor) {
            Ordering::Equal if !self.exact => Ordering::Less,
            ordering => ordering,
        }
    }
}
