//! Secrets and ConfigMaps of others that an AgentFS names, and hashes of what its pods read of them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, EnvVar, EnvVarSource, Secret};

use crate::crd::agentfs::{AgentFSSpec, Backup};
use crate::kit::digest::hash;

/// What stands for an entry that is not there; no entry hashes to it.
const MISSING: &str = "missing";

/// The Secrets and ConfigMaps of others, by name, as far as they are there.
#[derive(Clone, Debug, Default)]
pub struct References {
    /// Secrets.
    pub secrets: BTreeMap<String, Secret>,
    /// ConfigMaps.
    pub config_maps: BTreeMap<String, ConfigMap>,
}

impl References {
    /// A hash of the entries that `variables` are taken from; none where they are taken from none.
    pub fn hash(&self, variables: &[EnvVar]) -> Option<String> {
        let sources = variables.iter().filter_map(|variable| variable.value_from.as_ref());
        let hashes: Vec<_> = sources.map(|source| self.entry(source)).collect();
        (!hashes.is_empty()).then(|| hash(hashes.iter().map(String::as_str)))
    }

    fn entry(&self, source: &EnvVarSource) -> String {
        let bytes = match (&source.secret_key_ref, &source.config_map_key_ref) {
            (Some(of), _) => self
                .secrets
                .get(&of.name)
                .and_then(|secret| secret.data.as_ref()?.get(&of.key).map(|bytes| &bytes.0[..])),
            (None, Some(of)) => self.config_maps.get(&of.name).and_then(|map| {
                let text = map.data.as_ref().and_then(|data| data.get(&of.key));
                let binary = || map.binary_data.as_ref()?.get(&of.key).map(|bytes| &bytes.0[..]);
                text.map(String::as_bytes).or_else(binary)
            }),
            (None, None) => None,
        };
        bytes
            .map_or_else(|| MISSING.into(), |bytes| hash([String::from_utf8_lossy(bytes).as_ref()]))
    }
}

/// The names of the Secrets of others that `spec` names.
pub fn secrets(spec: &AgentFSSpec) -> impl Iterator<Item = &str> {
    let of_environment = sources(spec).filter_map(|source| source.secret_key_ref.as_ref());
    let external = spec.database.external.iter().map(|external| external.secret_ref.name.as_str());
    let provider = spec.embeddings.open_ai.iter().filter_map(|open_ai| open_ai.secret_ref.as_ref());
    let provider = provider.map(|key| key.name.as_str());
    external
        .chain(provider)
        .chain(of_backups(&spec.backup))
        .chain(of_environment.map(|of| of.name.as_str()))
}

/// The names of the Secrets that the backups need.
fn of_backups(backup: &Backup) -> impl Iterator<Item = &str> {
    let bucket = backup.destination.iter().map(|destination| &destination.s3);
    let bucket = bucket.flat_map(|of| {
        let authority = of.ca_secret_ref.as_ref().map(|of| of.name.as_str());
        of.secret_ref.as_deref().into_iter().chain(authority)
    });
    let encryption = backup.encryption.as_ref();
    let identity = encryption.and_then(|of| of.identity_secret_ref.as_ref());
    bucket.chain(identity.map(|of| of.name.as_str()))
}

/// The names of the ConfigMaps that `spec` names.
pub fn config_maps(spec: &AgentFSSpec) -> impl Iterator<Item = &str> {
    sources(spec).filter_map(|source| source.config_map_key_ref.as_ref()).map(|of| of.name.as_str())
}

fn sources(spec: &AgentFSSpec) -> impl Iterator<Item = &EnvVarSource> {
    let variables = spec.api.extra_env.iter().chain(&spec.worker.extra_env);
    variables.filter_map(|variable| variable.value_from.as_ref())
}
