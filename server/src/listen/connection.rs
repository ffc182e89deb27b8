//! Serves the requests of one connection.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

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

use super::Times;
use super::activity::UnderWay;
use super::handler::RequestHandler;
use super::registry::{Asked, Registry, Tracked};
use super::timeout_stream::TimeoutStream;
use super::unread_body::UnreadBody;

/// Largest request head; hyper allows 100 headers. hyper itself answers larger ones with 431.
const MAX_HEAD: usize = 32 << 10;

/// The connection of a request; an extension of every request.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The client's address, or its proxy's.
    pub peer: IpAddr,
    /// The connection's timeouts.
    pub times: Times,
    tracked: Arc<Tracked>,
}

impl Connection {
    /// The timeouts of the request with these extensions.
    pub fn times(extensions: &Extensions) -> Times {
        extensions.get::<Self>().map(|connection| connection.times).unwrap_or_default()
    }

    /// Records that the request with these extensions showed a valid key or token. Until then its connection is among the
    /// first that are closed where there are too many.
    pub fn authenticate(extensions: &Extensions) {
        if let Some(connection) = extensions.get::<Self>() {
            connection.tracked.authenticate();
        }
    }
}

/// Serves the requests of a connection until it ends, or is asked to.
pub(super) async fn serve_requests(
    stream: TcpStream,
    peer: IpAddr,
    handler: impl RequestHandler,
    registry: Arc<Registry>,
    tracked: Arc<Tracked>,
) {
    // An answer of more than one packet must not wait for the acknowledgement of the first.
    stream.set_nodelay(true).ok();
    let activity = &tracked.activity;
    let unread = UnreadBody::new(activity.clone());
    let times = registry.limits.times;
    let connection = Connection { peer, times, tracked: tracked.clone() };
    let service = service_fn(|request: Message<Incoming>| {
        let under_way = activity.request();
        let waits = request.headers().contains_key(EXPECT);
        let mut request = request.map(|body| Body::new(unread.of(body, waits)));
        request.extensions_mut().insert(connection.clone());
        answer(handler.clone(), request, unread.clone(), under_way, registry.clone())
    });
    let io = TokioIo::new(TimeoutStream::new(stream, activity.clone(), times));
    let serving = http1::Builder::new()
        .max_header_size(MAX_HEAD)
        // No more is read ahead of a body that nobody has asked for yet than a head, and an idle connection keeps the buffer of
        // its last request.
        .max_buf_size(MAX_HEAD)
        // TimeoutStream has limits of its own.
        .header_read_timeout(None)
        .serve_connection(io, service);
    let mut serving = pin!(serving);
    let mut is_ending = false;
    poll_fn(|cx| {
        loop {
            // First what has arrived: it may be what the connection is waiting for.
            if let Poll::Ready(ended) = serving.as_mut().poll(cx) {
                if let Err(error) = ended {
                    tracing::debug!("connection ended: {error}");
                }
                return Poll::Ready(());
            }
            match tracked.asked(cx) {
                Asked::GiveWay | Asked::GiveWayNow => return Poll::Ready(()),
                Asked::End if !is_ending => {
                    is_ending = true;
                    serving.as_mut().graceful_shutdown();
                }
                Asked::End | Asked::Nothing => return Poll::Pending,
            }
        }
    })
    .await;
}

async fn answer(
    handler: impl RequestHandler,
    request: Request,
    unread: UnreadBody,
    under_way: UnderWay,
    registry: Arc<Registry>,
) -> Result<Response, Infallible> {
    let mut response = handler.handle(request).await;
    let patience =
        if registry.is_crowded() { Duration::ZERO } else { registry.limits.times.linger };
    let leftover = unread.discard(patience).await;
    if let Some(leftover) = leftover {
        under_way.leaves(leftover);
    }
    if leftover.is_some() || registry.last_answers.load(Ordering::Relaxed) {
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
