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
    /// The size of the volume, at least 1Gi. It can be raised if the StorageClass allows expansion, and never lowered,
    /// except back to the actual size after an expansion that failed.
    #[serde(default = "Storage::default_size")]
    #[schemars(
        schema_with = "Quantity::size_schema",
        description = "The size of the volume, at least 1Gi. It can be raised if the StorageClass allows expansion, and never lowered, except back to the actual size after an expansion that failed."
    )]
    #[x_kube(
        validation = Rule::new("isQuantity(self) && quantity(self).compareTo(quantity('1Gi')) >= 0")
            .message("must be a size of at least 1Gi; example: 10Gi")
    )]
    pub size: Quantity,

    /// The StorageClass of the volume. Defaults to the default class of the cluster. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
            .message("is not the name of a StorageClass; kubectl get storageclass lists them")
    )]
    pub storage_class_name: Option<String>,
}

/// A volume that is deleted with its pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Scratch {
    /// The size of the volume, at least 1Gi. Defaults to three times the size of the database at the last backup, and
    /// at least 2Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        schema_with = "Quantity::size_schema",
        description = "The size of the volume, at least 1Gi. Defaults to three times the size of the database at the last backup, and at least 2Gi."
    )]
    #[x_kube(
        validation = Rule::new("isQuantity(self) && quantity(self).compareTo(quantity('1Gi')) >= 0")
            .message("must be a size of at least 1Gi; example: 10Gi")
    )]
    pub size: Option<Quantity>,

    /// The StorageClass of the volume. Defaults to the default class of the cluster.
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
        "a volume cannot shrink; raise {spec}, or set it back to the volume's actual size ({status})"
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
