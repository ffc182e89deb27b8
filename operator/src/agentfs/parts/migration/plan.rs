//! When the schema is migrated: which Job runs next, and how long a failed one is waited with.
//!
//! Nothing is remembered but the Jobs themselves: each carries what it migrates (a hash) and which
//! try it is, so an operator that was killed goes on where it was. The backup before an upgrade is tried by the same rules, with an
//! AgentFSBackup in place of a Job.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;

use super::before;
use crate::agentfs::validate::PlanInputs;
use crate::crd::fields::Resources;
use crate::kit::validation::{Invalid, resources_are_valid};

/// The pause after the first failed try, which doubles with each further one, and the longest.
const PAUSES: (SignedDuration, SignedDuration) =
    (SignedDuration::from_secs(10), SignedDuration::from_mins(5));
/// The same where each try leaves a backup: they would fill any volume.
const DEAR_PAUSES: (SignedDuration, SignedDuration) =
    (SignedDuration::from_hours(1), SignedDuration::from_hours(24));

/// The annotation of a migration Job that says what it migrates and with what.
pub const MIGRATION: &str = "agentfs.io/migration";
/// The annotation of a migration Job that counts the tries of one migration.
pub const ATTEMPT: &str = "agentfs.io/attempt";

/// What is known of the schema.
#[derive(Clone, Debug)]
pub struct SchemaFacts {
    /// Whether the database takes connections, or is somebody else's to look after.
    pub database_ready: bool,
    /// CPU and memory of the migration's pod, where the spec says so.
    pub resources: Option<Resources>,
    /// The migrations that were tried.
    pub attempts: Vec<Attempt>,
    /// The backups before upgrades that were tried.
    pub backups: Vec<Attempt>,
    /// Whether a backup is to be made before an upgrade.
    pub backs_up: bool,
    /// How an upgrade is rehearsed on that, where it is to be.
    pub rehearsal: Option<Rehearsal>,
    /// The moment that pauses are counted to.
    pub now: Timestamp,
}

/// What is known of the schema, with a database that is ready or not.
pub fn facts(inputs: &PlanInputs<'_>, database_ready: bool) -> Result<SchemaFacts, Invalid> {
    let PlanInputs { spec, observed, .. } = inputs;
    let own = spec.migration.resources.as_ref();
    resources_are_valid("spec.migration.resources", own)?;
    Ok(SchemaFacts {
        database_ready,
        resources: own.or(spec.api.resources.as_ref()).cloned(),
        attempts: attempts(&observed.parts.migration.jobs),
        backups: before::attempts(&observed.parts.migration.backups),
        backs_up: spec.upgrades.backup_before
            && spec.backup.enabled
            && (spec.upgrades.rehearse || !spec.backup.suspend),
        rehearsal: spec.upgrades.rehearse.then(|| {
            let verify = &spec.backup.verify;
            let room = (verify.enabled, &verify.storage, &verify.resources);
            let room = serde_json::to_string(&room).unwrap_or_default();
            Rehearsal { room, waits: spec.backup.suspend }
        }),
        now: observed.now,
    })
}

/// How an upgrade is rehearsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsal {
    /// The volume and the resources that the spec gives it, as JSON: with others it is another one, which begins at once.
    pub room: String,
    /// Whether it waits, since no backups are to be made for now.
    pub waits: bool,
}

/// One try of a migration, as its Job tells; or of the backup before one, as its AgentFSBackup tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The name of the Job or AgentFSBackup.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// What it migrates, and with what.
    pub hash: String,
    /// Which try it is, from 1.
    pub number: u32,
    /// How it stands.
    pub state: AttemptState,
    /// Whether it has left a backup: then another try makes one more, and is not made so soon.
    pub left_a_backup: bool,
}

/// How a try stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptState {
    /// It waits, runs, or is being tried again by its Job.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended badly, at this moment.
    Failed(Timestamp),
}

/// What is to be done about the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// What the Job needs cannot be had: wait.
    AwaitCredentials,
    /// The database is not ready and no Job was started: wait.
    AwaitDatabase,
    /// A restore in place is under way, and no Job was started: wait.
    AwaitRestore,
    /// The backup before the upgrade is not made, and no Job was started: wait.
    AwaitBackup,
    /// This try is to be run, or runs.
    Run {
        /// Which try.
        attempt: u32,
    },
    /// This try failed; the next one is due at `until`.
    Pause {
        /// Which try failed.
        attempt: u32,
        /// When the next one is due.
        until: Timestamp,
    },
    /// This try succeeded: the schema fits.
    Done {
        /// Which try.
        attempt: u32,
    },
}

impl Next {
    /// The try whose Job must be there, if any.
    pub fn attempt(self) -> Option<u32> {
        match self {
            Self::AwaitCredentials
            | Self::AwaitDatabase
            | Self::AwaitRestore
            | Self::AwaitBackup => None,
            Self::Run { attempt } | Self::Pause { attempt, .. } | Self::Done { attempt } => {
                Some(attempt)
            }
        }
    }
}

/// The tries that `jobs` tell of. A Job that does not say what it migrates counts as one of
/// something else.
pub fn attempts<'a>(jobs: impl IntoIterator<Item = &'a Job>) -> Vec<Attempt> {
    jobs.into_iter()
        .map(|job| {
            let annotation = |key: &str| job.annotations().get(key).map(String::as_str);
            Attempt {
                name: job.name_any(),
                uid: job.uid().unwrap_or_default(),
                hash: annotation(MIGRATION).unwrap_or_default().to_owned(),
                number: annotation(ATTEMPT).and_then(|n| n.parse().ok()).unwrap_or(1),
                state: state(job),
                left_a_backup: false,
            }
        })
        .collect()
}

/// Whether a migration to `image` was run, and nothing of any is still to be done.
pub fn is_done(jobs: &[Job], image: &str) -> bool {
    let mut attempts = attempts(jobs).into_iter();
    let is_of_image = |job: &Job| {
        let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let mut containers = pod.into_iter().flat_map(|pod| &pod.containers);
        containers.any(|container| container.image.as_deref() == Some(image))
    };
    jobs.iter().any(is_of_image) && attempts.all(|attempt| attempt.state == AttemptState::Succeeded)
}

/// What is to be done for the migration `hash`, given the tries so far.
pub fn next(attempts: &[Attempt], hash: &str, database_ready: bool, now: Timestamp) -> Next {
    let latest = attempts.iter().filter(|a| a.hash == hash).max_by_key(|a| a.number);
    let Some(latest) = latest else {
        return if database_ready { Next::Run { attempt: 1 } } else { Next::AwaitDatabase };
    };
    let attempt = latest.number;
    match latest.state {
        AttemptState::Running => Next::Run { attempt },
        AttemptState::Succeeded => Next::Done { attempt },
        AttemptState::Failed(at) => {
            let until = at.saturating_add(pause(latest)).unwrap_or(Timestamp::MAX);
            if now < until || !database_ready {
                Next::Pause { attempt, until: until.max(now) }
            } else {
                Next::Run { attempt: attempt.saturating_add(1) }
            }
        }
    }
}

/// The Jobs that are no longer of use: all but the current one, and until that has succeeded the
/// failed one before it, which says why it is tried again. None are while the current one is waited for: an upgrade is known by the
/// Job before it.
pub fn obsolete(attempts: &[Attempt], hash: &str, next: Next) -> Vec<String> {
    let current = next.attempt();
    if current.is_none() {
        return Vec::new();
    }
    let explains = |a: &Attempt| {
        let done = matches!(next, Next::Done { .. });
        !done
            && matches!(a.state, AttemptState::Failed(_))
            && Some(a.number.saturating_add(1)) == current
    };
    attempts
        .iter()
        .filter(|a| a.hash != hash || (Some(a.number) != current && !explains(a)))
        .map(|a| a.name.clone())
        .collect()
}

fn pause(failed: &Attempt) -> SignedDuration {
    let (first, longest) = if failed.left_a_backup { DEAR_PAUSES } else { PAUSES };
    let doublings = failed.number.saturating_sub(1).min(10);
    first.saturating_mul(1 << doublings).min(longest)
}

fn state(job: &Job) -> AttemptState {
    let conditions = job.status.iter().flat_map(|s| s.conditions.iter().flatten());
    for condition in conditions.filter(|c| c.status == "True") {
        match condition.type_.as_str() {
            "Complete" => return AttemptState::Succeeded,
            "Failed" => {
                let at = condition.last_transition_time.as_ref().map(|time| time.0);
                return AttemptState::Failed(at.unwrap_or(Timestamp::UNIX_EPOCH));
            }
            _ => {}
        }
    }
    AttemptState::Running
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn tried(number: u32, state: AttemptState) -> Attempt {
        Attempt {
            name: format!("job-{number}"),
            uid: format!("uid-{number}"),
            hash: "h".into(),
            number,
            state,
            left_a_backup: false,
        }
    }

    #[test]
    fn nothing_runs_before_the_database_is_ready() {
        assert_eq!(next(&[], "h", false, at(0)), Next::AwaitDatabase);
        assert_eq!(next(&[], "h", true, at(0)), Next::Run { attempt: 1 });
    }

    #[test]
    fn a_migration_that_is_done_stays_done_while_the_database_restarts() {
        let done = [tried(2, AttemptState::Succeeded), tried(1, AttemptState::Failed(at(0)))];
        assert_eq!(next(&done, "h", false, at(99)), Next::Done { attempt: 2 });
    }

    #[test]
    fn a_failed_try_is_repeated_after_a_growing_pause() {
        let first = [tried(1, AttemptState::Failed(at(0)))];
        assert_eq!(next(&first, "h", true, at(9)), Next::Pause { attempt: 1, until: at(10) });
        assert_eq!(next(&first, "h", true, at(10)), Next::Run { attempt: 2 });
        let third = [tried(3, AttemptState::Failed(at(0)))];
        assert_eq!(next(&third, "h", true, at(39)), Next::Pause { attempt: 3, until: at(40) });
        let many = [tried(900, AttemptState::Failed(at(0)))];
        assert_eq!(next(&many, "h", true, at(300)), Next::Run { attempt: 901 });
    }

    #[test]
    fn a_failed_try_that_left_a_backup_is_not_repeated_so_soon() {
        let failed =
            |number| Attempt { left_a_backup: true, ..tried(number, AttemptState::Failed(at(0))) };
        let hour = 3600;
        for (number, pause) in [(1, hour), (2, 2 * hour), (6, 24 * hour), (900, 24 * hour)] {
            let waits = Next::Pause { attempt: number, until: at(pause) };
            assert_eq!(next(&[failed(number)], "h", true, at(pause - 1)), waits);
            let again = Next::Run { attempt: number + 1 };
            assert_eq!(next(&[failed(number)], "h", true, at(pause)), again);
        }
    }

    #[test]
    fn another_migration_begins_anew() {
        let old = [tried(4, AttemptState::Succeeded)];
        assert_eq!(next(&old, "other", true, at(0)), Next::Run { attempt: 1 });
        assert_eq!(obsolete(&old, "other", Next::Run { attempt: 1 }), ["job-4"]);
        for waits in [Next::AwaitDatabase, Next::AwaitRestore, Next::AwaitBackup] {
            assert_eq!(obsolete(&old, "other", waits), Vec::<String>::new(), "{waits:?}");
        }
    }

    #[test]
    fn the_failed_job_that_explains_a_retry_is_kept_until_it_succeeds() {
        let tries = [
            tried(1, AttemptState::Failed(at(0))),
            tried(2, AttemptState::Failed(at(20))),
            tried(3, AttemptState::Running),
        ];
        assert_eq!(obsolete(&tries, "h", Next::Run { attempt: 3 }), ["job-1"]);
        assert_eq!(obsolete(&tries, "h", Next::Done { attempt: 3 }), ["job-1", "job-2"]);
    }
}
