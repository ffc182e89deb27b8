//! PgBouncer, set as the product's images set it: in transaction mode, with prepared statements.

use std::fs;
use std::process::{Child, Command, Stdio};

use agentfs_contract::session::SERVING;
use reqwest::Url;
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use super::database::{Database, brought};
use super::eventually::eventually;
use super::process::free_port;
use super::server_user::{belongs, folder, give};

/// A pool before a database, ended when dropped.
pub struct PgBouncer {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl PgBouncer {
    pub async fn before(database: &Database) -> Self {
        let place = TempDir::new().unwrap();
        folder(place.path());
        let port = free_port();
        let url = Url::parse(&database.url).unwrap();
        let (user, password) = (url.username(), url.password().unwrap());
        let users = place.path().join("userlist.txt");
        let ini = place.path().join("pgbouncer.ini");
        fs::write(&users, format!("\"{user}\" \"{password}\"\n")).unwrap();
        let settings = format!(
            "[databases]
             * = host={host} port={server} connect_query='{query}'
             [pgbouncer]
             listen_addr = 127.0.0.1
             listen_port = {port}
             unix_socket_dir =
             auth_type = scram-sha-256
             auth_file = {users}
             pool_mode = transaction
             max_client_conn = 1000
             default_pool_size = 20
             max_prepared_statements = 200
             ignore_startup_parameters = extra_float_digits
             server_login_retry = 1
             query_wait_timeout = 5
             server_lifetime = 60",
            host = url.host_str().unwrap(),
            server = url.port().unwrap(),
            query = SERVING.replace('\'', "''"),
            users = users.display(),
        );
        let lines: Vec<&str> = settings.lines().map(str::trim).collect();
        fs::write(&ini, lines.join("\n")).unwrap();
        give(&users);
        give(&ini);
        let mut command = Command::new(brought("pgbouncer", &[]));
        belongs(&mut command);
        let child = command.arg("--quiet").arg(&ini).stdin(Stdio::null()).spawn().unwrap();
        let pool = Self { child, port, _folder: place };
        let url = pool.url(&database.url);
        let connects = async || PgConnection::connect(&url).await.map(drop);
        eventually("PgBouncer answers", connects, Result::is_ok).await.unwrap();
        pool
    }

    /// The same database through the pool.
    pub fn url(&self, url: &str) -> String {
        let mut url = Url::parse(url).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.to_string()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
