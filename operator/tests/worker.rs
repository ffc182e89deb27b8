//! The workers, and what the server's pods are told.

use serde_json::{Value, json};

use crate::world::{DEPLOYMENT, PROVIDER, RESOURCE, STATEFULSET, WORKERS, World};

fn template(world: &World, path: &str) -> Value {
    world.server.get(path).unwrap()["spec"]["template"].clone()
}

fn variables(world: &World, path: &str) -> Vec<(String, Value)> {
    let pod = template(world, path);
    let variables = pod["spec"]["containers"][0]["env"].as_array().unwrap().clone();
    let name = |variable: &Value| variable["name"].as_str().unwrap().to_owned();
    variables.iter().map(|variable| (name(variable), variable["value"].clone())).collect()
}

fn change_spec(world: &World, spec: &Value) {
    world.server.change(RESOURCE, &json!({"spec": spec}));
}

#[tokio::test]
async fn there_are_workers_where_somebody_embeds_and_none_elsewhere() {
    let world = World::settled("minimal").await;
    assert!(world.server.get(WORKERS).is_none());
    let status = world.server.get(RESOURCE).unwrap()["status"].clone();
    assert!(status["worker"].is_null() && !status.to_string().contains("WorkersReady"));

    let open_ai = json!({"baseUrl": "http://models:8080/v1", "model": "m", "dimensions": 8});
    change_spec(&world, &json!({"embeddings": {"openAI": open_ai}}));
    world.reconcile().await.unwrap();
    assert_eq!(world.said("WorkersReady").1, "Starting");
    assert_eq!(world.said("Ready").0, "False");
    world.pods_are_ready(3);
    world.rolled_out(WORKERS, 1);
    world.reconcile().await.unwrap();
    assert_eq!(world.said("Ready").0, "True");
    assert_eq!(world.server.get(RESOURCE).unwrap()["status"]["worker"]["summary"], "1/1");
    for path in [DEPLOYMENT, WORKERS] {
        assert!(variables(&world, path).contains(&("OPENAI_EMBED_MODEL".into(), json!("m"))));
    }
    assert_eq!(world.writes().await, Vec::<String>::new());

    world.server.change(WORKERS, &json!({"spec": {"replicas": 4}}));
    assert_eq!(world.writes().await, [format!("PATCH {WORKERS}/scale")]);
    change_spec(&world, &json!({"embeddings": {"openAI": null}}));
    world.reconcile().await.unwrap();
    assert!(world.server.get(WORKERS).is_none());
    world.pods_are_ready(3);
    world.reconcile().await.unwrap();
    assert!(world.server.get(RESOURCE).unwrap()["status"].get("worker").is_none());
    assert_eq!(world.writes().await, Vec::<String>::new(), "at rest something was written");
}

#[tokio::test]
async fn the_models_of_the_image_are_named_to_all_that_embed_and_have_room() {
    let world = World::settled("minimal").await;
    change_spec(&world, &json!({"embeddings": {"local": {}}}));
    world.reconcile().await.unwrap();
    // Where the Dockerfile puts it.
    let folder = "/usr/share/agentfs/model";
    assert!(
        include_str!("../../Dockerfile")
            .contains(&format!("COPY target/images/model/ {folder}/\n"))
    );
    for path in [DEPLOYMENT, WORKERS] {
        let variables = variables(&world, path);
        assert!(variables.contains(&("EMBEDDING_MODEL_DIR".into(), json!(folder))), "{path}");
        let named = variables.iter().any(|(name, _)| name == "EMBEDDING_MODEL");
        assert!(!named, "the database decides: {path}");
        let resources = json!({
            "requests": {"cpu": "100m", "memory": "384Mi"}, "limits": {"memory": "1536Mi"}});
        assert_eq!(template(&world, path)["spec"]["containers"][0]["resources"], resources);
    }

    change_spec(&world, &json!({"embeddings": {"local": {"model": "all-MiniLM-L6-v2"}}}));
    world.reconcile().await.unwrap();
    for path in [DEPLOYMENT, WORKERS] {
        let variable = ("EMBEDDING_MODEL".to_owned(), json!("all-MiniLM-L6-v2"));
        assert!(variables(&world, path).contains(&variable), "{path}");
    }
}

#[tokio::test]
async fn a_new_key_of_the_provider_replaces_what_uses_it() {
    let world = World::settled("full").await;
    let before = [DEPLOYMENT, WORKERS, STATEFULSET].map(|path| template(&world, path));
    let job = world.job();
    world.server.change(PROVIDER, &json!({"data": {"token": "c2stbmV3"}}));
    world.reconcile().await.unwrap();
    let after = [DEPLOYMENT, WORKERS, STATEFULSET].map(|path| template(&world, path));
    assert!(before[0] != after[0] && before[1] != after[1], "they go on with the old key");
    assert_eq!((&before[2], world.job()), (&after[2], job));
}

#[tokio::test]
async fn a_missing_key_is_told_and_keeps_no_agent_from_its_memory() {
    let world = World::settled("full").await;
    let before = [DEPLOYMENT, WORKERS].map(|path| template(&world, path));
    world.server.remove(PROVIDER);
    world.reconcile().await.unwrap();
    let (status, reason, message) = world.said("CredentialsReady");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "SecretMissing"));
    assert!(
        message.starts_with("Secret provider, which spec.embeddings.openAI.secretRef names, does")
            && message.ends_with(
                "kubectl create secret generic provider -n agents --from-literal=token=sk-example"
            ),
        "{message}"
    );
    assert_eq!([DEPLOYMENT, WORKERS].map(|path| template(&world, path)), before);
    assert_eq!(world.said("APIReady").0, "True");
    assert_eq!(world.writes().await, Vec::<String>::new(), "the same failure was told twice");

    // A new AgentFS is served nevertheless; its workers wait.
    let world = World::new("full");
    world.server.remove(PROVIDER);
    world.reconcile().await.unwrap();
    world.database_is_ready();
    world.reconcile().await.unwrap();
    world.end_job("Complete", "2026-11-23T14:00:00Z");
    world.reconcile().await.unwrap();
    assert!(!variables(&world, DEPLOYMENT).iter().any(|(name, _)| name.starts_with("OPENAI")));
    assert!(world.server.get(WORKERS).is_none());
    assert_eq!(world.said("WorkersReady").1, "AwaitingCredentials");
}

#[tokio::test]
async fn what_extra_env_says_comes_before_the_other_fields() {
    let world = World::settled("full").await;
    let all = variables(&world, DEPLOYMENT);
    let of = |name: &str| -> Vec<_> { all.iter().filter(|(n, _)| n == name).collect() };
    assert_eq!(of("WRITE_QUOTA_PER_DAY"), [&("WRITE_QUOTA_PER_DAY".to_owned(), json!("0"))]);
    assert_eq!(of("SEARCH_QUOTA_PER_DAY")[0].1, json!("20000"));
    assert_eq!(of("TRUST_PROXY")[0].1, json!("10.0.0.0/8,fd00::/8"));
    assert_eq!(of("PREAUTH_RATE_LIMIT_PER_MINUTE")[0].1, json!("60"));
    let workers = variables(&world, WORKERS);
    assert!(workers.contains(&("EMBED_TOKENS_QUOTA_PER_DAY".into(), json!("0"))));
    assert!(!workers.iter().any(|(name, _)| name == "TRUST_PROXY"));
}

#[tokio::test]
async fn a_worker_that_cannot_reach_the_database_says_so() {
    let world = World::settled("full").await;
    world.pod_is_not_ready("memory-worker-1", "worker");
    world.server.change(WORKERS, &json!({"status": {"readyReplicas": 1}}));
    world.reconcile().await.unwrap();
    let (status, reason, message) = world.said("WorkersReady");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "DatabaseUnreachable"));
    assert!(message.contains("The worker keeps trying"), "{message}");
    assert_eq!(world.said("APIReady").0, "True");
}

#[tokio::test]
async fn limits_of_tenants_reach_the_api_alone() {
    let world = World::settled("full").await;
    let limits = json!({
        "quotas": {"storedMiB": 1024, "writeMiBPerDay": 64, "idempotencyKeysPerDay": 0, "keys": 50},
        "rateLimits": {"tenantRequestsPerMinute": 6000, "tenantSearchesPerMinute": 60}});
    change_spec(&world, &limits);
    world.reconcile().await.unwrap();
    let (api, workers) = (variables(&world, DEPLOYMENT), variables(&world, WORKERS));
    for (name, value) in [
        ("STORED_MIB_QUOTA", "1024"),
        ("WRITE_MIB_QUOTA_PER_DAY", "64"),
        ("IDEMPOTENCY_KEYS_QUOTA_PER_DAY", "0"),
        ("MAX_KEYS_PER_TENANT", "50"),
        ("TENANT_RATE_LIMIT_REQUESTS_PER_MINUTE", "6000"),
        ("TENANT_SEARCH_RATE_LIMIT_PER_MINUTE", "60"),
    ] {
        assert!(api.contains(&(name.to_owned(), json!(value))), "{name}");
        assert!(!workers.iter().any(|(other, _)| other == name), "{name}");
    }
}
