//! [`Routes`]: which target a table's records go to.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::decode::TableTarget;

/// Finds targets by table name, and counts the tables that records name.
pub(super) struct Routes<'o> {
    targets: &'o [TableTarget],
    seen: Vec<Seen>,
    last: usize,
}

struct Seen {
    parts: [Option<String>; 3],
    target: Option<usize>,
    changes: u64,
}

impl<'o> Routes<'o> {
    pub(super) fn new(targets: &'o [TableTarget]) -> Self {
        Self { targets, seen: Vec::new(), last: 0 }
    }

    /// The target of a table given as database, schema and table, and counts the change.
    pub(super) fn find(&mut self, parts: [Option<Cow<'_, str>>; 3]) -> Option<usize> {
        let same = |seen: &Seen| seen.parts.iter().zip(&parts).all(|(a, b)| a.as_deref() == b.as_deref());
        let at = match self.seen.get(self.last).is_some_and(same) {
            true => self.last,
            false => self.seen.iter().position(same).unwrap_or_else(|| {
                let parts = parts.map(|p| p.map(Cow::into_owned));
                let target = best(self.targets, &parts);
                self.seen.push(Seen { parts, target, changes: 0 });
                self.seen.len() - 1
            }),
        };
        self.last = at;
        self.seen[at].changes += 1;
        self.seen[at].target
    }

    /// Counts another change of the table that was found last. Returns its target.
    pub(super) fn again(&mut self) -> Option<usize> {
        let seen = self.seen.get_mut(self.last)?;
        seen.changes += 1;
        seen.target
    }

    /// The target of a table, without counting.
    pub(super) fn target(&self, parts: &[Option<Cow<'_, str>>; 3]) -> Option<usize> {
        let owned = parts.clone().map(|p| p.map(Cow::into_owned));
        self.seen.iter().find(|s| s.parts == owned).map_or_else(|| best(self.targets, &owned), |s| s.target)
    }

    /// The tables seen, with their target and number of changes.
    pub(super) fn finish(self) -> BTreeMap<String, (Option<usize>, u64)> {
        let mut tables = BTreeMap::new();
        for seen in self.seen {
            let name: Vec<&str> =
                seen.parts.iter().flatten().map(String::as_str).filter(|p| !p.is_empty()).collect();
            tables.entry(name.join(".")).or_insert((seen.target, 0)).1 += seen.changes;
        }
        tables
    }
}

/// The target that names the most parts of the table, in the same case if there is one.
fn best(targets: &[TableTarget], parts: &[Option<String>; 3]) -> Option<usize> {
    if let [only] = targets
        && only.names.is_empty()
    {
        return Some(0);
    }
    let full: Vec<&str> = parts.iter().flatten().map(String::as_str).filter(|p| !p.is_empty()).collect();
    let full = full.join(".");
    let matched = |fold: bool| {
        let (full, fold) = if fold { (full.to_lowercase(), true) } else { (full.clone(), false) };
        let length = |name: &str| {
            let name = if fold { name.to_lowercase() } else { name.to_owned() };
            let rest = full.strip_suffix(name.as_str())?;
            (!name.is_empty() && (rest.is_empty() || rest.ends_with('.'))).then_some(name.len())
        };
        let lengths = targets.iter().enumerate().filter_map(|(index, target)| {
            Some((target.names.iter().filter_map(|n| length(n)).max()?, std::cmp::Reverse(index)))
        });
        lengths.max().map(|(_, index)| index.0)
    };
    matched(false).or_else(|| matched(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::target;

    #[test]
    fn names_match_from_the_last_part_on() {
        let mut targets = [target("a", &[]), target("b", &[]), target("c", &[])];
        targets[0].names = vec!["accounts".into()];
        targets[1].names = vec!["audit.accounts".into()];
        targets[2].names = vec!["Ledger".into()];
        let mut routes = Routes::new(&targets);
        let mut find = |schema: Option<&str>, table: &str| {
            routes.find([Some("fin".into()), schema.map(Into::into), Some(table.to_owned().into())])
        };
        assert_eq!(find(Some("public"), "accounts"), Some(0));
        assert_eq!(find(Some("audit"), "accounts"), Some(1));
        assert_eq!(find(Some("public"), "my_accounts"), None);
        assert_eq!(find(None, "ledger"), Some(2));
        assert_eq!(find(Some("public"), "accounts"), Some(0));
        let tables = routes.finish();
        assert_eq!(tables["fin.public.accounts"], (Some(0), 2));
        assert_eq!(tables["fin.public.my_accounts"], (None, 1));
    }
}
