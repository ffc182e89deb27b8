//! The records of backups and drills in Kubernetes: AgentFSBackups and AgentFSDrills, written by the pods that do the work, so that
//! they are there though the operator is not. The catalogue is the truth; a record that is lost or late is made again from it.

mod difference;
mod drills;
mod error;
pub mod facts;
mod kubernetes;
mod writing;

use std::time::Duration;

use agentfs_contract::record::PLURAL;
use agentfs_contract::setting::{BACKUP_INSTANCE, RECORD, RECORDS_OF};
use jiff::Timestamp;
use tokio::time::timeout;

use self::difference::{Existing, Known};
pub use self::drills::keep_drill;
pub use self::error::RecordsError;
pub use self::kubernetes::{Kubernetes, KubernetesError};
pub use self::writing::Written;
use crate::recovery::catalogue::Catalogue;
use crate::recovery::storage::Storage;
use crate::recovery::{Instance, Location, Retention};
use crate::settings::setting;

/// How long records may take at the end of a command: Kubernetes does not wait for ever.
const WITHIN: Duration = Duration::from_mins(1);

/// What a command knows of backups that records are to say.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Where the backups are.
    pub location: &'a Location,
    /// The instance of the AgentFS, where that is known.
    pub instance: Option<&'a Instance>,
    /// The id of the backup that was made.
    pub made: Option<&'a str>,
    /// The backups that were removed, by folder and id.
    pub removed: &'a [String],
    /// Which backups expire, where that is known.
    pub retention: Option<&'a Retention>,
}

impl<'a> Run<'a> {
    /// Of a location of which no more is known.
    pub fn at(location: &'a Location) -> Self {
        Self { location, instance: None, made: None, removed: &[], retention: None }
    }
}

/// Brings the records in line with the catalogue, where this process is to. A failure is logged: the next run mends it.
pub async fn keep(run: Run<'_>) {
    let Some(agentfs) = setting(RECORDS_OF) else { return };
    let kept = timeout(WITHIN, Box::pin(bring_in_line(&agentfs, run))).await;
    let failure = match kept {
        Ok(Ok(_)) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it took longer than {} s", WITHIN.as_secs()),
    };
    tracing::warn!(
        "the AgentFSBackups of {agentfs} do not say what the catalogue does: {failure}; the next backup, verification or \
         `agentfs-server catalog sync` mends that"
    );
}

/// Brings the records in line with the catalogue; tells how many were changed. Without an instance one is taken by which the
/// backups can be told: by BACKUP_INSTANCE, or the only one there is.
pub async fn sync(run: Run<'_>) -> Result<Written, RecordsError> {
    let agentfs = setting(RECORDS_OF).ok_or(RecordsError::NoAgentFS)?;
    Box::pin(bring_in_line(&agentfs, run)).await
}

async fn bring_in_line(agentfs: &str, run: Run<'_>) -> Result<Written, RecordsError> {
    let kubernetes = Kubernetes::of_pod()?;
    let storage = Storage::open(run.location).await?;
    // Before the catalogue: a record of a backup that is made meanwhile is of none that has vanished.
    let objects = kubernetes.list(PLURAL).await?;
    let catalogue = Catalogue::read(&storage).await?;
    let existing: Vec<Existing> =
        objects.iter().filter_map(|object| Existing::read(object, agentfs)).collect();
    let copy = setting(BACKUP_INSTANCE);
    let ours = ours(&catalogue, run.instance, copy.as_deref());
    let (ours, is_known) = (ours.as_deref().unwrap_or_default(), ours.is_some());
    let asked = setting(RECORD);
    let known = Known {
        agentfs,
        location: run.location,
        catalogue: &catalogue,
        ours,
        removed: run.removed,
        retention: run.retention,
        asked: asked.as_deref().zip(run.made),
        now: Timestamp::now(),
    };
    let written = writing::write(&kubernetes, agentfs, known.differs_from(&existing)).await?;
    // What there are records of is told even so.
    if is_known { Ok(written) } else { Err(RecordsError::Whose(catalogue.instances().join(", "))) }
}

/// The instances whose backups are the AgentFS's; `None` where that is not known.
fn ours(
    catalogue: &Catalogue,
    known: Option<&Instance>,
    copy: Option<&str>,
) -> Option<Vec<Instance>> {
    if let Some(known) = known {
        return Some(vec![known.clone()]);
    }
    let all = catalogue.instances().into_iter().map(Instance::named);
    match copy {
        Some(copy) => Some(all.filter(|instance| instance.is_of(copy)).collect()),
        None => (all.len() <= 1).then(|| all.collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::difference::tests::{backup, catalogue};
    use super::*;

    #[test]
    fn whose_backups_are_meant_is_never_guessed() {
        let of = |instances: &[&str]| {
            let backups = instances.iter().enumerate();
            catalogue(backups.map(|(hours, name)| backup(name, hours as i64)).collect())
        };
        let names = |catalogue: &Catalogue, known: Option<&Instance>, copy| {
            let ours = ours(catalogue, known, copy)?;
            Some(ours.iter().map(|instance| instance.name().to_owned()).collect::<Vec<_>>())
        };
        let some = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        let two = of(&["7-1-agentfs-claim", "8-1-agentfs"]);
        assert_eq!(names(&two, None, None), None);
        assert_eq!(names(&two, None, Some("claim")), some(&["7-1-agentfs-claim"]));
        assert_eq!(names(&two, None, Some("another")), some(&[]));
        let lost = Instance::named("9-1-a");
        assert_eq!(names(&two, Some(&lost), Some("claim")), some(&["9-1-a"]));
        let one = of(&["8-1-agentfs", "8-1-agentfs"]);
        assert_eq!(names(&one, None, None), some(&["8-1-agentfs"]));
        assert_eq!(names(&one, None, Some("claim")), some(&[]));
        assert_eq!(names(&of(&[]), None, None), some(&[]));
    }
}
