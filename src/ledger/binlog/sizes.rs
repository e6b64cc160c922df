//! Whether escapes were read as they were meant: by the size of the events.
//!
//! MariaDB's tool writes a control character as `\x0a` and leaves a backslash
//! as it is, so that text could also be these four characters. The sizes of a group's events state how
//! long all of its values are together; the shortest reading is right if they agree.

/// The rows events of one group: where they begin and end, and what they look like.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// What the events take, without headers and checksums.
    stated: u64,
    /// What their rows take as they were read. `None`: cannot be told.
    read: Option<u64>,
    events: u64,
}

/// Header, table id and flags of a rows event of version 1.
const HEAD: u64 = 19 + 8;
const CHECKSUM: u64 = 4;

impl Sizes {
    pub(super) fn event(&mut self, start: u64, end: u64, checksum: bool) {
        let frame = HEAD + if checksum { CHECKSUM } else { 0 };
        self.stated += end.saturating_sub(start).saturating_sub(frame);
        self.events += 1;
        self.read.get_or_insert(0);
    }

    /// Adds an image of whole rows: its values' sizes, `None` if one cannot be told.
    pub(super) fn image(&mut self, columns: u64, values: Option<u64>) {
        self.read = self.read.zip(values).map(|(read, values)| read + columns.div_ceil(8) + values);
    }

    /// Whether the rows as read fill the events exactly. `images` (1 or 2) and `columns` are those of the events' rows.
    pub(super) fn agree(&self, frames: u64) -> bool {
        self.read.is_some_and(|read| self.events > 0 && read + frames == self.stated)
    }
}

/// The bytes before the rows of an event: the number of columns, and per image which of them it has.
pub(super) fn frame(columns: u64, images: u64) -> u64 {
    let number = if columns < 251 { 1 } else { 3 };
    number + images * columns.div_ceil(8)
}

/// The size of a value of a type, as its comment names it; `text` is the length of its bytes, for texts.
pub(super) fn value_size(kind: &str, text: u64) -> Option<u64> {
    let (name, argument) = match kind.split_once('(') {
        Some((name, rest)) => (name, rest.split_once(')').map(|(argument, _)| argument)),
        None => (kind.split_once(" meta=").map_or(kind, |(name, _)| name), None),
    };
    let number = || argument?.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok();
    let fraction = |base: u64| Some(base + number()?.div_ceil(2));
    Some(match name {
        "TINYINT" | "YEAR" => 1,
        "SHORTINT" => 2,
        "MEDIUMINT" | "DATE" => 3,
        "INT" | "FLOAT" => 4,
        "LONGINT" | "DOUBLE" => 8,
        "STRING" | "VARSTRING" => text + if number()? > 255 { 2 } else { 1 },
        "TINYBLOB/TINYTEXT" => 1 + text,
        "BLOB/TEXT" => 2 + text,
        "MEDIUMBLOB/MEDIUMTEXT" => 3 + text,
        "LONGBLOB/LONGTEXT" => 4 + text,
        "ENUM" | "SET" => number()?,
        "BIT" => number()?.div_ceil(8),
        "TIMESTAMP" if argument.is_some() => return fraction(4),
        "DATETIME" if argument.is_some() => return fraction(5),
        "TIME" if argument.is_some() => return fraction(3),
        "DECIMAL" => {
            let (precision, scale) = argument?.split_once(',')?;
            let (precision, scale): (u64, u64) = (precision.parse().ok()?, scale.parse().ok()?);
            let digits = |n: u64| n / 9 * 4 + [0, 1, 1, 2, 2, 3, 3, 4, 4][(n % 9) as usize];
            digits(precision.checked_sub(scale)?) + digits(scale)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_by_type() {
        assert_eq!(value_size("DECIMAL(18,2) meta=4610", 0), Some(9));
        assert_eq!(value_size("DECIMAL(30,10) meta=7690", 0), Some(14));
        assert_eq!(value_size("TIMESTAMP(6) meta=6", 0), Some(7));
        assert_eq!(value_size("DATETIME(0) meta=0", 0), Some(5));
        assert_eq!(value_size("STRING(12) meta=65036", 3), Some(4));
        assert_eq!(value_size("VARSTRING(800) meta=800", 3), Some(5));
        assert_eq!(value_size("ENUM(1 byte) meta=63233", 0), Some(1));
        assert_eq!(value_size("LONGINT meta=0", 0), Some(8));
        assert_eq!(value_size("JSON meta=4", 9), None);
    }
}
