use proptest::prelude::*;

use super::*;
use crate::recovery::catalogue::tests::{backup, instance, manifest, verification};
use crate::recovery::lease::Held;
use agentfs_contract::verification::Level;

fn now() -> Timestamp {
    "2026-11-25T02:00:00Z".parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A backup of so many days ago, which is not whole where `name` says that it was cut.
fn of_days_ago(name: &str, days: i64) -> Backup {
    let mut backup = backup(manifest(now() - SignedDuration::from_hours(24 * days)));
    backup.folder = format!("{name}/");
    backup.is_whole = !name.starts_with("cut");
    backup
}

fn catalogue(backups: Vec<Backup>) -> Catalogue {
    Catalogue { backups, ..Catalogue::default() }
}

/// The names of those that are gone, sorted.
fn gone(backups: Vec<Backup>, retention: Retention) -> Vec<String> {
    let catalogue = catalogue(backups);
    let expired = retention.expired(&catalogue, &instance(), Scope::Full, now());
    let mut names: Vec<String> =
        expired.into_iter().map(|backup| backup.folder.trim_end_matches('/').into()).collect();
    names.sort();
    names
}

fn of(days: u32, keep_last: usize) -> Retention {
    Retention { days, keep_last, ..Retention::default() }
}

#[test]
fn the_old_go_but_never_the_last_ones() {
    let backups = || {
        vec![
            of_days_ago("c", 40),
            of_days_ago("new", 0),
            of_days_ago("a", 29),
            of_days_ago("b", 31),
        ]
    };
    assert_eq!(gone(backups(), of(30, 2)), ["b", "c"]);
    assert_eq!(gone(backups(), of(30, 3)), ["c"]);
    assert_eq!(gone(backups(), of(30, 4)), [""; 0]);
    assert_eq!(gone(backups(), of(0, 0)), ["a", "b", "c"], "the newest stays");
}

#[test]
fn a_cut_dump_is_none_of_the_last_ones() {
    let backups = || {
        vec![
            of_days_ago("cut", 33),
            of_days_ago("good", 40),
            of_days_ago("older", 50),
            of_days_ago("cut too", 60),
        ]
    };
    assert_eq!(gone(backups(), of(30, 1)), ["cut too", "older"]);
    assert_eq!(gone(backups(), of(30, 2)), ["cut too"]);
    assert_eq!(gone(vec![of_days_ago("cut", 33), of_days_ago("cut too", 60)], of(30, 1)), [""; 0]);
}

#[test]
fn one_that_does_not_restore_is_none_of_the_last_ones() {
    let failed = |name, days| {
        let mut backup = of_days_ago(name, days);
        let taken = backup.manifest.snapshot_at;
        backup.verifications =
            vec![verification(&backup.manifest, Level::Restore, Some("a sum"), taken)];
        backup
    };
    let backups = || {
        vec![
            failed("newest", 33),
            of_days_ago("good", 40),
            failed("bad", 50),
            of_days_ago("old", 60),
        ]
    };
    assert_eq!(gone(backups(), of(30, 1)), ["bad", "old"]);
    assert_eq!(gone(backups(), of(30, 2)), [""; 0]);
}

#[test]
fn what_is_of_another_instance_or_scope_stays() {
    let mut foreign = of_days_ago("foreign", 99);
    foreign.manifest.instance = "8-1-agentfs".into();
    let mut entries = of_days_ago("entries", 99);
    entries.manifest.scope = Scope::Entries;
    // The release before did not name the history.
    let mut former = of_days_ago("former", 99);
    former.manifest.instance = "7/agentfs".into();
    assert_eq!(gone(vec![foreign, entries, former, of_days_ago("new", 0)], of(1, 1)), ["former"]);
}

#[test]
fn backups_of_the_release_before_are_counted_with_those_of_their_successor() {
    let mut former = of_days_ago("former", 40);
    former.manifest.instance = "7/agentfs".into();
    let mut other = former.clone();
    other.manifest.instance = "8/agentfs".into();
    let catalogue = catalogue(vec![former, other, of_days_ago("new", 0)]);
    let decisions = of(30, 1).explain(&catalogue, now());
    let expired: Vec<&str> = decisions
        .iter()
        .filter(|decision| decision.is_expired())
        .map(|decision| &*decision.backup.manifest.instance)
        .collect();
    assert_eq!((decisions.len(), expired), (3, vec!["7/agentfs"]));
}

#[test]
fn the_newest_of_days_weeks_and_months_stay() {
    let taken = [
        "2026-09-30T23:59:59Z",
        "2026-10-01T00:00:00Z",
        "2026-10-31T02:00:00Z",
        "2026-11-15T02:00:00Z", // a Sunday
        "2026-11-16T02:00:00Z", // a Monday
        "2026-11-22T02:00:00Z",
        "2026-11-23T02:00:00Z",
        "2026-11-23T23:00:00Z",
        "2026-11-24T02:00:00Z",
    ];
    let backups = taken.map(|taken| backup(manifest(at(taken))));
    let catalogue = catalogue(backups.to_vec());
    let retention =
        Retention { days: 0, keep_last: 1, keep_daily: 2, keep_weekly: 3, keep_monthly: 3 };
    let kept: Vec<(String, Vec<Kept>)> = retention
        .explain(&catalogue, now())
        .into_iter()
        .filter(|decision| !decision.is_expired())
        .map(|decision| (decision.backup.manifest.snapshot_at.to_string(), decision.kept_because))
        .collect();
    let expected = [
        ("2026-09-30T23:59:59Z", vec![Kept::Monthly]),
        ("2026-10-31T02:00:00Z", vec![Kept::Monthly]),
        ("2026-11-15T02:00:00Z", vec![Kept::Weekly]),
        ("2026-11-22T02:00:00Z", vec![Kept::Weekly]),
        ("2026-11-23T23:00:00Z", vec![Kept::Daily]),
        ("2026-11-24T02:00:00Z", vec![Kept::Last, Kept::Daily, Kept::Weekly, Kept::Monthly]),
    ];
    assert_eq!(kept, expected.map(|(taken, kept)| (taken.to_owned(), kept)));
}

#[test]
fn a_week_at_the_end_of_a_year_is_one() {
    let days = ["2026-12-28", "2026-12-31", "2027-01-01", "2027-01-03"];
    let weeks = days.map(|day| week(day.parse().unwrap()));
    assert!(weeks.iter().all(|week| *week == (2026, 53)), "{weeks:?}");
    assert_eq!(week("2027-01-04".parse().unwrap()), (2027, 1));
}

#[test]
fn it_is_said_until_when_a_backup_is_kept_if_that_is_known() {
    let (mut leased, mut drill) = (of_days_ago("leased", 20), of_days_ago("drill", 0));
    leased.leases = vec![held(now() + SignedDuration::from_hours(1))];
    drill.manifest.purpose = Purpose::Drill;
    let backups = vec![
        of_days_ago("old", 40),
        leased,
        of_days_ago("young", 10),
        drill,
        of_days_ago("new", 0),
    ];
    let catalogue = catalogue(backups);
    let said: Vec<(&str, Vec<Kept>, Option<Timestamp>)> = of(30, 1)
        .explain(&catalogue, now())
        .into_iter()
        .map(|decision| (&*decision.backup.folder, decision.kept_because, decision.expires))
        .collect();
    let days = |days: i64| Some(now() + SignedDuration::from_hours(24 * days));
    let expected = [
        ("old/", vec![], days(-10)),
        ("leased/", vec![Kept::Days, Kept::Leased], None),
        ("young/", vec![Kept::Days], days(20)),
        ("drill/", vec![Kept::Drill], days(1)),
        ("new/", vec![Kept::Last, Kept::Days], None),
    ];
    assert_eq!(said, expected);
}

fn held(until: Timestamp) -> Held {
    Held { name: "x".into(), by: "verify".into(), until, process: None }
}

/// Up to forty backups of the last four hundred days, of any kind.
fn backups() -> impl Strategy<Value = Vec<Backup>> {
    let one =
        (0..9600_i64, prop::bool::weighted(0.8), 0..10_u8, prop::bool::weighted(0.1), 0..6_u8);
    prop::collection::vec(one, 0..40).prop_map(|all| {
        let mut backups: Vec<Backup> = all
            .into_iter()
            .enumerate()
            .map(|(index, (hours, is_whole, proof, is_leased, kind))| {
                let index = i64::try_from(index).unwrap();
                let taken =
                    now() - SignedDuration::from_hours(hours) - SignedDuration::from_secs(index);
                let mut backup = backup(manifest(taken));
                backup.folder = format!("{index}/");
                backup.is_whole = is_whole;
                match kind {
                    0 => backup.manifest.instance = "8-1-agentfs".into(),
                    1 => backup.manifest.scope = Scope::Entries,
                    2 => backup.manifest.purpose = Purpose::Drill,
                    _ => {}
                }
                if proof < 4 {
                    let failure = (proof < 2).then_some("it does not restore");
                    let record = verification(&backup.manifest, Level::Restore, failure, taken);
                    backup.verifications = vec![record];
                }
                if is_leased {
                    backup.leases = vec![held(now() + SignedDuration::from_hours(1))];
                }
                backup
            })
            .collect();
        backups.sort_by_key(|backup| backup.manifest.snapshot_at);
        backups
    })
}

fn policy() -> impl Strategy<Value = Retention> {
    (0..400_u32, 0..6_usize, 0..8_usize, 0..6_usize, 0..6_usize).prop_map(
        |(days, keep_last, keep_daily, keep_weekly, keep_monthly)| Retention {
            days,
            keep_last,
            keep_daily,
            keep_weekly,
            keep_monthly,
        },
    )
}

/// The folders of those that have expired.
fn expired(catalogue: &Catalogue, policy: &Retention, now: Timestamp) -> Vec<String> {
    let expired = policy.expired(catalogue, &instance(), Scope::Full, now);
    expired.into_iter().map(|backup| backup.folder.clone()).collect()
}

proptest! {
    #[test]
    fn what_must_stay_stays(backups in backups(), policy in policy()) {
        let catalogue = catalogue(backups);
        let expired = expired(&catalogue, &policy, now());
        let is_kept = |backup: &&Backup| !expired.contains(&backup.folder);
        let ours = || catalogue.kept().filter(|backup| {
            backup.manifest.instance == instance().name() && backup.manifest.scope == Scope::Full
        });
        prop_assert!(ours().rev().find(|backup| backup.is_whole).is_none_or(|newest| is_kept(&newest)));
        prop_assert!(ours().rev().find(|backup| backup.is_verified()).is_none_or(|newest| is_kept(&newest)));
        let whole = ours().filter(|backup| backup.is_whole).count();
        let left = ours().filter(|backup| backup.is_whole).filter(is_kept).count();
        prop_assert!(left >= whole.min(policy.keep_last.max(1)));
        for backup in &catalogue.backups {
            let is_foreign = backup.manifest.instance != instance().name();
            let is_drill = backup.manifest.purpose == Purpose::Drill;
            let is_other = !is_drill && backup.manifest.scope != Scope::Full;
            let is_young = is_drill && backup.manifest.snapshot_at >= now() - DRILL_FOR;
            if is_foreign || is_other || is_young || backup.live_lease(now()).is_some() {
                prop_assert!(is_kept(&backup));
            } else if is_drill {
                prop_assert!(!is_kept(&backup));
            }
        }
    }

    #[test]
    fn pruning_is_monotone(backups in backups(), policy in policy(), hours in 0..5000_i64) {
        let mut catalogue = catalogue(backups);
        let first = expired(&catalogue, &policy, now());
        let later = expired(&catalogue, &policy, now() + SignedDuration::from_hours(hours));
        prop_assert!(first.iter().all(|backup| later.contains(backup)), "what has expired stays so");
        let mut larger = policy;
        larger.days += 7;
        larger.keep_last += 1;
        larger.keep_daily += 1;
        larger.keep_weekly += 1;
        larger.keep_monthly += 1;
        let fewer = expired(&catalogue, &larger, now());
        prop_assert!(fewer.iter().all(|backup| first.contains(backup)), "who keeps more prunes less");
        catalogue.backups.retain(|backup| !first.contains(&backup.folder));
        prop_assert_eq!(expired(&catalogue, &policy, now()), Vec::<String>::new(), "once is enough");
    }

    #[test]
    fn each_backup_is_decided_about_once_and_the_kept_have_a_reason(backups in backups(), policy in policy()) {
        let catalogue = catalogue(backups);
        let decisions = policy.explain(&catalogue, now());
        prop_assert_eq!(decisions.len(), catalogue.backups.len());
        let expired = expired(&catalogue, &policy, now());
        for decision in decisions {
            let is_ours = decision.backup.manifest.instance == instance().name();
            let is_full = decision.backup.manifest.scope == Scope::Full;
            if is_ours && is_full {
                prop_assert_eq!(decision.is_expired(), expired.contains(&decision.backup.folder));
            }
            if decision.is_expired() {
                prop_assert!(decision.expires.is_some_and(|expires| expires <= now()));
            }
        }
    }
}
