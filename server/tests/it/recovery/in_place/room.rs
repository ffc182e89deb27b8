//! Restores in place without room, and what was lost by them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use agentfs_contract::termination::VolumeTooSmall;
use agentfs_server::recovery::restore::in_place::lost::write_to;
use agentfs_server::settings::DatabaseUrl;
use agentfs_server::store::in_place::{lost, space};
use futures::TryStreamExt as _;
use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use tokio::process::Command;

use super::site::stopped;
use crate::support::api::{Api, Client, tenants_key};
use crate::support::backups::Backups;
use crate::support::cli::agentfs;
use crate::support::database::{Database, Postgres, shared};
use crate::support::eventually::eventually;
use crate::support::small_volume::SmallVolume;

const MIB: u64 = 1 << 20;

/// 25 MiB that do not compress.
const MEMORY: &str = "
WITH versions AS (
    INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
    SELECT '00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'ada', '/notes/' || n, 1,
           to_json((SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 1000) WHERE n > 0)), '{}', 0, false, now()
      FROM generate_series(1, 800) AS n
    RETURNING *
)
INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
SELECT tenant_id, agent_id, path, id, version, created_at FROM versions";

const STAGED: &str = "SELECT count(*) FROM pg_namespace WHERE nspname = 'agentfs_new'";

/// Puts one entry after the other until it is told to end.
struct Putting {
    ends: AtomicBool,
    done: AtomicU64,
}

impl Putting {
    async fn run(&self, client: &Client) {
        while !self.ends.load(Ordering::Relaxed) {
            let path = format!("/put/{}", self.done.fetch_add(1, Ordering::Relaxed));
            client.put(&path, json!("x".repeat(2000))).await;
        }
    }

    /// Waits until so many more are done.
    async fn more(&self, count: u64) {
        let done = async || self.done.load(Ordering::Relaxed);
        let wanted = done().await + count;
        eventually("puts go on", done, |done| *done >= wanted).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_is_too_small_ends_the_restore_and_no_put_fails() {
    let settings = ["--set", "max_wal_size=32MB"];
    let Some(volume) = SmallVolume::start(1 << 30, &settings) else { return };
    let database = volume.postgres.database().await;
    database.migrate().await;
    database.execute(MEMORY).await;
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    superuser.execute("GRANT pg_read_all_settings TO agentfs").await.unwrap();
    let backups = Backups::new();
    backups.make(&database, &[]);
    let api = Api::start_with(&database, &[], &[]).await;
    let putting = Putting { ends: AtomicBool::new(false), done: AtomicU64::new(0) };
    let restores = async {
        putting.more(10).await;
        // With the log of changes it takes more than twice as much.
        volume.leave(40 * MIB);
        let said = ended(restore(&volume, &database, &backups)).await;
        assert!(said.starts_with("1:") && said.contains("nothing was changed"), "{said}");
        assert!(
            said.contains("the restore needs about") && said.contains("are free there"),
            "{said}"
        );

        volume.leave(200 * MIB);
        let mut stopping = restore(&volume, &database, &backups);
        let loading = stopping.env("AGENTFS_FAULT_POINT", "in-place-begun:stop").spawn().unwrap();
        let process = loading.id().unwrap();
        stopped(process).await;
        // Somebody else takes the volume: what a restore leaves free is there, and two thirds of the rows.
        volume.leave(30 * MIB + 16 * MIB);
        kill(Pid::from_raw(process.cast_signed()), Signal::SIGCONT).unwrap();
        let said = self::said(loading.wait_with_output().await.unwrap());
        assert!(said.starts_with("1:") && said.contains("too little room"), "{said}");
        assert!(said.contains("make the volume larger"), "{said}");
        assert_eq!(database.number(STAGED).await, 0);
        putting.more(10).await;

        volume.leave(300 * MIB);
        let said = ended(restore(&volume, &database, &backups)).await;
        assert!(said.starts_with("0:"), "{said}");
        putting.more(10).await;
        putting.ends.store(true, Ordering::Relaxed);
    };
    tokio::join!(putting.run(&api.client), restores);
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_agentfs-server");

/// `restore --in-place` where the volume is seen.
fn restore(volume: &SmallVolume, database: &Database, backups: &Backups) -> Command {
    let command = Command::from(volume.command(PROGRAM));
    restore_by(command, volume.postgres.programs(), database, backups)
}

/// The same by a command that ends with the program's name.
fn restore_by(
    mut command: Command,
    programs: &Path,
    database: &Database,
    backups: &Backups,
) -> Command {
    command
        .args(["restore", "--in-place", "--yes", "--backup", "latest", "--from"])
        .arg(backups.path())
        .arg("--pg-bin")
        .arg(programs)
        .env("DATABASE_URL", &database.url)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn ended(mut command: Command) -> String {
    said(command.spawn().unwrap().wait_with_output().await.unwrap())
}

/// Its exit code and all that it says.
fn said(Output { status, stdout, stderr }: Output) -> String {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    format!("{}:{}{}", status.code().unwrap_or(-1), text(stdout), text(stderr))
}

const USED: &str = "SELECT ((SELECT sum(pg_database_size(oid)) FROM pg_database) + (SELECT sum(size) FROM pg_ls_waldir()))::bigint";

/// The size of a volume of which so much is free to files beside what PostgreSQL has there, as POSTGRES_VOLUME_SIZE has it.
async fn with_free(database: &Database, free: u64) -> String {
    let used = u64::try_from(database.number(USED).await).unwrap();
    format!("{}kB", ((used + free) / 95 * 100) >> 10)
}

/// A database of a server of its own with [`MEMORY`], and a backup of that; its role may ask what takes room.
async fn on_a_volume() -> (Postgres, Database, Backups) {
    let postgres = Postgres::start(&["--set", "fsync=off", "--set", "max_wal_size=32MB"]);
    let database = postgres.database().await;
    database.migrate().await;
    database.execute(MEMORY).await;
    let mut owner = database.connect().await;
    assert_eq!(space::used(&mut owner).await.unwrap(), None, "it may not look yet");
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    superuser.execute("GRANT pg_monitor TO agentfs").await.unwrap();
    let backups = Backups::new();
    backups.make(&database, &[]);
    (postgres, database, backups)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_of_a_known_size_without_room_for_a_second_copy_refuses_a_restore() {
    let (postgres, database, backups) = on_a_volume().await;
    let api = Api::start_with(&database, &[], &[]).await;
    api.client.put("/a", json!(1)).await;
    let left = tempfile::NamedTempFile::new().unwrap();
    let restore = |how: &[&str], size: &str| {
        let programs = postgres.programs().to_str().unwrap();
        let fixed = ["restore", "--backup", "latest", "--from", backups.path().to_str().unwrap()];
        let variables = [
            ("DATABASE_URL", &*database.url),
            ("POSTGRES_VOLUME_SIZE", size),
            ("AGENTFS_TERMINATION_LOG", left.path().to_str().unwrap()),
        ];
        agentfs(&[&fixed[..], how, &["--pg-bin", programs]].concat(), &variables)
    };
    let little = with_free(&database, 40 * MIB).await;
    for how in [["--in-place", "--yes"], ["--into-database", "beside"]] {
        let said = restore(&how, &little);
        assert_eq!(said.code, Some(1), "{said:?}");
        for words in
            ["nothing was changed: the restore needs about", "make the volume 1.0 GiB or larger"]
        {
            assert!(said.err.contains(words), "{words}: {said:?}");
        }
        let report = fs::read_to_string(left.path()).unwrap();
        let VolumeTooSmall { message, transient, volume_bytes } =
            VolumeTooSmall::read(&report).unwrap_or_else(|| panic!("{report}"));
        assert!(said.err.contains(&message) && !transient, "{report}");
        assert_eq!(volume_bytes, 1 << 30);
    }
    assert_eq!(database.number(STAGED).await, 0);
    let databases = "SELECT count(*) FROM pg_database WHERE datname LIKE 'beside%'";
    assert_eq!(database.number(databases).await, 0);
    api.client.put("/a", json!(2)).await;

    let said = restore(&["--in-place", "--yes"], "lots");
    assert!(said.err.contains("POSTGRES_VOLUME_SIZE is \"lots\"; it must be a size"), "{said:?}");
    let enough = with_free(&database, 400 * MIB).await;
    let said = restore(&["--in-place", "--yes"], &enough);
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn growth_beyond_what_is_given_ends_a_restore_while_it_loads_and_no_put_fails() {
    let (postgres, database, backups) = on_a_volume().await;
    let api = Api::start_with(&database, &[], &[]).await;
    let putting = Putting { ends: AtomicBool::new(false), done: AtomicU64::new(0) };
    let restores = async {
        for (is_size, words) in [(false, "the database has grown by"), (true, "the databases take")]
        {
            putting.more(10).await;
            let mut command =
                restore_by(Command::new(PROGRAM), postgres.programs(), &database, &backups);
            if is_size {
                command.env("POSTGRES_VOLUME_SIZE", with_free(&database, 150 * MIB).await);
            } else {
                command.args(["--free-space", "150MB"]);
            }
            let loading =
                command.env("AGENTFS_FAULT_POINT", "in-place-begun:stop").spawn().unwrap();
            let process = loading.id().unwrap();
            stopped(process).await;
            let grow = "CREATE UNLOGGED TABLE filling AS SELECT repeat('x', 1900) FROM generate_series(1, 75000)";
            database.execute(grow).await;
            kill(Pid::from_raw(process.cast_signed()), Signal::SIGCONT).unwrap();
            let said = said(loading.wait_with_output().await.unwrap());
            assert!(said.starts_with("1:") && said.contains("too little room"), "{said}");
            assert!(said.contains(words), "{words}: {said}");
            assert_eq!(database.number(STAGED).await, 0, "{said}");
            database.execute("DROP TABLE filling").await;
        }
        putting.more(10).await;
        putting.ends.store(true, Ordering::Relaxed);
    };
    tokio::join!(putting.run(&api.client), restores);
}

#[tokio::test]
async fn what_is_given_as_free_is_believed() {
    let (api, database) = Api::start().await;
    api.client.put("/a", json!(1)).await;
    let backups = Backups::new();
    backups.make(&database, &[]);
    let programs = shared().programs().to_str().unwrap();
    let from = backups.path().to_str().unwrap();
    let restore = ["restore", "--in-place", "--yes", "--backup", "latest", "--from", from];
    let more = ["--pg-bin", programs, "--free-space", "1MB"];
    let url = [("DATABASE_URL", &*database.url)];
    let said = agentfs(&[&restore[..], &more].concat(), &url);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("--free-space") && said.err.contains("of WAL"), "{said:?}");
    assert_eq!(database.number(STAGED).await, 0);
}

#[tokio::test]
async fn a_look_tells_what_grows_and_what_somebody_keeps() {
    let archiving =
        ["wal_level=replica", "max_wal_senders=2", "archive_mode=on", "archive_command=/bin/false"];
    let options: Vec<&str> = archiving.iter().flat_map(|setting| ["--set", setting]).collect();
    let postgres = Postgres::start(&options);
    let database = postgres.database().await;
    let mut owner = database.connect().await;
    let before = space::look(&mut owner).await.unwrap();
    // What was never archived is kept from the first byte on.
    assert!(before.may_keep_wal && before.kept_wal > 0, "{before:?}");
    assert!(before.database > MIB && before.most_wal > MIB, "{before:?}");
    let grow = "CREATE TABLE filling AS SELECT md5(n::text) FROM generate_series(1, 50000) AS n;
                INSERT INTO filling SELECT md5(n::text) FROM generate_series(1, 50000) AS n";
    owner.execute(grow).await.unwrap();
    let after = space::look(&mut owner).await.unwrap();
    assert!(after.database > before.database + 2 * MIB, "{before:?} {after:?}");
    assert!(after.kept_wal > before.kept_wal + 2 * MIB, "{before:?} {after:?}");

    // A slot keeps what is written from its own beginning on.
    let postgres = Postgres::start(&options[..4]);
    let database = postgres.database().await;
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let mut owner = database.connect().await;
    let none = space::look(&mut owner).await.unwrap();
    assert!(!none.may_keep_wal && none.kept_wal == 0, "{none:?}");
    let slot = "SELECT pg_create_physical_replication_slot('behind', true)";
    superuser.execute(slot).await.unwrap();
    owner.execute(grow).await.unwrap();
    let kept = space::look(&mut owner).await.unwrap();
    assert!(kept.may_keep_wal && kept.kept_wal > 2 * MIB, "{kept:?}");
}

#[tokio::test]
async fn the_servers_folder_is_told_to_who_may_know() {
    let database = Database::empty().await;
    assert_eq!(space::place(&mut database.connect().await).await.unwrap(), None);
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let place = space::place(&mut superuser).await.unwrap().unwrap();
    assert_eq!(place.tables, place.data);
    let postmaster = fs::read_to_string(place.data.join("postmaster.pid")).unwrap();
    let lines: Vec<&str> = postmaster.lines().collect();
    assert_eq!(lines[3].trim(), place.port.to_string());
    assert!(place.started_at - lines[2].parse::<i64>().unwrap() < 60, "{postmaster} {place:?}");
}

/// A memory of which some was lost: what is lost, what another tenant lost, and what was not.
async fn with_losses() -> (Api, Database, Timestamp) {
    let (api, database) = Api::start().await;
    for n in 0..3 {
        api.client.put("/kept", json!(n)).await;
    }
    let expiring = json!({"agent_id": "ada", "path": "/expiring", "value": 1, "ttl_seconds": 3600});
    api.client.ok("/v1/put", expiring).await;
    let moment =
        database.number("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint");
    let since = Timestamp::from_microsecond(moment.await).unwrap();
    api.client.put("/lost", json!("a")).await;
    api.client.put("/lost", json!("b")).await;
    api.client.delete("/lost").await;
    let other = api.client.with_key(&tenants_key(&database).await);
    other.put("/lost", json!("of another")).await;
    // As a switch to what was dumped at that moment leaves it, and a sweep since.
    let moved = "CREATE SCHEMA agentfs_old;
         CREATE TABLE agentfs_old.entry_versions AS TABLE entry_versions;
         DELETE FROM entry_versions WHERE path = '/lost';
         UPDATE entry_versions SET value = NULL, deleted_at = now() WHERE path = '/expiring'";
    database.execute(moved).await;
    (api, database, since)
}

#[tokio::test]
async fn what_was_lost_is_told_by_tenant_and_version() {
    let (_api, database, since) = with_losses().await;
    let mut connection = database.connect().await;
    let by_tenant = lost::by_tenant(&mut connection, "public").await.unwrap();
    let counts: Vec<(bool, i64)> =
        by_tenant.iter().map(|lost| (lost.tenant.is_nil(), lost.versions)).collect();
    assert_eq!(counts, [(true, 3), (false, 1)]);
    assert!(by_tenant.iter().all(|lost| since < lost.from && lost.from <= lost.to));
    let each: Vec<_> = lost::each(&mut connection, "public").try_collect().await.unwrap();
    let told: Vec<_> =
        each.iter().map(|v| (v.tenant.is_nil(), &*v.path, v.version, v.deleted)).collect();
    assert_eq!(
        told,
        [
            (true, "/lost", 1, false),
            (true, "/lost", 2, false),
            (true, "/lost", 3, true),
            (false, "/lost", 1, false)
        ]
    );
}

#[tokio::test]
async fn an_estimate_counts_what_was_written_since() {
    let (_api, database, since) = with_losses().await;
    let of_then = "TRUNCATE entry_versions; INSERT INTO entry_versions SELECT * FROM agentfs_old.entry_versions";
    database.execute(of_then).await;
    let mut connection = database.connect().await;
    assert_eq!(lost::estimate(&mut connection, since).await.unwrap(), 4);
    let hour = SignedDuration::from_hours(1);
    assert_eq!(lost::estimate(&mut connection, since - hour).await.unwrap(), 8);
    assert_eq!(lost::estimate(&mut connection, since + hour).await.unwrap(), 0);
    assert_eq!(lost::estimate(&mut connection, Timestamp::UNIX_EPOCH).await.unwrap(), 8);
}

#[tokio::test]
async fn the_list_of_the_lost_is_private_and_replaces_no_file() {
    let (_api, database, _) = with_losses().await;
    let url = DatabaseUrl::parse(&database.url.clone().into()).unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("lost.jsonl");
    assert_eq!(write_to(&url, &path).await.unwrap(), 4);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!((&lines[2]["path"], &lines[2]["deleted"]), (&json!("/lost"), &json!(true)));
    assert_eq!((&lines[2]["agent"], &lines[2]["version"]), (&json!("ada"), &json!(3)));
    for field in ["tenant", "id", "created_at"] {
        assert!(lines[0][field].is_string(), "{field}: {text}");
    }

    let error = write_to(&url, &path).await.unwrap_err().to_string();
    assert!(error.contains("not there yet"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    database.execute("DROP SCHEMA agentfs_old CASCADE").await;
    let other = folder.path().join("other.jsonl");
    let error = write_to(&url, &other).await.unwrap_err().to_string();
    assert!(error.contains("no previous tables") && !other.exists(), "{error}");
}
