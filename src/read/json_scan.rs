//! [`Scan`]: one strict pass over a JSON text that finds where its values begin and end.
//!
//! Nothing is copied or converted: names and values are slices of the text. What
//! it accepts is exactly what `serde_json` accepts for raw values, with nesting
//! of any depth, so that a damaged record is never half read.
//!
//! Limits: of a text that is no JSON it says only that; where and why is
//! `serde_json`'s to say.

use std::borrow::Cow;

/// The text is no JSON, or not what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

/// A place in a JSON text, moved on from value to value.
#[derive(Debug, Clone)]
pub(crate) struct Scan<'a> {
    text: &'a str,
    at: usize,
}

/// What stands between the quotes of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quoted<'a> {
    /// As written, without the quotes.
    pub(crate) inner: &'a str,
    /// Whether there are escapes in it.
    pub(crate) escaped: bool,
}

impl<'a> Quoted<'a> {
    /// The text that it denotes; a lone surrogate denotes none.
    pub(crate) fn text(self) -> Result<Cow<'a, str>, Broken> {
        if self.escaped { unescape(self.inner).map(Cow::Owned) } else { Ok(Cow::Borrowed(self.inner)) }
    }
}

impl<'a> Scan<'a> {
    /// Stands at the first token of a text.
    pub(crate) fn new(text: &'a str) -> Self {
        let mut scan = Self { text, at: 0 };
        scan.blanks();
        scan
    }

    /// The byte at which it stands.
    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// How far it has come, for [`Scan::since`].
    pub(crate) fn place(&self) -> usize {
        self.at
    }

    /// The text from an earlier place up to this one.
    #[inline]
    pub(crate) fn since(&self, place: usize) -> Result<&'a str, Broken> {
        self.text.get(place..self.at).ok_or(Broken)
    }

    /// Passes these bytes and no others.
    #[inline]
    pub(crate) fn expect(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !begins_with(rest, bytes) {
            return Err(Broken);
        }
        self.at += bytes.len();
        Ok(())
    }

    /// How many bytes from here on are those of another text, from its beginning.
    #[inline]
    pub(crate) fn shared(&self, other: &str) -> usize {
        shared(self.text.as_bytes().get(self.at..).unwrap_or_default(), other.as_bytes())
    }

    /// Goes on to a place behind a value that is known to end there, and returns the text from `start` on.
    #[inline]
    pub(crate) fn skip(&mut self, start: usize, end: usize) -> Result<&'a str, Broken> {
        let value = self.text.get(start..end).ok_or(Broken)?;
        self.at = end;
        Ok(value)
    }

    /// Nothing but blanks may follow.
    pub(crate) fn end(&mut self) -> Result<(), Broken> {
        self.blanks();
        if self.at == self.text.len() { Ok(()) } else { Err(Broken) }
    }

    /// Passes an object; `each` gets the names of its members in order and has to pass their values.
    #[inline]
    pub(crate) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, Quoted<'a>) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        self.take(b'{')?;
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let name = self.string()?;
            self.colon()?;
            each(self, name)?;
            if !self.comma(b'}')? {
                return Ok(());
            }
        }
    }

    /// Passes an array; `each` has to pass its elements, one at each call.
    pub(crate) fn array(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        self.take(b'[')?;
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            each(self)?;
            if !self.comma(b']')? {
                return Ok(());
            }
        }
    }

    /// Passes any value and returns its text.
    #[inline]
    pub(crate) fn value(&mut self) -> Result<&'a str, Broken> {
        let place = self.at;
        match self.peek() {
            Some(b'"') => self.string().map(|_| ())?,
            Some(b'{' | b'[') => self.nested()?,
            _ => self.literal()?,
        }
        self.since(place)
    }

    /// Passes a string.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Quoted<'a>, Broken> {
        self.take(b'"')?;
        let (place, bytes, mut escaped) = (self.at, self.text.as_bytes(), false);
        loop {
            self.at = plain_end(bytes, self.at);
            match self.peek() {
                Some(b'"') => {
                    let inner = self.since(place)?;
                    self.at += 1;
                    return Ok(Quoted { inner, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at = escape_end(bytes, self.at + 1)?;
                }
                _ => return Err(Broken),
            }
        }
    }

    /// Passes an object or array without recursion, so that no depth is too deep.
    fn nested(&mut self) -> Result<(), Broken> {
        let mut open = Nesting::default();
        loop {
            let mut complete = true;
            match self.peek() {
                Some(b'"') => self.string().map(|_| ())?,
                Some(bracket @ (b'{' | b'[')) => {
                    self.at += 1;
                    self.blanks();
                    let is_object = bracket == b'{';
                    open.push(is_object);
                    if self.peek() != Some(closing(is_object)) {
                        complete = false;
                        self.begin_member(is_object)?;
                    }
                }
                _ => self.literal()?,
            }
            while complete {
                self.blanks();
                let is_object = open.is_object();
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        self.blanks();
                        self.begin_member(is_object)?;
                        complete = false;
                    }
                    Some(byte) if byte == closing(is_object) => {
                        self.at += 1;
                        if open.pop() {
                            return Ok(());
                        }
                    }
                    _ => return Err(Broken),
                }
            }
        }
    }

    /// Passes what stands before a value: in an object, its name.
    #[inline]
    fn begin_member(&mut self, is_object: bool) -> Result<(), Broken> {
        if is_object {
            self.string()?;
            self.colon()?;
        }
        Ok(())
    }

    /// Passes a number, `true`, `false` or `null`.
    #[inline]
    fn literal(&mut self) -> Result<(), Broken> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let word: &[u8] = match rest.first() {
            Some(b't') => b"true",
            Some(b'f') => b"false",
            Some(b'n') => b"null",
            _ => {
                self.at += number_length(rest).ok_or(Broken)?;
                return Ok(());
            }
        };
        self.at += word.len();
        if rest.starts_with(word) { Ok(()) } else { Err(Broken) }
    }

    #[inline]
    fn take(&mut self, byte: u8) -> Result<(), Broken> {
        if self.peek() != Some(byte) {
            return Err(Broken);
        }
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn colon(&mut self) -> Result<(), Broken> {
        self.blanks();
        self.take(b':')?;
        self.blanks();
        Ok(())
    }

    /// Whether another member or element follows; if not, the end has been passed.
    #[inline]
    fn comma(&mut self, end: u8) -> Result<bool, Broken> {
        self.blanks();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.blanks();
                Ok(true)
            }
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(Broken),
        }
    }

    #[inline]
    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }
}

fn closing(is_object: bool) -> u8 {
    if is_object { b'}' } else { b']' }
}

/// Which of the open brackets are those of objects, one bit each.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    last: u64,
    before: Vec<u64>,
}

impl Nesting {
    #[inline]
    fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.before.push(self.last);
        }
        self.last = self.last << 1 | u64::from(is_object);
        self.depth += 1;
    }

    #[inline]
    fn is_object(&self) -> bool {
        self.last & 1 == 1
    }

    /// Whether it was the outermost one.
    #[inline]
    fn pop(&mut self) -> bool {
        self.last >>= 1;
        self.depth -= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.last = self.before.pop().unwrap_or_default();
        }
        self.depth == 0
    }
}

/// Whether a text begins with another, short one. Most are no longer than two words, so they are compared in place.
#[inline]
fn begins_with(text: &[u8], start: &[u8]) -> bool {
    let Some(text) = text.get(..start.len()) else { return false };
    match start.len() {
        0..8 => text.iter().zip(start).fold(true, |same, (a, b)| same & (a == b)),
        8..=16 => {
            text.first_chunk::<8>() == start.first_chunk::<8>()
                && text.last_chunk::<8>() == start.last_chunk::<8>()
        }
        _ => text == start,
    }
}

/// How many bytes two texts begin with alike; up to 32 at a time.
#[inline]
fn shared(a: &[u8], b: &[u8]) -> usize {
    let mut at = 0;
    while let (Some(x), Some(y)) =
        (a.get(at..).and_then(<[u8]>::first_chunk::<32>), b.get(at..).and_then(<[u8]>::first_chunk::<32>))
    {
        // Without a branch per byte, so that it becomes vector code.
        if x.iter().zip(y).fold(0, |differs, (x, y)| differs | (x ^ y)) != 0 {
            break;
        }
        at += 32;
    }
    while let (Some(x), Some(y)) =
        (a.get(at..).and_then(<[u8]>::first_chunk::<8>), b.get(at..).and_then(<[u8]>::first_chunk::<8>))
    {
        let differs = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if differs != 0 {
            return at + (differs.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = |text: &[u8]| text.len().saturating_sub(at);
    at + (0..rest(a).min(rest(b))).take_while(|i| a[at + i] == b[at + i]).count()
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The first byte from `at` on that ends a string, escapes, or may not stand in one; eight bytes at a time.
#[inline]
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*word);
        // A borrow marks bytes wrongly only above one that is marked rightly, and the lowest counts.
        let zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let quote = zero(word ^ (ONES * b'"' as u64));
        let backslash = zero(word ^ (ONES * b'\\' as u64));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quote | backslash | control) & HIGHS;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let ends = |b: &u8| matches!(b, b'"' | b'\\' | 0..0x20);
    at + bytes.get(at..).unwrap_or_default().iter().take_while(|b| !ends(b)).count()
}

/// The place behind an escape whose backslash stands before `at`. Whether surrogates are paired matters to
/// those alone who need the text.
fn escape_end(bytes: &[u8], at: usize) -> Result<usize, Broken> {
    match bytes.get(at) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 1),
        Some(b'u') => match bytes.get(at + 1..at + 5) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(at + 5),
            _ => Err(Broken),
        },
        _ => Err(Broken),
    }
}

/// The first byte from `at` on that is no digit; eight bytes at a time.
#[inline]
fn digits_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*word);
        // The upper half of a digit is 3, also with 6 added to it. A carry comes only from bytes that are marked.
        let upper = |word: u64| (word & (ONES * 0xF0)) ^ (ONES * 0x30);
        let other = upper(word) | upper(word.wrapping_add(ONES * 6));
        if other != 0 {
            return at + (other.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + bytes.get(at..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count()
}

/// How many bytes at the beginning of a text are a JSON number.
#[inline]
fn number_length(bytes: &[u8]) -> Option<usize> {
    let digits = |at: usize| Some(digits_end(bytes, at)).filter(|end| *end > at);
    let start = usize::from(bytes.first() == Some(&b'-'));
    let mut at = digits(start)?;
    if bytes.get(start) == Some(&b'0') && at > start + 1 {
        return None;
    }
    if bytes.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at = digits(at + 1 + sign)?;
    }
    Some(at)
}

/// The text of the inside of a string that has escapes.
fn unescape(inner: &str) -> Result<String, Broken> {
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let character = match escape.as_bytes().first() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(*byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            // Surrogates have to be paired.
            _ => return serde_json::from_str(&format!("\"{inner}\"")).map_err(|_| Broken),
        };
        text.push(character);
        rest = &escape[1..];
    }
    text.push_str(rest);
    Ok(text)
}

#[cfg(test)]
mod tests;
