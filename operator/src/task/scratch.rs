//! The volumes of a Job's pods: the one that a backup is restored into for a look, and those that others use.

use agentfs_contract::termination::Report;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PodSpec, Volume};

use super::{Task, reasons};
use crate::crd::fields::Quantity;
use crate::kit::conditions::Failure;
use crate::kit::reasons::{POD_NOT_STARTED, UNSCHEDULABLE};
use crate::kit::scratch;

/// What Kubernetes says of a volume that another pod has, which may have one at a time.
const IN_USE: [&str; 3] = ["Multi-Attach", "ReadWriteOncePod", "already in-use"];

fn ephemeral(spec: Option<&PodSpec>) -> impl Iterator<Item = &Volume> {
    let volumes = spec.and_then(|spec| spec.volumes.as_ref());
    volumes.into_iter().flatten().filter(|volume| volume.ephemeral.is_some())
}

/// A failure to start a pod, told as a volume in use where it is one.
pub fn or_in_use(failure: Failure) -> Failure {
    let of_node = [POD_NOT_STARTED, UNSCHEDULABLE].contains(&failure.reason);
    if !of_node || !IN_USE.iter().any(|words| failure.what.contains(words)) {
        return failure;
    }
    Failure::new(
        reasons::VOLUME_IN_USE,
        failure.what,
        "It goes on by itself when the pod that has the volume ends. Backups in a store that speaks S3 \
         (spec.backup.destination), or in a volume that many pods may use (ReadWriteMany), need not wait.",
    )
}

/// That the volume which a backup is restored into is full, where the pod of the `job` of `task` `left` that.
pub fn too_small<T: Task>(task: &T, left: &str, job: Option<&Job>) -> Option<Failure> {
    let spec = job.and_then(|job| job.spec.as_ref()?.template.spec.as_ref());
    let volume = ephemeral(spec).next()?;
    let report = Report::read(left).map(|report| report.message);
    let words = report.as_deref().unwrap_or(left);
    let claim = &volume.ephemeral.as_ref()?.volume_claim_template.as_ref()?.spec;
    let size = claim.resources.as_ref()?.requests.as_ref()?.get("storage")?;
    let wanted = scratch::to_set(words, &Quantity::new(&*size.0))?;
    Some(Failure::new(
        reasons::SCRATCH_TOO_SMALL,
        format!("The volume of {} that the backup is restored into is full", size.0),
        format!(
            "Set {} of the AgentFS to {} or more, {}.",
            scratch::FIELD,
            wanted.as_str(),
            task.afterwards()
        ),
    ))
}
