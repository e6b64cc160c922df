//! Files of a package: none changed, none missing, none added.

use std::path::Path;

use super::manifest::Manifest;
use super::{Faults, MANIFEST, MANIFEST_DIGEST, entries, signature};
use crate::error::Result;
use crate::export::package::digest;

/// Compares every file with the manifest. Returns how many agree.
pub(super) fn check(manifest: &Manifest, faults: &mut Faults) -> Result<u64> {
    let mut agreeing = 0;
    let outputs = manifest.outputs();
    if outputs.is_empty() {
        faults.say(MANIFEST, "it states no files");
    }
    for &(name, bytes, sha256) in &outputs {
        if !is_plain(name) {
            faults.say(MANIFEST, format!("{name:?} is no name of a file in the package"));
            continue;
        }
        let path = manifest.folder.join(name);
        if !path.is_file() {
            faults.say(name, "missing: the manifest states it");
            continue;
        }
        match faults.take(name, digest(&path)) {
            Some((found, size)) if found == sha256 && Some(size) == bytes => agreeing += 1,
            Some((found, size)) => {
                let stated = bytes.map_or_else(|| "no size".to_owned(), |bytes| format!("{bytes} bytes"));
                let what = format!(
                    "changed: {size} bytes with SHA-256 {found}, the manifest states {stated} with {sha256}"
                );
                faults.say(name, what);
            }
            None => {}
        }
    }
    for entry in entries(&manifest.folder)? {
        let own = [MANIFEST, MANIFEST_DIGEST].contains(&entry.name.as_str());
        // Signatures come after the manifest, which cannot state them.
        let is_signature = entry.name.starts_with(MANIFEST) && entry.name.ends_with(signature::ENDING);
        let is_known = own || is_signature || outputs.iter().any(|(name, ..)| *name == entry.name);
        if !is_known {
            faults.say(entry.name, "added: the manifest does not state it");
        }
    }
    Ok(agreeing)
}

/// Whether a name is that of a file directly in a folder.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let first = parts.next();
    matches!(first, Some(std::path::Component::Normal(part)) if part == name) && parts.next().is_none()
}
