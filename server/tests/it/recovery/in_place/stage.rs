//! Backups loaded beside the live tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Stdio;

use agentfs_server::store::fingerprint::{Contents, contents, tables};
use agentfs_server::store::schema::{MigrationError, SCHEMA_VERSION, apply_within, migrate_to};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sqlx::migrate::{Migration, MigrationType};
use sqlx::{Connection as _, Executor as _, PgConnection, SqlSafeStr as _};
use tokio::process::Command;

use super::super::kept::Kept;
use crate::support::cli::{Said, agentfs};
use crate::support::database::{Database, shared};
use crate::support::eventually::eventually;

/// Rows in each table, of which some sequences have come further than one.
const ROWS: &str = "
    INSERT INTO tenants (id, name) VALUES ('a0000000-0000-0000-0000-000000000001', 'one');
    INSERT INTO api_keys (id, tenant_id, secret_hash, scopes)
    VALUES ('agfs_live_aaaaaaaaaaa', 'a0000000-0000-0000-0000-000000000001', '\\x00', '{memory:read}');
    INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
    SELECT 'a0000000-0000-0000-0000-000000000001', 'ada', '/' || n, md5(n::text)::uuid, 1, now() FROM generate_series(1, 500) n;
    INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
    SELECT 'a0000000-0000-0000-0000-000000000001', md5(n::text)::uuid, 'ada', '/' || n, 1,
           to_json(E'tab\\t, line\\n, \\\\. and ' || repeat('x', n)), '{a,\"b,c\"}', 0.5, true, now()
      FROM generate_series(1, 500) n;
    INSERT INTO quota_usage (tenant_id, day, writes) VALUES ('a0000000-0000-0000-0000-000000000001', '2026-01-01', 7);
    INSERT INTO storage_usage (tenant_id, bytes, counted_for)
    SELECT id, 8, xmin FROM tenants WHERE name = 'one';
    INSERT INTO idempotency_keys (tenant_id, key, request_hash, created_at)
    VALUES ('a0000000-0000-0000-0000-000000000001', 'once', '\\x00', now());
    INSERT INTO rate_limits (bucket, minute, leased) VALUES ('requests:x', 1, 1);
    INSERT INTO embedding_models (name, dimensions, state) VALUES ('gone', 3, 'retired'), ('model', 3, 'serving');
    DELETE FROM embedding_models WHERE name = 'gone';
    INSERT INTO embeddings (tenant_id, agent_id, path, model_id, version_id, embedding)
    SELECT 'a0000000-0000-0000-0000-000000000001', 'ada', '/1', id, md5('1')::uuid, '[0.125,0.25,0.75]' FROM embedding_models;
    INSERT INTO embedding_jobs (tenant_id, agent_id, path, version_id, model_id)
    SELECT 'a0000000-0000-0000-0000-000000000001', 'ada', '/' || n, md5(n::text)::uuid, id
      FROM embedding_models, generate_series(1, 5) n;
    INSERT INTO search_documents (tenant_id, agent_id, path, version_id, document)
    VALUES ('a0000000-0000-0000-0000-000000000001', 'ada', '/1', md5('1')::uuid, 'word:1');
    CREATE INDEX embeddings_hnsw_2 ON embeddings USING hnsw ((embedding::halfvec(3)) halfvec_cosine_ops) WHERE model_id = 2";

async fn filled() -> Database {
    let database = Database::migrated().await;
    database.execute(ROWS).await;
    database
}

/// Another one with memory of its own, into which is restored.
async fn live() -> Database {
    let database = Database::migrated().await;
    database.execute("INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), 'live'); CREATE SCHEMA agentfs_new").await;
    database
}

/// Runs `agentfs-server dev-stage` with the newest backup.
fn stage(kept: &Kept, live: &Database, arguments: &[&str]) -> Said {
    let fixed = ["dev-stage", "--from", kept.folder.path().to_str().unwrap()];
    let programs = ["--pg-bin", shared().programs().to_str().unwrap()];
    agentfs(&[&fixed[..], &programs[..], arguments].concat(), &[("DATABASE_URL", &live.url)])
}

/// Why it is refused; the live tables are as before.
async fn refused(kept: &Kept, live: &Database) -> String {
    let before = all(live).await;
    let said = stage(kept, live, &[]).failure();
    assert_eq!(all(live).await, before, "{said}");
    said
}

async fn all(database: &Database) -> Contents {
    let mut connection = database.connect().await;
    let ours = tables(&mut connection, None).await.unwrap();
    contents(&mut connection, &ours).await.unwrap()
}

async fn staged(database: &Database) -> Contents {
    let mut connection = database.connect().await;
    connection.execute("SET search_path = agentfs_new, public").await.unwrap();
    let ours = tables(&mut connection, None).await.unwrap();
    contents(&mut connection, &ours).await.unwrap()
}

/// All that tables, columns, indexes, constraints and sequences of a schema are, without the name of that and of the extension's.
const CATALOGUE: &str = "
SELECT replace(replace(line, $1 || '.', ''), 'public.halfvec', 'halfvec')
  FROM (SELECT concat_ws(' ', c.relname, c.relkind, c.relpersistence, nullif(array_remove(c.reloptions, 'autovacuum_enabled=off'), '{}'), a.attname, format_type(a.atttypid, a.atttypmod),
                         a.attnotnull, a.attidentity, a.attcollation::regcollation, pg_get_expr(d.adbin, d.adrelid)) AS line
          FROM pg_class c
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
         WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'S')
        UNION ALL
        SELECT concat_ws(' ', indrelid::regclass, indisvalid, indisprimary, indisunique, pg_get_indexdef(indexrelid))
          FROM pg_index JOIN pg_class i ON i.oid = indexrelid
         WHERE i.relnamespace = $1::regnamespace AND i.relname NOT LIKE '%hnsw%'
        UNION ALL
        SELECT concat_ws(' ', conrelid::regclass, conname, convalidated, conindid::regclass, pg_get_constraintdef(oid))
          FROM pg_constraint WHERE connamespace = $1::regnamespace) AS lines";

async fn catalogue(database: &Database, schema: &str) -> BTreeSet<String> {
    let mut connection = database.connect().await;
    connection.execute("SET search_path = pg_catalog").await.unwrap();
    let lines = sqlx::query_scalar(CATALOGUE).bind(schema).fetch_all(&mut connection).await;
    lines.unwrap().into_iter().collect()
}

/// Fails where what is staged has other tables, indexes or keys than the live schema.
async fn assert_as_live(live: &Database) {
    let not_off = "SELECT count(*) FROM pg_class WHERE relnamespace = 'agentfs_new'::regnamespace AND relkind = 'r'
                      AND ('autovacuum_enabled=off' = ANY (reloptions)) IS NOT TRUE";
    assert_eq!(live.number(not_off).await, 0, "autovacuum would be at it when the switch comes");
    let (found, wanted) = (catalogue(live, "agentfs_new").await, catalogue(live, "public").await);
    assert!(wanted.len() > 100, "{wanted:#?}");
    let difference: Vec<&String> = found.symmetric_difference(&wanted).collect();
    assert_eq!(difference, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_staged_is_the_backup_in_tables_of_ours() {
    let (database, live) = (filled().await, live().await);
    let kept = Kept::backup(&database, &[], &[]);
    let before = all(&live).await;
    let said = stage(&kept, &live, &["--jobs", "3"]).json();
    assert_eq!(said["left_out"], json!([]));
    assert_eq!(all(&live).await, before);

    let mut found = staged(&live).await;
    // Its tenants are counted anew.
    let mut wanted = kept.first.tables.clone();
    assert_ne!(found.remove("storage_usage"), wanted.remove("storage_usage"));
    assert_eq!(found, wanted);
    let uncounted =
        "SELECT count(*) FROM agentfs_new.storage_usage WHERE bytes = 8 AND counted_for IS NULL";
    assert_eq!(live.number(uncounted).await, 1);
    assert_eq!(live.number("SELECT count(*) FROM agentfs_new.rate_limits").await, 0);

    assert_as_live(&live).await;
    for (next, wanted) in [
        ("SELECT nextval('agentfs_new.embedding_jobs_id_seq')", 6),
        ("SELECT nextval('agentfs_new.embedding_models_id_seq')", 3),
    ] {
        assert_eq!(live.number(next).await, wanted, "{next}");
    }
    let analysed = "SELECT count(*) FROM pg_stats WHERE schemaname = 'agentfs_new' AND tablename = 'entry_versions' AND attname = 'path'";
    assert_eq!(live.number(analysed).await, 1);

    for step in ["load", "build"] {
        let told = said["told"].as_array().unwrap().iter().filter(|update| update["step"] == step);
        let told: Vec<&Value> = told.collect();
        let (first, last) = (told.first().unwrap(), told.last().unwrap());
        assert_eq!((&first["done"], &last["done"]), (&json!(0), &last["total"]), "{told:?}");
        assert!(last["total"].as_u64() > Some(0) && last["of"].is_string(), "{last:?}");
    }
    let bytes: i64 = kept.first.tables.values().filter_map(|table| table.bytes).sum();
    assert_eq!(said["told"][0]["total"], json!(bytes));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_an_older_schema_or_of_entries_alone_becomes_todays() {
    let live = live().await;
    // What came after the version alone, such as an index, may be there or not.
    for version in [7, 10] {
        let database = Database::empty().await;
        Box::pin(migrate_to(&database.address(), version)).await.unwrap();
        database.execute("INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), 'old')").await;
        let kept = Kept::backup(&database, &[], &[]);
        assert_eq!(kept.first.schema_version, version);
        stage(&kept, &live, &[]).json();
        assert_as_live(&live).await;
        let old = "SELECT count(*) FROM agentfs_new.tenants WHERE name IN ('old', 'default')";
        assert_eq!(live.number(old).await, 2);
        live.execute("DROP SCHEMA agentfs_new CASCADE; CREATE SCHEMA agentfs_new").await;
    }
    let database = filled().await;
    let kept = Kept::backup(&database, &["--scope", "entries"], &[]);
    stage(&kept, &live, &[]).json();
    assert_as_live(&live).await;
    let found = staged(&live).await;
    let rows: BTreeMap<&str, i64> =
        found.iter().map(|(name, table)| (name.as_str(), table.rows)).collect();
    let rows =
        ["entries", "tenants", "api_keys", "embeddings", "schema_version"].map(|name| rows[name]);
    assert_eq!(rows, [500, 2, 1, 0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_others_in_a_dump_is_made_and_all_of_it_is_named() {
    let (database, live) = (filled().await, live().await);
    let kept = Kept::backup(&database, &[], &[]);
    let mut superuser = PgConnection::connect(&database.superuser_url).await.unwrap();
    superuser
        .execute(
            "CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN CREATE TABLE public.spied (); RETURN NEW; END';
             CREATE TRIGGER spy BEFORE INSERT ON entries FOR EACH ROW EXECUTE FUNCTION spy();
             ALTER TABLE entries ENABLE ALWAYS TRIGGER spy;
             CREATE TABLE others (id int); CREATE VIEW seen AS SELECT path FROM entries;
             CREATE SCHEMA agentfs_old; CREATE TABLE agentfs_old.entries (id int)",
        )
        .await
        .unwrap();
    let dump = kept.dump_now("").await;
    kept.plant(&dump, |_| {});
    let said = stage(&kept, &live, &[]).json();
    let mut others: Vec<&str> =
        said["left_out"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    others.sort_unstable();
    let named = [
        "function public.spy()",
        "table public.others",
        "trigger public.entries spy",
        "view public.seen",
    ];
    assert_eq!(others, named);
    assert_as_live(&live).await;
    assert_eq!(live.number("SELECT count(*) FROM agentfs_new.entries").await, 500);
    let spies = "SELECT count(*) FROM pg_proc WHERE proname = 'spy'";
    assert_eq!(live.number(spies).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_not_what_it_says_is_refused_with_its_table() {
    let (database, live) = (filled().await, live().await);
    let kept = Kept::backup(&database, &[], &[]);
    let good = kept.dump();
    let again =
        async || live.execute("DROP SCHEMA agentfs_new CASCADE; CREATE SCHEMA agentfs_new").await;

    kept.plant(&good, |manifest| manifest.tables.get_mut("entries").unwrap().rows = 7);
    let said = refused(&kept, &live).await;
    assert!(said.contains("entries: 500 rows, the manifest says 7"), "{said}");
    again().await;
    kept.plant(&good, |manifest| {
        let tenants = manifest.tables["tenants"].clone();
        manifest.tables.insert("others".into(), tenants);
    });
    let said = refused(&kept, &live).await;
    let unknown = format!("others: schema version {SCHEMA_VERSION} has no such table");
    assert!(said.contains(&unknown), "{said}");
    again().await;
    kept.plant(&good, |manifest| drop(manifest.tables.remove("tenants")));
    let said = refused(&kept, &live).await;
    assert!(said.contains("tenants: the dump has rows of it"), "{said}");

    // Of a row that two have, one of which no key allows; of a value that is none of its type; of another column.
    for (damage, mend, why) in [
        (
            "ALTER TABLE api_keys DROP CONSTRAINT api_keys_pkey; INSERT INTO api_keys SELECT * FROM api_keys",
            "DELETE FROM api_keys; ALTER TABLE api_keys ADD PRIMARY KEY (id)",
            "api_keys_pkey of api_keys: could not create unique index",
        ),
        (
            "ALTER TABLE embeddings DROP CONSTRAINT embeddings_model_id_fkey; UPDATE embeddings SET model_id = 99",
            "DELETE FROM embeddings",
            "embeddings_model_id_fkey of embeddings: insert or update on table",
        ),
        (
            "ALTER TABLE entries ALTER latest_version_id TYPE text; UPDATE entries SET latest_version_id = 'x' WHERE path = '/7'",
            "DELETE FROM entries WHERE path = '/7'; ALTER TABLE entries ALTER latest_version_id TYPE uuid USING latest_version_id::uuid",
            "the rows of entries: a value is not valid for its column (SQLSTATE 22P02)",
        ),
        (
            "ALTER TABLE tenants ADD COLUMN more text",
            "ALTER TABLE tenants DROP COLUMN more",
            "the rows of tenants: the dump has a column more",
        ),
        (
            "ALTER TABLE tenants DROP COLUMN created_at",
            "",
            "the rows of tenants: the dump has no column created_at",
        ),
    ] {
        again().await;
        database.execute(damage).await;
        let dump = kept.dump_now(&kept.ours()).await;
        kept.plant(&dump, |_| {});
        let said = refused(&kept, &live).await;
        assert!(said.contains("the backup is not good: ") && said.contains(why), "{said}");
        database.execute(mend).await;
    }
}

/// Sessions that load.
const LOADING: &str = "
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%' AND pid <> pg_backend_pid()";

/// Locks on what is staged.
const LOCKED: &str = "
SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE c.relnamespace = 'agentfs_new'::regnamespace";

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_dropped_leaves_no_session_and_no_program() {
    let (database, live) = (filled().await, live().await);
    let kept = Kept::backup(&database, &[], &[]);
    // Slower than anybody waits, but rows come: else no database of the server could be dropped meanwhile.
    let arguments = ["dev-stage", "--jobs", "2", "--max-rate", "1000", "--from"];
    let mut running = Command::new(env!("CARGO_BIN_EXE_agentfs-server"))
        .args(arguments)
        .arg(kept.folder.path())
        .arg("--pg-bin")
        .arg(shared().programs())
        .env("DATABASE_URL", &live.url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // By what it has open, since another file may take the dump's name.
    let dump = format!("/proc/{}/fd/", running.id().unwrap());
    let programs = || {
        let processes = fs::read_dir("/proc").unwrap();
        let lines =
            processes.filter_map(|it| fs::read_to_string(it.ok()?.path().join("cmdline")).ok());
        lines.filter(|line| line.contains("pg_restore") && line.contains(&dump)).count()
    };
    live.until(LOADING, 2).await;
    // What the pipe and the reader hold of a small table needs no program any more; those of the largest do not hold all of it.
    assert_ne!(programs(), 0);
    kill(Pid::from_raw(running.id().unwrap().cast_signed()), Signal::SIGTERM).unwrap();
    live.until(LOCKED, 0).await;
    eventually("pg_restore ends", async || programs(), |count| *count == 0).await;
    // It was the work that ended, and not the program.
    assert!(running.try_wait().unwrap().is_none());
    let output = running.wait_with_output().await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "\"dropped\"\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_reaches_beyond_its_schema_is_rolled_back() {
    let live = live().await;
    live.execute(
        "CREATE TABLE agentfs_new.here (id int); CREATE TABLE public.there (id int PRIMARY KEY); CREATE INDEX there_id ON public.there (id);
         CREATE SCHEMA elsewhere",
    )
    .await;
    let mut connection = live.connect().await;
    connection.execute("SET search_path = agentfs_new, public").await.unwrap();
    let before = catalogue(&live, "public").await;
    let mut apply = async |sql: &'static str, no_tx| {
        let migration =
            Migration::new(1, "strays".into(), MigrationType::Simple, sql.into_sql_str(), no_tx);
        apply_within(&mut connection, "agentfs_new", &[migration]).await
    };
    for (sql, no_tx) in [
        ("ALTER TABLE here ADD COLUMN a int; ALTER TABLE there ADD COLUMN a int", false),
        ("DROP TABLE there", false),
        ("DROP INDEX there_id", false),
        ("INSERT INTO there VALUES (1)", false),
        ("UPDATE tenants SET name = 'x'", false),
        ("LOCK TABLE there IN ROW SHARE MODE", false),
        ("CREATE INDEX CONCURRENTLY IF NOT EXISTS there_again ON there (id)", true),
        ("ALTER TABLE here ADD FOREIGN KEY (id) REFERENCES there (id)", false),
        ("CREATE TABLE elsewhere.made ()", false),
        ("CREATE TABLE public.made ()", false),
    ] {
        let error = apply(sql, no_tx).await.unwrap_err();
        assert!(matches!(error, MigrationError::Strayed { version: 1, .. }), "{sql}: {error}");
        assert_eq!(catalogue(&live, "public").await, before, "{sql}");
    }
    let changed = "SELECT (SELECT count(*) FROM there) + (SELECT count(*) FROM tenants WHERE name = 'x')
                        + (SELECT count(*) FROM information_schema.columns WHERE table_name = 'here' AND column_name = 'a')";
    assert_eq!(live.number(changed).await, 0);

    // What it reads outside is its own business, and what it drops within.
    let fine = "ALTER TABLE here ADD COLUMN a bigint DEFAULT 1; INSERT INTO here SELECT count(*) FROM there; DROP TABLE here;
                CREATE TABLE anew (id int PRIMARY KEY)";
    apply(fine, false).await.unwrap();
    live.execute("DROP SCHEMA agentfs_new CASCADE").await;
    let error = apply("CREATE TABLE made ()", false).await.unwrap_err();
    assert!(matches!(error, MigrationError::NoSchema(_)), "{error}");
}
