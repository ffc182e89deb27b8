//! A memory that takes a while to restore, behind a pool, with the speed of the whole cluster.

use agentfs_e2e::Failure;
use agentfs_e2e::recovery::Watched;

use super::super::restores::{STEPS, there_and_back};
use super::super::{SPEC, fill, served};

/// The longest for which a client may wait around a switch, in milliseconds.
const LONGEST_GAP: i64 = 250;

/// Behind a pool, with two APIs, as it is run.
fn pooled() -> String {
    SPEC.replace("api: {replicas: 1}", "api: {replicas: 2}")
        .replace("pooler: {enabled: false}", "pooler: {replicas: 1}")
}

#[tokio::test]
#[ignore = "needs a cluster: make test-recovery"]
async fn a_large_memory_is_restored_and_undone_behind_a_pool() -> Result<(), Failure> {
    let (namespace, mut agent) = served(&pooled()).await?;
    fill(&namespace, 200_000).await?;
    let watched = Watched::start(&namespace, "afsr")?;
    let gaps = there_and_back(&namespace, &mut agent).await?;
    assert!(gaps.into_iter().all(|gap| gap <= LONGEST_GAP), "clients waited for {gaps:?} ms");
    // It takes long enough for these to be shown.
    let steps = watched.seen("back", &STEPS);
    for step in ["Loading", "Done"] {
        assert!(steps.contains(&step), "{step} is not among {steps:?}");
    }
    assert!(steps.contains(&"Switched") || steps.contains(&"Indexing"), "{steps:?}");
    Ok(())
}
