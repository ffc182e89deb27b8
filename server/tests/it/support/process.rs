//! `agentfs-server serve`, or another command that answers on a port, as a process of its own.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::api::{Client, UNLIMITED};
use super::cgroup::Cgroup;
use super::eventually::eventually;

/// A running `agentfs-server serve`, killed when dropped.
pub struct Process {
    child: Child,
    command: Command,
    port: u16,
    operations: u16,
    /// Where its output goes.
    folder: TempDir,
}

impl Process {
    /// On a free port, with `settings`, and without limits unless they say so.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_on(free_port(), settings)
    }

    pub fn start_on(port: u16, settings: &[(&str, &str)]) -> Self {
        Self::start_command("serve", port, settings)
    }

    /// Another command that answers on a port.
    pub fn start_command(command: &str, port: u16, settings: &[(&str, &str)]) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_agentfs-server"));
        Self::start_program(program, command, port, settings)
    }

    /// Within a control group from its start on.
    pub fn start_within(group: &Cgroup, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new("sh");
        let enter = r#"echo $$ >"$0" && exec "$@""#;
        command
            .arg("-c")
            .arg(enter)
            .arg(group.processes())
            .arg(env!("CARGO_BIN_EXE_agentfs-server"));
        Self::spawn(command, "serve", free_port(), settings)
    }

    /// A command of another build of the program.
    pub fn start_program(
        program: &Path,
        command: &str,
        port: u16,
        settings: &[(&str, &str)],
    ) -> Self {
        Self::spawn(Command::new(program), command, port, settings)
    }

    fn spawn(mut command: Command, name: &str, port: u16, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = File::create(folder.path().join("log")).unwrap();
        let operations = free_port();
        command
            .arg(name)
            .env("PORT", port.to_string())
            .env("PORT_OPERATIONS", operations.to_string())
            .envs(UNLIMITED)
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stderr(output.try_clone().unwrap())
            .stdout(output);
        Self { child: command.spawn().unwrap(), command, port, operations, folder }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where its probes and metrics are alone.
    pub fn operations_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.operations)
    }

    /// All that it has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The most memory that it has used at once, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() << 10
    }

    /// Asks it to end, as Kubernetes does.
    pub fn terminate(&self) {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).unwrap();
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The same again, after its end.
    pub async fn restart(&mut self) {
        self.child = self.command.spawn().unwrap();
        self.wait_until_ready().await;
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let ended = async || child.try_wait().unwrap();
        eventually("the server ends", ended, Option::is_some).await.unwrap()
    }

    pub async fn wait_until_ready(&self) {
        let client = Client::new(self.url(), String::new());
        // What it has said since is part of what a test shows that fails here.
        let look = async || {
            let asked = client.http.get(format!("{}/healthz", client.url)).send().await;
            asked.map(|answer| answer.status().as_u16()).map_err(|error| (error, self.log()))
        };
        eventually("the server is ready", look, |status| matches!(status, Ok(200))).await.ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A port that nobody listens on, below those that the system gives to outgoing connections: one of those would be taken again
/// before the server listens there. Another call gives another one.
pub fn free_port() -> u16 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    // Tests in processes of their own begin elsewhere.
    let begin = std::process::id().wrapping_mul(7919);
    loop {
        let place = begin.wrapping_add(CALLS.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let port = 10_000 + u16::try_from(place).unwrap();
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}
