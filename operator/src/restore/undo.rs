//! Which restore an undoing takes back, and whether it can.

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::reasons::{AWAITING_RESTORE, CANNOT_BE_UNDONE, NO_SUCH_RESTORE};
use super::report::DONE_BEFORE;
use crate::crd::AgentFSRestore;
use crate::crd::restore::AgentFSRestoreStatus;
use crate::kit::conditions::clock;
use crate::task::Orders;
use crate::task::named::has_waited;
use crate::task::observe::Seen;

/// The id of no restore. The command is asked by it whether this undoing was carried out before, when what it names was there.
const NONE: &str = "00000000-0000-0000-0000-000000000000";

/// The id of the restore `of` in the database's records, which `restore` takes back; or why it cannot, or waits.
pub(super) fn undone(restore: &AgentFSRestore, of: &str, seen: &Seen) -> Result<String, Orders> {
    let Some(target) = seen.restores.iter().find(|other| other.name_any() == of) else {
        if has_waited(restore, seen) {
            return Ok(NONE.into());
        }
        return Err(Orders::ask(
            NO_SUCH_RESTORE,
            format!("There is no AgentFSRestore {of} of this AgentFS"),
            "The undo fails if it does not appear within ten minutes. Delete this one, and name in another one a restore in place that `kubectl get afsr` lists.",
        ));
    };
    let cannot = |what: String, remedy: String| Err(Orders::refuse(CANNOT_BE_UNDONE, what, remedy));
    if target.spec.new_database().is_some() {
        return cannot(
            format!(
                "The AgentFSRestore {of} has made a new database, and changed nothing that is live"
            ),
            "There is nothing to undo. Drop that database once nobody needs it.".into(),
        );
    }
    let unknown = AgentFSRestoreStatus::default();
    let status = target.status.as_ref().unwrap_or(&unknown);
    if status.finished_time.is_none() {
        return Err(Orders::wait(
            AWAITING_RESTORE,
            format!("The undo waits for the end of the AgentFSRestore {of}"),
        ));
    }
    if status.result.as_deref() == Some(DONE_BEFORE) {
        // What it did, and whether that can be undone, or was undone by this one before, the database knows.
        return status.id.clone().ok_or_else(|| id_unknown(of, "it ran before"));
    }
    let Some(switched) = status.switched_time.as_ref() else {
        let result = status.result.as_deref().unwrap_or_default();
        return cannot(
            format!("The AgentFSRestore {of} has restored nothing: its result is {result}"),
            "There is nothing to undo.".into(),
        );
    };
    if let Some(later) = later(restore, of, switched.0, seen) {
        return cannot(
            format!(
                "The AgentFSRestore {later} came after {of}, and only the last restore in place can be undone"
            ),
            format!(
                "Create an AgentFSRestore with spec.undo: {later}, or one with the backup that is wanted."
            ),
        );
    }
    let Some(id) = &status.id else {
        return Err(id_unknown(of, "its Job did not come to its end"));
    };
    let gone = match &status.previous_until {
        Some(until) if until.0 > seen.now => return Ok(id.clone()),
        Some(until) => {
            format!(
                "What was live before the AgentFSRestore {of} was kept until {}",
                clock(until.0)
            )
        }
        None => format!("The AgentFSRestore {of} has kept nothing of what was live before"),
    };
    cannot(
        gone,
        "Create an AgentFSRestore with the backup that is wanted: `kubectl get afsb` lists what there is.".into(),
    )
}

fn id_unknown(of: &str, why: &str) -> Orders {
    Orders::refuse(
        CANNOT_BE_UNDONE,
        format!("The id of the AgentFSRestore {of} is not known, since {why}"),
        "Run `agentfs-server restore --undo` with the DATABASE_URL of the AgentFS: it undoes the last restore in place.",
    )
}

/// A restore in place, or an undoing, that came after the restore `of`.
fn later(this: &AgentFSRestore, of: &str, switched: Timestamp, seen: &Seen) -> Option<String> {
    let own = this.name_any();
    let others = seen
        .restores
        .iter()
        .filter(|other| ![own.as_str(), of].contains(&other.name_any().as_str()));
    let after = others.filter_map(|other| {
        let at = other.status.as_ref()?.switched_time.as_ref()?.0;
        (other.spec.new_database().is_none() && at > switched).then(|| (at, other.name_any()))
    });
    after.max().map(|(_, name)| name)
}
