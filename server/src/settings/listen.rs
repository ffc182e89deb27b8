//! Settings of the port, /metrics and the bootstrap token.

use std::net::{Ipv6Addr, SocketAddr};

use agentfs_contract::{port, setting};
use secrecy::SecretString;

use super::reader::{Described, Reader};

/// Access to /metrics.
#[derive(Debug, Clone)]
pub enum MetricsAccess {
    /// Off: there is no such route.
    Off,
    /// Open to everybody.
    Open,
    /// Open with this bearer token.
    Bearer(SecretString),
}

/// Settings of the listener, and of access to what is no memory.
#[derive(Debug, Clone)]
pub struct ListenSettings {
    /// Address and port; see [`crate::listen::bind`].
    pub address: SocketAddr,
    /// Access to /metrics.
    pub metrics: MetricsAccess,
    /// The token that creates the first keys; `None` turns that off.
    pub bootstrap_token: Option<SecretString>,
}

impl ListenSettings {
    pub(super) const DESCRIBED: &'static [Described] = &[
        Described { name: setting::PORT, about: "port of the API, on all addresses (8787)" },
        Described {
            name: "ENABLE_METRICS",
            about: "true or false: whether there is /metrics (true)",
        },
        Described { name: "METRICS_TOKEN", about: "bearer that /metrics asks for (none)" },
        Described {
            name: "ADMIN_BOOTSTRAP_TOKEN",
            about: "lets /v1/admin/create-key make the first keys (none)",
        },
    ];

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let port = reader.parsed(setting::PORT, port::API, "a number from 1 to 65535", |text| {
            text.parse().ok().filter(|port| *port > 0)
        });
        let enabled =
            reader.parsed("ENABLE_METRICS", true, "true or false", |text| text.parse().ok());
        let token = reader.text("METRICS_TOKEN");
        Some(Self {
            address: (Ipv6Addr::UNSPECIFIED, port?).into(),
            metrics: match (enabled?, token) {
                (false, _) => MetricsAccess::Off,
                (true, None) => MetricsAccess::Open,
                (true, Some(token)) => MetricsAccess::Bearer(token.into()),
            },
            bootstrap_token: reader.text("ADMIN_BOOTSTRAP_TOKEN").map(Into::into),
        })
    }
}
