//! [`InputFile`]: one file as it was when first opened, its digest, and its
//! bytes behind gzip or Zstandard.
//!
//! Nothing says that a file stays the same between two reads. So size, time and
//! identity are taken once, compared on every later opening and at the end of a
//! run, and the digest is computed over the bytes that a handle so checked gives.
//! Pipes are copied to a temporary file first, as everything is read twice.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::{Batches, Spool};
use crate::error::{At, Error, Result};

/// A file that a run reads.
#[derive(Debug, Clone)]
pub struct InputFile {
    /// The path, as the user's pattern leads to it.
    pub path: PathBuf,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change, if the file system knows it.
    pub modified: Option<SystemTime>,
    sha256: Arc<OnceLock<String>>,
    /// Held while the digest is taken, so that nobody takes it a second time beside.
    digesting: Arc<Mutex<()>>,
    /// The bytes of a pipe, which can be read only once.
    copy: Option<Arc<NamedTempFile>>,
    /// The table in memory that stands in a file's place.
    batches: Option<Batches>,
}

impl InputFile {
    /// Takes note of a file; a pipe is copied into the spool's folder.
    ///
    /// # Errors
    /// It is not there, no file, or cannot be read.
    pub fn open(path: &Path, spool: &Spool) -> Result<Self> {
        let file = File::open(path).map_err(not_there(path))?;
        let metadata = file.metadata().map_err(Error::io(path, "open"))?;
        if metadata.is_dir() {
            return Err(Error::Unsupported {
                path: path.to_owned(),
                feature: "a folder in this place".to_owned(),
                hint: Some("name the files, with a wildcard if there are several".to_owned()),
            });
        }
        let copy = if metadata.is_file() { None } else { Some(Arc::new(copied(file, path, spool)?)) };
        let metadata = match &copy {
            Some(copy) => copy.as_file().metadata().map_err(Error::io(copy.path(), "read"))?,
            None => metadata,
        };
        Ok(Self {
            path: path.to_owned(),
            size: metadata.len(),
            modified: metadata.modified().ok(),
            sha256: Arc::default(),
            digesting: Arc::default(),
            copy,
            batches: None,
        })
    }

    /// A table in memory in a file's place: it has a name, a size and a digest, but no handle.
    pub fn in_memory(name: &Path, batches: &Batches) -> Self {
        Self {
            path: name.to_owned(),
            size: batches.size(),
            modified: None,
            sha256: Arc::default(),
            digesting: Arc::default(),
            copy: None,
            batches: Some(batches.clone()),
        }
    }

    /// A fresh handle on the same bytes.
    ///
    /// # Errors
    /// The file is gone or is not the same any more.
    pub fn handle(&self) -> Result<File> {
        if self.batches.is_some() {
            let feature = "a table in memory where a file is needed".to_owned();
            return Err(Error::Unsupported { path: self.path.clone(), feature, hint: None });
        }
        let path = self.copy.as_ref().map_or(self.path.as_path(), |c| c.path());
        let file = File::open(path).map_err(Error::io(&self.path, "open"))?;
        self.check(&file.metadata().map_err(Error::io(&self.path, "open"))?)?;
        Ok(file)
    }

    /// The file's content, decompressed if its first bytes are those of gzip or Zstandard.
    ///
    /// # Errors
    /// The file cannot be opened, has changed, or is compressed in another way.
    pub fn content(&self) -> Result<Box<dyn Read + Send>> {
        decompressed(self.handle()?, &self.path)
    }

    /// Whether the file is text as it stands: not compressed, UTF-8, without byte order mark.
    ///
    /// # Errors
    /// The file cannot be opened or read, or has changed.
    pub(crate) fn is_plain_text(&self) -> Result<bool> {
        let mut head = Vec::with_capacity(4);
        let read = self.handle()?.take(4).read_to_end(&mut head);
        read.map_err(Error::io(&self.path, "read"))?;
        Ok(!is_gzip(&head) && !is_zstd(&head) && super::text::is_plain(&head))
    }

    /// SHA-256 of the raw bytes, in hexadecimal; of a table in memory, of its Arrow IPC
    /// stream. Reads the file on first use.
    ///
    /// # Errors
    /// The file cannot be read or has changed.
    pub fn digest(&self) -> Result<&str> {
        let never = AtomicBool::new(false);
        loop {
            if let Some(digest) = self.digest_unless(&never)? {
                return Ok(digest);
            }
        }
    }

    /// As [`Self::digest`], as long as nobody says that it is over; `None`: it was.
    ///
    /// # Errors
    /// As those.
    pub(super) fn digest_unless(&self, is_over: &AtomicBool) -> Result<Option<&str>> {
        // Nothing is guarded but the work itself, so a panic elsewhere spoils nothing.
        let _working = self.digesting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digest) = self.sha256.get() {
            return Ok(Some(digest));
        }
        if let Some(batches) = &self.batches {
            let digest = batches.digest().map_err(Error::arrow(&self.path))?;
            return Ok(Some(self.sha256.get_or_init(|| digest)));
        }
        let mut file = self.handle()?;
        let mut hasher = Sha256::new();
        // Small enough to be in the cache when it is hashed.
        let mut block = vec![0; 1 << 17];
        loop {
            if is_over.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let n = file.read(&mut block).map_err(Error::io(&self.path, "read"))?;
            if n == 0 {
                break;
            }
            hasher.update(&block[..n]);
        }
        self.check(&file.metadata().map_err(Error::io(&self.path, "read"))?)?;
        let digest = hasher.finalize().iter().map(|b| format!("{b:02x}")).collect();
        Ok(Some(self.sha256.get_or_init(|| digest)))
    }

    /// Whether the digest was taken.
    #[cfg(test)]
    pub(super) fn has_digest(&self) -> bool {
        self.sha256.get().is_some()
    }

    /// Checks at the end of a run that the file is what it was at its beginning.
    ///
    /// # Errors
    /// [`Error::InputChanged`] if size or time differ.
    pub fn check_unchanged(&self) -> Result<()> {
        if self.copy.is_some() || self.batches.is_some() {
            return Ok(());
        }
        self.check(&std::fs::metadata(&self.path).map_err(Error::io(&self.path, "read"))?)
    }

    fn check(&self, metadata: &Metadata) -> Result<()> {
        let changed = |what| Err(Error::InputChanged { path: self.path.clone(), what });
        if metadata.len() != self.size {
            return changed("size");
        }
        if metadata.modified().ok() != self.modified {
            return changed("time");
        }
        Ok(())
    }
}

/// The error for a file that cannot be opened: none there is one of its own.
fn not_there(path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::NotFound => Error::NoInput { path },
        _ => Error::Io { path, action: "open", source },
    }
}

fn copied(mut pipe: File, path: &Path, spool: &Spool) -> Result<NamedTempFile> {
    let mut copy = spool.named_file()?;
    io::copy(&mut pipe, copy.as_file_mut()).map_err(Error::io(path, "copy"))?;
    Ok(copy)
}

/// The content of a file, decompressed if its first bytes are those of gzip
/// (any number of members) or Zstandard.
///
/// # Errors
/// The file cannot be opened or is compressed in another way.
pub fn open_bytes(path: &Path) -> Result<Box<dyn Read + Send>> {
    decompressed(File::open(path).map_err(not_there(path))?, path)
}

fn decompressed(file: File, path: &Path) -> Result<Box<dyn Read + Send>> {
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let start = reader.fill_buf().map_err(Error::io(path, "read"))?;
    if is_gzip(start) {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(reader)));
    }
    if is_zstd(start) {
        let decoder = zstd::stream::read::Decoder::with_buffer(reader).map_err(Error::io(path, "read"))?;
        return Ok(Box::new(decoder));
    }
    match foreign(start) {
        Some(feature) => Err(Error::Unsupported {
            path: path.to_owned(),
            feature: feature.to_owned(),
            hint: Some(
                "unpack or convert it first; plain, gzip and zstd files are read as they are".to_owned(),
            ),
        }),
        None => Ok(Box::new(reader)),
    }
}

fn is_gzip(start: &[u8]) -> bool {
    start.starts_with(&[0x1F, 0x8B])
}

fn is_zstd(start: &[u8]) -> bool {
    // A Zstandard stream may begin with a skippable frame.
    let skippable = start.len() >= 4 && start[0] & 0xF0 == 0x50 && start[1..4] == [0x2A, 0x4D, 0x18];
    start.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]) || skippable
}

/// Formats that are recognised only to say that they are not read.
fn foreign(start: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 10] = [
        (b"BZh", "bzip2 compression"),
        (&[0xFD, b'7', b'z', b'X', b'Z', 0], "xz compression"),
        (&[0x04, 0x22, 0x4D, 0x18], "lz4 compression of a whole file"),
        (&[b'7', b'z', 0xBC, 0xAF], "a 7z archive"),
        (b"PK\x03\x04", "a zip archive or workbook"),
        (&[0xD0, 0xCF, 0x11, 0xE0], "an old Office document"),
        (b"Obj\x01", "Avro"),
        (b"ORC", "ORC"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"%PDF", "PDF"),
    ];
    KNOWN.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, name)| *name)
}

/// What it means for the user that reading failed at this place.
pub(crate) fn read_error(path: &Path, at: At, error: io::Error) -> Error {
    let expected = match error.kind() {
        io::ErrorKind::UnexpectedEof => "more data",
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => "readable content",
        _ => return Error::io(path, "read")(error),
    };
    // The operating system's own errors also come as `Other`.
    if error.raw_os_error().is_some() {
        return Error::io(path, "read")(error);
    }
    Error::Malformed {
        path: path.to_owned(),
        at,
        expected: expected.to_owned(),
        found: error.to_string(),
        hint: Some("the file is cut off or damaged; fetch it again".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn content(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let mut content = Vec::new();
        open_bytes(file.path()).map_err(io::Error::other)?.read_to_end(&mut content)?;
        Ok(content)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn compression_is_known_by_its_first_bytes() {
        let members = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(content(&members).unwrap(), b"one two");
        assert_eq!(content(&zstd::encode_all(&b"three"[..], 1).unwrap()).unwrap(), b"three");
        assert_eq!(content(b"plain").unwrap(), b"plain");
        assert_eq!(content(b"").unwrap(), b"");
        assert!(content(b"PK\x03\x04...").unwrap_err().to_string().contains("zip archive"));
    }

    #[test]
    fn a_cut_or_damaged_file_is_an_error() {
        let whole = gzip(&b"0123456789".repeat(1000));
        assert!(content(&whole[..whole.len() / 2]).is_err());
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(content(&damaged).is_err(), "length does not match");
        let whole = zstd::encode_all(&b"0123456789".repeat(1000)[..], 1).unwrap();
        assert!(content(&whole[..whole.len() / 2]).is_err());
    }

    #[test]
    fn a_changed_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        std::fs::write(&path, "abc").unwrap();
        let input = InputFile::open(&path, &Spool::new(None)).unwrap();
        assert_eq!(
            input.digest().unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        input.check_unchanged().unwrap();
        std::fs::write(&path, "abcd").unwrap();
        assert!(matches!(input.check_unchanged(), Err(Error::InputChanged { what: "size", .. })));
        assert!(input.content().is_err());
    }
}
