//! What operators do, and what the pages for them say.

mod admin;
mod backup_gauges;
mod monitoring;
mod runbook_sql;
