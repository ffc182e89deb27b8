//! Settings of PostgreSQL: the usual ones of one machine, and those that somebody gives besides.

use std::str::FromStr;

/// Settings for one machine. All is durable: what is acknowledged survives a crash.
pub(super) const SETTINGS: [(&str, &str); 9] = [
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("shared_buffers", "128MB"),
    ("max_connections", "100"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("password_encryption", "scram-sha-256"),
    ("logging_collector", "off"),
];

/// Settings for data that is thrown away: nothing survives a crash, and nothing runs beside what is asked for. Shared memory
/// lies in files among the data, so that it goes with them however PostgreSQL ends.
pub(super) const THROWAWAY: [(&str, &str); 8] = [
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("autovacuum", "off"),
    ("jit", "off"),
    ("dynamic_shared_memory_type", "mmap"),
];

/// Settings that decide how this program reaches PostgreSQL, so that nobody else may set them.
const OURS: [&str; 5] =
    ["port", "listen_addresses", "unix_socket_directories", "data_directory", "logging_collector"];

/// A setting of postgresql.conf, written `name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    name: String,
    value: String,
}

impl Setting {
    /// One that is known to be right.
    pub(super) fn new(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), value: value.to_owned() }
    }

    /// What is set.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is set to.
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("a setting is written name=value")?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        if name.is_empty() || !name.chars().all(allowed) {
            return Err(format!("{name:?} is no name of a setting"));
        }
        if OURS.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(format!("{name} is chosen by agentfs-server"));
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_name_and_value() {
        let parsed: Setting = "work_mem=8MB".parse().unwrap();
        assert_eq!(parsed, Setting { name: "work_mem".into(), value: "8MB".into() });
        assert_eq!("shared_preload_libraries=a=b".parse::<Setting>().unwrap().value, "a=b");
        for wrong in ["work_mem", "=1", "a b=1", "port=1", "PORT=1", "listen_addresses=*"] {
            assert!(wrong.parse::<Setting>().is_err(), "{wrong}");
        }
    }
}
