//! Ledgers whose records carry a hash and the hash of the record before them.
//!
//! ```text
//!  record  hash  previous
//!  1       a1    00
//!  2       b7    a1
//!  4       d3    c9         no record here has the hash c9: one is missing before this one, or a hash was altered
//!  5       e0    d3
//! ```
//!
//! How a source computes its hashes, over which columns written how, no record says. So links are followed, and
//! contents are never computed anew: a record that was altered together with every hash behind it looks sound.
//! Records missing at either end leave no open link.
//!
//! The order is that of the files, or its reverse, whichever links more neighbours.

use std::collections::HashMap;
use std::path::PathBuf;

use arrow::array::ArrayRef;

use crate::error::{At, Error, Result, nearest};
use crate::model::{Discrepancy, DiscrepancyKind as Kind, LedgerPlace, canon};
use crate::plan::{HashChain, Ledger};
use crate::read::{InputFile, Spool, Table, TableSource};

/// Open links that are told one by one.
const TOLD: usize = 1000;

/// One record. Hashes are those of their texts; 0 is none.
#[derive(Debug, Clone, Copy)]
struct Link {
    hash: u128,
    previous: u128,
    file: u32,
    record: u64,
}

/// Follows the hash chain of a ledger; what does not hold, without the name of a dataset.
///
/// # Errors
/// A file cannot be read as a table, or lacks a column.
pub fn follow(
    files: &[InputFile],
    ledger: &Ledger,
    chain: &HashChain,
    spool: &Spool,
) -> Result<Vec<Discrepancy>> {
    let mut groups: Vec<Vec<Link>> = Vec::new();
    let mut known: HashMap<u128, usize> = HashMap::new();
    for (number, file) in files.iter().enumerate() {
        links(file, number as u32, (ledger, chain), spool, &mut |id, link| {
            let group = *known.entry(id).or_insert(groups.len());
            if group == groups.len() {
                groups.push(Vec::new());
            }
            groups[group].push(link);
        })?;
    }
    let mut told = Told { files, found: Vec::new(), more: 0 };
    for mut links in groups {
        let rising = links.windows(2).filter(|pair| pair[1].previous == pair[0].hash).count();
        let falling = links.windows(2).filter(|pair| pair[0].previous == pair[1].hash).count();
        if falling > rising {
            links.reverse();
        }
        walk(&links, &mut told);
    }
    Ok(told.finish())
}

/// Takes the records of one file, each with the number of its chain.
fn links(
    file: &InputFile,
    number: u32,
    (ledger, chain): (&Ledger, &HashChain),
    spool: &Spool,
    take: &mut impl FnMut(u128, Link),
) -> Result<()> {
    let source = TableSource { pattern: file.path.clone(), as_text: true, ..ledger.table.clone() };
    let table = Table::open(&source, spool)?;
    let names: Vec<String> = table.schema().fields().iter().map(|f| f.name().clone()).collect();
    let column = |wanted: &String| {
        names.iter().position(|name| name == wanted).ok_or_else(|| Error::Malformed {
            path: file.path.clone(),
            at: At::default(),
            expected: format!("a column {wanted:?} of the hash chain"),
            found: format!("columns {}", names.join(", ")),
            hint: Some(match nearest(wanted, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "name it in the plan under ledger.hash_chain".to_owned(),
            }),
        })
    };
    let (hash, previous) = (column(&chain.hash)?, column(&chain.previous)?);
    let per = chain.per.iter().map(column).collect::<Result<Vec<_>>>()?;
    let mut wanted: Vec<usize> = [hash, previous].into_iter().chain(per.iter().copied()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    for group in 0..table.groups() {
        let batch = table.read(group, &wanted, None)?;
        let array = |column: usize| batch.column(wanted.partition_point(|&other| other < column));
        for row in 0..batch.num_rows() {
            let parts: Vec<Option<String>> =
                per.iter().map(|&c| canon::cell_text(array(c).as_ref(), row)).collect();
            let link = Link {
                hash: digest(array(hash), row),
                previous: digest(array(previous), row),
                file: number,
                record: table.record(group, row),
            };
            take(if per.is_empty() { 0 } else { group_of(&parts) }, link);
        }
    }
    Ok(())
}

/// A number for the values that tell one chain from another; other than 0, as good as surely.
fn group_of(parts: &[Option<String>]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(format!("{parts:?}").as_bytes())
}

/// The text of a hash as a number; 0 for none. Hexadecimal digits are the same in either case, with or without `0x`.
fn digest(array: &ArrayRef, row: usize) -> u128 {
    let Some(text) = canon::cell_text(array.as_ref(), row) else { return 0 };
    let text = text.trim();
    let bare = text.strip_prefix("0x").or_else(|| text.strip_prefix("\\x")).unwrap_or(text);
    if bare.is_empty() {
        return 0;
    }
    match bare.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => xxhash_rust::xxh3::xxh3_128(bare.to_ascii_lowercase().as_bytes()),
        false => xxhash_rust::xxh3::xxh3_128(text.as_bytes()),
    }
}

/// Findings on their way.
struct Told<'a> {
    files: &'a [InputFile],
    found: Vec<Discrepancy>,
    more: u64,
}

impl Told<'_> {
    fn path(&self, link: &Link) -> PathBuf {
        self.files.get(link.file as usize).map(|file| file.path.clone()).unwrap_or_default()
    }

    fn push(&mut self, link: &Link, count: u64, message: String) {
        if self.found.len() >= TOLD {
            self.more += count;
            return;
        }
        let mut one = Discrepancy::new(Kind::HashChainBreak, "", message);
        one.count = count;
        one.touches_snapshot = true;
        one.ledger = Some(LedgerPlace {
            file: self.path(link).display().to_string(),
            record: link.record,
            ..LedgerPlace::default()
        });
        self.found.push(one);
    }

    fn finish(mut self) -> Vec<Discrepancy> {
        if let Some(last) = self.found.last_mut() {
            last.count += self.more;
        }
        self.found
    }
}

/// Goes along one chain.
fn walk(links: &[Link], told: &mut Told<'_>) {
    let mut by_hash: HashMap<u128, usize> = HashMap::new();
    links.iter().enumerate().filter(|(_, l)| l.hash != 0).for_each(|(at, l)| {
        by_hash.entry(l.hash).or_insert(at);
    });
    let mut followed: HashMap<u128, usize> = HashMap::new();
    let mut elsewhere: Vec<usize> = Vec::new();
    let mut broken_before = false;
    for (at, link) in links.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| &links[before]);
        let is_again = before.is_some_and(|b| (b.hash, b.previous) == (link.hash, link.previous));
        let first = by_hash.get(&link.hash).copied().unwrap_or(at);
        let mut breaks = false;
        if link.hash == 0 {
            breaks = true;
            told.push(link, 1, "this record states no hash".to_owned());
        } else if first < at && !is_again {
            breaks = true;
            let other = links[first].record;
            told.push(
                link,
                1,
                format!(
                    "this record states the hash of record {other}: one of the two was altered or made up"
                ),
            );
        } else if let Some(before) = before.filter(|b| !is_again && link.previous != b.hash && b.hash != 0) {
            let skipped =
                at.checked_sub(2).is_some_and(|two| broken_before && links[two].hash == link.previous);
            match (by_hash.get(&link.previous), followed.get(&link.previous)) {
                // What stands between does not belong, and is told.
                _ if skipped => {}
                (None, _) => {
                    breaks = true;
                    told.push(link, 1, missing(before, link));
                }
                (Some(_), Some(&other)) => {
                    breaks = true;
                    let other = links[other].record;
                    told.push(
                        link,
                        1,
                        format!(
                            "this record and record {other} both follow the same one: one of them was made up"
                        ),
                    );
                }
                (Some(_), None) => elsewhere.push(at),
            }
        }
        followed.entry(link.previous).or_insert(at);
        broken_before = breaks;
    }
    if let Some(&first) = elsewhere.first() {
        let message = "the record that this one follows stands elsewhere: records stand in another order than their \
                       hashes were chained in";
        told.push(&links[first], elsewhere.len() as u64, message.to_owned());
    }
}

fn missing(before: &Link, link: &Link) -> String {
    match link.previous {
        0 => format!("this record states no hash of the one before it (record {})", before.record),
        _ => format!(
            "no record has the hash that this one states of the one before it: records between record {} and this one \
             are missing, or one of the two hashes was altered",
            before.record
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks of a chain of (hash, previous) pairs: record and first words.
    fn breaks(chain: &[(u128, u128)]) -> Vec<(u64, String, u64)> {
        let link = |(at, &(hash, previous)): (usize, &(u128, u128))| Link {
            hash,
            previous,
            file: 0,
            record: at as u64 + 1,
        };
        let links: Vec<Link> = chain.iter().enumerate().map(link).collect();
        let mut told = Told { files: &[], found: Vec::new(), more: 0 };
        walk(&links, &mut told);
        let short = |text: &str| text.split_whitespace().take(4).collect::<Vec<_>>().join(" ");
        told.finish()
            .iter()
            .map(|d| (d.ledger.as_ref().unwrap().record, short(&d.message), d.count))
            .collect()
    }

    #[test]
    fn one_fault_is_one_break() {
        let sound = [(1, 9), (2, 1), (3, 2), (4, 3), (5, 4)];
        assert_eq!(breaks(&sound), []);
        let one = |record, words: &str, count| vec![(record, words.to_owned(), count)];
        assert_eq!(breaks(&[(1, 9), (2, 1), (4, 3), (5, 4)]), one(3, "no record has the", 1), "removed");
        assert_eq!(
            breaks(&[(1, 9), (2, 1), (7, 2), (4, 3), (5, 4)]),
            one(4, "no record has the", 1),
            "altered hash"
        );
        assert_eq!(
            breaks(&[(1, 9), (2, 1), (3, 7), (4, 3), (5, 4)]),
            one(3, "no record has the", 1),
            "altered link"
        );
        let made_up = [(1, 9), (2, 1), (7, 2), (3, 2), (4, 3), (5, 4)];
        assert_eq!(breaks(&made_up), one(4, "this record and record", 1));
        let foreign = [(1, 9), (2, 1), (7, 8), (3, 2), (4, 3), (5, 4)];
        assert_eq!(breaks(&foreign), one(3, "no record has the", 1));
        let moved = [(1, 9), (3, 2), (2, 1), (4, 3), (5, 4)];
        assert_eq!(breaks(&moved), one(2, "the record that this", 3));
        assert_eq!(breaks(&[(1, 9), (2, 1), (2, 1), (3, 2)]), [], "a redelivery is told as one");
        assert_eq!(breaks(&[(1, 9), (2, 1), (0, 2), (4, 3), (5, 4)]), one(3, "this record states no", 1));
        assert_eq!(breaks(&[(1, 9), (2, 1), (3, 0), (4, 3)]), one(3, "this record states no", 1));
    }

    #[test]
    fn hexadecimal_digits_are_the_same_in_either_case() {
        let array = |texts: &[Option<&str>]| -> ArrayRef {
            std::sync::Arc::new(texts.iter().copied().collect::<arrow::array::StringArray>())
        };
        let texts = array(&[Some("0xAB01"), Some("ab01"), Some("qR+="), Some("Qr+="), None, Some(" ")]);
        let digests: Vec<u128> = (0..6).map(|row| digest(&texts, row)).collect();
        assert_eq!(digests[0], digests[1]);
        assert_ne!(digests[2], digests[3]);
        assert_eq!((digests[4], digests[5]), (0, 0));
    }
}
