//! Trust in the authority that signed the database's certificate.

use k8s_openapi::api::core::v1::{KeyToPath, PodSpec, VolumeMount};

use super::access::Authority;
use crate::agentfs::names::AUTHORITY;
use crate::kit::env::env;
use crate::kit::pod::{mount, secret_files};

/// A pod whose containers trust the database's authority, where the spec names one: they see its
/// certificates as a file, and the variable says where, to the driver and to libpq alike.
pub fn trusting(authority: Option<&Authority>, mut spec: PodSpec) -> PodSpec {
    let Some(authority) = authority else { return spec };
    let (folder, file) = AUTHORITY.rsplit_once('/').unwrap_or_default();
    for container in &mut spec.containers {
        let variables = container.env.get_or_insert_default();
        if !variables.iter().any(|variable| variable.name == "PGSSLROOTCERT") {
            variables.push(env("PGSSLROOTCERT", AUTHORITY));
        }
        let mounts = container.volume_mounts.get_or_insert_default();
        mounts.push(VolumeMount { read_only: Some(true), ..mount("authority", folder) });
    }
    spec.volumes.get_or_insert_default().push(secret_files(
        "authority",
        &authority.secret,
        vec![KeyToPath { key: authority.key.clone(), path: file.into(), mode: None }],
    ));
    spec
}
