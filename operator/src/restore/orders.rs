//! What the Job of a restore does, and what it waits for.

use std::borrow::Cow;

use jiff::SignedDuration;
use kube::ResourceExt as _;

use super::reasons::{AWAITING_BACKUP, AWAITING_SCHEMA, IMAGE_TOO_OLD, NO_SUCH_BACKUP};
use super::undo::undone;
use crate::agentfs::names::REQUESTS;
use crate::agentfs::parts::migration::condition::SCHEMA_READY;
use crate::agentfs::reasons as of_agentfs;
use crate::crd::restore::{AgentFSRestoreSpec, InPlace, Security, Source, Strategy};
use crate::crd::{AgentFS, AgentFSBackup, AgentFSRestore};
use crate::kit::conditions::{Failure, READY, State};
use crate::kit::reasons::Reason;
use crate::kit::sentences::without_full_stop;
use crate::task::observe::Seen;
use crate::task::reasons::ALREADY_DONE;
use crate::task::{Like, Orders, Work};

/// How long an AgentFSBackup or AgentFSRestore that is not there is waited for.
const MAY_COME: SignedDuration = SignedDuration::from_mins(10);

/// What to do where the backup of a restore cannot be had. A restore is immutable.
const ANOTHER: &str = "Create another AgentFSRestore with a backup that `kubectl get afsb` lists.";

/// What is to be done for `restore`.
pub fn orders(restore: &AgentFSRestore, seen: &Seen) -> Orders {
    match work(restore, seen) {
        Ok(work) => Orders::Run(work),
        Err(orders) => orders,
    }
}

/// The Job, or what keeps it from being made.
fn work(restore: &AgentFSRestore, seen: &Seen) -> Result<Work, Orders> {
    let spec = &restore.spec;
    let arguments = match (&spec.undo, &spec.source) {
        (Some(of), _) => undo(spec, &undone(restore, of, seen)?),
        (None, Some(source)) => source_and_target(restore, source, seen)?,
        // The API server takes neither without the other.
        (None, None) => {
            return Err(refuse(
                NO_SUCH_BACKUP,
                "It names no backup",
                "Create another one with spec.source.",
            ));
        }
    };
    let schema = schema(seen.agentfs.as_ref());
    if is_migrating(schema) {
        return Err(wait(AWAITING_SCHEMA, "The restore waits for the migration of the schema"));
    }
    // A dump that is encrypted or in a bucket is fetched into the folder that a verification restores into.
    let has_room = seen.cronjob(Like::Verify, &spec.agent_fs).is_some();
    let like = if has_room { Like::Verify } else { Like::Backup };
    // Of an image whose migration failed nothing is known, and to go back may be what helps.
    if schema == Some(of_agentfs::MIGRATED.as_str())
        && let Some(cronjob) = seen.cronjob(like, &spec.agent_fs)
        && !cronjob.annotations().contains_key(REQUESTS)
    {
        return Err(image_is_too_old(restore));
    }
    Ok(Work { like, arguments, variables: Vec::new() })
}

/// It waits for something that comes by itself.
pub(super) fn wait(reason: Reason, sentence: impl Into<String>) -> Orders {
    Orders::Wait(State::progressing(reason, sentence))
}

/// It waits for somebody to do something.
pub(super) fn ask(reason: Reason, what: impl Into<String>, remedy: impl Into<String>) -> Orders {
    Orders::Wait(State::Failed(Failure::new(reason, what, remedy)))
}

/// It can never be carried out.
pub(super) fn refuse(reason: Reason, what: impl Into<String>, remedy: impl Into<String>) -> Orders {
    Orders::Refuse(Failure::new(reason, what, remedy))
}

/// Whether the schema is about to be migrated, or waits for what that needs: a restore by the next image, before the backup that an
/// upgrade begins with, would migrate it. One whose migration or backup failed is no reason to wait: to go back may be what helps.
fn is_migrating(schema: Option<&str>) -> bool {
    let before = [
        of_agentfs::MIGRATING,
        of_agentfs::AWAITING_DATABASE,
        of_agentfs::AWAITING_CREDENTIALS,
        of_agentfs::AWAITING_RECONCILE,
        of_agentfs::AWAITING_BACKUP,
    ];
    schema.is_none_or(|reason| before.iter().any(|of| of.as_str() == reason))
}

/// The reason of the condition of the schema.
fn schema(agentfs: Option<&AgentFS>) -> Option<&str> {
    let mut conditions = agentfs?.status.as_ref()?.conditions.iter();
    conditions.find(|c| c.type_ == SCHEMA_READY).map(|c| c.reason.as_str())
}

/// That the image may know nothing of requests, and would restore each time that the manifest is applied.
fn image_is_too_old(restore: &AgentFSRestore) -> Orders {
    let (name, namespace) = (&restore.spec.agent_fs, restore.namespace().unwrap_or_default());
    ask(
        IMAGE_TOO_OLD,
        format!(
            "The migration by the image of AgentFS {name} did not say that the image carries a restore out once, which older ones do not"
        ),
        format!(
            "Set spec.image of the AgentFS to a release that does. If it is one, let its migration say so, which changes nothing else: \
             kubectl delete job -n {namespace} -l app.kubernetes.io/instance={name},app.kubernetes.io/component=migration"
        ),
    )
}

fn undo(spec: &AgentFSRestoreSpec, id: &str) -> Vec<String> {
    let mut arguments =
        vec!["restore".into(), "--undo".into(), "--yes".into(), format!("--restore={id}")];
    let in_place = spec.target.as_ref().and_then(|target| target.in_place.as_ref());
    arguments.extend(in_place.map(keep_previous));
    arguments
}

fn source_and_target(
    restore: &AgentFSRestore,
    source: &Source,
    seen: &Seen,
) -> Result<Vec<String>, Orders> {
    let spec = &restore.spec;
    let backup = selected(restore, source, seen)?;
    let mut arguments = vec!["restore".to_owned()];
    let target = spec.target.as_ref();
    match target.and_then(|target| target.new_database.as_ref()) {
        Some(new) => arguments.push(format!("--into-database={}", new.name)),
        None => arguments.extend(["--in-place".to_owned(), "--yes".to_owned()]),
    }
    arguments.push(format!("--backup={}", backup.selector));
    arguments.extend(backup.location.map(|location| format!("--from={location}")));
    if let Some(in_place) = target.and_then(|target| target.in_place.as_ref()) {
        arguments.push(format!("--strategy={}", strategy(in_place.strategy)));
        arguments.push(format!("--security={}", security(spec.security)));
        arguments.push(keep_previous(in_place));
    }
    if spec.allow_foreign {
        arguments.push("--allow-foreign".into());
    }
    Ok(arguments)
}

fn keep_previous(in_place: &InPlace) -> String {
    format!("--keep-previous={}", in_place.keep_previous)
}

fn strategy(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::SwapSchema => "swap-schema",
        Strategy::RenameDatabase => "rename-database",
        Strategy::Clean => "clean",
    }
}

fn security(security: Security) -> &'static str {
    match security {
        Security::Live => "live",
        Security::FromBackup => "from-backup",
    }
}

/// A backup as `restore` is told of it.
///
/// One that is gone, or that nothing is known of here, is named as well, by what no backup is called: the restore may have been carried out
/// before, when it was there. The database knows that, and else the command says that there is no such backup.
struct Selected<'a> {
    selector: Cow<'a, str>,
    location: Option<&'a str>,
}

fn selected<'a>(
    restore: &AgentFSRestore,
    source: &'a Source,
    seen: &'a Seen,
) -> Result<Selected<'a>, Orders> {
    let location = source.location.as_deref();
    if let Some(name) = &source.backup {
        return of_record(restore, name, location, seen);
    }
    let selector = match &source.id {
        Some(id) => id.as_str().into(),
        None if source.latest_verified => "latest-verified".into(),
        None => "latest".into(),
    };
    Ok(Selected { selector, location })
}

/// The backup of the AgentFSBackup `name`.
fn of_record<'a>(
    restore: &AgentFSRestore,
    name: &str,
    location: Option<&'a str>,
    seen: &'a Seen,
) -> Result<Selected<'a>, Orders> {
    let unknown = || Selected { selector: format!("AgentFSBackup/{name}").into(), location };
    let Some(record) = seen.backups.iter().find(|backup| backup.name_any() == name) else {
        if has_waited(restore, seen) {
            return Ok(unknown());
        }
        return Err(ask(
            NO_SUCH_BACKUP,
            format!("There is no AgentFSBackup {name} of this AgentFS"),
            format!(
                "The restore begins by itself when it is there, and fails where it does not come within ten minutes. If the name is \
                 wrong, delete this one. {ANOTHER}"
            ),
        ));
    };
    let status = record.status.as_ref();
    let backup = status.and_then(|status| status.backup.as_ref());
    let Some(backup) = backup else {
        return if was_done_before(record) {
            Ok(unknown())
        } else {
            Err(without_backup(name, record))
        };
    };
    // The bucket may have been another one when it was made. A volume is always seen in the same folder.
    let bucket = Some(backup.location.as_str()).filter(|location| location.starts_with("s3://"));
    // Backups of two instances that were made in one second have one id. Releases before 0.2 had no folders, and instances with a slash.
    let selector = if backup.instance.contains('/') {
        backup.id.as_str().into()
    } else {
        format!("{}/{}", backup.instance, backup.id).into()
    };
    Ok(Selected { selector, location: location.or(bucket) })
}

/// Whether what `restore` names has been waited for for long enough, where it is not there.
pub(super) fn has_waited(restore: &AgentFSRestore, seen: &Seen) -> bool {
    let created = restore.metadata.creation_timestamp.as_ref();
    created.is_some_and(|at| seen.now.duration_since(at.0) >= MAY_COME)
}

/// Whether a backup was made for an AgentFSBackup of that name and spec before, of which nothing is known here.
fn was_done_before(record: &AgentFSBackup) -> bool {
    let mut conditions = record.status.iter().flat_map(|status| &status.conditions);
    conditions.any(|c| c.type_ == READY && c.status == "True" && c.reason == ALREADY_DONE.as_str())
}

/// What is to be said of an AgentFSBackup without a backup: it is waited for, unless it has ended.
fn without_backup(name: &str, record: &AgentFSBackup) -> Orders {
    let status = record.status.as_ref();
    if status.is_none_or(|status| status.finished_time.is_none()) {
        let what = format!("The restore waits for the AgentFSBackup {name}, which is not made yet");
        return wait(AWAITING_BACKUP, what);
    }
    let conditions = status.iter().flat_map(|status| &status.conditions);
    let said =
        conditions.filter(|c| c.type_ == READY).map(|c| without_full_stop(&c.message)).next();
    let why = said.map(|said| format!(": {said}")).unwrap_or_default();
    refuse(
        NO_SUCH_BACKUP,
        format!("The AgentFSBackup {name} has ended without a backup{why}"),
        ANOTHER,
    )
}
