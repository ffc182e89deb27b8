//! From an applied AgentFS to a served memory, through every loss that the line must survive.

use agentfs_e2e::Failure;
use agentfs_e2e::agent::Agent;
use agentfs_e2e::kubectl::{eventually, kubectl};
use agentfs_e2e::namespace::Namespace;
use serde_json::json;

const SPEC: &str = "
  database: {embedded: {storage: {size: 1Gi}}}
  api:
    replicas: 2
    # A test asks more often than an agent may by default.
    extraEnv: [{name: RATE_LIMIT_REQUESTS_PER_MINUTE, value: \"0\"}]
";

/// An AgentFS that serves, and an agent that has put a memory and got it back.
async fn served() -> Result<(Namespace, Agent), Failure> {
    let namespace = Namespace::with_memory(SPEC).await?;
    let mut agent = Agent::of(&namespace, "memory").await?;
    agent.put("/notes/lunch", &json!("peanuts")).await?;
    assert_eq!(agent.get("/notes/lunch").await?, Some(json!("peanuts")));
    Ok((namespace, agent))
}

#[tokio::test]
#[ignore = "needs a cluster: make test-cluster"]
async fn smoke() -> Result<(), Failure> {
    let (namespace, _agent) = served().await?;
    deleted_children_come_back(&namespace).await
}

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn one_agentfs_through_its_life() -> Result<(), Failure> {
    let (namespace, mut agent) = served().await?;

    operator_killed_goes_on(&namespace).await?;
    acknowledged_writes_survive_killed_pods(&namespace, &mut agent).await?;
    data_outlives_the_resource(&namespace, &mut agent).await
}

async fn deleted_children_come_back(namespace: &Namespace) -> Result<(), Failure> {
    let children = [
        ("deployment", "memory-api"),
        ("service", "memory-api"),
        ("service", "memory-postgres"),
        ("statefulset", "memory-postgres"),
    ];
    namespace.children_come_back(&children).await
}

/// Kills pods without grace, which is kill -9 for what runs in them.
async fn kill_pods(namespace: &str, selector: &str) -> Result<(), Failure> {
    let kill = [
        "delete",
        "pod",
        "--namespace",
        namespace,
        "--selector",
        selector,
        "--grace-period=0",
        "--force",
    ];
    kubectl(&kill).await.map(drop)
}

async fn operator_killed_goes_on(namespace: &Namespace) -> Result<(), Failure> {
    kill_pods("agentfs-system", "app.kubernetes.io/name=agentfs-operator").await?;
    namespace.comes_back("service", "memory-api").await?;
    namespace.ready("memory").await.map(drop)
}

async fn acknowledged_writes_survive_killed_pods(
    namespace: &Namespace,
    agent: &mut Agent,
) -> Result<(), Failure> {
    let mut acknowledged = Vec::new();
    for n in 0..60 {
        match n {
            20 => kill_pods(namespace.name(), "app.kubernetes.io/component=api").await?,
            40 => kill_pods(namespace.name(), "app.kubernetes.io/component=database").await?,
            _ => {}
        }
        let path = format!("/many/{n}");
        let put = async || agent.put(&path, &json!(n)).await;
        acknowledged
            .push((path.clone(), eventually("a put is acknowledged", put, |_| true).await?));
    }
    for (n, (path, _)) in acknowledged.iter().enumerate() {
        assert_eq!(agent.get(path).await?, Some(json!(n)), "{path} was acknowledged");
    }
    namespace.ready("memory").await.map(drop)
}

async fn data_outlives_the_resource(
    namespace: &Namespace,
    agent: &mut Agent,
) -> Result<(), Failure> {
    namespace.kubectl(&["delete", "agentfs", "memory"]).await?;
    for (kind, name) in [("deployment", "memory-api"), ("statefulset", "memory-postgres")] {
        namespace.gone(kind, name).await?;
    }
    namespace.object("secret", "memory-credentials").await?;
    namespace.agentfs("memory", SPEC).await?;
    namespace.ready("memory").await?;
    // The same agent: its key is still the key.
    let get = async || agent.get("/notes/lunch").await;
    let value = eventually("the memory is served again", get, |_| true).await?;
    assert_eq!(value, Some(json!("peanuts")));
    Ok(())
}
