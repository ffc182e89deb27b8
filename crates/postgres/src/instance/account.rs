//! The user that PostgreSQL runs as, and the folders that this user can reach.
//!
//! PostgreSQL refuses to run as root. Root therefore runs it as an unprivileged user, who in turn cannot enter, say, root's
//! home: what that user needs is looked at beforehand, and nobody's permissions are changed.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, User, getegid, geteuid};

use crate::error::PostgresError;

/// The unprivileged users that root chooses from, the better one first.
#[cfg(feature = "change-user")]
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// A user that PostgreSQL can run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    name: String,
    uid: Uid,
    gid: Gid,
}

impl Account {
    /// The user for new data: this process's own, or for root an unprivileged one.
    pub(super) fn for_new_data() -> Result<Self, PostgresError> {
        if geteuid().is_root() {
            return Self::for_root();
        }
        Ok(Self { name: name_of(geteuid()), uid: geteuid(), gid: getegid() })
    }

    #[cfg(feature = "change-user")]
    fn for_root() -> Result<Self, PostgresError> {
        let found = CANDIDATES.iter().find_map(|name| User::from_name(name).ok().flatten());
        found
            .filter(|user| !user.uid.is_root())
            .map(|user| Self { name: user.name, uid: user.uid, gid: user.gid })
            .ok_or(PostgresError::NoAccount)
    }

    #[cfg(not(feature = "change-user"))]
    fn for_root() -> Result<Self, PostgresError> {
        Err(PostgresError::Root)
    }

    /// The user for existing data: its owner, since PostgreSQL runs as nobody else.
    pub(super) fn for_existing_data(path: &Path) -> Result<Self, PostgresError> {
        let owner = fs::metadata(path).map_err(PostgresError::io("look at", path))?;
        let (uid, gid) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
        let by_root = geteuid().is_root();
        if by_root && cfg!(not(feature = "change-user")) {
            return Err(PostgresError::Root);
        }
        if !may_run_as(geteuid(), uid) {
            return Err(PostgresError::Foreign {
                path: path.to_owned(),
                owner: name_of(uid),
                by_root,
            });
        }
        Ok(Self { name: name_of(uid), uid, gid })
    }

    /// The user's name, to say whom PostgreSQL runs as.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether running as this user takes a change of user.
    pub fn is_another(&self) -> bool {
        self.uid != geteuid()
    }

    /// The options that tell the exec subcommand to become this user; none where it is this user already.
    #[cfg(feature = "change-user")]
    pub(super) fn as_arguments(&self) -> Vec<OsString> {
        if !self.is_another() {
            return Vec::new();
        }
        let (uid, gid) = (self.uid.to_string(), self.gid.to_string());
        ["--uid", &uid, "--gid", &gid].map(OsString::from).into()
    }

    /// This user is always this process's own.
    #[cfg(not(feature = "change-user"))]
    #[expect(clippy::unused_self, reason = "it is used where users change")]
    pub(super) fn as_arguments(&self) -> Vec<OsString> {
        Vec::new()
    }

    /// Gives a file or folder that root just made to this user.
    pub(super) fn own(&self, path: &Path) -> Result<(), PostgresError> {
        if self.is_another() {
            std::os::unix::fs::chown(path, Some(self.uid.as_raw()), Some(self.gid.as_raw()))
                .map_err(PostgresError::io("change the owner of", path))?;
        }
        Ok(())
    }

    /// Refuses a path that this user, being another than this process's, cannot reach; `remedy` says what to do.
    pub(super) fn must_reach(
        &self,
        path: &Path,
        remedy: &'static str,
    ) -> Result<(), PostgresError> {
        // What exists is looked at where it really is, since a link leads by another way.
        let real = path.canonicalize();
        match self.closed_on_the_way_to(real.as_deref().unwrap_or(path)) {
            Some(closed) if self.is_another() => {
                let user = self.name.clone();
                Err(PostgresError::Closed { user, path: path.to_owned(), closed, remedy })
            }
            _ => Ok(()),
        }
    }

    /// The first component of `path` that this user may not enter (or, as a file, not execute). What does not exist yet is
    /// not closed.
    fn closed_on_the_way_to(&self, path: &Path) -> Option<PathBuf> {
        let mut way: Vec<&Path> = path.ancestors().collect();
        way.reverse();
        for step in way {
            match fs::metadata(step) {
                Ok(found) if self.may_execute(&found) => {}
                Ok(_) => return Some(step.to_owned()),
                Err(_) => return None,
            }
        }
        None
    }

    fn may_execute(&self, found: &Metadata) -> bool {
        let shift = if found.uid() == self.uid.as_raw() {
            6
        } else if found.gid() == self.gid.as_raw() {
            3
        } else {
            0
        };
        found.mode() >> shift & 1 == 1
    }
}

/// Whether a process of `user` can run PostgreSQL as `owner`: root as anybody but itself, others as themselves only.
fn may_run_as(user: Uid, owner: Uid) -> bool {
    if user.is_root() { !owner.is_root() } else { owner == user }
}

/// The name of a user, or the number of one that has no name.
fn name_of(uid: Uid) -> String {
    User::from_uid(uid).ok().flatten().map_or_else(|| format!("user {uid}"), |user| user.name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn stranger() -> Account {
        Account { name: "stranger".into(), uid: Uid::from_raw(54321), gid: Gid::from_raw(54321) }
    }

    fn folder(inside: &Path, name: &str, mode: u32) -> PathBuf {
        let path = inside.join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn everybody_runs_their_own_data_and_root_that_of_others() {
        let (root, one, other) = (Uid::from_raw(0), Uid::from_raw(1), Uid::from_raw(2));
        assert!(may_run_as(one, one));
        assert!(may_run_as(root, one));
        assert!(!may_run_as(one, other));
        assert!(!may_run_as(one, root));
        assert!(!may_run_as(root, root));
    }

    #[test]
    fn the_closed_folder_on_the_way_is_named() {
        let top = tempfile::tempdir().unwrap();
        fs::set_permissions(top.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let open = folder(top.path(), "open", 0o711);
        let closed = folder(&open, "closed", 0o750);
        let inner = folder(&closed, "inner", 0o755);

        assert_eq!(stranger().closed_on_the_way_to(&open), None);
        assert_eq!(stranger().closed_on_the_way_to(&open.join("not/yet/made")), None);
        assert_eq!(stranger().closed_on_the_way_to(&inner), Some(closed));
    }

    #[test]
    fn the_owner_and_the_group_count_before_the_others() {
        let top = tempfile::tempdir().unwrap();
        let only_others = folder(top.path(), "only-others", 0o001);
        let owner = Account { name: name_of(geteuid()), uid: geteuid(), gid: getegid() };
        let member = Account { gid: getegid(), ..stranger() };
        let found = fs::metadata(&only_others).unwrap();

        assert!(stranger().may_execute(&found));
        assert!(!owner.may_execute(&found));
        assert!(!member.may_execute(&found));
    }
}
