//! Middleware around every request.

pub mod observe;
mod trace_context;
