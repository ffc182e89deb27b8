//! The URL of a PostgreSQL database.

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgConnectOptions;

/// Why a URL is no address of a PostgreSQL database. Does not repeat it: it holds a password.
#[derive(Debug, thiserror::Error)]
#[error("{0}; it looks like postgres://user:password@host:5432/database")]
pub struct InvalidDatabaseUrl(&'static str);

/// A URL that leads to a PostgreSQL database. It connects to nothing: see [`crate::store::connection::address`].
#[derive(Debug, Clone)]
pub struct DatabaseUrl {
    text: SecretString,
    options: PgConnectOptions,
}

impl DatabaseUrl {
    /// Parses a `postgres://` URL.
    pub fn parse(text: &SecretString) -> Result<Self, InvalidDatabaseUrl> {
        let url = text.expose_secret();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(InvalidDatabaseUrl("it does not start with postgres://"));
        }
        let options = url.parse().map_err(|_| InvalidDatabaseUrl("it cannot be taken apart (special characters in the password must be percent-encoded)"))?;
        Ok(Self { text: text.clone(), options })
    }

    /// `host:port`, for messages.
    pub fn endpoint(&self) -> String {
        format!("{}:{}", self.options.get_host(), self.options.get_port())
    }

    /// The driver's form of it.
    pub fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// As it was given, for programs that connect by themselves.
    pub fn text(&self) -> &SecretString {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_url_is_explained_without_its_password() {
        for url in ["mysql://u:hunter2@h/d", "hunter2", "postgres://u:hun#ter2@h:x/d"] {
            let sentence = DatabaseUrl::parse(&url.to_owned().into()).unwrap_err().to_string();
            assert!(
                sentence.contains("; it looks like ") && !sentence.contains("hun"),
                "{sentence}"
            );
        }
    }

    #[test]
    fn the_endpoint_is_shown_in_messages() {
        let url = "postgresql://u:p@db.internal:6432/agentfs".to_owned().into();
        assert_eq!(DatabaseUrl::parse(&url).unwrap().endpoint(), "db.internal:6432");
    }
}
