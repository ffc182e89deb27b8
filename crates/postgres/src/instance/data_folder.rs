//! The folder that holds everything of one PostgreSQL: its data, passwords, port and log, and the lock on them.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nix::unistd::geteuid;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::account::Account;
use super::installation::Installation;
use super::role::SUPERUSER;
use crate::error::PostgresError;

/// The folder in the current folder that is used where none is given.
const DEFAULT: &str = ".agentfs-dev";

/// Where root's data goes when the current folder is closed to the user that PostgreSQL runs as.
const ROOTS_FALLBACK: &str = "/var/lib/agentfs-dev";

/// A log longer than this becomes the previous one at the next start.
const LOG_BYTES: u64 = 16 << 20;

/// A data folder that this process alone works on, for as long as the value lives.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    account: Account,
    /// Held open: the kernel gives the lock back when this process ends, however it ends.
    _lock: File,
}

impl DataFolder {
    /// Takes `path`, or the default folder where none is given, and makes it where it is missing.
    pub fn take(path: Option<&Path>) -> Result<Self, PostgresError> {
        let (path, account) = match path {
            Some(path) => {
                let path = absolute(path)?;
                let account = account_for(&path, "Use another --data-dir")?;
                (path, account)
            }
            None => default_place()?,
        };
        make(&path, &account)?;
        let path = path.canonicalize().map_err(PostgresError::io("find", &path))?;
        let lock = lock(&path)?;
        Ok(Self { path, account, _lock: lock })
    }

    /// Locks the empty folder `made`, then gives it the name `path`.
    pub(super) fn lock_as(
        made: &Path,
        path: &Path,
        account: Account,
    ) -> Result<Self, PostgresError> {
        let lock = lock(made)?;
        fs::rename(made, path).map_err(PostgresError::io("rename", made))?;
        Ok(Self { path: path.to_owned(), account, _lock: lock })
    }

    /// The folder's path, without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The user that PostgreSQL runs as here.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The folder of PostgreSQL's own files.
    pub fn cluster(&self) -> PathBuf {
        cluster_in(&self.path)
    }

    /// The file that PostgreSQL's output is appended to.
    pub(super) fn log_path(&self) -> PathBuf {
        self.path.join("postgres.log")
    }

    /// Opens the log; a long one makes room first.
    pub(super) fn open_log(&self) -> Result<File, PostgresError> {
        let path = self.log_path();
        if fs::metadata(&path).is_ok_and(|log| log.len() > LOG_BYTES) {
            let previous = path.with_extension("log.1");
            fs::rename(&path, &previous).map_err(PostgresError::io("rename", &path))?;
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        let open = || {
            let log = options.open(&path)?;
            self.give_to_owner(&log)?;
            Ok(log)
        };
        open().map_err(PostgresError::io("open", &path))
    }

    /// The password of the role `name`, drawn when it is asked for the first time.
    ///
    /// The file belongs to the user that PostgreSQL runs as, since initdb reads it.
    pub(super) fn password(&self, name: &str) -> Result<SecretString, PostgresError> {
        let path = self.password_path(name);
        match fs::read_to_string(&path) {
            Ok(found) if found.trim().is_empty() => Err(PostgresError::PasswordLost(path)),
            Ok(found) => Ok(found.trim().into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if name == SUPERUSER && self.cluster().exists() {
                    return Err(PostgresError::PasswordLost(path));
                }
                let drawn: [u8; 24] = rand::random();
                let drawn = SecretString::from(URL_SAFE_NO_PAD.encode(drawn));
                self.write_secret(&path, drawn.expose_secret())?;
                self.account.own(&path)?;
                Ok(drawn)
            }
            Err(error) => Err(PostgresError::io("read", &path)(error)),
        }
    }

    /// Where the password of the role `name` is kept.
    pub(super) fn password_path(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.password"))
    }

    /// Writes a file that only its owner reads: whole or not at all.
    pub fn write_secret(&self, path: &Path, content: &str) -> Result<(), PostgresError> {
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
            file.write_all(content.as_bytes())?;
            file.as_file().sync_all()?;
            self.give_to_owner(file.as_file())?;
            file.persist(path)?;
            Ok(())
        };
        write().map_err(PostgresError::io("write", path))
    }

    /// Root may work on the folder of somebody who wants to use it again.
    fn give_to_owner(&self, file: &File) -> io::Result<()> {
        if geteuid().is_root() {
            let owner = fs::metadata(&self.path)?;
            std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))?;
        }
        Ok(())
    }

    /// The port of the last run, so that a second start can be reached where the first was.
    pub(super) fn last_port(&self) -> Option<u16> {
        fs::read_to_string(self.path.join("port")).ok()?.trim().parse().ok()
    }

    /// Remembers the port for the next run.
    pub(super) fn remember_port(&self, port: u16) -> Result<(), PostgresError> {
        let path = self.path.join("port");
        fs::write(&path, format!("{port}\n")).map_err(PostgresError::io("write", &path))
    }

    /// Makes an empty folder for a new cluster, in which a killed initdb may leave what it likes.
    pub(super) fn make_unfinished_cluster(&self) -> Result<PathBuf, PostgresError> {
        let path = self.path.join("pgdata.new");
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(PostgresError::io("remove", &path)(error));
            }
            _ => {}
        }
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(PostgresError::io("make", &path))?;
        self.account.own(&path)?;
        Ok(path)
    }

    /// Turns a finished new cluster into the folder's cluster.
    pub(super) fn adopt_cluster(&self, unfinished: &Path) -> Result<(), PostgresError> {
        fs::rename(unfinished, self.cluster()).map_err(PostgresError::io("rename", unfinished))?;
        // The names of the passwords and of the cluster reach the disk together.
        let synced = File::open(&self.path).and_then(|folder| folder.sync_all());
        synced.map_err(PostgresError::io("sync", &self.path))
    }

    /// Refuses a cluster that the programs cannot read.
    pub(super) fn check_version(&self, installation: &Installation) -> Result<(), PostgresError> {
        let path = self.cluster().join("PG_VERSION");
        let data = fs::read_to_string(&path).map_err(PostgresError::io("read", &path))?;
        let programs = installation.version().major();
        if data.trim().parse() == Ok(programs) {
            return Ok(());
        }
        Err(PostgresError::OtherVersion {
            path: self.cluster(),
            data: data.trim().to_owned(),
            programs,
        })
    }
}

/// The folder of PostgreSQL's own files in a data folder.
pub(super) fn cluster_in(folder: &Path) -> PathBuf {
    folder.join("pgdata")
}

fn absolute(path: &Path) -> Result<PathBuf, PostgresError> {
    // Without the links of what exists already, so that it is the real way that is looked at.
    let path = std::path::absolute(path).map_err(PostgresError::io("find", path))?;
    for existing in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (existing.canonicalize(), path.strip_prefix(existing)) {
            return Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) });
        }
    }
    Ok(path)
}

/// The user that PostgreSQL runs as in a folder, who has to be able to reach it.
fn account_for(path: &Path, remedy: &'static str) -> Result<Account, PostgresError> {
    if let Some(file) = path.ancestors().find(|step| step.exists()).filter(|step| !step.is_dir()) {
        return Err(PostgresError::NoFolder(file.to_owned()));
    }
    let cluster = cluster_in(path);
    let account = if cluster.exists() {
        Account::for_existing_data(&cluster)?
    } else {
        Account::for_new_data()?
    };
    account.must_reach(path, remedy)?;
    Ok(account)
}

fn default_place() -> Result<(PathBuf, Account), PostgresError> {
    let here = std::env::current_dir().map_err(PostgresError::io("find", Path::new(".")))?;
    let near = here.join(DEFAULT);
    let remedy = "Give a folder that the user can reach by --data-dir";
    match account_for(&near, remedy) {
        Err(PostgresError::Closed { .. }) => {
            let far = Path::new(ROOTS_FALLBACK).join(name_for(&here));
            let account = account_for(&far, remedy)?;
            Ok((far, account))
        }
        found => Ok((near, found?)),
    }
}

/// A folder name for the data of another folder: its last part for people, and a digest of all of it.
fn name_for(folder: &Path) -> String {
    let last = folder.file_name().unwrap_or_default().to_string_lossy();
    let digest = Sha256::digest(folder.as_os_str().as_encoded_bytes());
    let [a, b, c, d, ..] = <[u8; 32]>::from(digest);
    format!("{last}-{:08x}", u32::from_be_bytes([a, b, c, d]))
}

/// Makes a folder and its missing parents, open enough for the user; what exists stays as it is.
fn make(path: &Path, account: &Account) -> Result<(), PostgresError> {
    let missing: Vec<&Path> = path.ancestors().take_while(|step| !step.exists()).collect();
    for step in missing.into_iter().rev() {
        fs::create_dir(step).map_err(PostgresError::io("make the folder", step))?;
        // Whatever the umask takes off: the user has to pass, and nobody has to read.
        let mode = if account.is_another() { 0o711 } else { 0o700 };
        if account.is_another() || step == path {
            fs::set_permissions(step, Permissions::from_mode(mode))
                .map_err(PostgresError::io("set the permissions of", step))?;
        }
    }
    Ok(())
}

fn lock(folder: &Path) -> Result<File, PostgresError> {
    let path = folder.join("lock");
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(PostgresError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(PostgresError::Busy(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(PostgresError::io("lock", &path)(error)),
    }
}

/// Whether a folder was made by this user and no process works on it.
pub(super) fn is_abandoned(folder: &Path) -> bool {
    let ours = fs::symlink_metadata(folder)
        .is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw());
    ours && lock(folder).is_ok()
}

// Root can make a folder only for another user.
#[cfg(all(test, feature = "change-user"))]
mod tests {
    use super::*;

    #[test]
    fn one_folder_is_taken_once() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("data");
        fs::set_permissions(top.path(), Permissions::from_mode(0o755)).unwrap();

        let first = DataFolder::take(Some(&path)).unwrap();
        assert!(matches!(DataFolder::take(Some(&path)), Err(PostgresError::Busy(_))));
        assert!(!is_abandoned(&path));
        drop(first);
        assert!(is_abandoned(&path));
        DataFolder::take(Some(&path)).unwrap();
    }

    #[test]
    fn a_file_is_no_folder() {
        let top = tempfile::tempdir().unwrap();
        let file = top.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("data")] {
            let error = DataFolder::take(Some(&path)).unwrap_err().to_string();
            assert!(
                error.ends_with("file is a file, not a folder: give a folder by --data-dir."),
                "{error}"
            );
        }
    }

    #[test]
    fn a_password_is_drawn_once_and_read_by_its_owner_only() {
        let top = tempfile::tempdir().unwrap();
        fs::set_permissions(top.path(), Permissions::from_mode(0o755)).unwrap();
        let folder = DataFolder::take(Some(&top.path().join("data"))).unwrap();

        let drawn = folder.password("agentfs").unwrap();
        assert_eq!(drawn.expose_secret(), folder.password("agentfs").unwrap().expose_secret());
        assert!(drawn.expose_secret().len() >= 32);
        let mode = fs::metadata(folder.password_path("agentfs")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn folders_of_one_name_get_names_of_their_own() {
        let one = name_for(Path::new("/root/one/app"));
        assert!(one.starts_with("app-"), "{one}");
        assert_ne!(one, name_for(Path::new("/root/other/app")));
        assert_eq!(one, name_for(Path::new("/root/one/app")));
    }
}
