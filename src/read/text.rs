//! Text of an input file as UTF-8: byte order marks are taken off, UTF-16 with
//! one is decoded. XML says which encoding it has, and is decoded by that. Any other
//! encoding shows as a byte that is not UTF-8, and whoever cuts the text into records
//! says where.

use std::io::{self, Cursor, Read};
use std::path::Path;

use super::input::read_error;
use crate::error::{At, Error, Result};

/// The remedy for text in another encoding.
pub(crate) const ENCODING_HINT: &str =
    "convert the file to UTF-8, for instance: iconv -f WINDOWS-1252 -t UTF-8 FILE";

/// So many bytes of an XML file hold its declaration.
const DECLARATION: usize = 256;

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

/// The text of an XML file as UTF-8, whatever encoding its declaration names: UTF-8, UTF-16 with a byte order
/// mark, or one of Western Europe's with a byte per character.
///
/// # Errors
/// As [`utf8`], and where the declaration names any other.
pub(crate) fn xml(reader: Box<dyn Read + Send>, path: &Path) -> Result<Box<dyn Read + Send>> {
    let mut reader = utf8(reader, path)?;
    let mut head = Vec::with_capacity(DECLARATION);
    let read = reader.by_ref().take(DECLARATION as u64).read_to_end(&mut head);
    read.map_err(|e| read_error(path, At::default(), e))?;
    let name = declared_encoding(&head);
    let whole = Cursor::new(head).chain(reader);
    match name.as_deref() {
        None | Some("utf-8" | "utf8" | "us-ascii" | "ascii" | "utf-16") => Ok(Box::new(whole)),
        // What calls itself ISO 8859-1 and has bytes that are none of its characters is Windows-1252.
        Some("iso-8859-1" | "latin1" | "latin-1" | "windows-1252" | "cp1252") => {
            Ok(Box::new(Bytes::new(whole, windows_1252)))
        }
        Some("iso-8859-15" | "latin9" | "latin-9") => Ok(Box::new(Bytes::new(whole, latin_9))),
        Some(other) => Err(not_utf8(path, &format!("a declaration of encoding {other:?}"))),
    }
}

/// The encoding that an XML declaration names, in lower case.
fn declared_encoding(head: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(head);
    let declaration = text.trim_start().strip_prefix("<?xml")?.split("?>").next()?;
    let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    Some(value[1..].split(quote).next()?.trim().to_lowercase())
}

/// The character of a byte in Windows-1252.
fn windows_1252(byte: u8) -> Option<char> {
    const FROM_80: [u16; 32] = [
        0x20AC, 0, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0,
        0x017D, 0, 0, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A,
        0x0153, 0, 0x017E, 0x0178,
    ];
    match byte {
        0x80..=0x9F => char::from_u32(FROM_80[usize::from(byte) - 0x80].into()).filter(|c| *c != '\0'),
        _ => Some(char::from(byte)),
    }
}

/// The character of a byte in ISO 8859-15.
fn latin_9(byte: u8) -> Option<char> {
    Some(match byte {
        0xA4 => '€',
        0xA6 => 'Š',
        0xA8 => 'š',
        0xB4 => 'Ž',
        0xB8 => 'ž',
        0xBC => 'Œ',
        0xBD => 'œ',
        0xBE => 'Ÿ',
        _ => char::from(byte),
    })
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

/// Text with a byte per character as UTF-8, block by block.
struct Bytes<R> {
    inner: R,
    character: fn(u8) -> Option<char>,
    block: Vec<u8>,
    decoded: Cursor<Vec<u8>>,
}

impl<R: Read> Bytes<R> {
    fn new(inner: R, character: fn(u8) -> Option<char>) -> Self {
        Self { inner, character, block: vec![0; 1 << 16], decoded: Cursor::default() }
    }
}

impl<R: Read> Read for Bytes<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.decoded.read(out)?;
            if n > 0 || out.is_empty() {
                return Ok(n);
            }
            let taken = self.inner.read(&mut self.block)?;
            if taken == 0 {
                return Ok(0);
            }
            let text: Option<String> = self.block[..taken].iter().map(|&b| (self.character)(b)).collect();
            let text = text.ok_or_else(|| invalid("a byte that is no character of the declared encoding"))?;
            self.decoded = Cursor::new(text.into_bytes());
        }
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
    fn xml_is_decoded_as_it_declares() {
        let decoded = |bytes: &[u8]| {
            let mut text = String::new();
            let reader =
                xml(Box::new(Cursor::new(bytes.to_vec())), Path::new("f")).map_err(|e| e.to_string())?;
            Box::leak(reader).read_to_string(&mut text).map_err(|e| e.to_string())?;
            Ok::<_, String>(text)
        };
        let declared = |encoding: &str, rest: &[u8]| {
            let mut bytes = format!("<?xml version='1.0' encoding='{encoding}'?>").into_bytes();
            bytes.extend(rest);
            decoded(&bytes).map(|text| text.split_once("?>").unwrap().1.to_owned())
        };
        assert_eq!(declared("windows-1252", b"\x80 caf\xE9 \x9F").unwrap(), "€ café Ÿ");
        assert_eq!(declared("ISO-8859-1", b"caf\xE9 \x93x\x94").unwrap(), "café “x”");
        assert_eq!(declared("ISO-8859-15", b"\xA4 \xBD").unwrap(), "€ œ");
        assert_eq!(declared("UTF-8", "é€".as_bytes()).unwrap(), "é€");
        assert!(declared("windows-1252", b"\x81").unwrap_err().contains("no character"));
        assert!(declared("koi8-r", b"x").unwrap_err().contains("koi8-r"));
        let long = "é".repeat(100_000);
        let bytes: Vec<u8> = vec![0xE9; 100_000];
        assert_eq!(declared("latin1", &bytes).unwrap(), long);
        let utf16 = "\u{FEFF}<?xml version=\"1.0\" encoding=\"UTF-16\"?>é";
        let little: Vec<u8> = utf16.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(decoded(&little).unwrap().ends_with('é'));
        assert_eq!(decoded("<a>é</a>".as_bytes()).unwrap(), "<a>é</a>");
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
