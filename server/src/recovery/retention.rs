//! Decides which backups have expired.

use agentfs_contract::manifest::Manifest;
use jiff::{SignedDuration, Timestamp};

/// A retention policy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retention {
    /// Backups older than this may expire.
    pub(super) days: u32,
    /// This many of the newest never expire.
    pub(super) keep_last: usize,
}

impl Retention {
    /// Those of `kept` that have expired, after `newest` was made at `now`. Backups of another database or scope are
    /// ignored.
    pub(super) fn expired(
        self,
        kept: Vec<Manifest>,
        newest: &Manifest,
        now: Timestamp,
    ) -> Vec<Manifest> {
        let oldest = now - SignedDuration::from_hours(24 * i64::from(self.days));
        let mut ours: Vec<Manifest> = kept
            .into_iter()
            .filter(|backup| backup.instance == newest.instance && backup.scope == newest.scope)
            .collect();
        ours.sort_by_key(|backup| std::cmp::Reverse(backup.snapshot_at));
        ours.into_iter()
            .skip(self.keep_last.max(1))
            .filter(|backup| backup.snapshot_at < oldest)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentfs_contract::manifest::Scope;

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
        let retention = Retention { days, keep_last };
        let gone = retention.expired(kept, &backup("new", 0), now());
        gone.into_iter().map(|backup| backup.file).collect()
    }

    #[test]
    fn the_old_go_but_never_the_last_ones() {
        let kept = || vec![backup("c", 40), backup("new", 0), backup("a", 29), backup("b", 31)];
        assert_eq!(gone(kept(), 30, 2), ["b", "c"]);
        assert_eq!(gone(kept(), 30, 3), ["c"]);
        assert_eq!(gone(kept(), 30, 4), [""; 0]);
        assert_eq!(gone(kept(), 0, 0), ["a", "b", "c"], "the one just made stays");
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
