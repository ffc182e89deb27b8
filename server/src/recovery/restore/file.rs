//! A file of `pg_dump -Fc` without a manifest: what it says of itself takes the place of one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;

use agentfs_contract::manifest::{Manifest, Purpose, Scope};
use agentfs_postgres::SUPPORTED;

use super::contents::{Contents, rows_of};
use super::error::RestoreError;
use crate::recovery::error::RecoveryError;
use crate::recovery::fetch::{Fetched, sum};
use crate::recovery::programs::Programs;
use crate::recovery::unnamed::Unnamed;
use crate::store::schema::SCHEMA_VERSION;

/// Manifests of this format claim rows alone, which is all that can be told of a file.
const FORMAT: u32 = 1;
/// Digits of the sum that tell files of one name apart.
const DIGITS: usize = 12;

/// A file whose table of contents was read.
#[derive(Debug)]
pub(super) struct File {
    programs: Programs,
    fetched: Fetched,
}

impl File {
    /// Opens a file for a restore into a server of the major version `server`. Returns what takes the place of its manifest too, and
    /// what cannot be checked, as sentences.
    pub(super) async fn open(
        path: &Path,
        pg_bin: Option<&Path>,
        server: u32,
    ) -> Result<(Self, Manifest, Vec<String>), RecoveryError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let unread = |error: io::Error| unusable(&path, &error.to_string());
        let (bytes, sha256) = sum(&path).await.map_err(unread)?;
        if bytes == 0 {
            return Err(unusable(
                &path,
                "it is empty: make one by `pg_dump -Fc`, or name another one",
            ));
        }
        let programs = newest(pg_bin, server).await?;
        let list = ["--list".as_ref(), path.as_os_str()];
        // It prints the time as the machine had it that made the dump.
        let utc = [("TZ", "UTC".to_owned()), ("LC_ALL", "C".to_owned())];
        let list = programs.run("pg_restore", &utc, &list).await;
        let list = list.map_err(|error| not_a_dump(&path, error))?;
        let contents = Contents::of(&list).map_err(|why| unusable(&path, &why))?;

        let selection = Unnamed::new(&std::env::temp_dir())?;
        let written = selection.file().write_all(contents.selection.as_bytes());
        written.map_err(RecoveryError::WorkFolder)?;
        let file = Self { programs, fetched: Fetched::part_of(path.clone(), selection) };
        let mut notes = contents.notes();
        let (schema_version, min_compatible) = file.schema(&contents, &path, &mut notes).await?;
        let manifest = Manifest {
            format: FORMAT,
            purpose: Purpose::Backup,
            scope: if contents.tables.contains("schema_version") {
                Scope::Full
            } else {
                Scope::Entries
            },
            file: name(&path, &sha256),
            bytes,
            sha256,
            encryption: None,
            instance: String::new(),
            schema_version,
            min_compatible,
            postgres: contents.postgres,
            pg_dump: contents.pg_dump,
            program: String::new(),
            snapshot_at: contents.created_at,
            finished_at: contents.created_at,
            database_bytes: 0,
            tables: BTreeMap::new(),
            left_out: Vec::new(),
            checksum: String::new(),
        };
        Ok((file, manifest, notes))
    }

    /// The programs that read it, and where it is.
    pub(super) fn into_parts(self) -> (Programs, Fetched) {
        (self.programs, self.fetched)
    }

    /// The version of its schema, and the oldest that a program may have been built for that works on it.
    async fn schema(
        &self,
        contents: &Contents,
        path: &Path,
        notes: &mut Vec<String>,
    ) -> Result<(i32, i32), RecoveryError> {
        if !contents.tables.contains("schema_version") {
            notes.push(format!(
                "It does not say which schema it has: it is taken for version {SCHEMA_VERSION}, that of this program."
            ));
            return Ok((SCHEMA_VERSION, SCHEMA_VERSION));
        }
        let mut arguments = vec!["--file=-".into(), "--section=data".into()];
        arguments.push("--table=schema_version".into());
        arguments.extend(self.fetched.selected());
        let arguments: Vec<_> = arguments.iter().map(OsString::as_os_str).collect();
        let read = self.programs.run("pg_restore", &[], &arguments).await;
        let sql = read.map_err(RecoveryError::of_dump)?;
        let version = |row: &[(&str, &str)], column: &str| {
            let found = row.iter().find(|(name, _)| *name == column)?;
            found.1.parse::<i32>().ok()
        };
        let rows = rows_of(&sql);
        let versions = rows
            .first()
            .and_then(|row| Some((version(row, "version")?, version(row, "min_compatible")?)));
        match versions {
            Some((version, _)) if version > SCHEMA_VERSION => {
                Err(RestoreError::NewerFile { path: path.to_owned(), schema: version }.into())
            }
            Some(versions) => Ok(versions),
            None => {
                Err(unusable(path, "its table schema_version is empty: it is a dump without rows"))
            }
        }
    }
}

/// The newest programs there are that restore into the server: they read what older ones have dumped.
async fn newest(pg_bin: Option<&Path>, server: u32) -> Result<Programs, RecoveryError> {
    let mut found = Err(RecoveryError::NoProgram { program: "pg_restore", major: server });
    for major in (server..=*SUPPORTED.end()).rev() {
        found = Programs::find_for_archive(pg_bin, major, server).await;
        if found.is_ok() {
            break;
        }
    }
    found
}

/// What stands for the file's name in the manifest: an id that no other file has.
fn name(path: &Path, sha256: &str) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').next().unwrap_or_default();
    format!("{stem}@{}.dump", &sha256[..DIGITS])
}

fn unusable(path: &Path, why: &str) -> RecoveryError {
    RestoreError::File { path: path.to_owned(), why: why.to_owned() }.into()
}

/// What `pg_restore` says of a file that is no archive, or of a newer one.
fn not_a_dump(path: &Path, error: RecoveryError) -> RecoveryError {
    match error {
        RecoveryError::Program { said, .. } if said.contains("text format dump") => unusable(
            path,
            "it is a dump in plain SQL, which psql would have to execute: make one by `pg_dump -Fc`",
        ),
        RecoveryError::Program { said, .. } if said.contains("end of file") => {
            unusable(path, "it is cut short")
        }
        RecoveryError::Program { said, .. } if said.contains("valid archive") => unusable(
            path,
            "it is no file of `pg_dump -Fc`, or it is encrypted or damaged: decrypt it first by `age -d`, or restore it by --from where it \
             lies beside its manifest",
        ),
        other => other,
    }
}
