//! API keys: `<id>.<secret>`, of which only the id and a hash of the secret are stored.

use agentfs_contract::api_key::{self, FORM, ID_CHARS};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The public id of a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; ID_CHARS]);

/// Why a text is no key id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MalformedKeyId {
    /// Does not repeat the text: it may hold a secret.
    #[error(
        "that is a complete key; its id is the part before the dot; treat the key as disclosed"
    )]
    WholeKey,
    /// Anything else.
    #[error("{0:?} is not the id of a key, which looks like agfs_live_<11 characters>")]
    Other(String),
}

impl KeyId {
    /// Parses an id as it is shown to people.
    pub fn parse(text: &str) -> Result<Self, MalformedKeyId> {
        Self::read(text).ok_or_else(|| match ApiKey::parse(text) {
            Ok(_) => MalformedKeyId::WholeKey,
            Err(_) => MalformedKeyId::Other(text.chars().take(80).collect()),
        })
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // ASCII by construction.
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Parses `text` if it has the prefix, length and alphabet of a generated id.
    fn read(text: &str) -> Option<Self> {
        api_key::is_id(text).then(|| text.as_bytes().try_into().ok().map(Self)).flatten()
    }
}

impl std::fmt::Debug for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

/// The state of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Valid.
    Active,
    /// Past its expiry.
    Expired,
    /// Revoked by somebody.
    Revoked,
}

impl KeyState {
    /// The state at `now` of a key that expires at `expires_at` and was revoked at `revoked_at`.
    pub fn at(
        now: Timestamp,
        expires_at: Option<Timestamp>,
        revoked_at: Option<Timestamp>,
    ) -> Self {
        if revoked_at.is_some() {
            Self::Revoked
        } else if expires_at.is_some_and(|at| at <= now) {
            Self::Expired
        } else {
            Self::Active
        }
    }

    /// The state's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// SHA-256 of a secret. The secret is 32 random bytes, so a slower hash would protect nothing more.
#[derive(Debug, Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Reads a stored hash; `None` if it has the wrong length.
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The hash as stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Compares in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// A complete key, as a client sends it.
#[derive(Debug, Clone)]
pub struct ApiKey {
    id: KeyId,
    secret: SecretString,
}

/// A text that is no API key. Does not repeat the text: it may be a secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an API key looks like {FORM}")]
pub struct MalformedKey;

impl ApiKey {
    /// Generates a random key.
    pub fn generate() -> Self {
        let api_key::Generated { id, secret } = api_key::generate();
        Self { id: KeyId(id), secret }
    }

    /// Parses `text`; its parts must have the length and alphabet of a generated key's.
    pub fn parse(text: &str) -> Result<Self, MalformedKey> {
        let (id, secret) = api_key::split(text).ok_or(MalformedKey)?;
        let id = KeyId::read(id).ok_or(MalformedKey)?;
        Ok(Self { id, secret: secret.to_owned().into() })
    }

    /// The public id.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The hash to store or to compare with a stored one.
    pub fn secret_hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.secret.expose_secret().as_bytes()).into())
    }

    /// The complete key as text, to be shown once to the one who asked for it.
    pub fn reveal(&self) -> SecretString {
        api_key::whole(self.id.as_str(), &self.secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_parses_to_itself() {
        let key = ApiKey::generate();
        let again = ApiKey::parse(key.reveal().expose_secret()).unwrap();
        assert_eq!(again.id(), key.id());
        assert!(again.secret_hash().matches(&key.secret_hash()));
        assert!(!ApiKey::generate().secret_hash().matches(&key.secret_hash()));
    }

    #[test]
    fn malformed_keys_are_refused() {
        let good = ApiKey::generate().reveal().expose_secret().to_owned();
        for bad in
            ["", ".", "agfs_live_.", &good[1..], &good[..good.len() - 1], &good.replace('.', ":")]
        {
            assert!(ApiKey::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_is_told_from_a_whole_key_and_from_anything_else() {
        let key = ApiKey::generate();
        assert_eq!(KeyId::parse(key.id().as_str()).as_ref(), Ok(key.id()));
        let whole = key.reveal().expose_secret().to_owned();
        assert_eq!(KeyId::parse(&whole), Err(MalformedKeyId::WholeKey));
        for bad in ["", "agfs_live_", "42", &key.id().as_str()[1..]] {
            assert!(matches!(KeyId::parse(bad), Err(MalformedKeyId::Other(_))), "{bad}");
        }
    }

    #[test]
    fn a_key_is_expired_from_its_last_moment_on_and_revoked_before_all() {
        let at = |second| Timestamp::from_second(second).ok();
        let now = at(100).unwrap();
        assert_eq!(KeyState::at(now, at(101), None), KeyState::Active);
        assert_eq!(KeyState::at(now, None, None), KeyState::Active);
        assert_eq!(KeyState::at(now, at(100), None), KeyState::Expired);
        assert_eq!(KeyState::at(now, at(99), at(1)), KeyState::Revoked);
    }

    #[test]
    fn debug_output_hides_the_secret() {
        let key = ApiKey::generate();
        let shown = format!("{key:?}");
        assert!(!shown.contains(key.secret.expose_secret()));
    }
}
