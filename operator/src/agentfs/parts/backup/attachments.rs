//! What pods of backups are given: variables, and the volumes and files that these speak of.

use k8s_openapi::api::core::v1::{EnvVar, KeyToPath, Volume, VolumeMount};

use crate::crd::agentfs::EntryRef;
use crate::kit::env::env;
use crate::kit::pod;

/// The folder of what Secrets hold, a folder each.
const SECRETS: &str = "/etc/agentfs";

/// Variables, volumes, and where these are seen.
#[derive(Clone, Debug, Default)]
pub struct Attachments {
    /// The variables.
    pub variables: Vec<EnvVar>,
    /// The volumes.
    pub volumes: Vec<Volume>,
    /// Where they are seen.
    pub mounts: Vec<VolumeMount>,
}

impl Attachments {
    /// These variables alone.
    pub fn variables(variables: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let variables = variables.into_iter().map(|(name, value)| env(name, value)).collect();
        Self { variables, ..Self::default() }
    }

    /// A volume that is seen at `path`.
    #[must_use]
    pub fn with_volume(mut self, volume: Volume, path: &str) -> Self {
        self.mounts.push(pod::mount(&volume.name, path));
        self.volumes.push(volume);
        self
    }

    /// All entries of a Secret as files, and a variable that says in which folder.
    #[must_use]
    pub fn with_secret(mut self, variable: &'static str, name: &str, secret: &str) -> Self {
        let folder = format!("{SECRETS}/{name}");
        self.variables.push(env(variable, folder.clone()));
        self.with_files(pod::secret_folder(name, secret), &folder)
    }

    /// An entry of a Secret as a file, and a variable that says where it is.
    #[must_use]
    pub fn with_entry(
        mut self,
        variable: &'static str,
        name: &str,
        EntryRef { name: secret, key }: &EntryRef,
    ) -> Self {
        let folder = format!("{SECRETS}/{name}");
        self.variables.push(env(variable, format!("{folder}/{key}")));
        let item = KeyToPath { key: key.clone(), path: key.clone(), mode: None };
        self.with_files(pod::secret_files(name, secret, vec![item]), &folder)
    }

    /// The same with others.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.variables.extend(others.variables);
        self.volumes.extend(others.volumes);
        self.mounts.extend(others.mounts);
        self
    }

    fn with_files(mut self, volume: Volume, folder: &str) -> Self {
        let mount = pod::mount(&volume.name, folder);
        self.mounts.push(VolumeMount { read_only: Some(true), ..mount });
        self.volumes.push(volume);
        self
    }
}
