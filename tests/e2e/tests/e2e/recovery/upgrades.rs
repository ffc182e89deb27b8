//! An upgrade is rehearsed on a backup of its own before anything is migrated.

use agentfs_e2e::Failure;
use agentfs_e2e::kubectl::eventually;
use serde_json::{Value, json};

use super::{SPEC, all, has, served};

#[tokio::test]
#[ignore = "needs a cluster: make test-recovery"]
async fn an_upgrade_is_rehearsed_before_it_is_carried_out() -> Result<(), Failure> {
    let next = std::env::var("AGENTFS_NEXT_IMAGE").map_err(
        |_| "AGENTFS_NEXT_IMAGE names no second image of the server; tests/e2e/run makes one",
    )?;
    let (namespace, mut agent) = served(&format!("{SPEC}  upgrades: {{rehearse: true}}\n")).await?;
    namespace.change_spec("memory", &json!({"image": next})).await?;
    let api = async || namespace.object("deployment", "memory-api").await;
    let is_next =
        |api: &Value| api["spec"]["template"]["spec"]["containers"][0]["image"] == json!(next);
    let rolled = eventually("the API has the next image", api, is_next).await?;

    // By then a copy of what is live was migrated by that image, and served from.
    let backups = all(&namespace, "afsb").await?;
    let [backup] = &backups[..] else { panic!("one backup before the upgrade: {backups:?}") };
    let status = &backup["status"];
    assert_eq!(status["verification"]["verified"], "True", "{status}");
    let jobs = all(&namespace, "jobs").await?;
    let migrated = jobs.iter().filter(|job| {
        job["spec"]["template"]["spec"]["containers"][0]["image"] == json!(next)
            && job["metadata"]["labels"]["app.kubernetes.io/component"] == "migration"
    });
    let migrated: Vec<_> =
        migrated.map(|job| job["metadata"]["creationTimestamp"].as_str()).collect();
    assert_eq!(migrated.len(), 1, "{jobs:?}");
    // Both are times of one form, in UTC.
    assert!(migrated[0] >= status["finishedTime"].as_str(), "{migrated:?} {status} {rolled}");

    namespace.ready("memory").await?;
    has(&mut agent, "peanuts").await
}
