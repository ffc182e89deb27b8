//! Connections: bounded in number and time, and ended without losing a request.
//!
//! HTTP/1 alone. HTTP/2 would ask for limits of its own (streams, resets, pings), and no client of the contract needs it.

mod activity;
mod address;
mod connection;
mod limits;
mod open_files;
mod timeout_stream;
mod unread_body;

pub use address::bind;
pub use connection::Connection;
pub use limits::{Limits, Times};
pub use open_files::allow_open_files;

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

use self::connection::converse;

/// How long a connection that seems idle is kept after the end was announced: its client may have sent a request already.
const LINGER: Duration = Duration::from_millis(500);
/// How long a full house waits for idle connections that it has asked to leave.
const MAKE_ROOM_WITHIN: Duration = Duration::from_millis(50);
/// A connection that has waited for a request for less than this is not asked to leave.
const HARDLY_IDLE: Duration = Duration::from_secs(1);
/// How long nothing is accepted after that failed for want of files or memory.
const CATCH_BREATH: Duration = Duration::from_millis(100);
/// A full house is logged no more often than this.
const SAY_FULL_EVERY: Duration = Duration::from_mins(1);

/// What all connections are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// To go on.
    Open,
    /// To end where they have waited for a request for so long.
    MakeRoom(Duration),
    /// To end as soon as nothing is under way on them.
    Ending,
}

/// Serves `router` until `shutdown` resolves; then accepts no more, answers what is under way, and returns when all
/// connections have ended, or after [`Times::drain`]. `open` shows the connections there are.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    open: IntGauge,
    shutdown: impl Future<Output = ()>,
) {
    let mut house = House::new(router, limits, open);
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, peer, room) = tokio::select! {
            next = house.next(&listener) => next,
            () = &mut shutdown => break,
        };
        house.let_in(stream, peer, room);
    }
    house.close(listener).await;
}

struct House {
    router: Router,
    limits: Limits,
    open: IntGauge,
    room: Arc<Semaphore>,
    phase: watch::Sender<Phase>,
    /// From now on every answer is the last of its connection.
    last_answers: Arc<AtomicBool>,
    /// Accepted, but there is no room yet.
    at_the_door: Option<(TcpStream, SocketAddr)>,
    said_full: Option<Instant>,
}

impl House {
    fn new(router: Router, limits: Limits, open: IntGauge) -> Self {
        let room = Arc::new(Semaphore::new(limits.connections as usize));
        let phase = watch::Sender::new(Phase::Open);
        Self {
            router,
            limits,
            open,
            room,
            phase,
            last_answers: Arc::default(),
            at_the_door: None,
            said_full: None,
        }
    }

    /// The next connection, when there is room for it. Dropping the future loses none.
    async fn next(
        &mut self,
        listener: &TcpListener,
    ) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
        loop {
            if self.at_the_door.is_none() {
                self.at_the_door = Some(self.accept(listener).await);
            }
            let room = self.room().await;
            if let Some((stream, peer)) = self.at_the_door.take() {
                return (stream, peer, room);
            }
        }
    }

    async fn accept(&self, listener: &TcpListener) -> (TcpStream, SocketAddr) {
        loop {
            match listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    tracing::error!("connections cannot be accepted: {error}");
                    self.phase.send_replace(Phase::MakeRoom(HARDLY_IDLE));
                    sleep(CATCH_BREATH).await;
                }
            }
        }
    }

    /// Room for one more, made by those who have been idle the longest.
    async fn room(&mut self) -> OwnedSemaphorePermit {
        let mut idle = self.limits.times.keep_alive;
        loop {
            if let Ok(room) = self.room.clone().try_acquire_owned() {
                return room;
            }
            if self.said_full.is_none_or(|said| said.elapsed() > SAY_FULL_EVERY) {
                self.said_full = Some(Instant::now());
                tracing::warn!(
                    "{} connections are open, as many as MAX_CONNECTIONS allows; idle ones are closed for new ones",
                    self.limits.connections
                );
            }
            idle = (idle / 2).max(HARDLY_IDLE);
            self.phase.send_replace(Phase::MakeRoom(idle));
            let left = timeout(MAKE_ROOM_WITHIN, self.room.clone().acquire_owned()).await;
            if let Ok(Ok(room)) = left {
                return room;
            }
        }
    }

    fn let_in(&self, stream: TcpStream, peer: SocketAddr, room: OwnedSemaphorePermit) {
        let connection = Connection::new(peer, self.limits.times);
        let talk = converse(
            stream,
            connection,
            self.router.clone(),
            self.phase.subscribe(),
            self.last_answers.clone(),
        );
        let open = self.open.clone();
        open.inc();
        tokio::spawn(async move {
            talk.await;
            open.dec();
            drop(room);
        });
    }

    /// Ends all connections, each after what is under way on it.
    async fn close(mut self, listener: TcpListener) {
        let deadline = Instant::now() + self.limits.times.drain;
        // In this order: who is told that his connection ends must not find the listener still there.
        self.let_in_who_waits(listener);
        self.last_answers.store(true, Ordering::Relaxed);
        let all_gone = self.room.acquire_many(self.limits.connections);
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

    /// The kernel has accepted these for us already: their requests may be on the way.
    fn let_in_who_waits(&mut self, listener: TcpListener) {
        let listener = listener.into_std();
        while let Ok(room) = self.room.clone().try_acquire_owned()
            && let Some((stream, peer)) =
                self.at_the_door.take().or_else(|| accepted(listener.as_ref().ok()?))
        {
            self.let_in(stream, peer, room);
        }
    }
}

/// A connection that is there already.
fn accepted(listener: &std::net::TcpListener) -> Option<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept().ok()?;
    stream.set_nonblocking(true).ok()?;
    Some((TcpStream::from_std(stream).ok()?, peer))
}

/// The client went away before it was accepted.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
