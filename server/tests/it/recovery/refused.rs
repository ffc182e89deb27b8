//! Dumps that are not what their manifest says, as a restore into a new database meets them: it reads no rows before it loads them. Each
//! is refused with its true reason, and leaves no database.

use agentfs_contract::manifest::{Manifest, Table};
use sqlx::{Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use super::kept::Kept;
use crate::support::cli::agentfs;
use crate::support::database::{Database, shared};

const ROWS: &str = "
    INSERT INTO tenants (id, name) VALUES ('a0000000-0000-0000-0000-000000000001', 'one');
    INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
    VALUES ('a0000000-0000-0000-0000-000000000001', 'ada', '/a', 'a0000000-0000-0000-0000-000000000002', 1, now());
    INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
    VALUES ('a0000000-0000-0000-0000-000000000001', 'a0000000-0000-0000-0000-000000000002', 'ada', '/a', 1, '\"a note\"', '{}', 0.5, true, now())";

/// Restores the newest backup, which fails; returns why. There is no database of it.
async fn refused(kept: &Kept) -> String {
    let name = format!("restored_{}", Uuid::new_v4().simple());
    let from = kept.folder.path().to_str().unwrap();
    let programs = shared().programs().to_str().unwrap();
    let fixed = ["restore", "--from", from, "--pg-bin", programs, "--into-database", &name];
    let url = [("DATABASE_URL", &*kept.database.superuser_url)];
    let said = agentfs(&[&fixed[..], &["--backup", "latest"]].concat(), &url).failure();
    let left = "SELECT count(*) FROM pg_database WHERE starts_with(datname, $1)";
    let mut connection = kept.database.connect().await;
    let left: i64 = sqlx::query_scalar(left).bind(&name).fetch_one(&mut connection).await.unwrap();
    assert_eq!(left, 0, "{said}");
    said
}

/// Changes a manifest.
type Lie = fn(&mut Manifest);

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_is_not_what_its_manifest_says_is_refused_with_the_reason() {
    let database = Database::migrated().await;
    database.execute(ROWS).await;
    let kept = Kept::backup(&database, &[], &[]);
    let good = kept.dump();
    let count = |manifest: &mut Manifest| manifest.tables.get_mut("entries").unwrap().rows = 42;
    let unsaid = |manifest: &mut Manifest| drop(manifest.tables.remove("tenants"));
    let left_out = |manifest: &mut Manifest| {
        manifest.tables.remove("entries");
        manifest.left_out.push("entries".into());
    };
    let lies: [(Lie, &str); 3] = [
        (count, "entries: 1 rows, the manifest says 42"),
        (unsaid, "tenants: the dump has rows, the manifest says nothing of it"),
        (left_out, "entries: the dump has rows, the manifest says that they are left out"),
    ];
    for (lie, why) in lies {
        kept.plant(&good, lie);
        let said = refused(&kept).await;
        assert!(said.contains(why), "{why}: {said}");
    }

    let ours = kept.ours();
    let whole = kept.dump_now(&ours).await;
    kept.plant(&whole[..whole.len() - 1000], |_| {});
    let said = refused(&kept).await;
    assert!(said.contains("pg_restore fails on the dump"), "{said}");

    let without = kept.dump_now(&format!("{ours} --exclude-table-data=entries")).await;
    kept.plant(&without, |_| {});
    let said = refused(&kept).await;
    assert!(
        said.contains("entries: the dump has no data of it, the manifest says 1 rows"),
        "{said}"
    );

    database.execute("UPDATE entry_versions SET value = '\"a lie\"'").await;
    kept.plant(&kept.dump_now(&ours).await, |_| {});
    let said = refused(&kept).await;
    assert!(said.contains("entry_versions: rows were changed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_with_more_than_our_tables_is_refused_before_it_is_loaded() {
    let database = Database::migrated().await;
    let kept = Kept::backup(&database, &[], &[]);
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    let add = "CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$";
    superuser.execute(add).await.unwrap();
    kept.plant(&kept.dump_now("--no-unlogged-table-data").await, |_| {});
    let said = refused(&kept).await;
    assert!(said.contains("AgentFS does not have: CREATE FUNCTION public.spy"), "{said}");

    // Rows alone, of a table that the manifest claims.
    superuser.execute("DROP FUNCTION spy; CREATE TABLE spied AS SELECT 1 AS one").await.unwrap();
    let dump = kept.dump_now(&format!("{} -t spied", kept.ours())).await;
    kept.plant(&dump, |manifest| {
        let fingerprint = Some("0".repeat(16));
        manifest.tables.insert("spied".into(), Table { rows: 1, bytes: None, fingerprint });
    });
    let said = refused(&kept).await;
    assert!(said.contains("AgentFS does not have: CREATE TABLE public.spied"), "{said}");
}
