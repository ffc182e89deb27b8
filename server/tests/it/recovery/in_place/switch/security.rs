//! Tenants, keys, usage and sequences of both sides.

use agentfs_server::store::in_place::security::{Carried, Security};
use agentfs_server::store::in_place::switch::{Switch, Try};
use sqlx::Executor as _;

use super::staged::{RESTORE, Staged, UNDO, put};
use crate::support::database::Database;
use crate::support::eventually::eventually;

const FOREIGN: Switch = Switch::Restore { security: Security::Live, is_own: false };

/// Two tenants and two keys on both sides, of which one was revoked since; one of each only on one side.
async fn with_keys() -> Staged {
    let database = Database::migrated().await;
    let staged = Staged::on(&database).await;
    database
        .execute(
            "INSERT INTO agentfs_new.tenants (id, name) VALUES
                 ('00000000-0000-0000-0000-000000000001', 'both, of old'), ('00000000-0000-0000-0000-000000000002', 'of backup');
             INSERT INTO tenants (id, name) VALUES
                 ('00000000-0000-0000-0000-000000000001', 'both'), ('00000000-0000-0000-0000-000000000003', 'of live');
             INSERT INTO agentfs_new.api_keys (id, tenant_id, secret_hash, scopes, revoked_at) VALUES
                 ('both', '00000000-0000-0000-0000-000000000001', 'old', '{}', NULL),
                 ('revoked', '00000000-0000-0000-0000-000000000001', 'old', '{}', NULL),
                 ('backup', '00000000-0000-0000-0000-000000000002', 'old', '{}', NULL);
             INSERT INTO api_keys (id, tenant_id, secret_hash, scopes, revoked_at) VALUES
                 ('both', '00000000-0000-0000-0000-000000000001', 'new', '{}', NULL),
                 ('revoked', '00000000-0000-0000-0000-000000000001', 'new', '{}', now()),
                 ('live', '00000000-0000-0000-0000-000000000003', 'new', '{}', NULL);
             INSERT INTO agentfs_new.quota_usage (tenant_id, day, writes) VALUES
                 ('00000000-0000-0000-0000-000000000001', '2026-01-01', 1), ('00000000-0000-0000-0000-000000000001', '2026-01-02', 2);
             INSERT INTO quota_usage (tenant_id, day, writes) VALUES ('00000000-0000-0000-0000-000000000001', '2026-01-01', 9);",
        )
        .await;
    staged
}

/// What there is: tenants, keys with whether they are valid, and days of usage.
async fn rows(staged: &mut Staged) -> [Vec<String>; 3] {
    let all = [
        "SELECT name FROM tenants WHERE name <> 'default' ORDER BY id",
        "SELECT format('%s %s%s', id, convert_from(secret_hash, 'UTF8'), CASE WHEN revoked_at IS NOT NULL THEN ' revoked' END)
           FROM api_keys ORDER BY id",
        "SELECT format('%s: %s', day, writes) FROM quota_usage ORDER BY day",
    ];
    let mut rows = [const { Vec::new() }; 3];
    for (sql, rows) in all.into_iter().zip(&mut rows) {
        *rows = sqlx::query_scalar(sql).fetch_all(&mut staged.holder).await.unwrap();
    }
    rows
}

const DAYS: [&str; 2] = ["2026-01-01: 9", "2026-01-02: 2"];

#[tokio::test]
async fn the_live_side_wins_and_what_only_the_backup_has_is_added() {
    let mut staged = with_keys().await;
    let carried = staged.switched(RESTORE).await.carried;
    assert_eq!(carried, Carried { tenants: 1, keys: 1, left_out: 0 });
    let after = [
        vec!["both", "of backup", "of live"],
        vec!["backup old", "both new", "live new", "revoked new revoked"],
        DAYS.to_vec(),
    ];
    assert_eq!(rows(&mut staged).await, after);

    // Undoing it brings none of it back either.
    staged
        .holder
        .execute("UPDATE api_keys SET revoked_at = now() WHERE id = 'live'")
        .await
        .unwrap();
    staged.begin_undo().await;
    assert_eq!(staged.switched(UNDO).await.carried, Carried::default());
    let [_, keys, _] = rows(&mut staged).await;
    assert_eq!(keys, ["backup old", "both new", "live new revoked", "revoked new revoked"]);
}

#[tokio::test]
async fn keys_of_a_foreign_backup_are_left_out() {
    let mut staged = with_keys().await;
    let database = staged.database.clone();
    // Somebody is about to write the first memory, and has done so by the time of the switch.
    let mut writer = database.connect().await;
    writer.execute("BEGIN").await.unwrap();
    put(&mut writer, "public", "/first").await;
    let write = async {
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        database.until(waits, 1).await;
        writer.execute("COMMIT").await.unwrap();
    };
    let attempt = async || staged.attempt(FOREIGN).await;
    let is_made = |tried: &Try| !matches!(tried, Try::Held(_));
    let (tried, ()) = tokio::join!(eventually("it is switched", attempt, is_made), write);
    let Try::Made(made) = tried else { panic!("{tried:?}") };
    assert_eq!(made.carried, Carried { tenants: 1, keys: 0, left_out: 1 });
    let after = [
        vec!["both", "of backup", "of live"],
        vec!["both new", "live new", "revoked new revoked"],
        DAYS.to_vec(),
    ];
    assert_eq!(rows(&mut staged).await, after);
}

#[tokio::test]
async fn a_foreign_backup_brings_its_keys_where_there_is_no_memory() {
    let mut staged = with_keys().await;
    let carried = staged.switched(FOREIGN).await.carried;
    assert_eq!(carried, Carried { tenants: 1, keys: 1, left_out: 0 });
}

#[tokio::test]
async fn the_backups_tenants_and_keys_replace_the_live_ones_where_that_is_asked_for() {
    let mut staged = with_keys().await;
    let switch = Switch::Restore { security: Security::FromBackup, is_own: true };
    let carried = staged.switched(switch).await.carried;
    assert_eq!(carried, Carried { tenants: 1, keys: 1, left_out: 0 });
    let after = [
        vec!["both, of old", "of backup"],
        vec!["backup old", "both old", "revoked old"],
        DAYS.to_vec(),
    ];
    assert_eq!(rows(&mut staged).await, after);
}

#[tokio::test]
async fn columns_may_have_another_order() {
    let mut staged = with_keys().await;
    // As after a migration of a release that had the column later.
    let late = "ALTER TABLE agentfs_new.api_keys DROP COLUMN label;
                ALTER TABLE agentfs_new.api_keys ADD COLUMN label text NOT NULL DEFAULT 'late'";
    staged.holder.execute(late).await.unwrap();
    staged.switched(RESTORE).await;
    let late = "SELECT count(*) FROM api_keys WHERE label = 'late' AND id = 'backup'";
    assert_eq!(staged.database.number(late).await, 1);
}

#[tokio::test]
async fn identities_go_on_from_the_greater_value_of_both_sides() {
    let database = Database::migrated().await;
    let mut staged = Staged::on(&database).await;
    database
        .execute(
            "SELECT setval('public.embedding_jobs_id_seq', 100), setval('agentfs_new.embedding_jobs_id_seq', 5);
             SELECT setval('public.embedding_models_id_seq', 3), setval('agentfs_new.embedding_models_id_seq', 50);",
        )
        .await;
    staged.switched(RESTORE).await;
    let jobs = "SELECT nextval(pg_get_serial_sequence('embedding_jobs', 'id'))";
    let models = "SELECT nextval(pg_get_serial_sequence('embedding_models', 'id'))";
    assert_eq!(database.number(jobs).await, 101);
    assert_eq!(database.number(models).await, 51);
    database.number(models).await;
    staged.begin_undo().await;
    staged.switched(UNDO).await;
    assert_eq!(database.number(jobs).await, 102);
    assert_eq!(database.number(models).await, 53);
}
