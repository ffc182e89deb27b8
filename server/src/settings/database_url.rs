//! The URL of a PostgreSQL database, in all of libpq's forms: several hosts, and hosts behind the question mark.

use std::str::FromStr as _;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgConnectOptions;
use url::{Url, form_urlencoded};

/// Why a URL is no address of a PostgreSQL database. Does not repeat it: it holds a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}; it looks like postgres://user:password@host:5432/database")]
pub struct InvalidDatabaseUrl(&'static str);

/// A URL that leads to a PostgreSQL database. It connects to nothing: see [`crate::store::connection::address`].
#[derive(Debug, Clone)]
pub struct DatabaseUrl {
    /// At least one.
    hosts: Vec<Host>,
    session: TargetSession,
}

/// One of the servers that a URL names.
#[derive(Debug, Clone)]
pub struct Host {
    text: SecretString,
    options: PgConnectOptions,
}

impl Host {
    /// The driver's form of it.
    pub fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// The URL with this host alone, for programs that connect by themselves.
    pub fn text(&self) -> &SecretString {
        &self.text
    }

    fn with_login(&self, user: &str, password: &SecretString) -> Self {
        let url = self.text.expose_secret();
        let (before, query) = url.split_once('?').unwrap_or((url, ""));
        let (scheme, rest) = before.split_once("://").unwrap_or(("postgres", before));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let mut parameters = form_urlencoded::Serializer::new(String::new());
        let others = form_urlencoded::parse(query.as_bytes());
        parameters.extend_pairs(others.filter(|(key, _)| key != "user" && key != "password"));
        // Behind the question mark, since no URL has a user and no host.
        parameters.append_pair("user", user).append_pair("password", password.expose_secret());
        let url = format!("{scheme}://{host}{path}?{}", parameters.finish());
        let options = self.options.clone().username(user).password(password.expose_secret());
        Self { text: url.into(), options }
    }

    fn with_database(&self, name: &str) -> Self {
        let url = self.text.expose_secret();
        let (before, query) = url.split_once('?').unwrap_or((url, ""));
        // The path begins behind the two slashes of the scheme.
        let server = before.match_indices('/').nth(2).map_or(before, |(path, _)| &before[..path]);
        // The parameter would win over the path.
        let is_other =
            |parameter: &&str| !parameter.is_empty() && !parameter.starts_with("dbname=");
        let parameters: Vec<&str> = query.split('&').filter(is_other).collect();
        let name_in_url = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let mut url = format!("{server}/{name_in_url}");
        if !parameters.is_empty() {
            url = format!("{url}?{}", parameters.join("&"));
        }
        Self { text: url.into(), options: self.options.clone().database(name) }
    }

    fn with_search_path(&self, schema: &str) -> Self {
        let url = self.text.expose_secret();
        let (before, query) = url.split_once('?').unwrap_or((url, ""));
        let mut parameters = form_urlencoded::Serializer::new(String::new());
        // A program takes one variable, so what there is and this come together. The last setting of a name wins.
        let mut settings = String::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            if key == OPTIONS {
                settings = settings + &value + " ";
            } else {
                parameters.append_pair(&key, &value);
            }
        }
        parameters.append_pair(OPTIONS, &format!("{settings}-c search_path={schema}"));
        let url = format!("{before}?{}", parameters.finish());
        let options = self.options.clone().options([("search_path", schema)]);
        Self { text: url.into(), options }
    }
}

/// The parameter of a URL that holds settings of the session, as `postgres -c` takes them.
const OPTIONS: &str = "options";

/// Which of several servers is meant: libpq's `target_session_attrs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetSession {
    /// Whichever answers.
    #[default]
    Any,
    /// One that takes writes.
    ReadWrite,
    /// One that takes no writes.
    ReadOnly,
    /// One that is no standby.
    Primary,
    /// A standby.
    Standby,
    /// A standby, or else whichever answers.
    PreferStandby,
}

impl TargetSession {
    const ALL: [Self; 6] = [
        Self::Any,
        Self::ReadWrite,
        Self::ReadOnly,
        Self::Primary,
        Self::Standby,
        Self::PreferStandby,
    ];

    /// libpq's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "read-only",
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::PreferStandby => "prefer-standby",
        }
    }
}

const UNREADABLE: InvalidDatabaseUrl = InvalidDatabaseUrl(
    "it cannot be parsed (special characters in the password must be percent-encoded, such as %23 for #, %2F for / and %40 for @)",
);
const WRONG_PARAMETER: InvalidDatabaseUrl = InvalidDatabaseUrl(
    "one of its parameters is wrong (sslmode is disable, allow, prefer, require, verify-ca or verify-full), or a percent code is not UTF-8",
);

impl DatabaseUrl {
    /// Parses a `postgres://` URL.
    pub fn parse(text: &SecretString) -> Result<Self, InvalidDatabaseUrl> {
        let parts = Parts::of(text.expose_secret())?;
        let hosts = parts.addresses()?.into_iter().map(|(host, port)| parts.with(host, port));
        Ok(Self { hosts: hosts.collect::<Result<_, _>>()?, session: parts.session })
    }

    /// `host:port` of each host, for messages.
    pub fn endpoint(&self) -> String {
        let endpoints: Vec<String> =
            self.hosts.iter().map(|host| endpoint(&host.options)).collect();
        endpoints.join(",")
    }

    /// The hosts, in their order; at least one.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Which of them is meant.
    pub fn session(&self) -> TargetSession {
        self.session
    }

    /// The name of the database; where the URL names none, it is the user's.
    pub fn database(&self) -> &str {
        let options = &self.hosts[0].options;
        options.get_database().unwrap_or_else(|| options.get_username())
    }

    /// The same for another role.
    #[must_use]
    pub fn with_login(&self, user: &str, password: &SecretString) -> Self {
        let hosts = self.hosts.iter().map(|host| host.with_login(user, password));
        Self { hosts: hosts.collect(), session: self.session }
    }

    /// The same with another database of the same servers.
    #[must_use]
    pub fn with_database(&self, name: &str) -> Self {
        let hosts = self.hosts.iter().map(|host| host.with_database(name));
        Self { hosts: hosts.collect(), session: self.session }
    }

    /// The same with sessions that search the schema `schema`, whatever the role and the database are set to. Its name needs no
    /// quotes.
    #[must_use]
    pub fn with_search_path(&self, schema: &str) -> Self {
        let hosts = self.hosts.iter().map(|host| host.with_search_path(schema));
        Self { hosts: hosts.collect(), session: self.session }
    }
}

/// `host:port`, for messages.
pub(crate) fn endpoint(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(folder) => format!("{}:{}", folder.display(), options.get_port()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// A URL, taken apart as far as is needed to name each host alone.
struct Parts<'a> {
    scheme: &'a str,
    /// User and password, as they are written.
    login: Option<&'a str>,
    hosts: Vec<String>,
    /// One for all hosts, or one each; empty is the default.
    ports: Vec<String>,
    /// From the slash on, without parameters.
    path: &'a str,
    /// What says nothing of hosts, as it is written.
    parameters: Vec<&'a str>,
    session: TargetSession,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Result<Self, InvalidDatabaseUrl> {
        let (scheme, rest) = url
            .split_once("://")
            .filter(|(scheme, _)| ["postgres", "postgresql"].contains(scheme))
            .ok_or(InvalidDatabaseUrl("it does not start with postgres://"))?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        // Of a password with one of these, a part would be taken for a host, and be shown.
        if url.contains('#') || path.contains('@') {
            return Err(UNREADABLE);
        }
        let (login, listed) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        let (hosts, ports) = listed
            .split(',')
            .map(host_and_port)
            .collect::<Option<(Vec<_>, Vec<_>)>>()
            .ok_or(UNREADABLE)?;
        let session = TargetSession::default();
        let mut taken = Self { scheme, login, hosts, ports, path, parameters: Vec::new(), session };
        let (mut by_name, mut by_address) = (None, None);
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let Some((name, value)) = form_urlencoded::parse(parameter.as_bytes()).next() else {
                continue;
            };
            let list = || value.split(',').map(str::to_owned).collect();
            match &*name {
                "host" => by_name = Some(list()),
                "hostaddr" => by_address = Some(list()),
                "port" => taken.ports = list(),
                "target_session_attrs" => {
                    let known =
                        TargetSession::ALL.into_iter().find(|session| session.as_str() == value);
                    taken.session = known.ok_or(InvalidDatabaseUrl("its target_session_attrs must be any, read-write, read-only, primary, standby or prefer-standby"))?;
                }
                _ => taken.parameters.push(parameter),
            }
        }
        if let Some(hosts) = by_address.or(by_name) {
            taken.hosts = hosts;
        }
        Ok(taken)
    }

    /// Each host with its port; the only one may be empty, which is the driver's default.
    fn addresses(&self) -> Result<Vec<(&str, Option<u16>)>, InvalidDatabaseUrl> {
        if self.hosts.len() > 1 && self.hosts.iter().any(String::is_empty) {
            return Err(InvalidDatabaseUrl("one of its hosts has no name"));
        }
        if ![1, self.hosts.len()].contains(&self.ports.len()) {
            return Err(InvalidDatabaseUrl("it must name one port for all hosts, or one for each"));
        }
        let ports = self.ports.iter().map(|port| match port.as_str() {
            "" => Ok(None),
            port => port
                .parse()
                .map(Some)
                .map_err(|_| InvalidDatabaseUrl("a port in it is not a number up to 65535")),
        });
        let ports: Vec<Option<u16>> = ports.collect::<Result<_, _>>()?;
        Ok(self.hosts.iter().map(String::as_str).zip(ports.into_iter().cycle()).collect())
    }

    /// The URL with one host.
    fn with(&self, host: &str, port: Option<u16>) -> Result<Host, InvalidDatabaseUrl> {
        let mut url = format!("{}://", self.scheme);
        let mut parameters: Vec<String> = self.parameters.iter().map(ToString::to_string).collect();
        if host.is_empty() {
            // No URL has a user and no host.
            parameters.extend(self.login.map(login_as_parameters));
            parameters.extend(port.map(|port| format!("port={port}")));
        } else {
            url.extend(self.login.map(|login| format!("{login}@")));
            url.push_str(&written(host));
            url.extend(port.map(|port| format!(":{port}")));
        }
        url += if self.path.is_empty() { "/" } else { self.path };
        if !parameters.is_empty() {
            url = format!("{url}?{}", parameters.join("&"));
        }
        Url::parse(&url).map_err(|_| UNREADABLE)?;
        let options = PgConnectOptions::from_str(&url).map_err(|_| WRONG_PARAMETER)?;
        Ok(Host { text: url.into(), options })
    }
}

/// A host, decoded and without brackets, and its port, which may be empty.
fn host_and_port(listed: &str) -> Option<(String, String)> {
    let (host, port) = match listed.strip_prefix('[') {
        Some(address) => {
            let (address, port) = address.split_once(']')?;
            (address, port.strip_prefix(':').or(port.is_empty().then_some(""))?)
        }
        None => listed.split_once(':').unwrap_or((listed, "")),
    };
    let host = percent_decode_str(host).decode_utf8().ok()?;
    Some((host.into_owned(), port.to_owned()))
}

/// A host as it stands in a URL.
fn written(host: &str) -> String {
    if host.starts_with('/') {
        utf8_percent_encode(host, NON_ALPHANUMERIC).to_string()
    } else if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

fn login_as_parameters(login: &str) -> String {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let mut parameters = form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("user", user), ("password", password)] {
        if !value.is_empty() {
            parameters.append_pair(name, &percent_decode_str(value).decode_utf8_lossy());
        }
    }
    parameters.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<DatabaseUrl, InvalidDatabaseUrl> {
        DatabaseUrl::parse(&url.to_owned().into())
    }

    #[test]
    fn a_wrong_url_is_explained_without_its_password() {
        for (url, why) in [
            ("mysql://u:hunter2@h/d", "does not start with postgres://"),
            ("hunter2", "does not start with postgres://"),
            ("postgres://u:hun#ter2@h/d", "must be percent-encoded"),
            ("postgres://u:p@hun/w#ter2@h/d", "such as %23 for #"),
            ("postgres://u:hun/ter2@h/d", "such as %23 for #, %2F for /"),
            ("postgres://u:hunter2@h:x/d", "not a number up to 65535"),
            ("postgres://u:hunter2@a,b:1,c/d?port=1,2", "one port for all hosts, or one for each"),
            ("postgres://u:hunter2@a,,c/d", "one of its hosts has no name"),
            ("postgres://u:hunter2@[::1/d", "cannot be parsed"),
            (
                "postgres://u:hunter2@a,b/d?target_session_attrs=writer",
                "its target_session_attrs must be any, read-write",
            ),
            ("postgres://u:hunter2@h/d?sslmode=on", "sslmode is disable"),
        ] {
            let sentence = parse(url).unwrap_err().to_string();
            assert!(
                sentence.contains(why) && sentence.contains("; it looks like "),
                "{url}: {sentence}"
            );
            assert!(!sentence.contains("hun"), "{sentence}");
        }
    }

    #[test]
    fn all_forms_of_libpq_name_their_hosts() {
        for (url, endpoint) in [
            ("postgresql://u:p@db.internal:6432/agentfs", "db.internal:6432"),
            ("postgres://u:p@[::1]:5433/d", "[::1]:5433"),
            ("postgres://u:p@%2Frun%2Fpg/d", "/run/pg:5432"),
            ("postgres://u:p@/d?host=/run/pg", "/run/pg:5432"),
            ("postgres://u:p@/d?host=db.internal&port=6432", "db.internal:6432"),
            ("postgres:///d?host=db.internal", "db.internal:5432"),
            ("postgres://u:p@not.this/d?host=a,b", "a:5432,b:5432"),
            ("postgres://u:p@a:1,b:2,[fd00::1]:3/d", "a:1,b:2,[fd00::1]:3"),
            ("postgres://u:p@a,b:2/d?target_session_attrs=primary", "a:5432,b:2"),
            ("postgres://u:p@a,b/d?port=6432", "a:6432,b:6432"),
            ("postgres://u:p@/d?host=a,b&port=1,2", "a:1,b:2"),
            ("postgres://u:p@a,b/d?hostaddr=10.0.0.1,10.0.0.2", "10.0.0.1:5432,10.0.0.2:5432"),
        ] {
            assert_eq!(parse(url).unwrap().endpoint(), endpoint, "{url}");
        }
    }

    #[test]
    fn another_database_is_on_the_same_servers() {
        let url = parse("postgres://u:p%2Bq@a,b:2/x?dbname=y&options=-c%20jit%3Doff").unwrap();
        assert_eq!(url.database(), "y");
        let other = url.with_database("my db");
        assert_eq!((other.database(), other.endpoint().as_str()), ("my db", "a:5432,b:2"));
        let text = other.hosts()[0].text().expose_secret();
        assert_eq!(text, "postgres://u:p%2Bq@a/my%20db?options=-c%20jit%3Doff");
        assert_eq!(parse(text).unwrap().database(), "my db");
        assert_eq!(parse("postgres:///?user=ada&host=/run/pg").unwrap().database(), "ada");
    }

    #[test]
    fn a_search_path_comes_after_the_options_that_there_are() {
        for (url, text, options) in [
            (
                "postgres://u:p@h/d",
                "postgres://u:p@h/d?options=-c+search_path%3Dnew",
                "-c search_path=new",
            ),
            (
                "postgres://u:p@h/d?options=-c%20jit%3Doff&sslmode=require&options=-c%20geqo%3Doff",
                "postgres://u:p@h/d?sslmode=require&options=-c+jit%3Doff+-c+geqo%3Doff+-c+search_path%3Dnew",
                "-c jit=off -c geqo=off -c search_path=new",
            ),
        ] {
            let url = parse(url).unwrap().with_search_path("new");
            assert_eq!(url.hosts()[0].text().expose_secret(), text);
            // The driver's form, and what it makes of the text.
            for host in [url.hosts()[0].clone(), parse(text).unwrap().hosts()[0].clone()] {
                assert_eq!(host.options().get_options(), Some(options));
            }
        }
    }

    #[test]
    fn another_role_is_on_the_same_servers() {
        let secret = SecretString::from("p/q");
        for (url, text) in [
            (
                "postgres://u:x@h:2/d?sslmode=require",
                "postgres://h:2/d?sslmode=require&user=ada&password=p%2Fq",
            ),
            (
                "postgres:///d?user=u&password=x&host=/run/pg",
                "postgres://%2Frun%2Fpg/d?user=ada&password=p%2Fq",
            ),
        ] {
            let other = parse(url).unwrap().with_login("ada", &secret);
            assert_eq!(other.hosts()[0].text().expose_secret(), text);
            let again = parse(text).unwrap();
            assert_eq!(again.hosts()[0].options().get_username(), "ada");
        }
    }

    #[test]
    fn each_host_has_all_the_rest() {
        let url = parse("postgres://a%40b:p%2Bq@h,/x?host=one,/run/two&sslmode=require").unwrap();
        let texts: Vec<&str> = url.hosts().iter().map(|host| host.text().expose_secret()).collect();
        let expected = [
            "postgres://a%40b:p%2Bq@one/x?sslmode=require",
            "postgres://a%40b:p%2Bq@%2Frun%2Ftwo/x?sslmode=require",
        ];
        assert_eq!(texts, expected);
        for host in url.hosts() {
            assert_eq!(
                (host.options().get_username(), host.options().get_database()),
                ("a@b", Some("x"))
            );
        }
        let nowhere = parse("postgres://a%40b:p%2Bq@/x").unwrap();
        assert_eq!(nowhere.hosts()[0].options().get_username(), "a@b");
        assert_eq!(
            nowhere.hosts()[0].text().expose_secret(),
            "postgres:///x?user=a%40b&password=p%2Bq"
        );
    }
}
