//! [`LtHash`]: an order-free digest of a multiset, from which elements can be taken away again.
//!
//! The construction is LtHash16 with 1,024 words (Lewi, Kim, Maykov, Weis: "Securing
//! Update Propagation with Homomorphic Hashing", 2019): each element is stretched to
//! 2,048 bytes, read as 1,024 little-endian 16-bit numbers, and these are added number by
//! number modulo 2¹⁶. Here SHAKE128 does the stretching, as it is a standard that other
//! languages have at hand. Finding two multisets with one digest is a short-vector problem
//! estimated at more than 2²⁰⁰ steps for this size; SHAKE128 itself limits the strength to
//! 128 bits. A plain sum of 256-bit hashes would not do: it yields to the generalised
//! birthday attack in about 2³² steps.

use sha2::{Digest, Sha256};
use shake::Shake128;
use shake::digest::{ExtendableOutput, Update, XofReader};

/// How many 16-bit numbers.
const WORDS: usize = 1024;
/// How many bytes a state has.
const STATE_BYTES: usize = 2 * WORDS;

/// The digest of a multiset of byte strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LtHash(Box<[u16; WORDS]>);

impl Default for LtHash {
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

impl LtHash {
    /// Adds an element so many times.
    ///
    /// ```
    /// use asof::model::LtHash;
    /// let (mut a, mut b) = (LtHash::default(), LtHash::default());
    /// a.add(b"x", 1);
    /// a.add(b"y", 2);
    /// b.add(b"y", 1);
    /// b.add(b"x", 1);
    /// assert_ne!(a, b);
    /// b.add(b"y", 1);
    /// assert_eq!(a, b);
    /// ```
    pub fn add(&mut self, element: &[u8], times: u64) {
        let mut shake = Shake128::default();
        shake.update(element);
        let mut stretched = [0; STATE_BYTES];
        shake.finalize_xof().read(&mut stretched);
        // Counts matter modulo 2¹⁶ alone.
        let times = times as u16;
        for (word, bytes) in self.0.iter_mut().zip(stretched.chunks_exact(2)) {
            let value = u16::from_le_bytes([bytes[0], bytes[1]]);
            *word = word.wrapping_add(value.wrapping_mul(times));
        }
    }

    /// Both multisets together.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(a, b)| *a = a.wrapping_add(*b));
        self
    }

    /// This multiset without the other.
    #[must_use]
    pub fn minus(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(a, b)| *a = a.wrapping_sub(*b));
        self
    }

    /// The numbers, little-endian, in order.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// A state from its bytes; `None` if there are not 2,048 of them.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != STATE_BYTES {
            return None;
        }
        let mut state = Self::default();
        for (word, bytes) in state.0.iter_mut().zip(bytes.chunks_exact(2)) {
            *word = u16::from_le_bytes([bytes[0], bytes[1]]);
        }
        Some(state)
    }

    /// SHA-256 of the state, as lower-case hex: short enough to be read out.
    pub fn fingerprint(&self) -> String {
        Sha256::digest(self.to_bytes()).iter().map(|b| format!("{b:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Python: `hashlib.shake_128(b"abc").digest(2048)`.
    #[test]
    fn one_element_is_its_shake128() {
        let mut hash = LtHash::default();
        hash.add(b"abc", 1);
        assert_eq!(hash.to_bytes()[..8], [0x58, 0x81, 0x09, 0x2d, 0xd8, 0x18, 0xbf, 0x5c]);
        assert_eq!(LtHash::from_bytes(&hash.to_bytes()), Some(hash.clone()));
        let mut other = LtHash::default();
        other.add(b"abc", 3);
        assert_eq!(other.minus(&hash).minus(&hash), hash);
    }
}
