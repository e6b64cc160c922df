//! The versions of one key put in order, with everything that does not fit told.
//!
//! ```text
//!  ──a──┤├──b──┤     ├──c──┄     b follows a: an update; c after a hole: a delete and an insert
//!  ──a──────┤
//!       ├──b──┤                  overlap: which of the two is wrong the neighbours tell, if anything does
//!  ──a──┤├──b──────┤├──c──┄
//!          ├─x─┤                 x touches nothing, b touches both: x is set aside
//! ```
//!
//! Limits: a version that is missing and one whose row was deleted and came back
//! look the same, a hole; an altered closed version stands alone and looks right.

use super::period::{EVER, OPEN};
use crate::model::DiscrepancyKind;

/// One row of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) key: u128,
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) row: u32,
    /// The row says that its key is deleted from here on.
    pub(super) deleted: bool,
}

impl Version {
    fn is_empty(&self) -> bool {
        self.from == self.to
    }
}

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: DiscrepancyKind,
    /// The row that is at fault, as far as can be told.
    pub(super) row: u32,
    /// The other row, if two are involved.
    pub(super) other: Option<u32>,
    pub(super) what: &'static str,
    /// How long a hole is, in nanoseconds or places.
    pub(super) length: i64,
}

/// A span of a key's past that its versions state in two ways, or in none that can be: from and to, half-open.
pub(super) type Span = (i64, i64);

/// What does not fit of the versions of one key.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) list: Vec<Fault>,
    pub(super) contested: Vec<Span>,
}

/// What is known of all versions together.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rules {
    /// When the current state was read, if declared.
    pub(super) extract: Option<i64>,
    /// The source writes no version that ends where it begins.
    pub(super) no_empty: bool,
}

/// The versions of one key that stand, in order; those sorted by begin, end and row come in.
pub(super) fn chain(versions: &[Version], rules: Rules, faults: &mut Faults) -> Vec<Version> {
    let mut kept: Vec<Version> = Vec::with_capacity(versions.len());
    let (mut future, mut reversed, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    let links = Links::new(versions);
    for version in versions {
        if version.from > version.to {
            let what = "it ends before it begins";
            faults.list.push(fault(DiscrepancyKind::ReversedInterval, version.row, None, what));
            // Its bounds may only have changed places.
            faults.contested.push((version.to, version.from));
            reversed.push((version.to, version.from));
        } else if version.deleted {
            ended.push(version.from);
        } else if rules.extract.is_some_and(|at| version.from > at) {
            faults.list.push(fault(
                DiscrepancyKind::FutureVersion,
                version.row,
                None,
                "it begins after the moment at which the current state was read",
            ));
            future.push(*version);
        } else if rules.no_empty && version.is_empty() && !links.touches(version) {
            let what = "it ends where it begins, and no other version of the key follows it there";
            faults.list.push(fault(DiscrepancyKind::ReversedInterval, version.row, None, what));
            reversed.push((version.from, OPEN));
        } else {
            place(*version, &links, &mut kept, faults);
        }
    }
    for version in future {
        match kept.last() {
            // It stands where the version before it ended; its own begin cannot be.
            Some(last) if last.to != OPEN => kept.push(Version { from: last.to, ..version }),
            Some(_) => {}
            None => kept.push(version),
        }
    }
    for &(at, _) in reversed.iter().filter(|r| r.1 == OPEN) {
        // Where its end was is not known; it was valid until the next one at most.
        let next = kept.iter().find(|v| v.from >= at).map_or(OPEN, |v| v.from);
        faults.contested.extend((at < next).then_some((at, next)));
    }
    for pair in kept.windows(2) {
        let (hole, next) = ((pair[0].to, pair[1].from), pair[1].row);
        let explained = ended.contains(&hole.0)
            || reversed.iter().any(|&(a, b)| a == hole.0 && (b == hole.1 || b == OPEN));
        if hole.0 < hole.1 && !explained {
            let mut fault =
                fault(DiscrepancyKind::HoleBetweenVersions, pair[0].row, Some(next), "no version follows it");
            fault.length = hole.1.saturating_sub(hole.0);
            faults.list.push(fault);
        }
    }
    kept
}

fn fault(kind: DiscrepancyKind, row: u32, other: Option<u32>, what: &'static str) -> Fault {
    Fault { kind, row, other, what, length: 0 }
}

/// Puts a version behind those kept so far, or decides which of two that overlap stands.
fn place(version: Version, links: &Links, kept: &mut Vec<Version>, faults: &mut Faults) {
    let mut overlap = |row, other, span: Span, what| {
        faults.list.push(fault(DiscrepancyKind::OverlappingVersions, row, Some(other), what));
        faults.contested.push(span);
    };
    let whole = (version.from, version.to);
    while let Some(last) = kept.last_mut() {
        if version.from >= last.to {
            break;
        }
        if (version.from, version.to) == (last.from, last.to) {
            let what = "another version of the key has the same period; the first one stands";
            overlap(version.row, last.row, whole, what);
            return;
        }
        if links.is_bridged(&version) {
            let what = "the other versions of the key fill its whole period: it is set aside";
            overlap(version.row, last.row, whole, what);
            return;
        }
        let inside = version.to <= last.to;
        let (own, others) = (links.count(&version), links.count(last));
        if inside && own == 0 && (others > 0 || last.to == OPEN) {
            let what = "it lies inside another version of the key and touches no neighbour: it is set aside";
            overlap(version.row, last.row, whole, what);
            return;
        }
        if others == 0 && own > 0 {
            let what = "another version of the key overlaps it, and it touches no neighbour: it is set aside";
            overlap(last.row, version.row, (last.from, last.to), what);
            kept.pop();
            continue;
        }
        let what = "the next version of the key begins before it ends; it is taken to end there";
        overlap(last.row, version.row, (version.from, last.to), what);
        last.to = version.from;
        break;
    }
    kept.push(version);
}

/// Begins and ends of all versions of a key, to see which touch a neighbour.
struct Links {
    begins: Vec<i64>,
    ends: Vec<i64>,
    /// By begin.
    versions: Vec<Version>,
}

impl Links {
    fn new(versions: &[Version]) -> Self {
        let sound = || versions.iter().filter(|v| v.from <= v.to);
        let mut begins: Vec<i64> = sound().map(|v| v.from).collect();
        let mut ends: Vec<i64> = sound().map(|v| v.to).collect();
        begins.sort_unstable();
        ends.sort_unstable();
        let mut versions: Vec<Version> = sound().copied().collect();
        versions.sort_unstable_by_key(|v| (v.from, v.to, v.row));
        Self { begins, ends, versions }
    }

    /// Whether other versions follow each other from its begin to its end.
    fn is_bridged(&self, version: &Version) -> bool {
        let mut at = version.from;
        while at < version.to {
            let start = self.versions.partition_point(|v| v.from < at);
            let mut from_here = self.versions[start..].iter().take_while(|v| v.from == at);
            let next = from_here.find(|v| v.row != version.row && v.to > at && v.to <= version.to);
            match next {
                Some(next) => at = next.to,
                None => return false,
            }
        }
        true
    }

    /// How many of its two ends touch another version.
    fn count(&self, version: &Version) -> u32 {
        let before = version.from != EVER && self.ends.binary_search(&version.from).is_ok();
        let behind = version.to != OPEN && self.begins.binary_search(&version.to).is_ok();
        u32::from(before) + u32::from(behind)
    }

    /// Whether another version begins where this empty one stands.
    fn touches(&self, version: &Version) -> bool {
        let at = |times: &[i64]| {
            times.partition_point(|&t| t <= version.from) - times.partition_point(|&t| t < version.from)
        };
        at(&self.begins) > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DiscrepancyKind as Kind;

    fn found(periods: &[(i64, i64)]) -> (Vec<u32>, Vec<(Kind, u32)>) {
        let (kept, faults) = chained(periods);
        (kept, faults.list.iter().map(|f| (f.kind, f.row)).collect())
    }

    fn chained(periods: &[(i64, i64)]) -> (Vec<u32>, Faults) {
        let rules = Rules { extract: Some(100), no_empty: true };
        let mut versions: Vec<Version> = (0..)
            .zip(periods)
            .map(|(row, &(from, to))| Version { key: 1, from, to, row, deleted: false })
            .collect();
        versions.sort_by_key(|v| (v.from, v.to, v.row));
        let mut faults = Faults::default();
        let kept = chain(&versions, rules, &mut faults);
        (kept.iter().map(|v| v.row).collect(), faults)
    }

    #[test]
    fn what_two_versions_state_is_contested() {
        let contested = |periods: &[(i64, i64)]| chained(periods).1.contested;
        assert_eq!(contested(&[(1, 3), (3, 5), (5, OPEN)]), []);
        // Set aside: all that it states. Cut back: from the next one's begin to its own end.
        assert_eq!(contested(&[(1, 3), (3, 9), (9, OPEN), (4, 6)]), [(4, 6)]);
        assert_eq!(contested(&[(1, 3), (3, 5), (3, 5), (5, OPEN)]), [(3, 5)]);
        assert_eq!(contested(&[(1, 3), (3, 7), (5, 9), (9, OPEN)]), [(5, 7)]);
        // Reversed: as if its bounds had changed places, or the hole that it leaves.
        assert_eq!(contested(&[(1, 3), (5, 3), (5, OPEN)]), [(3, 5)]);
        assert_eq!(contested(&[(1, 3), (3, 3), (6, OPEN)]), [(3, 6)]);
        assert_eq!(contested(&[(1, 3), (3, 3), (3, OPEN)]), []);
    }

    #[test]
    fn versions_that_follow_each_other_are_sound() {
        assert_eq!(found(&[(1, 3), (3, 5), (5, OPEN)]), (vec![0, 1, 2], vec![]));
        assert_eq!(found(&[(1, 3), (3, 3), (3, OPEN)]), (vec![0, 1, 2], vec![]));
    }

    #[test]
    fn a_hole_is_told_at_the_version_before_it() {
        assert_eq!(found(&[(1, 3), (4, OPEN)]), (vec![0, 1], vec![(Kind::HoleBetweenVersions, 0)]));
    }

    #[test]
    fn a_repeated_version_is_set_aside() {
        let overlap = |row| vec![(Kind::OverlappingVersions, row)];
        assert_eq!(found(&[(1, 3), (3, 5), (3, 5), (5, OPEN)]), (vec![0, 1, 3], overlap(2)));
        assert_eq!(found(&[(1, OPEN), (1, OPEN)]), (vec![0], overlap(1)));
    }

    #[test]
    fn of_two_that_overlap_the_one_without_neighbours_goes() {
        let overlap = |row| vec![(Kind::OverlappingVersions, row)];
        assert_eq!(found(&[(1, 3), (3, 9), (9, OPEN), (4, 6)]), (vec![0, 1, 2], overlap(3)));
        assert_eq!(found(&[(1, 3), (3, OPEN), (5, OPEN)]), (vec![0, 1], overlap(2)));
    }

    #[test]
    fn a_version_whose_period_others_fill_goes() {
        let overlap = |row| vec![(Kind::OverlappingVersions, row)];
        assert_eq!(found(&[(1, 3), (3, 5), (5, 9), (3, 9), (9, OPEN)]), (vec![0, 1, 2, 4], overlap(3)));
        assert_eq!(found(&[(1, 3), (3, 5), (5, OPEN), (3, OPEN)]), (vec![0, 1, 2], overlap(3)));
    }

    #[test]
    fn an_end_that_was_moved_is_cut_back() {
        assert_eq!(
            found(&[(1, 3), (3, 7), (5, 9), (9, OPEN)]),
            (vec![0, 1, 2, 3], vec![(Kind::OverlappingVersions, 1)])
        );
    }

    #[test]
    fn one_cause_is_told_once() {
        let reversed = |row| vec![(Kind::ReversedInterval, row)];
        assert_eq!(found(&[(1, 3), (5, 3), (5, OPEN)]), (vec![0, 2], reversed(1)));
        assert_eq!(found(&[(1, 1), (4, OPEN)]), (vec![1], reversed(0)));
        let (kept, faults) = found(&[(1, 3), (900, OPEN)]);
        assert_eq!((kept, faults), (vec![0, 1], vec![(Kind::FutureVersion, 1)]));
    }
}
