//! What a message of a change stream may be wrapped in, taken off layer by layer.
//!
//! | wrapper | shape |
//! |---|---|
//! | Connect schema | `{"schema": …, "payload": …}` |
//! | dump of a topic | `{"topic": …, "key": …, "value": …}` |
//! | `kcat -J` | `{"topic", "partition", "offset", …, "key", "payload"}`, the payload mostly a text |
//! | CloudEvents | `{"specversion", "type", "data" or "data_base64", …}` |
//! | text | a JSON text that holds JSON |

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::json::{self, Raw, raw_text};

/// How deep a message may be wrapped.
const DEPTH: u8 = 4;

/// A message and what its wrappers say.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Message<'a> {
    /// JSON; `null` or nothing for a tombstone.
    pub(super) text: &'a str,
    /// The message key, as raw JSON.
    pub(super) key: Option<&'a str>,
    /// The schema of the value, as raw JSON.
    pub(super) schema: Option<&'a str>,
    /// The topic, as a raw JSON text.
    pub(super) topic: Option<&'a str>,
    depth: u8,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Wrapper<'a> {
    #[serde(borrow)]
    topic: Raw<'a>,
    #[serde(borrow)]
    key: Raw<'a>,
    #[serde(borrow)]
    value: Raw<'a>,
    #[serde(borrow)]
    schema: Raw<'a>,
    #[serde(borrow)]
    payload: Raw<'a>,
    #[serde(borrow)]
    specversion: Raw<'a>,
    #[serde(borrow)]
    data: Raw<'a>,
    #[serde(borrow)]
    data_base64: Raw<'a>,
}

impl<'a> Message<'a> {
    pub(super) fn new(text: &'a str, key: Option<&'a str>) -> Self {
        Self { text: text.trim_ascii(), key, ..Self::default() }
    }

    /// Whether it says no more than that a key is gone.
    pub(super) fn is_tombstone(&self) -> bool {
        self.text.is_empty() || self.text == "null" || self.text == "\"\""
    }

    /// Hands the message inside to `found`. Returns whether there was a wrapper.
    pub(super) fn unwrap(&self, found: &mut dyn FnMut(&Message<'_>)) -> bool {
        if self.depth >= DEPTH {
            return false;
        }
        if self.text.starts_with('"') {
            return match json::text(self.text) {
                Some(inner) => self.pass(&inner, &Self { ..*self }, found),
                None => false,
            };
        }
        let Ok(wrapper) = serde_json::from_str::<Wrapper<'_>>(self.text) else { return false };
        let outer = Self {
            key: raw_text(wrapper.key).or(self.key),
            schema: raw_text(wrapper.schema).or(self.schema),
            topic: raw_text(wrapper.topic).or(self.topic),
            ..*self
        };
        if wrapper.specversion.is_some() {
            if let Some(text) = json::scalar(wrapper.data_base64) {
                let bytes = STANDARD.decode(text.as_bytes()).ok();
                return match bytes.as_deref().map(std::str::from_utf8) {
                    Some(Ok(inner)) => self.pass(inner, &outer, found),
                    _ => false,
                };
            }
            return wrapper.data.is_some_and(|data| self.pass(data.get(), &outer, found));
        }
        let keyed = wrapper.key.is_some() || wrapper.schema.is_some();
        let wraps = wrapper.topic.is_some()
            || keyed && (self.text.contains("\"value\"") || self.text.contains("\"payload\""));
        // A null inside is a tombstone, and serde reads it as nothing.
        match wrapper.payload.or(wrapper.value) {
            Some(inner) => self.pass(inner.get(), &outer, found),
            None => wraps && self.pass("null", &outer, found),
        }
    }

    fn pass(&self, text: &str, outer: &Message<'_>, found: &mut dyn FnMut(&Message<'_>)) -> bool {
        let inner_key = outer.key.filter(|k| k.starts_with('"')).and_then(json::text);
        let key = inner_key.as_deref().filter(|k| k.trim_start().starts_with('{')).or(outer.key);
        let (schema, topic) = (outer.schema, outer.topic);
        found(&Message { text: text.trim_ascii(), key, schema, topic, depth: self.depth + 1 });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inner(text: &str) -> Vec<(String, Option<String>)> {
        let mut found = Vec::new();
        let mut take = |m: &Message<'_>| found.push((m.text.to_owned(), m.key.map(str::to_owned)));
        Message::new(text, None).unwrap(&mut take);
        found
    }

    #[test]
    fn wrappers_come_off() {
        let one = |text: &str, key: Option<&str>| vec![(text.to_owned(), key.map(str::to_owned))];
        assert_eq!(inner(r#"{"schema":{},"payload":{"a":1}}"#), one(r#"{"a":1}"#, None));
        assert_eq!(
            inner(r#"{"topic":"t","key":{"id":1},"value":{"a":1}}"#),
            one(r#"{"a":1}"#, Some(r#"{"id":1}"#))
        );
        let kcat = r#"{"topic":"t","partition":0,"offset":3,"tstype":"create","ts":1,"broker":1,"key":"{\"id\":1}","payload":"{\"a\":1}"}"#;
        assert_eq!(inner(kcat), one(r#""{\"a\":1}""#, Some(r#"{"id":1}"#)));
        assert_eq!(inner(r#""{\"a\":1}""#), one(r#"{"a":1}"#, None));
        assert_eq!(inner(r#"{"specversion":"1.0","id":"x","data":{"a":1}}"#), one(r#"{"a":1}"#, None));
        assert_eq!(inner(r#"{"specversion":"1.0","data_base64":"eyJhIjoxfQ=="}"#), one(r#"{"a":1}"#, None));
        assert_eq!(inner(r#"{"topic":"t","key":{"id":1},"value":null}"#), one("null", Some(r#"{"id":1}"#)));
        assert_eq!(inner(r#"{"a":1}"#), []);
    }
}
