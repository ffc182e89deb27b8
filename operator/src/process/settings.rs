//! Settings of `agentfs-operator run`, from flags and environment.

use std::net::SocketAddr;

use clap::Args;

/// The settings of `agentfs-operator run`. The chart sets them by the environment.
#[derive(Args, Clone, Debug)]
pub struct RunSettings {
    /// The image of the AgentFS server, for resources without spec.image.
    #[arg(long, env = "AGENTFS_SERVER_IMAGE", value_parser = not_empty)]
    pub server_image: String,

    /// The image of the embedded PostgreSQL.
    #[arg(long, env = "AGENTFS_POSTGRES_IMAGE", value_parser = not_empty)]
    pub postgres_image: String,

    /// The image of PgBouncer, the connection pool.
    #[arg(long, env = "AGENTFS_PGBOUNCER_IMAGE", value_parser = not_empty)]
    pub pgbouncer_image: String,

    /// The namespace to watch. Empty for all namespaces.
    #[arg(long, env = "WATCH_NAMESPACE", default_value = "")]
    pub watch_namespace: String,

    /// The namespace of the operator, with the Lease of leader election. Defaults to the namespace of the kubeconfig.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: Option<String>,

    /// The identity of this process in leader election. Defaults to a random one.
    #[arg(long, env = "POD_NAME")]
    pub identity: Option<String>,

    /// The address that serves /livez, /readyz and /metrics.
    #[arg(long, env = "AGENTFS_OPERATOR_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// How many resources are reconciled concurrently.
    #[arg(long, env = "AGENTFS_OPERATOR_CONCURRENCY", default_value_t = 16,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,

    /// The log filter, for example `info` or `agentfs_operator=debug,info`.
    #[arg(long, env = "AGENTFS_LOG", default_value = "info")]
    pub log: String,
}

/// The images of the children where a resource names none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// The AgentFS server.
    pub server: String,
    /// The embedded PostgreSQL.
    pub postgres: String,
    /// PgBouncer, the connection pool.
    pub pgbouncer: String,
}

impl RunSettings {
    /// The images of the children.
    pub fn images(&self) -> Images {
        Images {
            server: self.server_image.clone(),
            postgres: self.postgres_image.clone(),
            pgbouncer: self.pgbouncer_image.clone(),
        }
    }
}

fn not_empty(value: &str) -> Result<String, String> {
    if value.trim().is_empty() {
        return Err("must name an image, for example registry.example/agentfs/server:1.4.0".into());
    }
    Ok(value.to_owned())
}
