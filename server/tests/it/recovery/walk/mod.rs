//! Each step of backup, prune, verify, restore and drill, with kill -9 between it and the next: of the program, of the sessions of
//! the database, and of the throwaway PostgreSQL. There is never a manifest without its whole dump, no process outlives the program,
//! and after the next run nothing of the killed one is left. Restores in place and their undoing have more to show: `in_place`.

mod in_place;
mod place;
mod remains;

use agentfs_server::recovery::FaultPoint;

use self::place::Place;
use self::remains::Victim;

/// A command that is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Walked {
    Backup,
    Forget,
    Verify,
    Restore,
    Drill,
    InPlace,
    Undo,
    Clean,
}

impl Walked {
    const ALL: [Self; 8] = [
        Self::Backup,
        Self::Forget,
        Self::Verify,
        Self::Restore,
        Self::Drill,
        Self::InPlace,
        Self::Undo,
        Self::Clean,
    ];

    /// The points that the command comes past, in their order.
    fn points(self) -> impl Iterator<Item = FaultPoint> {
        FaultPoint::ALL.iter().copied().filter(move |point| commands(*point).contains(&self))
    }
}

/// The commands that come past a point. The walk proves each line: it fails where a command ends without having been killed.
fn commands(point: FaultPoint) -> &'static [Walked] {
    use FaultPoint as P;
    use Walked::{Backup, Clean, Drill, Forget, InPlace, Restore, Undo, Verify};

    match point {
        P::PrunedBefore
        | P::SnapshotTaken
        | P::DumpBegun
        | P::DumpHalfWritten
        | P::DumpWritten
        | P::DumpFinished
        | P::ManifestWritten => &[Backup, Drill],
        P::Locked | P::ManifestRemoved | P::DumpRemoved => &[Backup, Forget, Drill],
        P::LeaseWritten | P::LeaseRemoved => &[Verify, Restore, InPlace, Clean],
        P::Fetched | P::Loaded | P::Compared => &[Verify, Restore, Drill, InPlace, Clean],
        P::Migrated => &[Verify, Restore, Drill, InPlace],
        P::DatabaseMade => &[Verify, Restore, Drill],
        P::ScratchStarted | P::Served => &[Verify, Drill],
        P::VerificationWritten => &[Verify],
        P::DrillTenantMade
        | P::DrillKeyMade
        | P::DrillMarkerPut
        | P::DrillBackedUp
        | P::DrillRestored
        | P::DrillMarkerFound
        | P::DrillRestoredRemoved
        | P::DrillBackupRemoved
        | P::DrillTenantRemoved => &[Drill],
        P::StagingMade | P::StagingTablesMade | P::StagingIndexed | P::StagingDropped => &[InPlace],
        P::PropertiesCarried | P::AutovacuumOff | P::SwitchLocked => &[InPlace, Undo],
        P::Closed | P::Emptied | P::Filled => &[Clean],
        P::InPlaceLocked
        | P::InPlaceBegun
        | P::Switched
        | P::LostListed
        | P::VectorsIndexed
        | P::InPlaceFinished => &[InPlace, Undo, Clean],
    }
}

#[test]
fn each_point_is_on_the_way_of_a_command() {
    for point in FaultPoint::ALL {
        assert_ne!(commands(*point), [], "{point:?}");
    }
    for walked in Walked::ALL {
        assert!(walked.points().next().is_some(), "{walked:?}");
    }
}

/// Kills the program at each point of a command's way, and runs it once more.
async fn kill_the_program(walked: Walked) {
    let place = Place::make(walked).await;
    for point in walked.points() {
        let before = place.prepare().await;
        let killed = place.start(Some(point.name())).ended().await;
        assert!(killed.is_killed(), "{walked:?} does not come past {point:?}: {killed:?}");
        place.is_sound(point).await;
        place.run_again(point, before).await;
    }
}

/// Kills a part of PostgreSQL while the program stands at each point of a command's way, lets the program end, and runs the
/// command once more.
async fn kill_postgres(walked: Walked, victim: Victim) {
    let place = Place::make(walked).await;
    let mut hits = 0;
    for point in walked.points() {
        let before = place.prepare().await;
        let running = place.start(Some(&format!("{}:stop", point.name())));
        running.is_stopped(point).await;
        hits += place.kill(victim).await;
        running.proceed();
        let ended = running.ended().await;
        // A database that was away for once has to be mended by nobody. A throwaway one may lack memory.
        let may_be_mended = victim == Victim::Throwaway && ended.code() == Some(1);
        let is_good = matches!(ended.code(), Some(0 | 75)) || may_be_mended;
        assert!(is_good, "{victim:?} at {point:?}: {ended:?}");
        assert!(!ended.has_waited(), "an API on a server that is gone: {point:?}: {ended:?}");
        place.is_sound(point).await;
        place.run_again(point, before).await;
    }
    assert_ne!(hits, 0, "{walked:?} has no {victim:?}");
}

#[tokio::test]
async fn a_killed_backup_leaves_nothing() {
    kill_the_program(Walked::Backup).await;
}

#[tokio::test]
async fn a_killed_forget_leaves_nothing() {
    kill_the_program(Walked::Forget).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_killed_verify_leaves_nothing() {
    kill_the_program(Walked::Verify).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_killed_restore_leaves_nothing() {
    kill_the_program(Walked::Restore).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_killed_drill_leaves_nothing() {
    kill_the_program(Walked::Drill).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn sessions_that_are_killed_leave_nothing_of_a_backup() {
    kill_postgres(Walked::Backup, Victim::Sessions).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn sessions_that_are_killed_leave_nothing_of_a_restore() {
    kill_postgres(Walked::Restore, Victim::Sessions).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn sessions_that_are_killed_leave_nothing_of_a_drill() {
    kill_postgres(Walked::Drill, Victim::Sessions).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_throwaway_postgres_that_is_killed_leaves_nothing_of_a_verify() {
    kill_postgres(Walked::Verify, Victim::Throwaway).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_throwaway_postgres_that_is_killed_leaves_nothing_of_a_drill() {
    kill_postgres(Walked::Drill, Victim::Throwaway).await;
}
