//! What all pods and Services of an AgentFS have in common. The pods pass the Pod Security Standard
//! `restricted`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, PodSecurityContext,
    PodSpec, ResourceRequirements, SeccompProfile, SecretKeySelector, SecurityContext, ServicePort,
    ServiceSpec, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::agentfs::names::{Component, SECRET_HASH};
use crate::agentfs::plan::Plan;
use crate::crd::Resources;

/// The user of the AgentFS server's image.
pub(super) const SERVER_USER: i64 = 65532;

/// A pod's spec with all that does not depend on what runs in it.
pub(super) fn spec(user: i64) -> PodSpec {
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(user),
            run_as_group: Some(user),
            fs_group: Some(user),
            fs_group_change_policy: Some("OnRootMismatch".into()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".into(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    }
}

/// What a container may do: nothing but run.
pub(super) fn confined() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
        ..SecurityContext::default()
    }
}

/// Labels of a pod, and the hash of the Secret keys it uses: it is replaced when they change.
pub(super) fn metadata(plan: &Plan, component: Component, secret_hash: String) -> ObjectMeta {
    ObjectMeta {
        labels: Some(plan.names.labels(component)),
        annotations: Some(BTreeMap::from([(SECRET_HASH.to_owned(), secret_hash)])),
        ..ObjectMeta::default()
    }
}

/// CPU and memory: those of the spec, or else the given request of CPU, request and limit of memory.
/// CPU has no limit by default: a limit makes slow what could be fast, and protects nobody that a
/// request does not protect.
pub(super) fn resources(
    wanted: Option<&Resources>,
    [cpu, memory, limit]: [&str; 3],
) -> ResourceRequirements {
    let amounts = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), Quantity((*v).to_owned()))).collect()
    };
    let Some(wanted) = wanted else {
        return ResourceRequirements {
            requests: Some(amounts(&[("cpu", cpu), ("memory", memory)])),
            limits: Some(amounts(&[("memory", limit)])),
            claims: None,
        };
    };
    let written = |amounts: &BTreeMap<String, crate::crd::Quantity>| {
        let amounts = amounts.iter().map(|(k, v)| (k.clone(), Quantity(v.as_str().to_owned())));
        Some(amounts.collect::<BTreeMap<_, _>>()).filter(|amounts| !amounts.is_empty())
    };
    ResourceRequirements {
        requests: written(&wanted.requests),
        limits: written(&wanted.limits),
        claims: None,
    }
}

/// An environment variable with the value of a Secret's key.
pub(super) fn secret_env(variable: &str, secret: &str, key: &str) -> EnvVar {
    EnvVar {
        name: variable.into(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.into(),
                key: key.into(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// An environment variable with a plain value.
pub(super) fn env(variable: &str, value: impl Into<String>) -> EnvVar {
    EnvVar { name: variable.into(), value: Some(value.into()), value_from: None }
}

/// A port of a container.
pub(super) fn port(name: &str, number: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.into()),
        container_port: number.into(),
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    }
}

/// A volume that lives as long as its pod; in memory where a limit is given.
pub(super) fn scratch(name: &str, memory: Option<&str>) -> Volume {
    Volume {
        name: name.into(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: memory.map(|_| "Memory".into()),
            size_limit: memory.map(|limit| Quantity(limit.into())),
        }),
        ..Volume::default()
    }
}

/// Where a volume is seen in a container.
pub(super) fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.into(), mount_path: path.into(), ..VolumeMount::default() }
}

/// A Service with one port before the pods of `component`.
pub(super) fn service(plan: &Plan, component: Component, name: &str, number: u16) -> ServiceSpec {
    ServiceSpec {
        type_: Some("ClusterIP".into()),
        selector: Some(plan.names.selector(component)),
        ports: Some(vec![ServicePort {
            name: Some(name.into()),
            port: number.into(),
            target_port: Some(IntOrString::String(name.into())),
            protocol: Some("TCP".into()),
            ..ServicePort::default()
        }]),
        ..ServiceSpec::default()
    }
}
