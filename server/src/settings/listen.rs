//! Where requests come in and logs go out.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use secrecy::SecretString;

use super::reader::{Described, Reader};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For eyes; a request's line ends in `responseTime <ms>`.
    Text,
}

/// Where requests come in, and who may see what is no memory.
#[derive(Debug, Clone)]
pub struct ListenSettings {
    /// Address and port.
    pub address: SocketAddr,
    /// The bearer that /metrics asks for; `None` asks for none.
    pub metrics_token: Option<SecretString>,
    /// The token that makes keys before there is one; `None` lets none be made so.
    pub bootstrap_token: Option<SecretString>,
}

impl ListenSettings {
    pub(super) const DESCRIBED: &'static [Described] = &[
        Described { name: "PORT", about: "port of the API, on all addresses (8787)" },
        Described { name: "METRICS_TOKEN", about: "bearer that /metrics asks for (none)" },
        Described {
            name: "ADMIN_BOOTSTRAP_TOKEN",
            about: "lets /v1/admin/create-key make the first keys (none)",
        },
        Described { name: "LOG_FORMAT", about: "json or text (json)" },
        Described { name: "LOG_LEVEL", about: "error, warn, info, debug or trace (info)" },
    ];

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let port = reader.parsed("PORT", 8787, "a number from 1 to 65535", |text| {
            text.parse().ok().filter(|port| *port > 0)
        })?;
        Some(Self {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
            metrics_token: reader.text("METRICS_TOKEN").map(Into::into),
            bootstrap_token: reader.text("ADMIN_BOOTSTRAP_TOKEN").map(Into::into),
        })
    }
}
