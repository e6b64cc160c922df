//! Text of an input file as UTF-8: byte order marks are taken off, UTF-16 with
//! one is decoded. Any other encoding shows as a byte that is not UTF-8, and
//! whoever cuts the text into records says where.

use std::io::{self, Cursor, Read};
use std::path::Path;

use super::input::read_error;
use crate::error::{At, Error, Result};

/// The remedy for text in another encoding.
pub(crate) const ENCODING_HINT: &str =
    "convert the file to UTF-8, for instance: iconv -f WINDOWS-1252 -t UTF-8 FILE";

/// The text behind these bytes as UTF-8 without byte order mark.
///
/// # Errors
/// The bytes cannot be read, or their first ones are those of no supported encoding.
pub(crate) fn utf8(mut reader: Box<dyn Read + Send>, path: &Path) -> Result<Box<dyn Read + Send>> {
    let mut head = Vec::with_capacity(4);
    reader.by_ref().take(4).read_to_end(&mut head).map_err(|e| read_error(path, At::default(), e))?;
    let rest = |skip: usize| Cursor::new(head[skip..].to_vec());
    match head.as_slice() {
        [0xEF, 0xBB, 0xBF, ..] => Ok(Box::new(rest(3).chain(reader))),
        [0xFF, 0xFE, 0, 0] | [0, 0, 0xFE, 0xFF] => Err(not_utf8(path, "a UTF-32 byte order mark")),
        [0xFF, 0xFE, ..] => Ok(Box::new(Utf16::new(rest(2).chain(reader), u16::from_le_bytes))),
        [0xFE, 0xFF, ..] => Ok(Box::new(Utf16::new(rest(2).chain(reader), u16::from_be_bytes))),
        head if head.contains(&0) => {
            Err(not_utf8(path, "zero bytes, as in a binary file or UTF-16 without a byte order mark"))
        }
        _ => Ok(Box::new(rest(0).chain(reader))),
    }
}

/// Whether a text that begins with these bytes, at least four if it has them, is UTF-8 without byte order mark.
pub(crate) fn is_plain(head: &[u8]) -> bool {
    let marks: [&[u8]; 3] = [&[0xEF, 0xBB, 0xBF], &[0xFF, 0xFE], &[0xFE, 0xFF]];
    !head.contains(&0) && !marks.iter().any(|mark| head.starts_with(mark))
}

fn not_utf8(path: &Path, found: &str) -> Error {
    Error::Malformed {
        path: path.to_owned(),
        at: At::default(),
        expected: "text in UTF-8".to_owned(),
        found: found.to_owned(),
        hint: Some(ENCODING_HINT.to_owned()),
    }
}

/// UTF-16 as UTF-8, block by block.
struct Utf16<R> {
    inner: R,
    unit: fn([u8; 2]) -> u16,
    block: Vec<u8>,
    /// Bytes and a high surrogate that wait for their second half.
    waiting: Vec<u8>,
    decoded: Cursor<Vec<u8>>,
}

impl<R: Read> Utf16<R> {
    fn new(inner: R, unit: fn([u8; 2]) -> u16) -> Self {
        Self { inner, unit, block: vec![0; 1 << 16], waiting: Vec::new(), decoded: Cursor::default() }
    }

    /// Decodes one block more; `false` at the end.
    fn refill(&mut self) -> io::Result<bool> {
        let n = self.inner.read(&mut self.block)?;
        if n == 0 {
            return if self.waiting.is_empty() {
                Ok(false)
            } else {
                Err(invalid("half a character at the end"))
            };
        }
        self.waiting.extend_from_slice(&self.block[..n]);
        let mut units: Vec<u16> = self.waiting.chunks_exact(2).map(|c| (self.unit)([c[0], c[1]])).collect();
        if units.last().is_some_and(|u| (0xD800..0xDC00).contains(u)) {
            units.pop();
        }
        let text: Result<String, _> = char::decode_utf16(units.iter().copied()).collect();
        self.waiting.drain(..units.len() * 2);
        self.decoded = Cursor::new(text.map_err(|_| invalid("a lone UTF-16 surrogate"))?.into_bytes());
        Ok(true)
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.decoded.read(out)?;
            if n > 0 || out.is_empty() || !self.refill()? {
                return Ok(n);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> std::result::Result<String, String> {
        let mut text = String::new();
        let reader =
            utf8(Box::new(Cursor::new(bytes.to_vec())), Path::new("f")).map_err(|e| e.to_string())?;
        Box::leak(reader).read_to_string(&mut text).map_err(|e| e.to_string())?;
        Ok(text)
    }

    #[test]
    fn marks_are_taken_off_and_utf16_is_decoded() {
        assert_eq!(text("\u{FEFF}aé".as_bytes()).unwrap(), "aé");
        assert_eq!(text(b"").unwrap(), "");
        assert_eq!(text(b"ab").unwrap(), "ab");
        let long = "aé😀".repeat(50_000);
        let little: Vec<u8> =
            std::iter::once(0xFEFF).chain(long.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        assert_eq!(text(&little).unwrap(), long);
        let big: Vec<u8> =
            std::iter::once(0xFEFF).chain(long.encode_utf16()).flat_map(u16::to_be_bytes).collect();
        assert_eq!(text(&big).unwrap(), long);
        assert!(text(&little[..little.len() - 1]).unwrap_err().contains("half a character"));
        assert!(text(b"a\0b\0").unwrap_err().contains("without a byte order mark"));
    }
}
