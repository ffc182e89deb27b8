//! What is to be done for one AgentFS: a plan that can be carried out.

use crate::kit::labels::Component;
use crate::kit::pod::{PodAccount, PodPlan};
use crate::kit::volumes::VolumePlan;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::EnvVar;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::credentials::{AdminKey, Credentials};
use super::database_url::DatabaseUrl;
use super::migration::Attempt;
use super::names::Names;
use crate::crd::agentfs::{Autoscaling, Backup, DeletionPolicy, Pooler};
use crate::crd::fields::{ImagePullSecret, Resources};
use crate::kit::blockers::Blocker;
use crate::kit::digest::hash;
use crate::kit::ownership::Owner;
use crate::process::settings::Images;

/// A plan that can be carried out. Everything in it is checked; what could not be had is `None`, and
/// `blockers` says why.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The AgentFS on whose behalf objects are made.
    pub owner: Owner,
    /// The names of its children.
    pub names: Names,
    /// The images in use.
    pub images: Images,
    /// What becomes of the data when the AgentFS is deleted.
    pub deletion_policy: DeletionPolicy,
    /// Whether nothing is to run.
    pub suspended: bool,
    /// The Secrets by which the images are pulled.
    pub image_pull_secrets: Vec<ImagePullSecret>,
    /// The API.
    pub api: ApiPlan,
    /// The database.
    pub database: DatabasePlan,
    /// How clients reach the database.
    pub access: Option<Access>,
    /// The connection pool.
    pub pooling: Part<PoolerPlan>,
    /// The workers.
    pub workers: Part<WorkerPlan>,
    /// The workers that run now, if some do.
    pub live_workers: Option<Live>,
    /// The backups.
    pub backup: Part<BackupPlan>,
    /// The data that is there already.
    pub data: Data,
    /// Whether pods of the API or of the workers are there, those that leave included, or a backup is
    /// being made.
    pub has_clients: bool,
    /// The first API key: that of the Secret, or a new one where there is none.
    pub admin_key: Option<AdminKey>,
    /// What is known of the schema.
    pub schema: SchemaFacts,
    /// What keeps some parts from being made.
    pub blockers: Vec<Blocker>,
}

/// The API to be.
#[derive(Clone, Debug)]
pub struct ApiPlan {
    /// How many pods.
    pub replicas: Replicas,
    /// Their CPU and memory, where the spec says so.
    pub resources: Option<Resources>,
    /// What they are told.
    pub environment: Env,
    /// What migrations are told.
    pub migration_environment: Vec<EnvVar>,
    /// Where they run, and what they carry.
    pub pods: PodPlan,
    /// The API that runs now, if one does.
    pub live: Option<Live>,
    /// Whether pods of it are there, those that leave included.
    pub has_pods: bool,
}

/// What the server's pods are told by variables, besides the way to the database.
#[derive(Clone, Debug)]
pub enum Env {
    /// These variables.
    Complete(Environment),
    /// These, and others that cannot be had: pods that run are left as they are.
    Partial(Environment),
}

impl Env {
    /// The variables that are known.
    pub fn known(&self) -> &Environment {
        match self {
            Self::Complete(environment) | Self::Partial(environment) => environment,
        }
    }
}

/// Variables, and where they come from.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// The variables.
    pub variables: Vec<EnvVar>,
    /// A hash of the entries of others that they are taken from, where they are.
    pub hash: Option<String>,
}

/// The workers to be.
#[derive(Clone, Debug)]
pub struct WorkerPlan {
    /// How many pods.
    pub replicas: i32,
    /// Their CPU and memory, where the spec says so.
    pub resources: Option<Resources>,
    /// What they are told.
    pub environment: Environment,
    /// Where they run, and what they carry.
    pub pods: PodPlan,
}

/// Who says how many pods there are.
#[derive(Clone, Debug, PartialEq)]
pub enum Replicas {
    /// The spec: this many.
    Fixed(i32),
    /// An autoscaler that the operator makes.
    Autoscaled(Autoscaling),
    /// An autoscaler that somebody else made; the number is what it is given to begin with.
    OthersAutoscaler(i32),
}

/// The API or the workers that run now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// How many pods are wanted.
    pub replicas: i32,
    /// Their image.
    pub image: Option<String>,
    /// The database they work on, in the words of [`DatabaseRoute::fingerprint`].
    pub database: Option<String>,
    /// Whether all of the pods are of the newest kind.
    pub rolled_out: bool,
}

/// The database to be.
#[derive(Clone, Debug)]
pub enum DatabasePlan {
    /// One that the operator runs.
    Embedded(Box<EmbeddedPlan>),
    /// One that somebody else runs.
    External {
        /// The Secret that holds its URL.
        secret: String,
    },
}

/// The embedded database to be.
#[derive(Clone, Debug)]
pub struct EmbeddedPlan {
    /// Its volume.
    pub volume: VolumePlan,
    /// Its CPU and memory, where the spec says so.
    pub resources: Option<Resources>,
    /// Where its pod runs, and what it carries.
    pub pods: PodPlan,
    /// Its credentials: those of the Secret, or new ones where there is none.
    pub credentials: Option<Credentials>,
}

/// Data that is there already. It is kept when the part that made it is off, and whether it goes with
/// the AgentFS is for the spec to say then as well.
#[derive(Clone, Debug, Default)]
pub struct Data {
    /// The volume of the embedded database.
    pub volume: Option<VolumePlan>,
    /// Its credentials.
    pub credentials: Option<Credentials>,
    /// The volume of the backups.
    pub backups: Option<VolumePlan>,
}

/// The backups to be.
#[derive(Clone, Debug)]
pub struct BackupPlan {
    /// What the spec says.
    pub spec: Backup,
    /// The volume that holds them.
    pub volume: BackupVolume,
    /// Where their pods run, and what they carry.
    pub pods: PodPlan,
}

/// The volume that holds the backups.
#[derive(Clone, Debug)]
pub enum BackupVolume {
    /// One that the operator makes.
    Own(VolumePlan),
    /// That of this claim, which somebody else made.
    Existing(String),
}

/// How clients reach the database.
#[derive(Clone, Debug)]
pub struct Access {
    /// The Secret that holds the URL.
    pub secret: String,
    /// The entry of the Secret that holds the URL.
    pub key: String,
    /// The URL, taken apart.
    pub url: DatabaseUrl,
    /// Which database it is, whatever the password: another identity is other data.
    pub identity: String,
    /// Who signs the database's certificate, where the spec says so.
    pub authority: Option<Authority>,
    /// A hash that changes with anything that a client must know.
    pub hash: String,
}

/// The entry of a Secret with the certificates of who may sign the database's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The Secret.
    pub secret: String,
    /// Its entry.
    pub key: String,
}

/// A part that there may be or not.
#[derive(Clone, Debug)]
pub enum Part<T> {
    /// There is none.
    Disabled,
    /// There is this one.
    Enabled(Box<T>),
    /// There should be one, and what it needs cannot be had; a blocker tells why.
    Blocked,
}

impl<T> Part<T> {
    /// The part, where there is one.
    pub fn enabled(&self) -> Option<&T> {
        match self {
            Self::Enabled(plan) => Some(plan),
            Self::Disabled | Self::Blocked => None,
        }
    }
}

/// The connection pool to be.
#[derive(Clone, Debug)]
pub struct PoolerPlan {
    /// What the spec says.
    pub spec: Pooler,
    /// Where its pods run, and what they carry.
    pub pods: PodPlan,
    /// What its clients show to it. It has nothing to do with the database's credentials, so that the
    /// API need not know of new ones.
    pub credentials: Credentials,
}

/// The way by which the API reaches the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseRoute {
    /// The Secret that holds the URL.
    pub secret: String,
    /// The entry of the Secret that holds the URL.
    pub key: String,
    /// Who signs the certificate of what is at the other end, where the spec says so.
    pub authority: Option<Authority>,
    /// A hash that changes with anything that the API must know.
    pub hash: String,
    /// A hash that changes when it is another database, or the way to it is another.
    pub fingerprint: String,
}

/// What is known of the schema.
#[derive(Clone, Debug)]
pub struct SchemaFacts {
    /// Whether the database takes connections, or is somebody else's to look after.
    pub database_ready: bool,
    /// The migrations that were tried.
    pub attempts: Vec<Attempt>,
    /// The moment that pauses are counted to.
    pub now: Timestamp,
}

impl ApiPlan {
    /// The number that the operator sets; `None` where it leaves the number alone. An autoscaler does
    /// nothing while the number is 0, so it is given a beginning.
    pub fn number_to_set(&self) -> Option<i32> {
        let lives = self.live.as_ref().is_some_and(|live| live.replicas > 0);
        match &self.replicas {
            Replicas::Fixed(replicas) => Some(*replicas),
            Replicas::Autoscaled(autoscaling) if !lives => Some(autoscaling.min_replicas),
            Replicas::OthersAutoscaler(beginning) if !lives => Some(*beginning),
            Replicas::Autoscaled(_) | Replicas::OthersAutoscaler(_) => None,
        }
    }

    /// The least number of pods that there are to be.
    pub fn least(&self) -> i32 {
        match &self.replicas {
            Replicas::Fixed(replicas) => *replicas,
            Replicas::Autoscaled(autoscaling) => autoscaling.min_replicas,
            Replicas::OthersAutoscaler(_) => self.live.as_ref().map_or(0, |live| live.replicas),
        }
    }
}

impl Plan {
    /// Metadata of an object that outlives its AgentFS, unless the spec says that it does not.
    pub fn kept(&self, name: String, component: Component) -> ObjectMeta {
        match self.deletion_policy {
            DeletionPolicy::Retain => self.owner.unowned(name, component),
            DeletionPolicy::Delete => self.owner.owned(name, component),
        }
    }

    /// As whom the pods run, and how their images are pulled.
    pub fn pod_account(&self) -> PodAccount {
        PodAccount {
            service_account: self.names.account(),
            image_pull_secrets: self.image_pull_secrets.clone(),
        }
    }

    /// How many pods a part that the API needs is to have: none while nothing is to run, but not
    /// before the API's last requests are answered and the workers have left.
    pub fn unless_suspended(&self, replicas: i32) -> i32 {
        if self.suspended && !self.has_clients { 0 } else { replicas }
    }

    /// The way by which the API is to reach the database, when it is known.
    pub fn route(&self) -> Option<DatabaseRoute> {
        let access = self.access.as_ref()?;
        match &self.pooling {
            Part::Disabled => Some(DatabaseRoute {
                secret: access.secret.clone(),
                key: access.key.clone(),
                authority: access.authority.clone(),
                hash: access.hash.clone(),
                fingerprint: hash([access.identity.as_str(), "direct"]),
            }),
            Part::Enabled(pooler) => Some(DatabaseRoute {
                secret: self.names.pooler(),
                key: "DATABASE_URL".into(),
                authority: None,
                hash: pooler.credentials.hash(),
                fingerprint: hash([access.identity.as_str(), "pooler"]),
            }),
            Part::Blocked => None,
        }
    }

    /// Whether all that runs works on what is wanted, on all its pods, so that nobody needs what it
    /// worked on before.
    pub fn has_moved(&self) -> bool {
        let wanted = self.route().map(|route| route.fingerprint);
        let moved = |live: &Live| live.rolled_out && wanted.is_some() && live.database == wanted;
        self.api.live.iter().chain(&self.live_workers).all(moved)
    }

    /// Whether something runs that works on another database than is wanted, or by another route.
    pub fn is_elsewhere(&self) -> bool {
        let wanted = self.route().map(|route| route.fingerprint);
        let elsewhere = |live: &Live| live.database != wanted;
        self.api.live.iter().chain(&self.live_workers).any(elsewhere)
    }
}
