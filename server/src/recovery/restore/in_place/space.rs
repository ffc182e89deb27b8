//! Whether there is room for what is restored, before it is loaded and while it is. A volume that is full stops the live side as
//! well, so a restore gives way to it.

mod watching;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use agentfs_contract::manifest::{Manifest, Table};
use agentfs_contract::setting::POSTGRES_VOLUME_SIZE;
use nix::sys::statvfs::statvfs;

pub(in crate::recovery::restore) use self::watching::within_server;
use self::watching::{Limit, Watched};
pub(super) use self::watching::{watch, within};
use super::error::InPlaceError;
use crate::recovery::error::RecoveryError;
use crate::recovery::size;
use crate::settings::DatabaseUrl;
use crate::store::connection::address::DatabaseAddress;
use crate::store::in_place::space::{self, Look, Place, Told, Used};

/// The part of what is free that a restore may use, in percent.
const MOST: u64 = 85;
/// The part of a volume that its file system leaves to files, in percent: ext4 keeps up to 5 for itself.
const FOR_FILES: u64 = 95;
/// Later than this PostgreSQL tells of its start after its `postmaster.pid` does, in seconds: it loads libraries and takes memory first.
const STARTS_WITHIN: i64 = 60;

/// What somebody says of the volume of the database's server, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GivenRoom {
    /// How much is free there.
    pub free: Option<u64>,
    /// How large it is: what PostgreSQL has on it is not free.
    pub size: Option<u64>,
}

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

    /// The size that the volume is to have after it was too small while something was loaded, where its size is known: larger by what the
    /// restore was estimated to need, for which there was room at first.
    fn larger(&self) -> Option<u64> {
        match &self.watched {
            Watched::Asked(Limit::Used { of, .. }) => Some(whole(of.saturating_add(self.needed))),
            _ => None,
        }
    }
}

/// A volume of a known size, with what PostgreSQL has on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KnownVolume {
    bytes: u64,
    used: Used,
}

/// A volume, by a folder on it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Volume {
    folder: PathBuf,
    needed: u64,
    free: u64,
}

/// Looks for room; fails where there is too little.
pub(super) async fn look(
    url: &DatabaseUrl,
    manifest: &Manifest,
    given: GivenRoom,
) -> Result<Room, RecoveryError> {
    let mut connection = DatabaseAddress::of(url).connect_unlimited().await?;
    let told = space::tell(&mut connection, given.size.is_some()).await?;
    Ok(room(manifest, given, told)?)
}

/// The same from what a server has told.
pub(in crate::recovery::restore) fn room(
    manifest: &Manifest,
    given: GivenRoom,
    told: Told,
) -> Result<Room, InPlaceError> {
    let Told { look, place, used } = told;
    let needs = Needs::of(manifest, &look);
    if let Some(free) = given.free {
        needs.fit("the database's volume", needs.all(), free, None)?;
        // WAL that nobody keeps is in no look.
        let unseen = if look.may_keep_wal { 0 } else { needs.wal };
        let most = part(free).saturating_sub(unseen);
        return Ok(needs.room(Some(free), Watched::Asked(Limit::Growth { since: look, most })));
    }
    let mut notes = Vec::new();
    if let Some(bytes) = given.size {
        match KnownVolume::of(bytes, used) {
            Ok(volume) => {
                let (needs, free) = (needs.beside(volume.used.wal, &look), volume.free());
                needs.fit("the database's volume", needs.all(), free, Some(volume))?;
                let most = volume.used.bytes() + part(free);
                let limit = Limit::Used { most, of: bytes };
                return Ok(needs.room(Some(free), Watched::Asked(limit)));
            }
            Err(note) => notes.push(note),
        }
    }
    let watched = match volumes(place, &needs) {
        Some(volumes) => {
            for Volume { folder, needed, free } in &volumes {
                needs.fit(&format!("the volume of {}", folder.display()), *needed, *free, None)?;
            }
            Watched::Volumes(volumes)
        }
        None => Watched::Nothing,
    };
    let mut room = needs.room(None, watched);
    room.notes.extend(notes);
    Ok(room)
}

impl KnownVolume {
    /// A volume of this size; a sentence where that does not tell what is free.
    fn of(bytes: u64, used: Option<Used>) -> Result<Self, String> {
        match used {
            None => Err(format!(
                "{POSTGRES_VOLUME_SIZE} does not count, since the role may not ask how much PostgreSQL has there: as a superuser, run GRANT \
                 pg_monitor TO that role."
            )),
            // As in a folder of a node's disk, which is no smaller for the claim of it.
            Some(used) if used.bytes() > bytes => Err(format!(
                "{POSTGRES_VOLUME_SIZE} does not count, since it says {}, and PostgreSQL has {} there.",
                size(bytes),
                size(used.bytes())
            )),
            Some(used) => Ok(Self { bytes, used }),
        }
    }

    fn free(self) -> u64 {
        (self.bytes / 100 * FOR_FILES).saturating_sub(self.used.bytes())
    }

    /// The size that it has to have for what `needs` so much.
    fn to_hold(self, needed: u64) -> u64 {
        let free = holding(needed, MOST);
        whole(holding(free.saturating_add(self.used.bytes()), FOR_FILES))
    }
}

/// So many whole GiB, in bytes, as people size volumes.
fn whole(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(1 << 30).unwrap_or(bytes)
}

/// The least number of bytes of which this part, in percent, is as much as `bytes`.
fn holding(bytes: u64, percent: u64) -> u64 {
    bytes.div_ceil(percent).saturating_mul(100)
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

    /// The same beside so much WAL, which PostgreSQL writes over before it keeps more.
    fn beside(self, wal: u64, look: &Look) -> Self {
        if look.may_keep_wal {
            return self;
        }
        Self { wal: self.wal.min(look.most_wal.saturating_sub(wal)), ..self }
    }

    fn all(self) -> u64 {
        self.tables.saturating_add(self.wal)
    }

    /// Fails where `needed` is more than may be used of what is `free` on a volume, which is `known` where its size is.
    fn fit(
        self,
        volume: &str,
        needed: u64,
        free: u64,
        known: Option<KnownVolume>,
    ) -> Result<(), InPlaceError> {
        if needed <= part(free) {
            return Ok(());
        }
        let larger = known.map(|known| known.to_hold(needed));
        let of = known.map_or_else(String::new, |KnownVolume { bytes, used }| {
            let own = 100 - FOR_FILES;
            format!(
                " (it has {}, PostgreSQL {}, its file system {own} %)",
                size(bytes),
                size(used.bytes())
            )
        });
        let what = format!(
            "the restore needs about {} on {volume} ({} of tables and indexes, {} of WAL), and {} are free there{of}, of which it may use \
             {MOST} %: {}; if more is free than that, name it by --free-space SIZE",
            size(needed),
            size(self.tables),
            size(self.wal),
            size(free),
            advice(larger)
        );
        Err(InPlaceError::NoSpace { what, volume: larger })
    }

    fn room(self, free: Option<u64>, watched: Watched) -> Room {
        let mut notes = Vec::new();
        let (needed, free) = match &watched {
            Watched::Nothing | Watched::Asked(_) => (self.all(), free),
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

/// What helps where there is too little room: a volume of this size, where that is known.
fn advice(larger: Option<u64>) -> String {
    let larger =
        larger.map_or_else(|| "larger".to_owned(), |bytes| format!("{} or larger", size(bytes)));
    format!(
        "make the volume {larger}, or free some of it (`agentfs-server restore --drop-previous` drops the tables that the last restore took \
         out)"
    )
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
        assert!(needs.fit("the volume", needs.all(), 100 * MIB + 100, None).is_ok());
        let error = needs.fit("the volume", needs.all(), 99 * MIB, None).unwrap_err();
        says(
            &error,
            &["85.0 MiB on the volume", "60.0 MiB of tables", "99.0 MiB are free", "volume larger"],
        );
        assert_eq!(RecoveryError::from(error).wants_volume(), None);
    }

    #[track_caller]
    fn says(error: &InPlaceError, parts: &[&str]) {
        let sentence = error.to_string();
        for part in parts {
            assert!(sentence.contains(part), "{part}: {sentence}");
        }
    }

    /// The room of [`BENCH`] on a volume of a GiB, of which PostgreSQL has so much.
    fn on_a_gib(databases: u64, wal: u64, look: Look) -> Result<Room, InPlaceError> {
        let used = Some(Used { databases, wal });
        on(1024 * MIB, Told { look, place: None, used })
    }

    fn on(volume: u64, told: Told) -> Result<Room, InPlaceError> {
        room(&manifest(&BENCH, 0), GivenRoom { free: None, size: Some(volume) }, told)
    }

    #[test]
    fn what_postgresql_has_on_a_volume_is_not_free() {
        let (tables, _) = tables(&manifest(&BENCH, 0));
        let look = |may_keep_wal| Look { may_keep_wal, most_wal: 150 * MIB, ..Look::default() };
        let room = on_a_gib(300 * MIB, 100 * MIB, look(false)).unwrap();
        let free = 1024 * MIB / 100 * 95 - 400 * MIB;
        assert_eq!((room.needed, room.free), (tables + 50 * MIB, Some(free)));
        let most = 400 * MIB + part(free);
        assert_eq!(room.watched, Watched::Asked(Limit::Used { most, of: 1024 * MIB }));
        assert_eq!(room.larger(), Some(2048 * MIB));
        // What an archiver waits for is not written over.
        assert_eq!(on_a_gib(300 * MIB, 100 * MIB, look(true)).unwrap().needed, 2 * tables);
    }

    #[test]
    fn a_volume_that_is_too_small_is_told_with_the_size_that_would_do() {
        let look = Look { most_wal: 150 * MIB, ..Look::default() };
        let error = on_a_gib(700 * MIB, 100 * MIB, look.clone()).unwrap_err();
        says(
            &error,
            &[
                "172.9 MiB on the database's volume",
                "172.8 MiB are free there (it has 1.0 GiB, PostgreSQL 800.0 MiB, its file system 5 %)",
                "make the volume 2.0 GiB or larger",
                "--free-space SIZE",
            ],
        );
        let larger = RecoveryError::from(error).wants_volume().unwrap();
        assert_eq!(larger, 2048 * MIB);
        let used = Some(Used { databases: 700 * MIB, wal: 100 * MIB });
        assert!(on(larger, Told { look, place: None, used }).is_ok());
        // A GiB less would not do.
        let volume = KnownVolume { bytes: 0, used: Used { databases: 800 * MIB, wal: 0 } };
        for needed in [0, 1, 84, 85, 86, 172 * MIB, 5 << 30] {
            let known = KnownVolume { bytes: volume.to_hold(needed), ..volume };
            assert!(needed <= part(known.free()), "{needed}");
            let smaller = KnownVolume { bytes: known.bytes - (1 << 30), ..volume };
            assert!(needed == 0 || needed > part(smaller.free()), "{needed}");
        }
    }

    #[test]
    fn a_size_that_tells_nothing_is_said_and_not_counted_on() {
        let unknown = on(1024 * MIB, Told::default()).unwrap();
        let more = on_a_gib(1024 * MIB, 1, Look::default()).unwrap();
        for (room, words) in [(unknown, "GRANT pg_monitor"), (more, "PostgreSQL has 1.0 GiB there")]
        {
            assert_eq!((room.free, &room.watched), (None, &Watched::Nothing), "{words}");
            assert!(room.notes.iter().any(|note| note.contains(words)), "{:?}", room.notes);
        }
        // What somebody says of the free space goes before.
        let given = GivenRoom { free: Some(4096 * MIB), size: Some(1) };
        let room = room(&manifest(&BENCH, 0), given, Told::default()).unwrap();
        assert_eq!((room.free, room.notes.len()), (Some(4096 * MIB), 0));
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
