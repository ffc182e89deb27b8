//! The credentials of a database: user, password, URL, certificates.
//!
//! Those of the embedded one are made once, when their Secret is not there, and kept ever after: a reconcile never
//! rotates them. Where a person changes a Secret, what is there counts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::core::v1::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};

use super::url::{DatabaseUrl, TlsMode};
use crate::kit::digest::hash;
use crate::kit::secrets::{Unusable, entry, text};

/// What stands for itself in any part of a URL is not encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How many random bytes a generated password has.
const PASSWORD_BYTES: usize = 32;
/// What a database's URL looks like.
pub const EXAMPLE_URL: &str = "postgres://user:password@host:5432/database";

/// User, password and name of the embedded database.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The role that owns the database.
    pub username: String,
    /// The role's password.
    pub password: SecretString,
    /// The database's name.
    pub database: String,
}

impl Credentials {
    /// New credentials with a random password of 256 bits.
    pub fn generate() -> Self {
        Self {
            username: "agentfs".into(),
            password: URL_SAFE_NO_PAD.encode(rand::random::<[u8; PASSWORD_BYTES]>()).into(),
            database: "agentfs".into(),
        }
    }

    /// Those that were generated and that `secret` holds the password of, or new ones where it holds
    /// none that was generated.
    pub fn regenerate(secret: Option<&Secret>) -> Self {
        let generated = |text: &String| {
            URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == PASSWORD_BYTES)
        };
        let kept = secret.and_then(|secret| text(secret, "password").ok()).filter(generated);
        match kept {
            Some(password) => Self { password: password.into(), ..Self::generate() },
            None => Self::generate(),
        }
    }

    /// The credentials that a Secret holds.
    pub fn from_secret(secret: &Secret) -> Result<Self, Unusable> {
        Ok(Self {
            username: text(secret, "username")?,
            password: text(secret, "password")?.into(),
            database: text(secret, "database")?,
        })
    }

    /// The URL by which a client reaches the database on `host`, inside the cluster and without TLS.
    pub fn url(&self, host: &str, port: u16) -> SecretString {
        format!(
            "postgres://{}:{}@{host}:{port}/{}?sslmode=disable",
            percent_encoded(&self.username),
            percent_encoded(self.password.expose_secret()),
            percent_encoded(&self.database),
        )
        .into()
    }

    /// The same, taken apart.
    pub fn address(&self, host: &str, port: u16) -> DatabaseUrl {
        DatabaseUrl {
            host: host.to_owned(),
            port,
            username: self.username.clone(),
            password: Some(self.password.clone()),
            database: self.database.clone(),
            tls: TlsMode::Disable,
            has_options: false,
        }
    }

    /// A hash that changes when one of the three does.
    pub fn hash(&self) -> String {
        hash([&self.username, self.password.expose_secret(), &self.database])
    }
}

/// The URL of a database that a Secret's entry `key` holds, and a hash that changes when it does.
pub fn database_url(secret: &Secret, key: &str) -> Result<(DatabaseUrl, String), Unusable> {
    let text = entry(secret, key)?;
    let url = DatabaseUrl::parse(&text).map_err(|error| {
        Unusable::Malformed(
            key.to_owned(),
            format!("a database URL: {error}; it looks like {EXAMPLE_URL}"),
        )
    })?;
    Ok((url, hash([text.as_str()])))
}

/// The certificates that a Secret's entry `key` holds.
pub fn certificates(secret: &Secret, key: &str) -> Result<String, Unusable> {
    let text = entry(secret, key)?;
    if text.contains("-----BEGIN CERTIFICATE-----") {
        return Ok(text);
    }
    let form = "certificates in PEM form, which begin with -----BEGIN CERTIFICATE-----";
    Err(Unusable::Malformed(key.to_owned(), form.to_owned()))
}

/// A text as a part of a URL: all but letters, digits and `-._~` as percent codes.
fn percent_encoded(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, ENCODED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::secrets::secret_of as secret;

    #[test]
    fn a_password_with_odd_characters_survives_in_the_url() {
        let credentials = Credentials::from_secret(&secret(&[
            ("username", "a b"),
            ("password", "p@ss/wö:rd?#%"),
            ("database", "x"),
        ]))
        .unwrap();
        assert_eq!(
            credentials.url("host", 5432).expose_secret(),
            "postgres://a%20b:p%40ss%2Fw%C3%B6%3Ard%3F%23%25@host:5432/x?sslmode=disable"
        );
    }

    #[test]
    fn a_missing_key_and_a_trailing_newline_are_named() {
        let missing = Credentials::from_secret(&secret(&[("username", "a"), ("database", "x")]));
        assert_eq!(missing.unwrap_err().to_string(), "lacks the key password");
        let newline = Credentials::from_secret(&secret(&[("username", "a\n")]));
        assert!(
            newline
                .unwrap_err()
                .to_string()
                .contains("in its key username something that is not one line")
        );
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let credentials = Credentials::generate();
        assert!(!format!("{credentials:?}").contains(credentials.password.expose_secret()));
    }
}
