//! Volumes: their size and class.

use kube::KubeSchema;
use kube::core::{Message, Rule};
use serde::{Deserialize, Serialize};

use super::Quantity;

/// A volume that holds data.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)").message(
        "storageClassName cannot be changed, since a volume keeps its class"
    )
)]
pub struct Storage {
    /// How large the volume is, at least 1Gi. It may grow, where the StorageClass allows expansion,
    /// and never shrinks; where it could not grow, the size may be set back to what the volume has.
    #[serde(default = "Storage::default_size")]
    #[schemars(
        schema_with = "Quantity::size_schema",
        description = "How large the volume is, at least 1Gi. It may grow, where the StorageClass allows expansion, and never shrinks; where it could not grow, the size may be set back to what the volume has."
    )]
    #[x_kube(
        validation = Rule::new("isQuantity(self) && quantity(self).compareTo(quantity('1Gi')) >= 0")
            .message("must be a size of at least 1Gi; example: 10Gi")
    )]
    pub size: Quantity,

    /// The StorageClass of the volume. Left out, it is the cluster's default class. It cannot be
    /// changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
            .message("is not the name of a StorageClass; kubectl get storageclass lists them")
    )]
    pub storage_class_name: Option<String>,
}

/// A volume that lives as long as a pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Scratch {
    /// How large the volume is, at least 1Gi. Left out: three times the database at the last backup, at least 2Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        schema_with = "Quantity::size_schema",
        description = "How large the volume is, at least 1Gi. Left out: three times the database at the last backup, at least 2Gi."
    )]
    #[x_kube(
        validation = Rule::new("isQuantity(self) && quantity(self).compareTo(quantity('1Gi')) >= 0")
            .message("must be a size of at least 1Gi; example: 10Gi")
    )]
    pub size: Option<Quantity>,

    /// The StorageClass of the volume. Left out, it is the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
            .message("is not the name of a StorageClass; kubectl get storageclass lists them")
    )]
    pub storage_class_name: Option<String>,
}

/// The rule by which the size at `spec` does not become smaller than it was, nor than the volume is, which the status says at
/// `status`: only from the root of a resource both are seen.
pub(in crate::crd) fn never_shrinks(spec: &str, status: &str) -> Rule {
    let has = |of: &str, path: &str| {
        let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
        let parts = ends.map(|end| format!("has({of}.{})", path.get(..end).unwrap_or(path)));
        parts.collect::<Vec<_>>().join(" && ")
    };
    let is_less = |than: &str| format!("quantity(self.{spec}).isLessThan(quantity({than}))");
    let (old, real) = (format!("oldSelf.{spec}"), format!("self.{status}"));
    Rule::new(format!(
        "!({} && {} && isQuantity(self.{spec}) && isQuantity({old}) && {}) || ({} && isQuantity({real}) && !{})",
        has("self", spec),
        has("oldSelf", spec),
        is_less(&old),
        has("self", status),
        is_less(&real),
    ))
    .message(Message::Message(format!(
        "a volume cannot shrink; leave {spec} as it was, or set it to what the volume has ({status}), or raise it"
    )))
    .field_path(format!(".{spec}"))
}

impl Storage {
    fn default_size() -> Quantity {
        Quantity::new("10Gi")
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self { size: Self::default_size(), storage_class_name: None }
    }
}
