//! HTTP to a pod at its address, past any Service: what a pod says of itself.

use std::net::SocketAddr;
use std::time::Duration;

/// How long a pod may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// No answer is longer than this.
const LONGEST_ANSWER: usize = 8 * 1024;

/// Asks pods by HTTP.
#[derive(Clone)]
pub struct PodClient(reqwest::Client);

impl PodClient {
    /// A client that follows no redirect and uses no proxy: pods are asked directly or not at all.
    pub fn new() -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self(client))
    }

    /// The body of the answer of the pod at `address` to a GET of `path`, whatever its status code; `None` when none comes, or
    /// one that is too long.
    pub async fn get(&self, address: SocketAddr, path: &str) -> Option<Vec<u8>> {
        let mut response = self.0.get(format!("http://{address}{path}")).send().await.ok()?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.ok()? {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST_ANSWER {
                return None;
            }
        }
        Some(body)
    }
}
