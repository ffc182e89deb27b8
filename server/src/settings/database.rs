//! Settings of the database and its replica.

use std::time::Duration;

use agentfs_contract::setting::DATABASE_URL;
use secrecy::SecretString;

use super::reader::{Described, Reader};
use crate::store::connection::address::DatabaseAddress;

/// Where the database is, for programs that start others which connect to it themselves.
#[derive(Debug, Clone)]
pub struct DatabaseLocation {
    /// The database.
    pub address: DatabaseAddress,
    /// DATABASE_URL as it was given.
    pub url: SecretString,
}

/// A replica that reads may go to.
#[derive(Debug, Clone)]
pub struct ReplicaSettings {
    /// Where it is.
    pub address: DatabaseAddress,
    /// How far it may be behind.
    pub max_lag: Duration,
}

/// Where the database is and how many connections are made to it.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// The database.
    pub address: DatabaseAddress,
    /// Connections for all but gets and writes.
    pub pool_size: u32,
    /// Tasks that commit writes, each with a connection of its own.
    pub writers: usize,
    /// Tasks that answer gets, each with a connection of its own.
    pub readers: usize,
    /// A replica that reads may go to.
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

    /// Where the database is, alone: for programs that need nothing else.
    pub fn address_from_env() -> Result<DatabaseAddress, super::SettingsError> {
        Self::location_from_env().map(|location| location.address)
    }

    /// Where the database is, with its URL.
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

/// The address that the setting `name` is; one that is none is a problem that is noted.
fn address(reader: &mut Reader<'_>, name: &str, url: &SecretString) -> Option<DatabaseAddress> {
    let noted = |e| reader.problem(format!("{name} is not valid: {e}"));
    DatabaseAddress::parse(url).map_err(noted).ok()
}

/// The replica, where one is set; a wrong one is a problem that is noted.
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
