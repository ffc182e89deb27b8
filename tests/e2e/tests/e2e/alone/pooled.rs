//! Everything goes through PgBouncer: hundreds of clients share a few connections to PostgreSQL, and searches by meaning set
//! what they need for their own transaction only.

use std::time::Duration;

use agentfs_e2e::Failure;
use agentfs_e2e::agent::Agent;
use agentfs_e2e::kubectl::{eventually, with_input};
use agentfs_e2e::load::Load;
use agentfs_e2e::namespace::Namespace;
use agentfs_e2e::provider;
use serde_json::{Value, json};

const SPEC: &str = "
  database: {embedded: {storage: {size: 1Gi}}}
  api:
    replicas: 2
    resources: {requests: {cpu: 50m, memory: 64Mi}}
    extraEnv: [{name: DATABASE_POOL_SIZE, value: \"50\"}]
  pooler: {replicas: 1, poolSize: 20}
  embeddings:
    openAI: {baseUrl: \"http://provider:8080/v1\", model: fake, dimensions: 8, secretRef: {name: provider}}
  rateLimits: {requestsPerMinute: 0, searchesPerMinute: 0}
  quotas: {writesPerDay: 0, searchesPerDay: 0, embedTokensPerDay: 0}
  backup: {enabled: false}
";

const CLIENTS: u32 = 200;
const POOL: u32 = 20;
/// All clients of pgbench begin at once, which takes the whole pool; then they leave some of it to the API.
const HELD: &str =
    "SELECT pg_sleep(0.02), count(*) FROM entries WHERE agent_id = 'nobody';\n\\sleep 500 ms\n";

async fn served() -> Result<Namespace, Failure> {
    let namespace = Namespace::create().await?;
    provider::make_key(&namespace).await?;
    provider::start(&namespace, "provider").await?;
    namespace.agentfs("memory", SPEC).await?;
    namespace.ready("memory").await?;
    Ok(namespace)
}

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn two_hundred_clients_share_a_pool_of_twenty() -> Result<(), Failure> {
    let namespace = served().await?;
    let pool = namespace.secret("memory-pooler", "DATABASE_URL").await?;
    // 200 connections to PgBouncer itself, by prepared statements, and 200 clients of the API beside them.
    let clients = CLIENTS.to_string();
    let bench = ["pgbench", "-n", "-M", "prepared", "-c", &clients, "-T", "25", "-f", "-", &pool];
    let bench =
        [&["--namespace", namespace.name(), "exec", "-i", "memory-postgres-0", "--"][..], &bench]
            .concat();
    let load = Load::start_searching(&namespace, "memory", CLIENTS, Duration::from_secs(1)).await?;
    let (benched, connections) =
        tokio::join!(with_input(&bench, HELD), most_connections(&namespace));
    let (benched, connections) = (benched?, connections?);
    let counts = load.stop().await?;
    eprintln!("{connections} connections to PostgreSQL; {counts:?}; {benched}");

    assert!(benched.contains(&format!("number of clients: {CLIENTS}")), "{benched}");
    assert!(benched.contains("number of failed transactions: 0"), "{benched}");
    assert!((POOL / 2 + 1..=POOL).contains(&connections), "{connections} connections");
    assert_eq!((counts.failed, counts.lost), (0, 0), "{counts:?}");
    assert!(counts.acknowledged > u64::from(CLIENTS), "the clients saw too little: {counts:?}");
    // What was written while all that went on is embedded, and found by its meaning.
    let mut agent = Agent::of(&namespace, "memory").await?;
    let query = json!({"agent_id": "load", "query": "figs", "mode": "semantic", "limit": 50});
    let found = async || agent.post("/v1/search", &query).await;
    let many = |answer: &Value| answer["results"].as_array().is_some_and(|all| all.len() == 50);
    eventually("the notes are found", found, many).await.map(drop)
}

/// The most connections that PgBouncer held to PostgreSQL while it was watched.
async fn most_connections(namespace: &Namespace) -> Result<u32, Failure> {
    let pooler = ["get", "pod", "-l", "app.kubernetes.io/component=pooler"];
    let address = ["-o", "jsonpath={.items[*].status.podIP}"];
    let address = namespace.kubectl(&[&pooler[..], &address].concat()).await?;
    let count = format!("SELECT count(*) FROM pg_stat_activity WHERE client_addr = '{address}'");
    let mut most = 0;
    for _ in 0..20 {
        most = most.max(namespace.sql("memory", "postgres", &count).await?.parse()?);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(most)
}

/// Entries of ada with vectors of all directions: more than a search compares one by one.
fn many_vectors() -> String {
    let of_each =
        |what: &str| format!("(SELECT array_agg({what}) FROM generate_series(1, 11000) n)");
    let numbers = "(SELECT '[' || string_agg((hashint4(8 * n + k) % 1000)::text, ',') || ']' FROM generate_series(1, 8) k)";
    include_str!("../../../../load/src/bench_search/fill.sql")
        .replace("$1::text[]", &of_each("'/many/' || n"))
        .replace("$2::text[]", &of_each("'{}'::text"))
        .replace("$3::text[]", &of_each(numbers))
        .replace("$4", "(SELECT id FROM embedding_models)")
}

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn searches_by_meaning_go_through_the_pool_and_use_the_index() -> Result<(), Failure> {
    let namespace = served().await?;
    let mut agent = Agent::of(&namespace, "memory").await?;
    for (path, value) in [("/likes", "figs figs"), ("/never", "peanuts peanuts peanuts")] {
        let note = json!({"agent_id": "ada", "path": path, "value": value, "searchable": true});
        let put = async || agent.post("/v1/put", &note).await;
        eventually("a put", put, |_| true).await?;
    }
    let embedded =
        async || namespace.sql("memory", "agentfs", "SELECT count(*) FROM embeddings").await;
    eventually("both notes are embedded", embedded, |count| count == "2").await?;
    finds_the_nearest(&mut agent).await?;

    namespace.sql("memory", "agentfs", &many_vectors()).await?;
    // The pool's own URL is of no use for that.
    let database =
        format!("DATABASE_URL={}", namespace.secret("memory-credentials", "DATABASE_URL").await?);
    let index = ["agentfs-server", "admin", "embeddings", "index", "fake/8"];
    let index = [&["exec", "deployment/memory-api", "--", "env", &database][..], &index].concat();
    namespace.kubectl(&index).await?;
    let scans =
        "SELECT sum(idx_scan) FROM pg_stat_user_indexes WHERE indexrelname LIKE 'embeddings_hnsw%'";
    let used = async || {
        finds_the_nearest(&mut agent).await?;
        namespace.sql("memory", "agentfs", scans).await
    };
    eventually("searches use the index", used, |scans| scans.parse::<u32>().is_ok_and(|n| n > 0))
        .await?;

    // What such a search sets ends with its transaction: whoever has the connection next finds it as it was.
    let pool = namespace.secret("memory-pooler", "DATABASE_URL").await?;
    let set = "SELECT current_setting('enable_sort'), coalesce(current_setting('hnsw.ef_search', true), '-')";
    for _ in 0..5 {
        let psql = ["exec", "memory-postgres-0", "--", "psql", &pool, "-Atc", set];
        let settings = namespace.kubectl(&psql).await?;
        assert!(["on|-", "on|40"].contains(&settings.trim()), "{settings}");
    }
    Ok(())
}

/// Asks for what only the meaning of a note tells, and finds it before all others.
async fn finds_the_nearest(agent: &mut Agent) -> Result<(), Failure> {
    let query = json!({"agent_id": "ada", "query": "peanuts", "mode": "semantic"});
    let answer = agent.post("/v1/search", &query).await?;
    let first = &answer["results"][0];
    let close = first["similarity"].as_f64().is_some_and(|similarity| similarity > 0.99);
    if first["path"] != "/never" || !close || answer.get("note").is_some_and(|note| !note.is_null())
    {
        return Err(format!("not by meaning: {answer}").into());
    }
    Ok(())
}
