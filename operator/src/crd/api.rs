//! `spec.api`: the API that agents talk to.

use k8s_openapi::api::core::v1::EnvVar;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::pods::extra_env;
use super::{PodSettings, Resources};

/// The API that agents talk to.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Api {
    /// How many API pods run. Two or more serve on while one is updated or lost. `kubectl scale
    /// agentfs <name> --replicas=N` sets it too. 0 stops the API and keeps the data.
    #[serde(default = "Api::default_replicas")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,

    /// CPU and memory of each API pod. Left out: requests of 100m CPU and 128Mi, a limit of 512Mi
    /// memory and none on CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// More environment variables of the API and of the migrations: the server's settings, for example
    /// `[{name: WRITE_QUOTA_PER_DAY, value: "0"}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "extra_env")]
    pub extra_env: Vec<EnvVar>,

    /// Where the pods of the API and of the migrations run, and what they carry.
    #[serde(flatten)]
    pub pods: PodSettings,
}

impl Api {
    fn default_replicas() -> i32 {
        3
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            replicas: Self::default_replicas(),
            resources: None,
            extra_env: Vec::new(),
            pods: PodSettings::default(),
        }
    }
}
