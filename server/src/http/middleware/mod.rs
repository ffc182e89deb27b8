//! Middleware around every request.

pub mod observe;
