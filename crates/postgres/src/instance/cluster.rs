//! A new database cluster, made by initdb.

use std::ffi::OsString;

use nix::sys::signal::Signal;

use super::data_folder::DataFolder;
use super::installation::Installation;
use super::log_tail::LogTail;
use super::program;
use super::role::SUPERUSER;
use crate::error::PostgresError;
use crate::process::{Process, describe};

/// Since this version a locale of PostgreSQL's own sorts and compares, independent of the system's.
const BUILTIN_LOCALES: u32 = 17;

/// Makes the folder's cluster. It is made under another name and renamed, so that a killed initdb harms nothing.
pub(super) async fn make(
    installation: &Installation,
    folder: &DataFolder,
    throwaway: bool,
) -> Result<(), PostgresError> {
    let unfinished = folder.make_unfinished_cluster()?;
    let mut arguments: Vec<OsString> = vec!["-D".into(), unfinished.clone().into()];
    let fixed = ["--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums", "--auth=scram-sha-256"];
    arguments.extend(fixed.map(OsString::from));
    if installation.version().major() >= BUILTIN_LOCALES {
        let builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"];
        arguments.extend(builtin.map(OsString::from));
    }
    arguments.extend(["--username", SUPERUSER, "--pwfile"].map(OsString::from));
    arguments.push(folder.password_path(SUPERUSER).into());
    arguments.push("--no-instructions".into());
    if throwaway {
        arguments.push("--no-sync".into());
    }

    let log = folder.open_log()?;
    let tail = LogTail::from_here(&folder.log_path());
    let initdb = installation.program("initdb");
    let mut process =
        EndsWhole(program::start(&initdb, &arguments, folder.account(), Signal::SIGKILL, &log)?);
    let status = process.0.ended().await;
    if status.is_some_and(|status| status.success()) {
        return folder.adopt_cluster(&unfinished);
    }
    Err(PostgresError::Failed {
        program: "initdb",
        status: describe(status),
        said: tail.complaints(),
        log: Some(folder.log_path()),
    })
}

/// initdb with the processes that it starts, which end together when nobody waits for them any more.
struct EndsWhole(Process);

impl Drop for EndsWhole {
    fn drop(&mut self) {
        self.0.signal_group(Signal::SIGKILL);
    }
}
