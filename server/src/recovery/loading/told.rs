//! Tells how far a step is, in bytes of all tables.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use agentfs_contract::manifest::Table;

use crate::recovery::progress::{Progress, Update};

/// A step that is told of.
pub(super) struct Told<'a> {
    progress: Progress<'a>,
    step: &'static str,
    total: u64,
    done: AtomicU64,
}

impl<'a> Told<'a> {
    pub(super) fn of(progress: Progress<'a>, step: &'static str, total: u64) -> Self {
        progress(&Update { step, of: None, done: 0, total });
        Self { progress, step, total, done: AtomicU64::new(0) }
    }

    /// So many bytes more are done, of that table or index.
    pub(super) fn add(&self, of: &str, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let of = Some(of.to_owned());
        (self.progress)(&Update { step: self.step, of, done, total: self.total });
    }
}

/// What the rows of each table weigh, by the manifest: bytes, or nothing where it does not say.
pub(super) fn weights(tables: &BTreeMap<String, Table>) -> BTreeMap<&str, u64> {
    let bytes = |table: &Table| table.bytes.and_then(|bytes| u64::try_from(bytes).ok());
    tables.iter().map(|(name, table)| (&**name, bytes(table).unwrap_or_default())).collect()
}

/// What the rows of a table weigh by these weights.
pub(super) fn weight(weights: &BTreeMap<&str, u64>, table: &str) -> u64 {
    weights.get(table).copied().unwrap_or_default()
}

/// The share of a table that is loaded. Its bytes in the dump are others than those in the manifest, so rows are counted.
#[derive(Debug)]
pub(super) struct Share {
    bytes: u64,
    rows: u64,
    seen: u64,
    told: u64,
}

impl Share {
    pub(super) fn of(table: Option<&Table>) -> Self {
        let bytes = table.and_then(|table| table.bytes).unwrap_or_default();
        let rows = table.map_or(0, |table| table.rows);
        Self {
            bytes: bytes.try_into().unwrap_or_default(),
            rows: rows.try_into().unwrap_or_default(),
            seen: 0,
            told: 0,
        }
    }

    /// So many rows more; by how many bytes the table has come further.
    pub(super) fn rows(&mut self, rows: u64) -> u64 {
        self.seen += rows;
        let seen = u128::from(self.seen.min(self.rows));
        let done = u128::from(self.bytes) * seen / u128::from(self.rows.max(1));
        let done = u64::try_from(done).unwrap_or(self.bytes);
        let more = done - self.told;
        self.told = done;
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_weighs_what_the_manifest_says_whatever_its_rows_are() {
        let mut share = Share::of(Some(&Table { rows: 3, bytes: Some(100), fingerprint: None }));
        let told = [1, 1, 0, 1, 5].map(|rows| share.rows(rows));
        assert_eq!(told, [33, 33, 0, 34, 0]);
        assert_eq!(Share::of(None).rows(7), 0);
    }
}
