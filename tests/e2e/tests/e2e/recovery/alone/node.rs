//! The node killed while it restores.

use agentfs_e2e::Failure;

use crate::recovery::walk::{Killed, Walker};

#[tokio::test]
#[ignore = "needs the node of tests/cluster for itself: make test-recovery"]
async fn a_restore_outlives_its_node() -> Result<(), Failure> {
    Walker::with_backup().await?.killed_at_its_moments(Killed::Node).await
}
