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

/// Makes the AgentFSDrill of a drill that began then, where this process is to. A failure is logged.
pub async fn keep_drill(begun_at: Timestamp, report: &DrillReport) {
    let (Some(agentfs), None) = (setting(RECORDS_OF), setting(REQUEST)) else { return };
    let failure = match timeout(WITHIN, Box::pin(make(&agentfs, begun_at, report))).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it took longer than {} s", WITHIN.as_secs()),
    };
    tracing::warn!("there is no AgentFSDrill of this drill of {agentfs}: {failure}");
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
    kubernetes.apply_status((KIND, PLURAL), &name, &status).await
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
