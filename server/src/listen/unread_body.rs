//! Discards request bodies that a route did not read to the end. A connection that is closed on unread bytes
//! is reset, and the client may lose the answer that says why. So the rest of a body is read before the answer, within
//! bounds; a connection whose client may send more is closed slowly, after it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Instant, timeout};

use super::activity::ConnectionActivity;

/// Most bytes that are discarded, and those of them before the answer.
const MOST: u64 = 8 << 20;
const MOST_BEFORE: u64 = 4 << 20;
/// Longest wait for them before the answer.
const LONGEST_BEFORE: Duration = Duration::from_secs(2);

/// What may be read, and thrown away, of a body after its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leftover {
    /// Until when.
    pub by: Instant,
    /// How many bytes.
    pub bytes: u64,
}

/// Holds the unread rest of a request's body; one a connection, since its requests come one by one.
#[derive(Debug, Clone)]
pub(super) struct UnreadBody(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    activity: Arc<ConnectionActivity>,
    unread: Mutex<Unread>,
}

/// What is unread of a body.
#[derive(Debug, Default)]
enum Unread {
    /// Nothing.
    #[default]
    Nothing,
    /// All of it, and its client waits for `100 Continue`, which the next poll would send.
    Unasked,
    /// This.
    Rest(Incoming),
}

impl UnreadBody {
    /// That of the connection with this activity.
    pub(super) fn new(activity: Arc<ConnectionActivity>) -> Self {
        Self(Arc::new(Shared { activity, unread: Mutex::default() }))
    }

    /// Wraps a body, to be kept here if it is dropped before its end. `waits`: whether its client waits for `100
    /// Continue`.
    pub(super) fn of(&self, body: Incoming, waits: bool) -> RequestBody {
        RequestBody { body: Some(body), unasked: waits, unread: self.clone() }
    }

    /// Discards the unread rest, for no longer than `patience`, which also covers what is returned: what may be left. With
    /// no patience only what is there already is read.
    pub(super) async fn discard(&self, patience: Duration) -> Option<Leftover> {
        let by = Instant::now() + patience;
        let mut rest = match self.put(Unread::Nothing) {
            Unread::Nothing => return None,
            Unread::Unasked => return Some(Leftover { by, bytes: MOST }),
            Unread::Rest(rest) => rest,
        };
        let mut discarded = 0;
        if rest.size_hint().lower() <= MOST_BEFORE {
            let read = async {
                while let Some(frame) = self.next(&mut rest).await {
                    let Ok(frame) = frame else { return false };
                    discarded += frame.data_ref().map_or(0, Bytes::len) as u64;
                    if discarded > MOST_BEFORE {
                        return false;
                    }
                }
                true
            };
            if timeout(patience.min(LONGEST_BEFORE), read).await == Ok(true) {
                return None;
            }
        }
        Some(Leftover { by, bytes: MOST - discarded.min(MOST) })
    }

    async fn next(&self, body: &mut Incoming) -> Option<Result<Frame<Bytes>, hyper::Error>> {
        std::future::poll_fn(|cx| self.poll(body, cx)).await
    }

    /// Polls a body for its next frame, and records whether the connection waits for it.
    fn poll(
        &self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(body).poll_frame(cx);
        self.0.activity.awaits_body(frame.is_pending());
        frame
    }

    fn put(&self, unread: Unread) -> Unread {
        std::mem::replace(
            &mut *self.0.unread.lock().unwrap_or_else(PoisonError::into_inner),
            unread,
        )
    }
}

/// A request body that hands over its unread rest when dropped.
#[derive(Debug)]
pub(super) struct RequestBody {
    /// `None` after its end.
    body: Option<Incoming>,
    /// The client waits for `100 Continue`, which the first poll of the body sends.
    unasked: bool,
    unread: UnreadBody,
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        this.unasked = false;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let frame = this.unread.poll(body, cx);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            this.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            self.unread.put(if self.unasked { Unread::Unasked } else { Unread::Rest(body) });
        }
    }
}
