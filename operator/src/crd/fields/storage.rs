//! Volumes: their size and class.

use kube::KubeSchema;
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
    /// and never shrinks.
    #[serde(default = "Storage::default_size")]
    #[schemars(
        schema_with = "Quantity::size_schema",
        description = "How large the volume is, at least 1Gi. It may grow, where the StorageClass allows expansion, and never shrinks."
    )]
    #[x_kube(
        validation = Rule::new("isQuantity(self) && quantity(self).compareTo(quantity('1Gi')) >= 0")
            .message("must be a size of at least 1Gi; example: 10Gi"),
        validation = Rule::new("!isQuantity(self) || !isQuantity(oldSelf) || quantity(self).compareTo(quantity(oldSelf)) >= 0")
            .message("a volume cannot shrink; leave the size as it was or raise it")
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
