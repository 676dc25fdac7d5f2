//! A disk of the test's Postgres that can be full.
//!
//! A file system of a bounded size needs rights that an ordinary container has not. So a few lines of C
//! (`cluster/full.c`) stand between Postgres and the C library, and refuse, as a full disk does, whatever would make a
//! file longer. What Postgres makes of that is its own: SQLSTATE 53100, or a PANIC when it is the log.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// See the module.
#[derive(Debug)]
pub(super) struct Disk {
    is_full: PathBuf,
    library: PathBuf,
}

impl Disk {
    /// Keeps what it needs in this directory, which whoever runs Postgres can enter.
    pub(super) fn new(ground: &Path) -> Self {
        let (library, source) = (ground.join("full.so"), ground.join("full.c"));
        fs::write(&source, include_str!("full.c")).expect("it is written");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl");
        let compiled = compiler.output().expect("a C compiler, which the bundled SQLite needs as well");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Self { is_full: ground.join("is_full"), library }
    }

    /// What the server's processes are told.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        vec![("LD_PRELOAD".into(), text(&self.library)), ("FULL_WHILE".into(), text(&self.is_full))]
    }

    /// From now on nothing can grow; or it can again.
    pub(super) fn fill(&self, is_full: bool) {
        if is_full {
            fs::write(&self.is_full, "").expect("it is written");
        } else {
            fs::remove_file(&self.is_full).expect("it was full");
        }
    }
}
