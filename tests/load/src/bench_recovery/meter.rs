//! What work costs: seconds, and seconds of processors, of programs and of PostgreSQL together.

use std::fs;
use std::time::Instant;

use anyhow::Context as _;
use nix::sys::resource::{UsageWho, getrusage};

/// Ticks a second in /proc, on every Linux.
const TICKS: f64 = 100.0;

/// What something has cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    /// Seconds that it took.
    pub(crate) wall: f64,
    /// Seconds of processors that it used.
    pub(crate) processor: f64,
}

impl std::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { wall: self.wall + other.wall, processor: self.processor + other.processor }
    }
}

/// Measures from its start on.
#[derive(Debug)]
pub(crate) struct Meter {
    postmaster: i32,
    began: Instant,
    processor: f64,
}

impl Meter {
    /// Begins to measure what this process's children and the PostgreSQL of `postmaster` use.
    pub(crate) fn start(postmaster: i32) -> anyhow::Result<Self> {
        let processor = processor(postmaster)?;
        Ok(Self { postmaster, began: Instant::now(), processor })
    }

    /// What was used since.
    pub(crate) fn stop(self) -> anyhow::Result<Cost> {
        let wall = self.began.elapsed().as_secs_f64();
        Ok(Cost { wall, processor: processor(self.postmaster)? - self.processor })
    }
}

/// Seconds of processors so far.
fn processor(postmaster: i32) -> anyhow::Result<f64> {
    let children = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let ended: f64 = [children.user_time(), children.system_time()]
        .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
        .iter()
        .sum();
    Ok(ended + server(postmaster)? / TICKS)
}

/// Ticks of a PostgreSQL: of its postmaster with all children that have ended, and of those that live.
fn server(postmaster: i32) -> anyhow::Result<f64> {
    loop {
        let living = children(postmaster)?;
        let own = fs::read_to_string(format!("/proc/{postmaster}/stat"))
            .ok()
            .and_then(|stat| Process::read(&stat))
            .context("PostgreSQL has ended")?;
        let ticks = own.ticks + living.iter().map(|(_, process)| process.ticks).sum::<u64>();
        // One that ended meanwhile would be counted twice, or not at all.
        let same = |(pid, _): &(i32, Process)| living.iter().any(|(known, _)| known == pid);
        let now = children(postmaster)?;
        if now.len() == living.len() && now.iter().all(same) {
            return Ok(ticks as f64);
        }
    }
}

fn children(parent: i32) -> anyhow::Result<Vec<(i32, Process)>> {
    let found = fs::read_dir("/proc")?.flatten().filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let process = Process::read(&fs::read_to_string(entry.path().join("stat")).ok()?)?;
        (process.parent == parent).then_some((pid, process))
    });
    Ok(found.collect())
}

/// A line of /proc/PID/stat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    parent: i32,
    /// Used by itself and by its children that have ended.
    ticks: u64,
}

impl Process {
    /// `PID (NAME) STATE PPID …`, the times being fields 14 to 17. The name may hold anything.
    fn read(stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let times = fields.get(11..15)?.iter();
        let ticks = times.map(|ticks| ticks.parse::<u64>()).sum::<Result<_, _>>().ok()?;
        Some(Self { parent: fields.get(1)?.parse().ok()?, ticks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "41 (a) (b 7) S 40 41 41 0 -1 4194560 9 9 9 9 100 20 3 4 20 0 1 0 99 1 1";
        assert_eq!(Process::read(stat), Some(Process { parent: 40, ticks: 127 }));
        assert_eq!(Process::read("41 (a) S 40"), None);
    }

    #[test]
    fn what_a_child_uses_is_counted() {
        let us = std::process::id().cast_signed();
        let meter = Meter::start(us).unwrap();
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        assert!(std::process::Command::new("sh").args(["-c", busy]).status().unwrap().success());
        let cost = meter.stop().unwrap();
        assert!(cost.processor > 0.0 && cost.wall > 0.0, "{cost:?}");
    }
}
