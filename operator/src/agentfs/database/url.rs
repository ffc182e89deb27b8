//! The URL of a database, taken apart.

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::Url;

use crate::kit::digest::hash;

/// The port of a PostgreSQL whose URL names none.
const DEFAULT_PORT: u16 = 5432;

/// Why a text is no URL of a database. It shows nothing of the text, which holds a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidUrl(&'static str);

/// Where a database is and who opens it.
#[derive(Clone, Debug)]
pub struct DatabaseUrl {
    /// The host's name or address; an IPv6 address is without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The role.
    pub username: String,
    /// The role's password; none where the database asks for none.
    pub password: Option<SecretString>,
    /// The database's name.
    pub database: String,
    /// Whether connections are encrypted, and what is checked.
    pub tls: TlsMode,
    /// Whether the URL sets `options`, which a connection pool cannot pass on.
    pub has_options: bool,
}

/// Whether connections are encrypted: `sslmode`, as libpq, sqlx and PgBouncer know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// Where the database insists.
    Allow,
    /// Where the database can.
    Prefer,
    /// Always; the certificate is not checked.
    Require,
    /// Always; the certificate must be of a known authority.
    VerifyCa,
    /// Always; the certificate must be of a known authority and for the host.
    VerifyFull,
}

impl TlsMode {
    const ALL: [Self; 6] =
        [Self::Disable, Self::Allow, Self::Prefer, Self::Require, Self::VerifyCa, Self::VerifyFull];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl DatabaseUrl {
    /// Takes a URL apart. Space around it, such as a newline at its end, does not count.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let text = text.trim();
        if text.chars().any(char::is_control) {
            return Err(InvalidUrl("it has more than one line"));
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(InvalidUrl("it does not start with postgres://"));
        }
        let url = Url::parse(text).map_err(|_| {
            InvalidUrl(
                "it cannot be parsed (special characters in the password must be percent-encoded)",
            )
        })?;
        let host = url.host_str().unwrap_or_default();
        let host = decoded(host.trim_start_matches('[').trim_end_matches(']'))?;
        let username = decoded(url.username())?;
        let database = decoded(url.path().trim_start_matches('/'))?;
        if host.is_empty() || host.starts_with('/') || host.contains([',', '\'', ' ']) {
            return Err(InvalidUrl("it must name one host after the @"));
        }
        if username.is_empty() {
            return Err(InvalidUrl("it names no user before the @"));
        }
        if database.is_empty() {
            return Err(InvalidUrl("it names no database after the host"));
        }
        let (tls, has_options) = parameters(&url)?;
        Ok(Self {
            host,
            port: url.port().unwrap_or(DEFAULT_PORT),
            username,
            password: url.password().map(decoded).transpose()?.map(SecretString::from),
            database,
            tls,
            has_options,
        })
    }

    /// `host:port`, for messages.
    pub fn endpoint(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// A hash that changes when another database is meant, and not when its password does.
    pub fn identity(&self) -> String {
        hash([self.host.to_ascii_lowercase().as_str(), &self.port.to_string(), &self.database])
    }
}

/// What the URL says behind its question mark.
fn parameters(url: &Url) -> Result<(TlsMode, bool), InvalidUrl> {
    let (mut tls, mut has_options) = (TlsMode::Prefer, false);
    for (name, value) in url.query_pairs() {
        match &*name {
            "sslmode" | "ssl-mode" => {
                let known = TlsMode::ALL.into_iter().find(|mode| mode.as_str() == value);
                tls = known.ok_or(InvalidUrl(
                    "its sslmode must be disable, allow, prefer, require, verify-ca or verify-full",
                ))?;
            }
            "host" | "hostaddr" | "port" | "user" | "password" | "dbname" => {
                return Err(InvalidUrl(
                    "host, port, user, password and database must be before the question mark",
                ));
            }
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" | "sslcert" | "ssl-cert" | "sslkey"
            | "ssl-key" => {
                return Err(InvalidUrl(
                    "it names a certificate file, and the pods have none (put the authority's certificate \
                     into the Secret, and name its entry in spec.database.external.caKey)",
                ));
            }
            "options" => has_options = true,
            _ => {}
        }
    }
    Ok((tls, has_options))
}

fn decoded(part: &str) -> Result<String, InvalidUrl> {
    let text = percent_decode_str(part)
        .decode_utf8()
        .map_err(|_| InvalidUrl("one of its percent codes is not UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err(InvalidUrl("one of its percent codes is a control character"));
    }
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let url = DatabaseUrl::parse(
            "postgresql://a%20b:p%40ss%2Fw%3Ard@db.internal/my%20db?sslmode=verify-full&connect_timeout=5\n",
        )
        .unwrap();
        assert_eq!((url.host.as_str(), url.port), ("db.internal", 5432));
        assert_eq!((url.username.as_str(), url.database.as_str()), ("a b", "my db"));
        assert_eq!(url.password.as_ref().unwrap().expose_secret(), "p@ss/w:rd");
        assert_eq!((url.tls, url.has_options), (TlsMode::VerifyFull, false));
        assert!(!format!("{url:?}").contains("p@ss"));
        let url = DatabaseUrl::parse("postgres://u@[fd00::1]:6000/d?options=-c%20x%3D1").unwrap();
        assert_eq!(url.endpoint(), "[fd00::1]:6000");
        assert!(url.password.is_none() && url.has_options);
    }

    #[test]
    fn another_password_is_the_same_database_and_another_host_is_not() {
        let identity = |url: &str| DatabaseUrl::parse(url).unwrap().identity();
        let first = identity("postgres://a:one@db.internal/memory");
        assert_eq!(first, identity("postgres://b:two@DB.internal:5432/memory?sslmode=require"));
        for other in ["db2.internal/memory", "db.internal/other", "db.internal:5433/memory"] {
            assert_ne!(first, identity(&format!("postgres://a:one@{other}")));
        }
    }

    #[test]
    fn a_wrong_url_is_explained_without_its_password() {
        for (url, why) in [
            ("mysql://u:hunter2@h/d", "does not start with postgres://"),
            ("hunter2", "does not start with postgres://"),
            ("postgres://u:hun#ter2@h:5432/d", "cannot be parsed"),
            ("postgres://u:hunter2@h:port/d", "cannot be parsed"),
            ("postgres://u:hunter2@/d", "cannot be parsed"),
            ("postgres://u:hunter2@a,b/d", "one host"),
            ("postgres://:hunter2@h/d", "no user"),
            ("postgres://u:hunter2@h", "no database"),
            ("postgres://u:hunter2@h/", "no database"),
            ("postgres://u:hun\nter2@h/d", "more than one line"),
            ("postgres://u:hun%0Ater2@h/d", "control character"),
            ("postgres://u:hun%FFter2@h/d", "not UTF-8"),
            ("postgres://u@h/d?password=hunter2", "before the question mark"),
            ("postgres://u:hunter2@h/d?sslmode=on", "its sslmode must be"),
            ("postgres://u:hunter2@h/d?sslrootcert=/x", "certificate file"),
        ] {
            let sentence = DatabaseUrl::parse(url).unwrap_err().to_string();
            assert!(sentence.contains(why) && !sentence.contains("hun"), "{url}: {sentence}");
        }
    }
}
