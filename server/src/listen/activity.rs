//! Tracks a connection's activity (waiting, receiving, answering), for its timeouts and its eviction.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::unread_body::Leftover;

/// What has waited for less counts as fresh, and as not idle yet.
const MIN_WAIT: Duration = Duration::from_secs(1);

/// What an evictable connection is doing. The first are evicted first, but for [`Standing::Fresh`] where there are few.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Waits for a client that has not authenticated itself: for its head, its body, or until it takes its answer.
    Waiting,
    /// As `Waiting`, but not for long yet.
    Fresh,
    /// Waits for the next request of an authenticated client.
    Idle,
    /// Serves a client that has not authenticated itself: looks its key up, say.
    Serving,
}

/// The activity of a connection. Its stream and its service both run in the connection's task, so nothing races.
#[derive(Debug)]
pub(super) struct ConnectionActivity {
    began: Instant,
    /// Requests in progress: 0 or 1, and more only while an answer is still being streamed.
    under_way: AtomicU32,
    /// The client has not taken yet what it was offered.
    stalled: AtomicBool,
    /// The server waits for more of a request's body.
    awaits_body: AtomicBool,
    /// What may still be read of a body that nobody wants, after the answer.
    leftover: Mutex<Option<Leftover>>,
    /// The last request showed a valid key or token. It holds for that request alone: a proxy's connection carries many
    /// clients.
    authenticated: AtomicBool,
    /// When the connection began to be used by somebody unauthenticated, in microseconds since it began.
    unauthenticated_since: AtomicU64,
    /// When the connection began to wait for a request, in microseconds since it began.
    waiting_since: AtomicU64,
    /// When the current request head began to arrive, in the same way; 0 while there is none.
    head_since: AtomicU64,
}

/// A request is in progress as long as this lives.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<ConnectionActivity>);

impl UnderWay {
    /// Records that the request's body was not read to its end, and what of it may be read after the answer.
    pub(super) fn leaves(&self, leftover: Leftover) {
        *self.0.leftover.lock().unwrap_or_else(PoisonError::into_inner) = Some(leftover);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.wait();
    }
}

impl ConnectionActivity {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            under_way: AtomicU32::new(0),
            stalled: AtomicBool::new(false),
            awaits_body: AtomicBool::new(false),
            leftover: Mutex::new(None),
            authenticated: AtomicBool::new(false),
            unauthenticated_since: AtomicU64::new(0),
            waiting_since: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
        }
    }

    /// Records a received request head.
    pub(super) fn request(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
        self.awaits_body.store(false, Ordering::Relaxed);
        if self.authenticated.swap(false, Ordering::Relaxed) {
            self.unauthenticated_since.store(self.now(), Ordering::Relaxed);
        }
        UnderWay(self.clone())
    }

    /// Records that the current request showed a valid key or token.
    pub(super) fn authenticate(&self) {
        self.authenticated.store(true, Ordering::Relaxed);
    }

    /// Records whether the server waits for more of the request's body.
    pub(super) fn awaits_body(&self, awaits: bool) {
        self.awaits_body.store(awaits, Ordering::Relaxed);
    }

    /// Records received bytes.
    pub(super) fn received(&self) {
        if !self.is_under_way() && self.head_since.load(Ordering::Relaxed) == 0 {
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Records bytes that the client has taken; `whole` if it took everything offered.
    pub(super) fn sent(&self, whole: bool) {
        self.stalled.store(!whole, Ordering::Relaxed);
        self.wait();
    }

    /// Records that the client takes no bytes for now.
    pub(super) fn stalls(&self) {
        self.stalled.store(true, Ordering::Relaxed);
    }

    /// The deadline for reading: `None` while a request is in progress, which has timeouts of its own.
    pub(super) fn read_by(&self, keep_alive: Duration, head: Duration) -> Option<Instant> {
        if self.is_under_way() {
            return None;
        }
        let (since, patience) = match self.head_since.load(Ordering::Relaxed) {
            0 => (&self.waiting_since, keep_alive),
            _ => (&self.head_since, head),
        };
        Some(self.moment(since) + patience)
    }

    /// What may still be read of a body that nobody wants.
    pub(super) fn leftover(&self) -> Option<Leftover> {
        *self.leftover.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the connection is doing at `now`, and since when, if it may be evicted.
    ///
    /// An unauthenticated client cannot renew its moment by sending or taking a little.
    pub(super) fn standing(&self, now: Instant) -> Option<(Standing, Instant)> {
        let stalled = self.stalled.load(Ordering::Relaxed);
        let is_idle = !self.is_under_way() && !stalled;
        if self.authenticated.load(Ordering::Relaxed) {
            let since = self.moment(&self.waiting_since);
            return (is_idle && is_long(now, since)).then_some((Standing::Idle, since));
        }
        let since = self.moment(&self.unauthenticated_since);
        let standing = match is_idle || stalled || self.awaits_body.load(Ordering::Relaxed) {
            true if is_long(now, since) => Standing::Waiting,
            true => Standing::Fresh,
            false => Standing::Serving,
        };
        Some((standing, since))
    }

    fn moment(&self, micros: &AtomicU64) -> Instant {
        self.began + Duration::from_micros(micros.load(Ordering::Relaxed))
    }

    fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) > 0
    }

    fn wait(&self) {
        self.waiting_since.store(self.now(), Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
    }

    /// Never 0, which means none.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX).max(1)
    }
}

fn is_long(now: Instant, since: Instant) -> bool {
    now.saturating_duration_since(since) >= MIN_WAIT
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP_ALIVE: Duration = Duration::from_hours(75);
    const HEAD: Duration = Duration::from_hours(10);

    #[test]
    fn a_head_has_less_time_than_an_idle_connection_and_a_request_has_its_own() {
        let activity = Arc::new(ConnectionActivity::new());
        let left = |activity: &ConnectionActivity| {
            let by = activity.read_by(KEEP_ALIVE, HEAD)?;
            Some(by.saturating_duration_since(Instant::now()).as_secs().div_ceil(3600))
        };
        assert_eq!(left(&activity), Some(75));
        activity.received();
        assert_eq!(left(&activity), Some(10));
        let by = activity.read_by(KEEP_ALIVE, HEAD);
        activity.received();
        assert_eq!(activity.read_by(KEEP_ALIVE, HEAD), by, "more bytes give no more time");
        let request = activity.request();
        activity.received();
        assert_eq!(left(&activity), None);
        drop(request);
        assert_eq!(left(&activity), Some(75));
        activity.received();
        activity.sent(true);
        assert_eq!(left(&activity), Some(75));
    }

    #[test]
    fn who_is_served_stays_and_who_is_waited_for_goes() {
        let began = Instant::now();
        let activity = Arc::new(ConnectionActivity::new());
        // As if no time had passed, however long this takes.
        let standing = || activity.standing(began).map(|(standing, _)| standing);
        // Moments are kept to the microsecond, of which a fast machine does all of this in one.
        let long = MIN_WAIT + Duration::from_millis(1);
        let later = || activity.standing(Instant::now() + long).map(|(standing, _)| standing);
        activity.received();
        assert_eq!(standing(), Some(Standing::Fresh), "part of a head is no request");
        assert_eq!(later(), Some(Standing::Waiting));
        let request = activity.request();
        assert_eq!(later(), Some(Standing::Serving), "its key is looked up");
        activity.awaits_body(true);
        assert_eq!(later(), Some(Standing::Waiting), "the body of somebody unknown");
        activity.authenticate();
        assert_eq!(later(), None, "the body of somebody known");
        drop(request);
        activity.sent(false);
        assert_eq!(later(), None, "an answer is being taken");
        activity.sent(true);
        assert_eq!(standing(), None);
        assert_eq!(later(), Some(Standing::Idle));

        let refused = activity.request();
        assert_eq!(later(), Some(Standing::Serving), "the next request may be another client's");
        drop(refused);
        activity.stalls();
        assert_eq!(later(), Some(Standing::Waiting), "an answer that is not taken");
    }

    #[test]
    fn an_unauthenticated_client_gains_no_time_by_sending() {
        let activity = Arc::new(ConnectionActivity::new());
        let since = || activity.standing(Instant::now()).map(|(_, since)| since);
        let began = since();
        drop(activity.request());
        activity.received();
        activity.sent(true);
        assert_eq!(since(), began);
        let request = activity.request();
        activity.authenticate();
        drop(request);
        drop(activity.request());
        assert!(since() > began, "it was somebody known meanwhile");
    }
}
