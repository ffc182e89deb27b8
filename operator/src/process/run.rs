//! The controller process: leader election, probes, and a stop without a cut.

use std::pin::pin;
use std::sync::Arc;

use anyhow::Context as _;
use futures::StreamExt as _;
use kube::Client;
use kube::runtime::events::Reporter;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::leader::Election;
use super::metrics::Metrics;
use super::probes::Probes;
use super::settings::RunSettings;
use crate::agentfs::names::API_PORT;
use crate::agentfs::reconcile::{Context, error_policy, reconcile};
use crate::agentfs::watches;
use crate::kit::labels::MANAGER;
use crate::kit::readiness::HttpReadiness;

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
    let served = tokio::spawn(probes.clone().serve(settings.listen));

    let identity =
        settings.identity.clone().unwrap_or_else(|| format!("local-{:08x}", rand::random::<u32>()));
    let election = Election::new(client.clone(), &namespace, identity.clone());
    let mut work = pin!(lead(&settings, client, metrics, probes, &election, identity, &stop));
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

/// Waits for the Lease, then works while it is held.
async fn lead(
    settings: &RunSettings,
    client: Client,
    metrics: Metrics,
    probes: Probes,
    election: &Election,
    identity: String,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    tracing::info!(identity, "waiting for the Lease");
    let Some(mut held) = election.acquire(stop).await else { return Ok(()) };
    tracing::info!(identity, "leading");
    metrics.set_leader(true);
    let (controller, store) =
        watches::start(&settings.watch_namespace, settings.concurrency, &client, stop.clone());
    let context = Arc::new(Context {
        reporter: Reporter { controller: MANAGER.into(), instance: Some(identity) },
        images: settings.images(),
        readiness: Box::new(HttpReadiness::new(API_PORT).context("cannot make an HTTP client")?),
        metrics: metrics.clone(),
        failures: std::sync::Mutex::default(),
        known: store.clone(),
        client,
    });
    probes.show(store);
    let work = controller
        .run(reconcile, |agentfs, error, context| error_policy(&agentfs, error, &context), context)
        .for_each(|result| async move {
            match result {
                Ok((agentfs, _)) => tracing::debug!(%agentfs, "reconciled"),
                // What fails in a reconcile is logged where its pause is chosen.
                Err(kube::runtime::controller::Error::ReconcilerFailed(..)) => {}
                // What belonged to a deleted resource goes after it.
                Err(kube::runtime::controller::Error::ObjectNotFound(agentfs)) => {
                    tracing::debug!(%agentfs, "is gone");
                }
                Err(error) => tracing::warn!(%error, "watching the cluster failed, trying again"),
            }
        });
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
