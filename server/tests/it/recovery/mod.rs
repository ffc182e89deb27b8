//! Backups, and restores with PostgreSQL's own programs.

mod backup;
mod full_volume;
mod restore;
