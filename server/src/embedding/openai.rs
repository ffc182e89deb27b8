//! Embeds with an endpoint that speaks OpenAI's protocol.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{Request, Response, StatusCode, Uri};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{EmbedError, Embedder, Embedding, Model};
use crate::settings::OpenAiSettings;

/// The limit of OpenAI's models.
const MAX_TOKENS: usize = 8191;
/// Bytes that certainly fit: a token is a byte or more.
const SURE_BYTES: usize = MAX_TOKENS;
/// Bytes that probably fit: plain text has about four a token.
const LIKELY_BYTES: usize = 3 * MAX_TOKENS;
/// Longest answer that is read: 256 vectors of 4000 numbers fit.
const MAX_ANSWER: usize = 32 << 20;
/// The greatest number that is stored (as half precision).
const GREATEST: f32 = 65504.0;
/// Models that can return vectors of another length than their own.
const SHORTENED: &str = "text-embedding-3-";

/// A client of one endpoint.
#[derive(Debug)]
pub struct OpenAi {
    settings: OpenAiSettings,
    client: Client<HttpsConnector<HttpConnector>, Body>,
    model: Model,
}

#[derive(Serialize)]
struct Asked<'a> {
    model: &'a str,
    input: &'a [&'a str],
    encoding_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
    #[serde(default)]
    usage: Usage,
}

#[derive(Deserialize)]
struct Item {
    index: usize,
    embedding: Vec<Option<f32>>,
}

#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default)]
    total_tokens: i64,
}

impl OpenAi {
    /// A client; connects nothing yet.
    pub fn new(settings: OpenAiSettings) -> io::Result<Self> {
        let connector = connector(&settings.endpoint)?;
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let model = Model {
            // Vectors of another length are another model's.
            name: format!("{}/{}", settings.model, settings.dimensions),
            dimensions: settings.dimensions,
            max_tokens: MAX_TOKENS,
            query_prompt: "",
        };
        Ok(Self { settings, client, model })
    }

    async fn embed_all(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let embedded = self.embed_cut(texts, LIKELY_BYTES).await;
        match (&embedded, texts) {
            (Err(EmbedError::Refused { .. }), [text]) if text.len() > SURE_BYTES => {
                self.embed_cut(texts, SURE_BYTES).await
            }
            _ => embedded,
        }
    }

    async fn embed_cut(
        &self,
        texts: &[&str],
        max_bytes: usize,
    ) -> Result<Vec<Embedding>, EmbedError> {
        let input: Vec<&str> = texts.iter().map(|text| cut(text, max_bytes)).collect();
        let body = serde_json::to_vec(&Asked {
            model: &self.settings.model,
            input: &input,
            encoding_format: "float",
            dimensions: self
                .settings
                .model
                .starts_with(SHORTENED)
                .then_some(self.settings.dimensions),
        });
        let request = body.map_err(|_| EmbedError::Wrong("the texts are no JSON".to_owned()))?;
        let body = timeout(self.settings.timeout, self.ask(request)).await.map_err(|_| {
            let late = "the embedding provider does not answer in time (EMBED_TIMEOUT_SECONDS)";
            EmbedError::Down(late.to_owned())
        })??;
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|_| EmbedError::Wrong("the embedding provider's answer is not what it should be: no JSON with data and embedding".to_owned()))?;
        let shares = shares(answer.usage.total_tokens, &input);
        let vectors = self.vectors(answer.data, texts.len())?;
        Ok(vectors
            .into_iter()
            .zip(shares)
            .zip(texts.iter().zip(input))
            .map(|((vector, tokens), (whole, sent))| Embedding {
                vector,
                tokens,
                cut: sent.len() < whole.len(),
            })
            .collect())
    }

    async fn ask(&self, body: Vec<u8>) -> Result<Bytes, EmbedError> {
        let mut request = Request::post(self.settings.endpoint.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .map_err(|_| EmbedError::Down("OPENAI_BASE_URL cannot be asked".to_owned()))?;
        if let Some(key) = &self.settings.key {
            let mut bearer = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()))
                .map_err(|_| EmbedError::Down("OPENAI_API_KEY is no valid key".to_owned()))?;
            bearer.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, bearer);
        }
        let response = self.client.request(request).await.map_err(|error| {
            let what = if error.is_connect() {
                "cannot be reached; check OPENAI_BASE_URL"
            } else {
                "broke the connection off"
            };
            EmbedError::Down(format!("the embedding provider {what}"))
        })?;
        if response.status() == StatusCode::OK {
            read(response).await
        } else {
            Err(refusal(response).await)
        }
    }

    /// The vectors in the texts' order.
    fn vectors(&self, items: Vec<Item>, count: usize) -> Result<Vec<Vec<f32>>, EmbedError> {
        let wrong = |what: String| {
            EmbedError::Wrong(format!(
                "the embedding provider's answer is not what it should be: {what}"
            ))
        };
        if items.len() != count {
            return Err(wrong(format!("{} vectors for {count} texts", items.len())));
        }
        let mut vectors = vec![None; count];
        for item in items {
            let vector: Option<Vec<f32>> = item.embedding.into_iter().collect();
            let vector = vector.ok_or_else(|| wrong("a vector holds what is no number".into()))?;
            if vector.len() != self.model.dimensions {
                return Err(wrong(format!(
                    "vectors of {} numbers where {} are expected; set OPENAI_EMBED_DIMENSIONS to what the model gives",
                    vector.len(),
                    self.model.dimensions
                )));
            }
            if !vector.iter().all(|number| number.abs() <= GREATEST) {
                return Err(wrong("a vector holds a number that is not finite".into()));
            }
            if vector.iter().all(|number| *number == 0.0) {
                return Err(wrong("a vector is all 0, which points nowhere".into()));
            }
            let slot = vectors.get_mut(item.index).filter(|slot| slot.is_none());
            *slot.ok_or_else(|| wrong(format!("index {} where it cannot be", item.index)))? =
                Some(vector);
        }
        // As many as there are places, each in another one.
        Ok(vectors.into_iter().flatten().collect())
    }
}

impl Embedder for OpenAi {
    fn model(&self) -> &Model {
        &self.model
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Embedding>, EmbedError>> {
        self.embed_all(texts).boxed()
    }
}

/// Maps an answer other than 200 to an error. Its body is not repeated: some providers send the text back in it.
async fn refusal(response: Response<Incoming>) -> EmbedError {
    let status = response.status();
    let after = retry_after(&response);
    let said = |advice: &str| format!("the embedding provider answered {status}{advice}");
    match status.as_u16() {
        400 | 413 | 422 => EmbedError::Refused {
            text: read(response).await.ok().and_then(|body| named_text(&body)),
            reason: said(": it does not take this text"),
        },
        429 => EmbedError::Later { after, reason: said("") },
        503 if after.is_some() => EmbedError::Later { after, reason: said("") },
        401 | 403 => EmbedError::Down(said("; check OPENAI_API_KEY")),
        404 | 405 => EmbedError::Down(said("; check OPENAI_BASE_URL and OPENAI_EMBED_MODEL")),
        500 => EmbedError::Wrong(said("")),
        _ => EmbedError::Down(said("")),
    }
}

fn cut(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

/// An endpoint without TLS needs no certificates, which slim images do not have.
fn connector(endpoint: &Uri) -> io::Result<HttpsConnector<HttpConnector>> {
    let provider = rustls::crypto::ring::default_provider();
    let builder = if endpoint.scheme_str() == Some("http") {
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        HttpsConnectorBuilder::new().with_tls_config(config)
    } else {
        HttpsConnectorBuilder::new().with_provider_and_native_roots(provider)?
    };
    Ok(builder.https_or_http().enable_http1().build())
}

async fn read(response: Response<Incoming>) -> Result<Bytes, EmbedError> {
    to_bytes(Body::new(response.into_body()), MAX_ANSWER).await.map_err(|_| {
        let said = format!(
            "the embedding provider broke its answer off, or it is longer than {MAX_ANSWER} bytes"
        );
        EmbedError::Wrong(said)
    })
}

/// Reads Retry-After in seconds; a date is ignored.
fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let seconds: f64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The index of the text that an error names: `input[3]` or `input.3` in its `param`.
fn named_text(body: &[u8]) -> Option<usize> {
    #[derive(Deserialize)]
    struct Body {
        error: Detail,
    }
    #[derive(Deserialize)]
    struct Detail {
        param: String,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    let place = body.error.param.strip_prefix("input")?;
    place.trim_matches(['[', ']', '.']).parse().ok()
}

/// Shares out the sum by length, exactly.
fn shares(total: i64, texts: &[&str]) -> Vec<i64> {
    let lengths = texts.iter().map(|text| text.len() as i64 + 1);
    let sum: i64 = lengths.clone().sum();
    let total = total.clamp(0, 1 << 32);
    let (mut seen, mut given) = (0, 0);
    lengths
        .map(|length| {
            seen += length;
            let share = total * seen / sum - given;
            given += share;
            share
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_shared_out_exactly() {
        assert_eq!(shares(10, &["aaaa", "aaaa"]), [5, 5]);
        let shared = shares(7, &["a", "bbbbbbbbbb", ""]);
        assert_eq!(shared.iter().sum::<i64>(), 7);
        assert!(shared[1] >= 5, "{shared:?}");
    }

    #[test]
    fn the_refused_text_is_found_where_it_is_named() {
        let named =
            |param: &str| named_text(format!(r#"{{"error":{{"param":"{param}"}}}}"#).as_bytes());
        assert_eq!(named("input[3]"), Some(3));
        assert_eq!(named("input.12"), Some(12));
        assert_eq!(named("input"), None);
        assert_eq!(named("model"), None);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("aäb", 2), "a");
        assert_eq!(cut("ab", 9), "ab");
    }
}
