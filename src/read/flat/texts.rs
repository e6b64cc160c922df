//! Texts and bytes as they stand in a page, each behind its length or all behind all lengths, to texts of an array.

use parquet::errors::ParquetError;

use super::header::damaged;
use super::values::{Chosen, NULL, cut_off};

/// Texts up to this length are copied as so many bytes, whatever their length.
const SHORT: usize = 32;

/// Bytes by which the space for texts grows at least.
const ROOM_MIN: usize = 1 << 10;

/// Texts or bytes one behind the other.
#[derive(Debug)]
pub(super) struct Texts {
    /// Where each text begins, and where the last one ends.
    offsets: Vec<i32>,
    /// The texts, then space: it is cheaper to write into it than to append.
    bytes: Vec<u8>,
    /// Where the texts end.
    end: usize,
}

impl Texts {
    /// None yet, with room for so many ends.
    pub(super) fn with_room(texts: usize) -> Self {
        let mut offsets = Vec::with_capacity(texts + 1);
        offsets.push(0);
        Self { offsets, bytes: Vec::new(), end: 0 }
    }

    /// Texts stand behind their lengths, so the way to one leads past all before it.
    pub(super) fn plain(
        &mut self,
        (page, at): (&[u8], &mut usize),
        present: usize,
        chosen: Chosen<'_>,
    ) -> Result<(), ParquetError> {
        match chosen {
            Chosen::All => {
                self.make_room(page.len().saturating_sub(*at).min(present * SHORT));
                for _ in 0..present {
                    self.next(page, at)?;
                }
            }
            Chosen::Valid(valid) => {
                self.make_room(page.len().saturating_sub(*at).min(present * SHORT));
                for row in 0..valid.len {
                    if valid.get(row) {
                        self.next(page, at)?;
                    } else {
                        self.end()?;
                    }
                }
            }
            Chosen::Places(places) => return self.chosen((page, at), present, places),
        }
        Ok(())
    }

    /// Appends those that are chosen of texts that stand one behind the other, with these lengths.
    pub(super) fn behind_lengths(
        &mut self,
        all: &[u8],
        lengths: &[i64],
        chosen: Chosen<'_>,
    ) -> Result<(), ParquetError> {
        let Chosen::Places(places) = chosen else {
            self.make_room(all.len());
            self.bytes[self.end..self.end + all.len()].copy_from_slice(all);
            return self.ends(lengths, chosen);
        };
        let (mut next, mut from) = (0, 0);
        for &place in places {
            if place != NULL {
                let place = place as usize;
                from += lengths[next..place].iter().sum::<i64>() as usize;
                let end = from + lengths[place] as usize;
                self.put(all, from, end);
                (next, from) = (place + 1, end);
            }
            self.end()?;
        }
        Ok(())
    }

    /// Ends texts of these lengths, whose bytes are here, where rows have one.
    fn ends(&mut self, lengths: &[i64], chosen: Chosen<'_>) -> Result<(), ParquetError> {
        let Chosen::Valid(valid) = chosen else {
            for length in lengths {
                self.end += *length as usize;
                self.end()?;
            }
            return Ok(());
        };
        let mut lengths = lengths.iter();
        for row in 0..valid.len {
            if valid.get(row) {
                self.end += *lengths.next().ok_or_else(cut_off)? as usize;
            }
            self.end()?;
        }
        Ok(())
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Appends one of other texts; without a number, none.
    pub(super) fn entry(&mut self, texts: &Self, number: Option<u32>) -> Result<(), ParquetError> {
        if let Some(number) = number {
            let [start, end] = [0, 1].map(|more| texts.offsets[number as usize + more] as usize);
            self.put(&texts.bytes, start, end);
        }
        self.end()
    }

    /// Where each text begins and the last one ends, and all texts.
    pub(super) fn finish(mut self) -> (Vec<i32>, Vec<u8>) {
        self.bytes.truncate(self.end);
        (self.offsets, self.bytes)
    }

    fn chosen(
        &mut self,
        (page, at): (&[u8], &mut usize),
        present: usize,
        places: &[u32],
    ) -> Result<(), ParquetError> {
        let mut next = 0;
        for &place in places {
            if place == NULL {
                self.end()?;
                continue;
            }
            for _ in next..place {
                *at = text(page, *at)?.1;
            }
            self.next(page, at)?;
            next = place + 1;
        }
        for _ in next as usize..present {
            *at = text(page, *at)?.1;
        }
        Ok(())
    }

    /// Appends the text whose length stands here, and goes past it.
    #[inline]
    fn next(&mut self, page: &[u8], at: &mut usize) -> Result<(), ParquetError> {
        let (from, end) = text(page, *at)?;
        self.put(page, from, end);
        *at = end;
        self.end()
    }

    /// Ends a text.
    #[inline]
    fn end(&mut self) -> Result<(), ParquetError> {
        let end = i32::try_from(self.end);
        self.offsets.push(end.map_err(|_| damaged("more than 2 GiB of text in a row group"))?);
        Ok(())
    }

    /// Appends a part of a text. A copy of fixed length is no call; what is too much is written over.
    #[inline]
    fn put(&mut self, from: &[u8], start: usize, end: usize) {
        let length = end - start;
        match (from[start..].first_chunk::<SHORT>(), self.bytes[self.end..].first_chunk_mut()) {
            (Some(more), Some(room)) if length <= SHORT => *room = *more,
            _ => self.put_any(&from[start..end]),
        }
        self.end += length;
    }

    fn put_any(&mut self, text: &[u8]) {
        let end = self.end + text.len();
        if end > self.bytes.len() {
            self.make_room(text.len().max(self.end / 2).max(ROOM_MIN));
        }
        self.bytes[self.end..end].copy_from_slice(text);
    }

    /// Room for so many bytes, behind which a copy of fixed length may go on.
    fn make_room(&mut self, bytes: usize) {
        let size = self.end + bytes + SHORT;
        if self.bytes.is_empty() {
            // Fresh memory is zero already.
            self.bytes = vec![0; size];
        } else if size > self.bytes.len() {
            self.bytes.resize(size, 0);
        }
    }
}

/// Where the text whose length stands here begins and ends.
#[inline]
fn text(page: &[u8], at: usize) -> Result<(usize, usize), ParquetError> {
    let length = page.get(at..).and_then(<[u8]>::first_chunk).ok_or_else(cut_off)?;
    let from = at + 4;
    match from.checked_add(u32::from_le_bytes(*length) as usize) {
        Some(end) if end <= page.len() => Ok((from, end)),
        _ => Err(cut_off()),
    }
}
