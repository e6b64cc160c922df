//! The texts that `mysqlbinlog` prints in quotes.

use std::borrow::Cow;

/// The bytes that a quoted text denotes. `all`: backslashes and quotes are escaped too (`\x5c`, `\x27`).
pub(super) fn unescape(text: &[u8], all: bool) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match escape(&text[at..]).filter(|b| *b < 0x20 || all) {
            Some(byte) => {
                bytes.push(byte);
                at += 4;
            }
            None => {
                bytes.push(text[at]);
                at += 1;
            }
        }
    }
    Cow::Owned(bytes)
}

/// The byte of `\x0a` at the beginning of a text.
fn escape(text: &[u8]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).filter(|_| !b.is_ascii_uppercase());
    match text {
        [b'\\', b'x', high, low, ..] => Some((digit(*high)? << 4 | digit(*low)?) as u8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(unescape(br"line1\x0aline2", false).as_ref(), b"line1\nline2");
        assert_eq!(unescape(br"a\x5cb\x27", true).as_ref(), b"a\\b'");
        assert_eq!(unescape(br"a\x5cb\N\x0A\", false).as_ref(), br"a\x5cb\N\x0A\");
    }
}
