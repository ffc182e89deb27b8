//! Three hundred AgentFS on nodes that kwok plays: how soon all are as they should, and what the operator takes for it.

use std::time::{Duration, Instant};

use agentfs_e2e::Failure;
use agentfs_e2e::audit::AuditLog;
use agentfs_e2e::fake_nodes::{FakeNodes, PLACEMENT};
use agentfs_e2e::kubectl::{condition, eventually, is_current, kubectl, with_input};
use agentfs_e2e::namespace::{Namespace, agentfs};
use agentfs_e2e::operator;
use serde_json::Value;
use tokio::time::sleep;

const NODES: usize = 10;
const NAMESPACES: usize = 10;
const IN_EACH: usize = 30;
const ALL: usize = NAMESPACES * IN_EACH;
/// How soon all must be converged.
const SOON: Duration = Duration::from_mins(2);
/// How long it is waited for, so that a failure tells by how much.
const LONGEST: Duration = Duration::from_mins(6);
const LOOK_EVERY: Duration = Duration::from_secs(2);

#[tokio::test]
#[ignore = "needs a cluster for itself: make test-all"]
async fn three_hundred_converge_within_two_minutes() -> Result<(), Failure> {
    let nodes = FakeNodes::start(NODES).await?;
    let mut namespaces = Vec::new();
    for _ in 0..NAMESPACES {
        namespaces.push(Namespace::create().await?);
    }
    let result = measured(&namespaces).await;
    // The fake nodes end the pods, so they stay until all are gone.
    let names: Vec<_> = namespaces.iter().map(|n| n.name().to_owned()).collect();
    drop(namespaces);
    for name in names {
        let get = async || {
            kubectl(&["get", "namespace", &name, "--ignore-not-found", "-o", "name"]).await
        };
        eventually(&format!("namespace {name} is gone"), get, String::is_empty).await?;
    }
    drop(nodes);
    result
}

async fn measured(namespaces: &[Namespace]) -> Result<(), Failure> {
    for namespace in namespaces {
        create(namespace, secret).await?;
    }
    let leads = async || operator::metric("agentfs_operator_leader").await;
    eventually("the operator leads", leads, |leads| *leads > 0.0).await?;
    let count = async || operator::metric("agentfs_operator_reconciles_total").await;
    let (restarts, before) = (operator::restarts().await?, count().await?);
    let began = Instant::now();
    for namespace in namespaces {
        create(namespace, external).await?;
    }
    let applied = began.elapsed();
    let took = converged(began).await?;
    let (memory, reconciles) = (operator::memory().await?, count().await? - before);
    eprintln!(
        "{ALL} AgentFS converged {} s after the first was applied (the last after {} s): {reconciles} reconciles, \
         {memory} KiB of memory",
        took.as_secs(),
        applied.as_secs()
    );
    children_are_there().await?;
    assert_eq!(operator::restarts().await?, restarts, "the operator was started again");
    assert!(took <= SOON, "converged after {} s only", took.as_secs());
    a_new_operator_finds_nothing_to_do().await
}

/// Returns how long after `began` each is Ready for its present generation.
async fn converged(began: Instant) -> Result<Duration, Failure> {
    loop {
        let list: Value =
            serde_json::from_str(&kubectl(&["get", "agentfs", "-A", "-o", "json"]).await?)?;
        let items = list["items"].as_array().into_iter().flatten();
        let current: Vec<_> = items.filter(|object| is_current(object)).collect();
        let ready = current.iter().filter(|o| condition(o, "Ready") == Some("True")).count();
        let current = current.len();
        let took = began.elapsed();
        if ready == ALL {
            return Ok(took);
        }
        eprintln!("{:>4} s: {current} with a current status, {ready} Ready", took.as_secs());
        if took > LONGEST {
            return Err(format!("{ready} of {ALL} converged after {} s", took.as_secs()).into());
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn children_are_there() -> Result<(), Failure> {
    let ours = "app.kubernetes.io/managed-by=agentfs-operator";
    for (kind, count) in
        [("deployments", 2 * ALL), ("services", 2 * ALL), ("cronjobs", ALL), ("jobs", ALL)]
    {
        let names = async || kubectl(&["get", kind, "-A", "-l", ours, "-o", "name"]).await;
        // Those of a test before may be leaving still.
        let all = |names: &String| names.lines().count() == count;
        eventually(&format!("there are {count} {kind}"), names, all).await?;
    }
    Ok(())
}

/// An operator that is started on all of them reads, and writes nothing.
async fn a_new_operator_finds_nothing_to_do() -> Result<(), Failure> {
    let away = operator::away().await?;
    let (log, began) = (AuditLog::from_now()?, Instant::now());
    drop(away);
    let count = async || operator::metric("agentfs_operator_reconciles_total").await;
    eventually("all were looked at", count, |count| *count >= ALL as f64).await?;
    let took = began.elapsed().as_secs();
    let memory = operator::memory().await?;
    eprintln!("a new operator has looked at all after {took} s; {memory} KiB of memory");
    let (_, written) = log.writes()?;
    assert!(written.is_empty(), "it wrote: {written:#?}");
    Ok(())
}

/// Creates an object of each number.
async fn create(namespace: &Namespace, of: fn(usize) -> String) -> Result<(), Failure> {
    let manifests: Vec<_> = (0..IN_EACH).map(of).collect();
    let create = ["--namespace", namespace.name(), "create", "-f", "-"];
    with_input(&create, &manifests.join("---\n")).await.map(drop)
}

/// A database of its own for each, which nobody ever connects to.
fn secret(number: usize) -> String {
    let database = uuid::Uuid::new_v4().simple();
    format!(
        "
apiVersion: v1
kind: Secret
metadata: {{name: db-{number}}}
stringData: {{DATABASE_URL: \"postgres://agentfs:secret@db.example/{database}\"}}
"
    )
}

fn external(number: usize) -> String {
    agentfs(
        &format!("memory-{number}"),
        &format!(
            "
  database: {{external: {{secretRef: {{name: db-{number}}}}}}}
  api: {{replicas: 1, {PLACEMENT}}}
  pooler: {{replicas: 1, {PLACEMENT}}}
"
        ),
    )
}
