//! What is told of an embedded database whose data will be lost, or is lost.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt as _;

use super::identity::START_EMPTY;
use super::objects::COMPONENT;
use super::plan::{EmbeddedPlan, Kept};
use crate::agentfs::names::SECRET_HASH;
use crate::agentfs::observe::Observed;
use crate::agentfs::reasons;
use crate::agentfs::status_inputs::StatusInputs;
use crate::agentfs::validate::PlanInputs;
use crate::kit::blockers::{Blocker, will_lose};
use crate::kit::conditions::{Failure, clock};
use crate::kit::pods;
use crate::kit::reasons::VOLUME_BEING_DELETED;
use crate::kit::volumes::keep_the_volume;

/// What the image's entrypoint ends with when it would have to make an empty database in place of one that held data
/// (`EX_NOINPUT` of sysexits.h).
pub const REFUSES_TO_START_EMPTY: i32 = 66;
/// The chapter of `docs/OPERATIONS.md` that tells what to do.
const CHAPTER: &str = "docs/OPERATIONS.md says under \"After a lost volume\"";

/// Tells of a claim that is being deleted what is lost with it, where it holds a database that was migrated.
pub fn warn(plan: &EmbeddedPlan, kept: &Kept, inputs: &PlanInputs<'_>, blockers: &mut [Blocker]) {
    let Some(claim) = inputs.observed.parts.database.leaving.as_deref() else { return };
    if kept.identity.expected.is_some() {
        will_lose(blockers, claim, loss(claim, plan, inputs));
    }
}

fn loss(claim: &PersistentVolumeClaim, plan: &EmbeddedPlan, inputs: &PlanInputs<'_>) -> Failure {
    let (namespace, pod) = (&inputs.owner.namespace, inputs.names.postgres_pod());
    let backup = if inputs.spec.backup.enabled {
        let cronjob = inputs.names.backup();
        format!("kubectl create job -n {namespace} --from=cronjob/{cronjob} {cronjob}-now")
    } else {
        let (user, database) = plan
            .credentials
            .as_ref()
            .map_or(("agentfs", "agentfs"), |of| (of.username.as_str(), of.database.as_str()));
        format!(
            "kubectl exec -n {namespace} {pod} -- pg_dump -Fc -U {user} {database} > {database}.dump"
        )
    };
    Failure::new(
        VOLUME_BEING_DELETED,
        format!(
            "PersistentVolumeClaim {} is being deleted: all data of the AgentFS is lost when the pod {pod} ends",
            claim.name_any()
        ),
        format!(
            "Make a backup now: {backup}. {} {}The deletion cannot be undone; {CHAPTER} how to go on.",
            newest(inputs.newest_backup()),
            keep_the_volume(claim),
        ),
    )
}

/// The pods of PostgreSQL that ended since they found their volume empty.
fn refusing(observed: &Observed) -> impl Iterator<Item = &Pod> {
    let refuses = |pod: &&Pod| pods::ended_with(pod, REFUSES_TO_START_EMPTY, observed.now);
    observed.pods_of(COMPONENT).into_iter().filter(refuses)
}

/// Whether PostgreSQL found its volume empty, where a database is expected.
pub fn refuses_to_start_empty(observed: &Observed) -> bool {
    refusing(observed).next().is_some()
}

impl StatusInputs<'_> {
    /// Whether a pod of PostgreSQL that refused to start empty is to be replaced: it is the one from before somebody wanted an
    /// empty database.
    pub fn is_replaced_to_start_empty(&self) -> bool {
        let set = self.children.database.postgres.as_ref();
        let wanted = set.and_then(|set| set.spec.as_ref()?.template.metadata.as_ref());
        let wanted = wanted.and_then(|template| template.annotations.as_ref()?.get(SECRET_HASH));
        refusing(self.observed).any(|pod| pod.annotations().get(SECRET_HASH) != wanted)
    }

    /// That the data is lost: PostgreSQL's pod found its volume empty.
    pub fn data_loss(&self) -> Option<Failure> {
        let expected = self.plan.parts.database.kept.identity.expected.as_ref()?;
        if !refuses_to_start_empty(self.observed) {
            return None;
        }
        let names = &self.plan.names;
        let owner = &self.plan.owner;
        Some(Failure::new(
            reasons::DATA_LOST,
            format!(
                "The volume of PostgreSQL ({}) is empty: the data that it held is lost, and no empty database replaces it unless \
                 you ask for one",
                names.volume()
            ),
            format!(
                "{} {CHAPTER} how to restore it. To start empty, which a restore needs as well: kubectl annotate agentfs -n {} \
                 {} --overwrite {START_EMPTY}={expected}",
                newest(self.plan.parts.backup.last),
                owner.namespace,
                owner.name
            ),
        ))
    }
}

/// A sentence on the newest backup.
fn newest(at: Option<Timestamp>) -> String {
    at.map_or_else(
        || "No backup is known.".into(),
        |at| format!("The newest backup is of {}.", clock(at)),
    )
}
