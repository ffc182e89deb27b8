//! A folder as a storage of backups. Files are readable by their owner alone, and synced before they count.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg, OFlag};
use tokio::io::AsyncRead;
use tokio::task::spawn_blocking;

use super::lock::Lock;
use super::{Object, Removal, SMALL, StorageError};

/// The suffix of a file that is being written.
const PARTIAL: &str = ".partial";

/// A folder of backups.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl Folder {
    /// The folder, which is made where it is missing.
    pub(super) async fn create(path: &Path) -> Result<Self, StorageError> {
        let folder = Self(path.to_owned());
        folder.blocking(|folder| folder.make_parent(&folder.0.join("object"))).await?;
        Ok(folder)
    }

    /// The folder, which has to be there.
    pub(super) async fn open(path: &Path) -> Result<Self, StorageError> {
        let folder = Self(path.to_owned());
        folder
            .blocking(|folder| {
                fs::read_dir(&folder.0).map(drop).map_err(|error| match error.kind() {
                    ErrorKind::NotFound => StorageError::NoFolder(folder.0.clone()),
                    _ => StorageError::of(&folder.0)(error),
                })
            })
            .await?;
        Ok(folder)
    }

    /// Where an object is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) async fn list(&self) -> Result<Vec<Object>, StorageError> {
        self.blocking(|folder| {
            let mut objects = Vec::new();
            folder.collect("", &mut |object| objects.push(object))?;
            objects.retain(|object: &Object| !object.name.ends_with(PARTIAL));
            objects.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(objects)
        })
        .await
    }

    pub(super) async fn read_small(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let name = name.to_owned();
        self.blocking(move |folder| {
            let path = folder.path(&name);
            let mut content = Vec::new();
            let opened = open(OpenOptions::new().read(true), &path);
            match opened.and_then(|file| file.take(SMALL + 1).read_to_end(&mut content)) {
                Ok(_) if content.len() as u64 > SMALL => Err(StorageError::TooLarge(name)),
                Ok(_) => Ok(Some(content)),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(StorageError::of(path)(error)),
            }
        })
        .await
    }

    pub(super) async fn read(
        &self,
        name: &str,
    ) -> Result<Pin<Box<dyn AsyncRead + Send>>, StorageError> {
        Ok(Box::pin(tokio::fs::File::from_std(self.open_file(name).await?)))
    }

    pub(super) async fn open_file(&self, name: &str) -> Result<File, StorageError> {
        let path = self.path(name);
        let opened = self.blocking(move |_| {
            open(OpenOptions::new().read(true), &path).map_err(|error| match error.kind() {
                ErrorKind::NotFound => StorageError::Missing(path.display().to_string()),
                _ => StorageError::of(path)(error),
            })
        });
        opened.await
    }

    pub(super) async fn write_small(&self, name: &str, content: &[u8]) -> Result<(), StorageError> {
        let (name, content) = (name.to_owned(), content.to_owned());
        self.blocking(move |folder| {
            let path = folder.path(&name);
            folder.make_parent(&path)?;
            let parent = path.parent().unwrap_or(&folder.0);
            let write = || {
                let mut file = tempfile::Builder::new().suffix(PARTIAL).tempfile_in(parent)?;
                file.write_all(&content)?;
                file.as_file().sync_all()?;
                file.persist_noclobber(&path).map_err(|failed| failed.error)?;
                File::open(parent)?.sync_all()
            };
            write().map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => StorageError::Exists(name),
                _ => StorageError::of(&path)(error),
            })
        })
        .await
    }

    pub(super) async fn upload(&self, name: &str) -> Result<FolderUpload, StorageError> {
        let name = name.to_owned();
        self.blocking(move |folder| {
            let whole = folder.path(&name);
            folder.make_parent(&whole)?;
            if whole.exists() {
                return Err(StorageError::Exists(name));
            }
            let partial = folder.path(&format!("{name}{PARTIAL}"));
            let mut new = OpenOptions::new();
            new.create(true).truncate(true).write(true).mode(0o600);
            let file = open(&mut new, &partial).map_err(StorageError::of(&partial))?;
            Ok(FolderUpload { file, left: Partial(Some(partial)), whole })
        })
        .await
    }

    pub(super) async fn remove(&self, name: &str) -> Result<Removal, StorageError> {
        let path = self.path(name);
        self.blocking(move |_| match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(StorageError::of(path)(error)),
            _ => Ok(Removal::Removed),
        })
        .await
    }

    pub(super) async fn sweep(&self, prefix: &str, age: Duration) -> Result<usize, StorageError> {
        let prefix = prefix.to_owned();
        self.blocking(move |folder| {
            let mut left = Vec::new();
            folder.collect(&prefix, &mut |object| left.push(object))?;
            let now = Timestamp::try_from(SystemTime::now()).unwrap_or_default();
            left.retain(|object| {
                let idle = now.duration_since(object.modified);
                object.name.ends_with(PARTIAL) && idle.unsigned_abs() >= age && !idle.is_negative()
            });
            for object in &left {
                let path = folder.path(&object.name);
                fs::remove_file(&path).map_err(StorageError::of(path))?;
            }
            Ok(left.len())
        })
        .await
    }

    pub(super) async fn lock(&self, name: &str) -> Result<Lock, StorageError> {
        let name = name.to_owned();
        self.blocking(move |folder| {
            let path = folder.path(&name);
            folder.make_parent(&path)?;
            let mut kept = OpenOptions::new();
            kept.create(true).truncate(false).write(true).mode(0o600);
            let file = open(&mut kept, &path).map_err(StorageError::of(&path))?;
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map(Lock::Folder).map_err(
                |(_, errno)| {
                    if errno == nix::errno::Errno::EWOULDBLOCK {
                        StorageError::Busy(folder.0.display().to_string())
                    } else {
                        StorageError::of(&path)(errno.into())
                    }
                },
            )
        })
        .await
    }

    /// Calls `found` for each file whose name begins with `prefix`. Hidden files, such as locks, are none.
    fn collect(&self, prefix: &str, found: &mut impl FnMut(Object)) -> Result<(), StorageError> {
        let mut folders = vec![String::new()];
        while let Some(inner) = folders.pop() {
            let path = self.path(&inner);
            for entry in fs::read_dir(&path).map_err(StorageError::of(&path))? {
                let entry = entry.map_err(StorageError::of(&path))?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                if name.starts_with('.') && !name.ends_with(PARTIAL) {
                    continue;
                }
                let name = if inner.is_empty() { name } else { format!("{inner}/{name}") };
                // Gone meanwhile. A link is neither a folder nor a file here: it may lead anywhere.
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_dir() && inner.is_empty() {
                    folders.push(name);
                } else if metadata.is_file() && name.starts_with(prefix) {
                    let modified =
                        metadata.modified().ok().and_then(|at| Timestamp::try_from(at).ok());
                    found(Object {
                        name,
                        bytes: metadata.len(),
                        modified: modified.unwrap_or_default(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Makes the folder of a file, for its owner alone: dumps hold all memory.
    fn make_parent(&self, path: &Path) -> Result<(), StorageError> {
        let parent = path.parent().unwrap_or(&self.0);
        let make = || {
            if !parent.is_dir() {
                DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
                // Else it may be gone after a loss of power, with all that was synced in it.
                let above = parent.parent().filter(|above| !above.as_os_str().is_empty());
                if let Ok(above) = File::open(above.unwrap_or(Path::new("."))) {
                    above.sync_all()?;
                }
            }
            // The location itself may be a link, which is the user's own.
            if parent != self.0 && !fs::symlink_metadata(parent)?.is_dir() {
                return Err(ErrorKind::NotADirectory.into());
            }
            Ok(())
        };
        make().map_err(StorageError::of(parent))
    }

    /// Works on the file system on a thread of its own, so that signals are still handled.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let folder = self.clone();
        let at = self.0.clone();
        let done = spawn_blocking(move || work(&folder)).await;
        done.unwrap_or_else(|error| Err(StorageError::of(at)(io::Error::other(error))))
    }
}

/// Opens a file, but no link to one: that may lead anywhere.
fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)
}

/// A file that is being written under another name.
#[derive(Debug)]
pub struct FolderUpload {
    file: File,
    left: Partial,
    whole: PathBuf,
}

/// A partial file, which is removed unless it was taken.
#[derive(Debug)]
struct Partial(Option<PathBuf>);

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // What cannot be removed now is swept by the next backup.
            let _ = fs::remove_file(path);
        }
    }
}

impl FolderUpload {
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        let file = self.file.try_clone().map_err(StorageError::of(&self.whole))?;
        let written = spawn_blocking(move || (&file).write_all(&bytes)).await;
        written
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(StorageError::of(&self.whole))
    }

    pub(super) async fn finish(self) -> Result<(), StorageError> {
        let Self { file, mut left, whole } = self;
        let at = whole.clone();
        let finish = move || {
            file.sync_all()?;
            if whole.try_exists()? {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let partial = left.0.as_deref().unwrap_or(&whole);
            fs::rename(partial, &whole)?;
            left.0 = None;
            whole.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
        };
        let finished = spawn_blocking(finish).await;
        finished.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(StorageError::of(at))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[tokio::test]
    async fn all_is_for_its_owner_alone() {
        let place = tempfile::tempdir().unwrap();
        let made = place.path().join("made/for/it");
        let folder = Folder::create(&made).await.unwrap();
        folder.write_small("i/small", b"s").await.unwrap();
        let mut upload = folder.upload("i/large").await.unwrap();
        upload.write(Bytes::from_static(b"l")).await.unwrap();
        upload.finish().await.unwrap();
        let _lock = folder.lock("i/.lock").await.unwrap();
        let modes =
            [("", 0o700), ("i", 0o700), ("i/small", 0o600), ("i/large", 0o600), ("i/.lock", 0o600)];
        for (name, mode) in modes {
            let found = fs::metadata(made.join(name)).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode, "{name:?}");
        }
    }

    #[tokio::test]
    async fn a_folder_to_read_from_is_named_where_it_is_missing() {
        let place = tempfile::tempdir().unwrap();
        let missing = place.path().join("mistyped");
        let refused = Folder::open(&missing).await.unwrap_err().to_string();
        assert!(refused.contains(&*missing.to_string_lossy()), "{refused}");
        assert!(refused.contains("check --from"), "{refused}");
    }

    #[tokio::test]
    async fn links_lead_nowhere() {
        let place = tempfile::tempdir().unwrap();
        let (outside, inside) = (place.path().join("outside"), place.path().join("inside"));
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("secret"), "s").unwrap();
        let folder = Folder::create(&inside).await.unwrap();
        symlink(&outside, inside.join("i")).unwrap();
        symlink(outside.join("secret"), inside.join("link")).unwrap();
        symlink(outside.join("secret"), inside.join("new.partial")).unwrap();
        assert_eq!(folder.list().await.unwrap(), []);
        assert!(folder.read_small("link").await.is_err());
        assert!(folder.read("link").await.is_err());
        assert!(folder.lock("link").await.is_err());
        assert!(folder.upload("new").await.is_err());
        assert!(folder.write_small("i/small", b"x").await.is_err());
        assert!(folder.upload("i/large").await.is_err());
        assert_eq!(fs::read(outside.join("secret")).unwrap(), b"s");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        // That of the user's own is followed.
        symlink(&inside, place.path().join("backups")).unwrap();
        let linked = Folder::open(&place.path().join("backups")).await.unwrap();
        linked.write_small("small", b"x").await.unwrap();
        assert_eq!(folder.list().await.unwrap().len(), 1);
    }
}
