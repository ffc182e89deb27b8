//! The connections to S3 and to what gives credentials for it: TLS as elsewhere in the server, and answers by their codes.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{DATE, HeaderValue, USER_AGENT};
use hyper::{Method, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect};
use hyper_util::rt::TokioExecutor;
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use object_store::{ClientConfigKey, ClientOptions, Extensions};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::failure::cause;
use crate::recovery::storage::StorageError;

/// How long a server may be silent: one that takes a part says nothing before its end.
const PATIENCE: Duration = Duration::from_mins(2);
const KEEPALIVE: Duration = Duration::from_secs(30);
/// What is read of a refusal, in bytes.
const MAX_REFUSAL: usize = 64 << 10;

/// What a server refused, by its own words.
#[derive(Debug, thiserror::Error)]
#[error("{status} {code}: {message}")]
pub(super) struct Refusal {
    /// Which server: it need not be that of the bucket.
    pub(super) host: String,
    pub(super) status: StatusCode,
    /// Such as `NoSuchBucket`; empty where there is none.
    pub(super) code: String,
    pub(super) message: String,
    /// The bucket's region, if that is what was wrong.
    pub(super) region: Option<String>,
}

/// A server that gave no answer.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(super) struct NoAnswer {
    pub(super) host: String,
    #[source]
    pub(super) error: Box<dyn std::error::Error + Send + Sync>,
}

/// A server that stores without the encryption that it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("stored without the encryption that was asked for")]
pub(super) struct NotEncrypted;

/// How often a request has been sent; lies in its extensions.
#[derive(Debug, Clone, Default)]
pub(super) struct Tries(Arc<AtomicU32>);

impl Tries {
    pub(super) fn in_extensions(&self) -> Extensions {
        let mut extensions = Extensions::new();
        extensions.insert(self.clone());
        extensions
    }

    pub(super) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The clock of a server, by its answers: ages of objects are measured by it, whatever this machine's says.
#[derive(Debug, Clone, Default)]
pub(super) struct Clock(Arc<AtomicI64>);

impl Clock {
    pub(super) fn now(&self) -> Timestamp {
        let (now, ahead) = (Timestamp::now(), self.0.load(Ordering::Relaxed));
        now.checked_add(SignedDuration::from_secs(ahead)).unwrap_or(now)
    }

    fn note(&self, response: &HttpResponse) {
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
        let parsed = date.map(|date| rfc2822::DateTimeParser::new().parse_timestamp(date));
        if let Some(Ok(date)) = parsed {
            self.0.store(date.duration_since(Timestamp::now()).as_secs(), Ordering::Relaxed);
        }
    }
}

/// Makes the clients of one bucket.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    tls: ClientConfig,
    pub(super) clock: Clock,
}

impl Connector {
    /// Trusts the system's certificate authorities, and those of a file.
    pub(super) fn new(ca_file: Option<PathBuf>) -> Result<Self, StorageError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(file) = ca_file {
            let wrong = |problem: String| StorageError::Setting {
                name: "BACKUP_S3_CA_FILE",
                problem: format!("{}: {problem}", file.display()),
            };
            let read = CertificateDer::pem_file_iter(&file).and_then(Iterator::collect);
            let certificates: Vec<_> = read.map_err(|error| wrong(error.to_string()))?;
            if roots.add_parsable_certificates(certificates).0 == 0 {
                return Err(wrong("it holds no certificate in PEM".into()));
            }
        }
        let provider = rustls::crypto::ring::default_provider();
        let tls = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| StorageError::Setting { name: "TLS", problem: error.to_string() })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls, clock: Clock::default() })
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.client(options))
    }
}

impl Connector {
    /// A client; connects nothing yet.
    pub(super) fn client(&self, options: &ClientOptions) -> HttpClient {
        let option = |key: ClientConfigKey| options.get_config_value(&key);
        let plain = option(ClientConfigKey::AllowHttp).is_some_and(|allowed| allowed == "true");
        let patience = option(ClientConfigKey::ConnectTimeout);
        let patience = patience.and_then(|patience| patience.parse::<SignedDuration>().ok());
        let mut tcp = connect::HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_connect_timeout(patience.map(SignedDuration::unsigned_abs));
        let tls = HttpsConnectorBuilder::new().with_tls_config(self.tls.clone());
        let tls = if plain { tls.https_or_http() } else { tls.https_only() };
        let connector = tls.enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        HttpClient::new(Connection { client, clock: self.clock.clone() })
    }
}

#[derive(Debug)]
struct Connection {
    client: Client<HttpsConnector<connect::HttpConnector>, HttpRequestBody>,
    clock: Clock,
}

#[async_trait]
impl HttpService for Connection {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if let Some(Tries(count)) = request.extensions().get() {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let agent = concat!("agentfs-server/", env!("CARGO_PKG_VERSION"));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(agent));
        let host = request.uri().host().unwrap_or_default().to_owned();
        let encryption = encryption(&request);
        let response = match timeout(PATIENCE, self.client.request(request)).await {
            Ok(answered) => answered.map_err(|error| no_answer(&host, error))?,
            Err(_) => return Err(silence(&host)),
        };
        let response = response.map(|incoming| {
            let silence = Box::pin(sleep(PATIENCE));
            HttpResponseBody::new(Answer { incoming, silence, host: host.clone() })
        });
        self.clock.note(&response);
        if response.status().is_success() {
            let kept =
                |(name, asked): &(&str, HeaderValue)| response.headers().get(*name) == Some(asked);
            return if encryption.iter().all(kept) {
                Ok(response)
            } else {
                Err(HttpError::new(HttpErrorKind::Unknown, NotEncrypted))
            };
        }
        refused(host, response).await
    }
}

/// The body of an answer, with the patience that there is for its next bytes.
#[derive(Debug)]
struct Answer {
    incoming: Incoming,
    silence: Pin<Box<Sleep>>,
    host: String,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) {
            self.silence.as_mut().reset(Instant::now() + PATIENCE);
            let frame = frame.map(|frame| frame.map_err(|error| no_answer(&self.host, error)));
            return Poll::Ready(frame);
        }
        self.silence.as_mut().poll(context).map(|()| Some(Err(silence(&self.host))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// An error on the way. All that is asked here may be asked twice, so it is tried again, but not what TLS refuses.
fn no_answer<E>(host: &str, error: E) -> HttpError
where
    E: std::error::Error + Send + Sync + 'static,
{
    let refused = cause::<rustls::Error>(&error).is_some();
    let kind = if refused { HttpErrorKind::Unknown } else { HttpErrorKind::Request };
    HttpError::new(kind, NoAnswer { host: host.to_owned(), error: Box::new(error) })
}

fn silence(host: &str) -> HttpError {
    let silent = format!("no answer within {} s", PATIENCE.as_secs());
    no_answer(host, std::io::Error::new(std::io::ErrorKind::TimedOut, silent))
}

/// The headers by which a put asks for encryption. Its answer repeats them, unless the server does not know them. MinIO repeats none
/// when an upload in parts begins; the upload's marker has been put by then.
fn encryption(request: &HttpRequest) -> Vec<(&'static str, HeaderValue)> {
    if request.method() != Method::PUT {
        return Vec::new();
    }
    let names = ["x-amz-server-side-encryption", "x-amz-server-side-encryption-customer-algorithm"];
    let headers = names.map(|name| Some((name, request.headers().get(name)?.clone())));
    headers.into_iter().flatten().collect()
}

/// What S3 says in the body of a refusal.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Said {
    code: String,
    message: String,
    region: Option<String>,
    /// All of it, where it is a service that gives credentials.
    error: Option<Box<Self>>,
}

/// Gives the answers that object_store tells apart by their status as they are, and all others as errors with their codes.
async fn refused(host: String, response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (parts, body) = response.into_parts();
    let mut stream = body.bytes_stream();
    let mut body = Vec::new();
    while let Some(Ok(bytes)) = stream.next().await {
        body.extend_from_slice(&bytes);
        if body.len() > MAX_REFUSAL {
            break;
        }
    }
    let mut said: Said = quick_xml::de::from_reader(body.as_slice()).unwrap_or_default();
    if let Some(error) = said.error.take() {
        said = *error;
    }
    let status = parts.status;
    let is_missing = status == StatusCode::NOT_FOUND
        && said.code != "NoSuchBucket"
        && (said.code.is_empty() || said.code.starts_with("NoSuch"));
    if is_missing || [StatusCode::NOT_MODIFIED, StatusCode::PRECONDITION_FAILED].contains(&status) {
        return Ok(HttpResponse::from_parts(parts, body.into()));
    }
    let kind = if is_passing(status, &said.code) {
        HttpErrorKind::Request
    } else {
        HttpErrorKind::Unknown
    };
    let message = said.message.chars().filter(|c| !c.is_control()).take(300).collect();
    let region = said.region.or_else(|| {
        let header = parts.headers.get("x-amz-bucket-region")?;
        header.to_str().ok().map(str::to_owned)
    });
    Err(HttpError::new(kind, Refusal { host, status, code: said.code, message, region }))
}

/// Whether the same request may go well a little later.
pub(super) fn is_passing(status: StatusCode, code: &str) -> bool {
    let passing = [
        // Others write there at this moment.
        "ConditionalRequestConflict",
        "OperationAborted",
        // It came in pieces, or not whole.
        "RequestTimeout",
        "IncompleteBody",
        "BadDigest",
        "XAmzContentSHA256Mismatch",
    ];
    let statuses = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT];
    let lasting = [StatusCode::NOT_IMPLEMENTED, StatusCode::INSUFFICIENT_STORAGE];
    statuses.contains(&status)
        || passing.contains(&code)
        || status.is_server_error() && !lasting.contains(&status)
}
