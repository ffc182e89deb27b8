//! Records of drills that nobody asked for by a resource.

use agentfs_contract::drill_record::{DrillRecord, KIND, PLURAL};
use agentfs_contract::record::{self, API_VERSION, OF};
use agentfs_contract::setting::{RECORDS_OF, REQUEST};
use agentfs_contract::termination::DrillReport;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::facts::to_the_second;
use super::kubernetes::{Kubernetes, KubernetesError};
use super::{WITHIN, setting};

/// Most records of drills that an AgentFS has: five years of one a quarter.
const KEPT: usize = 20;

/// Makes the AgentFSDrill of a drill that began then, where this process is to, and deletes the oldest ones of too many. A failure
/// is logged.
pub async fn keep_drill(begun_at: Timestamp, report: &DrillReport) {
    let (Some(agentfs), None) = (setting(RECORDS_OF), setting(REQUEST)) else { return };
    let failure = match timeout(WITHIN, Box::pin(make(&agentfs, begun_at, report))).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it took longer than {} s", WITHIN.as_secs()),
    };
    tracing::warn!(
        "the AgentFSDrills of {agentfs} do not say what this drill came to, or are too many: {failure}"
    );
}

async fn make(
    agentfs: &str,
    begun_at: Timestamp,
    report: &DrillReport,
) -> Result<(), KubernetesError> {
    let kubernetes = Kubernetes::of_pod()?;
    let stamp = begun_at.to_zoned(TimeZone::UTC).strftime("%Y%m%d_%H%M%S").to_string();
    let name = record::name(agentfs, &stamp);
    let object = json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "labels": {OF: agentfs}},
        "spec": {"agentFS": agentfs, "recordOf": stamp},
    });
    match kubernetes.create(PLURAL, &object).await {
        // The answer to a first try was lost.
        Err(error) if error.status() == Some(409) => {}
        created => created?,
    }
    let status = status(report, to_the_second(Timestamp::now()));
    kubernetes.apply_status((KIND, PLURAL), &name, &status).await?;
    for (name, uid) in oldest(&kubernetes.list(PLURAL).await?, agentfs) {
        match kubernetes.delete(PLURAL, name, uid).await {
            // Somebody else has deleted it, and may have made another one.
            Err(error) if matches!(error.status(), Some(404 | 409)) => {}
            deleted => deleted?,
        }
    }
    Ok(())
}

/// The records of an AgentFS that are one too many, by name and uid: the oldest. What somebody asked for is no record.
fn oldest<'a>(objects: &'a [Value], agentfs: &str) -> Vec<(&'a str, &'a str)> {
    let mut records: Vec<(&str, &str, &str)> = objects
        .iter()
        .filter(|object| object["spec"]["agentFS"] == agentfs)
        .filter_map(|object| {
            let (metadata, stamp) = (&object["metadata"], object["spec"]["recordOf"].as_str()?);
            Some((stamp, metadata["name"].as_str()?, metadata["uid"].as_str()?))
        })
        .collect();
    // By their moments, which is what they are records of.
    records.sort_unstable();
    let too_many = records.len().saturating_sub(KEPT);
    records.into_iter().take(too_many).map(|(_, name, uid)| (name, uid)).collect()
}

/// The status, with the sentence of a failure as the condition that has it for each drill.
fn status(report: &DrillReport, now: Timestamp) -> Value {
    let (is_ready, reason) =
        if report.passed { ("True", "Succeeded") } else { ("False", "Failed") };
    let sentence = report.message.as_deref();
    let mut status = json!(DrillRecord::of(report, now));
    status["conditions"] = json!([{
        "type": "Ready",
        "status": is_ready,
        "reason": reason,
        "message": sentence.unwrap_or("The drill passed: the marker came back."),
        "lastTransitionTime": now,
    }]);
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_records_go_and_nothing_that_was_asked_for() {
        let object = |agentfs: &str, name: &str, stamp: Option<String>| {
            json!({"metadata": {"name": name, "uid": format!("uid-{name}")},
                   "spec": {"agentFS": agentfs, "recordOf": stamp}})
        };
        let stamp = |year: usize| Some(format!("{year}0101_040000"));
        let mut objects: Vec<Value> = (2000..2000 + KEPT)
            .rev()
            .map(|year| object("memory", &format!("memory-{year}"), stamp(year)))
            .collect();
        objects.push(object("memory", "by-hand", None));
        objects.push(object("other", "other-1990", stamp(1990)));
        assert_eq!(oldest(&objects, "memory"), []);
        objects.push(object("memory", "memory-1999", stamp(1999)));
        objects.push(object("memory", "memory-2030", stamp(2030)));
        assert_eq!(
            oldest(&objects, "memory"),
            [("memory-1999", "uid-memory-1999"), ("memory-2000", "uid-memory-2000")]
        );
    }
}
