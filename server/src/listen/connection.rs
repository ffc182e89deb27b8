//! Serves the requests of one connection.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::header::{CONNECTION, EXPECT};
use axum::http::{Extensions, HeaderValue, Request as Message};
use axum::response::Response;
use futures::StreamExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower::Service as _;

use super::Phase;
use super::Times;
use super::activity::{ConnectionActivity, UnderWay};
use super::timeout_stream::TimeoutStream;
use super::unread_body::UnreadBody;

/// Largest request head; hyper allows 100 headers. hyper itself answers larger ones with 431.
const MAX_HEAD: usize = 32 << 10;

/// The connection of a request; an extension of every request.
#[derive(Debug, Clone, Copy)]
pub struct Connection {
    /// The client's address, or its proxy's.
    pub peer: IpAddr,
    /// The connection's timeouts.
    pub times: Times,
}

impl Connection {
    pub(super) fn new(peer: SocketAddr, times: Times) -> Self {
        // An IPv4 client of a listener for both kinds is told as ::ffff:192.0.2.1.
        Self { peer: peer.ip().to_canonical(), times }
    }

    /// The timeouts of the request with these extensions.
    pub fn times(extensions: &Extensions) -> Times {
        extensions.get::<Self>().map(|connection| connection.times).unwrap_or_default()
    }
}

/// Serves the requests of a connection until it ends. `last_answers`: whether each answer is its connection's last.
pub(super) async fn serve_requests(
    stream: TcpStream,
    connection: Connection,
    router: Router,
    mut phase: watch::Receiver<Phase>,
    last_answers: Arc<AtomicBool>,
) {
    // An answer of more than one packet must not wait for the acknowledgement of the first.
    stream.set_nodelay(true).ok();
    let activity = Arc::new(ConnectionActivity::new());
    let unread = UnreadBody::default();
    let service = service_fn(|request: Message<Incoming>| {
        let under_way = activity.request();
        let waits = request.headers().contains_key(EXPECT);
        let mut request = request.map(|body| Body::new(unread.of(body, waits)));
        request.extensions_mut().insert(connection);
        answer(router.clone(), request, unread.clone(), under_way, last_answers.clone())
    });
    let io = TokioIo::new(TimeoutStream::new(stream, activity.clone(), connection.times));
    let serving = http1::Builder::new()
        .max_header_size(MAX_HEAD)
        // TimeoutStream has limits of its own.
        .header_read_timeout(None)
        .serve_connection(io, service);
    let mut serving = pin!(serving);
    loop {
        tokio::select! {
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!("connection ended: {error}");
                }
                return;
            }
            told = phase.changed() => match (told, *phase.borrow_and_update()) {
                (Ok(()), Phase::EvictIdle(idle)) if activity.idle_for() >= idle => return,
                (Ok(()), Phase::Open | Phase::EvictIdle(_)) => {}
                (Ok(()), Phase::Ending) => serving.as_mut().graceful_shutdown(),
                // The acceptor is gone.
                (Err(_), _) => return,
            },
        }
    }
}

async fn answer(
    mut router: Router,
    request: Request,
    unread: UnreadBody,
    under_way: UnderWay,
    last_answers: Arc<AtomicBool>,
) -> Result<Response, Infallible> {
    let mut response = router.call(request).await?;
    let is_read = unread.discard().await;
    if !is_read {
        under_way.leaves_unread();
    }
    if !is_read || last_answers.load(Ordering::Relaxed) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if response.body().size_hint().exact().is_some() {
        return Ok(response);
    }
    // A streamed answer is under way until its end.
    Ok(response.map(|body| {
        Body::from_stream(body.into_data_stream().map(move |part| {
            let _held: &UnderWay = &under_way;
            part
        }))
    }))
}
