//! An output that is complete or not there at all: written beside its place, then renamed.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// An output under way. Dropped without [`Staged::publish`], it leaves nothing behind.
#[derive(Debug)]
pub struct Staged {
    place: PathBuf,
    staging: PathBuf,
    published: bool,
}

impl Staged {
    /// Prepares a folder (or, with `file`, the folder that a file is written in).
    ///
    /// # Errors
    /// The place is taken and `replace` is not given, or its parent cannot be written.
    pub fn folder(place: &Path, replace: bool) -> Result<Self> {
        if place.exists() && !replace {
            return Err(Error::OutputExists { path: place.to_owned() });
        }
        let parent = match place.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        fs::create_dir_all(&parent).map_err(Error::io(&parent, "write"))?;
        let name = place.file_name().map_or_else(|| "asof".into(), |n| n.to_string_lossy().into_owned());
        let staging = tempfile::Builder::new()
            .prefix(&format!(".{name}."))
            .suffix(".partial")
            .tempdir_in(&parent)
            .map_err(Error::io(&parent, "write"))?;
        Ok(Self { place: place.to_owned(), staging: staging.keep(), published: false })
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
        // A finished folder takes the permissions that a plain one would have.
        remove(&self.place)?;
        fs::rename(&self.staging, &self.place).map_err(Error::io(&self.place, "write"))?;
        self.published = true;
        open_up(&self.place)
    }

    /// Puts one file of the folder in its place and drops the rest.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn publish_file(self, name: &str) -> Result<()> {
        let from = self.staging.join(name);
        if self.place.is_dir() {
            return Err(Error::OutputExists { path: self.place.clone() });
        }
        fs::rename(from, &self.place).map_err(Error::io(&self.place, "write"))
    }
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
    Ok((hasher.finalize().iter().map(|b| format!("{b:02x}")).collect(), size))
}
