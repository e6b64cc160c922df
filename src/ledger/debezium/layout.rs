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

use super::envelope::{Envelope, Event, Image, Members, Sighted};
use super::fits::{Checks, Sight};
use super::source::Source;
use crate::ledger::image::LaidValues;
use crate::ledger::json::raw_text;
use crate::read::json_bytes::{Gap, blanks_end, shared, value_end};
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
    source: Source<'a>,
    /// The block that the source was taken from.
    block: Block<'a>,
    op: Option<&'a str>,
    transaction: Option<&'a str>,
    images: [Found; 2],
    sight: Sight,
}

/// Where a value begins and ends in its object.
type Place = [u32; 2];

/// An image as found.
#[derive(Debug, Default)]
struct Found {
    /// Where it is in the record; null is nowhere.
    at: Option<Range<usize>>,
    /// Where its values are in it.
    places: Vec<Place>,
    /// Of each, whether it is another than the value of that name in the image before.
    fresh: Vec<bool>,
}

/// A source block as it was taken apart.
#[derive(Debug, Default)]
struct Block<'a> {
    /// The number of its layout.
    layout: Option<usize>,
    text: &'a str,
    places: Vec<Place>,
}

/// What stands around the values of a record.
#[derive(Debug)]
struct Layout {
    members: Vec<(Gap, What)>,
    images: [Frame; 2],
    /// Whether both are framed alike.
    alike: bool,
    /// What is looked at in the values of images on the way.
    checks: Option<Checks>,
    source: Frame,
    /// Per member of the source block, which one it is of those that matter.
    fields: Vec<Option<usize>>,
    end: Gap,
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
    gaps: Vec<Gap>,
    end: Gap,
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
        let (number, layout) =
            fitting.find(|(number, layout)| layout.pass(*number, text, parts).is_some())?;
        self.last = number;
        let parts = &self.parts;
        let image = |side: usize| {
            let found = &parts.images[side];
            let text = text.get(found.at.clone()?)?;
            let values = LaidValues { text, places: &found.places, fresh: &found.fresh };
            Some(Image { text, members: Some(Members::Laid(&layout.images[side], values)) })
        };
        let sight = &parts.sight;
        let sighted =
            |checks: &Checks| Sighted { target: checks.target, is_plain: sight.plain, nulls: &sight.nulls };
        Some(Event {
            op: crate::ledger::json::text(parts.op?)?,
            before: image(0),
            after: image(1),
            source: &parts.source,
            topic: None,
            key,
            schema: None,
            transaction: raw_text(parts.transaction),
            sighted: layout.checks.as_ref().map(sighted),
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

    /// Lets the values of later records that are laid out as the last one be looked at on the way; `checks` says what
    /// they have to be, by the numbers and names of both images.
    pub(super) fn check(&mut self, checks: impl FnOnce([(usize, &[String]); 2]) -> Option<Checks>) {
        if let Some(layout) = self.known.get_mut(self.last).filter(|layout| layout.checks.is_none()) {
            layout.checks = checks(layout.images.each_ref().map(|f| (f.number, f.names.as_slice())));
        }
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
            members.push((Gap::new(gap), what));
            from = scan.place();
            Ok(())
        })?;
        scan.end()?;
        let end = Gap::new(text.as_bytes().get(from..).ok_or(Broken)?);
        let has = |what: What| members.iter().any(|(_, w)| *w == what);
        let [before, after] = images;
        let (Some(source), Some(images)) = (source, both(before, after)) else { return Ok(None) };
        if !bare || !has(What::Op) {
            return Ok(None);
        }
        let fields = source.names.iter().map(|name| Source::number(name)).collect();
        let alike = images[0].is_like(&images[1]);
        Ok(Some(Self { members, images, alike, checks: None, source, fields, end }))
    }

    /// Takes a record apart that is laid out like this, the layout of that number; `None` if it is not.
    fn pass<'a>(&self, number: usize, record: &'a str, parts: &mut Parts<'a>) -> Option<()> {
        let text = record.as_bytes();
        (parts.op, parts.transaction) = (None, None);
        parts.images.iter_mut().for_each(|image| image.at = None);
        parts.sight.plain = true;
        parts.sight.nulls.clear();
        let mut at = blanks_end(text, 0);
        for (gap, what) in &self.members {
            let start = gap.end(text, at)?;
            at = match what {
                What::Image(side) if text.get(start) == Some(&b'{') => {
                    self.pass_image(*side, text, start, parts)?
                }
                What::Image(_) => text.get(start..)?.starts_with(b"null").then_some(start + 4)?,
                What::Source => self.pass_source(number, record, start, parts)?,
                What::Op | What::Transaction | What::Other => value_end(text, start)?,
            };
            match what {
                What::Op => parts.op = record.get(start..at),
                What::Transaction => parts.transaction = record.get(start..at),
                _ => {}
            }
        }
        at = blanks_end(text, self.end.end(text, at)?);
        (at == text.len()).then_some(())
    }

    /// Passes an image; one of an update's is mostly the other one but for a few cells.
    fn pass_image(&self, side: usize, text: &[u8], begin: usize, parts: &mut Parts<'_>) -> Option<usize> {
        let (frame, sight) = (&self.images[side], &mut parts.sight);
        let [before, after] = &mut parts.images;
        let (found, like) =
            if side == 0 { (before, None) } else { (after, before.at.clone().map(|at| (at, before))) };
        let mut value = |number: usize, at: usize| match &self.checks {
            Some(checks) => checks.value((side, number), text, at, sight),
            None => value_end(text, at),
        };
        let end = match like.filter(|_| self.alike) {
            None => {
                found.fresh.clear();
                found.fresh.resize(frame.gaps.len(), true);
                found.places.resize(frame.gaps.len(), [0; 2]);
                frame.pass(text, begin, &mut found.places, value)?
            }
            Some((earlier, like)) => {
                let Found { places, fresh, .. } = found;
                fresh.clear();
                fresh.resize(frame.gaps.len(), false);
                places.clone_from(&like.places);
                frame.pass_beside(text, begin, (text.get(earlier)?, places), |number, at| {
                    fresh[number] = true;
                    value(number, at)
                })?
            }
        };
        found.at = Some(begin..end);
        Some(end)
    }

    /// Takes in the members of a block; those that are as in the block before are there already.
    fn pass_source<'a>(
        &self,
        number: usize,
        record: &'a str,
        begin: usize,
        parts: &mut Parts<'a>,
    ) -> Option<usize> {
        // A block that breaks off leaves nothing to be compared with.
        let mut block = std::mem::take(&mut parts.block);
        let text = record.as_bytes();
        let goes_on = block.layout == Some(number);
        if !goes_on {
            parts.source = Source::default();
            block.places.resize(self.fields.len(), [0; 2]);
        }
        let source = &mut parts.source;
        let value = |number: usize, at: usize| {
            let end = value_end(text, at)?;
            if let Some(field) = self.fields[number] {
                source.put(field, record.get(at..end)?);
            }
            Some(end)
        };
        let end = if goes_on {
            let earlier = (block.text.as_bytes(), block.places.as_mut_slice());
            self.source.pass_beside(text, begin, earlier, value)?
        } else {
            self.source.pass(text, begin, &mut block.places, value)?
        };
        block.text = record.get(begin..end)?;
        block.layout = Some(number);
        parts.block = block;
        Some(end)
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
            frame.gaps.push(Gap::new(object.as_bytes().get(from..scan.place()).ok_or(Broken)?));
            scan.value()?;
            from = scan.place();
            Ok(())
        })?;
        frame.end = Gap::new(object.as_bytes().get(from..).ok_or(Broken)?);
        Ok(frame)
    }

    /// Whether objects of both have the same bytes between their values.
    fn is_like(&self, other: &Self) -> bool {
        (&self.names, &self.gaps, &self.end) == (&other.names, &other.gaps, &other.end)
    }

    /// Passes an object, and notes where its values are; `value` passes the one of that number.
    #[inline]
    fn pass(
        &self,
        text: &[u8],
        begin: usize,
        places: &mut [Place],
        mut value: impl FnMut(usize, usize) -> Option<usize>,
    ) -> Option<usize> {
        let mut at = begin;
        for (number, (gap, place)) in self.gaps.iter().zip(places).enumerate() {
            let start = gap.end(text, at)?;
            at = value(number, start)?;
            *place = [(start - begin) as u32, (at - begin) as u32];
        }
        self.end.end(text, at)
    }

    /// The same beside an earlier object of a frame like this, whose values had these `places`. As far as both have
    /// the same bytes, the values of the later one end where those of the earlier one do; `value` passes the others.
    #[inline]
    fn pass_beside(
        &self,
        text: &[u8],
        begin: usize,
        (earlier, places): (&[u8], &mut [Place]),
        mut value: impl FnMut(usize, usize) -> Option<usize>,
    ) -> Option<usize> {
        // Where both are compared from, in the earlier object, and how much farther the later one has come. Wraps.
        let (mut from, mut shift, mut number) = (0_usize, 0_usize, 0);
        loop {
            let rest = text.get(begin + from.wrapping_add(shift)..)?;
            let upto = from + shared(earlier.get(from..)?, rest);
            while let Some(place) = places.get_mut(number)
                && (place[1] as usize) < upto
            {
                *place = place.map(|end| (end as usize).wrapping_add(shift) as u32);
                number += 1;
            }
            let Some(place) = places.get_mut(number) else { break };
            let [start, end] = place.map(|end| end as usize);
            if upto < start {
                return None;
            }
            let start = start.wrapping_add(shift);
            let at = value(number, begin + start)? - begin;
            *place = [start as u32, at as u32];
            (from, shift) = (end, at.wrapping_sub(end));
            number += 1;
        }
        let at = places.last().map_or(0, |place| place[1] as usize);
        self.end.end(text, begin + at)
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
            Some(Members::Laid(_, values)) => values.iter().collect::<Vec<_>>().join(","),
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
            Some(Members::Laid(_, values)) => values.iter().collect::<Vec<_>>().join(" "),
            _ => "none".to_owned(),
        };
        Some(format!("{}>{} {:?}", image(&event.before), image(&event.after), event.source))
    }

    /// Cells of all kinds; what is broken stands behind the first twelve.
    const CELLS: [&str; 27] = [
        "1",
        "12",
        "123",
        "-1",
        "1.5",
        "1e5",
        "null",
        "true",
        "\"\"",
        "\"a\"",
        "\"ab\"",
        "\"ä\"",
        "1.50",
        "nul",
        "tru",
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
        "\"ö\"",
    ];

    const NAMES: [&str; 5] = ["id", "n", "third", "fourth", "the fifth has a long name"];

    /// Records laid out alike, and whether each is sound.
    fn alike() -> Vec<(String, bool)> {
        let mut random = crate::testing::Prng::new(11);
        let of_source = ["lsn", "db", "txId", "ts_us", "pos"];
        let object = |(names, cells): ([&str; 5], &[&str; 5])| {
            let members: Vec<String> = names.iter().zip(cells).map(|(n, c)| format!("\"{n}\":{c}")).collect();
            format!("{{{}}}", members.join(","))
        };
        let mut last = [["7", "\"a\"", "null", "1", "\"ab\""]; 3];
        let mut texts = Vec::new();
        for round in 0..8_000 {
            let mut cells = last;
            for cell in cells.iter_mut().flatten().filter(|_| round > 0) {
                // Some broken ones, but not in most records.
                let kinds = if random.below(30) == 0 { CELLS.len() } else { 12 };
                if random.below(4) == 0 {
                    *cell = CELLS[random.index(kinds)];
                }
            }
            if random.below(2) == 0 {
                cells[1] = cells[0];
                cells[1][random.index(5)] = CELLS[random.index(12)];
            }
            let [before, after, source] =
                [(NAMES, &cells[0]), (NAMES, &cells[1]), (of_source, &cells[2])].map(object);
            let is_json = |cell: &&str| {
                serde_json::from_str::<&serde_json::value::RawValue>(cell).is_ok_and(|raw| raw.get() == *cell)
            };
            let sound = cells.iter().flatten().all(is_json);
            let text = format!(r#"{{"before":{before},"after":{after},"source":{source},"op":"u"}}"#);
            texts.push((text, sound));
            if sound {
                last = cells;
            }
        }
        texts
    }

    #[test]
    fn what_an_earlier_object_shows_of_a_later_one_is_true() {
        let texts = alike();
        let mut layouts = Layouts::default();
        layouts.learn(&texts[0].0);
        let mut found = 0;
        for (text, sound) in &texts {
            // Alone, a record has no earlier block; its images have each other, so strict parsing is the judge of them.
            let mut alone = Layouts::default();
            alone.learn(&texts[0].0);
            let expected = all(&mut alone, text);
            assert_eq!(all(&mut layouts, text), expected, "{text}");
            assert_eq!(expected.is_some(), *sound, "{text}");
            if *sound {
                found += 1;
                let value: serde_json::Value = serde_json::from_str(text).unwrap();
                let event = layouts.event(text, None).unwrap();
                let lsn = event.source.lsn.map(|raw| serde_json::from_str(raw).unwrap());
                assert_eq!(lsn.unwrap_or(serde_json::Value::Null), value["source"]["lsn"], "{text}");
                for (image, side) in [(&event.before, "before"), (&event.after, "after")] {
                    let Some(Members::Laid(_, values)) = image.as_ref().and_then(|i| i.members) else {
                        continue;
                    };
                    for (raw, name) in values.iter().zip(NAMES) {
                        let raw: serde_json::Value = serde_json::from_str(raw).unwrap();
                        assert_eq!(raw, value[side][name], "{text}");
                    }
                }
            }
        }
        assert!((3_000..7_800).contains(&found), "{found}");
    }
}
