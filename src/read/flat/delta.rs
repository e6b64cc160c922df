//! Numbers as bit-packed differences: the encoding `DELTA_BINARY_PACKED`.
//!
//! ```text
//! header     block size │ miniblocks per block │ count │ first value
//! block      smallest difference │ a bit width per miniblock │ miniblocks
//! miniblock  differences above the smallest
//! ```
//!
//! Nothing is stored for miniblocks behind the last value. Sums wrap around, so the low
//! 32 bits of a number are right whether its writer took 32 or 64.

use parquet::errors::ParquetError;

use super::header::damaged;
use super::hybrid::word;
use super::values::cut_off;

/// A place in such numbers, whose bytes the caller holds.
#[derive(Debug, Clone)]
pub(super) struct Delta {
    /// Where the next block or miniblock begins.
    at: usize,
    /// Numbers of a miniblock.
    size: usize,
    /// Miniblocks of a block.
    miniblocks: usize,
    /// Numbers that are still to come.
    left: usize,
    /// Whether the first number, which stands in the header, is among them.
    is_first: bool,
    last: i64,
    least: i64,
    /// Where the bit widths of the block stand, and how many of its miniblocks are gone past.
    widths: usize,
    done: usize,
}

/// Numbers of a block at most: those of a miniblock are decoded together. Writers take 128 or a few thousand.
const BLOCK_MAX: usize = 1 << 20;

impl Delta {
    /// The numbers that begin here.
    pub(super) fn new(page: &[u8], mut at: usize) -> Result<Self, ParquetError> {
        let mut number = || usize::try_from(varint(page, &mut at)?).map_err(|_| wrong());
        let (block, miniblocks, left) = (number()?, number()?, number()?);
        let last = zigzag(varint(page, &mut at)?);
        let size =
            block.checked_div(miniblocks).filter(|size| block <= BLOCK_MAX && size * miniblocks == block);
        let size = size.filter(|size| *size > 0 && size.is_multiple_of(32)).ok_or_else(wrong)?;
        Ok(Self { at, size, miniblocks, left, is_first: true, last, least: 0, widths: at, done: miniblocks })
    }

    /// Appends numbers until there are so many. There may be some more: those of a miniblock come together.
    pub(super) fn fill(&mut self, page: &[u8], upto: usize, out: &mut Vec<i64>) -> Result<(), ParquetError> {
        while out.len() < upto {
            if self.left == 0 {
                return Err(cut_off());
            }
            if std::mem::take(&mut self.is_first) {
                out.push(self.last);
                self.left -= 1;
                continue;
            }
            let (from, width, count) = self.miniblock(page)?;
            self.unpack((page, from * 8), width, count, out);
        }
        Ok(())
    }

    /// Where what stands behind the last number begins.
    pub(super) fn end(&self, page: &[u8]) -> Result<usize, ParquetError> {
        let mut rest = self.clone();
        if std::mem::take(&mut rest.is_first) {
            rest.left = rest.left.saturating_sub(1);
        }
        while rest.left > 0 {
            rest.miniblock(page)?;
        }
        Ok(rest.at)
    }

    /// Goes past the next miniblock: where its differences begin, their width, and how many of them there are.
    fn miniblock(&mut self, page: &[u8]) -> Result<(usize, usize, usize), ParquetError> {
        if self.done == self.miniblocks {
            self.least = zigzag(varint(page, &mut self.at)?);
            (self.widths, self.done) = (self.at, 0);
            self.at += self.miniblocks;
        }
        let width = usize::from(*page.get(self.widths + self.done).ok_or_else(cut_off)?);
        let (from, count) = (self.at, self.size.min(self.left));
        if width > 64 {
            return Err(damaged("differences of more than 64 bits"));
        }
        // The last miniblock may be cut off behind its last number.
        if from + (count * width).div_ceil(8) > page.len() {
            return Err(cut_off());
        }
        self.at = (from + self.size * width / 8).min(page.len());
        self.done += 1;
        self.left -= count;
        Ok((from, width, count))
    }

    fn unpack(&mut self, (page, first): (&[u8], usize), width: usize, count: usize, out: &mut Vec<i64>) {
        let mask = u64::MAX.checked_shr(64 - width as u32).unwrap_or(0);
        let (least, mut last) = (self.least, self.last);
        out.extend((0..count).map(|number| {
            let bit = first + number * width;
            let mut above = word(page, bit / 8) >> (bit % 8);
            if bit % 8 + width > 64 {
                above |= word(page, bit / 8 + 8) << (64 - bit % 8);
            }
            last = last.wrapping_add(least).wrapping_add((above & mask) as i64);
            last
        }));
        self.last = last;
    }
}

fn wrong() -> ParquetError {
    damaged("differences in blocks that cannot be")
}

fn varint(page: &[u8], at: &mut usize) -> Result<u64, ParquetError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *page.get(*at).ok_or_else(cut_off)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(damaged("a number that does not end"))
}

fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Prng;

    /// As the specification says, bit by bit. Narrow: differences wrap around at 32 bits.
    fn written(values: &[i64], (block, miniblocks): (usize, usize), narrow: bool) -> Vec<u8> {
        let mut out = Vec::new();
        for number in [block, miniblocks, values.len()] {
            push(number as u64, &mut out);
        }
        let signed = |value: i64, out: &mut Vec<u8>| push((value << 1 ^ value >> 63) as u64, out);
        let wrap = |value: i64| if narrow { i64::from(value as i32) } else { value };
        signed(values.first().copied().unwrap_or(0), &mut out);
        let differences: Vec<i64> =
            values.windows(2).map(|pair| wrap(pair[1].wrapping_sub(pair[0]))).collect();
        for differences in differences.chunks(block) {
            let least = *differences.iter().min().unwrap();
            signed(least, &mut out);
            let above = |difference: &i64| {
                let above = difference.wrapping_sub(least) as u64;
                if narrow { above & u64::from(u32::MAX) } else { above }
            };
            let above: Vec<u64> = differences.iter().map(above).collect();
            let width = |m: &[u64]| u64::BITS - m.iter().max().unwrap().leading_zeros();
            let stored: Vec<&[u64]> = above.chunks(block / miniblocks).collect();
            out.extend((0..miniblocks).map(|m| stored.get(m).map_or(0, |m| width(m)) as u8));
            for miniblock in stored {
                let bits = miniblock.iter().flat_map(|v| (0..width(miniblock)).map(move |bit| v >> bit & 1));
                let mut bits: Vec<u64> = bits.collect();
                bits.resize(block / miniblocks * width(miniblock) as usize, 0);
                out.extend(
                    bits.chunks(8).map(|b| b.iter().rev().fold(0, |byte, bit| byte << 1 | *bit as u8)),
                );
            }
        }
        out
    }

    fn push(mut value: u64, out: &mut Vec<u8>) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    fn read(page: &[u8], count: usize, step: usize) -> Result<Vec<i64>, ParquetError> {
        let (mut delta, mut out, mut found) = (Delta::new(page, 0)?, Vec::new(), Vec::new());
        while found.len() < count {
            let now = step.min(count - found.len());
            delta.fill(page, now, &mut out)?;
            found.extend(out.drain(..now));
        }
        assert!(out.is_empty(), "nothing is left over");
        Ok(found)
    }

    #[test]
    fn what_was_written_is_read_in_any_steps() {
        let mut random = Prng::new(3);
        for count in [1, 2, 33, 128, 129, 130, 500] {
            for shift in [0, 1, 7, 20, 31, 32, 33, 45, 63] {
                for shape in [(128, 4), (128, 1), (256, 2), (1024, 32)] {
                    let values: Vec<i64> = (0..count).map(|_| (random.next() as i64) >> shift).collect();
                    let mut page = written(&values, shape, false);
                    for step in [1, 7, 32, 8_192] {
                        assert_eq!(read(&page, count, step).unwrap(), values);
                    }
                    let end = page.len();
                    page.extend_from_slice(b"behind");
                    assert_eq!(Delta::new(&page, 0).unwrap().end(&page).unwrap(), end);
                    let narrow: Vec<i64> = values.iter().map(|v| i64::from(*v as i32)).collect();
                    let found = read(&written(&narrow, shape, true), count, 50).unwrap();
                    assert!(found.iter().zip(&narrow).all(|(found, own)| *found as i32 == *own as i32));
                }
            }
        }
    }

    #[test]
    fn what_is_cut_off_or_cannot_be_is_an_error() {
        let values: Vec<i64> = (0..300).map(|i| i * i % 1_000).collect();
        let page = written(&values, (128, 4), false);
        assert!(read(&page, 301, 301).is_err(), "more than there are");
        // The last miniblock holds eleven numbers of ten or eleven bits in 32 places.
        for end in 0..page.len() - 32 {
            assert!(read(&page[..end], 300, 300).is_err(), "{end}");
        }
        for (block, miniblocks) in [(128, 0), (0, 4), (100, 4), (1 << 40, 4), (128, 1 << 40)] {
            let mut header = Vec::new();
            for number in [block, miniblocks, 5, 0] {
                push(number, &mut header);
            }
            header.resize(64, 0);
            assert!(Delta::new(&header, 0).is_err(), "{block} in {miniblocks}");
        }
        let mut random = Prng::new(4);
        for _ in 0..20_000 {
            let mut page = page.clone();
            (0..3).for_each(|_| page[random.index(40)] = random.next() as u8);
            if let Ok(delta) = Delta::new(&page, 0) {
                let _ = (delta.end(&page), read_some(&page, delta));
            }
        }
    }

    fn read_some(page: &[u8], mut delta: Delta) -> Result<(), ParquetError> {
        delta.fill(page, 1_000, &mut Vec::new())
    }
}
