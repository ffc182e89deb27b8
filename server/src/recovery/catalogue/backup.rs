//! A backup, and what is said of it.

use agentfs_contract::manifest::{Manifest, ManifestError};
use agentfs_contract::verification::{Level, Verification};
use jiff::Timestamp;

use super::super::lease::Held;
use super::super::storage::Object;

/// A backup that exists.
#[derive(Debug, Clone)]
pub struct Backup {
    /// The folder of its objects at the location, with a slash at its end; empty for those of releases before 0.2.
    pub folder: String,
    /// Its manifest.
    pub manifest: Manifest,
    /// When the location took the manifest.
    pub written_at: Timestamp,
    /// The size of the dump that is there, in bytes; `None` where it is missing.
    pub dump_bytes: Option<u64>,
    /// Whether the dump is as long as the manifest says.
    pub is_whole: bool,
    /// Its verifications, the oldest first.
    pub verifications: Vec<Verification>,
    /// Objects that should be verifications or leases and cannot be read.
    pub unreadable: Vec<String>,
    /// Whether one of these is of a verification that failed.
    pub(super) has_unreadable_failure: bool,
    /// Who reads it, and until when.
    pub leases: Vec<Held>,
    /// All of its objects but the manifest and the dump.
    pub beside: Vec<String>,
}

impl Backup {
    /// A whole backup of which no more is known than its manifest.
    pub fn of_manifest(manifest: Manifest) -> Self {
        Self {
            folder: format!("{}/", manifest.instance),
            written_at: manifest.finished_at,
            dump_bytes: Some(manifest.bytes),
            is_whole: true,
            verifications: vec![],
            unreadable: vec![],
            has_unreadable_failure: false,
            leases: vec![],
            beside: vec![],
            manifest,
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        self.manifest.id()
    }

    /// Its id with the folder before it, which no other backup at the location has.
    pub fn path(&self) -> String {
        format!("{}{}", self.folder, self.id())
    }

    /// The name of the dump's object.
    pub fn dump(&self) -> String {
        format!("{}{}", self.folder, self.manifest.file)
    }

    /// The name of the object beside the dump that has this suffix.
    pub fn object(&self, suffix: &str) -> String {
        format!("{}{}{suffix}", self.folder, self.id())
    }

    /// The verifications of this very manifest, the newest first.
    pub fn newest_verifications(&self) -> impl Iterator<Item = &Verification> {
        let of_this = |record: &&Verification| record.manifest == self.manifest.checksum;
        self.verifications.iter().rev().filter(of_this)
    }

    /// The newest verification that decides whether it restores: any that failed, and of those that succeeded one by a restore.
    fn verdict(&self) -> Option<&Verification> {
        self.newest_verifications()
            .find(|record| record.level == Level::Restore || record.failure.is_some())
    }

    /// The newest verification by a restore, if it succeeded and no later verification of any kind failed.
    pub fn proof(&self) -> Option<&Verification> {
        self.verdict().filter(|record| record.proves() && self.is_sound())
    }

    /// Why it is known not to restore, if it is: a later check of the archive alone takes nothing of that back.
    pub fn known_failure(&self) -> Option<&str> {
        if self.has_unreadable_failure {
            return Some("the record of a failed verification cannot be read");
        }
        self.verdict().and_then(|record| record.failure.as_deref())
    }

    /// Whether it is whole, and not known not to restore.
    pub fn is_sound(&self) -> bool {
        self.is_whole && self.known_failure().is_none()
    }

    /// Whether a restore has proven it.
    pub fn is_verified(&self) -> bool {
        self.proof().is_some()
    }

    /// The lease that lasts longest of those that have not ended.
    pub fn live_lease(&self, now: Timestamp) -> Option<&Held> {
        self.leases.iter().filter(|lease| lease.until > now).max_by_key(|lease| lease.until)
    }
}

/// A manifest that cannot be used.
#[derive(Debug, Clone)]
pub struct Unusable {
    /// The name of its object.
    pub name: String,
    /// Why not.
    pub error: ManifestError,
    /// All other objects of that name.
    pub beside: Vec<String>,
}

/// An object of ours that belongs to no backup.
#[derive(Debug, Clone)]
pub struct Orphan {
    /// The object.
    pub object: Object,
    /// Until when somebody reads what is left of that backup, if anybody does.
    pub leased_until: Option<Timestamp>,
}
