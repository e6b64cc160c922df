//! The text of a query: its comment at the top, its parameters, and their values put in safely.
//!
//! ```sql
//! -- Which invoices are open for longer than so many days?
//! --
//! --   $days = 30             days past due
//! --   ${invoices} = invoices  the dataset
//! SELECT * FROM "${invoices}" WHERE days_past_due > $days
//! ```
//!
//! `$name` is a value. It is a number if its default is one, else text, and stands in the SQL as
//! a literal, whatever is in it. `${name}` is part of a name and stands between double quotes.
//! In comments and texts nothing is put in.

use std::collections::BTreeMap;

use crate::error::{Error, Result, nearest};

/// A query with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    text: String,
    /// What it can be given, as the comment at its top declares it, in that order.
    pub parameters: Vec<Parameter>,
}

/// What a query can be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, without `$`.
    pub name: String,
    /// Whether it is part of a name in the SQL, not a value.
    pub is_name: bool,
    /// What it is unless it is set.
    pub default: String,
    /// Whether it is a number.
    pub is_number: bool,
}

impl Query {
    /// Reads the parameters from the comment at the top.
    ///
    /// # Errors
    /// A line that begins as a declaration is none.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parameters = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let Some(comment) = line.trim_start().strip_prefix("--") else { break };
            if let Some(declaration) = comment.trim_start().strip_prefix('$') {
                parameters.push(declared(declaration).ok_or_else(|| Error::Plan {
                    place: format!("line {}", number + 1),
                    message: "expected a parameter as $name = value or ${name} = value".to_owned(),
                    hint: Some("a text with blanks stands between single quotes".to_owned()),
                })?);
            }
        }
        Ok(Self { text: text.to_owned(), parameters })
    }

    /// The SQL with values put in; `given` wins over defaults, `known` are values that need no declaration.
    ///
    /// # Errors
    /// A parameter is given that the query does not have, or lacks a value, or is no number where one is wanted.
    pub fn with(&self, given: &[(String, String)], known: &[(String, String)]) -> Result<String> {
        let mut values: BTreeMap<&str, (&str, bool)> =
            known.iter().map(|(name, value)| (name.as_str(), (value.as_str(), false))).collect();
        for parameter in &self.parameters {
            values.insert(&parameter.name, (&parameter.default, parameter.is_number));
        }
        for (name, value) in given {
            let Some(place) = values.get_mut(name.as_str()) else { return Err(self.no_such(name)) };
            if place.1 && !is_number(value) {
                return Err(Error::Plan {
                    place: format!("--set {name}={value}"),
                    message: "expected a number".to_owned(),
                    hint: Some(format!("its default is {}", place.0)),
                });
            }
            place.0 = value;
        }
        self.put_in(&values)
    }

    fn no_such(&self, name: &str) -> Error {
        let names: Vec<&str> = self.parameters.iter().map(|p| p.name.as_str()).collect();
        let hint = match (nearest(name, names.iter().copied()), names.is_empty()) {
            (Some(near), _) => format!("did you mean {near}?"),
            (None, true) => "the comment at the top of the query declares none".to_owned(),
            (None, false) => format!("it has {}", names.join(", ")),
        };
        Error::Plan {
            place: format!("--set {name}"),
            message: "the query has no such parameter".to_owned(),
            hint: Some(hint),
        }
    }

    fn put_in(&self, values: &BTreeMap<&str, (&str, bool)>) -> Result<String> {
        let (mut out, mut rest) = (String::with_capacity(self.text.len()), self.text.as_str());
        while let Some(at) = rest.find(['\'', '"', '$', '-', '/']) {
            let (plain, tail) = rest.split_at(at);
            out.push_str(plain);
            let taken = match tail.as_bytes() {
                [b'\'', ..] => copied(&mut out, tail, quoted_end(tail, '\'')),
                [b'-', b'-', ..] => copied(&mut out, tail, tail.find('\n').unwrap_or(tail.len())),
                [b'/', b'*', ..] => copied(&mut out, tail, tail.find("*/").map_or(tail.len(), |end| end + 2)),
                [b'"', ..] => {
                    let end = quoted_end(tail, '"');
                    out.push_str(&names_in(&tail[..end], values)?);
                    end
                }
                [b'$', ..] => {
                    let name = word(&tail[1..]);
                    let value = values.get(name).ok_or_else(|| undeclared(name))?;
                    out.push_str(&literal(*value));
                    1 + name.len()
                }
                _ => copied(&mut out, tail, 1),
            };
            rest = &tail[taken..];
        }
        out.push_str(rest);
        Ok(out)
    }
}

fn copied(out: &mut String, text: &str, length: usize) -> usize {
    out.push_str(&text[..length]);
    length
}

/// Where a text between quotes ends, whose own quotes are doubled.
fn quoted_end(text: &str, quote: char) -> usize {
    let mut from = 1;
    while let Some(at) = text[from..].find(quote) {
        from += at + 1;
        if !text[from..].starts_with(quote) {
            return from;
        }
        from += 1;
    }
    text.len()
}

/// A quoted name with parts put in.
fn names_in(name: &str, values: &BTreeMap<&str, (&str, bool)>) -> Result<String> {
    let (mut out, mut rest) = (String::new(), name);
    while let Some(at) = rest.find("${") {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let end = tail.find('}').ok_or_else(|| undeclared(tail))?;
        let parameter = &tail[2..end];
        let (value, _) = values.get(parameter).ok_or_else(|| undeclared(parameter))?;
        out.push_str(&value.replace('"', "\"\""));
        rest = &tail[end + 1..];
    }
    Ok(out + rest)
}

fn undeclared(name: &str) -> Error {
    Error::Plan {
        place: format!("${name}"),
        message: "the query uses a parameter that the comment at its top does not declare".to_owned(),
        hint: Some("declare it as `-- $name = value`; parts of names are written \"${name}\"".to_owned()),
    }
}

fn literal((value, is_number): (&str, bool)) -> String {
    match is_number {
        true => value.to_owned(),
        false => format!("'{}'", value.replace('\'', "''")),
    }
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

fn is_number(text: &str) -> bool {
    crate::model::Amount::parse(text).is_some_and(|_| !text.starts_with('+'))
}

/// `name = value  meaning`, or `{name} = value  meaning`.
fn declared(text: &str) -> Option<Parameter> {
    let (is_name, name, rest) = match text.strip_prefix('{') {
        Some(inside) => {
            let (name, rest) = inside.split_once('}')?;
            (true, name, rest)
        }
        None => (false, word(text), &text[word(text).len()..]),
    };
    let value = rest.trim_start().strip_prefix('=')?.trim_start();
    let (default, is_text) = match value.starts_with('\'') {
        true => {
            let end = quoted_end(value, '\'');
            (value.get(1..end.checked_sub(1)?)?.replace("''", "'"), true)
        }
        false => (value.split_whitespace().next()?.to_owned(), false),
    };
    let is_number = !is_name && !is_text && is_number(&default);
    (!name.is_empty()).then(|| Parameter { name: name.to_owned(), is_name, default, is_number })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const SQL: &str = "-- What?\n--   $days = 30   how many\n--   $word = 'a b'   which\n--   ${table} = t\n\
                       SELECT '$days', \"${table}__x\" -- $nothing\nFROM \"${table}\" WHERE d > $days AND w = $word";

    fn with(given: &[(&str, &str)]) -> Result<String> {
        let given: Vec<(String, String)> =
            given.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        Query::parse(SQL).unwrap().with(&given, &[])
    }

    #[test]
    fn values_are_literals_and_names_are_names() {
        let tail = |text: String| text.split_once("SELECT").unwrap().1.to_owned();
        assert_eq!(
            tail(with(&[]).unwrap()),
            " '$days', \"t__x\" -- $nothing\nFROM \"t\" WHERE d > 30 AND w = 'a b'"
        );
        let hostile = with(&[("word", "x' OR '1'='1"), ("table", "u\" -- "), ("days", "-2.5")]).unwrap();
        assert_eq!(
            tail(hostile),
            " '$days', \"u\"\" -- __x\" -- $nothing\nFROM \"u\"\" -- \" WHERE d > -2.5 AND w = 'x'' OR ''1''=''1'"
        );
    }

    #[test]
    fn what_is_no_number_or_no_parameter_is_refused() {
        assert!(with(&[("days", "1; DROP")]).unwrap_err().to_string().contains("expected a number"));
        let unknown = with(&[("day", "1")]).unwrap_err();
        assert_eq!(unknown.hint().unwrap(), "did you mean days?");
        assert!(Query::parse("SELECT $x").unwrap().with(&[], &[]).is_err());
        assert!(Query::parse("-- $x 5\nSELECT 1").is_err());
    }
}
