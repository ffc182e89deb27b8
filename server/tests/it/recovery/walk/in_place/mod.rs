//! Each step of a restore in place and of its undoing, with kill -9 between it and the next: of the program, of the sessions of the
//! database, of PostgreSQL as a whole; and with the end of the one session that holds the lock. What is live is all of before or all
//! of after, the API serves, it is switched once, and after the next run nothing of the killed one is left.

mod clean;
mod live;
mod swapping;

use agentfs_server::recovery::FaultPoint;

use self::swapping::Swapping;
use super::Walked;
use super::place::Ended;
use super::remains::Victim;

/// Whether a run that stands at the point has switched.
fn has_switched(point: FaultPoint) -> bool {
    use FaultPoint as P;

    matches!(
        point,
        P::Switched | P::LostListed | P::StagingDropped | P::VectorsIndexed | P::InPlaceFinished
    )
}

/// Points at which a run has something to do yet.
fn under_way(walked: Walked) -> impl Iterator<Item = FaultPoint> {
    walked.points().filter(|point| *point != FaultPoint::InPlaceFinished)
}

/// Kills the program at each of the points, and runs it once more.
async fn kill_the_program(walked: Walked, points: impl IntoIterator<Item = FaultPoint>) {
    let swapping = Swapping::make(walked).await;
    for point in points {
        let sides = swapping.prepare().await;
        let killed = swapping.place.start(Some(point.name())).ended().await;
        assert!(killed.is_killed(), "{walked:?} does not come past {point:?}: {killed:?}");
        let switched = swapping.is_sound(point, &sides).await;
        assert_eq!(switched, has_switched(point), "{point:?}");
        // Whoever ends after all is done and before it says so has told nobody that it is.
        let is_finished = point == FaultPoint::InPlaceFinished;
        swapping.run_again(point, &sides, switched, is_finished).await;
    }
}

/// Kills a part of PostgreSQL while the program stands at each point, lets the program end, and runs it once more.
async fn kill_postgres(walked: Walked, victim: Victim) {
    let swapping = Swapping::make(walked).await;
    for point in under_way(walked) {
        let sides = swapping.prepare().await;
        let running = swapping.place.start(Some(&format!("{}:stop", point.name())));
        running.is_stopped(point).await;
        assert_ne!(swapping.place.kill(victim).await, 0, "{point:?}: {victim:?} is not there");
        running.proceed();
        let ended = running.ended().await;
        assert!(matches!(ended.code(), Some(0 | 75)), "{victim:?} at {point:?}: {ended:?}");
        let switched = swapping.is_sound(point, &sides).await;
        assert_eq!(switched, has_switched(point), "{victim:?} at {point:?}: {ended:?}");
        assert!(switched || ended.code() == Some(75), "{victim:?} at {point:?}: {ended:?}");
        swapping.run_again(point, &sides, switched, ended.code() == Some(0)).await;
    }
}

/// Ends the lock's session while the program stands at each point, lets another run do it all, and only then the first one go on.
async fn outlive(walked: Walked) {
    let swapping = Swapping::make(walked).await;
    for point in under_way(walked) {
        let sides = swapping.prepare().await;
        let first = swapping.place.start(Some(&format!("{}:stop", point.name())));
        first.is_stopped(point).await;
        assert_ne!(swapping.place.kill(Victim::Holder).await, 0, "{point:?}: nobody has a lock");
        let second = swapping.place.start(None).ended().await;
        assert_eq!(second.code(), Some(0), "{point:?}: {second:?}");
        let entries = swapping.entries().await;
        first.proceed();
        let first = first.ended().await;
        assert_eq!(first.code(), Some(75), "{point:?}: {first:?}");
        assert_eq!(swapping.entries().await, entries, "{point:?}: it switched again: {first:?}");
        swapping.is_finished(point, &sides).await;
    }
}

#[tokio::test]
async fn a_restore_that_is_killed_around_its_switch_switches_once() {
    kill_the_program(Walked::InPlace, [FaultPoint::SwitchLocked, FaultPoint::Switched]).await;
}

#[tokio::test]
async fn an_undoing_that_is_killed_around_its_switch_switches_once() {
    kill_the_program(Walked::Undo, [FaultPoint::SwitchLocked, FaultPoint::Switched]).await;
}

#[tokio::test]
async fn of_two_restores_that_race_one_goes_first() {
    let swapping = Swapping::make(Walked::InPlace).await;
    let sides = swapping.prepare().await;
    let racing = [(); 2].map(|()| swapping.place.start(None));
    let mut ended = Vec::new();
    for running in racing {
        ended.push(running.ended().await);
    }
    let codes: Vec<_> = ended.iter().map(Ended::code).collect();
    // The other one is told to wait, or comes after it and would drop what an undoing brings back.
    assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{ended:?}");
    assert!(codes.iter().all(|code| matches!(code, Some(0 | 1 | 75))), "{ended:?}");
    swapping.is_finished(FaultPoint::InPlaceFinished, &sides).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_killed_restore_leaves_nothing() {
    kill_the_program(Walked::InPlace, Walked::InPlace.points()).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_killed_undoing_leaves_nothing() {
    kill_the_program(Walked::Undo, Walked::Undo.points()).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn sessions_that_are_killed_leave_nothing_of_a_restore() {
    kill_postgres(Walked::InPlace, Victim::Sessions).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn sessions_that_are_killed_leave_nothing_of_an_undoing() {
    kill_postgres(Walked::Undo, Victim::Sessions).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_postgres_that_is_killed_leaves_nothing_of_a_restore() {
    kill_postgres(Walked::InPlace, Victim::Server).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_postgres_that_is_killed_leaves_nothing_of_an_undoing() {
    kill_postgres(Walked::Undo, Victim::Server).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_lock_that_is_lost_leaves_nothing_of_a_restore() {
    kill_postgres(Walked::InPlace, Victim::Holder).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_lock_that_is_lost_leaves_nothing_of_an_undoing() {
    kill_postgres(Walked::Undo, Victim::Holder).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_restore_without_its_lock_does_nothing_beside_its_successor() {
    outlive(Walked::InPlace).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn an_undoing_without_its_lock_does_nothing_beside_its_successor() {
    outlive(Walked::Undo).await;
}
