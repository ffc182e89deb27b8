//! The kind `AgentFSDrill`: drills that somebody asks for, and the records of the others.

use agentfs_contract::drill_record::DrillRecord;
use agentfs_contract::setting;
use agentfs_contract::termination::DrillReport;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt as _;

use crate::agentfs::names::Names;
use crate::crd::AgentFSDrill;
use crate::crd::agentfs::Objectives;
use crate::crd::drill::AgentFSDrillStatus;
use crate::kit::conditions::{Failure, READY, State};
use crate::kit::sentences::without_full_stop;
use crate::task::named::{self, Named};
use crate::task::observe::Seen;
use crate::task::outcome::Stage;
use crate::task::{Like, Orders, Report, Task, Work, reasons, same, scratch, step_word};

impl Task for AgentFSDrill {
    const WHAT: &'static str = "drill";

    fn agentfs(&self) -> &str {
        &self.spec.agent_fs
    }

    fn ended_at(&self) -> Option<Timestamp> {
        self.status.as_ref()?.finished_time.as_ref().map(|time| time.0)
    }

    fn ttl_seconds(&self) -> Option<i64> {
        self.spec.ttl_seconds_after_finished
    }

    fn record(&self) -> Option<State> {
        let at = self.spec.record_of.as_ref()?;
        let status = self.status.as_ref();
        Some(match status.and_then(|status| status.result.as_deref()) {
            Some("Succeeded") => passed(self, status),
            Some("Failed") => State::Failed(Failure::new(
                reasons::FAILED,
                status
                    .and_then(what_its_pod_said)
                    .unwrap_or_else(|| format!("The drill of {at} failed")),
                "Fix what the message names; the next drill of the schedule shows whether it is, or create an AgentFSDrill.",
            )),
            _ => {
                State::progressing(reasons::RUNNING, format!("The drill of {at} is being recorded"))
            }
        })
    }

    fn written_by_pods(&self) -> String {
        let written = self.status.as_ref().filter(|_| self.spec.record_of.is_some());
        let written = written.map(|s| (&s.result, &s.rpo_seconds, &s.rto_seconds));
        serde_json::to_string(&written).unwrap_or_default()
    }

    fn step(status: &AgentFSDrillStatus) -> Option<&str> {
        status.step.as_deref()
    }

    fn orders(&self, seen: &Seen) -> Orders {
        let mut arguments = vec!["drill".to_owned()];
        let declared =
            seen.agentfs.as_ref().and_then(|agentfs| agentfs.spec.backup.objectives.clone());
        let Objectives { mut rpo, rto } = declared.unwrap_or_default();
        if let Some(name) = &self.spec.backup {
            let Named { selector, bucket } = match named::backup(self, name, seen) {
                Ok(named) => named,
                Err(orders) => return orders,
            };
            arguments.push(format!("--backup={selector}"));
            arguments.extend(bucket.map(|bucket| format!("--to={bucket}")));
            // How old the newest backup may be says nothing of the one that somebody has chosen.
            rpo = None;
        }
        for (option, wanted) in [("--rpo", rpo), ("--rto", rto)] {
            arguments.extend(wanted.map(|wanted| format!("{option}={wanted}")));
        }
        let has_own = seen.cronjob(Like::Drill, self.agentfs()).is_some();
        let has_volume = seen.cronjob(Like::Verify, self.agentfs()).is_some();
        // Both have a volume to restore into; whether there is a schedule of drills does not matter here.
        let like = if !has_own && has_volume { Like::Verify } else { Like::Drill };
        let namespace = self.namespace().unwrap_or_default();
        let url = Names::new(self.agentfs()).api_url(&namespace);
        Orders::Run(Work { like, arguments, variables: vec![(setting::AGENTFS_URL, url)] })
    }

    fn failure(&self, left: &str, seen: &Seen) -> Option<Failure> {
        scratch::too_small(self, left, seen.job.as_ref())
    }

    fn report(&self, stage: &Stage, _seen: &Seen) -> Report<AgentFSDrillStatus> {
        let mut status = self.status.clone().unwrap_or_default();
        if let Stage::Succeeded { left, at } | Stage::Failed { left, at, .. } = stage
            && let Some(report) = DrillReport::read(left)
            && let Some(measured) = same::<AgentFSDrillStatus>(&DrillRecord::of(&report, *at))
        {
            status = measured;
        }
        let (step, result) = match stage {
            Stage::Record(_) => (status.step.take(), None),
            Stage::Waiting(_) => (Some("Waiting".into()), None),
            Stage::Running { progress: None, .. } => {
                // A pod that does not answer for a moment has not gone back.
                let at = status.step.take().filter(|step| step != "Waiting");
                (at.or_else(|| Some("Starting".into())), Some("Running"))
            }
            Stage::Running { progress: Some(progress), .. } => {
                (Some(step_word(&progress.step)), Some("Running"))
            }
            Stage::Succeeded { .. } => (Some("Done".into()), Some("Succeeded")),
            Stage::AlreadyDone { .. } => (Some("Done".into()), Some("AlreadyDone")),
            Stage::Failed { .. } => (Some("Failed".into()), Some("Failed")),
        };
        status.step = step;
        status.result = result.map(str::to_owned).or(status.result);
        status.finished_time = status.finished_time.or(stage.ended_at().map(Time));
        let ready = match stage {
            Stage::Succeeded { .. } => passed(self, Some(&status)),
            _ => stage.ready(self),
        };
        Report { states: vec![(READY, ready)], status }
    }

    fn with_conditions(
        status: AgentFSDrillStatus,
        conditions: Vec<Condition>,
        generation: Option<i64>,
    ) -> AgentFSDrillStatus {
        AgentFSDrillStatus { conditions, observed_generation: generation, ..status }
    }
}

/// Why a drill failed, in the words of the pod that recorded it; without what this operator has added to them.
fn what_its_pod_said(status: &AgentFSDrillStatus) -> Option<String> {
    let ready = status.conditions.iter().find(|c| c.type_ == READY && c.reason == "Failed")?;
    let said = ready.message.split(" (since ").next()?;
    Some(without_full_stop(said))
}

/// That a drill passed.
fn passed(drill: &AgentFSDrill, status: Option<&AgentFSDrillStatus>) -> State {
    let measured = status.and_then(|status| status.rpo.as_ref().zip(status.rto.as_ref()));
    let measured = measured.map(|(rpo, rto)| {
        let lost = match &drill.spec.backup {
            Some(name) => format!("the AgentFSBackup {name}, {rpo} old, was restored"),
            None => format!("a disaster would have lost {rpo} at most"),
        };
        format!(": {lost}, and the API served again after {rto}")
    });
    let message = format!("The drill passed{}.", measured.unwrap_or_default());
    State::true_because(reasons::SUCCEEDED, message)
}
