//! What is deleted with an AgentFSBackup whose `deletionPolicy` is Delete.

use agentfs_contract::setting;
use k8s_openapi::api::batch::v1::CronJob;
use kube::ResourceExt as _;

use crate::crd::AgentFSBackup;
use crate::crd::backup::BackupFacts;
use crate::task::deletion::Deletion;
use crate::task::named::{self, Named};
use crate::task::observe::Seen;
use crate::task::{Like, Work};

/// The backup of `record`, where it is made and there.
pub(super) fn deletion(record: &AgentFSBackup, seen: &Seen) -> Deletion {
    let status = record.status.as_ref();
    let Some(backup) = status.and_then(|status| status.backup.as_ref()) else {
        return Deletion::Nothing("No backup is known that was made for it".into());
    };
    let what = format!("The backup {} in {}", backup.id, backup.location);
    if status.is_some_and(|status| status.vanished_time.is_some()) {
        return Deletion::Nothing(format!("{what} was gone already"));
    }
    let is_of_it = |other: &&AgentFSBackup| {
        let status = other.status.as_ref();
        let theirs = status.and_then(|status| status.backup.as_ref());
        let key = |of: &BackupFacts| (of.id.clone(), of.instance.clone(), of.location.clone());
        other.uid() != record.uid()
            && other.metadata.deletion_timestamp.is_none()
            && theirs.map(key) == Some(key(backup))
    };
    if let Some(other) = seen.backups.iter().find(is_of_it) {
        let name = other.name_any();
        return Deletion::Nothing(format!("{what} stays: it is that of AgentFSBackup {name} too"));
    }
    let Named { selector, bucket } = named::made(backup);
    let agentfs = &record.spec.agent_fs;
    let cronjob = seen.cronjob(Like::Backup, agentfs);
    if bucket.is_none() && cronjob.is_some_and(|of| location(of) != Some(&backup.location)) {
        return Deletion::Nothing(format!(
            "{what} stays: AgentFS {agentfs} keeps its backups elsewhere now"
        ));
    }
    let mut arguments =
        vec!["forget".to_owned(), "--if-present".into(), format!("--backup={selector}")];
    arguments.extend(bucket.map(|bucket| format!("--from={bucket}")));
    Deletion::Of(what, Work { like: Like::Backup, arguments, variables: Vec::new() })
}

/// Where the Jobs of `cronjob` keep backups.
fn location(cronjob: &CronJob) -> Option<&str> {
    let pod = cronjob.spec.as_ref()?.job_template.spec.as_ref()?.template.spec.as_ref()?;
    let mut variables = pod.containers.first()?.env.iter().flatten();
    variables.find(|variable| variable.name == setting::BACKUP_LOCATION)?.value.as_deref()
}
