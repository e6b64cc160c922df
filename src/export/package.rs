//! An output that is complete or not there at all: written beside its place, then renamed.
//!
//! A run that is killed can clean up nothing, so the next one to the same place
//! does: folders under way are locked as long as their run lives, and those
//! without a lock are litter. Where folders cannot be locked, litter stays.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// An output under way. Dropped without [`Staged::publish`], it leaves nothing behind.
#[derive(Debug)]
pub struct Staged {
    place: PathBuf,
    staging: PathBuf,
    published: bool,
    /// Locked while the run lives.
    _lock: Option<File>,
}

/// What tells an output; other programs write files of that name too.
const MANIFEST: &str = "manifest.json";
const PARTIAL: &str = ".partial";
const REPLACED: &str = ".replaced";

impl Staged {
    /// Prepares a folder.
    ///
    /// # Errors
    /// The place is taken and `replace` is not given, or its parent cannot be written.
    pub fn folder(place: &Path, replace: bool) -> Result<Self> {
        check_free(place, replace)?;
        Self::beside(place)
    }

    /// Prepares files that are written together, all into the folder of the first.
    ///
    /// # Errors
    /// A place is taken and `replace` is not given, or the folder cannot be written.
    pub fn files(places: &[PathBuf], replace: bool) -> Result<Self> {
        places.iter().try_for_each(|place| check_free(place, replace))?;
        Self::beside(&places[0])
    }

    fn beside(place: &Path) -> Result<Self> {
        let parent = match place.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        fs::create_dir_all(&parent).map_err(Error::io(&parent, "write"))?;
        remove_litter(&parent, place);
        // It gets its name when it is locked, as without a lock it would be litter.
        let fresh = tempfile::Builder::new()
            .prefix(&prefix(place))
            .suffix(".new")
            .tempdir_in(&parent)
            .map_err(Error::io(&parent, "write"))?;
        let lock = locked(fresh.path());
        let staging = fresh.path().with_extension(&PARTIAL[1..]);
        fs::rename(fresh.path(), &staging).map_err(Error::io(&parent, "write"))?;
        let _ = fresh.keep();
        Ok(Self { place: place.to_owned(), staging, published: false, _lock: lock })
    }

    /// The folder to write in until the output is published.
    pub fn path(&self) -> &Path {
        &self.staging
    }

    /// Puts the folder in its place.
    ///
    /// # Errors
    /// It cannot be renamed, or what stood there cannot be removed.
    pub fn publish(mut self) -> Result<()> {
        // What stood there goes out of the way whole, so that no moment sees half of it.
        let aside = self.staging.with_extension(&REPLACED[1..]);
        let replaced = self.place.exists();
        if replaced {
            fs::rename(&self.place, &aside).map_err(Error::io(&self.place, "replace"))?;
        }
        if let Err(error) = fs::rename(&self.staging, &self.place) {
            if replaced {
                fs::rename(&aside, &self.place).map_err(Error::io(&self.place, "replace"))?;
            }
            return Err(Error::io(&self.place, "write")(error));
        }
        self.published = true;
        if replaced {
            remove(&aside)?;
        }
        // A finished folder takes the permissions that a plain one would have.
        open_up(&self.place)
    }

    /// Puts one file of the folder in its place and drops the rest.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn publish_file(self, name: &str) -> Result<()> {
        let place = self.place.clone();
        self.publish_files(&[(PathBuf::from(name), place)])
    }

    /// Puts files of the folder, by their names in it, in their places and drops the rest.
    ///
    /// # Errors
    /// One cannot be put there; then what stood in the places stands there again.
    pub fn publish_files(self, files: &[(PathBuf, PathBuf)]) -> Result<()> {
        let Some(((name, place), earlier)) = files.split_last() else { return Ok(()) };
        if let Some((_, folder)) = files.iter().find(|(_, place)| place.is_dir()) {
            return Err(Error::OutputExists { path: folder.clone() });
        }
        let kept = |number: usize| self.staging.join(format!("{number}{REPLACED}"));
        let mut put = 0;
        let mut all = || {
            for (number, (name, place)) in earlier.iter().enumerate() {
                keep(place, &kept(number))?;
                rename(&self.staging.join(name), place)?;
                put = number + 1;
            }
            // Nothing can go wrong behind the last one, so what stood there need not be kept.
            rename(&self.staging.join(name), place)
        };
        let Err(error) = all() else { return Ok(()) };
        (0..put).rev().try_for_each(|number| take_back(&earlier[number].1, &kept(number)))?;
        Err(error)
    }
}

/// Replaces in one step, so that no moment is without the file, and none has half of it.
fn rename(file: &Path, place: &Path) -> Result<()> {
    fs::rename(file, place).map_err(Error::io(place, "write"))
}

/// Keeps what stands in a place, without taking it away from there.
fn keep(place: &Path, aside: &Path) -> Result<()> {
    if !place.exists() || fs::hard_link(place, aside).is_ok() {
        return Ok(());
    }
    fs::copy(place, aside).map(drop).map_err(Error::io(place, "replace"))
}

/// Takes a file out of its place, for what stood there before.
fn take_back(place: &Path, aside: &Path) -> Result<()> {
    if aside.exists() {
        return fs::rename(aside, place).map_err(Error::io(place, "replace"));
    }
    fs::remove_file(place).map_err(Error::io(place, "remove"))
}

/// A place may be taken only where an earlier output shall be replaced.
fn check_free(place: &Path, replace: bool) -> Result<()> {
    if !replace && place.exists() {
        return Err(Error::OutputExists { path: place.to_owned() });
    }
    if replace { check_replaceable(place) } else { Ok(()) }
}

/// Staging folders are private; the finished one is as readable as any other.
#[cfg(unix)]
fn open_up(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(Error::io(folder, "write"))
}

#[cfg(not(unix))]
fn open_up(_folder: &Path) -> Result<()> {
    Ok(())
}

/// How names of folders under way to a place begin.
fn prefix(place: &Path) -> String {
    let name = place.file_name().map_or_else(|| "asof".into(), |n| n.to_string_lossy().into_owned());
    format!(".{name}.")
}

/// Only an earlier output may be removed: a folder that holds anything else was named by mistake.
fn check_replaceable(place: &Path) -> Result<()> {
    let refuse = |found: &str| {
        Err(Error::Malformed {
            path: place.to_owned(),
            at: crate::error::At::default(),
            expected: "an earlier output, which --replace may remove".to_owned(),
            found: found.to_owned(),
            hint: Some("name another --out, or remove it yourself".to_owned()),
        })
    };
    if !place.exists() || place.is_file() {
        return Ok(());
    }
    if !place.is_dir() {
        return refuse("neither a file nor a folder");
    }
    if place.join(MANIFEST).exists() {
        return foreign(place)?.map_or(Ok(()), |found| refuse(&found));
    }
    for entry in entries(place)? {
        let folder = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if !folder.join(MANIFEST).exists() {
            return refuse(&format!("{name}, which is no package: it has no {MANIFEST}"));
        }
        if let Some(found) = foreign(&folder)? {
            return refuse(&format!("{name}: {found}"));
        }
    }
    Ok(())
}

/// What makes a folder more or other than an earlier output. Others call a file `manifest.json` too,
/// and people lay files beside outputs.
fn foreign(folder: &Path) -> Result<Option<String>> {
    let path = folder.join(MANIFEST);
    let bytes = fs::read(&path).map_err(Error::io(&path, "read"))?;
    let manifest: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let (Some(_), Some(outputs)) = (manifest["asof"].as_str(), manifest["outputs"].as_object()) else {
        return Ok(Some(format!("a {MANIFEST} that no run of this program wrote")));
    };
    for entry in entries(folder)? {
        let name = entry.file_name().to_string_lossy().into_owned();
        let beside = name.starts_with(MANIFEST) && name.ends_with(".minisig");
        let own = name == MANIFEST || name == "manifest.sha256" || beside || outputs.contains_key(&name);
        if !own || entry.path().is_dir() {
            return Ok(Some(format!("{name}, which that output did not write")));
        }
    }
    Ok(None)
}

fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>> {
    let all = fs::read_dir(folder).map_err(Error::io(folder, "read"))?;
    let mut all = all.collect::<Result<Vec<_>, _>>().map_err(Error::io(folder, "read"))?;
    all.sort_by_key(fs::DirEntry::file_name);
    Ok(all)
}

/// Removes what killed runs to this place left beside it. What cannot be removed harms nobody.
fn remove_litter(parent: &Path, place: &Path) {
    let prefix = prefix(place);
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(rest) = name.strip_prefix(&prefix) else { continue };
        // Six letters or digits stand between, so that places whose names begin alike keep theirs.
        let of_run = |end| {
            rest.strip_suffix(end).is_some_and(|id| id.len() == 6 && id.chars().all(char::is_alphanumeric))
        };
        // What was to be replaced is all there is until its successor is in place.
        let litter = of_run(PARTIAL) || of_run(REPLACED) && place.exists();
        if litter && locked(&entry.path()).is_some() {
            let _ = remove(&entry.path());
        }
    }
}

/// A lock on a folder that no other process holds; the system gives it up when the process ends.
#[cfg(unix)]
fn locked(folder: &Path) -> Option<File> {
    use rustix::fs::{FlockOperation, flock};
    let handle = File::open(folder).ok()?;
    flock(&handle, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(handle)
}

#[cfg(not(unix))]
fn locked(_folder: &Path) -> Option<File> {
    None
}

fn remove(path: &Path) -> Result<()> {
    if path.is_dir() {
        fs::remove_dir_all(path).map_err(Error::io(path, "replace"))
    } else if path.exists() {
        fs::remove_file(path).map_err(Error::io(path, "replace"))
    } else {
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published {
            // Nothing can be done about a folder that cannot be removed on the way out.
            let _ = fs::remove_dir_all(&self.staging);
        }
    }
}

/// What identifies a file's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDigest {
    /// SHA-256 as lower-case hex.
    pub sha256: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// A file under way that takes its digest of what is written to it, so that nobody has to read it again.
#[derive(Debug)]
pub(crate) struct DigestWriter {
    file: File,
    /// `None`: nobody asks for it.
    hasher: Option<Sha256>,
    bytes: u64,
}

impl DigestWriter {
    pub(crate) fn new(file: File, is_asked_for: bool) -> Self {
        Self { file, hasher: is_asked_for.then(Sha256::new), bytes: 0 }
    }

    pub(crate) fn finish(self) -> Option<FileDigest> {
        let hasher = self.hasher?;
        Some(FileDigest { sha256: hex(hasher), bytes: self.bytes })
    }
}

impl Write for DigestWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes[..count]);
        }
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn hex(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// The SHA-256 of a file as lower-case hex, and its size in bytes.
///
/// # Errors
/// The file cannot be read.
pub fn digest(path: &Path) -> Result<(String, u64)> {
    let mut file = File::open(path).map_err(Error::io(path, "open"))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer).map_err(Error::io(path, "read"))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
    Ok((hex(hasher), size))
}
