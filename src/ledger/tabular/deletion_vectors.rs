//! Deletion vectors of Delta tables: which rows of a data file count as deleted.
//!
//! ```text
//!  "deletionVector": {"storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^", "offset": 1, …}
//!     u  in ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin below the table's folder
//!     p  in a file with this path                                         file: 1 │ size │ vector │ CRC-32 │ …
//!     i  in the log itself, as Z85                                                       big end first
//!
//!  vector: magic 1681511377 │ number of buckets │ upper half of the rows, their lower halves as Roaring bitmap │ …
//! ```
//!
//! Sizes, checksums, numbers of rows and their order are checked before anything is believed.
//!
//! Limits: files with absolute paths are read where they lie inside the table's folder, as nothing leads out of it.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};

use roaring::RoaringBitmap;
use serde_json::Value;

use super::delta_log::url_decoded;
use crate::error::{Error, Result};
use crate::read::InputFile;

/// What begins every vector.
const MAGIC: u32 = 1_681_511_377;
/// What began those of an earlier layout, in either byte order: buckets without gaps, each behind its length.
const NATIVE: u32 = 1_681_511_376;
/// The version of files that hold vectors.
const FILE_VERSION: u8 = 1;
/// Characters of a UUID as Z85.
const UUID: usize = 20;

/// Where a vector is, as a log describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeletionVector {
    place: VectorPlace,
    size: u64,
    rows: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum VectorPlace {
    Inline(Vec<u8>),
    File { path: PathBuf, offset: u64 },
}

impl DeletionVector {
    /// The vector that a log describes, of a table in this folder.
    ///
    /// # Errors
    /// In words, what does not fit.
    pub(super) fn described(body: &Value, folder: &Path) -> Result<Self, String> {
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let number = |name: &str| body.get(name).and_then(Value::as_u64);
        let (Some(kind), Some(stated)) = (text("storageType"), text("pathOrInlineDv")) else {
            return Err("a deletion vector without storageType or pathOrInlineDv".to_owned());
        };
        let (Some(size), Some(rows)) = (number("sizeInBytes"), number("cardinality")) else {
            return Err("a deletion vector without sizeInBytes or cardinality".to_owned());
        };
        let offset = number("offset").unwrap_or(0);
        let place = match kind {
            "i" => VectorPlace::Inline(inline(stated, size)?),
            "u" => VectorPlace::File { path: folder.join(relative(stated)?), offset },
            "p" => VectorPlace::File { path: absolute(stated, folder)?, offset },
            _ => return Err(format!("a deletion vector of the storage type {kind:?}")),
        };
        Ok(Self { place, size, rows })
    }

    /// The file that holds it, if it is not in the log.
    pub(super) fn file(&self) -> Option<&Path> {
        match &self.place {
            VectorPlace::Inline(_) => None,
            VectorPlace::File { path, .. } => Some(path),
        }
    }

    /// The rows that it deletes, from 0, rising; `file` is the one that holds it, `all` how many rows there are.
    ///
    /// # Errors
    /// The file cannot be read; inside, in words, what is damaged.
    pub(super) fn rows(&self, file: Option<&InputFile>, all: u64) -> Result<Result<Vec<u64>, String>> {
        if self.rows > all {
            return Ok(Err(format!("a deletion vector of {} rows, of a file with {all}", self.rows)));
        }
        let bytes = match (&self.place, file) {
            (VectorPlace::Inline(bytes), _) => Ok(bytes.clone()),
            (VectorPlace::File { offset, .. }, Some(file)) => stored(file, *offset, self.size)?,
            (VectorPlace::File { path, .. }, None) => Err(format!("no file {}", path.display())),
        };
        let rows = bytes.and_then(|bytes| decoded(&bytes, self.rows));
        Ok(rows.and_then(|rows| match rows.last() {
            Some(last) if *last >= all => Err(format!("the row {last}, of a file with {all}")),
            _ => Ok(rows),
        }))
    }
}

/// The bytes of a vector in the log; its text is filled up to whole groups.
fn inline(text: &str, size: u64) -> Result<Vec<u8>, String> {
    let mut bytes = z85(text).ok_or("a deletion vector that is no Z85")?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size > bytes.len() || bytes.len() - size > 3 {
        return Err(format!("a deletion vector of {} bytes instead of {size}", bytes.len()));
    }
    bytes.truncate(size);
    Ok(bytes)
}

/// The path of a vector's file below the table's folder: an optional prefix, and the UUID in its name.
fn relative(text: &str) -> Result<PathBuf, String> {
    let wrong = || format!("a deletion vector at {text:?}");
    let (prefix, uuid) = text.split_at_checked(text.len().saturating_sub(UUID)).ok_or_else(wrong)?;
    let uuid: [u8; 16] = z85(uuid).and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)?;
    let hex: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    let path = Path::new(prefix).join(format!("deletion_vector_{parts}.bin"));
    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    if inside { Ok(path) } else { Err(wrong()) }
}

/// An absolute path, or URI of a local file, that lies inside the table's folder.
fn absolute(text: &str, folder: &Path) -> Result<PathBuf, String> {
    let decoded = url_decoded(text);
    let local = decoded.strip_prefix("file://").or_else(|| decoded.strip_prefix("file:")).unwrap_or(&decoded);
    let path = Path::new(local);
    let inside = match (path.canonicalize(), folder.canonicalize()) {
        (Ok(path), Ok(folder)) => path.starts_with(folder),
        _ => false,
    };
    if inside {
        return Ok(path.to_owned());
    }
    Err(format!("a deletion vector at {text:?}, outside of the table's folder"))
}

/// The bytes of a vector in a file.
fn stored(file: &InputFile, offset: u64, size: u64) -> Result<Result<Vec<u8>, String>> {
    let failed = || Error::io(&file.path, "read");
    let mut handle = file.handle()?;
    let end = offset.checked_add(size).and_then(|end| end.checked_add(8));
    if offset == 0 || end.is_none_or(|end| end > file.size) {
        let found = format!("{} bytes, too few for a deletion vector of {size} at {offset}", file.size);
        return Ok(Err(found));
    }
    let mut version = [0];
    handle.read_exact(&mut version).map_err(failed())?;
    if version[0] != FILE_VERSION {
        return Ok(Err(format!("deletion vectors of version {}", version[0])));
    }
    handle.seek(SeekFrom::Start(offset)).map_err(failed())?;
    let mut bytes = Vec::new();
    handle.take(size + 8).read_to_end(&mut bytes).map_err(failed())?;
    Ok(checked(bytes, size))
}

/// The vector between its size and its checksum.
fn checked(mut bytes: Vec<u8>, size: u64) -> Result<Vec<u8>, String> {
    let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    let end = bytes.len().saturating_sub(4);
    let (Some(stated), Some(sum)) = (word(0), word(end)) else {
        return Err("a deletion vector that is cut off".to_owned());
    };
    if u64::from(stated) != size {
        return Err(format!("a deletion vector of {stated} bytes instead of {size}"));
    }
    bytes.truncate(end);
    bytes.drain(..4);
    let mut crc = flate2::Crc::new();
    crc.update(&bytes);
    match crc.sum() == sum {
        true => Ok(bytes),
        false => Err("a deletion vector that does not have its checksum".to_owned()),
    }
}

/// The rows of a vector.
fn decoded(bytes: &[u8], count: u64) -> Result<Vec<u64>, String> {
    let mut rest = bytes;
    let magic = taken(&mut rest)?;
    let mut rows = Vec::new();
    if u32::from_le_bytes(magic) == MAGIC {
        for _ in 0..u64::from_le_bytes(taken(&mut rest)?) {
            let upper = u32::from_le_bytes(taken(&mut rest)?);
            bucket(&mut rest, upper, count, &mut rows)?;
        }
    } else {
        let number: fn([u8; 4]) -> u32 = match NATIVE {
            native if u32::from_be_bytes(magic) == native => u32::from_be_bytes,
            native if u32::from_le_bytes(magic) == native => u32::from_le_bytes,
            _ => return Err(format!("a deletion vector that begins with {magic:?} instead of {MAGIC}")),
        };
        for upper in 0..number(taken(&mut rest)?) {
            // The length of the bitmap, which says so itself.
            number(taken(&mut rest)?);
            bucket(&mut rest, upper, count, &mut rows)?;
        }
    }
    if !rest.is_empty() || rows.len() as u64 != count || !rows.is_sorted_by(|a, b| a < b) {
        return Err(format!("a deletion vector whose rows are not {count} rising ones"));
    }
    Ok(rows)
}

/// Adds the rows of a bucket, whose upper half is given.
fn bucket(rest: &mut &[u8], upper: u32, count: u64, rows: &mut Vec<u64>) -> Result<(), String> {
    let lower = RoaringBitmap::deserialize_from(&mut *rest)
        .map_err(|error| format!("a deletion vector that is no Roaring bitmap ({error})"))?;
    // A few bytes can stand for billions of rows: they are counted before they are made.
    if lower.len() > count - rows.len() as u64 {
        return Err(format!("a deletion vector of more than {count} rows"));
    }
    rows.extend(lower.iter().map(|row| u64::from(upper) << 32 | u64::from(row)));
    Ok(())
}

fn taken<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    let (first, others) = rest.split_first_chunk().ok_or("a deletion vector that is cut off")?;
    *rest = others;
    Ok(*first)
}

/// The bytes that a text of groups of five characters stands for.
fn z85(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &[u8; 85] =
        b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    let groups = text.as_bytes().chunks_exact(5);
    if !groups.remainder().is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 5 * 4);
    for group in groups {
        let mut number = 0_u64;
        for character in group {
            let digit = DIGITS.iter().position(|digit| digit == character)?;
            number = number * 85 + digit as u64;
        }
        bytes.extend_from_slice(&u32::try_from(number).ok()?.to_be_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::Spool;

    fn vector(rows: &[u64]) -> Vec<u8> {
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        let mut buckets: Vec<(u32, RoaringBitmap)> = Vec::new();
        for &row in rows {
            let upper = (row >> 32) as u32;
            if buckets.last().is_none_or(|(last, _)| *last != upper) {
                buckets.push((upper, RoaringBitmap::new()));
            }
            buckets.last_mut().unwrap().1.insert(row as u32);
        }
        bytes.extend_from_slice(&(buckets.len() as u64).to_le_bytes());
        for (upper, lower) in buckets {
            bytes.extend_from_slice(&upper.to_le_bytes());
            lower.serialize_into(&mut bytes).unwrap();
        }
        bytes
    }

    fn read(descriptor: &str, folder: &Path) -> Result<Vec<u64>, String> {
        let body = serde_json::from_str(descriptor).unwrap();
        let vector = DeletionVector::described(&body, folder)?;
        let file = vector.file().map(|path| InputFile::open(path, &Spool::new(None)).unwrap());
        vector.rows(file.as_ref(), 30).unwrap()
    }

    /// The examples of the protocol's text.
    #[test]
    fn the_examples_of_the_protocol() {
        let inline = r#"{"storageType":"i","pathOrInlineDv":"wi5b=000010000siXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L","sizeInBytes":40,"cardinality":6}"#;
        assert_eq!(read(inline, Path::new("/t")), Ok(vec![3, 4, 7, 11, 18, 29]));
        let portable = r#"{"storageType":"i","pathOrInlineDv":"^Bg9^0rr910000000000iXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L","sizeInBytes":44,"cardinality":6}"#;
        assert_eq!(
            read(portable, Path::new("/t")),
            read(inline, Path::new("/t")),
            "as other readers test it"
        );
        let path = relative("ab^-aqEH.-t@S}K{vb[*k^").unwrap();
        assert_eq!(path, Path::new("ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin"));
    }

    #[test]
    fn rows_above_32_bits_and_runs() {
        // Two buckets; and a run of 10,000 rows, written by its first and last.
        let rows = [1, 70_000, (1 << 32) + 5, (3 << 32) + 1];
        assert_eq!(decoded(&vector(&rows), 4), Ok(rows.to_vec()));
        let mut run = MAGIC.to_le_bytes().to_vec();
        run.extend_from_slice(&1_u64.to_le_bytes());
        run.extend_from_slice(&[0, 0, 0, 0, 0x3b, 0x30, 0, 0, 0x01, 0, 0, 0x0f, 0x27]);
        run.extend_from_slice(&[1, 0, 5, 0, 0x0f, 0x27]);
        assert_eq!(decoded(&run, 10_000), Ok((5..10_005).collect()));
        assert!(decoded(&run, 9_999).is_err(), "counted before they are made");
    }

    #[test]
    fn files_and_what_is_damaged_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let own = vector(&[2, 9]);
        let mut file = vec![FILE_VERSION];
        for bytes in [&vector(&[0]), &own] {
            let mut crc = flate2::Crc::new();
            crc.update(bytes);
            file.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
            file.extend_from_slice(bytes);
            file.extend_from_slice(&crc.sum().to_be_bytes());
        }
        let offset = file.len() - own.len() - 8;
        let path = folder.path().join("v.bin");
        let descriptor = |offset: usize, size: usize, rows: usize| {
            let path = path.display();
            format!(
                r#"{{"storageType":"p","pathOrInlineDv":"file://{path}","offset":{offset},"sizeInBytes":{size},"cardinality":{rows}}}"#
            )
        };
        std::fs::write(&path, &file).unwrap();
        let read = |offset, size, rows| read(&descriptor(offset, size, rows), folder.path());
        assert_eq!(read(offset, own.len(), 2), Ok(vec![2, 9]));
        for (offset, size, rows) in [
            (offset, own.len(), 3),
            (offset, own.len() - 1, 2),
            (1, own.len(), 2),
            (0, own.len(), 2),
            (offset, 1 << 40, 2),
        ] {
            assert!(read(offset, size, rows).is_err(), "{offset} {size} {rows}");
        }
        let place = offset + 8;
        file[place] ^= 1;
        std::fs::write(&path, &file).unwrap();
        assert!(read(offset, own.len(), 2).is_err_and(|found| found.contains("checksum")));
        assert!(absolute(&path.display().to_string(), &folder.path().join("table")).is_err());
    }

    #[test]
    fn damaged_vectors_are_told_not_read() {
        let sound = vector(&[3, 4, 70_000]);
        for end in 0..sound.len() {
            assert!(decoded(&sound[..end], 3).is_err(), "cut at {end}");
        }
        let longer = [sound.as_slice(), &[0]].concat();
        assert!(decoded(&longer, 3).is_err());
        assert!(relative("../0123456789abcdefghij").is_err() && relative("short").is_err());
        assert!(z85("0123").is_none() && z85("#####").is_none() && z85("ab\"de").is_none());
    }
}
