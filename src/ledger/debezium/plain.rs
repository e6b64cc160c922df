//! Changes that are plain at sight: most records of most ledgers.
//!
//! Every column of the table is stated by an object laid out as an earlier one, and every cell is
//! null or surely goes into its column. Such a change says nothing about encodings, placeholders or cells
//! that it did not touch, so nothing has to be staged: its cells are written, or its key alone where the
//! rest is left in the text. Cells that equal those of the image before are not looked at twice.
//!
//! Limits: of any other record nothing is done here; it takes the long way.

use super::super::image::{LaidImage, Meta};
use super::envelope::{Event, Image, Members};
use super::fits::{Check, Checks, Plain};
use super::source::Connector;
use super::values::Values;
use super::{Decoder, note_shapes};
use crate::ledger::image::Writer as _;
use crate::model::Op;

impl Decoder<'_> {
    /// Adds a change that is plain at sight; `false`: it is none, and nothing was done.
    pub(super) fn push_at_sight(
        &mut self,
        target: usize,
        event: &Event<'_>,
        meta: &Meta<'_>,
        connector: Connector,
    ) -> bool {
        let sides = match meta.op {
            Some(Op::Insert | Op::Read) => [None, event.after],
            Some(Op::Update) => [event.before, event.after],
            Some(Op::Delete) => [event.before, None],
            _ => return false,
        };
        let count = if meta.op == Some(Op::Update) { 2 } else { 1 };
        if event.schema.is_some() || event.key.is_some() {
            return false;
        }
        // What a delete shows of a table's before images is in its cells.
        let shows = meta.weak && meta.op == Some(Op::Delete);
        if shows && self.rows[target].facts.whole_images().is_none() {
            return false;
        }
        let images = sides.map(|side| side.and_then(|image| self.laid(target, image)));
        if images.iter().flatten().count() != count {
            return false;
        }
        let stated = [event.before.is_some(), event.after.is_some()];
        let sighted = event
            .sighted
            .filter(|sighted| sighted.target == target && stated == sides.map(|side| side.is_some()));
        let is_plain = sighted.map(|sighted| sighted.is_plain);
        if !is_plain.unwrap_or_else(|| self.are_plain(target, &images)) {
            return false;
        }
        for (side, image) in images.iter().enumerate() {
            if let Some(image) = image {
                self.fields[side] = self.rows[target].carried(image);
            }
        }
        if meta.op == Some(Op::Update) && (meta.weak || connector == Connector::Postgres) {
            self.rows[target].facts.whole_update = true;
        }
        note_shapes(&mut self.rows[target], event, (meta.op, self.fields), None);
        let mut values = Values {
            assuming: false,
            encodings: &self.tables[target].encodings,
            decimals: None,
            binary: None,
            variable: &mut [],
            assumed: &mut [],
        };
        let (rows, notes) = (&mut self.rows[target], &mut self.notes);
        if rows.left.is_none() {
            rows.push_plain(meta, &images, &mut values, notes);
            return true;
        }
        let record = &self.chunk.records[self.index];
        let place = [record.start as u32, record.end as u32];
        let nulls = sighted.map_or(self.nulls.as_slice(), |sighted| sighted.nulls);
        rows.push_left(meta, (&images, nulls), place, &mut values, notes);
        true
    }

    /// An image that states every column, by the values of a layout.
    fn laid<'e>(&mut self, target: usize, image: Image<'e>) -> Option<LaidImage<'e>> {
        match image.members {
            Some(Members::Laid(frame, values)) => {
                self.rows[target].laid_whole((frame.number, &frame.names), values)
            }
            _ => None,
        }
    }

    /// Whether every cell of both images is null or surely goes into its column, the key's cells not null.
    fn are_plain(&mut self, target: usize, images: &[Option<LaidImage<'_>>; 2]) -> bool {
        self.nulls.clear();
        let both = images.iter().all(Option::is_some);
        let mut numbered = images.iter().flatten().enumerate();
        let plain = numbered.all(|(number, image)| self.is_plain(target, image, both && number == 1));
        self.unchecked = plain.then_some(target);
        plain
    }

    /// What the values of images with these names have to be; `None` if these are not every column once.
    pub(super) fn checks(&mut self, target: usize, images: [(usize, &[String]); 2]) -> Option<Checks> {
        let (rows, state) = (&mut self.rows[target], &self.tables[target]);
        let schema = &rows.target.schema;
        debug_assert_eq!(state.encodings.len(), schema.len(), "one encoding per column");
        let check = |column: &Option<usize>| Check {
            column: *column,
            is_key: column.is_some_and(|column| schema.is_key(column)),
            plain: column.map_or(Plain::Unknown, |column| {
                Plain::of(state.encodings[column], schema.data_type(column))
            }),
        };
        let mut members = [Vec::new(), Vec::new()];
        for (checks, (number, names)) in members.iter_mut().zip(images) {
            *checks = rows.columns_of_names(number, names)?.iter().map(check).collect();
        }
        Some(Checks::new(target, members, self.placeholder.strings()))
    }

    /// Whether every cell of an image is null or surely goes into its column, the key's cells
    /// not null; `twin`: cells that equal those of the image before are known to be.
    fn is_plain(&mut self, target: usize, image: &LaidImage<'_>, twin: bool) -> bool {
        let values = Values {
            assuming: false,
            encodings: &self.tables[target].encodings,
            decimals: None,
            binary: None,
            variable: &mut [],
            assumed: &mut [],
        };
        let (rows, nulls) = (&self.rows[target], &mut self.nulls);
        for ((raw, fresh), column) in image.values.iter().zip(image.values.fresh).zip(rows.columns_of(image))
        {
            let Some(column) = column.filter(|_| *fresh || !twin) else { continue };
            if raw == "null" {
                if rows.target.schema.is_key(column) {
                    return false;
                }
                nulls.push(column);
                continue;
            }
            let data_type = rows.target.schema.data_type(column);
            if !values.fits(column, data_type, raw) || raw.starts_with('"') && self.placeholder.is(raw) {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::super::layout::Layouts;
    use super::*;
    use crate::ledger::DecodeOptions;
    use crate::ledger::testing::{chunk, target};
    use crate::testing::Prng;

    /// Values that a column of the same place may hold, and some that it does not.
    const CELLS: [&[&str]; 6] = [
        &["1", "-7", "0", "-0", "123456789012345678", "1234567890123456789", "1.0", "1e3", "\"7\"", "null"],
        &[
            "\"a\"",
            "\"\"",
            "\"größer als 16 Bytes\"",
            "\"a\\nb\"",
            "\"none\"",
            "\"bm9uZQ==\"",
            "7",
            "null",
            "{}",
        ],
        &["1.25", "0.5", "-99.99", "100", "1000", "1.255", "1.2e1", "\"1.25\"", "null", "[1]"],
        &["true", "false", "null", "0", "\"true\""],
        &["\"2024-02-28\"", "\"2024-02-30\"", "\"0000-01-01\"", "19000", "\"none\"", "null"],
        &["9999", "-12", "10000", "12345", "null", "true"],
    ];

    fn row(random: &mut Prng, like: Option<&[String]>) -> Vec<String> {
        let cell = |(column, cells): (usize, &&[&str])| match like.filter(|_| random.below(4) > 0) {
            Some(like) => like[column].clone(),
            // Mostly what fits, or hardly any row would.
            None if random.below(8) > 0 => cells[random.index(2)].to_owned(),
            None => cells[random.index(cells.len())].to_owned(),
        };
        CELLS.iter().enumerate().map(cell).collect()
    }

    fn image(cells: &[String]) -> String {
        let members: Vec<String> = ["id", "name", "price", "flag", "since", "rank"]
            .iter()
            .zip(cells)
            .map(|(n, c)| format!("\"{n}\":{c}"))
            .collect();
        format!("{{{},\"more\":[0]}}", members.join(","))
    }

    fn record(n: u64, random: &mut Prng) -> String {
        let before = row(random, None);
        let after = row(random, Some(&before));
        let [before, after] = [image(&before), image(&after)];
        let (op, before, after) = match random.below(4) {
            0 => ("c", "null", after.as_str()),
            1 => ("d", before.as_str(), "null"),
            _ => ("u", before.as_str(), after.as_str()),
        };
        format!(
            r#"{{"before":{before},"after":{after},"source":{{"connector":"mysql","ts_ms":{n}000,"table":"item","pos":{n}}},"op":"{op}"}}"#
        )
    }

    #[test]
    fn what_is_seen_on_the_way_is_what_looking_for_it_finds() {
        let columns = [
            ("id!", DataType::Int64),
            ("name", DataType::Utf8),
            ("price", DataType::Decimal128(4, 2)),
            ("flag", DataType::Boolean),
            ("since", DataType::Date32),
            ("rank", DataType::Int16),
        ];
        let targets = [target("item", &columns)];
        let options = DecodeOptions { placeholder: "none".to_owned(), ..DecodeOptions::default() };
        let mut random = Prng::new(7);
        let plain = CELLS.map(|cells| cells[0].to_owned());
        let first = format!(
            r#"{{"before":{0},"after":{0},"source":{{"connector":"mysql","ts_ms":1,"table":"item","pos":1}},"op":"u"}}"#,
            image(&plain)
        );
        let records: Vec<String> = (2..8_000).map(|n| record(n, &mut random)).collect();
        let empty = chunk("");
        let mut decoder = Decoder::new(&empty, &targets, &options);
        let mut layouts = Layouts::default();
        layouts.learn(&first);
        let mut seen = [0; 2];
        for (number, text) in records.iter().enumerate() {
            let event = layouts.event(text, None).unwrap();
            let images = [event.before, event.after].map(|side| side.and_then(|i| decoder.laid(0, i)));
            assert!(images.iter().flatten().count() > 0, "{text}");
            let plain = decoder.are_plain(0, &images);
            let nulls = |nulls: &[usize]| {
                let mut nulls = nulls.to_vec();
                nulls.sort_unstable();
                nulls
            };
            if number > 0 {
                let sighted = event.sighted.unwrap();
                assert_eq!(sighted.is_plain, plain, "{text}");
                assert!(!plain || nulls(sighted.nulls) == nulls(&decoder.nulls), "{text}");
                seen[usize::from(plain)] += 1;
            }
            layouts.check(|images| decoder.checks(0, images));
        }
        assert!(seen.iter().all(|&count| count > 1_500), "{seen:?}");
    }
}
