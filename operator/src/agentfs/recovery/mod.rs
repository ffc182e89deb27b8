//! What an AgentFS says of its recovery: whether its backups are young, proven and drilled, and what was measured.
//!
//! It goes by the records of backups and drills ([`records`]), which the pods write that make and try them, and by what
//! Kubernetes tells of the CronJobs of these pods ([`runs`]). The catalogue at the destination is the truth, which the pods read;
//! the operator reads none.

pub mod drilled;
pub mod durations;
pub mod fresh;
pub mod objectives;
pub mod records;
pub mod runs;
pub mod status;
pub mod times;
pub mod verified;

use crate::crd::agentfs::{AgentFSStatus, DrillStatus};
use crate::crd::{AgentFSBackup, AgentFSDrill};
use crate::kit::reads::{Reader, read};

/// What was seen of the recovery of one AgentFS.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The records of its backups, and requests for some.
    pub backups: Vec<AgentFSBackup>,
    /// The records of its drills, and requests for some.
    pub drills: Vec<AgentFSDrill>,
    /// The newest drill that passed, as the status remembers it: the records of drills may be gone.
    pub remembered: Option<DrillStatus>,
}

impl Seen {
    /// Reads it; `former` is what was said of the AgentFS last.
    pub async fn read(
        reader: Reader<'_>,
        former: Option<&AgentFSStatus>,
    ) -> Result<Self, kube::Error> {
        let remembered = former.and_then(|status| status.backup.as_ref()?.drill.clone());
        let mut seen = read!(Self {
            backups: reader.all(),
            drills: reader.all(),
            remembered: std::future::ready(Ok(remembered)),
        });
        let name = &reader.owner().name;
        seen.backups.retain(|backup| backup.spec.agent_fs == *name);
        seen.drills.retain(|drill| drill.spec.agent_fs == *name);
        Ok(seen)
    }
}
