//! Bytes of delimited text to records: fields without quotes and escapes.

pub(super) const NOT_CLOSED: &str = "a quoted field that is not closed";

/// How fields are told from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    /// A backslash takes the next character for something else.
    pub(super) backslash: bool,
}

impl Dialect {
    /// PostgreSQL's COPY text and MySQL's default know no quotes; both separate fields by tabs.
    fn has_quotes(self) -> bool {
        !(self.backslash && self.delimiter == b'\t')
    }
}

/// One record: the text of all fields without quotes, and where each ends.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) text: Vec<u8>,
    pub(super) ends: Vec<usize>,
    /// Quotes stood around the field, or an escape in it: it is no marker of null.
    pub(super) quoted: Vec<bool>,
    /// Text stood behind a closing quote, or a quote was never closed.
    pub(super) flaw: Option<&'static str>,
}

impl Record {
    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.quoted.clear();
        self.flaw = None;
    }

    fn end_field(&mut self, quoted: bool) {
        self.ends.push(self.text.len());
        self.quoted.push(quoted);
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end])
    }

    /// The line that ends COPY text.
    pub(super) fn is_end_of_copy(&self) -> bool {
        self.text == b"." && self.quoted == [true]
    }

    /// A line without anything on it.
    pub(super) fn is_blank(&self) -> bool {
        self.text.is_empty() && self.quoted == [false]
    }
}

/// What the tokenizer found at the beginning of its text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A record of so many bytes, with its line ends.
    Record(usize),
    /// The text ends within the record.
    Partial,
}

/// Takes one record off the text.
pub(super) fn record(text: &[u8], dialect: Dialect, at_end: bool, record: &mut Record) -> Token {
    record.clear();
    let delimiter = dialect.delimiter;
    let mut at = 0;
    loop {
        let enclosed = text.get(at) == Some(&b'"') && dialect.has_quotes();
        let mut quoted = enclosed;
        if enclosed {
            match quoted_field(text, at + 1, dialect, record) {
                Some(end) => at = end,
                None if at_end => {
                    record.flaw = Some(NOT_CLOSED);
                    record.end_field(true);
                    return Token::Record(text.len());
                }
                None => return Token::Partial,
            }
        }
        let stop = if dialect.backslash {
            let (stop, escaped) = escaped_field(text, at, delimiter, record);
            quoted |= escaped;
            stop
        } else {
            let stop = field_end(text, at, delimiter);
            record.text.extend_from_slice(&text[at..stop]);
            stop
        };
        if enclosed && stop > at {
            record.flaw = Some("text behind a closing quote");
        }
        at = stop;
        match text.get(at) {
            Some(&b) if b == delimiter => {
                record.end_field(quoted);
                at += 1;
            }
            Some(b'\r') if text.get(at + 1).is_none() && !at_end => return Token::Partial,
            Some(b'\r') if text.get(at + 1) == Some(&b'\n') => {
                record.end_field(quoted);
                return Token::Record(at + 2);
            }
            Some(_) => {
                record.end_field(quoted);
                return Token::Record(at + 1);
            }
            None if at_end => {
                record.end_field(quoted);
                return Token::Record(at);
            }
            None => return Token::Partial,
        }
    }
}

/// Copies a quoted field without its quotes; where the text behind its closing quote begins.
fn quoted_field(text: &[u8], mut at: usize, dialect: Dialect, record: &mut Record) -> Option<usize> {
    if dialect.backslash {
        return quoted_and_escaped(text, at, record);
    }
    loop {
        let quote = super::super::json_chunks::find(text, at, b'"')?;
        record.text.extend_from_slice(&text[at..quote]);
        if text.get(quote + 1) != Some(&b'"') {
            return Some(quote + 1);
        }
        record.text.push(b'"');
        at = quote + 2;
    }
}

fn field_end(text: &[u8], at: usize, delimiter: u8) -> usize {
    let stops = |b: &u8| *b == delimiter || *b == b'\n' || *b == b'\r';
    text[at..].iter().position(stops).map_or(text.len(), |i| at + i)
}

/// Copies an unquoted field without its escapes; where it ends, and whether it had escapes.
/// A field of `\N` alone stays as it is.
fn escaped_field(text: &[u8], mut at: usize, delimiter: u8, record: &mut Record) -> (usize, bool) {
    let start = at;
    let stops = |b: &u8| *b == delimiter || matches!(*b, b'\n' | b'\r' | b'\\');
    let mut escaped = false;
    loop {
        let stop = text[at..].iter().position(stops).map_or(text.len(), |i| at + i);
        record.text.extend_from_slice(&text[at..stop]);
        at = stop;
        if text.get(at) != Some(&b'\\') {
            return (at, escaped);
        }
        let ends = |b: Option<&u8>| b.is_none_or(|b| *b == delimiter || matches!(b, b'\n' | b'\r'));
        if at == start && text.get(at + 1) == Some(&b'N') && ends(text.get(at + 2)) {
            record.text.extend_from_slice(b"\\N");
            return (at + 2, false);
        }
        escaped = true;
        at = unescape(text, at + 1, &mut record.text);
    }
}

/// Copies a quoted field without its quotes and escapes; where the text behind its closing quote begins.
fn quoted_and_escaped(text: &[u8], mut at: usize, record: &mut Record) -> Option<usize> {
    loop {
        let stop = at + text[at..].iter().position(|b| matches!(b, b'"' | b'\\'))?;
        record.text.extend_from_slice(&text[at..stop]);
        match (text[stop], text.get(stop + 1)) {
            (b'"', Some(b'"')) => {
                record.text.push(b'"');
                at = stop + 2;
            }
            (b'"', _) => return Some(stop + 1),
            (_, None) => return None,
            (_, Some(_)) => at = unescape(text, stop + 1, &mut record.text),
        }
    }
}

/// What stands behind a backslash, as the character meant; where the text goes on.
fn unescape(text: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
    let digits = |base: u32, from: usize, most: usize| {
        let is = |b: &&u8| char::from(**b).is_digit(base);
        text[from.min(text.len())..].iter().take(most).take_while(is).count()
    };
    let number = |base: u32, from: usize, count: usize| {
        text[from..from + count]
            .iter()
            .filter_map(|b| char::from(*b).to_digit(base))
            .fold(0, |n, d| n * base + d) as u8
    };
    match text.get(at) {
        None => {
            out.push(b'\\');
            at
        }
        Some(b'0'..=b'7') => {
            let count = digits(8, at, 3);
            out.push(number(8, at, count));
            at + count
        }
        Some(b'x') if digits(16, at + 1, 2) > 0 => {
            let count = digits(16, at + 1, 2);
            out.push(number(16, at + 1, count));
            at + 1 + count
        }
        Some(&letter) => {
            out.push(match letter {
                b'b' => 0x08,
                b'f' => 0x0C,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 0x0B,
                b'Z' => 0x1A,
                other => other,
            });
            at + 1
        }
    }
}

/// Whether tab-separated text has a field of `\N` alone, and no backslash that such text cannot have.
pub(super) fn is_copy_text(text: &[u8]) -> bool {
    let known = |b: u8| {
        matches!(
            b,
            b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'N' | b'Z' | b'x' | b'.' | b'\\' | b'\t' | b'\n' | b'0'
                ..=b'7'
        )
    };
    let mut null = false;
    let mut at = 0;
    while let Some(found) = text[at..].iter().position(|b| *b == b'\\') {
        let here = at + found;
        let Some(&next) = text.get(here + 1) else { break };
        if !known(next) {
            return false;
        }
        let begins = here == 0 || matches!(text[here - 1], b'\t' | b'\n' | b'\r');
        let ends = text.get(here + 2).is_none_or(|b| matches!(b, b'\t' | b'\n' | b'\r'));
        null |= next == b'N' && begins && ends;
        at = here + 2;
    }
    null
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str, delimiter: u8) -> Vec<(String, bool)> {
        let dialect = Dialect { delimiter, backslash: true };
        let mut found = Record::default();
        assert_eq!(record(text.as_bytes(), dialect, true, &mut found), Token::Record(text.len()));
        assert_eq!(found.flaw, None);
        let texts = found.fields().map(|f| String::from_utf8(f.to_vec()).unwrap());
        texts.zip(found.quoted.iter().copied()).collect()
    }

    fn show(fields: &[(String, bool)]) -> Vec<(&str, bool)> {
        fields.iter().map(|(text, quoted)| (text.as_str(), *quoted)).collect()
    }

    #[test]
    fn copy_text_is_taken_apart_without_loss() {
        let found = fields("a\\tb\t\\N\t\\\\N\t\"x\t\\101\\x2f\\.\t\n", b'\t');
        let expected =
            [("a\tb", true), ("\\N", false), ("\\N", true), ("\"x", false), ("A/.", true), ("", false)];
        assert_eq!(show(&found), expected);
    }

    #[test]
    fn escaped_separators_stay_inside_their_field() {
        assert_eq!(show(&fields("a\\\tb\tc\\\nd\n", b'\t')), [("a\tb", true), ("c\nd", true)]);
        let found = fields("\"a\\\"b,c\",\"d\"\"e\",\\N\n", b',');
        assert_eq!(show(&found), [("a\"b,c", true), ("d\"e", true), ("\\N", false)]);
    }

    #[test]
    fn only_text_that_can_be_nothing_else_is_copy_text() {
        assert!(is_copy_text(b"1\t\\N\n2\ta\\tb\n"));
        assert!(!is_copy_text(b"1\ta\\tb\n"), "no null: a backslash may be a backslash");
        assert!(!is_copy_text(b"1\t\\N\n2\tC:\\Users\n"), "a path is no escape");
        assert!(!is_copy_text(b"1\tx\\N\n"), "not a whole field");
    }
}
