//! Autovacuum around a switch.

use std::collections::BTreeMap;

use agentfs_server::store::in_place::switch::Try;
use agentfs_server::store::in_place::{MOVING, STAYING, autovacuum};
use sqlx::Executor as _;

use super::staged::{RESTORE, Staged, UNDO};
use crate::support::database::Database;

/// What is set for autovacuum of the tables of a schema that move, where anything is.
async fn set(staged: &mut Staged, schema: &str) -> BTreeMap<String, String> {
    let set = "SELECT c.relname::text, o.option_value
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN pg_options_to_table(c.reloptions) o
                WHERE n.nspname = $1 AND o.option_name = 'autovacuum_enabled'";
    let set: Vec<(String, String)> =
        sqlx::query_as(set).bind(schema).fetch_all(&mut staged.holder).await.unwrap();
    set.into_iter().collect()
}

fn all_off() -> BTreeMap<String, String> {
    MOVING.into_iter().map(|table| (table.to_owned(), "off".to_owned())).collect()
}

#[tokio::test]
async fn autovacuum_is_kept_off_the_live_tables_and_let_on_wherever_they_are_then() {
    let database = Database::migrated().await;
    let mut staged = Staged::on(&database).await;
    database.execute("ALTER TABLE entries SET (autovacuum_enabled = true, fillfactor = 70)").await;
    let former: BTreeMap<_, _> = [("entries".to_owned(), "true".to_owned())].into();
    autovacuum::keep_off_staged(&mut staged.holder).await.unwrap();
    let all = set(&mut staged, "agentfs_new").await;
    assert_eq!(all.len(), MOVING.len() + STAYING.len());
    assert!(all.values().all(|enabled| enabled == "off"), "{all:?}");

    staged.keep_autovacuum_off(true).await;
    assert_eq!(set(&mut staged, "public").await, all_off());
    // It is given up.
    staged.keep_autovacuum_off(false).await;
    assert_eq!(set(&mut staged, "public").await, former);

    // A run that was killed in between, and one that knows nothing of it.
    staged.keep_autovacuum_off(true).await;
    staged.keep_autovacuum_off(true).await;
    let mut reader = database.connect().await;
    reader.execute("BEGIN; SELECT count(*) FROM entries").await.unwrap();
    let held = staged.attempt(RESTORE).await;
    assert!(matches!(held, Try::Held(_)), "{held:?}");
    assert_eq!(set(&mut staged, "agentfs_new").await, all);
    reader.execute("ROLLBACK").await.unwrap();
    // What is live has it at once, as the live tables had it before.
    staged.switched(RESTORE).await;
    assert_eq!(set(&mut staged, "agentfs_old").await, all_off());
    assert_eq!(set(&mut staged, "public").await, former);
    staged.reconnect().await;
    staged.keep_autovacuum_off(false).await;
    assert_eq!(set(&mut staged, "agentfs_old").await, former);
    assert_eq!(set(&mut staged, "public").await, former);

    // Somebody has set it otherwise since, which an undoing keeps. It was not let on again for what becomes live.
    staged.begin_undo().await;
    database
        .execute(
            "ALTER TABLE entries RESET (autovacuum_enabled); ALTER TABLE embeddings SET (autovacuum_enabled = false);
             INSERT INTO agentfs_meta.autovacuum_off VALUES ('agentfs_old.entries'::regclass, 'true');
             ALTER TABLE agentfs_old.entries SET (autovacuum_enabled = off)",
        )
        .await;
    let former: BTreeMap<_, _> = [("embeddings".to_owned(), "false".to_owned())].into();
    staged.keep_autovacuum_off(true).await;
    staged.switched(UNDO).await;
    assert_eq!(set(&mut staged, "public").await, former);
    staged.keep_autovacuum_off(false).await;
    assert_eq!(set(&mut staged, "agentfs_old").await, former);
    assert_eq!(set(&mut staged, "public").await, former);
    let noted = "SELECT count(*) FROM agentfs_meta.autovacuum_off";
    assert_eq!(database.number(noted).await, 0);

    // What is gone needs nothing any more.
    staged.keep_autovacuum_off(true).await;
    database.execute("DROP TABLE search_documents").await;
    staged.keep_autovacuum_off(false).await;
    assert_eq!(database.number(noted).await, 0);
    assert_eq!(set(&mut staged, "public").await, former);
}
