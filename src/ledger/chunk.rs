//! The texts of a chunk's records.

use simdutf8::basic::{Utf8Error, from_utf8};

use crate::read::{JsonChunk, JsonRecord};

/// A record's text.
pub(super) fn value<'a>(chunk: &'a JsonChunk, record: &JsonRecord) -> Result<&'a str, Utf8Error> {
    from_utf8(chunk.bytes(record))
}

/// The text of the key before a record, if it has one.
pub(super) fn key<'a>(chunk: &'a JsonChunk, record: &JsonRecord) -> Option<&'a str> {
    from_utf8(chunk.text.get(record.key.clone()?)?).ok()
}
