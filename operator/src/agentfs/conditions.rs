//! The types of the conditions of an AgentFS, besides those of every kind.

/// The Secrets are there and can be used.
pub const CREDENTIALS_READY: &str = "CredentialsReady";
/// The database takes connections.
pub const DATABASE_READY: &str = "DatabaseReady";
/// The schema fits the server's image.
pub const SCHEMA_READY: &str = "SchemaReady";
/// The connection pool takes connections.
pub const POOLER_READY: &str = "PoolerReady";
/// The API pods answer.
pub const API_READY: &str = "APIReady";
/// The worker pods are ready to embed.
pub const WORKERS_READY: &str = "WorkersReady";
/// Backups will be made.
pub const BACKUPS_SCHEDULED: &str = "BackupsScheduled";
/// The newest backup is young enough. It never makes Ready false.
pub const BACKUP_FRESH: &str = "BackupFresh";
