//! Discards request bodies that a route did not read to the end. A connection that is closed on unread bytes
//! is reset, and the client may lose the answer that says why; so the rest of a body is read first, within
//! bounds.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::timeout;

/// Most bytes that are discarded.
const MOST: u64 = 4 << 20;
/// Longest wait for them.
const LONGEST: Duration = Duration::from_secs(5);

/// Holds the unread rest of a request's body; one a connection, since its requests come one by one.
#[derive(Debug, Clone, Default)]
pub(super) struct UnreadBody(Arc<Mutex<Option<Incoming>>>);

impl UnreadBody {
    /// Wraps a body, to be kept here if it is dropped before its end. `waits`: whether its client waits for `100
    /// Continue`.
    pub(super) fn of(&self, body: Incoming, waits: bool) -> RequestBody {
        RequestBody { body: Some(body), unasked: waits, unread: self.clone() }
    }

    /// Discards the unread rest, within bounds.
    pub(super) async fn discard(&self) {
        let Some(mut rest) = self.put(None) else { return };
        if rest.size_hint().lower() > MOST {
            return;
        }
        let read = async {
            let mut bytes = 0;
            while let Some(Ok(frame)) = next(&mut rest).await
                && bytes <= MOST
            {
                bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
            }
        };
        timeout(LONGEST, read).await.ok();
    }

    fn put(&self, body: Option<Incoming>) -> Option<Incoming> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), body)
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
        if !self.unasked && !self.is_end_stream() {
            self.unread.put(self.body.take());
        }
    }
}
