//! The node of `tests/cluster`, from the machine's side.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Failure;

/// A file of the node's `/var`.
pub fn file(name: &str) -> Result<PathBuf, Failure> {
    let state = std::env::var_os("AGENTFS_NODE").ok_or(
        "AGENTFS_NODE names no node of tests/cluster; this test needs one: run tests/e2e/run",
    )?;
    Ok(Path::new(&state).join(name))
}

/// Process 1 of the node, as the machine numbers it.
fn first_process() -> Result<i32, Failure> {
    Ok(std::fs::read_to_string(file("pid")?)?.trim().parse()?)
}

/// kill -9 for the node's program of this name, at most 15 characters; it is started again after a second. Whether there
/// was one.
pub fn kill_program(name: &str) -> Result<bool, Failure> {
    let namespace = |process: &Path| std::fs::read_link(process.join("ns/pid")).ok();
    let node = PathBuf::from(format!("/proc/{}", first_process()?));
    let of_node = namespace(&node).ok_or("the node is dead")?;
    let is_meant =
        |process: &Path| is_called(process, name) && namespace(process).as_ref() == Some(&of_node);
    signal_those(Signal::SIGKILL, is_meant)
}

/// kill -9 for the processes of this name in the pods with these uids; without a name for all of them. Whether there was one.
pub fn kill_in_pods(uids: &[String], name: Option<&str>) -> Result<bool, Failure> {
    signal_those(Signal::SIGKILL, in_pods(uids, name))
}

/// Stops them where they are, until they are killed. Whether there was one.
pub fn freeze_in_pods(uids: &[String], name: Option<&str>) -> Result<bool, Failure> {
    signal_those(Signal::SIGSTOP, in_pods(uids, name))
}

fn in_pods(uids: &[String], name: Option<&str>) -> impl Fn(&Path) -> bool {
    // Their cgroup is named after the pod.
    let pods: Vec<_> = uids.iter().map(|uid| format!("/pod{uid}/")).collect();
    move |process| {
        let cgroup = std::fs::read_to_string(process.join("cgroup")).unwrap_or_default();
        pods.iter().any(|pod| cgroup.contains(pod))
            && name.is_none_or(|name| is_called(process, name))
    }
}

fn is_called(process: &Path, name: &str) -> bool {
    std::fs::read_to_string(process.join("comm")).is_ok_and(|comm| comm.trim() == name)
}

/// Sends `signal` to the processes of this machine that are meant, by their folders in `/proc`. What ends meanwhile is not there to be
/// read.
fn signal_those(signal: Signal, is_meant: impl Fn(&Path) -> bool) -> Result<bool, Failure> {
    let mut found = false;
    for process in std::fs::read_dir("/proc")? {
        let process = process?.path();
        let id = process.file_name().and_then(|id| id.to_str()).and_then(|id| id.parse().ok());
        if let Some(id) = id.filter(|_| is_meant(&process)) {
            found |= kill(Pid::from_raw(id), signal).is_ok();
        }
    }
    Ok(found)
}

/// A folder of the node that holds no more than it was made for; gone when this is dropped.
#[derive(Debug)]
pub struct SmallFolder {
    name: String,
    node: i32,
}

impl SmallFolder {
    /// Makes one for `mebibytes`, whose owner is the user of the images.
    pub fn make(name: &str, mebibytes: u32) -> Result<Self, Failure> {
        let folder = Self { name: name.to_owned(), node: first_process()? };
        std::fs::create_dir_all(file(&format!("lib/{name}"))?)?;
        let options = format!("size={mebibytes}m,uid=65532,gid=65532,mode=0770");
        folder.in_node(&["mount", "-t", "tmpfs", "-o", &options, "tmpfs", &folder.path()])?;
        Ok(folder)
    }

    /// Where it is on the node.
    pub fn path(&self) -> String {
        format!("/var/lib/{}", self.name)
    }

    /// Makes room for so much, with what is in it.
    pub fn grow(&self, mebibytes: u32) -> Result<(), Failure> {
        self.in_node(&["mount", "-o", &format!("remount,size={mebibytes}m"), &self.path()])
    }

    fn in_node(&self, command: &[&str]) -> Result<(), Failure> {
        let node = self.node.to_string();
        // With its processes: umount and remount read /proc.
        let node = ["-t", &node, "-m", "-p", "--"];
        let output = Command::new("nsenter").args(node).args(command).output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

impl Drop for SmallFolder {
    fn drop(&mut self) {
        // A pod may still have it: it goes with that.
        if let Err(error) = self.in_node(&["umount", "--lazy", &self.path()]) {
            eprintln!("{} is left behind: {error}", self.path());
        }
    }
}
