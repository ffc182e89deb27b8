//! Brings a dump to this machine, and checks its size and its SHA-256 on the way, before and after it is decrypted.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use agentfs_contract::manifest::{Encryption, hex};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};

use super::catalogue::Backup;
use super::encryption::{EncryptionError, Identities, decrypting};
use super::error::RecoveryError;
use super::storage::{Storage, StorageError};
use super::unnamed::Unnamed;

/// Bytes that are read at once.
const PIECE: u64 = 1 << 20;

/// A dump on this machine, which is what its manifest says.
#[derive(Debug)]
pub(super) struct Fetched {
    path: PathBuf,
    /// What the path leads to, where that is not by a name.
    _open: Option<Unnamed>,
    /// The list of what of it is meant, where that is not all.
    selection: Option<Unnamed>,
}

impl Fetched {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A file that is there, of which only what `selection` lists is meant.
    pub(super) fn part_of(path: PathBuf, selection: Unnamed) -> Self {
        Self { path, _open: None, selection: Some(selection) }
    }

    /// The last arguments of a `pg_restore` that reads what is meant of it.
    pub(super) fn selected(&self) -> Vec<OsString> {
        let list = self.selection.as_ref().map(|list| {
            let mut list_of = OsString::from("--use-list=");
            list_of.push(list.path());
            list_of
        });
        list.into_iter().chain([self.path.clone().into()]).collect()
    }
}

impl From<Unnamed> for Fetched {
    fn from(open: Unnamed) -> Self {
        Self { path: open.path(), _open: Some(open), selection: None }
    }
}

/// Fetches the dump of a backup, decrypted. One that is a file already, and not encrypted, stays where it is, and stays open: what
/// was checked is what is read, whatever has its name by then. Else a copy without a name is made on the file system of `folder`.
pub(super) async fn fetch(
    storage: &Storage,
    backup: &Backup,
    identities: Option<&Identities>,
    folder: &Path,
) -> Result<Fetched, RecoveryError> {
    let manifest = &backup.manifest;
    let name = backup.dump();
    let missing = |error| match error {
        StorageError::Missing(_) => RecoveryError::Flawed("the dump is not there".into()),
        other => other.into(),
    };
    let there = match &manifest.encryption {
        None => storage.open_file(&name).await.map_err(missing)?.map(Unnamed::from),
        Some(_) => None,
    };
    let reader: Pin<Box<dyn AsyncRead + Send>> = match &there {
        Some(there) => {
            let unread = |error| StorageError::File { path: name.clone().into(), error };
            Box::pin(File::from_std(there.file().try_clone().map_err(unread)?))
        }
        None => storage.read(&name).await.map_err(missing)?,
    };
    let mut dump = Summed::new(reader);
    // A bucket's errors come within those of the reader.
    let unread = |error: io::Error| match error.downcast::<StorageError>() {
        Ok(error) => error.into(),
        Err(error) => StorageError::File { path: name.clone().into(), error }.into(),
    };
    let copied = Unnamed::new(folder)?;
    let decrypted = match (&manifest.encryption, identities) {
        (None, _) if there.is_none() => {
            read_on(&mut dump, Some(&copied), unread).await?;
            None
        }
        (Some(encryption), Some(identities)) => {
            Some((encryption, decrypt(&mut dump, identities, &copied).await))
        }
        // Without an identity its sums are looked at all the same.
        (None | Some(_), _) => None,
    };
    // What was not read yet: all of it, or what follows an error in its content. The sums say more than that.
    read_on(&mut dump, None, unread).await?;
    same("the dump", (manifest.bytes, &manifest.sha256), &dump.sum())?;
    match (&manifest.encryption, decrypted) {
        (None, _) => Ok(match there {
            Some(there) => there.into(),
            None => copied.into(),
        }),
        (Some(_), None) => Err(EncryptionError::IdentityNeeded(backup.id().to_owned()).into()),
        (Some(_), Some((encryption, decrypted))) => {
            let Encryption { plain_bytes, plain_sha256, .. } = encryption;
            same("the decrypted dump", (*plain_bytes, plain_sha256), &decrypted?)?;
            Ok(copied.into())
        }
    }
}

/// Reads what is left of a dump. An error of its reader is told, whenever it came: it says nothing of the dump.
async fn read_on(
    dump: &mut Summed<impl AsyncRead + Unpin>,
    to: Option<&Unnamed>,
    unread: impl FnOnce(io::Error) -> RecoveryError,
) -> Result<(), RecoveryError> {
    let copied = if dump.failed.is_none() { copy(dump, to).await } else { Ok(()) };
    match dump.failed.take() {
        Some(error) => Err(unread(error)),
        None => copied.map_err(|failed| failed.or(unread)),
    }
}

async fn decrypt(
    dump: &mut Summed<impl AsyncRead + Unpin>,
    identities: &Identities,
    to: &Unnamed,
) -> Result<Sum, RecoveryError> {
    let mut plain = Summed::new(decrypting(dump, identities).await?);
    let undecrypted = |error: io::Error| RecoveryError::Flawed(error.to_string());
    copy(&mut plain, Some(to)).await.map_err(|failed| failed.or(undecrypted))?;
    Ok(plain.sum())
}

/// Why something was not copied.
enum CopyFailed {
    Read(io::Error),
    Written(io::Error),
}

impl CopyFailed {
    fn or(self, read: impl FnOnce(io::Error) -> RecoveryError) -> RecoveryError {
        match self {
            Self::Read(error) => read(error),
            Self::Written(error) => RecoveryError::WorkFolder(error),
        }
    }
}

/// Reads to the end, into a file where one is given.
async fn copy(from: &mut (impl AsyncRead + Unpin), to: Option<&Unnamed>) -> Result<(), CopyFailed> {
    let mut file = match to {
        Some(to) => Some(File::from_std(to.file().try_clone().map_err(CopyFailed::Written)?)),
        None => None,
    };
    let mut piece = Vec::new();
    loop {
        piece.clear();
        let read = (&mut *from).take(PIECE).read_to_end(&mut piece).await;
        if read.map_err(CopyFailed::Read)? == 0 {
            break;
        }
        if let Some(file) = &mut file {
            file.write_all(&piece).await.map_err(CopyFailed::Written)?;
        }
    }
    match &mut file {
        Some(file) => file.flush().await.map_err(CopyFailed::Written),
        None => Ok(()),
    }
}

/// The size of a file, and its SHA-256 in hexadecimal.
pub(super) async fn sum(path: &Path) -> io::Result<(u64, String)> {
    let mut file = Summed::new(File::open(path).await?);
    tokio::io::copy(&mut file, &mut tokio::io::sink()).await?;
    let Sum { bytes, sha256 } = file.sum();
    Ok((bytes, sha256))
}

/// Compares what was read with what the manifest says; the size tells why, where it can.
fn same(what: &str, (bytes, sha256): (u64, &str), read: &Sum) -> Result<(), RecoveryError> {
    let flaw = if read.bytes < bytes {
        format!("{what} is cut short: {} of {} bytes", grouped(read.bytes), grouped(bytes))
    } else if read.bytes > bytes {
        format!("{what} is too long: {} bytes in place of {}", grouped(read.bytes), grouped(bytes))
    } else if read.sha256 == sha256 {
        return Ok(());
    } else {
        format!("{what} was changed or damaged: its SHA-256 is another one")
    };
    Err(RecoveryError::Flawed(flaw))
}

/// A number with commas, such as `81,234`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Size and SHA-256 in hexadecimal.
struct Sum {
    bytes: u64,
    sha256: String,
}

/// A reader that sums what passes.
struct Summed<R> {
    inner: R,
    hash: Sha256,
    bytes: u64,
    /// The first error of the inner reader, which may give nothing but an end after it.
    failed: Option<io::Error>,
}

impl<R> Summed<R> {
    fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0, failed: None }
    }

    fn sum(&self) -> Sum {
        Sum { bytes: self.bytes, sha256: hex(&self.hash.clone().finalize()) }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Summed<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Err(error) = ready!(Pin::new(&mut self.inner).poll_read(context, buffer)) {
            let (kind, text) = (error.kind(), error.to_string());
            self.failed.get_or_insert(error);
            return Poll::Ready(Err(io::Error::new(kind, text)));
        }
        let read = &buffer.filled()[before..];
        self.hash.update(read);
        self.bytes += read.len() as u64;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use age::secrecy::ExposeSecret as _;

    use super::*;
    use crate::recovery::catalogue::tests::{DUMP, Place, hours_ago, manifest};
    use crate::recovery::encryption::{Encryptor, Recipients};

    #[tokio::test]
    async fn what_was_checked_is_what_is_read() {
        let place = Place::new().await;
        let mut whole = manifest(hours_ago(1));
        (whole.sha256, whole.bytes) = (hex(&Sha256::digest(DUMP)), DUMP.len() as u64);
        let backup = place.add(whole).await;
        let folder = std::env::temp_dir();
        let fetched = fetch(&place.storage, &backup, None, &folder).await.unwrap();
        std::fs::remove_file(place.path(&backup.dump())).unwrap();
        place.write(&backup.dump(), b"another");
        assert_eq!(std::fs::read(fetched.path()).unwrap(), DUMP);
        let refused = fetch(&place.storage, &backup, None, &folder).await.unwrap_err();
        assert!(refused.to_string().contains("7 bytes in place of 6"), "{refused}");
    }

    #[test]
    fn the_reason_is_told_by_the_size() {
        let read = |bytes, sha256: &str| Sum { bytes, sha256: sha256.to_owned() };
        let compare = |said, read| same("the dump", said, &read).unwrap_err().to_string();
        let cut = compare((81_234, "a"), read(4096, "b"));
        assert!(cut.ends_with("the dump is cut short: 4,096 of 81,234 bytes"), "{cut}");
        let long = compare((999, "a"), read(1_000_000, "b"));
        assert!(long.ends_with("too long: 1,000,000 bytes in place of 999"), "{long}");
        let changed = compare((5, "a"), read(5, "b"));
        assert!(changed.ends_with("its SHA-256 is another one"), "{changed}");
        same("the dump", (5, "a"), &read(5, "a")).unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_is_cut_is_no_dump_that_is_cut_short() {
        let key = age::x25519::Identity::generate();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let secret = key.to_string();
        writeln!(file, "{}", secret.expose_secret()).unwrap();
        let identities = Identities::load(file.path()).unwrap();
        let recipients = Recipients::parse(&[key.to_public().to_string()]).unwrap().unwrap();
        let mut encryptor = Encryptor::new(&recipients).unwrap();
        let mut whole = encryptor.encrypt(&vec![7; 300_000]).unwrap().to_vec();
        whole.extend(encryptor.finish().unwrap());
        let folder = tempfile::tempdir().unwrap();

        // Within the header, and within what follows it. After the error the stream is at its end, as those of buckets are.
        for cut in [40, 150_000] {
            for is_decrypted in [true, false] {
                let lost = StorageError::TooLarge("the connection".into());
                let pieces = [Ok(&whole[..cut]), Err(io::Error::other(lost))];
                let reader = tokio_util::io::StreamReader::new(futures::stream::iter(pieces));
                let mut dump = Summed::new(reader);
                if is_decrypted {
                    let to = Unnamed::new(folder.path()).unwrap();
                    assert!(decrypt(&mut dump, &identities, &to).await.is_err());
                }
                let unread = |error: io::Error| error.downcast::<StorageError>().unwrap().into();
                let error = read_on(&mut dump, None, unread).await.unwrap_err();
                assert!(
                    matches!(error, RecoveryError::Storage(StorageError::TooLarge(_))),
                    "{error:?}"
                );
            }
        }
    }
}
