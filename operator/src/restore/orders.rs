//! What the Job of a restore does, and what it waits for.

use std::borrow::Cow;

use kube::ResourceExt as _;

use super::reasons::{AWAITING_SCHEMA, IMAGE_TOO_OLD};
use super::undo::undone;
use super::volume;
use crate::agentfs::names::REQUESTS;
use crate::agentfs::parts::migration::condition::SCHEMA_READY;
use crate::agentfs::reasons as of_agentfs;
use crate::crd::restore::{AgentFSRestoreSpec, InPlace, Security, Source, Strategy};
use crate::crd::{AgentFS, AgentFSRestore};
use crate::task::named::{self, Named};
use crate::task::observe::Seen;
use crate::task::reasons::NO_SUCH_BACKUP;
use crate::task::{Like, Orders, Work};

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
            return Err(Orders::refuse(
                NO_SUCH_BACKUP,
                "It names no backup",
                "Create another one with spec.source.",
            ));
        }
    };
    let schema = schema(seen.agentfs.as_ref());
    if is_migrating(schema) {
        return Err(Orders::wait(
            AWAITING_SCHEMA,
            "The restore waits for the migration of the schema",
        ));
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
    let variables = Vec::from_iter(volume::size(seen.agentfs.as_ref()));
    Ok(Work { like, arguments, variables })
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
    Orders::ask(
        IMAGE_TOO_OLD,
        format!(
            "The migration by the image of AgentFS {name} did not say that the image runs a restore only once, which older images do not"
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

/// A backup as the command is told of it, and where it is, where that is not the destination of the AgentFS.
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
        let Named { selector, bucket } = named::backup(restore, name, seen)?;
        return Ok(Selected { selector: selector.into(), location: location.or(bucket) });
    }
    let selector = match &source.id {
        Some(id) => id.as_str().into(),
        None if source.latest_verified => "latest-verified".into(),
        None => "latest".into(),
    };
    Ok(Selected { selector, location })
}
