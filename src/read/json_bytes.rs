//! Where the values of a JSON text end, found on bytes.
//!
//! Each function takes a place in a text and returns the one behind what stands there; `None`
//! if it does not. [`Scan`](super::json_scan::Scan) goes by them, and so does who reads many records that
//! are laid out alike. They accept what `serde_json` accepts for raw values, with nesting of any depth.
//!
//! Limits: that the bytes are UTF-8 is for the caller to know.

/// Bytes that are expected in a text, compared without a call as long as there are few of them.
#[derive(Debug, Clone)]
pub(crate) struct Gap {
    bytes: Box<[u8]>,
    /// The first 16, or all of fewer.
    first: u128,
    /// Which of those count.
    mask: u128,
    /// The last 16 of more than that.
    last: u128,
}

impl PartialEq for Gap {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Default for Gap {
    fn default() -> Self {
        Self::new(b"")
    }
}

impl Gap {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let mut first = [0; 16];
        first.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let unused = 16 - bytes.len().min(16) as u32;
        Self {
            bytes: bytes.into(),
            first: u128::from_le_bytes(first),
            mask: u128::MAX.checked_shr(8 * unused).unwrap_or(0),
            last: bytes.last_chunk().map_or(0, |last| u128::from_le_bytes(*last)),
        }
    }

    /// The place behind these bytes.
    #[inline]
    pub(crate) fn end(&self, text: &[u8], at: usize) -> Option<usize> {
        let (rest, length) = (text.get(at..)?, self.bytes.len());
        let stands = match rest.first_chunk::<16>() {
            None => rest.starts_with(&self.bytes),
            Some(first) if (u128::from_le_bytes(*first) ^ self.first) & self.mask != 0 => false,
            Some(_) if length <= 16 => true,
            Some(_) if length <= 32 => {
                let last = rest.get(length - 16..length).and_then(<[u8]>::first_chunk::<16>);
                last.is_some_and(|last| u128::from_le_bytes(*last) == self.last)
            }
            Some(_) => rest.starts_with(&self.bytes),
        };
        stands.then_some(at + length)
    }
}

/// The place behind any value.
#[inline]
pub(crate) fn value_end(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => string_end(text, at).map(|(end, _)| end),
        b'{' | b'[' => nested_end(text, at),
        _ => literal_end(text, at),
    }
}

/// The place behind a string, and whether there are escapes in it.
#[inline]
pub(crate) fn string_end(text: &[u8], at: usize) -> Option<(usize, bool)> {
    if text.get(at) != Some(&b'"') {
        return None;
    }
    let (mut at, mut escaped) = (at + 1, false);
    loop {
        at = plain_end(text, at);
        match text.get(at)? {
            b'"' => return Some((at + 1, escaped)),
            b'\\' => {
                escaped = true;
                at = escape_end(text, at + 1)?;
            }
            _ => return None,
        }
    }
}

/// The place behind a number, `true`, `false` or `null`.
#[inline]
fn literal_end(text: &[u8], at: usize) -> Option<usize> {
    let word: &[u8] = match text.get(at)? {
        b't' => b"true",
        b'f' => b"false",
        b'n' => b"null",
        _ => return number_end(text, at),
    };
    text.get(at..)?.starts_with(word).then_some(at + word.len())
}

/// The place behind an object or array, found without recursion, so that no depth is too deep.
fn nested_end(text: &[u8], mut at: usize) -> Option<usize> {
    let mut open = Nesting::default();
    loop {
        let mut complete = true;
        match *text.get(at)? {
            b'"' => at = string_end(text, at)?.0,
            bracket @ (b'{' | b'[') => {
                let is_object = bracket == b'{';
                at = blanks_end(text, at + 1);
                open.push(is_object);
                if text.get(at) != Some(&closing(is_object)) {
                    complete = false;
                    at = member_start(text, at, is_object)?;
                }
            }
            _ => at = literal_end(text, at)?,
        }
        while complete {
            at = blanks_end(text, at);
            let is_object = open.is_object();
            match *text.get(at)? {
                b',' => {
                    at = member_start(text, blanks_end(text, at + 1), is_object)?;
                    complete = false;
                }
                byte if byte == closing(is_object) => {
                    at += 1;
                    if open.pop() {
                        return Some(at);
                    }
                }
                _ => return None,
            }
        }
    }
}

/// The place behind what stands before a value: in an object, its name.
#[inline]
fn member_start(text: &[u8], at: usize, is_object: bool) -> Option<usize> {
    if !is_object {
        return Some(at);
    }
    let at = blanks_end(text, string_end(text, at)?.0);
    (text.get(at) == Some(&b':')).then(|| blanks_end(text, at + 1))
}

/// The place behind any blanks.
#[inline]
pub(crate) fn blanks_end(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

fn closing(is_object: bool) -> u8 {
    if is_object { b'}' } else { b']' }
}

/// Which of the open brackets are those of objects, one bit each.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    last: u64,
    before: Vec<u64>,
}

impl Nesting {
    #[inline]
    fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.before.push(self.last);
        }
        self.last = self.last << 1 | u64::from(is_object);
        self.depth += 1;
    }

    #[inline]
    fn is_object(&self) -> bool {
        self.last & 1 == 1
    }

    /// Whether it was the outermost one.
    #[inline]
    fn pop(&mut self) -> bool {
        self.last >>= 1;
        self.depth -= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.last = self.before.pop().unwrap_or_default();
        }
        self.depth == 0
    }
}

/// How many bytes two texts begin with alike; up to 32 at a time.
#[inline]
pub(crate) fn shared(a: &[u8], b: &[u8]) -> usize {
    let mut at = 0;
    while let (Some(x), Some(y)) =
        (a.get(at..).and_then(<[u8]>::first_chunk::<32>), b.get(at..).and_then(<[u8]>::first_chunk::<32>))
    {
        // Without a branch per byte, so that it becomes vector code.
        if x.iter().zip(y).fold(0, |differs, (x, y)| differs | (x ^ y)) != 0 {
            break;
        }
        at += 32;
    }
    while let (Some(x), Some(y)) =
        (a.get(at..).and_then(<[u8]>::first_chunk::<8>), b.get(at..).and_then(<[u8]>::first_chunk::<8>))
    {
        let differs = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if differs != 0 {
            return at + (differs.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = |text: &[u8]| text.len().saturating_sub(at);
    at + (0..rest(a).min(rest(b))).take_while(|i| a[at + i] == b[at + i]).count()
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The first byte from `at` on that ends a string, escapes, or may not stand in one; eight bytes at a time.
#[inline]
pub(crate) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*word);
        // A borrow marks bytes wrongly only above one that is marked rightly, and the lowest counts.
        let zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let quote = zero(word ^ (ONES * b'"' as u64));
        let backslash = zero(word ^ (ONES * b'\\' as u64));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quote | backslash | control) & HIGHS;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let ends = |b: &u8| matches!(b, b'"' | b'\\' | 0..0x20);
    at + bytes.get(at..).unwrap_or_default().iter().take_while(|b| !ends(b)).count()
}

/// The place behind an escape whose backslash stands before `at`. Whether surrogates are paired matters to
/// those alone who need the text.
fn escape_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 1),
        b'u' if bytes.get(at + 1..at + 5)?.iter().all(u8::is_ascii_hexdigit) => Some(at + 5),
        _ => None,
    }
}

/// The first byte from `at` on that is no digit; eight bytes at a time.
#[inline]
pub(crate) fn digits_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*word);
        // The upper half of a digit is 3, also with 6 added to it. A carry comes only from bytes that are marked.
        let upper = |word: u64| (word & (ONES * 0xF0)) ^ (ONES * 0x30);
        let other = upper(word) | upper(word.wrapping_add(ONES * 6));
        if other != 0 {
            return at + (other.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + bytes.get(at..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count()
}

/// The place behind the digits before a number's point, and how many they are; without a sign.
#[inline]
pub(crate) fn whole_end(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let end = digits_end(bytes, at);
    let count = end - at;
    let sound = count == 1 || count > 1 && bytes.get(at) != Some(&b'0');
    sound.then_some((end, count))
}

/// The place behind a number.
#[inline]
fn number_end(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = |at: usize| Some(digits_end(bytes, at)).filter(|end| *end > at);
    let (mut at, _) = whole_end(bytes, at + usize::from(bytes.get(at) == Some(&b'-')))?;
    if bytes.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at = digits(at + 1 + sign)?;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_stands_where_its_bytes_do_and_nowhere_else() {
        let text: Vec<u8> = (0..100).map(|i| b'a' + i % 25).collect();
        for length in 0..50 {
            for at in 0..text.len() {
                let gap = Gap::new(&text[10..10 + length]);
                let stands = text[at..].starts_with(&text[10..10 + length]);
                assert_eq!(gap.end(&text, at), stands.then_some(at + length), "{length} at {at}");
            }
            for wrong in 10..10 + length {
                let mut other = text.clone();
                other[wrong] = b'z';
                assert_eq!(Gap::new(&text[10..10 + length]).end(&other, 10), None, "{length} at {wrong}");
            }
        }
        assert_eq!(Gap::new(b"").end(b"", 1), None);
    }

    #[test]
    fn what_two_texts_share_ends_where_they_differ() {
        let text: Vec<u8> = (0..90).collect();
        for length in 0..text.len() {
            assert_eq!(shared(&text[..length], &text), length);
            let mut other = text.clone();
            other[length] = 200;
            assert_eq!(shared(&text, &other), length);
        }
    }
}
