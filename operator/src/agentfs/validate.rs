//! The second call of a reconcile: the resource and what was seen become a plan that can be carried
//! out, or a sentence that says why not.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{Resource, ResourceExt};

use super::credentials::{AdminKey, Credentials, Unusable};
use super::migration::{Attempt, attempts};
use super::names::Names;
use super::observe::Observed;
use super::ownership::{Claim, Owner, claim};
use crate::crd::{AgentFS, Embedded, Quantity, Resources};
use crate::settings::Images;

/// A plan that can be carried out. Everything in it is checked.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The AgentFS on whose behalf objects are made.
    pub owner: Owner,
    /// The names of its children.
    pub names: Names,
    /// The images in use.
    pub images: Images,
    /// The API.
    pub api: ApiPlan,
    /// The database.
    pub database: DatabasePlan,
    /// The database's credentials: those of the Secret, or new ones where there is none.
    pub credentials: Credentials,
    /// The first API key: that of the Secret, or a new one where there is none.
    pub admin_key: AdminKey,
    /// What is known of the schema.
    pub schema: SchemaFacts,
}

/// The API to be.
#[derive(Clone, Debug)]
pub struct ApiPlan {
    /// How many pods.
    pub replicas: i32,
    /// Their CPU and memory, where the spec says so.
    pub resources: Option<Resources>,
    /// The image that the API runs now, if it does.
    pub live_image: Option<String>,
}

/// The embedded database to be.
#[derive(Clone, Debug)]
pub struct DatabasePlan {
    /// The volume's size.
    pub size: Quantity,
    /// The volume's class, where one is named.
    pub storage_class: Option<String>,
    /// Its CPU and memory, where the spec says so.
    pub resources: Option<Resources>,
}

/// What is known of the schema.
#[derive(Clone, Debug)]
pub struct SchemaFacts {
    /// The uid of the volume that holds the data: another volume is another database.
    pub volume_uid: String,
    /// Whether the database takes connections.
    pub database_ready: bool,
    /// The migrations that were tried.
    pub attempts: Vec<Attempt>,
    /// The moment that pauses are counted to.
    pub now: Timestamp,
}

/// Why a plan cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A field of the spec is wrong. The API server refuses most of these already.
    #[error("{field}: {problem}")]
    Spec {
        /// The field's path.
        field: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// A Secret cannot be used as it is.
    #[error("Secret {secret} {problem}")]
    Secret {
        /// The Secret's name.
        secret: String,
        /// What is wrong with it.
        problem: Unusable,
    },
    /// An object of the name is there and belongs to somebody else.
    #[error("{kind} {name} is there already and belongs to {whose}")]
    NameTaken {
        /// The object's kind.
        kind: String,
        /// The object's name.
        name: String,
        /// Whose it is.
        whose: String,
    },
    /// An object of the name is there and is being deleted.
    #[error("{kind} {name} is being deleted")]
    Leaving {
        /// The object's kind.
        kind: String,
        /// The object's name.
        name: String,
    },
}

/// Makes the plan for `agentfs`, given what was seen.
pub fn validate(agentfs: &AgentFS, observed: &Observed, images: &Images) -> Result<Plan, Invalid> {
    let owner = Owner::of(agentfs).ok_or_else(|| Invalid::Spec {
        field: "metadata",
        problem: "has no name, namespace or uid; the API server gives them".into(),
    })?;
    name_is_fit(&owner.name)?;
    names_are_ours(observed, &owner)?;
    let names = Names::new(&owner.name);
    let embedded = agentfs.spec.database.embedded.as_ref().ok_or_else(|| Invalid::Spec {
        field: "spec.database",
        problem: "set embedded, the kind of database that this version knows".into(),
    })?;
    amounts_are_fit("spec.api.resources", agentfs.spec.api.resources.as_ref())?;
    amounts_are_fit("spec.database.embedded.resources", embedded.resources.as_ref())?;
    let credentials = match &observed.credentials {
        Some(secret) => Credentials::from_secret(secret)
            .map_err(|problem| Invalid::Secret { secret: names.credentials(), problem })?,
        None => Credentials::generate(),
    };
    let admin_key = match &observed.admin_key {
        Some(secret) => AdminKey::from_secret(secret)
            .map_err(|problem| Invalid::Secret { secret: names.admin_key(), problem })?,
        None => AdminKey::generate(),
    };
    Ok(Plan {
        names,
        images: Images {
            server: agentfs.spec.image.clone().unwrap_or_else(|| images.server.clone()),
            postgres: images.postgres.clone(),
        },
        api: ApiPlan {
            replicas: agentfs.spec.api.replicas,
            resources: agentfs.spec.api.resources.clone(),
            live_image: live_image(observed),
        },
        database: database(embedded, observed.volume.as_ref())?,
        credentials,
        admin_key,
        schema: SchemaFacts {
            volume_uid: observed.volume.as_ref().and_then(ResourceExt::uid).unwrap_or_default(),
            database_ready: database_is_ready(observed),
            attempts: attempts(
                observed.jobs.iter().filter(|job| claim(*job, &owner) == Claim::Ours),
            ),
            now: observed.now,
        },
        owner,
    })
}

/// Whether PostgreSQL takes connections, as its pod's readiness says.
pub fn database_is_ready(observed: &Observed) -> bool {
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
    Err(Invalid::Spec {
        field: "metadata.name",
        problem:
            "at most 40 lower-case letters, digits and '-', beginning with a letter and ending \
                  with a letter or digit"
                .into(),
    })
}

fn amounts_are_fit(field: &'static str, resources: Option<&Resources>) -> Result<(), Invalid> {
    let Some(resources) = resources else { return Ok(()) };
    match resources.requests.iter().chain(&resources.limits).find(|(_, amount)| !amount.is_valid())
    {
        Some((name, amount)) => Err(Invalid::Spec {
            field,
            problem: format!(
                "{name} {:?} is not an amount; examples: 250m, 512Mi",
                amount.as_str()
            ),
        }),
        None => Ok(()),
    }
}

/// An existing volume keeps its class and never shrinks, so that an AgentFS that is made again finds
/// its data whatever its manifest says of the size.
fn database(
    embedded: &Embedded,
    live: Option<&PersistentVolumeClaim>,
) -> Result<DatabasePlan, Invalid> {
    let wanted = &embedded.storage.size;
    if !wanted.is_valid() {
        return Err(Invalid::Spec {
            field: "spec.database.embedded.storage.size",
            problem: format!("{:?} is not a size; example: 10Gi", wanted.as_str()),
        });
    }
    let plan = |size: &Quantity, storage_class: Option<String>| DatabasePlan {
        size: size.clone(),
        storage_class,
        resources: embedded.resources.clone(),
    };
    let Some(spec) = live.and_then(|claim| claim.spec.as_ref()) else {
        return Ok(plan(wanted, embedded.storage.storage_class_name.clone()));
    };
    let held = spec.resources.as_ref().and_then(|r| r.requests.as_ref()?.get("storage"));
    let held = held.map(|size| Quantity::new(&size.0));
    let size = match &held {
        Some(held) if held.compare(wanted) == Some(std::cmp::Ordering::Greater) => held,
        _ => wanted,
    };
    Ok(plan(size, spec.storage_class_name.clone()))
}

fn live_image(observed: &Observed) -> Option<String> {
    let template = observed.api.as_ref()?.spec.as_ref()?.template.spec.as_ref()?;
    template.containers.iter().find(|c| c.name == "api")?.image.clone()
}

fn names_are_ours(observed: &Observed, owner: &Owner) -> Result<(), Invalid> {
    is_ours(observed.credentials.as_ref(), owner)?;
    is_ours(observed.admin_key.as_ref(), owner)?;
    is_ours(observed.volume.as_ref(), owner)?;
    is_ours(observed.postgres_service.as_ref(), owner)?;
    is_ours(observed.postgres.as_ref(), owner)?;
    is_ours(observed.api_service.as_ref(), owner)?;
    is_ours(observed.api.as_ref(), owner)
}

fn is_ours<K: Resource<DynamicType = ()>>(live: Option<&K>, owner: &Owner) -> Result<(), Invalid> {
    let Some(live) = live else { return Ok(()) };
    let (kind, name) = (K::kind(&()).into_owned(), live.name_any());
    match claim(live, owner) {
        Claim::Ours => Ok(()),
        Claim::Leaving => Err(Invalid::Leaving { kind, name }),
        Claim::Foreign(whose) => Err(Invalid::NameTaken { kind, name, whose }),
    }
}
