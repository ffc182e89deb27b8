//! Ports.

/// Where the server listens unless `PORT` says otherwise, and where the Service of the API is.
pub const API: u16 = 8787;
/// Where it has health routes and `/metrics` alone unless `PORT_OPERATIONS` says otherwise.
pub const OPERATIONS: u16 = API + 1;
/// Where a Job of recovery says how far it is; see [`crate::progress`].
pub const PROGRESS: u16 = OPERATIONS;
