//! Why a pod of the server is not ready, in its own words: its `/readyz`.
//!
//! The operator never connects to PostgreSQL; what is wrong with it the pods of the server know.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use agentfs_contract::health::Answer;

use super::sentences::one_line;

/// How long a pod may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// No answer of `/readyz` is longer than this.
const LONGEST_ANSWER: usize = 8 * 1024;

/// What a pod says that is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unready {
    /// One word, for example `DatabaseUnreachable`.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

/// Asks pods why they are not ready. A trait, so that tests need no pods.
pub trait Readiness: Send + Sync {
    /// What the pod at `address` says; `None` when it says nothing that can be understood.
    fn ask(
        &self,
        address: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Option<Unready>> + Send + '_>>;
}

/// Asks by HTTP.
pub struct HttpReadiness {
    client: reqwest::Client,
}

impl HttpReadiness {
    /// A client that follows no redirect and uses no proxy: pods are asked directly or not at all.
    pub fn new() -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { client })
    }
}

impl Readiness for HttpReadiness {
    fn ask(
        &self,
        address: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Option<Unready>> + Send + '_>> {
        Box::pin(async move {
            let mut response =
                self.client.get(format!("http://{address}/readyz")).send().await.ok()?;
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.ok()? {
                body.extend_from_slice(&chunk);
                if body.len() > LONGEST_ANSWER {
                    return None;
                }
            }
            understood(&body)
        })
    }
}

/// The reason and the sentence of an answer. The reason becomes a condition's, so it must be a word.
fn understood(body: &[u8]) -> Option<Unready> {
    let (reason, message) = Answer::read_not_ready(body)?;
    let is_word = reason.starts_with(|c: char| c.is_ascii_uppercase())
        && reason.len() <= 64
        && reason.chars().all(|c| c.is_ascii_alphanumeric());
    is_word.then(|| Unready { message: one_line(&message), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_understood_when_its_reason_is_a_word() {
        let body =
            br#"{"ok":false,"reason":"DatabaseUnreachable","message":"cannot reach db:5432"}"#;
        assert_eq!(understood(body).unwrap().reason, "DatabaseUnreachable");
        for odd in [
            &br#"{"ok":false,"reason":"two words","message":"x"}"#[..],
            br#"{"ok":false,"reason":"","message":"x"}"#,
            b"<html>",
            b"",
        ] {
            assert_eq!(understood(odd), None);
        }
    }
}
