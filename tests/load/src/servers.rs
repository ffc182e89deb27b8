//! The programs that run during the whole: PostgreSQL, the API, the echo route.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// Longest time that a program may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Longest time that a program may take to end when asked; the API drains for 20 s at most.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// Pause between two questions whether a program is ready.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// Bytes of a log that are shown of a program that failed.
const LAST_WORDS: usize = 1500;

/// The running programs, which end in the reverse order of their start.
#[derive(Debug, Default)]
pub struct Servers(Vec<Server>);

/// A program that serves during the whole.
#[derive(Debug)]
struct Server {
    name: &'static str,
    child: Child,
}

/// Where an HTTP program listens and what it logs to.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// `http://127.0.0.1:port`
    pub url: String,
    /// The process.
    pub pid: u32,
    /// How long it took from its start until it was ready.
    pub ready_after: Duration,
    log: PathBuf,
}

impl Endpoint {
    /// Empties the log, so that a long run fills no disk.
    pub fn forget_log(&self) -> anyhow::Result<()> {
        let log = OpenOptions::new().write(true).open(&self.log);
        log.and_then(|file| file.set_len(0))
            .with_context(|| format!("the log {} cannot be emptied", self.log.display()))
    }
}

impl Servers {
    /// Takes care of a child that was started elsewhere.
    pub fn keep(&mut self, name: &'static str, child: Child) {
        self.0.push(Server { name, child });
    }

    /// Starts a program that serves HTTP at PORT, its output in a file of `folder`, and waits until it is ready.
    pub async fn start_http(
        &mut self,
        name: &'static str,
        arguments: &[&str],
        environment: &[(&str, &str)],
        folder: &Path,
    ) -> anyhow::Result<Endpoint> {
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let port = free_port()?;
        let operations = free_port()?;
        let began = Instant::now();
        let mut child = tied(&sibling(name)?)
            .args(arguments)
            .envs(environment.iter().copied())
            .envs([
                ("PORT", port.to_string().as_str()),
                ("PORT_OPERATIONS", operations.to_string().as_str()),
                ("LOG_FORMAT", "json"),
                ("LOG_LEVEL", "info"),
            ])
            .stdin(Stdio::null())
            .stderr(output.try_clone()?)
            .stdout(output)
            .spawn()
            .context("setpriv (of util-linux) cannot be started")?;
        // setpriv becomes the program.
        let pid = child.id().unwrap_or_default();
        let url = format!("http://127.0.0.1:{port}");
        let ready = tokio::select! {
            ready = timeout(READY_WITHIN, is_ready(&url)) => ready.is_ok(),
            _ = child.wait() => false,
        };
        let ready_after = began.elapsed();
        self.keep(name, child);
        if !ready {
            bail!("{name} did not become ready; the end of its log:\n{}", last_words(&log));
        }
        Ok(Endpoint { url, pid, ready_after, log })
    }

    /// Ends the program of this name and waits for its end.
    pub async fn end(&mut self, name: &str) {
        while let Some(index) = self.0.iter().position(|server| server.name == name) {
            self.0.remove(index).end().await;
        }
    }

    /// Ends all.
    pub async fn end_all(&mut self) {
        while let Some(server) = self.0.pop() {
            server.end().await;
        }
    }
}

impl Server {
    async fn end(mut self) {
        // No id: it has ended by itself.
        let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()) else { return };
        let asked = kill(Pid::from_raw(pid), Signal::SIGTERM);
        let ended = timeout(ENDS_WITHIN, self.child.wait()).await;
        if asked.is_err() || ended.is_err() {
            eprintln!("{} did not end when asked; it is killed", self.name);
            self.child.kill().await.ok();
        }
    }
}

/// A command that ends when this program does, however that ends, and that no Ctrl-C of the terminal reaches: this
/// program ends its children itself, in order.
pub fn tied(program: &Path) -> Command {
    tied_as(None, program)
}

/// The same as another user.
pub fn tied_as(user: Option<&User>, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]);
    if let Some(User { uid, gid, .. }) = user {
        command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
    }
    command.arg("--").arg(program).process_group(0).kill_on_drop(true);
    command
}

/// The program `name` that was built with this one.
pub fn sibling(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        bail!(
            "{} is not there; build it: cargo build --release -p agentfs-server -p agentfs-load",
            path.display()
        );
    }
    Ok(path)
}

/// A port that is free now.
pub fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr()?.port())
}

async fn is_ready(url: &str) {
    let Ok(client) = reqwest::Client::builder().no_proxy().build() else { return };
    let asked = format!("{url}/readyz");
    while !client.get(&asked).send().await.is_ok_and(|answer| answer.status().is_success()) {
        sleep(ASK_EVERY).await;
    }
}

fn last_words(log: &Path) -> String {
    let log = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&log[log.len().saturating_sub(LAST_WORDS)..]).into_owned()
}
