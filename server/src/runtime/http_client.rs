//! A client of HTTP that waits for no answer for ever, and reads none without an end.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use super::innermost::innermost;

/// A client. Requests may be made at the same time.
#[derive(Debug)]
pub struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, String>,
    patience: Duration,
    max_answer: usize,
}

impl HttpClient {
    /// A client whose answers may take so long and be so many bytes; connects nothing yet.
    pub fn new(
        connector: HttpsConnector<HttpConnector>,
        patience: Duration,
        max_answer: usize,
    ) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { client, patience, max_answer }
    }

    /// The status and the body of the answer, or why there is none, in the system's words.
    pub async fn ask(&self, request: Request<String>) -> Result<(StatusCode, Bytes), String> {
        let answer = self.send(request).await?;
        Ok((answer.status(), answer.into_body()))
    }

    /// The answer with its headers, or why there is none.
    pub async fn send(&self, request: Request<String>) -> Result<Response<Bytes>, String> {
        let answer = async {
            let answer = self.client.request(request).await.map_err(|error| innermost(&error))?;
            let (head, body) = answer.into_parts();
            Ok(Response::from_parts(head, self.whole(body).await?))
        };
        let late = |_| format!("no answer in {} s", self.patience.as_secs());
        timeout(self.patience, answer).await.map_err(late)?
    }

    async fn whole(&self, mut body: Incoming) -> Result<Bytes, String> {
        let mut bytes = Vec::new();
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            if let Some(data) = frame.map_err(|error| innermost(&error))?.data_ref() {
                bytes.extend_from_slice(data);
            }
            if bytes.len() > self.max_answer {
                return Err(format!("an answer of more than {} bytes", self.max_answer));
            }
        }
        Ok(bytes.into())
    }
}
