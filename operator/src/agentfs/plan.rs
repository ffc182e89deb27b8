//! The plan for one AgentFS: checked input from which every object can be built.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::database::access::{Access, DatabaseRoute, fingerprints};
use super::names::Names;
use super::parts::Plans;
use super::parts::migration::plan::Next;
use super::server_deployment::Live;
use crate::crd::agentfs::DeletionPolicy;
use crate::crd::fields::ImagePullSecret;
use crate::kit::blockers::Blocker;
use crate::kit::labels::Component;
use crate::kit::ownership::Owner;
use crate::kit::pod::PodAccount;
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
    /// The images whose servers are known to have a port for probes and metrics alone. A probe of a port that nobody serves
    /// would restart the pods for ever.
    pub with_operations_port: BTreeSet<String>,
    /// What becomes of the data when the AgentFS is deleted; the backups have a policy of their own.
    pub deletion_policy: DeletionPolicy,
    /// Whether nothing is to run.
    pub suspended: bool,
    /// The Secrets by which the images are pulled.
    pub image_pull_secrets: Vec<ImagePullSecret>,
    /// The parts.
    pub parts: Plans,
    /// Whether pods that use the database by way of the server are there, those that leave included.
    pub has_clients: bool,
    /// What keeps some parts from being made.
    pub blockers: Vec<Blocker>,
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

impl Plan {
    /// Metadata of an object that outlives its AgentFS, unless its `policy` says that it does not.
    pub fn kept(&self, policy: DeletionPolicy, name: String, component: Component) -> ObjectMeta {
        match policy {
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
        let access = self.parts.database.access.as_ref()?;
        let [direct, by_pool] = fingerprints(&access.identity);
        match &self.parts.pooler {
            Part::Disabled => Some(DatabaseRoute {
                secret: access.secret.clone(),
                key: access.key.clone(),
                authority: access.authority.clone(),
                hash: access.hash.clone(),
                fingerprint: direct,
            }),
            Part::Enabled(pooler) => Some(DatabaseRoute {
                secret: self.names.pooler(),
                key: "DATABASE_URL".into(),
                authority: None,
                hash: pooler.credentials.hash(),
                fingerprint: by_pool,
            }),
            Part::Blocked => None,
        }
    }

    /// Whether servers of `image` have a port for probes and metrics alone.
    pub fn has_operations_port(&self, image: &str) -> bool {
        self.with_operations_port.contains(image)
    }

    /// Whether all that runs works on what is wanted, on all its pods, so that nobody needs what it
    /// worked on before.
    pub fn has_moved(&self) -> bool {
        let wanted = self.route().map(|route| route.fingerprint);
        let moved = |live: &Live| live.rolled_out && wanted.is_some() && live.database == wanted;
        self.parts.live().all(moved)
    }

    /// Whether something runs that works on another database than is wanted, or by another route.
    pub fn is_elsewhere(&self) -> bool {
        let wanted = self.route().map(|route| route.fingerprint);
        let elsewhere = |live: &Live| live.database != wanted;
        self.parts.live().any(elsewhere)
    }

    /// The access of what runs beside the server's pods. None while these work on another database than is wanted and the
    /// wanted one is not migrated: what they use is left as it is.
    pub fn access_once_migrated(&self, next: Next) -> Option<&Access> {
        let held = self.is_elsewhere() && !matches!(next, Next::Done { .. });
        self.parts.database.access.as_ref().filter(|_| !held)
    }

    /// The image that pods of the server are to have. A new image, and another database, are rolled out
    /// only when the schema is there. Until then pods of the previous image go on; pods on another
    /// database are left as they are.
    pub fn server_image<'a>(&'a self, live: Option<&'a Live>, next: Next) -> Option<&'a str> {
        if matches!(next, Next::Done { .. }) {
            return Some(&self.images.server);
        }
        let wanted = self.route().map(|route| route.fingerprint);
        live.filter(|live| live.database == wanted)?.image.as_deref()
    }
}
