//! Whether there is room for what is restored, before it is loaded and while it is. A volume that is full stops the live side as
//! well, so a restore gives way to it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentfs_contract::manifest::{Manifest, Table};
use nix::sys::statvfs::statvfs;
use tokio::time::sleep;

use super::error::InPlaceError;
use crate::recovery::error::RecoveryError;
use crate::recovery::size;
use crate::settings::DatabaseUrl;
use crate::store::connection::address::DatabaseAddress;
use crate::store::in_place::space::{self, Look, Place};
use crate::store::schema::MigrationError;

/// The part of what is free that a restore may use, in percent.
const MOST: u64 = 85;
/// How often PostgreSQL is asked what has grown.
const ASKED_EVERY: Duration = Duration::from_secs(1);
/// How often the volume is looked at, which costs nothing.
const SEEN_EVERY: Duration = Duration::from_millis(100);
/// Later than this PostgreSQL tells of its start after its `postmaster.pid` does, in seconds: it loads libraries and takes memory first.
const STARTS_WITHIN: i64 = 60;
/// What helps.
const ADVICE: &str = "make the volume larger, or free some of it (`agentfs-server restore --drop-previous` drops the tables that the \
     last restore took out)";

/// Room on the database's volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::recovery::restore) struct Room {
    /// Bytes that the restore needs.
    pub(in crate::recovery::restore) needed: u64,
    /// Bytes that are free; `None` where nobody knows.
    pub(in crate::recovery::restore) free: Option<u64>,
    /// What somebody should know, as sentences.
    pub(in crate::recovery::restore) notes: Vec<String>,
    watched: Watched,
}

impl Room {
    /// Of what takes the room of what is live.
    pub(super) fn of_live() -> Self {
        Self { needed: 0, free: None, notes: Vec::new(), watched: Watched::Nothing }
    }
}

/// What is watched while something is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Watched {
    /// Nobody knows how much is free.
    Nothing,
    /// What PostgreSQL says of its size; it may grow by so many bytes since.
    Growth { since: Look, most: u64 },
    /// The volumes that PostgreSQL writes to.
    Volumes(Vec<Volume>),
}

/// A volume, by a folder on it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Volume {
    folder: PathBuf,
    needed: u64,
    free: u64,
}

/// Looks for room; fails where there is too little. `given` is what somebody says to be free.
pub(super) async fn look(
    url: &DatabaseUrl,
    manifest: &Manifest,
    given: Option<u64>,
) -> Result<Room, RecoveryError> {
    let mut connection = DatabaseAddress::of(url).connect_unlimited().await?;
    let since = space::look(&mut connection).await?;
    let place = match given {
        Some(_) => None,
        None => space::place(&mut connection).await?,
    };
    Ok(room(manifest, given, since, place)?)
}

/// The same from what a server has told.
pub(in crate::recovery::restore) fn room(
    manifest: &Manifest,
    given: Option<u64>,
    since: Look,
    place: Option<Place>,
) -> Result<Room, InPlaceError> {
    let needs = Needs::of(manifest, &since);
    let watched = match given {
        Some(free) => {
            needs.fit("the database's volume", needs.all(), free)?;
            // WAL that nobody keeps is in no look.
            let unseen = if since.may_keep_wal { 0 } else { needs.wal };
            Watched::Growth { most: part(free).saturating_sub(unseen), since }
        }
        None => match volumes(place, &needs) {
            Some(volumes) => {
                for Volume { folder, needed, free } in &volumes {
                    needs.fit(&format!("the volume of {}", folder.display()), *needed, *free)?;
                }
                Watched::Volumes(volumes)
            }
            None => Watched::Nothing,
        },
    };
    Ok(needs.room(given, watched))
}

/// What a restore needs, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Needs {
    /// Tables and indexes, but for those of vectors.
    tables: u64,
    /// PostgreSQL's log of changes.
    wal: u64,
    /// Whether little is known of the backup.
    is_rough: bool,
}

impl Needs {
    /// What a load writes into the log was measured as 0.7 to 1.0 of what it writes into tables and indexes. All of it stays as long
    /// as somebody is behind; otherwise as much as PostgreSQL keeps.
    fn of(manifest: &Manifest, look: &Look) -> Self {
        let (tables, is_rough) = tables(manifest);
        let wal = if look.may_keep_wal { tables } else { tables.min(look.most_wal) };
        Self { tables, wal, is_rough }
    }

    fn all(self) -> u64 {
        self.tables.saturating_add(self.wal)
    }

    /// Fails where `needed` is more than may be used of what is free.
    fn fit(self, volume: &str, needed: u64, free: u64) -> Result<(), InPlaceError> {
        if needed <= part(free) {
            return Ok(());
        }
        Err(InPlaceError::NoSpace(format!(
            "the restore needs about {} on {volume} ({} of tables and indexes, {} of WAL), and {} are free there, of which it may use \
             {MOST} %: {ADVICE}; if more is free than that, name it by --free-space SIZE",
            size(needed),
            size(self.tables),
            size(self.wal),
            size(free)
        )))
    }

    fn room(self, given: Option<u64>, watched: Watched) -> Room {
        let mut notes = Vec::new();
        let (needed, free) = match &watched {
            Watched::Nothing | Watched::Growth { .. } => (self.all(), given),
            Watched::Volumes(volumes) => (volumes[0].needed, Some(volumes[0].free)),
        };
        if self.is_rough {
            notes.push(
                "Only the size of the dump is known of this backup: it may need several times as much room.".to_owned(),
            );
        }
        Room { needed, free, notes, watched }
    }
}

/// What may be used of so many free bytes.
fn part(free: u64) -> u64 {
    free / 100 * MOST
}

/// Bytes that empty tables and their indexes take, and by which PostgreSQL extends tables ahead of rows: at most 64 pages of 8 KiB each.
const EMPTY: u64 = 16 << 20;
/// A restored database is at most so much larger than the one that was dumped, in percent. It lacks what was deleted, but an index of words
/// is built in several passes over memory, which share no pages.
const OF_DATABASE: u64 = 120;
/// What a dump, compressed, becomes at least.
const OF_DUMP: u64 = 4;

/// Bytes of all tables, their TOAST and their indexes but those of vectors, and whether that is rough. It was measured on restored databases
/// of 1,500 to 80,000 entries, of values of 1 byte to 20 KB, paths of 6 to 700 bytes, and 384 to 1536 dimensions.
fn tables(manifest: &Manifest) -> (u64, bool) {
    let dumped =
        manifest.encryption.as_ref().map_or(manifest.bytes, |encryption| encryption.plain_bytes);
    let rows = manifest.tables.iter().map(|(name, table)| bytes_on_disk(name, table));
    match rows.sum::<Option<u64>>() {
        Some(bytes) if !manifest.tables.is_empty() => {
            let whole = manifest.database_bytes / 100 * OF_DATABASE;
            let most = if whole == 0 { bytes } else { bytes.min(whole) };
            (most + EMPTY, false)
        }
        _ => (dumped.saturating_mul(OF_DUMP) + EMPTY, true),
    }
}

/// Bytes that a table takes with its TOAST and its indexes, from those of its rows in binary format, which have 8 bytes a column besides
/// the data; `None` where the manifest does not tell.
fn bytes_on_disk(name: &str, table: &Table) -> Option<u64> {
    let percent = match name {
        // Both indexes hold the path again: 1.7 to 2.9, and 3.6 with paths of 700 bytes.
        "entries" => 350,
        // 1.1 to 1.5, and 2.2 with such paths; large values that compress well far less.
        "entry_versions" => 150,
        // 2.3 to 2.6; where each word is another one, the index of words alone takes 3.1.
        "search_documents" => 300,
        // 1.1 to 1.4: four vectors of 768 dimensions fill a page, five would not fit.
        "embeddings" | "embedding_chunks" => 140,
        // Jobs that wait are in seven indexes: 2.4. The others are small.
        _ => 250,
    };
    Some(table.bytes?.unsigned_abs() / 100 * percent)
}

/// The volumes of tables and of the log of changes, where the server is on this machine and its folders can be looked at.
fn volumes(place: Option<Place>, needs: &Needs) -> Option<Vec<Volume>> {
    // Where our user may not look, nobody knows.
    volumes_of(&place?, needs).unwrap_or_default()
}

fn volumes_of(place: &Place, needs: &Needs) -> io::Result<Option<Vec<Volume>>> {
    let postmaster = fs::read_to_string(place.data.join("postmaster.pid"))?;
    if !is_of(&postmaster, place) {
        return Ok(None);
    }
    let log = place.data.join("pg_wal");
    if fs::metadata(&log)?.dev() == fs::metadata(&place.tables)?.dev() {
        return Ok(Some(vec![Volume::at(place.tables.clone(), needs.all())?]));
    }
    let tables = Volume::at(place.tables.clone(), needs.tables)?;
    Ok(Some(vec![tables, Volume::at(log, needs.wal)?]))
}

/// Whether a `postmaster.pid` is of the server that was connected to, and not of another one with such a folder on this machine, as where
/// the loopback is forwarded. Its third line is the moment of the start, its fourth the port.
fn is_of(postmaster: &str, place: &Place) -> bool {
    let line = |n| postmaster.lines().nth(n).and_then(|line| line.trim().parse::<i64>().ok());
    let delay = line(2).map(|started| place.started_at - started);
    delay.is_some_and(|delay| (0..=STARTS_WITHIN).contains(&delay))
        && line(3) == Some(i64::from(place.port))
}

impl Volume {
    fn at(folder: PathBuf, needed: u64) -> io::Result<Self> {
        let free = free(&folder)?;
        Ok(Self { folder, needed, free })
    }
}

/// Bytes that are free for everybody.
fn free(folder: &Path) -> io::Result<u64> {
    let volume = statvfs(folder)?;
    Ok(volume.blocks_available() * volume.fragment_size())
}

/// Does what fills the volume, and ends it where there is too little room.
pub(super) async fn within<T>(
    url: &DatabaseUrl,
    room: &Room,
    work: impl Future<Output = Result<T, RecoveryError>>,
) -> Result<T, RecoveryError> {
    tokio::select! {
        done = work => done.map_err(of_full_disk),
        error = runs_out(url, room) => Err(error),
    }
}

/// Watches the volume while something is loaded. Resolves with why that has to end, and never while there is room.
async fn runs_out(url: &DatabaseUrl, room: &Room) -> RecoveryError {
    full(&watch(url, room).await)
}

/// The same of what is built after the switch: resolves with what has become of the room.
pub(super) async fn watch(url: &DatabaseUrl, room: &Room) -> String {
    match &room.watched {
        Watched::Nothing => std::future::pending().await,
        Watched::Growth { since, most } => grown_by(url, since, *most).await,
        Watched::Volumes(volumes) => filled(volumes).await,
    }
}

async fn filled(volumes: &[Volume]) -> String {
    loop {
        for Volume { folder, free: before, .. } in volumes {
            // A volume that cannot be looked at now is for the next look.
            let now = free(folder).unwrap_or(*before);
            if now < before - part(*before) {
                return format!(
                    "of {} that were free on the volume of {}, {} are left",
                    size(*before),
                    folder.display(),
                    size(now)
                );
            }
        }
        sleep(SEEN_EVERY).await;
    }
}

async fn grown_by(url: &DatabaseUrl, since: &Look, most: u64) -> String {
    let address = DatabaseAddress::of(url);
    let mut connection = None;
    loop {
        let looking = async {
            let connection = match &mut connection {
                Some(connection) => connection,
                none => none.insert(address.connect_unlimited().await?),
            };
            space::look(connection).await
        };
        // The database may be restarting: then whatever loads finds out as well.
        match looking.await {
            Ok(now) => {
                let database = now.database.saturating_sub(since.database);
                let kept = now.kept_wal.saturating_sub(since.kept_wal);
                if database + kept > most {
                    return format!(
                        "the database has grown by {}, and WAL that an archiver or a replication slot keeps by {} (pg_stat_archiver, \
                         pg_replication_slots), of {} that they may",
                        size(database),
                        size(kept),
                        size(most)
                    );
                }
            }
            Err(error) => {
                tracing::debug!("the database does not tell its size: {error}");
                connection = None;
            }
        }
        sleep(ASKED_EVERY).await;
    }
}

/// Of a step that loads: the same, but that PostgreSQL has no room left says what to do.
fn of_full_disk(error: RecoveryError) -> RecoveryError {
    match &error {
        RecoveryError::Store(cause) | RecoveryError::Migration(MigrationError::Store(cause))
            if cause.is_disk_full() =>
        {
            full(&cause.cause().to_string())
        }
        _ => error,
    }
}

fn full(why: &str) -> RecoveryError {
    let advice = format!(
        "there is too little room on the database's volume ({why}), so what was loaded is dropped: {ADVICE}, then run this again"
    );
    InPlaceError::NoSpace(advice).into()
}

#[cfg(test)]
mod tests {
    use agentfs_contract::manifest::{Encryption, FORMAT, Purpose, Scope};
    use jiff::Timestamp;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn manifest(tables: &[(&str, i64)], database_bytes: u64) -> Manifest {
        let table = |bytes| Table { rows: 1, bytes: Some(bytes), fingerprint: None };
        let tables = tables.iter().map(|(name, bytes)| ((*name).to_owned(), table(*bytes)));
        Manifest {
            format: FORMAT,
            purpose: Purpose::Backup,
            scope: Scope::Full,
            file: "agentfs_20261125_020000.dump".into(),
            bytes: 50_447_501,
            sha256: String::new(),
            encryption: None,
            instance: String::new(),
            schema_version: 14,
            min_compatible: 1,
            postgres: "18.4".into(),
            pg_dump: "18.4".into(),
            program: "0.1.0".into(),
            snapshot_at: Timestamp::UNIX_EPOCH,
            finished_at: Timestamp::UNIX_EPOCH,
            database_bytes,
            tables: tables.collect(),
            left_out: vec![],
            checksum: String::new(),
        }
    }

    /// 20,000 entries as `make bench-recovery` has them.
    const BENCH: [(&str, i64); 4] = [
        ("entries", 2_960_000),
        ("entry_versions", 23_670_000),
        ("search_documents", 15_280_000),
        ("embeddings", 14_528_000),
    ];
    /// What they took when they were restored, and the whole database with 17 MB of HNSW.
    const RESTORED: u64 = 83_902_464;
    const DATABASE: u64 = 111_000_000;

    #[test]
    fn a_restored_database_takes_what_was_estimated() {
        for database in [0, DATABASE] {
            let (estimate, is_rough) = tables(&manifest(&BENCH, database));
            assert!((RESTORED..RESTORED * 2).contains(&estimate) && !is_rough, "{estimate}");
        }
        // Values that compress well, 4,000 of them.
        let (estimate, _) = tables(&manifest(&[("entry_versions", 32_284_000)], 11_384_511));
        assert!((3_047_424..40 * MIB).contains(&estimate), "{estimate}");
    }

    #[test]
    fn of_a_dump_alone_little_is_known_and_said() {
        let mut dump = manifest(&[], 0);
        assert_eq!(tables(&dump), (50_447_501 * 4 + EMPTY, true));
        dump.tables.insert("entries".into(), Table { rows: 1, bytes: None, fingerprint: None });
        let plain =
            Encryption { scheme: "age".into(), plain_bytes: 10 * MIB, plain_sha256: String::new() };
        dump.encryption = Some(plain);
        assert_eq!(tables(&dump), (40 * MIB + EMPTY, true));
        let room = Needs::of(&dump, &Look::default()).room(None, Watched::Nothing);
        assert_eq!((room.needed, room.free, room.notes.len()), (56 * MIB, None, 1));
    }

    #[test]
    fn wal_counts_as_a_whole_where_somebody_may_be_behind() {
        let look = |may_keep_wal| Look { may_keep_wal, most_wal: MIB, ..Look::default() };
        let backup = manifest(&BENCH, 0);
        let (tables, _) = tables(&backup);
        assert_eq!(Needs::of(&backup, &look(false)).all(), tables + MIB);
        assert_eq!(Needs::of(&backup, &look(true)).all(), 2 * tables);
    }

    #[test]
    fn too_little_room_names_both_numbers_and_what_to_do() {
        let needs = Needs { tables: 60 * MIB, wal: 25 * MIB, is_rough: false };
        assert!(needs.fit("the volume", needs.all(), 100 * MIB + 100).is_ok());
        let sentence = needs.fit("the volume", needs.all(), 99 * MIB).unwrap_err().to_string();
        for part in ["85.0 MiB on the volume", "60.0 MiB of tables", "99.0 MiB are free", "larger"]
        {
            assert!(sentence.contains(part), "{part}: {sentence}");
        }
    }

    #[test]
    fn a_folder_of_another_server_tells_nothing() {
        let place = Place {
            data: "/data".into(),
            tables: "/data".into(),
            started_at: 1_795_000_002,
            port: 5432,
        };
        let lines = |started: i64, port| format!("41\n/data\n{started}\n{port}\n/tmp\n");
        assert!(is_of(&lines(1_795_000_001, 5432), &place));
        assert!(!is_of(&lines(1_795_000_001, 5433), &place));
        assert!(!is_of(&lines(1_795_000_003, 5432), &place));
        assert!(!is_of(&lines(1_794_990_000, 5432), &place));
        assert!(!is_of("", &place));
    }
}
