//! A control group of its own for a server's process, with a limit of memory.

use std::fs;
use std::path::{Path, PathBuf};

/// A group below this process' own, removed when dropped.
pub struct Cgroup {
    folder: PathBuf,
    /// The file that tells its greatest use of memory.
    peak: &'static str,
}

impl Cgroup {
    /// One that may use `bytes`, or why there is none.
    pub fn with_memory(bytes: u64) -> Result<Self, String> {
        let groups = fs::read_to_string("/proc/self/cgroup").map_err(|e| e.to_string())?;
        let v1 = groups.lines().find_map(|line| line.split_once(":memory:"));
        let (mount, path, limit, peak) = if let Some((_, path)) = v1 {
            let mount = "/sys/fs/cgroup/memory";
            (mount, path, "memory.limit_in_bytes", "memory.max_usage_in_bytes")
        } else {
            let path = groups.lines().find_map(|line| line.strip_prefix("0::"));
            ("/sys/fs/cgroup", path.unwrap_or_default(), "memory.max", "memory.peak")
        };
        let own = Path::new(mount).join(path.trim_start_matches('/'));
        let folder = own.join(format!("agentfs-test-{}", uuid::Uuid::now_v7()));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let group = Self { folder, peak };
        // Without the controller of memory there is no such file, and none can be made.
        let limited = fs::OpenOptions::new().write(true).open(group.folder.join(limit));
        let limited = limited.and_then(|mut file| {
            std::io::Write::write_all(&mut file, bytes.to_string().as_bytes())
        });
        limited.map_err(|error| format!("{limit}: {error}"))?;
        Ok(group)
    }

    /// Where a process writes its number to be in it.
    pub fn processes(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// The most bytes that it has used at once.
    pub fn peak(&self) -> u64 {
        let peak = fs::read_to_string(self.folder.join(self.peak)).unwrap_or_default();
        peak.trim().parse().unwrap_or_default()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        fs::remove_dir(&self.folder).ok();
    }
}
