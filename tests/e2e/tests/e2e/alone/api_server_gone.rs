//! The API server goes away for a minute: agents work on meanwhile, and the operator afterwards.

use std::time::{Duration, Instant};

use agentfs_e2e::Failure;
use agentfs_e2e::kubectl::{eventually, kubectl};
use agentfs_e2e::load::Load;
use agentfs_e2e::namespace::Namespace;
use agentfs_e2e::node::kill_program;
use tokio::time::sleep;

const SPEC: &str = "
  database: {embedded: {storage: {size: 1Gi}}}
  api: {replicas: 2}
  rateLimits: {requestsPerMinute: 0, searchesPerMinute: 0}
  quotas: {writesPerDay: 0}
  backup: {enabled: false}
";

const GONE: Duration = Duration::from_mins(1);
/// It needs seconds to start, so it serves nothing between two kills.
const KILL_EVERY: Duration = Duration::from_millis(500);
const CLIENTS: u32 = 2;
const PAUSE: Duration = Duration::from_millis(100);

#[tokio::test]
#[ignore = "needs a cluster for itself: make test-all"]
async fn agents_work_on_without_the_api_server_and_the_operator_after_it() -> Result<(), Failure> {
    let namespace = Namespace::with_memory(SPEC).await?;
    let load = Load::start(&namespace, "memory", CLIENTS, PAUSE).await?;
    let gone = Instant::now();
    let mut kills = 0;
    while gone.elapsed() < GONE {
        kills += usize::from(kill_program("kube-apiserver")?);
        sleep(KILL_EVERY).await;
    }
    assert!(
        kubectl(&["get", "--raw", "/readyz", "--request-timeout=1s"]).await.is_err(),
        "it answers"
    );
    let ready = async || kubectl(&["get", "--raw", "/readyz"]).await;
    eventually("the API server is back", ready, |_| true).await?;
    let back = Instant::now();

    namespace.comes_back("service", "memory-postgres").await?;
    eprintln!(
        "gone for {} s ({kills} kills); a child is made again {:.1} s after it is back",
        back.duration_since(gone).as_secs(),
        back.elapsed().as_secs_f64()
    );
    let counts = load.stop().await?;
    eprintln!("{counts:?}");
    assert_eq!((counts.failed, counts.lost), (0, 0), "{counts:?}");
    assert!(counts.acknowledged > GONE.as_secs(), "the clients saw too little: {counts:?}");
    namespace.ready("memory").await.map(drop)
}
