//! [`Carry`]: what goes from chunk to chunk of one stream, in order.
//!
//! Decoding is parallel; this is the cheap sequential rest: places in the
//! stream, positions of transactions that began in an earlier chunk, counts of
//! records per transaction, and the collected facts.
//!
//! ```text
//!  chunk 1      │ chunk 2           │ chunk 3
//!  B c c C B c  │ c c c C B c C     │ B c …
//!            └──┼──────┘ one transaction: the run at the head of chunk 2
//! ```

use std::collections::{BTreeMap, HashMap, HashSet};

use super::decode::{Clock, Decoded, Edge, Facts, Note, Run, Used};
use super::position::PositionKind;
use crate::model::{ChangeBatch, DiscrepancyKind};

/// How many runs without commit LSN are remembered, to know them again when they are redelivered.
const REMEMBERED_RUNS: usize = 1 << 20;

/// How many transactions may await their declared number of records before the check is given up.
const OPEN_TRANSACTIONS: usize = 1 << 20;

/// What goes from chunk to chunk of one stream.
#[derive(Debug, Default)]
pub struct Carry {
    file: usize,
    places: u64,
    run: Option<OpenRun>,
    ordinal: u64,
    known_runs: HashMap<u64, u64>,
    last_commit: u64,
    kind: Option<PositionKind>,
    incomparable: bool,
    placed: bool,
    unplaced: bool,
    clock: Option<Clock>,
    whole_seconds: bool,
    facts: Facts,
    used: Vec<Used>,
    tables: BTreeMap<String, (Option<usize>, u64)>,
    said: HashSet<(DiscrepancyKind, Option<usize>, Option<String>)>,
    server: Option<u64>,
    counts: BTreeMap<(String, String), Count>,
    complete: HashSet<(String, String)>,
    counted: HashSet<String>,
    counts_dropped: bool,
}

/// The run that the last chunk ended in.
#[derive(Debug)]
struct OpenRun {
    run: Run,
    commit: u64,
    next_index: u64,
    /// Between a begin and a commit marker.
    inside: bool,
}

/// What a whole stream told, for the stages after decoding.
#[derive(Debug, Clone)]
pub struct Stream {
    /// What its positions mean; `None` if they cannot be used and the stream's own order stands.
    pub positions: Option<PositionKind>,
    /// Which clock its commit times are.
    pub clock: Option<Clock>,
    /// Its commit times are whole seconds, so that a change may have come up to a second later.
    pub whole_seconds: bool,
    /// The tables that it names, with the target they go to and their number of changes.
    pub tables: BTreeMap<String, (Option<usize>, u64)>,
    /// Everything it told about tables and producer.
    pub facts: Facts,
    /// Some chunk was read in another way than these facts ask for: decode again with them in
    /// [`DecodeOptions::facts`](super::DecodeOptions::facts).
    pub read_again: bool,
    /// What only the whole stream shows.
    pub notes: Vec<Note>,
}

impl Carry {
    /// The state before the first chunk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says which file of the stream, from 0, the chunks from here on are of.
    pub fn in_file(&mut self, file: usize) {
        self.file = file;
    }

    /// Settles what a chunk leaves open. Call it once per chunk, in stream order.
    pub fn stitch(&mut self, decoded: &mut Decoded) {
        let edge = std::mem::take(&mut decoded.edge);
        self.stitch_runs(&edge, &mut decoded.changes);
        self.stitch_resets(&edge, &mut decoded.changes);
        for batch in &mut decoded.changes {
            batch.stream.iter_mut().for_each(|place| *place += self.places);
        }
        self.places += edge.places;
        self.last_commit = self.last_commit.max(edge.last_commit);
        self.count_events(&edge, decoded);
        self.note_kind(&edge);
        self.facts.merge(&decoded.facts);
        self.used.resize(self.used.len().max(edge.used.len()), Used::default());
        self.used.iter_mut().zip(&edge.used).for_each(|(mine, theirs)| mine.merge(theirs));
        for (table, (target, count)) in &decoded.tables {
            self.tables.entry(table.clone()).or_insert((*target, 0)).1 += count;
        }
        decoded.notes.retain(|n| !n.once || self.said.insert((n.kind, n.target, n.column.clone())));
    }

    /// What the whole stream told. Call it after the last chunk.
    pub fn finish(&self, options: &super::DecodeOptions) -> Stream {
        let usable = self.placed && !self.unplaced && !self.incomparable;
        Stream {
            positions: usable.then(|| self.kind.clone().unwrap_or_default()),
            clock: self.clock,
            whole_seconds: self.whole_seconds,
            tables: self.tables.clone(),
            facts: self.facts.clone(),
            read_again: self.read_again(options),
            notes: self.unmet_counts(),
        }
    }

    fn read_again(&self, options: &super::DecodeOptions) -> bool {
        self.used.iter().enumerate().any(|(target, used)| {
            let facts = self.facts.target(target);
            let whole = facts.whole_images();
            let images = options.full_identity.is_none()
                && (used.whole && whole == Some(false) || used.key_only && whole == Some(true));
            let ambiguous = |(column, plain): (usize, &bool)| *plain && self.facts.ambiguous(target, column);
            let nulls =
                options.non_finite != Some(false) && used.plain_nulls.iter().enumerate().any(ambiguous);
            let unseen = used.unseen.iter().zip(&facts.stated).any(|(u, s)| *u && *s);
            images || nulls || unseen || used.left_out.is_some_and(|null| null != facts.left_out_is_null())
        })
    }

    fn note_kind(&mut self, edge: &Edge) {
        self.unplaced |= edge.unplaced;
        self.incomparable |= edge.incomparable;
        self.clock = self.clock.or(edge.clock);
        self.whole_seconds |= edge.whole_seconds;
        if let Some(server) = edge.server {
            self.incomparable |= *self.server.get_or_insert(server) != server;
        }
        let Some(kind) = &edge.kind else { return };
        self.placed = true;
        match &self.kind {
            None => self.kind = Some(kind.clone()),
            // Ordinals stand in for a head that a stream of LSNs was cut at.
            Some(PositionKind::Ordinal) if *kind == PositionKind::Lsn => self.kind = Some(kind.clone()),
            Some(PositionKind::Lsn) if *kind == PositionKind::Ordinal => {}
            Some(known) => self.incomparable |= known != kind,
        }
    }

    fn stitch_runs(&mut self, edge: &Edge, batches: &mut [ChangeBatch]) {
        if let Some(open) = self.run.as_mut().filter(|_| edge.closes_head) {
            open.inside = false;
        }
        let mut placed: Vec<PlacedRun> = Vec::with_capacity(edge.runs.len());
        for (i, run) in edge.runs.iter().enumerate() {
            let end = edge.runs.get(i + 1).map_or(edge.places, |r| r.start);
            placed.push(self.place_run(run, end - run.start));
        }
        for batch in batches.iter_mut().filter(|_| !placed.is_empty()) {
            place_batch(batch, &placed);
        }
    }

    /// Finds the commit position of a run and the index of its first change.
    fn place_run(&mut self, run: &Run, length: u64) -> PlacedRun {
        if let Some(open) = self.run.as_mut().filter(|open| continues(open, run)) {
            let first_index = open.next_index;
            open.next_index += length;
            open.inside &= !run.closed;
            open.run.last = run.last;
            return PlacedRun { start: run.start, commit: open.commit, first_index, scattered: false };
        }
        // Without marker, id and time nothing says which changes belong together.
        let scattered = run.commit.is_none() && !run.begins && run.mark == (None, None);
        let fresh = self.ordinal + 1;
        let commit = run.commit.unwrap_or_else(|| {
            let known = run.first.filter(|_| !scattered).and_then(|lsn| self.known_runs.get(&lsn).copied());
            known.unwrap_or_else(|| {
                self.ordinal += if scattered { length } else { 1 };
                fresh
            })
        });
        if let (None, Some(lsn), false) = (run.commit, run.first, scattered) {
            if self.known_runs.len() >= REMEMBERED_RUNS {
                self.known_runs.clear();
            }
            self.known_runs.insert(lsn, commit);
        }
        let inside = run.begins && !run.closed;
        self.run = Some(OpenRun { run: run.clone(), commit, next_index: length, inside });
        PlacedRun { start: run.start, commit, first_index: 0, scattered }
    }

    fn stitch_resets(&mut self, edge: &Edge, batches: &mut [ChangeBatch]) {
        let mut last: Option<(u64, Option<u64>, bool)> = None;
        for reset in &edge.resets {
            let before = self.last_commit.max(reset.before);
            // Changes of one transaction share one commit position, whatever their own.
            let base = match last {
                Some((base, transaction, read)) if transaction == reset.transaction && read == reset.read => {
                    base
                }
                _ => before.max(reset.lsn),
            };
            self.last_commit = self.last_commit.max(base);
            last = Some((base, reset.transaction, reset.read));
            let commit = u128::from(base) << 1 | u128::from(!reset.read);
            for batch in batches.iter_mut() {
                let start = batch.stream.partition_point(|&s| s < reset.start);
                let end = batch.stream.partition_point(|&s| s < reset.end);
                if let Some(commits) = &mut batch.commit_position {
                    commits[start..end].fill(commit);
                }
            }
        }
    }

    fn count_events(&mut self, edge: &Edge, decoded: &Decoded) {
        if self.counts_dropped {
            return;
        }
        for run in &edge.events {
            let id = (run.transaction.clone(), run.table.clone());
            if !self.complete.contains(&id) {
                self.counts.entry(id).or_default().add(run.first, run.last);
            }
            if !self.counted.contains(&run.table) {
                self.counted.insert(run.table.clone());
            }
        }
        for control in &decoded.controls {
            let transaction = control_id(&control.transaction, self.kind.as_ref().or(edge.kind.as_ref()));
            for (table, changes) in &control.changes {
                let id = (transaction.to_owned(), table.clone());
                if !self.complete.contains(&id) {
                    let count = self.counts.entry(id).or_default();
                    (count.declared, count.told_at) = (Some(*changes), (self.file, control.record));
                }
            }
        }
        let complete = &mut self.complete;
        self.counts.retain(|id, count| {
            let done = count.declared == Some(count.seen());
            if done {
                complete.insert(id.clone());
            }
            !done
        });
        if complete.len() > OPEN_TRANSACTIONS {
            complete.clear();
        }
        if self.counts.len() > OPEN_TRANSACTIONS {
            self.counts.clear();
            self.counts_dropped = true;
        }
    }

    /// Transactions whose number of changes is not the one that their end declares. Tables that are nowhere in the
    /// stream are not missed: the ledger may hold some tables only.
    fn unmet_counts(&self) -> Vec<Note> {
        let note = |((transaction, table), count): (&(String, String), &Count)| {
            let (declared, seen) = (count.declared?, count.seen());
            let message = format!(
                "transaction {transaction} has {seen} changes of {table}, its end declares {declared}"
            );
            self.counted.contains(table).then_some(Note {
                kind: DiscrepancyKind::SequenceGap,
                target: None,
                file: count.told_at.0,
                record: count.told_at.1,
                column: None,
                transaction: Some(transaction.clone()),
                message,
                count: 1,
                once: true,
            })
        };
        self.counts.iter().filter_map(note).collect()
    }
}

/// The changes of one table in one transaction, by the numbers that the producer gave them; redelivered ones
/// count once.
#[derive(Debug, Default)]
struct Count {
    declared: Option<u64>,
    /// File and record of the end that declares it.
    told_at: (usize, u64),
    /// Ranges of numbers, both ends inclusive, in rising order and not touching.
    ranges: Vec<(u64, u64)>,
}

impl Count {
    fn seen(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| last - first + 1).sum()
    }

    fn add(&mut self, first: u64, last: u64) {
        let start = self.ranges.partition_point(|r| r.1.saturating_add(1) < first);
        let end = self.ranges.partition_point(|r| r.0 <= last.saturating_add(1));
        let joined = &self.ranges[start..end.max(start)];
        let first = joined.first().map_or(first, |r| r.0.min(first));
        let last = joined.last().map_or(last, |r| r.1.max(last));
        self.ranges.splice(start..end.max(start), [(first, last)]);
    }
}

/// The id under which changes name a transaction: PostgreSQL's ends carry another LSN after the colon.
fn control_id<'a>(id: &'a str, kind: Option<&PositionKind>) -> &'a str {
    match kind {
        Some(PositionKind::DebeziumLsn) => id.split(':').next().unwrap_or(id),
        _ => id,
    }
}

impl Used {
    fn merge(&mut self, other: &Self) {
        self.key_only |= other.key_only;
        self.whole |= other.whole;
        let or = |mine: &mut Vec<bool>, theirs: &[bool]| {
            mine.resize(mine.len().max(theirs.len()), false);
            mine.iter_mut().zip(theirs).for_each(|(m, t)| *m |= t);
        };
        or(&mut self.plain_nulls, &other.plain_nulls);
        or(&mut self.unseen, &other.unseen);
        self.left_out = match (self.left_out, other.left_out) {
            // Both ways were taken: report the one that claims more, as later facts can only deny it.
            (Some(a), Some(b)) => Some(a || b),
            (a, b) => a.or(b),
        };
    }
}

struct PlacedRun {
    start: u64,
    commit: u64,
    first_index: u64,
    scattered: bool,
}

fn continues(open: &OpenRun, run: &Run) -> bool {
    if run.begins {
        return false;
    }
    let same = run.mark != (None, None) && open.run.mark == run.mark && open.run.last <= run.first;
    open.inside || !open.run.begins && same
}

fn place_batch(batch: &mut ChangeBatch, runs: &[PlacedRun]) {
    let (Some(commits), Some(positions)) = (&mut batch.commit_position, &mut batch.position) else { return };
    let mut at = 0;
    for ((stream, commit), position) in batch.stream.iter().zip(commits).zip(positions) {
        while runs.get(at + 1).is_some_and(|next| next.start <= *stream) {
            at += 1;
        }
        let Some(run) = runs.get(at) else { return };
        let index = stream.saturating_sub(run.start);
        let spread = if run.scattered { index } else { 0 };
        *commit = u128::from(run.commit + spread);
        *position = u128::from(run.first_index + index - spread);
    }
}
