//! A restore in place, and its undoing, while agents put, delete, read and search: through an API on the database itself, one that
//! reads from a replica, and one behind PgBouncer, with workers, sweepers, a pg_dump by hand and autovacuum at work. No request
//! fails, and each version that was acknowledged is live or in the list of the lost.

mod agents;
mod marks;
mod place;
mod side;
mod times;

use self::agents::{Agents, Diary};
use self::marks::Marks;
use self::place::{Place, Running, Switched};
use self::side::Sides;
use self::times::Times;

/// Most milliseconds for which an agent may wait for an answer around the switch.
const LONGEST_WAIT: u128 = 250;

/// What agents saw of a restore, or of an undoing.
struct Seen {
    switched: Switched,
    diary: Diary,
    times: Times,
}

/// Starts one of them beside agents, a dump by hand and autovacuum, and waits for its end. No request fails.
async fn beside_agents(place: &Place, start: impl FnOnce() -> Running) -> Seen {
    let agents = Agents::start(&place.clients);
    // The first requests find no connections yet.
    agents.until_more(500).await;
    let warm = agents.now();
    agents.until_more(1500).await;
    let begun = agents.now();
    let dump = place.open_dump().await;
    place.until_autovacuum().await;
    let mut running = start();
    // The switch waits for the dump, and lets all others go on.
    running.until_stepped_back(2).await;
    dump.end().await;
    let switched = running.switched().await;
    let ended = agents.now();
    agents.until_more(500).await;
    agents.until_later_than(switched.at + times::AROUND).await;
    let diary = agents.stop().await;
    assert_eq!(diary.failures, [""; 0], "requests failed:\n{}", place.complaints());
    let times = Times::of(&diary.answers, [warm, begun, switched.at, ended]);
    Seen { switched, diary, times }
}

/// Restores and undoes there; returns what agents saw of each of the two.
async fn restore_and_undo(place: &Place) -> [Times; 2] {
    let marks = Marks::around_backup(place).await;
    let mut known = Vec::new();
    let mut seen = Vec::new();
    for undoes in [false, true] {
        let start = || if undoes { place.undo() } else { place.restore(&[]) };
        let Seen { switched, diary, times } = beside_agents(place, start).await;
        let sides = Sides::read(&place.database).await;
        known.extend(diary.acknowledged.iter().cloned());
        sides.hold_each(&known);
        sides.are_in_order(&diary.acknowledged);
        sides.are_listed(&switched.lost);
        sides.repeat_what_was_lost(&diary.repeated);
        if undoes {
            marks.after_undoing().await;
        } else {
            marks.after_restore(place).await;
        }
        seen.push(times);
    }
    place.have_swept();
    seen.try_into().unwrap_or_else(|_| unreachable!())
}

fn print(what: &str, seen: &[Times; 2]) {
    for (times, of) in seen.iter().zip(["restored", "undone"]) {
        println!("{what}, {of}: {times}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_directly_and_with_a_replica() {
    let place = Place::make(10_000, false).await;
    let seen = Box::pin(restore_and_undo(&place)).await;
    print("10,000 entries", &seen);
}

/// Returns the place, for what else is to be seen there.
async fn nobody_waits_for_long(entries: i32) -> Place {
    let place = Place::make(entries, true).await;
    let seen = Box::pin(restore_and_undo(&place)).await;
    print(&format!("{entries} entries, also through PgBouncer"), &seen);
    for times in seen {
        assert!(times.longest_around().as_millis() <= LONGEST_WAIT, "{times}");
    }
    place
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "looks at times, and needs PgBouncer: make test-restore"]
async fn nobody_waits_for_long_among_ten_thousand_entries() {
    Box::pin(nobody_waits_for_long(10_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, looks at times, and needs PgBouncer: make test-restore"]
async fn nobody_waits_for_long_among_a_million_entries() {
    let place = Box::pin(nobody_waits_for_long(1_000_000)).await;
    place.drop_previous();
    let tamed = || place.restore(&["--jobs", "1", "--max-rate", "20MB"]);
    let seen = Box::pin(beside_agents(&place, tamed)).await;
    println!("restored with --jobs 1 --max-rate 20MB: {}", seen.times);
}
