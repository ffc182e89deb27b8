//! The switch, and what is known of restores.

mod autovacuum;
mod locks;
mod others;
mod security;
mod staged;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agentfs_server::store::StoreError;
use agentfs_server::store::in_place::records::{self, Kind, Phase};
use agentfs_server::store::in_place::staging::{self, NotOurs};
use agentfs_server::store::in_place::switch::{self, Try};
use agentfs_server::store::in_place::{MOVING, STAYING, previous};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use uuid::Uuid;

use self::locks::Writer;
use self::staged::{RESTORE, Staged, UNDO, put};
use crate::support::database::Database;
use crate::support::eventually::eventually;

#[tokio::test]
async fn what_was_staged_is_live_and_can_be_undone_and_that_as_well() {
    let mut staged = Staged::on(&Database::migrated().await).await;
    let (new, live) = (staged.relations("agentfs_new").await, staged.relations("public").await);
    let tables = staged.oids("public").await;
    staged.put("public", "/live").await;
    staged.put("agentfs_new", "/backup").await;

    let made = staged.switched(RESTORE).await;
    assert!(made.seconds > 0.0);
    assert_eq!(staged.paths().await, ["/backup"]);
    // Indexes and sequences go along. What does not move has stayed, and what was staged of it.
    assert_eq!(staged.relations("public").await, live);
    let moved = staged.relations("agentfs_old").await;
    let stays = staged.relations("agentfs_new").await;
    assert_eq!(moved.union(&stays).cloned().collect::<BTreeSet<_>>(), new);
    assert!(STAYING.iter().all(|table| stays.contains(*table)));
    assert!(MOVING.iter().all(|table| moved.contains(*table)));
    let record = records::unfinished(&mut staged.holder).await.unwrap().unwrap();
    assert_eq!((record.id, record.phase), (staged.id, Phase::Switched));
    assert_eq!(record.switched_at, Some(made.at));
    assert!(record.switch_seconds.unwrap() > 0.0);
    assert_eq!(record.previous.iter().copied().collect::<BTreeSet<_>>(), tables);
    let kept = record.previous_until.unwrap().duration_since(made.at).as_secs_f64();
    assert!((kept - 3600.0).abs() < 1.0, "{kept}");
    assert_eq!(staged.attempt(RESTORE).await, Try::NotHolder);
    staging::drop(&mut staged.holder, record.staging.unwrap()).await.unwrap().unwrap();
    // Fine where it is gone.
    staging::drop(&mut staged.holder, record.staging.unwrap()).await.unwrap().unwrap();
    assert_eq!(staged.relations("agentfs_new").await, BTreeSet::new());

    for (now, before) in [(["/live"], "/backup"), (["/backup"], "/live")] {
        staged.begin_undo().await;
        staged.switched(UNDO).await;
        assert_eq!(staged.paths().await, now);
        assert_eq!(staged.paths_in("agentfs_old").await, [before]);
        assert_eq!(staged.relations("public").await, live);
        let kept = records::with_previous(&mut staged.holder).await.unwrap().unwrap();
        assert_eq!((kept.id, kept.kind), (staged.id, Kind::Undo));
        assert_eq!(staged.schemas().await, ["agentfs_meta", "agentfs_old", "public"]);
    }

    staged.end(Phase::Switched, Phase::Finished).await;
    let record = records::with_previous(&mut staged.holder).await.unwrap().unwrap();
    let freed = previous::drop(&mut staged.holder, &record).await.unwrap().unwrap();
    assert!(freed > 0);
    assert_eq!(staged.schemas().await, ["agentfs_meta", "public"]);
    assert_eq!(records::with_previous(&mut staged.holder).await.unwrap(), None);
    assert_eq!(previous::drop(&mut staged.holder, &record).await.unwrap(), Ok(0));
    assert_eq!(staged.paths().await, ["/backup"]);
}

/// They do not follow their table by themselves.
#[tokio::test]
async fn extended_statistics_go_where_their_tables_go() {
    let database = Database::migrated().await;
    let mut staged = Staged::on(&database).await;
    database
        .execute(
            r#"CREATE STATISTICS "Of ""both""" ON agent_id, path FROM entries;
               CREATE STATISTICS of_live ON agent_id, version FROM entry_versions;
               CREATE STATISTICS of_what_stays ON id, tenant_id FROM api_keys;
               CREATE STATISTICS agentfs_new."Of ""both""" ON agent_id, path FROM agentfs_new.entries"#,
        )
        .await;
    let there = [r#"agentfs_old.Of "both""#, "agentfs_old.of_live", r#"public.Of "both""#];
    let after = [there[0], there[2], "public.of_live"];
    staged.switched(RESTORE).await;
    assert_eq!(staged.statistics().await, [&there[..], &["public.of_what_stays"]].concat());
    let record = records::unfinished(&mut staged.holder).await.unwrap().unwrap();
    staging::drop(&mut staged.holder, record.staging.unwrap()).await.unwrap().unwrap();
    for now in [after, there] {
        staged.begin_undo().await;
        staged.switched(UNDO).await;
        assert_eq!(staged.statistics().await, [&now[..], &["public.of_what_stays"]].concat());
    }
    let record = records::with_previous(&mut staged.holder).await.unwrap().unwrap();
    previous::drop(&mut staged.holder, &record).await.unwrap().unwrap();
    assert_eq!(staged.schemas().await, ["agentfs_meta", "public"]);
}

#[tokio::test]
async fn the_live_schema_may_have_any_name() {
    let database = Database::empty().await;
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let make = r#"CREATE SCHEMA "Live ""memory""" AUTHORIZATION agentfs;
        DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = "Live ""memory"""', current_database()); END $$"#;
    superuser.execute(make).await.unwrap();
    database.migrate().await;
    let mut staged = Staged::on(&database).await;
    assert_eq!(staged.live, r#"Live "memory""#);
    put(&mut staged.holder, r#""Live ""memory""""#, "/live").await;
    staged.put("agentfs_new", "/backup").await;
    staged.switched(RESTORE).await;
    assert_eq!(staged.paths().await, ["/backup"]);
    staged.begin_undo().await;
    staged.switched(UNDO).await;
    assert_eq!(staged.paths().await, ["/live"]);
}

/// Writes one entry after the other with the statements of the API, and returns what was acknowledged.
fn write(mut writer: Writer, stop: &Arc<AtomicBool>) -> JoinHandle<BTreeSet<Uuid>> {
    let stop = stop.clone();
    tokio::spawn(async move {
        let mut acknowledged = BTreeSet::new();
        while !stop.load(Ordering::Relaxed) {
            acknowledged.insert(writer.write().await);
        }
        acknowledged
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_fails_or_is_lost_while_tables_are_switched() {
    let database = Database::migrated().await;
    let mut staged = Staged::on(&database).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for n in 0..6 {
        let writer = if n % 2 == 0 {
            Writer::fast(&database).await
        } else {
            Writer::locked(&database).await
        };
        writers.push(write(writer, &stop));
    }
    let versions = "SELECT count(*) FROM entry_versions";
    for switch in [RESTORE, UNDO, UNDO] {
        let before = database.number(versions).await;
        let more = async || database.number(versions).await;
        eventually("writes", more, |now| *now >= before + 20).await;
        let attempt = async || staged.attempt(switch).await;
        let is_made = |tried: &Try| matches!(tried, Try::Made(_));
        eventually("it is switched", attempt, is_made).await;
        staged.begin_undo().await;
        database.until("SELECT least(count(*), 20) FROM entry_versions", 20).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = BTreeSet::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    let (live, previous) = (staged.versions("public").await, staged.versions("agentfs_old").await);
    assert_eq!(live.intersection(&previous).count(), 0);
    assert!(!live.is_empty() && !previous.is_empty());
    assert_eq!(live.union(&previous).copied().collect::<BTreeSet<_>>(), acknowledged);
}

#[tokio::test]
async fn who_holds_a_table_is_named_and_nothing_has_changed() {
    let database = Database::migrated().await;
    let mut staged = Staged::on(&database).await;
    let before = staged.everything().await;
    // A reader of a live table, one of a table that was staged, and a writer of a key that is brought over.
    staged.put_key("agentfs_new", "k1").await;
    for hold in [
        "SELECT count(*) FROM entry_versions",
        "SELECT count(*) FROM agentfs_new.embeddings",
        "INSERT INTO api_keys (id, tenant_id, secret_hash, scopes) VALUES ('k1', '00000000-0000-0000-0000-000000000000', '', '{}')",
    ] {
        let mut reader = database.connect().await;
        reader.execute("SET application_name = 'a reader'; BEGIN").await.unwrap();
        let pid: i32 =
            sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut reader).await.unwrap();
        reader.execute(hold).await.unwrap();
        let Try::Held(holders) = staged.attempt(RESTORE).await else { panic!("{hold}") };
        assert_eq!(
            holders,
            format!("session {pid} (role agentfs, a reader, from 127.0.0.1)"),
            "{hold}"
        );
        assert_eq!(staged.everything().await, before, "{hold}");
        reader.execute("ROLLBACK").await.unwrap();
    }
    let record = records::unfinished(&mut staged.holder).await.unwrap().unwrap();
    assert_eq!(record.phase, Phase::Staging);
    staged.switched(RESTORE).await;
}

/// Ends a session, and waits until it is gone.
fn end_session(url: &str, pid: i32) -> bool {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut other = PgConnection::connect(url).await.unwrap();
        let end = sqlx::query_scalar("SELECT pg_terminate_backend($1, 60000)").bind(pid);
        end.fetch_one(&mut other).await.unwrap()
    })
}

#[tokio::test]
async fn a_session_that_ends_between_its_locks_and_commit_changes_nothing() {
    let database = Database::migrated().await;
    let mut staged = Staged::on(&database).await;
    staged.put("public", "/live").await;
    staged.put("agentfs_new", "/backup").await;
    let before = staged.everything().await;
    let pid: i32 =
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut staged.holder).await.unwrap();
    let end = || {
        let ended =
            std::thread::scope(|scope| scope.spawn(|| end_session(&database.url, pid)).join());
        assert!(ended.unwrap());
    };
    let failed = staged.attempt_with(RESTORE, &end).await;
    assert!(matches!(failed, Err(StoreError::Unreachable(_))), "{failed:?}");

    staged.reconnect().await;
    assert_eq!(staged.everything().await, before);
    assert_eq!(staged.paths().await, ["/live"]);
    let record = records::unfinished(&mut staged.holder).await.unwrap().unwrap();
    assert_eq!((record.id, record.phase, record.previous), (staged.id, Phase::Staging, vec![]));
    staged.switched(RESTORE).await;
    assert_eq!(staged.paths().await, ["/backup"]);
}

/// A try that fails keeps no lock, whatever becomes of its connection afterwards.
#[tokio::test]
async fn what_fails_under_its_locks_lets_go_of_them_at_once() {
    let database = Database::migrated().await;
    let mut staged = Staged::on(&database).await;
    database
        .execute("ALTER INDEX agentfs_new.entries_tree RENAME TO theirs; CREATE TABLE theirs ()")
        .await;
    let before = staged.everything().await;
    let failed = staged.attempt_with(RESTORE, &|| {}).await.unwrap_err();
    assert!(failed.to_string().contains("\"theirs\" already exists"), "{failed}");
    database
        .execute("BEGIN; LOCK TABLE entries, agentfs_new.entries IN ACCESS EXCLUSIVE MODE NOWAIT; COMMIT")
        .await;
    assert_eq!(staged.everything().await, before);
    database.execute("DROP TABLE theirs").await;
    staged.switched(RESTORE).await;
}

/// The same of what cannot be dropped.
#[tokio::test]
async fn what_is_not_dropped_is_not_kept_from_its_readers() {
    let database = Database::migrated().await;
    let mut staged = Staged::on(&database).await;
    staged.switched(RESTORE).await;
    let record = records::with_previous(&mut staged.holder).await.unwrap().unwrap();
    database
        .execute("CREATE TABLE agentfs_new.theirs (); CREATE VIEW report AS SELECT FROM agentfs_old.entries")
        .await;
    let staging = staging::drop(&mut staged.holder, record.staging.unwrap()).await.unwrap();
    let previous = previous::drop(&mut staged.holder, &record).await.unwrap();
    assert!(staging.is_err() && previous.is_err(), "{staging:?}, {previous:?}");
    database
        .execute(
            "BEGIN; LOCK TABLE agentfs_new.tenants, agentfs_old.entries IN ACCESS EXCLUSIVE MODE NOWAIT; COMMIT",
        )
        .await;
    // Who reads them keeps them for a while only.
    let mut reader = database.connect().await;
    reader
        .execute("DROP VIEW report; BEGIN; SELECT count(*) FROM agentfs_old.entries")
        .await
        .unwrap();
    let held = previous::drop(&mut staged.holder, &record).await.unwrap_err();
    assert!(held.is_transient(), "{held}");
}

#[tokio::test]
async fn who_was_taken_over_goes_no_further() {
    let database = Database::migrated().await;
    let mut staged = Staged::on(&database).await;
    let before = staged.everything().await;
    let mut successor = database.connect().await;
    let found = records::unfinished(&mut successor).await.unwrap().unwrap();
    assert!(records::end(&mut successor, found.id, Phase::Staging, Phase::GivenUp).await.unwrap());

    assert_eq!(staged.attempt(RESTORE).await, Try::NotHolder);
    assert_eq!(staging::make(&mut staged.holder, staged.id).await.unwrap(), Err(NotOurs::Record));
    let end = records::end(&mut staged.holder, staged.id, Phase::Staging, Phase::Finished);
    assert!(!end.await.unwrap());
    assert_eq!(staged.everything().await, before);
    assert_eq!(records::unfinished(&mut successor).await.unwrap(), None);
}

#[tokio::test]
async fn one_that_is_at_work_keeps_its_successor_waiting_and_is_not_overtaken() {
    let database = Database::migrated().await;
    let mut staged = Staged::on(&database).await;
    let (url, id) = (database.url.clone(), staged.id);
    // Somebody who takes it over in the middle of the switch comes after it.
    let successor = Arc::new(std::sync::Mutex::new(None));
    let started = successor.clone();
    let take_over = move || {
        let url = url.clone();
        let ended = tokio::spawn(async move {
            let mut other = PgConnection::connect(&url).await.unwrap();
            records::end(&mut other, id, Phase::Staging, Phase::GivenUp).await.unwrap()
        });
        *started.lock().unwrap() = Some(ended);
    };
    let made = staged.attempt_with(RESTORE, &take_over).await.unwrap();
    assert!(matches!(made, Try::Made(_)), "{made:?}");
    let ended = successor.lock().unwrap().take().unwrap();
    assert!(!ended.await.unwrap());
}

#[tokio::test]
async fn of_two_that_begin_at_once_one_does() {
    let database = Database::migrated().await;
    let (mut a, mut b) = (database.connect().await, database.connect().await);
    for _ in 0..5 {
        database.execute("DROP SCHEMA IF EXISTS agentfs_meta CASCADE").await;
        assert_eq!(records::unfinished(&mut a).await.unwrap(), None);
        assert_eq!(records::with_previous(&mut a).await.unwrap(), None);
        let (one, other) = tokio::join!(records::prepare(&mut a), records::prepare(&mut b));
        one.and(other).unwrap();
        let (one, other) = tokio::join!(
            records::begin(&mut a, Kind::Restore, "one", "instance", &[1, 2]),
            records::begin(&mut b, Kind::Restore, "other", "instance", &[1, 2]),
        );
        let (Ok(id), Err(error)) = (if one.is_ok() { (one, other) } else { (other, one) }) else {
            panic!("both")
        };
        assert!(error.is_transient(), "{error}");
        let record = records::unfinished(&mut b).await.unwrap().unwrap();
        assert_eq!((record.id, record.models), (id, vec![1, 2]));
        assert_eq!((record.kind, record.phase), (Kind::Restore, Phase::Staging));
        assert!(records::end(&mut a, id, Phase::Staging, Phase::GivenUp).await.unwrap());
        assert_eq!(records::unfinished(&mut b).await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_a_superuser_restores_belongs_to_the_owner_of_the_memory() {
    let database = Database::migrated().await;
    let superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let mut staged = Staged::held(&database, superuser).await;
    assert_eq!(switch::live_schema(&mut staged.holder).await.unwrap(), "public");
    let owners = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'agentfs\\_%' AND nspowner <> 'agentfs'::regrole";
    assert_eq!(database.number(owners).await, 0);
    staged.switched(RESTORE).await;
    let mut owner = database.connect().await;
    let record = records::unfinished(&mut owner).await.unwrap().unwrap();
    // The tables that were live are the owner's still.
    assert!(previous::drop(&mut owner, &record).await.unwrap().unwrap() > 0);
    assert!(records::end(&mut owner, record.id, Phase::Switched, Phase::Finished).await.unwrap());
}
