//! Amounts as people and programs write them, to exact numbers.
//!
//! Signs stand before (`-120.00`), behind (`120.00-`, as SAP writes them) or as brackets
//! (`(120.00)`). Thousands may be set apart by blanks, apostrophes, or whichever of point
//! and comma is not the decimal sign; each group behind the first then has three digits.

use crate::plan::DecimalSign;

/// A whole number, and how many of its digits are decimals.
pub(super) type Exact = (i128, u32);

/// More digits than any amount has; keeps sums of postings within 128 bits.
const DIGITS: usize = 30;

/// The number that a text denotes; `None` for one that denotes none under this decimal sign.
pub(super) fn parse(text: &str, sign: DecimalSign) -> Option<Exact> {
    let (negative, body) = signed(text.trim())?;
    let (decimal, group) = match sign {
        DecimalSign::Point => ('.', ','),
        DecimalSign::Comma => (',', '.'),
    };
    let (whole, fraction) = body.split_once(decimal).unwrap_or((body, ""));
    let is_digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    let digits = whole_digits(whole, group)? + fraction;
    if !is_digits(fraction) || digits.is_empty() || digits.trim_start_matches('0').len() > DIGITS {
        return None;
    }
    let unscaled: i128 = digits.parse().ok()?;
    Some((if negative { -unscaled } else { unscaled }, u32::try_from(fraction.len()).ok()?))
}

/// Takes one sign off, wherever it stands.
fn signed(text: &str) -> Option<(bool, &str)> {
    const MINUS: [char; 2] = ['-', '\u{2212}'];
    if let Some(inner) = text.strip_prefix('(') {
        return Some((true, inner.strip_suffix(')')?.trim()));
    }
    if let Some(rest) = text.strip_prefix(MINUS) {
        return Some((true, rest.trim_start()));
    }
    if let Some(rest) = text.strip_suffix(MINUS) {
        return Some((true, rest.trim_end()));
    }
    Some((false, text.strip_prefix('+').or_else(|| text.strip_suffix('+')).unwrap_or(text)))
}

/// The digits before the decimal sign, without what sets thousands apart.
fn whole_digits(whole: &str, group: char) -> Option<String> {
    let is_group = |c: char| c == group || c == '\'' || c == '\u{2019}' || c.is_whitespace();
    let mut parts = whole.split(is_group);
    let first = parts.next()?;
    let mut digits = first.to_owned();
    for part in parts {
        if part.len() != 3 || first.is_empty() || first.len() > 3 {
            return None;
        }
        digits += part;
    }
    digits.bytes().all(|b| b.is_ascii_digit()).then_some(digits)
}

/// Finds out which decimal sign some texts were written with.
#[derive(Debug, Default)]
pub(super) struct SignFinder {
    point: Option<String>,
    comma: Option<String>,
    either: Option<String>,
}

impl SignFinder {
    /// Looks at one text.
    pub(super) fn look(&mut self, text: &str) {
        let place = match (parse(text, DecimalSign::Point), parse(text, DecimalSign::Comma)) {
            (Some(a), Some(b)) if a != b => &mut self.either,
            (Some(_), None) => &mut self.point,
            (None, Some(_)) => &mut self.comma,
            _ => return,
        };
        place.get_or_insert_with(|| text.to_owned());
    }

    /// The sign; else, in words, why it cannot be told.
    pub(super) fn finish(self) -> Result<DecimalSign, String> {
        match (self.point, self.comma, self.either) {
            (Some(a), Some(b), _) => Err(format!("{a:?} has a decimal point and {b:?} a decimal comma")),
            (None, None, Some(text)) => {
                Err(format!("{text:?} can be a whole number or one with decimals, and no other amount tells"))
            }
            (None, Some(_), _) => Ok(DecimalSign::Comma),
            _ => Ok(DecimalSign::Point),
        }
    }
}

/// The number with more decimals; `None` if it does not fit 128 bits.
pub(super) fn rescaled((unscaled, scale): Exact, to: u32) -> Option<i128> {
    unscaled.checked_mul(10_i128.checked_pow(to.checked_sub(scale)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_groups() {
        let point = |t| parse(t, DecimalSign::Point);
        let comma = |t| parse(t, DecimalSign::Comma);
        assert_eq!(point("120.00-"), Some((-12000, 2)));
        assert_eq!(point("(1,234.5)"), Some((-12345, 1)));
        assert_eq!(point("\u{2212}7"), Some((-7, 0)));
        assert_eq!(point("- 7"), Some((-7, 0)));
        assert_eq!(point(".50"), Some((50, 2)));
        assert_eq!(point("1'234'567"), Some((1_234_567, 0)));
        assert_eq!(comma("1.234,50"), Some((123_450, 2)));
        assert_eq!(comma("1\u{a0}234,50"), Some((123_450, 2)));
        assert_eq!(comma("12.34,50"), None, "a group has three digits");
        for wrong in ["", "-", "1.2.3", "1,23", "--1", "1e3", "12a", "(5", "1 2345"] {
            assert_eq!(point(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_sign_is_told_by_all_texts_together() {
        let find = |texts: &[&str]| {
            let mut finder = SignFinder::default();
            texts.iter().for_each(|t| finder.look(t));
            finder.finish()
        };
        assert_eq!(find(&["1,234", "0,50"]), Ok(DecimalSign::Comma));
        assert_eq!(find(&["1,234", "1,234.5"]), Ok(DecimalSign::Point));
        assert_eq!(find(&["7", ""]), Ok(DecimalSign::Point));
        assert!(find(&["1,234", "7"]).is_err(), "a thousand or a decimal comma");
        assert!(find(&["1.5", "1,5"]).is_err(), "both");
    }
}
