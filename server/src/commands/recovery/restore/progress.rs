//! Shows on standard error how far a restore is: on a terminal in one line that is rewritten, else by a line now and then.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::SignedDuration;

use crate::recovery::drill::brief;
use crate::recovery::progress::Update;
use crate::recovery::size;

/// How often the line of a terminal is rewritten, and how often a line is added elsewhere, within a step.
const REWRITTEN: Duration = Duration::from_millis(100);
const ADDED: Duration = Duration::from_secs(5);
/// The time left is told once so much of a step has passed: before, it is a guess.
const KNOWN: Duration = Duration::from_secs(2);

/// What is shown.
#[derive(Debug)]
pub(super) struct Shown {
    is_terminal: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    step: Option<Step>,
    /// Whether a line of a terminal is to be cleared.
    has_line: bool,
}

/// The step that is under way.
#[derive(Debug)]
struct Step {
    name: &'static str,
    of: Option<String>,
    begun: Instant,
    shown: Instant,
}

impl Shown {
    pub(super) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), state: Mutex::default() }
    }

    /// Shows an update, unless one was shown a moment ago.
    pub(super) fn show(&self, update: &Update) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let Some(passed) = state.due(update, self.is_terminal, now) else { return };
        let line = line(update, passed);
        if self.is_terminal {
            state.has_line = true;
            eprint!("\r\x1b[2K{line}");
            io::stderr().flush().ok();
        } else {
            eprintln!("{line}");
        }
    }

    /// Clears the line, for what is printed next.
    pub(super) fn clear(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut state.has_line) {
            eprint!("\r\x1b[2K");
            io::stderr().flush().ok();
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.clear();
    }
}

impl State {
    /// How much of the step has passed, if it is time to show it.
    fn due(&mut self, update: &Update, is_terminal: bool, now: Instant) -> Option<Duration> {
        match &mut self.step {
            Some(step) if step.name == update.step => {
                // A part of a whole, such as a table, is not worth a line of its own; on a terminal it costs none.
                let is_new = (is_terminal || update.total == 0) && step.of != update.of;
                let pause = if is_terminal { REWRITTEN } else { ADDED };
                if !is_new && now.duration_since(step.shown) < pause {
                    return None;
                }
                step.of.clone_from(&update.of);
                step.shown = now;
                Some(now.duration_since(step.begun))
            }
            _ => {
                let of = update.of.clone();
                self.step = Some(Step { name: update.step, of, begun: now, shown: now });
                Some(Duration::ZERO)
            }
        }
    }
}

/// An update in words; `passed` is how long its step has taken.
fn line(update: &Update, passed: Duration) -> String {
    let Update { step, of, done, total } = update;
    // By itself, the name of that step would frighten.
    let mut line = if *step == "lost" { "list what is lost" } else { step }.to_owned();
    if let Some(of) = of {
        let _ = write!(line, " {of}");
    }
    if *total > 0 {
        let share = *done as f64 / *total as f64;
        let percent = (share * 100.0).min(100.0).floor();
        let _ = write!(line, ": {percent:.0}% of {}", size(*total));
        let left = passed.as_secs_f64() * (1.0 - share) / share;
        if passed >= KNOWN
            && let Ok(left) = SignedDuration::try_from_secs_f64(left.ceil())
            && left.is_positive()
        {
            let _ = match left.as_secs() {
                seconds @ ..60 => write!(line, ", {seconds}s left"),
                _ => write!(line, ", {} left", brief(left)),
            };
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(step: &'static str, of: Option<&str>, done: u64, total: u64) -> Update {
        Update { step, of: of.map(str::to_owned), done, total }
    }

    #[test]
    fn a_line_says_the_step_its_share_and_the_time_left() {
        let at = |seconds| Duration::from_secs(seconds);
        assert_eq!(line(&update("compare", None, 0, 0), at(9)), "compare");
        let load = |done| update("load", Some("entries"), done, 4 << 20);
        assert_eq!(line(&load(0), at(60)), "load entries: 0% of 4.0 MiB");
        assert_eq!(line(&load(1 << 20), at(1)), "load entries: 25% of 4.0 MiB", "too early");
        assert_eq!(line(&load(1 << 20), at(20)), "load entries: 25% of 4.0 MiB, 1m left");
        assert_eq!(line(&load(2 << 20), at(20)), "load entries: 50% of 4.0 MiB, 20s left");
        assert_eq!(line(&load(5 << 20), at(20)), "load entries: 100% of 4.0 MiB", "an estimate");
    }

    #[test]
    fn a_log_has_a_line_a_step_and_one_each_few_seconds() {
        let (mut state, now) = (State::default(), Instant::now());
        let mut is_due = |step, table, seconds| {
            let update = update(step, Some(table), 0, 9);
            state.due(&update, false, now + Duration::from_secs(seconds)).is_some()
        };
        let due = [
            is_due("load", "entries", 0),
            is_due("load", "entry_versions", 1),
            is_due("load", "entry_versions", 6),
            is_due("load", "entry_versions", 7),
            is_due("compare", "entries", 7),
        ];
        assert_eq!(due, [true, false, true, false, true]);
    }

    #[test]
    fn who_is_waited_for_is_told_at_once() {
        let (mut state, now) = (State::default(), Instant::now());
        let mut is_due = |of| state.due(&update("switch", of, 0, 0), false, now).is_some();
        assert_eq!([is_due(None), is_due(Some("a")), is_due(Some("a"))], [true, true, false]);
    }

    #[test]
    fn a_terminal_shows_each_table_at_once() {
        let (mut state, now) = (State::default(), Instant::now());
        let mut is_due = |table| state.due(&update("load", Some(table), 0, 9), true, now).is_some();
        assert_eq!([is_due("entries"), is_due("entries"), is_due("tenants")], [true, false, true]);
    }
}
