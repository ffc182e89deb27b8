//! The fourth call of a reconcile: write what differs, in an order in which each object finds what it
//! needs, and remove what is no longer wanted.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use kube::{Client, ResourceExt as _};

use super::build::{Api, Backup, Children, Database, Migration, Pooler, Workers};
use super::conditions::{
    API_READY, BACKUPS_SCHEDULED, CREDENTIALS_READY, DATABASE_READY, POOLER_READY, SCHEMA_READY,
    WORKERS_READY,
};
use super::observe::Observed;
use crate::kit::blockers::Blocker;
use crate::kit::conditions::PROGRESSING;
use crate::kit::desired::{Applied, Desired, Prepared};
use crate::kit::writer::Writer;

pub use crate::kit::writer::Error;

/// What became of the children.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The children as the API server has them.
    pub children: Children<Applied>,
    /// What keeps some of them from being as they should: what was known before, and what the API
    /// server refused.
    pub blockers: Vec<Blocker>,
}

/// Writes what differs between `children` and what was `observed`. Objects that the API server refuses
/// are noted as blockers, and the others are written nevertheless.
pub async fn apply(
    client: &Client,
    namespace: &str,
    children: Children<Prepared>,
    observed: &Observed,
    blockers: Vec<Blocker>,
) -> Result<Outcome, Error> {
    let mut writer = Writer::new(client, namespace, blockers);
    // No `..`: a child that is added to the struct cannot be forgotten here.
    let Children { account, admin_key, database, pooler, migration, api, workers, backup } =
        children;
    // Without an account of ours the pods would wait, or be somebody else's.
    let account = writer.child(CREDENTIALS_READY, account, observed.account.as_ref()).await?;
    let has_account = account.is_some();
    let admin_key = writer.child(CREDENTIALS_READY, admin_key, observed.admin_key.as_ref()).await?;
    let needs_credentials = database.credentials.is_apply();
    let database = Box::pin(write_database(&mut writer, database, has_account, observed)).await?;
    let has_credentials = has_account && (!needs_credentials || database.credentials.is_some());
    let has_secrets = has_credentials && admin_key.is_some();
    let migration = write_migration(&mut writer, migration, has_secrets, observed);
    let migration = Box::pin(migration).await?;
    let needs_pooler = pooler.config.is_apply();
    let pooler = Box::pin(write_pooler(&mut writer, pooler, has_credentials, observed)).await?;
    let has_route = has_credentials && (!needs_pooler || pooler.config.is_some());
    let api = Box::pin(write_api(&mut writer, api, has_route, observed)).await?;
    let workers = Box::pin(write_workers(&mut writer, workers, has_route, observed)).await?;
    let backup = Box::pin(write_backup(&mut writer, backup, has_credentials, observed)).await?;
    let children =
        Children { account, admin_key, database, pooler, migration, api, workers, backup };
    Ok(Outcome { children, blockers: writer.blockers })
}

async fn write_database(
    writer: &mut Writer<'_>,
    database: Database<Prepared>,
    has_account: bool,
    observed: &Observed,
) -> Result<Database<Applied>, Error> {
    let Database { credentials, volume, service, postgres, replicas } = database;
    let credentials =
        writer.child(CREDENTIALS_READY, credentials, observed.credentials.as_ref()).await?;
    let volume = writer.child(DATABASE_READY, volume, observed.volume.as_ref()).await?;
    let service = writer.child(DATABASE_READY, service, observed.postgres_service.as_ref()).await?;
    // Without a volume of ours PostgreSQL would wait, or use what is somebody else's.
    let postgres = postgres.only_if(has_account && volume.is_some() && credentials.is_some());
    let postgres = writer.child(DATABASE_READY, postgres, observed.postgres.as_ref()).await?;
    let postgres = writer.scale(DATABASE_READY, postgres, replicas).await?;
    Ok(Database { credentials, volume, service, postgres, replicas })
}

async fn write_pooler(
    writer: &mut Writer<'_>,
    pooler: Pooler<Prepared>,
    has_credentials: bool,
    observed: &Observed,
) -> Result<Pooler<Applied>, Error> {
    let Pooler { config, service, deployment, replicas, budget } = pooler;
    let config = config.only_if(has_credentials);
    let config = writer.child(POOLER_READY, config, observed.pooler_config.as_ref()).await?;
    let service = writer.child(POOLER_READY, service, observed.pooler_service.as_ref()).await?;
    let budget = writer.child(PROGRESSING, budget, observed.pooler_budget.as_ref()).await?;
    let deployment = deployment.only_if(config.is_some());
    let deployment = writer.child(POOLER_READY, deployment, observed.pooler.as_ref()).await?;
    let deployment = writer.scale(POOLER_READY, deployment, replicas).await?;
    Ok(Pooler { config, service, deployment, replicas, budget })
}

async fn write_migration(
    writer: &mut Writer<'_>,
    migration: Migration<Prepared>,
    has_secrets: bool,
    observed: &Observed,
) -> Result<Migration<Applied>, Error> {
    let Migration { next, job, obsolete } = migration;
    let live = match &job {
        Desired::Apply(job) => observed.jobs.iter().find(|live| live.name_any() == job.name_any()),
        Desired::Keep | Desired::Delete => None,
    };
    let job = writer.child(SCHEMA_READY, job.only_if(has_secrets), live).await?;
    for name in &obsolete {
        writer.delete::<Job>(name, None).await?;
    }
    Ok(Migration { next, job, obsolete })
}

/// Without its budget or its autoscaler the API answers as before, so they are told of in Progressing.
async fn write_api(
    writer: &mut Writer<'_>,
    api: Api<Prepared>,
    has_route: bool,
    observed: &Observed,
) -> Result<Api<Applied>, Error> {
    let Api { service, deployment, replicas, autoscaler, budget } = api;
    let service = writer.child(API_READY, service, observed.api_service.as_ref()).await?;
    let budget = writer.child(PROGRESSING, budget, observed.api_budget.as_ref()).await?;
    let deployment = deployment.only_if(has_route);
    let deployment = writer.child(API_READY, deployment, observed.api.as_ref()).await?;
    // An autoscaler that is no longer wanted goes before the number is set, and one that is wanted
    // comes after there is a number.
    let live = observed.autoscaler.as_ref();
    let goes = matches!(autoscaler, Desired::Delete);
    if goes {
        writer.child::<HorizontalPodAutoscaler>(PROGRESSING, Desired::Delete, live).await?;
    }
    let deployment = writer.scale(API_READY, deployment, replicas).await?;
    let autoscaler = if goes { None } else { writer.child(PROGRESSING, autoscaler, live).await? };
    Ok(Api { service, deployment, replicas, autoscaler, budget })
}

async fn write_workers(
    writer: &mut Writer<'_>,
    workers: Workers<Prepared>,
    has_route: bool,
    observed: &Observed,
) -> Result<Workers<Applied>, Error> {
    let Workers { deployment, replicas } = workers;
    let deployment = deployment.only_if(has_route);
    let deployment = writer.child(WORKERS_READY, deployment, observed.workers.as_ref()).await?;
    let deployment = writer.scale(WORKERS_READY, deployment, replicas).await?;
    Ok(Workers { deployment, replicas })
}

async fn write_backup(
    writer: &mut Writer<'_>,
    backup: Backup<Prepared>,
    has_credentials: bool,
    observed: &Observed,
) -> Result<Backup<Applied>, Error> {
    let Backup { volume, cronjob } = backup;
    let needs_volume = volume.is_apply();
    let volume = writer.child(BACKUPS_SCHEDULED, volume, observed.backups.as_ref()).await?;
    // Without a volume of ours its pods would wait, or write into what is somebody else's.
    let cronjob = cronjob.only_if(has_credentials && (!needs_volume || volume.is_some()));
    let cronjob = writer.child(BACKUPS_SCHEDULED, cronjob, observed.backup.as_ref()).await?;
    Ok(Backup { volume, cronjob })
}
