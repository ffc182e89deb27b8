//! Whose turn it is: one task at a time for each AgentFS.
//!
//! The eldest goes first, except that one whose Job works keeps its turn, and that one which waits for something else, or whose
//! Job is stuck, lets all others go first. The Job of one that is stuck is suspended meanwhile. The backup or drill that a schedule of
//! the AgentFS has begun comes before all of them.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::outcome;
use super::reasons::{self, SUSPENDED};
use crate::kit::conditions::{READY, STALLED};

/// What a task makes of its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Its Job works.
    Works,
    /// It would begin.
    Wants,
    /// It was stuck, and would try again once no other wants to begin.
    Resumes,
    /// It has ended, goes away, is stuck, or waits for something else.
    None,
}

/// A task, as far as turns go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contender {
    /// When it was created.
    pub created: Timestamp,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What it makes of its turn.
    pub claim: Claim,
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// Who has the turn.
pub fn holder(contenders: &[Contender]) -> Option<&Contender> {
    let eldest = |claim| {
        let of_claim = contenders.iter().filter(move |contender| contender.claim == claim);
        of_claim.min_by_key(|contender| (contender.created, &contender.kind, &contender.name))
    };
    eldest(Claim::Works).or_else(|| eldest(Claim::Wants)).or_else(|| eldest(Claim::Resumes))
}

/// What a task makes of its turn that has not ended and does not go away, given its Job and its conditions. One that `asks`
/// would begin or go on, whatever its conditions said before.
pub fn claim(job: Option<&Job>, conditions: &[Condition], asks: bool) -> Claim {
    let is_stalled = conditions.iter().any(|c| c.type_ == STALLED && c.status == "True");
    let ready = conditions.iter().find(|c| c.type_ == READY).map(|c| c.reason.as_str());
    let would = asks || ready.is_none_or(reasons::is_about_to);
    match job {
        Some(job) if !outcome::is_unfinished(job) => Claim::None,
        Some(job) if !outcome::is_suspended(job) && is_stalled => Claim::None,
        Some(job) if !outcome::is_suspended(job) => Claim::Works,
        // It worked until its AgentFS was suspended.
        Some(_) if ready == Some(SUSPENDED.as_str()) => Claim::Wants,
        Some(_) if would => Claim::Resumes,
        None if would => Claim::Wants,
        _ => Claim::None,
    }
}

/// The names of the Jobs of a CronJob that have not ended, each with that of the CronJob.
pub(super) fn runs(cronjob: &CronJob) -> impl Iterator<Item = (&str, &str)> {
    let name = cronjob.metadata.name.as_deref().unwrap_or_default();
    let active = cronjob.status.as_ref().and_then(|status| status.active.as_ref());
    active.into_iter().flatten().filter_map(move |job| Some((job.name.as_deref()?, name)))
}

/// The one of these Jobs of `cronjobs` that is at work, in words: it has the database, so that a task would try in vain. One whose
/// pod does not start has nothing, and may stay so for long.
pub(super) fn scheduled(
    cronjobs: &BTreeMap<String, CronJob>,
    jobs: &BTreeMap<String, Job>,
) -> Option<String> {
    let works = |job: &Job| job.status.as_ref().and_then(|status| status.ready) > Some(0);
    let mut runs = cronjobs.values().flat_map(runs);
    let (job, cronjob) = runs.find(|(job, _)| jobs.get(*job).is_some_and(works))?;
    Some(format!("the Job {job} of CronJob {cronjob}"))
}

#[cfg(test)]
mod tests {
    use std::iter;

    use k8s_openapi::api::batch::v1::{JobCondition, JobSpec, JobStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use proptest::prelude::*;

    use super::*;
    use crate::kit::reasons::Reason;
    use crate::task::reasons::{AWAITING_TURN, BACKUPS_OFF, RUNNING};

    /// A task as it is in the cluster, and what its last reconcile said of it.
    #[derive(Clone, Debug)]
    struct Model {
        created: i64,
        name: String,
        job: Option<Job>,
        /// Its pods do not start.
        is_stuck: bool,
        conditions: Vec<Condition>,
        has_ended: bool,
    }

    /// What happens to the task of a number.
    #[derive(Clone, Copy, Debug)]
    enum Happens {
        Created { at: i64 },
        Reconciled(usize),
        Finished(usize),
        Stuck(usize),
        Mended(usize),
        LacksSomething(usize),
        JobDeleted(usize),
        Deleted(usize),
    }

    fn happens() -> impl Strategy<Value = Happens> {
        let task = || 0..6_usize;
        prop_oneof![
            2 => (0..3_i64).prop_map(|at| Happens::Created { at }),
            6 => task().prop_map(Happens::Reconciled),
            1 => task().prop_map(Happens::Finished),
            2 => task().prop_map(Happens::Stuck),
            1 => task().prop_map(Happens::Mended),
            1 => task().prop_map(Happens::LacksSomething),
            1 => task().prop_map(Happens::JobDeleted),
            1 => task().prop_map(Happens::Deleted),
        ]
    }

    fn said(kind: &str, status: &str, reason: Reason) -> Condition {
        Condition {
            type_: kind.into(),
            status: status.into(),
            reason: reason.to_string(),
            message: String::new(),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
            observed_generation: None,
        }
    }

    impl Model {
        fn new(made: usize, created: i64) -> Self {
            Self {
                created,
                name: format!("task-{made}"),
                job: None,
                is_stuck: false,
                conditions: Vec::new(),
                has_ended: false,
            }
        }

        fn runs(&self) -> bool {
            let runs = |job: &Job| outcome::is_unfinished(job) && !outcome::is_suspended(job);
            self.job.as_ref().is_some_and(runs)
        }

        fn set_suspended(&mut self, suspend: bool) {
            let job = self.job.get_or_insert_with(Job::default);
            job.spec = Some(JobSpec { suspend: Some(suspend), ..JobSpec::default() });
        }

        fn lacks_something(&self) -> bool {
            self.conditions.iter().any(|c| c.reason == BACKUPS_OFF.as_str())
        }

        fn finish(&mut self) {
            let complete = JobCondition {
                type_: "Complete".into(),
                status: "True".into(),
                ..JobCondition::default()
            };
            if let Some(job) = self.job.as_mut().filter(|_| !self.is_stuck) {
                let conditions = Some(vec![complete]);
                job.status = Some(JobStatus { conditions, ..JobStatus::default() });
            }
        }
    }

    /// Who has the turn, for the task of this number.
    fn has_turn(tasks: &[Model], asking: usize) -> bool {
        let living = tasks.iter().enumerate().filter(|(_, task)| !task.has_ended);
        let contender = |(at, task): (usize, &Model)| Contender {
            created: Timestamp::from_second(task.created).unwrap(),
            kind: "AgentFSBackup".into(),
            name: task.name.clone(),
            claim: claim(task.job.as_ref(), &task.conditions, at == asking),
        };
        let contenders: Vec<_> = living.map(contender).collect();
        holder(&contenders).is_some_and(|holder| holder.name == tasks[asking].name)
    }

    /// What the reconcile of a task does about its turn.
    fn reconcile(tasks: &mut [Model], at: usize) {
        let Some(task) = tasks.get_mut(at).filter(|task| !task.has_ended) else { return };
        if task.job.as_ref().is_some_and(|job| !outcome::is_unfinished(job)) {
            task.has_ended = true;
            return;
        }
        let (ran, lacks) = (task.runs(), task.job.is_none() && task.lacks_something());
        if lacks {
            return;
        }
        if ran {
            // Others suspend it.
            let stalled = task.is_stuck.then(|| said(STALLED, "True", RUNNING));
            task.conditions = iter::once(said(READY, "False", RUNNING)).chain(stalled).collect();
            return;
        }
        let has_turn = has_turn(tasks, at);
        for (other, task) in tasks.iter_mut().enumerate().filter(|_| has_turn) {
            if other != at && task.runs() {
                task.set_suspended(true);
            }
        }
        let task = &mut tasks[at];
        if has_turn || task.job.is_some() {
            task.set_suspended(!has_turn);
        }
        // That new pods are stuck is not seen at once.
        let reason = if has_turn { RUNNING } else { AWAITING_TURN };
        task.conditions = vec![said(READY, "False", reason)];
    }

    fn happen(tasks: &mut Vec<Model>, what: Happens, made: usize) {
        let at = match what {
            Happens::Created { at } => return tasks.push(Model::new(made, at)),
            Happens::Reconciled(task) => return reconcile(tasks, task),
            Happens::Finished(task)
            | Happens::Stuck(task)
            | Happens::Mended(task)
            | Happens::LacksSomething(task)
            | Happens::JobDeleted(task)
            | Happens::Deleted(task) => task,
        };
        let Some(task) = tasks.get_mut(at) else { return };
        match what {
            Happens::Finished(_) if task.runs() => task.finish(),
            Happens::Stuck(_) => task.is_stuck = true,
            Happens::Mended(_) => {
                task.is_stuck = false;
                task.conditions.clear();
            }
            Happens::LacksSomething(_) if task.job.is_none() => {
                task.conditions = vec![said(READY, "False", BACKUPS_OFF)];
            }
            Happens::JobDeleted(_) => task.job = None,
            Happens::Deleted(_) => drop(tasks.remove(at)),
            _ => {}
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn there_are_never_two_at_once_and_nobody_waits_for_ever(
            story in proptest::collection::vec(happens(), 0..60)
        ) {
            let mut tasks = Vec::new();
            for (made, what) in story.into_iter().enumerate() {
                happen(&mut tasks, what, made);
                let running = tasks.iter().filter(|task| task.runs()).count();
                prop_assert!(running <= 1, "{running} at once after {what:?}: {tasks:?}");
            }
            // Those that are stuck or lack something stay so, and the others end.
            for _ in 0..4 * tasks.len() {
                for at in 0..tasks.len() {
                    reconcile(&mut tasks, at);
                }
                tasks.iter_mut().filter(|task| task.runs()).for_each(Model::finish);
            }
            let waits =
                |task: &&Model| !task.has_ended && !task.is_stuck && !task.lacks_something();
            prop_assert!(tasks.iter().filter(waits).count() == 0, "{tasks:?}");
        }
    }

    #[test]
    fn the_eldest_goes_first_and_one_that_works_goes_on() {
        let contender = |second, name: &str, claim| Contender {
            created: Timestamp::from_second(second).unwrap(),
            kind: "AgentFSRestore".into(),
            name: name.into(),
            claim,
        };
        let mut all = [
            contender(2, "second", Claim::Wants),
            contender(1, "first", Claim::Wants),
            contender(0, "ended", Claim::None),
        ];
        assert_eq!(holder(&all).unwrap().to_string(), "AgentFSRestore first");
        all[0].claim = Claim::Works;
        assert_eq!(holder(&all).unwrap().name, "second");
        all[0].claim = Claim::Wants;
        all[1].claim = Claim::Resumes;
        assert_eq!(holder(&all).unwrap().name, "second");
        all[0].claim = Claim::None;
        assert_eq!(holder(&all).unwrap().name, "first");
        assert_eq!(holder(&all[2..]), None);
    }
}
