//! One backup of a database at a time, and none while it is migrated; and backups that are ended.

use std::process::Child;

use agentfs_server::commands::migrate::migrate;
use agentfs_server::store::schema::apply;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Executor as _, PgConnection, SqlSafeStr as _};
use tokio::runtime::Handle;

use crate::support::backups::{Backups, ended};
use crate::support::database::Database;

/// Sessions that have the lock of backups ("agentfsb" in ASCII).
const BACKING_UP: &str = "SELECT count(*) FROM pg_locks
     WHERE locktype = 'advisory' AND granted AND objsubid = 1
       AND classid::bigint << 32 | objid::bigint = 7018690069353886562
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
/// Sessions of programs that back up, `pg_dump`'s too.
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'agentfs-server backup'";

/// Those of them that wait for a table.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'agentfs-server backup' AND wait_event_type = 'Lock'";

/// Somebody who has a table, so that a backup waits until they let go.
pub struct Holder(PgConnection);

impl Holder {
    pub async fn of(database: &Database, table: &'static str) -> Self {
        let mut connection = database.connect().await;
        connection.execute(table).await.expect("the table is there");
        Self(connection)
    }

    /// Of the entries.
    pub async fn of_entries(database: &Database) -> Self {
        Self::of(database, "BEGIN; LOCK TABLE entries IN ACCESS EXCLUSIVE MODE").await
    }

    pub async fn lets_go(mut self) {
        self.0.execute("ROLLBACK").await.expect("it ends");
    }
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).expect("it runs");
}

#[tokio::test]
async fn backups_of_a_database_exclude_each_other_wherever_they_write_to() {
    let (database, other) = (Database::migrated().await, Database::migrated().await);
    let (backups, elsewhere) = (Backups::new(), Backups::new());
    let holder = Holder::of_entries(&database).await;
    let waiting = backups.start(&database, &[]);
    backups.until_begun().await;
    for place in [&backups, &elsewhere] {
        let said = place.run(&database, &["--scope", "entries"]);
        assert_eq!(said.code, Some(75), "{said:?}");
        assert!(
            said.err.contains("another backup of this database is under way by session"),
            "{said:?}"
        );
        assert!(
            said.err.contains("role agentfs, agentfs-server backup, from 127.0.0.1"),
            "{said:?}"
        );
    }
    assert_eq!(elsewhere.names(), [""; 0]);
    elsewhere.make(&other, &[]);
    holder.lets_go().await;
    let said = ended(waiting);
    assert_eq!(said.code, Some(0), "{said:?}");
    backups.make(&database, &[]);
}

#[tokio::test]
async fn no_backup_is_made_while_the_database_is_migrated() {
    let (database, backups) = (Database::migrated().await, Backups::new());
    let mut migrating = database.connect().await;
    migrating.execute("SET application_name = 'agentfs-server migrate'").await.unwrap();
    // "agentfs" in ASCII, which releases before lock as well.
    migrating.execute("SELECT pg_advisory_lock(27416758083413619)").await.unwrap();
    let said = backups.run(&database, &[]);
    assert_eq!(said.code, Some(75), "{said:?}");
    assert!(said.err.contains("a migration of this database is under way by session"), "{said:?}");
    assert!(said.err.contains("agentfs-server migrate"), "{said:?}");
    drop(migrating);
    assert_eq!(backups.names(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_waits_for_a_backup_where_it_has_something_to_do() {
    let (database, backups) = (Database::migrated().await, Backups::new());
    let holder = Holder::of_entries(&database).await;
    let waiting = backups.start(&database, &[]);
    backups.until_begun().await;
    let nothing = migrate(&database.address(), None).await.unwrap();
    assert_eq!(nothing.applied, 0);

    let made = Migration::new(
        1000,
        "test".into(),
        MigrationType::Simple,
        "CREATE TABLE made ()".into_sql_str(),
        false,
    );
    let (address, migrator) = (database.address(), Migrator::with_migrations(vec![made]));
    // The driver's future of a migration is not known to be Send, so a thread of its own drives it.
    let migration =
        tokio::task::spawn_blocking(move || Handle::current().block_on(apply(&address, &migrator)));
    let asks = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                   AND application_name = 'agentfs-server migrate' AND query LIKE '%pg_try_advisory_lock(%'";
    database.until(asks, 1).await;
    assert_eq!(database.number("SELECT count(*) FROM pg_class WHERE relname = 'made'").await, 0);
    holder.lets_go().await;
    assert_eq!(ended(waiting).code, Some(0));
    assert_eq!(migration.await.unwrap().unwrap().applied, 1);
}

#[tokio::test]
async fn a_signal_ends_a_backup_without_a_trace() {
    let (database, backups) = (Database::migrated().await, Backups::new());
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let holder = Holder::of_entries(&database).await;
        let waiting = backups.start(&database, &[]);
        backups.until_begun().await;
        send(&waiting, signal);
        let said = ended(waiting);
        assert_eq!(said.code, Some(75), "{said:?}");
        assert!(said.err.contains("the backup was ended by a signal"), "{said:?}");
        assert_eq!(backups.names(), [""; 0]);
        holder.lets_go().await;
        database.until(SESSIONS, 0).await;
    }
}

#[tokio::test]
async fn a_backup_ends_at_its_deadline() {
    let (database, backups) = (Database::migrated().await, Backups::new());
    let holder = Holder::of_entries(&database).await;
    let said = backups.run(&database, &["--deadline", "1"]);
    assert_eq!(said.code, Some(75), "{said:?}");
    assert!(said.err.contains("took longer than the 1 s of --deadline"), "{said:?}");
    assert_eq!(backups.names(), [""; 0]);
    // The session of a pg_dump that has ended waits for the table as long as pg_dump would have.
    holder.lets_go().await;
    database.until(SESSIONS, 0).await;
    backups.make(&database, &["--deadline", "10m"]);
}

#[tokio::test]
async fn the_lock_of_a_backup_that_was_killed_ends_by_itself() {
    let (database, backups) = (Database::migrated().await, Backups::new());
    let holder = Holder::of_entries(&database).await;
    let mut killed = backups.start(&database, &[]);
    database.until(WAITING, 2).await;
    send(&killed, Signal::SIGKILL);
    killed.wait().unwrap();
    // Its session, which waits for the table as pg_dump's does, notices that it does so for nobody.
    database.until(BACKING_UP, 0).await;
    holder.lets_go().await;
    backups.make(&database, &[]);
    assert_eq!(backups.names().len(), 2, "what was killed left nothing");
}
