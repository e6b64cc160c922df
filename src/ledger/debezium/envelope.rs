//! What a JSON value of a Debezium ledger is, under all its wrappings.

use std::borrow::Cow;
use std::ops::Range;

use super::super::image::LaidValues;
use super::super::json::{self, Member, raw_members, raw_text};
use super::layout::Frame;
use super::source::{Connector, Source};
use crate::read::json_scan::{Broken, Scan};

/// How deep a record may be wrapped before it is set aside.
const DEPTH: u8 = 4;

raw_members! {
    /// The members of all kinds of records, raw.
    pub(super) struct Envelope {
        before = "before",
        after = "after",
        source = "source",
        op = "op",
        transaction = "transaction",
        topic = "topic",
        key = "key",
        value = "value",
        schema = "schema",
        payload = "payload",
        status = "status",
        id = "id",
        data_collections = "data_collections",
        ddl = "ddl",
        table_changes = "tableChanges",
        ts_ms = "ts_ms",
        specversion = "specversion",
        data = "data",
        flat_op = "__op",
        flat_deleted = "__deleted",
    }
}

/// The members of the images of a record, one image after the other.
type Tape<'a> = Vec<Member<'a>>;

/// Where the members of the images stand in the tape; `None` for images that are to be taken apart by their text.
#[derive(Debug, Default)]
struct Images {
    before: Option<Range<usize>>,
    after: Option<Range<usize>>,
}

/// A record taken apart.
#[derive(Default)]
struct Parts<'a> {
    envelope: Envelope<'a>,
    source: Source<'a>,
    images: Images,
    tape: Tape<'a>,
}

/// An image, checked to be JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Image<'a> {
    pub(super) text: &'a str,
    /// Its members, if it is an object and no name has escapes.
    pub(super) members: Option<Members<'a>>,
}

/// The members of an image.
#[derive(Debug, Clone, Copy)]
pub(super) enum Members<'a> {
    /// Each with its name.
    Named(&'a [Member<'a>]),
    /// The values alone; the names are those of a frame.
    Laid(&'a Frame, LaidValues<'a>),
}

impl<'a> Parts<'a> {
    /// Takes a record apart in one pass, down to the members of its images and its `source`.
    ///
    /// # Errors
    /// What is wrong with it.
    fn read(&mut self, text: &'a str) -> Result<(), String> {
        let Self { envelope, source, images, tape } = self;
        let mut twice = None;
        let mut scan = Scan::new(text);
        let passed = scan.object(|scan, name| {
            let name = name.text()?;
            let place = scan.place();
            match &*name {
                "before" if scan.peek() == Some(b'{') => images.before = taken_apart(scan, tape)?,
                "after" if scan.peek() == Some(b'{') => images.after = taken_apart(scan, tape)?,
                "source" if scan.peek() == Some(b'{') => source.pass(scan)?,
                _ => scan.value().map(|_| ())?,
            }
            if !envelope.set(&name, scan.since(place)?) {
                twice = Some(name.into_owned());
            }
            Ok(())
        });
        if passed.and_then(|()| scan.end()).is_err() {
            return Err(json::no_object(text).to_string());
        }
        envelope.settle();
        twice.map_or(Ok(()), |name| Err(format!("duplicate field `{name}`")))
    }
}

/// Puts the members of an image on the tape, unless a name has escapes.
fn taken_apart<'a>(scan: &mut Scan<'a>, tape: &mut Tape<'a>) -> Result<Option<Range<usize>>, Broken> {
    let (start, mut plain) = (tape.len(), true);
    scan.object(|scan, name| {
        plain &= !name.escaped;
        tape.push((name.inner, scan.value()?));
        Ok(())
    })?;
    Ok(plain.then_some(start..tape.len()))
}

/// A change event, raw.
#[derive(Debug)]
pub(super) struct Event<'a> {
    pub(super) op: Cow<'a, str>,
    pub(super) before: Option<Image<'a>>,
    pub(super) after: Option<Image<'a>>,
    pub(super) source: &'a Source<'a>,
    pub(super) topic: Option<Cow<'a, str>>,
    /// The message key, as raw JSON.
    pub(super) key: Option<&'a str>,
    /// The schema of the value, as raw JSON.
    pub(super) schema: Option<&'a str>,
    pub(super) transaction: Option<&'a str>,
    /// What has been seen of its images already.
    pub(super) sighted: Option<Sighted<'a>>,
}

/// What has been seen of both images of an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighted<'a> {
    /// The target whose columns they were looked at for.
    pub(super) target: usize,
    /// Every value surely goes into its column, or is null outside the key.
    pub(super) is_plain: bool,
    /// The columns that are null in some image.
    pub(super) nulls: &'a [usize],
}

/// What a JSON value turns out to be.
#[derive(Debug)]
pub(super) enum Opened<'a> {
    Event(&'a Event<'a>),
    /// The end of a transaction, with its number of changes by table.
    End {
        transaction: Cow<'a, str>,
        changes: Vec<(String, u64)>,
    },
    /// Nothing that concerns a row.
    NoChange,
    /// Something else; says what.
    Unknown(String),
}

/// What a record is wrapped in.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wrapping<'a> {
    pub(super) topic: Option<&'a str>,
    pub(super) key: Option<&'a str>,
    pub(super) schema: Option<&'a str>,
    pub(super) depth: u8,
}

/// Opens a JSON value and hands out what is in it.
pub(super) fn open(text: &str, wrapping: Wrapping<'_>, found: &mut dyn FnMut(Opened<'_>)) {
    let text = text.trim_ascii();
    if text.is_empty() || text == "null" || text == "\"\"" {
        return found(Opened::NoChange); // a tombstone
    }
    if wrapping.depth > DEPTH {
        return found(Opened::Unknown("the record is wrapped too often".to_owned()));
    }
    let deeper = Wrapping { depth: wrapping.depth + 1, ..wrapping };
    // Some tools print the key and the value as JSON texts that hold JSON.
    if text.starts_with('"') {
        return match json::text(text) {
            Some(inner) => open(&inner, deeper, found),
            None => found(Opened::Unknown("the record is not valid JSON".to_owned())),
        };
    }
    if let Some(inner) = wrapping.key.filter(|k| k.starts_with('"')).and_then(json::text) {
        return open(text, Wrapping { key: Some(&inner), ..deeper }, found);
    }
    // Larger blocks of memory come more slowly.
    let mut parts = Parts { tape: Tape::with_capacity(32), ..Parts::default() };
    match parts.read(text) {
        Ok(()) => classify(text, &parts, deeper, found),
        Err(error) => found(Opened::Unknown(format!("expected a JSON object: {error}"))),
    }
}

fn classify<'a>(
    text: &'a str,
    parts: &'a Parts<'a>,
    wrapping: Wrapping<'a>,
    found: &mut dyn FnMut(Opened<'_>),
) {
    let Parts { envelope, source, images, tape } = parts;
    let raw = |member: Option<&'a str>| raw_text(member);
    if envelope.specversion.is_some() {
        return match (super::cloud::event(text), raw(envelope.data)) {
            (Some(event), _) => open(&event, wrapping, found),
            (None, Some(data)) => open(data, wrapping, found),
            (None, None) => found(Opened::Unknown("expected data in a CloudEvent, found none".to_owned())),
        };
    }
    let topic = raw(envelope.topic).or(wrapping.topic);
    if let (Some(op), true) = (raw(envelope.op), is_change(envelope)) {
        let on_tape = |image: &Option<Range<usize>>| tape.get(image.clone()?).map(Members::Named);
        let event = Event {
            op: json::text(op).unwrap_or(Cow::Borrowed(op)),
            before: envelope.before.map(|text| Image { text, members: on_tape(&images.before) }),
            after: envelope.after.map(|text| Image { text, members: on_tape(&images.after) }),
            source,
            topic: topic.and_then(json::text),
            key: wrapping.key,
            schema: wrapping.schema,
            transaction: raw(envelope.transaction),
            sighted: None,
        };
        return found(Opened::Event(&event));
    }
    let key = raw(envelope.key).or(wrapping.key);
    if let Some(payload) = raw(envelope.payload) {
        let schema = raw(envelope.schema).or(wrapping.schema);
        return open(payload, Wrapping { topic, key, schema, ..wrapping }, found);
    }
    if let Some(value) = raw(envelope.value) {
        return open(value, Wrapping { topic, key, ..wrapping }, found);
    }
    if let (Some(status), Some(id)) = (raw(envelope.status), raw(envelope.id)) {
        let end = json::text(status).as_deref() == Some("END");
        return found(match (end, json::text(id)) {
            (true, Some(transaction)) => {
                Opened::End { transaction, changes: declared(envelope.data_collections) }
            }
            _ => Opened::NoChange,
        });
    }
    if envelope.flat_op.is_some() || envelope.flat_deleted.is_some() {
        let message = "a flattened record (ExtractNewRecordState) is another format; name it with --format debezium-flat";
        return found(Opened::Unknown(message.to_owned()));
    }
    let wrapped_nothing = envelope.topic.is_some() || envelope.schema.is_some();
    let schema_change = envelope.ddl.is_some() || envelope.table_changes.is_some();
    if wrapped_nothing || schema_change || is_heartbeat(text, envelope) {
        return found(Opened::NoChange);
    }
    found(Opened::Unknown("expected a Debezium event, found a JSON object without `op`".to_owned()));
}

/// The numbers of changes by table that the end of a transaction declares. Logical messages are no changes.
fn declared(collections: Option<&str>) -> Vec<(String, u64)> {
    let mut tables = Vec::new();
    let Some(collections) = collections else { return tables };
    let _ = json::elements(collections, |raw| {
        let (mut table, mut count) = (None, None);
        let _ = json::members(raw, |name, value| match name {
            "data_collection" => table = json::text(value),
            "event_count" => count = value.parse().ok(),
            _ => {}
        });
        if let (Some(table), Some(count)) = (table.filter(|t| !t.contains("LogicalDecodingMessage")), count) {
            tables.push((last_two(&table).to_owned(), count));
        }
    });
    tables
}

/// `schema.table` of a name that may have a database before it.
pub(super) fn last_two(name: &str) -> &str {
    name.rmatch_indices('.').nth(1).map_or(name, |(at, _)| &name[at + 1..])
}

fn is_change(envelope: &Envelope<'_>) -> bool {
    envelope.payload.is_none() || envelope.source.is_some()
}

/// `{"ts_ms": …}` and nothing else, or the key of one.
fn is_heartbeat(text: &str, envelope: &Envelope<'_>) -> bool {
    let mut others = 0;
    let known = json::members(text, |name, _| others += u32::from(name != "ts_ms" && name != "serverName"));
    known.is_ok() && others == 0 && (envelope.ts_ms.is_some() || text.contains("serverName"))
}

impl<'a> Event<'a> {
    /// Database, schema and table, from the source block, else from the topic's last parts.
    pub(super) fn table(&self) -> [Option<Cow<'_, str>>; 3] {
        let source = &self.source;
        let table = json::scalar(source.table).or_else(|| json::scalar(source.collection));
        if table.is_some() {
            return [json::scalar(source.db), json::scalar(source.schema), table];
        }
        let topic = self.topic.as_deref().unwrap_or("");
        let (prefix, table) = topic.rsplit_once('.').unwrap_or(("", topic));
        let schema = prefix.rsplit_once('.').map_or(prefix, |(_, last)| last);
        [None, Some(Cow::Borrowed(schema)), Some(Cow::Borrowed(table))]
    }

    /// The id in the `transaction` block, and the event's number among those of its table. PostgreSQL puts the change's LSN after the id.
    pub(super) fn transaction_id(&self, connector: Connector) -> Option<(Cow<'a, str>, Option<u64>)> {
        let (mut id, mut number) = (None, None);
        json::members(self.transaction?, |name, raw| match name {
            "id" => id = json::text(raw),
            "data_collection_order" => number = json::text(raw).and_then(|t| t.parse().ok()),
            _ => {}
        })
        .ok()?;
        let id = match (connector, id?) {
            (Connector::Postgres, Cow::Borrowed(id)) => Cow::Borrowed(before_colon(id)),
            (Connector::Postgres, Cow::Owned(id)) => Cow::Owned(before_colon(&id).to_owned()),
            (_, id) => id,
        };
        Some((id, number))
    }
}

fn before_colon(id: &str) -> &str {
    id.split(':').next().unwrap_or(id)
}

/// Whether a JSON value can only come from Debezium.
pub(in super::super) fn is_debezium(text: &str) -> bool {
    let mut sure = false;
    open(text, Wrapping::default(), &mut |opened| {
        sure = match opened {
            Opened::Event(event) => event.source.is_stated(),
            Opened::End { .. } => true,
            Opened::NoChange => text.contains("\"tableChanges\"") || text.contains("__debezium-heartbeat"),
            Opened::Unknown(_) => false,
        };
    });
    sure
}
