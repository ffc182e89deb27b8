//! Backups, restores and drills by resources, and by the schedule. `make test-recovery` runs these alone.

mod alone;
mod backups;
mod drills;
mod gitops;
mod once;
mod restores;
mod troubles;
mod upgrades;
mod walk;

use agentfs_e2e::Failure;
use agentfs_e2e::agent::Agent;
use agentfs_e2e::kubectl::{condition, eventually};
use agentfs_e2e::namespace::Namespace;
use agentfs_e2e::s3;
use serde_json::{Value, json};

/// One pod a part; nothing is scheduled but what a test asks for: the schedules are at the turn of the year. WAL may take 2 GiB, and each
/// restore a second copy: a restore refuses to begin on a smaller volume.
const SPEC: &str = "
  database: {embedded: {storage: {size: 10Gi}}}
  api: {replicas: 1}
  pooler: {enabled: false}
  rateLimits: {requestsPerMinute: 0, searchesPerMinute: 0}
  quotas: {writesPerDay: 0}
  backup:
    schedule: \"0 0 1 1 *\"
    volume: {size: 1Gi}
    verify: {schedule: \"0 0 1 1 *\"}
    drill: {schedule: \"0 0 1 1 *\"}
";

/// The same with the backups in the bucket of the store in the namespace `of`.
fn with_bucket(of: &Namespace) -> String {
    SPEC.replace("volume: {size: 1Gi}", &format!("destination: {}", s3::destination(of)))
}

/// The path that tests write and look for.
const LUNCH: &str = "/notes/lunch";

/// Entries, `$1` in number, in a table that a restore takes seconds for; one of ten has an embedding, and these have a vector index.
const SEED: &str = "
INSERT INTO embedding_models (name, dimensions, state) VALUES ('seed', 8, 'serving') ON CONFLICT DO NOTHING;
WITH versions AS (
    INSERT INTO entry_versions (tenant_id, id, agent_id, path, version, value, tags, importance, searchable, created_at)
    SELECT '00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'seed', '/seed/' || n, 1,
           to_json('seed ' || n || ' ' || repeat('x', 200)), '{}', 0, n % 10 = 1, now() - interval '1 hour'
      FROM generate_series(1, $1) AS n
    RETURNING *
), heads AS (
    INSERT INTO entries (tenant_id, agent_id, path, latest_version_id, version, updated_at)
    SELECT tenant_id, agent_id, path, id, version, created_at FROM versions
), documents AS (
    INSERT INTO search_documents (tenant_id, agent_id, path, version_id, document, form, form_version_id)
    SELECT tenant_id, agent_id, path, id, to_tsvector('pg_catalog.english', value::text), 1, id FROM versions WHERE searchable
)
INSERT INTO embeddings (tenant_id, agent_id, path, model_id, version_id, embedding)
SELECT tenant_id, agent_id, path, (SELECT id FROM embedding_models WHERE name = 'seed'), id,
       (SELECT array_agg(random()) FROM generate_series(1, 8) WHERE version > 0)::halfvec
  FROM versions WHERE searchable";

/// A namespace with the AgentFS `memory` that serves, and an agent that has put a memory.
async fn served(spec: &str) -> Result<(Namespace, Agent), Failure> {
    let namespace = Namespace::with_memory(spec).await?;
    let agent = with_lunch(&namespace, "peanuts").await?;
    Ok((namespace, agent))
}

/// An agent that has put this at [`LUNCH`].
async fn with_lunch(namespace: &Namespace, what: &str) -> Result<Agent, Failure> {
    let mut agent = Agent::of(namespace, "memory").await?;
    put(&mut agent, what).await?;
    Ok(agent)
}

/// Puts this at [`LUNCH`].
async fn put(agent: &mut Agent, what: &str) -> Result<(), Failure> {
    let put = async || agent.put(LUNCH, &json!(what)).await;
    eventually("a put", put, |_| true).await.map(drop)
}

/// Fails unless this is at [`LUNCH`].
async fn has(agent: &mut Agent, what: &str) -> Result<(), Failure> {
    let get = async || agent.get(LUNCH).await;
    let value = eventually("a get", get, |_| true).await?;
    assert_eq!(value, Some(json!(what)));
    Ok(())
}

/// Fills the embedded database with so many entries, and builds the vector index of those that have an embedding.
async fn fill(namespace: &Namespace, entries: u32) -> Result<(), Failure> {
    let seed = SEED.replace("$1", &entries.to_string());
    namespace.sql("memory", "agentfs", &seed).await?;
    let model = "SELECT id FROM embedding_models WHERE name = 'seed'";
    let model = namespace.sql("memory", "agentfs", model).await?;
    // As `agentfs-server admin embeddings index` builds them.
    let index = |table: &str| {
        format!(
            "CREATE INDEX {table}_hnsw_{model} ON {table} USING hnsw ((embedding::halfvec(8)) halfvec_cosine_ops) \
             WITH (m = 16, ef_construction = 100) WHERE model_id = {model}"
        )
    };
    let indexes =
        format!("SET ROLE agentfs; {}; {}", index("embeddings"), index("embedding_chunks"));
    namespace.sql("memory", "agentfs", &indexes).await.map(drop)
}

/// Fails where a version is missing that an entry shows, or where a restore has left anything but what was live before.
async fn is_sound(namespace: &Namespace) -> Result<(), Failure> {
    for (what, statement) in [
        (
            "no head without its version",
            "SELECT count(*) = 0 FROM entries e LEFT JOIN entry_versions v ON v.id = e.latest_version_id WHERE v.id IS NULL",
        ),
        ("nothing half loaded", "SELECT to_regnamespace('agentfs_new') IS NULL"),
        (
            "no database of a drill or a restore",
            "SELECT count(*) = 0 FROM pg_database WHERE datname LIKE '%.unfinished'",
        ),
        ("no index that is not valid", "SELECT count(*) = 0 FROM pg_index WHERE NOT indisvalid"),
    ] {
        assert_eq!(namespace.sql("memory", "agentfs", statement).await?, "t", "{what}");
    }
    Ok(())
}

/// How often a restore or an undoing became live.
async fn switches(namespace: &Namespace) -> Result<u32, Failure> {
    let made = "SELECT to_regclass('agentfs_meta.restores') IS NOT NULL";
    if namespace.sql("memory", "agentfs", made).await? == "f" {
        return Ok(0);
    }
    let count = "SELECT count(*) FROM agentfs_meta.restores WHERE switched_at IS NOT NULL";
    Ok(namespace.sql("memory", "agentfs", count).await?.parse()?)
}

/// Lets a CronJob of `memory` run now; returns when that has completed.
async fn run_now(namespace: &Namespace, what: &str, job: &str) -> Result<(), Failure> {
    let from = format!("--from=cronjob/memory-{what}");
    namespace.kubectl(&["create", "job", &from, job]).await?;
    let completed = async || {
        let job = namespace.object("job", job).await?;
        match condition(&job, "Failed") {
            Some("True") => Ok(Err(job["status"].to_string())),
            _ => Ok(Ok(condition(&job, "Complete") == Some("True"))),
        }
    };
    let ended = |state: &Result<bool, String>| *state != Ok(false);
    if let Err(status) = eventually(&format!("job/{job} completes"), completed, ended).await? {
        let log = namespace.kubectl(&["logs", "--tail=20", &format!("job/{job}")]).await;
        return Err(format!("job/{job} failed: {status}\n{log:?}").into());
    }
    Ok(())
}

/// All resources of a kind.
async fn all(namespace: &Namespace, kind: &str) -> Result<Vec<Value>, Failure> {
    let list = namespace.kubectl(&["get", kind, "-o", "json"]).await?;
    let mut list: Value = serde_json::from_str(&list)?;
    Ok(serde_json::from_value(list["items"].take())?)
}

/// Waits until the condition `kind` of the AgentFS `memory` has this status.
async fn agentfs_says(namespace: &Namespace, kind: &str, status: &str) -> Result<Value, Failure> {
    let get = async || namespace.object("agentfs", "memory").await;
    let says = |object: &Value| condition(object, kind) == Some(status);
    eventually(&format!("{kind} is {status}"), get, says).await
}
