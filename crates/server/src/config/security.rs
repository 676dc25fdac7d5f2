//! `[security]`: the key to everything that is sealed.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Problem, require};
use crate::domain::entropy::Entropy;

/// The file in the data directory that the first start makes.
const FILE: &str = "master.key";

/// See the module.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Security {
    /// 32 bytes in base64.
    pub master_key: Option<String>,
    /// A file that holds them.
    pub master_key_file: Option<PathBuf>,
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Security").field("master_key_file", &self.master_key_file).finish_non_exhaustive()
    }
}

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The text is not a key.
    #[error("the master key {origin} is not 32 bytes in base64")]
    NotAKey {
        /// Where it came from.
        origin: String,
    },
    /// The file cannot be read or written.
    #[error("the master key file {} cannot be used", .path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is data that some other key sealed.
    #[error(
        "there is a database but no master key: put {} back, or set INKHOOK_SECURITY__MASTER_KEY. A new key \
         would not open what the old one sealed",
        .0.display()
    )]
    Missing(PathBuf),
}

impl Security {
    pub(super) fn validate(&self, problems: &mut Vec<Problem>) {
        require(
            problems,
            self.master_key.is_none() || self.master_key_file.is_none(),
            "security.master_key",
            "give master_key or master_key_file, not both",
        );
        for (key, read) in [("security.master_key", self.text()), ("security.master_key_file", self.file())] {
            if let Some(Err(error)) = read {
                require(problems, false, key, error.to_string());
            }
        }
    }

    /// Whether a key is given, in place of one that the first start would make.
    pub(super) fn is_given(&self) -> bool {
        self.master_key.is_some() || self.master_key_file.is_some()
    }

    /// Takes the key that the first start made in this directory for the one that is given, if none is.
    pub fn take_from(&mut self, data_dir: &Path) {
        let path = data_dir.join(FILE);
        if !self.is_given() && path.exists() {
            self.master_key_file = Some(path);
        }
    }

    fn text(&self) -> Option<Result<[u8; 32], MasterKeyError>> {
        Some(decode(self.master_key.as_ref()?, "in INKHOOK_SECURITY__MASTER_KEY"))
    }

    fn file(&self) -> Option<Result<[u8; 32], MasterKeyError>> {
        Some(read(self.master_key_file.as_ref()?))
    }

    /// The master key: as given, or from the data directory. The very first start makes one; a directory
    /// that holds a database already does not get a new key.
    ///
    /// # Errors
    /// See [`MasterKeyError`].
    pub fn resolve(
        &self,
        data_dir: &Path,
        has_data: bool,
        entropy: &Entropy,
    ) -> Result<[u8; 32], MasterKeyError> {
        if let Some(given) = self.text().or_else(|| self.file()) {
            return given;
        }
        let path = data_dir.join(FILE);
        match (path.exists(), has_data) {
            (true, _) => read(&path),
            (false, true) => Err(MasterKeyError::Missing(path)),
            (false, false) => {
                let key: [u8; 32] = entropy.bytes();
                write_private(&path, &format!("{}\n", STANDARD.encode(key)))
                    .map_err(|source| MasterKeyError::File { path, source })?;
                Ok(key)
            }
        }
    }
}

fn read(path: &Path) -> Result<[u8; 32], MasterKeyError> {
    let text =
        fs::read_to_string(path).map_err(|source| MasterKeyError::File { path: path.into(), source })?;
    decode(&text, &format!("in {}", path.display()))
}

fn decode(text: &str, origin: &str) -> Result<[u8; 32], MasterKeyError> {
    let bytes = STANDARD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| MasterKeyError::NotAKey { origin: origin.to_owned() })
}

/// Writes a file that only its owner can read, synced, and refuses to touch one that is there. The file
/// appears under its name when it is whole: a start that is cut off leaves no half of a key behind.
///
/// # Errors
/// The file exists or cannot be written.
pub fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let unfinished = path.with_extension(format!("unfinished-{}", std::process::id()));
    // Left by an earlier process of that number.
    drop(fs::remove_file(&unfinished));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // Unlike a rename, a link never replaces what another start has just written.
    let linked = fs::hard_link(&unfinished, path);
    drop(fs::remove_file(&unfinished));
    linked
}
