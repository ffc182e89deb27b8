//! Gauges of the backups of an API's own database.

use std::fs;

use jiff::Timestamp;
use tempfile::TempDir;

use crate::support::api::Api;
use crate::support::backups::Backups;
use crate::support::database::Database;
use crate::support::eventually::eventually;
use crate::support::proofs::prove_latest;

#[tokio::test]
async fn an_api_shows_what_is_known_of_its_own_backups() {
    let (database, other) = (Database::migrated().await, Database::migrated().await);
    let backups = Backups::new();
    let folder = backups.path();
    backups.make(&other, &[]);
    let location = [("BACKUP_LOCATION", folder.to_str().unwrap())];
    let shown = async |database: &Database| {
        let api = Api::start_with(database, &[], &location).await;
        let metrics = async || api.metrics().await;
        let series = |text: &str, name: &str| {
            let line =
                text.lines().find(|line| line.starts_with(&format!("agentfs_backup_{name}{{")));
            line.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        };
        let text =
            eventually("gauges", metrics, |text| text.contains("agentfs_backup_count{")).await;
        assert!(text.contains("agentfs_backup_catalogue_up 1"), "{text}");
        [
            "count",
            "last_success_timestamp_seconds",
            "last_size_bytes",
            "last_verified_timestamp_seconds",
            "verification_failed",
            "restore_seconds",
        ]
        .map(|name| series(&text, name))
    };
    let none = shown(&database).await;
    assert_eq!(none, [Some(0.0), Some(0.0), None, Some(0.0), Some(0.0), None], "none of another's");

    let begun = Timestamp::now().as_second() as f64;
    let made = backups.make(&database, &["--output", "json"]);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let [count, success, size, verified, failed, restore] = shown(&database).await;
    assert_eq!((count, verified, failed, restore), (Some(1.0), Some(0.0), Some(0.0), None));
    assert!(success.unwrap() >= begun - 1.0);
    assert_eq!(size, made["manifest"]["bytes"].as_f64());

    let own = TempDir::new_in(folder.parent().unwrap()).unwrap();
    let name = made["manifest"]["instance"].as_str().unwrap();
    fs::rename(folder.join(name), own.path().join(name)).unwrap();
    prove_latest(own.path(), None).await;
    fs::rename(own.path().join(name), folder.join(name)).unwrap();
    let [_, _, _, verified, failed, restore] = shown(&database).await;
    assert!(verified.unwrap() >= begun);
    assert_eq!((failed, restore), (Some(0.0), Some(3.0)));
}

#[tokio::test]
async fn a_location_that_cannot_be_read_is_a_gauge_and_no_reason_not_to_serve() {
    let database = Database::migrated().await;
    let without = Api::start_with(&database, &[], &[]).await;
    let with = Api::start_with(&database, &[], &[("BACKUP_LOCATION", "/nowhere/at/all")]).await;
    let down = async || with.metrics().await;
    eventually("down", down, |text| text.contains("agentfs_backup_catalogue_up 0")).await;
    with.client.put("/x", serde_json::json!(1)).await;
    assert!(!without.metrics().await.contains("agentfs_backup_"), "no location, no gauges");
}
