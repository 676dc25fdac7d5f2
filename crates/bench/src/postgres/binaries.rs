//! Where the programs of Postgres are.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Error, OLDEST_MAJOR, Result};

/// Where Debian keeps them, one directory for each major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// A directory that holds `initdb`, `postgres` and the rest, all of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    directory: PathBuf,
    major: u32,
}

impl Binaries {
    /// Those that `INKHOOK_POSTGRES_BIN` names, and no others when it is set; else the newest of those on `PATH`
    /// and of Debian's.
    pub(super) fn find() -> Result<Self> {
        if let Some(named) = env::var_os("INKHOOK_POSTGRES_BIN").filter(|named| !named.is_empty()) {
            return Self::newest([PathBuf::from(named)]).ok_or(Error::NoBinaries);
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let debian =
            fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
        Self::newest(env::split_paths(&path).chain(debian)).ok_or(Error::NoBinaries)
    }

    /// The newest that is new enough.
    fn newest(directories: impl IntoIterator<Item = PathBuf>) -> Option<Self> {
        let found = directories.into_iter().filter_map(Self::at);
        found.filter(|one| one.major >= OLDEST_MAJOR).max_by_key(|one| one.major)
    }

    fn at(directory: PathBuf) -> Option<Self> {
        let postgres = directory.join("postgres");
        if !postgres.is_file() || !directory.join("initdb").is_file() {
            return None;
        }
        let output = Command::new(postgres).arg("--version").output().ok()?;
        let major = major(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self { directory: std::path::absolute(directory).ok()?, major })
    }

    pub(super) fn path(&self, program: &str) -> PathBuf {
        Path::new(&self.directory).join(program)
    }
}

/// From `postgres (PostgreSQL) 15.10 (Debian 15.10-0+deb12u1)`, or `… 17beta1`.
fn major(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    let digits = number.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_version_is_read() {
        assert_eq!(major("postgres (PostgreSQL) 15.10 (Debian 15.10-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 17beta1"), Some(17));
        assert_eq!(major("postgres (PostgreSQL) 9.6.24"), Some(9));
        assert_eq!(major("postgres"), None);
    }

    /// Programs that say they are of this version.
    fn pretend(parent: &Path, version: u32) -> PathBuf {
        let directory = parent.join(version.to_string());
        fs::create_dir(&directory).expect("a directory");
        for program in ["postgres", "initdb"] {
            let path = directory.join(program);
            fs::write(&path, format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}.1'\n"))
                .expect("a script");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
        }
        directory
    }

    #[test]
    fn the_newest_is_taken_and_an_old_one_never() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let [old, oldest, newer] =
            [OLDEST_MAJOR - 1, OLDEST_MAJOR, OLDEST_MAJOR + 1].map(|version| pretend(parent.path(), version));
        assert_eq!(Binaries::newest([old.clone(), parent.path().join("nothing")]), None);
        let found = |directories: &[&PathBuf]| Binaries::newest(directories.iter().map(|one| (*one).clone()));
        assert_eq!(found(&[&old, &oldest]).map(|one| one.major), Some(OLDEST_MAJOR));
        let newest = found(&[&newer, &oldest, &old]).expect("two are new enough");
        assert_eq!(newest.path("initdb"), newer.join("initdb"));
        fs::remove_file(newer.join("initdb")).expect("it was there");
        assert_eq!(found(&[&newer, &oldest]).map(|one| one.major), Some(OLDEST_MAJOR), "half a set is none");
    }
}
