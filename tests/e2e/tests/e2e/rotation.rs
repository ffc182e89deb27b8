//! Another admin key, because somebody asks for one: nobody else's key ends.

use agentfs_e2e::Failure;
use agentfs_e2e::agent::Agent;
use agentfs_e2e::kubectl::eventually;
use agentfs_e2e::namespace::Namespace;
use serde_json::{Value, json};

const SPEC: &str = "
  database: {embedded: {storage: {size: 1Gi}}}
  api: {replicas: 2}
  pooler: {replicas: 1}
  backup: {enabled: false}
";
const SECRET: &str = "memory-admin-key";

/// A key that `admin` makes.
async fn made_by(admin: &mut Agent, body: Value) -> Result<String, Failure> {
    let made = admin.post("/v1/admin/create-key", &body).await?;
    Ok(made["api_key"].as_str().ok_or("no api_key")?.to_owned())
}

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn a_rotated_admin_key_ends_and_no_other_key_does() -> Result<(), Failure> {
    let namespace = Namespace::with_memory(SPEC).await?;
    let with = |key: String| Agent::with_key(&namespace, "memory", key);
    let first = namespace.secret(SECRET, "key").await?;
    let mut earlier = with(first.clone())?;
    let mut agent = with(made_by(&mut earlier, json!({"label": "agent"})).await?)?;
    let mut admin = with(made_by(&mut earlier, json!({"scopes": ["admin"]})).await?)?;
    agent.put("/notes/lunch", &json!("peanuts")).await?;

    let rotate = "agentfs.io/rotate-admin-key=2026-11-28";
    namespace.kubectl(&["annotate", "agentfs", "memory", rotate]).await?;
    let get = async || namespace.object("agentfs", "memory").await;
    let is_rotated = |object: &Value| object["status"]["adminKey"]["rotation"] == "2026-11-28";
    let object = eventually("the key is rotated", get, is_rotated).await?;
    assert!(object["status"]["adminKey"]["rotatedTime"].is_string(), "{object}");
    let second = namespace.secret(SECRET, "key").await?;
    assert_ne!(second, first);
    let mut new = with(second.clone())?;
    let got = async || new.get("/notes/lunch").await;
    let value = eventually("the new key is taken", got, |_| true).await?;
    assert_eq!(value, Some(json!("peanuts")));
    made_by(&mut new, json!({"label": "by the new key"})).await?;

    let refused = async || match earlier.get("/notes/lunch").await {
        Ok(_) => Ok(false),
        Err(error) => Ok(error.to_string().contains("UNAUTHORIZED")),
    };
    eventually("the earlier key is refused", refused, |refused| *refused).await?;
    for (whose, other) in [("an agent", &mut agent), ("an administrator", &mut admin)] {
        let got = async || other.get("/notes/lunch").await;
        let value = eventually(whose, got, |_| true).await?;
        assert_eq!(value, Some(json!("peanuts")), "{whose}");
    }
    let events = namespace.kubectl(&["get", "events", "-o", "json"]).await?;
    assert!(events.contains("AdminKeyRotated"), "no Event tells of it");
    // The same value asks for nothing more.
    namespace.ready("memory").await?;
    assert_eq!(namespace.secret(SECRET, "key").await?, second);
    Ok(())
}
