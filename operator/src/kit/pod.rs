//! What all pods and Services have in common, whatever kind they belong to. The pods pass the Pod
//! Security Standard `restricted`.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ContainerPort, EmptyDirVolumeSource, KeyToPath, Lifecycle,
    LifecycleHandler, LocalObjectReference, PodSecurityContext, PodSpec, ResourceRequirements,
    SeccompProfile, SecretVolumeSource, SecurityContext, ServicePort, ServiceSpec, SleepAction,
    TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::labels::Component;
use super::ownership::Owner;
use super::validation::Invalid;
use crate::crd::fields::{Affinity as AffinityField, ImagePullSecret, PodSettings, Resources};

/// The user of the AgentFS server's image.
pub const SERVER_USER: i64 = 65532;

/// How long a pod that leaves goes on serving, until every node knows that it leaves.
pub const LEAVE_SLOWLY_SECONDS: i64 = 5;

/// A pod that leaves goes on serving for a while. Kubernetes 1.30 and later can sleep by itself, so
/// the image needs no program for it.
pub fn leave_slowly() -> Lifecycle {
    Lifecycle {
        pre_stop: Some(LifecycleHandler {
            sleep: Some(SleepAction { seconds: LEAVE_SLOWLY_SECONDS }),
            ..LifecycleHandler::default()
        }),
        ..Lifecycle::default()
    }
}

/// Pods are replaced so that there are never too few: `surge` new ones come before old ones go.
pub fn one_more_then_one_less(surge: IntOrString) -> DeploymentStrategy {
    DeploymentStrategy {
        type_: Some("RollingUpdate".into()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(surge),
            max_unavailable: Some(IntOrString::Int(0)),
        }),
    }
}

/// Where pods run, and what they carry.
#[derive(Clone, Debug)]
pub struct PodPlan {
    /// What the spec says.
    pub settings: PodSettings,
    /// Its affinity, understood.
    pub affinity: Option<Affinity>,
}

impl PodPlan {
    /// What `settings` say; `field` is that of their affinity, the one of them that may be wrong.
    pub fn of(field: &'static str, settings: &PodSettings) -> Result<Self, Invalid> {
        let affinity = settings.affinity.as_ref().map(AffinityField::parsed).transpose();
        let affinity = affinity.map_err(|problem| Invalid {
            field,
            problem: format!("{problem}; kubectl explain pod.spec.affinity lists its fields"),
        })?;
        Ok(Self { settings: settings.clone(), affinity })
    }
}

/// As whom the pods of one resource run, and how their images are pulled.
#[derive(Clone, Debug)]
pub struct PodAccount {
    /// The ServiceAccount of all of them.
    pub service_account: String,
    /// The Secrets by which the images are pulled.
    pub image_pull_secrets: Vec<ImagePullSecret>,
}

/// A pod's spec with all that does not depend on what runs in it.
pub fn spec(account: &PodAccount, pods: &PodPlan, user: i64) -> PodSpec {
    let settings = &pods.settings;
    let pull_secret = |secret: &ImagePullSecret| LocalObjectReference { name: secret.name.clone() };
    PodSpec {
        service_account_name: Some(account.service_account.clone()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        image_pull_secrets: filled(account.image_pull_secrets.iter().map(pull_secret).collect()),
        node_selector: Some(settings.node_selector.clone()).filter(|labels| !labels.is_empty()),
        tolerations: filled(settings.tolerations.clone()),
        affinity: pods.affinity.clone(),
        priority_class_name: settings.priority_class_name.clone(),
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

/// How the pods of `component` are spread: as the spec says, or else over nodes and zones where that
/// can be done.
pub fn spread(
    owner: &Owner,
    pods: &PodPlan,
    component: Component,
) -> Vec<TopologySpreadConstraint> {
    let label_selector = Some(selector(owner, component));
    let by_default = |topology_key: &str| TopologySpreadConstraint {
        max_skew: 1,
        topology_key: topology_key.into(),
        when_unsatisfiable: "ScheduleAnyway".into(),
        ..TopologySpreadConstraint::default()
    };
    let constraints = match &pods.settings.topology_spread_constraints[..] {
        [] => ["kubernetes.io/hostname", "topology.kubernetes.io/zone"].map(by_default).to_vec(),
        wanted => wanted.to_vec(),
    };
    let ours = |constraint| TopologySpreadConstraint {
        label_selector: label_selector.clone(),
        ..constraint
    };
    constraints.into_iter().map(ours).collect()
}

/// What finds the pods of `component`.
pub fn selector(owner: &Owner, component: Component) -> LabelSelector {
    LabelSelector { match_labels: Some(owner.selector(component)), match_expressions: None }
}

fn filled<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

/// What a container may do: nothing but run.
pub fn confined() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
        ..SecurityContext::default()
    }
}

/// Labels and annotations of a pod: those of the spec, and `annotations` and our labels before them.
pub fn metadata<const N: usize>(
    owner: &Owner,
    pods: &PodPlan,
    component: Component,
    annotations: [(&str, String); N],
) -> ObjectMeta {
    let mut labels = pods.settings.pod_labels.clone();
    labels.extend(owner.labels(component));
    let mut all = pods.settings.pod_annotations.clone();
    all.extend(annotations.map(|(key, value)| (key.to_owned(), value)));
    ObjectMeta {
        labels: Some(labels),
        annotations: Some(all).filter(|all| !all.is_empty()),
        ..ObjectMeta::default()
    }
}

/// CPU and memory: those of the spec, or else the given request of CPU, request and limit of memory.
/// CPU has no limit by default: a limit makes slow what could be fast, and protects nobody that a
/// request does not protect.
pub fn resources(
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
    let written = |amounts: &BTreeMap<String, crate::crd::fields::Quantity>| {
        let amounts = amounts.iter().map(|(k, v)| (k.clone(), Quantity(v.as_str().to_owned())));
        Some(amounts.collect::<BTreeMap<_, _>>()).filter(|amounts| !amounts.is_empty())
    };
    ResourceRequirements {
        requests: written(&wanted.requests),
        limits: written(&wanted.limits),
        claims: None,
    }
}

/// A port of a container.
pub fn port(name: &str, number: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.into()),
        container_port: number.into(),
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    }
}

/// A volume that lives as long as its pod; in memory where a limit is given.
pub fn scratch(name: &str, memory: Option<&str>) -> Volume {
    Volume {
        name: name.into(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: memory.map(|_| "Memory".into()),
            size_limit: memory.map(|limit| Quantity(limit.into())),
        }),
        ..Volume::default()
    }
}

/// Entries of a Secret as files that only the pod's user reads.
pub fn secret_files(name: &str, secret: &str, items: Vec<KeyToPath>) -> Volume {
    secret_volume(name, secret, Some(items))
}

/// All entries of a Secret as such files.
pub fn secret_folder(name: &str, secret: &str) -> Volume {
    secret_volume(name, secret, None)
}

fn secret_volume(name: &str, secret: &str, items: Option<Vec<KeyToPath>>) -> Volume {
    Volume {
        name: name.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.into()),
            default_mode: Some(0o440),
            items,
            optional: None,
        }),
        ..Volume::default()
    }
}

/// Where a volume is seen in a container.
pub fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.into(), mount_path: path.into(), ..VolumeMount::default() }
}

/// A Service with one port before the pods of `component`.
pub fn service(owner: &Owner, component: Component, name: &str, number: u16) -> ServiceSpec {
    ServiceSpec {
        type_: Some("ClusterIP".into()),
        selector: Some(owner.selector(component)),
        ports: Some(vec![service_port(name, number)]),
        ..ServiceSpec::default()
    }
}

/// A port of a Service that leads to the port of that name of its pods.
pub fn service_port(name: &str, number: u16) -> ServicePort {
    ServicePort {
        name: Some(name.into()),
        port: number.into(),
        target_port: Some(IntOrString::String(name.into())),
        protocol: Some("TCP".into()),
        ..ServicePort::default()
    }
}
