//! Discards request bodies that a route did not read to the end. A connection that is closed on unread bytes
//! is reset, and the client may lose the answer that says why. So the rest of a body is read before the answer, within
//! bounds; a connection whose client may send more is closed slowly, after it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::timeout;

/// Most bytes that are discarded before the answer.
const MOST: u64 = 4 << 20;
/// Longest wait for them.
const LONGEST: Duration = Duration::from_secs(5);

/// Holds the unread rest of a request's body; one a connection, since its requests come one by one.
#[derive(Debug, Clone, Default)]
pub(super) struct UnreadBody(Arc<Mutex<Unread>>);

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
    /// Wraps a body, to be kept here if it is dropped before its end. `waits`: whether its client waits for `100
    /// Continue`.
    pub(super) fn of(&self, body: Incoming, waits: bool) -> RequestBody {
        RequestBody { body: Some(body), unasked: waits, unread: self.clone() }
    }

    /// Discards the unread rest, within bounds. Returns whether none is left.
    pub(super) async fn discard(&self) -> bool {
        let mut rest = match self.put(Unread::Nothing) {
            Unread::Nothing => return true,
            Unread::Unasked => return false,
            Unread::Rest(rest) => rest,
        };
        if rest.size_hint().lower() > MOST {
            return false;
        }
        let read = async {
            let mut bytes = 0;
            while let Some(frame) = next(&mut rest).await {
                let Ok(frame) = frame else { return false };
                bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
                if bytes > MOST {
                    return false;
                }
            }
            true
        };
        timeout(LONGEST, read).await.unwrap_or(false)
    }

    fn put(&self, unread: Unread) -> Unread {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), unread)
    }
}

async fn next(body: &mut Incoming) -> Option<Result<Frame<Bytes>, hyper::Error>> {
    std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
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
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.unasked = false;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
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
