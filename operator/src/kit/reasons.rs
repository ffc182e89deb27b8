//! The reasons of conditions: one word each, for programs.
//!
//! Each kind declares its own beside those here, which objects of any kind can give.

/// Why a condition is as it is: one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reason(&'static str);

impl Reason {
    /// The reason with this word.
    pub const fn new(word: &'static str) -> Self {
        Self(word)
    }

    /// The word that a condition shows.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// Declares reasons once: as constants, and as a list of all.
macro_rules! reasons {
    ($($(#[$doc:meta])+ $name:ident = $word:literal,)+) => {
        $($(#[$doc])+ pub const $name: $crate::kit::reasons::Reason =
            $crate::kit::reasons::Reason::new($word);)+

        /// Every reason that is declared here.
        pub const ALL: &[$crate::kit::reasons::Reason] = &[$($name,)+];
    };
}
pub(crate) use reasons;

reasons! {
    /// A field of the spec is wrong.
    INVALID_SPEC = "InvalidSpec",
    /// The operator has not reconciled the resource.
    AWAITING_RECONCILE = "AwaitingReconcile",
    /// A part is looked at once the spec is correct.
    AWAITING_SPEC = "AwaitingSpec",
    /// Everything works as the spec asks.
    READY = "Ready",
    /// An object of the name is being deleted.
    AWAITING_DELETION = "AwaitingDeletion",
    /// A Secret that the spec names is not there.
    SECRET_MISSING = "SecretMissing",
    /// A Secret is there and cannot be used as it is.
    CREDENTIALS_UNUSABLE = "CredentialsUnusable",
    /// An object of the name belongs to somebody else.
    NAME_TAKEN = "NameTaken",
    /// A quota of the namespace is used up.
    QUOTA_EXCEEDED = "QuotaExceeded",
    /// The API server refuses an object.
    OBJECT_REFUSED = "ObjectRefused",
    /// The API server refuses pods.
    PODS_REFUSED = "PodsRefused",
    /// The database's volume is not there.
    VOLUME_PENDING = "VolumePending",
    /// A volume is to be larger than it is, and cannot grow.
    VOLUME_CANNOT_GROW = "VolumeCannotGrow",
    /// A volume claim that holds data is being deleted.
    VOLUME_BEING_DELETED = "VolumeBeingDeleted",
    /// The volume that backups are restored into is full.
    SCRATCH_TOO_SMALL = "ScratchTooSmall",
    /// No node takes a pod.
    UNSCHEDULABLE = "Unschedulable",
    /// A node does not start a pod.
    POD_NOT_STARTED = "PodNotStarted",
    /// A pod lacks labels by which it is found.
    LABELS_MISSING = "LabelsMissing",
    /// An image cannot be had.
    IMAGE_PULL_FAILED = "ImagePullFailed",
    /// A container cannot be started.
    CONTAINER_REFUSED = "ContainerRefused",
    /// A container keeps exiting.
    CRASHING = "Crashing",
}
