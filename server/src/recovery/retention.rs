//! Decides which backups have expired, and says why the others are kept.

use std::fmt;

use agentfs_contract::manifest::{Purpose, Scope};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::catalogue::{Backup, Catalogue};
use super::instance::Instance;

/// What a drill that was killed leaves is kept for so long.
const DRILL_FOR: SignedDuration = SignedDuration::from_hours(24);

/// A retention policy. A backup is kept while any part of it asks for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Retention {
    /// All of the last days, each of 24 hours.
    pub days: u32,
    /// The newest ones; one at least.
    pub keep_last: usize,
    /// The newest one of a day in UTC, of the last days that have any.
    pub keep_daily: usize,
    /// The newest one of a week, which begins on Monday, of the last weeks that have any.
    pub keep_weekly: usize,
    /// The newest one of a month, of the last months that have any.
    pub keep_monthly: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self { days: 30, keep_last: 3, keep_daily: 0, keep_weekly: 0, keep_monthly: 0 }
    }
}

impl Retention {
    /// The policy that keeps least: what this one keeps, no other one removes.
    pub const LEAST: Self =
        Self { days: 0, keep_last: 1, keep_daily: 0, keep_weekly: 0, keep_monthly: 0 };
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} days, the last {}", self.days, self.keep_last.max(1))?;
        for (count, what) in [
            (self.keep_daily, "daily"),
            (self.keep_weekly, "weekly"),
            (self.keep_monthly, "monthly"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// Why a backup is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kept {
    /// It is one of the newest.
    Last,
    /// It is not older than the policy's days.
    Days,
    /// It is the newest one of its day.
    Daily,
    /// It is the newest one of its week.
    Weekly,
    /// It is the newest one of its month.
    Monthly,
    /// It is the newest one that a restore has proven.
    NewestVerified,
    /// Somebody reads it.
    Leased,
    /// It is not whole or does not restore, and there are too few others.
    TooFew,
    /// It is of a drill, which removes it at its end.
    Drill,
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Last => "last",
            Self::Days => "days",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::NewestVerified => "newest verified",
            Self::Leased => "leased",
            Self::TooFew => "too few",
            Self::Drill => "drill",
        })
    }
}

/// What a policy decides about a backup.
#[derive(Debug, Clone)]
pub struct Decision<'a> {
    /// The backup.
    pub backup: &'a Backup,
    /// Why it is kept; empty where it has expired.
    pub kept_because: Vec<Kept>,
    /// When it may be removed; `None` where that depends on backups to come, or on who reads it.
    pub expires: Option<Timestamp>,
}

impl<'a> Decision<'a> {
    fn of(
        backup: &'a Backup,
        mut kept_because: Vec<Kept>,
        age: SignedDuration,
        now: Timestamp,
    ) -> Self {
        if backup.live_lease(now).is_some() {
            kept_because.push(Kept::Leased);
        }
        let is_by_age = kept_because.iter().all(|kept| matches!(kept, Kept::Days | Kept::Drill));
        let end = backup.manifest.snapshot_at.saturating_add(age).ok();
        Self { backup, kept_because, expires: end.filter(|_| is_by_age) }
    }

    /// Whether the backup has expired.
    pub fn is_expired(&self) -> bool {
        self.kept_because.is_empty()
    }
}

impl Retention {
    /// The backups of `instance` that have expired at `now`: those of the `scope`, and those that killed drills left.
    pub fn expired<'a>(
        &self,
        catalogue: &'a Catalogue,
        instance: &Instance,
        scope: Scope,
        now: Timestamp,
    ) -> Vec<&'a Backup> {
        let ours = catalogue.backups.iter().filter(|backup| {
            let Purpose::Backup = backup.manifest.purpose else { return true };
            backup.manifest.scope == scope
        });
        let ours = ours.filter(|backup| instance.is(&backup.manifest.instance));
        let decisions = self.decide(ours, now);
        decisions.into_iter().filter(Decision::is_expired).map(|decision| decision.backup).collect()
    }

    /// Whether a backup that is gone would have expired at `now`, were it still among the others.
    pub fn would_have_expired(&self, gone: &Backup, catalogue: &Catalogue, now: Timestamp) -> bool {
        let others = catalogue.kept().filter(|backup| {
            backup.manifest.instance == gone.manifest.instance
                && backup.manifest.scope == gone.manifest.scope
                // Its manifest may be there without its dump.
                && backup.path() != gone.path()
        });
        let decisions = self.decide(others.chain([gone]), now);
        let of_gone = |decision: &&Decision<'_>| std::ptr::eq(decision.backup, gone);
        decisions.iter().find(of_gone).is_some_and(Decision::is_expired)
    }

    /// Decides about all backups of a location, the oldest first.
    pub fn explain<'a>(&self, catalogue: &'a Catalogue, now: Timestamp) -> Vec<Decision<'a>> {
        let instances = catalogue.instances();
        // The next backup of an instance prunes those of releases before 0.2 as well.
        let successor = |former: &'a str| {
            let mut successors = instances.iter().filter(|name| Instance::succeeds(name, former));
            match (successors.next(), successors.next()) {
                (Some(one), None) => *one,
                _ => former,
            }
        };
        let mut decisions = Vec::new();
        for &instance in &instances {
            for scope in [Scope::Full, Scope::Entries] {
                let group = catalogue.kept().filter(|backup| {
                    successor(&backup.manifest.instance) == instance
                        && backup.manifest.scope == scope
                });
                decisions.extend(self.decide(group, now));
            }
        }
        let of_drills = |backup: &&Backup| backup.manifest.purpose == Purpose::Drill;
        decisions.extend(self.decide(catalogue.backups.iter().filter(of_drills), now));
        decisions.sort_by(|a, b| {
            let key = |decision: &Decision<'_>| {
                (decision.backup.manifest.snapshot_at, decision.backup.path())
            };
            key(a).cmp(&key(b))
        });
        decisions
    }

    /// Decides about the backups of one instance and scope, and about those of drills, in no order.
    fn decide<'a>(
        &self,
        backups: impl Iterator<Item = &'a Backup>,
        now: Timestamp,
    ) -> Vec<Decision<'a>> {
        let (mut ours, drills): (Vec<&Backup>, Vec<&Backup>) =
            backups.partition(|backup| backup.manifest.purpose == Purpose::Backup);
        ours.sort_by_key(|backup| std::cmp::Reverse((backup.manifest.snapshot_at, backup.path())));
        let mut kept: Vec<Vec<Kept>> = vec![Vec::new(); ours.len()];
        // One that was cut short or does not restore is none to rely on.
        let sound: Vec<usize> = (0..ours.len()).filter(|&index| ours[index].is_sound()).collect();
        let keep_last = self.keep_last.max(1);
        for &index in sound.iter().take(keep_last) {
            kept[index].push(Kept::Last);
        }
        let spared_before = sound.get(keep_last - 1).map_or(ours.len(), |&index| index);
        let days = SignedDuration::from_hours(24 * i64::from(self.days));
        let oldest = now.saturating_sub(days).unwrap_or(Timestamp::MIN);
        for (index, backup) in ours.iter().enumerate() {
            if backup.manifest.snapshot_at >= oldest {
                kept[index].push(Kept::Days);
            }
            if !backup.is_sound() && index < spared_before {
                kept[index].push(Kept::TooFew);
            }
        }
        let periods: [(usize, Kept, Period); 3] = [
            (self.keep_daily, Kept::Daily, day),
            (self.keep_weekly, Kept::Weekly, week),
            (self.keep_monthly, Kept::Monthly, month),
        ];
        for (count, reason, period) in periods {
            let of = |index: usize| period(date(ours[index].manifest.snapshot_at));
            // The first of a period is its newest.
            let mut newest = sound.clone();
            newest.dedup_by_key(|index| of(*index));
            for index in newest.into_iter().take(count) {
                kept[index].push(reason);
            }
        }
        if let Some(index) = ours.iter().position(|backup| backup.is_verified()) {
            kept[index].push(Kept::NewestVerified);
        }
        let ours = ours.into_iter().zip(kept);
        let mut decisions: Vec<Decision<'_>> =
            ours.map(|(backup, kept)| Decision::of(backup, kept, days, now)).collect();
        decisions.extend(drills.into_iter().map(|backup| {
            let is_young = backup.manifest.snapshot_at >= now - DRILL_FOR;
            Decision::of(
                backup,
                is_young.then_some(Kept::Drill).into_iter().collect(),
                DRILL_FOR,
                now,
            )
        }));
        decisions
    }
}

/// The day, week or month of a date.
type Period = fn(Date) -> (i16, i16);

fn date(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

fn day(date: Date) -> (i16, i16) {
    (date.year(), date.day_of_year())
}

fn week(date: Date) -> (i16, i16) {
    let week = date.iso_week_date();
    (week.year(), week.week().into())
}

fn month(date: Date) -> (i16, i16) {
    (date.year(), date.month().into())
}

#[cfg(test)]
mod tests;
