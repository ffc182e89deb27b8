//! Which database an embedded PostgreSQL has, so that an empty volume never takes the place of one that held data without a
//! word.
//!
//! The Secret of the credentials names the database that was migrated, and while it does, the entrypoint of the image makes no
//! other one. Who wants an empty one names the lost one in an annotation of the AgentFS.

use k8s_openapi::ByteString;
use kube::ResourceExt;

use super::loss::refuses_to_start_empty;
use super::objects::Seen;
use super::plan::is_ready;
use crate::agentfs::database::access::fingerprints;
use crate::agentfs::parts::api::objects::COMPONENT;
use crate::agentfs::parts::migration::plan::Next;
use crate::agentfs::server_deployment::Live;
use crate::agentfs::validate::PlanInputs;
use crate::kit::digest::hash;
use crate::kit::secrets::{data, text};

/// The annotation of an AgentFS by which somebody lets PostgreSQL start empty in place of the database that it names.
pub const START_EMPTY: &str = "agentfs.io/start-empty";
/// The kind of database in the status.
pub const KIND: &str = "embedded";
/// The entry of the Secret that names the database that was migrated.
pub const EXPECTED: &str = "expected-database";
/// The entry of the Secret that names the lost database in whose place an empty one was made.
const REPLACED: &str = "replaced-database";

/// Which database it is, and which it was.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The database in the volume, or the one to be made in it; `None` where there is no volume yet.
    pub current: Option<String>,
    /// The database that was migrated: no empty one takes its place.
    pub expected: Option<String>,
    /// The lost database in whose place somebody wanted an empty one.
    pub replaced: Option<String>,
}

impl Identity {
    /// What the Secret and the status know. A consent counts only for the database that it names, and only once that is gone:
    /// PostgreSQL found its volume empty, or the claim is another one.
    pub fn of(inputs: &PlanInputs<'_>) -> Self {
        let seen = &inputs.observed.parts.database;
        let entry = |key| seen.credentials.as_ref().and_then(|secret| text(secret, key).ok());
        let former = inputs.former.and_then(|status| status.database.as_ref());
        let former = former.filter(|of| of.kind == KIND).and_then(|of| of.identity.clone());
        let mut replaced = entry(REPLACED);
        let mut current = current(seen, replaced.as_deref());
        let expected = entry(EXPECTED).or(former).filter(|of| Some(of) != replaced.as_ref());
        let mut expected = expected.or_else(|| current.clone().filter(|of| is_served(of, inputs)));
        let is_another = current.is_some() && current != expected;
        let is_lost = is_another || refuses_to_start_empty(inputs.observed);
        let is_gone = is_lost && seen.leaving.is_none() && !is_ready(seen);
        if is_gone && expected.is_some() && expected.as_deref() == inputs.start_empty {
            replaced = expected.take();
            current = self::current(seen, replaced.as_deref());
        }
        Self { current, expected, replaced }
    }

    /// The entries of the Secret that hold it; `next` tells whether the current database is migrated.
    pub fn entries(&self, next: Option<Next>) -> impl Iterator<Item = (String, ByteString)> {
        let is_migrated = matches!(next, Some(Next::Done { .. }));
        let expected = self.current.as_ref().filter(|_| is_migrated).or(self.expected.as_ref());
        // Left out, the entry would stay in a Secret that another manager owns too, for example one that was restored.
        let none = self.replaced.as_ref().map(|_| "");
        let expected = expected.map(String::as_str).or(none).map(|of| data(EXPECTED, of));
        expected.into_iter().chain(self.replaced.as_ref().map(|of| data(REPLACED, of)))
    }

    /// A hash of what PostgreSQL's pod must know: the credentials', and another one once an empty database is wanted.
    pub fn pod_hash(&self, credentials: String) -> String {
        match &self.replaced {
            Some(replaced) => hash([credentials.as_str(), replaced]),
            None => credentials,
        }
    }
}

/// The database in the volume: another volume is another one, and so is one that begins anew in the same volume.
fn current(seen: &Seen, replaced: Option<&str>) -> Option<String> {
    let claim = seen.volume.as_ref().or(seen.leaving.as_deref());
    claim.and_then(ResourceExt::uid).map(|uid| match replaced {
        Some(replaced) => hash([uid.as_str(), replaced]),
        None => uid,
    })
}

/// Whether an API is there that works on the database, which is then migrated: operators before 0.2 noted it nowhere else.
fn is_served(database: &str, inputs: &PlanInputs<'_>) -> bool {
    let api = inputs.observed.parts.api.deployment.as_ref();
    let of = api.and_then(|api| Live::of(api, COMPONENT)?.database);
    of.is_some_and(|of| fingerprints(database).contains(&of))
}
