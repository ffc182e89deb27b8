//! The controller of the kind `AgentFS`, started.

use std::future::Future;
use std::sync::Arc;

use super::reconcile::{Context, error_policy, reconcile};
use super::watches;
use crate::kit::pod_client::PodClient;
use crate::kit::reconcile::{Failures, run};
use crate::process::run::Shared;
use crate::process::settings::Images;

/// Begins to watch, and gives the work that follows; it ends when the process is told to stop.
pub fn start(shared: &Shared, images: Images, pods: PodClient) -> impl Future<Output = ()> + use<> {
    let (controller, known) =
        watches::start(&shared.namespace, shared.concurrency, &shared.client, shared.stop.clone());
    shared.metrics.show(known.clone());
    let context = Context {
        client: shared.client.clone(),
        known,
        images,
        readiness: Box::new(pods),
        reporter: shared.reporter.clone(),
        metrics: shared.metrics.clone(),
        failures: Failures::default(),
    };
    run(controller, Arc::new(context), reconcile, error_policy)
}
