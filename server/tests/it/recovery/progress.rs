//! How far a command is, as it answers `GET /progress` while it works.

use std::process::{Child, Command, Stdio};

use agentfs_contract::progress::Progress;
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::api::Api;
use crate::support::backups::{Backups, ended};
use crate::support::database::{Database, shared};
use crate::support::eventually::eventually;
use crate::support::process::free_port;

/// Holds up the removal of what was staged, which follows the switch, until the session ends.
const HOLD_UP: &str = "
CREATE FUNCTION held_up() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    WHILE EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
    LOOP PERFORM pg_sleep(0.02); END LOOP;
END $$;
CREATE EVENT TRIGGER held_up ON ddl_command_start WHEN TAG IN ('DROP SCHEMA') EXECUTE FUNCTION held_up();
SELECT pg_advisory_lock(4711)";

/// A command that can be followed.
struct Followed {
    child: Child,
    url: String,
}

impl Followed {
    fn start(database: &Database, backups: &Backups, arguments: &[&str]) -> Self {
        let port = free_port();
        let child = Command::new(env!("CARGO_BIN_EXE_agentfs-server"))
            .args(arguments)
            .args(["--pg-bin", shared().programs().to_str().unwrap()])
            .env("DATABASE_URL", &database.url)
            .env("BACKUP_LOCATION", backups.path())
            .env("AGENTFS_PROGRESS_PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, url: format!("http://127.0.0.1:{port}/progress") }
    }

    /// Its progress, once that is as wanted.
    async fn until(&self, what: &str, wanted: impl Fn(&Progress) -> bool) -> Progress {
        let ask = async || {
            let answer = reqwest::get(&self.url).await.ok()?.bytes().await.ok()?;
            Progress::read(&answer)
        };
        let is_it = |told: &Option<Progress>| told.as_ref().is_some_and(&wanted);
        eventually(what, ask, is_it).await.unwrap()
    }

    fn ends(self) {
        let said = ended(self.child);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_and_a_backup_say_how_far_they_are() {
    let (api, database) = Api::start().await;
    api.client.put("/kept", json!(1)).await;
    let backups = Backups::new();
    backups.make(&database, &[]);
    api.client.put("/kept", json!(2)).await;
    let id = backups.manifest().id().to_owned();

    let mut connection = database.connect().await;
    let mut reader = connection.begin().await.unwrap();
    // The switch waits for it.
    reader.execute("LOCK TABLE entries IN ACCESS SHARE MODE").await.unwrap();
    let restore = ["restore", "--in-place", "--backup", "latest", "--yes", "--free-space", "1TB"];
    let restoring = Followed::start(&database, &backups, &restore);
    let waits = |told: &Progress| {
        told.step == "switch" && told.of.as_ref().is_some_and(|of| of.contains("waits for session"))
    };
    let told = restoring.until("the switch waits", waits).await;
    assert_eq!((told.backup.as_deref(), told.lost_versions), (Some(&*id), Some(1)), "{told:?}");
    assert_eq!((told.switched_at, told.switch_seconds), (None, None));
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    superuser.execute(HOLD_UP).await.unwrap();
    reader.rollback().await.unwrap();
    let told = restoring.until("it has switched", |told| told.switched_at.is_some()).await;
    assert_eq!((&*told.step, told.switch_seconds.is_some()), ("lost", true), "{told:?}");
    superuser.close().await.unwrap();
    restoring.ends();

    let mut holder = connection.begin().await.unwrap();
    holder.execute("LOCK TABLE entries IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let backing_up = Followed::start(&database, &backups, &["backup"]);
    let told = backing_up.until("the dump waits", |told| told.step == "dump").await;
    let made = told.backup.unwrap();
    assert!(made.starts_with("agentfs_2") && made != id, "{made}");
    holder.rollback().await.unwrap();
    backing_up.ends();
}
