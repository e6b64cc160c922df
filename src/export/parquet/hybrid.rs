//! The run-length and bit-packing hybrid in which Parquet writes levels and dictionary indices.

/// Fewer equal values from the beginning of eight on are bit-packed with their neighbours.
const RUN_MIN: usize = 16;

/// Bytes of the number in front of a run at most.
pub(super) const LENGTH_MAX: usize = u64::BITS.div_ceil(7) as usize;

/// Appends the runs of `values`, each of `width` bits (1 to 32).
pub(super) fn indices(values: &[u32], width: u32, out: &mut Vec<u8>) {
    let (mut at, mut packed_from) = (0, 0);
    // Bit-packed values come in eights, so a run begins behind a number of them.
    while let Some(next) = values.get(at..at + RUN_MIN) {
        let value = next[0];
        // Without a branch per value: indices of few entries repeat often and briefly.
        if next.iter().fold(0, |differs, other| differs | (value ^ other)) != 0 {
            at += EIGHT;
            continue;
        }
        let length = values[at..].iter().take_while(|other| **other == value).count();
        packed(&values[packed_from..at], width, out);
        varint((length as u64) << 1, out);
        out.extend_from_slice(&value.to_le_bytes()[..width.div_ceil(8) as usize]);
        at += length;
        packed_from = at;
    }
    packed(&values[packed_from..], width, out);
}

const EIGHT: usize = 8;

fn packed(values: &[u32], width: u32, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    varint((values.len().div_ceil(EIGHT) as u64) << 1 | 1, out);
    let width = width as usize;
    let (eights, rest) = values.as_chunks::<EIGHT>();
    out.reserve((eights.len() + 1) * width + size_of::<u64>());
    eights.iter().for_each(|values| eight(values, width, out));
    if !rest.is_empty() {
        // The last eight are filled up with zeros.
        let mut last = [0; EIGHT];
        last[..rest.len()].copy_from_slice(rest);
        eight(&last, width, out);
    }
}

/// Appends eight values, which take as many bytes as one takes bits.
fn eight(values: &[u32; EIGHT], width: usize, out: &mut Vec<u8>) {
    let end = out.len() + width;
    if width <= EIGHT {
        let bits = values.iter().rev().fold(0, |bits, &value| bits << width | u64::from(value));
        out.extend_from_slice(&bits.to_le_bytes());
        return out.truncate(end);
    }
    let (mut bits, mut filled) = (0_u64, 0);
    for &value in values {
        bits |= u64::from(value) << filled;
        filled += width;
        if filled >= 32 {
            out.extend_from_slice(&(bits as u32).to_le_bytes());
            bits >>= 32;
            filled -= 32;
        }
    }
    out.extend_from_slice(&bits.to_le_bytes());
    out.truncate(end);
}

/// Appends definition levels of `rows` cells that are all there.
pub(super) fn all_present(rows: usize, out: &mut Vec<u8>) {
    varint((rows as u64) << 1, out);
    out.push(1);
}

/// Appends definition levels given as bits, the first in the lowest; `bits` is filled up with zeros.
pub(super) fn present(rows: usize, bits: &[u8], out: &mut Vec<u8>) {
    let groups = rows.div_ceil(8);
    varint((groups as u64) << 1 | 1, out);
    out.extend_from_slice(&bits[..groups]);
    if let (Some(last), 1..) = (out.last_mut(), rows % 8) {
        *last &= (1 << (rows % 8)) - 1;
    }
}

/// Appends a number in groups of seven bits, the lowest first.
pub(super) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the hybrid as the specification says, bit by bit.
    fn read(bytes: &[u8], width: u32, count: usize) -> Vec<u32> {
        let (mut at, mut out) = (0, Vec::new());
        while out.len() < count {
            let (mut header, mut shift) = (0_u64, 0);
            loop {
                let byte = bytes[at];
                at += 1;
                header |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            if header & 1 == 0 {
                let length = width.div_ceil(8) as usize;
                let mut value = [0; 4];
                value[..length].copy_from_slice(&bytes[at..at + length]);
                at += length;
                out.extend(std::iter::repeat_n(u32::from_le_bytes(value), (header >> 1) as usize));
            } else {
                let count = (header >> 1) as usize * 8;
                for number in 0..count {
                    let bit = |b: usize| u32::from(bytes[at + b / 8] >> (b % 8) & 1);
                    let first = number * width as usize;
                    out.push((0..width as usize).map(|i| bit(first + i) << i).sum());
                }
                at += count * width as usize / 8;
            }
        }
        assert_eq!(at, bytes.len(), "nothing is left over");
        out.truncate(count);
        out
    }

    #[test]
    fn runs_and_packed_values_in_any_mixture_are_read_back() {
        let mut state = 1_u32;
        for width in [1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 31, 32] {
            for round in 0..60_usize {
                let mut values = Vec::new();
                while values.len() < round * 9 {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let length = if state >> 30 == 0 { state as usize % 70 } else { 1 };
                    values.extend(std::iter::repeat_n(state.rotate_left(7) >> (32 - width), length));
                }
                let mut bytes = Vec::new();
                indices(&values, width, &mut bytes);
                assert_eq!(read(&bytes, width, values.len()), values, "width {width}, round {round}");
            }
        }
    }
}
