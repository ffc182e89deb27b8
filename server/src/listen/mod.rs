//! Accepts connections up to the connection limit, evicts idle ones at it, and drains them at shutdown
//! without losing a request.
//!
//! HTTP/1 only. HTTP/2 would need limits of its own (streams, resets, pings), and no client of the contract
//! needs it.

mod activity;
mod address;
mod connection;
mod open_files;
mod operations;
mod timeout_stream;
mod unread_body;

pub use address::bind;
pub use connection::Connection;
pub use open_files::allow_open_files;
pub use operations::serve_operations;

pub use crate::settings::{Limits, Times};

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

use self::connection::serve_requests;

/// How long an idle connection is kept at shutdown: its client may have sent a request already.
const LINGER: Duration = Duration::from_millis(500);
/// How long to wait at the connection limit for evicted idle connections to close.
const EVICTION_WAIT: Duration = Duration::from_millis(50);
/// Connections that have been idle for less than this are not evicted.
const MIN_IDLE: Duration = Duration::from_secs(1);
/// Pause after accepting failed for want of files or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// The connection limit is logged no more often than this.
const LOG_FULL_EVERY: Duration = Duration::from_mins(1);

/// The phase that is signalled to all connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Serve.
    Open,
    /// End if idle for this long.
    EvictIdle(Duration),
    /// End as soon as no request is in progress.
    Ending,
}

/// Serves `router` until `shutdown` resolves; then stops accepting, finishes requests in progress, and returns when all
/// connections have ended, or after [`Times::drain`]. `open` counts the open connections.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    open: IntGauge,
    shutdown: impl Future<Output = ()>,
) {
    let mut acceptor = Acceptor::new(router, limits, open);
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, peer, slot) = tokio::select! {
            next = acceptor.next(&listener) => next,
            () = &mut shutdown => break,
        };
        acceptor.spawn(stream, peer, slot);
    }
    acceptor.close(listener).await;
}

struct Acceptor {
    router: Router,
    limits: Limits,
    open: IntGauge,
    slots: Arc<Semaphore>,
    phase: watch::Sender<Phase>,
    /// From now on every answer is the last of its connection.
    last_answers: Arc<AtomicBool>,
    /// Accepted, but waiting for a slot.
    pending: Option<(TcpStream, SocketAddr)>,
    logged_full_at: Option<Instant>,
}

impl Acceptor {
    fn new(router: Router, limits: Limits, open: IntGauge) -> Self {
        let slots = Arc::new(Semaphore::new(limits.connections as usize));
        let phase = watch::Sender::new(Phase::Open);
        Self {
            router,
            limits,
            open,
            slots,
            phase,
            last_answers: Arc::default(),
            pending: None,
            logged_full_at: None,
        }
    }

    /// The next connection, once it has a slot. Cancel safe: dropping the future loses none.
    async fn next(
        &mut self,
        listener: &TcpListener,
    ) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
        loop {
            if self.pending.is_none() {
                self.pending = Some(self.accept(listener).await);
            }
            let slot = self.slot().await;
            if let Some((stream, peer)) = self.pending.take() {
                return (stream, peer, slot);
            }
        }
    }

    async fn accept(&self, listener: &TcpListener) -> (TcpStream, SocketAddr) {
        loop {
            match listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) if is_client_error(&error) => {}
                Err(error) => {
                    tracing::error!("connections cannot be accepted: {error}");
                    self.phase.send_replace(Phase::EvictIdle(MIN_IDLE));
                    sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    /// A slot for one more connection; at the connection limit the longest idle are evicted for it.
    async fn slot(&mut self) -> OwnedSemaphorePermit {
        let mut idle = self.limits.times.keep_alive;
        loop {
            if let Ok(slot) = self.slots.clone().try_acquire_owned() {
                return slot;
            }
            if self.logged_full_at.is_none_or(|at| at.elapsed() > LOG_FULL_EVERY) {
                self.logged_full_at = Some(Instant::now());
                tracing::warn!(
                    "{} connections are open, as many as {} allows; idle ones are closed for new ones",
                    self.limits.connections,
                    self.limits.allowed_by
                );
            }
            idle = (idle / 2).max(MIN_IDLE);
            self.phase.send_replace(Phase::EvictIdle(idle));
            let left = timeout(EVICTION_WAIT, self.slots.clone().acquire_owned()).await;
            if let Ok(Ok(slot)) = left {
                return slot;
            }
        }
    }

    fn spawn(&self, stream: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit) {
        let connection = Connection::new(peer, self.limits.times);
        let serving = serve_requests(
            stream,
            connection,
            self.router.clone(),
            self.phase.subscribe(),
            self.last_answers.clone(),
        );
        let open = self.open.clone();
        open.inc();
        tokio::spawn(async move {
            serving.await;
            open.dec();
            drop(slot);
        });
    }

    /// Drains all connections, each after the request in progress on it.
    async fn close(mut self, listener: TcpListener) {
        let deadline = Instant::now() + self.limits.times.drain;
        // In this order: who is told that his connection ends must not find the listener still there.
        self.spawn_backlog(listener);
        self.last_answers.store(true, Ordering::Relaxed);
        let all_gone = self.slots.acquire_many(self.limits.connections);
        let mut all_gone = pin!(all_gone);
        if timeout(LINGER, &mut all_gone).await.is_ok() {
            return;
        }
        self.phase.send_replace(Phase::Ending);
        if tokio::time::timeout_at(deadline, all_gone).await.is_err() {
            tracing::warn!(
                "requests were still under way {} s after the end was announced; they are cut off",
                self.limits.times.drain.as_secs()
            );
        }
    }

    /// Serves connections that the kernel has accepted already: their requests may be on the way.
    fn spawn_backlog(&mut self, listener: TcpListener) {
        let listener = listener.into_std();
        while let Ok(slot) = self.slots.clone().try_acquire_owned()
            && let Some((stream, peer)) =
                self.pending.take().or_else(|| accepted(listener.as_ref().ok()?))
        {
            self.spawn(stream, peer, slot);
        }
    }
}

/// Accepts a connection that is already there.
fn accepted(listener: &std::net::TcpListener) -> Option<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept().ok()?;
    stream.set_nonblocking(true).ok()?;
    Some((TcpStream::from_std(stream).ok()?, peer))
}

/// Whether the client went away before it was accepted.
fn is_client_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
