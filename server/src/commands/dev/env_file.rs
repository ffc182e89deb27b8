//! `dev.env`: what a shell needs to talk to the API and to the database of this machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use agentfs_contract::setting;
use agentfs_postgres::ClientPrograms;
use agentfs_postgres::instance::{DataFolder, Instance, PostgresError};
use secrecy::ExposeSecret;

use super::error::DevError;
use crate::domain::access::api_key::ApiKey;

/// The file's name in the data folder.
const NAME: &str = "dev.env";
const API_KEY: &str = setting::API_KEY;
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

/// Writes the file, for its owner only, and says where it is. A shell finds this program and PostgreSQL's by it, and those the
/// database and the passwords of both roles.
pub(super) async fn write(
    instance: &Instance,
    url: &str,
    keys: &Keys,
) -> Result<PathBuf, DevError> {
    let path = path_in(instance.folder());
    let passwords = instance.write_password_file()?;
    let database_url = instance.database_url();
    let this = std::env::current_exe().ok();
    let clients = client_programs(instance).await;
    let folders =
        [this.as_deref().and_then(Path::parent), clients.as_deref(), Some(instance.bin())];
    let programs: Vec<String> =
        folders.into_iter().flatten().map(|folder| format!("{}:", quoted(folder))).collect();
    // None of the values but paths holds a character that a shell would take for its own.
    let variables = [
        (setting::AGENTFS_URL, url.to_owned()),
        (API_KEY, keys.api.reveal().expose_secret().to_owned()),
        (ADMIN_KEY, keys.admin.reveal().expose_secret().to_owned()),
        (setting::DATABASE_URL, database_url.expose_secret().to_owned()),
        ("PGHOST", "127.0.0.1".to_owned()),
        ("PGPORT", instance.port().to_string()),
        ("PGUSER", Instance::OWNER.to_owned()),
        ("PGDATABASE", Instance::OWNER.to_owned()),
        ("PGPASSFILE", quoted(&passwords)),
        ("PATH", format!("{}\"$PATH\"", programs.concat())),
    ];
    let lines = variables.map(|(name, value)| format!("export {name}={value}\n"));
    instance.folder().write_secret(&path, &lines.concat())?;
    Ok(path)
}

/// The folder of the client programs that `backup` takes, where it is neither PostgreSQL's own nor on PATH: what it compresses, the
/// `pg_restore` of the server may be unable to read.
async fn client_programs(instance: &Instance) -> Option<PathBuf> {
    let major = instance.version().major();
    let found = ClientPrograms::for_server(None, major).await?;
    let folder = found.folder();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = folder == instance.bin() || std::env::split_paths(&path).any(|of| of == folder);
    (!there && found.version().major() == major).then(|| folder.to_owned())
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
