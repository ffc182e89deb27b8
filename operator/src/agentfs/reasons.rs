//! The reasons of conditions: one word each, for programs.
//!
//! `docs/TROUBLESHOOTING.md` tells of every one what it means and what to do; a test holds it to that.

/// Declares the reasons once: as an enum, as their words, and as a list of all.
macro_rules! reasons {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// Why a condition is as it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])+ $name,)+
        }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word that a condition shows.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

reasons! {
    /// Everything works as the spec asks.
    Ready,
    /// Nothing is on its way.
    Settled,
    /// The Secrets are there and can be used.
    Present,
    /// PostgreSQL takes connections.
    Running,
    /// The external database is in use.
    Reachable,
    /// The schema fits the server's image.
    Migrated,
    /// The pods answer.
    Serving,
    /// A CronJob makes backups.
    Scheduled,
    /// The newest backup is young enough.
    Fresh,
    /// No backup was made yet, and none is due.
    NoBackupYet,
    /// The first backup is being made.
    BackingUp,
    /// The operator has not come to it.
    NotSeenYet,
    /// Pods are starting.
    Starting,
    /// Pods are being replaced.
    RollingOut,
    /// The Secrets have to be mended first.
    AwaitingCredentials,
    /// The database has to be there first.
    AwaitingDatabase,
    /// The schema has to be there first.
    AwaitingSchema,
    /// The schema is being migrated.
    Migrating,
    /// An object of the name is being deleted.
    AwaitingDeletion,
    /// Nothing has connected to the external database.
    NotReachedYet,
    /// `spec.suspend` is true.
    Suspended,
    /// `spec.suspend` is true, and pods are leaving.
    Stopping,
    /// `spec.api.replicas` is 0.
    ScaledToZero,
    /// A field of the spec is wrong.
    InvalidSpec,
    /// A Secret that the spec names is not there.
    SecretMissing,
    /// A Secret is there and cannot be used as it is.
    CredentialsUnusable,
    /// Another AgentFS works on the database.
    DatabaseInUse,
    /// An object of the name belongs to somebody else.
    NameTaken,
    /// A quota of the namespace is used up.
    QuotaExceeded,
    /// The API server refuses an object.
    ObjectRefused,
    /// The API server refuses pods.
    PodsRefused,
    /// The database's volume is not there.
    VolumePending,
    /// No node takes a pod.
    Unschedulable,
    /// An image cannot be had.
    ImagePullFailed,
    /// A container cannot be started.
    ContainerRefused,
    /// A container ends again and again.
    Crashing,
    /// The migration of the schema failed.
    MigrationFailed,
    /// The API pods cannot reach the database.
    DatabaseUnreachable,
    /// The API pods need a newer schema.
    SchemaTooOld,
    /// The API pods need an older schema.
    SchemaTooNew,
    /// The last backup failed.
    BackupFailed,
    /// The newest backup is too old.
    BackupOverdue,
    /// The autoscaler does not know what to go by.
    AutoscalingFailed,
    /// The API pods are not ready for another reason, which they tell.
    NotReady,
}

impl Reason {
    /// The reason that an API pod gives in its `/readyz`; a word that is not known here is
    /// [`Reason::NotReady`], and the pod's sentence tells the rest.
    pub fn of_api_pod(word: &str) -> Self {
        let own = [Self::DatabaseUnreachable, Self::SchemaTooOld, Self::SchemaTooNew];
        own.into_iter().find(|reason| reason.as_str() == word).unwrap_or(Self::NotReady)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
