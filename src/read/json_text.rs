//! Raw JSON text, taken apart without changing a byte of what it says.
//!
//! Numbers stay their literal text. Strings are unescaped only where a value is
//! needed. Everything that nests is validated by `serde_json` on the way.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON value that is neither object, array nor null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// The literal text of a number.
    Number(&'a str),
    /// The unescaped text of a string.
    Text(Cow<'a, str>),
}

impl<'a> Scalar<'a> {
    /// The text of the value.
    pub fn text(self) -> Cow<'a, str> {
        match self {
            Self::Bool(true) => Cow::Borrowed("true"),
            Self::Bool(false) => Cow::Borrowed("false"),
            Self::Number(text) => Cow::Borrowed(text),
            Self::Text(text) => text,
        }
    }
}

/// The scalar that this raw text is, if it is one.
pub fn scalar(raw: &str) -> Option<Scalar<'_>> {
    match raw.as_bytes().first()? {
        b'"' => unescape(raw).map(Scalar::Text),
        b'-' | b'0'..=b'9' => Some(Scalar::Number(raw)),
        _ if raw == "true" => Some(Scalar::Bool(true)),
        _ if raw == "false" => Some(Scalar::Bool(false)),
        _ => None,
    }
}

/// The text that a raw JSON string with its quotes denotes; `None` if it is none
/// (a lone surrogate denotes no text).
pub fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    // Without a branch per byte, so that it becomes vector code.
    if !inner.bytes().fold(false, |found, b| found | (b == b'\\')) {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
}

/// The elements of a raw JSON array, each as its raw text.
pub fn elements(raw: &str) -> Option<Vec<&str>> {
    let values: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    Some(values.into_iter().map(RawValue::get).collect())
}

/// Calls `each` with name and raw value of every member of a raw JSON object, in order.
///
/// # Errors
/// What `each` returns; or, as `invalid` makes it, that the text is no object.
pub fn members<'a, E>(
    raw: &'a str,
    mut each: impl FnMut(Cow<'a, str>, &'a str) -> Result<(), E>,
    invalid: impl FnOnce(serde_json::Error) -> E,
) -> Result<(), E> {
    let mut failure = None;
    let mut deserializer = serde_json::Deserializer::from_str(raw);
    let visitor = Members { each: &mut each, failure: &mut failure };
    let done = deserializer.deserialize_map(visitor).and_then(|()| deserializer.end());
    match (failure, done) {
        (Some(failure), _) => Err(failure),
        (None, Err(error)) => Err(invalid(error)),
        (None, Ok(())) => Ok(()),
    }
}

struct Members<'f, F, E> {
    each: &'f mut F,
    failure: &'f mut Option<E>,
}

impl<'a, F: FnMut(Cow<'a, str>, &'a str) -> Result<(), E>, E> Visitor<'a> for Members<'_, F, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            let value: &'a RawValue = map.next_value()?;
            if self.failure.is_none() {
                *self.failure = (self.each)(name, value.get()).err();
            }
        }
        Ok(())
    }
}

/// A member name, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'a> serde::Deserialize<'a> for Name<'a> {
    fn deserialize<D: serde::Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'a> Visitor<'a> for Text {
            type Value = Name<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }
            fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Name<'a>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Name<'a>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The text without blanks between tokens; strings and numbers keep every byte.
pub fn compact(raw: &str) -> Cow<'_, str> {
    let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r');
    if !raw.as_bytes().iter().any(blank) {
        return Cow::Borrowed(raw);
    }
    let (mut text, mut in_string, mut escaped, mut start) =
        (String::with_capacity(raw.len()), false, false, 0);
    for (i, b) in raw.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if !in_string && blank(&b) => {
                text.push_str(&raw[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    text.push_str(&raw[start..]);
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_touches_only_blanks_between_tokens() {
        assert_eq!(compact(r#"{ "a b" : [ 1.0 , "x \" y" ] }"#), r#"{"a b":[1.0,"x \" y"]}"#);
        assert_eq!(compact("[1,2]"), "[1,2]");
    }

    #[test]
    fn members_keep_number_literals() {
        let mut seen = Vec::new();
        let done: Result<(), String> = members(
            r#"{"a": 1.10, "b\u0041": "x", "c": {"d": [1, 2]}}"#,
            |name, raw| {
                seen.push(format!("{name}={raw}"));
                Ok(())
            },
            |e| e.to_string(),
        );
        assert_eq!(done, Ok(()));
        assert_eq!(seen, ["a=1.10", "bA=\"x\"", "c={\"d\": [1, 2]}"]);
        assert!(members("[1]", |_, _| Ok(()), |e| e.to_string()).is_err());
    }

    #[test]
    fn a_lone_surrogate_denotes_no_text() {
        assert_eq!(unescape(r#""\ud800""#), None);
        assert_eq!(unescape(r#""\ud83d\ude00""#).as_deref(), Some("😀"));
    }
}
