//! The Job that brings the schema to what the server's image needs and makes the first API key valid.

use agentfs_contract::setting;
use agentfs_contract::termination::MigrationReport;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec, PodTemplateSpec};
use kube::ResourceExt as _;

use super::before::{Before, before};
use super::condition::SCHEMA_READY;
use super::plan as tries;
use super::plan::{ATTEMPT, MIGRATION, Next};
use crate::agentfs::database::access::Access;
use crate::agentfs::database::trust;
use crate::agentfs::observe::Observed;
use crate::agentfs::parts::admin_key::{AdminKey, KEY};
use crate::agentfs::plan::Plan;
use crate::crd::AgentFSBackup;
use crate::kit::desired::{Applied, Desired, Prepared, Stage};
use crate::kit::env::secret_env;
use crate::kit::labels::{COMPONENT as LABEL, Component};
use crate::kit::ownership::{Owner, Ownership, ownership};
use crate::kit::pods::{self, PodsOf};
use crate::kit::reads::{Reader, read};
use crate::kit::writer::{Error, Writer};
use crate::kit::{digest, jobs, pod};

/// The component of the migrations.
pub const COMPONENT: Component = Component::new("migration");
/// Its pods, in words for a condition.
pub const PODS: PodsOf =
    PodsOf { part: "the migration", resources: "spec.migration.resources or spec.api.resources" };
/// The container's name.
const CONTAINER: &str = "migrate";

/// The migrations' objects that are there.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The Jobs, without those that are being deleted.
    pub jobs: Vec<Job>,
    /// The backups that were made before upgrades.
    pub backups: Vec<AgentFSBackup>,
}

impl Seen {
    /// Reads them.
    pub async fn read(reader: Reader<'_>) -> Result<Self, kube::Error> {
        Ok(read!(Self { jobs: reader.labelled(), backups: reader.labelled() }))
    }

    /// The Jobs that have not ended.
    pub fn waiting(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(|job| {
            job.status.as_ref().is_none_or(|s| s.succeeded.is_none() && s.completion_time.is_none())
        })
    }

    /// Those of them that are ours.
    #[must_use]
    pub fn owned(self, owner: &Owner) -> Self {
        // One that somebody made with the labels of another part is theirs.
        let is_migration = |job: &Job| {
            job.labels().get(LABEL).is_none_or(|component| component == COMPONENT.as_str())
        };
        let is_ours = |job: &Job| is_migration(job) && ownership(job, owner) == Ownership::Owned;
        Self { jobs: self.jobs.into_iter().filter(is_ours).collect(), backups: self.backups }
    }
}

/// The images whose migrations say that their servers have a port for probes and metrics alone.
pub fn with_operations_port(observed: &Observed) -> impl Iterator<Item = String> {
    let pods = observed.pods_of(COMPONENT);
    observed.parts.migration.jobs.iter().filter_map(move |job| {
        let name = job.name_any();
        let of_job: Vec<_> =
            pods.iter().copied().filter(|pod| pods::is_of_job(pod, &name)).collect();
        let left = pods::left_by_the_newest_success(&of_job)?;
        let has_port = MigrationReport::read(&left)?.operations_port;
        let pod = job.spec.as_ref()?.template.spec.as_ref().filter(|_| has_port)?;
        pod.containers.first()?.image.clone()
    })
}

/// Why no backup of the database can be made, as the newest migration has found.
pub fn no_backups(observed: &Observed) -> Option<String> {
    let left = pods::left_by_the_newest_success(&observed.pods_of(COMPONENT))?;
    MigrationReport::read(&left)?.no_backups
}

/// The migrations' objects.
#[derive(Clone, Debug)]
pub struct Objects<S: Stage> {
    /// What is to be done about it.
    pub next: Next,
    /// The Job of the current try.
    pub job: S::Of<Job>,
    /// Jobs that are of no more use.
    pub obsolete: Vec<String>,
    /// The backup before the upgrade, where the migration is one and waits for that.
    pub backup: S::Of<AgentFSBackup>,
    /// The name of that, also where it is there already.
    current_backup: Option<String>,
    /// Backups before upgrades that failed and are of no more use.
    obsolete_backups: Vec<String>,
}

impl Objects<Prepared> {
    /// Makes them.
    pub fn build(plan: &Plan) -> Result<Self, serde_json::Error> {
        let facts = &plan.parts.migration;
        let (Some(access), Some(admin_key)) = (&plan.parts.database.access, &plan.parts.admin_key)
        else {
            return Ok(Self {
                next: Next::AwaitCredentials,
                job: Desired::Keep,
                obsolete: Vec::new(),
                backup: Desired::Keep,
                current_backup: None,
                obsolete_backups: Vec::new(),
            });
        };
        let template = template(plan, access);
        let hash = hash(access, &admin_key.key, &template)?;
        let next = tries::next(&facts.attempts, &hash, facts.database_ready, facts.now);
        let Before { next, backup, current, obsolete } = before(plan, &hash, next);
        let runs = matches!(next, Next::Run { .. });
        Ok(Self {
            job: Desired::apply_or_keep(
                next.attempt().map(|attempt| job(plan, template, &hash, attempt, runs)),
            ),
            obsolete: tries::obsolete(&facts.attempts, &hash, next),
            backup,
            current_backup: current,
            obsolete_backups: obsolete,
            next,
        })
    }

    /// Writes what differs from what was `seen`; `has_secrets` tells whether the Secrets of the database
    /// and of the first API key are there.
    pub async fn write(
        self,
        writer: &mut Writer<'_>,
        seen: &Seen,
        has_secrets: bool,
    ) -> Result<Objects<Applied>, Error> {
        let Self { next, job, obsolete, backup, current_backup, obsolete_backups } = self;
        let live = match &job {
            Desired::Apply(job) => seen.jobs.iter().find(|live| live.name_any() == job.name_any()),
            Desired::Keep | Desired::Delete => None,
        };
        let job = writer.child(SCHEMA_READY, job.only_if(has_secrets), live).await?;
        let live = seen.backups.iter().find(|live| Some(live.name_any()) == current_backup);
        let backup = writer.child(SCHEMA_READY, backup.only_if(has_secrets), live).await?;
        for name in &obsolete {
            writer.delete::<Job>(name, None).await?;
        }
        for name in &obsolete_backups {
            writer.delete::<AgentFSBackup>(name, None).await?;
        }
        Ok(Objects { next, job, obsolete, backup, current_backup, obsolete_backups })
    }
}

/// What a migration is made of: the pod that runs it, the key that it makes valid, and the database
/// that it runs on. When one of them changes, it runs again.
fn hash(
    access: &Access,
    admin_key: &AdminKey,
    template: &PodTemplateSpec,
) -> Result<String, serde_json::Error> {
    let template = serde_json::to_string(template)?;
    Ok(digest::hash([template.as_str(), admin_key.hash().as_str(), access.identity.as_str()]))
}

/// The Job of one try; `runs` tells whether it is not over.
fn job(plan: &Plan, template: PodTemplateSpec, hash: &str, attempt: u32, runs: bool) -> Job {
    let mut metadata = plan.owner.owned(plan.names.migration(hash, attempt), COMPONENT);
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(MIGRATION.into(), hash.to_owned());
    annotations.insert(ATTEMPT.into(), attempt.to_string());
    Job {
        metadata,
        spec: Some(JobSpec {
            backoff_limit: Some(4),
            suspend: Some(plan.suspended && runs),
            pod_failure_policy: Some(jobs::failure_policy(CONTAINER)),
            template,
            ..JobSpec::default()
        }),
        status: None,
    }
}

fn template(plan: &Plan, access: &Access) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: Some(pod::metadata(&plan.owner, &plan.parts.api.pods, COMPONENT, [])),
        spec: Some(trust::trusting(
            access.authority.as_ref(),
            PodSpec {
                restart_policy: Some("Never".into()),
                termination_grace_period_seconds: Some(30),
                containers: vec![container(plan, access)],
                volumes: Some(vec![pod::scratch("tmp", None)]),
                ..pod::spec(&plan.pod_account(), &plan.parts.api.pods, pod::SERVER_USER)
            },
        )),
    }
}

fn container(plan: &Plan, access: &Access) -> Container {
    let resources = plan.parts.migration.resources.as_ref();
    Container {
        name: CONTAINER.into(),
        image: Some(plan.images.server.clone()),
        image_pull_policy: Some("IfNotPresent".into()),
        args: Some(vec!["migrate".into()]),
        env: Some(environment(plan, access)),
        resources: Some(pod::resources(resources, ["100m", "128Mi", "512Mi"])),
        security_context: Some(pod::confined()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(vec![pod::mount("tmp", "/tmp")]),
        ..Container::default()
    }
}

fn environment(plan: &Plan, access: &Access) -> Vec<EnvVar> {
    let mut variables = vec![
        secret_env(setting::DATABASE_URL, &access.secret, &access.key),
        secret_env(setting::ADMIN_KEY, &plan.names.admin_key(), KEY),
    ];
    variables.extend(plan.parts.api.migration_environment.iter().cloned());
    variables
}
