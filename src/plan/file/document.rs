//! TOML values that know where they stand, and say so when they are wrong.

use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::filter::Filter;
use crate::error::{Error, Result, nearest};

/// The text of a plan, and what to call it in messages.
pub(super) struct Document<'a> {
    /// The name before line and column: the path of the file.
    pub(super) name: String,
    pub(super) text: &'a str,
    /// What relative paths are relative to.
    pub(super) folder: PathBuf,
}

impl Document<'_> {
    /// An error at a place of the text.
    pub(super) fn error(&self, offset: usize, message: impl Into<String>, hint: Option<String>) -> Error {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
        let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
        Error::Plan { place: format!("{}:{line}:{column}", self.name), message: message.into(), hint }
    }
}

/// A table of the plan with the keys that it may have.
pub(super) struct Section<'a> {
    pub(super) document: &'a Document<'a>,
    /// Dotted path: `datasets.accounts.ledger`; empty for the whole plan.
    pub(super) name: String,
    table: &'a DeTable<'a>,
    at: usize,
}

impl<'a> Section<'a> {
    /// The whole plan.
    pub(super) fn root(document: &'a Document<'a>, table: &'a DeTable<'a>, keys: &[&str]) -> Result<Self> {
        Self { document, name: String::new(), table, at: 0 }.checked(keys)
    }

    /// Refuses keys that are not among `keys`, naming the nearest that is.
    fn checked(self, keys: &[&str]) -> Result<Self> {
        let unknown = self.table.keys().filter(|key| !keys.contains(&key.get_ref().as_ref()));
        let Some(key) = unknown.min_by_key(|key| key.span().start) else { return Ok(self) };
        let name: &str = key.get_ref();
        let hint = match nearest(name, keys.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => match super::section_of(name) {
                Some(section) => format!("{name} belongs in {section}"),
                None => format!("valid keys are {}", keys.join(", ")),
            },
        };
        let within = if self.name.is_empty() { String::new() } else { format!(" in {}", self.name) };
        Err(self.document.error(key.span().start, format!("unknown key {name:?}{within}"), Some(hint)))
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<Value<'a>> {
        let node = self.table.iter().find(|(k, _)| k.get_ref() == key)?.1;
        Some(Value { document: self.document, name: self.path(key), node })
    }

    /// The value of a key that must be there. `example` is a line that would do.
    pub(super) fn require(&self, key: &str, example: &str) -> Result<Value<'a>> {
        self.get(key).ok_or_else(|| {
            let within = if self.name.is_empty() { "the plan" } else { &self.name };
            let hint = Some(format!("write for instance {example}"));
            self.document.error(self.at, format!("{key} is missing in {within}"), hint)
        })
    }

    /// All keys and values, in the order of the text.
    pub(super) fn entries(&self) -> Vec<(&'a str, Value<'a>)> {
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let value = |key: &str, node| Value { document: self.document, name: self.path(key), node };
        entries.into_iter().map(|(key, node)| (key.get_ref().as_ref(), value(key.get_ref(), node))).collect()
    }

    /// An error about the section as a whole.
    pub(super) fn error(&self, message: impl Into<String>, hint: impl Into<String>) -> Error {
        self.document.error(self.at, message, Some(hint.into()))
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}

/// One value of the plan.
#[derive(Clone)]
pub(super) struct Value<'a> {
    pub(super) document: &'a Document<'a>,
    /// Dotted path of its key.
    pub(super) name: String,
    node: &'a Spanned<DeValue<'a>>,
}

impl<'a> Value<'a> {
    /// An error at the value.
    pub(super) fn error(&self, message: impl Into<String>, hint: impl Into<String>) -> Error {
        self.error_at(0, message, hint)
    }

    fn error_at(&self, offset: usize, message: impl Into<String>, hint: impl Into<String>) -> Error {
        self.document.error(self.span().start + offset, message, Some(hint.into()))
    }

    fn span(&self) -> Range<usize> {
        self.node.span()
    }

    fn mismatch(&self, expected: &str, example: &str) -> Error {
        let found = match self.node.get_ref() {
            DeValue::String(_) => "text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let hint = format!("write for instance {example}");
        self.error(format!("{}: expected {expected}, found {found}", self.name), hint)
    }

    /// Whether it is a table rather than a plain value.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.node.get_ref(), DeValue::Table(_))
    }

    pub(super) fn text(&self) -> Result<&'a str> {
        match self.node.get_ref() {
            DeValue::String(text) => Ok(text),
            _ => Err(self.mismatch("text", "\"text\"")),
        }
    }

    pub(super) fn boolean(&self) -> Result<bool> {
        match self.node.get_ref() {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(self.mismatch("true or false", "true")),
        }
    }

    /// Text, or a date or time without quotes.
    pub(super) fn when(&self) -> Result<String> {
        match self.node.get_ref() {
            DeValue::String(text) => Ok(text.clone().into_owned()),
            DeValue::Datetime(moment) => Ok(moment.to_string()),
            _ => Err(self.mismatch("a moment", "\"2025-12-31\"")),
        }
    }

    /// The exact text of a plain decimal number, given as text or as a number.
    pub(super) fn decimal(&self) -> Result<String> {
        let text = match self.node.get_ref() {
            DeValue::String(text) => text.as_ref(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => return Err(self.mismatch("a number", "\"1204500.17\"")),
        };
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        let plain = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if !(plain(whole) && plain(fraction)) {
            let message = format!("{}: expected a plain decimal number, found {text:?}", self.name);
            return Err(self.error(message, "write for instance \"1204500.17\", without separators"));
        }
        Ok(text.strip_prefix('+').unwrap_or(text).to_owned())
    }

    pub(super) fn count(&self) -> Result<u64> {
        match self.node.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => {
                number.as_str().parse().map_err(|_| self.mismatch("a count", "48210"))
            }
            _ => Err(self.mismatch("a count", "48210")),
        }
    }

    pub(super) fn table(&self, keys: &[&str]) -> Result<Section<'a>> {
        self.open_table()?.checked(keys)
    }

    /// A table whose keys are names of the user's own.
    pub(super) fn open_table(&self) -> Result<Section<'a>> {
        match self.node.get_ref() {
            DeValue::Table(table) => {
                let (document, name, at) = (self.document, self.name.clone(), self.span().start);
                Ok(Section { document, name, table, at })
            }
            _ => Err(self.mismatch("a table", "{ name = value }")),
        }
    }

    pub(super) fn list(&self) -> Result<Vec<Value<'a>>> {
        match self.node.get_ref() {
            DeValue::Array(items) => Ok(items.iter().map(|node| self.element(node)).collect()),
            _ => Err(self.mismatch("a list", "[\"first\", \"second\"]")),
        }
    }

    fn element(&self, node: &'a Spanned<DeValue<'a>>) -> Value<'a> {
        Value { document: self.document, name: self.name.clone(), node }
    }

    /// A list of texts without repetitions.
    pub(super) fn texts(&self) -> Result<Vec<String>> {
        let mut texts: Vec<String> = Vec::new();
        for item in self.list()? {
            let text = item.text()?;
            if texts.iter().any(|t| t == text) {
                let message = format!("{} lists {text:?} twice", self.name);
                return Err(item.error(message, "leave one of them out"));
            }
            texts.push(text.to_owned());
        }
        Ok(texts)
    }

    /// A text, or a list of texts.
    pub(super) fn one_or_more(&self) -> Result<Vec<String>> {
        match self.node.get_ref() {
            DeValue::Array(_) => self.texts(),
            _ => Ok(vec![self.text()?.to_owned()]),
        }
    }

    /// A path, relative ones brought to the folder of the plan.
    pub(super) fn path(&self) -> Result<PathBuf> {
        let text = self.text()?;
        if text.is_empty() {
            return Err(
                self.error(format!("{}: the path is empty", self.name), "name a file, folder or wildcard")
            );
        }
        Ok(self.document.folder.join(text))
    }

    /// One of a set of words, which `name` turns into text.
    pub(super) fn word<T: Copy>(&self, all: &[T], name: impl Fn(T) -> &'static str) -> Result<T> {
        let text = self.text()?;
        if let Some(found) = all.iter().find(|word| name(**word) == text) {
            return Ok(*found);
        }
        let names: Vec<&str> = all.iter().map(|word| name(*word)).collect();
        let hint = match nearest(text, names.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("choose one of {}", names.join(", ")),
        };
        Err(self.error(format!("{}: {text:?} is not known", self.name), hint))
    }

    pub(super) fn filter(&self) -> Result<Filter> {
        let text = self.text()?;
        Filter::parse(text).map_err(|error| {
            // One for the quote; exact for plain quoted text, and near enough for any other.
            let hint = error.hint.clone().unwrap_or_else(|| "see `where` in the manual of plans".to_owned());
            self.error_at(1 + error.offset, format!("{}: {error}", self.name), hint)
        })
    }

    /// Reads it with a function whose failure names no place, and adds this one.
    pub(super) fn placed<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            let hint = error.hint().unwrap_or_default();
            self.error(format!("{}: {error}", self.name), hint)
        })
    }
}
