//! This very program's `serve` on a restored database, as a child process that ends with this one.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use agentfs_contract::setting;
use bytes::Bytes;
use hyper::{Method, Request, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::error::RecoveryError;
use crate::runtime::http_client::HttpClient;
use crate::runtime::https::connector;
use crate::settings::DatabaseUrl;

/// The hidden subcommand that serves on a port of the loopback, prints it, and ends with its standard input.
pub const SUBCOMMAND: &str = "scratch-serve";
/// How long it may take until it has named its port.
const PORT_WITHIN: Duration = Duration::from_mins(1);
/// How long it may take until it answers that it is well.
const WELL_WITHIN: Duration = Duration::from_mins(2);
/// How long its own end may take where something is amiss.
const ENDS_WITHIN: Duration = Duration::from_secs(1);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long one answer may take.
const ANSWERS_WITHIN: Duration = Duration::from_mins(1);
/// Most bytes of an answer.
const MAX_ANSWER: usize = 16 << 20;
/// Most bytes of what it says that are kept.
const MAX_SAID: u64 = 16 << 10;

/// Variables of this process that the child has as well. All else would be settings of another database.
const KEPT: [&str; 6] =
    ["PATH", "LD_LIBRARY_PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "RUST_MIN_STACK"];
/// Limits that a day or a minute of production may have used up.
const UNLIMITED: [&str; 5] = [
    setting::RATE_LIMIT_REQUESTS_PER_MINUTE,
    setting::SEARCH_RATE_LIMIT_PER_MINUTE,
    setting::TENANT_RATE_LIMIT_REQUESTS_PER_MINUTE,
    setting::TENANT_SEARCH_RATE_LIMIT_PER_MINUTE,
    setting::SEARCH_QUOTA_PER_DAY,
];

/// An API that serves. It ends when the value is dropped, and when this process does.
#[derive(Debug)]
pub(super) struct Served {
    /// Where it is.
    pub(super) url: String,
    client: HttpClient,
    /// Its standard input is a pipe whose other end closes with this process.
    child: Child,
    said: Option<JoinHandle<String>>,
}

impl Served {
    /// Starts it on a database, and returns once it is well.
    pub(super) async fn start(database: &DatabaseUrl) -> Result<Self, RecoveryError> {
        let failed = |error: std::io::Error| RecoveryError::ServeFailed {
            why: error.to_string(),
            is_transient: true,
        };
        let kept = KEPT.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
        let unlimited = UNLIMITED.iter().map(|name| (*name, OsString::from("0")));
        // The file of this program may have been replaced by a newer one.
        let mut child = Command::new("/proc/self/exe")
            .arg(SUBCOMMAND)
            .env_clear()
            .envs(kept.chain(unlimited))
            .env(setting::DATABASE_URL, database.hosts()[0].text().expose_secret())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let said = child.stderr.take().map(|stderr| tokio::spawn(heard(stderr)));
        let stdout = child.stdout.take();
        let client = HttpClient::new(connector(false).map_err(failed)?, ANSWERS_WITHIN, MAX_ANSWER);
        let mut served = Self { url: String::new(), client, child, said };
        match named_port(stdout, PORT_WITHIN).await {
            Ok(port) => served.url = format!("http://127.0.0.1:{port}"),
            Err(why) => return Err(served.failure(&why).await),
        }
        served.until_well().await?;
        Ok(served)
    }

    async fn until_well(&mut self) -> Result<(), RecoveryError> {
        let deadline = Instant::now() + WELL_WITHIN;
        loop {
            if let Ok(Some(_)) = self.child.try_wait() {
                return Err(self.failure("it ended").await);
            }
            let why = match self.ask(Method::GET, "/healthz", None, String::new()).await {
                Ok((StatusCode::OK, _)) => return Ok(()),
                Ok((status, _)) => format!("/healthz answers {status}"),
                Err(error) => error,
            };
            if Instant::now() > deadline {
                return Err(self.failure(&why).await);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Why it does not serve, with what it says itself.
    async fn failure(&mut self, why: &str) -> RecoveryError {
        // What is about to end says by its status whether it may go well next time.
        let ended = timeout(ENDS_WITHIN, self.child.wait()).await;
        let needs_mending = matches!(ended, Ok(Ok(status)) if status.code() == Some(1));
        let _ = self.child.start_kill();
        let said = match self.said.take() {
            Some(said) => said.await.unwrap_or_default(),
            None => String::new(),
        };
        let why = match said.lines().last() {
            Some(last) => format!("{why}; it says: {last}"),
            None => why.to_owned(),
        };
        RecoveryError::ServeFailed { why, is_transient: !needs_mending }
    }

    /// The status and the body that a route answers a key with.
    pub(super) async fn post(
        &self,
        route: &'static str,
        key: &SecretString,
        body: String,
    ) -> Result<(StatusCode, Bytes), RecoveryError> {
        let answer = self.ask(Method::POST, route, Some(key), body).await;
        answer.map_err(|why| RecoveryError::ServeFailed {
            why: format!("{route}: {why}"),
            is_transient: true,
        })
    }

    async fn ask(
        &self,
        method: Method,
        route: &str,
        key: Option<&SecretString>,
        body: String,
    ) -> Result<(StatusCode, Bytes), String> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{route}", self.url))
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {}", key.expose_secret()));
        }
        let request = request.body(body).map_err(|error| error.to_string())?;
        self.client.ask(request).await
    }

    /// Ends it, and waits for that: a database cannot be dropped before.
    pub(super) async fn end(mut self) {
        // It fails where it has ended by itself.
        let _ = self.child.kill().await;
    }
}

/// The port that it prints as its first line.
async fn named_port(
    stdout: Option<impl AsyncRead + Unpin>,
    within: Duration,
) -> Result<u16, String> {
    let Some(stdout) = stdout else { return Err("its output is not read".to_owned()) };
    let mut line = String::new();
    let mut stdout = BufReader::new(stdout.take(64));
    match timeout(within, stdout.read_line(&mut line)).await {
        Err(_) => Err(format!("it has named no port in {} s", within.as_secs())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(0)) => Err("it ended before it named its port".to_owned()),
        Ok(Ok(_)) => line.trim().parse().map_err(|_| format!("it names {line:?} as its port")),
    }
}

/// What it says on standard error.
async fn heard(mut stderr: ChildStderr) -> String {
    let mut said = Vec::new();
    let _ = (&mut stderr).take(MAX_SAID).read_to_end(&mut said).await;
    // The rest is read as well: a full pipe would stop it.
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&said).into_owned()
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn a_port_is_not_awaited_for_ever() {
        let (_writer, silent) = duplex(64);
        let why = named_port(Some(silent), Duration::ZERO).await;
        assert_eq!(why, Err("it has named no port in 0 s".to_owned()));
    }

    #[tokio::test]
    async fn a_line_that_is_no_port_is_said() {
        let named = |line: &'static str| named_port(Some(line.as_bytes()), PORT_WITHIN);
        assert_eq!(named("8787\n").await, Ok(8787));
        let why = named("Segmentation fault\n").await.unwrap_err();
        assert!(why.contains("Segmentation fault"), "{why}");
        assert!(named("").await.unwrap_err().contains("ended"));
    }
}
