//! Zstandard frames of bytes that are not compressed.
//!
//! ```text
//! magic │ descriptor │ size of all, 4 bytes │ block │ block …
//! block: 3 bytes (last? 1 bit, raw = 0 in 2 bits, size in 21 bits) │ at most 128 KiB as they are
//! ```
//!
//! All pages of a chunk have one codec, whether it helps or not. Any reader takes
//! such a frame, and goes through it at the speed of a copy.

const MAGIC: u32 = 0xfd2f_b528;
/// One segment, whose size stands in four bytes.
const DESCRIPTOR: u8 = 0b1010_0000;
/// Bytes of a block at most.
const BLOCK: usize = 128 << 10;

/// The frame of a page, whose size is below 4 GiB.
pub(super) fn frame(plain: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(plain.len() + 9 + 3 * (1 + plain.len() / BLOCK));
    frame.extend_from_slice(&MAGIC.to_le_bytes());
    frame.push(DESCRIPTOR);
    frame.extend_from_slice(&(plain.len() as u32).to_le_bytes());
    let count = plain.len().div_ceil(BLOCK).max(1);
    for number in 0..count {
        let block = &plain[number * BLOCK..plain.len().min((number + 1) * BLOCK)];
        let header = (block.len() as u32) << 3 | u32::from(number + 1 == count);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.extend_from_slice(block);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_decompress_to_what_went_in() {
        for length in [0, 1, 4_096, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 7] {
            let plain: Vec<u8> = (0..length).map(|at| (at * 7 / 3) as u8).collect();
            let frame = frame(&plain);
            assert_eq!(zstd::bulk::decompress(&frame, length).unwrap(), plain, "{length}");
            assert_eq!(zstd::stream::decode_all(frame.as_slice()).unwrap(), plain, "{length}");
        }
    }
}
