//! The CronJobs: one that makes backups, one that tries the newest, and one that drills. They have one frame, and differ in what they
//! run, when, and with how much room.

use std::iter;

use agentfs_contract::setting;
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec, ResourceRequirements};
use kube::ResourceExt as _;

use super::attachments::Attachments;
use super::plan::BackupPlan;
use super::scheduled;
use crate::agentfs::database::access::Access;
use crate::agentfs::database::trust;
use crate::agentfs::database::url::TlsMode;
use crate::agentfs::names::{PUBLIC_AUTHORITIES, REQUESTS};
use crate::agentfs::plan::Plan;
use crate::crd::agentfs::{Keep, Level};
use crate::kit::env::{env, secret_env};
use crate::kit::jobs;
use crate::kit::labels::Component;
use crate::kit::pod::{self, PodAccount};

/// The component of backups.
pub const BACKUP: Component = Component::new("backup");
/// The component of what tries the newest backup.
pub const VERIFY: Component = Component::new("verify");
/// The component of drills.
pub const DRILL: Component = Component::new("drill");

/// The components of all.
pub const COMPONENTS: [Component; 3] = [BACKUP, VERIFY, DRILL];

/// How late a run may begin. Of several that were missed Kubernetes makes up for the newest alone, as long as it is no older than
/// this: a week, so that whoever mends a cluster has a backup at once, however rare the schedule.
const MAY_BE_LATE_SECONDS: i64 = 7 * 24 * 3600;
/// How long a backup may take before it is ended.
const LONGEST_BACKUP_SECONDS: i64 = 6 * 3600;
/// How long a restore to try a backup may take before it is ended.
const LONGEST_TRIAL_SECONDS: i64 = 12 * 3600;
/// The folder of temporary files, among which a restored database is.
const TEMPORARY: &str = "/tmp";

/// What one of them is besides the frame.
struct Run<'a> {
    component: Component,
    schedule: &'a str,
    arguments: Vec<String>,
    /// What its pods are given besides what those of all are.
    attachments: Attachments,
    resources: ResourceRequirements,
    longest_seconds: i64,
}

/// What makes backups, as far as what it needs can be had.
pub fn backup(plan: &Plan, backup: &BackupPlan, access: &Access) -> Option<CronJob> {
    let spec = &backup.spec;
    let Keep { daily, weekly, monthly } = spec.keep;
    let mut arguments = vec![
        "backup".to_owned(),
        format!("--retention-days={}", spec.retention_days),
        format!("--keep-last={}", spec.keep_last),
    ];
    let kept = [("daily", daily), ("weekly", weekly), ("monthly", monthly)];
    let kept = kept.into_iter().filter(|(_, count)| *count > 0);
    arguments.extend(kept.map(|(of, count)| format!("--keep-{of}={count}")));
    let run = Run {
        component: BACKUP,
        schedule: &spec.schedule,
        arguments,
        attachments: Attachments::default().with_volume(pod::scratch("tmp", None), TEMPORARY),
        resources: pod::resources(spec.resources.as_ref(), ["100m", "128Mi", "512Mi"]),
        longest_seconds: LONGEST_BACKUP_SECONDS,
    };
    cronjob(plan, backup, access, run)
}

/// What tries the newest backup.
pub fn verify(plan: &Plan, backup: &BackupPlan, access: &Access) -> Option<CronJob> {
    let verify = &backup.spec.verify;
    let level = match verify.level {
        Level::Archive => "archive",
        Level::Restore => "restore",
    };
    let run = Run {
        arguments: vec!["verify".to_owned(), format!("--level={level}")],
        ..trial(backup, VERIFY, &verify.schedule)
    };
    cronjob(plan, backup, access, run)
}

/// What carries out drills.
pub fn drill(plan: &Plan, backup: &BackupPlan, access: &Access) -> Option<CronJob> {
    let spec = &backup.spec;
    let trial = trial(backup, DRILL, &spec.drill.schedule);
    let objectives = spec.objectives.iter().flat_map(|of| [("rpo", &of.rpo), ("rto", &of.rto)]);
    let objectives = objectives.filter_map(|(of, time)| Some(format!("--{of}={}", time.as_ref()?)));
    let url = plan.names.api_url(&plan.owner.namespace);
    let run = Run {
        arguments: iter::once("drill".to_owned()).chain(objectives).collect(),
        attachments: trial.attachments.and(Attachments::variables([(setting::AGENTFS_URL, url)])),
        ..trial
    };
    cronjob(plan, backup, access, run)
}

/// A run that restores a backup into a PostgreSQL of its own.
fn trial<'a>(backup: &BackupPlan, component: Component, schedule: &'a str) -> Run<'a> {
    let wanted = backup.spec.verify.resources.as_ref();
    Run {
        component,
        schedule,
        arguments: Vec::new(),
        attachments: Attachments::default().with_volume(backup.scratch.volume("tmp"), TEMPORARY),
        resources: pod::resources(wanted, ["100m", "256Mi", "1Gi"]),
        longest_seconds: LONGEST_TRIAL_SECONDS,
    }
}

/// The CronJob of a run, where what its pods need can be had.
fn cronjob(plan: &Plan, backup: &BackupPlan, access: &Access, run: Run<'_>) -> Option<CronJob> {
    let records = Attachments::variables([(setting::RECORDS_OF, plan.owner.name.clone())]);
    let shared = of_database(access).and(backup.attachments.clone()?).and(records);
    let component = run.component;
    let name = plan.names.of(component);
    let former = backup.former.iter().find(|cronjob| cronjob.name_any() == name);
    let mut cronjob = CronJob {
        metadata: plan.owner.owned(name, component),
        spec: Some(CronJobSpec {
            schedule: run.schedule.to_owned(),
            time_zone: Some(backup.spec.time_zone.clone()),
            suspend: Some(plan.suspended || backup.spec.suspend),
            concurrency_policy: Some("Forbid".into()),
            starting_deadline_seconds: Some(MAY_BE_LATE_SECONDS),
            successful_jobs_history_limit: Some(2),
            failed_jobs_history_limit: Some(2),
            job_template: JobTemplateSpec {
                metadata: None,
                spec: Some(JobSpec {
                    active_deadline_seconds: Some(run.longest_seconds),
                    backoff_limit: Some(jobs::TRIES),
                    pod_failure_policy: Some(jobs::failure_policy(component.as_str())),
                    template: template(plan, backup, access, run, shared),
                    ..JobSpec::default()
                }),
            },
        }),
        status: None,
    };
    scheduled::note(&mut cronjob, former, plan.parts.migration.now);
    // What carries a request out once, and a port of probes and metrics alone, came with one release.
    if plan.has_operations_port(&plan.images.server) {
        cronjob.annotations_mut().insert(REQUESTS.into(), "true".into());
    }
    Some(cronjob)
}

fn template(
    plan: &Plan,
    backup: &BackupPlan,
    access: &Access,
    run: Run<'_>,
    shared: Attachments,
) -> PodTemplateSpec {
    let Run { component, arguments, attachments, resources, .. } = run;
    let Attachments { variables, volumes, mounts } = shared.and(attachments);
    let container = Container {
        name: component.as_str().to_owned(),
        image: Some(plan.images.server.clone()),
        image_pull_policy: Some("IfNotPresent".into()),
        args: Some(arguments),
        env: Some(variables),
        resources: Some(resources),
        security_context: Some(pod::confined()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    let service_account = plan.names.recovery_account();
    let account = PodAccount { service_account, ..plan.pod_account() };
    let spec = PodSpec {
        restart_policy: Some("Never".into()),
        termination_grace_period_seconds: Some(30),
        containers: vec![container],
        volumes: Some(volumes),
        // By the token it records what it did.
        automount_service_account_token: Some(true),
        ..pod::spec(&account, &backup.pods, pod::SERVER_USER)
    };
    PodTemplateSpec {
        metadata: Some(pod::metadata(&plan.owner, &backup.pods, component, [])),
        spec: Some(trust::trusting(access.authority.as_ref(), spec)),
    }
}

/// The way to the database: PostgreSQL itself, since a dump is one long transaction, and a pool has no connection to spare for that.
fn of_database(access: &Access) -> Attachments {
    let url = secret_env(setting::DATABASE_URL, &access.secret, &access.key);
    // PostgreSQL's own programs know no public authorities by themselves.
    let verifies = matches!(access.url.tls, TlsMode::VerifyCa | TlsMode::VerifyFull);
    let known =
        (verifies && access.authority.is_none()).then(|| env("PGSSLROOTCERT", PUBLIC_AUTHORITIES));
    let variables = iter::once(url).chain(known).collect();
    Attachments { variables, ..Attachments::default() }
}
