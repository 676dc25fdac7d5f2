//! Who runs Postgres: whoever we are, unless we are root.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Error, Result, io_error};

/// Tried in this order.
const NAMES: [&str; 2] = ["postgres", "nobody"];
const ENTER_OWNER: u32 = 0o100;
const ENTER_GROUP: u32 = 0o010;
const ENTER_OTHERS: u32 = 0o001;

/// A user that is not us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// `None`: we run it ourselves.
    pub(super) fn to_run_as() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd").map_err(io_error("cannot read /etc/passwd"))?;
        Self::among(&users).map(Some).ok_or(Error::NoAccount)
    }

    /// From lines as in `passwd(5)`.
    fn among(users: &str) -> Option<Self> {
        NAMES.iter().find_map(|name| users.lines().find_map(|line| Self::read(line, name)))
    }

    fn read(line: &str, wanted: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let &[name, _, uid, gid, ..] = &fields[..] else { return None };
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        (name == wanted && uid != 0).then(|| Self { name: name.into(), uid, gid })
    }

    /// Whether this user can come to a directory: all that are above it let them through.
    pub(super) fn check_way_to(&self, dir: &Path) -> Result<()> {
        let dir = dir.canonicalize().map_err(io_error(format!("cannot find {}", dir.display())))?;
        for above in dir.ancestors().skip(1) {
            let meta =
                fs::metadata(above).map_err(io_error(format!("cannot look at {}", above.display())))?;
            let needed = match () {
                () if meta.uid() == self.uid => ENTER_OWNER,
                () if meta.gid() == self.gid => ENTER_GROUP,
                () => ENTER_OTHERS,
            };
            if meta.mode() & needed == 0 {
                return Err(Error::Unreachable { user: self.name.clone(), path: above.into() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn postgres_is_asked_first_and_root_never() {
        let nobody = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/usr/sbin/nologin\n";
        let found = Account::among(nobody).expect("there is somebody");
        assert_eq!((found.name.as_str(), found.uid, found.gid), ("nobody", 65534, 65534));
        let both = format!("{nobody}postgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\n");
        assert_eq!(Account::among(&both), Some(Account { name: "postgres".into(), uid: 101, gid: 104 }));
        assert_eq!(Account::among("root:x:0:0::/:/bin/sh\n"), None);
        assert_eq!(
            Account::among("nobody:x:0:0::/:/bin/sh\npostgres:x:many:\n"),
            None,
            "not root under a name"
        );
    }

    #[test]
    fn a_closed_directory_on_the_way_is_named() {
        let above = tempfile::tempdir().expect("a temporary directory");
        let dir = above.path().join("cluster");
        fs::create_dir(&dir).expect("a directory");
        let stranger = Account { name: "stranger".into(), uid: 4_000_000, gid: 4_000_000 };
        let mode = |mode| fs::set_permissions(above.path(), fs::Permissions::from_mode(mode)).expect("ours");
        mode(0o700);
        let refused = stranger.check_way_to(&dir).expect_err("closed").to_string();
        assert_eq!(refused, format!("the user 'stranger' cannot enter {}", above.path().display()));
        mode(0o711);
        stranger.check_way_to(&dir).expect("open");
    }
}
