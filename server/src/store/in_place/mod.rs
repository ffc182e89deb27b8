//! SQL of a restore in place: the schema that a backup is staged in, the switch, and what is kept of it.

pub mod autovacuum;
pub mod dependents;
pub mod holder;
pub mod indexes;
pub mod live;
pub mod lost;
pub(in crate::store) mod meta;
pub mod previous;
pub mod properties;
pub mod records;
pub mod refill;
pub mod rows;
mod schemas;
mod search_path;
pub mod security;
pub mod space;
pub mod staging;
pub mod stored_bytes;
pub mod switch;

use super::names::qualified;

/// The schema that a backup is loaded into.
pub const NEW: &str = "agentfs_new";
/// The schema that the previous tables are in.
pub const PREVIOUS: &str = "agentfs_old";
/// The schema of what is known of restores. No switch moves it, and no backup holds it.
pub const META: &str = "agentfs_meta";

/// Tables that never move, in a restore and in an undo alike: what may be done, and what was used.
pub const STAYING: [&str; 4] = ["tenants", "api_keys", "quota_usage", "rate_limits"];

/// Tables that move, in the order in which writers lock them: in another one, a switch and a writer wait for each other.
///
/// It is the order of a statement that the session knows already, which locks the tables of its own level before those of its CTEs:
/// `fast_put` (with a quota of stored bytes, `storage_usage` comes before the heads), `locked_write`, then a worker's claims and
/// outcomes, in which `embedding_models` comes late, by the foreign keys of `embeddings`. Rare ones have another order, such as sweeps, which end with
/// `storage_usage`, and the first use of a statement on a connection: they cost a switch a try.
pub const MOVING: [&str; 11] = [
    "storage_usage",
    "idempotency_keys",
    "entries",
    "entry_versions",
    "search_documents",
    "embedding_jobs",
    "embeddings",
    "embedding_models",
    "embedding_chunks",
    "schema_version",
    "_sqlx_migrations",
];

/// The moving tables of a schema, quoted for SQL.
fn moving(schema: &str) -> Vec<String> {
    MOVING.map(|table| qualified(schema, table)).to_vec()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::schema::{MIGRATIONS_TABLE, TABLES};

    #[test]
    fn each_table_moves_or_stays() {
        let ours: BTreeSet<&str> = TABLES.into_iter().chain([MIGRATIONS_TABLE]).collect();
        let known: Vec<&str> = MOVING.into_iter().chain(STAYING).collect();
        assert_eq!(known.len(), ours.len());
        assert_eq!(known.into_iter().collect::<BTreeSet<_>>(), ours);
    }
}
