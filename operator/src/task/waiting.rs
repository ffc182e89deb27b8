//! What every task waits for, whatever its kind.

use super::observe::Seen;
use super::{Like, Task, reasons};
use crate::crd::AgentFS;
use crate::crd::agentfs::Backup;
use crate::kit::conditions::{Failure, State};

/// What of its AgentFS `task` waits for before it begins.
pub(super) fn for_agentfs<T: Task>(task: &T, seen: &Seen) -> Option<State> {
    let (what, name) = (T::WHAT, task.agentfs());
    if agentfs(seen).is_none() {
        return Some(State::Failed(Failure::new(
            reasons::AGENTFS_MISSING,
            format!("There is no AgentFS {name} in this namespace"),
            format!(
                "The {what} begins by itself once it exists. If the name is wrong, delete this one and create another."
            ),
        )));
    }
    is_suspended(seen).then(|| suspended(what, name))
}

/// The AgentFS, where it is there and is to stay.
pub(super) fn agentfs(seen: &Seen) -> Option<&AgentFS> {
    seen.agentfs.as_ref().filter(|agentfs| agentfs.metadata.deletion_timestamp.is_none())
}

/// Whether the AgentFS is suspended.
pub(super) fn is_suspended(seen: &Seen) -> bool {
    seen.agentfs.as_ref().is_some_and(|agentfs| agentfs.spec.suspend)
}

/// That `what` waits until its AgentFS `name` is not suspended.
pub(super) fn suspended(what: &str, name: &str) -> State {
    State::progressing(
        reasons::SUSPENDED,
        format!("The {what} waits until spec.suspend of AgentFS {name} is false"),
    )
}

/// That the AgentFS `name` has no CronJob which the Job of `what` can be `like`.
pub(super) fn for_cronjob(what: &str, name: &str, like: Like, seen: &Seen) -> State {
    let cronjob = like.cronjob(name);
    let backup = seen.agentfs.as_ref().map(|agentfs| &agentfs.spec.backup);
    if let Some((why, remedy)) = backup.and_then(|backup| turned_off(like, backup)) {
        return State::Failed(Failure::new(
            reasons::BACKUPS_OFF,
            format!("AgentFS {name} has no CronJob {cronjob}, since its {why}"),
            format!("{remedy}; the {what} then begins by itself."),
        ));
    }
    State::progressing(
        reasons::AWAITING_AGENTFS,
        format!(
            "The {what} waits for the CronJob {cronjob}, which AgentFS {name} makes once its conditions CredentialsReady and BackupsScheduled allow it"
        ),
    )
}

/// Why there are not to be Jobs like those, and what to do.
fn turned_off(like: Like, backup: &Backup) -> Option<(&'static str, &'static str)> {
    let can_be_read = backup
        .encryption
        .as_ref()
        .is_none_or(|encryption| encryption.identity_secret_ref.is_some());
    match like {
        _ if !backup.enabled => Some(("spec.backup.enabled is false", "Set it to true")),
        Like::Backup => None,
        _ if !can_be_read => Some((
            "backups are encrypted and spec.backup.encryption.identitySecretRef is not set",
            "Name an identity that decrypts them there",
        )),
        Like::Verify => (!backup.verify.enabled)
            .then_some(("spec.backup.verify.enabled is false", "Set it to true")),
        Like::Drill => (!backup.drill.enabled && !backup.verify.enabled).then_some((
            "spec.backup.drill.enabled is false, as is spec.backup.verify.enabled",
            "Set one of them to true",
        )),
    }
}

/// That it is the turn of `other`.
pub(super) fn for_turn<T: Task>(other: &str) -> State {
    State::progressing(
        reasons::AWAITING_TURN,
        format!("The {} waits for {other}, which runs first", T::WHAT),
    )
}
