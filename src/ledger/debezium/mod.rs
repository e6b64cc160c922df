//! Debezium change events as JSON, with or without schema, bare or wrapped.
//!
//! A record is an event (`op` and `source`), the end of a transaction, or
//! something that changes no row: tombstones, heartbeats, schema changes, logical
//! messages, begins. Values come bare, as `{"schema", "payload"}`, as
//! `{"topic", "key", "value"}`, as CloudEvents, or after a key on the same line.
//!
//! What a before image is worth depends on the database. PostgreSQL without
//! `REPLICA IDENTITY FULL` writes none for updates, and for deletes the key
//! with made-up zeros beside it; whether a table is like that is decided per
//! table (see [`Facts`](super::Facts)), for the side that claims less. An
//! `op` of `c` with a snapshot mark is an initial read.
//!
//! Limits: documents of MongoDB and flattened records
//! (`ExtractNewRecordState`, a format of its own) are set aside. A text equal to the placeholder
//! for values that were not recorded cannot be told from it in updates.

mod cloud;
mod encoding;
mod envelope;
mod fits;
mod flat;
mod layout;
mod plain;
mod source;
mod values;

use std::borrow::Cow;

use arrow::datatypes::DataType;

use self::encoding::{Described, Modes, Schemas, search};
pub(super) use self::envelope::is_debezium;
use self::envelope::{Event, Image, Members, Opened, Wrapping, open};
pub(super) use self::flat::{Flat, is_flat};
use self::layout::Layouts;
use self::source::{Connector, Position, Source};
use self::values::{Encoding, Values};
use super::chunk;
use super::decode::{Control, DecodeOptions, Decoded, Depth, Facts, Numbered, Reset, TableTarget, add_few};
use super::drift::{Shape, Whole};
use super::image::{Meta, Rows, Staged, Stated};
use super::json;
use super::notes::Notes;
use super::placeholder::Placeholder;
use super::position::PositionKind;
use super::route::Routes;
use super::settle::Settle;
use crate::model::{DiscrepancyKind, Op};
use crate::read::JsonChunk;

/// Decodes a chunk.
pub(super) fn decode(chunk: &JsonChunk, targets: &[TableTarget], options: &DecodeOptions) -> Decoded {
    let left = match options.depth {
        Depth::Keys if can_be_left(chunk, targets) => read(chunk, targets, options, true),
        _ => None,
    };
    left.or_else(|| read(chunk, targets, options, false)).unwrap_or_default()
}

/// Whether images can be left in the text: keys tell rows apart, and a record is all that there is of a change.
fn can_be_left(chunk: &JsonChunk, targets: &[TableTarget]) -> bool {
    targets.iter().all(|target| !target.schema.is_keyless())
        && chunk.records.iter().all(|record| record.key.is_none())
}

/// Decodes a chunk; `leave`: without the cells outside the key, `None` where they may not be left.
fn read(chunk: &JsonChunk, targets: &[TableTarget], options: &DecodeOptions, leave: bool) -> Option<Decoded> {
    let mut decoder = Decoder::new(chunk, targets, options);
    decoder.rows.iter_mut().filter(|_| leave).for_each(Rows::leave);
    if let Depth::Again { before, after } = options.depth {
        decoder.rows.iter_mut().for_each(|rows| rows.skip([!before, !after]));
    }
    let mut layouts = Layouts::default();
    for (index, record) in chunk.records.iter().enumerate() {
        if decoder.doubtful() {
            return None;
        }
        (decoder.index, decoder.record) = (index, record.number);
        let Ok(text) = chunk::value(chunk, record) else {
            decoder.notes.unparsable(None, record.number, "the record is not valid UTF-8");
            continue;
        };
        let key = chunk::key(chunk, record);
        // A key that is a text holds JSON, which has to be opened first.
        if key.is_none_or(|key| !key.starts_with('"'))
            && let Some(event) = layouts.event(text, key)
        {
            decoder.event(&event);
            if let Some(target) = decoder.unchecked.take() {
                layouts.check(|images| decoder.checks(target, images));
            }
            continue;
        }
        let wrapping = Wrapping { key, ..Wrapping::default() };
        open(text, wrapping, &mut |opened| decoder.opened(opened));
        layouts.learn(text);
    }
    decoder.finish()
}

struct Decoder<'o> {
    chunk: &'o JsonChunk,
    options: &'o DecodeOptions,
    rows: Vec<Rows<'o>>,
    tables: Vec<TableState>,
    routes: Routes<'o>,
    placeholder: Placeholder,
    schemas: Schemas,
    notes: Notes,
    decoded: Decoded,
    facts: Facts,
    /// Which questions about the chunk's encodings have been looked into.
    searched: Modes<bool>,
    /// The fields of both images of the event at hand, as hashes.
    fields: [u64; 2],
    /// Columns that are null in an image of the event at hand, if it is plain at sight.
    nulls: Vec<usize>,
    /// The target of an event that turned out to be plain, which was not seen while it was taken apart.
    unchecked: Option<usize>,
    last: Option<Last>,
    index: usize,
    record: u64,
}

/// Of the event before, as written: what says where it comes from.
struct Last {
    /// Connector, database, schema and table.
    named: [Option<String>; 4],
    connector: Connector,
}

/// What the decoder remembers per target.
struct TableState {
    /// All columns, and those that are written in one of several modes.
    all: Vec<usize>,
    by_mode: Vec<usize>,
    encodings: Vec<Encoding>,
    variable: Vec<bool>,
    assumed: Vec<Option<(i64, i64)>>,
    /// Per column, cells that equal a default which can stand for null.
    defaults: Vec<u64>,
    /// Per column, whether a null was written although there is a default.
    nulls: Vec<bool>,
}

impl TableState {
    fn new(target: &TableTarget, options: &DecodeOptions) -> Self {
        let fields = target.schema.arrow().fields();
        let encodings: Vec<Encoding> =
            fields.iter().map(|f| Encoding::of_type(f.data_type(), options.epoch)).collect();
        let is_by_mode =
            |c: &usize| matches!(encodings[*c], Encoding::DecimalByMode(_) | Encoding::BytesByMode);
        Self {
            all: (0..encodings.len()).collect(),
            by_mode: (0..encodings.len()).filter(is_by_mode).collect(),
            variable: vec![false; encodings.len()],
            assumed: vec![None; encodings.len()],
            defaults: vec![0; encodings.len()],
            nulls: vec![false; encodings.len()],
            encodings,
        }
    }

    /// Takes in what a record's schema says.
    fn describe(&mut self, described: &Described, staged: &Staged<'_>) {
        self.variable.iter_mut().zip(&described.variable).for_each(|(s, d)| *s |= d);
        for image in [&staged.before, &staged.after].into_iter().flatten() {
            for (column, (cell, default)) in image.iter().zip(&described.defaults).enumerate() {
                match (cell, default) {
                    (Stated::Json(raw), Some(default)) => self.defaults[column] += u64::from(raw == default),
                    (Stated::Null, Some(_)) => self.nulls[column] = true,
                    _ => {}
                }
            }
        }
    }
}

impl<'o> Decoder<'o> {
    fn new(chunk: &'o JsonChunk, targets: &'o [TableTarget], options: &'o DecodeOptions) -> Self {
        Self {
            chunk,
            options,
            rows: targets.iter().enumerate().map(|(i, t)| Rows::new(i, t, options)).collect(),
            tables: targets.iter().map(|t| TableState::new(t, options)).collect(),
            routes: Routes::new(targets),
            placeholder: Placeholder::new(&options.placeholder),
            schemas: Schemas::default(),
            notes: Notes::default(),
            decoded: Decoded::default(),
            facts: Facts { decimals: options.decimals, binary: options.binary, ..Facts::default() },
            searched: Modes { decimals: options.decimals.is_some(), binary: options.binary.is_some() },
            fields: [0; 2],
            nulls: Vec::new(),
            unchecked: None,
            last: None,
            index: 0,
            record: 0,
        }
    }

    fn opened(&mut self, opened: Opened<'_>) {
        match opened {
            Opened::Event(event) => self.event(event),
            Opened::End { transaction, changes } => {
                let control = Control { record: self.record, transaction: transaction.into_owned(), changes };
                self.decoded.controls.push(control);
            }
            Opened::NoChange => {}
            Opened::Unknown(message) => self.notes.unparsable(None, self.record, message),
        }
    }

    fn event(&mut self, event: &Event<'_>) {
        let source = &event.source;
        let connector = self.connector(source);
        let block = event.transaction_id(connector);
        let op = match event.op.as_ref() {
            "c" if source.is_snapshot() => Op::Read,
            "c" => Op::Insert,
            "r" => Op::Read,
            "u" => Op::Update,
            "d" => Op::Delete,
            "t" => Op::Truncate,
            "m" => return,
            other => {
                let message = format!("expected an op of c, u, d, r, t or m, found {other:?}");
                return self.notes.unparsable(None, self.record, message);
            }
        };
        if let Some((id, Some(number))) = &block {
            self.number(id, &event.table(), *number);
        }
        let stream = self.decoded.edge.places;
        self.decoded.edge.places += 1;
        let position = self.position(event, connector, op == Op::Read);
        let Some(target) = self.target(event) else { return };
        let committed_at = source.committed_at().unwrap_or_else(|found| {
            let message = format!("expected a time between the years 1677 and 2262, found {found}");
            self.notes.unparsable(Some(target), self.record, message);
            None
        });
        self.decoded.edge.clock.get_or_insert(source.clock(connector));
        let (transaction, actor) = (source.transaction(connector, block.map(|(id, _)| id)), source.actor());
        let keyless = self.rows[target].target.schema.is_keyless();
        let meta = Meta {
            op: Some(op),
            record: self.record,
            stream,
            committed_at,
            commit_position: position.commit,
            position: position.own,
            transaction: transaction.as_deref(),
            actor: actor.as_deref(),
            weak: connector == Connector::Postgres
                && event.before.is_some()
                && matches!(op, Op::Update | Op::Delete)
                && !keyless,
        };
        if self.push_at_sight(target, event, &meta, connector) {
            return;
        }
        match self.stage(target, event, op, connector) {
            Ok(staged) => self.push(target, event, &meta, &staged),
            Err(message) => self.notes.unparsable(Some(target), self.record, message),
        }
    }

    /// Counts a change of a table by its number in the transaction.
    fn number(&mut self, transaction: &str, table: &[Option<Cow<'_, str>>; 3], number: u64) {
        let parts: Vec<&str> = table.iter().flatten().map(AsRef::as_ref).filter(|p| !p.is_empty()).collect();
        let table = parts.join(".");
        let table = envelope::last_two(&table);
        match self.decoded.edge.events.last_mut() {
            Some(run)
                if run.transaction == transaction
                    && run.table == table
                    && run.last.checked_add(1) == Some(number) =>
            {
                run.last = number;
            }
            _ => {
                let (transaction, table) = (transaction.to_owned(), table.to_owned());
                self.decoded.edge.events.push(Numbered { transaction, table, first: number, last: number });
            }
        }
    }

    /// The change's position, and what it says about the stream's.
    fn position(&mut self, event: &Event<'_>, connector: Connector, read: bool) -> Position {
        let edge = &mut self.decoded.edge;
        let Some((kind, position)) = event.source.position(connector, read) else {
            edge.unplaced = true;
            return Position::default();
        };
        let place = edge.places - 1;
        match &edge.kind {
            Some(known) => edge.incomparable |= *known != kind,
            None => edge.kind = Some(kind.clone()),
        }
        if let (PositionKind::Binlog(_), Some(server)) = (&kind, event.source.server()) {
            edge.incomparable |= *edge.server.get_or_insert(server) != server;
        }
        if let Some(lsn) = position.reset {
            let transaction = event.source.transaction_number();
            match edge.resets.last_mut() {
                Some(r) if r.end == place && r.read == read && r.transaction == transaction => r.end += 1,
                _ => {
                    let before = edge.last_commit;
                    edge.resets.push(Reset { start: place, end: place + 1, lsn, before, read, transaction });
                }
            }
        } else if kind == PositionKind::DebeziumLsn {
            edge.last_commit = edge.last_commit.max((position.commit.unwrap_or(0) >> 1) as u64);
        }
        position
    }

    /// The database, which is mostly that of the event before.
    fn connector(&self, source: &Source<'_>) -> Connector {
        match &self.last {
            Some(last) if source.connector.is_some() && last.named[0].as_deref() == source.connector => {
                last.connector
            }
            _ => source.connector(),
        }
    }

    /// The target of an event's table, which is mostly that of the event before.
    fn target(&mut self, event: &Event<'_>) -> Option<usize> {
        let source = &event.source;
        let named = [source.connector, source.db, source.schema, source.table];
        if let Some(last) = &self.last
            && last.named.iter().zip(&named).all(|(last, raw)| last.as_deref() == *raw)
        {
            return self.routes.again();
        }
        let target = self.routes.find(event.table());
        self.last = source
            .table
            .is_some()
            .then(|| Last { named: named.map(|raw| raw.map(str::to_owned)), connector: source.connector() });
        target
    }

    /// Whether images cannot be left in the text after all.
    fn doubtful(&self) -> bool {
        self.rows.iter().any(|rows| rows.left.as_ref().is_some_and(|left| left.doubtful))
    }

    /// Both images as slices, with what the op and the database imply.
    fn stage<'r>(
        &mut self,
        target: usize,
        event: &Event<'r>,
        op: Op,
        connector: Connector,
    ) -> Result<Staged<'r>, String> {
        let rows = &mut self.rows[target];
        let mut staged = Staged::default();
        if op == Op::Truncate {
            return Ok(staged);
        }
        // In a whole row of PostgreSQL, a placeholder is a text of that content.
        let whole_rows = connector == Connector::Postgres;
        let old = matches!(op, Op::Update | Op::Delete);
        if old {
            staged.before = image(rows, event.before, "before")?;
            self.fields[0] = rows.shapes.read_last;
            if !whole_rows {
                self.placeholder.blank(&mut staged.before, Stated::Absent);
            }
        }
        if op != Op::Delete {
            staged.after = image(rows, event.after, "after")?;
            self.fields[1] = rows.shapes.read_last;
            if staged.after.is_none() {
                return Err(format!("expected an after image of this {}, found none", op.name()));
            }
            if op == Op::Update {
                self.placeholder.blank(&mut staged.after, Stated::Unchanged);
            } else if !whole_rows {
                self.placeholder.blank(&mut staged.after, Stated::Absent);
            }
        }
        if !rows.target.schema.is_keyless() {
            if old && staged.before.is_none() {
                staged.before = Some(rows.blank(Stated::Absent));
            }
            rows.share_key(&mut staged);
            key_from_message(rows, &mut staged, event.key);
            carry_unchanged(&mut staged);
        } else if old && staged.before.is_none() {
            return Err(format!(
                "expected a before image of this {} in a table without key, found none",
                op.name()
            ));
        }
        Ok(staged)
    }

    fn push(&mut self, target: usize, event: &Event<'_>, meta: &Meta<'_>, staged: &Staged<'_>) {
        if meta.weak || meta.op == Some(Op::Update) && event.source.connector() == Connector::Postgres {
            learn(&mut self.rows[target], event, meta, staged);
        }
        let table = self.rows[target].target;
        if let Some(schema) = event.schema {
            self.tables[target].describe(self.schemas.describe(schema, target, table), staged);
        }
        self.search_modes(target, event.schema, staged);
        let described = event.schema.map(|schema| self.schemas.describe(schema, target, table));
        note_shapes(&mut self.rows[target], event, (meta.op, self.fields), described);
        let state = &mut self.tables[target];
        let mut values = Values {
            assuming: described.is_none()
                && self.options.epoch.is_none()
                && !matches!(self.options.depth, Depth::Again { .. }),
            encodings: described.map_or(&state.encodings, |d| &d.encodings),
            decimals: self.facts.decimals.or(self.options.facts.decimals),
            binary: self.facts.binary.or(self.options.facts.binary),
            variable: &mut state.variable,
            assumed: &mut state.assumed,
        };
        if let Some(left) = &mut self.rows[target].left {
            let record = &self.chunk.records[self.index];
            left.record = [record.start as u32, record.end as u32];
        }
        if self.rows[target].push(meta, staged, &mut values, &mut self.notes).is_err() {
            let message = "expected the key in the images or in the message key, found none";
            self.notes.unparsable(Some(target), self.record, message);
        }
    }

    /// Looks ahead for what proves how decimals and bytes are written, the first time that it matters.
    fn search_modes(&mut self, target: usize, schema: Option<&str>, staged: &Staged<'_>) {
        if self.searched.decimals && self.searched.binary {
            return;
        }
        let table = self.rows[target].target;
        let described = schema.map(|schema| self.schemas.describe(schema, target, table));
        let encodings = described.map_or(&self.tables[target].encodings, |d| &d.encodings);
        let state = &self.tables[target];
        let by_mode: &[usize] = if schema.is_none() { &state.by_mode } else { &state.all };
        let cells = staged.before.iter().chain(&staged.after);
        let mut needed = Modes::default();
        for (cell, encoding) in cells.flat_map(|cells| by_mode.iter().map(|&c| (&cells[c], &encodings[c]))) {
            let (decimal, bytes) =
                (matches!(encoding, Encoding::DecimalByMode(_)), *encoding == Encoding::BytesByMode);
            if (decimal || bytes) && matches!(cell, Stated::Json(raw) if raw.starts_with('"')) {
                needed.decimals |= decimal && !self.searched.decimals;
                needed.binary |= bytes && !self.searched.binary;
            }
        }
        if needed == Modes::default() {
            return;
        }
        // Fewer records may not prove the same.
        if let Some(left) = &mut self.rows[target].left {
            left.doubtful = true;
            return;
        }
        let (rows, tables, routes) = (&self.rows, &self.tables, &self.routes);
        let found = search(self.chunk, self.index, needed, &mut |event, cell| {
            let Some(target) = routes.target(&event.table()) else { return };
            for image in [event.before, event.after].into_iter().flatten() {
                let _ = json::members(image.text, |name, raw| {
                    if let Some(column) = encoding::column(rows[target].target, name) {
                        cell(raw, tables[target].encodings[column]);
                    }
                });
            }
        });
        self.searched.decimals |= needed.decimals;
        self.searched.binary |= needed.binary;
        self.facts.decimals = self.facts.decimals.or(found.decimals);
        self.facts.binary = self.facts.binary.or(found.binary);
    }

    /// Everything decoded; `None` if images were to be left in the text, and may not be.
    fn finish(mut self) -> Option<Decoded> {
        let again = matches!(self.options.depth, Depth::Again { .. });
        let full_identity = if again { Some(true) } else { self.options.full_identity };
        let non_finite = self.options.non_finite;
        for (index, (mut rows, state)) in self.rows.into_iter().zip(self.tables).enumerate() {
            self.decoded.shapes.push(rows.take_shapes());
            mark_variable(&mut rows, &state, &mut self.notes);
            note_defaults(&rows, &state, &mut self.notes);
            let refused = refused_units(&rows, &state, &mut self.notes);
            let facts = self.options.facts.target(index);
            let settle = Settle { facts: &facts, full_identity, non_finite, refused: &refused };
            if let Some(left) = &rows.left {
                let variable = state.variable.contains(&true);
                let texts = if left.doubtful || variable { None } else { rows.left_texts(&settle) };
                self.decoded.texts.push(texts?);
            }
            rows.note_unknown(&mut self.notes);
            let (batch, facts, used) = rows.finish(&settle);
            self.decoded.changes.push(batch);
            self.facts.targets.push(facts);
            self.decoded.edge.used.push(used);
        }
        self.decoded.tables = self.routes.finish();
        self.decoded.facts = self.facts;
        self.decoded.notes = self.notes.finish();
        Some(self.decoded)
    }
}

/// An image as slices.
fn image<'r>(
    rows: &mut Rows<'_>,
    stated: Option<Image<'r>>,
    side: &str,
) -> Result<Option<Vec<Stated<'r>>>, String> {
    let Some(stated) = stated else { return Ok(None) };
    let image = match stated.members {
        Some(Members::Named(members)) => Some(rows.image_of(members, Stated::Absent)),
        Some(Members::Laid(frame, values)) => {
            Some(rows.image_laid((frame.number, &frame.names), values, Stated::Absent))
        }
        None => rows.image(stated.text, Stated::Absent),
    };
    image.map(Some).ok_or_else(|| format!("expected an object as {side} image"))
}

/// Says which columns the images of an event carry. After images have every field of the table. So have before
/// images, unless somebody took the nulls or made-up values out that PostgreSQL fills them with.
/// `fields` are hashes of their fields.
fn note_shapes(
    rows: &mut Rows<'_>,
    event: &Event<'_>,
    (op, fields): (Option<Op>, [u64; 2]),
    described: Option<&Described>,
) {
    let after = event.after.filter(|_| op != Some(Op::Delete));
    let before = event.before.filter(|_| matches!(op, Some(Op::Update | Op::Delete)));
    let schema = &rows.target.schema;
    for (side, image) in [before, after].into_iter().enumerate() {
        let (Some(image), hash) = (image, fields[side]) else { continue };
        let whole =
            if side == 1 || after.is_some() && fields[0] == fields[1] { Whole::Yes } else { Whole::No };
        let hash = hash.wrapping_add(described.map_or(0, |d| d.kinds_hash));
        rows.shapes.note(side, hash, whole, || {
            let mut names = Vec::new();
            let _ = json::members(image.text, |name, _| names.push(name.to_owned()));
            let kind = |name: &str| {
                let column = schema.column(name)?;
                described.and_then(|d| d.kinds[column].clone())
            };
            Shape::new(schema, names.iter().map(|name| (name.as_str(), kind(name))))
        });
    }
}

/// Takes key cells that no image has from the message key.
fn key_from_message<'r>(rows: &Rows<'_>, staged: &mut Staged<'r>, key: Option<&'r str>) {
    let columns = rows.target.schema.key();
    let lacking = |image: &Option<Vec<Stated<'_>>>| {
        image.as_ref().is_some_and(|cells| columns.iter().any(|&k| !cells[k].is_stated()))
    };
    let Some(mut key) = key.filter(|_| lacking(&staged.before) || lacking(&staged.after)) else { return };
    let mut payload = None;
    let _ = json::members(key, |name, raw| {
        if name == "payload" && raw.starts_with('{') {
            payload = Some(raw);
        }
    });
    key = payload.unwrap_or(key);
    for image in [&mut staged.before, &mut staged.after].into_iter().flatten() {
        let _ = json::members(key, |name, raw| {
            let column = encoding::column(rows.target, name).filter(|c| columns.contains(c));
            if let Some(column) = column.filter(|&c| !image[c].is_stated()) {
                image[column] = Stated::raw(raw);
            }
        });
    }
}

/// What an update did not touch, it did not touch on either side.
fn carry_unchanged(staged: &mut Staged<'_>) {
    let (Some(before), Some(after)) = (&mut staged.before, &staged.after) else { return };
    for (old, new) in before.iter_mut().zip(after) {
        if *new == Stated::Unchanged && !old.is_stated() {
            *old = Stated::Unchanged;
        }
    }
}

/// What an update or delete of PostgreSQL tells about the table's before images.
fn learn(rows: &mut Rows<'_>, event: &Event<'_>, meta: &Meta<'_>, staged: &Staged<'_>) {
    match (meta.op, event.before) {
        (Some(Op::Update), None) => rows.facts.partial_update = true,
        (Some(Op::Update), Some(_)) => rows.facts.whole_update = true,
        _ if rows.facts.whole_images().is_some() => {}
        _ => {
            let cells = staged.before.iter().flatten().enumerate();
            for (column, cell) in cells.filter(|(column, _)| !rows.target.schema.is_key(*column)) {
                let raw = if let Stated::Json(raw) = cell { raw } else { "" };
                let hash = xxhash_rust::xxh3::xxh3_64(raw.as_bytes());
                add_few(&mut rows.facts.delete_values[column], &[hash], 3);
            }
        }
    }
}

/// Text columns in which numbers of variable scale stand: zeros at their end are lost, and NaN is written as null.
fn mark_variable(rows: &mut Rows<'_>, state: &TableState, notes: &mut Notes) {
    for (column, variable) in state.variable.iter().enumerate() {
        let schema = &rows.target.schema;
        let text =
            matches!(schema.data_type(column), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        if !variable || !text {
            continue;
        }
        rows.facts.scale_lost[column] = true;
        rows.facts.non_finite[column] = true;
        let message =
            "the ledger drops trailing zeros of these numbers; their texts are equal as numbers only";
        notes.once(DiscrepancyKind::LossyValue, rows.index, schema.name(column), message);
    }
}

/// Columns whose defaults may stand for nulls: converters replace null by the default unless told not to.
fn note_defaults(rows: &Rows<'_>, state: &TableState, notes: &mut Notes) {
    for (column, (count, nulls)) in state.defaults.iter().zip(&state.nulls).enumerate() {
        if *count > 0 && !nulls {
            let message = "this ledger's converter may have written the column's default for null; the values are \
                           taken as they stand";
            notes.once(DiscrepancyKind::AmbiguousNull, rows.index, rows.target.schema.name(column), message);
        }
    }
}

/// Columns whose integers make no sense in the column's unit, while they would in another one.
fn refused_units(rows: &Rows<'_>, state: &TableState, notes: &mut Notes) -> Vec<bool> {
    let mut refused = vec![false; state.assumed.len()];
    for (column, range) in state.assumed.iter().enumerate() {
        let data_type = rows.target.schema.data_type(column);
        let (DataType::Timestamp(unit, _), Some((least, greatest))) = (data_type, *range) else { continue };
        if values::plausible(least, greatest, *unit) {
            continue;
        }
        refused[column] = true;
        let message = format!(
            "whole numbers from {least} to {greatest} make no sense in the column's own unit, and nothing \
             says in which one they are; the cells count as not recorded (declare `timestamps`)"
        );
        notes.once(DiscrepancyKind::LossyValue, rows.index, rows.target.schema.name(column), message);
    }
    refused
}

#[cfg(test)]
mod tests;
