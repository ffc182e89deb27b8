//! Warning Events of objects that are stuck; Kubernetes tells why only there.

use std::collections::BTreeMap;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;

use super::reads::Reader;
use super::sentences::steady;

/// What Kubernetes says of an object of which nothing comes.
const STUCK: [&str; 3] = ["FailedCreate", "ProvisioningFailed", "FailedBinding"];
/// What it says of a volume claim that only waits for its first pod, or is served. It makes older Events untrue.
const SERVED: [&str; 3] = ["WaitForFirstConsumer", "ExternalProvisioning", "Provisioning"];

/// What a pod was told before it had a node.
const OF_OTHERS: [&str; 2] = ["FailedScheduling", "Preempted"];

/// Why nothing comes of each named object, where its latest Event says so, in the same words for the same failure.
pub async fn warnings(
    reader: Reader<'_>,
    names: &[String],
) -> Result<BTreeMap<String, String>, kube::Error> {
    let lists = join_all(names.iter().map(|name| async move {
        let params = ListParams::default().fields(&format!("involvedObject.name={name}")).limit(50);
        reader.list::<Event>(params).await.map(|events| (name.clone(), events))
    }))
    .await;
    let mut found = BTreeMap::new();
    for list in lists {
        let (name, events) = list?;
        let is = |event: &Event, of: &[&str]| {
            event.reason.as_deref().is_some_and(|reason| of.contains(&reason))
        };
        let warns = |event: &Event| {
            let is_of_pod = event.involved_object.kind.as_deref() == Some("Pod");
            let is_warning = event.type_.as_deref() == Some("Warning");
            is(event, &STUCK) || (is_of_pod && is_warning && !is(event, &OF_OTHERS))
        };
        let telling = events.into_iter().filter(|event| warns(event) || is(event, &SERVED));
        let latest = telling.max_by_key(last_seen).filter(warns);
        if let Some(message) = latest.and_then(|event| event.message) {
            // So that a condition is written once for one failure.
            found.insert(name, steady(&message));
        }
    }
    Ok(found)
}

fn last_seen(event: &Event) -> Timestamp {
    let series = event.series.as_ref().and_then(|s| s.last_observed_time.as_ref()).map(|t| t.0);
    let times = [
        series,
        event.last_timestamp.as_ref().map(|t| t.0),
        event.event_time.as_ref().map(|t| t.0),
        event.metadata.creation_timestamp.as_ref().map(|t| t.0),
    ];
    times.into_iter().flatten().max().unwrap_or(Timestamp::UNIX_EPOCH)
}
