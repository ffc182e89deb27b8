//! The CronJob that makes backups. It connects to PostgreSQL itself: a dump is one long transaction, and
//! a pool has none of its connections to spare for that.

use super::trust;
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, PersistentVolumeClaimVolumeSource, PodSpec, PodTemplateSpec, Volume,
};

use crate::agentfs::database_url::TlsMode;
use crate::agentfs::names::{self, PUBLIC_AUTHORITIES};
use crate::agentfs::plan::{Access, BackupPlan, BackupVolume, Plan};
use crate::kit::env::{env, secret_env};
use crate::kit::{jobs, pod};

/// The container's name.
const CONTAINER: &str = "backup";
/// Where the backups are seen in the pod.
const FOLDER: &str = "/backups";
/// How late a backup may begin; one that was missed for longer waits for the next time.
const MAY_BE_LATE_SECONDS: i64 = 3600;
/// How long a backup may take before it is ended.
const LONGEST_SECONDS: i64 = 6 * 3600;

pub(super) fn build(plan: &Plan, backup: &BackupPlan, access: &Access) -> CronJob {
    let spec = &backup.spec;
    CronJob {
        metadata: plan.owner.owned(plan.names.backup(), names::BACKUP),
        spec: Some(CronJobSpec {
            schedule: spec.schedule.clone(),
            time_zone: Some(spec.time_zone.clone()),
            suspend: Some(plan.suspended || spec.suspend),
            concurrency_policy: Some("Forbid".into()),
            starting_deadline_seconds: Some(MAY_BE_LATE_SECONDS),
            successful_jobs_history_limit: Some(2),
            failed_jobs_history_limit: Some(2),
            job_template: JobTemplateSpec {
                metadata: None,
                spec: Some(JobSpec {
                    active_deadline_seconds: Some(LONGEST_SECONDS),
                    backoff_limit: Some(2),
                    pod_failure_policy: Some(jobs::failure_policy(CONTAINER)),
                    template: template(plan, backup, access),
                    ..JobSpec::default()
                }),
            },
        }),
        status: None,
    }
}

fn template(plan: &Plan, backup: &BackupPlan, access: &Access) -> PodTemplateSpec {
    let spec = PodSpec {
        restart_policy: Some("Never".into()),
        termination_grace_period_seconds: Some(30),
        containers: vec![container(plan, backup, access)],
        volumes: Some(vec![backups(plan, backup), pod::scratch("tmp", None)]),
        ..pod::spec(&plan.pod_account(), &backup.pods, pod::SERVER_USER)
    };
    PodTemplateSpec {
        metadata: Some(pod::metadata(&plan.owner, &backup.pods, names::BACKUP, [])),
        spec: Some(trust::trusting(access.authority.as_ref(), spec)),
    }
}

fn backups(plan: &Plan, backup: &BackupPlan) -> Volume {
    let claim_name = match &backup.volume {
        BackupVolume::Own(_) => plan.names.backups(),
        BackupVolume::Existing(claim) => claim.clone(),
    };
    Volume {
        name: "backups".into(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name,
            read_only: None,
        }),
        ..Volume::default()
    }
}

fn container(plan: &Plan, backup: &BackupPlan, access: &Access) -> Container {
    let spec = &backup.spec;
    let arguments = [
        "backup".to_owned(),
        format!("--dir={FOLDER}"),
        format!("--retention-days={}", spec.retention_days),
        format!("--keep-last={}", spec.keep_last),
    ];
    Container {
        name: CONTAINER.into(),
        image: Some(plan.images.server.clone()),
        image_pull_policy: Some("IfNotPresent".into()),
        args: Some(arguments.to_vec()),
        env: Some(environment(access)),
        resources: Some(pod::resources(spec.resources.as_ref(), ["100m", "128Mi", "512Mi"])),
        security_context: Some(pod::confined()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(vec![pod::mount("backups", FOLDER), pod::mount("tmp", "/tmp")]),
        ..Container::default()
    }
}

fn environment(access: &Access) -> Vec<EnvVar> {
    let url = secret_env("DATABASE_URL", &access.secret, &access.key);
    // PostgreSQL's own programs know no public authorities by themselves.
    let verifies = matches!(access.url.tls, TlsMode::VerifyCa | TlsMode::VerifyFull);
    if verifies && access.authority.is_none() {
        return vec![url, env("PGSSLROOTCERT", PUBLIC_AUTHORITIES)];
    }
    vec![url]
}
