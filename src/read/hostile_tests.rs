//! Every reader against damaged files: an answer or an error, never a panic that
//! escapes, and memory bounded by the size of the file.

use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
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
