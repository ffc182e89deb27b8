//! Invalidates the connections of a database when one of them shows that all of them may be of no use: all are then replaced, or
//! asked whether they are there, before their next use.
//!
//! A restore drops and recreates what statements were prepared for, under connections that stay open.
//! PostgreSQL replans most statements by itself; what depends on a type's id fails for as long as its
//! connection lives. After a failover connections to the former primary may stay open as well, and refuse every write.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::store::error::{is_lost, is_outdated, is_read_only};

/// While a type is missing, every statement with it fails alike: new connections more often than this would help nobody.
const PAUSE: Duration = Duration::from_millis(100);
/// A server that takes no writes may be so for minutes; meanwhile it should not be busy with new connections.
const LONG_PAUSE: Duration = Duration::from_secs(1);

/// What the connections of one database share.
#[derive(Debug, Clone, Default)]
pub(super) struct Invalidation {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Connections made before this moment are not to be used.
    outdated: Option<Instant>,
    /// Connections last used before this moment may be gone.
    lost: Option<Instant>,
    /// When a connection gave no answer.
    silent: Option<Instant>,
}

impl Invalidation {
    /// Notes what an error of one connection says of all of them.
    pub(super) fn note(&self, error: &sqlx::Error) {
        if is_outdated(error) {
            self.outdate();
        } else if is_read_only(error) {
            self.outdate_older_than(LONG_PAUSE);
        } else if is_lost(error) {
            self.seen().lost = Some(Instant::now());
        }
    }

    /// Notes that a connection gave no answer: something between here and the database has forgotten it, and so perhaps the
    /// others, each of which is asked before its next use. They are not replaced at once, since a database that is merely slow
    /// would be slower still for it.
    pub(super) fn note_silence(&self) {
        let now = Some(Instant::now());
        let mut seen = self.seen();
        (seen.lost, seen.silent) = (now, now);
    }

    /// Whether a connection gave no answer since that moment.
    pub(super) fn was_silent_since(&self, moment: Instant) -> bool {
        self.seen().silent.is_some_and(|at| at >= moment)
    }

    /// Makes all present connections outdated.
    pub(super) fn renew_all(&self) {
        self.seen().outdated = Some(Instant::now());
    }

    /// Since when connections that were made before are outdated.
    pub(super) fn outdated(&self) -> Option<Instant> {
        self.seen().outdated
    }

    /// Whether a connection of this age is outdated.
    pub(super) fn outdates(&self, age: Duration) -> bool {
        self.seen().outdated.is_some_and(|at| at.elapsed() < age)
    }

    /// Whether a connection that was last used so long ago may be gone, as another one was.
    pub(super) fn doubts(&self, idle_for: Duration) -> bool {
        self.seen().lost.is_some_and(|at| at.elapsed() <= idle_for)
    }

    /// Makes all present connections outdated, unless that was done a moment ago.
    fn outdate(&self) {
        let mut seen = self.seen();
        if seen.outdated.is_none_or(|at| at.elapsed() >= PAUSE) {
            seen.outdated = Some(Instant::now());
        }
    }

    /// Makes connections of a greater age outdated.
    fn outdate_older_than(&self, age: Duration) {
        let mut seen = self.seen();
        seen.outdated = seen.outdated.max(Instant::now().checked_sub(age));
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
