//! Runs PostgreSQL's own programs against the database.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::Path;

use agentfs_postgres::{Client, ClientPrograms, Pipes, SUPPORTED, Version};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{ChildStdin, ChildStdout};
use url::Url;

use super::error::RecoveryError;

/// Most bytes that a program may print where all of it is kept: far more than of any database of ours, and a dump is not trusted.
const MAX_OUTPUT: u64 = 8 << 20;

/// Variables of a program's environment.
pub type Variables = [(&'static str, String)];

/// The environment by which PostgreSQL's programs find the database of a `postgres://` URL with one host. Everybody on the
/// machine can read an argument list, but not an environment.
pub fn environment(url: &SecretString) -> Vec<(&'static str, String)> {
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

/// PostgreSQL's client programs, chosen for a server.
#[derive(Debug, Clone)]
pub struct Programs(ClientPrograms);

impl Programs {
    /// Those that dump a server of version `major`: in `pg_bin` if given, else of that very version, else the next newer ones.
    pub async fn find(pg_bin: Option<&Path>, major: u32) -> Result<Self, RecoveryError> {
        supported(major)?;
        let found = ClientPrograms::for_server(pg_bin, major).await;
        found.map(Self).ok_or(RecoveryError::NoProgram { program: "pg_dump", major })
    }

    /// Those that restore an archive of a `pg_dump` of version `archive` into a server of version `server`.
    pub async fn find_for_archive(
        pg_bin: Option<&Path>,
        archive: u32,
        server: u32,
    ) -> Result<Self, RecoveryError> {
        supported(server)?;
        let found = ClientPrograms::for_archive(pg_bin, archive, server).await;
        found.map(Self).ok_or(RecoveryError::NoProgram { program: "pg_restore", major: archive })
    }

    /// The version of all of them.
    pub fn version(&self) -> &Version {
        self.0.version()
    }

    /// What `pg_dump` compresses with, as its option `-Z` takes it.
    pub fn compression(&self) -> &'static str {
        self.0.compression()
    }

    /// Starts a program. It ends when the value is dropped, and with this process, however that ends.
    pub fn start(
        &self,
        program: &'static str,
        variables: &Variables,
        arguments: &[&OsStr],
        pipes: Pipes,
    ) -> Result<Running, RecoveryError> {
        Client::start(&self.0.path(program), variables, arguments, pipes, false)
            .map(|client| Running { program, client })
            .map_err(|error| RecoveryError::Program { program, said: error.to_string() })
    }

    /// Runs a program to its end and returns its output. Fails where that is more than 8 MiB.
    pub async fn run(
        &self,
        program: &'static str,
        variables: &Variables,
        arguments: &[&OsStr],
    ) -> Result<String, RecoveryError> {
        let pipes = Pipes { stdout: true, ..Pipes::default() };
        let mut running = self.start(program, variables, arguments, pipes)?;
        let Some(stdout) = running.stdout() else {
            running.ended().await?;
            return Ok(String::new());
        };
        let output = bounded(stdout, MAX_OUTPUT).await;
        let output =
            output.map_err(|error| RecoveryError::Program { program, said: error.to_string() })?;
        running.ended().await?;
        Ok(output)
    }
}

/// All that is printed, unless it is more than `most` bytes.
async fn bounded(from: impl AsyncRead + Unpin, most: u64) -> io::Result<String> {
    let mut output = Vec::new();
    let read = from.take(most + 1).read_to_end(&mut output).await?;
    if read as u64 > most {
        return Err(io::Error::other(format!("it prints more than {most} bytes")));
    }
    Ok(String::from_utf8(output)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Fails where backups of a server of this major version cannot be made.
pub fn supported(major: u32) -> Result<(), RecoveryError> {
    if SUPPORTED.contains(&major) { Ok(()) } else { Err(RecoveryError::UnsupportedMajor(major)) }
}

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    program: &'static str,
    client: Client,
}

impl Running {
    /// Its standard input, once, where it is a pipe. Dropping it is the end of the input.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.client.stdin.take()
    }

    /// Its standard output, once, where it is a pipe. Unless it is read, the program waits.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.client.stdout.take()
    }

    /// Waits for its end; fails with what it complained of.
    pub async fn ended(self) -> Result<(), RecoveryError> {
        let Self { program, client } = self;
        client.ended().await.map_err(|said| RecoveryError::Program { program, said })
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

    #[tokio::test]
    async fn what_a_program_prints_is_kept_up_to_a_bound() {
        assert_eq!(bounded(&b"\xff12"[..], 3).await.unwrap(), "\u{fffd}12");
        assert!(bounded(&b"1234"[..], 3).await.unwrap_err().to_string().contains("more than 3"));
        assert!(bounded(tokio::io::repeat(b'x'), 3).await.is_err());
    }
}
