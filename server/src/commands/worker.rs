//! `agentfs-server worker`: does embedding jobs beside the health routes and /metrics.
//!
//! They are on PORT_OPERATIONS, and while MONITORING_ON_PORT is true on PORT as well.

use std::process::ExitCode;

use futures::future::join;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::listening::run_listening;
use super::{in_runtime, listening};
use crate::access::preauth::Preauth;
use crate::embedding::embedders::{EmbedderError, embedders};
use crate::http::{Observer, WorkerState, worker_router};
use crate::listen;
use crate::maintenance::gauges;
use crate::runtime::health::Health;
use crate::runtime::metrics::Metrics;
use crate::settings::{ListenSettings, Settings};
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
    in_runtime(run_listening(Listeners::bind, serve_and_work))
}

/// What a worker listens on; both answer the same.
struct Listeners {
    operations: TcpListener,
    /// PORT, where operators of the release before look.
    port: Option<TcpListener>,
}

impl Listeners {
    fn bind(settings: &ListenSettings) -> Result<Self, String> {
        let operations = listening::operations(settings)?;
        let port = settings.monitoring_on_port;
        let port = port.then(|| listening::port(settings, "probes and metrics")).transpose()?;
        Ok(Self { operations, port })
    }
}

/// Does embedding jobs, and answers the health routes and /metrics on `listeners`, until `shutdown` resolves; then finishes
/// what it has claimed. Starts whether the database is there or not.
async fn serve_and_work(
    settings: Settings,
    listeners: Listeners,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), WorkerError> {
    let Settings { database, listen: at, connections, limits, embeddings, .. } = settings;
    let embedders = embedders(&embeddings)?;
    let metrics = Metrics::new()?;
    let address = DatabaseAddress::of(&database.url);
    let health = Health::watch(&address);
    let pool = address.pool(database.pool_size.max(2 * embeddings.concurrency as u32 + 2));
    let router = worker_router(WorkerState {
        health: health.clone(),
        metrics: metrics.clone(),
        metrics_access: at.metrics,
        preauth: Preauth::new(limits.failures_per_minute),
        observer: Observer::start(metrics.clone(), connections.limits.proxies),
    });
    let (end, ended) = watch::channel(false);
    let announced = async move {
        shutdown.await;
        health.drain();
        end.send_replace(true);
        tracing::info!("shutting down: no new jobs, those under way are finished");
    };
    let watching = gauges::watch(pool.clone(), None, metrics.clone());
    let open = metrics.operations_connections();
    let answering =
        listen::serve_operations(Some(listeners.operations), router.clone(), open.clone());
    let on_port = listen::serve_operations(listeners.port, router, open);
    let working = work(pool, embedders, embeddings, metrics, ended);
    tokio::select! {
        ((), ()) = join(announced, working) => Ok(()),
        never = answering => match never {},
        never = on_port => match never {},
        never = watching => match never {},
    }
}
