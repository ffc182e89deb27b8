//! Settings of the database and its replica.

use std::time::Duration;

use agentfs_contract::setting::{DATABASE_URL, POSTGRES_VOLUME_SIZE};
use secrecy::SecretString;

use super::database_url::DatabaseUrl;
use super::reader::{Described, Reader};

/// Settings of the read replica.
#[derive(Debug, Clone)]
pub struct ReplicaSettings {
    /// Where it is.
    pub url: DatabaseUrl,
    /// The most lag it may have.
    pub max_lag: Duration,
}

/// Settings of the database.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// The database.
    pub url: DatabaseUrl,
    /// Connections for reads other than gets.
    pub pool_size: u32,
    /// Tasks that commit writes, each with a connection of its own.
    pub writers: usize,
    /// Tasks that answer gets, each with a connection of its own.
    pub readers: usize,
    /// The read replica, if there is one.
    pub replica: Option<ReplicaSettings>,
}

impl DatabaseSettings {
    pub(super) const DESCRIBED: &'static [Described] = &[
        Described {
            name: DATABASE_URL,
            about: "postgres://user:password@host:5432/database (required)",
        },
        Described {
            name: "DATABASE_POOL_SIZE",
            about: "connections for reads other than gets; 8 more are reserved for what must not wait for them (5)",
        },
        Described { name: "DATABASE_WRITERS", about: "connections that commit writes (2)" },
        Described {
            name: "DATABASE_READERS",
            about: "connections that answer gets; one more answers batches of them (1)",
        },
        Described {
            name: "DATABASE_READ_URL",
            about: "URL of a replica that get, list, glob and search may read from (none)",
        },
        Described {
            name: "DATABASE_READ_MAX_LAG_SECONDS",
            about: "maximum lag of the replica; beyond it the primary is read (5)",
        },
    ];

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let url = required_url(reader);
        let pool_size = connections(reader, "DATABASE_POOL_SIZE", 5);
        let writers = connections(reader, "DATABASE_WRITERS", 2);
        let readers = connections(reader, "DATABASE_READERS", 1);
        let replica = replica(reader);
        Some(Self {
            url: url?,
            pool_size: pool_size?,
            writers: writers? as usize,
            readers: readers? as usize,
            replica,
        })
    }

    /// Reads the database's URL alone, for programs that need nothing else.
    pub fn url_from_env() -> Result<DatabaseUrl, super::SettingsError> {
        Reader::read_env(required_url)
    }

    /// How large the volume of the server is, in bytes, as `parse` reads sizes; `None` where nobody says.
    pub fn volume_size_from_env(
        parse: impl Fn(&str) -> Option<u64>,
    ) -> Result<Option<u64>, super::SettingsError> {
        let must = "a size with its unit, kB, MB, GB or TB, such as 10GB";
        Reader::read_env(|reader| {
            reader.parsed(POSTGRES_VOLUME_SIZE, None, must, |text| parse(text).map(Some))
        })
    }
}

fn required_url(reader: &mut Reader<'_>) -> Option<DatabaseUrl> {
    let Some(url) = reader.text(DATABASE_URL) else {
        reader.problem(
            "DATABASE_URL is not set; set it to postgres://user:password@host:5432/database (beside `make dev`: `. .agentfs-dev/dev.env`)"
                .to_owned(),
        );
        return None;
    };
    parsed(reader, DATABASE_URL, &url.into())
}

/// Parses the URL in the setting `name`; reports a problem if it is none.
fn parsed(reader: &mut Reader<'_>, name: &str, url: &SecretString) -> Option<DatabaseUrl> {
    let noted = |e| reader.problem(format!("{name} is not valid: {e}"));
    DatabaseUrl::parse(url).map_err(noted).ok()
}

/// Reads the settings of the replica, if there is one; reports problems.
fn replica(reader: &mut Reader<'_>) -> Option<ReplicaSettings> {
    let must = "a number from 1 to 3600";
    let max_lag = reader.parsed("DATABASE_READ_MAX_LAG_SECONDS", 5, must, |text| {
        text.parse().ok().filter(|seconds| (1..=3600).contains(seconds))
    });
    let url = reader.text("DATABASE_READ_URL")?;
    let url = parsed(reader, "DATABASE_READ_URL", &url.into())?;
    Some(ReplicaSettings { url, max_lag: Duration::from_secs(max_lag?) })
}

fn connections(reader: &mut Reader<'_>, name: &str, default: u32) -> Option<u32> {
    reader.parsed(name, default, "a number from 1 to 100", |text| {
        text.parse().ok().filter(|n| (1..=100).contains(n))
    })
}
