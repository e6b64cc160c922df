//! The pages of one column chunk, decompressed one after the other.
//!
//! Chunks are read in one go and pages decompressed into buffers that each thread
//! keeps and uses again, as fresh memory costs more than what is written to it.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use zstd::stream::raw::{self, Operation};

use super::header::{Header, Kind, damaged, header};

thread_local! {
    static BUFFERS: RefCell<Kept> = const { RefCell::new(Kept { buffers: Vec::new(), used: 0, most: 0 }) };
    static ZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
    static ZSTD_PARTS: RefCell<Option<raw::Decoder<'static>>> = const { RefCell::new(None) };
}

/// Bytes of buffers beyond which none are kept: the pages of a usual row group of a ledger.
const KEPT_MAX: usize = 56 << 20;

/// Buffers that nobody uses. With those in use they are never more than were in use at a time.
struct Kept {
    buffers: Vec<Vec<u8>>,
    used: usize,
    most: usize,
}

impl Kept {
    /// The smallest buffer with room for so many bytes, unless it has far more.
    fn take(&mut self, size: usize) -> Option<Vec<u8>> {
        let fitting = self.buffers.iter().enumerate().filter(|(_, b)| b.capacity() >= size);
        let (best, buffer) = fitting.min_by_key(|(_, b)| b.capacity())?;
        if buffer.capacity() > size.max(4_096) * 4 { None } else { Some(self.buffers.swap_remove(best)) }
    }

    fn give(&mut self, mut buffer: Vec<u8>) {
        // A buffer may have been another thread's, which counts it for ever.
        self.used = self.used.saturating_sub(buffer.capacity());
        let kept: usize = self.buffers.iter().map(Vec::capacity).sum();
        if buffer.capacity() > 0 && self.used + kept + buffer.capacity() <= self.most.min(KEPT_MAX) {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}

/// Gives the memory that this thread keeps back.
pub(crate) fn release_buffers() {
    BUFFERS.set(Kept { buffers: Vec::new(), used: 0, most: 0 });
}

/// Bytes in a buffer that goes back to its thread.
#[derive(Debug, Default)]
pub(super) struct Buffer(Vec<u8>);

impl Buffer {
    /// An empty buffer with room for so many bytes.
    fn of(size: usize) -> Self {
        BUFFERS.with_borrow_mut(|kept| {
            let buffer =
                kept.take(size).unwrap_or_else(|| Vec::with_capacity(size.next_multiple_of(1 << 16)));
            kept.used += buffer.capacity();
            kept.most = kept.most.max(kept.used);
            Self(buffer)
        })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.0);
        // The thread may be ending; then its buffers are gone already.
        let _ = BUFFERS.try_with(|kept| kept.borrow_mut().give(bytes));
    }
}

impl std::ops::Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Whether pages of this codec are decompressed here.
pub(super) fn is_known(codec: Compression) -> bool {
    matches!(codec, Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_))
}

/// A data page: its values, and where its levels and values stand.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) bytes: Buffer,
    pub(super) rows: usize,
    /// Whether bytes at the end are left out.
    pub(super) is_part: bool,
    pub(super) encoding: i64,
    /// Levels from here, if the page has them apart from its values.
    pub(super) levels: Option<std::ops::Range<usize>>,
    /// Values, or levels with their length and then values.
    pub(super) values: usize,
}

/// The pages of a chunk that have not been taken yet.
#[derive(Debug)]
pub(super) struct Pages {
    chunk: Buffer,
    at: usize,
    codec: Compression,
    next: Option<Header>,
    /// Whether the chunk is needed again when all pages are taken.
    kept: bool,
}

impl Pages {
    pub(super) fn open(file: &mut File, chunk: &ColumnChunkMetaData) -> Result<Self, ParquetError> {
        let (start, length) = chunk.byte_range();
        let length = usize::try_from(length).map_err(|_| damaged("a chunk too large for memory"))?;
        let mut bytes = Buffer::of(length);
        file.seek(SeekFrom::Start(start))?;
        let count = file.take(length as u64).read_to_end(&mut bytes.0)?;
        if count != length {
            return Err(damaged(format!("{count} bytes where a chunk has {length}")));
        }
        Ok(Self { chunk: bytes, at: 0, codec: chunk.compression(), next: None, kept: false })
    }

    /// Keeps pages that were taken; whether all from here on can be taken again.
    pub(super) fn keep(&mut self) -> bool {
        self.kept = !self.chunk.is_empty();
        self.kept
    }

    /// Where the next page is.
    pub(super) fn mark(&self) -> (usize, Option<Header>) {
        (self.at, self.next)
    }

    pub(super) fn back_to(&mut self, mark: (usize, Option<Header>)) {
        (self.at, self.next) = mark;
    }

    /// The header of the next page; `None` behind the last one.
    fn header(&mut self) -> Result<Option<Header>, ParquetError> {
        if self.next.is_none() && self.at < self.chunk.len() {
            let (found, length) = header(&self.chunk[self.at..])?;
            self.at += length;
            if self.chunk.len() - self.at < found.stored {
                return Err(damaged("a page that goes beyond its chunk"));
            }
            self.next = Some(found);
        }
        Ok(self.next)
    }

    /// The entries of the dictionary, if the chunk begins with one, and how many they are.
    pub(super) fn dictionary(&mut self) -> Result<Option<(Buffer, usize)>, ParquetError> {
        match self.header()? {
            Some(Header { kind: Kind::Dictionary { values }, size, .. }) => {
                let bytes = self.decompressed((0, size), size, true)?;
                Ok(Some((bytes, values)))
            }
            _ => Ok(None),
        }
    }

    /// How many rows the next data page has; `None` if there is none.
    pub(super) fn rows(&mut self) -> Result<Option<usize>, ParquetError> {
        while let Some(header) = self.header()? {
            match header.kind {
                Kind::Data { values, .. } | Kind::DataV2 { values, .. } => return Ok(Some(values)),
                Kind::Dictionary { .. } => return Err(damaged("a dictionary behind data")),
                Kind::Other => self.skip(),
            }
        }
        Ok(None)
    }

    /// Goes past the page whose header was looked at last.
    pub(super) fn skip(&mut self) {
        if let Some(header) = self.next.take() {
            self.at += header.stored;
        }
    }

    /// The next data page; if only its first rows of so many are wanted, perhaps no more of it than
    /// these should need.
    pub(super) fn data(&mut self, part: Option<(usize, usize)>) -> Result<Option<Page>, ParquetError> {
        if self.rows()?.is_none() {
            return Ok(None);
        }
        match self.next {
            Some(Header { kind: Kind::Data { values, encoding }, size, .. }) => {
                let length = match (part, self.codec) {
                    (Some((rows, of)), Compression::ZSTD(_)) => size.min(needed(size, rows, of)),
                    _ => size,
                };
                let bytes = self.decompressed((0, length), size, true)?;
                let is_part = length < size;
                Ok(Some(Page { bytes, rows: values, is_part, encoding, levels: None, values: 0 }))
            }
            Some(Header {
                kind: Kind::DataV2 { values, encoding, definition, repetition, compressed },
                size,
                ..
            }) => {
                let apart = definition.checked_add(repetition);
                let apart = apart.ok_or_else(|| damaged("levels longer than their page"))?;
                let bytes = self.decompressed((apart, size), size, compressed)?;
                let levels = Some(repetition..apart);
                Ok(Some(Page { bytes, rows: values, is_part: false, encoding, levels, values: apart }))
            }
            _ => Ok(None),
        }
    }

    /// The first `length` of the `size` bytes of the next page, of which the first `apart` are never compressed.
    fn decompressed(
        &mut self,
        (apart, length): (usize, usize),
        size: usize,
        compressed: bool,
    ) -> Result<Buffer, ParquetError> {
        let stored = self.next.take().map_or(0, |h| h.stored);
        let page = &self.chunk[self.at..self.at + stored];
        self.at += stored;
        if apart > stored || apart > size {
            return Err(damaged("levels longer than their page"));
        }
        let mut out = Buffer::of(length);
        out.0.extend_from_slice(&page[..apart]);
        let codec = if compressed { self.codec } else { Compression::UNCOMPRESSED };
        if length < size {
            zstd_part(page, length, &mut out.0)?;
        } else {
            decompress(codec, &page[apart..], size, &mut out.0)?;
        }
        if out.len() != length {
            return Err(damaged(format!("{} bytes where a page has {size}", out.len())));
        }
        // Nothing of the chunk is wanted any more.
        if self.at == self.chunk.len() && !self.kept {
            self.chunk = Buffer::default();
            self.at = 0;
        }
        Ok(out)
    }
}

/// Bytes of a page that its first rows should need if all have about as many.
fn needed(size: usize, rows: usize, of: usize) -> usize {
    let share = (size as u128 * rows as u128 / of.max(1) as u128) as usize;
    // Levels of all rows stand in front of the values.
    share + of / 4 + size / 32 + 4_096
}

/// Appends the first `length` bytes of a page.
fn zstd_part(from: &[u8], length: usize, out: &mut Vec<u8>) -> Result<(), ParquetError> {
    let mut decoder = match ZSTD_PARTS.take() {
        Some(mut decoder) => {
            decoder.reinit()?;
            decoder
        }
        None => raw::Decoder::new()?,
    };
    out.resize(length, 0);
    let (mut input, mut output) = (raw::InBuffer::around(from), raw::OutBuffer::around(out.as_mut_slice()));
    while output.pos() < length {
        let before = (input.pos(), output.pos());
        decoder.run(&mut input, &mut output)?;
        if before == (input.pos(), output.pos()) {
            return Err(damaged("fewer bytes in a page than its header says"));
        }
    }
    ZSTD_PARTS.set(Some(decoder));
    Ok(())
}

/// Appends the decompressed bytes, until there are `size`.
fn decompress(codec: Compression, from: &[u8], size: usize, out: &mut Vec<u8>) -> Result<(), ParquetError> {
    match codec {
        Compression::UNCOMPRESSED => out.extend_from_slice(from),
        Compression::SNAPPY => {
            let apart = out.len();
            if snap::raw::decompress_len(from).map_err(|e| damaged(e.to_string()))? != size - apart {
                return Err(damaged(format!("a page that does not decompress to {size} bytes")));
            }
            out.resize(size, 0);
            snap::raw::Decoder::new()
                .decompress(from, &mut out[apart..])
                .map_err(|e| damaged(e.to_string()))?;
        }
        Compression::ZSTD(_) if from.is_empty() => {}
        Compression::ZSTD(_) => zstd_page(from, size, out)?,
        other => return Err(damaged(format!("{other} where another codec was expected"))),
    }
    Ok(())
}

fn zstd_page(from: &[u8], size: usize, out: &mut Vec<u8>) -> Result<(), ParquetError> {
    let mut decompressor = match ZSTD.take() {
        Some(decompressor) => decompressor,
        None => zstd::bulk::Decompressor::new()?,
    };
    let apart = out.len();
    let outcome = if apart == 0 {
        out.reserve_exact(size);
        decompressor.decompress_to_buffer(from, out)
    } else {
        out.resize(size, 0);
        decompressor.decompress_to_buffer(from, &mut out[apart..])
    };
    ZSTD.set(Some(decompressor));
    let count = outcome?;
    if apart > 0 {
        out.truncate(apart + count);
    }
    Ok(())
}
