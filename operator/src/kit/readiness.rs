//! Why a pod of the server is not ready, in its own words: its `/readyz`.
//!
//! The operator never connects to PostgreSQL; what is wrong with it the pods of the server know.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use agentfs_contract::health::Answer;

use super::pod_client::PodClient;
use super::sentences::one_line;

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

impl Readiness for PodClient {
    fn ask(
        &self,
        address: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Option<Unready>> + Send + '_>> {
        Box::pin(async move { understood(&self.get(address, "/readyz").await?) })
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
