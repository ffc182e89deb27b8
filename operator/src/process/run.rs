//! The controller process: leader election, probes, and a stop without a cut.

use std::pin::pin;
use std::sync::Arc;

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::join_all;
use kube::Client;
use kube::runtime::events::Reporter;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::leader::Election;
use super::metrics::Metrics;
use super::probes::Probes;
use super::settings::RunSettings;
use crate::agentfs;
use crate::crd::{AgentFSBackup, AgentFSDrill, AgentFSRestore};
use crate::kit::labels::MANAGER;
use crate::kit::pod_client::PodClient;
use crate::task::controller;

/// Runs the operator until SIGTERM or until the leadership is lost, which is an error: the process
/// is then started anew.
pub async fn run(settings: RunSettings) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    let config = kube::Config::infer().await.context(
        "no cluster is known: neither a service account of a pod nor a kubeconfig was found",
    )?;
    let namespace = settings.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).context("cannot make a client of the API server")?;
    let metrics = Metrics::new().context("cannot register the metrics")?;
    let probes = Probes::new(metrics.clone(), stop.clone());
    let served = tokio::spawn(probes.serve(settings.listen));

    let identity =
        settings.identity.clone().unwrap_or_else(|| format!("local-{:08x}", rand::random::<u32>()));
    let election = Election::new(client.clone(), &namespace, identity.clone());
    let mut work = pin!(lead(&settings, client, metrics, &election, identity, &stop));
    let result = tokio::select! {
        result = &mut work => result,
        ended = served => match ended.map_err(std::io::Error::other).flatten() {
            // The probes end when the operator is told to stop; what is under way is not cut off.
            Ok(()) => work.await,
            Err(error) => Err(error)
                .with_context(|| format!("cannot serve the probes on {}", settings.listen)),
        },
    };
    stop.cancel();
    result
}

/// What the controllers of all kinds work with.
pub struct Shared {
    /// The API server.
    pub client: Client,
    /// The namespace to watch; empty: all of them.
    pub namespace: String,
    /// How many resources are worked on at once.
    pub concurrency: u16,
    /// Who Events come from.
    pub reporter: Reporter,
    /// Counts reconciles.
    pub metrics: Metrics,
    /// Is cancelled when the process is to stop.
    pub stop: CancellationToken,
}

/// Waits for the Lease, then works while it is held.
async fn lead(
    settings: &RunSettings,
    client: Client,
    metrics: Metrics,
    election: &Election,
    identity: String,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    tracing::info!(identity, "waiting for the Lease");
    let Some(mut held) = election.acquire(stop).await else { return Ok(()) };
    tracing::info!(identity, "leading");
    metrics.set_leader(true);
    let shared = Shared {
        client,
        namespace: settings.watch_namespace.clone(),
        concurrency: settings.concurrency,
        reporter: Reporter { controller: MANAGER.into(), instance: Some(identity) },
        metrics: metrics.clone(),
        stop: stop.clone(),
    };
    let work = controllers(&shared, settings)?;
    let result = tokio::select! {
        () = work => Ok(()),
        lost = held.keep() => Err(anyhow::Error::new(lost)),
    };
    metrics.set_leader(false);
    if result.is_ok() {
        held.release().await;
    }
    result
}

/// Starts the controllers of all kinds, and gives the work that follows.
fn controllers(
    shared: &Shared,
    settings: &RunSettings,
) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    let pods = PodClient::new().context("cannot make an HTTP client")?;
    let turns = Arc::default();
    let all = [
        agentfs::controller::start(shared, settings.images(), pods.clone()).boxed_local(),
        controller::start::<AgentFSBackup>(shared, Arc::clone(&turns), pods.clone()).boxed_local(),
        controller::start::<AgentFSDrill>(shared, Arc::clone(&turns), pods.clone()).boxed_local(),
        controller::start::<AgentFSRestore>(shared, Arc::clone(&turns), pods.clone()).boxed_local(),
    ];
    Ok(join_all(all).map(drop))
}

fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stop.cancel();
    });
    Ok(())
}
