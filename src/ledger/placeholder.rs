//! [`Placeholder`]: the text that Debezium writes for values it does not have, in all typed forms.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::image::Stated;

/// The default of `unavailable.value.placeholder`.
const DEFAULT: &str = "__debezium_unavailable_value";

/// The name-based UUID of the default placeholder.
const DEFAULT_UUID: &str = "b68a35a7-17ad-35b3-af2a-ae46edb4545a";

/// All raw JSON forms of one placeholder, without blanks.
#[derive(Debug)]
pub(super) struct Placeholder {
    strings: Vec<String>,
    nested: Vec<String>,
}

impl Placeholder {
    /// The forms of a placeholder, given as Debezium is configured: as text or as `hex:…`.
    pub(super) fn new(placeholder: &str) -> Self {
        let bytes = match placeholder.strip_prefix("hex:") {
            Some(digits) => from_hex(digits),
            None => placeholder.as_bytes().to_vec(),
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let quoted = |s: &str| serde_json::Value::from(s).to_string();
        let plain = quoted(&text);
        let map = format!("{{{plain}:{plain}}}");
        let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
        let mut nested = vec![format!("[{plain}]"), format!("[{}]", numbers.join(",")), map.clone()];
        nested.push(format!("[{}]", quoted(&STANDARD.encode(&bytes))));
        if text == DEFAULT {
            nested.push(format!("[{}]", quoted(DEFAULT_UUID)));
        }
        Self { strings: vec![plain, quoted(&STANDARD.encode(&bytes)), quoted(&map)], nested }
    }

    /// Its forms that are JSON strings.
    pub(super) fn strings(&self) -> &[String] {
        &self.strings
    }

    /// Whether a raw JSON value is the placeholder.
    pub(super) fn is(&self, raw: &str) -> bool {
        match raw.as_bytes().first() {
            Some(b'"') => self.strings.iter().any(|s| s == raw),
            // The longest form lists every byte as a number.
            Some(b'[' | b'{') if raw.len() <= 8 * self.nested[1].len() => {
                let dense: String = raw.chars().filter(|c| !c.is_ascii_whitespace()).collect();
                self.nested.contains(&dense)
            }
            _ => false,
        }
    }
}

impl Placeholder {
    /// Replaces the cells of an image that hold the placeholder.
    pub(super) fn blank(&self, image: &mut Option<Vec<Stated<'_>>>, by: Stated<'static>) {
        for cell in image.iter_mut().flatten() {
            if matches!(cell, Stated::Json(raw) if self.is(raw)) {
                *cell = by;
            }
        }
    }
}

fn from_hex(digits: &str) -> Vec<u8> {
    let nibbles: Vec<u8> = digits.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    nibbles.chunks(2).map(|pair| pair.iter().fold(0, |byte, nibble| byte << 4 | nibble)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_typed_forms_of_the_default() {
        let placeholder = Placeholder::new(DEFAULT);
        for form in [
            r#""__debezium_unavailable_value""#,
            r#""X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==""#,
            r#"["__debezium_unavailable_value"]"#,
            r#"[ "__debezium_unavailable_value" ]"#,
            "[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,117,101]",
            r#"{"__debezium_unavailable_value":"__debezium_unavailable_value"}"#,
            r#""{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}""#,
            r#"["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]"#,
        ] {
            assert!(placeholder.is(form), "{form}");
        }
        for other in [r#""__debezium_unavailable_value ""#, "[]", "{}", "95", r#"["a"]"#] {
            assert!(!placeholder.is(other), "{other}");
        }
    }

    #[test]
    fn a_placeholder_given_in_hex() {
        let placeholder = Placeholder::new("hex:6E2F61");
        assert!(placeholder.is(r#""n/a""#));
        assert!(!placeholder.is(r#""__debezium_unavailable_value""#));
    }
}
