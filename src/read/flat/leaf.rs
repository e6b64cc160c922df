//! One leaf column of a row group, decoded from its pages in steps of any number of rows.
//!
//! A step appends the rows asked for, and those alone: of values that lie at known
//! places nothing else is touched, and pages without any such row are not even
//! decompressed.

use std::fs::File;

use arrow::array::ArrayRef;
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::DataType;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;

use super::delta::Delta;
use super::header::damaged;
use super::hybrid::Hybrid;
use super::levels::{self, Bits};
use super::page::{Page, Pages};
use super::values::{Chosen, Dictionary, NULL, Values};

/// Rows that are decoded at a time, so that what they become stays in the cache.
const STEP: usize = 8_192;

const PLAIN: i64 = 0;
const PLAIN_DICTIONARY: i64 = 2;
const DELTA_BINARY_PACKED: i64 = 5;
const DELTA_LENGTH_BYTE_ARRAY: i64 = 6;
const RLE_DICTIONARY: i64 = 8;

/// A leaf column on its way.
#[derive(Debug)]
pub(super) struct Leaf {
    pages: Pages,
    /// The type that its values become.
    data_type: DataType,
    /// The level of a cell that has a value; 0: every cell has one.
    level: u32,
    dictionary: Option<Dictionary>,
    page: Page,
    /// Rows of the page that are still to come.
    left: usize,
    /// Whether some page was decompressed only as far as its wanted rows should lie.
    is_part: bool,
    levels: Hybrid,
    place: Place,
    /// Space for what a step finds out.
    step: Space,
    decoded: Decoded,
}

/// Space for what stands in place of values, or with their lengths.
#[derive(Debug, Default)]
struct Decoded {
    /// Indices of a step.
    indices: Vec<u32>,
    /// Numbers or lengths that were decoded and not taken yet.
    numbers: Vec<i64>,
}

/// Where the values of a page stand.
#[derive(Debug)]
enum Place {
    /// One behind the other, the next one here (in bits for truth values).
    Plain(usize),
    /// As indices into the dictionary.
    Indices(Hybrid),
    /// As differences.
    Differences(Delta),
    /// One behind the other, the next one here, their lengths apart.
    Lengths(Delta, usize),
}

/// Of the rows of a step.
#[derive(Debug, Default)]
struct Space {
    /// Which have a value, and for which the struct around it is there.
    valid: Bits,
    around: Bits,
    /// How many values there are before each word of `valid`.
    before: Vec<u32>,
    /// Of each row asked for, which of the values it is; no value: null.
    places: Vec<u32>,
}

/// Rows of a leaf.
pub(in crate::read) struct Rows {
    pub(super) array: ArrayRef,
    /// Where the struct around the leaf is there, if it is not there everywhere.
    pub(super) around: Option<NullBuffer>,
}

/// What a step appends to.
struct Taken {
    values: Values,
    valid: Validity,
    around: Validity,
}

impl Leaf {
    pub(super) fn open(
        file: &mut File,
        chunk: &ColumnChunkMetaData,
        data_type: &DataType,
    ) -> Result<Self, ParquetError> {
        let mut pages = Pages::open(file, chunk)?;
        let dictionary = match pages.dictionary()? {
            Some((bytes, count)) => Some(Dictionary::decode(&bytes, count, data_type)?),
            None => None,
        };
        Ok(Self {
            pages,
            data_type: data_type.clone(),
            level: chunk.column_descr().max_def_level().unsigned_abs().into(),
            dictionary,
            page: Page::default(),
            left: 0,
            is_part: false,
            levels: Hybrid::default(),
            place: Place::Plain(0),
            step: Space::default(),
            decoded: Decoded::default(),
        })
    }

    /// The next `count` rows, or of these the ones with the rising numbers `wanted`, counted from the first of them.
    pub(super) fn take(&mut self, count: usize, wanted: Option<&[u32]>) -> Result<Rows, ParquetError> {
        if wanted.is_none() || self.left > 0 || !self.pages.keep() {
            return self.rows(count, wanted, false);
        }
        let mark = self.pages.mark();
        let mut rows = self.rows(count, wanted, true);
        if rows.is_err() && self.is_part {
            // The wanted rows lay farther behind than they should have.
            self.pages.back_to(mark);
            self.left = 0;
            rows = self.rows(count, wanted, false);
        }
        rows
    }

    fn rows(&mut self, count: usize, mut wanted: Option<&[u32]>, parts: bool) -> Result<Rows, ParquetError> {
        let room = wanted.map_or(count, <[u32]>::len);
        let mut taken = Taken {
            values: Values::new(&self.data_type, room)?,
            valid: Validity::default(),
            around: Validity::default(),
        };
        let mut done = 0;
        while done < count {
            if self.left == 0 && !self.turn((count - done, parts), wanted, &mut done)? {
                continue;
            }
            let step = STEP.min(self.left).min(count - done);
            let chosen = wanted.as_mut().map(|rows| {
                let (now, later) = rows.split_at(rows.partition_point(|r| (*r as usize) < done + step));
                *rows = later;
                now
            });
            self.step(step, chosen.map(|rows| (rows, done)), &mut taken)?;
            self.left -= step;
            done += step;
            let is_over = wanted.is_some_and(|w| w.first().is_none_or(|r| *r as usize >= done + self.left));
            if is_over && self.left <= count - done {
                done += self.left;
                self.left = 0;
            }
        }
        taken.finish(&self.data_type, self.dictionary.as_ref())
    }

    /// Goes on to the next page; `false` if it was gone past, as it has no row that is wanted.
    fn turn(
        &mut self,
        (rows, parts): (usize, bool),
        wanted: Option<&[u32]>,
        done: &mut usize,
    ) -> Result<bool, ParquetError> {
        let Some(next) = self.pages.rows()? else {
            return Err(damaged("fewer rows in the pages than in the row group"));
        };
        // How far into the page anything is wanted.
        let upto = wanted.filter(|_| next <= rows).map_or(next, |wanted| {
            let here = &wanted[..wanted.partition_point(|r| (*r as usize) < *done + next)];
            here.last().map_or(0, |r| *r as usize + 1 - *done)
        });
        if upto == 0 {
            self.pages.skip();
            *done += next;
            return Ok(false);
        }
        self.page = Page::default();
        // A step takes its values together, wanted or not.
        let upto = upto.next_multiple_of(STEP);
        let part = if parts && upto < next / 4 * 3 { Some((upto, next)) } else { None };
        if let Some(page) = self.pages.data(part)? {
            self.is_part |= page.is_part;
            self.left = page.rows;
            self.page = page;
            self.begin()?;
        }
        Ok(self.left > 0)
    }

    /// Finds levels and values of a new page.
    fn begin(&mut self) -> Result<(), ParquetError> {
        let page = &self.page;
        let mut values = page.values;
        let width = u32::BITS - self.level.leading_zeros();
        self.levels = match &page.levels {
            Some(levels) => Hybrid::new(width, levels.start, levels.end)?,
            None if self.level == 0 => Hybrid::default(),
            None => {
                let length = page.bytes.first_chunk().map(|l| u32::from_le_bytes(*l) as usize);
                let end = length.and_then(|l| l.checked_add(4)).filter(|end| *end <= page.bytes.len());
                values = end.ok_or_else(|| damaged("levels longer than their page"))?;
                Hybrid::new(width, 4, values)?
            }
        };
        self.place = self.place(values)?;
        self.decoded.numbers.clear();
        Ok(())
    }

    /// Where the values of the page stand, whose bytes begin here.
    fn place(&self, values: usize) -> Result<Place, ParquetError> {
        let page = &self.page;
        let is_text = matches!(self.data_type, DataType::Utf8 | DataType::Binary);
        let is_float = matches!(self.data_type, DataType::Float32 | DataType::Float64);
        Ok(match page.encoding {
            DELTA_BINARY_PACKED if !is_text && !is_float && self.data_type != DataType::Boolean => {
                Place::Differences(Delta::new(&page.bytes, values)?)
            }
            DELTA_LENGTH_BYTE_ARRAY if is_text => {
                let lengths = Delta::new(&page.bytes, values)?;
                let end = lengths.end(&page.bytes)?;
                Place::Lengths(lengths, end)
            }
            PLAIN if self.data_type == DataType::Boolean => Place::Plain(values * 8),
            PLAIN => Place::Plain(values),
            PLAIN_DICTIONARY | RLE_DICTIONARY if self.dictionary.is_some() => {
                let width =
                    page.bytes.get(values).ok_or_else(|| damaged("a page of indices without their width"))?;
                Place::Indices(Hybrid::new(u32::from(*width), values + 1, page.bytes.len())?)
            }
            other => {
                return Err(damaged(format!("values of encoding {other} that the footer does not name")));
            }
        })
    }

    /// Appends rows of the page: all of the next `count`, or those chosen, whose numbers begin at `from`.
    fn step(
        &mut self,
        count: usize,
        chosen: Option<(&[u32], usize)>,
        taken: &mut Taken,
    ) -> Result<(), ParquetError> {
        let Space { valid, around, before, places } = &mut self.step;
        valid.clear();
        around.clear();
        if self.level > 0 {
            levels::read(&mut self.levels, &self.page.bytes, (count, self.level), (valid, around))?;
        } else {
            valid.run(true, count);
        }
        let present = valid.count();
        let everywhere = present == count;
        let chosen = match chosen {
            None if everywhere => {
                taken.valid.all(count);
                taken.around.all(count);
                Chosen::All
            }
            None => {
                taken.valid.append(valid);
                taken.around.append(around);
                Chosen::Valid(valid)
            }
            Some((rows, from)) => {
                places.clear();
                if everywhere {
                    taken.valid.all(rows.len());
                    taken.around.all(rows.len());
                    places.extend(rows.iter().map(|r| r - from as u32));
                } else {
                    taken.valid.chosen(valid, (rows, from));
                    taken.around.chosen(around, (rows, from));
                    ranked(valid, before);
                    places.extend(rows.iter().map(|r| place(valid, before, *r as usize - from)));
                }
                Chosen::Places(places)
            }
        };
        let page = (&*self.page.bytes, self.dictionary.as_ref());
        self.place.append(page, (present, chosen), &mut self.decoded, &mut taken.values)
    }
}

impl Place {
    /// Goes past the next `present` values and appends those that are chosen.
    fn append(
        &mut self,
        (bytes, dictionary): (&[u8], Option<&Dictionary>),
        (present, chosen): (usize, Chosen<'_>),
        decoded: &mut Decoded,
        values: &mut Values,
    ) -> Result<(), ParquetError> {
        let Decoded { indices, numbers } = decoded;
        match self {
            Self::Plain(at) => values.plain(bytes, at, present, chosen),
            Self::Indices(hybrid) => {
                let dictionary = dictionary.ok_or_else(|| damaged("indices without a dictionary"))?;
                indices.clear();
                hybrid.read(bytes, present, indices)?;
                values.indices(indices, chosen, dictionary)
            }
            Self::Differences(delta) => {
                delta.fill(bytes, present, numbers)?;
                values.numbers(&numbers[..present], chosen)?;
                numbers.drain(..present);
                Ok(())
            }
            Self::Lengths(delta, at) => {
                delta.fill(bytes, present, numbers)?;
                values.behind_lengths((bytes, at), &numbers[..present], chosen)?;
                numbers.drain(..present);
                Ok(())
            }
        }
    }
}

/// How many values there are before each word.
fn ranked(valid: &Bits, before: &mut Vec<u32>) {
    before.clear();
    before.extend(valid.words.iter().scan(0, |sum, word| {
        let here = *sum;
        *sum += word.count_ones();
        Some(here)
    }));
}

/// Which of the values a row is.
fn place(valid: &Bits, before: &[u32], row: usize) -> u32 {
    let (word, bit) = (row / 64, row % 64);
    let those = valid.words[word];
    if those >> bit & 1 == 0 { NULL } else { before[word] + (those & ((1 << bit) - 1)).count_ones() }
}

/// Which rows are there; nothing is kept as long as all are.
#[derive(Debug, Default)]
struct Validity {
    rows: usize,
    bits: Option<Bits>,
}

impl Validity {
    fn all(&mut self, rows: usize) {
        if let Some(bits) = &mut self.bits {
            bits.run(true, rows);
        }
        self.rows += rows;
    }

    /// Of these rows, whose numbers begin at `from`.
    fn chosen(&mut self, valid: &Bits, (rows, from): (&[u32], usize)) {
        for rows in rows.chunks(64) {
            let bit = |(at, row): (usize, &u32)| u64::from(valid.get(*row as usize - from)) << at;
            let word = rows.iter().enumerate().map(bit).fold(0, |word, bit| word | bit);
            if word.count_ones() as usize == rows.len() {
                self.all(rows.len());
            } else {
                self.kept().push(word, rows.len());
                self.rows += rows.len();
            }
        }
    }

    fn append(&mut self, valid: &Bits) {
        self.kept().append(valid);
        self.rows += valid.len;
    }

    fn kept(&mut self) -> &mut Bits {
        let rows = self.rows;
        self.bits.get_or_insert_with(|| {
            let mut bits = Bits::default();
            bits.run(true, rows);
            bits
        })
    }

    fn finish(self) -> Option<NullBuffer> {
        let bits = self.bits?;
        let buffer = BooleanBuffer::new(Buffer::from_vec(bits.words), 0, bits.len);
        Some(NullBuffer::new(buffer)).filter(|nulls| nulls.null_count() > 0)
    }
}

impl Taken {
    fn finish(self, data_type: &DataType, dictionary: Option<&Dictionary>) -> Result<Rows, ParquetError> {
        let array = self.values.finish(data_type, self.valid.finish(), dictionary)?;
        Ok(Rows { array, around: self.around.finish() })
    }
}
