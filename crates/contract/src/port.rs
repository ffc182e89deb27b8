//! Ports.

/// Where the server listens unless `PORT` says otherwise, and where the Service of the API is.
pub const API: u16 = 8787;
