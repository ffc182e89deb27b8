//! A client of a running AgentFS, with one key: its address, and what each of its requests carries.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, Response};
use secrecy::{ExposeSecret as _, SecretString};

use super::http_client::HttpClient;
use super::https::{connector, needs_tls};

/// Longest answer that is read: a page of a dump has 22 MiB of values at most, and what is around them.
const MAX_ANSWER: usize = 32 << 20;

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub enum InvalidApi {
    /// The address is invalid.
    #[error("{0:?} is not the URL of an API; it should look like http://127.0.0.1:8787")]
    Address(String),
    /// The key cannot be sent.
    #[error("AGENTFS_API_KEY is not an API key; it should look like agfs_live_….…")]
    Key,
    /// There are no certificates to check its server's with.
    #[error("the certificates that this system trusts cannot be read: {0}")]
    Certificates(io::Error),
}

/// A client of one API, with one key.
#[derive(Debug)]
pub struct ApiClient {
    http: HttpClient,
    url: String,
    bearer: HeaderValue,
}

impl ApiClient {
    /// A client whose answers may take so long; connects nothing yet.
    pub fn new(url: &str, key: &SecretString, patience: Duration) -> Result<Self, InvalidApi> {
        let url = url.trim_end_matches('/').to_owned();
        let Some(tls) = needs_tls(&url) else { return Err(InvalidApi::Address(url)) };
        let connector = connector(tls).map_err(InvalidApi::Certificates)?;
        let bearer = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()));
        let mut bearer = bearer.map_err(|_| InvalidApi::Key)?;
        bearer.set_sensitive(true);
        Ok(Self { http: HttpClient::new(connector, patience, MAX_ANSWER), url, bearer })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What a route answers to a JSON body, whatever its status, or why there is no answer, in the system's words.
    pub async fn post(
        &self,
        route: &str,
        headers: HeaderMap,
        body: String,
    ) -> Result<Response<Bytes>, String> {
        let mut request = Request::post(format!("{}{route}", self.url))
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, self.bearer.clone())
            .body(body)
            .map_err(|error| error.to_string())?;
        request.headers_mut().extend(headers);
        self.http.send(request).await
    }

    /// What is answered at its address itself.
    pub async fn root(&self) -> Result<Response<Bytes>, String> {
        let request = Request::get(format!("{}/", self.url)).body(String::new());
        self.http.send(request.map_err(|error| error.to_string())?).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str, key: &str) -> Result<ApiClient, InvalidApi> {
        ApiClient::new(url, &SecretString::from(key), Duration::from_secs(1))
    }

    #[test]
    fn only_an_address_is_asked() {
        for (url, kept) in [
            ("http://127.0.0.1:8787/", "http://127.0.0.1:8787"),
            ("http://gateway/memory", "http://gateway/memory"),
        ] {
            assert_eq!(client(url, "k").unwrap().url(), kept);
        }
        for url in ["127.0.0.1:8787", "ftp://a", "http://", "http:///x", "", "http://a/?b=c"] {
            assert!(matches!(client(url, "k"), Err(InvalidApi::Address(_))), "{url}");
        }
    }

    #[test]
    fn a_key_is_one_line_and_is_not_shown() {
        assert!(matches!(client("http://a", "k\n"), Err(InvalidApi::Key)));
        assert!(!format!("{:?}", client("http://a", "hunter2")).contains("hunter2"));
    }
}
