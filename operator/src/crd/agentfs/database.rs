//! `spec.database`: where the data is stored.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::crd::fields::names::{entry_name, object_name};
use crate::crd::fields::{PodSettings, Resources, Storage};

/// Where the data is stored: set exactly one kind of database.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.embedded), has(self.external)].filter(kind, kind).size() == 1").message(
        "set exactly one of embedded, external; example: embedded: {storage: {size: 10Gi}}"
    )
)]
pub struct Database {
    /// A PostgreSQL with pgvector that the operator runs, as one pod with one volume: for development and small teams.
    /// While its pod is replaced, the API answers 503 with Retry-After.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<Embedded>,

    /// A PostgreSQL that you run yourself or as a managed service: version 16 to 18, with the extension pgvector
    /// available. The operator needs only its URL; the role must own the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
}

/// A PostgreSQL that the operator does not run.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct External {
    /// The Secret with the URL of the database. When it changes, the pods that use it are replaced.
    pub secret_ref: SecretRef,

    /// The key of the same Secret with the CA certificates (PEM) that sslmode verify-ca and verify-full check the
    /// database's certificate against; for example `ca.crt`. Defaults to the public certificate authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        schema_with = "entry_name",
        description = "The key of the same Secret with the CA certificates (PEM) that sslmode verify-ca and verify-full check the database's certificate against; for example `ca.crt`. Defaults to the public certificate authorities."
    )]
    pub ca_key: Option<String>,
}

/// A key of a Secret in the namespace of the AgentFS.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// The Secret's name.
    #[schemars(schema_with = "object_name")]
    pub name: String,

    /// The key with the URL, postgres://user:password@host:5432/database.
    #[serde(default = "SecretRef::default_key")]
    #[schemars(schema_with = "entry_name")]
    pub key: String,
}

impl SecretRef {
    fn default_key() -> String {
        "DATABASE_URL".into()
    }
}

/// A PostgreSQL that the operator runs: one pod, one volume.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Embedded {
    /// The volume with the data. It stays when the AgentFS is deleted, unless deletionPolicy is Delete, and a new
    /// AgentFS of the same name uses it again.
    #[serde(default)]
    pub storage: Storage,

    /// CPU and memory of the database pod. Defaults to requests of 100m CPU and 256Mi memory, and a limit of 1Gi
    /// memory; CPU has no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Scheduling, labels and annotations of the database pod.
    #[serde(flatten)]
    pub pods: PodSettings,
}
