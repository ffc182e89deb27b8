//! How a restore stands, as its status says it.

use agentfs_contract::progress::Progress;
use agentfs_contract::termination::{AlreadyDone, RestoreReport, UnfinishedRestore};
use agentfs_contract::verification::Step as Timed;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::step::Step;
use crate::crd::AgentFSRestore;
use crate::crd::backup::AgentFSBackupStatus;
use crate::crd::drill::TimedStep;
use crate::crd::restore::{AgentFSRestoreStatus, Source};
use crate::kit::conditions::{Failure, READY, State, clock};
use crate::kit::sentences::without_full_stop;
use crate::task::Report;
use crate::task::observe::Seen;
use crate::task::outcome::Stage;
use crate::task::reasons::{RUNNING, SUCCEEDED};

/// Results, as people see them.
const OK: &str = "Succeeded";
const NOT_OK: &str = "Failed";
/// That of one that was carried out before.
pub(super) const DONE_BEFORE: &str = "AlreadyDone";

/// How `restore` stands at `stage`.
pub fn report(
    restore: &AgentFSRestore,
    stage: &Stage,
    seen: &Seen,
) -> Report<AgentFSRestoreStatus> {
    let status = restore.status.clone().unwrap_or_default();
    let ready = stage.ready(restore);
    let mut told = Told { restore, seen, ready, status };
    told.status.source = told.source(None);
    match stage {
        Stage::Record(_) => {}
        Stage::Waiting(_) => told.waits(),
        Stage::Running { progress, trouble } => told.runs(progress.as_ref(), trouble.is_none()),
        Stage::Succeeded { left, at } => told.succeeded(left, *at),
        Stage::AlreadyDone { done, at } => {
            let step = if done.succeeded { Step::Done } else { Step::Failed };
            told.was_done(done);
            told.ended(step, DONE_BEFORE, *at);
        }
        Stage::Failed { failure, left, at } => told.failed(failure, left, *at),
    }
    Report { states: vec![(READY, told.ready)], status: told.status }
}

/// What was said of a restore before, with what is known now.
struct Told<'a> {
    restore: &'a AgentFSRestore,
    seen: &'a Seen,
    ready: State,
    status: AgentFSRestoreStatus,
}

impl Told<'_> {
    fn waits(&mut self) {
        // One whose Job was held back while others had the turn goes on from where it was.
        if self.status.switched_time.is_none() {
            self.at(Step::Waiting);
        }
    }

    fn runs(&mut self, progress: Option<&Progress>, is_well: bool) {
        match progress {
            Some(progress) => self.note(progress),
            None if self.has_not_begun() => self.at(Step::Starting),
            // It does not answer now, and is where it was.
            None => {}
        }
        if is_well {
            self.ready = State::progressing(RUNNING, self.under_way());
        }
    }

    fn has_not_begun(&self) -> bool {
        self.status.step.as_deref().is_none_or(|step| step == Step::Waiting.word())
    }

    /// Notes what the pod says of itself.
    fn note(&mut self, progress: &Progress) {
        let has_switched = self.status.switched_time.is_some() || progress.switched_at.is_some();
        let step = Step::of(progress);
        // A pod that takes over what has switched begins with the steps before that.
        let step = if has_switched { step.max(Step::Switched) } else { step };
        self.at(step);
        self.status.source = self.source(progress.backup.as_deref());
        let percent = progress.percent.filter(|_| step.has_percent());
        self.status.progress = percent.map(|percent| format!("{}%", percent.min(100)));
        if has_switched {
            self.status.result = Some(OK.into());
        }
        let status = &mut self.status;
        status.switched_time = progress.switched_at.map(Time).or(status.switched_time.take());
        status.downtime = progress.switch_seconds.map(brief).or(status.downtime.take());
        status.lost_versions = progress.lost_versions.or(status.lost_versions);
    }

    /// What is under way, as a sentence.
    fn under_way(&self) -> String {
        let step = self.status.step.as_deref().unwrap_or_default().to_lowercase();
        let source = self.status.source.as_deref().unwrap_or("the backup");
        match self.status.switched_time.as_ref() {
            Some(since) => format!(
                "What was restored is live since {}; vector indexes and what else follows the switch are on their way",
                clock(since.0)
            ),
            None if self.restore.spec.undo.is_some() => format!("Undoing {source}: {step}"),
            None => format!("Restoring {source}: {step}"),
        }
    }

    fn succeeded(&mut self, left: &str, at: Timestamp) {
        if let Some(report) = RestoreReport::read(left) {
            self.status.id = Some(report.restore.clone());
            self.status.source = self.source(Some(&report.backup));
            self.status.steps = timed(&report.steps);
            match &self.restore.spec.new_database() {
                Some(name) => self.made(name, &report),
                None => self.switched(&report),
            }
        }
        self.ended(Step::Done, OK, at);
    }

    /// It came to its end, in place.
    fn switched(&mut self, report: &RestoreReport) {
        let undone = self.restore.spec.undo.as_deref();
        let words = switched_in_words(report, &self.restore.name_any(), undone);
        self.ready = State::true_because(SUCCEEDED, words);
        let status = &mut self.status;
        status.downtime = Some(brief(report.switch_seconds));
        status.lost_versions = Some(report.lost_versions);
        status.switched_time = Some(Time(report.switched_at));
        status.previous_until = report.kept_until().map(Time);
    }

    /// It was carried out before: what is known of that is what another one needs that takes it back.
    fn was_done(&mut self, done: &AlreadyDone) {
        self.status.id = done.restore.clone().or(self.status.id.take());
        if self.restore.spec.new_database().is_none() {
            let status = &mut self.status;
            status.switched_time = done.switched_at.map(Time).or(status.switched_time.take());
            status.previous_until = done.kept_until().map(Time).or(status.previous_until.take());
        }
    }

    /// It came to its end, with a new database of this name.
    fn made(&mut self, name: &str, report: &RestoreReport) {
        let words = format!(
            "The database {name} holds {}. Keys that were ended since are valid in it: end them there as well before anything serves from it.",
            report.backup
        );
        self.ready = State::true_because(SUCCEEDED, words);
    }

    /// It ended without success. What has switched is live nevertheless, and what was left to do belongs to the AgentFS.
    fn failed(&mut self, failure: &Failure, left: &str, at: Timestamp) {
        if UnfinishedRestore::read(left).is_some() {
            // The moment of the switch is not known where nobody asked the pod in time.
            self.status.switched_time.get_or_insert(Time(at));
        }
        let Some(since) = self.status.switched_time.as_ref() else {
            self.ended(Step::Failed, NOT_OK, at);
            return;
        };
        let words = format!(
            "What was restored is live since {}. Its Job did not come to its end: {}. The next backup, verification, drill, migration or \
             restore of this AgentFS does what is left.",
            clock(since.0),
            without_full_stop(&failure.what)
        );
        self.ready = State::true_because(SUCCEEDED, words);
        self.ended(Step::Done, OK, at);
    }

    fn ended(&mut self, step: Step, result: &str, at: Timestamp) {
        self.at(step);
        self.status.result = Some(result.into());
        self.status.finished_time = Some(Time(at));
    }

    /// It is at this step, of which it is not known how much is done.
    fn at(&mut self, step: Step) {
        self.status.step = Some(step.word().into());
        self.status.progress = None;
    }

    /// What is restored, as far as the spec tells.
    fn asked_for(&self) -> Option<String> {
        let spec = &self.restore.spec;
        match (&spec.undo, &spec.source) {
            (Some(of), _) => Some(of.clone()),
            (None, Some(Source { backup: Some(name), .. })) => Some(name.clone()),
            (None, Some(Source { id: Some(id), .. })) => Some(self.named(id)),
            _ => None,
        }
    }

    /// What is restored: what the pod says, where the spec leaves that to it.
    fn source(&self, backup: Option<&str>) -> Option<String> {
        self.asked_for()
            .or_else(|| self.status.source.clone())
            .or_else(|| backup.map(|id| self.named(id)))
    }

    /// The AgentFSBackup with the backup `id`, or the id.
    fn named(&self, id: &str) -> String {
        let has_it = |status: &AgentFSBackupStatus| {
            status.backup.as_ref().is_some_and(|backup| backup.id == id)
        };
        let record =
            self.seen.backups.iter().find(|record| record.status.as_ref().is_some_and(has_it));
        record.map_or_else(|| id.to_owned(), ResourceExt::name_any)
    }
}

/// Seconds from which on requests did not wait, but were refused.
const AWAY: f64 = 5.0;

/// What a restore in place that came to its end has done; `name` is its own, `undone` that of the restore that it took back.
fn switched_in_words(report: &RestoreReport, name: &str, undone: Option<&str>) -> String {
    let (since, waited) = (clock(report.switched_at), brief(report.switch_seconds));
    let what = match undone {
        Some(of) => format!("{of} is undone: what was live before it is live again"),
        None => format!("{} is live", report.backup),
    };
    let lost = match (report.lost_versions, report.lost_tenants) {
        (0, _) => String::new(),
        (1, _) => " 1 version that was written since is not live any more.".to_owned(),
        (versions, 1) => {
            format!(" {versions} versions that were written since are not live any more.")
        }
        (versions, tenants) => {
            format!(
                " {versions} versions of {tenants} tenants that were written since are not live any more."
            )
        }
    };
    let indexed = match report.indexed_seconds {
        Some(_) => "",
        None => {
            " Some vector indexes are not built, so semantic search is slower; `agentfs-server admin embeddings index` builds them."
        }
    };
    let back = match report.kept_until() {
        Some(until) => {
            let until = clock(until);
            format!(" Until {until} another AgentFSRestore with spec.undo: {name} undoes it.")
        }
        None => " It cannot be undone, since nothing of what was live before is kept.".to_owned(),
    };
    let cost = if report.switch_seconds < AWAY {
        format!("requests waited {waited} at most")
    } else {
        format!("requests were not served for {waited} before")
    };
    format!("{what} since {since}; {cost}.{lost}{indexed}{back}")
}

fn timed(steps: &[Timed]) -> Vec<TimedStep> {
    let timed = |step: &Timed| TimedStep {
        name: step.name.clone(),
        milliseconds: milliseconds(step.seconds),
    };
    // As many as the schema takes; there are about ten.
    steps.iter().take(32).map(timed).collect()
}

/// A time of a switch, such as `11ms` or `1.2s`.
fn brief(seconds: f64) -> String {
    match milliseconds(seconds) {
        milliseconds @ ..1000 => format!("{milliseconds}ms"),
        _ => format!("{seconds:.1}s"),
    }
}

fn milliseconds(seconds: f64) -> i64 {
    let time = SignedDuration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
