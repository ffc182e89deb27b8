//! Settings of the database and its replica.

use std::time::Duration;

use agentfs_contract::setting::DATABASE_URL;
use secrecy::SecretString;

use super::reader::{Described, Reader};
use crate::store::connection::address::DatabaseAddress;

/// A database's address and URL, for programs that start others which connect themselves.
#[derive(Debug, Clone)]
pub struct DatabaseLocation {
    /// The database.
    pub address: DatabaseAddress,
    /// DATABASE_URL as it was given.
    pub url: SecretString,
}

/// Settings of the read replica.
#[derive(Debug, Clone)]
pub struct ReplicaSettings {
    /// Where it is.
    pub address: DatabaseAddress,
    /// The most lag it may have.
    pub max_lag: Duration,
}

/// Settings of the database.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// The database.
    pub address: DatabaseAddress,
    /// Connections for everything but gets and writes.
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
            about: "connections besides those of writers and readers (5)",
        },
        Described { name: "DATABASE_WRITERS", about: "connections that commit writes (1)" },
        Described { name: "DATABASE_READERS", about: "connections that answer gets (1)" },
        Described {
            name: "DATABASE_READ_URL",
            about: "a replica that get, list, glob and search may read from (none)",
        },
        Described {
            name: "DATABASE_READ_MAX_LAG_SECONDS",
            about: "how far the replica may be behind; else the primary is read (5)",
        },
    ];

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let address = location(reader).map(|location| location.address);
        let pool_size = connections(reader, "DATABASE_POOL_SIZE", 5);
        let writers = connections(reader, "DATABASE_WRITERS", 1);
        let readers = connections(reader, "DATABASE_READERS", 1);
        let replica = replica(reader);
        Some(Self {
            address: address?,
            pool_size: pool_size?,
            writers: writers? as usize,
            readers: readers? as usize,
            replica,
        })
    }

    /// Reads the database's address alone, for programs that need nothing else.
    pub fn address_from_env() -> Result<DatabaseAddress, super::SettingsError> {
        Self::location_from_env().map(|location| location.address)
    }

    /// Reads the database's address and URL.
    pub fn location_from_env() -> Result<DatabaseLocation, super::SettingsError> {
        Reader::read_env(location)
    }
}

fn location(reader: &mut Reader<'_>) -> Option<DatabaseLocation> {
    let Some(url) = reader.text(DATABASE_URL) else {
        reader.problem(
            "DATABASE_URL is not set; set it to postgres://user:password@host:5432/database"
                .to_owned(),
        );
        return None;
    };
    let url = SecretString::from(url);
    let address = address(reader, DATABASE_URL, &url)?;
    Some(DatabaseLocation { address, url })
}

/// Parses the address in the setting `name`; reports a problem if it is none.
fn address(reader: &mut Reader<'_>, name: &str, url: &SecretString) -> Option<DatabaseAddress> {
    let noted = |e| reader.problem(format!("{name} is not valid: {e}"));
    DatabaseAddress::parse(url).map_err(noted).ok()
}

/// Reads the settings of the replica, if there is one; reports problems.
fn replica(reader: &mut Reader<'_>) -> Option<ReplicaSettings> {
    let must = "a number from 1 to 3600";
    let max_lag = reader.parsed("DATABASE_READ_MAX_LAG_SECONDS", 5, must, |text| {
        text.parse().ok().filter(|seconds| (1..=3600).contains(seconds))
    });
    let url = reader.text("DATABASE_READ_URL")?;
    let address = address(reader, "DATABASE_READ_URL", &url.into())?;
    Some(ReplicaSettings { address, max_lag: Duration::from_secs(max_lag?) })
}

fn connections(reader: &mut Reader<'_>, name: &str, default: u32) -> Option<u32> {
    reader.parsed(name, default, "a number from 1 to 100", |text| {
        text.parse().ok().filter(|n| (1..=100).contains(n))
    })
}
