//! Requests: what a resource asks for is done once for ever, whatever is killed, restored or renamed meanwhile.

use std::fs;

use agentfs_contract::termination::{AlreadyDone, RestoreReport};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tempfile::{NamedTempFile, TempDir};
use uuid::Uuid;

use crate::support::api::Api;
use crate::support::backups::Backups;
use crate::support::cli::{Said, agentfs};
use crate::support::database::{Database, shared};
use crate::support::eventually::eventually;

const RESTORE: &str = "AgentFSRestore/agents/monday/0f3a";
const BEGUN: &str = "SELECT count(*) FROM agentfs_meta.requests WHERE ended_at IS NULL";
const SWITCHED: &str = "SELECT count(*) FROM agentfs_meta.restores WHERE switched_at IS NOT NULL";

const UNFINISHED: &str =
    "SELECT count(*) FROM agentfs_meta.restores WHERE phase IN ('staging', 'switched')";
/// As where a run that switched was killed, and a model has to be indexed yet.
const UNINDEXED: &str = "
INSERT INTO embedding_models (name, dimensions, state) VALUES ('small', 3, 'filling') ON CONFLICT DO NOTHING;
UPDATE agentfs_meta.restores SET models = (SELECT array_agg(id) FROM embedding_models) WHERE phase = 'switched'";
const INDEXED: &str = "
SELECT count(*) FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_am a ON a.oid = c.relam
 WHERE a.amname = 'hnsw' AND x.indisvalid AND c.relnamespace = 'public'::regnamespace";

/// A live database with its API, backups of it, and what a command leaves for Kubernetes.
struct Site {
    api: Api,
    database: Database,
    backups: Backups,
    termination: NamedTempFile,
}

impl Site {
    /// `/kept` is 1 in the only backup, and 2 in the memory.
    async fn backed_up() -> Self {
        let (api, database) = Api::start().await;
        api.client.put("/kept", json!(1)).await;
        let backups = Backups::new();
        backups.make(&database, &[]);
        api.client.put("/kept", json!(2)).await;
        Self { api, database, backups, termination: NamedTempFile::new().unwrap() }
    }

    async fn kept(&self) -> Value {
        self.api.until_served().await;
        self.api.client.get("/kept").await["value"].clone()
    }

    /// Runs a command for a request, and once more while the sessions of a killed one have not ended, or the backup of a second is there.
    async fn run(&self, request: &str, arguments: &[&str], more: &[(&str, &str)]) -> Said {
        let termination = self.termination.path().to_str().unwrap();
        let url = self.database.superuser_url.as_str();
        let fixed = [
            ("DATABASE_URL", url),
            ("BACKUP_LOCATION", self.backups.path().to_str().unwrap()),
            ("AGENTFS_TERMINATION_LOG", termination),
            ("AGENTFS_REQUEST", request),
        ];
        let programs = ["--pg-bin", shared().programs().to_str().unwrap()];
        let programs = if arguments.contains(&"--undo") { &[][..] } else { &programs[..] };
        let run = async || agentfs(&[arguments, programs].concat(), &[&fixed, more].concat());
        let passes = ["under way", "try again in a second"];
        let has_turn = |said: &Said| {
            said.code != Some(75) || !passes.iter().any(|words| said.err.contains(words))
        };
        eventually("it has its turn", run, has_turn).await
    }

    async fn restore(&self, request: &str, how: &[&str], more: &[(&str, &str)]) -> Said {
        let fixed = ["restore", "--backup", "latest", "--yes", "--output", "json"];
        let place = ["--in-place", "--free-space", "1TB"];
        let place = if how.contains(&"--into-database") { &[][..] } else { &place[..] };
        self.run(request, &[&fixed, place, how].concat(), more).await
    }

    async fn undo(&self, request: &str, how: &[&str], more: &[(&str, &str)]) -> Said {
        let fixed = ["restore", "--undo", "--yes", "--output", "json"];
        self.run(request, &[&fixed, how].concat(), more).await
    }

    /// What was left of a command that had nothing to do.
    #[track_caller]
    fn already_done(&self, said: &Said) -> AlreadyDone {
        assert!(said.code == Some(0) && said.out.is_empty(), "{said:?}");
        let left = fs::read_to_string(self.termination.path()).unwrap();
        AlreadyDone::read(&left).unwrap_or_else(|| panic!("{left}"))
    }
}

/// Switches so far.
async fn switches(database: &Database) -> i64 {
    let noted = "SELECT (to_regclass('agentfs_meta.restores') IS NOT NULL)::int::bigint";
    if database.number(noted).await == 0 { 0 } else { database.number(SWITCHED).await }
}

fn killed_at(point: &str) -> [(&str, &str); 1] {
    [("AGENTFS_FAULT_POINT", point)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_is_carried_out_once_for_ever() {
    let site = Site::backed_up().await;
    let restored = site.restore(RESTORE, &[], &[]).await.json();
    assert_eq!((&restored["done"], site.kept().await), (&json!("restored"), json!(1)));
    site.api.client.put("/kept", json!(3)).await;
    let done = site.already_done(&site.restore(RESTORE, &[], &[]).await);
    assert!(done.succeeded && done.message.starts_with("Restored agentfs_"), "{done:?}");
    assert_eq!(done.restore.as_deref(), restored["id"].as_str(), "nobody could undo it");
    assert_eq!(site.kept().await, json!(3));

    // The tables that were live then are live again; what was done stays done.
    site.undo("AgentFSRestore/agents/undo/0f3a", &[], &[]).await.json();
    assert_eq!(site.kept().await, json!(2));
    site.already_done(&site.restore(RESTORE, &[], &[]).await);
    site.already_done(&site.undo("AgentFSRestore/agents/undo/0f3a", &[], &[]).await);
    assert_eq!((site.kept().await, site.database.number(SWITCHED).await), (json!(2), 2));

    // Another spec, namespace or kind is another request.
    for request in ["AgentFSRestore/agents/monday/ffff", "AgentFSRestore/others/monday/0f3a"] {
        site.restore(request, &[], &[]).await.json();
        assert_eq!(site.kept().await, json!(1), "{request}");
        site.api.client.put("/kept", json!(4)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_an_end_unless_it_may_go_better_next_time() {
    let site = Site::backed_up().await;
    let mut other = site.database.connect().await;
    // "agentfsb" in ASCII, the lock of backups.
    sqlx::query("SELECT pg_advisory_lock(7018690069353886562)").execute(&mut other).await.unwrap();
    let busy = ["restore", "--backup", "latest", "--in-place", "--yes"];
    let variables = [
        ("DATABASE_URL", site.database.superuser_url.as_str()),
        ("BACKUP_LOCATION", site.backups.path().to_str().unwrap()),
        ("AGENTFS_REQUEST", RESTORE),
    ];
    let said = agentfs(&busy, &variables);
    assert!(said.code == Some(75) && said.err.contains("is under way"), "{said:?}");
    assert_eq!(site.database.number(BEGUN).await, 1);
    other.close().await.unwrap();
    site.restore(RESTORE, &[], &[]).await.json();
    assert_eq!(site.database.number(BEGUN).await, 0);

    let none = ["restore", "--in-place", "--yes", "--backup", "agentfs_20000101_000000"];
    let said = site.run("AgentFSRestore/agents/none/1", &none, &[]).await;
    assert!(said.code == Some(1) && said.err.contains("there is no backup"), "{said:?}");
    let done = site.already_done(&site.run("AgentFSRestore/agents/none/1", &none, &[]).await);
    assert!(!done.succeeded && done.message.contains("there is no backup"), "{done:?}");

    // It would take as long each time.
    let late = ["restore", "--in-place", "--yes", "--backup", "latest", "--deadline", "1ms"];
    let said = site.run("AgentFSRestore/agents/late/1", &late, &[]).await;
    assert!(said.code == Some(1) && said.err.contains("--deadline"), "{said:?}");
    let done = site.already_done(&site.run("AgentFSRestore/agents/late/1", &late, &[]).await);
    assert!(!done.succeeded && done.message.contains("--deadline"), "{done:?}");

    let said = site.run("undo", &none, &[]).await;
    assert!(said.code == Some(1) && said.err.contains("AGENTFS_REQUEST"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_resource_does_not_go_on_with_what_was_cancelled() {
    let site = Site::backed_up().await;
    let by = |name: &str, uid: &str| format!("AgentFSRestore/agents/{name}/0f3a/{uid}");
    let killed = site.restore(&by("monday", "a"), &[], &killed_at("loaded")).await;
    assert_eq!(killed.code, None, "{killed:?}");
    let done = site.already_done(&site.restore(&by("monday", "b"), &[], &[]).await);
    assert!(!done.succeeded && done.message.contains("was cancelled or gave up at"), "{done:?}");
    assert!(done.restore.is_some() && done.switched_at.is_none(), "{done:?}");
    assert_eq!((site.kept().await, switches(&site.database).await), (json!(2), 0));

    // Its own next pod does; and what has switched is brought to its end, whoever comes.
    let killed = site.restore(&by("tuesday", "a"), &[], &killed_at("loaded")).await;
    assert_eq!(killed.code, None, "{killed:?}");
    let killed = site.restore(&by("tuesday", "a"), &[], &killed_at("switched")).await;
    assert_eq!((killed.code, site.kept().await), (None, json!(1)), "{killed:?}");
    site.api.client.put("/kept", json!(3)).await;
    let restored = site.restore(&by("tuesday", "b"), &[], &[]).await.json();
    assert_eq!((&restored["had_switched"], site.kept().await), (&json!(true), json!(3)));
    let done = site.already_done(&site.restore(&by("tuesday", "c"), &[], &[]).await);
    assert!(done.succeeded && done.switched_at < done.previous_until, "{done:?}");
    assert_eq!(json!(done.restore), restored["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_note_nothing_backs_up_and_does_not_restore() {
    let site = Site::backed_up().await;
    let mut superuser = sqlx::PgConnection::connect(&site.database.superuser_url).await.unwrap();
    let taken = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO %I', current_database(), current_user); END $$";
    sqlx::Executor::execute(&mut superuser, taken).await.unwrap();
    let url = [("DATABASE_URL", site.database.url.as_str())];
    let said = site.run("AgentFSBackup/agents/b/1", &["backup"], &url).await;
    assert!(said.code == Some(0) && said.err.contains("GRANT CREATE ON DATABASE"), "{said:?}");
    let said = site.run("AgentFSBackup/agents/v/1", &["verify", "--level", "archive"], &url).await;
    assert!(said.code == Some(0) && said.err.contains("GRANT CREATE ON DATABASE"), "{said:?}");
    let said = site.restore(RESTORE, &[], &url).await;
    assert!(said.code == Some(1) && said.err.contains("GRANT CREATE ON DATABASE"), "{said:?}");
    assert_eq!(site.kept().await, json!(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_of_a_request_do_not_work_at_once() {
    let site = Site::backed_up().await;
    let mut other = site.database.connect().await;
    let hold = "SELECT pg_advisory_lock(hashtextextended('agentfs-server request ' || $1, 0))";
    sqlx::query(hold).bind("AgentFSBackup/agents/b/1").execute(&mut other).await.unwrap();
    let variables = [
        ("DATABASE_URL", site.database.url.as_str()),
        ("AGENTFS_REQUEST", "AgentFSBackup/agents/b/1"),
    ];
    let said = site.backups.run_with(&variables, &[]);
    assert!(said.code == Some(75), "{said:?}");
    assert!(said.err.contains("another run of AgentFSBackup/agents/b/1 is under way"), "{said:?}");
    assert_eq!(site.backups.files(".dump").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_chosen_stays_so_when_the_run_is_killed() {
    let site = Site::backed_up().await;
    let first = site.backups.manifest().id().to_owned();
    let killed = site.restore(RESTORE, &[], &killed_at("loaded")).await;
    assert_eq!(killed.code, None, "{killed:?}");
    site.backups.make(&site.database, &[]);
    assert_eq!(site.backups.files(".dump").len(), 2);
    let restored = site.restore(RESTORE, &[], &[]).await.json();
    assert_eq!((&restored["backup"], site.kept().await), (&json!(first), json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_switched_is_not_switched_again_whoever_brought_it_to_its_end() {
    let site = Site::backed_up().await;
    for (point, by_another) in [
        ("switched", false),
        ("switched", true),
        ("vectors-indexed", true),
        ("in-place-finished", false),
    ] {
        let request = format!("AgentFSRestore/agents/{point}/{by_another}");
        let before = switches(&site.database).await;
        let killed = site.restore(&request, &[], &killed_at(point)).await;
        assert_eq!((killed.code, site.kept().await), (None, json!(1)), "{point}: {killed:?}");
        site.api.client.put("/kept", json!(3)).await;
        if by_another {
            // Of the same backup, so that only its record tells that it is another one's.
            let done = site.restore(&format!("{request}-other"), &[], &[]).await.json();
            assert_eq!((&done["had_switched"], site.kept().await), (&json!(false), json!(1)));
            site.api.client.put("/kept", json!(3)).await;
        }
        let done = site.restore(&request, &[], &[]).await.json();
        assert_eq!((&done["had_switched"], site.kept().await), (&json!(true), json!(3)), "{point}");
        let switched = switches(&site.database).await - before;
        assert_eq!(switched, if by_another { 2 } else { 1 }, "{point}");
        let left = fs::read_to_string(site.termination.path()).unwrap();
        assert_eq!(json!(RestoreReport::read(&left).unwrap().restore), done["id"]);
        site.already_done(&site.restore(&request, &[], &[]).await);
    }

    // An undoing that came to its end is not undone by the rest of itself.
    let killed =
        site.undo("AgentFSRestore/agents/undo/1", &[], &killed_at("in-place-finished")).await;
    let live = site.kept().await;
    assert_eq!(killed.code, None, "{killed:?}");
    let done = site.undo("AgentFSRestore/agents/undo/1", &[], &[]).await.json();
    assert_eq!((&done["had_switched"], site.kept().await), (&json!(true), live));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_switched_is_brought_to_its_end_by_the_next_command() {
    let site = Site::backed_up().await;
    for (request, command) in [
        ("AgentFSRestore/agents/first/1", &["backup"][..]),
        ("AgentFSRestore/agents/second/1", &["verify", "--level", "archive"]),
    ] {
        let killed = site.restore(request, &[], &killed_at("switched")).await;
        assert_eq!((killed.code, site.kept().await), (None, json!(1)), "{killed:?}");
        site.database.execute(UNINDEXED).await;
        assert_eq!(
            (site.database.number(UNFINISHED).await, site.database.number(INDEXED).await),
            (1, 0)
        );
        site.run(&format!("{request}-next"), command, &[]).await.text();
        assert_eq!(
            (site.database.number(UNFINISHED).await, site.database.number(INDEXED).await),
            (0, 2),
            "{command:?}"
        );
        // What it did is known as before, also what was lost.
        site.api.client.put("/kept", json!(3)).await;
        let done = site.restore(request, &[], &[]).await.json();
        assert_eq!((&done["had_switched"], site.kept().await), (&json!(true), json!(3)), "{done}");
        assert_ne!(done["lost"], json!([]), "{done}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_outlive_the_database_whose_place_another_takes() {
    let site = Site::backed_up().await;
    let by_name = ["--strategy", "rename-database"];
    let backup = "AgentFSBackup/agents/before/1";
    site.run(backup, &["backup"], &[]).await.text();
    let oid = "SELECT oid::bigint FROM pg_database WHERE datname = current_database()";
    let before = site.database.number(oid).await;
    for point in ["in-place-locked", "switched", "in-place-finished"] {
        let killed = site.restore(RESTORE, &by_name, &killed_at(point)).await;
        assert_eq!(killed.code, None, "{point}: {killed:?}");
        if point == "in-place-locked" {
            assert_eq!(site.database.number(oid).await, before);
        }
    }
    let restored = site.database.number(oid).await;
    assert_ne!(restored, before);
    let done = site.restore(RESTORE, &by_name, &[]).await.json();
    assert_eq!(done["had_switched"], json!(true), "{done}");
    site.already_done(&site.restore(RESTORE, &by_name, &[]).await);
    site.already_done(&site.run(backup, &["backup"], &[]).await);
    assert_eq!(site.database.number(oid).await, restored, "never twice");

    // Back again, with what was noted in the one and in the other.
    let undo = "AgentFSRestore/agents/undo/1";
    let refused = site
        .undo("AgentFSRestore/agents/wrong/1", &["--restore", &Uuid::nil().to_string()], &[])
        .await;
    assert!(
        refused.code == Some(1) && refused.err.contains("is not the last one in place"),
        "{refused:?}"
    );
    let id = done["id"].as_str().unwrap();
    let killed = site.undo(undo, &["--restore", id], &killed_at("switched")).await;
    assert_eq!((killed.code, site.database.number(oid).await), (None, before), "{killed:?}");
    let done = site.undo(undo, &["--restore", id], &[]).await.json();
    assert_eq!((&done["had_switched"], site.database.number(oid).await), (&json!(true), before));
    for (request, how) in [(RESTORE, true), (undo, false)] {
        let said = if how {
            site.restore(request, &by_name, &[]).await
        } else {
            site.undo(request, &["--restore", id], &[]).await
        };
        site.already_done(&said);
    }
    assert_eq!(site.database.number(oid).await, before);
    assert_eq!(site.kept().await, json!(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_was_made_is_not_made_again() {
    let site = Site::backed_up().await;
    let request = "AgentFSBackup/agents/once/1";
    for (point, backups) in [("dump-finished", 1), ("manifest-written", 2)] {
        let killed = site.run(request, &["backup"], &killed_at(point)).await;
        assert_eq!(killed.code, None, "{point}: {killed:?}");
        assert_eq!(site.backups.files(".manifest.json").len(), backups, "{point}");
    }
    let made = site.run(request, &["backup", "--output", "json"], &[]).await.json();
    assert_eq!(site.backups.files(".manifest.json").len(), 2, "{made}");
    let path = format!("{}.manifest.json", made["id"].as_str().unwrap());
    assert!(site.backups.names().iter().any(|name| name.ends_with(&path)), "{made}");
    let done = site.already_done(&site.run(request, &["backup"], &[]).await);
    assert!(done.succeeded && done.message.starts_with("Backup complete: "), "{done:?}");
    assert_eq!(site.backups.files(".manifest.json").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_and_a_drill_are_carried_out_once() {
    let site = Site::backed_up().await;
    let verify = ["verify", "--level", "archive"];
    let request = "AgentFSBackup/agents/verified/1";
    let killed = site.run(request, &verify, &killed_at("fetched")).await;
    assert_eq!(killed.code, None, "{killed:?}");
    let first = site.backups.manifest().id().to_owned();
    site.backups.make(&site.database, &[]);
    let said = site.run(request, &verify, &[]).await.text();
    assert!(said.starts_with(&first), "{said}");
    let done = site.already_done(&site.run(request, &verify, &[]).await);
    assert!(done.succeeded && done.message.starts_with(&first), "{done:?}");

    let folder = TempDir::new().unwrap();
    let more = [
        ("AGENTFS_URL", site.api.client.url.as_str()),
        ("TMPDIR", folder.path().to_str().unwrap()),
        ("BACKUP_SCRATCH_URL", site.database.superuser_url.as_str()),
    ];
    let drill = ["drill", "--rto", "1ms"];
    let said = site.run("AgentFSDrill/agents/d/1", &drill, &more).await;
    assert!(said.code == Some(1) && said.err.contains("--rto"), "{said:?}");
    let done = site.already_done(&site.run("AgentFSDrill/agents/d/1", &drill, &more).await);
    assert!(!done.succeeded && done.message.contains("--rto"), "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_database_is_made_once_even_if_its_run_is_killed_once_it_has_its_name() {
    let site = Site::backed_up().await;
    let backup = "AgentFSBackup/agents/before/1";
    site.run(backup, &["backup"], &[]).await.text();
    let name = format!("look_{}", Uuid::new_v4().simple());
    let how = ["--into-database", name.as_str()];
    let killed = site.restore(RESTORE, &how, &killed_at("switched")).await;
    assert_eq!(killed.code, None, "{killed:?}");
    // To anybody else it is a database like any other.
    let said = site.restore("AgentFSRestore/agents/other/1", &how, &[]).await;
    assert!(said.code == Some(1) && said.err.contains("there is a database"), "{said:?}");
    let restored = site.restore(RESTORE, &how, &[]).await.json();
    assert_eq!(restored["database"], json!(name));
    let left = fs::read_to_string(site.termination.path()).unwrap();
    let report = RestoreReport::read(&left).unwrap();
    assert_eq!((json!(report.backup), report.lost_versions), (restored["backup"].clone(), 0));
    let done = site.already_done(&site.restore(RESTORE, &how, &[]).await);
    assert_eq!(done.message.rsplit_once(' ').unwrap().1, name);
    assert_eq!(site.kept().await, json!(2));
    // Should it become the live one, what was carried out before stays so.
    let (server, _) = site.database.superuser_url.rsplit_once('/').unwrap();
    let url = format!("{server}/{name}");
    site.already_done(&site.run(backup, &["backup"], &[("DATABASE_URL", &url)]).await);
    let mut superuser = sqlx::PgConnection::connect(&site.database.superuser_url).await.unwrap();
    let drop = sqlx::AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
    sqlx::Executor::execute(&mut superuser, drop).await.unwrap();
}
