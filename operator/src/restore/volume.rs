//! The volume of an embedded database, which a restore loads a second copy into.

use agentfs_contract::setting::POSTGRES_VOLUME_SIZE;
use agentfs_contract::termination::VolumeTooSmall;

use super::reasons::VOLUME_TOO_SMALL;
use crate::crd::{AgentFS, AgentFSRestore};
use crate::kit::conditions::Failure;
use crate::kit::sentences::without_full_stop;
use crate::task::Task as _;

/// The field of the AgentFS that says how large it is to be.
const FIELD: &str = "spec.database.embedded.storage.size";

/// The variable by which the Job knows how large it is. None where the database is somebody else's.
pub(super) fn size(agentfs: Option<&AgentFS>) -> Option<(&'static str, String)> {
    let database = agentfs?.status.as_ref()?.database.as_ref()?;
    let bytes = database.volume_size.as_ref()?.bytes()?;
    Some((POSTGRES_VOLUME_SIZE, format!("{}kB", bytes >> 10)))
}

/// That it is too small, where the pod of `restore` `left` that.
pub(super) fn too_small(restore: &AgentFSRestore, left: &str) -> Option<Failure> {
    let VolumeTooSmall { message, volume_bytes, .. } = VolumeTooSmall::read(left)?;
    Some(Failure::new(
        VOLUME_TOO_SMALL,
        format!("The restore failed: {}", without_full_stop(&message)),
        format!(
            "Set {FIELD} of the AgentFS to {}Gi or more, {}.",
            volume_bytes.div_ceil(1 << 30),
            restore.afterwards()
        ),
    ))
}
