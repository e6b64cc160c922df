//! Amounts of memory as people write them.

/// Bytes as written: `8GiB`, `512M`, `1.5GB`, `1073741824`.
///
/// `K`, `M`, `G`, `T` alone and with `iB` are powers of 1024, with `B` powers of 1000.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let no = || format!("expected a size such as 8GiB, 512MB or 1073741824, found {text:?}");
    let text = text.trim();
    let letters = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = (text[..letters].trim(), text[letters..].to_ascii_lowercase());
    let factor: u64 = match unit.as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(no()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 6 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(no());
    }
    let millionths = |digits: &str| format!("{digits:0<6}").parse::<u64>().map_err(|_| no());
    let parts =
        u128::from(whole.parse::<u64>().map_err(|_| no())?) * 1_000_000 + u128::from(millionths(fraction)?);
    let bytes = parts * u128::from(factor) / 1_000_000;
    u64::try_from(bytes).ok().filter(|b| *b > 0).ok_or_else(no)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_written() {
        assert_eq!(parse_size("8GiB"), Ok(8 << 30));
        assert_eq!(parse_size("512M"), Ok(512 << 20));
        assert_eq!(parse_size("1.5 GB"), Ok(1_500_000_000));
        assert_eq!(parse_size("1073741824"), Ok(1 << 30));
        for wrong in ["", "0", "GB", "-1", "1.5.5G", "8 bananas", "99999999999999TB"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
