//! Since when the CronJobs have their schedules: what was due before, nobody had to do.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use kube::ResourceExt as _;

/// The annotation of a CronJob that says since when it runs by its schedule, or is suspended. What else of it changes does not matter.
const SINCE: &str = "agentfs.io/scheduled-since";

/// Since when a CronJob runs by its schedule, or is suspended.
pub fn since(cronjob: &CronJob) -> Option<Timestamp> {
    let noted = cronjob.annotations().get(SINCE).and_then(|at| at.parse().ok());
    noted.or_else(|| Some(cronjob.metadata.creation_timestamp.as_ref()?.0))
}

/// Notes that in a CronJob that is made `now`; `former` is what is there in its place.
pub fn note(cronjob: &mut CronJob, former: Option<&CronJob>, now: Timestamp) {
    let is_same = |former: &&CronJob| times(former) == times(cronjob);
    let since = former.filter(is_same).and_then(since);
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    cronjob.annotations_mut().insert(SINCE.into(), since.unwrap_or(now).to_string());
}

/// When a CronJob runs.
fn times(cronjob: &CronJob) -> Option<(&str, Option<&str>, bool)> {
    let spec = cronjob.spec.as_ref()?;
    Some((&spec.schedule, spec.time_zone.as_deref(), spec.suspend == Some(true)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn cronjob(schedule: &str, suspend: bool, more: &Value) -> CronJob {
        let mut cronjob: CronJob = serde_json::from_value(json!({"metadata": {"creationTimestamp": "2026-11-01T00:00:00Z"},
            "spec": {"schedule": schedule, "suspend": suspend, "timeZone": "Etc/UTC", "jobTemplate": more}}))
        .unwrap();
        cronjob.metadata.creation_timestamp.take_if(|_| suspend);
        cronjob
    }

    #[test]
    fn only_another_schedule_and_an_end_of_a_pause_begin_anew() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (then, now) = (at("2026-11-20T00:00:00Z"), at("2026-11-23T00:00:00.5Z"));
        let mut former = cronjob("0 2 * * *", false, &json!({}));
        assert_eq!(since(&former), Some(at("2026-11-01T00:00:00Z")));
        note(&mut former, None, then);
        let noted = |mut wanted: CronJob, former: &CronJob| {
            note(&mut wanted, Some(former), now);
            since(&wanted).unwrap()
        };
        let other_pods = json!({"spec": {"backoffLimit": 9, "template": {}}});
        assert_eq!(noted(cronjob("0 2 * * *", false, &other_pods), &former), then);
        let now = at("2026-11-23T00:00:00Z");
        assert_eq!(noted(cronjob("0 3 * * *", false, &json!({})), &former), now);
        assert_eq!(noted(cronjob("0 2 * * *", true, &json!({})), &former), now);
    }
}
