//! Definition levels as bits: which cells have a value, and where the struct around them is there.
//!
//! A cell of a nullable column has a level of one bit, which is the answer already; with
//! a struct around it two bits, of which a word full is answered at once.

use parquet::errors::ParquetError;

use super::header::damaged;
use super::hybrid::{Hybrid, Run, word};

/// Bits, the first in the lowest of the first word. Those behind the last are zero.
#[derive(Debug, Default, Clone)]
pub(super) struct Bits {
    pub(super) words: Vec<u64>,
    pub(super) len: usize,
}

impl Bits {
    pub(super) fn clear(&mut self) {
        self.words.clear();
        self.len = 0;
    }

    pub(super) fn get(&self, at: usize) -> bool {
        self.words[at / 64] >> (at % 64) & 1 == 1
    }

    pub(super) fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Appends the lowest `count` (0 to 64) of `bits`.
    pub(super) fn push(&mut self, bits: u64, count: usize) {
        if count == 0 {
            return;
        }
        let bits = bits & (u64::MAX >> (64 - count));
        let filled = self.len % 64;
        match self.words.last_mut() {
            Some(last) if filled > 0 => {
                *last |= bits << filled;
                if filled + count > 64 {
                    self.words.push(bits >> (64 - filled));
                }
            }
            _ => self.words.push(bits),
        }
        self.len += count;
    }

    /// Appends one bit so many times.
    pub(super) fn run(&mut self, bit: bool, mut count: usize) {
        let bits = if bit { u64::MAX } else { 0 };
        while count > 0 {
            let now = count.min(64 - self.len % 64);
            self.push(bits, now);
            count -= now;
        }
    }

    pub(super) fn append(&mut self, other: &Self) {
        let mut left = other.len;
        for word in &other.words {
            self.push(*word, left.min(64));
            left -= left.min(64);
        }
    }
}

/// Appends the next `count` levels: where they are `highest`, and where they are not 0.
pub(super) fn read(
    levels: &mut Hybrid,
    bytes: &[u8],
    (count, highest): (usize, u32),
    (valid, around): (&mut Bits, &mut Bits),
) -> Result<(), ParquetError> {
    let mut left = count;
    while left > 0 {
        let (run, taken) = levels.next(bytes, left)?;
        match run {
            Run::Equal { value, .. } => {
                valid.run(value == highest, taken);
                around.run(value > 0, taken);
            }
            Run::Packed { from, bit, .. } => {
                packed(&bytes[from..levels.end], (bit, taken), highest, valid, around);
            }
            Run::None => return Err(damaged("fewer levels than rows")),
        }
        left -= taken;
    }
    Ok(())
}

fn packed(bytes: &[u8], (bit, count): (usize, usize), highest: u32, valid: &mut Bits, around: &mut Bits) {
    let mut done = 0;
    // A word read from any bit has 57 bits at least.
    while done < count {
        if highest == 1 {
            let at = bit + done;
            let now = (count - done).min(56);
            let bits = word(bytes, at / 8) >> (at % 8);
            valid.push(bits, now);
            around.push(bits, now);
            done += now;
        } else {
            let at = bit + 2 * done;
            let now = (count - done).min(28);
            let pairs = word(bytes, at / 8) >> (at % 8);
            let (low, high) = (pairs & EVEN, pairs >> 1 & EVEN);
            valid.push(compressed(high & !low), now);
            around.push(compressed(high | low), now);
            done += now;
        }
    }
}

const EVEN: u64 = 0x5555_5555_5555_5555;

/// Every second bit, moved together.
fn compressed(mut bits: u64) -> u64 {
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        bits = (bits | bits >> shift) & mask;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Prng;

    #[test]
    fn bits_are_appended_at_any_place() {
        let mut random = Prng::new(1);
        let (mut bits, mut expected) = (Bits::default(), Vec::new());
        for _ in 0..500 {
            let (value, count) = (random.next(), random.below(65) as usize);
            bits.push(value, count);
            expected.extend((0..count).map(|i| value >> i & 1 == 1));
            let (bit, count) = (random.below(2) == 0, random.below(150) as usize);
            bits.run(bit, count);
            expected.resize(expected.len() + count, bit);
        }
        let mut twice = Bits::default();
        twice.push(1, 3);
        twice.append(&bits);
        assert_eq!(bits.len, expected.len());
        assert_eq!(bits.count(), expected.iter().filter(|b| **b).count());
        assert!(expected.iter().enumerate().all(|(i, b)| bits.get(i) == *b && twice.get(i + 3) == *b));
    }

    #[test]
    fn two_bits_a_level_are_told_apart() {
        // Levels 0 to 2 in turn, packed: six bytes of 24 levels.
        let levels: Vec<u32> = (0..96).map(|i| (i * 7 / 3) % 3).collect();
        let mut bytes = vec![0_u8; 24];
        levels.iter().enumerate().for_each(|(i, l)| bytes[i / 4] |= (*l as u8) << (i % 4 * 2));
        for from in [0, 1, 5, 60] {
            let (mut valid, mut around) = (Bits::default(), Bits::default());
            packed(&bytes, (2 * from, 96 - from), 2, &mut valid, &mut around);
            for (i, level) in levels[from..].iter().enumerate() {
                assert_eq!((valid.get(i), around.get(i)), (*level == 2, *level > 0), "{i} from {from}");
            }
        }
    }
}
