//! The objects of the backups: the CronJob that makes them, and the claim of their volume. It connects to
//! PostgreSQL itself: a dump is one long transaction, and a pool has none of its connections to spare
//! for that.

use agentfs_contract::setting;
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, PodSpec,
    PodTemplateSpec, Volume,
};
use kube::ResourceExt as _;

use super::condition::BACKUPS_SCHEDULED;
use super::plan::{BackupPlan, BackupVolume, LAST_BACKUP};
use crate::agentfs::database::access::Access;
use crate::agentfs::database::trust;
use crate::agentfs::database::url::TlsMode;
use crate::agentfs::names::{Names, PUBLIC_AUTHORITIES};
use crate::agentfs::parts::migration::plan::Next;
use crate::agentfs::plan::Plan;
use crate::kit::blockers::OwnershipFilter;
use crate::kit::desired::{Applied, Desired, Prepared, Stage};
use crate::kit::env::{env, secret_env};
use crate::kit::labels::Component;
use crate::kit::pods::PodsOf;
use crate::kit::reads::{Reader, read};
use crate::kit::writer::{Error, Writer};
use crate::kit::{jobs, pod, volumes};

/// The component of the backups.
pub const COMPONENT: Component = Component::new("backup");
/// Its pods, in words for a condition.
pub const PODS: PodsOf = PodsOf { part: "the backup", resources: "spec.backup.resources" };
/// The container's name.
const CONTAINER: &str = "backup";
/// Where the backups are seen in the pod.
const FOLDER: &str = "/backups";
/// How late a backup may begin; one that was missed for longer waits for the next time.
const MAY_BE_LATE_SECONDS: i64 = 3600;
/// How long a backup may take before it is ended.
const LONGEST_SECONDS: i64 = 6 * 3600;

/// The backups' objects that are there.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The claim of the volume that holds them.
    pub volume: Option<PersistentVolumeClaim>,
    /// The same, where it is being deleted.
    pub leaving: Option<Box<PersistentVolumeClaim>>,
    /// What makes them.
    pub cronjob: Option<CronJob>,
}

impl Seen {
    /// Reads them.
    pub async fn read(reader: Reader<'_>, names: &Names) -> Result<Self, kube::Error> {
        Ok(read!(Self {
            volume: reader.get(names.backups()),
            cronjob: reader.get(names.backup()),
            leaving: std::future::ready(Ok(None)),
        }))
    }

    /// Those of them that are ours.
    #[must_use]
    pub fn owned(self, filter: &mut OwnershipFilter<'_>) -> Self {
        let (volume, leaving) = filter.owned_or_leaving(BACKUPS_SCHEDULED, self.volume);
        let leaving = leaving.map(Box::new);
        Self { volume, leaving, cronjob: filter.owned(BACKUPS_SCHEDULED, self.cronjob) }
    }
}

/// The backups' objects.
#[derive(Clone, Debug)]
pub struct Objects<S: Stage> {
    /// The claim of the volume that holds them.
    pub volume: S::Of<PersistentVolumeClaim>,
    /// What makes them.
    pub cronjob: S::Of<CronJob>,
}

impl Objects<Prepared> {
    /// Makes them. Their volume is never removed. While another database is being made ready, that
    /// which is in use is backed up as before.
    pub fn build(plan: &Plan, next: Next) -> Self {
        let claim = |volume| {
            let mut claim = volumes::claim(plan.kept(plan.names.backups(), COMPONENT), volume);
            if let Some(last) = plan.parts.backup.last {
                claim.annotations_mut().insert(LAST_BACKUP.into(), last.to_string());
            }
            claim
        };
        let former = || Desired::apply_or_keep(plan.parts.backup.kept.as_ref().map(claim));
        let Some(backup) = plan.parts.backup.wanted.enabled() else {
            return Self { volume: former(), cronjob: Desired::Delete };
        };
        let access = plan.access_once_migrated(next);
        Self {
            volume: match &backup.volume {
                BackupVolume::Own(volume) => Desired::Apply(claim(volume)),
                BackupVolume::Existing(_) => former(),
            },
            cronjob: Desired::apply_or_keep(access.map(|access| cronjob(plan, backup, access))),
        }
    }

    /// Writes what differs from what was `seen`; `has_credentials` tells whether the Secrets of the
    /// database are there.
    pub async fn write(
        self,
        writer: &mut Writer<'_>,
        seen: &Seen,
        has_credentials: bool,
    ) -> Result<Objects<Applied>, Error> {
        let Self { volume, cronjob } = self;
        let needs_volume = volume.is_apply();
        let volume = writer.child(BACKUPS_SCHEDULED, volume, seen.volume.as_ref()).await?;
        // Without a volume of ours its pods would wait, or write into what is somebody else's.
        let cronjob = cronjob.only_if(has_credentials && (!needs_volume || volume.is_some()));
        let cronjob = writer.child(BACKUPS_SCHEDULED, cronjob, seen.cronjob.as_ref()).await?;
        Ok(Objects { volume, cronjob })
    }
}

fn cronjob(plan: &Plan, backup: &BackupPlan, access: &Access) -> CronJob {
    let spec = &backup.spec;
    CronJob {
        metadata: plan.owner.owned(plan.names.backup(), COMPONENT),
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
        metadata: Some(pod::metadata(&plan.owner, &backup.pods, COMPONENT, [])),
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
    let url = secret_env(setting::DATABASE_URL, &access.secret, &access.key);
    // PostgreSQL's own programs know no public authorities by themselves.
    let verifies = matches!(access.url.tls, TlsMode::VerifyCa | TlsMode::VerifyFull);
    if verifies && access.authority.is_none() {
        return vec![url, env("PGSSLROOTCERT", PUBLIC_AUTHORITIES)];
    }
    vec![url]
}
