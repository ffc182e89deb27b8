//! The vector indexes of a model, built as an operator does.

use anyhow::bail;
use tokio::process::Command;

use crate::servers::sibling;

/// Builds those of `model` in a database, for which PostgreSQL may take so much `memory`.
pub async fn build(database_url: &str, model: &str, memory: &str) -> anyhow::Result<()> {
    let built = Command::new(sibling("agentfs-server")?)
        .args(["admin", "embeddings", "index", model, "--memory", memory])
        .env("DATABASE_URL", database_url)
        .status()
        .await?;
    if !built.success() {
        bail!("the index could not be built; the reason is above");
    }
    Ok(())
}
