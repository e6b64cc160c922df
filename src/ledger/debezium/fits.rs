//! Whether a value goes into its column as it stands, told without converting it.
//!
//! A yes is sure. A no says nothing: whoever needs to know has to convert the value.

use arrow::datatypes::DataType;

use super::values::Encoding;

/// Whether the column surely holds a raw value that is not null.
#[inline]
pub(super) fn fits(encoding: Encoding, data_type: &DataType, raw: &str) -> bool {
    use DataType as D;
    let bytes = raw.as_bytes();
    match (encoding, data_type) {
        (Encoding::Text, D::Utf8 | D::LargeUtf8 | D::Utf8View) => is_plain_text(bytes),
        (Encoding::Decimal(_) | Encoding::DecimalByMode(_), D::Decimal128(p, s) | D::Decimal64(p, s)) => {
            is_decimal(bytes, *p, *s)
        }
        (Encoding::Json, D::Int64) => is_whole(bytes, 18),
        (Encoding::Json, D::Int32) => is_whole(bytes, 9),
        (Encoding::Json, D::Int16) => is_whole(bytes, 4),
        (Encoding::Json, D::Boolean) => matches!(raw, "true" | "false"),
        (Encoding::Days, D::Date32) => is_date(bytes),
        _ => false,
    }
}

/// A string without escapes.
fn is_plain_text(bytes: &[u8]) -> bool {
    // Without a branch per byte, so that it becomes vector code.
    bytes.first() == Some(&b'"') && !bytes.iter().fold(false, |found, b| found | (*b == b'\\'))
}

fn count_digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| b.is_ascii_digit()).count()
}

/// A literal without exponent, with no more digits on either side of the point than the type has.
fn is_decimal(bytes: &[u8], precision: u8, scale: i8) -> bool {
    let (Ok(scale), precision) = (usize::try_from(scale), usize::from(precision)) else { return false };
    let bytes = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let whole = count_digits(bytes);
    let fraction = match &bytes[whole..] {
        [] => 0,
        [b'.', digits @ ..] if count_digits(digits) == digits.len() => digits.len(),
        _ => return false,
    };
    whole > 0 && fraction <= scale && whole + scale <= precision
}

/// A literal of an integer of no more digits than so many.
fn is_whole(bytes: &[u8], most: usize) -> bool {
    let bytes = bytes.strip_prefix(b"-").unwrap_or(bytes);
    (1..=most).contains(&bytes.len()) && count_digits(bytes) == bytes.len()
}

/// `"YYYY-MM-DD"`, a day that every month has.
fn is_date(bytes: &[u8]) -> bool {
    let &[b'"', y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'"'] = bytes else { return false };
    let two = |a: u8, b: u8| (a - b'0') * 10 + (b - b'0');
    [y1, y2, y3, y4, m1, m2, d1, d2].iter().all(u8::is_ascii_digit)
        && (1..=12).contains(&two(m1, m2))
        && (1..=28).contains(&two(d1, d2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::debezium::values::Values;
    use crate::ledger::image::Writer as _;
    use crate::read::cell::CellBuilder;

    const TYPES: [DataType; 7] = [
        DataType::Utf8,
        DataType::Decimal128(5, 2),
        DataType::Decimal128(2, 2),
        DataType::Int64,
        DataType::Int16,
        DataType::Boolean,
        DataType::Date32,
    ];

    /// Whether the value is converted without loss.
    fn is_written(data_type: &DataType, raw: &str) -> bool {
        let encodings = [Encoding::of_type(data_type, None)];
        let mut values = Values {
            encodings: &encodings,
            decimals: None,
            binary: None,
            variable: &mut [false],
            assumed: &mut [None],
            assuming: false,
        };
        let mut cells = CellBuilder::new(data_type).unwrap();
        values.write(&mut cells, 0, raw).is_ok()
    }

    #[test]
    fn what_fits_is_written() {
        let raws = [
            "1",
            "-1",
            "0",
            "-0",
            "0.5",
            "0.50",
            "0.505",
            "123.45",
            "1234.5",
            "999",
            "1000",
            "99999",
            "1e2",
            "1.5e1",
            "123456789012345678",
            "1234567890123456789",
            "12345678901234567890",
            "true",
            "false",
            "\"\"",
            "\"a\"",
            "\"a\\u00e4\"",
            "\"\\ud800\"",
            "\"12\"",
            "\"2024-02-28\"",
            "\"2024-02-30\"",
            "\"2024-13-01\"",
            "\"2024-00-01\"",
            "\"0000-01-01\"",
            "\"20240228\"",
            "\"2024-02-28T00:00:00Z\"",
            "19000",
            "[1]",
            "{\"scale\":2,\"value\":\"AQ==\"}",
        ];
        let mut fitting = 0;
        for data_type in &TYPES {
            for raw in raws.iter().filter(|raw| fits(Encoding::of_type(data_type, None), data_type, raw)) {
                assert!(is_written(data_type, raw), "{data_type} {raw}");
                fitting += 1;
            }
        }
        assert!(fitting > 30, "most of what is plain is found to fit, not {fitting}");
    }
}
