//! The scan against `serde_json`: the same texts are JSON, with the same members as the same slices.

use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::*;
use crate::testing::Prng;

type Named<'a> = Vec<(String, &'a str)>;

struct Oracle;

impl<'a> Visitor<'a> for Oracle {
    type Value = Named<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Named<'a>, A::Error> {
        let mut named = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            named.push((name, map.next_value::<&'a RawValue>()?.get()));
        }
        Ok(named)
    }
}

fn members_by_serde(text: &str) -> Option<Named<'_>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let named = deserializer.deserialize_map(Oracle).ok()?;
    deserializer.end().ok()?;
    Some(named)
}

fn members(text: &str) -> Option<Named<'_>> {
    let (mut scan, mut named) = (Scan::new(text), Vec::new());
    scan.object(|scan, name| {
        named.push((name.text()?.into_owned(), scan.value()?));
        Ok(())
    })
    .and_then(|()| scan.end())
    .ok()?;
    Some(named)
}

fn value(text: &str) -> Option<&str> {
    let mut scan = Scan::new(text);
    let value = scan.value().ok()?;
    scan.end().ok()?;
    Some(value)
}

fn elements(text: &str) -> Option<Vec<&str>> {
    let (mut scan, mut found) = (Scan::new(text), Vec::new());
    let passed = scan.array(|scan| {
        found.push(scan.value()?);
        Ok(())
    });
    passed.and_then(|()| scan.end()).ok()?;
    Some(found)
}

/// Compares every way of reading a text; returns whether it is JSON.
fn check(text: &str) -> bool {
    let raw = serde_json::from_str::<&RawValue>(text).ok().map(RawValue::get);
    assert_eq!(value(text), raw, "{text:?}");
    assert_eq!(members(text), members_by_serde(text), "{text:?}");
    let list = serde_json::from_str::<Vec<&RawValue>>(text).ok();
    assert_eq!(elements(text), list.map(|l| l.into_iter().map(RawValue::get).collect()), "{text:?}");
    if text.starts_with('"') {
        let (mut scan, by_serde) = (Scan::new(text), serde_json::from_str::<String>(text).ok());
        let quoted = scan.string().ok().filter(|_| scan.clone().end().is_ok());
        let denoted = quoted.and_then(|q| q.text().ok()).map(Cow::into_owned);
        assert_eq!(denoted, by_serde, "{text:?}");
    }
    raw.is_some()
}

const RECORDS: [&str; 5] = [
    r#"{"before":null,"after":{"id":7,"n":"a\"b\\","t":"x\u00e4\ud83d\ude00","d":-12.50e+3},"op":"c","ts":17}"#,
    r#" { "a" : [ 1 , {"b":[[],{}]} , "c" ] , "a" : true,"n\u0061me":false, "":0 } "#,
    r#"[0,-0,1.5,10,1e5,2E-7,"",null,[[[]]],{"a":{"b":{}}}]"#,
    "{\"long text of more than sixteen bytes\":\"größer als 8 Bytes, ✓ and \\/\\b\\f\\n\\r\\t\",\"x\":\"12345678\"}",
    r#""plain \ud800 lone, \udc00\ud800 swapped, \uD83D\uDE00 paired""#,
];

#[test]
fn texts_that_matter() {
    for text in RECORDS {
        assert!(check(text), "{text}");
    }
    let bad = [
        "",
        " ",
        "{",
        "}",
        "[",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,}",
        "[1,]",
        "[,1]",
        "{,}",
        "{1:2}",
        "[1 2]",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "[1}",
        "{\"a\":1]",
        "{}x",
        "1 2",
        "nul",
        "nulll",
        "TRUE",
        "'a'",
        "\"a",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"a\u{1}b\"",
        "\"tab\t in it\"",
        "\"line\nfeed\"",
        "01",
        "-",
        "+1",
        ".5",
        "5.",
        "1e",
        "1e+",
        "-a",
        "0x1",
        "NaN",
        "Infinity",
        "\u{FEFF}{}",
        "{\"a\":1}\u{0}",
        "\u{c}1",
        "1\u{a0}",
    ];
    for text in bad {
        assert!(!check(text), "{text:?}");
    }
    let good =
        ["1e999", "-0.0", "0e0", "\"\u{7f}\"", "\"\u{2028}\"", "[ ]", "{ }", "\r\n\t 1 \r\n", "\"\\u0000\""];
    for text in good {
        assert!(check(text), "{text:?}");
    }
    check(&format!("-{}.{}e{}", "7".repeat(500), "3".repeat(500), "9".repeat(30)));
    check(&format!("{{\"{}\":1}}", "\\ud800"));
}

#[test]
fn every_depth() {
    for depth in [1, 2, 63, 64, 65, 127, 128, 129, 1000, 100_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
            let nested = open.repeat(depth) + "0" + &close.repeat(depth);
            assert!(check(&nested), "{depth}");
            assert!(!check(&nested[..nested.len() - 1]), "{depth}");
            assert!(!check(&nested.replacen('0', "0]", 1)), "{depth}");
            assert!(!check(&nested.replacen('0', "0}}", 1)), "{depth}");
        }
    }
    let mixed: String = (0..200).map(|i| if i % 3 == 0 { "{\"k\":" } else { "[" }).collect();
    let closed: String = (0..200).rev().map(|i| if i % 3 == 0 { '}' } else { ']' }).collect();
    assert!(check(&(mixed.clone() + "1" + &closed)));
    assert!(!check(&(mixed + "1" + &closed.replacen(']', "}", 1))));
}

#[test]
fn strings_end_wherever_they_end() {
    for length in 0..40 {
        for special in ["\"", "\\", "\\\\", "\\\"", "\u{1f}", "\u{0}", "ä", "\u{80}", "✓", "!", "]", "\u{7f}"]
        {
            for behind in ["", "x", "12345678\"", "\"", "\" ,\""] {
                let text = format!("\"{}{special}{behind}\"", "a".repeat(length));
                check(&text);
                check(&format!("{{\"k\":{text}}}"));
                check(&format!("{{{text}:1}}"));
            }
        }
    }
}

#[test]
fn mutated_records() {
    let mut random = Prng::new(20_251_122);
    let pieces = [
        "\"", "\\", "{", "}", "[", "]", ",", ":", " ", "\n", "0", "1", "9", "-", "+", ".", "e", "E", "t",
        "u", "\\u", "\\ud83d", "\\ude00", "\u{1}", "\u{c}", "ä", "null", "true", "\"a\":", "\"\"",
        "\u{FEFF}", "\u{0}",
    ];
    let mut valid = 0;
    for round in 0..30_000 {
        let mut text = RECORDS[round % RECORDS.len()].to_owned();
        for _ in 0..=random.below(3) {
            let places: Vec<usize> = (0..=text.len()).filter(|&i| text.is_char_boundary(i)).collect();
            let first = random.index(places.len());
            let last = (first + random.index(3)).min(places.len() - 1);
            let piece = if random.below(3) == 0 { "" } else { pieces[random.index(pieces.len())] };
            text.replace_range(places[first]..places[last], piece);
        }
        valid += usize::from(check(&text));
    }
    assert!((3_000..25_000).contains(&valid), "{valid} of the texts are JSON");
}
