//! Backups, and restores with PostgreSQL's own programs.

mod backup;
mod catalogue;
mod damage;
mod drill;
mod encryption;
mod failover;
mod file;
mod fingerprint;
mod full_volume;
mod in_place;
mod into_database;
mod kept;
mod majors;
mod one_at_a_time;
mod progress;
mod pruning;
mod records;
mod rehearse;
mod requests;
mod restore;
mod s3;
mod source;
mod storage;
mod verify;
mod walk;
mod workload_identity;
