//! Settings of the ports, /metrics and the bootstrap token.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

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

impl MetricsAccess {
    /// Whether there is such a route.
    pub fn is_on(&self) -> bool {
        !matches!(self, Self::Off)
    }

    /// The token that it asks for.
    pub fn token(&self) -> Option<&SecretString> {
        match self {
            Self::Bearer(token) => Some(token),
            Self::Off | Self::Open => None,
        }
    }
}

/// Settings of the listeners, and of access to what is no memory.
#[derive(Debug, Clone)]
pub struct ListenSettings {
    /// Address and port of the API; see [`crate::listen::bind`].
    pub address: SocketAddr,
    /// Address and port of the health routes and /metrics alone.
    pub operations: SocketAddr,
    /// Whether the API's port has /metrics without a token, and a worker its routes.
    pub monitoring_on_port: bool,
    /// Access to /metrics.
    pub metrics: MetricsAccess,
    /// The token that creates the first keys; `None` turns that off.
    pub bootstrap_token: Option<SecretString>,
}

/// Whether the API's port shows what operators look at, without a token.
pub const MONITORING_ON_PORT: &str = "MONITORING_ON_PORT";

/// Fewest characters of a token, which anybody may guess at.
const SHORTEST_TOKEN: usize = 32;

const A_PORT: &str = "a number from 1 to 65535";

impl ListenSettings {
    pub(super) const DESCRIBED: &'static [Described] = &[
        Described {
            name: setting::LISTEN,
            about: "IP address to listen on, such as 127.0.0.1 (all)",
        },
        Described { name: setting::PORT, about: "port of the API (8787)" },
        Described {
            name: setting::PORT_OPERATIONS,
            about: "second port, with only /livez, /readyz, /healthz and /metrics (PORT + 1)",
        },
        Described {
            name: MONITORING_ON_PORT,
            about: "true or false: whether PORT serves /metrics even without METRICS_TOKEN, and a worker listens on it (true)",
        },
        Described {
            name: "ENABLE_METRICS",
            about: "true or false: whether to serve /metrics (true)",
        },
        Described {
            name: "METRICS_TOKEN",
            about: "bearer token required for /metrics, of at least 32 characters (none)",
        },
        Described {
            name: "ADMIN_BOOTSTRAP_TOKEN",
            about: "token with which /v1/admin/create-key creates the first keys, of at least 32 characters (none)",
        },
    ];

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let all = IpAddr::from(Ipv6Addr::UNSPECIFIED);
        let must = "an IP address, such as 127.0.0.1 (the port is that of PORT)";
        let ip = reader.parsed(setting::LISTEN, all, must, |text| text.parse().ok());
        let port = reader.parsed(setting::PORT, port::API, A_PORT, number);
        let operations = port.and_then(|port| operations(reader, port));
        let truth = |text: &str| text.parse().ok();
        let monitoring_on_port = reader.parsed(MONITORING_ON_PORT, true, "true or false", truth);
        let enabled = reader.parsed("ENABLE_METRICS", true, "true or false", truth);
        let metrics_token = token(reader, "METRICS_TOKEN");
        let bootstrap_token = token(reader, "ADMIN_BOOTSTRAP_TOKEN");
        Some(Self {
            address: (ip?, port?).into(),
            operations: (ip?, operations?).into(),
            monitoring_on_port: monitoring_on_port?,
            metrics: match (enabled?, metrics_token) {
                (false, _) => MetricsAccess::Off,
                (true, None) => MetricsAccess::Open,
                (true, Some(token)) => MetricsAccess::Bearer(token),
            },
            bootstrap_token,
        })
    }
}

/// The port beside the API's `port`.
fn operations(reader: &mut Reader<'_>, port: u16) -> Option<u16> {
    let given =
        reader.parsed(setting::PORT_OPERATIONS, None, A_PORT, |text| number(text).map(Some))?;
    match given.or(port.checked_add(1)) {
        None => reader.problem(format!(
            "PORT_OPERATIONS is not set, and there is no port {port} + 1; set it to a free port"
        )),
        Some(same) if same == port => reader.problem(format!(
            "PORT_OPERATIONS and PORT are both {port}; set PORT_OPERATIONS to another port"
        )),
        operations => return operations,
    }
    None
}

fn number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0)
}

/// The token in the setting `name`, if there is one; reports one that can be guessed.
fn token(reader: &mut Reader<'_>, name: &str) -> Option<SecretString> {
    let token = reader.text(name)?;
    let length = token.chars().count();
    if length < SHORTEST_TOKEN {
        reader.problem(format!(
            "{name} has {length} characters, and others can guess it; it must have at least {SHORTEST_TOKEN}: make one with `openssl rand -hex 32`, or leave it out"
        ));
    }
    Some(token.into())
}
