//! Positions: the sources' own order marks as `u128`, compared as numbers and never as text.
//!
//! A change carries up to two of them: where its transaction committed, and
//! where it stands itself. What the two numbers mean is a [`PositionKind`]:
//!
//! | kind | commit position | position | unique per |
//! |---|---|---|---|
//! | `Number` | as mapped | as mapped | change |
//! | `Lsn` (wal2json) | commit LSN (format 2) or end of the commit record (format 1) | index in the transaction | change |
//! | `Ordinal` (wal2json without usable LSN) | place of the transaction in the stream | index in the transaction | – |
//! | `DebeziumLsn` | LSN of the commit *before* this transaction, times 2, plus 1 | LSN of the change | change and key |
//! | `Binlog` | – | file number, offset, row in the event | change and key |
//! | `ChangeLsn` (SQL Server) | commit LSN | change LSN, event number | change |
//! | `Tso` (TiDB) | commit time stamp | – | key and op |
//! | `Sequence` (DynamoDB) | – | number in the shard | change and key |
//! | `Scn` (Oracle) | commit SCN, transaction | number in the transaction | change |
//! | `ChangeTable` (SQL Server) | commit LSN | command id, sequence LSN, operation | change |
//! | `Version` (tables with numbered commits) | version, plus 1 | place among changes of that version | – |
//! | `Instant` (histories of versions) | the instant | place among changes of that instant | – |
//!
//! "Change and key": one record of the source can hold several rows, and
//! Debezium writes a key update as a delete and an insert at one position.
//! Limits: a binlog position is only comparable within one server's sequence
//! of files, which the decoder watches; Debezium for PostgreSQL states no
//! commit position of its own, and the previous commit orders transactions just
//! as well, as PostgreSQL sends them in commit order.

use crate::model::time::{format_instant, parse_instant};

/// What the positions of a ledger mean, for printing, reading and identity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PositionKind {
    /// Plain numbers, as a mapped ledger states them.
    #[default]
    Number,
    /// PostgreSQL log positions, written as two hexadecimal halves.
    Lsn,
    /// Place of the transaction in the stream; says nothing outside this run.
    Ordinal,
    /// Debezium's PostgreSQL `sequence`: last commit and own position.
    DebeziumLsn,
    /// MySQL and MariaDB: the text before the number in the binlog file's name.
    Binlog(String),
    /// SQL Server log positions: 10 bytes, in three hexadecimal parts.
    ChangeLsn,
    /// Oracle system change numbers.
    Scn,
    /// TiDB's time stamps: milliseconds above 18 bits of a counter. A transaction changes a key once.
    Tso,
    /// Numbers that rise per shard; another shard may have the same.
    Sequence,
    /// SQL Server's change tables: commit LSN; command id, sequence LSN, operation.
    ChangeTable,
    /// Commit versions of a table.
    Version,
    /// Instants: begins and ends of versions.
    Instant,
}

/// Whether positions tell a redelivered change from a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PositionIdentity {
    /// Commit position and position together occur once per change.
    Change,
    /// They occur once per change of one key, so they identify nothing in a table without key.
    ChangeAndKey,
    /// They only order.
    Nothing,
}

impl PositionKind {
    /// Whether positions of this kind tell a redelivered change from a new one.
    pub fn identity(&self) -> PositionIdentity {
        match self {
            Self::Number | Self::Lsn | Self::ChangeLsn | Self::Scn | Self::ChangeTable => {
                PositionIdentity::Change
            }
            Self::DebeziumLsn | Self::Binlog(_) | Self::Tso | Self::Sequence => {
                PositionIdentity::ChangeAndKey
            }
            Self::Ordinal | Self::Instant | Self::Version => PositionIdentity::Nothing,
        }
    }

    /// An instant in nanoseconds as a position.
    pub(crate) fn of_instant(nanoseconds: i64) -> u128 {
        (i128::from(nanoseconds) - i128::from(i64::MIN)) as u128
    }

    /// The position in the source's own notation.
    ///
    /// ```
    /// use asof::ledger::PositionKind;
    /// assert_eq!(PositionKind::Lsn.format(Some(97_500_059_720), Some(2)), "16/B374D848 #2");
    /// let binlog = PositionKind::Binlog("mysql-bin.".into());
    /// assert_eq!(binlog.format(None, Some(3 << 96 | 1442 << 32 | 1)), "mysql-bin.000003:1442:1");
    /// ```
    pub fn format(&self, commit: Option<u128>, position: Option<u128>) -> String {
        match (self, commit, position) {
            (Self::Lsn, Some(c), Some(p)) => format!("{} #{p}", format_lsn(low(c))),
            (Self::Lsn, Some(c), None) => format_lsn(low(c)),
            (Self::Ordinal, Some(c), Some(p)) => format!("transaction {c} #{p}"),
            (Self::DebeziumLsn, _, Some(p)) => format_lsn(low(p)),
            (Self::DebeziumLsn, Some(c), None) => format!("after {}", format_lsn(low(c >> 1))),
            (Self::Binlog(stem), _, Some(p)) => {
                format!("{stem}{:06}:{}:{}", p >> 96, low(p >> 32), p as u32)
            }
            (Self::ChangeLsn, c, Some(p)) => {
                let commit = c.map_or_else(String::new, |c| format!("{} ", format_change_lsn(c)));
                format!("{commit}{} #{}", format_change_lsn(p >> 48), p & 0xFFFF_FFFF_FFFF)
            }
            (Self::ChangeLsn, Some(c), None) => format_change_lsn(c),
            (Self::ChangeTable, Some(c), Some(p)) => {
                format!("{} {}", format_change_lsn(c), format_change_lsn(p >> 4 & ((1 << 80) - 1)))
            }
            (Self::ChangeTable, Some(c), None) => format_change_lsn(c),
            (Self::Version, Some(c), _) => c.saturating_sub(1).to_string(),
            (Self::Instant, Some(c), _) => format_instant((c as i128 + i128::from(i64::MIN)) as i64),
            (Self::Scn, Some(c), p) => {
                let own = p.map_or_else(String::new, |p| format!(" #{p}"));
                format!("{}{own}", c >> 64)
            }
            (Self::Tso, Some(c), _) => c.to_string(),
            (_, Some(c), Some(p)) if c != p => format!("{c} {p}"),
            (_, c, p) => p.or(c).map_or_else(String::new, |p| p.to_string()),
        }
    }

    /// Reads a bound that a user gives as `position:…`: what [`PositionKind::format`] prints, or the source's
    /// own notation of a commit. The first number is the commit position, where this kind has one, the
    /// second the change's.
    ///
    /// ```
    /// use asof::ledger::PositionKind;
    /// assert_eq!(PositionKind::Lsn.parse("16/B374D848"), Some((Some(97_500_059_720), None)));
    /// assert_eq!(PositionKind::Number.parse("1042"), Some((None, Some(1042))));
    /// ```
    pub fn parse(&self, text: &str) -> Option<(Option<u128>, Option<u128>)> {
        let text = text.trim();
        match self {
            Self::Number | Self::Sequence => Some((None, Some(parse_position(text)?))),
            Self::Tso => Some((Some(text.parse().ok()?), None)),
            Self::Lsn => Some((Some(u128::from(parse_lsn(text)?)), None)),
            Self::Ordinal => None,
            Self::ChangeTable => {
                Some((Some(parse_change_lsn(text.split(' ').next().unwrap_or(text))?), None))
            }
            Self::Version => Some((Some(u128::from(text.parse::<u64>().ok()?) + 1), None)),
            Self::Instant => Some((Some(Self::of_instant(parse_instant(text, None).ok()?)), None)),
            Self::DebeziumLsn => {
                let lsn = parse_lsn(text).or_else(|| text.parse().ok())?;
                Some((None, Some(u128::from(lsn))))
            }
            Self::Binlog(_) => Some((None, Some(parse_binlog(text)?.1))),
            Self::ChangeLsn => Some((Some(parse_change_lsn(text)?), None)),
            Self::Scn => {
                Some((Some(u128::from(text.parse::<u64>().ok()?) << 64 | u128::from(u64::MAX)), None))
            }
        }
    }
}

fn low(value: u128) -> u64 {
    value as u64
}

/// A PostgreSQL log position as PostgreSQL writes it.
///
/// ```
/// assert_eq!(asof::ledger::format_lsn(97_500_059_720), "16/B374D848");
/// ```
pub fn format_lsn(lsn: u64) -> String {
    format!("{:X}/{:X}", lsn >> 32, lsn as u32)
}

/// A PostgreSQL log position from its two hexadecimal halves.
///
/// ```
/// use asof::ledger::parse_lsn;
/// assert!(parse_lsn("9/0") < parse_lsn("16/0"));
/// assert_eq!(parse_lsn("16/B374D848"), Some(97_500_059_720));
/// assert_eq!(parse_lsn("16"), None);
/// ```
pub fn parse_lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let half = |part: &str| {
        let digits = (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit());
        digits.then(|| u64::from_str_radix(part, 16).ok()).flatten()
    };
    Some(half(high)? << 32 | half(low)?)
}

/// `mysql-bin.000003:1442:1` or its first two parts: the text before the file's number, and the position.
pub(crate) fn parse_binlog(text: &str) -> Option<(&str, u128)> {
    let mut parts = text.split(':');
    let (stem, number) = binlog_file(parts.next()?)?;
    let offset: u64 = parts.next()?.parse().ok()?;
    let row: u32 = parts.next().map_or(Some(0), |p| p.parse().ok())?;
    parts.next().is_none().then_some((stem, binlog_position(number, offset, row)))
}

/// A binlog file's name, cut before its number.
pub(crate) fn binlog_file(name: &str) -> Option<(&str, u32)> {
    let digits = name.len() - name.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (stem, number) = name.split_at_checked(digits)?;
    Some((stem, number.parse().ok()?))
}

/// File number, offset and row as one number.
pub(crate) fn binlog_position(file: u32, offset: u64, row: u32) -> u128 {
    u128::from(file) << 96 | u128::from(offset) << 32 | u128::from(row)
}

/// A SQL Server log position: `0x0000002A000001C80003` or `0000002a:000001c8:0003`.
pub(crate) fn parse_change_lsn(text: &str) -> Option<u128> {
    let text = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let mut digits = 0;
    let mut value = 0_u128;
    for byte in text.bytes().filter(|&b| b != b':') {
        value = value << 4 | u128::from(char::from(byte).to_digit(16)?);
        digits += 1;
    }
    (digits == 20).then_some(value)
}

fn format_change_lsn(lsn: u128) -> String {
    format!("{:08x}:{:08x}:{:04x}", (lsn >> 48) as u32, (lsn >> 16) as u32, lsn as u16)
}

/// A position column of a mapped ledger: a whole number, or one of the notations that name themselves.
///
/// ```
/// use asof::ledger::parse_position;
/// assert_eq!(parse_position("007"), Some(7));
/// assert_eq!(parse_position("16/B374D848"), Some(97_500_059_720));
/// assert!(parse_position("mysql-bin.999999:4") < parse_position("mysql-bin.1000000:4"));
/// assert_eq!(parse_position("0x0000002A000001C80003"), parse_position("0000002a:000001c8:0003"));
/// assert_eq!(parse_position("b374d848"), None);
/// ```
pub fn parse_position(text: &str) -> Option<u128> {
    let text = text.trim();
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    if let Some(lsn) = parse_lsn(text) {
        return Some(u128::from(lsn));
    }
    parse_change_lsn(text).or_else(|| {
        let (stem, position) = parse_binlog(text)?;
        stem.ends_with('.').then_some(position)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_compare_as_numbers() {
        assert!(parse_lsn("9/0") < parse_lsn("16/0"));
        assert!(parse_position("mysql-bin.999999:4") < parse_position("mysql-bin.1000000:4"));
        assert_eq!(parse_lsn("16/B374D848"), Some(97_500_059_720));
        assert_eq!(parse_change_lsn("0x0000002A000001C80003"), parse_change_lsn("0000002a:000001c8:0003"));
        assert_eq!(parse_position("9007199254740993"), Some(9_007_199_254_740_993));
    }

    #[test]
    fn what_is_printed_can_be_read() {
        let binlog = PositionKind::Binlog("mysql-bin.".to_owned());
        let place = binlog_position(3, 1442, 1);
        assert_eq!(binlog.parse(&binlog.format(None, Some(place))), Some((None, Some(place))));
        let lsn = PositionKind::DebeziumLsn;
        assert_eq!(lsn.parse(&lsn.format(Some(9), Some(97_500_059_720))), Some((None, Some(97_500_059_720))));
    }

    #[test]
    fn other_texts_are_no_positions() {
        for text in ["", "x", "16/", "/1", "1/2/3", "123456789/0", "0x12", "bin:1", "a.1:x", "-3", "é/1"] {
            assert_eq!(parse_position(text).filter(|_| !text.is_empty()), None, "{text}");
        }
    }
}
