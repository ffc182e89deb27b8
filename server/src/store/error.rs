//! Sorts errors of the driver and of PostgreSQL by what the caller can do about them.

use std::borrow::Cow;
use std::fmt;
use std::io::ErrorKind;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::connection::address;

/// Why the database did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection, or the one there was is gone. What was under way may or may not have been committed.
    #[error("the database cannot be reached: {0}")]
    Unreachable(Cause),
    /// Somebody else held a lock for too long, or a deadlock was broken. Nothing was written.
    #[error("the database is busy with the same rows: {0}")]
    Contended(Cause),
    /// The database refused the data. Nothing was written.
    #[error("the database refused the data: {0}")]
    Refused(Cause),
    /// Tables or types are not there, not ours, or no longer those that the connection knows: a restore or a migration
    /// replaces them. Nothing was written; the same may succeed on a new connection.
    #[error("the database's tables are not as they should be, or are being restored: {0}")]
    Replaced(Cause),
    /// The server takes no writes: it is a standby, a former primary after a failover, or was set so. Nothing was written;
    /// the same may succeed on a new connection, which may lead to another server.
    #[error(
        "the database is read-only ({0}): a failover is under way, the address leads to a standby, or default_transaction_read_only is set"
    )]
    ReadOnly(Cause),
    /// The server ran out of disk, memory or another resource. Nothing was written.
    #[error("the database has run out of disk, memory or another resource: {0}")]
    Exhausted(Cause),
    /// A statement took longer than it may, and was cancelled. Nothing was written.
    #[error("a statement took longer than it may: {0}")]
    TimedOut(Cause),
    /// Anything else, such as a fault in a statement. Nothing was written.
    #[error("the database failed: {0}")]
    Failed(Cause),
}

impl StoreError {
    /// What the driver said.
    pub fn cause(&self) -> &Cause {
        match self {
            Self::Unreachable(cause)
            | Self::Contended(cause)
            | Self::Refused(cause)
            | Self::Replaced(cause)
            | Self::ReadOnly(cause)
            | Self::Exhausted(cause)
            | Self::TimedOut(cause)
            | Self::Failed(cause) => cause,
        }
    }

    /// The same, of a connection to `endpoint` that did not come about.
    pub(in crate::store) fn at(mut self, endpoint: String) -> Self {
        let (Self::Unreachable(cause)
        | Self::Contended(cause)
        | Self::Refused(cause)
        | Self::Replaced(cause)
        | Self::ReadOnly(cause)
        | Self::Exhausted(cause)
        | Self::TimedOut(cause)
        | Self::Failed(cause)) = &mut self;
        cause.1 = Some(endpoint.into());
        self
    }

    /// `host:port` of each host that was tried, where no connection came about.
    pub fn endpoint(&self) -> Option<&str> {
        self.cause().1.as_deref()
    }

    /// Whether the server refused the login for good: a wrong user or password, or no such database.
    pub fn is_login_refused(&self) -> bool {
        self.endpoint().is_some() && ["28", "3D"].iter().any(|class| self.code().starts_with(class))
    }

    /// True where the same may succeed a moment later, without anybody mending something.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Contended(_) | Self::ReadOnly(_))
            && !self.cause().is_of_settings()
    }

    /// Whether the data is at fault, or tables that are not as they should be. That a role has no right says nothing of them.
    pub fn is_of_data(&self) -> bool {
        is_of_data(self.cause().driver())
    }

    /// Whether rows are at fault: a value is none of its type, or a key or a check does not hold.
    pub fn is_of_rows(&self) -> bool {
        ["22", "23"].iter().any(|class| self.code().starts_with(class))
    }

    /// Whether PostgreSQL said that our role may not do it.
    pub fn is_forbidden(&self) -> bool {
        self.code() == FORBIDDEN
    }

    /// Whether the server's disk is full.
    pub fn is_disk_full(&self) -> bool {
        self.code() == DISK_FULL
    }

    /// The SQLSTATE of what PostgreSQL said; empty where it said nothing.
    pub fn code(&self) -> Cow<'_, str> {
        let error = self.cause().driver().as_database_error();
        error.and_then(DatabaseError::code).unwrap_or_default()
    }

    /// Whether no connection came about, as while a server, or the network to it, starts.
    pub fn may_be_starting(&self) -> bool {
        match self.cause().driver() {
            sqlx::Error::Io(e) => !address::is_untrusted(e),
            sqlx::Error::Database(e) => {
                let code = e.code().unwrap_or_default();
                code == TOO_MANY_CONNECTIONS || ["08", "57P"].iter().any(|c| code.starts_with(c))
            }
            _ => false,
        }
    }

    /// Whether only another connection may do better.
    pub fn is_connection_broken(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Replaced(_) | Self::ReadOnly(_))
    }

    /// Whether a connection that there was is gone. False where none was to be had.
    pub fn is_connection_lost(&self) -> bool {
        is_lost(self.cause().driver())
    }

    /// Whether the database answers, but takes no writes.
    pub fn takes_no_writes(&self) -> bool {
        matches!(self, Self::ReadOnly(_) | Self::Exhausted(_))
    }
}

/// The SQLSTATE of what our role may not do.
const FORBIDDEN: &str = "42501";
/// The SQLSTATE of a server whose disk is full.
const DISK_FULL: &str = "53100";
/// The SQLSTATE of a server that has no connection left.
const TOO_MANY_CONNECTIONS: &str = "53300";
/// The SQLSTATE of a server that starts or shuts down.
const CANNOT_CONNECT_NOW: &str = "57P03";
/// The SQLSTATE of what a role has no right to.
const NO_RIGHT: &str = "42501";
/// The SQLSTATE of a write to a server that takes none.
const READ_ONLY: &str = "25006";

/// The error of the driver behind a [`StoreError`], and `host:port` of what was not connected to.
#[derive(Debug)]
pub struct Cause(Box<sqlx::Error>, Option<Box<str>>);

impl Cause {
    pub(in crate::store) fn driver(&self) -> &sqlx::Error {
        &self.0
    }

    /// Whether the URL of the database has something that cannot be used.
    fn is_of_settings(&self) -> bool {
        matches!(&*self.0, sqlx::Error::Configuration(_))
    }
}

/// What the driver says of a user or password with a character that SASLprep (RFC 4013) forbids or does not know.
const NOT_SASLPREP: &str = "Failed to saslprep";

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            sqlx::Error::Io(e) if address::is_untrusted(e) => {
                write!(
                    f,
                    "its certificate is not trusted ({e}); give the certificate of its authority as a file, by sslrootcert in DATABASE_URL or by PGSSLROOTCERT, or lower sslmode"
                )
            }
            sqlx::Error::Io(e) => e.fmt(f),
            sqlx::Error::Configuration(e) if e.to_string().starts_with(NOT_SASLPREP) => {
                write!(
                    f,
                    "the user or password of DATABASE_URL has a character that cannot be sent, such as a tab, a line break or an emoji (SASLprep, RFC 4013); set another one by ALTER ROLE ... PASSWORD, and write it into DATABASE_URL"
                )
            }
            sqlx::Error::Configuration(e) => e.fmt(f),
            sqlx::Error::Tls(e) => {
                write!(
                    f,
                    "no encrypted connection comes about, which the sslmode of DATABASE_URL asks for ({e}); turn ssl on in PostgreSQL, or set sslmode=disable"
                )
            }
            sqlx::Error::Database(e) if e.code().as_deref() == Some(TOO_MANY_CONNECTIONS) => {
                write!(
                    f,
                    "it has no connection left ({}); raise its max_connections, or lower DATABASE_POOL_SIZE or the number of replicas",
                    e.message()
                )
            }
            sqlx::Error::Database(e) => e.message().fmt(f),
            other => other.fmt(f),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let kind = Kind::of(&error);
        let cause = Cause(Box::new(error), None);
        match kind {
            Kind::Unreachable => Self::Unreachable(cause),
            Kind::Contended => Self::Contended(cause),
            Kind::Refused => Self::Refused(cause),
            Kind::Replaced => Self::Replaced(cause),
            Kind::ReadOnly => Self::ReadOnly(cause),
            Kind::Exhausted => Self::Exhausted(cause),
            Kind::TimedOut => Self::TimedOut(cause),
            Kind::Failed => Self::Failed(cause),
        }
    }
}

/// The variants of [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unreachable,
    Contended,
    Refused,
    Replaced,
    ReadOnly,
    Exhausted,
    TimedOut,
    Failed,
}

impl Kind {
    fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(e) if ends_session(&**e) => Self::Unreachable,
            sqlx::Error::Database(e) => {
                Self::of_sqlstate(e.code().as_deref().unwrap_or_default(), e.message())
            }
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::RowNotFound
            | sqlx::Error::Decode(_) => Self::Failed,
            sqlx::Error::TypeNotFound { .. } => Self::Replaced,
            // Everything else speaks of the connection, not of the statement.
            _ => Self::Unreachable,
        }
    }

    /// Classes and codes of PostgreSQL's appendix "Error Codes".
    fn of_sqlstate(code: &str, message: &str) -> Self {
        match code {
            // 23505: another writer made the same version of an entry first.
            "55P03" | "40P01" | "40001" | "23505" => Self::Contended,
            // A prepared statement that is gone, or whose result has another type now; no such table, column, type, function;
            // a table without the unique index that ON CONFLICT names, since a restore builds indexes last; and no right to a
            // table, which a superuser's restore gives to its owner only after having made it.
            "26000" | "0A000" | "42P01" | "42703" | "42704" | "42883" | "42P10" | "42501" => {
                Self::Replaced
            }
            "XX000" if names_a_lost_object(message) => Self::Replaced,
            READ_ONLY => Self::ReadOnly,
            // statement_timeout, or somebody has cancelled it.
            "57014" => Self::TimedOut,
            TOO_MANY_CONNECTIONS => Self::Unreachable,
            c if c.starts_with("53") => Self::Exhausted,
            // Connection, authorisation, no such database, shut down.
            c if ["08", "28", "3D", "57P"].iter().any(|class| c.starts_with(class)) => {
                Self::Unreachable
            }
            c if c.starts_with("22") || c.starts_with("23") => Self::Refused,
            _ => Self::Failed,
        }
    }
}

/// Whether PostgreSQL ends the session with this error, whatever its code: timeouts of sessions and transactions do so too.
fn ends_session(error: &dyn DatabaseError) -> bool {
    error
        .try_downcast_ref::<PgDatabaseError>()
        .is_some_and(|e| matches!(e.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

/// Whether an error is of the classes of data, constraints, and of what a statement names.
pub(in crate::store) fn is_of_data(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code).unwrap_or_default();
    code != NO_RIGHT && ["22", "23", "42"].iter().any(|class| code.starts_with(class))
}

/// Whether an error says that a connection that there was is gone. That none was to be had says nothing of one.
pub(in crate::store) fn is_lost(error: &sqlx::Error) -> bool {
    let comes_of_connecting = match error {
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::Configuration(_)
        | sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(e) => {
            e.kind() == ErrorKind::ConnectionRefused
                || address::is_no_host(e)
                || address::is_untrusted(e)
        }
        sqlx::Error::Database(e) => refuses_connections(e.code().as_deref().unwrap_or_default()),
        _ => false,
    };
    !comes_of_connecting && Kind::of(error) == Kind::Unreachable
}

/// Whether a SQLSTATE refuses a new connection: authorisation, no such database, too many connections, and a server that
/// starts or shuts down. Sessions that there are end with others.
fn refuses_connections(code: &str) -> bool {
    ["28", "3D"].iter().any(|class| code.starts_with(class))
        || [TOO_MANY_CONNECTIONS, CANNOT_CONNECT_NOW].contains(&code)
}

/// Whether an error says that its connection leads to a server that takes no writes.
pub(in crate::store) fn is_read_only(error: &sqlx::Error) -> bool {
    Kind::of(error) == Kind::ReadOnly
}

/// Whether an error says that its connection is outdated.
pub(in crate::store) fn is_outdated(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|e| is_stale(e.code().as_deref().unwrap_or_default(), e.message()))
}

/// Whether an error of PostgreSQL speaks of something that the connection remembers and that is gone. What merely is not
/// there, such as a table, is looked up again each time.
fn is_stale(code: &str, message: &str) -> bool {
    match code {
        "26000" | "0A000" | "42704" => true,
        "XX000" => names_a_lost_object(message),
        _ => false,
    }
}

/// Internal errors share one code. These two messages speak of an object that a prepared statement knows by its former
/// number; they are never translated.
fn names_a_lost_object(message: &str) -> bool {
    message.starts_with("cache lookup failed")
        || message.starts_with("could not open relation with OID")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_connection_remembers_is_stale() {
        assert!(is_stale("26000", "prepared statement \"s1\" does not exist"));
        assert!(is_stale("XX000", "could not open relation with OID 16391"));
        assert!(!is_stale("XX000", "unexpected end of tape"));
        assert!(!is_stale("42P01", "relation \"entries\" does not exist"));
    }

    #[test]
    fn codes_are_sorted_by_what_to_do() {
        let sorted = |code| Kind::of_sqlstate(code, "");
        for code in ["57P01", "57P02", "57P03", "57P04", "57P05", "28P01", "53300", "08006"] {
            assert_eq!(sorted(code), Kind::Unreachable, "{code}");
        }
        for code in ["53000", "53100", "53200", "53400"] {
            assert_eq!(sorted(code), Kind::Exhausted, "{code}");
        }
        assert_eq!(sorted("25006"), Kind::ReadOnly);
        assert_eq!(sorted("57014"), Kind::TimedOut);
        assert_eq!(sorted("55P03"), Kind::Contended);
        assert_eq!(sorted("22P02"), Kind::Refused);
        assert_eq!(sorted("42P01"), Kind::Replaced);
        let internal = |message| Kind::of_sqlstate("XX000", message);
        assert_eq!(internal("cache lookup failed for type 16391"), Kind::Replaced);
        assert_eq!(internal("unexpected end of tape"), Kind::Failed);
    }

    #[test]
    fn that_none_was_to_be_had_says_nothing_of_a_connection() {
        for kind in [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof, ErrorKind::TimedOut] {
            assert!(is_lost(&sqlx::Error::Io(kind.into())), "{kind}");
        }
        for error in [
            sqlx::Error::PoolTimedOut,
            sqlx::Error::Io(ErrorKind::ConnectionRefused.into()),
            sqlx::Error::Tls("server does not support TLS".into()),
            sqlx::Error::Configuration("no such file".into()),
        ] {
            assert!(!is_lost(&error), "{error}");
        }
        for (code, refuses) in [
            ("28P01", true),
            ("3D000", true),
            ("53300", true),
            ("57P03", true),
            ("57P01", false),
            ("08006", false),
        ] {
            assert_eq!(refuses_connections(code), refuses, "{code}");
        }
        assert!(StoreError::from(sqlx::Error::PoolTimedOut).is_connection_broken());
    }
}
