//! `spec.pooler`: the connection pool between the API and PostgreSQL.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::crd::fields::{PodSettings, Resources};

/// The connection pool between the API and PostgreSQL: PgBouncer in transaction mode. With it the
/// number of API pods has no bearing on the number of connections that PostgreSQL holds, and a new
/// password of the database replaces no API pod. Migrations go past it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Pooler {
    /// Whether there is one. Without it each API pod connects to PostgreSQL itself.
    #[serde(default = "Pooler::default_enabled")]
    pub enabled: bool,

    /// How many pods. With two or more the API has a way to the database while one is updated or lost.
    #[serde(default = "Pooler::default_replicas")]
    #[schemars(range(min = 1, max = 10))]
    pub replicas: i32,

    /// How many connections each pod takes from API pods.
    #[serde(default = "Pooler::default_max_client_connections")]
    #[schemars(range(min = 10, max = 10_000))]
    pub max_client_connections: i32,

    /// How many connections each pod makes to PostgreSQL. Together they must stay below what
    /// PostgreSQL allows (max_connections, 200 of the embedded one).
    #[serde(default = "Pooler::default_pool_size")]
    #[schemars(range(min = 1, max = 1000))]
    pub pool_size: i32,

    /// CPU and memory of each pod. Left out: requests of 20m CPU and 32Mi, a limit of 128Mi memory and
    /// none on CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Where the pods run, and what they carry.
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
