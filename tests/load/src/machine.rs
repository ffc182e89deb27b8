//! How much of the machine was ours: what tells a slow program from a busy machine.

use std::fmt;
use std::fs::read_to_string;

/// Processor time since the machine's start, in the kernel's ticks.
#[derive(Debug, Clone, Copy)]
struct Ticks {
    total: u64,
    /// What the host gave to other virtual machines while this one had work.
    stolen: u64,
}

/// What the machine is, in words: its processors, memory and kernel.
pub fn name() -> String {
    let read = |file: &str| read_to_string(file).unwrap_or_default();
    let (processors, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = field(&processors, "model name").unwrap_or("unknown");
    let kib: Option<f64> =
        field(&memory, "MemTotal").and_then(|size| size.split(' ').next()?.parse().ok());
    let gib = kib.map_or(f64::NAN, |kib| kib / f64::from(1 << 20));
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} cores of {model}, {gib:.0} GiB of memory, Linux {}", kernel.trim_end())
}

/// A field of a file of `name : value` lines, the first of that name.
fn field<'a>(file: &'a str, name: &str) -> Option<&'a str> {
    let of_name = |line: &'a str| line.split_once(':').filter(|(own, _)| own.trim() == name);
    file.lines().find_map(of_name).map(|(_, value)| value.trim())
}

/// How the machine was during the measurements.
#[derive(Debug)]
pub struct Machine {
    load_at_start: Option<f64>,
    start: Option<Ticks>,
}

impl Machine {
    /// From now on.
    pub fn watch() -> Self {
        let load = read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            load_at_start: load.split(' ').next().and_then(|minute| minute.parse().ok()),
            start: Ticks::now(),
        }
    }

    /// What was seen until now.
    pub fn report(&self) -> Report {
        let stolen = match (self.start, Ticks::now()) {
            (Some(start), Some(now)) => now.stolen_since(start),
            _ => None,
        };
        Report { load_at_start: self.load_at_start, stolen }
    }
}

/// A line for the reader of the figures.
#[derive(Debug)]
pub struct Report {
    load_at_start: Option<f64>,
    /// Part of the processor time, 0 to 1.
    stolen: Option<f64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.load_at_start {
            Some(load) => write!(f, "machine: load {load:.1} before the run")?,
            None => write!(f, "machine: load before the run unknown")?,
        }
        match self.stolen {
            Some(part) => writeln!(f, "; its host took {:.0} % of its time away", part * 100.0),
            None => writeln!(f),
        }
    }
}

impl Ticks {
    fn now() -> Option<Self> {
        Self::read(&read_to_string("/proc/stat").ok()?)
    }

    /// The first line: user, nice, system, idle, iowait, irq, softirq, steal; guests are counted in user already.
    fn read(stat: &str) -> Option<Self> {
        let numbers = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
        let numbers: Vec<u64> = numbers.map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self { total: numbers.iter().sum(), stolen: *numbers.get(7)? })
    }

    fn stolen_since(self, start: Self) -> Option<f64> {
        let passed = self.total.checked_sub(start.total).filter(|passed| *passed > 0)?;
        Some(self.stolen.saturating_sub(start.stolen) as f64 / passed as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let file = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: EPYC: 7B13\nmodel name\t: other\n";
        assert_eq!(field(file, "model name"), Some("EPYC: 7B13"));
        assert_eq!(field(file, "name"), None);
    }

    #[test]
    fn stolen_time_is_a_part_of_all() {
        let read = |line: &str| Ticks::read(line).unwrap();
        let start = read("cpu  100 0 50 800 10 0 5 35 7 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n");
        let now = read("cpu  150 0 60 820 10 0 5 55 9 0\n");
        assert_eq!(now.stolen_since(start), Some(0.2));
        assert!(start.stolen_since(start).is_none());
        assert!(Ticks::read("intr 1").is_none());
    }
}
