//! A client of a running AgentFS: it waits as long as the server asks it to, and tells what may go better later from what does not.

use std::time::{Duration, Instant};

use agentfs_contract::error_code::ErrorCode;
use bytes::Bytes;
use hyper::header::{HeaderMap, RETRY_AFTER};
use hyper::{Response, StatusCode};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::domain::MAX_BODY;
use crate::runtime::api_client::{ApiClient, InvalidApi};
use crate::runtime::jitter::jittered;

/// How long an answer may take.
const ANSWERED_WITHIN: Duration = Duration::from_mins(1);
/// How long it is tried again without success.
const PATIENCE: Duration = Duration::from_mins(2);
/// Pauses where the server names none.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The codes of what begins anew at midnight.
const DAILY: [ErrorCode; 5] = [
    ErrorCode::QuotaWritesPerDay,
    ErrorCode::QuotaWriteBytesPerDay,
    ErrorCode::QuotaIdempotencyKeysPerDay,
    ErrorCode::QuotaSearches,
    ErrorCode::QuotaEmbedTokensPerDay,
];

/// Why requests have no success.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There can be no client.
    #[error(transparent)]
    Invalid(#[from] InvalidApi),
    /// There was no success for long.
    #[error("{why}; gave up after {} s", PATIENCE.as_secs())]
    Away {
        /// What was in the way last.
        why: String,
    },
    /// It refuses.
    #[error("{0}")]
    Refused(Refusal),
    /// Something else answers.
    #[error("what answers at {url} is not an AgentFS API: it answered {route} with {what}")]
    NoApi {
        /// Its address.
        url: String,
        /// The route.
        route: &'static str,
        /// What it answers.
        what: String,
    },
}

impl ClientError {
    /// Whether the same may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Away { .. } => true,
            Self::Refused(refusal) => refusal.is_daily(),
            _ => false,
        }
    }
}

/// An error, as the API answers it.
#[derive(Debug, Clone, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Refusal {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
}

impl Refusal {
    /// Whether it is of this code.
    pub(super) fn is(&self, code: ErrorCode) -> bool {
        self.code == code.as_str()
    }

    /// Whether it ends at midnight.
    pub(super) fn is_daily(&self) -> bool {
        DAILY.into_iter().any(|code| self.is(code))
    }

    /// Whether the server asks to try again soon.
    pub(super) fn is_passing(&self) -> bool {
        self.is_limit() || self.is(ErrorCode::Unavailable) || self.is(ErrorCode::Internal)
    }

    /// Whether it comes of too many requests, and passes for certain.
    fn is_limit(&self) -> bool {
        self.is(ErrorCode::RateLimitExceeded) || self.is(ErrorCode::PreauthRateLimitExceeded)
    }
}

#[derive(Deserialize)]
struct Envelope {
    error: Refusal,
}

/// Why there is no success at this moment.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may pass.
    Passing {
        /// What is in the way.
        why: String,
        /// How long to wait, as the server says.
        after: Option<Duration>,
        /// Whether it passes for certain.
        is_limit: bool,
    },
    /// It lasts.
    Lasting(ClientError),
}

impl Trouble {
    /// No answer of an API, but of what is before it, or none at all.
    fn passing(why: String, after: Option<Duration>) -> Self {
        Self::Passing { why, after, is_limit: false }
    }

    /// A refusal, after which the server has one wait so long.
    pub(super) fn of(refusal: Refusal, after: Option<Duration>) -> Self {
        if refusal.is_passing() {
            let is_limit = refusal.is_limit();
            Self::Passing { why: refusal.to_string(), after, is_limit }
        } else {
            Self::Lasting(ClientError::Refused(refusal))
        }
    }
}

/// What GET / says of the server.
#[derive(Deserialize)]
struct Root {
    /// Most bytes of a body; older servers do not say it.
    max_body_bytes: Option<usize>,
}

/// A client of one API, with one key.
#[derive(Debug)]
pub struct Client(ApiClient);

impl Client {
    /// A client; connects nothing yet.
    pub fn new(url: &str, key: &SecretString) -> Result<Self, ClientError> {
        Ok(Self(ApiClient::new(url, key, ANSWERED_WITHIN)?))
    }

    /// Its address.
    pub(super) fn url(&self) -> &str {
        self.0.url()
    }

    /// Most bytes of a body that the server takes: what it says, or else what is usual.
    pub(super) async fn max_body(&self) -> Result<usize, Trouble> {
        let passing = |why: &str, after| Trouble::passing(self.unreachable(why), after);
        let answer = self.0.root().await.map_err(|why| passing(&why, None))?;
        let status = answer.status();
        if may_pass(status) {
            return Err(passing(&status.to_string(), retry_after(answer.headers())));
        }
        // A gateway may pass on the routes of the API alone.
        let root = serde_json::from_slice::<Root>(answer.body()).ok();
        Ok(root.and_then(|root| root.max_body_bytes).unwrap_or(MAX_BODY))
    }

    /// What a route answers to a JSON body, whatever its status, or a sentence about why there is no answer.
    pub async fn send(
        &self,
        route: &str,
        headers: HeaderMap,
        body: String,
    ) -> Result<Response<Bytes>, String> {
        self.0.post(route, headers, body).await.map_err(|why| self.unreachable(&why))
    }

    /// What a route answers, which must be a success.
    pub(super) async fn post(&self, route: &'static str, body: &str) -> Result<Bytes, Trouble> {
        let answer = self.send(route, HeaderMap::new(), body.to_owned()).await;
        let answer = answer.map_err(|why| Trouble::passing(why, None))?;
        let status = answer.status();
        if status == StatusCode::OK {
            return Ok(answer.into_body());
        }
        let after = retry_after(answer.headers());
        match serde_json::from_slice::<Envelope>(answer.body()) {
            Ok(Envelope { error }) => Err(Trouble::of(error, after)),
            // A proxy whose API is away, or that limits requests itself.
            Err(_) if may_pass(status) => {
                Err(Trouble::passing(self.unreachable(&status.to_string()), None))
            }
            Err(_) => Err(Trouble::Lasting(self.no_api(route, status.to_string()))),
        }
    }

    /// What a success of a route is read as.
    pub(super) fn read<'a, T: Deserialize<'a>>(
        &self,
        route: &'static str,
        answer: &'a [u8],
    ) -> Result<T, ClientError> {
        serde_json::from_slice(answer).map_err(|error| self.no_api(route, error.to_string()))
    }

    /// Something else answers than an API.
    pub(super) fn no_api(&self, route: &'static str, what: String) -> ClientError {
        ClientError::NoApi { url: self.url().to_owned(), route, what }
    }

    fn unreachable(&self, why: &str) -> String {
        format!("the API at {} cannot be reached ({why})", self.url())
    }
}

/// The body of a request.
pub(super) fn body(request: &impl Serialize) -> String {
    // Ours have nothing that cannot be written.
    serde_json::to_string(request).unwrap_or_default()
}

/// Asks until there is success, or something that lasts is in the way, or what may pass does not. Says on standard error what it
/// waits for.
pub(super) async fn patiently<T>(
    mut ask: impl AsyncFnMut() -> Result<T, Trouble>,
) -> Result<T, ClientError> {
    let mut since = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let (why, after, is_limit) = match ask().await {
            Ok(success) => return Ok(success),
            Err(Trouble::Lasting(error)) => return Err(error),
            Err(Trouble::Passing { why, after, is_limit }) => (why, after, is_limit),
        };
        // A limit says when it ends.
        if !is_limit && since.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
            return Err(ClientError::Away { why });
        }
        let wait = after.unwrap_or_else(|| jittered(pause)).min(PATIENCE);
        pause = (pause * 2).min(LONGEST_PAUSE);
        eprintln!("{why}; trying again in {:.1} s", wait.as_secs_f64());
        sleep(wait).await;
    }
}

/// Whether a status that does not come of the API may be another one later.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: ErrorCode) -> Refusal {
        Refusal { code: code.as_str().to_owned(), message: "no".to_owned() }
    }

    #[test]
    fn what_passes_is_told_from_what_lasts() {
        for (code, passes, is_daily) in [
            (ErrorCode::RateLimitExceeded, true, false),
            (ErrorCode::Unavailable, true, false),
            (ErrorCode::QuotaWritesPerDay, false, true),
            (ErrorCode::QuotaStoredBytes, false, false),
            (ErrorCode::Unauthorized, false, false),
        ] {
            let trouble = Trouble::of(refusal(code), None);
            assert_eq!(matches!(trouble, Trouble::Passing { .. }), passes, "{code:?}");
            assert_eq!(refusal(code).is_daily(), is_daily, "{code:?}");
        }
    }

    #[tokio::test]
    async fn what_passes_is_asked_again_and_what_lasts_is_not() {
        let mut tries = 0;
        let asked = patiently(async || {
            tries += 1;
            let code =
                if tries < 3 { ErrorCode::RateLimitExceeded } else { ErrorCode::QuotaStoredBytes };
            Err::<(), _>(Trouble::of(refusal(code), Some(Duration::from_millis(1))))
        });
        let error = asked.await.unwrap_err();
        assert_eq!(error.to_string(), "no (QUOTA_STORED_BYTES)");
        assert_eq!(tries, 3);
    }
}
