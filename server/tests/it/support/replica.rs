//! A real streaming replica.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use reqwest::Url;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

use super::database::{Database, Postgres};
use super::process::free_port;
use super::server_user::{bash, folder};

/// A replica that streams from the server of a database; ended when dropped.
pub struct Replica {
    place: TempDir,
    programs: PathBuf,
    /// The database on the replica, for its owner and for one who may do everything.
    pub database: Database,
}

impl Replica {
    pub async fn of(postgres: &Postgres, database: &Database) -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), Permissions::from_mode(0o711)).unwrap();
        folder(&place.path().join("home"));
        let port = free_port();
        let at = |url: &str| {
            let mut url = Url::parse(url).unwrap();
            url.set_port(Some(port)).unwrap();
            url.to_string()
        };
        let on_replica =
            Database { url: at(&database.url), superuser_url: at(&database.superuser_url) };
        let programs = postgres.programs().to_owned();
        let replica = Self { place, programs, database: on_replica };
        let url = Url::parse(&database.superuser_url).unwrap();
        let script = format!(
            "set -euo pipefail
             pg_basebackup -D data -R --checkpoint=fast
             printf '%s\\n' 'port = {port}' 'unix_socket_directories = '\"''\" >> data/postgresql.auto.conf
             pg_ctl -D data -l log -w -t 60 start"
        );
        let output = replica
            .bash(&script)
            .env("PGHOST", url.host_str().unwrap())
            .env("PGPORT", url.port().unwrap().to_string())
            .env("PGUSER", url.username())
            .env("PGPASSWORD", url.password().unwrap())
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        replica
    }

    fn bash(&self, script: &str) -> tokio::process::Command {
        let mut command = bash();
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .args(["-c", script])
            .current_dir(self.place.path().join("home"))
            .env("PATH", format!("{}:{path}", self.programs.display()))
            .stdin(Stdio::null());
        command
    }

    /// What the superuser says there.
    pub async fn told(&self, sql: &'static str) {
        let mut superuser = PgConnection::connect(&self.database.superuser_url).await.unwrap();
        superuser.execute(sql).await.unwrap();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let stop = "[ ! -e data/postmaster.pid ] || pg_ctl -D data -m immediate -w stop";
        self.bash(stop).as_std_mut().stdout(Stdio::null()).status().ok();
    }
}
