//! Decides which backups have expired.

use agentfs_contract::manifest::Scope;
use jiff::{SignedDuration, Timestamp};

use super::catalogue::{Backup, Catalogue};
use super::instance::Instance;

/// A retention policy.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Backups older than this many days may expire.
    pub days: u32,
    /// This many of the newest never expire.
    pub keep_last: usize,
}

impl Retention {
    /// The backups of `instance` and `scope` that have expired at `now`. Those of another instance or scope never do.
    pub(super) fn expired<'a>(
        &self,
        catalogue: &'a Catalogue,
        instance: &'a Instance,
        scope: Scope,
        now: Timestamp,
    ) -> Vec<&'a Backup> {
        let oldest = now - SignedDuration::from_hours(24 * i64::from(self.days));
        let mut ours: Vec<&Backup> =
            catalogue.of(instance).filter(|backup| backup.manifest.scope == scope).collect();
        ours.reverse();
        // One that was cut short is none to rely on.
        let last = ours.iter().filter(|backup| backup.is_whole).nth(self.keep_last.max(1) - 1);
        // Without so many there is none to spare.
        let Some(last) = last.map(|backup| backup.manifest.snapshot_at) else { return Vec::new() };
        ours.retain(|backup| backup.manifest.snapshot_at < last.min(oldest));
        ours
    }
}
