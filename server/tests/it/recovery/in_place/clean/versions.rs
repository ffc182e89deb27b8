//! Tables of the live schema that are of another version than this program's, which it neither empties nor fills.

use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::{GATE, UNFINISHED, until_refused};
use crate::recovery::in_place::site::{Site, stopped};
use crate::support::api::Api;
use crate::support::backups::ended;
use crate::support::cli::Said;

/// As where a newer release has migrated, and older servers still work on it.
const MIGRATED: &str = "UPDATE schema_version SET version = version + 1";
const BACK_AGAIN: &str = "UPDATE schema_version SET version = version - 1";

impl Site {
    /// Restores while somebody executes `meanwhile`, once the restore is at `point`.
    async fn clean_meanwhile(&self, point: &str, how: &[&str], meanwhile: &'static str) -> Said {
        let restoring = Command::new(env!("CARGO_BIN_EXE_agentfs-server"))
            .args(["restore", "--in-place", "--yes", "--strategy", "clean"])
            .args([how, &self.location()].concat())
            .env("DATABASE_URL", &self.database.superuser_url)
            .env("AGENTFS_FAULT_POINT", format!("{point}:stop"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        stopped(restoring.id()).await;
        self.database.execute(meanwhile).await;
        kill(Pid::from_raw(restoring.id().cast_signed()), Signal::SIGCONT).unwrap();
        ended(restoring)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_release_migrates_meanwhile_is_not_emptied() {
    let (api, database) = Api::start().await;
    let site = Site::of(&database);
    api.client.put("/notes/lunch", json!("peanuts")).await;
    site.verified_backup();
    api.client.put("/notes/lunch", json!("crackers")).await;
    // While what is live is backed up, and right before servers are kept off.
    for (point, how) in [
        ("manifest-written", &["--backup", "latest-verified"][..]),
        ("in-place-begun", &["--backup", "latest-verified", "--force"]),
    ] {
        let said = site.clean_meanwhile(point, how, MIGRATED).await;
        assert!(said.code == Some(1) && said.err.contains("use the agentfs-server"), "{said:?}");
        assert_eq!(database.number(GATE).await, 1, "{point}");
        database.execute(BACK_AGAIN).await;
        api.until_served().await;
        assert_eq!(api.client.get("/notes/lunch").await["value"], json!("crackers"), "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_another_release_has_emptied_are_filled_by_that() {
    let (api, database) = Api::start().await;
    let site = Site::of(&database);
    api.client.put("/notes/lunch", json!("peanuts")).await;
    site.verified_backup();
    let killed = site.clean_after(&[("AGENTFS_FAULT_POINT", "emptied")]).await;
    assert_eq!(killed.code, None, "{killed:?}");
    for of_another in [
        "UPDATE agentfs_meta.restores SET emptied = jsonb_set(emptied::jsonb, '{version}', '13') WHERE phase = 'emptied'",
        "UPDATE agentfs_meta.restores SET emptied = jsonb_set(emptied::jsonb, '{version}', '1000') WHERE phase = 'emptied'",
    ] {
        database.execute(of_another).await;
        let version = of_another.rsplit('\'').nth(3).unwrap();
        let said = site.clean_after(&[]).await;
        let words = [&*format!("of schema version {version}"), "503", "release"];
        assert!(
            said.code == Some(1) && words.iter().all(|word| said.err.contains(word)),
            "{said:?}"
        );
        assert_eq!((database.number(GATE).await, database.number(UNFINISHED).await), (0, 1));
        until_refused(&api).await;
    }
}
