//! The first call of a reconcile: read everything that belongs to one AgentFS.
//!
//! It reads from the API server, not from a cache, so that the decisions that follow are made on what
//! is true now; a reconcile is rare enough for that.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::{Client, ResourceExt};

use super::database::external::uses::{self, DatabaseUse};
use super::names::{API_PORT, Names, OPERATIONS};
use super::parts::{Seen, TELLING, claims, stray, stuck};
use super::recovery;
use super::references::{self, References};
use crate::crd::AgentFS;
use crate::kit::blockers::{Blocker, OwnershipFilter};
use crate::kit::conditions::Failure;
use crate::kit::labels::Component;
use crate::kit::ownership::Owner;
use crate::kit::pods;
use crate::kit::readiness::{Readiness, Unready};
use crate::kit::reads::{Reader, read};
use crate::kit::volumes::{Growth, growth};
use crate::kit::warnings::warnings;

/// Everything that was seen of one AgentFS at one moment.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// When it was seen.
    pub now: Timestamp,
    /// The objects of its parts.
    pub parts: Seen,
    /// The records of its backups and drills.
    pub recovery: recovery::Seen,
    /// What of others the spec names.
    pub references: References,
    /// The pods of all parts, by name.
    pub pods: Vec<Pod>,
    /// PostgreSQL's pod, where the labels by which it is found are not on it.
    pub stray: Option<Pod>,
    /// What Kubernetes says of objects that are stuck, by the object's name.
    pub warnings: BTreeMap<String, String>,
    /// Whether volumes of the classes grow of which some are to.
    pub growth: BTreeMap<String, Growth>,
    /// Why pods say that they are not ready: one of each component.
    pub unready: Vec<(Component, Unready)>,
    /// The databases that others work on.
    pub database_uses: Vec<DatabaseUse>,
    /// What is there under our names and is not ours, or goes away.
    pub blockers: Vec<Blocker>,
}

impl Observed {
    /// Nothing seen at all: an AgentFS that is new.
    pub fn nothing(now: Timestamp) -> Self {
        Self { now, ..Self::default() }
    }

    /// The pods of one component.
    pub fn pods_of(&self, component: Component) -> Vec<&Pod> {
        self.pods.iter().filter(|pod| pods::is_of(pod, component)).collect()
    }

    /// What keeps a pod of a component from running, if anything is known.
    pub fn pod_failure(&self, component: Component) -> Option<Failure> {
        pods::failure(&self.pods_of(component), &self.warnings)
    }

    /// Why a pod of a component says that it is not ready.
    pub fn unready(&self, component: Component) -> Option<&Unready> {
        self.unready.iter().find(|(of, _)| *of == component).map(|(_, unready)| unready)
    }
}

/// What is read in one go.
struct Read {
    secrets: BTreeMap<String, Secret>,
    config_maps: BTreeMap<String, ConfigMap>,
    parts: Box<Seen>,
    recovery: recovery::Seen,
    pods: Vec<Pod>,
}

/// Reads everything that belongs to `agentfs`, which is `owner` and one of those that are `known`.
pub async fn observe(
    client: &Client,
    readiness: &dyn Readiness,
    known: &[Arc<AgentFS>],
    agentfs: &AgentFS,
    owner: &Owner,
) -> Result<Box<Observed>, kube::Error> {
    let names = &Names::new(&owner.name);
    let reader = Reader::new(client, owner);
    let Read { secrets, config_maps, parts, recovery, mut pods } = read!(Read {
        secrets: reader.get_all(references::secrets(&agentfs.spec)),
        config_maps: reader.get_all(references::config_maps(&agentfs.spec)),
        parts: Box::pin(Seen::read(reader, names)),
        recovery: Box::pin(recovery::Seen::read(reader, agentfs.status.as_ref())),
        pods: reader.labelled(),
    });
    pods.sort_by_key(ResourceExt::name_any);
    let mut filter = OwnershipFilter::new(owner);
    let mut observed = Box::new(Observed {
        parts: parts.owned(&mut filter, owner),
        recovery,
        references: References { secrets, config_maps },
        pods,
        database_uses: uses::of_others(known, agentfs),
        blockers: filter.blockers,
        ..Observed::nothing(Timestamp::now())
    });
    // The futures are large; on the heap they do not fill the stack of whoever waits for them.
    let growth = Box::pin(growth(reader, claims(&agentfs.spec, &observed.parts)));
    observed.growth = growth.await?;
    observed.stray = Box::pin(stray(reader, names, &observed)).await?;
    observed.warnings = Box::pin(warnings(reader, &stuck(&observed))).await?;
    let told = join_all(TELLING.map(|component| ask(readiness, &observed, component))).await;
    observed.unready = told.into_iter().flatten().collect();
    Ok(observed)
}

/// Why a pod of `component` is not ready, in its own words, where one is not.
async fn ask(
    readiness: &dyn Readiness,
    observed: &Observed,
    component: Component,
) -> Option<(Component, Unready)> {
    let mut pods = observed.pods_of(component).into_iter();
    let unready = pods.find_map(|pod| {
        let port = pods::port(pod, OPERATIONS).unwrap_or(API_PORT);
        Some(SocketAddr::new(pods::unready_ip(pod, observed.now)?, port))
    })?;
    Some((component, readiness.ask(unready).await?))
}
