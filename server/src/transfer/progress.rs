//! Says on standard error how far an import or an export is, now and then.

use std::time::{Duration, Instant};

/// How often.
const EVERY: Duration = Duration::from_secs(5);

/// What was said last, and when.
#[derive(Debug)]
pub(super) struct Progress {
    said: Instant,
    entries: u64,
}

impl Progress {
    /// From now on, with so many entries done.
    pub(super) fn begin(entries: u64) -> Self {
        Self { said: Instant::now(), entries }
    }

    /// Says how far it is, unless that was said a moment ago. `done` is its word for what is done with entries, and `share` of all,
    /// where that is known.
    pub(super) fn show(&mut self, done: &str, entries: u64, share: Option<f64>) {
        let passed = self.said.elapsed();
        if passed < EVERY {
            return;
        }
        let share = share.map_or_else(String::new, |share| format!(" ({:.0} %)", share * 100.0));
        let rate = (entries - self.entries) as f64 / passed.as_secs_f64();
        eprintln!("{done} {entries} entries{share}, {rate:.0} per second");
        (self.said, self.entries) = (Instant::now(), entries);
    }
}
