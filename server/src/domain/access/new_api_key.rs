//! A new API key's label, scopes and expiry, validated.

use jiff::{SignedDuration, Timestamp};

use super::scope::{DEFAULT_SCOPES, Scope, Scopes, UnknownScope};
use crate::domain::rfc3339;

/// Longest label in characters.
pub const MAX_LABEL_CHARS: usize = 200;

/// A key to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiKey {
    label: String,
    scopes: Scopes,
    expires_at: Option<Timestamp>,
}

/// Why a key cannot be created.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidNewApiKey {
    /// The label cannot be stored.
    #[error("label must have at most {MAX_LABEL_CHARS} characters and no NUL")]
    Label,
    /// A scope that does not exist.
    #[error(transparent)]
    Scope(#[from] UnknownScope),
    /// A key without permissions.
    #[error("scopes is empty: such a key could do nothing; leave it out for the default scopes")]
    NoScope,
    /// An expiry out of range.
    #[error("a key cannot expire in {0} s: the time must be above 0 and end before the year 9999")]
    Expiry(i64),
    /// The key would outlive the one that makes it, which expires then.
    #[error(
        "the key that asks expires at {}, and no key outlives its maker: ask for fewer expires_in_seconds, or leave them out to have both expire together",
        rfc3339(*.0)
    )]
    OutlivesMaker(Timestamp),
}

impl NewApiKey {
    /// Validates a new key. `scopes`: names, [`DEFAULT_SCOPES`] if `None`. `expires_in_seconds`: counted from `now`,
    /// never if `None`.
    pub fn new(
        label: &str,
        scopes: Option<&[String]>,
        expires_in_seconds: Option<i64>,
        now: Timestamp,
    ) -> Result<Self, InvalidNewApiKey> {
        if label.chars().count() > MAX_LABEL_CHARS || label.contains('\0') {
            return Err(InvalidNewApiKey::Label);
        }
        let scopes = match scopes {
            None => DEFAULT_SCOPES.into_iter().collect(),
            Some([]) => return Err(InvalidNewApiKey::NoScope),
            Some(names) => {
                names.iter().map(|name| name.parse::<Scope>()).collect::<Result<_, _>>()?
            }
        };
        let expires_at = expires_in_seconds.map(|seconds| expiry(seconds, now)).transpose()?;
        Ok(Self { label: label.to_owned(), scopes, expires_at })
    }

    /// The same key, made by one that expires at `maker_expires_at`: it expires no later.
    pub fn within(self, maker_expires_at: Option<Timestamp>) -> Result<Self, InvalidNewApiKey> {
        match (self.expires_at, maker_expires_at) {
            (Some(own), Some(makers)) if own > makers => {
                Err(InvalidNewApiKey::OutlivesMaker(makers))
            }
            (own, makers) => Ok(Self { expires_at: own.or(makers), ..self }),
        }
    }

    /// The key's purpose, for people.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The key's permissions.
    pub fn scopes(&self) -> Scopes {
        self.scopes
    }

    /// When the key expires.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }
}

fn expiry(seconds: i64, now: Timestamp) -> Result<Timestamp, InvalidNewApiKey> {
    (seconds > 0)
        .then(|| now.checked_add(SignedDuration::from_secs(seconds)).ok())
        .flatten()
        .ok_or(InvalidNewApiKey::Expiry(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn scopes(names: &[&str]) -> Result<NewApiKey, InvalidNewApiKey> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        NewApiKey::new("", Some(&names), None, NOW)
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let new_key = NewApiKey::new("ci", None, None, NOW).unwrap();
        assert_eq!(new_key.scopes(), DEFAULT_SCOPES.into_iter().collect());
        assert_eq!((new_key.label(), new_key.expires_at()), ("ci", None));
    }

    #[test]
    fn a_key_does_not_outlive_its_maker() {
        let at = |seconds| Timestamp::from_second(seconds).ok();
        let ends = |own, maker: Option<i64>| {
            let key = NewApiKey::new("", None, own, NOW).unwrap().within(maker.and_then(at));
            key.map(|key| key.expires_at().map(Timestamp::as_second))
        };
        assert_eq!(ends(None, None), Ok(None));
        assert_eq!(ends(Some(60), None), Ok(Some(60)));
        assert_eq!(ends(Some(60), Some(60)), Ok(Some(60)));
        assert_eq!(ends(None, Some(60)), Ok(Some(60)));
        assert!(matches!(ends(Some(61), Some(60)), Err(InvalidNewApiKey::OutlivesMaker(_))));
    }

    #[test]
    fn terms_that_cannot_be_are_refused() {
        assert_eq!(scopes(&[]), Err(InvalidNewApiKey::NoScope));
        assert!(matches!(scopes(&["admin", "write"]), Err(InvalidNewApiKey::Scope(_))));
        let expiring = |seconds| NewApiKey::new("", None, Some(seconds), NOW);
        assert_eq!(expiring(60).unwrap().expires_at(), Timestamp::from_second(60).ok());
        for seconds in [0, -1, i64::MAX] {
            assert_eq!(expiring(seconds), Err(InvalidNewApiKey::Expiry(seconds)));
        }
        let label = |text: &str| NewApiKey::new(text, None, None, NOW).map(drop);
        assert_eq!(label(&"é".repeat(MAX_LABEL_CHARS)), Ok(()));
        assert_eq!(label(&"x".repeat(201)), Err(InvalidNewApiKey::Label));
        assert_eq!(label("a\0"), Err(InvalidNewApiKey::Label));
    }
}
