//! A stream that times out on a slow peer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Times;
use super::activity::ConnectionActivity;
use super::unread_body::Leftover;

/// A stream that fails with `TimedOut` when its peer is too slow for `times`.
///
/// hyper's own limit of a head's time begins when the connection falls idle, so it cannot tell a slow head from a pause
/// between requests; and it has none for a client that does not take its answer.
pub(super) struct TimeoutStream<S> {
    stream: S,
    activity: Arc<ConnectionActivity>,
    times: Times,
    reading: Alarm,
    writing: Alarm,
    /// Deadline for the peer to take what it is offered; `None` while it has.
    write_by: Option<Instant>,
    /// The last answer's end is sent, and only what nobody wants is still read.
    ended: bool,
    /// What of it.
    leftover: Option<Leftover>,
}

impl<S> TimeoutStream<S> {
    pub(super) fn new(stream: S, activity: Arc<ConnectionActivity>, times: Times) -> Self {
        let (reading, writing) = (Alarm::default(), Alarm::default());
        Self {
            stream,
            activity,
            times,
            reading,
            writing,
            write_by: None,
            ended: false,
            leftover: None,
        }
    }

    /// Records the result of an attempt to write `offered` bytes.
    fn record_write(
        &mut self,
        cx: &mut Context<'_>,
        offered: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let whole = matches!(&written, Poll::Ready(Ok(n)) if *n == offered);
        if whole {
            self.write_by = None;
            self.activity.sent(true);
            return written;
        }
        let by = *self.write_by.get_or_insert_with(|| Instant::now() + self.times.write);
        match written {
            Poll::Ready(Ok(_)) => self.activity.sent(false),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                self.activity.stalls();
                if self.writing.rings(cx, by) {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimeoutStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if read.is_ready() {
            if buf.filled().len() > before {
                this.activity.received();
            }
            return read;
        }
        let by = this.activity.read_by(this.times.keep_alive, this.times.head).map(Instant::from);
        // hyper does not ask again when a request that was under way is answered: the alarm has it look later.
        let by = by.unwrap_or_else(|| Instant::now() + this.times.keep_alive);
        if this.reading.rings(cx, by) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TimeoutStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.record_write(cx, buf.len(), written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.record_write(cx, bufs.iter().map(|buf| buf.len()).sum(), written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    /// Closes slowly if the peer may still be sending: closed on bytes that are not read, the connection would be reset, and
    /// the peer might lose the answer. A client may well write all of its request before it reads.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.ended {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.ended = true;
            this.leftover = this.activity.leftover();
        }
        let Some(left) = &mut this.leftover else { return Poll::Ready(Ok(())) };
        let mut unread = [0; 4096];
        while left.bytes > 0 {
            let mut unread = ReadBuf::new(&mut unread);
            match Pin::new(&mut this.stream).poll_read(cx, &mut unread) {
                Poll::Ready(Ok(())) if !unread.filled().is_empty() => {
                    left.bytes = left.bytes.saturating_sub(unread.filled().len() as u64);
                }
                Poll::Ready(_) => break,
                Poll::Pending if this.reading.rings(cx, left.by) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// A timer that is reset only when it would fire too late: most deadlines move away long before.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Whether `by` has passed; if not, the task is woken then.
    fn rings(&mut self, cx: &mut Context<'_>, by: Instant) -> bool {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(by)));
        if timer.deadline() > by {
            timer.as_mut().reset(by);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= by {
                return true;
            }
            timer.as_mut().reset(by);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::task::JoinHandle;

    const SHORT: Duration = Duration::from_millis(30);
    const LONG: Duration = Duration::from_mins(10);

    fn times() -> Times {
        Times { keep_alive: LONG, head: LONG, write: LONG, ..Times::default() }
    }

    #[tokio::test]
    async fn a_peer_that_says_nothing_or_dribbles_is_given_up() {
        for times in [Times { keep_alive: SHORT, ..times() }, Times { head: SHORT, ..times() }] {
            let (mut peer, inner) = duplex(100);
            let mut stream = TimeoutStream::new(inner, Arc::new(ConnectionActivity::new()), times);
            let dribble = async {
                // Only the head's limit needs a first byte, and more of them do not help.
                while times.head == SHORT && peer.write_u8(b'G').await.is_ok() {
                    tokio::time::sleep(SHORT / 10).await;
                }
                std::future::pending::<()>().await;
            };
            let read = async {
                loop {
                    if let Err(error) = stream.read_u8().await {
                        return error;
                    }
                }
            };
            let error = tokio::select! { error = read => error, () = dribble => unreachable!() };
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
    }

    #[tokio::test]
    async fn a_request_under_way_is_waited_for() {
        let activity = Arc::new(ConnectionActivity::new());
        let (_peer, inner) = duplex(100);
        let mut stream =
            TimeoutStream::new(inner, activity.clone(), Times { keep_alive: SHORT, ..times() });
        let request = activity.request();
        let mut read = pin!(stream.read_u8());
        assert!(tokio::time::timeout(SHORT * 3, &mut read).await.is_err());
        drop(request);
        // Nobody wakes the reader but its alarm.
        assert_eq!(read.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_peer_that_takes_too_little_is_given_up() {
        let (mut peer, inner) = duplex(4);
        let mut stream = TimeoutStream::new(
            inner,
            Arc::new(ConnectionActivity::new()),
            Times { write: SHORT, ..times() },
        );
        let dribble = async {
            while peer.read_u8().await.is_ok() {
                tokio::time::sleep(SHORT / 10).await;
            }
            std::future::pending::<()>().await;
        };
        // hyper offers what is left of a buffer again and again, as write_all does.
        let offered = [b'x'; 1000];
        let error = tokio::select! {
            written = stream.write_all(&offered) => written.unwrap_err(),
            () = dribble => unreachable!(),
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    /// A peer, and the closing of its stream, which reads `bytes` from it until `by`.
    fn closing(by: Instant, bytes: u64) -> (DuplexStream, JoinHandle<io::Result<()>>) {
        let activity = Arc::new(ConnectionActivity::new());
        let (peer, inner) = duplex(4);
        let mut stream = TimeoutStream::new(inner, activity.clone(), times());
        activity.request().leaves(Leftover { by, bytes });
        (peer, tokio::spawn(async move { stream.shutdown().await }))
    }

    #[tokio::test]
    async fn a_peer_that_still_sends_is_read_to_its_end() {
        for (bytes, leaves) in [(10_000, false), (10_001, true)] {
            let (mut peer, closing) = closing(Instant::now() + LONG, bytes);
            peer.write_all(&[b'x'; 10_000]).await.unwrap();
            assert_eq!(peer.read(&mut [0]).await.unwrap(), 0, "the answer's end is there");
            let _peer = (!leaves).then_some(peer);
            closing.await.unwrap().unwrap();
        }
        // All was read: nobody waits.
        let (_peer, inner) = duplex(4);
        let activity = Arc::new(ConnectionActivity::new());
        drop(activity.request());
        let mut stream = TimeoutStream::new(inner, activity, times());
        stream.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn a_peer_that_sends_for_ever_or_nothing_is_left() {
        for sends in [true, false] {
            let (mut peer, closing) = closing(Instant::now() + SHORT, u64::MAX);
            // A slow machine sends less, and may not begin before the time is over.
            while sends && peer.write_u8(b'x').await.is_ok() {}
            closing.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn one_that_takes_all_has_all_the_time_for_the_next() {
        let (mut peer, inner) = duplex(4);
        let mut stream = TimeoutStream::new(inner, Arc::new(ConnectionActivity::new()), times());
        let offered = stream.write_all(b"eight ch");
        assert!(tokio::time::timeout(SHORT, offered).await.is_err(), "four fit");
        assert!(stream.write_by.is_some());
        peer.read_exact(&mut [0; 4]).await.unwrap();
        stream.write_all(b"t ch").await.unwrap();
        assert_eq!(stream.write_by, None);
    }
}
