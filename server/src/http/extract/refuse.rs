//! Refuses requests without a valid key or token, within the limits on unauthenticated requests.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::request::Parts;

use crate::access::preauth::Verdict;
use crate::domain::access::api_key::KeyId;
use crate::domain::access::client::ClientNetwork;
use crate::domain::access::rate_limit::whole_seconds;
use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::http::middleware::observe::RequestContext;
use crate::listen::Connection;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The client network of a request.
pub(super) fn client(parts: &Parts, app: &App) -> ClientNetwork {
    // Served by another listener than ours, all come from one.
    let peer = parts.extensions.get::<Connection>().map(|connection| connection.peer);
    let forwarded = parts.headers.get_all(X_FORWARDED_FOR).iter();
    let forwarded = forwarded.map(|header| header.to_str().unwrap_or_default());
    ClientNetwork::of(
        app.proxies.client(peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), forwarded),
    )
}

/// Counts a failed authentication and returns its answer: `unauthorized`, or that there have been too many. `guessed_at`:
/// the key whose secret was wrong.
pub async fn refuse(
    parts: &Parts,
    app: &App,
    guessed_at: Option<KeyId>,
    unauthorized: ApiError,
) -> ApiError {
    let (verdict, status) = app.preauth.failed(client(parts, app), guessed_at).await;
    if let (Some(context), Some(status)) = (parts.extensions.get::<RequestContext>(), status) {
        context.preauth(status);
    }
    match verdict {
        Verdict::Unauthorized => unauthorized,
        Verdict::TooMany => {
            app.metrics.rate_limit_denial("preauth");
            let seconds = status.map_or(60, |status| status.reset_seconds);
            let sentence = format!(
                "too many requests without a valid key came from this address within this minute; try again in {seconds} s with a valid key, which is never refused for this"
            );
            ApiError::new(Code::PreauthRateLimitExceeded, sentence).retry_after(seconds)
        }
        Verdict::LockedOut { rest } => {
            app.metrics.rate_limit_denial("lockout");
            let seconds = whole_seconds(rest);
            let sentence = format!(
                "too many wrong secrets for this key came from this address; try again in {seconds} s with the right one, which is never refused for this"
            );
            ApiError::new(Code::AuthLockout, sentence).retry_after(seconds)
        }
    }
}
