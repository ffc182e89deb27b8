//! `kubectl agentfs restore`: restores a backup, or takes a restore in place back.

mod args;
mod telling;
mod undo;

use jiff::Timestamp;

use self::args::Order;
pub(super) use self::args::RestoreArgs;
use self::telling::{announcement, closing, last_to_undo, now, what_is_lost};
use super::choose::{Made, fit, source};
use super::cluster::Cluster;
use super::error::Error;
use super::follow::{Followed, carry_out};
use super::screen::Screen;
use super::{backups, question};
use crate::crd::restore::{AgentFSRestoreSpec, Source};
use crate::crd::{AgentFSBackup, AgentFSRestore};

/// Runs the command.
pub(super) async fn run(args: &RestoreArgs, cluster: &Cluster) -> Result<(), Error> {
    let mut screen = args.action.screen();
    let (agentfs, wanted, target) = match args.order()? {
        Order::Undo(restore) => {
            let spec = undo::agreed(args, &restore, cluster, &mut screen).await?;
            return create(args, spec, None, cluster, &mut screen).await;
        }
        Order::Restore { agentfs, wanted, target } => (agentfs, wanted, target),
    };
    cluster.agentfs(&agentfs).await?;
    let found = backups::of(cluster, &agentfs).await?;
    let records: Vec<&AgentFSBackup> = found.iter().map(|found| &found.it).collect();
    let source = source(&wanted, args.location.as_deref(), &agentfs, &records)?;
    let made = of_source(&source, &agentfs, &records)?;

    screen.line(&announcement(&agentfs, &source, made.as_ref(), &target));
    if let Some(in_place) = &target.in_place {
        if let Some(broken) = made.as_ref().and_then(Made::broken) {
            let why = broken.message.as_deref().unwrap_or("no reason was left");
            screen.line(&format!("  The last verification of this backup FAILED: {why}"));
        }
        // Not everybody who may restore may list restores.
        let restores =
            cluster.list_for(&agentfs, |restore: &AgentFSRestore| &restore.spec.agent_fs);
        let restores: Vec<_> = restores.await.into_iter().flatten().map(|found| found.it).collect();
        if let Some(last) = last_to_undo(&restores, &cluster.flags, Timestamp::now()) {
            screen.line(&format!("  {last}"));
        }
        let lost = what_is_lost(made.as_ref(), in_place, Timestamp::now());
        question::agree(&mut screen, &lost, args.yes)?;
    }
    let spec = AgentFSRestoreSpec {
        agent_fs: agentfs,
        source: Some(source),
        undo: None,
        target: Some(target),
        security: args.security(),
        allow_foreign: args.allow_foreign,
        ttl_seconds_after_finished: None,
    };
    let entries = made.map(|made| made.facts.entries);
    create(args, spec, entries, cluster, &mut screen).await
}

/// The backup of that source, where there is a record of it.
fn of_source<'a>(
    source: &Source,
    agentfs: &str,
    records: &[&'a AgentFSBackup],
) -> Result<Option<Made<'a>>, Error> {
    match (&source.backup, &source.id) {
        (Some(name), _) => fit(name, agentfs, records, "").map(Some),
        (None, Some(id)) => {
            // An id may have its instance before it.
            let id = id.rsplit('/').next().unwrap_or(id);
            let all = Made::all(records.iter().copied());
            Ok(all.into_iter().find(|made| made.facts.id == id))
        }
        (None, None) => Ok(None),
    }
}

/// Creates the resource, follows it, and says how it is undone.
async fn create(
    args: &RestoreArgs,
    spec: AgentFSRestoreSpec,
    entries: Option<i64>,
    cluster: &Cluster,
    screen: &mut Screen,
) -> Result<(), Error> {
    let prefix = if spec.undo.is_some() { "undo-" } else { "restore-" };
    let restore = (AgentFSRestore::new("", spec), prefix);
    let begin = |name: &str| format!("  as {name}");
    let now = |restore: &AgentFSRestore| now(restore, entries);
    let made = carry_out(cluster, screen, args.action, restore, begin, now).await?;
    for line in closing(&made.it, &cluster.flags) {
        screen.line(&format!("  {line}"));
    }
    Ok(())
}

impl Followed for AgentFSRestore {
    const SHORT: &'static str = "afsr";

    fn on_leaving(cluster: &Cluster, name: &str) -> String {
        format!(
            " Before it has switched, this cancels it: kubectl delete afsr {name}{}",
            cluster.flags
        )
    }
}
