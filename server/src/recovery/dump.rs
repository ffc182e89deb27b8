//! A dump, streamed from `pg_dump` into the storage, and hashed and encrypted while it passes.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use agentfs_contract::manifest::hex;
use agentfs_postgres::Pipes;
use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::encryption::{Encryptor, Recipients};
use super::error::RecoveryError;
use super::fault_point::{FaultPoint, reach};
use super::programs::Programs;
use super::storage::Upload;
use crate::store::fingerprint::TableName;

/// Bytes that are passed on at once.
const PIECE: usize = 1 << 20;

/// What is dumped, and how.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// The snapshot's name.
    pub(super) snapshot: &'a str,
    /// The tables.
    pub(super) tables: &'a [TableName],
    /// Those of them whose rows are left out.
    pub(super) left_out: &'a [TableName],
    /// Whether the extension of vectors comes with them.
    pub(super) extension: bool,
    /// How long a table is waited for that somebody else holds.
    pub(super) lock_wait: Duration,
    /// Whom the dump is encrypted to.
    pub(super) recipients: Option<&'a Recipients>,
}

/// A stream of bytes that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digest {
    /// Its size.
    pub(super) bytes: u64,
    /// Its SHA-256 in hexadecimal.
    pub(super) sha256: String,
}

/// What a dump amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dumped {
    /// The file as it is stored.
    pub(super) stored: Digest,
    /// What was encrypted, if it was.
    pub(super) plain: Option<Digest>,
}

/// Dumps into `upload`, which is not finished yet then. Dropped before its end, it ends `pg_dump`.
pub(super) async fn dump(
    programs: &Programs,
    variables: &[(&'static str, String)],
    wanted: &Wanted<'_>,
    upload: &mut Upload,
) -> Result<Dumped, RecoveryError> {
    let encryptor = wanted.recipients.map(Encryptor::new).transpose()?;
    let arguments = arguments(programs.compression(), wanted);
    let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
    let pipes = Pipes { stdout: true, ..Pipes::default() };
    let mut running = programs.start("pg_dump", variables, &arguments, pipes)?;
    let stdout = running.stdout().ok_or_else(|| failed("its output cannot be read".to_owned()))?;
    // What the storage fails with ends pg_dump, whose word on its closed pipe says nothing.
    let dumped = pass(stdout, encryptor, upload).await?;
    running.ended().await?;
    Ok(dumped)
}

fn failed(said: String) -> RecoveryError {
    RecoveryError::Program { program: "pg_dump", said }
}

fn arguments(compression: &str, wanted: &Wanted<'_>) -> Vec<OsString> {
    let fixed = ["-Fc", "-Z", compression, "--no-password", "--no-unlogged-table-data"];
    let mut arguments: Vec<OsString> = fixed.map(OsString::from).into();
    arguments.push(format!("--lock-wait-timeout={}ms", wanted.lock_wait.as_millis()).into());
    arguments.push(format!("--snapshot={}", wanted.snapshot).into());
    arguments.extend(wanted.tables.iter().map(|table| format!("--table={}", table.quoted).into()));
    let left_out = wanted.left_out.iter();
    arguments.extend(left_out.map(|table| format!("--exclude-table-data={}", table.quoted).into()));
    if wanted.extension {
        arguments.push("--extension=vector".into());
    }
    arguments
}

/// Passes all that is read on to the storage.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut encryptor: Option<Encryptor>,
    upload: &mut Upload,
) -> Result<Dumped, RecoveryError> {
    let (mut plain, mut stored) = (Hashing::default(), Hashing::default());
    loop {
        let piece = piece(&mut from).await?;
        if piece.is_empty() {
            break;
        }
        let piece = match &mut encryptor {
            Some(encryptor) => {
                plain.add(&piece);
                encryptor.encrypt(&piece)?
            }
            None => piece,
        };
        stored.add(&piece);
        upload.write(piece).await?;
        reach(FaultPoint::DumpHalfWritten);
    }
    let is_encrypted = encryptor.is_some();
    if let Some(encryptor) = encryptor {
        let end = encryptor.finish()?;
        stored.add(&end);
        upload.write(end).await?;
    }
    Ok(Dumped { stored: stored.end(), plain: is_encrypted.then(|| plain.end()) })
}

/// The next [`PIECE`] bytes, or what is left.
async fn piece(from: &mut (impl AsyncRead + Unpin)) -> Result<Bytes, RecoveryError> {
    let mut piece = BytesMut::with_capacity(PIECE);
    while piece.len() < PIECE {
        let read = from.read_buf(&mut piece).await;
        if read.map_err(|error| failed(error.to_string()))? == 0 {
            break;
        }
    }
    Ok(piece.freeze())
}

/// The digest of what was added so far.
#[derive(Default)]
struct Hashing {
    hash: Sha256,
    bytes: u64,
}

impl Hashing {
    fn add(&mut self, piece: &[u8]) {
        self.hash.update(piece);
        self.bytes += piece.len() as u64;
    }

    fn end(self) -> Digest {
        Digest { bytes: self.bytes, sha256: hex(&self.hash.finalize()) }
    }
}
