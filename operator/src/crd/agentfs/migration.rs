//! `spec.migration`: schema migrations.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::crd::fields::Resources;

/// Schema migrations: a Job that runs before a new image is rolled out. Its pod has the scheduling, labels and
/// annotations of the API pods.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Migration {
    /// CPU and memory of the migration pod. Defaults to spec.api.resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}
