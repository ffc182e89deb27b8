//! Refuses a database whose encoding cannot hold every text.

use sqlx::postgres::PgConnection;

/// The database is not encoded in UTF8.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the database is encoded in {encoding}, which cannot hold every text, and AgentFS needs UTF8: run CREATE DATABASE \
     agentfs_utf8 OWNER {role} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'; as a superuser, restore a pg_dump of this one there \
     if it has data, and let DATABASE_URL lead there"
)]
pub struct NotUtf8 {
    /// The encoding.
    encoding: String,
    /// Our role, quoted where it must be.
    role: String,
}

/// Columns of [`NotUtf8`], null where all is well.
macro_rules! not_utf8 {
    () => {
        "nullif(current_setting('server_encoding'), 'UTF8') AS encoding, quote_ident(current_user) AS role"
    };
}
pub(super) use not_utf8;

impl NotUtf8 {
    /// From the columns of [`not_utf8!`].
    pub(super) fn of(encoding: Option<String>, role: String) -> Option<Self> {
        encoding.map(|encoding| Self { encoding, role })
    }

    /// Asks a database that may have no schema yet.
    pub(super) async fn look(connection: &mut PgConnection) -> Result<Option<Self>, sqlx::Error> {
        let (encoding, role) =
            sqlx::query_as(concat!("SELECT ", not_utf8!())).fetch_one(connection).await?;
        Ok(Self::of(encoding, role))
    }
}
