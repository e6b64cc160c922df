//! [`Unread`]: changes whose images stay in the text of the ledger until they are asked for.
//!
//! A rebuild without verification looks at the keys of all images and at the cells
//! of few. So where the text can be read again (a plain file), and a first reading
//! finds that every cell of a chunk goes into its column without doubt, that
//! chunk's keys alone are kept, with the places of its records. The cells of
//! those that are chosen are decoded from the text, by the same decoder.
//!
//! ```text
//!  file   [record][record][record][record]…
//!  spool  op, order, key, place ──────┘ read again: the whole image
//! ```

use std::sync::Arc;

use super::decode::{Depth, TableTarget};
use super::spooled::Shelf;
use super::want::{Columns, Want};
use super::{DecodeOptions, Format, decode};
use crate::error::{Error, Result};
use crate::model::ChangeBatch;
use crate::read::{InputFile, JsonChunk, JsonRecord, SpoolWriter, SpooledTable};

/// A text ledger that can be read again.
#[derive(Debug)]
pub struct TextLedger {
    files: Vec<InputFile>,
    format: Format,
    targets: Vec<TableTarget>,
    options: DecodeOptions,
}

impl TextLedger {
    /// The ledger in these files, read with these options.
    pub fn new(
        files: &[InputFile],
        format: Format,
        targets: &[TableTarget],
        options: &DecodeOptions,
    ) -> Self {
        Self { files: files.to_vec(), format, targets: targets.to_vec(), options: options.clone() }
    }
}

/// Where the texts of a batch's changes are.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'a> {
    /// Where the chunk begins in its file.
    pub offset: u64,
    /// Where in the chunk the record of each change begins and ends.
    pub places: &'a [[u32; 2]],
}

/// Two records closer than this are read in one piece.
const GAP: u64 = 16 << 10;

/// Changes of one target, their keys in a spool and their images in the text.
#[derive(Debug)]
pub(super) struct Unread {
    ledger: Arc<TextLedger>,
    target: usize,
    shelf: Shelf,
    table: SpooledTable,
    /// Per batch, its file and where its chunk begins there.
    chunks: Vec<(u32, u64)>,
}

impl Unread {
    /// Parts of a batch, all of its rows or those with the rising numbers `rows`.
    pub(super) fn read(&self, batch: usize, want: Want, rows: Option<&[u32]>) -> Result<ChangeBatch> {
        let whole = want.before == Columns::All || want.after == Columns::All;
        let keys = |columns: Columns| if columns == Columns::All { Columns::Key } else { columns };
        let kept = Want { before: keys(want.before), after: keys(want.after), ..want };
        let columns = self.shelf.columns(kept, whole);
        let record = self.table.read(batch, &columns, rows)?;
        let mut changes = self.shelf.unpack(&record, &columns);
        if !whole {
            return Ok(changes);
        }
        let (file, offset) = self.chunks[batch];
        let file = &self.ledger.files[file as usize];
        let chunk = texts(file, offset, &self.shelf.places(&record, &columns))?;
        let sides = [want.before, want.after].map(|columns| columns == Columns::All);
        let depth = Depth::Again { before: sides[0], after: sides[1] };
        let options = DecodeOptions { depth, ..self.ledger.options.clone() };
        let mut decoded = decode(self.ledger.format, &chunk, &self.ledger.targets, &options);
        let again = std::mem::take(&mut decoded.changes[self.target]);
        if again.ops != changes.ops {
            return Err(Error::InputChanged { path: file.path.clone(), what: "content" });
        }
        if sides[0] {
            changes.before = again.before;
        }
        if sides[1] {
            changes.after = again.after;
        }
        Ok(changes)
    }
}

/// The records at these rising places behind an offset, as a chunk of their own.
fn texts(file: &InputFile, offset: u64, places: &[[u32; 2]]) -> Result<JsonChunk> {
    let handle = file.handle()?;
    let mut chunk = JsonChunk::default();
    let mut from = 0;
    while from < places.len() {
        let near = |pair: &[[u32; 2]]| u64::from(pair[1][0].saturating_sub(pair[0][1])) < GAP;
        let upto = from + 1 + places[from..].windows(2).take_while(|pair| near(pair)).count();
        let (start, end) = (places[from][0], places[upto - 1][1]);
        let at = chunk.text.len();
        chunk.text.resize(at + (end - start) as usize, 0);
        crate::read::read_at(&handle, &mut chunk.text[at..], offset + u64::from(start))
            .map_err(Error::io(&file.path, "read"))?;
        for (number, place) in (from + 1..).zip(&places[from..upto]) {
            let [start, end] = place.map(|p| at + (p - start) as usize);
            chunk.records.push(JsonRecord { start, end, number: number as u64, line: 0, key: None });
        }
        from = upto;
    }
    Ok(chunk)
}

/// Takes changes whose images stay in the text.
#[derive(Debug)]
pub(super) struct UnreadWriter {
    ledger: Arc<TextLedger>,
    target: usize,
    shelf: Shelf,
    writer: SpoolWriter,
    chunks: Vec<(u32, u64)>,
}

impl UnreadWriter {
    pub(super) fn new(ledger: Arc<TextLedger>, target: usize, spool: &crate::read::Spool) -> Result<Self> {
        let shelf = Shelf::keys(&ledger.targets[target].schema);
        let writer = spool.create(Arc::clone(shelf.schema()))?;
        Ok(Self { ledger, target, shelf, writer, chunks: Vec::new() })
    }

    /// Adds a batch without the cells outside the key. Returns its number.
    pub(super) fn push(&mut self, batch: &ChangeBatch, texts: Texts<'_>) -> Result<usize> {
        let record = self.shelf.pack(batch, texts.places);
        self.writer.push(&record.map_err(Error::arrow("spooled ledger".as_ref()))?)?;
        self.chunks.push((batch.file, texts.offset));
        Ok(self.chunks.len() - 1)
    }

    pub(super) fn finish(self) -> Result<Unread> {
        let Self { ledger, target, shelf, writer, chunks } = self;
        Ok(Unread { ledger, target, shelf, table: writer.finish()?, chunks })
    }
}

impl Unread {
    /// How many rows a batch has.
    pub(super) fn rows(&self, batch: usize) -> usize {
        self.table.rows(batch)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use arrow::datatypes::DataType;

    use super::*;
    use crate::ledger::store::{ChangeSpooler, ChangeStore};
    use crate::ledger::testing::{show, target};
    use crate::read::{JsonChunks, Spool};

    fn items() -> TableTarget {
        let columns =
            [("name", DataType::Utf8), ("id!", DataType::Int64), ("price", DataType::Decimal128(6, 2))];
        target("item", &[columns.as_slice(), &[("since", DataType::Date32)]].concat())
    }

    fn event(n: u64, op: &str, before: &str, after: &str) -> String {
        format!(
            r#"{{"before":{before},"after":{after},"source":{{"connector":"postgresql","ts_us":{n}000000,"db":"fin","sequence":"[\"{n}\",\"{n}\"]","schema":"public","table":"item","txId":{n},"lsn":{n}}},"op":"{op}"}}"#
        )
    }

    fn row(n: u64, cells: &str) -> String {
        format!(r#"{{"name":"n{n}","id":{n},{cells}}}"#)
    }

    /// Changes of all kinds, one more of them with this after image.
    fn lines(odd: &str) -> Vec<String> {
        let plain = |n: u64| row(n, &format!(r#""price":{n}.5,"since":"2024-02-29""#));
        let null = |n: u64| row(n, r#""price":null,"since":19000"#);
        let mut lines = Vec::new();
        for n in (1..200).step_by(4) {
            lines.push(event(n, "u", &plain(n), &null(n)));
            lines.push(event(n + 1, "c", "null", &plain(n + 1)));
            lines.push(event(n + 2, "d", &null(n + 2), "null"));
            lines.push(event(n + 3, "t", "null", "null"));
        }
        lines.push(event(300, "c", "null", odd));
        lines
    }

    /// The changes as a store keeps them, and how many chunks were left in the text.
    fn store(text: &str, depth: Depth) -> (ChangeStore, usize) {
        let spool = Spool::new(None);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let input = InputFile::open(&file.into_temp_path().keep().unwrap(), &spool).unwrap();
        let targets = [items()];
        // A chunk without an update could not tell whether old rows are whole.
        let options = DecodeOptions { depth, full_identity: Some(true), ..DecodeOptions::default() };
        let ledger = TextLedger::new(std::slice::from_ref(&input), Format::Debezium, &targets, &options);
        let mut spooler = ChangeSpooler::new(targets[0].schema.clone(), &spool).unwrap();
        spooler.leave_in(Arc::new(ledger), 0, &spool).unwrap();
        let mut left = 0;
        for chunk in JsonChunks::open(&input).unwrap().with_chunk_size(4_000) {
            let chunk = chunk.unwrap();
            let decoded = decode(Format::Debezium, &chunk, &targets, &options);
            let texts = decoded.texts.first();
            left += usize::from(texts.is_some());
            let texts = texts.map(|places| Texts { offset: chunk.offset.unwrap(), places });
            spooler.push(&decoded.changes[0], texts).unwrap();
        }
        (spooler.finish().unwrap(), left)
    }

    #[test]
    fn images_left_in_the_text_are_those_that_decoding_gives() {
        let text = lines(&row(300, r#""price":0,"since":null"#)).join("\n");
        let ((whole, none), (keys, left)) = (store(&text, Depth::Whole), store(&text, Depth::Keys));
        assert_eq!(none, 0);
        assert!(left > 5 && left == keys.segments(), "all {} chunks are left, not {left}", keys.segments());
        for segment in 0..whole.segments() {
            let few: Vec<u32> = (0..whole.first(segment + 1) - whole.first(segment)).step_by(3).collect();
            for rows in [None, Some(few.as_slice())] {
                for want in [Want::EVIDENCE, Want::IMAGES, Want::KEYS, Want::ORDER] {
                    let [a, b] = [&whole, &keys].map(|store| store.read(segment, want, rows).unwrap());
                    assert_eq!(
                        (&a.ops, &a.committed_at, &a.position),
                        (&b.ops, &b.committed_at, &b.position)
                    );
                    if want.before == Columns::All {
                        assert_eq!(show(&a, whole.schema()), show(&b, whole.schema()));
                        assert_eq!((a.before.columns, a.after.columns), (b.before.columns, b.after.columns));
                    } else if want.before == Columns::Key {
                        assert_eq!(a.before.columns[1], b.before.columns[1]);
                    }
                }
                let one_side = Want { before: Columns::All, ..Want::default() };
                let [a, b] = [&whole, &keys].map(|store| store.read(segment, one_side, rows).unwrap());
                assert_eq!((a.before.columns, a.after.columns), (b.before.columns, b.after.columns));
            }
        }
    }

    #[test]
    fn a_chunk_with_a_doubtful_cell_is_decoded() {
        let text = |odd: &str| lines(odd).join("\n");
        let (plain, all) = store(&text(&row(300, r#""price":1,"since":null"#)), Depth::Keys);
        assert_eq!(plain.segments(), all);
        for odd in [
            row(300, r#""price":1.005,"since":null"#),
            row(300, r#""price":"1.00","since":null"#),
            row(300, r#""price":1,"since":"2024-02-30""#),
            row(300, r#""price":1"#),
            r#"{"name":"\ud800","id":300,"price":1,"since":null}"#.to_owned(),
            r#"{"name":"__debezium_unavailable_value","id":300,"price":1,"since":null}"#.to_owned(),
        ] {
            let event = event(300, "u", &row(300, r#""price":1,"since":null"#), &odd);
            let text = [&lines(&row(299, r#""price":1,"since":null"#))[..], &[event]].concat().join("\n");
            assert_eq!(store(&text, Depth::Keys).1, all - 1, "{odd}");
        }
    }

    /// Records of all kinds, mostly plain.
    fn record(n: u64, random: &mut crate::testing::Prng) -> String {
        const ODD: [[&str; 3]; 4] = [
            ["null", "\"__debezium_unavailable_value\"", "\"a\\u00e4\""],
            ["null", "\"7\"", "1.5"],
            ["null", "1.005", "\"1.5\""],
            ["null", "\"2024-02-30\"", "19000"],
        ];
        let mut cell = |column: usize, plain: String| match random.below(60) {
            odd @ 0..3 if column != 1 || odd > 0 => ODD[column][odd as usize].to_owned(),
            3..6 => ODD[column][0].to_owned(),
            _ => plain,
        };
        let cells = [
            cell(0, format!("\"n{}\"", n % 9)),
            cell(1, format!("{n}")),
            cell(2, format!("{}.5", n % 70)),
            cell(3, format!("\"2024-02-{:02}\"", n % 28 + 1)),
        ];
        let changed = cell(2, "0.25".to_owned());
        let row = |price: &str| {
            let [name, id, _, since] = &cells;
            format!(r#"{{"name":{name},"id":{id},"price":{price},"since":{since}}}"#)
        };
        let (old, new) = (row(&cells[2]), row(&changed));
        let [some, either] = ["u", "d"].map(|op| if random.below(40) == 0 { "null" } else { op });
        let (op, before, after) = match random.below(12) {
            0..3 => ("c", "null", new.as_str()),
            3 => ("c", old.as_str(), new.as_str()),
            4 => ("r", "null", new.as_str()),
            5..7 => ("d", old.as_str(), "null"),
            7 => ("d", old.as_str(), new.as_str()),
            8 => {
                ("u", if some == "null" { some } else { &old }, if either == "null" { either } else { &new })
            }
            9 if random.below(9) == 0 => ("t", "null", "null"),
            _ => ("u", old.as_str(), new.as_str()),
        };
        event(n, op, before, after)
    }

    #[test]
    fn what_is_left_in_the_text_is_found_to_be_the_same() {
        let mut random = crate::testing::Prng::new(5);
        let targets = [items()];
        let (mut left, mut with_notes) = (0, 0);
        for number in 0..1_200_u64 {
            let records: Vec<String> =
                (1..3 + number % 29).map(|n| record(30 * number + n, &mut random)).collect();
            let text = records.join("\n");
            let chunk = crate::ledger::testing::chunk(&text);
            let [whole, keys] = [Depth::Whole, Depth::Keys].map(|depth| {
                let full_identity = (number % 3 > 0).then_some(true);
                let options = DecodeOptions { depth, full_identity, ..DecodeOptions::default() };
                decode(Format::Debezium, &chunk, &targets, &options)
            });
            let said = |d: &crate::ledger::Decoded| {
                let changes = &d.changes[0];
                let order = (&changes.ops, &changes.committed_at, &changes.position, &changes.transaction);
                let keys = (&changes.before.columns[1], &changes.after.columns[1]);
                let present = [&changes.before, &changes.after]
                    .map(|images| (0..changes.len()).map(|row| images.is_present(row)).collect::<Vec<_>>());
                format!("{:#?}", (&d.notes, &d.facts, &d.shapes, &d.tables, order, keys, present))
            };
            assert_eq!(said(&keys), said(&whole), "{text}");
            // A wrapped record has no layout, so nothing of it is known at sight.
            let wrapped: Vec<String> = records.iter().map(|r| format!("{{\"payload\":{r}}}")).collect();
            let full_identity = (number % 3 > 0).then_some(true);
            let options = DecodeOptions { full_identity, ..DecodeOptions::default() };
            let chunk = crate::ledger::testing::chunk(&wrapped.join("\n"));
            let slow = decode(Format::Debezium, &chunk, &targets, &options);
            assert_eq!(said(&whole), said(&slow), "{text}");
            let [fast, slow] = [&whole, &slow].map(|decoded| show(&decoded.changes[0], &targets[0].schema));
            assert_eq!(fast, slow, "{text}");
            left += usize::from(!keys.texts.is_empty());
            with_notes += usize::from(!whole.notes.is_empty());
        }
        assert!(left > 60 && with_notes > 60, "{left} left, {with_notes} with notes");
    }

    #[test]
    fn damaged_records_are_found_whichever_way_they_are_read() {
        let mut random = crate::testing::Prng::new(23);
        let targets = [items()];
        let pieces = [
            "\"", "\\", "{", "}", "]", ",", ":", " ", "0", "7", "-", ".", "e", "null", "\"id\":", "ä", "d",
            "t",
        ];
        let (mut left, mut unparsable, mut sound) = (0, 0, 0);
        for number in 0..600_u64 {
            let mut records: Vec<String> =
                (1..4 + number % 7).map(|n| record(30 * number + n, &mut random)).collect();
            // The first one shows how records follow each other.
            let damaged = 1 + random.index(records.len() - 1);
            let text = &mut records[damaged];
            for _ in 0..=random.below(2) {
                let places: Vec<usize> = (0..text.len()).filter(|&at| text.is_char_boundary(at)).collect();
                let first = random.index(places.len());
                let last = (first + random.index(3)).min(places.len() - 1);
                let piece = if random.below(3) == 0 { "" } else { pieces[random.index(pieces.len())] };
                text.replace_range(places[first]..places[last], piece);
            }
            let of = |records: &[String], depth| {
                let options = DecodeOptions { depth, ..DecodeOptions::default() };
                decode(
                    Format::Debezium,
                    &crate::ledger::testing::chunk(&records.join("\n")),
                    &targets,
                    &options,
                )
            };
            let wrapped: Vec<String> = records.iter().map(|r| format!("{{\"payload\":{r}}}")).collect();
            let [fast, keys] = [Depth::Whole, Depth::Keys].map(|depth| of(&records, depth));
            let slow = of(&wrapped, Depth::Whole);
            // Of a text that is no JSON, the message says where it is not.
            let said = |d: &crate::ledger::Decoded| {
                let notes: Vec<_> =
                    d.notes.iter().map(|n| (n.kind, n.target, n.record, n.column.clone(), n.count)).collect();
                let changes = &d.changes[0];
                let order = (&changes.ops, &changes.committed_at, &changes.position, &changes.record);
                format!("{:?}", (notes, &d.facts, &d.shapes, &d.tables, order, &changes.before.columns[1]))
            };
            assert_eq!(said(&fast), said(&slow), "{}", records.join("\n"));
            assert_eq!(said(&keys), said(&slow), "{}", records.join("\n"));
            let [shown, expected] = [&fast, &slow].map(|d| show(&d.changes[0], &targets[0].schema));
            assert_eq!(shown, expected, "{}", records.join("\n"));
            left += usize::from(!keys.texts.is_empty());
            let found = fast.notes.iter().any(|n| n.kind == crate::model::DiscrepancyKind::UnparsableRecord);
            *if found { &mut unparsable } else { &mut sound } += 1;
        }
        assert!(
            left > 60 && unparsable > 200 && sound > 60,
            "{left} left, {unparsable} unparsable, {sound} sound"
        );
    }
}
