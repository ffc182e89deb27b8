//! What a command that was killed may have left: processes, files, and manifests without a dump.

use std::fs;
use std::path::{Path, PathBuf};

use agentfs_contract::manifest::{Manifest, hex};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The suffix of manifests.
const MANIFEST: &str = ".manifest.json";
/// What the names of leases hold.
const LEASE: &str = ".lease_";

/// What of PostgreSQL is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Victim {
    /// The sessions of the database: of the program itself, and of pg_dump.
    Sessions,
    /// The throwaway PostgreSQL.
    Throwaway,
    /// PostgreSQL as a whole, by its first process.
    Server,
    /// The session that holds the lock of a restore in place. It is told to end, as an administrator does it.
    Holder,
}

/// The processes that have to do with a folder: it is in their environment, their arguments, or they are in it.
pub(super) fn processes(folder: &Path) -> Vec<String> {
    found(folder).into_iter().map(|(pid, command)| format!("{pid} {command}")).collect()
}

/// Those of them that are a PostgreSQL server's first process.
pub(super) fn postmasters(folder: &Path) -> Vec<i32> {
    let all = found(folder).into_iter();
    all.filter(|(_, command)| command.contains("/postgres -D ")).map(|(pid, _)| pid).collect()
}

/// The state of a process, such as `T` of one that is stopped; `None` of one that is gone.
pub(super) fn state(process: i32) -> Option<char> {
    stat(process)?.chars().next()
}

/// Whether a process is there and no zombie.
pub(super) fn alive(process: i32) -> bool {
    state(process).is_some_and(|state| state != 'Z')
}

/// The process that started a process.
pub(super) fn parent(process: i32) -> i32 {
    stat(process).unwrap().split(' ').nth(1).unwrap().parse().unwrap()
}

/// What /proc tells of a process after its name.
fn stat(process: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned())
}

fn found(folder: &Path) -> Vec<(i32, String)> {
    let folder = folder.to_str().unwrap();
    let of_folder = |process: &PathBuf| {
        let read = |name| fs::read(process.join(name)).unwrap_or_default();
        let names = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(folder);
        let inside = fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
        inside || names(&read("environ")) || names(&read("cmdline"))
    };
    let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    all.filter(of_folder)
        .filter_map(|process| {
            let pid = process.file_name()?.to_str()?.parse().ok()?;
            let command = fs::read(process.join("cmdline")).ok()?;
            Some((pid, String::from_utf8_lossy(&command).replace('\0', " ")))
        })
        .collect()
}

/// All files below a folder, sorted.
fn all(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => files.extend(all(&path)),
            path => files.push(path),
        }
    }
    files.sort();
    files
}

/// The ids of the backups at a location, the oldest first.
pub(super) fn ids(location: &Path) -> Vec<String> {
    let names = all(location).into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?;
        name.strip_suffix(MANIFEST).map(str::to_owned)
    });
    names.collect()
}

/// Makes all leases such that have ended; returns whether there are any.
pub(super) fn end_leases(location: &Path) -> bool {
    let leases = all(location).into_iter().filter(|path| path.to_str().unwrap().contains(LEASE));
    let ended = leases.map(|path| {
        let mut lease: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        lease["until"] = "2026-01-01T00:00:00Z".into();
        fs::write(path, lease.to_string()).unwrap();
    });
    ended.count() > 0
}

/// Asserts that each manifest has a dump, and that it is the one that the manifest is of.
pub(super) fn manifests_have_their_dumps(location: &Path) {
    for path in all(location) {
        if !path.to_str().unwrap().ends_with(MANIFEST) {
            continue;
        }
        let manifest = Manifest::read(&fs::read(&path).unwrap()).unwrap();
        let dump = fs::read(path.with_file_name(&manifest.file));
        let dump =
            dump.unwrap_or_else(|error| panic!("{} without its dump: {error}", path.display()));
        let sum = hex(&Sha256::digest(&dump));
        assert_eq!(
            (dump.len() as u64, sum),
            (manifest.bytes, manifest.sha256),
            "{}",
            path.display()
        );
    }
}

/// What is left at a location besides backups and the verifications that they have passed, and in the folder of temporary files.
pub(super) fn files(location: &Path, temporary: &Path) -> Vec<String> {
    let kept = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let stem = name.split('.').next().unwrap();
        let is_of_backup = path.with_file_name(format!("{stem}{MANIFEST}")).exists()
            && !name.ends_with(".partial")
            && !name.contains(LEASE)
            && !name.contains(".failed_");
        // The lock of a folder is a file that stays; whoever holds it is gone.
        is_of_backup || name == ".lock"
    };
    let objects = all(location).into_iter().filter(|path| !kept(path));
    let entries = fs::read_dir(temporary).unwrap().map(|entry| entry.unwrap().path());
    objects.chain(entries).map(|path| path.display().to_string()).collect()
}
