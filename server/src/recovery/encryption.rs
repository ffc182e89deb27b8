//! Encrypts dumps with age: who writes one cannot read it, and the tool `age` opens it by hand.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use age::stream::{StreamReader, StreamWriter};
use age::{DecryptError, Decryptor, x25519};
use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, BufReader, ReadBuf};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _};

/// The name of age in manifests.
pub(super) const SCHEME: &str = "age";
/// The suffix of encrypted files.
pub(super) const SUFFIX: &str = ".age";

/// What secret keys begin with, in either case.
const SECRET: &str = "AGE-SECRET-KEY-";

/// Why something was not encrypted or decrypted. None of the sentences repeats what was given: it may be secret.
#[derive(Debug, thiserror::Error)]
pub enum EncryptionError {
    /// A list of recipients names none.
    #[error(
        "the list of age recipients names nobody: give at least one (age1…), or leave it out for dumps in plain"
    )]
    Nobody,
    /// A secret key was given as a recipient.
    #[error(
        "recipient {0} is a secret key, and backups are encrypted to public ones, which begin with age1 (`age-keygen -y FILE` prints \
         it). Who sees the arguments and the environment of this process may have read it: make a new one"
    )]
    SecretAsRecipient(usize),
    /// A recipient is none.
    #[error(
        "recipient {number} is none ({why}); recipients are the public keys of age, which begin with age1 and which `age-keygen` prints"
    )]
    NoRecipient {
        /// Which of the recipients, from 1 on.
        number: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file of the identities cannot be read.
    #[error("the identity file {path} cannot be read: {error}")]
    IdentityFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// A line of the file is no identity.
    #[error(
        "line {line} of the identity file {path} is no identity ({why}); identities are the secret keys of age, which begin with \
         AGE-SECRET-KEY-1 and which `age-keygen` makes"
    )]
    NoIdentity {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file has comments alone.
    #[error("the identity file {0} has no identity in it; `age-keygen` makes one")]
    Empty(PathBuf),
    /// The backup is encrypted, and no identity was given.
    #[error(
        "the backup {0} is encrypted: name the file of an identity that it was encrypted to, with --identity-file or BACKUP_IDENTITY_FILE"
    )]
    IdentityNeeded(String),
    /// No identity decrypts the file.
    #[error(
        "none of the identities in {0} decrypts it: it was encrypted to other recipients, or its header is damaged"
    )]
    OtherRecipients(PathBuf),
    /// The file is no age file, or a damaged one.
    #[error("the encrypted file is damaged: {0}")]
    Damaged(String),
    /// It cannot be read.
    #[error("the encrypted file cannot be read: {0}")]
    Unread(#[source] io::Error),
    /// It cannot be encrypted.
    #[error("the dump cannot be encrypted: {0}")]
    Failed(String),
}

/// Those who can read what is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipients(Vec<x25519::Recipient>);

impl Recipients {
    /// Parses recipients, with commas or spaces between them; `None` where there are none.
    pub fn parse(texts: &[String]) -> Result<Option<Self>, EncryptionError> {
        let words = texts.iter().flat_map(|text| text.split([',', ' ', '\n', '\t']));
        let words = words.filter(|word| !word.is_empty());
        let parsed = words.enumerate().map(|(index, word)| {
            let number = index + 1;
            if is_secret(word) {
                return Err(EncryptionError::SecretAsRecipient(number));
            }
            word.parse().map_err(|why| EncryptionError::NoRecipient { number, why })
        });
        let parsed: Vec<x25519::Recipient> = parsed.collect::<Result<_, _>>()?;
        // A dump in plain must not come of a list that was meant to name somebody.
        if parsed.is_empty() && texts.iter().any(|text| !text.is_empty()) {
            return Err(EncryptionError::Nobody);
        }
        Ok((!parsed.is_empty()).then_some(Self(parsed)))
    }
}

fn is_secret(text: &str) -> bool {
    text.get(..SECRET.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(SECRET))
}

/// The secret keys of a file, one a line; empty lines and those that begin with `#` are comments.
#[derive(Clone)]
pub struct Identities {
    path: PathBuf,
    keys: Vec<x25519::Identity>,
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} identities of {:?}", self.keys.len(), self.path)
    }
}

impl Identities {
    /// Reads a file as `age-keygen` writes it.
    pub fn load(path: &Path) -> Result<Self, EncryptionError> {
        let unread = |error| EncryptionError::IdentityFile { path: path.to_owned(), error };
        let text = SecretString::from(fs::read_to_string(path).map_err(unread)?);
        let lines = text.expose_secret().lines().map(str::trim).zip(1..);
        let keys = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
        let keys = keys.map(|(key, line)| {
            let no_identity =
                |why| EncryptionError::NoIdentity { path: path.to_owned(), line, why };
            match key.parse::<x25519::Recipient>() {
                Ok(_) => Err(no_identity("it is a recipient, which decrypts nothing")),
                Err(_) => key.parse().map_err(no_identity),
            }
        });
        let keys: Vec<x25519::Identity> = keys.collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(EncryptionError::Empty(path.to_owned()));
        }
        Ok(Self { path: path.to_owned(), keys })
    }
}

/// Encrypts a stream piece by piece.
pub(super) struct Encryptor {
    stream: StreamWriter<Ready>,
    ready: Ready,
}

/// What is encrypted and was not taken yet.
#[derive(Debug, Clone, Default)]
struct Ready(Arc<Mutex<Vec<u8>>>);

impl Ready {
    fn take(&self) -> Bytes {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

impl Write for Ready {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Encryptor {
    pub(super) fn new(recipients: &Recipients) -> Result<Self, EncryptionError> {
        let ready = Ready::default();
        let keys = recipients.0.iter().map(|key| key as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(keys).map_err(failed)?;
        let stream = encryptor.wrap_output(ready.clone()).map_err(failed)?;
        Ok(Self { stream, ready })
    }

    /// Takes a piece, and returns what is ready of the encrypted stream: chunks of 64 KiB.
    pub(super) fn encrypt(&mut self, piece: &[u8]) -> Result<Bytes, EncryptionError> {
        self.stream.write_all(piece).map_err(failed)?;
        Ok(self.ready.take())
    }

    /// The end of the encrypted stream.
    pub(super) fn finish(self) -> Result<Bytes, EncryptionError> {
        self.stream.finish().map_err(failed)?;
        Ok(self.ready.take())
    }
}

fn failed(error: impl fmt::Display) -> EncryptionError {
    EncryptionError::Failed(error.to_string())
}

/// The plain bytes of an encrypted stream. A read of what is damaged fails with [`ErrorKind::InvalidData`]; what came before is
/// what was encrypted.
pub struct Decrypting<R>(Compat<StreamReader<Compat<BufReader<R>>>>);

/// Reads the header of an encrypted stream, and decrypts the rest while it is read.
pub async fn decrypting<R: AsyncRead + Unpin>(
    reader: R,
    identities: &Identities,
) -> Result<Decrypting<R>, EncryptionError> {
    let explained = |error| match error {
        DecryptError::NoMatchingKeys => EncryptionError::OtherRecipients(identities.path.clone()),
        DecryptError::Io(error) if !is_of_content(&error) => EncryptionError::Unread(error),
        DecryptError::Io(_) => EncryptionError::Damaged("it ends within its header".into()),
        error => EncryptionError::Damaged(error.to_string()),
    };
    let reader = BufReader::with_capacity(1 << 17, reader).compat();
    let decryptor = Decryptor::new_async_buffered(reader).await.map_err(explained)?;
    let keys = identities.keys.iter().map(|key| key as &dyn age::Identity);
    let stream = decryptor.decrypt_async(keys).map_err(explained)?;
    Ok(Decrypting(stream.compat()))
}

impl<R: AsyncRead + Unpin> AsyncRead for Decrypting<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer).map_err(|error| {
            if is_of_content(&error) {
                let damaged = EncryptionError::Damaged(error.to_string());
                return io::Error::new(ErrorKind::InvalidData, damaged);
            }
            error
        })
    }
}

/// Whether an error is of what was read rather than of reading it.
fn is_of_content(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// A file of identities, with the recipients of them.
    fn identities(count: usize) -> (tempfile::NamedTempFile, Identities, Vec<String>) {
        let keys: Vec<_> = (0..count).map(|_| x25519::Identity::generate()).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for key in &keys {
            let secret = key.to_string();
            writeln!(file, "# public key: {}\n\n{}", key.to_public(), secret.expose_secret())
                .unwrap();
        }
        let loaded = Identities::load(file.path()).unwrap();
        (file, loaded, keys.iter().map(|key| key.to_public().to_string()).collect())
    }

    fn encrypted(recipients: &[String], pieces: &[&[u8]]) -> Vec<u8> {
        let recipients = Recipients::parse(recipients).unwrap().unwrap();
        let mut encryptor = Encryptor::new(&recipients).unwrap();
        let mut whole = Vec::new();
        for piece in pieces {
            whole.extend(encryptor.encrypt(piece).unwrap());
        }
        whole.extend(encryptor.finish().unwrap());
        whole
    }

    #[test]
    fn a_list_that_names_nobody_makes_no_dump_in_plain() {
        for list in [",", " ", "\n,"] {
            let parsed = Recipients::parse(&[list.to_owned()]);
            assert!(matches!(parsed, Err(EncryptionError::Nobody)), "{list:?}");
        }
        for none in [&[][..], &[String::new()]] {
            assert!(matches!(Recipients::parse(none), Ok(None)));
        }
    }

    async fn decrypted(file: &[u8], identities: &Identities) -> Result<Vec<u8>, String> {
        let mut plain = Vec::new();
        let mut reader = decrypting(file, identities).await.map_err(|error| error.to_string())?;
        reader.read_to_end(&mut plain).await.map_err(|error| {
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            error.to_string()
        })?;
        Ok(plain)
    }

    #[tokio::test]
    async fn each_recipient_reads_what_was_encrypted_and_nobody_else() {
        let (_files, one, mut recipients) = identities(1);
        let (_file, two, more) = identities(2);
        recipients.extend(more);
        let plain: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        for pieces in [vec![&plain[..]], plain.chunks(70_000).collect(), vec![]] {
            let file = encrypted(&recipients, &pieces);
            for identities in [&one, &two] {
                assert_eq!(decrypted(&file, identities).await, Ok(pieces.concat()));
            }
            let (_file, stranger, _) = identities(1);
            let error = decrypted(&file, &stranger).await.unwrap_err();
            assert!(error.contains("encrypted to other recipients"), "{error}");
        }
    }

    #[tokio::test]
    async fn damage_is_told_from_everything_else() {
        let (_file, ours, recipients) = identities(1);
        let file = encrypted(&recipients, &[&vec![7; 200_000]]);
        let mut flipped = file.clone();
        flipped[150_000] ^= 1;
        for damaged in [&flipped[..], &file[..150_000], &file[..file.len() - 1]] {
            let error = decrypted(damaged, &ours).await.unwrap_err();
            assert!(error.starts_with("the encrypted file is damaged"), "{error}");
        }
        for header in [&file[..100], &b"PGDMP\x01\x10"[..], &[]] {
            let error = decrypted(header, &ours).await.unwrap_err();
            assert!(error.starts_with("the encrypted file is damaged"), "{error}");
        }
    }

    #[test]
    fn recipients_are_named_by_number_and_a_secret_is_never_shown() {
        let secret = x25519::Identity::generate().to_string();
        let (_file, _, recipients) = identities(1);
        let parse =
            |text: String| Recipients::parse(&[text]).map(|found| found.map(|it| it.0.len()));
        assert_eq!(parse(format!("{}, {0}", recipients[0])).unwrap(), Some(2));
        for secret in [secret.expose_secret().to_owned(), secret.expose_secret().to_lowercase()] {
            let error = parse(format!("{},{secret}", recipients[0])).unwrap_err().to_string();
            assert!(error.starts_with("recipient 2 is a secret key"), "{error}");
            assert!(!error.to_lowercase().contains(&secret.to_lowercase()[20..]), "{error}");
        }
        for none in ["ssh-ed25519", "age1pq1xyz", "hunter2", &recipients[0][..50]] {
            let error = parse(none.to_owned()).unwrap_err().to_string();
            assert!(error.starts_with("recipient 1 is none (") && !error.contains(none), "{error}");
        }
    }

    #[test]
    fn a_file_of_identities_is_explained_by_its_lines() {
        let (_file, _, recipients) = identities(1);
        let secret = x25519::Identity::generate().to_string();
        let load = |text: &str| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            Identities::load(file.path()).map(|found| found.keys.len()).map_err(|e| e.to_string())
        };
        assert_eq!(load(&format!("# mine\r\n{}\r\n", secret.expose_secret())), Ok(1));
        let cut = &secret.expose_secret()[..60];
        for (text, why) in [
            (format!("\n{cut}"), "line 2 of the identity file"),
            (recipients[0].clone(), "it is a recipient, which decrypts nothing"),
            ("# nothing\n".to_owned(), "has no identity in it"),
        ] {
            let error = load(&text).unwrap_err();
            assert!(error.contains(why) && !error.contains(&cut[20..]), "{error}");
        }
        let error = Identities::load(Path::new("/nowhere/key")).unwrap_err().to_string();
        assert!(error.starts_with("the identity file /nowhere/key cannot be read"), "{error}");
    }
}
