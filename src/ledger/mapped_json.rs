//! Mapped ledgers as JSON objects: before and after as objects, as members named by a pattern, or one
//! object per image.
//!
//! Commit times are texts with offset, or numbers since the epoch whose unit
//! their size tells (seconds, milli-, micro- or nanoseconds are unambiguous from
//! 1973 to 2262). Positions are whole numbers or texts that
//! [`parse_position`](super::parse_position) knows.
//!
//! Limits: with one object per image, the two halves of an update are joined
//! where they follow each other in a chunk; halves that stand apart become a
//! delete and an insert of one transaction, which undo to the same.

mod members;

use std::borrow::Cow;

use self::members::{Members, epoch, flat, key_beside, members};
use super::chunk;
use super::decode::{Clock, DecodeOptions, Decoded, Missing, TableTarget};
use super::image::{Meta, Rows, Staged, Stated, Writer};
use super::json;
use super::mapping::{ImageColumns, ImageSide, Mapping, MappingHints, OpWord, image_word};
use super::notes::Notes;
use super::position::{PositionKind, parse_position};
use super::route::Routes;
use super::settle::Settle;
use crate::model::time::{NotAnInstant, parse_instant};
use crate::model::{DiscrepancyKind, Op};
use crate::read::JsonChunk;
use crate::read::cell::{CellBuilder, Misfit};

/// Decodes a chunk.
pub(super) fn decode(chunk: &JsonChunk, targets: &[TableTarget], options: &DecodeOptions) -> Decoded {
    let mapping = match &options.mapping {
        Some(mapping) => Ok(mapping.clone()),
        None => detect(
            chunk.records.iter().filter_map(|r| chunk::value(chunk, r).ok()),
            targets,
            &MappingHints::default(),
        ),
    };
    let mut decoder = Decoder::new(targets, options);
    match mapping {
        Ok(mapping) => {
            let mut pending = None;
            for record in &chunk.records {
                decoder.record = record.number;
                match chunk::value(chunk, record) {
                    Ok(text) => decoder.value(text, &mapping, &mut pending),
                    Err(_) => decoder.notes.unparsable(None, record.number, "the record is not valid UTF-8"),
                }
            }
            decoder.flush(&mut pending);
        }
        Err(message) => {
            decoder.notes.unparsable(None, chunk.records.first().map_or(0, |r| r.number), message)
        }
    }
    decoder.finish()
}

/// Finds the mapping of JSON records by the names of their members.
///
/// # Errors
/// In words, what cannot be found.
pub(super) fn detect<'a>(
    records: impl IntoIterator<Item = &'a str>,
    targets: &[TableTarget],
    hints: &MappingHints,
) -> Result<Mapping, String> {
    // A first record may leave members out; a hundred hardly do.
    let mut names: Vec<String> = Vec::new();
    for record in records.into_iter().take(100) {
        let _ = json::members(record, |name, _| {
            if !names.iter().any(|n| n == name) {
                names.push(name.to_owned());
            }
        });
    }
    let columns: Vec<&str> = names.iter().map(String::as_str).collect();
    let attempts =
        targets.iter().map(|t| Mapping::resolve(hints, &columns, &t.schema.names().collect::<Vec<_>>()));
    let mut failure = Err("the ledger has no records".to_owned());
    for attempt in attempts {
        match attempt {
            Ok(mapping) => return Ok(mapping),
            Err(message) => failure = Err(message),
        }
    }
    failure
}

struct Decoder<'o> {
    options: &'o DecodeOptions,
    rows: Vec<Rows<'o>>,
    routes: Routes<'o>,
    notes: Notes,
    decoded: Decoded,
    record: u64,
    time: (String, Option<i64>),
}

/// One half of an update, waiting for the other.
struct Pending<'c> {
    target: usize,
    before: bool,
    cells: Vec<Stated<'c>>,
    members: Members<'c>,
    record: u64,
    stream: u64,
}

impl<'o> Decoder<'o> {
    fn new(targets: &'o [TableTarget], options: &'o DecodeOptions) -> Self {
        Self {
            options,
            rows: targets.iter().enumerate().map(|(i, t)| Rows::new(i, t, options)).collect(),
            routes: Routes::new(targets),
            notes: Notes::default(),
            decoded: Decoded::default(),
            record: 0,
            time: (String::new(), None),
        }
    }

    fn value<'c>(&mut self, text: &'c str, mapping: &Mapping, pending: &mut Option<Pending<'c>>) {
        if matches!(text.trim_ascii(), "" | "null") {
            return;
        }
        let members = match members(text, mapping) {
            Ok(members) => members,
            Err(error) => {
                let message = format!("expected a JSON object: {error}");
                return self.notes.unparsable(None, self.record, message);
            }
        };
        let stream = self.decoded.edge.places;
        self.decoded.edge.places += 1;
        let target = match (&mapping.table, &members.table) {
            (Some(_), table) => self.routes.find([None, None, table.and_then(json::text)]),
            (None, _) => self.routes.find([None, None, None]).or(Some(0)).filter(|t| *t < self.rows.len()),
        };
        let Some(target) = target else { return };
        let word = match self.op_word(&members, mapping) {
            Ok(word) => word,
            Err(message) => return self.notes.unparsable(Some(target), self.record, message),
        };
        match &mapping.images {
            ImageColumns::Sides { before, after } => {
                self.flush(pending);
                // Databases print JSON columns as texts.
                let texts = [members.before, members.after].map(json_text);
                let mut members: Members<'_> = members;
                members.before = texts[0].as_deref().or(members.before);
                members.after = texts[1].as_deref().or(members.after);
                let staged = self.sides(target, &members, [before.as_ref(), after.as_ref()]);
                match staged {
                    Ok(staged) => self.change(target, word.map(|w| w.op), staged, &members, stream),
                    Err(message) => self.notes.unparsable(Some(target), self.record, message),
                }
            }
            ImageColumns::Rows { cells, .. } => {
                let cells = self.flat(target, &members, cells);
                let record = self.record;
                self.half(word, Pending { target, before: false, cells, members, record, stream }, pending);
            }
        }
    }

    /// What the op column says. Its absence is not an error: the images may say it.
    fn op_word(&self, members: &Members<'_>, mapping: &Mapping) -> Result<Option<OpWord>, String> {
        let Some(word) = members.op.and_then(json::text) else { return Ok(None) };
        let known = mapping.op_word(&word);
        known
            .map(Some)
            .ok_or_else(|| format!("expected an op such as insert, update or delete, found {word:?}"))
    }

    fn sides<'r>(
        &mut self,
        target: usize,
        members: &Members<'r>,
        sides: [Option<&ImageSide>; 2],
    ) -> Result<Staged<'r>, String> {
        let missing = self.missing();
        let rows = &mut self.rows[target];
        let mut images = [None, None];
        for ((image, side), object) in images.iter_mut().zip(sides).zip([members.before, members.after]) {
            *image = match (side, object.filter(|o| *o != "null")) {
                (Some(ImageSide::Struct(name)), Some(object)) => {
                    let cells = rows.image(object, missing);
                    Some(cells.ok_or_else(|| format!("expected an object in {name:?}"))?)
                }
                (Some(side @ ImageSide::Pattern { .. }), _) => {
                    let cells = flat(rows, members, side, missing);
                    // Without an op, an image of nulls alone is no image.
                    cells.iter().any(|c| matches!(c, Stated::Json(_))).then_some(cells)
                }
                _ => None,
            };
        }
        let [before, after] = images;
        Ok(Staged { before, after })
    }

    fn missing<'r>(&self) -> Stated<'r> {
        match self.options.missing {
            Missing::Absent => Stated::Absent,
            Missing::Unchanged => Stated::Unchanged,
            Missing::Null => Stated::Null,
        }
    }

    fn flat<'r>(&mut self, target: usize, members: &Members<'r>, side: &ImageSide) -> Vec<Stated<'r>> {
        let missing = self.missing();
        flat(&mut self.rows[target], members, side, missing)
    }

    /// One image of an update, or the only one of another change.
    fn half<'c>(&mut self, word: Option<OpWord>, mut this: Pending<'c>, pending: &mut Option<Pending<'c>>) {
        let image = this.members.image.and_then(json::text).and_then(|w| image_word(&w));
        let before = word.and_then(|w| w.before).or(image);
        let op = word.map(|w| w.op);
        let (Op::Update, Some(before)) = (op.unwrap_or(Op::Update), before) else {
            self.flush(pending);
            let op = op.unwrap_or(Op::Upsert);
            let staged = match op {
                Op::Delete => Staged { before: Some(this.cells), after: None },
                _ => Staged { before: None, after: Some(this.cells) },
            };
            return self.change(this.target, Some(op), staged, &this.members, this.stream);
        };
        this.before = before;
        match pending.take() {
            Some(other) if self.is_other_half(&other, &this) => {
                let (old, new) = if before { (this, other) } else { (other, this) };
                let staged = Staged { before: Some(old.cells), after: Some(new.cells) };
                let stream = old.stream.min(new.stream);
                self.change(new.target, Some(Op::Update), staged, &new.members, stream);
            }
            mut other => {
                self.flush(&mut other);
                *pending = Some(this);
            }
        }
    }

    fn is_other_half(&self, a: &Pending<'_>, b: &Pending<'_>) -> bool {
        let place = |p: &Pending<'_>| {
            (p.members.position.map(str::to_owned), p.members.transaction.map(str::to_owned))
        };
        let key = self.rows[a.target].target.schema.key();
        let same_key = || key.iter().all(|&k| a.cells[k] == b.cells[k]);
        let adjacent = a.stream.abs_diff(b.stream) == 1;
        a.target == b.target
            && a.before != b.before
            && adjacent
            && place(a).1 == place(b).1
            && (same_key() || a.members.position.is_some() && place(a) == place(b))
    }

    /// A half that stays alone: its row went, or came.
    fn flush(&mut self, pending: &mut Option<Pending<'_>>) {
        let Some(half) = pending.take() else { return };
        let record = std::mem::replace(&mut self.record, half.record);
        let (op, staged) = if half.before {
            (Op::Delete, Staged { before: Some(half.cells), after: None })
        } else {
            (Op::Upsert, Staged { before: None, after: Some(half.cells) })
        };
        self.change(half.target, Some(op), staged, &half.members, half.stream);
        self.record = record;
    }

    fn change<'r>(
        &mut self,
        target: usize,
        op: Option<Op>,
        mut staged: Staged<'r>,
        members: &Members<'r>,
        stream: u64,
    ) {
        let op = op.unwrap_or(match (&staged.before, &staged.after) {
            (Some(_), Some(_)) => Op::Update,
            (None, Some(_)) => Op::Insert,
            (Some(_), None) => Op::Delete,
            (None, None) => Op::Truncate,
        });
        if let Err(message) = self.fit(target, op, &mut staged, members) {
            return self.notes.unparsable(Some(target), self.record, message);
        }
        let positions = [members.commit_position, members.position].map(|p| self.position(p));
        let committed_at = members.committed_at.and_then(json::text).and_then(|t| self.committed_at(&t));
        let text = |raw: Option<&str>| raw.and_then(json::text).map(Cow::into_owned);
        let (transaction, actor) = (text(members.transaction), text(members.actor));
        let meta = Meta {
            op: Some(op),
            record: self.record,
            stream,
            committed_at,
            commit_position: positions[0],
            position: positions[1],
            transaction: transaction.as_deref(),
            actor: actor.as_deref(),
            weak: false,
        };
        let mut plain = Plain { empty_is_null: self.options.empty_is_null };
        if self.rows[target].push(&meta, &staged, &mut plain, &mut self.notes).is_err() {
            self.notes.unparsable(
                Some(target),
                self.record,
                "expected all columns of the key, found some missing",
            );
        }
    }

    /// Gives a change the images that its op has.
    fn fit<'r>(
        &self,
        target: usize,
        op: Op,
        staged: &mut Staged<'r>,
        members: &Members<'r>,
    ) -> Result<(), String> {
        let rows = &self.rows[target];
        let keyless = rows.target.schema.is_keyless();
        match op {
            Op::Truncate => *staged = Staged::default(),
            Op::Insert | Op::Read => staged.before = None,
            Op::Delete => staged.after = None,
            Op::Update if !keyless && staged.before.is_none() => {
                staged.before = Some(rows.blank(Stated::Absent))
            }
            _ => {}
        }
        if op == Op::Delete && !keyless && staged.before.is_none() {
            staged.before = Some(rows.blank(Stated::Absent));
        }
        for image in [&mut staged.before, &mut staged.after].into_iter().flatten() {
            key_beside(rows, image, members);
        }
        rows.share_key(staged);
        if op != Op::Update {
            // Nothing was there before, or is there after, that could have stayed as it is.
            let cells = staged.before.iter_mut().chain(&mut staged.after).flatten();
            cells.filter(|c| **c == Stated::Unchanged).for_each(|c| *c = Stated::Absent);
        }
        let lacking = match op {
            Op::Truncate => None,
            Op::Delete => staged.before.is_none().then_some("before"),
            _ => staged.after.is_none().then_some("after"),
        };
        lacking.map_or(Ok(()), |side| {
            Err(format!("expected the {side} image of this {}, found none", op.name()))
        })
    }

    /// A position; `None` makes the stream's own order stand.
    fn position(&mut self, raw: Option<&str>) -> Option<u128> {
        let text = json::text(raw?)?;
        let position = parse_position(&text).filter(|_| !text.is_empty());
        if position.is_none() && text.is_empty() {
            return None;
        }
        if position.is_none() {
            let message = format!("expected a whole number or a log position, found {text:?}");
            self.notes.unparsable(None, self.record, message);
        }
        position
    }

    fn committed_at(&mut self, text: &str) -> Option<i64> {
        if self.time.0 == text {
            return self.time.1;
        }
        let instant = match text.parse::<i64>() {
            Ok(number) => epoch(number).ok_or_else(|| "it is out of range".to_owned()),
            Err(_) => self.instant(text),
        };
        if let Err(reason) = &instant {
            let message = format!("expected a commit time, found {text:?}: {reason}");
            self.notes.unparsable(None, self.record, message);
        }
        self.time = (text.to_owned(), instant.ok());
        self.time.1
    }

    fn instant(&mut self, text: &str) -> Result<i64, String> {
        parse_instant(text, self.options.time_zone).or_else(|reason| match reason {
            NotAnInstant::Twice(first, _) => {
                let message = format!("the time {text:?} occurs twice in its zone; the first one is taken");
                self.notes.add(DiscrepancyKind::AmbiguousCut, None, self.record, None, message);
                Ok(first)
            }
            NotAnInstant::NoZone => {
                self.decoded.lacks_zone.get_or_insert(self.record);
                Err("it has no offset and no time zone is declared".to_owned())
            }
            NotAnInstant::Skipped => Err("its zone skips it".to_owned()),
            NotAnInstant::OutOfRange => Err("it is out of range".to_owned()),
            NotAnInstant::Malformed => Err("it is none".to_owned()),
        })
    }

    fn finish(mut self) -> Decoded {
        let edge = &mut self.decoded.edge;
        edge.clock = Some(Clock::Declared);
        for (index, rows) in self.rows.into_iter().enumerate() {
            let facts = self.options.facts.target(index);
            let non_finite = self.options.non_finite;
            let settle = Settle { facts: &facts, full_identity: None, non_finite, refused: &[] };
            rows.note_unknown(&mut self.notes);
            let (batch, facts, used) = rows.finish(&settle);
            let placed = batch.position.is_some() || batch.commit_position.is_some();
            edge.unplaced |= !placed && !batch.is_empty();
            if placed {
                edge.kind = Some(PositionKind::Number);
            }
            self.decoded.changes.push(batch);
            self.decoded.facts.targets.push(facts);
            edge.used.push(used);
        }
        self.decoded.tables = self.routes.finish();
        self.decoded.notes = self.notes.finish();
        self.decoded
    }
}

/// The JSON in a text that holds some.
fn json_text(raw: Option<&str>) -> Option<Cow<'_, str>> {
    let text = json::text(raw.filter(|r| r.starts_with('"'))?)?;
    serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok().then_some(text)
}

/// Values as the JSON says; in ledgers made from text files an empty text is null where it can be nothing else.
struct Plain {
    empty_is_null: bool,
}

impl Writer for Plain {
    fn write(&mut self, cells: &mut CellBuilder, _column: usize, raw: &str) -> Result<(), Misfit> {
        match cells.push_json(raw) {
            Err(_) if self.empty_is_null && raw == "\"\"" => {
                cells.push_null();
                Ok(())
            }
            pushed => pushed,
        }
    }
}

#[cfg(test)]
mod tests;
