//! Raw JSON values: members and elements as slices of the record's text.
//!
//! Nothing is copied and no number is parsed: a cell keeps its literal text
//! until it meets its column's type. The texts are checked for being JSON as a
//! whole, so that a damaged record is never half read.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::read::json_scan::{Quoted, Scan};

/// A member that may be missing; null counts as missing.
pub(super) type Raw<'a> = Option<&'a RawValue>;

/// A member's name without quotes, and its raw value.
pub(super) type Member<'a> = (&'a str, &'a str);

/// What is, or holds, the text of a JSON value.
pub(super) trait Literal<'a> {
    /// The text of the value.
    fn literal(self) -> &'a str;
}

impl<'a> Literal<'a> for &'a RawValue {
    fn literal(self) -> &'a str {
        self.get()
    }
}

impl<'a> Literal<'a> for &'a str {
    fn literal(self) -> &'a str {
        self
    }
}

/// The text of a raw value; `null` and missing ones have none.
pub(super) fn raw_text<'a>(raw: Option<impl Literal<'a>>) -> Option<&'a str> {
    raw.map(Literal::literal).filter(|t| *t != "null")
}

/// The text that a raw JSON string denotes, or the literal of a number or bool.
pub(super) fn text<'a>(raw: &'a str) -> Option<Cow<'a, str>> {
    match raw.as_bytes().first()? {
        b'"' => {
            let inner = raw.get(1..raw.len().checked_sub(1)?)?;
            // Without a branch per byte, so that it becomes vector code.
            let escaped = inner.bytes().fold(false, |found, b| found | (b == b'\\'));
            Quoted { inner, escaped }.text().ok()
        }
        b'{' | b'[' => None,
        _ => (raw != "null").then_some(Cow::Borrowed(raw)),
    }
}

/// The text of an optional scalar member.
pub(super) fn scalar<'a>(raw: Option<impl Literal<'a>>) -> Option<Cow<'a, str>> {
    text(raw?.literal())
}

/// An integer, whether written as a number or as a string.
pub(super) fn integer<'a, T: std::str::FromStr>(raw: Option<impl Literal<'a>>) -> Option<T> {
    scalar(raw)?.parse().ok()
}

/// Calls `member` with every name and raw value of an object, in order.
pub(super) fn members<'a>(
    object: &'a str,
    mut member: impl FnMut(&str, &'a str),
) -> Result<(), serde_json::Error> {
    let mut scan = Scan::new(object);
    let passed = scan.object(|scan, name| {
        let name = name.text()?;
        member(&name, scan.value()?);
        Ok(())
    });
    passed.and_then(|()| scan.end()).map_err(|_| no_object(object))
}

/// Calls `element` with every raw value of an array, in order.
pub(super) fn elements<'a>(
    array: &'a str,
    mut element: impl FnMut(&'a str),
) -> Result<(), serde_json::Error> {
    let mut scan = Scan::new(array);
    let passed = scan.array(|scan| {
        element(scan.value()?);
        Ok(())
    });
    passed.and_then(|()| scan.end()).map_err(|_| no_array(array))
}

/// Where and why a text is no JSON object.
pub(super) fn no_object(text: &str) -> serde_json::Error {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = deserializer.deserialize_map(Members).and_then(|()| deserializer.end());
    read.err().unwrap_or_else(|| de::Error::custom("it is not valid JSON"))
}

fn no_array(text: &str) -> serde_json::Error {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = deserializer.deserialize_seq(Elements).and_then(|()| deserializer.end());
    read.err().unwrap_or_else(|| de::Error::custom("it is not valid JSON"))
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

/// Declares a struct of raw members by their names in JSON, and how they are filled in.
macro_rules! raw_members {
    ($(#[$meta:meta])* $vis:vis struct $Struct:ident { $($of:vis $field:ident = $name:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        $vis struct $Struct<'a> { $($of $field: Option<&'a str>,)* }

        impl<'a> $Struct<'a> {
            /// Takes a member in, if it is one of these. Returns whether it is the first of its name.
            #[inline]
            fn set(&mut self, name: &str, raw: &'a str) -> bool {
                let field = match name {
                    $($name => &mut self.$field,)*
                    _ => return true,
                };
                field.replace(raw).is_none()
            }

            /// The number of the member of this name, if it is one of these.
            #[allow(dead_code, reason = "not every record has a layout")]
            pub(super) fn number(name: &str) -> Option<usize> {
                [$($name),*].iter().position(|known| *known == name)
            }

            /// Takes in the member of this number; null counts as missing.
            #[allow(dead_code, reason = "not every record has a layout")]
            #[inline]
            pub(super) fn put(&mut self, number: usize, raw: &'a str) {
                let mut at = 0;
                $(
                    if at == number {
                        self.$field = Some(raw).filter(|raw| *raw != "null");
                        return;
                    }
                    at += 1;
                )*
                debug_assert!(number < at, "members have numbers");
            }

            /// All members are there; null counts as missing.
            fn settle(&mut self) {
                $(self.$field = self.$field.filter(|raw| *raw != "null");)*
            }
        }
    };
}

pub(super) use raw_members;

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

struct Members;

impl<'a> Visitor<'a> for Members {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key::<Name<'a>>()?.is_some() {
            map.next_value::<de::IgnoredAny>()?;
        }
        Ok(())
    }
}

struct Elements;

impl<'a> Visitor<'a> for Elements {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut sequence: A) -> Result<(), A::Error> {
        while sequence.next_element::<de::IgnoredAny>()?.is_some() {}
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
