//! The reasons of the conditions of an AgentFSRestore, besides those of tasks of any kind.

pub use crate::agentfs::reasons::{AWAITING_RESTORE, AWAITING_SCHEMA};
use crate::kit::reasons::reasons;

reasons! {
    /// The image of the AgentFS may be older than what carries a restore out once.
    IMAGE_TOO_OLD = "ImageTooOld",
    /// The AgentFSRestore that is to be undone is not there.
    NO_SUCH_RESTORE = "NoSuchRestore",
    /// The AgentFSRestore that is to be undone cannot be.
    CANNOT_BE_UNDONE = "CannotBeUndone",
    /// The volume of the database has no room for a second copy.
    VOLUME_TOO_SMALL = "VolumeTooSmall",
}
