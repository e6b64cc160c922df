//! Detached signatures over the manifest, in the format of minisign (Ed25519 over BLAKE2b).
//!
//! The manifest states the digest of every other file, so a signature over it covers the
//! package. Role, name and date stand in the trusted comment, which is signed too. Other
//! programs can check it: `minisign -V -m manifest.json -x manifest.json.preparer.minisig -p KEY`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use minisign::{KeyPair, PError, PublicKey, PublicKeyBox, SecretKeyBox, SignatureBox};

use super::{CheckRequest, Faults, MANIFEST, check, entries};
use crate::error::{At, Error, Result};
use crate::model::time;

/// What a signature's file ends in.
pub(super) const ENDING: &str = ".minisig";

/// In which role somebody signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Who made the package.
    Preparer,
    /// Who looked it through.
    Reviewer,
}

impl Role {
    /// The word for it, which is part of the file's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Preparer => "preparer",
            Self::Reviewer => "reviewer",
        }
    }
}

/// Who signs what.
#[derive(Debug, Clone)]
pub struct SignRequest {
    /// An evidence folder, or a folder of those of a series; all of them are signed.
    pub folder: PathBuf,
    /// The file with the secret key.
    pub key: PathBuf,
    /// What the key is encrypted with; `None`: it is not.
    pub password: Option<String>,
    /// In which role.
    pub role: Role,
    /// The name of who signs.
    pub name: String,
    /// When, in nanoseconds since the epoch.
    pub now: i64,
    /// Whether an earlier signature in that role is replaced.
    pub replace: bool,
}

/// A signature in a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Its file.
    pub file: String,
    /// Who signed in which role, and when.
    pub comment: String,
    /// Whether a key that was given proves it.
    pub verified: bool,
}

/// Writes a new pair of keys: the secret one, readable by its owner alone, and beside it the public one,
/// whose path is returned.
///
/// # Errors
/// A file is there already, or cannot be written.
pub fn new_key(path: &Path) -> Result<PathBuf> {
    let mut public = path.as_os_str().to_owned();
    public.push(".pub");
    let public = PathBuf::from(public);
    for path in [path, &public] {
        if path.exists() {
            return Err(Error::OutputExists { path: path.to_owned() });
        }
    }
    let pair = KeyPair::generate_unencrypted_keypair().map_err(malformed(path, "a new key"))?;
    let secret = pair.sk.to_box(None).map_err(malformed(path, "a new key"))?;
    private(path, secret.to_string().as_bytes())?;
    let shown = pair.pk.to_box().map_err(malformed(&public, "a new key"))?;
    std::fs::write(&public, shown.to_string()).map_err(Error::io(&public, "write"))?;
    Ok(public)
}

/// Writes a file that its owner alone can read.
fn private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).and_then(|mut file| file.write_all(bytes)).map_err(Error::io(path, "write"))
}

/// Signs a package, or all packages of a series, and returns the files written. Only what is sound is signed.
///
/// # Errors
/// The package does not hold, the key cannot be read, or a signature is there already.
pub fn sign(request: &SignRequest) -> Result<Vec<PathBuf>> {
    let outcome = check(&CheckRequest { folder: request.folder.clone(), ..CheckRequest::default() })?;
    if !outcome.is_sound() {
        return Err(Error::Malformed {
            path: request.folder.clone(),
            at: At::default(),
            expected: "a package that holds".to_owned(),
            found: "one that does not".to_owned(),
            hint: Some("`asof check` says what does not hold; nothing was signed".to_owned()),
        });
    }
    if request.name.trim().is_empty() || request.name.chars().any(char::is_control) {
        return Err(Error::Plan {
            place: "--name".to_owned(),
            message: format!("{:?} is no name on one line", request.name),
            hint: None,
        });
    }
    let text = std::fs::read_to_string(&request.key).map_err(Error::io(&request.key, "read"))?;
    let failed = || malformed(&request.key, "a secret key of minisign");
    let secret = SecretKeyBox::from_string(&text).map_err(failed())?;
    let secret = match &request.password {
        Some(password) => secret.into_secret_key(Some(password.clone())),
        None => secret.into_unencrypted_secret_key(),
    };
    let secret = secret.map_err(failed())?;
    // All of a series or none of it: a signature that cannot be written must not be found half-way.
    let place = |folder: &Path| folder.join(format!("{MANIFEST}.{}{ENDING}", request.role.name()));
    let mut places = outcome.packages.iter().map(|package| place(&package.folder));
    if let Some(path) = places.find(|path| path.exists() && !request.replace) {
        return Err(Error::OutputExists { path });
    }
    let mut signed = Vec::new();
    for package in &outcome.packages {
        let manifest = package.folder.join(MANIFEST);
        let file = File::open(&manifest).map_err(Error::io(&manifest, "open"))?;
        let date = time::format_instant(request.now);
        let comment = format!("asof {}: {}, {date}", request.role.name(), request.name.trim());
        let signature =
            minisign::sign(None, &secret, file, Some(&comment), Some("signature of an asof manifest"));
        signed.push((place(&package.folder), signature.map_err(failed())?.to_string()));
    }
    for (path, text) in &signed {
        std::fs::write(path, text).map_err(Error::io(path, "write"))?;
    }
    Ok(signed.into_iter().map(|(path, _)| path).collect())
}

/// A public key and the file that it came from.
pub(super) struct Key {
    path: PathBuf,
    key: PublicKey,
}

/// Reads public keys.
pub(super) fn keys(paths: &[PathBuf]) -> Result<Vec<Key>> {
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).map_err(Error::io(path, "read"))?;
        let boxed = PublicKeyBox::from_string(&text).and_then(PublicKeyBox::into_public_key);
        // A key may also stand alone, without a comment before it.
        let key = boxed.or_else(|_| PublicKey::from_base64(text.trim()));
        let key = key.map_err(malformed(path, "a public key of minisign"))?;
        Ok(Key { path: path.clone(), key })
    };
    paths.iter().map(read).collect()
}

/// Checks the signatures of a package. Every key given must have signed it.
pub(super) fn check_all(folder: &Path, keys: &[Key], faults: &mut Faults) -> Result<Vec<Signature>> {
    let mut found = Vec::new();
    let mut signed = vec![false; keys.len()];
    for entry in
        entries(folder)?.into_iter().filter(|e| e.name.starts_with(MANIFEST) && e.name.ends_with(ENDING))
    {
        let text = std::fs::read_to_string(&entry.path).map_err(Error::io(&entry.path, "read"));
        let Some(text) = faults.take(&entry.name, text) else { continue };
        let parsed = SignatureBox::from_string(&text).and_then(|s| Ok((s.trusted_comment()?, s)));
        let (comment, signature) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                faults.say(entry.name, format!("no signature of minisign: {error}"));
                continue;
            }
        };
        let owner = keys.iter().position(|key| key.key.keynum() == signature.keynum());
        let mut verified = false;
        if let Some(owner) = owner {
            let path = folder.join(MANIFEST);
            let file = File::open(&path).map_err(Error::io(&path, "open"))?;
            match minisign::verify(&keys[owner].key, &signature, file, true, false, false) {
                Ok(()) => (verified, signed[owner]) = (true, true),
                Err(error) => faults.say(&entry.name, format!("the signature does not hold: {error}")),
            }
        }
        found.push(Signature { file: entry.name, comment, verified });
    }
    for (key, _) in keys.iter().zip(signed).filter(|(_, signed)| !signed) {
        faults.say(MANIFEST, format!("no signature of it holds under {}", key.path.display()));
    }
    Ok(found)
}

fn malformed(path: &Path, expected: &'static str) -> impl FnOnce(PError) -> Error + use<> {
    let path = path.to_owned();
    move |error| Error::Malformed {
        path,
        at: At::default(),
        expected: expected.to_owned(),
        found: error.to_string(),
        hint: None,
    }
}
