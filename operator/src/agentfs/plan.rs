//! What is to be done for one AgentFS: a plan that can be carried out.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Affinity, EnvVar};

use super::credentials::{AdminKey, Credentials, hash};
use super::database_url::DatabaseUrl;
use super::migration::Attempt;
use super::names::Names;
use super::obstacles::Obstacle;
use super::ownership::Owner;
use crate::crd::{
    Autoscaling, DeletionPolicy, ImagePullSecret, PodSettings, Pooler, Quantity, Resources,
};
use crate::settings::Images;

/// A plan that can be carried out. Everything in it is checked; what could not be had is `None`, and
/// `obstacles` says why.
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
    pub pooling: Pooling,
    /// The first API key: that of the Secret, or a new one where there is none.
    pub admin_key: Option<AdminKey>,
    /// What is known of the schema.
    pub schema: SchemaFacts,
    /// What keeps some parts from being made.
    pub obstacles: Vec<Obstacle>,
}

/// The API to be.
#[derive(Clone, Debug)]
pub struct ApiPlan {
    /// How many pods.
    pub replicas: Replicas,
    /// Their CPU and memory, where the spec says so.
    pub resources: Option<Resources>,
    /// More environment variables of theirs.
    pub extra_env: Vec<EnvVar>,
    /// A hash of the entries that those are taken from, where they are.
    pub environment: Option<String>,
    /// Where they run, and what they carry.
    pub pods: PodPlan,
    /// The API that runs now, if one does.
    pub live: Option<LiveApi>,
    /// Whether pods of it are there, those that leave included.
    pub has_pods: bool,
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

/// Where pods run, and what they carry.
#[derive(Clone, Debug)]
pub struct PodPlan {
    /// What the spec says.
    pub settings: PodSettings,
    /// Its affinity, understood.
    pub affinity: Option<Affinity>,
}

/// The API that runs now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveApi {
    /// How many pods of it are wanted.
    pub replicas: i32,
    /// Its image.
    pub image: Option<String>,
    /// The database it works on, in the words of [`Way::mark`].
    pub database: Option<String>,
    /// Whether all of its pods are of the newest kind.
    pub rolled_out: bool,
}

/// The database to be.
#[derive(Clone, Debug)]
pub enum DatabasePlan {
    /// One that the operator runs.
    Embedded(Box<EmbeddedPlan>),
    /// One that somebody else runs.
    External,
}

/// The embedded database to be.
#[derive(Clone, Debug)]
pub struct EmbeddedPlan {
    /// The volume's size.
    pub size: Quantity,
    /// The volume's class, where one is named.
    pub storage_class: Option<String>,
    /// Its CPU and memory, where the spec says so.
    pub resources: Option<Resources>,
    /// Where its pod runs, and what it carries.
    pub pods: PodPlan,
    /// Its credentials: those of the Secret, or new ones where there is none.
    pub credentials: Option<Credentials>,
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
    /// A hash that changes with anything that a client must know.
    pub hash: String,
}

/// Whether there is a connection pool between the API and PostgreSQL.
#[derive(Clone, Debug)]
pub enum Pooling {
    /// There is none.
    Off,
    /// There is this one.
    On(Box<PoolerPlan>),
    /// There should be one, and its configuration cannot be had.
    Barred,
}

impl Pooling {
    /// The connection pool, where there is one.
    pub fn plan(&self) -> Option<&PoolerPlan> {
        match self {
            Self::On(plan) => Some(plan),
            Self::Off | Self::Barred => None,
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
pub struct Way {
    /// The Secret that holds the URL.
    pub secret: String,
    /// The entry of the Secret that holds the URL.
    pub key: String,
    /// A hash that changes with anything that the API must know.
    pub hash: String,
    /// A hash that changes when it is another database, or the way to it is another.
    pub mark: String,
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
    /// How many pods a part that the API needs is to have: none while nothing is to run, but not
    /// before the API's last requests are answered.
    pub fn unless_suspended(&self, replicas: i32) -> i32 {
        if self.suspended && !self.api.has_pods { 0 } else { replicas }
    }

    /// The way by which the API is to reach the database, when it is known.
    pub fn way(&self) -> Option<Way> {
        let access = self.access.as_ref()?;
        match &self.pooling {
            Pooling::Off => Some(Way {
                secret: access.secret.clone(),
                key: access.key.clone(),
                hash: access.hash.clone(),
                mark: hash([access.identity.as_str(), "direct"]),
            }),
            Pooling::On(pooler) => Some(Way {
                secret: self.names.pooler(),
                key: "DATABASE_URL".into(),
                hash: pooler.credentials.hash(),
                mark: hash([access.identity.as_str(), "pooler"]),
            }),
            Pooling::Barred => None,
        }
    }

    /// Whether the API that runs works on what is wanted, on all its pods, so that nobody needs what
    /// it worked on before.
    pub fn api_has_moved(&self) -> bool {
        let Some(live) = &self.api.live else { return true };
        let wanted = self.way().map(|way| way.mark);
        live.rolled_out && wanted.is_some() && live.database == wanted
    }

    /// Whether the API that runs works on another database than is wanted, or by another way.
    pub fn api_is_elsewhere(&self) -> bool {
        let wanted = self.way().map(|way| way.mark);
        self.api.live.as_ref().is_some_and(|live| live.database != wanted)
    }
}
