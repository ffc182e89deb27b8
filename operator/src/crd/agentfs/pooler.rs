//! `spec.pooler`: the connection pool between the API and PostgreSQL.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::crd::fields::{PodSettings, Resources};

/// The connection pool between the API and PostgreSQL: PgBouncer in transaction mode. It makes the number of
/// connections to PostgreSQL independent of the number of API pods, and a new database password replaces no API pod.
/// Migrations connect to PostgreSQL directly.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Pooler {
    /// Whether to run a connection pool. Without it each API pod connects to PostgreSQL directly.
    #[serde(default = "Pooler::default_enabled")]
    pub enabled: bool,

    /// The number of pods. With two or more, the API still reaches the database while one is updated or lost.
    #[serde(default = "Pooler::default_replicas")]
    #[schemars(range(min = 1, max = 10))]
    pub replicas: i32,

    /// How many client connections each pod accepts.
    #[serde(default = "Pooler::default_max_client_connections")]
    #[schemars(range(min = 10, max = 10_000))]
    pub max_client_connections: i32,

    /// How many connections each pod opens to PostgreSQL. The sum over all pods must stay below its max_connections
    /// (200 for the embedded one).
    #[serde(default = "Pooler::default_pool_size")]
    #[schemars(range(min = 1, max = 1000))]
    pub pool_size: i32,

    /// CPU and memory of each pod. Defaults to requests of 20m CPU and 32Mi memory, and a limit of 128Mi memory; CPU
    /// has no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Scheduling, labels and annotations of the pods.
    #[serde(flatten)]
    pub pods: PodSettings,
}

impl Pooler {
    fn default_enabled() -> bool {
        true
    }

    fn default_replicas() -> i32 {
        2
    }

    fn default_max_client_connections() -> i32 {
        1000
    }

    fn default_pool_size() -> i32 {
        20
    }
}

impl Default for Pooler {
    fn default() -> Self {
        Self {
            enabled: Self::default_enabled(),
            replicas: Self::default_replicas(),
            max_client_connections: Self::default_max_client_connections(),
            pool_size: Self::default_pool_size(),
            resources: None,
            pods: PodSettings::default(),
        }
    }
}
