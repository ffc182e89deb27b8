//! A dump, streamed from `pg_dump` into the storage, and hashed while it passes.

use std::ffi::{OsStr, OsString};

use bytes::BytesMut;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::ChildStderr;

use super::error::RecoveryError;
use super::programs::Programs;
use super::storage::Upload;
use crate::store::fingerprint::TableName;

/// How long a dump waits for a table that somebody else holds, such as a migration.
const LOCK_WAIT: &str = "--lock-wait-timeout=60s";
/// Bytes that are passed on at once.
const PIECE: usize = 1 << 20;
/// Most bytes of a program's messages that are kept.
const MAX_SAID: u64 = 16 << 10;

/// What is dumped.
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
}

/// What a dump amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digest {
    /// Its size.
    pub(super) bytes: u64,
    /// Its SHA-256 in hexadecimal.
    pub(super) sha256: String,
}

/// Dumps into `upload`, which is not finished yet then.
pub(super) async fn dump(
    programs: &Programs,
    variables: &[(&'static str, String)],
    wanted: &Wanted<'_>,
    upload: &mut Upload,
) -> Result<Digest, RecoveryError> {
    let arguments = arguments(programs.compression(), wanted);
    let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
    let mut child = programs.start("pg_dump", variables, &arguments)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let passed = async {
        match stdout {
            Some(stdout) => pass(stdout, upload).await,
            None => Ok(Digest { bytes: 0, sha256: String::new() }),
        }
    };
    let (passed, said) = tokio::join!(passed, said(stderr));
    // What the storage failed with is the reason, and pg_dump's word on its closed pipe is not.
    let digest = passed?;
    let status = child.wait().await.map_err(|error| failed(error.to_string()))?;
    if status.success() {
        Ok(digest)
    } else {
        Err(failed(if said.is_empty() { status.to_string() } else { said }))
    }
}

fn failed(said: String) -> RecoveryError {
    RecoveryError::Program { program: "pg_dump", said }
}

fn arguments(compression: &str, wanted: &Wanted<'_>) -> Vec<OsString> {
    let fixed = ["-Fc", "-Z", compression, LOCK_WAIT, "--no-password", "--no-unlogged-table-data"];
    let mut arguments: Vec<OsString> = fixed.map(OsString::from).into();
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
    upload: &mut Upload,
) -> Result<Digest, RecoveryError> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    loop {
        let mut piece = BytesMut::with_capacity(PIECE);
        while piece.len() < PIECE {
            let read = from.read_buf(&mut piece).await;
            if read.map_err(|error| failed(error.to_string()))? == 0 {
                break;
            }
        }
        if piece.is_empty() {
            let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            return Ok(Digest { bytes, sha256 });
        }
        hash.update(&piece);
        bytes += piece.len() as u64;
        upload.write(piece.freeze()).await?;
    }
}

/// What a program says on standard error, in one line.
async fn said(stderr: Option<ChildStderr>) -> String {
    let Some(mut stderr) = stderr else { return String::new() };
    let mut said = Vec::new();
    let _ = (&mut stderr).take(MAX_SAID).read_to_end(&mut said).await;
    // The rest is read as well: a full pipe would stop the program.
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    said.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}
