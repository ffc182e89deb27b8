//! `spec.database`: where the data is kept.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::crd::fields::names::{entry_name, object_name};
use crate::crd::fields::{PodSettings, Resources, Storage};

/// Where the data is kept: set exactly one kind of database.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.embedded), has(self.external)].filter(kind, kind).size() == 1").message(
        "set exactly one of embedded, external; example: embedded: {storage: {size: 10Gi}}"
    )
)]
pub struct Database {
    /// A PostgreSQL with pgvector that the operator runs as one pod with one volume: for development
    /// and small teams. While its pod is replaced, requests are answered 503 with Retry-After.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<Embedded>,

    /// A PostgreSQL (16 to 18, with the extension pgvector available) that somebody else runs. The
    /// operator needs nothing of it but its URL; the role must own the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
}

/// A PostgreSQL that somebody else runs.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct External {
    /// The Secret that holds the database's URL. When it changes, the pods that use it are replaced.
    pub secret_ref: SecretRef,

    /// The entry of the same Secret that holds the certificates (PEM) of the authorities that may have
    /// signed the database's, for sslmode verify-ca and verify-full; for example `ca.crt`. Left out,
    /// public authorities are trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        schema_with = "entry_name",
        description = "The entry of the same Secret that holds the certificates (PEM) of the authorities that may have signed the database's, for sslmode verify-ca and verify-full; for example `ca.crt`. Left out, public authorities are trusted."
    )]
    pub ca_key: Option<String>,
}

/// An entry of a Secret in the namespace of the AgentFS.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// The Secret's name.
    #[schemars(schema_with = "object_name")]
    pub name: String,

    /// The entry that holds the URL, postgres://user:password@host:5432/database.
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
    /// The volume that holds the data. It stays when the AgentFS is deleted, unless deletionPolicy is
    /// Delete, and an AgentFS of the same name uses it again.
    #[serde(default)]
    pub storage: Storage,

    /// CPU and memory of the database pod. Left out: requests of 100m CPU and 256Mi, a limit of 1Gi
    /// memory and none on CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Where the database pod runs, and what it carries.
    #[serde(flatten)]
    pub pods: PodSettings,
}
