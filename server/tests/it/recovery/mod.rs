//! Backups, and restores with PostgreSQL's own programs.

mod backup;
mod restore;
