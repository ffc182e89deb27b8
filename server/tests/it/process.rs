//! `agentfs-server serve` as a process of its own, to be killed.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use agentfs_server::admin::{self, CreateKey};
use secrecy::ExposeSecret as _;

use crate::api::Client;
use crate::database::Database;

pub struct Server {
    child: Child,
    command: Command,
    pub client: Client,
}

impl Server {
    /// Starts one on a free port and waits until it serves.
    pub async fn start(database: &Database, key: &str, settings: &[(&str, &str)]) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_agentfs-server"));
        Self::start_program(program, database, key, settings).await
    }

    /// The same with another build of the program.
    pub async fn start_program(
        program: &Path,
        database: &Database,
        key: &str,
        settings: &[(&str, &str)],
    ) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program);
        command
            .arg("serve")
            .env("DATABASE_URL", &database.url)
            .env("PORT", port.to_string())
            .env("WRITE_QUOTA_PER_DAY", "0")
            .envs(settings.iter().copied())
            .stdout(Stdio::null());
        let child = command.spawn().unwrap();
        let client = Client::new(format!("http://127.0.0.1:{port}"), key.to_owned());
        let server = Self { child, command, client };
        server.wait_until_ready().await;
        server
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The same again, after it was killed.
    pub async fn restart(&mut self) {
        self.child = self.command.spawn().unwrap();
        self.wait_until_ready().await;
    }

    pub async fn wait_until_ready(&self) {
        for _ in 0..400 {
            let health = self.client.http.get(format!("{}/healthz", self.client.url));
            if health.send().await.is_ok_and(|r| r.status() == 200) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server never got ready");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A key of the default tenant that may read and write.
pub async fn key(database: &Database) -> String {
    let wanted =
        CreateKey { label: String::new(), tenant: None, scopes: vec![], expires_in_seconds: None };
    let key = admin::create_key(&database.address(), &wanted).await.unwrap();
    key.reveal().expose_secret().to_owned()
}
