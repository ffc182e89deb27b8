//! Tests that have the cluster for themselves, one after the other: they stop the operator, count what it does, need all of
//! its speed, or look back on all that it did.

mod api_server_gone;
mod at_rest;
mod fault_walk;
mod leaders;
mod many;
mod pooled;
mod rights;
