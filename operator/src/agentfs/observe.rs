//! The first call of a reconcile: read everything that belongs to one AgentFS.
//!
//! It reads from the API server, not from a cache, so that the decisions that follow are made on what
//! is true now; a reconcile is rare enough for that.

use crate::kit::labels::Component;
use crate::kit::reads::Reader;
use crate::kit::volumes::is_unbound;
use crate::kit::warnings::warnings;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::{Client, ResourceExt};

use super::conditions::{
    API_READY, BACKUPS_SCHEDULED, CREDENTIALS_READY, DATABASE_READY, POOLER_READY, WORKERS_READY,
};
use super::database_uses;
use super::names::{self, Names};
use super::references::{self, References};
use crate::crd::AgentFS;
use crate::kit::blockers::{Blocker, OwnershipFilter};
use crate::kit::conditions::PROGRESSING;
use crate::kit::ownership::{Owner, Ownership, ownership};
use crate::kit::pods;
use crate::kit::readiness::{Readiness, Unready};

/// Everything that was seen of one AgentFS at one moment.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// When it was seen.
    pub now: Timestamp,
    /// The ServiceAccount of all pods.
    pub account: Option<ServiceAccount>,
    /// The database's credentials.
    pub credentials: Option<Secret>,
    /// The first API key.
    pub admin_key: Option<Secret>,
    /// What of others the spec names.
    pub references: References,
    /// The claim of the database volume.
    pub volume: Option<PersistentVolumeClaim>,
    /// PostgreSQL.
    pub postgres: Option<StatefulSet>,
    /// PostgreSQL's Service.
    pub postgres_service: Option<Service>,
    /// The connection pool's configuration.
    pub pooler_config: Option<Secret>,
    /// The connection pool's Service.
    pub pooler_service: Option<Service>,
    /// The connection pool.
    pub pooler: Option<Deployment>,
    /// The connection pool's disruption budget.
    pub pooler_budget: Option<PodDisruptionBudget>,
    /// The API.
    pub api: Option<Deployment>,
    /// The API's Service.
    pub api_service: Option<Service>,
    /// The API's autoscaler.
    pub autoscaler: Option<HorizontalPodAutoscaler>,
    /// Whether somebody else's autoscaler scales the API.
    pub others_autoscaler: bool,
    /// The API's disruption budget.
    pub api_budget: Option<PodDisruptionBudget>,
    /// The workers.
    pub workers: Option<Deployment>,
    /// The claim of the volume that holds the backups.
    pub backups: Option<PersistentVolumeClaim>,
    /// What makes backups.
    pub backup: Option<CronJob>,
    /// The migration Jobs, without those that are being deleted.
    pub jobs: Vec<Job>,
    /// The pods of all parts, by name.
    pub pods: Vec<Pod>,
    /// What Kubernetes says of objects that are stuck without a pod, by the object's name.
    pub warnings: BTreeMap<String, String>,
    /// Why an API pod says that it is not ready.
    pub unready: Option<Unready>,
    /// Why a worker says that it is not ready.
    pub unready_worker: Option<Unready>,
    /// The databases that others work on.
    pub claims: Vec<database_uses::DatabaseUse>,
    /// What is there under our names and is not ours, or goes away.
    pub blockers: Vec<Blocker>,
}

impl Observed {
    /// Nothing seen at all: an AgentFS that is new.
    pub fn nothing(now: Timestamp) -> Self {
        Self { now, ..Self::default() }
    }

    /// The pods of one part.
    pub fn pods_of(&self, component: Component) -> Vec<&Pod> {
        self.pods.iter().filter(|pod| pods::is_of(pod, component)).collect()
    }
}

/// Reads everything that belongs to `agentfs`, which is `owner` and one of those that are `known`.
pub async fn observe(
    client: &Client,
    readiness: &dyn Readiness,
    known: &[Arc<AgentFS>],
    agentfs: &AgentFS,
    owner: &Owner,
) -> Result<Observed, kube::Error> {
    let names = &Names::new(&owner.name);
    let reader = Reader::new(client, owner);
    // All at once: a reconcile takes as long as the slowest answer, and not as long as all of them.
    let (
        secrets,
        config_maps,
        account,
        credentials,
        admin_key,
        volume,
        postgres,
        postgres_service,
        pooler_config,
        pooler_service,
        pooler,
        pooler_budget,
        api,
        api_service,
        api_budget,
        workers,
        backups,
        backup,
        autoscalers,
        jobs,
        pods,
    ) = tokio::try_join!(
        reader.get_all(references::secrets(&agentfs.spec)),
        reader.get_all(references::config_maps(&agentfs.spec)),
        reader.get(names.account()),
        reader.get(names.credentials()),
        reader.get(names.admin_key()),
        reader.get(names.volume()),
        reader.get(names.postgres()),
        reader.get(names.postgres()),
        reader.get(names.pooler()),
        reader.get(names.pooler()),
        reader.get(names.pooler()),
        reader.get(names.pooler()),
        reader.get(names.api()),
        reader.get(names.api()),
        reader.get(names.api()),
        reader.get(names.worker()),
        reader.get(names.backups()),
        reader.get(names.backup()),
        reader.all::<HorizontalPodAutoscaler>(),
        reader.labelled::<Job>(),
        reader.labelled::<Pod>(),
    )?;
    let references = References { secrets, config_maps };
    let is_ours = |autoscaler: &HorizontalPodAutoscaler| autoscaler.name_any() == names.api();
    let others_autoscaler = autoscalers.iter().any(|a| !is_ours(a) && scales_api(a, names));
    let autoscaler = autoscalers.into_iter().find(is_ours);
    let mut filter = OwnershipFilter::new(owner);
    let mut observed = Observed {
        account: filter.owned(CREDENTIALS_READY, account),
        credentials: filter.owned(CREDENTIALS_READY, credentials),
        admin_key: filter.owned(CREDENTIALS_READY, admin_key),
        references,
        volume: filter.owned(DATABASE_READY, volume),
        postgres: filter.owned(DATABASE_READY, postgres),
        postgres_service: filter.owned(DATABASE_READY, postgres_service),
        pooler_config: filter.owned(POOLER_READY, pooler_config),
        pooler_service: filter.owned(POOLER_READY, pooler_service),
        pooler: filter.owned(POOLER_READY, pooler),
        pooler_budget: filter.owned(PROGRESSING, pooler_budget),
        api: filter.owned(API_READY, api),
        api_service: filter.owned(API_READY, api_service),
        // Without its budget or autoscaler the API answers as before.
        autoscaler: filter.owned(PROGRESSING, autoscaler),
        others_autoscaler,
        api_budget: filter.owned(PROGRESSING, api_budget),
        workers: filter.owned(WORKERS_READY, workers),
        backups: filter.owned(BACKUPS_SCHEDULED, backups),
        backup: filter.owned(BACKUPS_SCHEDULED, backup),
        jobs: jobs.into_iter().filter(|job| ownership(job, owner) == Ownership::Owned).collect(),
        pods,
        claims: database_uses::of_others(known, agentfs),
        blockers: filter.blockers,
        ..Observed::nothing(Timestamp::now())
    };
    observed.pods.sort_by_key(ResourceExt::name_any);
    observed.warnings = warnings(reader, &stuck(&observed)).await?;
    let said = |component| ask(readiness, &observed, component);
    let (api, worker) = tokio::join!(said(names::API), said(names::WORKER));
    (observed.unready, observed.unready_worker) = (api, worker);
    Ok(observed)
}

/// Why a pod of `component` is not ready, in its own words, where one is not.
async fn ask(
    readiness: &dyn Readiness,
    observed: &Observed,
    component: Component,
) -> Option<Unready> {
    let mut pods = observed.pods_of(component).into_iter();
    readiness.ask(pods.find_map(|pod| pods::unready_ip(pod, observed.now))?).await
}

fn scales_api(autoscaler: &HorizontalPodAutoscaler, names: &Names) -> bool {
    let target = autoscaler.spec.as_ref().map(|spec| &spec.scale_target_ref);
    target.is_some_and(|target| target.kind == "Deployment" && target.name == names.api())
}

/// The objects that should have led to something and have not; Kubernetes tells why only in Events.
fn stuck(observed: &Observed) -> Vec<String> {
    let mut names = Vec::new();
    let claims = observed.volume.iter().chain(&observed.backups);
    names.extend(claims.filter(|claim| is_unbound(claim)).map(ResourceExt::name_any));
    if observed.pods_of(names::POSTGRES).is_empty() {
        names.extend(observed.postgres.as_ref().map(ResourceExt::name_any));
    }
    if observed.pods_of(names::MIGRATE).is_empty() {
        let waiting = |job: &&Job| {
            job.status.as_ref().is_none_or(|s| s.succeeded.is_none() && s.completion_time.is_none())
        };
        names.extend(observed.jobs.iter().filter(waiting).map(ResourceExt::name_any));
    }
    names
}
