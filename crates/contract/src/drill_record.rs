//! The record of a drill in Kubernetes: what the status of an AgentFSDrill says of it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::people;
use crate::termination::{DrillReport, Objectives};

/// The kind.
pub const KIND: &str = "AgentFSDrill";
/// The resource in paths of the API server.
pub const PLURAL: &str = "agentfsdrills";

/// What the status says of a drill that came to a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillRecord {
    /// `Succeeded` or `Failed`.
    pub result: String,
    /// The most time whose writes a disaster would have lost, for people, for example `21h52m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<String>,
    /// How long the restore took until the API served, for people, for example `58s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto: Option<String>,
    /// The recovery point in whole seconds, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_seconds: Option<i64>,
    /// The recovery time in whole seconds, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_seconds: Option<i64>,
    /// `met` or `missed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objectives: Option<Objectives>,
    /// How long each step took.
    pub steps: Vec<TimedStep>,
    /// When it ended.
    pub finished_time: Timestamp,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimedStep {
    /// What was done.
    pub name: String,
    /// How long it took, in milliseconds.
    pub milliseconds: i64,
}

impl DrillRecord {
    /// What a report says, of a drill that ended then.
    pub fn of(report: &DrillReport, finished_time: Timestamp) -> Self {
        let time = |seconds: Option<f64>| {
            seconds.and_then(|seconds| SignedDuration::try_from_secs_f64(seconds).ok())
        };
        let (rpo, rto) = (time(report.rpo_seconds), time(report.serving_seconds));
        let steps = report.steps.iter().map(|step| TimedStep {
            name: step.name.clone(),
            milliseconds: (step.seconds * 1000.0) as i64,
        });
        Self {
            result: if report.passed { "Succeeded" } else { "Failed" }.into(),
            rpo: rpo.map(people::duration),
            rto: rto.map(people::duration),
            rpo_seconds: rpo.map(people::whole_seconds),
            rto_seconds: rto.map(people::whole_seconds),
            objectives: report.objectives,
            steps: steps.collect(),
            finished_time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verification::Step;

    #[test]
    fn a_report_becomes_what_people_read() {
        let report = DrillReport {
            passed: true,
            message: None,
            transient: None,
            rpo_seconds: Some(78_719.5),
            serving_seconds: Some(57.2),
            indexed_seconds: Some(90.0),
            objectives: Some(Objectives::Met),
            steps: vec![Step { name: "load".into(), seconds: 1.5 }],
        };
        let record = DrillRecord::of(&report, "2026-10-01T04:01:30Z".parse().unwrap());
        assert_eq!(
            serde_json::to_value(&record).unwrap(),
            serde_json::json!({
                "result": "Succeeded", "rpo": "21h52m", "rto": "58s", "rpoSeconds": 78_720, "rtoSeconds": 58,
                "objectives": "met", "steps": [{"name": "load", "milliseconds": 1500}],
                "finishedTime": "2026-10-01T04:01:30Z",
            })
        );
        let nothing = DrillReport { rpo_seconds: None, serving_seconds: None, ..report };
        let record = DrillRecord::of(&nothing, record.finished_time);
        assert_eq!((record.rpo, record.rto_seconds), (None, None), "there was no backup");
    }
}
