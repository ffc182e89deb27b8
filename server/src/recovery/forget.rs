//! Removes backups: those that have expired, and those that somebody names.

use std::collections::BTreeSet;

use agentfs_contract::manifest::Scope;
use jiff::Timestamp;
use serde::Serialize;

use super::catalogue::{Backup, Catalogue, MANIFEST, Name, Reader, Selector, Unusable};
use super::error::RecoveryError;
use super::fault_point::{FaultPoint, reach};
use super::instance::Instance;
use super::lease::{self, Held};
use super::retention::Retention;
use super::storage::{Removal, Storage};

/// The lock of an instance's backups; hidden, so that it is no object.
pub(super) const LOCK: &str = ".lock";

/// What became of backups that were to be removed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Forgotten {
    /// Those that are gone, by folder and id.
    pub removed: Vec<String>,
    /// Those that the location still protects.
    pub protected: Vec<Protected>,
}

impl Forgotten {
    /// Those that are still there.
    pub fn stay(&self) -> impl Iterator<Item = &Protected> {
        self.protected.iter().filter(|protected| !self.removed.contains(&protected.backup))
    }
}

/// A backup that the location protects, by object lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Protected {
    /// Its folder and id.
    pub backup: String,
    /// Until when, where the location says so.
    pub until: Option<Timestamp>,
}

/// What is to be removed.
#[derive(Debug, Clone)]
pub enum Which {
    /// Backups by their ids, or by folder and id.
    Ids(Vec<String>),
    /// The same, as far as they are there.
    Present(Vec<String>),
    /// All of an instance, by its name.
    All(String),
}

/// Removes backups of the `instance` and `scope` that have expired. The caller has the lock of the instance.
pub(super) async fn prune(
    storage: &Storage,
    catalogue: &Catalogue,
    retention: &Retention,
    (instance, scope): (&Instance, Scope),
) -> Result<Forgotten, RecoveryError> {
    let now = Timestamp::now();
    let expired = retention.expired(catalogue, instance, scope, now);
    remove_all(storage, expired.into_iter().map(Doomed::of).collect(), now).await
}

/// Removes the backups that are meant, or none where one of them must stay. Without `force` these are the newest verified and the
/// last whole backup of an instance, and those whose manifest cannot be used.
pub async fn forget(
    storage: &Storage,
    which: &Which,
    force: bool,
) -> Result<Forgotten, RecoveryError> {
    let mut reader = Reader::default();
    let catalogue = reader.read(storage).await?;
    let folders: BTreeSet<String> =
        chosen(&catalogue, which)?.into_iter().map(|doomed| doomed.folder).collect();
    let mut locks = Vec::new();
    for folder in folders.iter().filter(|folder| !folder.is_empty()) {
        locks.push(storage.lock(&format!("{folder}{LOCK}")).await?);
    }
    reach(FaultPoint::Locked);
    let forgotten = match reader.read(storage).await {
        Ok(catalogue) => forget_locked(storage, &catalogue, which, force).await,
        Err(error) => Err(error),
    };
    for lock in locks {
        lock.release().await;
    }
    forgotten
}

async fn forget_locked(
    storage: &Storage,
    catalogue: &Catalogue,
    which: &Which,
    force: bool,
) -> Result<Forgotten, RecoveryError> {
    let (doomed, now) = (chosen(catalogue, which)?, Timestamp::now());
    if !force {
        let reasons = reasons_to_stay(catalogue, &doomed);
        if !reasons.is_empty() {
            return Err(RecoveryError::MustStay(reasons.join("; ")));
        }
    }
    let backups = doomed.iter().filter_map(|doomed| doomed.backup);
    for backup in backups {
        let keeps = |lease: &&Held| lease.until > now && !(force && lease.is_left());
        if let Some(lease) = backup.leases.iter().find(keeps) {
            return Err(RecoveryError::Leased {
                backup: backup.path(),
                by: lease.by.clone(),
                until: lease.until,
                is_left: lease.is_left(),
            });
        }
    }
    remove_all(storage, doomed, now).await
}

/// Removes one backup.
pub(super) async fn remove(storage: &Storage, backup: &Backup) -> Result<Removal, RecoveryError> {
    let forgotten = remove_all(storage, vec![Doomed::of(backup)], Timestamp::now()).await?;
    Ok(match forgotten.protected.into_iter().next() {
        Some(protected) => Removal::Protected(protected.until),
        None => Removal::Removed,
    })
}

/// A backup that is to be removed.
#[derive(Debug)]
struct Doomed<'a> {
    folder: String,
    path: String,
    manifest: String,
    /// Its other objects.
    others: Vec<String>,
    /// What its manifest says, if that can be used.
    backup: Option<&'a Backup>,
}

impl<'a> Doomed<'a> {
    fn of(backup: &'a Backup) -> Self {
        let mut others = vec![backup.dump()];
        others.extend(backup.beside.iter().cloned());
        Self {
            folder: backup.folder.clone(),
            path: backup.path(),
            manifest: backup.object(MANIFEST),
            others,
            backup: Some(backup),
        }
    }

    fn unusable(unusable: &Unusable) -> Self {
        let Unusable { name, beside, .. } = unusable;
        Self {
            folder: Name::parse(name).map(|name| name.folder.to_owned()).unwrap_or_default(),
            path: name.strip_suffix(MANIFEST).unwrap_or(name).to_owned(),
            manifest: name.clone(),
            others: beside.clone(),
            backup: None,
        }
    }
}

/// The backups that are meant.
fn chosen<'a>(catalogue: &'a Catalogue, which: &Which) -> Result<Vec<Doomed<'a>>, RecoveryError> {
    match which {
        Which::Ids(ids) => named(catalogue, ids),
        Which::Present(ids) => {
            let is_there = |id: &String| {
                let mut backups = catalogue.backups.iter();
                catalogue.unusable_named(id).is_some()
                    || backups.any(|backup| backup.id() == id || backup.path() == *id)
            };
            named(catalogue, ids.iter().filter(|id| is_there(id)))
        }
        Which::All(instance) => {
            let theirs = |backup: &&Backup| backup.manifest.instance == *instance;
            let chosen: Vec<Doomed<'_>> =
                catalogue.backups.iter().filter(theirs).map(Doomed::of).collect();
            if chosen.is_empty() {
                return Err(RecoveryError::NoBackup(format!(
                    "there is no backup of the instance {instance}; those that there are: {}",
                    catalogue.instances().join(", ")
                )));
            }
            Ok(chosen)
        }
    }
}

/// The backups with these ids, each once.
fn named<'a, 'i>(
    catalogue: &'a Catalogue,
    ids: impl IntoIterator<Item = &'i String>,
) -> Result<Vec<Doomed<'a>>, RecoveryError> {
    let one = |id: &String| match catalogue.unusable_named(id) {
        Some(unusable) => Ok(Doomed::unusable(unusable)),
        None => catalogue.select(&Selector::Id(id.clone()), None).map(Doomed::of),
    };
    let mut chosen = ids.into_iter().map(one).collect::<Result<Vec<_>, _>>()?;
    chosen.sort_by(|a, b| a.path.cmp(&b.path));
    chosen.dedup_by(|a, b| a.path == b.path);
    Ok(chosen)
}

/// Why these must stay, for each that must.
fn reasons_to_stay(catalogue: &Catalogue, doomed: &[Doomed<'_>]) -> Vec<String> {
    let is_doomed = |backup: &Backup| doomed.iter().any(|doomed| doomed.path == backup.path());
    let mut reasons = Vec::new();
    for Doomed { path, .. } in doomed.iter().filter(|doomed| doomed.backup.is_none()) {
        reasons.push(format!("the manifest of {path} cannot be used, so nobody knows what it is"));
    }
    for instance in catalogue.instances() {
        let of_it = || catalogue.kept().filter(|backup| backup.manifest.instance == instance);
        let is_any_doomed = of_it().any(is_doomed);
        let is_any_left = of_it().any(|backup| backup.is_whole && !is_doomed(backup));
        if is_any_doomed && !is_any_left {
            reasons.push(format!("no whole backup of {instance} would be left"));
        }
        for scope in [Scope::Full, Scope::Entries] {
            let of_scope = || of_it().filter(|backup| backup.manifest.scope == scope);
            let mut sound = of_scope().filter(|backup| backup.is_sound()).peekable();
            if is_any_left && sound.peek().is_some() && sound.all(is_doomed) {
                let what = format!("backup of {instance} with scope {scope}");
                reasons.push(format!("no {what} would be left that is not known to be bad"));
            }
            let mut verified = of_scope().rev().filter(|backup| backup.is_verified());
            if let Some(newest) = verified.next().filter(|backup| is_doomed(backup)) {
                reasons
                    .push(format!("{} is the newest verified backup of {instance}", newest.path()));
            }
        }
    }
    reasons
}

/// Removes backups. Their manifests go first: from then on they do not exist. Any step can be the last; the sweep of the next
/// backup removes the rest.
async fn remove_all(
    storage: &Storage,
    doomed: Vec<Doomed<'_>>,
    now: Timestamp,
) -> Result<Forgotten, RecoveryError> {
    let mut forgotten = Forgotten::default();
    let mut gone = Vec::new();
    for doomed in doomed {
        match storage.remove(&doomed.manifest).await? {
            Removal::Removed => {
                forgotten.removed.push(doomed.path.clone());
                gone.push(doomed);
            }
            Removal::Protected(until) => {
                forgotten.protected.push(Protected { backup: doomed.path, until });
            }
        }
    }
    if gone.is_empty() {
        return Ok(forgotten);
    }
    reach(FaultPoint::ManifestRemoved);
    // Whoever has taken a lease since, and saw the manifest, goes on reading. The sweep removes the dump when the lease has ended.
    let objects = storage.list().await?;
    for doomed in gone {
        let leases = lease::of(storage, &objects, &doomed.path).await?;
        if leases.iter().any(|lease| lease.until > now && !lease.is_left()) {
            continue;
        }
        for name in doomed.others {
            if let Removal::Protected(until) = storage.remove(&name).await? {
                forgotten.protected.push(Protected { backup: doomed.path.clone(), until });
                break;
            }
        }
        reach(FaultPoint::DumpRemoved);
    }
    Ok(forgotten)
}

#[cfg(test)]
mod tests {
    use agentfs_contract::manifest::Manifest;
    use agentfs_contract::verification::Level;

    use super::*;
    use crate::recovery::catalogue::tests::{Place, hours_ago, instance, manifest, verification};
    use crate::recovery::lease::Lease;
    use crate::recovery::record;

    async fn verified(place: &Place, manifest: Manifest) -> Backup {
        let backup = place.add(manifest).await;
        let record = verification(&backup.manifest, Level::Restore, None, hours_ago(0));
        record::write(&place.storage, &backup, &record).await.unwrap();
        backup
    }

    fn ids(backups: &[&Backup]) -> Which {
        Which::Ids(backups.iter().map(|backup| backup.path()).collect())
    }

    #[tokio::test]
    async fn the_newest_verified_and_the_last_one_go_by_force_alone() {
        let place = Place::new().await;
        let older = verified(&place, manifest(hours_ago(30))).await;
        let proven = verified(&place, manifest(hours_ago(20))).await;
        let newest = place.add(manifest(hours_ago(10))).await;
        let all = place.names().await;
        let refused = forget(&place.storage, &ids(&[&older, &proven]), false).await.unwrap_err();
        assert!(
            refused.to_string().contains(&format!("{} is the newest verified", proven.path())),
            "{refused}"
        );
        assert!(!refused.is_transient());
        let refused = forget(&place.storage, &ids(&[&older, &proven, &newest]), false).await;
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("no whole backup of 7-1-agentfs would be left")
        );
        let refused = forget(&place.storage, &Which::All(instance().name().into()), false).await;
        assert!(refused.unwrap_err().to_string().contains("would be left"));
        assert_eq!(place.names().await, all, "all or nothing");
        for other in [&older, &proven] {
            let bad = verification(&other.manifest, Level::Restore, Some("bad"), hours_ago(-1));
            record::write(&place.storage, other, &bad).await.unwrap();
        }
        let refused = forget(&place.storage, &ids(&[&newest]), false).await.unwrap_err();
        assert!(refused.to_string().contains("not known to be bad"), "{refused}");

        let gone = forget(&place.storage, &ids(&[&older, &older]), false).await.unwrap();
        assert_eq!(gone.removed, [older.path()]);
        let gone = forget(&place.storage, &ids(&[&proven]), true).await.unwrap();
        assert_eq!(gone.removed, [proven.path()]);
        let gone =
            forget(&place.storage, &Which::All(instance().name().into()), true).await.unwrap();
        assert_eq!((gone.removed, place.names().await), (vec![newest.path()], vec![]));
    }

    #[tokio::test]
    async fn what_is_read_stays_even_by_force() {
        let place = Place::new().await;
        let (old, _new) =
            (place.add(manifest(hours_ago(9))).await, place.add(manifest(hours_ago(1))).await);
        let lease = Lease::take(&place.storage, &old, "verify").await.unwrap();
        let refused = forget(&place.storage, &ids(&[&old]), true).await.unwrap_err();
        assert!(
            refused.is_transient() && refused.to_string().contains("read by `verify` until"),
            "{refused}"
        );
        let retention = Retention { days: 0, keep_last: 1, ..Retention::default() };
        let prune = async || {
            let catalogue = Catalogue::read(&place.storage).await.unwrap();
            let ours = (&instance(), Scope::Full);
            super::prune(&place.storage, &catalogue, &retention, ours).await.unwrap().removed
        };
        assert_eq!(prune().await, [""; 0]);
        lease.release().await;
        assert_eq!(prune().await, [old.path()]);
    }

    #[tokio::test]
    async fn what_a_killed_reader_left_stays_unless_by_force() {
        let place = Place::new().await;
        let (old, _new) =
            (place.add(manifest(hours_ago(9))).await, place.add(manifest(hours_ago(1))).await);
        let lease = Lease::take(&place.storage, &old, "restore").await.unwrap();
        let held = place.read().await.named(&old.path()).leases.remove(0);
        let mut json = serde_json::to_value(&held).unwrap();
        json["process"]["started"] = 0.into();
        lease.release().await;
        place.write(&held.name, json.to_string().as_bytes());
        let refused = forget(&place.storage, &ids(&[&old]), false).await.unwrap_err();
        assert!(refused.to_string().contains("--force"), "{refused}");
        let gone = forget(&place.storage, &ids(&[&old]), true).await.unwrap();
        assert_eq!(gone.removed, [old.path()]);
        assert!(!place.names().await.contains(&old.dump()));
    }

    #[tokio::test]
    async fn another_instance_stays_and_so_does_what_nobody_can_read() {
        let place = Place::new().await;
        let mut lost = manifest(hours_ago(900));
        lost.instance = "8-1-agentfs".into();
        let lost = place.add(lost).await;
        place.add(manifest(hours_ago(900))).await;
        let new = place.add(manifest(hours_ago(1))).await;
        let damaged = format!("{}agentfs_20200101_000000", new.folder);
        place.write(&format!("{damaged}.manifest.json"), b"{");
        place.write(&format!("{damaged}.dump"), b"dump");
        let catalogue = Catalogue::read(&place.storage).await.unwrap();
        let retention = Retention { days: 0, keep_last: 1, ..Retention::default() };
        let ours = (&instance(), Scope::Full);
        let gone = prune(&place.storage, &catalogue, &retention, ours).await.unwrap();
        assert_eq!(gone.removed.len(), 1);
        let names = place.names().await;
        assert!(
            names.contains(&lost.dump()) && names.contains(&format!("{damaged}.dump")),
            "{names:?}"
        );

        let which = Which::Ids(vec!["agentfs_20200101_000000".into()]);
        let refused = forget(&place.storage, &which, false).await.unwrap_err();
        assert!(refused.to_string().contains("cannot be used"), "{refused}");
        let gone = forget(&place.storage, &which, true).await.unwrap();
        assert_eq!(gone.removed, std::slice::from_ref(&damaged));
        assert!(!place.names().await.iter().any(|name| name.starts_with(&damaged)));
        let unknown = forget(&place.storage, &Which::All("9-1-agentfs".into()), true).await;
        assert!(unknown.unwrap_err().to_string().contains("7-1-agentfs, 8-1-agentfs"));
    }

    #[tokio::test]
    async fn what_is_gone_already_is_passed_over_where_that_is_asked_for() {
        let place = Place::new().await;
        let (old, new) =
            (place.add(manifest(hours_ago(9))).await, place.add(manifest(hours_ago(1))).await);
        let present = |ids: &[&str]| Which::Present(ids.iter().map(ToString::to_string).collect());
        let none = forget(&place.storage, &present(&["agentfs_20200101_000000"]), false).await;
        assert_eq!(none.unwrap().removed, [""; 0]);
        let both = present(&["agentfs_20200101_000000", &old.path()]);
        let gone = forget(&place.storage, &both, false).await.unwrap();
        assert_eq!(gone.removed, [old.path()]);
        // The rules hold for what is there.
        let refused = forget(&place.storage, &present(&[&new.path()]), false).await.unwrap_err();
        assert!(refused.to_string().contains("would be left"), "{refused}");
        let id = new.id().to_owned();
        let mut twice = new.manifest.clone();
        twice.instance = "8-1-agentfs".into();
        place.add(twice).await;
        let refused = forget(&place.storage, &present(&[&id]), false).await.unwrap_err();
        assert!(refused.to_string().contains("two instances"), "{refused}");
    }

    #[test]
    fn one_whose_dump_alone_is_protected_is_gone() {
        let protected = |backup: &str| Protected { backup: backup.into(), until: None };
        let forgotten = Forgotten {
            removed: vec!["i/a".into()],
            protected: vec![protected("i/a"), protected("i/b")],
        };
        assert_eq!(forgotten.stay().collect::<Vec<_>>(), [&protected("i/b")]);
    }

    #[tokio::test]
    async fn nobody_forgets_while_a_backup_is_made() {
        let place = Place::new().await;
        let (old, _new) =
            (place.add(manifest(hours_ago(9))).await, place.add(manifest(hours_ago(1))).await);
        let lock = place.storage.lock(&format!("{}{LOCK}", old.folder)).await.unwrap();
        let refused = forget(&place.storage, &ids(&[&old]), false).await.unwrap_err();
        assert!(refused.is_transient(), "{refused}");
        lock.release().await;
        assert_eq!(forget(&place.storage, &ids(&[&old]), false).await.unwrap().removed.len(), 1);
    }
}
