//! Middleware around every request.

pub mod observe;
mod request_log;
mod trace_context;
