//! Raw JSON values: members and elements as slices of the record's text.
//!
//! Nothing is copied and no number is parsed: a cell keeps its literal text
//! until it meets its column's type. The texts are checked for being JSON as a
//! whole, so that a damaged record is never half read.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A member that may be missing; null counts as missing.
pub(super) type Raw<'a> = Option<&'a RawValue>;

/// The text of a raw value; `null` and missing ones have none.
pub(super) fn raw_text<'a>(raw: Raw<'a>) -> Option<&'a str> {
    raw.map(RawValue::get).filter(|t| *t != "null")
}

/// The text that a raw JSON string denotes, or the literal of a number or bool.
pub(super) fn text<'a>(raw: &'a str) -> Option<Cow<'a, str>> {
    match raw.as_bytes().first()? {
        b'"' => {
            let inner = raw.get(1..raw.len().checked_sub(1)?)?;
            if inner.as_bytes().contains(&b'\\') {
                serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
            } else {
                Some(Cow::Borrowed(inner))
            }
        }
        b'{' | b'[' => None,
        _ => (raw != "null").then_some(Cow::Borrowed(raw)),
    }
}

/// The text of an optional scalar member.
pub(super) fn scalar<'a>(raw: Raw<'a>) -> Option<Cow<'a, str>> {
    text(raw?.get())
}

/// An integer, whether written as a number or as a string.
pub(super) fn integer<T: std::str::FromStr>(raw: Raw<'_>) -> Option<T> {
    scalar(raw)?.parse().ok()
}

/// Calls `member` with every name and raw value of an object, in order.
pub(super) fn members<'a>(
    object: &'a str,
    member: impl FnMut(&str, &'a str),
) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(object);
    deserializer.deserialize_map(Members { member, lifetime: PhantomData })?;
    deserializer.end()
}

/// Calls `element` with every raw value of an array, in order.
pub(super) fn elements<'a>(array: &'a str, element: impl FnMut(&'a str)) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(array);
    deserializer.deserialize_seq(Elements { element, lifetime: PhantomData })?;
    deserializer.end()
}

/// The same for an object that is part of a text already found to be JSON: ends are found without checking again.
///
/// Returns whether it is an object. On anything that is no JSON it stops early; it never reads past the end.
pub(super) fn checked_members<'a>(object: &'a str, mut member: impl FnMut(&str, &'a str)) -> bool {
    let bytes = object.as_bytes();
    let mut at = skip_blanks(bytes, 0);
    if bytes.get(at) != Some(&b'{') {
        return false;
    }
    at += 1;
    loop {
        at = skip_blanks(bytes, at);
        match bytes.get(at) {
            Some(b',') => at += 1,
            Some(b'"') => {
                let name_end = string_end(bytes, at);
                let colon = skip_blanks(bytes, name_end);
                let start = skip_blanks(bytes, colon + 1);
                let end = value_end(bytes, start);
                let (Some(name), Some(value)) = (object.get(at..name_end), object.get(start..end)) else {
                    return true;
                };
                if let Some(name) = text(name) {
                    member(&name, value);
                }
                at = end;
            }
            _ => return true,
        }
    }
}

fn skip_blanks(bytes: &[u8], at: usize) -> usize {
    at + bytes.get(at..).unwrap_or_default().iter().take_while(|b| b.is_ascii_whitespace()).count()
}

/// The place after a string that begins at `at`.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The place after a value that begins at `at`.
fn value_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = string_end(bytes, at);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' if depth == 0 => return at,
            _ if depth == 0 && byte.is_ascii_whitespace() => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

struct Members<'a, F> {
    member: F,
    lifetime: PhantomData<&'a ()>,
}

impl<'a, F: FnMut(&str, &'a str)> Visitor<'a> for Members<'a, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Name<'a>>()? {
            let value = map.next_value::<&'a RawValue>()?;
            (self.member)(&name.0, value.get());
        }
        Ok(())
    }
}

struct Elements<'a, F> {
    element: F,
    lifetime: PhantomData<&'a ()>,
}

impl<'a, F: FnMut(&'a str)> Visitor<'a> for Elements<'a, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut sequence: A) -> Result<(), A::Error> {
        while let Some(value) = sequence.next_element::<&'a RawValue>()? {
            (self.element)(value.get());
        }
        Ok(())
    }
}

/// A text that borrows from the input where it has no escapes.
///
/// `Option<Cow<str>>` and lists of `Cow<str>` always copy when deserialized.
#[derive(Debug)]
pub(super) struct Name<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> de::Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'a> Visitor<'a> for NameVisitor {
    type Value = Name<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'a str) -> Result<Name<'a>, E> {
        Ok(Name(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Name<'a>, E> {
        Ok(Name(Cow::Owned(text.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_literal_texts() {
        let mut seen = Vec::new();
        members(r#" {"a": 1.50, "b\n":"x\"y" , "c":[1, 2]} "#, |n, v| seen.push((n.to_owned(), v))).unwrap();
        let expected = [("a", "1.50"), ("b\n", r#""x\"y""#), ("c", "[1, 2]")];
        assert_eq!(seen, expected.map(|(n, v)| (n.to_owned(), v)));
    }

    #[test]
    fn checked_members_are_the_same() {
        for object in [
            r#"{"a": 1.50, "b\n":"x\"y" , "c":[1, {"d":"]}"}],"e":{"f":"{"},"g":null , "h":"\\" ,"i":-0.0e1}"#,
            " { } ",
            r#"{"a":"","":true}"#,
        ] {
            let (mut checked, mut plain) = (Vec::new(), Vec::new());
            members(object, |n, v| plain.push((n.to_owned(), v))).unwrap();
            assert!(checked_members(object, |n, v| checked.push((n.to_owned(), v))));
            assert_eq!(checked, plain);
        }
        assert!(!checked_members("[1]", |_, _| ()));
        for cut in [r#"{"a"#, r#"{"a":"#, r#"{"a":"x\"#, r#"{"a":[{"#, "{"] {
            checked_members(cut, |_, _| ());
        }
    }

    #[test]
    fn damaged_texts_are_refused() {
        for damaged in [r#"{"a":1"#, r#"{"a":1}x"#, r#"{"a" 1}"#, "[]", ""] {
            assert!(members(damaged, |_, _| ()).is_err(), "{damaged}");
        }
    }

    #[test]
    fn texts_are_unescaped_only_where_needed() {
        assert!(matches!(text(r#""plain""#), Some(Cow::Borrowed("plain"))));
        assert_eq!(text(r#""a\u00e4\n""#).as_deref(), Some("aä\n"));
        assert_eq!(text("12.50").as_deref(), Some("12.50"));
        assert_eq!(text("null"), None);
    }
}
