//! Columns that begin, end or change their type inside the ledger.
//!
//! Some producers write whole rows: what such a row leaves out did not exist. So a
//! column that whole rows lack up to some record, and that is carried from a later
//! one on, began in between; it is not absent. The other way round it ended.
//!
//! ```text
//!  change 1  before {id, qty}         after {id, qty}          added does not exist
//!  change 2  before {id, qty, added}  after {id, qty, added}   added begins
//! ```
//!
//! A ledger of millions of images has few different lists of columns. Each chunk
//! keeps those *shapes* and the shape of every image; [`DriftFinder`] keeps where in
//! the order each shape first and last occurs, so no image is looked at twice.
//!
//! Limits: where records of changed columns alone are possible, an image proves
//! nothing; decoders of such formats record no shapes. A log that was made to record
//! one more column looks like a new column. A column that ended and began again is
//! not found.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::model::{ChangeBatch, TableSchema};

/// How many shapes a chunk or a table may have before nothing is concluded from them.
const SHAPES_MAX: usize = 512;

/// Which columns an image would carry if they existed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub(super) enum Whole {
    /// None for certain.
    #[default]
    No = 0,
    /// Those of fixed width: large values may be left out.
    FixedWidth = 1,
    /// All.
    Yes = 2,
}

/// The columns that an image carries.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Shape {
    /// Per column of the table, whether it is carried.
    carried: Vec<bool>,
    /// Per column of the table, its type as recorded there.
    kinds: Vec<Option<String>>,
    /// Carried columns that the table does not have.
    unknown: Vec<String>,
}

impl Shape {
    /// The shape of an image with these columns, and their types if recorded.
    pub(super) fn new<'a>(
        table: &TableSchema,
        columns: impl Iterator<Item = (&'a str, Option<String>)>,
    ) -> Self {
        let mut shape =
            Self { carried: vec![false; table.len()], kinds: vec![None; table.len()], unknown: Vec::new() };
        for (name, kind) in columns {
            let folded = || table.names().position(|n| n.eq_ignore_ascii_case(name));
            match table.column(name).or_else(folded) {
                Some(column) => {
                    shape.carried[column] = true;
                    shape.kinds[column] = kind;
                }
                None => shape.unknown.push(name.to_owned()),
            }
        }
        shape.unknown.sort_unstable();
        shape
    }
}

/// The part of a column in the hash of a shape; their sum does not depend on the columns' order.
pub(super) fn column_hash(name: &str, kind: Option<&str>) -> u64 {
    let seed = kind.map_or(0, |kind| xxh3_64_with_seed(kind.as_bytes(), 1));
    xxh3_64_with_seed(name.as_bytes(), seed)
}

/// The shape of an image, and what it proves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Carried {
    /// 0 for no image, else one more than the number of the shape.
    shape: u16,
    whole: Whole,
}

/// The shapes of one target in one chunk, as they come.
#[derive(Debug, Default)]
pub(super) struct ShapeLog {
    by_hash: HashMap<u64, u16>,
    /// Per side, the last hash and the number of its shape.
    latest: [Option<(u64, u16)>; 2],
    shapes: Vec<Shape>,
    /// The columns of the image that was read last, as a hash.
    pub(super) read_last: u64,
    /// The images of the record at hand, before and after.
    next: [Carried; 2],
    rows: Vec<[Carried; 2]>,
    crowded: bool,
}

impl ShapeLog {
    /// Says of the record at hand what an image (0 before, 1 after) carries.
    pub(super) fn note(&mut self, side: usize, hash: u64, whole: Whole, shape: impl FnOnce() -> Shape) {
        let latest = self.latest[side].filter(|latest| latest.0 == hash);
        let known = latest.map(|latest| latest.1).or_else(|| self.by_hash.get(&hash).copied());
        let shape = known.unwrap_or_else(|| {
            self.crowded |= self.shapes.len() >= SHAPES_MAX;
            if self.crowded {
                return 0;
            }
            self.shapes.push(shape());
            let number = self.shapes.len() as u16;
            self.by_hash.insert(hash, number);
            number
        });
        if latest.is_none() && shape > 0 {
            self.latest[side] = Some((hash, shape));
        }
        self.next[side] = Carried { shape, whole };
    }

    /// The record at hand became a change, or is set aside.
    pub(super) fn end_record(&mut self, is_change: bool) {
        let next = std::mem::take(&mut self.next);
        if is_change {
            self.rows.push(next);
        }
    }

    /// The shapes of all changes but those set aside.
    pub(super) fn take(&mut self, set_aside: &[bool]) -> Shapes {
        let rows = std::mem::take(&mut self.rows).into_iter().zip(set_aside);
        Shapes {
            shapes: std::mem::take(&mut self.shapes),
            rows: rows.filter(|(_, aside)| !**aside).map(|(row, _)| row).collect(),
            crowded: self.crowded,
        }
    }
}

/// Which columns the images of a chunk carry, for one target.
#[derive(Debug, Default)]
pub struct Shapes {
    shapes: Vec<Shape>,
    /// Per change, before and after.
    rows: Vec<[Carried; 2]>,
    crowded: bool,
}

/// Where a change lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    position: (u128, u128),
    /// Place in the source's stream.
    pub stream: u64,
    /// Number of the file.
    pub file: u32,
    /// Number of the record in the file.
    pub record: u64,
}

impl Place {
    /// Whether it comes before another one, by position or else as delivered.
    fn precedes(&self, other: &Self, positions: bool) -> bool {
        if positions { self.position < other.position } else { self.stream < other.stream }
    }
}

/// The first and the last of some changes.
#[derive(Debug, Clone, Copy)]
struct Span {
    first: Place,
    last: Place,
}

impl Span {
    fn extend(&mut self, other: &Self, positions: bool) {
        if other.first.precedes(&self.first, positions) {
            self.first = other.first;
        }
        if self.last.precedes(&other.last, positions) {
            self.last = other.last;
        }
    }
}

/// Where a shape occurs: as delivered and by position; of any image, and of images by what they prove.
#[derive(Debug, Clone)]
struct Seen {
    shape: Shape,
    spans: [Option<[Span; 2]>; 3],
}

/// Something that changed about a table's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// A column began.
    Begins(Begin),
    /// A column that the table does not have ended.
    Ends {
        /// The column.
        name: String,
        /// The last change that carries it.
        last: Place,
    },
    /// A column got another type.
    Retyped {
        /// The column.
        column: usize,
        /// Its type before, in the producer's words.
        from: String,
        /// Its type from the change on.
        to: String,
        /// The first change with the new type.
        first: Place,
    },
}

/// Where a column began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// The column.
    pub column: usize,
    /// The last change that proves that it did not exist.
    pub without: Place,
    /// The first change that carries it.
    pub with: Place,
}

/// Finds what changed about the columns of one table over a whole stream.
#[derive(Debug, Default)]
pub struct DriftFinder {
    seen: Vec<Seen>,
    by_shape: HashMap<Shape, usize>,
    crowded: bool,
}

impl DriftFinder {
    /// Takes the next changes, with their places settled, and their shapes.
    pub fn observe(&mut self, batch: &ChangeBatch, shapes: &Shapes, file: u32) {
        self.crowded |= shapes.crowded || self.seen.len() + shapes.shapes.len() > 2 * SHAPES_MAX;
        if self.crowded {
            return;
        }
        debug_assert!(shapes.rows.is_empty() || shapes.rows.len() == batch.len(), "one entry per change");
        let numbers: Vec<usize> = shapes.shapes.iter().map(|shape| self.number(shape)).collect();
        let position = |row: usize| {
            let own = batch.position.as_ref().map_or(0, |p| p[row]);
            (batch.commit_position.as_ref().map_or(own, |p| p[row]), own)
        };
        let placed = batch.position.is_some() || batch.commit_position.is_some();
        let rises = |row: usize| {
            batch.stream[row - 1] < batch.stream[row] && (!placed || position(row - 1) < position(row))
        };
        let mut from = 0;
        // Of changes that carry the same and follow each other, the first and the last say all.
        while let Some(carried) = shapes.rows.get(from) {
            let goes_on = |row: &usize| shapes.rows[*row] == *carried && rises(*row);
            let next = from + 1 + (from + 1..shapes.rows.len()).take_while(goes_on).count();
            for row in std::iter::once(from).chain((next - 1 > from).then_some(next - 1)) {
                let (stream, record) = (batch.stream[row], batch.record[row]);
                let place = Place { position: position(row), stream, file, record };
                self.add(carried, &numbers, place);
            }
            from = next;
        }
    }

    /// A change at a place carries this.
    fn add(&mut self, carried: &[Carried; 2], numbers: &[usize], place: Place) {
        for image in carried.iter().filter(|image| image.shape > 0) {
            let seen = &mut self.seen[numbers[usize::from(image.shape) - 1]];
            seen.add(0, place);
            if image.whole != Whole::No {
                seen.add(image.whole as usize, place);
            }
        }
    }

    fn number(&mut self, shape: &Shape) -> usize {
        if let Some(&number) = self.by_shape.get(shape) {
            return number;
        }
        self.by_shape.insert(shape.clone(), self.seen.len());
        self.seen.push(Seen { shape: shape.clone(), spans: [None; 3] });
        self.seen.len() - 1
    }

    /// What changed: columns that began, columns that ended, types; each in the order of columns.
    /// `positions` says whether the stream's positions order it.
    pub fn finish(self, schema: &TableSchema, positions: bool) -> Vec<Drift> {
        if self.crowded {
            return Vec::new();
        }
        let values = (0..schema.len()).filter(|&c| !schema.is_key(c));
        let mut found: Vec<Drift> =
            values.clone().filter_map(|c| self.begin(schema, c, positions)).map(Drift::Begins).collect();
        let mut names: Vec<&String> = self.seen.iter().flat_map(|s| &s.shape.unknown).collect();
        names.sort_unstable();
        names.dedup();
        found.extend(names.into_iter().filter_map(|name| self.end(name, positions)));
        values.for_each(|column| found.extend(self.retyped(column, positions)));
        found
    }

    /// The span of some shapes, as far as their images prove as much as `whole`.
    fn span(&self, whole: Whole, positions: bool, of: impl Fn(&Shape) -> bool) -> Option<Span> {
        let mut all: Option<Span> = None;
        for seen in self.seen.iter().filter(|s| of(&s.shape)) {
            let Some(spans) = seen.spans[whole as usize] else { continue };
            let span = spans[usize::from(positions)];
            all.get_or_insert(span).extend(&span, positions);
        }
        all
    }

    fn begin(&self, schema: &TableSchema, column: usize, positions: bool) -> Option<Begin> {
        let with = self.span(Whole::No, positions, |s| s.carried[column])?.first;
        let lacks = |s: &Shape| !s.carried[column];
        let mut without = self.span(Whole::Yes, positions, lacks);
        if is_fixed_width(schema, column)
            && let Some(more) = self.span(Whole::FixedWidth, positions, lacks)
        {
            without.get_or_insert(more).extend(&more, positions);
        }
        let without = without?.last;
        without.precedes(&with, positions).then_some(Begin { column, without, with })
    }

    fn end(&self, name: &String, positions: bool) -> Option<Drift> {
        let last = self.span(Whole::No, positions, |s| s.unknown.contains(name))?.last;
        let without = self.span(Whole::Yes, positions, |s| !s.unknown.contains(name))?.last;
        last.precedes(&without, positions).then(|| Drift::Ends { name: name.clone(), last })
    }

    /// Changes of a column's recorded type: the old one ends before the new one begins.
    fn retyped(&self, column: usize, positions: bool) -> Vec<Drift> {
        let mut kinds: Vec<(&str, Span)> = Vec::new();
        for seen in &self.seen {
            let (Some(kind), Some(spans)) = (&seen.shape.kinds[column], seen.spans[0]) else { continue };
            let span = spans[usize::from(positions)];
            match kinds.iter_mut().find(|(known, _)| same_kind(known, kind)) {
                Some((_, known)) => known.extend(&span, positions),
                None => kinds.push((kind, span)),
            }
        }
        kinds.sort_by_key(
            |(_, span)| if positions { span.first.position } else { (0, span.first.stream.into()) },
        );
        let apart = |pair: &[(&str, Span)]| {
            pair[0].1.last.precedes(&pair[1].1.first, positions).then(|| Drift::Retyped {
                column,
                from: pair[0].0.to_owned(),
                to: pair[1].0.to_owned(),
                first: pair[1].1.first,
            })
        };
        kinds.windows(2).filter_map(apart).collect()
    }
}

impl Seen {
    fn add(&mut self, what: usize, place: Place) {
        let here = Span { first: place, last: place };
        let spans = self.spans[what].get_or_insert([here; 2]);
        spans[0].extend(&here, false);
        spans[1].extend(&here, true);
    }
}

/// Whether values of a column are never so large that a producer may leave them out of an update.
pub(super) fn is_fixed_width(schema: &TableSchema, column: usize) -> bool {
    let data_type = schema.data_type(column);
    data_type.is_primitive() || *data_type == arrow::datatypes::DataType::Boolean
}

/// Whether two type names mean one type. Names come long or short, with or without their length.
fn same_kind(a: &str, b: &str) -> bool {
    let ((a, a_length), (b, b_length)) = (parts(a), parts(b));
    a == b && (a_length == b_length || a_length.is_empty() || b_length.is_empty())
}

/// The plain name of a type, and what stands in its parentheses.
fn parts(kind: &str) -> (String, &str) {
    let (before, rest) = kind.split_once('(').unwrap_or((kind, ""));
    let (length, after) = rest.split_once(')').unwrap_or(("", ""));
    let name = format!("{}{after}", before.trim_end()).to_lowercase();
    let name = match name.as_str() {
        "int2" => "smallint",
        "int4" | "int" => "integer",
        "int8" => "bigint",
        "float4" => "real",
        "float8" => "double precision",
        "decimal" => "numeric",
        "bool" => "boolean",
        "varchar" => "character varying",
        "bpchar" | "char" => "character",
        "timestamptz" => "timestamp with time zone",
        "timestamp" => "timestamp without time zone",
        "timetz" => "time with time zone",
        "time" => "time without time zone",
        "varbit" => "bit varying",
        other => other,
    };
    (name.to_owned(), length)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    #[test]
    fn runs_of_changes_say_what_each_of_them_says() {
        let table =
            crate::ledger::testing::target("t", &[("id!", DataType::Int64), ("a", DataType::Int64)]).schema;
        let shape = |names: &[&'static str]| Shape::new(&table, names.iter().map(|name| (*name, None)));
        let mut random = crate::testing::Prng::new(3);
        for round in 0..400_u64 {
            let (mut whole, mut single) = (DriftFinder::default(), DriftFinder::default());
            let mut stream = 0;
            for chunk in 0..3 {
                let rows = 1 + random.index(12);
                let carried = |random: &mut crate::testing::Prng| Carried {
                    shape: if random.below(6) == 0 { 1 + random.below(3) as u16 } else { 1 },
                    whole: if random.below(3) == 0 { Whole::No } else { Whole::Yes },
                };
                let shapes = Shapes {
                    shapes: vec![shape(&["id", "a"]), shape(&["id"]), shape(&["id", "b"])],
                    rows: (0..rows).map(|_| [carried(&mut random), Carried::default()]).collect(),
                    crowded: false,
                };
                let positions =
                    (0..rows as u128).map(|n| 10 * chunk + n + u128::from(random.below(2))).collect();
                let batch = ChangeBatch {
                    ops: vec![0; rows],
                    committed_at: vec![0; rows],
                    stream: (stream..stream + rows as u64).collect(),
                    record: (stream..stream + rows as u64).collect(),
                    position: (round % 3 > 0).then_some(positions),
                    ..ChangeBatch::default()
                };
                stream += rows as u64;
                whole.observe(&batch, &shapes, 0);
                for row in 0..rows {
                    let batch = ChangeBatch {
                        ops: vec![0],
                        committed_at: vec![0],
                        stream: vec![batch.stream[row]],
                        record: vec![batch.record[row]],
                        position: batch.position.as_ref().map(|p| vec![p[row]]),
                        ..ChangeBatch::default()
                    };
                    let shapes = Shapes {
                        shapes: shapes.shapes.clone(),
                        rows: vec![shapes.rows[row]],
                        crowded: false,
                    };
                    single.observe(&batch, &shapes, 0);
                }
            }
            for (a, b) in whole.seen.iter().zip(&single.seen) {
                assert_eq!(format!("{a:?}"), format!("{b:?}"), "{round}");
            }
        }
    }

    #[test]
    fn types_are_the_same_under_their_long_and_short_names() {
        assert!(same_kind("int4", "integer"));
        assert!(same_kind("character varying(10)", "varchar"));
        assert!(same_kind("timestamp(3) without time zone", "timestamp without time zone"));
        assert!(!same_kind("numeric(10,2)", "numeric(12,2)"));
        assert!(!same_kind("integer", "bigint"));
    }
}
