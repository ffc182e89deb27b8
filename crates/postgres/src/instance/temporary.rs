//! A data folder that is thrown away.
//!
//! It gets the name by which it is known when it is locked: one with that name and without a lock was left by a process that
//! was killed, and the next one sweeps it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::{User, geteuid};
use tokio::time::sleep;

use super::account::Account;
use super::data_folder::{DataFolder, cluster_in, is_abandoned};
use super::leftover;
use crate::error::PostgresError;

/// How the folders' names begin.
const PREFIX: &str = "agentfs-postgres-";
/// How the names of those begin that are not locked yet.
const UNLOCKED: &str = ".agentfs-postgres-";
/// One that is not locked for so long never will be.
const YOUNG: Duration = Duration::from_mins(1);
/// How long to try to remove a folder.
const REMOVED_WITHIN: Duration = Duration::from_secs(5);

/// The path of a temporary data folder; dropping it ends the PostgreSQL there and removes all.
#[derive(Debug)]
pub(super) struct Temporary(PathBuf);

impl Temporary {
    /// Makes one in `parent`, after those are swept that killed processes left there.
    pub(super) async fn make(parent: &Path) -> Result<(Self, DataFolder), PostgresError> {
        let account = Account::for_new_data()?;
        let has_name = User::from_uid(geteuid()).is_ok_and(|user| user.is_some());
        if !account.is_another() && !has_name {
            return Err(PostgresError::Nameless(geteuid().as_raw()));
        }
        let parent = parent.canonicalize().map_err(PostgresError::io("find", parent))?;
        account.must_reach(&parent, "Set TMPDIR to a folder that the user can reach")?;
        sweep(&parent).await;
        let made = tempfile::Builder::new()
            .prefix(UNLOCKED)
            .tempdir_in(&parent)
            .map_err(PostgresError::io("make a folder in", &parent))?;
        // Whatever the umask takes off: the user has to pass.
        let permissions = if account.is_another() { 0o711 } else { 0o700 };
        fs::set_permissions(made.path(), Permissions::from_mode(permissions))
            .map_err(PostgresError::io("set the permissions of", made.path()))?;
        let unlocked = made.path().file_name().unwrap_or_default().to_string_lossy();
        let path = parent.join(unlocked.replacen(UNLOCKED, PREFIX, 1));
        let folder = DataFolder::lock_as(made.path(), &path, account)?;
        let _ = made.keep();
        Ok((Self(path), folder))
    }

    /// Removes it, with the PostgreSQL that may still work there.
    pub(super) async fn remove(self) -> Result<(), PostgresError> {
        leftover::stop(&cluster_in(&self.0)).await?;
        let give_up = Instant::now() + REMOVED_WITHIN;
        loop {
            match fs::remove_dir_all(&self.0) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    // A process that is about to end may still write.
                    if Instant::now() > give_up {
                        return Err(PostgresError::io("remove", &self.0)(error));
                    }
                }
                _ => return Ok(()),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Temporary {
    /// For a future that is dropped while it starts or uses a server.
    fn drop(&mut self) {
        if self.0.exists() {
            leftover::end(&cluster_in(&self.0));
            let give_up = Instant::now() + REMOVED_WITHIN;
            // What cannot be removed now is swept by the next one.
            while fs::remove_dir_all(&self.0).is_err()
                && self.0.exists()
                && Instant::now() < give_up
            {
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

async fn sweep(parent: &Path) {
    let old = |path: &Path| {
        let made = fs::metadata(path).and_then(|found| found.modified()).ok();
        made.and_then(|made| made.elapsed().ok()).is_some_and(|age| age > YOUNG)
    };
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let begins = |prefix: &str| name.as_encoded_bytes().starts_with(prefix.as_bytes());
        let left = begins(PREFIX) || begins(UNLOCKED) && old(&path);
        if left && is_abandoned(&path) {
            let _ = Temporary(path).remove().await;
        }
    }
}
