//! Integers as bit-packed differences: the encoding `DELTA_BINARY_PACKED`.
//!
//! ```text
//! header   block size 128 │ 4 miniblocks │ count │ first value
//! block    smallest difference │ 4 bit widths │ 4 × 32 differences above the smallest
//! ```
//!
//! Ids that rise and amounts of few digits need a part of their eight bytes, and
//! what is not written need not be compressed.

use super::bounds::Number;
use super::hybrid::varint;

const BLOCK: usize = 128;
const MINIBLOCK: usize = 32;

/// Bytes of so many values of so many bytes each at most.
pub(super) const fn bytes_max(values: usize, width: usize) -> usize {
    // Header and smallest differences are numbers of ten bytes at most.
    4 * 10 + values.div_ceil(BLOCK) * (10 + BLOCK / MINIBLOCK + BLOCK * width)
}

/// Appends `values`; `bits` of each are 32 or 64, by the width of its type.
pub(super) fn encode<T: Number>(values: impl ExactSizeIterator<Item = T>, out: &mut Vec<u8>) {
    let narrow = size_of::<T>() == 4;
    varint(BLOCK as u64, out);
    varint((BLOCK / MINIBLOCK) as u64, out);
    varint(values.len() as u64, out);
    // Differences wrap around at the width of the type.
    let wrap = |value: u64| if narrow { value as u32 as i32 as i64 } else { value as i64 };
    let mut values = values.map(|value| wrap(value.bits()));
    let mut last = values.next().unwrap_or(0);
    zigzag(last, out);
    let mut block = [0_i64; BLOCK];
    loop {
        let mut count = 0;
        for value in values.by_ref().take(BLOCK) {
            block[count] = wrap(value.wrapping_sub(last) as u64);
            last = value;
            count += 1;
        }
        if count == 0 {
            return;
        }
        write_block(&mut block, count, narrow, out);
    }
}

fn write_block(block: &mut [i64; BLOCK], count: usize, narrow: bool, out: &mut Vec<u8>) {
    let least = block[..count].iter().copied().fold(i64::MAX, i64::min);
    zigzag(least, out);
    // The rest of the last miniblock is filled with the smallest difference.
    let filled = count.next_multiple_of(MINIBLOCK);
    block[count..filled].fill(least);
    let widths = out.len();
    out.resize(widths + BLOCK / MINIBLOCK, 0);
    for (number, miniblock) in block[..filled].chunks_exact_mut(MINIBLOCK).enumerate() {
        let mut all = 0;
        for difference in miniblock.iter_mut() {
            let above = difference.wrapping_sub(least) as u64;
            let above = if narrow { above & u64::from(u32::MAX) } else { above };
            *difference = above as i64;
            all |= above;
        }
        let width = u64::BITS - all.leading_zeros();
        out[widths + number] = width as u8;
        pack(miniblock, width, out);
    }
}

/// Appends the low `width` bits of each number, the first in the lowest bits.
fn pack(numbers: &[i64], width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let (mut bits, mut filled) = (0_u64, 0);
    for &number in numbers {
        let number = number as u64;
        bits |= number << filled;
        filled += width;
        if filled >= u64::BITS {
            out.extend_from_slice(&bits.to_le_bytes());
            filled -= u64::BITS;
            // What of this number did not fit; all of it did where nothing is left over.
            bits = if filled == 0 { 0 } else { number >> (width - filled) };
        }
    }
    out.extend_from_slice(&bits.to_le_bytes()[..filled.div_ceil(8) as usize]);
}

fn zigzag(value: i64, out: &mut Vec<u8>) {
    varint((value << 1 ^ value >> 63) as u64, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Prng;

    struct Reader<'a>(&'a [u8]);

    impl Reader<'_> {
        fn byte(&mut self) -> u8 {
            let (first, rest) = self.0.split_first().unwrap();
            self.0 = rest;
            *first
        }

        fn varint(&mut self) -> u64 {
            let (mut value, mut shift) = (0, 0);
            loop {
                let byte = self.byte();
                value |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    return value;
                }
            }
        }

        fn zigzag(&mut self) -> i64 {
            let value = self.varint();
            (value >> 1) as i64 ^ -((value & 1) as i64)
        }

        /// Reads the encoding as the specification says, bit by bit.
        fn all(&mut self) -> Vec<i64> {
            assert_eq!((self.varint(), self.varint()), (128, 4));
            let count = self.varint() as usize;
            let mut values = vec![self.zigzag()];
            while values.len() < count {
                let least = self.zigzag();
                let widths: Vec<u8> = (0..4).map(|_| self.byte()).collect();
                for width in widths {
                    if values.len() >= count {
                        assert_eq!(width, 0, "miniblocks behind the last value are empty");
                        continue;
                    }
                    let bytes: Vec<u8> = (0..width as usize * 4).map(|_| self.byte()).collect();
                    for number in 0..32 {
                        let bit = |b: usize| u64::from(bytes[b / 8] >> (b % 8) & 1);
                        let above: u64 =
                            (0..width as usize).map(|i| bit(number * width as usize + i) << i).sum();
                        let last = values[values.len() - 1];
                        values.push(last.wrapping_add(least).wrapping_add(above as i64));
                    }
                }
            }
            assert!(self.0.is_empty(), "nothing is left over");
            values.truncate(count);
            values
        }
    }

    #[test]
    fn numbers_of_all_widths_are_read_back() {
        let mut random = Prng::new(11);
        for count in [1, 2, 31, 32, 33, 128, 129, 130, 161, 1000] {
            for shift in 0..64 {
                let wide: Vec<i64> = (0..count).map(|_| (random.next() as i64) >> shift).collect();
                let mut out = Vec::new();
                encode(wide.iter().copied(), &mut out);
                assert_eq!(Reader(&out).all(), wide);
                let narrow: Vec<i32> = wide.iter().map(|&v| v as i32).collect();
                out.clear();
                encode(narrow.iter().copied(), &mut out);
                let read: Vec<i32> = Reader(&out).all().into_iter().map(|v| v as i32).collect();
                assert_eq!(read, narrow);
            }
        }
    }

    #[test]
    fn numbers_that_rise_by_one_take_no_room() {
        let mut out = Vec::new();
        encode((0..10_000_i32).map(i64::from), &mut out);
        assert!(out.len() < 500, "{}", out.len());
    }
}
