//! Damage to a backup that `verify` must notice, each with its true reason.

use std::fs;

use agentfs_contract::manifest::Table;
use agentfs_server::store::schema::SCHEMA_VERSION;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::kept::Kept;
use crate::support::cli::agentfs;
use crate::support::database::Database;

const ARCHIVE: [&str; 2] = ["--level", "archive"];
const RESTORE: [&str; 2] = ["--level", "restore"];

/// A row in each table, with a text in it that nothing else has.
const ROWS: &str = "
    INSERT INTO tenants (id, name) VALUES ('a0000000-0000-0000-0000-000000000001', 'tenants-marker6');
    INSERT INTO api_keys (id, tenant_id, secret_hash, scopes, label)
    VALUES ('agfs_live_aaaaaaaaaaa', 'a0000000-0000-0000-0000-000000000001', '\\x00', '{memory:read}', 'keys-marker6');
    INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
    VALUES ('a0000000-0000-0000-0000-000000000001', 'ada', '/a', 'a0000000-0000-0000-0000-000000000002', 1, '2031-02-03 04:05:06.123456+00');
    INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
    VALUES ('a0000000-0000-0000-0000-000000000001', 'a0000000-0000-0000-0000-000000000002', 'ada', '/a', 1, '\"versions-marker6\"', '{}',
            0.5, true, now());
    INSERT INTO quota_usage (tenant_id, day, writes) VALUES ('a0000000-0000-0000-0000-000000000001', '2026-01-01', 7777777776);
    INSERT INTO storage_usage (tenant_id, bytes) VALUES ('a0000000-0000-0000-0000-000000000001', 8888888886);
    INSERT INTO idempotency_keys (tenant_id, key, request_hash, created_at)
    VALUES ('a0000000-0000-0000-0000-000000000001', 'idempotency-marker6', '\\x00', now());
    INSERT INTO embedding_models (name, dimensions, state) VALUES ('model-marker6', 3, 'serving');
    INSERT INTO embeddings (tenant_id, agent_id, path, model_id, version_id, embedding)
    VALUES ('a0000000-0000-0000-0000-000000000001', 'ada', '/a', 1, 'a0000000-0000-0000-0000-000000000002', '[0.125,0.25,0.75]');
    INSERT INTO embedding_chunks (tenant_id, agent_id, path, model_id, n, version_id, embedding)
    VALUES ('a0000000-0000-0000-0000-000000000001', 'ada', '/a', 1, 1, 'a0000000-0000-0000-0000-000000000002', '[0.5,0.25,0.375]');
    INSERT INTO embedding_jobs (tenant_id, agent_id, path, version_id, model_id, status, last_error)
    VALUES ('a0000000-0000-0000-0000-000000000001', 'ada', '/a', 'a0000000-0000-0000-0000-000000000002', 1, 'failed', 'jobs-marker6');
    INSERT INTO search_documents (tenant_id, agent_id, path, version_id, document)
    VALUES ('a0000000-0000-0000-0000-000000000001', 'ada', '/a', 'a0000000-0000-0000-0000-000000000002', 'documentmarker6:1');
    CREATE INDEX embeddings_hnsw_1 ON embeddings USING hnsw ((embedding::halfvec(3)) halfvec_cosine_ops) WHERE model_id = 1";

/// What ends with a byte of a row of each table. That byte with its last bit flipped makes another row, which loads as well.
const BYTES: [(&str, &str); 14] = [
    ("_sqlx_migrations", "key makers"),
    ("api_keys", "keys-marker6"),
    ("embedding_chunks", "[0.5,0.25,0.375"),
    ("embedding_jobs", "jobs-marker6"),
    ("embedding_models", "model-marker6"),
    ("embeddings", "[0.125,0.25,0.75"),
    ("entries", "2031-02-03 04:05:06.123456"),
    ("entry_versions", "versions-marker6"),
    ("idempotency_keys", "idempotency-marker6"),
    ("quota_usage", "7777777776"),
    ("schema_version", ""),
    ("search_documents", "documentmarker6"),
    ("storage_usage", "8888888886"),
    ("tenants", "tenants-marker6"),
];

async fn filled() -> Database {
    let database = Database::migrated().await;
    database.execute(ROWS).await;
    database
}

/// The dump with the last bit flipped of the byte that ends the only place of `text`.
fn flipped(dump: &[u8], text: &str) -> Vec<u8> {
    let places: Vec<usize> = dump
        .windows(text.len())
        .enumerate()
        .filter(|(_, window)| *window == text.as_bytes())
        .map(|(at, _)| at + text.len() - 1)
        .collect();
    assert_eq!(places.len(), 1, "{text}");
    let mut flipped = dump.to_vec();
    flipped[places[0]] ^= 1;
    flipped
}

/// The dump with another text of the same length in the only place of `text`.
fn replaced(dump: &[u8], text: &str, by: &str) -> Vec<u8> {
    assert_eq!(text.len(), by.len());
    let mut places = dump.windows(text.len()).enumerate().filter(|(_, it)| *it == text.as_bytes());
    let (at, _) = places.next().unwrap();
    assert!(places.next().is_none(), "{text}");
    let mut replaced = dump.to_vec();
    replaced[at..at + by.len()].copy_from_slice(by.as_bytes());
    replaced
}

#[tokio::test]
async fn a_flipped_bit_in_a_row_of_any_table_is_found_by_sum_and_by_fingerprint() {
    let kept = Kept::verified(&filled().await);
    let tables: Vec<&str> = kept.first.tables.keys().map(String::as_str).collect();
    assert_eq!(tables, BYTES.map(|(table, _)| table));
    let dump = kept.dump_now(&kept.ours()).await;
    let whole = kept.plant(&dump, |_| {});
    kept.verify(&RESTORE).text();
    assert_eq!(kept.latest_verified().await, whole);

    let schema_version = format!("t\t{SCHEMA_VERSION}\t1");
    for (table, text) in BYTES {
        let damaged = flipped(&dump, if text.is_empty() { &schema_version } else { text });
        let id = kept.plant(&dump, |_| {});
        fs::write(kept.file(&id, ".dump"), &damaged).unwrap();
        kept.assert_bad(
            &id,
            &ARCHIVE,
            "the dump was changed or damaged: its SHA-256 is another one",
        );

        let id = kept.plant(&damaged, |_| {});
        kept.assert_bad(&id, &RESTORE, &format!("{table}: rows were changed: another fingerprint"));
        assert_eq!(kept.latest_verified().await, whole);
    }
}

#[tokio::test]
async fn a_dump_that_is_cut_short_or_empty_says_how_far_it_goes() {
    let kept = Kept::verified(&filled().await);
    let dump = kept.dump();
    for cut in [dump.len() - 1, dump.len() / 2, 0] {
        let id = kept.plant(&dump, |_| {});
        fs::write(kept.file(&id, ".dump"), &dump[..cut]).unwrap();
        for level in [ARCHIVE, RESTORE] {
            kept.assert_bad(&id, &level, "the dump is cut short: ");
        }
        let said = kept.verify(&ARCHIVE).err.replace(',', "");
        assert!(said.contains(&format!("{cut} of {} bytes", dump.len())), "{said}");
        // With sums that are right, the dump itself tells.
        let id = kept.plant(&dump[..cut], |_| {});
        kept.assert_bad(&id, &ARCHIVE, "pg_restore fails on the dump");
    }
    let id = kept.plant(&dump, |_| {});
    fs::remove_file(kept.file(&id, ".dump")).unwrap();
    kept.assert_bad(&id, &ARCHIVE, "the dump is not there");
    assert_eq!(kept.latest_verified().await, kept.first.id());
}

#[tokio::test]
async fn a_damaged_table_of_contents_is_noticed() {
    let kept = Kept::verified(&filled().await);
    let dump = kept.dump_now(&kept.ours()).await;
    for (text, why) in [
        ("PGDMP", "pg_restore fails on the dump"),
        ("CREATE TABLE public.quota_usage", "does not have: CREATE TABLE public.quota_usagd"),
        ("COPY public.storage_usage", "COPY public.storage_usagd"),
        (
            "REFERENCES public.tenants",
            "does not have: ALTER TABLE ONLY public.api_keys ADD CONSTRAINT",
        ),
        ("CREATE INDEX entries_tree", "it lacks CREATE INDEX entries_tree ON public.entries"),
    ] {
        let damaged = flipped(&dump, text);
        let id = kept.plant(&dump, |_| {});
        fs::write(kept.file(&id, ".dump"), &damaged).unwrap();
        kept.assert_bad(&id, &ARCHIVE, "its SHA-256 is another one");
        let id = kept.plant(&damaged, |_| {});
        kept.assert_bad(&id, &RESTORE, why);
    }
    assert_eq!(kept.latest_verified().await, kept.first.id());
}

#[tokio::test]
async fn a_damaged_manifest_is_named_and_not_passed_over() {
    let kept = Kept::verified(&filled().await);
    let id = kept.plant(&kept.dump(), |_| {});
    let path = kept.file(&id, ".manifest.json");
    let manifest = fs::read_to_string(&path).unwrap();
    fs::write(&path, manifest.replacen("\"rows\": 1\n", "\"rows\": 0\n", 1)).unwrap();
    for backup in ["latest", &*id] {
        let said = kept.verify(&["--backup", backup]);
        let why = format!("the backup {id}: the manifest was changed or damaged");
        assert!(said.code == Some(1) && said.err.contains(&why), "{said:?}");
    }
    assert_eq!(kept.latest_verified().await, kept.first.id());
    kept.verify(&["--backup", kept.first.id()]).text();
}

#[tokio::test]
async fn a_manifest_that_lies_is_not_believed() {
    let kept = Kept::verified(&filled().await);
    let dump = kept.dump();
    let id = kept.plant(&dump, |manifest| manifest.tables.get_mut("entries").unwrap().rows = 42);
    for level in [ARCHIVE, RESTORE] {
        kept.assert_bad(&id, &level, "entries: 1 rows, the manifest says 42");
    }
    let id = kept.plant(&dump, |manifest| {
        manifest.tables.remove("embeddings");
        manifest.left_out.push("embeddings".into());
    });
    kept.assert_bad(&id, &ARCHIVE, "embeddings: 1 rows, the manifest says that they are left out");
    let id = kept.plant(&dump, |manifest| drop(manifest.tables.remove("tenants")));
    kept.assert_bad(&id, &ARCHIVE, "tenants: 2 rows, the manifest says nothing of it");
    let id = kept.plant(&dump, |manifest| manifest.postgres = "17.5".into());
    kept.assert_bad(&id, &ARCHIVE, "the manifest says 17.5");
    let id = kept.plant(&dump, |manifest| manifest.schema_version = 13);
    let said = format!("the schema is version {SCHEMA_VERSION}, the manifest says 13");
    kept.assert_bad(&id, &RESTORE, &said);
    assert_eq!(kept.latest_verified().await, kept.first.id());
}

#[tokio::test]
async fn another_dump_under_the_same_manifest_is_told_by_its_tables() {
    let kept = Kept::verified(&filled().await);
    let ours = kept.ours();
    let without = kept.dump_now(&ours.replace("-t search_documents", "")).await;
    let id = kept.plant(&without, |_| {});
    kept.assert_bad(&id, &ARCHIVE, "search_documents: the table is not in the dump");

    let derived = kept.dump_now(&format!("{ours} --exclude-table-data=embeddings")).await;
    let id = kept.plant(&derived, |_| {});
    kept.assert_bad(
        &id,
        &RESTORE,
        "embeddings: the dump has no data of it, the manifest says 1 rows",
    );

    kept.database.execute("UPDATE entry_versions SET value = '\"versions-marker7\"'").await;
    let changed = kept.dump_now(&ours).await;
    let id = kept.plant(&changed, |_| {});
    kept.verify(&ARCHIVE).text();
    kept.assert_bad(&id, &RESTORE, "entry_versions: rows were changed: another fingerprint");
    assert_eq!(kept.latest_verified().await, kept.first.id());
}

#[tokio::test]
async fn a_dump_that_would_do_more_than_fill_our_tables_is_never_executed() {
    let kept = Kept::verified(&filled().await);
    let mut superuser = PgConnection::connect(&kept.database.superuser_url).await.unwrap();
    let everything = "--no-unlogged-table-data";
    for (add, remove, name) in [
        (
            "CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$",
            "DROP FUNCTION spy",
            "CREATE FUNCTION public.spy",
        ),
        (
            "CREATE TRIGGER spy BEFORE INSERT ON tenants EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "DROP TRIGGER spy ON tenants",
            "CREATE TRIGGER spy BEFORE INSERT ON public.tenants",
        ),
        ("CREATE VIEW spy AS SELECT 1 AS one", "DROP VIEW spy", "CREATE VIEW public.spy AS SELECT"),
        ("CREATE TABLE spy (a int)", "DROP TABLE spy", "CREATE TABLE public.spy"),
        (
            "ALTER TABLE tenants ADD CONSTRAINT spy CHECK (pg_read_file(name) IS NULL) NOT VALID",
            "ALTER TABLE tenants DROP CONSTRAINT spy",
            "ALTER TABLE public.tenants ADD CONSTRAINT spy CHECK",
        ),
        (
            "ALTER TABLE quota_usage ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE quota_usage DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE public.quota_usage ENABLE ROW LEVEL SECURITY",
        ),
    ] {
        superuser.execute(add).await.unwrap();
        let id = kept.plant(&kept.dump_now(everything).await, |_| {});
        superuser.execute(remove).await.unwrap();
        for level in [ARCHIVE, RESTORE] {
            kept.assert_bad(&id, &level, &format!("AgentFS does not have: {name}"));
        }
    }
    // Rows of a system catalogue, which a superuser may write to, under the name of a table that the manifest claims. The shorter
    // column keeps the length of the statement.
    let add = "CREATE TABLE public.pg_authid AS SELECT 'spy'::text AS rolname_abc";
    superuser.execute(add).await.unwrap();
    let dump = kept.dump_now(&format!("{} -t public.pg_authid", kept.ours())).await;
    superuser.execute("DROP TABLE public.pg_authid").await.unwrap();
    let id = kept.plant(
        &replaced(&dump, "public.pg_authid (rolname_abc)", "pg_catalog.pg_authid (rolname)"),
        |manifest| {
            let claimed = Table { rows: 1, bytes: None, fingerprint: None };
            manifest.tables.insert("pg_authid".into(), claimed);
        },
    );
    for why in ["does not have: CREATE TABLE public.pg_authid", ", COPY pg_catalog.pg_authid"] {
        kept.assert_bad(&id, &ARCHIVE, why);
    }
    // Rows as statements, of which each could be another one.
    let id = kept.plant(&kept.dump_now(&format!("{} --inserts", kept.ours())).await, |_| {});
    kept.assert_bad(&id, &ARCHIVE, "INSERT INTO public.");
    assert_eq!(kept.latest_verified().await, kept.first.id());
}

#[tokio::test]
async fn what_was_wrong_in_the_database_already_is_found_by_the_restore() {
    let database = filled().await;
    database.execute("UPDATE entries SET latest_version_id = gen_random_uuid()").await;
    let kept = Kept::backup(&database, &[], &[]);
    let why = "entries: the latest version of 1 of them is not there";
    kept.assert_bad(kept.first.id(), &RESTORE, why);

    let database = filled().await;
    database.execute("DROP INDEX entries_tree").await;
    let kept = Kept::backup(&database, &[], &[]);
    let why = "it lacks CREATE INDEX entries_tree ON public.entries";
    kept.assert_bad(kept.first.id(), &RESTORE, why);
}

#[tokio::test]
async fn what_says_nothing_of_a_backup_is_no_verdict() {
    let kept = Kept::verified(&filled().await);
    let dump = kept.dump();
    let newer = kept.plant(&dump, |manifest| manifest.schema_version = 99);
    let said = kept.verify(&RESTORE).failure();
    assert!(
        said.contains("schema version 99") && said.contains("use that version or a newer one"),
        "{said}"
    );
    let old = kept.plant(&dump, |manifest| manifest.postgres = "15.4".into());
    let said = kept.verify(&RESTORE).failure();
    assert!(said.contains("AgentFS supports 16 to 18"), "{said}");
    let id = kept.plant(&dump, |_| {});
    let from = kept.folder.path().to_str().unwrap();
    let said = agentfs(&["verify", "--from", from, "--pg-bin", "/nowhere"], &[]).failure();
    assert!(said.contains("apt-get install postgresql-client-"), "{said}");
    let own = [("BACKUP_SCRATCH_URL", &*kept.database.url)];
    let said = kept.verify_with(&RESTORE, &own).failure();
    assert!(said.contains("may not make databases") && said.contains("CREATEDB"), "{said}");
    let away = [("BACKUP_SCRATCH_URL", "postgres://u:hunter2@127.0.0.1:1/x")];
    let said = kept.verify_with(&RESTORE, &away);
    assert_eq!(said.code, Some(75), "{said:?}");
    assert!(!said.err.contains("hunter2"), "{said:?}");
    for id in [newer, old, id] {
        assert_eq!(kept.records(&id), []);
    }
    assert_eq!(kept.latest_verified().await, kept.first.id());
}
