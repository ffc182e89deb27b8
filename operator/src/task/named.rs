//! The AgentFSBackup that a task names: what its command is told of it, or what the task waits for.

use jiff::SignedDuration;
use kube::ResourceExt as _;

use super::observe::Seen;
use super::reasons::{ALREADY_DONE, AWAITING_BACKUP, NO_SUCH_BACKUP};
use super::{Orders, Task};
use crate::crd::AgentFSBackup;
use crate::crd::backup::BackupFacts;
use crate::kit::conditions::READY;
use crate::kit::sentences::without_full_stop;

/// How long a resource that a task names and that is not there is waited for.
const MAY_COME: SignedDuration = SignedDuration::from_mins(10);

/// A backup as a command is told of it.
///
/// One that is gone, or that nothing is known of here, is named as well, by what no backup is called: the task may have been carried out
/// before, when it was there. The database knows that, and else the command says that there is no such backup.
pub struct Named<'a> {
    /// What the command selects it by.
    pub selector: String,
    /// The bucket that it is in. A volume is always seen in the same folder, and what is not known is nowhere.
    pub bucket: Option<&'a str>,
}

/// The backup of the AgentFSBackup `name`, which `task` names; or what the task waits for, or why it can never be carried out.
pub fn backup<'a, T: Task>(task: &T, name: &str, seen: &'a Seen) -> Result<Named<'a>, Orders> {
    let unknown = || Named { selector: format!("AgentFSBackup/{name}"), bucket: None };
    let Some(record) = seen.backups.iter().find(|backup| backup.name_any() == name) else {
        if has_waited(task, seen) {
            return Ok(unknown());
        }
        return Err(Orders::ask(
            NO_SUCH_BACKUP,
            format!("There is no AgentFSBackup {name} of this AgentFS"),
            format!(
                "The {} begins by itself once it exists, and fails if it does not appear within ten minutes. If the name is \
                 wrong, delete this one. {}",
                T::WHAT,
                another::<T>()
            ),
        ));
    };
    let status = record.status.as_ref();
    let Some(backup) = status.and_then(|status| status.backup.as_ref()) else {
        return if was_done_before(record) {
            Ok(unknown())
        } else {
            Err(without_backup::<T>(name, record))
        };
    };
    Ok(made(backup))
}

/// A backup that was made.
pub fn made(backup: &BackupFacts) -> Named<'_> {
    // Backups of two instances that were made in one second have one id. Releases before 0.2 had no folders, and instances with a slash.
    let selector = if backup.instance.contains('/') {
        backup.id.clone()
    } else {
        format!("{}/{}", backup.instance, backup.id)
    };
    // It may have been another one when the backup was made.
    let bucket = Some(backup.location.as_str()).filter(|location| location.starts_with("s3://"));
    Named { selector, bucket }
}

/// Whether what `task` names has been waited for for long enough, where it is not there.
pub fn has_waited<T: Task>(task: &T, seen: &Seen) -> bool {
    let created = task.meta().creation_timestamp.as_ref();
    created.is_some_and(|at| seen.now.duration_since(at.0) >= MAY_COME)
}

/// What to do where the backup of a task cannot be had. A task is immutable.
fn another<T: Task>() -> String {
    format!("Create another {} with a backup that `kubectl get afsb` lists.", T::kind(&()))
}

/// Whether a backup was made for an AgentFSBackup of that name and spec before, of which nothing is known here.
fn was_done_before(record: &AgentFSBackup) -> bool {
    let mut conditions = record.status.iter().flat_map(|status| &status.conditions);
    conditions.any(|c| c.type_ == READY && c.status == "True" && c.reason == ALREADY_DONE.as_str())
}

/// What is to be said of an AgentFSBackup without a backup: it is waited for, unless it has ended.
fn without_backup<T: Task>(name: &str, record: &AgentFSBackup) -> Orders {
    let status = record.status.as_ref();
    if status.is_none_or(|status| status.finished_time.is_none()) {
        let what =
            format!("The {} waits for the AgentFSBackup {name}, which is not made yet", T::WHAT);
        return Orders::wait(AWAITING_BACKUP, what);
    }
    let conditions = status.iter().flat_map(|status| &status.conditions);
    let said =
        conditions.filter(|c| c.type_ == READY).map(|c| without_full_stop(&c.message)).next();
    let why = said.map(|said| format!(": {said}")).unwrap_or_default();
    Orders::refuse(
        NO_SUCH_BACKUP,
        format!("The AgentFSBackup {name} has ended without a backup{why}"),
        another::<T>(),
    )
}
