//! `spec.worker`: the pods that compute embeddings.

use k8s_openapi::api::core::v1::EnvVar;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::extra_env::extra_env;
use crate::crd::fields::{PodSettings, Resources};

/// The worker pods, which compute embeddings. There are none without spec.embeddings.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    /// The number of pods. They share the work. With 0, nothing is embedded and jobs wait in the queue.
    #[serde(default = "Worker::default_replicas")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,

    /// CPU and memory of each pod. Defaults to requests of 100m CPU and 128Mi memory, and a limit of 512Mi memory; with
    /// spec.embeddings.local to 384Mi and 1536Mi. CPU has no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Additional environment variables: settings of the worker, for example `[{name: EMBED_CONCURRENCY, value: "4"}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "extra_env")]
    pub extra_env: Vec<EnvVar>,

    /// Scheduling, labels and annotations of the pods.
    #[serde(flatten)]
    pub pods: PodSettings,
}

impl Worker {
    fn default_replicas() -> i32 {
        1
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            replicas: Self::default_replicas(),
            resources: None,
            extra_env: Vec::new(),
            pods: PodSettings::default(),
        }
    }
}
