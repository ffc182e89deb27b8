//! The database of an AgentFS: one that the operator runs, or one that somebody else runs. Only here it
//! is known which kinds there are.

use self::access::Access;
use self::embedded::identity::{EXPECTED, KIND};
use self::embedded::plan::{EmbeddedPlan, Kept};
use self::external::uses::was_migrated;
use super::names::Names;
use super::observe::Observed;
use super::parts::Children;
use super::parts::migration::plan::Next;
use super::status_inputs::StatusInputs;
use super::validate::PlanInputs;
use crate::crd::agentfs::{AgentFSStatus, DatabaseStatus};
use crate::kit::blockers::Blocker;
use crate::kit::conditions::State;
use crate::kit::desired::Applied;
use crate::kit::secrets::text;
use crate::kit::validation::Invalid;
use crate::kit::volumes::size;

pub mod access;
pub mod credentials;
pub mod trust;
pub mod url;

/// A PostgreSQL that the operator runs.
pub mod embedded {
    pub mod condition;
    pub mod identity;
    pub mod loss;
    pub mod objects;
    pub mod plan;
}
/// A PostgreSQL that somebody else runs.
pub mod external {
    pub mod condition;
    pub mod plan;
    pub mod uses;
}

/// The kind of database in the status of one that somebody else runs.
const EXTERNAL: &str = "external";

/// The database takes connections.
pub const DATABASE_READY: &str = "DatabaseReady";

/// The database to be.
#[derive(Clone, Debug)]
pub struct Database {
    /// Which kind it is.
    pub kind: DatabasePlan,
    /// How clients reach it, when that is known.
    pub access: Option<Access>,
    /// What an embedded database has, or has left.
    pub kept: Kept,
}

/// The kinds of databases.
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

impl Database {
    /// The database that the spec asks for.
    pub fn plan(inputs: &PlanInputs<'_>, blockers: &mut Vec<Blocker>) -> Result<Self, Invalid> {
        let kept = Kept::of(inputs);
        let database = &inputs.spec.database;
        match (&database.embedded, &database.external) {
            (Some(embedded), None) => {
                let plan = embedded::plan::plan(embedded, &kept, inputs, blockers)?;
                let access = embedded::plan::access(&plan, &kept, inputs);
                Ok(Self { kind: DatabasePlan::Embedded(Box::new(plan)), access, kept })
            }
            (None, Some(external)) => {
                let access = external::plan::access(external, inputs, blockers);
                let secret = external.secret_ref.name.clone();
                Ok(Self { kind: DatabasePlan::External { secret }, access, kept })
            }
            _ => Err(Invalid {
                field: "spec.database",
                problem: "set exactly one of embedded, external".into(),
            }),
        }
    }

    /// The plan of the one that the operator runs.
    pub fn embedded(&self) -> Option<&EmbeddedPlan> {
        match &self.kind {
            DatabasePlan::Embedded(plan) => Some(plan),
            DatabasePlan::External { .. } => None,
        }
    }

    /// Whether it takes connections, or is somebody else's to look after.
    pub fn is_ready(&self, observed: &Observed) -> bool {
        match self.kind {
            DatabasePlan::Embedded(_) => embedded::plan::is_ready(&observed.parts.database),
            DatabasePlan::External { .. } => true,
        }
    }

    /// The Secret that holds its credentials.
    pub fn secret(&self, names: &Names) -> String {
        match &self.kind {
            DatabasePlan::Embedded(_) => names.credentials(),
            DatabasePlan::External { secret } => secret.clone(),
        }
    }

    /// What the status says of it.
    pub fn status(&self, children: &Children<Applied>) -> DatabaseStatus {
        match self.kind {
            DatabasePlan::Embedded(_) => {
                let secret = children.database.credentials.as_ref();
                let identity = secret.and_then(|secret| text(secret, EXPECTED).ok());
                let volume_size = children.database.volume.as_ref().and_then(size);
                DatabaseStatus { kind: KIND.into(), identity, migrated: None, volume_size }
            }
            DatabasePlan::External { .. } => {
                let identity = self.access.as_ref().map(|access| access.identity.clone());
                let is_migrated = matches!(children.migration.next, Next::Done { .. });
                let migrated = is_migrated.then_some(true);
                DatabaseStatus { kind: EXTERNAL.into(), identity, migrated, volume_size: None }
            }
        }
    }
}

impl StatusInputs<'_> {
    /// The database.
    pub fn database(&self) -> State {
        match self.plan.parts.database.kind {
            DatabasePlan::Embedded(_) => self.embedded(),
            DatabasePlan::External { .. } => self.external(),
        }
    }

    /// What to look at when an external database does not answer.
    pub fn check_the_secret(&self) -> String {
        let database = &self.plan.parts.database;
        match (&database.kind, &database.access) {
            (DatabasePlan::External { .. }, Some(access)) => format!(
                " Check that PostgreSQL runs at {} and that Secret {}/{} key {} is right.",
                access.url.endpoint(),
                self.plan.owner.namespace,
                access.secret,
                access.key
            ),
            _ => String::new(),
        }
    }
}

/// What is known of the database `now`, and what was known before of what is not: while a Secret is
/// broken, the database is still the one that it led to, and one that was migrated stays so.
pub fn remembered(now: DatabaseStatus, former: Option<&AgentFSStatus>) -> DatabaseStatus {
    let before = former.and_then(|status| status.database.as_ref());
    let kept = before.filter(|before| before.kind == now.kind).and_then(|of| of.identity.clone());
    let identity = now.identity.or(kept);
    let same = before.filter(|of| of.kind == EXTERNAL && of.identity == identity).and(former);
    let migrated = now.migrated.or_else(|| same.filter(|of| was_migrated(of)).map(|_| true));
    DatabaseStatus { identity, migrated, ..now }
}
