//! The run-length and bit-packing hybrid in which levels and dictionary indices stand.

use parquet::errors::ParquetError;

use super::header::damaged;

/// A place in a hybrid whose bytes the caller holds.
#[derive(Debug, Default, Clone)]
pub(super) struct Hybrid {
    width: u32,
    /// Where the next run begins, and where the last one ends.
    at: usize,
    pub(super) end: usize,
    run: Run,
}

/// What is left of a run.
#[derive(Debug, Default, Clone, Copy)]
pub(super) enum Run {
    #[default]
    None,
    /// One value so many times.
    Equal { value: u32, left: usize },
    /// So many values of a packed run, the next at this bit behind this byte.
    Packed { from: usize, bit: usize, left: usize },
}

impl Hybrid {
    /// Runs of values of `width` bits between two places.
    pub(super) fn new(width: u32, at: usize, end: usize) -> Result<Self, ParquetError> {
        if width > 32 {
            Err(damaged("indices of more than 32 bits"))
        } else {
            Ok(Self { width, at, end, run: Run::None })
        }
    }

    /// The next values, at most `count`, as the run that they are in, and how many they are.
    pub(super) fn next(&mut self, bytes: &[u8], count: usize) -> Result<(Run, usize), ParquetError> {
        self.begin(bytes)?;
        let (run, width) = (self.run, self.width as usize);
        let taken = match &mut self.run {
            Run::Equal { left, .. } => {
                let taken = count.min(*left);
                *left -= taken;
                taken
            }
            Run::Packed { bit, left, .. } => {
                let taken = count.min(*left);
                *bit += taken * width;
                *left -= taken;
                taken
            }
            Run::None => 0,
        };
        Ok((run, taken))
    }

    /// Appends the next `count` values.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        mut count: usize,
        out: &mut Vec<u32>,
    ) -> Result<(), ParquetError> {
        while count > 0 {
            let (run, taken) = self.next(bytes, count)?;
            match run {
                Run::Equal { value, .. } => out.resize(out.len() + taken, value),
                Run::Packed { from, bit, .. } => unpack(&bytes[from..self.end], self.width, bit, taken, out),
                Run::None => return Err(damaged("fewer levels or indices than values")),
            }
            count -= taken;
        }
        Ok(())
    }

    /// Goes on to the next run if this one is used up.
    fn begin(&mut self, bytes: &[u8]) -> Result<(), ParquetError> {
        while matches!(self.run, Run::None | Run::Equal { left: 0, .. } | Run::Packed { left: 0, .. }) {
            if self.width == 0 {
                // Values of no bits are zeros; writers need not write runs of them.
                self.run = Run::Equal { value: 0, left: usize::MAX };
                return Ok(());
            }
            let mark = self.varint(bytes)?;
            let count = usize::try_from(mark >> 1).map_err(|_| damaged("a run that is too long"))?;
            let value_bytes = self.width.div_ceil(8) as usize;
            let length =
                if mark & 1 == 0 { Some(value_bytes) } else { count.checked_mul(self.width as usize) };
            let from = self.at;
            let until = length.and_then(|l| from.checked_add(l));
            self.run = if mark & 1 == 0 {
                let until =
                    until.filter(|u| *u <= self.end).ok_or_else(|| damaged("a run that is cut off"))?;
                let value = bytes[from..until].iter().rev().fold(0, |v, b| v << 8 | u32::from(*b));
                Run::Equal { value, left: count }
            } else {
                // The last run of a page may be cut off behind its last value.
                let held = self.end.saturating_sub(from).min(length.unwrap_or(usize::MAX)) * 8;
                Run::Packed { from, bit: 0, left: (held / self.width as usize).min(count.saturating_mul(8)) }
            };
            self.at = until.map_or(self.end, |u| u.min(self.end));
        }
        Ok(())
    }

    fn varint(&mut self, bytes: &[u8]) -> Result<u64, ParquetError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = bytes.get(self.at).filter(|_| self.at < self.end);
            let byte = *byte.ok_or_else(|| damaged("fewer levels or indices than values"))?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(damaged("a run whose length does not end"))
    }
}

/// Appends `count` values of `width` bits (1 to 32) from a bit of `bytes` on.
fn unpack(bytes: &[u8], width: u32, bit: usize, count: usize, out: &mut Vec<u32>) {
    let mask = (1_u64 << width) - 1;
    let width = width as usize;
    out.reserve(count);
    // Eight values fill whole bytes; up to a width of eight they fit into one word.
    let mut done = 0;
    if width <= 8 && bit.is_multiple_of(8) {
        let mut from = bit / 8;
        while done + 8 <= count && from + 8 <= bytes.len() {
            let word = word(bytes, from);
            out.extend((0..8).map(|i| (word >> (i * width) & mask) as u32));
            from += width;
            done += 8;
        }
    }
    out.extend((done..count).map(|i| {
        let bit = bit + i * width;
        (word(bytes, bit / 8) >> (bit % 8) & mask) as u32
    }));
}

/// Eight bytes from a place on; zeros behind the end.
#[inline]
pub(super) fn word(bytes: &[u8], from: usize) -> u64 {
    match bytes.get(from..from + 8) {
        Some(eight) => u64::from_le_bytes([
            eight[0], eight[1], eight[2], eight[3], eight[4], eight[5], eight[6], eight[7],
        ]),
        None => bytes[from.min(bytes.len())..].iter().rev().fold(0, |w, b| w << 8 | u64::from(*b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs of at least eight equal values as such, all others packed.
    fn written(values: &[u32], width: u32) -> Vec<u8> {
        let mut out = Vec::new();
        let mut from = 0;
        while from < values.len() {
            let equal = values[from..].iter().take_while(|v| **v == values[from]).count();
            let rest = &values[from..];
            if equal >= 8 || rest.len() < 8 {
                varint((equal as u64) << 1, &mut out);
                out.extend_from_slice(&values[from].to_le_bytes()[..width.div_ceil(8) as usize]);
                from += equal;
                continue;
            }
            varint(1 << 1 | 1, &mut out);
            let bits = rest[..8]
                .iter()
                .rev()
                .fold(String::new(), |s, v| s + &format!("{v:0w$b}", w = width as usize));
            let byte = |i: usize| u8::from_str_radix(&bits[bits.len() - 8 * (i + 1)..bits.len() - 8 * i], 2);
            out.extend((0..width as usize).map(|i| byte(i).unwrap()));
            from += 8;
        }
        out
    }

    fn varint(mut value: u64, out: &mut Vec<u8>) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    #[test]
    fn what_was_written_is_read_in_any_steps() {
        for width in 1..=32_u32 {
            let mask = (1_u64 << width) - 1;
            let values: Vec<u32> = (0..1_000_u64)
                .map(|i| (if i % 97 < 40 { 5 } else { i.wrapping_mul(2_654_435_761) } & mask) as u32)
                .collect();
            let bytes = written(&values, width);
            for step in [1, 3, 8, 64, 1_000] {
                let mut hybrid = Hybrid::new(width, 0, bytes.len()).unwrap();
                let mut found = Vec::new();
                while found.len() < values.len() {
                    let count = step.min(values.len() - found.len());
                    hybrid.read(&bytes, count, &mut found).unwrap();
                }
                assert_eq!(found, values, "{width} bits in steps of {step}");
            }
        }
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let values: Vec<u32> = (0..100).map(|i| i % 7).collect();
        let bytes = written(&values, 3);
        for end in 0..bytes.len() {
            let mut hybrid = Hybrid::new(3, 0, end).unwrap();
            assert!(hybrid.read(&bytes[..end], 100, &mut Vec::new()).is_err(), "{end}");
        }
        assert!(Hybrid::new(33, 0, 0).is_err());
    }

    #[test]
    fn values_of_no_bits_are_zeros() {
        let mut found = Vec::new();
        Hybrid::new(0, 0, 0).unwrap().read(&[], 3, &mut found).unwrap();
        assert_eq!(found, [0; 3]);
    }
}
