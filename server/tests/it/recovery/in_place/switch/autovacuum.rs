//! Autovacuum around a switch.

use std::collections::BTreeMap;

use agentfs_server::store::in_place::MOVING;

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
    database.execute("ALTER TABLE agentfs_new.embeddings SET (autovacuum_enabled = false)").await;
    let former: BTreeMap<_, _> = [("entries".to_owned(), "true".to_owned())].into();
    let of_backup: BTreeMap<_, _> = [("embeddings".to_owned(), "false".to_owned())].into();

    staged.keep_autovacuum_off(true).await;
    assert_eq!(set(&mut staged, "public").await, all_off());
    // It is given up.
    staged.keep_autovacuum_off(false).await;
    assert_eq!(set(&mut staged, "public").await, former);

    // A run that was killed in between, and one that knows nothing of it.
    staged.keep_autovacuum_off(true).await;
    staged.keep_autovacuum_off(true).await;
    staged.switched(RESTORE).await;
    assert_eq!(set(&mut staged, "agentfs_old").await, all_off());
    assert_eq!(set(&mut staged, "public").await, of_backup);
    staged.reconnect().await;
    staged.keep_autovacuum_off(false).await;
    assert_eq!(set(&mut staged, "agentfs_old").await, former);
    assert_eq!(set(&mut staged, "public").await, of_backup);

    staged.begin_undo().await;
    staged.keep_autovacuum_off(true).await;
    staged.switched(UNDO).await;
    staged.keep_autovacuum_off(false).await;
    assert_eq!(set(&mut staged, "agentfs_old").await, of_backup);
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
