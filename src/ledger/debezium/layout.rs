//! [`Layouts`]: records that are laid out as an earlier one are read without looking at their names.
//!
//! A producer writes the members of its records always in the same order. So what
//! stands between the values of one record is expected between those of the next,
//! and compared as bytes; the values alone are scanned.
//!
//! ```text
//!  {"before": null ,"after":{"id": 7 ,"qty": 2 },"source":{"lsn": 5 },"op": "c" }
//!  └────────┘      └────────────┘   └───────┘   └───────────────┘   └───────┘   └┘ gaps
//! ```
//!
//! Limits: bare events alone have layouts. A record that fits none of them is read
//! member by member, and shows what the next ones may look like.

use std::borrow::Cow;
use std::ops::Range;

use super::envelope::{Envelope, Event, Image, Members};
use super::source::Source;
use crate::ledger::json::raw_text;
use crate::read::json_scan::{Broken, Scan};

/// How many layouts a chunk may have; tables of one stream each have their own.
const LAYOUTS_MAX: usize = 16;

/// How many records of a chunk are looked at for their layout.
const TRIES_MAX: usize = 64;

/// The layouts of a chunk's records.
#[derive(Debug, Default)]
pub(super) struct Layouts<'a> {
    known: Vec<Layout>,
    /// The names of images, numbered for those who remember which columns they are.
    names: Vec<Vec<String>>,
    last: usize,
    tries: usize,
    parts: Parts<'a>,
}

/// The values of the record at hand.
#[derive(Debug, Default)]
struct Parts<'a> {
    tape: Vec<&'a str>,
    source: Source<'a>,
    op: Option<&'a str>,
    transaction: Option<&'a str>,
    images: [Found<'a>; 2],
}

/// An image as found: its text, and where its values are on the tape; null has neither.
#[derive(Debug, Default)]
struct Found<'a> {
    text: Option<&'a str>,
    values: Range<usize>,
}

/// What stands around the values of a record.
#[derive(Debug)]
struct Layout {
    members: Vec<(Box<[u8]>, What)>,
    images: [Frame; 2],
    source: Frame,
    /// Per member of the source block, which one it is of those that matter.
    fields: Vec<Option<usize>>,
    end: Box<[u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Image(usize),
    Source,
    Op,
    Transaction,
    Other,
}

/// What stands around the values of an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Frame {
    /// The number of its list of names.
    pub(super) number: usize,
    pub(super) names: Vec<String>,
    gaps: Vec<Box<[u8]>>,
    end: Box<[u8]>,
}

impl<'a> Layouts<'a> {
    /// The event that a record is, if it is laid out as an earlier one.
    pub(super) fn event<'s>(&'s mut self, text: &'a str, key: Option<&'s str>) -> Option<Event<'s>>
    where
        'a: 's,
    {
        let others = (0..self.known.len()).filter(|&number| number != self.last);
        let numbers = std::iter::once(self.last).chain(others);
        let parts = &mut self.parts;
        let known = &self.known;
        let mut fitting = numbers.filter_map(|n| Some((n, known.get(n)?)));
        let (number, layout) = fitting.find(|(_, layout)| layout.pass(text, parts).is_ok())?;
        self.last = number;
        let parts = &self.parts;
        let image = |side: usize| {
            let found = &parts.images[side];
            let values = parts.tape.get(found.values.clone())?;
            Some(Image { text: found.text?, members: Some(Members::Laid(&layout.images[side], values)) })
        };
        Some(Event {
            op: crate::ledger::json::text(parts.op?)?,
            before: image(0),
            after: image(1),
            source: &parts.source,
            topic: None,
            key,
            schema: None,
            transaction: raw_text(parts.transaction),
        })
    }

    /// Takes note of how a record is laid out, if it is a bare event.
    pub(super) fn learn(&mut self, text: &str) {
        self.tries += 1;
        if self.known.len() < LAYOUTS_MAX
            && self.tries <= TRIES_MAX
            && let Ok(Some(mut layout)) = Layout::of(text)
        {
            for frame in &mut layout.images {
                frame.number = self.number(&frame.names);
            }
            self.known.push(layout);
        }
    }

    fn number(&mut self, names: &[String]) -> usize {
        self.names.iter().position(|known| known == names).unwrap_or_else(|| {
            self.names.push(names.to_vec());
            self.names.len() - 1
        })
    }
}

impl Layout {
    /// The layout of a record; `None` if it is no bare event.
    fn of(text: &str) -> Result<Option<Self>, Broken> {
        let mut scan = Scan::new(text);
        let (mut from, mut members, mut bare) = (0, Vec::new(), true);
        let (mut images, mut source) = ([None, None], None);
        let mut seen: Vec<Cow<'_, str>> = Vec::new();
        scan.object(|scan, name| {
            let name = name.text()?;
            let gap = text.as_bytes().get(from..scan.place()).ok_or(Broken)?;
            let value = scan.value()?;
            let what = match &*name {
                "before" => What::Image(0),
                "after" => What::Image(1),
                "source" => What::Source,
                "op" => What::Op,
                "transaction" => What::Transaction,
                _ => What::Other,
            };
            let object = value.starts_with('{');
            match what {
                What::Image(side) if object => images[side] = Some(Frame::of(value)?),
                What::Image(_) => bare &= value == "null",
                What::Source => source = object.then(|| Frame::of(value)).transpose()?,
                What::Other => bare &= name == "ts_ms" || Envelope::number(&name).is_none(),
                What::Op | What::Transaction => {}
            }
            bare &= !seen.contains(&name);
            seen.push(name);
            members.push((gap.into(), what));
            from = scan.place();
            Ok(())
        })?;
        scan.end()?;
        let end = text.as_bytes().get(from..).ok_or(Broken)?.into();
        let has = |what: What| members.iter().any(|(_, w)| *w == what);
        let [before, after] = images;
        let (Some(source), Some(images)) = (source, both(before, after)) else { return Ok(None) };
        if !bare || !has(What::Op) {
            return Ok(None);
        }
        let fields = source.names.iter().map(|name| Source::number(name)).collect();
        Ok(Some(Self { members, images, source, fields, end }))
    }

    /// Takes a record apart that is laid out like this.
    fn pass<'a>(&self, text: &'a str, parts: &mut Parts<'a>) -> Result<(), Broken> {
        let mut scan = Scan::new(text);
        parts.tape.clear();
        (parts.op, parts.transaction) = (None, None);
        parts.images = Default::default();
        for (gap, what) in &self.members {
            scan.expect(gap)?;
            match what {
                What::Image(side) if scan.peek() == Some(b'{') => {
                    let (place, start) = (scan.place(), parts.tape.len());
                    self.images[*side].pass(&mut scan, &mut parts.tape)?;
                    let text = Some(scan.since(place)?);
                    parts.images[*side] = Found { text, values: start..parts.tape.len() };
                }
                What::Image(_) => scan.expect(b"null")?,
                What::Source => self.pass_source(&mut scan, parts)?,
                What::Op => parts.op = Some(scan.value()?),
                What::Transaction => parts.transaction = Some(scan.value()?),
                What::Other => scan.value().map(|_| ())?,
            }
        }
        scan.expect(&self.end)?;
        scan.end()
    }

    fn pass_source<'a>(&self, scan: &mut Scan<'a>, parts: &mut Parts<'a>) -> Result<(), Broken> {
        parts.source = Source::default();
        for (gap, field) in self.source.gaps.iter().zip(&self.fields) {
            scan.expect(gap)?;
            let raw = scan.value()?;
            if let Some(field) = field {
                parts.source.put(*field, raw);
            }
        }
        scan.expect(&self.source.end)
    }
}

/// Frames of both images, where one record shows at least one of them: it may be an insert or a delete.
fn both(before: Option<Frame>, after: Option<Frame>) -> Option<[Frame; 2]> {
    match (before, after) {
        (Some(before), Some(after)) => Some([before, after]),
        (Some(one), None) | (None, Some(one)) => Some([one.clone(), one]),
        (None, None) => None,
    }
}

impl Frame {
    /// What stands around the values of an object; an error too if a name has escapes or stands twice.
    fn of(object: &str) -> Result<Self, Broken> {
        let (mut frame, mut from) = (Self::default(), 0);
        let mut scan = Scan::new(object);
        scan.object(|scan, name| {
            if name.escaped || frame.names.iter().any(|known| known == name.inner) {
                return Err(Broken);
            }
            frame.names.push(name.inner.to_owned());
            frame.gaps.push(object.as_bytes().get(from..scan.place()).ok_or(Broken)?.into());
            scan.value()?;
            from = scan.place();
            Ok(())
        })?;
        frame.end = object.as_bytes().get(from..).ok_or(Broken)?.into();
        Ok(frame)
    }

    #[inline]
    fn pass<'a>(&self, scan: &mut Scan<'a>, tape: &mut Vec<&'a str>) -> Result<(), Broken> {
        for gap in &self.gaps {
            scan.expect(gap)?;
            tape.push(scan.value()?);
        }
        scan.expect(&self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"before":null,"after":{"id":7,"name":"a"},"source":{"lsn":5,"db":"x"},"op":"c"}"#;

    /// What the layout of `EVENT` makes of another record: both images and the op.
    fn read(text: &str) -> Option<String> {
        let mut layouts = Layouts::default();
        layouts.learn(EVENT);
        let event = layouts.event(text, None)?;
        let image = |image: &Option<Image<'_>>| match image.as_ref().and_then(|i| i.members) {
            Some(Members::Laid(_, values)) => values.join(","),
            _ => "none".to_owned(),
        };
        Some(format!("{} {}>{}", event.op, image(&event.before), image(&event.after)))
    }

    #[test]
    fn records_of_the_same_layout_are_taken_apart() {
        assert_eq!(read(EVENT).as_deref(), Some("c none>7,\"a\""));
        let update = r#"{"before":{"id":-1,"name":null},"after":{"id":8,"name":"\u00e4"},"source":{"lsn":6,"db":null},"op":"u"}"#;
        assert_eq!(read(update).as_deref(), Some("u -1,null>8,\"\\u00e4\""));
        let delete =
            r#"{"before":{"id":[1],"name":{"a":{}}},"after":null,"source":{"lsn":6,"db":"y"},"op":"d"} "#;
        assert_eq!(read(delete).as_deref(), Some("d [1],{\"a\":{}}>none"));
    }

    #[test]
    fn others_are_not() {
        for other in [
            r#"{"after":{"id":7,"name":"a"},"before":null,"source":{"lsn":5,"db":"x"},"op":"c"}"#,
            r#"{"before":null,"after":{"id":7},"source":{"lsn":5,"db":"x"},"op":"c"}"#,
            r#"{"before":null,"after":{"id":7,"name":"a","more":1},"source":{"lsn":5,"db":"x"},"op":"c"}"#,
            r#"{"before":null,"after":{"id":7,"name":"a"},"source":null,"op":"c"}"#,
            r#"{"before":nul,"after":{"id":7,"name":"a"},"source":{"lsn":5,"db":"x"},"op":"c"}"#,
            r#"{"before":null,"after":{"id":07,"name":"a"},"source":{"lsn":5,"db":"x"},"op":"c"}"#,
            r#"{"before":null,"after":{"id":7,"name":"a"},"source":{"lsn":5,"db":"x"},"op":"c"}}"#,
            r#"{"before":null,"after":{"id":7,"name":"a"},"source":{"lsn":5,"db":"x"},"op":"c""#,
            r#"{"before":null,"after":{"id":7,"name":"a"},"source":{"lsn":5,"db":"x"},"op":null}"#,
            "",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn wrapped_records_and_doubtful_ones_have_no_layout() {
        for text in [
            r#"{"schema":null,"payload":{"before":null,"after":{"id":7},"source":{},"op":"c"}}"#,
            r#"{"before":null,"after":{"id":7},"source":{"lsn":1,"lsn":2},"op":"c"}"#,
            r#"{"before":null,"after":{"id":7,"i\u0064":8},"source":{"lsn":1},"op":"c"}"#,
            r#"{"before":null,"after":{"id":7},"source":{"lsn":1},"op":"c","op":"d"}"#,
            r#"{"before":null,"after":null,"source":{"lsn":1},"op":"t"}"#,
            r#"{"before":null,"after":[7],"source":{"lsn":1},"op":"c"}"#,
        ] {
            let mut layouts = Layouts::default();
            layouts.learn(text);
            assert!(layouts.known.is_empty(), "{text}");
        }
    }
}
