//! The process itself: health, logs, metrics, exit codes.

pub mod api_client;
pub mod byte_budget;
pub mod cpu;
pub mod exit;
pub mod fair_pool;
pub mod fair_semaphore;
pub mod health;
pub mod http_client;
pub mod https;
pub mod innermost;
pub(crate) mod jitter;
pub mod logging;
pub mod memory_limit;
pub mod metrics;
pub mod replica;
pub mod signals;
