//! Every reader against damaged files: an answer or an error, never a panic that
//! escapes, and memory bounded by the size of the file.

use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::file::page_index::index_reader::decode_offset_index;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::IpcWriteOptions;

use super::table::tests::{batch, ipc, parquet};
use super::*;
use crate::error::Error;

/// Numbers that look random and are the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let csv = "id,name,amount,day\n1,\"a \"\"b\"\"\",1.50,2024-01-31\n2,é,2.25,2024-02-29\n".repeat(20);
    let json = "{\"id\": 1, \"name\": \"a\\u00e9\", \"deep\": {\"x\": [1, 2.50, null]}}\n".repeat(20);
    let batches = [batch(0, 100), batch(100, 30)];
    let parquet_of = |p: ::parquet::file::properties::WriterPropertiesBuilder| {
        parquet(&batches, p.set_data_page_row_count_limit(20).set_write_batch_size(10).build())
    };
    let plain = WriterProperties::builder().set_dictionary_enabled(false);
    let zstd = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_compression(Compression::ZSTD(ZstdLevel::default()));
    let snappy = WriterProperties::builder()
        .set_statistics_enabled(EnabledStatistics::None)
        .set_compression(Compression::SNAPPY);
    let lz4 = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME)).unwrap();
    let zst = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD)).unwrap();
    vec![
        ("t.csv.gz", gzip(csv.as_bytes())),
        ("t.csv.zst", zstd::encode_all(csv.as_bytes(), 1).unwrap()),
        ("t.csv", csv.into_bytes()),
        ("t.ndjson", json.clone().into_bytes()),
        ("t.json", format!("[{}]", json.trim_end().replace('\n', ",\n")).into_bytes()),
        ("plain.parquet", parquet_of(plain)),
        ("zstd.parquet", parquet_of(zstd)),
        ("snappy.parquet", parquet_of(snappy)),
        ("file.arrow", ipc(&batches, IpcWriteOptions::default(), true)),
        ("lz4.arrow", ipc(&batches, lz4, true)),
        ("stream.arrow", ipc(&batches, zst, false)),
    ]
}

fn damaged(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(3) {
        // Footers and headers decide most, so the ends are hit more often.
        let at = match random.below(3) {
            0 => bytes.len() - 1 - random.below(bytes.len().min(600)),
            1 => random.below(bytes.len().min(300)),
            _ => random.below(bytes.len()),
        };
        let end = (at + 1 + random.below(8)).min(bytes.len());
        match random.below(8) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes[at..end].fill(0xFF),
            3 => bytes[at..end].fill(0),
            4 => bytes.truncate(at.max(1)),
            5 => drop(bytes.splice(at..at, vec![random.next() as u8; 1 + random.below(20)])),
            6 => drop(bytes.drain(at..end)),
            _ => bytes[at] = bytes[at].wrapping_add(1),
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
    bytes
}

/// Opens a table and reads every column of every group, as whole and by some rows.
fn read_all(path: &std::path::Path) -> Result<usize, Error> {
    let table = Table::open(&TableSource::at(path), &Spool::new(None))?;
    let columns: Vec<usize> = (0..table.schema().fields().len()).collect();
    let mut rows = 0;
    for group in 0..table.groups() {
        rows += table.read(group, &columns, None)?.num_rows();
        let some: Vec<u32> = (0..table.rows(group) as u32).filter(|r| r % 7 == 3).collect();
        table.read(group, &columns, Some(&some))?;
        table.read_as(group, &columns, None, Packing::Packed)?;
        if let Some(chunks) = table.parquet(group) {
            let leaves = chunks.metadata.file_metadata().schema_descr().num_columns();
            (0..leaves).try_for_each(|leaf| chunks.walk_pages(leaf))?;
        }
    }
    Ok(rows)
}

fn rounds() -> u64 {
    std::env::var("ASOF_HOSTILE_ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(150)
}

#[test]
fn damaged_tables_are_read_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in seeds() {
        let path = dir.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        assert!(read_all(&path).unwrap() > 0, "{name} itself is sound");
        for round in 1..=rounds() {
            let mut random = Random(round.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            std::fs::write(&path, damaged(&bytes, &mut random)).unwrap();
            if let Err(error) = read_all(&path) {
                assert!(error.to_string().contains(name), "{name}, round {round}: {error}");
            }
        }
    }
}

#[test]
fn files_cut_anywhere_are_read_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in seeds() {
        let path = dir.path().join(name);
        for part in 0..20 {
            std::fs::write(&path, &bytes[..bytes.len() * part / 20]).unwrap();
            let outcome = read_all(&path);
            let is_text = name.ends_with("csv") || name.ends_with("json") || name.starts_with("stream");
            assert!(outcome.is_err() || is_text, "{name}, {part}/20: a half is no whole");
            if let Err(error) = outcome {
                assert!(error.hint().is_some(), "{name}, {part}/20: {error}");
            }
        }
    }
}

#[test]
fn damaged_json_is_cut_into_records_all_the_same() {
    for (name, bytes) in seeds().into_iter().filter(|(name, _)| name.ends_with("json")) {
        for round in 1..=rounds() {
            let mut random = Random(round.wrapping_mul(0xD134_2543_DE82_EF95));
            let bytes = damaged(&bytes, &mut random);
            let reader = Box::new(std::io::Cursor::new(bytes.clone()));
            let Ok(chunks) = JsonChunks::new(reader, name.as_ref()) else { continue };
            let (mut number, mut line) = (0, 1);
            for chunk in chunks.with_chunk_size(1 + random.below(200)) {
                let Ok(chunk) = chunk else { break };
                for record in &chunk.records {
                    number += 1;
                    assert_eq!(record.number, number);
                    assert!(
                        record.start <= record.end && record.end <= chunk.text.len() && record.line >= line
                    );
                    line = record.line;
                }
            }
        }
    }
}

/// Where the parts of a Parquet file lie that say how to read the rest.
struct Parts {
    footer: std::ops::Range<usize>,
    /// The first bytes of every page: its header, and where levels and dictionaries begin.
    pages: Vec<std::ops::Range<usize>>,
}

fn parts(path: &std::path::Path) -> Parts {
    let bytes = std::fs::read(path).unwrap();
    let end = bytes.len() - 8;
    let length = u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap()) as usize;
    let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut starts: Vec<usize> = Vec::new();
    for chunk in reader.metadata().row_groups().iter().flat_map(|group| group.columns()) {
        starts.extend(chunk.dictionary_page_offset().map(|at| at as usize));
        starts.push(chunk.data_page_offset() as usize);
        let index = chunk.offset_index_range().unwrap();
        let index = decode_offset_index(&bytes[index.start as usize..index.end as usize]).unwrap();
        starts.extend(index.page_locations().iter().map(|page| page.offset as usize));
    }
    starts.sort_unstable();
    starts.dedup();
    let pages = starts.into_iter().map(|at| at..(at + 40).min(end - length)).collect();
    Parts { footer: end - length..end, pages }
}

/// Changes bytes of a range; a footer that grows or shrinks keeps a length that fits.
fn damaged_at(bytes: &[u8], range: &std::ops::Range<usize>, footer: bool, random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let before = bytes.len();
    for _ in 0..=random.below(3) {
        let at = range.start + random.below(range.len() - 8);
        match random.below(if footer { 7 } else { 5 }) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            // The largest numbers that a varint can hold.
            2 => bytes[at..at + 4].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0x7F]),
            3 => bytes[at] = bytes[at].wrapping_add(2),
            4 => bytes[at..at + 2].fill(0),
            5 => drop(bytes.splice(at..at, vec![random.next() as u8; 1 + random.below(4)])),
            _ => drop(bytes.drain(at..at + 1 + random.below(3))),
        }
    }
    let end = bytes.len() - 8;
    if footer && bytes.len() != before {
        let length = u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap());
        let length = length.wrapping_add((bytes.len() as u32).wrapping_sub(before as u32));
        bytes[end..end + 4].copy_from_slice(&length.to_le_bytes());
    }
    bytes
}

#[test]
fn damaged_footers_and_page_headers_are_read_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in seeds().into_iter().filter(|(name, _)| name.ends_with("parquet")) {
        let path = dir.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        let parts = parts(&path);
        assert!(parts.footer.len() > 200 && parts.pages.len() > 20, "{name} has what is to be damaged");
        let mut refused = [0, 0];
        for round in 1..=rounds() {
            let mut random = Random(round.wrapping_mul(0xA076_1D64_78BD_642F));
            let footer = round % 2 == 0;
            let range = if footer { &parts.footer } else { &parts.pages[random.below(parts.pages.len())] };
            std::fs::write(&path, damaged_at(&bytes, range, footer, &mut random)).unwrap();
            if let Err(error) = read_all(&path) {
                assert!(error.to_string().contains(name), "{name}, round {round}: {error}");
                refused[usize::from(footer)] += 1;
            }
        }
        // Damage that nobody notices would mean that it does not reach what is read.
        assert!(refused.iter().all(|&count| count * 5 > rounds() / 2), "{name}: {refused:?} refused");
    }
}

/// The lengths in front of messages and the messages themselves, and the footer of a file.
fn message_starts(bytes: &[u8]) -> Vec<usize> {
    let marks = (0..bytes.len() - 8).step_by(8);
    marks.filter(|&at| bytes[at..at + 4] == [0xFF; 4]).map(|at| at + 4).collect()
}

#[test]
fn damaged_messages_are_read_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in seeds().into_iter().filter(|(name, _)| name.ends_with("arrow")) {
        let path = dir.path().join(name);
        let starts = message_starts(&bytes);
        assert!(starts.len() >= 3, "{name}: a schema and two batches");
        let mut refused = 0;
        for round in 1..=rounds() {
            let mut random = Random(round.wrapping_mul(0xE703_7ED1_A0B4_28DB));
            let start = starts[random.below(starts.len())];
            let range = start..(start + 200).min(bytes.len());
            std::fs::write(&path, damaged_at(&bytes, &range, false, &mut random)).unwrap();
            if let Err(error) = read_all(&path) {
                assert!(error.to_string().contains(name), "{name}, round {round}: {error}");
                refused += 1;
            }
        }
        assert!(refused * 10 > rounds(), "{name}: {refused} refused");
    }
}
