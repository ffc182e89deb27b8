//! `spec.migration`: the migrations of the schema.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::crd::fields::Resources;

/// The migrations of the schema: a Job that runs before a new image is rolled out. Its pod runs where
/// those of the API do, and carries what they carry.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Migration {
    /// CPU and memory of the migration's pod. Left out: those of spec.api.resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}
