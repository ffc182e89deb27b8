//! A live database with a location of its backups, and what tests of strategies do with it.

use std::fs;

use agentfs_server::store::databases::exchange::Names;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::api::Api;
use crate::support::cli::{Said, admin_json, agentfs};
use crate::support::database::{Database, shared};
use crate::support::eventually::eventually;

/// A live database with a location of its backups.
pub(super) struct Site {
    pub(super) database: Database,
    pub(super) folder: TempDir,
}

impl Site {
    pub(super) fn of(database: &Database) -> Self {
        Self { database: database.clone(), folder: TempDir::new().unwrap() }
    }

    pub(super) fn names(&self) -> Names {
        Names::of(self.database.url.rsplit_once('/').unwrap().1)
    }

    /// Another database of the server.
    pub(super) fn beside(&self, name: &str) -> Database {
        let superuser_url =
            format!("{}/{name}", self.database.superuser_url.rsplit_once('/').unwrap().0);
        Database { url: superuser_url.clone(), superuser_url }
    }

    /// Databases whose names begin with that of the live one.
    pub(super) async fn databases(&self) -> Vec<String> {
        let names =
            "SELECT datname::text FROM pg_database WHERE starts_with(datname, $1) ORDER BY 1";
        let mut connection = self.beside("postgres").connect().await;
        let live = self.names().live;
        sqlx::query_scalar(names).bind(live).fetch_all(&mut connection).await.unwrap()
    }

    pub(super) fn run(url: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        let variables = [&[("DATABASE_URL", url)], variables].concat();
        agentfs(&[arguments, &["--output", "json"]].concat(), &variables)
    }

    pub(super) fn location(&self) -> [&str; 4] {
        let programs = shared().programs().to_str().unwrap();
        ["--dir", self.folder.path().to_str().unwrap(), "--pg-bin", programs]
    }

    pub(super) fn back_up(&self) {
        let backup = [&["backup"][..], &self.location()].concat();
        Self::run(&self.database.url, &backup, &[]).json();
    }

    pub(super) fn restore_as(&self, url: &str, how: &[&str], variables: &[(&str, &str)]) -> Said {
        let fixed = ["restore", "--in-place", "--backup", "latest", "--yes"];
        Self::run(url, &[&fixed, how, &self.location()].concat(), variables)
    }

    /// The same after one that was killed, whose sessions the server may not have noticed the end of yet.
    pub(super) async fn restore_after(
        &self,
        url: &str,
        how: &[&str],
        variables: &[(&str, &str)],
    ) -> Said {
        let restore = async || self.restore_as(url, how, variables);
        let has_turn = |said: &Said| said.code != Some(75) || !said.err.contains("under way");
        eventually("the sessions of a killed restore end", restore, has_turn).await
    }

    pub(super) fn restore(&self, how: &[&str]) -> Said {
        self.restore_as(&self.database.superuser_url, how, &[])
    }

    pub(super) fn undo(&self) -> Said {
        Self::run(&self.database.superuser_url, &["restore", "--undo", "--yes"], &[])
    }
}

pub(super) fn new_key(database: &Database) -> (String, String) {
    let made = admin_json(database, &["create-key", "--label", "x"]);
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    (text("key_id"), text("api_key"))
}

/// How a key is answered, by an API that has never seen it.
pub(super) async fn status(api: &Api, database: &Database, key: &str) -> u16 {
    let replica = api.replica(database, &[]).await;
    let get = json!({"agent_id": "ada", "path": "/none"});
    replica.until_served().await;
    replica.client.with_key(key).post("/v1/get", get).await.0.as_u16()
}

pub(super) fn lost(said: &Value) -> i64 {
    said["lost"].as_array().unwrap().iter().map(|lost| lost["versions"].as_i64().unwrap()).sum()
}

pub(super) const WRITES: &str = "SELECT coalesce(sum(writes), 0)::bigint FROM quota_usage";

/// Waits until a process has stopped itself.
pub(super) async fn stopped(process: u32) {
    let state = async || {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
    };
    let state = eventually("it stops", state, |s| matches!(s, Some('T' | 'Z') | None)).await;
    assert_eq!(state, Some('T'), "it does not come to the point");
}
