//! What others have made in schemas of our names, or of our tables, is named and left as it is.

use agentfs_server::store::in_place::records;
use agentfs_server::store::in_place::staging::{self, NotOurs};
use agentfs_server::store::in_place::switch::Try;
use agentfs_server::store::in_place::{MOVING, previous};
use sqlx::{AssertSqlSafe, Executor as _};

use super::staged::{RESTORE, Staged, UNDO};
use crate::support::database::Database;

fn foreign(schema: &'static str, objects: &str) -> NotOurs {
    NotOurs::Schema { schema, objects: objects.to_owned() }
}

#[tokio::test]
async fn a_foreign_agentfs_old_is_named_before_a_switch() {
    let database = Database::migrated().await;
    let mut staged = Staged::on(&database).await;
    for (made, objects) in [
        ("CREATE SCHEMA agentfs_old", "nothing is in it"),
        ("CREATE TABLE agentfs_old.theirs (id int PRIMARY KEY)", "theirs"),
        (
            "CREATE TABLE agentfs_old.a (); CREATE TABLE agentfs_old.b (); CREATE TABLE agentfs_old.c ();
             CREATE TABLE agentfs_old.d (); CREATE TABLE agentfs_old.e ()",
            "a, b, c, d, e and more",
        ),
    ] {
        database.execute(made).await;
        let before = staged.everything().await;
        let tried = staged.attempt(RESTORE).await;
        assert_eq!(tried, Try::NotOurs(foreign("agentfs_old", objects)));
        assert_eq!(staged.everything().await, before);
    }
    database.execute("DROP SCHEMA agentfs_old CASCADE").await;
    staged.switched(RESTORE).await;
}

#[tokio::test]
async fn a_foreign_agentfs_new_is_neither_staged_in_nor_switched_in_nor_dropped() {
    let database = Database::migrated().await;
    let mut staged = Staged::on(&database).await;
    let record = records::unfinished(&mut staged.holder).await.unwrap().unwrap();
    database
        .execute(
            "ALTER SCHEMA agentfs_new RENAME TO ours; CREATE SCHEMA agentfs_new; CREATE TABLE agentfs_new.theirs ()",
        )
        .await;
    let before = staged.everything().await;
    let theirs = foreign("agentfs_new", "theirs");
    assert_eq!(staged.attempt(RESTORE).await, Try::NotOurs(theirs.clone()));
    assert_eq!(staging::make(&mut staged.holder, staged.id).await.unwrap(), Err(theirs));
    database.execute("SELECT FROM agentfs_meta.restores FOR UPDATE NOWAIT").await;
    staging::drop(&mut staged.holder, record.staging.unwrap()).await.unwrap().unwrap();
    assert_eq!(staged.everything().await, before);

    database
        .execute("DROP SCHEMA agentfs_new CASCADE; ALTER SCHEMA ours RENAME TO agentfs_new")
        .await;
    database.execute("DROP TABLE agentfs_new.embeddings").await;
    let objects = "it has not the embeddings of the restore".to_owned();
    let lacks = NotOurs::Changed { schema: "agentfs_new", objects };
    assert_eq!(staged.attempt(RESTORE).await, Try::NotOurs(lacks));
    database.execute("CREATE TABLE agentfs_new.theirs ()").await;
    let dropped = staging::drop(&mut staged.holder, record.staging.unwrap()).await.unwrap();
    let objects = "table agentfs_new.theirs depends on schema agentfs_new".to_owned();
    assert_eq!(dropped, Err(NotOurs::Needed { schema: "agentfs_new", objects }));
    assert!(staged.relations("agentfs_new").await.contains("entries"));
}

const WAITING: &str = "SELECT count(*) FROM pg_locks JOIN pg_database ON database = pg_database.oid WHERE datname = current_database() AND NOT granted";

#[tokio::test]
async fn what_a_lost_session_makes_while_agentfs_new_is_dropped_goes_with_it() {
    let database = Database::migrated().await;
    let mut staged = Staged::on(&database).await;
    let record = records::unfinished(&mut staged.holder).await.unwrap().unwrap();
    database.execute("DROP TABLE agentfs_new.embeddings").await;
    let mut lost = database.connect().await;
    lost.execute("BEGIN; CREATE TABLE agentfs_new.embeddings ()").await.unwrap();
    let making = async {
        database.until(WAITING, 1).await;
        lost.execute("COMMIT").await.unwrap();
    };
    let dropping = staging::drop(&mut staged.holder, record.staging.unwrap());
    let (dropped, ()) = tokio::join!(dropping, making);
    assert_eq!(dropped.unwrap(), Ok(()));
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'agentfs_new'";
    assert_eq!(database.number(schemas).await, 0);
}

#[tokio::test]
async fn a_foreign_agentfs_old_is_neither_switched_in_nor_dropped() {
    let database = Database::migrated().await;
    let mut staged = Staged::on(&database).await;
    staged.switched(RESTORE).await;
    staged.begin_undo().await;
    let record = records::with_previous(&mut staged.holder).await.unwrap().unwrap();
    // Of the same name, with tables of the same names.
    database.execute("ALTER SCHEMA agentfs_old RENAME TO ours; CREATE SCHEMA agentfs_old").await;
    for table in MOVING {
        let copy = AssertSqlSafe(format!("CREATE TABLE agentfs_old.{table} (LIKE public.{table})"));
        staged.holder.execute(copy).await.unwrap();
    }
    assert_eq!(records::with_previous(&mut staged.holder).await.unwrap(), None);
    let before = staged.everything().await;
    let objects =
        "_sqlx_migrations, embedding_chunks, embedding_jobs, embedding_models, embeddings and more";
    let theirs = foreign("agentfs_old", objects);
    assert_eq!(staged.attempt(UNDO).await, Try::NotOurs(theirs.clone()));
    assert_eq!(previous::drop(&mut staged.holder, &record).await.unwrap(), Err(theirs));
    assert_eq!(staged.everything().await, before);

    // Of the same schema, one table is another.
    database
        .execute("DROP SCHEMA agentfs_old CASCADE; ALTER SCHEMA ours RENAME TO agentfs_old")
        .await;
    database
        .execute(
            "ALTER TABLE agentfs_old.entries RENAME TO kept; CREATE TABLE agentfs_old.entries (LIKE public.entries)",
        )
        .await;
    let before = staged.everything().await;
    let objects = "it has not the entries of the restore".to_owned();
    let lacks = NotOurs::Changed { schema: "agentfs_old", objects };
    assert_eq!(staged.attempt(UNDO).await, Try::NotOurs(lacks));
    let theirs = foreign("agentfs_old", "agentfs_old.entries");
    assert_eq!(previous::drop(&mut staged.holder, &record).await.unwrap(), Err(theirs));
    assert_eq!(staged.everything().await, before);
}

#[tokio::test]
async fn previous_tables_that_others_need_stay_and_who_needs_them_is_named() {
    let database = Database::migrated().await;
    let mut staged = Staged::on(&database).await;
    staged.switched(RESTORE).await;
    let record = records::with_previous(&mut staged.holder).await.unwrap().unwrap();
    database.execute("CREATE VIEW report AS SELECT count(*) FROM agentfs_old.entries").await;
    database
        .execute("CREATE FUNCTION agentfs_old.theirs() RETURNS int LANGUAGE sql RETURN 1")
        .await;
    for (objects, remedy) in [
        ("view report depends on table agentfs_old.entries", "DROP VIEW report"),
        (
            "function agentfs_old.theirs() depends on schema agentfs_old",
            "DROP FUNCTION agentfs_old.theirs",
        ),
    ] {
        let before = staged.everything().await;
        let needed = NotOurs::Needed { schema: "agentfs_old", objects: objects.to_owned() };
        assert_eq!(previous::drop(&mut staged.holder, &record).await.unwrap(), Err(needed));
        assert_eq!(staged.everything().await, before);
        database.execute(remedy).await;
    }
    assert!(previous::drop(&mut staged.holder, &record).await.unwrap().is_ok());
    assert_eq!(staged.schemas().await, ["agentfs_meta", "agentfs_new", "public"]);
}

/// A restore drops them with its switch, or keeps them: else the one before could not be undone any more.
#[tokio::test]
async fn previous_tables_go_with_the_switch_that_replaces_them() {
    let database = Database::migrated().await;
    let mut staged = Staged::on(&database).await;
    staged.put("public", "/first").await;
    staged.switched(RESTORE).await;
    staged.stage_again().await;
    let record = records::with_previous(&mut staged.holder).await.unwrap().unwrap();
    let before = staged.everything().await;

    let mut reader = database.connect().await;
    for table in ["entries", "agentfs_old.entries"] {
        let read = AssertSqlSafe(format!("BEGIN; SELECT count(*) FROM {table}"));
        reader.execute(read).await.unwrap();
        let held = staged.attempt(RESTORE).await;
        assert!(matches!(held, Try::Held(_)), "{table}: {held:?}");
        assert_eq!(staged.everything().await, before, "{table}");
        // It may be gone by the time of the switch.
        assert_eq!(previous::look(&mut staged.holder, &record).await.unwrap(), Ok(()));
        reader.execute("ROLLBACK").await.unwrap();
    }
    database.execute("CREATE VIEW report AS SELECT count(*) FROM agentfs_old.entries").await;
    let before = staged.everything().await;
    let objects = "view report depends on table agentfs_old.entries".to_owned();
    let needed = NotOurs::Needed { schema: "agentfs_old", objects };
    assert_eq!(previous::look(&mut staged.holder, &record).await.unwrap(), Err(needed.clone()));
    assert_eq!(staged.attempt(RESTORE).await, Try::NotOurs(needed));
    assert_eq!(staged.everything().await, before);
    assert_eq!(staged.paths_in("agentfs_old").await, ["/first"]);

    database.execute("DROP VIEW report").await;
    let live = staged.oids("public").await;
    assert_eq!(previous::look(&mut staged.holder, &record).await.unwrap(), Ok(()));
    staged.switched(RESTORE).await;
    assert_eq!(staged.oids("agentfs_old").await, live);
    let kept = records::with_previous(&mut staged.holder).await.unwrap().unwrap();
    assert_eq!(kept.id, staged.id);
}

#[tokio::test]
async fn a_dump_of_all_holds_up_no_restore_from_beginning() {
    let database = Database::migrated().await;
    let mut connection = database.connect().await;
    records::prepare(&mut connection).await.unwrap();
    let mut dump = database.connect().await;
    dump.execute(
        "BEGIN; LOCK TABLE agentfs_meta.restores, agentfs_meta.autovacuum_off IN ACCESS SHARE MODE",
    )
    .await
    .unwrap();
    connection.execute("SET lock_timeout = '100ms'").await.unwrap();
    records::prepare(&mut connection).await.unwrap();
}
