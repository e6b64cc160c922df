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

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

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
    facts: Facts,
    used: Vec<Used>,
    tables: BTreeMap<String, (Option<usize>, u64)>,
    said: HashSet<(DiscrepancyKind, Option<usize>, Option<String>)>,
    server: Option<u64>,
    events: BTreeMap<String, i128>,
    declared: BTreeSet<String>,
    events_dropped: bool,
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
        if self.events_dropped {
            return;
        }
        for (transaction, count) in &edge.events {
            if !self.is_complete(transaction) {
                *self.events.entry(transaction.clone()).or_insert(0) += i128::from(*count);
            }
        }
        for control in &decoded.controls {
            let id = control_id(&control.transaction, self.kind.as_ref().or(edge.kind.as_ref()));
            // A redelivered end says nothing new.
            if self.declared.insert(id.to_owned()) {
                *self.events.entry(id.to_owned()).or_insert(0) -= i128::from(control.events);
            }
        }
        let declared = &mut self.declared;
        self.events.retain(|id, balance| *balance != 0 || !declared.contains(id));
        if declared.len() > OPEN_TRANSACTIONS {
            declared.retain(|id| self.events.contains_key(id));
        }
        if self.events.len() > OPEN_TRANSACTIONS {
            (self.events, self.declared) = (BTreeMap::new(), BTreeSet::new());
            self.events_dropped = true;
        }
    }

    /// Whether a transaction has all its records, so that more of them are redeliveries.
    fn is_complete(&self, transaction: &str) -> bool {
        self.declared.contains(transaction) && !self.events.contains_key(transaction)
    }

    /// Transactions whose number of records is not the one that their end declares.
    fn unmet_counts(&self) -> Vec<Note> {
        let unmet = self.events.iter().filter(|(id, balance)| **balance != 0 && self.declared.contains(*id));
        unmet
            .map(|(id, balance)| Note {
                kind: DiscrepancyKind::SequenceGap,
                target: None,
                record: 0,
                column: None,
                message: if *balance < 0 {
                    format!("transaction {id} lacks {} of the records that its end declares", -balance)
                } else {
                    format!("transaction {id} has {balance} records more than its end declares")
                },
                count: 1,
                once: false,
            })
            .collect()
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
    open.inside || (!open.run.begins && run.mark != (None, None) && open.run.mark == run.mark)
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
