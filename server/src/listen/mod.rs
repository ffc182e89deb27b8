//! Accepts connections up to the connection limit, evicts at it those that wait for their clients, and drains them at
//! shutdown without losing a request.
//!
//! HTTP/1 only. HTTP/2 would need limits of its own (streams, resets, pings), and no client of the contract
//! needs it.

mod activity;
mod address;
mod connection;
mod handler;
mod open_files;
mod operations;
mod registry;
mod timeout_stream;
mod unread_body;

pub use address::bind;
pub use connection::Connection;
pub use handler::RequestHandler;
pub use open_files::allow_open_files;
pub use operations::serve_operations;

pub use crate::settings::{Limits, Times};

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout};

use self::connection::serve_requests;
use self::registry::{Registry, is_due};

/// How long an idle connection is kept at shutdown: its client may have sent a request already.
const LINGER: Duration = Duration::from_millis(500);
/// How long to wait at the connection limit until more connections are asked to give way.
const EVICTION_WAIT: Duration = Duration::from_millis(50);
/// Pause after accepting failed for want of files or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Serves `handler` until `shutdown` resolves; then stops accepting, finishes requests in progress, and returns when all
/// connections have ended, or after [`Times::drain`]. `open` counts the open connections.
pub async fn serve(
    listener: TcpListener,
    handler: impl RequestHandler,
    limits: Limits,
    open: IntGauge,
    shutdown: impl Future<Output = ()>,
) {
    let mut acceptor = Acceptor::new(handler, limits, open);
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

struct Acceptor<H> {
    handler: H,
    registry: Arc<Registry>,
    /// Accepted, but waiting for a slot.
    pending: Option<(TcpStream, SocketAddr)>,
    /// When the connection limit was logged last.
    logged_full: Option<std::time::Instant>,
}

impl<H: RequestHandler> Acceptor<H> {
    fn new(handler: H, limits: Limits, open: IntGauge) -> Self {
        let registry = Registry::new(limits, open);
        Self { handler, registry, pending: None, logged_full: None }
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
                    self.registry.make_room();
                    sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    /// A slot for one more connection; at the connection limit others are evicted for it.
    async fn slot(&mut self) -> OwnedSemaphorePermit {
        loop {
            if let Some(slot) = self.free_slot() {
                return slot;
            }
            if is_due(&mut self.logged_full) {
                tracing::warn!(
                    "{} connections are open, as many as {} allows; those that wait for their clients are closed for new ones",
                    self.registry.limits.connections,
                    self.registry.limits.allowed_by
                );
            }
            self.registry.make_room();
            let left = self.registry.slots.clone().acquire_owned();
            if let Ok(Ok(slot)) = timeout(EVICTION_WAIT, left).await {
                return slot;
            }
        }
    }

    fn free_slot(&self) -> Option<OwnedSemaphorePermit> {
        self.registry.slots.clone().try_acquire_owned().ok()
    }

    fn spawn(&self, stream: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit) {
        // An IPv4 client of a listener for both kinds is told as ::ffff:192.0.2.1.
        let peer = peer.ip().to_canonical();
        let place = self.registry.open(peer, slot);
        let (handler, registry) = (self.handler.clone(), self.registry.clone());
        tokio::spawn(async move {
            serve_requests(stream, peer, handler, registry, place.connection.clone()).await;
            drop(place);
        });
    }

    /// Drains all connections, each after the request in progress on it.
    async fn close(mut self, listener: TcpListener) {
        let times = self.registry.limits.times;
        let deadline = Instant::now() + times.drain;
        // In this order: who is told that his connection ends must not find the listener still there.
        self.spawn_backlog(listener);
        self.registry.last_answers.store(true, Ordering::Relaxed);
        let mut all_gone = pin!(self.registry.slots.acquire_many(self.registry.limits.connections));
        if timeout(LINGER, &mut all_gone).await.is_ok() {
            return;
        }
        self.registry.end();
        if tokio::time::timeout_at(deadline, all_gone).await.is_err() {
            tracing::warn!(
                "requests were still under way {} s after the end was announced; they are cut off",
                times.drain.as_secs()
            );
        }
    }

    /// Serves connections that the kernel has accepted already: their requests may be on the way.
    fn spawn_backlog(&mut self, listener: TcpListener) {
        let listener = listener.into_std();
        while let Some(slot) = self.free_slot()
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
