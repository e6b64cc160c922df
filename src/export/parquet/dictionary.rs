//! Cells as numbers of the distinct values that occur, in the order of their first use.

use arrow::array::{Array, GenericByteArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ByteArrayType, Int32Type};
use xxhash_rust::xxh3::xxh3_64;

use super::bounds::Number;
use super::hybrid;

/// A dictionary page that would grow beyond this is not worth it.
const DICTIONARY_BYTES_MAX: usize = 1 << 20;

/// A column as indices of its distinct values.
#[derive(Debug)]
pub(super) struct Indexed {
    /// Where each distinct value stands first: a row, or a key of the array's own dictionary.
    pub entries: Vec<u32>,
    /// Per row, which entry; anything for nulls.
    pub ids: Vec<u32>,
}

impl Indexed {
    /// `None` if there are too many distinct values.
    pub(super) fn of_numbers<T: Number>(values: &[T], nulls: Option<&NullBuffer>) -> Option<Self> {
        let mut interner = Interner::default();
        let mut ids = vec![0; values.len()];
        for (row, value) in values.iter().enumerate() {
            if nulls.is_some_and(|n| n.is_null(row)) {
                continue;
            }
            let bits = value.bits();
            let hash = (bits ^ bits >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let same = |entry: u32| values[entry as usize].bits() == bits;
            ids[row] = interner.intern(hash ^ hash >> 32, row as u32, same);
            if interner.entries.len() * size_of::<T>() > DICTIONARY_BYTES_MAX {
                return None;
            }
        }
        Some(Self { entries: interner.entries, ids })
    }

    /// `None` if there are too many distinct values.
    pub(super) fn of_texts<T: ByteArrayType>(values: &GenericByteArray<T>) -> Option<Self> {
        let value = |row: usize| -> &[u8] { values.value(row).as_ref() };
        let mut interner = Interner::default();
        let mut ids = vec![0; values.len()];
        let mut bytes = 0;
        for row in (0..values.len()).filter(|&row| values.is_valid(row)) {
            let text = value(row);
            let known = interner.entries.len();
            ids[row] = interner.intern(xxh3_64(text), row as u32, |entry| value(entry as usize) == text);
            bytes += if interner.entries.len() > known { 4 + text.len() } else { 0 };
            if bytes > DICTIONARY_BYTES_MAX {
                return None;
            }
        }
        Some(Self { entries: interner.entries, ids })
    }

    /// Of keys into a dictionary whose entries may repeat and need not all be used.
    pub(super) fn of_keys<T: ByteArrayType>(
        keys: &PrimitiveArray<Int32Type>,
        values: &GenericByteArray<T>,
    ) -> Self {
        const UNSEEN: u32 = u32::MAX;
        let value = |key: u32| -> &[u8] { values.value(key as usize).as_ref() };
        let mut interner = Interner::default();
        let mut known = vec![UNSEEN; values.len()];
        let mut ids = vec![0; keys.len()];
        for (row, &key) in keys.values().iter().enumerate() {
            if keys.is_null(row) {
                continue;
            }
            let id = &mut known[key as usize];
            if *id == UNSEEN {
                let text = value(key as u32);
                *id = interner.intern(xxh3_64(text), key as u32, |entry| value(entry) == text);
            }
            ids[row] = *id;
        }
        Self { entries: interner.entries, ids }
    }

    /// Appends the indices of these runs of rows as the body of a page.
    pub(super) fn write(&self, runs: &[(usize, usize)], body: &mut Vec<u8>) {
        let width = (u32::BITS - (self.entries.len() as u32).saturating_sub(1).leading_zeros()).max(1);
        body.push(width as u8);
        match runs {
            [(from, upto)] => hybrid::indices(&self.ids[*from..*upto], width, body),
            runs => {
                let ids: Vec<u32> =
                    runs.iter().flat_map(|&(from, upto)| &self.ids[from..upto]).copied().collect();
                hybrid::indices(&ids, width, body);
            }
        }
    }
}

/// Distinct values by hash, in order of first use.
#[derive(Debug, Default)]
struct Interner {
    /// Where each distinct value stands first.
    entries: Vec<u32>,
    hashes: Vec<u64>,
    /// One more than the number of the entry; zero if free. A power of two of them.
    slots: Vec<u32>,
}

impl Interner {
    /// The number of the value at `place`, `same` comparing it with the one at another place.
    fn intern(&mut self, hash: u64, place: u32, same: impl Fn(u32) -> bool) -> u32 {
        if self.entries.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            match self.slots[slot].checked_sub(1) {
                None => break,
                Some(entry) if self.hashes[entry as usize] == hash && same(self.entries[entry as usize]) => {
                    return entry;
                }
                Some(_) => slot = (slot + 1) & mask,
            }
        }
        self.entries.push(place);
        self.hashes.push(hash);
        self.slots[slot] = self.entries.len() as u32;
        self.entries.len() as u32 - 1
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(64);
        self.slots = vec![0; size];
        for (entry, hash) in self.hashes.iter().enumerate() {
            let mut slot = *hash as usize & (size - 1);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (size - 1);
            }
            self.slots[slot] = entry as u32 + 1;
        }
    }
}
