//! Settings of the connection limit and of connections' timeouts.

use std::sync::Arc;
use std::time::Duration;

use agentfs_contract::drain;

use crate::domain::access::client::TrustedProxies;

/// The connection limit and timeouts.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most connections open at once.
    pub connections: u32,
    /// Who says so, for the log.
    pub allowed_by: &'static str,
    /// Proxies whose X-Forwarded-For is trusted. Their connections carry the requests of many clients, so there may be as
    /// many as there are in all.
    pub proxies: Arc<TrustedProxies>,
    /// Timeouts.
    pub times: Times,
}

/// Timeouts of a connection and its requests.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Idle, until the first byte of a request; then the connection is closed.
    pub keep_alive: Duration,
    /// From a request's first byte to the end of its headers; then the connection is closed.
    pub head: Duration,
    /// From the end of the headers to the end of the body; then the request is answered with 400.
    pub body: Duration,
    /// The same of somebody who has not authenticated himself, whose token may be in the body.
    pub unauthenticated_body: Duration,
    /// From the end of the headers to the answer; then the request is answered with 503.
    pub request: Duration,
    /// Until the client has taken the bytes it was offered; then the connection is closed.
    pub write: Duration,
    /// For the rest of a body that nobody wants, before the answer and after it; then the connection is reset.
    pub linger: Duration,
    /// For requests in progress at shutdown.
    pub drain: Duration,
}

impl Limits {
    /// Those of the listener of the health routes and /metrics, whose requests are short and have no body.
    pub fn operations() -> Self {
        let times = Times::default();
        Self {
            connections: 100,
            allowed_by: "the listener of PORT_OPERATIONS",
            proxies: Arc::default(),
            times: Times {
                head: Duration::from_secs(2),
                body: Duration::from_secs(2),
                request: Duration::from_secs(5),
                write: Duration::from_secs(5),
                linger: Duration::from_secs(1),
                ..times
            },
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            allowed_by: "MAX_CONNECTIONS",
            proxies: Arc::default(),
            times: Times::default(),
        }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            // More than the 60 s of common load balancers: who closes first must be the client's side.
            keep_alive: Duration::from_secs(75),
            head: Duration::from_secs(10),
            body: Duration::from_secs(15),
            unauthenticated_body: Duration::from_secs(2),
            request: Duration::from_secs(30),
            write: Duration::from_secs(30),
            linger: Duration::from_secs(5),
            drain: drain::UNDER_WAY,
        }
    }
}
