//! What generic tools go by: the conditions Reconciling and Stalled of kstatus, Ready and Available, in each state of a real AgentFS.

use agentfs_e2e::Failure;
use agentfs_e2e::kubectl::{condition, eventually, is_current};
use agentfs_e2e::namespace::Namespace;
use serde_json::{Value, json};

const SPEC: &str = "
  database: {embedded: {storage: {size: 1Gi}}}
  api: {replicas: 1}
  pooler: {enabled: false}
  backup: {enabled: false}
";

/// Waits until the conditions of the present generation are these; one that is not there is `None`.
async fn conditions(
    namespace: &Namespace,
    what: &str,
    wanted: &[(&str, Option<&str>)],
) -> Result<Value, Failure> {
    let get = async || namespace.object("agentfs", "memory").await;
    let are = |object: &Value| {
        is_current(object) && wanted.iter().all(|(kind, status)| condition(object, kind) == *status)
    };
    eventually(what, get, are).await
}

#[tokio::test]
#[ignore = "needs a cluster: make test-all"]
async fn each_state_is_told_in_the_words_of_kstatus() -> Result<(), Failure> {
    const SETTLED: [(&str, Option<&str>); 3] =
        [("Ready", Some("True")), ("Reconciling", None), ("Stalled", None)];
    let namespace = Namespace::create().await?;
    namespace.agentfs("memory", SPEC).await?;
    let on_its_way = [("Ready", Some("False")), ("Reconciling", Some("True")), ("Stalled", None)];
    conditions(&namespace, "it is on its way", &on_its_way).await?;
    let serves = [&SETTLED[..], &[("Available", Some("True"))]].concat();
    conditions(&namespace, "it is settled and serves", &serves).await?;

    namespace.change_spec("memory", &json!({"image": "localhost/agentfs/server:nowhere"})).await?;
    let stalled = [("Stalled", Some("True")), ("Reconciling", None), ("Available", Some("True"))];
    let object = conditions(&namespace, "it is stalled and serves", &stalled).await?;
    assert!(object["status"].to_string().contains("ImagePullFailed"), "{object}");
    namespace.change_spec("memory", &json!({"image": null})).await?;
    conditions(&namespace, "it is mended", &serves).await?;

    let stopped = [&SETTLED[..], &[("Available", Some("False"))]].concat();
    namespace.change_spec("memory", &json!({"api": {"replicas": 0}})).await?;
    conditions(&namespace, "it is settled with no API", &stopped).await?;
    namespace.change_spec("memory", &json!({"suspend": true})).await?;
    conditions(&namespace, "it is settled and suspended", &stopped).await?;
    namespace.change_spec("memory", &json!({"suspend": false, "api": {"replicas": 1}})).await?;
    conditions(&namespace, "it serves again", &serves).await?;

    let atlantis = json!({"backup": {"enabled": true, "timeZone": "Europe/Atlantis"}});
    namespace.change_spec("memory", &atlantis).await?;
    let wrong = [("Ready", Some("False")), ("Stalled", Some("True")), ("Available", Some("True"))];
    let object = conditions(&namespace, "a wrong spec stalls it", &wrong).await?;
    assert!(object["status"].to_string().contains("spec.backup.timeZone: "), "{object}");

    let wide = namespace.kubectl(&["get", "afs", "memory", "-o", "wide"]).await?;
    for word in ["MESSAGE", "URL", "IMAGE", "SIZE", "NEXT-BACKUP", "http://memory-api."] {
        assert!(wide.contains(word), "{wide}");
    }
    Ok(())
}
