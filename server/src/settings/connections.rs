//! Settings of connections: the connection limit, timeouts, trusted proxies.

use std::sync::Arc;
use std::time::Duration;

use agentfs_contract::setting::TRUST_PROXY;

use super::connection_limits::{Limits, Times};
use super::memory;
use super::reader::{Described, Reader};
use crate::domain::access::client::TrustedProxies;

/// Settings of connections.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    /// The connection limit, timeouts and trusted proxies.
    pub limits: Limits,
}

impl ConnectionSettings {
    pub(super) const DESCRIBED: &'static [Described] = &[
        Described {
            name: "MAX_CONNECTIONS",
            about: "maximum open connections (as many as fit into a third of the memory limit, at most 10000)",
        },
        Described {
            name: "KEEP_ALIVE_SECONDS",
            about: "seconds that an idle connection stays open; set it above the load balancer's (75)",
        },
        Described {
            name: TRUST_PROXY,
            about: "CIDRs of proxies whose X-Forwarded-For is trusted, separated by commas (none)",
        },
    ];

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let defaults = Limits::default();
        let connections = memory::connections(reader.memory());
        let connections =
            reader.parsed("MAX_CONNECTIONS", connections, "a number from 10 to 1000000", |text| {
                text.parse().ok().filter(|n| (10..=1_000_000).contains(n))
            });
        let keep_alive = reader.parsed(
            "KEEP_ALIVE_SECONDS",
            defaults.times.keep_alive,
            "a number of seconds from 1 to 86400",
            |text| {
                let seconds = text.parse().ok().filter(|n| (1..=86_400).contains(n));
                seconds.map(Duration::from_secs)
            },
        );
        let proxies = reader.parsed(
            TRUST_PROXY,
            TrustedProxies::default(),
            "CIDRs with commas between them, such as 10.0.0.0/8,fd00::/8",
            TrustedProxies::parse,
        );
        Some(Self {
            limits: Limits {
                connections: connections?,
                proxies: Arc::new(proxies?),
                times: Times { keep_alive: keep_alive?, ..defaults.times },
                ..defaults
            },
        })
    }
}
