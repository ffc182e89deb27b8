//! The configuration of PgBouncer, the connection pool.
//!
//! Values are typed, or quoted as PgBouncer unquotes them; what it could not take is refused before.

use std::fmt::Write as _;

use agentfs_contract::session;
use secrecy::{ExposeSecret as _, SecretString};

use super::plan::PoolerPlan;
use crate::agentfs::database::access::Access;
use crate::agentfs::database::credentials::Credentials;
use crate::agentfs::database::url::{DatabaseUrl, TlsMode};
use crate::agentfs::names::{AUTHORITY, POOLER_PORT, PUBLIC_AUTHORITIES};

/// Where the configuration is seen in the pods.
pub const FOLDER: &str = "/etc/agentfs-pgbouncer";
/// The name of the configuration.
pub const INI: &str = "pgbouncer.ini";
/// The name of the list of clients.
pub const USERLIST: &str = "userlist.txt";

/// How many prepared statements of clients each connection to PostgreSQL remembers.
const MAX_PREPARED_STATEMENTS: u32 = 200;
/// PostgreSQL's own limit of a name.
const LONGEST_NAME: usize = 63;
/// PgBouncer takes up to twice as much.
const LONGEST_PASSWORD: usize = 1024;

/// Why a pool cannot stand before a database, as the end of "a URL that the connection pool can use: ".
pub fn objection(url: &DatabaseUrl) -> Option<&'static str> {
    let password = url.password.as_ref().map(SecretString::expose_secret).unwrap_or_default();
    let is_md5 = password
        .strip_prefix("md5")
        .is_some_and(|rest| rest.len() == 32 && rest.chars().all(|c| c.is_ascii_hexdigit()));
    if url.has_options {
        Some("it sets options, which a pool cannot pass on (ALTER ROLE ... SET does the same)")
    } else if url.username.len() > LONGEST_NAME || url.database.len() > LONGEST_NAME {
        Some("its user and database may have 63 bytes each")
    } else if password.len() > LONGEST_PASSWORD {
        Some("its password may have 1024 bytes")
    } else if is_md5 || password.starts_with("SCRAM-SHA-256$") {
        Some("its password looks like the hash of one, for which PgBouncer would take it")
    } else {
        None
    }
}

/// The file `pgbouncer.ini` of `plan` before the database of `access`.
pub fn ini(plan: &PoolerPlan, access: &Access) -> SecretString {
    let url = &access.url;
    let mut database = format!(
        "host={} port={} dbname={} user={}",
        quoted(&url.host),
        url.port,
        quoted(&url.database),
        quoted(&url.username)
    );
    if let Some(password) = &url.password {
        // Writing to a String cannot fail.
        let _ = write!(database, " password={}", quoted(password.expose_secret()));
    }
    let tls = match url.tls {
        TlsMode::VerifyCa | TlsMode::VerifyFull => {
            let file = access.authority.as_ref().map_or(PUBLIC_AUTHORITIES, |_| AUTHORITY);
            format!("{}\nserver_tls_ca_file = {file}", url.tls.as_str())
        }
        _ => url.tls.as_str().to_owned(),
    };
    // What the server sets on its own connections reaches only one of the pool's. PgBouncer refuses the startup parameter
    // `options`, and tracks no setting that PostgreSQL does not report.
    format!(
        "; Made by agentfs-operator, which undoes every change.\n\
         [databases]\n\
         {name} = {database} connect_query={connect_query}\n\
         \n\
         [pgbouncer]\n\
         listen_addr = *\n\
         listen_port = {POOLER_PORT}\n\
         unix_socket_dir =\n\
         auth_type = scram-sha-256\n\
         auth_file = {FOLDER}/{USERLIST}\n\
         pool_mode = transaction\n\
         max_client_conn = {clients}\n\
         default_pool_size = {pool}\n\
         max_prepared_statements = {MAX_PREPARED_STATEMENTS}\n\
         ignore_startup_parameters = extra_float_digits\n\
         server_tls_sslmode = {tls}\n\
         ; A lost database is tried again at once, and nobody waits for it longer than the API would.\n\
         server_connect_timeout = 5\n\
         server_login_retry = 1\n\
         query_wait_timeout = 5\n\
         ; Nothing in between forgets an idle connection, and a former primary is left in a minute.\n\
         tcp_keepidle = 60\n\
         tcp_keepintvl = 10\n\
         tcp_keepcnt = 3\n\
         server_lifetime = 60\n\
         log_connections = 0\n\
         log_disconnections = 0\n\
         log_stats = 0\n",
        name = plan.credentials.database,
        connect_query = quoted(session::SERVING),
        clients = plan.spec.max_client_connections,
        pool = plan.spec.pool_size,
    )
    .into()
}

/// The file `userlist.txt`: who may be a client. The password is plain, as PgBouncer needs it to
/// answer SCRAM, and of no use but here.
pub fn userlist(credentials: &Credentials) -> SecretString {
    let Credentials { username, password, .. } = credentials;
    format!("\"{username}\" \"{}\"\n", password.expose_secret()).into()
}

/// A value of the section `[databases]`.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agentfs::database::url::DatabaseUrl;

    #[test]
    fn pools_that_people_make_set_what_the_server_sets() {
        let elsewhere = [
            include_str!("../../../../../images/pgbouncer/entrypoint"),
            include_str!("../../../../../docs/OPERATIONS.md"),
        ];
        let quoted = session::SERVING.replace('\'', "''");
        assert!(elsewhere.iter().all(|text| text.contains(&quoted)), "they have gone apart");
    }

    #[test]
    fn what_a_pool_cannot_pass_on_is_refused() {
        let objection_to = |url: &str| objection(&DatabaseUrl::parse(url).unwrap());
        assert_eq!(objection_to("postgres://u:p%27%22%5C@h/d?sslmode=require"), None);
        let long = "x".repeat(64);
        for (url, part) in [
            ("postgres://u:p@h/d?options=-c%20a%3Db".to_owned(), "options"),
            (format!("postgres://{long}:p@h/d"), "63 bytes"),
            (format!("postgres://u:p@h/{long}"), "63 bytes"),
            (format!("postgres://u:{}@h/d", "x".repeat(1025)), "1024 bytes"),
            (format!("postgres://u:md5{}@h/d", "a".repeat(32)), "hash"),
            ("postgres://u:SCRAM-SHA-256%24x@h/d".to_owned(), "hash"),
        ] {
            assert!(objection_to(&url).unwrap().contains(part), "{url}");
        }
    }

    #[test]
    fn a_quote_does_not_end_a_value() {
        assert_eq!(quoted("a'b' host=evil"), "'a''b'' host=evil'");
    }
}
