//! Decides which backups have expired.

use agentfs_contract::manifest::{Manifest, Scope};
use jiff::{SignedDuration, Timestamp};

/// A retention policy for the backups of one database and scope.
#[derive(Debug, Clone)]
pub(super) struct Retention {
    /// Backups older than this may expire.
    pub(super) days: u32,
    /// This many of the newest never expire.
    pub(super) keep_last: usize,
    /// What they hold.
    pub(super) scope: Scope,
    /// The database that they are of.
    pub(super) instance: String,
}

/// A backup that exists.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// Its manifest.
    pub(super) manifest: Manifest,
    /// Whether the dump is as long as the manifest says. One that is not expires by its age alone.
    pub(super) is_whole: bool,
}

impl Retention {
    /// Those of `kept` that have expired at `now`. Backups of another database or scope are ignored.
    pub(super) fn expired(&self, kept: Vec<Kept>, now: Timestamp) -> Vec<Manifest> {
        let oldest = now - SignedDuration::from_hours(24 * i64::from(self.days));
        let mut ours = kept;
        ours.retain(|Kept { manifest, .. }| {
            manifest.instance == self.instance && manifest.scope == self.scope
        });
        ours.sort_by_key(|backup| std::cmp::Reverse(backup.manifest.snapshot_at));
        let last = ours.iter().filter(|backup| backup.is_whole).nth(self.keep_last.max(1) - 1);
        // Without so many there is none to spare.
        let Some(last) = last.map(|backup| backup.manifest.snapshot_at) else { return Vec::new() };
        ours.into_iter()
            .map(|backup| backup.manifest)
            .filter(|backup| backup.snapshot_at < last.min(oldest))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(file: &str, days_ago: i64) -> Manifest {
        let at = now() - SignedDuration::from_hours(24 * days_ago);
        Manifest {
            format: 1,
            scope: Scope::Full,
            file: file.into(),
            bytes: 1,
            sha256: String::new(),
            instance: "7/agentfs".into(),
            schema_version: 7,
            min_compatible: 1,
            postgres: "18.4".into(),
            program: "0.1.0".into(),
            snapshot_at: at,
            finished_at: at,
            rows: [].into(),
        }
    }

    fn now() -> Timestamp {
        "2026-11-25T02:00:00Z".parse().unwrap()
    }

    fn gone(kept: Vec<Manifest>, days: u32, keep_last: usize) -> Vec<String> {
        let kept = kept
            .into_iter()
            .map(|manifest| Kept { is_whole: !manifest.file.starts_with("cut"), manifest });
        let (scope, instance) = (Scope::Full, "7/agentfs".into());
        let gone = Retention { days, keep_last, scope, instance }.expired(kept.collect(), now());
        gone.into_iter().map(|backup| backup.file).collect()
    }

    #[test]
    fn the_old_go_but_never_the_last_ones() {
        let kept = || vec![backup("c", 40), backup("new", 0), backup("a", 29), backup("b", 31)];
        assert_eq!(gone(kept(), 30, 2), ["b", "c"]);
        assert_eq!(gone(kept(), 30, 3), ["c"]);
        assert_eq!(gone(kept(), 30, 4), [""; 0]);
        assert_eq!(gone(kept(), 0, 0), ["a", "b", "c"], "the newest stays");
    }

    #[test]
    fn a_cut_dump_is_none_of_the_last_ones() {
        let kept = || {
            vec![backup("cut", 33), backup("good", 40), backup("older", 50), backup("cut too", 60)]
        };
        assert_eq!(gone(kept(), 30, 1), ["older", "cut too"]);
        assert_eq!(gone(kept(), 30, 2), ["cut too"]);
        assert_eq!(gone(vec![backup("cut", 33), backup("cut too", 60)], 30, 1), [""; 0]);
    }

    #[test]
    fn what_is_of_another_database_or_scope_stays() {
        let mut foreign = backup("foreign", 99);
        foreign.instance = "8/agentfs".into();
        let mut entries = backup("entries", 99);
        entries.scope = Scope::Entries;
        assert_eq!(gone(vec![foreign, entries, backup("new", 0)], 1, 1), [""; 0]);
    }
}
