//! Reads the body of a request, within the route's limit, the connection's time and the budget of bytes.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use axum::extract::Request;
use futures::StreamExt as _;
use tokio::time::timeout;

use crate::domain::BYTE_ORDER_MARK;
use crate::http::error::{ApiError, Code};
use crate::http::middleware::observe::RequestContext;
use crate::listen::Connection;
use crate::runtime::byte_budget::{ByteBudget, Owner, Purpose, Reservation, UNCOUNTED};
use crate::settings::BodyLimit;

/// Whose request it is.
pub(super) fn owner(request: &Request) -> Owner {
    request.extensions().get::<RequestContext>().and_then(RequestContext::owner)
}

/// The whole body of a request, with its bytes of the budget.
pub(super) async fn body(
    request: Request,
    BodyLimit(most): BodyLimit,
    budget: &ByteBudget,
) -> Result<(Bytes, Reservation), ApiError> {
    let within = Connection::times(request.extensions()).body;
    let owner = owner(&request);
    received(request.into_body(), most, within, budget, owner).await
}

/// Receives a body of at most `most` bytes, without its byte order mark. Of one that is too large nothing is read where its
/// head says so.
pub(super) async fn received(
    body: Body,
    most: usize,
    within: Duration,
    budget: &ByteBudget,
    owner: Owner,
) -> Result<(Bytes, Reservation), ApiError> {
    let read = timeout(within, read(body, most, budget, owner)).await;
    let (body, reserved) = read.map_err(|_| too_slow(within))??;
    let body =
        if body.starts_with(BYTE_ORDER_MARK) { body.slice(BYTE_ORDER_MARK.len()..) } else { body };
    Ok((body, reserved))
}

/// Takes the bytes before they are read: all that are announced, or else twice as many as have come.
async fn read(
    body: Body,
    most: usize,
    budget: &ByteBudget,
    owner: Owner,
) -> Result<(Bytes, Reservation), ApiError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > most {
        return Err(too_large(most));
    }
    let mut body = body.into_data_stream();
    let mut room = announced.max(UNCOUNTED);
    let mut reserved = budget.reserve(owner, announced, Purpose::Body).await?;
    let first = next(&mut body).await?.unwrap_or_default();
    // A small body comes in one piece, and stays where it is.
    if body.is_end_stream() && first.len() <= room {
        return Ok((first, reserved));
    }
    let mut whole = Vec::with_capacity(announced);
    let mut piece = Some(first);
    while let Some(bytes) = piece {
        let length = whole.len() + bytes.len();
        if length > most {
            return Err(too_large(most));
        }
        if length > room {
            room = (2 * length).min(most);
            let more = room - reserved.bytes();
            reserved.merge(budget.reserve(owner, more, Purpose::Body).await?);
        }
        whole.extend_from_slice(&bytes);
        piece = next(&mut body).await?;
    }
    Ok((whole.into(), reserved))
}

/// The next bytes of the body; none at its end.
async fn next(body: &mut BodyDataStream) -> Result<Option<Bytes>, ApiError> {
    body.next().await.transpose().map_err(|_| not_whole())
}

/// Not 408: the contract has no such answer, and some clients send a request again on it.
fn too_slow(within: Duration) -> ApiError {
    let sentence =
        format!("the body was not received within {} s; send it faster", within.as_secs());
    ApiError::new(Code::ValidationError, sentence)
}

fn too_large(most: usize) -> ApiError {
    let sentence = format!(
        "the body is larger than {} KiB ({most} bytes), the most that is taken here",
        most >> 10
    );
    ApiError::new(Code::BodyTooLarge, sentence)
}

fn not_whole() -> ApiError {
    ApiError::new(Code::ValidationError, "the body was not received whole")
}
