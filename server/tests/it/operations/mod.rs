//! What operators do, and what the pages for them say.

mod admin;
mod monitoring;
mod runbook;
mod runbook_sql;
