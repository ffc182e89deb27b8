//! Builds vector indexes after a switch: they take far longer than all else, and searches are exact without them.

use std::time::Duration;

use crate::recovery::error::RecoveryError;
use crate::recovery::progress::{Progress, Update};
use crate::settings::DatabaseUrl;
use crate::store::StoreError;
use crate::store::connection::address::DatabaseAddress;
use crate::store::embeddings::index::{self, Buildable, IndexState};
use crate::store::in_place::holder::Holder;

/// Pause between two looks at how far a build is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Builds the vector indexes (HNSW) of `models`, each CONCURRENTLY and by at most `jobs` processes; those that are
/// there already stay.
pub(super) async fn index(
    url: &DatabaseUrl,
    models: &[i32],
    memory: Option<&str>,
    jobs: usize,
    progress: Progress<'_>,
) -> Result<(), RecoveryError> {
    let address = DatabaseAddress::of(url);
    let mut connection = address.connect_unlimited().await?;
    index::end_with_us(&mut connection).await;
    for model in index::models(&mut connection, models).await? {
        // A killed run's build goes on until PostgreSQL notices.
        while index::state(&mut connection, model.id).await? == IndexState::Building {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        if index::state(&mut connection, model.id).await? == IndexState::Ready {
            continue;
        }
        let Buildable { id, dimensions, megabytes, .. } = model;
        let needed = format!("{megabytes}MB");
        let memory = memory.unwrap_or(&needed);
        tokio::select! {
            built = index::build(&mut connection, id, dimensions, Some(memory), jobs) => built?,
            () = watch(&address, &model, progress) => {}
        }
    }
    Ok(())
}

/// Drops what a build has left that came to no end. What cannot be dropped is dropped by the next build.
pub(super) async fn drop_remains(holder: &mut Holder, models: &[i32]) {
    for model in models {
        if let Err(error) = drop_unfinished(holder, *model).await {
            tracing::warn!("what is left of a vector index takes room until it is built: {error}");
        }
    }
}

async fn drop_unfinished(holder: &mut Holder, model: i32) -> Result<(), StoreError> {
    let connection = holder.connection();
    // PostgreSQL takes a moment to notice that nobody waits for the build any more.
    while index::state(&mut *connection, model).await? == IndexState::Building {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    index::drop_remains(connection, model).await
}

/// The names of those of `models` that have no vector index.
pub(super) async fn unindexed(
    holder: &mut Holder,
    models: &[i32],
) -> Result<Vec<String>, StoreError> {
    let connection = holder.connection();
    let mut names = Vec::new();
    for Buildable { id, name, .. } in index::models(&mut *connection, models).await? {
        if index::state(&mut *connection, id).await? != IndexState::Ready {
            names.push(name);
        }
    }
    Ok(names)
}

/// How the missing indexes are built, as a sentence; none where none is missing.
pub(super) fn advice(unindexed: &[String]) -> Option<String> {
    let build = |name: &String| format!("`agentfs-server admin embeddings index {name}`");
    let commands: Vec<String> = unindexed.iter().map(build).collect();
    let commands = commands.join(", ");
    (!unindexed.is_empty()).then(|| {
        format!("Not indexed: semantic search is exact and slower until they have a vector index again: {commands}.")
    })
}

/// Tells how far the build of a model's index is, for as long as it is waited for.
async fn watch(address: &DatabaseAddress, model: &Buildable, progress: Progress<'_>) {
    let tell = |done, total| {
        progress(&Update { step: "index", of: Some(model.name.clone()), done, total });
    };
    tell(0, 0);
    let mut connection = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // What cannot be told now is told later.
        if connection.is_none() {
            connection = address.connect_unlimited().await.ok();
        }
        if let Some(open) = &mut connection {
            match index::built_bytes(open, model.id).await {
                Ok(Some((done, total))) => tell(done, total),
                Ok(None) => {}
                Err(_) => connection = None,
            }
        }
    }
}
