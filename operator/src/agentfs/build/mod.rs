//! The third call of a reconcile: every object of a plan, made without any I/O.
//!
//! One file a child; each is held by a golden file in `tests/snapshots`.

mod admin_key_secret;
mod api_autoscaler;
mod api_deployment;
mod api_service;
mod backup_cronjob;
mod credentials_secret;
mod migration_job;
mod pooler_deployment;
mod pooler_secret;
mod pooler_service;
mod postgres_service;
mod postgres_statefulset;
mod server_deployment;
mod service_account;
pub mod trust;
mod worker_deployment;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use super::migration::{self, Next};
use super::names;
use super::plan::{BackupVolume, DatabasePlan, Env, Live, Part, Plan, Replicas};
use crate::kit::desired::{Desired, Prepared, Stage};
use crate::kit::{budgets, volumes};

/// Every child of an AgentFS. `S` tells whether they are [`Prepared`] or [`Applied`].
#[derive(Clone, Debug)]
pub struct Children<S: Stage> {
    /// The ServiceAccount of all pods.
    pub account: S::Of<ServiceAccount>,
    /// The first API key.
    pub admin_key: S::Of<Secret>,
    /// The embedded database.
    pub database: Database<S>,
    /// The connection pool.
    pub pooler: Pooler<S>,
    /// The schema's migration.
    pub migration: Migration<S>,
    /// The API.
    pub api: Api<S>,
    /// The workers.
    pub workers: Workers<S>,
    /// The backups.
    pub backup: Backup<S>,
}

/// The embedded database.
#[derive(Clone, Debug)]
pub struct Database<S: Stage> {
    /// Its credentials.
    pub credentials: S::Of<Secret>,
    /// The claim of its volume.
    pub volume: S::Of<PersistentVolumeClaim>,
    /// PostgreSQL's Service.
    pub service: S::Of<Service>,
    /// PostgreSQL.
    pub postgres: S::Of<StatefulSet>,
    /// How many pods of it there are to be; `None`: however many there are.
    pub replicas: Option<i32>,
}

/// The connection pool.
#[derive(Clone, Debug)]
pub struct Pooler<S: Stage> {
    /// Its configuration.
    pub config: S::Of<Secret>,
    /// Its Service.
    pub service: S::Of<Service>,
    /// Its pods.
    pub deployment: S::Of<Deployment>,
    /// How many pods there are to be; `None`: however many there are.
    pub replicas: Option<i32>,
    /// How many pods may be away at once.
    pub budget: S::Of<PodDisruptionBudget>,
}

/// The schema's migration.
#[derive(Clone, Debug)]
pub struct Migration<S: Stage> {
    /// What is to be done about it.
    pub next: Next,
    /// The Job of the current try.
    pub job: S::Of<Job>,
    /// Jobs that are of no more use.
    pub obsolete: Vec<String>,
}

/// The API.
#[derive(Clone, Debug)]
pub struct Api<S: Stage> {
    /// Its Service.
    pub service: S::Of<Service>,
    /// Its pods; absent while the schema of a new AgentFS is not there yet.
    pub deployment: S::Of<Deployment>,
    /// How many pods there are to be; `None`: an autoscaler says so.
    pub replicas: Option<i32>,
    /// What chooses the number of pods by their CPU.
    pub autoscaler: S::Of<HorizontalPodAutoscaler>,
    /// How many pods may be away at once.
    pub budget: S::Of<PodDisruptionBudget>,
}

/// The workers.
#[derive(Clone, Debug)]
pub struct Workers<S: Stage> {
    /// Their pods.
    pub deployment: S::Of<Deployment>,
    /// How many pods there are to be; `None`: however many there are.
    pub replicas: Option<i32>,
}

/// The backups.
#[derive(Clone, Debug)]
pub struct Backup<S: Stage> {
    /// The claim of the volume that holds them.
    pub volume: S::Of<PersistentVolumeClaim>,
    /// What makes them.
    pub cronjob: S::Of<CronJob>,
}

/// Makes every object of `plan`.
pub fn build(plan: &Plan) -> Result<Children<Prepared>, serde_json::Error> {
    let migration = migration(plan)?;
    Ok(Children {
        account: Desired::Apply(service_account::build(plan)),
        admin_key: Desired::apply_or_keep(
            plan.admin_key.as_ref().map(|key| admin_key_secret::build(plan, key)),
        ),
        database: database(plan),
        pooler: pooler(plan, migration.next),
        api: Api {
            service: Desired::Apply(api_service::build(plan)),
            deployment: Desired::apply_or_keep(api_deployment(plan, migration.next)),
            replicas: plan.api.number_to_set(),
            autoscaler: match &plan.api.replicas {
                Replicas::Autoscaled(autoscaling) => {
                    Desired::Apply(api_autoscaler::build(plan, autoscaling))
                }
                Replicas::Fixed(_) | Replicas::OthersAutoscaler(_) => Desired::Delete,
            },
            budget: budgets::build(&plan.owner, plan.names.api(), names::API, plan.api.least()),
        },
        workers: workers(plan, migration.next),
        backup: backup(plan, migration.next),
        migration,
    })
}

/// The embedded database. One that is no longer wanted is kept until the API has left it, and its
/// volume and credentials for ever: the operator deletes no data.
fn database(plan: &Plan) -> Database<Prepared> {
    let claim = |volume| volumes::claim(plan.kept(plan.names.volume(), names::POSTGRES), volume);
    let secret = |credentials| credentials_secret::build(plan, credentials);
    let DatabasePlan::Embedded(embedded) = &plan.database else {
        let moved = plan.has_moved();
        return Database {
            credentials: Desired::apply_or_keep(plan.data.credentials.as_ref().map(secret)),
            volume: Desired::apply_or_keep(plan.data.volume.as_ref().map(claim)),
            service: if moved { Desired::Delete } else { Desired::Keep },
            postgres: if moved { Desired::Delete } else { Desired::Keep },
            replicas: None,
        };
    };
    let credentials = embedded.credentials.as_ref();
    Database {
        credentials: Desired::apply_or_keep(credentials.map(secret)),
        volume: Desired::Apply(claim(&embedded.volume)),
        service: Desired::Apply(postgres_service::build(plan)),
        postgres: Desired::apply_or_keep(
            credentials.map(|c| postgres_statefulset::build(plan, embedded, c)),
        ),
        replicas: Some(plan.unless_suspended(1)),
    }
}

/// The connection pool. While the API that runs works on another database, or is not to leave it
/// before its schema is there, the pool is left before that one.
fn pooler(plan: &Plan, next: Next) -> Pooler<Prepared> {
    let left = Pooler {
        config: Desired::Keep,
        service: Desired::Keep,
        deployment: Desired::Keep,
        replicas: None,
        budget: Desired::Keep,
    };
    let pooler = match &plan.pooling {
        Part::Enabled(pooler) => pooler,
        Part::Blocked => return left,
        Part::Disabled if !plan.has_moved() => return left,
        Part::Disabled => {
            return Pooler {
                config: Desired::Delete,
                service: Desired::Delete,
                deployment: Desired::Delete,
                replicas: None,
                budget: Desired::Delete,
            };
        }
    };
    let replicas = plan.unless_suspended(pooler.spec.replicas);
    let held = plan.is_elsewhere() && !matches!(next, Next::Done { .. });
    let access = plan.access.as_ref().filter(|_| !held);
    Pooler {
        config: Desired::apply_or_keep(
            access.map(|access| pooler_secret::build(plan, pooler, access)),
        ),
        service: Desired::Apply(pooler_service::build(plan)),
        deployment: Desired::apply_or_keep(
            access.map(|access| pooler_deployment::build(plan, pooler, access)),
        ),
        replicas: Some(replicas),
        budget: budgets::build(&plan.owner, plan.names.pooler(), names::POOLER, replicas),
    }
}

/// The API's pods. Those that run are left as they are while what they are to be told is not known.
fn api_deployment(plan: &Plan, next: Next) -> Option<Deployment> {
    let route = plan.route()?;
    if matches!(plan.api.environment, Env::Partial(_)) && plan.api.live.is_some() {
        return None;
    }
    let image = server_image(plan, plan.api.live.as_ref(), next)?;
    Some(api_deployment::build(plan, &route, image))
}

/// The workers.
fn workers(plan: &Plan, next: Next) -> Workers<Prepared> {
    let workers = match &plan.workers {
        Part::Disabled => return Workers { deployment: Desired::Delete, replicas: None },
        Part::Blocked => return Workers { deployment: Desired::Keep, replicas: None },
        Part::Enabled(workers) => workers,
    };
    let deployment = || {
        let route = plan.route()?;
        let image = server_image(plan, plan.live_workers.as_ref(), next)?;
        Some(worker_deployment::build(plan, workers, &route, image))
    };
    Workers { deployment: Desired::apply_or_keep(deployment()), replicas: Some(workers.replicas) }
}

/// The backups. Their volume is never removed. While another database is being made ready, that which is
/// in use is backed up as before.
fn backup(plan: &Plan, next: Next) -> Backup<Prepared> {
    let claim = |volume| volumes::claim(plan.kept(plan.names.backups(), names::BACKUP), volume);
    let former = || Desired::apply_or_keep(plan.data.backups.as_ref().map(claim));
    let Some(backup) = plan.backup.enabled() else {
        return Backup { volume: former(), cronjob: Desired::Delete };
    };
    let held = plan.is_elsewhere() && !matches!(next, Next::Done { .. });
    let access = plan.access.as_ref().filter(|_| !held);
    Backup {
        volume: match &backup.volume {
            BackupVolume::Own(volume) => Desired::Apply(claim(volume)),
            BackupVolume::Existing(_) => former(),
        },
        cronjob: Desired::apply_or_keep(
            access.map(|access| backup_cronjob::build(plan, backup, access)),
        ),
    }
}

/// The image that pods of the server are to have. A new image, and another database, are rolled out
/// only when the schema is there. Until then pods of the previous image go on; pods on another
/// database are left as they are.
fn server_image<'a>(plan: &'a Plan, live: Option<&'a Live>, next: Next) -> Option<&'a str> {
    if matches!(next, Next::Done { .. }) {
        return Some(&plan.images.server);
    }
    let wanted = plan.route().map(|route| route.fingerprint);
    live.filter(|live| live.database == wanted)?.image.as_deref()
}

fn migration(plan: &Plan) -> Result<Migration<Prepared>, serde_json::Error> {
    let facts = &plan.schema;
    let (Some(access), Some(admin_key)) = (&plan.access, &plan.admin_key) else {
        return Ok(Migration {
            next: Next::AwaitCredentials,
            job: Desired::Keep,
            obsolete: Vec::new(),
        });
    };
    let template = migration_job::template(plan, access);
    let hash = migration_job::hash(access, admin_key, &template)?;
    let next = migration::next(&facts.attempts, &hash, facts.database_ready, facts.now);
    let runs = matches!(next, Next::Run { .. });
    Ok(Migration {
        job: Desired::apply_or_keep(
            next.attempt()
                .map(|attempt| migration_job::build(plan, template, &hash, attempt, runs)),
        ),
        obsolete: migration::obsolete(&facts.attempts, &hash, next),
        next,
    })
}
