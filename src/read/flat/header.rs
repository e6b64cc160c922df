//! Page headers: what a page is and how many bytes it has.
//!
//! They are written in Thrift's compact protocol. Fields that are of no use here
//! (statistics, checksums) are gone past whatever is in them, so headers of later
//! versions of the format are read too.

use parquet::errors::ParquetError;

/// What a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// So many entries of a dictionary.
    Dictionary { values: usize },
    /// So many values, levels in the compressed bytes, in front of them.
    Data { values: usize, encoding: i64 },
    /// So many values, behind so many uncompressed bytes of levels.
    DataV2 { values: usize, encoding: i64, definition: usize, repetition: usize, compressed: bool },
    /// Something that holds no values of the column.
    Other,
}

/// The header of one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// Bytes of the page behind its header, in the file and decompressed.
    pub(super) stored: usize,
    pub(super) size: usize,
}

/// Nested structs of a header; deeper ones are nobody's.
const DEPTH_MAX: usize = 8;

const STRUCT: u8 = 12;

pub(super) fn damaged(what: impl Into<String>) -> ParquetError {
    ParquetError::General(what.into())
}

/// The header at the beginning of `bytes`, and how many bytes it has.
pub(super) fn header(bytes: &[u8]) -> Result<(Header, usize), ParquetError> {
    let mut at = Compact { bytes, at: 0 };
    let (mut page, mut size, mut stored, mut inner) = (None, None, None, [None; 9]);
    at.fields(|at, field, kind| {
        match field {
            1 => page = Some(at.integer(kind)?),
            2 => size = Some(at.integer(kind)?),
            3 => stored = Some(at.integer(kind)?),
            5 | 7 | 8 if kind == STRUCT => at.fields(|at, field, kind| match (field, kind) {
                (1..=7, 1..=6) => {
                    inner[field as usize] = Some(at.integer(kind)?);
                    Ok(())
                }
                _ => at.skip(kind, 0),
            })?,
            _ => at.skip(kind, 0)?,
        }
        Ok(())
    })?;
    let size_of = |value: Option<i64>| {
        value.and_then(|v| usize::try_from(v).ok()).ok_or_else(|| damaged("a page header without its sizes"))
    };
    let encoding = |value: Option<i64>| value.ok_or_else(|| damaged("a page header without its encoding"));
    let kind = match page {
        Some(0) => Kind::Data { values: size_of(inner[1])?, encoding: encoding(inner[2])? },
        Some(2) => Kind::Dictionary { values: size_of(inner[1])? },
        Some(3) => Kind::DataV2 {
            values: size_of(inner[1])?,
            encoding: encoding(inner[4])?,
            definition: size_of(inner[5])?,
            repetition: size_of(inner[6])?,
            compressed: inner[7] != Some(0),
        },
        Some(_) => Kind::Other,
        None => return Err(damaged("a page header without its type")),
    };
    Ok((Header { kind, stored: size_of(stored)?, size: size_of(size)? }, at.at))
}

/// A place in bytes of the compact protocol.
struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Compact<'_> {
    fn byte(&mut self) -> Result<u8, ParquetError> {
        let byte =
            self.bytes.get(self.at).copied().ok_or_else(|| damaged("a page header that is cut off"))?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64, ParquetError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(damaged("a number of a page header that does not end"))
    }

    /// A number, or a truth value, which lies in its type.
    fn integer(&mut self, kind: u8) -> Result<i64, ParquetError> {
        match kind {
            1 => Ok(1),
            2 => Ok(0),
            3 => Ok(i64::from(self.byte()? as i8)),
            4..=6 => self.varint().map(|v| (v >> 1) as i64 ^ -((v & 1) as i64)),
            _ => Err(damaged("a field of a page header that is no number")),
        }
    }

    /// Gives number and type of each field of a struct to `take`, which goes past its value.
    fn fields(
        &mut self,
        mut take: impl FnMut(&mut Self, i64, u8) -> Result<(), ParquetError>,
    ) -> Result<(), ParquetError> {
        let mut field = 0_i64;
        loop {
            let byte = self.byte()?;
            if byte == 0 {
                return Ok(());
            }
            field = match byte >> 4 {
                0 => self.integer(4)?,
                delta => field.saturating_add(i64::from(delta)),
            };
            take(self, field, byte & 0x0f)?;
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), ParquetError> {
        if depth > DEPTH_MAX {
            return Err(damaged("a page header that is nested too deep"));
        }
        match kind {
            1 | 2 => Ok(()),
            3..=6 => self.integer(kind).map(drop),
            7 => self.past(8),
            8 => {
                let length = self.varint()?;
                self.past(usize::try_from(length).unwrap_or(usize::MAX))
            }
            9 | 10 => {
                let byte = self.byte()?;
                let count = if byte >> 4 == 15 { self.varint()? } else { u64::from(byte >> 4) };
                // Truth values have a byte each in a list.
                let kind = if matches!(byte & 0x0f, 1 | 2) { 3 } else { byte & 0x0f };
                (0..count).try_for_each(|_| self.skip(kind, depth + 1))
            }
            STRUCT => self.fields(|at, _, kind| at.skip(kind, depth + 1)),
            _ => Err(damaged("a field of a page header of no known type")),
        }
    }

    fn past(&mut self, count: usize) -> Result<(), ParquetError> {
        match self.at.checked_add(count).filter(|end| *end <= self.bytes.len()) {
            Some(end) => {
                self.at = end;
                Ok(())
            }
            None => Err(damaged("a page header that is cut off")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// type 0; sizes 10 and 7; crc; data page header with 5 values, PLAIN, RLE, RLE and statistics.
    const DATA: &[u8] = &[
        0x15, 0, 0x15, 20, 0x15, 14, 0x15, 2, 0x1c, 0x15, 10, 0x15, 0, 0x15, 6, 0x15, 6, 0x1c, 0x18, 2, b'a',
        b'b', 0, 0, 0, 0xff,
    ];

    #[test]
    fn a_header_ends_where_it_ends_whatever_else_is_in_it() {
        let (found, length) = header(DATA).unwrap();
        assert_eq!(found, Header { kind: Kind::Data { values: 5, encoding: 0 }, stored: 7, size: 10 });
        assert_eq!(length, DATA.len() - 1);
    }

    #[test]
    fn a_header_that_is_cut_off_is_an_error_wherever_it_is() {
        for end in 0..DATA.len() - 1 {
            assert!(header(&DATA[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(header(&[0xff; 64]).is_err());
        assert!(header(&[0; 4]).is_err());
        let nested: Vec<u8> = std::iter::repeat_n(0x9c, 10_000).collect();
        assert!(header(&nested).is_err());
        // A negative size.
        let mut negative = DATA.to_vec();
        negative[3] = 19;
        assert!(header(&negative).is_err());
    }
}
