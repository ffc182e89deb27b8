//! The second call of a reconcile: the resource and what was seen become a plan that can be carried
//! out, or a sentence that says why not.

use k8s_openapi::api::core::v1::{EnvVar, PersistentVolumeClaimSpec, Secret};
use kube::ResourceExt;

use super::conditions::CREDENTIALS_READY;
use super::credentials::{self, AdminKey, Credentials, EXAMPLE_URL, Unusable};
use super::migration::attempts;
use super::names::{Component, DATABASE, Names, POSTGRES_PORT};
use super::observe::Observed;
use super::obstacles::{Obstacle, Problem};
use super::ownership::Owner;
use super::plan::{
    Access, ApiPlan, DatabasePlan, EmbeddedPlan, LiveApi, Plan, PodPlan, Replicas, SchemaFacts,
};
use super::rollout::is_rolled_out;
use crate::crd::{
    Affinity, AgentFS, AgentFSSpec, Embedded, External, PodSettings, Quantity, Resources,
};
use crate::settings::Images;

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

/// The field that names the Secret of an external database.
const SECRET_REF: &str = "spec.database.external.secretRef";

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
    let (database, access) = match (&spec.database.embedded, &spec.database.external) {
        (Some(embedded), None) => {
            let plan = embedded_plan(embedded, &names, observed, &mut obstacles)?;
            let access = embedded_access(&plan, &names, &owner.namespace, observed);
            (DatabasePlan::Embedded(Box::new(plan)), access)
        }
        (None, Some(external)) => {
            let access = external_access(external, &owner.namespace, observed, &mut obstacles);
            (DatabasePlan::External, access)
        }
        _ => {
            return Err(Invalid {
                field: "spec.database",
                problem: "set exactly one of embedded, external".into(),
            });
        }
    };
    let admin_key = kept_secret(
        observed.admin_key.as_ref(),
        names.admin_key(),
        &mut obstacles,
        AdminKey::from_secret,
        AdminKey::generate,
    );
    let database_ready = !spec.suspend
        && match database {
            DatabasePlan::Embedded(_) => postgres_is_ready(observed),
            DatabasePlan::External => true,
        };
    Ok(Plan {
        owner,
        names,
        images: Images {
            server: spec.image.clone().unwrap_or_else(|| images.server.clone()),
            postgres: images.postgres.clone(),
        },
        deletion_policy: spec.deletion_policy,
        suspended: spec.suspend,
        image_pull_secrets: spec.image_pull_secrets.clone(),
        api: ApiPlan {
            replicas: replicas(spec, observed),
            resources: spec.api.resources.clone(),
            extra_env: spec.api.extra_env.iter().cloned().map(without_empty_value).collect(),
            environment: observed.references.environment(spec),
            pods: pod_plan("spec.api.affinity", &spec.api.pods)?,
            live: live_api(observed),
            has_pods: !observed.pods_of(Component::Api).is_empty(),
        },
        database,
        access,
        admin_key,
        schema: SchemaFacts {
            database_ready,
            attempts: attempts(&observed.jobs),
            now: observed.now,
        },
        obstacles,
    })
}

/// Whether PostgreSQL takes connections, as its pod's readiness says.
fn postgres_is_ready(observed: &Observed) -> bool {
    let status = observed.postgres.as_ref().and_then(|set| set.status.as_ref());
    status.and_then(|s| s.ready_replicas).unwrap_or(0) >= 1
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

/// The API server leaves an empty value out, and it would read as changed for ever.
fn without_empty_value(mut variable: EnvVar) -> EnvVar {
    variable.value = variable.value.filter(|value| !value.is_empty());
    variable
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

/// An existing volume keeps its class and never shrinks, so that an AgentFS that is made again finds
/// its data whatever its manifest says of the size.
fn embedded_plan(
    embedded: &Embedded,
    names: &Names,
    observed: &Observed,
    obstacles: &mut Vec<Obstacle>,
) -> Result<EmbeddedPlan, Invalid> {
    amounts_are_fit("spec.database.embedded.resources", embedded.resources.as_ref())?;
    let wanted = &embedded.storage.size;
    if !wanted.is_valid() {
        return Err(Invalid {
            field: "spec.database.embedded.storage.size",
            problem: format!("{:?} is not a size; example: 10Gi", wanted.as_str()),
        });
    }
    let (size, storage_class) = match observed.volume.as_ref().and_then(|v| v.spec.as_ref()) {
        Some(live) => kept_volume(wanted, live),
        None => (wanted.clone(), embedded.storage.storage_class_name.clone()),
    };
    Ok(EmbeddedPlan {
        size,
        storage_class,
        resources: embedded.resources.clone(),
        pods: pod_plan("spec.database.embedded.affinity", &embedded.pods)?,
        credentials: kept_secret(
            observed.credentials.as_ref(),
            names.credentials(),
            obstacles,
            Credentials::from_secret,
            Credentials::generate,
        ),
    })
}

fn kept_volume(wanted: &Quantity, live: &PersistentVolumeClaimSpec) -> (Quantity, Option<String>) {
    let held = live.resources.as_ref().and_then(|r| r.requests.as_ref()?.get("storage"));
    let size = match held.map(|size| Quantity::new(&size.0)) {
        Some(held) if held.compare(wanted) == Some(std::cmp::Ordering::Greater) => held,
        _ => wanted.clone(),
    };
    (size, live.storage_class_name.clone())
}

fn embedded_access(
    plan: &EmbeddedPlan,
    names: &Names,
    namespace: &str,
    observed: &Observed,
) -> Option<Access> {
    let credentials = plan.credentials.as_ref()?;
    Some(Access {
        secret: names.credentials(),
        key: "DATABASE_URL".into(),
        url: credentials.address(&names.postgres_host(namespace), POSTGRES_PORT),
        // Another volume is another database.
        identity: observed.volume.as_ref().and_then(ResourceExt::uid).unwrap_or_default(),
        hash: credentials.hash(),
    })
}

fn external_access(
    external: &External,
    namespace: &str,
    observed: &Observed,
    obstacles: &mut Vec<Obstacle>,
) -> Option<Access> {
    let (secret, key) = (&external.secret_ref.name, &external.secret_ref.key);
    let read = match observed.references.secrets.get(secret) {
        None => Err(Problem::SecretMissing {
            secret: secret.clone(),
            field: SECRET_REF,
            remedy: format!(
                "Make it, and the operator goes on by itself: kubectl create secret generic {secret} \
                 -n {namespace} --from-literal={key}={EXAMPLE_URL}"
            ),
        }),
        Some(live) => {
            credentials::database_url(live, key).map_err(|unusable| Problem::SecretUnusable {
                secret: secret.clone(),
                unusable,
                remedy: "Correct the Secret, or name another in spec.database.external.secretRef; \
                         the operator goes on by itself.",
            })
        }
    };
    match read {
        Ok((url, hash)) => Some(Access {
            secret: secret.clone(),
            key: key.clone(),
            identity: url.identity(),
            hash,
            url,
        }),
        Err(problem) => {
            obstacles.push(Obstacle { of: CREDENTIALS_READY, problem });
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

fn live_api(observed: &Observed) -> Option<LiveApi> {
    let api = observed.api.as_ref()?;
    let spec = api.spec.as_ref()?;
    let template = &spec.template;
    let container =
        template.spec.as_ref().and_then(|pod| pod.containers.iter().find(|c| c.name == "api"));
    let annotations = template.metadata.as_ref().and_then(|m| m.annotations.as_ref());
    Some(LiveApi {
        replicas: spec.replicas.unwrap_or(1),
        image: container.and_then(|c| c.image.clone()),
        database: annotations.and_then(|a| a.get(DATABASE).cloned()),
        rolled_out: is_rolled_out(api),
    })
}
