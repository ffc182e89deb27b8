//! The catalogue of a location: backups with what is said of them, manifests that cannot be used, and what belongs to no backup.
//! Foreign objects are passed over.

mod backup;
mod name;
mod select;
#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeMap;

use agentfs_contract::manifest::{Manifest, ManifestError, Purpose};
use agentfs_contract::verification::Verification;
use futures::stream::{StreamExt as _, TryStreamExt as _};

pub use self::backup::{Backup, Orphan, Unusable};
pub(super) use self::name::{Kind, MANIFEST, Name};
pub use self::select::Selector;
use super::error::RecoveryError;
pub(super) use super::forget::remove;
use super::instance::Instance;
use super::lease::Held;
use super::storage::{Object, Storage, StorageError};

/// Small objects that are read at the same time.
const READS: usize = 16;

/// All that is at a location.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// The location, for people.
    pub location: String,
    /// The backups, the oldest first.
    pub backups: Vec<Backup>,
    /// Manifests that cannot be used, by name.
    pub unusable: Vec<Unusable>,
    /// What killed runs may have left, by name.
    pub orphans: Vec<Orphan>,
    /// All objects, by name.
    pub objects: Vec<Object>,
}

impl Catalogue {
    /// Reads the catalogue of a location.
    pub async fn read(storage: &Storage) -> Result<Self, RecoveryError> {
        Reader::default().read(storage).await
    }

    /// The backups of one instance, the oldest first, without those of drills.
    pub fn of<'a>(&'a self, instance: &'a Instance) -> impl DoubleEndedIterator<Item = &'a Backup> {
        self.kept().filter(|backup| instance.is(&backup.manifest.instance))
    }

    /// The backups that are to be kept, the oldest first: those of drills are not.
    pub fn kept(&self) -> impl DoubleEndedIterator<Item = &Backup> {
        self.backups.iter().filter(|backup| backup.manifest.purpose == Purpose::Backup)
    }

    /// The instances that there are backups of, by name.
    pub fn instances(&self) -> Vec<&str> {
        let mut instances: Vec<&str> =
            self.kept().map(|backup| &*backup.manifest.instance).collect();
        instances.sort_unstable();
        instances.dedup();
        instances
    }

    /// The catalogue of these objects, of which `contents` are the small ones.
    fn of_objects(objects: Vec<Object>, contents: &Contents) -> Self {
        let mut groups: BTreeMap<(&str, &str), Group<'_>> = BTreeMap::new();
        for object in &objects {
            if let Some(Name { folder, id, kind }) = Name::parse(&object.name) {
                groups.entry((folder, id)).or_default().add(kind, object, contents);
            }
        }
        let mut catalogue = Self::default();
        for ((folder, id), group) in groups {
            let Some(manifest) = group.manifest else {
                catalogue.orphans.extend(group.orphans(folder));
                continue;
            };
            match manifest_of(id, manifest, contents) {
                Ok(read) => catalogue.backups.push(group.backup(folder, manifest, read)),
                Err(error) => catalogue.unusable.push(Unusable {
                    name: manifest.name.clone(),
                    error,
                    beside: group.others(&[&manifest.name]),
                }),
            }
        }
        catalogue.backups.sort_by(|a, b| {
            (a.manifest.snapshot_at, a.path()).cmp(&(b.manifest.snapshot_at, b.path()))
        });
        catalogue.objects = objects;
        catalogue
    }
}

/// What small objects hold, by their names.
type Contents = BTreeMap<String, (Object, Content)>;

/// What a small object holds.
#[derive(Debug, Clone)]
enum Content {
    Read(Vec<u8>),
    /// It cannot be read, and trying again will not help.
    Unreadable(String),
}

impl Content {
    fn read(&self) -> Option<&[u8]> {
        match self {
            Self::Read(json) => Some(json),
            Self::Unreadable(_) => None,
        }
    }

    fn verification(&self) -> Option<Verification> {
        serde_json::from_slice(self.read()?).ok()
    }
}

/// Reads the catalogue of one location again and again. Objects never change, so each is read once.
#[derive(Debug, Default)]
pub struct Reader {
    known: Contents,
}

impl Reader {
    /// Reads the catalogue as it is now.
    pub async fn read(&mut self, storage: &Storage) -> Result<Catalogue, RecoveryError> {
        let mut objects = storage.list().await?;
        let mut former = std::mem::take(&mut self.known);
        let mut new = Vec::new();
        for object in objects.iter().filter(|object| is_read(object)) {
            match former.remove_entry(&object.name) {
                Some((name, (same, content @ Content::Read(_)))) if same == *object => {
                    self.known.insert(name, (same, content));
                }
                _ => new.push(object.clone()),
            }
        }
        let mut reads = futures::stream::iter(new)
            .map(|object| async move {
                let content = content(storage, &object.name).await?;
                Ok::<_, RecoveryError>((object, content))
            })
            .buffer_unordered(READS);
        while let Some((object, content)) = reads.try_next().await? {
            if let Some(content) = content {
                self.known.insert(object.name.clone(), (object, content));
            }
        }
        // What is gone meanwhile was never there.
        objects.retain(|object| !is_read(object) || self.known.contains_key(&object.name));
        let location = storage.to_string();
        Ok(Catalogue { location, ..Catalogue::of_objects(objects, &self.known) })
    }
}

fn is_read(object: &Object) -> bool {
    Name::parse(&object.name).is_some_and(Name::is_read)
}

/// What a small object holds; `None` where it is gone. One that cannot be read hides no other.
async fn content(storage: &Storage, name: &str) -> Result<Option<Content>, StorageError> {
    match storage.read_small(name).await {
        Ok(json) => Ok(json.map(Content::Read)),
        Err(error @ (StorageError::TooLarge(_) | StorageError::File { .. })) => {
            Ok(Some(Content::Unreadable(error.to_string())))
        }
        Err(error) => Err(error),
    }
}

/// The manifest of the backup `id` in an object.
fn manifest_of(id: &str, object: &Object, contents: &Contents) -> Result<Manifest, ManifestError> {
    match contents.get(&object.name) {
        Some((_, Content::Read(json))) => match Manifest::read(json)? {
            // A name that leads elsewhere is not ours.
            read if read.id() == id && !read.file.contains('/') => Ok(read),
            _ => Err(ManifestError::Damaged),
        },
        Some((_, Content::Unreadable(said))) => Err(ManifestError::Unreadable(said.clone())),
        None => Err(ManifestError::Unreadable("it is gone".into())),
    }
}

/// The objects of one backup, or what is left of it.
#[derive(Debug, Default)]
struct Group<'a> {
    manifest: Option<&'a Object>,
    objects: Vec<(Kind, &'a Object)>,
    verifications: Vec<Verification>,
    leases: Vec<Held>,
    unreadable: Vec<String>,
    has_unreadable_failure: bool,
}

impl<'a> Group<'a> {
    fn add(&mut self, kind: Kind, object: &'a Object, contents: &Contents) {
        self.objects.push((kind, object));
        let content = contents.get(&object.name).map(|(_, content)| content);
        match kind {
            Kind::Manifest => self.manifest = Some(object),
            Kind::Dump => {}
            Kind::Verified | Kind::Failed => {
                let record = content.and_then(Content::verification);
                if record.is_none() {
                    self.has_unreadable_failure |= kind == Kind::Failed;
                    self.unreadable.push(object.name.clone());
                }
                self.verifications.extend(record);
            }
            Kind::Lease => {
                let lease =
                    content.and_then(Content::read).and_then(|json| Held::parse(object, json));
                if lease.is_none() {
                    self.unreadable.push(object.name.clone());
                }
                self.leases.push(lease.unwrap_or_else(|| Held::unreadable(object)));
            }
        }
    }

    fn backup(mut self, folder: &str, object: &Object, manifest: Manifest) -> Backup {
        let dump = format!("{folder}{}", manifest.file);
        let found = self.objects.iter().find(|(_, object)| object.name == dump);
        let dump_bytes = found.map(|(_, object)| object.bytes);
        self.verifications.retain(|record| record.backup == manifest.id());
        self.verifications.sort_by_key(|record| record.at);
        Backup {
            is_whole: dump_bytes == Some(manifest.bytes),
            dump_bytes,
            folder: folder.to_owned(),
            written_at: object.modified,
            beside: self.others(&[&object.name, &dump]),
            manifest,
            verifications: self.verifications,
            unreadable: self.unreadable,
            has_unreadable_failure: self.has_unreadable_failure,
            leases: self.leases,
        }
    }

    fn others(&self, but: &[&str]) -> Vec<String> {
        let names = self.objects.iter().map(|(_, object)| &object.name);
        names.filter(|name| !but.contains(&&***name)).cloned().collect()
    }

    /// A dump outside of an instance's folder is somebody's own: releases before 0.2 left none without a manifest.
    fn orphans(self, folder: &str) -> Vec<Orphan> {
        let leased_until = self.leases.iter().map(|lease| lease.until).max();
        let ours =
            self.objects.into_iter().filter(|(kind, _)| *kind != Kind::Dump || !folder.is_empty());
        ours.map(|(_, object)| Orphan { object: object.clone(), leased_until }).collect()
    }
}
