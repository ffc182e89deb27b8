//! A client of the API, to see what it serves.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::runtime::http_client::HttpClient;
use crate::runtime::https::{connector, needs_tls};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest answer that is read.
const MAX_ANSWER: usize = 32 << 20;

/// Why the API did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum ApiFailure {
    /// The address is none.
    #[error("{0:?} is no address of an API: it looks like http://127.0.0.1:8787")]
    Address(String),
    /// The client cannot be made.
    #[error("the certificates that this system trusts cannot be read: {0}")]
    Certificates(std::io::Error),
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
pub(super) struct Api {
    client: HttpClient,
    url: String,
    bearer: HeaderValue,
}

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
        let url = url.trim_end_matches('/').to_owned();
        let Some(tls) = needs_tls(&url) else { return Err(ApiFailure::Address(url)) };
        let connector = connector(tls).map_err(ApiFailure::Certificates)?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()))
            .map_err(|_| ApiFailure::AnotherDatabase(url.clone()))?;
        bearer.set_sensitive(true);
        Ok(Self { client: HttpClient::new(connector, PATIENCE, MAX_ANSWER), url, bearer })
    }

    /// The answer of a route, which must be 200.
    pub(super) async fn post(
        &self,
        route: &'static str,
        body: &impl Serialize,
    ) -> Result<Bytes, ApiFailure> {
        let unreachable = |why: String| ApiFailure::Unreachable { url: self.url.clone(), why };
        let request = Request::post(format!("{}{route}", self.url))
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, self.bearer.clone())
            .body(serde_json::to_string(body).unwrap_or_default())
            .map_err(|_| ApiFailure::Address(self.url.clone()))?;
        let (status, body) = self.client.ask(request).await.map_err(unreachable)?;
        match (status, serde_json::from_slice::<Envelope>(&body)) {
            (StatusCode::OK, _) => Ok(body),
            (StatusCode::UNAUTHORIZED, Ok(_)) => Err(ApiFailure::AnotherDatabase(self.url.clone())),
            (status, Ok(Envelope { error: Said { code, message } })) => Err(ApiFailure::Refused {
                url: self.url.clone(),
                route,
                status: status.as_u16(),
                said: format!("{code}, {message}"),
            }),
            // A proxy whose API is away.
            (status, Err(_)) if status.is_server_error() => Err(unreachable(status.to_string())),
            (_, Err(_)) => Err(ApiFailure::NoApi(self.url.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_is_asked() {
        let of = |url| Api::new(url, &SecretString::from("k")).map(|api| api.url);
        assert_eq!(of("http://127.0.0.1:8787/").unwrap(), "http://127.0.0.1:8787");
        assert_eq!(of("http://gateway/memory").unwrap(), "http://gateway/memory");
        for url in ["127.0.0.1:8787", "ftp://a", "http://", "http:///x", "", "http://a/?b=c"] {
            assert!(matches!(of(url), Err(ApiFailure::Address(_))), "{url}");
        }
    }
}
