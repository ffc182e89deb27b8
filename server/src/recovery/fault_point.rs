//! Named points between the steps of backup, prune, verify, restore and drill, at which a test can end or stop the process. Builds
//! without the feature `dev`, as production images are, do nothing there.

/// Defines [`FaultPoint`] with all its names, so that none is missing in [`FaultPoint::ALL`].
macro_rules! fault_points {
    ($($(#[$about:meta])* $point:ident = $name:literal,)+) => {
        /// A point between two steps. Work that several commands do has the same points in each of them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum FaultPoint {
            $($(#[$about])* $point,)+
        }

        impl FaultPoint {
            /// All points, for a test that walks them.
            pub const ALL: &[Self] = &[$(Self::$point,)+];

            /// The name by which AGENTFS_FAULT_POINT means it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)+
                }
            }
        }
    };
}

fault_points! {
    /// A backup or `forget` has the lock of its instance.
    Locked = "locked",
    /// A backup has removed what expired, for the room of the new one.
    PrunedBefore = "pruned-before",
    /// The snapshot that is dumped is open.
    SnapshotTaken = "snapshot-taken",
    /// The object of the dump is begun, and empty.
    DumpBegun = "dump-begun",
    /// Some of the dump is written.
    DumpHalfWritten = "dump-half-written",
    /// All of the dump is written; it has not got its name yet.
    DumpWritten = "dump-written",
    /// The dump is there, without a manifest.
    DumpFinished = "dump-finished",
    /// The backup is there.
    ManifestWritten = "manifest-written",

    /// Of a backup that is removed the manifest is gone: it is none any more.
    ManifestRemoved = "manifest-removed",
    /// The dump is gone as well, and what was said of it.
    DumpRemoved = "dump-removed",

    /// A lease keeps the backup that is about to be read.
    LeaseWritten = "lease-written",
    /// The dump is on this machine.
    Fetched = "fetched",
    /// The throwaway PostgreSQL runs.
    ScratchStarted = "scratch-started",
    /// The database to load into is made.
    DatabaseMade = "database-made",
    /// The dump is loaded.
    Loaded = "loaded",
    /// What was loaded is what the manifest says.
    Compared = "compared",
    /// What was loaded has this program's schema.
    Migrated = "migrated",
    /// The API has answered on it.
    Served = "served",
    /// The result is written beside the manifest.
    VerificationWritten = "verification-written",
    /// The lease is gone.
    LeaseRemoved = "lease-removed",

    /// A drill has its tenant.
    DrillTenantMade = "drill-tenant-made",
    /// It has its key.
    DrillKeyMade = "drill-key-made",
    /// The marker is put by the API.
    DrillMarkerPut = "drill-marker-put",
    /// The backup of the drill is made.
    DrillBackedUp = "drill-backed-up",
    /// It is restored.
    DrillRestored = "drill-restored",
    /// The marker was read from what was restored.
    DrillMarkerFound = "drill-marker-found",
    /// What was restored is gone.
    DrillRestoredRemoved = "drill-restored-removed",
    /// The backup of the drill is gone.
    DrillBackupRemoved = "drill-backup-removed",
    /// The tenant is gone, with its key and its memory.
    DrillTenantRemoved = "drill-tenant-removed",

    /// A restore in place, or its undoing, has its locks.
    InPlaceLocked = "in-place-locked",
    /// What is under way is noted, and nothing else done.
    InPlaceBegun = "in-place-begun",
    /// The schema to load into is there, and empty.
    StagingMade = "staging-made",
    /// Its tables are made, without indexes.
    StagingTablesMade = "staging-tables-made",
    /// The rows are loaded, and the indexes but those of vectors built.
    StagingIndexed = "staging-indexed",
    /// What was staged has all that the live tables have.
    PropertiesCarried = "properties-carried",
    /// Autovacuum keeps off the live tables.
    AutovacuumOff = "autovacuum-off",
    /// Servers are kept off the live tables, which are not emptied yet.
    Closed = "closed",
    /// The live tables are empty.
    Emptied = "emptied",
    /// The live tables are filled again, and that is not committed.
    Filled = "filled",
    /// The transaction of the switch has its locks, and is not committed.
    SwitchLocked = "switch-locked",
    /// The switch is committed, and nobody told.
    Switched = "switched",
    /// What was lost is listed.
    LostListed = "lost-listed",
    /// What was staged and did not move is gone.
    StagingDropped = "staging-dropped",
    /// The vector indexes are built.
    VectorsIndexed = "vectors-indexed",
    /// It is noted as finished.
    InPlaceFinished = "in-place-finished",
}

/// Ends this process by SIGKILL where AGENTFS_FAULT_POINT is the name of `point`. Where it is the name and `:stop`, SIGSTOP stops
/// the process the first time it comes here, so that a test can end something else before it continues this.
#[cfg(feature = "dev")]
pub(super) fn reach(point: FaultPoint) {
    use std::sync::atomic::{AtomicBool, Ordering};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    static STOPPED: AtomicBool = AtomicBool::new(false);

    let Ok(wanted) = std::env::var("AGENTFS_FAULT_POINT") else { return };
    let (name, signal) = match wanted.strip_suffix(":stop") {
        Some(name) => (name, Signal::SIGSTOP),
        None => (wanted.as_str(), Signal::SIGKILL),
    };
    if name == point.name() && !STOPPED.swap(true, Ordering::Relaxed) {
        // A test that waits for the signal notices should it not come.
        let _ = kill(Pid::this(), signal);
    }
}

/// Does nothing.
#[cfg(not(feature = "dev"))]
#[inline]
pub(super) fn reach(_: FaultPoint) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_point_has_a_name_of_its_own() {
        let mut names: Vec<_> = FaultPoint::ALL.iter().map(|point| point.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FaultPoint::ALL.len());
    }
}
