//! The `source` block: which table, which transaction, when, and where in the source's log.

use std::borrow::Cow;

use super::super::decode::Clock;
use super::super::json::{self, raw_members};
use super::super::position::{self, PositionKind};
use crate::read::json_scan::{Broken, Scan};

raw_members! {
    /// The members of a `source` block that matter here, raw: producers and versions differ in their types.
    pub(super) struct Source {
        version = "version",
        pub(super) connector = "connector",
        snapshot = "snapshot",
        pub(super) db = "db",
        pub(super) schema = "schema",
        pub(super) table = "table",
        pub(super) collection = "collection",
        ts_ms = "ts_ms",
        ts_us = "ts_us",
        ts_ns = "ts_ns",
        commit_ts_ms = "commit_ts_ms",
        sequence = "sequence",
        pub(super) lsn = "lsn",
        tx_id = "txId",
        tx_seq = "txSeq",
        server_id = "server_id",
        gtid = "gtid",
        file = "file",
        pos = "pos",
        row = "row",
        change_lsn = "change_lsn",
        commit_lsn = "commit_lsn",
        event_serial_no = "event_serial_no",
        scn = "scn",
        commit_scn = "commit_scn",
        user_name = "user_name",
    }
}

/// The databases whose `source` blocks have an order of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connector {
    Postgres,
    /// MySQL and MariaDB.
    Binlog,
    SqlServer,
    Oracle,
    Other,
}

/// Where a change stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    pub(super) commit: Option<u128>,
    pub(super) own: Option<u128>,
    /// PostgreSQL: there was no commit before; the change's own LSN.
    pub(super) reset: Option<u64>,
}

impl<'a> Source<'a> {
    /// Passes a block and takes in its members. One in which a member stands twice says nothing.
    pub(super) fn pass(&mut self, scan: &mut Scan<'a>) -> Result<(), Broken> {
        let mut sound = true;
        scan.object(|scan, name| {
            let raw = scan.value()?;
            sound &= name.text().is_ok_and(|name| self.set(&name, raw));
            Ok(())
        })?;
        if sound {
            self.settle();
        } else {
            *self = Self::default();
        }
        Ok(())
    }

    /// Whether the record has a block worth the name.
    pub(super) fn is_stated(&self) -> bool {
        [self.connector, self.version, self.db, self.table, self.lsn, self.file].iter().any(Option::is_some)
    }

    pub(super) fn connector(&self) -> Connector {
        match json::scalar(self.connector).as_deref() {
            Some("postgresql" | "yugabytedb") => Connector::Postgres,
            Some("mysql" | "mariadb") => Connector::Binlog,
            Some("sqlserver") => Connector::SqlServer,
            Some("oracle") => Connector::Oracle,
            // Blocks cut down to a few members still show whose they are.
            None if self.lsn.is_some() => Connector::Postgres,
            None if self.file.is_some() => Connector::Binlog,
            _ => Connector::Other,
        }
    }

    /// Whether the record comes from an initial read. Old connectors write those as inserts.
    pub(super) fn is_snapshot(&self) -> bool {
        json::scalar(self.snapshot).is_some_and(|s| s != "false")
    }

    /// The database's own clock, in nanoseconds.
    ///
    /// # Errors
    /// The number found, if it is out of range.
    pub(super) fn committed_at(&self) -> Result<Option<i64>, String> {
        let clocks =
            [(self.commit_ts_ms, 1_000_000), (self.ts_ns, 1), (self.ts_us, 1_000), (self.ts_ms, 1_000_000)];
        let stated = clocks.into_iter().find_map(|(raw, factor)| Some((json::raw_text(raw)?, factor)));
        let Some((text, factor)) = stated else { return Ok(None) };
        let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let number: i64 = inner.unwrap_or(text).parse().map_err(|_| text.to_owned())?;
        // Old MySQL connectors have no clock for initial reads.
        if number == 0 {
            return Ok(None);
        }
        number.checked_mul(factor).filter(|&n| n != i64::MIN).map(Some).ok_or_else(|| text.to_owned())
    }

    pub(super) fn clock(&self, connector: Connector) -> Clock {
        match connector {
            Connector::Postgres | Connector::SqlServer => Clock::Commit,
            Connector::Oracle if self.commit_ts_ms.is_some() => Clock::Commit,
            _ => Clock::Statement,
        }
    }

    /// The transaction, as the source names it; `block` is the id in the event's `transaction` block.
    pub(super) fn transaction(
        &self,
        connector: Connector,
        block: Option<Cow<'a, str>>,
    ) -> Option<Cow<'a, str>> {
        let own = match connector {
            Connector::Postgres | Connector::Oracle => json::scalar(self.tx_id),
            Connector::Binlog => json::scalar(self.gtid),
            Connector::SqlServer => json::scalar(self.commit_lsn),
            Connector::Other => None,
        };
        own.filter(|t| !t.is_empty()).or(block)
    }

    pub(super) fn transaction_number(&self) -> Option<u64> {
        json::integer(self.tx_id)
    }

    pub(super) fn actor(&self) -> Option<Cow<'a, str>> {
        json::scalar(self.user_name)
    }

    /// Which server's files a binlog position counts in. Initial reads name none.
    pub(super) fn server(&self) -> Option<u64> {
        json::integer(self.server_id).filter(|&id| id != 0)
    }

    /// The position, and what it means.
    pub(super) fn position(&self, connector: Connector, read: bool) -> Option<(PositionKind, Position)> {
        match connector {
            Connector::Postgres => Some((PositionKind::DebeziumLsn, self.lsn_position(read)?)),
            Connector::Binlog => self.binlog_position(),
            Connector::SqlServer => Some((PositionKind::ChangeLsn, self.change_lsn_position()?)),
            Connector::Oracle => Some((PositionKind::Scn, self.scn_position(read)?)),
            Connector::Other => None,
        }
    }

    /// `["last commit", "own"]`. The own LSN alone orders nothing: transactions run side by side.
    fn lsn_position(&self, read: bool) -> Option<Position> {
        let raw = self.sequence?;
        let [last_commit, own] = two_numbers(raw).or_else(|| sequence(raw))?;
        let own: u64 = own?;
        // Initial reads stand before the changes after the same commit.
        let commit = last_commit.map(|c: u64| u128::from(c) << 1 | u128::from(!read));
        let reset = if commit.is_none() { Some(own) } else { None };
        Some(Position { commit: commit.or(Some(0)), own: Some(u128::from(own)), reset })
    }

    fn binlog_position(&self) -> Option<(PositionKind, Position)> {
        let file = json::scalar(self.file)?;
        let (stem, number) = position::binlog_file(&file)?;
        let offset = json::integer(self.pos)?;
        let own = position::binlog_position(number, offset, json::integer(self.row).unwrap_or(0));
        Some((PositionKind::Binlog(stem.to_owned()), Position { own: Some(own), ..Position::default() }))
    }

    fn change_lsn_position(&self) -> Option<Position> {
        let commit = position::parse_change_lsn(&json::scalar(self.commit_lsn)?)?;
        let change = json::scalar(self.change_lsn).and_then(|t| position::parse_change_lsn(&t)).unwrap_or(0);
        let serial: u64 = json::integer(self.event_serial_no).unwrap_or(0);
        let own = change << 48 | u128::from(serial & 0xFFFF_FFFF_FFFF);
        Some(Position { commit: Some(commit), own: Some(own), reset: None })
    }

    /// The commit number of old versions was the previous commit's, so it is believed only
    /// from version 2 on, and only if it does not lie before the change.
    fn scn_position(&self, read: bool) -> Option<Position> {
        let scn: u64 = json::integer(self.scn)?;
        if read {
            // Initial reads see everything committed up to their number.
            let commit = u128::from(scn) << 64 | u128::from(u64::MAX);
            return Some(Position { commit: Some(commit), own: Some(0), reset: None });
        }
        let version = json::scalar(self.version)?;
        let major: u32 = version.split('.').next()?.parse().ok()?;
        let commit: u64 = json::integer(self.commit_scn)?;
        if major < 2 || commit < scn {
            return None;
        }
        let transaction = u64::from_str_radix(&json::scalar(self.tx_id)?, 16).ok()?;
        let own = json::integer::<u64>(self.tx_seq).map(u128::from);
        Some(Position { commit: Some(u128::from(commit) << 64 | u128::from(transaction)), own, reset: None })
    }
}

/// Both parts of a `sequence`, the last commit and the change's own LSN; `None` unless there are two.
fn sequence(raw: &str) -> Option<[Option<u64>; 2]> {
    let text = json::text(raw)?;
    let mut parts = [None, None];
    let mut count = 0;
    json::elements(&text, |part| {
        if let Some(slot) = parts.get_mut(count) {
            // Some connectors print the LSN with a sign.
            *slot =
                json::text(part).and_then(|t| t.parse().ok().or_else(|| Some(t.parse::<i64>().ok()? as u64)));
        }
        count += 1;
    })
    .ok()?;
    (count == 2).then_some(parts)
}

/// The same where both are there and written as connectors write them: `"[\"24\",\"32\"]"`.
fn two_numbers(raw: &str) -> Option<[Option<u64>; 2]> {
    let (commit, rest) = leading_number(raw.as_bytes().strip_prefix(br#""[\""#)?)?;
    let (own, rest) = leading_number(rest.strip_prefix(br#"\",\""#)?)?;
    (rest == br#"\"]""#).then_some([Some(commit), Some(own)])
}

/// The number that a text begins with, and what follows it.
fn leading_number(text: &[u8]) -> Option<(u64, &[u8])> {
    let (mut number, mut digits) = (0_u64, 0);
    while let Some(digit) = text.get(digits).filter(|byte| byte.is_ascii_digit()) {
        number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        digits += 1;
    }
    (digits > 0).then(|| (number, &text[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_reading_a_sequence_agree() {
        for raw in [
            r#""[\"24\",\"32\"]""#,
            r#""[\"0\",\"18446744073709551615\"]""#,
            r#""[null,\"32\"]""#,
            r#""[\"24\", \"32\"]""#,
            r#""[\"24\",\"\"]""#,
            r#""[\"24\",\"32\",\"40\"]""#,
            r#""[\"-1\",\"32\"]""#,
            r#""[\"99999999999999999999\",\"32\"]""#,
            r#""[\"24\"]""#,
            r#""""#,
            "24",
        ] {
            if let Some(two) = two_numbers(raw) {
                assert_eq!(Some(two), sequence(raw), "{raw}");
            }
        }
        assert_eq!(two_numbers(r#""[\"24\",\"32\"]""#), Some([Some(24), Some(32)]));
        assert_eq!(sequence(r#""[null,\"-1\"]""#), Some([None, Some(u64::MAX)]));
    }
}
