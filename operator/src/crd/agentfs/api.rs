//! `spec.api`: the API that agents use.

use k8s_openapi::api::core::v1::EnvVar;
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::extra_env::extra_env;
use crate::crd::fields::{PodSettings, Resources};

/// The API that agents use.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.autoscaling) || !has(self.resources) || (has(self.resources.requests) && 'cpu' in self.resources.requests) || (has(self.resources.limits) && 'cpu' in self.resources.limits)").message(
        "autoscaling needs a CPU request: set resources.requests.cpu, or leave resources out"
    )
)]
pub struct Api {
    /// The number of API pods. With two or more, the API keeps serving while one is updated or lost. `kubectl scale
    /// agentfs <name> --replicas=N` sets it too. 0 stops the API and keeps the data. Ignored with autoscaling.
    #[serde(default = "Api::default_replicas")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,

    /// Lets a HorizontalPodAutoscaler choose the number of pods by their CPU utilization. It needs metrics-server in
    /// the cluster. When you remove it, replicas keeps the current number of pods, unless the same change sets another;
    /// a manifest that names replicas should set it in that change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,

    /// CPU and memory of each API pod, and of the migration pod unless spec.migration.resources is set. Defaults to
    /// requests of 100m CPU and 128Mi memory, and a limit of 512Mi memory; with spec.embeddings.local to 384Mi and
    /// 1536Mi, but for the migration pod. CPU has no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// CIDRs of the proxies in front of the API whose X-Forwarded-For header is trusted; for example `[10.0.0.0/8]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "cidrs")]
    pub trust_proxy: Vec<String>,

    /// Additional environment variables of the API and migration pods: settings of the server, for example `[{name:
    /// LOG_LEVEL, value: debug}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "extra_env")]
    pub extra_env: Vec<EnvVar>,

    /// Scheduling, labels and annotations of the API and migration pods.
    #[serde(flatten)]
    pub pods: PodSettings,
}

/// How a HorizontalPodAutoscaler chooses the number of pods.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas").message(
        "minReplicas must not be greater than maxReplicas"
    )
)]
pub struct Autoscaling {
    /// The minimum number of pods. With two or more, the API keeps serving while one is updated or lost.
    #[serde(default = "Autoscaling::default_min")]
    #[schemars(range(min = 1, max = 100))]
    pub min_replicas: i32,

    /// The maximum number of pods.
    #[schemars(range(min = 1, max = 100))]
    pub max_replicas: i32,

    /// The target CPU utilization, in percent of what each pod requests. Pods are added above it.
    #[serde(default = "Autoscaling::default_target", rename = "targetCPUUtilizationPercentage")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_cpu_utilization_percentage: i32,
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
            autoscaling: None,
            resources: None,
            trust_proxy: Vec::new(),
            extra_env: Vec::new(),
            pods: PodSettings::default(),
        }
    }
}

impl Autoscaling {
    fn default_min() -> i32 {
        2
    }

    fn default_target() -> i32 {
        70
    }
}

/// The schema of ranges of addresses.
fn cidrs(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 64,
            "x-kubernetes-validations": [{
                "rule": "isCIDR(self)",
                "messageExpression": "'\"' + self + '\" is not a CIDR; example: 10.0.0.0/8'",
                "message": "is not a CIDR; example: 10.0.0.0/8",
            }],
        },
    })
}
