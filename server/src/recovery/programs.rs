//! Runs PostgreSQL's own programs against the database.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use agentfs_postgres::{Version, client_programs};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::process::{Child, Command};
use url::Url;

use super::error::RecoveryError;

/// Most characters of a program's message that are passed on.
const MAX_SAID: usize = 2000;

/// The environment by which PostgreSQL's programs find the database of a `postgres://` URL with one host. Everybody on the
/// machine can read an argument list, but not an environment.
pub(super) fn environment(url: &SecretString) -> Vec<(&'static str, String)> {
    let Ok(url) = Url::parse(url.expose_secret()) else { return Vec::new() };
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut variables = vec![
        ("PGAPPNAME", "agentfs-server backup".to_owned()),
        // Whatever the role is set to: not every text is in every encoding.
        ("PGCLIENTENCODING", "UTF8".to_owned()),
        // Messages are told apart by their words.
        ("LC_ALL", "C".to_owned()),
    ];
    variables.extend(
        url.host_str().map(|host| ("PGHOST", decoded(host).trim_matches(['[', ']']).to_owned())),
    );
    variables.extend(url.port().map(|port| ("PGPORT", port.to_string())));
    let parts = [
        ("PGUSER", url.username()),
        ("PGPASSWORD", url.password().unwrap_or_default()),
        ("PGDATABASE", url.path().trim_start_matches('/')),
    ];
    variables.extend(
        parts
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(name, text)| (name, decoded(text))),
    );
    variables.extend(
        url.query_pairs().filter_map(|(key, value)| Some((variable(&key)?, value.into_owned()))),
    );
    let given =
        |name| variables.iter().any(|(given, _)| *given == name) || env::var_os(name).is_some();
    let verifies =
        variables.iter().any(|(name, value)| *name == "PGSSLMODE" && value.starts_with("verify-"));
    if verifies && !given("PGSSLROOTCERT") {
        // The authorities that the system trusts, as the server itself does; else the programs want a file.
        variables.push(("PGSSLROOTCERT", "system".to_owned()));
    }
    variables
}

/// The variable of a URL's parameter, if it has one.
fn variable(parameter: &str) -> Option<&'static str> {
    Some(match parameter {
        "host" => "PGHOST",
        "hostaddr" => "PGHOSTADDR",
        "port" => "PGPORT",
        "user" => "PGUSER",
        "password" => "PGPASSWORD",
        "dbname" => "PGDATABASE",
        "sslmode" | "ssl-mode" => "PGSSLMODE",
        "sslrootcert" | "ssl-root-cert" | "ssl-ca" => "PGSSLROOTCERT",
        "sslcert" | "ssl-cert" => "PGSSLCERT",
        "sslkey" | "ssl-key" => "PGSSLKEY",
        "options" => "PGOPTIONS",
        _ => return None,
    })
}

/// A folder with PostgreSQL's client programs.
#[derive(Debug, Clone)]
pub(super) struct Programs(PathBuf);

impl Programs {
    /// Finds programs for a server of version `major`: in `pg_bin` if given, else of that very version, else newer ones.
    /// Older ones refuse to dump it.
    pub(super) async fn find(pg_bin: Option<&Path>, major: u32) -> Result<Self, RecoveryError> {
        client_programs(pg_bin, major)
            .await
            .map(Self)
            .ok_or(RecoveryError::NoProgram { program: "pg_dump", major })
    }

    /// Runs a program to its end and returns its output. It is killed with this process.
    pub(super) async fn run(
        &self,
        program: &'static str,
        variables: &[(&'static str, String)],
        arguments: &[&std::ffi::OsStr],
    ) -> Result<String, RecoveryError> {
        let failed = |said: String| RecoveryError::Program { program, said };
        let Output { status, stdout, stderr } = Command::new(self.0.join(program))
            .args(arguments)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| failed(error.to_string()))?;
        if status.success() {
            return Ok(String::from_utf8_lossy(&stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&stderr);
        let said = said.lines().map(str::trim).collect::<Vec<_>>().join("; ");
        let said: String = said.chars().take(MAX_SAID).collect();
        Err(failed(if said.is_empty() { status.to_string() } else { said }))
    }
}

impl Programs {
    /// Starts a program whose output is read as it comes; see [`ended`]. It is killed with the value.
    pub(super) fn start(
        &self,
        program: &'static str,
        variables: &[(&'static str, String)],
        arguments: &[&std::ffi::OsStr],
    ) -> Result<Child, RecoveryError> {
        Command::new(self.0.join(program))
            .args(arguments)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| RecoveryError::Program { program, said: error.to_string() })
    }

    /// What `pg_dump` compresses with.
    pub(super) fn compression(&self) -> &'static str {
        "gzip:1"
    }

    /// The version of `pg_dump`.
    pub(super) async fn version(&self) -> Result<String, RecoveryError> {
        let said = self.run("pg_dump", &[], &["--version".as_ref()]).await?;
        Ok(Version::parse(&said).map(|version| version.to_string()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Vec<(&'static str, String)> {
        environment(&url.to_owned().into()).into_iter().skip(3).collect()
    }

    #[test]
    fn a_url_is_told_by_variables() {
        let told = of(
            "postgres://ada:p%40ss@db.internal:6432/mem%20ory?sslmode=require&statement-cache-capacity=1",
        );
        let expected = [
            ("PGHOST", "db.internal"),
            ("PGPORT", "6432"),
            ("PGUSER", "ada"),
            ("PGPASSWORD", "p@ss"),
            ("PGDATABASE", "mem ory"),
            ("PGSSLMODE", "require"),
        ];
        assert_eq!(told, expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn a_socket_and_an_ipv6_address_are_told_as_they_are_meant() {
        assert_eq!(of("postgres://a@%2Frun%2Fpg/d")[0], ("PGHOST", "/run/pg".to_owned()));
        assert_eq!(of("postgres://a@[::1]/d")[0], ("PGHOST", "::1".to_owned()));
    }

    #[test]
    fn authorities_are_the_systems_unless_they_are_named() {
        let root = |url| {
            of(url).into_iter().find(|(name, _)| *name == "PGSSLROOTCERT").map(|(_, value)| value)
        };
        assert_eq!(root("postgres://a@h/d?sslmode=verify-full").as_deref(), Some("system"));
        assert_eq!(
            root("postgres://a@h/d?sslmode=verify-ca&sslrootcert=/ca").as_deref(),
            Some("/ca")
        );
        assert_eq!(root("postgres://a@h/d?sslmode=require"), None);
    }
}
