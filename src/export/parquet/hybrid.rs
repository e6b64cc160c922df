//! The run-length and bit-packing hybrid in which Parquet writes levels and dictionary indices.

/// A run of equal values shorter than this is bit-packed with its neighbours.
const RUN_MIN: usize = 16;

/// Bytes of the number in front of a run at most.
pub(super) const LENGTH_MAX: usize = u64::BITS.div_ceil(7) as usize;

/// Appends the runs of `values`, each of `width` bits (1 to 32).
pub(super) fn indices(values: &[u32], width: u32, out: &mut Vec<u8>) {
    let (mut at, mut packed_from) = (0_usize, 0_usize);
    for run in values.chunk_by(|a, b| a == b) {
        // Bit-packed values come in eights, so a run first fills those before it.
        let fill = (at - packed_from).next_multiple_of(8) - (at - packed_from);
        let end = at + run.len();
        if run.len() >= fill + RUN_MIN {
            packed(&values[packed_from..at + fill], width, out);
            varint(((run.len() - fill) as u64) << 1, out);
            out.extend_from_slice(&run[0].to_le_bytes()[..width.div_ceil(8) as usize]);
            packed_from = end;
        }
        at = end;
    }
    packed(&values[packed_from..], width, out);
}

fn packed(values: &[u32], width: u32, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    varint((values.len().div_ceil(8) as u64) << 1 | 1, out);
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
    // The last eight are filled up with zeros.
    let missing = values.len().next_multiple_of(8) - values.len();
    let rest = (filled as usize + missing * width as usize).div_ceil(8);
    out.extend(bits.to_le_bytes().into_iter().chain(std::iter::repeat(0)).take(rest));
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
