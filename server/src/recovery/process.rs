//! Tells whether a process that was written down has gone. That is only known on the machine, and in the container, where it ran.

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// What tells a process from all others, on any machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The run of the machine, from its start to its end.
    boot: String,
    /// The namespace of process ids, which each container has its own of.
    namespace: String,
    /// Its id in there.
    pid: u32,
    /// When it began, in ticks of that run: ids are given again.
    started: u64,
}

impl Process {
    /// This one; `None` where `/proc` does not say.
    pub(super) fn this() -> Option<Self> {
        let (boot, namespace) = here()?;
        let pid = std::process::id();
        Some(Self { boot, namespace, pid, started: started(pid)? })
    }

    /// Whether it ran here and does not any more.
    pub(super) fn is_gone(&self) -> bool {
        let is_here = here()
            .is_some_and(|(boot, namespace)| boot == self.boot && namespace == self.namespace);
        let Ok(pid) = i32::try_from(self.pid) else { return false };
        // Of another user's process /proc may tell nothing, though it is there.
        let is_no_process = || kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH);
        let is_another = || started(self.pid).is_some_and(|started| started != self.started);
        is_here && (is_no_process() || is_another())
    }
}

/// The run of this machine, and the namespace of process ids in it.
fn here() -> Option<(String, String)> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some((boot.trim().to_owned(), namespace.display().to_string()))
}

/// When a process began, in ticks since the machine did; `None` where there is none.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The second field is the program's name, in parentheses, and may hold anything. The 22nd is the moment.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_gone_once_it_has_ended() {
        let this = Process::this().unwrap();
        assert!(!this.is_gone());
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        let other = Process { pid, started: started(pid).unwrap(), ..this };
        assert!(!other.is_gone());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(other.is_gone());
        assert!(!Process { boot: "another".into(), ..other }.is_gone());
    }
}
