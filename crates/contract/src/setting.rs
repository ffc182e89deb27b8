//! The names of the server's settings that the operator sets, or relies on: environment variables of the server's pods.

/// The URL of the database.
pub const DATABASE_URL: &str = "DATABASE_URL";
/// The IP address that both ports are at.
pub const LISTEN: &str = "LISTEN";
/// The port of the API.
pub const PORT: &str = "PORT";
/// The port of the health routes and `/metrics` alone.
pub const PORT_OPERATIONS: &str = "PORT_OPERATIONS";
/// A key that `migrate` makes valid, with the scope `admin`.
pub const ADMIN_KEY: &str = "AGENTFS_ADMIN_KEY";
/// The addresses of proxies whose word for the client's address counts.
pub const TRUST_PROXY: &str = "TRUST_PROXY";

/// Writes a day of a tenant.
pub const WRITE_QUOTA_PER_DAY: &str = "WRITE_QUOTA_PER_DAY";
/// Searches a day of a tenant.
pub const SEARCH_QUOTA_PER_DAY: &str = "SEARCH_QUOTA_PER_DAY";
/// Embedding tokens a day of a tenant.
pub const EMBED_TOKENS_QUOTA_PER_DAY: &str = "EMBED_TOKENS_QUOTA_PER_DAY";
/// Mebibytes that a tenant may have stored.
pub const STORED_MIB_QUOTA: &str = "STORED_MIB_QUOTA";
/// Mebibytes that a tenant may write a day.
pub const WRITE_MIB_QUOTA_PER_DAY: &str = "WRITE_MIB_QUOTA_PER_DAY";
/// Idempotency-Keys that a tenant may use a day.
pub const IDEMPOTENCY_KEYS_QUOTA_PER_DAY: &str = "IDEMPOTENCY_KEYS_QUOTA_PER_DAY";
/// Keys that a tenant may have, without those that are revoked or expired.
pub const MAX_KEYS_PER_TENANT: &str = "MAX_KEYS_PER_TENANT";
/// Requests a minute of a key.
pub const RATE_LIMIT_REQUESTS_PER_MINUTE: &str = "RATE_LIMIT_REQUESTS_PER_MINUTE";
/// Searches a minute of a key.
pub const SEARCH_RATE_LIMIT_PER_MINUTE: &str = "SEARCH_RATE_LIMIT_PER_MINUTE";
/// Requests a minute of a tenant, by all of its keys.
pub const TENANT_RATE_LIMIT_REQUESTS_PER_MINUTE: &str = "TENANT_RATE_LIMIT_REQUESTS_PER_MINUTE";
/// Searches a minute of a tenant, by all of its keys.
pub const TENANT_SEARCH_RATE_LIMIT_PER_MINUTE: &str = "TENANT_SEARCH_RATE_LIMIT_PER_MINUTE";
/// Requests without a valid key a minute of an address.
pub const PREAUTH_RATE_LIMIT_PER_MINUTE: &str = "PREAUTH_RATE_LIMIT_PER_MINUTE";

/// The address of an API, for commands that call it.
pub const AGENTFS_URL: &str = "AGENTFS_URL";
/// The key that such commands send.
pub const API_KEY: &str = "AGENTFS_API_KEY";
/// Where backups are kept: a folder, or `s3://bucket/prefix`.
pub const BACKUP_LOCATION: &str = "BACKUP_LOCATION";
/// What tells the database from copies with the same history, such as the uid of its volume's claim.
pub const BACKUP_INSTANCE: &str = "BACKUP_INSTANCE";
/// The age recipients that backups are encrypted to, with commas between them.
pub const BACKUP_RECIPIENTS: &str = "BACKUP_RECIPIENTS";
/// The file of the age identities that decrypt backups.
pub const BACKUP_IDENTITY_FILE: &str = "BACKUP_IDENTITY_FILE";
/// A server on which `verify` may make databases, in place of a throwaway one.
pub const BACKUP_SCRATCH_URL: &str = "BACKUP_SCRATCH_URL";

/// A folder with a Secret's entries as files, which are the keys of the bucket.
pub const BACKUP_S3_CREDENTIALS_DIR: &str = "BACKUP_S3_CREDENTIALS_DIR";
/// The file of the certificates that are trusted besides the system's, in PEM.
pub const BACKUP_S3_CA_FILE: &str = "BACKUP_S3_CA_FILE";
/// The URL of the store that speaks S3, as the tools of AWS know it.
pub const AWS_ENDPOINT_URL_S3: &str = "AWS_ENDPOINT_URL_S3";
/// Its region.
pub const AWS_REGION: &str = "AWS_REGION";
/// What it encrypts objects with.
pub const AWS_SERVER_SIDE_ENCRYPTION: &str = "AWS_SERVER_SIDE_ENCRYPTION";
/// The key of its key management service.
pub const AWS_SSE_KMS_KEY_ID: &str = "AWS_SSE_KMS_KEY_ID";

/// The size of the volume of the database's server, such as `10485760kB`: `restore` finds out by it whether there is room.
pub const POSTGRES_VOLUME_SIZE: &str = "POSTGRES_VOLUME_SIZE";

/// The resource that a command works for: a [`Request`](crate::request::Request).
pub const REQUEST: &str = "AGENTFS_REQUEST";
/// The AgentFS whose AgentFSBackup records a command keeps; none are kept where it is not set.
pub const RECORDS_OF: &str = "AGENTFS_RECORDS_OF";
/// The AgentFSBackup that the backup of this run is for; left out, one is made for it.
pub const RECORD: &str = "AGENTFS_RECORD";
/// The port on which a command says how far it is (see [`crate::progress`]); left out, it does not.
pub const PROGRESS_PORT: &str = "AGENTFS_PROGRESS_PORT";

/// The folder of the local embedding model, or of several.
pub const EMBEDDING_MODEL_DIR: &str = "EMBEDDING_MODEL_DIR";
/// Which of several local models it is.
pub const EMBEDDING_MODEL: &str = "EMBEDDING_MODEL";
/// The endpoint of embeddings.
pub const OPENAI_BASE_URL: &str = "OPENAI_BASE_URL";
/// The key for the endpoint of embeddings.
pub const OPENAI_API_KEY: &str = "OPENAI_API_KEY";
/// The model of the endpoint.
pub const OPENAI_EMBED_MODEL: &str = "OPENAI_EMBED_MODEL";
/// The length of the endpoint's vectors.
pub const OPENAI_EMBED_DIMENSIONS: &str = "OPENAI_EMBED_DIMENSIONS";
/// How long the endpoint may take.
pub const EMBED_TIMEOUT_SECONDS: &str = "EMBED_TIMEOUT_SECONDS";

/// Settings of `serve` and `worker` that the operator sets.
pub const OF_SERVING: [&str; 23] = [
    DATABASE_URL,
    PORT,
    PORT_OPERATIONS,
    TRUST_PROXY,
    WRITE_QUOTA_PER_DAY,
    SEARCH_QUOTA_PER_DAY,
    EMBED_TOKENS_QUOTA_PER_DAY,
    STORED_MIB_QUOTA,
    WRITE_MIB_QUOTA_PER_DAY,
    IDEMPOTENCY_KEYS_QUOTA_PER_DAY,
    MAX_KEYS_PER_TENANT,
    RATE_LIMIT_REQUESTS_PER_MINUTE,
    SEARCH_RATE_LIMIT_PER_MINUTE,
    TENANT_RATE_LIMIT_REQUESTS_PER_MINUTE,
    TENANT_SEARCH_RATE_LIMIT_PER_MINUTE,
    PREAUTH_RATE_LIMIT_PER_MINUTE,
    EMBEDDING_MODEL_DIR,
    EMBEDDING_MODEL,
    OPENAI_BASE_URL,
    OPENAI_API_KEY,
    OPENAI_EMBED_MODEL,
    OPENAI_EMBED_DIMENSIONS,
    EMBED_TIMEOUT_SECONDS,
];
/// Settings of `migrate`, besides those of `serve`.
pub const OF_MIGRATION: [&str; 2] = [DATABASE_URL, ADMIN_KEY];
/// Settings of `backup`, `verify` and `drill` that the operator sets.
pub const OF_RECOVERY: [&str; 13] = [
    DATABASE_URL,
    AGENTFS_URL,
    BACKUP_LOCATION,
    BACKUP_INSTANCE,
    BACKUP_RECIPIENTS,
    BACKUP_IDENTITY_FILE,
    BACKUP_S3_CREDENTIALS_DIR,
    BACKUP_S3_CA_FILE,
    AWS_ENDPOINT_URL_S3,
    AWS_REGION,
    AWS_SERVER_SIDE_ENCRYPTION,
    AWS_SSE_KMS_KEY_ID,
    RECORDS_OF,
];
