//! A client of the API, to see what it serves.

use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderMap;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::runtime::api_client::{ApiClient, InvalidApi};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why the API did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum ApiFailure {
    /// There can be no client.
    #[error(transparent)]
    Invalid(#[from] InvalidApi),
    /// Nobody answers.
    #[error(
        "the API at {url} cannot be reached ({why}); start it, or name the one that serves this database by --api or AGENTFS_URL"
    )]
    Unreachable {
        /// Its address.
        url: String,
        /// The system's word.
        why: String,
    },
    /// The key is of another database.
    #[error(
        "the API at {0} does not know a key that was made a moment ago in the database of DATABASE_URL, so it serves another one; \
         name the one that serves this database by --api or AGENTFS_URL"
    )]
    AnotherDatabase(String),
    /// It refuses.
    #[error("the API at {url} answered {route} with {status}: {said}")]
    Refused {
        /// Its address.
        url: String,
        /// The route.
        route: &'static str,
        /// The status.
        status: u16,
        /// The code and the sentence of its error.
        said: String,
    },
    /// Something else answers.
    #[error(
        "what answers at {0} is no API of AgentFS; name the one that serves this database by --api or AGENTFS_URL"
    )]
    NoApi(String),
}

impl ApiFailure {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

/// A client of one API, with one key.
#[derive(Debug)]
pub(super) struct Api(ApiClient);

/// An error, as the API answers it.
#[derive(Deserialize)]
struct Envelope {
    error: Said,
}

#[derive(Deserialize)]
struct Said {
    code: String,
    message: String,
}

impl Api {
    /// A client; connects nothing yet.
    pub(super) fn new(url: &str, key: &SecretString) -> Result<Self, ApiFailure> {
        Ok(Self(ApiClient::new(url, key, PATIENCE)?))
    }

    /// The answer of a route, which must be 200.
    pub(super) async fn post(
        &self,
        route: &'static str,
        body: &impl Serialize,
    ) -> Result<Bytes, ApiFailure> {
        let url = || self.0.url().to_owned();
        let unreachable = |why: String| ApiFailure::Unreachable { url: url(), why };
        let body = serde_json::to_string(body).unwrap_or_default();
        let answer = self.0.post(route, HeaderMap::new(), body).await.map_err(unreachable)?;
        let (status, body) = (answer.status(), answer.into_body());
        match (status, serde_json::from_slice::<Envelope>(&body)) {
            (StatusCode::OK, _) => Ok(body),
            (StatusCode::UNAUTHORIZED, Ok(_)) => Err(ApiFailure::AnotherDatabase(url())),
            (status, Ok(Envelope { error: Said { code, message } })) => Err(ApiFailure::Refused {
                url: url(),
                route,
                status: status.as_u16(),
                said: format!("{code}, {message}"),
            }),
            // A proxy whose API is away.
            (status, Err(_)) if status.is_server_error() => Err(unreachable(status.to_string())),
            (_, Err(_)) => Err(ApiFailure::NoApi(url())),
        }
    }
}
