//! What a disaster would cost: the recovery point and the recovery time, measured and compared with what is wanted.

use std::fmt;

use agentfs_contract::manifest::Scope;
use agentfs_contract::verification::Step;
use jiff::{SignedDuration, SpanRound, Timestamp, Unit};

use super::super::catalogue::{Backup, Catalogue};
use super::super::instance::Instance;

/// The steps of a restore until it may be served from. That a throwaway server starts is a step of drills alone.
pub const TO_SERVING: [&str; 8] =
    ["fetch", "archive", "create", "load", "compare", "migrate", "analyse", "serve"];
/// The step after which searches are as fast as before.
const TO_INDEXED: &str = "index";

/// What is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Objectives {
    /// The recovery point objective: most time whose writes may be lost.
    pub rpo: Option<SignedDuration>,
    /// The recovery time objective: most time until the API serves again.
    pub rto: Option<SignedDuration>,
    /// For how many days back gaps between backups count: retention makes gaps among older ones.
    pub rpo_days: u32,
}

/// How much would have been lost.
#[derive(Debug, Clone, PartialEq)]
pub struct RecoveryPoint {
    /// Backups that count: those that are restorable, or the one that was asked for.
    pub backups: usize,
    /// The greatest gap between their snapshots; `None` without two of them.
    pub greatest_gap: Option<SignedDuration>,
    /// How old the newest one is; `None` without any.
    pub newest_age: Option<SignedDuration>,
}

impl RecoveryPoint {
    /// Of the backups of `instance` that are kept, at `now`.
    pub(super) fn of(
        catalogue: &Catalogue,
        instance: &Instance,
        now: Timestamp,
        days: u32,
    ) -> Self {
        let restorable = catalogue.of(instance).filter(|backup| is_restorable(backup));
        let at = restorable.map(|backup| backup.manifest.snapshot_at).collect();
        Self::between(at, now, days)
    }

    /// Where `backup` is the one that is restored: all that was written since its snapshot is lost.
    pub(super) fn of_backup(backup: &Backup, now: Timestamp) -> Self {
        let age = now.duration_since(backup.manifest.snapshot_at);
        Self { backups: 1, greatest_gap: None, newest_age: Some(age) }
    }

    /// Of snapshots at these moments, the oldest first.
    fn between(mut snapshots: Vec<Timestamp>, now: Timestamp, days: u32) -> Self {
        let since = now - SignedDuration::from_hours(24 * i64::from(days));
        // A gap that reaches into these days began before them.
        let older = snapshots.partition_point(|at| *at < since);
        snapshots.drain(..older.saturating_sub(1));
        let gaps = snapshots.windows(2).map(|pair| pair[1].duration_since(pair[0]));
        Self {
            backups: snapshots.len(),
            greatest_gap: gaps.max(),
            newest_age: snapshots.last().map(|at| now.duration_since(*at)),
        }
    }

    /// The most that would have been lost; `None` where all would.
    pub fn worst(&self) -> Option<SignedDuration> {
        self.newest_age.max(self.greatest_gap)
    }
}

/// Whether a backup would be restored in a disaster, as far as is known.
fn is_restorable(backup: &Backup) -> bool {
    backup.is_sound() && backup.manifest.scope == Scope::Full
}

/// How long a restore takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecoveryTime {
    /// Seconds until it may be served from.
    pub serving_seconds: f64,
    /// Seconds until its vector indexes are built as well.
    pub indexed_seconds: f64,
}

impl RecoveryTime {
    /// The sum of the steps of a restore; `None` where one is missing.
    pub(super) fn of(steps: &[Step]) -> Option<Self> {
        let seconds = |name: &str| {
            let mut named = steps.iter().filter(|step| step.name == name).peekable();
            named.peek()?;
            Some(named.map(|step| step.seconds).sum::<f64>())
        };
        let serving_seconds = TO_SERVING.into_iter().map(seconds).sum::<Option<f64>>()?;
        let indexed_seconds = serving_seconds + seconds(TO_INDEXED)?;
        Some(Self { serving_seconds, indexed_seconds })
    }
}

/// An objective that is missed.
#[derive(Debug, Clone, PartialEq)]
pub struct Missed {
    /// `rpo` or `rto`.
    pub objective: &'static str,
    /// What is wanted.
    pub wanted: SignedDuration,
    /// What it is; `None` where there is no backup.
    pub measured: Option<SignedDuration>,
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { objective, wanted, measured } = self;
        let option = format!("--{objective} {}", brief(*wanted));
        match measured {
            Some(measured) => {
                let over = brief(*measured - *wanted);
                write!(f, "{option} is missed by {over}: it is {}", brief(*measured))
            }
            None => write!(f, "{option} is missed: there is no restorable backup"),
        }
    }
}

impl Objectives {
    /// The objectives that are missed.
    pub(super) fn missed(&self, point: &RecoveryPoint, time: Option<RecoveryTime>) -> Vec<Missed> {
        let point =
            self.rpo.map(|wanted| Missed { objective: "rpo", wanted, measured: point.worst() });
        let time = self.rto.zip(time).map(|(wanted, time)| {
            let measured = SignedDuration::try_from_secs_f64(time.serving_seconds).ok();
            Missed { objective: "rto", wanted, measured }
        });
        let is_missed =
            |missed: &Missed| missed.measured.is_none_or(|measured| measured > missed.wanted);
        point.into_iter().chain(time).filter(is_missed).collect()
    }
}

/// A duration for people: whole seconds, or tenths below a minute.
pub fn brief(duration: SignedDuration) -> String {
    if duration.abs() < SignedDuration::from_mins(1) {
        return format!("{:.1}s", duration.as_secs_f64());
    }
    let span = jiff::Span::try_from(duration).unwrap_or_default();
    let round = SpanRound::new().largest(Unit::Hour).smallest(Unit::Second);
    format!("{:#}", span.round(round).unwrap_or(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(hours: &[i64], days: u32) -> RecoveryPoint {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let at = hours.iter().map(|hours| now - SignedDuration::from_hours(*hours)).collect();
        RecoveryPoint::between(at, now, days)
    }

    #[test]
    fn the_recovery_point_is_the_worst_of_all_gaps_and_the_newest_ones_age() {
        let hour = SignedDuration::from_hours;
        let point = hours(&[82, 58, 28, 4], 7);
        assert_eq!((point.greatest_gap, point.newest_age), (Some(hour(30)), Some(hour(4))));
        assert_eq!(point.worst(), Some(hour(30)));
        assert_eq!(hours(&[58, 34], 7).worst(), Some(hour(34)), "none was made since");
        assert_eq!(hours(&[5], 7).worst(), Some(hour(5)));
        assert_eq!(hours(&[], 7).worst(), None);
    }

    #[test]
    fn gaps_among_those_that_retention_has_thinned_out_do_not_count() {
        let hour = SignedDuration::from_hours;
        let monthly = [24 * 90, 24 * 60, 24 * 30, 47, 23];
        assert_eq!(hours(&monthly, 1).worst(), Some(hour(24)));
        assert_eq!(
            hours(&monthly, 2).worst(),
            Some(hour(24 * 30 - 47)),
            "it reaches into the two days"
        );
    }

    #[test]
    fn missed_objectives_say_by_how_much() {
        let objectives = Objectives {
            rpo: Some(SignedDuration::from_hours(26)),
            rto: Some(SignedDuration::from_secs(90)),
            rpo_days: 7,
        };
        let time = |serving_seconds| Some(RecoveryTime { serving_seconds, indexed_seconds: 500.0 });
        let said = |point, time| {
            let missed = objectives.missed(&point, time);
            missed.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(said(hours(&[26], 7), time(90.0)), [""; 0]);
        assert_eq!(
            said(hours(&[27], 7), time(100.5)),
            [
                "--rpo 26h is missed by 1h: it is 27h",
                "--rto 1m 30s is missed by 10.5s: it is 1m 41s"
            ]
        );
        let none = "--rpo 26h is missed: there is no restorable backup";
        assert_eq!(said(hours(&[], 7), None), [none]);
        assert_eq!(Objectives::default().missed(&hours(&[], 7), None), []);
    }

    #[test]
    fn the_recovery_time_is_the_sum_of_its_steps() {
        let step = |name: &str, seconds| Step { name: name.to_owned(), seconds };
        let mut steps: Vec<Step> = TO_SERVING.map(|name| step(name, 1.0)).into();
        steps.extend(["put", "backup", "start", "marker"].map(|name| step(name, 100.0)));
        assert_eq!(RecoveryTime::of(&steps), None, "it is not indexed yet");
        steps.push(step("index", 30.0));
        let time = RecoveryTime::of(&steps).unwrap();
        assert_eq!((time.serving_seconds, time.indexed_seconds), (8.0, 38.0));
    }
}
