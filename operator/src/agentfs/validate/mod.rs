//! The second call of a reconcile: the resource and what was seen become a plan that can be carried
//! out, or a sentence that says why not.

mod backup;
mod database;
mod environment;
mod pooler;
mod worker;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};

use super::conditions::CREDENTIALS_READY;
use super::credentials::{AdminKey, Credentials, Unusable};
use super::migration::attempts;
use super::names::{Component, DATABASE, Names};
use super::observe::Observed;
use super::obstacles::{Obstacle, Problem};
use super::ownership::Owner;
use super::plan::{
    ApiPlan, Data, DatabasePlan, Live, Plan, PodPlan, Replicas, SchemaFacts, VolumePlan,
};
use super::pods;
use super::rollout::is_rolled_out;
use crate::crd::AgentFS;
use crate::crd::agentfs::AgentFSSpec;
use crate::crd::fields::{Affinity, PodSettings, Resources, Storage};
use crate::process::settings::Images;

/// A field of the spec is wrong. The API server refuses most of these already. Nothing is changed
/// until it is right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// The field's path.
    pub field: &'static str,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

/// Makes the plan for `agentfs`, which is `owner`, given what was seen.
pub fn validate(
    agentfs: &AgentFS,
    owner: Owner,
    observed: &Observed,
    images: &Images,
) -> Result<Plan, Invalid> {
    name_is_fit(&owner.name)?;
    let names = Names::new(&owner.name);
    let mut obstacles = observed.obstacles.clone();
    let spec = &agentfs.spec;
    amounts_are_fit("spec.api.resources", spec.api.resources.as_ref())?;
    let (database, access) = database::plan(spec, &owner, observed, &mut obstacles)?;
    let admin_key = kept_secret(
        observed.admin_key.as_ref(),
        names.admin_key(),
        &mut obstacles,
        AdminKey::from_secret,
        AdminKey::generate,
    );
    let database_ready = !spec.suspend
        && match database {
            DatabasePlan::Embedded(_) => database::postgres_is_ready(observed),
            DatabasePlan::External { .. } => true,
        };
    let embeddings = environment::embeddings(spec, &owner, observed, &mut obstacles);
    let extra_env = spec.api.extra_env.iter().cloned();
    let has_pods = !observed.pods_of(Component::Api).is_empty();
    let pooling = pooler::plan(&spec.pooler, &names, observed, &obstacles)?;
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
            pods: pod_plan("spec.api.affinity", &spec.api.pods)?,
            live: observed.api.as_ref().and_then(|api| live(api, Component::Api)),
            has_pods,
        },
        workers: worker::plan(spec, &embeddings, observed)?,
        live_workers: observed.workers.as_ref().and_then(|of| live(of, Component::Worker)),
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
            || !observed.pods_of(Component::Worker).is_empty()
            || observed.pods_of(Component::Backup).into_iter().any(pods::runs),
        database,
        access,
        pooling,
        admin_key,
        schema: SchemaFacts {
            database_ready,
            attempts: attempts(&observed.jobs),
            now: observed.now,
        },
        obstacles,
    })
}

fn name_is_fit(name: &str) -> Result<(), Invalid> {
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

fn amounts_are_fit(field: &'static str, resources: Option<&Resources>) -> Result<(), Invalid> {
    let Some(resources) = resources else { return Ok(()) };
    match resources.requests.iter().chain(&resources.limits).find(|(_, amount)| !amount.is_valid())
    {
        Some((name, amount)) => Err(Invalid {
            field,
            problem: format!(
                "{name} {:?} is not an amount; examples: 250m, 512Mi",
                amount.as_str()
            ),
        }),
        None => Ok(()),
    }
}

fn pod_plan(field: &'static str, settings: &PodSettings) -> Result<PodPlan, Invalid> {
    let affinity = settings.affinity.as_ref().map(Affinity::parsed).transpose();
    let affinity = affinity.map_err(|problem| Invalid {
        field,
        problem: format!("{problem}; kubectl explain pod.spec.affinity tells what there is"),
    })?;
    Ok(PodPlan { settings: settings.clone(), affinity })
}

/// A volume as the spec wants it, `field` being its size. One that is there keeps its class and never
/// shrinks, so that an AgentFS that is made again finds its data whatever its manifest says of the size.
fn volume_plan(
    field: &'static str,
    wanted: &Storage,
    live: Option<&PersistentVolumeClaim>,
) -> Result<VolumePlan, Invalid> {
    if !wanted.size.is_valid() {
        return Err(Invalid {
            field,
            problem: format!("{:?} is not a size; example: 10Gi", wanted.size.as_str()),
        });
    }
    let Some(held) = live.and_then(VolumePlan::of) else {
        return Ok(VolumePlan {
            size: wanted.size.clone(),
            storage_class: wanted.storage_class_name.clone(),
        });
    };
    let is_larger = held.size.compare(&wanted.size) == Some(std::cmp::Ordering::Greater);
    let size = if is_larger { held.size } else { wanted.size.clone() };
    Ok(VolumePlan { size, storage_class: held.storage_class })
}

/// What a Secret of ours holds, or what it shall hold where there is none. One that is there and
/// cannot be read, or is somebody else's, is an obstacle.
fn kept_secret<T>(
    live: Option<&Secret>,
    name: String,
    obstacles: &mut Vec<Obstacle>,
    read: impl Fn(&Secret) -> Result<T, Unusable>,
    make: impl Fn() -> T,
) -> Option<T> {
    let Some(secret) = live else {
        let barred = obstacles.iter().any(|obstacle| obstacle.bars("Secret", &name));
        return (!barred).then(make);
    };
    match read(secret) {
        Ok(content) => Some(content),
        Err(unusable) => {
            obstacles.push(Obstacle {
                of: CREDENTIALS_READY,
                problem: Problem::SecretUnusable {
                    secret: name,
                    unusable,
                    remedy: "Correct it, or delete the Secret: the operator then makes a new one.",
                },
            });
            None
        }
    }
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
