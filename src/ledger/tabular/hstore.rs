//! PostgreSQL's hstore as text: `"name"=>"value", "other"=>NULL`.

/// The pairs of an hstore text; a value without quotes that reads NULL is null.
///
/// `None` if it is no hstore.
pub(super) fn parse(text: &str) -> Option<Vec<(String, Option<String>)>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, _, tail) = word(rest)?;
        let tail = tail.trim_start().strip_prefix("=>")?;
        let (value, quoted, tail) = word(tail.trim_start())?;
        let null = !quoted && value.eq_ignore_ascii_case("null");
        pairs.push((name, (!null).then_some(value)));
        rest = tail.trim_start();
        if let Some(tail) = rest.strip_prefix(',') {
            rest = tail.trim_start();
            if rest.is_empty() {
                return None;
            }
        } else if !rest.is_empty() {
            return None;
        }
    }
    Some(pairs)
}

/// A word, whether it was quoted, and what follows. A backslash makes the next character plain.
fn word(text: &str) -> Option<(String, bool, &str)> {
    let quoted = text.starts_with('"');
    let mut word = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => word.push(chars.next()?.1),
            '"' if quoted => return Some((word, true, &text[at + 1..])),
            ',' | '=' if !quoted => return (!word.is_empty()).then_some((word, false, &text[at..])),
            c if !quoted && c.is_whitespace() => {
                return (!word.is_empty()).then_some((word, false, &text[at..]));
            }
            c => word.push(c),
        }
    }
    (!quoted && !word.is_empty()).then_some((word, false, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Option<Vec<(String, Option<String>)>> {
        parse(text)
    }

    #[test]
    fn null_is_not_the_text_null() {
        let found = pairs(r#""a"=>NULL, "b"=>"NULL", "c"=>"", d=>e"#).unwrap();
        let expected = [("a", None), ("b", Some("NULL")), ("c", Some("")), ("d", Some("e"))];
        let expected: Vec<_> =
            expected.iter().map(|(n, v)| ((*n).to_owned(), v.map(str::to_owned))).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn escapes_are_undone() {
        let found = pairs("\"p\"=>\"{\\\"k\\\": \\\"a\\\\\\\\b\\\"}\", \"q\"=>\"x=>y, z\"").unwrap();
        assert_eq!(found[0].1.as_deref(), Some("{\"k\": \"a\\\\b\"}"));
        assert_eq!(found[1].1.as_deref(), Some("x=>y, z"));
    }

    #[test]
    fn other_texts_are_none() {
        for text in ["x", "\"a\"=>", "\"a\"=>\"b", "\"a\"=>\"b\",", "\"a\"=>\"b\" \"c\"=>\"d\"", "=>x"] {
            assert_eq!(pairs(text), None, "{text}");
        }
        assert_eq!(pairs(""), Some(Vec::new()));
    }
}
