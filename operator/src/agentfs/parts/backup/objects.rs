//! The objects of the backups: the CronJobs that make and try them, the account of their pods, and the claim of their volume.

use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt as _;

use super::condition::BACKUPS_SCHEDULED;
use super::destination::Destination;
use super::plan::{BackupPlan, LAST_BACKUP};
use super::runs::COMPONENTS;
use super::{account, runs};
use crate::agentfs::database::access::Access;
use crate::agentfs::names::Names;
use crate::agentfs::parts::migration::plan::Next;
use crate::agentfs::plan::Plan;
use crate::kit::blockers::OwnershipFilter;
use crate::kit::desired::{Applied, Desired, Prepared, Stage};
use crate::kit::labels::Component;
use crate::kit::pods::PodsOf;
use crate::kit::reads::{Reader, read};
use crate::kit::volumes;
use crate::kit::writer::{Error, Writer};

pub use super::runs::BACKUP as COMPONENT;
/// The pods of backups, in words for a condition.
pub const PODS: PodsOf = PodsOf { part: "the backup", resources: "spec.backup.resources" };

/// The backups' objects that are there.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The claim of the volume that holds them.
    pub volume: Option<PersistentVolumeClaim>,
    /// The same, where it is being deleted.
    pub leaving: Option<Box<PersistentVolumeClaim>>,
    /// What makes them.
    pub cronjob: Option<CronJob>,
    /// What tries the newest.
    pub verify: Option<CronJob>,
    /// What carries out drills.
    pub drill: Option<CronJob>,
    /// The account of their pods.
    pub account: Option<ServiceAccount>,
    /// What that account may do.
    pub role: Option<Role>,
    /// What says so.
    pub binding: Option<RoleBinding>,
}

impl Seen {
    /// Reads them.
    pub async fn read(reader: Reader<'_>, names: &Names) -> Result<Self, kube::Error> {
        Ok(read!(Self {
            volume: reader.get(names.backups()),
            cronjob: reader.get(names.backup()),
            verify: reader.get(names.verify()),
            drill: reader.get(names.drill()),
            account: reader.get(names.recovery_account()),
            role: reader.get(names.recovery_account()),
            binding: reader.get(names.recovery_account()),
            leaving: std::future::ready(Ok(None)),
        }))
    }

    /// Those of them that are ours.
    #[must_use]
    pub fn owned(self, filter: &mut OwnershipFilter<'_>) -> Self {
        let (volume, leaving) = filter.owned_or_leaving(BACKUPS_SCHEDULED, self.volume);
        Self {
            volume,
            leaving: leaving.map(Box::new),
            cronjob: filter.owned(BACKUPS_SCHEDULED, self.cronjob),
            verify: filter.owned(BACKUPS_SCHEDULED, self.verify),
            drill: filter.owned(BACKUPS_SCHEDULED, self.drill),
            account: filter.owned(BACKUPS_SCHEDULED, self.account),
            role: filter.owned(BACKUPS_SCHEDULED, self.role),
            binding: filter.owned(BACKUPS_SCHEDULED, self.binding),
        }
    }

    /// The CronJobs, with the components of their pods.
    pub fn cronjobs(&self) -> impl Iterator<Item = (Component, &CronJob)> {
        let cronjobs = [&self.cronjob, &self.verify, &self.drill];
        let of = COMPONENTS.into_iter().zip(cronjobs);
        of.filter_map(|(component, cronjob)| Some((component, cronjob.as_ref()?)))
    }
}

/// The backups' objects.
#[derive(Clone, Debug)]
pub struct Objects<S: Stage> {
    /// The claim of the volume that holds them.
    pub volume: S::Of<PersistentVolumeClaim>,
    /// The account of their pods.
    pub account: S::Of<ServiceAccount>,
    /// What that account may do.
    pub role: S::Of<Role>,
    /// What says so.
    pub binding: S::Of<RoleBinding>,
    /// What makes them.
    pub cronjob: S::Of<CronJob>,
    /// What tries the newest.
    pub verify: S::Of<CronJob>,
    /// What carries out drills.
    pub drill: S::Of<CronJob>,
}

impl Objects<Prepared> {
    /// Makes them. Their volume is never removed. While another database is being made ready, that
    /// which is in use is backed up as before.
    pub fn build(plan: &Plan, next: Next) -> Self {
        let backups = &plan.parts.backup;
        let claim = |volume| {
            let metadata = plan.kept(backups.deletion_policy, plan.names.backups(), COMPONENT);
            let mut claim = volumes::claim(metadata, volume);
            if let Some(last) = backups.last {
                claim.annotations_mut().insert(LAST_BACKUP.into(), last.to_string());
            }
            claim
        };
        let former = || Desired::apply_or_keep(backups.kept.as_ref().map(claim));
        let Some(backup) = backups.wanted.enabled() else {
            return Self {
                volume: former(),
                account: Desired::Delete,
                role: Desired::Delete,
                binding: Desired::Delete,
                cronjob: Desired::Delete,
                verify: Desired::Delete,
                drill: Desired::Delete,
            };
        };
        let access = plan.access_once_migrated(next);
        let run = |make: fn(&Plan, &BackupPlan, &Access) -> Option<CronJob>| {
            Desired::apply_or_keep(access.and_then(|access| make(plan, backup, access)))
        };
        let run_if = |is_wanted, make| if is_wanted { run(make) } else { Desired::Delete };
        Self {
            volume: match &backup.destination {
                Destination::Own(volume) => Desired::Apply(claim(volume)),
                Destination::Existing(_) | Destination::Bucket(_) => former(),
            },
            account: Desired::Apply(account::account(plan, backup.destination.annotations())),
            role: Desired::Apply(account::role(plan)),
            binding: Desired::Apply(account::binding(plan)),
            cronjob: run(runs::backup),
            verify: run_if(backup.is_verified(), runs::verify),
            drill: run_if(backup.is_drilled(), runs::drill),
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
        // No `..`: an object that is added cannot be forgotten here.
        let Self { volume, account, role, binding, cronjob, verify, drill } = self;
        let needs_volume = volume.is_apply();
        let volume = writer.child(BACKUPS_SCHEDULED, volume, seen.volume.as_ref()).await?;
        let account = writer.child(BACKUPS_SCHEDULED, account, seen.account.as_ref()).await?;
        let role = writer.child(BACKUPS_SCHEDULED, role, seen.role.as_ref()).await?;
        let binding = writer.child(BACKUPS_SCHEDULED, binding, seen.binding.as_ref()).await?;
        // Without a volume and an account of ours their pods would wait, or write into what is somebody else's.
        let can_run = has_credentials && account.is_some() && (!needs_volume || volume.is_some());
        let mut run = async |cronjob: Desired<CronJob>, live: &Option<CronJob>| {
            writer.child(BACKUPS_SCHEDULED, cronjob.only_if(can_run), live.as_ref()).await
        };
        let cronjob = run(cronjob, &seen.cronjob).await?;
        let verify = run(verify, &seen.verify).await?;
        let drill = run(drill, &seen.drill).await?;
        Ok(Objects { volume, account, role, binding, cronjob, verify, drill })
    }
}
