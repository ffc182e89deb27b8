//! An AgentFS is stopped and goes on; it moves from its embedded database to one that somebody else runs.

use agentfs_e2e::Failure;
use agentfs_e2e::agent::Agent;
use agentfs_e2e::kubectl::{condition, eventually};
use agentfs_e2e::namespace::{Namespace, ONE_POD_EACH};
use serde_json::{Value, json};

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn stopped_resumed_and_moved_to_an_external_database() -> Result<(), Failure> {
    let namespace = Namespace::create().await?;
    for name in ["memory", "store"] {
        namespace.agentfs(name, ONE_POD_EACH).await?;
    }
    for name in ["memory", "store"] {
        namespace.ready(name).await?;
    }
    let mut agent = Agent::of(&namespace, "memory").await?;
    agent.put("/notes/lunch", &json!("peanuts")).await?;
    stopped_and_resumed(&namespace, &mut agent).await?;
    moved_to_an_external_database(&namespace, &mut agent).await
}

async fn stopped_and_resumed(namespace: &Namespace, agent: &mut Agent) -> Result<(), Failure> {
    namespace.change_spec("memory", &json!({"suspend": true})).await?;
    let ours = "app.kubernetes.io/instance=memory,app.kubernetes.io/component!=migration";
    let pods = async || namespace.kubectl(&["get", "pods", "-l", ours, "-o", "name"]).await;
    eventually("all pods are gone", pods, String::is_empty).await?;
    let get = async || namespace.object("agentfs", "memory").await;
    let stopped =
        |object: &Value| object["status"].to_string().contains("nothing runs, and all data");
    eventually("the resource says so", get, stopped).await?;
    namespace.change_spec("memory", &json!({"suspend": false})).await?;
    namespace.ready("memory").await?;
    let got = async || agent.get("/notes/lunch").await;
    let value = eventually("the memory is served again", got, |_| true).await?;
    assert_eq!(value, Some(json!("peanuts")));
    Ok(())
}

async fn moved_to_an_external_database(
    namespace: &Namespace,
    agent: &mut Agent,
) -> Result<(), Failure> {
    // The database is another AgentFS's: PostgreSQL is PostgreSQL.
    namespace.new_database("store", "moved").await?;
    let password = namespace.secret("store-credentials", "password").await?;
    let external = json!({"embedded": null, "external": {"secretRef": {"name": "memory-db"}}});
    namespace.change_spec("memory", &json!({"database": external})).await?;
    let get = async || namespace.object("agentfs", "memory").await;
    let missing = |object: &Value| {
        condition(object, "CredentialsReady") == Some("False")
            && condition(object, "APIReady") == Some("True")
    };
    let object =
        eventually("the missing Secret is told of, and the API serves on", get, missing).await?;
    assert!(object["status"].to_string().contains("create secret generic memory-db"), "{object}");
    assert_eq!(agent.get("/notes/lunch").await?, Some(json!("peanuts")));

    let url =
        format!("--from-literal=DATABASE_URL=postgres://agentfs:{password}@store-postgres/moved");
    namespace.kubectl(&["create", "secret", "generic", "memory-db", &url]).await?;
    namespace.gone("statefulset", "memory-postgres").await?;
    let ready = namespace.ready("memory").await?;
    assert_eq!(ready["status"]["database"]["type"], "external");
    namespace.object("pvc", "data-memory-postgres-0").await?;
    // The same key; nobody has brought the memory along.
    let got = async || agent.get("/notes/lunch").await;
    assert_eq!(eventually("the API answers", got, |_| true).await?, None);
    let put = async || agent.put("/notes/dinner", &json!("figs")).await;
    eventually("a put", put, |_| true).await?;
    let moved = namespace.sql("store", "moved", "SELECT count(*) FROM entries").await?;
    assert_eq!(moved, "1");
    Ok(())
}
