//! `agentfs-server worker`: does embedding jobs beside the health routes and /metrics.

use std::process::ExitCode;

use futures::future::join;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::in_runtime;
use super::listening::run_listening;
use crate::embedding::{EmbedderError, embedders};
use crate::http::worker_router;
use crate::listen;
use crate::maintenance::gauges;
use crate::runtime::health::Health;
use crate::runtime::metrics::Metrics;
use crate::settings::Settings;
use crate::store::connection::address::DatabaseAddress;
use crate::worker::work;

/// Why a worker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The provider that is set cannot be used.
    #[error(transparent)]
    Embedder(#[from] EmbedderError),
    /// The metrics cannot be made.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

/// Runs the command with the settings of the environment.
pub fn run() -> ExitCode {
    in_runtime(run_listening(serve_and_work))
}

/// Does embedding jobs, and answers the health routes and /metrics on `listener`, until `shutdown` resolves; then finishes
/// what it has claimed. Starts whether the database is there or not.
async fn serve_and_work(
    settings: Settings,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), WorkerError> {
    let Settings { database, listen: at, connections, embeddings, .. } = settings;
    let embedders = embedders(&embeddings)?;
    let metrics = Metrics::new()?;
    let address = DatabaseAddress::of(&database.url);
    let health = Health::watch(&address);
    let pool = address.pool(database.pool_size.max(2 * embeddings.concurrency as u32 + 2));
    let open = metrics.connections();
    let router = worker_router(health.clone(), metrics.clone(), at.metrics);
    let (end, ended) = watch::channel(false);
    let announced = async move {
        shutdown.await;
        health.drain();
        end.send_replace(true);
        tracing::info!("shutting down: no new jobs, those under way are finished");
    };
    let watching = gauges::watch(pool.clone(), None, metrics.clone());
    let serving = listen::serve(listener, router, connections.limits, open, announced);
    let working = work(pool, embedders, embeddings, metrics, ended);
    tokio::select! {
        ((), ()) = join(serving, working) => Ok(()),
        never = watching => match never {},
    }
}
