//! Settings, read from the environment: one struct a concern; all problems are reported at once.

mod backups;
mod connection_limits;
mod connections;
mod database;
mod database_url;
mod embeddings;
mod limits;
mod listen;
mod logs;
mod mcp;
mod memory;
mod reader;
mod requests;
mod unknown;

pub use backups::BackupSettings;
pub use connection_limits::{Limits, Times};
pub use connections::ConnectionSettings;
pub use database::{DatabaseSettings, ReplicaSettings};
pub(crate) use database_url::endpoint;
pub use database_url::{DatabaseUrl, InvalidDatabaseUrl, TargetSession};
pub use embeddings::{EmbeddingSettings, LocalSettings, OpenAiSettings, Provider};
pub use limits::LimitSettings;
pub use listen::{ListenSettings, MONITORING_ON_PORT, MetricsAccess};
pub use logs::{LogFormat, LogSettings};
pub use mcp::McpSettings;
pub use memory::MemorySettings;
pub use reader::{Described, SettingsError, setting};
pub use requests::{BodyLimit, UnknownFields};
pub use unknown::unknown_settings;

use agentfs_contract::setting;
use reader::Reader;

/// All settings of `agentfs-server serve` and `agentfs-server worker`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The database.
    pub database: DatabaseSettings,
    /// The listeners.
    pub listen: ListenSettings,
    /// Connections.
    pub connections: ConnectionSettings,
    /// Memory.
    pub memory: MemorySettings,
    /// Quotas and rate limits.
    pub limits: LimitSettings,
    /// Most bytes of a request's body.
    pub body_limit: BodyLimit,
    /// What is done with fields that a route does not know.
    pub unknown_fields: UnknownFields,
    /// MCP.
    pub mcp: McpSettings,
    /// Embeddings.
    pub embeddings: EmbeddingSettings,
    /// Backups.
    pub backups: BackupSettings,
    /// Logs.
    pub logs: LogSettings,
}

impl Settings {
    /// Reads all settings from the process' environment; it may use `memory` bytes.
    pub fn from_env(memory: u64) -> Result<Self, SettingsError> {
        Self::read(|name| std::env::var(name).ok(), memory)
    }

    /// Reads all settings from `variable`, which gives the value of a name, for a process that may use `memory` bytes.
    pub fn read(
        variable: impl Fn(&str) -> Option<String>,
        memory: u64,
    ) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(&variable).within_memory(memory);
        let database = DatabaseSettings::read(&mut reader);
        let listen = ListenSettings::read(&mut reader);
        let connections = ConnectionSettings::read(&mut reader);
        let memory = MemorySettings::read(&mut reader);
        let limits = LimitSettings::read(&mut reader);
        let body_limit = BodyLimit::read(&mut reader);
        if let (Some(limit), Some(memory)) = (body_limit, memory) {
            limit.within(memory.budget, &mut reader);
        }
        let unknown_fields = UnknownFields::read(&mut reader);
        let mcp = McpSettings::read(&mut reader);
        let embeddings = EmbeddingSettings::read(&mut reader);
        let backups = BackupSettings::read(&reader);
        let logs = LogSettings::read(&mut reader, LogSettings::SERVING);
        reader.finish()?;
        // Each is there when no problem was noted.
        let whole = || {
            Some(Self {
                database: database?,
                listen: listen?,
                connections: connections?,
                memory: memory?,
                limits: limits?,
                body_limit: body_limit?,
                unknown_fields: unknown_fields?,
                mcp: mcp?,
                embeddings: embeddings?,
                backups,
                logs: logs?,
            })
        };
        whole().ok_or_else(SettingsError::default)
    }

    /// The limits that hold, for people.
    pub fn limits_in_words(&self) -> String {
        let limits = self.limits.in_words(self.embeddings.tokens_per_day);
        if limits.is_empty() { "none".to_owned() } else { limits.join(", ") }
    }

    /// All settings, for `serve --help`.
    pub fn described() -> impl Iterator<Item = Described> {
        let concerns = [
            DatabaseSettings::DESCRIBED,
            ListenSettings::DESCRIBED,
            ConnectionSettings::DESCRIBED,
            MemorySettings::DESCRIBED,
            LimitSettings::DESCRIBED,
            BodyLimit::DESCRIBED,
            UnknownFields::DESCRIBED,
            McpSettings::DESCRIBED,
            EmbeddingSettings::DESCRIBED,
            BackupSettings::DESCRIBED,
            LogSettings::DESCRIBED,
        ];
        concerns.into_iter().flatten().copied()
    }

    /// The settings that matter to a worker, for `worker --help`.
    pub fn described_for_workers() -> impl Iterator<Item = Described> {
        Self::described().filter(|setting| !OF_THE_API_ALONE.contains(&setting.name))
    }
}

/// Settings of what a worker does not do. It reads them all the same, and refuses what is wrong.
const OF_THE_API_ALONE: [&str; 26] = [
    "DATABASE_WRITERS",
    "DATABASE_READERS",
    "DATABASE_READ_URL",
    "DATABASE_READ_MAX_LAG_SECONDS",
    "ADMIN_BOOTSTRAP_TOKEN",
    "MAX_CONNECTIONS",
    "KEEP_ALIVE_SECONDS",
    "MEMORY_BUDGET_MIB",
    setting::WRITE_QUOTA_PER_DAY,
    setting::WRITE_MIB_QUOTA_PER_DAY,
    setting::IDEMPOTENCY_KEYS_QUOTA_PER_DAY,
    setting::STORED_MIB_QUOTA,
    setting::SEARCH_QUOTA_PER_DAY,
    setting::RATE_LIMIT_REQUESTS_PER_MINUTE,
    setting::SEARCH_RATE_LIMIT_PER_MINUTE,
    setting::TENANT_RATE_LIMIT_REQUESTS_PER_MINUTE,
    setting::TENANT_SEARCH_RATE_LIMIT_PER_MINUTE,
    setting::MAX_KEYS_PER_TENANT,
    "MAX_BODY_BYTES",
    "UNKNOWN_FIELDS",
    "ENABLE_MCP",
    "MCP_ALLOWED_HOSTS",
    "MCP_ALLOWED_ORIGINS",
    "EMBED_QUERY_TIMEOUT_SECONDS",
    setting::BACKUP_LOCATION,
    setting::BACKUP_INSTANCE,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let find =
            |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Settings::read(find, GIB / 2).map_err(|e| e.to_string())
    }

    const GIB: u64 = 1 << 30;
    const DATABASE: (&str, &str) = ("DATABASE_URL", "postgres://u:p@localhost/agentfs");

    #[test]
    fn what_the_operator_sets_is_a_setting() {
        for name in setting::OF_SERVING.into_iter().chain(OF_THE_API_ALONE) {
            assert!(Settings::described().any(|setting| setting.name == name), "{name}");
        }
    }

    #[test]
    fn the_limits_that_hold_are_said() {
        let said = |pairs: &[(&str, &str)]| {
            read(&[&[DATABASE], pairs].concat()).unwrap().limits_in_words()
        };
        assert_eq!(
            said(&[]),
            "120 requests per minute and key, 120 searches per minute and key, 960 requests per minute and tenant except the default one, \
             960 searches per minute and tenant except the default one, 600 requests without a valid key per minute and client, \
             5000 writes per day and tenant, 100000 Idempotency-Keys per day and tenant, 2000000 embedding tokens per day and tenant, \
             1000 keys per tenant"
        );
        let none = LimitSettings::WITH_DEFAULTS.map(|name| (name, "0"));
        assert_eq!(said(&none), "none");
        let set = [
            ("TENANT_RATE_LIMIT_REQUESTS_PER_MINUTE", "7"),
            ("WRITE_MIB_QUOTA_PER_DAY", "3"),
            ("STORED_MIB_QUOTA", "5"),
            ("SEARCH_QUOTA_PER_DAY", "9"),
        ];
        assert_eq!(
            said(&[&none[..], &set].concat()),
            "7 requests per minute and tenant, 3 MiB written per day and tenant, 9 searches per day and tenant, 5 MiB stored per tenant"
        );
    }

    #[test]
    fn a_body_has_room_in_the_budget() {
        let limit = |pairs: &[(&str, &str)]| {
            read(&[&[DATABASE], pairs].concat()).map(|settings| settings.body_limit.0)
        };
        assert_eq!(limit(&[]), Ok(1 << 20));
        assert_eq!(limit(&[("MAX_BODY_BYTES", "8388608")]), Ok(8 << 20));
        assert_eq!(limit(&[("MEMORY_BUDGET_MIB", "32")]), Ok(1 << 20));
        for wrong in ["8388609", "1024", "8M"] {
            let error = limit(&[("MAX_BODY_BYTES", wrong)]).unwrap_err();
            assert!(
                error.contains("it must be a number of bytes from 65536 to 8388608"),
                "{error}"
            );
        }
        let error = limit(&[("MAX_BODY_BYTES", "8388608"), ("MEMORY_BUDGET_MIB", "59")]);
        assert!(error.unwrap_err().contains("MEMORY_BUDGET_MIB of at least 60"));
    }

    #[test]
    fn one_address_is_listened_on_where_it_is_set() {
        let listening = |address: &str| read(&[DATABASE, ("LISTEN", address)]);
        let listen = listening("127.0.0.1").unwrap().listen;
        assert_eq!(
            [listen.address, listen.operations].map(|at| at.to_string()),
            ["127.0.0.1:8787", "127.0.0.1:8788"]
        );
        assert_eq!(listening("::1").unwrap().listen.address.to_string(), "[::1]:8787");
        assert_eq!(
            listening("127.0.0.1:80").unwrap_err(),
            "LISTEN is \"127.0.0.1:80\"; it must be an IP address, such as 127.0.0.1 (the port is that of PORT)"
        );
    }

    #[test]
    fn the_help_of_a_worker_names_what_it_reads() {
        let named = |name: &str| Settings::described_for_workers().any(|s| s.name == name);
        for name in ["DATABASE_URL", "PORT_OPERATIONS", "EMBEDDING_MODEL_DIR", "TRUST_PROXY"] {
            assert!(named(name), "{name}");
        }
        assert!(!named("RATE_LIMIT_REQUESTS_PER_MINUTE") && !named("ADMIN_BOOTSTRAP_TOKEN"));
    }

    #[test]
    fn only_the_database_must_be_named() {
        let settings = read(&[DATABASE]).unwrap();
        assert_eq!(settings.listen.address.to_string(), "[::]:8787");
        assert_eq!(settings.listen.operations.to_string(), "[::]:8788");
        let limits = |pairs: &[(&str, &str)]| {
            let limits = read(&[&[DATABASE], pairs].concat()).unwrap().limits.writes;
            [limits.writes, limits.bytes, limits.idempotency_keys, limits.stored_bytes]
        };
        assert_eq!(limits(&[]), [Some(5000), None, Some(100_000), None]);
        assert_eq!(limits(&[("WRITE_QUOTA_PER_DAY", "0")])[0], None);
        let mib = [("WRITE_MIB_QUOTA_PER_DAY", "3"), ("STORED_MIB_QUOTA", "2048")];
        assert_eq!(limits(&mib), [Some(5000), Some(3 << 20), Some(100_000), Some(2 << 30)]);
    }

    #[test]
    fn the_port_of_operations_follows_the_apis_and_is_another() {
        let operations = |pairs: &[(&str, &str)]| {
            read(&[&[DATABASE], pairs].concat()).map(|settings| settings.listen.operations.port())
        };
        assert_eq!(operations(&[("PORT", "9000")]), Ok(9001));
        assert_eq!(operations(&[("PORT", "9000"), ("PORT_OPERATIONS", "80")]), Ok(80));
        for (port, operations_port, said) in [
            ("9000", "9000", "PORT_OPERATIONS and PORT are both 9000"),
            ("65535", "", "there is no port 65535 + 1; set it"),
            ("9000", "ops", "PORT_OPERATIONS is \"ops\"; it must be a number from 1 to 65535"),
        ] {
            let error = operations(&[("PORT", port), ("PORT_OPERATIONS", operations_port)]);
            assert!(error.as_ref().is_err_and(|error| error.contains(said)), "{error:?}");
        }
    }

    #[test]
    fn a_token_that_can_be_guessed_is_refused_and_not_shown() {
        for name in ["ADMIN_BOOTSTRAP_TOKEN", "METRICS_TOKEN"] {
            let error = read(&[DATABASE, (name, "hunter2")]).unwrap_err();
            assert_eq!(
                error,
                format!(
                    "{name} has 7 characters, and others can guess it; it must have at least 32: make one with `openssl rand -hex 32`, or leave it out"
                )
            );
            assert!(read(&[DATABASE, (name, "")]).is_ok());
            assert!(read(&[DATABASE, (name, &"x".repeat(32))]).is_ok());
        }
    }

    #[test]
    fn connections_and_the_budget_follow_the_memory_unless_they_are_set() {
        let of = |memory, pairs: &[(&str, &str)]| {
            let find = |name: &str| {
                let all = pairs.iter().chain(&[DATABASE]);
                all.copied().find(|(n, _)| *n == name).map(|(_, value)| value.to_owned())
            };
            let settings = Settings::read(find, memory).unwrap();
            (settings.connections.limits.connections, settings.memory.budget >> 20)
        };
        assert_eq!(of(GIB / 2, &[]), (2184, 170));
        assert_eq!(of(GIB / 16, &[]), (273, 32));
        assert_eq!(of(64 * GIB, &[]), (10_000, 21_845));
        let set = [("MAX_CONNECTIONS", "20000"), ("MEMORY_BUDGET_MIB", "100")];
        assert_eq!(of(GIB / 2, &set), (20_000, 100));
        let error = read(&[DATABASE, ("MEMORY_BUDGET_MIB", "31")]).unwrap_err();
        assert_eq!(error, "MEMORY_BUDGET_MIB is \"31\"; it must be a number from 32 to 1048576");
    }

    #[test]
    fn all_problems_are_named_at_once_without_secrets() {
        let error =
            read(&[("DATABASE_URL", "hunter2"), ("PORT", "http"), ("WRITE_QUOTA_PER_DAY", "-1")])
                .unwrap_err();
        assert_eq!(
            error,
            "DATABASE_URL is not valid: it does not start with postgres://; it looks like postgres://user:password@host:5432/database\n\
             PORT is \"http\"; it must be a number from 1 to 65535\n\
             WRITE_QUOTA_PER_DAY is \"-1\"; it must be a whole number, 0 for unlimited"
        );
        assert!(
            read(&[]).unwrap_err().starts_with("DATABASE_URL is not set; set it to postgres://")
        );
    }
}
