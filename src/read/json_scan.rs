//! [`Scan`]: one strict pass over a JSON text that finds where its values begin and end.
//!
//! Nothing is copied or converted: names and values are slices of the text. What
//! it accepts is exactly what `serde_json` accepts for raw values, with nesting
//! of any depth, so that a damaged record is never half read.
//!
//! Limits: of a text that is no JSON it says only that; where and why is
//! `serde_json`'s to say.

use std::borrow::Cow;

use super::json_bytes::{blanks_end, string_end, value_end};

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
        self.at = value_end(self.text.as_bytes(), place).ok_or(Broken)?;
        self.since(place)
    }

    /// Passes a string.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Quoted<'a>, Broken> {
        let place = self.at;
        let (end, escaped) = string_end(self.text.as_bytes(), place).ok_or(Broken)?;
        self.at = end;
        let inner = self.text.get(place + 1..end - 1).ok_or(Broken)?;
        Ok(Quoted { inner, escaped })
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
        self.at = blanks_end(self.text.as_bytes(), self.at);
    }
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
