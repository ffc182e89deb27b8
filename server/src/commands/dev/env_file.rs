//! `dev.env`: what a shell needs to talk to the API and to the database of this machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use agentfs_contract::setting;
use agentfs_postgres::instance::{DataFolder, PostgresError};
use secrecy::{ExposeSecret, SecretString};

use super::error::DevError;
use crate::domain::access::api_key::ApiKey;

/// The file's name in the data folder.
const NAME: &str = "dev.env";
const API_KEY: &str = "AGENTFS_API_KEY";
const ADMIN_KEY: &str = setting::ADMIN_KEY;

/// The two keys that the file holds, which stay the same from start to start.
#[derive(Debug)]
pub(super) struct Keys {
    /// The key of an agent.
    pub(super) api: ApiKey,
    /// The key that makes keys.
    pub(super) admin: ApiKey,
}

impl Keys {
    /// The keys of an earlier start; new ones where there are none.
    pub(super) fn of(folder: &DataFolder) -> Result<Self, DevError> {
        let path = path_in(folder);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.map_err(PostgresError::io("read", &path))?,
        };
        let key = |name| {
            value_of(name, &text)
                .and_then(|value| ApiKey::parse(value).ok())
                .unwrap_or_else(ApiKey::generate)
        };
        Ok(Self { api: key(API_KEY), admin: key(ADMIN_KEY) })
    }
}

/// Writes the file, for its owner only, and says where it is.
pub(super) fn write(
    folder: &DataFolder,
    url: &str,
    keys: &Keys,
    database_url: &SecretString,
) -> Result<PathBuf, DevError> {
    let path = path_in(folder);
    // None of the values holds a character that a shell would take for its own.
    let text = format!(
        "export AGENTFS_URL={url}\nexport {API_KEY}={}\nexport {ADMIN_KEY}={}\nexport DATABASE_URL={}\n",
        keys.api.reveal().expose_secret(),
        keys.admin.reveal().expose_secret(),
        database_url.expose_secret(),
    );
    folder.write_secret(&path, &text)?;
    Ok(path)
}

/// A path as a shell reads it.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+@%,:".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn path_in(folder: &DataFolder) -> PathBuf {
    folder.path().join(NAME)
}

fn value_of<'a>(name: &str, text: &'a str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix("export ")?.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_whole_name() {
        let text = "export AGENTFS_API_KEY_OLD=1\nexport AGENTFS_API_KEY=2\n";
        assert_eq!(value_of(API_KEY, text), Some("2"));
        assert_eq!(value_of(ADMIN_KEY, text), None);
    }

    #[test]
    fn a_path_survives_a_shell() {
        assert_eq!(quoted(Path::new(".agentfs-dev/dev.env")), ".agentfs-dev/dev.env");
        assert_eq!(quoted(Path::new("/it's $HOME/dev.env")), r"'/it'\''s $HOME/dev.env'");
    }
}
