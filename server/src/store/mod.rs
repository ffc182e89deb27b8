//! All SQL, and nothing but SQL and row types.

pub mod agents;
pub mod api_keys;
pub mod as_of;
pub mod connect;
pub mod dump;
pub mod embedding_jobs;
pub mod get;
pub mod list;
pub mod list_as_of;
pub mod lookup;
pub mod ordered_write;
pub mod plain_put;
pub mod rate_limits;
pub mod scan;
pub mod schema;
pub mod sweep;
pub mod versions;

use std::fmt;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;

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
    /// Anything else: a schema that does not fit, a missing right, a full disk. Nothing was written.
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
            | Self::Failed(cause) => cause,
        }
    }
}

/// The SQLSTATE of a server that is full.
const TOO_MANY_CONNECTIONS: &str = "53300";

/// The error of the driver behind a [`StoreError`].
#[derive(Debug)]
pub struct Cause(Box<sqlx::Error>);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            sqlx::Error::Io(e) => e.fmt(f),
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
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        let kind = match &error {
            sqlx::Error::Database(_) => of_sqlstate(code.as_deref().unwrap_or_default()),
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::RowNotFound
            | sqlx::Error::Decode(_) => Self::Failed,
            // Everything else speaks of the connection, not of the statement.
            _ => Self::Unreachable,
        };
        kind(Cause(Box::new(error)))
    }
}

/// Classes and codes of PostgreSQL's appendix "Error Codes".
fn of_sqlstate(code: &str) -> fn(Cause) -> StoreError {
    match code {
        // 23505: another writer made the same version of an entry first.
        "55P03" | "40P01" | "40001" | "23505" => StoreError::Contended,
        // A prepared statement or a type that a restore has replaced: a new connection knows the new one.
        "26000" | "0A000" | TOO_MANY_CONNECTIONS => StoreError::Unreachable,
        // Connection, authorisation, no such database, shut down.
        c if ["08", "28", "3D", "57P"].iter().any(|class| c.starts_with(class)) => {
            StoreError::Unreachable
        }
        c if c.starts_with("22") || c.starts_with("23") => StoreError::Refused,
        _ => StoreError::Failed,
    }
}

fn to_sql(at: Option<Timestamp>) -> Option<jiff_sqlx::Timestamp> {
    at.map(Timestamp::to_sqlx)
}

fn from_sql(at: Option<jiff_sqlx::Timestamp>) -> Option<Timestamp> {
    at.map(jiff_sqlx::Timestamp::to_jiff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_by_what_to_do() {
        let name = |code| match of_sqlstate(code)(Cause(Box::new(sqlx::Error::PoolClosed))) {
            StoreError::Unreachable(_) => "unreachable",
            StoreError::Contended(_) => "contended",
            StoreError::Refused(_) => "refused",
            StoreError::Failed(_) => "failed",
        };
        assert_eq!(name("57P01"), "unreachable");
        assert_eq!(name("57014"), "failed");
        assert_eq!(name("28P01"), "unreachable");
        assert_eq!(name("55P03"), "contended");
        assert_eq!(name("22P02"), "refused");
        assert_eq!(name("42P01"), "failed");
    }
}
