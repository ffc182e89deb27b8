//! Tracks a connection's activity (waiting, receiving, answering), for its timeouts and its eviction.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The activity of a connection. Its stream and its service both run in the connection's task, so nothing races.
#[derive(Debug)]
pub(super) struct ConnectionActivity {
    began: Instant,
    /// Requests in progress: 0 or 1, and more only while an answer is still being streamed.
    under_way: AtomicU32,
    /// The client has not taken yet what it was offered.
    stalled: AtomicBool,
    /// The client may still send what nobody reads.
    sends_unread: AtomicBool,
    /// When the connection began to wait for a request, in microseconds since it began.
    waiting_since: AtomicU64,
    /// When the current request head began to arrive, in the same way; 0 while there is none.
    head_since: AtomicU64,
}

/// A request is in progress as long as this lives.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<ConnectionActivity>);

impl UnderWay {
    /// Records that the request's body was not read to its end, and will not be.
    pub(super) fn leaves_unread(&self) {
        self.0.sends_unread.store(true, Ordering::Relaxed);
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
            sends_unread: AtomicBool::new(false),
            waiting_since: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
        }
    }

    /// Records a received request head.
    pub(super) fn request(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
        UnderWay(self.clone())
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
            0 => (self.waiting_since.load(Ordering::Relaxed), keep_alive),
            head_since => (head_since, head),
        };
        Some(self.began + Duration::from_micros(since) + patience)
    }

    /// Whether the client may still send what nobody reads.
    pub(super) fn sends_unread(&self) -> bool {
        self.sends_unread.load(Ordering::Relaxed)
    }

    /// How long the connection has been idle, waiting for a complete head.
    pub(super) fn idle_for(&self) -> Duration {
        if self.is_under_way() || self.stalled.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        let since = Duration::from_micros(self.waiting_since.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(since)
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
    fn what_is_under_way_is_not_idle() {
        let activity = Arc::new(ConnectionActivity::new());
        let moment = || std::thread::sleep(Duration::from_millis(2));
        moment();
        activity.received();
        assert!(activity.idle_for() > Duration::ZERO, "part of a head is no request");
        let request = activity.request();
        moment();
        assert_eq!(activity.idle_for(), Duration::ZERO);
        drop(request);
        activity.stalls();
        moment();
        assert_eq!(activity.idle_for(), Duration::ZERO);
        activity.sent(false);
        moment();
        assert_eq!(activity.idle_for(), Duration::ZERO);
        activity.sent(true);
        moment();
        assert!(activity.idle_for() > Duration::ZERO);
    }
}
