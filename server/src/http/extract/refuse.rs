//! Refuses requests without a valid key or token, within the limits on unauthenticated requests, and compares tokens.

use axum::http::request::Parts;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use super::bearer::bearer;
use crate::access::preauth::{Guessed, Preauth, Verdict};
use crate::domain::access::api_key::ApiKey;
use crate::domain::access::client::ClientNetwork;
use crate::domain::access::rate_limit::whole_seconds;
use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::http::middleware::observe::RequestContext;

/// What the middleware knows about a request.
pub(super) fn context(parts: &Parts) -> RequestContext {
    parts.extensions.get().cloned().unwrap_or_default()
}

/// What clients without a valid key or token are refused by: the state of routes that ask for one.
pub trait Gatekeeper {
    /// Counts their requests.
    fn preauth(&self) -> &Preauth;
    /// Counts a refusal; `kind` is the limit.
    fn denied(&self, kind: &str);
}

impl Gatekeeper for App {
    fn preauth(&self) -> &Preauth {
        &self.preauth
    }

    fn denied(&self, kind: &str) {
        self.metrics.rate_limit_denial(kind);
    }
}

/// The client network of a request.
pub(super) fn client(parts: &Parts) -> ClientNetwork {
    ClientNetwork::of(context(parts).client())
}

/// Whether `given` is the `expected` token, and its client may still try: one that has used up its failures or its guesses
/// is told no whatever it gives.
pub(super) async fn is_right(
    parts: &Parts,
    app: &impl Gatekeeper,
    token: Guessed,
    (expected, given): (Option<&SecretString>, &str),
) -> bool {
    let matches = |expected: &SecretString| -> bool {
        expected.expose_secret().as_bytes().ct_eq(given.as_bytes()).into()
    };
    app.preauth().may_try(client(parts), token).await && expected.is_some_and(matches)
}

/// Counts a failed authentication and returns its answer: `unauthorized`, or that there have been too many. `guessed_at`:
/// the token that was wrong, or the key whose secret was.
pub(super) async fn refuse(
    parts: &Parts,
    app: &impl Gatekeeper,
    guessed_at: Option<Guessed>,
    unauthorized: ApiError,
) -> ApiError {
    let context = context(parts);
    let network = ClientNetwork::of(context.client());
    let (verdict, status) = app.preauth().failed(network, guessed_at).await;
    if let Some(status) = status {
        context.preauth(status);
    }
    if let Some(key) = bearer(&parts.headers).and_then(|key| ApiKey::parse(key).ok()) {
        context.named(*key.id());
    }
    let (code, kind, what, seconds) = match verdict {
        Verdict::Unauthorized => return unauthorized,
        Verdict::TooMany => {
            let seconds = status.map_or(60, |status| status.reset_seconds);
            let what = "requests without a valid key came from this address within this minute";
            (Code::PreauthRateLimitExceeded, "preauth", what, seconds)
        }
        Verdict::LockedOut { rest } => {
            let what = match guessed_at {
                Some(Guessed::Key(_)) => "wrong secrets for this key came from this address",
                _ => "wrong tokens came from this address",
            };
            (Code::AuthLockout, "lockout", what, whole_seconds(rest))
        }
    };
    app.denied(kind);
    let remedy = match guessed_at {
        Some(Guessed::BootstrapToken | Guessed::MetricsToken) => {
            "; until then none of its tokens is looked at"
        }
        Some(Guessed::Key(_)) | None => " with a valid key, which is never refused for this",
    };
    let sentence = format!("too many {what}; try again in {seconds} s{remedy}");
    ApiError::new(code, sentence).retry_after(seconds)
}
