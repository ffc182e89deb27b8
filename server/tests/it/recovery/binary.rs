//! Rows with vectors or words, which are loaded in PostgreSQL's binary format.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::kept::Kept;
use crate::support::database::{Database, shared};
use crate::support::eventually::eventually;

/// Rows with what is escaped, without a value, negative, tiny and before 1970, and an infinite moment in the last hundred.
const ROWS: &str = r"
    INSERT INTO embedding_models (name, dimensions, state) VALUES ('model', 64, 'serving');
    INSERT INTO embeddings (tenant_id, agent_id, path, model_id, version_id, embedding, created_at, chunked_version_id)
    SELECT gen_random_uuid(), 'ada', E'/tab\t, line\n, \\. and Ä' || n, 1, gen_random_uuid(),
           ARRAY(SELECT (sin(n * 64 + i) / 10 ^ (i % 9))::real FROM generate_series(1, 64) AS i)::halfvec,
           CASE n WHEN 301 THEN 'infinity' ELSE timestamptz '1969-12-31 23:58:00+00' + n * interval '1.000001 s' END,
           CASE n % 2 WHEN 1 THEN gen_random_uuid() END
      FROM generate_series(1, 400) AS n;
    INSERT INTO embedding_chunks (tenant_id, agent_id, path, model_id, n, version_id, embedding)
    SELECT tenant_id, agent_id, path, model_id, n, version_id, embedding
      FROM embeddings, generate_series(-1, 1) AS n
     LIMIT 30";

/// Documents without a word, with what is escaped, with weights, and with a word at as many positions as are kept.
const DOCUMENTS: &str = r"
    INSERT INTO search_documents (tenant_id, agent_id, path, version_id, document, form, form_version_id)
    SELECT gen_random_uuid(), 'ada', E'/tab\t' || n, gen_random_uuid(),
           CASE n % 4
           WHEN 0 THEN ''
           WHEN 1 THEN $$'a\\b' 'l''u':1A,2B,3C,4 'two words':16383 'ä'$$::tsvector
           WHEN 2 THEN to_tsvector('simple', repeat('again ', 300))
           ELSE (SELECT to_tsvector('simple', string_agg(md5((n * i)::text), ' ')) FROM generate_series(1, 60) AS i)
           END, 1, gen_random_uuid()
      FROM generate_series(1, 300) AS n";

/// A backup of a database with these rows, which would all be loaded within some seconds.
async fn kept(rows: &'static str) -> Kept {
    let database = Database::migrated().await;
    database.execute(rows).await;
    Kept::backup(&database, &[], &[])
}

/// Another database, beside whose tables a backup can be loaded.
async fn live() -> Database {
    let live = Database::migrated().await;
    live.execute("CREATE SCHEMA agentfs_new").await;
    live
}

/// Begins to load the newest backup there, one table after the other and slowly enough to be watched.
fn start(kept: &Kept, live: &Database) -> Child {
    Command::new(env!("CARGO_BIN_EXE_agentfs-server"))
        .args(["dev-stage", "--jobs", "1", "--max-rate", "100000", "--from"])
        .arg(kept.folder.path())
        .arg("--pg-bin")
        .arg(shared().programs())
        .env("DATABASE_URL", &live.url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Fails where what was loaded is not what was dumped, since the command does then.
async fn ends_well(loading: Child) {
    let output = loading.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// How a table is being loaded, once it is.
async fn statement(live: &Database, table: &str) -> String {
    let mut connection = live.connect().await;
    let find = "SELECT max(query) FROM pg_stat_activity
                 WHERE datname = current_database() AND query LIKE format('COPY agentfs_new.%s (%%', $1::text)";
    let look = async || {
        let found = sqlx::query_scalar::<_, Option<String>>(find).bind(table);
        found.fetch_one(&mut connection).await.unwrap()
    };
    eventually("the table is loaded", look, Option::is_some).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_are_loaded_in_binary_format_up_to_a_row_that_is_not_understood() {
    let (kept, live) = (kept(ROWS).await, live().await);
    let loading = start(&kept, &live);
    let begun = statement(&live, "embeddings").await;
    assert!(begun.ends_with(" FROM STDIN (FREEZE, FORMAT binary)"), "{begun}");
    let in_text = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                      AND query LIKE 'COPY agentfs_new.embeddings (%) FROM STDIN (FREEZE, FORMAT text)'";
    live.until(in_text, 1).await;
    ends_well(loading).await;
    let loaded = "SELECT count(*) FROM agentfs_new.embeddings WHERE created_at = 'infinity' OR path LIKE E'/tab\\t%\\n%Ä400'";
    assert_eq!(live.number(loaded).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_without_a_fingerprint_to_compare_are_loaded_as_text() {
    let (kept, live) = (kept(ROWS).await, live().await);
    kept.plant(&kept.dump(), |manifest| {
        manifest.tables.get_mut("embeddings").unwrap().fingerprint = None;
    });
    let loading = start(&kept, &live);
    let begun = statement(&live, "embeddings").await;
    assert!(begun.ends_with(" FROM STDIN (FREEZE, FORMAT text)"), "{begun}");
    ends_well(loading).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_loaded_in_binary_format() {
    let (kept, live) = (kept(DOCUMENTS).await, live().await);
    let loading = start(&kept, &live);
    let begun = statement(&live, "search_documents").await;
    assert!(begun.ends_with(" FROM STDIN (FREEZE, FORMAT binary)"), "{begun}");
    let in_text = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                      AND query LIKE 'COPY agentfs_new.search_documents (%FORMAT text)'";
    let stays_text = async {
        while live.number(in_text).await == 0 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = stays_text => panic!("a document is not converted"),
        () = ends_well(loading) => {}
    }
    assert_eq!(live.number("SELECT count(*) FROM agentfs_new.search_documents").await, 300);
}
