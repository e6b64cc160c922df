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
//! Much of a record stands in an object before it too: an update changes few cells of its row, and
//! few members of `source` change from record to record. As far as two objects of one frame have the
//! same bytes, the values of the later one end where those of the earlier one do, and are
//! not scanned again.
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
    tape: Tape<'a>,
    source: Source<'a>,
    /// The block that the source was taken from.
    block: Block<'a>,
    op: Option<&'a str>,
    transaction: Option<&'a str>,
    images: [Found<'a>; 2],
}

/// The values of images, one after the other.
#[derive(Debug, Default)]
struct Tape<'a> {
    values: Vec<&'a str>,
    /// Where each begins and ends in its object.
    places: Vec<[u32; 2]>,
    /// Whether it is another than the value of that name in the image before.
    fresh: Vec<bool>,
}

/// A source block as it was taken apart.
#[derive(Debug, Default)]
struct Block<'a> {
    /// The number of its layout.
    layout: Option<usize>,
    text: &'a str,
    places: Vec<[u32; 2]>,
}

/// An earlier object of the same frame beside the one that is taken apart.
struct Echo<'a> {
    text: &'a str,
    /// What a place of the earlier object is in this text, less its number there. Wraps.
    shift: usize,
    /// Up to here both are the same from the last value on that differed.
    same: usize,
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
    /// Whether both are framed alike.
    alike: bool,
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
        let (number, layout) = fitting.find(|(number, layout)| layout.pass(*number, text, parts).is_ok())?;
        self.last = number;
        let parts = &self.parts;
        let image = |side: usize| {
            let found = &parts.images[side];
            let values = parts.tape.values.get(found.values.clone())?;
            let fresh = parts.tape.fresh.get(found.values.clone())?;
            let members = Some(Members::Laid(&layout.images[side], values, fresh));
            Some(Image { text: found.text?, members })
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
        let alike = images[0].is_like(&images[1]);
        Ok(Some(Self { members, images, alike, source, fields, end }))
    }

    /// Takes a record apart that is laid out like this, the layout of that number.
    fn pass<'a>(&self, number: usize, text: &'a str, parts: &mut Parts<'a>) -> Result<(), Broken> {
        let mut scan = Scan::new(text);
        parts.tape.clear();
        (parts.op, parts.transaction) = (None, None);
        parts.images = Default::default();
        for (gap, what) in &self.members {
            scan.expect(gap)?;
            match what {
                What::Image(side) if scan.peek() == Some(b'{') => {
                    let (place, start) = (scan.place(), parts.tape.values.len());
                    let like = parts.images[0].text.filter(|_| *side == 1 && self.alike);
                    let like = like.map(|text| (text, parts.images[0].values.start));
                    self.images[*side].pass(&mut scan, &mut parts.tape, like)?;
                    let text = Some(scan.since(place)?);
                    parts.images[*side] = Found { text, values: start..parts.tape.values.len() };
                }
                What::Image(_) => scan.expect(b"null")?,
                What::Source => self.pass_source(number, &mut scan, parts)?,
                What::Op => parts.op = Some(scan.value()?),
                What::Transaction => parts.transaction = Some(scan.value()?),
                What::Other => scan.value().map(|_| ())?,
            }
        }
        scan.expect(&self.end)?;
        scan.end()
    }

    /// Takes in the members of a block; those that are as in the block before are there already.
    fn pass_source<'a>(
        &self,
        number: usize,
        scan: &mut Scan<'a>,
        parts: &mut Parts<'a>,
    ) -> Result<(), Broken> {
        // A block that breaks off leaves nothing to be compared with.
        let mut block = std::mem::take(&mut parts.block);
        if block.layout != Some(number) {
            parts.source = Source::default();
            block.text = "";
            block.places.clear();
            block.places.resize(self.fields.len(), [0; 2]);
        }
        let begin = scan.place();
        let mut echo = Echo::begin(block.text, scan);
        let members = self.source.gaps.iter().zip(&self.fields).zip(&mut block.places);
        for ((gap, field), place) in members {
            match echo.value(*place) {
                Some((start, end)) => {
                    scan.skip(start, end)?;
                    *place = [(start - begin) as u32, (end - begin) as u32];
                }
                None => {
                    scan.expect(gap)?;
                    let start = scan.place();
                    let raw = scan.value()?;
                    echo.go_on(*place, scan);
                    *place = [(start - begin) as u32, (scan.place() - begin) as u32];
                    if let Some(field) = field {
                        parts.source.put(*field, raw);
                    }
                }
            }
        }
        scan.expect(&self.source.end)?;
        block.text = scan.since(begin)?;
        block.layout = Some(number);
        parts.block = block;
        Ok(())
    }
}

impl<'a> Echo<'a> {
    /// Both objects begin; an earlier one without text is none.
    fn begin(text: &'a str, scan: &Scan<'_>) -> Self {
        Self { text, shift: scan.place(), same: scan.place() + scan.shared(text) }
    }

    /// Where the value is that had this place in the earlier object, if both are the same up to what follows it:
    /// then it ends here as it did there.
    #[inline]
    fn value(&self, place: [u32; 2]) -> Option<(usize, usize)> {
        let [start, end] = place.map(|p| self.shift.wrapping_add(p as usize));
        (end < self.same && !self.text.is_empty()).then_some((start, end))
    }

    /// A value that had this place in the earlier object has been passed.
    #[inline]
    fn go_on(&mut self, place: [u32; 2], scan: &Scan<'_>) {
        let end = place[1] as usize;
        self.shift = scan.place().wrapping_sub(end);
        self.same = scan.place() + self.text.get(end..).map_or(0, |rest| scan.shared(rest));
    }
}

impl Tape<'_> {
    fn clear(&mut self) {
        self.values.clear();
        self.places.clear();
        self.fresh.clear();
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

    /// Whether objects of both have the same bytes between their values.
    fn is_like(&self, other: &Self) -> bool {
        (&self.names, &self.gaps, &self.end) == (&other.names, &other.gaps, &other.end)
    }

    /// Passes an object; `like`: an earlier one of a frame like this, and where on the tape its values begin.
    fn pass<'a>(
        &self,
        scan: &mut Scan<'a>,
        tape: &mut Tape<'a>,
        like: Option<(&'a str, usize)>,
    ) -> Result<(), Broken> {
        let begin = scan.place();
        let mut echo = like.map(|(text, first)| (Echo::begin(text, scan), first));
        for (number, gap) in self.gaps.iter().enumerate() {
            let earlier = echo.as_ref().and_then(|(_, first)| tape.places.get(first + number).copied());
            let same = echo.as_ref().zip(earlier).and_then(|((echo, _), place)| echo.value(place));
            let (start, value) = match same {
                Some((start, end)) => (start, scan.skip(start, end)?),
                None => {
                    scan.expect(gap)?;
                    let (start, value) = (scan.place(), scan.value()?);
                    if let (Some((echo, _)), Some(place)) = (&mut echo, earlier) {
                        echo.go_on(place, scan);
                    }
                    (start, value)
                }
            };
            tape.values.push(value);
            tape.places.push([(start - begin) as u32, (scan.place() - begin) as u32]);
            tape.fresh.push(same.is_none());
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
            Some(Members::Laid(_, values, _)) => values.join(","),
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

    /// What a record is read as: its images, and its position and transaction.
    fn all<'a>(layouts: &mut Layouts<'a>, text: &'a str) -> Option<String> {
        let event = layouts.event(text, None)?;
        let image = |image: &Option<Image<'_>>| match image.as_ref().and_then(|i| i.members) {
            Some(Members::Laid(_, values, _)) => values.join(" "),
            _ => "none".to_owned(),
        };
        Some(format!("{}>{} {:?}", image(&event.before), image(&event.after), event.source))
    }

    #[test]
    fn what_an_earlier_object_shows_of_a_later_one_is_true() {
        let mut random = crate::testing::Prng::new(11);
        let cells = [
            "1",
            "12",
            "123",
            "-1",
            "1.5",
            "1.50",
            "1e5",
            "null",
            "nul",
            "true",
            "tru",
            "\"\"",
            "\"a\"",
            "\"ab\"",
            "\"a\\\"\"",
            "\"a\"b\"",
            "[1]",
            "[1,2]",
            "{\"a\":1}",
            "{}",
            "01",
            "",
            "1 ",
            " 1",
            "ä",
            "\"ä\"",
            "\"ö\"",
        ];
        let mut texts = vec![EVENT.replace("name", "n").replace("db", "d")];
        for _ in 0..4_000 {
            let mut cell = |before: &str| {
                if random.below(2) == 0 {
                    before.to_owned()
                } else {
                    cells[random.index(cells.len())].to_owned()
                }
            };
            let (id, name, lsn) = (cell("7"), cell("\"a\""), cell("5"));
            let (id2, name2, db) = (cell(&id), cell(&name), cell("\"x\""));
            texts.push(format!(
                r#"{{"before":{{"id":{id},"n":{name}}},"after":{{"id":{id2},"n":{name2}}},"source":{{"lsn":{lsn},"d":{db}}},"op":"u"}}"#
            ));
        }
        let mut layouts = Layouts::default();
        layouts.learn(&texts[0]);
        let mut found = 0;
        for text in &texts {
            // Alone, a record has no earlier block; its images have each other, so strict parsing is the judge of them.
            let mut alone = Layouts::default();
            alone.learn(&texts[0]);
            let expected = all(&mut alone, text);
            assert_eq!(all(&mut layouts, text), expected, "{text}");
            let is_json = serde_json::from_str::<Box<serde_json::value::RawValue>>(text).is_ok();
            assert!(is_json || expected.is_none(), "{text}");
            if expected.is_some() {
                found += 1;
                let value: serde_json::Value = serde_json::from_str(text).unwrap();
                let event = alone.event(text, None).unwrap();
                for (image, side) in [(&event.before, "before"), (&event.after, "after")] {
                    let Some(Members::Laid(_, values, _)) = image.as_ref().and_then(|i| i.members) else {
                        continue;
                    };
                    for (raw, name) in values.iter().zip(["id", "n"]) {
                        let raw: serde_json::Value = serde_json::from_str(raw).unwrap();
                        assert_eq!(raw, value[side][name], "{text}");
                    }
                }
            }
        }
        assert!(found > 500, "{found}");
    }
}
