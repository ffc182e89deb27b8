//! The node of `tests/cluster`, from the machine's side.

use std::path::{Path, PathBuf};

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

/// kill -9 for the node's program of this name, at most 15 characters; it is started again after a second. Whether there
/// was one.
pub fn kill_program(name: &str) -> Result<bool, Failure> {
    let node: i32 = std::fs::read_to_string(file("pid")?)?.trim().parse()?;
    let namespace = |process: &Path| std::fs::read_link(process.join("ns/pid")).ok();
    let of_node = namespace(Path::new(&format!("/proc/{node}"))).ok_or("the node is dead")?;
    let mut killed = false;
    for process in std::fs::read_dir("/proc")? {
        let process = process?.path();
        // What ends meanwhile is not there to be read.
        let is_meant = std::fs::read_to_string(process.join("comm"))
            .is_ok_and(|comm| comm.trim() == name)
            && namespace(&process).as_ref() == Some(&of_node);
        let id = process.file_name().and_then(|id| id.to_str()).and_then(|id| id.parse().ok());
        if let Some(id) = id.filter(|_| is_meant) {
            kill(Pid::from_raw(id), Signal::SIGKILL)?;
            killed = true;
        }
    }
    Ok(killed)
}
