//! What each route answers, and the pages that say so.

mod agents;
mod as_of;
mod authors;
mod batch;
mod body_limit;
mod dump;
mod entries;
mod errors;
mod fields;
mod filter;
mod front;
mod glob;
mod health;
mod history;
mod idempotency;
mod list;
mod metrics;
mod move_subtree;
mod nearest;
mod openapi;
mod pages;
mod preconditions;
mod search;
mod semantic;
mod subtree_delete;
mod touch;
