//! The folder of backups: dumps such as `agentfs_20260128_020000.dump`, each with its manifest.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use agentfs_contract::manifest::{Manifest, Scope};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest as _, Sha256};

use super::error::BackupError;
use super::retention::Kept;

/// The suffix of a dump that is being made or removed.
const PARTIAL: &str = "partial";
const MANIFEST: &str = "manifest.json";
/// A partial dump older than this was left by a backup that died.
const PARTIAL_FOR: Duration = Duration::from_hours(24);
/// Largest manifest that is read.
const MAX_MANIFEST: u64 = 1 << 20;

/// A folder of backups, locked against concurrent backups.
#[derive(Debug)]
pub(super) struct Catalog {
    folder: PathBuf,
    /// Released when the process ends, however that happens.
    _lock: Flock<File>,
}

impl Catalog {
    /// Opens the folder, and creates it for its owner alone if it is missing: dumps hold all memory.
    pub(super) fn open(folder: &Path) -> Result<Self, BackupError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(BackupError::of(folder))?;
        let path = folder.join(".agentfs-backup.lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(BackupError::of(&path))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
            if errno == nix::errno::Errno::EWOULDBLOCK {
                BackupError::Busy(folder.to_owned())
            } else {
                BackupError::File { path: path.clone(), error: errno.into() }
            }
        })?;
        let catalog = Self { folder: folder.to_owned(), _lock: lock };
        catalog.sweep()?;
        Ok(catalog)
    }

    /// Begins a dump of the moment `at`: an empty file that only its owner can read.
    pub(super) fn begin(&self, scope: Scope, at: Timestamp) -> Result<PartialDump, BackupError> {
        let stamp = at.to_zoned(TimeZone::UTC).strftime("%Y%m%d_%H%M%S").to_string();
        let name = match scope {
            Scope::Full => format!("agentfs_{stamp}.dump"),
            Scope::Entries => format!("agentfs_entries_{stamp}.dump"),
        };
        let whole = self.folder.join(&name);
        if whole.exists() {
            let error =
                io::Error::new(ErrorKind::AlreadyExists, "is there already; try again in a second");
            return Err(BackupError::File { path: whole, error });
        }
        let dump =
            PartialDump { partial: self.folder.join(format!("{name}.{PARTIAL}")), whole, name };
        OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&dump.partial)
            .map_err(BackupError::of(&dump.partial))?;
        Ok(dump)
    }

    /// Turns a complete dump into a backup: the manifest comes last.
    pub(super) fn finish(
        &self,
        dump: &PartialDump,
        manifest: &Manifest,
    ) -> Result<PathBuf, BackupError> {
        let whole = dump.whole.clone();
        fs::rename(&dump.partial, &whole).map_err(BackupError::of(&whole))?;
        let path = self.manifest_of(&dump.name);
        let written = self.write_manifest(&path, manifest);
        if written.is_err() {
            fs::remove_file(&whole).ok();
        }
        written.map(|()| whole)
    }

    fn write_manifest(&self, path: &Path, manifest: &Manifest) -> Result<(), BackupError> {
        let mut file =
            tempfile::NamedTempFile::new_in(&self.folder).map_err(BackupError::of(&self.folder))?;
        serde_json::to_writer_pretty(&mut file, manifest)
            .map_err(io::Error::from)
            .and_then(|()| file.write_all(b"\n"))
            .and_then(|()| file.as_file().sync_all())
            .and_then(|()| file.persist(path).map_err(|failed| failed.error))
            .and_then(|_| File::open(&self.folder)?.sync_all())
            .map_err(BackupError::of(path))
    }

    /// The existing backups. Foreign manifests are skipped.
    pub(super) fn backups(&self) -> Result<Vec<Kept>, BackupError> {
        let manifests = self.files_ending(MANIFEST)?.into_iter().filter_map(|path| {
            let mut json = String::new();
            File::open(path).ok()?.take(MAX_MANIFEST).read_to_string(&mut json).ok()?;
            let manifest: Manifest = serde_json::from_str(&json).ok()?;
            // A name, not a path that leads elsewhere.
            let plain = Path::new(&manifest.file).file_name()?.to_str()? == manifest.file;
            let dump = fs::metadata(self.folder.join(&manifest.file)).ok()?;
            (plain && dump.is_file())
                .then_some(Kept { is_whole: dump.len() == manifest.bytes, manifest })
        });
        Ok(manifests.collect())
    }

    /// Removes a backup. From the first step on it no longer counts as one; any step can be the last.
    pub(super) fn remove(&self, backup: &Manifest) -> Result<(), BackupError> {
        let whole = self.folder.join(&backup.file);
        let partial = self.folder.join(format!("{}.{PARTIAL}", backup.file));
        fs::rename(&whole, &partial).map_err(BackupError::of(&whole))?;
        let manifest = self.manifest_of(&backup.file);
        fs::remove_file(&manifest).map_err(BackupError::of(&manifest))?;
        fs::remove_file(&partial).map_err(BackupError::of(&partial))
    }

    /// Removes what died backups have left: old partial dumps, and manifests without a dump.
    fn sweep(&self) -> Result<(), BackupError> {
        for path in self.files_ending(PARTIAL)? {
            let modified = fs::metadata(&path).and_then(|file| file.modified());
            let age = modified.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            if age.is_some_and(|age| age > PARTIAL_FOR) {
                fs::remove_file(&path).map_err(BackupError::of(&path))?;
            }
        }
        for manifest in self.files_ending(MANIFEST)? {
            let name = manifest.to_string_lossy();
            let dump = name.strip_suffix(MANIFEST).map(|stem| format!("{stem}dump"));
            if dump.is_some_and(|dump| !Path::new(&dump).exists()) {
                fs::remove_file(&manifest).map_err(BackupError::of(&manifest))?;
            }
        }
        Ok(())
    }

    /// Removes all partial dumps, however young: while this one holds the lock nobody makes one. Returns how many.
    pub(super) fn remove_partial(&self) -> Result<usize, BackupError> {
        let left = self.files_ending(PARTIAL)?;
        left.iter().try_for_each(|path| fs::remove_file(path).map_err(BackupError::of(path)))?;
        Ok(left.len())
    }

    fn manifest_of(&self, dump: &str) -> PathBuf {
        let stem = dump.strip_suffix("dump").unwrap_or(dump);
        self.folder.join(format!("{stem}{MANIFEST}"))
    }

    /// Our files that end in `.{ending}`.
    fn files_ending(&self, ending: &str) -> Result<Vec<PathBuf>, BackupError> {
        let entries = fs::read_dir(&self.folder).map_err(BackupError::of(&self.folder))?;
        let ours = entries.flatten().filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("agentfs_") && name.ends_with(&format!(".{ending}"))
        });
        Ok(ours.map(|entry| entry.path()).collect())
    }
}

/// A dump in progress; removed unless it is finished.
#[derive(Debug)]
pub(super) struct PartialDump {
    name: String,
    partial: PathBuf,
    whole: PathBuf,
}

impl PartialDump {
    /// The path to write to.
    pub(super) fn path(&self) -> &Path {
        &self.partial
    }

    /// The dump's final name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The dump's size and SHA-256 in hexadecimal.
    pub(super) fn digest(&self) -> Result<(u64, String), BackupError> {
        let mut file = File::open(&self.partial).map_err(BackupError::of(&self.partial))?;
        let (mut hash, mut bytes, mut part) = (Sha256::new(), 0, vec![0; 1 << 16]);
        loop {
            match file.read(&mut part) {
                Ok(0) => break,
                Ok(read) => {
                    hash.update(&part[..read]);
                    bytes += read as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(BackupError::of(&self.partial)(error)),
            }
        }
        let digits = hash
            .finalize()
            .iter()
            .fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"));
        Ok((bytes, digits))
    }
}

impl Drop for PartialDump {
    fn drop(&mut self) {
        // Not there any more when it was finished.
        fs::remove_file(&self.partial).ok();
    }
}
