//! The third call of a reconcile: every object of a plan, made without any I/O.
//!
//! One file a child; each is held by a golden file in `tests/snapshots`.

mod admin_key_secret;
mod api_deployment;
mod api_service;
mod credentials_secret;
mod migration_job;
mod pod;
mod postgres_service;
mod postgres_statefulset;
mod postgres_volume;

use std::marker::PhantomData;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::migration::{self, Next};
use super::names::{Component, Names};
use super::ownership::Owner;
use super::validate::Plan;

/// Objects as they were built; nobody has them yet.
#[derive(Clone, Copy, Debug)]
pub enum Prepared {}

/// Objects as the API server has them.
#[derive(Clone, Copy, Debug)]
pub enum Applied {}

/// Every child of an AgentFS. `S` tells whether they are [`Prepared`] or [`Applied`], so that nobody
/// can take the status from objects that were never written.
#[derive(Clone, Debug)]
pub struct Children<S> {
    /// The database's credentials.
    pub credentials: Secret,
    /// The first API key.
    pub admin_key: Secret,
    /// The claim of the database volume.
    pub volume: PersistentVolumeClaim,
    /// PostgreSQL's Service.
    pub postgres_service: Service,
    /// PostgreSQL.
    pub postgres: StatefulSet,
    /// The API's Service.
    pub api_service: Service,
    /// The schema's migration.
    pub migration: Migration,
    /// The API; absent while the schema of a new AgentFS is not there yet.
    pub api: Option<Deployment>,
    /// Whether the objects were applied.
    pub state: PhantomData<S>,
}

/// The schema's migration.
#[derive(Clone, Debug)]
pub struct Migration {
    /// What is to be done about it.
    pub next: Next,
    /// The Job of the current try.
    pub job: Option<Job>,
    /// Jobs that are of no more use.
    pub obsolete: Vec<String>,
}

/// Makes every object of `plan`.
pub fn build(plan: &Plan) -> Result<Children<Prepared>, serde_json::Error> {
    let migration = migration(plan)?;
    // A new image is rolled out only when its schema is there. Until then the pods of the previous
    // image are kept as they are, in the number that is wanted.
    let image = match migration.next {
        Next::Done { .. } => Some(plan.images.server.as_str()),
        _ => plan.api.live_image.as_deref(),
    };
    Ok(Children {
        credentials: credentials_secret::build(plan),
        admin_key: admin_key_secret::build(plan),
        volume: postgres_volume::build(plan),
        postgres_service: postgres_service::build(plan),
        postgres: postgres_statefulset::build(plan),
        api_service: api_service::build(plan),
        api: image.map(|image| api_deployment::build(plan, image)),
        migration,
        state: PhantomData,
    })
}

fn migration(plan: &Plan) -> Result<Migration, serde_json::Error> {
    let facts = &plan.schema;
    let template = migration_job::template(plan);
    let hash = migration_job::hash(plan, &template)?;
    let next = migration::next(&facts.attempts, &hash, facts.database_ready, facts.now);
    Ok(Migration {
        job: next.attempt().map(|attempt| migration_job::build(plan, template, &hash, attempt)),
        obsolete: migration::obsolete(&facts.attempts, &hash, next),
        next,
    })
}

/// The name under which clients in the cluster reach PostgreSQL.
fn postgres_host(plan: &Plan) -> String {
    format!("{}.{}.svc", plan.names.postgres(), plan.owner.namespace)
}

/// The URL under which clients in the cluster reach the API.
pub fn api_url(names: &Names, namespace: &str) -> String {
    format!("http://{}.{namespace}.svc:{}", names.api(), super::names::API_PORT)
}

/// Metadata of an object that goes when its AgentFS goes.
fn owned(plan: &Plan, name: String, component: Component) -> ObjectMeta {
    ObjectMeta {
        owner_references: Some(vec![plan.owner.reference()]),
        ..kept(&plan.owner, &plan.names, name, component)
    }
}

/// Metadata of an object that outlives its AgentFS.
fn kept(owner: &Owner, names: &Names, name: String, component: Component) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(owner.namespace.clone()),
        labels: Some(names.labels(component)),
        ..ObjectMeta::default()
    }
}
