//! The parts of an AgentFS, each with its plan, its objects and its condition.
//!
//! This is the one place that knows all of them: the five steps of a reconcile go through the structs and
//! tables here. A part that is added has a field in each of the three structs, a call in each function
//! below them, and a row in [`CONDITIONS`].

pub mod account;
pub mod admin_key;
pub mod restore;
/// The API: stateless pods that agents talk to.
pub mod api {
    pub mod condition;
    pub mod objects;
    pub mod plan;
}
/// Regular backups of the whole database, and what tries them.
pub mod backup {
    pub mod account;
    pub mod attachments;
    pub mod condition;
    pub mod destination;
    pub mod encryption;
    pub mod objects;
    pub mod plan;
    pub mod runs;
    pub mod scheduled;
    pub mod scratch;
    pub mod secrets;
}
/// The migrations of the schema.
pub mod migration {
    pub mod before;
    pub mod condition;
    pub mod objects;
    pub mod plan;
}
/// The connection pool between the API and PostgreSQL.
pub mod pooler {
    pub mod condition;
    pub mod config;
    pub mod objects;
    pub mod plan;
}
/// The pods that embed what was written.
pub mod worker {
    pub mod condition;
    pub mod objects;
    pub mod plan;
}

use std::collections::BTreeSet;
use std::iter;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret, ServiceAccount};
use kube::ResourceExt;

use self::admin_key::AdminKeyPlan;
use self::api::condition::API_READY;
use self::api::plan::ApiPlan;
use self::backup::condition::BACKUPS_SCHEDULED;
use self::backup::plan::Backups;
use self::migration::condition::SCHEMA_READY;
use self::migration::plan::SchemaFacts;
use self::pooler::condition::POOLER_READY;
use self::pooler::plan::PoolerPlan;
use self::restore::{RESTORE_IN_PROGRESS, RunningRestore};
use self::worker::condition::WORKERS_READY;
use self::worker::plan::Workers;
use super::database::{DATABASE_READY, Database, embedded, remembered};
use super::environment::embeddings;
use super::names::Names;
use super::observe::Observed;
use super::plan::{Part, Plan};
use super::recovery;
use super::recovery::drilled::DRILL_CURRENT;
use super::recovery::fresh::BACKUP_FRESH;
use super::recovery::objectives::OBJECTIVES_MET;
use super::recovery::runs::active;
use super::recovery::verified::RESTORE_VERIFIED;
use super::server_deployment::Live;
use super::status_inputs::{CREDENTIALS_READY, StatusInputs};
use super::validate::PlanInputs;
use crate::crd::AgentFSRestore;
use crate::crd::agentfs::{
    AdminKeyStatus, AgentFSSpec, AgentFSStatus, ApiStatus, BackupStatus, DatabaseStatus,
    WorkerStatus,
};
use crate::crd::fields::Storage;
use crate::kit::blockers::{Blocker, OwnershipFilter};
use crate::kit::conditions::State;
use crate::kit::desired::{Applied, Desired, Prepared, Stage};
use crate::kit::labels::Component;
use crate::kit::ownership::Owner;
use crate::kit::pods;
use crate::kit::reads::{Reader, read};
use crate::kit::validation::{Invalid, resources_are_valid};
use crate::kit::volumes::is_unbound;
use crate::kit::writer::{Error, Writer};

/// The objects of each part that are there.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The ServiceAccount of all pods.
    pub account: Option<ServiceAccount>,
    /// The first API key.
    pub admin_key: Option<Secret>,
    /// The embedded database.
    pub database: embedded::objects::Seen,
    /// The connection pool.
    pub pooler: pooler::objects::Seen,
    /// The schema's migrations.
    pub migration: migration::objects::Seen,
    /// The API.
    pub api: api::objects::Seen,
    /// The workers.
    pub workers: worker::objects::Seen,
    /// The backups.
    pub backup: backup::objects::Seen,
    /// The restores, which others asked for.
    pub restores: Vec<AgentFSRestore>,
}

/// Each part as it is to be.
#[derive(Clone, Debug)]
pub struct Plans {
    /// The first API key: that of the Secret, or a new one where there is none.
    pub admin_key: Option<AdminKeyPlan>,
    /// The database.
    pub database: Database,
    /// The connection pool.
    pub pooler: Part<PoolerPlan>,
    /// What is known of the schema.
    pub migration: SchemaFacts,
    /// The API.
    pub api: ApiPlan,
    /// The workers.
    pub workers: Workers,
    /// The backups.
    pub backup: Backups,
    /// The restore that is under way.
    pub restore: Option<RunningRestore>,
}

/// The objects of each part. `S` tells whether they are [`Prepared`] or [`Applied`].
#[derive(Clone, Debug)]
pub struct Children<S: Stage> {
    /// The ServiceAccount of all pods.
    pub account: S::Of<ServiceAccount>,
    /// The first API key.
    pub admin_key: S::Of<Secret>,
    /// The embedded database.
    pub database: embedded::objects::Objects<S>,
    /// The connection pool.
    pub pooler: pooler::objects::Objects<S>,
    /// The schema's migration.
    pub migration: migration::objects::Objects<S>,
    /// The API.
    pub api: api::objects::Objects<S>,
    /// The workers.
    pub workers: worker::objects::Objects<S>,
    /// The backups.
    pub backup: backup::objects::Objects<S>,
}

impl Seen {
    /// Reads them, all at once. They and the futures are large; on the heap they do not fill the stack of whoever waits for them.
    pub async fn read(reader: Reader<'_>, names: &Names) -> Result<Box<Self>, kube::Error> {
        Ok(Box::new(read!(Self {
            account: reader.get(names.account()),
            admin_key: reader.get(names.admin_key()),
            database: Box::pin(embedded::objects::Seen::read(reader, names)),
            pooler: Box::pin(pooler::objects::Seen::read(reader, names)),
            migration: migration::objects::Seen::read(reader),
            api: Box::pin(api::objects::Seen::read(reader, names)),
            workers: worker::objects::Seen::read(reader, names),
            backup: Box::pin(backup::objects::Seen::read(reader, names)),
            restores: restore::read(reader),
        })))
    }

    /// Those of them that are ours.
    #[must_use]
    pub fn owned(self, filter: &mut OwnershipFilter<'_>, owner: &Owner) -> Self {
        Self {
            account: filter.owned(CREDENTIALS_READY, self.account),
            database: self.database.owned(filter),
            admin_key: filter.owned(CREDENTIALS_READY, self.admin_key),
            pooler: self.pooler.owned(filter),
            migration: self.migration.owned(owner),
            api: self.api.owned(filter),
            workers: self.workers.owned(filter),
            backup: self.backup.owned(filter),
            restores: self.restores,
        }
    }
}

/// The components whose pods tell by `/readyz` why they are not ready.
pub const TELLING: [Component; 2] = [api::objects::COMPONENT, worker::objects::COMPONENT];

/// The volumes that are there and that the spec wants, each with what it says of them.
pub fn claims<'a>(
    spec: &'a AgentFSSpec,
    seen: &'a Seen,
) -> impl Iterator<Item = (&'a Storage, &'a PersistentVolumeClaim)> {
    let database = spec.database.embedded.iter().map(|embedded| &embedded.storage);
    database
        .zip(&seen.database.volume)
        .chain(iter::once(&spec.backup.volume).zip(&seen.backup.volume))
}

/// PostgreSQL's pod, where it is there and none is found by its labels. Of other pods Kubernetes makes new ones; this one alone
/// has a name and a volume of its own.
pub async fn stray(
    reader: Reader<'_>,
    names: &Names,
    observed: &Observed,
) -> Result<Option<Pod>, kube::Error> {
    let is_made = observed.parts.database.postgres.is_some();
    if !is_made || !observed.pods_of(embedded::objects::COMPONENT).is_empty() {
        return Ok(None);
    }
    Ok(reader.named(&names.postgres_pod()).await?.into_iter().next())
}

/// The names of the objects that should have led to something and have not.
pub fn stuck(observed: &Observed) -> Vec<String> {
    let Seen { database, backup, migration, .. } = &observed.parts;
    let mut names = Vec::new();
    let claims = database.volume.iter().chain(&backup.volume);
    names.extend(claims.filter(|claim| is_unbound(claim)).map(ResourceExt::name_any));
    if observed.pods_of(embedded::objects::COMPONENT).is_empty() {
        names.extend(database.postgres.as_ref().map(ResourceExt::name_any));
    }
    if observed.pods_of(migration::objects::COMPONENT).is_empty() {
        names.extend(migration.waiting().map(ResourceExt::name_any));
    }
    for (component, cronjob) in backup.cronjobs() {
        if observed.pods_of(component).is_empty() {
            names.extend(active(cronjob).cloned());
        }
    }
    names.extend(observed.pods.iter().flat_map(pods::claims));
    let pods = observed.pods.iter().filter(|pod| pods::is_stuck(pod, observed.now));
    names.extend(pods.map(ResourceExt::name_any));
    names
}

/// The images whose servers have a port for probes and metrics alone: as migrations by them say, and as what runs shows
/// when the pods of those are gone.
pub fn with_operations_port(plans: &Plans, observed: &Observed) -> BTreeSet<String> {
    let runs = plans.live().filter(|live| live.operations_port);
    let runs = runs.filter_map(|live| live.image.clone());
    runs.chain(migration::objects::with_operations_port(observed)).collect()
}

/// Whether pods of the API or of the workers are there, those that leave included, or a backup is being
/// made or tried.
pub fn has_clients(observed: &Observed) -> bool {
    let run = |component: &Component| observed.pods_of(*component).into_iter().any(pods::runs);
    !observed.pods_of(api::objects::COMPONENT).is_empty()
        || !observed.pods_of(worker::objects::COMPONENT).is_empty()
        || backup::runs::COMPONENTS.iter().any(run)
}

impl Plans {
    /// Each part as the spec asks for it.
    pub fn of(inputs: &PlanInputs<'_>, blockers: &mut Vec<Blocker>) -> Result<Self, Invalid> {
        let spec = inputs.spec;
        resources_are_valid("spec.api.resources", spec.api.resources.as_ref())?;
        let database = Database::plan(inputs, blockers)?;
        let admin_key = admin_key::plan(inputs, blockers);
        let embeddings = embeddings(inputs, blockers);
        let database_ready = !spec.suspend && database.is_ready(inputs.observed);
        Ok(Self {
            admin_key,
            pooler: pooler::plan::plan(inputs, blockers)?,
            migration: migration::plan::facts(inputs, database_ready)?,
            api: api::plan::plan(inputs, &embeddings, blockers)?,
            workers: worker::plan::plan(inputs, &embeddings)?,
            backup: backup::plan::plan(inputs, &database, blockers)?,
            database,
            restore: restore::running(&inputs.observed.parts.restores),
        })
    }

    /// What runs now and works on the database.
    pub fn live(&self) -> impl Iterator<Item = &Live> {
        self.api.live.iter().chain(&self.workers.live)
    }
}

impl Children<Prepared> {
    /// Makes every object of `plan`.
    pub fn build(plan: &Plan) -> Result<Self, serde_json::Error> {
        let migration = migration::objects::Objects::build(plan)?;
        let admin_key = plan.parts.admin_key.as_ref();
        Ok(Self {
            account: Desired::Apply(account::build(plan)),
            admin_key: Desired::apply_or_keep(
                admin_key.map(|key| admin_key::build(plan, key, migration.next)),
            ),
            database: embedded::objects::Objects::build(plan, migration.next),
            pooler: pooler::objects::Objects::build(plan, migration.next),
            api: api::objects::Objects::build(plan, migration.next),
            workers: worker::objects::Objects::build(plan, migration.next),
            backup: backup::objects::Objects::build(plan, migration.next),
            migration,
        })
    }

    /// Writes what differs from what was `seen`, in an order in which each object finds what it needs.
    pub async fn write(
        self,
        writer: &mut Writer<'_>,
        seen: &Seen,
    ) -> Result<Children<Applied>, Error> {
        // No `..`: a part that is added to the struct cannot be forgotten here.
        let Self { account, admin_key, database, pooler, migration, api, workers, backup } = self;
        // Without an account of ours the pods would wait, or be somebody else's.
        let account = writer.child(CREDENTIALS_READY, account, seen.account.as_ref()).await?;
        let has_account = account.is_some();
        let admin_key = writer.child(CREDENTIALS_READY, admin_key, seen.admin_key.as_ref()).await?;
        let needs_credentials = database.credentials.is_apply();
        let database = Box::pin(database.write(writer, &seen.database, has_account)).await?;
        let has_credentials = has_account && (!needs_credentials || database.credentials.is_some());
        let has_secrets = has_credentials && admin_key.is_some();
        let migration = Box::pin(migration.write(writer, &seen.migration, has_secrets)).await?;
        let needs_pooler = pooler.config.is_apply();
        let pooler = Box::pin(pooler.write(writer, &seen.pooler, has_credentials)).await?;
        let has_route = has_credentials && (!needs_pooler || pooler.config.is_some());
        let api = Box::pin(api.write(writer, &seen.api, has_route)).await?;
        let workers = Box::pin(workers.write(writer, &seen.workers, has_route)).await?;
        let backup = Box::pin(backup.write(writer, &seen.backup, has_credentials)).await?;
        Ok(Children { account, admin_key, database, pooler, migration, api, workers, backup })
    }
}

/// A condition of a part.
pub struct PartCondition {
    /// Its type.
    pub kind: &'static str,
    /// Whether the part may be absent; it then has no condition.
    pub optional: bool,
    /// How it counts for Ready and Progressing.
    pub weight: Weight,
    /// How the part is.
    pub state: fn(&StatusInputs<'_>) -> Option<State>,
}

/// How the condition of a part counts for Ready and Progressing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// In every state.
    Always,
    /// Where somebody has to do something; what it waits for the others wait for as well.
    Failures,
    /// Not at all, and what is not known of it yet does not keep the AgentFS from being at rest.
    Never,
}

impl PartCondition {
    const fn of(kind: &'static str, state: fn(&StatusInputs<'_>) -> Option<State>) -> Self {
        Self { kind, optional: false, weight: Weight::Always, state }
    }

    const fn optional(self, weight: Weight) -> Self {
        Self { optional: true, weight, ..self }
    }
}

/// The conditions of all parts, in the order in which they are shown.
#[allow(clippy::redundant_closure_for_method_calls)] // the paths are not general enough in their lifetime
pub const CONDITIONS: [PartCondition; 12] = [
    PartCondition::of(CREDENTIALS_READY, |inputs| Some(inputs.credentials())),
    PartCondition::of(DATABASE_READY, |inputs| Some(inputs.database())),
    PartCondition::of(POOLER_READY, |inputs| inputs.pooler()).optional(Weight::Always),
    PartCondition::of(SCHEMA_READY, |inputs| Some(inputs.schema())),
    PartCondition::of(API_READY, |inputs| Some(inputs.api())),
    PartCondition::of(WORKERS_READY, |inputs| inputs.workers()).optional(Weight::Always),
    PartCondition::of(BACKUPS_SCHEDULED, |inputs| inputs.backups_scheduled())
        .optional(Weight::Failures),
    PartCondition::of(BACKUP_FRESH, |inputs| inputs.backup_fresh()).optional(Weight::Never),
    PartCondition::of(RESTORE_VERIFIED, |inputs| inputs.restore_verified()).optional(Weight::Never),
    PartCondition::of(DRILL_CURRENT, |inputs| inputs.drill_current()).optional(Weight::Never),
    PartCondition::of(OBJECTIVES_MET, |inputs| inputs.objectives_met()).optional(Weight::Never),
    PartCondition::of(RESTORE_IN_PROGRESS, |inputs| inputs.restore_in_progress())
        .optional(Weight::Never),
];

impl StatusInputs<'_> {
    /// The first of the rollouts that are under way, or what keeps the autoscaler from its work.
    pub fn rollouts(&self) -> Option<State> {
        self.embedded_rollout()
            .or_else(|| self.api_rollout())
            .or_else(|| self.pooler_rollout())
            .or_else(|| self.workers_rollout())
            .or_else(|| self.autoscaling())
    }

    /// What the status says of the parts, besides their conditions.
    pub fn statuses(&self) -> Statuses {
        Statuses {
            api: self.counts.clone(),
            worker: self.worker_counts(),
            backup: self.backup_status(),
            backups_are_recorded: !self.observed.backups().is_empty(),
            database: self.plan.parts.database.status(self.children),
            admin_key: self.rotation(),
        }
    }
}

/// What the status says of the parts, besides their conditions.
#[derive(Clone, Debug)]
pub struct Statuses {
    /// The API's pods.
    pub api: ApiStatus,
    /// The workers' pods, where there are any.
    pub worker: Option<WorkerStatus>,
    /// The backups, where there are to be any.
    pub backup: Option<BackupStatus>,
    /// Whether records say of them what is known, which then need not be remembered.
    pub backups_are_recorded: bool,
    /// The database in use.
    pub database: DatabaseStatus,
    /// The newest rotation of the first API key, where it is complete.
    pub admin_key: Option<AdminKeyStatus>,
}

impl Statuses {
    /// The same as fields of the status that follows `before`.
    pub fn after(self, before: Option<&AgentFSStatus>) -> AgentFSStatus {
        let Self { api, worker, backup, backups_are_recorded, database, admin_key } = self;
        let former = before.and_then(|before| before.backup.as_ref());
        AgentFSStatus {
            api: Some(api),
            worker,
            backup: backup
                .map(|now| recovery::status::remembered(now, former, backups_are_recorded)),
            database: Some(remembered(database, before)),
            admin_key: admin_key::remembered(
                admin_key,
                before.and_then(|before| before.admin_key.as_ref()),
            ),
            ..AgentFSStatus::default()
        }
    }
}
