//! An AgentFS with all its parts, at rest: what the operator does then, and how much memory it takes.

use std::time::Duration;

use agentfs_e2e::Failure;
use agentfs_e2e::audit::AuditLog;
use agentfs_e2e::kubectl::eventually;
use agentfs_e2e::namespace::Namespace;
use agentfs_e2e::{operator, provider};
use tokio::time::sleep;

/// The autoscaler has nothing to choose, so that its measurements are all that changes.
const SPEC: &str = "
  database: {embedded: {storage: {size: 1Gi}}}
  api:
    autoscaling: {minReplicas: 1, maxReplicas: 1}
    resources: {requests: {cpu: 50m, memory: 64Mi}}
  embeddings:
    openAI: {baseUrl: \"http://provider:8080/v1\", model: fake, dimensions: 8, secretRef: {name: provider}}
  backup: {volume: {size: 1Gi}}
";

/// What comes after Ready is over when nothing was written for this long.
const QUIET: Duration = Duration::from_secs(20);
/// How long it is watched, unless `AGENTFS_REST_SECONDS` says otherwise.
const REST: Duration = Duration::from_mins(2);
/// A Lease is renewed every 5 s; a log with fewer renewals than one in 10 s does not tell all.
const LEASE_AT_LEAST_EVERY: u64 = 10;
/// The most memory that the operator may take.
const MOST_MEMORY: u64 = 20 * 1024; // KiB

#[tokio::test]
#[ignore = "needs a cluster for itself: make test-all"]
async fn nothing_is_written_but_the_lease_and_memory_is_small() -> Result<(), Failure> {
    let namespace = Namespace::create().await?;
    provider::make_key(&namespace).await?;
    provider::start(&namespace, "provider").await?;
    namespace.agentfs("memory", SPEC).await?;
    namespace.ready("memory").await?;
    let quiet = async || {
        let log = AuditLog::from_now()?;
        sleep(QUIET).await;
        Ok(log.writes()?.1)
    };
    eventually("the operator comes to rest", quiet, Vec::is_empty).await?;

    let rest = match std::env::var("AGENTFS_REST_SECONDS") {
        Ok(seconds) => Duration::from_secs(seconds.parse()?),
        Err(_) => REST,
    };
    let log = AuditLog::from_now()?;
    sleep(rest).await;
    let (renewals, others) = log.writes()?;
    let memory = operator::memory().await?;
    let requests = log.requests()?.len();
    eprintln!(
        "{} s at rest: {requests} requests, {renewals} of them renewals of the Lease; {memory} KiB of memory",
        rest.as_secs()
    );
    assert!(others.is_empty(), "at rest the operator wrote: {others:#?}");
    assert!(renewals as u64 >= rest.as_secs() / LEASE_AT_LEAST_EVERY, "only {renewals} renewals");
    assert!(memory <= MOST_MEMORY, "the operator takes {memory} KiB");
    Ok(())
}
