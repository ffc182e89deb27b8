//! The list of versions that a restore in place, or its undoing, took out of the live memory.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::pin::pin;

use futures::{Stream, TryStreamExt as _};

use super::error::InPlaceError;
use crate::recovery::RecoveryError;
use crate::settings::DatabaseUrl;
use crate::store::StoreError;
use crate::store::connection::address::DatabaseAddress;
use crate::store::in_place::lost::{self, LostVersion};
use crate::store::in_place::switch;

/// Writes each version of the previous tables that is not live as a line of JSON into a new file, which our user alone may read,
/// since paths are private. Returns how many there are. Nothing is left of a file that did not come to its end.
pub async fn write_to(url: &DatabaseUrl, path: &Path) -> Result<u64, RecoveryError> {
    let mut connection = DatabaseAddress::of(url).connect_unlimited().await?;
    if !lost::is_known(&mut connection).await? {
        return Err(InPlaceError::NothingLost.into());
    }
    let live = switch::live_schema(&mut connection).await?;
    let mut private = OpenOptions::new();
    let file = private.write(true).create_new(true).mode(0o600).open(path);
    let file = file.map_err(|error| unwritten(path, error))?;
    let written = write(lost::each(&mut connection, &live), BufWriter::new(file), path).await;
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

async fn write(
    versions: impl Stream<Item = Result<LostVersion, StoreError>>,
    mut file: BufWriter<fs::File>,
    path: &Path,
) -> Result<u64, RecoveryError> {
    let mut versions = pin!(versions);
    let mut written = 0;
    while let Some(version) = versions.try_next().await? {
        let line = serde_json::to_writer(&mut file, &version).map_err(io::Error::from);
        line.and_then(|()| writeln!(file)).map_err(|error| unwritten(path, error))?;
        written += 1;
    }
    let file = file.into_inner().map_err(|error| unwritten(path, error.into_error()))?;
    file.sync_all().map_err(|error| unwritten(path, error))?;
    Ok(written)
}

fn unwritten(path: &Path, error: io::Error) -> RecoveryError {
    InPlaceError::List { path: path.to_owned(), error }.into()
}
