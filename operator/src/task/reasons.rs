//! The reasons of the conditions of what is carried out once, besides those that objects of any kind can give.

pub use crate::agentfs::reasons::{AWAITING_BACKUP, SUSPENDED};
pub use crate::kit::reasons::SCRATCH_TOO_SMALL;
use crate::kit::reasons::{AWAITING_RECONCILE, reasons};

/// Whether a task whose Job does not run would begin at once, were it its turn, given the reason of its Ready. The others wait
/// for something of their own.
pub fn is_about_to(reason: &str) -> bool {
    let words = [AWAITING_RECONCILE, AWAITING_TURN, SUSPENDED, RUNNING, TRYING_AGAIN];
    words.iter().any(|word| word.as_str() == reason)
}

reasons! {
    /// It was carried out.
    SUCCEEDED = "Succeeded",
    /// A resource of this name and spec was carried out before.
    ALREADY_DONE = "AlreadyDone",
    /// It is under way.
    RUNNING = "Running",
    /// A try failed, and the next one comes by itself.
    TRYING_AGAIN = "TryingAgain",
    /// Another one of the same AgentFS is carried out first.
    AWAITING_TURN = "AwaitingTurn",
    /// There is no such AgentFS.
    AGENTFS_MISSING = "AgentFSMissing",
    /// The AgentFS has no backups yet.
    AWAITING_AGENTFS = "AwaitingAgentFS",
    /// The AgentFS has no backups, since they are turned off.
    BACKUPS_OFF = "BackupsOff",
    /// The AgentFSBackup that is to be restored is not there, or holds no backup.
    NO_SUCH_BACKUP = "NoSuchBackup",
    /// It was carried out, and failed.
    FAILED = "Failed",
    /// Another pod has a volume that one pod may have at a time.
    VOLUME_IN_USE = "VolumeInUse",
    /// It is deleted, and its backup before it.
    DELETING = "Deleting",
    /// Its backup could not be deleted.
    DELETION_FAILED = "DeletionFailed",
    /// A backup is gone from its destination.
    VANISHED = "Vanished",
}
