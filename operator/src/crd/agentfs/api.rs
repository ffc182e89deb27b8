//! `spec.api`: the API that agents talk to.

use k8s_openapi::api::core::v1::EnvVar;
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::extra_env::extra_env;
use crate::crd::fields::{PodSettings, Resources};

/// The API that agents talk to.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.autoscaling) || !has(self.resources) || (has(self.resources.requests) && 'cpu' in self.resources.requests) || (has(self.resources.limits) && 'cpu' in self.resources.limits)").message(
        "autoscaling goes by the use of the CPU that is requested: set resources.requests.cpu, or leave resources out"
    )
)]
pub struct Api {
    /// How many API pods run. Two or more serve on while one is updated or lost. `kubectl scale
    /// agentfs <name> --replicas=N` sets it too. 0 stops the API and keeps the data. With autoscaling
    /// it is not looked at.
    #[serde(default = "Api::default_replicas")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,

    /// Lets a HorizontalPodAutoscaler choose the number of pods by their CPU. It needs metrics-server
    /// in the cluster. Taken out again, it leaves its number of pods in replicas, unless the same change
    /// sets another. Where a manifest names replicas, set it in the same change, or leave the field out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,

    /// CPU and memory of each API pod, and of the migration's where spec.migration.resources is left
    /// out. Left out: requests of 100m CPU and 128Mi, a limit of 512Mi
    /// memory and none on CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Proxies before the API, as CIDRs, whose X-Forwarded-For is believed; for example `[10.0.0.0/8]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "cidrs")]
    pub trust_proxy: Vec<String>,

    /// More environment variables of the API and of the migrations: the server's settings, for example
    /// `[{name: LOG_LEVEL, value: debug}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "extra_env")]
    pub extra_env: Vec<EnvVar>,

    /// Where the pods of the API and of the migrations run, and what they carry.
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
    /// The least number of pods. With two or more the API serves on while one is updated or lost.
    #[serde(default = "Autoscaling::default_min")]
    #[schemars(range(min = 1, max = 100))]
    pub min_replicas: i32,

    /// The greatest number of pods.
    #[schemars(range(min = 1, max = 100))]
    pub max_replicas: i32,

    /// The CPU use at which pods are added, in percent of what each requests.
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
