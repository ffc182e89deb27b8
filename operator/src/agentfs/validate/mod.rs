//! The second call of a reconcile: the resource and what was seen become a plan that can be carried
//! out, or a sentence that says why not.

mod backup;
mod database;
mod environment;
mod pooler;
mod worker;

use super::conditions::CREDENTIALS_READY;
use crate::kit::blockers::kept_secret;
use crate::kit::labels::Component;
use crate::kit::pod::PodPlan;
use crate::kit::validation::{Invalid, amounts_are_valid};
use k8s_openapi::api::apps::v1::Deployment;

use super::credentials::{AdminKey, Credentials};
use super::migration::attempts;
use super::names::{self, DATABASE, Names};
use super::observe::Observed;
use super::plan::{ApiPlan, Data, DatabasePlan, Live, Plan, Replicas, SchemaFacts};
use crate::crd::AgentFS;
use crate::crd::agentfs::AgentFSSpec;
use crate::kit::ownership::Owner;
use crate::kit::pods;
use crate::kit::rollout::is_rolled_out;
use crate::kit::volumes::VolumePlan;
use crate::process::settings::Images;

/// Makes the plan for `agentfs`, which is `owner`, given what was seen.
pub fn validate(
    agentfs: &AgentFS,
    owner: Owner,
    observed: &Observed,
    images: &Images,
) -> Result<Plan, Invalid> {
    name_is_valid(&owner.name)?;
    let names = Names::new(&owner.name);
    let mut blockers = observed.blockers.clone();
    let spec = &agentfs.spec;
    amounts_are_valid("spec.api.resources", spec.api.resources.as_ref())?;
    let (database, access) = database::plan(spec, &owner, observed, &mut blockers)?;
    let admin_key = kept_secret(
        CREDENTIALS_READY,
        observed.admin_key.as_ref(),
        names.admin_key(),
        &mut blockers,
        AdminKey::from_secret,
        AdminKey::generate,
    );
    let database_ready = !spec.suspend
        && match database {
            DatabasePlan::Embedded(_) => database::postgres_is_ready(observed),
            DatabasePlan::External { .. } => true,
        };
    let embeddings = environment::embeddings(spec, &owner, observed, &mut blockers);
    let extra_env = spec.api.extra_env.iter().cloned();
    let has_pods = !observed.pods_of(names::API).is_empty();
    let pooling = pooler::plan(&spec.pooler, &names, observed, &blockers)?;
    Ok(Plan {
        owner,
        names,
        images: Images {
            server: spec.image.clone().unwrap_or_else(|| images.server.clone()),
            postgres: images.postgres.clone(),
            pgbouncer: images.pgbouncer.clone(),
        },
        deletion_policy: spec.deletion_policy,
        suspended: spec.suspend,
        image_pull_secrets: spec.image_pull_secrets.clone(),
        api: ApiPlan {
            replicas: replicas(spec, observed),
            resources: spec.api.resources.clone(),
            environment: environment::of_api(spec, &embeddings, &observed.references),
            migration_environment: extra_env.map(environment::without_empty_value).collect(),
            pods: PodPlan::of("spec.api.affinity", &spec.api.pods)?,
            live: observed.api.as_ref().and_then(|api| live(api, names::API)),
            has_pods,
        },
        workers: worker::plan(spec, &embeddings, observed)?,
        live_workers: observed.workers.as_ref().and_then(|of| live(of, names::WORKER)),
        backup: backup::plan(&spec.backup, observed)?,
        data: Data {
            volume: observed.volume.as_ref().and_then(VolumePlan::of),
            credentials: observed
                .credentials
                .as_ref()
                .and_then(|c| Credentials::from_secret(c).ok()),
            backups: observed.backups.as_ref().and_then(VolumePlan::of),
        },
        has_clients: has_pods
            || !observed.pods_of(names::WORKER).is_empty()
            || observed.pods_of(names::BACKUP).into_iter().any(pods::runs),
        database,
        access,
        pooling,
        admin_key,
        schema: SchemaFacts {
            database_ready,
            attempts: attempts(&observed.jobs),
            now: observed.now,
        },
        blockers,
    })
}

fn name_is_valid(name: &str) -> Result<(), Invalid> {
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    let ends = name.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let rest = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if begins && ends && rest && name.len() <= 40 {
        return Ok(());
    }
    Err(Invalid {
        field: "metadata.name",
        problem: "at most 40 lower-case letters, digits and '-', beginning with a letter and \
                  ending with a letter or digit"
            .into(),
    })
}

/// An autoscaler of somebody else counts where the spec asks for none.
fn replicas(spec: &AgentFSSpec, observed: &Observed) -> Replicas {
    match &spec.api.autoscaling {
        _ if spec.suspend => Replicas::Fixed(0),
        Some(autoscaling) => Replicas::Autoscaled(autoscaling.clone()),
        None if observed.others_autoscaler => Replicas::OthersAutoscaler(spec.api.replicas),
        None => Replicas::Fixed(spec.api.replicas),
    }
}

/// What a Deployment of the server's program runs; its container has the component's name.
fn live(deployment: &Deployment, component: Component) -> Option<Live> {
    let spec = deployment.spec.as_ref()?;
    let template = &spec.template;
    let mut containers = template.spec.iter().flat_map(|pod| &pod.containers);
    let container = containers.find(|container| container.name == component.as_str());
    let annotations = template.metadata.as_ref().and_then(|m| m.annotations.as_ref());
    Some(Live {
        replicas: spec.replicas.unwrap_or(1),
        image: container.and_then(|c| c.image.clone()),
        database: annotations.and_then(|a| a.get(DATABASE).cloned()),
        rolled_out: is_rolled_out(deployment),
    })
}
