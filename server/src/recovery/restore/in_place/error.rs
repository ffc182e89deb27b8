//! Errors of restores in place.

use std::io;
use std::path::PathBuf;

use uuid::Uuid;

use crate::recovery::error::RecoveryError;
use crate::store::StoreError;
use crate::store::connection::advisory_lock::Busy;
use crate::store::in_place::dependents::Dependent;
use crate::store::in_place::holder::HolderError;
use crate::store::in_place::properties::Unlike;
use crate::store::in_place::staging::NotOurs;
use crate::store::schema::SCHEMA_VERSION;

/// Why a restore in place, or its undoing, did not do what was asked. Before the switch nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum InPlaceError {
    /// Whoever was asked did not agree.
    #[error("nothing was changed: the answer was no")]
    NotAgreed,
    /// Another restore, backup or migration is under way.
    #[error("{0}")]
    Busy(Busy),
    /// DATABASE_URL leads to a pool.
    #[error(
        "DATABASE_URL leads to a connection pool in transaction mode, through which backups and migrations cannot be kept out: set it to \
         the URL of PostgreSQL itself"
    )]
    Pooled,
    /// The live schema is of a newer program.
    #[error(
        "nothing was changed: the live schema is version {0}, and this program knows up to {SCHEMA_VERSION}: use the agentfs-server that serves"
    )]
    NewerLive(i32),
    /// Another run has taken over.
    #[error(
        "the session that held the restore has ended, and another run has taken it over; nothing was changed by this one since"
    )]
    NotHolder,
    /// Others depend on the live tables.
    #[error("nothing was changed: others depend on the tables that would move: {}", told(.0))]
    Dependents(Vec<Dependent>),
    /// The tables would lack what the live ones have, and must not.
    #[error(
        "nothing was changed: the tables that are restored would not be like the live ones: {0}"
    )]
    Unlike(Unlike),
    /// A schema is not as a record has it.
    #[error(transparent)]
    NotOurs(NotOurs),
    /// There is nothing to undo.
    #[error("there is nothing to undo: {0}")]
    NothingToUndo(String),
    /// Another restore is the last one.
    #[error(
        "nothing was changed: the restore {asked} is not the last one in place, which was {last}, so what was live before {asked} is not kept \
         as that: restore a backup of before it in place"
    )]
    NotLast {
        /// The restore that was to be undone.
        asked: Uuid,
        /// The one that an undoing takes back now.
        last: Uuid,
    },
    /// The tables were not to be had.
    #[error(
        "nothing was changed: the tables could not be had within {seconds} s, since others held them ({holders}); wait for their end, or end them, then run this again"
    )]
    Held {
        /// How long it was tried.
        seconds: u64,
        /// The sessions, for people.
        holders: String,
    },
    /// There is no room for what is restored.
    #[error("nothing was changed: {what}")]
    NoSpace {
        /// How much is needed and free, and what to do.
        what: String,
        /// The size in bytes that the volume has to have, where its size is known.
        volume: Option<u64>,
    },
    /// Something failed before the switch.
    #[error("nothing was changed: {error}")]
    Unchanged {
        /// What went wrong.
        #[source]
        error: Box<RecoveryError>,
    },
    /// The same, and what was loaded could not be removed.
    #[error(
        "{error}; what was loaded is left in the schema agentfs_new ({left}): the next restore or backup removes it"
    )]
    Left {
        /// What went wrong.
        #[source]
        error: Box<RecoveryError>,
        /// Why it is left.
        left: Box<RecoveryError>,
    },
    /// The connection was lost in the switch, and the database has not been reached since.
    #[error(
        "the connection was lost while the tables were switched ({error}), so it is not known whether they were: run the same command \
         again, which tells and never switches twice"
    )]
    Unknown {
        /// What went wrong.
        #[source]
        error: StoreError,
    },
    /// Nothing is known of what was lost.
    #[error(
        "there are no previous tables, and so it is not known what was lost: they stay for as long as --keep-previous says"
    )]
    NothingLost,
    /// The list of what was lost was not written.
    #[error(
        "the list of lost versions cannot be written to {}: {error}; name a file that is not there yet, while the previous tables are kept",
        .path.display()
    )]
    List {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// It is switched, but something after that failed.
    #[error(
        "it is switched and served, but {error}; run the same command again to bring it to its end"
    )]
    AfterSwitch {
        /// What went wrong.
        #[source]
        error: Box<RecoveryError>,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl InPlaceError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Busy(_) | Self::NotHolder | Self::Held { .. } | Self::Unknown { .. } => true,
            Self::Unchanged { error } | Self::Left { error, .. } | Self::AfterSwitch { error } => {
                error.is_transient()
            }
            Self::Store(error) => error.is_transient(),
            _ => false,
        }
    }

    /// Whether it says by itself that nothing was changed.
    fn says_unchanged(&self) -> bool {
        matches!(
            self,
            Self::NewerLive(_)
                | Self::NotHolder
                | Self::Dependents(_)
                | Self::Unlike(_)
                | Self::Held { .. }
                | Self::NoSpace { .. }
        )
    }

    /// Of something that failed before the switch.
    pub(super) fn unchanged(error: RecoveryError) -> RecoveryError {
        match error {
            RecoveryError::InPlace(error) if error.says_unchanged() => error.into(),
            error => Self::Unchanged { error: Box::new(error) }.into(),
        }
    }

    /// Of something that failed after the switch.
    pub(super) fn after_switch(error: RecoveryError) -> RecoveryError {
        Self::AfterSwitch { error: Box::new(error) }.into()
    }
}

impl From<HolderError> for InPlaceError {
    fn from(error: HolderError) -> Self {
        match error {
            HolderError::Store(error) => Self::Store(error),
            HolderError::Busy(busy) => Self::Busy(busy),
            HolderError::Pooled => Self::Pooled,
        }
    }
}

impl From<NotOurs> for InPlaceError {
    fn from(error: NotOurs) -> Self {
        match error {
            NotOurs::Record => Self::NotHolder,
            error => Self::NotOurs(error),
        }
    }
}

impl From<HolderError> for RecoveryError {
    fn from(error: HolderError) -> Self {
        match error {
            HolderError::Store(error) => Self::Store(error),
            error => InPlaceError::from(error).into(),
        }
    }
}

impl From<NotOurs> for RecoveryError {
    fn from(not_ours: NotOurs) -> Self {
        InPlaceError::from(not_ours).into()
    }
}

impl From<Unlike> for RecoveryError {
    fn from(unlike: Unlike) -> Self {
        InPlaceError::Unlike(unlike).into()
    }
}

/// What depends on our tables, and by which statements it makes way and comes back.
fn told(dependents: &[Dependent]) -> String {
    let all = |of: fn(&Dependent) -> &str| dependents.iter().map(of).collect::<Vec<_>>();
    // What depends on a view is dropped before that, and made after it.
    let creates: Vec<&str> = all(|dependent| &dependent.create).into_iter().rev().collect();
    format!(
        "{}. Drop them before it:\n{};\nand make them anew after it:\n{};",
        all(|dependent| &dependent.what).join(", "),
        all(|dependent| &dependent.drop).join(";\n"),
        creates.join(";\n")
    )
}
