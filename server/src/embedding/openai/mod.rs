//! Embeds with an endpoint that speaks OpenAI's protocol, or nearly so.

mod answer;
mod parameters;
mod refusal;

use std::io;
use std::sync::{Mutex, PoisonError};

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use axum::http::{Request, StatusCode};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use tokio::time::timeout;

use self::answer::Vectors;
use self::parameters::Optional;
use self::refusal::Refusal;
use super::{EmbedError, Embedder, Embedding, Model};
use crate::runtime::https::connector;
use crate::settings::OpenAiSettings;

/// The limit of OpenAI's models.
const MAX_TOKENS: usize = 8191;
/// Bytes that certainly fit: a token is a byte or more.
const SURE_BYTES: usize = MAX_TOKENS;
/// Bytes that probably fit: plain text has about four a token.
const LIKELY_BYTES: usize = 3 * MAX_TOKENS;
/// Longest answer that is read: 256 vectors of 4000 numbers fit.
const MAX_ANSWER: usize = 32 << 20;

/// A client of one endpoint.
#[derive(Debug)]
pub struct OpenAi {
    settings: OpenAiSettings,
    client: Client<HttpsConnector<HttpConnector>, Body>,
    model: Model,
    /// The optional parameters that the endpoint takes, as far as is known.
    optional: Mutex<Optional>,
}

#[derive(Serialize)]
struct Asked<'a> {
    model: &'a str,
    input: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding_format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
}

impl OpenAi {
    /// A client; connects nothing yet.
    pub fn new(settings: OpenAiSettings) -> io::Result<Self> {
        let connector = connector(settings.endpoint.scheme_str() == Some("https"))?;
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let model = Model {
            // Vectors of another length are another model's.
            name: format!("{}/{}", settings.model, settings.dimensions),
            dimensions: settings.dimensions,
            max_tokens: MAX_TOKENS,
            query_prompt: "",
        };
        let optional = Mutex::new(Optional::of(&settings.model));
        Ok(Self { settings, client, model, optional })
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

    /// Embeds with the optional parameters that the endpoint takes: one that it refuses is left out from the next answer on.
    async fn embed_cut(
        &self,
        texts: &[&str],
        max_bytes: usize,
    ) -> Result<Vec<Embedding>, EmbedError> {
        let input: Vec<&str> = texts.iter().map(|text| cut(text, max_bytes)).collect();
        let known = *self.optional.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sent = known;
        let Vectors { vectors, tokens } = loop {
            match self.vectors(&input, sent).await {
                Ok(vectors) => break vectors,
                Err(Refusal { error, named }) => sent = sent.without(named).ok_or(error)?,
            }
        };
        if sent != known {
            *self.optional.lock().unwrap_or_else(PoisonError::into_inner) = sent;
        }
        Ok(vectors
            .into_iter()
            .zip(shares(tokens, &input))
            .zip(texts.iter().zip(input))
            .map(|((vector, tokens), (whole, sent))| Embedding {
                vector,
                tokens,
                cut: sent.len() < whole.len(),
            })
            .collect())
    }

    async fn vectors(&self, input: &[&str], optional: Optional) -> Result<Vectors, Refusal> {
        let body = serde_json::to_vec(&Asked {
            model: &self.settings.model,
            input,
            encoding_format: optional.encoding_format.then_some("float"),
            dimensions: optional.dimensions.then_some(self.settings.dimensions),
        });
        let request = body.map_err(|_| EmbedError::Wrong("the texts are no JSON".to_owned()))?;
        let body = timeout(self.settings.timeout, self.ask(request)).await.map_err(|_| {
            let late = "the embedding provider does not answer in time (EMBED_TIMEOUT_SECONDS)";
            EmbedError::Down(late.to_owned())
        })??;
        Ok(answer::parse(&body, input.len(), self.model.dimensions)?)
    }

    async fn ask(&self, body: Vec<u8>) -> Result<Bytes, Refusal> {
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
            Ok(read(response.into_body()).await?)
        } else {
            let (head, body) = response.into_parts();
            let body = read(body).await.unwrap_or_default();
            Err(Refusal::of(&head, &body))
        }
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

fn cut(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

async fn read(body: Incoming) -> Result<Bytes, EmbedError> {
    to_bytes(Body::new(body), MAX_ANSWER).await.map_err(|_| {
        let said = format!(
            "the embedding provider broke its answer off, or it is longer than {MAX_ANSWER} bytes"
        );
        EmbedError::Wrong(said)
    })
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
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("aäb", 2), "a");
        assert_eq!(cut("ab", 9), "ab");
    }
}
