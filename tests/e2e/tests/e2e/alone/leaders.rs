//! Several operators: one works, and another takes over when it is lost.

use std::time::{Duration, Instant};

use agentfs_e2e::Failure;
use agentfs_e2e::kubectl::{eventually, kubectl};
use agentfs_e2e::namespace::Namespace;
use agentfs_e2e::operator::{Gate, Operator, away};
use agentfs_e2e::way::Cut;
use nix::sys::signal::Signal;
use tokio::time::timeout;

/// There is work to do for it, and nothing to start: its Secret is missing.
const SPEC: &str = "
  database: {external: {secretRef: {name: memory-db}}}
";

/// A Lease holds for 15 s and is renewed every 5 s: the other operator must not lead before it has run out.
const LEASE_HOLDS: Duration = Duration::from_secs(10);
/// How soon an operator ends that wakes without its Lease.
const END: Duration = Duration::from_secs(15);

#[tokio::test]
#[ignore = "needs a cluster for itself: make test-all"]
async fn one_of_two_operators_leads_and_the_other_takes_over() -> Result<(), Failure> {
    let _away = away().await?;
    let gate = Gate::open().await?;
    let namespace = Namespace::create().await?;
    let start = async |identity| gate.operator(identity, namespace.name(), Cut::Never).await;
    let mut first = start("first").await?;
    led_by("first").await?;
    let second = start("second").await?;
    namespace.agentfs("memory", SPEC).await?;
    repairs(&namespace, &first, &[&second]).await?;

    first.kill().await?;
    let killed = Instant::now();
    led_by("second").await?;
    let waited = killed.elapsed();
    eprintln!("taken over {:.1} s after kill -9", waited.as_secs_f64());
    assert!(waited >= LEASE_HOLDS, "two could have led: taken over after {waited:?}");
    // The one that was killed is started again, and waits now.
    let third = start("first").await?;
    repairs(&namespace, &second, &[&third]).await?;

    // One that stood still for longer than its Lease holds ends when it wakes, and does nothing any more.
    let mut second = second;
    second.signal(Signal::SIGSTOP)?;
    let before = second.writes();
    led_by("first").await?;
    second.signal(Signal::SIGCONT)?;
    timeout(END, second.ended()).await.map_err(|_| "it goes on without its Lease")??;
    assert_eq!(second.writes(), before, "it wrote without its Lease");
    repairs(&namespace, &third, &[]).await
}

/// The leader makes again what is deleted, and the others do nothing.
async fn repairs(
    namespace: &Namespace,
    leader: &Operator,
    others: &[&Operator],
) -> Result<(), Failure> {
    let service = async || namespace.object("service", "memory-api").await;
    eventually("the Service is there", service, |_| true).await?;
    let before = leader.writes();
    namespace.comes_back("service", "memory-api").await?;
    assert!(leader.writes() > before, "somebody else made it again");
    for other in others {
        assert_eq!(other.writes(), 0, "two operators work");
    }
    Ok(())
}

async fn led_by(identity: &str) -> Result<(), Failure> {
    let get = ["--namespace", "agentfs-system", "get", "lease", "agentfs-operator"];
    let holder = [&get[..], &["-o", "jsonpath={.spec.holderIdentity}"]].concat();
    let holder = async || kubectl(&holder).await;
    eventually(&format!("{identity} leads"), holder, |now| now == identity).await.map(drop)
}
