//! The routes, one file each, and what several of them share.

pub(super) mod agents;
pub(super) mod batch;
pub(super) mod create_key;
pub(super) mod create_tenant;
pub(super) mod delete;
pub(super) mod docs;
pub(super) mod dump;
pub(super) mod get;
pub(super) mod glob;
pub(super) mod health;
pub(super) mod history;
pub(super) mod list;
pub(super) mod list_keys;
pub(super) mod list_tenants;
pub(super) mod metrics;
pub(super) mod move_subtree;
pub(super) mod preconditions;
pub(super) mod put;
pub(super) mod requeue;
pub(super) mod revoke_key;
pub(super) mod root;
pub(super) mod search;
pub(super) mod touch;
pub(super) mod usage;
